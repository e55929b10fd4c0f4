/*
 * test_reader_open.c - which manifest and which shards a reader opens: missing pointer, pins,
 * fallback, refresh, relocation, and damaged, missing or foreign shards.
 */
#include "base/limits.h"
#include "reader/reader_internal.h"
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

/* ---- which manifest -------------------------------------------------------------------------- */

/* Overwrite the manifest of a run with something that is none. */
static void break_manifest(struct place *place, const char *run)
{
    shardy_history_options options = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    options.url = place->url;
    options.run_id = run;
    snap_ok(shardy_history_load(&options, &history, err));
    assert_int_equal(history.count, 1);
    snap_write_file(snap_path(history.items[0].ref), "not a manifest at all", 21);
    shardy_history_clear(&history);
}

static void publish_runs(struct place *place)
{
    static const char *const runs[] = {"one", "two", "three"};
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        one_row(&place->table, runs[i]);
        publish(place, &place->table, 2, runs[i]);
        usleep(2000);
    }
}

static void test_missing_pointer(void **state)
{
    struct place *place = *state;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    char file[300];
    bool changed = true;
    options.url = place->url;
    snap_fails(SHARDY_READER_STATE, "CURRENT pointer not found",
               shardy_reader_open(&options, &reader, err));
    assert_null(reader);
    one_row(&place->table, "v");
    publish(place, &place->table, 1, NULL);
    snap_ok(shardy_reader_open(&options, &reader, err));
    snprintf(file, sizeof file, "%s/_CURRENT", place->path);
    assert_int_equal(unlink(file), 0);
    snap_fails(SHARDY_READER_STATE, "CURRENT pointer not found",
               shardy_reader_refresh(reader, &changed, err));
    assert_false(changed);
    value_is(reader, "k", "v"); /* the old snapshot keeps serving */
    shardy_reader_free(reader);
    snap_write_file(file, "{\"manifest_ref\": 7}", 19);
    snap_fails(SHARDY_MANIFEST, "", shardy_reader_open(&options, &reader, err));
    options.url = NULL;
    snap_fails(SHARDY_CONFIG, "url", shardy_reader_open(&options, &reader, err));
    options.url = "gopher://x/y";
    assert_int_not_equal(shardy_reader_open(&options, &reader, NULL), SHARDY_OK);
    assert_null(reader);
}

static void test_pins(void **state)
{
    struct place *place = *state;
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    shardy_reader *reader = NULL;
    bool changed = true;
    publish_runs(place);
    listing.url = place->url;
    snap_ok(shardy_history_load(&listing, &history, err));
    assert_int_equal(history.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned how = 0; how < 3; how++) {
            shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
            options.url = place->url;
            options.pin_ref = how == 0 ? history.items[i].ref : NULL;
            options.pin_run_id = how == 1 ? history.items[i].run_id : NULL;
            options.pin_by_offset = how == 2;
            options.pin_offset = how == 2 ? i : 0;
            snap_ok(shardy_reader_open(&options, &reader, err));
            value_is(reader, "k", history.items[i].run_id);
            snap_ok(shardy_reader_refresh(reader, &changed, err));
            assert_false(changed);
            value_is(reader, "k", history.items[i].run_id);
            shardy_reader_free(reader);
        }
    }
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    options.url = place->url;
    options.pin_run_id = "four";
    snap_fails(SHARDY_NOT_FOUND, "four", shardy_reader_open(&options, &reader, err));
    options.pin_run_id = NULL;
    options.pin_by_offset = true;
    options.pin_offset = 3;
    snap_fails(SHARDY_NOT_FOUND, "3", shardy_reader_open(&options, &reader, err));
    options.pin_run_id = "one";
    snap_fails(SHARDY_CONFIG, "pin", shardy_reader_open(&options, &reader, err));
    options.pin_by_offset = false;
    break_manifest(place, "one"); /* pinned readers never fall back */
    snap_fails(SHARDY_MANIFEST, "", shardy_reader_open(&options, &reader, err));
    assert_null(reader);
    shardy_history_clear(&history);
}

