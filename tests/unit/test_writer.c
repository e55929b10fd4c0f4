/*
 * test_writer.c - what a build makes of good rows: every key type and encoding, row by row and in
 * batches, duplicates, empty shards, page sizes, large rows, rows that end on a divider. SQLite
 * reads every shard and is compared with the model of snapshot_sample.h.
 */
#include "snapshot_sample.h"

static void build_and_check(struct snap_table *table, shardy_writer_options *options,
                            enum snap_feed feed, shardy_build_result *result)
{
    char path[256];
    char url[256];
    shardy_build_result own;
    make_folder(path, url);
    options->url = url;
    options->key_encoding = table->encoding;
    snap_ok(snap_build(options, table, feed, &own, err));
    assert_true(own.published);
    assert_int_equal(own.rows_read, table->count);
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
    snap_check(url, table, own.num_dbs);
    if (result) {
        *result = own;
        result->run_id = NULL;
        result->manifest_ref = NULL;
    }
    shardy_build_result_clear(&own);
    remove_folder(path);
}

static void test_key_types(void **state)
{
    static const struct {
        shardy_key_encoding encoding;
        const char *key_format;
    } cases[] = {
        {SHARDY_KEY_U64BE, "i"}, {SHARDY_KEY_U64BE, "l"}, {SHARDY_KEY_U64BE, "I"},
        {SHARDY_KEY_U64BE, "L"}, {SHARDY_KEY_U32BE, "i"}, {SHARDY_KEY_U32BE, "l"},
        {SHARDY_KEY_U32BE, "I"}, {SHARDY_KEY_U32BE, "L"}, {SHARDY_KEY_UTF8, "u"},
        {SHARDY_KEY_UTF8, "U"},  {SHARDY_KEY_UTF8, "z"},  {SHARDY_KEY_UTF8, "Z"},
        {SHARDY_KEY_RAW, "u"},   {SHARDY_KEY_RAW, "U"},   {SHARDY_KEY_RAW, "z"},
        {SHARDY_KEY_RAW, "Z"},
    };
    static const char *const value_formats[] = {"u", "U", "z", "Z"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        char path[256];
        char url[256];
        shardy_writer *writer = NULL;
        snap_fill_table(&table, 2000, 40, 7 + i);
        for (size_t row = 0; snap_int_keys(&table) && row < table.count; row++) {
            struct snap_row *r = &table.rows[row]; /* fits all four integer types */
            r->number &= 0x7FFFFFFF;
            for (size_t b = 0; b < r->stored_size; b++) {
                r->stored[r->stored_size - 1 - b] = b < 8 ? (uint8_t)(r->number >> 8 * b) : 0;
            }
        }
        make_folder(path, url);
        shardy_writer_options options = snap_options(url, &table, 3);
        snap_ok(shardy_writer_open(&options, &writer, err));
        for (size_t at = 0, turn = 0; at < table.count; at += 250, turn++) {
            snap_ok(snap_add_batch(writer, &table, at, at + 250, cases[i].key_format,
                                   value_formats[turn % 4], turn % 3, err));
        }
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        snap_check(url, &table, 3);
        snap_clear(&table);
        remove_folder(path);
    }
}

static void test_every_shard_count(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U32BE};
    (void)state;
    snap_fill_table(&table, 500, 30, 2);
    for (uint32_t shards = 1; shards <= 64; shards += 1 + shards / 6) {
        shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
        options.num_dbs = shards;
        build_and_check(&table, &options, SNAP_BATCHES, NULL);
    }
    snap_clear(&table);
}

static void test_feeds(void **state)
{
    static const uint32_t shards[] = {1, 3, 16};
    (void)state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_RAW; encoding++) {
        for (size_t i = 0; i < COUNT_OF(shards); i++) {
            for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
                struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
                shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
                shardy_build_result result;
                options.num_dbs = shards[i];
                snap_fill_table(&table, 3001, 60, shards[i]);
                build_and_check(&table, &options, (enum snap_feed)feed, &result);
                assert_int_equal(result.num_dbs, shards[i]);
                snap_clear(&table);
            }
        }
    }
}

