/*
 * parser_member.c - primary expressions (names, calls, literals, lists, maps, messages, groups) and
 * what may follow them (fields, methods, indexes).
 */
#include "cel/parser_internal.h"

#include <stdio.h>

/* The nodes above `base`, which leave the stack; NULL: memory. */
static struct sfi_cel_node **pop_nodes(struct sfi_cel_parser *p, size_t base)
{
    size_t count = p->item_count - base;
    struct sfi_cel_node **nodes =
        sfi_cel_alloc_array(p->ast->arena, count, sizeof(struct sfi_cel_node *));
    if (nodes == NULL) {
        sfi_cel_parser_fail_memory(p);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        nodes[i] = p->items[base + i].element.value;
    }
    p->item_count = base;
    return nodes;
}

static struct sfi_cel_element *pop_elements(struct sfi_cel_parser *p, size_t base,
                                            struct sfi_cel_node *node, uint32_t *count)
{
    *count = (uint32_t)(p->item_count - base);
    struct sfi_cel_element *elements = sfi_cel_alloc_array(p->ast->arena, *count, sizeof *elements);
    if (elements == NULL) {
        sfi_cel_parser_fail_memory(p);
        return NULL;
    }
    for (uint32_t i = 0; i < *count; i++) {
        elements[i] = p->items[base + i].element;
        if (!sfi_cel_node_adopt(p, node, elements[i].key) ||
            !sfi_cel_node_adopt(p, node, elements[i].value)) {
            return NULL;
        }
    }
    p->item_count = base;
    return elements;
}

/* A call that was written as one: a macro or a function. */
static struct sfi_cel_node *finish_call(struct sfi_cel_parser *p, struct sfi_cel_call_site *site)
{
    struct sfi_cel_node *node;
    if ((p->flags & SFI_CEL_PARSE_NO_MACROS) == 0 && !site->is_rooted &&
        sfi_cel_macro_expand(p, site, &node)) {
        return node;
    }
    node = sfi_cel_node_new(p, SFI_CEL_NODE_CALL, site->position);
    if (node == NULL || !sfi_cel_node_adopt(p, node, site->target)) {
        return NULL;
    }
    for (uint32_t i = 0; i < site->count; i++) {
        if (!sfi_cel_node_adopt(p, node, site->args[i])) {
            return NULL;
        }
    }
    node->call.function = site->function;
    node->call.target = site->target;
    node->call.args = site->args;
    node->call.count = site->count;
    node->call.is_rooted = site->is_rooted;
    return node;
}

/* The current token is the '(' of a call. No trailing comma, as in the grammar. */
static struct sfi_cel_node *parse_call(struct sfi_cel_parser *p, struct sfi_cel_token name,
                                       struct sfi_cel_node *target, bool is_rooted)
{
    uint32_t open = p->lexer.token.start;
    size_t base = p->item_count;
    if (!sfi_cel_parser_advance(p)) {
        return NULL;
    }
    if (sfi_cel_parser_kind(p) != SFI_CEL_TOKEN_RPAREN) {
        do {
            if (!sfi_cel_parser_push_node(p, sfi_cel_parse_expression(p), 0)) {
                return NULL;
            }
        } while (sfi_cel_parser_skip(p, SFI_CEL_TOKEN_COMMA));
    }
    if (p->st != SHARDY_OK || !sfi_cel_parser_close(p, SFI_CEL_TOKEN_RPAREN, open, "',' or ')'")) {
        return NULL;
    }
    struct sfi_cel_call_site site = {
        .function = sfi_cel_parser_name(p, name),
        .position = name.start,
        .target = target,
        .count = (uint32_t)(p->item_count - base),
        .is_rooted = is_rooted,
    };
    site.args = pop_nodes(p, base);
    return site.args == NULL ? NULL : finish_call(p, &site);
}

/* `?` before an element; false: failure. */
static bool skip_optional(struct sfi_cel_parser *p, bool *is_optional)
{
    *is_optional = sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_QUESTION;
    return !*is_optional || sfi_cel_parser_advance(p);
}

static bool parse_list_element(struct sfi_cel_parser *p, struct sfi_cel_element *element)
{
    return skip_optional(p, &element->optional) &&
           (element->value = sfi_cel_parse_expression(p)) != NULL;
}

