/*
 * manifest_open.c - open a manifest image with SQLite as a hostile database: defensive, read-only,
 * schema not trusted, an authorizer that allows reading our two tables and nothing else, limits,
 * and a budget of steps. Only build_meta and the smallest and largest shard id are read
 * (docs/format/manifest.md); rows are manifest_rows.c.
 */
#include "manifest/manifest_internal.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <inttypes.h>
#include <math.h>

/* Steps between two looks at the budget. */
#define STEP_UNIT 1000
/* Opening reads a handful of rows; a schema that needs more steps is not a manifest's. */
#define OPEN_STEPS (UINT64_C(1) << 20)

static int on_progress(void *arg)
{
    struct sfi_manifest *manifest = arg;
    bool spent = manifest->steps_left < STEP_UNIT;
    manifest->steps_left -= spent ? manifest->steps_left : STEP_UNIT;
    return spent;
}

/* Signature is SQLite's. */
static int on_authorize(void *arg, int action, const char *first, const char *second,
                        const char *database, const char *trigger)
{
    static const char *const functions[] = {"min", "max"};
    static const char *const tables[] = {"build_meta", "shards", "sqlite_master"};
    (void)arg;
    (void)database;
    if (action == SQLITE_SELECT && !trigger) {
        return SQLITE_OK;
    }
    if (action == SQLITE_READ && !trigger) {
        for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
            if (!sqlite3_stricmp(first, tables[i])) {
                return SQLITE_OK;
            }
        }
    }
    if (action == SQLITE_FUNCTION) {
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
            if (!sqlite3_stricmp(second, functions[i])) {
                return SQLITE_OK;
            }
        }
    }
    return action == SQLITE_PRAGMA && !sqlite3_stricmp(first, "quick_check") ? SQLITE_OK
                                                                             : SQLITE_DENY;
}

void sfi_manifest_budget(struct sfi_manifest *manifest, uint64_t steps)
{
    manifest->steps_left = steps;
}

shardy_status sfi_manifest_sql_error(struct sfi_manifest *manifest, int rc, shardy_error *err)
{
    shardy_status st;
    if ((rc & 0xFF) == SQLITE_NOMEM) {
        return sfi_fail_memory(err, 0);
    }
    if ((rc & 0xFF) == SQLITE_INTERRUPT) {
        st = sfi_fail(err, SHARDY_MANIFEST,
                      "Failed to read SQLite manifest tables: more work than a manifest of %" PRIu64
                      " bytes can need",
                      (uint64_t)manifest->image.size);
    } else {
        st = sfi_fail(err, SHARDY_MANIFEST, "Failed to read SQLite manifest tables: %s",
                      sqlite3_errmsg(manifest->db));
    }
    if (err) {
        err->detail = sqlite3_extended_errcode(manifest->db);
    }
    return st;
}

shardy_status sfi_manifest_prepare(struct sfi_manifest *manifest, const char *sql,
                                   sqlite3_stmt **stmt, shardy_error *err)
{
    int rc = sqlite3_prepare_v2(manifest->db, sql, -1, stmt, NULL);
    return rc == SQLITE_OK ? SHARDY_OK : sfi_manifest_sql_error(manifest, rc, err);
}

static shardy_status field_error(const char *name, const char *what, shardy_error *err)
{
    return sfi_fail(err, SHARDY_MANIFEST, "Manifest validation failed: %s: %s", name, what);
}

shardy_status sfi_manifest_text(sqlite3_stmt *stmt, int column, const char *name, bool nullable,
                                struct sfi_bytes *text, shardy_error *err)
{
    int type = sqlite3_column_type(stmt, column);
    text->data = NULL;
    text->size = 0;
    if (type == SQLITE_NULL && nullable) {
        return SHARDY_OK;
    }
    if (type != SQLITE_TEXT) {
        return field_error(name, "Input should be a valid string", err);
    }
    text->data = sqlite3_column_text(stmt, column);
    text->size = (size_t)sqlite3_column_bytes(stmt, column);
    if (!text->data) {
        return sfi_fail_memory(err, 0);
    }
    if (!sfi_utf8_valid(text->data, text->size) || strlen((const char *)text->data) != text->size) {
        return field_error(name, "text is not UTF-8 or contains a NUL", err);
    }
    return SHARDY_OK;
}

