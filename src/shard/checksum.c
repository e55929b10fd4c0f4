/*
 * checksum.c - the recorded checksum of a shard. Two levels, so that it can be computed although
 * the first block is known last, by blocks that arrive in any order, and checked block by block.
 */
#include "shard/checksum.h"

#include "key/key.h" /* xxhash, inlined */

#include <inttypes.h>
#include <stdio.h>

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

void sfi_shard_checksum(struct sfi_bytes image, char out[SFI_CHECKSUM_SIZE])
{
    XXH3_state_t state;
    uint8_t digests[64 * SFI_DIGEST_SIZE]; /* passed on in lots, which is what the hash likes */
    size_t n = 0;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (size_t at = 0; at < image.size; at += SFI_BLOCK_BYTES) {
        size_t left = image.size - at;
        sfi_checksum_block(image.data + at, left < SFI_BLOCK_BYTES ? left : SFI_BLOCK_BYTES,
                           digests + n);
        n += SFI_DIGEST_SIZE;
        if (n == sizeof digests) {
            XXH3_128bits_update(&state, digests, n);
            n = 0;
        }
    }
    XXH3_128bits_update(&state, digests, n);
    print(XXH3_128bits_digest(&state), out);
}
