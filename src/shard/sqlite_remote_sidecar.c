/*
 * sqlite_remote_sidecar.c - what a remote shard takes from a sidecar: navigation pages, put into
 * the image where the file's own are missing, and the overflow chains that no guess would find.
 * A sidecar that is not bound to this very database, or is damaged, is forgotten: never an error.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sidecar.h"
#include "shard/sqlite_remote.h"

void sfi_chain_map_clear(struct sfi_chain_map *chains)
{
    sfi_free(chains->heads);
    sfi_free(chains->offsets);
    sfi_free(chains->pages);
    memset(chains, 0, sizeof *chains);
}

/* Would guessing consecutive pages find this chain? */
static bool consecutive(const uint32_t *pages, size_t count, uint32_t lock_page)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t next = pages[i - 1] + 1;
        if (pages[i] != (next == lock_page ? next + 1 : next)) {
            return false;
        }
    }
    return true;
}

/* Copy the scattered chains, as many as the limit allows. */
static shardy_status copy_chains(struct sfi_remote *remote, const struct sfi_sidecar *sidecar,
                                 shardy_error *err)
{
    struct sfi_chain_map *map = &remote->chains;
    uint32_t lock_page = sfi_lock_page(remote->tree.page_size);
    size_t total = sfi_sidecar_chain_count(sidecar);
    uint32_t chains = 0;
    uint32_t pages = 0;
    for (int pass = 0; pass < 2; pass++) {
        chains = 0;
        pages = 0;
        for (size_t i = 0; i < total; i++) {
            size_t count;
            const uint32_t *list = sfi_sidecar_chain(sidecar, i, &count);
            if (consecutive(list, count, lock_page)) {
                continue;
            }
            if (count > SFI_REMOTE_CHAIN_PAGES_MAX - pages) {
                break;
            }
            if (pass == 1) {
                map->heads[chains] = list[0];
                map->offsets[chains] = pages;
                memcpy(map->pages + pages, list, count * sizeof *list);
            }
            chains++;
            pages += (uint32_t)count;
        }
        if (pass == 0) {
            map->heads = sfi_array_alloc(chains, sizeof *map->heads);
            map->offsets = sfi_array_alloc((size_t)chains + 1, sizeof *map->offsets);
            map->pages = sfi_array_alloc(pages, sizeof *map->pages);
            if (!map->heads || !map->offsets || !map->pages) {
                return sfi_fail_memory(err, pages * sizeof *map->pages);
            }
        }
    }
    map->offsets[chains] = pages;
    map->count = chains;
    return SHARDY_OK;
}

static shardy_status copy_pages(struct sfi_remote *remote, const struct sfi_sidecar *sidecar,
                                shardy_error *err)
{
    uint32_t page_size = remote->tree.page_size;
    struct sfi_bytes page = {NULL, page_size};
    uint8_t *image = sfi_malloc(page_size);
    if (!image) {
        return sfi_fail_memory(err, page_size);
    }
    page.data = image;
    for (size_t i = 0; i < sfi_sidecar_page_count(sidecar); i++) {
        uint32_t number = sfi_sidecar_page_number(sidecar, i);
        if (number <= remote->tree.page_count) {
            sfi_sidecar_page(sidecar, i, image);
            (void)sfi_sparse_image_fill(&remote->image, (uint64_t)(number - 1) * page_size, page,
                                        SFI_GRANULE_BORROWED);
        }
    }
    sfi_free(image);
    return SHARDY_OK;
}

shardy_status sfi_remote_use_sidecar(struct sfi_remote *remote, shardy_error *err)
{
    struct sfi_bytes bytes = {remote->sidecar.data, (size_t)remote->sidecar.size};
    struct sfi_sidecar *sidecar = NULL;
    struct sfi_sidecar_prefix prefix;
    shardy_status st = SHARDY_OK;
    remote->sidecar_state = SFI_SIDECAR_NONE;
    if (sfi_sidecar_parse_prefix(bytes, &prefix, NULL) != SHARDY_OK || !*prefix.tag ||
        strcmp(prefix.tag, remote->etag) != 0 || prefix.page_size != remote->tree.page_size ||
        prefix.page_size < SFI_GRANULE || prefix.body_size > SFI_REMOTE_SIDECAR_BODY_MAX ||
        sfi_sidecar_parse(bytes, &sidecar, NULL) != SHARDY_OK) {
        goto out;
    }
    SFI_TRY(copy_pages(remote, sidecar, err));
    SFI_TRY(copy_chains(remote, sidecar, err));
    remote->sidecar_state = SFI_SIDECAR_USED;
out:
    if (st != SHARDY_OK) {
        sfi_sparse_image_drop(&remote->image, SFI_GRANULE_BORROWED);
        sfi_chain_map_clear(&remote->chains);
    }
    sfi_sidecar_free(sidecar);
    sfi_sparse_image_clear(&remote->sidecar);
    return st;
}

bool sfi_remote_distrust(struct sfi_remote *remote)
{
    if (remote->sidecar_state != SFI_SIDECAR_USED) {
        return false;
    }
    remote->sidecar_state = SFI_SIDECAR_NONE;
    sfi_sparse_image_drop(&remote->image, SFI_GRANULE_BORROWED);
    sfi_chain_map_clear(&remote->chains);
    sfi_btree_free_directory(&remote->tree);
    remote->tree.root = 0;
    remote->header_known = false;
    remote->phase = SFI_REMOTE_OPENING;
    remote->generation++;
    remote->trust++;
    atomic_store_explicit(&remote->leaf_depth, 0, memory_order_relaxed);
    return true;
}
