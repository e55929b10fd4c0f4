/*
 * test_pointer.c - the _CURRENT pointer: exact bytes written, everything accepted, what is refused
 * and how the message names the field, damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "manifest/manifest.h"
#include "store_sample.h"

#define GOOD                                                                                       \
    "{\"format_version\":1,\"manifest_content_type\":\"application/x-sqlite3\",\"manifest_ref\":"  \
    "\"s3://bucket/prefix/manifests/2026-03-14T10:30:00.000000Z_run_id=abc/manifest\",\"run_id\":" \
    "\"abc\",\"updated_at\":\"2026-03-14T10:30:01.000001Z\"}"
#define GOOD_US INT64_C(1773484201000001)

static void writes_the_documented_bytes(void **state)
{
    struct sfi_buf out;
    struct sfi_pointer pointer = {
        sfi_strdup("s3://bucket/prefix/manifests/2026-03-14T10:30:00.000000Z_run_id=abc/manifest"),
        sfi_strdup("abc"), GOOD_US};
    (void)state;
    sfi_buf_init(&out, SFI_POINTER_MAX_BYTES);
    assert_int_equal(sfi_pointer_encode(&pointer, &out, NULL), SHARDY_OK);
    assert_string_equal((const char *)out.data, GOOD);
    sfi_buf_clear(&out);
    sfi_buf_init(&out, 20);
    assert_int_equal(sfi_pointer_encode(&pointer, &out, NULL), SHARDY_LIMIT);
    sfi_buf_clear(&out);
    sfi_pointer_clear(&pointer);
}

#define WITH(version, type, ref, run, updated)                                                \
    "{" version "\"manifest_content_type\":" type ",\"manifest_ref\":" ref ",\"run_id\":" run \
    ",\"updated_at\":" updated "}"
#define TIME "\"2026-03-14T10:30:01.000001Z\""

static const struct {
    const char *text;
    const char *field; /* NULL: accepted */
    int64_t us;
} rows[] = {
    {GOOD, NULL, GOOD_US},
    {" \n" GOOD "\t ", NULL, GOOD_US},
    {WITH("", "\"x\"", "\"\"", "\"\"", TIME), NULL, GOOD_US},
    {WITH("\"format_version\":\"7\",", "\"x\"", "\"r\"", "\"i\"", TIME), NULL, GOOD_US},
    {WITH("\"format_version\":true,\"extra\":[{}],", "\"x\"", "\"r\"", "\"i\"", TIME), NULL,
     GOOD_US},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "1700000000"), NULL, INT64_C(1700000000000000)},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "1700000000000"), NULL, INT64_C(1700000000000000)},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"1700000000\""), NULL, INT64_C(1700000000000000)},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"2026-01-01 00:00:00.5\""), NULL,
     INT64_C(1767225600500000)},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"2026-01-01T02:00:00+02:00\""), NULL,
     INT64_C(1767225600000000)},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"2026-01-01\""), NULL, INT64_C(1767225600000000)},
    {"", "document", 0},
    {"null", "document", 0},
    {"[]", "document", 0},
    {"{", "document", 0},
    {"\xef\xbb\xbf" GOOD, "document", 0},
    {GOOD GOOD, "document", 0},
    {"{\"run_id\":\"a\",\"run_id\":\"b\"}", "duplicate key", 0},
    {"{}", "manifest_content_type", 0},
    {WITH("\"format_version\":1.5,", "\"x\"", "\"r\"", "\"i\"", TIME), "format_version", 0},
    {WITH("\"format_version\":null,", "\"x\"", "\"r\"", "\"i\"", TIME), "format_version", 0},
    {WITH("", "1", "\"r\"", "\"i\"", TIME), "manifest_content_type", 0},
    {WITH("", "\"x\"", "null", "\"i\"", TIME), "manifest_ref", 0},
    {WITH("", "\"x\"", "\"a\\u0000b\"", "\"i\"", TIME), "manifest_ref", 0},
    {WITH("", "\"x\"", "\"r\"", "5", TIME), "run_id", 0},
    {WITH("", "\"x\"", "\"r\"", "\"\\ud800\"", TIME), "run_id", 0},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"soon\""), "updated_at", 0},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "null"), "updated_at", 0},
    {WITH("", "\"x\"", "\"r\"", "\"i\"", "\"2026-13-01T00:00:00Z\""), "updated_at", 0},
};

