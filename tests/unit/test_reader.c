/*
 * test_reader.c - one reader, one thread: lookups of every kind, lifetimes of what they return,
 * descriptions, health, a closed reader, events.
 */
#include "snapshot_sample.h"

struct place {
    char path[256];
    char url[256];
    struct snap_table table;
};

static int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    place->table.encoding = SHARDY_KEY_UTF8;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    remove_folder(place->path);
    snap_clear(&place->table);
    free(place);
    return 0;
}

/* Publish the table; the run id goes to `run` when it is not NULL. */
static void publish(struct place *place, struct snap_table *table, uint32_t num_dbs,
                    const char *run)
{
    shardy_writer_options options = snap_options(place->url, table, num_dbs);
    options.run_id = run;
    snap_ok(snap_build(&options, table, SNAP_MIXED, NULL, err));
}

static void one_row(struct snap_table *table, const char *value)
{
    snap_clear(table);
    table->encoding = SHARDY_KEY_UTF8;
    snap_add_bytes(table, "k", 1, value, strlen(value));
}

static shardy_reader *open_with(struct place *place, shardy_open_mode mode)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    options.url = place->url;
    options.open_mode = mode;
    options.verify_checksums = mode == SHARDY_OPEN_EAGER;
    snap_ok(shardy_reader_open(&options, &reader, err));
    return reader;
}

static void value_is(shardy_reader *reader, const char *key, const char *want)
{
    shardy_key k = shardy_key_str(key, strlen(key));
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(reader, &k, &value, err));
    assert_non_null(value.data);
    assert_int_equal(value.size, strlen(want));
    assert_memory_equal(value.data, want, value.size);
    shardy_value_clear(&value);
    assert_null(value.data);
}

/* ---- lookups --------------------------------------------------------------------------------- */

static void check_gets(struct snap_table *table, shardy_reader *reader, uint32_t num_dbs)
{
    size_t count = 0;
    struct snap_row **rows = snap_expected(table, num_dbs, true, &count);
    uint8_t *buffer = snap_alloc(3000);
    for (size_t i = 0; i < count; i++) {
        shardy_key key = snap_key(table, rows[i]);
        shardy_value value = SHARDY_VALUE_INIT;
        size_t size = 0;
        bool found = false;
        uint32_t db_id = 0;
        snap_ok(shardy_reader_route(reader, &key, NULL, &db_id, err));
        assert_int_equal(db_id, rows[i]->db_id);
        snap_ok(shardy_reader_get(reader, &key, &value, err));
        assert_non_null(value.data);
        assert_int_equal(value.size, rows[i]->value_size);
        assert_memory_equal(value.data, rows[i]->value, value.size);
        shardy_value_clear(&value);
        snap_ok(shardy_reader_get_copy(reader, &key, buffer, 3000, &size, &found, err));
        assert_true(found);
        assert_int_equal(size, rows[i]->value_size);
        assert_memory_equal(buffer, rows[i]->value, size);
        if (size > 0) {
            memset(buffer, 0x5A, 3000);
            snap_fails(SHARDY_LIMIT, "",
                       shardy_reader_get_copy(reader, &key, buffer, size - 1, &size, &found, err));
            assert_int_equal(size, rows[i]->value_size);
            assert_int_equal(buffer[0], 0x5A);
        }
    }
    free(buffer);
    free(rows);
}

/* Random keys of the table, each third one missing, in several sizes; one call each. */
static void check_multi_gets(struct snap_table *table, shardy_reader *reader, uint32_t num_dbs)
{
    static const size_t sizes[] = {0, 1, 2, 64, 127, 128, 129, 1000, 5000};
    size_t count = 0;
    struct snap_row **rows = snap_expected(table, num_dbs, true, &count);
    shardy_key *keys = snap_alloc(5000 * sizeof *keys);
    struct snap_row **want = snap_alloc(5000 * sizeof(*want));
    uint64_t random = 12;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        shardy_items items = SHARDY_ITEMS_INIT;
        for (size_t i = 0; i < sizes[s]; i++) {
            want[i] = rows[next_random(&random) % count];
            keys[i] = snap_key(table, want[i]);
            if (i % 3 == 1) {
                want[i] = NULL;
                keys[i] = snap_int_keys(table) ? shardy_key_int((int64_t)i)
                                               : shardy_key_str("missing key!", 3 + i % 10);
            }
        }
        snap_ok(shardy_reader_multi_get(reader, keys, sizes[s], &items, err));
        assert_int_equal(items.count, sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            if (!want[i]) {
                assert_null(items.items[i].data);
                continue;
            }
            assert_non_null(items.items[i].data);
            assert_int_equal(items.items[i].size, want[i]->value_size);
            assert_memory_equal(items.items[i].data, want[i]->value, want[i]->value_size);
        }
        shardy_items_clear(&items);
    }
    free(keys);
    free(want);
    free(rows);
}

