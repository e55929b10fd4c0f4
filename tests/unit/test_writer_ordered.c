/*
 * test_writer_ordered.c - rows that arrive by shard (input_order): the same shards, byte for byte,
 * as in any order; batches gone as soon as their shards are built; broken promises named; nothing
 * left of a build that was cancelled, abandoned, or failed at any allocation or store operation.
 */
#include "snapshot_sample.h"
#include "store/store_fault.h"
#include "writer/writer_internal.h"

struct place {
    char path[256];
    char url[256];
};

static int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    remove_folder(place->path);
    free(place);
    return 0;
}

/* ---- rows in order --------------------------------------------------------------------------- */

static uint64_t shard_key; /* shards come in a scattered order */

static uint64_t shard_rank(uint32_t db_id)
{
    return (db_id + shard_key) * UINT64_C(0x9E3779B97F4A7C15);
}

static int by_arrival(const void *left, const void *right)
{
    const struct snap_row *a = left;
    const struct snap_row *b = right;
    uint64_t x = shard_rank(a->db_id);
    uint64_t y = shard_rank(b->db_id);
    return x != y ? (x > y) - (x < y) : (a->order > b->order) - (a->order < b->order);
}

static int by_stored_key(const void *left, const void *right)
{
    const struct snap_row *a = left;
    const struct snap_row *b = right;
    return a->db_id != b->db_id ? by_arrival(left, right) : snap_compare_keys(a, b);
}

/* The rows of `table` as `input_order` wants them; the cells stay the table's. Free `rows`. */
static struct snap_table arrange(struct snap_table *table, uint32_t num_dbs,
                                 shardy_input_order input_order)
{
    struct snap_table ordered = *table;
    ordered.rows = snap_alloc(table->count * sizeof *table->rows);
    for (size_t i = 0; i < table->count; i++) {
        table->rows[i].db_id = snap_route(table, &table->rows[i], num_dbs);
        ordered.rows[i] = table->rows[i];
    }
    qsort(ordered.rows, ordered.count, sizeof *ordered.rows,
          input_order == SHARDY_INPUT_SORTED ? by_stored_key : by_arrival);
    return ordered;
}

/* Batches cut anywhere, and single rows. */
static shardy_status feed_cut(shardy_writer *writer, const struct snap_table *table, uint64_t seed,
                              shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    for (size_t at = 0; at < table->count && st == SHARDY_OK;) {
        uint64_t word = next_random(&seed);
        size_t size = 1 + (size_t)((word >> 8) % (word & 1 ? 9 : 900));
        size_t to = at + size < table->count ? at + size : table->count;
        st = (word >> 1) % 4 == 0 ? snap_feed_rows(writer, table, at, to, err)
                                  : snap_add_batch(writer, table, at, to, snap_key_format(table),
                                                   word & 8 ? "Z" : "z", (word >> 4) % 3, err);
        at = to;
    }
    return st;
}

