/*
 * kernel_convert.c - conversions between numbers; those to the type a value already has; string()
 * of integers, which is a concatenation of one part.
 */
#include "cel/kernel.h"

/* The smallest and largest doubles that int() and uint() take lie strictly between these. */
#define INT_LOW   (-9223372036854775808.0)
#define INT_HIGH  9223372036854775808.0
#define UINT_HIGH 18446744073709551616.0

static inline uint64_t same_bits(uint64_t x, uint64_t *bad)
{
    *bad |= x; /* its sign bit: out of the other's range */
    return x;
}

static inline int64_t int_of_double(double x, uint64_t *bad)
{
    bool fits = x > INT_LOW && x < INT_HIGH;
    *bad |= (uint64_t)!fits << 63;
    return fits ? (int64_t)x : 0;
}

static inline uint64_t uint_of_double(double x, uint64_t *bad)
{
    bool fits = x >= 0 && x < UINT_HIGH;
    *bad |= (uint64_t)!fits << 63;
    return fits ? (uint64_t)x : 0;
}

#define CHECKED(NAME, IN, OUT, EXPR)                                              \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        uint64_t bad = 0;                                                         \
        if (!sfi_cel_eval_args(run, op, &sel)) {                                  \
            return;                                                               \
        }                                                                         \
        SFI_CEL_KERNEL_1(run, op, sel, IN, OUT, EXPR);                            \
        if (bad >> 63 != 0) {                                                     \
            sfi_cel_call_rows(run, op, sel);                                      \
        }                                                                         \
    }

CHECKED(other_integer, uint64_t, uint64_t, same_bits(x, &bad))
CHECKED(int_of_double, double, int64_t, int_of_double(x, &bad))
CHECKED(uint_of_double, double, uint64_t, uint_of_double(x, &bad))

static void eval_double_of_int(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                               struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, int64_t, double, x);
    }
}

static void eval_double_of_uint(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, double, x);
    }
}

/* int(int), string(string), ...: the argument's vector itself. */
static void eval_same(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const struct sfi_cel_vec *arg = sfi_cel_vec_of(run, op->args[0]);
    sfi_cel_eval_op(run, op->args[0], sel);
    vec->data = arg->data;
    vec->errors = arg->errors;
    vec->offsets = arg->offsets;
    vec->form = arg->form;
    vec->is_uniform = arg->is_uniform;
}

static sfi_cel_eval as_text(struct sfi_cel_lowering *low, struct sfi_cel_op *op)
{
    struct sfi_cel_part *part = sfi_cel_alloc(&low->program->arena, sizeof *part);
    if (part == NULL) {
        low->failed = true;
        return NULL;
    }
    *part = (struct sfi_cel_part){.kind = op->args[0]->rep == SFI_CEL_REP_INT ? SFI_CEL_PART_INT
                                                                              : SFI_CEL_PART_UINT};
    op->call.parts = part;
    op->call.part_count = 1;
    return sfi_cel_eval_concat;
}

sfi_cel_eval sfi_cel_choose_convert(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                    const char *function)
{
    static const struct {
        const char *function;
        enum sfi_cel_rep from;
        sfi_cel_eval eval;
    } kernels[] = {
        {"int", SFI_CEL_REP_UINT, eval_other_integer},
        {"int", SFI_CEL_REP_DOUBLE, eval_int_of_double},
        {"uint", SFI_CEL_REP_INT, eval_other_integer},
        {"uint", SFI_CEL_REP_DOUBLE, eval_uint_of_double},
        {"double", SFI_CEL_REP_INT, eval_double_of_int},
        {"double", SFI_CEL_REP_UINT, eval_double_of_uint},
        {"int", SFI_CEL_REP_INT, eval_same},
        {"uint", SFI_CEL_REP_UINT, eval_same},
        {"double", SFI_CEL_REP_DOUBLE, eval_same},
        {"bool", SFI_CEL_REP_BOOL, eval_same},
    };
    if (op->arg_count != 1) {
        return NULL;
    }
    const struct sfi_cel_op *arg = op->args[0];
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (kernels[i].from == arg->rep && strcmp(kernels[i].function, function) == 0) {
            op->is_cheap = arg->is_cheap;
            return kernels[i].eval;
        }
    }
    if (strcmp(function, "string") == 0) {
        if (arg->rep == SFI_CEL_REP_INT || arg->rep == SFI_CEL_REP_UINT) {
            return as_text(low, op);
        }
        return arg->rep == SFI_CEL_REP_TEXT && arg->kind == SFI_CEL_STRING ? eval_same : NULL;
    }
    return NULL;
}
