/*
 * manifest_encode.c - write the manifest file: an in-memory SQLite database with two tables,
 * serialized (docs/format/manifest.md). Same input and SQLite version, same bytes.
 */
#include "manifest/manifest_internal.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <inttypes.h>

/* Stored in sqlite_master exactly like this; tests of other readers compare it. */
static const char s_create_meta[] = "CREATE TABLE build_meta (\n"
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
static const char s_create_shards[] = "CREATE TABLE shards (\n"
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
static const char s_insert_meta[] =
    "INSERT INTO build_meta VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
static const char s_insert_shard[] =
    "INSERT INTO shards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

static shardy_status encode_error(sqlite3 *db, int rc, shardy_error *err)
{
    if ((rc & 0xFF) == SQLITE_NOMEM) {
        return sfi_fail_memory(err, 0);
    }
    return sfi_fail(err, SHARDY_MANIFEST, "cannot encode the manifest: %s",
                    db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

static shardy_status execute(sqlite3 *db, const char *sql, shardy_error *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SHARDY_OK : encode_error(db, rc, err);
}

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    if (text) {
        sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(stmt, index);
    }
}

static shardy_status check_text(const char *name, const char *text, shardy_error *err)
{
    if (!text) {
        return sfi_fail(err, SHARDY_CONFIG, "manifest field %s is missing", name);
    }
    return sfi_utf8_valid(text, strlen(text))
               ? SHARDY_OK
               : sfi_fail(err, SHARDY_CONFIG, "manifest field %s is not UTF-8: %.200s", name, text);
}

static shardy_status step(sqlite3 *db, sqlite3_stmt *stmt, shardy_error *err)
{
    int rc = sqlite3_step(stmt);
    return rc == SQLITE_DONE ? SHARDY_OK : encode_error(db, rc, err);
}

static shardy_status insert_meta(sqlite3 *db, const struct sfi_build_meta *meta, shardy_error *err)
{
    char created[SFI_TIMESTAMP_SIZE];
    sqlite3_stmt *stmt = NULL;
    const char *encoding = shardy_key_encoding_name(meta->key_encoding);
    int rc = sqlite3_prepare_v2(db, s_insert_meta, -1, &stmt, NULL);
    if (rc != SQLITE_OK) {
        return encode_error(db, rc, err);
    }
    sfi_timestamp_format_iso(meta->created_at_us, created);
    bind_text(stmt, 1, meta->run_id);
    bind_text(stmt, 2, created);
    sqlite3_bind_int64(stmt, 3, meta->num_dbs);
    bind_text(stmt, 4, meta->s3_prefix);
    bind_text(stmt, 5, meta->key_col);
    bind_text(stmt, 6, meta->sharding_json);
    bind_text(stmt, 7, meta->db_path_template);
    bind_text(stmt, 8, meta->shard_prefix);
    sqlite3_bind_int64(stmt, 9, SFI_MANIFEST_FORMAT_VERSION);
    bind_text(stmt, 10, encoding);
    bind_text(stmt, 11, meta->custom_json);
    shardy_status st = step(db, stmt, err);
    sqlite3_finalize(stmt);
    return st;
}

/* J3 text of a logical key; empty when the format has no place for it. */
static bool key_text(const shardy_key *key, struct sfi_buf *out)
{
    struct sfi_bytes text = {key->data, key->size};
    switch (key->kind) {
    case SHARDY_KIND_INT:
        return sfi_buf_printf(out, "%" PRId64, (int64_t)key->number);
    case SHARDY_KIND_UINT:
        return sfi_buf_printf(out, "%" PRIu64, key->number);
    case SHARDY_KIND_STR:
    case SHARDY_KIND_BYTES:
        return !sfi_utf8_valid(text.data, text.size) || sfi_json_write_string(text, out);
    }
    return true;
}

static shardy_status bind_key(sqlite3_stmt *stmt, int index, const shardy_key *key, bool present,
                              shardy_error *err)
{
    struct sfi_buf text;
    if (!present) {
        sqlite3_bind_null(stmt, index);
        return SHARDY_OK;
    }
    sfi_buf_init(&text, SFI_JSON_MAX_BYTES);
    shardy_status st = key_text(key, &text) ? SHARDY_OK : sfi_buf_status(&text, "shard key", err);
    if (st == SHARDY_OK && text.size) {
        sqlite3_bind_text(stmt, index, (const char *)text.data, (int)text.size, SQLITE_TRANSIENT);
    } else {
        sqlite3_bind_null(stmt, index);
    }
    sfi_buf_clear(&text);
    return st;
}

static shardy_status insert_shard(sqlite3 *db, sqlite3_stmt *stmt, const shardy_shard_info *shard,
                                  shardy_error *err)
{
    if (shard->row_count > INT64_MAX || shard->db_bytes > INT64_MAX) {
        return sfi_fail(err, SHARDY_LIMIT,
                        "db=%05u: row count and size must be below 2^63 to fit the manifest",
                        shard->db_id);
    }
    sqlite3_bind_int64(stmt, 1, shard->db_id);
    bind_text(stmt, 2, shard->db_url);
    sqlite3_bind_int64(stmt, 3, shard->attempt);
    sqlite3_bind_int64(stmt, 4, (int64_t)shard->row_count);
    sqlite3_bind_int64(stmt, 5, (int64_t)shard->db_bytes);
    SFI_RETURN_IF_ERR(bind_key(stmt, 6, &shard->min_key, shard->has_min_key, err));
    SFI_RETURN_IF_ERR(bind_key(stmt, 7, &shard->max_key, shard->has_max_key, err));
    bind_text(stmt, 8, shard->checkpoint_id);
    bind_text(stmt, 9, shard->writer_info ? shard->writer_info : "{}");
    SFI_RETURN_IF_ERR(step(db, stmt, err));
    sqlite3_reset(stmt);
    return SHARDY_OK;
}

static shardy_status insert_shards(sqlite3 *db, const shardy_shard_info *shards, size_t count,
                                   shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, s_insert_shard, -1, &stmt, NULL);
    shardy_status st = rc == SQLITE_OK ? SHARDY_OK : encode_error(db, rc, err);
    for (size_t i = 0; st == SHARDY_OK && i < count; i++) {
        st = insert_shard(db, stmt, &shards[i], err);
    }
    sqlite3_finalize(stmt);
    return st;
}

