/*
 * checksum.h - the recorded checksum of a shard, block by block: XXH3-128 over the canonical
 * XXH3-128 digests of its 1 MiB blocks (docs/format/shard.md).
 */
#ifndef SFI_SHARD_CHECKSUM_H
#define SFI_SHARD_CHECKSUM_H

#include "base/limits.h"
#include "shard/shard.h"

#define SFI_DIGEST_SIZE 16u

/* Digest of one block: SFI_BLOCK_BYTES, the last one of a shard perhaps fewer. */
void sfi_checksum_block(const uint8_t *block, size_t size, uint8_t digest[SFI_DIGEST_SIZE]);
/* Text of the whole from the digests of all blocks in order. */
void sfi_checksum_text(const uint8_t *digests, size_t count, char out[SFI_CHECKSUM_SIZE]);

#endif
