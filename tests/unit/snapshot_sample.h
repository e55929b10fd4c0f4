/*
 * snapshot_sample.h - shared by the tests of the writer and the reader: ways to feed a model table
 * (row_sample.h) to a writer, and the judge: every shard of a published snapshot is opened with
 * SQLite and compared with the model, row by row.
 */
#ifndef TESTS_SNAPSHOT_SAMPLE_H
#define TESTS_SNAPSHOT_SAMPLE_H

#include "row_sample.h"

/* ---- building -------------------------------------------------------------------------------- */

enum snap_feed {
    SNAP_ROWS,    /* one by one */
    SNAP_BATCHES, /* batches of 1000 rows */
    SNAP_MIXED    /* batches and single rows in turn, batches with offsets */
};

static inline const char *snap_key_format(const struct snap_table *table)
{
    static const char *const formats[] = {"l", "I", "u", "z"};
    return formats[table->encoding];
}

static inline shardy_status snap_feed_rows(shardy_writer *writer, const struct snap_table *table,
                                           size_t from, size_t to, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    for (size_t i = from; i < to && st == SHARDY_OK; i++) {
        shardy_key key = snap_key(table, &table->rows[i]);
        st = shardy_writer_add(writer, &key, table->rows[i].value, table->rows[i].value_size, err);
    }
    return st;
}

static inline shardy_status snap_feed_all(shardy_writer *writer, const struct snap_table *table,
                                          enum snap_feed feed, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    size_t step = feed == SNAP_MIXED ? 7 : 1000;
    if (feed == SNAP_ROWS) {
        return snap_feed_rows(writer, table, 0, table->count, err);
    }
    for (size_t at = 0, turn = 0; at < table->count && st == SHARDY_OK; turn++) {
        size_t to = at + step < table->count ? at + step : table->count;
        st = feed == SNAP_MIXED && turn % 2
                 ? snap_feed_rows(writer, table, at, to, err)
                 : snap_add_batch(writer, table, at, to, snap_key_format(table),
                                  turn % 4 ? "Z" : "z", feed == SNAP_MIXED ? turn % 5 : 0, err);
        at = to;
        step = feed == SNAP_MIXED ? step * 3 % 1009 + 1 : step;
    }
    return st;
}

/* Open, feed, finish, free. `result` may be NULL. */
static inline shardy_status snap_build(const shardy_writer_options *options,
                                       const struct snap_table *table, enum snap_feed feed,
                                       shardy_build_result *result, shardy_error *err)
{
    shardy_writer *writer = NULL;
    shardy_status st = shardy_writer_open(options, &writer, err);
    if (st == SHARDY_OK) {
        st = snap_feed_all(writer, table, feed, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_writer_finish(writer, result, err);
    }
    shardy_writer_free(writer);
    return st;
}

static inline shardy_writer_options snap_options(const char *url, const struct snap_table *table,
                                                 uint32_t num_dbs)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    options.url = url;
    options.num_dbs = num_dbs;
    options.key_encoding = table->encoding;
    options.threads = 2;
    return options;
}

/* ---- judging --------------------------------------------------------------------------------- */

static inline int snap_compare_bytes(const uint8_t *a, size_t a_size, const uint8_t *b,
                                     size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int c = common ? memcmp(a, b, common) : 0;
    return c ? c : (a_size > b_size) - (a_size < b_size);
}

static inline int snap_compare_keys(const struct snap_row *a, const struct snap_row *b)
{
    int c = snap_compare_bytes(a->stored, a->stored_size, b->stored, b->stored_size);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

static inline int snap_by_shard(const void *left, const void *right)
{
    const struct snap_row *a = *(const struct snap_row *const *)left;
    const struct snap_row *b = *(const struct snap_row *const *)right;
    return a->db_id != b->db_id ? (a->db_id > b->db_id) - (a->db_id < b->db_id)
                                : snap_compare_keys(a, b);
}

static inline int snap_by_key(const void *left, const void *right)
{
    return snap_compare_keys(*(const struct snap_row *const *)left,
                             *(const struct snap_row *const *)right);
}

static inline uint32_t snap_route(const struct snap_table *table, const struct snap_row *row,
                                  uint32_t num_dbs)
{
    uint8_t number[8];
    for (unsigned i = 0; i < 8; i++) {
        number[i] = (uint8_t)(row->number >> 8 * i);
    }
    uint64_t digest =
        snap_int_keys(table) ? XXH3_64bits(number, 8) : XXH3_64bits(row->stored, row->stored_size);
    return (uint32_t)(digest % num_dbs);
}

/* Rows that a snapshot of `num_dbs` shards must have, sorted; the caller frees the array. */
static inline struct snap_row **snap_expected(struct snap_table *table, uint32_t num_dbs,
                                              bool merged, size_t *count)
{
    struct snap_row **list = snap_alloc(table->count * sizeof(*list));
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        table->rows[i].db_id = snap_route(table, &table->rows[i], num_dbs);
        list[i] = &table->rows[i];
    }
    qsort(list, table->count, sizeof(*list), merged ? snap_by_key : snap_by_shard);
    for (size_t i = 0; i < table->count; i++) {
        bool last = i + 1 == table->count ||
                    snap_compare_bytes(list[i]->stored, list[i]->stored_size, list[i + 1]->stored,
                                       list[i + 1]->stored_size) != 0;
        if (last) {
            list[kept++] = list[i];
        }
    }
    *count = kept;
    return list;
}

