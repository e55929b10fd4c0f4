/*
 * test_sqlite_check.c - the walk over every page, judged by SQLite: files of SQLite with every
 * kind of page pass, and what its integrity_check objects to, ours does too. Hostile files made by
 * hand are in test_shard_damage.c.
 */
#include "shard/sqlite_btree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard_sample.h"

#define SCHEMA SFI_SQLITE_SCHEMA ";"
#define ROWS(count, size)                                                                  \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #count ")" \
    "INSERT INTO kv SELECT CAST(printf('%08x', i * 2654435761 % 4294967296) AS BLOB), "    \
    "zeroblob((i * 37) % " #size ") FROM n;"

struct image {
    uint8_t *data;
    size_t size;
    size_t rows;
};

static struct image make(const char *sql)
{
    struct image image = {0};
    sqlite3 *db = NULL;
    sqlite3_stmt *count = NULL;
    sqlite3_int64 size = 0;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s", sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM kv", -1, &count, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(count), SQLITE_ROW);
    image.rows = (size_t)sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    uint8_t *data = sqlite3_serialize(db, "main", &size, 0);
    assert_non_null(data);
    image.size = (size_t)size;
    image.data = malloc(image.size);
    memcpy(image.data, data, image.size);
    sqlite3_free(data);
    sqlite3_close(db);
    return image;
}

struct seen {
    size_t rows;
    uint8_t last[64];
    size_t last_size;
};

static shardy_status see(void *arg, struct sfi_bytes key, struct sfi_bytes value, shardy_error *err)
{
    struct seen *seen = arg;
    struct sfi_bytes last = {seen->last, seen->last_size};
    (void)err;
    assert_true(!seen->rows || sfi_bytes_compare(last, key) < 0);
    assert_true(key.size <= sizeof seen->last && value.data);
    memcpy(seen->last, key.data, key.size);
    seen->last_size = key.size;
    seen->rows++;
    return SHARDY_OK;
}

static shardy_status check(const uint8_t *data, size_t size, struct seen *seen, shardy_error *err)
{
    struct sfi_mapping mapping = sample_mapping(data, size);
    struct sfi_shard_reader *shard = NULL;
    memset(seen, 0, sizeof *seen);
    shardy_status st = sfi_sqlite_reader_open(&mapping, "sample", &shard, err);
    if (st == SHARDY_OK) {
        st = sfi_sqlite_check(shard, see, seen, err);
    }
    sfi_shard_reader_release(shard);
    return st;
}

/* Free pages, free blocks, fragments, other tables, pointer maps: all of them are in order. */
static void test_files_of_sqlite(void **state)
{
    static const struct {
        const char *name;
        const char *sql;
    } rows[] = {
        {"empty", SCHEMA},
        {"one leaf", SCHEMA ROWS(5, 20)},
        {"many pages", SCHEMA ROWS(5000, 300)},
        {"small pages", "PRAGMA page_size=512;" SCHEMA ROWS(3000, 900)},
        {"large pages", "PRAGMA page_size=65536;" SCHEMA ROWS(3000, 40000)},
        {"emptied", SCHEMA ROWS(3000, 300) "DELETE FROM kv;"},
        {"free blocks",
         "PRAGMA page_size=1024;" SCHEMA ROWS(
             3000, 100) "DELETE FROM kv WHERE substr(hex(k), 16) IN ('1', '5', '6');"
                        "UPDATE kv SET v = zeroblob(length(v) - 1) WHERE length(v) % 7 = 1;"},
        {"free pages",
         "PRAGMA page_size=512;" SCHEMA ROWS(9000, 700) "DELETE FROM kv WHERE k > x'34';"},
        {"auto-vacuum", "PRAGMA page_size=512;PRAGMA auto_vacuum=1;" SCHEMA ROWS(3000, 700)},
        {"another table", "CREATE TABLE t (a, b UNIQUE);" SCHEMA ROWS(
                              500, 700) "INSERT INTO t SELECT k, k FROM kv;"},
        {"many tables", "PRAGMA page_size=512;" SCHEMA ROWS(
                            500, 700) "CREATE TABLE t1 (a123456789012345678901234567890 TEXT);"
                                      "CREATE TABLE t2 (a123456789012345678901234567890 TEXT);"
                                      "CREATE TABLE t3 (a123456789012345678901234567890 TEXT);"
                                      "CREATE TABLE t4 (a123456789012345678901234567890 TEXT);"
                                      "CREATE TABLE t5 (a123456789012345678901234567890 TEXT);"
                                      "CREATE TABLE t6 (a123456789012345678901234567890 TEXT);"},
        {"view", SCHEMA ROWS(500, 700) "CREATE VIEW w AS SELECT k FROM kv;"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image image = make(rows[i].sql);
        struct seen seen;
        shardy_error err = SHARDY_ERROR_INIT;
        if (check(image.data, image.size, &seen, &err) != SHARDY_OK || seen.rows != image.rows) {
            fail_msg("%s: %zu of %zu rows: %s", rows[i].name, seen.rows, image.rows, err.message);
        }
        free(image.data);
    }
}

static int first_text(void *arg, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    snprintf(arg, 200, "%s", values[0] ? values[0] : "NULL");
    return 0;
}

/* Whether SQLite calls the image whole; `text` gets what it says (200 bytes). */
static bool whole(const struct image *image, char *text)
{
    sqlite3 *db = NULL;
    unsigned char *copy = sqlite3_malloc64(image->size);
    assert_non_null(copy);
    memcpy(copy, image->data, image->size);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_deserialize(db, "main", copy, (sqlite3_int64)image->size,
                                         (sqlite3_int64)image->size,
                                         SQLITE_DESERIALIZE_FREEONCLOSE),
                     SQLITE_OK);
    text[0] = '\0';
    int rc = sqlite3_exec(db, "PRAGMA integrity_check(1)", first_text, text, NULL);
    sqlite3_close(db);
    return rc == SQLITE_OK && strcmp(text, "ok") == 0;
}

