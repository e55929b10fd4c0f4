/*
 * buf.c - growing byte buffers and JSON strings of the fault proxy. A test program: an allocation
 * that fails ends it.
 */
#include "proxy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MAX (64u << 10)

void *must(void *allocated)
{
    if (!allocated) {
        fputs("fault_proxy: no memory\n", stderr);
        abort();
    }
    return allocated;
}

char *copy_text(const char *text, size_t size)
{
    char *copy = must(malloc(size + 1));
    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

size_t buf_size(const struct buf *b)
{
    return b->end - b->start;
}

char *buf_at(const struct buf *b)
{
    return b->data ? b->data + b->start : NULL;
}

void buf_add(struct buf *b, const void *bytes, size_t count)
{
    if (count == 0) {
        return;
    }
    if (b->size - b->end < count + 1 && b->start > 0) {
        memmove(b->data, b->data + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    if (b->size - b->end < count + 1) {
        size_t size = b->size ? b->size : 1024;
        while (size - b->end < count + 1) {
            size *= 2;
        }
        b->data = must(realloc(b->data, size));
        b->size = size;
    }
    memcpy(b->data + b->end, bytes, count);
    b->end += count;
    b->data[b->end] = '\0';
}

void buf_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_format(struct buf *b, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size > 0) {
        buf_add(b, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
    }
}

void buf_json(struct buf *b, const char *text)
{
    buf_add(b, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            char pair[2] = {'\\', (char)*p};
            buf_add(b, pair, 2);
        } else if (*p < 0x20 || *p >= 0x7f) {
            buf_format(b, "\\u%04x", *p);
        } else {
            buf_add(b, p, 1);
        }
    }
    buf_add(b, "\"", 1);
}

void buf_take(struct buf *b, size_t count)
{
    b->start += count;
    if (b->start == b->end) {
        buf_empty(b);
    }
}

void buf_empty(struct buf *b)
{
    b->start = 0;
    b->end = 0;
    if (b->size > KEEP_MAX) {
        buf_clear(b);
    }
}

void buf_clear(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}
