/*
 * test_crc32c.c - published check values, and the fast version against the tables for every length
 * around its block sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

static void known_values(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(sfi_crc32c(0, "", 0), 0);
    assert_int_equal(sfi_crc32c(0, "123456789", 9), 0xE3069283u);
    assert_int_equal(sfi_crc32c_portable(0, "123456789", 9), 0xE3069283u);
    /* RFC 3720, B.4 (its bytes are the number's, lowest first). */
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(sfi_crc32c(0, bytes, sizeof bytes), 0x8A9136AAu);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(sfi_crc32c(0, bytes, sizeof bytes), 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    assert_int_equal(sfi_crc32c(0, bytes, sizeof bytes), 0x46DD794Eu);
}

static void fast_equals_portable(void **state)
{
    (void)state;
    static const size_t around[] = {0, 8, 256, 768, 1536, 8192, 24576, 25344, 49152, 60000};
    size_t size = 60100;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    uint32_t seed = 1;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        for (size_t d = 0; d < 20; d++) {
            size_t n = around[i] + d;
            size_t first = n / 3;
            uint32_t whole = sfi_crc32c_portable(7, bytes + d, n);
            assert_int_equal(sfi_crc32c(7, bytes + d, n), whole);
            uint32_t crc = sfi_crc32c(7, bytes + d, first);
            assert_int_equal(sfi_crc32c(crc, bytes + d + first, n - first), whole);
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(fast_equals_portable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
