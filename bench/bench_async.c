/*
 * bench_async.c - async/1000: a thousand lookups in flight, each of another page, shards opened and
 * connections made before, against a bare libcurl-multi loop of as many ranges of one page over as
 * many connections.
 */
#include "bench_transfer.h"

#include <shardyfusion/async.h>

#include "base/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- asynchronous lookups -------------------------------------------------------------------- */

#define LOOKUPS     1000u
#define LOOKUP_REPS 7
#define CONNECTIONS SFI_HTTP_CONNECTIONS_DEFAULT
#define RANGE_BYTES 4096u

struct lookup_case {
    struct bench_table table;
    struct bench_order order;
    shardy_reader *reader;
    struct bare *bare;
    char *signatures[TRANSFER_FILES_MAX];
    unsigned round; /* of keys: no two rounds ask for the same pages */
    size_t ranges;  /* requests that our lookups make: a few keys lie in pages that are held */
    size_t next;
    double begun;
    double ms[LOOKUPS];
    double p50[LOOKUP_REPS + 1];
    double p99[LOOKUP_REPS + 1];
    int runs;
    atomic_uint failed;
    atomic_uint done;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

struct lookup {
    struct lookup_case *c;
    size_t number;
    int64_t row;
};

static void lookup_done(void *arg, shardy_result *result)
{
    const struct lookup *lookup = arg;
    struct lookup_case *c = lookup->c;
    size_t size;
    const void *expected = bench_table_value(&c->table, lookup->row, &size);

    if (result->status != SHARDY_OK || result->value.data == NULL || result->value.size != size ||
        memcmp(result->value.data, expected, size) != 0) {
        (void)atomic_fetch_add(&c->failed, 1);
    }
    shardy_result_clear(result);
    c->ms[lookup->number] = (bench_now() - c->begun) * 1e3;
    if (atomic_fetch_add(&c->done, 1) + 1 == LOOKUPS) {
        (void)pthread_mutex_lock(&c->lock);
        (void)pthread_cond_signal(&c->wake);
        (void)pthread_mutex_unlock(&c->lock);
    }
}

/* The n-th row of a round: evenly spread over the sorted rows of all shards, far from the others.
 */
static int64_t row_of(const struct lookup_case *c, size_t n)
{
    int64_t rows = c->table.rows;
    int64_t stride = rows / (int64_t)LOOKUPS;
    int64_t step = stride / (LOOKUP_REPS + 2);

    return c->order.rows[(int64_t)n * stride + step * (int64_t)c->round];
}

static void lookups_ours(void *arg, struct bench_sample *sample)
{
    struct lookup_case *c = arg;
    static struct lookup lookups[LOOKUPS];
    shardy_error err = SHARDY_ERROR_INIT;

    for (size_t i = 0; i < LOOKUPS; i++) {
        lookups[i] = (struct lookup){c, i, row_of(c, i)};
    }
    c->round++;
    atomic_store(&c->done, 0);
    bench_begin(sample);
    c->begun = sample->begun;
    for (size_t i = 0; i < LOOKUPS; i++) {
        const shardy_completion to = {.done = lookup_done, .arg = &lookups[i]};
        shardy_key key = shardy_key_uint(c->table.keys[lookups[i].row]);

        bench_ok(shardy_reader_get_async(c->reader, &key, &to, NULL, &err), &err,
                 "shardy_reader_get_async");
    }
    (void)pthread_mutex_lock(&c->lock);
    while (atomic_load(&c->done) < LOOKUPS) {
        (void)pthread_cond_wait(&c->wake, &c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
    bench_end(sample);
    if (atomic_load(&c->failed) > 0) {
        bench_die("%u lookups failed", atomic_load(&c->failed));
    }
    (void)bench_median(c->ms, LOOKUPS); /* sorts */
    c->p50[c->runs] = c->ms[LOOKUPS / 2];
    c->p99[c->runs++] = c->ms[LOOKUPS * 99 / 100];
}

static bool range_next(void *arg, struct bare_request *request)
{
    struct lookup_case *c = arg;

    if (c->next == c->ranges) {
        return false;
    }
    const struct transfer_object *object =
        &transfer_objects.items[c->next * transfer_objects.count / c->ranges];
    uint64_t pages = object->size / RANGE_BYTES;

    (void)snprintf(request->target, sizeof request->target, "%s", object->target);
    request->method = "GET";
    request->authorization = c->signatures[object - transfer_objects.items];
    request->offset = (c->next * 31 + c->round) % pages * RANGE_BYTES;
    request->size = RANGE_BYTES;
    c->next++;
    return true;
}

static void range_ended(void *arg, struct bare_request *request)
{
    (void)arg;
    if (request->received != RANGE_BYTES) {
        bench_die("%s: %llu bytes", request->target, (unsigned long long)request->received);
    }
}

static void lookups_peer(void *arg, struct bench_sample *sample)
{
    struct lookup_case *c = arg;
    const struct bare_work work = {range_next, range_ended, c};

    c->next = 0;
    bench_begin(sample);
    bare_run(c->bare, &work);
    bench_end(sample);
}

/* How many requests a round of ours makes: through the proxy, with a reader of its own. */
static struct proxy_stats count_requests(struct lookup_case *c, shardy_reader_options *options)
{
    shardy_reader *reader = c->reader;
    shardy_error err = SHARDY_ERROR_INIT;
    struct bench_sample sample = {0};
    struct proxy_stats stats;

    remote_latency(&transfer_world, 0);
    bench_ok(shardy_reader_open(options, &c->reader, &err), &err, "shardy_reader_open");
    lookups_ours(c, &sample); /* opens the shards, and as many connections as there can be */
    proxy_reset(transfer_world.proxy);
    lookups_ours(c, &sample);
    proxy_read_stats(transfer_world.proxy, &stats);
    shardy_reader_free(c->reader);
    c->reader = reader;
    c->runs = 0;
    c->round = 0;
    remote_direct(&transfer_world);
    return stats;
}

static void report_lookups(struct lookup_case *c, const struct bench_pair *pair,
                           const struct proxy_stats *stats)
{
    char extra[400];
    /* The first run only opened shards and connections. */
    double p50 = bench_median(c->p50 + 1, c->runs - 1);
    double p99 = bench_median(c->p99 + 1, c->runs - 1);

    (void)snprintf(extra, sizeof extra,
                   "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p99_by_p50\":%.2f,\"goal_p99_by_p50\":3,"
                   "\"requests\":%llu,\"bytes\":%llu,\"in_flight\":%llu",
                   p50, p99, p99 / p50, (unsigned long long)stats->requests,
                   (unsigned long long)stats->response_bytes,
                   (unsigned long long)stats->max_in_flight);
    const struct bench_line line = {
        .id = "async/1000",
        .rows = (uint64_t)c->table.rows,
        .ours = LOOKUPS / pair->ours_s,
        .peer = LOOKUPS / pair->peer_s,
        .peer_name = "bare libcurl multi, 64 connections, ranges of one page",
        .unit = "gets/s",
        .goal = 0.8,
        .extra = extra,
    };
    bench_emit_pair(&line, pair);
}

void transfer_lookups(void)
{
    struct lookup_case c = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    struct bench_sample sample = {0};
    struct bench_pair pair;

    bench_note("async/1000");
    bench_table_ints(&c.table, (int64_t)bench_size(8 * 143000, 8 * 100000), 100, 13);
    bench_order_fill(&c.order, &c.table, true);
    remote_build(&transfer_world, "s3://" S3_SERVER_BUCKET "/lookups", &c.table, BENCH_SHARDS);
    transfer_find("lookups", "shard.db");
    options.url = "s3://" S3_SERVER_BUCKET "/lookups";
    options.access = SHARDY_ACCESS_RANGE;
    const struct proxy_stats stats = count_requests(&c, &options);
    c.ranges = stats.requests;
    bench_ok(shardy_reader_open(&options, &c.reader, &err), &err, "shardy_reader_open");
    c.bare = bare_new(s3_server_url(transfer_world.server), CONNECTIONS);
    for (size_t i = 0; i < transfer_objects.count; i++) {
        c.signatures[i] = bare_sign(c.bare, transfer_objects.items[i].target);
    }
    lookups_ours(&c, &sample);
    lookups_peer(&c, &sample);
    bench_compare(lookups_ours, lookups_peer, &c, LOOKUP_REPS, &pair);
    report_lookups(&c, &pair, &stats);
    for (size_t i = 0; i < transfer_objects.count; i++) {
        free(c.signatures[i]);
    }
    bare_free(c.bare);
    shardy_reader_free(c.reader);
    bench_order_clear(&c.order);
    bench_table_clear(&c.table);
    transfer_remove("lookups");
}
