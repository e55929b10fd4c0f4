/*
 * program.c - compiled expressions: parse, check, lower, and number what remains. A program is
 * never written to after it was made, so threads share it; what changes is in runs.
 */
#include "cel/program_internal.h"

#include "base/memory.h"

#include <string.h>

static void *zeroed(struct sfi_cel_arena *arena, size_t count, size_t size)
{
    void *block = sfi_cel_alloc_array(arena, count + 1, size);
    if (block != NULL) {
        memset(block, 0, (count + 1) * size);
    }
    return block;
}

/* Number the operations that are still reachable; a column or target may be met several times. */
static void number(struct sfi_cel_program *program, struct sfi_cel_op *op)
{
    if (op->is_live) {
        return;
    }
    op->is_live = true;
    for (uint32_t i = 0; i < op->arg_count; i++) {
        number(program, op->args[i]);
    }
    if (op->eval == sfi_cel_eval_loop || op->eval == sfi_cel_eval_opt_map) {
        if (op->loop.filter != NULL) {
            number(program, op->loop.filter);
        }
        number(program, op->loop.body);
    }
    if (op->eval == sfi_cel_eval_alias || op->eval == sfi_cel_eval_entry) {
        number(program, op->target);
    }
    op->index = program->op_count;
    program->ops[program->op_count++] = op;
    if (op->code != SFI_CEL_OP_CONST) {
        program->row_bytes += sfi_cel_rep_size(op->rep);
    }
    program->state_bytes += (op->state_size + 15u) & ~(size_t)15u;
}

static bool has_optional_element(const struct sfi_cel_node *node)
{
    for (uint32_t i = 0; i < node->list.count; i++) {
        if (node->list.elements[i].optional) {
            return true;
        }
    }
    return false;
}

static bool calls_extension(const struct sfi_cel_node *node)
{
    const struct sfi_cel_library *library = NULL;
    size_t count;
    if (node->overloads == NULL || node->overload_count == 0) {
        return false;
    }
    const char *name = node->overloads[0]->function;
    struct sfi_cel_name function = {name, (uint32_t)strlen(name)};
    (void)sfi_cel_find_function(function, &count, &library);
    return library != NULL && library->is_extension;
}

/* Whether the original has no such syntax, macro or function. */
static bool is_extension(const struct sfi_cel_node *node)
{
    switch (node->kind) {
    case SFI_CEL_NODE_BIND:
    case SFI_CEL_NODE_BLOCK:
    case SFI_CEL_NODE_OPT_MAP:
        return true;
    case SFI_CEL_NODE_LOOP:
        return node->loop.var[1].text != NULL || node->loop.is_camel ||
               node->loop.loop >= SFI_CEL_LOOP_TRANSFORM_LIST;
    case SFI_CEL_NODE_SELECT:
        return node->select.is_optional;
    case SFI_CEL_NODE_LIST:
    case SFI_CEL_NODE_MAP:
        return has_optional_element(node);
    case SFI_CEL_NODE_CALL:
        return calls_extension(node);
    default:
        return false;
    }
}

static bool uses_extension(const struct sfi_cel_program *program)
{
    for (uint32_t id = 0; id < program->ast.node_count; id++) {
        if (program->nodes[id] != NULL && is_extension(program->nodes[id])) {
            return true;
        }
    }
    return false;
}

/* Types that columns of the original can have. */
static bool has_own_types(const struct sfi_cel_env *env)
{
    for (size_t i = 0; i < env->variable_count; i++) {
        enum sfi_cel_type_kind kind = env->variables[i].type->kind;
        if (kind < SFI_CEL_TYPE_BOOL || kind > SFI_CEL_TYPE_BYTES) {
            return true;
        }
    }
    return false;
}

static bool prepare(struct sfi_cel_lowering *low)
{
    struct sfi_cel_program *program = low->program;
    struct sfi_cel_arena *arena = &program->arena;
    uint32_t nodes = program->ast.node_count;
    program->local_count = program->ast.local_count;
    program->variable_count = low->env->variable_count;
    program->nodes = zeroed(arena, nodes, sizeof(struct sfi_cel_node *));
    program->reads = zeroed(arena, program->variable_count, sizeof *program->reads);
    low->columns = zeroed(arena, program->variable_count, sizeof(struct sfi_cel_op *));
    low->locals = zeroed(arena, program->local_count, sizeof(struct sfi_cel_op *));
    low->op_room = 2 * nodes + 1; /* block entries have two operations */
    return program->nodes != NULL && program->reads != NULL && low->columns != NULL &&
           low->locals != NULL;
}

static shardy_status lower_all(struct sfi_cel_lowering *low, shardy_error *err)
{
    struct sfi_cel_program *program = low->program;
    if (prepare(low)) {
        program->root = sfi_cel_lower(low, program->ast.root);
    }
    sfi_cel_fold_end(low);
    if (program->root == NULL || low->failed) {
        return sfi_cel_arena_status(&program->arena, "the compiled expression", err);
    }
    program->ops = zeroed(&program->arena, low->op_count, sizeof(struct sfi_cel_op *));
    if (program->ops == NULL) {
        return sfi_cel_arena_status(&program->arena, "the compiled expression", err);
    }
    number(program, program->root);
    return SHARDY_OK;
}

shardy_status sfi_cel_program_new(const struct sfi_cel_env *env, const char *source, size_t size,
                                  unsigned flags, struct sfi_cel_program **program,
                                  shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct sfi_cel_program *made = sfi_calloc(1, sizeof *made);
    struct sfi_cel_lowering low = {.program = made, .env = env};
    *program = NULL;
    if (made == NULL) {
        return sfi_fail_memory(err, sizeof *made);
    }
    sfi_cel_arena_init(&made->arena, SFI_CEL_COMPILE_BYTES);
    low.is_plain = (flags & SFI_CEL_PROGRAM_PLAIN) != 0;
    SFI_TRY(sfi_cel_parse(&made->arena, source, size,
                          flags & SFI_CEL_PROGRAM_NO_MACROS ? SFI_CEL_PARSE_NO_MACROS : 0,
                          &made->ast, err));
    SFI_TRY(sfi_cel_check(&made->ast, env, err));
    SFI_TRY(lower_all(&low, err));
    made->is_portable = !has_own_types(env) && !uses_extension(made);
    *program = made;
    made = NULL;
out:
    sfi_cel_program_free(made);
    return st;
}

void sfi_cel_program_free(struct sfi_cel_program *program)
{
    if (program != NULL) {
        sfi_cel_arena_clear(&program->arena);
        sfi_free(program);
    }
}

const struct sfi_cel_type *sfi_cel_program_type(const struct sfi_cel_program *program)
{
    return program->ast.root->type != NULL ? program->ast.root->type : &sfi_cel_type_dyn;
}

bool sfi_cel_program_reads(const struct sfi_cel_program *program, size_t index)
{
    return index < program->variable_count && program->reads[index];
}

bool sfi_cel_program_is_portable(const struct sfi_cel_program *program)
{
    return program->is_portable;
}
