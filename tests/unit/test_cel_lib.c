/*
 * test_cel_lib.c - arithmetic, comparison, containers, conversions, text and shard_hash, a table
 * for each library, with every error and limit. Parser and evaluator are not involved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_value_sample.h"
#include "key_sample.h"

#define I(x)  sfi_cel_int(x)
#define U(x)  sfi_cel_uint(UINT64_C(x))
#define D(x)  sfi_cel_double(x)
#define S(x)  str(x)
#define B(x)  raw(x, sizeof(x) - 1)
#define T(s)  sfi_cel_time(SFI_CEL_TIMESTAMP, s, 0)
#define DU(s) sfi_cel_time(SFI_CEL_DURATION, s, 0)
#define NONE  sfi_cel_time(SFI_CEL_ERROR, 0, 0) /* no second argument */

#define MIN INT64_MIN
#define MAX INT64_MAX

#define OVERFLOW_INT  "OUT_OF_RANGE: integer overflow"
#define OVERFLOW_UINT "OUT_OF_RANGE: unsigned integer overflow"
#define STEPS         "OVER_LIMIT: evaluation takes more steps than an expression may use"
#define MEMORY        "OVER_LIMIT: evaluation needs more memory than an expression may use"

struct row {
    const char *function;
    struct sfi_cel_value a;
    struct sfi_cel_value b;
    const char *result;
};

static void check_rows(const struct sfi_cel_library *library, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sfi_cel_value args[2] = {rows[i].a, rows[i].b};
        size_t given = args[1].kind == SFI_CEL_ERROR ? 1 : 2;
        frame.steps_left = SFI_CEL_MAX_STEPS;
        const char *text = text_of(call(library, rows[i].function, args, given));
        size_t compared = strcmp(rows[i].result, "NO_OVERLOAD") == 0 ? 11 : SIZE_MAX;
        if (strncmp(text, rows[i].result, compared) != 0) {
            fail_msg("%s(%s, %s) is %s, not %s", rows[i].function, text_of(args[0]),
                     given == 2 ? text_of(args[1]) : "", text, rows[i].result);
        }
    }
}

#define CHECK_ROWS(library, rows) check_rows(&sfi_cel_lib_##library, rows, COUNT_OF(rows))

