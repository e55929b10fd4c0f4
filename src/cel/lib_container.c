/*
 * lib_container.c - size() and e[i] (cel-spec, langdef.md, "List of Standard Definitions").
 * Indexing an optional (cel-go, "optionals") stands here too: overloads of one function are in one
 * table.
 */
#include "cel/function.h"
#include "cel/library.h"

#include <inttypes.h>

static struct sfi_cel_value size_of_string(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_int((int64_t)sfi_cel_utf8_count(args[0].text, args[0].size));
}

static struct sfi_cel_value size_of_bytes(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].size);
}

static struct sfi_cel_value size_of_list(struct sfi_cel_frame *frame,
                                         const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].list->count);
}

static struct sfi_cel_value size_of_map(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].map->count);
}

static const struct sfi_cel_value *find_in_list(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_list *list,
                                                struct sfi_cel_value key,
                                                struct sfi_cel_value *error)
{
    struct sfi_cel_value number = sfi_cel_integral(key);
    if (number.kind == SFI_CEL_INT || number.kind == SFI_CEL_UINT) {
        /* As unsigned numbers negative ones are beyond the end, too. */
        return number.u64 < list->count ? &list->items[number.u64] : NULL;
    }
    char text[64];
    sfi_cel_value_text(key, text, sizeof text);
    *error = sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                          "%s cannot be the index of a list; use an integer", text);
    return NULL;
}

const struct sfi_cel_value *sfi_cel_find_element(struct sfi_cel_frame *frame,
                                                 struct sfi_cel_value container,
                                                 struct sfi_cel_value key,
                                                 struct sfi_cel_value *error)
{
    *error = sfi_cel_null();
    if (container.kind == SFI_CEL_LIST) {
        return find_in_list(frame, container.list, key, error);
    }
    if (key.kind == SFI_CEL_STRING) {
        if (!sfi_cel_charge(frame, key.size)) {
            *error = sfi_cel_fail_steps();
            return NULL;
        }
    } else if (key.kind != SFI_CEL_BOOL && key.kind != SFI_CEL_INT && key.kind != SFI_CEL_UINT &&
               key.kind != SFI_CEL_DOUBLE) {
        char text[64];
        sfi_cel_value_text(key, text, sizeof text);
        *error = sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                              "%s cannot be the key of a map; use bool, int, uint or string", text);
        return NULL;
    }
    return sfi_cel_map_find(container.map, key);
}

static struct sfi_cel_value element_of(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    struct sfi_cel_value error;
    const struct sfi_cel_value *found = sfi_cel_find_element(frame, args[0], args[1], &error);
    if (found != NULL) {
        return *found;
    }
    if (sfi_cel_is_error(error)) {
        return error;
    }
    char text[64];
    sfi_cel_value_text(args[1], text, sizeof text);
    if (args[0].kind == SFI_CEL_LIST) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "index %s is not in a list of %" PRIu32 " elements", text,
                            args[0].list->count);
    }
    return sfi_cel_fail(frame, SFI_CEL_NOT_FOUND, "map has no key %s", text);
}

static struct sfi_cel_value element_of_optional(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_value *args)
{
    if (args[0].optional == NULL) {
        return args[0];
    }
    struct sfi_cel_value held = *args[0].optional;
    if (held.kind != SFI_CEL_LIST && held.kind != SFI_CEL_MAP) {
        return sfi_cel_fail_overload(frame, "_[_]", args, 2);
    }
    struct sfi_cel_value error;
    const struct sfi_cel_value *found = sfi_cel_find_element(frame, held, args[1], &error);
    if (found != NULL) {
        return sfi_cel_optional_of(frame, *found);
    }
    return sfi_cel_is_error(error) ? error : sfi_cel_optional_none();
}

static const struct sfi_cel_type optional_list = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_list_a}};
static const struct sfi_cel_type optional_map = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_map_ab}};
static const struct sfi_cel_type optional_b = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_b}};

#define INT  &sfi_cel_type_int
#define A    &sfi_cel_sig_a
#define B    &sfi_cel_sig_b
#define LIST &sfi_cel_sig_list_a
#define MAP  &sfi_cel_sig_map_ab

static const struct sfi_cel_overload overloads[] = {
    {"size", 0, INT, {&sfi_cel_type_string}, size_of_string},
    {"size", 0, INT, {&sfi_cel_type_bytes}, size_of_bytes},
    {"size", 0, INT, {LIST}, size_of_list},
    {"size", 0, INT, {MAP}, size_of_map},
    {"size", SFI_CEL_METHOD, INT, {&sfi_cel_type_string}, size_of_string},
    {"size", SFI_CEL_METHOD, INT, {&sfi_cel_type_bytes}, size_of_bytes},
    {"size", SFI_CEL_METHOD, INT, {LIST}, size_of_list},
    {"size", SFI_CEL_METHOD, INT, {MAP}, size_of_map},
    {"_[_]", 0, A, {LIST, INT}, element_of},
    {"_[_]", 0, B, {MAP, A}, element_of},
    {"_[_]", 0, &sfi_cel_sig_optional_a, {&optional_list, INT}, element_of_optional},
    {"_[_]", 0, &optional_b, {&optional_map, A}, element_of_optional},
    {"_[_]", SFI_CEL_RUNTIME, A, {LIST, A}, element_of},
    {"_[_]", SFI_CEL_RUNTIME, A, {&sfi_cel_type_optional, A}, element_of_optional},
};

const struct sfi_cel_library sfi_cel_lib_container = {
    overloads, sizeof overloads / sizeof overloads[0], false};