static shardy_status build_cut(const shardy_writer_options *options, const struct snap_table *table,
                               uint64_t seed, shardy_build_result *result, shardy_error *err)
{
    shardy_writer *writer = NULL;
    shardy_status st = shardy_writer_open(options, &writer, err);
    if (st == SHARDY_OK) {
        st = feed_cut(writer, table, seed, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_writer_finish(writer, result, err);
    }
    shardy_writer_free(writer);
    return st;
}

/* The same database, or none, as in run `any`; with a sidecar, which has the ETag in it. */
static void same_shard(const char *path, const char *run, uint32_t db)
{
    const char *runs[2] = {"any", run};
    uint8_t *data[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    bool there[2];
    for (unsigned i = 0; i < 2; i++) {
        char file[600];
        snprintf(file, sizeof file, "%s/shards/run_id=%s/db=%05u/attempt=00/shard.sidecar", path,
                 runs[i], db);
        there[i] = access(file, R_OK) == 0;
        snprintf(file, sizeof file, "%s/shards/run_id=%s/db=%05u/attempt=00/shard.db", path,
                 runs[i], db);
        assert_int_equal(there[i], access(file, R_OK) == 0);
        if (there[i]) {
            data[i] = snap_read_file(file, &sizes[i]);
        }
    }
    assert_int_equal(there[0], there[1]);
    assert_int_equal(sizes[0], sizes[1]);
    if (there[0]) {
        assert_memory_equal(data[0], data[1], sizes[0]);
    }
    free(data[0]);
    free(data[1]);
}

/* ---- the same shards ------------------------------------------------------------------------- */

/* Few enough different keys that many rows are replaced, now and then across batches. */
static void random_table(struct snap_table *table, uint64_t seed)
{
    static const size_t counts[] = {0, 1, 2, 60, 700, 5000};
    static const size_t values[] = {0, 3, 90, 6000};
    uint64_t random = seed * 7919 + 1;
    size_t count = counts[next_random(&random) % COUNT_OF(counts)];
    size_t value_max = values[next_random(&random) % (count > 700 ? 3 : COUNT_OF(values))];
    uint64_t keys = 1 + next_random(&random) % (2 * count + 1);
    uint8_t *value = snap_alloc(value_max + 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t key = next_random(&random) % keys;
        size_t size = value_max ? (size_t)(next_random(&random) % value_max) : 0;
        char text[64];
        snap_fill(value, size, seed + i);
        if (snap_int_keys(table)) {
            snap_add_int(table, key << (seed % 20), value, size);
        } else {
            snprintf(text, sizeof text, "%s%llx", key % 3 ? "a common prefix " : "",
                     (unsigned long long)key);
            snap_add_bytes(table, text, key ? strlen(text) : 0, value, size);
        }
    }
    free(value);
}

static void test_same_shards(void **state)
{
    static const char *const runs[] = {"any", "grouped", "sorted"};
    (void)state;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        struct snap_table table = {.encoding = (shardy_key_encoding)(seed % 4)};
        uint32_t num_dbs = (uint32_t)(1 + seed * 11 % 23);
        shardy_build_result results[3];
        char path[256];
        char url[256];
        make_folder(path, url);
        shard_key = seed;
        random_table(&table, seed);
        for (unsigned order = 0; order < 3; order++) {
            shardy_writer_options options = snap_options(url, &table, num_dbs);
            struct snap_table rows = arrange(&table, num_dbs, (shardy_input_order)order);
            options.input_order = (shardy_input_order)order;
            options.run_id = runs[order];
            options.threads = (uint32_t)(1 + (seed >> 2) % 3);
            options.page_size = seed / 3 % 3 == 0 ? SHARDY_PAGE_SIZE_AUTO : 4096;
            snap_ok(
                build_cut(&options, order ? &rows : &table, seed + order, &results[order], err));
            free(rows.rows);
            assert_int_equal(atomic_load(&snap_batches_alive), 0);
            snap_check(url, &table, num_dbs);
            for (uint32_t db = 0; db < num_dbs; db++) {
                same_shard(path, runs[order], db);
            }
            assert_int_equal(results[order].rows_read, table.count);
            assert_int_equal(results[order].rows_written, results[0].rows_written);
            assert_int_equal(results[order].bytes_written, results[0].bytes_written);
            assert_int_equal(results[order].num_shards, results[0].num_shards);
            assert_int_equal(results[order].num_dbs, num_dbs);
        }
        for (unsigned order = 0; order < 3; order++) {
            shardy_build_result_clear(&results[order]);
        }
        snap_clear(&table);
        remove_folder(path);
    }
}

/* 63 MB of rows against a limit of 16 MiB: shards of 32 MB are spilled, shards of 8 MB are not,
 * and keys in order never are. */
static void test_memory_limit(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    struct place *place = *state;
    uint8_t value[700];
    for (uint64_t i = 0; i < 90000; i++) {
        uint64_t random = 77 + (i > 40000 && i % 5 == 0 ? i - 40000 : i);
        snap_fill(value, sizeof value, i);
        snap_add_int(&table, next_random(&random) >> 1, value, sizeof value);
    }
    for (uint32_t num_dbs = 2; num_dbs <= 8; num_dbs *= 4) {
        for (unsigned order = SHARDY_INPUT_GROUPED; order <= SHARDY_INPUT_SORTED; order++) {
            struct snap_table rows = arrange(&table, num_dbs, (shardy_input_order)order);
            shardy_writer_options options = snap_options(place->url, &table, num_dbs);
            shardy_build_result result;
            options.input_order = (shardy_input_order)order;
            options.memory_limit_bytes = UINT64_C(16) << 20;
            options.spill_dir = place->path;
            options.threads = 3;
            snap_ok(snap_build(&options, &rows, SNAP_BATCHES, &result, err));
            assert_int_equal(result.spilled_bytes > 0,
                             order == SHARDY_INPUT_GROUPED && num_dbs == 2);
            shardy_build_result_clear(&result);
            snap_check(place->url, &table, num_dbs);
            free(rows.rows);
        }
    }
    snap_clear(&table);
}

struct counts {
    pthread_mutex_t lock;
    unsigned started;
    unsigned completed;
};

static void count_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct counts *counts = arg;
    (void)fields;
    (void)count;
    pthread_mutex_lock(&counts->lock);
    counts->started += strcmp(event, "write.shard.started") == 0;
    counts->completed += strcmp(event, "write.shard.completed") == 0;
    pthread_mutex_unlock(&counts->lock);
}

