/*
 * program_call.c - lowering of calls: the operators that evaluate lazily, concatenations, kernels
 * for calls whose overload is certain, and everything else by the table of functions.
 */
#include "cel/program_internal.h"

#include <string.h>

static bool is_name(struct sfi_cel_name name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.text, text, name.size) == 0;
}

/* && || ?: of the language's own. */
static sfi_cel_eval lazy_operator(const struct sfi_cel_node *node)
{
    struct sfi_cel_name name = node->call.function;
    if (node->call.target != NULL || name.size < 4 || name.text[0] != '_') {
        return NULL;
    }
    if (node->call.count == 2 && is_name(name, "_&&_")) {
        return sfi_cel_eval_and;
    }
    if (node->call.count == 2 && is_name(name, "_||_")) {
        return sfi_cel_eval_or;
    }
    return node->call.count == 3 && is_name(name, "_?_:_") ? sfi_cel_eval_if : NULL;
}

static struct sfi_cel_op *lower_lazy(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                     sfi_cel_eval eval)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, eval, node->call.count);
    if (op == NULL) {
        return NULL;
    }
    op->is_cheap = true;
    for (uint32_t i = 0; i < node->call.count; i++) {
        op->args[i] = sfi_cel_lower(low, node->call.args[i]);
        if (op->args[i] == NULL) {
            return NULL;
        }
        op->is_cheap = op->is_cheap && op->args[i]->is_cheap;
    }
    return sfi_cel_finish_op(low, op);
}

/* Whether values of a static type can be given to an overload's parameter without a look. */
static bool is_certain(const struct sfi_cel_type *type, const struct sfi_cel_type *parameter)
{
    if (parameter == NULL || parameter->kind == SFI_CEL_TYPE_DYN ||
        parameter->kind == SFI_CEL_TYPE_PARAM) {
        return parameter != NULL;
    }
    return sfi_cel_type_is_exact(type) && type->kind == parameter->kind;
}

/* Timestamps of columns and constants are some; elsewhere null may stand in for one. */
static bool is_certain_time(const struct sfi_cel_op *arg, const struct sfi_cel_type *parameter)
{
    return parameter != NULL && parameter->kind == SFI_CEL_TYPE_TIMESTAMP &&
           arg->type->kind == SFI_CEL_TYPE_TIMESTAMP &&
           (arg->code == SFI_CEL_OP_COLUMN ||
            (arg->code == SFI_CEL_OP_CONST && arg->constant.kind == SFI_CEL_TIMESTAMP));
}

static void find_direct(struct sfi_cel_op *op)
{
    const struct sfi_cel_overload *overload = op->call.overloads[0];
    op->is_direct = op->call.overload_count == 1 && overload->call != NULL;
    for (uint32_t i = 0; i < op->arg_count && op->is_direct; i++) {
        const struct sfi_cel_op *arg = op->args[i];
        op->is_direct =
            is_certain(arg->type, overload->args[i]) || is_certain_time(arg, overload->args[i]);
    }
}

void sfi_cel_choose_kernel(struct sfi_cel_lowering *low, struct sfi_cel_op *op)
{
    static sfi_cel_eval (*const choosers[])(struct sfi_cel_lowering *, struct sfi_cel_op *,
                                            const char *) = {
        sfi_cel_choose_number, sfi_cel_choose_compare, sfi_cel_choose_divide,
        sfi_cel_choose_hash,   sfi_cel_choose_text,    sfi_cel_choose_member,
        sfi_cel_choose_time,   sfi_cel_choose_convert,
    };
    const char *function = op->call.overloads[0]->function;
    for (size_t i = 0; i < sizeof choosers / sizeof choosers[0]; i++) {
        sfi_cel_eval eval = choosers[i](low, op, function);
        if (eval != NULL) {
            op->eval = eval;
            return;
        }
    }
}

/* A call of nobody's function, or with arguments that no overload has. */
static struct sfi_cel_op *lower_unknown(struct sfi_cel_lowering *low,
                                        const struct sfi_cel_node *node)
{
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_fail, 0);
    if (op != NULL) {
        op->fail.code = SFI_CEL_NO_OVERLOAD;
        op->fail.text = "no such function with these arguments";
        op->lowest = 0;
    }
    return op;
}

static struct sfi_cel_op *lower_strict(struct sfi_cel_lowering *low,
                                       const struct sfi_cel_node *node, uint32_t count)
{
    bool has_target = node->call.target != NULL && !node->is_namespaced;
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_call, count);
    if (op == NULL) {
        return NULL;
    }
    op->code = SFI_CEL_OP_CALL;
    op->call.overloads = node->overloads;
    op->call.overload_count = node->overload_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct sfi_cel_node *arg = !has_target ? node->call.args[i]
                                         : i == 0    ? node->call.target
                                                     : node->call.args[i - 1];
        op->args[i] = sfi_cel_lower(low, arg);
        if (op->args[i] == NULL) {
            return NULL;
        }
    }
    find_direct(op);
    if (op->is_direct && !low->is_plain) {
        sfi_cel_choose_kernel(low, op);
    }
    return sfi_cel_finish_op(low, op);
}

struct sfi_cel_op *sfi_cel_lower_call(struct sfi_cel_lowering *low, const struct sfi_cel_node *node)
{
    sfi_cel_eval lazy = lazy_operator(node);
    uint32_t count =
        node->call.count + (node->call.target != NULL && !node->is_namespaced ? 1u : 0u);
    if (lazy != NULL) {
        return lower_lazy(low, node, lazy);
    }
    if (node->overloads == NULL || node->overload_count == 0 || count > SFI_CEL_ARGS_MAX) {
        return lower_unknown(low, node);
    }
    if (!low->is_plain) {
        struct sfi_cel_op *concat = sfi_cel_lower_concat(low, node);
        if (concat != NULL || low->failed) {
            return concat;
        }
    }
    return lower_strict(low, node, count);
}
