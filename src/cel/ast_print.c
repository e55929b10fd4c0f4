/*
 * ast_print.c - a tree as source text that parses back to the same tree, in the language's usual
 * layout: a blank around binary operators, double quotes, parentheses only where they are needed.
 */
#include "cel/lexer.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <math.h>

/* Text is at most this many times its source: "1e5" becomes 100000.0, a control \x01. */
#define PRINT_GROWTH 8u

/* How tightly an expression binds. */
enum {
    LEVEL_CONDITIONAL,
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_RELATION,
    LEVEL_SUM,
    LEVEL_PRODUCT,
    LEVEL_UNARY,
    LEVEL_MEMBER
};

struct operation {
    const char *function;
    const char *text;
    int level;
};

static void print(struct sfi_buf *out, const struct sfi_cel_node *node, int least);

static void put(struct sfi_buf *out, const char *text)
{
    (void)sfi_buf_append_text(out, text);
}

static void put_name(struct sfi_buf *out, struct sfi_cel_name name)
{
    (void)sfi_buf_append(out, name.text, name.size);
}

static bool name_is(struct sfi_cel_name name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.text, text, name.size) == 0;
}

/* The operator that a call stands for, or NULL. */
static const struct operation *operation_of(const struct sfi_cel_node *node)
{
    static const struct operation rows[] = {
        {"_&&_", " && ", LEVEL_AND},
        {"_||_", " || ", LEVEL_OR},
        {"_==_", " == ", LEVEL_RELATION},
        {"_!=_", " != ", LEVEL_RELATION},
        {"_<_", " < ", LEVEL_RELATION},
        {"_<=_", " <= ", LEVEL_RELATION},
        {"_>_", " > ", LEVEL_RELATION},
        {"_>=_", " >= ", LEVEL_RELATION},
        {"@in", " in ", LEVEL_RELATION},
        {"_+_", " + ", LEVEL_SUM},
        {"_-_", " - ", LEVEL_SUM},
        {"_*_", " * ", LEVEL_PRODUCT},
        {"_/_", " / ", LEVEL_PRODUCT},
        {"_%_", " % ", LEVEL_PRODUCT},
        {"_[_]", "[", LEVEL_MEMBER},
        {"_[?_]", "[?", LEVEL_MEMBER},
        {"-_", "-", LEVEL_UNARY},
        {"!_", "!", LEVEL_UNARY},
        {"_?_:_", " ? ", LEVEL_CONDITIONAL},
    };
    if (node->kind != SFI_CEL_NODE_CALL || node->call.target != NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (name_is(node->call.function, rows[i].function)) {
            return &rows[i];
        }
    }
    return NULL;
}

static void print_quoted(struct sfi_buf *out, struct sfi_cel_value value)
{
    bool is_bytes = value.kind == SFI_CEL_BYTES;
    put(out, is_bytes ? "b\"" : "\"");
    for (uint32_t i = 0, bytes; i < value.size; i += bytes) {
        const char *text = value.text + i;
        uint32_t code = (unsigned char)text[0];
        bool plain;
        bytes = 1;
        if (is_bytes) {
            plain = code < 0x80u;
        } else {
            plain = sfi_cel_decode(text, value.size - i, &code, &bytes);
        }
        plain = plain && !sfi_cel_is_hidden(code);
        if (code == '"' || code == '\\') {
            (void)sfi_buf_printf(out, "\\%c", (int)code);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            put(out, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
        } else if (plain) {
            (void)sfi_buf_append(out, text, bytes);
        } else {
            (void)sfi_buf_printf(out, code < 0x80u || is_bytes ? "\\x%02x" : "\\u%04x", code);
        }
    }
    put(out, "\"");
}

static void print_constant(struct sfi_buf *out, struct sfi_cel_value value)
{
    char text[256];
    if (value.kind == SFI_CEL_STRING || value.kind == SFI_CEL_BYTES) {
        print_quoted(out, value); /* whole, however long */
        return;
    }
    sfi_cel_value_text(value, text, sizeof text);
    put(out, text);
}

/* Operands of a list of arguments. */
static void print_nodes(struct sfi_buf *out, struct sfi_cel_node *const *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put(out, i > 0 ? ", " : "");
        print(out, nodes[i], LEVEL_CONDITIONAL);
    }
}