static void test_lookups(void **state)
{
    static const uint32_t shards[] = {1, 5, 64};
    struct place *place = *state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_RAW; encoding++) {
        for (size_t i = 0; i < COUNT_OF(shards); i++) {
            struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
            snap_fill_table(&table, 3000, i == 1 ? 3000 : 100, 70);
            publish(place, &table, shards[i], NULL);
            for (int mode = SHARDY_OPEN_LAZY; mode <= SHARDY_OPEN_EAGER; mode++) {
                shardy_reader *reader = open_with(place, (shardy_open_mode)mode);
                check_multi_gets(&table, reader, shards[i]);
                check_gets(&table, reader, shards[i]);
                shardy_reader_free(reader);
            }
            snap_clear(&table);
        }
    }
}

static void test_empty_shards(void **state)
{
    struct place *place = *state;
    shardy_key keys[64];
    char texts[64][8];
    shardy_items items = SHARDY_ITEMS_INIT;
    snap_add_bytes(&place->table, "t7", 2, "seven", 5);
    publish(place, &place->table, 1000, NULL);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_EAGER);
    for (unsigned i = 0; i < 64; i++) {
        snprintf(texts[i], sizeof texts[i], "t%u", i);
        keys[i] = shardy_key_str(texts[i], strlen(texts[i]));
    }
    snap_ok(shardy_reader_multi_get(reader, keys, 64, &items, err));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(items.items[i].data != NULL, i == 7);
    }
    shardy_items_clear(&items);
    value_is(reader, "t7", "seven");
    shardy_reader_free(reader);
}

static void test_empty_snapshot(void **state)
{
    struct place *place = *state;
    size_t size = 9;
    bool found = true;
    publish(place, &place->table, 3, NULL);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    shardy_key key = shardy_key_str("", 0);
    snap_ok(shardy_reader_get_copy(reader, &key, NULL, 0, &size, &found, err));
    assert_false(found);
    assert_int_equal(size, 0);
    shardy_reader_free(reader);
}

static void test_wrong_keys(void **state)
{
    static const struct {
        shardy_key_encoding encoding;
        int number;
        const char *text;
    } cases[] = {
        {SHARDY_KEY_U64BE, -1, NULL}, {SHARDY_KEY_U64BE, 0, "abc"}, {SHARDY_KEY_U32BE, -1, NULL},
        {SHARDY_KEY_UTF8, 5, NULL},   {SHARDY_KEY_RAW, 5, NULL},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_items items = SHARDY_ITEMS_INIT;
        snap_fill_table(&table, 10, 5, 1);
        publish(place, &table, 2, NULL);
        shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
        shardy_key bad = cases[i].text ? shardy_key_str(cases[i].text, strlen(cases[i].text))
                                       : shardy_key_int(cases[i].number);
        shardy_key keys[3] = {snap_key(&table, &table.rows[0]), bad,
                              snap_key(&table, &table.rows[1])};
        snap_fails(SHARDY_INPUT, "", shardy_reader_get(reader, &bad, &value, err));
        assert_null(value.data);
        snap_fails(SHARDY_INPUT, "key 1", shardy_reader_multi_get(reader, keys, 3, &items, err));
        assert_int_equal(items.count, 0);
        assert_null(items.items);
        shardy_key huge = shardy_key_uint(UINT64_C(1) << 63);
        snap_fails(SHARDY_INPUT, "", shardy_reader_get(reader, &huge, &value, err));
        shardy_reader_free(reader);
        snap_clear(&table);
    }
}

/* ---- lifetimes ------------------------------------------------------------------------------- */

