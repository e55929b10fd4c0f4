/*
 * buffer.h - a growing run of bytes.
 */
#ifndef SHARDY_CLI_BUFFER_H
#define SHARDY_CLI_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero is an empty buffer. */
struct buffer {
    char *data;
    size_t size;
    size_t capacity;
};

/* Make room for `more` further bytes. */
void buffer_grow(struct buffer *buffer, size_t more);

static inline void buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->size < more) {
        buffer_grow(buffer, more);
    }
}

static inline void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
    buffer_reserve(buffer, size);
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
}

static inline void buffer_add_byte(struct buffer *buffer, char byte)
{
    buffer_reserve(buffer, 1);
    buffer->data[buffer->size++] = byte;
}

void buffer_add_text(struct buffer *buffer, const char *text);

/* Release the memory; the buffer is empty afterwards. */
void buffer_clear(struct buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
