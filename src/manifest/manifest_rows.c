/*
 * manifest_rows.c - read shard rows of an open manifest: one by id, all in order, and every check
 * of docs/format/manifest.md on all of them.
 */
#include "manifest/manifest_internal.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>

/* Ids named in one message. */
#define NAMED_IDS 10

static void lock(struct sfi_manifest *manifest)
{
    (void)sfi_mutex_lock(&manifest->lock);
}

static void unlock(struct sfi_manifest *manifest)
{
    sfi_mutex_unlock(&manifest->lock);
}

/* Logical key of J3 text. `doc` keeps the decoded text. */
static shardy_status read_key(struct sfi_bytes text, const char *name, struct sfi_json_doc *doc,
                              shardy_key *key, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    bool negative;
    uint64_t number;
    shardy_status st = sfi_json_parse(text, 0, doc, &why);
    if (st != SHARDY_OK) {
        st = st == SHARDY_NO_MEMORY ? st : SHARDY_MANIFEST;
        return sfi_fail(err, st, "Failed to read SQLite manifest tables: %s: %s", name,
                        why.message);
    }
    if (doc->root->kind == SFI_JSON_STRING) {
        *key = shardy_key_str((const char *)doc->root->text.data, doc->root->text.size);
        return SHARDY_OK;
    }
    if (!sfi_json_integer(doc->root, &negative, &number)) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Manifest validation failed: %s: expected an integer below 2^64 or a "
                        "string",
                        name);
    }
    *key =
        negative || number <= INT64_MAX ? shardy_key_int((int64_t)number) : shardy_key_uint(number);
    return SHARDY_OK;
}

/* A key column; `present` is false for NULL and JSON null. */
static shardy_status column_key(sqlite3_stmt *stmt, int column, const char *name,
                                struct sfi_json_doc *doc, bool *present, shardy_key *key,
                                shardy_error *err)
{
    struct sfi_bytes text;
    int type = sqlite3_column_type(stmt, column);
    *present = type != SQLITE_NULL;
    if (type == SQLITE_INTEGER) {
        *key = shardy_key_int(sqlite3_column_int64(stmt, column));
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, column, name, true, &text, err));
    if (*present && sfi_json_text_is(text, "null")) {
        *present = false;
    }
    return *present ? read_key(text, name, doc, key, err) : SHARDY_OK;
}

static shardy_status column_writer_info(sqlite3_stmt *stmt, const char **out, shardy_error *err)
{
    struct sfi_bytes text;
    shardy_error why = SHARDY_ERROR_INIT;
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, 8, "writer_info", true, &text, err));
    *out = text.size ? (const char *)text.data : "{}";
    shardy_status st = text.size ? sfi_json_check_object(text, &why) : SHARDY_OK;
    return st == SHARDY_OK ? SHARDY_OK : sfi_manifest_invalid(st, &why, "writer_info", err);
}

static shardy_status read_fields(sqlite3_stmt *stmt, shardy_shard_info *view, shardy_error *err)
{
    int64_t db_id;
    int64_t attempt;
    int64_t row_count;
    int64_t db_bytes;
    struct sfi_bytes url;
    struct sfi_bytes checkpoint;
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 0, "db_id", 0, &db_id, err));
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, 1, "db_url", true, &url, err));
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 2, "attempt", 0, &attempt, err));
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 3, "row_count", 0, &row_count, err));
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 4, "db_bytes", 0, &db_bytes, err));
    SFI_RETURN_IF_ERR(sfi_manifest_text(stmt, 7, "checkpoint_id", true, &checkpoint, err));
    SFI_RETURN_IF_ERR(column_writer_info(stmt, &view->writer_info, err));
    if (db_id >= SFI_SHARDS_MAX || attempt > UINT32_MAX || url.size > SFI_MANIFEST_TEXT_MAX ||
        checkpoint.size > SFI_MANIFEST_TEXT_MAX) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Manifest validation failed: db_id, attempt, db_url or checkpoint_id is "
                        "beyond its limit");
    }
    view->db_id = (uint32_t)db_id;
    view->attempt = (uint32_t)attempt;
    view->row_count = (uint64_t)row_count;
    view->db_bytes = (uint64_t)db_bytes;
    view->db_url = (const char *)url.data;
    view->checkpoint_id = (const char *)checkpoint.data;
    return SHARDY_OK;
}

