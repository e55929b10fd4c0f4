/*
 * test_writer_cel.c - builds that route by CEL (writer_cel.c, writer_shards.c): direct, categorical
 * and inferred, rows and batches, spills. Orders, names and options: test_writer_cel_inputs.c.
 */
#include "writer_cel_sample.h"

#include "base/limits.h"

/* ---- direct ---------------------------------------------------------------------------------- */

static void direct_ids(void **state)
{
    struct place *place = *state;
    shardy_cel_sharding sharding = direct("key % 5");
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    shardy_build_result result;
    for (int64_t i = 0; i < 100; i++) {
        snap_ok(add(writer, i, NULL, err));
    }
    struct rows rows;
    rows_make(&rows, 100, 3000, 3);
    snap_ok(shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
    snap_ok(shardy_writer_finish(writer, &result, err));
    assert_int_equal(result.num_dbs, 5);
    assert_int_equal(result.rows_written, 3100);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    rows_free(&rows);
    shardy_reader *reader = snap_reader(place->url);
    char *text = sharding_of(reader);
    assert_string_equal(text, "{\"cel_columns\": {\"key\": \"int\"}, \"cel_expr\": \"key % 5\", "
                              "\"hash_algorithm\": \"xxh3_64\", \"routing_values\": null, "
                              "\"strategy\": \"cel\"}");
    free(text);
    for (int64_t i = 0; i < 3100; i += 7) {
        value_is(reader, i, NULL, (uint32_t)(i % 5));
    }
    shardy_reader_free(reader);
}

static void direct_gaps(void **state)
{
    struct place *place = *state;
    shardy_cel_sharding sharding = direct("key * 2");
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    for (int64_t i = 0; i < 3; i++) {
        snap_ok(add(writer, i, NULL, err));
    }
    snap_fails(SHARDY_ASSIGNMENT, "non-consecutive: 3 distinct ids, expected 5",
               shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
    assert_int_equal(snap_count_files(place->path), 0);
    writer = open_writer(place, &sharding, 6, NULL); /* with num_dbs shards may be empty */
    for (int64_t i = 0; i < 3; i++) {
        snap_ok(add(writer, i, NULL, err));
    }
    snap_fails(SHARDY_ASSIGNMENT, "row 3, key 3: shard id 6 is outside [0, 6)",
               add(writer, 3, NULL, err));
    snap_ok(shardy_writer_finish(writer, NULL, err)); /* that row is not part of it */
    shardy_writer_free(writer);
    shardy_reader *reader = snap_reader(place->url);
    value_is(reader, 2, NULL, 4);
    shardy_key key = shardy_key_int(3);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(reader, &key, &value, err)); /* no shard: absent */
    assert_null(value.data);
    shardy_reader_free(reader);
    sharding = direct("key");
    writer = open_writer(place, &sharding, 0, NULL);
    snap_fails(SHARDY_ASSIGNMENT, "the most shards there can be",
               add(writer, SFI_SHARDS_MAX, NULL, err));
    snap_ok(shardy_writer_finish(writer, NULL, err)); /* no rows: one shard, as the original */
    shardy_writer_free(writer);
    reader = snap_reader(place->url);
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_int_equal(about.num_dbs, 1);
    shardy_snapshot_info_clear(&about);
    shardy_reader_free(reader);
}

/* Keys that hashing has no place for. */
static void huge_keys(void **state)
{
    static const shardy_cel_column uint_key[] = {{"key", "uint"}};
    struct place *place = *state;
    shardy_cel_sharding sharding = direct("key / 9223372036854775808u");
    sharding.columns = uint_key;
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    const uint64_t keys[] = {1, UINT64_MAX, UINT64_C(1) << 63, 2};
    static const int32_t ends[] = {0, 1, 2, 3, 4};
    struct cel_array key;
    struct cel_array value;
    struct cel_array *columns[] = {&key, &value};
    struct cel_table table;
    cel_array_init(&key, "key", "L", 4, NULL, keys, NULL);
    cel_array_init(&value, "value", "u", 4, NULL, ends, "abcd");
    cel_table_init(&table, 4, columns, 2);
    snap_ok(shardy_writer_add_batch(writer, &table.schema, &table.array, err));
    snap_ok(shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
    shardy_reader *reader = snap_reader(place->url);
    for (size_t i = 0; i < 4; i++) {
        shardy_key wanted = shardy_key_uint(keys[i]);
        shardy_value got = SHARDY_VALUE_INIT;
        snap_ok(shardy_reader_get(reader, &wanted, &got, err));
        assert_true(got.size == 1 && *(const char *)got.data == "abcd"[i]);
        shardy_value_clear(&got);
    }
    shardy_reader_free(reader);
}

/* ---- categorical ----------------------------------------------------------------------------- */

static void categorical(void **state)
{
    const shardy_cel_value values[] = {cel_text("eu"), cel_text("us"), cel_text("mars")};
    struct place *place = *state;
    shardy_cel_sharding sharding = by_region("region");
    sharding.routing_values = values;
    sharding.routing_value_count = 3;
    sharding.has_routing_values = true;
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    shardy_context_entry entries[2];
    for (int64_t i = 0; i < 50; i++) {
        shardy_context context = row_context(i, 2, entries);
        snap_ok(add(writer, i, &context, err));
    }
    snap_fails(SHARDY_INPUT, "row 50, key 1: Multi-column CEL sharding requires routing_context",
               add(writer, 1, NULL, err));
    entries[0].value = cel_text("venus");
    shardy_context venus = {entries, 2};
    snap_fails(SHARDY_ASSIGNMENT,
               "row 50, key 1: Routing token 'venus' is not present in this snapshot (CEL "
               "expression 'region')",
               add(writer, 1, &venus, err));
    entries[0].value = shardy_cel_int(1);
    snap_fails(SHARDY_INPUT, "column \"region\" must be string; got int",
               add(writer, 1, &venus, err));
    struct rows taken;
    struct rows rows;
    rows_make(&taken, 50, 1000, 2);
    snap_ok(shardy_writer_add_batch(writer, &taken.table.schema, &taken.table.array, err));
    rows_make(&rows, 5000, 1000, 3); /* apac is unknown: nothing of the batch is taken */
    snap_fails(SHARDY_ASSIGNMENT, "row 1050: Routing token 'apac' is not present",
               shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
    assert_null(rows.table.array.release);
    rows_free(&rows);
    shardy_build_result result;
    snap_ok(shardy_writer_finish(writer, &result, err));
    assert_int_equal(result.num_dbs, 3);
    assert_int_equal(result.num_shards, 2);
    assert_int_equal(result.rows_read, 1050);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    rows_free(&taken);
    shardy_reader *reader = snap_reader(place->url);
    for (int64_t i = 0; i < 1050; i += 13) {
        shardy_context context = row_context(i, 2, entries);
        value_is(reader, i, &context, (size_t)i * 7 % 2 == 0 ? 1 : 0);
    }
    shardy_reader_free(reader);
}

/* ---- inferred -------------------------------------------------------------------------------- */

struct inferred_case {
    bool batches;
    unsigned threads;
    uint64_t memory;
    int64_t rows;
};

static void inferred(void **state)
{
    static const struct inferred_case cases[] = {
        {false, 1, 0, 300},
        {true, 1, 0, 5000},
        {true, 2, 0, 140000},
        {true, 2, SFI_WRITER_MEMORY_MIN, 900000}, /* spills */
    };
    static const char want[] =
        "\"routing_values\": [\":0\", \":1\", \":2\", \"apac:0\", \"apac:1\", \"apac:2\", "
        "\"eu:0\", \"eu:1\", \"eu:2\", \"us:0\", \"us:1\", \"us:2\", \"\\u00e9:0\", "
        "\"\\u00e9:1\", \"\\u00e9:2\"], ";
    /* positions of the regions in that list */
    static const uint32_t ranks[] = {9, 6, 3, 0, 12};
    struct place *place = *state;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        shardy_writer_options more = SHARDY_WRITER_OPTIONS_INIT;
        shardy_cel_sharding sharding = by_region("region + \":\" + string(tier)");
        shardy_build_result result;
        shardy_context_entry entries[2];
        struct rows kept[64]; /* the writer borrows their buffers */
        size_t kept_count = 0;
        sharding.infer_routing_values = true;
        more.threads = cases[c].threads;
        more.memory_limit_bytes = cases[c].memory;
        shardy_writer *writer = open_writer(place, &sharding, 0, &more);
        int64_t step = cases[c].rows > 100000 ? 70000 : 999;
        for (int64_t at = 0; at < cases[c].rows;) {
            if (cases[c].batches && at % 2 == 0) {
                struct rows rows;
                int64_t left = cases[c].rows - at;
                int64_t count = left < step ? left : step;
                rows_make(&rows, at, (size_t)count, 5);
                snap_ok(
                    shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
                at += count;
                assert_true(kept_count < COUNT_OF(kept));
                kept[kept_count++] = rows;
            } else {
                shardy_context context = row_context(at, 5, entries);
                snap_ok(add(writer, at, &context, err));
                at++;
            }
        }
        snap_ok(shardy_writer_finish(writer, &result, err));
        assert_int_equal(result.num_dbs, 15);
        assert_int_equal(result.num_shards, 15);
        assert_int_equal(result.rows_written, cases[c].rows);
        assert_int_equal(result.spilled_bytes > 0, cases[c].memory != 0);
        shardy_build_result_clear(&result);
        shardy_writer_free(writer);
        while (kept_count > 0) {
            rows_free(&kept[--kept_count]);
        }
        shardy_reader *reader = snap_reader(place->url);
        char *text = sharding_of(reader);
        assert_non_null(strstr(text, want));
        free(text);
        for (int64_t i = 0; i < cases[c].rows; i += cases[c].rows / 97 + 1) {
            shardy_context context = row_context(i, 5, entries);
            value_is(reader, i, &context, ranks[(size_t)i * 7 % 5] + (uint32_t)(i % 3));
        }
        shardy_reader_free(reader);
    }
}

static void inferred_numbers_and_nothing(void **state)
{
    static const struct {
        const char *expression;
        const char *values;
    } cases[] = {
        {"key % 7 - 3", "[-3, -2, -1, 0, 1, 2, 3]"},
        {"uint(key % 3) * 9223372036854775807u", "[0, 9223372036854775807, 18446744073709551614]"},
        {"bytes([\"b\", \"a\", \"ab\"][key % 3])",
         "[{\"__bytes_hex__\": \"61\"}, {\"__bytes_hex__\": \"6162\"}, {\"__bytes_hex__\": "
         "\"62\"}]"},
    };
    struct place *place = *state;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        shardy_cel_sharding sharding = direct(cases[c].expression);
        sharding.infer_routing_values = true;
        shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
        for (int64_t i = 0; i < 200; i++) {
            snap_ok(add(writer, i, NULL, err));
        }
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        shardy_reader *reader = snap_reader(place->url);
        char *text = sharding_of(reader);
        assert_non_null(strstr(text, cases[c].values));
        free(text);
        for (int64_t i = 0; i < 200; i++) {
            shardy_key key = shardy_key_int(i);
            shardy_value value = SHARDY_VALUE_INIT;
            snap_ok(shardy_reader_get(reader, &key, &value, err));
            assert_memory_equal(value.data, &i, sizeof i);
            shardy_value_clear(&value);
        }
        shardy_reader_free(reader);
    }
    shardy_cel_sharding sharding = direct("key");
    sharding.infer_routing_values = true;
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    shardy_build_result result;
    snap_ok(shardy_writer_finish(writer, &result, err));
    assert_int_equal(result.num_dbs, 1);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    shardy_reader *reader = snap_reader(place->url);
    char *text = sharding_of(reader);
    assert_non_null(strstr(text, "\"routing_values\": [], "));
    free(text);
    shardy_key key = shardy_key_int(1);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(reader, &key, &value, err));
    assert_null(value.data);
    shardy_reader_free(reader);
}

/* A batch that fails leaves no routing value behind. */
static void failed_batches_teach_nothing(void **state)
{
    struct place *place = *state;
    shardy_cel_sharding sharding = by_region("region + string(10 / (tier - 2))");
    shardy_writer *writer;
    struct rows rows;
    sharding.infer_routing_values = true;
    writer = open_writer(place, &sharding, 0, NULL);
    rows_make(&rows, 0, 2000, 5);
    snap_fails(SHARDY_INPUT, "row 2: INVALID_ARGUMENT: divide by zero",
               shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
    rows_free(&rows);
    rows_make(&rows, 0, 2, 1);
    snap_ok(shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
    shardy_build_result result;
    snap_ok(shardy_writer_finish(writer, &result, err));
    assert_int_equal(result.num_dbs, 2); /* us-5, us-10 */
    assert_int_equal(result.rows_read, 2);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    rows_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(direct_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(direct_gaps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(huge_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(categorical, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inferred, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inferred_numbers_and_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_batches_teach_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
