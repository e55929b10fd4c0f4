/*
 * test_route_cel.c - routing by CEL (route_cel.c, route_cel_rows.c, tokens.c) through the public
 * router: direct and categorical, keys and contexts, columns and batches, and what it refuses.
 */
#include "cel_sample.h"

#include "base/limits.h"
#include "base/memory.h"
#include "key_sample.h"
#include "routing/routing.h"

static const shardy_cel_column int_key[] = {{"key", "int"}};
static const shardy_cel_column region[] = {{"region", "string"}};

static shardy_router_options options_of(const shardy_cel_sharding *sharding, uint32_t num_dbs)
{
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    options.sharding = SHARDY_SHARDING_CEL;
    options.num_dbs = num_dbs;
    options.cel = sharding;
    return options;
}

static shardy_cel_sharding direct(const char *expression, const shardy_cel_column *columns)
{
    shardy_cel_sharding sharding = {
        .expression = expression, .columns = columns, .column_count = 1};
    return sharding;
}

static shardy_cel_sharding tokens(const char *expression, const shardy_cel_column *columns,
                                  const shardy_cel_value *values, size_t count)
{
    shardy_cel_sharding sharding = direct(expression, columns);
    sharding.routing_values = values;
    sharding.routing_value_count = count;
    sharding.has_routing_values = true;
    return sharding;
}

static shardy_router *router_of(const shardy_cel_sharding *sharding, uint32_t num_dbs)
{
    shardy_router_options options = options_of(sharding, num_dbs);
    shardy_router *router = NULL;
    cel_ok(shardy_router_new(&options, NULL, 0, &router, err));
    return router;
}

static uint32_t route(const shardy_router *router, const shardy_key *key)
{
    uint32_t db_id = 99;
    cel_ok(shardy_router_route(router, key, NULL, &db_id, err));
    return db_id;
}

static void hashes_as_hash_sharding_does(void **state)
{
    shardy_cel_sharding sharding = direct("shard_hash(key) % 1000u", int_key);
    shardy_router *router = router_of(&sharding, 1000);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        if (key_vectors[i].kind == VECTOR_INT) {
            shardy_key key = shardy_key_int(key_vectors[i].number);
            assert_int_equal(route(router, &key), key_vectors[i].shard[2]);
        }
    }
    assert_false(shardy_router_needs_context(router));
    assert_string_equal(shardy_cel_get_column(shardy_router_cel(router), 0)->name, "key");
    shardy_router_free(router);
    static const shardy_cel_column text_key[] = {{"key", "string"}};
    static const shardy_cel_column bytes_key[] = {{"key", "bytes"}};
    sharding = direct("shard_hash(key) % 1000u", text_key);
    shardy_router *text = router_of(&sharding, 1000);
    sharding = direct("shard_hash(key) % 1000u", bytes_key);
    shardy_router *bytes = router_of(&sharding, 1000);
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        char buffer[4096];
        shardy_key key = key_of_vector(&key_vectors[i], buffer);
        if (key_vectors[i].kind != VECTOR_INT) { /* stored alike, so routed alike */
            assert_int_equal(route(text, &key), key_vectors[i].shard[2]);
            assert_int_equal(route(bytes, &key), key_vectors[i].shard[2]);
        }
    }
    shardy_router_free(text);
    shardy_router_free(bytes);
}

struct direct_case {
    const char *expression;
    shardy_status status;
    uint32_t db_id;
    const char *message;
};

