/*
 * bench_spill.c - a build of many times its memory limit, on a real disk.
 *
 * Rows are made batch by batch; batches that the writer released are used again, so the program
 * itself holds little. Each build runs in a fresh process. The peer is our own in-memory rate:
 * the same generator and folder with rows that fit. Both end with syncfs(), as real disk runs do;
 * the ratio of the times before that is a further member.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_ROWS   65536
#define VALUE_BYTES  100
#define SPILL_LIMIT  (UINT64_C(256) << 20)
#define MEMORY_LIMIT (UINT64_C(2) << 30)

/* Numbers a build process answers with. */
enum { TOTAL_S, BUILD_S, RSS_MB, SPILLED_MB, PREPARE_S, BYTES_PER_ROW, ANSWERS };

/* ---- generator ---------------------------------------------------------------------------- */

struct batch {
    struct batch *next;
    uint64_t keys[BATCH_ROWS];
    char values[BATCH_ROWS * VALUE_BYTES + 8];
    struct ArrowArray columns[2];
    struct ArrowArray *children[2];
    const void *root_buffers[1];
    const void *key_buffers[3];
    const void *value_buffers[3];
};

/* Batches that nobody uses. The writer releases them from any thread. */
static struct {
    pthread_mutex_t lock;
    struct batch *free;
    unsigned made;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int32_t offsets[BATCH_ROWS + 1];

static struct batch *pool_take(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    struct batch *batch = pool.free;
    if (batch != NULL) {
        pool.free = batch->next;
    } else {
        pool.made++;
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return batch != NULL ? batch : bench_alloc(1, sizeof *batch);
}

static void pool_give(struct batch *batch)
{
    (void)pthread_mutex_lock(&pool.lock);
    batch->next = pool.free;
    pool.free = batch;
    (void)pthread_mutex_unlock(&pool.lock);
}

/* Touch the memory of `count` batches, so that first use is not timed. */
static void pool_warm(unsigned count)
{
    struct batch *list = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct batch *batch = pool_take();

        memset(batch, 1, sizeof *batch);
        batch->next = list;
        list = batch;
    }
    while (list != NULL) {
        struct batch *next = list->next;

        pool_give(list);
        list = next;
    }
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_child(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_batch(struct ArrowArray *array)
{
    struct batch *batch = array->private_data;

    array->release = NULL;
    pool_give(batch);
}

/* Rows first .. first + count - 1: a mixed key, a value of thirteen words that follow from it. */
static void fill(struct batch *batch, uint64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = bench_mix63(first + (uint64_t)i);
        uint64_t word = key;
        char *value = batch->values + i * VALUE_BYTES;

        batch->keys[i] = key;
        for (size_t at = 0; at < VALUE_BYTES; at += sizeof word) {
            word += UINT64_C(0x9E3779B97F4A7C15);
            memcpy(value + at, &word, sizeof word); /* the last word runs into the next value */
        }
    }
}

static void view(struct batch *batch, int64_t count, struct ArrowArray *array)
{
    batch->key_buffers[0] = NULL;
    batch->key_buffers[1] = batch->keys;
    batch->value_buffers[0] = NULL;
    batch->value_buffers[1] = offsets;
    batch->value_buffers[2] = batch->values;
    batch->root_buffers[0] = NULL;
    batch->columns[0] = (struct ArrowArray){
        .length = count, .n_buffers = 2, .buffers = batch->key_buffers, .release = release_child};
    batch->columns[1] = (struct ArrowArray){
        .length = count, .n_buffers = 3, .buffers = batch->value_buffers, .release = release_child};
    batch->children[0] = &batch->columns[0];
    batch->children[1] = &batch->columns[1];
    *array = (struct ArrowArray){.length = count,
                                 .n_buffers = 1,
                                 .n_children = 2,
                                 .buffers = batch->root_buffers,
                                 .children = batch->children,
                                 .release = release_batch,
                                 .private_data = batch};
}

static uint64_t batch_count(uint64_t rows, uint64_t first)
{
    return rows - first < BATCH_ROWS ? rows - first : BATCH_ROWS;
}

/* Seconds that making the rows alone takes. */
static double generator_seconds(uint64_t rows)
{
    double begun = bench_now();

    for (uint64_t first = 0; first < rows; first += BATCH_ROWS) {
        struct batch *batch = pool_take();

        fill(batch, first, (int64_t)batch_count(rows, first));
        pool_give(batch);
    }
    return bench_now() - begun;
}

static uint64_t generator_digest(uint64_t rows)
{
    uint64_t digest = 0;

    for (uint64_t first = 0; first < rows; first += BATCH_ROWS) {
        struct batch *batch = pool_take();
        uint64_t count = batch_count(rows, first);

        fill(batch, first, (int64_t)count);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t big = __builtin_bswap64(batch->keys[i]);

            digest +=
                bench_row_digest(&big, sizeof big, batch->values + i * VALUE_BYTES, VALUE_BYTES);
        }
        pool_give(batch);
    }
    return digest;
}

/* ---- the fresh process ---------------------------------------------------------------------- */

static void add_rows(shardy_writer *writer, uint64_t rows)
{
    struct ArrowSchema columns[2] = {
        {.format = "L", .name = "key", .release = release_schema},
        {.format = "z", .name = "value", .release = release_schema},
    };
    struct ArrowSchema *children[2] = {&columns[0], &columns[1]};
    struct ArrowSchema schema = {.format = "+s",
                                 .name = "",
                                 .n_children = 2,
                                 .children = children,
                                 .release = release_schema};
    shardy_error err = SHARDY_ERROR_INIT;

    for (uint64_t first = 0; first < rows; first += BATCH_ROWS) {
        struct batch *batch = pool_take();
        int64_t count = (int64_t)batch_count(rows, first);
        struct ArrowArray array;

        fill(batch, first, count);
        view(batch, count, &array);
        bench_ok(shardy_writer_add_batch(writer, &schema, &array, &err), &err,
                 "shardy_writer_add_batch");
    }
}

static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || syncfs(fd) != 0) {
        bench_die("%s: %s", dir, strerror(errno));
    }
    (void)close(fd);
}

