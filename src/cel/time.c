/*
 * time.c - timestamps and durations: RFC 3339 and Go's durations as text, sums and differences with
 * the ranges of spec 04 B8.4. What reads parts of them: lib_time.c; time zones: zone.c.
 */
#include "cel/time.h"

#include "base/limits.h"
#include "cel/civil.h"

#define BILLION 1000000000
/* Parsing takes up to so many times what a step of sfi_cel_charge() stands for. */
#define TIMESTAMP_WEIGHT 4u
#define DURATION_WEIGHT  8u

__extension__ typedef __int128 wide;

struct text {
    const char *at;
    const char *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool accept(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c) {
        return false;
    }
    text->at++;
    return true;
}

/* Exactly `count` digits. */
static bool take_digits(struct text *text, int count, int64_t *number)
{
    *number = 0;
    for (int i = 0; i < count; i++) {
        if (text->at == text->end || !is_digit(*text->at)) {
            return false;
        }
        *number = *number * 10 + (*text->at++ - '0');
    }
    return true;
}

/* "-MM-DD" of a year: a day that exists. */
static bool take_date(struct text *text, int64_t *days)
{
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year;
    int64_t month;
    int64_t day;
    if (!take_digits(text, 4, &year) || !accept(text, '-') || !take_digits(text, 2, &month) ||
        !accept(text, '-') || !take_digits(text, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1] + (month == 2 && sfi_cel_is_leap(year))) {
        return false;
    }
    *days = sfi_cel_days_of_civil(year, month, day);
    return true;
}

/* "HH:MM:SS.fff"; digits below a nanosecond are cut. Leap seconds are no time of ours. */
static bool take_clock(struct text *text, int64_t *seconds, int32_t *nanos)
{
    int64_t hour;
    int64_t minute;
    int64_t second;
    *nanos = 0;
    if (!take_digits(text, 2, &hour) || !accept(text, ':') || !take_digits(text, 2, &minute) ||
        !accept(text, ':') || !take_digits(text, 2, &second) || hour > 23 || minute > 59 ||
        second > 59) {
        return false;
    }
    *seconds = hour * 3600 + minute * 60 + second;
    if (!accept(text, '.')) {
        return true;
    }
    const char *start = text->at;
    for (int32_t unit = BILLION / 10; text->at < text->end && is_digit(*text->at); unit /= 10) {
        *nanos += unit * (*text->at++ - '0');
    }
    return text->at > start;
}

/* "Z" or "+HH:MM", to the end. */
static bool take_zone(struct text *text, int64_t *offset)
{
    int64_t hours;
    int64_t minutes;
    *offset = 0;
    if (accept(text, 'Z') || accept(text, 'z')) {
        return text->at == text->end;
    }
    bool is_west = accept(text, '-');
    if ((!is_west && !accept(text, '+')) || !take_digits(text, 2, &hours) || !accept(text, ':') ||
        !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *offset = (hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
    return text->at == text->end;
}

static struct sfi_cel_value make_timestamp(struct sfi_cel_frame *frame, int64_t seconds,
                                           int32_t nanos)
{
    if (seconds < SFI_CEL_SECONDS_MIN || seconds > SFI_CEL_SECONDS_MAX) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "timestamp overflow: not in years 1 to 9999");
    }
    return sfi_cel_time(SFI_CEL_TIMESTAMP, seconds, nanos);
}

/* Texts in messages: the beginning says what it is. */
static int shown(size_t size)
{
    return size > 80 ? 80 : (int)size;
}

struct sfi_cel_value sfi_cel_timestamp_parse(struct sfi_cel_frame *frame, const char *text,
                                             size_t size)
{
    struct text source = {text, text + size};
    int64_t days;
    int64_t seconds;
    int64_t offset;
    int32_t nanos;
    if (!sfi_cel_charge(frame, TIMESTAMP_WEIGHT * size)) {
        return sfi_cel_fail_steps();
    }
    if (!take_date(&source, &days) || (!accept(&source, 'T') && !accept(&source, 't')) ||
        !take_clock(&source, &seconds, &nanos) || !take_zone(&source, &offset)) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                            "'%.*s' is not a timestamp such as 2009-02-13T23:31:30Z", shown(size),
                            text);
    }
    return make_timestamp(frame, days * SFI_CEL_DAY + seconds - offset, nanos);
}

/* Nanoseconds of a unit; 0: none. Consumes it. */
static int64_t take_unit(struct text *text)
{
    if (accept(text, 'h')) {
        return INT64_C(3600) * BILLION;
    }
    if (accept(text, 's')) {
        return BILLION;
    }
    if (accept(text, 'm')) {
        return accept(text, 's') ? 1000000 : INT64_C(60) * BILLION;
    }
    if (accept(text, 'u')) {
        return accept(text, 's') ? 1000 : 0;
    }
    return accept(text, 'n') && accept(text, 's') ? 1 : 0;
}

/* A number above this is out of range even in ns; ten times it in hours still fits. */
#define NUMBER_MAX ((wide)INT64_C(1000000000000) * BILLION)

