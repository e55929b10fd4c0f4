/*
 * cmd_scan.c - `shardy scan`: rows in key order, of one shard or merged over all.
 *
 * jsonl prints one object a row, json one object with `rows`, text `key=value`. Integer keys are
 * numbers; keys that are not UTF-8 are hex and carry `"key_encoding": "hex"`.
 */
#include <inttypes.h>
#include <string.h>

#include "encoding.h"
#include "keytext.h"
#include "session.h"

enum {
    OPT_SHARD,
    OPT_PREFIX,
    OPT_START,
    OPT_END,
    OPT_LIMIT,
    OPT_KEYS_ONLY,
    OPT_KEY_FORMAT,
    OPT_VALUE_ENCODING,
    OPT_HELP
};

static const struct option_spec options[] = {
    [OPT_SHARD] = {"--shard", OPTION_INT, "N", NULL,
                   "Only this shard. Default: all, merged in key order."},
    [OPT_PREFIX] = {"--prefix", OPTION_TEXT, "TEXT", NULL,
                    "Only keys that start with this text (utf8 and raw keys)."},
    [OPT_START] = {"--start", OPTION_TEXT, "KEY", NULL, "First key, inclusive."},
    [OPT_END] = {"--end", OPTION_TEXT, "KEY", NULL, "Last key, exclusive."},
    [OPT_LIMIT] = {"--limit", OPTION_INT, "N", NULL, "At most this many rows."},
    [OPT_KEYS_ONLY] = {"--keys-only", OPTION_FLAG, NULL, NULL, "Print no values."},
    [OPT_KEY_FORMAT] = {"--key-format", OPTION_CHOICE, NULL, KEY_FORMAT_CHOICES,
                        "How --prefix, --start and --end are typed. Default: text."},
    [OPT_VALUE_ENCODING] = {"--value-encoding", OPTION_CHOICE, NULL, VALUE_ENCODING_CHOICES,
                            "How values are printed. Default: base64."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

/* One row as it is printed. */
struct printed_row {
    shardy_key key;     /* integer or text; bytes when `hex` */
    bool hex;           /* `key_text` is hex of bytes that are neither */
    struct buffer text; /* the key as text */
    struct buffer value;
    uint32_t db_id;
};

static void print_json_fields(struct json *json, const struct printed_row *row, bool keys_only)
{
    json_key(json, "db_id");
    json_uint(json, row->db_id);
    json_key(json, "key");
    if (row->hex) {
        json_string(json, row->text.data, row->text.size);
        json_key(json, "key_encoding");
        json_text(json, "hex");
    } else {
        json_logical_key(json, &row->key);
    }
    if (!keys_only) {
        json_key(json, "value");
        json_string(json, row->value.data, row->value.size);
    }
}

static void print_text(struct out *out, const struct printed_row *row, bool keys_only)
{
    out_visible(out, row->text.data, row->text.size);
    if (!keys_only) {
        out_text(out, "=");
        out_visible(out, row->value.data, row->value.size);
    }
    out_text(out, "\n");
}

static void print_table_row(struct out *out, const struct printed_row *row, bool keys_only)
{
    out_format(out, "%5" PRIu32 "  ", row->db_id);
    table_cell(out, CELL_LEFT, keys_only ? 0 : 20, row->text.data, row->text.size);
    if (!keys_only) {
        table_gap(out);
        out_visible(out, row->value.data, row->value.size);
    }
    out_text(out, "\n");
}

static void print_row(struct cli *cli, struct json *json, const struct printed_row *row)
{
    bool keys_only = cli->options[OPT_KEYS_ONLY].given;

    switch (cli->format) {
    case FORMAT_TEXT:
        print_text(&cli->out, row, keys_only);
        break;
    case FORMAT_TABLE:
        print_table_row(&cli->out, row, keys_only);
        break;
    case FORMAT_JSON:
        json_begin_object(json);
        print_json_fields(json, row, keys_only);
        json_end_object(json);
        break;
    case FORMAT_JSONL:
        json_begin_result(json, &cli->out, FORMAT_JSONL, "scan");
        print_json_fields(json, row, keys_only);
        json_end_result(json);
        break;
    }
}

static void prepare_row(struct cli *cli, const struct session *session, const shardy_row *row,
                        struct printed_row *printed)
{
    enum value_encoding encoding = (enum value_encoding)cli->options[OPT_VALUE_ENCODING].number;

    printed->key = keytext_from_stored(row->key, row->key_size, session->key_encoding);
    printed->hex = printed->key.kind == SHARDY_KIND_BYTES;
    printed->db_id = row->db_id;
    printed->text.size = 0;
    printed->value.size = 0;
    if (printed->hex) {
        encoding_add(&printed->text, VALUE_HEX, row->key, row->key_size);
    } else {
        out_key(&printed->text, &printed->key);
    }
    if (!cli->options[OPT_KEYS_ONLY].given) {
        encoding_add(&printed->value, encoding, row->value, row->value_size);
    }
}

static void begin_output(struct cli *cli, struct json *json)
{
    if (cli->format == FORMAT_JSON) {
        json_begin_result(json, &cli->out, cli->format, "scan");
        json_key(json, "rows");
        json_begin_list(json);
    } else if (cli->format == FORMAT_TABLE) {
        bool keys_only = cli->options[OPT_KEYS_ONLY].given;

        out_format(&cli->out, "DB_ID  %s\n", keys_only ? "KEY" : "KEY                   VALUE");
        table_rule(&cli->out, keys_only ? 10 : 34);
    }
}

static int print_rows(struct cli *cli, const struct session *session, shardy_scan *scan)
{
    const struct option_value *limit = &cli->options[OPT_LIMIT];
    struct printed_row printed = {0};
    struct json json;
    shardy_error err = SHARDY_ERROR_INIT;
    int code = CLI_OK;

    begin_output(cli, &json);
    for (int64_t i = 0; (!limit->given || i < limit->number) && cli->out.failure == 0; i++) {
        shardy_row row;
        bool found = false;

        if (shardy_scan_next(scan, &row, &found, &err) != SHARDY_OK) {
            code = cli_error_result(cli, NULL, err.message);
            break;
        }
        if (!found) {
            break;
        }
        prepare_row(cli, session, &row, &printed);
        print_row(cli, &json, &printed);
    }
    if (cli->format == FORMAT_JSON) {
        json_end_list(&json);
        json_end_result(&json);
    }
    buffer_clear(&printed.text);
    buffer_clear(&printed.value);
    return code;
}

/* The texts of --prefix, --start and --end as a scan wants them. */
struct bounds {
    struct buffer prefix;
    struct buffer start_bytes;
    struct buffer end_bytes;
    shardy_key start;
    shardy_key end;
};

static bool parse_bounds(struct cli *cli, const struct session *session, struct bounds *bounds,
                         shardy_scan_options *request, char *message, size_t message_size)
{
    enum text_format format = (enum text_format)cli->options[OPT_KEY_FORMAT].number;
    const char *prefix = cli->options[OPT_PREFIX].text;
    const char *start = cli->options[OPT_START].text;
    const char *end = cli->options[OPT_END].text;

    if (prefix != NULL && format == TEXT_FORMAT_TEXT && session->key_encoding != SHARDY_KEY_UTF8 &&
        session->key_encoding != SHARDY_KEY_RAW) {
        (void)snprintf(message, message_size,
                       "--prefix as text needs utf8 or raw keys, the snapshot has %s keys",
                       shardy_key_encoding_name(session->key_encoding));
        return false;
    }
    if (prefix != NULL && !encoding_decode(&bounds->prefix, format, prefix, strlen(prefix))) {
        (void)snprintf(message, message_size, "--prefix '%s' is not valid %s", prefix,
                       cli->options[OPT_KEY_FORMAT].text);
        return false;
    }
    request->prefix = bounds->prefix.data;
    request->prefix_size = bounds->prefix.size;
    request->start = start != NULL ? &bounds->start : NULL;
    request->end = end != NULL ? &bounds->end : NULL;
    return (start == NULL ||
            keytext_parse(start, session->key_encoding, format, &bounds->start_bytes,
                          &bounds->start, message, message_size)) &&
           (end == NULL || keytext_parse(end, session->key_encoding, format, &bounds->end_bytes,
                                         &bounds->end, message, message_size));
}

static int scan_rows(struct cli *cli, const struct session *session)
{
    shardy_scan_options request = SHARDY_SCAN_OPTIONS_INIT;
    struct bounds bounds = {0};
    shardy_scan *scan = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    int code;

    request.one_shard = cli->options[OPT_SHARD].given;
    request.db_id = (uint32_t)cli->options[OPT_SHARD].number;
    if (!parse_bounds(cli, session, &bounds, &request, err.message, sizeof err.message) ||
        shardy_snapshot_scan(session->snapshot, &request, &scan, &err) != SHARDY_OK) {
        code = cli_error_result(cli, NULL, err.message);
    } else {
        code = print_rows(cli, session, scan);
    }
    shardy_scan_free(scan);
    buffer_clear(&bounds.prefix);
    buffer_clear(&bounds.start_bytes);
    buffer_clear(&bounds.end_bytes);
    return code;
}

static int run(struct cli *cli)
{
    const struct option_value *shard = &cli->options[OPT_SHARD];
    struct session session;
    int code;

    if (cli->options[OPT_LIMIT].given && cli->options[OPT_LIMIT].number < 0) {
        return cli_usage_error(cli, "--limit must be >= 0");
    }
    if (shard->given && (shard->number < 0 || shard->number > UINT32_MAX)) {
        return cli_usage_error(cli, "--shard must be a shard id, 0 or more");
    }
    code = session_open(cli, &session);
    if (code == 0) {
        code = scan_rows(cli, &session);
    }
    session_close(&session);
    return code;
}

const struct command cli_cmd_scan = {
    .name = "scan",
    .arguments = "",
    .summary = "Print rows in key order.",
    .description = "jsonl prints one object a row. Integer keys are numbers, keys that are not "
                   "UTF-8 are hex and marked.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
