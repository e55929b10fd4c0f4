/*
 * run.c - runs: memory of one thread for a program, evaluation of blocks and rows, and the errors
 * of rows.
 *
 * The budget of steps and memory is that of one row, charged for the whole block: a block within
 * it has no row beyond it. One that is not is evaluated again in halves, down to one row, so that
 * a row fails in a block exactly when it fails alone. After such a row the rest of the block is
 * not evaluated; its rows carry the same error.
 */
#include "cel/program_internal.h"

#include "base/memory.h"

#include <string.h>

/* All vectors of a run: programs with very many operations get smaller blocks. */
#define VECTORS_BYTES (8u << 20)

/* ---- errors ---------------------------------------------------------------------------------- */

const struct sfi_cel_error **sfi_cel_errors(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                            struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    if (vec->errors != NULL) {
        return vec->errors;
    }
    if (vec->error_stamp != run->stamp || vec->error_room == NULL) {
        vec->error_room = sfi_cel_alloc_array(&run->frame.arena, run->rows, sizeof(void *));
        vec->error_stamp = run->stamp;
        if (vec->error_room == NULL) {
            sfi_cel_over_memory(run);
            return NULL;
        }
    }
    vec->errors = vec->error_room;
    for (uint32_t k = 0; k < sel.count; k++) {
        vec->errors[sfi_cel_row_at(sel, k)] = NULL;
    }
    return vec->errors;
}

void sfi_cel_over(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                  const struct sfi_cel_error *error)
{
    if (run->over == NULL) {
        struct sfi_cel_error *named = sfi_cel_alloc(&run->frame.arena, sizeof *named);
        run->over = error;
        if (named != NULL && error->node == UINT32_MAX) {
            *named = *error;
            named->node = op->node;
            run->over = named;
        }
    }
}

void sfi_cel_over_memory(struct sfi_cel_run *run)
{
    if (run->over == NULL) {
        run->over = sfi_cel_fail_memory().error;
    }
}

bool sfi_cel_charge_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op, size_t bytes)
{
    if (!sfi_cel_charge(&run->frame, bytes)) {
        sfi_cel_over(run, op, sfi_cel_fail_steps().error);
        return false;
    }
    return true;
}

uint16_t *sfi_cel_new_rows(struct sfi_cel_run *run, size_t count)
{
    uint16_t *rows = sfi_cel_alloc_array(&run->frame.arena, count, sizeof *rows);
    if (rows == NULL) {
        sfi_cel_over_memory(run);
    }
    return rows;
}

void sfi_cel_store_error(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel, uint32_t row, const struct sfi_cel_error *error)
{
    if (error->code == SFI_CEL_OVER_LIMIT) {
        sfi_cel_over(run, op, error);
        return;
    }
    const struct sfi_cel_error **errors = sfi_cel_errors(run, op, sel);
    if (errors == NULL) {
        return;
    }
    if (error->node == UINT32_MAX) {
        struct sfi_cel_error *named = sfi_cel_alloc(&run->frame.arena, sizeof *named);
        if (named == NULL) {
            sfi_cel_over_memory(run);
            return;
        }
        *named = *error;
        named->node = op->node;
        error = named;
    }
    errors[row] = error;
}

bool sfi_cel_merge_errors(struct sfi_cel_run *run, const struct sfi_cel_op *op, size_t arg_count,
                          struct sfi_cel_sel *sel)
{
    bool any = false;
    for (size_t i = 0; i < arg_count; i++) {
        any = any || sfi_cel_vec_of(run, op->args[i])->errors != NULL;
    }
    if (run->over != NULL || !any) {
        return run->over == NULL && sel->count > 0;
    }
    const struct sfi_cel_error **errors = sfi_cel_errors(run, op, *sel);
    uint16_t *rows = sel->count == 1 ? NULL : sfi_cel_new_rows(run, sel->count);
    uint32_t count = 0;
    if (errors == NULL || (sel->count > 1 && rows == NULL)) {
        return false;
    }
    for (uint32_t k = 0; k < sel->count; k++) {
        uint32_t row = sfi_cel_row_at(*sel, k);
        for (size_t i = 0; i < arg_count && errors[row] == NULL; i++) {
            errors[row] = sfi_cel_error_at(run, op->args[i], row);
        }
        if (errors[row] == NULL && rows != NULL) {
            rows[count] = (uint16_t)row;
        }
        count += errors[row] == NULL;
    }
    if (rows != NULL) {
        *sel = (struct sfi_cel_sel){rows, count};
    } else {
        sel->count = count;
    }
    return count > 0;
}

bool sfi_cel_eval_args(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel *sel)
{
    bool any = false;
    for (uint32_t i = 0; i < op->arg_count; i++) {
        const struct sfi_cel_op *arg = op->args[i];
        sfi_cel_eval_op(run, arg, *sel);
        any = any || sfi_cel_vec_of(run, arg)->errors != NULL;
    }
    sfi_cel_vec_of(run, op)->errors = NULL;
    if (!any && run->over == NULL) {
        return true;
    }
    return sfi_cel_merge_errors(run, op, op->arg_count, sel);
}

