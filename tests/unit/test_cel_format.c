/*
 * test_cel_format.c - numbers as text: the table of string(double), round trips of random doubles,
 * integers against the C library, and what double(string) accepts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_value_sample.h"

#include <inttypes.h>
#include <locale.h>

static const char *double_text(double number)
{
    static char text[33];
    memset(text, '#', sizeof text);
    size_t size = sfi_cel_format_double(number, text);
    assert_true(size > 0 && size < 32);
    assert_int_equal(text[size], '#');
    text[size] = '\0';
    return text;
}

static void writes_doubles_as_the_original(void **state)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100000.5, "100000.5"},
        {1234567.0, "1.234567e+06"},
        {1e6, "1e+06"},
        {999999.0, "999999"},
        {123.456, "123.456"},
        {1.0 / 3, "0.3333333333333333"},
        {1.0, "1"},
        {1.5, "1.5"},
        {100000.0, "100000"},
        {0.0, "0"},
        {-0.0, "-0"},
        {-4.5e-3, "-0.0045"},
        {0.0001, "0.0001"},
        {0.00012345678901234567, "0.00012345678901234567"},
        {0.00001, "1e-05"},
        {-0.00001, "-1e-05"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {-1.7976931348623157e308, "-1.7976931348623157e+308"},
        {9007199254740993.0, "9.007199254740992e+15"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
        {-NAN, "nan"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(double_text(cases[i].number), cases[i].text);
    }
}

/* Exponent of the first digit of a number that is written out, to see where notation changes. */
static void check_notation(double number, const char *text)
{
    const char *e = strchr(text, 'e');
    double magnitude = fabs(number);
    bool small_or_large = magnitude != 0 && (magnitude < 0.0001 || magnitude >= 1e6);
    assert_int_equal(e != NULL, small_or_large);
    assert_true(e == NULL || (strlen(e + 2) >= 2 && (e[1] == '+' || e[1] == '-')));
}

/* Digits of a number that count: no zeros at either end. */
static int digits_of(const char *text)
{
    int count = 0;
    int zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text >= '1' && *text <= '9') {
            count += zeros + 1;
            zeros = 0;
        } else if (*text == '0' && count > 0) {
            zeros++;
        }
    }
    return count;
}

static int digits_needed(double number)
{
    char text[40];
    for (int digits = 1; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, number);
        if (strtod(text, NULL) == number) {
            return digits;
        }
    }
    return 17;
}

static void random_doubles_round_trip_with_fewest_digits(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (int i = 0; i < 1000000; i++) {
        uint64_t bits = next_random(&seed);
        double number;
        double back;
        if (i % 2 == 0) { /* of everyday size */
            number = (double)(int64_t)bits / (double)(UINT64_C(1) << (bits % 64));
        } else {
            memcpy(&number, &bits, sizeof number);
        }
        if (isnan(number) || isinf(number)) {
            continue;
        }
        const char *text = double_text(number);
        assert_true(sfi_cel_parse_double(text, strlen(text), &back));
        assert_memory_equal(&back, &number, sizeof back);
        assert_true(strtod(text, NULL) == number);
        check_notation(number, text);
        if (i % 16 == 0) {
            assert_true(digits_of(text) <= digits_needed(number));
        }
    }
}

static void writes_integers_as_printf(void **state)
{
    uint64_t seed = 2;
    char text[24];
    char expected[24];
    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint64_t number = next_random(&seed) >> (i % 64);
        size_t size = sfi_cel_format_uint(number, text);
        assert_int_equal(size, snprintf(expected, sizeof expected, "%" PRIu64, number));
        assert_memory_equal(text, expected, size);
        size = sfi_cel_format_int((int64_t)(0 - number), text);
        assert_int_equal(size,
                         snprintf(expected, sizeof expected, "%" PRId64, (int64_t)(0 - number)));
        assert_memory_equal(text, expected, size);
    }
    static const int64_t edges[] = {0, 9, 10, 99, 100, -1, -9, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        size_t size = sfi_cel_format_int(edges[i], text);
        assert_int_equal(size, snprintf(expected, sizeof expected, "%" PRId64, edges[i]));
        assert_memory_equal(text, expected, size);
    }
}

