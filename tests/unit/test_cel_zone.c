/*
 * test_cel_zone.c - zone_file.c and zone_rule.c: every rule of the file format broken in one place,
 * truncation, changed bytes; rules of POSIX strings, also those that no zone has.
 */
#include "cel/zone.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HEADER = 44 };

struct sample {
    uint8_t bytes[512];
    size_t size;
};

static void put(struct sample *s, const void *bytes, size_t size)
{
    memcpy(s->bytes + s->size, bytes, size);
    s->size += size;
}

static void put_u32(struct sample *s, uint32_t number)
{
    sfi_put_u32be(s->bytes + s->size, number);
    s->size += 4;
}

static void put_header(struct sample *s, char version, uint32_t times, uint32_t types)
{
    static const uint8_t zeros[15];
    put(s, "TZif", 4);
    put(s, &version, 1);
    put(s, zeros, sizeof zeros);
    put_u32(s, 0);
    put_u32(s, 0);
    put_u32(s, 0);
    put_u32(s, times);
    put_u32(s, types);
    put_u32(s, 4);
}

/* Two types (0 and 3600), changes at 100, 200 (same type again) and 300. */
static void put_block(struct sample *s, size_t time_bytes)
{
    for (uint32_t time = 100; time <= 300; time += 100) {
        if (time_bytes == 8) {
            put_u32(s, 0);
        }
        put_u32(s, time);
    }
    put(s, "\1\1\0", 3);
    put(s, "\0\0\0\0\0\0", 6);
    put(s, "\0\0\x0e\x10\1\0", 6);
    put(s, "ABC", 4);
}

static struct sample version_1(void)
{
    struct sample s = {.size = 0};
    put_header(&s, '\0', 3, 2);
    put_block(&s, 4);
    return s;
}

static struct sample version_2(const char *rule)
{
    struct sample s = {.size = 0};
    put_header(&s, '2', 0, 1);
    put(&s, "\0\0\0\0\0\0UTC", 10);
    put_header(&s, '2', 3, 2);
    put_block(&s, 8);
    put(&s, "\n", 1);
    put(&s, rule, strlen(rule));
    put(&s, "\n", 1);
    return s;
}

/* Parse from a block of its own, so that reading past the end is seen. */
static bool parses(const uint8_t *bytes, size_t size, struct sfi_cel_zone *zone)
{
    uint8_t *exact = malloc(size + 1);
    assert_non_null(exact);
    memcpy(exact + 1, bytes, size);
    bool ok = sfi_cel_zone_parse(exact + 1, size, zone);
    free(exact);
    return ok;
}

/* Offsets are in range and ranges hold what they say, whatever the bytes were. */
static void check_sound(const struct sfi_cel_zone *zone)
{
    static const int64_t seconds[] = {
        INT64_C(-62135596800), -1, 0, 99, 100, 101, 250, 300, 301, INT64_C(4102444800),
        INT64_C(253402300799)};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        int64_t from;
        int64_t until;
        int64_t low;
        int64_t high;
        int32_t offset = sfi_cel_zone_offset(zone, seconds[i], &from, &until);
        assert_in_range(offset + 100000, 0, 200000);
        assert_true(from <= seconds[i] && seconds[i] < until);
        assert_int_equal(sfi_cel_zone_offset(zone, until - 1, &low, &high), offset);
    }
}

static void expect_offsets(const struct sfi_cel_zone *zone, int32_t last)
{
    static const struct {
        int64_t at;
        int64_t from;
        int64_t until;
        int32_t offset;
    } rows[] = {{-5, INT64_MIN, 100, 0},
                {99, INT64_MIN, 100, 0},
                {100, 100, 300, 3600},
                {299, 100, 300, 3600}};
    int64_t from;
    int64_t until;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(sfi_cel_zone_offset(zone, rows[i].at, &from, &until), rows[i].offset);
        assert_int_equal(from, rows[i].from);
        assert_int_equal(until, rows[i].until);
    }
    assert_int_equal(sfi_cel_zone_offset(zone, 300, &from, &until), last);
    assert_int_equal(from, 300);
    assert_int_equal(until, INT64_MAX);
}

