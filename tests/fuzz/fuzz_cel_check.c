/*
 * fuzz_cel_check.c - any source over declared columns of any types.
 *
 * The first byte chooses the mode, the second the container; then come the types of the columns a,
 * b, c.d and e, one byte each; the rest is the source.
 *
 * Invariant: the checker refuses the tree with a message, or every node that it looked at has a
 * type without unknowns, references are in range, and calls have overloads with their number of
 * operands. Checking the same tree again finds the same.
 */
#include "base/limits.h"
#include "cel/check.h"

#include <stdlib.h>

#define COLUMNS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_type(const struct sfi_cel_type *type, unsigned depth)
{
    require(type != NULL && type->kind != SFI_CEL_TYPE_PARAM && depth <= SFI_CEL_TYPE_DEPTH + 1);
    /* Some way down one side: shared parts may be exponentially many. */
    if (type->param[0] != NULL) {
        check_type(type->param[0], depth + 1);
    }
}

static void check_call(const struct sfi_cel_node *node)
{
    size_t count = node->call.count + (node->call.target != NULL && !node->is_namespaced ? 1u : 0u);
    require((node->overload_count == 0) == (node->overloads == NULL));
    for (uint32_t i = 0; i < node->overload_count; i++) {
        size_t args = 0;
        while (args < SFI_CEL_ARGS_MAX && node->overloads[i]->args[args] != NULL) {
            args++;
        }
        require(args == count);
    }
}

static void check_node(const struct sfi_cel_ast *ast, const struct sfi_cel_node *node)
{
    check_type(node->type, 0);
    switch (node->reference) {
    case SFI_CEL_REF_VARIABLE:
        require(node->index < COLUMNS);
        return;
    case SFI_CEL_REF_LOCAL:
        require(node->index < ast->local_count);
        return;
    case SFI_CEL_REF_VALUE:
        require(node->resolved.kind == SFI_CEL_TYPE);
        break;
    case SFI_CEL_REF_NONE:
        break;
    }
    switch (node->kind) {
    case SFI_CEL_NODE_SELECT:
        if (node->reference == SFI_CEL_REF_NONE) {
            check_node(ast, node->select.operand);
        }
        break;
    case SFI_CEL_NODE_CALL:
        check_call(node);
        if (node->call.target != NULL && !node->is_namespaced) {
            check_node(ast, node->call.target);
        }
        for (uint32_t i = 0; i < node->call.count; i++) {
            check_node(ast, node->call.args[i]);
        }
        break;
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        for (uint32_t i = 0; i < node->list.count; i++) {
            check_node(ast, node->list.elements[i].value);
        }
        break;
    case SFI_CEL_NODE_LOOP:
        require(node->loop.local + 2 <= ast->local_count);
        check_node(ast, node->loop.range);
        check_node(ast, node->loop.body);
        break;
    case SFI_CEL_NODE_BIND:
        require(node->bind.local < ast->local_count);
        check_node(ast, node->bind.init);
        check_node(ast, node->bind.body);
        break;
    default:
        break;
    }
}

static void check_source(const struct sfi_cel_env *env, struct sfi_cel_arena *arena,
                         const char *source, size_t size)
{
    struct sfi_cel_ast ast;
    shardy_error err = SHARDY_ERROR_INIT;
    char first[SFI_CEL_TYPE_TEXT];
    char second[SFI_CEL_TYPE_TEXT];
    if (sfi_cel_parse(arena, source, size, 0, &ast, NULL) != SHARDY_OK) {
        return;
    }
    shardy_status st = sfi_cel_check(&ast, env, &err);
    if (st != SHARDY_OK) {
        require(st == SHARDY_LIMIT || (st == SHARDY_CONFIG && !env->unchecked) ||
                (st == SHARDY_CONFIG && strstr(err.message, "field '") != NULL));
        require(err.message[0] != '\0');
        return;
    }
    check_node(&ast, ast.root);
    sfi_cel_type_text(ast.root->type, first);
    st = sfi_cel_check(&ast, env, NULL);
    require(st == SHARDY_OK || st == SHARDY_LIMIT);
    if (st == SHARDY_OK) {
        sfi_cel_type_text(ast.root->type, second);
        require(strcmp(first, second) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const type_names[] = {
        "int",           "uint",       "double",    "string",   "bool",
        "bytes",         "dyn",        "timestamp", "null",     "map(string, int)",
        "list(string)",  "duration",   "map",       "list",     "type",
        "optional_type", "list(list)", "net.IP",    "net.CIDR", "wrapper(int)",
    };
    static const char *const names[COLUMNS] = {"a", "b", "c.d", "e"};
    static const char *const containers[] = {NULL, "", "c", "c.x", "google.protobuf", ".", "a..b"};
    struct sfi_cel_variable variables[COLUMNS];
    struct sfi_cel_arena arena;
    if (size < 2 + COLUMNS) {
        return 0;
    }
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COLUMNS; i++) {
        const char *type = type_names[data[2 + i] % (sizeof type_names / sizeof type_names[0])];
        variables[i].name = names[i];
        require(sfi_cel_type_parse(&arena, type, &variables[i].type, NULL) == SHARDY_OK);
    }
    struct sfi_cel_env env = {
        .variables = variables,
        .variable_count = COLUMNS,
        .container = containers[data[1] % (sizeof containers / sizeof containers[0])],
        .unchecked = data[0] % 4 == 3,
    };
    check_source(&env, &arena, (const char *)data + 2 + COLUMNS, size - 2 - COLUMNS);
    sfi_cel_arena_clear(&arena);
    return 0;
}
