/*
 * cmd_history.c - `shardy history`: published manifests, newest first, all four formats.
 *
 * Opens no shards and works when the pointer is missing or broken. The current manifest is marked:
 * `"current": true` in JSON, `*` at the end of the line in text and table.
 */
#include <string.h>

#include "session.h"
#include "remote.h"

enum { OPT_LIMIT, OPT_HELP };

static const struct option_spec options[] = {
    [OPT_LIMIT] = {"--limit", OPTION_INT, "N", NULL, "At most this many. Default: 10."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static void print_json(struct cli *cli, const shardy_history *history)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "history");
    json_key(&json, "manifests");
    json_begin_list(&json);
    for (size_t i = 0; i < history->count; i++) {
        const shardy_manifest_ref *item = &history->items[i];
        char published_at[48];

        out_format_time(item->published_at_us, published_at);
        json_begin_object(&json);
        json_key(&json, "offset");
        json_uint(&json, i);
        json_key(&json, "run_id");
        json_text(&json, item->run_id);
        json_key(&json, "published_at");
        json_text(&json, published_at);
        json_key(&json, "ref");
        json_text(&json, item->ref);
        json_key(&json, "current");
        json_bool(&json, item->is_current);
        json_end_object(&json);
    }
    json_end_list(&json);
    json_end_result(&json);
}

static void print_text(struct cli *cli, const shardy_history *history)
{
    if (history->count == 0) {
        out_text(&cli->out, "(no manifests)\n");
    }
    for (size_t i = 0; i < history->count; i++) {
        const shardy_manifest_ref *item = &history->items[i];
        char published_at[48];

        out_format_time(item->published_at_us, published_at);
        out_format(&cli->out, "[%zu] %s  run_id=", i, published_at);
        out_visible(&cli->out, item->run_id, strlen(item->run_id));
        out_text(&cli->out, item->is_current ? "  *\n" : "\n");
    }
}

static void print_table(struct cli *cli, const shardy_history *history)
{
    out_text(&cli->out, "  #                PUBLISHED_AT  RUN_ID\n");
    table_rule(&cli->out, 39);
    for (size_t i = 0; i < history->count; i++) {
        const shardy_manifest_ref *item = &history->items[i];
        char published_at[48];

        out_format_time(item->published_at_us, published_at);
        out_format(&cli->out, "%3zu  %26s  ", i, published_at);
        out_visible(&cli->out, item->run_id, strlen(item->run_id));
        out_text(&cli->out, item->is_current ? "  *\n" : "\n");
    }
}

static int load(struct cli *cli, const struct session *session, shardy_history *history)
{
    shardy_history_options request = SHARDY_HISTORY_OPTIONS_INIT;
    const struct option_value *limit = &cli->options[OPT_LIMIT];
    shardy_error err = SHARDY_ERROR_INIT;

    request.url = session->location.url;
    request.current_name = session->location.current_name;
    request.store_options = cli->remote->options;
    request.store_option_count = cli->remote->option_count;
    request.events = remote_events(cli->remote);
    request.limit = limit->given ? (size_t)limit->number : 10;
    if (request.limit == 0) {
        return 0;
    }
    if (shardy_history_load(&request, history, &err) != SHARDY_OK) {
        return cli_error_result(cli, NULL, err.message);
    }
    return 0;
}

static int run(struct cli *cli)
{
    struct session session;
    shardy_history history = {0};
    int code;

    if (cli->options[OPT_LIMIT].given && cli->options[OPT_LIMIT].number < 0) {
        return cli_usage_error(cli, "--limit must be >= 0");
    }
    code = session_locate(cli, &session);
    if (code == 0) {
        code = load(cli, &session, &history);
    }
    if (code == 0 && cli->format == FORMAT_TEXT) {
        print_text(cli, &history);
    } else if (code == 0 && cli->format == FORMAT_TABLE) {
        print_table(cli, &history);
    } else if (code == 0) {
        print_json(cli, &history);
    }
    shardy_history_clear(&history);
    session_close(&session);
    return code;
}

const struct command cli_cmd_history = {
    .name = "history",
    .arguments = "",
    .summary = "List published manifests, newest first; the current one is marked.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
