/*
 * test_reader_remote.c - a reader on a remote store, in range mode: answers are those of the model,
 * and requests and dependent rounds are as few as promised. Faults are test_reader_remote_faults.c.
 */
#include "reader_remote_sample.h"

#include <sched.h>

/* ---- rounds ---------------------------------------------------------------------------------- */

static void rounds_of_cold_gets(void **state)
{
    struct rr_place *place = *state;
    rr_publish(place, 60000, 100, 2);
    rr_open_place(place);
    rr_counts_are(place, 2, 2); /* pointer, manifest */
    rr_value_is(place, rr_row_of(place, 0, 100));
    rr_counts_are(place, 2, 3); /* first page and tail; leaf */
    rr_value_is(place, rr_row_of(place, 0, 20000));
    rr_counts_are(place, 1, 1); /* leaf */
    rr_value_is(place, rr_row_of(place, 1, 7));
    rr_counts_are(place, 2, 3); /* new shard */
    rr_value_is(place, rr_row_of(place, 1, 7));
    assert_int_equal(place->store->requests, 0); /* held */
}

static void rounds_of_overflow(void **state)
{
    struct rr_place *place = *state;
    rr_publish(place, 300, 20000, 1);
    rr_open_place(place);
    rr_value_is(place, 3);
    rs_reset(place->store);
    rr_value_is(place, 250);
    rr_counts_are(place, 2, 2);
}

static void one_wave_for_many_keys(void **state)
{
    struct rr_place *place = *state;
    size_t rows[100];
    rr_publish(place, 80000, 100, 8);
    rr_open_place(place);
    for (uint32_t db = 0; db < 8; db++) {
        rr_value_is(place, rr_row_of(place, db, 0));
    }
    for (size_t i = 0; i < 100; i++) {
        rows[i] = (i * 797 + 411) % 80000;
    }
    rows[99] = 1000000; /* absent */
    rs_reset(place->store);
    rr_check_many(place, rows, 100);
    rr_counts_are(place, 1, 101);
    rr_open_place(place);
    rs_reset(place->store);
    rr_check_many(place, rows, 100);
    rr_counts_are(place, 2, 116); /* 8 shards are opened by one wave */
}

static void everything_reads_back(void **state)
{
    struct rr_place *place = *state;
    size_t rows[3000] = {0};
    place->table.encoding = SHARDY_KEY_UTF8;
    place->num_dbs = 3;
    snap_fill_table(&place->table, 3000, 9000, 5);
    shardy_writer_options writer = snap_options(RR_URL, &place->table, 3);
    snap_ok(snap_build(&writer, &place->table, SNAP_MIXED, NULL, err));
    rr_open_place(place);
    size_t count = 0;
    struct snap_row **expected = snap_expected(&place->table, 3, false, &count);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (size_t)(expected[i] - place->table.rows);
    }
    rr_check_many(place, rows, count);
    for (size_t i = 0; i < count; i += 37) {
        rr_value_is(place, rows[i]);
    }
    free(expected);
}

static void empty_shards_and_bad_keys(void **state)
{
    struct rr_place *place = *state;
    rr_publish(place, 3, 10, 7);
    rr_open_place(place);
    for (size_t i = 0; i < 3; i++) {
        rr_value_is(place, i);
    }
    size_t rows[40];
    for (size_t i = 0; i < 40; i++) {
        rows[i] = i;
    }
    rr_check_many(place, rows, 40);
    rr_check_many(place, rows, 0);
    rr_check_many(place, rows, 1);
    shardy_key keys[] = {shardy_key_int(1), shardy_key_str("text", 4)};
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_value value = SHARDY_VALUE_INIT;
    snap_fails(SHARDY_INPUT, "key 1 (",
               shardy_reader_multi_get(place->reader, keys, 2, &items, err));
    snap_fails(SHARDY_INPUT, "", shardy_reader_get(place->reader, &keys[1], &value, err));
}

/* ---- opening, refresh ------------------------------------------------------------------------ */

static void eager_opens_in_few_rounds(void **state)
{
    struct rr_place *place = *state;
    shardy_reader_options options = rr_range_options();
    rr_publish(place, 40000, 60, 9);
    options.open_mode = SHARDY_OPEN_EAGER;
    rr_open_with(place, &options);
    rr_counts_are(place, 3, 2 + 18);
    rr_value_is(place, 17);
    rr_counts_are(place, 1, 1);
}

static void refresh_costs_what_changed(void **state)
{
    struct rr_place *place = *state;
    bool changed = true;
    rr_publish(place, 20000, 50, 2);
    rr_open_place(place);
    rr_value_is(place, 1);
    rs_reset(place->store);
    snap_ok(shardy_reader_refresh(place->reader, &changed, err));
    assert_false(changed);
    assert_in_range(place->store->bytes, 0, 1000);
    rr_counts_are(place, 1, 1);

    snap_clear(&place->table);
    rr_publish(place, 100, 50, 2);
    snap_ok(shardy_reader_refresh(place->reader, &changed, err));
    assert_true(changed);
    rr_counts_are(place, 2, 2); /* pointer, manifest; no shard */
    rr_value_is(place, 99);
    rs_reset(place->store);
    snap_ok(shardy_reader_refresh(place->reader, &changed, err));
    assert_false(changed);
    assert_in_range(place->store->bytes, 0, 1000);
}

