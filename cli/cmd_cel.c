/*
 * cmd_cel.c - `shardy cel`: try an expression before a snapshot is built with it.
 *
 * `check` compiles it; `eval` also evaluates it over the rows of a file (cel_eval.c).
 */
#include <string.h>
#include <strings.h>

#include "build_routing.h"
#include "cel_eval.h"
#include "csv_layout.h"

enum {
    OPT_COLUMN,
    OPT_INPUT,
    OPT_FORMAT,
    OPT_SHARDS,
    OPT_ROUTING_VALUE,
    OPT_INFER,
    OPT_SUMMARY,
    OPT_HELP
};

static const struct option_spec options[] = {
    [OPT_COLUMN] = {"--column", OPTION_LIST, "NAME:TYPE", NULL,
                    "Column that the expression reads: int, uint, double, bool, string or bytes "
                    "(base64); may be given many times."},
    [OPT_INPUT] = {"--input", OPTION_TEXT, "FILE", NULL,
                   "eval: rows to evaluate; - is standard input."},
    [OPT_FORMAT] = {"--format", OPTION_CHOICE, NULL, "csv tsv jsonl",
                    "eval: format of the rows. Default: by the suffix of the file, else jsonl."},
    [OPT_SHARDS] = {"--shards", OPTION_INT, "N", NULL,
                    "eval: results are shards below N. Default: any number."},
    [OPT_ROUTING_VALUE] = {"--routing-value", OPTION_LIST, "V", NULL,
                           "eval: result that has a shard, in the order of the shards; may be "
                           "given many times."},
    [OPT_SUMMARY] = {"--summary", OPTION_FLAG, NULL, NULL,
                     "eval: print the distribution only, not every row."},
    [OPT_INFER] = {"--infer-routing-values", OPTION_FLAG, NULL, NULL,
                   "eval: every result has a shard; they are numbered in the end."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

/* A run with everything it owns. */
struct cel_command {
    struct cli *cli;
    struct build_routing routing; /* columns and routing values */
    shardy_cel *cel;
    shardy_router *router;
    struct input_source source;
    struct input input;
};

static int check_options(struct cel_command *run)
{
    struct cli *cli = run->cli;
    const struct option_value *values = cli->options;
    bool eval = strcmp(cli->args[0], "eval") == 0;

    if (!eval && strcmp(cli->args[0], "check") != 0) {
        return cli_usage_error(cli, "No such action '%s': give check or eval.", cli->args[0]);
    }
    if (eval != values[OPT_INPUT].given) {
        return cli_usage_error(cli, eval ? "Missing option '--input'."
                                         : "--input applies to eval only.");
    }
    if (values[OPT_SHARDS].given &&
        (values[OPT_SHARDS].number < 1 || values[OPT_SHARDS].number > 1 << 20)) {
        return cli_usage_error(cli, "--shards must be 1 .. 1048576");
    }
    if (values[OPT_SHARDS].given + values[OPT_ROUTING_VALUE].given + values[OPT_INFER].given > 1) {
        return cli_usage_error(cli, "Give one of --shards, --routing-value and "
                                    "--infer-routing-values.");
    }
    return column_specs_parse(cli, "--column", &values[OPT_COLUMN], &run->routing.specs);
}

static int compile(struct cel_command *run)
{
    shardy_cel_options request = SHARDY_CEL_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;

    request.expression = run->cli->args[1];
    request.columns = run->routing.specs.declared;
    request.column_count = run->routing.specs.count;
    if (shardy_cel_compile(&request, &run->cel, &err) != SHARDY_OK) {
        return cli_command_error(run->cli, "%s", err.message);
    }
    return 0;
}

static void print_check_json(struct cli *cli, const shardy_cel *cel)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "cel");
    json_key(&json, "result_type");
    json_text(&json, shardy_cel_result_type(cel));
    json_key(&json, "portable");
    json_bool(&json, shardy_cel_is_portable(cel));
    json_key(&json, "columns");
    json_begin_list(&json);
    for (size_t i = 0; i < shardy_cel_column_count(cel); i++) {
        const shardy_cel_column *column = shardy_cel_get_column(cel, i);

        json_begin_object(&json);
        json_key(&json, "name");
        json_text(&json, column->name);
        json_key(&json, "type");
        json_text(&json, column->type);
        json_key(&json, "read");
        json_bool(&json, shardy_cel_reads_column(cel, i));
        json_end_object(&json);
    }
    json_end_list(&json);
    json_end_result(&json);
}

