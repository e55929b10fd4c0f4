/*
 * page_size.c - the automatic page size. Arithmetic: https://www.sqlite.org/fileformat2.html 1.6.
 */
#include "shard/page_size.h"

#include "base/limits.h"

#include <math.h>

/* Record header (at most 9 bytes for our two columns) and cell header, rounded as the formula of
 * the original does. */
#define CELL_OVERHEAD 12u

bool sfi_page_size_supported(uint32_t page_size)
{
    return page_size >= SFI_PAGE_MIN && page_size <= SFI_PAGE_MAX &&
           (page_size & (page_size - 1)) == 0;
}

uint32_t sfi_inline_payload_max(uint32_t page_size)
{
    return (page_size - 12) * 64 / 255 - 23;
}

void sfi_length_profile_add(struct sfi_length_profile *profile, uint32_t key_size,
                            uint32_t value_size)
{
    profile->rows++;
    profile->counts[value_size < SFI_LENGTH_CAP ? value_size : SFI_LENGTH_CAP]++;
    if (key_size > profile->max_key) {
        profile->max_key = key_size;
    }
}

uint32_t sfi_length_profile_page_size(const struct sfi_length_profile *profile)
{
    uint64_t seen = 0;
    uint32_t p95 = 0;
    uint32_t page_size = SFI_PAGE_MIN;
    if (!profile->rows) {
        return page_size;
    }
    /* The same IEEE double arithmetic as the original: ceil(0.95 N) - 1, counted from 0. */
    double rank = ceil(0.95 * (double)profile->rows) - 1;
    uint64_t position = rank > 0 ? (uint64_t)rank : 0;
    for (; p95 < SFI_LENGTH_CAP; p95++) {
        seen += profile->counts[p95];
        if (seen > position) {
            break;
        }
    }
    uint64_t required = (uint64_t)p95 + profile->max_key + CELL_OVERHEAD;
    while (page_size < SFI_PAGE_MAX && sfi_inline_payload_max(page_size) < required) {
        page_size *= 2;
    }
    return page_size;
}
