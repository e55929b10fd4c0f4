/*
 * bench_remote.c - an S3 server behind the fault proxy, and snapshots on it: by our writer, and as
 * another maker lays them out.
 *
 * Foreign snapshots and changed manifests are made from a snapshot in a folder: its shard files are
 * rewritten by SQLite (VACUUM INTO), its manifest is edited with SQLite, and both are put with a
 * plain client.
 */
#include "bench_remote.h"

#include "base/limits.h"
#include "shard/sidecar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool remote_start(struct remote *remote)
{
    const struct proxy_options options = {0};
    const char *missing = s3_server_missing(S3_SERVER_VERSITYGW);

    if (missing != NULL || !proxy_available()) {
        /* bench/run shows it below the table. */
        (void)printf("{\"left_out\":\"%s\"}\n",
                     missing != NULL ? missing
                                     : "no fault proxy: set SHARDY_FAULT_PROXY to the program");
        return false;
    }
    bench_dir_memory(remote->folder, bench_size(UINT64_C(10) << 30, UINT64_C(1) << 30));
    (void)setenv("TMPDIR", remote->folder, 1);
    remote->server = s3_server_start(S3_SERVER_VERSITYGW);
    remote->proxy = proxy_start(s3_server_address(remote->server), &options);
    remote->client = s3_client_new(s3_server_url(remote->server));
    remote_direct(remote);
    return true;
}

void remote_stop(struct remote *remote)
{
    s3_client_free(remote->client);
    proxy_stop(remote->proxy);
    s3_server_stop(remote->server);
    bench_dir_remove(remote->folder);
}

void remote_latency(struct remote *remote, unsigned ms)
{
    s3_server_set_environment(proxy_url(remote->proxy));
    proxy_set(remote->proxy, "latency-ms=%u", ms);
}

void remote_direct(struct remote *remote)
{
    s3_server_set_environment(s3_server_url(remote->server));
}

static void build(const char *url, const struct bench_table *table, uint32_t shards,
                  bool no_sidecar)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    struct ArrowSchema schema;
    struct ArrowArray array;

    options.url = url;
    options.num_dbs = shards;
    options.no_sidecar = no_sidecar;
    options.memory_limit_bytes = UINT64_C(4) << 30;
    bench_table_batch(table, &schema, &array);
    bench_ok(shardy_writer_open(&options, &writer, &err), &err, "shardy_writer_open");
    bench_ok(shardy_writer_add_batch(writer, &schema, &array, &err), &err,
             "shardy_writer_add_batch");
    bench_ok(shardy_writer_finish(writer, NULL, &err), &err, "shardy_writer_finish");
    shardy_writer_free(writer);
    schema.release(&schema);
}

void remote_build(struct remote *remote, const char *url, const struct bench_table *table,
                  uint32_t shards)
{
    remote_direct(remote);
    build(url, table, shards, shards > 1000);
}

/* ---- objects ----------------------------------------------------------------------------------
 */

/* "/bucket/key" of an s3:// URL and a name below it, percent-encoded where S3 needs it. */
static void target_of(char target[BENCH_PATH_MAX], const char *url, const char *name)
{
    size_t n = (size_t)snprintf(target, BENCH_PATH_MAX, "/%s", url + strlen("s3://"));

    target[n++] = '/';
    for (; *name != '\0' && n + 4 < BENCH_PATH_MAX; name++) {
        if (strchr(":= ", *name) != NULL) {
            n += (size_t)snprintf(target + n, BENCH_PATH_MAX - n, "%%%02X", (unsigned)*name);
        } else {
            target[n++] = *name;
        }
    }
    target[n] = '\0';
}

static void put(struct remote *remote, const char *url, const char *name, const void *data,
                size_t size, char *etag, size_t etag_size)
{
    char target[BENCH_PATH_MAX];

    target_of(target, url, name);
    const struct s3_answer *answer =
        s3_client_request(remote->client, "PUT", target, NULL, data, size);
    if (answer->status != 200) {
        bench_die("PUT %s: %d %s", target, answer->status, answer->body);
    }
    if (etag != NULL) {
        const char *text = s3_client_header(remote->client, "ETag");

        (void)snprintf(etag, etag_size, "%s", text != NULL ? text : "");
    }
}

/* Fetch an object into fresh memory. */
static char *fetch(struct remote *remote, const char *url, const char *name, size_t *size)
{
    char target[BENCH_PATH_MAX];

    target_of(target, url, name);
    const struct s3_answer *answer =
        s3_client_request(remote->client, "GET", target, NULL, NULL, 0);
    if (answer->status != 200) {
        bench_die("GET %s: %d %s", target, answer->status, answer->body);
    }
    char *copy = bench_alloc(answer->body_size + 1, 1);
    memcpy(copy, answer->body, answer->body_size);
    *size = answer->body_size;
    return copy;
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        bench_die("cannot read %s", path);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = bench_alloc(*size + 1, 1);
    if (fread(data, 1, *size, file) != *size) {
        bench_die("cannot read %s", path);
    }
    (void)fclose(file);
    return data;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        bench_die("cannot write %s", path);
    }
}

