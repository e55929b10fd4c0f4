/*
 * cmd_info.c - `shardy info`: what a snapshot is, all four formats.
 */
#include <inttypes.h>
#include <string.h>

#include "session.h"

enum { OPT_HELP };

static const struct option_spec options[] = {
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

/* The only hash that the manifest format allows. */
static const char hash_algorithm[] = "xxh3_64";

static const char *sharding_name(shardy_sharding sharding)
{
    return sharding == SHARDY_SHARDING_CEL ? "cel" : "hash";
}

static void print_json(struct cli *cli, const shardy_snapshot_info *info, const char *created_at)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "info");
    json_key(&json, "run_id");
    json_text(&json, info->run_id);
    json_key(&json, "num_dbs");
    json_uint(&json, info->num_dbs);
    json_key(&json, "sharding");
    json_text(&json, sharding_name(info->sharding));
    json_key(&json, "created_at");
    json_text(&json, created_at);
    json_key(&json, "manifest_ref");
    json_text(&json, info->manifest_ref);
    json_key(&json, "row_count");
    json_uint(&json, info->row_count);
    json_key(&json, "key_encoding");
    json_text(&json, shardy_key_encoding_name(info->key_encoding));
    json_key(&json, "hash_algorithm");
    json_text(&json, hash_algorithm);
    if (info->sharding == SHARDY_SHARDING_CEL) {
        json_key(&json, "sharding_spec");
        json_raw(&json, info->sharding_json, strlen(info->sharding_json));
    }
    json_end_result(&json);
}

static void print_text(struct cli *cli, const shardy_snapshot_info *info, const char *created_at)
{
    out_format(&cli->out, "run_id=%s\n", info->run_id);
    out_format(&cli->out, "num_dbs=%" PRIu32 "\n", info->num_dbs);
    out_format(&cli->out, "sharding=%s\n", sharding_name(info->sharding));
    out_format(&cli->out, "created_at=%s\n", created_at);
    out_format(&cli->out, "manifest_ref=%s\n", info->manifest_ref);
    out_format(&cli->out, "row_count=%" PRIu64 "\n", info->row_count);
    out_format(&cli->out, "key_encoding=%s\n", shardy_key_encoding_name(info->key_encoding));
    out_format(&cli->out, "hash_algorithm=%s\n", hash_algorithm);
    if (info->sharding == SHARDY_SHARDING_CEL) {
        out_text(&cli->out, "sharding_spec=");
        out_visible(&cli->out, info->sharding_json, strlen(info->sharding_json));
        out_text(&cli->out, "\n");
    }
}

static int run(struct cli *cli)
{
    struct session session;
    shardy_snapshot_info info = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    int code = session_open(cli, &session);

    if (code == 0 && shardy_snapshot_describe(session.snapshot, &info, &err) != SHARDY_OK) {
        code = cli_error_result(cli, NULL, err.message);
    } else if (code == 0) {
        char created_at[48];

        out_format_time(info.created_at_us, created_at);
        if (cli->format == FORMAT_TEXT) {
            print_text(cli, &info, created_at);
        } else {
            print_json(cli, &info, created_at);
        }
    }
    shardy_snapshot_info_clear(&info);
    session_close(&session);
    return code;
}

const struct command cli_cmd_info = {
    .name = "info",
    .arguments = "",
    .summary = "Describe the snapshot.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
