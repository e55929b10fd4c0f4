/*
 * transfer.h - a whole object in parallel ranges of one ETag, handed over on the calling thread.
 */
#ifndef SFI_READER_TRANSFER_H
#define SFI_READER_TRANSFER_H

#include "store/store.h"

struct sfi_transfer {
    struct sfi_store *store;
    const char *key;
    uint64_t size;            /* in: as expected, 0 = unknown; out: of the object */
    uint64_t max_bytes;       /* larger objects are refused; 0 = no limit */
    char etag[SFI_ETAG_SIZE]; /* in: when known, or ""; out: of the object */

    /* Called once, when the size is known and before the first write. May be NULL. */
    shardy_status (*begin)(void *arg, uint64_t size, shardy_error *err);
    /* Each part of the object once, in any order; offsets are multiples of SFI_TRANSFER_RANGE. */
    shardy_status (*write)(void *arg, uint64_t offset, struct sfi_bytes bytes, shardy_error *err);
    void *arg;
};

/*
 * Run a transfer to its end. Not from a thread of the store. NOT_FOUND; CONFLICT: the object was
 * replaced while it was read; CORRUPT: its size is not the expected one; LIMIT: larger than
 * `max_bytes`; STORE; what the callbacks return.
 */
shardy_status sfi_transfer_run(struct sfi_transfer *transfer, shardy_error *err);

#endif
