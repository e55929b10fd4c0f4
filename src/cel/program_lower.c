/*
 * program_lower.c - from the checked tree to operations: one function for each kind of node.
 * Recursion is bounded by the parser's limit of nesting. Calls are in program_call.c.
 */
#include "cel/program_internal.h"

#include <string.h>

#define NO_SLOT UINT32_MAX

struct sfi_cel_op *sfi_cel_new_op(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                  sfi_cel_eval eval, size_t arg_count)
{
    struct sfi_cel_arena *arena = &low->program->arena;
    struct sfi_cel_op *op = sfi_cel_alloc(arena, sizeof *op);
    struct sfi_cel_op **args = NULL;
    if (op != NULL && arg_count > 0) {
        args = sfi_cel_alloc_array(arena, arg_count, sizeof(struct sfi_cel_op *));
    }
    if (op == NULL || (arg_count > 0 && args == NULL)) {
        low->failed = true;
        return NULL;
    }
    memset(op, 0, sizeof *op);
    op->eval = eval;
    op->code = SFI_CEL_OP_OTHER;
    op->index = low->op_count++;
    op->node = node->id;
    op->args = args;
    op->arg_count = (uint32_t)arg_count;
    op->type = node->type != NULL ? node->type : &sfi_cel_type_dyn;
    op->rep = (uint8_t)(low->is_plain ? SFI_CEL_REP_VALUE : sfi_cel_rep_of(op->type));
    op->kind = op->type->kind == SFI_CEL_TYPE_BYTES ? SFI_CEL_BYTES : SFI_CEL_STRING;
    op->weight = 1;
    op->height = 1;
    op->lowest = NO_SLOT;
    return op;
}

struct sfi_cel_op *sfi_cel_new_const(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                     struct sfi_cel_value value)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_const, 0);
    if (op != NULL) {
        op->code = SFI_CEL_OP_CONST;
        op->constant = value;
        op->is_cheap = true;
        if (!sfi_cel_value_fits(value, op->type)) {
            op->rep = SFI_CEL_REP_VALUE;
        }
    }
    return op;
}

/* An operation that always fails: names and functions that nobody knows. */
static struct sfi_cel_op *lower_fail(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                     enum sfi_cel_code code, const char *text)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_fail, 0);
    if (op != NULL) {
        op->fail.code = code;
        op->fail.text = text;
        op->lowest = 0;
    }
    return op;
}

static void count_argument(struct sfi_cel_op *op, const struct sfi_cel_op *arg)
{
    uint32_t weight = op->weight + arg->weight;
    op->weight = weight < op->weight ? UINT32_MAX : weight;
    op->height = arg->height >= op->height ? arg->height + 1 : op->height;
    op->lowest = arg->lowest < op->lowest ? arg->lowest : op->lowest;
}

static void count_arguments(struct sfi_cel_op *op)
{
    for (uint32_t i = 0; i < op->arg_count; i++) {
        count_argument(op, op->args[i]);
    }
}

static struct sfi_cel_op *fold(struct sfi_cel_lowering *low, struct sfi_cel_op *op)
{
    if (!low->is_plain && !low->failed) {
        sfi_cel_fold(low, op);
    }
    return op;
}

struct sfi_cel_op *sfi_cel_finish_op(struct sfi_cel_lowering *low, struct sfi_cel_op *op)
{
    count_arguments(op);
    return fold(low, op);
}

/* A scope's own slots, and all that were made inside of it, are not free outside. */
static struct sfi_cel_op *finish_scope(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                       uint32_t local)
{
    op->code = SFI_CEL_OP_SCOPE;
    count_arguments(op);
    if (op->lowest > local) {
        op->lowest = NO_SLOT;
    }
    return fold(low, op);
}

static struct sfi_cel_op *lower_column(struct sfi_cel_lowering *low,
                                       const struct sfi_cel_node *node)
{
    uint32_t index = node->index;
    if (index >= low->env->variable_count) {
        return lower_fail(low, node, SFI_CEL_MISSING, "undeclared variable");
    }
    low->program->reads[index] = true;
    if (low->columns[index] != NULL) {
        return low->columns[index];
    }
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_column, 0);
    if (op != NULL) {
        op->code = SFI_CEL_OP_COLUMN;
        op->column = index;
        op->is_cheap = true;
        op->lowest = 0;
        low->columns[index] = op;
    }
    return op;
}

