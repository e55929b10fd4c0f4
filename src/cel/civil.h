/*
 * civil.h - days since 1970-01-01 to and from dates of the proleptic Gregorian calendar.
 * The year is taken to begin in March, so that the leap day comes last; 400 years are one era.
 */
#ifndef SFI_CEL_CIVIL_H
#define SFI_CEL_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

#define SFI_CEL_DAY INT64_C(86400)

struct sfi_cel_civil {
    int64_t year;
    int32_t month; /* 1 .. 12 */
    int32_t day;   /* 1 .. 31 */
};

static inline int64_t sfi_cel_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static inline bool sfi_cel_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static inline struct sfi_cel_civil sfi_cel_civil_of_days(int64_t days)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = sfi_cel_floor_div(shifted, 146097);
    int64_t day = shifted - era * 146097; /* of the era, 0 .. 146096 */
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100); /* from 1 March */
    int64_t month = (5 * of_year + 2) / 153;                      /* 0 = March */
    struct sfi_cel_civil civil = {
        .year = year + era * 400 + (month >= 10),
        .month = (int32_t)(month < 10 ? month + 3 : month - 9),
        .day = (int32_t)(of_year - (153 * month + 2) / 5 + 1),
    };
    return civil;
}

static inline int64_t sfi_cel_days_of_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month > 2 ? year : year - 1;
    int64_t era = sfi_cel_floor_div(shifted, 400);
    int64_t of_era = shifted - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* 0 = Sunday; 1970-01-01 was a Thursday. */
static inline int64_t sfi_cel_weekday(int64_t days)
{
    int64_t weekday = (days + 4) % 7;
    return weekday < 0 ? weekday + 7 : weekday;
}

#endif
