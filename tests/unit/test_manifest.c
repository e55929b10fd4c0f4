/*
 * test_manifest.c - manifest files: what we write is read by SQLite, what the original wrote is
 * read by us and encodes to the same bytes, and damaged or hostile files are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/timestamp.h"
#include "manifest/manifest_internal.h"
#include "store_sample.h"

#include <glob.h>

static void encode_sample(struct sfi_buf *image)
{
    shardy_shard_info shards[SAMPLE_SHARDS];
    struct sfi_build_meta meta = sample_meta("run-1", SAMPLE_NUM_DBS);
    sample_shards(shards);
    sfi_buf_init(image, SIZE_MAX - 1);
    assert_int_equal(sfi_manifest_encode(&meta, shards, SAMPLE_SHARDS, image, NULL), SHARDY_OK);
}

/* Open a copy in a block of its exact size, so that reading past the end is seen. */
static shardy_status open_copy(const void *data, size_t size, struct sfi_manifest **manifest,
                               shardy_error *err)
{
    struct sfi_mapping image;
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    sfi_mapping_of_block(&image, copy, size);
    return sfi_manifest_open(&image, manifest, err);
}

/* Run `sql` on a copy of the image with the real SQLite and hand back the new image. */
static void edit_image(const struct sfi_buf *image, const char *sql, unsigned char **out,
                       sqlite3_int64 *size)
{
    sqlite3 *db;
    char *message = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    unsigned char *copy = sqlite3_malloc64(image->size);
    memcpy(copy, image->data, image->size);
    assert_int_equal(sqlite3_deserialize(
                         db, "main", copy, (sqlite3_int64)image->size, (sqlite3_int64)image->size,
                         SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE),
                     SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    *out = sqlite3_serialize(db, "main", size, 0);
    assert_non_null(*out);
    sqlite3_close(db);
}

static void check_text(sqlite3 *db, const char *sql, const char *expected)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    assert_string_equal(text ? text : "(null)", expected);
    sqlite3_finalize(stmt);
}

static void sqlite_reads_what_we_write(void **state)
{
    static const char *const rows[][2] = {
        {"PRAGMA integrity_check", "ok"},
        {"SELECT group_concat(name) FROM sqlite_master", "build_meta,shards"},
        {"SELECT run_id FROM build_meta", "run-1"},
        {"SELECT created_at FROM build_meta", "2026-03-14T10:30:00Z"},
        {"SELECT num_dbs FROM build_meta", "7"},
        {"SELECT sharding FROM build_meta", SFI_HASH_SHARDING_JSON},
        {"SELECT format_version FROM build_meta", "4"},
        {"SELECT key_encoding FROM build_meta", "utf8"},
        {"SELECT custom FROM build_meta", "{\"team\": \"search\"}"},
        {"SELECT group_concat(db_id) FROM shards", "0,2,3,4,5"},
        {"SELECT sum(row_count) FROM shards", "105"},
        {"SELECT min_key FROM shards WHERE db_id = 0", "-5"},
        {"SELECT max_key FROM shards WHERE db_id = 0", "18446744073709551615"},
        {"SELECT min_key FROM shards WHERE db_id = 2", "(null)"},
        {"SELECT checkpoint_id FROM shards WHERE db_id = 2", "(null)"},
        {"SELECT min_key FROM shards WHERE db_id = 3", "\"a\\\"\\n\\u00e9\""},
        {"SELECT max_key FROM shards WHERE db_id = 3", "\"\\ud83d\\ude00\\u0000z\""},
        {"SELECT min_key FROM shards WHERE db_id = 4", "\"abc\""},
        {"SELECT max_key FROM shards WHERE db_id = 4", "(null)"},
        {"SELECT min_key FROM shards WHERE db_id = 5", "\"\""},
        {"SELECT max_key FROM shards WHERE db_id = 5", "\"1\""},
        {"SELECT sql LIKE 'CREATE TABLE shards (' || char(10) || '    db_id         INTEGER NOT "
         "NULL PRIMARY KEY,%' FROM sqlite_master WHERE name = 'shards'",
         "1"},
    };
    struct sfi_buf image;
    sqlite3 *db;
    (void)state;
    encode_sample(&image);
    assert_int_equal(image.size, 12288);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_deserialize(db, "main", image.data, (sqlite3_int64)image.size,
                                         (sqlite3_int64)image.size, SQLITE_DESERIALIZE_READONLY),
                     SQLITE_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        check_text(db, rows[i][0], rows[i][1]);
    }
    sqlite3_close(db);
    sfi_buf_clear(&image);
}