static void reads_doubles(void **state)
{
    static const struct {
        const char *text;
        double number;
    } cases[] = {
        {"0", 0},
        {"-0", -0.0},
        {"123", 123},
        {"+1.5", 1.5},
        {"-987.654", -987.654},
        {".5", 0.5},
        {"5.", 5},
        {" \t1e3\r\n", 1000},
        {"6.02214e23", 6.02214e23},
        {"1.38E-23", 1.38e-23},
        {"-84.32e+7", -84.32e7},
        {"1e400", INFINITY},
        {"-1e400", -INFINITY},
        {"1e99999999999999999999", INFINITY},
        {"1e-400", 0},
        {"-1e-400", -0.0},
        {"1e-99999999999999999999", 0},
        {"0e99999999999999999999", 0},
        {"5e-324", 5e-324},
        {"1e-324", 0},
        {"inf", INFINITY},
        {"-Infinity", -INFINITY},
        {"+INF", INFINITY},
        {"9007199254740993", 9007199254740992.0},
        {"0.1000000000000000055511151231257827021181583404541015625", 0.1},
    };
    static const char *const bad[] = {"",     " ",    "+",     "-",    "e5",    "1e",
                                      "1.5x", "0x10", "1 2",   "--1",  "+-1",   "-+1",
                                      ".",    "1,5",  "infin", "in",   "nanx",  "nan(1)",
                                      "1e+",  "१",    "1__0",  "inf1", "1e1.5", "..1"};
    double number;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (!sfi_cel_parse_double(cases[i].text, strlen(cases[i].text), &number) ||
            memcmp(&number, &cases[i].number, sizeof number) != 0) {
            fail_msg("%s gives %s", cases[i].text, double_text(number));
        }
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (sfi_cel_parse_double(bad[i], strlen(bad[i]), &number)) {
            fail_msg("'%s' is taken for a number", bad[i]);
        }
    }
    assert_true(sfi_cel_parse_double("NaN", 3, &number) && isnan(number));
    assert_false(sfi_cel_parse_double("1\0", 2, &number));
}

/* More digits than any double needs, before and after the point. */
static void reads_long_numbers(void **state)
{
    static char text[5000];
    double number;
    (void)state;
    memset(text, '0', sizeof text);
    text[0] = '1';
    assert_true(sfi_cel_parse_double(text, sizeof text, &number) && number == INFINITY);
    text[1] = '.';
    assert_true(sfi_cel_parse_double(text, sizeof text, &number) && number == 1);
    text[0] = '0';
    text[sizeof text - 1] = '1';
    assert_true(sfi_cel_parse_double(text, sizeof text, &number) && number == 0);
    memcpy(text + sizeof text - 6, "1e4990", 6);
    assert_true(sfi_cel_parse_double(text, sizeof text, &number));
    assert_true(number > 9e-4 && number < 1.1e-2);
}

/* Wherever there is a locale with a decimal comma, it must not matter. */
static void no_locale_matters(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"};
    double number;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        setlocale(LC_ALL, names[i]);
        assert_string_equal(double_text(1.5), "1.5");
        assert_true(sfi_cel_parse_double("1.5", 3, &number) && number == 1.5);
        assert_false(sfi_cel_parse_double("1,5", 3, &number));
    }
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_doubles_as_the_original),
        cmocka_unit_test(random_doubles_round_trip_with_fewest_digits),
        cmocka_unit_test(writes_integers_as_printf),
        cmocka_unit_test(reads_doubles),
        cmocka_unit_test(reads_long_numbers),
        cmocka_unit_test(no_locale_matters),
    };
    return cmocka_run_group_tests_name("cel_format", tests, NULL, NULL);
}
