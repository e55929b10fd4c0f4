/*
 * test_cel_time.c - time.c, lib_time.c and zone.c: texts and ranges, arithmetic at the borders,
 * parts of timestamps in every zone of this machine against the C library's.
 */
#include "cel_calls.h"

#include "cel/time.h"

#include <ftw.h>
#include <time.h>

#define RANGE   ERROR(SFI_CEL_OUT_OF_RANGE)
#define INVALID ERROR(SFI_CEL_INVALID_ARGUMENT)

struct text_row {
    const char *text;
    const char *expected; /* as formatted; NULL: `code` */
    enum sfi_cel_code code;
};

typedef struct sfi_cel_value (*parser)(struct sfi_cel_frame *frame, const char *text, size_t size);
typedef size_t (*formatter)(struct sfi_cel_value value, char out[SFI_CEL_TIME_TEXT]);

static void check_texts(const struct text_row *rows, size_t count, parser parse, formatter format)
{
    for (size_t i = 0; i < count; i++) {
        struct sfi_cel_frame frame = cel_frame();
        size_t size = strlen(rows[i].text);
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, rows[i].text, size);
        struct sfi_cel_value got = parse(&frame, copy + 1, size);
        free(copy);
        if (rows[i].expected == NULL) {
            if (!cel_is_code(got, rows[i].code)) {
                fail_msg("'%s' is not the error %s", rows[i].text, sfi_cel_code_name(rows[i].code));
            }
        } else {
            if (sfi_cel_is_error(got)) {
                fail_msg("'%s': %s", rows[i].text, got.error->text);
            }
            char out[SFI_CEL_TIME_TEXT];
            size = format(got, out);
            if (size != strlen(rows[i].expected) || memcmp(out, rows[i].expected, size) != 0) {
                fail_msg("'%s' is %.*s", rows[i].text, (int)size, out);
            }
        }
        frame.steps_left = 0;
        got = parse(&frame, rows[i].text, strlen(rows[i].text));
        assert_true(cel_is_code(got, SFI_CEL_OVER_LIMIT));
        cel_frame_clear(&frame);
    }
}

#define BAD  NULL, SFI_CEL_INVALID_ARGUMENT
#define OUT  NULL, SFI_CEL_OUT_OF_RANGE
#define FINE 0

