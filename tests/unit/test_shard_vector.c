/*
 * test_shard_vector.c - the worked vector of docs/format/shard.md, the recorded checksum against
 * its definition there, and the sidecar that the builder makes against SQLite's dbstat.
 */
#include "shard/shard.h"
#include "shard/sidecar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <xxhash.h>

#include <cmocka.h>

#define PAGE 4096

static void put_hex(uint8_t *at, const char *hex)
{
    for (; *hex; hex++) {
        unsigned byte = 0;
        if (*hex != ' ') {
            assert_int_equal(sscanf(hex, "%2x", &byte), 1);
            *at++ = (uint8_t)byte;
            hex++;
        }
    }
}

/* The table of the page, written out. */
static void expected_image(uint8_t image[3 * PAGE])
{
    static const struct {
        uint32_t page;
        uint32_t offset;
        const char *hex;
    } rows[] = {
        {1, 0, "53514c69746520666f726d6174203300"},
        {1, 16, "1000 01 01 00 40 20 20 00000001 00000003"},
        {1, 40, "00000001 00000004"},
        {1, 56, "00000001"},
        {1, 68, "73667331"},
        {1, 92, "00000001 002e6300"},
        {1, 100, "0d 0000 0001 0faa 00 0faa"},
        {1, 4010, "54 01 07 17 11 11 01 81 13"},
        {1, 4019, "7461626c65 6b76 6b76 03"},
        {3, 0, "0a 0000 0003 0c5e 00 0ffa 0ff5 0c5e"},
        {3, 3166, "a70d 04 0e ce1c 63"},
        {3, 4081, "00000002"},
        {3, 4085, "04 03 0e 0c 62"},
        {3, 4090, "05 03 0e 0e 61 31"},
    };
    static const char sql[] = "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";

    memset(image, 0, 3 * PAGE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_hex(image + (rows[i].page - 1) * PAGE + rows[i].offset, rows[i].hex);
    }
    memcpy(image + 4029, sql, sizeof sql - 1);
    memset(image + PAGE + 4, 'x', PAGE - 4);
    memset(image + 2 * PAGE + 3173, 'x', 908);
}