shardy_status sfi_manifest_row(sqlite3_stmt *stmt, shardy_shard_info *info, shardy_error *err)
{
    struct sfi_json_doc min_doc = {NULL, NULL};
    struct sfi_json_doc max_doc = {NULL, NULL};
    shardy_shard_info view;
    shardy_status st;
    memset(&view, 0, sizeof view);
    SFI_TRY(read_fields(stmt, &view, err));
    SFI_TRY(column_key(stmt, 5, "min_key", &min_doc, &view.has_min_key, &view.min_key, err));
    SFI_TRY(column_key(stmt, 6, "max_key", &max_doc, &view.has_max_key, &view.max_key, err));
    SFI_TRY(sfi_shard_info_copy(&view, info, err));
out:
    if (st != SHARDY_OK && sqlite3_column_type(stmt, 0) == SQLITE_INTEGER) {
        sfi_error_prefix(err, "db=%05" PRId64 ": ", (int64_t)sqlite3_column_int64(stmt, 0));
    }
    sfi_json_clear(&min_doc);
    sfi_json_clear(&max_doc);
    return st;
}

static shardy_status empty_shard(uint32_t db_id, shardy_shard_info *info, shardy_error *err)
{
    shardy_shard_info view;
    memset(&view, 0, sizeof view);
    view.db_id = db_id;
    return sfi_shard_info_copy(&view, info, err);
}

static shardy_status lookup_locked(struct sfi_manifest *manifest, uint32_t db_id,
                                   shardy_shard_info *info, shardy_error *err)
{
    sqlite3_stmt *stmt = manifest->by_id;
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    sqlite3_bind_int64(stmt, 1, db_id);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE) {
        return empty_shard(db_id, info, err);
    }
    if (rc != SQLITE_ROW) {
        return sfi_manifest_sql_error(manifest, rc, err);
    }
    shardy_status st = sfi_manifest_row(stmt, info, err);
    if (st == SHARDY_OK && (info->db_id != db_id || sqlite3_step(stmt) == SQLITE_ROW)) {
        shardy_shard_info_clear(info);
        st =
            sfi_fail(err, SHARDY_MANIFEST, "Manifest contains duplicate shard db_ids: [%u]", db_id);
    }
    return st;
}

shardy_status sfi_manifest_shard(struct sfi_manifest *manifest, uint32_t db_id,
                                 shardy_shard_info *info, shardy_error *err)
{
    memset(info, 0, sizeof *info);
    if (db_id >= manifest->meta.num_dbs) {
        return sfi_fail(err, SHARDY_CONFIG, "shard db=%05u does not exist: the snapshot has %u",
                        db_id, manifest->meta.num_dbs);
    }
    lock(manifest);
    shardy_status st = lookup_locked(manifest, db_id, info, err);
    sqlite3_reset(manifest->by_id);
    unlock(manifest);
    return st;
}

/* The next row of an ordered statement; *done at the end. Ids must ascend below num_dbs. */
static shardy_status next_locked(struct sfi_manifest *manifest, sqlite3_stmt *stmt, int64_t *last,
                                 bool *done, shardy_error *err)
{
    int rc = sqlite3_step(stmt);
    *done = rc == SQLITE_DONE;
    if (rc == SQLITE_DONE) {
        return SHARDY_OK;
    }
    if (rc != SQLITE_ROW) {
        return sfi_manifest_sql_error(manifest, rc, err);
    }
    int64_t id;
    SFI_RETURN_IF_ERR(sfi_manifest_integer(stmt, 0, "db_id", INT64_MIN, &id, err));
    if (id <= *last || id >= (int64_t)manifest->meta.num_dbs) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Manifest shard db_ids repeat or are out of range [0, %u): %" PRId64,
                        manifest->meta.num_dbs, id);
    }
    *last = id;
    return SHARDY_OK;
}

