/*
 * test_sqlite_remote_scan.c - scans of remote shards: all rows in order from any start, with any
 * hints, while pages are evicted; read-ahead that keeps waves few and does not fetch the file for a
 * few rows.
 */
#include "remote_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct remote_shape shapes[] = {
    {.name = "ours", .ours = true, .page_size = 4096, .rows = 30000, .value_size = 100},
    {.name = "ours long",
     .ours = true,
     .page_size = 4096,
     .rows = 300,
     .value_size = 60,
     .long_every = 3,
     .long_size = 20000},
    {.name = "ours, one leaf", .ours = true, .page_size = 4096, .rows = 5, .value_size = 10},
    {.name = "ours, empty", .ours = true, .page_size = 4096},
    {.name = "ours, long keys",
     .ours = true,
     .page_size = 4096,
     .rows = 300,
     .key_pad = 9000,
     .value_size = 100},
    {.name = "shuffled", .shuffled = true, .page_size = 8192, .rows = 30000, .value_size = 100},
    {.name = "deep", .shuffled = true, .page_size = 4096, .rows = 5000, .value_size = 900},
    {.name = "long",
     .page_size = 4096,
     .rows = 200,
     .value_size = 60,
     .long_every = 1,
     .long_size = 20000},
    {.name = "huge",
     .page_size = 65536,
     .rows = 60,
     .value_size = 60,
     .long_every = 4,
     .long_size = 700000},
    {.name = "empty", .page_size = 4096},
};

#define SHAPES (sizeof shapes / sizeof *shapes)

static struct remote_file files[SHAPES];

static int make_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        remote_make(&files[i], &shapes[i]);
        if (!shapes[i].ours) {
            remote_add_sidecar(&files[i], REMOTE_ETAG);
        }
    }
    return 0;
}

static int clear_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        remote_clear(&files[i]);
    }
    return 0;
}

static void seek(struct remote_net *net, struct sfi_bytes start, struct sfi_shard_cursor **cursor)
{
    shardy_error err = SHARDY_ERROR_INIT;
    for (;;) {
        bool missing = false;
        if (sfi_remote_seek(net->shard, start, cursor, &net->wants, &missing, &err) != SHARDY_OK) {
            fail_msg("%s: %s", net->file->shape.name, err.message);
        }
        if (!missing) {
            assert_non_null(*cursor);
            return;
        }
        assert_null(*cursor);
        assert_int_equal(remote_wave(net, NULL), SHARDY_OK);
    }
}

/* Rows from number `from` on, at most `limit`; returns how many. */
static size_t scan(struct remote_net *net, uint32_t from, size_t max, size_t limit)
{
    const struct remote_shape *shape = &net->file->shape;
    struct sfi_shard_cursor *cursor = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_row rows[64];
    uint8_t *key = malloc(shape->key_pad + 16);
    uint32_t row = (from + 1) / 2;
    size_t seen = 0;
    size_t count = 1;
    unsigned calls = 0;
    assert_non_null(key);
    struct sfi_bytes start = {from ? key : NULL, from ? remote_key(shape, from, key) : 0};

    seek(net, start, &cursor);
    while (count && seen < limit) {
        bool missing = false;
        if (sfi_remote_next(cursor, rows, max, &count, &net->wants, &missing, &err) != SHARDY_OK) {
            fail_msg("%s: row %u: %s", shape->name, row, err.message);
        }
        assert_true(count <= max);
        if (missing) {
            assert_int_equal(count, 0);
            assert_int_equal(remote_wave(net, NULL), SHARDY_OK);
            count = 1;
            continue;
        }
        assert_int_equal(net->wants.count, 0);
        if (net->evict && calls++ % 256 == 0) {
            remote_evict_all(net); /* rows stay */
        }
        for (size_t i = 0; i < count; i++, row++, seen++) {
            uint32_t size;
            uint8_t *value = remote_value(shape, row, &size);
            assert_int_equal(rows[i].key_size, remote_key(shape, 2 * row, key));
            assert_memory_equal(rows[i].key, key, rows[i].key_size);
            assert_int_equal(rows[i].value_size, size);
            assert_memory_equal(rows[i].value, value, size);
            free(value);
        }
    }
    sfi_remote_cursor_free(cursor);
    free(key);
    if (seen < limit) {
        assert_int_equal(row,
                         from / 2 + (from % 2) > shape->rows ? from / 2 + from % 2 : shape->rows);
    }
    return seen;
}

static void test_all_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        for (unsigned mode = 0; mode < 12; mode++) {
            struct remote_net net;
            remote_open(&net, &files[i], (enum remote_hint)(mode % 3));
            net.tiny = mode / 3 % 2;
            net.evict = mode / 6;
            assert_int_equal(scan(&net, 0, 1 + mode * 5, SIZE_MAX), shapes[i].rows);
            remote_close_net(&net);
        }
    }
}

/* From rows, gaps, and behind the last row; separators among them. */
static void test_starts(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct remote_net net;
        uint32_t keys = 2 * shapes[i].rows + 3;
        uint32_t step = keys > 60 ? keys / 60 : 1;
        remote_open(&net, &files[i], i % 2 ? REMOTE_HINT : REMOTE_SIDECAR);
        for (uint32_t from = 1; from < keys; from += step) {
            uint32_t left = (from + 1) / 2 < shapes[i].rows ? shapes[i].rows - (from + 1) / 2 : 0;
            assert_int_equal(scan(&net, from, 2, 4) >= 4, left >= 4);
            if (from % 3 == 0) {
                remote_evict_all(&net);
            }
        }
        remote_close_net(&net);
    }
}

/* A few rows cost little; all rows cost few waves, and the file about once. */
static void test_read_ahead(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct remote_net net;
        if (files[i].size < (2u << 20) || shapes[i].key_pad) {
            continue;
        }
        enum remote_hint hint = shapes[i].ours ? REMOTE_HINT : REMOTE_SIDECAR;
        remote_open(&net, &files[i], hint);
        assert_int_equal(remote_prepare(&net, NULL), SHARDY_OK);
        net.waves = 0;
        net.bytes = 0;
        scan(&net, shapes[i].rows, 8, 8);
        if (net.waves > 3) {
            fail_msg("%s: %llu waves for eight rows", shapes[i].name,
                     (unsigned long long)net.waves);
        }
        if (shapes[i].long_size < 100000) {
            assert_true(net.bytes < (3u << 19));
        }
        remote_close_net(&net);

        remote_open(&net, &files[i], hint);
        assert_int_equal(scan(&net, 0, 64, SIZE_MAX), shapes[i].rows);
        uint64_t most = 6 + files[i].size / (1u << 20);
        if (net.waves > most || net.bytes > files[i].size * 5 / 4 + (1u << 20)) {
            fail_msg("%s: %llu waves, %llu of %zu bytes", shapes[i].name,
                     (unsigned long long)net.waves, (unsigned long long)net.bytes, files[i].size);
        }
        remote_close_net(&net);
    }
}

/* Wrong hints make the leaves seem higher than they are: scans find out. */
static void test_wrong_hints(void **state)
{
    (void)state;
    for (uint32_t tail = 1; tail < 4; tail++) {
        struct remote_file file = files[0];
        struct remote_net net;
        file.tail_pages = tail;
        remote_open(&net, &file, REMOTE_HINT);
        assert_int_equal(scan(&net, 0, 64, SIZE_MAX), shapes[0].rows);
        remote_close_net(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_rows),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_read_ahead),
        cmocka_unit_test(test_wrong_hints),
    };
    return cmocka_run_group_tests(tests, make_files, clear_files);
}
