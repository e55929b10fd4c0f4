/*
 * test_writer_errors.c - what a build does with bad rows, batches and options, a used run id and
 * too little memory; and the names and custom fields that it puts into the manifest.
 */
#include "snapshot_sample.h"
#include "store/store_fault.h"
#include "writer/writer_internal.h"

struct place {
    char path[256];
    char url[256];
    struct snap_table table;
};

static int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    place->table.encoding = SHARDY_KEY_U64BE;
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

/* ---- rows ------------------------------------------------------------------------------------ */

struct bad_row {
    shardy_key_encoding encoding;
    shardy_key key;
    const char *shown;
    shardy_status status;
};

static void test_bad_rows(void **state)
{
    static char long_key[65537];
    const struct bad_row cases[] = {
        {SHARDY_KEY_U64BE, shardy_key_int(-5), "-5", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_uint(UINT64_C(1) << 63), "9223372036854775808", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_str("apple", 5), "apple", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_bytes("\1\2\3\4\5\6\7\10", 8), "0102", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_uint(UINT64_C(4294967296)), "4294967296", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_int(-1), "-1", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_str("12", 2), "12", SHARDY_INPUT},
        {SHARDY_KEY_UTF8, shardy_key_int(17), "17", SHARDY_INPUT},
        {SHARDY_KEY_RAW, shardy_key_uint(18), "18", SHARDY_INPUT},
        {SHARDY_KEY_UTF8, shardy_key_str(long_key, sizeof long_key), "65537", SHARDY_LIMIT},
        {SHARDY_KEY_RAW, shardy_key_bytes(long_key, sizeof long_key), "65537", SHARDY_LIMIT},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        shardy_writer *writer = NULL;
        snap_fill_table(&table, 20, 10, i);
        shardy_writer_options options = snap_options(place->url, &table, 2);
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(snap_feed_rows(writer, &table, 0, 13, err));
        snap_fails(cases[i].status, cases[i].shown,
                   shardy_writer_add(writer, &cases[i].key, "v", 1, err));
        snap_fails(cases[i].status, "row 13",
                   shardy_writer_add(writer, &cases[i].key, "v", 1, err));
        snap_ok(snap_feed_rows(writer, &table, 13, 20, err)); /* the build goes on */
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        snap_check(place->url, &table, 2);
        snap_clear(&table);
    }
}

struct bad_batch {
    shardy_key_encoding encoding;
    const char *format;
    uint64_t number; /* key of row 4 */
    const char *shown;
};

static void test_bad_batches(void **state)
{
    static const struct bad_batch cases[] = {
        {SHARDY_KEY_U64BE, "l", UINT64_MAX - 6, "-7"},
        {SHARDY_KEY_U64BE, "i", UINT64_MAX - 6, "-7"},
        {SHARDY_KEY_U64BE, "L", UINT64_C(1) << 63, "9223372036854775808"},
        {SHARDY_KEY_U32BE, "l", UINT64_C(5000000000), "5000000000"},
        {SHARDY_KEY_U32BE, "L", UINT64_C(5000000000), "5000000000"},
        {SHARDY_KEY_U32BE, "i", UINT64_MAX, "-1"},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        struct snap_table bad = {.encoding = cases[i].encoding};
        shardy_writer *writer = NULL;
        snap_fill_table(&table, 30, 10, i);
        for (uint64_t row = 0; row < 9; row++) {
            snap_add_int(&bad, row == 4 ? cases[i].number : row, "bad", 3);
        }
        shardy_writer_options options = snap_options(place->url, &table, 3);
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(snap_feed_rows(writer, &table, 0, 5, err));
        snap_ok(snap_add_batch(writer, &table, 5, 10, "l", "z", 0, err));
        snap_fails(SHARDY_INPUT, "row 14",
                   snap_add_batch(writer, &bad, 0, 9, cases[i].format, "z", 0, err));
        snap_fails(SHARDY_INPUT, cases[i].shown,
                   snap_add_batch(writer, &bad, 0, 9, cases[i].format, "z", 3, err));
        snap_ok(snap_feed_rows(writer, &table, 10, 30, err));
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        snap_check(place->url, &table, 3);
        snap_clear(&table);
        snap_clear(&bad);
    }
}