/* Without threads: batches live as long as the shard that their last row belongs to. */
static void test_batches_released(void **state)
{
    struct place *place = *state;
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    snap_fill_table(&table, 6000, 40, 5);
    for (unsigned order = SHARDY_INPUT_GROUPED; order <= SHARDY_INPUT_SORTED; order++) {
        struct snap_table rows = arrange(&table, 7, (shardy_input_order)order);
        struct counts counts = {.lock = PTHREAD_MUTEX_INITIALIZER};
        const shardy_event_sink sink = {count_event, &counts};
        shardy_writer_options options = snap_options(place->url, &table, 7);
        shardy_writer *writer = NULL;
        size_t first = 0; /* row where the arriving shard began */
        unsigned shards = 1;
        options.input_order = (shardy_input_order)order;
        options.threads = 1;
        options.events = &sink;
        snap_ok(shardy_writer_open(&options, &writer, err));
        for (size_t at = 0; at < rows.count; at += 100) {
            snap_ok(snap_add_batch(writer, &rows, at, at + 100, "u", "z", 0, err));
            for (size_t i = at ? at : 1; i < at + 100; i++) {
                if (rows.rows[i].db_id != rows.rows[i - 1].db_id) {
                    first = i;
                    shards++;
                }
            }
            assert_int_equal(atomic_load(&snap_batches_alive),
                             order == SHARDY_INPUT_SORTED ? 0 : at / 100 - first / 100 + 1);
            assert_int_equal(counts.completed, shards - 1);
        }
        snap_ok(shardy_writer_finish(writer, NULL, err));
        assert_int_equal(counts.started, 7);
        assert_int_equal(counts.completed, 7);
        shardy_writer_free(writer);
        snap_check(place->url, &table, 7);
        free(rows.rows);
    }
    snap_clear(&table);
}

/* ---- broken promises ------------------------------------------------------------------------- */

/* Feeding fails with an error that has all `texts`, again at the end, and nothing is left. */
static void is_refused(const struct place *place, const shardy_writer_options *options,
                       const struct snap_table *rows, enum snap_feed feed, const char *texts[3])
{
    shardy_writer *writer = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    snap_ok(shardy_writer_open(options, &writer, err));
    shardy_status st = snap_feed_all(writer, rows, feed, &error);
    if (st == SHARDY_OK) { /* the last rows were gathered only */
        st = shardy_writer_finish(writer, NULL, &error);
    }
    assert_int_equal(st, SHARDY_INPUT);
    for (unsigned i = 0; i < 3; i++) {
        if (!strstr(error.message, texts[i])) {
            fail_msg("'%s' does not name '%s'", error.message, texts[i]);
        }
    }
    assert_int_not_equal(shardy_writer_finish(writer, NULL, NULL), SHARDY_OK);
    assert_int_equal(snap_count_files(place->path), 0);
    shardy_writer_free(writer);
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
}

/* One row is moved to the end: its shard is complete by then. Or two rows change places. */
static void test_broken_promises(void **state)
{
    for (unsigned kind = 0; kind < 24; kind++) {
        bool sorted = kind % 2;
        bool swapped = kind % 4 == 3;
        struct snap_table table = {.encoding = (shardy_key_encoding)(kind / 2 % 4)};
        snap_fill_table(&table, 3000, 20, kind + 1);
        struct snap_table rows =
            arrange(&table, 5, sorted ? SHARDY_INPUT_SORTED : SHARDY_INPUT_GROUPED);
        struct snap_row *last = &rows.rows[swapped ? 1 : rows.count - 1];
        struct snap_row moved = rows.rows[0];
        memmove(rows.rows, rows.rows + 1, (size_t)(last - rows.rows) * sizeof moved);
        *last = moved;
        char number[32];
        char shard[32];
        char key[SFI_KEY_TEXT_SIZE];
        shardy_key broken = snap_key(&table, last);
        snprintf(number, sizeof number, "row %zu,", (size_t)(last - rows.rows));
        snprintf(shard, sizeof shard, "shard %u", moved.db_id);
        sfi_key_text(&broken, key);
        const char *texts[3] = {number, shard, key};
        struct place *place = *state;
        shardy_writer_options options = snap_options(place->url, &table, 5);
        options.input_order = sorted ? SHARDY_INPUT_SORTED : SHARDY_INPUT_GROUPED;
        options.threads = 1 + kind % 3;
        options.page_size = kind % 5 == 0 ? SHARDY_PAGE_SIZE_AUTO : 4096;
        is_refused(place, &options, &rows, (enum snap_feed)(kind % 3), texts);
        free(rows.rows);
        snap_clear(&table);
    }
}

