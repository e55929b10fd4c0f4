/*
 * check_scope.c - expressions that give names to values: loops of macros, cel.bind, cel.block,
 * optMap. Each has slots of its own, so that an evaluator is free to choose when it fills them.
 */
#include "cel/check_internal.h"

/* Visit `node` where one more name is known. */
static shardy_status visit_with(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                                struct sfi_cel_name name, const struct sfi_cel_type *type,
                                uint32_t local)
{
    const struct sfi_cel_scope *outer = c->scope;
    struct sfi_cel_scope scope = {.outer = outer, .name = name, .type = type, .local = local};
    c->scope = &scope;
    shardy_status st = sfi_cel_visit(c, node);
    c->scope = outer;
    return st;
}

/* What the two variables of a loop over a range are: index or key, and element or value. */
struct range {
    const struct sfi_cel_type *key;
    const struct sfi_cel_type *value;
    const struct sfi_cel_type *only; /* of a loop with one variable */
};

static shardy_status range_of(struct sfi_cel_checker *c, const struct sfi_cel_node *node,
                              struct range *range)
{
    const struct sfi_cel_type *type = sfi_cel_known(c, node->type);
    char text[SFI_CEL_TYPE_TEXT];
    switch (type->kind) {
    case SFI_CEL_TYPE_LIST:
        *range = (struct range){&sfi_cel_type_int, type->param[0], type->param[0]};
        return SHARDY_OK;
    case SFI_CEL_TYPE_MAP:
        *range = (struct range){type->param[0], type->param[1], type->param[0]};
        return SHARDY_OK;
    case SFI_CEL_TYPE_PARAM:
        (void)sfi_cel_suits(c, &sfi_cel_type_dyn, type);
        break;
    case SFI_CEL_TYPE_DYN:
        break;
    default:
        return sfi_cel_fail_at(c->ast, node->position, c->err,
                               "cannot loop over a value of type %s; only lists and maps have "
                               "elements",
                               sfi_cel_shown(c, type, text));
    }
    *range = (struct range){&sfi_cel_type_dyn, &sfi_cel_type_dyn, &sfi_cel_type_dyn};
    return SHARDY_OK;
}

static shardy_status check_loop(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                                const struct range *range)
{
    const struct sfi_cel_type *body = node->loop.body->type;
    const struct sfi_cel_type *type = &sfi_cel_type_bool;
    switch (node->loop.loop) {
    case SFI_CEL_LOOP_ALL:
    case SFI_CEL_LOOP_EXISTS:
    case SFI_CEL_LOOP_EXISTS_ONE:
        SFI_RETURN_IF_ERR(sfi_cel_expect(c, node->loop.body, type, "the condition of a macro"));
        break;
    case SFI_CEL_LOOP_FILTER:
        SFI_RETURN_IF_ERR(sfi_cel_expect(c, node->loop.body, type, "the condition of a macro"));
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_LIST, range->only, NULL);
        break;
    case SFI_CEL_LOOP_MAP:
    case SFI_CEL_LOOP_TRANSFORM_LIST:
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_LIST, body, NULL);
        break;
    case SFI_CEL_LOOP_TRANSFORM_MAP:
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_MAP, range->key, body);
        break;
    case SFI_CEL_LOOP_TRANSFORM_ENTRY:
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_MAP, sfi_cel_unknown(c), sfi_cel_unknown(c));
        SFI_RETURN_IF_ERR(
            sfi_cel_expect(c, node->loop.body, type, "the entry of transformMapEntry"));
        type = sfi_cel_known(c, body)->kind == SFI_CEL_TYPE_DYN ? &sfi_cel_type_map : body;
        break;
    }
    sfi_cel_set_type(c, node, type);
    return SHARDY_OK;
}

