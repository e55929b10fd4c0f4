/*
 * session.c - from global options to an open snapshot.
 *
 * Problems here are plain `Error:` lines in every output format: no operation has begun. A pinned
 * manifest is read as it is or not at all; the library falls back to older ones only when it
 * follows the pointer.
 */
#include "session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "remote.h"

int session_locate(struct cli *cli, struct session *session)
{
    const char *text = cli->globals[GLOBAL_CURRENT_URL].text;
    const char *problem = "";

    *session = (struct session){0};
    if (text == NULL || text[0] == '\0') {
        text = getenv("SHARDY_CURRENT");
    }
    if (text == NULL || text[0] == '\0') {
        return cli_command_error(cli, "CURRENT URL is required. Provide it via --current-url or "
                                      "set SHARDY_CURRENT env var.");
    }
    if (!location_resolve(text, &session->location, &problem)) {
        return cli_command_error(cli, "Cannot use '%s': %s", text, problem);
    }
    return 0;
}

static int pin_offset(struct cli *cli, struct session *session, uint64_t offset)
{
    shardy_history_options options = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    int code = 0;

    options.url = session->location.url;
    options.current_name = session->location.current_name;
    options.store_options = cli->remote->options;
    options.store_option_count = cli->remote->option_count;
    options.events = remote_events(cli->remote);
    options.limit = offset < SIZE_MAX ? (size_t)offset + 1 : SIZE_MAX;
    if (shardy_history_load(&options, &history, &err) != SHARDY_OK) {
        return cli_command_error(cli, "Failed to list manifests: %s", err.message);
    }
    if (offset >= history.count) {
        code =
            cli_command_error(cli, "Offset %" PRIu64 " out of range (only %zu manifests available)",
                              offset, history.count);
    } else {
        const char *ref = history.items[offset].ref;

        session->pin_ref = cli_copy_text(ref, strlen(ref));
    }
    shardy_history_clear(&history);
    return code;
}

int session_pin(struct cli *cli, struct session *session)
{
    const struct option_value *ref = &cli->globals[GLOBAL_REF];
    const struct option_value *offset = &cli->globals[GLOBAL_OFFSET];
    int code = session_locate(cli, session);

    if (code == 0 && ref->given) {
        session->pin_ref = cli_copy_text(ref->text, strlen(ref->text));
    } else if (code == 0 && offset->given) {
        code = pin_offset(cli, session, (uint64_t)offset->number);
    }
    return code;
}

/* Of the log only this matters to the reader of the output: it is not of the newest snapshot. */
static void warn_fallback(void *arg, shardy_log_level level, const char *logger, const char *event,
                          const shardy_field *fields, size_t count)
{
    struct cli *cli = arg;

    (void)level;
    (void)logger;
    if (strcmp(event, "reader_cold_start_fallback") != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, "failed_ref") == 0 && fields[i].kind == SHARDY_FIELD_STRING) {
            out_format(&cli->err,
                       "Warning: the current manifest %s is damaged; reading an older one\n",
                       fields[i].string);
            out_flush(&cli->err);
        }
    }
}

int session_open(struct cli *cli, struct session *session)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_snapshot_info info = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    int code = session_pin(cli, session);

    if (code != 0) {
        return code;
    }
    session->logs = (shardy_log_sink){warn_fallback, cli, SHARDY_LOG_ERROR};
    options.url = session->location.url;
    options.current_name = session->location.current_name;
    options.pin_ref = session->pin_ref;
    options.logs = &session->logs;
    options.events = remote_events(cli->remote);
    options.store_options = cli->remote->options;
    options.store_option_count = cli->remote->option_count;
    remote_access(cli, &options);
    if (shardy_reader_open(&options, &session->reader, &err) != SHARDY_OK ||
        shardy_reader_snapshot(session->reader, &session->snapshot, &err) != SHARDY_OK ||
        shardy_snapshot_describe(session->snapshot, &info, &err) != SHARDY_OK) {
        return cli_command_error(cli, "Failed to initialise reader: %s", err.message);
    }
    session->key_encoding = info.key_encoding;
    session->num_dbs = info.num_dbs;
    shardy_snapshot_info_clear(&info);
    return 0;
}

void session_close(struct session *session)
{
    shardy_snapshot_release(session->snapshot);
    shardy_reader_free(session->reader);
    location_clear(&session->location);
    cli_free(session->pin_ref);
    *session = (struct session){0};
}