/* `text` with every `from` replaced by `to`, in fresh memory. */
static char *replaced(const char *text, const char *from, const char *to)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, from)) != NULL; at += strlen(from)) {
        count++;
    }
    char *out = bench_alloc(strlen(text) + count * strlen(to) + 1, 1);
    char *end = out;
    while (*text != '\0') {
        if (strncmp(text, from, strlen(from)) == 0) {
            memcpy(end, to, strlen(to));
            end += strlen(to);
            text += strlen(from);
        } else {
            *end++ = *text++;
        }
    }
    return out;
}

/* ---- shards of another maker ------------------------------------------------------------------
 */

struct pages {
    struct sfi_sidecar_page *pages;
    size_t page_count;
    struct sfi_chain *chains;
    size_t chain_count;
};

/* Interior and schema pages, and overflow chains, as SQLite's dbstat lists them. */
static void list_pages(const char *path, const uint8_t *image, uint32_t page_size,
                       struct pages *pages)
{
    sqlite3 *db = bench_sqlite_open(path);
    sqlite3_stmt *stmt = bench_sqlite_prepare(
        db, "SELECT pageno FROM dbstat WHERE pagetype = 'internal' OR name = 'sqlite_schema' "
            "ORDER BY pageno");

    while (sqlite3_step(stmt) == SQLITE_ROW) {
        uint32_t number = (uint32_t)sqlite3_column_int64(stmt, 0);

        pages->pages = realloc(pages->pages, (pages->page_count + 1) * sizeof *pages->pages);
        pages->pages[pages->page_count].number = number;
        pages->pages[pages->page_count++].image = image + (uint64_t)(number - 1) * page_size;
    }
    (void)sqlite3_finalize(stmt);
    stmt = bench_sqlite_prepare(db, "SELECT pageno, path FROM dbstat WHERE pagetype = 'overflow' "
                                    "ORDER BY path");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        uint32_t number = (uint32_t)sqlite3_column_int64(stmt, 0);
        const char *place = strrchr((const char *)sqlite3_column_text(stmt, 1), '+');

        if (place != NULL && strtoul(place + 1, NULL, 16) == 0) {
            pages->chains =
                realloc(pages->chains, (pages->chain_count + 1) * sizeof *pages->chains);
            pages->chains[pages->chain_count++] = (struct sfi_chain){number, 1};
        } else {
            struct sfi_chain *chain = &pages->chains[pages->chain_count - 1];

            if (number != chain->head + chain->count) {
                bench_die("%s: an overflow chain is not consecutive", path);
            }
            chain->count++;
        }
    }
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

static void put_foreign_shard(struct remote *remote, const char *url, const char *file,
                              const char *name, uint64_t *bytes)
{
    char other[BENCH_PATH_MAX];
    char sql[2 * BENCH_PATH_MAX];
    char etag[256];
    char object[BENCH_PATH_MAX];
    struct pages pages = {0};
    struct sfi_buf sidecar;
    size_t size;

    (void)snprintf(other, sizeof other, "%.480s.sqlite", file);
    (void)snprintf(sql, sizeof sql, "VACUUM INTO '%s'", other);
    sqlite3 *db;
    if (sqlite3_open(file, &db) != SQLITE_OK) {
        bench_die("%s: %s", file, sqlite3_errmsg(db));
    }
    bench_sqlite_exec(db, sql);
    (void)sqlite3_close(db);
    if (sqlite3_open(other, &db) != SQLITE_OK) {
        bench_die("%s: %s", other, sqlite3_errmsg(db));
    }
    bench_sqlite_exec(db, "PRAGMA journal_mode = off; PRAGMA application_id = 0");
    (void)sqlite3_close(db);
    uint8_t *image = (uint8_t *)read_file(other, &size);
    uint32_t page_size = (uint32_t)image[16] << 8 | image[17];
    page_size = page_size == 1 ? 65536 : page_size;
    (void)snprintf(object, sizeof object, "%.480s/shard.db", name);
    put(remote, url, object, image, size, etag, sizeof etag);
    list_pages(other, image, page_size, &pages);
    const struct sfi_sidecar_input input = {page_size,    pages.pages,       pages.page_count,
                                            pages.chains, pages.chain_count, etag};
    shardy_error err = SHARDY_ERROR_INIT;
    sfi_buf_init(&sidecar, SFI_SIDECAR_MAX_BODY);
    bench_ok(sfi_sidecar_encode(&input, &sidecar, &err), &err, "sidecar");
    (void)snprintf(object, sizeof object, "%.480s/shard.sidecar", name);
    put(remote, url, object, sidecar.data, sidecar.size, NULL, 0);
    sfi_buf_clear(&sidecar);
    free(pages.pages);
    free(pages.chains);
    free(image);
    (void)unlink(other);
    *bytes = size;
}

