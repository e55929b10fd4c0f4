/*
 * test_writer_spill.c - builds that do not fit their memory limit: the shards are those of a build
 * that does, byte for byte, also with duplicates across spills, rows and batches mixed, and a
 * number of shards that is known only at the end. A full spill folder is a clean failure.
 */
#include "snapshot_sample.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <signal.h>

#define LIMIT (UINT64_C(16) << 20)

/* 65 MB in 90,000 rows, every fifth key a second time much later. */
static void make_rows(struct snap_table *table)
{
    uint8_t value[1400];
    for (uint64_t i = 0; i < 90000; i++) {
        uint64_t state = 77 + (i > 40000 && i % 5 == 0 ? i - 40000 : i);
        uint64_t word = next_random(&state);
        size_t size = (size_t)(i * 37 % sizeof value);
        char text[48];
        snap_fill(value, size, i);
        if (snap_int_keys(table)) {
            snap_add_int(table, table->encoding == SHARDY_KEY_U32BE ? word >> 32 : word >> 1, value,
                         size);
        } else {
            snprintf(text, sizeof text, "key/%s/%llx", i % 2 ? "odd" : "even and longer",
                     (unsigned long long)word);
            snap_add_bytes(table, text, strlen(text), value, size);
        }
    }
}

static void same_shards(const char *path, const char *run_a, const char *run_b, uint32_t num_dbs)
{
    for (uint32_t db = 0; db < num_dbs; db++) {
        const char *runs[2] = {run_a, run_b};
        uint8_t *data[2];
        size_t sizes[2];
        for (unsigned i = 0; i < 2; i++) {
            char file[600];
            snprintf(file, sizeof file, "%s/shards/run_id=%s/db=%05u/attempt=00/shard.db", path,
                     runs[i], db);
            data[i] = snap_read_file(file, &sizes[i]);
        }
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(data[0], data[1], sizes[0]);
        free(data[0]);
        free(data[1]);
    }
}

static void test_spilled_equals_unspilled(void **state)
{
    (void)state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_RAW; encoding++) {
        struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
        char path[256];
        char url[256];
        make_rows(&table);
        make_folder(path, url);
        for (unsigned spilled = 0; spilled < 2; spilled++) {
            shardy_writer_options options = snap_options(url, &table, 5);
            shardy_build_result result;
            options.memory_limit_bytes = spilled ? LIMIT : 0;
            options.spill_dir = path;
            options.run_id = spilled ? "spilled" : "memory";
            options.page_size = encoding == SHARDY_KEY_RAW ? SHARDY_PAGE_SIZE_AUTO : 4096;
            options.threads = 1 + spilled;
            snap_ok(snap_build(&options, &table,
                               encoding == SHARDY_KEY_U64BE   ? SNAP_ROWS
                               : encoding == SHARDY_KEY_U32BE ? SNAP_BATCHES
                                                              : SNAP_MIXED,
                               &result, err));
            assert_int_equal(result.spilled_bytes > 0, spilled);
            assert_int_equal(result.rows_read, table.count);
            assert_true(result.rows_written < table.count);
            shardy_build_result_clear(&result);
            snap_check(url, &table, 5);
        }
        same_shards(path, "memory", "spilled", 5);
        snap_clear(&table);
        remove_folder(path);
    }
}

static void test_max_keys_spilled(void **state)
{
    (void)state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_UTF8; encoding += 2) {
        struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
        shardy_build_result result;
        char path[256];
        char url[256];
        make_rows(&table);
        make_folder(path, url);
        shardy_writer_options options = snap_options(url, &table, 0);
        options.max_keys_per_shard = 7000;
        options.memory_limit_bytes = LIMIT;
        options.spill_dir = path;
        snap_ok(snap_build(&options, &table, SNAP_MIXED, &result, err));
        assert_int_equal(result.num_dbs, 13);
        assert_true(result.spilled_bytes > 0);
        shardy_build_result_clear(&result);
        snap_check(url, &table, 13);
        snap_clear(&table);
        remove_folder(path);
    }
}

/* A row that is larger than the whole limit, among small ones. */
static void test_rows_above_limit(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    uint8_t *value = snap_alloc(20 << 20);
    char path[256];
    char url[256];
    (void)state;
    snap_fill(value, 20 << 20, 1);
    for (uint32_t i = 0; i < 60; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i * 7 % 50);
        snap_add_bytes(&table, key, strlen(key), value, i % 20 == 5 ? 20 << 20 : 100);
    }
    free(value);
    make_folder(path, url);
    for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
        shardy_writer_options options = snap_options(url, &table, 2);
        options.memory_limit_bytes = LIMIT;
        options.spill_dir = path;
        snap_ok(snap_build(&options, &table, (enum snap_feed)feed, NULL, err));
        snap_check(url, &table, 2);
    }
    snap_clear(&table);
    remove_folder(path);
}

