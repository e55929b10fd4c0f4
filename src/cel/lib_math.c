/*
 * lib_math.c - the math extension of CEL (cel-go's ext, "Math"). The parser turns math.greatest()
 * and math.least() into math.@max and math.@min, with a list for more than two numbers.
 */
#include "cel/function.h"

#include <inttypes.h>
#include <math.h>

static bool is_number(struct sfi_cel_value value)
{
    return value.kind == SFI_CEL_INT || value.kind == SFI_CEL_UINT || value.kind == SFI_CEL_DOUBLE;
}

static struct sfi_cel_value same(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return args[0];
}

/* Of equal numbers, and beside a NaN, the first one. */
static struct sfi_cel_value max_of_two(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_compare(args[1], args[0]) == 1 ? args[1] : args[0];
}

static struct sfi_cel_value min_of_two(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_compare(args[1], args[0]) == -1 ? args[1] : args[0];
}

static struct sfi_cel_value extreme(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                                    const char *name, int wanted)
{
    const struct sfi_cel_list *list = args[0].list;
    const struct sfi_cel_value *best = NULL;
    if (!sfi_cel_charge(frame, list->count * sizeof list->items[0])) {
        return sfi_cel_fail_steps();
    }
    if (list->count == 0) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "%s of an empty list", name);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (!is_number(list->items[i])) {
            return sfi_cel_fail_overload(frame, name, &list->items[i], 1);
        }
        if (best == NULL || sfi_cel_compare(list->items[i], *best) == wanted) {
            best = &list->items[i];
        }
    }
    return *best;
}

static struct sfi_cel_value max_of_list(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return extreme(frame, args, "math.greatest", 1);
}

static struct sfi_cel_value min_of_list(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return extreme(frame, args, "math.least", -1);
}

#define ROUNDING(name, call)                                           \
    static struct sfi_cel_value name(struct sfi_cel_frame *frame,      \
                                     const struct sfi_cel_value *args) \
    {                                                                  \
        (void)frame;                                                   \
        return sfi_cel_double(call(args[0].f64));                      \
    }

ROUNDING(math_ceil, ceil)
ROUNDING(math_floor, floor)
ROUNDING(math_round, round) /* halves away from zero */
ROUNDING(math_trunc, trunc)
ROUNDING(math_fabs, fabs)
ROUNDING(sqrt_double, sqrt)

static struct sfi_cel_value sqrt_int(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(sqrt((double)args[0].i64));
}

static struct sfi_cel_value sqrt_uint(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(sqrt((double)args[0].u64));
}

static struct sfi_cel_value abs_int(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (args[0].i64 == INT64_MIN) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "integer overflow: math.abs(%" PRId64 ")",
                            args[0].i64);
    }
    return sfi_cel_int(args[0].i64 < 0 ? -args[0].i64 : args[0].i64);
}

static struct sfi_cel_value sign_int(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int((args[0].i64 > 0) - (args[0].i64 < 0));
}

static struct sfi_cel_value sign_uint(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_uint(args[0].u64 > 0);
}

static struct sfi_cel_value sign_double(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    double number = args[0].f64;
    (void)frame;
    return sfi_cel_double(number > 0 ? 1.0 : number < 0 ? -1.0 : number);
}

static struct sfi_cel_value is_nan(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(isnan(args[0].f64));
}

static struct sfi_cel_value is_inf(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(isinf(args[0].f64));
}

static struct sfi_cel_value is_finite(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(isfinite(args[0].f64));
}

/* The same bits serve int and uint: the kind is that of the first operand. */
static struct sfi_cel_value with_bits(struct sfi_cel_value like, uint64_t bits)
{
    like.u64 = bits;
    return like;
}

static struct sfi_cel_value bit_and(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return with_bits(args[0], args[0].u64 & args[1].u64);
}

static struct sfi_cel_value bit_or(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return with_bits(args[0], args[0].u64 | args[1].u64);
}

static struct sfi_cel_value bit_xor(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return with_bits(args[0], args[0].u64 ^ args[1].u64);
}

static struct sfi_cel_value bit_not(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return with_bits(args[0], ~args[0].u64);
}

/* Zeros come in from either side, also for int; 64 and more leave nothing. */
static struct sfi_cel_value shift(struct sfi_cel_frame *frame, const struct sfi_cel_value *args,
                                  bool is_left)
{
    int64_t offset = args[1].i64;
    if (offset < 0) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "negative offset of a shift: %" PRId64,
                            offset);
    }
    if (offset >= 64) {
        return with_bits(args[0], 0);
    }
    return with_bits(args[0], is_left ? args[0].u64 << offset : args[0].u64 >> offset);
}