static shardy_status next_info(struct sfi_manifest *manifest, sqlite3_stmt *stmt, int64_t *last,
                               bool *done, shardy_shard_info *info, shardy_error *err)
{
    lock(manifest);
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    shardy_status st = next_locked(manifest, stmt, last, done, err);
    if (st == SHARDY_OK && !*done) {
        st = sfi_manifest_row(stmt, info, err);
    }
    unlock(manifest);
    return st;
}

shardy_status sfi_manifest_each(struct sfi_manifest *manifest,
                                shardy_status (*each)(void *arg, const shardy_shard_info *info,
                                                      shardy_error *err),
                                void *arg, shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t last = -1;
    bool done = false;
    lock(manifest);
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    shardy_status st = sfi_manifest_prepare(
        manifest, "SELECT " SFI_SHARD_COLUMNS " FROM shards ORDER BY db_id", &stmt, err);
    unlock(manifest);
    while (st == SHARDY_OK && !done) {
        shardy_shard_info info;
        memset(&info, 0, sizeof info);
        st = next_info(manifest, stmt, &last, &done, &info, err);
        if (st == SHARDY_OK && !done) {
            st = each(arg, &info, err);
        }
        shardy_shard_info_clear(&info);
    }
    lock(manifest);
    sqlite3_finalize(stmt);
    unlock(manifest);
    return st;
}

static shardy_status sum_locked(struct sfi_manifest *manifest, uint64_t *rows, shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t last = -1;
    bool done = false;
    uint64_t sum = 0;
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    shardy_status st = sfi_manifest_prepare(
        manifest, "SELECT db_id, row_count FROM shards ORDER BY db_id", &stmt, err);
    while (st == SHARDY_OK && !done) {
        int64_t rows_of_shard = 0;
        st = next_locked(manifest, stmt, &last, &done, err);
        if (st == SHARDY_OK && !done) {
            st = sfi_manifest_integer(stmt, 1, "row_count", 0, &rows_of_shard, err);
        }
        if (__builtin_add_overflow(sum, (uint64_t)rows_of_shard, &sum)) {
            st = sfi_fail(err, SHARDY_MANIFEST,
                          "Manifest validation failed: row_count: the sum exceeds 2^64");
        }
    }
    sqlite3_finalize(stmt);
    *rows = sum;
    return st;
}

shardy_status sfi_manifest_row_count(struct sfi_manifest *manifest, uint64_t *rows,
                                     shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    lock(manifest);
    if (!manifest->rows_known) {
        st = sum_locked(manifest, &manifest->rows, err);
        manifest->rows_known = st == SHARDY_OK;
    }
    *rows = manifest->rows_known ? manifest->rows : 0;
    unlock(manifest);
    return st;
}

/* Text of a few ids: "[3, 7, ...]". */
struct id_list {
    char text[256];
    size_t count;
};

static void id_list_add(struct id_list *list, int64_t id)
{
    size_t used = strlen(list->text);
    if (list->count < NAMED_IDS) {
        snprintf(list->text + used, sizeof list->text - used,
                 list->count ? ", %" PRId64 : "%" PRId64, id);
    } else if (list->count == NAMED_IDS) {
        snprintf(list->text + used, sizeof list->text - used, ", ...");
    }
    list->count++;
}

