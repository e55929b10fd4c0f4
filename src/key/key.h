/*
 * key.h - canonical bytes, digests, stored encodings, and views of Arrow columns.
 * Source of the rules: docs/format/keys.md.
 */
#ifndef SFI_KEY_KEY_H
#define SFI_KEY_KEY_H

#include "base/bytes.h"

#include <shardyfusion/arrow.h>
#include <shardyfusion/key.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Integers that can be hashed, in messages. */
#define SFI_INT_KEY_RANGE "[-9223372036854775808, 9223372036854775807]"

/* Digest of an integer key: its 8 little-endian bytes. Inlined: this is the hot path. */
static inline uint64_t sfi_digest_u64(uint64_t number)
{
    return XXH3_64bits(&number, sizeof number);
}

static inline uint64_t sfi_digest_bytes(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

/* Whether keys of the encoding are integers (u64be, u32be). */
static inline bool sfi_encoding_is_int(shardy_key_encoding encoding)
{
    return encoding == SHARDY_KEY_U64BE || encoding == SHARDY_KEY_U32BE;
}

/*
 * shardy_key_encode() as writers need it: u64be and u32be take integers only. Bytes would be stored
 * as they are but hashed differently from the integer they stand for.
 */
shardy_status sfi_key_encode_row(const shardy_key *key, shardy_key_encoding encoding,
                                 uint8_t buffer[8], const void **data, size_t *size,
                                 shardy_error *err);

/* Decode stored key bytes into the logical key (min_key, max_key; scans). `data` is borrowed. */
shardy_key sfi_key_decode(shardy_key_encoding encoding, struct sfi_bytes stored);

/* Text of a key for messages: integers, quoted text with escapes, or x'hex'; cut at ~60 chars. */
#define SFI_KEY_TEXT_SIZE 96
void sfi_key_text(const shardy_key *key, char out[SFI_KEY_TEXT_SIZE]);

enum sfi_column_kind {
    SFI_COLUMN_I32,
    SFI_COLUMN_I64,
    SFI_COLUMN_U32,
    SFI_COLUMN_U64,
    SFI_COLUMN_VAR32, /* utf8, binary: 32-bit offsets */
    SFI_COLUMN_VAR64  /* large_utf8, large_binary: 64-bit offsets */
};

/* Borrowed view of one Arrow column, validated: no nulls, offsets in order. Row 0 is the first. */
struct sfi_column {
    enum sfi_column_kind kind;
    bool is_text;        /* utf8 or large_utf8 */
    size_t length;       /* rows */
    const void *values;  /* numbers, or the bytes that `offsets` point into */
    const void *offsets; /* int32 or int64, `length` + 1 of them; NULL for numbers */
    size_t max_bytes;    /* bytes of the longest row; the width for numbers */
};

static inline bool sfi_column_is_int(const struct sfi_column *column)
{
    return column->kind <= SFI_COLUMN_U64;
}

/* Bytes of a row of a VAR column. */
static inline struct sfi_bytes sfi_column_bytes(const struct sfi_column *column, size_t row)
{
    struct sfi_bytes bytes;
    const uint8_t *data = column->values;
    if (column->kind == SFI_COLUMN_VAR32) {
        const int32_t *offsets = column->offsets;
        bytes.data = data + offsets[row];
        bytes.size = (size_t)(offsets[row + 1] - offsets[row]);
    } else {
        const int64_t *offsets = column->offsets;
        bytes.data = data + offsets[row];
        bytes.size = (size_t)(offsets[row + 1] - offsets[row]);
    }
    return bytes;
}

/* Key of a row, for messages and slow paths. */
shardy_key sfi_column_key(const struct sfi_column *column, size_t row);

/*
 * View one column (not a struct) as rows `first` .. `first` + `length` of it. Checks the type, the
 * buffers, the offsets, and that there is no null among those rows; messages count rows from
 * `row_base`. `name` is the column's name in messages. CONFIG: type, malformed; INPUT: null.
 */
shardy_status sfi_column_open(const struct ArrowSchema *schema, const struct ArrowArray *array,
                              const char *name, int64_t first, int64_t length, uint64_t row_base,
                              struct sfi_column *column, shardy_error *err);
/* Find the child called `name` of a record batch and open it over the batch's own slice. */
shardy_status sfi_batch_column(const struct ArrowSchema *schema, const struct ArrowArray *array,
                               const char *name, uint64_t row_base, struct sfi_column *column,
                               shardy_error *err);
/* Total bytes of keys or values of a column. */
uint64_t sfi_column_byte_size(const struct sfi_column *column);

#endif
