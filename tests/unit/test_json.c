/*
 * test_json.c - parsing, limits, canonical writing. Expected texts were made with Python's json
 * module and repr(), which other writers of the formats use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "store_sample.h"

#include <locale.h>
#include <math.h>

static const struct {
    const char *text;
    const char *spaced;
    const char *compact;
} canonical[] = {
    {"{\"b\":1,\"a\":[1,2.50,-0,true,null,\"\xc3\xa9\\u00e9\\ud83d\\ude00\\ud800x\"],\"a \":{},"
     "\"\\u007f\":\"\\\"\\\\\\/"
     "\\b\\f\\n\\r\\t\\u0001\",\"Z\":18446744073709551616,\"\xc3\xa9\":1E5}",
     "{\"Z\": 18446744073709551616, \"a\": [1, 2.5, 0, true, null, "
     "\"\\u00e9\\u00e9\\ud83d\\ude00\\ud800x\"], \"a \": {}, \"b\": 1, \"\\u007f\": "
     "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\", \"\\u00e9\": 100000.0}",
     "{\"Z\":18446744073709551616,\"a\":[1,2.5,0,true,null,"
     "\"\\u00e9\\u00e9\\ud83d\\ude00\\ud800x\"],\"a \":{},\"b\":1,\"\\u007f\":"
     "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\",\"\\u00e9\":100000.0}"},
    {" { \"a\" : 1 , \"a\" : 2 ,\t\"b\":\r\n{\"y\":[],\"x\":[{ }]}}",
     "{\"a\": 2, \"b\": {\"x\": [{}], \"y\": []}}", "{\"a\":2,\"b\":{\"x\":[{}],\"y\":[]}}"},
    {"{\"\\uffff\":1,\"\\ud83d\\ude00\":2,\"z\":NaN,\"y\":-Infinity}",
     "{\"y\": -Infinity, \"z\": NaN, \"\\uffff\": 1, \"\\ud83d\\ude00\": 2}",
     "{\"y\":-Infinity,\"z\":NaN,\"\\uffff\":1,\"\\ud83d\\ude00\":2}"},
    {"{}", "{}", "{}"},
};

static void writes_canonical_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(canonical); i++) {
        for (int compact = 0; compact < 2; compact++) {
            struct sfi_buf out;
            sfi_buf_init(&out, 4096);
            assert_int_equal(sfi_json_canonical(bytes_of(canonical[i].text),
                                                compact ? SFI_JSON_COMPACT : SFI_JSON_SPACED, &out,
                                                NULL),
                             SHARDY_OK);
            assert_string_equal((const char *)out.data,
                                compact ? canonical[i].compact : canonical[i].spaced);
            sfi_buf_clear(&out);
        }
    }
}

static const char *const doubles[][2] = {
    {"0.0", "0.0"},
    {"-0.0", "-0.0"},
    {"1.0", "1.0"},
    {"1.5", "1.5"},
    {"0.1", "0.1"},
    {"1e15", "1000000000000000.0"},
    {"1e16", "1e+16"},
    {"123456789012345680.0", "1.2345678901234568e+17"},
    {"1e-4", "0.0001"},
    {"0.00001", "1e-05"},
    {"1e22", "1e+22"},
    {"1e23", "1e+23"},
    {"5e-324", "5e-324"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"2.2250738585072014e-308", "2.2250738585072014e-308"},
    {"3.141592653589793", "3.141592653589793"},
    {"100000.0", "100000.0"},
    {"0.30000000000000004", "0.30000000000000004"},
    {"-1234.5678e-10", "-1.2345678e-07"},
    {"1e100", "1e+100"},
    {"9007199254740993.0", "9007199254740992.0"},
    {"0.000123", "0.000123"},
    {"1e400", "Infinity"},
    {"-1e400", "-Infinity"},
};

static void writes_doubles_as_python_does(void **state)
{
    (void)state;
    /* A locale with a decimal comma must not matter; it may be missing on the machine. */
    (void)setlocale(LC_ALL, "de_DE.UTF-8");
    for (size_t i = 0; i < COUNT_OF(doubles); i++) {
        struct sfi_buf out;
        double value;
        sfi_buf_init(&out, 100);
        assert_true(sfi_json_double(bytes_of(doubles[i][0]), &value));
        assert_true(sfi_json_write_double(value, &out));
        assert_string_equal((const char *)out.data, doubles[i][1]);
        sfi_buf_clear(&out);
    }
    (void)setlocale(LC_ALL, "C");
}