static struct sfi_cel_op *lower_local(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    struct sfi_cel_op *target = low->locals[node->index];
    if (target != NULL && target->code == SFI_CEL_OP_CONST) {
        return sfi_cel_new_const(low, node, target->constant);
    }
    struct sfi_cel_op *op =
        sfi_cel_new_op(low, node, target != NULL ? sfi_cel_eval_alias : sfi_cel_eval_local, 0);
    if (op == NULL) {
        return NULL;
    }
    op->lowest = node->index + 1;
    if (target == NULL) {
        op->slot = node->index;
        return op;
    }
    op->target = target;
    op->rep = target->rep;
    op->kind = target->kind;
    return op;
}

/* A name, or a chain of selections that is one. */
static struct sfi_cel_op *lower_reference(struct sfi_cel_lowering *low,
                                          const struct sfi_cel_node *node)
{
    switch (node->reference) {
    case SFI_CEL_REF_VARIABLE:
        return lower_column(low, node);
    case SFI_CEL_REF_LOCAL:
        return lower_local(low, node);
    case SFI_CEL_REF_VALUE:
        return sfi_cel_new_const(low, node, node->resolved);
    default:
        return lower_fail(low, node, SFI_CEL_MISSING, "undeclared reference");
    }
}

/* Lower `node` as argument `i` of `op`; false: memory. */
static bool lower_argument(struct sfi_cel_lowering *low, struct sfi_cel_op *op, uint32_t i,
                           const struct sfi_cel_node *node)
{
    op->args[i] = sfi_cel_lower(low, node);
    return op->args[i] != NULL;
}

static struct sfi_cel_op *lower_select(struct sfi_cel_lowering *low,
                                       const struct sfi_cel_node *node)
{
    if (node->reference != SFI_CEL_REF_NONE) {
        return lower_reference(low, node);
    }
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_select, 1);
    if (op == NULL || !lower_argument(low, op, 0, node->select.operand)) {
        return NULL;
    }
    op->code = SFI_CEL_OP_CALL;
    op->select.key = sfi_cel_string(node->select.field.text, node->select.field.size);
    op->select.is_test = node->select.is_test;
    op->select.is_optional = node->select.is_optional;
    return sfi_cel_finish_op(low, op);
}

/* Elements of a list, a map (key, value, key, ...) or a message. */
static struct sfi_cel_op *lower_elements(struct sfi_cel_lowering *low,
                                         const struct sfi_cel_node *node, sfi_cel_eval eval,
                                         const struct sfi_cel_element *elements, uint32_t count,
                                         uint32_t stride)
{
    struct sfi_cel_arena *arena = &low->program->arena;
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, eval, (size_t)count * stride);
    bool any = false;
    if (op == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (stride == 2 && !lower_argument(low, op, 2 * i, elements[i].key)) {
            return NULL;
        }
        if (!lower_argument(low, op, stride * i + stride - 1, elements[i].value)) {
            return NULL;
        }
        any = any || elements[i].optional;
    }
    op->code = SFI_CEL_OP_CALL;
    if (any) {
        bool *optional = sfi_cel_alloc_array(arena, count, sizeof *optional);
        if (optional == NULL) {
            low->failed = true;
            return NULL;
        }
        for (uint32_t i = 0; i < count; i++) {
            optional[i] = elements[i].optional;
        }
        op->list.optional = optional;
    }
    return op;
}

static struct sfi_cel_op *lower_list(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    bool is_map = node->kind == SFI_CEL_NODE_MAP;
    struct sfi_cel_op *op = lower_elements(low, node, is_map ? sfi_cel_eval_map : sfi_cel_eval_list,
                                           node->list.elements, node->list.count, is_map ? 2 : 1);
    return op == NULL ? NULL : sfi_cel_finish_op(low, op);
}

static struct sfi_cel_op *lower_message(struct sfi_cel_lowering *low,
                                        const struct sfi_cel_node *node)
{
    uint32_t count = node->message.count;
    struct sfi_cel_name *fields = sfi_cel_alloc_array(&low->program->arena, count, sizeof *fields);
    if (fields == NULL) {
        low->failed = true;
        return NULL;
    }
    if (node->reference != SFI_CEL_REF_VALUE || node->resolved.kind != SFI_CEL_TYPE) {
        return lower_fail(low, node, SFI_CEL_NO_OVERLOAD, "unknown message type");
    }
    struct sfi_cel_op *op =
        lower_elements(low, node, sfi_cel_eval_message, node->message.elements, count, 1);
    if (op == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = node->message.elements[i].field;
    }
    op->list.fields = fields;
    op->list.message = node->resolved.type;
    return sfi_cel_finish_op(low, op);
}

