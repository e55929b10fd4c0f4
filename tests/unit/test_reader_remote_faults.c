/*
 * test_reader_remote_faults.c - a reader on a remote store that misbehaves: every request fails in
 * turn, objects are gone, cut or replaced, sidecars are broken, memory runs out. An error or the
 * right answer, and afterwards everything works again.
 */
#include "reader_remote_sample.h"

#include "reader/verify_internal.h"

#include <limits.h>
#include <shardyfusion/async.h>

/* One pass over everything a reader does; whatever succeeds must be right. */
struct pass {
    unsigned failures;
    shardy_error error; /* of the last failure */
};

static void note(struct pass *pass, shardy_status st, const shardy_error *error)
{
    if (st != SHARDY_OK) {
        pass->failures++;
        pass->error = *error;
        assert_true(error->message[0]);
    }
}

static void try_get(struct rr_place *place, struct pass *pass, size_t row)
{
    const struct snap_row *want = &place->table.rows[row];
    shardy_key key = snap_key(&place->table, want);
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = shardy_reader_get(place->reader, &key, &value, &error);
    note(pass, st, &error);
    if (st == SHARDY_OK) {
        assert_non_null(value.data);
        assert_int_equal(value.size, want->value_size);
        assert_memory_equal(value.data, want->value, value.size);
    } else {
        assert_null(value.data);
    }
    shardy_value_clear(&value);
}

static void try_many(struct rr_place *place, struct pass *pass)
{
    shardy_key keys[50];
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_error error = SHARDY_ERROR_INIT;
    size_t step = place->table.count / COUNT_OF(keys);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        keys[i] = snap_key(&place->table, &place->table.rows[i * step]);
    }
    shardy_status st = shardy_reader_multi_get(place->reader, keys, COUNT_OF(keys), &items, &error);
    note(pass, st, &error);
    for (size_t i = 0; st == SHARDY_OK && i < COUNT_OF(keys); i++) {
        const struct snap_row *want = &place->table.rows[i * step];
        assert_int_equal(items.items[i].size, want->value_size);
        assert_memory_equal(items.items[i].data, want->value, want->value_size);
    }
    shardy_items_clear(&items);
}

static void run_pass(struct rr_place *place, struct pass *pass)
{
    shardy_reader_options options = rr_range_options();
    bool changed;
    options.no_fallback = true;
    memset(pass, 0, sizeof *pass);
    if (!place->reader) {
        shardy_error error = SHARDY_ERROR_INIT;
        note(pass, sfi_reader_open_on(&options, &place->store->base, &place->reader, &error),
             &error);
    }
    if (place->reader) {
        shardy_error error = SHARDY_ERROR_INIT;
        try_get(place, pass, 1);
        try_many(place, pass);
        note(pass, shardy_reader_refresh(place->reader, &changed, &error), &error);
    }
}

static void fresh(struct rr_place *place)
{
    rr_close_place(place);
    place->store = rs_open(RR_URL);
}

/* Each kind of failure at each request: what fails says why, and the next pass is right. */
static void each_request_fails(struct rr_place *place)
{
    static const enum rs_fault faults[] = {RS_FAIL, RS_MISSING, RS_REPLACED, RS_CUT, RS_OTHER_SIZE};
    struct pass pass;
    fresh(place);
    run_pass(place, &pass);
    assert_int_equal(pass.failures, 0);
    size_t requests = place->store->requests;
    assert_in_range(requests, 8, 400);
    for (size_t f = 0; f < COUNT_OF(faults); f++) {
        for (size_t n = 1; n <= requests; n++) {
            fresh(place);
            rs_fail(place->store, faults[f], n, 1, NULL);
            run_pass(place, &pass);
            if (faults[f] == RS_FAIL) {
                assert_true(!pass.failures || pass.error.status == SHARDY_STORE);
            }
            run_pass(place, &pass); /* replaced ones are opened anew by the first one's refresh */
            if (pass.failures) {
                run_pass(place, &pass);
            }
            if (pass.failures) {
                fail_msg("fault %u at request %zu: still '%s'", faults[f], n, pass.error.message);
            }
        }
    }
}

