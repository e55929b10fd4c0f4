/*
 * sqlite_format.h - the parts of the SQLite file format that shards use: constants, varints and
 * the split of a payload between its cell and overflow pages. Section numbers are those of
 * https://www.sqlite.org/fileformat2.html.
 */
#ifndef SFI_SHARD_SQLITE_FORMAT_H
#define SFI_SHARD_SQLITE_FORMAT_H

#include "base/bytes.h"

#define SFI_SQLITE_MAGIC       "SQLite format 3" /* with its NUL: 16 bytes */
#define SFI_SQLITE_HEADER_SIZE 100u
#define SFI_SQLITE_LAYOUT_MARK 0x73667331u /* application_id "sfs1": written by our builder */
#define SFI_SQLITE_SCHEMA      "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"

/* Page types (1.6). kv is a WITHOUT ROWID table, so its pages are index pages. */
enum {
    SFI_PAGE_INDEX_INTERIOR = 2,
    SFI_PAGE_TABLE_INTERIOR = 5,
    SFI_PAGE_INDEX_LEAF = 10,
    SFI_PAGE_TABLE_LEAF = 13
};

#define SFI_LEAF_HEADER     8u
#define SFI_INTERIOR_HEADER 12u

/* Longest local part of an index cell and its decorations, with room to spare: payload varint,
 * local payload, overflow page number, child page number. */
#define SFI_CELL_MAX(page_size) ((page_size) / 4 + 32)

/* Bytes of a payload that stay in its index cell. */
static inline uint32_t sfi_local_payload(uint32_t usable, uint64_t payload)
{
    uint32_t x = (usable - 12) * 64 / 255 - 23;
    uint32_t m = (usable - 12) * 32 / 255 - 23;
    if (payload <= x) {
        return (uint32_t)payload;
    }
    uint32_t k = m + (uint32_t)((payload - m) % (usable - 4));
    return k <= x ? k : m;
}

/* Varint at p, never reading past end. Returns its length, 0 when it is cut off. */
static inline unsigned sfi_get_varint(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
    uint64_t v = 0;
    if (p < end && p[0] < 0x80) {
        *value = p[0];
        return 1;
    }
    if (end - p >= 2 && p[1] < 0x80) {
        *value = (uint64_t)(p[0] & 0x7Fu) << 7 | p[1];
        return 2;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (p + i >= end) {
            return 0;
        }
        v = v << 7 | (p[i] & 0x7Fu);
        if (!(p[i] & 0x80u)) {
            *value = v;
            return i + 1;
        }
    }
    if (p + 8 >= end) {
        return 0;
    }
    *value = v << 8 | p[8];
    return 9;
}

static inline unsigned sfi_varint_size(uint64_t value)
{
    unsigned n = 1;
    while (value >= 0x80 && n < 9) {
        value >>= 7;
        n++;
    }
    return n;
}

/* Write a varint below 2^56 (all that a builder needs). Returns its length. */
static inline unsigned sfi_put_varint(uint8_t *p, uint64_t value)
{
    if (value < 0x80) {
        p[0] = (uint8_t)value;
        return 1;
    }
    if (value < 0x4000) {
        p[0] = (uint8_t)(value >> 7 | 0x80u);
        p[1] = (uint8_t)(value & 0x7Fu);
        return 2;
    }
    unsigned n = sfi_varint_size(value);
    for (unsigned i = n; i-- > 0;) {
        p[i] = (uint8_t)((value & 0x7Fu) | (i + 1 < n ? 0x80u : 0));
        value >>= 7;
    }
    return n;
}

#endif
