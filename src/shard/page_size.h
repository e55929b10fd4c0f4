/*
 * page_size.h - which page size suits a shard's rows (spec 03 3): the smallest one that keeps the
 * 95th percentile of the values, with the longest key, out of overflow pages.
 */
#ifndef SFI_SHARD_PAGE_SIZE_H
#define SFI_SHARD_PAGE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest inline payload of a 65536-byte page; values above it all count alike. */
#define SFI_LENGTH_CAP 16423u

/* Value lengths of one shard: an exact histogram up to the cap. */
struct sfi_length_profile {
    uint64_t rows;
    uint32_t max_key;
    uint64_t counts[SFI_LENGTH_CAP + 1];
};

void sfi_length_profile_add(struct sfi_length_profile *profile, uint32_t key_size,
                            uint32_t value_size);
/* 4096 for no rows. */
uint32_t sfi_length_profile_page_size(const struct sfi_length_profile *profile);

/* 4096, 8192, 16384, 32768 or 65536. */
bool sfi_page_size_supported(uint32_t page_size);
/* Largest payload that SQLite keeps whole in an index cell: X of the file format, 1.6. */
uint32_t sfi_inline_payload_max(uint32_t page_size);

#endif