static void arithmetic(void **state)
{
    struct sfi_cel_value one = list_of((struct sfi_cel_value[]){I(1)}, 1);
    struct sfi_cel_value none = list_of(NULL, 0);
    const struct row rows[] = {
        {"_+_", I(40), I(2), "42"},
        {"_+_", I(MAX), I(1), OVERFLOW_INT},
        {"_+_", I(MIN), I(-1), OVERFLOW_INT},
        {"_+_", U(42), U(2), "44u"},
        {"_+_", U(18446744073709551615), U(1), OVERFLOW_UINT},
        {"_+_", D(4.25), D(15.25), "19.5"},
        {"_+_", D(INFINITY), D(-INFINITY), "double(\"nan\")"},
        {"_+_", S("he"), S("llo"), "\"hello\""},
        {"_+_", S(""), S("x"), "\"x\""},
        {"_+_", S("x"), S(""), "\"x\""},
        {"_+_", B("\0"), B("\xFF"), "b\"\\x00\\xff\""},
        {"_+_", one, one, "[1, 1]"},
        {"_+_", none, one, "[1]"},
        {"_+_", one, none, "[1]"},
        {"_+_", T(10), DU(5), "timestamp(\"1970-01-01T00:00:15Z\")"},
        {"_+_", DU(5), T(10), "timestamp(\"1970-01-01T00:00:15Z\")"},
        {"_+_", DU(5), DU(-7), "duration(\"-2s\")"},
        {"_+_", I(1), U(1), "NO_OVERLOAD: no matching overload: + for (int, uint)"},
        {"_+_", S("x"), B("x"), "NO_OVERLOAD: no matching overload: + for (string, bytes)"},
        {"_-_", I(42), I(12), "30"},
        {"_-_", I(MIN), I(1), OVERFLOW_INT},
        {"_-_", I(0), I(MIN), OVERFLOW_INT},
        {"_-_", U(2), U(2), "0u"},
        {"_-_", U(0), U(1), OVERFLOW_UINT},
        {"_-_", D(1), D(0.5), "0.5"},
        {"_-_", T(10), T(4), "duration(\"6s\")"},
        {"_-_", T(10), DU(4), "timestamp(\"1970-01-01T00:00:06Z\")"},
        {"_-_", DU(10), DU(4), "duration(\"6s\")"},
        {"_*_", I(-30), I(2), "-60"},
        {"_*_", I(MIN), I(-1), OVERFLOW_INT},
        {"_*_", I(5000000000), I(5000000000), OVERFLOW_INT},
        {"_*_", U(15), U(0), "0u"},
        {"_*_", U(5000000000), U(5000000000), OVERFLOW_UINT},
        {"_*_", D(1e300), D(1e300), "double(\"inf\")"},
        {"_/_", I(-7), I(2), "-3"},
        {"_/_", I(1), I(0), "INVALID_ARGUMENT: divide by zero"},
        {"_/_", I(MIN), I(-1), OVERFLOW_INT},
        {"_/_", U(15), U(4), "3u"},
        {"_/_", U(15), U(0), "INVALID_ARGUMENT: divide by zero"},
        {"_/_", D(1), D(0), "double(\"inf\")"},
        {"_/_", D(-1), D(0), "double(\"-inf\")"},
        {"_/_", D(0), D(0), "double(\"nan\")"},
        {"_%_", I(-7), I(3), "-1"},
        {"_%_", I(7), I(-3), "1"},
        {"_%_", I(7), I(0), "INVALID_ARGUMENT: modulus by zero"},
        {"_%_", I(MIN), I(-1), OVERFLOW_INT},
        {"_%_", U(42), U(5), "2u"},
        {"_%_", U(42), U(0), "INVALID_ARGUMENT: modulus by zero"},
        {"_%_", D(47.5), D(5.5), "NO_OVERLOAD: no matching overload: % for (double, double)"},
        {"-_", I(-42), NONE, "42"},
        {"-_", I(MIN), NONE, OVERFLOW_INT},
        {"-_", D(0), NONE, "-0.0"},
        {"-_", U(5), NONE, "NO_OVERLOAD: no matching overload: - for (uint)"},
    };
    (void)state;
    CHECK_ROWS(arithmetic, rows);
}

static void comparisons(void **state)
{
    struct sfi_cel_value numbers[] = {I(1), U(2), D(3)};
    struct sfi_cel_value list = list_of(numbers, 3);
    struct sfi_cel_value map = map_of((struct sfi_cel_value[]){I(1), I(0), S("k"), I(0)}, 2);
    const struct row rows[] = {
        {"_==_", I(1), D(1), "true"},
        {"_==_", I(1), S("1"), "false"},
        {"_==_", D(NAN), D(NAN), "false"},
        {"_!=_", D(NAN), D(NAN), "true"},
        {"_!=_", I(1), U(1), "false"},
        {"_==_", sfi_cel_null(), sfi_cel_null(), "true"},
        {"_==_", list, list, "true"},
        {"_==_", map, map, "true"},
        {"_==_", map, list, "false"},
        {"_<_", I(-1), U(0), "true"},
        {"_<_", I(1), U(9223372036854775808), "true"},
        {"_>_", D(9223372036854775808.0), I(MAX), "false"},
        {"_<=_", D(9223372036854775808.0), I(MAX), "true"},
        {"_>_", I(MIN), D(-9223372036854777857.0), "true"},
        {"_>=_", U(18446744073709551615), D(18446744073709553665.0), "false"},
        {"_<_", U(18446744073709551615), D(18446744073709590000.0), "true"},
        {"_<_", D(NAN), D(1), "false"},
        {"_>=_", D(NAN), D(NAN), "false"},
        {"_<_", S("a"), S("aa"), "true"},
        {"_<_", S("z"), S("\xC3\xA9"), "true"},
        {"_>_", B("\0\1"), B("\1"), "false"},
        {"_>=_", B(""), B(""), "true"},
        {"_<_", sfi_cel_bool(false), sfi_cel_bool(true), "true"},
        {"_<=_", T(1), T(1), "true"},
        {"_>_", DU(-1), DU(-2), "true"},
        {"_<_", S("1"), I(1), "NO_OVERLOAD: no matching overload: < for (string, int)"},
        {"_<_", T(1), DU(1), "NO_OVERLOAD"},
        {"_<_", list, list, "NO_OVERLOAD"},
        {"@in", D(1), list, "true"},
        {"@in", I(2), list, "true"},
        {"@in", I(4), list, "false"},
        {"@in", S("k"), map, "true"},
        {"@in", D(1), map, "true"},
        {"@in", D(1.5), map, "false"},
        {"@in", B("k"), map, "false"},
        {"@in", I(1), I(1), "NO_OVERLOAD: no matching overload: in for (int, int)"},
        {"!_", sfi_cel_bool(true), NONE, "false"},
        {"!_", I(0), NONE, "NO_OVERLOAD: no matching overload: ! for (int)"},
    };
    (void)state;
    CHECK_ROWS(compare, rows);
}