static void small_values(void **state)
{
    rr_publish(*state, 6000, 100, 3);
    each_request_fails(*state);
}

static void large_values(void **state)
{
    rr_publish(*state, 120, 20000, 2);
    each_request_fails(*state);
}

/* ---- replaced and missing objects ------------------------------------------------------------ */

static void database_key(struct rr_place *place, uint32_t db_id, char *key, size_t size)
{
    shardy_snapshot *snapshot = NULL;
    shardy_shard_info info;
    snap_ok(shardy_reader_snapshot(place->reader, &snapshot, err));
    snap_ok(shardy_snapshot_shard(snapshot, db_id, &info, err));
    snprintf(key, size, "%s/shard.db", info.db_url + strlen(RR_URL) + 1);
    shardy_shard_info_clear(&info);
    shardy_snapshot_release(snapshot);
}

static void replaced_object(void **state)
{
    struct rr_place *place = *state;
    struct sfi_buf image;
    char key[512];
    bool changed = false;
    rr_publish(place, 20000, 100, 1);
    rr_open_place(place);
    rr_value_is(place, 0);
    database_key(place, 0, key, sizeof key);
    sfi_buf_init(&image, SIZE_MAX - 1);
    snap_ok(sfi_store_get(place->store->inner, key, 0, &image, NULL, err));
    image.data[24]++; /* SQLite's change counter: another object with the same rows */
    snap_ok(sfi_store_put(place->store->inner, key, sfi_buf_view(&image), NULL, SFI_STORE_ALWAYS,
                          NULL, NULL, err));
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_key far = snap_key(&place->table, &place->table.rows[15000]);
    for (int i = 0; i < 2; i++) {
        snap_fails(SHARDY_CONFLICT, "refresh the reader",
                   shardy_reader_get(place->reader, &far, &value, err));
    }
    rr_value_is(place, 0); /* pages that are held are of the old object */
    snap_ok(shardy_reader_refresh(place->reader, &changed, err));
    assert_true(changed);
    rr_value_is(place, 15000);
    snap_ok(shardy_reader_refresh(place->reader, &changed, err));
    assert_false(changed);

    snap_ok(sfi_store_delete(place->store->inner, key, err));
    far = snap_key(&place->table, &place->table.rows[8000]);
    snap_fails(SHARDY_NOT_FOUND, "refresh the reader",
               shardy_reader_get(place->reader, &far, &value, err));
    sfi_buf_clear(&image);
}

/* ---- snapshots of the original, sidecars ------------------------------------------------------
 */

/* Compare every row of a folder, read by ranges, with the same row of the mapped file. */
static void compare_folder(const char *url, enum rs_fault fault, const char *fault_key,
                           uint64_t page_cache_bytes)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    struct rs_store *store = rs_open(url);
    shardy_reader *remote = NULL;
    shardy_reader *local = snap_reader(url);
    shardy_snapshot *snapshot = NULL;
    shardy_snapshot *far = NULL;
    shardy_scan *scan = NULL;
    shardy_row row;
    bool found = true;
    options.url = url;
    options.relocate = SHARDY_RELOCATE_ON;
    options.access = SHARDY_ACCESS_RANGE;
    options.page_cache_bytes = page_cache_bytes;
    rs_fail(store, fault, 1, SIZE_MAX, fault_key);
    snap_ok(sfi_reader_open_on(&options, &store->base, &remote, err));
    snap_ok(shardy_reader_snapshot(local, &snapshot, err));
    snap_ok(shardy_reader_snapshot(remote, &far, err));
    snap_ok(shardy_snapshot_scan(snapshot, NULL, &scan, err));
    for (size_t n = 0; n < 1500; n++) {
        shardy_value value = SHARDY_VALUE_INIT;
        snap_ok(shardy_scan_next(scan, &row, &found, err));
        if (!found) {
            break;
        }
        struct sfi_bytes stored = {row.key, row.key_size};
        shardy_key key = sfi_key_decode(snapshot->encoding, stored);
        snap_ok(shardy_snapshot_get(far, &key, &value, err));
        assert_non_null(value.data);
        assert_int_equal(value.size, row.value_size);
        assert_memory_equal(value.data, row.value, value.size);
        shardy_value_clear(&value);
    }
    shardy_scan_free(scan);
    shardy_snapshot_release(snapshot);
    shardy_snapshot_release(far);
    shardy_reader_free(local);
    shardy_reader_free(remote);
    sfi_store_release(&store->base);
}