static void direct_values_are_ids(void **state)
{
    static const struct direct_case cases[] = {
        {"key % 4", SHARDY_OK, 3, NULL},
        {"uint(key) % 4u", SHARDY_OK, 3, NULL},
        {"-key", SHARDY_ASSIGNMENT, 0, "shard id -7 is outside [0, 4), the number of shards"},
        {"key", SHARDY_ASSIGNMENT, 0, "shard id 7 is outside [0, 4)"},
        {"18446744073709551615u", SHARDY_ASSIGNMENT, 0, "shard id 18446744073709551615"},
        {"\" +3\\t\"", SHARDY_OK, 3, NULL},
        {"b\"0_2\"", SHARDY_OK, 2, NULL},
        {"\"-0\"", SHARDY_OK, 0, NULL},
        {"\"-1\"", SHARDY_ASSIGNMENT, 0, "shard id '-1'"},
        {"\"99999999999999999999999999\"", SHARDY_ASSIGNMENT, 0, "outside"},
        {"\"\"", SHARDY_INPUT, 0, "invalid literal for int() with base 10: ''"},
        {"\"1_\"", SHARDY_INPUT, 0, "invalid literal for int() with base 10: '1_'"},
        {"\"_1\"", SHARDY_INPUT, 0, "invalid literal"},
        {"\"1__1\"", SHARDY_INPUT, 0, "invalid literal"},
        {"\"1.0\"", SHARDY_INPUT, 0, "invalid literal"},
        {"\"INVALID_ARGUMENT: divide by zero\"", SHARDY_INPUT, 0, "invalid literal"},
        {"dyn(true)", SHARDY_INPUT, 0, "CEL expression must return int, str, or bytes; got bool"},
        {"dyn(1.5)", SHARDY_INPUT, 0, "got float"},
        {"dyn([1])", SHARDY_INPUT, 0, "got list"},
        {"dyn(null)", SHARDY_INPUT, 0, "got NoneType"},
        {"1 / (key - 7)", SHARDY_INPUT, 0, "divide by zero"},
    };
    const shardy_key key = shardy_key_int(7);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_cel_sharding sharding = direct(cases[i].expression, int_key);
        shardy_router *router = router_of(&sharding, 4);
        uint32_t db_id;
        if (cases[i].status == SHARDY_OK) {
            assert_int_equal(route(router, &key), cases[i].db_id);
        } else {
            cel_fails(cases[i].status, cases[i].message,
                      shardy_router_route(router, &key, NULL, &db_id, err));
            assert_int_equal(db_id, 0);
        }
        shardy_router_free(router);
    }
}

/* key % 4 on negative keys is negative: an error, never another shard. */
static void negative_keys(void **state)
{
    shardy_cel_sharding sharding = direct("key % 4", int_key);
    shardy_router *router = router_of(&sharding, 4);
    (void)state;
    for (int64_t number = -8; number < 8; number++) {
        const shardy_key key = shardy_key_int(number);
        uint32_t db_id;
        if (number < 0 && number % 4 != 0) {
            cel_fails(SHARDY_ASSIGNMENT, "outside",
                      shardy_router_route(router, &key, NULL, &db_id, err));
        } else {
            assert_int_equal(route(router, &key), number % 4);
        }
    }
    shardy_router_free(router);
}

static void tokens_match_exactly(void **state)
{
    static const shardy_cel_column any[] = {{"key", "dyn"}};
    const shardy_cel_value ints[] = {shardy_cel_int(-1), shardy_cel_uint(7),
                                     shardy_cel_uint(UINT64_MAX), shardy_cel_int(0)};
    const shardy_cel_value texts[] = {cel_text("eu"), cel_text(""), cel_text("1"),
                                      shardy_cel_string("a\0b", 3)};
    const shardy_cel_value blobs[] = {shardy_cel_bytes("eu", 2), shardy_cel_bytes("\xff\x00", 2)};
    shardy_cel_sharding by_int = tokens("key", any, ints, COUNT_OF(ints));
    shardy_cel_sharding by_text = tokens("key", any, texts, COUNT_OF(texts));
    shardy_cel_sharding by_blob = tokens("key", any, blobs, COUNT_OF(blobs));
    shardy_router *routers[] = {router_of(&by_int, 0), router_of(&by_text, 4),
                                router_of(&by_blob, 2)};
    const struct {
        shardy_key key;
        uint32_t db_id[3]; /* 99: none */
    } cases[] = {
        {shardy_key_int(-1), {0, 99, 99}},        {shardy_key_uint(UINT64_MAX), {2, 99, 99}},
        {shardy_key_int(7), {1, 99, 99}},         {shardy_key_uint(7), {1, 99, 99}},
        {shardy_key_int(1), {99, 99, 99}},        {shardy_key_int(0), {3, 99, 99}},
        {shardy_key_str("eu", 2), {99, 0, 99}},   {shardy_key_str("EU", 2), {99, 99, 99}},
        {shardy_key_str("", 0), {99, 1, 99}},     {shardy_key_str("1", 1), {99, 2, 99}},
        {shardy_key_str("a\0b", 3), {99, 3, 99}}, {shardy_key_str("a", 1), {99, 99, 99}},
        {shardy_key_bytes("eu", 2), {99, 99, 0}}, {shardy_key_bytes("\xff\x00", 2), {99, 99, 1}},
        {shardy_key_bytes("1", 1), {99, 99, 99}},
    };
    (void)state;
    for (size_t r = 0; r < 3; r++) {
        const shardy_cel_value *values;
        assert_int_equal(shardy_router_routing_values(routers[r], &values),
                         shardy_router_num_dbs(routers[r]));
        assert_non_null(values);
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            uint32_t db_id;
            if (cases[i].db_id[r] == 99) {
                cel_fails(SHARDY_ASSIGNMENT, "is not present in this snapshot",
                          shardy_router_route(routers[r], &cases[i].key, NULL, &db_id, err));
            } else {
                assert_int_equal(route(routers[r], &cases[i].key), cases[i].db_id[r]);
            }
        }
        shardy_router_free(routers[r]);
    }
    uint32_t db_id;
    const shardy_key mars = shardy_key_str("mars\n", 5);
    shardy_router *router = router_of(&by_text, 0);
    cel_fails(SHARDY_ASSIGNMENT,
              "Routing token 'mars\\x0a' is not present in this snapshot (CEL expression 'key')",
              shardy_router_route(router, &mars, NULL, &db_id, err));
    shardy_router_free(router);
    shardy_cel_sharding nothing = tokens("key", any, NULL, 0);
    router = router_of(&nothing, 1);
    const shardy_cel_value *values;
    assert_int_equal(shardy_router_num_dbs(router), 1);
    assert_int_equal(shardy_router_routing_values(router, &values), 0);
    assert_non_null(values);
    cel_fails(SHARDY_ASSIGNMENT, "not present",
              shardy_router_route(router, &mars, NULL, &db_id, err));
    shardy_router_free(router);
}

