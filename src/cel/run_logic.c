/*
 * run_logic.c - && || ?: over blocks. Operands that cost next to nothing are evaluated for all rows
 * and combined without a branch; others only for the rows that need them. A side that decides
 * absorbs the other's error (spec of the language, "Logical operators").
 */
#include "cel/program_internal.h"

#include <string.h>

/* What a side of && or || is at a row. */
enum side { SIDE_FALSE, SIDE_TRUE, SIDE_BAD };

static enum side side_at(struct sfi_cel_run *run, const struct sfi_cel_op *op, uint32_t row)
{
    const struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    uint32_t at = vec->is_uniform ? 0 : row;
    if (vec->errors != NULL && vec->errors[row] != NULL) {
        return SIDE_BAD;
    }
    if (op->rep == SFI_CEL_REP_BOOL) {
        return ((const uint8_t *)vec->data)[at] != 0 ? SIDE_TRUE : SIDE_FALSE;
    }
    if (op->rep != SFI_CEL_REP_VALUE) {
        return SIDE_BAD;
    }
    struct sfi_cel_value value = sfi_cel_box(run, op, row);
    return value.kind != SFI_CEL_BOOL ? SIDE_BAD : value.boolean ? SIDE_TRUE : SIDE_FALSE;
}

/* A vector of bytes without errors, for the loops below. */
static const uint8_t *plain_bools(struct sfi_cel_run *run, const struct sfi_cel_op *op)
{
    const struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    return op->rep == SFI_CEL_REP_BOOL && vec->errors == NULL ? vec->data : NULL;
}

/* Rows at which the left side does not decide. */
static struct sfi_cel_sel undecided(struct sfi_cel_run *run, const struct sfi_cel_op *left,
                                    struct sfi_cel_sel sel, enum side decides)
{
    struct sfi_cel_sel rest = {NULL, 0};
    if (sel.count == 1) {
        rest = sel;
        rest.count = side_at(run, left, sfi_cel_row_at(sel, 0)) != decides;
        return rest;
    }
    uint16_t *rows = sfi_cel_new_rows(run, sel.count);
    const uint8_t *bools = plain_bools(run, left);
    if (rows == NULL) {
        return rest;
    }
    rest.rows = rows;
    if (bools != NULL && !sfi_cel_vec_of(run, left)->is_uniform) {
        for (uint32_t k = 0; k < sel.count; k++) {
            uint32_t row = sfi_cel_row_at(sel, k);
            rows[rest.count] = (uint16_t)row;
            rest.count += bools[row] != (uint8_t)decides;
        }
        return rest;
    }
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        rows[rest.count] = (uint16_t)row;
        rest.count += side_at(run, left, row) != decides;
    }
    return rest;
}

/* The error of a side that is neither true nor false. */
static struct sfi_cel_value bad_side(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                     const struct sfi_cel_op *side, uint32_t row)
{
    struct sfi_cel_value value = sfi_cel_result(run, side, row);
    if (value.kind == SFI_CEL_ERROR) {
        return value;
    }
    return sfi_cel_fail_overload(&run->frame,
                                 op->eval == sfi_cel_eval_and  ? "_&&_"
                                 : op->eval == sfi_cel_eval_or ? "_||_"
                                                               : "_?_:_",
                                 &value, 1);
}

static void store_bool(struct sfi_cel_run *run, const struct sfi_cel_op *op, uint32_t row,
                       bool value)
{
    void *own = sfi_cel_vec_of(run, op)->own;
    if (op->rep == SFI_CEL_REP_BOOL) {
        ((uint8_t *)own)[row] = value;
    } else {
        ((struct sfi_cel_value *)own)[row] = sfi_cel_bool(value);
    }
}

