/*
 * fuzz_cel_zone.c - any bytes as a time zone file.
 *
 * Invariant: the parser refuses the bytes, or the zone has an offset of less than 27 hours for
 * every second of the years 1 to 9999, in a range that holds the second and ends where the next
 * one begins.
 */
#include "cel/time.h"
#include "cel/zone.h"

#include <stdlib.h>

#define RANGES_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* From second to second through the ranges; hostile rules have thousands, enough are enough. */
static void walk(const struct sfi_cel_zone *zone, int64_t seconds)
{
    for (int i = 0; i < RANGES_MAX && seconds <= SFI_CEL_SECONDS_MAX; i++) {
        int64_t from;
        int64_t until;
        int64_t same_from;
        int64_t same_until;
        int32_t offset = sfi_cel_zone_offset(zone, seconds, &from, &until);
        require(from <= seconds && seconds < until);
        require(offset > -27 * 3600 && offset < 27 * 3600);
        require(sfi_cel_zone_offset(zone, until - 1, &same_from, &same_until) == offset);
        seconds = until;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_cel_zone zone;

    if (sfi_cel_zone_parse(data, size, &zone)) {
        walk(&zone, SFI_CEL_SECONDS_MIN);
        walk(&zone, 0);
        walk(&zone, INT64_C(4102444800));
    }
    sfi_cel_zone_clear(&zone);
    return 0;
}
