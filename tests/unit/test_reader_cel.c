/*
 * test_reader_cel.c - lookups on snapshots that are sharded by CEL: by key and by context, single,
 * many and asynchronous, on mapped and remote-like stores; refresh, verification, damaged
 * manifests, threads. The original's snapshots are in test_fixtures.c.
 */
#include "snapshot_sample.h"

#include "cel_sample.h"

#include <pthread.h>

#define ROWS 600

static const shardy_cel_column int_key[] = {{"key", "int"}};
static const shardy_cel_column region_tier[] = {{"region", "string"}, {"tier", "int"}};
static const char *const regions[] = {"us", "eu", "apac"};

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

static shardy_context context_of(int64_t number, shardy_context_entry entries[2])
{
    shardy_context context = {entries, 2};
    entries[0].name = "region";
    entries[0].value = cel_text(regions[number % 3]);
    entries[1].name = "tier";
    entries[1].value = shardy_cel_int(number % 2);
    return context;
}

/* Keys 0 .. ROWS-1, values are the keys plus `add`; by region, or by key % 5 tokens 1 .. 4. */
static void build(const struct place *place, bool by_key, int64_t add)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    const shardy_cel_value tokens[] = {shardy_cel_int(1), shardy_cel_int(2), shardy_cel_int(3),
                                       shardy_cel_int(4)};
    shardy_cel_sharding sharding = {.expression = by_key ? "key % 5" : "region + string(tier)",
                                    .columns = by_key ? int_key : region_tier,
                                    .column_count = by_key ? 1 : 2};
    shardy_writer *writer = NULL;
    sharding.infer_routing_values = !by_key;
    sharding.has_routing_values = by_key;
    sharding.routing_values = tokens;
    sharding.routing_value_count = 4;
    options.url = place->url;
    options.cel = &sharding;
    snap_ok(shardy_writer_open(&options, &writer, err));
    for (int64_t i = 0; i < ROWS; i++) {
        shardy_context_entry entries[2];
        shardy_context context = context_of(i, entries);
        shardy_key key = shardy_key_int(i);
        int64_t value = i + add;
        if (!by_key || i % 5 != 0) {
            snap_ok(shardy_writer_add_with_context(writer, &key, &value, sizeof value,
                                                   by_key ? NULL : &context, err));
        }
    }
    snap_ok(shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
}

static void item_is(const void *data, size_t size, int64_t want)
{
    assert_non_null(data);
    assert_int_equal(size, sizeof want);
    assert_memory_equal(data, &want, sizeof want);
}