static shardy_status check_input(const struct sfi_build_meta *meta, const shardy_shard_info *shards,
                                 size_t count, shardy_error *err)
{
    const struct {
        const char *name;
        const char *text;
    } fields[] = {{"run_id", meta->run_id},
                  {"s3_prefix", meta->s3_prefix},
                  {"key_col", meta->key_col},
                  {"sharding", meta->sharding_json},
                  {"db_path_template", meta->db_path_template},
                  {"shard_prefix", meta->shard_prefix},
                  {"custom", meta->custom_json}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        SFI_RETURN_IF_ERR(check_text(fields[i].name, fields[i].text, err));
    }
    if (!meta->num_dbs || meta->num_dbs > SFI_SHARDS_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "%u shards: a snapshot has 1 to %u", meta->num_dbs,
                        SFI_SHARDS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (shards[i].db_id >= meta->num_dbs || (i && shards[i].db_id <= shards[i - 1].db_id)) {
            return sfi_fail(err, SHARDY_COVERAGE,
                            "shard db=%05u is out of order or not below num_dbs = %u",
                            shards[i].db_id, meta->num_dbs);
        }
    }
    return SHARDY_OK;
}

static shardy_status build(sqlite3 *db, const struct sfi_build_meta *meta,
                           const shardy_shard_info *shards, size_t count, shardy_error *err)
{
    SFI_RETURN_IF_ERR(execute(db, "BEGIN", err));
    SFI_RETURN_IF_ERR(execute(db, s_create_meta, err));
    SFI_RETURN_IF_ERR(execute(db, s_create_shards, err));
    SFI_RETURN_IF_ERR(insert_meta(db, meta, err));
    SFI_RETURN_IF_ERR(insert_shards(db, shards, count, err));
    return execute(db, "COMMIT", err);
}

shardy_status sfi_manifest_encode(const struct sfi_build_meta *meta,
                                  const shardy_shard_info *shards, size_t count,
                                  struct sfi_buf *out, shardy_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_int64 size = 0;
    unsigned char *image = NULL;
    SFI_RETURN_IF_ERR(check_input(meta, shards, count, err));
    int rc = sqlite3_open_v2(
        ":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    shardy_status st =
        rc == SQLITE_OK ? build(db, meta, shards, count, err) : encode_error(db, rc, err);
    if (st == SHARDY_OK) {
        image = sqlite3_serialize(db, "main", &size, 0);
        st = image ? SHARDY_OK : sfi_fail_memory(err, (size_t)size);
    }
    sqlite3_close(db); /* before the copy: a large manifest is in memory twice, not three times */
    if (st == SHARDY_OK && (uint64_t)size > SFI_MANIFEST_MAX_BYTES) {
        st = sfi_fail(err, SHARDY_LIMIT, "the manifest has %lld bytes, the limit is %" PRIu64,
                      (long long)size, SFI_MANIFEST_MAX_BYTES);
    }
    if (st == SHARDY_OK && !sfi_buf_append(out, image, (size_t)size)) {
        st = sfi_buf_status(out, "manifest", err);
    }
    sqlite3_free(image);
    return st;
}