static void test_fallback(void **state)
{
    struct place *place = *state;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    options.url = place->url;
    publish_runs(place);
    break_manifest(place, "three");
    snap_ok(shardy_reader_open(&options, &reader, err));
    value_is(reader, "k", "two");
    shardy_reader_free(reader);
    break_manifest(place, "two");
    snap_ok(shardy_reader_open(&options, &reader, err));
    value_is(reader, "k", "one");
    shardy_reader_free(reader);
    options.no_fallback = true;
    snap_fails(SHARDY_MANIFEST, "", shardy_reader_open(&options, &reader, err));
    options.no_fallback = false;
    break_manifest(place, "one");
    snap_fails(SHARDY_READER_STATE, "No valid manifest",
               shardy_reader_open(&options, &reader, err));
    assert_null(reader);
}

static void test_refresh(void **state)
{
    struct place *place = *state;
    bool changed = true;
    one_row(&place->table, "one");
    publish(place, &place->table, 2, "one");
    shardy_reader *lazy = open_with(place, SHARDY_OPEN_LAZY);
    shardy_reader *eager = open_with(place, SHARDY_OPEN_EAGER);
    snap_ok(shardy_reader_refresh(lazy, &changed, err));
    assert_false(changed);
    one_row(&place->table, "two");
    publish(place, &place->table, 7, "two");
    value_is(lazy, "k", "one");
    snap_ok(shardy_reader_refresh(lazy, &changed, err));
    assert_true(changed);
    snap_ok(shardy_reader_refresh(eager, &changed, err));
    assert_true(changed);
    value_is(lazy, "k", "two");
    value_is(eager, "k", "two");
    one_row(&place->table, "three");
    publish(place, &place->table, 2, "three");
    break_manifest(place, "three");
    snap_ok(shardy_reader_refresh(lazy, &changed, err));
    assert_false(changed);
    value_is(lazy, "k", "two");
    one_row(&place->table, "four");
    publish(place, &place->table, 1, "four");
    snap_ok(shardy_reader_refresh(lazy, &changed, err));
    assert_true(changed);
    value_is(lazy, "k", "four");
    /* R1: a refresh that fails midway keeps the old snapshot, and the next one works. */
    char file[600];
    snprintf(file, sizeof file, "%s/shards/run_id=four/db=00000/attempt=00/shard.db", place->path);
    size_t size;
    uint8_t *data = snap_read_file(file, &size);
    assert_int_equal(unlink(file), 0);
    shardy_error error = SHARDY_ERROR_INIT;
    assert_int_equal(shardy_reader_refresh(eager, &changed, &error), SHARDY_NOT_FOUND);
    assert_false(changed);
    value_is(eager, "k", "two");
    snap_write_file(file, data, size);
    free(data);
    snap_ok(shardy_reader_refresh(eager, &changed, err));
    assert_true(changed);
    value_is(eager, "k", "four");
    shardy_reader_free(lazy);
    shardy_reader_free(eager);
}

/* ---- relocation and foreign URLs ------------------------------------------------------------- */

static void test_relocation(void **state)
{
    struct place *place = *state;
    char moved[300];
    shardy_reader *reader = NULL;
    one_row(&place->table, "v");
    publish(place, &place->table, 1, NULL);
    snprintf(moved, sizeof moved, "%s-moved", place->path);
    assert_int_equal(rename(place->path, moved), 0);
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    char url[320];
    snprintf(url, sizeof url, "file://%s", moved);
    options.url = url;
    snap_ok(shardy_reader_open(&options, &reader, err));
    value_is(reader, "k", "v");
    shardy_reader_free(reader);
    options.relocate = SHARDY_RELOCATE_OFF;
    shardy_status st = shardy_reader_open(&options, &reader, NULL);
    if (st == SHARDY_OK) {
        shardy_key key = shardy_key_str("k", 1);
        shardy_value value = SHARDY_VALUE_INIT;
        assert_int_not_equal(shardy_reader_get(reader, &key, &value, NULL), SHARDY_OK);
        assert_null(value.data);
    }
    shardy_reader_free(reader);
    assert_int_equal(rename(moved, place->path), 0);
}

