/*
 * cmd_multiget.c - `shardy multiget`: many keys, in order, from arguments or standard input.
 *
 * Keys go through in chunks: json, jsonl and text are printed as they come, so a list of any length
 * needs little memory; a table needs the widths first and is kept. A key that cannot be looked up
 * gets an item with `error`; the others are answered and the exit code is 1.
 */
#include <string.h>

#include "context.h"
#include "encoding.h"
#include "keytext.h"
#include "memory.h"
#include "session.h"

enum { OPT_KEY_FORMAT, OPT_VALUE_ENCODING, OPT_CONTEXT, OPT_HELP };
enum { CHUNK_KEYS = 4096 };

static const struct option_spec options[] = {
    [OPT_KEY_FORMAT] = {"--key-format", OPTION_CHOICE, NULL, KEY_FORMAT_CHOICES,
                        "How keys are typed; hex and base64 give the stored bytes. Default: text."},
    [OPT_VALUE_ENCODING] = {"--value-encoding", OPTION_CHOICE, NULL, VALUE_ENCODING_CHOICES,
                            "How values are printed. Default: base64."},
    [OPT_CONTEXT] = CONTEXT_OPTION,
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

/* One key on its way from text to a printed item. */
struct entry {
    char *text;
    struct buffer bytes; /* what `key` points into */
    shardy_key key;
    char *error; /* why there is no answer; NULL = there is one */
};

/* One kept row of a table. */
struct row {
    char *key;
    struct buffer value;
};

struct multiget {
    struct cli *cli;
    struct session *session;
    struct context context;
    struct json json;
    struct entry entries[CHUNK_KEYS];
    shardy_key keys[CHUNK_KEYS];
    size_t count;
    bool failed; /* some item has an error */
    struct buffer printed;
    struct row *rows;
    size_t row_count;
    size_t row_capacity;
};

static void keep_row(struct multiget *run, const char *key, const struct buffer *value)
{
    struct row *row;

    if (run->row_count == run->row_capacity) {
        run->row_capacity = run->row_capacity ? run->row_capacity * 2 : 64;
        run->rows = cli_resize_array(run->rows, run->row_capacity, sizeof *run->rows);
    }
    row = &run->rows[run->row_count++];
    *row = (struct row){cli_copy_text(key, strlen(key)), {NULL, 0, 0}};
    buffer_add(&row->value, value->data, value->size);
}

static void print_json_item(struct multiget *run, const struct entry *entry,
                            const shardy_item *item)
{
    struct json *json = &run->json;

    json_begin_object(json);
    json_key(json, "key");
    json_text(json, entry->text);
    if (entry->error != NULL) {
        json_key(json, "error");
        json_text(json, entry->error);
    } else {
        json_key(json, "found");
        json_bool(json, item->data != NULL);
    }
    if (entry->error == NULL && item->data != NULL) {
        json_key(json, "value");
        json_string(json, run->printed.data, run->printed.size);
    }
    json_end_object(json);
}

/* Text and table: the value, `null`, or `error: MESSAGE` in its place. */
static void print_plain_item(struct multiget *run, const struct entry *entry,
                             const shardy_item *item)
{
    struct out *out = &run->cli->out;

    if (entry->error != NULL) {
        run->printed.size = 0;
        buffer_add_text(&run->printed, "error: ");
        buffer_add_text(&run->printed, entry->error);
    } else if (item->data == NULL) {
        buffer_add_text(&run->printed, "null");
    }
    if (run->cli->format == FORMAT_TABLE) {
        keep_row(run, entry->text, &run->printed);
        return;
    }
    out_visible(out, entry->text, strlen(entry->text));
    out_text(out, entry->error != NULL ? ": " : "=");
    out_visible(out, run->printed.data, run->printed.size);
    out_text(out, "\n");
}

static void print_item(struct multiget *run, const struct entry *entry, const shardy_item *item)
{
    enum value_encoding encoding =
        (enum value_encoding)run->cli->options[OPT_VALUE_ENCODING].number;

    run->printed.size = 0;
    if (entry->error == NULL && item->data != NULL) {
        encoding_add(&run->printed, encoding, item->data, item->size);
    }
    run->failed = run->failed || entry->error != NULL;
    if (run->cli->format == FORMAT_TEXT || run->cli->format == FORMAT_TABLE) {
        print_plain_item(run, entry, item);
    } else {
        print_json_item(run, entry, item);
    }
}

/* After a failed batch: each key on its own, so that only the bad ones fail. */
static void look_up_singly(struct multiget *run)
{
    for (size_t i = 0; i < run->count; i++) {
        struct entry *entry = &run->entries[i];
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_item item = {NULL, 0};

        if (entry->error == NULL) {
            if (shardy_snapshot_get_with_context(run->session->snapshot, &entry->key,
                                                 run->context.use, &value, &err) != SHARDY_OK) {
                entry->error = cli_copy_text(err.message, strlen(err.message));
            }
            item = (shardy_item){value.data, value.size};
        }
        print_item(run, entry, &item);
        shardy_value_clear(&value);
    }
}

static void look_up(struct multiget *run)
{
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    size_t good = 0;
    size_t next = 0;

    for (size_t i = 0; i < run->count; i++) {
        if (run->entries[i].error == NULL) {
            run->keys[good++] = run->entries[i].key;
        }
    }
    if (shardy_snapshot_multi_get_with_context(run->session->snapshot, run->keys, good,
                                               run->context.use, &items, &err) != SHARDY_OK) {
        look_up_singly(run);
    } else {
        for (size_t i = 0; i < run->count; i++) {
            static const shardy_item none = {NULL, 0};
            bool bad = run->entries[i].error != NULL;

            print_item(run, &run->entries[i], bad ? &none : &items.items[next++]);
        }
    }
    shardy_items_clear(&items);
    for (size_t i = 0; i < run->count; i++) {
        cli_free(run->entries[i].text);
        cli_free(run->entries[i].error);
        buffer_clear(&run->entries[i].bytes);
    }
    run->count = 0;
}

static void add_key(struct multiget *run, const char *text, size_t size)
{
    enum text_format format = (enum text_format)run->cli->options[OPT_KEY_FORMAT].number;
    struct entry *entry = &run->entries[run->count++];
    char message[512] = "key contains a NUL character; use --key-format hex";

    *entry = (struct entry){.text = cli_copy_text(text, size)};
    if (memchr(text, '\0', size) != NULL ||
        !keytext_parse(entry->text, run->session->key_encoding, format, &entry->bytes, &entry->key,
                       message, sizeof message)) {
        entry->error = cli_copy_text(message, strlen(message));
    }
    if (run->count == CHUNK_KEYS) {
        look_up(run);
    }
}

static void print_table(struct multiget *run)
{
    struct out *out = &run->cli->out;
    size_t key_width = 3;
    size_t value_width = 5;

    for (size_t i = 0; i < run->row_count; i++) {
        const struct row *row = &run->rows[i];
        size_t key = utf8_length(row->key, strlen(row->key));
        size_t value = utf8_length(row->value.data, row->value.size);

        key_width = key > key_width ? key : key_width;
        value_width = value > value_width ? value : value_width;
    }
    table_cell(out, CELL_LEFT, key_width, "KEY", 3);
    table_gap(out);
    table_cell(out, CELL_LEFT, value_width, "VALUE", 5);
    out_text(out, "\n");
    table_rule(out, key_width + 2 + value_width);
    for (size_t i = 0; i < run->row_count; i++) {
        struct row *row = &run->rows[i];

        table_cell(out, CELL_LEFT, key_width, row->key, strlen(row->key));
        table_gap(out);
        table_cell(out, CELL_LEFT, value_width, row->value.data, row->value.size);
        out_text(out, "\n");
        cli_free(row->key);
        buffer_clear(&row->value);
    }
}

/* Next key of standard input, trimmed; blank lines are skipped. NULL at the end. */
static char *next_line(struct buffer *line, size_t *size)
{
    char *text = NULL;

    for (;;) {
        ssize_t got = getline(&line->data, &line->capacity, stdin);

        if (got < 0) {
            return NULL;
        }
        text = line->data;
        *size = (size_t)got;
        while (*size > 0 && strchr(" \t\r\n\v\f", text[*size - 1]) != NULL && text[*size - 1]) {
            (*size)--;
        }
        while (*size > 0 && strchr(" \t\v\f", text[0]) != NULL && text[0]) {
            text++;
            (*size)--;
        }
        if (*size > 0) {
            return text;
        }
    }
}

static void begin_output(struct multiget *run)
{
    if (run->cli->format == FORMAT_JSON || run->cli->format == FORMAT_JSONL) {
        json_begin_result(&run->json, &run->cli->out, run->cli->format, "multiget");
        json_key(&run->json, "results");
        json_begin_list(&run->json);
    }
}

static int end_output(struct multiget *run)
{
    if (run->count > 0) {
        look_up(run);
    }
    if (run->cli->format == FORMAT_TABLE) {
        print_table(run);
    } else if (run->cli->format != FORMAT_TEXT) {
        json_end_list(&run->json);
        json_end_result(&run->json);
    }
    return run->failed ? CLI_FAILED : CLI_OK;
}

static int run(struct cli *cli)
{
    bool from_stdin = cli->arg_count == 1 && strcmp(cli->args[0], "-") == 0;
    struct session session = {0};
    struct multiget *multiget = cli_zeroed(1, sizeof *multiget);
    struct buffer line = {0};
    size_t size = 0;
    char *first = NULL;
    int code;

    /* Standard input comes before configuration: no keys is a usage error. */
    if (from_stdin && (first = next_line(&line, &size)) == NULL) {
        code = cli_usage_error(cli, "No keys provided on stdin");
    } else {
        code = session_open(cli, &session);
    }
    if (code == 0) {
        code = context_parse(cli, &session, &cli->options[OPT_CONTEXT], &multiget->context);
    }
    if (code == 0) {
        multiget->cli = cli;
        multiget->session = &session;
        begin_output(multiget);
        for (size_t i = 0; !from_stdin && i < cli->arg_count; i++) {
            add_key(multiget, cli->args[i], strlen(cli->args[i]));
        }
        while (first != NULL && cli->out.failure == 0) {
            add_key(multiget, first, size);
            first = next_line(&line, &size);
        }
        code = end_output(multiget);
    }
    buffer_clear(&line);
    buffer_clear(&multiget->printed);
    context_clear(&multiget->context);
    cli_free(multiget->rows);
    cli_free(multiget);
    session_close(&session);
    return code;
}

const struct command cli_cmd_multiget = {
    .name = "multiget",
    .arguments = "KEYS...",
    .min_args = 1,
    .max_args = SIZE_MAX,
    .summary = "Look many keys up; `-` alone reads them from standard input, one a line.",
    .description = "Results keep the order of the keys. A key that cannot be looked up gets an "
                   "item with an error, the others are answered, and the exit status is 1.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
