/*
 * program_internal.h - what lowering, folding, evaluation and the column kernels share.
 *
 * A program is a tree of operations, one for a node of the expression or for several (a chain of +
 * is one concatenation). Evaluating an operation fills its vector at the selected rows; vectors are
 * indexed by row, so that a selection of rows needs no moving of values. A vector may lie in a
 * column (no copy), be uniform (constants), or be text that still is a pair of Arrow buffers.
 */
#ifndef SFI_CEL_PROGRAM_INTERNAL_H
#define SFI_CEL_PROGRAM_INTERNAL_H

#include "base/limits.h"
#include "cel/program.h"
#include "key/key.h"

/* Rows to evaluate: rows[0 .. count-1], or 0 .. count-1 when `rows` is NULL. */
struct sfi_cel_sel {
    const uint16_t *rows;
    uint32_t count;
};

/* How the values of a vector lie in memory. */
enum sfi_cel_form {
    SFI_CEL_FORM_NATIVE, /* an array of what the rep says */
    SFI_CEL_FORM_VAR32,  /* TEXT: `data` is what the int32 `offsets` point into */
    SFI_CEL_FORM_VAR64,  /* TEXT: the same with int64 offsets */
    SFI_CEL_FORM_TICKS   /* timestamps: int64_t, `per_second` a second */
};

struct sfi_cel_vec {
    void *data;
    /* NULL: none of the rows evaluated last failed. Else NULL at those that did not. */
    const struct sfi_cel_error **errors;
    const struct sfi_cel_error **error_room; /* memory for `errors` of this block */
    const void *offsets;
    int64_t per_second;
    uint64_t stamp;       /* the block that `data` belongs to: columns are loaded once a block */
    uint64_t error_stamp; /* the block that `error_room` belongs to */
    void *own;            /* room for as many native values as the run has rows */
    void *state;          /* what a kernel remembers between blocks */
    uint8_t form;         /* enum sfi_cel_form */
    bool is_uniform;
};

struct sfi_cel_op;
typedef void (*sfi_cel_eval)(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                             struct sfi_cel_sel sel);

/* x / n and x % n for a fixed n: as struct sfi_modulus, for 64 bits. */
struct sfi_cel_divisor {
    uint64_t n;
    uint64_t reciprocal; /* floor((2^64-1) / n) */
    uint8_t shift;       /* of a power of two, else 64 */
};

/* A part of a concatenation. */
enum sfi_cel_part_kind {
    SFI_CEL_PART_TEXT,  /* an operation of rep TEXT */
    SFI_CEL_PART_CONST, /* constant text */
    SFI_CEL_PART_INT,   /* string(int) */
    SFI_CEL_PART_UINT   /* string(uint) */
};

struct sfi_cel_part {
    enum sfi_cel_part_kind kind;
    uint32_t arg; /* TEXT, INT, UINT */
    struct sfi_bytes text;
};

/* What is special about an operation whose children are all constant. */
enum sfi_cel_op_kind {
    SFI_CEL_OP_CONST,
    SFI_CEL_OP_COLUMN,
    SFI_CEL_OP_CALL,  /* strict: any error of an argument is the result */
    SFI_CEL_OP_SCOPE, /* loops, bindings, blocks: evaluates operations that are not its args */
    SFI_CEL_OP_OTHER
};