shardy_status sfi_cel_visit_loop(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_scope *outer = c->scope;
    struct range range = {&sfi_cel_type_dyn, &sfi_cel_type_dyn, &sfi_cel_type_dyn};
    shardy_status st = SHARDY_OK;
    bool has_two = node->loop.var[1].text != NULL;
    node->loop.local = c->ast->local_count;
    c->ast->local_count += 2;
    SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->loop.range));
    if (!c->env->unchecked) {
        SFI_RETURN_IF_ERR(range_of(c, node->loop.range, &range));
    }
    struct sfi_cel_scope first = {.outer = outer,
                                  .name = node->loop.var[0],
                                  .type = has_two ? range.key : range.only,
                                  .local = node->loop.local};
    struct sfi_cel_scope second = {.outer = &first,
                                   .name = node->loop.var[1],
                                   .type = range.value,
                                   .local = node->loop.local + 1};
    c->scope = has_two ? &second : &first;
    if (node->loop.filter != NULL) {
        SFI_TRY(sfi_cel_visit(c, node->loop.filter));
        SFI_TRY(
            sfi_cel_expect(c, node->loop.filter, &sfi_cel_type_bool, "the condition of a macro"));
    }
    SFI_TRY(sfi_cel_visit(c, node->loop.body));
    if (!c->env->unchecked) {
        SFI_TRY(check_loop(c, node, &range));
    }
out:
    c->scope = outer;
    return st;
}

shardy_status sfi_cel_visit_bind(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    node->bind.local = c->ast->local_count++;
    SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->bind.init));
    SFI_RETURN_IF_ERR(
        visit_with(c, node->bind.body, node->bind.var, node->bind.init->type, node->bind.local));
    sfi_cel_set_type(c, node, node->bind.body->type);
    return SHARDY_OK;
}

shardy_status sfi_cel_visit_block(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_scope *outer = c->scope;
    struct sfi_cel_scope scope = {
        .outer = outer, .local = c->ast->local_count, .entries = node->block.entries};
    shardy_status st = SHARDY_OK;
    node->block.local = c->ast->local_count;
    c->ast->local_count += node->block.count;
    c->scope = &scope;
    /* An entry sees those before it. */
    for (; scope.entry_count < node->block.count; scope.entry_count++) {
        SFI_TRY(sfi_cel_visit(c, node->block.entries[scope.entry_count]));
    }
    SFI_TRY(sfi_cel_visit(c, node->block.body));
    sfi_cel_set_type(c, node, node->block.body->type);
out:
    c->scope = outer;
    return st;
}

shardy_status sfi_cel_visit_opt_map(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_type *held = &sfi_cel_type_dyn;
    char text[SFI_CEL_TYPE_TEXT];
    node->opt_map.local = c->ast->local_count++;
    SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->opt_map.target));
    if (!c->env->unchecked) {
        held = sfi_cel_held_type(c, node->opt_map.target->type);
        if (held == NULL) {
            return sfi_cel_fail_at(c->ast, node->opt_map.target->position, c->err,
                                   "%s needs an optional value, not %s",
                                   node->opt_map.is_flat ? "optFlatMap" : "optMap",
                                   sfi_cel_shown(c, node->opt_map.target->type, text));
        }
    }
    SFI_RETURN_IF_ERR(
        visit_with(c, node->opt_map.body, node->opt_map.var, held, node->opt_map.local));
    if (c->env->unchecked) {
        return SHARDY_OK;
    }
    const struct sfi_cel_type *type = node->opt_map.body->type;
    if (!node->opt_map.is_flat) {
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_OPTIONAL, type, NULL);
    } else if (sfi_cel_held_type(c, type) == NULL) {
        return sfi_cel_fail_at(c->ast, node->opt_map.body->position, c->err,
                               "the result of optFlatMap must be optional, not %s; use optMap",
                               sfi_cel_shown(c, type, text));
    } else if (sfi_cel_known(c, type)->kind == SFI_CEL_TYPE_DYN) {
        type = &sfi_cel_type_optional;
    }
    sfi_cel_set_type(c, node, type);
    return SHARDY_OK;
}
