/*
 * bench_get.c - warm lookups of uniformly random keys, 5 % of them absent, against SQLite.
 *
 * Both sides read the same files: the shards that our writer made. The peer has one prepared
 * statement a shard on an immutable, mapped file inside a read transaction, and routes with a bare
 * XXH3. Both sides load the first bytes of every value they find.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 2

struct get_case {
    shardy_reader *reader;
    sqlite3 *dbs[BENCH_SHARDS];
    sqlite3_stmt *stmts[BENCH_SHARDS];
    uint32_t shards;
    shardy_key *keys; /* to look up, in order */
    size_t count;
    size_t batch;
    uint64_t found;  /* expected */
    uint64_t digest; /* expected, over the keys found */
};

/* What a side saw; `digest` only when `check`. */
struct tally {
    bool check;
    uint64_t found;
    uint64_t digest;
    uint64_t sink;
};

static void see(struct tally *tally, const shardy_key *key, const void *data, size_t size)
{
    uint64_t word = 0;

    if (data == NULL) {
        return;
    }
    memcpy(&word, data, size < sizeof word ? size : sizeof word);
    tally->sink += word;
    tally->found++;
    if (tally->check) {
        uint64_t big = __builtin_bswap64(key->number);

        tally->digest += bench_row_digest(&big, sizeof big, data, size);
    }
}

/* ---- sides: lookups first .. last - 1 ------------------------------------------------------- */

static void get_singly(struct get_case *c, size_t first, size_t last, struct tally *tally)
{
    shardy_error err = SHARDY_ERROR_INIT;

    for (size_t i = first; i < last; i++) {
        shardy_value value = SHARDY_VALUE_INIT;

        if (shardy_reader_get(c->reader, &c->keys[i], &value, &err) != SHARDY_OK) {
            bench_die("shardy_reader_get: %s", err.message);
        }
        see(tally, &c->keys[i], value.data, value.size);
        shardy_value_clear(&value);
    }
}

static void get_batches(struct get_case *c, size_t first, size_t last, struct tally *tally)
{
    shardy_error err = SHARDY_ERROR_INIT;

    for (size_t i = first; i < last; i += c->batch) {
        size_t count = last - i < c->batch ? last - i : c->batch;
        shardy_items items = SHARDY_ITEMS_INIT;

        if (shardy_reader_multi_get(c->reader, &c->keys[i], count, &items, &err) != SHARDY_OK) {
            bench_die("shardy_reader_multi_get: %s", err.message);
        }
        if (items.count != count) {
            bench_die("shardy_reader_multi_get: %zu results for %zu keys", items.count, count);
        }
        for (size_t j = 0; j < count; j++) {
            see(tally, &c->keys[i + j], items.items[j].data, items.items[j].size);
        }
        shardy_items_clear(&items);
    }
}

static void get_sqlite(struct get_case *c, size_t first, size_t last, struct tally *tally)
{
    for (size_t i = first; i < last; i++) {
        uint64_t number = c->keys[i].number;
        uint64_t big = __builtin_bswap64(number);
        sqlite3_stmt *stmt = c->stmts[XXH3_64bits(&number, sizeof number) % c->shards];

        (void)sqlite3_bind_blob(stmt, 1, &big, sizeof big, SQLITE_STATIC);
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            const void *data = sqlite3_column_blob(stmt, 0);

            see(tally, &c->keys[i], data, (size_t)sqlite3_column_bytes(stmt, 0));
        } else if (rc != SQLITE_DONE) {
            bench_die("sqlite: %s", sqlite3_errstr(rc));
        }
        (void)sqlite3_reset(stmt);
    }
}

/* ---- runs --------------------------------------------------------------------------------- */

typedef void (*get_range)(struct get_case *, size_t, size_t, struct tally *);

static void run(struct get_case *c, get_range range, struct bench_sample *sample)
{
    struct tally tally = {0};

    bench_begin(sample);
    range(c, 0, c->count, &tally);
    bench_end(sample);
    if (tally.found != c->found || tally.sink == 0) {
        bench_die("found %llu keys, expected %llu", (unsigned long long)tally.found,
                  (unsigned long long)c->found);
    }
}

static void run_singly(void *arg, struct bench_sample *sample)
{
    run(arg, get_singly, sample);
}

static void run_batches(void *arg, struct bench_sample *sample)
{
    run(arg, get_batches, sample);
}

static void run_sqlite(void *arg, struct bench_sample *sample)
{
    run(arg, get_sqlite, sample);
}

struct part {
    struct get_case *c;
    size_t first;
    size_t last;
    struct tally tally;
};

static void *part_main(void *arg)
{
    struct part *part = arg;

    get_singly(part->c, part->first, part->last, &part->tally);
    return NULL;
}

