/*
 * shardyfusion/cel.h - expressions of the Common Expression Language (github.com/google/cel-spec)
 * over columns, as routing uses them: compile once, evaluate rows or Arrow batches.
 *
 * The language is the CEL standard library and macros, shard_hash(), and the extensions that
 * docs/cel.md lists. A compiled expression is immutable: share freely between threads.
 */
#ifndef SHARDYFUSION_CEL_H
#define SHARDYFUSION_CEL_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque: a compiled expression. */
typedef struct shardy_cel shardy_cel;

/** Kind of a value. */
typedef enum shardy_cel_kind {
    SHARDY_CEL_NULL = 0,
    SHARDY_CEL_BOOL = 1,      /**< `boolean` */
    SHARDY_CEL_INT = 2,       /**< `integer` */
    SHARDY_CEL_UINT = 3,      /**< `natural` */
    SHARDY_CEL_DOUBLE = 4,    /**< `real` */
    SHARDY_CEL_STRING = 5,    /**< `text`, `size`: UTF-8 */
    SHARDY_CEL_BYTES = 6,     /**< `text`, `size` */
    SHARDY_CEL_TIMESTAMP = 7, /**< `integer` seconds since 1970, `nanos` 0..999,999,999 */
    SHARDY_CEL_DURATION = 8,  /**< `integer` seconds, `nanos` of the same sign */
    SHARDY_CEL_OTHER = 9      /**< list, map, type, ...: `text`, `size` is it as a CEL literal */
} shardy_cel_kind;

/** One value. Text is borrowed and need not end with a NUL; it may contain NULs. */
typedef struct shardy_cel_value {
    shardy_cel_kind kind;
    int32_t nanos;
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double real;
        const void *text;
    };
    size_t size;
} shardy_cel_value;

/** One declared column. */
typedef struct shardy_cel_column {
    const char *name; /**< identifier the expression uses */
    const char *type; /**< "int", "uint", "double", "bool", "string" or "bytes"; as extensions
                           "timestamp", "duration" and "dyn" */
} shardy_cel_column;

/** What to compile. Initialise with SHARDY_CEL_OPTIONS_INIT. Strings are copied. */
typedef struct shardy_cel_options {
    size_t struct_size;               /**< set by the initialiser; lets the struct grow */
    const char *expression;           /**< required: source, at most 100,000 code points */
    const shardy_cel_column *columns; /**< declared columns, in any order */
    size_t column_count;
    const char *container; /**< namespace that names are looked up in first; NULL = none */
} shardy_cel_options;

#define SHARDY_CEL_OPTIONS_INIT                   \
    {                                             \
        .struct_size = sizeof(shardy_cel_options) \
    }

/**
 * Compile: parse, check types, fold constants.
 *
 * @param[out] cel NULL on failure; release with shardy_cel_free()
 * @return SHARDY_OK; SHARDY_CONFIG (syntax, undeclared name, types: the message has line, column,
 *         the line and a caret; unknown column type); SHARDY_LIMIT (size, nesting)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_cel_compile(const shardy_cel_options *options,
                                                           shardy_cel **cel, shardy_error *err);

/** Release a compiled expression. NULL is accepted. */
SHARDY_API void shardy_cel_free(shardy_cel *cel);

/** Type of the result as CEL writes it: "int", "list(string)", "dyn". Lives as long as `cel`. */
SHARDY_API const char *shardy_cel_result_type(const shardy_cel *cel);

/** Number of declared columns. */
SHARDY_API size_t shardy_cel_column_count(const shardy_cel *cel);

/** A declared column, in the order of the options. `index` < shardy_cel_column_count(). */
SHARDY_API const shardy_cel_column *shardy_cel_get_column(const shardy_cel *cel, size_t index);

/** Whether the expression reads the column: its value must be there to evaluate. */
SHARDY_API bool shardy_cel_reads_column(const shardy_cel *cel, size_t index);

/**
 * Whether the original Python implementation can evaluate the expression: no extension library and
 * no column type of ours. A snapshot that is sharded by any other expression cannot be read by it.
 */
SHARDY_API bool shardy_cel_is_portable(const shardy_cel *cel);

/** One named value of a row. */
typedef struct shardy_context_entry {
    const char *name;
    shardy_cel_value value;
} shardy_context_entry;

/** A row: the columns that an expression reads. Others are ignored. Borrowed for the call. */
typedef struct shardy_context {
    const shardy_context_entry *entries;
    size_t count;
} shardy_context;

/** Values for contexts. Text is borrowed. */
static inline shardy_cel_value shardy_cel_int(int64_t number)
{
    shardy_cel_value value = {SHARDY_CEL_INT, 0, {false}, 0};
    value.integer = number;
    return value;
}

/** See shardy_cel_int(). */
static inline shardy_cel_value shardy_cel_uint(uint64_t number)
{
    shardy_cel_value value = {SHARDY_CEL_UINT, 0, {false}, 0};
    value.natural = number;
    return value;
}

/** See shardy_cel_int(). */
static inline shardy_cel_value shardy_cel_double(double number)
{
    shardy_cel_value value = {SHARDY_CEL_DOUBLE, 0, {false}, 0};
    value.real = number;
    return value;
}

