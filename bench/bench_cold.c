/*
 * bench_cold.c - reading snapshots over a network with 20 ms a request: an S3 server (versitygw)
 * behind the fault proxy, which injects the latency and counts requests, bytes and dependent
 * rounds.
 *
 * There is no peer that reads these files over S3 and could run here. The peer column quotes what
 * the original implementation needed for the same step on the same kind of machine (anchors A0), so
 * the ratio compares two machines' runs; the goals are the round trips, requests and milliseconds.
 */
#include "bench.h"
#include "bench_remote.h"

#include <shardyfusion/reader.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATENCY_MS 20
#define REPS       7
#define KEYS       100

/* What a step has to stay within; 0 = no goal. */
struct budget {
    const char *id;
    double original_ms; /* quoted */
    uint64_t ms;
    uint64_t rounds;
    uint64_t requests;
    uint64_t bytes;
};

/* Medians of several runs; counts are those of the worst run. */
struct outcome {
    double ms[REPS];
    int reps;
    double setup_ms[REPS]; /* the same step with connections to be made first; reps may be fewer */
    int setup_reps;
    uint64_t rounds;
    uint64_t requests;
    uint64_t bytes;
    uint64_t connections;
};

struct snapshot {
    char url[BENCH_PATH_MAX];
    struct bench_table table;
    uint32_t shards;
};

static struct remote world;

/* ---- measuring ------------------------------------------------------------------------------ */

static double s_started;

static void begin(void)
{
    proxy_reset(world.proxy);
    s_started = bench_now();
}

/* Of a step that also made connections: only its time counts, and apart. */
static void end_with_setup(struct outcome *outcome)
{
    outcome->setup_ms[outcome->setup_reps++] = (bench_now() - s_started) * 1e3;
}

static void end(struct outcome *outcome)
{
    struct proxy_stats stats;
    double ms = (bench_now() - s_started) * 1e3;

    proxy_read_stats(world.proxy, &stats);
    outcome->ms[outcome->reps++] = ms;
    outcome->rounds = stats.rounds > outcome->rounds ? stats.rounds : outcome->rounds;
    outcome->requests = stats.requests > outcome->requests ? stats.requests : outcome->requests;
    outcome->bytes = stats.response_bytes > outcome->bytes ? stats.response_bytes : outcome->bytes;
    outcome->connections = stats.connections;
}

static void report(const struct budget *budget, struct outcome *outcome, uint64_t rows)
{
    double ms = bench_median(outcome->ms, outcome->reps);
    char extra[400];
    int n = snprintf(extra, sizeof extra,
                     "\"ms\":%.2f,\"requests\":%llu,\"rounds\":%llu,\"bytes\":%llu,"
                     "\"connections\":%llu",
                     ms, (unsigned long long)outcome->requests, (unsigned long long)outcome->rounds,
                     (unsigned long long)outcome->bytes, (unsigned long long)outcome->connections);
    const struct {
        const char *name;
        uint64_t value;
    } goals[] = {{"goal_ms", budget->ms},
                 {"goal_rounds", budget->rounds},
                 {"goal_requests", budget->requests},
                 {"goal_bytes", budget->bytes}};

    if (outcome->setup_reps > 0) {
        n += snprintf(extra + n, sizeof extra - (size_t)n, ",\"ms_with_setup\":%.2f",
                      bench_median(outcome->setup_ms, outcome->setup_reps));
    }
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++) {
        if (goals[i].value > 0) {
            n += snprintf(extra + n, sizeof extra - (size_t)n, ",\"%s\":%llu", goals[i].name,
                          (unsigned long long)goals[i].value);
        }
    }
    const struct bench_line line = {
        .id = budget->id,
        .rows = rows,
        .ours = ms,
        .peer = budget->original_ms,
        .peer_name = "the original at 20 ms, quoted from anchors A0",
        .unit = "ms",
        .ratio = budget->original_ms / ms,
        .extra = extra,
    };
    bench_emit(&line);
}

/* ---- readers -------------------------------------------------------------------------------- */