static const char *const malformed[] = {
    "",
    " ",
    "{",
    "}",
    "[1,]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\":1}x",
    "\"a",
    "\"\\x\"",
    "\"\\u12g4\"",
    "\"\\ud800\\u12\"",
    "\"\\",
    "\"a\nb\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "NaN",
    "Infinity",
    "tru",
    "nul",
    "\xef\xbb\xbf{}",
    "{\"a\":1,\"a\":2}",
    "[\"a\0\"]",
};

static void refuses_malformed_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        struct sfi_json_doc doc;
        shardy_error err = SHARDY_ERROR_INIT;
        if (sfi_json_parse(bytes_of(malformed[i]), SFI_JSON_UNIQUE_KEYS, &doc, &err) !=
            SHARDY_INPUT) {
            fail_msg("accepted: %s", malformed[i]);
        }
        assert_null(doc.root);
        assert_non_null(strstr(err.message, "JSON"));
    }
}

static void checks_objects_without_building(void **state)
{
    static const struct {
        const char *text;
        shardy_status status;
    } rows[] = {
        {"{}", SHARDY_OK},
        {" {\"a\":[NaN,Infinity,-Infinity,99999999999999999999999999]} ", SHARDY_OK},
        {"[]", SHARDY_INPUT},
        {"1", SHARDY_INPUT},
        {"{\"a\":-NaN}", SHARDY_INPUT},
        {"{\"a\":1", SHARDY_INPUT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(sfi_json_check_object(bytes_of(rows[i].text), NULL), rows[i].status);
    }
}

static void depth_and_size_are_limited(void **state)
{
    char text[2 * SFI_JSON_MAX_DEPTH + 3];
    struct sfi_json_doc doc;
    (void)state;
    for (unsigned depth = SFI_JSON_MAX_DEPTH; depth <= SFI_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        shardy_status st = sfi_json_parse(bytes_of(text), 0, &doc, NULL);
        assert_int_equal(st, depth > SFI_JSON_MAX_DEPTH ? SHARDY_LIMIT : SHARDY_OK);
        sfi_json_clear(&doc);
    }
    char *large = malloc(SFI_JSON_MAX_BYTES + 1);
    memset(large, ' ', SFI_JSON_MAX_BYTES + 1);
    large[0] = '1';
    struct sfi_bytes bytes = {(const uint8_t *)large, SFI_JSON_MAX_BYTES + 1};
    assert_int_equal(sfi_json_parse(bytes, 0, &doc, NULL), SHARDY_LIMIT);
    bytes.size--;
    assert_int_equal(sfi_json_parse(bytes, 0, &doc, NULL), SHARDY_OK);
    sfi_json_clear(&doc);
    free(large);
    /* Millions of opening brackets must not use up the stack. */
    char brackets[10000];
    memset(brackets, '[', sizeof brackets);
    bytes.data = (const uint8_t *)brackets;
    bytes.size = sizeof brackets;
    assert_int_equal(sfi_json_parse(bytes, 0, &doc, NULL), SHARDY_LIMIT);
}

static void integers_are_lenient(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        bool negative;
        uint64_t number;
    } rows[] = {
        {"0", true, false, 0},
        {"-0", true, false, 0},
        {"18446744073709551615", true, false, UINT64_MAX},
        {"18446744073709551616", false, false, 0},
        {"-9223372036854775808", true, true, UINT64_C(1) << 63},
        {"-9223372036854775809", false, false, 0},
        {"1.0", true, false, 1},
        {"-2e2", true, true, (uint64_t)-200},
        {"1.5", false, false, 0},
        {"1e300", false, false, 0},
        {"\"42\"", true, false, 42},
        {"\"+7\"", true, false, 7},
        {"\"x\"", false, false, 0},
        {"\"\"", false, false, 0},
        {"\"nan\"", false, false, 0},
        {"\"0x10\"", false, false, 0},
        {"true", true, false, 1},
        {"false", true, false, 0},
        {"null", false, false, 0},
        {"[1]", false, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sfi_json_doc doc;
        bool negative = false;
        uint64_t number = 0;
        assert_int_equal(sfi_json_parse(bytes_of(rows[i].text), 0, &doc, NULL), SHARDY_OK);
        bool ok = sfi_json_integer(doc.root, &negative, &number);
        if (ok != rows[i].ok ||
            (ok && (negative != rows[i].negative || number != rows[i].number))) {
            fail_msg("%s: %d %d %llu", rows[i].text, ok, negative, (unsigned long long)number);
        }
        sfi_json_clear(&doc);
    }
}

static void members_are_found(void **state)
{
    struct sfi_json_doc doc;
    (void)state;
    assert_int_equal(sfi_json_parse(bytes_of("{\"a\":1,\"ab\":2,\"a\":3}"), 0, &doc, NULL),
                     SHARDY_OK);
    assert_int_equal(doc.root->count, 3);
    assert_true(sfi_json_text_is(sfi_json_member(doc.root, "a")->text, "3"));
    assert_true(sfi_json_text_is(sfi_json_member(doc.root, "ab")->text, "2"));
    assert_null(sfi_json_member(doc.root, "abc"));
    assert_null(sfi_json_member(doc.root->child, "a"));
    assert_null(sfi_json_member(NULL, "a"));
    sfi_json_clear(&doc);
}

static void strings_that_are_not_utf8(void **state)
{
    struct sfi_buf out;
    (void)state;
    sfi_buf_init(&out, 100);
    assert_true(sfi_json_write_string(bytes_of("a\xff\xc3"), &out));
    assert_string_equal((const char *)out.data, "\"a\\ufffd\\ufffd\"");
    sfi_buf_clear(&out);
}

static void random_texts_never_crash(void **state)
{
    static const char alphabet[] = "{}[]\":,0123456789.eE+-\\u\"ntrfalse NaIify\xc3\xa9\xff";
    uint64_t seed = 4711;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 20000; i++) {
        size_t size = (size_t)(next_random(&seed) % 40);
        char *text = malloc(size + 1);
        for (size_t k = 0; k < size; k++) {
            text[k] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
        }
        struct sfi_bytes bytes = {(const uint8_t *)text, size};
        struct sfi_json_doc doc;
        struct sfi_buf out;
        sfi_buf_init(&out, 1 << 20);
        if (sfi_json_parse(bytes, SFI_JSON_PYTHON_TOKENS, &doc, NULL) == SHARDY_OK) {
            /* What was written parses again to the same text. */
            struct sfi_json_doc again;
            struct sfi_buf second;
            sfi_buf_init(&second, 1 << 20);
            assert_true(sfi_json_write(doc.root, SFI_JSON_SPACED, &out));
            assert_int_equal(
                sfi_json_parse(sfi_buf_view(&out), SFI_JSON_PYTHON_TOKENS, &again, NULL),
                SHARDY_OK);
            assert_true(sfi_json_write(again.root, SFI_JSON_SPACED, &second));
            assert_string_equal((const char *)out.data, (const char *)second.data);
            sfi_buf_clear(&second);
            sfi_json_clear(&again);
        }
        sfi_buf_clear(&out);
        sfi_json_clear(&doc);
        free(text);
    }
}

static void every_allocation_may_fail(void **state)
{
    bool done = false;
    (void)state;
    install_failing_allocator();
    for (unsigned long n = 1; !done; n++) {
        struct sfi_buf out;
        sfi_buf_init(&out, 4096);
        fail_allocation(n);
        shardy_status st =
            sfi_json_canonical(bytes_of(canonical[0].text), SFI_JSON_SPACED, &out, NULL);
        done = st == SHARDY_OK;
        assert_true(done || st == SHARDY_NO_MEMORY);
        fail_allocation(0);
        sfi_buf_clear(&out);
        assert_true(n < 100);
    }
    shardy_set_allocator(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_canonical_text),
        cmocka_unit_test(writes_doubles_as_python_does),
        cmocka_unit_test(refuses_malformed_text),
        cmocka_unit_test(checks_objects_without_building),
        cmocka_unit_test(depth_and_size_are_limited),
        cmocka_unit_test(integers_are_lenient),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(strings_that_are_not_utf8),
        cmocka_unit_test(random_texts_never_crash),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
