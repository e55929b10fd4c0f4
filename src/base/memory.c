/*
 * memory.c - allocator hooks and overflow-checked helpers. The only file that may name malloc.
 */
#include "base/memory.h"

#include <shardyfusion/error.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static shardy_allocator s_hooks = {malloc, calloc, realloc, free};

void shardy_set_allocator(const shardy_allocator *allocator)
{
    static const shardy_allocator libc_hooks = {malloc, calloc, realloc, free};
    s_hooks = allocator ? *allocator : libc_hooks;
}

void *sfi_malloc(size_t size)
{
    return s_hooks.alloc(size ? size : 1);
}

void *sfi_calloc(size_t count, size_t size)
{
    return s_hooks.zeroed(count ? count : 1, size ? size : 1);
}

void *sfi_realloc(void *block, size_t size)
{
    return s_hooks.resize(block, size ? size : 1);
}

void *sfi_array_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return sfi_malloc(bytes);
}

void sfi_free(void *block)
{
    s_hooks.release(block);
}

char *sfi_strdup(const char *text)
{
    return text ? sfi_strndup(text, strlen(text)) : NULL;
}

char *sfi_strndup(const char *text, size_t size)
{
    char *copy = size < SIZE_MAX ? sfi_malloc(size + 1) : NULL;
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

bool sfi_array_grow(void **items, size_t *capacity, size_t need, size_t size)
{
    size_t next = *capacity ? *capacity : 16;
    size_t bytes;
    if (need <= *capacity) {
        return true;
    }
    while (next < need) {
        if (next > SIZE_MAX / 2) {
            return false;
        }
        next *= 2;
    }
    if (__builtin_mul_overflow(next, size, &bytes)) {
        return false;
    }
    void *grown = sfi_realloc(*items, bytes);
    if (!grown) {
        return false;
    }
    *items = grown;
    *capacity = next;
    return true;
}
