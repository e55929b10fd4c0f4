/*
 * store_dir.c - file:///folder: every object is a file below the root.
 *
 * Readers never see half an object: files are written under a temporary name in the same folder,
 * synced, renamed, and the folder is synced. Replacing and deleting happen under an exclusive flock
 * of <root>/.lock, which makes conditional PUTs atomic between processes; creating does not need
 * it. Files and folders are store_dir_file.c, uploads store_dir_upload.c, listings
 * store_dir_list.c.
 */
#include "store/store_dir_internal.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

/* Open an object for reading; regular files only. */
static shardy_status open_object(const struct sfi_dir_store *store, const char *key, int *fd,
                                 struct stat *info, shardy_error *err)
{
    int root = open(store->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int error_number = root < 0 ? errno : 0;
    *fd = -1;
    if (root >= 0) {
        *fd = openat(root, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        error_number = *fd < 0 ? errno : 0;
        close(root);
    }
    if (!error_number && fstat(*fd, info) != 0) {
        error_number = errno;
    }
    if (!error_number && S_ISDIR(info->st_mode)) {
        error_number = ENOENT;
    }
    shardy_status st = SHARDY_OK;
    if (error_number) {
        st = sfi_dir_error(store, key, "read", error_number, 0, err);
    } else if (!S_ISREG(info->st_mode)) {
        st = sfi_fail(err, SHARDY_IO, "%s/%s is not a regular file; remove it", store->root, key);
    }
    if (st != SHARDY_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return st;
}

static shardy_status take_lock(const struct sfi_dir_store *store, const char *key, int *lock,
                               shardy_error *err)
{
    int root = open(store->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *lock = -1;
    if (root >= 0) {
        *lock = openat(root, SFI_DIR_LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        int kept = errno;
        close(root);
        errno = kept;
    }
    if (*lock < 0) {
        return sfi_dir_error(store, key, "lock " SFI_DIR_LOCK_NAME " to change", errno, 0, err);
    }
    while (flock(*lock, LOCK_EX) != 0) {
        if (errno != EINTR) {
            shardy_status st =
                sfi_dir_error(store, key, "lock " SFI_DIR_LOCK_NAME " to change", errno, 0, err);
            close(*lock);
            *lock = -1;
            return st;
        }
    }
    return SHARDY_OK;
}

/* CONFLICT unless the object has this ETag now. */
static shardy_status check_etag(const struct sfi_dir_store *store, const char *key,
                                const char *etag, shardy_error *err)
{
    int fd;
    struct stat info;
    char now[SFI_ETAG_SIZE] = "";
    shardy_status st = open_object(store, key, &fd, &info, err);
    if (st == SHARDY_OK) {
        st = sfi_dir_etag(store, key, fd, &info, now, err);
        close(fd);
    }
    if (st == SHARDY_NOT_FOUND || (st == SHARDY_OK && (!etag || strcmp(now, etag) != 0))) {
        return sfi_fail(err, SHARDY_CONFLICT, "%s/%s: somebody else changed the object first",
                        store->root, key);
    }
    return st;
}

/* Name the temporary file as the condition asks. */
static shardy_status publish(const struct sfi_dir_store *store,
                             const struct sfi_store_request *request, struct sfi_dir_temp *temp,
                             shardy_error *err)
{
    int lock;
    if (request->condition == SFI_STORE_IF_ABSENT) {
        return sfi_dir_temp_publish(store, request->key, temp, true, err);
    }
    SFI_RETURN_IF_ERR(take_lock(store, request->key, &lock, err));
    shardy_status st = SHARDY_OK;
    if (request->condition == SFI_STORE_IF_MATCH) {
        st = check_etag(store, request->key, request->etag, err);
    }
    if (st == SHARDY_OK) {
        st = sfi_dir_temp_publish(store, request->key, temp, false, err);
    }
    close(lock);
    return st;
}

static shardy_status run_put(const struct sfi_dir_store *store, struct sfi_store_request *request)
{
    struct sfi_dir_temp temp;
    struct stat info;
    shardy_error *err = &request->error;
    SFI_RETURN_IF_ERR(sfi_dir_key_check(request->key, err));
    shardy_status st = sfi_dir_temp_open(store, request->key, &temp, err);
    if (st == SHARDY_OK) {
        st = sfi_dir_write(store, request->key, temp.fd, request->body.data, request->body.size, 0,
                           err);
    }
    if (st == SHARDY_OK && (fsync(temp.fd) != 0 || fstat(temp.fd, &info) != 0)) {
        st = sfi_dir_error(store, request->key, "write", errno, request->body.size, err);
    }
    if (st == SHARDY_OK) {
        st = sfi_dir_etag(store, request->key, temp.fd, &info, request->object_etag, err);
    }
    if (st == SHARDY_OK) {
        st = publish(store, request, &temp, err);
    }
    request->object_size = request->body.size;
    sfi_dir_temp_discard(store, request->key, &temp);
    return st;
}

static shardy_status read_answer(const struct sfi_dir_store *store, int fd,
                                 struct sfi_store_request *request)
{
    uint64_t offset;
    uint64_t length;
    SFI_RETURN_IF_ERR(
        sfi_store_range(request, request->object_size, &offset, &length, &request->error));
    uint8_t *data = sfi_buf_reserve(&request->data, (size_t)length);
    if (!data) {
        return sfi_fail_memory(&request->error, (size_t)length);
    }
    SFI_RETURN_IF_ERR(
        sfi_dir_read(store, request->key, fd, data, (size_t)length, offset, &request->error));
    request->data.size = (size_t)length;
    data[length] = 0;
    return SHARDY_OK;
}

static shardy_status run_read(const struct sfi_dir_store *store, struct sfi_store_request *request)
{
    int fd;
    struct stat info;
    SFI_RETURN_IF_ERR(open_object(store, request->key, &fd, &info, &request->error));
    request->object_size = (uint64_t)info.st_size;
    shardy_status st =
        sfi_dir_etag(store, request->key, fd, &info, request->object_etag, &request->error);
    if (st == SHARDY_OK && request->condition == SFI_STORE_IF_MATCH &&
        strcmp(request->object_etag, request->etag) != 0) {
        st = sfi_fail(&request->error, SHARDY_CONFLICT,
                      "%s/%s: somebody else changed the object first", store->root, request->key);
    }
    request->unchanged = st == SHARDY_OK && request->condition == SFI_STORE_IF_CHANGED &&
                         strcmp(request->object_etag, request->etag) == 0;
    if (st == SHARDY_OK && request->verb == SFI_STORE_GET && !request->unchanged) {
        st = read_answer(store, fd, request);
    }
    close(fd);
    return st;
}

static shardy_status run_delete(const struct sfi_dir_store *store,
                                struct sfi_store_request *request)
{
    int lock;
    const char *key = request->key;
    struct stat info;
    SFI_RETURN_IF_ERR(sfi_dir_key_check(key, &request->error));
    int root = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int missing = root < 0 ? errno : 0;
    if (root >= 0 && fstatat(root, key, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        missing = errno;
    }
    if (missing) {
        if (root >= 0) {
            close(root);
        }
        return missing == ENOENT || missing == ENOTDIR
                   ? SHARDY_OK
                   : sfi_dir_error(store, key, "delete", missing, 0, &request->error);
    }
    shardy_status st = take_lock(store, key, &lock, &request->error);
    if (st == SHARDY_OK) {
        if (unlinkat(root, key, 0) != 0 && errno != ENOENT && errno != EISDIR) {
            st = sfi_dir_error(store, key, "delete", errno, 0, &request->error);
        } else {
            sfi_dir_remove_empty(root, key);
            (void)fsync(root);
        }
        close(lock);
    }
    close(root);
    return st;
}

static void dir_submit(struct sfi_store *base, struct sfi_store_request **requests, size_t count)
{
    const struct sfi_dir_store *store = (const struct sfi_dir_store *)base;
    for (size_t i = 0; i < count; i++) {
        struct sfi_store_request *request = requests[i];
        sfi_buf_init(&request->data, SIZE_MAX - 1);
        request->object_size = 0;
        request->object_etag[0] = '\0';
        switch (request->verb) {
        case SFI_STORE_GET:
        case SFI_STORE_HEAD:
            request->status = run_read(store, request);
            break;
        case SFI_STORE_PUT:
            request->status = run_put(store, request);
            break;
        case SFI_STORE_DELETE:
            request->status = run_delete(store, request);
            break;
        }
        request->done(request);
    }
}

static void mapping_release(struct sfi_mapping *mapping)
{
    munmap(mapping->private_data, mapping->size);
}

static void etag_of_mapping(struct sfi_mapping *mapping, const struct stat *info)
{
    struct sfi_bytes content = {mapping->data, mapping->size};
    if (mapping->size <= SFI_DIR_CONTENT_ETAG_MAX) {
        sfi_store_content_etag(content, mapping->etag);
    } else {
        (void)sfi_dir_etag(NULL, NULL, -1, info, mapping->etag, NULL);
    }
}

/* A file that another process truncates while it is mapped raises SIGBUS; objects are immutable. */
static shardy_status dir_map(struct sfi_store *base, const char *key, struct sfi_mapping *mapping,
                             shardy_error *err)
{
    static const uint8_t nothing[1];
    const struct sfi_dir_store *store = (const struct sfi_dir_store *)base;
    struct stat info;
    int fd;
    shardy_status st = open_object(store, key, &fd, &info, err);
    if (st != SHARDY_OK) {
        return st;
    }
    mapping->data = nothing;
    if (info.st_size > 0) {
        void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
            st = sfi_dir_error(store, key, "map", errno, (uint64_t)info.st_size, err);
        } else {
            mapping->data = at;
            mapping->size = (size_t)info.st_size;
            mapping->private_data = at;
            mapping->release = mapping_release;
        }
    }
    close(fd);
    if (st == SHARDY_OK) {
        etag_of_mapping(mapping, &info);
    }
    return st;
}

static void dir_close(struct sfi_store *base)
{
    sfi_free(base);
}

static const struct sfi_store_ops s_ops = {
    .scheme = "file",
    .conditional = true,
    .submit = dir_submit,
    .list = sfi_dir_list,
    .upload = sfi_dir_upload,
    .map = dir_map,
    .close = dir_close,
};

shardy_status sfi_store_dir_open(const char *url, const struct sfi_store_options *options,
                                 struct sfi_store **out, shardy_error *err)
{
    (void)options;
    struct sfi_dir_store *store = sfi_calloc(1, sizeof *store);
    if (!store) {
        return sfi_fail_memory(err, sizeof *store);
    }
    shardy_status st = sfi_store_init(&store->base, &s_ops, url, err);
    if (st != SHARDY_OK) {
        dir_close(&store->base);
        return st;
    }
    store->root = store->base.url + strlen("file://");
    *out = &store->base;
    return SHARDY_OK;
}
