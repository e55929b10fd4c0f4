/*
 * fuzz_manifest.c - any bytes as a manifest image.
 *
 * Invariant: opening refuses the bytes, or every call answers without reading outside them; when
 * the full check passes, every shard below num_dbs can be read, all ids ascend, and the row count
 * is the sum over the shards.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "manifest/manifest.h"

#include <stdlib.h>

/* Lookups of one input; each is independent of the others. */
#define LOOKUPS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct totals {
    uint64_t rows;
    int64_t last;
    uint32_t num_dbs;
};

static shardy_status add_row(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    struct totals *totals = arg;
    (void)err;
    require((int64_t)info->db_id > totals->last && info->db_id < totals->num_dbs);
    require(info->writer_info != NULL);
    require(!info->has_min_key || info->min_key.kind <= SHARDY_KIND_STR);
    totals->last = info->db_id;
    totals->rows += info->row_count;
    return SHARDY_OK;
}

static void release(struct sfi_mapping *mapping)
{
    (void)mapping; /* the bytes are the fuzzer's */
}

static void use(struct sfi_manifest *manifest)
{
    struct totals totals = {0, -1, sfi_manifest_meta(manifest)->num_dbs};
    uint64_t rows = 0;
    bool sound = sfi_manifest_check(manifest, NULL) == SHARDY_OK;
    require(totals.num_dbs >= 1 && totals.num_dbs <= SFI_SHARDS_MAX);
    for (uint32_t id = 0; id < totals.num_dbs && id < LOOKUPS; id++) {
        shardy_shard_info info;
        shardy_status st = sfi_manifest_shard(manifest, id, &info, NULL);
        require(!sound || st == SHARDY_OK);
        require(st != SHARDY_OK || info.db_id == id);
        shardy_shard_info_clear(&info);
    }
    shardy_status each = sfi_manifest_each(manifest, add_row, &totals, NULL);
    shardy_status sum = sfi_manifest_row_count(manifest, &rows, NULL);
    require(!sound || each == SHARDY_OK);
    require(each != SHARDY_OK || sum != SHARDY_OK || rows == totals.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_mapping image = {.data = data, .size = size, .release = release};
    struct sfi_manifest *manifest;
    if (sfi_manifest_open(&image, &manifest, NULL) == SHARDY_OK) {
        use(manifest);
        sfi_manifest_close(manifest);
    }
    return 0;
}
