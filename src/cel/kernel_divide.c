/*
 * kernel_divide.c - / and % of int and uint. By a constant there is no division: a mask, or a
 * multiplication by the reciprocal as in routing/routing.h, here for divisors of 64 bits.
 */
#include "cel/kernel.h"

void sfi_cel_divisor_init(struct sfi_cel_divisor *divisor, uint64_t n)
{
    divisor->n = n;
    divisor->reciprocal = UINT64_MAX / n;
    divisor->shift = (n & (n - 1)) == 0 ? (uint8_t)__builtin_ctzll(n) : 64;
}

/* The first argument; the second is in op->call.divisor. */
static bool eval_dividend(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel *sel)
{
    sfi_cel_vec_of(run, op)->errors = NULL;
    sfi_cel_eval_op(run, op->args[0], *sel);
    return (sfi_cel_vec_of(run, op->args[0])->errors == NULL && run->over == NULL) ||
           sfi_cel_merge_errors(run, op, 1, sel);
}

static void eval_modulo_uint_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                   struct sfi_cel_sel sel)
{
    const struct sfi_cel_divisor divisor = op->call.divisor;
    uint64_t mask = divisor.n - 1;
    if (!eval_dividend(run, op, &sel)) {
        return;
    }
    if (divisor.shift < 64) {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, x & mask);
    } else {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, sfi_cel_modulo(&divisor, x));
    }
}

static void eval_divide_uint_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                   struct sfi_cel_sel sel)
{
    const struct sfi_cel_divisor divisor = op->call.divisor;
    if (!eval_dividend(run, op, &sel)) {
        return;
    }
    if (divisor.shift < 64) {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, x >> divisor.shift);
    } else {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, sfi_cel_divide(&divisor, x));
    }
}

/* Magnitude of x, and its sign as 0 or -1. */
static inline uint64_t magnitude(int64_t x, uint64_t *sign)
{
    *sign = (uint64_t)(x >> 63);
    return ((uint64_t)x ^ *sign) - *sign;
}

static inline int64_t modulo_int(const struct sfi_cel_divisor *divisor, int64_t x)
{
    uint64_t sign;
    uint64_t rest = sfi_cel_modulo(divisor, magnitude(x, &sign));
    return (int64_t)((rest ^ sign) - sign);
}

static inline int64_t divide_int(const struct sfi_cel_divisor *divisor, int64_t x, uint64_t other)
{
    uint64_t sign;
    uint64_t quotient = sfi_cel_divide(divisor, magnitude(x, &sign));
    sign ^= other;
    return (int64_t)((quotient ^ sign) - sign);
}

/* Sign of the constant divisor as 0 or -1. */
static uint64_t sign_of_divisor(const struct sfi_cel_op *op)
{
    return (uint64_t)(op->args[1]->constant.i64 >> 63);
}

static inline int64_t mask_int(int64_t x, uint64_t mask)
{
    uint64_t sign;
    uint64_t rest = magnitude(x, &sign) & mask;
    return (int64_t)((rest ^ sign) - sign);
}

static void eval_modulo_int_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                  struct sfi_cel_sel sel)
{
    const struct sfi_cel_divisor divisor = op->call.divisor;
    uint64_t mask = divisor.n - 1;
    if (!eval_dividend(run, op, &sel)) {
        return;
    }
    if (divisor.shift < 64) {
        SFI_CEL_KERNEL_1(run, op, sel, int64_t, int64_t, mask_int(x, mask));
    } else {
        SFI_CEL_KERNEL_1(run, op, sel, int64_t, int64_t, modulo_int(&divisor, x));
    }
}

static void eval_divide_int_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                  struct sfi_cel_sel sel)
{
    const struct sfi_cel_divisor divisor = op->call.divisor;
    uint64_t other = sign_of_divisor(op);
    if (eval_dividend(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, int64_t, int64_t, divide_int(&divisor, x, other));
    }
}

/* Divisors 0, and -1 that may overflow, are left to the library; here they become 1. */
static inline uint64_t safe_uint(uint64_t y, uint64_t *bad)
{
    *bad |= y == 0;
    return y + (y == 0);
}

static inline int64_t safe_int(int64_t y, uint64_t *bad)
{
    bool is_bad = (uint64_t)y + 1 <= 1; /* 0 or -1 */
    *bad |= is_bad;
    return is_bad ? 1 : y;
}

#define DIVISION(NAME, TYPE, EXPR)                                                \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        uint64_t bad = 0;                                                         \
        if (!sfi_cel_eval_args(run, op, &sel)) {                                  \
            return;                                                               \
        }                                                                         \
        SFI_CEL_KERNEL_2(run, op, sel, TYPE, TYPE, EXPR);                         \
        if (bad != 0) {                                                           \
            sfi_cel_call_rows(run, op, sel);                                      \
        }                                                                         \
    }

DIVISION(divide_uint, uint64_t, x / safe_uint(y, &bad))
DIVISION(modulo_uint, uint64_t, x % safe_uint(y, &bad))
DIVISION(divide_int, int64_t, x / safe_int(y, &bad))
DIVISION(modulo_int, int64_t, x % safe_int(y, &bad))

static sfi_cel_eval by_constant(struct sfi_cel_op *op, bool is_modulo)
{
    struct sfi_cel_value n = op->args[1]->constant;
    if (op->rep == SFI_CEL_REP_UINT) {
        if (n.u64 == 0) {
            return is_modulo ? eval_modulo_uint : eval_divide_uint;
        }
        sfi_cel_divisor_init(&op->call.divisor, n.u64);
        return is_modulo ? eval_modulo_uint_const : eval_divide_uint_const;
    }
    if (n.i64 == 0 || n.i64 == -1) {
        return is_modulo ? eval_modulo_int : eval_divide_int;
    }
    uint64_t sign;
    uint64_t size = magnitude(n.i64, &sign);
    sfi_cel_divisor_init(&op->call.divisor, size);
    return is_modulo ? eval_modulo_int_const : eval_divide_int_const;
}

sfi_cel_eval sfi_cel_choose_divide(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function)
{
    bool is_modulo = strcmp(function, "_%_") == 0;
    (void)low;
    if ((!is_modulo && strcmp(function, "_/_") != 0) ||
        (op->rep != SFI_CEL_REP_INT && op->rep != SFI_CEL_REP_UINT) ||
        !sfi_cel_args_are(op, op->rep, 2)) {
        return NULL;
    }
    op->is_cheap = true;
    if (op->args[1]->code == SFI_CEL_OP_CONST) {
        return by_constant(op, is_modulo);
    }
    if (op->rep == SFI_CEL_REP_UINT) {
        return is_modulo ? eval_modulo_uint : eval_divide_uint;
    }
    return is_modulo ? eval_modulo_int : eval_divide_int;
}