static void run_threads(void *arg, struct bench_sample *sample)
{
    struct get_case *c = arg;
    struct part parts[THREADS_MAX] = {0};
    pthread_t threads[THREADS_MAX];
    uint64_t found = 0;

    bench_begin(sample);
    for (size_t t = 0; t < THREADS_MAX; t++) {
        parts[t].c = c;
        parts[t].first = c->count * t / THREADS_MAX;
        parts[t].last = c->count * (t + 1) / THREADS_MAX;
        if (pthread_create(&threads[t], NULL, part_main, &parts[t]) != 0) {
            bench_die("pthread_create failed");
        }
    }
    for (size_t t = 0; t < THREADS_MAX; t++) {
        (void)pthread_join(threads[t], NULL);
        found += parts[t].tally.found;
    }
    bench_end(sample);
    if (found != c->found) {
        bench_die("two threads found %llu keys, expected %llu", (unsigned long long)found,
                  (unsigned long long)c->found);
    }
}

/* Count and digest of everything a side returns; also warms it. */
static void check(struct get_case *c, get_range range, const char *name)
{
    struct tally tally = {.check = true};

    range(c, 0, c->count, &tally);
    if (tally.found != c->found || tally.digest != c->digest) {
        bench_die("%s found %llu keys, digest %016llx; expected %llu, %016llx", name,
                  (unsigned long long)tally.found, (unsigned long long)tally.digest,
                  (unsigned long long)c->found, (unsigned long long)c->digest);
    }
}

/* Random existing keys; every 20th or so is one that the table does not have. */
static void choose_keys(struct get_case *c, const struct bench_table *table, size_t count)
{
    uint64_t state = 77;

    c->count = count;
    c->keys = bench_alloc(count, sizeof *c->keys);
    for (size_t i = 0; i < count; i++) {
        uint64_t row = bench_random(&state) % (uint64_t)table->rows;

        if (bench_random(&state) % 20 == 0) {
            c->keys[i] = shardy_key_uint(bench_mix63((uint64_t)table->rows + row));
            continue;
        }
        uint8_t buffer[8];
        size_t key_size = 0;
        size_t value_size = 0;
        const void *key = bench_table_key(table, (int64_t)row, buffer, &key_size);
        const void *value = bench_table_value(table, (int64_t)row, &value_size);

        c->keys[i] = shardy_key_uint(table->keys[row]);
        c->found++;
        c->digest += bench_row_digest(key, key_size, value, value_size);
    }
}

static void open_peer(struct get_case *c, const char *dir)
{
    char(*paths)[BENCH_PATH_MAX] = NULL;

    c->shards = bench_snapshot_files(dir, &paths);
    if (c->shards != BENCH_SHARDS) {
        bench_die("%u shards, expected %u", c->shards, BENCH_SHARDS);
    }
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        c->dbs[s] = bench_sqlite_open(paths[s]);
        c->stmts[s] = bench_sqlite_prepare(c->dbs[s], "SELECT v FROM kv WHERE k = ?1");
    }
    free(paths);
}

static void close_all(struct get_case *c)
{
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        (void)sqlite3_finalize(c->stmts[s]);
        (void)sqlite3_close(c->dbs[s]);
    }
    shardy_reader_free(c->reader);
    free(c->keys);
}

static void measure(struct get_case *c, const char *id, uint64_t rows, bench_side ours,
                    bench_side peer, const char *peer_name, double goal)
{
    struct bench_pair pair;

    if (!bench_wanted(id)) {
        return;
    }
    bench_note("%s", id);
    bench_compare(ours, peer, c, BENCH_REPS_SHORT, &pair);
    bench_emit_ns(id, rows, c->count, &pair, peer_name, goal, NULL);
}

int main(int argc, char **argv)
{
    const char *sqlite = "SQLite prepared SELECT, immutable, mmap, open transaction";
    uint64_t rows = bench_size(4000000, 500000);
    struct bench_table table;
    struct get_case c = {0};
    char dir[BENCH_PATH_MAX];
    struct bench_build build = {dir, 1, 0};

    bench_start(argc, argv);
    if (!bench_wanted("get/one/sqlite") && !bench_wanted("get/batch64/sqlite") &&
        !bench_wanted("get/batch10k/sqlite") && !bench_wanted("get/threads2")) {
        return 0;
    }
    bench_dir_memory(dir, bench_size(UINT64_C(2) << 30, UINT64_C(1) << 29));
    bench_table_ints(&table, (int64_t)rows, 100, 4);
    (void)bench_snapshot_build(&table, &build, NULL);
    choose_keys(&c, &table, bench_size(1000000, 200000));
    bench_table_clear(&table);
    open_peer(&c, dir);
    c.reader = bench_snapshot_open(dir);
    check(&c, get_sqlite, "SQLite");
    check(&c, get_singly, "shardy_reader_get");
    measure(&c, "get/one/sqlite", rows, run_singly, run_sqlite, sqlite, 3.5);
    c.batch = 64;
    check(&c, get_batches, "shardy_reader_multi_get of 64");
    measure(&c, "get/batch64/sqlite", rows, run_batches, run_sqlite, sqlite, 8);
    c.batch = 10000;
    check(&c, get_batches, "shardy_reader_multi_get of 10000");
    measure(&c, "get/batch10k/sqlite", rows, run_batches, run_sqlite, sqlite, 8);
    measure(&c, "get/threads2", rows, run_threads, run_singly, "ours, 1 thread", 1.8);
    close_all(&c);
    return 0;
}
