/*
 * remote.c - global options about object stores: options of the store, how shards are read, and
 * whether requests are traced (trace.c).
 */
#include "remote.h"

#include <inttypes.h>
#include <string.h>

#include "memory.h"
#include "trace.h"

/* Arguments are visible to every user of the machine. */
static bool is_secret(const char *name)
{
    return strcmp(name, "access_key_id") == 0 || strcmp(name, "secret_access_key") == 0 ||
           strcmp(name, "session_token") == 0;
}

/* KEY=VALUE as the option takes it: both sides trimmed, an empty key ignored. */
static int add_option(struct cli *cli, struct remote *remote, const char *text)
{
    const char *equals = strchr(text, '=');
    shardy_store_option *option;
    char *name;
    char *value;

    if (equals == NULL) {
        return cli_usage_error(cli, "--s3-option must be KEY=VALUE, got: '%s'", text);
    }
    name = cli_copy_trimmed(text, (size_t)(equals - text));
    value = cli_copy_trimmed(equals + 1, strlen(equals + 1));
    remote->texts = cli_resize_array(remote->texts, 2 * remote->option_count + 2, sizeof(char *));
    remote->options =
        cli_resize_array(remote->options, remote->option_count + 1, sizeof *remote->options);
    if (name[0] == '\0' || is_secret(name)) {
        bool secret = name[0] != '\0';

        cli_free(name);
        cli_free(value);
        return secret ? cli_usage_error(cli, "--s3-option takes no credentials: arguments are "
                                             "visible to others; use the environment or a profile")
                      : 0;
    }
    option = &remote->options[remote->option_count];
    remote->texts[2 * remote->option_count] = name;
    remote->texts[2 * remote->option_count + 1] = value;
    option->name = name;
    option->value = value;
    remote->option_count++;
    return 0;
}

static int check_overrides(struct cli *cli)
{
    static const struct {
        enum global_option option;
        const char *name;
    } sizes[] = {
        {GLOBAL_SQLITE_AUTO_SHARD, "sqlite_auto_per_shard_threshold_bytes"},
        {GLOBAL_SQLITE_AUTO_TOTAL, "sqlite_auto_total_budget_bytes"},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct option_value *value = &cli->globals[sizes[i].option];

        if (value->given && value->number < 0) {
            return cli_usage_error(cli, "Invalid SQLite override(s): %s must be >= 0, got %" PRId64,
                                   sizes[i].name, value->number);
        }
    }
    return 0;
}

int remote_init(struct cli *cli, struct remote *remote)
{
    const struct option_value *given = &cli->globals[GLOBAL_S3_OPTION];
    int code = check_overrides(cli);

    *remote = (struct remote){0};
    for (size_t i = 0; code == 0 && i < given->text_count; i++) {
        code = add_option(cli, remote, given->texts[i]);
    }
    if (code == 0 && cli->globals[GLOBAL_TRACE].given) {
        remote->trace = trace_new();
        remote->events = trace_sink(remote->trace);
    }
    return code;
}

const shardy_event_sink *remote_events(const struct remote *remote)
{
    return remote->trace != NULL ? &remote->events : NULL;
}

void remote_access(const struct cli *cli, shardy_reader_options *options)
{
    static const shardy_access modes[] = {SHARDY_ACCESS_DOWNLOAD, SHARDY_ACCESS_RANGE,
                                          SHARDY_ACCESS_AUTO};
    const struct option_value *mode = &cli->globals[GLOBAL_SQLITE_MODE];
    const struct option_value *shard = &cli->globals[GLOBAL_SQLITE_AUTO_SHARD];
    const struct option_value *total = &cli->globals[GLOBAL_SQLITE_AUTO_TOTAL];

    options->access = mode->given ? modes[mode->number] : SHARDY_ACCESS_AUTO;
    /* 0 means the default to the library and "nothing" to people: one byte is as good. */
    options->auto_shard_bytes = shard->given ? (uint64_t)shard->number + (shard->number == 0) : 0;
    options->auto_total_bytes = total->given ? (uint64_t)total->number + (total->number == 0) : 0;
}

void remote_report(struct cli *cli, struct remote *remote)
{
    if (remote->trace != NULL) {
        trace_print(remote->trace, &cli->err);
        out_flush(&cli->err);
    }
}

void remote_clear(struct remote *remote)
{
    for (size_t i = 0; i < 2 * remote->option_count; i++) {
        cli_free(remote->texts[i]);
    }
    cli_free(remote->texts);
    cli_free(remote->options);
    trace_free(remote->trace);
    *remote = (struct remote){0};
}
