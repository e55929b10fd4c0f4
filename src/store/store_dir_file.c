/*
 * store_dir_file.c - files and folders of the directory store: temporary files that get their name
 * when they are complete, reading, writing, identity, and messages.
 */
#include "store/store_dir_internal.h"

#include "base/memory.h"
#include "base/parallel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Folders that a concurrent delete may remove between making and using them. */
#define FOLDER_TRIES 16

static const char *remedy_for(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return "; free space there or choose another folder";
    case EACCES:
    case EPERM:
        return "; give this user permission to it";
    case EROFS:
        return "; choose a folder on a writable file system";
    case ELOOP:
        return "; it is a symbolic link, replace it by the file";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files";
    case ENOTDIR:
        return "; a file is in the place of a folder, move it away";
    default:
        return "";
    }
}

shardy_status sfi_dir_error(const struct sfi_dir_store *store, const char *key, const char *action,
                            int error_number, uint64_t bytes, shardy_error *err)
{
    const char *remedy = remedy_for(error_number);
    bool reading = strcmp(action, "read") == 0;
    if (error_number == ENOENT || (reading && error_number == ENOTDIR)) {
        return sfi_fail_errno(err, SHARDY_NOT_FOUND, error_number, "%s/%s does not exist",
                              store->root, key);
    }
    if (bytes) {
        return sfi_fail_errno(err, SHARDY_IO, error_number, "cannot %s %s/%s (%" PRIu64 " bytes)%s",
                              action, store->root, key, bytes, remedy);
    }
    return sfi_fail_errno(err, SHARDY_IO, error_number, "cannot %s %s/%s%s", action, store->root,
                          key, remedy);
}

shardy_status sfi_dir_key_check(const char *key, shardy_error *err)
{
    const char *at = key;
    bool reserved = strcmp(key, SFI_DIR_LOCK_NAME) == 0;
    while (at && !reserved) {
        reserved = strncmp(at, SFI_DIR_TEMP_PREFIX, strlen(SFI_DIR_TEMP_PREFIX)) == 0;
        at = strchr(at, '/');
        at = at ? at + 1 : NULL;
    }
    return reserved
               ? sfi_fail(err, SHARDY_CONFIG,
                          "object key \"%.200s\" is reserved for unfinished files and locks", key)
               : SHARDY_OK;
}

/* Open one folder below `parent`, making it when it is missing; then `parent` is synced. */
static int enter_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT) {
        return fd;
    }
    if (mkdirat(parent, name, 0777) == 0) {
        (void)fsync(parent);
    } else if (errno != EEXIST) {
        return -1;
    }
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Enter the folders of `path`, all but the last segment when `skip_last`. Closes `at`. */
static int enter_path(int at, const char *path, bool skip_last)
{
    char name[NAME_MAX + 1];
    while (at >= 0 && *path) {
        size_t n = strcspn(path, "/");
        if (!path[n] && skip_last) {
            break;
        }
        int next = -1;
        if (n < sizeof name) {
            memcpy(name, path, n);
            name[n] = '\0';
            next = n ? enter_folder(at, name) : dup(at);
        } else {
            errno = ENAMETOOLONG;
        }
        int kept = errno;
        close(at);
        errno = kept;
        at = next;
        path += n + (path[n] == '/');
    }
    return at;
}

/* Make the root with its parents, then the folders of the key. -1: errno. */
static int open_folder(const struct sfi_dir_store *store, const char *key)
{
    int root = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 && errno == ENOENT) {
        root = enter_path(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), store->root + 1, false);
    }
    return enter_path(root, key, true);
}

shardy_status sfi_dir_temp_open(const struct sfi_dir_store *store, const char *key,
                                struct sfi_dir_temp *temp, shardy_error *err)
{
    char random[SFI_UUID_HEX_SIZE];
    const char *slash = strrchr(key, '/');
    temp->folder = -1;
    temp->fd = -1;
    temp->name[0] = '\0';
    temp->final_name = slash ? slash + 1 : key;
    SFI_RETURN_IF_ERR(sfi_uuid_hex(random, err));
    snprintf(temp->name, sizeof temp->name, SFI_DIR_TEMP_PREFIX "%ld-%.16s", (long)getpid(),
             random);
    for (int i = 0; i < FOLDER_TRIES && temp->fd < 0; i++) {
        temp->folder = open_folder(store, key);
        if (temp->folder >= 0) {
            temp->fd = openat(temp->folder, temp->name,
                              O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        }
        if (temp->fd < 0) {
            int kept = errno;
            if (temp->folder >= 0) {
                close(temp->folder);
                temp->folder = -1;
            }
            errno = kept;
            if (kept != ENOENT) {
                break;
            }
        }
    }
    if (temp->fd < 0) {
        if (errno == ENOENT) {
            return sfi_fail_errno(err, SHARDY_IO, ENOENT, "cannot create a folder for %s below %s",
                                  key, store->root);
        }
        return sfi_dir_error(store, key, "create", errno, 0, err);
    }
    return SHARDY_OK;
}

shardy_status sfi_dir_write(const struct sfi_dir_store *store, const char *key, int fd,
                            const uint8_t *data, size_t size, uint64_t offset, shardy_error *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sfi_dir_error(store, key, "write", n < 0 ? errno : EIO, offset + size, err);
        }
        done += (size_t)n;
    }
    return SHARDY_OK;
}

