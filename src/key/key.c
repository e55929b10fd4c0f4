/*
 * key.c - digests, stored encodings and message texts of single keys (docs/format/keys.md).
 *
 * The digest depends on the kind of a key alone, the stored bytes on the snapshot's encoding.
 * Whole columns are the business of column.c and routing.
 */
#include "key/key.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>

struct encoding_row {
    const char *name;
    const char *accepts; /* in the message for a key of the wrong kind */
    const char *range;   /* in the message for an integer that does not fit */
    uint64_t max;
    size_t width;
};

static const struct encoding_row s_encodings[] = {
    [SHARDY_KEY_U64BE] = {"u64be", "int", "[0, 2^64-1]", UINT64_MAX, 8},
    [SHARDY_KEY_U32BE] = {"u32be", "int", "[0, 2^32-1]", UINT32_MAX, 4},
    [SHARDY_KEY_UTF8] = {"utf8", "str or bytes", NULL, 0, 0},
    [SHARDY_KEY_RAW] = {"raw", "bytes or str", NULL, 0, 0},
};

static const struct encoding_row *encoding_row(shardy_key_encoding encoding)
{
    size_t index = (size_t)encoding;
    return index < sizeof s_encodings / sizeof s_encodings[0] ? &s_encodings[index] : NULL;
}

const char *shardy_key_encoding_name(shardy_key_encoding encoding)
{
    const struct encoding_row *row = encoding_row(encoding);
    return row ? row->name : "?";
}

shardy_status shardy_key_encoding_parse(const char *name, shardy_key_encoding *encoding,
                                        shardy_error *err)
{
    *encoding = SHARDY_KEY_U64BE;
    for (size_t i = 0; name && i < sizeof s_encodings / sizeof s_encodings[0]; i++) {
        if (strcmp(name, s_encodings[i].name) == 0) {
            *encoding = (shardy_key_encoding)i;
            return SHARDY_OK;
        }
    }
    shardy_key value = shardy_key_str(name ? name : "", name ? strlen(name) : 0);
    char text[SFI_KEY_TEXT_SIZE];
    sfi_key_text(&value, text);
    return sfi_fail(err, SHARDY_CONFIG,
                    "Unsupported key encoding: %s. Allowed: u64be, u32be, utf8, raw",
                    name ? text : "NULL");
}

static const char *kind_name(shardy_key_kind kind)
{
    switch (kind) {
    case SHARDY_KIND_INT:
    case SHARDY_KIND_UINT:
        return "int";
    case SHARDY_KIND_STR:
        return "str";
    case SHARDY_KIND_BYTES:
        return "bytes";
    }
    return "unknown kind";
}

static bool is_number(const shardy_key *key)
{
    return key->kind == SHARDY_KIND_INT || key->kind == SHARDY_KIND_UINT;
}

/* Keys come from callers: a missing pointer or an unknown kind is theirs, but must not crash us. */
static shardy_status check_key(const shardy_key *key, shardy_error *err)
{
    if (!key) {
        return sfi_fail(err, SHARDY_CONFIG, "key is NULL");
    }
    if ((unsigned)key->kind > SHARDY_KIND_BYTES) {
        return sfi_fail(err, SHARDY_INPUT,
                        "Unsupported key type for hashing: kind %d; use int, uint, str or bytes",
                        (int)key->kind);
    }
    if (!is_number(key) && !key->data && key->size > 0) {
        return sfi_fail(err, SHARDY_INPUT, "%s key has no data but a size of %zu bytes",
                        kind_name(key->kind), key->size);
    }
    return SHARDY_OK;
}

