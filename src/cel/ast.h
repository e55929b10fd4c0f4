/*
 * ast.h - an expression as a tree, as the parser leaves it, and what the checker adds to it.
 *
 * Operators are calls with the function names of the CEL specification (cel-spec, doc/langdef.md,
 * "List of Standard Definitions"): _+_ _-_ _*_ _/_ _%_ -_ !_ _==_ _!=_ _<_ _<=_ _>_ _>=_ _&&_ _||_
 * _?_:_ @in _[_] _[?_]. Macros are nodes of their own (LOOP, BIND, ...) instead of the
 * specification's comprehensions: they print as they were written, and evaluators need not find
 * out again what a fold does.
 *
 * Everything lives in the arena of the compilation. Text points into the source or the arena.
 */
#ifndef SFI_CEL_AST_H
#define SFI_CEL_AST_H

#include "cel/value.h"

enum sfi_cel_node_kind {
    SFI_CEL_NODE_CONST,
    SFI_CEL_NODE_IDENT,
    SFI_CEL_NODE_SELECT,  /* e.f, has(e.f), e.?f */
    SFI_CEL_NODE_CALL,    /* f(args), e.f(args), operators */
    SFI_CEL_NODE_LIST,    /* [a, ?b] */
    SFI_CEL_NODE_MAP,     /* {k: v, ?k: v} */
    SFI_CEL_NODE_MESSAGE, /* T{f: v} */
    SFI_CEL_NODE_LOOP,    /* all, exists, map, ... */
    SFI_CEL_NODE_BIND,    /* cel.bind(v, init, body) */
    SFI_CEL_NODE_BLOCK,   /* cel.block([...], body) */
    SFI_CEL_NODE_OPT_MAP  /* e.optMap(v, body), e.optFlatMap(v, body) */
};

/* Loops of one variable (element or key) and of two (index or key, and value). */
enum sfi_cel_loop {
    SFI_CEL_LOOP_ALL,
    SFI_CEL_LOOP_EXISTS,
    SFI_CEL_LOOP_EXISTS_ONE,
    SFI_CEL_LOOP_MAP,            /* one variable: e.map(x, body), e.map(x, filter, body) */
    SFI_CEL_LOOP_FILTER,         /* one variable: e.filter(x, body) */
    SFI_CEL_LOOP_TRANSFORM_LIST, /* two variables, filter optional */
    SFI_CEL_LOOP_TRANSFORM_MAP,  /* two variables, filter optional */
    SFI_CEL_LOOP_TRANSFORM_ENTRY /* two variables, filter optional; body is a map */
};

struct sfi_cel_name {
    const char *text;
    uint32_t size;
};

struct sfi_cel_node;
struct sfi_cel_overload;

struct sfi_cel_element {
    struct sfi_cel_node *key; /* MAP: key; MESSAGE: NULL */
    struct sfi_cel_node *value;
    struct sfi_cel_name field; /* MESSAGE */
    bool optional;             /* written with ? */
};

/* What an identifier, or a chain of selections, stands for. Set by the checker. */
enum sfi_cel_reference {
    SFI_CEL_REF_NONE,     /* not a name, or (unchecked) nobody's: an error when evaluated */
    SFI_CEL_REF_VARIABLE, /* declared variable `index` */
    SFI_CEL_REF_LOCAL,    /* macro variable or block entry: local slot `index` */
    SFI_CEL_REF_VALUE     /* a constant: type names */
};

struct sfi_cel_node {
    enum sfi_cel_node_kind kind;
    uint32_t id;       /* 0 .. count-1, in order of creation */
    uint32_t position; /* byte offset in the source; of operators, of a field's or method's name */
    uint32_t height;   /* of the tree from here: 1 for leaves, at most SFI_CEL_MAX_DEPTH */