static void encoding_is_deterministic(void **state)
{
    struct sfi_buf first;
    struct sfi_buf second;
    (void)state;
    encode_sample(&first);
    encode_sample(&second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    sfi_buf_clear(&first);
    sfi_buf_clear(&second);
}

static void check_key(const shardy_key *a, const shardy_key *b)
{
    bool text = b->kind == SHARDY_KIND_STR || b->kind == SHARDY_KIND_BYTES;
    if (text) {
        assert_int_equal(a->kind, SHARDY_KIND_STR);
        assert_int_equal(a->size, b->size);
        if (a->size) {
            assert_memory_equal(a->data, b->data, a->size);
        }
    } else {
        assert_true(a->number == b->number);
        assert_int_equal(a->kind, b->kind);
    }
}

static void reads_back_what_it_wrote(void **state)
{
    struct sfi_buf image;
    shardy_shard_info shards[SAMPLE_SHARDS];
    struct sfi_manifest *manifest;
    uint64_t rows;
    (void)state;
    encode_sample(&image);
    sample_shards(shards);
    shards[3].has_max_key = false;
    assert_int_equal(open_copy(image.data, image.size, &manifest, NULL), SHARDY_OK);
    const struct sfi_build_meta *meta = sfi_manifest_meta(manifest);
    assert_string_equal(meta->run_id, "run-1");
    assert_int_equal(meta->num_dbs, SAMPLE_NUM_DBS);
    assert_int_equal(meta->key_encoding, SHARDY_KEY_UTF8);
    assert_true(meta->created_at_us == INT64_C(1773484200000000));
    assert_string_equal(meta->custom_json, "{\"team\": \"search\"}");
    for (size_t i = 0; i < SAMPLE_SHARDS; i++) {
        shardy_shard_info info;
        assert_int_equal(sfi_manifest_shard(manifest, shards[i].db_id, &info, NULL), SHARDY_OK);
        assert_int_equal(info.db_id, shards[i].db_id);
        assert_int_equal(info.attempt, shards[i].attempt);
        assert_true(info.row_count == shards[i].row_count && info.db_bytes == shards[i].db_bytes);
        assert_string_equal(info.db_url, shards[i].db_url);
        assert_string_equal(info.writer_info, shards[i].writer_info);
        assert_int_equal(info.checkpoint_id != NULL, shards[i].checkpoint_id != NULL);
        assert_int_equal(info.has_min_key, shards[i].has_min_key);
        assert_int_equal(info.has_max_key, shards[i].has_max_key);
        if (info.has_min_key) {
            check_key(&info.min_key, &shards[i].min_key);
        }
        if (info.has_max_key) {
            check_key(&info.max_key, &shards[i].max_key);
        }
        shardy_shard_info_clear(&info);
    }
    shardy_shard_info none;
    assert_int_equal(sfi_manifest_shard(manifest, 6, &none, NULL), SHARDY_OK);
    assert_null(none.db_url);
    assert_int_equal(none.db_id, 6);
    shardy_shard_info_clear(&none);
    assert_int_equal(sfi_manifest_shard(manifest, 7, &none, NULL), SHARDY_CONFIG);
    assert_int_equal(sfi_manifest_row_count(manifest, &rows, NULL), SHARDY_OK);
    assert_true(rows == 105);
    assert_int_equal(sfi_manifest_check(manifest, NULL), SHARDY_OK);
    sfi_manifest_close(manifest);
    sfi_buf_clear(&image);
}

/* Shards of a manifest, for encoding them again. */
struct copies {
    shardy_shard_info items[64];
    size_t count;
};

static shardy_status keep_copy(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    struct copies *copies = arg;
    assert_true(copies->count < COUNT_OF(copies->items));
    SFI_RETURN_IF_ERR(sfi_shard_info_copy(info, &copies->items[copies->count], err));
    copies->count++;
    return SHARDY_OK;
}

static void check_fixture(const char *path)
{
    struct sfi_manifest *manifest;
    struct sfi_buf image;
    struct copies copies = {.count = 0};
    shardy_error err = SHARDY_ERROR_INIT;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t data[1 << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    shardy_status st = open_copy(data, size, &manifest, &err);
    if (st != SHARDY_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    assert_int_equal(sfi_manifest_check(manifest, &err), SHARDY_OK);
    assert_int_equal(sfi_manifest_each(manifest, keep_copy, &copies, &err), SHARDY_OK);
    sfi_buf_init(&image, SIZE_MAX - 1);
    assert_int_equal(
        sfi_manifest_encode(sfi_manifest_meta(manifest), copies.items, copies.count, &image, &err),
        SHARDY_OK);
    assert_int_equal(image.size, size);
    assert_memory_equal(image.data, data, size);
    for (size_t i = 0; i < copies.count; i++) {
        shardy_shard_info_clear(&copies.items[i]);
    }
    sfi_buf_clear(&image);
    sfi_manifest_close(manifest);
}

/* Bytes are compared too: the layout facts of the format do not depend on the SQLite version. */
static void fixtures_encode_to_the_same_bytes(void **state)
{
    char root[4096];
    char pattern[4200];
    glob_t found;
    (void)state;
    if (!fixtures_root(root, sizeof root)) {
        skip();
    }
    snprintf(pattern, sizeof pattern, "%s/*/objects/manifests/*/manifest", root);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 13);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_fixture(found.gl_pathv[i]);
    }
    globfree(&found);
}

#define META "UPDATE build_meta SET "
#define HASH_WITH(text) \
    META "sharding = '{\"strategy\": \"hash\", \"hash_algorithm\": \"xxh3_64\"" text "}'"
#define CEL_WITH(text)                                                                           \
    META "num_dbs = 2, sharding = '{\"strategy\": \"cel\", \"hash_algorithm\": \"xxh3_64\"" text \
         "}'; DELETE FROM shards WHERE db_id > 1"
#define CEL_OK      ", \"cel_expr\": \"r\", \"cel_columns\": {\"r\": \"string\"}"
#define SCHEMA(sql) "PRAGMA writable_schema=ON; " sql "; PRAGMA writable_schema=OFF"

/* Edits by SQLite, and what opening, or else checking, says. NULL: accepted. */
static const struct {
    const char *sql;
    const char *message;
} edits[] = {
    {META "run_id = run_id", NULL},
    {META "created_at = '2026-03-14 10:30'", NULL},
    {META "created_at = 1700000000", NULL},
    {META "created_at = 'yesterday'", "created_at"},
    {META "num_dbs = '9'", NULL},
    {META "num_dbs = 8.0", NULL},
    {META "num_dbs = 8.5", "num_dbs"},
    {META "num_dbs = 0", "num_dbs"},
    {META "num_dbs = -1", "num_dbs"},
    {META "num_dbs = x'01'", "num_dbs"},
    {META "num_dbs = 1048576", NULL},
    {META "num_dbs = 1048577", "the limit is 1048576"},
    {META "format_version = 3", "Unsupported manifest format_version: 3. Supported: [4]"},
    {META "format_version = '4'", NULL},
    {META "key_encoding = 'U64BE'", "key_encoding"},
    {META "key_encoding = 'raw'", NULL},
    {META "run_id = x'616263'", "run_id"},
    {META "run_id = cast(x'ff' AS TEXT)", "run_id"},
    {META "run_id = cast(x'610062' AS TEXT)", "run_id"},
    {META "custom = ''", NULL},
    {META "custom = '{\"a\": [NaN, -Infinity, 123456789012345678901234567890]}'", NULL},
    {META "custom = 'null'", "custom"},
    {META "custom = '[]'", "custom"},
    {META "custom = '{'", "custom"},
    {META "sharding = 'x'", "sharding"},
    {META "sharding = '[]'", "sharding: must be a JSON object"},
    {META "sharding = '{}'", "hash_algorithm is required"},
    {META "sharding = '{\"hash_algorithm\": null}'", "hash_algorithm is required"},
    {META "sharding = '{\"hash_algorithm\": \"md5\"}'", "Unsupported shard hash algorithm: md5"},
    {META "sharding = '{\"hash_algorithm\": \"xxh3_64\"}'", NULL},
    {META "sharding = '{\"strategy\": \"range\", \"hash_algorithm\": \"xxh3_64\"}'", "strategy"},
    {HASH_WITH(""), NULL},
    {HASH_WITH(", \"boundaries\": []"), "boundaries"},
    {HASH_WITH(", \"strategy\": \"cel\""), "duplicate key"},
    {HASH_WITH(", \"routing_values\": []"), "routing_values are only valid with CEL strategy"},
    {HASH_WITH(", \"cel_expr\": \"\""), "cel_expr is only valid with CEL strategy"},
    {HASH_WITH(", \"cel_columns\": {}"), "cel_columns are only valid with CEL strategy"},
    {CEL_WITH(""), "CEL strategy requires cel_expr"},
    {CEL_WITH(", \"cel_expr\": \"r\""), "CEL strategy requires cel_columns"},
    {CEL_WITH(", \"cel_expr\": \"r\", \"cel_columns\": {}"), "requires cel_columns"},
    {CEL_WITH(CEL_OK), NULL},
    {CEL_WITH(CEL_OK ", \"routing_values\": [\"a\", \"b\"]"), NULL},
    {CEL_WITH(CEL_OK ", \"routing_values\": [18446744073709551615, -1]"), NULL},
    {CEL_WITH(CEL_OK ", \"routing_values\": [1.0, true]"), "unique"},
    {CEL_WITH(CEL_OK ", \"routing_values\": [1, \"b\"]"), "share the same type"},
    {CEL_WITH(CEL_OK ", \"routing_values\": [\"b\", \"b\"]"), "unique"},
    {CEL_WITH(CEL_OK ", \"routing_values\": [null]"), "routing_values"},
    {CEL_WITH(CEL_OK ", \"routing_values\": [\"a\"]"),
     "must match routing_values cardinality (expected 1, got 2)"},
    {META "num_dbs = 3", "Manifest shard count exceeds num_dbs: 5 > 3"},
    {META "num_dbs = 5", "Manifest shard db_ids out of range [0, 5): [5]"},
    {"UPDATE shards SET db_id = -3 WHERE db_id = 0", "out of range [0, 7): [-3]"},
    {"DELETE FROM build_meta", "SQLite manifest has no build_meta row"},
    {"DROP TABLE shards", "no such table: shards"},
    {"DROP TABLE build_meta", "no such table: build_meta"},
    {"ALTER TABLE build_meta DROP COLUMN custom", "no such column: custom"},
    {"ALTER TABLE shards DROP COLUMN min_key", "no such column: min_key"},
    {"ALTER TABLE shards ADD COLUMN extra", NULL},
    {"CREATE TABLE extra (a); CREATE VIEW v AS SELECT * FROM shards", NULL},
    {"ALTER TABLE shards RENAME TO s; CREATE VIEW shards AS SELECT * FROM s",
     "no such table: shards"},
    {"CREATE TRIGGER t AFTER INSERT ON shards BEGIN SELECT 1; END", NULL},
    {"ALTER TABLE shards RENAME TO s; CREATE TABLE shards (db_id, db_url, attempt, row_count, "
     "db_bytes, min_key, max_key, checkpoint_id, writer_info); INSERT INTO shards SELECT * FROM s; "
     "INSERT INTO shards SELECT * FROM s WHERE db_id = 3",
     "Manifest contains duplicate shard db_ids: [3]"},
    {"ALTER TABLE shards RENAME TO s; CREATE TABLE shards (db_id, db_url, attempt, row_count, "
     "db_bytes, min_key, max_key, checkpoint_id, writer_info); INSERT INTO shards SELECT * FROM s",
     NULL},
    {"ALTER TABLE shards ADD COLUMN g AS (upper(db_url))", NULL},
    {"UPDATE shards SET min_key = 'bare'", "min_key"},
    {"UPDATE shards SET min_key = '1.5'", "min_key"},
    {"UPDATE shards SET min_key = '[1]'", "min_key"},
    {"UPDATE shards SET min_key = '18446744073709551616'", "min_key"},
    {"UPDATE shards SET min_key = 'true', max_key = '7.0'", NULL},
    {"UPDATE shards SET row_count = -1", "row_count"},
    {"UPDATE shards SET db_bytes = 'many'", "db_bytes"},
    {"UPDATE shards SET attempt = 2.0", NULL},
    {"UPDATE shards SET attempt = 4294967296", "beyond its limit"},
    {"UPDATE shards SET db_url = NULL", NULL},
    {"UPDATE shards SET db_url = x'00'", "db_url"},
    {"UPDATE shards SET checkpoint_id = x'00'", "checkpoint_id"},
    {"UPDATE shards SET writer_info = '[]'", "writer_info"},
    {"UPDATE shards SET writer_info = '{\"attempt\": \"x\"}'", "writer_info.attempt"},
    {"UPDATE shards SET writer_info = '{\"stage_id\": null, \"sha256\": \"ab\"}'", NULL},
    {"UPDATE shards SET row_count = 9223372036854775807", NULL},
    {SCHEMA("UPDATE sqlite_master SET rootpage = 1 WHERE name = 'shards'"), "table"},
    {SCHEMA("UPDATE sqlite_master SET rootpage = 999 WHERE name = 'shards'"), "malformed"},
    {SCHEMA("UPDATE sqlite_master SET sql = 'garbage' WHERE name = 'shards'"), "malformed"},
    {SCHEMA("UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE shards USING csv(x)', "
            "rootpage = 0 WHERE name = 'shards'"),
     "no such table: shards"},
};

static void edited_manifests(void **state)
{
    struct sfi_buf image;
    (void)state;
    encode_sample(&image);
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        unsigned char *edited;
        sqlite3_int64 size;
        struct sfi_manifest *manifest;
        shardy_error err = SHARDY_ERROR_INIT;
        edit_image(&image, edits[i].sql, &edited, &size);
        shardy_status st = open_copy(edited, (size_t)size, &manifest, &err);
        if (st == SHARDY_OK) {
            st = sfi_manifest_check(manifest, &err);
        }
        if ((st == SHARDY_OK) != !edits[i].message ||
            (edits[i].message && !strstr(err.message, edits[i].message))) {
            fail_msg("%s\ngot: %s\nexpected: %s", edits[i].sql, err.message,
                     edits[i].message ? edits[i].message : "(accepted)");
        }
        assert_true(st == SHARDY_OK || st == SHARDY_MANIFEST || st == SHARDY_LIMIT);
        sfi_manifest_close(manifest);
        sqlite3_free(edited);
    }
    sfi_buf_clear(&image);
}

