/*
 * macro.c - calls that are macros, as nodes of their own. Recognised by name and number of
 * arguments: cel-spec, doc/langdef.md, "Macros", and the extensions of cel-go (comprehensions of
 * two variables, cel.bind, cel.block, optMap, math.greatest). Scopes and types are the checker's.
 */
#include "cel/parser_internal.h"

#include <stdio.h>

struct macro {
    const char *scope; /* "cel" of cel.bind(); "" = any target; NULL = no target */
    const char *name;
    uint8_t least; /* arguments */
    uint8_t most;
    uint8_t loop;      /* enum sfi_cel_loop */
    uint8_t variables; /* LOOP: 1 or 2 */
    struct sfi_cel_node *(*expand)(struct sfi_cel_parser *p, const struct sfi_cel_call_site *site,
                                   const struct macro *macro);
};

/* The variable a macro declares: an identifier, or what cel.iterVar() made of one. */
static bool take_variable(struct sfi_cel_parser *p, const struct sfi_cel_call_site *site,
                          const struct sfi_cel_node *arg, struct sfi_cel_name *name)
{
    bool is_simple = arg->kind == SFI_CEL_NODE_IDENT && !arg->ident.is_rooted;
    if (is_simple && arg->ident.name.text[0] == '@') {
        is_simple = arg->ident.name.size > 4 && memcmp(arg->ident.name.text, "@index", 6) != 0;
    }
    if (!is_simple) {
        sfi_cel_parser_fail(p, sfi_cel_node_start(arg),
                            "this argument of %.*s() names the variable: it must be a simple "
                            "identifier",
                            (int)site->function.size, site->function.text);
        return false;
    }
    *name = arg->ident.name;
    return true;
}

static bool same_name(struct sfi_cel_name a, struct sfi_cel_name b)
{
    return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

static struct sfi_cel_node *expand_loop(struct sfi_cel_parser *p,
                                        const struct sfi_cel_call_site *site,
                                        const struct macro *macro)
{
    uint32_t variables = macro->variables;
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_LOOP, site->position);
    if (node == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < variables; i++) {
        if (!take_variable(p, site, site->args[i], &node->loop.var[i])) {
            return NULL;
        }
    }
    if (variables == 2 && same_name(node->loop.var[0], node->loop.var[1])) {
        return sfi_cel_parser_fail(p, site->args[1]->position,
                                   "the two variables of %.*s() need different names",
                                   (int)site->function.size, site->function.text);
    }
    node->loop.loop = (enum sfi_cel_loop)macro->loop;
    node->loop.range = site->target;
    node->loop.filter = site->count == variables + 2 ? site->args[variables] : NULL;
    node->loop.body = site->args[site->count - 1];
    node->loop.is_camel = sfi_cel_name_is(site->function, "existsOne");
    if (!sfi_cel_node_adopt(p, node, node->loop.range) ||
        !sfi_cel_node_adopt(p, node, node->loop.filter) ||
        !sfi_cel_node_adopt(p, node, node->loop.body)) {
        return NULL;
    }
    return node;
}

static struct sfi_cel_node *expand_has(struct sfi_cel_parser *p,
                                       const struct sfi_cel_call_site *site,
                                       const struct macro *macro)
{
    struct sfi_cel_node *arg = site->args[0];
    (void)macro;
    if (arg->kind != SFI_CEL_NODE_SELECT || arg->select.is_test || arg->select.is_optional) {
        return sfi_cel_parser_fail(p, sfi_cel_node_start(arg),
                                   "has() asks for a field: its argument must end in a selection, "
                                   "as in has(a.b)%s",
                                   arg->kind == SFI_CEL_NODE_CALL &&
                                           sfi_cel_name_is(arg->call.function, "_[_]")
                                       ? "; write key in map for an index"
                                       : "");
    }
    arg->select.is_test = true;
    return arg;
}

static struct sfi_cel_node *expand_opt_map(struct sfi_cel_parser *p,
                                           const struct sfi_cel_call_site *site,
                                           const struct macro *macro)
{
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_OPT_MAP, site->position);
    (void)macro;
    if (node == NULL || !take_variable(p, site, site->args[0], &node->opt_map.var) ||
        !sfi_cel_node_adopt(p, node, site->target) || !sfi_cel_node_adopt(p, node, site->args[1])) {
        return NULL;
    }
    node->opt_map.target = site->target;
    node->opt_map.body = site->args[1];
    node->opt_map.is_flat = sfi_cel_name_is(site->function, "optFlatMap");
    return node;
}

