/*
 * cmd_build.c - `shardy build`: options of a build, checked, and the run of it.
 *
 * Reading and parsing are in build_job.c and input_*.c, the printed result in build_result.c.
 * Nothing is published when any row of any input is not acceptable.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "build_job.h"
#include "build_result.h"
#include "build_routing.h"
#include "interrupt.h"
#include "location.h"
#include "memory.h"
#include "progress.h"
#include "remote.h"

enum {
    OPT_TO,
    OPT_SHARDS,
    OPT_MAX_KEYS,
    OPT_CEL,
    OPT_CEL_COLUMN,
    OPT_ROUTING_VALUE,
    OPT_INFER,
    OPT_KEY,
    OPT_VALUE,
    OPT_VALUE_JSON,
    OPT_KEY_ENCODING,
    OPT_KEY_FORMAT,
    OPT_VALUE_ENCODING,
    OPT_FORMAT,
    OPT_PAGE_SIZE,
    OPT_NO_SIDECAR,
    OPT_INPUT_ORDER,
    OPT_MEMORY,
    OPT_THREADS,
    OPT_RUN_ID,
    OPT_NO_PUBLISH,
    OPT_HELP
};

static const struct option_spec options[] = {
    [OPT_TO] = {"--to", OPTION_TEXT, "URL", NULL, "Folder or URL to publish under. Required."},
    [OPT_SHARDS] = {"--shards", OPTION_INT, "N", NULL, "Number of shards."},
    [OPT_MAX_KEYS] = {"--max-keys-per-shard", OPTION_INT, "N", NULL,
                      "As many shards as give this many rows a shard on average."},
    [OPT_CEL] = {"--cel", OPTION_TEXT, "EXPR", NULL,
                 "Shard by a CEL expression over the declared columns; its result is the shard, or "
                 "one of the routing values."},
    [OPT_CEL_COLUMN] = {"--cel-column", OPTION_LIST, "NAME:TYPE", NULL,
                        "Column that the expression reads: int, uint, double, bool, string or "
                        "bytes (base64). The name `key` is the key. May be given many times."},
    [OPT_ROUTING_VALUE] = {"--routing-value", OPTION_LIST, "V", NULL,
                           "Result of the expression that has a shard, in the order of the "
                           "shards; may be given many times."},
    [OPT_INFER] = {"--infer-routing-values", OPTION_FLAG, NULL, NULL,
                   "One shard for each result of the expression that occurs in the input."},
    [OPT_KEY] = {"--key", OPTION_TEXT, "COL", NULL, "Column of the key. Default: key."},
    [OPT_VALUE] = {"--value", OPTION_TEXT, "COL", NULL, "Column of the value. Default: value."},
    [OPT_VALUE_JSON] = {"--value-json", OPTION_FLAG, NULL, NULL,
                        "The value is the whole row as compact JSON."},
    [OPT_KEY_ENCODING] = {"--key-encoding", OPTION_CHOICE, NULL, "u64be u32be utf8 raw",
                          "How keys are stored. Default: u64be (integers)."},
    [OPT_KEY_FORMAT] = {"--key-format", OPTION_CHOICE, NULL, KEY_FORMAT_CHOICES,
                        "How the key column is written; hex and base64 give the stored bytes. "
                        "Default: text."},
    [OPT_VALUE_ENCODING] = {"--value-encoding", OPTION_CHOICE, NULL, BUILD_VALUE_FORMAT_CHOICES,
                            "How the value column is written. Default: text."},
    [OPT_FORMAT] = {"--format", OPTION_CHOICE, NULL, INPUT_FORMAT_CHOICES,
                    "Format of the inputs. Default: by the suffix of each file."},
    [OPT_PAGE_SIZE] = {"--page-size", OPTION_TEXT, "N|auto", NULL,
                       "Page size of the shards, a power of two from 4096 to 65536, or auto. "
                       "Default: 4096."},
    [OPT_NO_SIDECAR] = {"--no-sidecar", OPTION_FLAG, NULL, NULL, "Write no sidecar files."},
    [OPT_INPUT_ORDER] =
        {"--input-order", OPTION_CHOICE, NULL, "any grouped sorted",
         "Order of the rows: grouped by shard, or also sorted by key in each shard; "
         "such rows need no spilling. Default: any."},
    [OPT_MEMORY] = {"--memory", OPTION_SIZE, "SIZE", NULL,
                    "Memory for rows before they are spilled to $TMPDIR, at least 16M. "
                    "Default: 512M."},
    [OPT_THREADS] = {"--threads", OPTION_INT, "N", NULL,
                     "Threads that parse input and build shards. Default: all processors."},
    [OPT_RUN_ID] = {"--run-id", OPTION_TEXT, "ID", NULL, "Name of this run. Default: random."},
    [OPT_NO_PUBLISH] = {"--no-publish", OPTION_FLAG, NULL, NULL,
                        "Write shards and manifest, but leave _CURRENT alone."},
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static const char file_scheme[] = "file://";

/* A build with everything it owns. */
struct build {
    struct cli *cli;
    struct location location;
    struct row_rules rules;
    struct build_routing routing;
    struct input_source *sources;
    struct input input;
    struct progress progress;
    unsigned threads;
    uint32_t page_size;
    shardy_writer *writer;
};