static void test_lifetimes(void **state)
{
    struct place *place = *state;
    struct snap_table next = {.encoding = SHARDY_KEY_UTF8};
    char long_value[9001];
    shardy_value small = SHARDY_VALUE_INIT;
    shardy_value large = SHARDY_VALUE_INIT;
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_snapshot *snapshot = NULL;
    shardy_snapshot_info about;
    bool changed = false;

    memset(long_value, 'L', sizeof long_value);
    snap_add_bytes(&place->table, "small", 5, "first", 5);
    snap_add_bytes(&place->table, "large", 5, long_value, sizeof long_value);
    publish(place, &place->table, 2, "first");
    snap_add_bytes(&next, "small", 5, "second", 6);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    shardy_key keys[2] = {shardy_key_str("small", 5), shardy_key_str("large", 5)};
    snap_ok(shardy_reader_get(reader, &keys[0], &small, err));
    snap_ok(shardy_reader_get(reader, &keys[1], &large, err));
    snap_ok(shardy_reader_multi_get(reader, keys, 2, &items, err));
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));

    publish(place, &next, 2, "second");
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    value_is(reader, "small", "second");
    shardy_reader_close(reader);
    shardy_reader_close(reader);
    shardy_reader_free(reader);

    assert_memory_equal(small.data, "first", 5);
    assert_memory_equal(large.data, long_value, sizeof long_value);
    assert_memory_equal(items.items[0].data, "first", 5);
    assert_memory_equal(items.items[1].data, long_value, sizeof long_value);
    shardy_value_clear(&small);
    shardy_value_clear(&large);
    shardy_items_clear(&items);
    snap_ok(shardy_snapshot_get(snapshot, &keys[0], &small, err));
    assert_memory_equal(small.data, "first", 5);
    snap_ok(shardy_snapshot_multi_get(snapshot, keys, 2, &items, err));
    assert_int_equal(items.items[1].size, sizeof long_value);
    snap_ok(shardy_snapshot_describe(snapshot, &about, err));
    assert_string_equal(about.run_id, "first");
    assert_int_equal(about.row_count, 2);
    shardy_snapshot_info_clear(&about);
    shardy_snapshot_release(snapshot);
    assert_memory_equal(small.data, "first", 5); /* outlives the handle, too */
    assert_memory_equal(items.items[1].data, long_value, sizeof long_value);
    shardy_value_clear(&small);
    shardy_items_clear(&items);
    shardy_value_clear(NULL);
    shardy_items_clear(NULL);
    shardy_snapshot_release(NULL);
    shardy_reader_free(NULL);
    snap_clear(&next);
}

