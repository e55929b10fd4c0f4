/*
 * test_cel_columns.c - record batches in and Arrow arrays out (cel_columns.c, cel_export.c): every
 * type, slices, nulls, dictionaries; and arrays that lie.
 */
#include "cel_sample.h"

#include "cel/cel.h"

static const int8_t i8[] = {-1, 2, 3, 4};
static const int16_t i16[] = {-1, 2, 3, 4};
static const int32_t i32[] = {-1, 2, 3, 4};
static const int64_t i64[] = {-1, 2, 3, 4};
static const uint8_t u8[] = {1, 2, 3, 255};
static const uint16_t u16[] = {1, 2, 3, 65535};
static const uint32_t u32[] = {1, 2, 3, UINT32_MAX};
static const uint64_t u64[] = {1, 2, 3, UINT64_MAX};
static const float f32[] = {-0.5f, 2, 3, 4};
static const double f64[] = {-0.5, 2, 3, 4};
static const uint8_t bits[] = {0x0A};      /* 0 1 0 1 */
static const uint8_t no_second[] = {0xFD}; /* row 1 is null */
static const int32_t offsets32[] = {0, 2, 2, 3, 6};
static const int64_t offsets64[] = {0, 2, 2, 3, 6};
static const char text[] = "eu"
                           "x"
                           "abc";
static const int32_t days[] = {-1, 0, 1, 20000};
static const int64_t ticks[] = {-1, 0, 1500, 1700000000000};

struct type_case {
    const char *format;
    const char *type;
    const void *first;
    const void *second;
    const char *expression;
    const char *want[4];
};

/* Expressions give text, so that one comparison serves all types. */
static const struct type_case type_cases[] = {
    {"c", "int", i8, NULL, "string(a)", {"-1", "2", "3", "4"}},
    {"s", "int", i16, NULL, "string(a)", {"-1", "2", "3", "4"}},
    {"i", "int", i32, NULL, "string(a)", {"-1", "2", "3", "4"}},
    {"l", "int", i64, NULL, "string(a)", {"-1", "2", "3", "4"}},
    {"C", "int", u8, NULL, "string(a)", {"1", "2", "3", "255"}},
    {"C", "uint", u8, NULL, "string(a)", {"1", "2", "3", "255"}},
    {"S", "uint", u16, NULL, "string(a)", {"1", "2", "3", "65535"}},
    {"I", "uint", u32, NULL, "string(a)", {"1", "2", "3", "4294967295"}},
    {"L", "uint", u64, NULL, "string(a)", {"1", "2", "3", "18446744073709551615"}},
    {"f", "double", f32, NULL, "string(a)", {"-0.5", "2", "3", "4"}},
    {"g", "double", f64, NULL, "string(a)", {"-0.5", "2", "3", "4"}},
    {"b", "bool", bits, NULL, "string(a)", {"false", "true", "false", "true"}},
    {"u", "string", offsets32, text, "a + \"!\"", {"eu!", "!", "x!", "abc!"}},
    {"U", "string", offsets64, text, "a + \"!\"", {"eu!", "!", "x!", "abc!"}},
    {"z", "bytes", offsets32, text, "string(a)", {"eu", "", "x", "abc"}},
    {"Z", "bytes", offsets64, text, "string(a)", {"eu", "", "x", "abc"}},
    {"tdD",
     "timestamp",
     days,
     NULL,
     "string(a)",
     {"1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z",
      "2024-10-04T00:00:00Z"}},
    {"tdm",
     "timestamp",
     ticks,
     NULL,
     "string(a)",
     {"1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500Z",
      "2023-11-14T22:13:20Z"}},
    {"tsm:UTC",
     "timestamp",
     ticks,
     NULL,
     "string(a)",
     {"1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500Z",
      "2023-11-14T22:13:20Z"}},
    {"tsu:",
     "timestamp",
     ticks,
     NULL,
     "string(a)",
     {"1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001500Z",
      "1970-01-20T16:13:20Z"}},
    {"l", "dyn", i64, NULL, "string(a == 2)", {"false", "true", "false", "false"}},
    {"u", "dyn", offsets32, text, "string(a == \"x\")", {"false", "false", "true", "false"}},
    {"z", "dyn", offsets32, text, "string(a == b\"x\")", {"false", "false", "true", "false"}},
    {"g", "dyn", f64, NULL, "string(a == 2.0)", {"false", "true", "false", "false"}},
    {"b", "dyn", bits, NULL, "string(a == true)", {"false", "true", "false", "true"}},
    {"n", "dyn", NULL, NULL, "string(a == null)", {"true", "true", "true", "true"}},
};

