/*
 * test_manifest_sharding.c - the sharding object of manifests (manifest_sharding.c): what is read
 * from those of the original and of ours, and the bytes that are written. Rules between its fields
 * are in test_manifest.c.
 */
#include "cel_sample.h"

#include "base/memory.h"
#include "manifest/manifest.h"

static shardy_status parse(const char *text, uint32_t num_dbs, struct sfi_sharding *sharding,
                           shardy_error *err)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return sfi_sharding_parse(bytes, num_dbs, sharding, err);
}

static char *written(const shardy_cel_sharding *cel)
{
    struct sfi_buf out;
    sfi_buf_init(&out, 1u << 20);
    cel_ok(sfi_sharding_write(cel, &out, err));
    return (char *)out.data;
}

/* Texts as the original writes them; each is read and written again byte for byte. */
static const char *const originals[] = {
    "{\"cel_columns\": {\"region\": \"string\"}, \"cel_expr\": \"region\", \"hash_algorithm\": "
    "\"xxh3_64\", \"routing_values\": [\"ap\", \"eu\", \"us\"], \"strategy\": \"cel\"}",
    "{\"cel_columns\": {\"key\": \"int\"}, \"cel_expr\": \"shard_hash(key) % 4u\", "
    "\"hash_algorithm\": \"xxh3_64\", \"routing_values\": null, \"strategy\": \"cel\"}",
    "{\"cel_columns\": {\"B\": \"int\", \"a\": \"bool\", \"b\": \"uint\"}, \"cel_expr\": \"a ? "
    "\\\"x\\\\n\\u00e9\\ud83d\\ude00\\\" : \\\"\\\"\", \"hash_algorithm\": \"xxh3_64\", "
    "\"routing_values\": [\"\", \"INVALID_ARGUMENT: divide by zero\", \"\\u0000\\u007f\\\"\", "
    "\"\\u00e9\\ud83d\\ude00\"], \"strategy\": \"cel\"}",
    "{\"cel_columns\": {\"key\": \"uint\"}, \"cel_expr\": \"key\", \"hash_algorithm\": "
    "\"xxh3_64\", \"routing_values\": [-9223372036854775808, 9007199254740993, "
    "9223372036854775807, 9223372036854775808, 18446744073709551615], \"strategy\": \"cel\"}",
    "{\"cel_columns\": {\"key\": \"int\"}, \"cel_expr\": \"key\", \"hash_algorithm\": "
    "\"xxh3_64\", \"routing_values\": [], \"strategy\": \"cel\"}",
    /* ours: the original has no form for bytes */
    "{\"cel_columns\": {\"key\": \"bytes\"}, \"cel_expr\": \"key\", \"hash_algorithm\": "
    "\"xxh3_64\", \"routing_values\": [{\"__bytes_hex__\": \"\"}, {\"__bytes_hex__\": "
    "\"00ff7a\"}], \"strategy\": \"cel\"}",
};

static void reads_and_writes_the_same_bytes(void **state)
{
    static const uint32_t num_dbs[] = {3, 4, 4, 5, 1, 2};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(originals); i++) {
        struct sfi_sharding sharding;
        cel_ok(parse(originals[i], num_dbs[i], &sharding, err));
        assert_int_equal(sharding.strategy, SHARDY_SHARDING_CEL);
        char *text = written(&sharding.cel);
        assert_string_equal(text, originals[i]);
        sfi_free(text);
        sfi_sharding_clear(&sharding);
        assert_null(sharding.owner);
    }
}

