/*
 * test_cel_api.c - compile, describe and evaluate expressions by the public calls (cel.c,
 * cel_row.c, cel_sharding.c), the cache of compilations (cel_cache.c), and many threads on one
 * expression.
 */
#include "cel_sample.h"

#include "base/limits.h"
#include "cel/cel.h"

#include <pthread.h>

static const shardy_cel_column columns[] = {
    {"key", "int"},      {"name", "string"},   {"data", "bytes"},
    {"big", "uint"},     {"real", "double"},   {"flag", "bool"},
    {"ts", "timestamp"}, {"wait", "duration"}, {"any", "dyn"}};

static void describes(void **state)
{
    (void)state;
    shardy_cel *cel = cel_new("name == \"a\" ? key : 0", columns, COUNT_OF(columns));
    assert_string_equal(shardy_cel_result_type(cel), "int");
    assert_int_equal(shardy_cel_column_count(cel), COUNT_OF(columns));
    assert_string_equal(shardy_cel_get_column(cel, 2)->name, "data");
    assert_string_equal(shardy_cel_get_column(cel, 2)->type, "bytes");
    assert_ptr_not_equal(shardy_cel_get_column(cel, 2)->name, columns[2].name);
    assert_null(shardy_cel_get_column(cel, COUNT_OF(columns)));
    assert_true(shardy_cel_reads_column(cel, 0) && shardy_cel_reads_column(cel, 1));
    assert_false(shardy_cel_reads_column(cel, 2) || shardy_cel_reads_column(cel, 99));
    assert_false(shardy_cel_is_portable(cel)); /* it declares columns that the original lacks */
    shardy_cel_free(cel);
    cel = cel_new("shard_hash(key) % 4u", columns, 1);
    assert_string_equal(shardy_cel_result_type(cel), "uint");
    assert_true(shardy_cel_is_portable(cel));
    shardy_cel_free(cel);
    cel = cel_new("math.greatest(key, 4)", columns, 1);
    assert_false(shardy_cel_is_portable(cel));
    shardy_cel_free(cel);
    shardy_cel_free(NULL);
}

static void refuses_options(void **state)
{
    static const shardy_cel_column bad_type[] = {{"a", "float"}};
    static const shardy_cel_column twice[] = {{"a", "int"}, {"a", "int"}};
    static const shardy_cel_column unnamed[] = {{"", "int"}};
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *cel = (shardy_cel *)(void *)&options;
    (void)state;
    cel_fails(SHARDY_CONFIG, "empty", shardy_cel_compile(&options, &cel, err));
    assert_null(cel);
    options.expression = "a";
    cel_fails(SHARDY_CONFIG, "a", shardy_cel_compile(&options, &cel, err));
    options.columns = bad_type;
    options.column_count = 1;
    cel_fails(SHARDY_CONFIG, "Unsupported CEL column type: 'float' for column 'a'. Allowed: bool",
              shardy_cel_compile(&options, &cel, err));
    options.columns = twice;
    options.column_count = 2;
    cel_fails(SHARDY_CONFIG, "declared twice", shardy_cel_compile(&options, &cel, err));
    options.columns = unnamed;
    options.column_count = 1;
    cel_fails(SHARDY_CONFIG, "no name", shardy_cel_compile(&options, &cel, err));
    options.columns = NULL;
    cel_fails(SHARDY_CONFIG, "not NULL", shardy_cel_compile(&options, &cel, err));
    options.struct_size = 0;
    cel_fails(SHARDY_CONFIG, "SHARDY_CEL_OPTIONS_INIT", shardy_cel_compile(&options, &cel, err));
}

static void names_place_of_errors(void **state)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *cel;
    (void)state;
    options.columns = columns;
    options.column_count = 1;
    options.expression = "key % 10u";
    cel_fails(SHARDY_CONFIG, "1:5", shardy_cel_compile(&options, &cel, err));
    cel_fails(SHARDY_CONFIG, "^", shardy_cel_compile(&options, &cel, err));
    options.expression = "key +";
    cel_fails(SHARDY_CONFIG, "1:", shardy_cel_compile(&options, &cel, err));
    options.expression = "nobody + 1";
    cel_fails(SHARDY_CONFIG, "nobody", shardy_cel_compile(&options, &cel, err));
}

struct row_case {
    const char *expression;
    shardy_cel_kind kind;
    int64_t number; /* also uint, bool, seconds */
    const char *text;
};

