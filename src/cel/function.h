/*
 * function.h - the functions of the language: one table for the checker (signatures) and for the
 * evaluator (implementations). Each library is an array in its own file (lib_*.c).
 */
#ifndef SFI_CEL_FUNCTION_H
#define SFI_CEL_FUNCTION_H

#include "cel/ast.h"

/* `args` holds the target first when there is one. No argument is an error value. */
typedef struct sfi_cel_value (*sfi_cel_function)(struct sfi_cel_frame *frame,
                                                 const struct sfi_cel_value *args);

#define SFI_CEL_ARGS_MAX 5u

enum {
    SFI_CEL_METHOD = 1u, /* called as target.f(args): the first argument is the target */
    SFI_CEL_RUNTIME = 2u /* not for the checker: only operands of type dyn get there (1 < 1.5) */
};

/*
 * One overload. Types may hold parameters (SFI_CEL_A, SFI_CEL_B below). Overloads of a function
 * stand together in one table, in order of preference. `call` is NULL for what the evaluator does
 * itself (logic, conditional).
 */
struct sfi_cel_overload {
    const char *function;
    unsigned flags;
    const struct sfi_cel_type *result;
    const struct sfi_cel_type *args[SFI_CEL_ARGS_MAX]; /* up to the first NULL */
    sfi_cel_function call;
};

/* Types of signatures with parameters: A, B, list(A), map(A, B), optional(A), type(A). Static. */
extern const struct sfi_cel_type sfi_cel_sig_a, sfi_cel_sig_b, sfi_cel_sig_list_a,
    sfi_cel_sig_map_ab, sfi_cel_sig_optional_a, sfi_cel_sig_type_a, sfi_cel_sig_list_int,
    sfi_cel_sig_list_uint, sfi_cel_sig_list_double, sfi_cel_sig_list_string;

struct sfi_cel_library {
    const struct sfi_cel_overload *overloads;
    size_t count;
    bool is_extension; /* not in the original: expressions that use it are not portable */
};

extern const struct sfi_cel_library sfi_cel_lib_arithmetic; /* lib_arithmetic.c: + - * / % -_ */
extern const struct sfi_cel_library sfi_cel_lib_compare;    /* lib_compare.c: == != < .. @in ! */
extern const struct sfi_cel_library sfi_cel_lib_container;  /* lib_container.c: size, _[_] */
extern const struct sfi_cel_library sfi_cel_lib_convert;    /* lib_convert.c: int() .. dyn, type */
extern const struct sfi_cel_library sfi_cel_lib_text;       /* lib_text.c: contains, matches .. */
extern const struct sfi_cel_library sfi_cel_lib_time;       /* lib_time.c: getHours .. */
extern const struct sfi_cel_library sfi_cel_lib_hash;       /* lib_hash.c: shard_hash */
extern const struct sfi_cel_library sfi_cel_lib_strings;    /* lib_strings.c: string_ext */
extern const struct sfi_cel_library sfi_cel_lib_math;       /* lib_math.c: math_ext */
extern const struct sfi_cel_library sfi_cel_lib_encoders;   /* lib_encoders.c: base64 */
extern const struct sfi_cel_library sfi_cel_lib_optional;   /* lib_optional.c: optional.of .. */
extern const struct sfi_cel_library sfi_cel_lib_network;    /* lib_network.c: ip, cidr */

/*
 * All overloads of a function, by its full name ("math.greatest"); NULL: there is none. The range
 * lies in one library.
 */
const struct sfi_cel_overload *sfi_cel_find_function(struct sfi_cel_name name, size_t *count,
                                                     const struct sfi_cel_library **library);

/* What people write: "%" for "_%_", "in" for "@in"; other names as they are. */
const char *sfi_cel_function_text(const char *function);

/* Function `index` of all, in no particular order; NULL: there are fewer. For suggestions. */
const struct sfi_cel_overload *sfi_cel_function_at(size_t index);

/*
 * Call the first of `count` overloads that takes values of these kinds, after looking for error
 * arguments (the first one is the result). NO_OVERLOAD when none does.
 */
struct sfi_cel_value sfi_cel_dispatch(struct sfi_cel_frame *frame,
                                      const struct sfi_cel_overload *const *overloads, size_t count,
                                      const struct sfi_cel_value *args, size_t arg_count);

/* Compiled regular expressions and time zones of one frame; freed with it. */
void sfi_cel_caches_free(struct sfi_cel_frame *frame);

/*
 * Time zones (lib_time.c, zone.c): offset from UTC in force at `seconds`, and the half-open range
 * of seconds for which it stays in force. NULL zone: `name` is no IANA zone nor [+-]HH:MM.
 */
struct sfi_cel_zone;
const struct sfi_cel_zone *sfi_cel_zone_find(struct sfi_cel_frame *frame, const char *name,
                                             size_t size);
int32_t sfi_cel_zone_offset(const struct sfi_cel_zone *zone, int64_t seconds, int64_t *from,
                            int64_t *until);

/* Decimal text of a number; returns its length. Shared by string(int) and column kernels. */
size_t sfi_cel_format_int(int64_t number, char out[24]);
size_t sfi_cel_format_uint(uint64_t number, char out[24]);
/* Shortest digits that round-trip, notation as %g (spec: /docs/cel.md, "string(double)"). */
size_t sfi_cel_format_double(double number, char out[32]);

#endif
