/*
 * main.c - the shardy command: command table, global options and dispatch.
 *
 * A command is one file cmd_<name>.c with one `const struct command`; adding one means adding it
 * to the table below, to meson.build and to docs/man/shardy.1.
 */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <shardyfusion/error.h>

#include "interrupt.h"
#include "memory.h"
#include "remote.h"

const struct option_spec cli_global_options[GLOBAL_COUNT] = {
    [GLOBAL_CURRENT_URL] = {"--current-url", OPTION_TEXT, "URL", NULL,
                            "Snapshot to read: a folder, its _CURRENT pointer, or a URL of either "
                            "(s3://bucket/prefix, file:///...). Default: $SHARDY_CURRENT."},
    [GLOBAL_OUTPUT_FORMAT] = {"--output-format", OPTION_CHOICE, NULL, OUTPUT_FORMAT_CHOICES,
                              "How results are printed. Default: jsonl (build: text)."},
    [GLOBAL_REF] = {"--ref", OPTION_TEXT, "REF", NULL,
                    "Read this manifest instead of the current one."},
    [GLOBAL_OFFSET] = {"--offset", OPTION_INT, "N", NULL,
                       "Read the N-th newest manifest, 0 = newest."},
    [GLOBAL_S3_OPTION] = {"--s3-option", OPTION_LIST, "KEY=VALUE", NULL,
                          "Option of s3:// stores, such as endpoint_url or region_name; may be "
                          "given many times."},
    [GLOBAL_SQLITE_MODE] = {"--sqlite-mode", OPTION_CHOICE, NULL, "download range auto",
                            "How shards on S3 are read: whole, page by page, or by their size. "
                            "Default: auto."},
    [GLOBAL_SQLITE_AUTO_SHARD] = {"--sqlite-auto-per-shard-bytes", OPTION_INT, "BYTES", NULL,
                                  "auto: do not download shards of this size or larger. Default: "
                                  "16777216."},
    [GLOBAL_SQLITE_AUTO_TOTAL] = {"--sqlite-auto-total-bytes", OPTION_INT, "BYTES", NULL,
                                  "auto: download no more than this of one snapshot. Default: "
                                  "2147483648."},
    [GLOBAL_TRACE] = {"--trace", OPTION_FLAG, NULL, NULL,
                      "Print requests, bytes, round trips and time on standard error."},
    [GLOBAL_VERSION] = {"--version", OPTION_FLAG, NULL, NULL, "Print the version and exit."},
    [GLOBAL_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static const struct command *const command_table[] = {
    &cli_cmd_build,   &cli_cmd_cel,        &cli_cmd_get,    &cli_cmd_health,
    &cli_cmd_history, &cli_cmd_iam_policy, &cli_cmd_info,   &cli_cmd_multiget,
    &cli_cmd_route,   &cli_cmd_scan,       &cli_cmd_shards, &cli_cmd_verify,
};

const struct command *const *cli_commands(size_t *count)
{
    *count = sizeof command_table / sizeof command_table[0];
    return command_table;
}

int cli_error_result(struct cli *cli, const char *key, const char *message)
{
    struct json json;

    if (cli->format == FORMAT_TEXT || cli->format == FORMAT_TABLE) {
        out_text(&cli->err, "error: ");
        out_visible(&cli->err, message, strlen(message));
        out_text(&cli->err, "\n");
    } else {
        json_begin_result(&json, &cli->err, cli->format, cli->command->name);
        json_key(&json, "error");
        json_text(&json, message);
        if (key != NULL) {
            json_key(&json, "key");
            json_text(&json, key);
        }
        json_end_result(&json);
    }
    out_flush(&cli->err);
    return CLI_FAILED;
}

int cli_finish_output(struct cli *cli, int code)
{
    char message[128];

    out_flush(&cli->out);
    if (cli->out.failure == 0) {
        return code;
    }
    (void)snprintf(message, sizeof message, "[Errno %d] %s", cli->out.failure,
                   strerror(cli->out.failure));
    cli->out.failure = 0;
    if (cli->command == NULL) {
        return cli_command_error(cli, "%s", message);
    }
    (void)cli_error_result(cli, NULL, message);
    /* A check that cannot say what it found is as bad as a bad finding. */
    return cli->command == &cli_cmd_health ? CLI_USAGE : CLI_FAILED;
}

static int check_arg_count(struct cli *cli, const struct command *command)
{
    if (cli->arg_count < command->min_args) {
        return cli_usage_error(cli, "Missing argument '%s'.", command->arguments);
    }
    if (cli->arg_count > command->max_args) {
        return cli_usage_error(cli, "Got unexpected extra argument (%s)",
                               cli->args[command->max_args]);
    }
    return 0;
}

static int run_command(struct cli *cli, const struct command *command, char **argv, size_t argc)
{
    struct option_result parsed;
    int code;

    cli->command = command;
    code =
        cli_options_parse(cli, command->options, command->option_count, argv, argc, false, &parsed);
    cli->options = parsed.values;
    cli->args = parsed.args;
    cli->arg_count = parsed.arg_count;
    if (code == 0 && parsed.help) {
        cli_print_help(cli, command);
        code = cli_finish_output(cli, CLI_OK);
    } else if (code == 0) {
        struct remote remote;

        code = check_arg_count(cli, command);
        if (code == 0) {
            code = remote_init(cli, &remote);
            cli->remote = &remote;
            if (code == 0) {
                code = cli_finish_output(cli, command->run(cli));
                remote_report(cli, &remote);
            }
            remote_clear(&remote);
            cli->remote = NULL;
        }
    }
    cli_options_clear(&parsed);
    return code;
}

static int check_globals(struct cli *cli)
{
    const struct option_value *values = cli->globals;

    if (values[GLOBAL_OUTPUT_FORMAT].given) {
        cli->format = (enum output_format)values[GLOBAL_OUTPUT_FORMAT].number;
        cli->format_given = true;
    }
    if (values[GLOBAL_REF].given && values[GLOBAL_OFFSET].given) {
        return cli_usage_error(cli, "--ref and --offset are mutually exclusive");
    }
    if (values[GLOBAL_OFFSET].given && values[GLOBAL_OFFSET].number < 0) {
        return cli_usage_error(cli, "--offset must be >= 0");
    }
    return 0;
}

static int dispatch(struct cli *cli, const struct option_result *parsed)
{
    size_t count;
    const struct command *const *commands = cli_commands(&count);

    if (parsed->arg_count == 0) {
        return cli_usage_error(cli, "Missing command.");
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(commands[i]->name, parsed->args[0]) == 0) {
            return run_command(cli, commands[i], parsed->args + 1, parsed->arg_count - 1);
        }
    }
    return cli_usage_error(cli, "No such command '%s'.", parsed->args[0]);
}

static int run(struct cli *cli, char **argv, size_t argc)
{
    struct option_result parsed;
    int code = cli_options_parse(cli, cli_global_options, GLOBAL_COUNT, argv, argc, true, &parsed);

    cli->globals = parsed.values;
    if (code == 0 && parsed.help) {
        cli_print_help(cli, NULL);
        code = cli_finish_output(cli, CLI_OK);
    } else if (code == 0 && parsed.values[GLOBAL_VERSION].given) {
        out_format(&cli->out, "shardy, version %s\n", shardy_version());
        code = cli_finish_output(cli, CLI_OK);
    } else if (code == 0) {
        code = check_globals(cli);
        code = code != 0 ? code : dispatch(cli, &parsed);
    }
    cli_options_clear(&parsed);
    return code;
}

int main(int argc, char **argv)
{
    struct cli cli = {.format = FORMAT_JSONL};
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

    cli.program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "shardy";
    /* A closed pipe is a failed write with a message, not a silent death. */
    (void)signal(SIGPIPE, SIG_IGN);
    interrupt_init();
    out_init(&cli.out, stdout);
    out_init(&cli.err, stderr);
    return run(&cli, argv + 1, argc > 0 ? (size_t)argc - 1 : 0);
}
