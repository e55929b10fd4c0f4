/*
 * store_dir_internal.h - the directory store's own helpers: folders, temporary files, identity.
 */
#ifndef SFI_STORE_STORE_DIR_INTERNAL_H
#define SFI_STORE_STORE_DIR_INTERNAL_H

#include "store/store_internal.h"

#include <limits.h>
#include <sys/stat.h>

/* Names that are never objects: unfinished files anywhere, and the lock of the root. */
#define SFI_DIR_TEMP_PREFIX ".tmp-"
#define SFI_DIR_LOCK_NAME   ".lock"

/* Objects up to this size are identified by their content, larger ones by inode, size and time. */
#define SFI_DIR_CONTENT_ETAG_MAX (64u * 1024u)

struct sfi_dir_store {
    struct sfi_store base;
    const char *root; /* absolute path, inside base.url */
};

/* An unfinished file beside the object that it will become. */
struct sfi_dir_temp {
    int folder;             /* -1: none */
    int fd;                 /* -1: none */
    const char *final_name; /* last segment of the key; borrowed */
    char name[sizeof SFI_DIR_TEMP_PREFIX + 48];
};

/* NOT_FOUND, or IO naming the path, with a remedy for the usual causes. `bytes`: needed, 0 = -. */
shardy_status sfi_dir_error(const struct sfi_dir_store *store, const char *key, const char *action,
                            int error_number, uint64_t bytes, shardy_error *err);
/* CONFIG when a key collides with reserved names. */
shardy_status sfi_dir_key_check(const char *key, shardy_error *err);

/* Make the folders of `key` and a temporary file there. */
shardy_status sfi_dir_temp_open(const struct sfi_dir_store *store, const char *key,
                                struct sfi_dir_temp *temp, shardy_error *err);
shardy_status sfi_dir_write(const struct sfi_dir_store *store, const char *key, int fd,
                            const uint8_t *data, size_t size, uint64_t offset, shardy_error *err);
/*
 * Give the written and synced temporary file its final name: `create_only` fails with CONFLICT when
 * the name is taken. UNKNOWN: named, but the folder could not be synced.
 */
shardy_status sfi_dir_temp_publish(const struct sfi_dir_store *store, const char *key,
                                   struct sfi_dir_temp *temp, bool create_only, shardy_error *err);
/* Remove what is unfinished, with folders that are empty then, and close. */
void sfi_dir_temp_discard(const struct sfi_dir_store *store, const char *key,
                          struct sfi_dir_temp *temp);
/* Remove the folders of `key` that are empty, below the open folder `root`. */
void sfi_dir_remove_empty(int root, const char *key);

/* ETag of an open file. Reads small files. */
shardy_status sfi_dir_etag(const struct sfi_dir_store *store, const char *key, int fd,
                           const struct stat *info, char etag[SFI_ETAG_SIZE], shardy_error *err);
/* Read exactly `size` bytes; IO when the file is shorter. */
shardy_status sfi_dir_read(const struct sfi_dir_store *store, const char *key, int fd,
                           uint8_t *data, size_t size, uint64_t offset, shardy_error *err);

shardy_status sfi_dir_upload(struct sfi_store *store, const char *key, const char *content_type,
                             size_t head_size, struct sfi_upload **upload, shardy_error *err);
shardy_status sfi_dir_list(struct sfi_store *store, const char *prefix, bool deep,
                           struct sfi_store_list *list, shardy_error *err);

#endif
