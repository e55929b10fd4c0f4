/*
 * cmd_health.c - `shardy health`: is the snapshot readable and fresh?
 *
 * The age is that of the publication. Exit codes are those of a monitoring check: 0 healthy, 1 too
 * old, 2 cannot be opened or checked.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "session.h"

enum { OPT_STALENESS, OPT_HELP };

static const struct option_spec options[] = {
    [OPT_STALENESS] = {"--staleness-threshold", OPTION_REAL, "SECONDS", NULL,
                       "Degraded when the snapshot was published longer ago. Default: none."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

/* Longest threshold that a duration of the original can hold, in seconds. */
static const double threshold_max_s = 86399999999999.0;

static void print_json(struct cli *cli, const shardy_health *health, const char *status)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "health");
    json_key(&json, "status");
    json_text(&json, status);
    json_key(&json, "manifest_ref");
    json_text(&json, health->manifest_ref);
    json_key(&json, "manifest_age_seconds");
    json_decimal(&json, health->manifest_age_s, 1);
    json_key(&json, "num_shards");
    json_uint(&json, health->num_shards);
    json_key(&json, "is_closed");
    json_bool(&json, health->is_closed);
    json_end_result(&json);
}

static void print_text(struct cli *cli, const shardy_health *health, const char *status)
{
    out_format(&cli->out, "status=%s  manifest_age=%.1fs  shards=%" PRIu32 "%s\n", status,
               health->manifest_age_s, health->num_shards, health->is_closed ? "  CLOSED" : "");
}

static int check(struct cli *cli, struct session *session)
{
    const struct option_value *threshold = &cli->options[OPT_STALENESS];
    shardy_health health = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    const char *status;
    int code;

    if (threshold->given && !(fabs(threshold->real) <= threshold_max_s)) {
        (void)snprintf(err.message, sizeof err.message, "--staleness-threshold %s is out of range",
                       threshold->text);
        (void)cli_error_result(cli, NULL, err.message);
        return CLI_USAGE;
    }
    if (shardy_reader_health(session->reader, 0, &health, &err) != SHARDY_OK) {
        (void)cli_error_result(cli, NULL, err.message);
        return CLI_USAGE;
    }
    status = health.status;
    /* A threshold of 0 or below is always exceeded; the library takes it as none. */
    if (threshold->given && strcmp(status, "healthy") == 0 &&
        (threshold->real <= 0 || health.manifest_age_s > threshold->real)) {
        status = "degraded";
    }
    if (cli->format == FORMAT_TEXT || cli->format == FORMAT_TABLE) {
        print_text(cli, &health, status);
    } else {
        print_json(cli, &health, status);
    }
    code = strcmp(status, "healthy") == 0    ? CLI_OK
           : strcmp(status, "degraded") == 0 ? CLI_FAILED
                                             : CLI_USAGE;
    shardy_health_clear(&health);
    return code;
}

static int run(struct cli *cli)
{
    struct session session;
    int code = session_open(cli, &session);

    /* Whatever prevents the check is worse than an old snapshot. */
    code = code == 0 ? check(cli, &session) : CLI_USAGE;
    session_close(&session);
    return code;
}

const struct command cli_cmd_health = {
    .name = "health",
    .arguments = "",
    .summary = "Check that the snapshot can be read and is not too old.",
    .description = "Exit status: 0 healthy, 1 degraded, 2 unhealthy or not readable.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
