/*
 * cache_dir.h - the directory of downloaded shards: entries by name, locks, and eviction. What an
 * entry holds is download.c.
 *
 * Files of the directory, all of this user and nobody else's:
 *   <32 hex digits>          an entry; complete, because it is only ever renamed into place
 *   <32 hex digits>.lock     held by whoever downloads that entry
 *   .tmp-<pid>-<n>           an entry in the making, locked by its maker
 *
 * Entries are read under a shared lock; what somebody holds a lock on is not evicted. An entry that
 * is evicted under a reader (who let go of the lock because file descriptors are few) stays
 * readable for it: its space is freed when the last mapping is gone.
 */
#ifndef SFI_READER_CACHE_DIR_H
#define SFI_READER_CACHE_DIR_H

#include "base/fork.h"
#include "base/status.h"

#include <stdint.h>

#define SFI_CACHE_NAME_SIZE 33

struct sfi_cache_dir {
    char *path;     /* of the directory itself, for messages */
    uint64_t limit; /* bytes of all entries; 0 = none */
    struct sfi_mutex lock;
    uint64_t total; /* estimate of this process; exact after a sweep */
    bool counted;
};

/* Nothing is created. `root` NULL: shardyfusion in $XDG_CACHE_HOME or ~/.cache. CONFIG. */
shardy_status sfi_cache_dir_init(struct sfi_cache_dir *dir, const char *root, uint64_t limit,
                                 shardy_error *err);
void sfi_cache_dir_clear(struct sfi_cache_dir *dir);

/* Create what is missing and open the directory. IO: it belongs to another user, or others may
 * write to it; the message says how to choose another one. */
shardy_status sfi_cache_dir_open(const struct sfi_cache_dir *dir, int *fd, shardy_error *err);

/* Open an entry with a shared lock; *entry is -1 when there is none. */
shardy_status sfi_cache_entry_open(const struct sfi_cache_dir *dir, int dir_fd, const char *name,
                                   int *entry, shardy_error *err);
/* Remove an entry that turned out to be damaged, unless it was replaced meanwhile. */
void sfi_cache_entry_drop(int dir_fd, const char *name, int entry);

/* Wait for the right to make an entry. */
shardy_status sfi_cache_claim(const struct sfi_cache_dir *dir, int dir_fd, const char *name,
                              int *claim, shardy_error *err);
void sfi_cache_claim_release(int dir_fd, const char *name, int claim);

/* A new file of `size` bytes, space reserved, after evicting what stands in the way. IO names path
 * and need. `temp` has SFI_CACHE_TEMP_SIZE bytes. */
#define SFI_CACHE_TEMP_SIZE 64
shardy_status sfi_cache_temp(struct sfi_cache_dir *dir, int dir_fd, uint64_t size, char *temp,
                             int *fd, shardy_error *err);
/* Give it its name; its lock becomes a shared one. */
shardy_status sfi_cache_publish(struct sfi_cache_dir *dir, int dir_fd, int fd, const char *temp,
                                const char *name, uint64_t size, shardy_error *err);

#endif
