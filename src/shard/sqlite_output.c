/*
 * sqlite_output.c - block-wise output of shard pages, with the digests of the recorded checksum
 * (checksum.c): the first block is known last, and passed on by commit.
 */
#include "shard/sqlite_output.h"

#include "base/limits.h"
#include "base/memory.h"
#include "key/key.h"
#include "shard/checksum.h"
#include "shard/sidecar.h"

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

/* Hash and pass on the current block; the first one is only counted. */
static shardy_status flush_block(struct sfi_output *out, shardy_error *err)
{
    void *digests = out->digests;
    size_t need = SFI_DIGEST_SIZE * (out->block_count + 1);
    if (!sfi_array_grow(&digests, &out->digest_capacity, need, 1)) {
        return sfi_fail_memory(err, need);
    }
    out->digests = digests;
    if (out->block != out->first) {
        struct sfi_bytes bytes = {out->block, out->used};
        sfi_checksum_block(out->block, out->used,
                           out->digests + SFI_DIGEST_SIZE * out->block_count);
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

shardy_status sfi_output_commit(struct sfi_output *out, struct sfi_shard_built *built,
                                shardy_error *err)
{
    bool single = out->block == out->first;
    struct sfi_bytes head = {out->first, single ? out->used : SFI_BLOCK_BYTES};
    struct sfi_upload *upload = out->upload;
    built->bytes = (uint64_t)(out->next - 1) * out->page_size;
    SFI_RETURN_IF_ERR(flush_block(out, err));
    sfi_checksum_block(head.data, head.size, out->digests);
    sfi_checksum_text(out->digests, out->block_count, built->checksum);
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