static void print_field(struct sfi_buf *out, struct sfi_cel_name name, bool is_quoted)
{
    put(out, is_quoted ? "`" : "");
    put_name(out, name);
    put(out, is_quoted ? "`" : "");
}

static bool needs_quotes(struct sfi_cel_name name)
{
    enum sfi_cel_token_kind kind = sfi_cel_word_kind(name.text, name.size);
    return !sfi_cel_is_word(name.text, name.size) ||
           (kind != SFI_CEL_TOKEN_IDENT && kind != SFI_CEL_TOKEN_RESERVED);
}

static void print_elements(struct sfi_buf *out, const struct sfi_cel_element *elements,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put(out, i > 0 ? ", " : "");
        put(out, elements[i].optional ? "?" : "");
        if (elements[i].key != NULL) {
            print(out, elements[i].key, LEVEL_CONDITIONAL);
            put(out, ": ");
        } else if (elements[i].field.text != NULL) {
            print_field(out, elements[i].field, needs_quotes(elements[i].field));
            put(out, ": ");
        }
        print(out, elements[i].value, LEVEL_CONDITIONAL);
    }
}

/* @index2, @it:0:1 and @ac:0:1 are cel.index(2), cel.iterVar(0, 1) and cel.accuVar(0, 1). */
static void print_identifier(struct sfi_buf *out, struct sfi_cel_name name)
{
    if (name.text[0] != '@') {
        put_name(out, name);
        return;
    }
    bool is_index = name.text[2] == 'n';
    put(out, is_index ? "cel.index(" : name.text[1] == 'i' ? "cel.iterVar(" : "cel.accuVar(");
    for (uint32_t i = is_index ? 6 : 4; i < name.size; i++) {
        if (name.text[i] == ':') {
            put(out, ", ");
        } else {
            (void)sfi_buf_append_byte(out, (uint8_t)name.text[i]);
        }
    }
    put(out, ")");
}

/* Whether the text would start with a number that a '-' before it would become part of. */
static bool starts_with_number(const struct sfi_cel_node *node)
{
    for (;;) {
        const struct operation *operation = operation_of(node);
        if (node->kind == SFI_CEL_NODE_SELECT && !node->select.is_test) {
            node = node->select.operand;
        } else if (operation != NULL && operation->level == LEVEL_MEMBER) {
            node = node->call.args[0];
        } else if (node->kind == SFI_CEL_NODE_CALL && node->call.target != NULL) {
            node = node->call.target;
        } else if (node->kind == SFI_CEL_NODE_LOOP) {
            node = node->loop.range;
        } else if (node->kind == SFI_CEL_NODE_OPT_MAP) {
            node = node->opt_map.target;
        } else {
            return node->kind == SFI_CEL_NODE_CONST &&
                   ((node->constant.kind == SFI_CEL_INT && node->constant.i64 >= 0) ||
                    (node->constant.kind == SFI_CEL_DOUBLE && !signbit(node->constant.f64)));
        }
    }
}

/* `--x` is - of - of x; the two operators do not mix. */
static void print_unary(struct sfi_buf *out, const struct sfi_cel_node *node,
                        const struct operation *operation)
{
    const struct sfi_cel_node *operand = node->call.args[0];
    bool is_minus = operation->text[0] == '-';
    put(out, operation->text);
    if (operation_of(operand) == operation) {
        print(out, operand, LEVEL_UNARY);
    } else if (is_minus && starts_with_number(operand)) {
        put(out, "(");
        print(out, operand, LEVEL_CONDITIONAL);
        put(out, ")");
    } else {
        print(out, operand, LEVEL_MEMBER);
    }
}

/*
 * Most operands of a chain without parentheses whose tree the parser would build in this shape:
 * the left half of n has (n + 1) / 2 of them. Shapes of shorter chains are part of those of longer
 * ones, so the halves bound n independently.
 */
