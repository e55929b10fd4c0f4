/*
 * caches.h - what a frame keeps between evaluations: compiled regular expressions, time zones.
 * sfi_cel_caches_free() (function.h) frees all of it.
 */
#ifndef SFI_CEL_CACHES_H
#define SFI_CEL_CACHES_H

#include "cel/value.h"

struct sfi_cel_regex_cache; /* lib_text.c */
struct sfi_cel_zone_cache;  /* zone.c */

struct sfi_cel_caches {
    struct sfi_cel_regex_cache *regexes; /* each made by its owner at first use */
    struct sfi_cel_zone_cache *zones;
};

/* The caches of a frame, made at first use; NULL: no memory. */
struct sfi_cel_caches *sfi_cel_caches_of(struct sfi_cel_frame *frame);

void sfi_cel_regex_cache_free(struct sfi_cel_regex_cache *cache); /* NULL is accepted */
void sfi_cel_zone_cache_free(struct sfi_cel_zone_cache *cache);   /* NULL is accepted */

#endif
