/*
 * value.c - making values: errors, copies, lists, maps; runtime types. Equality and look-ups are in
 * equal.c, texts in value_text.c.
 */
#include "cel/value.h"

#include "base/limits.h"
#include "cel/function.h"
#include "cel/library.h"

#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_MAX 512u /* longer ones are cut */

static const struct sfi_cel_error over_memory = {
    SFI_CEL_OVER_LIMIT, UINT32_MAX, "evaluation needs more memory than an expression may use"};
static const struct sfi_cel_error over_steps = {
    SFI_CEL_OVER_LIMIT, UINT32_MAX, "evaluation takes more steps than an expression may use"};

static const struct sfi_cel_error over_depth = {SFI_CEL_OVER_LIMIT, UINT32_MAX,
                                                "the value is nested too deeply"};

static struct sfi_cel_value error_value(const struct sfi_cel_error *error)
{
    struct sfi_cel_value v = {SFI_CEL_ERROR, 0, {.error = error}};
    return v;
}

struct sfi_cel_value sfi_cel_fail_memory(void)
{
    return error_value(&over_memory);
}

struct sfi_cel_value sfi_cel_fail_steps(void)
{
    return error_value(&over_steps);
}

/* Messages may quote what is no UTF-8, or cut it within a character. */
static void make_valid(char *message, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t length = 1;
        while (length < 4 && length < size - i && !sfi_cel_utf8_valid(message + i, length)) {
            length++;
        }
        if (!sfi_cel_utf8_valid(message + i, length)) {
            message[i] = '?';
            length = 1;
        }
        i += length;
    }
}

struct sfi_cel_value sfi_cel_fail(struct sfi_cel_frame *frame, enum sfi_cel_code code,
                                  const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int written = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t size = written < 0 ? 0 : (size_t)written;
    if (size >= sizeof message) {
        size = sizeof message - 1;
    }
    if (!sfi_cel_utf8_valid(message, size)) {
        make_valid(message, size);
    }
    struct sfi_cel_error *error = sfi_cel_alloc(&frame->arena, sizeof *error + size + 1);
    if (error == NULL) {
        return sfi_cel_fail_memory();
    }
    char *text = (char *)(error + 1);
    memcpy(text, message, size);
    text[size] = '\0';
    *error = (struct sfi_cel_error){code, UINT32_MAX, text};
    return error_value(error);
}

