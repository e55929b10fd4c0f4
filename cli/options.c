/*
 * options.c - parse options by a table.
 *
 * Long options take `--name VALUE` and `--name=VALUE`, are never abbreviated, and mix with
 * positional arguments; `--` ends them; a lone `-` is positional. Every table ends up in --help
 * (help.c) and in shardy(1), which a test compares.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "memory.h"

size_t cli_choice_text(const struct option_spec *spec, size_t position, const char **text)
{
    const char *at = spec->choices;

    for (;;) {
        size_t size = strcspn(at, " ");

        if (position == 0) {
            *text = at;
            return size;
        }
        if (at[size] == '\0') {
            *text = "";
            return 0;
        }
        position--;
        at += size + 1;
    }
}

void cli_option_label(const struct option_spec *spec, char *buffer, size_t size)
{
    if (spec->kind == OPTION_HELP) {
        (void)snprintf(buffer, size, "-h, %s", spec->name);
    } else if (spec->kind == OPTION_FLAG) {
        (void)snprintf(buffer, size, "%s", spec->name);
    } else if (spec->kind == OPTION_CHOICE && spec->metavar == NULL) {
        char choices[96];
        size_t i;

        (void)snprintf(choices, sizeof choices, "%s", spec->choices);
        for (i = 0; choices[i] != '\0'; i++) {
            if (choices[i] == ' ') {
                choices[i] = '|';
            }
        }
        (void)snprintf(buffer, size, "%s [%s]", spec->name, choices);
    } else {
        (void)snprintf(buffer, size, "%s %s", spec->name, spec->metavar);
    }
}

static int bad_choice(struct cli *cli, const struct option_spec *spec, const char *text)
{
    char list[256] = "";
    size_t used = 0;

    for (size_t i = 0;; i++) {
        const char *choice;
        size_t size = cli_choice_text(spec, i, &choice);
        int added;

        if (size == 0) {
            break;
        }
        added =
            snprintf(list + used, sizeof list - used, "%s'%.*s'", i ? ", " : "", (int)size, choice);
        if (added < 0 || (size_t)added >= sizeof list - used) {
            break;
        }
        used += (size_t)added;
    }
    return cli_usage_error(cli, "Invalid value for '%s': '%s' is not one of %s.", spec->name, text,
                           list);
}

static int parse_choice(struct cli *cli, const struct option_spec *spec, const char *text,
                        struct option_value *value)
{
    for (size_t i = 0;; i++) {
        const char *choice;
        size_t size = cli_choice_text(spec, i, &choice);

        if (size == 0) {
            return bad_choice(cli, spec, text);
        }
        if (strlen(text) == size && strncasecmp(choice, text, size) == 0) {
            value->number = (int64_t)i;
            return 0;
        }
    }
}

static int parse_int(struct cli *cli, const struct option_spec *spec, const char *text,
                     struct option_value *value)
{
    char *end = NULL;
    long long number;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == ' ') {
        return cli_usage_error(cli, "Invalid value for '%s': '%s' is not a valid integer.",
                               spec->name, text);
    }
    value->number = number;
    return 0;
}

static int parse_real(struct cli *cli, const struct option_spec *spec, const char *text,
                      struct option_value *value)
{
    char *end = NULL;

    value->real = strtod(text, &end);
    if (end == text || *end != '\0') {
        return cli_usage_error(cli, "Invalid value for '%s': '%s' is not a valid float.",
                               spec->name, text);
    }
    return 0;
}

/* Power of 1024 that a size suffix stands for, as a shift; -1 when it is none of ours. */
static int size_shift(const char *suffix)
{
    static const char letters[] = "kmgt";
    const char *letter;

    if (*suffix == '\0' || strcasecmp(suffix, "b") == 0) {
        return 0;
    }
    letter = strchr(letters, suffix[0] | 0x20);
    if (letter == NULL || (suffix[1] != '\0' && strcasecmp(suffix + 1, "b") != 0 &&
                           strcasecmp(suffix + 1, "ib") != 0)) {
        return -1;
    }
    return 10 * (int)(letter - letters + 1);
}