static int print_check(struct cel_command *run)
{
    struct cli *cli = run->cli;

    if (cli->format == FORMAT_JSON || cli->format == FORMAT_JSONL) {
        print_check_json(cli, run->cel);
        return CLI_OK;
    }
    out_format(&cli->out, "result: %s\n", shardy_cel_result_type(run->cel));
    for (size_t i = 0; i < shardy_cel_column_count(run->cel); i++) {
        const shardy_cel_column *column = shardy_cel_get_column(run->cel, i);

        out_format(&cli->out, "column: %s (%s)%s\n", column->name, column->type,
                   shardy_cel_reads_column(run->cel, i) ? "" : ", not read");
    }
    out_format(&cli->out, "portable: %s\n",
               shardy_cel_is_portable(run->cel)
                   ? "yes"
                   : "no: the original implementation cannot evaluate it");
    return CLI_OK;
}

/* The router that a build with these options would have; none when the results are no shards. */
static int make_router(struct cel_command *run)
{
    const struct option_value *values = run->cli->options;
    shardy_router_options request = SHARDY_ROUTER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_cel_sharding sharding = {0};
    bool asked = values[OPT_ROUTING_VALUE].given || values[OPT_SHARDS].given;
    int code = 0;

    if (values[OPT_INFER].given || run->routing.specs.count == 0) {
        return 0; /* the distribution of the values is that of the shards */
    }
    if (values[OPT_ROUTING_VALUE].given) {
        code = build_routing_values(run->cli, &values[OPT_ROUTING_VALUE], run->cel, &run->routing);
    }
    if (code != 0 || (!asked && strcmp(shardy_cel_result_type(run->cel), "int") != 0 &&
                      strcmp(shardy_cel_result_type(run->cel), "uint") != 0)) {
        return code;
    }
    sharding.expression = run->cli->args[1];
    sharding.columns = run->routing.specs.declared;
    sharding.column_count = run->routing.specs.count;
    sharding.routing_values = run->routing.values;
    sharding.routing_value_count = run->routing.value_count;
    sharding.has_routing_values = values[OPT_ROUTING_VALUE].given;
    request.sharding = SHARDY_SHARDING_CEL;
    request.cel = &sharding;
    request.num_dbs = values[OPT_ROUTING_VALUE].given ? 0
                      : values[OPT_SHARDS].given      ? (uint32_t)values[OPT_SHARDS].number
                                                      : 1u << 20;
    if (shardy_router_new(&request, NULL, 0, &run->router, &err) != SHARDY_OK) {
        return cli_command_error(run->cli, "%s", err.message);
    }
    return 0;
}

static enum input_format_id format_of(const struct cli *cli)
{
    static const enum input_format_id formats[] = {INPUT_CSV, INPUT_TSV, INPUT_JSONL};
    const struct option_value *given = &cli->options[OPT_FORMAT];
    const char *dot = strrchr(cli->options[OPT_INPUT].text, '.');

    if (given->given) {
        return formats[given->number];
    }
    return dot != NULL && strcasecmp(dot, ".csv") == 0   ? INPUT_CSV
           : dot != NULL && strcasecmp(dot, ".tsv") == 0 ? INPUT_TSV
                                                         : INPUT_JSONL;
}

static int eval(struct cel_command *run)
{
    struct cel_eval request = {.cli = run->cli,
                               .cel = run->cel,
                               .specs = &run->routing.specs,
                               .summary = run->cli->options[OPT_SUMMARY].given};
    char message[512];
    int code = make_router(run);

    if (code != 0) {
        return code;
    }
    run->source.path = run->cli->options[OPT_INPUT].text;
    run->source.format = format_of(run->cli);
    if (!input_init(&run->input, &run->source, 1, message, sizeof message)) {
        return cli_command_error(run->cli, "%s", message);
    }
    request.router = run->router;
    return cel_eval_run(&request, &run->input);
}

static int run_cel(struct cli *cli)
{
    struct cel_command run = {.cli = cli, .input = {.fd = -1}};
    int code;

    if (!cli->format_given) {
        cli->format = FORMAT_TEXT;
    }
    code = check_options(&run);
    code = code != 0 ? code : compile(&run);
    if (code == 0) {
        code = strcmp(cli->args[0], "check") == 0 ? print_check(&run) : eval(&run);
    }
    input_clear(&run.input);
    csv_layout_free(run.source.layout);
    shardy_router_free(run.router);
    shardy_cel_free(run.cel);
    build_routing_clear(&run.routing);
    return code;
}

const struct command cli_cmd_cel = {
    .name = "cel",
    .arguments = "check|eval EXPR",
    .min_args = 2,
    .max_args = 2,
    .summary = "Check a CEL expression, or evaluate it over the rows of a file.",
    .description = "`check` prints the type of the result and the columns that are read. `eval` "
                   "prints for each row the result and the shard it would be in, and on a terminal "
                   "how the rows spread over the shards.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run_cel,
};