/* 50 keys, 5000 rows: the last added value of each wins, whichever way it came. */
static void test_duplicates(void **state)
{
    (void)state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_RAW; encoding++) {
        for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
            struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
            shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
            shardy_build_result result;
            uint64_t random = 99;
            for (uint32_t i = 0; i < 5000; i++) {
                uint64_t key = next_random(&random) % 50;
                char text[32];
                snprintf(text, sizeof text, "a key that is long %02u", (unsigned)key);
                if (snap_int_keys(&table)) {
                    snap_add_int(&table, key, &i, sizeof i);
                } else {
                    snap_add_bytes(&table, text, key ? strlen(text) : 0, &i, sizeof i);
                }
            }
            options.num_dbs = 3;
            build_and_check(&table, &options, (enum snap_feed)feed, &result);
            assert_int_equal(result.rows_written, 50);
            snap_clear(&table);
        }
    }
}

static void test_empty(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_build_result result;
    (void)state;
    options.num_dbs = 4;
    build_and_check(&table, &options, SNAP_ROWS, &result);
    assert_int_equal(result.num_dbs, 4);
    assert_int_equal(result.num_shards, 0);
    options.num_dbs = 0;
    options.max_keys_per_shard = 10;
    build_and_check(&table, &options, SNAP_BATCHES, &result);
    assert_int_equal(result.num_dbs, 1);
    assert_int_equal(result.num_shards, 0);
    snap_add_bytes(&table, "", 0, "", 0);
    options.num_dbs = 64;
    options.max_keys_per_shard = 0;
    build_and_check(&table, &options, SNAP_ROWS, &result);
    assert_int_equal(result.num_dbs, 64);
    assert_int_equal(result.num_shards, 1);
    snap_clear(&table);
}

/* The empty key is the smallest one of its shard, also when more rows follow than one block. */
static void test_odd_keys(void **state)
{
    static uint8_t long_key[65536];
    (void)state;
    for (int encoding = SHARDY_KEY_UTF8; encoding <= SHARDY_KEY_RAW; encoding++) {
        struct snap_table table = {.encoding = (shardy_key_encoding)encoding};
        shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
        memset(long_key, 'k', sizeof long_key);
        snap_add_bytes(&table, "", 0, "empty key", 9);
        snap_add_bytes(&table, "a\0b", 3, "1", 1);
        snap_add_bytes(&table, "a", 1, "", 0);
        snap_add_bytes(&table, "a\0", 2, "2", 1);
        snap_add_bytes(&table, "\0", 1, "3", 1);
        snap_add_bytes(&table, "\0\0", 2, "4", 1);
        for (uint32_t i = 0; i < 12; i++) {
            snap_add_bytes(&table, long_key, sizeof long_key - i * i * i, &i, sizeof i);
        }
        snap_add_bytes(&table, long_key, sizeof long_key, long_key, sizeof long_key);
        for (uint32_t i = 0; i < 700; i++) {
            char text[16];
            snprintf(text, sizeof text, "row %u", i);
            snap_add_bytes(&table, text, strlen(text), "", 0);
        }
        options.num_dbs = 1;
        for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
            build_and_check(&table, &options, (enum snap_feed)feed, NULL);
        }
        snap_clear(&table);
    }
}

/* Page size that the specification's formula gives for the rows of a shard, in SQL. */
static int64_t formula_page_size(sqlite3 *db)
{
    static const int64_t threshold[] = {1002, 2030, 4086, 8198, 16422};
    int64_t required = snap_sql_int(
        db, "WITH n AS (SELECT count(*) AS c FROM kv), pos AS (SELECT max(0, cast(0.95 * c AS "
            "INTEGER) + (0.95 * c > cast(0.95 * c AS INTEGER)) - 1) AS p FROM n) SELECT (SELECT "
            "length(v) FROM kv ORDER BY length(v) LIMIT 1 OFFSET (SELECT p FROM pos)) + (SELECT "
            "max(length(k)) FROM kv) + 12");
    for (int i = 0; i < 5; i++) {
        if (threshold[i] >= required) {
            return INT64_C(4096) << i;
        }
    }
    return 65536;
}

