/*
 * fetch_thrash.c - when to give up. Every wave of a lookup brings bytes it has not had, as long as
 * they stay; when the page budget is too small for what is going on they are emptied before they
 * are used, and fetched again, and so on. A set of fingerprints of earlier wants tells.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "reader/fetch.h"

#include <inttypes.h>

static uint64_t fingerprint(const struct sfi_want *want)
{
    uint64_t x = (uint64_t)(uintptr_t)want->shard * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 29) ^ want->offset ^ ((uint64_t)want->object << 63)) *
        UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 32;
    return x ? x : 1;
}

/* Whether it was there before; `seen` has room. */
static bool insert(struct sfi_thrash *thrash, uint64_t print)
{
    size_t at = (size_t)print & (thrash->capacity - 1);
    while (thrash->seen[at] && thrash->seen[at] != print) {
        at = (at + 1) & (thrash->capacity - 1);
    }
    bool known = thrash->seen[at] == print;
    thrash->seen[at] = print;
    thrash->count += !known;
    return known;
}

/* Room for `more` prints at a load of one half. */
static bool grow(struct sfi_thrash *thrash, size_t more)
{
    struct sfi_thrash old = *thrash;
    size_t capacity = old.capacity ? old.capacity : 64;
    while (capacity < 2 * (old.count + more)) {
        capacity *= 2;
    }
    if (capacity == old.capacity) {
        return true;
    }
    thrash->seen = sfi_calloc(capacity, sizeof *thrash->seen);
    if (!thrash->seen) {
        *thrash = old;
        return false;
    }
    thrash->capacity = capacity;
    thrash->count = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.seen[i]) {
            (void)insert(thrash, old.seen[i]);
        }
    }
    sfi_free(old.seen);
    return true;
}

shardy_status sfi_thrash_check(struct sfi_thrash *thrash, const struct sfi_wants *wants,
                               bool progress, int64_t budget, shardy_error *err)
{
    bool repeats = false;
    if (++thrash->waves <= SFI_WAVES_FREE) {
        return SHARDY_OK;
    }
    if (!grow(thrash, wants->count)) {
        return sfi_fail_memory(err, (thrash->count + wants->count) * 2 * sizeof *thrash->seen);
    }
    for (size_t i = 0; i < wants->count; i++) {
        repeats |= insert(thrash, fingerprint(&wants->items[i]));
    }
    thrash->stale = progress ? 0 : thrash->stale + repeats;
    if (thrash->stale <= SFI_WAVES_STALE) {
        return SHARDY_OK;
    }
    return sfi_fail(err, SHARDY_LIMIT,
                    "pages were emptied %u times before they could be used: page_cache_bytes is "
                    "%" PRId64 ", too small for the values or the lookups at once; raise it",
                    thrash->stale, budget);
}

void sfi_thrash_clear(struct sfi_thrash *thrash)
{
    sfi_free(thrash->seen);
    memset(thrash, 0, sizeof *thrash);
}