static void by_key(void **state)
{
    struct place *place = *state;
    build(place, true, 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_key keys[ROWS];
    shardy_items items = SHARDY_ITEMS_INIT;
    for (int64_t i = 0; i < ROWS; i++) {
        shardy_value value = SHARDY_VALUE_INIT;
        keys[i] = shardy_key_int(i);
        snap_ok(shardy_reader_get(reader, &keys[i], &value, err));
        if (i % 5 == 0) {
            assert_null(value.data); /* token 0 has no shard */
        } else {
            item_is(value.data, value.size, i);
        }
        shardy_value_clear(&value);
    }
    snap_ok(shardy_reader_multi_get(reader, keys, ROWS, &items, err));
    for (int64_t i = 0; i < ROWS; i++) {
        if (i % 5 == 0) {
            assert_null(items.items[i].data);
        } else {
            item_is(items.items[i].data, items.items[i].size, i);
        }
    }
    shardy_items_clear(&items);
    uint32_t db_id;
    snap_fails(SHARDY_ASSIGNMENT, "Routing token 0 is not present in this snapshot",
               shardy_reader_route(reader, &keys[5], NULL, &db_id, err));
    /* A context replaces the key: all keys are looked up where it says. */
    const shardy_context_entry entry = {"key", shardy_cel_int(1)};
    const shardy_context context = {&entry, 1};
    snap_ok(shardy_reader_multi_get_with_context(reader, keys, ROWS, &context, &items, err));
    for (int64_t i = 0; i < ROWS; i++) {
        assert_int_equal(items.items[i].data != NULL, i % 5 == 1);
    }
    shardy_items_clear(&items);
    const shardy_key text = shardy_key_str("a", 1);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_fails(SHARDY_INPUT, "column \"key\" must be int; got string",
               shardy_reader_get(reader, &text, &value, err));
    snap_fails(SHARDY_INPUT, "u64be",
               shardy_reader_get_with_context(reader, &text, &context, &value, err));
    shardy_reader_free(reader);
}

static void by_context(void **state)
{
    struct place *place = *state;
    build(place, false, 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_snapshot *snapshot = NULL;
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    const shardy_router *router = shardy_snapshot_router(snapshot);
    assert_true(shardy_router_needs_context(router));
    assert_string_equal(shardy_cel_get_column(shardy_router_cel(router), 1)->name, "tier");
    shardy_key keys[ROWS];
    for (int64_t i = 0; i < ROWS; i++) {
        keys[i] = shardy_key_int(i);
    }
    shardy_context_entry entries[2];
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_items items = SHARDY_ITEMS_INIT;
    for (int64_t i = 0; i < 12; i++) {
        shardy_context context = context_of(i, entries);
        snap_ok(shardy_snapshot_get_with_context(snapshot, &keys[i], &context, &value, err));
        item_is(value.data, value.size, i);
        shardy_value_clear(&value);
        snap_ok(
            shardy_snapshot_multi_get_with_context(snapshot, keys, ROWS, &context, &items, err));
        for (int64_t k = 0; k < ROWS; k++) {
            assert_int_equal(items.items[k].data != NULL, k % 6 == i % 6);
        }
        shardy_items_clear(&items);
    }
    snap_fails(SHARDY_INPUT, "requires routing_context",
               shardy_snapshot_get(snapshot, &keys[0], &value, err));
    snap_fails(SHARDY_INPUT, "key 0 (0): Multi-column CEL sharding requires routing_context",
               shardy_snapshot_multi_get(snapshot, keys, 3, &items, err));
    shardy_context mars = context_of(0, entries);
    entries[0].value = cel_text("mars");
    snap_ok(shardy_reader_get_with_context(reader, &keys[0], &mars, &value, err));
    assert_null(value.data);
    snap_ok(shardy_reader_multi_get_with_context(reader, keys, ROWS, &mars, &items, err));
    assert_int_equal(items.count, ROWS);
    assert_null(items.items[0].data);
    shardy_items_clear(&items);
    entries[1].value = shardy_cel_double(1);
    snap_fails(SHARDY_INPUT, "column \"tier\" must be int; got double",
               shardy_reader_get_with_context(reader, &keys[0], &mars, &value, err));
    mars.count = 1;
    snap_fails(SHARDY_INPUT, "no value for column \"tier\"",
               shardy_reader_multi_get_with_context(reader, keys, 2, &mars, &items, err));
    shardy_snapshot_release(snapshot);
    shardy_reader_free(reader);
}

static void asynchronously(void **state)
{
    struct place *place = *state;
    build(place, false, 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_queue *queue = NULL;
    snap_ok(shardy_queue_new(&queue, err));
    const shardy_completion completion = {.queue = queue};
    const shardy_key keys[] = {shardy_key_int(4), shardy_key_int(5)};
    shardy_context_entry entries[2];
    shardy_context context = context_of(4, entries);
    shardy_result result;
    snap_ok(
        shardy_reader_get_async_with_context(reader, &keys[0], &context, &completion, NULL, err));
    assert_true(shardy_queue_next(queue, &result));
    assert_int_equal(result.status, SHARDY_OK);
    item_is(result.value.data, result.value.size, 4);
    shardy_result_clear(&result);
    snap_ok(shardy_reader_multi_get_async_with_context(reader, keys, 2, &context, &completion, NULL,
                                                       err));
    assert_true(shardy_queue_next(queue, &result));
    item_is(result.items.items[0].data, result.items.items[0].size, 4);
    assert_null(result.items.items[1].data);
    shardy_result_clear(&result);
    snap_fails(SHARDY_INPUT, "requires routing_context",
               shardy_reader_get_async(reader, &keys[0], &completion, NULL, err));
    context.count = 0;
    snap_fails(
        SHARDY_INPUT, "region",
        shardy_reader_get_async_with_context(reader, &keys[0], &context, &completion, NULL, err));
    assert_false(shardy_queue_next(queue, &result));
    shardy_queue_free(queue);
    shardy_reader_free(reader);
}

static void refresh_compiles_nothing(void **state)
{
    struct place *place = *state;
    bool changed = false;
    build(place, true, 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_snapshot *snapshots[2];
    snap_ok(shardy_reader_snapshot(reader, &snapshots[0], err));
    build(place, true, 1000);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    snap_ok(shardy_reader_snapshot(reader, &snapshots[1], err));
    assert_ptr_equal(shardy_router_cel(shardy_snapshot_router(snapshots[0])),
                     shardy_router_cel(shardy_snapshot_router(snapshots[1])));
    for (size_t i = 0; i < 2; i++) {
        shardy_key key = shardy_key_int(7);
        shardy_value value = SHARDY_VALUE_INIT;
        snap_ok(shardy_snapshot_get(snapshots[i], &key, &value, err));
        item_is(value.data, value.size, 7 + (int64_t)i * 1000);
        shardy_value_clear(&value);
        shardy_snapshot_release(snapshots[i]);
    }
    shardy_reader_free(reader);
}

static void verifies(void **state)
{
    struct place *place = *state;
    for (int with_key = 0; with_key < 2; with_key++) {
        shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
        shardy_verify_report report;
        build(place, with_key != 0, 0);
        options.url = place->url;
        options.deep = true;
        snap_ok(shardy_verify(&options, &report, err));
        assert_int_equal(report.damage_count, 0);
        assert_int_equal(report.keys_routed, with_key ? ROWS / 5 * 4 : 0);
        shardy_verify_report_clear(&report);
    }
}

/* Change the sharding object of the current manifest. */
static void damage(const struct place *place, const char *from, const char *to)
{
    shardy_reader *reader = snap_reader(place->url);
    shardy_snapshot_info about;
    sqlite3 *db = NULL;
    char *sql;
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_int_equal(sqlite3_open(snap_path(about.manifest_ref), &db), SQLITE_OK);
    sql = sqlite3_mprintf("UPDATE build_meta SET sharding = replace(sharding, %Q, %Q)", from, to);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_free(sql);
    sqlite3_close(db);
    shardy_snapshot_info_clear(&about);
    shardy_reader_free(reader);
}

static void damaged_manifests(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        shardy_status status;
        const char *message;
    } cases[] = {
        {"key % 5", "key %", SHARDY_CONFIG, "Failed to compile CEL expression 'key %'"},
        {"key % 5", "key > 5", SHARDY_CONFIG, "must return int, str, or bytes; got bool"},
        {"\"int\"", "\"float\"", SHARDY_CONFIG, "Unsupported CEL column type: 'float'"},
        {"[1, 2", "[1, 1", SHARDY_READER_STATE, "malformed"},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
        shardy_verify_options verify = SHARDY_VERIFY_OPTIONS_INIT;
        shardy_verify_report report;
        shardy_reader *reader = NULL;
        remove_folder(place->path);
        make_folder(place->path, place->url);
        build(place, true, 0);
        damage(place, cases[i].from, cases[i].to);
        options.url = place->url;
        snap_fails(cases[i].status, cases[i].message, shardy_reader_open(&options, &reader, err));
        assert_null(reader);
        verify.url = place->url;
        snap_ok(shardy_verify(&verify, &report, err));
        assert_true(report.damage_count > 0);
        assert_string_equal(report.damages[0].what, "manifest");
        shardy_verify_report_clear(&report);
    }
    /* Another rule: readers look in other shards, and a deep verification says so. */
    shardy_verify_options verify = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report;
    remove_folder(place->path);
    make_folder(place->path, place->url);
    build(place, true, 0);
    damage(place, "key % 5", "(key + 1) % 5");
    verify.url = place->url;
    verify.deep = true;
    snap_ok(shardy_verify(&verify, &report, err));
    assert_true(report.damage_count > 100);
    assert_string_equal(report.damages[0].what, "routing");
    shardy_verify_report_clear(&report);
}

struct worker {
    shardy_reader *reader;
    int64_t first;
    bool failed;
};

static void *read_many(void *arg)
{
    struct worker *worker = arg;
    for (int64_t n = 0; n < 1500 && !worker->failed; n++) {
        int64_t i = (worker->first + n * 7) % ROWS;
        shardy_context_entry entries[2];
        shardy_context context = context_of(i, entries);
        shardy_key key = shardy_key_int(i);
        shardy_value value = SHARDY_VALUE_INIT;
        worker->failed = shardy_reader_get_with_context(worker->reader, &key, &context, &value,
                                                        NULL) != SHARDY_OK ||
                         value.size != sizeof i || memcmp(value.data, &i, sizeof i) != 0;
        shardy_value_clear(&value);
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct place *place = *state;
    pthread_t threads[6];
    struct worker workers[6];
    build(place, false, 0);
    shardy_reader *reader = snap_reader(place->url);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        workers[i] = (struct worker){reader, (int64_t)i * 101, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &workers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_false(workers[i].failed);
    }
    shardy_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_context, set_up, tear_down),
        cmocka_unit_test_setup_teardown(asynchronously, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refresh_compiles_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(verifies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_manifests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
