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
 * Check `ast` in place: sets type, reference, index, resolved, overloads, locals. Types live in the
 * ast's arena. CONFIG at the position (undeclared name, no matching overload with the types of the
 * arguments and the candidates' signatures, message literals other than time and wrapper types);
 * LIMIT; NO_MEMORY.
 */
shardy_status sfi_cel_check(struct sfi_cel_ast *ast, const struct sfi_cel_env *env,
                            shardy_error *err);

#endif