static void test_timestamp_text(void **state)
{
    static const struct text_row rows[] = {
        {"2009-02-13T23:31:30Z", "2009-02-13T23:31:30Z", FINE},
        {"2009-02-13t23:31:30z", "2009-02-13T23:31:30Z", FINE},
        {"1970-01-01T00:00:00-00:00", "1970-01-01T00:00:00Z", FINE},
        {"2009-02-13T23:31:30.1Z", "2009-02-13T23:31:30.100Z", FINE},
        {"2009-02-13T23:31:30.1234Z", "2009-02-13T23:31:30.123400Z", FINE},
        {"2009-02-13T23:31:30.1234567Z", "2009-02-13T23:31:30.123456700Z", FINE},
        {"2009-02-13T23:31:30.1234567899999999999999Z", "2009-02-13T23:31:30.123456789Z", FINE},
        {"2009-02-13T23:31:30.000Z", "2009-02-13T23:31:30Z", FINE},
        {"2009-02-13T23:31:30+05:45", "2009-02-13T17:46:30Z", FINE},
        {"2008-12-31T23:00:00-23:59", "2009-01-01T22:59:00Z", FINE},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", FINE},
        {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z", FINE},
        {"0000-12-31T23:00:00-02:00", "0001-01-01T01:00:00Z", FINE},
        {"1900-02-28T00:00:00Z", "1900-02-28T00:00:00Z", FINE},
        {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z", FINE},
        {"0001-01-01T00:00:00+00:01", OUT},
        {"9999-12-31T23:59:59-00:01", OUT},
        {"0000-01-01T00:00:00Z", OUT},
        {"1900-02-29T00:00:00Z", BAD},
        {"2009-02-29T00:00:00Z", BAD},
        {"2009-04-31T00:00:00Z", BAD},
        {"2009-00-01T00:00:00Z", BAD},
        {"2009-13-01T00:00:00Z", BAD},
        {"2009-01-00T00:00:00Z", BAD},
        {"2009-01-01T24:00:00Z", BAD},
        {"2009-01-01T00:60:00Z", BAD},
        {"2016-12-31T23:59:60Z", BAD}, /* a leap second */
        {"2009-01-01T00:00:00", BAD},
        {"2009-01-01T00:00:00.Z", BAD},
        {"2009-01-01T00:00:00,5Z", BAD},
        {"2009-01-01 00:00:00Z", BAD},
        {"2009-01-01T00:00:00ZZ", BAD},
        {"2009-01-01T00:00:00+0100", BAD},
        {"2009-01-01T00:00:00+24:00", BAD},
        {"2009-01-01T00:00:00+01:60", BAD},
        {"2009-01-01T00:00:00+01:00 ", BAD},
        {" 2009-01-01T00:00:00Z", BAD},
        {"12009-01-01T00:00:00Z", BAD},
        {"-009-01-01T00:00:00Z", BAD},
        {"2009-1-1T00:00:00Z", BAD},
        {"2009-01-01", BAD},
        {"2009", BAD},
        {"", BAD},
    };
    (void)state;
    check_texts(rows, sizeof rows / sizeof rows[0], sfi_cel_timestamp_parse,
                sfi_cel_timestamp_format);
}

static void test_duration_text(void **state)
{
    static const struct text_row rows[] = {
        {"0", "0s", FINE},
        {"-0", "0s", FINE},
        {"+0", "0s", FINE},
        {"1s", "1s", FINE},
        {"-1.5s", "-1.500s", FINE},
        {"1h2m3.5s", "3723.500s", FINE},
        {"1.5h", "5400s", FINE},
        {".5m", "30s", FINE},
        {"1.s", "1s", FINE},
        {"1m1m", "120s", FINE},
        {"1ms", "0.001s", FINE},
        {"1us", "0.000001s", FINE},
        {"-1ns", "-0.000000001s", FINE},
        {"1.999ns", "0.000000001s", FINE},
        {"0.000000000000277778h", "0.000000001s", FINE},
        {"0.99999999999999999999999s", "0.999999999s", FINE},
        {"100ms", "0.100s", FINE},
        {"1000000s", "1000000s", FINE},
        {"315576000000s", "315576000000s", FINE},
        {"-315576000000s", "-315576000000s", FINE},
        {"315576000000000000000ns", "315576000000s", FINE},
        {"00000000000000000000000000000000001s", "1s", FINE},
        {"315576000000s1ns", OUT},
        {"-315576000001s", OUT},
        {"315576000000000000001ns", OUT},
        {"87660000h1h", OUT},
        {"99999999999999999999999999999999999999999999h", OUT},
        {"", BAD},
        {"-", BAD},
        {"+", BAD},
        {".s", BAD},
        {"1", BAD},
        {"1.5", BAD},
        {"00", BAD},
        {"s", BAD},
        {"1d", BAD},
        {"1u", BAD},
        {"1n", BAD},
        {"1 s", BAD},
        {" 1s", BAD},
        {"1s ", BAD},
        {"1s-1s", BAD},
        {"--1s", BAD},
        {"1e3s", BAD},
        {"inf", BAD},
    };
    (void)state;
    check_texts(rows, sizeof rows / sizeof rows[0], sfi_cel_duration_parse,
                sfi_cel_duration_format);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_round_trips(void **state)
{
    static const int32_t units[] = {1, 1000, 1000000, 1000000000};
    uint64_t seed = 42;
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    for (int i = 0; i < 100000; i++) {
        uint64_t span = (uint64_t)(SFI_CEL_SECONDS_MAX - SFI_CEL_SECONDS_MIN + 1);
        int32_t unit = units[next_random(&seed) % 4];
        int64_t seconds = SFI_CEL_SECONDS_MIN + (int64_t)(next_random(&seed) % span);
        int32_t nanos = (int32_t)(next_random(&seed) % 1000000000) / unit * unit;
        char text[SFI_CEL_TIME_TEXT];
        struct sfi_cel_value time = sfi_cel_time(SFI_CEL_TIMESTAMP, seconds, nanos);
        size_t size = sfi_cel_timestamp_format(time, text);
        frame.steps_left = SFI_CEL_MAX_STEPS;
        assert_true(cel_is_same(sfi_cel_timestamp_parse(&frame, text, size), time));
        int sign = next_random(&seed) % 2 == 0 ? 1 : -1;
        time =
            sfi_cel_time(SFI_CEL_DURATION, sign * (seconds < 0 ? -seconds : seconds), sign * nanos);
        size = sfi_cel_duration_format(time, text);
        assert_true(cel_is_same(sfi_cel_duration_parse(&frame, text, size), time));
    }
    cel_frame_clear(&frame);
}

#define T(seconds, nanos)   sfi_cel_time(SFI_CEL_TIMESTAMP, seconds, nanos)
#define DUR(seconds, nanos) sfi_cel_time(SFI_CEL_DURATION, seconds, nanos)

static void test_arithmetic(void **state)
{
    const struct sfi_cel_value over = RANGE;
    const struct {
        char operation;
        struct sfi_cel_value a;
        struct sfi_cel_value b;
        struct sfi_cel_value expected;
    } rows[] = {
        {'+', T(0, 0), DUR(1, 500000000), T(1, 500000000)},
        {'+', DUR(1, 500000000), T(0, 500000000), T(2, 0)},
        {'+', T(0, 0), DUR(0, -1), T(-1, 999999999)},
        {'+', T(SFI_CEL_SECONDS_MIN + 1, 1), DUR(0, -999999999), T(SFI_CEL_SECONDS_MIN, 2)},
        {'+', T(SFI_CEL_SECONDS_MIN, 0), DUR(0, -1), over},
        {'+', T(SFI_CEL_SECONDS_MAX, 999999999), DUR(0, 1), over},
        {'+', T(SFI_CEL_SECONDS_MAX, 0), DUR(0, 999999999), T(SFI_CEL_SECONDS_MAX, 999999999)},
        {'-', T(1, 0), DUR(0, 1), T(0, 999999999)},
        {'-', T(0, 0), DUR(315576000000, 0), over},
        {'-', T(1, 0), T(2, 1), DUR(-1, -1)},
        {'-', T(SFI_CEL_SECONDS_MAX, 0), T(SFI_CEL_SECONDS_MIN, 0), over},
        {'-', T(9223372036, 854775807), T(0, 0), DUR(9223372036, 854775807)},
        {'-', T(9223372036, 854775808), T(0, 0), over},
        {'-', T(-9223372037, 145224192), T(0, 0), DUR(-9223372036, -854775808)},
        {'-', T(-9223372037, 145224191), T(0, 0), over},
        {'+', DUR(1, 999999999), DUR(0, 1), DUR(2, 0)},
        {'+', DUR(1, 0), DUR(-1, -1), DUR(0, -1)},
        {'-', DUR(1, 0), DUR(1, 1), DUR(0, -1)},
        {'+', DUR(-200000000000, 0), DUR(-200000000000, 0), over},
        {'-', DUR(INT64_MIN, -999999999), DUR(INT64_MAX, 999999999), over},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value got = rows[i].operation == '+'
                                       ? sfi_cel_time_add(&frame, rows[i].a, rows[i].b)
                                       : sfi_cel_time_subtract(&frame, rows[i].a, rows[i].b);
        if (!cel_is_same(got, rows[i].expected)) {
            fail_msg("row %zu", i);
        }
        cel_frame_clear(&frame);
    }
}

static struct sfi_cel_value get(struct sfi_cel_frame *frame, const char *function,
                                struct sfi_cel_value time, const char *zone)
{
    struct sfi_cel_value args[2] = {time, cel_text(zone == NULL ? "" : zone)};
    return cel_call(frame, function, args, zone == NULL ? 1 : 2);
}

static void test_durations(void **state)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t hours;
        int64_t minutes;
        int64_t milliseconds;
    } rows[] = {{10000, 0, 2, 166, 0},
                {-10000, -1500000, -2, -166, -1},
                {59, 999999999, 0, 0, 999},
                {-59, -999999999, 0, 0, -999}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value time = DUR(rows[i].seconds, rows[i].nanos);
        assert_int_equal(get(&frame, "getHours", time, NULL).i64, rows[i].hours);
        assert_int_equal(get(&frame, "getMinutes", time, NULL).i64, rows[i].minutes);
        assert_int_equal(get(&frame, "getSeconds", time, NULL).i64, rows[i].seconds);
        assert_int_equal(get(&frame, "getMilliseconds", time, NULL).i64, rows[i].milliseconds);
        assert_true(cel_is_code(get(&frame, "getDate", time, NULL), SFI_CEL_NO_OVERLOAD));
        cel_frame_clear(&frame);
    }
}

/* All parts of a timestamp, in UTC when `zone` is NULL. */
static void check_parts(struct sfi_cel_frame *frame, int64_t seconds, const char *zone,
                        const struct tm *tm)
{
    const struct {
        const char *function;
        int expected;
    } parts[] = {
        {"getFullYear", tm->tm_year + 1900},
        {"getMonth", tm->tm_mon},
        {"getDate", tm->tm_mday},
        {"getDayOfMonth", tm->tm_mday - 1},
        {"getDayOfWeek", tm->tm_wday},
        {"getDayOfYear", tm->tm_yday},
        {"getHours", tm->tm_hour},
        {"getMinutes", tm->tm_min},
        {"getSeconds", tm->tm_sec},
        {"getMilliseconds", 987},
    };
    frame->steps_left = SFI_CEL_MAX_STEPS;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct sfi_cel_value got = get(frame, parts[i].function, T(seconds, 987654321), zone);
        if (got.kind != SFI_CEL_INT || got.i64 != parts[i].expected) {
            fail_msg("%s of %lld in %s is not %d", parts[i].function, (long long)seconds,
                     zone == NULL ? "UTC" : zone, parts[i].expected);
        }
    }
}