/* Text of row i of an utf8 array. */
static void text_is(const struct ArrowArray *array, size_t i, const char *want)
{
    const int32_t *offsets = array->buffers[1];
    size_t size = (size_t)(offsets[i + 1] - offsets[i]);
    if (size != strlen(want) ||
        memcmp((const char *)array->buffers[2] + offsets[i], want, size) != 0) {
        fail_msg("row %zu: '%.*s', expected '%s'", i, (int)size,
                 (const char *)array->buffers[2] + offsets[i], want);
    }
}

static void run_case(const struct type_case *c, struct cel_array *column, int64_t from,
                     int64_t count)
{
    const shardy_cel_column declared = {"a", c->type};
    struct cel_array *columns[] = {column};
    struct cel_table table;
    struct ArrowSchema schema;
    struct ArrowArray array;
    shardy_cel *cel = cel_new(c->expression, &declared, 1);
    cel_table_init(&table, count, columns, 1);
    table.array.offset = from;
    cel_ok(shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
    assert_string_equal(schema.format, "u");
    assert_int_equal(array.length, count);
    for (int64_t i = 0; i < count; i++) {
        text_is(&array, (size_t)i, c->want[from + i]);
    }
    schema.release(&schema);
    array.release(&array);
    assert_null(array.release);
    shardy_cel_free(cel);
}

static void takes_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(type_cases); i++) {
        const struct type_case *c = &type_cases[i];
        struct cel_array column;
        cel_array_init(&column, "a", c->format, 4, NULL, c->first, c->second);
        run_case(c, &column, 0, 4);
        run_case(c, &column, 1, 3); /* the batch is a slice */
        run_case(c, &column, 4, 0);
        if (strchr("cslguzUZ", c->format[0]) && !c->format[1]) { /* so is the column */
            struct type_case moved = *c;
            column.array.offset = 1;
            column.array.length = 3;
            moved.want[0] = c->want[1];
            moved.want[1] = c->want[2];
            moved.want[2] = c->want[3];
            run_case(&moved, &column, 0, 3);
            run_case(&moved, &column, 2, 1);
        }
    }
}

static void takes_dictionaries(void **state)
{
    static const int8_t indices[] = {3, 0, 99, 2};
    static const uint8_t third_null[] = {0x0B};
    static const char *const index_formats[] = {"c", "C"};
    struct cel_array column;
    struct cel_array dictionary;
    const struct type_case c = {
        "c", "string", NULL, NULL, "a == \"abc\" ? \"yes\" : a", {"yes", "eu", "?", "x"}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(index_formats); i++) {
        cel_array_init(&dictionary, "", "u", 4, NULL, offsets32, text);
        cel_array_init(&column, "a", index_formats[i], 4, third_null, indices, NULL);
        column.schema.dictionary = &dictionary.schema;
        column.array.dictionary = &dictionary.array;
        run_case(&c, &column, 0, 2);
        run_case(&c, &column, 3, 1);
    }
}

static void nulls_are_errors_or_null(void **state)
{
    const shardy_cel_column declared[] = {{"a", "int"}, {"b", "dyn"}};
    struct cel_array a;
    struct cel_array b;
    struct cel_array *columns[] = {&a, &b};
    struct cel_table table;
    struct ArrowSchema schema;
    struct ArrowArray array;
    (void)state;
    cel_array_init(&a, "a", "l", 4, no_second, i64, NULL);
    cel_array_init(&b, "b", "u", 4, no_second, offsets32, text);
    cel_table_init(&table, 4, columns, 2);
    shardy_cel *cel = cel_new("a + 1", declared, 2);
    cel_fails(
        SHARDY_INPUT, "row 1001: ",
        shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 1000, &schema, &array, err));
    shardy_cel_free(cel);
    cel = cel_new("b == null ? -1 : size(string(b))", declared, 2);
    cel_ok(shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
    assert_string_equal(schema.format, "l");
    const int64_t *values = array.buffers[1];
    assert_true(values[0] == 2 && values[1] == -1 && values[2] == 1 && values[3] == 3);
    array.release(&array);
    shardy_cel_free(cel);
    cel = cel_new("b", declared, 2);
    cel_ok(shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
    assert_int_equal(array.null_count, 1);
    assert_int_equal(((const uint8_t *)array.buffers[0])[0] & 0xF, 0xD);
    text_is(&array, 0, "\"eu\"");
    array.release(&array);
    shardy_cel_free(cel);
    table.buffers[0] = no_second; /* the batch itself has a null row */
    table.array.null_count = 1;
    cel = cel_new("1", declared, 2);
    cel_fails(SHARDY_INPUT, "row 8: the whole row is null",
              shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 7, &schema, &array, err));
    shardy_cel_free(cel);
}

