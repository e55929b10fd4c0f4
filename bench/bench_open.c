/*
 * bench_open.c - opening a snapshot of very many shards and getting one key.
 *
 * The manifest (docs/format/manifest.md) is made here with SQLite's API: one row describes a real
 * shard, all others shards that exist nowhere. Both sides run in fresh processes with a warm page
 * cache. Ours opens a reader, gets the key and closes; the peer steps over every manifest row.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STAMP "2026-03-14T10:30:00.000000Z"
#define RUN   "bench-open"
#define KEY   UINT64_C(4242424242)

struct open_case {
    char dir[BENCH_PATH_MAX];
    char manifest[BENCH_PATH_MAX];
    uint32_t shards;
    double peer_rss_mb;
};

static const char build_meta_sql[] = "CREATE TABLE build_meta (\n"
                                     "    run_id           TEXT    NOT NULL,\n"
                                     "    created_at       TEXT    NOT NULL,\n"
                                     "    num_dbs          INTEGER NOT NULL,\n"
                                     "    s3_prefix        TEXT    NOT NULL,\n"
                                     "    key_col          TEXT    NOT NULL,\n"
                                     "    sharding         TEXT    NOT NULL,\n"
                                     "    db_path_template TEXT    NOT NULL,\n"
                                     "    shard_prefix     TEXT    NOT NULL,\n"
                                     "    format_version   INTEGER NOT NULL,\n"
                                     "    key_encoding     TEXT    NOT NULL,\n"
                                     "    custom           TEXT    NOT NULL DEFAULT '{}'\n"
                                     ")";

static const char shards_sql[] = "CREATE TABLE shards (\n"
                                 "    db_id         INTEGER NOT NULL PRIMARY KEY,\n"
                                 "    db_url        TEXT,\n"
                                 "    attempt       INTEGER NOT NULL,\n"
                                 "    row_count     INTEGER NOT NULL,\n"
                                 "    db_bytes      INTEGER NOT NULL,\n"
                                 "    min_key       TEXT,\n"
                                 "    max_key       TEXT,\n"
                                 "    checkpoint_id TEXT,\n"
                                 "    writer_info   TEXT    NOT NULL DEFAULT '{}'\n"
                                 ")";

/* ---- the snapshot ------------------------------------------------------------------------- */

/* Build the one real shard. @param[out] manifest path of its own manifest, never published */
static void build_real(const char *dir, char manifest[BENCH_PATH_MAX])
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_build_result result = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_writer *writer = NULL;
    char url[BENCH_PATH_MAX];

    bench_url(url, dir);
    options.url = url;
    options.num_dbs = 1;
    options.threads = 1;
    options.no_publish = true;
    options.run_id = RUN "-real";
    bench_ok(shardy_writer_open(&options, &writer, &err), &err, "shardy_writer_open");
    for (uint64_t i = 0; i < 1000; i++) {
        shardy_key key = shardy_key_uint(KEY + i);
        uint64_t value[2] = {KEY + i, i};

        bench_ok(shardy_writer_add(writer, &key, value, sizeof value, &err), &err,
                 "shardy_writer_add");
    }
    bench_ok(shardy_writer_finish(writer, &result, &err), &err, "shardy_writer_finish");
    if (strncmp(result.manifest_ref, "file://", 7) != 0) {
        bench_die("unexpected manifest reference %s", result.manifest_ref);
    }
    (void)snprintf(manifest, BENCH_PATH_MAX, "%s", result.manifest_ref + 7);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
}

