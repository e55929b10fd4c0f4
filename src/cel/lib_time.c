/*
 * lib_time.c - what timestamps and durations are asked for: getFullYear() and its like, with a time
 * zone or in UTC (cel-spec doc/langdef.md). Zones: zone.c; arithmetic and text: time.c.
 */
#include "cel/civil.h"
#include "cel/function.h"

#define MILLION 1000000

typedef int64_t (*part)(int64_t days, int64_t clock);

static int64_t full_year(int64_t days, int64_t clock)
{
    (void)clock;
    return sfi_cel_civil_of_days(days).year;
}

static int64_t month(int64_t days, int64_t clock)
{
    (void)clock;
    return sfi_cel_civil_of_days(days).month - 1;
}

static int64_t date(int64_t days, int64_t clock)
{
    (void)clock;
    return sfi_cel_civil_of_days(days).day;
}

static int64_t day_of_month(int64_t days, int64_t clock)
{
    (void)clock;
    return sfi_cel_civil_of_days(days).day - 1;
}

static int64_t day_of_week(int64_t days, int64_t clock)
{
    (void)clock;
    return sfi_cel_weekday(days);
}

static int64_t day_of_year(int64_t days, int64_t clock)
{
    (void)clock;
    return days - sfi_cel_days_of_civil(sfi_cel_civil_of_days(days).year, 1, 1);
}

static int64_t hours(int64_t days, int64_t clock)
{
    (void)days;
    return clock / 3600;
}

static int64_t minutes(int64_t days, int64_t clock)
{
    (void)days;
    return clock / 60 % 60;
}

static int64_t seconds(int64_t days, int64_t clock)
{
    (void)days;
    return clock % 60;
}

static struct sfi_cel_value part_at(part get, int64_t local)
{
    int64_t days = sfi_cel_floor_div(local, SFI_CEL_DAY);
    return sfi_cel_int(get(days, local - days * SFI_CEL_DAY));
}

/* The offset of a named zone at a timestamp; false: `error`. */
static bool find_offset(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                        int32_t *offset, struct sfi_cel_value *error)
{
    int64_t from;
    int64_t until;
    const struct sfi_cel_zone *zone = NULL;
    if (sfi_cel_charge(frame, args[1].size)) {
        zone = sfi_cel_zone_find(frame, args[1].text, args[1].size);
    }
    if (zone == NULL) {
        *error = frame->steps_left < 0
                     ? sfi_cel_fail_steps()
                     : sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                                    "Invalid timezone '%.*s': use an IANA name such as "
                                    "Europe/Berlin, or [+-]HH:MM",
                                    args[1].size > 64 ? 64 : (int)args[1].size, args[1].text);
        return false;
    }
    *offset = sfi_cel_zone_offset(zone, args[0].i64, &from, &until);
    return true;
}

static struct sfi_cel_value part_in(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                                    part get)
{
    int32_t offset;
    struct sfi_cel_value error;
    if (!find_offset(frame, args, &offset, &error)) {
        return error;
    }
    return part_at(get, args[0].i64 + offset);
}

/* name() in UTC, and name_in(zone). */
#define PART(name)                                                                \
    static struct sfi_cel_value get_##name(struct sfi_cel_frame *frame,           \
                                           const struct sfi_cel_value *args)      \
    {                                                                             \
        (void)frame;                                                              \
        return part_at(name, args[0].i64);                                        \
    }                                                                             \
    static struct sfi_cel_value get_##name##_in(struct sfi_cel_frame *frame,      \
                                                const struct sfi_cel_value *args) \
    {                                                                             \
        return part_in(frame, args, name);                                        \
    }

PART(full_year)
PART(month)
PART(date)
PART(day_of_month)
PART(day_of_week)
PART(day_of_year)
PART(hours)
PART(minutes)
PART(seconds)

static struct sfi_cel_value get_milliseconds(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(sfi_cel_nanos(args[0]) / MILLION);
}

static struct sfi_cel_value get_milliseconds_in(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_value *args)
{
    int32_t offset;
    struct sfi_cel_value error;
    return find_offset(frame, args, &offset, &error) ? get_milliseconds(frame, args) : error;
}

static struct sfi_cel_value duration_hours(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].i64 / 3600);
}

static struct sfi_cel_value duration_minutes(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].i64 / 60);
}

static struct sfi_cel_value duration_seconds(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].i64);
}

#define TIMESTAMP &sfi_cel_type_timestamp
#define DURATION  &sfi_cel_type_duration
#define STRING    &sfi_cel_type_string
#define INT       &sfi_cel_type_int

#define OVERLOADS(function, name)                                           \
    {function, SFI_CEL_METHOD, INT, {TIMESTAMP}, get_##name},               \
    {                                                                       \
        function, SFI_CEL_METHOD, INT, {TIMESTAMP, STRING}, get_##name##_in \
    }

static const struct sfi_cel_overload overloads[] = {
    OVERLOADS("getFullYear", full_year),
    OVERLOADS("getMonth", month),
    OVERLOADS("getDate", date),
    OVERLOADS("getDayOfMonth", day_of_month),
    OVERLOADS("getDayOfWeek", day_of_week),
    OVERLOADS("getDayOfYear", day_of_year),
    OVERLOADS("getHours", hours),
    {"getHours", SFI_CEL_METHOD, INT, {DURATION}, duration_hours},
    OVERLOADS("getMinutes", minutes),
    {"getMinutes", SFI_CEL_METHOD, INT, {DURATION}, duration_minutes},
    OVERLOADS("getSeconds", seconds),
    {"getSeconds", SFI_CEL_METHOD, INT, {DURATION}, duration_seconds},
    OVERLOADS("getMilliseconds", milliseconds),
    {"getMilliseconds", SFI_CEL_METHOD, INT, {DURATION}, get_milliseconds},
};

const struct sfi_cel_library sfi_cel_lib_time = {overloads, sizeof overloads / sizeof overloads[0],
                                                 false};
