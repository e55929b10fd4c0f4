/*
 * csv_layout.c - read the header of a CSV or TSV file (always through libcsv) and find the columns.
 */
#include "csv_layout.h"

#include <csv.h>
#include <string.h>

#include "input.h"
#include "json_shim.h"

struct header_reader {
    struct csv_layout *layout;
    size_t capacity;
    bool done;
};

static void add_name(void *data, size_t size, void *arg)
{
    struct header_reader *reader = arg;
    struct csv_layout *layout = reader->layout;

    if (reader->done) {
        return;
    }
    if (layout->column_count == reader->capacity) {
        reader->capacity = reader->capacity ? reader->capacity * 2 : 16;
        layout->names = cli_resize_array(layout->names, reader->capacity, sizeof *layout->names);
    }
    layout->names[layout->column_count++] = cli_copy_text(data, size);
}

static void end_header(int terminator, void *arg)
{
    struct header_reader *reader = arg;

    (void)terminator;
    reader->done = true;
}

static int is_never_space(unsigned char byte)
{
    (void)byte;
    return 0;
}

/* Bytes of the header line with its line feed: up to the first line feed outside quotes. */
static size_t header_size(const char *data, size_t size)
{
    bool inside = false;

    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"') {
            inside = !inside;
        } else if (data[i] == '\n' && !inside && i > 0 && !(i == 1 && data[0] == '\r')) {
            return i + 1;
        }
    }
    return size;
}

static void find_column(const struct csv_layout *layout, const char *name, const char *what,
                        size_t *column, struct row_error *error)
{
    bool found = false;
    bool declared = strcmp(what, "declared") == 0; /* its option has another name */

    for (size_t i = 0; i < layout->column_count; i++) {
        if (strcmp(layout->names[i], name) != 0) {
            continue;
        }
        if (found) {
            row_fail(error, 0, "the header names the %s column '%s' twice", what, name);
        }
        found = true;
        *column = i;
    }
    if (!found && declared) {
        row_fail(error, 0, "the header has no column '%s', which is declared for the expression",
                 name);
    } else if (!found) {
        row_fail(error, 0, "the header has no %s column '%s' (choose one with --%s)", what, name,
                 what);
    }
}

void csv_add_json_string(struct buffer *out, const char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";

    buffer_add_byte(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            buffer_add_byte(out, (char)byte);
        } else if (byte == '"' || byte == '\\') {
            buffer_add_byte(out, '\\');
            buffer_add_byte(out, (char)byte);
        } else if (byte == '\n' || byte == '\r' || byte == '\t') {
            buffer_add_byte(out, '\\');
            buffer_add_byte(out, byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't');
        } else {
            buffer_add_text(out, "\\u00");
            buffer_add_byte(out, hex[byte >> 4]);
            buffer_add_byte(out, hex[byte & 15]);
        }
    }
    buffer_add_byte(out, '"');
}

static void make_json_names(struct csv_layout *layout, struct row_error *error)
{
    layout->json_names = cli_zeroed(layout->column_count, sizeof *layout->json_names);
    for (size_t i = 0; i < layout->column_count; i++) {
        size_t size = strlen(layout->names[i]);

        if (!json_shim_is_utf8(layout->names[i], size)) {
            row_fail(error, 0, "the name of column %zu is not valid UTF-8", i + 1);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(layout->names[i], layout->names[k]) == 0) {
                row_fail(error, 0, "the header names column '%s' twice", layout->names[i]);
            }
        }
        if (i > 0) {
            buffer_add_byte(&layout->json_names[i], ',');
        }
        csv_add_json_string(&layout->json_names[i], layout->names[i], size);
        buffer_add_byte(&layout->json_names[i], ':');
    }
}

static void find_columns(struct csv_layout *layout, const struct row_rules *rules,
                         struct row_error *error)
{
    if (!error->failed && !rules->columns_only) {
        find_column(layout, rules->key_name, "key", &layout->key_column, error);
    }
    if (!error->failed && rules->value_json) {
        make_json_names(layout, error);
    } else if (!error->failed && !rules->columns_only) {
        find_column(layout, rules->value_name, "value", &layout->value_column, error);
    }
    layout->columns = cli_zeroed(rules->column_count, sizeof *layout->columns);
    for (size_t i = 0; i < rules->column_count && !error->failed; i++) {
        find_column(layout, rules->columns[i].name, "declared", &layout->columns[i], error);
    }
}

struct csv_layout *csv_layout_read(const char *data, size_t size, char delimiter,
                                   const struct row_rules *rules, struct row_error *error)
{
    struct csv_layout *layout = cli_zeroed(1, sizeof *layout);
    struct header_reader reader = {.layout = layout};
    struct csv_parser parser;

    layout->delimiter = delimiter;
    layout->header_size = header_size(data, size);
    layout->header_lines = input_count_lines(data, layout->header_size);
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        cli_no_memory();
    }
    csv_set_delim(&parser, (unsigned char)delimiter);
    csv_set_space_func(&parser, is_never_space);
    if (csv_parse(&parser, data, layout->header_size, add_name, end_header, &reader) !=
            layout->header_size ||
        csv_fini(&parser, add_name, end_header, &reader) != 0) {
        row_fail(error, 0, "a quotation mark in the header is not at the border of a field");
    }
    csv_free(&parser);
    if (layout->column_count == 0) {
        row_fail(error, 0, "there is no header line");
    }
    find_columns(layout, rules, error);
    if (error->failed) {
        csv_layout_free(layout);
        return NULL;
    }
    return layout;
}

void csv_layout_free(struct csv_layout *layout)
{
    if (layout == NULL) {
        return;
    }
    for (size_t i = 0; i < layout->column_count; i++) {
        cli_free(layout->names[i]);
        if (layout->json_names != NULL) {
            buffer_clear(&layout->json_names[i]);
        }
    }
    cli_free(layout->columns);
    cli_free(layout->json_names);
    cli_free(layout->names);
    cli_free(layout);
}

const char *csv_layout_name(const struct csv_layout *layout, size_t column)
{
    return layout->names[column];
}

void csv_layout_add_json_name(const struct csv_layout *layout, size_t column, struct buffer *out)
{
    buffer_add(out, layout->json_names[column].data, layout->json_names[column].size);
}
