/*
 * trace.c - --trace: the HTTP exchanges of a command in the order in which they began, and how many
 * of them had to wait for one another.
 *
 * Round trips are the longest chain of exchanges of which each one started after the one before it
 * had ended: what a slow network multiplies. Every exchange counts there; the first ones are
 * printed.
 */
#include "trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Lines kept for printing; further requests are only counted. */
enum { TRACE_LINES_MAX = 10000 };

/* When an exchange was under way. */
struct interval {
    uint64_t started_us;
    uint64_t ended_us;
};

/* One exchange. Texts are cut to what fits. */
struct exchange {
    struct interval time;
    uint64_t connect_us;
    uint64_t received;
    uint64_t sent;
    int64_t status;
    int64_t attempt;
    char verb[8];
    char key[120];
    char range[48];
    char error[160];
};

struct trace {
    pthread_mutex_t lock; /* events come from several threads */
    struct exchange *lines;
    size_t line_count;
    size_t line_capacity;
    struct interval *times; /* of all */
    size_t count;
    size_t capacity;
    uint64_t received;
    uint64_t sent;
    uint64_t connect_us; /* the slowest */
    size_t retries;
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
        {"started_us", &item->time.started_us},
        {"ended_us", &item->time.ended_us},
        {"connect_us", &item->connect_us},
        {"received_bytes", &item->received},
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
    } else if (strcmp(field->name, "range") == 0 && field->string != NULL) {
        copy_text(item->range, sizeof item->range, field->string);
    } else if (strcmp(field->name, "error") == 0 && field->string != NULL) {
        (void)snprintf(item->error, sizeof item->error, "%s", field->string);
    }
}

static void add_exchange_locked(struct trace *trace, const struct exchange *item)
{
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity ? 2 * trace->capacity : 64;
        trace->times = cli_resize_array(trace->times, trace->capacity, sizeof *trace->times);
    }
    trace->times[trace->count++] = item->time;
    trace->received += item->received;
    trace->sent += item->sent;
    trace->retries += item->attempt > 1;
    trace->connect_us = item->connect_us > trace->connect_us ? item->connect_us : trace->connect_us;
    if (trace->line_count == TRACE_LINES_MAX) {
        return;
    }
    if (trace->line_count == trace->line_capacity) {
        trace->line_capacity = trace->line_capacity ? 2 * trace->line_capacity : 64;
        trace->lines = cli_resize_array(trace->lines, trace->line_capacity, sizeof *trace->lines);
    }
    trace->lines[trace->line_count++] = *item;
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
    add_exchange_locked(trace, &item);
    pthread_mutex_unlock(&trace->lock);
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_end(const void *a, const void *b)
{
    const struct interval *x = a;
    const struct interval *y = b;

    return compare(x->ended_us, y->ended_us);
}

static int by_start(const void *a, const void *b)
{
    const struct exchange *x = a;
    const struct exchange *y = b;

    return compare(x->time.started_us, y->time.started_us);
}

/* Longest chain of exchanges that do not overlap; `times` are sorted by their end. */
static size_t round_trips(const struct interval *times, size_t count)
{
    size_t chain = 0;
    uint64_t free_from = 0;

    for (size_t i = 0; i < count; i++) {
        if (chain == 0 || times[i].started_us >= free_from) {
            chain++;
            free_from = times[i].ended_us;
        }
    }
    return chain;
}

static void print_exchange(struct out *out, const struct exchange *item, uint64_t first_us)
{
    const struct interval *time = &item->time;

    out_format(out, "trace: %10.1f %10.1f  %-6s %6" PRId64 " %12" PRIu64 "  ",
               (double)(time->started_us - first_us) / 1e3,
               (double)(time->ended_us - time->started_us) / 1e3, item->verb, item->status,
               item->received > item->sent ? item->received : item->sent);
    out_visible(out, item->key, strlen(item->key));
    if (item->range[0] != '\0') {
        out_text(out, " ");
        out_visible(out, item->range, strlen(item->range));
    }
    if (item->attempt > 1) {
        out_format(out, "  try %" PRId64, item->attempt);
    }
    if (item->error[0] != '\0') {
        out_text(out, "  ");
        out_visible(out, item->error, strlen(item->error));
    }
    out_text(out, "\n");
}

static void print_lines(struct out *out, struct trace *trace, uint64_t first_us)
{
    qsort(trace->lines, trace->line_count, sizeof *trace->lines, by_start);
    out_format(out, "trace: %10s %10s  %-6s %6s %12s  %s\n", "begun (ms)", "took (ms)", "verb",
               "status", "bytes", "object");
    for (size_t i = 0; i < trace->line_count; i++) {
        print_exchange(out, &trace->lines[i], first_us);
    }
    if (trace->line_count < trace->count) {
        out_format(out, "trace: ... and %zu more\n", trace->count - trace->line_count);
    }
}

void trace_print(struct trace *trace, struct out *out)
{
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    size_t chain;

    if (trace->count == 0) {
        out_text(out, "trace: no requests\n");
        return;
    }
    for (size_t i = 0; i < trace->count; i++) {
        const struct interval *time = &trace->times[i];

        first = time->started_us < first ? time->started_us : first;
        last = time->ended_us > last ? time->ended_us : last;
    }
    print_lines(out, trace, first);
    qsort(trace->times, trace->count, sizeof *trace->times, by_end);
    chain = round_trips(trace->times, trace->count);
    out_format(out, "trace: %zu request%s", trace->count, trace->count == 1 ? "" : "s");
    if (trace->retries > 0) {
        out_format(out, " (%zu repeated)", trace->retries);
    }
    out_format(out,
               ", %zu round trip%s, %" PRIu64 " bytes received, %" PRIu64
               " sent, %.1f ms, slowest connection set-up %.1f ms\n",
               chain, chain == 1 ? "" : "s", trace->received, trace->sent,
               (double)(last - first) / 1e3, (double)trace->connect_us / 1e3);
}

struct trace *trace_new(void)
{
    struct trace *trace = cli_zeroed(1, sizeof *trace);

    (void)pthread_mutex_init(&trace->lock, NULL);
    return trace;
}

shardy_event_sink trace_sink(struct trace *trace)
{
    return (shardy_event_sink){record, trace};
}

void trace_free(struct trace *trace)
{
    if (trace != NULL) {
        (void)pthread_mutex_destroy(&trace->lock);
        cli_free(trace->lines);
        cli_free(trace->times);
        cli_free(trace);
    }
}
