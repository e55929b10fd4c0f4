/*
 * cli.h - what every file of the command line tool shares: the context of one run and its exits.
 *
 * The tool uses the public headers of the library only.
 */
#ifndef SHARDY_CLI_H
#define SHARDY_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "output.h"

/* Exit codes (also documented in shardy(1)). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the operation failed, or found damage */
    CLI_USAGE = 2   /* grammar of the command line; `health`: unhealthy */
};

/* One run of the tool. */
struct cli {
    const char *program; /* name the tool was started by */
    const struct command *command;
    const struct option_value *globals; /* by enum global_option */
    const struct option_value *options; /* of the command, by its own enum */
    char **args;                        /* positional arguments */
    size_t arg_count;
    enum output_format format;
    bool format_given;
    struct remote *remote; /* object stores; set before a command runs */
    struct out out;        /* standard output */
    struct out err;        /* standard error */
};

/* Global options, in the order of cli_global_options. */
enum global_option {
    GLOBAL_CURRENT_URL,
    GLOBAL_OUTPUT_FORMAT,
    GLOBAL_REF,
    GLOBAL_OFFSET,
    GLOBAL_S3_OPTION,
    GLOBAL_SQLITE_MODE,
    GLOBAL_SQLITE_AUTO_SHARD,
    GLOBAL_SQLITE_AUTO_TOTAL,
    GLOBAL_TRACE,
    GLOBAL_VERSION,
    GLOBAL_HELP,
    GLOBAL_COUNT
};

/* A subcommand. `run` returns the exit code. */
struct command {
    const char *name;
    const char *arguments; /* metavariables of the positional arguments, "" when there are none */
    size_t min_args;
    size_t max_args; /* SIZE_MAX = any number */
    const char *summary;
    const char *description; /* further paragraphs of --help; NULL = none */
    const struct option_spec *options;
    size_t option_count;
    int (*run)(struct cli *cli);
};

extern const struct command cli_cmd_build;
extern const struct command cli_cmd_cel;
extern const struct command cli_cmd_get;
extern const struct command cli_cmd_health;
extern const struct command cli_cmd_history;
extern const struct command cli_cmd_iam_policy;
extern const struct command cli_cmd_info;
extern const struct command cli_cmd_multiget;
extern const struct command cli_cmd_route;
extern const struct command cli_cmd_scan;
extern const struct command cli_cmd_shards;
extern const struct command cli_cmd_verify;

extern const struct option_spec cli_global_options[GLOBAL_COUNT];

/* All commands, by name. */
const struct command *const *cli_commands(size_t *count);

/* Print help of the group (`command` NULL) or of one command on standard output. */
void cli_print_help(struct cli *cli, const struct command *command);

/* Print a usage error (four lines on standard error). @return CLI_USAGE */
int cli_usage_error(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print `Error: message` on standard error. @return CLI_FAILED */
int cli_command_error(struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Print an error result on standard error in the chosen output format.
 * @param key  key as typed, or NULL @return CLI_FAILED
 */
int cli_error_result(struct cli *cli, const char *key, const char *message);

/* Flush standard output; a failure becomes an error result. @return `code`, or CLI_FAILED */
int cli_finish_output(struct cli *cli, int code);

#endif
