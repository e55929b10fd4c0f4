/*
 * buffer.c - a growing run of bytes.
 *
 * At least doubles when full; a large first request is met exactly. Ends the process when memory
 * runs out (memory.c), so appending cannot fail.
 */
#include "buffer.h"

#include <stdint.h>

void buffer_grow(struct buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 256;

    if (more > SIZE_MAX / 4 - buffer->size) {
        cli_no_memory();
    }
    if (buffer->capacity > 0 && capacity < SIZE_MAX / 2) {
        capacity *= 2;
    }
    if (capacity - buffer->size < more) {
        capacity = buffer->size + more;
    }
    buffer->data = cli_resize(buffer->data, capacity);
    buffer->capacity = capacity;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_clear(struct buffer *buffer)
{
    cli_free(buffer->data);
    *buffer = (struct buffer){NULL, 0, 0};
}