/* ---- values ---------------------------------------------------------------------------------- */

struct sfi_cel_value sfi_cel_box(struct sfi_cel_run *run, const struct sfi_cel_op *op, uint32_t row)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    if (vec->form != SFI_CEL_FORM_NATIVE) {
        sfi_cel_make_native(run, op);
    }
    uint32_t at = vec->is_uniform ? 0 : row;
    switch (op->rep) {
    case SFI_CEL_REP_BOOL:
        return sfi_cel_bool(((const uint8_t *)vec->data)[at] != 0);
    case SFI_CEL_REP_INT:
        return sfi_cel_int(((const int64_t *)vec->data)[at]);
    case SFI_CEL_REP_UINT:
        return sfi_cel_uint(((const uint64_t *)vec->data)[at]);
    case SFI_CEL_REP_DOUBLE:
        return sfi_cel_double(((const double *)vec->data)[at]);
    case SFI_CEL_REP_TEXT: {
        struct sfi_bytes text = ((const struct sfi_bytes *)vec->data)[at];
        struct sfi_cel_value value = sfi_cel_string((const char *)text.data, (uint32_t)text.size);
        value.kind = op->kind;
        return value;
    }
    default:
        return ((const struct sfi_cel_value *)vec->data)[at];
    }
}

struct sfi_cel_value sfi_cel_result(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                    uint32_t row)
{
    const struct sfi_cel_error *error = sfi_cel_error_at(run, op, row);
    return error != NULL ? sfi_cel_error_value(error) : sfi_cel_box(run, op, row);
}

/* What a value must be to fit a rep; TEXT: see the operation's kind. */
static bool fits(const struct sfi_cel_op *op, struct sfi_cel_value value)
{
    static const uint8_t kinds[] = {
        [SFI_CEL_REP_BOOL] = SFI_CEL_BOOL,
        [SFI_CEL_REP_INT] = SFI_CEL_INT,
        [SFI_CEL_REP_UINT] = SFI_CEL_UINT,
        [SFI_CEL_REP_DOUBLE] = SFI_CEL_DOUBLE,
    };
    return op->rep == SFI_CEL_REP_VALUE ||
           value.kind == (op->rep == SFI_CEL_REP_TEXT ? op->kind : kinds[op->rep]);
}

void sfi_cel_store(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel,
                   uint32_t row, struct sfi_cel_value value)
{
    void *own = sfi_cel_vec_of(run, op)->own;
    if (value.kind == SFI_CEL_ERROR) {
        sfi_cel_store_error(run, op, sel, row, value.error);
        return;
    }
    if (!fits(op, value)) {
        value = sfi_cel_fail_overload(&run->frame, "value of another type", &value, 1);
        sfi_cel_store_error(run, op, sel, row, value.error);
        return;
    }
    switch (op->rep) {
    case SFI_CEL_REP_BOOL:
        ((uint8_t *)own)[row] = value.boolean;
        break;
    case SFI_CEL_REP_INT:
    case SFI_CEL_REP_UINT:
    case SFI_CEL_REP_DOUBLE:
        ((uint64_t *)own)[row] = value.u64;
        break;
    case SFI_CEL_REP_TEXT: {
        struct sfi_bytes text = {(const uint8_t *)value.text, value.size};
        ((struct sfi_bytes *)own)[row] = text;
        break;
    }
    default:
        ((struct sfi_cel_value *)own)[row] = value;
        break;
    }
}

void sfi_cel_eval_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    if (!vec->is_uniform) {
        vec->is_uniform = true;
        vec->data = vec->own;
        vec->form = SFI_CEL_FORM_NATIVE;
        sfi_cel_store(run, op, sel, 0, op->constant);
    }
}

void sfi_cel_eval_fail(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    struct sfi_cel_value error = sfi_cel_fail(&run->frame, op->fail.code, "%s", op->fail.text);
    sfi_cel_vec_of(run, op)->errors = NULL;
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        sfi_cel_store_error(run, op, sel, sfi_cel_row_at(sel, k), error.error);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Deal out the room: 16 bytes to constants, an array of rows to all others. */
static void place_vectors(struct sfi_cel_run *run)
{
    const struct sfi_cel_program *program = run->program;
    char *at = run->room;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const struct sfi_cel_op *op = program->ops[i];
        struct sfi_cel_vec *vec = &run->vecs[i];
        size_t size = op->code == SFI_CEL_OP_CONST ? sizeof(struct sfi_cel_value)
                                                   : sfi_cel_rep_size(op->rep) * run->rows;
        vec->own = at;
        vec->data = at;
        at += (size + 15u) & ~(size_t)15u;
        if (op->state_size > 0) {
            vec->state = at;
            at += (op->state_size + 15u) & ~(size_t)15u;
        }
    }
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i]->code == SFI_CEL_OP_CONST) {
            sfi_cel_eval_const(run, program->ops[i], (struct sfi_cel_sel){NULL, 1});
        }
    }
}

