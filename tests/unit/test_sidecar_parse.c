/*
 * test_sidecar_parse.c - every rule of sidecar_parse.c: prefix, frame, body arrays and stored
 * pages, each broken in one place; decompression bombs; truncation and changed bits.
 */
#include "base/limits.h"
#include "shard/sidecar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zstd.h>

#include <cmocka.h>

/* Prefix and frame around a body; checksum and content size as asked. */
static struct sfi_bytes wrap(const void *body, size_t size, uint64_t declared, int checksum,
                             int content_size)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    uint8_t *bytes = malloc(18 + ZSTD_compressBound(size) + 64);
    struct sfi_bytes result = {bytes, 18};

    memcpy(bytes, "SQPC\x08", 5);
    memcpy(bytes + 5, &declared, 8);
    sfi_put_u32le(bytes + 13, 512);
    bytes[17] = 0;
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, content_size);
    result.size += ZSTD_compress2(zstd, bytes + 18, ZSTD_compressBound(size), body, size);
    ZSTD_freeCCtx(zstd);
    return result;
}

static shardy_status parse_status(struct sfi_bytes bytes)
{
    struct sfi_sidecar *s = NULL;
    uint8_t *exact = malloc(bytes.size + 1);

    /* A block of its own, so that reading past the end is seen. */
    memcpy(exact + 1, bytes.data, bytes.size);
    struct sfi_bytes view = {exact + 1, bytes.size};
    shardy_status st = sfi_sidecar_parse(view, &s, NULL);
    assert_true((st == SHARDY_OK) == (s != NULL));
    sfi_sidecar_free(s);
    free(exact);
    return st;
}

/* Two stored pages (leaf 3 with two cells, plain page 9) and two chains. Words of the body: */
enum { N, P0, P1, O0, O1, O2, C, H0, H1, S0, S1, S2, Q0, Q1, Q2, PAGES };

static size_t rules_body(uint8_t *body)
{
    static const uint32_t words[PAGES] = {2, 3, 9, 0, 24, 24 + 512, 2, 20, 30, 0, 2, 3, 20, 21, 30};

    memset(body, 0, 4 * PAGES + 24 + 512);
    memcpy(body, words, sizeof words);
    memcpy(body + sizeof words, "\x0a\0\0\0\x02\x01\xf4\0", 8); /* content starts at 500 */
    return 4 * PAGES + 24 + 512;
}

/* Every rule of the body: broken with as few changed words as leave all other rules whole. */
static void test_body_rules(void **state)
{
    static const struct {
        const char *rule;
        uint32_t word;
        uint32_t value;
        bool ok;
        uint32_t more[2][2]; /* further words, word 0 = none */
    } rows[] = {
        {"nothing changed", N, 2, true, {{0}}},
        {"page count 0", N, 0, false, {{0}}},
        {"page count too large", N, 200, false, {{0}}},
        {"page count 2^32-1", N, UINT32_MAX, false, {{0}}},
        {"page 0", P0, 0, false, {{0}}},
        {"pages equal", P0, 9, false, {{0}}},
        {"pages descending", P0, 10, false, {{0}}},
        {"another page number", P0, 2, true, {{0}}},
        {"first offset not 0", O0, 4, false, {{0}}},
        {"offset too small", O1, 23, false, {{0}}},
        {"offset too large", O1, 25, false, {{0}}},
        {"offset past the end", O1, UINT32_MAX, false, {{0}}},
        {"last offset too small", O2, 24 + 511, false, {{0}}},
        {"last offset too large", O2, 24 + 513, false, {{0}}},
        {"chain count 0", C, 0, false, {{0}}},
        {"chain count too large", C, 1000, false, {{0}}},
        {"chain count 2^32-1", C, UINT32_MAX, false, {{0}}},
        {"head 0", H0, 0, false, {{0}}},
        {"heads equal", H0, 30, false, {{0}}},
        {"head is not the first page", H0, 19, false, {{0}}},
        {"first start not 0", S0, 1, false, {{0}}},
        {"empty chain", S1, 0, false, {{0}}},
        {"empty second chain", S1, 3, false, {{0}}},
        {"start past the end", S1, 1000, false, {{0}}},
        {"last start too small", S2, 2, false, {{0}}},
        {"last start too large", S2, 4, false, {{0}}},
        {"last start 2^32-1", S2, UINT32_MAX, false, {{0}}},
        {"first page is not the head", Q0, 21, false, {{0}}},
        {"another page in the chain", Q1, 99, true, {{0}}},
        {"page 0 in the chain", Q1, 0, false, {{0}}},
        {"heads equal, chains agree", H0, 30, false, {{Q0, 30}}},
        {"heads descending, chains agree", H0, 31, false, {{Q0, 31}}},
        {"first start not 0, chains agree", S0, 1, false, {{Q1, 20}}},
        {"last chain empty, pages go on", S1, 3, false, {{H1, 266}, {PAGES, 266}}},
    };
    uint8_t body[1024];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = rules_body(body);
        memcpy(body + 4 * rows[i].word, &rows[i].value, 4);
        for (size_t j = 0; j < 2 && rows[i].more[j][0]; j++) {
            memcpy(body + 4 * rows[i].more[j][0], &rows[i].more[j][1], 4);
        }
        struct sfi_bytes bytes = wrap(body, size, size, 1, 1);
        shardy_status want = rows[i].ok ? SHARDY_OK : SHARDY_CORRUPT;
        if (parse_status(bytes) != want) {
            fail_msg("%s: not %s", rows[i].rule, shardy_status_name(want));
        }
        free((void *)(uintptr_t)bytes.data);
    }
}

