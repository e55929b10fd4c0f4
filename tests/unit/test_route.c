/*
 * test_route.c - the division-free modulus against %, and routing of keys and columns against
 * published vectors and libxxhash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "key_sample.h"
#include "routing/routing.h"

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void check_modulus(uint32_t n, uint64_t *seed)
{
    struct sfi_modulus modulus;
    sfi_modulus_init(&modulus, n);
    const uint64_t top = UINT64_MAX / n * n; /* the largest multiple: where estimates slip */
    const uint64_t edges[] = {0,       1,          n - 1u,    n,
                              n + 1u,  top - 1,    top,       top + 1,
                              top - n, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63,
                              top / 2, top - n - 1};
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        if (sfi_modulo(&modulus, edges[i]) != edges[i] % n) {
            fail_msg("%llu mod %u", (unsigned long long)edges[i], n);
        }
    }
    for (int i = 0; i < 16; i++) {
        uint64_t x = next_random(seed);
        uint64_t near = x / n * n;
        if (sfi_modulo(&modulus, x) != x % n || sfi_modulo(&modulus, near) != 0 ||
            sfi_modulo(&modulus, near - 1) != (near - 1) % n) {
            fail_msg("%llu mod %u", (unsigned long long)x, n);
        }
    }
    assert_int_equal(modulus.is_power_of_two, __builtin_popcount(n) == 1);
}

static void modulo_equals_division(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (uint32_t n = 1; n <= 70000; n++) {
        check_modulus(n, &seed);
    }
    for (int i = 0; i < 100000; i++) {
        check_modulus((uint32_t)next_random(&seed) | 1u, &seed);
        check_modulus(((uint32_t)next_random(&seed) >> (i % 32)) + 1u, &seed);
    }
    for (uint32_t bit = 0; bit < 32; bit++) {
        check_modulus(UINT32_C(1) << bit, &seed);
        check_modulus((UINT32_C(2) << bit) - 1u, &seed);
        check_modulus((UINT32_C(1) << bit) + 1u, &seed);
    }
}

static void keys_follow_the_vectors(void **state)
{
    char buffer[4096];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        shardy_key key = key_of_vector(&key_vectors[i], buffer);
        for (size_t m = 0; m < 3; m++) {
            struct sfi_route route;
            uint32_t db_id;
            assert_int_equal(
                sfi_route_init(&route, SHARDY_SHARDING_HASH, key_vector_moduli[m], NULL),
                SHARDY_OK);
            assert_int_equal(sfi_route_key(&route, &key, &db_id, NULL), SHARDY_OK);
            assert_int_equal(db_id, key_vectors[i].shard[m]);
        }
    }
}

#define EDGE_COUNT 160

static size_t edge_integers(uint64_t out[EDGE_COUNT])
{
    static const uint64_t named[] = {42,         100,        255,           256,        1023,
                                     1024,       65535,      65536,         65537,      2147483646,
                                     2147483647, 2147483648, 2147483649,    4294967294, 4294967295,
                                     4294967296, 4294967297, INT64_MAX - 1, INT64_MAX};
    uint64_t seed = 7;
    size_t count = 0;
    for (uint64_t i = 0; i <= 20; i++) {
        out[count++] = i;
    }
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        out[count++] = named[i];
    }
    for (int i = 0; i < 100; i++) {
        out[count++] = next_random(&seed) >> 1;
    }
    return count;
}

static const uint32_t edge_shards[] = {1, 2, 3, 5, 7, 8, 16, 64, 128, 1000003, SFI_SHARDS_MAX};

/* Every numeric kind over the edge integers, at every start of a slice. */
static void number_columns_agree_with_xxhash(void **state)
{
    uint64_t wide[EDGE_COUNT];
    int32_t narrow[EDGE_COUNT];
    uint32_t ids[EDGE_COUNT];
    size_t count = edge_integers(wide);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        narrow[i] = (int32_t)(uint32_t)(wide[i] * (i % 2 ? 1u : UINT64_MAX));
    }
    for (int kind = SFI_COLUMN_I32; kind <= SFI_COLUMN_U64; kind++) {
        bool is_wide = kind == SFI_COLUMN_I64 || kind == SFI_COLUMN_U64;
        struct sfi_column column = {.kind = (enum sfi_column_kind)kind, .length = count};
        column.values = is_wide ? (const void *)wide : (const void *)narrow;
        for (size_t s = 0; s < COUNT_OF(edge_shards); s++) {
            struct sfi_route route;
            size_t first = s * 3;
            assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_HASH, edge_shards[s], NULL),
                             SHARDY_OK);
            assert_int_equal(sfi_route_rows(&route, &column, first, count - first, 0, ids, NULL),
                             SHARDY_OK);
            for (size_t i = first; i < count; i++) {
                uint64_t number = is_wide                  ? wide[i]
                                  : kind == SFI_COLUMN_I32 ? (uint64_t)(int64_t)narrow[i]
                                                           : (uint64_t)(uint32_t)narrow[i];
                uint64_t digest = XXH3_64bits(&number, sizeof number);
                uint32_t alone;
                shardy_key key = sfi_column_key(&column, i);
                assert_int_equal(ids[i - first], digest % edge_shards[s]);
                assert_int_equal(sfi_route_key(&route, &key, &alone, NULL), SHARDY_OK);
                assert_int_equal(alone, ids[i - first]);
            }
        }
    }
}

