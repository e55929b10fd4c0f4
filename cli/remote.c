/*
 * remote.c - global options about object stores, and --trace: every HTTP exchange of a command, and
 * how many of them had to wait for one another.
 *
 * Round trips are the longest chain of exchanges of which each one started after the one before it
 * had ended: what a slow network multiplies.
 */
#include "remote.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Lines kept for printing; further requests are only counted. */
enum { TRACE_LINES_MAX = 10000 };

/* One exchange. Texts are cut to what fits. */
struct exchange {
    uint64_t started_us;
    uint64_t ended_us;
    uint64_t connect_us;
    uint64_t received;
    uint64_t sent;
    int64_t status;
    int64_t attempt;
    char verb[8];
    char key[120];
    char error[160];
};

struct trace {
    pthread_mutex_t lock; /* events come from several threads */
    struct exchange *items;
    size_t count;
    size_t capacity;
};

static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);

    /* The end of a key tells more than its beginning. */
    (void)snprintf(to, size, "%s", n >= size ? from + n - size + 1 : from);
}

static void take_field(struct exchange *item, const shardy_field *field)
{
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {
        {"started_us", &item->started_us}, {"ended_us", &item->ended_us},
        {"connect_us", &item->connect_us}, {"received_bytes", &item->received},
        {"sent_bytes", &item->sent},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(field->name, numbers[i].name) == 0) {
            *numbers[i].to = (uint64_t)field->integer;
        }
    }
    if (strcmp(field->name, "status") == 0) {
        item->status = field->integer;
    } else if (strcmp(field->name, "attempt") == 0) {
        item->attempt = field->integer;
    } else if (strcmp(field->name, "verb") == 0 && field->string != NULL) {
        copy_text(item->verb, sizeof item->verb, field->string);
    } else if (strcmp(field->name, "key") == 0 && field->string != NULL) {
        copy_text(item->key, sizeof item->key, field->string);
    } else if (strcmp(field->name, "error") == 0 && field->string != NULL) {
        (void)snprintf(item->error, sizeof item->error, "%s", field->string);
    }
}

static void record(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct trace *trace = arg;
    struct exchange item = {0};

    if (strcmp(event, "store.request") != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        take_field(&item, &fields[i]);
    }
    pthread_mutex_lock(&trace->lock);
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity ? 2 * trace->capacity : 64;
        trace->items = cli_resize_array(trace->items, trace->capacity, sizeof *trace->items);
    }
    trace->items[trace->count++] = item;
    pthread_mutex_unlock(&trace->lock);
}

static int by_end(const void *a, const void *b)
{
    const struct exchange *x = a;
    const struct exchange *y = b;

    return (x->ended_us > y->ended_us) - (x->ended_us < y->ended_us);
}

/* Longest chain of exchanges that do not overlap; `items` are sorted by their end. */
static size_t round_trips(const struct exchange *items, size_t count)
{
    size_t chain = 0;
    uint64_t free_from = 0;

    for (size_t i = 0; i < count; i++) {
        if (chain == 0 || items[i].started_us >= free_from) {
            chain++;
            free_from = items[i].ended_us;
        }
    }
    return chain;
}

static void print_exchange(struct out *out, const struct exchange *item, uint64_t first_us)
{
    out_format(out, "trace: %8.1f ms %-6s %3" PRId64 " %10" PRIu64 " B %8.1f ms  ",
               (double)(item->started_us - first_us) / 1e3, item->verb, item->status,
               item->received > item->sent ? item->received : item->sent,
               (double)(item->ended_us - item->started_us) / 1e3);
    out_visible(out, item->key, strlen(item->key));
    if (item->attempt > 1) {
        out_format(out, "  try %" PRId64, item->attempt);
    }
    if (item->error[0] != '\0') {
        out_text(out, "  ");
        out_visible(out, item->error, strlen(item->error));
    }
    out_text(out, "\n");
}

static void print_trace(struct out *out, struct trace *trace)
{
    uint64_t received = 0;
    uint64_t sent = 0;
    uint64_t connect = 0;
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    size_t chain;

    for (size_t i = 0; i < trace->count; i++) {
        const struct exchange *item = &trace->items[i];

        received += item->received;
        sent += item->sent;
        connect = item->connect_us > connect ? item->connect_us : connect;
        first = item->started_us < first ? item->started_us : first;
        last = item->ended_us > last ? item->ended_us : last;
    }
    qsort(trace->items, trace->count, sizeof *trace->items, by_end);
    chain = round_trips(trace->items, trace->count);
    for (size_t i = 0; i < trace->count && i < TRACE_LINES_MAX; i++) {
        print_exchange(out, &trace->items[i], first);
    }
    out_format(out,
               "trace: %zu requests, %zu round trips, %" PRIu64 " bytes received, %" PRIu64
               " sent, %.1f ms (slowest connection set-up %.1f ms)\n",
               trace->count, chain, received, sent,
               trace->count ? (double)(last - first) / 1e3 : 0.0, (double)connect / 1e3);
}

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
        remote->trace = cli_zeroed(1, sizeof *remote->trace);
        pthread_mutex_init(&remote->trace->lock, NULL);
        remote->events = (shardy_event_sink){record, remote->trace};
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
        pthread_mutex_lock(&remote->trace->lock);
        print_trace(&cli->err, remote->trace);
        pthread_mutex_unlock(&remote->trace->lock);
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
    if (remote->trace != NULL) {
        pthread_mutex_destroy(&remote->trace->lock);
        cli_free(remote->trace->items);
        cli_free(remote->trace);
    }
    *remote = (struct remote){0};
}
