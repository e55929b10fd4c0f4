/*
 * bench_scan.c - every row of a snapshot in key order, against SQLite.
 *
 * Ours merges the shards into one order; the peer reads `ORDER BY k` shard after shard, which is
 * less work. Both sides load every row. In further runs of the same process, which check the
 * content, both sides also digest every byte inside the timed part: `ratio_digest`.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan_case {
    shardy_snapshot *snapshot;
    char (*paths)[BENCH_PATH_MAX];
    uint32_t shards;
    uint64_t rows;
    uint64_t digest;
    bool digesting;
};

/* What a side saw. */
struct tally {
    uint64_t rows;
    uint64_t digest;
    uint64_t sink;
};

static inline void see(const struct scan_case *c, struct tally *tally, const void *key,
                       size_t key_size, const void *value, size_t value_size)
{
    tally->rows++;
    tally->sink += key_size + value_size + *(const uint8_t *)key + *(const uint8_t *)value;
    if (c->digesting) {
        tally->digest += XXH3_64bits_withSeed(value, value_size, XXH3_64bits(key, key_size));
    }
}

static void finish(const struct scan_case *c, const struct tally *tally, const char *name)
{
    if (tally->rows != c->rows || (c->digesting && tally->digest != c->digest)) {
        bench_die("%s read %llu rows, digest %016llx; expected %llu, %016llx", name,
                  (unsigned long long)tally->rows, (unsigned long long)tally->digest,
                  (unsigned long long)c->rows, (unsigned long long)c->digest);
    }
}

static void run_ours(void *arg, struct bench_sample *sample)
{
    struct scan_case *c = arg;
    struct tally tally = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_scan *scan = NULL;
    shardy_row rows[256];
    size_t count = 1;

    bench_begin(sample);
    bench_ok(shardy_snapshot_scan(c->snapshot, NULL, &scan, &err), &err, "shardy_snapshot_scan");
    while (count) {
        if (shardy_scan_rows(scan, rows, 256, &count, &err) != SHARDY_OK) {
            bench_die("shardy_scan_rows: %s", err.message);
        }
        for (size_t i = 0; i < count; i++) {
            const shardy_row *row = &rows[i];
            see(c, &tally, row->key, row->key_size, row->value, row->value_size);
        }
    }
    shardy_scan_free(scan);
    bench_end(sample);
    finish(c, &tally, "shardy_scan_rows");
}

static void run_sqlite(void *arg, struct bench_sample *sample)
{
    struct scan_case *c = arg;
    struct tally tally = {0};

    bench_begin(sample);
    for (uint32_t s = 0; s < c->shards; s++) {
        sqlite3 *db = bench_sqlite_open(c->paths[s]);
        sqlite3_stmt *stmt = bench_sqlite_prepare(db, "SELECT k, v FROM kv ORDER BY k");

        while (sqlite3_step(stmt) == SQLITE_ROW) {
            const void *key = sqlite3_column_blob(stmt, 0);
            size_t key_size = (size_t)sqlite3_column_bytes(stmt, 0);
            const void *value = sqlite3_column_blob(stmt, 1);

            see(c, &tally, key, key_size, value, (size_t)sqlite3_column_bytes(stmt, 1));
        }
        (void)sqlite3_finalize(stmt);
        (void)sqlite3_close(db);
    }
    bench_end(sample);
    finish(c, &tally, "SQLite");
}

/* The merged scan must be strictly ascending; not timed. */
static void check_order(struct scan_case *c)
{
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_scan *scan = NULL;
    shardy_row row = {0};
    bool found = true;
    uint8_t last[8] = {0};
    uint64_t rows = 0;

    bench_ok(shardy_snapshot_scan(c->snapshot, NULL, &scan, &err), &err, "shardy_snapshot_scan");
    for (;;) {
        bench_ok(shardy_scan_next(scan, &row, &found, &err), &err, "shardy_scan_next");
        if (!found) {
            break;
        }
        if (row.key_size != sizeof last || (rows > 0 && memcmp(last, row.key, sizeof last) >= 0)) {
            bench_die("scan: row %llu is out of order", (unsigned long long)rows);
        }
        memcpy(last, row.key, sizeof last);
        rows++;
    }
    shardy_scan_free(scan);
}

int main(int argc, char **argv)
{
    const char *id = "scan/all";
    struct scan_case c = {.rows = bench_size(4000000, 500000)};
    struct bench_table table;
    struct bench_pair plain;
    struct bench_pair digested;
    shardy_error err = SHARDY_ERROR_INIT;
    char dir[BENCH_PATH_MAX];
    char extra[64];
    struct bench_build build = {dir, 1, 0};

    bench_start(argc, argv);
    if (!bench_wanted(id)) {
        return 0;
    }
    bench_dir_memory(dir, bench_size(UINT64_C(2) << 30, UINT64_C(1) << 29));
    bench_table_ints(&table, (int64_t)c.rows, 100, 4);
    (void)bench_snapshot_build(&table, &build, NULL);
    c.digest = table.digest;
    bench_table_clear(&table);
    c.shards = bench_snapshot_files(dir, &c.paths);
    shardy_reader *reader = bench_snapshot_open(dir);
    bench_ok(shardy_reader_snapshot(reader, &c.snapshot, &err), &err, "shardy_reader_snapshot");
    check_order(&c);
    c.digesting = true;
    bench_note("%s, with digests", id);
    bench_compare(run_ours, run_sqlite, &c, BENCH_REPS_SHORT, &digested);
    c.digesting = false;
    bench_note("%s", id);
    bench_compare(run_ours, run_sqlite, &c, BENCH_REPS_SHORT, &plain);
    (void)snprintf(extra, sizeof extra, "\"ratio_digest\":%.3f", digested.speedup);
    bench_emit_rate(id, c.rows, &plain, "SQLite SELECT ORDER BY k, shard after shard", 3, extra);
    shardy_snapshot_release(c.snapshot);
    shardy_reader_free(reader);
    free(c.paths);
    return 0;
}