static void containers(void **state)
{
    struct sfi_cel_value list = list_of((struct sfi_cel_value[]){I(7), S("b")}, 2);
    struct sfi_cel_value map = map_of(
        (struct sfi_cel_value[]){I(1), S("one"), S("k"), I(2), U(18446744073709551615), I(3)}, 3);
    struct sfi_cel_value some_list = sfi_cel_optional_of(&frame, list);
    struct sfi_cel_value some_map = sfi_cel_optional_of(&frame, map);
    struct sfi_cel_value none = sfi_cel_optional_none();
    const struct row rows[] = {
        {"size", S("\xC3\xBF\xF0\x9F\x90\xB1x"), NONE, "3"},
        {"size", S("\xFF\xC3"), NONE, "2"},
        {"size", B("\xC3\xBF"), NONE, "2"},
        {"size", list, NONE, "2"},
        {"size", map, NONE, "3"},
        {"_[_]", list, I(0), "7"},
        {"_[_]", list, I(2), "OUT_OF_RANGE: index 2 is not in a list of 2 elements"},
        {"_[_]", list, I(-1), "OUT_OF_RANGE: index -1 is not in a list of 2 elements"},
        {"_[_]", list, U(1), "\"b\""},
        {"_[_]", list, D(1), "\"b\""},
        {"_[_]", list, D(-0.0), "7"},
        {"_[_]", list, U(18446744073709551615),
         "OUT_OF_RANGE: index 18446744073709551615u is not in a list of 2 elements"},
        {"_[_]", list, D(0.5),
         "INVALID_ARGUMENT: 0.5 cannot be the index of a list; use an integer"},
        {"_[_]", list, D(NAN),
         "INVALID_ARGUMENT: double(\"nan\") cannot be the index of a list; use an integer"},
        {"_[_]", list, S(""),
         "INVALID_ARGUMENT: \"\" cannot be the index of a list; use an integer"},
        {"_[_]", map, D(1), "\"one\""},
        {"_[_]", map, U(1), "\"one\""},
        {"_[_]", map, S("k"), "2"},
        {"_[_]", map, U(18446744073709551615), "3"},
        {"_[_]", map, I(-1), "NOT_FOUND: map has no key -1"},
        {"_[_]", map, D(1.5), "NOT_FOUND: map has no key 1.5"},
        {"_[_]", map, sfi_cel_bool(true), "NOT_FOUND: map has no key true"},
        {"_[_]", map, B("k"),
         "INVALID_ARGUMENT: b\"k\" cannot be the key of a map; use bool, int, uint or string"},
        {"_[_]", some_list, I(0), "optional.of(7)"},
        {"_[_]", some_list, I(9), "optional.none()"},
        {"_[_]", some_map, S("k"), "optional.of(2)"},
        {"_[_]", some_map, S("x"), "optional.none()"},
        {"_[_]", none, I(0), "optional.none()"},
        {"_[_]", some_map, sfi_cel_null(),
         "INVALID_ARGUMENT: null cannot be the key of a map; use bool, int, uint or string"},
    };
    (void)state;
    CHECK_ROWS(container, rows);
    assert_int_equal(CALL2(container, "_[_]", S("abc"), I(0)).error->code, SFI_CEL_NO_OVERLOAD);
    assert_int_equal(CALL1(container, "size", I(1)).error->code, SFI_CEL_NO_OVERLOAD);
}