/* Row by row, for sides with errors or of no static type. */
static void combine_slowly(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                           struct sfi_cel_sel sel, enum side decides)
{
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        enum side left = side_at(run, op->args[0], row);
        if (left == decides) {
            store_bool(run, op, row, decides == SIDE_TRUE);
            continue;
        }
        enum side right = side_at(run, op->args[1], row);
        if (right == decides) {
            store_bool(run, op, row, decides == SIDE_TRUE);
        } else if (left == SIDE_BAD || right == SIDE_BAD) {
            const struct sfi_cel_op *bad = op->args[left == SIDE_BAD ? 0 : 1];
            sfi_cel_store(run, op, sel, row, bad_side(run, op, bad, row));
        } else {
            store_bool(run, op, row, decides != SIDE_TRUE);
        }
    }
}

static void combine_all(uint8_t *out, const uint8_t *a, const uint8_t *b, uint32_t count,
                        bool is_and)
{
    if (is_and) {
        for (uint32_t i = 0; i < count; i++) {
            out[i] = a[i] & b[i];
        }
    } else {
        for (uint32_t i = 0; i < count; i++) {
            out[i] = a[i] | b[i];
        }
    }
}

static void eval_logic(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel,
                       enum side decides)
{
    const struct sfi_cel_op *left = op->args[0];
    const struct sfi_cel_op *right = op->args[1];
    struct sfi_cel_sel rest = sel;
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    vec->errors = NULL;
    sfi_cel_eval_op(run, left, sel);
    if (run->over == NULL && !right->is_cheap) {
        rest = undecided(run, left, sel, decides);
    }
    if (run->over == NULL && rest.count > 0) {
        sfi_cel_eval_op(run, right, rest);
    }
    if (run->over != NULL) {
        return;
    }
    const uint8_t *a = plain_bools(run, left);
    const uint8_t *b = plain_bools(run, right);
    if (rest.rows == NULL && rest.count == sel.count && a != NULL && b != NULL &&
        !sfi_cel_vec_of(run, left)->is_uniform && !sfi_cel_vec_of(run, right)->is_uniform &&
        op->rep == SFI_CEL_REP_BOOL) {
        combine_all(vec->own, a, b, sel.count, decides == SIDE_FALSE);
        return;
    }
    combine_slowly(run, op, sel, decides);
}

void sfi_cel_eval_and(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    eval_logic(run, op, sel, SIDE_FALSE);
}

void sfi_cel_eval_or(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    eval_logic(run, op, sel, SIDE_TRUE);
}

/* ---- ?: -------------------------------------------------------------------------------------- */

/* The branch's values at its rows become the operation's. */
static void take_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel all,
                      const struct sfi_cel_op *branch, struct sfi_cel_sel sel)
{
    const struct sfi_cel_vec *from = sfi_cel_vec_of(run, branch);
    bool is_wide = branch->rep >= SFI_CEL_REP_INT && branch->rep <= SFI_CEL_REP_DOUBLE;
    if (is_wide && branch->rep == op->rep && from->errors == NULL) {
        const uint64_t *source = from->data;
        uint64_t *own = sfi_cel_vec_of(run, op)->own;
        for (uint32_t k = 0; k < sel.count; k++) {
            uint32_t row = sfi_cel_row_at(sel, k);
            own[row] = source[from->is_uniform ? 0 : row];
        }
        return;
    }
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        sfi_cel_store(run, op, all, row, sfi_cel_result(run, branch, row));
    }
}

#define BLEND(TYPE, X, Y)                           \
    do {                                            \
        __typeof__(TYPE) *out = vec->own;           \
        const __typeof__(TYPE) *x = then_vec->data; \
        const __typeof__(TYPE) *y = else_vec->data; \
        for (uint32_t i = 0; i < count; i++) {      \
            out[i] = cond[i] ? x[X] : y[Y];         \
        }                                           \
    } while (0)

#define BLEND_WIDE(X, Y)                                                     \
    do {                                                                     \
        uint64_t *out = vec->own;                                            \
        const uint64_t *x = then_vec->data;                                  \
        const uint64_t *y = else_vec->data;                                  \
        for (uint32_t i = 0; i < count; i++) {                               \
            out[i] = y[Y] ^ ((x[X] ^ y[Y]) & (uint64_t) - (int64_t)cond[i]); \
        }                                                                    \
    } while (0)

