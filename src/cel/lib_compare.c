/*
 * lib_compare.c - == != < <= > >= in and ! (cel-spec, langdef.md, "Equality", "Ordering"). The
 * rules for values are in equal.c; this says which types the checker lets in.
 */
#include "cel/function.h"
#include "cel/library.h"

static struct sfi_cel_value equals(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    bool equal = sfi_cel_equal_charged(frame, args[0], args[1]);
    return sfi_cel_is_spent(frame) ? sfi_cel_fail_steps() : sfi_cel_bool(equal);
}

static struct sfi_cel_value differs(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    bool equal = sfi_cel_equal_charged(frame, args[0], args[1]);
    return sfi_cel_is_spent(frame) ? sfi_cel_fail_steps() : sfi_cel_bool(!equal);
}

/* As sfi_cel_compare(); 4: no steps left. Only text can be long. */
static int order(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (args[0].kind == SFI_CEL_STRING || args[0].kind == SFI_CEL_BYTES) {
        size_t common = args[0].size < args[1].size ? args[0].size : args[1].size;
        if (!sfi_cel_charge(frame, common)) {
            return 4;
        }
    }
    return sfi_cel_compare(args[0], args[1]);
}

static struct sfi_cel_value less(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    int c = order(frame, args);
    return c == 4 ? sfi_cel_fail_steps() : sfi_cel_bool(c == -1);
}

static struct sfi_cel_value less_equal(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    int c = order(frame, args);
    return c == 4 ? sfi_cel_fail_steps() : sfi_cel_bool(c == -1 || c == 0);
}

static struct sfi_cel_value greater(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    int c = order(frame, args);
    return c == 4 ? sfi_cel_fail_steps() : sfi_cel_bool(c == 1);
}

static struct sfi_cel_value greater_equal(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    int c = order(frame, args);
    return c == 4 ? sfi_cel_fail_steps() : sfi_cel_bool(c == 1 || c == 0);
}

static struct sfi_cel_value in_list(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const struct sfi_cel_list *list = args[1].list;
    for (uint32_t i = 0; i < list->count; i++) {
        bool equal = sfi_cel_equal_charged(frame, args[0], list->items[i]);
        if (sfi_cel_is_spent(frame)) {
            return sfi_cel_fail_steps();
        }
        if (equal) {
            return sfi_cel_bool(true);
        }
    }
    return sfi_cel_bool(false);
}

static struct sfi_cel_value in_map(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    bool is_text = args[0].kind == SFI_CEL_STRING;
    if (!sfi_cel_charge(frame, is_text ? args[0].size : 0)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(sfi_cel_map_find(args[1].map, args[0]) != NULL);
}

static struct sfi_cel_value not(struct sfi_cel_frame * frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(!args[0].boolean);
}

#define A         &sfi_cel_sig_a
#define BOOL      &sfi_cel_type_bool
#define INT       &sfi_cel_type_int
#define UINT      &sfi_cel_type_uint
#define DOUBLE    &sfi_cel_type_double
#define STRING    &sfi_cel_type_string
#define BYTES     &sfi_cel_type_bytes
#define TIMESTAMP &sfi_cel_type_timestamp
#define DURATION  &sfi_cel_type_duration

/* The orderings of one operator; those across kinds of numbers are not for the checker. */
#define ORDERINGS(name, call)                                                             \
    {name, 0, BOOL, {INT, INT}, call}, {name, 0, BOOL, {UINT, UINT}, call},               \
        {name, 0, BOOL, {DOUBLE, DOUBLE}, call}, {name, 0, BOOL, {STRING, STRING}, call}, \
        {name, 0, BOOL, {BYTES, BYTES}, call}, {name, 0, BOOL, {BOOL, BOOL}, call},       \
        {name, 0, BOOL, {TIMESTAMP, TIMESTAMP}, call},                                    \
        {name, 0, BOOL, {DURATION, DURATION}, call},                                      \
        {name, SFI_CEL_RUNTIME, BOOL, {INT, UINT}, call},                                 \
        {name, SFI_CEL_RUNTIME, BOOL, {INT, DOUBLE}, call},                               \
        {name, SFI_CEL_RUNTIME, BOOL, {UINT, INT}, call},                                 \
        {name, SFI_CEL_RUNTIME, BOOL, {UINT, DOUBLE}, call},                              \
        {name, SFI_CEL_RUNTIME, BOOL, {DOUBLE, INT}, call},                               \
    {                                                                                     \
        name, SFI_CEL_RUNTIME, BOOL, {DOUBLE, UINT}, call                                 \
    }

static const struct sfi_cel_overload overloads[] = {
    {"_==_", 0, BOOL, {A, A}, equals},
    {"_!=_", 0, BOOL, {A, A}, differs},
    ORDERINGS("_<_", less),
    ORDERINGS("_<=_", less_equal),
    ORDERINGS("_>_", greater),
    ORDERINGS("_>=_", greater_equal),
    {"@in", 0, BOOL, {A, &sfi_cel_sig_list_a}, in_list},
    {"@in", 0, BOOL, {A, &sfi_cel_sig_map_ab}, in_map},
    {"!_", 0, BOOL, {BOOL}, not },
};

const struct sfi_cel_library sfi_cel_lib_compare = {overloads,
                                                    sizeof overloads / sizeof overloads[0], false};
