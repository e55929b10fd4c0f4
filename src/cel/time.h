/*
 * time.h - timestamps and durations (lib_time.c): arithmetic, text. Ranges: /docs/cel.md.
 */
#ifndef SFI_CEL_TIME_H
#define SFI_CEL_TIME_H

#include "cel/value.h"

/*
 * timestamp + duration in either order, duration + duration; timestamp - timestamp, timestamp -
 * duration, duration - duration. Only operands of these kinds. OUT_OF_RANGE.
 */
struct sfi_cel_value sfi_cel_time_add(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                                      struct sfi_cel_value b);
struct sfi_cel_value sfi_cel_time_subtract(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                                           struct sfi_cel_value b);

/* RFC 3339. INVALID_ARGUMENT: not such a text; OUT_OF_RANGE: not in years 1 to 9999. */
struct sfi_cel_value sfi_cel_timestamp_parse(struct sfi_cel_frame *frame, const char *text,
                                             size_t size);
/* "1h2m3.5s" as Go writes it. INVALID_ARGUMENT, OUT_OF_RANGE. */
struct sfi_cel_value sfi_cel_duration_parse(struct sfi_cel_frame *frame, const char *text,
                                            size_t size);

/* What string() gives; the length is returned, no NUL is written. */
#define SFI_CEL_TIME_TEXT 64
size_t sfi_cel_timestamp_format(struct sfi_cel_value value, char out[SFI_CEL_TIME_TEXT]);
size_t sfi_cel_duration_format(struct sfi_cel_value value, char out[SFI_CEL_TIME_TEXT]);

/* Seconds of timestamp(int) and of every timestamp: years 1 to 9999. */
#define SFI_CEL_SECONDS_MIN INT64_C(-62135596800)
#define SFI_CEL_SECONDS_MAX INT64_C(253402300799)

#endif
