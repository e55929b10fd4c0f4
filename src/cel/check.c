/*
 * check.c - the walk over an expression that gives every node its type and every name its meaning.
 *
 * Rules: cel-spec, doc/langdef.md ("Gradual Type Checking"), and the type_deduction tests of the
 * specification's suite. Unchecked expressions take the same walk with dyn for every type; what is
 * unknown there is left to fail when it is evaluated. Which types suit one another: check_types.c;
 * what declares names of its own: check_scope.c.
 */
#include "cel/check_internal.h"

#include "base/limits.h"

const char *sfi_cel_shown(struct sfi_cel_checker *c, const struct sfi_cel_type *type,
                          char text[SFI_CEL_TYPE_TEXT])
{
    sfi_cel_type_text(sfi_cel_final(c, type), text);
    return text;
}

shardy_status sfi_cel_expect(struct sfi_cel_checker *c, const struct sfi_cel_node *node,
                             const struct sfi_cel_type *target, const char *what)
{
    char found[SFI_CEL_TYPE_TEXT];
    char wanted[SFI_CEL_TYPE_TEXT];
    if (c->env->unchecked || sfi_cel_suits(c, node->type, target)) {
        return c->is_failed ? sfi_cel_check_broken(c) : SHARDY_OK;
    }
    if (c->is_failed) {
        return sfi_cel_check_broken(c);
    }
    return sfi_cel_fail_at(c->ast, node->position, c->err, "%s must be %s, not %s", what,
                           sfi_cel_shown(c, target, wanted), sfi_cel_shown(c, node->type, found));
}

const struct sfi_cel_type *sfi_cel_held_type(struct sfi_cel_checker *c,
                                             const struct sfi_cel_type *type)
{
    type = sfi_cel_known(c, type);
    if (type->kind == SFI_CEL_TYPE_OPTIONAL) {
        return type->param[0];
    }
    if (type->kind == SFI_CEL_TYPE_PARAM) {
        const struct sfi_cel_type *held = sfi_cel_unknown(c);
        const struct sfi_cel_type *optional =
            sfi_cel_make_type(c, SFI_CEL_TYPE_OPTIONAL, held, NULL);
        return sfi_cel_suits(c, type, optional) ? held : NULL;
    }
    return type->kind == SFI_CEL_TYPE_DYN ? type : NULL;
}

/* Bytes of a name that a message shows. */
static int clipped(struct sfi_cel_name name)
{
    return name.size < 64 ? (int)name.size : 64;
}

static shardy_status visit_const(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    static const struct sfi_cel_type *const types[] = {
        [SFI_CEL_NULL] = &sfi_cel_type_null,     [SFI_CEL_BOOL] = &sfi_cel_type_bool,
        [SFI_CEL_INT] = &sfi_cel_type_int,       [SFI_CEL_UINT] = &sfi_cel_type_uint,
        [SFI_CEL_DOUBLE] = &sfi_cel_type_double, [SFI_CEL_STRING] = &sfi_cel_type_string,
        [SFI_CEL_BYTES] = &sfi_cel_type_bytes,
    };
    if (node->constant.kind < sizeof types / sizeof types[0] && !c->env->unchecked) {
        node->type = types[node->constant.kind];
    }
    return SHARDY_OK;
}

static shardy_status visit_ident(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    if (sfi_cel_resolve_name(c, node) || c->env->unchecked) {
        return SHARDY_OK;
    }
    return sfi_cel_fail_name(c, node);
}

/* The type of a field; NULL: the operand has none. */
static const struct sfi_cel_type *field_type(struct sfi_cel_checker *c,
                                             const struct sfi_cel_type *operand, bool *is_optional)
{
    operand = sfi_cel_known(c, operand);
    if (operand->kind == SFI_CEL_TYPE_OPTIONAL) {
        *is_optional = true;
        operand = sfi_cel_known(c, operand->param[0]);
    }
    switch (operand->kind) {
    case SFI_CEL_TYPE_DYN:
    case SFI_CEL_TYPE_PARAM:
        return &sfi_cel_type_dyn;
    case SFI_CEL_TYPE_MAP:
        return operand->param[1];
    default:
        return NULL;
    }
}

