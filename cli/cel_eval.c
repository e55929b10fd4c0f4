/*
 * cel_eval.c - `shardy cel eval`: pieces of input through the expression, one thread.
 *
 * A row that fails gets an item with `error`; the others are answered and the exit code is 1. A
 * row that no shard would take is an answer, too. The library names the first such row of a batch
 * only, so the rows of that batch go singly.
 */
#include "cel_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cel_spread.h"
#include "json_shim.h"

/* State of one run. */
struct run {
    const struct cel_eval *eval;
    struct row_rules rules;
    struct row_schema schema;
    struct json json;
    struct cel_spread spread;
    uint64_t line;   /* lines before the piece */
    uint64_t failed; /* rows */
    char *problem;   /* the input is not acceptable */
    bool is_json;
};

/* One result, as it is printed and counted. */
struct shown {
    char text[64];    /* of numbers and times */
    const char *data; /* the text: `text` or the row's own */
    size_t size;
    struct buffer encoded; /* of bytes */
    bool is_null;
    bool is_number; /* JSON without quotes */
    bool is_bool;
};

enum { NO_SHARD = -1 };

static bool is_valid(const struct ArrowArray *array, size_t row)
{
    const uint8_t *bits = array->buffers[0];

    row += (size_t)array->offset;
    return bits == NULL || (bits[row / 8] >> row % 8 & 1) != 0;
}

static void show_real(struct shown *shown, double number)
{
    if (isnan(number)) {
        number = (double)NAN; /* without its sign, as in string(double) */
    }
    (void)snprintf(shown->text, sizeof shown->text, "%.15g", number);
    if (strtod(shown->text, NULL) != number) {
        (void)snprintf(shown->text, sizeof shown->text, "%.17g", number);
    }
    shown->is_number = isfinite(number);
}