/* A manifest with these db_urls; each names a shard elsewhere and none may be opened. */
static void test_hostile_urls(void **state)
{
    static const char *const urls[] = {
        "file:///etc",
        "file://%s/../outside",
        "file://%s/shards/../../outside",
        "file://%s-other/shards/run_id=r/db=00000/attempt=00",
        "file://%s//shards",
        "file://%s",
        "/etc",
        "../outside",
        "memory://x/y",
        "",
    };
    struct place *place = *state;
    one_row(&place->table, "v");
    publish(place, &place->table, 1, "run");
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    listing.url = place->url;
    snap_ok(shardy_history_load(&listing, &history, err));
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        char sql[1024];
        char text[600];
        sqlite3 *db = NULL;
        snprintf(text, sizeof text, urls[i], place->path);
        snprintf(sql, sizeof sql, "UPDATE shards SET db_url = '%s'", text);
        assert_int_equal(sqlite3_open(snap_path(history.items[0].ref), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
        shardy_reader *reader = NULL;
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_key key = shardy_key_str("k", 1);
        options.url = place->url;
        shardy_status st = shardy_reader_open(&options, &reader, NULL);
        if (st == SHARDY_OK) {
            st = shardy_reader_get(reader, &key, &value, NULL);
        }
        if (st == SHARDY_OK) {
            fail_msg("db_url '%s' was opened", text);
        }
        assert_null(value.data);
        shardy_reader_free(reader);
    }
    shardy_history_clear(&history);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void damaged_get(struct place *place, const char *what, bool checksums, shardy_status want)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_key key = shardy_key_str("k", 1);
    options.url = place->url;
    options.verify_checksums = checksums;
    snap_ok(shardy_reader_open(&options, &reader, err));
    shardy_status st = shardy_reader_get(reader, &key, &value, &error);
    if (st != want || !(strstr(error.message, "db=00000") || strstr(error.message, "shard 0"))) {
        fail_msg("%s: %s: '%s'", what, shardy_status_name(st), error.message);
    }
    assert_null(value.data);
    shardy_reader_free(reader);
    options.open_mode = SHARDY_OPEN_EAGER;
    st = shardy_reader_open(&options, &reader, &error);
    if (st == SHARDY_OK) { /* damage that only a lookup meets */
        st = shardy_reader_get(reader, &key, &value, &error);
    }
    assert_int_equal(st, want);
    shardy_reader_free(reader);
}

static void test_damage(void **state)
{
    struct place *place = *state;
    char file[600];
    size_t size;
    one_row(&place->table, "a value to be damaged");
    publish(place, &place->table, 1, "run");
    snprintf(file, sizeof file, "%s/shards/run_id=run/db=00000/attempt=00/shard.db", place->path);
    uint8_t *data = snap_read_file(file, &size);

    snap_write_file(file, data, size - 1);
    damaged_get(place, "one byte short", false, SHARDY_CORRUPT);
    snap_write_file(file, data, size / 2);
    damaged_get(place, "half", false, SHARDY_CORRUPT);
    snap_write_file(file, data, 0);
    damaged_get(place, "empty", false, SHARDY_CORRUPT);
    data[3] ^= 1;
    snap_write_file(file, data, size);
    damaged_get(place, "magic", false, SHARDY_CORRUPT);
    data[3] ^= 1;
    data[4096] ^= 0x40; /* type of the leaf */
    snap_write_file(file, data, size);
    damaged_get(place, "page type", false, SHARDY_CORRUPT);
    data[4096] ^= 0x40;
    data[size - 3] ^= 1; /* a byte of the value: only the checksum can tell */
    snap_write_file(file, data, size);
    damaged_get(place, "checksum", true, SHARDY_CORRUPT);
    data[size - 3] ^= 1;
    assert_int_equal(unlink(file), 0);
    damaged_get(place, "missing", false, SHARDY_NOT_FOUND);

    snap_write_file(file, data, size);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_EAGER);
    value_is(reader, "k", "a value to be damaged");
    shardy_reader_free(reader);
    free(data);
}

/* A shard that failed to open is tried again by the next call. */
static void test_recovery(void **state)
{
    struct place *place = *state;
    char file[600];
    char aside[620];
    one_row(&place->table, "v");
    publish(place, &place->table, 1, "run");
    snprintf(file, sizeof file, "%s/shards/run_id=run/db=00000/attempt=00/shard.db", place->path);
    snprintf(aside, sizeof aside, "%s.aside", file);
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    assert_int_equal(rename(file, aside), 0);
    shardy_key key = shardy_key_str("k", 1);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_fails(SHARDY_NOT_FOUND, "0", shardy_reader_get(reader, &key, &value, err));
    assert_int_equal(rename(aside, file), 0);
    value_is(reader, "k", "v");
    shardy_reader_free(reader);
}