static bool in_range(const struct option_value *value, int64_t low, int64_t high)
{
    return !value->given || (value->number >= low && value->number <= high);
}

static int check_page_size(struct build *build)
{
    const char *text = build->cli->options[OPT_PAGE_SIZE].text;

    build->page_size = 0;
    if (text == NULL) {
        return 0;
    }
    if (strcasecmp(text, "auto") == 0) {
        build->page_size = SHARDY_PAGE_SIZE_AUTO;
        return 0;
    }
    for (uint32_t size = 4096; size <= 65536; size *= 2) {
        char expected[16];

        (void)snprintf(expected, sizeof expected, "%" PRIu32, size);
        if (strcmp(text, expected) == 0) {
            build->page_size = size;
            return 0;
        }
    }
    return cli_usage_error(build->cli,
                           "Invalid value for '--page-size': '%s' is not a power of two from 4096 "
                           "to 65536, nor 'auto'.",
                           text);
}

static int check_options(struct build *build)
{
    struct cli *cli = build->cli;
    const struct option_value *values = cli->options;

    if (!values[OPT_TO].given || values[OPT_TO].text[0] == '\0') {
        return cli_usage_error(cli, "Missing option '--to'.");
    }
    if (cli->globals[GLOBAL_REF].given || cli->globals[GLOBAL_OFFSET].given) {
        return cli_usage_error(cli, "--ref and --offset do not apply to build");
    }
    if (values[OPT_SHARDS].given && values[OPT_MAX_KEYS].given) {
        return cli_usage_error(cli, "Give one of --shards and --max-keys-per-shard.");
    }
    if (!values[OPT_CEL].given && !values[OPT_SHARDS].given && !values[OPT_MAX_KEYS].given) {
        return cli_usage_error(cli, "Give one of --shards, --max-keys-per-shard and --cel.");
    }
    if (!in_range(&values[OPT_SHARDS], 1, 1 << 20)) {
        return cli_usage_error(cli, "--shards must be 1 .. 1048576");
    }
    if (!in_range(&values[OPT_MAX_KEYS], 1, INT64_MAX)) {
        return cli_usage_error(cli, "--max-keys-per-shard must be >= 1");
    }
    if (!in_range(&values[OPT_THREADS], 1, 1024)) {
        return cli_usage_error(cli, "--threads must be 1 .. 1024");
    }
    if (!in_range(&values[OPT_MEMORY], 16 << 20, INT64_MAX)) {
        return cli_usage_error(cli, "--memory must be at least 16M");
    }
    if (values[OPT_INPUT_ORDER].number != SHARDY_INPUT_ANY && values[OPT_MAX_KEYS].given) {
        return cli_usage_error(cli, "--input-order needs --shards: with --max-keys-per-shard the "
                                    "shard of a row is known only after the last row");
    }
    if (values[OPT_VALUE_JSON].given &&
        (values[OPT_VALUE].given || values[OPT_VALUE_ENCODING].given)) {
        return cli_usage_error(cli, "--value-json excludes --value and --value-encoding");
    }
    return check_page_size(build);
}

