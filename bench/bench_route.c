/*
 * bench_route.c - a key column to shard ids, against a bare XXH3 loop over the same column.
 *
 * The peer only hashes and keeps an exclusive or: no modulo, no ids stored, no checks. It is the
 * limit, not an alternative, hence goals below 1. The shard count is that of the other programs;
 * the ratio with 1000 shards, where no power of two helps, is a further member.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route_case {
    struct bench_table table;
    struct ArrowSchema schema;
    struct ArrowArray column;
    shardy_router *router;
    uint32_t *ids;
    uint32_t shards;
    int passes;
    uint64_t sink;
};

static void open_router(struct route_case *c, uint32_t shards)
{
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;

    options.num_dbs = shards;
    options.key_encoding = c->table.keys != NULL ? SHARDY_KEY_U64BE : SHARDY_KEY_UTF8;
    shardy_router_free(c->router);
    c->router = NULL;
    c->shards = shards;
    bench_ok(shardy_router_new(&options, NULL, 0, &c->router, &err), &err, "shardy_router_new");
}

static void check_ids(const struct route_case *c)
{
    for (int64_t row = 0; row < c->table.rows; row++) {
        uint8_t buffer[8];
        size_t size = 0;
        const void *key = bench_table_key(&c->table, row, buffer, &size);
        uint64_t hash = c->table.keys != NULL ? bench_hash_u64(c->table.keys[row])
                                              : bench_hash_bytes(key, size);

        if (c->ids[row] != hash % c->shards) {
            bench_die("row %lld was routed to %u of %u", (long long)row, c->ids[row], c->shards);
        }
    }
}

static void run_ours(void *arg, struct bench_sample *sample)
{
    struct route_case *c = arg;
    shardy_error err = SHARDY_ERROR_INIT;

    bench_begin(sample);
    for (int pass = 0; pass < c->passes; pass++) {
        bench_ok(shardy_router_route_column(c->router, &c->schema, &c->column, c->ids, &err), &err,
                 "shardy_router_route_column");
    }
    bench_end(sample);
    check_ids(c);
    memset(c->ids, 0xFF, (size_t)c->table.rows * sizeof *c->ids);
}

static void run_bare(void *arg, struct bench_sample *sample)
{
    struct route_case *c = arg;
    const struct bench_table *table = &c->table;
    uint64_t sink = 0;

    bench_begin(sample);
    for (int pass = 0; pass < c->passes; pass++) {
        if (table->keys != NULL) {
            for (int64_t row = 0; row < table->rows; row++) {
                sink ^= XXH3_64bits(&table->keys[row], sizeof table->keys[row]);
            }
        } else {
            for (int64_t row = 0; row < table->rows; row++) {
                sink ^=
                    XXH3_64bits(table->key_data + table->key_offsets[row],
                                (size_t)(table->key_offsets[row + 1] - table->key_offsets[row]));
            }
        }
        /* An even number of equal passes would cancel out: turn the sum. */
        sink = (sink << 1) | (sink >> 63);
    }
    bench_end(sample);
    c->sink += sink;
}

static void route(struct route_case *c, const char *id)
{
    struct bench_pair pair;
    struct bench_pair thousand;
    uint64_t rows = (uint64_t)c->table.rows;
    double keys = (double)rows * c->passes;
    char extra[160];

    bench_note("%s", id);
    c->ids = bench_alloc((size_t)rows, sizeof *c->ids);
    bench_table_key_column(&c->table, &c->schema, &c->column);
    open_router(c, 1000);
    bench_compare(run_ours, run_bare, c, BENCH_REPS_SHORT, &thousand);
    open_router(c, BENCH_SHARDS);
    bench_compare(run_ours, run_bare, c, BENCH_REPS_SHORT, &pair);
    if (c->sink == 0) {
        bench_die("the bare loop hashed nothing");
    }
    (void)snprintf(extra, sizeof extra, "\"ratio_1000_shards\":%.3f,\"passes\":%d",
                   thousand.speedup, c->passes);
    bench_emit(&(struct bench_line){id, rows, keys / pair.ours_s / 1e6, keys / pair.peer_s / 1e6,
                                    "bare XXH3 loop", "Mkeys/s", pair.speedup, pair.rss_mb, 0.6,
                                    extra});
    c->column.release(&c->column);
    c->schema.release(&c->schema);
    shardy_router_free(c->router);
    free(c->ids);
    bench_table_clear(&c->table);
}

int main(int argc, char **argv)
{
    int64_t rows = (int64_t)bench_size(4000000, 1000000);
    int passes = 10;

    bench_start(argc, argv);
    if (bench_wanted("route/u64/xxh3")) {
        struct route_case c = {.passes = passes};

        bench_table_ints(&c.table, rows, 0, 1);
        route(&c, "route/u64/xxh3");
    }
    if (bench_wanted("route/strings/xxh3")) {
        struct route_case c = {.passes = passes};

        bench_table_texts(&c.table, rows, 0, 2);
        route(&c, "route/strings/xxh3");
    }
    return 0;
}
