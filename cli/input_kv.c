/*
 * input_kv.c - the kv format: a stream of u32le key length, key, u32le value length, value.
 *
 * Keys are stored bytes: 8 or 4 bytes big-endian for u64be and u32be, text or bytes otherwise.
 */
#include "input.h"

static uint32_t read_u32(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;

    return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
           (uint32_t)byte[3] << 24;
}

/* Size of the record at `at` with `left` bytes after it; 0 = it is not complete. */
static size_t record_size(const char *at, size_t left)
{
    size_t key_size;
    size_t value_size;

    if (left < 4) {
        return 0;
    }
    key_size = read_u32(at);
    if (left - 4 < key_size || left - 4 - key_size < 4) {
        return 0;
    }
    value_size = read_u32(at + 4 + key_size);
    return left - 8 - key_size < value_size ? 0 : 8 + key_size + value_size;
}

size_t kv_cut(const char *data, size_t size)
{
    size_t at = 0;
    size_t next;

    while ((next = record_size(data + at, size - at)) != 0) {
        at += next;
    }
    return at;
}

void kv_parse_piece(const struct input_piece *piece, struct row_batch *batch,
                    struct row_error *error)
{
    size_t at = 0;

    while (at < piece->size) {
        const char *record = piece->data + at;
        size_t size = record_size(record, piece->size - at);
        size_t key_size;

        if (size == 0) {
            row_fail(error, at, "the record is cut off: %zu bytes are left", piece->size - at);
            return;
        }
        key_size = read_u32(record);
        if (!row_batch_key_stored(batch, record + 4, key_size, at, error)) {
            return;
        }
        buffer_add(&batch->values, record + 8 + key_size, size - 8 - key_size);
        row_batch_end(batch, at);
        at += size;
    }
}
