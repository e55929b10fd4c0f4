/*
 * test_key.c - digests against published vectors, stored encodings, and texts of keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "key/key.h"
#include "key_sample.h"

static void digests_match_the_vectors(void **state)
{
    char buffer[4096];
    (void)state;
    assert_int_equal(COUNT_OF(key_vectors), 54);
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        shardy_key key = key_of_vector(&key_vectors[i], buffer);
        uint64_t digest;
        assert_int_equal(shardy_key_digest(&key, &digest, NULL), SHARDY_OK);
        if (digest != key_vectors[i].digest) {
            fail_msg("vector %zu", i + 1);
        }
    }
}

static void digest_depends_on_kind_not_value(void **state)
{
    shardy_key text = shardy_key_str("hello", 5);
    shardy_key bytes = shardy_key_bytes("hello", 5);
    shardy_key number = shardy_key_uint(42);
    shardy_key stored = shardy_key_bytes("\0\0\0\0\0\0\0\x2a", 8);
    uint64_t a, b, c, d;
    (void)state;
    assert_int_equal(shardy_key_digest(&text, &a, NULL), SHARDY_OK);
    assert_int_equal(shardy_key_digest(&bytes, &b, NULL), SHARDY_OK);
    assert_int_equal(shardy_key_digest(&number, &c, NULL), SHARDY_OK);
    assert_int_equal(shardy_key_digest(&stored, &d, NULL), SHARDY_OK);
    assert_true(a == b);
    assert_true(c == UINT64_C(0xd5a6f8c838df27c8));
    assert_true(d == UINT64_C(0x2e4fe982b68910ac));
}

static void digest_rejects_what_cannot_be_hashed(void **state)
{
    static const struct {
        shardy_key key;
        shardy_status status;
        const char *message;
    } cases[] = {
        {{SHARDY_KIND_UINT, UINT64_C(1) << 63, NULL, 0},
         SHARDY_INPUT,
         "Integer key 9223372036854775808 out of range "
         "[-9223372036854775808, 9223372036854775807]"},
        {{(shardy_key_kind)9, 0, NULL, 0},
         SHARDY_INPUT,
         "Unsupported key type for hashing: kind 9; use int, uint, str or bytes"},
        {{SHARDY_KIND_STR, 0, NULL, 3}, SHARDY_INPUT, "str key has no data but a size of 3 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        uint64_t digest = 7;
        assert_int_equal(shardy_key_digest(&cases[i].key, &digest, &err), cases[i].status);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.status, cases[i].status);
        assert_true(digest == 0);
    }
    uint64_t digest;
    assert_int_equal(shardy_key_digest(NULL, &digest, NULL), SHARDY_CONFIG);
}

struct encode_case {
    shardy_key_encoding encoding;
    shardy_key key;
    const char *bytes;
    size_t size;
};

static const struct encode_case encoded[] = {
    {SHARDY_KEY_U64BE, {SHARDY_KIND_INT, 1, NULL, 0}, "\0\0\0\0\0\0\0\1", 8},
    {SHARDY_KEY_U64BE,
     {SHARDY_KIND_UINT, UINT64_MAX, NULL, 0},
     "\377\377\377\377\377\377\377\377",
     8},
    {SHARDY_KEY_U64BE, {SHARDY_KIND_BYTES, 0, "12345678", 8}, "12345678", 8},
    {SHARDY_KEY_U32BE, {SHARDY_KIND_INT, 256, NULL, 0}, "\0\0\1\0", 4},
    {SHARDY_KEY_U32BE, {SHARDY_KIND_UINT, UINT32_MAX, NULL, 0}, "\377\377\377\377", 4},
    {SHARDY_KEY_U32BE, {SHARDY_KIND_BYTES, 0, "1234", 4}, "1234", 4},
    {SHARDY_KEY_UTF8, {SHARDY_KIND_STR, 0, "caf\xc3\xa9", 5}, "caf\xc3\xa9", 5},
    {SHARDY_KEY_UTF8, {SHARDY_KIND_BYTES, 0, "\xff", 1}, "\xff", 1},
    {SHARDY_KEY_UTF8, {SHARDY_KIND_STR, 0, NULL, 0}, "", 0},
    {SHARDY_KEY_RAW, {SHARDY_KIND_BYTES, 0, "\0\xff", 2}, "\0\xff", 2},
    {SHARDY_KEY_RAW, {SHARDY_KIND_STR, 0, "a", 1}, "a", 1},
};

static void encodes_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(encoded); i++) {
        uint8_t buffer[8];
        const void *data;
        size_t size;
        assert_int_equal(
            shardy_key_encode(&encoded[i].key, encoded[i].encoding, buffer, &data, &size, NULL),
            SHARDY_OK);
        assert_int_equal(size, encoded[i].size);
        assert_non_null(data);
        assert_memory_equal(data, encoded[i].bytes, size);
    }
}

static void decodes_what_it_encodes(void **state)
{
    static const struct {
        shardy_key_encoding encoding;
        const char *stored;
        size_t size;
        const char *text;
    } cases[] = {
        {SHARDY_KEY_U64BE, "\0\0\0\0\0\0\0\x2a", 8, "42"},
        {SHARDY_KEY_U64BE, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "18446744073709551615"},
        {SHARDY_KEY_U64BE, "123", 3, "x'313233'"},
        {SHARDY_KEY_U32BE, "\xff\xff\xff\xff", 4, "4294967295"},
        {SHARDY_KEY_UTF8, "abc", 3, "\"abc\""},
        {SHARDY_KEY_UTF8, "\xff", 1, "x'ff'"},
        {SHARDY_KEY_RAW, "abc", 3, "x'616263'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_bytes stored = {(const uint8_t *)cases[i].stored, cases[i].size};
        shardy_key key = sfi_key_decode(cases[i].encoding, stored);
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(&key, text);
        assert_string_equal(text, cases[i].text);
    }
}

struct refuse_case {
    bool row; /* writers' form */
    shardy_key_encoding encoding;
    shardy_key key;
    shardy_status status;
    const char *message;
};