shardy_status shardy_key_digest(const shardy_key *key, uint64_t *digest, shardy_error *err)
{
    *digest = 0;
    SFI_RETURN_IF_ERR(check_key(key, err));
    if (!is_number(key)) {
        *digest = sfi_digest_bytes(key->data, key->size);
        return SHARDY_OK;
    }
    if (key->kind == SHARDY_KIND_UINT && key->number > INT64_MAX) {
        return sfi_fail(err, SHARDY_INPUT,
                        "Integer key %" PRIu64 " out of range " SFI_INT_KEY_RANGE, key->number);
    }
    *digest = sfi_digest_u64(key->number);
    return SHARDY_OK;
}

static shardy_status encode_number(const shardy_key *key, const struct encoding_row *row,
                                   uint8_t buffer[8], shardy_error *err)
{
    bool negative = key->kind == SHARDY_KIND_INT && key->number > INT64_MAX;
    if (negative || key->number > row->max) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(key, text);
        return sfi_fail(err, SHARDY_INPUT, "%s encoding requires value in %s, got %s", row->name,
                        row->range, text);
    }
    if (row->width == 8) {
        sfi_put_u64be(buffer, key->number);
    } else {
        sfi_put_u32be(buffer, (uint32_t)key->number);
    }
    return SHARDY_OK;
}

/* utf8 and raw differ in their error text only. */
static shardy_status check_bytes(const shardy_key *key, const struct encoding_row *row,
                                 shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    if (is_number(key)) {
        sfi_key_text(key, text);
        return sfi_fail(err, SHARDY_INPUT, "%s encoding expects %s key, got int %s", row->name,
                        row->accepts, text);
    }
    if (key->size > SFI_KEY_MAX_BYTES) {
        return sfi_fail(err, SHARDY_LIMIT, "key of %zu bytes exceeds the limit of %u bytes",
                        key->size, SFI_KEY_MAX_BYTES);
    }
    if (key->kind == SHARDY_KIND_STR && !sfi_utf8_valid(key->data, key->size)) {
        sfi_key_text(key, text);
        return sfi_fail(err, SHARDY_INPUT, "str key %s is not valid UTF-8; pass it as bytes", text);
    }
    return SHARDY_OK;
}

static shardy_status encode_checked(const shardy_key *key, const struct encoding_row *row,
                                    uint8_t buffer[8], const void **data, size_t *size,
                                    shardy_error *err)
{
    if (row->width > 0 && is_number(key)) {
        SFI_RETURN_IF_ERR(encode_number(key, row, buffer, err));
        *data = buffer;
        *size = row->width;
        return SHARDY_OK;
    }
    if (row->width == 0) {
        SFI_RETURN_IF_ERR(check_bytes(key, row, err));
    }
    *data = key->size > 0 ? key->data : buffer;
    *size = key->size;
    return SHARDY_OK;
}

static shardy_status encode_start(const shardy_key *key, shardy_key_encoding encoding,
                                  const struct encoding_row **row, const void **data, size_t *size,
                                  shardy_error *err)
{
    *data = NULL;
    *size = 0;
    *row = encoding_row(encoding);
    if (!*row) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "Unsupported key encoding: %d. Allowed: u64be, u32be, utf8, raw",
                        (int)encoding);
    }
    return check_key(key, err);
}

shardy_status shardy_key_encode(const shardy_key *key, shardy_key_encoding encoding,
                                uint8_t buffer[8], const void **data, size_t *size,
                                shardy_error *err)
{
    const struct encoding_row *row;
    SFI_RETURN_IF_ERR(encode_start(key, encoding, &row, data, size, err));
    if (row->width > 0 && key->kind == SHARDY_KIND_STR) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(key, text);
        return sfi_fail(err, SHARDY_INPUT,
                        "%s key encoding requires integer lookup keys, got str %s", row->name,
                        text);
    }
    if (row->width > 0 && key->kind == SHARDY_KIND_BYTES && key->size != row->width) {
        return sfi_fail(err, SHARDY_INPUT, "%s key bytes must have length %zu, got %zu", row->name,
                        row->width, key->size);
    }
    return encode_checked(key, row, buffer, data, size, err);
}

