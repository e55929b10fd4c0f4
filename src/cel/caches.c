/*
 * caches.c - the caches of a frame: made at first use, freed together. What is in them belongs to
 * lib_text.c and zone.c.
 */
#include "cel/caches.h"

#include "base/memory.h"
#include "cel/function.h"

struct sfi_cel_caches *sfi_cel_caches_of(struct sfi_cel_frame *frame)
{
    if (frame->caches == NULL) {
        frame->caches = sfi_calloc(1, sizeof(struct sfi_cel_caches));
    }
    return frame->caches;
}

void sfi_cel_caches_free(struct sfi_cel_frame *frame)
{
    struct sfi_cel_caches *caches = frame->caches;
    if (caches != NULL) {
        sfi_cel_regex_cache_free(caches->regexes);
        sfi_cel_zone_cache_free(caches->zones);
        sfi_free(caches);
        frame->caches = NULL;
    }
}
