/*
 * report.c - the text of an evaluation's error: what, in which sub-expression, where.
 */
#include "cel/program_internal.h"

#include "base/memory.h"

/* Longer sub-expressions are cut: the position says the rest. */
#define SHOWN_MAX   120
#define PRINT_BYTES (1u << 20)

shardy_status sfi_cel_report(const struct sfi_cel_program *program,
                             const struct sfi_cel_error *error, shardy_error *err)
{
    shardy_status status = error->code == SFI_CEL_OVER_LIMIT ? SHARDY_LIMIT : SHARDY_INPUT;
    const char *code = sfi_cel_code_name(error->code);
    const struct sfi_cel_node *node =
        error->node < program->ast.node_count ? program->nodes[error->node] : NULL;
    struct sfi_cel_arena arena;
    uint32_t line;
    uint32_t column;
    if (node == NULL) {
        return sfi_fail(err, status, "%s: %s", code, error->text);
    }
    sfi_cel_arena_init(&arena, PRINT_BYTES);
    sfi_cel_locate(&program->ast, node->position, &line, &column);
    const char *text = sfi_cel_print(&arena, node);
    size_t size = text == NULL ? 0 : strlen(text);
    int shown = size > SHOWN_MAX ? SHOWN_MAX : (int)size;
    while (shown > 0 && size > SHOWN_MAX && ((unsigned char)text[shown] & 0xC0u) == 0x80u) {
        shown--;
    }
    status = sfi_fail(err, status, "%s: %s in `%.*s%s` (%u:%u)", code, error->text, shown,
                      text == NULL ? "" : text, size > SHOWN_MAX ? "..." : "", line, column);
    sfi_cel_arena_clear(&arena);
    return status;
}