static bool parse_colon(struct sfi_cel_parser *p, const char *expected)
{
    if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_COLON) {
        return sfi_cel_parser_advance(p);
    }
    sfi_cel_parser_fail_expected(p, expected);
    return false;
}

static bool parse_map_element(struct sfi_cel_parser *p, struct sfi_cel_element *element)
{
    return skip_optional(p, &element->optional) &&
           (element->key = sfi_cel_parse_expression(p)) != NULL &&
           parse_colon(p, "':' after the key of a map entry") &&
           (element->value = sfi_cel_parse_expression(p)) != NULL;
}

static bool parse_field_element(struct sfi_cel_parser *p, struct sfi_cel_element *element)
{
    if (!skip_optional(p, &element->optional)) {
        return false;
    }
    struct sfi_cel_token token = p->lexer.token;
    if (token.kind != SFI_CEL_TOKEN_IDENT && token.kind != SFI_CEL_TOKEN_RESERVED &&
        token.kind != SFI_CEL_TOKEN_QUOTED) {
        sfi_cel_parser_fail_expected(p, "the name of a message field");
        return false;
    }
    element->field = sfi_cel_parser_name(p, token);
    return sfi_cel_parser_advance(p) && parse_colon(p, "':' after the name of a message field") &&
           (element->value = sfi_cel_parse_expression(p)) != NULL;
}

/* The elements of a list, map or message from behind its opening bracket to its end. */
static struct sfi_cel_element *
parse_elements(struct sfi_cel_parser *p, struct sfi_cel_node *node, uint32_t open,
               enum sfi_cel_token_kind end,
               bool (*parse)(struct sfi_cel_parser *, struct sfi_cel_element *), uint32_t *count)
{
    size_t base = p->item_count;
    while (sfi_cel_parser_kind(p) != end) {
        struct sfi_cel_item item = {0};
        if (!parse(p, &item.element) || !sfi_cel_parser_push(p, item)) {
            return NULL;
        }
        if (!sfi_cel_parser_skip(p, SFI_CEL_TOKEN_COMMA)) {
            break;
        }
    }
    if (p->st != SHARDY_OK ||
        !sfi_cel_parser_close(p, end, open,
                              end == SFI_CEL_TOKEN_RBRACKET ? "',' or ']'" : "',' or '}'")) {
        return NULL;
    }
    return pop_elements(p, base, node, count);
}

static struct sfi_cel_node *parse_list(struct sfi_cel_parser *p, enum sfi_cel_node_kind kind)
{
    uint32_t open = p->lexer.token.start;
    bool is_list = kind == SFI_CEL_NODE_LIST;
    struct sfi_cel_node *node = sfi_cel_node_new(p, kind, open);
    if (node == NULL || !sfi_cel_parser_advance(p)) {
        return NULL;
    }
    node->list.elements =
        parse_elements(p, node, open, is_list ? SFI_CEL_TOKEN_RBRACKET : SFI_CEL_TOKEN_RBRACE,
                       is_list ? parse_list_element : parse_map_element, &node->list.count);
    return node->list.elements == NULL ? NULL : node;
}

/* Text of a chain of plain selections from an identifier, right to left. */
static bool dotted_name(struct sfi_cel_parser *p, const struct sfi_cel_node *chain,
                        struct sfi_cel_name *name)
{
    size_t size = 0;
    const struct sfi_cel_node *at;
    for (at = chain; at->kind == SFI_CEL_NODE_SELECT; at = at->select.operand) {
        size += at->select.field.size + 1;
    }
    size += at->ident.name.size;
    char *text = sfi_cel_alloc(p->ast->arena, size);
    if (text == NULL) {
        sfi_cel_parser_fail_memory(p);
        return false;
    }
    size_t end = size;
    for (at = chain; at->kind == SFI_CEL_NODE_SELECT; at = at->select.operand) {
        end -= at->select.field.size;
        memcpy(text + end, at->select.field.text, at->select.field.size);
        text[--end] = '.';
    }
    memcpy(text, at->ident.name.text, at->ident.name.size);
    *name = (struct sfi_cel_name){text, (uint32_t)size};
    return true;
}

