/*
 * check_internal.h - what the parts of the checker share: unknown types, names, overloads.
 */
#ifndef SFI_CEL_CHECK_INTERNAL_H
#define SFI_CEL_CHECK_INTERNAL_H

#include "cel/check.h"

/* A variable of a macro, or the entries of a cel.block so far; lives on the stack of the walk. */
struct sfi_cel_scope {
    const struct sfi_cel_scope *outer;
    struct sfi_cel_name name; /* of the variable */
    const struct sfi_cel_type *type;
    uint32_t local;
    struct sfi_cel_node *const *entries; /* block: entry i is "@index<i>" in slot local + i */
    uint32_t entry_count;
};

/* What a name of such a scope stands for. */
struct sfi_cel_local {
    const struct sfi_cel_type *type;
    uint32_t slot;
};

/* A node whose type holds unknowns until the end. */
struct sfi_cel_pending {
    struct sfi_cel_node *node;
    struct sfi_cel_pending *next;
};

/* What an unknown stood for before it was changed. */
struct sfi_cel_undo {
    uint32_t number;
    const struct sfi_cel_type *before;
};

struct sfi_cel_checker {
    struct sfi_cel_ast *ast;
    struct sfi_cel_arena *arena;
    const struct sfi_cel_env *env;
    shardy_error *err;
    const struct sfi_cel_scope *scope;
    struct sfi_cel_pending *pending;

    /* Unknown types: PARAM `number` stands for bound[number], NULL = nothing yet. */
    const struct sfi_cel_type **bound;
    uint32_t bound_count;
    uint32_t bound_capacity;
    struct sfi_cel_undo *undo;
    uint32_t undo_count;
    uint32_t undo_capacity;
    int64_t steps;   /* left */
    bool is_failed;  /* memory, or too much work: every further step fails */
    bool is_complex; /* that it was the work */

    /* Names: variables by hash (number + 1), and room for a name with its container. */
    uint32_t *slots;
    uint32_t slot_mask;
    size_t longest; /* name that could be found */
    char *name;
};

/* ---- check_types.c: unknowns, and which type suits which ---- */

void *sfi_cel_check_alloc(struct sfi_cel_checker *c, size_t size); /* NULL: c->is_failed */
/* LIMIT or NO_MEMORY after c->is_failed. */
shardy_status sfi_cel_check_broken(struct sfi_cel_checker *c);
/* These give DYN when they fail (c->is_failed). */
const struct sfi_cel_type *sfi_cel_unknown(struct sfi_cel_checker *c);
const struct sfi_cel_type *sfi_cel_make_type(struct sfi_cel_checker *c, enum sfi_cel_type_kind kind,
                                             const struct sfi_cel_type *a,
                                             const struct sfi_cel_type *b);
/* A type of a signature with its parameters replaced by unknowns, made when first met. */
#define SFI_CEL_SIG_PARAMS 3u
const struct sfi_cel_type *sfi_cel_instance(struct sfi_cel_checker *c,
                                            const struct sfi_cel_type *type,
                                            const struct sfi_cel_type *fresh[SFI_CEL_SIG_PARAMS]);
/* What a type is known to be at its top: never a bound unknown. */
const struct sfi_cel_type *sfi_cel_known(struct sfi_cel_checker *c,
                                         const struct sfi_cel_type *type);
/* Whether a value of type `actual` may stand where `target` is asked for; binds unknowns. */
bool sfi_cel_suits(struct sfi_cel_checker *c, const struct sfi_cel_type *actual,
                   const struct sfi_cel_type *target);
/* The same for several at once: either all of them, or nothing has changed. */
bool sfi_cel_suits_all(struct sfi_cel_checker *c, const struct sfi_cel_type *const *actual,
                       const struct sfi_cel_type *const *target, size_t count);
/* Forget what was bound since the mark. */
void sfi_cel_check_undo(struct sfi_cel_checker *c, uint32_t mark);
/* The type of values of both types that suit one another. */
const struct sfi_cel_type *sfi_cel_join(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                                        const struct sfi_cel_type *b);
/* The type of elements seen so far (NULL: none yet) and one more: dyn when they differ. */
const struct sfi_cel_type *sfi_cel_join_element(struct sfi_cel_checker *c,
                                                const struct sfi_cel_type *so_far,
                                                const struct sfi_cel_type *type);
