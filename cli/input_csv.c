/*
 * input_csv.c - CSV (RFC 4180) and TSV with a header line.
 *
 * libcsv takes every byte through a state machine and calls back for every field: 230 MB/s a thread
 * where splitting with memchr does 1800 MB/s, and a build with two threads wants 400 MB/s in all.
 * So a record without a quotation mark and without a lone carriage return is split with memchr, and
 * libcsv in strict mode gets all others. Both see the same dialect: spaces belong to fields, lines
 * end with LF or CRLF (libcsv also takes a lone CR), blank lines are skipped, quotation marks only
 * around whole fields. Tests hold both against an independent CSV reader.
 */
#include "input.h"

#include <csv.h>
#include <string.h>

#include "csv_layout.h"
#include "json_shim.h"

enum { FIELD_BLOCK_SIZE = 1 << 20 };

/* A field; `data` is NULL while the fields of a record are still moving (see add_field). */
struct slice {
    const char *data;
    size_t size;
};

struct csv_state {
    struct csv_parser parser;
    struct slice *fields;
    size_t field_count;
    size_t field_capacity;
    struct buffer text; /* fields that libcsv made */
    const struct csv_layout *layout;
    struct row_batch *batch;
    struct row_error *error;
    uint64_t position; /* line of the record that is parsed */
};

static int is_never_space(unsigned char byte)
{
    (void)byte;
    return 0;
}

static void parser_init(struct csv_parser *parser, char delimiter)
{
    if (csv_init(parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        cli_no_memory();
    }
    csv_set_delim(parser, (unsigned char)delimiter);
    csv_set_space_func(parser, is_never_space);
    /* libcsv grows its field by one block at a time: small blocks make long fields quadratic. */
    csv_set_blk_size(parser, FIELD_BLOCK_SIZE);
}

struct csv_state *csv_state_new(void)
{
    return cli_zeroed(1, sizeof(struct csv_state));
}

void csv_state_free(struct csv_state *state)
{
    if (state != NULL) {
        cli_free(state->fields);
        buffer_clear(&state->text);
        cli_free(state);
    }
}

static void push_field(struct csv_state *state, const char *data, size_t size)
{
    if (state->field_count == state->field_capacity) {
        state->field_capacity = state->field_capacity ? state->field_capacity * 2 : 16;
        state->fields =
            cli_resize_array(state->fields, state->field_capacity, sizeof *state->fields);
    }
    state->fields[state->field_count++] = (struct slice){data, size};
}

static bool add_json_value(struct csv_state *state)
{
    struct buffer *values = &state->batch->values;

    buffer_add_byte(values, '{');
    for (size_t i = 0; i < state->field_count; i++) {
        const struct slice *field = &state->fields[i];

        if (!json_shim_is_utf8(field->data, field->size)) {
            row_fail(state->error, state->position,
                     "column '%s' is not valid UTF-8, which --value-json needs",
                     csv_layout_name(state->layout, i));
            return false;
        }
        csv_layout_add_json_name(state->layout, i, values);
        csv_add_json_string(values, field->data, field->size);
    }
    buffer_add_byte(values, '}');
    if (values->size > INT32_MAX) {
        row_fail(state->error, state->position, "the rows as JSON are too long");
        return false;
    }
    return true;
}

static bool add_key_and_value(struct csv_state *state)
{
    const struct csv_layout *layout = state->layout;
    const struct slice *key = &state->fields[layout->key_column];
    const struct slice *value = &state->fields[layout->value_column];

    if (!row_batch_key_text(state->batch, key->data, key->size, state->position, state->error)) {
        return false;
    }
    return state->batch->rules->value_json
               ? add_json_value(state)
               : row_batch_value_text(state->batch, value->data, value->size, state->position,
                                      state->error);
}

static bool add_columns(struct csv_state *state)
{
    const struct row_rules *rules = state->batch->rules;

    for (size_t i = 0; i < rules->column_count; i++) {
        const struct slice *field = &state->fields[state->layout->columns[i]];

        if (!column_add_text(&state->batch->columns[i], &rules->columns[i], field->data,
                             field->size, state->position, state->error)) {
            return false;
        }
    }
    return true;
}

/* One record: check the number of fields, then add key, value and columns. */
static void end_record(struct csv_state *state)
{
    const struct csv_layout *layout = state->layout;

    if (state->error->failed) {
        return;
    }
    if (state->field_count != layout->column_count) {
        row_fail(state->error, state->position, "expected %zu fields as in the header, found %zu%s",
                 layout->column_count, state->field_count,
                 state->field_count > layout->column_count ? " or more" : "");
        return;
    }
    if ((state->batch->rules->columns_only || add_key_and_value(state)) && add_columns(state)) {
        row_batch_end(state->batch, state->position);
    }
}

/* libcsv reuses its buffer: fields are copied, and get their address at the end of the record. */
static void add_field(void *data, size_t size, void *arg)
{
    struct csv_state *state = arg;

    if (state->field_count <= state->layout->column_count) {
        push_field(state, NULL, size);
        buffer_add(&state->text, data, size);
    }
}

static void finish_fields(int terminator, void *arg)
{
    struct csv_state *state = arg;
    const char *at = state->text.data != NULL ? state->text.data : "";

    (void)terminator;
    for (size_t i = 0; i < state->field_count; i++) {
        state->fields[i].data = at;
        at += state->fields[i].size;
    }
    end_record(state);
    state->field_count = 0;
    state->text.size = 0;
}

/* A record (or, with lone carriage returns, several) through libcsv. */
static void parse_quoted(struct csv_state *state, const char *data, size_t size, bool last)
{
    size_t used = csv_parse(&state->parser, data, size, add_field, finish_fields, state);

    if (used != size) {
        row_fail(state->error, state->position + input_count_lines(data, used),
                 "a quotation mark is not at the border of a field (RFC 4180)");
    } else if (last && csv_fini(&state->parser, add_field, finish_fields, state) != 0) {
        row_fail(state->error, state->position, "a quoted field is never closed");
    }
}

/* A record without quotation marks and line breaks. */
static void parse_plain(struct csv_state *state, const char *data, size_t size)
{
    char delimiter = state->layout->delimiter;
    const char *end = data + size;

    state->field_count = 0;
    for (;;) {
        const char *border = memchr(data, delimiter, (size_t)(end - data));

        push_field(state, data, (size_t)((border != NULL ? border : end) - data));
        if (border == NULL || state->field_count > state->layout->column_count) {
            break;
        }
        data = border + 1;
    }
    end_record(state);
    state->field_count = 0;
}

/* End of the record at `data`, after its line feed: the first one outside quotation marks. */
static const char *record_end(const char *data, const char *end)
{
    bool inside = false;

    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        const char *line_end = newline != NULL ? newline : end;

        while (data < line_end && (data = memchr(data, '"', (size_t)(line_end - data))) != NULL) {
            inside = !inside;
            data++;
        }
        data = newline != NULL ? newline + 1 : end;
        if (!inside) {
            break;
        }
    }
    return data;
}

