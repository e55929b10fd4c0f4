/*
 * sqlite_output.c - block-wise output of shard pages, and the recorded checksum. The checksum is a
 * two-level XXH3-128 (docs/format/shard.md) so that it can be computed although the first block is
 * known last, and checked block by block.
 */
#include "shard/sqlite_output.h"

#include "base/limits.h"
#include "base/memory.h"
#include "key/key.h"
#include "shard/sidecar.h"

#include <stdio.h>

static shardy_status start_block(struct sfi_output *out, shardy_error *err)
{
    if (!out->block || out->block == out->first) {
        out->block = sfi_malloc(SFI_BLOCK_BYTES);
        if (!out->block) {
            return sfi_fail_memory(err, SFI_BLOCK_BYTES);
        }
    }
    out->used = 0;
    return SHARDY_OK;
}

shardy_status sfi_output_open(struct sfi_output *out, struct sfi_store *store, const char *key,
                              uint32_t page_size, shardy_error *err)
{
    memset(out, 0, sizeof *out);
    out->page_size = page_size;
    out->next = 2;
    out->lock_page = sfi_lock_page(page_size);
    SFI_RETURN_IF_ERR(start_block(out, err));
    out->first = out->block;
    out->used = page_size;
    return sfi_store_upload(store, key, SFI_SHARD_DB_CONTENT_TYPE, SFI_BLOCK_BYTES, &out->upload,
                            err);
}

static void digest_block(uint8_t *to, const uint8_t *block, size_t size)
{
    XXH128_canonicalFromHash((XXH128_canonical_t *)to, XXH3_128bits(block, size));
}

/* Hash and pass on the current block; the first one is only counted. */
static shardy_status flush_block(struct sfi_output *out, shardy_error *err)
{
    void *digests = out->digests;
    if (!sfi_array_grow(&digests, &out->digest_capacity, 16 * (out->block_count + 1), 1)) {
        return sfi_fail_memory(err, 16 * (out->block_count + 1));
    }
    out->digests = digests;
    if (out->block != out->first) {
        struct sfi_bytes bytes = {out->block, out->used};
        digest_block(out->digests + 16 * out->block_count, out->block, out->used);
        SFI_RETURN_IF_ERR(out->upload->ops->append(out->upload, bytes, err));
    }
    out->block_count++;
    return SHARDY_OK;
}

static shardy_status next_block(struct sfi_output *out, shardy_error *err)
{
    SFI_RETURN_IF_ERR(flush_block(out, err));
    return start_block(out, err);
}

shardy_status sfi_output_page(struct sfi_output *out, uint8_t **page, uint32_t *number,
                              shardy_error *err)
{
    if (out->used == SFI_BLOCK_BYTES) {
        SFI_RETURN_IF_ERR(next_block(out, err));
    }
    if (out->next == out->lock_page) {
        memset(out->block + out->used, 0, out->page_size);
        out->used += out->page_size;
        out->next++;
        return sfi_output_page(out, page, number, err);
    }
    if (out->next == UINT32_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "shard exceeds 2^32 pages; use more shards");
    }
    *page = out->block + out->used;
    *number = out->next++;
    out->used += out->page_size;
    return SHARDY_OK;
}

uint8_t *sfi_output_first_page(struct sfi_output *out)
{
    return out->first;
}

static void checksum_text(XXH128_hash_t hash, char out[SFI_CHECKSUM_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    int n = snprintf(out, SFI_CHECKSUM_SIZE, "xxh3-128-1m:");
    for (size_t i = 0; i < sizeof canonical.digest; i++) {
        n += snprintf(out + n, (size_t)(SFI_CHECKSUM_SIZE - n), "%02x", canonical.digest[i]);
    }
}

shardy_status sfi_output_commit(struct sfi_output *out, struct sfi_shard_built *built,
                                shardy_error *err)
{
    bool single = out->block == out->first;
    struct sfi_bytes head = {out->first, single ? out->used : SFI_BLOCK_BYTES};
    struct sfi_upload *upload = out->upload;
    built->bytes = (uint64_t)(out->next - 1) * out->page_size;
    SFI_RETURN_IF_ERR(flush_block(out, err));
    digest_block(out->digests, head.data, head.size);
    checksum_text(XXH3_128bits(out->digests, 16 * out->block_count), built->checksum);
    out->upload = NULL;
    return upload->ops->commit(upload, head, built->etag, err);
}

void sfi_output_clear(struct sfi_output *out)
{
    if (out->upload) {
        out->upload->ops->abort(out->upload);
    }
    if (out->block != out->first) {
        sfi_free(out->block);
    }
    sfi_free(out->first);
    sfi_free(out->digests);
    memset(out, 0, sizeof *out);
}

void sfi_shard_checksum(struct sfi_bytes image, char out[SFI_CHECKSUM_SIZE])
{
    XXH3_state_t state;
    uint8_t digests[64 * 16]; /* passed on in lots, which is what the hash likes */
    size_t n = 0;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (size_t at = 0; at < image.size; at += SFI_BLOCK_BYTES) {
        size_t left = image.size - at;
        digest_block(digests + n, image.data + at, left < SFI_BLOCK_BYTES ? left : SFI_BLOCK_BYTES);
        n += 16;
        if (n == sizeof digests) {
            XXH3_128bits_update(&state, digests, n);
            n = 0;
        }
    }
    XXH3_128bits_update(&state, digests, n);
    checksum_text(XXH3_128bits_digest(&state), out);
}