static void values_keep_their_types(void **state)
{
    struct sfi_sharding sharding;
    const shardy_cel_value *values;
    (void)state;
    cel_ok(parse(originals[3], 5, &sharding, err));
    values = sharding.cel.routing_values;
    assert_true(values[0].kind == SHARDY_CEL_INT && values[0].integer == INT64_MIN);
    assert_true(values[1].kind == SHARDY_CEL_INT && values[1].integer == 9007199254740993);
    assert_true(values[3].kind == SHARDY_CEL_UINT && values[3].natural == UINT64_C(1) << 63);
    assert_true(values[4].kind == SHARDY_CEL_UINT && values[4].natural == UINT64_MAX);
    sfi_sharding_clear(&sharding);
    cel_ok(parse(originals[5], 2, &sharding, err));
    values = sharding.cel.routing_values;
    assert_true(values[0].kind == SHARDY_CEL_BYTES && values[0].size == 0);
    assert_true(values[1].kind == SHARDY_CEL_BYTES && values[1].size == 3);
    assert_memory_equal(values[1].text, "\x00\xff\x7a", 3);
    sfi_sharding_clear(&sharding);
    cel_ok(parse(originals[2], 4, &sharding, err));
    assert_int_equal(sharding.cel.column_count, 3);
    assert_string_equal(sharding.cel.columns[2].type, "uint");
    assert_int_equal(sharding.cel.routing_values[2].size, 3);
    sfi_sharding_clear(&sharding);
    cel_ok(parse(originals[4], 1, &sharding, err));
    assert_true(sharding.cel.has_routing_values && sharding.cel.routing_value_count == 0);
    sfi_sharding_clear(&sharding);
    cel_ok(parse(originals[1], 9, &sharding, err)); /* any number of shards */
    assert_false(sharding.cel.has_routing_values);
    sfi_sharding_clear(&sharding);
    cel_ok(parse(SFI_HASH_SHARDING_JSON, 9, &sharding, err));
    assert_true(sharding.strategy == SHARDY_SHARDING_HASH && sharding.cel.expression == NULL);
    sfi_sharding_clear(&sharding);
}

static void columns_are_sorted(void **state)
{
    static const shardy_cel_column columns[] = {
        {"b", "int"}, {"\xc3\xa9", "int"}, {"B", "int"}, {"a_b", "int"}, {"a", "int"}};
    const shardy_cel_sharding sharding = {
        .expression = "a", .columns = columns, .column_count = COUNT_OF(columns)};
    (void)state;
    char *text = written(&sharding);
    assert_non_null(strstr(text, "{\"B\": \"int\", \"a\": \"int\", \"a_b\": \"int\", \"b\": "
                                 "\"int\", \"\\u00e9\": \"int\"}, "));
    sfi_free(text);
}

#define CEL(values)                                                                    \
    "{\"strategy\": \"cel\", \"hash_algorithm\": \"xxh3_64\", \"cel_expr\": \"key\", " \
    "\"cel_columns\": {\"key\": \"bytes\"}, \"routing_values\": " values "}"

static void refuses_values(void **state)
{
    static const char *const bad[] = {
        CEL("[{}]"),
        CEL("[{\"__bytes_hex__\": \"0\"}]"),
        CEL("[{\"__bytes_hex__\": \"0g\"}]"),
        CEL("[{\"__bytes_hex__\": 1}]"),
        CEL("[{\"__bytes_hex__\": \"00\", \"a\": 1}]"),
        CEL("[{\"hex\": \"00\"}]"),
        CEL("[[1]]"),
        CEL("[1.5]"),
        CEL("[null]"),
        CEL("[18446744073709551616]"),
        CEL("[\"a\", {\"__bytes_hex__\": \"61\"}]"),
        CEL("[1, \"1\"]"),
        CEL("[{\"__bytes_hex__\": \"aa\"}, {\"__bytes_hex__\": \"AA\"}]"),
        CEL("{}"),
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sfi_sharding sharding;
        cel_fails(SHARDY_MANIFEST, "routing_values", parse(bad[i], 1, &sharding, err));
        assert_null(sharding.owner);
    }
    struct sfi_sharding sharding;
    cel_fails(SHARDY_MANIFEST, "cardinality (expected 1, got 2)",
              parse(CEL("[1]"), 2, &sharding, err));
    cel_fails(SHARDY_MANIFEST, "NUL",
              parse("{\"strategy\": \"cel\", \"hash_algorithm\": \"xxh3_64\", \"cel_expr\": "
                    "\"k\\u0000\", \"cel_columns\": {\"k\": \"int\"}}",
                    2, &sharding, err));
    cel_fails(SHARDY_MANIFEST, "NUL",
              parse("{\"strategy\": \"cel\", \"hash_algorithm\": \"xxh3_64\", \"cel_expr\": "
                    "\"k\", \"cel_columns\": {\"k\\u0000\": \"int\"}}",
                    2, &sharding, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_the_same_bytes),
        cmocka_unit_test(values_keep_their_types),
        cmocka_unit_test(columns_are_sorted),
        cmocka_unit_test(refuses_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