shardy_status sfi_manifest_integer(sqlite3_stmt *stmt, int column, const char *name, int64_t min,
                                   int64_t *value, shardy_error *err)
{
    int type = sqlite3_column_type(stmt, column);
    bool ok = type == SQLITE_INTEGER;
    *value = sqlite3_column_int64(stmt, column);
    if (type == SQLITE_FLOAT) {
        double number = sqlite3_column_double(stmt, column);
        ok = number == trunc(number) && fabs(number) < 9e18;
    } else if (type == SQLITE_TEXT) {
        struct sfi_bytes text;
        bool negative;
        uint64_t number;
        SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, column, name, false, &text, err));
        ok = sfi_json_integer_text(text, &negative, &number) && (negative || number <= INT64_MAX);
        *value = ok ? (int64_t)number : 0;
    }
    if (!ok) {
        return field_error(name, "Input should be a valid integer", err);
    }
    return *value >= min ? SHARDY_OK
                         : sfi_fail(err, SHARDY_MANIFEST,
                                    "Manifest validation failed: %s: %" PRId64 " is below %" PRId64,
                                    name, *value, min);
}

static shardy_status configure(struct sfi_manifest *manifest, shardy_error *err)
{
    static const struct {
        int option;
        int on;
    } options[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                   {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                   {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                   {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0}};
    static const struct {
        int limit;
        int value;
    } limits[] = {{SQLITE_LIMIT_LENGTH, (int)SFI_JSON_MAX_BYTES + 4096},
                  {SQLITE_LIMIT_SQL_LENGTH, 100000},
                  {SQLITE_LIMIT_COLUMN, 200},
                  {SQLITE_LIMIT_EXPR_DEPTH, 50},
                  {SQLITE_LIMIT_COMPOUND_SELECT, 3},
                  {SQLITE_LIMIT_VDBE_OP, 25000},
                  {SQLITE_LIMIT_ATTACHED, 0},
                  {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
                  {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
                  {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        sqlite3_db_config(manifest->db, options[i].option, options[i].on, NULL);
    }
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        sqlite3_limit(manifest->db, limits[i].limit, limits[i].value);
    }
    int rc = sqlite3_exec(manifest->db, "PRAGMA cell_size_check=ON", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return sfi_manifest_sql_error(manifest, rc, err);
    }
    sqlite3_set_authorizer(manifest->db, on_authorize, NULL);
    sqlite3_progress_handler(manifest->db, STEP_UNIT, on_progress, manifest);
    return SHARDY_OK;
}

/*
 * An image that was cut off, or has bytes behind its end: SQLite reads it as far as it goes, and
 * rows would turn out damaged much later. Its header (SQLite file format, 1.3) says how long it is.
 */
static shardy_status check_size(const struct sfi_mapping *image, shardy_error *err)
{
    uint64_t page_size = image->size < 100 ? 0 : (uint64_t)sfi_get_u16be(image->data + 16);
    page_size = page_size == 1 ? 65536 : page_size;
    if (page_size && image->size % page_size == 0) {
        /* The number of pages counts when the change counter is the one it was written with. */
        uint64_t pages = sfi_get_u32be(image->data + 28);
        bool valid = pages && sfi_get_u32be(image->data + 24) == sfi_get_u32be(image->data + 92);
        if (!valid || pages * page_size == image->size) {
            return SHARDY_OK;
        }
    }
    return sfi_fail(err, SHARDY_MANIFEST,
                    "Manifest payload is not a valid SQLite database: %zu bytes are not what its "
                    "header says; it was cut off or damaged",
                    image->size);
}

static shardy_status open_image(struct sfi_manifest *manifest, shardy_error *err)
{
    const struct sfi_mapping *image = &manifest->image;
    if (image->size < 16 || memcmp(image->data, "SQLite format 3", 16) != 0) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Unsupported manifest format: expected SQLite (magic header not found)");
    }
    if (image->size > SFI_MANIFEST_MAX_BYTES) {
        return sfi_fail(err, SHARDY_LIMIT, "the manifest has %zu bytes, the limit is %" PRIu64,
                        image->size, SFI_MANIFEST_MAX_BYTES);
    }
    SFI_RETURN_IF_ERR(check_size(image, err));
    int rc = sqlite3_open_v2(":memory:", &manifest->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             NULL);
    if (rc == SQLITE_OK) {
        SFI_RETURN_IF_ERR(configure(manifest, err));
        sqlite3_set_authorizer(manifest->db, NULL, NULL);
        /* READONLY and no FREEONCLOSE: SQLite neither writes to the image nor owns it. */
        rc = sqlite3_deserialize(manifest->db, "main", (unsigned char *)(uintptr_t)image->data,
                                 (sqlite3_int64)image->size, (sqlite3_int64)image->size,
                                 SQLITE_DESERIALIZE_READONLY);
        sqlite3_set_authorizer(manifest->db, on_authorize, NULL);
    }
    if (rc == SQLITE_NOMEM || !manifest->db) {
        return sfi_fail_memory(err, 0);
    }
    return rc == SQLITE_OK ? SHARDY_OK
                           : sfi_fail(err, SHARDY_MANIFEST,
                                      "Manifest payload is not a valid SQLite database: %s",
                                      sqlite3_errmsg(manifest->db));
}

/* build_meta and shards must be tables with storage: no views, no virtual tables. */
static shardy_status check_schema(struct sfi_manifest *manifest, shardy_error *err)
{
    static const char *const names[] = {"build_meta", "shards"};
    sqlite3_stmt *stmt = NULL;
    bool found[2] = {false, false};
    int rc;
    SFI_RETURN_IF_ERR(sfi_manifest_prepare(
        manifest, "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 1", &stmt,
        err));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        for (size_t i = 0; name && i < 2; i++) {
            found[i] = found[i] || sqlite3_stricmp(name, names[i]) == 0;
        }
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE) {
        return sfi_manifest_sql_error(manifest, rc, err);
    }
    for (size_t i = 0; i < 2; i++) {
        if (!found[i]) {
            return sfi_fail(err, SHARDY_MANIFEST,
                            "Failed to read SQLite manifest tables: no such table: %s", names[i]);
        }
    }
    return SHARDY_OK;
}

static shardy_status keep_text(struct sfi_manifest *manifest, sqlite3_stmt *stmt, int column,
                               const char *name, size_t slot, const char **out, shardy_error *err)
{
    struct sfi_bytes text;
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, column, name, false, &text, err));
    manifest->texts[slot] = sfi_strndup((const char *)text.data, text.size);
    *out = manifest->texts[slot];
    return *out ? SHARDY_OK : sfi_fail_memory(err, text.size + 1);
}

