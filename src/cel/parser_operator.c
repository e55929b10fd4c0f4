/*
 * parser_operator.c - unary and binary operators and the conditional. Operators of one precedence
 * are parsed in a loop. Chains of && and || become balanced trees, as both are associative, and so
 * do not nest deeply.
 */
#include "cel/parser_internal.h"

#include "base/limits.h"

#include <stdio.h>

struct sfi_cel_node *sfi_cel_operator_call(struct sfi_cel_parser *p, const char *function,
                                           uint32_t position, struct sfi_cel_node *a,
                                           struct sfi_cel_node *b, struct sfi_cel_node *c)
{
    struct sfi_cel_node *node = sfi_cel_node_new(p, SFI_CEL_NODE_CALL, position);
    uint32_t count = c != NULL ? 3 : b != NULL ? 2 : 1;
    if (node == NULL || !sfi_cel_node_adopt(p, node, a) || !sfi_cel_node_adopt(p, node, b) ||
        !sfi_cel_node_adopt(p, node, c)) {
        return NULL;
    }
    node->call.args = sfi_cel_alloc_array(p->ast->arena, count, sizeof(struct sfi_cel_node *));
    if (node->call.args == NULL) {
        return sfi_cel_parser_fail_memory(p);
    }
    struct sfi_cel_node *args[3] = {a, b, c};
    memcpy(node->call.args, args, count * sizeof(struct sfi_cel_node *));
    node->call.count = count;
    node->call.function = (struct sfi_cel_name){function, (uint32_t)strlen(function)};
    return node;
}

static bool is_signed_number(enum sfi_cel_token_kind kind)
{
    return kind == SFI_CEL_TOKEN_INT || kind == SFI_CEL_TOKEN_DOUBLE;
}

/* Wrap the operand in the operators above `base`, the innermost one on top. */
static struct sfi_cel_node *wrap_unary(struct sfi_cel_parser *p, size_t base, const char *function,
                                       struct sfi_cel_node *node)
{
    while (node != NULL && p->item_count > base) {
        uint32_t position = p->items[--p->item_count].position;
        node = sfi_cel_operator_call(p, function, position, node, NULL, NULL);
    }
    return node;
}

/* ! and - do not mix: !-x and -!x need parentheses, but -1 is a literal. */
static struct sfi_cel_node *parse_unary(struct sfi_cel_parser *p)
{
    enum sfi_cel_token_kind kind = sfi_cel_parser_kind(p);
    size_t base = p->item_count;
    struct sfi_cel_node *node;

    if (kind != SFI_CEL_TOKEN_NOT && kind != SFI_CEL_TOKEN_MINUS) {
        return sfi_cel_parse_member(p);
    }
    uint32_t position = 0;
    while (sfi_cel_parser_kind(p) == kind) {
        struct sfi_cel_item item = {.position = p->lexer.token.start};
        position = item.position;
        if (!sfi_cel_parser_push(p, item) || !sfi_cel_parser_advance(p)) {
            return NULL;
        }
    }
    if (kind == SFI_CEL_TOKEN_MINUS) {
        if (is_signed_number(sfi_cel_parser_kind(p))) {
            p->item_count--;
            node = sfi_cel_parse_negative(p, position);
        } else if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_NOT) {
            return sfi_cel_parser_fail(p, p->lexer.token.start,
                                       "'!' cannot follow '-': write -(!x)");
        } else {
            node = sfi_cel_parse_member(p);
        }
        return wrap_unary(p, base, "-_", node);
    }
    if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_MINUS) {
        position = p->lexer.token.start;
        if (!sfi_cel_parser_advance(p)) {
            return NULL;
        }
        if (!is_signed_number(sfi_cel_parser_kind(p))) {
            return sfi_cel_parser_fail(p, position, "'-' cannot follow '!': write !(-x)");
        }
        node = sfi_cel_parse_negative(p, position);
    } else {
        node = sfi_cel_parse_member(p);
    }
    return wrap_unary(p, base, "!_", node);
}

enum { LEVEL_NONE, LEVEL_RELATION, LEVEL_SUM, LEVEL_PRODUCT };

