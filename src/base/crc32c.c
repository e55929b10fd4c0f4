/*
 * crc32c.c - CRC-32C, reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4).
 *
 * Portable: eight tables, eight bytes a step. SSE 4.2: the crc32 instruction takes one operand a
 * cycle but answers after three, so three neighbouring blocks run side by side; the checksum of
 * the first two is then carried over the blocks behind them. Carrying a CRC over n zero bytes is
 * linear in its 32 bits, so one table of 4 x 256 words for each block size does it in four
 * look-ups.
 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL  0x82F63B78u
#define LONG_BLOCK  8192u /* large messages: tables cost nothing */
#define SHORT_BLOCK 256u  /* the rest */

static pthread_once_t s_once = PTHREAD_ONCE_INIT;
static uint32_t s_table[8][256];

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        s_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            uint32_t before = s_table[k - 1][i];
            s_table[k][i] = before >> 8 ^ s_table[0][before & 0xFF];
        }
    }
}

/* Without the complement at both ends. */
static uint32_t update_portable(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        word ^= crc;
        crc = s_table[7][word & 0xFF] ^ s_table[6][word >> 8 & 0xFF] ^
              s_table[5][word >> 16 & 0xFF] ^ s_table[4][word >> 24 & 0xFF] ^
              s_table[3][word >> 32 & 0xFF] ^ s_table[2][word >> 40 & 0xFF] ^
              s_table[1][word >> 48 & 0xFF] ^ s_table[0][word >> 56];
    }
    for (; size; data++, size--) {
        crc = crc >> 8 ^ s_table[0][(crc ^ *data) & 0xFF];
    }
    return crc;
}

uint32_t sfi_crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    pthread_once(&s_once, make_tables);
    return ~update_portable(~crc, data, size);
}

#if defined(__x86_64__)

#include <nmmintrin.h>

static pthread_once_t s_shift_once = PTHREAD_ONCE_INIT;
static uint32_t s_shift_long[4][256];
static uint32_t s_shift_short[4][256];

/* What each byte of a CRC becomes when `length` zero bytes follow. */
static void make_shift(uint32_t table[4][256], size_t length)
{
    uint32_t of_bit[32];
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = UINT32_C(1) << bit;
        for (size_t i = 0; i < length; i++) {
            crc = crc >> 8 ^ s_table[0][crc & 0xFF];
        }
        of_bit[bit] = crc;
    }
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned i = 0; i < 256; i++) {
            uint32_t crc = 0;
            for (unsigned bit = 0; bit < 8; bit++) {
                crc ^= i >> bit & 1 ? of_bit[8 * k + bit] : 0;
            }
            table[k][i] = crc;
        }
    }
}

static void make_shifts(void)
{
    pthread_once(&s_once, make_tables);
    make_shift(s_shift_long, LONG_BLOCK);
    make_shift(s_shift_short, SHORT_BLOCK);
}

static uint32_t shift(uint32_t table[4][256], uint64_t crc)
{
    return table[0][crc & 0xFF] ^ table[1][crc >> 8 & 0xFF] ^ table[2][crc >> 16 & 0xFF] ^
           table[3][crc >> 24 & 0xFF];
}

static uint64_t load(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint64_t
update_blocks(uint64_t crc, const uint8_t **at, size_t *size, size_t block, uint32_t table[4][256])
{
    const uint8_t *data = *at;
    while (*size >= 3 * block) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t i = 0; i < block; i += 8) {
            crc = _mm_crc32_u64(crc, load(data + i));
            second = _mm_crc32_u64(second, load(data + block + i));
            third = _mm_crc32_u64(third, load(data + 2 * block + i));
        }
        crc = shift(table, crc) ^ second;
        crc = shift(table, crc) ^ third;
        data += 3 * block;
        *size -= 3 * block;
    }
    *at = data;
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t update_sse42(uint32_t start, const uint8_t *data,
                                                               size_t size)
{
    uint64_t crc = start;
    if (size >= 3 * SHORT_BLOCK) {
        pthread_once(&s_shift_once, make_shifts);
        crc = update_blocks(crc, &data, &size, LONG_BLOCK, s_shift_long);
        crc = update_blocks(crc, &data, &size, SHORT_BLOCK, s_shift_short);
    }
    for (; size >= 8; data += 8, size -= 8) {
        crc = _mm_crc32_u64(crc, load(data));
    }
    for (; size; data++, size--) {
        crc = _mm_crc32_u8((uint32_t)crc, *data);
    }
    return (uint32_t)crc;
}

uint32_t sfi_crc32c(uint32_t crc, const void *data, size_t size)
{
    if (__builtin_cpu_supports("sse4.2")) {
        return ~update_sse42(~crc, data, size);
    }
    return sfi_crc32c_portable(crc, data, size);
}

#else

uint32_t sfi_crc32c(uint32_t crc, const void *data, size_t size)
{
    return sfi_crc32c_portable(crc, data, size);
}

#endif
