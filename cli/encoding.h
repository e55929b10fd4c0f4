/*
 * encoding.h - base64, hex and UTF-8.
 */
#ifndef SHARDY_CLI_ENCODING_H
#define SHARDY_CLI_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How values are printed, in the order of VALUE_ENCODING_CHOICES. */
enum value_encoding { VALUE_BASE64, VALUE_HEX, VALUE_UTF8 };
#define VALUE_ENCODING_CHOICES "base64 hex utf8"

/* How bytes are typed or stored in an input file, in the order of the two choice lists. */
enum text_format { TEXT_FORMAT_TEXT, TEXT_FORMAT_HEX, TEXT_FORMAT_BASE64 };
#define KEY_FORMAT_CHOICES         "text hex base64"
#define BUILD_VALUE_FORMAT_CHOICES "text hex base64"

/* Append `size` bytes in an encoding. */
void encoding_add(struct buffer *out, enum value_encoding encoding, const void *data, size_t size);

/*
 * Append the bytes that `text` stands for. Hex: an even number of digits of either case; base64:
 * the standard alphabet of RFC 4648 with padding. @return false when the text is neither.
 */
bool encoding_decode(struct buffer *out, enum text_format format, const char *text, size_t size);

/*
 * Next code point of UTF-8 text, `size` > 0. @return its length in bytes; for an invalid sequence
 * that of its longest possible beginning (at least 1), with `*valid` false.
 */
size_t utf8_next(const uint8_t *text, size_t size, uint32_t *code, bool *valid);

/* Whether all of the text is UTF-8. */
bool utf8_is_valid(const void *text, size_t size);

/* Append text, invalid sequences as U+FFFD. */
void utf8_add_replaced(struct buffer *out, const void *text, size_t size);

/* Number of code points; an invalid sequence counts as one. */
size_t utf8_length(const void *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