/* Column types, names and nulls. Each batch has 9 rows; row 2 is null where `null_in` says. */
static void test_malformed_batches(void **state)
{
    static const struct {
        const char *key_format;
        const char *value_format;
        const char *key_name;
        int null_in;
        shardy_status status;
        const char *text;
    } cases[] = {
        {"u", "z", "key", -1, SHARDY_INPUT, "row 10"},
        {"f", "z", "key", -1, SHARDY_CONFIG, "key"},
        {"l", "l", "key", -1, SHARDY_CONFIG, "value"},
        {"l", "z", "id", -1, SHARDY_CONFIG, "key"},
        {"l", "z", "key", 0, SHARDY_INPUT, "row 12"},
        {"l", "z", "key", 1, SHARDY_INPUT, "row 12"},
        {"l", "tdD", "key", -1, SHARDY_CONFIG, "value"},
    };
    struct place *place = *state;
    struct snap_table *table = &place->table;
    shardy_writer *writer = NULL;
    snap_fill_table(table, 40, 8, 4);
    shardy_writer_options options = snap_options(place->url, table, 2);
    snap_ok(shardy_writer_open(&options, &writer, err));
    snap_ok(snap_feed_rows(writer, table, 0, 10, err));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        const char *real_key = strchr("lu", cases[i].key_format[0]) ? cases[i].key_format : "l";
        const char *real_value = strchr("z", cases[i].value_format[0]) ? "z" : "z";
        uint8_t *validity = snap_alloc(8);
        memset(validity, 0xFF, 8);
        validity[0] = 0xFB;
        snap_batch_make(table, 0, 9, real_key, real_value, 0, &schema, &array);
        schema.children[0]->format = cases[i].key_format;
        schema.children[1]->format = cases[i].value_format;
        schema.children[0]->name = cases[i].key_name;
        if (cases[i].null_in >= 0) {
            array.children[cases[i].null_in]->buffers[0] = validity;
            array.children[cases[i].null_in]->null_count = -1;
        } else {
            free(validity);
        }
        snap_fails(cases[i].status, cases[i].text,
                   shardy_writer_add_batch(writer, &schema, &array, err));
        assert_null(array.release);
    }
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
    snap_ok(snap_feed_rows(writer, table, 10, 40, err));
    snap_ok(shardy_writer_finish(writer, NULL, err));
    snap_fails(SHARDY_CONFIG, "finished", shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
    snap_check(place->url, table, 2);
}

/* ---- options --------------------------------------------------------------------------------- */

static void test_bad_options(void **state)
{
    struct place *place = *state;
    const shardy_writer_options good = snap_options(place->url, &place->table, 2);
    shardy_writer_options bad[16];
    static const char *const named[] = {
        "url",           "num_dbs", "num_dbs",      "num_dbs",      "page_size", "memory_limit",
        "threads",       "run_id",  "run_id",       "shard_prefix", "template",  "custom_fields",
        "custom_fields", "policy",  "key_encoding", "struct_size",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].url = NULL;
    bad[1].num_dbs = 0;
    bad[2].num_dbs = (1u << 20) + 1;
    bad[3].max_keys_per_shard = 5; /* and num_dbs */
    bad[4].page_size = 5000;
    bad[5].memory_limit_bytes = (16u << 20) - 1;
    bad[6].threads = 257;
    bad[7].run_id = "a/b";
    bad[8].run_id = "a\nb";
    bad[9].shard_prefix = "../shards";
    bad[10].db_path_template = "all-in-one";
    bad[11].custom_fields = "[1]";
    bad[12].custom_fields = "{\"a\":";
    bad[13].policy = (shardy_publish_policy)7;
    bad[14].key_encoding = (shardy_key_encoding)9;
    bad[15].struct_size = 3;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        shardy_writer *writer = NULL;
        snap_fails(SHARDY_CONFIG, named[i], shardy_writer_open(&bad[i], &writer, err));
        assert_null(writer);
        assert_int_equal(shardy_writer_open(&bad[i], &writer, NULL), SHARDY_CONFIG);
    }
    assert_int_equal(snap_count_files(place->path), 0);
    shardy_writer_free(NULL);
    shardy_build_result_clear(NULL);
}