/* One "1.5h": adds its nanoseconds; false: no such text. Digits below 10^-18 are cut. */
static bool take_part(struct text *text, wide *nanos, bool *is_over)
{
    wide whole = 0;
    int64_t fraction = 0;
    int64_t scale = 1;
    bool has_digits = false;
    for (; text->at < text->end && is_digit(*text->at); text->at++) {
        has_digits = true;
        whole = whole > NUMBER_MAX ? whole : whole * 10 + (*text->at - '0');
    }
    if (accept(text, '.')) {
        for (; text->at < text->end && is_digit(*text->at); text->at++) {
            has_digits = true;
            if (scale < INT64_C(1000000000000000000)) {
                fraction = fraction * 10 + (*text->at - '0');
                scale *= 10;
            }
        }
    }
    int64_t unit = has_digits ? take_unit(text) : 0;
    if (unit == 0) {
        return false;
    }
    *nanos += whole * unit + (wide)fraction * unit / scale;
    *is_over = *nanos > (wide)SFI_CEL_DURATION_MAX * BILLION;
    return true;
}

struct sfi_cel_value sfi_cel_duration_parse(struct sfi_cel_frame *frame, const char *text,
                                            size_t size)
{
    struct text source = {text, text + size};
    wide nanos = 0;
    bool is_over = false;
    if (!sfi_cel_charge(frame, DURATION_WEIGHT * size)) {
        return sfi_cel_fail_steps();
    }
    bool is_negative = accept(&source, '-');
    if (!is_negative) {
        accept(&source, '+');
    }
    bool ok = source.at < source.end;
    if (source.end - source.at == 1 && *source.at == '0') {
        source.at++;
    }
    while (ok && !is_over && source.at < source.end) {
        ok = take_part(&source, &nanos, &is_over);
    }
    if (!ok) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                            "'%.*s' is not a duration such as 1h30m or 1.5s", shown(size), text);
    }
    if (is_over) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "duration '%.*s' is longer than 315576000000s", shown(size), text);
    }
    nanos = is_negative ? -nanos : nanos;
    return sfi_cel_time(SFI_CEL_DURATION, (int64_t)(nanos / BILLION), (int32_t)(nanos % BILLION));
}

static struct sfi_cel_value make_duration(struct sfi_cel_frame *frame, wide nanos)
{
    if (nanos < INT64_MIN || nanos > INT64_MAX) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "integer overflow: duration beyond 292 years");
    }
    return sfi_cel_time(SFI_CEL_DURATION, (int64_t)(nanos / BILLION), (int32_t)(nanos % BILLION));
}

static wide nanos_of(struct sfi_cel_value value)
{
    return (wide)value.i64 * BILLION + sfi_cel_nanos(value);
}

static struct sfi_cel_value timestamp_of(struct sfi_cel_frame *frame, wide nanos)
{
    int32_t rest = (int32_t)(nanos % BILLION);
    wide seconds = nanos / BILLION - (rest < 0);
    return make_timestamp(frame, (int64_t)seconds, rest < 0 ? rest + BILLION : rest);
}

struct sfi_cel_value sfi_cel_time_add(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                                      struct sfi_cel_value b)
{
    wide sum = nanos_of(a) + nanos_of(b);
    if (a.kind == SFI_CEL_DURATION && b.kind == SFI_CEL_DURATION) {
        return make_duration(frame, sum);
    }
    return timestamp_of(frame, sum);
}

struct sfi_cel_value sfi_cel_time_subtract(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                                           struct sfi_cel_value b)
{
    wide difference = nanos_of(a) - nanos_of(b);
    if (a.kind == b.kind) {
        return make_duration(frame, difference);
    }
    return timestamp_of(frame, difference);
}

/* `count` digits, zeros in front. */
static char *put_digits(char *out, uint64_t number, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + count;
}

/* Nothing, or a point with 3, 6 or 9 digits. */
static char *put_fraction(char *out, uint32_t nanos)
{
    if (nanos == 0) {
        return out;
    }
    *out++ = '.';
    if (nanos % 1000000 == 0) {
        return put_digits(out, nanos / 1000000, 3);
    }
    return nanos % 1000 == 0 ? put_digits(out, nanos / 1000, 6) : put_digits(out, nanos, 9);
}

size_t sfi_cel_timestamp_format(struct sfi_cel_value value, char out[SFI_CEL_TIME_TEXT])
{
    int64_t days = sfi_cel_floor_div(value.i64, SFI_CEL_DAY);
    uint64_t clock = (uint64_t)(value.i64 - days * SFI_CEL_DAY);
    struct sfi_cel_civil civil = sfi_cel_civil_of_days(days);
    char *at = put_digits(out, (uint64_t)civil.year, 4);
    *at++ = '-';
    at = put_digits(at, (uint64_t)civil.month, 2);
    *at++ = '-';
    at = put_digits(at, (uint64_t)civil.day, 2);
    *at++ = 'T';
    at = put_digits(at, clock / 3600, 2);
    *at++ = ':';
    at = put_digits(at, clock / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, clock % 60, 2);
    at = put_fraction(at, (uint32_t)sfi_cel_nanos(value));
    *at++ = 'Z';
    return (size_t)(at - out);
}

size_t sfi_cel_duration_format(struct sfi_cel_value value, char out[SFI_CEL_TIME_TEXT])
{
    int32_t nanos = sfi_cel_nanos(value);
    bool is_negative = value.i64 < 0 || nanos < 0;
    uint64_t seconds = value.i64 < 0 ? 0 - (uint64_t)value.i64 : (uint64_t)value.i64;
    int digits = 1;
    char *at = out;
    if (is_negative) {
        *at++ = '-';
    }
    for (uint64_t rest = seconds; rest >= 10; rest /= 10) {
        digits++;
    }
    at = put_digits(at, seconds, digits);
    at = put_fraction(at, (uint32_t)(nanos < 0 ? -nanos : nanos));
    *at++ = 's';
    return (size_t)(at - out);
}
