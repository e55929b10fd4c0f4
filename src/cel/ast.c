/*
 * ast.c - places in the source, errors that show them, and equality of trees.
 */
#include "cel/lexer.h"

#include <stdio.h>
#include <string.h>

/* Code points shown of a long line before and behind the place of an error. */
#define EXCERPT_BEFORE 56u
#define EXCERPT_AFTER  24u

void sfi_cel_locate(const struct sfi_cel_ast *ast, uint32_t position, uint32_t *line,
                    uint32_t *column)
{
    uint32_t size = position < ast->source_size ? position : ast->source_size;
    *line = 1;
    *column = 1;
    for (uint32_t i = 0; i < size; i++) {
        if (ast->source[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((ast->source[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
    /* Inside a character: the column is that of the character. */
    if (size > 0 && size < ast->source_size && (ast->source[size] & 0xC0) == 0x80) {
        --*column;
    }
}

struct excerpt {
    char text[EXCERPT_BEFORE * 5 + EXCERPT_AFTER * 4 + 32];
    size_t size;
};

static void put(struct excerpt *out, const char *text, size_t size)
{
    if (size < sizeof out->text - out->size) {
        memcpy(out->text + out->size, text, size);
        out->size += size;
    }
    out->text[out->size] = '\0';
}

/* Source from `from` to `to`, without what would spoil a terminal. */
static void put_source(struct excerpt *out, const char *source, uint32_t from, uint32_t to)
{
    while (from < to) {
        uint32_t code;
        uint32_t bytes;
        bool valid = sfi_cel_decode(source + from, to - from, &code, &bytes);
        bool shown = valid && (code == '\t' || !sfi_cel_is_hidden(code));
        put(out, shown ? source + from : "?", shown ? bytes : 1);
        from += bytes;
    }
}

/* " | source line" and " | ....^" below; tabs are repeated, so that the caret is where it should.
 */
static void make_excerpt(const struct sfi_cel_ast *ast, uint32_t position, struct excerpt *out)
{
    const char *source = ast->source;
    uint32_t start = position < ast->source_size ? position : ast->source_size;
    uint32_t at = start;
    uint32_t end = start;
    uint32_t count = 0;

    for (; start > 0 && source[start - 1] != '\n' && count < EXCERPT_BEFORE; count++) {
        do {
            start--;
        } while (start > 0 && (source[start] & 0xC0) == 0x80 && source[start - 1] != '\n');
    }
    for (count = 0; end < ast->source_size && source[end] != '\n' && count < EXCERPT_AFTER;
         count++) {
        do {
            end++;
        } while ((source[end] & 0xC0) == 0x80);
    }
    bool cut_start = start > 0 && source[start - 1] != '\n';
    bool cut_end = end < ast->source_size && source[end] != '\n';
    if (!cut_end && end > at && source[end - 1] == '\r') {
        end--;
    }
    out->size = 0;
    put(out, "\n | ", 4);
    put(out, "...", cut_start ? 3 : 0);
    put_source(out, source, start, end);
    put(out, "...", cut_end ? 3 : 0);
    put(out, "\n | ", 4);
    put(out, "...", cut_start ? 3 : 0);
    for (uint32_t i = start; i < at; i++) {
        if ((source[i] & 0xC0) != 0x80 || i == start) {
            put(out, source[i] == '\t' ? "\t" : ".", 1);
        }
    }
    put(out, "^", 1);
}

/* Drop a character that was cut in two. */
static void trim_text(char *text)
{
    size_t size = strlen(text);
    size_t end = size;
    while (end > 0 && (text[end - 1] & 0xC0) == 0x80) {
        end--;
    }
    uint32_t code;
    uint32_t bytes;
    if (end > 0 && !sfi_cel_decode(text + end - 1, size - (end - 1), &code, &bytes)) {
        text[end - 1] = '\0';
    }
}

shardy_status sfi_cel_fail_at(const struct sfi_cel_ast *ast, uint32_t position, shardy_error *err,
                              const char *format, ...)
{
    char text[560];
    struct excerpt excerpt;
    uint32_t line;
    uint32_t column;

    if (err == NULL) {
        return SHARDY_CONFIG;
    }
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size >= (int)sizeof text) {
        trim_text(text);
    }
    sfi_cel_locate(ast, position, &line, &column);
    make_excerpt(ast, position, &excerpt);
    return sfi_fail(err, SHARDY_CONFIG, "%u:%u: %s%s", line, column, text, excerpt.text);
}

static bool name_equal(struct sfi_cel_name a, struct sfi_cel_name b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.text, b.text, a.size) == 0);
}

static bool optional_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b)
{
    return a == NULL || b == NULL ? a == b : sfi_cel_ast_equal(a, b);
}

static bool nodes_equal(struct sfi_cel_node *const *a, struct sfi_cel_node *const *b,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!sfi_cel_ast_equal(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

static bool elements_equal(const struct sfi_cel_element *a, const struct sfi_cel_element *b,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (a[i].optional != b[i].optional || !name_equal(a[i].field, b[i].field) ||
            !optional_equal(a[i].key, b[i].key) || !sfi_cel_ast_equal(a[i].value, b[i].value)) {
            return false;
        }
    }
    return true;
}

static bool constant_equal(struct sfi_cel_value a, struct sfi_cel_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch (a.kind) {
    case SFI_CEL_NULL:
        return true;
    case SFI_CEL_BOOL:
        return a.boolean == b.boolean;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return a.size == b.size && (a.size == 0 || memcmp(a.text, b.text, a.size) == 0);
    default:
        return a.u64 == b.u64; /* the bits of numbers */
    }
}

static bool call_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b)
{
    return name_equal(a->call.function, b->call.function) && a->call.count == b->call.count &&
           a->call.is_rooted == b->call.is_rooted &&
           optional_equal(a->call.target, b->call.target) &&
           nodes_equal(a->call.args, b->call.args, a->call.count);
}

static bool loop_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b)
{
    return a->loop.loop == b->loop.loop && a->loop.is_camel == b->loop.is_camel &&
           name_equal(a->loop.var[0], b->loop.var[0]) &&
           name_equal(a->loop.var[1], b->loop.var[1]) &&
           sfi_cel_ast_equal(a->loop.range, b->loop.range) &&
           optional_equal(a->loop.filter, b->loop.filter) &&
           sfi_cel_ast_equal(a->loop.body, b->loop.body);
}

static bool select_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b)
{
    return name_equal(a->select.field, b->select.field) && a->select.is_test == b->select.is_test &&
           a->select.is_optional == b->select.is_optional &&
           a->select.is_quoted == b->select.is_quoted &&
           sfi_cel_ast_equal(a->select.operand, b->select.operand);
}