/* Name of a file below the folder of a snapshot, from its path. */
static const char *below(const char *dir, const char *path)
{
    return path + strlen(dir) + 1;
}

static void put_foreign_manifest(struct remote *remote, const char *url, const char *dir,
                                 const char *name, const uint64_t *bytes, uint32_t shards)
{
    char path[BENCH_PATH_MAX];
    char local[BENCH_PATH_MAX];
    char sql[3 * BENCH_PATH_MAX];
    sqlite3 *db;
    size_t size;

    bench_path(path, dir, name);
    bench_url(local, dir);
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        bench_die("%s: %s", path, sqlite3_errmsg(db));
    }
    (void)snprintf(sql, sizeof sql,
                   "UPDATE shards SET writer_info = '{}', db_url = replace(db_url, '%s', '%s');"
                   "UPDATE build_meta SET s3_prefix = '%s', custom = '{\"sqlite_sidecar\": "
                   "{\"format_version\": 8, \"page_size\": 4096, \"filename\": \"shard.sidecar\", "
                   "\"codec\": \"zstd\"}}'",
                   local, url, url);
    bench_sqlite_exec(db, sql);
    for (uint32_t i = 0; i < shards; i++) {
        (void)snprintf(sql, sizeof sql, "UPDATE shards SET db_bytes = %llu WHERE db_id = %u",
                       (unsigned long long)bytes[i], i);
        bench_sqlite_exec(db, sql);
    }
    (void)sqlite3_close(db);
    char *image = read_file(path, &size);
    put(remote, url, name, image, size, NULL, 0);
    free(image);
    bench_path(path, dir, "_CURRENT");
    char *pointer = read_file(path, &size);
    char *moved = replaced(pointer, local, url);
    put(remote, url, "_CURRENT", moved, strlen(moved), NULL, 0);
    free(pointer);
    free(moved);
}

/* Name of the manifest object that a pointer refers to, below the prefix `url`. */
static char *manifest_name(const char *pointer, const char *url)
{
    const char *at = strstr(pointer, url);
    const char *name = at != NULL ? strstr(at, "/manifests/") : NULL;

    if (name == NULL) {
        bench_die("the pointer names no manifest below %s", url);
    }
    size_t size = strcspn(name + 1, "\"");
    char *copy = bench_alloc(size + 1, 1);
    memcpy(copy, name + 1, size);
    return copy;
}

void remote_build_foreign(struct remote *remote, const char *url, const struct bench_table *table,
                          uint32_t shards)
{
    char dir[BENCH_PATH_MAX];
    char local[BENCH_PATH_MAX];
    char path[BENCH_PATH_MAX];
    char name[BENCH_PATH_MAX];
    char(*files)[BENCH_PATH_MAX];
    uint64_t bytes[64] = {0};
    size_t size;

    bench_dir_sub(dir, remote->folder, "foreign");
    bench_url(local, dir);
    build(local, table, shards, true);
    if (bench_snapshot_files(dir, &files) != shards || shards > 64) {
        bench_die("%u shards expected", shards);
    }
    for (uint32_t i = 0; i < shards; i++) {
        (void)snprintf(name, sizeof name, "%s", below(dir, files[i]));
        *strrchr(name, '/') = '\0';
        put_foreign_shard(remote, url, files[i], name, &bytes[i]);
    }
    free(files);
    bench_path(path, dir, "_CURRENT");
    char *pointer = read_file(path, &size);
    char *manifest = manifest_name(pointer, local);
    put_foreign_manifest(remote, url, dir, manifest, bytes, shards);
    free(pointer);
    free(manifest);
    bench_dir_remove(dir);
}

void remote_change_shards(struct remote *remote, const char *url)
{
    char path[BENCH_PATH_MAX];
    char next[BENCH_PATH_MAX];
    char sql[256];
    sqlite3 *db;
    size_t size;
    char *pointer = fetch(remote, url, "_CURRENT", &size);
    char *name = manifest_name(pointer, url);
    char *image = fetch(remote, url, name, &size);

    bench_path(path, remote->folder, "changed.sqlite");
    write_file(path, image, size);
    free(image);
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        bench_die("%s: %s", path, sqlite3_errmsg(db));
    }
    (void)snprintf(sql, sizeof sql,
                   "UPDATE shards SET checkpoint_id = checkpoint_id || 'x' WHERE db_id %% 100 = %d",
                   REMOTE_CHANGED);
    bench_sqlite_exec(db, sql);
    (void)sqlite3_close(db);
    image = read_file(path, &size);
    (void)snprintf(next, sizeof next, "%.480s-changed", name);
    put(remote, url, next, image, size, NULL, 0);
    char *moved = replaced(pointer, name, next);
    put(remote, url, "_CURRENT", moved, strlen(moved), NULL, 0);
    free(image);
    free(moved);
    free(name);
    free(pointer);
    (void)unlink(path);
}
