/*
 * test_writer_cel.c - builds that route by CEL (writer_cel.c, writer_shards.c): direct, categorical
 * and inferred, rows and batches, orders, spills; what is refused; and the original's snapshots
 * built again.
 */
#include "snapshot_sample.h"

#include "base/limits.h"
#include "cel_sample.h"
#include "fixture_sample.h"

static const shardy_cel_column int_key[] = {{"key", "int"}};
static const shardy_cel_column region_tier[] = {{"region", "string"}, {"tier", "int"}};
static const char *const regions[] = {"us", "eu", "apac", "", "\xc3\xa9"};

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

static shardy_writer *open_writer(const struct place *place, const shardy_cel_sharding *cel,
                                  uint32_t num_dbs, const shardy_writer_options *more)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    if (more) {
        options = *more;
    }
    options.url = place->url;
    options.num_dbs = num_dbs;
    options.cel = cel;
    snap_ok(shardy_writer_open(&options, &writer, err));
    return writer;
}

static shardy_cel_sharding direct(const char *expression)
{
    shardy_cel_sharding sharding = {
        .expression = expression, .columns = int_key, .column_count = 1};
    return sharding;
}

static shardy_cel_sharding by_region(const char *expression)
{
    shardy_cel_sharding sharding = {
        .expression = expression, .columns = region_tier, .column_count = 2};
    return sharding;
}

static shardy_status add(shardy_writer *writer, int64_t number, const shardy_context *context,
                         shardy_error *err)
{
    shardy_key key = shardy_key_int(number);
    return shardy_writer_add_with_context(writer, &key, &number, sizeof number, context, err);
}

/* Values are the keys. */
static void value_is(shardy_reader *reader, int64_t number, const shardy_context *context,
                     uint32_t want)
{
    shardy_key key = shardy_key_int(number);
    shardy_value value = SHARDY_VALUE_INIT;
    uint32_t db_id;
    snap_ok(shardy_reader_route(reader, &key, context, &db_id, err));
    assert_int_equal(db_id, want);
    snap_ok(shardy_reader_get_with_context(reader, &key, context, &value, err));
    assert_int_equal(value.size, sizeof number);
    assert_memory_equal(value.data, &number, sizeof number);
    shardy_value_clear(&value);
}

static char *sharding_of(shardy_reader *reader)
{
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    char *text = strdup(about.sharding_json);
    shardy_snapshot_info_clear(&about);
    return text;
}

/* A batch of keys, values and two columns; everything is borrowed. */
struct rows {
    struct cel_array columns[4];
    struct cel_table table;
    int64_t *keys;
    int64_t *tiers;
    int32_t *offsets;
    char *text;
    int32_t *value_ends;
};

static void rows_make(struct rows *rows, int64_t first, size_t count, size_t kinds)
{
    struct cel_array *list[4] = {&rows->columns[0], &rows->columns[1], &rows->columns[2],
                                 &rows->columns[3]};
    rows->keys = snap_alloc(count * sizeof *rows->keys);
    rows->tiers = snap_alloc(count * sizeof *rows->tiers);
    rows->offsets = snap_alloc((count + 1) * sizeof *rows->offsets);
    rows->text = snap_alloc(count * 8);
    rows->value_ends = snap_alloc((count + 1) * sizeof *rows->value_ends);
    for (size_t i = 0; i < count; i++) {
        const char *region = regions[(size_t)(first + (int64_t)i) * 7 % kinds];
        rows->keys[i] = first + (int64_t)i;
        rows->tiers[i] = (first + (int64_t)i) % 3;
        memcpy(rows->text + rows->offsets[i], region, strlen(region));
        rows->offsets[i + 1] = rows->offsets[i] + (int32_t)strlen(region);
        rows->value_ends[i + 1] = (int32_t)(i + 1) * 8;
    }
    cel_array_init(list[0], "key", "l", (int64_t)count, NULL, rows->keys, NULL);
    cel_array_init(list[1], "value", "z", (int64_t)count, NULL, rows->value_ends, rows->keys);
    cel_array_init(list[2], "region", "u", (int64_t)count, NULL, rows->offsets, rows->text);
    cel_array_init(list[3], "tier", "l", (int64_t)count, NULL, rows->tiers, NULL);
    cel_table_init(&rows->table, (int64_t)count, list, 4);
}

static void rows_free(struct rows *rows)
{
    free(rows->keys);
    free(rows->tiers);
    free(rows->offsets);
    free(rows->text);
    free(rows->value_ends);
}