static int parse_size(struct cli *cli, const struct option_spec *spec, const char *text,
                      struct option_value *value)
{
    char *end = NULL;
    unsigned long long number;
    int shift = -1;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (end != text && errno == 0 && text[0] >= '0' && text[0] <= '9') {
        shift = size_shift(end);
    }
    if (shift < 0 || number > (unsigned long long)(INT64_MAX >> shift)) {
        return cli_usage_error(cli,
                               "Invalid value for '%s': '%s' is not a size (for example 512M).",
                               spec->name, text);
    }
    value->number = (int64_t)(number << shift);
    return 0;
}

static int parse_value(struct cli *cli, const struct option_spec *spec, const char *text,
                       struct option_value *value)
{
    int code = 0;

    value->text = text;
    switch (spec->kind) {
    case OPTION_INT:
        code = parse_int(cli, spec, text, value);
        break;
    case OPTION_REAL:
        code = parse_real(cli, spec, text, value);
        break;
    case OPTION_SIZE:
        code = parse_size(cli, spec, text, value);
        break;
    case OPTION_CHOICE:
        code = parse_choice(cli, spec, text, value);
        break;
    case OPTION_LIST:
        value->texts = cli_resize_array(value->texts, value->text_count + 1, sizeof *value->texts);
        value->texts[value->text_count++] = text;
        break;
    case OPTION_TEXT:
    case OPTION_FLAG:
    case OPTION_HELP:
        break;
    }
    value->given = code == 0;
    return code;
}

/* One argument that starts with a dash, and the next one when it is its value. */
static int parse_option(struct cli *cli, const struct option_spec *specs, size_t spec_count,
                        char **argv, size_t argc, size_t *at, struct option_result *result)
{
    const char *argument = argv[*at];
    size_t name_size = argument[1] == '-' ? strcspn(argument, "=") : strlen(argument);
    const char *text = argument[name_size] == '=' ? argument + name_size + 1 : NULL;

    for (size_t i = 0; i < spec_count; i++) {
        const struct option_spec *spec = &specs[i];
        bool same = strlen(spec->name) == name_size && memcmp(spec->name, argument, name_size) == 0;

        if (!same && !(spec->kind == OPTION_HELP && strcmp(argument, "-h") == 0)) {
            continue;
        }
        if (spec->kind == OPTION_FLAG || spec->kind == OPTION_HELP) {
            if (text != NULL) {
                return cli_usage_error(cli, "Option '%s' does not take a value.", spec->name);
            }
            result->values[i].given = true;
            result->help = result->help || spec->kind == OPTION_HELP;
            return 0;
        }
        if (text == NULL) {
            if (*at + 1 >= argc) {
                return cli_usage_error(cli, "Option '%s' requires an argument.", spec->name);
            }
            text = argv[++*at];
        }
        return parse_value(cli, spec, text, &result->values[i]);
    }
    return cli_usage_error(cli, "No such option '%.*s'.", (int)name_size, argument);
}

int cli_options_parse(struct cli *cli, const struct option_spec *specs, size_t spec_count,
                      char **argv, size_t argc, bool stop_at_positional,
                      struct option_result *result)
{
    bool options_over = false;

    *result = (struct option_result){0};
    result->values = cli_zeroed(spec_count, sizeof *result->values);
    result->value_count = spec_count;
    result->args = cli_zeroed(argc + 1, sizeof *result->args);
    for (size_t at = 0; at < argc; at++) {
        int code;

        if (!options_over && strcmp(argv[at], "--") == 0) {
            options_over = true;
            continue;
        }
        if (options_over || argv[at][0] != '-' || argv[at][1] == '\0') {
            options_over = options_over || stop_at_positional;
            result->args[result->arg_count++] = argv[at];
            continue;
        }
        code = parse_option(cli, specs, spec_count, argv, argc, &at, result);
        if (code != 0) {
            return code;
        }
        if (result->help) {
            return 0;
        }
    }
    return 0;
}

void cli_options_clear(struct option_result *result)
{
    for (size_t i = 0; i < result->value_count; i++) {
        cli_free((void *)result->values[i].texts);
    }
    cli_free(result->values);
    cli_free(result->args);
    *result = (struct option_result){0};
}