shardy_status sfi_key_encode_row(const shardy_key *key, shardy_key_encoding encoding,
                                 uint8_t buffer[8], const void **data, size_t *size,
                                 shardy_error *err)
{
    const struct encoding_row *row;
    SFI_RETURN_IF_ERR(encode_start(key, encoding, &row, data, size, err));
    if (row->width > 0 && !is_number(key)) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(key, text);
        return sfi_fail(err, SHARDY_INPUT, "%s encoding expects int key, got %s %s", row->name,
                        kind_name(key->kind), text);
    }
    return encode_checked(key, row, buffer, data, size, err);
}

shardy_key sfi_key_decode(shardy_key_encoding encoding, struct sfi_bytes stored)
{
    const char *text = (const char *)stored.data;
    if (encoding == SHARDY_KEY_U64BE && stored.size == 8) {
        uint64_t number = sfi_get_u64be(stored.data);
        return number > INT64_MAX ? shardy_key_uint(number) : shardy_key_int((int64_t)number);
    }
    if (encoding == SHARDY_KEY_U32BE && stored.size == 4) {
        return shardy_key_int(sfi_get_u32be(stored.data));
    }
    if (encoding == SHARDY_KEY_UTF8 && sfi_utf8_valid(stored.data, stored.size)) {
        return shardy_key_str(text, stored.size);
    }
    return shardy_key_bytes(stored.data, stored.size);
}

/* Characters of a key that a message shows; the rest becomes "...". */
#define TEXT_SHOWN 60

/* Bytes of the UTF-8 character at `at`; 0 when there is no valid one. */
static size_t character_size(const uint8_t *at, size_t left)
{
    size_t want = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
    return want <= left && sfi_utf8_valid(at, want) ? want : 0;
}

static void text_of_str(const uint8_t *data, size_t size, char out[SFI_KEY_TEXT_SIZE])
{
    size_t used = 0;
    size_t at = 0;
    out[used++] = '"';
    while (at < size && used < TEXT_SHOWN) {
        size_t step = character_size(data + at, size - at);
        uint8_t c = data[at];
        if (step == 0 || c < 0x20 || c == 0x7F) {
            (void)snprintf(out + used, 5, "\\x%02x", c);
            used += 4;
            step = 1;
        } else {
            if (c == '"' || c == '\\') {
                out[used++] = '\\';
            }
            memcpy(out + used, data + at, step);
            used += step;
        }
        at += step;
    }
    (void)snprintf(out + used, SFI_KEY_TEXT_SIZE - used, "\"%s", at < size ? "..." : "");
}

static void text_of_bytes(const uint8_t *data, size_t size, char out[SFI_KEY_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t shown = size < TEXT_SHOWN / 2 ? size : TEXT_SHOWN / 2;
    size_t used = 0;
    out[used++] = 'x';
    out[used++] = '\'';
    for (size_t i = 0; i < shown; i++) {
        out[used++] = digits[data[i] >> 4];
        out[used++] = digits[data[i] & 15];
    }
    (void)snprintf(out + used, SFI_KEY_TEXT_SIZE - used, "'%s", shown < size ? "..." : "");
}

void sfi_key_text(const shardy_key *key, char out[SFI_KEY_TEXT_SIZE])
{
    size_t size = key->data ? key->size : 0;
    switch (key->kind) {
    case SHARDY_KIND_INT:
        (void)snprintf(out, SFI_KEY_TEXT_SIZE, "%" PRId64, (int64_t)key->number);
        return;
    case SHARDY_KIND_UINT:
        (void)snprintf(out, SFI_KEY_TEXT_SIZE, "%" PRIu64, key->number);
        return;
    case SHARDY_KIND_STR:
        text_of_str(key->data, size, out);
        return;
    case SHARDY_KIND_BYTES:
        text_of_bytes(key->data, size, out);
        return;
    }
    (void)snprintf(out, SFI_KEY_TEXT_SIZE, "key of unknown kind %d", (int)key->kind);
}
