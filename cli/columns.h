/*
 * columns.h - typed columns of the input that a CEL expression reads, and values typed on the
 * command line for them.
 */
#ifndef SHARDY_CLI_COLUMNS_H
#define SHARDY_CLI_COLUMNS_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/cel.h>

#include "buffer.h"
#include "cli.h"

struct json_member;
struct row_error;

enum column_type {
    COLUMN_INT,
    COLUMN_UINT,
    COLUMN_DOUBLE,
    COLUMN_BOOL,
    COLUMN_STRING,
    COLUMN_BYTES /* base64 in text and JSON */
};

/* One declared column. */
struct column_spec {
    const char *name;
    enum column_type type;
};

struct column_specs {
    struct column_spec *items;
    size_t count;
    shardy_cel_column *declared; /* the same for the library */
};

/*
 * Parse the values of a `NAME:TYPE` option.
 * @return 0, or the exit code of a printed usage error
 */
int column_specs_parse(struct cli *cli, const char *option, const struct option_value *values,
                       struct column_specs *specs);
void column_specs_clear(struct column_specs *specs);
/* NULL when there is none of that name. */
const struct column_spec *column_specs_find(const struct column_specs *specs, const char *name);

/* The type called `name`. @return false when there is none */
bool column_type_parse(const char *name, enum column_type *type);
const char *column_type_name(enum column_type type);

/*
 * A value of the type from text.
 * @param bytes  owns decoded bytes; the value may point into it or into `text`
 * @return NULL, or what the text is not: "an integer of -2^63 .. 2^63-1"; static
 */
const char *column_value_parse(enum column_type type, const char *text, size_t size,
                               struct buffer *bytes, shardy_cel_value *value);

/* Values of one column for the rows of a batch, laid out as an Arrow column. */
struct column {
    struct buffer values;   /* 8-byte numbers, bits, or text */
    struct buffer ends;     /* text: int32 offsets, rows + 1 */
    struct buffer validity; /* a bit a row */
    size_t rows;
    size_t nulls;
    const void *buffers[3]; /* of the exported array */
};

void column_clear(struct column *column);

/*
 * Append the value of one row. An empty field of a text file is null for numbers and bool.
 * @return false with `error` set
 */
bool column_add_text(struct column *column, const struct column_spec *spec, const char *text,
                     size_t size, uint64_t position, struct row_error *error);
/* A missing member is null. */
bool column_add_json(struct column *column, const struct column_spec *spec,
                     const struct json_member *member, uint64_t position, struct row_error *error);

/* Describe the column as an Arrow array; borrowed, its release does nothing. */
void column_export(struct column *column, const struct column_spec *spec, struct ArrowArray *array);
const char *column_arrow_format(enum column_type type);

#endif