static shardy_status count_row(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    size_t *rows = arg;
    (void)err;
    (*rows)++;
    return info->db_id < SFI_SHARDS_MAX ? SHARDY_OK : SHARDY_CORRUPT;
}

/* Use everything; only the absence of crashes, hangs and odd statuses matters. */
static void exercise(const uint8_t *data, size_t size)
{
    struct sfi_manifest *manifest;
    uint64_t rows;
    size_t count = 0;
    shardy_status st = open_copy(data, size, &manifest, NULL);
    assert_true(st == SHARDY_OK || st == SHARDY_MANIFEST || st == SHARDY_LIMIT);
    if (st == SHARDY_OK) {
        for (uint32_t id = 0; id < SAMPLE_NUM_DBS && id < sfi_manifest_meta(manifest)->num_dbs;
             id++) {
            shardy_shard_info info;
            (void)sfi_manifest_shard(manifest, id, &info, NULL);
            shardy_shard_info_clear(&info);
        }
        (void)sfi_manifest_row_count(manifest, &rows, NULL);
        (void)sfi_manifest_each(manifest, count_row, &count, NULL);
        (void)sfi_manifest_check(manifest, NULL);
    }
    sfi_manifest_close(manifest);
}

static void every_truncation_is_refused(void **state)
{
    struct sfi_buf image;
    (void)state;
    encode_sample(&image);
    for (size_t size = 0; size < image.size; size += size < 600 ? 1 : 61) {
        exercise(image.data, size);
    }
    sfi_buf_clear(&image);
}

