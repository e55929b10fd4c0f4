/*
 * kernel_number.c - + - * and negation of numbers, ! of bools. Overflow is collected over the block
 * and only when there was one the rows are looked at again, by the library's function.
 */
#include "cel/kernel.h"

/* The sign bit of `bad` collects overflows. */
static inline int64_t add_int(int64_t x, int64_t y, uint64_t *bad)
{
    uint64_t sum = (uint64_t)x + (uint64_t)y;
    *bad |= ((uint64_t)x ^ sum) & ((uint64_t)y ^ sum);
    return (int64_t)sum;
}

static inline int64_t subtract_int(int64_t x, int64_t y, uint64_t *bad)
{
    uint64_t rest = (uint64_t)x - (uint64_t)y;
    *bad |= ((uint64_t)x ^ (uint64_t)y) & ((uint64_t)x ^ rest);
    return (int64_t)rest;
}

static inline int64_t multiply_int(int64_t x, int64_t y, uint64_t *bad)
{
    int64_t product;
    *bad |= (uint64_t)__builtin_mul_overflow(x, y, &product) << 63;
    return product;
}

static inline uint64_t add_uint(uint64_t x, uint64_t y, uint64_t *bad)
{
    uint64_t sum = x + y;
    *bad |= (x & y) | ((x | y) & ~sum);
    return sum;
}

static inline uint64_t subtract_uint(uint64_t x, uint64_t y, uint64_t *bad)
{
    uint64_t rest = x - y;
    *bad |= (~x & y) | ((~x | y) & rest);
    return rest;
}

static inline uint64_t multiply_uint(uint64_t x, uint64_t y, uint64_t *bad)
{
    uint64_t product;
    *bad |= (uint64_t)__builtin_mul_overflow(x, y, &product) << 63;
    return product;
}

static inline int64_t negate(int64_t x, uint64_t *bad)
{
    uint64_t negative = 0 - (uint64_t)x;
    *bad |= (uint64_t)x & negative; /* both negative: only the smallest number */
    return (int64_t)negative;
}

#define CHECKED_2(NAME, TYPE, CALL)                                               \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        uint64_t bad = 0;                                                         \
        if (!sfi_cel_eval_args(run, op, &sel)) {                                  \
            return;                                                               \
        }                                                                         \
        SFI_CEL_KERNEL_2(run, op, sel, TYPE, TYPE, CALL(x, y, &bad));             \
        if (bad >> 63 != 0) {                                                     \
            sfi_cel_call_rows(run, op, sel);                                      \
        }                                                                         \
    }

#define UNCHECKED_2(NAME, TYPE, EXPR)                                             \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        if (sfi_cel_eval_args(run, op, &sel)) {                                   \
            SFI_CEL_KERNEL_2(run, op, sel, TYPE, TYPE, EXPR);                     \
        }                                                                         \
    }

CHECKED_2(add_int, int64_t, add_int)
CHECKED_2(subtract_int, int64_t, subtract_int)
CHECKED_2(multiply_int, int64_t, multiply_int)
CHECKED_2(add_uint, uint64_t, add_uint)
CHECKED_2(subtract_uint, uint64_t, subtract_uint)
CHECKED_2(multiply_uint, uint64_t, multiply_uint)
UNCHECKED_2(add_double, double, x + y)
UNCHECKED_2(subtract_double, double, x - y)
UNCHECKED_2(multiply_double, double, x *y)
UNCHECKED_2(divide_double, double, x / y)

static void eval_negate_int(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                            struct sfi_cel_sel sel)
{
    uint64_t bad = 0;
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    SFI_CEL_KERNEL_1(run, op, sel, int64_t, int64_t, negate(x, &bad));
    if (bad >> 63 != 0) {
        sfi_cel_call_rows(run, op, sel);
    }
}

static void eval_negate_double(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                               struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, double, double, -x);
    }
}

static void eval_not(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, uint8_t, uint8_t, x ^ 1);
    }
}

static const struct {
    const char *function;
    enum sfi_cel_rep rep;
    uint8_t count;
    sfi_cel_eval eval;
} kernels[] = {
    {"_+_", SFI_CEL_REP_INT, 2, eval_add_int},
    {"_+_", SFI_CEL_REP_UINT, 2, eval_add_uint},
    {"_+_", SFI_CEL_REP_DOUBLE, 2, eval_add_double},
    {"_-_", SFI_CEL_REP_INT, 2, eval_subtract_int},
    {"_-_", SFI_CEL_REP_UINT, 2, eval_subtract_uint},
    {"_-_", SFI_CEL_REP_DOUBLE, 2, eval_subtract_double},
    {"_*_", SFI_CEL_REP_INT, 2, eval_multiply_int},
    {"_*_", SFI_CEL_REP_UINT, 2, eval_multiply_uint},
    {"_*_", SFI_CEL_REP_DOUBLE, 2, eval_multiply_double},
    {"_/_", SFI_CEL_REP_DOUBLE, 2, eval_divide_double},
    {"-_", SFI_CEL_REP_INT, 1, eval_negate_int},
    {"-_", SFI_CEL_REP_DOUBLE, 1, eval_negate_double},
    {"!_", SFI_CEL_REP_BOOL, 1, eval_not},
};

sfi_cel_eval sfi_cel_choose_number(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function)
{
    (void)low;
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (kernels[i].rep == op->rep && sfi_cel_args_are(op, kernels[i].rep, kernels[i].count) &&
            strcmp(kernels[i].function, function) == 0) {
            op->is_cheap = true;
            return kernels[i].eval;
        }
    }
    return NULL;
}
