/*
 * timestamp.c - civil dates by Howard Hinnant's days_from_civil algorithm
 * (https://howardhinnant.github.io/date_algorithms.html), proleptic Gregorian, no time zones.
 */
#include "base/timestamp.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define US_PER_S   INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

int64_t sfi_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

uint64_t sfi_monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * (uint64_t)US_PER_S + (uint64_t)(ts.tv_nsec / 1000);
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, int *m, int *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

static void format(int64_t us, bool always_fraction, char out[SFI_TIMESTAMP_SIZE])
{
    int64_t days;
    int64_t rest;
    int64_t y;
    int m;
    int d;
    if (us < SFI_TIMESTAMP_MIN) {
        us = SFI_TIMESTAMP_MIN;
    } else if (us > SFI_TIMESTAMP_MAX) {
        us = SFI_TIMESTAMP_MAX;
    }
    days = us / US_PER_DAY;
    rest = us % US_PER_DAY;
    if (rest < 0) {
        rest += US_PER_DAY;
        days--;
    }
    civil_from_days(days, &y, &m, &d);
    int seconds = (int)(rest / US_PER_S);
    int micros = (int)(rest % US_PER_S);
    int n = snprintf(out, SFI_TIMESTAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", (int)y, m, d,
                     seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (n > 0 && (always_fraction || micros)) {
        n += snprintf(out + n, (size_t)(SFI_TIMESTAMP_SIZE - n), ".%06d", micros);
    }
    snprintf(out + n, (size_t)(SFI_TIMESTAMP_SIZE - n), "Z");
}

void sfi_timestamp_format_key(int64_t us, char out[SFI_TIMESTAMP_SIZE])
{
    format(us, true, out);
}

void sfi_timestamp_format_iso(int64_t us, char out[SFI_TIMESTAMP_SIZE])
{
    format(us, false, out);
}

/* `count` digits at *at; false when there are fewer. */
static bool digits(const char **at, const char *end, int count, int *out)
{
    int value = 0;
    if (end - *at < count) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += count;
    *out = value;
    return true;
}

static bool literal(const char **at, const char *end, char c)
{
    bool ok = *at < end && **at == c;
    *at += ok;
    return ok;
}

static bool parse_date(const char **at, const char *end, int64_t *days)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y;
    int m;
    int d;
    if (!digits(at, end, 4, &y) || !literal(at, end, '-') || !digits(at, end, 2, &m) ||
        !literal(at, end, '-') || !digits(at, end, 2, &d)) {
        return false;
    }
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > month_days[m - 1] ||
        (m == 2 && d == 29 && !leap)) {
        return false;
    }
    *days = days_from_civil(y, m, d);
    return true;
}

static bool parse_fraction(const char **at, const char *end, int *micros)
{
    int scale = 100000;
    const char *start = *at;
    *micros = 0;
    while (*at < end && isdigit((unsigned char)**at)) {
        *micros += (**at - '0') * scale;
        scale /= 10;
        (*at)++;
    }
    return *at > start;
}

static bool parse_clock(const char **at, const char *end, int64_t *us)
{
    int h;
    int m;
    int s = 0;
    int micros = 0;
    if (!digits(at, end, 2, &h) || !literal(at, end, ':') || !digits(at, end, 2, &m)) {
        return false;
    }
    if (literal(at, end, ':')) {
        if (!digits(at, end, 2, &s)) {
            return false;
        }
        if ((literal(at, end, '.') || literal(at, end, ',')) && !parse_fraction(at, end, &micros)) {
            return false;
        }
    }
    if (h > 23 || m > 59 || s > 59) {
        return false;
    }
    *us = ((int64_t)h * 3600 + m * 60 + s) * US_PER_S + micros;
    return true;
}

static bool parse_offset(const char **at, const char *end, int64_t *us)
{
    int h;
    int m = 0;
    *us = 0;
    if (*at == end || literal(at, end, 'Z') || literal(at, end, 'z')) {
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if (!literal(at, end, '+') && !literal(at, end, '-')) {
        return false;
    }
    if (!digits(at, end, 2, &h)) {
        return false;
    }
    if (*at < end) {
        literal(at, end, ':');
        if (!digits(at, end, 2, &m)) {
            return false;
        }
    }
    *us = sign * ((int64_t)h * 3600 + m * 60) * US_PER_S;
    return h < 24 && m < 60;
}

static bool parse_unix(const char *text, size_t size, int64_t *us)
{
    char buffer[64];
    char *stop;
    if (!size || size >= sizeof buffer) {
        return false;
    }
    memcpy(buffer, text, size);
    buffer[size] = '\0';
    if (strspn(buffer, "+-.0123456789eE") != size) {
        return false;
    }
    double value = strtod(buffer, &stop);
    if (*stop || !isfinite(value)) {
        return false;
    }
    value = fabs(value) > 2e10 ? value * 1e3 : value * 1e6;
    if (value < (double)SFI_TIMESTAMP_MIN || value > (double)SFI_TIMESTAMP_MAX) {
        return false;
    }
    *us = (int64_t)llround(value);
    return true;
}

bool sfi_timestamp_parse(const char *text, size_t size, int64_t *us)
{
    const char *at = text;
    const char *end = text + size;
    int64_t days;
    int64_t clock = 0;
    int64_t offset = 0;
    if (!parse_date(&at, end, &days)) {
        return parse_unix(text, size, us);
    }
    if (at < end) {
        if (!literal(&at, end, 'T') && !literal(&at, end, 't') && !literal(&at, end, ' ')) {
            return false;
        }
        if (!parse_clock(&at, end, &clock) || !parse_offset(&at, end, &offset) || at != end) {
            return false;
        }
    }
    *us = days * US_PER_DAY + clock - offset;
    return *us >= SFI_TIMESTAMP_MIN && *us <= SFI_TIMESTAMP_MAX;
}
