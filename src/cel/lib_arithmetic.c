/*
 * lib_arithmetic.c - + - * / % and unary - (cel-spec, langdef.md, "Numeric Values"): integers
 * report overflow, doubles follow IEEE 754. Times are left to lib_time.c.
 */
#include "cel/function.h"
#include "cel/time.h"

static struct sfi_cel_value overflow(struct sfi_cel_frame *frame)
{
    return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "integer overflow");
}

static struct sfi_cel_value overflow_uint(struct sfi_cel_frame *frame)
{
    return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "unsigned integer overflow");
}

static struct sfi_cel_value divide_by_zero(struct sfi_cel_frame *frame)
{
    return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "divide by zero");
}

static struct sfi_cel_value modulus_by_zero(struct sfi_cel_frame *frame)
{
    return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "modulus by zero");
}

static struct sfi_cel_value add_int(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    int64_t sum;
    return __builtin_add_overflow(args[0].i64, args[1].i64, &sum) ? overflow(frame)
                                                                  : sfi_cel_int(sum);
}

static struct sfi_cel_value add_uint(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    uint64_t sum;
    return __builtin_add_overflow(args[0].u64, args[1].u64, &sum) ? overflow_uint(frame)
                                                                  : sfi_cel_uint(sum);
}

static struct sfi_cel_value add_double(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(args[0].f64 + args[1].f64);
}

/* Strings and bytes. One that adds nothing is not copied. */
static struct sfi_cel_value add_text(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (args[0].size == 0 || args[1].size == 0) {
        return args[0].size == 0 ? args[1] : args[0];
    }
    size_t size = (size_t)args[0].size + args[1].size;
    if (!sfi_cel_charge(frame, size)) {
        return sfi_cel_fail_steps();
    }
    char *text = size <= UINT32_MAX ? sfi_cel_alloc(&frame->arena, size) : NULL;
    if (text == NULL) {
        return sfi_cel_fail_memory();
    }
    memcpy(text, args[0].text, args[0].size);
    memcpy(text + args[0].size, args[1].text, args[1].size);
    struct sfi_cel_value sum = {args[0].kind, (uint32_t)size, {.text = text}};
    return sum;
}

static struct sfi_cel_value add_list(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const struct sfi_cel_list *a = args[0].list;
    const struct sfi_cel_list *b = args[1].list;
    if (a->count == 0 || b->count == 0) {
        return a->count == 0 ? args[1] : args[0];
    }
    size_t count = (size_t)a->count + b->count;
    if (!sfi_cel_charge(frame, count * sizeof a->items[0])) {
        return sfi_cel_fail_steps();
    }
    struct sfi_cel_list *sum = sfi_cel_list_new(frame, count);
    if (sum == NULL) {
        return sfi_cel_fail_memory();
    }
    memcpy(sum->items, a->items, a->count * sizeof a->items[0]);
    memcpy(sum->items + a->count, b->items, b->count * sizeof b->items[0]);
    return sfi_cel_list_value(sum);
}

static struct sfi_cel_value add_time(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    return sfi_cel_time_add(frame, args[0], args[1]);
}

static struct sfi_cel_value subtract_int(struct sfi_cel_frame *frame,
                                         const struct sfi_cel_value *args)
{
    int64_t difference;
    return __builtin_sub_overflow(args[0].i64, args[1].i64, &difference) ? overflow(frame)
                                                                         : sfi_cel_int(difference);
}

static struct sfi_cel_value subtract_uint(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    return args[0].u64 < args[1].u64 ? overflow_uint(frame)
                                     : sfi_cel_uint(args[0].u64 - args[1].u64);
}

static struct sfi_cel_value subtract_double(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(args[0].f64 - args[1].f64);
}

static struct sfi_cel_value subtract_time(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    return sfi_cel_time_subtract(frame, args[0], args[1]);
}

static struct sfi_cel_value multiply_int(struct sfi_cel_frame *frame,
                                         const struct sfi_cel_value *args)
{
    int64_t product;
    return __builtin_mul_overflow(args[0].i64, args[1].i64, &product) ? overflow(frame)
                                                                      : sfi_cel_int(product);
}

static struct sfi_cel_value multiply_uint(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    uint64_t product;
    return __builtin_mul_overflow(args[0].u64, args[1].u64, &product) ? overflow_uint(frame)
                                                                      : sfi_cel_uint(product);
}