static shardy_status visit_select(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    bool is_plain = !node->select.is_test && !node->select.is_optional;
    if (is_plain && sfi_cel_resolve_name(c, node)) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->select.operand));
    if (c->env->unchecked) {
        return SHARDY_OK;
    }
    bool is_optional = node->select.is_optional;
    const struct sfi_cel_type *type = field_type(c, node->select.operand->type, &is_optional);
    if (type == NULL) {
        char text[SFI_CEL_TYPE_TEXT];
        return sfi_cel_fail_at(c->ast, node->position, c->err,
                               "a value of type %s has no field '%.*s'; only maps have fields",
                               sfi_cel_shown(c, node->select.operand->type, text),
                               clipped(node->select.field), node->select.field.text);
    }
    if (node->select.is_test) {
        type = &sfi_cel_type_bool;
    } else if (is_optional) {
        type = sfi_cel_make_type(c, SFI_CEL_TYPE_OPTIONAL, type, NULL);
    }
    sfi_cel_set_type(c, node, type);
    return SHARDY_OK;
}

static bool is_named(const struct sfi_cel_node *call, const char *function)
{
    return call->call.function.size == strlen(function) &&
           memcmp(call->call.function.text, function, call->call.function.size) == 0;
}

/* Operands as they are, for the message of an operator that has no overloads in any library. */
static shardy_status fail_operator(struct sfi_cel_checker *c, const struct sfi_cel_node *node,
                                   const struct sfi_cel_overload *overload)
{
    struct sfi_cel_operands operands = {.count = node->call.count};
    for (uint32_t i = 0; i < node->call.count; i++) {
        operands.node[i] = node->call.args[i];
        operands.type[i] = node->call.args[i]->type;
    }
    return c->is_failed ? sfi_cel_check_broken(c)
                        : sfi_cel_fail_operands(c, node, &operands, overload, 1);
}

static shardy_status check_logic(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    static const struct sfi_cel_overload logic[] = {
        {"_&&_", 0, &sfi_cel_type_bool, {&sfi_cel_type_bool, &sfi_cel_type_bool}, NULL},
        {"_||_", 0, &sfi_cel_type_bool, {&sfi_cel_type_bool, &sfi_cel_type_bool}, NULL},
    };
    for (uint32_t i = 0; i < 2; i++) {
        if (!sfi_cel_suits(c, node->call.args[i]->type, &sfi_cel_type_bool)) {
            return fail_operator(c, node, &logic[is_named(node, "_||_") ? 1 : 0]);
        }
    }
    node->type = &sfi_cel_type_bool;
    return SHARDY_OK;
}

static shardy_status check_conditional(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    struct sfi_cel_node **args = node->call.args;
    SFI_RETURN_IF_ERR(sfi_cel_expect(c, args[0], &sfi_cel_type_bool, "the condition before '?'"));
    if (!sfi_cel_suits(c, args[1]->type, args[2]->type)) {
        char left[SFI_CEL_TYPE_TEXT];
        char right[SFI_CEL_TYPE_TEXT];
        char hint[SFI_CEL_HINT_SIZE];
        const struct sfi_cel_node *const branches[2] = {args[1], args[2]};
        if (c->is_failed) {
            return sfi_cel_check_broken(c);
        }
        sfi_cel_operand_hint(c, branches, hint);
        return sfi_cel_fail_at(c->ast, node->position, c->err,
                               "the branches of '? :' must have one type, not %s and %s%s",
                               sfi_cel_shown(c, args[1]->type, left),
                               sfi_cel_shown(c, args[2]->type, right), hint);
    }
    sfi_cel_set_type(c, node, sfi_cel_join(c, args[1]->type, args[2]->type));
    return SHARDY_OK;
}

/* Operators that the evaluator does itself: no overloads. */
static bool is_evaluators(const struct sfi_cel_node *node)
{
    return node->call.function.size > 3 && node->call.function.text[0] == '_' &&
           ((node->call.count == 2 && (is_named(node, "_&&_") || is_named(node, "_||_"))) ||
            (node->call.count == 3 && is_named(node, "_?_:_")));
}

static shardy_status fail_unknown_function(struct sfi_cel_checker *c,
                                           const struct sfi_cel_node *node)
{
    char name[160] = "";
    const struct sfi_cel_node *target = node->call.target;
    size_t size = 0;
    /* math.foo(x), where nobody is called math: a function, not a method. */
    if (target != NULL && sfi_cel_name_root(target) != NULL) {
        struct sfi_cel_node probe = *target;
        if (!sfi_cel_resolve_name(c, &probe)) {
            sfi_cel_name_text(target, name, 90);
            size = strlen(name);
            name[size++] = '.';
        }
    }
    size_t length = node->call.function.size < 64 ? node->call.function.size : 64;
    memcpy(name + size, node->call.function.text, length);
    name[size + length] = '\0';
    return sfi_cel_fail_function(c, node, name);
}

