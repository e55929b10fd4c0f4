/*
 * bytes.h - borrowed bytes, owned buffers, checked cursors and fixed-width integers.
 */
#ifndef SFI_BASE_BYTES_H
#define SFI_BASE_BYTES_H

#include "base/status.h"

#include <stdint.h>
#include <string.h>

/* Borrowed pointer and length. */
struct sfi_bytes {
    const uint8_t *data;
    size_t size;
};

/*
 * Owned, growing buffer with a maximum. Always NUL-terminated once it holds memory. A failed append
 * clears the buffer and every later append fails too, so a chain of appends needs one check.
 */
struct sfi_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t max;
    bool failed;
    bool no_memory; /* why it failed: out of memory, not the maximum */
};

void sfi_buf_init(struct sfi_buf *buf, size_t max);
void sfi_buf_clear(struct sfi_buf *buf); /* frees; the maximum stays, the failure is forgotten */
bool sfi_buf_append(struct sfi_buf *buf, const void *data, size_t size);
bool sfi_buf_append_text(struct sfi_buf *buf, const char *text);
bool sfi_buf_append_byte(struct sfi_buf *buf, uint8_t byte);
bool sfi_buf_append_u32le(struct sfi_buf *buf, uint32_t value);
bool sfi_buf_append_u64le(struct sfi_buf *buf, uint64_t value);
bool sfi_buf_printf(struct sfi_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Make room for `size` more bytes and return where they go; NULL on failure. Size not advanced. */
uint8_t *sfi_buf_reserve(struct sfi_buf *buf, size_t size);
/* SHARDY_OK, or why an append failed (SHARDY_LIMIT, SHARDY_NO_MEMORY); `what` names the buffer. */
shardy_status sfi_buf_status(const struct sfi_buf *buf, const char *what, shardy_error *err);
/* Hand the memory to the caller (sfi_free); NULL after a failure. Never NULL for an empty buffer.
 */
char *sfi_buf_take(struct sfi_buf *buf);

static inline struct sfi_bytes sfi_buf_view(const struct sfi_buf *buf)
{
    struct sfi_bytes view = {buf->data, buf->size};
    return view;
}

/* Checked reader over borrowed bytes: getters return false, and give 0, past the end. */
struct sfi_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct sfi_cursor sfi_cursor_of(const void *data, size_t size)
{
    struct sfi_cursor cursor = {data, (const uint8_t *)data + size};
    return cursor;
}

static inline size_t sfi_cursor_left(const struct sfi_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline bool sfi_cursor_take(struct sfi_cursor *cursor, size_t size, const uint8_t **out)
{
    bool ok = sfi_cursor_left(cursor) >= size;
    *out = ok ? cursor->at : NULL;
    if (ok) {
        cursor->at += size;
    }
    return ok;
}

static inline uint16_t sfi_get_u16be(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t sfi_get_u32be(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t sfi_get_u64be(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void sfi_put_u16be(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void sfi_put_u32be(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void sfi_put_u64be(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint32_t sfi_get_u32le(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t sfi_get_u64le(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void sfi_put_u32le(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void sfi_put_u64le(uint8_t *p, uint64_t v)
{
    sfi_put_u32le(p, (uint32_t)v);
    sfi_put_u32le(p + 4, (uint32_t)(v >> 32));
}

static inline bool sfi_get_u32le_cursor(struct sfi_cursor *cursor, uint32_t *out)
{
    const uint8_t *p;
    bool ok = sfi_cursor_take(cursor, 4, &p);
    *out = ok ? sfi_get_u32le(p) : 0;
    return ok;
}

static inline bool sfi_get_u64le_cursor(struct sfi_cursor *cursor, uint64_t *out)
{
    const uint8_t *p;
    bool ok = sfi_cursor_take(cursor, 8, &p);
    *out = ok ? sfi_get_u64le(p) : 0;
    return ok;
}

/* First up to 8 bytes as a big-endian number, zero padded: orders like memcmp, ties aside. */
static inline uint64_t sfi_key_prefix(const uint8_t *key, size_t size)
{
    uint64_t v = 0;
    if (size >= 8) {
        return sfi_get_u64be(key);
    }
    for (size_t i = 0; i < size; i++) {
        v |= (uint64_t)key[i] << (56 - 8 * i);
    }
    return v;
}

static inline int sfi_bytes_compare(struct sfi_bytes a, struct sfi_bytes b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.size > b.size) - (a.size < b.size);
}

/* Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool sfi_utf8_valid(const void *data, size_t size);

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shardyfusion supports little-endian targets (x86-64, aarch64) only"
#endif

#endif