static void originals_by_ranges(void **state)
{
    char given[PATH_MAX];
    char root[PATH_MAX]; /* without "..", which URLs do not take */
    DIR *folder;
    unsigned read = 0;
    (void)state;
    if (!fixtures_root(given, sizeof given) || !realpath(given, root) ||
        !(folder = opendir(root))) {
        skip();
        return;
    }
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char url[5000];
        char pointer[5000];
        snprintf(pointer, sizeof pointer, "%s/%s/objects/_CURRENT", root, entry->d_name);
        if (entry->d_name[0] == '.' || access(pointer, R_OK) != 0) {
            continue;
        }
        snprintf(url, sizeof url, "file://%s/%s/objects", root, entry->d_name);
        shardy_reader *reader = snap_reader(url);
        bool routable = reader->current->route.sharding == SHARDY_SHARDING_HASH;
        shardy_reader_free(reader);
        if (!routable) {
            continue;
        }
        read++;
        compare_folder(url, RS_NONE, NULL, 0);
        compare_folder(url, RS_MISSING, "shard.sidecar", 0);
        compare_folder(url, RS_FAIL, "shard.sidecar", 256 << 10);
        compare_folder(url, RS_CUT, "shard.sidecar", 0);
    }
    closedir(folder);
    assert_true(read > 0);
}

/* ---- downloads ------------------------------------------------------------------------------- */

static void take_value(void *arg, shardy_result *result)
{
    struct rr_place *place = arg;
    if (result->status != SHARDY_OK) {
        fprintf(stderr, "# %s\n", result->error.message);
        abort();
    }
    (void)place;
    shardy_result_clear(result);
}

static void modes_of_access(void **state)
{
    struct rr_place *place = *state;
    char path[256];
    char url[256];
    size_t rows[300];
    make_folder(path, url);
    rr_publish(place, 30000, 100, 4);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        rows[i] = i * 100;
    }
    for (unsigned turn = 0; turn < 6; turn++) {
        shardy_reader_options options = rr_range_options();
        options.local_root = path;
        options.access = turn % 3 == 0 ? SHARDY_ACCESS_DOWNLOAD : SHARDY_ACCESS_AUTO;
        options.auto_total_bytes = turn % 3 == 1 ? 2000000 : 0; /* room for some of them */
        options.auto_shard_bytes = turn % 3 == 2 ? 100000 : 0;  /* for none */
        options.open_mode = turn == 3 ? SHARDY_OPEN_EAGER : SHARDY_OPEN_LAZY;
        rr_open_with(place, &options);
        if (turn == 5) {
            for (size_t i = 0; i < COUNT_OF(rows); i++) {
                shardy_key key = snap_key(&place->table, &place->table.rows[rows[i]]);
                shardy_completion to = {take_value, NULL, place};
                snap_ok(shardy_reader_get_async(place->reader, &key, &to, NULL, err));
            }
        }
        rr_check_many(place, rows, COUNT_OF(rows));
        rr_value_is(place, 29999);
        unsigned ranges = 0;
        for (uint32_t id = 0; id < 4; id++) {
            ranges += place->reader->current->slots[id]->remote != NULL;
        }
        assert_in_range(ranges, turn % 3 == 2 ? 4 : turn % 3,
                        turn % 3 == 0   ? 0
                        : turn % 3 == 1 ? 3
                                        : 4);
    }
    rr_close_place(place);
    remove_folder(path);
}

