/*
 * program.h - compiled expressions, and their evaluation over blocks of rows or one row.
 *
 * A program is a checked, folded expression as an array of operations. A run is the state of one
 * thread evaluating it: a vector of up to `rows` values for each operation. One row is a block of
 * one. An error of a row is a value, which && || and macros may absorb; only memory for the run
 * itself can make a call fail.
 */
#ifndef SFI_CEL_PROGRAM_H
#define SFI_CEL_PROGRAM_H

#include "cel/check.h"

#define SFI_CEL_BLOCK_ROWS 1024u

/* How the values of a variable lie in memory. Names and buffers are Arrow's. */
enum sfi_cel_layout {
    SFI_CEL_LAYOUT_MISSING, /* no value: reading it is a MISSING error */
    SFI_CEL_LAYOUT_VALUES,  /* struct sfi_cel_value (single rows, tests); null by kind */
    SFI_CEL_LAYOUT_NULLS,   /* all null */
    SFI_CEL_LAYOUT_I8,
    SFI_CEL_LAYOUT_I16,
    SFI_CEL_LAYOUT_I32,
    SFI_CEL_LAYOUT_I64,
    SFI_CEL_LAYOUT_U8,
    SFI_CEL_LAYOUT_U16,
    SFI_CEL_LAYOUT_U32,
    SFI_CEL_LAYOUT_U64,
    SFI_CEL_LAYOUT_F32,
    SFI_CEL_LAYOUT_F64,
    SFI_CEL_LAYOUT_BITS,    /* bool, a bit each, least significant first */
    SFI_CEL_LAYOUT_VAR32,   /* utf8, binary: int32 offsets */
    SFI_CEL_LAYOUT_VAR64,   /* large_utf8, large_binary: int64 offsets */
    SFI_CEL_LAYOUT_TICKS32, /* date32: `per_second` < 0 means -per_second seconds a tick */
    SFI_CEL_LAYOUT_TICKS64  /* timestamp, date64: `per_second` ticks a second */
};

/*
 * One variable's rows; borrowed. The layout must suit the variable's type: signed and unsigned
 * numbers both suit int and uint (a number out of range is an OUT_OF_RANGE error of its row),
 * floats suit double, BITS bool, VAR* string and bytes, TICKS* timestamp; any suits dyn. A null
 * row is CEL's null; where the type is not dyn, reading it is an INVALID_ARGUMENT error of the row.
 */
struct sfi_cel_column {
    enum sfi_cel_layout layout;
    const void *values;      /* or what the offsets point into */
    const void *offsets;     /* VAR32, VAR64 */
    const uint8_t *validity; /* bit per row; NULL: no nulls */
    int64_t offset;          /* rows before row 0 in all buffers */
    int64_t per_second;      /* TICKS */
    bool is_text;            /* VAR of a dyn variable: string, not bytes */
    /* Dictionary-encoded: `layout` is that of the indices, checked by whoever made this. */
    const struct sfi_cel_column *dictionary;
};

enum sfi_cel_rep {
    SFI_CEL_REP_BOOL,   /* uint8_t 0 or 1 */
    SFI_CEL_REP_INT,    /* int64_t */
    SFI_CEL_REP_UINT,   /* uint64_t */
    SFI_CEL_REP_DOUBLE, /* double */
    SFI_CEL_REP_TEXT,   /* struct sfi_bytes: string or bytes, see `kind` */
    SFI_CEL_REP_VALUE   /* struct sfi_cel_value: everything else */
};

/* Results of a block: row i at data[i], or all rows at data[0] when `is_uniform`. */
struct sfi_cel_block {
    enum sfi_cel_rep rep;
    enum sfi_cel_kind kind; /* of TEXT: STRING or BYTES */
    bool is_uniform;
    const void *data;
    const struct sfi_cel_error *const
        *errors; /* NULL: no row failed; else NULL where row is fine */
};

struct sfi_cel_program;
struct sfi_cel_run;

#define SFI_CEL_PROGRAM_PLAIN     1u /* no folding, no kernels: what tests compare the rest with */
#define SFI_CEL_PROGRAM_NO_MACROS 2u /* has, all, ... are ordinary calls */

/* Parse, check, fold, compile. `env` is needed only during the call. Errors as those steps. */
shardy_status sfi_cel_program_new(const struct sfi_cel_env *env, const char *source, size_t size,
                                  unsigned flags, struct sfi_cel_program **program,
                                  shardy_error *err);
/* The same from a checked tree, which the program takes over with its arena. */
void sfi_cel_program_free(struct sfi_cel_program *program); /* NULL is accepted */
const struct sfi_cel_type *sfi_cel_program_type(const struct sfi_cel_program *program);
/* Whether the expression reads variable `index` of its environment. */
bool sfi_cel_program_reads(const struct sfi_cel_program *program, size_t index);
/* Whether the original implementation could run it: no extension, no option of ours. */
bool sfi_cel_program_is_portable(const struct sfi_cel_program *program);

/* A run for blocks of at most `rows` (1 .. SFI_CEL_BLOCK_ROWS). One thread at a time. */
shardy_status sfi_cel_run_new(const struct sfi_cel_program *program, size_t rows,
                              struct sfi_cel_run **run, shardy_error *err);
void sfi_cel_run_free(struct sfi_cel_run *run); /* NULL is accepted */
/*
 * Evaluate rows first .. first + *count - 1; `columns` in the order of the environment's variables.
 * *count becomes smaller (never 0) when not so many rows fit the memory or steps of one block; a
 * single row that does not fit has an OVER_LIMIT error. What `block` points to is valid until the
 * next evaluation of this run. NO_MEMORY.
 */
shardy_status sfi_cel_run_block(struct sfi_cel_run *run, const struct sfi_cel_column *columns,
                                size_t first, size_t *count, struct sfi_cel_block *block,
                                shardy_error *err);
/*
 * One row, values in the order of the environment's variables (kind SFI_CEL_ERROR: no value). The
 * result is valid until the next evaluation; an error is a value.
 */
struct sfi_cel_value sfi_cel_run_row(struct sfi_cel_run *run,
                                     const struct sfi_cel_value *variables);
/* Value of a row of a block, boxed; an error value where it failed. */
struct sfi_cel_value sfi_cel_block_value(const struct sfi_cel_block *block, size_t row);
/*
 * Text of an error: "INVALID_ARGUMENT: divide by zero in `a / b` (1:3)"; `status` is INPUT, LIMIT
 * for OVER_LIMIT. Prefix it with row and the like.
 */
shardy_status sfi_cel_report(const struct sfi_cel_program *program,
                             const struct sfi_cel_error *error, shardy_error *err);

#endif