static void conversions_to_integers(void **state)
{
    const struct row rows[] = {
        {"int", I(-1), NONE, "-1"},
        {"int", U(9223372036854775807), NONE, "9223372036854775807"},
        {"int", U(9223372036854775808), NONE,
         "OUT_OF_RANGE: 9223372036854775808u is out of the range of int"},
        {"int", D(-7.9), NONE, "-7"},
        {"int", D(1.9), NONE, "1"},
        {"int", D(9223372036854774784.0), NONE, "9223372036854774784"},
        {"int", D(9223372036854775808.0), NONE,
         "OUT_OF_RANGE: 9.223372036854776e+18 is out of the range of int"},
        {"int", D(-9223372036854775808.0), NONE,
         "OUT_OF_RANGE: -9.223372036854776e+18 is out of the range of int"},
        {"int", D(NAN), NONE, "OUT_OF_RANGE: double(\"nan\") is out of the range of int"},
        {"int", D(INFINITY), NONE, "OUT_OF_RANGE: double(\"inf\") is out of the range of int"},
        {"int", S("987"), NONE, "987"},
        {"int", S(" \t\n-9223372036854775808\r\v\f"), NONE, "-9223372036854775808"},
        {"int", S("+007"), NONE, "7"},
        {"int", S("9223372036854775808"), NONE,
         "INVALID_ARGUMENT: cannot convert string to int: \"9223372036854775808\""},
        {"int", S("-9223372036854775809"), NONE,
         "INVALID_ARGUMENT: cannot convert string to int: \"-9223372036854775809\""},
        {"int", S("99999999999999999999999"), NONE,
         "INVALID_ARGUMENT: cannot convert string to int: \"99999999999999999999999\""},
        {"int", S(""), NONE, "INVALID_ARGUMENT: cannot convert string to int: \"\""},
        {"int", S("-"), NONE, "INVALID_ARGUMENT: cannot convert string to int: \"-\""},
        {"int", S("1 2"), NONE, "INVALID_ARGUMENT: cannot convert string to int: \"1 2\""},
        {"int", S("1.0"), NONE, "INVALID_ARGUMENT: cannot convert string to int: \"1.0\""},
        {"int", S("0x10"), NONE, "INVALID_ARGUMENT: cannot convert string to int: \"0x10\""},
        {"int", sfi_cel_time(SFI_CEL_TIMESTAMP, -1, 999999999), NONE, "-1"},
        {"uint", U(1), NONE, "1u"},
        {"uint", I(1), NONE, "1u"},
        {"uint", I(-1), NONE, "OUT_OF_RANGE: -1 is out of the range of uint"},
        {"uint", D(3.9), NONE, "3u"},
        {"uint", D(-0.0), NONE, "0u"},
        {"uint", D(18446744073709549568.0), NONE, "18446744073709549568u"},
        {"uint", D(18446744073709551616.0), NONE,
         "OUT_OF_RANGE: 1.8446744073709552e+19 is out of the range of uint"},
        {"uint", D(-0.5), NONE, "OUT_OF_RANGE: -0.5 is out of the range of uint"},
        {"uint", D(NAN), NONE, "OUT_OF_RANGE: double(\"nan\") is out of the range of uint"},
        {"uint", S("18446744073709551615"), NONE, "18446744073709551615u"},
        {"uint", S("18446744073709551616"), NONE,
         "INVALID_ARGUMENT: cannot convert string to uint: \"18446744073709551616\""},
        {"uint", S("-1"), NONE, "INVALID_ARGUMENT: cannot convert string to uint: \"-1\""},
        {"uint", S("-0"), NONE, "INVALID_ARGUMENT: cannot convert string to uint: \"-0\""},
        {"uint", S("300u"), NONE, "INVALID_ARGUMENT: cannot convert string to uint: \"300u\""},
    };
    (void)state;
    CHECK_ROWS(convert, rows);
    assert_int_equal(CALL1(convert, "int", DU(1)).error->code, SFI_CEL_NO_OVERLOAD);
    assert_int_equal(CALL1(convert, "int", sfi_cel_bool(true)).error->code, SFI_CEL_NO_OVERLOAD);
}

