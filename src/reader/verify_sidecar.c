/*
 * verify_sidecar.c - a sidecar against the database it lies beside: stored pages and overflow
 * chains are those of the file. The tag is left alone, for a copied database has another one.
 * Format: docs/format/sidecar.md.
 */
#include "reader/verify_internal.h"

#include "base/memory.h"
#include "shard/shard.h"
#include "shard/sidecar.h"
#include "shard/sqlite_format.h"

/* Whether a stored page is the file's, the gap between pointers and cells aside (sidecar.md). */
static bool same_page(const uint8_t *stored, const uint8_t *page, uint32_t number,
                      uint32_t page_size)
{
    const uint8_t *head = stored + (number == 1 ? SFI_SQLITE_HEADER_SIZE : 0);
    bool interior = head[0] == SFI_PAGE_INDEX_INTERIOR || head[0] == SFI_PAGE_TABLE_INTERIOR;
    if (!interior && head[0] != SFI_PAGE_INDEX_LEAF && head[0] != SFI_PAGE_TABLE_LEAF) {
        return memcmp(stored, page, page_size) == 0;
    }
    size_t end = (size_t)(head - stored) + (interior ? SFI_INTERIOR_HEADER : SFI_LEAF_HEADER) +
                 2 * (size_t)sfi_get_u16be(head + 3);
    size_t start = sfi_get_u16be(head + 5) ? sfi_get_u16be(head + 5) : 65536;
    return memcmp(stored, page, end) == 0 &&
           memcmp(stored + start, page + start, page_size - start) == 0;
}

static shardy_status compare_pages(const struct sfi_sidecar *sidecar,
                                   const struct sfi_shard_reader *reader, shardy_error *err)
{
    uint32_t page_size = sfi_sidecar_page_size(sidecar);
    uint8_t *image = sfi_malloc(page_size);
    shardy_status st = image ? SHARDY_OK : sfi_fail_memory(err, page_size);
    for (size_t i = 0; st == SHARDY_OK && i < sfi_sidecar_page_count(sidecar); i++) {
        uint32_t number = sfi_sidecar_page_number(sidecar, i);
        const uint8_t *page = sfi_sqlite_page(reader, number);
        sfi_sidecar_page(sidecar, i, image);
        if (!page || !same_page(image, page, number, page_size)) {
            st = sfi_fail(err, SHARDY_CORRUPT, "stored page %u %s", number,
                          page ? "differs from the database" : "is outside the database");
        }
    }
    sfi_free(image);
    return st;
}

static shardy_status compare_chain(const uint32_t *pages, size_t count,
                                   const struct sfi_shard_reader *reader, shardy_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *page = sfi_sqlite_page(reader, pages[i]);
        uint32_t next = i + 1 < count ? pages[i + 1] : 0;
        if (!page || sfi_get_u32be(page) != next) {
            return sfi_fail(err, SHARDY_CORRUPT,
                            "chain of page %u: page %u does not lead to %u in the database",
                            pages[0], pages[i], next);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_verify_sidecar(struct sfi_bytes bytes, const struct sfi_shard_reader *reader,
                                 shardy_error *err)
{
    struct sfi_sidecar *sidecar = NULL;
    struct sfi_sqlite_facts facts;
    shardy_status st = SHARDY_OK;
    SFI_RETURN_IF_ERR(sfi_sidecar_parse(bytes, &sidecar, err));
    if (!reader) {
        goto out;
    }
    sfi_sqlite_facts(reader, &facts);
    if (facts.page_size != sfi_sidecar_page_size(sidecar)) {
        SFI_TRY(sfi_fail(err, SHARDY_CORRUPT, "page size is %u, that of the database %u",
                         sfi_sidecar_page_size(sidecar), facts.page_size));
    }
    SFI_TRY(compare_pages(sidecar, reader, err));
    for (size_t i = 0; i < sfi_sidecar_chain_count(sidecar); i++) {
        size_t count;
        const uint32_t *pages = sfi_sidecar_chain(sidecar, i, &count);
        SFI_TRY(compare_chain(pages, count, reader, err));
    }
out:
    sfi_sidecar_free(sidecar);
    return st;
}