static const struct refuse_case refused[] = {
    {false,
     SHARDY_KEY_U64BE,
     {SHARDY_KIND_INT, UINT64_MAX, NULL, 0},
     SHARDY_INPUT,
     "u64be encoding requires value in [0, 2^64-1], got -1"},
    {true,
     SHARDY_KEY_U32BE,
     {SHARDY_KIND_INT, UINT64_C(1) << 32, NULL, 0},
     SHARDY_INPUT,
     "u32be encoding requires value in [0, 2^32-1], got 4294967296"},
    {false,
     SHARDY_KEY_U64BE,
     {SHARDY_KIND_STR, 0, "7", 1},
     SHARDY_INPUT,
     "u64be key encoding requires integer lookup keys, got str \"7\""},
    {false,
     SHARDY_KEY_U32BE,
     {SHARDY_KIND_STR, 0, "7", 1},
     SHARDY_INPUT,
     "u32be key encoding requires integer lookup keys, got str \"7\""},
    {false,
     SHARDY_KEY_U64BE,
     {SHARDY_KIND_BYTES, 0, "1234", 4},
     SHARDY_INPUT,
     "u64be key bytes must have length 8, got 4"},
    {false,
     SHARDY_KEY_U32BE,
     {SHARDY_KIND_BYTES, 0, "12345678", 8},
     SHARDY_INPUT,
     "u32be key bytes must have length 4, got 8"},
    {true,
     SHARDY_KEY_U64BE,
     {SHARDY_KIND_BYTES, 0, "12345678", 8},
     SHARDY_INPUT,
     "u64be encoding expects int key, got bytes x'3132333435363738'"},
    {true,
     SHARDY_KEY_U32BE,
     {SHARDY_KIND_STR, 0, "7", 1},
     SHARDY_INPUT,
     "u32be encoding expects int key, got str \"7\""},
    {true,
     SHARDY_KEY_UTF8,
     {SHARDY_KIND_INT, 7, NULL, 0},
     SHARDY_INPUT,
     "utf8 encoding expects str or bytes key, got int 7"},
    {false,
     SHARDY_KEY_RAW,
     {SHARDY_KIND_UINT, 7, NULL, 0},
     SHARDY_INPUT,
     "raw encoding expects bytes or str key, got int 7"},
    {false,
     SHARDY_KEY_UTF8,
     {SHARDY_KIND_STR, 0, "a\xed\xa0\x80", 4},
     SHARDY_INPUT,
     "str key \"a\\xed\\xa0\\x80\" is not valid UTF-8; pass it as bytes"},
    {false,
     (shardy_key_encoding)4,
     {SHARDY_KIND_INT, 7, NULL, 0},
     SHARDY_CONFIG,
     "Unsupported key encoding: 4. Allowed: u64be, u32be, utf8, raw"},
    {false,
     SHARDY_KEY_RAW,
     {SHARDY_KIND_BYTES, 0, NULL, 1},
     SHARDY_INPUT,
     "bytes key has no data but a size of 1 bytes"},
};

static void refuses_keys_that_do_not_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        uint8_t buffer[8];
        const void *data = buffer;
        size_t size = 1;
        shardy_status st = refused[i].row ? sfi_key_encode_row(&refused[i].key, refused[i].encoding,
                                                               buffer, &data, &size, &err)
                                          : shardy_key_encode(&refused[i].key, refused[i].encoding,
                                                              buffer, &data, &size, &err);
        assert_string_equal(err.message, refused[i].message);
        assert_int_equal(st, refused[i].status);
        assert_null(data);
        assert_int_equal(size, 0);
    }
}

