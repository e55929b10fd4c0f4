/*
 * checksum.c - the recorded checksum of a shard. Two levels, so that it can be computed although
 * the first block is known last, by blocks that arrive in any order, and checked block by block.
 */
#include "shard/checksum.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

void sfi_checksum_block(const uint8_t *block, size_t size, uint8_t digest[SFI_DIGEST_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(block, size));
    memcpy(digest, &canonical, SFI_DIGEST_SIZE);
}

static void print(XXH128_hash_t hash, char out[SFI_CHECKSUM_SIZE])
{
    snprintf(out, SFI_CHECKSUM_SIZE, "xxh3-128-1m:%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
}

void sfi_checksum_text(const uint8_t *digests, size_t count, char out[SFI_CHECKSUM_SIZE])
{
    print(XXH3_128bits(digests, SFI_DIGEST_SIZE * count), out);
}