static inline int64_t snap_sql_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static inline void snap_sql_is(sqlite3 *db, const char *sql, const char *want)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *got = (const char *)sqlite3_column_text(statement, 0);
    if (!got || strcmp(got, want) != 0) {
        fail_msg("%s: '%s', expected '%s'", sql, got ? got : "NULL", want);
    }
    sqlite3_finalize(statement);
}

static inline const char *snap_path(const char *url)
{
    assert_memory_equal(url, "file://", 7);
    return url + 7;
}

static inline sqlite3 *snap_open_db(const char *db_url)
{
    char path[4200];
    struct stat info;
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/shard.db", snap_path(db_url));
    if (stat(path, &info) != 0) {
        fail_msg("%s: missing", path);
    }
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(snap_sql_int(db, "PRAGMA page_count") * snap_sql_int(db, "PRAGMA page_size"),
                     info.st_size);
    return db;
}

/* SQLite finds the file whole, and its rows are exactly those of the list. */
static inline void snap_check_db(const char *db_url, struct snap_row **rows, size_t count)
{
    static const char schema[] =
        "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";
    sqlite3 *db = snap_open_db(db_url);
    sqlite3_stmt *select = NULL;
    snap_sql_is(db, "PRAGMA integrity_check", "ok");
    snap_sql_is(db, "SELECT group_concat(sql) FROM sqlite_master", schema);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT k, v, typeof(k) || typeof(v) FROM kv ORDER BY k",
                                        -1, &select, NULL),
                     SQLITE_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sqlite3_step(select), SQLITE_ROW);
        const uint8_t *key = sqlite3_column_blob(select, 0);
        const uint8_t *value = sqlite3_column_blob(select, 1);
        size_t key_size = (size_t)sqlite3_column_bytes(select, 0);
        size_t value_size = (size_t)sqlite3_column_bytes(select, 1);
        if (snap_compare_bytes(key, key_size, rows[i]->stored, rows[i]->stored_size) != 0 ||
            snap_compare_bytes(value, value_size, rows[i]->value, rows[i]->value_size) != 0) {
            fail_msg("%s: row %zu of %zu (key of %zu bytes, value of %zu) is not the model's "
                     "(%zu, %zu; added as row %zu)",
                     db_url, i, count, key_size, value_size, rows[i]->stored_size,
                     rows[i]->value_size, rows[i]->order);
        }
        assert_string_equal((const char *)sqlite3_column_text(select, 2), "blobblob");
    }
    assert_int_equal(sqlite3_step(select), SQLITE_DONE);
    sqlite3_finalize(select);
    sqlite3_close(db);
}

static inline shardy_reader *snap_reader(const char *url)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    options.url = url;
    snap_ok(shardy_reader_open(&options, &reader, err));
    return reader;
}

static inline void snap_check_bound(const struct snap_table *table, bool known,
                                    const shardy_key *got, const struct snap_row *want)
{
    if (snap_int_keys(table)) {
        assert_true(known);
        assert_int_equal(got->number, want->number);
    } else if (known) {
        assert_int_equal(got->size, want->stored_size);
        assert_memory_equal(got->data, want->stored, got->size);
    }
}

/* The current snapshot of `url` is exactly the model, shard by shard. */
static inline void snap_check(const char *url, struct snap_table *table, uint32_t num_dbs)
{
    size_t count = 0;
    struct snap_row **rows = snap_expected(table, num_dbs, false, &count);
    shardy_reader *reader = snap_reader(url);
    shardy_snapshot *snapshot = NULL;
    shardy_snapshot_info about;
    size_t at = 0;

    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    snap_ok(shardy_snapshot_describe(snapshot, &about, err));
    assert_int_equal(about.num_dbs, num_dbs);
    assert_int_equal(about.key_encoding, table->encoding);
    for (uint32_t db = 0; db < num_dbs; db++) {
        shardy_shard_info shard;
        size_t first = at;
        while (at < count && rows[at]->db_id == db) {
            at++;
        }
        snap_ok(shardy_snapshot_shard(snapshot, db, &shard, err));
        assert_int_equal(shard.db_url == NULL, at == first);
        if (shard.db_url) {
            snap_check_db(shard.db_url, rows + first, at - first);
            snap_check_bound(table, shard.has_min_key, &shard.min_key, rows[first]);
            snap_check_bound(table, shard.has_max_key, &shard.max_key, rows[at - 1]);
        }
        shardy_shard_info_clear(&shard);
    }
    assert_int_equal(at, count);
    shardy_snapshot_info_clear(&about);
    shardy_snapshot_release(snapshot);
    shardy_reader_free(reader);
    free(rows);
}

/* ---- folders --------------------------------------------------------------------------------- */

static int snap_entries;

static inline int snap_count_entry(const char *path, const struct stat *info, int kind,
                                   struct FTW *walk)
{
    (void)info;
    snap_entries += kind == FTW_F && strcmp(path + walk->base, ".lock") != 0;
    return 0;
}

/* Objects below a folder; 0 when it does not exist. The lock file of a directory store is none. */
static inline int snap_count_files(const char *path)
{
    snap_entries = 0;
    (void)nftw(path, snap_count_entry, 16, FTW_PHYS);
    return snap_entries;
}

static inline uint8_t *snap_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("%s: cannot be opened", path);
    }
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = snap_alloc(*size);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static inline void snap_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file) {
        fail_msg("%s: cannot be written", path);
    }
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#endif