static struct sfi_cel_op *lower_loop(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_loop, 1);
    if (op == NULL || !lower_argument(low, op, 0, node->loop.range)) {
        return NULL;
    }
    op->loop.loop = node->loop.loop;
    op->loop.vars = node->loop.var[1].text != NULL ? 2 : 1;
    op->loop.local = node->loop.local;
    if (node->loop.filter != NULL) {
        op->loop.filter = sfi_cel_lower(low, node->loop.filter);
    }
    op->loop.body = sfi_cel_lower(low, node->loop.body);
    if (low->failed) {
        return NULL;
    }
    if (op->loop.filter != NULL) {
        count_argument(op, op->loop.filter);
    }
    count_argument(op, op->loop.body);
    return finish_scope(low, op, node->loop.local);
}

static struct sfi_cel_op *lower_opt_map(struct sfi_cel_lowering *low,
                                        const struct sfi_cel_node *node)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_opt_map, 1);
    if (op == NULL || !lower_argument(low, op, 0, node->opt_map.target)) {
        return NULL;
    }
    op->loop.local = node->opt_map.local;
    op->loop.is_flat = node->opt_map.is_flat;
    op->loop.body = sfi_cel_lower(low, node->opt_map.body);
    if (op->loop.body == NULL) {
        return NULL;
    }
    count_argument(op, op->loop.body);
    return finish_scope(low, op, node->opt_map.local);
}

/* A binding is its value and then its body over the same rows: no copy, no loop. */
static struct sfi_cel_op *lower_bind(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_bind, 2);
    if (op == NULL || !lower_argument(low, op, 0, node->bind.init)) {
        return NULL;
    }
    low->locals[node->bind.local] = op->args[0];
    if (!lower_argument(low, op, 1, node->bind.body)) {
        return NULL;
    }
    op->rep = op->args[1]->rep;
    op->kind = op->args[1]->kind;
    return finish_scope(low, op, node->bind.local);
}

/* Entries are operations of their own that are evaluated when a name asks, once for a row. */
static struct sfi_cel_op *lower_block(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    uint32_t count = node->block.count;
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_block, (size_t)count + 1);
    if (op == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sfi_cel_op *value = sfi_cel_lower(low, node->block.entries[i]);
        struct sfi_cel_op *entry =
            value == NULL ? NULL
                          : sfi_cel_new_op(low, node->block.entries[i], sfi_cel_eval_entry, 0);
        if (entry == NULL) {
            return NULL;
        }
        entry->target = value;
        entry->rep = value->rep;
        entry->kind = value->kind;
        entry->state_size = SFI_CEL_BLOCK_ROWS / 8;
        count_argument(entry, value);
        op->args[i] = entry;
        low->locals[node->block.local + i] = value->code == SFI_CEL_OP_CONST ? value : entry;
    }
    if (!lower_argument(low, op, count, node->block.body)) {
        return NULL;
    }
    op->rep = op->args[count]->rep;
    op->kind = op->args[count]->kind;
    return finish_scope(low, op, node->block.local);
}

struct sfi_cel_op *sfi_cel_lower(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    low->program->nodes[node->id] = node;
    switch (node->kind) {
    case SFI_CEL_NODE_CONST:
        return sfi_cel_new_const(low, node, node->constant);
    case SFI_CEL_NODE_IDENT:
        return lower_reference(low, node);
    case SFI_CEL_NODE_SELECT:
        return lower_select(low, node);
    case SFI_CEL_NODE_CALL:
        return sfi_cel_lower_call(low, node);
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        return lower_list(low, node);
    case SFI_CEL_NODE_MESSAGE:
        return lower_message(low, node);
    case SFI_CEL_NODE_LOOP:
        return lower_loop(low, node);
    case SFI_CEL_NODE_BIND:
        return lower_bind(low, node);
    case SFI_CEL_NODE_BLOCK:
        return lower_block(low, node);
    case SFI_CEL_NODE_OPT_MAP:
        return lower_opt_map(low, node);
    }
    return lower_fail(low, node, SFI_CEL_NO_OVERLOAD, "unknown node");
}