shardy_status sfi_dir_read(const struct sfi_dir_store *store, const char *key, int fd,
                           uint8_t *data, size_t size, uint64_t offset, shardy_error *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sfi_dir_error(store, key, "read", errno, 0, err);
        }
        if (n == 0) {
            return sfi_fail(err, SHARDY_IO,
                            "%s/%s: expected %zu bytes at offset %" PRIu64
                            ", got %zu; somebody truncated the file",
                            store->root, key, size, offset, done);
        }
        done += (size_t)n;
    }
    return SHARDY_OK;
}

/* Give the file its name unless the name is taken. File systems without the flag get a hard link.
 */
static int rename_create_only(const struct sfi_dir_temp *temp)
{
    if (renameat2(temp->folder, temp->name, temp->folder, temp->final_name, RENAME_NOREPLACE) ==
        0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) {
        return -1;
    }
    if (linkat(temp->folder, temp->name, temp->folder, temp->final_name, 0) != 0) {
        return -1;
    }
    (void)unlinkat(temp->folder, temp->name, 0);
    return 0;
}

shardy_status sfi_dir_temp_publish(const struct sfi_dir_store *store, const char *key,
                                   struct sfi_dir_temp *temp, bool create_only, shardy_error *err)
{
    int rc = create_only ? rename_create_only(temp)
                         : renameat(temp->folder, temp->name, temp->folder, temp->final_name);
    if (rc != 0 && create_only && errno == EEXIST) {
        return sfi_fail(err, SHARDY_CONFLICT, "%s/%s: the object exists already", store->root, key);
    }
    if (rc != 0) {
        return sfi_dir_error(store, key, "name", errno, 0, err);
    }
    temp->name[0] = '\0';
    if (fsync(temp->folder) != 0) {
        return sfi_fail_errno(err, SHARDY_UNKNOWN, errno,
                              "%s/%s is written, but its folder could not be synced", store->root,
                              key);
    }
    return SHARDY_OK;
}

void sfi_dir_remove_empty(int root, const char *key)
{
    char path[PATH_MAX];
    size_t size = strlen(key);
    if (size >= sizeof path) {
        return;
    }
    memcpy(path, key, size + 1);
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (unlinkat(root, path, AT_REMOVEDIR) != 0) {
            return;
        }
    }
}

void sfi_dir_temp_discard(const struct sfi_dir_store *store, const char *key,
                          struct sfi_dir_temp *temp)
{
    bool unfinished = temp->fd >= 0 && temp->name[0];
    if (temp->fd >= 0) {
        close(temp->fd);
    }
    if (unfinished) {
        (void)unlinkat(temp->folder, temp->name, 0);
    }
    if (temp->folder >= 0) {
        close(temp->folder);
    }
    int root = unfinished ? open(store->root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (root >= 0) {
        sfi_dir_remove_empty(root, key);
        close(root);
    }
    temp->fd = -1;
    temp->folder = -1;
}

shardy_status sfi_dir_etag(const struct sfi_dir_store *store, const char *key, int fd,
                           const struct stat *info, char etag[SFI_ETAG_SIZE], shardy_error *err)
{
    uint64_t size = (uint64_t)info->st_size;
    if (size > SFI_DIR_CONTENT_ETAG_MAX) {
        snprintf(etag, SFI_ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
                 (uint64_t)info->st_ino, size,
                 (uint64_t)info->st_mtim.tv_sec * UINT64_C(1000000000) +
                     (uint64_t)info->st_mtim.tv_nsec);
        return SHARDY_OK;
    }
    struct sfi_bytes content;
    uint8_t *data = sfi_malloc((size_t)size);
    if (!data) {
        return sfi_fail_memory(err, (size_t)size);
    }
    shardy_status st = sfi_dir_read(store, key, fd, data, (size_t)size, 0, err);
    content.data = data;
    content.size = (size_t)size;
    if (st == SHARDY_OK) {
        sfi_store_content_etag(content, etag);
    }
    sfi_free(data);
    return st;
}
