/*
 * parser.c - recursive descent over the grammar of cel-spec, doc/langdef.md, "Syntax", with the
 * optional syntax (a.?b, a[?b], [?x], {?k: v}) and quoted field names. Here: the state of a parse,
 * its limits and its errors. Operators are parser_operator.c's, what they stand between
 * parser_member.c's, macros macro.c's, values of literals literal.c's.
 */
#include "cel/parser_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>

struct sfi_cel_node *sfi_cel_parser_fail(struct sfi_cel_parser *parser, uint32_t position,
                                         const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    parser->st = sfi_cel_fail_at(parser->ast, position, parser->err, "%s", text);
    return NULL;
}

struct sfi_cel_node *sfi_cel_parser_fail_memory(struct sfi_cel_parser *parser)
{
    parser->st = sfi_cel_arena_status(parser->ast->arena, "the parsed expression", parser->err);
    return NULL;
}

struct sfi_cel_node *sfi_cel_parser_fail_depth(struct sfi_cel_parser *p, uint32_t position)
{
    uint32_t line;
    uint32_t column;
    sfi_cel_locate(p->ast, position, &line, &column);
    p->st = sfi_fail(p->err, SHARDY_LIMIT,
                     "%u:%u: the expression is nested more than %u deep (each operator of a chain "
                     "like a + b + c nests; && and || do not): put parentheses around parts of a "
                     "long chain",
                     line, column, SFI_CEL_MAX_DEPTH);
    return NULL;
}

struct sfi_cel_node *sfi_cel_node_new(struct sfi_cel_parser *parser, enum sfi_cel_node_kind kind,
                                      uint32_t position)
{
    if (parser->ast->node_count >= SFI_CEL_MAX_NODES) {
        parser->st = sfi_fail(parser->err, SHARDY_LIMIT,
                              "the expression has more than %u operators, names and values",
                              SFI_CEL_MAX_NODES);
        return NULL;
    }
    struct sfi_cel_node *node = sfi_cel_alloc(parser->ast->arena, sizeof *node);
    if (node == NULL) {
        return sfi_cel_parser_fail_memory(parser);
    }
    memset(node, 0, sizeof *node);
    node->kind = kind;
    node->id = parser->ast->node_count++;
    node->position = position;
    node->height = 1;
    return node;
}

bool sfi_cel_node_adopt(struct sfi_cel_parser *parser, struct sfi_cel_node *node,
                        const struct sfi_cel_node *child)
{
    if (child == NULL || child->height < node->height) {
        return true;
    }
    if (child->height >= SFI_CEL_MAX_DEPTH) {
        sfi_cel_parser_fail_depth(parser, node->position);
        return false;
    }
    node->height = child->height + 1;
    return true;
}

uint32_t sfi_cel_node_start(const struct sfi_cel_node *node)
{
    for (;;) {
        if (node->kind == SFI_CEL_NODE_SELECT && !node->select.is_test) {
            node = node->select.operand;
        } else if (node->kind == SFI_CEL_NODE_CALL && node->call.target != NULL) {
            node = node->call.target;
        } else if (node->kind == SFI_CEL_NODE_CALL && node->call.count > 1 &&
                   (node->call.function.text[0] == '_' || node->call.function.text[0] == '@')) {
            node = node->call.args[0];
        } else if (node->kind == SFI_CEL_NODE_LOOP) {
            node = node->loop.range;
        } else if (node->kind == SFI_CEL_NODE_OPT_MAP) {
            node = node->opt_map.target;
        } else {
            return node->position;
        }
    }
}

bool sfi_cel_parser_advance(struct sfi_cel_parser *p)
{
    p->st = sfi_cel_lexer_next(&p->lexer, p->err);
    return p->st == SHARDY_OK;
}

bool sfi_cel_parser_skip(struct sfi_cel_parser *p, enum sfi_cel_token_kind kind)
{
    return sfi_cel_parser_kind(p) == kind && sfi_cel_parser_advance(p);
}

/* Words of other languages. */
static const char *word_hint(const struct sfi_cel_parser *p)
{
    struct sfi_cel_name name = sfi_cel_parser_name(p, p->lexer.token);
    if (sfi_cel_parser_kind(p) == SFI_CEL_TOKEN_QUESTION) {
        return ": put a conditional inside a conditional in parentheses";
    }
    if (sfi_cel_parser_kind(p) != SFI_CEL_TOKEN_IDENT) {
        return "";
    }
    if (sfi_cel_name_is(name, "and") || sfi_cel_name_is(name, "AND")) {
        return ": write && for 'and'";
    }
    if (sfi_cel_name_is(name, "or") || sfi_cel_name_is(name, "OR")) {
        return ": write || for 'or'";
    }
    if (sfi_cel_name_is(name, "not") || sfi_cel_name_is(name, "NOT")) {
        return ": write !(x in list) for 'x not in list'";
    }
    return "";
}