static void test_vector(void **state)
{
    static uint8_t value[5000];
    uint8_t *want = malloc(3 * PAGE);
    const struct sfi_row rows[] = {
        {(const uint8_t *)"a", (const uint8_t *)"1", 1, 1},
        {(const uint8_t *)"b", (const uint8_t *)"", 1, 0},
        {(const uint8_t *)"c", value, 1, sizeof value},
    };
    struct sfi_store *store = NULL;
    struct sfi_shard_builder *builder = NULL;
    struct sfi_shard_built built;
    struct sfi_buf image;
    shardy_error err = SHARDY_ERROR_INIT;

    (void)state;
    memset(value, 'x', sizeof value);
    expected_image(want);
    sfi_buf_init(&image, SIZE_MAX);
    assert_int_equal(sfi_store_open("memory://vector", NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_sqlite_builder_new(store, SFI_SHARD_DB_NAME, PAGE, false, &builder, NULL),
                     SHARDY_OK);
    assert_int_equal(builder->ops->add(builder, rows, 3, NULL), SHARDY_OK);
    if (builder->ops->finish(builder, &built, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    builder->ops->free(builder);
    assert_int_equal(sfi_store_get(store, SFI_SHARD_DB_NAME, 0, &image, NULL, NULL), SHARDY_OK);
    assert_int_equal(built.rows, 3);
    assert_int_equal(built.tail_pages, 0);
    assert_int_equal(built.bytes, image.size);
    assert_int_equal(image.size, 3 * PAGE);
    assert_memory_equal(image.data, want, 3 * PAGE);
    assert_string_equal(built.checksum, "xxh3-128-1m:fb95fd1d96cd8783861c59f72f35b08a");
    sfi_buf_clear(&built.sidecar);
    sfi_buf_clear(&image);
    sfi_store_release(store);
    free(want);
}

/* XXH3-128 over the canonical digests of 1 MiB blocks, as the page defines it. */
static void test_checksum(void **state)
{
    static const size_t sizes[] = {1, 4096, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, 70u << 20};
    uint8_t *image = malloc(70u << 20);
    XXH128_canonical_t digests[70];
    unsigned seed = 3;

    (void)state;
    for (size_t i = 0; i < 70u << 20; i++) {
        image[i] = i % 4096 ? (uint8_t)i : (uint8_t)rand_r(&seed);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sfi_bytes bytes = {image, sizes[i]};
        size_t blocks = 0;
        char want[SFI_CHECKSUM_SIZE];
        char got[SFI_CHECKSUM_SIZE];
        for (size_t at = 0; at < sizes[i]; at += 1u << 20) {
            size_t left = sizes[i] - at;
            XXH128_canonicalFromHash(&digests[blocks++],
                                     XXH3_128bits(image + at, left < 1u << 20 ? left : 1u << 20));
        }
        XXH128_hash_t hash = XXH3_128bits(digests, 16 * blocks);
        snprintf(want, sizeof want, "xxh3-128-1m:%016llx%016llx", (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
        sfi_shard_checksum(bytes, got);
        assert_string_equal(got, want);
    }
    free(image);
}

/* Rows with keys 0, 1, 2...; each 20th value is on overflow pages. */
static void build(uint32_t page_size, struct sfi_buf *image, struct sfi_shard_built *built)
{
    static uint8_t value[200000];
    char url[32];
    struct sfi_store *store = NULL;
    struct sfi_shard_builder *builder = NULL;

    snprintf(url, sizeof url, "memory://sidecar-%u", page_size);
    sfi_buf_init(image, SIZE_MAX);
    assert_int_equal(sfi_store_open(url, NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(
        sfi_sqlite_builder_new(store, SFI_SHARD_DB_NAME, page_size, true, &builder, NULL),
        SHARDY_OK);
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t key[4];
        struct sfi_row row = {key, value, sizeof key, i % 20 ? 300 : 2 * page_size + i};
        sfi_put_u32be(key, i);
        memset(value, (int)i, row.value_size);
        assert_int_equal(builder->ops->add(builder, &row, 1, NULL), SHARDY_OK);
    }
    assert_int_equal(builder->ops->finish(builder, built, NULL), SHARDY_OK);
    builder->ops->free(builder);
    assert_int_equal(sfi_store_get(store, SFI_SHARD_DB_NAME, 0, image, NULL, NULL), SHARDY_OK);
    sfi_store_release(store);
}

/* Every page that dbstat calls internal or overflow is where the sidecar says, and no other. */
static void compare_with_dbstat(const struct sfi_buf *image, const struct sfi_sidecar *s)
{
    size_t page_size = sfi_sidecar_page_size(s);
    uint8_t *page = malloc(page_size);
    size_t internal = 1; /* page 1 */
    size_t overflow = 0;
    sqlite3 *db = NULL;
    sqlite3_stmt *query = NULL;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_deserialize(db, "main", image->data, (sqlite3_int64)image->size,
                                         (sqlite3_int64)image->size, SQLITE_DESERIALIZE_READONLY),
                     SQLITE_OK);
    sqlite3_prepare_v2(db, "SELECT pageno, pagetype FROM dbstat", -1, &query, NULL);
    while (sqlite3_step(query) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(query, 1);
        uint32_t number = (uint32_t)sqlite3_column_int64(query, 0);
        overflow += strcmp(type, "overflow") == 0;
        if (strcmp(type, "internal") == 0) {
            size_t index = sfi_sidecar_find(s, number);
            assert_true(index < sfi_sidecar_page_count(s));
            sfi_sidecar_page(s, index, page);
            assert_memory_equal(page, image->data + (number - 1) * page_size, page_size);
            internal++;
        }
    }
    assert_int_equal(internal, sfi_sidecar_page_count(s));
    assert_true(internal > 1);
    for (size_t i = 0; i < sfi_sidecar_chain_count(s); i++) {
        size_t count = 0;
        const uint32_t *chain = sfi_sidecar_chain(s, i, &count);
        for (size_t j = 0; j < count; j++) {
            uint32_t next = sfi_get_u32be(image->data + (chain[j] - 1) * page_size);
            assert_int_equal(next, j + 1 < count ? chain[j + 1] : 0);
        }
        overflow -= count;
    }
    assert_int_equal(overflow, 0);
    sqlite3_finalize(query);
    sqlite3_close(db);
    free(page);
}

static void test_builder_sidecar(void **state)
{
    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 2) {
        struct sfi_shard_built built;
        struct sfi_sidecar *s = NULL;
        struct sfi_buf image;

        build(page_size, &image, &built);
        assert_int_equal(sfi_sidecar_parse(sfi_buf_view(&built.sidecar), &s, NULL), SHARDY_OK);
        assert_int_equal(sfi_sidecar_page_size(s), page_size);
        assert_string_equal(sfi_sidecar_tag(s), built.etag);
        assert_int_equal(built.tail_pages, sfi_sidecar_page_count(s) - 1);
        compare_with_dbstat(&image, s);
        sfi_sidecar_free(s);
        sfi_buf_clear(&built.sidecar);
        sfi_buf_clear(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_builder_sidecar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
