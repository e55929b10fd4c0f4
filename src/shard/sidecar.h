/*
 * sidecar.h - the page-cache sidecar of a shard, format version 8: navigation pages and overflow
 * chains of one exact version of the database. Format: docs/format/sidecar.md.
 */
#ifndef SFI_SHARD_SIDECAR_H
#define SFI_SHARD_SIDECAR_H

#include "base/bytes.h"

#define SFI_SIDECAR_NAME           "shard.sidecar"
#define SFI_SIDECAR_FORMAT_VERSION 8
#define SFI_SIDECAR_CONTENT_TYPE   "application/octet-stream"

/* A navigation page: its number and its whole image (page_size bytes). */
struct sfi_sidecar_page {
    uint32_t number;
    const uint8_t *image;
};

/* An overflow chain of `count` consecutive pages (the lock-byte page is jumped over). */
struct sfi_chain {
    uint32_t head;
    uint32_t count;
};

struct sfi_sidecar_input {
    uint32_t page_size;
    const struct sfi_sidecar_page *pages; /* ascending, page 1 first */
    size_t page_count;
    const struct sfi_chain *chains; /* any order; encoding sorts a copy by head */
    size_t chain_count;
    const char *tag; /* ETag of the database object; "" or NULL = unbound */
};

/*
 * LIMIT when the body would exceed SFI_SIDECAR_MAX_BODY, or compresses better than our own parser
 * believes (SFI_SIDECAR_MAX_RATIO): the caller then writes no sidecar. A tag that is not text or
 * longer than 255 bytes leaves the sidecar unbound. `out` is empty after a failure.
 */
shardy_status sfi_sidecar_encode(const struct sfi_sidecar_input *input, struct sfi_buf *out,
                                 shardy_error *err);

/* A parsed, validated sidecar. Immutable. */
struct sfi_sidecar;

/* What stands in front of the compressed frame: enough to decide whether to fetch the rest. */
#define SFI_SIDECAR_PREFIX_MAX (18 + 255)

struct sfi_sidecar_prefix {
    uint64_t body_size; /* decompressed */
    uint32_t page_size;
    uint32_t size; /* bytes of the prefix; the frame follows */
    char tag[256]; /* "" = unbound */
};

/* `bytes` is the object or at least its first SFI_SIDECAR_PREFIX_MAX bytes. Errors as below. */
shardy_status sfi_sidecar_parse_prefix(struct sfi_bytes bytes, struct sfi_sidecar_prefix *prefix,
                                       shardy_error *err);

/*
 * CORRUPT names what is wrong, UNSUPPORTED is another version, LIMIT a body that is too large: any
 * of them means "no sidecar" to a reader. Chains are lists of page numbers that no rule binds to
 * the file: take only as many pages as the payload needs, and verify each link.
 */
shardy_status sfi_sidecar_parse(struct sfi_bytes bytes, struct sfi_sidecar **sidecar,
                                shardy_error *err);
void sfi_sidecar_free(struct sfi_sidecar *sidecar); /* NULL is accepted */
uint32_t sfi_sidecar_page_size(const struct sfi_sidecar *sidecar);
const char *sfi_sidecar_tag(const struct sfi_sidecar *sidecar); /* "" = unbound */
size_t sfi_sidecar_page_count(const struct sfi_sidecar *sidecar);
uint32_t sfi_sidecar_page_number(const struct sfi_sidecar *sidecar, size_t index);
/* Rebuild the index-th stored page into `image` (page_size bytes, gap zeroed). */
void sfi_sidecar_page(const struct sfi_sidecar *sidecar, size_t index, uint8_t *image);
/* Position of page `number`, or SIZE_MAX. */
size_t sfi_sidecar_find(const struct sfi_sidecar *sidecar, uint32_t number);
size_t sfi_sidecar_chain_count(const struct sfi_sidecar *sidecar);
/* Position of the chain that starts at page `head`, or SIZE_MAX. */
size_t sfi_sidecar_find_chain(const struct sfi_sidecar *sidecar, uint32_t head);
/* Pages of the index-th chain, head first. */
const uint32_t *sfi_sidecar_chain(const struct sfi_sidecar *sidecar, size_t index, size_t *count);

/* Page of the 1 GiB lock byte, which SQLite never uses; 0 < page_size <= 65536. */
static inline uint32_t sfi_lock_page(uint32_t page_size)
{
    return 0x40000000u / page_size + 1;
}

#endif