static int check_routing(struct build *build)
{
    const struct option_value *values = build->cli->options;
    const struct build_routing_options request = {
        .expression = &values[OPT_CEL],
        .columns = &values[OPT_CEL_COLUMN],
        .routing_values = &values[OPT_ROUTING_VALUE],
        .infer = &values[OPT_INFER],
        .shards = &values[OPT_SHARDS],
        .max_keys = &values[OPT_MAX_KEYS],
    };
    const char *key_name = values[OPT_KEY].given ? values[OPT_KEY].text : "key";

    return build_routing_init(build->cli, &request, key_name, &build->routing);
}

/* Format of a file by its suffix. @return false when the suffix says nothing */
static bool format_of(const char *path, enum input_format_id *format)
{
    static const struct {
        const char *suffix;
        enum input_format_id format;
    } suffixes[] = {{".csv", INPUT_CSV},      {".tsv", INPUT_TSV},    {".jsonl", INPUT_JSONL},
                    {".ndjson", INPUT_JSONL}, {".json", INPUT_JSONL}, {".kv", INPUT_KV}};
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (strcasecmp(dot, suffixes[i].suffix) == 0) {
            *format = suffixes[i].format;
            return true;
        }
    }
    return false;
}

static int check_inputs(struct build *build)
{
    struct cli *cli = build->cli;
    const struct option_value *format = &cli->options[OPT_FORMAT];
    bool stdin_used = false;

    build->sources = cli_zeroed(cli->arg_count, sizeof *build->sources);
    for (size_t i = 0; i < cli->arg_count; i++) {
        struct input_source *source = &build->sources[i];

        source->path = cli->args[i];
        if (strcmp(source->path, "-") == 0 && stdin_used) {
            return cli_usage_error(cli, "Standard input (-) can be given once only.");
        }
        stdin_used = stdin_used || strcmp(source->path, "-") == 0;
        if (format->given) {
            source->format = (enum input_format_id)format->number;
        } else if (!format_of(source->path, &source->format)) {
            return cli_usage_error(cli,
                                   "Cannot tell the format of '%s' from its name; give --format "
                                   "csv, tsv, jsonl or kv.",
                                   source->path);
        }
        if (source->format == INPUT_KV && build->routing.extra_count > 0) {
            return cli_usage_error(cli,
                                   "kv input has no column '%s', which is declared for the "
                                   "expression.",
                                   build->routing.extra[0].name);
        }
        if (source->format == INPUT_KV &&
            (cli->options[OPT_VALUE_JSON].given || cli->options[OPT_VALUE_ENCODING].given ||
             cli->options[OPT_KEY_FORMAT].given)) {
            return cli_usage_error(cli, "--value-json, --value-encoding and --key-format do not "
                                        "apply to kv input.");
        }
    }
    return 0;
}

static int locate(struct build *build)
{
    const char *text = build->cli->options[OPT_TO].text;
    const char *problem = "";

    if (!location_resolve(text, &build->location, &problem)) {
        return cli_usage_error(build->cli, "Invalid value for '--to': '%s': %s.", text, problem);
    }
    /*
     * Publishing over some other file would replace it with a pointer. On S3 only names that begin
     * with an underscore are taken for pointers, which nobody writes by mistake.
     */
    if (build->location.current_name != NULL &&
        strncmp(build->location.url, file_scheme, strlen(file_scheme)) == 0) {
        return cli_usage_error(build->cli, "Invalid value for '--to': '%s' is a file.", text);
    }
    return 0;
}

static void set_rules(struct build *build)
{
    const struct option_value *values = build->cli->options;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    build->rules = (struct row_rules){
        .key_encoding = (shardy_key_encoding)values[OPT_KEY_ENCODING].number,
        .key_format = (enum text_format)values[OPT_KEY_FORMAT].number,
        .value_format = (enum text_format)values[OPT_VALUE_ENCODING].number,
        .value_json = values[OPT_VALUE_JSON].given,
        .key_name = values[OPT_KEY].given ? values[OPT_KEY].text : "key",
        .value_name = values[OPT_VALUE].given ? values[OPT_VALUE].text : "value",
        .columns = build->routing.extra,
        .column_count = build->routing.extra_count,
    };
    build->threads = processors > 0 && processors <= 1024 ? (unsigned)processors : 1;
    if (values[OPT_THREADS].given) {
        build->threads = (unsigned)values[OPT_THREADS].number;
    }
}

