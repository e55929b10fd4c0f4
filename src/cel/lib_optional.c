/*
 * lib_optional.c - optional values (cel-go, "OptionalTypes"): making and reading them, e[?i], first
 * and last. e.?f and selections on optionals are the evaluator's, e[i] is in lib_container.c.
 */
#include "cel/library.h"

#include "cel/function.h"

static struct sfi_cel_value of(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    return sfi_cel_optional_of(frame, args[0]);
}

/* The default of its kind: what an unset field of a message would be. */
static bool is_zero(struct sfi_cel_value value)
{
    switch ((enum sfi_cel_kind)value.kind) {
    case SFI_CEL_NULL:
        return true;
    case SFI_CEL_BOOL:
        return !value.boolean;
    case SFI_CEL_INT:
    case SFI_CEL_UINT:
        return value.u64 == 0;
    case SFI_CEL_DOUBLE:
        return value.f64 == 0.0;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return value.size == 0;
    case SFI_CEL_TIMESTAMP:
    case SFI_CEL_DURATION:
        return value.i64 == 0 && sfi_cel_nanos(value) == 0;
    case SFI_CEL_LIST:
        return value.list->count == 0;
    case SFI_CEL_MAP:
        return value.map->count == 0;
    default:
        return false;
    }
}

static struct sfi_cel_value of_non_zero(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return is_zero(args[0]) ? sfi_cel_optional_none() : sfi_cel_optional_of(frame, args[0]);
}

static struct sfi_cel_value none(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    (void)args;
    return sfi_cel_optional_none();
}

static struct sfi_cel_value has_value(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(args[0].optional != NULL);
}

static struct sfi_cel_value value_of(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (args[0].optional == NULL) {
        return sfi_cel_fail(frame, SFI_CEL_NOT_FOUND,
                            "value() of optional.none(): ask hasValue() before, or use orValue()");
    }
    return *args[0].optional;
}

static struct sfi_cel_value or_optional(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    (void)frame;
    return args[0].optional != NULL ? args[0] : args[1];
}

static struct sfi_cel_value or_value(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return args[0].optional != NULL ? *args[0].optional : args[1];
}

/* The values of a list of optionals, without the empty ones. */
static struct sfi_cel_value unwrap(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const struct sfi_cel_list *from = args[0].list;
    if (!sfi_cel_charge(frame, from->count * sizeof from->items[0])) {
        return sfi_cel_fail_steps();
    }
    struct sfi_cel_list *list = sfi_cel_list_new(frame, from->count);
    if (list == NULL) {
        return sfi_cel_fail_memory();
    }
    list->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->items[i].kind != SFI_CEL_OPTIONAL) {
            return sfi_cel_fail_overload(frame, "optional.unwrap", &from->items[i], 1);
        }
        if (from->items[i].optional != NULL) {
            list->items[list->count++] = *from->items[i].optional;
        }
    }
    return sfi_cel_list_value(list);
}

static struct sfi_cel_value first(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const struct sfi_cel_list *list = args[0].list;
    return list->count == 0 ? sfi_cel_optional_none() : sfi_cel_optional_of(frame, list->items[0]);
}

static struct sfi_cel_value last(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const struct sfi_cel_list *list = args[0].list;
    return list->count == 0 ? sfi_cel_optional_none()
                            : sfi_cel_optional_of(frame, list->items[list->count - 1]);
}

/* e[?i] of a list or map: none instead of an error where there is no element. */
static struct sfi_cel_value element(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_value error;
    const struct sfi_cel_value *found = sfi_cel_find_element(frame, args[0], args[1], &error);
    if (found != NULL) {
        return sfi_cel_optional_of(frame, *found);
    }
    return sfi_cel_is_error(error) ? error : sfi_cel_optional_none();
}

static struct sfi_cel_value element_of_optional(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_value *args)
{
    if (args[0].optional == NULL) {
        return args[0];
    }
    struct sfi_cel_value held[2] = {*args[0].optional, args[1]};
    if (held[0].kind != SFI_CEL_LIST && held[0].kind != SFI_CEL_MAP) {
        return sfi_cel_fail_overload(frame, "_[?_]", args, 2);
    }
    return element(frame, held);
}

static const struct sfi_cel_type optional_b = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_b}};
static const struct sfi_cel_type optional_list = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_list_a}};
static const struct sfi_cel_type optional_map = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_map_ab}};
static const struct sfi_cel_type list_of_optional = {
    SFI_CEL_TYPE_LIST, 0, {&sfi_cel_sig_optional_a}};

#define A        &sfi_cel_sig_a
#define OPTIONAL &sfi_cel_sig_optional_a
#define LIST     &sfi_cel_sig_list_a
#define MAP      &sfi_cel_sig_map_ab
#define INT      &sfi_cel_type_int

static const struct sfi_cel_overload overloads[] = {
    {"optional.of", 0, OPTIONAL, {A}, of},
    {"optional.ofNonZeroValue", 0, OPTIONAL, {A}, of_non_zero},
    {"optional.none", 0, OPTIONAL, {NULL}, none},
    {"optional.unwrap", 0, LIST, {&list_of_optional}, unwrap},
    {"unwrapOpt", SFI_CEL_METHOD, LIST, {&list_of_optional}, unwrap},
    {"hasValue", SFI_CEL_METHOD, &sfi_cel_type_bool, {OPTIONAL}, has_value},
    {"value", SFI_CEL_METHOD, A, {OPTIONAL}, value_of},
    {"or", SFI_CEL_METHOD, OPTIONAL, {OPTIONAL, OPTIONAL}, or_optional},
    {"orValue", SFI_CEL_METHOD, A, {OPTIONAL, A}, or_value},
    {"first", SFI_CEL_METHOD, OPTIONAL, {LIST}, first},
    {"last", SFI_CEL_METHOD, OPTIONAL, {LIST}, last},
    {"_[?_]", 0, OPTIONAL, {LIST, INT}, element},
    {"_[?_]", 0, &optional_b, {MAP, A}, element},
    {"_[?_]", 0, OPTIONAL, {&optional_list, INT}, element_of_optional},
    {"_[?_]", 0, &optional_b, {&optional_map, A}, element_of_optional},
    {"_[?_]", SFI_CEL_RUNTIME, OPTIONAL, {LIST, A}, element},
    {"_[?_]", SFI_CEL_RUNTIME, OPTIONAL, {&sfi_cel_type_optional, A}, element_of_optional},
};

const struct sfi_cel_library sfi_cel_lib_optional = {overloads,
                                                     sizeof overloads / sizeof overloads[0], true};