/* Hardly any memory is left for merging when a shard has many runs. */
static void test_many_runs(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    uint8_t value[2000];
    char path[256];
    char url[256];
    shardy_build_result result;
    (void)state;
    for (uint64_t i = 0; i < 70000; i++) {
        snap_fill(value, sizeof value, i);
        snap_add_int(&table, i * UINT64_C(0x9E3779B97F4A7C15) >> 40, value, sizeof value);
    }
    make_folder(path, url);
    shardy_writer_options options = snap_options(url, &table, 2);
    options.memory_limit_bytes = LIMIT;
    options.spill_dir = path;
    options.threads = 2;
    snap_ok(snap_build(&options, &table, SNAP_BATCHES, &result, err));
    assert_true(result.spilled_bytes > UINT64_C(100000000));
    shardy_build_result_clear(&result);
    snap_check(url, &table, 2);
    snap_clear(&table);
    remove_folder(path);
}

/* ---- disk full ------------------------------------------------------------------------------- */

/* A 1 MB tmpfs on `path`; false when mounting is not permitted. */
static bool mount_small(const char *path)
{
    return mount("tmpfs", path, "tmpfs", 0, "size=1m") == 0;
}

/* Adding or finishing fails with an I/O error that names the folder; nothing is published. */
static void build_fails(const shardy_writer_options *options, const struct snap_table *table,
                        const char *named)
{
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = snap_build(options, table, SNAP_BATCHES, NULL, &error);
    if (st != SHARDY_IO || !strstr(error.message, named)) {
        fail_msg("%s: '%s'; expected IO naming %s", shardy_status_name(st), error.message, named);
    }
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
}

static void test_spill_folder_full(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    char path[256];
    char url[256];
    char spill[300];
    (void)state;
    make_folder(path, url);
    snprintf(spill, sizeof spill, "%s-small", path);
    assert_int_equal(mkdir(spill, 0700), 0);
    if (!mount_small(spill)) {
        remove_folder(spill);
        remove_folder(path);
        skip();
    }
    make_rows(&table);
    shardy_writer_options options = snap_options(url, &table, 2);
    options.memory_limit_bytes = LIMIT;
    options.spill_dir = spill;
    build_fails(&options, &table, spill);
    assert_int_equal(snap_count_files(path), 0);
    assert_int_equal(snap_count_files(spill), 0);
    options.spill_dir = NULL;
    snap_ok(snap_build(&options, &table, SNAP_BATCHES, NULL, err)); /* a retry elsewhere */
    snap_check(url, &table, 2);
    assert_int_equal(umount(spill), 0);
    snap_clear(&table);
    remove_folder(spill);
    remove_folder(path);
}

static void test_store_full(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    struct snap_table small = {.encoding = SHARDY_KEY_U64BE};
    char path[256];
    char url[256];
    (void)state;
    make_folder(path, url);
    if (!mount_small(path)) {
        remove_folder(path);
        skip();
    }
    snap_add_int(&small, 1, "old", 3);
    shardy_writer_options options = snap_options(url, &small, 1);
    snap_ok(snap_build(&options, &small, SNAP_ROWS, NULL, err));
    int before = snap_count_files(path);
    make_rows(&table);
    for (uint32_t shards = 1; shards <= 64; shards *= 8) {
        options = snap_options(url, &table, shards);
        build_fails(&options, &table, path);
        assert_int_equal(snap_count_files(path), before);
        snap_check(url, &small, 1);
    }
    assert_int_equal(umount(path), 0);
    snap_clear(&table);
    snap_clear(&small);
    remove_folder(path);
}

/* Without the right to mount: files may not grow beyond a limit. */
static void test_file_size_limit(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    struct rlimit old;
    char path[256];
    char url[256];
    (void)state;
    make_folder(path, url);
    make_rows(&table);
    shardy_writer_options options = snap_options(url, &table, 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit limit = {1 << 20, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = snap_build(&options, &table, SNAP_BATCHES, NULL, &error);
    options.memory_limit_bytes = LIMIT;
    options.spill_dir = path;
    shardy_error spill_error = SHARDY_ERROR_INIT;
    shardy_status spilled = snap_build(&options, &table, SNAP_BATCHES, NULL, &spill_error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, SHARDY_IO);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(spilled, SHARDY_IO);
    assert_non_null(strstr(spill_error.message, path));
    assert_int_equal(snap_count_files(path), 0);
    snap_clear(&table);
    remove_folder(path);
}

static void test_no_spill_folder(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    char path[256];
    char url[256];
    char missing[300];
    (void)state;
    make_folder(path, url);
    make_rows(&table);
    snprintf(missing, sizeof missing, "%s/no/such/folder", path);
    shardy_writer_options options = snap_options(url, &table, 1);
    options.memory_limit_bytes = LIMIT;
    options.spill_dir = missing;
    build_fails(&options, &table, missing);
    assert_int_equal(snap_count_files(path), 0);
    snap_clear(&table);
    remove_folder(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spilled_equals_unspilled), cmocka_unit_test(test_max_keys_spilled),
        cmocka_unit_test(test_rows_above_limit),         cmocka_unit_test(test_many_runs),
        cmocka_unit_test(test_spill_folder_full),        cmocka_unit_test(test_store_full),
        cmocka_unit_test(test_file_size_limit),          cmocka_unit_test(test_no_spill_folder),
    };
    use_fast_folders();
    return cmocka_run_group_tests_name("writer_spill", tests, NULL, NULL);
}