static struct sfi_cel_node *expand_bind(struct sfi_cel_parser *p,
                                        const struct sfi_cel_call_site *site,
                                        const struct macro *macro)
{
    struct sfi_cel_node *node =
        sfi_cel_node_new(p, SFI_CEL_NODE_BIND, sfi_cel_node_start(site->target));
    (void)macro;
    if (node == NULL || !take_variable(p, site, site->args[0], &node->bind.var) ||
        !sfi_cel_node_adopt(p, node, site->args[1]) ||
        !sfi_cel_node_adopt(p, node, site->args[2])) {
        return NULL;
    }
    node->bind.init = site->args[1];
    node->bind.body = site->args[2];
    return node;
}

static struct sfi_cel_node *expand_block(struct sfi_cel_parser *p,
                                         const struct sfi_cel_call_site *site,
                                         const struct macro *macro)
{
    const struct sfi_cel_node *list = site->args[0];
    (void)macro;
    if (list->kind != SFI_CEL_NODE_LIST) {
        return sfi_cel_parser_fail(p, sfi_cel_node_start(list),
                                   "the first argument of cel.block() must be a list of "
                                   "expressions in brackets");
    }
    struct sfi_cel_node *node =
        sfi_cel_node_new(p, SFI_CEL_NODE_BLOCK, sfi_cel_node_start(site->target));
    if (node == NULL || !sfi_cel_node_adopt(p, node, site->args[1])) {
        return NULL;
    }
    node->block.count = list->list.count;
    node->block.body = site->args[1];
    node->block.entries =
        sfi_cel_alloc_array(p->ast->arena, list->list.count, sizeof(struct sfi_cel_node *));
    if (node->block.entries == NULL) {
        return sfi_cel_parser_fail_memory(p);
    }
    for (uint32_t i = 0; i < list->list.count; i++) {
        const struct sfi_cel_element *element = &list->list.elements[i];
        if (element->optional) {
            return sfi_cel_parser_fail(p, sfi_cel_node_start(element->value),
                                       "an entry of cel.block() cannot be optional");
        }
        node->block.entries[i] = element->value;
        if (!sfi_cel_node_adopt(p, node, element->value)) {
            return NULL;
        }
    }
    return node;
}

/* A number literal that is part of a name. */
static bool take_number(struct sfi_cel_parser *p, const struct sfi_cel_call_site *site,
                        const struct sfi_cel_node *arg, int64_t *number)
{
    if (arg->kind != SFI_CEL_NODE_CONST || arg->constant.kind != SFI_CEL_INT ||
        arg->constant.i64 < 0) {
        sfi_cel_parser_fail(p, sfi_cel_node_start(arg),
                            "this argument of cel.%.*s() must be a number literal, 0 or more",
                            (int)site->function.size, site->function.text);
        return false;
    }
    *number = arg->constant.i64;
    return true;
}

/* cel.index(2), cel.iterVar(0, 1), cel.accuVar(0, 1): names that nobody can write. */
static struct sfi_cel_node *expand_name(struct sfi_cel_parser *p,
                                        const struct sfi_cel_call_site *site,
                                        const struct macro *macro)
{
    int64_t numbers[2] = {0, 0};
    char *text = sfi_cel_alloc(p->ast->arena, 64);
    struct sfi_cel_node *node =
        sfi_cel_node_new(p, SFI_CEL_NODE_IDENT, sfi_cel_node_start(site->target));
    if (node == NULL) {
        return NULL;
    }
    if (text == NULL) {
        return sfi_cel_parser_fail_memory(p);
    }
    for (uint32_t i = 0; i < site->count; i++) {
        if (!take_number(p, site, site->args[i], &numbers[i])) {
            return NULL;
        }
    }
    int size = macro->most == 1
                   ? snprintf(text, 64, "@index%lld", (long long)numbers[0])
                   : snprintf(text, 64, "%s:%lld:%lld",
                              sfi_cel_name_is(site->function, "iterVar") ? "@it" : "@ac",
                              (long long)numbers[0], (long long)numbers[1]);
    node->ident.name = (struct sfi_cel_name){text, (uint32_t)size};
    return node;
}

/* The arguments as one list. */
static struct sfi_cel_node *list_of(struct sfi_cel_parser *p, const struct sfi_cel_call_site *site)
{
    struct sfi_cel_node *list = sfi_cel_node_new(p, SFI_CEL_NODE_LIST, site->position);
    if (list == NULL) {
        return NULL;
    }
    list->list.elements =
        sfi_cel_alloc_array(p->ast->arena, site->count, sizeof(struct sfi_cel_element));
    if (list->list.elements == NULL) {
        return sfi_cel_parser_fail_memory(p);
    }
    list->list.count = site->count;
    for (uint32_t i = 0; i < site->count; i++) {
        list->list.elements[i] = (struct sfi_cel_element){.value = site->args[i]};
        if (!sfi_cel_node_adopt(p, list, site->args[i])) {
            return NULL;
        }
    }
    return list;
}