static void flipped_bits_never_crash(void **state)
{
    struct sfi_buf image;
    uint64_t seed = 20260314;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)seed);
    encode_sample(&image);
    for (int round = 0; round < 4000; round++) {
        uint8_t *copy = malloc(image.size);
        memcpy(copy, image.data, image.size);
        int flips = 1 + round % 3;
        for (int i = 0; i < flips; i++) {
            uint64_t r = next_random(&seed);
            /* Half of the flips hit headers and cells rather than empty page space. */
            static const size_t hot[] = {0, 4096 - 1400, 4096, 8192 - 400, 8192, 12288 - 900};
            size_t at =
                r & 1 ? (size_t)(r >> 8) % image.size : hot[(r >> 1) % 6] + (size_t)(r >> 8) % 110;
            copy[at % image.size] ^= (uint8_t)(1u << (r >> 4 & 7));
        }
        exercise(copy, image.size);
        free(copy);
    }
    sfi_buf_clear(&image);
}

static void encode_refuses_bad_input(void **state)
{
    struct sfi_buf image;
    shardy_shard_info shards[SAMPLE_SHARDS];
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    sfi_buf_init(&image, SIZE_MAX - 1);
    sample_shards(shards);
    struct sfi_build_meta meta = sample_meta("run-1", 5);
    assert_int_equal(sfi_manifest_encode(&meta, shards, SAMPLE_SHARDS, &image, &err),
                     SHARDY_COVERAGE);
    assert_non_null(strstr(err.message, "db=00005"));
    meta.num_dbs = 0;
    assert_int_equal(sfi_manifest_encode(&meta, NULL, 0, &image, &err), SHARDY_LIMIT);
    meta = sample_meta("\xff", 7);
    assert_int_equal(sfi_manifest_encode(&meta, NULL, 0, &image, &err), SHARDY_CONFIG);
    meta = sample_meta("run-1", 7);
    shards[1].db_id = 0;
    assert_int_equal(sfi_manifest_encode(&meta, shards, SAMPLE_SHARDS, &image, &err),
                     SHARDY_COVERAGE);
    sample_shards(shards);
    shards[1].row_count = UINT64_MAX;
    assert_int_equal(sfi_manifest_encode(&meta, shards, SAMPLE_SHARDS, &image, &err), SHARDY_LIMIT);
    sfi_buf_clear(&image);
}

