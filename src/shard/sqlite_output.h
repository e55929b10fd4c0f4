/*
 * sqlite_output.h - the pages of a shard on their way to its object, in file order. Gathers pages
 * into 1 MiB blocks, hashes each, and holds the first block back until page 1 is known.
 */
#ifndef SFI_SHARD_SQLITE_OUTPUT_H
#define SFI_SHARD_SQLITE_OUTPUT_H

#include "shard/shard.h"

struct sfi_output {
    struct sfi_upload *upload; /* NULL once committed */
    uint8_t *first;            /* block 0, held back */
    uint8_t *block;            /* block being filled; may be `first` */
    size_t used;               /* bytes of `block` */
    uint32_t page_size;
    uint32_t next; /* number of the next page */
    uint32_t lock_page;
    uint8_t *digests; /* 16 bytes a block, canonical */
    size_t block_count;
    size_t digest_capacity;
};

shardy_status sfi_output_open(struct sfi_output *out, struct sfi_store *store, const char *key,
                              uint32_t page_size, shardy_error *err);
/* Room for the next page, uninitialised, and its number. Valid until the next call. */
shardy_status sfi_output_page(struct sfi_output *out, uint8_t **page, uint32_t *number,
                              shardy_error *err);
/* Number the page after `number` will get: the lock-byte page is jumped over. */
static inline uint32_t sfi_output_after(const struct sfi_output *out, uint32_t number)
{
    return number + 1 == out->lock_page ? number + 2 : number + 1;
}
/* Page 1, to be filled before sfi_output_commit(). */
uint8_t *sfi_output_first_page(struct sfi_output *out);
/* Write the rest, commit the object; fills bytes, checksum and etag of `built`. */
shardy_status sfi_output_commit(struct sfi_output *out, struct sfi_shard_built *built,
                                shardy_error *err);
void sfi_output_clear(struct sfi_output *out); /* aborts when not committed */

#endif