const char *sfi_cel_code_name(enum sfi_cel_code code)
{
    static const char *const names[] = {[SFI_CEL_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
                                        [SFI_CEL_OUT_OF_RANGE] = "OUT_OF_RANGE",
                                        [SFI_CEL_NOT_FOUND] = "NOT_FOUND",
                                        [SFI_CEL_NO_OVERLOAD] = "NO_OVERLOAD",
                                        [SFI_CEL_MISSING] = "MISSING",
                                        [SFI_CEL_OVER_LIMIT] = "OVER_LIMIT"};
    return names[code];
}

struct sfi_cel_value sfi_cel_fail_overload(struct sfi_cel_frame *frame, const char *function,
                                           const struct sfi_cel_value *args, size_t count)
{
    char types[256];
    size_t used = 0;
    types[0] = '\0';
    for (size_t i = 0; i < count && used < sizeof types - 1; i++) {
        char name[SFI_CEL_TYPE_TEXT];
        sfi_cel_type_text(sfi_cel_type_of(args[i]), name);
        int n = snprintf(types + used, sizeof types - used, "%s%.40s", i > 0 ? ", " : "", name);
        used += n > 0 ? (size_t)n : 0;
    }
    return sfi_cel_fail(frame, SFI_CEL_NO_OVERLOAD, "no matching overload: %.80s for (%s)",
                        sfi_cel_function_text(function), types);
}

struct sfi_cel_value sfi_cel_copy_text(struct sfi_cel_frame *frame, enum sfi_cel_kind kind,
                                       const char *text, size_t size)
{
    char *copy = size <= UINT32_MAX ? sfi_cel_alloc(&frame->arena, size) : NULL;
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    if (size > 0) {
        memcpy(copy, text, size);
    }
    struct sfi_cel_value v = {(uint8_t)kind, (uint32_t)size, {.text = copy}};
    return v;
}

struct sfi_cel_list *sfi_cel_list_new(struct sfi_cel_frame *frame, size_t count)
{
    if (count > UINT32_MAX) {
        return NULL;
    }
    size_t bytes = count * sizeof(struct sfi_cel_value);
    struct sfi_cel_list *list = sfi_cel_alloc(&frame->arena, sizeof *list + bytes);
    if (list != NULL) {
        list->count = (uint32_t)count;
    }
    return list;
}

struct sfi_cel_value sfi_cel_optional_of(struct sfi_cel_frame *frame, struct sfi_cel_value value)
{
    struct sfi_cel_value *held = sfi_cel_alloc(&frame->arena, sizeof *held);
    if (held == NULL) {
        return sfi_cel_fail_memory();
    }
    *held = value;
    struct sfi_cel_value v = {SFI_CEL_OPTIONAL, 0, {.optional = held}};
    return v;
}

const struct sfi_cel_type *sfi_cel_type_of(struct sfi_cel_value value)
{
    static const struct sfi_cel_type *const types[] = {
        [SFI_CEL_NULL] = &sfi_cel_type_null,         [SFI_CEL_BOOL] = &sfi_cel_type_bool,
        [SFI_CEL_INT] = &sfi_cel_type_int,           [SFI_CEL_UINT] = &sfi_cel_type_uint,
        [SFI_CEL_DOUBLE] = &sfi_cel_type_double,     [SFI_CEL_STRING] = &sfi_cel_type_string,
        [SFI_CEL_BYTES] = &sfi_cel_type_bytes,       [SFI_CEL_TIMESTAMP] = &sfi_cel_type_timestamp,
        [SFI_CEL_DURATION] = &sfi_cel_type_duration, [SFI_CEL_LIST] = &sfi_cel_type_list,
        [SFI_CEL_MAP] = &sfi_cel_type_map,           [SFI_CEL_TYPE] = &sfi_cel_type_type,
        [SFI_CEL_OPTIONAL] = &sfi_cel_type_optional, [SFI_CEL_IP] = &sfi_cel_type_ip,
        [SFI_CEL_CIDR] = &sfi_cel_type_cidr,         [SFI_CEL_ERROR] = &sfi_cel_type_dyn,
    };
    return types[value.kind];
}

bool sfi_cel_value_fits(struct sfi_cel_value value, const struct sfi_cel_type *type)
{
    while (type != NULL && type->kind == SFI_CEL_TYPE_WRAPPER) {
        if (value.kind == SFI_CEL_NULL) {
            return true;
        }
        type = type->param[0];
    }
    if (type == NULL || type->kind == SFI_CEL_TYPE_DYN || type->kind == SFI_CEL_TYPE_PARAM) {
        return true;
    }
    return sfi_cel_type_of(value)->kind == type->kind;
}

static struct sfi_cel_value copy_at(struct sfi_cel_frame *frame, struct sfi_cel_value value,
                                    unsigned depth);

static struct sfi_cel_value copy_list(struct sfi_cel_frame *frame, const struct sfi_cel_list *list,
                                      unsigned depth)
{
    struct sfi_cel_list *copy = sfi_cel_list_new(frame, list->count);
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    for (uint32_t i = 0; i < list->count; i++) {
        copy->items[i] = copy_at(frame, list->items[i], depth + 1);
        if (sfi_cel_is_error(copy->items[i])) {
            return copy->items[i];
        }
    }
    return sfi_cel_list_value(copy);
}

static struct sfi_cel_value copy_map(struct sfi_cel_frame *frame, const struct sfi_cel_map *map,
                                     unsigned depth)
{
    size_t entries = map->count * sizeof map->entries[0];
    size_t buckets = map->buckets == NULL ? 0 : (map->bucket_mask + (size_t)1) * sizeof(uint32_t);
    struct sfi_cel_map *copy = sfi_cel_alloc(&frame->arena, sizeof *copy + entries + buckets);
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    *copy = *map;
    for (uint32_t i = 0; i < map->count; i++) {
        copy->entries[i].key = copy_at(frame, map->entries[i].key, depth + 1);
        copy->entries[i].value = copy_at(frame, map->entries[i].value, depth + 1);
        if (sfi_cel_is_error(copy->entries[i].key)) {
            return copy->entries[i].key;
        }
        if (sfi_cel_is_error(copy->entries[i].value)) {
            return copy->entries[i].value;
        }
    }
    if (buckets > 0) {
        memcpy(copy->entries + map->count, map->buckets, buckets);
        copy->buckets = (const uint32_t *)(copy->entries + map->count);
    }
    struct sfi_cel_value v = {SFI_CEL_MAP, 0, {.map = copy}};
    return v;
}

/* Types nest no deeper than sources. false: memory. */
static bool copy_type(struct sfi_cel_frame *frame, const struct sfi_cel_type *type, unsigned depth,
                      const struct sfi_cel_type **out)
{
    *out = NULL;
    if (type == NULL) {
        return true;
    }
    struct sfi_cel_type *copy = sfi_cel_alloc(&frame->arena, sizeof *copy);
    if (copy == NULL || depth > SFI_CEL_MAX_DEPTH) {
        return false;
    }
    *copy = *type;
    *out = copy;
    return copy_type(frame, type->param[0], depth + 1, &copy->param[0]) &&
           copy_type(frame, type->param[1], depth + 1, &copy->param[1]) &&
           copy_type(frame, type->param[2], depth + 1, &copy->param[2]);
}

static struct sfi_cel_value copy_error(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_error *error)
{
    size_t size = strlen(error->text) + 1;
    struct sfi_cel_error *copy = sfi_cel_alloc(&frame->arena, sizeof *copy + size);
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    *copy = *error;
    copy->text = memcpy(copy + 1, error->text, size);
    return error_value(copy);
}

static struct sfi_cel_value copy_network(struct sfi_cel_frame *frame, struct sfi_cel_value value)
{
    struct sfi_cel_network *copy = sfi_cel_alloc(&frame->arena, sizeof *copy);
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    *copy = *value.network;
    value.network = copy;
    return value;
}

static struct sfi_cel_value copy_at(struct sfi_cel_frame *frame, struct sfi_cel_value value,
                                    unsigned depth)
{
    if (depth > SFI_CEL_MAX_VALUE_DEPTH) {
        return error_value(&over_depth);
    }
    switch ((enum sfi_cel_kind)value.kind) {
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return sfi_cel_copy_text(frame, value.kind, value.text, value.size);
    case SFI_CEL_LIST:
        return copy_list(frame, value.list, depth);
    case SFI_CEL_MAP:
        return copy_map(frame, value.map, depth);
    case SFI_CEL_OPTIONAL:
        if (value.optional != NULL) {
            struct sfi_cel_value held = copy_at(frame, *value.optional, depth + 1);
            return sfi_cel_is_error(held) ? held : sfi_cel_optional_of(frame, held);
        }
        return value;
    case SFI_CEL_TYPE:
        return copy_type(frame, value.type, 0, &value.type) ? value : sfi_cel_fail_memory();
    case SFI_CEL_IP:
    case SFI_CEL_CIDR:
        return copy_network(frame, value);
    case SFI_CEL_ERROR:
        return copy_error(frame, value.error);
    default:
        return value;
    }
}

struct sfi_cel_value sfi_cel_copy(struct sfi_cel_frame *frame, struct sfi_cel_value value)
{
    return copy_at(frame, value, 0);
}