static void test_versions(void **state)
{
    struct sfi_cel_zone zone;
    (void)state;
    struct sample s = version_1();
    assert_true(parses(s.bytes, s.size, &zone));
    expect_offsets(&zone, 0);
    sfi_cel_zone_clear(&zone);
    s = version_2("");
    assert_true(parses(s.bytes, s.size, &zone));
    expect_offsets(&zone, 0);
    sfi_cel_zone_clear(&zone);
    s = version_2("ABD-2");
    assert_true(parses(s.bytes, s.size, &zone));
    expect_offsets(&zone, 7200);
    sfi_cel_zone_clear(&zone);
}

static void test_damage(void **state)
{
    const size_t second = HEADER + 10; /* the second header of a version 2 file */
    const size_t block = second + HEADER;
    const struct {
        size_t at;
        uint8_t byte;
    } rows[] = {
        {0, 't'},                   /* magic */
        {4, '1'},                   /* version */
        {35, 200},                  /* times of the first block: past the end */
        {second, 't'},              /* second magic */
        {second + 4, 0},            /* second version */
        {second + 31, 1},           /* leap seconds */
        {second + 32, 0xFF},        /* times: very many */
        {second + 35, 200},         /* times: past the end */
        {second + 39, 0},           /* no type */
        {second + 38, 2},           /* types: 514 */
        {second + 43, 255},         /* characters: past the end */
        {block + 8 + 7, 100},       /* two changes at one time */
        {block + 8 + 7, 50},        /* descending times */
        {block + 16, 0x80},         /* descending: negative */
        {block + 24, 2},            /* no such type */
        {block + 27, 0x7F},         /* offset too large */
        {block + 27, 0x80},         /* offset too small */
        {block + 27 + 12 + 4, 'x'}, /* no footer */
    };
    struct sfi_cel_zone zone;
    (void)state;
    struct sample good = version_2("ABD-2");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sample s = good;
        assert_int_not_equal(s.bytes[rows[i].at], rows[i].byte);
        s.bytes[rows[i].at] = rows[i].byte;
        if (parses(s.bytes, s.size, &zone)) {
            fail_msg("row %zu is accepted", i);
        }
        sfi_cel_zone_clear(&zone);
    }
}

static void test_truncation(void **state)
{
    struct sfi_cel_zone zone;
    (void)state;
    struct sample good = version_2("CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t size = 0; size < good.size; size++) {
        assert_false(parses(good.bytes, size, &zone));
        sfi_cel_zone_clear(&zone);
    }
    good = version_1();
    for (size_t size = 0; size < good.size; size++) {
        assert_false(parses(good.bytes, size, &zone));
        sfi_cel_zone_clear(&zone);
    }
}

static void test_changed_bytes(void **state)
{
    struct sfi_cel_zone zone;
    unsigned accepted = 0;
    (void)state;
    struct sample good = version_2("CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t i = 0; i < good.size; i++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            struct sample s = good;
            s.bytes[i] = (uint8_t)byte;
            if (parses(s.bytes, s.size, &zone)) {
                check_sound(&zone);
                accepted++;
            }
            sfi_cel_zone_clear(&zone);
        }
    }
    assert_true(accepted > 0);
}

