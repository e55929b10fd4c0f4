/*
 * test_fixtures.c - snapshots of the original implementation (shared/fixtures/original): every row,
 * every absent key, the history; and our own builds of the same rows, whose manifests say the same
 * and whose shards hold the same rows. Skipped when the fixtures are not there.
 */
#include "fixture_sample.h"

static void test_sha256(void **state)
{
    char hex[65];
    char millions[1000];
    (void)state;
    sha256_hex((const uint8_t *)"abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(millions, 'a', sizeof millions);
    sha256_hex((const uint8_t *)millions, sizeof millions, hex);
    assert_string_equal(hex, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

/* ---- building the same ----------------------------------------------------------------------- */

/* The fixture's rows with the values that its own reader returns (checked by digest before). */
static void fixture_table(const struct fixture *fixture, shardy_reader *reader,
                          struct snap_table *table)
{
    table->encoding = fixture->encoding;
    for (size_t i = 0; i < json_array_size(fixture->rows); i++) {
        uint8_t buffer[4096];
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_key key =
            key_of_json(json_object_get(json_array_get(fixture->rows, i), "key"), buffer);
        snap_ok(shardy_reader_get(reader, &key, &value, err));
        if (snap_int_keys(table)) {
            snap_add_int(table, key.number, value.data, value.size);
        } else {
            snap_add_bytes(table, key.data, key.size, value.data, value.size);
        }
        shardy_value_clear(&value);
    }
}

static void same_key(bool a_known, const shardy_key *a, bool b_known, const shardy_key *b)
{
    assert_int_equal(a_known, b_known);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->size, b->size);
    if (a->size) {
        assert_memory_equal(a->data, b->data, a->size);
    }
}

/* What two manifests say, apart from ids, times and places. */
static void same_snapshots(shardy_reader *theirs, shardy_reader *ours)
{
    shardy_reader *readers[2] = {theirs, ours};
    shardy_snapshot *snapshots[2];
    shardy_snapshot_info about[2];
    json_t *custom[2];
    for (unsigned i = 0; i < 2; i++) {
        snap_ok(shardy_reader_snapshot(readers[i], &snapshots[i], err));
        snap_ok(shardy_snapshot_describe(snapshots[i], &about[i], err));
        custom[i] = json_loads(about[i].custom_json, 0, NULL);
        assert_non_null(custom[i]);
    }
    assert_string_equal(about[0].sharding_json, about[1].sharding_json);
    assert_string_equal(about[0].key_col, about[1].key_col);
    assert_int_equal(about[0].num_dbs, about[1].num_dbs);
    assert_int_equal(about[0].row_count, about[1].row_count);
    assert_int_equal(about[0].key_encoding, about[1].key_encoding);
    assert_true(json_equal(json_object_get(custom[0], "sqlite_sidecar"),
                           json_object_get(custom[1], "sqlite_sidecar")) ||
                (!json_object_get(custom[0], "sqlite_sidecar") &&
                 !json_object_get(custom[1], "sqlite_sidecar")));
    for (uint32_t db_id = 0; db_id < about[0].num_dbs; db_id++) {
        shardy_shard_info shards[2];
        for (unsigned i = 0; i < 2; i++) {
            snap_ok(shardy_snapshot_shard(snapshots[i], db_id, &shards[i], err));
        }
        assert_int_equal(shards[0].db_url == NULL, shards[1].db_url == NULL);
        assert_int_equal(shards[0].row_count, shards[1].row_count);
        assert_int_equal(shards[0].attempt, shards[1].attempt);
        same_key(shards[0].has_min_key, &shards[0].min_key, shards[1].has_min_key,
                 &shards[1].min_key);
        same_key(shards[0].has_max_key, &shards[0].max_key, shards[1].has_max_key,
                 &shards[1].max_key);
        shardy_shard_info_clear(&shards[0]);
        shardy_shard_info_clear(&shards[1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        json_decref(custom[i]);
        shardy_snapshot_info_clear(&about[i]);
        shardy_snapshot_release(snapshots[i]);
    }
}

static void check_rebuild(const struct fixture *fixture, shardy_reader *theirs)
{
    struct snap_table table = {0};
    char path[256];
    char url[256];
    const json_t *page_size = json_object_get(fixture->expected, "page_size");
    fixture_table(fixture, theirs, &table);
    make_folder(path, url);
    shardy_writer_options options = snap_options(url, &table, fixture->num_dbs);
    options.page_size =
        json_is_string(page_size) ? SHARDY_PAGE_SIZE_AUTO : (uint32_t)json_integer_value(page_size);
    options.no_sidecar = !json_is_true(json_object_get(fixture->expected, "sidecar"));
    snap_ok(snap_build(&options, &table, SNAP_MIXED, NULL, err));
    snap_check(url, &table, fixture->num_dbs); /* SQLite reads the same rows */
    shardy_reader *ours = snap_reader(url);
    same_snapshots(theirs, ours);
    shardy_reader_free(ours);
    snap_clear(&table);
    remove_folder(path);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_fixtures(void **state)
{
    (void)state;
    if (!*root) {
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(fixture_names); i++) {
        struct fixture fixture;
        fixture_open(&fixture, fixture_names[i]);
        shardy_reader *reader = snap_reader(fixture.url);
        print_message("# %s\n", fixture_names[i]);
        check_info(&fixture, reader);
        check_scans(&fixture, reader);
        check_history(&fixture);
        if (json_object_get(json_array_get(fixture.rows, 0), "context")) {
            check_gets_with_context(&fixture, reader);
        } else {
            check_gets(&fixture, reader);
        }
        if (!fixture.cel) { /* see test_writer_cel.c */
            check_rebuild(&fixture, reader);
        }
        shardy_reader_free(reader);
        json_decref(fixture.expected);
    }
}

/* Older runs of hash-u64be: pinned by reference, run id and offset; half the keys, other values. */
static void test_older_runs(void **state)
{
    struct fixture fixture;
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    (void)state;
    if (!*root) {
        skip();
    }
    fixture_open(&fixture, "hash-u64be");
    listing.url = fixture.url;
    snap_ok(shardy_history_load(&listing, &history, err));
    for (size_t i = 1; i < history.count; i++) {
        for (unsigned how = 0; how < 3; how++) {
            shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
            shardy_reader *reader = NULL;
            size_t found = 0;
            options.url = fixture.url;
            options.pin_ref = how == 0 ? history.items[i].ref : NULL;
            options.pin_run_id = how == 1 ? history.items[i].run_id : NULL;
            options.pin_by_offset = how == 2;
            options.pin_offset = how == 2 ? i : 0;
            snap_ok(shardy_reader_open(&options, &reader, err));
            for (size_t r = 0; r < json_array_size(fixture.rows); r++) {
                uint8_t buffer[4096];
                shardy_value value = SHARDY_VALUE_INIT;
                shardy_key key =
                    key_of_json(json_object_get(json_array_get(fixture.rows, r), "key"), buffer);
                snap_ok(shardy_reader_get(reader, &key, &value, err));
                found += value.data != NULL;
                shardy_value_clear(&value);
            }
            assert_int_equal(found, json_array_size(fixture.rows) / 2);
            shardy_reader_free(reader);
        }
    }
    shardy_history_clear(&history);
    json_decref(fixture.expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_older_runs),
    };
    if (!fixtures_root(root, sizeof root)) {
        root[0] = '\0';
    }
    return cmocka_run_group_tests_name("fixtures", tests, NULL, NULL);
}
