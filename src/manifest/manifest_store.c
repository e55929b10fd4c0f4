/*
 * manifest_store.c - what all manifest stores share: ownership of references and results.
 */
#include "manifest/manifest_internal.h"

#include "base/memory.h"

void sfi_ref_clear(struct sfi_ref *ref)
{
    sfi_free(ref->ref);
    sfi_free(ref->run_id);
    memset(ref, 0, sizeof *ref);
}

void sfi_refs_clear(struct sfi_ref *refs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sfi_ref_clear(&refs[i]);
    }
    sfi_free(refs);
}

void sfi_publish_result_clear(struct sfi_publish_result *result)
{
    sfi_free(result->manifest_ref);
    sfi_free(result->replaced_ref);
    sfi_free(result->replaced_run_id);
    memset(result, 0, sizeof *result);
}

void sfi_manifest_store_close(struct sfi_manifest_store *store)
{
    if (store) {
        store->ops->close(store);
    }
}

static void block_release(struct sfi_mapping *mapping)
{
    sfi_free(mapping->private_data);
}

void sfi_mapping_of_block(struct sfi_mapping *mapping, uint8_t *data, size_t size)
{
    memset(mapping, 0, sizeof *mapping);
    mapping->data = data;
    mapping->size = size;
    mapping->private_data = data;
    mapping->release = block_release;
}
