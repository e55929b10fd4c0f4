/*
 * run_generic.c - calls by the table of functions: arguments boxed, one row at a time. Every call
 * can be made this way; kernels do so for rows that they cannot decide, above all to fail with the
 * library's own error.
 */
#include "cel/program_internal.h"

static struct sfi_cel_value call_one(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                     const struct sfi_cel_value *args)
{
    if (!sfi_cel_charge(&run->frame, 0)) {
        return sfi_cel_fail_steps();
    }
    if (op->is_direct) {
        return op->call.overloads[0]->call(&run->frame, args);
    }
    return sfi_cel_dispatch(&run->frame, op->call.overloads, op->call.overload_count, args,
                            op->arg_count);
}

void sfi_cel_call_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    struct sfi_cel_value args[SFI_CEL_ARGS_MAX];
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        for (uint32_t i = 0; i < op->arg_count; i++) {
            args[i] = sfi_cel_box(run, op->args[i], row);
        }
        sfi_cel_store(run, op, sel, row, call_one(run, op, args));
        if (run->over != NULL) {
            return;
        }
    }
}

void sfi_cel_eval_call(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    if (sfi_cel_eval_args(run, op, &sel)) {
        sfi_cel_call_rows(run, op, sel);
    }
}