static shardy_status read_custom(struct sfi_manifest *manifest, sqlite3_stmt *stmt, int column,
                                 shardy_error *err)
{
    struct sfi_bytes text;
    shardy_error why = SHARDY_ERROR_INIT;
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, column, "custom", true, &text, err));
    if (!text.size) {
        manifest->texts[6] = sfi_strdup("{}");
        manifest->meta.custom_json = manifest->texts[6];
        return manifest->texts[6] ? SHARDY_OK : sfi_fail_memory(err, 3);
    }
    shardy_status st = sfi_json_check_object(text, &why);
    if (st != SHARDY_OK) {
        return sfi_manifest_invalid(st, &why, "custom", err);
    }
    return keep_text(manifest, stmt, column, "custom", 6, &manifest->meta.custom_json, err);
}

static shardy_status read_created_at(struct sfi_manifest *manifest, sqlite3_stmt *stmt, int column,
                                     shardy_error *err)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t size = (size_t)sqlite3_column_bytes(stmt, column);
    if (!text || sqlite3_column_type(stmt, column) == SQLITE_BLOB ||
        !sfi_timestamp_parse(text, size, &manifest->meta.created_at_us)) {
        return field_error("created_at", "Input should be a valid datetime", err);
    }
    return SHARDY_OK;
}

static shardy_status read_numbers(struct sfi_manifest *manifest, sqlite3_stmt *stmt,
                                  shardy_error *err)
{
    struct sfi_build_meta *meta = &manifest->meta;
    struct sfi_bytes encoding;
    int64_t num_dbs;
    int64_t version;
    shardy_error why = SHARDY_ERROR_INIT;
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 8, "format_version", INT64_MIN, &version, err));
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 2, "num_dbs", 1, &num_dbs, err));
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, 9, "key_encoding", false, &encoding, err));
    shardy_status st =
        shardy_key_encoding_parse((const char *)encoding.data, &meta->key_encoding, &why);
    if (st != SHARDY_OK) {
        return sfi_manifest_invalid(st, &why, "key_encoding", err);
    }
    if (version != SFI_MANIFEST_FORMAT_VERSION) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Unsupported manifest format_version: %" PRId64 ". Supported: [%d]",
                        version, SFI_MANIFEST_FORMAT_VERSION);
    }
    if (num_dbs > SFI_SHARDS_MAX) {
        return sfi_fail(err, SHARDY_LIMIT,
                        "the manifest has num_dbs = %" PRId64 ", the limit is %u", num_dbs,
                        SFI_SHARDS_MAX);
    }
    meta->num_dbs = (uint32_t)num_dbs;
    return SHARDY_OK;
}

static shardy_status read_meta(struct sfi_manifest *manifest, sqlite3_stmt *stmt, shardy_error *err)
{
    struct sfi_build_meta *meta = &manifest->meta;
    SFI_RETURN_IF_ERR(keep_text(manifest, stmt, 0, "run_id", 0, &meta->run_id, err));
    SFI_RETURN_IF_ERR(read_created_at(manifest, stmt, 1, err));
    SFI_RETURN_IF_ERR(keep_text(manifest, stmt, 3, "s3_prefix", 1, &meta->s3_prefix, err));
    SFI_RETURN_IF_ERR(keep_text(manifest, stmt, 4, "key_col", 2, &meta->key_col, err));
    SFI_RETURN_IF_ERR(keep_text(manifest, stmt, 5, "sharding", 3, &meta->sharding_json, err));
    SFI_RETURN_IF_ERR(
        keep_text(manifest, stmt, 6, "db_path_template", 4, &meta->db_path_template, err));
    SFI_RETURN_IF_ERR(keep_text(manifest, stmt, 7, "shard_prefix", 5, &meta->shard_prefix, err));
    SFI_RETURN_IF_ERR(read_custom(manifest, stmt, 10, err));
    SFI_RETURN_IF_ERR(read_numbers(manifest, stmt, err));
    struct sfi_bytes sharding = {(const uint8_t *)meta->sharding_json, strlen(meta->sharding_json)};
    return sfi_sharding_check(sharding, meta->num_dbs, &meta->sharding, err);
}