/* Equal with what is known of unknowns. */
bool sfi_cel_same(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                  const struct sfi_cel_type *b);
/* Whether neither dyn nor anything unknown is in it. */
bool sfi_cel_is_settled(struct sfi_cel_checker *c, const struct sfi_cel_type *type);
/* Without unknowns: those that are left are dyn. */
const struct sfi_cel_type *sfi_cel_final(struct sfi_cel_checker *c,
                                         const struct sfi_cel_type *type);
void sfi_cel_set_type(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                      const struct sfi_cel_type *type);

/* ---- check_names.c: what names stand for ---- */

/* A chain of plain selections from an identifier: a, a.b, a.b.c; NULL: it is none. */
const struct sfi_cel_node *sfi_cel_name_root(const struct sfi_cel_node *node);
bool sfi_cel_names_init(struct sfi_cel_checker *c);
bool sfi_cel_find_local(const struct sfi_cel_checker *c, const struct sfi_cel_node *ident,
                        struct sfi_cel_local *local);
/* Fill in reference and type when the node, as a whole, is the name of something. */
bool sfi_cel_resolve_name(struct sfi_cel_checker *c, struct sfi_cel_node *node);
/* The overloads that a call means; sets is_namespaced. NULL: unknown function. */
const struct sfi_cel_overload *sfi_cel_resolve_function(struct sfi_cel_checker *c,
                                                        struct sfi_cel_node *call, size_t *count);
/* The type that a message literal makes, NULL: none of ours. */
const struct sfi_cel_type *sfi_cel_resolve_message(struct sfi_cel_checker *c,
                                                   const struct sfi_cel_node *message);
/* "a.b.c" of a chain, or ".a.b", cut to fit. */
void sfi_cel_name_text(const struct sfi_cel_node *node, char *out, size_t size);

/* ---- check.c ---- */

/* Check a node and all below it. */
shardy_status sfi_cel_visit(struct sfi_cel_checker *c, struct sfi_cel_node *node);
/* A type as a message shows it. */
const char *sfi_cel_shown(struct sfi_cel_checker *c, const struct sfi_cel_type *type,
                          char text[SFI_CEL_TYPE_TEXT]);
/* The node's type must suit; `what` names the node in the message. */
shardy_status sfi_cel_expect(struct sfi_cel_checker *c, const struct sfi_cel_node *node,
                             const struct sfi_cel_type *target, const char *what);
/* optional(T) gives T, dyn gives dyn; NULL: the type is no optional one. */
const struct sfi_cel_type *sfi_cel_held_type(struct sfi_cel_checker *c,
                                             const struct sfi_cel_type *type);

/* ---- check_scope.c ---- */

shardy_status sfi_cel_visit_loop(struct sfi_cel_checker *c, struct sfi_cel_node *node);
shardy_status sfi_cel_visit_bind(struct sfi_cel_checker *c, struct sfi_cel_node *node);
shardy_status sfi_cel_visit_block(struct sfi_cel_checker *c, struct sfi_cel_node *node);
shardy_status sfi_cel_visit_opt_map(struct sfi_cel_checker *c, struct sfi_cel_node *node);

/* ---- check_calls.c ---- */

/* A call whose target and arguments are checked, unless the target is part of the name. */
shardy_status sfi_cel_check_call(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                                 const struct sfi_cel_overload *overloads, size_t count);

/* ---- check_report.c: messages ---- */

shardy_status sfi_cel_fail_name(struct sfi_cel_checker *c, const struct sfi_cel_node *node);
shardy_status sfi_cel_fail_function(struct sfi_cel_checker *c, const struct sfi_cel_node *call,
                                    const char *name);
struct sfi_cel_operands {
    const struct sfi_cel_node *node[SFI_CEL_ARGS_MAX]; /* the target first */
    const struct sfi_cel_type *type[SFI_CEL_ARGS_MAX];
    size_t count;
};
/* No overload takes the operands; `overloads` are those that there are. */
shardy_status sfi_cel_fail_operands(struct sfi_cel_checker *c, const struct sfi_cel_node *call,
                                    const struct sfi_cel_operands *operands,
                                    const struct sfi_cel_overload *overloads, size_t count);
/* "; write 10u" and the like for two operands that ought to have one type; "" without. */
#define SFI_CEL_HINT_SIZE 96
void sfi_cel_operand_hint(struct sfi_cel_checker *c, const struct sfi_cel_node *const node[2],
                          char out[SFI_CEL_HINT_SIZE]);

#endif
