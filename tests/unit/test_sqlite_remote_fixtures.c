/*
 * test_sqlite_remote_fixtures.c - the shards of the original implementation
 * (shared/fixtures/original) read remotely: every row that SQLite finds in them, with and without
 * their own sidecars. Skipped when the fixtures are not there.
 */
#include "remote_sample.h"

#include <ftw.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NAMES_MAX 256

static char *names[NAMES_MAX];
static size_t name_count;

static int note_shard(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    if (type == FTW_F && strcmp(path + ftw->base, "shard.db") == 0 && name_count < NAMES_MAX) {
        names[name_count++] = strdup(path);
    }
    return 0;
}

static uint8_t *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return NULL;
    }
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 1);
    remote_require(data && fread(data, 1, *size, f) == *size, path);
    fclose(f);
    return data;
}

/* Every row of the file by SQLite, compared with lookups of 64 at a time. */
static size_t compare_rows(struct remote_net *net)
{
    enum { BATCH = 64 };
    struct sfi_lookup lookups[BATCH];
    uint8_t *values[BATCH];
    size_t sizes[BATCH];
    size_t rows = 0;
    size_t n = 0;
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    sqlite3_int64 size = (sqlite3_int64)net->file->size;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_deserialize(db, "main", net->file->image, size, size, SQLITE_DESERIALIZE_READONLY),
        SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT k, v FROM kv", -1, &stmt, NULL), SQLITE_OK);
    for (bool more = true; more;) {
        more = sqlite3_step(stmt) == SQLITE_ROW;
        if (more) {
            size_t key_size = (size_t)sqlite3_column_bytes(stmt, 0);
            uint8_t *key = malloc(key_size + 1);
            sizes[n] = (size_t)sqlite3_column_bytes(stmt, 1);
            values[n] = malloc(sizes[n] + 1);
            assert_true(key && values[n]);
            if (key_size) {
                memcpy(key, sqlite3_column_blob(stmt, 0), key_size);
            }
            if (sizes[n]) {
                memcpy(values[n], sqlite3_column_blob(stmt, 1), sizes[n]);
            }
            memset(&lookups[n], 0, sizeof lookups[n]);
            lookups[n].shard = net->shard;
            lookups[n].key = key;
            lookups[n].key_size = (uint32_t)key_size;
            lookups[n].prefix = sfi_key_prefix(key, key_size);
            n++;
        }
        if (n < BATCH && more) {
            continue;
        }
        shardy_error err = SHARDY_ERROR_INIT;
        if (remote_lookup(net, lookups, n, &err) != SHARDY_OK) {
            fail_msg("%s: %s", net->file->shape.name, err.message);
        }
        for (size_t i = 0; i < n; i++) {
            assert_non_null(lookups[i].value);
            assert_int_equal(lookups[i].value_size, sizes[i]);
            assert_memory_equal(lookups[i].value, values[i], sizes[i]);
            sfi_free(lookups[i].copy);
            free(values[i]);
            free((void *)(uintptr_t)lookups[i].key);
        }
        rows += n;
        n = 0;
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return rows;
}

static size_t scan_rows(struct remote_net *net)
{
    struct sfi_shard_cursor *cursor = NULL;
    struct sfi_bytes start = {NULL, 0};
    struct sfi_row rows[50];
    size_t seen = 0;
    size_t count = 1;
    while (count) {
        bool missing = false;
        bool sought = cursor != NULL;
        shardy_status st =
            sought ? sfi_remote_next(cursor, rows, 50, &count, &net->wants, &missing, NULL)
                   : sfi_remote_seek(net->shard, start, &cursor, &net->wants, &missing, NULL);
        assert_int_equal(st, SHARDY_OK);
        if (missing) {
            assert_int_equal(remote_wave(net, NULL), SHARDY_OK);
            count = 1;
        } else if (sought) {
            seen += count;
        }
    }
    sfi_remote_cursor_free(cursor);
    return seen;
}

static void test_originals(void **state)
{
    (void)state;
    const char *root = getenv("SHARDY_FIXTURES");
    char path[4096];
    snprintf(path, sizeof path, "%s/original", root ? root : "");
    if (!root || nftw(path, note_shard, 16, FTW_PHYS) != 0 || !name_count) {
        skip();
    }
    for (size_t i = 0; i < name_count; i++) {
        for (unsigned mode = 0; mode < 2; mode++) {
            struct remote_file file = {.shape.name = names[i]};
            struct sfi_sidecar_prefix prefix = {0};
            struct remote_net net;
            file.image = read_all(names[i], &file.size);
            assert_non_null(file.image);
            snprintf(path, sizeof path, "%.*s/%s", (int)(strlen(names[i]) - 9), names[i],
                     SFI_SIDECAR_NAME);
            file.sidecar = read_all(path, &file.sidecar_size);
            struct sfi_bytes sidecar = {file.sidecar, file.sidecar_size};
            if (file.sidecar) {
                assert_int_equal(sfi_sidecar_parse_prefix(sidecar, &prefix, NULL), SHARDY_OK);
            }
            remote_open(&net, &file, mode ? REMOTE_SIDECAR : REMOTE_NO_HINT);
            net.etag = *prefix.tag ? prefix.tag : REMOTE_ETAG;
            size_t rows = compare_rows(&net);
            assert_int_equal(scan_rows(&net), rows);
            remote_close_net(&net);
            remote_clear(&file);
        }
        free(names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_originals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