/* First `byte` at or after `at`; `end` when there is none. */
static const char *find(const char *at, const char *end, char byte)
{
    const char *found = at < end ? memchr(at, byte, (size_t)(end - at)) : NULL;

    return found != NULL ? found : end;
}

static void parse_records(struct csv_state *state, const char *at, const char *end)
{
    const char *quote = find(at, end, '"');
    const char *carriage = find(at, end, '\r');

    while (at < end && !state->error->failed) {
        const char *newline = find(at, end, '\n');
        const char *content_end = newline;

        quote = quote < at ? find(at, end, '"') : quote;
        carriage = carriage < at ? find(at, end, '\r') : carriage;
        if (quote < newline || carriage + 1 < newline) {
            const char *next = record_end(at, end);

            parse_quoted(state, at, (size_t)(next - at), next == end);
            state->position += input_count_lines(at, (size_t)(next - at));
            at = next;
            continue;
        }
        if (carriage < newline) {
            content_end--;
        }
        if (content_end > at) {
            parse_plain(state, at, (size_t)(content_end - at));
        }
        state->position++;
        at = newline + 1;
    }
}

void csv_parse_piece(struct csv_state *state, const struct input_piece *piece,
                     struct row_batch *batch, struct row_error *error)
{
    const struct csv_layout *layout = piece->source->layout;
    size_t header = piece->first ? layout->header_size : 0;

    state->layout = layout;
    state->batch = batch;
    state->error = error;
    state->field_count = 0;
    state->text.size = 0;
    state->position = piece->first ? layout->header_lines : 0;
    parser_init(&state->parser, layout->delimiter);
    parse_records(state, piece->data + header, piece->data + piece->size);
    csv_free(&state->parser);
    batch->line_count = input_count_lines(piece->data, piece->size);
}

/*
 * Quotation marks pair up within a record, so a line feed is a border when their number before it
 * is even. Counting from the end backwards needs one pass to know the total and rarely more.
 */
size_t csv_cut(const char *data, size_t size)
{
    const char *end = data + size;
    const char *at = data;
    const char *border;
    size_t quotes = 0;

    while ((at = find(at, end, '"')) != end) {
        quotes++;
        at++;
    }
    while ((border = memrchr(data, '\n', (size_t)(end - data))) != NULL) {
        for (at = border + 1; (at = find(at, end, '"')) != end; at++) {
            quotes--;
        }
        if (quotes % 2 == 0) {
            return (size_t)(border - data) + 1;
        }
        end = border;
    }
    return 0;
}
