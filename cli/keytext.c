/*
 * keytext.c - keys as people type them.
 *
 * Integers follow the grammar of the original tool: " 1 ", +1, 1_0 and Arabic-Indic digits are
 * integers, 0x1 is not. Keys that are not UTF-8 are typed as hex or base64.
 */
#include "keytext.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keytext_digits.h"

static int digit_of(uint32_t code)
{
    size_t count = sizeof unicode_zeros / sizeof unicode_zeros[0];

    if (code < 0x80) {
        return code >= '0' && code <= '9' ? (int)(code - '0') : -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (code >= unicode_zeros[i] && code - unicode_zeros[i] < 10) {
            return (int)(code - unicode_zeros[i]);
        }
    }
    return -1;
}

static bool is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

enum integer_state { BEFORE, SIGNED, DIGITS, UNDERSCORE, AFTER };

bool keytext_integer(const char *text, size_t size, bool *negative, uint64_t *magnitude, bool *fits)
{
    const uint8_t *at = (const uint8_t *)text;
    enum integer_state state = BEFORE;
    size_t i = 0;

    *negative = false;
    *magnitude = 0;
    *fits = true;
    while (i < size) {
        uint32_t code;
        bool valid;
        int digit;

        i += utf8_next(at + i, size - i, &code, &valid);
        digit = valid ? digit_of(code) : -1;
        if (digit >= 0 && state != AFTER) {
            if (__builtin_mul_overflow(*magnitude, UINT64_C(10), magnitude) ||
                __builtin_add_overflow(*magnitude, (uint64_t)digit, magnitude)) {
                *fits = false;
            }
            state = DIGITS;
        } else if (valid && code == '_' && state == DIGITS) {
            state = UNDERSCORE;
        } else if (valid && (code == '+' || code == '-') && state == BEFORE) {
            *negative = code == '-';
            state = SIGNED;
        } else if (valid && is_space(code) && state != SIGNED && state != UNDERSCORE) {
            state = state == BEFORE ? BEFORE : AFTER;
        } else {
            return false;
        }
    }
    return state == DIGITS || state == AFTER;
}

static bool parse_integer(const char *text, shardy_key_encoding encoding, shardy_key *key,
                          char *message, size_t message_size)
{
    bool negative;
    uint64_t magnitude;
    bool fits;

    if (!keytext_integer(text, strlen(text), &negative, &magnitude, &fits)) {
        (void)snprintf(message, message_size,
                       "Key '%s' is not a valid integer (required by %s encoding)", text,
                       shardy_key_encoding_name(encoding));
        return false;
    }
    if (!fits || (negative && magnitude > UINT64_C(1) << 63)) {
        (void)snprintf(message, message_size,
                       "Key '%s' is out of range: %s encoding requires value in [0, 2^%d-1]", text,
                       shardy_key_encoding_name(encoding), encoding == SHARDY_KEY_U32BE ? 32 : 64);
        return false;
    }
    if (negative) {
        *key = shardy_key_int((int64_t)(0 - magnitude));
    } else if (magnitude <= INT64_MAX) {
        *key = shardy_key_int((int64_t)magnitude);
    } else {
        *key = shardy_key_uint(magnitude);
    }
    return true;
}

bool keytext_parse(const char *text, shardy_key_encoding encoding, enum text_format format,
                   struct buffer *bytes, shardy_key *key, char *message, size_t message_size)
{
    bool integer = encoding == SHARDY_KEY_U64BE || encoding == SHARDY_KEY_U32BE;

    bytes->size = 0;
    if (format == TEXT_FORMAT_TEXT && integer) {
        return parse_integer(text, encoding, key, message, message_size);
    }
    if (!encoding_decode(bytes, format, text, strlen(text))) {
        (void)snprintf(message, message_size, "Key '%s' is not valid %s", text,
                       format == TEXT_FORMAT_HEX ? "hex" : "base64");
        return false;
    }
    if (integer) {
        *key = keytext_from_stored(bytes->data, bytes->size, encoding);
        if (key->kind != SHARDY_KIND_UINT) {
            (void)snprintf(message, message_size,
                           "Key '%s': %s encoding requires %d bytes, got %zu", text,
                           shardy_key_encoding_name(encoding), encoding == SHARDY_KEY_U32BE ? 4 : 8,
                           bytes->size);
            return false;
        }
        return true;
    }
    if ((encoding == SHARDY_KEY_UTF8 || format == TEXT_FORMAT_TEXT) &&
        !utf8_is_valid(bytes->data, bytes->size)) {
        (void)snprintf(message, message_size,
                       "Key '%s' is not valid UTF-8; raw keys can be given with --key-format hex",
                       text);
        return false;
    }
    *key = encoding == SHARDY_KEY_UTF8 ? shardy_key_str(bytes->data, bytes->size)
                                       : shardy_key_bytes(bytes->data, bytes->size);
    return true;
}

shardy_key keytext_from_stored(const void *data, size_t size, shardy_key_encoding encoding)
{
    size_t width = encoding == SHARDY_KEY_U64BE ? 8 : encoding == SHARDY_KEY_U32BE ? 4 : 0;
    const uint8_t *at = data;
    uint64_t number = 0;

    if (width != 0 && size == width) {
        for (size_t i = 0; i < size; i++) {
            number = number << 8 | at[i];
        }
        return shardy_key_uint(number);
    }
    if (width == 0 && utf8_is_valid(data, size)) {
        return shardy_key_str(data, size);
    }
    return shardy_key_bytes(data, size);
}