/* The header of a stored page decides where its gap lies. */
static void test_page_rules(void **state)
{
    static const struct {
        const char *rule;
        uint8_t at;
        uint8_t value;
    } rows[] = {
        {"type of a longer header", 0, 2},
        {"type without gap", 0, 0},
        {"more cells", 4, 3},
        {"cells past the content", 3, 1},
        {"fewer cells", 4, 1},
        {"content starts later", 6, 0xf5},
        {"content past the page", 5, 2},
        {"content at 65536", 5, 0},
    };
    uint8_t body[1024];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = rules_body(body);
        body[4 * PAGES + rows[i].at] = rows[i].value;
        if (rows[i].at == 5 && rows[i].value == 0) {
            body[4 * PAGES + 6] = 0;
        }
        struct sfi_bytes bytes = wrap(body, size, size, 1, 1);
        if (parse_status(bytes) != SHARDY_CORRUPT) {
            fail_msg("%s: accepted", rows[i].rule);
        }
        free((void *)(uintptr_t)bytes.data);
    }
}

/* A body of one page: where it lies, how long it is, its first bytes. */
static void test_single_page(void **state)
{
    static const struct {
        const char *rule;
        uint32_t number;
        uint32_t start;
        uint32_t end;
        size_t size;
        uint8_t first[8];
        shardy_status status;
    } rows[] = {
        {"no b-tree page", 3, 0, 512, 512, {0}, SHARDY_OK},
        {"bytes in front", 3, 4, 516, 516, {0}, SHARDY_CORRUPT},
        {"bytes behind", 3, 0, 512, 516, {0}, SHARDY_CORRUPT},
        {"no bytes", 3, 0, 0, 0, {0}, SHARDY_CORRUPT},
        {"page 0", 0, 0, 512, 512, {0}, SHARDY_CORRUPT},
        {"page 1 ends before its header", 1, 0, 50, 50, {0}, SHARDY_CORRUPT},
        {"ends inside the header", 3, 0, 5, 5, {10}, SHARDY_CORRUPT},
        {"content starts behind the page", 3, 0, 8, 8, {10, 0, 0, 0, 2, 2, 4}, SHARDY_CORRUPT},
        {"pointers over content", 3, 0, 520, 520, {10, 0, 0, 0, 250, 1, 244}, SHARDY_CORRUPT},
        {"full page", 3, 0, 512, 512, {10, 0, 0, 0, 2, 0, 12}, SHARDY_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t words[6] = {1, rows[i].number, rows[i].start, rows[i].end, 0, 0};
        uint8_t body[600] = {0};
        size_t size = sizeof words + rows[i].size;
        memcpy(body, words, sizeof words);
        memcpy(body + sizeof words, rows[i].first, sizeof rows[i].first);
        struct sfi_bytes bytes = wrap(body, size, size, 1, 1);
        if (parse_status(bytes) != rows[i].status) {
            fail_msg("%s: not %s", rows[i].rule, shardy_status_name(rows[i].status));
        }
        free((void *)(uintptr_t)bytes.data);
    }
}

static void test_frame_rules(void **state)
{
    uint8_t body[1024];
    size_t size = rules_body(body);
    const struct {
        const char *rule;
        uint64_t declared;
        int checksum;
        int content_size;
        size_t extra; /* zero bytes after the frame */
        shardy_status status;
    } rows[] = {
        {"as it should be", size, 1, 1, 0, SHARDY_OK},
        {"no content size in the frame", size, 1, 0, 0, SHARDY_OK},
        {"no checksum", size, 0, 1, 0, SHARDY_CORRUPT},
        {"body size too small", size - 1, 1, 1, 0, SHARDY_CORRUPT},
        {"body size too large", size + 1, 1, 1, 0, SHARDY_CORRUPT},
        {"too small, unsized frame", size - 1, 1, 0, 0, SHARDY_CORRUPT},
        {"too large, unsized frame", size + 1, 1, 0, 0, SHARDY_CORRUPT},
        {"body size 2^64-1", UINT64_MAX, 1, 1, 0, SHARDY_LIMIT},
        {"body size above the limit", (uint64_t)SFI_SIDECAR_MAX_BODY + 1, 1, 1, 0, SHARDY_LIMIT},
        {"body size above the ratio", SFI_SIDECAR_MAX_BODY, 1, 0, 0, SHARDY_LIMIT},
        {"bytes after the frame", size, 1, 1, 1, SHARDY_CORRUPT},
        {"body size 0", 0, 1, 0, 0, SHARDY_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sfi_bytes bytes =
            wrap(body, size, rows[i].declared, rows[i].checksum, rows[i].content_size);
        memset((uint8_t *)(uintptr_t)bytes.data + bytes.size, 0, rows[i].extra);
        bytes.size += rows[i].extra;
        if (parse_status(bytes) != rows[i].status) {
            fail_msg("%s: not %s", rows[i].rule, shardy_status_name(rows[i].status));
        }
        free((void *)(uintptr_t)bytes.data);
    }
    /* The last byte is missing: memory that was never written must not pass for it. */
    struct sfi_bytes cut = wrap(body, size - 1, size, 1, 0);
    assert_int_equal(parse_status(cut), SHARDY_CORRUPT);
    free((void *)(uintptr_t)cut.data);
    /* A frame large enough for the ratio does not lift the limit. */
    uint8_t *noise = malloc(1u << 19);
    unsigned seed = 7;
    for (size_t i = 0; i < 1u << 19; i++) {
        noise[i] = (uint8_t)(rand_r(&seed) >> 8);
    }
    struct sfi_bytes large = wrap(noise, 1u << 19, (uint64_t)SFI_SIDECAR_MAX_BODY + 1, 1, 1);
    assert_int_equal(parse_status(large), SHARDY_LIMIT);
    free((void *)(uintptr_t)large.data);
    free(noise);
    /* An empty skippable frame in place of, and a second frame after, the first one. */
    struct sfi_bytes bytes = wrap(body, size, size, 1, 1);
    uint8_t *at = (uint8_t *)(uintptr_t)bytes.data;
    memcpy(at + bytes.size, "\x50\x2a\x4d\x18\0\0\0\0", 8);
    bytes.size += 8;
    assert_int_equal(parse_status(bytes), SHARDY_CORRUPT);
    memcpy(at + 18, "\x50\x2a\x4d\x18\x02\0\0\0\0\0", 10);
    bytes.size = 28;
    assert_int_equal(parse_status(bytes), SHARDY_CORRUPT);
    free(at);
}

/* 200 MiB of zeros in 20 KiB: refused by the sizes alone, or after at most the declared bytes. */
static void test_bomb(void **state)
{
    size_t size = (size_t)200 << 20;
    uint8_t *zeros = calloc(1, size);
    uint64_t declared[] = {size, 4096};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct sfi_bytes bytes = wrap(zeros, size, declared[i], 1, (int)i == 0);
        assert_true(bytes.size < 65536);
        assert_int_equal(parse_status(bytes), i == 0 ? SHARDY_LIMIT : SHARDY_CORRUPT);
        free((void *)(uintptr_t)bytes.data);
    }
    free(zeros);
}

static void test_prefix_rules(void **state)
{
    static const struct {
        uint8_t at;
        uint8_t value;
        shardy_status status;
    } rows[] = {
        {0, 's', SHARDY_CORRUPT},  {4, 7, SHARDY_UNSUPPORTED}, {4, 9, SHARDY_UNSUPPORTED},
        {13, 1, SHARDY_CORRUPT},   {14, 0, SHARDY_CORRUPT},    {15, 1, SHARDY_CORRUPT},
        {17, 255, SHARDY_CORRUPT}, {18, 0, SHARDY_CORRUPT},    {18, 0xff, SHARDY_CORRUPT},
    };
    uint8_t good[22];
    (void)state;
    memcpy(good, "SQPC\x08\x10\0\0\0\0\0\0\0\0\x10\0\0\x04\"ab\"", sizeof good);
    for (size_t size = 0; size <= sizeof good; size++) {
        struct sfi_sidecar_prefix prefix;
        struct sfi_bytes bytes = {good, size};
        assert_int_equal(sfi_sidecar_parse_prefix(bytes, &prefix, NULL),
                         size < sizeof good ? SHARDY_CORRUPT : SHARDY_OK);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sfi_sidecar_prefix prefix;
        struct sfi_bytes bytes = {good, sizeof good};
        uint8_t saved = good[rows[i].at];
        good[rows[i].at] = rows[i].value;
        assert_int_equal(sfi_sidecar_parse_prefix(bytes, &prefix, NULL), rows[i].status);
        good[rows[i].at] = saved;
    }
}

static bool same_content(const struct sfi_sidecar *s, const struct sfi_sidecar *want)
{
    uint32_t page_size = sfi_sidecar_page_size(want);
    size_t pages = sfi_sidecar_page_count(want);
    size_t chains = sfi_sidecar_chain_count(want);
    uint8_t *images = malloc(2 * (size_t)page_size);
    bool same = sfi_sidecar_page_size(s) == page_size && sfi_sidecar_page_count(s) == pages &&
                sfi_sidecar_chain_count(s) == chains;

    for (size_t i = 0; same && i < pages; i++) {
        sfi_sidecar_page(s, i, images);
        sfi_sidecar_page(want, i, images + page_size);
        same = sfi_sidecar_page_number(s, i) == sfi_sidecar_page_number(want, i) &&
               memcmp(images, images + page_size, page_size) == 0;
    }
    for (size_t i = 0; same && i < chains; i++) {
        size_t n = 0;
        size_t m = 0;
        const uint32_t *a = sfi_sidecar_chain(s, i, &n);
        const uint32_t *b = sfi_sidecar_chain(want, i, &m);
        same = n == m && memcmp(a, b, n * sizeof *a) == 0;
    }
    free(images);
    return same;
}

/* Every truncation fails; a changed bit fails, or changes nothing but tag and page size. */
static void test_damage(void **state)
{
    struct sfi_chain chains[] = {{900, 40}, {700, 3}};
    struct sfi_sidecar_page pages[24];
    uint8_t *images = calloc(24, 4096);
    struct sfi_sidecar_input input = {4096, pages, 24, chains, 2, "\"etag\""};
    struct sfi_sidecar *want = NULL;
    struct sfi_buf out;
    unsigned seed = 20260314;

    (void)state;
    for (uint32_t i = 0; i < 24; i++) {
        uint8_t *image = images + 4096 * i;
        pages[i] = (struct sfi_sidecar_page){3 * i + 2, image};
        memcpy(image, "\x02\0\0\0\x02\x0f\0", 7); /* two cells, from byte 3,840 */
        for (size_t j = 3840; j < 4096; j++) {
            image[j] = (uint8_t)rand_r(&seed);
        }
    }
    sfi_buf_init(&out, SIZE_MAX);
    assert_int_equal(sfi_sidecar_encode(&input, &out, NULL), SHARDY_OK);
    assert_int_equal(sfi_sidecar_parse(sfi_buf_view(&out), &want, NULL), SHARDY_OK);
    for (size_t size = 0; size < out.size; size++) {
        struct sfi_bytes bytes = {out.data, size};
        assert_int_not_equal(parse_status(bytes), SHARDY_OK);
    }
    for (int round = 0; round < 20000; round++) {
        struct sfi_sidecar *s = NULL;
        size_t at = (size_t)rand_r(&seed) % (round % 2 ? out.size : 64);
        uint8_t mask = (uint8_t)(1u << (rand_r(&seed) % 8));
        out.data[at] ^= mask;
        if (sfi_sidecar_parse(sfi_buf_view(&out), &s, NULL) == SHARDY_OK) {
            assert_true(same_content(s, want));
        }
        out.data[at] ^= mask;
        sfi_sidecar_free(s);
    }
    sfi_sidecar_free(want);
    sfi_buf_clear(&out);
    free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix_rules), cmocka_unit_test(test_frame_rules),
        cmocka_unit_test(test_bomb),         cmocka_unit_test(test_body_rules),
        cmocka_unit_test(test_page_rules),   cmocka_unit_test(test_single_page),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