static int operator_level(enum sfi_cel_token_kind kind, const char **function)
{
    static const struct {
        const char *function;
        int level;
    } rows[] = {
        [SFI_CEL_TOKEN_IN] = {"@in", LEVEL_RELATION},
        [SFI_CEL_TOKEN_PLUS] = {"_+_", LEVEL_SUM},
        [SFI_CEL_TOKEN_MINUS] = {"_-_", LEVEL_SUM},
        [SFI_CEL_TOKEN_TIMES] = {"_*_", LEVEL_PRODUCT},
        [SFI_CEL_TOKEN_DIVIDE] = {"_/_", LEVEL_PRODUCT},
        [SFI_CEL_TOKEN_MODULO] = {"_%_", LEVEL_PRODUCT},
        [SFI_CEL_TOKEN_EQUAL] = {"_==_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_NOT_EQUAL] = {"_!=_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_LESS] = {"_<_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_LESS_EQUAL] = {"_<=_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_GREATER] = {"_>_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_GREATER_EQUAL] = {"_>=_", LEVEL_RELATION},
        [SFI_CEL_TOKEN_OR] = {NULL, LEVEL_NONE},
    };
    *function = rows[kind].function;
    return rows[kind].level;
}

/* Relations, sums, products: operators of at least this level. */
static struct sfi_cel_node *parse_binary(struct sfi_cel_parser *p, int least)
{
    struct sfi_cel_node *left = parse_unary(p);
    while (left != NULL) {
        const char *function;
        int level = operator_level(sfi_cel_parser_kind(p), &function);
        if (level == LEVEL_NONE || level < least) {
            return left;
        }
        uint32_t position = p->lexer.token.start;
        if (!sfi_cel_parser_advance(p)) {
            return NULL;
        }
        struct sfi_cel_node *right = parse_binary(p, level + 1);
        left =
            right == NULL ? NULL : sfi_cel_operator_call(p, function, position, left, right, NULL);
    }
    return NULL;
}

/* A balanced tree over `count` operands, the left half having one more when they are odd. */
static struct sfi_cel_node *balance(struct sfi_cel_parser *p, const char *function, size_t first,
                                    size_t count)
{
    if (count == 1) {
        return p->items[first].element.value;
    }
    size_t half = (count + 1) / 2;
    struct sfi_cel_node *left = balance(p, function, first, half);
    struct sfi_cel_node *right =
        left == NULL ? NULL : balance(p, function, first + half, count - half);
    return right == NULL ? NULL
                         : sfi_cel_operator_call(p, function, p->items[first + half].position, left,
                                                 right, NULL);
}

static struct sfi_cel_node *parse_and(struct sfi_cel_parser *p)
{
    return parse_binary(p, LEVEL_RELATION);
}

static struct sfi_cel_node *parse_chain(struct sfi_cel_parser *p, enum sfi_cel_token_kind kind,
                                        const char *function,
                                        struct sfi_cel_node *(*parse)(struct sfi_cel_parser *))
{
    size_t base = p->item_count;
    struct sfi_cel_node *node = parse(p);
    if (node == NULL || sfi_cel_parser_kind(p) != kind) {
        return node;
    }
    if (!sfi_cel_parser_push_node(p, node, 0)) {
        return NULL;
    }
    while (sfi_cel_parser_kind(p) == kind) {
        uint32_t position = p->lexer.token.start;
        if (!sfi_cel_parser_advance(p) || !sfi_cel_parser_push_node(p, parse(p), position)) {
            return NULL;
        }
    }
    node = balance(p, function, base, p->item_count - base);
    p->item_count = base;
    return node;
}

static struct sfi_cel_node *parse_or(struct sfi_cel_parser *p)
{
    return parse_chain(p, SFI_CEL_TOKEN_AND, "_&&_", parse_and);
}

/* The condition has been read, '?' is the current token. */
static struct sfi_cel_node *parse_branches(struct sfi_cel_parser *p, struct sfi_cel_node *condition)
{
    uint32_t position = p->lexer.token.start;
    uint32_t line;
    uint32_t column;
    char expected[64];
    struct sfi_cel_node *yes =
        sfi_cel_parser_advance(p) ? parse_chain(p, SFI_CEL_TOKEN_OR, "_||_", parse_or) : NULL;
    if (yes == NULL) {
        return NULL;
    }
    if (sfi_cel_parser_kind(p) != SFI_CEL_TOKEN_COLON) {
        sfi_cel_locate(p->ast, position, &line, &column);
        snprintf(expected, sizeof expected, "':' of the conditional '?' at %u:%u", line, column);
        return sfi_cel_parser_fail_expected(p, expected);
    }
    struct sfi_cel_node *no = sfi_cel_parser_advance(p) ? sfi_cel_parse_expression(p) : NULL;
    return no == NULL ? NULL : sfi_cel_operator_call(p, "_?_:_", position, condition, yes, no);
}

struct sfi_cel_node *sfi_cel_parse_expression(struct sfi_cel_parser *p)
{
    if (p->depth >= SFI_CEL_MAX_DEPTH) {
        return sfi_cel_parser_fail_depth(p, p->lexer.token.start);
    }
    p->depth++;
    struct sfi_cel_node *node = parse_chain(p, SFI_CEL_TOKEN_OR, "_||_", parse_or);
    if (node != NULL && sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_QUESTION) {
        node = parse_branches(p, node);
    }
    p->depth--;
    return node;
}