static shardy_status visit_call(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_overload *overloads = NULL;
    size_t count = 0;
    bool is_own = is_evaluators(node);
    if (!is_own) {
        overloads = sfi_cel_resolve_function(c, node, &count);
        if (overloads == NULL && !c->env->unchecked) {
            return fail_unknown_function(c, node);
        }
    }
    if (node->call.target != NULL && !node->is_namespaced) {
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->call.target));
    }
    for (uint32_t i = 0; i < node->call.count; i++) {
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->call.args[i]));
    }
    if (!is_own) {
        return sfi_cel_check_call(c, node, overloads, count);
    }
    if (c->env->unchecked) {
        return SHARDY_OK;
    }
    return node->call.count == 3 ? check_conditional(c, node) : check_logic(c, node);
}

/* The type that an element adds: what an optional one holds. */
static shardy_status element_type(struct sfi_cel_checker *c, const struct sfi_cel_element *element,
                                  const struct sfi_cel_type **type)
{
    *type = element->value->type;
    if (!element->optional || c->env->unchecked) {
        return SHARDY_OK;
    }
    *type = sfi_cel_held_type(c, element->value->type);
    if (*type == NULL) {
        char text[SFI_CEL_TYPE_TEXT];
        return sfi_cel_fail_at(c->ast, element->value->position, c->err,
                               "an element written with '?' must be optional, not %s; write "
                               "optional.of(...) or leave '?' out",
                               sfi_cel_shown(c, element->value->type, text));
    }
    return SHARDY_OK;
}

static shardy_status visit_list(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_type *joined = NULL;
    for (uint32_t i = 0; i < node->list.count; i++) {
        const struct sfi_cel_type *type;
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->list.elements[i].value));
        SFI_RETURN_IF_ERR(element_type(c, &node->list.elements[i], &type));
        joined = sfi_cel_join_element(c, joined, type);
    }
    if (!c->env->unchecked) {
        joined = joined == NULL ? sfi_cel_unknown(c) : joined;
        sfi_cel_set_type(c, node, sfi_cel_make_type(c, SFI_CEL_TYPE_LIST, joined, NULL));
    }
    return SHARDY_OK;
}

static shardy_status check_key(struct sfi_cel_checker *c, const struct sfi_cel_node *key)
{
    char text[SFI_CEL_TYPE_TEXT];
    switch (sfi_cel_known(c, key->type)->kind) {
    case SFI_CEL_TYPE_DYN:
    case SFI_CEL_TYPE_PARAM:
    case SFI_CEL_TYPE_BOOL:
    case SFI_CEL_TYPE_INT:
    case SFI_CEL_TYPE_UINT:
    case SFI_CEL_TYPE_STRING:
    case SFI_CEL_TYPE_WRAPPER:
        return SHARDY_OK;
    default:
        return sfi_cel_fail_at(c->ast, key->position, c->err,
                               "a map key must be bool, int, uint or string, not %s",
                               sfi_cel_shown(c, key->type, text));
    }
}

static shardy_status visit_map(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_type *key = NULL;
    const struct sfi_cel_type *value = NULL;
    for (uint32_t i = 0; i < node->list.count; i++) {
        const struct sfi_cel_element *element = &node->list.elements[i];
        const struct sfi_cel_type *type;
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, element->key));
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, element->value));
        SFI_RETURN_IF_ERR(check_key(c, element->key));
        SFI_RETURN_IF_ERR(element_type(c, element, &type));
        key = sfi_cel_join_element(c, key, element->key->type);
        value = sfi_cel_join_element(c, value, type);
    }
    if (!c->env->unchecked) {
        key = key == NULL ? sfi_cel_unknown(c) : key;
        value = value == NULL ? sfi_cel_unknown(c) : value;
        sfi_cel_set_type(c, node, sfi_cel_make_type(c, SFI_CEL_TYPE_MAP, key, value));
    }
    return SHARDY_OK;
}

/* The type of a field of a message, NULL: there is none of that name. */
static const struct sfi_cel_type *message_field(const struct sfi_cel_type *message,
                                                struct sfi_cel_name name)
{
    if (message->kind == SFI_CEL_TYPE_WRAPPER) {
        return name.size == 5 && memcmp(name.text, "value", 5) == 0 ? message->param[0] : NULL;
    }
    return (name.size == 7 && memcmp(name.text, "seconds", 7) == 0) ||
                   (name.size == 5 && memcmp(name.text, "nanos", 5) == 0)
               ? &sfi_cel_type_int
               : NULL;
}

