/*
 * bench_sqlite.c - SQLite as peer and as judge, and the snapshots the programs build.
 *
 * The judge reads our shards with SQLite itself, so a figure never rests on our own reader.
 * Pragmas are the ones SQLite's own documentation gives for bulk loads and for read-only files.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_LIMIT (UINT64_C(4) << 30) /* every data set but the spill case fits */

uint64_t bench_snapshot_build(const struct bench_table *table, const struct bench_build *build,
                              struct bench_sample *sample)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_build_result result = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_writer *writer = NULL;
    struct bench_sample unused;
    struct ArrowSchema schema;
    struct ArrowArray batch;
    char url[BENCH_PATH_MAX];

    bench_url(url, build->dir);
    options.url = url;
    options.num_dbs = BENCH_SHARDS;
    options.key_encoding = table->keys != NULL ? SHARDY_KEY_U64BE : SHARDY_KEY_UTF8;
    options.memory_limit_bytes = MEMORY_LIMIT;
    options.spill_dir = build->dir;
    options.threads = build->threads;
    options.page_size = build->page_size;
    bench_table_batch(table, &schema, &batch);
    sample = sample != NULL ? sample : &unused;

    bench_begin(sample);
    bench_ok(shardy_writer_open(&options, &writer, &err), &err, "shardy_writer_open");
    bench_ok(shardy_writer_add_batch(writer, &schema, &batch, &err), &err,
             "shardy_writer_add_batch");
    bench_ok(shardy_writer_finish(writer, &result, &err), &err, "shardy_writer_finish");
    bench_end(sample);

    uint64_t bytes = result.bytes_written;
    if (result.rows_written != (uint64_t)table->rows || result.spilled_bytes != 0) {
        bench_die("build wrote %llu rows and spilled %llu bytes, expected %lld and 0",
                  (unsigned long long)result.rows_written, (unsigned long long)result.spilled_bytes,
                  (long long)table->rows);
    }
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    schema.release(&schema);
    return bytes;
}

shardy_reader *bench_snapshot_open(const char *dir)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader *reader = NULL;
    char url[BENCH_PATH_MAX];

    bench_url(url, dir);
    options.url = url;
    bench_ok(shardy_reader_open(&options, &reader, &err), &err, "shardy_reader_open");
    return reader;
}

uint32_t bench_snapshot_files(const char *dir, char (**paths)[BENCH_PATH_MAX])
{
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader *reader = bench_snapshot_open(dir);
    shardy_snapshot *snapshot = NULL;
    uint32_t count = 0;

    bench_ok(shardy_reader_snapshot(reader, &snapshot, &err), &err, "shardy_reader_snapshot");
    count = shardy_router_num_dbs(shardy_snapshot_router(snapshot));
    *paths = bench_alloc(count, sizeof **paths);
    for (uint32_t id = 0; id < count; id++) {
        shardy_shard_info info = {0};

        bench_ok(shardy_snapshot_shard(snapshot, id, &info, &err), &err, "shardy_snapshot_shard");
        if (info.db_url != NULL && strncmp(info.db_url, "file://", 7) == 0) {
            bench_path((*paths)[id], info.db_url + 7, "shard.db");
        }
        shardy_shard_info_clear(&info);
    }
    shardy_snapshot_release(snapshot);
    shardy_reader_free(reader);
    return count;
}

void bench_snapshot_check(const char *dir, uint64_t rows, uint64_t digest)
{
    char(*paths)[BENCH_PATH_MAX] = NULL;
    uint32_t count = bench_snapshot_files(dir, &paths);
    uint64_t got_rows = 0;
    uint64_t got_digest = 0;

    for (uint32_t id = 0; id < count; id++) {
        if (paths[id][0] != '\0') {
            bench_sqlite_check(paths[id], id == count / 2, &got_rows, &got_digest);
        }
    }
    free(paths);
    if (got_rows != rows || got_digest != digest) {
        bench_die("%s: SQLite reads %llu rows with digest %016llx, expected %llu and %016llx", dir,
                  (unsigned long long)got_rows, (unsigned long long)got_digest,
                  (unsigned long long)rows, (unsigned long long)digest);
    }
}

/* ---- SQLite ------------------------------------------------------------------------------- */

void bench_sqlite_exec(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", sql, message);
    }
}

sqlite3_stmt *bench_sqlite_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", sql, sqlite3_errmsg(db));
    }
    return stmt;
}