static uint32_t chain_size(const struct sfi_cel_node *node, const struct operation *operation)
{
    if (operation_of(node) != operation) {
        return 1;
    }
    uint32_t left = 2 * chain_size(node->call.args[0], operation);
    uint32_t right = 2 * chain_size(node->call.args[1], operation) + 1;
    return left < right ? left : right;
}

static void print_chain(struct sfi_buf *out, const struct sfi_cel_node *node,
                        const struct operation *operation, uint32_t count)
{
    if (count == 1) {
        print(out, node, operation->level + 1);
        return;
    }
    print_chain(out, node->call.args[0], operation, (count + 1) / 2);
    put(out, operation->text);
    print_chain(out, node->call.args[1], operation, count / 2);
}

static void print_operation(struct sfi_buf *out, const struct sfi_cel_node *node,
                            const struct operation *operation)
{
    struct sfi_cel_node *const *args = node->call.args;
    switch (operation->level) {
    case LEVEL_CONDITIONAL:
        print(out, args[0], LEVEL_OR);
        put(out, " ? ");
        print(out, args[1], LEVEL_OR);
        put(out, " : ");
        print(out, args[2], LEVEL_CONDITIONAL);
        return;
    case LEVEL_OR:
    case LEVEL_AND:
        print_chain(out, node, operation, chain_size(node, operation));
        return;
    case LEVEL_UNARY:
        print_unary(out, node, operation);
        return;
    case LEVEL_MEMBER:
        print(out, args[0], LEVEL_MEMBER);
        put(out, operation->text);
        print(out, args[1], LEVEL_CONDITIONAL);
        put(out, "]");
        return;
    default:
        print(out, args[0], operation->level);
        put(out, operation->text);
        print(out, args[1], operation->level + 1);
        return;
    }
}

/* More than two arguments of math.greatest() are one list in the tree. */
static void print_extreme(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    const struct sfi_cel_node *only = node->call.args[0];
    bool is_spread =
        node->call.count == 1 && only->kind == SFI_CEL_NODE_LIST && only->list.count > 2;
    for (uint32_t i = 0; is_spread && i < only->list.count; i++) {
        is_spread = !only->list.elements[i].optional;
    }
    put(out, name_is(node->call.function, "math.@max") ? "math.greatest(" : "math.least(");
    if (is_spread) {
        print_elements(out, only->list.elements, only->list.count);
    } else {
        print_nodes(out, node->call.args, node->call.count);
    }
    put(out, ")");
}

static void print_call(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    const struct operation *operation = operation_of(node);
    if (operation != NULL) {
        print_operation(out, node, operation);
        return;
    }
    if (name_is(node->call.function, "math.@max") || name_is(node->call.function, "math.@min")) {
        print_extreme(out, node);
        return;
    }
    if (node->call.target != NULL) {
        print(out, node->call.target, LEVEL_MEMBER);
        put(out, ".");
    }
    put(out, node->call.is_rooted ? "." : "");
    put_name(out, node->call.function);
    put(out, "(");
    print_nodes(out, node->call.args, node->call.count);
    put(out, ")");
}

static void print_select(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    put(out, node->select.is_test ? "has(" : "");
    print(out, node->select.operand, LEVEL_MEMBER);
    put(out, node->select.is_optional ? ".?" : ".");
    print_field(out, node->select.field, node->select.is_quoted);
    put(out, node->select.is_test ? ")" : "");
}