static shardy_status check_message_field(struct sfi_cel_checker *c, const struct sfi_cel_node *node,
                                         uint32_t i, const struct sfi_cel_type *message)
{
    const struct sfi_cel_element *element = &node->message.elements[i];
    const struct sfi_cel_type *type;
    const struct sfi_cel_type *wanted = message_field(message, element->field);
    char text[SFI_CEL_TYPE_TEXT];
    if (wanted == NULL) {
        return sfi_cel_fail_at(c->ast, element->value->position, c->err,
                               "message '%.*s' has no field '%.*s'", clipped(node->message.name),
                               node->message.name.text, clipped(element->field),
                               element->field.text);
    }
    for (uint32_t j = 0; j < i; j++) {
        if (message_field(message, node->message.elements[j].field) == wanted &&
            node->message.elements[j].field.size == element->field.size) {
            return sfi_cel_fail_at(c->ast, element->value->position, c->err,
                                   "field '%.*s' is given twice", (int)element->field.size,
                                   element->field.text);
        }
    }
    SFI_RETURN_IF_ERR(element_type(c, element, &type));
    if (!c->env->unchecked && !sfi_cel_suits(c, type, wanted)) {
        const char *field = wanted == &sfi_cel_type_int ? "an integer field" : "the field";
        return sfi_cel_fail_at(c->ast, element->value->position, c->err,
                               "a value of type %s does not fit %s", sfi_cel_shown(c, type, text),
                               field);
    }
    return SHARDY_OK;
}

static shardy_status visit_message(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_type *type = sfi_cel_resolve_message(c, node);
    if (type == NULL && !c->env->unchecked) {
        return sfi_cel_fail_at(c->ast, node->position, c->err,
                               "message type '%.*s' is not supported; use lists and maps (only "
                               "google.protobuf.Timestamp, Duration and wrappers such as "
                               "Int64Value can be made)",
                               clipped(node->message.name), node->message.name.text);
    }
    for (uint32_t i = 0; i < node->message.count; i++) {
        SFI_RETURN_IF_ERR(sfi_cel_visit(c, node->message.elements[i].value));
        if (type != NULL) {
            SFI_RETURN_IF_ERR(check_message_field(c, node, i, type));
        }
    }
    if (type != NULL) {
        node->reference = SFI_CEL_REF_VALUE;
        node->resolved = sfi_cel_type_value(type);
        node->type = c->env->unchecked ? &sfi_cel_type_dyn : type;
    }
    return SHARDY_OK;
}

shardy_status sfi_cel_visit(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    shardy_status st = SHARDY_OK;
    node->type = &sfi_cel_type_dyn;
    node->reference = SFI_CEL_REF_NONE;
    node->overloads = NULL;
    node->overload_count = 0;
    node->is_namespaced = false;
    switch (node->kind) {
    case SFI_CEL_NODE_CONST:
        st = visit_const(c, node);
        break;
    case SFI_CEL_NODE_IDENT:
        st = visit_ident(c, node);
        break;
    case SFI_CEL_NODE_SELECT:
        st = visit_select(c, node);
        break;
    case SFI_CEL_NODE_CALL:
        st = visit_call(c, node);
        break;
    case SFI_CEL_NODE_LIST:
        st = visit_list(c, node);
        break;
    case SFI_CEL_NODE_MAP:
        st = visit_map(c, node);
        break;
    case SFI_CEL_NODE_MESSAGE:
        st = visit_message(c, node);
        break;
    case SFI_CEL_NODE_LOOP:
        st = sfi_cel_visit_loop(c, node);
        break;
    case SFI_CEL_NODE_BIND:
        st = sfi_cel_visit_bind(c, node);
        break;
    case SFI_CEL_NODE_BLOCK:
        st = sfi_cel_visit_block(c, node);
        break;
    case SFI_CEL_NODE_OPT_MAP:
        st = sfi_cel_visit_opt_map(c, node);
        break;
    }
    return st == SHARDY_OK && c->is_failed ? sfi_cel_check_broken(c) : st;
}

shardy_status sfi_cel_check(struct sfi_cel_ast *ast, const struct sfi_cel_env *env,
                            shardy_error *err)
{
    struct sfi_cel_checker c = {
        .ast = ast, .arena = ast->arena, .env = env, .err = err, .steps = SFI_CEL_CHECK_STEPS};
    ast->local_count = 0;
    if (!sfi_cel_names_init(&c)) {
        return sfi_cel_check_broken(&c);
    }
    SFI_RETURN_IF_ERR(sfi_cel_visit(&c, ast->root));
    for (struct sfi_cel_pending *pending = c.pending; pending != NULL; pending = pending->next) {
        pending->node->type = sfi_cel_final(&c, pending->node->type);
    }
    return c.is_failed ? sfi_cel_check_broken(&c) : SHARDY_OK;
}
