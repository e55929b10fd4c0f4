/*
 * check.h - names, overloads and types of an expression.
 */
#ifndef SFI_CEL_CHECK_H
#define SFI_CEL_CHECK_H

#include "cel/function.h"

struct sfi_cel_variable {
    const char *name; /* may be qualified: "a.b" */
    const struct sfi_cel_type *type;
};

/* What an expression may refer to. Borrowed; must outlive the compiled expression's checking. */
struct sfi_cel_env {
    const struct sfi_cel_variable *variables; /* an index into it is what REF_VARIABLE holds */
    size_t variable_count;
    const char *container;                    /* "com.example"; NULL or "" = none */
    const struct sfi_cel_overload *functions; /* declared, not implemented (tests); may be NULL */
    size_t function_count;
    bool unchecked; /* resolve names only; every type is DYN; unknown names fail when evaluated */
};

/*
 * Whether every value of this static type has its runtime kind. Not so for dyn and for the types
 * that null is accepted for: there, operations look at kinds.
 */
static inline bool sfi_cel_type_is_exact(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_NULL:
    case SFI_CEL_TYPE_BOOL:
    case SFI_CEL_TYPE_INT:
    case SFI_CEL_TYPE_UINT:
    case SFI_CEL_TYPE_DOUBLE:
    case SFI_CEL_TYPE_STRING:
    case SFI_CEL_TYPE_BYTES:
    case SFI_CEL_TYPE_LIST:
    case SFI_CEL_TYPE_MAP:
    case SFI_CEL_TYPE_TYPE:
        return true;
    default:
        return false;
    }
}

/*
 * Check `ast` in place: sets type, reference, index, resolved, overloads, locals. Types live in the
 * ast's arena. CONFIG at the position (undeclared name, no matching overload with the types of the
 * arguments and the candidates' signatures, message literals other than time and wrapper types);
 * LIMIT; NO_MEMORY.
 *
 * Slots: each loop, bind, block and optional map has slots of its own, never used again.
 * SELECT with a reference is a qualified name: its operand is not looked at, nor is the target of
 * a call that is_namespaced. MESSAGE: REF_VALUE, `resolved` is the type value.
 */
shardy_status sfi_cel_check(struct sfi_cel_ast *ast, const struct sfi_cel_env *env,
                            shardy_error *err);

#endif