/** See shardy_cel_int(). */
static inline shardy_cel_value shardy_cel_bool(bool boolean)
{
    shardy_cel_value value = {SHARDY_CEL_BOOL, 0, {boolean}, 0};
    return value;
}

/** UTF-8 text of `size` bytes; borrowed. */
static inline shardy_cel_value shardy_cel_string(const char *text, size_t size)
{
    shardy_cel_value value = {SHARDY_CEL_STRING, 0, {false}, size};
    value.text = text;
    return value;
}

/** `size` bytes; borrowed. */
static inline shardy_cel_value shardy_cel_bytes(const void *data, size_t size)
{
    shardy_cel_value value = {SHARDY_CEL_BYTES, 0, {false}, size};
    value.text = data;
    return value;
}

/** Result of one evaluation. Initialise with SHARDY_CEL_RESULT_INIT; may be used again. */
typedef struct shardy_cel_result {
    shardy_cel_value value; /**< its text lives until the result is used again or cleared */
    void *owner;            /**< private */
} shardy_cel_result;

#define SHARDY_CEL_RESULT_INIT                 \
    {                                          \
        {SHARDY_CEL_NULL, 0, {false}, 0}, NULL \
    }

/** Release a result. NULL is accepted. */
SHARDY_API void shardy_cel_result_clear(shardy_cel_result *result);

/**
 * Evaluate one row.
 *
 * int columns accept SHARDY_CEL_INT and a SHARDY_CEL_UINT in range, uint columns the reverse,
 * double columns also both; all others their own kind. A column that the evaluation does not come
 * to need not be there.
 * @param[in,out] result previous contents are released or used again
 * @return SHARDY_OK; SHARDY_INPUT naming the column (missing, of the wrong kind, null) or the
 *         failing sub-expression and its position; SHARDY_LIMIT (steps, memory)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_cel_evaluate(const shardy_cel *cel,
                                                            const shardy_context *context,
                                                            shardy_cel_result *result,
                                                            shardy_error *err);

/**
 * Evaluate a record batch: columns are found by name and used in place. Types: int8-64 and
 * uint8-64 for int and uint, float and double (32, 64) for double, bool, utf8 and large_utf8 for
 * string, binary and large_binary for bytes, date32, date64 and timestamps for timestamp, each
 * also dictionary-encoded; for dyn any of them. Nulls are CEL's null.
 *
 * @param schema         of a struct array; borrowed
 * @param array          the rows; borrowed
 * @param row_base       number of row 0 in messages
 * @param[out] out_schema type of the results. int64, uint64, double, bool, utf8, binary,
 *                       timestamp[ns, UTC], duration[ns]; for all other result types utf8 with CEL
 *                       literals. Not set on failure
 * @param[out] out       results as one Arrow array, which the caller releases; null where the
 *                       result is null
 * @return SHARDY_OK; SHARDY_INPUT naming row, column and sub-expression; SHARDY_CONFIG (a column is
 *         missing or of another type; malformed array); SHARDY_LIMIT
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_cel_evaluate_batch(
    const shardy_cel *cel, const struct ArrowSchema *schema, const struct ArrowArray *array,
    uint64_t row_base, struct ArrowSchema *out_schema, struct ArrowArray *out, shardy_error *err);

/**
 * Routing by CEL: direct (the expression gives the shard id) or categorical (it gives a token, and
 * the position of the token among the routing values is the shard id). Borrowed by calls that take
 * it.
 */
typedef struct shardy_cel_sharding {
    const char *expression; /**< gives int, uint, string or bytes */
    const shardy_cel_column *columns;
    size_t column_count;                    /**< at least 1. Exactly one column called "key": the
                                                 expression reads the key of a row, nothing else */
    const shardy_cel_value *routing_values; /**< all INT and UINT, all STRING or all BYTES; each
                                                 once */
    size_t routing_value_count;
    bool has_routing_values;   /**< categorical, also with no values at all: num_dbs 1 */
    bool infer_routing_values; /**< writers: categorical, the values are those of the rows, sorted;
                                    not together with routing_values */
} shardy_cel_sharding;

/**
 * The expression that shards by the values of columns: `shard_hash(a + ":" + string(b)) % 8u`, or
 * without `num_shards` the joined values themselves, `a + ":" + string(b)`, for inferred routing
 * values.
 *
 * @param columns    types "int", "uint", "double", "bool", "string", "bytes"; NULL = "string"
 * @param num_shards 0 = omitted
 * @param separator  between values; NULL = ":"
 * @param buffer     receives the expression and a NUL
 * @param[out] size  bytes of the expression, without the NUL; also when `capacity` is too small
 * @return SHARDY_OK; SHARDY_CONFIG (no columns, type, num_shards below 0, separator is not UTF-8);
 *         SHARDY_LIMIT when `size` + 1 is larger than `capacity`
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_cel_sharding_by_columns(
    const shardy_cel_column *columns, size_t column_count, int64_t num_shards,
    const char *separator, char *buffer, size_t capacity, size_t *size, shardy_error *err);

#ifdef __cplusplus
}
#endif

#endif