static struct sfi_cel_node *expand_extreme(struct sfi_cel_parser *p,
                                           const struct sfi_cel_call_site *site,
                                           const struct macro *macro)
{
    if (site->count == 0) {
        return sfi_cel_parser_fail(p, site->position, "math.%s() needs at least one argument",
                                   macro->name);
    }
    struct sfi_cel_node *node =
        sfi_cel_node_new(p, SFI_CEL_NODE_CALL, sfi_cel_node_start(site->target));
    if (node == NULL) {
        return NULL;
    }
    node->call.function =
        (struct sfi_cel_name){macro->name[0] == 'g' ? "math.@max" : "math.@min", 9};
    node->call.args = site->args;
    node->call.count = site->count;
    if (site->count > 2) {
        node->call.args[0] = list_of(p, site);
        node->call.count = 1;
    }
    for (uint32_t i = 0; i < node->call.count; i++) {
        if (node->call.args[i] == NULL || !sfi_cel_node_adopt(p, node, node->call.args[i])) {
            return NULL;
        }
    }
    return node;
}

static const struct macro s_macros[] = {
    {NULL, "has", 1, 1, 0, 0, expand_has},
    {"", "all", 2, 2, SFI_CEL_LOOP_ALL, 1, expand_loop},
    {"", "all", 3, 3, SFI_CEL_LOOP_ALL, 2, expand_loop},
    {"", "exists", 2, 2, SFI_CEL_LOOP_EXISTS, 1, expand_loop},
    {"", "exists", 3, 3, SFI_CEL_LOOP_EXISTS, 2, expand_loop},
    {"", "exists_one", 2, 2, SFI_CEL_LOOP_EXISTS_ONE, 1, expand_loop},
    {"", "exists_one", 3, 3, SFI_CEL_LOOP_EXISTS_ONE, 2, expand_loop},
    {"", "existsOne", 2, 2, SFI_CEL_LOOP_EXISTS_ONE, 1, expand_loop},
    {"", "existsOne", 3, 3, SFI_CEL_LOOP_EXISTS_ONE, 2, expand_loop},
    {"", "map", 2, 3, SFI_CEL_LOOP_MAP, 1, expand_loop},
    {"", "filter", 2, 2, SFI_CEL_LOOP_FILTER, 1, expand_loop},
    {"", "transformList", 3, 4, SFI_CEL_LOOP_TRANSFORM_LIST, 2, expand_loop},
    {"", "transformMap", 3, 4, SFI_CEL_LOOP_TRANSFORM_MAP, 2, expand_loop},
    {"", "transformMapEntry", 3, 4, SFI_CEL_LOOP_TRANSFORM_ENTRY, 2, expand_loop},
    {"", "optMap", 2, 2, 0, 0, expand_opt_map},
    {"", "optFlatMap", 2, 2, 0, 0, expand_opt_map},
    {"cel", "bind", 3, 3, 0, 0, expand_bind},
    {"cel", "block", 2, 2, 0, 0, expand_block},
    {"cel", "index", 1, 1, 0, 0, expand_name},
    {"cel", "iterVar", 2, 2, 0, 0, expand_name},
    {"cel", "accuVar", 2, 2, 0, 0, expand_name},
    {"math", "greatest", 0, UINT8_MAX, 0, 0, expand_extreme},
    {"math", "least", 0, UINT8_MAX, 0, 0, expand_extreme},
};

static bool matches(const struct macro *macro, const struct sfi_cel_call_site *site)
{
    if (macro->name[0] != site->function.text[0] || site->count < macro->least ||
        (site->count > macro->most && macro->most != UINT8_MAX) ||
        (macro->scope == NULL) != (site->target == NULL) ||
        !sfi_cel_name_is(site->function, macro->name)) {
        return false;
    }
    return macro->scope == NULL || macro->scope[0] == '\0' ||
           (site->target->kind == SFI_CEL_NODE_IDENT && !site->target->ident.is_rooted &&
            sfi_cel_name_is(site->target->ident.name, macro->scope));
}

bool sfi_cel_macro_expand(struct sfi_cel_parser *parser, const struct sfi_cel_call_site *site,
                          struct sfi_cel_node **node)
{
    for (size_t i = 0; i < sizeof s_macros / sizeof s_macros[0]; i++) {
        if (matches(&s_macros[i], site)) {
            *node = s_macros[i].expand(parser, site, &s_macros[i]);
            return true;
        }
    }
    return false;
}
