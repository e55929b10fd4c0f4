/*
 * test_status.c - names and texts of statuses, and error messages of any length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/status.h"
#include "store_sample.h"

#include <errno.h>

static void every_status_has_a_row(void **state)
{
    (void)state;
    for (int i = SHARDY_OK; i <= SHARDY_UNSUPPORTED; i++) {
        assert_string_not_equal(shardy_status_name((shardy_status)i), "?");
        assert_true(strlen(shardy_status_text((shardy_status)i)) > 1);
    }
    assert_string_equal(shardy_status_name(SHARDY_CONFLICT), "CONFLICT");
    assert_string_equal(shardy_status_name((shardy_status)99), "?");
    assert_string_equal(shardy_status_text((shardy_status)-1), "unknown status");
    assert_true(shardy_status_retryable(SHARDY_UNKNOWN));
    assert_true(shardy_status_retryable(SHARDY_STORE));
    assert_false(shardy_status_retryable(SHARDY_CORRUPT));
    assert_false(shardy_status_retryable((shardy_status)99));
    assert_true(strlen(shardy_version()) >= 5);
}

static void messages_are_filled(void **state)
{
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(sfi_fail(&err, SHARDY_CONFIG, "%s: %d", "field", 7), SHARDY_CONFIG);
    assert_int_equal(err.status, SHARDY_CONFIG);
    assert_string_equal(err.message, "field: 7");
    sfi_error_prefix(&err, "db=%05d: ", 3);
    assert_string_equal(err.message, "db=00003: field: 7");
    assert_int_equal(sfi_fail_errno(&err, SHARDY_IO, ENOSPC, "cannot write %s", "x"), SHARDY_IO);
    assert_int_equal(err.detail, ENOSPC);
    assert_string_equal(err.message, "cannot write x: No space left on device");
    assert_int_equal(sfi_fail_memory(&err, 12), SHARDY_NO_MEMORY);
    assert_non_null(strstr(err.message, "12 bytes"));
    assert_int_equal(sfi_fail(NULL, SHARDY_CONFIG, "x"), SHARDY_CONFIG);
    assert_int_equal(sfi_fail_errno(NULL, SHARDY_IO, 1, "x"), SHARDY_IO);
    sfi_error_prefix(NULL, "x");
}

/* Cut messages end at a character border, for every position of the border. */
static void long_messages_stay_utf8(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a"};
    char text[2048];
    (void)state;
    for (size_t c = 0; c < COUNT_OF(characters); c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            shardy_error err = SHARDY_ERROR_INIT;
            size_t used = shift;
            memset(text, 'x', shift);
            while (used + 5 < sizeof text) {
                memcpy(text + used, characters[c], strlen(characters[c]));
                used += strlen(characters[c]);
            }
            text[used] = '\0';
            sfi_fail(&err, SHARDY_INPUT, "%s", text);
            assert_true(strlen(err.message) >= sizeof err.message - 4);
            assert_true(sfi_utf8_valid(err.message, strlen(err.message)));
            sfi_error_prefix(&err, "%s", characters[c]);
            assert_true(sfi_utf8_valid(err.message, strlen(err.message)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_row),
        cmocka_unit_test(messages_are_filled),
        cmocka_unit_test(long_messages_stay_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
