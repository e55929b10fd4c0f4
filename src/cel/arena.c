/*
 * arena.c - bounded bump allocation in chunks that double up to 1 MiB.
 */
#include "cel/arena.h"

#include "base/memory.h"

#include <inttypes.h>

#define CHUNK_FIRST 2048u
#define CHUNK_MAX   (1u << 20)
#define CHUNK_KEPT  (256u << 10) /* what a reset arena holds on to */

struct sfi_cel_chunk {
    struct sfi_cel_chunk *next;
    size_t size; /* with this header */
};

void sfi_cel_arena_init(struct sfi_cel_arena *arena, size_t limit)
{
    *arena = (struct sfi_cel_arena){.limit = limit};
}

static void release_after(struct sfi_cel_chunk *chunk)
{
    while (chunk != NULL) {
        struct sfi_cel_chunk *next = chunk->next;
        sfi_free(chunk);
        chunk = next;
    }
}

void sfi_cel_arena_clear(struct sfi_cel_arena *arena)
{
    release_after(arena->chunks);
    sfi_cel_arena_init(arena, arena->limit);
}

static void open_chunk(struct sfi_cel_arena *arena)
{
    arena->at = (char *)(arena->chunks + 1);
    arena->end = (char *)arena->chunks + arena->chunks->size;
}

void sfi_cel_arena_reset(struct sfi_cel_arena *arena)
{
    arena->no_memory = false;
    if (arena->chunks == NULL) {
        return;
    }
    if (arena->chunks->size > CHUNK_KEPT) {
        sfi_cel_arena_clear(arena);
        return;
    }
    release_after(arena->chunks->next);
    arena->chunks->next = NULL;
    arena->used = arena->chunks->size;
    open_chunk(arena);
}

void *sfi_cel_arena_more(struct sfi_cel_arena *arena, size_t size)
{
    size_t rounded = (size + 7u) & ~(size_t)7u;
    size_t chunk_size = arena->chunks == NULL ? CHUNK_FIRST : arena->chunks->size * 2;
    if (chunk_size > CHUNK_MAX) {
        chunk_size = CHUNK_MAX;
    }
    size_t left = arena->limit - arena->used;
    if (rounded < size || rounded > SIZE_MAX - sizeof(struct sfi_cel_chunk)) {
        return NULL;
    }
    if (chunk_size < rounded + sizeof(struct sfi_cel_chunk)) {
        chunk_size = rounded + sizeof(struct sfi_cel_chunk);
    }
    if (chunk_size > left) {
        chunk_size = rounded + sizeof(struct sfi_cel_chunk);
        if (chunk_size > left) {
            return NULL;
        }
    }
    struct sfi_cel_chunk *chunk = sfi_malloc(chunk_size);
    if (chunk == NULL) {
        arena->no_memory = true;
        return NULL;
    }
    chunk->next = arena->chunks;
    chunk->size = chunk_size;
    arena->chunks = chunk;
    arena->used += chunk_size;
    open_chunk(arena);
    void *block = arena->at;
    arena->at += rounded;
    return block;
}

shardy_status sfi_cel_arena_status(const struct sfi_cel_arena *arena, const char *what,
                                   shardy_error *err)
{
    if (arena->no_memory) {
        return sfi_fail_memory(err, arena->used);
    }
    return sfi_fail(err, SHARDY_LIMIT, "%s needs more than %zu bytes of memory", what,
                    arena->limit);
}