static shardy_status open_writer(struct build *build, shardy_error *err)
{
    const struct option_value *values = build->cli->options;
    shardy_writer_options request = SHARDY_WRITER_OPTIONS_INIT;

    request.url = build->location.url;
    request.current_name = build->location.current_name;
    request.run_id = values[OPT_RUN_ID].text;
    request.num_dbs = (uint32_t)values[OPT_SHARDS].number;
    request.max_keys_per_shard = (uint64_t)values[OPT_MAX_KEYS].number;
    request.cel = build->routing.use;
    request.key_encoding = build->rules.key_encoding;
    request.page_size = build->page_size;
    request.no_sidecar = values[OPT_NO_SIDECAR].given;
    request.no_publish = values[OPT_NO_PUBLISH].given;
    request.memory_limit_bytes = (uint64_t)values[OPT_MEMORY].number;
    request.threads = build->threads;
    request.input_order = (shardy_input_order)values[OPT_INPUT_ORDER].number;
    request.key_col = values[OPT_KEY].given ? build->rules.key_name : NULL;
    request.value_col = row_value_column(&build->rules);
    request.store_options = build->cli->remote->options;
    request.store_option_count = build->cli->remote->option_count;
    request.events = remote_events(build->cli->remote);
    request.progress = progress_update;
    request.progress_arg = &build->progress;
    return shardy_writer_open(&request, &build->writer, err);
}

static void cancel(void *arg)
{
    shardy_writer_cancel(arg);
}

/* Everything between an open writer and its end. */
static int fill_and_finish(struct build *build)
{
    shardy_build_result result = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    int code = CLI_OK;

    if (!build_job_run(&build->input, &build->rules, build->writer, build->threads, err.message,
                       sizeof err.message)) {
        err.status = SHARDY_INPUT;
    } else {
        err.status = shardy_writer_finish(build->writer, &result, &err);
    }
    progress_clear(&build->progress);
    if (err.status != SHARDY_OK && interrupt_seen() != 0) {
        code = 128 + interrupt_seen(); /* `Aborted!` is said already */
    } else if (err.status != SHARDY_OK) {
        code = build_result_fail(build->cli, err.message, &result);
    } else {
        build_result_print(build->cli, &result, progress_now() - build->progress.started_s);
    }
    shardy_build_result_clear(&result);
    return code;
}

static int run_build(struct build *build)
{
    struct cli *cli = build->cli;
    shardy_error err = SHARDY_ERROR_INIT;
    int code;

    if (!input_init(&build->input, build->sources, cli->arg_count, err.message,
                    sizeof err.message)) {
        return cli_command_error(cli, "%s", err.message);
    }
    set_rules(build);
    progress_init(&build->progress, &cli->err, &build->input);
    if (open_writer(build, &err) != SHARDY_OK) {
        return cli_command_error(cli, "%s", err.message);
    }
    if (!interrupt_watch(cancel, build->writer)) {
        return cli_command_error(cli, "cannot start a thread");
    }
    code = fill_and_finish(build);
    interrupt_unwatch();
    return code;
}

static int run(struct cli *cli)
{
    struct build build = {.cli = cli, .input = {.fd = -1}};
    int code;

    if (!cli->format_given) {
        cli->format = FORMAT_TEXT;
    }
    code = check_options(&build);
    code = code != 0 ? code : check_routing(&build);
    code = code != 0 ? code : check_inputs(&build);
    code = code != 0 ? code : locate(&build);
    code = code != 0 ? code : run_build(&build);
    shardy_writer_free(build.writer);
    input_clear(&build.input);
    for (size_t i = 0; build.sources != NULL && i < cli->arg_count; i++) {
        csv_layout_free(build.sources[i].layout);
    }
    cli_free(build.sources);
    build_routing_clear(&build.routing);
    location_clear(&build.location);
    return code;
}

const struct command cli_cmd_build = {
    .name = "build",
    .arguments = "INPUT...",
    .min_args = 1,
    .max_args = SIZE_MAX,
    .summary = "Build a snapshot from CSV, TSV, JSON Lines or kv files and publish it.",
    .description = "`-` is standard input. Several inputs make one snapshot; of rows with equal "
                   "keys the last one counts. CSV and TSV need a header line. kv is a stream of "
                   "u32le key length, key, u32le value length, value.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
