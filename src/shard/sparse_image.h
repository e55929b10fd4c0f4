/*
 * sparse_image.h - address space of the size of a file whose 4 KiB granules are filled and emptied
 * on demand, with a small use counter for each granule (clock replacement).
 *
 * No locks here: filling and emptying need exclusive access, looking and touching shared access.
 */
#ifndef SFI_SHARD_SPARSE_IMAGE_H
#define SFI_SHARD_SPARSE_IMAGE_H

#include "base/bytes.h"

#include <stdatomic.h>

/* State of a granule: 0 = empty, otherwise RESIDENT with its use counter. */
#define SFI_GRANULE_RESIDENT 0x80u
#define SFI_GRANULE_BORROWED 0x40u /* rebuilt from a sidecar, not read from the file */
#define SFI_GRANULE_USE      0x0Fu

/* Use counters: sweeps of the clock that a granule survives. */
enum { SFI_USE_ONCE = 1, SFI_USE_FILLED = 2, SFI_USE_LEAF = 3, SFI_USE_INTERIOR = 7 };

struct sfi_sparse_image {
    uint8_t *data;
    uint64_t size;
    size_t reserved; /* bytes of address space */
    size_t granules;
    atomic_uchar *state;
    uint16_t *filled; /* resident granules of each group, so that sweeps skip empty ones */
    _Atomic uint64_t resident;
    size_t hand; /* where the next sweep starts */
    size_t unit; /* granules that the kernel empties at a time */
};

/* Reserve. NO_MEMORY, naming `name`. */
shardy_status sfi_sparse_image_init(struct sfi_sparse_image *image, uint64_t size, const char *name,
                                    shardy_error *err);
void sfi_sparse_image_clear(struct sfi_sparse_image *image);

/* Are all bytes of [offset, offset + size) there? If so their counters rise to `use`. */
bool sfi_sparse_image_has(const struct sfi_sparse_image *image, uint64_t offset, uint64_t size,
                          unsigned use);
/* Smallest granule-aligned range that holds what is missing of [offset, offset + size); false:
 * nothing is. The end of the file need not be aligned. */
bool sfi_sparse_image_missing(const struct sfi_sparse_image *image, uint64_t offset, uint64_t size,
                              uint64_t *from, uint64_t *length);
/* Copy in the granules of [offset, ...) that are empty and wholly in `bytes`; `offset` is a
 * multiple of the granule. Returns bytes added. */
uint64_t sfi_sparse_image_fill(struct sfi_sparse_image *image, uint64_t offset,
                               struct sfi_bytes bytes, unsigned flags);
/* One sweep: counters fall by one, granules at zero are emptied, at most `bytes`. Returns bytes
 * emptied. */
uint64_t sfi_sparse_image_sweep(struct sfi_sparse_image *image, uint64_t bytes);
/* Empty every granule that carries `flag`. */
void sfi_sparse_image_drop(struct sfi_sparse_image *image, unsigned flag);

#endif
