/*
 * run_loop.c - what has variables of its own: macros over lists and maps, bindings, blocks of
 * common sub-expressions, optMap. Macros evaluate their body for one row and one element at a time;
 * bindings and blocks are evaluated over whole blocks of rows.
 */
#include "cel/program_internal.h"

#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

void sfi_cel_eval_local(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    sfi_cel_vec_of(run, op)->errors = NULL;
    for (uint32_t k = 0; k < sel.count; k++) {
        sfi_cel_store(run, op, sel, sfi_cel_row_at(sel, k), run->locals[op->slot]);
    }
}

/* The vector of a binding or block entry, seen through a name. */
void sfi_cel_eval_alias(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const struct sfi_cel_vec *target = sfi_cel_vec_of(run, op->target);
    if (op->target->eval == sfi_cel_eval_entry) {
        sfi_cel_eval_op(run, op->target, sel);
    }
    vec->data = target->data;
    vec->errors = target->errors;
    vec->offsets = target->offsets;
    vec->per_second = target->per_second;
    vec->form = target->form;
    vec->is_uniform = target->is_uniform;
}

void sfi_cel_eval_bind(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const struct sfi_cel_vec *body = sfi_cel_vec_of(run, op->args[1]);
    vec->errors = NULL;
    sfi_cel_eval_op(run, op->args[0], sel);
    if (run->over == NULL) {
        sfi_cel_eval_op(run, op->args[1], sel);
    }
    vec->data = body->data;
    vec->errors = body->errors;
    vec->offsets = body->offsets;
    vec->per_second = body->per_second;
    vec->form = body->form;
    vec->is_uniform = body->is_uniform;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

void sfi_cel_eval_block(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    uint32_t count = op->arg_count - 1;
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const struct sfi_cel_vec *body = sfi_cel_vec_of(run, op->args[count]);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *done = sfi_cel_vec_of(run, op->args[i])->state;
        for (uint32_t k = 0; k < sel.count; k++) {
            uint32_t row = sfi_cel_row_at(sel, k);
            done[row >> 3] &= (uint8_t) ~(1u << (row & 7));
        }
        sfi_cel_vec_of(run, op->args[i])->errors = NULL;
    }
    sfi_cel_eval_op(run, op->args[count], sel);
    vec->data = body->data;
    vec->errors = body->errors;
    vec->offsets = body->offsets;
    vec->per_second = body->per_second;
    vec->form = body->form;
    vec->is_uniform = body->is_uniform;
}

/* Rows of `sel` at which the entry was not evaluated yet; they are marked. */
static struct sfi_cel_sel rows_to_do(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                     struct sfi_cel_sel sel, uint16_t *rows)
{
    struct sfi_cel_sel todo = {rows != NULL ? rows : sel.rows, 0};
    uint8_t *done = sfi_cel_vec_of(run, op)->state;
    for (uint32_t k = 0; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        bool is_done = (done[row >> 3] >> (row & 7) & 1) != 0;
        if (rows != NULL) {
            rows[todo.count] = (uint16_t)row;
        }
        todo.count += !is_done;
        done[row >> 3] |= (uint8_t)(1u << (row & 7));
    }
    return todo;
}

void sfi_cel_eval_entry(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    struct sfi_cel_sel all = {NULL, run->count};
    uint16_t *rows = sel.count == 1 ? NULL : sfi_cel_new_rows(run, sel.count);
    if (run->over != NULL) {
        return;
    }
    struct sfi_cel_sel todo = rows_to_do(run, op, sel, rows);
    if (todo.count == 0) {
        return;
    }
    if (run->nesting + op->height > 2 * SFI_CEL_MAX_DEPTH) {
        sfi_cel_over(run, op, sfi_cel_fail_steps().error);
        return;
    }
    run->nesting += op->height;
    sfi_cel_eval_op(run, op->target, todo);
    run->nesting -= op->height;
    for (uint32_t k = 0; k < todo.count && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(todo, k);
        sfi_cel_store(run, op, all, row, sfi_cel_result(run, op->target, row));
    }
}

/* ---- macros ---------------------------------------------------------------------------------- */

/* One macro over the range of one row. */
struct walk {
    struct sfi_cel_run *run;
    const struct sfi_cel_op *op;
    uint16_t row;
    struct sfi_cel_value range;
    uint32_t count; /* elements of the range */
    uint32_t at;
};

static bool walk_start(struct walk *walk)
{
    if (walk->range.kind == SFI_CEL_LIST) {
        walk->count = walk->range.list->count;
    } else if (walk->range.kind == SFI_CEL_MAP) {
        walk->count = walk->range.map->count;
    } else {
        return false;
    }
    return true;
}

