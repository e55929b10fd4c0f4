/*
 * cmd_shards.c - `shardy shards`: one item for every shard, empty ones included.
 *
 * print_text() is the text output, print_table_row() the table, print_json_item() json and jsonl.
 * Shards are read and printed one after the other: a snapshot may have a million of them.
 */
#include <inttypes.h>
#include <string.h>

#include "session.h"

enum { OPT_HELP };

static const struct option_spec options[] = {
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static void print_json_item(struct json *json, const shardy_shard_info *shard)
{
    json_begin_object(json);
    json_key(json, "db_id");
    json_uint(json, shard->db_id);
    json_key(json, "row_count");
    json_uint(json, shard->row_count);
    json_key(json, "min_key");
    json_logical_key(json, shard->has_min_key ? &shard->min_key : NULL);
    json_key(json, "max_key");
    json_logical_key(json, shard->has_max_key ? &shard->max_key : NULL);
    json_key(json, "db_url");
    json_text(json, shard->db_url);
    json_end_object(json);
}

static void print_text_bound(struct out *out, const char *name, bool has, const shardy_key *key)
{
    struct buffer text = {0};

    if (has) {
        out_key(&text, key);
        out_format(out, "  %s=", name);
        out_visible(out, text.data, text.size);
    }
    buffer_clear(&text);
}

static void print_text(struct out *out, const shardy_shard_info *shard)
{
    out_format(out, "db_id=%" PRIu32 "  rows=%" PRIu64, shard->db_id, shard->row_count);
    print_text_bound(out, "min", shard->has_min_key, &shard->min_key);
    print_text_bound(out, "max", shard->has_max_key, &shard->max_key);
    out_text(out, "\n");
}

static void print_table_header(struct out *out)
{
    out_text(out, "DB_ID      ROWS     MIN_KEY     MAX_KEY  URL\n");
    table_rule(out, 44);
}

static void print_table_key(struct out *out, bool has, const shardy_key *key)
{
    struct buffer text = {0};

    if (has) {
        out_key(&text, key);
    }
    table_cell(out, CELL_RIGHT, 10, text.data, text.size);
    table_gap(out);
    buffer_clear(&text);
}

static void print_table_row(struct out *out, const shardy_shard_info *shard)
{
    const char *url = shard->db_url != NULL ? shard->db_url : "";

    out_format(out, "%5" PRIu32 "  %8" PRIu64 "  ", shard->db_id, shard->row_count);
    print_table_key(out, shard->has_min_key, &shard->min_key);
    print_table_key(out, shard->has_max_key, &shard->max_key);
    out_visible(out, url, strlen(url));
    out_text(out, "\n");
}

static int print_shards(struct cli *cli, const struct session *session)
{
    struct json json;

    if (cli->format == FORMAT_TABLE) {
        print_table_header(&cli->out);
    } else if (cli->format != FORMAT_TEXT) {
        json_begin_result(&json, &cli->out, cli->format, "shards");
        json_key(&json, "shards");
        json_begin_list(&json);
    }
    for (uint32_t i = 0; i < session->num_dbs && cli->out.failure == 0; i++) {
        shardy_shard_info shard = {0};
        shardy_error err = SHARDY_ERROR_INIT;

        if (shardy_snapshot_shard(session->snapshot, i, &shard, &err) != SHARDY_OK) {
            return cli_error_result(cli, NULL, err.message);
        }
        if (cli->format == FORMAT_TABLE) {
            print_table_row(&cli->out, &shard);
        } else if (cli->format == FORMAT_TEXT) {
            print_text(&cli->out, &shard);
        } else {
            print_json_item(&json, &shard);
        }
        shardy_shard_info_clear(&shard);
    }
    if (cli->format == FORMAT_JSON || cli->format == FORMAT_JSONL) {
        json_end_list(&json);
        json_end_result(&json);
    }
    return CLI_OK;
}

static int run(struct cli *cli)
{
    struct session session;
    int code = session_open(cli, &session);

    if (code == 0) {
        code = print_shards(cli, &session);
    }
    session_close(&session);
    return code;
}

const struct command cli_cmd_shards = {
    .name = "shards",
    .arguments = "",
    .summary = "List the shards with row counts and key ranges.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