struct sfi_cel_op {
    sfi_cel_eval eval;
    uint8_t code;   /* enum sfi_cel_op_kind */
    uint8_t rep;    /* enum sfi_cel_rep */
    uint8_t kind;   /* of TEXT: STRING or BYTES */
    bool is_cheap;  /* a few ns a row and no work worth skipping */
    bool is_live;   /* part of the program, not folded away */
    bool is_direct; /* CALL: the kinds of the arguments need no look */
    uint32_t index; /* of its vector */
    uint32_t node;
    uint32_t weight; /* operations below it and itself: the steps of a loop's iteration */
    uint32_t height; /* nesting, blocks' entries included once */
    uint32_t lowest; /* 1 + lowest slot that it reads, 0: a column; UINT32_MAX: it is constant */
    uint32_t arg_count;
    uint32_t state_size;
    struct sfi_cel_op **args;
    const struct sfi_cel_type *type; /* static type of the result */
    union {
        struct sfi_cel_value constant;
        uint32_t column;
        uint32_t slot; /* LOCAL */
        struct {
            const struct sfi_cel_overload *const *overloads;
            uint32_t overload_count;
            union {
                struct sfi_cel_divisor divisor;
                const struct sfi_cel_member_table *members;
                struct sfi_cel_value operand; /* constant second argument */
                struct {
                    const struct sfi_cel_part *parts;
                    uint32_t part_count;
                };
                uint8_t field; /* of a timestamp */
            };
        } call;
        struct {
            struct sfi_cel_value key; /* the field's name */
            bool is_test;
            bool is_optional;
        } select;
        struct {
            const bool *optional;              /* per element; NULL: none */
            const struct sfi_cel_name *fields; /* MESSAGE */
            const struct sfi_cel_type *message;
        } list;
        struct {
            enum sfi_cel_loop loop;
            uint8_t vars;
            bool is_flat;
            bool is_map;
            uint32_t local;
            struct sfi_cel_op *filter; /* NULL: none */
            struct sfi_cel_op *body;
        } loop;                    /* LOOP, OPT_MAP; args[0] is the range or target */
        struct sfi_cel_op *target; /* what a name stands for: binding or block entry */
        struct {
            const char *text;
            enum sfi_cel_code code;
        } fail;
    };
};

struct sfi_cel_program {
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    const struct sfi_cel_node **nodes; /* by id, for reports */
    struct sfi_cel_op *root;
    struct sfi_cel_op **ops; /* the live ones, by index */
    uint32_t op_count;
    uint32_t local_count;
    size_t row_bytes;   /* of all vectors, for one row */
    size_t state_bytes; /* of all kernels' memories */
    bool *reads;        /* by variable */
    size_t variable_count;
    bool is_portable;
};

struct sfi_cel_run {
    struct sfi_cel_frame frame;
    const struct sfi_cel_program *program;
    struct sfi_cel_vec *vecs;
    struct sfi_cel_value *locals;
    void *room; /* of all vectors */
    /* The block being evaluated. */
    const struct sfi_cel_column *columns;
    const struct sfi_cel_value *row; /* instead of columns: one row */
    size_t first;
    uint32_t count;
    uint32_t rows; /* largest count */
    uint64_t stamp;
    uint32_t nesting;                 /* of block entries under evaluation */
    const struct sfi_cel_error *over; /* why the evaluation ends: no further work makes sense */
    uint32_t piece;                   /* rows that fitted the memory at once, as far as known */
};

/* ---- lowering (program.c, program_lower.c, program_call.c, fold.c) ------------------------------
 */

struct sfi_cel_lowering {
    struct sfi_cel_program *program;
    const struct sfi_cel_env *env;
    struct sfi_cel_op **columns; /* by variable: one operation each */
    struct sfi_cel_op **locals;  /* by slot: target of bindings and block entries, else NULL */
    uint32_t op_count;
    uint32_t op_room;
    bool is_plain;
    bool failed;             /* memory */
    struct sfi_cel_run *run; /* for folding; made when first needed */
    int64_t fold_steps;
};

struct sfi_cel_op *sfi_cel_lower(struct sfi_cel_lowering *low, const struct sfi_cel_node *node);
/* A new operation for `node` with room for `args`; NULL: memory (`low->failed`). */
struct sfi_cel_op *sfi_cel_new_op(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                  sfi_cel_eval eval, size_t arg_count);
/* A constant; its value is borrowed. */
struct sfi_cel_op *sfi_cel_new_const(struct sfi_cel_lowering *low, const struct sfi_cel_node *node,
                                     struct sfi_cel_value value);
