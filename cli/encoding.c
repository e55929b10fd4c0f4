/*
 * encoding.c - base64 (RFC 4648, standard alphabet, padded), lower-case hex and UTF-8 (RFC 3629).
 *
 * Used for values on output, for keys typed as hex or base64, and for columns of an input file.
 */
#include "encoding.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

static void add_base64(struct buffer *out, const uint8_t *data, size_t size)
{
    char *to;
    size_t i;

    buffer_reserve(out, size / 3 * 4 + 4);
    to = out->data + out->size;
    for (i = 0; i + 3 <= size; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];

        *to++ = base64_alphabet[bits >> 18];
        *to++ = base64_alphabet[bits >> 12 & 63];
        *to++ = base64_alphabet[bits >> 6 & 63];
        *to++ = base64_alphabet[bits & 63];
    }
    if (i < size) {
        bool two = i + 1 < size;
        uint32_t bits = (uint32_t)data[i] << 16 | (two ? (uint32_t)data[i + 1] << 8 : 0);

        *to++ = base64_alphabet[bits >> 18];
        *to++ = base64_alphabet[bits >> 12 & 63];
        *to++ = two ? base64_alphabet[bits >> 6 & 63] : '=';
        *to++ = '=';
    }
    out->size = (size_t)(to - out->data);
}

static void add_hex(struct buffer *out, const uint8_t *data, size_t size)
{
    buffer_reserve(out, size * 2);
    for (size_t i = 0; i < size; i++) {
        out->data[out->size++] = hex_digits[data[i] >> 4];
        out->data[out->size++] = hex_digits[data[i] & 15];
    }
}

void encoding_add(struct buffer *out, enum value_encoding encoding, const void *data, size_t size)
{
    switch (encoding) {
    case VALUE_HEX:
        add_hex(out, data, size);
        break;
    case VALUE_UTF8:
        utf8_add_replaced(out, data, size);
        break;
    case VALUE_BASE64:
        add_base64(out, data, size);
        break;
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_hex(struct buffer *out, const char *text, size_t size)
{
    if (size % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < size; i += 2) {
        int high = hex_value(text[i]);
        int low = hex_value(text[i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        buffer_add_byte(out, (char)(high << 4 | low));
    }
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_base64(struct buffer *out, const char *text, size_t size)
{
    size_t padding = 0;

    if (size % 4 != 0) {
        return false;
    }
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=') {
        padding++;
    }
    for (size_t i = 0; i < size; i += 4) {
        size_t given = i + 4 == size ? 4 - padding : 4;
        uint32_t bits = 0;

        for (size_t k = 0; k < 4; k++) {
            int value = k < given ? base64_value(text[i + k]) : 0;

            if (value < 0) {
                return false;
            }
            bits = bits << 6 | (uint32_t)value;
        }
        /* Bits that no byte takes must be zero: one text for each value. */
        if ((given == 2 && (bits & 0xffff) != 0) || (given == 3 && (bits & 0xff) != 0)) {
            return false;
        }
        for (size_t k = 0; k + 1 < given; k++) {
            buffer_add_byte(out, (char)(bits >> (16 - 8 * k) & 0xff));
        }
    }
    return true;
}

bool encoding_decode(struct buffer *out, enum text_format format, const char *text, size_t size)
{
    switch (format) {
    case TEXT_FORMAT_HEX:
        return decode_hex(out, text, size);
    case TEXT_FORMAT_BASE64:
        return decode_base64(out, text, size);
    case TEXT_FORMAT_TEXT:
        break;
    }
    buffer_add(out, text, size);
    return true;
}

/* Smallest and largest second byte after a lead byte; the ends shut out overlong forms,
 * surrogates and code points above U+10FFFF. */
static void second_byte_range(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
}

size_t utf8_next(const uint8_t *text, size_t size, uint32_t *code, bool *valid)
{
    uint8_t lead = text[0];
    uint8_t low;
    uint8_t high;
    size_t length;
    size_t i;

    *valid = true;
    *code = lead;
    if (lead < 0x80) {
        return 1;
    }
    *valid = false;
    if (lead < 0xc2 || lead > 0xf4) {
        return 1;
    }
    length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    *code = lead & (0xffu >> (length + 1));
    second_byte_range(lead, &low, &high);
    for (i = 1; i < length && i < size && text[i] >= low && text[i] <= high; i++) {
        *code = *code << 6 | (text[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    *valid = i == length;
    return i;
}

bool utf8_is_valid(const void *text, size_t size)
{
    const uint8_t *at = text;
    size_t i = 0;

    while (i < size) {
        uint32_t code;
        bool valid;

        i += utf8_next(at + i, size - i, &code, &valid);
        if (!valid) {
            return false;
        }
    }
    return true;
}

void utf8_add_replaced(struct buffer *out, const void *text, size_t size)
{
    const uint8_t *at = text;
    size_t i = 0;

    buffer_reserve(out, size);
    while (i < size) {
        uint32_t code;
        bool valid;
        size_t step = utf8_next(at + i, size - i, &code, &valid);

        if (valid) {
            buffer_add(out, at + i, step);
        } else {
            buffer_add(out, "\xef\xbf\xbd", 3);
        }
        i += step;
    }
}

size_t utf8_length(const void *text, size_t size)
{
    const uint8_t *at = text;
    size_t count = 0;
    size_t i = 0;

    while (i < size) {
        uint32_t code;
        bool valid;

        i += utf8_next(at + i, size - i, &code, &valid);
        count++;
    }
    return count;
}