static shardy_status load_meta(struct sfi_manifest *manifest, shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    shardy_status st;
    SFI_RETURN_IF_ERR(sfi_manifest_prepare(
        manifest,
        "SELECT run_id, created_at, num_dbs, s3_prefix, key_col, sharding, db_path_template, "
        "shard_prefix, format_version, key_encoding, custom FROM build_meta LIMIT 1",
        &stmt, err));
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        st = read_meta(manifest, stmt, err);
    } else if (rc == SQLITE_DONE) {
        st = sfi_fail(err, SHARDY_MANIFEST, "SQLite manifest has no build_meta row");
    } else {
        st = sfi_manifest_sql_error(manifest, rc, err);
    }
    sqlite3_finalize(stmt);
    return st;
}

/* Two searches in the b-tree instead of a scan; anything odd is sorted out row by row. */
static shardy_status check_id_range(struct sfi_manifest *manifest, shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int primary_key = 0;
    bool fine = false;
    sqlite3_table_column_metadata(manifest->db, "main", "shards", "db_id", NULL, NULL, NULL,
                                  &primary_key, NULL);
    if (primary_key) {
        SFI_RETURN_IF_ERR(sfi_manifest_prepare(
            manifest, "SELECT (SELECT min(db_id) FROM shards), (SELECT max(db_id) FROM shards)",
            &stmt, err));
        int rc = sqlite3_step(stmt);
        bool empty = sqlite3_column_type(stmt, 0) == SQLITE_NULL;
        fine = rc == SQLITE_ROW &&
               (empty || (sqlite3_column_type(stmt, 0) == SQLITE_INTEGER &&
                          sqlite3_column_type(stmt, 1) == SQLITE_INTEGER &&
                          sqlite3_column_int64(stmt, 0) >= 0 &&
                          sqlite3_column_int64(stmt, 1) < (int64_t)manifest->meta.num_dbs));
        sqlite3_finalize(stmt);
        if (rc != SQLITE_ROW) {
            return sfi_manifest_sql_error(manifest, rc, err);
        }
    }
    return fine ? SHARDY_OK : sfi_manifest_check_ids(manifest, err);
}

shardy_status sfi_manifest_open(struct sfi_mapping *image, struct sfi_manifest **out,
                                shardy_error *err)
{
    struct sfi_manifest *manifest = sfi_calloc(1, sizeof *manifest);
    shardy_status st;
    *out = NULL;
    if (!manifest) {
        sfi_mapping_release(image);
        return sfi_fail_memory(err, sizeof *manifest);
    }
    manifest->image = *image;
    memset(image, 0, sizeof *image);
    sfi_mutex_init(&manifest->lock);
    sfi_fork_forbid(); /* SQLite has locks of its own, which a child could not open */
    sfi_manifest_budget(manifest, OPEN_STEPS);
    SFI_TRY(open_image(manifest, err));
    SFI_TRY(check_schema(manifest, err));
    SFI_TRY(load_meta(manifest, err));
    SFI_TRY(check_id_range(manifest, err));
    SFI_TRY(sfi_manifest_prepare(manifest,
                                 "SELECT " SFI_SHARD_COLUMNS " FROM shards WHERE db_id = ?1",
                                 &manifest->by_id, err));
out:
    sfi_fork_allow();
    if (st != SHARDY_OK) {
        sfi_manifest_close(manifest);
    } else {
        *out = manifest;
    }
    return st;
}

void sfi_manifest_close(struct sfi_manifest *manifest)
{
    if (!manifest) {
        return;
    }
    sfi_fork_forbid();
    sqlite3_finalize(manifest->by_id);
    sqlite3_close(manifest->db);
    sfi_fork_allow();
    sfi_mutex_destroy(&manifest->lock);
    for (size_t i = 0; i < SFI_META_TEXTS; i++) {
        sfi_free(manifest->texts[i]);
    }
    sfi_mapping_release(&manifest->image);
    sfi_free(manifest);
}

const struct sfi_build_meta *sfi_manifest_meta(const struct sfi_manifest *manifest)
{
    return &manifest->meta;
}