static void test_bad_options(void **state)
{
    struct place *place = *state;
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    shardy_writer_options options = snap_options(place->url, &table, 0);
    shardy_writer *writer = NULL;
    options.max_keys_per_shard = 10;
    for (unsigned order = SHARDY_INPUT_GROUPED; order <= SHARDY_INPUT_SORTED; order++) {
        options.input_order = (shardy_input_order)order;
        snap_fails(SHARDY_CONFIG, "max_keys_per_shard", shardy_writer_open(&options, &writer, err));
    }
    options.input_order = (shardy_input_order)3;
    snap_fails(SHARDY_CONFIG, "input_order 3", shardy_writer_open(&options, &writer, err));
}

/* ---- builds that end early ------------------------------------------------------------------- */

static void test_cancelled_or_abandoned(void **state)
{
    struct place *place = *state;
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    snap_fill_table(&table, 8000, 100, 3);
    for (unsigned kind = 0; kind < 24; kind++) {
        shardy_input_order order = kind % 2 ? SHARDY_INPUT_SORTED : SHARDY_INPUT_GROUPED;
        struct snap_table rows = arrange(&table, 6, order);
        shardy_writer_options options = snap_options(place->url, &table, 6);
        shardy_writer *writer = NULL;
        options.input_order = order;
        options.threads = 1 + kind / 2 % 3;
        snap_ok(shardy_writer_open(&options, &writer, err));
        rows.count = 1000 + kind * 300;
        snap_ok(snap_feed_all(writer, &rows, kind % 5 ? SNAP_BATCHES : SNAP_MIXED, err));
        if (kind / 6 % 2) {
            shardy_writer_cancel(writer);
            snap_fails(SHARDY_CANCELLED, "cancelled", shardy_writer_finish(writer, NULL, err));
            assert_int_equal(snap_count_files(place->path), 0);
        }
        shardy_writer_free(writer);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        assert_int_equal(snap_count_files(place->path), 0);
        free(rows.rows);
    }
    snap_clear(&table);
}

struct nth {
    atomic_uint count;
    unsigned fail;
};

static enum sfi_fault fail_nth(void *arg, const char *operation, const char *key)
{
    struct nth *nth = arg;
    if (strcmp(operation, "delete") == 0 || strstr(key, "shard.sidecar")) {
        return SFI_FAULT_NONE; /* no failure of a build */
    }
    return atomic_fetch_add(&nth->count, 1) + 1 == nth->fail ? SFI_FAULT_FULL : SFI_FAULT_NONE;
}

/* Build over a store whose `fail`-th operation fails. */
static shardy_status build_over_fault(const shardy_writer_options *options,
                                      const struct snap_table *rows, unsigned fail)
{
    struct nth nth = {.fail = fail};
    shardy_writer *writer = NULL;
    struct sfi_store *store = NULL;
    snap_ok(shardy_writer_open(options, &writer, err));
    snap_ok(sfi_store_fault_open(writer->store, fail_nth, &nth, &store, err));
    sfi_store_release(writer->store);
    writer->store = store;
    shardy_status st = snap_feed_all(writer, rows, SNAP_MIXED, NULL);
    st = st ? st : shardy_writer_finish(writer, NULL, NULL);
    shardy_writer_free(writer);
    return st;
}