static void limits_key_length(void **state)
{
    char *text = sfi_calloc(1, SFI_KEY_MAX_BYTES + 1);
    shardy_key longest = shardy_key_bytes(text, SFI_KEY_MAX_BYTES);
    shardy_key longer = shardy_key_bytes(text, SFI_KEY_MAX_BYTES + 1);
    shardy_error err = SHARDY_ERROR_INIT;
    uint8_t buffer[8];
    const void *data;
    size_t size;
    (void)state;
    assert_non_null(text);
    assert_int_equal(shardy_key_encode(&longest, SHARDY_KEY_RAW, buffer, &data, &size, NULL),
                     SHARDY_OK);
    assert_int_equal(size, 65536);
    assert_int_equal(shardy_key_encode(&longer, SHARDY_KEY_RAW, buffer, &data, &size, &err),
                     SHARDY_LIMIT);
    assert_string_equal(err.message, "key of 65537 bytes exceeds the limit of 65536 bytes");
    sfi_free(text);
}

static void parses_encoding_names(void **state)
{
    static const char *const names[] = {"u64be", "u32be", "utf8", "raw"};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key_encoding encoding;
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(shardy_key_encoding_parse(names[i], &encoding, NULL), SHARDY_OK);
        assert_int_equal(encoding, i);
        assert_string_equal(shardy_key_encoding_name(encoding), names[i]);
    }
    assert_string_equal(shardy_key_encoding_name((shardy_key_encoding)4), "?");
    assert_int_equal(shardy_key_encoding_parse("U64BE", &encoding, &err), SHARDY_CONFIG);
    assert_string_equal(err.message,
                        "Unsupported key encoding: \"U64BE\". Allowed: u64be, u32be, utf8, raw");
    assert_int_equal(shardy_key_encoding_parse(NULL, &encoding, NULL), SHARDY_CONFIG);
    assert_int_equal(shardy_key_encoding_parse("", &encoding, NULL), SHARDY_CONFIG);
}

static void texts_are_safe_and_short(void **state)
{
    static const struct {
        shardy_key key;
        const char *text;
    } cases[] = {
        {{SHARDY_KIND_INT, UINT64_MAX, NULL, 0}, "-1"},
        {{SHARDY_KIND_UINT, UINT64_MAX, NULL, 0}, "18446744073709551615"},
        {{SHARDY_KIND_STR, 0, "a\"\\\n\0\x7f", 6}, "\"a\\\"\\\\\\x0a\\x00\\x7f\""},
        {{SHARDY_KIND_STR, 0, "\xf0\x9f\x98\x80", 4}, "\"\xf0\x9f\x98\x80\""},
        {{SHARDY_KIND_STR, 0, "\xf0\x9f\x98", 3}, "\"\\xf0\\x9f\\x98\""},
        {{SHARDY_KIND_STR, 0, NULL, 5}, "\"\""},
        {{(shardy_key_kind)7, 0, NULL, 0}, "key of unknown kind 7"},
    };
    char text[SFI_KEY_TEXT_SIZE];
    char letters[200];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        sfi_key_text(&cases[i].key, text);
        assert_string_equal(text, cases[i].text);
    }
    /* Worst cases of growth: escapes, wide characters and hex must all fit, at every length. */
    for (size_t size = 0; size <= sizeof letters; size++) {
        for (int fill = 0; fill < 3; fill++) {
            memset(letters, fill == 0 ? 1 : fill == 1 ? '"' : 0xff, sizeof letters);
            shardy_key key = shardy_key_str(letters, size);
            sfi_key_text(&key, text);
            assert_true(strlen(text) < 72);
            assert_true((strstr(text, "\"...") != NULL) == (size > (fill == 1 ? 30u : 15u)));
            key.kind = SHARDY_KIND_BYTES;
            sfi_key_text(&key, text);
            assert_true((strstr(text, "'...") != NULL) == (size > 30));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_match_the_vectors),
        cmocka_unit_test(digest_depends_on_kind_not_value),
        cmocka_unit_test(digest_rejects_what_cannot_be_hashed),
        cmocka_unit_test(encodes_keys),
        cmocka_unit_test(decodes_what_it_encodes),
        cmocka_unit_test(refuses_keys_that_do_not_fit),
        cmocka_unit_test(limits_key_length),
        cmocka_unit_test(parses_encoding_names),
        cmocka_unit_test(texts_are_safe_and_short),
    };
    return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
