/*
 * lib_strings.c - the strings extension of CEL (cel-go's ext, "Strings"): positions count code
 * points. Results that are a part of the operand share its bytes. format() is strings_format.c.
 */
#include "cel/text.h"

#include <inttypes.h>

#define LIMIT_NONE INT64_MAX

static struct sfi_cel_value fail_index(struct sfi_cel_frame *frame, int64_t index)
{
    return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "index out of range: %" PRId64, index);
}

static struct sfi_cel_value part(struct sfi_cel_value text, size_t from, size_t until)
{
    return sfi_cel_string(text.text + from, (uint32_t)(until - from));
}

/* Byte of code point `index`, which may be the end; false: out of range. */
static bool byte_of(struct sfi_cel_value text, int64_t index, size_t *byte)
{
    return index >= 0 && sfi_cel_text_skip(text.text, text.size, (uint64_t)index, byte);
}

/* Steps from code point to code point take up to 6 ns for a byte. */
static bool charge_points(struct sfi_cel_frame *frame, struct sfi_cel_value text)
{
    return sfi_cel_charge(frame, 4 * (size_t)text.size);
}

static struct sfi_cel_value char_at(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    size_t at;
    if (!charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    if (!byte_of(args[0], args[1].i64, &at)) {
        return fail_index(frame, args[1].i64);
    }
    size_t left = args[0].size - at;
    return part(args[0], at, at + (left == 0 ? 0 : sfi_cel_text_step(args[0].text + at, left)));
}

static const char *find(const char *text, size_t size, struct sfi_cel_value wanted)
{
    if (wanted.size == 0) {
        return text;
    }
    return size < wanted.size ? NULL : memmem(text, size, wanted.text, wanted.size);
}

/* Code points before a place of a text. */
static struct sfi_cel_value position(struct sfi_cel_value text, const char *place)
{
    if (place == NULL) {
        return sfi_cel_int(-1);
    }
    return sfi_cel_int((int64_t)sfi_cel_utf8_count(text.text, (size_t)(place - text.text)));
}

/* Work of so many passes over both texts. */
static bool charge_both(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                        size_t passes)
{
    return sfi_cel_charge(frame, passes * ((size_t)args[0].size + args[1].size));
}

static struct sfi_cel_value index_of(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (!charge_both(frame, args, 1)) {
        return sfi_cel_fail_steps();
    }
    return position(args[0], find(args[0].text, args[0].size, args[1]));
}

static struct sfi_cel_value index_of_from(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    size_t start;
    if (!charge_both(frame, args, 1) || !charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    if (!byte_of(args[0], args[2].i64, &start)) {
        return fail_index(frame, args[2].i64);
    }
    return position(args[0], find(args[0].text + start, args[0].size - start, args[1]));
}

static char *reversed(struct sfi_cel_frame *frame, const char *text, size_t size)
{
    char *copy = sfi_cel_alloc(&frame->arena, size);
    for (size_t i = 0; copy != NULL && i < size; i++) {
        copy[i] = text[size - 1 - i];
    }
    return copy;
}

/* Where `wanted` begins for the last time, found from behind in linear time; false: memory. */
static bool find_last(struct sfi_cel_frame *frame, const char *text, size_t size,
                      struct sfi_cel_value wanted, const char **place)
{
    *place = wanted.size == 0 ? text + size : NULL;
    if (wanted.size == 0 || wanted.size > size) {
        return true;
    }
    if (wanted.size == 1) {
        *place = memrchr(text, wanted.text[0], size);
        return true;
    }
    const char *back = reversed(frame, text, size);
    const char *wanted_back = reversed(frame, wanted.text, wanted.size);
    if (back == NULL || wanted_back == NULL) {
        return false;
    }
    const char *found = memmem(back, size, wanted_back, wanted.size);
    if (found != NULL) {
        *place = text + (size - (size_t)(found - back) - wanted.size);
    }
    return true;
}

static struct sfi_cel_value last_index(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args, size_t size)
{
    const char *place;
    return find_last(frame, args[0].text, size, args[1], &place) ? position(args[0], place)
                                                                 : sfi_cel_fail_memory();
}

static struct sfi_cel_value last_index_of(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    return charge_both(frame, args, 2) ? last_index(frame, args, args[0].size)
                                       : sfi_cel_fail_steps();
}

static struct sfi_cel_value last_index_of_from(struct sfi_cel_frame *frame,
                                               const struct sfi_cel_value *args)
{
    size_t start;
    if (!charge_both(frame, args, 2) || !charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    if (!byte_of(args[0], args[2].i64, &start)) {
        return fail_index(frame, args[2].i64);
    }
    size_t left = args[0].size - start;
    return last_index(frame, args, start + (left < args[1].size ? left : args[1].size));
}

static struct sfi_cel_value join(struct sfi_cel_frame *frame, const struct sfi_cel_list *list,
                                 struct sfi_cel_value separator)
{
    struct sfi_cel_builder out = sfi_cel_builder_of(frame);
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != SFI_CEL_STRING) {
            return sfi_cel_fail_overload(frame, "join", &list->items[i], 1);
        }
        if ((i > 0 && !sfi_cel_builder_add(&out, separator.text, separator.size)) ||
            !sfi_cel_builder_add(&out, list->items[i].text, list->items[i].size)) {
            break;
        }
    }
    return sfi_cel_builder_value(&out);
}

static struct sfi_cel_value join_plain(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    return join(frame, args[0].list, sfi_cel_string("", 0));
}

static struct sfi_cel_value join_with(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    return join(frame, args[0].list, args[1]);
}

/* A copy with the letters `first` .. `first` + 25 in the other case. */
static struct sfi_cel_value change_case(struct sfi_cel_frame *frame, struct sfi_cel_value text,
                                        char first)
{
    if (!sfi_cel_charge(frame, text.size)) {
        return sfi_cel_fail_steps();
    }
    char *out = sfi_cel_alloc(&frame->arena, text.size);
    if (out == NULL) {
        return sfi_cel_fail_memory();
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.text[i];
        out[i] = (char)(c ^ ((unsigned char)(c - (unsigned char)first) < 26 ? 0x20u : 0));
    }
    return sfi_cel_string(out, text.size);
}

static struct sfi_cel_value lower_ascii(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return change_case(frame, args[0], 'A');
}

static struct sfi_cel_value upper_ascii(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return change_case(frame, args[0], 'a');
}

/* An empty `old` stands before every code point and at the end. */
static struct sfi_cel_value replace_empty(struct sfi_cel_frame *frame, struct sfi_cel_value text,
                                          struct sfi_cel_value new, int64_t limit)
{
    struct sfi_cel_builder out = sfi_cel_builder_of(frame);
    size_t at = 0;
    for (; limit > 0; limit--) {
        if (!sfi_cel_builder_add(&out, new.text, new.size) || at == text.size) {
            break;
        }
        size_t length = sfi_cel_text_step(text.text + at, text.size - at);
        sfi_cel_builder_add(&out, text.text + at, length);
        at += length;
    }
    sfi_cel_builder_add(&out, text.text + at, text.size - at);
    return sfi_cel_builder_value(&out);
}

static struct sfi_cel_value replace(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                                    int64_t limit)
{
    struct sfi_cel_builder out = sfi_cel_builder_of(frame);
    const char *at = args[0].text;
    const char *end = at + args[0].size;
    if (!charge_both(frame, args, 1)) {
        return sfi_cel_fail_steps();
    }
    if (args[1].size == 0) {
        if (!charge_points(frame, args[0])) {
            return sfi_cel_fail_steps();
        }
        return replace_empty(frame, args[0], args[2], limit);
    }
    for (; limit > 0; limit--) {
        const char *place = find(at, (size_t)(end - at), args[1]);
        if (place == NULL || !sfi_cel_builder_add(&out, at, (size_t)(place - at)) ||
            !sfi_cel_builder_add(&out, args[2].text, args[2].size)) {
            break;
        }
        at = place + args[1].size;
    }
    if (at == args[0].text && !out.failed) {
        return args[0];
    }
    sfi_cel_builder_add(&out, at, (size_t)(end - at));
    return sfi_cel_builder_value(&out);
}

static struct sfi_cel_value replace_all(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return replace(frame, args, LIMIT_NONE);
}

static struct sfi_cel_value replace_some(struct sfi_cel_frame *frame,
                                         const struct sfi_cel_value *args)
{
    return replace(frame, args, args[3].i64 < 0 ? LIMIT_NONE : args[3].i64);
}

/* The next piece of a text that is split at `separator`; `at` moves behind the separator. */
static bool next_piece(struct sfi_cel_value separator, const char *end, const char **at,
                       const char **piece_end)
{
    if (separator.size == 0) {
        *piece_end = *at + (*at < end ? sfi_cel_text_step(*at, (size_t)(end - *at)) : 0);
        *at = *piece_end;
        return *at < end;
    }
    *piece_end = find(*at, (size_t)(end - *at), separator);
    if (*piece_end == NULL) {
        return false;
    }
    *at = *piece_end + separator.size;
    return true;
}

/* Pieces, at most `limit`; written to `items` unless that is NULL. */
static size_t split_into(const struct sfi_cel_value *args, int64_t limit,
                         struct sfi_cel_value *items)
{
    const char *at = args[0].text;
    const char *end = at + args[0].size;
    size_t count = 0;
    for (bool has_more = true; has_more; count++) {
        const char *start = at;
        const char *piece_end = end;
        has_more = (int64_t)count + 1 < limit && next_piece(args[1], end, &at, &piece_end);
        if (!has_more) {
            piece_end = end;
        }
        if (items != NULL) {
            items[count] = sfi_cel_string(start, (uint32_t)(piece_end - start));
        }
    }
    return count;
}

static struct sfi_cel_value split(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                                  int64_t limit)
{
    bool is_empty = limit == 0 || (args[0].size == 0 && args[1].size == 0);
    if (!charge_both(frame, args, 2) || (args[1].size == 0 && !charge_points(frame, args[0]))) {
        return sfi_cel_fail_steps();
    }
    size_t count = is_empty ? 0 : split_into(args, limit, NULL);
    if (!sfi_cel_charge(frame, count * sizeof(struct sfi_cel_value))) {
        return sfi_cel_fail_steps();
    }
    struct sfi_cel_list *list = sfi_cel_list_new(frame, count);
    if (list == NULL) {
        return sfi_cel_fail_memory();
    }
    if (!is_empty) {
        split_into(args, limit, list->items);
    }
    return sfi_cel_list_value(list);
}

static struct sfi_cel_value split_all(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    return split(frame, args, LIMIT_NONE);
}

static struct sfi_cel_value split_some(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    return split(frame, args, args[2].i64 < 0 ? LIMIT_NONE : args[2].i64);
}

static struct sfi_cel_value substring(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    size_t from;
    if (!charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    if (!byte_of(args[0], args[1].i64, &from)) {
        return fail_index(frame, args[1].i64);
    }
    return part(args[0], from, args[0].size);
}

static struct sfi_cel_value substring_until(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    size_t from;
    size_t length;
    struct sfi_cel_value rest = substring(frame, args);
    if (sfi_cel_is_error(rest)) {
        return rest;
    }
    from = args[0].size - rest.size;
    if (args[2].i64 < args[1].i64) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "invalid substring range: start %" PRId64 ", end %" PRId64, args[1].i64,
                            args[2].i64);
    }
    if (!byte_of(rest, args[2].i64 - args[1].i64, &length)) {
        return fail_index(frame, args[2].i64);
    }
    return part(args[0], from, from + length);
}