static void test_store_failures(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_RAW};
    (void)state;
    snap_fill_table(&table, 3000, 8000, 3);
    for (unsigned kind = 0; kind < 4; kind++) {
        shardy_input_order order = kind % 2 ? SHARDY_INPUT_SORTED : SHARDY_INPUT_GROUPED;
        struct snap_table rows = arrange(&table, 6, order);
        shardy_status st = SHARDY_IO;
        unsigned failed = 0;
        for (unsigned at = 1; st != SHARDY_OK; at++) {
            char path[256];
            char url[256];
            make_folder(path, url);
            shardy_writer_options options = snap_options(url, &table, 6);
            options.input_order = order;
            options.threads = 1 + kind / 2;
            st = build_over_fault(&options, &rows, at);
            assert_int_equal(atomic_load(&snap_batches_alive), 0);
            if (st == SHARDY_IO) {
                assert_int_equal(snap_count_files(path), 0);
                failed++;
            }
            remove_folder(path);
        }
        assert_true(failed >= 18); /* open, append and commit of six shards */
        free(rows.rows);
    }
    snap_clear(&table);
}

static void test_no_memory(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    (void)state;
    snap_fill_table(&table, 300, 300, 9);
    for (unsigned kind = 0; kind < 6; kind++) {
        shardy_input_order order = kind % 2 ? SHARDY_INPUT_SORTED : SHARDY_INPUT_GROUPED;
        struct snap_table rows = arrange(&table, 4, order);
        bool reached = true;
        unsigned failed = 0;
        for (unsigned long at = 1; reached; at++) {
            char path[256];
            char url[256];
            make_folder(path, url);
            shardy_writer_options options = snap_options(url, &table, 4);
            options.input_order = order;
            options.threads = kind < 4 ? 1 : 2;
            options.page_size = kind / 2 == 1 ? SHARDY_PAGE_SIZE_AUTO : 4096;
            shardy_build_result result = {0};
            fail_allocation(at);
            shardy_status st = snap_build(&options, &rows, SNAP_MIXED, &result, NULL);
            reached = atomic_load(&alloc_count) >= at;
            fail_allocation(0);
            assert_int_equal(atomic_load(&snap_batches_alive), 0);
            if (st == SHARDY_NO_MEMORY && !result.manifest_ref && snap_count_files(path) > 0) {
                fail_msg("allocation %lu: %d files left", at, snap_count_files(path));
            }
            assert_true(reached || st == SHARDY_OK);
            failed += st != SHARDY_OK;
            shardy_build_result_clear(&result);
            remove_folder(path);
        }
        assert_true(failed > 50);
        free(rows.rows);
    }
    snap_clear(&table);
}

/* ---- workers --------------------------------------------------------------------------------- */

struct piece {
    struct sfi_work work;
    shardy_status status;
    bool ran;
    bool freed;
};

static shardy_status run_piece(struct sfi_work *work, shardy_error *err)
{
    struct piece *piece = (struct piece *)work;
    piece->ran = true;
    return piece->status == SHARDY_OK ? SHARDY_OK : sfi_fail(err, piece->status, "piece failed");
}

static void free_piece(struct sfi_work *work)
{
    ((struct piece *)work)->freed = true;
}

/* The first failure is told by every later call; work given after it is freed, not done. */
static void test_workers(void **state)
{
    struct piece pieces[40];
    struct sfi_workers *workers = NULL;
    (void)state;
    memset(pieces, 0, sizeof pieces);
    snap_ok(sfi_workers_new(3, &workers, err));
    for (unsigned i = 0; i < COUNT_OF(pieces); i++) {
        pieces[i].work.run = run_piece;
        pieces[i].work.free = free_piece;
        pieces[i].work.memory = 100;
        pieces[i].status = i == 20 ? SHARDY_STORE : SHARDY_OK;
        shardy_status st = sfi_workers_give(workers, &pieces[i].work, NULL);
        assert_true(st == SHARDY_OK || i >= 20);
        if (i < 20) {
            snap_ok(sfi_workers_wait(workers, i == 19 ? 0 : i % 3 * 100, err));
        } else if (i == 20) {
            snap_fails(SHARDY_STORE, "piece failed", sfi_workers_wait(workers, 0, err));
        }
    }
    snap_fails(SHARDY_STORE, "piece failed", sfi_workers_finish(workers, err));
    sfi_workers_free(workers);
    for (unsigned i = 0; i < COUNT_OF(pieces); i++) {
        assert_int_equal(pieces[i].ran, i <= 20);
        assert_true(pieces[i].freed);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_same_shards),     CASE(test_memory_limit), CASE(test_batches_released),
        CASE(test_broken_promises), CASE(test_bad_options),  CASE(test_cancelled_or_abandoned),
        CASE(test_store_failures),  CASE(test_no_memory),    CASE(test_workers),
    };
    install_failing_allocator();
    use_fast_folders();
    return cmocka_run_group_tests_name("writer_ordered", tests, NULL, NULL);
}