shardy_status sfi_manifest_check_ids(struct sfi_manifest *manifest, shardy_error *err)
{
    struct id_list duplicates = {"", 0};
    struct id_list strays = {"", 0};
    sqlite3_stmt *stmt = NULL;
    uint64_t count = 0;
    int64_t last = 0;
    int rc = SQLITE_ROW;
    uint32_t num_dbs = manifest->meta.num_dbs;
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    SFI_RETURN_IF_ERR(
        sfi_manifest_prepare(manifest, "SELECT db_id FROM shards ORDER BY db_id", &stmt, err));
    shardy_status st = SHARDY_OK;
    while (st == SHARDY_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t id;
        st = sfi_manifest_integer(stmt, 0, "db_id", INT64_MIN, &id, err);
        if (st == SHARDY_OK && count && id == last) {
            id_list_add(&duplicates, id);
        }
        if (st == SHARDY_OK && (id < 0 || id >= (int64_t)num_dbs)) {
            id_list_add(&strays, id);
        }
        last = id;
        count++;
    }
    sqlite3_finalize(stmt);
    if (st == SHARDY_OK && rc != SQLITE_DONE) {
        st = sfi_manifest_sql_error(manifest, rc, err);
    } else if (st == SHARDY_OK && count > num_dbs) {
        st = sfi_fail(err, SHARDY_MANIFEST,
                      "Manifest shard count exceeds num_dbs: %" PRIu64 " > %u", count, num_dbs);
    } else if (st == SHARDY_OK && duplicates.count) {
        st = sfi_fail(err, SHARDY_MANIFEST, "Manifest contains duplicate shard db_ids: [%s]",
                      duplicates.text);
    } else if (st == SHARDY_OK && strays.count) {
        st = sfi_fail(err, SHARDY_MANIFEST, "Manifest shard db_ids out of range [0, %u): [%s]",
                      num_dbs, strays.text);
    }
    return st;
}

static shardy_status quick_check_locked(struct sfi_manifest *manifest, shardy_error *err)
{
    sqlite3_stmt *stmt = NULL;
    sfi_manifest_budget(manifest, SFI_MANIFEST_MAX_STEPS);
    SFI_RETURN_IF_ERR(sfi_manifest_prepare(manifest, "PRAGMA quick_check(1)", &stmt, err));
    int rc = sqlite3_step(stmt);
    shardy_status st = SHARDY_OK;
    if (rc != SQLITE_ROW) {
        st = sfi_manifest_sql_error(manifest, rc, err);
    } else {
        const char *answer = (const char *)sqlite3_column_text(stmt, 0);
        if (!answer || strcmp(answer, "ok") != 0) {
            st = sfi_fail(err, SHARDY_MANIFEST, "the manifest's SQLite file is damaged: %.300s",
                          answer ? answer : "no answer");
        }
    }
    sqlite3_finalize(stmt);
    return st;
}

/* The member is absent, null or an integer of at least 0. */
static shardy_status check_count(const struct sfi_json *object, const char *name, bool nullable,
                                 shardy_error *err)
{
    const struct sfi_json *value = sfi_json_member(object, name);
    bool negative = false;
    uint64_t number;
    bool fine = !value || (nullable && value->kind == SFI_JSON_NULL) ||
                sfi_json_integer(value, &negative, &number);
    return fine ? SHARDY_OK
                : sfi_fail(err, SHARDY_MANIFEST,
                           "Manifest validation failed: writer_info.%s: Input should be a valid "
                           "integer",
                           name);
}

static shardy_status check_row(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    struct sfi_json_doc doc;
    struct sfi_bytes text = {(const uint8_t *)info->writer_info, strlen(info->writer_info)};
    shardy_status st;
    (void)arg;
    SFI_RETURN_IF_ERR(sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err));
    SFI_TRY(check_count(doc.root, "attempt", false, err));
    SFI_TRY(check_count(doc.root, "duration_ms", false, err));
    SFI_TRY(check_count(doc.root, "stage_id", true, err));
    SFI_TRY(check_count(doc.root, "task_attempt_id", true, err));
out:
    sfi_json_clear(&doc);
    if (st != SHARDY_OK) {
        sfi_error_prefix(err, "db=%05u: ", info->db_id);
    }
    return st;
}

shardy_status sfi_manifest_check(struct sfi_manifest *manifest, shardy_error *err)
{
    lock(manifest);
    shardy_status st = sfi_manifest_check_ids(manifest, err);
    if (st == SHARDY_OK) {
        st = quick_check_locked(manifest, err);
    }
    unlock(manifest);
    return st == SHARDY_OK ? sfi_manifest_each(manifest, check_row, NULL, err) : st;
}