    /* The checker's findings. */
    const struct sfi_cel_type *type;  /* deduced; DYN when unchecked */
    enum sfi_cel_reference reference; /* IDENT, SELECT */
    uint32_t index;                   /* of the variable or local */
    struct sfi_cel_value resolved;    /* REF_VALUE */
    /* CALL: overloads that remain possible, in order of declaration; NULL for && || ?: and for
     * unknown functions of unchecked expressions. Exactly one: no need to look at kinds. */
    const struct sfi_cel_overload *const *overloads;
    uint32_t overload_count;
    bool is_namespaced; /* CALL with a target that is part of the function's name: no target */

    union {
        struct sfi_cel_value constant; /* CONST: null, bool, int, uint, double, string, bytes */
        struct {
            struct sfi_cel_name name;
            bool is_rooted; /* written .name */
        } ident;
        struct {
            struct sfi_cel_node *operand;
            struct sfi_cel_name field;
            bool is_test;     /* has(operand.field) */
            bool is_optional; /* operand.?field */
            bool is_quoted;   /* operand.`field`: never part of a qualified name */
        } select;
        struct {
            struct sfi_cel_name function;
            struct sfi_cel_node *target; /* e of e.f(args), or NULL */
            struct sfi_cel_node **args;  /* without the target */
            uint32_t count;
            bool is_rooted; /* written .f(args) */
        } call;
        struct {
            struct sfi_cel_element *elements;
            uint32_t count;
        } list; /* LIST, MAP */
        struct {
            struct sfi_cel_name name; /* dotted, as written */
            struct sfi_cel_element *elements;
            uint32_t count;
            bool is_rooted;
        } message;
        struct {
            enum sfi_cel_loop loop;
            struct sfi_cel_name var[2]; /* var[1].text NULL: one variable */
            struct sfi_cel_node *range;
            struct sfi_cel_node *filter; /* or NULL */
            struct sfi_cel_node *body;
            uint32_t local; /* checker: slots local and local + 1 */
            bool is_camel;  /* written existsOne instead of exists_one */
        } loop;
        struct {
            struct sfi_cel_name var;
            struct sfi_cel_node *init;
            struct sfi_cel_node *body;
            uint32_t local;
        } bind;
        struct {
            struct sfi_cel_node **entries; /* cel.index(i) is IDENT "@index<i>" */
            uint32_t count;
            struct sfi_cel_node *body;
            uint32_t local; /* slot of entry 0 */
        } block;
        struct {
            struct sfi_cel_name var;
            struct sfi_cel_node *target;
            struct sfi_cel_node *body;
            uint32_t local;
            bool is_flat;
        } opt_map;
    };
};

struct sfi_cel_ast {
    struct sfi_cel_arena *arena;
    const char *source; /* a NUL-terminated copy in the arena */
    uint32_t source_size;
    uint32_t node_count;
    uint32_t local_count; /* slots of macro variables and block entries (checker) */
    struct sfi_cel_node *root;
};

#define SFI_CEL_PARSE_NO_MACROS 1u /* has, all, ... are ordinary calls */

/*
 * Parse. Memory comes from `arena`. CONFIG: syntax, with line, column, the line and a caret (see
 * sfi_cel_fail_at()); LIMIT: source, nesting or number of nodes; NO_MEMORY.
 */
shardy_status sfi_cel_parse(struct sfi_cel_arena *arena, const char *source, size_t size,
                            unsigned flags, struct sfi_cel_ast *ast, shardy_error *err);

/* "<line>:<column>: message\n | source line\n | ....^" with CONFIG. Long lines are cut. */
shardy_status sfi_cel_fail_at(const struct sfi_cel_ast *ast, uint32_t position, shardy_error *err,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Line and column (in code points), both from 1. */
void sfi_cel_locate(const struct sfi_cel_ast *ast, uint32_t position, uint32_t *line,
                    uint32_t *column);

/*
 * The expression as source text with as few parentheses as parsing back needs: parse(print(ast))
 * equals ast. NUL-terminated in the arena; NULL: arena's limit or memory.
 */
const char *sfi_cel_print(struct sfi_cel_arena *arena, const struct sfi_cel_node *node);
/* The same tree: kinds, names, constants (doubles by bits), shapes; not positions. */
bool sfi_cel_ast_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b);

#endif
