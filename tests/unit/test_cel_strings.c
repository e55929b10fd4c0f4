/*
 * test_cel_strings.c - lib_strings.c, strings_format.c, strings_value.c, lib_encoders.c: positions
 * in code points, also of text that is not UTF-8; limits; every clause of format(); base64.
 */
#include "cel_calls.h"

#include <locale.h>

#define RANGE   ERROR(SFI_CEL_OUT_OF_RANGE)
#define INVALID ERROR(SFI_CEL_INVALID_ARGUMENT)
#define MIX     S("ta\u00a9o\u00a9\u03b1T") /* 7 code points, 10 bytes */
#define BROKEN  S("a\xffz\xe2\x82")         /* a, bad, z, bad, bad */

static const struct cel_call calls[] = {
    {"charAt", S("\u00a9"), 2, {MIX, I(2)}},
    {"charAt", S("T"), 2, {MIX, I(6)}},
    {"charAt", S(""), 2, {MIX, I(7)}},
    {"charAt", RANGE, 2, {MIX, I(8)}},
    {"charAt", RANGE, 2, {MIX, I(-1)}},
    {"charAt", RANGE, 2, {MIX, I(INT64_MIN)}},
    {"charAt", RANGE, 2, {MIX, I(INT64_MAX)}},
    {"charAt", S(""), 2, {S(""), I(0)}},
    {"charAt", S("\xff"), 2, {BROKEN, I(1)}},
    {"charAt", S("\x82"), 2, {BROKEN, I(4)}},
    {"charAt", S(""), 2, {BROKEN, I(5)}},
    {"indexOf", I(0), 2, {S("tacocat"), S("")}},
    {"indexOf", I(1), 2, {S("tacocat"), S("ac")}},
    {"indexOf", I(-1), 2, {S("tacocat"), S("none")}},
    {"indexOf", I(-1), 2, {S("a"), S("tacocat")}},
    {"indexOf", I(5), 2, {MIX, S("\u03b1")}},
    {"indexOf", I(3), 3, {S("tacocat"), S(""), I(3)}},
    {"indexOf", I(4), 3, {MIX, S("\u00a9"), I(3)}},
    {"indexOf", I(-1), 3, {MIX, S("\u00a9"), I(7)}},
    {"indexOf", RANGE, 3, {MIX, S("a"), I(8)}},
    {"indexOf", RANGE, 3, {MIX, S("a"), I(-1)}},
    {"indexOf", I(2), 2, {BROKEN, S("z")}},
    {"lastIndexOf", I(7), 2, {S("tacocat"), S("")}},
    {"lastIndexOf", I(5), 2, {S("tacocat"), S("at")}},
    {"lastIndexOf", I(5), 2, {S("tacocat"), S("a")}},
    {"lastIndexOf", I(-1), 2, {S("tacocat"), S("at!")}},
    {"lastIndexOf", I(-1), 2, {S("at"), S("tacocat")}},
    {"lastIndexOf", I(4), 2, {MIX, S("\u00a9")}},
    {"lastIndexOf", I(2), 2, {S("aaaaa"), S("aaa")}},
    {"lastIndexOf", I(2), 3, {MIX, S("\u00a9"), I(3)}},
    {"lastIndexOf", I(6), 3, {S("bananananana"), S("nana"), I(7)}},
    {"lastIndexOf", I(3), 3, {S("tacocat"), S(""), I(3)}},
    {"lastIndexOf", I(0), 3, {S("aaa"), S("a"), I(0)}},
    {"lastIndexOf", RANGE, 3, {S("aaa"), S("a"), I(-1)}},
    {"lastIndexOf", RANGE, 3, {S("aaa"), S("a"), I(4)}},
    {"lowerAscii", S("tacoc\u00c6t xii@[`{"), 1, {S("TacoC\u00c6t Xii@[`{")}},
    {"upperAscii", S("TACOC\u03b1T@[`{"), 1, {S("tacoC\u03b1t@[`{")}},
    {"upperAscii", S(""), 1, {S("")}},
    {"replace", S("2 days 2 hours"), 3, {S("{0} days {0} hours"), S("{0}"), S("2")}},
    {"replace", S("none"), 3, {S("none"), S("x"), S("y")}},
    {"replace", S("bc"), 3, {S("abac"), S("a"), S("")}},
    {"replace", S("_a_\u00a9_"), 3, {S("a\u00a9"), S(""), S("_")}},
    {"replace", S("_"), 3, {S(""), S(""), S("_")}},
    {"replace", S("xbac"), 4, {S("abac"), S("a"), S("x"), I(1)}},
    {"replace", S("abac"), 4, {S("abac"), S("a"), S("x"), I(0)}},
    {"replace", S("xbxc"), 4, {S("abac"), S("a"), S("x"), I(-1)}},
    {"replace", S("_a_bc"), 4, {S("abc"), S(""), S("_"), I(2)}},
    {"substring", S("cat"), 2, {S("tacocat"), I(4)}},
    {"substring", S(""), 2, {S("tacocat"), I(7)}},
    {"substring", RANGE, 2, {S("tacocat"), I(8)}},
    {"substring", RANGE, 2, {S("tacocat"), I(-1)}},
    {"substring", S("\u00a9o\u00a9\u03b1"), 3, {MIX, I(2), I(6)}},
    {"substring", S(""), 3, {MIX, I(4), I(4)}},
    {"substring", MIX, 3, {MIX, I(0), I(7)}},
    {"substring", RANGE, 3, {MIX, I(0), I(8)}},
    {"substring", RANGE, 3, {MIX, I(3), I(2)}},
    {"substring", RANGE, 3, {MIX, I(3), I(INT64_MIN)}},
    {"substring", S("\xffz"), 3, {BROKEN, I(1), I(3)}},
    {"trim", S("text"), 1, {S(" \f\n\r\t\vtext  ")}},
    {"trim",
     S("te xt"),
     1,
     {S("\xc2\x85\u00a0\u1680te xt\u2000\u200a\u2028\u2029\u202f\u205f\u3000")}},
    {"trim", S("\u180etext\u200b\ufeff"), 1, {S("\u180etext\u200b\ufeff")}},
    {"trim", S(""), 1, {S(" \u3000 ")}},
    {"trim", S(""), 1, {S("")}},
    {"trim", S("\xff"), 1, {S(" \xff ")}},
    {"trim", S("\xe2\x80\xff"), 1, {S("\u2003\xe2\x80\xff\u2003")}}, /* cut spaces are none */
    {"trim", S("\x80\x83"), 1, {S(" \x80\x83 ")}},
    {"trim", S("\U0001f600"), 1, {S("\U0001f600")}},
    {"trim", S("\xe2\x80"), 1, {S("\xe2\x80\xe2\x80\x83")}},
    {"reverse", S("T\u03b1\u00a9o\u00a9at"), 1, {MIX}},
    {"reverse", S("\x82\xe2z\xff\x61"), 1, {BROKEN}},
    {"reverse", S(""), 1, {S("")}},
    {"strings.quote",
     S("\"a\\n\\\"\\\\\\a\\b\\f\\r\\t\\v\u03b1\""),
     1,
     {S("a\n\"\\\a\b\f\r\t\v\u03b1")}},
    {"strings.quote", S("\"\""), 1, {S("")}},
    {"strings.quote", S("\"a\ufffdz\ufffd\ufffd\""), 1, {BROKEN}},
    {"strings.quote", S("\"\0\""), 1, {S("\0")}},
    {"base64.encode", S(""), 1, {B("")}},
    {"base64.encode", S("AA=="), 1, {B("\0")}},
    {"base64.encode", S("aGk="), 1, {B("hi")}},
    {"base64.encode", S("/+/+"), 1, {B("\xff\xef\xfe")}},
    {"base64.decode", B("hello"), 1, {S("aGVsbG8=")}},
    {"base64.decode", B("hello"), 1, {S("aGVsbG8")}},
    {"base64.decode", B("\0"), 1, {S("AA==")}},
    {"base64.decode", B("\xff\xef\xfe"), 1, {S("/+/+")}},
    {"base64.decode", B(""), 1, {S("")}},
    {"base64.decode", INVALID, 1, {S("a")}},
    {"base64.decode", INVALID, 1, {S("aGVsb")}},
    {"base64.decode", INVALID, 1, {S("aG=")}},
    {"base64.decode", INVALID, 1, {S("=")}},
    {"base64.decode", INVALID, 1, {S("====")}},
    {"base64.decode", INVALID, 1, {S("aG==aG==")}},
    {"base64.decode", INVALID, 1, {S("aGk-")}},
    {"base64.decode", INVALID, 1, {S("aGk\n")}},
};

