/*
 * utf8.c - UTF-8 at the speed of memory: ASCII is skipped 32 bytes at a time, anything else is
 * looked at sequence by sequence (Unicode standard, table 3-7, in base/bytes.c).
 */
#include "base/bytes.h"
#include "cel/value.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Bytes of ASCII at the start, a multiple of 8. */
static size_t ascii_prefix(const char *text, size_t size)
{
    size_t i = 0;
    uint64_t word[4];
    while (size - i >= sizeof word) {
        memcpy(word, text + i, sizeof word);
        if (((word[0] | word[1]) | (word[2] | word[3])) & HIGH_BITS) {
            break;
        }
        i += sizeof word;
    }
    while (size - i >= 8) {
        memcpy(word, text + i, 8);
        if (word[0] & HIGH_BITS) {
            break;
        }
        i += 8;
    }
    return i;
}

bool sfi_cel_utf8_valid(const char *text, size_t size)
{
    size_t start = ascii_prefix(text, size);
    return start == size || sfi_utf8_valid(text + start, size - start);
}

/* Continuation bytes (10xxxxxx) among eight: bit 7 set, bit 6 clear. */
static inline uint64_t continuation_bits(uint64_t word)
{
    return ((word & ~(word << 1)) >> 7) & UINT64_C(0x0101010101010101);
}

/* Code points of valid text: all bytes that do not continue one. */
static size_t count_valid(const char *text, size_t size)
{
    size_t continuations = 0;
    size_t i = 0;
    while (size - i >= 8) {
        /* Up to 255 words add up in bytes without carrying over. */
        size_t words = (size - i) / 8 < 255 ? (size - i) / 8 : 255;
        uint64_t sums = 0;
        for (size_t w = 0; w < words; w++) {
            uint64_t word;
            memcpy(&word, text + i + 8 * w, sizeof word);
            sums += continuation_bits(word);
        }
        uint64_t pairs =
            (sums & UINT64_C(0x00FF00FF00FF00FF)) + ((sums >> 8) & UINT64_C(0x00FF00FF00FF00FF));
        continuations += (pairs * UINT64_C(0x0001000100010001)) >> 48;
        i += 8 * words;
    }
    for (; i < size; i++) {
        continuations += ((unsigned char)text[i] & 0xC0u) == 0x80u;
    }
    return size - continuations;
}

/* Length of the sequence at the start, 1 for a byte that is part of none. */
static size_t step(const char *text, size_t size)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1;
    return length <= size && sfi_utf8_valid(text, length) ? length : 1;
}

size_t sfi_cel_utf8_count(const char *text, size_t size)
{
    size_t start = ascii_prefix(text, size);
    if (start == size || sfi_utf8_valid(text + start, size - start)) {
        return start + count_valid(text + start, size - start);
    }
    size_t count = start;
    for (size_t i = start; i < size; i += step(text + i, size - i)) {
        count++;
    }
    return count;
}