/* Unicode's property White_Space. */
static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* Bytes of the code point that ends at `size`, which is not 0. */
static size_t last_size(const char *text, size_t size)
{
    for (size_t length = 2; length <= 4 && length <= size; length++) {
        if (sfi_cel_text_step(text + size - length, length) == length) {
            return length;
        }
    }
    return 1;
}

static struct sfi_cel_value trim(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const char *text = args[0].text;
    size_t start = 0;
    size_t end = args[0].size;
    size_t length;
    if (!charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    while (start < end && is_space(sfi_cel_text_decode(text + start, end - start, &length))) {
        start += length;
    }
    while (start < end) {
        size_t last = last_size(text + start, end - start);
        if (!is_space(sfi_cel_text_decode(text + end - last, last, &length))) {
            break;
        }
        end -= last;
    }
    return part(args[0], start, end);
}

static struct sfi_cel_value reverse(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    size_t size = args[0].size;
    size_t length;
    if (!charge_points(frame, args[0])) {
        return sfi_cel_fail_steps();
    }
    char *out = sfi_cel_alloc(&frame->arena, size);
    if (out == NULL) {
        return sfi_cel_fail_memory();
    }
    for (size_t at = 0; at < size; at += length) {
        length = sfi_cel_text_step(args[0].text + at, size - at);
        memcpy(out + size - at - length, args[0].text + at, length);
    }
    return sfi_cel_string(out, args[0].size);
}

/* The escape of a character, or NULL. */
static const char *escape_of(char c)
{
    static const char *const escapes = "\a\b\f\n\r\t\v\\\"";
    static const char *const texts[] = {"\\a", "\\b", "\\f",  "\\n", "\\r",
                                        "\\t", "\\v", "\\\\", "\\\""};
    const char *place = c == '\0' ? NULL : strchr(escapes, c);
    return place == NULL ? NULL : texts[place - escapes];
}

static struct sfi_cel_value quote(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_builder out = sfi_cel_builder_of(frame);
    const char *text = args[0].text;
    size_t start = 0;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    sfi_cel_builder_add(&out, "\"", 1);
    for (size_t i = 0; i < args[0].size && !out.failed; i++) {
        const char *escape = escape_of(text[i]);
        if (escape != NULL) {
            sfi_cel_builder_add_clean(&out, text + start, i - start);
            sfi_cel_builder_add(&out, escape, 2);
            start = i + 1;
        }
    }
    sfi_cel_builder_add_clean(&out, text + start, args[0].size - start);
    sfi_cel_builder_add(&out, "\"", 1);
    return sfi_cel_builder_value(&out);
}

#define STRING &sfi_cel_type_string
#define INT    &sfi_cel_type_int
#define LIST   &sfi_cel_sig_list_string

static const struct sfi_cel_overload overloads[] = {
    {"charAt", SFI_CEL_METHOD, STRING, {STRING, INT}, char_at},
    {"indexOf", SFI_CEL_METHOD, INT, {STRING, STRING}, index_of},
    {"indexOf", SFI_CEL_METHOD, INT, {STRING, STRING, INT}, index_of_from},
    {"lastIndexOf", SFI_CEL_METHOD, INT, {STRING, STRING}, last_index_of},
    {"lastIndexOf", SFI_CEL_METHOD, INT, {STRING, STRING, INT}, last_index_of_from},
    {"join", SFI_CEL_METHOD, STRING, {LIST}, join_plain},
    {"join", SFI_CEL_METHOD, STRING, {LIST, STRING}, join_with},
    {"lowerAscii", SFI_CEL_METHOD, STRING, {STRING}, lower_ascii},
    {"upperAscii", SFI_CEL_METHOD, STRING, {STRING}, upper_ascii},
    {"replace", SFI_CEL_METHOD, STRING, {STRING, STRING, STRING}, replace_all},
    {"replace", SFI_CEL_METHOD, STRING, {STRING, STRING, STRING, INT}, replace_some},
    {"split", SFI_CEL_METHOD, LIST, {STRING, STRING}, split_all},
    {"split", SFI_CEL_METHOD, LIST, {STRING, STRING, INT}, split_some},
    {"substring", SFI_CEL_METHOD, STRING, {STRING, INT}, substring},
    {"substring", SFI_CEL_METHOD, STRING, {STRING, INT, INT}, substring_until},
    {"trim", SFI_CEL_METHOD, STRING, {STRING}, trim},
    {"reverse", SFI_CEL_METHOD, STRING, {STRING}, reverse},
    {"strings.quote", 0, STRING, {STRING}, quote},
    {"format", SFI_CEL_METHOD, STRING, {STRING, &sfi_cel_type_list}, sfi_cel_strings_format},
};

const struct sfi_cel_library sfi_cel_lib_strings = {overloads,
                                                    sizeof overloads / sizeof overloads[0], true};