static void print_loop(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    static const char *const names[] = {
        [SFI_CEL_LOOP_ALL] = ".all(",
        [SFI_CEL_LOOP_EXISTS] = ".exists(",
        [SFI_CEL_LOOP_EXISTS_ONE] = ".exists_one(",
        [SFI_CEL_LOOP_MAP] = ".map(",
        [SFI_CEL_LOOP_FILTER] = ".filter(",
        [SFI_CEL_LOOP_TRANSFORM_LIST] = ".transformList(",
        [SFI_CEL_LOOP_TRANSFORM_MAP] = ".transformMap(",
        [SFI_CEL_LOOP_TRANSFORM_ENTRY] = ".transformMapEntry(",
    };
    print(out, node->loop.range, LEVEL_MEMBER);
    put(out, node->loop.is_camel ? ".existsOne(" : names[node->loop.loop]);
    print_identifier(out, node->loop.var[0]);
    put(out, ", ");
    if (node->loop.var[1].text != NULL) {
        print_identifier(out, node->loop.var[1]);
        put(out, ", ");
    }
    if (node->loop.filter != NULL) {
        print(out, node->loop.filter, LEVEL_CONDITIONAL);
        put(out, ", ");
    }
    print(out, node->loop.body, LEVEL_CONDITIONAL);
    put(out, ")");
}

static void print_message(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    put(out, node->message.is_rooted ? "." : "");
    put_name(out, node->message.name);
    put(out, "{");
    print_elements(out, node->message.elements, node->message.count);
    put(out, "}");
}

/* Macros of names and bodies. */
static void print_scope(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    const struct sfi_cel_node *body = node->bind.body;
    if (node->kind == SFI_CEL_NODE_BIND) {
        put(out, "cel.bind(");
        print_identifier(out, node->bind.var);
        put(out, ", ");
        print(out, node->bind.init, LEVEL_CONDITIONAL);
    } else if (node->kind == SFI_CEL_NODE_BLOCK) {
        body = node->block.body;
        put(out, "cel.block([");
        print_nodes(out, node->block.entries, node->block.count);
        put(out, "]");
    } else {
        body = node->opt_map.body;
        print(out, node->opt_map.target, LEVEL_MEMBER);
        put(out, node->opt_map.is_flat ? ".optFlatMap(" : ".optMap(");
        print_identifier(out, node->opt_map.var);
    }
    put(out, ", ");
    print(out, body, LEVEL_CONDITIONAL);
    put(out, ")");
}

static void print_plain(struct sfi_buf *out, const struct sfi_cel_node *node)
{
    switch (node->kind) {
    case SFI_CEL_NODE_CONST:
        print_constant(out, node->constant);
        break;
    case SFI_CEL_NODE_IDENT:
        put(out, node->ident.is_rooted ? "." : "");
        print_identifier(out, node->ident.name);
        break;
    case SFI_CEL_NODE_SELECT:
        print_select(out, node);
        break;
    case SFI_CEL_NODE_CALL:
        print_call(out, node);
        break;
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        put(out, node->kind == SFI_CEL_NODE_LIST ? "[" : "{");
        print_elements(out, node->list.elements, node->list.count);
        put(out, node->kind == SFI_CEL_NODE_LIST ? "]" : "}");
        break;
    case SFI_CEL_NODE_MESSAGE:
        print_message(out, node);
        break;
    case SFI_CEL_NODE_LOOP:
        print_loop(out, node);
        break;
    case SFI_CEL_NODE_BIND:
    case SFI_CEL_NODE_BLOCK:
    case SFI_CEL_NODE_OPT_MAP:
        print_scope(out, node);
        break;
    }
}

/* In parentheses when it binds less tightly than `least`. */
static void print(struct sfi_buf *out, const struct sfi_cel_node *node, int least)
{
    const struct operation *operation = operation_of(node);
    bool is_grouped = operation != NULL && operation->level < least;
    put(out, is_grouped ? "(" : "");
    print_plain(out, node);
    put(out, is_grouped ? ")" : "");
}

const char *sfi_cel_print(struct sfi_cel_arena *arena, const struct sfi_cel_node *node)
{
    struct sfi_buf out;
    char *text = NULL;
    sfi_buf_init(&out, (size_t)SFI_CEL_MAX_SOURCE * PRINT_GROWTH);
    print(&out, node, LEVEL_CONDITIONAL);
    if (out.failed) {
        arena->no_memory = arena->no_memory || out.no_memory;
    } else {
        text = sfi_cel_alloc(arena, out.size + 1);
        if (text != NULL) {
            memcpy(text, out.data, out.size);
            text[out.size] = '\0';
        }
    }
    sfi_buf_clear(&out);
    return text;
}