static void test_rule_text(void **state)
{
    static const char *const good[] = {"UTC0",
                                       "<+0545>-5:45",
                                       "ABC+24",
                                       "ABC-23:59:59",
                                       "CET-1CEST,M3.5.0,M10.5.0/3",
                                       "CET-1CEST-3,M3.5.0/-167,M10.5.0/167:59:59",
                                       "AAA0BBB,J1,J365",
                                       "AAA0BBB,0/0,365/25",
                                       "<-03>3<-02>,M3.2.0,M11.1.0"};
    static const char *const bad[] = {"",
                                      "UT0",
                                      "UTC",
                                      "UTC+",
                                      "UTC25",
                                      "UTC0:60",
                                      "UTC0:00:60",
                                      "UTC0:",
                                      "<+05-5",
                                      "<+>0",
                                      "UTC0 ",
                                      "AAA0BBB",
                                      "AAA0BBB,M3.5.0",
                                      "AAA0BBB,M3.5.0,",
                                      "AAA0BBB,M0.5.0,M10.5.0",
                                      "AAA0BBB,M13.5.0,M10.5.0",
                                      "AAA0BBB,M3.0.0,M10.5.0",
                                      "AAA0BBB,M3.6.0,M10.5.0",
                                      "AAA0BBB,M3.5.7,M10.5.0",
                                      "AAA0BBB,M3.5,M10.5.0",
                                      "AAA0BBB,J0,J365",
                                      "AAA0BBB,J1,J366",
                                      "AAA0BBB,0,366",
                                      "AAA0BBB,M3.5.0/168,M10.5.0",
                                      "AAA0BBB,M3.5.0,M10.5.0x",
                                      "AAA0BB,M3.5.0,M10.5.0",
                                      "AAA0BBB25,M3.5.0,M10.5.0",
                                      "AAA99999999999999999999",
                                      "AAA0BBB,M3.5.0,M10.5.0/99999999999"};
    struct sfi_cel_zone_rule rule;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!sfi_cel_zone_rule_parse(good[i], strlen(good[i]), &rule)) {
            fail_msg("'%s' is refused", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (sfi_cel_zone_rule_parse(bad[i], strlen(bad[i]), &rule)) {
            fail_msg("'%s' is accepted", bad[i]);
        }
    }
}

static void test_rules(void **state)
{
    static const struct {
        const char *rule;
        int64_t at; /* UTC */
        int32_t offset;
        int64_t from; /* 0: not looked at */
        int64_t until;
    } rows[] = {
        {"UTC0", 0, 0, INT64_MIN, INT64_MAX},
        {"ABC5:30", 0, -19800, INT64_MIN, INT64_MAX},
        /* 2040: 25 March 01:00 UTC to 28 October 01:00 UTC */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2216250000 - 1, 3600, 0, 2216250000},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2216250000, 7200, 2216250000, 2234998800},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 2234998800, 3600, 2234998800, 0},
        /* summer over the turn of the year: 2041-10-06 and 2041-04-07, 16:00 UTC the day before */
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 2240524800, 39600, 0, 0},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 2253888000, 36000, 0, 0},
        /* summer all year round */
        {"AAA3BBB4,0/0,J365/23", 2208988800, -14400, 0, 0},
        {"AAA3BBB4,0/0,J365/23", 2208988800 + 7200, -14400, 0, 0},
        {"AAA3BBB4,0/0,J365/23", 2208988800 - 1, -14400, 0, 0},
        /* J60 is 1 March also in the leap year 2040; day 59 is then 29 February */
        {"AAA0BBB,J60/0,J300/0", 2214172800 - 1, 0, 0, 2214172800},
        {"AAA0BBB,J60/0,J300/0", 2214172800, 3600, 2214172800, 0},
        {"AAA0BBB,59/0,300/0", 2214172800 - 86400, 3600, 2214172800 - 86400, 0},
        {"AAA0BBB,J59/0,J300/0", 2214172800 - 2 * 86400, 3600, 2214172800 - 2 * 86400, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_zone_rule rule;
        int64_t from;
        int64_t until;
        assert_true(sfi_cel_zone_rule_parse(rows[i].rule, strlen(rows[i].rule), &rule));
        int32_t offset = sfi_cel_zone_rule_offset(&rule, rows[i].at, &from, &until);
        if (offset != rows[i].offset || (rows[i].from != 0 && from != rows[i].from) ||
            (rows[i].until != 0 && until != rows[i].until)) {
            fail_msg("row %zu: %d from %lld until %lld", i, offset, (long long)from,
                     (long long)until);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),   cmocka_unit_test(test_damage),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_rule_text),  cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