static struct sfi_cel_value shift_left(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    return shift(frame, args, true);
}

static struct sfi_cel_value shift_right(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return shift(frame, args, false);
}

#define BOOL   &sfi_cel_type_bool
#define INT    &sfi_cel_type_int
#define UINT   &sfi_cel_type_uint
#define DOUBLE &sfi_cel_type_double
#define DYN    &sfi_cel_type_dyn

/* clang-format off */
#define EXTREME(name, two, list)                                                                   \
    {name, 0, INT, {INT}, same},                                                                   \
    {name, 0, UINT, {UINT}, same},                                                                 \
    {name, 0, DOUBLE, {DOUBLE}, same},                                                             \
    {name, 0, INT, {INT, INT}, two},                                                               \
    {name, 0, UINT, {UINT, UINT}, two},                                                            \
    {name, 0, DOUBLE, {DOUBLE, DOUBLE}, two},                                                      \
    {name, 0, DYN, {INT, UINT}, two},                                                              \
    {name, 0, DYN, {INT, DOUBLE}, two},                                                            \
    {name, 0, DYN, {UINT, INT}, two},                                                              \
    {name, 0, DYN, {UINT, DOUBLE}, two},                                                           \
    {name, 0, DYN, {DOUBLE, INT}, two},                                                            \
    {name, 0, DYN, {DOUBLE, UINT}, two},                                                           \
    {name, 0, INT, {&sfi_cel_sig_list_int}, list},                                                 \
    {name, 0, UINT, {&sfi_cel_sig_list_uint}, list},                                               \
    {name, 0, DOUBLE, {&sfi_cel_sig_list_double}, list},                                           \
    {name, 0, DYN, {&sfi_cel_type_list}, list}
/* clang-format on */

static const struct sfi_cel_overload overloads[] = {
    EXTREME("math.@max", max_of_two, max_of_list),
    EXTREME("math.@min", min_of_two, min_of_list),
    {"math.ceil", 0, DOUBLE, {DOUBLE}, math_ceil},
    {"math.floor", 0, DOUBLE, {DOUBLE}, math_floor},
    {"math.round", 0, DOUBLE, {DOUBLE}, math_round},
    {"math.trunc", 0, DOUBLE, {DOUBLE}, math_trunc},
    {"math.abs", 0, INT, {INT}, abs_int},
    {"math.abs", 0, UINT, {UINT}, same},
    {"math.abs", 0, DOUBLE, {DOUBLE}, math_fabs},
    {"math.sign", 0, INT, {INT}, sign_int},
    {"math.sign", 0, UINT, {UINT}, sign_uint},
    {"math.sign", 0, DOUBLE, {DOUBLE}, sign_double},
    {"math.sqrt", 0, DOUBLE, {DOUBLE}, sqrt_double},
    {"math.sqrt", 0, DOUBLE, {INT}, sqrt_int},
    {"math.sqrt", 0, DOUBLE, {UINT}, sqrt_uint},
    {"math.isNaN", 0, BOOL, {DOUBLE}, is_nan},
    {"math.isInf", 0, BOOL, {DOUBLE}, is_inf},
    {"math.isFinite", 0, BOOL, {DOUBLE}, is_finite},
    {"math.bitAnd", 0, INT, {INT, INT}, bit_and},
    {"math.bitAnd", 0, UINT, {UINT, UINT}, bit_and},
    {"math.bitOr", 0, INT, {INT, INT}, bit_or},
    {"math.bitOr", 0, UINT, {UINT, UINT}, bit_or},
    {"math.bitXor", 0, INT, {INT, INT}, bit_xor},
    {"math.bitXor", 0, UINT, {UINT, UINT}, bit_xor},
    {"math.bitNot", 0, INT, {INT}, bit_not},
    {"math.bitNot", 0, UINT, {UINT}, bit_not},
    {"math.bitShiftLeft", 0, INT, {INT, INT}, shift_left},
    {"math.bitShiftLeft", 0, UINT, {UINT, INT}, shift_left},
    {"math.bitShiftRight", 0, INT, {INT, INT}, shift_right},
    {"math.bitShiftRight", 0, UINT, {UINT, INT}, shift_right},
};

const struct sfi_cel_library sfi_cel_lib_math = {overloads, sizeof overloads / sizeof overloads[0],
                                                 true};