static void conversions(void **state)
{
    const struct row rows[] = {
        {"double", D(5.5), NONE, "5.5"},
        {"double", I(-9007199254740993), NONE, "-9.007199254740992e+15"},
        {"double", U(18446744073709551615), NONE, "1.8446744073709552e+19"},
        {"double", S("-84.32e7"), NONE, "-8.432e+08"},
        {"double", S("x"), NONE, "INVALID_ARGUMENT: cannot convert string to double: \"x\""},
        {"bool", sfi_cel_bool(true), NONE, "true"},
        {"bool", S("1"), NONE, "true"},
        {"bool", S("t"), NONE, "true"},
        {"bool", S("TRUE"), NONE, "true"},
        {"bool", S("True"), NONE, "true"},
        {"bool", S("true"), NONE, "true"},
        {"bool", S("0"), NONE, "false"},
        {"bool", S("f"), NONE, "false"},
        {"bool", S("FALSE"), NONE, "false"},
        {"bool", S("False"), NONE, "false"},
        {"bool", S("false"), NONE, "false"},
        {"bool", S("TrUe"), NONE, "INVALID_ARGUMENT: cannot convert string to bool: \"TrUe\""},
        {"bool", S(""), NONE, "INVALID_ARGUMENT: cannot convert string to bool: \"\""},
        {"string", S("x"), NONE, "\"x\""},
        {"string", sfi_cel_bool(true), NONE, "\"true\""},
        {"string", sfi_cel_bool(false), NONE, "\"false\""},
        {"string", I(MIN), NONE, "\"-9223372036854775808\""},
        {"string", U(9876), NONE, "\"9876\""},
        {"string", D(-4.5e-3), NONE, "\"-0.0045\""},
        {"string", B("\303\277"), NONE, "\"\xC3\xBF\""},
        {"string", B("\0\xFF"), NONE, "INVALID_ARGUMENT: malformed UTF-8 bytes"},
        {"string", T(1234567890), NONE, "\"2009-02-13T23:31:30Z\""},
        {"string", DU(1000000), NONE, "\"1000000s\""},
        {"bytes", S("\xC3\xBF"), NONE, "b\"\\xc3\\xbf\""},
        {"bytes", B("abc"), NONE, "b\"abc\""},
        {"timestamp", T(5), NONE, "timestamp(\"1970-01-01T00:00:05Z\")"},
        {"timestamp", I(-62135596800), NONE, "timestamp(\"0001-01-01T00:00:00Z\")"},
        {"timestamp", I(253402300799), NONE, "timestamp(\"9999-12-31T23:59:59Z\")"},
        {"timestamp", I(-62135596801), NONE, "OUT_OF_RANGE: timestamp overflow: -62135596801 s"},
        {"timestamp", I(253402300800), NONE, "OUT_OF_RANGE: timestamp overflow: 253402300800 s"},
        {"timestamp", S("2009-02-13T23:31:30+02:00"), NONE, "timestamp(\"2009-02-13T21:31:30Z\")"},
        {"duration", DU(5), NONE, "duration(\"5s\")"},
        {"duration", S("1h1.5s"), NONE, "duration(\"3601.500s\")"},
        {"dyn", I(1), NONE, "1"},
        {"dyn", sfi_cel_null(), NONE, "null"},
        {"type", I(1), NONE, "int"},
        {"type", sfi_cel_type_value(&sfi_cel_type_int), NONE, "type"},
    };
    (void)state;
    CHECK_ROWS(convert, rows);
    static const char *const bad[] = {"timestamp", "duration"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sfi_cel_value args[1] = {S("tomorrow")};
        struct sfi_cel_value error = call(&sfi_cel_lib_convert, bad[i], args, 1);
        assert_int_equal(error.kind, SFI_CEL_ERROR);
        assert_int_equal(error.error->code, SFI_CEL_INVALID_ARGUMENT);
    }
    assert_int_equal(CALL1(convert, "duration", I(1)).error->code, SFI_CEL_NO_OVERLOAD);
    assert_ptr_equal(CALL1(convert, "type", list_of(NULL, 0)).type, &sfi_cel_type_list);
}

static void searches(void **state)
{
    const struct row rows[] = {
        {"contains", S("abababc"), S("ababc"), "true"},
        {"contains", S("hello"), S("ol"), "false"},
        {"contains", S("hello"), S(""), "true"},
        {"contains", S(""), S(""), "true"},
        {"contains", S(""), S("x"), "false"},
        {"startsWith", S("foobar"), S("foo"), "true"},
        {"startsWith", S("foobar"), S("bar"), "false"},
        {"startsWith", S("fo"), S("foo"), "false"},
        {"startsWith", S(""), S(""), "true"},
        {"endsWith", S("fort\xC3\xA9"), S("t\xC3\xA9"), "true"},
        {"endsWith", S("foobar"), S("foo"), "false"},
        {"endsWith", S("ar"), S("bar"), "false"},
        {"endsWith", S("x"), S(""), "true"},
        {"contains", sfi_cel_string("a\0b", 3), sfi_cel_string("\0b", 2), "true"},
        {"matches", S("hubba"), S("ubb"), "true"},
        {"matches", S("cows"), S(""), "true"},
        {"matches", S("grey"), S("gr(a|e)y"), "true"},
        {"matches", S(""), S("foo|bar"), "false"},
    };
    (void)state;
    CHECK_ROWS(text, rows);
    assert_int_equal(CALL2(text, "contains", S("x"), B("x")).error->code, SFI_CEL_NO_OVERLOAD);
}