static void child_build(const char *dir, uint64_t rows, uint64_t limit, bool verify)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_build_result result = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_writer *writer = NULL;
    struct bench_sample sample = {0};
    char url[BENCH_PATH_MAX];
    bool fits = limit == MEMORY_LIMIT;

    if (fits) {
        pool_warm((unsigned)(rows / BATCH_ROWS + 1));
    }
    double prepared = generator_seconds(rows);
    bench_url(url, dir);
    options.url = url;
    options.num_dbs = BENCH_SHARDS;
    options.threads = 1;
    options.memory_limit_bytes = limit;
    options.spill_dir = dir;
    sync_folder(dir);
    bench_begin(&sample);
    bench_ok(shardy_writer_open(&options, &writer, &err), &err, "shardy_writer_open");
    add_rows(writer, rows);
    bench_ok(shardy_writer_finish(writer, &result, &err), &err, "shardy_writer_finish");
    double built = bench_now() - sample.begun;
    sync_folder(dir);
    bench_end(&sample);

    if (result.rows_written != rows || (result.spilled_bytes == 0) != fits) {
        bench_die("%llu of %llu rows written, %llu bytes spilled",
                  (unsigned long long)result.rows_written, (unsigned long long)rows,
                  (unsigned long long)result.spilled_bytes);
    }
    double spilled = (double)result.spilled_bytes / 1e6;
    double per_row = (double)result.bytes_written / (double)rows;
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    if (verify) {
        bench_snapshot_check(dir, rows, generator_digest(rows));
    }
    (void)printf("%.6f %.6f %.3f %.3f %.6f %.3f\n", sample.seconds, built, sample.rss_mb, spilled,
                 prepared, per_row);
}