struct option_case {
    shardy_cel_sharding sharding;
    uint32_t num_dbs;
    const char *message;
};

static void refuses_options(void **state)
{
    const shardy_cel_value null[] = {cel_text("a"), cel_null()};
    const shardy_cel_value boolean[] = {shardy_cel_int(1), shardy_cel_bool(true)};
    const shardy_cel_value real[] = {shardy_cel_double(1.5)};
    const shardy_cel_value mixed[] = {cel_text("a"), shardy_cel_bytes("a", 1)};
    const shardy_cel_value twice[] = {shardy_cel_int(1), shardy_cel_int(2), shardy_cel_uint(1)};
    const shardy_cel_value two[] = {cel_text("a"), cel_text("b")};
    struct option_case cases[] = {
        {direct("", int_key), 4, "CEL strategy requires cel_expr"},
        {direct("key", NULL), 4, "CEL strategy requires cel_columns"},
        {direct("key", int_key), 0, "num_dbs must be 1 to 1048576"},
        {direct("key", int_key), SFI_SHARDS_MAX + 1, "num_dbs must be 1 to 1048576"},
        {tokens("region", region, two, 2), 3, "cardinality (expected 2, got 3)"},
        {tokens("region", region, null, 2), 0, "must not contain null values"},
        {tokens("region", region, boolean, 2), 0, "must not be boolean"},
        {tokens("region", region, real, 1), 0, "must be int, str, or bytes"},
        {tokens("region", region, mixed, 2), 0, "must all share the same type; got 'a' at index 0"},
        {tokens("region", region, twice, 3), 0, "must be unique; 1 is repeated at index 2"},
        {tokens("region", region, NULL, 2), 0, "not NULL"},
        {tokens("region", region, two, 2), 2, "cannot be combined"},
        {direct("region", region), 0, "is for writers"},
        {direct("key > 1", int_key), 2, "must return int, str, or bytes; got bool: 'key > 1'"},
        {direct("1.5", int_key), 2, "got float"},
        {direct("[key]", int_key), 2, "got list"},
        {direct("{1: key}", int_key), 2, "got dict"},
        {direct("timestamp(key)", int_key), 2, "got datetime"},
        {direct("duration(\"1s\")", int_key), 2, "got timedelta"},
        {direct("null", int_key), 2, "got NoneType"},
        {direct("key % 10u", int_key), 2, "Failed to compile CEL expression 'key % 10u': "},
        {direct("other", int_key), 2, "Failed to compile CEL expression 'other': "},
    };
    cases[11].sharding.infer_routing_values = true;
    cases[12].sharding.infer_routing_values = true;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_router_options options = options_of(&cases[i].sharding, cases[i].num_dbs);
        shardy_router *router;
        cel_fails(SHARDY_CONFIG, cases[i].message,
                  shardy_router_new(&options, NULL, 0, &router, err));
        assert_null(router);
    }
    shardy_router_options options = options_of(NULL, 4);
    shardy_router *router;
    cel_fails(SHARDY_CONFIG, "requires cel_expr",
              shardy_router_new(&options, NULL, 0, &router, err));
    options = options_of(&cases[4].sharding, 4);
    options.sharding = SHARDY_SHARDING_HASH;
    cel_fails(SHARDY_CONFIG, "only valid with CEL",
              shardy_router_new(&options, NULL, 0, &router, err));
}

