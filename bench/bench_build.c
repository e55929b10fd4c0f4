/*
 * bench_build.c - building snapshots from columns in memory, against SQLite, RocksDB and write().
 *
 * Cases build/k4/..., build/strings/..., build/20k/...: see bench/README.md. The peers get the
 * routing (row numbers shard by shard) and, where the case says sorted, the order for nothing.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rocksdb/c.h>

/* What a case needs; one at a time. */
struct build_case {
    struct bench_table table;
    struct bench_order order;
    char dir[BENCH_PATH_MAX];
    uint32_t threads;
    uint32_t page_size;
    uint64_t bytes_written;
    bool peer_checked;
};

/* ---- sides -------------------------------------------------------------------------------- */

static void build_ours(struct build_case *c, uint32_t threads, struct bench_sample *sample)
{
    char dir[BENCH_PATH_MAX];
    struct bench_build build = {dir, threads, c->page_size};

    bench_dir_sub(dir, c->dir, "ours");
    c->bytes_written = bench_snapshot_build(&c->table, &build, sample);
    bench_snapshot_check(dir, (uint64_t)c->table.rows, c->table.digest);
    bench_dir_remove(dir);
}

static void run_ours(void *arg, struct bench_sample *sample)
{
    struct build_case *c = arg;

    build_ours(c, c->threads, sample);
}

static void run_ours_single(void *arg, struct bench_sample *sample)
{
    build_ours(arg, 1, sample);
}

/* Read the peer's files back. */
static void check_sqlite(const struct build_case *c, const char *dir)
{
    uint64_t rows = 0;
    uint64_t digest = 0;

    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        char path[BENCH_PATH_MAX];
        char name[32];

        (void)snprintf(name, sizeof name, "shard%u.db", s);
        bench_path(path, dir, name);
        bench_sqlite_check(path, s == 0, &rows, &digest);
    }
    if (rows != (uint64_t)c->table.rows || digest != c->table.digest) {
        bench_die("the SQLite peer wrote other rows");
    }
}

/* Rows in the order of the input, all files open at once. */
static void run_sqlite_unsorted(void *arg, struct bench_sample *sample)
{
    struct build_case *c = arg;
    char dir[BENCH_PATH_MAX];

    bench_dir_sub(dir, c->dir, "sqlite");
    bench_begin(sample);
    bench_sqlite_build_streaming(dir, &c->table, c->order.shards);
    bench_end(sample);
    check_sqlite(c, dir);
    bench_dir_remove(dir);
}

/* Shard after shard, in the order of c->order. */
static void run_sqlite_by_shard(void *arg, struct bench_sample *sample)
{
    struct build_case *c = arg;
    char dir[BENCH_PATH_MAX];

    bench_dir_sub(dir, c->dir, "sqlite");
    bench_begin(sample);
    bench_sqlite_build(dir, &c->table, &c->order);
    bench_end(sample);
    check_sqlite(c, dir);
    bench_dir_remove(dir);
}

static void rocks_ok(char *error, const char *what)
{
    if (error != NULL) {
        bench_die("rocksdb: %s: %s", what, error);
    }
}

static void sst_path(char path[BENCH_PATH_MAX], const char *dir, uint32_t shard)
{
    char name[32];

    (void)snprintf(name, sizeof name, "shard%u.sst", shard);
    bench_path(path, dir, name);
}

static void rocks_build(const struct build_case *c, const char *dir)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    char *error = NULL;

    rocksdb_options_set_compression(options, rocksdb_no_compression);
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, options);
        char path[BENCH_PATH_MAX];

        sst_path(path, dir, s);
        rocksdb_sstfilewriter_open(writer, path, &error);
        rocks_ok(error, path);
        for (int64_t i = c->order.first[s]; i < c->order.first[s + 1]; i++) {
            uint8_t buffer[8];
            size_t key_size = 0;
            size_t value_size = 0;
            const char *key = bench_table_key(&c->table, c->order.rows[i], buffer, &key_size);
            const char *value = bench_table_value(&c->table, c->order.rows[i], &value_size);

            rocksdb_sstfilewriter_put(writer, key, key_size, value, value_size, &error);
            rocks_ok(error, "put");
        }
        rocksdb_sstfilewriter_finish(writer, &error);
        rocks_ok(error, "finish");
        rocksdb_sstfilewriter_destroy(writer);
    }
    rocksdb_envoptions_destroy(env);
    rocksdb_options_destroy(options);
}