static void shard_hash_is_the_digest_of_keys(void **state)
{
    const struct row rows[] = {
        {"shard_hash", I(42), NONE, "15395265915043915720u"},
        {"shard_hash", U(42), NONE, "15395265915043915720u"},
        {"shard_hash", U(9223372036854775808), NONE,
         "OUT_OF_RANGE: Integer key 9223372036854775808 out of range "
         "[-9223372036854775808, 9223372036854775807]"},
    };
    (void)state;
    CHECK_ROWS(hash, rows);
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        char buffer[4096];
        shardy_key key = key_of_vector(&key_vectors[i], buffer);
        struct sfi_cel_value value =
            key.kind == SHARDY_KIND_INT   ? sfi_cel_int(key_vectors[i].number)
            : key.kind == SHARDY_KIND_STR ? sfi_cel_string(key.data, (uint32_t)key.size)
                                          : sfi_cel_bytes(key.data, (uint32_t)key.size);
        assert_true(CALL1(hash, "shard_hash", value).u64 == key_vectors[i].digest);
    }
    struct sfi_cel_value text = CALL1(hash, "shard_hash", S("hello"));
    struct sfi_cel_value bytes = CALL1(hash, "shard_hash", B("hello"));
    assert_true(text.kind == SFI_CEL_UINT && text.u64 == bytes.u64);
    assert_true(CALL1(hash, "shard_hash", S("us:3")).u64 % 8 == 1);
    static const struct sfi_cel_value others[] = {
        {SFI_CEL_NULL, 0, {0}}, {SFI_CEL_BOOL, 0, {0}}, {SFI_CEL_DOUBLE, 0, {0}}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_int_equal(call(&sfi_cel_lib_hash, "shard_hash", &others[i], 1).error->code,
                         SFI_CEL_NO_OVERLOAD);
    }
}