bool sfi_cel_ast_equal(const struct sfi_cel_node *a, const struct sfi_cel_node *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case SFI_CEL_NODE_CONST:
        return constant_equal(a->constant, b->constant);
    case SFI_CEL_NODE_IDENT:
        return a->ident.is_rooted == b->ident.is_rooted && name_equal(a->ident.name, b->ident.name);
    case SFI_CEL_NODE_SELECT:
        return select_equal(a, b);
    case SFI_CEL_NODE_CALL:
        return call_equal(a, b);
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        return a->list.count == b->list.count &&
               elements_equal(a->list.elements, b->list.elements, a->list.count);
    case SFI_CEL_NODE_MESSAGE:
        return a->message.is_rooted == b->message.is_rooted &&
               name_equal(a->message.name, b->message.name) &&
               a->message.count == b->message.count &&
               elements_equal(a->message.elements, b->message.elements, a->message.count);
    case SFI_CEL_NODE_LOOP:
        return loop_equal(a, b);
    case SFI_CEL_NODE_BIND:
        return name_equal(a->bind.var, b->bind.var) &&
               sfi_cel_ast_equal(a->bind.init, b->bind.init) &&
               sfi_cel_ast_equal(a->bind.body, b->bind.body);
    case SFI_CEL_NODE_BLOCK:
        return a->block.count == b->block.count &&
               nodes_equal(a->block.entries, b->block.entries, a->block.count) &&
               sfi_cel_ast_equal(a->block.body, b->block.body);
    case SFI_CEL_NODE_OPT_MAP:
        return a->opt_map.is_flat == b->opt_map.is_flat &&
               name_equal(a->opt_map.var, b->opt_map.var) &&
               sfi_cel_ast_equal(a->opt_map.target, b->opt_map.target) &&
               sfi_cel_ast_equal(a->opt_map.body, b->opt_map.body);
    }
    return false;
}