static void reads_good_and_refuses_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sfi_pointer pointer;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_pointer_parse(bytes_of(rows[i].text), &pointer, &err);
        if (!rows[i].field) {
            assert_int_equal(st, SHARDY_OK);
            assert_true(pointer.updated_at_us == rows[i].us);
            assert_non_null(pointer.manifest_ref);
            sfi_pointer_clear(&pointer);
        } else {
            assert_int_equal(st, SHARDY_MANIFEST);
            assert_null(pointer.run_id);
            if (!strstr(err.message, rows[i].field) ||
                strncmp(err.message, "CURRENT pointer validation failed: ", 35) != 0) {
                fail_msg("%s\ngot: %s", rows[i].text, err.message);
            }
        }
    }
}

static void size_is_limited(void **state)
{
    struct sfi_pointer pointer;
    char *text = malloc(SFI_POINTER_MAX_BYTES + 1);
    struct sfi_bytes bytes = {(const uint8_t *)text, SFI_POINTER_MAX_BYTES + 1};
    (void)state;
    memset(text, ' ', SFI_POINTER_MAX_BYTES + 1);
    memcpy(text, GOOD, sizeof GOOD - 1);
    assert_int_equal(sfi_pointer_parse(bytes, &pointer, NULL), SHARDY_MANIFEST);
    bytes.size--;
    assert_int_equal(sfi_pointer_parse(bytes, &pointer, NULL), SHARDY_OK);
    sfi_pointer_clear(&pointer);
    free(text);
}

/* Truncated: always an error. Flipped bits: an error, or some pointer. */
static void damaged_pointers(void **state)
{
    uint64_t seed = 31;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (size_t size = 0; size < sizeof GOOD - 1; size++) {
        struct sfi_pointer pointer;
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, GOOD, size);
        struct sfi_bytes bytes = {copy, size};
        assert_int_equal(sfi_pointer_parse(bytes, &pointer, NULL), SHARDY_MANIFEST);
        free(copy);
    }
    for (int i = 0; i < 20000; i++) {
        struct sfi_pointer pointer;
        uint8_t *copy = malloc(sizeof GOOD - 1);
        memcpy(copy, GOOD, sizeof GOOD - 1);
        for (int flips = 0; flips <= i % 3; flips++) {
            uint64_t r = next_random(&seed);
            copy[(r >> 8) % (sizeof GOOD - 1)] ^= (uint8_t)(1u << (r & 7));
        }
        struct sfi_bytes bytes = {copy, sizeof GOOD - 1};
        shardy_status st = sfi_pointer_parse(bytes, &pointer, NULL);
        assert_true(st == SHARDY_OK || st == SHARDY_MANIFEST);
        sfi_pointer_clear(&pointer);
        free(copy);
    }
}

static void fixtures_are_read_and_written_alike(void **state)
{
    static const char *const names[] = {"hash-u64be", "hash-utf8", "cel-inferred", "deep"};
    char root[4096];
    (void)state;
    if (!fixtures_root(root, sizeof root)) {
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[4200];
        uint8_t data[4096];
        struct sfi_pointer pointer;
        struct sfi_buf out;
        snprintf(path, sizeof path, "%s/%s/objects/_CURRENT", root, names[i]);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        struct sfi_bytes text = {data, fread(data, 1, sizeof data, file)};
        fclose(file);
        assert_int_equal(sfi_pointer_parse(text, &pointer, NULL), SHARDY_OK);
        sfi_buf_init(&out, SFI_POINTER_MAX_BYTES);
        assert_int_equal(sfi_pointer_encode(&pointer, &out, NULL), SHARDY_OK);
        assert_int_equal(sfi_bytes_compare(sfi_buf_view(&out), text), 0);
        sfi_buf_clear(&out);
        sfi_pointer_clear(&pointer);
    }
}

static void every_allocation_may_fail(void **state)
{
    bool done = false;
    (void)state;
    install_failing_allocator();
    for (unsigned long n = 1; !done; n++) {
        struct sfi_pointer pointer;
        struct sfi_buf out;
        sfi_buf_init(&out, SFI_POINTER_MAX_BYTES);
        fail_allocation(n);
        shardy_status st = sfi_pointer_parse(bytes_of(GOOD), &pointer, NULL);
        if (st == SHARDY_OK) {
            st = sfi_pointer_encode(&pointer, &out, NULL);
        }
        done = st == SHARDY_OK;
        assert_true(done || st == SHARDY_NO_MEMORY);
        fail_allocation(0);
        sfi_pointer_clear(&pointer);
        sfi_buf_clear(&out);
        assert_true(n < 100);
    }
    shardy_set_allocator(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_documented_bytes),
        cmocka_unit_test(reads_good_and_refuses_bad),
        cmocka_unit_test(size_is_limited),
        cmocka_unit_test(damaged_pointers),
        cmocka_unit_test(fixtures_are_read_and_written_alike),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
