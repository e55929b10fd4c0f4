/*
 * help.c - text of --help and the shape of usage and command errors (shardy(1), EXIT STATUS).
 *
 * Everything is made from the command table and the option tables: there is no second list.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

enum { HELP_WIDTH = 88, HELP_INDENT = 30 };

/* Print words from column `column` on, continued at `indent`. */
static void print_wrapped(struct out *out, const char *text, size_t column, size_t indent)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " ");

        if (column > indent && column + 1 + size > HELP_WIDTH) {
            out_format(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            out_text(out, " ");
            column++;
        }
        out_bytes(out, text, size);
        column += size;
        text += size;
        while (*text == ' ') {
            text++;
        }
    }
    out_text(out, "\n");
}

static void print_options(struct out *out, const struct option_spec *specs, size_t count)
{
    out_text(out, "\nOptions:\n");
    for (size_t i = 0; i < count; i++) {
        char label[128];
        int size;

        cli_option_label(&specs[i], label, sizeof label);
        size = (int)strlen(label);
        out_format(out, "  %s", label);
        if (size + 4 > HELP_INDENT) {
            out_format(out, "\n%*s", HELP_INDENT, "");
        } else {
            out_format(out, "%*s", HELP_INDENT - 2 - size, "");
        }
        print_wrapped(out, specs[i].help, HELP_INDENT, HELP_INDENT);
    }
}

static void print_group_help(struct cli *cli)
{
    size_t count;
    const struct command *const *commands = cli_commands(&count);

    out_format(&cli->out, "Usage: %s [OPTIONS] COMMAND [ARGS]...\n\n  ", cli->program);
    print_wrapped(&cli->out,
                  "Build and read immutable, sharded key-value snapshots. Global options go before "
                  "the command, options of a command after it.",
                  2, 2);
    print_options(&cli->out, cli_global_options, GLOBAL_COUNT);
    out_text(&cli->out, "\nCommands:\n");
    for (size_t i = 0; i < count; i++) {
        out_format(&cli->out, "  %-12s", commands[i]->name);
        print_wrapped(&cli->out, commands[i]->summary, 14, 14);
    }
}

static void print_usage_line(struct out *out, const struct cli *cli, const struct command *command)
{
    if (command == NULL) {
        out_format(out, "Usage: %s [OPTIONS] COMMAND [ARGS]...\n", cli->program);
    } else {
        out_format(out, "Usage: %s %s [OPTIONS]%s%s\n", cli->program, command->name,
                   command->arguments[0] != '\0' ? " " : "", command->arguments);
    }
}

void cli_print_help(struct cli *cli, const struct command *command)
{
    if (command == NULL) {
        print_group_help(cli);
        return;
    }
    print_usage_line(&cli->out, cli, command);
    out_text(&cli->out, "\n  ");
    print_wrapped(&cli->out, command->summary, 2, 2);
    if (command->description != NULL) {
        out_text(&cli->out, "\n  ");
        print_wrapped(&cli->out, command->description, 2, 2);
    }
    print_options(&cli->out, command->options, command->option_count);
}

static void print_message(struct out *out, const char *format, va_list args)
{
    char message[2048];

    (void)vsnprintf(message, sizeof message, format, args);
    out_text(out, "Error: ");
    out_visible(out, message, strlen(message));
    out_text(out, "\n");
    out_flush(out);
}

int cli_usage_error(struct cli *cli, const char *format, ...)
{
    va_list args;

    print_usage_line(&cli->err, cli, cli->command);
    out_format(&cli->err, "Try '%s%s%s --help' for help.\n\n", cli->program,
               cli->command != NULL ? " " : "", cli->command != NULL ? cli->command->name : "");
    va_start(args, format);
    print_message(&cli->err, format, args);
    va_end(args);
    return CLI_USAGE;
}

int cli_command_error(struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message(&cli->err, format, args);
    va_end(args);
    return CLI_FAILED;
}