/* Make what the other snapshot has current, by a rollback. */
static void roll_back(shardy_reader *reader, const char *ref)
{
    const struct sfi_publish_options plain = {0};
    struct sfi_publish_result result;
    struct sfi_manifest_store *manifests = reader->manifests;
    snap_ok(manifests->ops->set_current(manifests, ref, &plain, &result, err));
    sfi_publish_result_clear(&result);
}

/* N11: a store that answers with an older pointer takes nobody back; a rollback does. */
static void test_stale_pointer(void **state)
{
    struct place *place = *state;
    bool changed = true;
    char file[600];
    size_t size;
    snprintf(file, sizeof file, "%s/_CURRENT", place->path);
    one_row(&place->table, "one");
    publish(place, &place->table, 2, "one");
    uint8_t *stale = snap_read_file(file, &size);
    shardy_reader *older = open_with(place, SHARDY_OPEN_LAZY);
    one_row(&place->table, "two");
    publish(place, &place->table, 2, "two");
    shardy_reader *reader = open_with(place, SHARDY_OPEN_LAZY);
    for (unsigned round = 0; round < 2; round++) {
        size_t now_size;
        uint8_t *now = snap_read_file(file, &now_size);
        snap_write_file(file, stale, size);
        for (unsigned again = 0; again < 3; again++) {
            snap_ok(shardy_reader_refresh(reader, &changed, err));
            assert_false(changed);
            value_is(reader, "k", "two");
        }
        snap_write_file(file, now, now_size);
        snap_ok(shardy_reader_refresh(reader, &changed, err));
        assert_false(changed);
        assert_int_equal(reader->older_since_us, 0); /* counts anew */
        free(now);
    }
    roll_back(reader, older->current->ref);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    value_is(reader, "k", "one");
    snap_ok(shardy_reader_refresh(older, &changed, err)); /* the same snapshot, a later pointer */
    assert_false(changed);
    snap_write_file(file, stale, size);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_false(changed);
    one_row(&place->table, "three");
    publish(place, &place->table, 2, "three");
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    value_is(reader, "k", "three");

    /* One that stays is no stale read. */
    snap_write_file(file, stale, size);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_false(changed);
    reader->older_since_us -= SFI_STALE_POINTER_MS * UINT64_C(1000);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    value_is(reader, "k", "one");
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_false(changed);
    free(stale);
    shardy_reader_free(older);
    shardy_reader_free(reader);
}

/* A refresh keeps shards that the new manifest has unchanged: they need not exist any more. */
static void test_reuse(void **state)
{
    struct place *place = *state;
    char text[1200];
    char from[700];
    char file[600];
    bool changed = false;
    one_row(&place->table, "v");
    publish(place, &place->table, 1, "run");
    shardy_reader *reader = open_with(place, SHARDY_OPEN_EAGER);

    /* The same manifest under a later name, made current. */
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    listing.url = place->url;
    snap_ok(shardy_history_load(&listing, &history, err));
    snprintf(from, sizeof from, "%s", snap_path(history.items[0].ref));
    shardy_history_clear(&history);
    size_t size;
    uint8_t *manifest = snap_read_file(from, &size);
    snprintf(file, sizeof file, "%s/manifests/2099-01-01T00:00:00.000000Z_run_id=run", place->path);
    assert_int_equal(mkdir(file, 0700), 0);
    strncat(file, "/manifest", sizeof file - strlen(file) - 1);
    snap_write_file(file, manifest, size);
    free(manifest);
    snprintf(text, sizeof text,
             "{\"format_version\":1,\"manifest_content_type\":\"application/x-sqlite3\","
             "\"manifest_ref\":\"file://%s\",\"run_id\":\"run\","
             "\"updated_at\":\"2099-01-01T00:00:00.000000Z\"}",
             file);
    snprintf(from, sizeof from, "%s/_CURRENT", place->path);
    snap_write_file(from, text, strlen(text));
    snprintf(file, sizeof file, "%s/shards/run_id=run/db=00000/attempt=00/shard.db", place->path);
    assert_int_equal(unlink(file), 0);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    value_is(reader, "k", "v");
    shardy_reader_free(reader);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_missing_pointer), CASE(test_pins),          CASE(test_fallback),
        CASE(test_refresh),         CASE(test_stale_pointer), CASE(test_relocation),
        CASE(test_hostile_urls),    CASE(test_damage),        CASE(test_recovery),
        CASE(test_reuse),
    };
    return cmocka_run_group_tests_name("reader_open", tests, NULL, NULL);
}