static shardy_reader *open_reader(const char *url)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader *reader = NULL;

    options.url = url;
    options.access = SHARDY_ACCESS_RANGE;
    options.page_cache_bytes = UINT64_C(1) << 30;
    bench_ok(shardy_reader_open(&options, &reader, &err), &err, "shardy_reader_open");
    return reader;
}

static void check_value(const struct snapshot *s, int64_t row, const void *data, size_t size)
{
    size_t expected_size;
    const void *expected = bench_table_value(&s->table, row, &expected_size);

    if (data == NULL || size != expected_size || memcmp(data, expected, size) != 0) {
        bench_die("row %lld: wrong value of %zu bytes", (long long)row, size);
    }
}

static void get(shardy_reader *reader, const struct snapshot *s, int64_t row)
{
    shardy_key key = shardy_key_uint(s->table.keys[row]);
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_error err = SHARDY_ERROR_INIT;

    bench_ok(shardy_reader_get(reader, &key, &value, &err), &err, "shardy_reader_get");
    check_value(s, row, value.data, value.size);
    shardy_value_clear(&value);
}

/* Shard of a row. */
static uint32_t shard_of(const struct snapshot *s, int64_t row)
{
    return (uint32_t)(bench_hash_u64(s->table.keys[row]) % s->shards);
}

/* The n-th row of a shard, counted from a place that depends on `seed`. */
static int64_t row_of(const struct snapshot *s, uint32_t shard, uint64_t seed)
{
    int64_t row = (int64_t)(bench_random(&seed) % (uint64_t)s->table.rows);

    while (shard_of(s, row) != shard) {
        row = (row + 1) % s->table.rows;
    }
    return row;
}

static void touch_all(shardy_reader *reader, const struct snapshot *s)
{
    for (uint32_t shard = 0; shard < s->shards; shard++) {
        get(reader, s, row_of(s, shard, 1000 + shard));
    }
}

/* As if TCP and TLS took two round trips a connection; loopback does both in no time. */
static void set_setup(unsigned round_trips)
{
    proxy_set(world.proxy, "setup-ms=%u", round_trips * LATENCY_MS);
}

/* ---- single keys ------------------------------------------------------------------------------
 */

static void run_first(const struct snapshot *s)
{
    static const struct budget budget = {"cold/first", 694 + 72, 110, 4, 0, 0};
    struct outcome outcome = {0};

    for (uint64_t i = 0; i < 2 * (uint64_t)REPS; i++) {
        bool with_setup = i % 2 == 1;

        set_setup(with_setup ? 2 : 0);
        begin();
        shardy_reader *reader = open_reader(s->url);
        get(reader, s, row_of(s, (uint32_t)(i % s->shards), i));
        if (with_setup) {
            end_with_setup(&outcome);
        } else {
            end(&outcome);
        }
        shardy_reader_free(reader);
    }
    set_setup(0);
    report(&budget, &outcome, (uint64_t)s->table.rows);
}

static void run_shard_and_key(const struct snapshot *s)
{
    static const struct budget shard_budget = {"cold/shard", 694.0 / 8 + 72, 0, 2, 0, 0};
    static const struct budget key_budget = {"cold/key", 53.6, 0, 1, 0, 0};
    struct outcome shard = {0};
    struct outcome key = {0};

    for (uint64_t i = 0; i < REPS; i++) {
        shardy_reader *reader = open_reader(s->url);
        get(reader, s, row_of(s, 0, i));
        begin();
        get(reader, s, row_of(s, 1, i));
        end(&shard);
        begin();
        get(reader, s, row_of(s, 1, i + 77));
        end(&key);
        shardy_reader_free(reader);
    }
    report(&shard_budget, &shard, (uint64_t)s->table.rows);
    report(&key_budget, &key, (uint64_t)s->table.rows);
}