static const struct row_case row_cases[] = {
    {"key + 1", SHARDY_CEL_INT, 43, NULL},
    {"big", SHARDY_CEL_UINT, -1, NULL},
    {"flag && key > 0", SHARDY_CEL_BOOL, 1, NULL},
    {"name + \"!\"", SHARDY_CEL_STRING, 0, "eu!"},
    {"data", SHARDY_CEL_BYTES, 0, "\x01\x02"},
    {"ts + duration(\"2s\")", SHARDY_CEL_TIMESTAMP, 102, NULL},
    {"wait", SHARDY_CEL_DURATION, -1, NULL},
    {"[key, 1]", SHARDY_CEL_OTHER, 0, "[42, 1]"},
    {"{\"a\": name}", SHARDY_CEL_OTHER, 0, "{\"a\": \"eu\"}"},
    {"null", SHARDY_CEL_NULL, 0, NULL},
    {"any", SHARDY_CEL_STRING, 0, "dyn"},
    {"shard_hash(key)", SHARDY_CEL_UINT, (int64_t)UINT64_C(15395265915043915720), NULL},
};

static shardy_context sample_row(shardy_context_entry entries[9])
{
    shardy_context context = {entries, 9};
    for (size_t i = 0; i < 9; i++) {
        entries[8 - i].name = columns[i].name; /* another order than that of the declaration */
    }
    entries[8].value = shardy_cel_int(42);
    entries[7].value = cel_text("eu");
    entries[6].value = shardy_cel_bytes("\x01\x02", 2);
    entries[5].value = shardy_cel_uint(UINT64_MAX);
    entries[4].value = shardy_cel_double(0.5);
    entries[3].value = shardy_cel_bool(true);
    entries[2].value = shardy_cel_int(100);
    entries[2].value.kind = SHARDY_CEL_TIMESTAMP;
    entries[1].value = shardy_cel_int(-1);
    entries[1].value.kind = SHARDY_CEL_DURATION;
    entries[1].value.nanos = -5;
    entries[0].value = cel_text("dyn");
    return context;
}

static void evaluates_rows(void **state)
{
    shardy_context_entry entries[9];
    const shardy_context context = sample_row(entries);
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(row_cases); i++) {
        const struct row_case *c = &row_cases[i];
        shardy_cel *cel = cel_new(c->expression, columns, COUNT_OF(columns));
        cel_ok(shardy_cel_evaluate(cel, &context, &result, err));
        if (result.value.kind != c->kind) {
            fail_msg("%s: kind %d", c->expression, (int)result.value.kind);
        }
        if (c->text) {
            assert_int_equal(result.value.size, strlen(c->text));
            assert_memory_equal(result.value.text, c->text, strlen(c->text));
        } else if (c->kind == SHARDY_CEL_BOOL) {
            assert_true(result.value.boolean);
        } else if (c->kind != SHARDY_CEL_NULL) {
            assert_int_equal(result.value.integer, c->number);
        }
        shardy_cel_free(cel);
    }
    assert_int_equal(result.value.natural, UINT64_C(15395265915043915720));
    shardy_cel_result_clear(&result);
    shardy_cel_result_clear(NULL);
    assert_null(result.owner);
}

struct binding_case {
    const char *type;
    shardy_cel_value value;
    const char *error; /* NULL: it is taken */
};

