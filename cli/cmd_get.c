/*
 * cmd_get.c - `shardy get`: one key, all four formats.
 *
 * A missing key is a result (exit 0), with --strict the same result and exit 1.
 */
#include <string.h>

#include "context.h"
#include "encoding.h"
#include "keytext.h"
#include "session.h"

enum { OPT_STRICT, OPT_KEY_FORMAT, OPT_VALUE_ENCODING, OPT_CONTEXT, OPT_HELP };

static const struct option_spec options[] = {
    [OPT_STRICT] = {"--strict", OPTION_FLAG, NULL, NULL, "Exit with 1 when the key is missing."},
    [OPT_KEY_FORMAT] = {"--key-format", OPTION_CHOICE, NULL, KEY_FORMAT_CHOICES,
                        "How KEY is typed; hex and base64 give the stored bytes. Default: text."},
    [OPT_VALUE_ENCODING] = {"--value-encoding", OPTION_CHOICE, NULL, VALUE_ENCODING_CHOICES,
                            "How values are printed. Default: base64."},
    [OPT_CONTEXT] = CONTEXT_OPTION,
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static void print_json(struct cli *cli, const char *key, bool found, const struct buffer *value)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "get");
    json_key(&json, "key");
    json_text(&json, key);
    json_key(&json, "found");
    json_bool(&json, found);
    json_key(&json, "value");
    json_string(&json, found ? value->data : "null", found ? value->size : 4);
    json_end_result(&json);
}

static void print_text(struct cli *cli, const char *key, bool found, const struct buffer *value)
{
    out_visible(&cli->out, key, strlen(key));
    out_text(&cli->out, "=");
    out_visible(&cli->out, found ? value->data : "null", found ? value->size : 4);
    out_text(&cli->out, "\n");
}

static int get(struct cli *cli, const struct session *session, const shardy_context *context,
               const char *text)
{
    enum text_format key_format = (enum text_format)cli->options[OPT_KEY_FORMAT].number;
    enum value_encoding encoding = (enum value_encoding)cli->options[OPT_VALUE_ENCODING].number;
    struct buffer bytes = {0};
    struct buffer printed = {0};
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key key;
    int code = CLI_OK;

    if (!keytext_parse(text, session->key_encoding, key_format, &bytes, &key, err.message,
                       sizeof err.message) ||
        shardy_snapshot_get_with_context(session->snapshot, &key, context, &value, &err) !=
            SHARDY_OK) {
        code = cli_error_result(cli, text, err.message);
    } else {
        bool found = value.data != NULL;

        encoding_add(&printed, encoding, value.data, value.size);
        if (cli->format == FORMAT_TEXT) {
            print_text(cli, text, found, &printed);
        } else {
            print_json(cli, text, found, &printed);
        }
        code = !found && cli->options[OPT_STRICT].given ? CLI_FAILED : CLI_OK;
    }
    shardy_value_clear(&value);
    buffer_clear(&printed);
    buffer_clear(&bytes);
    return code;
}

static int run(struct cli *cli)
{
    struct session session;
    struct context context = {0};
    int code = session_open(cli, &session);

    if (code == 0) {
        code = context_parse(cli, &session, &cli->options[OPT_CONTEXT], &context);
    }
    if (code == 0) {
        code = get(cli, &session, context.use, cli->args[0]);
    }
    context_clear(&context);
    session_close(&session);
    return code;
}

const struct command cli_cmd_get = {
    .name = "get",
    .arguments = "KEY",
    .min_args = 1,
    .max_args = 1,
    .summary = "Look one key up.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
