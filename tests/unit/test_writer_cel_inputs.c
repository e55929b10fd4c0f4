/*
 * test_writer_cel_inputs.c - builds that route by CEL: rows that arrive by shard, names of the key
 * column, options that are refused; and the original's snapshots built again.
 */
#include "writer_cel_sample.h"

#include "fixture_sample.h"

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
        cmocka_unit_test_setup_teardown(grouped_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(key_under_its_own_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rebuilds_the_originals, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
