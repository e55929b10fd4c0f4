/*
 * test_bytes.c - buffers that end, cursors that do not read past the end, UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "store_sample.h"

static void buffers_grow_and_end(void **state)
{
    struct sfi_buf buf;
    (void)state;
    sfi_buf_init(&buf, 10);
    assert_true(sfi_buf_append_text(&buf, "12345"));
    assert_true(sfi_buf_append(&buf, NULL, 0));
    assert_true(sfi_buf_append_u32le(&buf, 0x34333231));
    assert_string_equal((const char *)buf.data, "123451234");
    assert_true(sfi_buf_append_byte(&buf, 'x'));
    assert_int_equal(sfi_buf_status(&buf, "text", NULL), SHARDY_OK);
    assert_false(sfi_buf_append_byte(&buf, 'y'));
    assert_int_equal(buf.size, 0);
    assert_null(buf.data);
    assert_false(sfi_buf_append_byte(&buf, 'z')); /* stays failed */
    shardy_error err = SHARDY_ERROR_INIT;
    assert_int_equal(sfi_buf_status(&buf, "text", &err), SHARDY_LIMIT);
    assert_non_null(strstr(err.message, "text"));
    assert_null(sfi_buf_take(&buf));
    sfi_buf_clear(&buf);
    assert_true(sfi_buf_append_u64le(&buf, 1)); /* cleared buffers work again */
    sfi_buf_clear(&buf);
}

static void buffers_say_when_memory_ran_out(void **state)
{
    struct sfi_buf buf;
    (void)state;
    install_failing_allocator();
    sfi_buf_init(&buf, 1000);
    fail_allocation(1);
    assert_false(sfi_buf_append_text(&buf, "x"));
    assert_false(sfi_buf_append_text(&buf, "x"));
    fail_allocation(0);
    shardy_set_allocator(NULL);
    assert_int_equal(sfi_buf_status(&buf, "text", NULL), SHARDY_NO_MEMORY);
    sfi_buf_clear(&buf);
    assert_int_equal(sfi_buf_status(&buf, "text", NULL), SHARDY_OK);
}

static void buffers_print_and_hand_over(void **state)
{
    struct sfi_buf buf;
    (void)state;
    sfi_buf_init(&buf, 1000);
    char *empty = sfi_buf_take(&buf);
    assert_string_equal(empty, "");
    sfi_free(empty);
    assert_true(sfi_buf_printf(&buf, "%s=%d;", "a", 1));
    assert_true(sfi_buf_printf(&buf, "%0100d", 7));
    char *text = sfi_buf_take(&buf);
    assert_int_equal(strlen(text), 104);
    assert_memory_equal(text, "a=1;000", 7);
    assert_int_equal(buf.size, 0);
    sfi_free(text);
    assert_false(sfi_buf_printf(&buf, "%01000d", 7) && sfi_buf_append_byte(&buf, 'x'));
}

static void cursors_stop_at_the_end(void **state)
{
    static const uint8_t data[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9};
    struct sfi_cursor cursor = sfi_cursor_of(data, sizeof data);
    uint32_t small;
    uint64_t large;
    const uint8_t *at;
    (void)state;
    assert_true(sfi_get_u32le_cursor(&cursor, &small) && small == 1);
    assert_true(sfi_get_u64le_cursor(&cursor, &large) && large == 2);
    assert_int_equal(sfi_cursor_left(&cursor), 1);
    assert_false(sfi_get_u32le_cursor(&cursor, &small));
    assert_int_equal(small, 0);
    assert_false(sfi_get_u64le_cursor(&cursor, &large));
    assert_int_equal(sfi_cursor_left(&cursor), 1);
    assert_true(sfi_cursor_take(&cursor, 1, &at) && *at == 9);
    assert_false(sfi_cursor_take(&cursor, SIZE_MAX, &at));
}

static void integers_have_their_byte_order(void **state)
{
    uint8_t out[8];
    (void)state;
    sfi_put_u64be(out, UINT64_C(0x0102030405060708));
    assert_int_equal(out[0], 1);
    assert_true(sfi_get_u64be(out) == UINT64_C(0x0102030405060708));
    assert_true(sfi_get_u32be(out) == 0x01020304 && sfi_get_u16be(out) == 0x0102);
    assert_true(sfi_get_u64le(out) == UINT64_C(0x0807060504030201));
    sfi_put_u32be(out, 0xA0B0C0D0);
    sfi_put_u16be(out + 4, 0xE0F0);
    assert_memory_equal(out, "\xA0\xB0\xC0\xD0\xE0\xF0", 6);
    sfi_put_u32le(out, 0xA0B0C0D0);
    assert_true(sfi_get_u32le(out) == 0xA0B0C0D0 && out[0] == 0xD0);
}

/* Prefix order never contradicts memcmp order. */
static void prefixes_order_like_bytes(void **state)
{
    static const char *const texts[] = {"", "\1", "a", "aa", "aaaaaaaa", "aaaaaaab", "ab", "\xff"};
    (void)state;
    for (size_t i = 0; i + 1 < COUNT_OF(texts); i++) {
        struct sfi_bytes a = bytes_of(texts[i]);
        struct sfi_bytes b = bytes_of(texts[i + 1]);
        assert_true(sfi_bytes_compare(a, b) < 0 && sfi_bytes_compare(b, a) > 0);
        assert_int_equal(sfi_bytes_compare(a, a), 0);
        assert_true(sfi_key_prefix(a.data, a.size) <= sfi_key_prefix(b.data, b.size));
    }
    assert_true(sfi_key_prefix((const uint8_t *)"abcdefghi", 9) ==
                sfi_key_prefix((const uint8_t *)"abcdefgh", 8));
}

static void utf8(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xed\x9f\xbf", true},
        {"\xee\x80\x80", true},
        {"\x80", false},
        {"\xc3", false},
        {"\xc0\xaf", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"a\xe2\x82", false},
        {"\xe2\x28\xa1", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        /* Also behind eight plain bytes, where a vectorised scan may have started. */
        char longer[32] = "12345678";
        strncat(longer, rows[i].text, 8);
        assert_int_equal(sfi_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].valid);
        assert_int_equal(sfi_utf8_valid(longer, strlen(longer)), rows[i].valid);
    }
    assert_true(sfi_utf8_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_grow_and_end),
        cmocka_unit_test(buffers_say_when_memory_ran_out),
        cmocka_unit_test(buffers_print_and_hand_over),
        cmocka_unit_test(cursors_stop_at_the_end),
        cmocka_unit_test(integers_have_their_byte_order),
        cmocka_unit_test(prefixes_order_like_bytes),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