/* Fail the n-th allocation of encode, open and use, for all n. */
static void every_allocation_may_fail(void **state)
{
    shardy_shard_info shards[SAMPLE_SHARDS];
    struct sfi_build_meta meta = sample_meta("run-1", SAMPLE_NUM_DBS);
    bool done = false;
    (void)state;
    sample_shards(shards);
    for (unsigned long n = 1; !done; n++) {
        struct sfi_buf image;
        struct sfi_mapping mapping;
        struct sfi_manifest *manifest = NULL;
        shardy_shard_info info;
        shardy_status st;
        memset(&info, 0, sizeof info);
        sfi_buf_init(&image, SIZE_MAX - 1);
        fail_allocation(n);
        st = sfi_manifest_encode(&meta, shards, SAMPLE_SHARDS, &image, NULL);
        if (st == SHARDY_OK) {
            size_t size = image.size;
            sfi_mapping_of_block(&mapping, (uint8_t *)sfi_buf_take(&image), size);
            st = mapping.data ? sfi_manifest_open(&mapping, &manifest, NULL) : SHARDY_NO_MEMORY;
        }
        if (st == SHARDY_OK) {
            st = sfi_manifest_shard(manifest, 3, &info, NULL);
        }
        done = st == SHARDY_OK;
        assert_true(done || st == SHARDY_NO_MEMORY);
        fail_allocation(0);
        shardy_shard_info_clear(&info);
        sfi_manifest_close(manifest);
        sfi_buf_clear(&image);
        assert_true(n < 1000);
    }
}