static shardy_context row_context(int64_t number, size_t kinds, shardy_context_entry entries[2])
{
    const char *region = regions[(size_t)number * 7 % kinds];
    shardy_context context = {entries, 2};
    entries[0].name = "region";
    entries[0].value = cel_text(region);
    entries[1].name = "tier";
    entries[1].value = shardy_cel_int(number % 3);
    return context;
}

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

/* ---- orders, names, options ------------------------------------------------------------------ */

static void grouped_input(void **state)
{
    struct place *place = *state;
    shardy_cel_sharding sharding = direct("key / 1000");
    shardy_writer_options more = SHARDY_WRITER_OPTIONS_INIT;
    for (int order = SHARDY_INPUT_GROUPED; order <= SHARDY_INPUT_SORTED; order++) {
        struct rows rows[3];
        more.input_order = (shardy_input_order)order;
        shardy_writer *writer = open_writer(place, &sharding, 4, &more);
        for (int64_t i = 0; i < 3; i++) {
            rows_make(&rows[i], i * 1100, 1100, 3);
            snap_ok(
                shardy_writer_add_batch(writer, &rows[i].table.schema, &rows[i].table.array, err));
        }
        for (int64_t i = 3300; i < 3500; i++) {
            snap_ok(add(writer, i, NULL, err));
        }
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        shardy_reader *reader = snap_reader(place->url);
        for (int64_t i = 0; i < 3500; i += 17) {
            value_is(reader, i, NULL, (uint32_t)(i / 1000));
        }
        shardy_reader_free(reader);
        for (size_t i = 0; i < 3; i++) {
            rows_free(&rows[i]);
        }
    }
    shardy_writer *writer = NULL;
    more.url = place->url;
    more.num_dbs = 0;
    more.cel = &sharding;
    snap_fails(SHARDY_CONFIG, "needs the number of shards",
               shardy_writer_open(&more, &writer, err));
    sharding.infer_routing_values = true;
    snap_fails(SHARDY_CONFIG, "needs the number of shards",
               shardy_writer_open(&more, &writer, err));
}