static void byte_columns_agree_with_xxhash(void **state)
{
    enum { ROWS = 300 };
    static uint8_t data[ROWS * ROWS];
    int32_t offsets32[ROWS + 1];
    int64_t offsets64[ROWS + 1];
    uint32_t ids[ROWS];
    uint64_t seed = 3;
    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)next_random(&seed);
    }
    offsets32[0] = 0;
    for (int32_t i = 0; i < ROWS; i++) {
        offsets32[i + 1] = offsets32[i] + i; /* every length of every XXH3 class up to 299 */
    }
    for (size_t i = 0; i <= ROWS; i++) {
        offsets64[i] = offsets32[i];
    }
    for (int kind = SFI_COLUMN_VAR32; kind <= SFI_COLUMN_VAR64; kind++) {
        struct sfi_column column = {.kind = (enum sfi_column_kind)kind, .length = ROWS};
        column.values = data;
        column.offsets = kind == SFI_COLUMN_VAR32 ? (const void *)offsets32 : offsets64;
        for (size_t s = 0; s < COUNT_OF(edge_shards); s++) {
            struct sfi_route route;
            size_t first = s * 5;
            assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_HASH, edge_shards[s], NULL),
                             SHARDY_OK);
            assert_int_equal(sfi_route_rows(&route, &column, first, ROWS - first, 0, ids, NULL),
                             SHARDY_OK);
            for (size_t i = first; i < ROWS; i++) {
                uint64_t digest = XXH3_64bits(data + offsets32[i], i);
                assert_int_equal(ids[i - first], digest % edge_shards[s]);
            }
        }
    }
}

static void unsigned_numbers_out_of_range_are_named(void **state)
{
    uint64_t numbers[6] = {1, 2, INT64_MAX, 4, UINT64_MAX, UINT64_C(1) << 63};
    struct sfi_column column = {.kind = SFI_COLUMN_U64, .length = 6, .values = numbers};
    struct sfi_route route;
    uint32_t ids[6];
    (void)state;
    for (uint32_t n = 7; n <= 8; n++) {
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_HASH, n, NULL), SHARDY_OK);
        assert_int_equal(sfi_route_rows(&route, &column, 1, 3, 100, ids, &err), SHARDY_OK);
        assert_int_equal(sfi_route_rows(&route, &column, 1, 5, 100, ids, &err), SHARDY_INPUT);
        assert_string_equal(err.message, "row 104: integer key 18446744073709551615 out of range "
                                         "[-9223372036854775808, 9223372036854775807]");
        column.kind = SFI_COLUMN_I64; /* the same bits are good as negative numbers */
        assert_int_equal(sfi_route_rows(&route, &column, 1, 5, 100, ids, NULL), SHARDY_OK);
        column.kind = SFI_COLUMN_U64;
    }
}

static void refuses_bad_set_ups(void **state)
{
    struct sfi_route route;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_HASH, 0, &err), SHARDY_CONFIG);
    assert_string_equal(err.message, "num_dbs must be 1 to 1048576, got 0");
    assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_HASH, SFI_SHARDS_MAX + 1, &err),
                     SHARDY_CONFIG);
    assert_string_equal(err.message, "num_dbs must be 1 to 1048576, got 1048577");
    assert_int_equal(sfi_route_init(&route, SHARDY_SHARDING_CEL, 4, &err), SHARDY_CONFIG);
    assert_non_null(strstr(err.message, "CEL strategy requires cel_expr"));
    assert_int_equal(sfi_route_init(&route, (shardy_sharding)2, 4, &err), SHARDY_CONFIG);
    assert_string_equal(err.message, "Unsupported sharding strategy: 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modulo_equals_division),
        cmocka_unit_test(keys_follow_the_vectors),
        cmocka_unit_test(number_columns_agree_with_xxhash),
        cmocka_unit_test(byte_columns_agree_with_xxhash),
        cmocka_unit_test(unsigned_numbers_out_of_range_are_named),
        cmocka_unit_test(refuses_bad_set_ups),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
