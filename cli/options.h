/*
 * options.h - table-driven command line options.
 */
#ifndef SHARDY_CLI_OPTIONS_H
#define SHARDY_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_LIST,   /* may be given many times: `texts` */
    OPTION_INT,    /* decimal integer into `number` */
    OPTION_REAL,   /* floating point into `real` */
    OPTION_SIZE,   /* bytes with an optional suffix K, M, G, T (powers of 1024) into `number` */
    OPTION_CHOICE, /* one of `choices`, any case; its position into `number` */
    OPTION_HELP
};

/* One option as the parser, --help and the test of the manual page see it. */
struct option_spec {
    const char *name; /* with its dashes */
    enum option_kind kind;
    const char *metavar; /* NULL for flags; choices print themselves */
    const char *choices; /* separated by one space */
    const char *help;
};

/* What was given for one option; the last occurrence wins. */
struct option_value {
    bool given;
    const char *text;
    const char **texts; /* OPTION_LIST: all of them, in order; own array, borrowed strings */
    size_t text_count;
    int64_t number;
    double real;
};

/* Parsed arguments. `values` is parallel to the option table. */
struct option_result {
    struct option_value *values;
    size_t value_count;
    char **args; /* positional arguments, in order; own array, borrowed strings */
    size_t arg_count;
    bool help; /* -h or --help was met: nothing else matters */
};

/*
 * Parse arguments. With `stop_at_positional` the first positional ends the parse (group level) and
 * it and everything after it become `args`.
 *
 * @return 0, or the exit code of a usage error that was printed
 */
int cli_options_parse(struct cli *cli, const struct option_spec *specs, size_t spec_count,
                      char **argv, size_t argc, bool stop_at_positional,
                      struct option_result *result);

void cli_options_clear(struct option_result *result);

/* Text of the k-th choice of a choice option. */
size_t cli_choice_text(const struct option_spec *spec, size_t position, const char **text);

/* "<name> <metavar>" as usage and help print it, into `buffer`. */
void cli_option_label(const struct option_spec *spec, char *buffer, size_t size);

#endif
