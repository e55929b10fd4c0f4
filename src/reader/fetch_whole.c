/*
 * fetch_whole.c - a whole object in private memory, for checks that read every byte of it. The
 * transfer itself is transfer.c; copies that are kept are download.c.
 */
#include "reader/download.h"
#include "reader/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

struct whole {
    const char *key;
    uint8_t *memory;
    size_t size;
};

static void unmap(struct sfi_mapping *mapping)
{
    (void)munmap(mapping->private_data, mapping->size ? mapping->size : 1);
}

static shardy_status reserve(void *arg, uint64_t size, shardy_error *err)
{
    struct whole *whole = arg;
    void *memory = MAP_FAILED;
    errno = ENOMEM;
    if (size <= SIZE_MAX / 2) {
        memory = mmap(NULL, size ? (size_t)size : 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (memory == MAP_FAILED) {
        return sfi_fail_errno(err, SHARDY_NO_MEMORY, errno, "%s: no memory for %" PRIu64 " bytes",
                              whole->key, size);
    }
    whole->memory = memory;
    whole->size = (size_t)size;
    return SHARDY_OK;
}

static shardy_status copy_part(void *arg, uint64_t offset, struct sfi_bytes bytes,
                               shardy_error *err)
{
    struct whole *whole = arg;
    if (offset > whole->size || bytes.size > whole->size - offset) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: more bytes came than the object has", whole->key);
    }
    if (bytes.size) {
        memcpy(whole->memory + offset, bytes.data, bytes.size);
    }
    return SHARDY_OK;
}

shardy_status sfi_fetch_whole(struct sfi_store *store, const char *key, uint64_t size,
                              uint64_t max_bytes, struct sfi_mapping *image, shardy_error *err)
{
    struct whole whole = {.key = key};
    struct sfi_transfer transfer = {.store = store,
                                    .key = key,
                                    .size = size,
                                    .max_bytes = max_bytes,
                                    .begin = reserve,
                                    .write = copy_part,
                                    .arg = &whole};
    memset(image, 0, sizeof *image);
    shardy_status st = sfi_transfer_run(&transfer, err);
    if (st != SHARDY_OK) {
        if (whole.memory) {
            (void)munmap(whole.memory, whole.size ? whole.size : 1);
        }
        return st;
    }
    image->data = whole.memory;
    image->size = whole.size;
    image->private_data = whole.memory;
    image->release = unmap;
    memcpy(image->etag, transfer.etag, SFI_ETAG_SIZE);
    return SHARDY_OK;
}
