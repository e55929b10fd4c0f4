/*
 * fetch_plan.c - which requests to make for what lookups miss. A request costs a round trip and
 * about as much time as 64 KiB of transfer, so small gaps are fetched along; a large range comes
 * faster over several connections. No I/O, no locks; requests are fetch_flight.c.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "reader/fetch.h"

#include <stdlib.h>

bool sfi_ranges_add(struct sfi_wants *ranges, const struct sfi_want *range)
{
    void *items = ranges->items;
    if (!sfi_array_grow(&items, &ranges->capacity, ranges->count + 1, sizeof *ranges->items)) {
        return false;
    }
    ranges->items = items;
    ranges->items[ranges->count++] = *range;
    return true;
}

static int compare_wants(const void *left, const void *right)
{
    const struct sfi_want *a = left;
    const struct sfi_want *b = right;
    if (a->shard != b->shard) {
        return (uintptr_t)a->shard < (uintptr_t)b->shard ? -1 : 1;
    }
    if (a->object != b->object) {
        return a->object < b->object ? -1 : 1;
    }
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static bool same_object(const struct sfi_want *a, const struct sfi_want *b)
{
    return a->shard == b->shard && a->object == b->object;
}

static void extend(struct sfi_want *want, uint64_t end)
{
    want->length = end == UINT64_MAX ? 0 : end - want->offset;
}

void sfi_wants_normalise(struct sfi_wants *wants)
{
    size_t kept = 0;
    if (wants->count < 2) {
        return;
    }
    qsort(wants->items, wants->count, sizeof *wants->items, compare_wants);
    for (size_t i = 1; i < wants->count; i++) {
        struct sfi_want *last = &wants->items[kept];
        const struct sfi_want *want = &wants->items[i];
        if (same_object(last, want) && want->offset <= sfi_want_end(last)) {
            if (sfi_want_end(want) > sfi_want_end(last)) {
                extend(last, sfi_want_end(want));
            }
        } else {
            wants->items[++kept] = *want;
        }
    }
    wants->count = kept + 1;
}

void sfi_wants_limit(struct sfi_wants *wants, uint64_t bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < wants->count; i++) {
        struct sfi_want *want = &wants->items[i];
        if (want->length > bytes - sum) {
            want->length = (bytes - sum) / SFI_GRANULE * SFI_GRANULE;
            wants->count = i + (want->length > 0);
            return;
        }
        sum += want->length;
    }
}

/* Equal parts of whole granules, none above the maximum. */
static bool add_parts(struct sfi_wants *ranges, const struct sfi_want *range)
{
    uint64_t parts = (range->length + SFI_REQUEST_MAX - 1) / SFI_REQUEST_MAX;
    uint64_t end = range->offset + range->length;
    struct sfi_want part = *range;
    if (parts <= 1) { /* also a length of 0: to the end */
        return sfi_ranges_add(ranges, range);
    }
    uint64_t step = (range->length / parts + SFI_GRANULE - 1) / SFI_GRANULE * SFI_GRANULE;
    for (; part.offset < end; part.offset += step) {
        part.length = end - part.offset < step ? end - part.offset : step;
        if (!sfi_ranges_add(ranges, &part)) {
            return false;
        }
    }
    return true;
}

/* Whether a request for `range` may go on to the end of `want`. */
static bool joins(const struct sfi_want *range, const struct sfi_want *want)
{
    return same_object(range, want) && range->length && want->length &&
           want->offset - sfi_want_end(range) <= SFI_REQUEST_GAP &&
           sfi_want_end(want) - range->offset <= SFI_REQUEST_MAX;
}

bool sfi_wants_plan(const struct sfi_wants *wants, struct sfi_wants *ranges)
{
    for (size_t i = 0; i < wants->count;) {
        struct sfi_want range = wants->items[i++];
        while (i < wants->count && joins(&range, &wants->items[i])) {
            extend(&range, sfi_want_end(&wants->items[i++]));
        }
        if (!add_parts(ranges, &range)) {
            return false;
        }
    }
    return true;
}
