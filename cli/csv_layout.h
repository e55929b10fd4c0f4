/*
 * csv_layout.h - the columns of one CSV or TSV file.
 */
#ifndef SHARDY_CLI_CSV_LAYOUT_H
#define SHARDY_CLI_CSV_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Set once from the header line, then shared by all parsing threads. */
struct csv_layout {
    char delimiter;
    size_t column_count;
    size_t key_column;
    size_t value_column;
    size_t *columns;       /* where the columns of the rules are */
    size_t header_size;    /* bytes before the first row */
    uint64_t header_lines; /* lines before the first row */
    char **names;
    struct buffer *json_names; /* comma unless first, quoted name, colon; for --value-json */
};

const char *csv_layout_name(const struct csv_layout *layout, size_t column);

/* Append a comma unless it is the first column, the quoted name and a colon. */
void csv_layout_add_json_name(const struct csv_layout *layout, size_t column, struct buffer *out);

/* Append valid UTF-8 as a JSON string. */
void csv_add_json_string(struct buffer *out, const char *text, size_t size);

#endif
