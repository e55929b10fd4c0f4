/*
 * fuzz_cel_parse.c - any bytes as the source of an expression, with and without macros.
 *
 * Invariant: the source is refused with a message that starts with a place or names a limit, or the
 * tree is at most as deep and as large as the limits allow, its text parses back to the same tree,
 * and the text of that is the same again.
 */
#include "base/limits.h"
#include "cel/ast.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_refusal(shardy_status st, const shardy_error *error)
{
    require(st == SHARDY_CONFIG || st == SHARDY_LIMIT || st == SHARDY_NO_MEMORY);
    require(error->status == st && error->message[0] != '\0');
    require(st != SHARDY_CONFIG || strstr(error->message, "\n | ") != NULL);
}

/* Printed text may be longer than its source, and thus over a limit. */
static void check_text(struct sfi_cel_arena *arena, const struct sfi_cel_ast *ast, unsigned flags)
{
    struct sfi_cel_ast again;
    shardy_error error = SHARDY_ERROR_INIT;
    const char *text = sfi_cel_print(arena, ast->root);
    if (text == NULL) {
        return;
    }
    shardy_status st = sfi_cel_parse(arena, text, strlen(text), flags, &again, &error);
    if (st != SHARDY_OK) {
        require(st == SHARDY_LIMIT || st == SHARDY_NO_MEMORY);
        return;
    }
    require(sfi_cel_ast_equal(ast->root, again.root));
    const char *stable = sfi_cel_print(arena, again.root);
    require(stable == NULL || strcmp(stable, text) == 0);
}

static void check(const uint8_t *data, size_t size, unsigned flags)
{
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    shardy_error error = SHARDY_ERROR_INIT;

    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    shardy_status st = sfi_cel_parse(&arena, (const char *)data, size, flags, &ast, &error);
    if (st != SHARDY_OK) {
        check_refusal(st, &error);
    } else {
        require(ast.root != NULL && ast.root->height <= SFI_CEL_MAX_DEPTH);
        require(ast.node_count <= SFI_CEL_MAX_NODES);
        check_text(&arena, &ast, flags);
    }
    sfi_cel_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, 0);
    check(data, size, SFI_CEL_PARSE_NO_MACROS);
    return 0;
}
