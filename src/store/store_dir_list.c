/*
 * store_dir_list.c - listings of the directory store. A folder counts only when an object lies
 * somewhere below it, as in any object store: a killed build leaves empty folders and temporary
 * files behind, and those must not look like snapshots. Symbolic links are not followed.
 */
#include "store/store_dir_internal.h"

#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct walk {
    const struct sfi_dir_store *store;
    const char *prefix;
    struct sfi_store_list *list;
    size_t capacity;
    bool at_root;
    shardy_error *err;
};

enum kind { KIND_OTHER, KIND_OBJECT, KIND_FOLDER };

static enum kind kind_of(int folder, const struct dirent *entry, bool at_root, uint64_t *size)
{
    const char *name = entry->d_name;
    struct stat info;
    if (!strcmp(name, ".") || !strcmp(name, "..") ||
        (at_root && !strcmp(name, SFI_DIR_LOCK_NAME)) ||
        !strncmp(name, SFI_DIR_TEMP_PREFIX, strlen(SFI_DIR_TEMP_PREFIX)) ||
        fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return KIND_OTHER;
    }
    *size = (uint64_t)info.st_size;
    return S_ISREG(info.st_mode) ? KIND_OBJECT : S_ISDIR(info.st_mode) ? KIND_FOLDER : KIND_OTHER;
}

/* Takes `fd` over. */
static DIR *open_stream(int fd)
{
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !stream) {
        int kept = errno;
        close(fd);
        errno = kept;
    }
    return stream;
}

static DIR *open_below(int folder, const char *name)
{
    return open_stream(openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

/* Whether any object lies below; unreadable folders count, so that reading them gives the error. */
static bool holds_object(int folder, const char *name, unsigned depth)
{
    DIR *stream = open_below(folder, name);
    const struct dirent *entry;
    bool found = !stream && errno != ENOENT;
    while (stream && !found && (entry = readdir(stream))) {
        uint64_t size;
        enum kind kind = kind_of(dirfd(stream), entry, false, &size);
        found = kind == KIND_OBJECT ||
                (kind == KIND_FOLDER && (depth >= SFI_STORE_MAX_DEPTH ||
                                         holds_object(dirfd(stream), entry->d_name, depth + 1)));
    }
    if (stream) {
        closedir(stream);
    }
    return found;
}

static shardy_status add(struct walk *walk, const char *parent, const char *name, bool is_prefix,
                         uint64_t size)
{
    struct sfi_buf full;
    sfi_buf_init(&full, SFI_URL_MAX_BYTES);
    sfi_buf_append_text(&full, parent);
    if (!sfi_buf_append_text(&full, name)) {
        return sfi_buf_status(&full, "object key", walk->err);
    }
    shardy_status st = sfi_store_list_add(walk->list, &walk->capacity, (const char *)full.data,
                                          full.size, is_prefix, size, walk->err);
    sfi_buf_clear(&full);
    return st;
}

static shardy_status walk_deep(struct walk *walk, DIR *stream, const char *parent, unsigned depth);

static shardy_status enter(struct walk *walk, int folder, const char *parent, const char *name,
                           unsigned depth)
{
    struct sfi_buf path;
    DIR *stream = open_below(folder, name);
    shardy_status st;
    if (!stream) {
        return errno == ENOENT ? SHARDY_OK
                               : sfi_dir_error(walk->store, name, "list", errno, 0, walk->err);
    }
    sfi_buf_init(&path, SFI_URL_MAX_BYTES);
    if (depth >= SFI_STORE_MAX_DEPTH) {
        st = sfi_fail(walk->err, SHARDY_LIMIT, "%s/%s has folders nested deeper than %u",
                      walk->store->root, walk->prefix, SFI_STORE_MAX_DEPTH);
    } else if (sfi_buf_printf(&path, "%s%s/", parent, name)) {
        st = walk_deep(walk, stream, (const char *)path.data, depth + 1);
    } else {
        st = sfi_buf_status(&path, "object key", walk->err);
    }
    sfi_buf_clear(&path);
    closedir(stream);
    return st;
}

static shardy_status walk_deep(struct walk *walk, DIR *stream, const char *parent, unsigned depth)
{
    const struct dirent *entry;
    shardy_status st = SHARDY_OK;
    while (st == SHARDY_OK && (entry = readdir(stream))) {
        uint64_t size;
        enum kind kind = kind_of(dirfd(stream), entry, walk->at_root && !depth, &size);
        if (kind == KIND_OBJECT) {
            st = add(walk, parent, entry->d_name, false, size);
        } else if (kind == KIND_FOLDER) {
            st = enter(walk, dirfd(stream), parent, entry->d_name, depth);
        }
    }
    return st;
}

static shardy_status walk_shallow(struct walk *walk, DIR *stream)
{
    const struct dirent *entry;
    shardy_status st = SHARDY_OK;
    while (st == SHARDY_OK && (entry = readdir(stream))) {
        uint64_t size;
        enum kind kind = kind_of(dirfd(stream), entry, walk->at_root, &size);
        if (kind == KIND_OBJECT) {
            st = add(walk, "", entry->d_name, false, size);
        } else if (kind == KIND_FOLDER && holds_object(dirfd(stream), entry->d_name, 0)) {
            st = add(walk, "", entry->d_name, true, 0);
        }
    }
    return st;
}

shardy_status sfi_dir_list(struct sfi_store *base, const char *prefix, bool deep,
                           struct sfi_store_list *list, shardy_error *err)
{
    const struct sfi_dir_store *store = (const struct sfi_dir_store *)base;
    struct walk walk = {store, prefix, list, 0, !*prefix, err};
    int root = open(store->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = -1;
    int error_number = root < 0 ? errno : 0;
    if (root >= 0) {
        fd = openat(root, *prefix ? prefix : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error_number = fd < 0 ? errno : 0;
        close(root);
    }
    if (error_number == ENOENT || error_number == ENOTDIR) {
        return SHARDY_OK;
    }
    DIR *stream = open_stream(fd);
    if (!stream) {
        return sfi_dir_error(store, prefix, "list", error_number ? error_number : errno, 0, err);
    }
    shardy_status st = deep ? walk_deep(&walk, stream, "", 0) : walk_shallow(&walk, stream);
    closedir(stream);
    sfi_store_list_sort(list);
    return st;
}