static void test_calls(void **state)
{
    (void)state;
    cel_check_all(calls, sizeof calls / sizeof calls[0]);
}

static void test_split_and_join(void **state)
{
    static const struct {
        struct sfi_cel_value text;
        struct sfi_cel_value separator;
        int64_t limit;
        uint32_t count;
        struct sfi_cel_value joined; /* with "|" */
    } rows[] = {
        {S("hello world"), S(" "), -1, 2, S("hello|world")},
        {S("a,,b,"), S(","), -1, 4, S("a||b|")},
        {S("a,b,c"), S(","), 2, 2, S("a|b,c")},
        {S("a,b,c"), S(","), 1, 1, S("a,b,c")},
        {S("a,b,c"), S(","), 0, 0, S("")},
        {S("a,b,c"), S(","), 3, 3, S("a|b|c")},
        {S("a,b,c"), S(","), INT64_MAX, 3, S("a|b|c")},
        {S("o\u00a9o"), S(""), -1, 3, S("o|\u00a9|o")},
        {S("o\u00a9o"), S(""), 2, 2, S("o|\u00a9o")},
        {S(""), S(","), -1, 1, S("")},
        {S(""), S(""), -1, 0, S("")},
        {S("a\xff"), S(""), -1, 2, S("a|\xff")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        const struct sfi_cel_value args[] = {
            rows[i].text, rows[i].separator, {SFI_CEL_INT, 0, {.i64 = rows[i].limit}}};
        struct sfi_cel_value list = cel_call(&frame, "split", args, 3);
        assert_int_equal(list.kind, SFI_CEL_LIST);
        assert_int_equal(list.list->count, rows[i].count);
        const struct sfi_cel_value again[] = {list, cel_text("|")};
        assert_true(cel_is_same(cel_call(&frame, "join", again, 2), rows[i].joined));
        frame.steps_left = 0;
        assert_true(cel_is_code(cel_call(&frame, "split", args, 3), SFI_CEL_OVER_LIMIT));
        cel_frame_clear(&frame);
    }
}

static void test_join_wants_strings(void **state)
{
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    const struct sfi_cel_value items[] = {S("a"), I(1)};
    struct sfi_cel_value list = cel_list(&frame, items, 2);
    assert_true(cel_is_code(cel_call(&frame, "join", &list, 1), SFI_CEL_NO_OVERLOAD));
    list = cel_list(&frame, items, 1);
    assert_true(sfi_cel_is_text(cel_call(&frame, "join", &list, 1), "a"));
    list = cel_list(&frame, items, 0);
    assert_true(sfi_cel_is_text(cel_call(&frame, "join", &list, 1), ""));
    cel_frame_clear(&frame);
}

static struct sfi_cel_value format_one(struct sfi_cel_frame *frame, const char *format,
                                       const struct sfi_cel_value *items, size_t count)
{
    const struct sfi_cel_value args[] = {cel_text(format), cel_list(frame, items, count)};
    return cel_call(frame, "format", args, 2);
}

struct format_row {
    const char *format;
    struct sfi_cel_value arg;
    const char *expected; /* NULL: an error */
};

static const struct format_row format_rows[] = {
    {"%s", S("x"), "x"},
    {"%%%s%%", S("x"), "%x%"},
    {"%s", NOTHING, "null"},
    {"%s", YES, "true"},
    {"%s", I(INT64_MIN), "-9223372036854775808"},
    {"%s", U(UINT64_MAX), "18446744073709551615"},
    {"%s", D(3.14), "3.14"},
    {"%s", D(NAN), "NaN"},
    {"%s", D(-INFINITY), "-Infinity"},
    {"%s", B("xyz"), "xyz"},
    {"%s", B("x\xff"), "x\ufffd"},
    {"%d", I(-5), "-5"},
    {"%d", U(64), "64"},
    {"%d", D(INFINITY), "Infinity"},
    {"%d", D(1.5), NULL},
    {"%d", S("5"), NULL},
    {"%d", NOTHING, NULL},
    {"%b", I(5), "101"},
    {"%b", I(-5), "-101"},
    {"%b", I(0), "0"},
    {"%b", U(UINT64_MAX), "1111111111111111111111111111111111111111111111111111111111111111"},
    {"%b", I(INT64_MIN), "-1000000000000000000000000000000000000000000000000000000000000000"},
    {"%b", YES, "1"},
    {"%b", D(1.0), NULL},
    {"%o", U(65535), "177777"},
    {"%o", NOTHING, NULL},
    {"%x", I(-30), "-1e"},
    {"%X", I(26), "1A"},
    {"%x", S("Hello"), "48656c6c6f"},
    {"%X", B("\xff\x0a"), "FF0A"},
    {"%x", D(0.5), NULL},
    {"%f", I(2), "2.000000"},
    {"%f", U(3), "3.000000"},
    {"%f", D(NAN), "NaN"},
    {"%f", S("1"), NULL},
    {"%.3f", D(1.2345), "1.234"},
    {"%.3f", D(123.4999), "123.500"},
    {"%.0f", D(2.5), "2"},
    {"%.0f", D(1.5), "2"},
    {"%.1f", D(-0.0), "-0.0"},
    {"%.20f", D(0.1), "0.10000000000000000555"},
    {"%e", D(2.71828), "2.718280e+00"},
    {"%.2e", D(1.5e-300), "1.50e-300"},
    {"%.3s", S("abcdef"), "abcdef"}, /* a precision is for numbers */
    {"%", S(""), NULL},
    {"%a", I(1), NULL},
    {"%E", D(0.5), NULL},
    {"%.", D(0.5), NULL},
    {"%.f", D(0.5), NULL},
    {"%.-1f", D(0.5), NULL},
    {"%.1001f", D(0.5), NULL},
    {"%.99999999999999999999f", D(0.5), NULL},
    {"%\xff", D(0.5), NULL},
    {"%s%s", S("one"), NULL},
};

static void check_formats(void)
{
    for (size_t i = 0; i < sizeof format_rows / sizeof format_rows[0]; i++) {
        const struct format_row *row = &format_rows[i];
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value got = format_one(&frame, row->format, &row->arg, 1);
        char text[256];
        cel_describe(got, text, sizeof text);
        if (row->expected == NULL
                ? !sfi_cel_is_error(got)
                : got.kind != SFI_CEL_STRING || !sfi_cel_is_text(got, row->expected)) {
            fail_msg("'%s' gives %s", row->format, text);
        }
        for (int64_t steps = 0; steps < 8; steps++) {
            frame.steps_left = steps;
            struct sfi_cel_value less = format_one(&frame, row->format, &row->arg, 1);
            assert_true(cel_is_code(less, SFI_CEL_OVER_LIMIT) || less.kind == got.kind);
        }
        cel_frame_clear(&frame);
    }
}

static void test_format(void **state)
{
    (void)state;
    check_formats();
    if (setlocale(LC_ALL, "de_DE.UTF-8") != NULL || setlocale(LC_ALL, "fr_FR.UTF-8") != NULL) {
        check_formats(); /* a decimal comma changes nothing */
        setlocale(LC_ALL, "C");
    }
}

static void test_format_longest(void **state)
{
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    const struct sfi_cel_value arg = D(-1.7976931348623157e308);
    struct sfi_cel_value got = format_one(&frame, "%.1000f", &arg, 1);
    assert_int_equal(got.kind, SFI_CEL_STRING);
    assert_int_equal(got.size, 1 + 309 + 1 + 1000);
    cel_frame_clear(&frame);
}

static void test_format_containers(void **state)
{
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    const struct sfi_cel_value inner[] = {I(9), I(8)};
    const struct sfi_cel_value items[] = {S("abc"), NOTHING, cel_list(&frame, inner, 2),
                                          sfi_cel_time(SFI_CEL_TIMESTAMP, 1675467080, 0),
                                          sfi_cel_time(SFI_CEL_DURATION, -1, -500000000)};
    struct sfi_cel_value list = cel_list(&frame, items, 5);
    assert_true(sfi_cel_is_text(format_one(&frame, "<%s>", &list, 1),
                                "<[abc, null, [9, 8], 2023-02-03T23:31:20Z, -1.500s]>"));
    struct sfi_cel_entry entries[12] = {
        {S("strKey"), S("x")}, {I(6), D(1.5)}, {YES, I(42)}, {U(10), NOTHING}};
    struct sfi_cel_value map = sfi_cel_map_make(&frame, entries, 4);
    assert_true(sfi_cel_is_text(format_one(&frame, "%s", &map, 1),
                                "{10: null, 6: 1.5, strKey: x, true: 42}"));
    for (int64_t i = 0; i < 12; i++) {
        entries[i].key = sfi_cel_int((i * 7) % 12);
        entries[i].value = sfi_cel_int(i);
    }
    map = sfi_cel_map_make(&frame, entries, 12);
    assert_true(sfi_cel_is_text(format_one(&frame, "%s", &map, 1),
                                "{0: 0, 1: 7, 10: 10, 11: 5, 2: 2, 3: 9, 4: 4, 5: 11, 6: 6, "
                                "7: 1, 8: 8, 9: 3}"));
    struct sfi_cel_value none = sfi_cel_optional_none();
    assert_true(cel_is_code(format_one(&frame, "%s", &none, 1), SFI_CEL_INVALID_ARGUMENT));
    cel_frame_clear(&frame);
}

/* Lists that hold the one before twice: 2^60 elements when walked, and too deep at some point. */
static void test_format_hostile_values(void **state)
{
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    struct sfi_cel_value wide = cel_list(&frame, NULL, 0);
    struct sfi_cel_value deep = wide;
    for (int i = 0; i < 60; i++) {
        const struct sfi_cel_value two[] = {wide, wide};
        wide = cel_list(&frame, two, 2);
    }
    assert_true(cel_is_code(format_one(&frame, "%s", &wide, 1), SFI_CEL_OVER_LIMIT));
    frame.steps_left = SFI_CEL_MAX_STEPS;
    for (unsigned i = 0; i <= SFI_CEL_MAX_VALUE_DEPTH; i++) {
        deep = cel_list(&frame, &deep, 1);
    }
    assert_true(cel_is_code(format_one(&frame, "%s", &deep, 1), SFI_CEL_OVER_LIMIT));
    cel_frame_clear(&frame);
}

/* Text that repeats itself is searched in linear time. */
static void test_hostile_search(void **state)
{
    enum { SIZE = 400000 };
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    frame.arena.limit = SFI_CEL_EVAL_BYTES;
    char *text = malloc(2 * SIZE);
    assert_non_null(text);
    memset(text, 'a', 2 * SIZE);
    text[SIZE / 2] = 'b';
    const struct sfi_cel_value args[] = {sfi_cel_string(text, 2 * SIZE),
                                         sfi_cel_string(text + SIZE, SIZE - 1),
                                         sfi_cel_string("", 0)};
    assert_int_equal(cel_call(&frame, "lastIndexOf", args, 2).i64, SIZE + 1);
    assert_int_equal(cel_call(&frame, "indexOf", args, 2).i64, SIZE / 2 + 1);
    assert_int_equal(cel_call(&frame, "replace", args, 3).size, SIZE + 1);
    free(text);
    cel_frame_clear(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_split_and_join),
        cmocka_unit_test(test_join_wants_strings),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_longest),
        cmocka_unit_test(test_format_containers),
        cmocka_unit_test(test_format_hostile_values),
        cmocka_unit_test(test_hostile_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