/* Whatever takes more than constant work stops when the steps are used up. */
static void long_work_is_charged(void **state)
{
    enum { SIZE = 1 << 20 };
    char *data = malloc(SIZE);
    (void)state;
    assert_non_null(data);
    memset(data, ' ', SIZE);
    struct sfi_cel_value text = sfi_cel_string(data, SIZE);
    struct sfi_cel_value bytes = sfi_cel_bytes(data, SIZE);
    struct sfi_cel_list *many = sfi_cel_list_new(&frame, 10000);
    assert_non_null(many);
    for (uint32_t i = 0; i < many->count; i++) {
        many->items[i] = I(i);
    }
    struct sfi_cel_value list = sfi_cel_list_value(many);
    struct sfi_cel_value map = map_of((struct sfi_cel_value[]){S("x"), I(1)}, 1);
    const struct {
        const struct sfi_cel_library *library;
        struct row row;
    } cases[] = {
        {&sfi_cel_lib_arithmetic, {"_+_", text, text, STEPS}},
        {&sfi_cel_lib_arithmetic, {"_+_", list, list, STEPS}},
        {&sfi_cel_lib_compare, {"_==_", text, text, STEPS}},
        {&sfi_cel_lib_compare, {"_!=_", list, list, STEPS}},
        {&sfi_cel_lib_compare, {"_<_", text, text, STEPS}},
        {&sfi_cel_lib_compare, {"_<=_", text, text, STEPS}},
        {&sfi_cel_lib_compare, {"_>_", bytes, bytes, STEPS}},
        {&sfi_cel_lib_compare, {"_>=_", bytes, bytes, STEPS}},
        {&sfi_cel_lib_compare, {"@in", I(-1), list, STEPS}},
        {&sfi_cel_lib_compare, {"@in", text, map, STEPS}},
        {&sfi_cel_lib_container, {"size", text, NONE, STEPS}},
        {&sfi_cel_lib_container, {"_[_]", map, text, STEPS}},
        {&sfi_cel_lib_convert, {"int", text, NONE, STEPS}},
        {&sfi_cel_lib_convert, {"uint", text, NONE, STEPS}},
        {&sfi_cel_lib_convert, {"double", text, NONE, STEPS}},
        {&sfi_cel_lib_convert, {"string", bytes, NONE, STEPS}},
        {&sfi_cel_lib_hash, {"shard_hash", text, NONE, STEPS}},
        {&sfi_cel_lib_text, {"contains", text, text, STEPS}},
        {&sfi_cel_lib_text, {"startsWith", text, text, STEPS}},
        {&sfi_cel_lib_text, {"endsWith", text, text, STEPS}},
        {&sfi_cel_lib_text, {"matches", text, text, STEPS}},
        {&sfi_cel_lib_text, {"matches", text, S("x*y"), STEPS}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_cel_value args[2] = {cases[i].row.a, cases[i].row.b};
        size_t count = args[1].kind == SFI_CEL_ERROR ? 1 : 2;
        frame.steps_left = 1000;
        const char *result = text_of(call(cases[i].library, cases[i].row.function, args, count));
        if (strcmp(result, STEPS) != 0) {
            fail_msg("%s: %s", cases[i].row.function, result);
        }
    }
    free(data);
}

/* Doubling a string or a list soon meets the limit of the arena. */
static void memory_is_bounded(void **state)
{
    struct sfi_cel_value text = S("0123456789abcdef");
    struct sfi_cel_value list = list_of((struct sfi_cel_value[]){I(1), I(2)}, 2);
    (void)state;
    for (int i = 0; i < 40 && !sfi_cel_is_error(text); i++) {
        frame.steps_left = SFI_CEL_MAX_STEPS;
        text = CALL2(arithmetic, "_+_", text, text);
    }
    assert_value(text, MEMORY);
    sfi_cel_arena_clear(&frame.arena);
    list = list_of((struct sfi_cel_value[]){I(1), I(2)}, 2);
    for (int i = 0; i < 40 && !sfi_cel_is_error(list); i++) {
        frame.steps_left = SFI_CEL_MAX_STEPS;
        list = CALL2(arithmetic, "_+_", list, list);
    }
    assert_value(list, MEMORY);
    assert_true(frame.arena.used <= SFI_CEL_EVAL_BYTES);
    frame.arena.limit = 0;
    sfi_cel_arena_clear(&frame.arena);
    assert_value(CALL1(convert, "string", I(1)), MEMORY);
    assert_value(CALL1(convert, "string", U(1)), MEMORY);
    assert_value(CALL1(convert, "string", D(1)), MEMORY);
    assert_value(CALL1(convert, "string", T(1)), MEMORY);
    assert_value(CALL1(convert, "string", DU(1)), MEMORY);
}

/* Functions come in runs, which is what look-ups by name rely on. */
static void overloads_stand_together(void **state)
{
    static const struct sfi_cel_library *const libraries[] = {
        &sfi_cel_lib_arithmetic, &sfi_cel_lib_compare, &sfi_cel_lib_container,
        &sfi_cel_lib_convert,    &sfi_cel_lib_hash,    &sfi_cel_lib_text};
    (void)state;
    for (size_t l = 0; l < COUNT_OF(libraries); l++) {
        const struct sfi_cel_overload *all = libraries[l]->overloads;
        assert_false(libraries[l]->is_extension);
        for (size_t i = 0; i < libraries[l]->count; i++) {
            assert_non_null(all[i].call);
            assert_non_null(all[i].args[0]);
            for (size_t j = i + 2; j < libraries[l]->count; j++) {
                if (strcmp(all[i].function, all[j].function) == 0) {
                    assert_string_equal(all[j - 1].function, all[j].function);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        frame_test(arithmetic),
        frame_test(comparisons),
        frame_test(containers),
        frame_test(conversions_to_integers),
        frame_test(conversions),
        frame_test(searches),
        frame_test(shard_hash_is_the_digest_of_keys),
        frame_test(long_work_is_charged),
        frame_test(memory_is_bounded),
        cmocka_unit_test(overloads_stand_together),
    };
    return cmocka_run_group_tests_name("cel_lib", tests, NULL, NULL);
}
