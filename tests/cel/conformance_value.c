/*
 * conformance_value.c - values of the conformance tests, and exact comparison with results.
 */
#include "conformance_value.h"

#include "cel/time.h"

#include <math.h>
#include <stdlib.h>

static bool base64_decode(struct sfi_cel_frame *frame, const char *text,
                          struct sfi_cel_value *value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strcspn(text, "=");
    char *out = sfi_cel_alloc(&frame->arena, size + 1);
    uint32_t bits = 0;
    uint32_t count = 0;
    uint32_t made = 0;
    for (size_t i = 0; i < size && out != NULL; i++) {
        const char *digit = strchr(digits, text[i]);
        if (digit == NULL) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(digit - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[made++] = (char)(bits >> count & 0xff);
        }
    }
    *value = sfi_cel_bytes(out, made);
    return out != NULL;
}

static bool double_value(const json_t *json, struct sfi_cel_value *value)
{
    static const struct {
        const char *name;
        double number;
    } names[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    if (json_is_number(json)) {
        *value = sfi_cel_double(json_number_value(json));
        return true;
    }
    for (size_t i = 0; json_is_string(json) && i < 3; i++) {
        if (strcmp(json_string_value(json), names[i].name) == 0) {
            *value = sfi_cel_double(names[i].number);
            return true;
        }
    }
    return false;
}

static bool list_value(struct sfi_cel_frame *frame, const json_t *json, struct sfi_cel_value *value)
{
    struct sfi_cel_list *list = sfi_cel_list_new(frame, json_array_size(json));
    for (size_t i = 0; list != NULL && i < json_array_size(json); i++) {
        if (!conformance_value(frame, json_array_get(json, i), &list->items[i])) {
            return false;
        }
    }
    *value = sfi_cel_list_value(list);
    return list != NULL;
}

static bool map_value(struct sfi_cel_frame *frame, const json_t *json, struct sfi_cel_value *value)
{
    size_t count = json_array_size(json);
    struct sfi_cel_entry *entries = sfi_cel_alloc_array(&frame->arena, count, sizeof *entries);
    for (size_t i = 0; entries != NULL && i < count; i++) {
        const json_t *pair = json_array_get(json, i);
        if (!conformance_value(frame, json_array_get(pair, 0), &entries[i].key) ||
            !conformance_value(frame, json_array_get(pair, 1), &entries[i].value)) {
            return false;
        }
    }
    if (entries == NULL) {
        return false;
    }
    *value = sfi_cel_map_make(frame, entries, count);
    return !sfi_cel_is_error(*value);
}

static bool type_value(struct sfi_cel_frame *frame, const char *text, struct sfi_cel_value *value)
{
    const struct sfi_cel_type *type;
    if (sfi_cel_type_parse(&frame->arena, text, &type, NULL) != SHARDY_OK) {
        return false;
    }
    *value = sfi_cel_type_value(type);
    return true;
}

/* Values whose JSON is a string. */
static bool text_value(struct sfi_cel_frame *frame, const char *kind, const json_t *json,
                       struct sfi_cel_value *value)
{
    const char *text = json_string_value(json);
    size_t size = json_string_length(json);
    if (strcmp(kind, "int") == 0) {
        *value = sfi_cel_int(strtoll(text, NULL, 10));
    } else if (strcmp(kind, "uint") == 0) {
        *value = sfi_cel_uint(strtoull(text, NULL, 10));
    } else if (strcmp(kind, "string") == 0) {
        *value = sfi_cel_string(text, (uint32_t)size);
    } else if (strcmp(kind, "bytes") == 0) {
        return base64_decode(frame, text, value);
    } else if (strcmp(kind, "type") == 0) {
        return type_value(frame, text, value);
    } else if (strcmp(kind, "timestamp") == 0) {
        *value = sfi_cel_timestamp_parse(frame, text, size);
    } else if (strcmp(kind, "duration") == 0) {
        *value = sfi_cel_duration_parse(frame, text, size);
    } else {
        return false;
    }
    return !sfi_cel_is_error(*value);
}

bool conformance_value(struct sfi_cel_frame *frame, const json_t *json, struct sfi_cel_value *value)
{
    void *at = json_object_iter((json_t *)(uintptr_t)json);
    *value = sfi_cel_null();
    if (at == NULL) {
        return false;
    }
    const char *kind = json_object_iter_key(at);
    const json_t *content = json_object_iter_value(at);
    if (strcmp(kind, "null") == 0) {
        return true;
    }
    if (strcmp(kind, "bool") == 0) {
        *value = sfi_cel_bool(json_is_true(content));
        return true;
    }
    if (strcmp(kind, "double") == 0) {
        return double_value(content, value);
    }
    if (strcmp(kind, "list") == 0) {
        return list_value(frame, content, value);
    }
    if (strcmp(kind, "map") == 0) {
        return map_value(frame, content, value);
    }
    return json_is_string(content) && text_value(frame, kind, content, value);
}

static bool maps_equal(const struct sfi_cel_map *a, const struct sfi_cel_map *b)
{
    bool equal = a->count == b->count;
    for (uint32_t i = 0; i < a->count && equal; i++) {
        equal = false;
        for (uint32_t j = 0; j < b->count && !equal; j++) {
            equal = conformance_equal(a->entries[i].key, b->entries[j].key) &&
                    conformance_equal(a->entries[i].value, b->entries[j].value);
        }
    }
    return equal;
}

static bool lists_equal(const struct sfi_cel_list *a, const struct sfi_cel_list *b)
{
    bool equal = a->count == b->count;
    for (uint32_t i = 0; i < a->count && equal; i++) {
        equal = conformance_equal(a->items[i], b->items[i]);
    }
    return equal;
}

bool conformance_equal(struct sfi_cel_value a, struct sfi_cel_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch ((enum sfi_cel_kind)a.kind) {
    case SFI_CEL_LIST:
        return lists_equal(a.list, b.list);
    case SFI_CEL_MAP:
        return maps_equal(a.map, b.map);
    case SFI_CEL_DOUBLE:
        return isnan(a.f64) ? isnan(b.f64)
                            : a.f64 <= b.f64 && a.f64 >= b.f64 && signbit(a.f64) == signbit(b.f64);
    case SFI_CEL_TYPE:
        return sfi_cel_type_equal(a.type, b.type);
    default:
        return sfi_cel_equal(a, b);
    }
}
