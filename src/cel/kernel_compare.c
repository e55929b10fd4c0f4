/*
 * kernel_compare.c - == != < <= > >= of numbers, bools and texts of the same static type.
 */
#include "cel/kernel.h"

#define COMPARE(NAME, TYPE, OPERATOR)                                             \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        if (sfi_cel_eval_args(run, op, &sel)) {                                   \
            SFI_CEL_KERNEL_2(run, op, sel, TYPE, uint8_t, x OPERATOR y);          \
        }                                                                         \
    }

#define COMPARE_ALL(NAME, TYPE)      \
    COMPARE(equal_##NAME, TYPE, ==)  \
    COMPARE(differ_##NAME, TYPE, !=) \
    COMPARE(less_##NAME, TYPE, <)    \
    COMPARE(most_##NAME, TYPE, <=)   \
    COMPARE(more_##NAME, TYPE, >)    \
    COMPARE(least_##NAME, TYPE, >=)

COMPARE_ALL(int, int64_t)
COMPARE_ALL(uint, uint64_t)
COMPARE_ALL(double, double)
COMPARE_ALL(bool, uint8_t)

#define TABLE(NAME)                                                                \
    {                                                                              \
        eval_equal_##NAME, eval_differ_##NAME, eval_less_##NAME, eval_most_##NAME, \
            eval_more_##NAME, eval_least_##NAME                                    \
    }

/* Order of text: bytes, then length. */
static inline int compare_texts(struct sfi_bytes x, struct sfi_bytes y)
{
    return sfi_bytes_compare(x, y);
}

static inline bool equal_texts(struct sfi_bytes x, struct sfi_bytes y)
{
    return x.size == y.size && (x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
}

#define COMPARE_TEXT(NAME, EXPR)                                                         \
    static void eval_##NAME##_text(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                                   struct sfi_cel_sel sel)                               \
    {                                                                                    \
        if (!sfi_cel_eval_args(run, op, &sel)) {                                         \
            return;                                                                      \
        }                                                                                \
        struct sfi_cel_texts a = sfi_cel_texts_of(run, op->args[0]);                     \
        struct sfi_cel_texts b = sfi_cel_texts_of(run, op->args[1]);                     \
        uint8_t *out = sfi_cel_vec_of(run, op)->own;                                     \
        size_t bytes = 0;                                                                \
        for (uint32_t k = 0; k < sel.count; k++) {                                       \
            uint32_t row = sfi_cel_row_at(sel, k);                                       \
            struct sfi_bytes x = sfi_cel_text_at(&a, row);                               \
            struct sfi_bytes y = sfi_cel_text_at(&b, row);                               \
            out[row] = (EXPR);                                                           \
            bytes += x.size < y.size ? x.size : y.size;                                  \
        }                                                                                \
        (void)sfi_cel_charge_rows(run, op, bytes);                                       \
    }

COMPARE_TEXT(equal, equal_texts(x, y))
COMPARE_TEXT(differ, !equal_texts(x, y))
COMPARE_TEXT(less, compare_texts(x, y) < 0)
COMPARE_TEXT(most, compare_texts(x, y) <= 0)
COMPARE_TEXT(more, compare_texts(x, y) > 0)
COMPARE_TEXT(least, compare_texts(x, y) >= 0)

sfi_cel_eval sfi_cel_choose_compare(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                    const char *function)
{
    static const char *const operators[] = {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"};
    static const sfi_cel_eval table[][6] = {
        [SFI_CEL_REP_BOOL] = TABLE(bool),
        [SFI_CEL_REP_INT] = TABLE(int),
        [SFI_CEL_REP_UINT] = TABLE(uint),
        [SFI_CEL_REP_DOUBLE] = TABLE(double),
        [SFI_CEL_REP_TEXT] = {eval_equal_text, eval_differ_text, eval_less_text, eval_most_text,
                              eval_more_text, eval_least_text},
    };
    if (op->rep != SFI_CEL_REP_BOOL || op->arg_count != 2 || op->args[0]->rep != op->args[1]->rep ||
        op->args[0]->rep == SFI_CEL_REP_VALUE || op->args[0]->kind != op->args[1]->kind) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strcmp(operators[i], function) == 0) {
            sfi_cel_eval member = i < 2 && op->args[0]->rep == SFI_CEL_REP_TEXT
                                      ? sfi_cel_choose_member(low, op, i == 0 ? "=" : "!")
                                      : NULL;
            op->is_cheap = op->args[0]->rep != SFI_CEL_REP_TEXT || member != NULL;
            return member != NULL ? member : table[op->args[0]->rep][i];
        }
    }
    return NULL;
}