/* `chain` is the name before the current '{'. */
static struct sfi_cel_node *parse_message(struct sfi_cel_parser *p, struct sfi_cel_node *chain)
{
    uint32_t open = p->lexer.token.start;
    const struct sfi_cel_node *first = chain;
    while (first->kind == SFI_CEL_NODE_SELECT) {
        first = first->select.operand;
    }
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_MESSAGE, first->position);
    if (node == NULL || !dotted_name(p, chain, &node->message.name) || !sfi_cel_parser_advance(p)) {
        return NULL;
    }
    node->message.is_rooted = first->ident.is_rooted;
    node->message.elements = parse_elements(p, node, open, SFI_CEL_TOKEN_RBRACE,
                                            parse_field_element, &node->message.count);
    return node->message.elements == NULL ? NULL : node;
}

/* A name at the start of an expression: identifier or global call. */
static struct sfi_cel_node *parse_name(struct sfi_cel_parser *p, bool is_rooted, bool *is_name)
{
    struct sfi_cel_token token = p->lexer.token;
    char text[SFI_CEL_TOKEN_TEXT];
    if (token.kind == SFI_CEL_TOKEN_RESERVED) {
        return sfi_cel_parser_fail(p, token.start,
                                   "%s is a reserved word and cannot be a name: it can only follow "
                                   "a dot",
                                   sfi_cel_token_text(&p->lexer, token, text));
    }
    if (token.kind != SFI_CEL_TOKEN_IDENT) {
        return sfi_cel_parser_fail_expected(p, "a name after '.'");
    }
    if (!sfi_cel_parser_advance(p)) {
        return NULL;
    }
    if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_LPAREN) {
        return parse_call(p, token, NULL, is_rooted);
    }
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_IDENT, token.start);
    if (node != NULL) {
        node->ident.name = sfi_cel_parser_name(p, token);
        node->ident.is_rooted = is_rooted;
        *is_name = true;
    }
    return node;
}

static struct sfi_cel_node *parse_literal(struct sfi_cel_parser *p, uint32_t position,
                                          bool is_negative)
{
    struct sfi_cel_token token = p->lexer.token;
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_CONST, position);
    if (node == NULL) {
        return NULL;
    }
    bool parsed = true;
    switch (token.kind) {
    case SFI_CEL_TOKEN_NULL:
        node->constant = sfi_cel_null();
        break;
    case SFI_CEL_TOKEN_TRUE:
    case SFI_CEL_TOKEN_FALSE:
        node->constant = sfi_cel_bool(token.kind == SFI_CEL_TOKEN_TRUE);
        break;
    case SFI_CEL_TOKEN_STRING:
    case SFI_CEL_TOKEN_BYTES:
        parsed = sfi_cel_literal_text(p, token, &node->constant);
        break;
    default:
        parsed = sfi_cel_literal_number(p, token, is_negative, &node->constant);
        break;
    }
    return parsed && sfi_cel_parser_advance(p) ? node : NULL;
}

static struct sfi_cel_node *parse_group(struct sfi_cel_parser *p)
{
    uint32_t open = p->lexer.token.start;
    if (!sfi_cel_parser_advance(p)) {
        return NULL;
    }
    struct sfi_cel_node *node = sfi_cel_parse_expression(p);
    return node != NULL && sfi_cel_parser_close(p, SFI_CEL_TOKEN_RPAREN, open, "')'") ? node : NULL;
}

static struct sfi_cel_node *fail_operand(struct sfi_cel_parser *p)
{
    char previous[SFI_CEL_TOKEN_TEXT];
    char text[SFI_CEL_TOKEN_TEXT + 32];
    if (p->lexer.previous.kind == SFI_CEL_TOKEN_END) {
        return sfi_cel_parser_fail_expected(p, "an expression");
    }
    snprintf(text, sizeof text, "an expression after %s",
             sfi_cel_token_text(&p->lexer, p->lexer.previous, previous));
    return sfi_cel_parser_fail_expected(p, text);
}