static void test_parts(void **state)
{
    uint64_t seed = 11;
    struct tm tm;
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    uint64_t span = (uint64_t)(SFI_CEL_SECONDS_MAX - SFI_CEL_SECONDS_MIN + 1);
    for (int i = 0; i < 20000; i++) {
        int64_t seconds = SFI_CEL_SECONDS_MIN + (int64_t)(next_random(&seed) % span);
        time_t time = seconds;
        assert_non_null(gmtime_r(&time, &tm));
        check_parts(&frame, seconds, NULL, &tm);
    }
    cel_frame_clear(&frame);
}

/* The offset of a zone at random seconds from 1900 to 2500 is what localtime_r() says, and stays
 * the same, and only then, up to both ends of the range that comes with it. */
static void check_zone(struct sfi_cel_frame *frame, const char *name, uint64_t *seed)
{
    static const int64_t start = INT64_C(-2208988800);
    static const int64_t span = INT64_C(18934214400);
    frame->steps_left = SFI_CEL_MAX_STEPS;
    const struct sfi_cel_zone *zone = sfi_cel_zone_find(frame, name, strlen(name));
    if (zone == NULL) {
        fail_msg("no zone %s", name);
    }
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
    struct tm tm;
    for (int i = 0; i < 300; i++) {
        int64_t seconds = start + (int64_t)(next_random(seed) % (uint64_t)span);
        int64_t from;
        int64_t until;
        time_t time = seconds;
        int32_t offset = sfi_cel_zone_offset(zone, seconds, &from, &until);
        assert_non_null(localtime_r(&time, &tm));
        if (offset != tm.tm_gmtoff || from > seconds || until <= seconds) {
            fail_msg("%s at %lld: %d instead of %ld", name, (long long)seconds, offset,
                     tm.tm_gmtoff);
        }
        time = until - 1;
        if (until < start + span && localtime_r(&time, &tm)->tm_gmtoff != offset) {
            fail_msg("%s: another offset before %lld", name, (long long)until);
        }
        time = from;
        if (from >= start && localtime_r(&time, &tm)->tm_gmtoff != offset) {
            fail_msg("%s: another offset from %lld on", name, (long long)from);
        }
        if (i < 3) {
            time = seconds;
            check_parts(frame, seconds, name, localtime_r(&time, &tm));
        }
    }
}