/* 2^18 shards: opening and one lookup read a few pages, whatever the number of rows. */
static void opening_is_lazy(void **state)
{
    enum { ROWS = 1 << 18 };
    shardy_shard_info *shards = calloc(ROWS, sizeof *shards);
    struct sfi_build_meta meta = sample_meta("run-1", ROWS);
    struct sfi_buf image;
    struct sfi_manifest *manifest;
    uint64_t rows;
    (void)state;
    for (uint32_t i = 0; i < ROWS; i++) {
        shards[i].db_id = i;
        shards[i].row_count = 3;
        shards[i].db_url = "memory://sample/prefix/shards/run_id=r/db=00000/attempt=00";
    }
    sfi_buf_init(&image, SIZE_MAX - 1);
    assert_int_equal(sfi_manifest_encode(&meta, shards, ROWS, &image, NULL), SHARDY_OK);
    struct sfi_mapping mapping;
    size_t size = image.size;
    sfi_mapping_of_block(&mapping, (uint8_t *)sfi_buf_take(&image), size);
    uint64_t start = sfi_monotonic_us();
    sqlite3_int64 before = sqlite3_memory_used();
    shardy_shard_info info;
    assert_int_equal(sfi_manifest_open(&mapping, &manifest, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_shard(manifest, ROWS - 1, &info, NULL), SHARDY_OK);
    print_message("# open + lookup: %llu us, %lld bytes of SQLite memory\n",
                  (unsigned long long)(sfi_monotonic_us() - start),
                  (long long)(sqlite3_memory_used() - before));
    assert_true(sqlite3_memory_used() - before < 1 << 20);
    assert_int_equal(info.db_id, ROWS - 1);
    shardy_shard_info_clear(&info);
    assert_int_equal(sfi_manifest_row_count(manifest, &rows, NULL), SHARDY_OK);
    assert_true(rows == UINT64_C(3) * ROWS);
    sfi_manifest_close(manifest);
    free(shards);
}

static int set_up(void **state)
{
    (void)state;
    install_failing_allocator();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlite_reads_what_we_write),
        cmocka_unit_test(encoding_is_deterministic),
        cmocka_unit_test(reads_back_what_it_wrote),
        cmocka_unit_test(fixtures_encode_to_the_same_bytes),
        cmocka_unit_test(edited_manifests),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(flipped_bits_never_crash),
        cmocka_unit_test(encode_refuses_bad_input),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(opening_is_lazy),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