static void run_overflow(const struct snapshot *s)
{
    static const struct budget budget = {"cold/overflow", 1010, 0, 2, 0, 0};
    struct outcome outcome = {0};

    for (uint64_t i = 0; i < REPS; i++) {
        shardy_reader *reader = open_reader(s->url);
        get(reader, s, row_of(s, 0, i));
        begin();
        get(reader, s, row_of(s, 0, i + 77));
        end(&outcome);
        shardy_reader_free(reader);
    }
    report(&budget, &outcome, (uint64_t)s->table.rows);
}

/* ---- many keys ------------------------------------------------------------------------------ */

/* One multi-get of random keys, between begin() and an end. */
static void multi_get(shardy_reader *reader, const struct snapshot *s, uint64_t *seed,
                      void (*stop)(struct outcome *), struct outcome *outcome)
{
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key keys[KEYS];
    int64_t rows[KEYS];

    for (size_t k = 0; k < KEYS; k++) {
        rows[k] = (int64_t)(bench_random(seed) % (uint64_t)s->table.rows);
        keys[k] = shardy_key_uint(s->table.keys[rows[k]]);
    }
    begin();
    bench_ok(shardy_reader_multi_get(reader, keys, KEYS, &items, &err), &err,
             "shardy_reader_multi_get");
    stop(outcome);
    for (size_t k = 0; k < KEYS; k++) {
        check_value(s, rows[k], items.items[k].data, items.items[k].size);
    }
    shardy_items_clear(&items);
}

/* Shards are known. The first call makes the connections that the second one uses. */
static void run_multi(const struct snapshot *s, const struct budget *budget)
{
    struct outcome outcome = {0};
    uint64_t seed = 99;

    for (int i = 0; i < REPS; i++) {
        shardy_reader *reader = open_reader(s->url);

        touch_all(reader, s);
        set_setup(2);
        multi_get(reader, s, &seed, end_with_setup, &outcome);
        set_setup(0);
        multi_get(reader, s, &seed, end, &outcome);
        shardy_reader_free(reader);
    }
    report(budget, &outcome, (uint64_t)s->table.rows);
}

/* ---- refresh -------------------------------------------------------------------------------- */

static void refresh(shardy_reader *reader, bool expected)
{
    shardy_error err = SHARDY_ERROR_INIT;
    bool changed = !expected;

    bench_ok(shardy_reader_refresh(reader, &changed, &err), &err, "shardy_reader_refresh");
    if (changed != expected) {
        bench_die("refresh: the snapshot has %schanged", changed ? "" : "not ");
    }
}

static void run_same(const struct snapshot *s)
{
    static const struct budget budget = {"refresh/same", 694, 0, 1, 1, 1000};
    struct outcome outcome = {0};
    shardy_reader *reader = open_reader(s->url);

    get(reader, s, 0);
    for (int i = 0; i < REPS; i++) {
        begin();
        refresh(reader, false);
        end(&outcome);
    }
    shardy_reader_free(reader);
    report(&budget, &outcome, (uint64_t)s->table.rows);
}

/* One row of each shard below `count` that has any; with few rows a shard, some have none. */
static uint32_t rows_of_shards(const struct snapshot *s, int64_t *rows, uint32_t count)
{
    bool *seen = bench_alloc(count, sizeof *seen);
    uint32_t found = 0;

    for (int64_t row = 0; row < s->table.rows; row++) {
        uint32_t shard = shard_of(s, row);

        if (shard < count && !seen[shard]) {
            seen[shard] = true;
            rows[found++] = row;
        }
    }
    free(seen);
    return found;
}