/* weight, height and lowest from the arguments (and scopes); then fold. */
struct sfi_cel_op *sfi_cel_finish_op(struct sfi_cel_lowering *low, struct sfi_cel_op *op);
/* Lower a call other than && || ?: whose arguments are lowered; picks the kernel. */
struct sfi_cel_op *sfi_cel_lower_call(struct sfi_cel_lowering *low,
                                      const struct sfi_cel_node *node);
/* Give `op`, a CALL whose overload is certain, a column kernel when there is one. */
void sfi_cel_choose_kernel(struct sfi_cel_lowering *low, struct sfi_cel_op *op);
/* Fold: replace an operation with constant arguments by its value, unless it fails. */
void sfi_cel_fold(struct sfi_cel_lowering *low, struct sfi_cel_op *op);
void sfi_cel_fold_end(struct sfi_cel_lowering *low);
void sfi_cel_divisor_init(struct sfi_cel_divisor *divisor, uint64_t n);
/* A table for `in` over a constant list; NULL: not suited (or memory). */
const struct sfi_cel_member_table *sfi_cel_member_table_new(struct sfi_cel_arena *arena,
                                                            const struct sfi_cel_list *list,
                                                            enum sfi_cel_rep rep);

/* ---- evaluation
 * ---------------------------------------------------------------------------------- */

static inline enum sfi_cel_rep sfi_cel_rep_of(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_BOOL:
        return SFI_CEL_REP_BOOL;
    case SFI_CEL_TYPE_INT:
        return SFI_CEL_REP_INT;
    case SFI_CEL_TYPE_UINT:
        return SFI_CEL_REP_UINT;
    case SFI_CEL_TYPE_DOUBLE:
        return SFI_CEL_REP_DOUBLE;
    case SFI_CEL_TYPE_STRING:
    case SFI_CEL_TYPE_BYTES:
        return SFI_CEL_REP_TEXT;
    default:
        return SFI_CEL_REP_VALUE;
    }
}

static inline size_t sfi_cel_rep_size(unsigned rep)
{
    return rep == SFI_CEL_REP_BOOL    ? 1
           : rep == SFI_CEL_REP_TEXT  ? sizeof(struct sfi_bytes)
           : rep == SFI_CEL_REP_VALUE ? sizeof(struct sfi_cel_value)
                                      : 8;
}

static inline struct sfi_cel_vec *sfi_cel_vec_of(struct sfi_cel_run *run,
                                                 const struct sfi_cel_op *op)
{
    return &run->vecs[op->index];
}

/* Evaluate an operation; nothing once the evaluation is over. */
static inline void sfi_cel_eval_op(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                   struct sfi_cel_sel sel)
{
    op->eval(run, op, sel);
}

static inline uint32_t sfi_cel_row_at(struct sfi_cel_sel sel, uint32_t k)
{
    return sel.rows == NULL ? k : sel.rows[k];
}

/*
 * Evaluate the arguments of a strict operation and take rows out of `sel` in which one failed; the
 * first argument's error becomes the operation's. false: nothing left to do.
 */
bool sfi_cel_eval_args(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel *sel);
/* The part after the arguments: true when rows remain. */
bool sfi_cel_merge_errors(struct sfi_cel_run *run, const struct sfi_cel_op *op, size_t arg_count,
                          struct sfi_cel_sel *sel);
/* Give `op` an array of errors, empty at the rows of `sel`; NULL: memory, run over. */
const struct sfi_cel_error **sfi_cel_errors(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                            struct sfi_cel_sel sel);
/*
 * Store the value of a row: converted to the rep of `op`; errors get its node. `sel` are the rows
 * of the evaluation.
 */
void sfi_cel_store(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel,
                   uint32_t row, struct sfi_cel_value value);