struct sfi_cel_node *sfi_cel_parser_fail_expected(struct sfi_cel_parser *p, const char *expected)
{
    char found[SFI_CEL_TOKEN_TEXT];
    return sfi_cel_parser_fail(p, p->lexer.token.start, "expected %s, found %s%s", expected,
                               sfi_cel_token_text(&p->lexer, p->lexer.token, found), word_hint(p));
}

bool sfi_cel_parser_close(struct sfi_cel_parser *p, enum sfi_cel_token_kind kind, uint32_t open,
                          const char *expected)
{
    if (sfi_cel_parser_kind(p) == kind) {
        return sfi_cel_parser_advance(p);
    }
    char found[SFI_CEL_TOKEN_TEXT];
    uint32_t line;
    uint32_t column;
    sfi_cel_locate(p->ast, open, &line, &column);
    sfi_cel_parser_fail(p, p->lexer.token.start,
                        "expected %s to close '%c' opened at %u:%u, found %s%s", expected,
                        p->ast->source[open], line, column,
                        sfi_cel_token_text(&p->lexer, p->lexer.token, found), word_hint(p));
    return false;
}

bool sfi_cel_parser_push(struct sfi_cel_parser *p, struct sfi_cel_item item)
{
    if (p->item_count == p->item_capacity) {
        size_t capacity = p->item_capacity * 2;
        bool is_inline = p->items == p->few;
        struct sfi_cel_item *grown =
            sfi_realloc(is_inline ? NULL : p->items, capacity * sizeof *grown);
        if (grown == NULL) {
            p->st = sfi_fail_memory(p->err, capacity * sizeof *grown);
            return false;
        }
        if (is_inline) {
            memcpy(grown, p->few, sizeof p->few);
        }
        p->items = grown;
        p->item_capacity = capacity;
    }
    p->items[p->item_count++] = item;
    return true;
}

bool sfi_cel_parser_push_node(struct sfi_cel_parser *p, struct sfi_cel_node *node,
                              uint32_t position)
{
    struct sfi_cel_item item = {.element = {.value = node}, .position = position};
    return node != NULL && sfi_cel_parser_push(p, item);
}

/* Copy the source into the arena, and see that it is UTF-8 of an acceptable size. */
static shardy_status take_source(struct sfi_cel_ast *ast, const char *source, size_t size,
                                 shardy_error *err)
{
    size_t most = SFI_CEL_MAX_SOURCE / 4;
    size_t characters = 0;
    if (size > SFI_CEL_MAX_SOURCE) {
        return sfi_fail(err, SHARDY_LIMIT, "the expression is %zu bytes long, at most %u are taken",
                        size, SFI_CEL_MAX_SOURCE);
    }
    char *copy = sfi_cel_alloc(ast->arena, size + 1);
    if (copy == NULL) {
        return sfi_cel_arena_status(ast->arena, "the parsed expression", err);
    }
    memcpy(copy, source, size);
    copy[size] = '\0';
    ast->source = copy;
    ast->source_size = (uint32_t)size;
    for (size_t at = 0; at < size; characters++) {
        uint32_t code;
        uint32_t bytes = 1;
        if ((copy[at] & 0x80) != 0 && !sfi_cel_decode(copy + at, size - at, &code, &bytes)) {
            return sfi_cel_fail_at(ast, (uint32_t)at, err, "byte 0x%02X is not UTF-8",
                                   (unsigned char)copy[at]);
        }
        at += bytes;
    }
    if (characters > most) {
        return sfi_fail(err, SHARDY_LIMIT,
                        "the expression is %zu characters long, at most %zu are taken", characters,
                        most);
    }
    return SHARDY_OK;
}

shardy_status sfi_cel_parse(struct sfi_cel_arena *arena, const char *source, size_t size,
                            unsigned flags, struct sfi_cel_ast *ast, shardy_error *err)
{
    *ast = (struct sfi_cel_ast){.arena = arena, .source = ""};
    SFI_RETURN_IF_ERR(take_source(ast, source, size, err));

    struct sfi_cel_parser parser;
    parser.ast = ast;
    parser.lexer = (struct sfi_cel_lexer){.ast = ast};
    parser.flags = flags;
    parser.depth = 0;
    parser.err = err;
    parser.items = parser.few;
    parser.item_count = 0;
    parser.item_capacity = SFI_CEL_ITEMS_INLINE;

    struct sfi_cel_node *root =
        sfi_cel_parser_advance(&parser) ? sfi_cel_parse_expression(&parser) : NULL;
    if (root != NULL && sfi_cel_parser_kind(&parser) != SFI_CEL_TOKEN_END) {
        root = sfi_cel_parser_fail_expected(&parser, "an operator or the end of the expression");
    }
    if (parser.items != parser.few) {
        sfi_free(parser.items);
    }
    ast->root = root;
    return root == NULL ? parser.st : SHARDY_OK;
}