sqlite3 *bench_sqlite_open(const char *path)
{
    sqlite3 *db = NULL;
    char uri[BENCH_PATH_MAX + 32];
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;

    /* '%', '?' and '#' do not occur in the programs' own folder names, '=' needs no escape. */
    (void)snprintf(uri, sizeof uri, "file:%s?immutable=1", path);
    if (sqlite3_open_v2(uri, &db, flags, NULL) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", path, sqlite3_errmsg(db));
    }
    bench_sqlite_exec(db, "PRAGMA mmap_size=2147418112");
    bench_sqlite_exec(db, "PRAGMA cache_size=-65536");
    bench_sqlite_exec(db, "BEGIN");
    return db;
}

static void check_integrity(sqlite3 *db, const char *path)
{
    sqlite3_stmt *stmt = bench_sqlite_prepare(db, "PRAGMA integrity_check");

    if (sqlite3_step(stmt) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
        bench_die("%s: integrity_check failed", path);
    }
    (void)sqlite3_finalize(stmt);
}

void bench_sqlite_check(const char *path, bool deep, uint64_t *rows, uint64_t *digest)
{
    sqlite3 *db = bench_sqlite_open(path);
    sqlite3_stmt *stmt = bench_sqlite_prepare(db, "SELECT k, v FROM kv");
    int rc = SQLITE_OK;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *key = sqlite3_column_blob(stmt, 0);
        const void *value = sqlite3_column_blob(stmt, 1);

        *digest += bench_row_digest(key, (size_t)sqlite3_column_bytes(stmt, 0), value,
                                    (size_t)sqlite3_column_bytes(stmt, 1));
        *rows += 1;
    }
    if (rc != SQLITE_DONE) {
        bench_die("%s: %s", path, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(stmt);
    if (deep) {
        check_integrity(db, path);
    }
    (void)sqlite3_close(db);
}

static sqlite3 *create_file(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", path, sqlite3_errmsg(db));
    }
    bench_sqlite_exec(db, "PRAGMA page_size=4096; PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF;"
                          "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-65536;"
                          "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
    return db;
}

/* One file of the peer, open for inserts. */
struct target {
    sqlite3 *db;
    sqlite3_stmt *stmt;
};

static void target_open(struct target *target, const char *dir, uint32_t shard)
{
    char path[BENCH_PATH_MAX];
    char name[32];

    (void)snprintf(name, sizeof name, "shard%u.db", shard);
    bench_path(path, dir, name);
    target->db = create_file(path);
    target->stmt = bench_sqlite_prepare(target->db, "INSERT OR REPLACE INTO kv VALUES (?1, ?2)");
    bench_sqlite_exec(target->db, "BEGIN");
}

static void target_close(struct target *target)
{
    bench_sqlite_exec(target->db, "COMMIT");
    (void)sqlite3_finalize(target->stmt);
    (void)sqlite3_close(target->db);
}

static void insert_row(struct target *target, const struct bench_table *table, int64_t row)
{
    uint8_t buffer[8];
    size_t key_size = 0;
    size_t value_size = 0;
    const void *key = bench_table_key(table, row, buffer, &key_size);
    const void *value = bench_table_value(table, row, &value_size);

    (void)sqlite3_bind_blob(target->stmt, 1, key, (int)key_size, SQLITE_STATIC);
    (void)sqlite3_bind_blob(target->stmt, 2, value, (int)value_size, SQLITE_STATIC);
    if (sqlite3_step(target->stmt) != SQLITE_DONE) {
        bench_die("sqlite: %s", sqlite3_errmsg(target->db));
    }
    (void)sqlite3_reset(target->stmt);
}

void bench_sqlite_build(const char *dir, const struct bench_table *table,
                        const struct bench_order *order)
{
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        struct target target;

        target_open(&target, dir, s);
        for (int64_t i = order->first[s]; i < order->first[s + 1]; i++) {
            insert_row(&target, table, order->rows[i]);
        }
        target_close(&target);
    }
}

void bench_sqlite_build_streaming(const char *dir, const struct bench_table *table,
                                  const uint8_t *shards)
{
    struct target targets[BENCH_SHARDS];

    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        target_open(&targets[s], dir, s);
    }
    for (int64_t row = 0; row < table->rows; row++) {
        insert_row(&targets[shards[row]], table, row);
    }
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        target_close(&targets[s]);
    }
}