#define ZONE_FOLDER "/usr/share/zoneinfo/"

static struct sfi_cel_frame walk_frame;
static uint64_t walk_seed = 5;
static unsigned walk_count;

static int visit(const char *path, const struct stat *info, int type, struct FTW *where)
{
    char magic[4] = {0};
    (void)info;
    (void)where;
    const char *name = path + strlen(ZONE_FOLDER);
    if (type != FTW_F || strncmp(name, "right/", 6) == 0 || strncmp(name, "posix", 5) == 0 ||
        strcmp(name, "localtime") == 0) {
        return 0;
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    bool is_zone = fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0;
    fclose(file);
    if (is_zone) {
        check_zone(&walk_frame, name, &walk_seed);
        walk_count++;
    }
    return 0;
}

static void test_all_zones(void **state)
{
    (void)state;
    walk_frame = cel_frame();
    walk_frame.arena.limit = SFI_CEL_EVAL_BYTES;
    bool is_there = nftw(ZONE_FOLDER, visit, 16, FTW_PHYS) == 0;
    cel_frame_clear(&walk_frame);
    unsetenv("TZ");
    tzset();
    if (!is_there) {
        skip();
    }
    assert_true(walk_count > 0);
}

#define AT(seconds)           \
    {                         \
        SFI_CEL_TIMESTAMP, 0, \
        {                     \
            .i64 = (seconds)  \
        }                     \
    }

static const struct cel_call zone_calls[] = {
    {"getHours", I(1), 2, {AT(1234567890), S("02:00")}},
    {"getHours", I(1), 2, {AT(1234567890), S("+02:00")}},
    {"getMinutes", I(1), 2, {AT(1234567890), S("-02:30")}},
    {"getHours", I(23), 2, {AT(1234567890), S("-00:00")}},
    {"getHours", I(23), 2, {AT(1234567890), S("UTC")}},
    {"getFullYear", I(10000), 2, {AT(SFI_CEL_SECONDS_MAX), S("+00:01")}},
    {"getFullYear", I(0), 2, {AT(SFI_CEL_SECONDS_MIN), S("-00:01")}},
};

static void test_zone_names(void **state)
{
    static const char *const wrong[] = {
        "",
        "Z",
        "utc",
        "+2:00",
        "+24:00",
        "+02:60",
        "02:0",
        "+02:00 ",
        "+-2:00",
        "+0200",
        "Europe",
        "Europe/",
        "/Europe/Berlin",
        "Europe//Berlin",
        "../zoneinfo/UTC",
        "Europe/../UTC",
        "./UTC",
        "Europe/Berlin ",
        "Europe/Berlin\n",
        "Nowhere/Land",
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "zone.tab",
        "tzdata.zi",
        "leapseconds",
        "file:/etc/passwd",
        "/etc/localtime",
        "\xff",
        ("Europe/"
         "Berlinnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")};
    (void)state;
    cel_check_all(zone_calls, sizeof zone_calls / sizeof zone_calls[0]);
    struct sfi_cel_frame frame = cel_frame();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sfi_cel_value got = get(&frame, "getHours", T(0, 0), wrong[i]);
        if (!cel_is_code(got, SFI_CEL_INVALID_ARGUMENT)) {
            fail_msg("'%s' is a zone", wrong[i]);
        }
        got = get(&frame, "getMilliseconds", T(0, 0), wrong[i]);
        assert_true(cel_is_code(got, SFI_CEL_INVALID_ARGUMENT));
    }
    const struct sfi_cel_value nul[] = {T(0, 0), S("UTC\0")};
    assert_true(cel_is_code(cel_call(&frame, "getHours", nul, 2), SFI_CEL_INVALID_ARGUMENT));
    cel_frame_clear(&frame);
}

