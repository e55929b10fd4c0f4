/*
 * store_dir_upload.c - objects written in order into a temporary file whose head comes last.
 *
 * Small appends are gathered into blocks. Write-back starts early, so that the final fsync finds
 * most pages on disk already. Large objects leave the page cache as they are written: they would
 * push out what is needed sooner, such as the sorted runs they are made from.
 */
#include "store/store_dir_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define WRITE_BACK_BYTES (UINT64_C(8) << 20)
/* What stays in the page cache of one object. */
#define KEEP_CACHED_BYTES (UINT64_C(256) << 20)

struct dir_upload {
    struct sfi_upload base;
    struct sfi_dir_store *store;
    char *key;
    size_t head_size;
    struct sfi_dir_temp temp;
    uint64_t size;    /* head included, block not */
    uint64_t synced;  /* write-back has been started up to here */
    uint64_t dropped; /* from KEEP_CACHED_BYTES up to here nothing is in the page cache */
    size_t used;
    uint8_t block[SFI_BLOCK_BYTES];
};

/* Advice about speed: failures change nothing. */
static void write_back(struct dir_upload *upload)
{
    int fd = upload->temp.fd;
    off_t begin = (off_t)upload->synced;
    (void)sync_file_range(fd, begin, (off_t)upload->size - begin, SYNC_FILE_RANGE_WRITE);
    if (upload->synced > upload->dropped) {
        /* What was started the last time: wait for it, so that it can be let go. */
        off_t from = (off_t)upload->dropped;
        (void)sync_file_range(fd, from, begin - from,
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
        (void)posix_fadvise(fd, from, begin - from, POSIX_FADV_DONTNEED);
        upload->dropped = upload->synced;
    }
    upload->synced = upload->size;
}

static shardy_status write_out(struct dir_upload *upload, const uint8_t *data, size_t size,
                               shardy_error *err)
{
    SFI_RETURN_IF_ERR(
        sfi_dir_write(upload->store, upload->key, upload->temp.fd, data, size, upload->size, err));
    upload->size += size;
    if (upload->size - upload->synced >= WRITE_BACK_BYTES) {
        write_back(upload);
    }
    return SHARDY_OK;
}

static shardy_status flush_block(struct dir_upload *upload, shardy_error *err)
{
    size_t used = upload->used;
    upload->used = 0;
    return used ? write_out(upload, upload->block, used, err) : SHARDY_OK;
}

static shardy_status upload_append(struct sfi_upload *base, struct sfi_bytes bytes,
                                   shardy_error *err)
{
    struct dir_upload *upload = (struct dir_upload *)base;
    if (bytes.size > sizeof upload->block - upload->used) {
        SFI_RETURN_IF_ERR(flush_block(upload, err));
    }
    if (bytes.size >= sizeof upload->block / 4) {
        SFI_RETURN_IF_ERR(flush_block(upload, err));
        return write_out(upload, bytes.data, bytes.size, err);
    }
    if (bytes.size) {
        memcpy(upload->block + upload->used, bytes.data, bytes.size);
        upload->used += bytes.size;
    }
    return SHARDY_OK;
}

static void upload_abort(struct sfi_upload *base)
{
    struct dir_upload *upload = (struct dir_upload *)base;
    sfi_dir_temp_discard(upload->store, upload->key, &upload->temp);
    sfi_store_release(&upload->store->base);
    sfi_free(upload->key);
    sfi_free(upload);
}

static shardy_status finish(struct dir_upload *upload, struct sfi_bytes head, char *etag,
                            shardy_error *err)
{
    const char *key = upload->key;
    int fd = upload->temp.fd;
    struct stat info;
    char own_etag[SFI_ETAG_SIZE] = "";
    bool only_head = upload->size == upload->head_size && upload->used == 0;
    if (head.size > upload->head_size || (head.size < upload->head_size && !only_head)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: head of %zu bytes, expected %zu", key, head.size,
                        upload->head_size);
    }
    SFI_RETURN_IF_ERR(flush_block(upload, err));
    SFI_RETURN_IF_ERR(sfi_dir_write(upload->store, key, fd, head.data, head.size, 0, err));
    if (fsync(fd) != 0 || fstat(fd, &info) != 0) {
        return sfi_dir_error(upload->store, key, "write", errno, upload->size, err);
    }
    SFI_RETURN_IF_ERR(sfi_dir_etag(upload->store, key, fd, &info, own_etag, err));
    if (etag) {
        memcpy(etag, own_etag, SFI_ETAG_SIZE);
    }
    return sfi_dir_temp_publish(upload->store, key, &upload->temp, true, err);
}

static shardy_status upload_commit(struct sfi_upload *base, struct sfi_bytes head, char *etag,
                                   shardy_error *err)
{
    shardy_status st = finish((struct dir_upload *)base, head, etag, err);
    upload_abort(base);
    return st;
}

static const struct sfi_upload_ops s_upload_ops = {
    .append = upload_append,
    .commit = upload_commit,
    .abort = upload_abort,
};

shardy_status sfi_dir_upload(struct sfi_store *base, const char *key, const char *content_type,
                             size_t head_size, struct sfi_upload **out, shardy_error *err)
{
    (void)content_type; /* files have none */
    SFI_RETURN_IF_ERR(sfi_dir_key_check(key, err));
    struct dir_upload *upload = sfi_malloc(sizeof *upload);
    if (!upload) {
        return sfi_fail_memory(err, sizeof *upload);
    }
    upload->base.ops = &s_upload_ops;
    upload->store = (struct sfi_dir_store *)sfi_store_acquire(base);
    upload->head_size = head_size;
    upload->size = head_size;
    upload->synced = 0;
    upload->dropped = KEEP_CACHED_BYTES;
    upload->used = 0;
    upload->temp.folder = -1;
    upload->temp.fd = -1;
    upload->key = sfi_strdup(key);
    shardy_status st = upload->key
                           ? sfi_dir_temp_open(upload->store, upload->key, &upload->temp, err)
                           : sfi_fail_memory(err, strlen(key) + 1);
    if (st != SHARDY_OK) {
        upload_abort(&upload->base);
        return st;
    }
    *out = &upload->base;
    return SHARDY_OK;
}
