/*
 * timestamp.h - wall and monotonic clocks, and the timestamp forms of the formats (docs/format).
 * Wall times are microseconds since 1970-01-01T00:00:00Z.
 */
#ifndef SFI_BASE_TIMESTAMP_H
#define SFI_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFI_TIMESTAMP_SIZE 40

int64_t sfi_now_us(void);        /* wall clock */
uint64_t sfi_monotonic_us(void); /* for durations */

/* Object keys: always six fractional digits and Z, e.g. 2026-03-14T10:30:00.000000Z. */
void sfi_timestamp_format_key(int64_t us, char out[SFI_TIMESTAMP_SIZE]);
/* JSON and SQLite columns: fraction left out when zero, Z. */
void sfi_timestamp_format_iso(int64_t us, char out[SFI_TIMESTAMP_SIZE]);
/*
 * Every accepted form: ISO-8601 with T or space, any fraction (digits beyond 6 cut), Z, +HH:MM,
 * +HHMM, +HH or no offset (taken as UTC), date only, or a Unix timestamp (seconds; above 2e10
 * milliseconds). false: not a time.
 */
bool sfi_timestamp_parse(const char *text, size_t size, int64_t *us);

/* Python's datetime range, the only years other readers accept. */
#define SFI_TIMESTAMP_MIN INT64_C(-62135596800000000)
#define SFI_TIMESTAMP_MAX INT64_C(253402300799999999)

#endif