static void check_page_sizes(const char *url, uint32_t num_dbs, int64_t want)
{
    shardy_reader *reader = snap_reader(url);
    shardy_snapshot *snapshot = NULL;
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    for (uint32_t db_id = 0; db_id < num_dbs; db_id++) {
        shardy_shard_info shard;
        snap_ok(shardy_snapshot_shard(snapshot, db_id, &shard, err));
        sqlite3 *db = snap_open_db(shard.db_url);
        assert_int_equal(snap_sql_int(db, "PRAGMA page_size"), want ? want : formula_page_size(db));
        sqlite3_close(db);
        shardy_shard_info_clear(&shard);
    }
    shardy_snapshot_release(snapshot);
    shardy_reader_free(reader);
}

static void test_page_sizes(void **state)
{
    static const uint32_t sizes[] = {0, 4096, 8192, 16384, 32768, 65536, SHARDY_PAGE_SIZE_AUTO};
    static const uint32_t values[] = {0, 100, 982, 983, 1040, 4066, 4067, 8178, 9000, 20000};
    (void)state;
    for (size_t v = 0; v < COUNT_OF(values); v++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
            uint8_t *value = snap_alloc(2 * values[v] + 1);
            char path[256];
            char url[256];
            for (uint64_t row = 0; row < 200; row++) { /* one in 16 is longer */
                size_t size = row % 16 == 3 ? 2 * values[v] : values[v];
                snap_fill(value, size, row);
                snap_add_int(&table, row * 7919, value, size);
            }
            free(value);
            make_folder(path, url);
            shardy_writer_options options = snap_options(url, &table, 2);
            options.page_size = sizes[i];
            snap_ok(snap_build(&options, &table, SNAP_BATCHES, NULL, err));
            snap_check(url, &table, 2);
            check_page_sizes(url, 2,
                             sizes[i] == SHARDY_PAGE_SIZE_AUTO ? 0
                             : sizes[i]                        ? sizes[i]
                                                               : 4096);
            snap_clear(&table);
            remove_folder(path);
        }
    }
}

/* Ranks around the 95th percentile: each row count moves it. */
static void test_auto_rank(void **state)
{
    (void)state;
    for (uint32_t rows = 1; rows <= 61; rows += 4) {
        struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
        static uint8_t value[40000];
        char path[256];
        char url[256];
        for (uint32_t i = 0; i < rows; i++) {
            snap_add_bytes(&table, &i, 3, value, i * 20000u / rows);
        }
        make_folder(path, url);
        shardy_writer_options options = snap_options(url, &table, 1);
        options.page_size = SHARDY_PAGE_SIZE_AUTO;
        snap_ok(snap_build(&options, &table, SNAP_ROWS, NULL, err));
        snap_check(url, &table, 1);
        check_page_sizes(url, 1, 0);
        snap_clear(&table);
        remove_folder(path);
    }
}

static void test_large_values(void **state)
{
    static const size_t sizes[] = {0, 999, 1000, 5000, 20000, 65536, 1000000, 1048576, 3000001};
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    uint8_t *value = snap_alloc(3000001);
    (void)state;
    for (uint64_t i = 0; i < 4 * COUNT_OF(sizes); i++) {
        size_t size = sizes[i % COUNT_OF(sizes)];
        snap_fill(value, size, i);
        snap_add_int(&table, i * i * 37, value, size);
    }
    free(value);
    options.num_dbs = 2;
    for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
        build_and_check(&table, &options, (enum snap_feed)feed, NULL);
    }
    snap_clear(&table);
}

