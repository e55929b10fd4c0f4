/*
 * fold.c - constant folding: an operation whose arguments are constants is evaluated once, by the
 * evaluator itself, and becomes its value. An error stays what it was and is met at run time, where
 * && || ?: may absorb it. What folding may cost is bounded for the whole compilation.
 */
#include "cel/program_internal.h"

#define FOLD_STEPS 200000
#define FOLD_BYTES (4u << 20)
/* Larger results would make programs large: they are computed at run time. */
#define FOLDED_BYTES_MAX (256u << 10)

/* Bytes that a copy of a value takes; stops above the maximum (shared parts may be endless). */
static size_t copied_bytes(struct sfi_cel_value value, size_t sum)
{
    if (sum > FOLDED_BYTES_MAX) {
        return sum;
    }
    sum += sizeof value;
    switch (value.kind) {
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return sum + value.size;
    case SFI_CEL_LIST:
        for (uint32_t i = 0; i < value.list->count && sum <= FOLDED_BYTES_MAX; i++) {
            sum = copied_bytes(value.list->items[i], sum);
        }
        return sum;
    case SFI_CEL_MAP:
        for (uint32_t i = 0; i < value.map->count && sum <= FOLDED_BYTES_MAX; i++) {
            sum = copied_bytes(value.map->entries[i].key, sum);
            sum = copied_bytes(value.map->entries[i].value, sum);
        }
        return sum;
    case SFI_CEL_OPTIONAL:
        return value.optional == NULL ? sum : copied_bytes(*value.optional, sum);
    default:
        return sum;
    }
}

/* A run of one row whose vectors are made as operations come; NULL: memory. */
static struct sfi_cel_run *fold_run(struct sfi_cel_lowering *low)
{
    struct sfi_cel_arena *arena = &low->program->arena;
    struct sfi_cel_run *run = low->run;
    if (run == NULL) {
        run = sfi_cel_alloc(arena, sizeof *run);
        if (run == NULL) {
            return NULL;
        }
        memset(run, 0, sizeof *run);
        sfi_cel_arena_init(&run->frame.arena, FOLD_BYTES);
        run->program = low->program;
        run->rows = 1;
        run->count = 1;
        run->vecs = sfi_cel_alloc_array(arena, low->op_room, sizeof *run->vecs);
        run->locals =
            sfi_cel_alloc_array(arena, (size_t)low->program->local_count + 1, sizeof *run->locals);
        if (run->vecs == NULL || run->locals == NULL) {
            return NULL;
        }
        memset(run->vecs, 0, low->op_room * sizeof *run->vecs);
        low->run = run;
        low->fold_steps = FOLD_STEPS;
    }
    return run;
}

/* Vectors of an operation and of all below it. */
static bool prepare(struct sfi_cel_run *run, struct sfi_cel_arena *arena,
                    const struct sfi_cel_op *op)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    bool ok = true;
    if (vec->own != NULL) {
        return true;
    }
    vec->own = sfi_cel_alloc(arena, sizeof(struct sfi_cel_value));
    vec->state = op->state_size > 0 ? sfi_cel_alloc(arena, op->state_size) : NULL;
    if (vec->own == NULL || (op->state_size > 0 && vec->state == NULL)) {
        return false;
    }
    if (vec->state != NULL) {
        memset(vec->state, 0, op->state_size);
    }
    vec->data = vec->own;
    for (uint32_t i = 0; i < op->arg_count && ok; i++) {
        ok = prepare(run, arena, op->args[i]);
    }
    if (ok && (op->eval == sfi_cel_eval_loop || op->eval == sfi_cel_eval_opt_map)) {
        ok = (op->loop.filter == NULL || prepare(run, arena, op->loop.filter)) &&
             prepare(run, arena, op->loop.body);
    }
    if (ok && (op->eval == sfi_cel_eval_alias || op->eval == sfi_cel_eval_entry)) {
        ok = prepare(run, arena, op->target);
    }
    return ok;
}

static bool is_foldable(const struct sfi_cel_op *op)
{
    if (op->lowest != UINT32_MAX || op->code == SFI_CEL_OP_CONST) {
        return false;
    }
    if (op->code == SFI_CEL_OP_SCOPE) {
        return true;
    }
    for (uint32_t i = 0; i < op->arg_count; i++) {
        if (op->args[i]->code != SFI_CEL_OP_CONST) {
            return false;
        }
    }
    return true;
}

static void become_constant(struct sfi_cel_op *op, struct sfi_cel_value value)
{
    op->eval = sfi_cel_eval_const;
    op->code = SFI_CEL_OP_CONST;
    op->constant = value;
    op->arg_count = 0;
    op->state_size = 0;
    op->is_cheap = true;
    op->weight = 1;
    op->height = 1;
}

void sfi_cel_fold(struct sfi_cel_lowering *low, struct sfi_cel_op *op)
{
    struct sfi_cel_sel one = {NULL, 1};
    if (!is_foldable(op) || (low->run != NULL && low->fold_steps < (int64_t)op->weight)) {
        return;
    }
    struct sfi_cel_run *run = fold_run(low);
    if (run == NULL || !prepare(run, &low->program->arena, op)) {
        low->failed = true;
        return;
    }
    run->over = NULL;
    run->stamp++;
    run->frame.steps_left = low->fold_steps - (int64_t)op->weight;
    sfi_cel_eval_op(run, op, one);
    low->fold_steps = run->frame.steps_left;
    if (run->over == NULL && sfi_cel_error_at(run, op, 0) == NULL) {
        struct sfi_cel_value value = sfi_cel_box(run, op, 0);
        if (copied_bytes(value, 0) <= FOLDED_BYTES_MAX) {
            struct sfi_cel_frame copying = {.arena = low->program->arena};
            copying.steps_left = FOLDED_BYTES_MAX;
            value = sfi_cel_copy(&copying, value);
            low->program->arena = copying.arena;
            if (!sfi_cel_is_error(value)) {
                become_constant(op, value);
            }
        }
    }
    sfi_cel_vec_of(run, op)->errors = NULL;
    sfi_cel_arena_reset(&run->frame.arena);
}

void sfi_cel_fold_end(struct sfi_cel_lowering *low)
{
    if (low->run != NULL) {
        sfi_cel_caches_free(&low->run->frame);
        sfi_cel_arena_clear(&low->run->frame.arena);
    }
}
