/*
 * cache_dir.c - the directory of downloaded shards. Every name is opened relative to the directory
 * and without following symbolic links; the directory must belong to this user alone. Locks are
 * flock(2): they end with the process that holds them, however it ends. A forked child shares
 * them: one that is given up is unlocked before it is closed, because the child may have inherited
 * it open.
 */
#include "reader/cache_dir.h"

#include "base/limits.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER      "shards"
#define TEMP_PREFIX ".tmp-"
/* A lock file may be removed between its opening and its locking: then it is opened again. */
#define CLAIM_TRIES 1000u

struct found {
    char name[SFI_CACHE_NAME_SIZE];
    uint64_t size;
    struct timespec used;
};

static shardy_status io_error(const struct sfi_cache_dir *dir, const char *what, shardy_error *err)
{
    return sfi_fail_errno(
        err, SHARDY_IO, errno,
        "cannot %s the cache directory %s (local_root or XDG_CACHE_HOME chooses another one)", what,
        dir->path);
}

shardy_status sfi_cache_dir_init(struct sfi_cache_dir *dir, const char *root, uint64_t limit,
                                 shardy_error *err)
{
    const char *base = root;
    const char *middle = "";
    memset(dir, 0, sizeof *dir);
    if (!base || !*base) {
        base = getenv("XDG_CACHE_HOME");
        middle = "/shardyfusion";
    }
    if (!base || !*base) {
        base = getenv("HOME");
        middle = "/.cache/shardyfusion";
    }
    if (!base || !*base) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "no place for downloaded shards: set local_root, XDG_CACHE_HOME or HOME");
    }
    size_t size = strlen(base) + strlen(middle) + sizeof "/" FOLDER;
    dir->path = sfi_malloc(size);
    if (!dir->path) {
        return sfi_fail_memory(err, size);
    }
    snprintf(dir->path, size, "%s%s/" FOLDER, base, middle);
    dir->limit = limit;
    sfi_mutex_init(&dir->lock);
    return SHARDY_OK;
}

void sfi_cache_dir_clear(struct sfi_cache_dir *dir)
{
    if (dir->path) {
        sfi_mutex_destroy(&dir->lock);
        sfi_free(dir->path);
        dir->path = NULL;
    }
}

/* A child counts for itself: the parent's estimate grows old from here on. */
static void lock_dir(struct sfi_cache_dir *dir)
{
    if (sfi_mutex_lock(&dir->lock)) {
        dir->counted = false;
    }
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
}

shardy_status sfi_cache_dir_open(const struct sfi_cache_dir *dir, int *fd, shardy_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat info;
    *fd = open(dir->path, flags);
    if (*fd < 0 && errno == ENOENT) {
        char *path = sfi_strdup(dir->path);
        if (!path) {
            return sfi_fail_memory(err, strlen(dir->path) + 1);
        }
        make_parents(path);
        sfi_free(path);
        *fd = open(dir->path, flags);
    }
    if (*fd < 0 || fstat(*fd, &info) != 0) {
        shardy_status st = io_error(dir, "open", err);
        if (*fd >= 0) {
            close(*fd);
            *fd = -1;
        }
        return st;
    }
    if (info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH))) {
        close(*fd);
        *fd = -1;
        return sfi_fail(err, SHARDY_IO,
                        "the cache directory %s belongs to another user, or others may write to "
                        "it; choose another one by local_root or XDG_CACHE_HOME",
                        dir->path);
    }
    return SHARDY_OK;
}

/* --- locks -------------------------------------------------------------------------------------
 */