static void contexts(void **state)
{
    static const shardy_cel_column columns[] = {{"region", "string"}, {"tier", "int"}};
    const shardy_cel_value values[] = {cel_text("eu:1"), cel_text("us:2")};
    shardy_cel_sharding sharding = tokens("region + \":\" + string(tier)", columns, values, 2);
    sharding.column_count = 2;
    shardy_router *router = router_of(&sharding, 0);
    const shardy_key key = shardy_key_int(1);
    shardy_context_entry entries[] = {
        {"other", shardy_cel_int(1)}, {"tier", shardy_cel_int(2)}, {"region", cel_text("us")}};
    shardy_context context = {entries, 3};
    uint32_t db_id;
    (void)state;
    assert_true(shardy_router_needs_context(router));
    cel_fails(SHARDY_INPUT, "Multi-column CEL sharding requires routing_context",
              shardy_router_route(router, &key, NULL, &db_id, err));
    cel_ok(shardy_router_route(router, &key, &context, &db_id, err));
    assert_int_equal(db_id, 1);
    cel_ok(shardy_router_route_with_context(router, &context, &db_id, err));
    assert_int_equal(db_id, 1);
    entries[1].value = shardy_cel_int(9);
    cel_fails(SHARDY_ASSIGNMENT, "'us:9' is not present",
              shardy_router_route(router, &key, &context, &db_id, err));
    entries[1].value = cel_text("2");
    cel_fails(SHARDY_INPUT, "column \"tier\" must be int; got string",
              shardy_router_route(router, &key, &context, &db_id, err));
    context.count = 2;
    entries[1].value = shardy_cel_int(2);
    cel_fails(SHARDY_INPUT, "no value for column \"region\"",
              shardy_router_route(router, &key, &context, &db_id, err));
    cel_fails(SHARDY_INPUT, "region", shardy_router_route_with_context(router, NULL, &db_id, err));
    shardy_router_free(router);
}

static void groups(void **state)
{
    static const shardy_cel_column any[] = {{"key", "int"}};
    const shardy_cel_value values[] = {shardy_cel_int(10), shardy_cel_int(20)};
    shardy_cel_sharding sharding = tokens("key / 10 * 10", any, values, 2);
    shardy_router *router = router_of(&sharding, 0);
    const shardy_key keys[] = {shardy_key_int(21), shardy_key_int(31), shardy_key_int(11),
                               shardy_key_int(22), shardy_key_int(5),  shardy_key_int(31)};
    const shardy_context_entry entry = {"key", shardy_cel_int(11)};
    const shardy_context_entry lost = {"key", shardy_cel_int(99)};
    const shardy_context context = {&entry, 1};
    const shardy_context nowhere = {&lost, 1};
    shardy_key_groups found;
    (void)state;
    cel_ok(shardy_router_group_keys_allow_missing(router, keys, 6, NULL, &found, err));
    assert_int_equal(found.count, 2);
    assert_true(found.groups[0].db_id == 1 && found.groups[0].count == 2);
    assert_true(found.groups[0].positions[0] == 0 && found.groups[0].positions[1] == 3);
    assert_true(found.groups[1].db_id == 0 && found.groups[1].count == 1);
    assert_int_equal(found.missing_count, 3);
    assert_true(found.missing[0] == 1 && found.missing[1] == 4 && found.missing[2] == 5);
    shardy_key_groups_clear(&found);
    cel_fails(SHARDY_ASSIGNMENT,
              "One or more keys could not be routed for this snapshot: [31, 5, 31]",
              shardy_router_group_keys(router, keys, 6, NULL, &found, err));
    assert_null(found.owner);
    cel_ok(shardy_router_group_keys(router, keys, 6, &context, &found, err));
    assert_true(found.count == 1 && found.groups[0].db_id == 0 && found.groups[0].count == 6);
    assert_int_equal(found.groups[0].positions[5], 5);
    shardy_key_groups_clear(&found);
    cel_ok(shardy_router_group_keys_allow_missing(router, keys, 6, &nowhere, &found, err));
    assert_true(found.count == 0 && found.missing_count == 6 && found.missing[5] == 5);
    shardy_key_groups_clear(&found);
    cel_ok(shardy_router_group_keys_allow_missing(router, NULL, 0, &context, &found, err));
    assert_true(found.count == 0 && found.missing_count == 0);
    shardy_key_groups_clear(&found);
    shardy_router_free(router);
}