/* 900-byte values on 4096-byte pages: about four rows a leaf, several interior levels. */
static void test_deep(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    uint8_t value[900];
    (void)state;
    for (uint32_t i = 0; i < 30000; i++) {
        char key[80];
        snprintf(key, sizeof key, "%060u", i * 7919u % 30011u);
        snap_fill(value, sizeof value, i);
        snap_add_bytes(&table, key, strlen(key), value, sizeof value);
    }
    options.num_dbs = 1;
    build_and_check(&table, &options, SNAP_BATCHES, NULL);
    snap_clear(&table);
}

/* For each value size, every number of rows up to some leaves: one of them ends on a divider. */
static void test_dividers(void **state)
{
    static const uint16_t sizes[] = {20, 100, 300, 700, 900, 980, 1500};
    (void)state;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        uint8_t value[1500];
        uint32_t most = s < 2 ? 200 : 40;
        char path[256];
        char url[256];
        make_folder(path, url);
        for (uint32_t rows = 0; rows <= most; rows += s < 1 ? 3 : 1) {
            struct snap_table table = {.encoding = SHARDY_KEY_U32BE};
            for (uint32_t i = 0; i < rows; i++) {
                snap_fill(value, sizes[s], i);
                snap_add_int(&table, i, value, sizes[s]);
            }
            shardy_writer_options options = snap_options(url, &table, 1);
            options.threads = 1;
            snap_ok(snap_build(&options, &table, SNAP_ROWS, NULL, err));
            snap_check(url, &table, 1);
            snap_clear(&table);
        }
        remove_folder(path);
    }
}

static void test_max_keys(void **state)
{
    static const struct {
        uint64_t rows;
        uint64_t max;
        uint32_t want;
    } cases[] = {{1, 1, 1},     {10, 3, 4},  {100, 100, 1},
                 {101, 100, 2}, {60, 1, 60}, {5000, UINT64_MAX, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int feed = SNAP_ROWS; feed <= SNAP_MIXED; feed++) {
            struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
            shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
            shardy_build_result result;
            options.max_keys_per_shard = cases[i].max;
            snap_fill_table(&table, cases[i].rows, 20, 5);
            build_and_check(&table, &options, (enum snap_feed)feed, &result);
            assert_int_equal(result.num_dbs, cases[i].want);
            snap_clear(&table);
        }
    }
}

/* Threads change the time, not a byte of the shards. */
static void test_threads_same_bytes(void **state)
{
    static const uint32_t threads[] = {1, 2, 4};
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    char path[256];
    char url[256];
    (void)state;
    snap_fill_table(&table, 90000, 50, 3);
    make_folder(path, url);
    for (size_t t = 0; t < COUNT_OF(threads); t++) {
        char run[16];
        shardy_writer *writer = NULL;
        snprintf(run, sizeof run, "threads%u", threads[t]);
        shardy_writer_options options = snap_options(url, &table, 8);
        options.threads = threads[t];
        options.run_id = run;
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(snap_add_batch(writer, &table, 0, 80000, "u", "z", 0, err)); /* one large batch */
        snap_ok(snap_add_batch(writer, &table, 80000, 90000, "u", "z", 0, err));
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        snap_check(url, &table, 8);
    }
    for (unsigned db = 0; db < 8; db++) {
        uint8_t *data[3];
        size_t sizes[3];
        for (size_t t = 0; t < COUNT_OF(threads); t++) {
            char file[512];
            snprintf(file, sizeof file, "%s/shards/run_id=threads%u/db=%05u/attempt=00/shard.db",
                     path, threads[t], db);
            data[t] = snap_read_file(file, &sizes[t]);
        }
        for (size_t t = 1; t < COUNT_OF(threads); t++) {
            assert_int_equal(sizes[t], sizes[0]);
            assert_memory_equal(data[t], data[0], sizes[0]);
            free(data[t]);
        }
        free(data[0]);
    }
    snap_clear(&table);
    remove_folder(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_types),
        cmocka_unit_test(test_feeds),
        cmocka_unit_test(test_every_shard_count),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_odd_keys),
        cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_auto_rank),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_dividers),
        cmocka_unit_test(test_max_keys),
        cmocka_unit_test(test_threads_same_bytes),
    };
    use_fast_folders();
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