static bool lock_file(int fd, int operation)
{
    while (flock(fd, operation) != 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* A forked child may have the same descriptor: closing this one would leave the lock to it. */
static void close_unlocked(int fd)
{
    (void)lock_file(fd, LOCK_UN);
    close(fd);
}

/* Does `name` still lead to the file that `fd` is? */
static bool still_named(int dir_fd, const char *name, int fd)
{
    struct stat mine;
    struct stat named;
    return fstat(fd, &mine) == 0 && fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

shardy_status sfi_cache_entry_open(const struct sfi_cache_dir *dir, int dir_fd, const char *name,
                                   int *entry, shardy_error *err)
{
    *entry = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (*entry < 0) {
        return errno == ENOENT || errno == ELOOP ? SHARDY_OK : io_error(dir, "read", err);
    }
    if (!lock_file(*entry, LOCK_SH) || !still_named(dir_fd, name, *entry)) {
        close_unlocked(*entry); /* evicted a moment ago */
        *entry = -1;
    }
    return SHARDY_OK;
}

void sfi_cache_entry_drop(int dir_fd, const char *name, int entry)
{
    if (still_named(dir_fd, name, entry)) {
        (void)unlinkat(dir_fd, name, 0);
    }
}

static void lock_name(const char *name, char out[SFI_CACHE_NAME_SIZE + 5])
{
    snprintf(out, SFI_CACHE_NAME_SIZE + 5, "%s.lock", name);
}

shardy_status sfi_cache_claim(const struct sfi_cache_dir *dir, int dir_fd, const char *name,
                              int *claim, shardy_error *err)
{
    char file[SFI_CACHE_NAME_SIZE + 5];
    lock_name(name, file);
    for (unsigned i = 0; i < CLAIM_TRIES; i++) {
        *claim = openat(dir_fd, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (*claim < 0) {
            return io_error(dir, "lock an entry of", err);
        }
        if (lock_file(*claim, LOCK_EX) && still_named(dir_fd, file, *claim)) {
            return SHARDY_OK;
        }
        close_unlocked(*claim);
    }
    *claim = -1;
    return sfi_fail(err, SHARDY_IO, "cannot lock %s/%s: it is removed again and again", dir->path,
                    file);
}

void sfi_cache_claim_release(int dir_fd, const char *name, int claim)
{
    char file[SFI_CACHE_NAME_SIZE + 5];
    if (claim >= 0) {
        lock_name(name, file);
        (void)unlinkat(dir_fd, file, 0);
        close_unlocked(claim);
    }
}

/* --- eviction ----------------------------------------------------------------------------------
 */

static bool is_entry(const char *name)
{
    return strlen(name) == SFI_CACHE_NAME_SIZE - 1 &&
           strspn(name, "0123456789abcdef") == SFI_CACHE_NAME_SIZE - 1;
}

/* Remove a file unless somebody holds a lock on it. */
static bool remove_unlocked(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    bool removed = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && still_named(dir_fd, name, fd) &&
                   unlinkat(dir_fd, name, 0) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return removed;
}

static int by_use(const void *left, const void *right)
{
    const struct found *a = left;
    const struct found *b = right;
    if (a->used.tv_sec != b->used.tv_sec) {
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    }
    return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

/* Entries of the directory, least recently used first; what makers left behind is removed. */
static bool list_entries(int dir_fd, struct found **entries, size_t *count)
{
    size_t capacity = 0;
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    bool ok = stream != NULL;
    *entries = NULL;
    *count = 0;
    for (const struct dirent *item; ok && (item = readdir(stream));) {
        struct stat info;
        void *grown = *entries;
        if (strncmp(item->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0) {
            (void)remove_unlocked(dir_fd, item->d_name);
        }
        if (!is_entry(item->d_name) ||
            fstatat(dir_fd, item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        ok = sfi_array_grow(&grown, &capacity, *count + 1, sizeof **entries);
        if (ok) {
            *entries = grown;
            struct found *entry = &(*entries)[(*count)++];
            memcpy(entry->name, item->d_name, SFI_CACHE_NAME_SIZE);
            entry->size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
            entry->used = info.st_mtim;
        }
    }
    if (stream) {
        closedir(stream);
    } else if (copy >= 0) {
        close(copy);
    }
    if (*count > 1) {
        qsort(*entries, *count, sizeof **entries, by_use);
    }
    return ok;
}

/* Evict until all entries together have at most `goal` bytes. Called with the lock. */
static uint64_t sweep_locked(struct sfi_cache_dir *dir, int dir_fd, uint64_t goal)
{
    struct found *entries;
    size_t count;
    uint64_t freed = 0;
    bool listed = list_entries(dir_fd, &entries, &count);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += entries[i].size;
    }
    for (size_t i = 0; i < count && total > goal; i++) {
        if (remove_unlocked(dir_fd, entries[i].name)) {
            total -= entries[i].size;
            freed += entries[i].size;
        }
    }
    sfi_free(entries);
    dir->total = total;
    dir->counted = listed;
    return freed;
}

/* Keep the bound before `need` more bytes come. */
static shardy_status make_room(struct sfi_cache_dir *dir, int dir_fd, uint64_t need,
                               shardy_error *err)
{
    if (dir->limit && need > dir->limit) {
        return sfi_fail(err, SHARDY_IO,
                        "a shard of %" PRIu64 " bytes does not fit the bound of %" PRIu64
                        " bytes (cache_bytes) of %s; raise it, or read ranges",
                        need, dir->limit, dir->path);
    }
    lock_dir(dir);
    uint64_t goal = dir->limit ? dir->limit - need : UINT64_MAX;
    if (!dir->counted) {
        (void)sweep_locked(dir, dir_fd, goal); /* also removes what killed makers left behind */
    } else if (dir->total > goal) {
        /* A little more than needed, so that not every download looks at the whole directory. */
        (void)sweep_locked(dir, dir_fd, goal - goal / 16);
    }
    sfi_mutex_unlock(&dir->lock);
    return SHARDY_OK;
}

/* --- new entries -------------------------------------------------------------------------------
 */

static shardy_status reserve(struct sfi_cache_dir *dir, int dir_fd, int fd, uint64_t size,
                             shardy_error *err)
{
    for (bool again = true;; again = false) {
        int failure;
        do {
            failure = fallocate(fd, 0, 0, (off_t)size) == 0 ? 0 : errno;
        } while (failure == EINTR);
        if (failure == 0 || failure == EOPNOTSUPP || failure == ENOSYS) {
            return SHARDY_OK; /* where it is not supported, writing will tell */
        }
        lock_dir(dir);
        uint64_t freed = again && failure == ENOSPC ? sweep_locked(dir, dir_fd, 0) : 0;
        sfi_mutex_unlock(&dir->lock);
        if (!freed) {
            return sfi_fail_errno(err, SHARDY_IO, failure,
                                  "no space for a shard of %" PRIu64 " bytes in %s", size,
                                  dir->path);
        }
    }
}

shardy_status sfi_cache_temp(struct sfi_cache_dir *dir, int dir_fd, uint64_t size, char *temp,
                             int *fd, shardy_error *err)
{
    static atomic_uint s_number;
    *fd = -1;
    SFI_RETURN_IF_ERR(make_room(dir, dir_fd, size, err));
    for (;;) {
        snprintf(temp, SFI_CACHE_TEMP_SIZE, TEMP_PREFIX "%ld-%u", (long)getpid(),
                 atomic_fetch_add_explicit(&s_number, 1, memory_order_relaxed));
        *fd = openat(dir_fd, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (*fd < 0 && errno != EEXIST) {
            return io_error(dir, "write to", err);
        }
        /* Before it was locked, somebody's sweep may have taken it for left behind. */
        if (*fd >= 0 && (!lock_file(*fd, LOCK_EX) || still_named(dir_fd, temp, *fd))) {
            break;
        }
        if (*fd >= 0) {
            close_unlocked(*fd);
        }
    }
    shardy_status st = reserve(dir, dir_fd, *fd, size, err);
    if (st != SHARDY_OK) {
        (void)unlinkat(dir_fd, temp, 0);
        close(*fd);
        *fd = -1;
    }
    return st;
}

shardy_status sfi_cache_publish(struct sfi_cache_dir *dir, int dir_fd, int fd, const char *temp,
                                const char *name, uint64_t size, shardy_error *err)
{
    if (renameat(dir_fd, temp, dir_fd, name) != 0) {
        return io_error(dir, "rename a file of", err);
    }
    /* A maker's lock becomes a reader's, but not in one step: not before it has its name. */
    (void)lock_file(fd, LOCK_SH);
    lock_dir(dir);
    dir->total += size;
    sfi_mutex_unlock(&dir->lock);
    return SHARDY_OK;
}
