/*
 * test_timestamp.c - the two written forms and every accepted one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/timestamp.h"
#include "store_sample.h"

static void formats(void **state)
{
    static const struct {
        int64_t us;
        const char *key;
        const char *iso;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z"},
        {INT64_C(1773484200000000), "2026-03-14T10:30:00.000000Z", "2026-03-14T10:30:00Z"},
        {INT64_C(1767229323000456), "2026-01-01T01:02:03.000456Z", "2026-01-01T01:02:03.000456Z"},
        {-1, "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z", "2000-02-29T00:00:00Z"},
        {SFI_TIMESTAMP_MIN, "0001-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z"},
        {SFI_TIMESTAMP_MAX, "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {INT64_MIN, "0001-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[SFI_TIMESTAMP_SIZE];
        sfi_timestamp_format_key(rows[i].us, text);
        assert_string_equal(text, rows[i].key);
        sfi_timestamp_format_iso(rows[i].us, text);
        assert_string_equal(text, rows[i].iso);
    }
}

static void accepts(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"2026-01-01T00:00:00Z", INT64_C(1767225600000000)},
        {"2026-01-01T00:00:00+00:00", INT64_C(1767225600000000)},
        {"2026-01-01T02:00:00+02:00", INT64_C(1767225600000000)},
        {"2026-01-01T02:00:00+0200", INT64_C(1767225600000000)},
        {"2025-12-31T22:00:00-02", INT64_C(1767225600000000)},
        {"2026-01-01T00:00:00", INT64_C(1767225600000000)},
        {"2026-01-01 00:00:00.5", INT64_C(1767225600500000)},
        {"2026-01-01T00:00:00.1234567899Z", INT64_C(1767225600123456)},
        {"2026-01-01T00:00", INT64_C(1767225600000000)},
        {"2026-01-01", INT64_C(1767225600000000)},
        {"1700000000", INT64_C(1700000000000000)},
        {"1700000000.25", INT64_C(1700000000250000)},
        {"1700000000000", INT64_C(1700000000000000)},
        {"-1", INT64_C(-1000000)},
        {"0", 0},
        {"2e3", INT64_C(2000000000)},
        {"2026", INT64_C(2026000000)}, /* a Unix time, as for the original */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us = 1;
        if (!sfi_timestamp_parse(rows[i].text, strlen(rows[i].text), &us) || us != rows[i].us) {
            fail_msg("%s: %lld", rows[i].text, (long long)us);
        }
    }
}

static void refuses(void **state)
{
    static const char *const rows[] = {
        "",
        "now",
        "2026-13-01",
        "2026-00-01",
        "2026-02-29",
        "2026-04-31",
        "0000-01-01",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00+1",
        "2026-01-01x",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1e300",
        "nan",
        "inf",
        "0x10",
        "--1",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us;
        if (sfi_timestamp_parse(rows[i], strlen(rows[i]), &us)) {
            fail_msg("%s", rows[i]);
        }
    }
}

static void round_trips(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[SFI_TIMESTAMP_SIZE];
        int64_t back;
        uint64_t span = (uint64_t)SFI_TIMESTAMP_MAX - (uint64_t)SFI_TIMESTAMP_MIN;
        int64_t us = SFI_TIMESTAMP_MIN + (int64_t)(next_random(&seed) % span);
        sfi_timestamp_format_iso(us, text);
        assert_true(sfi_timestamp_parse(text, strlen(text), &back) && back == us);
        sfi_timestamp_format_key(us, text);
        assert_true(sfi_timestamp_parse(text, strlen(text), &back) && back == us);
    }
}

static void clocks_run(void **state)
{
    (void)state;
    uint64_t start = sfi_monotonic_us();
    assert_true(sfi_now_us() > INT64_C(1700000000000000));
    assert_true(sfi_monotonic_us() >= start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),     cmocka_unit_test(accepts),    cmocka_unit_test(refuses),
        cmocka_unit_test(round_trips), cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
