/*
 * text.h - what string functions share: steps by code point through text that may be no valid
 * UTF-8 (a bad byte is a code point of its own), and text that grows in the arena.
 */
#ifndef SFI_CEL_TEXT_H
#define SFI_CEL_TEXT_H

#include "base/bytes.h"
#include "cel/function.h"

/* Bytes of the code point at `text`; `size` is not 0. */
static inline size_t sfi_cel_text_step(const char *text, size_t size)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1;
    return length > 1 && length <= size && sfi_utf8_valid(text, length) ? length : 1;
}

/* The code point at `text` and its bytes; UINT32_MAX for a bad byte. */
uint32_t sfi_cel_text_decode(const char *text, size_t size, size_t *length);
/* Bytes of the first `count` code points; false: there are fewer. */
bool sfi_cel_text_skip(const char *text, size_t size, uint64_t count, size_t *bytes);

/* Text under construction. Errors stick: the first one is the result. */
struct sfi_cel_builder {
    struct sfi_cel_frame *frame;
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
    struct sfi_cel_value error;
};

static inline struct sfi_cel_builder sfi_cel_builder_of(struct sfi_cel_frame *frame)
{
    struct sfi_cel_builder builder = {.frame = frame};
    return builder;
}

/* Appending charges the bytes. false: failed, now or before. */
bool sfi_cel_builder_add(struct sfi_cel_builder *builder, const char *text, size_t size);
/* The same without what is not UTF-8: U+FFFD takes the place of bad bytes. */
bool sfi_cel_builder_add_clean(struct sfi_cel_builder *builder, const char *text, size_t size);
bool sfi_cel_builder_fail(struct sfi_cel_builder *builder, struct sfi_cel_value error);
/* A STRING, or the error. */
struct sfi_cel_value sfi_cel_builder_value(const struct sfi_cel_builder *builder);

/* "format".format(args) (strings_format.c). */
struct sfi_cel_value sfi_cel_strings_format(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args);
/* Text of a value as %s gives it (strings_value.c). */
bool sfi_cel_builder_add_value(struct sfi_cel_builder *builder, struct sfi_cel_value value);

#endif
