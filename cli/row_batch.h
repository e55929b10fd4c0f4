/*
 * row_batch.h - rows of one piece of input, on their way to the writer as an Arrow batch.
 */
#ifndef SHARDY_CLI_ROW_BATCH_H
#define SHARDY_CLI_ROW_BATCH_H

#include <shardyfusion/writer.h>

#include "columns.h"
#include "encoding.h"

/* How keys and values of the input become those of the snapshot. */
struct row_rules {
    shardy_key_encoding key_encoding;
    enum text_format key_format;   /* of text columns */
    enum text_format value_format; /* of text columns */
    bool value_json;               /* the value is the whole row as JSON */
    bool columns_only;             /* neither keys nor values: `shardy cel eval` */
    const char *key_name;          /* column of the key */
    const char *value_name;        /* column of the value */
    /* Columns that an expression reads, apart from the key. */
    const struct column_spec *columns;
    size_t column_count;
};

/* Why a piece of input is not acceptable. */
struct row_error {
    bool failed;
    uint64_t position; /* kv: byte offset in the piece; else line, 0 = first of the piece */
    char message[768];
};

struct row_batch {
    const struct row_rules *rules;
    size_t rows;
    size_t capacity;
    uint64_t *numbers;   /* keys of u64be and u32be */
    int32_t *key_ends;   /* keys of utf8 and raw: rows + 1 offsets into `keys` */
    int32_t *value_ends; /* rows + 1 offsets into `values` */
    uint32_t *positions; /* where each row was, as in row_error */
    struct buffer keys;
    struct buffer values;
    struct column *columns; /* as many as the rules have */
    uint64_t line_count;    /* lines of the piece */
    unsigned references;    /* ours and the writer's */
    struct buffer scratch;
};

struct row_batch *row_batch_new(const struct row_rules *rules, size_t input_size);
void row_batch_release(struct row_batch *batch);

/* Set an error; the first one stays. */
void row_fail(struct row_error *error, uint64_t position, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Append one row: first its key, then its value, then row_batch_end(). Keys and values come as text
 * of a column (decoded by the rules), a number, or stored bytes. @return false with `error` set
 */
bool row_batch_key_text(struct row_batch *batch, const char *text, size_t size, uint64_t position,
                        struct row_error *error);
bool row_batch_key_number(struct row_batch *batch, uint64_t number, uint64_t position,
                          struct row_error *error);
bool row_batch_key_stored(struct row_batch *batch, const void *data, size_t size, uint64_t position,
                          struct row_error *error);
bool row_batch_value_text(struct row_batch *batch, const char *text, size_t size, uint64_t position,
                          struct row_error *error);
void row_batch_end(struct row_batch *batch, uint64_t position);

/* Describe rows of the batch as an Arrow struct array. The array holds one reference. */
void row_batch_export(struct row_batch *batch, size_t first, size_t count,
                      struct ArrowArray *array);

/* The schema of all batches under these rules: key, value (unless columns_only), columns. */
struct row_schema {
    struct ArrowSchema root;
    struct ArrowSchema *columns;
    struct ArrowSchema **children;
};
void row_schema_init(struct row_schema *schema, const struct row_rules *rules);
void row_schema_clear(struct row_schema *schema);

/* Name of the value column in batches; differs from all other columns. */
const char *row_value_column(const struct row_rules *rules);

/* Row `i` of the batch for shardy_writer_add(). */
void row_batch_get(const struct row_batch *batch, size_t i, shardy_key *key, const void **value,
                   size_t *value_size);

/* A key of the input as messages show it: quoted, shortened, control characters escaped. */
void row_show_key(const char *text, size_t size, char buffer[200]);

#endif