/* All digits, as string(duration) has them: a double would lose some. */
static void show_duration(struct shown *shown, int64_t nanos)
{
    uint64_t size = nanos < 0 ? 0 - (uint64_t)nanos : (uint64_t)nanos;
    unsigned fraction = (unsigned)(size % 1000000000);
    int digits = 9;

    while (digits > 1 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    int used = snprintf(shown->text, sizeof shown->text, "%s%" PRIu64, nanos < 0 ? "-" : "",
                        size / 1000000000);
    if (fraction > 0) {
        (void)snprintf(shown->text + used, sizeof shown->text - (size_t)used, ".%0*us", digits,
                       fraction);
    } else {
        (void)snprintf(shown->text + used, sizeof shown->text - (size_t)used, "s");
    }
}

static void show_seconds(struct shown *shown, int64_t nanos, bool is_time)
{
    if (is_time) {
        int64_t us = nanos / 1000 - (nanos % 1000 < 0);

        out_format_time(us, shown->text);
    } else {
        show_duration(shown, nanos);
    }
}

/* Row of a result column. The formats are those of shardy_cel_evaluate_batch(). */
static void show(struct shown *shown, const char *format, const struct ArrowArray *array,
                 size_t row)
{
    size_t at = row + (size_t)array->offset;
    const void *values = array->buffers[1];

    shown->is_null = !is_valid(array, row);
    shown->is_number = shown->is_bool = false;
    shown->data = shown->text;
    if (shown->is_null) {
        (void)snprintf(shown->text, sizeof shown->text, "null");
    } else if (format[0] == 'l' || format[0] == 'L') {
        shown->is_number = true;
        (void)snprintf(shown->text, sizeof shown->text, format[0] == 'l' ? "%" PRId64 : "%" PRIu64,
                       ((const uint64_t *)values)[at]);
    } else if (format[0] == 'g') {
        show_real(shown, ((const double *)values)[at]);
    } else if (format[0] == 'b') {
        bool truth = (((const uint8_t *)values)[at / 8] >> at % 8 & 1) != 0;

        shown->is_bool = true;
        (void)snprintf(shown->text, sizeof shown->text, truth ? "true" : "false");
    } else if (format[0] == 't') {
        show_seconds(shown, ((const int64_t *)values)[at], format[1] == 's');
    } else {
        const int32_t *ends = values;

        shown->data = (const char *)array->buffers[2] + ends[at];
        shown->size = (size_t)(ends[at + 1] - ends[at]);
        if (format[0] == 'z') {
            shown->encoded.size = 0;
            encoding_add(&shown->encoded, VALUE_BASE64, shown->data, shown->size);
            shown->data = shown->encoded.data != NULL ? shown->encoded.data : "";
            shown->size = shown->encoded.size;
        }
        return;
    }
    shown->size = strlen(shown->text);
}

/*
 * Shards of the rows of a batch, NO_SHARD where none takes the row.
 * @return false when the rows must go singly
 */
static bool route(const struct run *run, struct row_batch *batch, size_t first, size_t count,
                  int64_t *shards)
{
    uint32_t *ids = cli_zeroed(count, sizeof *ids);
    shardy_error err = SHARDY_ERROR_INIT;
    struct ArrowArray array;
    shardy_status status = SHARDY_ASSIGNMENT;

    if (run->eval->router != NULL) {
        row_batch_export(batch, first, count, &array);
        status =
            shardy_router_route_batch(run->eval->router, &run->schema.root, &array, 0, ids, &err);
        array.release(&array);
    }
    for (size_t i = 0; i < count; i++) {
        shards[i] = status == SHARDY_OK ? (int64_t)ids[i] : NO_SHARD;
    }
    cli_free(ids);
    return status == SHARDY_OK || run->eval->router == NULL || count == 1;
}

static void print_json(struct run *run, uint64_t line, const struct shown *shown, int64_t shard,
                       const char *error)
{
    struct json *json = &run->json;

    json_begin_object(json);
    json_key(json, "line");
    json_uint(json, line);
    if (error != NULL) {
        json_key(json, "error");
        json_text(json, error);
        json_end_object(json);
        return;
    }
    json_key(json, "value");
    if (shown->is_null) {
        json_null(json);
    } else if (shown->is_bool) {
        json_bool(json, shown->text[0] == 't');
    } else if (shown->is_number) {
        json_raw(json, shown->data, shown->size);
    } else {
        json_string(json, shown->data, shown->size);
    }
    json_key(json, "db_id");
    if (shard >= 0) {
        json_int(json, shard);
    } else {
        json_null(json);
    }
    json_end_object(json);
}

static void print_plain(struct run *run, uint64_t line, const struct shown *shown, int64_t shard,
                        const char *error)
{
    struct out *out = &run->eval->cli->out;

    out_format(out, "%" PRIu64 ": ", line);
    if (error != NULL) {
        out_text(out, "error: ");
        out_visible(out, error, strlen(error));
    } else {
        out_visible(out, shown->data, shown->size);
        if (shard >= 0) {
            out_format(out, " -> shard %" PRId64, shard);
        } else if (run->eval->router != NULL) {
            out_text(out, " -> no shard");
        }
    }
    out_text(out, "\n");
}

/* Print and count one row. `error` NULL: it has a result. */
static void finish_row(struct run *run, uint64_t position, const struct shown *shown, int64_t shard,
                       const char *error)
{
    const struct cel_eval *eval = run->eval;
    uint64_t line = run->line + position + 1;
    char id[32];

    if (error != NULL) {
        run->failed++;
    } else if (shard != NO_SHARD) {
        (void)snprintf(id, sizeof id, "%" PRId64, shard);
        cel_spread_add(&run->spread, id, strlen(id), shard);
    } else {
        cel_spread_add(&run->spread, shown->data, shown->size, NO_SHARD);
    }
    if (!eval->summary && run->is_json) {
        print_json(run, line, shown, shard, error);
    } else if (!eval->summary) {
        print_plain(run, line, shown, shard, error);
    }
}

/* Rows of a batch. @return false when they must go singly, or the one failed: nothing is printed */
static bool evaluate(struct run *run, struct row_batch *batch, size_t first, size_t count,
                     shardy_error *err)
{
    int64_t *shards = cli_zeroed(count, sizeof *shards);
    struct ArrowArray array;
    struct ArrowArray result = {0};
    struct ArrowSchema schema = {0};
    struct shown shown = {0};
    bool ok;

    row_batch_export(batch, first, count, &array);
    ok = shardy_cel_evaluate_batch(run->eval->cel, &run->schema.root, &array, 0, &schema, &result,
                                   err) == SHARDY_OK;
    array.release(&array);
    if (ok && route(run, batch, first, count, shards)) {
        for (size_t i = 0; i < count; i++) {
            show(&shown, schema.format, &result, i);
            finish_row(run, batch->positions[first + i], &shown, shards[i], NULL);
        }
    } else if (ok) {
        ok = false;
    }
    if (result.release != NULL) {
        result.release(&result);
        schema.release(&schema);
    }
    buffer_clear(&shown.encoded);
    cli_free(shards);
    return ok;
}

/* The message without its "row 0: ": rows are named by their lines here. */
static const char *without_row(const char *message)
{
    static const char prefix[] = "row 0: ";

    return strncmp(message, prefix, strlen(prefix)) == 0 ? message + strlen(prefix) : message;
}

static void evaluate_piece(struct run *run, struct row_batch *batch)
{
    shardy_error err = SHARDY_ERROR_INIT;

    if (batch->rows == 0 || evaluate(run, batch, 0, batch->rows, &err)) {
        return;
    }
    for (size_t i = 0; i < batch->rows; i++) {
        if (!evaluate(run, batch, i, 1, &err)) {
            finish_row(run, batch->positions[i], NULL, NO_SHARD, without_row(err.message));
        }
    }
}

static void parse(struct run *run, struct csv_state *csv, struct json_shim *json,
                  struct input_piece *piece, struct row_batch *batch)
{
    struct input_source *source = piece->source;
    struct row_error error = {0};

    if (source->format == INPUT_JSONL) {
        jsonl_parse_piece(json, piece, batch, &error);
    } else {
        if (piece->first) {
            source->layout =
                csv_layout_read(piece->data, piece->size, source->format == INPUT_TSV ? '\t' : ',',
                                &run->rules, &error);
        }
        if (!error.failed) {
            csv_parse_piece(csv, piece, batch, &error);
        }
    }
    if (error.failed) {
        run->problem = cli_format("%s:%" PRIu64 ": %s",
                                  strcmp(source->path, "-") == 0 ? "<stdin>" : source->path,
                                  run->line + error.position + 1, error.message);
    }
}

static void read_all(struct run *run, struct input *input)
{
    struct csv_state *csv = csv_state_new();
    struct json_shim *json = json_shim_new();
    struct buffer data = {0};
    struct input_piece piece = {0};
    char message[512];
    enum input_next next = INPUT_PIECE;

    while (run->problem == NULL && run->eval->cli->out.failure == 0 &&
           (next = input_next(input, &data, &piece, message, sizeof message)) == INPUT_PIECE) {
        struct row_batch *batch = row_batch_new(&run->rules, piece.size);

        run->line = piece.offset == 0 ? 0 : run->line;
        parse(run, csv, json, &piece, batch);
        evaluate_piece(run, batch); /* also the rows before a damaged one */
        run->line += batch->line_count;
        row_batch_release(batch);
    }
    if (next == INPUT_FAILED) {
        run->problem = cli_format("%s", message);
    }
    buffer_clear(&data);
    json_shim_free(json);
    csv_state_free(csv);
}

static void print_spread_json(struct run *run)
{
    struct json *json = &run->json;

    json_key(json, "rows");
    json_uint(json, run->spread.rows + run->failed);
    json_key(json, "failed");
    json_uint(json, run->failed);
    json_key(json, "distribution");
    json_begin_list(json);
    for (size_t i = 0; i < run->spread.count; i++) {
        const struct cel_spread_item *item = &run->spread.items[i];

        json_begin_object(json);
        json_key(json, item->order >= 0 ? "db_id" : "value");
        if (item->order >= 0) {
            json_int(json, item->order);
        } else {
            json_string(json, item->text, item->size);
        }
        json_key(json, "rows");
        json_uint(json, item->rows);
        json_end_object(json);
    }
    json_end_list(json);
}

static int finish(struct run *run)
{
    struct cli *cli = run->eval->cli;
    int code = run->failed > 0 ? CLI_FAILED : CLI_OK;

    cel_spread_sort(&run->spread);
    if (run->is_json) {
        json_end_list(&run->json);
        print_spread_json(run);
        json_end_result(&run->json);
    } else if (run->spread.rows > 0 && (cli->out.terminal || run->eval->summary)) {
        cel_spread_print(cli, &run->spread, run->eval->router != NULL);
    }
    if (run->problem != NULL) {
        out_flush(&cli->out);
        code = cli_command_error(cli, "%s", run->problem);
    }
    return code;
}

int cel_eval_run(const struct cel_eval *eval, struct input *input)
{
    struct run run = {.eval = eval,
                      .is_json =
                          eval->cli->format == FORMAT_JSON || eval->cli->format == FORMAT_JSONL,
                      .rules = {.columns_only = true,
                                .key_name = "",
                                .value_name = "",
                                .columns = eval->specs->items,
                                .column_count = eval->specs->count}};
    int code;

    row_schema_init(&run.schema, &run.rules);
    if (run.is_json) {
        json_begin_result(&run.json, &eval->cli->out, eval->cli->format, "cel");
        json_key(&run.json, "results");
        json_begin_list(&run.json);
    }
    read_all(&run, input);
    code = finish(&run);
    row_schema_clear(&run.schema);
    cel_spread_clear(&run.spread);
    cli_free(run.problem);
    return code;
}