/* A column and a batch route as their rows do, across blocks. */
static void columns_and_batches(void **state)
{
    enum { ROWS = 2500 };
    static int64_t keys[ROWS];
    static uint32_t ids[ROWS];
    struct cel_array column;
    struct cel_array *columns[] = {&column};
    struct cel_table table;
    static const char *const expressions[] = {"shard_hash(key) % 7u", "key % 5", "string(key % 3)",
                                              "dyn(key % 3)"};
    (void)state;
    for (int64_t i = 0; i < ROWS; i++) {
        keys[i] = i * 7919 % 10007;
    }
    cel_array_init(&column, "key", "l", ROWS, NULL, keys, NULL);
    cel_table_init(&table, ROWS, columns, 1);
    for (size_t e = 0; e < COUNT_OF(expressions); e++) {
        shardy_cel_sharding sharding = direct(expressions[e], int_key);
        shardy_router *router = router_of(&sharding, 7);
        for (int batch = 0; batch < 2; batch++) {
            memset(ids, 0xff, sizeof ids);
            if (batch) {
                cel_ok(shardy_router_route_batch(router, &table.schema, &table.array, 0, ids, err));
            } else {
                cel_ok(shardy_router_route_column(router, &column.schema, &column.array, ids, err));
            }
            for (size_t i = 0; i < ROWS; i++) {
                const shardy_key key = shardy_key_int(keys[i]);
                assert_int_equal(ids[i], route(router, &key));
            }
        }
        shardy_router_free(router);
    }
    keys[1500] = 77777;
    shardy_cel_sharding sharding = direct("key / 10007", int_key);
    shardy_router *router = router_of(&sharding, 1);
    cel_fails(SHARDY_ASSIGNMENT, "row 1500: shard id 7 is outside [0, 1)",
              shardy_router_route_column(router, &column.schema, &column.array, ids, err));
    cel_fails(SHARDY_ASSIGNMENT, "row 2500: shard id 7",
              shardy_router_route_batch(router, &table.schema, &table.array, 1000, ids, err));
    shardy_router_free(router);
    sharding = direct("1 / (key - 77777)", int_key);
    router = router_of(&sharding, 4);
    cel_fails(SHARDY_INPUT, "row 1500: INVALID_ARGUMENT: divide by zero",
              shardy_router_route_column(router, &column.schema, &column.array, ids, err));
    shardy_router_free(router);
    column.schema.format = "u";
    sharding = direct("key % 5", int_key);
    router = router_of(&sharding, 5);
    column.array.n_buffers = 3;
    static const int32_t offsets[] = {0, 1};
    cel_array_init(&column, "key", "u", 1, NULL, offsets, "a");
    cel_fails(SHARDY_CONFIG, "declared type int, but the keys are text",
              shardy_router_route_column(router, &column.schema, &column.array, ids, err));
    shardy_router_free(router);
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    options.num_dbs = 4;
    cel_ok(shardy_router_new(&options, NULL, 0, &router, err));
    assert_null(shardy_router_cel(router));
    cel_fails(SHARDY_CONFIG, "requires CEL sharding strategy",
              shardy_router_route_batch(router, &table.schema, &table.array, 0, ids, err));
    shardy_router_free(router);
}