struct export_case {
    const char *expression;
    const char *format;
};

static void exports_by_type(void **state)
{
    static const struct export_case cases[] = {
        {"a", "l"},
        {"uint(a)", "L"},
        {"double(a)", "g"},
        {"a > 2", "b"},
        {"string(a)", "u"},
        {"bytes(string(a))", "z"},
        {"timestamp(a)", "tsn:UTC"},
        {"duration(string(a) + \"s\")", "tDn"},
        {"[a]", "u"},
        {"dyn(a)", "u"},
        {"null", "u"},
    };
    const shardy_cel_column declared = {"a", "int"};
    struct cel_array a;
    struct cel_array *columns[] = {&a};
    struct cel_table table;
    (void)state;
    cel_array_init(&a, "a", "l", 4, NULL, i64, NULL);
    cel_table_init(&table, 3, columns, 1);
    table.array.offset = 1;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        shardy_cel *cel = cel_new(cases[i].expression, &declared, 1);
        cel_ok(
            shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
        assert_string_equal(schema.format, cases[i].format);
        assert_int_equal(array.length, 3);
        assert_int_equal(array.n_buffers, strchr("uz", schema.format[0]) ? 3 : 2);
        const int64_t *wide = array.buffers[1];
        if (strcmp(schema.format, "tsn:UTC") == 0 || strcmp(schema.format, "tDn") == 0) {
            assert_int_equal(wide[2], INT64_C(4000000000));
        } else if (strcmp(schema.format, "b") == 0) {
            assert_int_equal(((const uint8_t *)array.buffers[1])[0], 6);
        } else if (strcmp(schema.format, "g") == 0) {
            assert_true(((const double *)array.buffers[1])[2] == 4);
        } else if (strcmp(cases[i].expression, "[a]") == 0) {
            text_is(&array, 2, "[4]");
        } else if (strcmp(cases[i].expression, "null") == 0) {
            assert_int_equal(array.null_count, 3);
        } else if (array.n_buffers == 2) {
            assert_int_equal(wide[2], 4);
        } else {
            text_is(&array, 2, "4");
        }
        schema.release(&schema);
        array.release(&array);
        shardy_cel_free(cel);
    }
    shardy_cel *cel = cel_new("timestamp(a * 4000000000)", &declared, 1);
    struct ArrowSchema schema;
    struct ArrowArray array;
    cel_fails(SHARDY_INPUT, "row 1: ",
              shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
    shardy_cel_free(cel);
}

/* ---- arrays that lie ------------------------------------------------------------------------- */

static const int32_t falling[] = {0, 3, 2, 3, 6};
static const int32_t negative[] = {-4, 0, 1, 2, 3};
static const int8_t far_indices[] = {0, 4, 0, 0};
static const int8_t below_indices[] = {0, -1, 0, 0};

struct lie {
    const char *name;
    const char *format;
    const char *type;
    const void *first;
    const void *second;
    int what;
    const char *message;
};

enum {
    LIE_NONE,
    LIE_SHORT,
    LIE_LENGTH,
    LIE_OFFSET,
    LIE_HUGE,
    LIE_BUFFERS,
    LIE_NO_BUFFERS,
    LIE_RELEASED,
    LIE_SCHEMA_RELEASED,
    LIE_NULLS,
    LIE_UNALIGNED,
    LIE_FORMAT_NULL,
    LIE_DICTIONARY_ARRAY,
    LIE_DICTIONARY_SCHEMA,
    LIE_INDEX,
    LIE_INDEX_TYPE,
    LIE_NESTED,
    LIE_CHILD_NULL,
    LIE_NAME,
    LIE_TWICE,
    LIE_CHILDREN,
    LIE_NOT_STRUCT
};

static const struct lie lies[] = {
    {"fewer rows", "l", "int", i64, NULL, LIE_SHORT, "fewer than the batch"},
    {"negative length", "l", "int", i64, NULL, LIE_LENGTH, "out of range"},
    {"negative offset", "l", "int", i64, NULL, LIE_OFFSET, "out of range"},
    {"huge offset", "l", "int", i64, NULL, LIE_HUGE, "out of range"},
    {"buffer count", "l", "int", i64, NULL, LIE_BUFFERS, "buffers instead of"},
    {"no buffers", "l", "int", i64, NULL, LIE_NO_BUFFERS, "buffers instead of"},
    {"no values", "l", "int", NULL, NULL, LIE_NONE, "buffer 1 is NULL"},
    {"no offsets", "u", "string", NULL, text, LIE_NONE, "buffer 1 is NULL"},
    {"no text", "u", "string", offsets32, NULL, LIE_NONE, "buffer 2 is NULL"},
    {"falling offsets", "u", "string", falling, text, LIE_NONE, "negative or fall"},
    {"negative offsets", "u", "string", negative, text, LIE_NONE, "negative or fall"},
    {"released", "l", "int", i64, NULL, LIE_RELEASED, "already released"},
    {"released schema", "l", "int", i64, NULL, LIE_SCHEMA_RELEASED, "already released"},
    {"nulls without bits", "l", "int", i64, NULL, LIE_NULLS, "no validity"},
    {"unaligned", "l", "int", (const char *)i64 + 4, NULL, LIE_UNALIGNED, "not aligned"},
    {"no format", "l", "int", i64, NULL, LIE_FORMAT_NULL, "compatible types"},
    {"type", "u", "int", offsets32, text, LIE_NONE,
     "column \"a\": declared type int, but Arrow format \"u\"; compatible types: int8"},
    {"unknown type", "+l", "dyn", i64, NULL, LIE_NONE, "compatible types"},
    {"half floats", "e", "double", i16, NULL, LIE_NONE, "compatible types: float, double"},
    {"durations", "l", "duration", i64, NULL, LIE_NONE, "none; pass numbers"},
    {"dictionary in the array only", "l", "int", i64, NULL, LIE_DICTIONARY_ARRAY,
     "its schema none"},
    {"dictionary in the schema only", "c", "string", i8, NULL, LIE_DICTIONARY_SCHEMA,
     "(dictionary)"},
    {"index too large", "c", "string", far_indices, NULL, LIE_INDEX,
     "row 1 has index 4 into a dictionary of 4 values"},
    {"index below 0", "c", "string", below_indices, NULL, LIE_INDEX, "row 1 has index -1"},
    {"indices that are text", "u", "string", offsets32, text, LIE_INDEX_TYPE,
     "indices of a dictionary must be integers"},
    {"dictionary of dictionaries", "c", "string", i8, NULL, LIE_NESTED, "compatible types"},
    {"child is NULL", "l", "int", i64, NULL, LIE_CHILD_NULL, "not found in Arrow schema; it has: "},
    {"missing column", "l", "int", i64, NULL, LIE_NAME,
     "CEL column \"a\" not found in Arrow schema; it has: b"},
    {"two columns", "l", "int", i64, NULL, LIE_TWICE, "several columns \"a\""},
    {"children", "l", "int", i64, NULL, LIE_CHILDREN, "schema has 1 columns, array has 2"},
    {"not a struct", "l", "int", i64, NULL, LIE_NOT_STRUCT, "not a struct"},
};

static void tell_lie(int what, struct cel_array *a, struct cel_array *dictionary,
                     struct cel_table *table)
{
    bool is_dictionary = what == LIE_INDEX || what == LIE_INDEX_TYPE || what == LIE_NESTED;
    a->array.length = what == LIE_SHORT ? 3 : what == LIE_LENGTH ? -1 : a->array.length;
    a->array.offset = what == LIE_OFFSET ? -1 : what == LIE_HUGE ? INT64_MAX - 2 : 0;
    a->array.n_buffers = what == LIE_BUFFERS ? 1 : a->array.n_buffers;
    a->array.buffers = what == LIE_NO_BUFFERS ? NULL : a->array.buffers;
    a->array.release = what == LIE_RELEASED ? NULL : a->array.release;
    a->schema.release = what == LIE_SCHEMA_RELEASED ? NULL : a->schema.release;
    a->array.null_count = what == LIE_NULLS ? 1 : a->array.null_count;
    a->schema.format = what == LIE_FORMAT_NULL ? NULL : a->schema.format;
    if (is_dictionary || what == LIE_DICTIONARY_ARRAY) {
        a->array.dictionary = &dictionary->array;
    }
    if (is_dictionary || what == LIE_DICTIONARY_SCHEMA) {
        a->schema.dictionary = &dictionary->schema;
    }
    dictionary->schema.dictionary = what == LIE_NESTED ? &dictionary->schema : NULL;
    table->schemas[0] = what == LIE_CHILD_NULL ? NULL : table->schemas[0];
    a->schema.name = what == LIE_NAME ? "b" : "a";
    table->array.n_children = what == LIE_CHILDREN ? 2 : table->array.n_children;
    table->schema.format = what == LIE_NOT_STRUCT ? "l" : "+s";
    if (what == LIE_TWICE) {
        table->schemas[1] = &a->schema;
        table->arrays[1] = &a->array;
        table->schema.n_children = 2;
        table->array.n_children = 2;
    }
}

static void refuses_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        const struct lie *lie = &lies[i];
        const shardy_cel_column declared = {"a", lie->type};
        struct cel_array a;
        struct cel_array dictionary;
        struct cel_array *columns[] = {&a};
        struct cel_table table;
        struct ArrowSchema schema;
        struct ArrowArray array;
        shardy_cel *cel = cel_new("[a].size()", &declared, 1);
        cel_array_init(&a, "a", lie->format, 4, NULL, lie->first, lie->second);
        cel_array_init(&dictionary, "", "u", 4, NULL, offsets32, text);
        cel_table_init(&table, 4, columns, 1);
        tell_lie(lie->what, &a, &dictionary, &table);
        cel_fails(
            SHARDY_CONFIG, lie->message,
            shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
        shardy_cel_free(cel);
    }
    struct ArrowSchema schema;
    struct ArrowArray array;
    shardy_cel *cel = cel_new("1", NULL, 0);
    cel_fails(SHARDY_CONFIG, "record batch",
              shardy_cel_evaluate_batch(cel, NULL, NULL, 0, &schema, &array, err));
    shardy_cel_free(cel);
}