/* Ingest the SST files into a database of their own and read every row back. */
static void rocks_check(const struct build_case *c, const char *dir)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_ingestexternalfileoptions_t *ingest = rocksdb_ingestexternalfileoptions_create();
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    uint64_t rows = 0;
    uint64_t digest = 0;
    char *error = NULL;
    char db_path[BENCH_PATH_MAX];

    bench_path(db_path, dir, "db");
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_ingestexternalfileoptions_set_move_files(ingest, 1);
    rocksdb_t *db = rocksdb_open(options, db_path, &error);
    rocks_ok(error, db_path);
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        char path[BENCH_PATH_MAX];
        const char *list[1] = {path};

        sst_path(path, dir, s);
        rocksdb_ingest_external_file(db, list, 1, ingest, &error);
        rocks_ok(error, path);
    }
    rocksdb_iterator_t *it = rocksdb_create_iterator(db, read);
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t key_size = 0;
        size_t value_size = 0;
        const char *key = rocksdb_iter_key(it, &key_size);
        const char *value = rocksdb_iter_value(it, &value_size);

        digest += bench_row_digest(key, key_size, value, value_size);
        rows++;
    }
    rocksdb_iter_destroy(it);
    rocksdb_close(db);
    rocksdb_readoptions_destroy(read);
    rocksdb_ingestexternalfileoptions_destroy(ingest);
    rocksdb_options_destroy(options);
    if (rows != (uint64_t)c->table.rows || digest != c->table.digest) {
        bench_die("the RocksDB peer wrote other rows");
    }
}

static void run_rocksdb(void *arg, struct bench_sample *sample)
{
    struct build_case *c = arg;
    char dir[BENCH_PATH_MAX];

    bench_dir_sub(dir, c->dir, "rocksdb");
    bench_begin(sample);
    rocks_build(c, dir);
    bench_end(sample);
    if (!c->peer_checked) {
        rocks_check(c, dir);
        c->peer_checked = true;
    }
    bench_dir_remove(dir);
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);

        if (done <= 0) {
            bench_die("write: %s", strerror(errno));
        }
        data += done;
        size -= (size_t)done;
    }
}

/* The values in input order, one write() each, to one file. */
static void run_write(void *arg, struct bench_sample *sample)
{
    struct build_case *c = arg;
    char dir[BENCH_PATH_MAX];
    char path[BENCH_PATH_MAX];

    bench_dir_sub(dir, c->dir, "raw");
    bench_path(path, dir, "values");
    bench_begin(sample);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    for (int64_t row = 0; row < c->table.rows; row++) {
        size_t size = 0;
        const char *value = bench_table_value(&c->table, row, &size);

        write_all(fd, value, size);
    }
    (void)close(fd);
    bench_end(sample);
    bench_dir_remove(dir);
}

/* ---- cases -------------------------------------------------------------------------------- */

/* One comparison on the case's table, and its line; `more` = further members, or "". */
static void measure(struct build_case *c, const char *id, bench_side ours, bench_side peer,
                    const char *peer_name, double goal, int reps, const char *more)
{
    struct bench_pair pair;
    char extra[256];
    double rows = (double)c->table.rows;

    bench_note("%s", id);
    bench_compare(ours, peer, c, reps, &pair);
    (void)snprintf(extra, sizeof extra, "\"b_per_row\":%.2f,\"mb_per_s\":%.1f%s%s",
                   (double)c->bytes_written / rows, (double)c->table.bytes / pair.ours_s / 1e6,
                   strncmp(id, "build/k4/", 9) == 0 ? ",\"goal_b_per_row\":118" : "", more);
    bench_emit_rate(id, (uint64_t)c->table.rows, &pair, peer_name, goal, extra);
}

