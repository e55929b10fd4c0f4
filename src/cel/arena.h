/*
 * arena.h - memory of one compilation or of one evaluated block: allocated piece by piece, released
 * at once, bounded. The bound is what makes a hostile expression end in an error.
 */
#ifndef SFI_CEL_ARENA_H
#define SFI_CEL_ARENA_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sfi_cel_chunk;

struct sfi_cel_arena {
    struct sfi_cel_chunk *chunks; /* the newest first */
    char *at;
    char *end;
    size_t used;    /* bytes of all chunks */
    size_t limit;   /* most bytes of all chunks */
    bool no_memory; /* why an allocation failed: the allocator, not the limit */
};

void sfi_cel_arena_init(struct sfi_cel_arena *arena, size_t limit);
void sfi_cel_arena_clear(struct sfi_cel_arena *arena); /* releases everything; can be used again */
/* Forget what was allocated but keep one chunk for the next round. */
void sfi_cel_arena_reset(struct sfi_cel_arena *arena);
/* The slow path of sfi_cel_alloc(). */
void *sfi_cel_arena_more(struct sfi_cel_arena *arena, size_t size);
/* LIMIT or NO_MEMORY after an allocation gave NULL; `what` names the work. */
shardy_status sfi_cel_arena_status(const struct sfi_cel_arena *arena, const char *what,
                                   shardy_error *err);

/* `size` bytes aligned to 8, not zeroed; NULL: limit or memory. Size 0 gives a pointer, too. */
static inline void *sfi_cel_alloc(struct sfi_cel_arena *arena, size_t size)
{
    size_t rounded = (size + 7u) & ~(size_t)7u;
    if (rounded < size || arena->at == NULL || rounded > (size_t)(arena->end - arena->at)) {
        return sfi_cel_arena_more(arena, size);
    }
    void *block = arena->at;
    arena->at += rounded;
    return block;
}

/* An array; NULL on overflow too. */
static inline void *sfi_cel_alloc_array(struct sfi_cel_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return sfi_cel_alloc(arena, bytes);
}

#endif
