/*
 * parser_internal.h - what parser.c, macro.c and literal.c share: the state of one parse.
 *
 * Functions that make nodes return NULL after a failure, which is then in `st` and `err`; nobody
 * goes on after that.
 */
#ifndef SFI_CEL_PARSER_INTERNAL_H
#define SFI_CEL_PARSER_INTERNAL_H

#include "cel/lexer.h"

/* A part of a node that is not complete yet: argument, element, operand of && or ||. */
struct sfi_cel_item {
    struct sfi_cel_element element;
    uint32_t position;
};

#define SFI_CEL_ITEMS_INLINE 32

struct sfi_cel_parser {
    struct sfi_cel_ast *ast;
    struct sfi_cel_lexer lexer;
    unsigned flags;
    uint32_t depth; /* of recursion */
    shardy_status st;
    shardy_error *err;
    /* A stack: the innermost unfinished node's parts are on top. */
    struct sfi_cel_item *items; /* `few`, or a heap block */
    size_t item_count;
    size_t item_capacity;
    struct sfi_cel_item few[SFI_CEL_ITEMS_INLINE];
};

struct sfi_cel_call_site {
    struct sfi_cel_name function;
    uint32_t position;
    struct sfi_cel_node *target; /* or NULL */
    struct sfi_cel_node **args;
    uint32_t count;
    bool is_rooted;
};

/* Report a failure; the result is always NULL. */
struct sfi_cel_node *sfi_cel_parser_fail(struct sfi_cel_parser *parser, uint32_t position,
                                         const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The arena is used up. */
struct sfi_cel_node *sfi_cel_parser_fail_memory(struct sfi_cel_parser *parser);

struct sfi_cel_node *sfi_cel_parser_fail_depth(struct sfi_cel_parser *p, uint32_t position);
/* "expected <expected>, found <the current token>". */
struct sfi_cel_node *sfi_cel_parser_fail_expected(struct sfi_cel_parser *p, const char *expected);

/* To the next token; false: reported. */
bool sfi_cel_parser_advance(struct sfi_cel_parser *p);
/* Skip the current token if it is of this kind. false: no, or (st) a failure behind it. */
bool sfi_cel_parser_skip(struct sfi_cel_parser *p, enum sfi_cel_token_kind kind);
/* The current token ends what `open` started, or there is an error that says where that was. */
bool sfi_cel_parser_close(struct sfi_cel_parser *p, enum sfi_cel_token_kind kind, uint32_t open,
                          const char *expected);
bool sfi_cel_parser_push(struct sfi_cel_parser *p, struct sfi_cel_item item);
bool sfi_cel_parser_push_node(struct sfi_cel_parser *p, struct sfi_cel_node *node,
                              uint32_t position); /* NULL: false */

/* From the current token on. */
struct sfi_cel_node *sfi_cel_parse_expression(struct sfi_cel_parser *p);
struct sfi_cel_node *sfi_cel_parse_member(struct sfi_cel_parser *p);
/* A number whose sign, at `minus`, has been read, and what follows it. */
struct sfi_cel_node *sfi_cel_parse_negative(struct sfi_cel_parser *p, uint32_t minus);
/* A call of one of the specification's operators; `b` and `c` may be NULL. */
struct sfi_cel_node *sfi_cel_operator_call(struct sfi_cel_parser *p, const char *function,
                                           uint32_t position, struct sfi_cel_node *a,
                                           struct sfi_cel_node *b, struct sfi_cel_node *c);

/* A zeroed node of height 1. */
struct sfi_cel_node *sfi_cel_node_new(struct sfi_cel_parser *parser, enum sfi_cel_node_kind kind,
                                      uint32_t position);
/* `child` (may be NULL) is now below `node`: false when that is too deep. */
bool sfi_cel_node_adopt(struct sfi_cel_parser *parser, struct sfi_cel_node *node,
                        const struct sfi_cel_node *child);
/* Where the text of an expression starts. */
uint32_t sfi_cel_node_start(const struct sfi_cel_node *node);

/* Whether the call is one of a macro; then *node is what stands for it, or NULL after a failure. */
bool sfi_cel_macro_expand(struct sfi_cel_parser *parser, const struct sfi_cel_call_site *site,
                          struct sfi_cel_node **node);

/* Values of literals; `token` is of the kind. false: reported. */
bool sfi_cel_literal_number(struct sfi_cel_parser *parser, struct sfi_cel_token token,
                            bool is_negative, struct sfi_cel_value *value);
bool sfi_cel_literal_text(struct sfi_cel_parser *parser, struct sfi_cel_token token,
                          struct sfi_cel_value *value);

static inline enum sfi_cel_token_kind sfi_cel_parser_kind(const struct sfi_cel_parser *p)
{
    return p->lexer.token.kind;
}

static inline struct sfi_cel_name sfi_cel_parser_name(const struct sfi_cel_parser *p,
                                                      struct sfi_cel_token token)
{
    uint32_t quote = token.kind == SFI_CEL_TOKEN_QUOTED;
    struct sfi_cel_name name = {p->ast->source + token.start + quote,
                                token.end - token.start - 2 * quote};
    return name;
}

static inline bool sfi_cel_name_is(struct sfi_cel_name name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.text, text, name.size) == 0;
}

#endif