shardy_status sfi_cel_run_new(const struct sfi_cel_program *program, size_t rows,
                              struct sfi_cel_run **run, shardy_error *err)
{
    struct sfi_cel_run *made = sfi_calloc(1, sizeof *made);
    size_t most = VECTORS_BYTES / (program->row_bytes + 1);
    *run = NULL;
    if (made == NULL) {
        return sfi_fail_memory(err, sizeof *made);
    }
    rows = rows > SFI_CEL_BLOCK_ROWS ? SFI_CEL_BLOCK_ROWS : rows;
    rows = rows > most ? most : rows;
    made->program = program;
    made->rows = rows == 0 ? 1 : (uint32_t)rows;
    made->piece = made->rows;
    sfi_cel_arena_init(&made->frame.arena, SFI_CEL_EVAL_BYTES);
    made->vecs = sfi_calloc((size_t)program->op_count + 1, sizeof *made->vecs);
    made->locals = sfi_calloc((size_t)program->local_count + 1, sizeof *made->locals);
    made->room = sfi_calloc(1, program->row_bytes * made->rows + program->state_bytes +
                                   (size_t)program->op_count * 32);
    if (made->vecs == NULL || made->locals == NULL || made->room == NULL) {
        sfi_cel_run_free(made);
        return sfi_fail_memory(err, program->row_bytes * rows);
    }
    place_vectors(made);
    *run = made;
    return SHARDY_OK;
}

void sfi_cel_run_free(struct sfi_cel_run *run)
{
    if (run != NULL) {
        sfi_cel_caches_free(&run->frame);
        sfi_cel_arena_clear(&run->frame.arena);
        sfi_free(run->vecs);
        sfi_free(run->locals);
        sfi_free(run->room);
        sfi_free(run);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void evaluate(struct sfi_cel_run *run, size_t first, uint32_t count)
{
    const struct sfi_cel_op *root = run->program->root;
    struct sfi_cel_sel all = {NULL, count};
    sfi_cel_arena_reset(&run->frame.arena);
    run->first = first;
    run->count = count;
    run->stamp++;
    run->over = NULL;
    run->nesting = 0;
    run->frame.steps_left = SFI_CEL_MAX_STEPS;
    sfi_cel_eval_op(run, root, all);
    if (run->over == NULL) {
        sfi_cel_make_native(run, root);
    }
}

shardy_status sfi_cel_run_block(struct sfi_cel_run *run, const struct sfi_cel_column *columns,
                                size_t first, size_t *count, struct sfi_cel_block *block,
                                shardy_error *err)
{
    const struct sfi_cel_op *root = run->program->root;
    const struct sfi_cel_vec *vec = sfi_cel_vec_of(run, root);
    uint32_t rows;
    run->columns = columns;
    run->row = NULL;
    block->rep = root->rep;
    block->kind = root->kind;
    if (*count > run->piece) { /* fewer did not fit some time ago: try more again */
        run->piece = run->piece * 2 < run->rows ? run->piece * 2 : run->rows;
    }
    rows = *count < run->piece ? (uint32_t)*count : run->piece;
    evaluate(run, first, rows);
    while (run->over != NULL && rows > 1 && !run->frame.arena.no_memory) {
        rows /= 2;
        run->piece = rows;
        evaluate(run, first, rows);
    }
    if (run->over != NULL && run->frame.arena.no_memory) {
        return sfi_fail_memory(err, run->frame.arena.used);
    }
    *count = rows;
    block->data = vec->data;
    block->errors = run->over != NULL ? &run->over : vec->errors;
    block->is_uniform = vec->is_uniform;
    return SHARDY_OK;
}

struct sfi_cel_value sfi_cel_run_row(struct sfi_cel_run *run, const struct sfi_cel_value *variables)
{
    run->columns = NULL;
    run->row = variables;
    evaluate(run, 0, 1);
    if (run->over != NULL) {
        return sfi_cel_error_value(run->over);
    }
    return sfi_cel_result(run, run->program->root, 0);
}

struct sfi_cel_value sfi_cel_block_value(const struct sfi_cel_block *block, size_t row)
{
    size_t at = block->is_uniform ? 0 : row;
    if (block->errors != NULL && block->errors[row] != NULL) {
        return sfi_cel_error_value(block->errors[row]);
    }
    switch (block->rep) {
    case SFI_CEL_REP_BOOL:
        return sfi_cel_bool(((const uint8_t *)block->data)[at] != 0);
    case SFI_CEL_REP_INT:
        return sfi_cel_int(((const int64_t *)block->data)[at]);
    case SFI_CEL_REP_UINT:
        return sfi_cel_uint(((const uint64_t *)block->data)[at]);
    case SFI_CEL_REP_DOUBLE:
        return sfi_cel_double(((const double *)block->data)[at]);
    case SFI_CEL_REP_TEXT: {
        struct sfi_bytes text = ((const struct sfi_bytes *)block->data)[at];
        struct sfi_cel_value value = sfi_cel_string((const char *)text.data, (uint32_t)text.size);
        value.kind = (uint8_t)block->kind;
        return value;
    }
    default:
        return ((const struct sfi_cel_value *)block->data)[at];
    }
}
