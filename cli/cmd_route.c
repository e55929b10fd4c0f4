/*
 * cmd_route.c - `shardy route`: the shard of a key, without reading the shard.
 */
#include <inttypes.h>
#include <string.h>

#include "context.h"
#include "encoding.h"
#include "keytext.h"
#include "session.h"

enum { OPT_KEY_FORMAT, OPT_CONTEXT, OPT_HELP };

static const struct option_spec options[] = {
    [OPT_KEY_FORMAT] = {"--key-format", OPTION_CHOICE, NULL, KEY_FORMAT_CHOICES,
                        "How KEY is typed; hex and base64 give the stored bytes. Default: text."},
    [OPT_CONTEXT] = CONTEXT_OPTION,
    [OPT_HELP] = {"--help", OPTION_HELP, NULL, NULL, "Print this text and exit."},
};

static void print_json(struct cli *cli, const char *key, uint32_t db_id)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "route");
    json_key(&json, "key");
    json_text(&json, key);
    json_key(&json, "db_id");
    json_uint(&json, db_id);
    json_end_result(&json);
}

static void print_text(struct cli *cli, const char *key, uint32_t db_id)
{
    out_visible(&cli->out, key, strlen(key));
    out_format(&cli->out, " -> shard %" PRIu32 "\n", db_id);
}

static int route(struct cli *cli, const struct session *session, const shardy_context *context,
                 const char *text)
{
    enum text_format key_format = (enum text_format)cli->options[OPT_KEY_FORMAT].number;
    struct buffer bytes = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key key;
    uint8_t stored[8];
    const void *data;
    size_t size;
    uint32_t db_id;
    int code = CLI_OK;

    /* The key must also fit the encoding: no shard has a key that cannot be stored. */
    if (!keytext_parse(text, session->key_encoding, key_format, &bytes, &key, err.message,
                       sizeof err.message) ||
        shardy_key_encode(&key, session->key_encoding, stored, &data, &size, &err) != SHARDY_OK ||
        shardy_reader_route(session->reader, &key, context, &db_id, &err) != SHARDY_OK) {
        code = cli_error_result(cli, text, err.message);
    } else if (cli->format == FORMAT_TEXT) {
        print_text(cli, text, db_id);
    } else {
        print_json(cli, text, db_id);
    }
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
        code = route(cli, &session, context.use, cli->args[0]);
    }
    context_clear(&context);
    session_close(&session);
    return code;
}

const struct command cli_cmd_route = {
    .name = "route",
    .arguments = "KEY",
    .min_args = 1,
    .max_args = 1,
    .summary = "Print the shard that a key belongs to.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