/* Zones stay where they are however many come after them; reading them costs steps. */
static void test_cache(void **state)
{
    const struct sfi_cel_zone *zones[24 * 60];
    char name[8];
    (void)state;
    struct sfi_cel_frame frame = cel_frame();
    for (int i = 0; i < 24 * 60; i++) {
        snprintf(name, sizeof name, "-%02d:%02d", i / 60, i % 60);
        frame.steps_left = SFI_CEL_MAX_STEPS;
        zones[i] = sfi_cel_zone_find(&frame, name, 6);
        assert_true(frame.steps_left < SFI_CEL_MAX_STEPS);
    }
    for (int i = 0; i < 24 * 60; i++) {
        int64_t from;
        int64_t until;
        snprintf(name, sizeof name, "-%02d:%02d", i / 60, i % 60);
        frame.steps_left = 0; /* known ones cost nothing here */
        assert_ptr_equal(sfi_cel_zone_find(&frame, name, 6), zones[i]);
        assert_int_equal(sfi_cel_zone_offset(zones[i], 0, &from, &until), i * -60);
        assert_true(from == INT64_MIN && until == INT64_MAX);
    }
    assert_null(sfi_cel_zone_find(&frame, "+01:00", 6));
    assert_true(frame.steps_left < 0);
    cel_frame_clear(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamp_text), cmocka_unit_test(test_duration_text),
        cmocka_unit_test(test_round_trips),    cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_durations),      cmocka_unit_test(test_parts),
        cmocka_unit_test(test_all_zones),      cmocka_unit_test(test_zone_names),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