/* `*is_name`: an identifier, not in parentheses. */
static struct sfi_cel_node *parse_primary(struct sfi_cel_parser *p, bool *is_name)
{
    *is_name = false;
    switch (sfi_cel_parser_kind(p)) {
    case SFI_CEL_TOKEN_IDENT:
    case SFI_CEL_TOKEN_RESERVED:
        return parse_name(p, false, is_name);
    case SFI_CEL_TOKEN_DOT:
        return sfi_cel_parser_advance(p) ? parse_name(p, true, is_name) : NULL;
    case SFI_CEL_TOKEN_NULL:
    case SFI_CEL_TOKEN_TRUE:
    case SFI_CEL_TOKEN_FALSE:
    case SFI_CEL_TOKEN_STRING:
    case SFI_CEL_TOKEN_BYTES:
    case SFI_CEL_TOKEN_INT:
    case SFI_CEL_TOKEN_UINT:
    case SFI_CEL_TOKEN_DOUBLE:
        return parse_literal(p, p->lexer.token.start, false);
    case SFI_CEL_TOKEN_LPAREN:
        return parse_group(p);
    case SFI_CEL_TOKEN_LBRACKET:
        return parse_list(p, SFI_CEL_NODE_LIST);
    case SFI_CEL_TOKEN_LBRACE:
        return parse_list(p, SFI_CEL_NODE_MAP);
    default:
        return fail_operand(p);
    }
}

/* Behind a dot: .f, .?f, .f(args). `*is_name` stays for plain selections only. */
static struct sfi_cel_node *parse_select(struct sfi_cel_parser *p, struct sfi_cel_node *operand,
                                         bool *is_name)
{
    bool is_optional;
    if (!sfi_cel_parser_advance(p) || !skip_optional(p, &is_optional)) {
        return NULL;
    }
    struct sfi_cel_token token = p->lexer.token;
    if (token.kind != SFI_CEL_TOKEN_IDENT && token.kind != SFI_CEL_TOKEN_RESERVED &&
        token.kind != SFI_CEL_TOKEN_QUOTED) {
        return sfi_cel_parser_fail_expected(p, is_optional ? "a field name after '.?'"
                                                           : "a field or method name after '.'");
    }
    if (!sfi_cel_parser_advance(p)) {
        return NULL;
    }
    bool is_quoted = token.kind == SFI_CEL_TOKEN_QUOTED;
    if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_LPAREN) {
        *is_name = false;
        if (is_optional || is_quoted) {
            return sfi_cel_parser_fail(p, p->lexer.token.start,
                                       is_quoted ? "a quoted name is a field, it cannot be called"
                                                 : "'.?' selects a field, it cannot call a method");
        }
        return parse_call(p, token, operand, false);
    }
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_SELECT, token.start);
    if (node == NULL || !sfi_cel_node_adopt(p, node, operand)) {
        return NULL;
    }
    node->select.operand = operand;
    node->select.field = sfi_cel_parser_name(p, token);
    node->select.is_optional = is_optional;
    node->select.is_quoted = is_quoted;
    *is_name = *is_name && !is_optional && !is_quoted;
    return node;
}

static struct sfi_cel_node *parse_index(struct sfi_cel_parser *p, struct sfi_cel_node *operand)
{
    uint32_t open = p->lexer.token.start;
    bool is_optional;
    if (!sfi_cel_parser_advance(p) || !skip_optional(p, &is_optional)) {
        return NULL;
    }
    struct sfi_cel_node *index = sfi_cel_parse_expression(p);
    if (index == NULL || !sfi_cel_parser_close(p, SFI_CEL_TOKEN_RBRACKET, open, "']'")) {
        return NULL;
    }
    return sfi_cel_operator_call(p, is_optional ? "_[?_]" : "_[_]", open, operand, index, NULL);
}

/* What may follow a primary expression. */
static struct sfi_cel_node *parse_suffixes(struct sfi_cel_parser *p, struct sfi_cel_node *node,
                                           bool is_name)
{
    while (node != NULL) {
        switch (sfi_cel_parser_kind(p)) {
        case SFI_CEL_TOKEN_DOT:
            node = parse_select(p, node, &is_name);
            break;
        case SFI_CEL_TOKEN_LBRACKET:
            node = parse_index(p, node);
            is_name = false;
            break;
        case SFI_CEL_TOKEN_LBRACE:
            if (!is_name) {
                return node;
            }
            node = parse_message(p, node);
            is_name = false;
            break;
        default:
            return node;
        }
    }
    return NULL;
}

struct sfi_cel_node *sfi_cel_parse_member(struct sfi_cel_parser *p)
{
    bool is_name;
    struct sfi_cel_node *node = parse_primary(p, &is_name);
    return parse_suffixes(p, node, is_name);
}

struct sfi_cel_node *sfi_cel_parse_negative(struct sfi_cel_parser *p, uint32_t minus)
{
    return parse_suffixes(p, parse_literal(p, minus, true), false);
}