static struct sfi_cel_value multiply_double(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(args[0].f64 * args[1].f64);
}

static struct sfi_cel_value divide_int(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    if (args[1].i64 == 0) {
        return divide_by_zero(frame);
    }
    if (args[1].i64 == -1 && args[0].i64 == INT64_MIN) {
        return overflow(frame);
    }
    return sfi_cel_int(args[0].i64 / args[1].i64);
}

static struct sfi_cel_value divide_uint(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return args[1].u64 == 0 ? divide_by_zero(frame) : sfi_cel_uint(args[0].u64 / args[1].u64);
}

/* Not an operation of C: dividing by zero is undefined there, unless Annex F holds. */
static struct sfi_cel_value divide_double(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
    __attribute__((no_sanitize("float-divide-by-zero")));
static struct sfi_cel_value divide_double(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(args[0].f64 / args[1].f64);
}

static struct sfi_cel_value modulo_int(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    if (args[1].i64 == 0) {
        return modulus_by_zero(frame);
    }
    if (args[1].i64 == -1 && args[0].i64 == INT64_MIN) {
        return overflow(frame);
    }
    return sfi_cel_int(args[0].i64 % args[1].i64);
}

static struct sfi_cel_value modulo_uint(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return args[1].u64 == 0 ? modulus_by_zero(frame) : sfi_cel_uint(args[0].u64 % args[1].u64);
}

static struct sfi_cel_value negate_int(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    return args[0].i64 == INT64_MIN ? overflow(frame) : sfi_cel_int(-args[0].i64);
}

static struct sfi_cel_value negate_double(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double(-args[0].f64);
}

#define INT       &sfi_cel_type_int
#define UINT      &sfi_cel_type_uint
#define DOUBLE    &sfi_cel_type_double
#define STRING    &sfi_cel_type_string
#define BYTES     &sfi_cel_type_bytes
#define LIST      &sfi_cel_sig_list_a
#define TIMESTAMP &sfi_cel_type_timestamp
#define DURATION  &sfi_cel_type_duration

static const struct sfi_cel_overload overloads[] = {
    {"_+_", 0, INT, {INT, INT}, add_int},
    {"_+_", 0, UINT, {UINT, UINT}, add_uint},
    {"_+_", 0, DOUBLE, {DOUBLE, DOUBLE}, add_double},
    {"_+_", 0, STRING, {STRING, STRING}, add_text},
    {"_+_", 0, BYTES, {BYTES, BYTES}, add_text},
    {"_+_", 0, LIST, {LIST, LIST}, add_list},
    {"_+_", 0, TIMESTAMP, {TIMESTAMP, DURATION}, add_time},
    {"_+_", 0, TIMESTAMP, {DURATION, TIMESTAMP}, add_time},
    {"_+_", 0, DURATION, {DURATION, DURATION}, add_time},
    {"_-_", 0, INT, {INT, INT}, subtract_int},
    {"_-_", 0, UINT, {UINT, UINT}, subtract_uint},
    {"_-_", 0, DOUBLE, {DOUBLE, DOUBLE}, subtract_double},
    {"_-_", 0, TIMESTAMP, {TIMESTAMP, DURATION}, subtract_time},
    {"_-_", 0, DURATION, {TIMESTAMP, TIMESTAMP}, subtract_time},
    {"_-_", 0, DURATION, {DURATION, DURATION}, subtract_time},
    {"_*_", 0, INT, {INT, INT}, multiply_int},
    {"_*_", 0, UINT, {UINT, UINT}, multiply_uint},
    {"_*_", 0, DOUBLE, {DOUBLE, DOUBLE}, multiply_double},
    {"_/_", 0, INT, {INT, INT}, divide_int},
    {"_/_", 0, UINT, {UINT, UINT}, divide_uint},
    {"_/_", 0, DOUBLE, {DOUBLE, DOUBLE}, divide_double},
    {"_%_", 0, INT, {INT, INT}, modulo_int},
    {"_%_", 0, UINT, {UINT, UINT}, modulo_uint},
    {"-_", 0, INT, {INT}, negate_int},
    {"-_", 0, DOUBLE, {DOUBLE}, negate_double},
};

const struct sfi_cel_library sfi_cel_lib_arithmetic = {
    overloads, sizeof overloads / sizeof overloads[0], false};
