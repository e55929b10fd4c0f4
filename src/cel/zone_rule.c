/*
 * zone_rule.c - the time after the last change of a zone file: POSIX TZ strings with the extension
 * of RFC 8536 3.3 (hours from -167 to 167). Files are read by zone_file.c.
 */
#include "cel/civil.h"
#include "cel/time.h"
#include "cel/zone.h"

#define HOUR 3600
/* Years whose changes can matter for an instant: rules reach a week beyond their year. */
#define YEARS 4

struct text {
    const char *at;
    const char *end;
};

static bool accept(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c) {
        return false;
    }
    text->at++;
    return true;
}

static bool take_number(struct text *text, int32_t max, int32_t *number)
{
    const char *start = text->at;
    *number = 0;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        *number = *number * 10 + (*text->at++ - '0');
        if (*number > max) {
            return false;
        }
    }
    return text->at > start;
}

static bool is_name_char(char c, bool is_quoted)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (is_quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-'));
}

/* An abbreviation: letters, or <letters, digits, signs>. */
static bool take_name(struct text *text)
{
    bool is_quoted = accept(text, '<');
    const char *start = text->at;
    while (text->at < text->end && is_name_char(*text->at, is_quoted)) {
        text->at++;
    }
    return text->at - start >= 3 && (!is_quoted || accept(text, '>'));
}

/* [+-]h[:m[:s]] */
static bool take_time(struct text *text, int32_t max_hours, int32_t *seconds)
{
    int32_t hours;
    int32_t minutes = 0;
    int32_t rest = 0;
    bool is_negative = accept(text, '-');
    if (!is_negative) {
        accept(text, '+');
    }
    if (!take_number(text, max_hours, &hours) ||
        (accept(text, ':') && (!take_number(text, 59, &minutes) ||
                               (accept(text, ':') && !take_number(text, 59, &rest))))) {
        return false;
    }
    *seconds = hours * HOUR + minutes * 60 + rest;
    *seconds = is_negative ? -*seconds : *seconds;
    return true;
}

static bool take_weekday(struct text *text, struct sfi_cel_zone_date *date)
{
    date->form = SFI_CEL_ZONE_WEEKDAY;
    return take_number(text, 12, &date->month) && date->month >= 1 && accept(text, '.') &&
           take_number(text, 5, &date->week) && date->week >= 1 && accept(text, '.') &&
           take_number(text, 6, &date->day);
}

static bool take_date(struct text *text, struct sfi_cel_zone_date *date)
{
    bool ok;
    if (!accept(text, ',')) {
        return false;
    }
    if (accept(text, 'M')) {
        ok = take_weekday(text, date);
    } else if (accept(text, 'J')) {
        date->form = SFI_CEL_ZONE_JULIAN;
        ok = take_number(text, 365, &date->day) && date->day >= 1;
    } else {
        date->form = SFI_CEL_ZONE_DAY;
        ok = take_number(text, 365, &date->day);
    }
    date->seconds = 2 * HOUR;
    return ok && (!accept(text, '/') || take_time(text, 167, &date->seconds));
}

bool sfi_cel_zone_rule_parse(const char *source, size_t size, struct sfi_cel_zone_rule *rule)
{
    struct text text = {source, source + size};
    *rule = (struct sfi_cel_zone_rule){0};
    if (!take_name(&text) || !take_time(&text, 24, &rule->standard)) {
        return false;
    }
    rule->standard = -rule->standard; /* POSIX counts west of Greenwich as positive */
    if (text.at == text.end) {
        return true;
    }
    rule->has_summer = true;
    rule->summer = rule->standard + HOUR;
    if (!take_name(&text)) {
        return false;
    }
    if (text.at < text.end && *text.at != ',') {
        if (!take_time(&text, 24, &rule->summer)) {
            return false;
        }
        rule->summer = -rule->summer;
    }
    return take_date(&text, &rule->start) && take_date(&text, &rule->end) && text.at == text.end;
}

/* Days since 1970 of a rule's date in a year. */
static int64_t date_in(const struct sfi_cel_zone_date *date, int64_t year)
{
    if (date->form != SFI_CEL_ZONE_WEEKDAY) {
        int64_t days = sfi_cel_days_of_civil(year, 1, 1) + date->day;
        if (date->form == SFI_CEL_ZONE_JULIAN) {
            days += sfi_cel_is_leap(year) && date->day >= 60 ? 0 : -1;
        }
        return days;
    }
    int64_t first = sfi_cel_days_of_civil(year, date->month, 1);
    int64_t next = date->month == 12 ? sfi_cel_days_of_civil(year + 1, 1, 1)
                                     : sfi_cel_days_of_civil(year, date->month + 1, 1);
    int64_t day = first + (date->day - sfi_cel_weekday(first) + 7) % 7 + 7 * (date->week - 1);
    return day >= next ? day - 7 : day; /* week 5 is the last one */
}

struct change {
    int64_t at;
    int32_t offset; /* from then on */
};

/* Insert, keeping the order by time and, among equal times, that of insertion. */
static void insert(struct change *changes, size_t count, struct change change)
{
    while (count > 0 && changes[count - 1].at > change.at) {
        changes[count] = changes[count - 1];
        count--;
    }
    changes[count] = change;
}

int32_t sfi_cel_zone_rule_offset(const struct sfi_cel_zone_rule *rule, int64_t seconds,
                                 int64_t *from, int64_t *until)
{
    struct change changes[2 * YEARS];
    size_t count = 0;
    *from = INT64_MIN;
    *until = INT64_MAX;
    if (!rule->has_summer) {
        return rule->standard;
    }
    seconds = seconds < SFI_CEL_SECONDS_MIN ? SFI_CEL_SECONDS_MIN : seconds;
    seconds = seconds > SFI_CEL_SECONDS_MAX ? SFI_CEL_SECONDS_MAX : seconds;
    int64_t year = sfi_cel_civil_of_days(sfi_cel_floor_div(seconds, SFI_CEL_DAY)).year;
    for (int64_t y = year - 2; y < year - 2 + YEARS; y++) {
        struct change start = {date_in(&rule->start, y) * SFI_CEL_DAY + rule->start.seconds -
                                   rule->standard,
                               rule->summer};
        struct change end = {date_in(&rule->end, y) * SFI_CEL_DAY + rule->end.seconds -
                                 rule->summer,
                             rule->standard};
        insert(changes, count++, start);
        insert(changes, count++, end);
    }
    size_t i = count - 1;
    while (i > 0 && changes[i].at > seconds) {
        i--;
    }
    *from = changes[i].at;
    if (i + 1 < count) {
        *until = changes[i + 1].at;
    } else {
        *until = seconds + 1;
    }
    return changes[i].offset;
}
