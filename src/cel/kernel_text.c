/*
 * kernel_text.c - startsWith, endsWith, contains and size of texts.
 */
#include "cel/kernel.h"

static inline bool starts_with(struct sfi_bytes x, struct sfi_bytes y)
{
    return x.size >= y.size && (y.size == 0 || memcmp(x.data, y.data, y.size) == 0);
}

static inline bool ends_with(struct sfi_bytes x, struct sfi_bytes y)
{
    return x.size >= y.size &&
           (y.size == 0 || memcmp(x.data + x.size - y.size, y.data, y.size) == 0);
}

static inline bool contains(struct sfi_bytes x, struct sfi_bytes y)
{
    return x.size >= y.size && (y.size == 0 || memmem(x.data, x.size, y.data, y.size) != NULL);
}

#define SEARCH(NAME, BYTES)                                                       \
    static void eval_##NAME(struct sfi_cel_run *run, const struct sfi_cel_op *op, \
                            struct sfi_cel_sel sel)                               \
    {                                                                             \
        if (!sfi_cel_eval_args(run, op, &sel)) {                                  \
            return;                                                               \
        }                                                                         \
        struct sfi_cel_texts a = sfi_cel_texts_of(run, op->args[0]);              \
        struct sfi_cel_texts b = sfi_cel_texts_of(run, op->args[1]);              \
        uint8_t *out = sfi_cel_vec_of(run, op)->own;                              \
        size_t bytes = 0;                                                         \
        for (uint32_t k = 0; k < sel.count; k++) {                                \
            uint32_t row = sfi_cel_row_at(sel, k);                                \
            struct sfi_bytes x = sfi_cel_text_at(&a, row);                        \
            struct sfi_bytes y = sfi_cel_text_at(&b, row);                        \
            out[row] = NAME(x, y);                                                \
            bytes += (BYTES);                                                     \
        }                                                                         \
        (void)sfi_cel_charge_rows(run, op, bytes);                                \
    }

SEARCH(starts_with, y.size)
SEARCH(ends_with, y.size)
SEARCH(contains, x.size + y.size)

static void eval_size_of_string(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    struct sfi_cel_texts texts = sfi_cel_texts_of(run, op->args[0]);
    int64_t *out = sfi_cel_vec_of(run, op)->own;
    size_t bytes = 0;
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        struct sfi_bytes text = sfi_cel_text_at(&texts, row);
        out[row] = (int64_t)sfi_cel_utf8_count((const char *)text.data, text.size);
        bytes += text.size;
    }
    (void)sfi_cel_charge_rows(run, op, bytes);
}

static void eval_size_of_bytes(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                               struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    struct sfi_cel_texts texts = sfi_cel_texts_of(run, op->args[0]);
    int64_t *out = sfi_cel_vec_of(run, op)->own;
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        out[row] = (int64_t)sfi_cel_text_at(&texts, row).size;
    }
}

sfi_cel_eval sfi_cel_choose_text(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function)
{
    (void)low;
    if (op->rep == SFI_CEL_REP_BOOL && sfi_cel_args_are(op, SFI_CEL_REP_TEXT, 2)) {
        return strcmp(function, "startsWith") == 0 ? eval_starts_with
               : strcmp(function, "endsWith") == 0 ? eval_ends_with
               : strcmp(function, "contains") == 0 ? eval_contains
                                                   : NULL;
    }
    if (op->rep == SFI_CEL_REP_INT && sfi_cel_args_are(op, SFI_CEL_REP_TEXT, 1) &&
        strcmp(function, "size") == 0) {
        return op->args[0]->kind == SFI_CEL_STRING ? eval_size_of_string : eval_size_of_bytes;
    }
    return NULL;
}
