/*
 * check_calls.c - which overloads of a function remain for operands of certain types.
 *
 * Every overload that the operands suit remains: with operands of type dyn that may be several, of
 * which the evaluator picks one. The result has the type that they agree on, or dyn.
 */
#include "cel/check_internal.h"

/* No function has more overloads (checked by test_cel_check). */
#define OVERLOADS_MAX 64u

struct call {
    const struct sfi_cel_overload *remaining[OVERLOADS_MAX];
    uint32_t count;
    const struct sfi_cel_type *result; /* NULL: no overload for the checker remains */
    bool is_method;
    bool is_exact;   /* no operand can have another kind than its type says */
    bool is_settled; /* nor anything inside it: the first overload that suits takes them all */
    struct sfi_cel_operands operands;
};

static bool has_shape(const struct call *call, const struct sfi_cel_overload *overload)
{
    size_t count = call->operands.count;
    return ((overload->flags & SFI_CEL_METHOD) != 0) == call->is_method &&
           (count == 0 || overload->args[count - 1] != NULL) &&
           (count == SFI_CEL_ARGS_MAX || overload->args[count] == NULL);
}

/* What most overloads fail by, without making types. */
static bool may_suit(enum sfi_cel_type_kind actual, enum sfi_cel_type_kind target)
{
    return actual == target || target == SFI_CEL_TYPE_PARAM || target == SFI_CEL_TYPE_DYN ||
           actual == SFI_CEL_TYPE_PARAM || actual == SFI_CEL_TYPE_DYN ||
           actual == SFI_CEL_TYPE_NULL || actual == SFI_CEL_TYPE_WRAPPER ||
           target == SFI_CEL_TYPE_WRAPPER || target == SFI_CEL_TYPE_NULL;
}

static bool kinds_may_suit(struct sfi_cel_checker *c, const struct call *call,
                           const struct sfi_cel_overload *overload)
{
    for (size_t i = 0; i < call->operands.count; i++) {
        const struct sfi_cel_type *actual = sfi_cel_known(c, call->operands.type[i]);
        if (!may_suit(actual->kind, overload->args[i]->kind)) {
            return false;
        }
    }
    return true;
}

static void try_overload(struct sfi_cel_checker *c, struct call *call,
                         const struct sfi_cel_overload *overload)
{
    const struct sfi_cel_type *fresh[SFI_CEL_SIG_PARAMS] = {NULL, NULL, NULL};
    const struct sfi_cel_type *targets[SFI_CEL_ARGS_MAX];
    uint32_t mark = c->undo_count;
    for (size_t i = 0; i < call->operands.count; i++) {
        targets[i] = sfi_cel_instance(c, overload->args[i], fresh);
    }
    if (!sfi_cel_suits_all(c, call->operands.type, targets, call->operands.count)) {
        return;
    }
    call->remaining[call->count++] = overload;
    if ((overload->flags & SFI_CEL_RUNTIME) != 0) {
        sfi_cel_check_undo(c, mark);
        return;
    }
    const struct sfi_cel_type *result = sfi_cel_instance(c, overload->result, fresh);
    if (call->result == NULL) {
        call->result = result;
    } else if (!sfi_cel_same(c, call->result, result)) {
        call->result = &sfi_cel_type_dyn;
    }
}

static void gather(struct sfi_cel_checker *c, const struct sfi_cel_node *node, struct call *call)
{
    struct sfi_cel_operands *all = &call->operands;
    call->is_method = node->call.target != NULL && !node->is_namespaced;
    call->is_exact = call->is_settled = true;
    if (call->is_method) {
        all->node[all->count++] = node->call.target;
    }
    for (uint32_t i = 0; i < node->call.count && all->count < SFI_CEL_ARGS_MAX; i++) {
        all->node[all->count++] = node->call.args[i];
    }
    for (size_t i = 0; i < all->count; i++) {
        all->type[i] = all->node[i]->type;
        call->is_exact = call->is_exact && sfi_cel_type_is_exact(sfi_cel_known(c, all->type[i]));
        call->is_settled =
            call->is_exact && call->is_settled && sfi_cel_is_settled(c, all->type[i]);
    }
}

static bool keep_remaining(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                           const struct call *call)
{
    node->overloads = NULL;
    node->overload_count = call->count;
    if (call->count == 0) {
        return true;
    }
    const struct sfi_cel_overload **kept =
        sfi_cel_check_alloc(c, call->count * sizeof(const struct sfi_cel_overload *));
    if (kept == NULL) {
        return false;
    }
    memcpy((void *)kept, call->remaining, call->count * sizeof(const struct sfi_cel_overload *));
    node->overloads = kept;
    return true;
}

shardy_status sfi_cel_check_call(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                                 const struct sfi_cel_overload *overloads, size_t count)
{
    struct call call;
    call.count = 0;
    call.result = NULL;
    call.operands.count = 0;
    gather(c, node, &call);
    size_t wanted = node->call.count + (call.is_method ? 1u : 0u);
    for (size_t i = 0; i < count && i < OVERLOADS_MAX && wanted <= SFI_CEL_ARGS_MAX; i++) {
        const struct sfi_cel_overload *overload = &overloads[i];
        if (!has_shape(&call, overload)) {
            continue;
        }
        if (c->env->unchecked) {
            call.remaining[call.count++] = overload;
            continue;
        }
        bool is_runtime = (overload->flags & SFI_CEL_RUNTIME) != 0;
        if ((!is_runtime || !call.is_exact) && kinds_may_suit(c, &call, overload)) {
            try_overload(c, &call, overload);
            if (call.is_settled && call.count > 0) {
                break;
            }
        }
    }
    if (c->env->unchecked) {
        call.result = &sfi_cel_type_dyn;
    }
    if (!keep_remaining(c, node, &call) || c->is_failed) {
        return sfi_cel_check_broken(c);
    }
    if (call.result == NULL) {
        return sfi_cel_fail_operands(c, node, &call.operands, overloads, count);
    }
    sfi_cel_set_type(c, node, call.result);
    return SHARDY_OK;
}
