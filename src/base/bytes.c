/*
 * bytes.c - growing buffers and UTF-8 validation.
 */
#include "base/bytes.h"

#include "base/memory.h"

#include <stdio.h>

void sfi_buf_init(struct sfi_buf *buf, size_t max)
{
    memset(buf, 0, sizeof *buf);
    buf->max = max;
}

void sfi_buf_clear(struct sfi_buf *buf)
{
    sfi_free(buf->data);
    sfi_buf_init(buf, buf->max);
}

static uint8_t *reserve_failed(struct sfi_buf *buf, bool no_memory)
{
    no_memory = buf->failed ? buf->no_memory : no_memory;
    sfi_buf_clear(buf);
    buf->failed = true;
    buf->no_memory = no_memory;
    return NULL;
}

uint8_t *sfi_buf_reserve(struct sfi_buf *buf, size_t size)
{
    if (buf->failed || size > buf->max || buf->size > buf->max - size) {
        return reserve_failed(buf, false);
    }
    if (buf->size + size >= buf->capacity) {
        void *data = buf->data;
        if (!sfi_array_grow(&data, &buf->capacity, buf->size + size + 1, 1)) {
            return reserve_failed(buf, true);
        }
        buf->data = data;
    }
    return buf->data + buf->size;
}

bool sfi_buf_append(struct sfi_buf *buf, const void *data, size_t size)
{
    uint8_t *at = sfi_buf_reserve(buf, size);
    if (!at) {
        return false;
    }
    if (size) {
        memcpy(at, data, size);
    }
    buf->size += size;
    buf->data[buf->size] = 0;
    return true;
}

bool sfi_buf_append_text(struct sfi_buf *buf, const char *text)
{
    return sfi_buf_append(buf, text, strlen(text));
}

bool sfi_buf_append_byte(struct sfi_buf *buf, uint8_t byte)
{
    return sfi_buf_append(buf, &byte, 1);
}

bool sfi_buf_append_u32le(struct sfi_buf *buf, uint32_t value)
{
    return sfi_buf_append(buf, &value, sizeof value);
}

bool sfi_buf_append_u64le(struct sfi_buf *buf, uint64_t value)
{
    return sfi_buf_append(buf, &value, sizeof value);
}

bool sfi_buf_printf(struct sfi_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *at = n < 0 ? reserve_failed(buf, false) : sfi_buf_reserve(buf, (size_t)n);
    if (!at) {
        return false;
    }
    va_start(args, format);
    vsnprintf((char *)at, (size_t)n + 1, format, args);
    va_end(args);
    buf->size += (size_t)n;
    return true;
}

shardy_status sfi_buf_status(const struct sfi_buf *buf, const char *what, shardy_error *err)
{
    if (!buf->failed) {
        return SHARDY_OK;
    }
    if (buf->no_memory) {
        return sfi_fail(err, SHARDY_NO_MEMORY, "%s: out of memory", what);
    }
    return sfi_fail(err, SHARDY_LIMIT, "%s: larger than the limit of %zu bytes", what, buf->max);
}

char *sfi_buf_take(struct sfi_buf *buf)
{
    if (!sfi_buf_append(buf, "", 0)) {
        return NULL;
    }
    char *data = (char *)buf->data;
    sfi_buf_init(buf, buf->max);
    return data;
}

/* Length of the valid sequence at p (n bytes left), or 0. Table 3-7 of the Unicode standard. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (length == 1) {
        return 1;
    }
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < length) {
        return 0;
    }
    if (p[0] == 0xE0) {
        low = 0xA0;
    } else if (p[0] == 0xED) {
        high = 0x9F;
    } else if (p[0] == 0xF0) {
        low = 0x90;
    } else if (p[0] == 0xF4) {
        high = 0x8F;
    }
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xC0u) != 0x80u) {
            return 0;
        }
    }
    return length;
}

bool sfi_utf8_valid(const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t i = 0;
    while (i < size) {
        if (size - i >= 8) {
            uint64_t word;
            memcpy(&word, p + i, sizeof word);
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += 8;
                continue;
            }
        }
        size_t length = utf8_sequence(p + i, size - i);
        if (!length) {
            return false;
        }
        i += length;
    }
    return true;
}