static void test_names(void **state)
{
    struct place *place = *state;
    char file[512];
    snap_fill_table(&place->table, 300, 8, 4);
    shardy_writer_options options = snap_options(place->url, &place->table, 12);
    options.run_id = "my run";
    options.shard_prefix = "parts";
    options.db_path_template = "part-{db_id:03d}";
    options.key_col = "key";
    snap_ok(snap_build(&options, &place->table, SNAP_MIXED, NULL, err));
    snap_check(place->url, &place->table, 12);
    snprintf(file, sizeof file, "%s/parts/run_id=my run/part-011/attempt=00/shard.sidecar",
             place->path);
    assert_int_equal(access(file, R_OK), 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_string_equal(about.run_id, "my run");
    assert_string_equal(about.key_col, "key");
    assert_string_equal(about.s3_prefix, place->url);
    shardy_snapshot_info_clear(&about);
    shardy_reader_free(reader);
    snap_fails(SHARDY_CONFLICT, "my run",
               snap_build(&options, &place->table, SNAP_ROWS, NULL, err));
    snap_check(place->url, &place->table, 12);
}

static void test_custom_fields(void **state)
{
    static const struct {
        const char *given;
        bool no_sidecar;
        uint32_t page_size;
        const char *want;
    } cases[] = {
        {NULL, true, 0, "{}"},
        {NULL, false, 0,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": 4096}}"},
        {"{\"team\":\"x\", \"a\" : [1,2.5]}", true, 0, "{\"a\": [1, 2.5], \"team\": \"x\"}"},
        {" {\"team\":\"x\"} ", false, SHARDY_PAGE_SIZE_AUTO,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": \"auto\"}, \"team\": \"x\"}"},
        {"{ }", false, 65536,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": 65536}}"},
    };
    struct place *place = *state;
    snap_add_int(&place->table, 1, "v", 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_writer_options options = snap_options(place->url, &place->table, 1);
        shardy_snapshot_info about;
        options.custom_fields = cases[i].given;
        options.no_sidecar = cases[i].no_sidecar;
        options.page_size = cases[i].page_size;
        snap_ok(snap_build(&options, &place->table, SNAP_ROWS, NULL, err));
        shardy_reader *reader = snap_reader(place->url);
        snap_ok(shardy_reader_info(reader, &about, err));
        assert_string_equal(about.custom_json, cases[i].want);
        shardy_snapshot_info_clear(&about);
        shardy_reader_free(reader);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static shardy_status build_and_read(const char *url, const struct snap_table *table)
{
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_writer_options options = snap_options(url, table, 2);
    shardy_build_result result = {0};
    options.threads = 1;
    options.page_size = SHARDY_PAGE_SIZE_AUTO;
    shardy_status st = snap_build(&options, table, SNAP_MIXED, &result, &error);
    shardy_build_result_clear(&result);
    if (st == SHARDY_OK) {
        shardy_reader_options reading = SHARDY_READER_OPTIONS_INIT;
        shardy_reader *reader = NULL;
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_items items = SHARDY_ITEMS_INIT;
        shardy_key keys[2] = {snap_key(table, &table->rows[0]), snap_key(table, &table->rows[1])};
        reading.url = url;
        st = shardy_reader_open(&reading, &reader, &error);
        st = st ? st : shardy_reader_get(reader, &keys[0], &value, &error);
        st = st ? st : shardy_reader_multi_get(reader, keys, 2, &items, &error);
        if (st == SHARDY_OK) {
            assert_int_equal(items.items[0].size, table->rows[0].value_size);
        }
        shardy_value_clear(&value);
        shardy_items_clear(&items);
        shardy_reader_free(reader);
    }
    return st;
}

static void test_no_memory(void **state)
{
    struct place *place = *state;
    unsigned failed = 0;
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    snap_fill_table(&table, 60, 2000, 9);
    for (unsigned long at = 1; at < 4000; at++) {
        fail_allocation(at);
        shardy_status st = build_and_read(place->url, &table);
        bool reached = atomic_load(&alloc_count) >= at;
        fail_allocation(0);
        if (st != SHARDY_OK && st != SHARDY_NO_MEMORY && st != SHARDY_PUBLISH &&
            st != SHARDY_UNKNOWN) { /* UNKNOWN: published, and no memory to say so */
            fail_msg("allocation %lu: %s", at, shardy_status_name(st));
        }
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        failed += st != SHARDY_OK;
        if (!reached) {
            assert_int_equal(st, SHARDY_OK);
            break;
        }
    }
    assert_true(failed > 50);
    snap_clear(&table);
}

/* ---- lost answers ---------------------------------------------------------------------------- */

struct lost {
    const char *shard; /* part of the key */
    enum sfi_fault fault;
    atomic_uint met;
};

static enum sfi_fault lose_commit(void *arg, const char *operation, const char *key)
{
    struct lost *lost = arg;
    bool meets = strcmp(operation, "upload.commit") == 0 && strstr(key, lost->shard);
    atomic_fetch_add(&lost->met, meets);
    return meets ? lost->fault : SFI_FAULT_NONE;
}

/* Whether a shard is stored is unknown: the build has failed, tells which one, and leaves nothing,
 * whether it was stored or not. */
static void test_unknown_shard(void **state)
{
    static const enum sfi_fault faults[] = {SFI_FAULT_APPLY_THEN_LOSE, SFI_FAULT_LOSE};
    struct place *place = *state;
    snap_fill_table(&place->table, 400, 40, 1);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct lost lost = {.shard = "db=00002/", .fault = faults[i]};
        shardy_writer_options options = snap_options(place->url, &place->table, 4);
        shardy_writer *writer = NULL;
        struct sfi_store *store = NULL;
        shardy_build_result result = {0};
        shardy_error error = SHARDY_ERROR_INIT;
        options.threads = 1 + (unsigned)i;
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(sfi_store_fault_open(writer->store, lose_commit, &lost, &store, err));
        sfi_store_release(writer->store);
        writer->store = store;
        snap_ok(snap_feed_all(writer, &place->table, SNAP_MIXED, err));
        assert_int_equal(shardy_writer_finish(writer, &result, &error), SHARDY_STORE);
        assert_int_equal(error.status, SHARDY_STORE);
        assert_non_null(strstr(error.message, "shard 2: "));
        assert_non_null(strstr(error.message, "db=00002/"));
        assert_non_null(strstr(error.message, "nothing was published"));
        assert_int_equal(atomic_load(&lost.met), 1);
        assert_false(result.published);
        assert_null(result.manifest_ref);
        shardy_build_result_clear(&result);
        shardy_writer_free(writer);
        assert_int_equal(snap_count_files(place->path), 0); /* no pointer, no manifest, no shard */
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_bad_rows),    CASE(test_bad_batches),   CASE(test_malformed_batches),
        CASE(test_bad_options), CASE(test_names),         CASE(test_custom_fields),
        CASE(test_no_memory),   CASE(test_unknown_shard),
    };
    install_failing_allocator();
    return cmocka_run_group_tests_name("writer_errors", tests, NULL, NULL);
}