/* One changed byte, mostly in page headers, pointers and links: what SQLite finds, we find. */
static void test_against_integrity_check(void **state)
{
    static const char sql[] = "PRAGMA page_size=512;" SCHEMA ROWS(
        600, 150) "DELETE FROM kv WHERE substr(hex(k), 16) IN ('1', '5', '6');";
    struct image image = make(sql);
    unsigned seed = 7;
    size_t noticed = 0;  /* by us */
    size_t objected = 0; /* by SQLite */
    char text[200];

    (void)state;
    assert_true(whole(&image, text));
    for (int round = 0; round < 3000; round++) {
        size_t at = 512 + (size_t)rand_r(&seed) % (image.size - 512);
        if (round % 3) {
            at = at / 512 * 512 + at % 20;
        }
        uint8_t old = image.data[at];
        image.data[at] = (uint8_t)(rand_r(&seed) >> 8);
        struct seen seen;
        bool ours = check(image.data, image.size, &seen, NULL) == SHARDY_OK;
        bool theirs = whole(&image, text);
        if (ours && !theirs) {
            fail_msg("byte %zu from %u to %u: SQLite says %s", at, old, image.data[at], text);
        }
        noticed += !ours;
        objected += !theirs;
        image.data[at] = old;
    }
    printf("# noticed %zu, SQLite %zu\n", noticed, objected);
    assert_true(noticed > 500 && objected > 400);
    free(image.data);
}

/* A page that belongs to nothing is wrong when nothing else could own it. */
static void test_unused_page(void **state)
{
    static const struct {
        const char *sql;
        bool mark; /* pretend that our builder made it */
        shardy_status status;
    } rows[] = {
        {SCHEMA ROWS(50, 900), false, SHARDY_CORRUPT},
        {SCHEMA ROWS(50, 900), true, SHARDY_CORRUPT},
        {SCHEMA ROWS(50, 900) "CREATE TABLE t (a);", false, SHARDY_OK},
        {SCHEMA ROWS(50, 900) "CREATE TABLE t (a);", true, SHARDY_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image image = make(rows[i].sql);
        struct seen seen;
        image.data = realloc(image.data, image.size + 4096);
        memset(image.data + image.size, 0, 4096);
        if (rows[i].mark) {
            sfi_put_u32be(image.data + 68, SFI_SQLITE_LAYOUT_MARK);
        }
        assert_int_equal(check(image.data, image.size + 4096, &seen, NULL), rows[i].status);
        free(image.data);
    }
}

/* The free list: a wrong count, a page of the tree among them, a circle, a trunk that is too full.
 */
static void test_free_list(void **state)
{
    static const char sql[] = SCHEMA ROWS(3000, 300) "DELETE FROM kv WHERE k > x'34';";
    struct image image = make(sql);
    uint32_t trunk = sfi_get_u32be(image.data + 32);
    struct seen seen;

    (void)state;
    assert_true(trunk > 0 && sfi_get_u32be(image.data + 36) > 2);
    for (int i = 0; i < 5; i++) {
        uint8_t *copy = malloc(image.size);
        memcpy(copy, image.data, image.size);
        uint8_t *page = copy + (size_t)(trunk - 1) * 4096;
        switch (i) {
        case 0:
            copy[39]++;
            break;
        case 1:
            sfi_put_u32be(page + 8, 2);
            break;
        case 2:
            sfi_put_u32be(page, trunk);
            break;
        case 3:
            sfi_put_u32be(page + 4, 4096 / 4 - 1);
            break;
        default:
            memset(copy + 32, 0, 8);
            break;
        }
        assert_int_equal(check(copy, image.size, &seen, NULL), SHARDY_CORRUPT);
        free(copy);
    }
    free(image.data);
}

static shardy_status stop(void *arg, struct sfi_bytes key, struct sfi_bytes value,
                          shardy_error *err)
{
    size_t *left = arg;
    (void)key;
    (void)value;
    return (*left)-- ? SHARDY_OK : sfi_fail(err, SHARDY_CANCELLED, "enough");
}

static void test_callback_stops(void **state)
{
    struct image image = make(SCHEMA ROWS(500, 9000));
    struct sfi_mapping mapping = sample_mapping(image.data, image.size);
    struct sfi_shard_reader *shard = NULL;
    size_t left = 100;

    (void)state;
    assert_int_equal(sfi_sqlite_reader_open(&mapping, "sample", &shard, NULL), SHARDY_OK);
    assert_int_equal(sfi_sqlite_check(shard, stop, &left, NULL), SHARDY_CANCELLED);
    assert_int_equal(left, SIZE_MAX);
    sfi_shard_reader_release(shard);
    free(image.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_sqlite), cmocka_unit_test(test_against_integrity_check),
        cmocka_unit_test(test_unused_page),     cmocka_unit_test(test_free_list),
        cmocka_unit_test(test_callback_stops),
    };
    return cmocka_run_group_tests_name("sqlite_check", tests, NULL, NULL);
}
