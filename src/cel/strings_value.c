/*
 * strings_value.c - the text of any value as %s of format() gives it: strings without quotes, lists
 * and maps in brackets, maps in the order of their keys' texts.
 */
#include "base/limits.h"
#include "cel/library.h"
#include "cel/text.h"
#include "cel/time.h"

#include <math.h>

static bool add_text(struct sfi_cel_builder *out, const char *text)
{
    return sfi_cel_builder_add(out, text, strlen(text));
}

static bool add_double(struct sfi_cel_builder *out, double number)
{
    char text[32];
    if (isnan(number)) {
        return add_text(out, "NaN");
    }
    if (isinf(number)) {
        return add_text(out, number > 0 ? "Infinity" : "-Infinity");
    }
    return sfi_cel_builder_add(out, text, sfi_cel_format_double(number, text));
}

static bool add_scalar(struct sfi_cel_builder *out, struct sfi_cel_value value)
{
    char text[SFI_CEL_TYPE_TEXT];
    switch ((enum sfi_cel_kind)value.kind) {
    case SFI_CEL_NULL:
        return add_text(out, "null");
    case SFI_CEL_BOOL:
        return add_text(out, value.boolean ? "true" : "false");
    case SFI_CEL_INT:
        return sfi_cel_builder_add(out, text, sfi_cel_format_int(value.i64, text));
    case SFI_CEL_UINT:
        return sfi_cel_builder_add(out, text, sfi_cel_format_uint(value.u64, text));
    case SFI_CEL_DOUBLE:
        return add_double(out, value.f64);
    case SFI_CEL_STRING:
        return sfi_cel_builder_add(out, value.text, value.size);
    case SFI_CEL_BYTES:
        return sfi_cel_builder_add_clean(out, value.text, value.size);
    case SFI_CEL_TIMESTAMP:
        return sfi_cel_builder_add(out, text, sfi_cel_timestamp_format(value, text));
    case SFI_CEL_DURATION:
        return sfi_cel_builder_add(out, text, sfi_cel_duration_format(value, text));
    case SFI_CEL_IP:
    case SFI_CEL_CIDR:
        return sfi_cel_builder_add(out, text, sfi_cel_network_format(value, text));
    case SFI_CEL_TYPE:
        sfi_cel_type_text(value.type, text);
        return add_text(out, text);
    default:
        sfi_cel_type_text(sfi_cel_type_of(value), text);
        return sfi_cel_builder_fail(out, sfi_cel_fail(out->frame, SFI_CEL_INVALID_ARGUMENT,
                                                      "format: %%s has no text for %.80s", text));
    }
}

static bool add_at(struct sfi_cel_builder *out, struct sfi_cel_value value, unsigned depth);

static bool add_list(struct sfi_cel_builder *out, const struct sfi_cel_list *list, unsigned depth)
{
    if (!sfi_cel_builder_add(out, "[", 1)) {
        return false;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if ((i > 0 && !sfi_cel_builder_add(out, ", ", 2)) ||
            !add_at(out, list->items[i], depth + 1)) {
            return false;
        }
    }
    return sfi_cel_builder_add(out, "]", 1);
}

struct line {
    struct sfi_cel_value key; /* as text */
    const struct sfi_cel_entry *entry;
};

/* By text, equal texts (1 and "1") by kind, so that the order depends on nothing else. */
static bool is_before(const struct line *a, const struct line *b)
{
    struct sfi_bytes left = {(const uint8_t *)a->key.text, a->key.size};
    struct sfi_bytes right = {(const uint8_t *)b->key.text, b->key.size};
    int order = sfi_bytes_compare(left, right);
    return order != 0 ? order < 0 : a->entry->key.kind < b->entry->key.kind;
}

static void sink(struct line *lines, size_t at, size_t count)
{
    struct line line = lines[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&lines[child], &lines[child + 1])) {
            child++;
        }
        if (!is_before(&line, &lines[child])) {
            break;
        }
        lines[at] = lines[child];
        at = child;
    }
    lines[at] = line;
}

/* Heap sort: no memory, no worst case. */
static void sort(struct line *lines, size_t count)
{
    for (size_t i = count / 2; i > 0; i--) {
        sink(lines, i - 1, count);
    }
    for (size_t i = count; i > 1; i--) {
        struct line first = lines[0];
        lines[0] = lines[i - 1];
        lines[i - 1] = first;
        sink(lines, 0, i - 1);
    }
}

/* The entries in order; NULL: `out` has failed. */
static struct line *sorted(struct sfi_cel_builder *out, const struct sfi_cel_map *map)
{
    struct line *lines = sfi_cel_alloc_array(&out->frame->arena, map->count, sizeof *lines);
    size_t work = 0;
    if (lines == NULL) {
        sfi_cel_builder_fail(out, sfi_cel_fail_memory());
        return NULL;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        struct sfi_cel_builder key = sfi_cel_builder_of(out->frame);
        add_scalar(&key, map->entries[i].key);
        lines[i].key = sfi_cel_builder_value(&key);
        lines[i].entry = &map->entries[i];
        if (sfi_cel_is_error(lines[i].key)) {
            sfi_cel_builder_fail(out, lines[i].key);
            return NULL;
        }
        work += lines[i].key.size + (size_t)16;
    }
    unsigned rounds = 2;
    for (uint32_t rest = map->count; rest > 0; rest /= 2) {
        rounds += 2;
    }
    if (!sfi_cel_charge(out->frame, work * rounds)) {
        sfi_cel_builder_fail(out, sfi_cel_fail_steps());
        return NULL;
    }
    sort(lines, map->count);
    return lines;
}

static bool add_map(struct sfi_cel_builder *out, const struct sfi_cel_map *map, unsigned depth)
{
    const struct line *lines = sorted(out, map);
    if (lines == NULL || !sfi_cel_builder_add(out, "{", 1)) {
        return false;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        if ((i > 0 && !sfi_cel_builder_add(out, ", ", 2)) ||
            !sfi_cel_builder_add(out, lines[i].key.text, lines[i].key.size) ||
            !sfi_cel_builder_add(out, ": ", 2) || !add_at(out, lines[i].entry->value, depth + 1)) {
            return false;
        }
    }
    return sfi_cel_builder_add(out, "}", 1);
}

static bool add_at(struct sfi_cel_builder *out, struct sfi_cel_value value, unsigned depth)
{
    if (depth > SFI_CEL_MAX_VALUE_DEPTH) {
        return sfi_cel_builder_fail(out, sfi_cel_fail(out->frame, SFI_CEL_OVER_LIMIT,
                                                      "format: value nested deeper than %u",
                                                      SFI_CEL_MAX_VALUE_DEPTH));
    }
    switch (value.kind) {
    case SFI_CEL_LIST:
        return add_list(out, value.list, depth);
    case SFI_CEL_MAP:
        return add_map(out, value.map, depth);
    default:
        return add_scalar(out, value);
    }
}

bool sfi_cel_builder_add_value(struct sfi_cel_builder *builder, struct sfi_cel_value value)
{
    return add_at(builder, value, 0);
}