static void binds_by_declared_type(void **state)
{
    const struct binding_case cases[] = {
        {"int", shardy_cel_uint(7), NULL},
        {"int", shardy_cel_uint(UINT64_MAX), "does not fit int"},
        {"uint", shardy_cel_int(7), NULL},
        {"uint", shardy_cel_int(-1), "does not fit uint"},
        {"double", shardy_cel_int(-1), NULL},
        {"double", shardy_cel_uint(UINT64_MAX), NULL},
        {"int", shardy_cel_double(1.0), "must be int; got double"},
        {"int", shardy_cel_bool(true), "must be int; got bool"},
        {"string", shardy_cel_bytes("a", 1), "must be string; got bytes"},
        {"bytes", cel_text("a"), "must be bytes; got string"},
        {"bool", shardy_cel_int(1), "must be bool; got int"},
        {"string", cel_null(), "is null"},
        {"dyn", cel_null(), NULL},
        {"dyn", shardy_cel_double(1), NULL},
        {"timestamp", shardy_cel_int(1), "must be timestamp; got int"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const shardy_cel_column declared = {"some_column", cases[i].type};
        const shardy_context_entry entry = {"some_column", cases[i].value};
        const shardy_context context = {&entry, 1};
        shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
        shardy_cel *cel = cel_new("some_column", &declared, 1);
        if (cases[i].error) {
            cel_fails(SHARDY_INPUT, cases[i].error,
                      shardy_cel_evaluate(cel, &context, &result, err));
            cel_fails(SHARDY_INPUT, "some_column",
                      shardy_cel_evaluate(cel, &context, &result, err));
        } else {
            cel_ok(shardy_cel_evaluate(cel, &context, &result, err));
        }
        shardy_cel_result_clear(&result);
        shardy_cel_free(cel);
    }
}

static void reads_lazily(void **state)
{
    const shardy_context_entry entry = {"key", shardy_cel_int(-1)};
    const shardy_context context = {&entry, 1};
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    shardy_cel *cel = cel_new("key < 0 ? 7 : size(name)", columns, 2);
    (void)state;
    cel_ok(shardy_cel_evaluate(cel, &context, &result, err));
    assert_int_equal(result.value.integer, 7);
    const shardy_context_entry positive = {"key", shardy_cel_int(1)};
    const shardy_context missing = {&positive, 1};
    cel_fails(SHARDY_INPUT, "name", shardy_cel_evaluate(cel, &missing, &result, err));
    cel_fails(SHARDY_INPUT, "key", shardy_cel_evaluate(cel, NULL, &result, err));
    shardy_cel_free(cel);
    cel = cel_new("10 / key", columns, 1);
    const shardy_context_entry zero = {"key", shardy_cel_int(0)};
    const shardy_context by_zero = {&zero, 1};
    cel_fails(SHARDY_INPUT, "divide by zero", shardy_cel_evaluate(cel, &by_zero, &result, err));
    cel_fails(SHARDY_INPUT, "10 / key", shardy_cel_evaluate(cel, &by_zero, &result, err));
    shardy_cel_free(cel);
    shardy_cel_result_clear(&result);
}

static void caches_compilations(void **state)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *first;
    shardy_cel *second;
    char text[SFI_CEL_CACHE_ENTRIES + 1][16];
    (void)state;
    sfi_cel_cache_clear();
    options.columns = columns;
    options.column_count = 2;
    options.expression = "key + 5";
    cel_ok(sfi_cel_compile_cached(&options, &first, err));
    cel_ok(sfi_cel_compile_cached(&options, &second, err));
    assert_ptr_equal(first, second);
    shardy_cel_free(second);
    options.column_count = 1;
    cel_ok(sfi_cel_compile_cached(&options, &second, err));
    assert_ptr_not_equal(first, second);
    shardy_cel_free(second);
    for (size_t i = 0; i < COUNT_OF(text); i++) { /* more than the cache holds */
        snprintf(text[i], sizeof text[i], "key + %zu", 100 + i);
        options.expression = text[i];
        cel_ok(sfi_cel_compile_cached(&options, &second, err));
        shardy_cel_free(second);
    }
    options.expression = "key + 5";
    options.column_count = 2;
    cel_ok(sfi_cel_compile_cached(&options, &second, err));
    assert_ptr_not_equal(first, second); /* it was dropped, and lives on here */
    shardy_cel_free(second);
    assert_string_equal(shardy_cel_result_type(first), "int");
    shardy_cel_free(first);
    options.expression = "key +";
    cel_fails(SHARDY_CONFIG, "1:", sfi_cel_compile_cached(&options, &second, err));
    sfi_cel_cache_clear();
}

static void *evaluate_many(void *arg)
{
    const shardy_cel *cel = arg;
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    char name[32];
    for (int64_t i = 0; i < 3000; i++) {
        int size = snprintf(name, sizeof name, "tenant-%d", (int)(i % 17));
        const shardy_context_entry entries[] = {{"key", shardy_cel_int(i)},
                                                {"name", shardy_cel_string(name, (size_t)size)}};
        const shardy_context context = {entries, 2};
        char want[64];
        snprintf(want, sizeof want, "%s/%d", name, (int)i);
        if (shardy_cel_evaluate(cel, &context, &result, NULL) != SHARDY_OK ||
            result.value.size != strlen(want) ||
            memcmp(result.value.text, want, strlen(want)) != 0) {
            return arg;
        }
    }
    shardy_cel_result_clear(&result);
    return NULL;
}

static void serves_many_threads(void **state)
{
    pthread_t threads[8];
    shardy_cel *cel = cel_new("name + \"/\" + string(key)", columns, 2);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, evaluate_many, cel), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *failed = cel;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    shardy_cel_free(cel);
}

struct builder_case {
    shardy_cel_column columns[2];
    size_t count;
    int64_t num_shards;
    const char *separator;
    const char *expression;
};