/* Only what the expression reads has to be there. */
static void ignores_other_columns(void **state)
{
    const shardy_cel_column declared[] = {{"a", "int"}, {"missing", "string"}};
    struct cel_array a;
    struct cel_array *columns[] = {&a};
    struct cel_table table;
    struct ArrowSchema schema;
    struct ArrowArray array;
    (void)state;
    cel_array_init(&a, "a", "l", 4, NULL, i64, NULL);
    cel_table_init(&table, 4, columns, 1);
    shardy_cel *cel = cel_new("a * 2", declared, 2);
    cel_ok(shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
    assert_int_equal(((const int64_t *)array.buffers[1])[3], 8);
    array.release(&array);
    shardy_cel_free(cel);
}

/* The same values row by row and in a batch of several blocks. */
static void agrees_with_rows(void **state)
{
    enum { ROWS = 2500 };
    static int64_t keys[ROWS];
    static const char *const expressions[] = {
        "shard_hash(key) % 64u", "key % 7 == 0 ? 100 / (key + 1) : key", "string(key) + \":\"",
        "[1, 5, 7, 9, 2000].exists(x, x == key)", "key * 3 - 1"};
    const shardy_cel_column declared = {"key", "int"};
    struct cel_array a;
    struct cel_array *columns[] = {&a};
    struct cel_table table;
    (void)state;
    for (int64_t i = 0; i < ROWS; i++) {
        keys[i] = i * i % 9973;
    }
    cel_array_init(&a, "key", "l", ROWS, NULL, keys, NULL);
    cel_table_init(&table, ROWS, columns, 1);
    for (size_t e = 0; e < COUNT_OF(expressions); e++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
        shardy_cel *cel = cel_new(expressions[e], &declared, 1);
        cel_ok(
            shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err));
        for (size_t i = 0; i < ROWS; i++) {
            const shardy_context_entry entry = {"key", shardy_cel_int(keys[i])};
            const shardy_context context = {&entry, 1};
            cel_ok(shardy_cel_evaluate(cel, &context, &result, err));
            if (result.value.kind == SHARDY_CEL_STRING) {
                const int32_t *offsets = array.buffers[1];
                assert_int_equal(offsets[i + 1] - offsets[i], result.value.size);
                assert_memory_equal((const char *)array.buffers[2] + offsets[i], result.value.text,
                                    result.value.size);
            } else if (result.value.kind == SHARDY_CEL_BOOL) {
                assert_int_equal(((const uint8_t *)array.buffers[1])[i >> 3] >> (i & 7) & 1,
                                 result.value.boolean);
            } else {
                assert_int_equal(((const int64_t *)array.buffers[1])[i], result.value.integer);
            }
        }
        array.release(&array);
        shardy_cel_result_clear(&result);
        shardy_cel_free(cel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_type),
        cmocka_unit_test(takes_dictionaries),
        cmocka_unit_test(nulls_are_errors_or_null),
        cmocka_unit_test(exports_by_type),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(ignores_other_columns),
        cmocka_unit_test(agrees_with_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