static void asynchronous_downloads(void **state)
{
    struct rr_place *place = *state;
    char path[256];
    char url[256];
    shardy_reader_options options = rr_range_options();
    shardy_operation *operations[60];
    make_folder(path, url);
    rr_publish(place, 30000, 100, 6);
    options.local_root = path;
    options.access = SHARDY_ACCESS_DOWNLOAD;
    rr_open_with(place, &options);
    shardy_queue *queue = NULL;
    shardy_result result;
    snap_ok(shardy_queue_new(&queue, err));
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        shardy_key key = snap_key(&place->table, &place->table.rows[i * 400]);
        shardy_completion to = {NULL, queue, &place->table.rows[i * 400]};
        snap_ok(shardy_reader_get_async(place->reader, &key, &to, &operations[i], err));
    }
    for (size_t i = 0; i < COUNT_OF(operations); i += 3) {
        shardy_operation_cancel(operations[i]);
    }
    rr_close_place(place); /* waits for all of them */
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        assert_true(shardy_queue_next(queue, &result));
        const struct snap_row *want = result.arg;
        if (result.status != SHARDY_CANCELLED) {
            assert_int_equal(result.status, SHARDY_OK);
            assert_int_equal(result.value.size, want->value_size);
            assert_memory_equal(result.value.data, want->value, want->value_size);
        }
        shardy_result_clear(&result);
        shardy_operation_release(operations[i]);
    }
    assert_false(shardy_queue_next(queue, &result));
    shardy_queue_free(queue);
    remove_folder(path);
}

/* ---- verify ---------------------------------------------------------------------------------- */

static void verified_from_afar(void **state)
{
    struct rr_place *place = *state;
    shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report;
    struct sfi_buf image;
    char key[512];
    rr_publish(place, 5000, 100, 3);
    rr_open_place(place);
    options.url = RR_URL;
    options.deep = true;
    snap_ok(sfi_verify_on(&options, &place->store->base, &report, err));
    assert_int_equal(report.damage_count, 0);
    assert_int_equal(report.shards_checked, 3);
    assert_int_equal(report.checksums_checked, 3);
    assert_int_equal(report.rows_checked, 5000);
    shardy_verify_report_clear(&report);

    database_key(place, 1, key, sizeof key);
    sfi_buf_init(&image, SIZE_MAX - 1);
    snap_ok(sfi_store_get(place->store->inner, key, 0, &image, NULL, err));
    image.data[image.size / 2] ^= 1;
    snap_ok(sfi_store_put(place->store->inner, key, sfi_buf_view(&image), NULL, SFI_STORE_ALWAYS,
                          NULL, NULL, err));
    snap_ok(sfi_verify_on(&options, &place->store->base, &report, err));
    assert_true(report.damage_count > 0);
    assert_string_equal(report.damages[0].what, "checksum");
    assert_int_equal(report.damages[0].db_id, 1);
    shardy_verify_report_clear(&report);
    sfi_buf_clear(&image);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void drop_result(void *arg, shardy_result *result)
{
    unsigned *count = arg;
    ++*count;
    shardy_result_clear(result);
}

/* Lookups of all kinds while the n-th allocation fails, for every n until none does. */
static void each_allocation_fails(void **state)
{
    struct rr_place *place = *state;
    struct pass pass;
    rr_publish(place, 200, 3000, 2);
    for (unsigned long n = 1; n < 2000; n++) {
        shardy_key key = snap_key(&place->table, &place->table.rows[7]);
        unsigned came = 0;
        shardy_completion to = {drop_result, NULL, &came};
        rr_open_place(place);
        fail_allocation(n);
        try_get(place, &(struct pass){0}, 3);
        try_many(place, &(struct pass){0});
        bool submitted = shardy_reader_get_async(place->reader, &key, &to, NULL, NULL) == SHARDY_OK;
        shardy_reader *reader = place->reader;
        bool reached = atomic_load(&alloc_count) >= n;
        fail_allocation(0);
        run_pass(place, &pass);
        assert_int_equal(pass.failures, 0);
        place->reader = NULL;
        shardy_reader_free(reader);
        assert_int_equal(came, submitted);
        if (!reached) {
            return;
        }
    }
    fail_msg("more than 2000 allocations");
}

int main(void)
{
    install_failing_allocator();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_values, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(large_values, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(replaced_object, rr_set_up, rr_tear_down),
        cmocka_unit_test(originals_by_ranges),
        cmocka_unit_test_setup_teardown(modes_of_access, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(asynchronous_downloads, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(verified_from_afar, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(each_allocation_fails, rr_set_up, rr_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
