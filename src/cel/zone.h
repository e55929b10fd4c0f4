/*
 * zone.h - a time zone in memory, and its parts: the table of changes of a TZif file
 * (zone_file.c) and the rule for the time after it (zone_rule.c). Lookup is in function.h.
 */
#ifndef SFI_CEL_ZONE_H
#define SFI_CEL_ZONE_H

#include "cel/function.h"

/* When, in each year, the clock changes: a POSIX TZ rule. */
struct sfi_cel_zone_date {
    enum {
        SFI_CEL_ZONE_JULIAN, /* Jn: day 1 .. 365, 29 February never counts */
        SFI_CEL_ZONE_DAY,    /* n: day 0 .. 365 */
        SFI_CEL_ZONE_WEEKDAY /* Mm.w.d */
    } form;
    int32_t day; /* WEEKDAY: 0 = Sunday */
    int32_t week;
    int32_t month;
    int32_t seconds; /* local time after midnight of that day; may be negative or above a day */
};

struct sfi_cel_zone_rule {
    int32_t standard; /* offset from UTC in seconds, east positive */
    int32_t summer;
    bool has_summer;
    struct sfi_cel_zone_date start; /* of summer time, in standard time */
    struct sfi_cel_zone_date end;   /* in summer time */
};

struct sfi_cel_zone {
    uint32_t count;   /* of changes, ascending; neighbours differ in offset */
    int64_t *times;   /* when */
    int32_t *offsets; /* count + 1: offsets[i] is in force before times[i] */
    bool has_rule;    /* from the last change on */
    struct sfi_cel_zone_rule rule;
};

/* A TZif file, version 1 and up. false: damaged, or with leap seconds. Free its arrays either way.
 */
bool sfi_cel_zone_parse(const void *data, size_t size, struct sfi_cel_zone *zone);
void sfi_cel_zone_clear(struct sfi_cel_zone *zone);

/* The TZ string of a file's footer, e.g. "CET-1CEST,M3.5.0,M10.5.0/3". */
bool sfi_cel_zone_rule_parse(const char *text, size_t size, struct sfi_cel_zone_rule *rule);
int32_t sfi_cel_zone_rule_offset(const struct sfi_cel_zone_rule *rule, int64_t seconds,
                                 int64_t *from, int64_t *until);

#endif
