/*
 * memory.h - the one allocator of the library. Hooks are replaceable through
 * shardy_set_allocator(), which is how the out-of-memory tests work.
 */
#ifndef SFI_BASE_MEMORY_H
#define SFI_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* All return NULL when out of memory or when the size overflows; size 0 gives a unique block. */
void *sfi_malloc(size_t size);
void *sfi_calloc(size_t count, size_t size);
void *sfi_realloc(void *block, size_t size);
void *sfi_array_alloc(size_t count, size_t size);
void sfi_free(void *block); /* NULL is accepted */

char *sfi_strdup(const char *text); /* NULL stays NULL */
char *sfi_strndup(const char *text, size_t size);

/*
 * Grow `*items` (element size `size`) to hold at least `need` elements; `*capacity` is updated.
 * Doubles, starting at 16. false: out of memory, nothing changed.
 */
bool sfi_array_grow(void **items, size_t *capacity, size_t need, size_t size);

#endif
