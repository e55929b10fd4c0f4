/*
 * cel_tree.h - shared by the tests of CEL's parser: a tree as an S-expression, written without the
 * printer under test.
 */
#ifndef TESTS_CEL_TREE_H
#define TESTS_CEL_TREE_H

#include "base/limits.h"
#include "cel/ast.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static inline void dump(FILE *out, const struct sfi_cel_node *node);

static inline void dump_name(FILE *out, struct sfi_cel_name name)
{
    fprintf(out, "%.*s", (int)name.size, name.text);
}

static inline void dump_constant(FILE *out, struct sfi_cel_value value)
{
    switch (value.kind) {
    case SFI_CEL_NULL:
        fputs("null", out);
        break;
    case SFI_CEL_BOOL:
        fputs(value.boolean ? "true" : "false", out);
        break;
    case SFI_CEL_INT:
        fprintf(out, "%" PRId64, value.i64);
        break;
    case SFI_CEL_UINT:
        fprintf(out, "%" PRIu64 "u", value.u64);
        break;
    case SFI_CEL_DOUBLE:
        fprintf(out, "%.17gd", value.f64);
        break;
    default:
        fputs(value.kind == SFI_CEL_BYTES ? "b<" : "<", out);
        for (uint32_t i = 0; i < value.size; i++) {
            unsigned char c = (unsigned char)value.text[i];
            fprintf(out, c > 0x20 && c < 0x7F ? "%c" : "%%%02X", c);
        }
        fputs(">", out);
        break;
    }
}

static inline void dump_all(FILE *out, struct sfi_cel_node *const *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fputs(" ", out);
        dump(out, nodes[i]);
    }
}

static inline void dump_elements(FILE *out, const struct sfi_cel_element *elements, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fputs(elements[i].optional ? " ?" : " ", out);
        if (elements[i].key) {
            dump(out, elements[i].key);
            fputs(":", out);
        } else if (elements[i].field.text) {
            dump_name(out, elements[i].field);
            fputs(":", out);
        }
        dump(out, elements[i].value);
    }
}

static inline void dump_loop(FILE *out, const struct sfi_cel_node *node)
{
    static const char *const names[] = {"all",           "exists",         "exists_one",
                                        "map",           "filter",         "transform_list",
                                        "transform_map", "transform_entry"};
    fprintf(out, "{%s%s ", names[node->loop.loop], node->loop.is_camel ? "!" : "");
    dump_name(out, node->loop.var[0]);
    if (node->loop.var[1].text) {
        fputs(",", out);
        dump_name(out, node->loop.var[1]);
    }
    dump_all(out, &node->loop.range, 1);
    if (node->loop.filter) {
        fputs(" if", out);
        dump_all(out, &node->loop.filter, 1);
    }
    dump_all(out, &node->loop.body, 1);
    fputs("}", out);
}

static inline void dump_call(FILE *out, const struct sfi_cel_node *node)
{
    fputs(node->call.is_rooted ? "(." : "(", out);
    dump_name(out, node->call.function);
    if (node->call.target) {
        fputs(" @", out);
        dump(out, node->call.target);
    }
    dump_all(out, node->call.args, node->call.count);
    fputs(")", out);
}

static inline void dump_select(FILE *out, const struct sfi_cel_node *node)
{
    fputs(node->select.is_test ? "(has " : "(", out);
    dump(out, node->select.operand);
    fprintf(out, " .%s%s", node->select.is_optional ? "?" : "", node->select.is_quoted ? "`" : "");
    dump_name(out, node->select.field);
    fputs(")", out);
}

static inline void dump_scope(FILE *out, const struct sfi_cel_node *node)
{
    if (node->kind == SFI_CEL_NODE_BIND) {
        fputs("{bind ", out);
        dump_name(out, node->bind.var);
        dump_all(out, &node->bind.init, 1);
        dump_all(out, &node->bind.body, 1);
    } else if (node->kind == SFI_CEL_NODE_BLOCK) {
        fputs("{block [", out);
        dump_all(out, node->block.entries, node->block.count);
        fputs("]", out);
        dump_all(out, &node->block.body, 1);
    } else {
        fputs(node->opt_map.is_flat ? "{optFlatMap " : "{optMap ", out);
        dump_name(out, node->opt_map.var);
        dump_all(out, &node->opt_map.target, 1);
        dump_all(out, &node->opt_map.body, 1);
    }
    fputs("}", out);
}

static inline void dump(FILE *out, const struct sfi_cel_node *node)
{
    switch (node->kind) {
    case SFI_CEL_NODE_CONST:
        dump_constant(out, node->constant);
        break;
    case SFI_CEL_NODE_IDENT:
        fputs(node->ident.is_rooted ? "." : "", out);
        dump_name(out, node->ident.name);
        break;
    case SFI_CEL_NODE_SELECT:
        dump_select(out, node);
        break;
    case SFI_CEL_NODE_CALL:
        dump_call(out, node);
        break;
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        fputs(node->kind == SFI_CEL_NODE_LIST ? "(list" : "(dict", out);
        dump_elements(out, node->list.elements, node->list.count);
        fputs(")", out);
        break;
    case SFI_CEL_NODE_MESSAGE:
        fputs(node->message.is_rooted ? "(new ." : "(new ", out);
        dump_name(out, node->message.name);
        dump_elements(out, node->message.elements, node->message.count);
        fputs(")", out);
        break;
    case SFI_CEL_NODE_LOOP:
        dump_loop(out, node);
        break;
    case SFI_CEL_NODE_BIND:
    case SFI_CEL_NODE_BLOCK:
    case SFI_CEL_NODE_OPT_MAP:
        dump_scope(out, node);
        break;
    }
}

/* free() it. */
static inline char *tree_text(const struct sfi_cel_node *node)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        abort();
    }
    dump(out, node);
    fclose(out);
    return text;
}

/* `before`, `count` times `unit`, `after`; free() it. */
static inline char *repeat(const char *before, const char *unit, const char *after, size_t count)
{
    size_t size = strlen(unit);
    char *text = malloc(strlen(before) + size * count + strlen(after) + 1);
    if (!text) {
        abort();
    }
    char *at = stpcpy(text, before);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, unit);
    }
    strcpy(at, after);
    return text;
}

#endif
