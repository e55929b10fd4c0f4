/*
 * kernel_hash.c - shard_hash() of int, uint and text: XXH3 inlined into the loop. Hashes of
 * concatenations are in kernel_concat.c.
 */
#include "cel/kernel.h"

static void eval_hash_int(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, sfi_digest_u64(x));
    }
}

/* Numbers that no int key can be are errors. */
static inline uint64_t hash_uint(uint64_t x, uint64_t *bad)
{
    *bad |= x;
    return sfi_digest_u64(x);
}

static void eval_hash_uint(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                           struct sfi_cel_sel sel)
{
    uint64_t bad = 0;
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint64_t, hash_uint(x, &bad));
    if (bad >> 63 != 0) {
        sfi_cel_call_rows(run, op, sel);
    }
}

static void eval_hash_text(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                           struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    struct sfi_cel_texts texts = sfi_cel_texts_of(run, op->args[0]);
    uint64_t *out = sfi_cel_vec_of(run, op)->own;
    size_t bytes = 0;
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        struct sfi_bytes text = sfi_cel_text_at(&texts, row);
        out[row] = sfi_digest_bytes(text.data, text.size);
        bytes += text.size;
    }
    (void)sfi_cel_charge_rows(run, op, bytes);
}

sfi_cel_eval sfi_cel_choose_hash(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function)
{
    (void)low;
    if (op->arg_count != 1 || strcmp(function, "shard_hash") != 0) {
        return NULL;
    }
    struct sfi_cel_op *arg = op->args[0];
    switch (arg->rep) {
    case SFI_CEL_REP_INT:
        op->is_cheap = arg->is_cheap;
        return eval_hash_int;
    case SFI_CEL_REP_UINT:
        op->is_cheap = arg->is_cheap;
        return eval_hash_uint;
    case SFI_CEL_REP_TEXT:
        if (arg->eval != sfi_cel_eval_concat) {
            return eval_hash_text;
        }
        op->args = arg->args;
        op->arg_count = arg->arg_count;
        op->call.parts = arg->call.parts;
        op->call.part_count = arg->call.part_count;
        return sfi_cel_eval_concat_hash;
    default:
        return NULL;
    }
}