/* Rows of 500 shards: held before, read again after 1 % of all shards changed. */
static void run_changed(const struct snapshot *s)
{
    enum { HELD = 500 };
    struct outcome outcome = {0};
    shardy_reader *reader = open_reader(s->url);
    int64_t rows[HELD];
    uint32_t held = rows_of_shards(s, rows, HELD);
    struct proxy_record *records;
    uint64_t changed = 0;

    for (uint32_t i = 0; i < held; i++) {
        get(reader, s, rows[i]);
        changed += shard_of(s, rows[i]) % 100 == REMOTE_CHANGED;
    }
    remote_change_shards(&world, s->url);
    begin();
    refresh(reader, true);
    for (uint32_t i = 0; i < held; i++) {
        get(reader, s, rows[i]);
    }
    end(&outcome);
    size_t count = proxy_read_log(world.proxy, &records);
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(records[i].target, "db=");

        if (at != NULL && strtoul(at + 3, NULL, 10) % 100 != REMOTE_CHANGED) {
            bench_die("refresh/changed: a request for an unchanged shard: %s", records[i].target);
        }
    }
    free(records);
    shardy_reader_free(reader);
    /* Pointer, manifest, and at most two requests for every changed shard that was asked for. */
    const struct budget budget = {"refresh/changed", 694, 0, 0, 2 + 3 * changed, 0};
    report(&budget, &outcome, s->shards);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void make(struct snapshot *s, const char *name, int64_t rows, size_t value_size,
                 uint32_t shards, bool foreign)
{
    bench_note("%s: %lld rows of %zu bytes in %u shards", name, (long long)rows, value_size,
               shards);
    s->shards = shards;
    (void)snprintf(s->url, sizeof s->url, "s3://" S3_SERVER_BUCKET "/%s", name);
    bench_table_ints(&s->table, rows, value_size, 11);
    if (foreign) {
        remote_build_foreign(&world, s->url, &s->table, shards);
    } else {
        remote_build(&world, s->url, &s->table, shards);
    }
}

static void single_keys(void)
{
    struct snapshot small;

    if (bench_wanted("cold/first") || bench_wanted("cold/shard") || bench_wanted("cold/key") ||
        bench_wanted("refresh/same")) {
        make(&small, "first", (int64_t)bench_size(4 * 143000, 4 * 40000), 100, 4, false);
        remote_latency(&world, LATENCY_MS);
        if (bench_wanted("cold/first")) {
            run_first(&small);
        }
        if (bench_wanted("cold/shard") || bench_wanted("cold/key")) {
            run_shard_and_key(&small);
        }
        if (bench_wanted("refresh/same")) {
            run_same(&small);
        }
        bench_table_clear(&small.table);
    }
}

static void many_keys(bool foreign)
{
    const struct budget inline_values = {
        foreign ? "cold/multi100-foreign" : "cold/multi100", 4200, foreign ? 80 : 60, 0, 101, 0};
    const struct budget overflow_values = {
        foreign ? "cold/multi100-20k-foreign" : "cold/multi100-20k",
        64900,
        foreign ? 150 : 110,
        0,
        210,
        0};
    struct snapshot s;

    if (bench_wanted(inline_values.id)) {
        make(&s, foreign ? "rows-foreign" : "rows", (int64_t)bench_size(8 * 200000, 8 * 25000), 100,
             8, foreign);
        remote_latency(&world, LATENCY_MS);
        run_multi(&s, &inline_values);
        bench_table_clear(&s.table);
    }
    if (bench_wanted(overflow_values.id) || (!foreign && bench_wanted("cold/overflow"))) {
        make(&s, foreign ? "large-foreign" : "large", (int64_t)bench_size(4 * 4000, 4 * 1000),
             20000, 4, foreign);
        remote_latency(&world, LATENCY_MS);
        if (bench_wanted(overflow_values.id)) {
            run_multi(&s, &overflow_values);
        }
        if (!foreign && bench_wanted("cold/overflow")) {
            run_overflow(&s);
        }
        bench_table_clear(&s.table);
    }
}

static void changed_shards(void)
{
    struct snapshot s;

    if (bench_wanted("refresh/changed")) {
        uint32_t shards = (uint32_t)bench_size(10000, 1000);

        make(&s, "many", (int64_t)shards * 4, 20, shards, false);
        remote_latency(&world, LATENCY_MS);
        run_changed(&s);
        bench_table_clear(&s.table);
    }
}

int main(int argc, char **argv)
{
    bench_start(argc, argv);
    if (!remote_start(&world)) {
        return 0;
    }
    single_keys();
    many_keys(false);
    many_keys(true);
    changed_shards();
    remote_stop(&world);
    return 0;
}