/* Set the variables to the next element; false: there is none, or no steps are left. */
static bool walk_next(struct walk *walk)
{
    struct sfi_cel_run *run = walk->run;
    const struct sfi_cel_op *op = walk->op;
    struct sfi_cel_value *locals = run->locals + op->loop.local;
    if (run->over != NULL || walk->at == walk->count ||
        !sfi_cel_charge_rows(run, op, (size_t)op->weight * 32)) {
        return false;
    }
    uint32_t at = walk->at++;
    if (walk->range.kind == SFI_CEL_MAP) {
        locals[0] = walk->range.map->entries[at].key;
        if (op->loop.vars == 2) {
            locals[1] = walk->range.map->entries[at].value;
        }
    } else if (op->loop.vars == 2) {
        locals[0] = sfi_cel_int(at);
        locals[1] = walk->range.list->items[at];
    } else {
        locals[0] = walk->range.list->items[at];
    }
    return true;
}

static struct sfi_cel_value walk_eval(struct walk *walk, const struct sfi_cel_op *op)
{
    struct sfi_cel_sel one = {&walk->row, 1};
    sfi_cel_eval_op(walk->run, op, one);
    if (walk->run->over != NULL) {
        return sfi_cel_error_value(walk->run->over);
    }
    return sfi_cel_result(walk->run, op, walk->row);
}

/* The value of a predicate: a bool, or an error value. */
static struct sfi_cel_value walk_test(struct walk *walk, const struct sfi_cel_op *op)
{
    struct sfi_cel_value value = walk_eval(walk, op);
    if (value.kind != SFI_CEL_BOOL && value.kind != SFI_CEL_ERROR) {
        return sfi_cel_fail_overload(&walk->run->frame, "predicate", &value, 1);
    }
    return value;
}

/* all and exists: `decides` ends the walk and absorbs errors. */
static struct sfi_cel_value quantify(struct walk *walk, bool decides)
{
    struct sfi_cel_value result = sfi_cel_bool(!decides);
    while (walk_next(walk)) {
        struct sfi_cel_value test = walk_test(walk, walk->op->loop.body);
        if (test.kind == SFI_CEL_BOOL && test.boolean == decides) {
            return test;
        }
        if (test.kind == SFI_CEL_ERROR && result.kind == SFI_CEL_BOOL) {
            result = test;
        }
    }
    return result;
}

static struct sfi_cel_value exists_one(struct walk *walk)
{
    uint32_t found = 0;
    while (walk_next(walk)) {
        struct sfi_cel_value test = walk_test(walk, walk->op->loop.body);
        if (test.kind == SFI_CEL_ERROR) {
            return test;
        }
        found += test.boolean;
    }
    return sfi_cel_bool(found == 1);
}

/* Whether the filter, if there is one, lets the element through; its error goes to *error. */
static bool passes(struct walk *walk, struct sfi_cel_value *error)
{
    *error = sfi_cel_null();
    if (walk->op->loop.filter == NULL) {
        return true;
    }
    struct sfi_cel_value test = walk_test(walk, walk->op->loop.filter);
    if (test.kind == SFI_CEL_ERROR) {
        *error = test;
        return false;
    }
    return test.boolean;
}

/* map, filter, transformList. */
static struct sfi_cel_value collect_list(struct walk *walk)
{
    bool is_filter = walk->op->loop.loop == SFI_CEL_LOOP_FILTER;
    struct sfi_cel_list *list = sfi_cel_list_new(&walk->run->frame, walk->count);
    if (list == NULL) {
        return sfi_cel_fail_memory();
    }
    list->count = 0;
    while (walk_next(walk)) {
        struct sfi_cel_value element = walk->run->locals[walk->op->loop.local];
        struct sfi_cel_value value;
        if (!passes(walk, &value)) {
            if (value.kind == SFI_CEL_ERROR) {
                return value;
            }
            continue;
        }
        value =
            is_filter ? walk_test(walk, walk->op->loop.body) : walk_eval(walk, walk->op->loop.body);
        if (value.kind == SFI_CEL_ERROR) {
            return value;
        }
        if (!is_filter || value.boolean) {
            list->items[list->count++] = is_filter ? element : value;
        }
    }
    return sfi_cel_list_value(list);
}

/* Entries of a map in the making; grows in the arena by doubling. */
struct entries {
    struct sfi_cel_entry *items;
    size_t count;
    size_t room;
};

static bool add_entry(struct sfi_cel_run *run, struct entries *entries, struct sfi_cel_value key,
                      struct sfi_cel_value value)
{
    if (entries->count == entries->room) {
        size_t room = entries->room * 2 + 8;
        struct sfi_cel_entry *items = sfi_cel_alloc_array(&run->frame.arena, room, sizeof *items);
        if (items == NULL) {
            sfi_cel_over_memory(run);
            return false;
        }
        if (entries->count > 0) {
            memcpy(items, entries->items, entries->count * sizeof *items);
        }
        entries->items = items;
        entries->room = room;
    }
    entries->items[entries->count].key = key;
    entries->items[entries->count++].value = value;
    return true;
}