/* Both branches are there and fine: choose without a branch. false: not of such reps. */
static bool blend(struct sfi_cel_run *run, const struct sfi_cel_op *op, const uint8_t *cond,
                  uint32_t count)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const struct sfi_cel_vec *then_vec = sfi_cel_vec_of(run, op->args[1]);
    const struct sfi_cel_vec *else_vec = sfi_cel_vec_of(run, op->args[2]);
    if (op->args[1]->rep != op->rep || op->args[2]->rep != op->rep || then_vec->errors != NULL ||
        else_vec->errors != NULL || op->rep == SFI_CEL_REP_VALUE) {
        return false;
    }
    if (op->rep == SFI_CEL_REP_TEXT) {
        sfi_cel_make_native(run, op->args[1]);
        sfi_cel_make_native(run, op->args[2]);
        uint32_t a = then_vec->is_uniform ? 0 : 1;
        uint32_t b = else_vec->is_uniform ? 0 : 1;
        BLEND(struct sfi_bytes, i * a, i * b);
    } else if (op->rep == SFI_CEL_REP_BOOL) {
        uint32_t a = then_vec->is_uniform ? 0 : 1;
        uint32_t b = else_vec->is_uniform ? 0 : 1;
        BLEND(uint8_t, i * a, i * b);
    } else if (then_vec->is_uniform && else_vec->is_uniform) {
        BLEND_WIDE(0, 0);
    } else if (then_vec->is_uniform) {
        BLEND_WIDE(0, i);
    } else if (else_vec->is_uniform) {
        BLEND_WIDE(i, 0);
    } else {
        BLEND_WIDE(i, i);
    }
    return true;
}

/* Rows of the condition's value `wanted`; errors of the condition become the operation's. */
static struct sfi_cel_sel branch_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                      struct sfi_cel_sel sel, enum side wanted)
{
    struct sfi_cel_sel rest = {NULL, 0};
    const struct sfi_cel_op *cond = op->args[0];
    uint16_t *rows = sel.count == 1 ? NULL : sfi_cel_new_rows(run, sel.count);
    if (sel.count > 1 && rows == NULL) {
        return rest;
    }
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        enum side side = side_at(run, cond, row);
        if (side == SIDE_BAD && wanted == SIDE_TRUE) {
            sfi_cel_store(run, op, sel, row, bad_side(run, op, cond, row));
        }
        if (rows != NULL) {
            rows[rest.count] = (uint16_t)row;
        }
        rest.count += side == wanted;
    }
    rest.rows = rows != NULL ? rows : sel.rows;
    return rest;
}

void sfi_cel_eval_if(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    const struct sfi_cel_op *cond = op->args[0];
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    vec->errors = NULL;
    sfi_cel_eval_op(run, cond, sel);
    if (run->over != NULL) {
        return;
    }
    const uint8_t *bools = plain_bools(run, cond);
    bool dense = sel.rows == NULL && bools != NULL && !sfi_cel_vec_of(run, cond)->is_uniform &&
                 op->args[1]->is_cheap && op->args[2]->is_cheap;
    if (dense) {
        sfi_cel_eval_op(run, op->args[1], sel);
        sfi_cel_eval_op(run, op->args[2], sel);
        if (run->over != NULL || blend(run, op, bools, sel.count)) {
            return;
        }
    }
    for (uint32_t i = 1; i <= 2; i++) {
        struct sfi_cel_sel rows = branch_rows(run, op, sel, i == 1 ? SIDE_TRUE : SIDE_FALSE);
        if (run->over == NULL && rows.count > 0) {
            if (!dense) {
                sfi_cel_eval_op(run, op->args[i], rows);
            }
            if (run->over == NULL) {
                take_rows(run, op, sel, op->args[i], rows);
            }
        }
    }
}