static void insert_meta(sqlite3 *db, const struct open_case *c)
{
    sqlite3_stmt *stmt = bench_sqlite_prepare(
        db, "INSERT INTO build_meta VALUES ('" RUN "', '2026-03-14T10:29:00Z', ?1, ?2, '_key',"
            "'{\"cel_columns\": null, \"cel_expr\": null, \"hash_algorithm\": \"xxh3_64\","
            " \"routing_values\": null, \"strategy\": \"hash\"}',"
            "'db={db_id:05d}', 'shards', 4, 'u64be', '{}')");
    char url[BENCH_PATH_MAX];

    bench_url(url, c->dir);
    (void)sqlite3_bind_int64(stmt, 1, c->shards);
    (void)sqlite3_bind_text(stmt, 2, url, -1, SQLITE_TRANSIENT);
    if (sqlite3_step(stmt) != SQLITE_DONE) {
        bench_die("build_meta: %s", sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(stmt);
}

static void insert_shard(sqlite3 *db, sqlite3_stmt *stmt, const struct open_case *c, uint32_t id)
{
    char url[BENCH_PATH_MAX + 96];
    char min_key[24];
    char max_key[24];
    char checkpoint[40];
    char info[96];
    uint64_t state = id;

    (void)snprintf(url, sizeof url, "file://%s/shards/run_id=" RUN "/db=%05u/attempt=00", c->dir,
                   id);
    (void)snprintf(min_key, sizeof min_key, "%llu", bench_random(&state) % 1000000ULL);
    (void)snprintf(max_key, sizeof max_key, "%llu",
                   (unsigned long long)(bench_random(&state) >> 1 | UINT64_C(1) << 40));
    (void)snprintf(checkpoint, sizeof checkpoint, "%016llx%016llx",
                   (unsigned long long)bench_random(&state),
                   (unsigned long long)bench_random(&state));
    (void)snprintf(info, sizeof info,
                   "{\"attempt\": 0, \"duration_ms\": %llu, \"stage_id\": null,"
                   " \"task_attempt_id\": null}",
                   bench_random(&state) % 5000ULL);
    (void)sqlite3_bind_int64(stmt, 1, id);
    (void)sqlite3_bind_text(stmt, 2, url, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)(bench_random(&state) % 1000000));
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)(bench_random(&state) % 30000) * 4096);
    (void)sqlite3_bind_text(stmt, 5, min_key, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(stmt, 6, max_key, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(stmt, 7, checkpoint, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(stmt, 8, info, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_DONE) {
        bench_die("shards: %s", sqlite3_errmsg(db));
    }
    (void)sqlite3_reset(stmt);
}

/* Copy the real shard's row under the id that its key routes to among all shards. */
static void insert_real(sqlite3 *db, uint32_t id)
{
    sqlite3_stmt *stmt = bench_sqlite_prepare(
        db, "INSERT INTO shards SELECT ?1, db_url, attempt, row_count, db_bytes, min_key, max_key,"
            " checkpoint_id, writer_info FROM made.shards WHERE db_id = 0");

    (void)sqlite3_bind_int64(stmt, 1, id);
    if (sqlite3_step(stmt) != SQLITE_DONE || sqlite3_changes(db) != 1) {
        bench_die("shards: the real shard's row: %s", sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(stmt);
}

static void make_manifest(const struct open_case *c, const char *real)
{
    char attach[BENCH_PATH_MAX + 64];
    uint32_t real_id = (uint32_t)(bench_hash_u64(KEY) % c->shards);
    sqlite3 *db = NULL;

    if (sqlite3_open(c->manifest, &db) != SQLITE_OK) {
        bench_die("%s: %s", c->manifest, sqlite3_errmsg(db));
    }
    (void)snprintf(attach, sizeof attach, "ATTACH '%s' AS made", real);
    bench_sqlite_exec(db, "PRAGMA page_size=4096; PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF");
    bench_sqlite_exec(db, attach);
    bench_sqlite_exec(db, "BEGIN");
    bench_sqlite_exec(db, build_meta_sql);
    bench_sqlite_exec(db, shards_sql);
    insert_meta(db, c);
    sqlite3_stmt *stmt =
        bench_sqlite_prepare(db, "INSERT INTO shards VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8)");
    for (uint32_t id = 0; id < c->shards; id++) {
        if (id == real_id) {
            insert_real(db, id);
        } else {
            insert_shard(db, stmt, c, id);
        }
    }
    (void)sqlite3_finalize(stmt);
    bench_sqlite_exec(db, "COMMIT");
    (void)sqlite3_close(db);
}

static void make_pointer(const struct open_case *c)
{
    char path[BENCH_PATH_MAX];

    bench_path(path, c->dir, "_CURRENT");
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    (void)fprintf(file,
                  "{\"format_version\":1,\"manifest_content_type\":\"application/x-sqlite3\","
                  "\"manifest_ref\":\"file://%s\",\"run_id\":\"" RUN "\","
                  "\"updated_at\":\"2026-03-14T10:30:01.000001Z\"}",
                  c->manifest);
    if (fclose(file) != 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
}

static void make_snapshot(struct open_case *c, const char *base)
{
    char real[BENCH_PATH_MAX];
    char folder[BENCH_PATH_MAX];

    bench_dir_sub(c->dir, base, "open");
    build_real(c->dir, real);
    bench_path(folder, c->dir, "manifests"); /* made by the build */
    (void)mkdir(folder, 0700);
    bench_path(c->manifest, folder, STAMP "_run_id=" RUN);
    if (mkdir(c->manifest, 0700) != 0) {
        bench_die("%s: %s", c->manifest, strerror(errno));
    }
    bench_path(folder, c->manifest, "manifest");
    memcpy(c->manifest, folder, sizeof c->manifest);
    make_manifest(c, real);
    make_pointer(c);
}

/* ---- the fresh processes -------------------------------------------------------------------- */

static void answer(const struct bench_sample *sample)
{
    (void)printf("%.9f %.3f\n", sample->seconds, sample->rss_mb);
}

static void child_ours(const char *url)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader *reader = NULL;
    shardy_key key = shardy_key_uint(KEY);
    shardy_value value = SHARDY_VALUE_INIT;
    struct bench_sample sample = {0};
    uint64_t got = 0;

    options.url = url;
    bench_begin(&sample);
    bench_ok(shardy_reader_open(&options, &reader, &err), &err, "shardy_reader_open");
    bench_ok(shardy_reader_get(reader, &key, &value, &err), &err, "shardy_reader_get");
    if (value.data != NULL && value.size == 2 * sizeof got) {
        memcpy(&got, value.data, sizeof got);
    }
    shardy_value_clear(&value);
    shardy_reader_free(reader);
    bench_end(&sample);
    if (got != KEY) {
        bench_die("the key was not found");
    }
    answer(&sample);
}

static void child_peer(const char *manifest, uint64_t shards)
{
    struct bench_sample sample = {0};
    uint64_t rows = 0;
    uint64_t bytes = 0;

    bench_begin(&sample);
    sqlite3 *db = bench_sqlite_open(manifest);
    sqlite3_stmt *stmt = bench_sqlite_prepare(
        db, "SELECT db_id, db_url, attempt, row_count, db_bytes, min_key, max_key, checkpoint_id,"
            " writer_info FROM shards ORDER BY db_id");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        static const int texts[] = {1, 5, 6, 7, 8};
        static const int numbers[] = {0, 2, 3, 4};

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            if (sqlite3_column_text(stmt, texts[i]) != NULL) {
                bytes += (uint64_t)sqlite3_column_bytes(stmt, texts[i]);
            }
        }
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            bytes += (uint64_t)sqlite3_column_int64(stmt, numbers[i]) & 1;
        }
        rows++;
    }
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    bench_end(&sample);
    if (rows != shards || bytes == 0) {
        bench_die("%llu manifest rows, expected %llu", (unsigned long long)rows,
                  (unsigned long long)shards);
    }
    answer(&sample);
}

/* ---- sides -------------------------------------------------------------------------------- */

static void run_child(const char *const *args, struct bench_sample *sample)
{
    double numbers[2];

    bench_child(args, numbers, 2);
    sample->seconds = numbers[0];
    sample->rss_mb = numbers[1];
}

static void run_ours(void *arg, struct bench_sample *sample)
{
    struct open_case *c = arg;
    char url[BENCH_PATH_MAX];

    bench_url(url, c->dir);
    run_child((const char *const[]){"child-ours", url, NULL}, sample);
}

static void run_peer(void *arg, struct bench_sample *sample)
{
    struct open_case *c = arg;
    char count[16];

    (void)snprintf(count, sizeof count, "%u", c->shards);
    run_child((const char *const[]){"child-peer", c->manifest, count, NULL}, sample);
    c->peer_rss_mb = sample->rss_mb;
}

static void measure(const char *id, uint32_t shards, const char *base)
{
    struct open_case c = {.shards = shards};
    struct stat info = {0};
    struct bench_pair pair;
    char extra[128];

    if (!bench_wanted(id)) {
        return;
    }
    bench_note("%s: making a manifest of %u shards", id, shards);
    make_snapshot(&c, base);
    (void)stat(c.manifest, &info);
    bench_compare(run_ours, run_peer, &c, BENCH_REPS_SHORT, &pair);
    (void)snprintf(extra, sizeof extra,
                   "\"goal_rss_mb\":120,\"peer_rss_mb\":%.1f,\"manifest_bytes\":%lld",
                   c.peer_rss_mb, (long long)info.st_size);
    bench_emit(&(struct bench_line){id, shards, pair.ours_s * 1e3, pair.peer_s * 1e3,
                                    "SQLite reading every manifest row", "ms", pair.speedup,
                                    pair.rss_mb, 1.5, extra});
    bench_dir_remove(c.dir);
}

int main(int argc, char **argv)
{
    char base[BENCH_PATH_MAX];

    if (argc == 3 && strcmp(argv[1], "child-ours") == 0) {
        child_ours(argv[2]);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "child-peer") == 0) {
        child_peer(argv[2], strtoull(argv[3], NULL, 10));
        return 0;
    }
    bench_start(argc, argv);
    bench_dir_memory(base, UINT64_C(1) << 29);
    measure("open/10k", 10000, base);
    measure("open/1m", (uint32_t)bench_size(1000000, 200000), base);
    return 0;
}