/* What one element adds to the map: its own key and the body, or the entries of the body. */
static bool add_entries(struct walk *walk, struct entries *entries, struct sfi_cel_value key,
                        struct sfi_cel_value body)
{
    if (walk->op->loop.loop == SFI_CEL_LOOP_TRANSFORM_MAP) {
        return add_entry(walk->run, entries, key, body);
    }
    for (uint32_t i = 0; i < body.map->count; i++) {
        if (!add_entry(walk->run, entries, body.map->entries[i].key, body.map->entries[i].value)) {
            return false;
        }
    }
    return sfi_cel_charge_rows(walk->run, walk->op, (size_t)body.map->count * 32);
}

/* transformMap, transformMapEntry. */
static struct sfi_cel_value collect_map(struct walk *walk)
{
    bool is_map = walk->op->loop.loop == SFI_CEL_LOOP_TRANSFORM_MAP;
    struct entries entries = {NULL, 0, 0};
    while (walk_next(walk)) {
        struct sfi_cel_value key = walk->run->locals[walk->op->loop.local];
        struct sfi_cel_value value;
        if (!passes(walk, &value)) {
            if (value.kind == SFI_CEL_ERROR) {
                return value;
            }
            continue;
        }
        value = walk_eval(walk, walk->op->loop.body);
        if (value.kind == SFI_CEL_ERROR) {
            return value;
        }
        if (!is_map && value.kind != SFI_CEL_MAP) {
            return sfi_cel_fail_overload(&walk->run->frame, "transformMapEntry", &value, 1);
        }
        if (!add_entries(walk, &entries, key, value)) {
            break;
        }
    }
    if (walk->run->over != NULL) {
        return sfi_cel_error_value(walk->run->over);
    }
    return sfi_cel_map_make(&walk->run->frame, entries.items, entries.count);
}

static struct sfi_cel_value loop_value(struct walk *walk)
{
    if (!walk_start(walk)) {
        return sfi_cel_fail_overload(&walk->run->frame, "macro over", &walk->range, 1);
    }
    switch (walk->op->loop.loop) {
    case SFI_CEL_LOOP_ALL:
        return quantify(walk, false);
    case SFI_CEL_LOOP_EXISTS:
        return quantify(walk, true);
    case SFI_CEL_LOOP_EXISTS_ONE:
        return exists_one(walk);
    case SFI_CEL_LOOP_MAP:
    case SFI_CEL_LOOP_FILTER:
    case SFI_CEL_LOOP_TRANSFORM_LIST:
        return collect_list(walk);
    default:
        return collect_map(walk);
    }
}

/* Store without a change of the node that an error already has. */
static void store_loop(struct walk *walk, struct sfi_cel_sel sel, struct sfi_cel_value value)
{
    if (walk->run->over == NULL) {
        sfi_cel_store(walk->run, walk->op, sel, walk->row, value);
    }
}

void sfi_cel_eval_loop(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        struct walk walk = {.run = run, .op = op, .row = (uint16_t)sfi_cel_row_at(sel, k)};
        walk.range = sfi_cel_box(run, op->args[0], walk.row);
        struct sfi_cel_value value = loop_value(&walk);
        store_loop(&walk, sel, value);
    }
}

/* ---- optMap, optFlatMap ---------------------------------------------------------------------- */

static struct sfi_cel_value opt_map_value(struct walk *walk)
{
    const struct sfi_cel_op *op = walk->op;
    if (walk->range.kind != SFI_CEL_OPTIONAL) {
        return sfi_cel_fail_overload(&walk->run->frame, op->loop.is_flat ? "optFlatMap" : "optMap",
                                     &walk->range, 1);
    }
    if (walk->range.optional == NULL) {
        return walk->range;
    }
    walk->run->locals[op->loop.local] = *walk->range.optional;
    struct sfi_cel_value value = walk_eval(walk, op->loop.body);
    if (value.kind == SFI_CEL_ERROR) {
        return value;
    }
    if (!op->loop.is_flat) {
        return sfi_cel_optional_of(&walk->run->frame, value);
    }
    return value.kind == SFI_CEL_OPTIONAL
               ? value
               : sfi_cel_fail_overload(&walk->run->frame, "optFlatMap", &value, 1);
}

void sfi_cel_eval_opt_map(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        struct walk walk = {.run = run, .op = op, .row = (uint16_t)sfi_cel_row_at(sel, k)};
        walk.range = sfi_cel_box(run, op->args[0], walk.row);
        struct sfi_cel_value value = opt_map_value(&walk);
        store_loop(&walk, sel, value);
    }
}