/* ---- sharing --------------------------------------------------------------------------------- */

struct getter {
    struct rr_place *place;
    size_t row;
    pthread_t thread;
    bool ok;
};

static void *get_one(void *arg)
{
    struct getter *getter = arg;
    const struct snap_row *want = &getter->place->table.rows[getter->row];
    shardy_key key = snap_key(&getter->place->table, want);
    shardy_value value = SHARDY_VALUE_INIT;
    getter->ok = shardy_reader_get(getter->place->reader, &key, &value, NULL) == SHARDY_OK &&
                 value.size == want->value_size && memcmp(value.data, want->value, value.size) == 0;
    shardy_value_clear(&value);
    return NULL;
}

static void one_request_for_all_threads(void **state)
{
    struct rr_place *place = *state;
    struct getter getters[32];
    rr_publish(place, 20000, 100, 1);
    rr_open_place(place);
    rr_value_is(place, 0);
    for (size_t round = 1; round <= 20; round++) {
        rs_reset(place->store);
        if (round % 2) {
            rs_hold(place->store, true);
        }
        for (size_t i = 0; i < COUNT_OF(getters); i++) {
            getters[i] = (struct getter){.place = place, .row = round * 900};
            assert_int_equal(pthread_create(&getters[i].thread, NULL, get_one, &getters[i]), 0);
        }
        rs_hold(place->store, false);
        for (size_t i = 0; i < COUNT_OF(getters); i++) {
            pthread_join(getters[i].thread, NULL);
            assert_true(getters[i].ok);
        }
        assert_int_equal(place->store->requests, 1);
    }
}

static void *get_until_closed(void *arg)
{
    struct getter *getter = arg;
    shardy_status st = SHARDY_OK;
    getter->ok = true;
    for (size_t i = getter->row; st == SHARDY_OK; i += 331) {
        const struct snap_row *want = &getter->place->table.rows[i % getter->place->table.count];
        shardy_key key = snap_key(&getter->place->table, want);
        shardy_value value = SHARDY_VALUE_INIT;
        st = shardy_reader_get(getter->place->reader, &key, &value, NULL);
        getter->ok &=
            st == SHARDY_READER_STATE || (st == SHARDY_OK && value.size == want->value_size &&
                                          memcmp(value.data, want->value, value.size) == 0);
        shardy_value_clear(&value);
    }
    return NULL;
}

static void closed_during_gets(void **state)
{
    struct rr_place *place = *state;
    struct getter getters[8];
    shardy_snapshot *snapshot = NULL;
    shardy_value value = SHARDY_VALUE_INIT;
    rr_publish(place, 20000, 100, 3);
    rr_open_place(place);
    snap_ok(shardy_reader_snapshot(place->reader, &snapshot, err));
    for (size_t i = 0; i < COUNT_OF(getters); i++) {
        getters[i] = (struct getter){.place = place, .row = i * 2000};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, get_until_closed, &getters[i]),
                         0);
    }
    while (rs_requests(place->store) < 100) {
        sched_yield();
    }
    shardy_reader_close(place->reader);
    for (size_t i = 0; i < COUNT_OF(getters); i++) {
        pthread_join(getters[i].thread, NULL);
        assert_true(getters[i].ok);
    }
    rr_close_place(place);
    /* A snapshot that is held outlives its reader, and still fetches. */
    shardy_key key = snap_key(&place->table, &place->table.rows[19999]);
    snap_ok(shardy_snapshot_get(snapshot, &key, &value, err));
    assert_memory_equal(value.data, place->table.rows[19999].value, 100);
    shardy_snapshot_release(snapshot);
    shardy_value_clear(&value);
}

/* ---- page budget ----------------------------------------------------------------------------- */

static void small_budgets(void **state)
{
    struct rr_place *place = *state;
    static const uint64_t budgets[] = {64 << 10, 256 << 10, 1 << 20};
    size_t rows[700];
    rr_publish(place, 8000, 1500, 4);
    for (size_t b = 0; b < COUNT_OF(budgets); b++) {
        shardy_reader_options options = rr_range_options();
        options.page_cache_bytes = budgets[b];
        rr_open_with(place, &options);
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            rows[i] = i * 11;
        }
        rr_check_many(place, rows, COUNT_OF(rows));
        for (size_t i = 0; i < 200; i++) {
            rr_value_is(place, (i * 7919) % 8000);
        }
        int64_t resident = atomic_load(&place->reader->access->fetcher.resident);
        assert_in_range(resident, 0, (int64_t)budgets[b] + (512 << 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rounds_of_cold_gets, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(rounds_of_overflow, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(one_wave_for_many_keys, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(everything_reads_back, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(empty_shards_and_bad_keys, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(eager_opens_in_few_rounds, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(refresh_costs_what_changed, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(one_request_for_all_threads, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(closed_during_gets, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(small_budgets, rr_set_up, rr_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