/* Unsorted rows; one more pair against a peer whose rows are partitioned by shard beforehand. */
static void measure_unsorted(struct build_case *c, const char *id, double goal)
{
    struct bench_pair by_shard;
    char more[64];

    bench_order_fill(&c->order, &c->table, false);
    bench_note("%s, peer shard after shard", id);
    bench_compare(run_ours, run_sqlite_by_shard, c, 1, &by_shard);
    (void)snprintf(more, sizeof more, ",\"ratio_peer_by_shard\":%.3f", by_shard.speedup);
    measure(c, id, run_ours, run_sqlite_unsorted, "SQLite INSERT, unsorted rows", goal,
            BENCH_REPS_LONG, more);
    bench_order_clear(&c->order);
}

static void k4_cases(const char *dir)
{
    const char *unsorted = "build/k4/sqlite-unsorted";
    const char *sorted = "build/k4/sqlite-sorted";
    const char *sst = "build/k4/rocksdb-sst";
    const char *threads = "build/k4/threads2";
    struct build_case c = {.threads = 1};

    if (!bench_wanted(unsorted) && !bench_wanted(sorted) && !bench_wanted(sst) &&
        !bench_wanted(threads)) {
        return;
    }
    memcpy(c.dir, dir, sizeof c.dir);
    bench_table_ints(&c.table, (int64_t)bench_size(4000000, 500000), 100, 4);
    if (bench_wanted(unsorted)) {
        measure_unsorted(&c, unsorted, 25);
    }
    bench_order_fill(&c.order, &c.table, true);
    if (bench_wanted(sorted)) {
        measure(&c, sorted, run_ours, run_sqlite_by_shard, "SQLite INSERT, rows sorted beforehand",
                6, BENCH_REPS_LONG, "");
    }
    if (bench_wanted(sst)) {
        measure(&c, sst, run_ours, run_rocksdb, "RocksDB SstFileWriter, rows sorted beforehand",
                1.3, BENCH_REPS_SHORT, "");
    }
    if (bench_wanted(threads)) {
        c.threads = 2;
        measure(&c, threads, run_ours, run_ours_single, "ours, 1 thread", 1.7, BENCH_REPS_SHORT,
                "");
    }
    bench_order_clear(&c.order);
    bench_table_clear(&c.table);
}

static void strings_case(const char *dir)
{
    const char *id = "build/strings/sqlite-unsorted";
    struct build_case c = {.threads = 1};

    if (!bench_wanted(id)) {
        return;
    }
    memcpy(c.dir, dir, sizeof c.dir);
    bench_table_texts(&c.table, (int64_t)bench_size(4000000, 500000), 100, 5);
    measure_unsorted(&c, id, 15);
    bench_table_clear(&c.table);
}

/* Default page size for the ratio; one more pair with the automatic page size as a member. */
static void large_case(const char *dir)
{
    const char *id = "build/20k/raw-write";
    struct build_case c = {.threads = 1};
    struct bench_pair pair;
    struct bench_pair automatic;
    char extra[160];

    if (!bench_wanted(id)) {
        return;
    }
    memcpy(c.dir, dir, sizeof c.dir);
    bench_table_ints(&c.table, (int64_t)bench_size(50000, 10000), 20000, 20);
    bench_note("%s", id);
    bench_compare(run_ours, run_write, &c, BENCH_REPS_SHORT, &pair);
    double bytes = (double)c.bytes_written;
    c.page_size = SHARDY_PAGE_SIZE_AUTO;
    bench_note("%s, automatic page size", id);
    bench_compare(run_ours, run_write, &c, BENCH_REPS_LONG, &automatic);
    (void)snprintf(
        extra, sizeof extra, "\"b_per_row\":%.1f,\"mb_per_s\":%.1f,\"ratio_auto_page\":%.3f",
        bytes / (double)c.table.rows, (double)c.table.bytes / pair.ours_s / 1e6, automatic.speedup);
    bench_emit_rate(id, (uint64_t)c.table.rows, &pair, "write() of the same values", 0.9, extra);
    bench_table_clear(&c.table);
}

int main(int argc, char **argv)
{
    char dir[BENCH_PATH_MAX];

    bench_start(argc, argv);
    bench_dir_memory(dir, bench_size(UINT64_C(4) << 30, UINT64_C(1) << 30));
    k4_cases(dir);
    strings_case(dir);
    large_case(dir);
    return 0;
}