static void learns_in_order_of_appearance(void **state)
{
    struct sfi_cel_route *learner = NULL;
    shardy_cel_sharding sharding = direct("region", region);
    static const int32_t offsets[] = {0, 2, 4, 6, 8, 10};
    static const int32_t broken[] = {0, 1};
    struct cel_array column;
    struct cel_array *columns[] = {&column};
    struct cel_table table;
    struct sfi_cel_batch batch;
    uint32_t ids[5];
    bool missing = false;
    (void)state;
    sharding.infer_routing_values = true;
    cel_ok(sfi_cel_route_new(&sharding, 0, &learner, err));
    cel_array_init(&column, "region", "u", 5, NULL, offsets, "useuusapeu");
    cel_table_init(&table, 5, columns, 1);
    cel_ok(sfi_cel_batch_open(learner->cel, &table.schema, &table.array, NULL, 0, &batch, err));
    const struct sfi_cel_rows rows = {batch.columns, 0};
    cel_ok(sfi_cel_route_rows(learner, &rows, 0, 5, ids, &missing, err));
    assert_true(missing && ids[0] == SFI_NO_SHARD);
    cel_ok(sfi_cel_route_learn(learner, &rows, 0, 5, ids, err));
    const uint32_t want[] = {0, 1, 0, 2, 1};
    assert_memory_equal(ids, want, sizeof want);
    missing = false;
    cel_ok(sfi_cel_route_rows(learner, &rows, 0, 5, ids, &missing, err));
    assert_false(missing);
    uint32_t *order = sfi_tokens_order(&learner->tokens);
    assert_true(order[0] == 2 && order[1] == 1 && order[2] == 0); /* ap eu us */
    cel_ok(sfi_tokens_reorder(&learner->tokens, order, err));
    sfi_free(order);
    cel_ok(sfi_cel_route_rows(learner, &rows, 0, 5, ids, &missing, err));
    const uint32_t sorted[] = {2, 1, 2, 0, 1};
    assert_memory_equal(ids, sorted, sizeof sorted);
    sfi_tokens_truncate(&learner->tokens, 1);
    cel_ok(sfi_cel_route_rows(learner, &rows, 0, 5, ids, &missing, err));
    assert_true(missing && ids[3] == 0 && ids[4] == SFI_NO_SHARD);
    sfi_cel_batch_clear(&batch);
    cel_array_init(&column, "region", "u", 1, NULL, broken, "\xff");
    cel_table_init(&table, 1, columns, 1);
    cel_ok(sfi_cel_batch_open(learner->cel, &table.schema, &table.array, NULL, 0, &batch, err));
    const struct sfi_cel_rows bad = {batch.columns, 40};
    ids[0] = SFI_NO_SHARD;
    cel_fails(SHARDY_INPUT, "row 40: a routing value is not UTF-8",
              sfi_cel_route_learn(learner, &bad, 0, 1, ids, err));
    sfi_cel_batch_clear(&batch);
    sfi_cel_route_release(learner);
}

static void bounds_what_it_learns(void **state)
{
    struct sfi_cel_route *learner = NULL;
    shardy_cel_sharding sharding = direct("key", int_key);
    uint32_t id;
    (void)state;
    sharding.infer_routing_values = true;
    cel_ok(sfi_cel_route_new(&sharding, 0, &learner, err));
    for (int64_t i = 0; i < SFI_INFERRED_VALUES_MAX; i++) {
        const shardy_key key = shardy_key_int(i * 3);
        cel_ok(sfi_cel_route_learn_one(learner, &key, NULL, &id, err));
        assert_int_equal(id, i);
    }
    const shardy_key last = shardy_key_int(-1);
    cel_fails(SHARDY_LIMIT, "more than 65536 distinct routing values, the next is -1",
              sfi_cel_route_learn_one(learner, &last, NULL, &id, err));
    const shardy_key known = shardy_key_int(300);
    cel_ok(sfi_cel_route_learn_one(learner, &known, NULL, &id, err));
    assert_int_equal(id, 100);
    sfi_cel_route_release(learner);
    static const shardy_cel_column any[] = {{"key", "dyn"}};
    sharding = direct("key", any);
    sharding.infer_routing_values = true;
    cel_ok(sfi_cel_route_new(&sharding, 0, &learner, err));
    const shardy_key text = shardy_key_str("a", 1);
    cel_ok(sfi_cel_route_learn_one(learner, &known, NULL, &id, err));
    cel_fails(SHARDY_CONFIG, "must all share the same type; got 300 and 'a'",
              sfi_cel_route_learn_one(learner, &text, NULL, &id, err));
    sfi_cel_route_release(learner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_as_hash_sharding_does),
        cmocka_unit_test(direct_values_are_ids),
        cmocka_unit_test(negative_keys),
        cmocka_unit_test(tokens_match_exactly),
        cmocka_unit_test(refuses_options),
        cmocka_unit_test(contexts),
        cmocka_unit_test(groups),
        cmocka_unit_test(columns_and_batches),
        cmocka_unit_test(learns_in_order_of_appearance),
        cmocka_unit_test(bounds_what_it_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
