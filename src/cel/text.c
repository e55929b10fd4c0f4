/*
 * text.c - code points of text that may be no valid UTF-8, and text that grows in an arena.
 * Counting and validation: utf8.c.
 */
#include "cel/text.h"

#define FIRST_CAPACITY 64u

uint32_t sfi_cel_text_decode(const char *text, size_t size, size_t *length)
{
    const unsigned char *at = (const unsigned char *)text;
    *length = sfi_cel_text_step(text, size);
    switch (*length) {
    case 1:
        return at[0] < 0x80 ? at[0] : UINT32_MAX;
    case 2:
        return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
    case 3:
        return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
    default:
        return (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 |
               (at[3] & 0x3Fu);
    }
}

bool sfi_cel_text_skip(const char *text, size_t size, uint64_t count, size_t *bytes)
{
    size_t at = 0;
    while (count > 0 && at < size) {
        at += sfi_cel_text_step(text + at, size - at);
        count--;
    }
    *bytes = at;
    return count == 0;
}

bool sfi_cel_builder_fail(struct sfi_cel_builder *builder, struct sfi_cel_value error)
{
    if (!builder->failed) {
        builder->failed = true;
        builder->error = error;
    }
    return false;
}

static bool reserve(struct sfi_cel_builder *builder, size_t size)
{
    size_t capacity = builder->capacity * 2;
    if (size > UINT32_MAX - builder->size) {
        return sfi_cel_builder_fail(builder, sfi_cel_fail_memory());
    }
    capacity = capacity < FIRST_CAPACITY ? FIRST_CAPACITY : capacity;
    if (capacity < builder->size + size) {
        capacity = builder->size + size;
    }
    char *data = sfi_cel_alloc(&builder->frame->arena, capacity);
    if (data == NULL) {
        return sfi_cel_builder_fail(builder, sfi_cel_fail_memory());
    }
    if (builder->size > 0) {
        memcpy(data, builder->data, builder->size);
    }
    builder->data = data;
    builder->capacity = capacity;
    return true;
}

bool sfi_cel_builder_add(struct sfi_cel_builder *builder, const char *text, size_t size)
{
    if (builder->failed) {
        return false;
    }
    if (!sfi_cel_charge(builder->frame, size)) {
        return sfi_cel_builder_fail(builder, sfi_cel_fail_steps());
    }
    if (size > builder->capacity - builder->size && !reserve(builder, size)) {
        return false;
    }
    if (size > 0) {
        memcpy(builder->data + builder->size, text, size);
    }
    builder->size += size;
    return true;
}

bool sfi_cel_builder_add_clean(struct sfi_cel_builder *builder, const char *text, size_t size)
{
    size_t start = 0;
    size_t at = 0;
    if (sfi_cel_utf8_valid(text, size)) {
        return sfi_cel_builder_add(builder, text, size);
    }
    while (at < size) {
        size_t length = sfi_cel_text_step(text + at, size - at);
        if (length == 1 && (unsigned char)text[at] >= 0x80) {
            if (!sfi_cel_builder_add(builder, text + start, at - start) ||
                !sfi_cel_builder_add(builder, "\xEF\xBF\xBD", 3)) {
                return false;
            }
            start = at + 1;
        }
        at += length;
    }
    return sfi_cel_builder_add(builder, text + start, at - start);
}

struct sfi_cel_value sfi_cel_builder_value(const struct sfi_cel_builder *builder)
{
    if (builder->failed) {
        return builder->error;
    }
    return sfi_cel_string(builder->size > 0 ? builder->data : "", (uint32_t)builder->size);
}