/* ---- the comparison ------------------------------------------------------------------------- */

struct spill_case {
    char dir[BENCH_PATH_MAX];
    uint64_t rows;
    uint64_t peer_rows;
    double ours[ANSWERS]; /* of the last run */
    double peer[ANSWERS];
    bool ours_checked;
    bool peer_checked;
};

static void build_in_child(struct spill_case *c, const char *name, uint64_t rows, uint64_t limit,
                           bool *checked, double answers[ANSWERS])
{
    char dir[BENCH_PATH_MAX];
    char rows_text[24];
    char limit_text[24];

    bench_dir_sub(dir, c->dir, name);
    (void)snprintf(rows_text, sizeof rows_text, "%llu", (unsigned long long)rows);
    (void)snprintf(limit_text, sizeof limit_text, "%llu", (unsigned long long)limit);
    bench_child((const char *const[]){"child-build", dir, rows_text, limit_text,
                                      *checked ? "-" : "verify", NULL},
                answers, ANSWERS);
    *checked = true;
    bench_dir_remove(dir);
}

/* Samples are seconds a row, because the sides build different numbers of rows. */
static void run_ours(void *arg, struct bench_sample *sample)
{
    struct spill_case *c = arg;

    build_in_child(c, "ours", c->rows, SPILL_LIMIT, &c->ours_checked, c->ours);
    bench_note("spill: %.1f s, %.1f before the sync, %.0f MiB", c->ours[TOTAL_S], c->ours[BUILD_S],
               c->ours[RSS_MB]);
    sample->seconds = c->ours[TOTAL_S] / (double)c->rows;
    sample->rss_mb = c->ours[RSS_MB];
}

static void run_peer(void *arg, struct bench_sample *sample)
{
    struct spill_case *c = arg;

    build_in_child(c, "peer", c->peer_rows, MEMORY_LIMIT, &c->peer_checked, c->peer);
    bench_note("in memory: %.2f s, %.2f before the sync", c->peer[TOTAL_S], c->peer[BUILD_S]);
    sample->seconds = c->peer[TOTAL_S] / (double)c->peer_rows;
    sample->rss_mb = c->peer[RSS_MB];
}

int main(int argc, char **argv)
{
    const char *id = "build/spill";
    struct spill_case c = {.rows = bench_size(111111111, 111111111 / 8), .peer_rows = 4000000};
    struct bench_pair pair;
    char extra[512];

    for (int32_t i = 0; i <= BATCH_ROWS; i++) {
        offsets[i] = i * VALUE_BYTES;
    }
    if (argc == 6 && strcmp(argv[1], "child-build") == 0) {
        child_build(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                    strcmp(argv[5], "verify") == 0);
        return 0;
    }
    bench_start(argc, argv);
    if (!bench_wanted(id)) {
        return 0;
    }
    bench_dir_disk(c.dir);
    bench_note("%s", id);
    bench_compare(run_ours, run_peer, &c, (int)bench_size(BENCH_REPS_LONG, 1), &pair);
    double rows = (double)c.rows;
    double peer_rows = (double)c.peer_rows;
    double unsynced = (c.peer[BUILD_S] / peer_rows) / (c.ours[BUILD_S] / rows);
    (void)snprintf(extra, sizeof extra,
                   "\"goal_rss_mb\":330,\"b_per_row\":%.2f,\"spilled_mb\":%.0f,"
                   "\"generator_ns_per_row\":%.2f,\"ratio_before_sync\":%.3f,\"peer_rows\":%llu",
                   c.ours[BYTES_PER_ROW], c.ours[SPILLED_MB], c.ours[PREPARE_S] / rows * 1e9,
                   unsynced, (unsigned long long)c.peer_rows);
    bench_emit(&(struct bench_line){id, c.rows, 1 / pair.ours_s, 1 / pair.peer_s,
                                    "ours in memory, 4 M rows", "rows/s", pair.speedup, pair.rss_mb,
                                    0.4, extra});
    return 0;
}
