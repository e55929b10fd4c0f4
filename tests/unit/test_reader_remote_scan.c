/*
 * test_reader_remote_scan.c - scans of remote shards: the rows of the model in order, whatever the
 * bounds and the page budget; shards are positioned in the same rounds; failures are errors.
 */
#include "reader_remote_sample.h"

static shardy_scan *start_scan(struct rr_place *place, const shardy_scan_options *options)
{
    shardy_snapshot *snapshot = NULL;
    shardy_scan *scan = NULL;
    snap_ok(shardy_reader_snapshot(place->reader, &snapshot, err));
    snap_ok(shardy_snapshot_scan(snapshot, options, &scan, err));
    shardy_snapshot_release(snapshot);
    return scan;
}

/* The rows from `from` on below `to` of the expected list, and no others. */
static void scan_is(struct rr_place *place, const shardy_scan_options *options,
                    struct snap_row *const *rows, size_t from, size_t to)
{
    shardy_scan *scan = start_scan(place, options);
    shardy_row row;
    bool found = true;
    for (size_t i = from; i < to; i++) {
        snap_ok(shardy_scan_next(scan, &row, &found, err));
        assert_true(found);
        assert_int_equal(row.key_size, rows[i]->stored_size);
        assert_memory_equal(row.key, rows[i]->stored, row.key_size);
        assert_int_equal(row.value_size, rows[i]->value_size);
        assert_memory_equal(row.value, rows[i]->value, row.value_size);
    }
    snap_ok(shardy_scan_next(scan, &row, &found, err));
    assert_false(found);
    shardy_scan_free(scan);
}

static void all_rows_in_order(void **state)
{
    struct rr_place *place = *state;
    static const uint64_t budgets[] = {0, 256 << 10, 2 << 20};
    size_t count = 0;
    place->table.encoding = SHARDY_KEY_UTF8;
    snap_fill_table(&place->table, 4000, 9000, 3);
    shardy_writer_options writer = snap_options(RR_URL, &place->table, 5);
    snap_ok(snap_build(&writer, &place->table, SNAP_MIXED, NULL, err));
    struct snap_row **rows = snap_expected(&place->table, 5, true, &count);
    for (size_t b = 0; b < COUNT_OF(budgets); b++) {
        shardy_reader_options options = rr_range_options();
        options.page_cache_bytes = budgets[b];
        rr_open_with(place, &options);
        scan_is(place, NULL, rows, 0, count);
        shardy_scan_options bounded = SHARDY_SCAN_OPTIONS_INIT;
        shardy_key start = snap_key(&place->table, rows[count / 3]);
        shardy_key end = snap_key(&place->table, rows[count / 2]);
        bounded.start = &start;
        bounded.end = &end;
        scan_is(place, &bounded, rows, count / 3, count / 2);
    }
    free(rows);
}

static void one_shard(void **state)
{
    struct rr_place *place = *state;
    size_t count = 0;
    rr_publish(place, 5000, 200, 3);
    rr_open_place(place);
    struct snap_row **rows = snap_expected(&place->table, 3, false, &count);
    size_t from = 0;
    for (uint32_t db = 0; db < 3; db++) {
        shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
        size_t to = from;
        while (to < count && rows[to]->db_id == db) {
            to++;
        }
        options.one_shard = true;
        options.db_id = db;
        scan_is(place, &options, rows, from, to);
        from = to;
    }
    free(rows);
}

/* Eight shards are opened by one round, and their first rows come with the next. */
static void positioned_together(void **state)
{
    struct rr_place *place = *state;
    rr_publish(place, 40000, 60, 8);
    rr_open_place(place);
    rs_reset(place->store);
    shardy_scan_free(start_scan(place, NULL));
    rr_counts_are(place, 2, 24);
}

static void each_request_fails(void **state)
{
    struct rr_place *place = *state;
    unsigned failures = 0;
    rr_publish(place, 9000, 150, 3);
    for (size_t n = 1; n < 200; n++) {
        shardy_snapshot *snapshot = NULL;
        shardy_scan *scan = NULL;
        shardy_row row;
        shardy_error error = SHARDY_ERROR_INIT;
        bool found = true;
        size_t rows = 0;
        rr_open_place(place);
        rs_fail(place->store, RS_FAIL, n, 1, NULL);
        snap_ok(shardy_reader_snapshot(place->reader, &snapshot, err));
        shardy_status st = shardy_snapshot_scan(snapshot, NULL, &scan, &error);
        while (st == SHARDY_OK && found) {
            st = shardy_scan_next(scan, &row, &found, &error);
            rows += st == SHARDY_OK && found;
        }
        shardy_scan_free(scan);
        shardy_snapshot_release(snapshot);
        if (st == SHARDY_OK) {
            assert_int_equal(rows, 9000);
            assert_true(failures > 2);
            return;
        }
        assert_int_equal(st, SHARDY_STORE);
        failures++;
    }
    fail_msg("200 requests are too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_rows_in_order, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(one_shard, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(positioned_together, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(each_request_fails, rr_set_up, rr_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