static const struct builder_case builder_cases[] = {
    {{{"region", NULL}}, 1, 10, NULL, "shard_hash(region) % 10u"},
    {{{"user_id", "int"}}, 1, 4, NULL, "shard_hash(user_id) % 4u"},
    {{{"region", NULL}, {"env", NULL}}, 2, 8, NULL, "shard_hash(region + \":\" + env) % 8u"},
    {{{"region", NULL}, {"tier", "int"}},
     2,
     8,
     NULL,
     "shard_hash(region + \":\" + string(tier)) % 8u"},
    {{{"a", NULL}, {"b", NULL}}, 2, 4, "/", "shard_hash(a + \"/\" + b) % 4u"},
    {{{"a", NULL}, {"b", NULL}}, 2, 4, "\n", "shard_hash(a + \"\\n\" + b) % 4u"},
    {{{"a", NULL}, {"b", NULL}},
     2,
     4,
     "\"\\\x7f\xc3\xa9\x01",
     "shard_hash(a + \"\\\"\\\\\\u007f\\u00e9\\u0001\" + b) % 4u"},
    {{{"a", NULL}, {"b", NULL}}, 2, 0, "\xf0\x9f\x98\x80", "a + \"\\ud83d\\ude00\" + b"},
    {{{"flag", "bool"}}, 1, 4, NULL, "shard_hash(string(flag)) % 4u"},
    {{{"score", "double"}}, 1, 4, NULL, "shard_hash(string(score)) % 4u"},
    {{{"region", "string"}}, 1, 0, NULL, "region"},
    {{{"raw", "bytes"}}, 1, 0, NULL, "raw"},
    {{{"raw", "bytes"}, {"n", "uint"}}, 2, 0, NULL, "string(raw) + \":\" + string(n)"},
    {{{"region", NULL}, {"env", NULL}}, 2, 0, NULL, "region + \":\" + env"},
};

static void builds_expressions(void **state)
{
    char buffer[256];
    size_t size;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(builder_cases); i++) {
        const struct builder_case *c = &builder_cases[i];
        cel_ok(shardy_cel_sharding_by_columns(c->columns, c->count, c->num_shards, c->separator,
                                              buffer, sizeof buffer, &size, err));
        assert_string_equal(buffer, c->expression);
        assert_int_equal(size, strlen(c->expression));
        cel_fails(SHARDY_LIMIT, "buffer",
                  shardy_cel_sharding_by_columns(c->columns, c->count, c->num_shards, c->separator,
                                                 buffer, size, &size, err));
        assert_int_equal(size, strlen(c->expression));
    }
    const shardy_cel_column bad = {"a", "timestamp"};
    cel_fails(SHARDY_CONFIG, "at least one column",
              shardy_cel_sharding_by_columns(NULL, 0, 4, NULL, buffer, 9, &size, err));
    cel_fails(SHARDY_CONFIG, "Unsupported CEL column type: 'timestamp'",
              shardy_cel_sharding_by_columns(&bad, 1, 4, NULL, buffer, 9, &size, err));
    cel_fails(SHARDY_CONFIG, "num_shards must be >= 1; got -1",
              shardy_cel_sharding_by_columns(columns, 1, -1, NULL, buffer, 9, &size, err));
    cel_fails(SHARDY_CONFIG, "UTF-8",
              shardy_cel_sharding_by_columns(columns, 1, 1, "\xff", buffer, 9, &size, err));
}

/* Every generated expression compiles, for every type, and gives what it should. */
static void built_expressions_run(void **state)
{
    static const char *const types[] = {"int", "uint", "double", "bool", "string", "bytes"};
    const shardy_cel_value values[] = {shardy_cel_int(3),      shardy_cel_uint(3),
                                       shardy_cel_double(0.5), shardy_cel_bool(true),
                                       cel_text("us"),         shardy_cel_bytes("us", 2)};
    char buffer[256];
    size_t size;
    (void)state;
    for (size_t a = 0; a < COUNT_OF(types); a++) {
        for (size_t b = 0; b <= COUNT_OF(types); b++) {
            for (int64_t shards = 0; shards < 9; shards += 8) {
                const shardy_cel_column pair[] = {{"a", types[a]},
                                                  {"b", types[b % COUNT_OF(types)]}};
                const shardy_context_entry entries[] = {{"a", values[a]},
                                                        {"b", values[b % COUNT_OF(types)]}};
                const shardy_context context = {entries, 2};
                size_t count = b == COUNT_OF(types) ? 1 : 2;
                shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
                cel_ok(shardy_cel_sharding_by_columns(pair, count, shards, NULL, buffer,
                                                      sizeof buffer, &size, err));
                shardy_cel *cel = cel_new(buffer, pair, count);
                cel_ok(shardy_cel_evaluate(cel, &context, &result, err));
                if (shards) {
                    assert_int_equal(result.value.kind, SHARDY_CEL_UINT);
                    assert_true(result.value.natural < 8);
                }
                if (strcmp(buffer, "shard_hash(a + \":\" + string(b)) % 8u") == 0 && b == 0) {
                    assert_int_equal(result.value.natural, 1); /* us:3 */
                }
                shardy_cel_result_clear(&result);
                shardy_cel_free(cel);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes),
        cmocka_unit_test(refuses_options),
        cmocka_unit_test(names_place_of_errors),
        cmocka_unit_test(evaluates_rows),
        cmocka_unit_test(binds_by_declared_type),
        cmocka_unit_test(reads_lazily),
        cmocka_unit_test(caches_compilations),
        cmocka_unit_test(serves_many_threads),
        cmocka_unit_test(builds_expressions),
        cmocka_unit_test(built_expressions_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