static void key_under_its_own_name(void **state)
{
    static const shardy_cel_column with_key[] = {{"key", "int"}, {"region", "string"}};
    static const shardy_cel_column with_id[] = {{"id", "int"}, {"region", "string"}};
    struct place *place = *state;
    for (int how = 0; how < 2; how++) {
        shardy_cel_sharding sharding =
            direct(how ? "id % 2 + size(region)" : "key % 2 + size(region)");
        shardy_writer_options more = SHARDY_WRITER_OPTIONS_INIT;
        struct rows rows;
        sharding.columns = how ? with_id : with_key;
        sharding.column_count = 2;
        more.key_col = "id";
        shardy_writer *writer = open_writer(place, &sharding, 8, &more);
        rows_make(&rows, 0, 100, 3);
        rows.columns[0].schema.name = "id";
        snap_ok(shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
        const shardy_context_entry region = {"region", cel_text("us")};
        shardy_context context = {&region, 1};
        snap_ok(add(writer, 101, &context, err)); /* the key is added */
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        rows_free(&rows);
        shardy_reader *reader = snap_reader(place->url);
        const shardy_context_entry full[] = {{how ? "id" : "key", shardy_cel_int(101)}, region};
        context.entries = full;
        context.count = 2;
        value_is(reader, 101, &context, 3);
        shardy_reader_free(reader);
    }
}

static void refuses_options(void **state)
{
    struct place *place = *state;
    const shardy_cel_value values[] = {cel_text("a"), cel_text("b")};
    const shardy_cel_value broken[] = {shardy_cel_string("\xff", 1)};
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_cel_sharding sharding = direct("key");
    shardy_writer *writer = NULL;
    options.url = place->url;
    options.cel = &sharding;
    options.max_keys_per_shard = 10;
    snap_fails(SHARDY_CONFIG, "max_keys_per_shard cannot be combined with CEL",
               shardy_writer_open(&options, &writer, err));
    options.max_keys_per_shard = 0;
    options.num_dbs = 3;
    sharding.infer_routing_values = true;
    snap_fails(SHARDY_CONFIG, "num_dbs must be 0, got 3",
               shardy_writer_open(&options, &writer, err));
    sharding.has_routing_values = true;
    sharding.routing_values = values;
    sharding.routing_value_count = 2;
    snap_fails(SHARDY_CONFIG, "cannot be combined", shardy_writer_open(&options, &writer, err));
    sharding.infer_routing_values = false;
    snap_fails(SHARDY_CONFIG, "expected 2, got 3", shardy_writer_open(&options, &writer, err));
    options.num_dbs = 0;
    sharding.routing_values = broken;
    sharding.routing_value_count = 1;
    snap_fails(SHARDY_CONFIG, "not UTF-8", shardy_writer_open(&options, &writer, err));
    sharding = direct("key +");
    snap_fails(SHARDY_CONFIG, "Failed to compile CEL expression 'key +'",
               shardy_writer_open(&options, &writer, err));
    sharding = direct("key > 1");
    snap_fails(SHARDY_CONFIG, "got bool", shardy_writer_open(&options, &writer, err));
    assert_null(writer);
    options.cel = NULL;
    options.num_dbs = 2;
    snap_ok(shardy_writer_open(&options, &writer, err));
    const shardy_context context = {NULL, 0};
    snap_fails(SHARDY_CONFIG, "requires CEL sharding strategy", add(writer, 1, &context, err));
    shardy_writer_free(writer);
    sharding = by_region("region");
    sharding.infer_routing_values = true;
    writer = open_writer(place, &sharding, 0, NULL);
    struct rows rows;
    rows_make(&rows, 0, 10, 3);
    rows.columns[2].schema.name = "other";
    snap_fails(SHARDY_CONFIG,
               "CEL column \"region\" not found in Arrow schema; it has: key, value, other, tier",
               shardy_writer_add_batch(writer, &rows.table.schema, &rows.table.array, err));
    rows_free(&rows);
    shardy_writer_free(writer);
}

/* ---- the original's snapshots ---------------------------------------------------------------- */

static void rebuild(const struct fixture *fixture, const struct place *place)
{
    const json_t *routing = json_object_get(fixture->expected, "routing");
    const json_t *given = json_object_get(routing, "routing_values");
    shardy_cel_column columns[8];
    shardy_cel_value values[16];
    shardy_cel_sharding sharding = {0};
    const char *name;
    json_t *type;
    sharding.expression = json_string_value(json_object_get(routing, "cel_expr"));
    sharding.columns = columns;
    json_object_foreach(json_object_get(routing, "cel_columns"), name, type)
    {
        columns[sharding.column_count].name = name;
        columns[sharding.column_count++].type = json_string_value(type);
    }
    for (size_t i = 0; i < json_array_size(given); i++) {
        values[i] = cel_text(json_string_value(json_array_get(given, i)));
    }
    sharding.routing_values = values;
    sharding.routing_value_count = json_array_size(given);
    sharding.has_routing_values = given != NULL;
    sharding.infer_routing_values =
        json_is_true(json_object_get(routing, "infer_routing_values_from_data"));
    shardy_reader *theirs = snap_reader(fixture->url);
    shardy_writer *writer = open_writer(place, &sharding, 0, NULL);
    for (size_t i = 0; i < json_array_size(fixture->rows); i++) {
        const json_t *row = json_array_get(fixture->rows, i);
        uint8_t buffer[4096];
        shardy_key key = key_of_json(json_object_get(row, "key"), buffer);
        shardy_context_entry entries[8];
        shardy_context context = context_of_row(row, entries);
        const shardy_context *used = context.count ? &context : NULL;
        shardy_value value = SHARDY_VALUE_INIT;
        snap_ok(shardy_reader_get_with_context(theirs, &key, used, &value, err));
        snap_ok(shardy_writer_add_with_context(writer, &key, value.data, value.size, used, err));
        shardy_value_clear(&value);
    }
    snap_ok(shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
    shardy_reader *ours = snap_reader(place->url);
    char *texts[] = {sharding_of(theirs), sharding_of(ours)};
    assert_string_equal(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
    check_scans(fixture, ours);
    if (sharding.column_count > 1 || given) {
        check_gets_with_context(fixture, ours);
    } else {
        check_gets(fixture, ours);
    }
    shardy_reader_free(ours);
    shardy_reader_free(theirs);
}

static void rebuilds_the_originals(void **state)
{
    static const char *const names[] = {"cel-direct", "cel-categorical", "cel-inferred"};
    if (!fixtures_root(root, sizeof root)) {
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct fixture fixture;
        fixture_open(&fixture, names[i]);
        rebuild(&fixture, *state);
        json_decref(fixture.expected);
    }
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
        cmocka_unit_test_setup_teardown(grouped_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(key_under_its_own_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rebuilds_the_originals, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