void sfi_cel_store_error(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel, uint32_t row, const struct sfi_cel_error *error);
/* The evaluation ends: memory, or what `error` says. */
void sfi_cel_over_memory(struct sfi_cel_run *run);
void sfi_cel_over(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                  const struct sfi_cel_error *error);
/* Value of a row, which has no error. */
struct sfi_cel_value sfi_cel_box(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                 uint32_t row);
/* The error of a row of an evaluated operation, or NULL. */
static inline const struct sfi_cel_error *
sfi_cel_error_at(struct sfi_cel_run *run, const struct sfi_cel_op *op, uint32_t row)
{
    const struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    return vec->errors == NULL ? NULL : vec->errors[row];
}
/* The same as a value: boxed, or an error value. */
struct sfi_cel_value sfi_cel_result(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                    uint32_t row);
static inline struct sfi_cel_value sfi_cel_error_value(const struct sfi_cel_error *error)
{
    struct sfi_cel_value v = {SFI_CEL_ERROR, 0, {.error = error}};
    return v;
}
/* Native texts, timestamps: turns column forms into arrays. */
void sfi_cel_make_native(struct sfi_cel_run *run, const struct sfi_cel_op *op);
/* Charge `bytes` of work of a kernel over all its rows; false: run over. */
bool sfi_cel_charge_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op, size_t bytes);
/* An array of up to sel.count row numbers; NULL: run over. */
uint16_t *sfi_cel_new_rows(struct sfi_cel_run *run, size_t count);

/* Evaluators, by file. */
void sfi_cel_eval_const(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel);
void sfi_cel_eval_column(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel); /* load.c */
void sfi_cel_eval_call(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel); /* run_generic.c */
/* The generic call over rows whose arguments are evaluated and fine; kernels fall back to it. */
void sfi_cel_call_rows(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel);
void sfi_cel_eval_fail(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel);
void sfi_cel_eval_select(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel); /* run_build.c */
void sfi_cel_eval_list(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel);
void sfi_cel_eval_map(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel);
void sfi_cel_eval_message(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel sel);
void sfi_cel_eval_and(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                      struct sfi_cel_sel sel); /* run_logic.c */
void sfi_cel_eval_or(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel);
void sfi_cel_eval_if(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel);
void sfi_cel_eval_local(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel); /* run_loop.c */
void sfi_cel_eval_alias(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel);
void sfi_cel_eval_loop(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel);
void sfi_cel_eval_opt_map(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel sel);
void sfi_cel_eval_bind(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       struct sfi_cel_sel sel);
void sfi_cel_eval_block(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel);
void sfi_cel_eval_entry(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel);

/* ---- kernels
 * --------------------------------------------------------------------------------------- Each
 * chooser answers with the evaluator for a call of `function`, or NULL; it may fill op->call.
 */
sfi_cel_eval sfi_cel_choose_number(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function); /* kernel_number.c */
sfi_cel_eval sfi_cel_choose_compare(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                    const char *function); /* kernel_compare.c */
sfi_cel_eval sfi_cel_choose_divide(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function); /* kernel_divide.c */
sfi_cel_eval sfi_cel_choose_hash(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function); /* kernel_hash.c */
sfi_cel_eval sfi_cel_choose_text(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function); /* kernel_text.c */
sfi_cel_eval sfi_cel_choose_member(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function); /* kernel_member.c */
sfi_cel_eval sfi_cel_choose_convert(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                    const char *function); /* kernel_convert.c */
sfi_cel_eval sfi_cel_choose_time(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function); /* kernel_time.c */
/* Turn a chain of + over strings (or bytes) into one operation; NULL: it is none. */
struct sfi_cel_op *sfi_cel_lower_concat(struct sfi_cel_lowering *low,
                                        const struct sfi_cel_node *node); /* kernel_concat.c */
void sfi_cel_eval_concat(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel);
/* Digest of a concatenation, which is never stored; `op` has its parts. */
void sfi_cel_eval_concat_hash(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                              struct sfi_cel_sel sel);

#endif
