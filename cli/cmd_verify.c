/*
 * cmd_verify.c - `shardy verify`: check a snapshot against all that its manifest promises.
 *
 * Prints a report that names each damage; exit 1 on any. What is checked is the library's business.
 */
#include <inttypes.h>
#include <string.h>

#include <shardyfusion/verify.h>

#include "session.h"
#include "remote.h"

enum { OPT_DEEP, OPT_THREADS, OPT_HELP };

static const struct option_spec options[] = {
    [OPT_DEEP] = {"--deep", OPTION_FLAG, NULL, NULL,
                  "Also route every key and check that its shard holds it."},
    [OPT_THREADS] = {"--threads", OPTION_INT, "N", NULL,
                     "Shards checked at once. Default: all processors."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static void print_json_damage(struct json *json, const shardy_damage *damage)
{
    json_begin_object(json);
    json_key(json, "what");
    json_text(json, damage->what);
    json_key(json, "db_id");
    if (damage->db_id < 0) {
        json_null(json);
    } else {
        json_int(json, damage->db_id);
    }
    json_key(json, "object");
    json_text(json, damage->object);
    json_key(json, "message");
    json_text(json, damage->message);
    json_end_object(json);
}

static void print_json(struct cli *cli, const shardy_verify_report *report)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "verify");
    json_key(&json, "clean");
    json_bool(&json, report->damage_count == 0);
    json_key(&json, "run_id");
    json_text(&json, report->run_id);
    json_key(&json, "manifest_ref");
    json_text(&json, report->manifest_ref);
    json_key(&json, "deep");
    json_bool(&json, cli->options[OPT_DEEP].given);
    json_key(&json, "shards_checked");
    json_uint(&json, report->shards_checked);
    json_key(&json, "checksums_checked");
    json_uint(&json, report->checksums_checked);
    json_key(&json, "sidecars_checked");
    json_uint(&json, report->sidecars_checked);
    json_key(&json, "rows_checked");
    json_uint(&json, report->rows_checked);
    json_key(&json, "keys_routed");
    json_uint(&json, report->keys_routed);
    json_key(&json, "bytes_checked");
    json_uint(&json, report->bytes_checked);
    json_key(&json, "damages");
    json_begin_list(&json);
    for (size_t i = 0; i < report->damage_count; i++) {
        print_json_damage(&json, &report->damages[i]);
    }
    json_end_list(&json);
    json_end_result(&json);
}

/* Text and table: one line for each damage, then one line for the whole. */
static void print_text(struct cli *cli, const shardy_verify_report *report)
{
    struct out *out = &cli->out;

    for (size_t i = 0; i < report->damage_count; i++) {
        const shardy_damage *damage = &report->damages[i];

        out_format(out, "damage: %s  ", damage->what);
        out_visible(out, damage->message, strlen(damage->message));
        out_format(out, "  (%s)\n", damage->object != NULL ? damage->object : "");
    }
    out_format(out, "%s  run_id=%s  shards=%" PRIu32 "  rows=%" PRIu64 "  bytes=%" PRIu64,
               report->damage_count == 0 ? "clean" : "damaged",
               report->run_id != NULL ? report->run_id : "?", report->shards_checked,
               report->rows_checked, report->bytes_checked);
    out_format(out,
               "  checksums=%" PRIu32 "  sidecars=%" PRIu32 "  routed=%" PRIu64 "  damages=%zu\n",
               report->checksums_checked, report->sidecars_checked, report->keys_routed,
               report->damage_count);
}

static int verify(struct cli *cli, const struct session *session)
{
    shardy_verify_options request = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    int code;

    request.url = session->location.url;
    request.current_name = session->location.current_name;
    request.pin_ref = session->pin_ref;
    request.store_options = cli->remote->options;
    request.store_option_count = cli->remote->option_count;
    request.events = remote_events(cli->remote);
    request.deep = cli->options[OPT_DEEP].given;
    request.threads = (uint32_t)cli->options[OPT_THREADS].number;
    if (shardy_verify(&request, &report, &err) != SHARDY_OK) {
        code = cli_error_result(cli, NULL, err.message);
    } else {
        if (cli->format == FORMAT_TEXT || cli->format == FORMAT_TABLE) {
            print_text(cli, &report);
        } else {
            print_json(cli, &report);
        }
        code = report.damage_count == 0 ? CLI_OK : CLI_FAILED;
    }
    shardy_verify_report_clear(&report);
    return code;
}

static int run(struct cli *cli)
{
    const struct option_value *threads = &cli->options[OPT_THREADS];
    struct session session;
    int code;

    if (threads->given && (threads->number < 1 || threads->number > 1024)) {
        return cli_usage_error(cli, "--threads must be 1 .. 1024");
    }
    code = session_pin(cli, &session);
    if (code == 0) {
        code = verify(cli, &session);
    }
    session_close(&session);
    return code;
}

const struct command cli_cmd_verify = {
    .name = "verify",
    .arguments = "",
    .summary = "Check pointer, manifest and every shard; report each damage.",
    .description = "Exit status: 0 when clean, 1 when anything is damaged.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
