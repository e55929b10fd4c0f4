/*
 * cel.h - compiled expressions as the rest of the library uses them: counted, cached by their text,
 * evaluated by any thread with a run from a small pool; and Arrow batches as columns of a program.
 */
#ifndef SFI_CEL_CEL_H
#define SFI_CEL_CEL_H

#include "cel/program.h"

#include <shardyfusion/cel.h>

#include <stdatomic.h>

/* Runs kept of each kind; threads beyond that make their own for the call. */
#define SFI_CEL_POOL 16u

struct sfi_cel_worker;

/*
 * A cache line each, so that threads do not share them. A slot is claimed once, by the worker that
 * is at home there: giving it back takes no more than a store.
 */
struct sfi_cel_slot {
    _Atomic(struct sfi_cel_worker *) worker; /* NULL: in use, or not claimed */
    atomic_bool claimed;
    char pad[64 - sizeof(void *) - sizeof(atomic_bool)];
};

/* What one thread needs to evaluate. */
struct sfi_cel_worker {
    struct sfi_cel_slot *home; /* where it belongs while nobody uses it; NULL: freed after use */
    struct sfi_cel_run *run;
    struct sfi_cel_value *variables; /* of a single row, one for each column */
    struct sfi_cel_error *errors;    /* why a variable has no value */
    char (*texts)[128];              /* of the errors */
};

struct shardy_cel {
    atomic_uint refs;
    struct sfi_cel_program *program;
    size_t column_count;
    shardy_cel_column *columns;        /* strings owned */
    const struct sfi_cel_type **types; /* static */
    size_t *read;                      /* columns that the expression reads */
    size_t read_count;
    bool is_portable;
    char *expression;
    char result_type[SFI_CEL_TYPE_TEXT];
    struct sfi_cel_slot rows[SFI_CEL_POOL];   /* runs of one row */
    struct sfi_cel_slot blocks[SFI_CEL_POOL]; /* runs of SFI_CEL_BLOCK_ROWS */
};

/* As shardy_cel_compile(), from a cache of the whole process; release with shardy_cel_free(). */
shardy_status sfi_cel_compile_cached(const shardy_cel_options *options, shardy_cel **cel,
                                     shardy_error *err);
shardy_cel *sfi_cel_acquire(shardy_cel *cel);
void sfi_cel_cache_clear(void); /* for tests */

/* A worker for single rows, or for blocks; given back to the pool when done. */
shardy_status sfi_cel_take(shardy_cel *cel, bool blocks, struct sfi_cel_worker **worker,
                           shardy_error *err);
void sfi_cel_give(struct sfi_cel_worker *worker);
/* One row. The value, or error value, lives until the worker is used again or given back. */
struct sfi_cel_value sfi_cel_run_context(const shardy_cel *cel, struct sfi_cel_worker *worker,
                                         const shardy_context *context);

/* Names of Arrow types that suit a declared type, in messages. */
const char *sfi_cel_arrow_choices(const struct sfi_cel_type *type);

/* A record batch as columns of a program; borrows the batch. */
struct sfi_cel_batch {
    struct sfi_cel_column *columns;      /* in the order of the expression's; MISSING: not read */
    struct sfi_cel_column *dictionaries; /* of columns that have one */
    size_t length;
};

/*
 * Find the columns that an expression reads and check them. `alias` (may be NULL) is the column
 * "key" when the batch has none of that name. CONFIG: missing, type, malformed; INPUT: a whole row
 * is null. Clear also after a failure.
 */
shardy_status sfi_cel_batch_open(const shardy_cel *cel, const struct ArrowSchema *schema,
                                 const struct ArrowArray *array, const char *alias,
                                 uint64_t row_base, struct sfi_cel_batch *batch, shardy_error *err);
void sfi_cel_batch_clear(struct sfi_cel_batch *batch);

/* Results of blocks, collected into one Arrow array (cel_export.c). */
struct sfi_cel_export;
shardy_status sfi_cel_export_new(const struct sfi_cel_type *type, size_t length,
                                 struct sfi_cel_export **out, shardy_error *err);
void sfi_cel_export_free(struct sfi_cel_export *out); /* NULL is accepted */
/* Append the rows of a block, none of which failed. `row` is the number of its first row. */
shardy_status sfi_cel_export_block(struct sfi_cel_export *out, const struct sfi_cel_block *block,
                                   size_t count, uint64_t row, shardy_error *err);
/* Move everything into the caller's structs; frees `out`, on failure too. */
shardy_status sfi_cel_export_finish(struct sfi_cel_export *out, struct ArrowSchema *schema,
                                    struct ArrowArray *array, shardy_error *err);

#endif
