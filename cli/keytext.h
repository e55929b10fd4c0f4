/*
 * keytext.h - keys as people type them, and as scans print them.
 */
#ifndef SHARDY_CLI_KEYTEXT_H
#define SHARDY_CLI_KEYTEXT_H

#include <shardyfusion/key.h>

#include "encoding.h"

/*
 * Key from text.
 *
 * @param bytes    owns decoded bytes when `format` is not text; reset first. The key may point
 *                 into it or into `text`.
 * @param message  receives what is wrong, on failure; at least 256 bytes
 */
bool keytext_parse(const char *text, shardy_key_encoding encoding, enum text_format format,
                   struct buffer *bytes, shardy_key *key, char *message, size_t message_size);

/*
 * The integer grammar of keys: surrounding white space, one sign, decimal digits of any script,
 * single underscores between digits.
 *
 * @param[out] negative  the sign; the value is `magnitude` or minus it
 * @param[out] fits      false when the magnitude is above 2^64-1
 * @return false when the text is not an integer
 */
bool keytext_integer(const char *text, size_t size, bool *negative, uint64_t *magnitude,
                     bool *fits);

/*
 * Logical key of stored bytes: an integer for u64be and u32be, else text when it is UTF-8, else
 * bytes (also integers of the wrong length).
 */
shardy_key keytext_from_stored(const void *data, size_t size, shardy_key_encoding encoding);

#endif