static void test_closed(void **state)
{
    struct place *place = *state;
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_snapshot *snapshot = NULL;
    shardy_snapshot_info about;
    shardy_health health;
    shardy_key key = shardy_key_str("k", 1);
    bool changed;
    size_t size;
    uint32_t db_id;
    one_row(&place->table, "v");
    publish(place, &place->table, 1, NULL);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    shardy_reader_close(reader);
    snap_fails(SHARDY_READER_STATE, "closed", shardy_reader_get(reader, &key, &value, err));
    snap_fails(SHARDY_READER_STATE, "closed",
               shardy_reader_get_copy(reader, &key, NULL, 0, &size, &changed, err));
    snap_fails(SHARDY_READER_STATE, "closed",
               shardy_reader_multi_get(reader, &key, 1, &items, err));
    snap_fails(SHARDY_READER_STATE, "closed", shardy_reader_refresh(reader, &changed, err));
    snap_fails(SHARDY_READER_STATE, "closed", shardy_reader_snapshot(reader, &snapshot, err));
    snap_fails(SHARDY_READER_STATE, "closed", shardy_reader_info(reader, &about, err));
    snap_fails(SHARDY_READER_STATE, "closed", shardy_reader_route(reader, &key, NULL, &db_id, err));
    snap_ok(shardy_reader_health(reader, 0, &health, err));
    assert_true(health.is_closed);
    assert_string_equal(health.status, "unhealthy");
    assert_string_equal(health.manifest_ref, "");
    shardy_health_clear(&health);
    shardy_reader_free(reader);
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void test_descriptions(void **state)
{
    struct place *place = *state;
    shardy_snapshot *snapshot = NULL;
    shardy_snapshot_info about;
    shardy_shard_info shard;
    shardy_health health;
    char file[600];
    struct stat info;
    place->table.encoding = SHARDY_KEY_U64BE; /* no key twice */
    snap_fill_table(&place->table, 500, 20, 3);
    publish(place, &place->table, 4, "described");
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_string_equal(about.run_id, "described");
    assert_string_equal(about.s3_prefix, place->url);
    assert_string_equal(about.key_col, "_key");
    assert_int_equal(about.num_dbs, 4);
    assert_int_equal(about.row_count, 500);
    assert_int_equal(about.sharding, SHARDY_SHARDING_HASH);
    assert_int_equal(about.key_encoding, SHARDY_KEY_U64BE);
    assert_true(about.published_at_us >= about.created_at_us);
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    for (uint32_t db_id = 0; db_id < 4; db_id++) {
        snap_ok(shardy_snapshot_shard(snapshot, db_id, &shard, err));
        assert_int_equal(shard.db_id, db_id);
        assert_non_null(shard.checkpoint_id);
        snprintf(file, sizeof file, "%s/shard.db", snap_path(shard.db_url));
        assert_int_equal(stat(file, &info), 0);
        assert_int_equal(shard.db_bytes, info.st_size);
        assert_non_null(strstr(shard.writer_info, "\"checksum\""));
        shardy_shard_info_clear(&shard);
    }
    snap_fails(SHARDY_CONFIG, "4", shardy_snapshot_shard(snapshot, 4, &shard, err));
    assert_int_equal(shardy_router_num_dbs(shardy_snapshot_router(snapshot)), 4);
    shardy_snapshot_release(snapshot);

    usleep(20000);
    snap_ok(shardy_reader_health(reader, 0, &health, err));
    assert_string_equal(health.status, "healthy");
    assert_string_equal(health.manifest_ref, about.manifest_ref);
    assert_int_equal(health.num_shards, 4);
    assert_true(health.manifest_age_s >= 0.02 && health.manifest_age_s < 60);
    assert_true(health.reader_age_s >= 0.02 && health.reader_age_s <= health.manifest_age_s + 0.1);
    shardy_health_clear(&health);
    snap_ok(shardy_reader_health(reader, 0.001, &health, err));
    assert_string_equal(health.status, "degraded");
    shardy_health_clear(&health);
    snap_ok(shardy_reader_health(reader, 3600, &health, err));
    assert_string_equal(health.status, "healthy");
    shardy_health_clear(&health);
    shardy_snapshot_info_clear(&about);
    shardy_reader_free(reader);
}

/* ---- events ---------------------------------------------------------------------------------- */

struct seen {
    unsigned initialized;
    unsigned get;
    unsigned multi_get;
    unsigned refreshed;
    unsigned closed;
    int64_t last[2]; /* found, num_keys */
};

static void count_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct seen *seen = arg;
    seen->initialized += strcmp(event, "reader.initialized") == 0;
    seen->get += strcmp(event, "reader.get") == 0;
    seen->multi_get += strcmp(event, "reader.multi_get") == 0;
    seen->refreshed += strcmp(event, "reader.refreshed") == 0;
    seen->closed += strcmp(event, "reader.closed") == 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, "found") == 0) {
            seen->last[0] = fields[i].integer;
        }
        if (strcmp(fields[i].name, "num_keys") == 0) {
            seen->last[1] = fields[i].integer;
        }
    }
}

static void test_events(void **state)
{
    struct place *place = *state;
    struct seen seen = {0};
    const shardy_event_sink sink = {count_event, &seen};
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_items items = SHARDY_ITEMS_INIT;
    bool changed;
    one_row(&place->table, "v");
    publish(place, &place->table, 1, "run");
    options.url = place->url;
    options.events = &sink;
    snap_ok(shardy_reader_open(&options, &reader, err));
    assert_int_equal(seen.initialized, 1);
    value_is(reader, "k", "v");
    assert_int_equal(seen.get, 1);
    assert_int_equal(seen.last[0], 1);
    shardy_key keys[2] = {shardy_key_str("k", 1), shardy_key_str("absent", 6)};
    snap_ok(shardy_reader_multi_get(reader, keys, 2, &items, err));
    shardy_items_clear(&items);
    assert_int_equal(seen.multi_get, 1);
    assert_int_equal(seen.last[1], 2);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_int_equal(seen.refreshed, 1);
    shardy_reader_close(reader);
    shardy_reader_free(reader);
    assert_int_equal(seen.closed, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lookups),      CASE(test_empty_shards), CASE(test_empty_snapshot),
        CASE(test_wrong_keys),   CASE(test_lifetimes),    CASE(test_closed),
        CASE(test_descriptions), CASE(test_events),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
