/*
 * access.h - what a reader on a remote store has more than one on files: a fetcher of pages,
 * a cache of downloads, threads for blocking opens, and the policy which shards are read how.
 *
 * Counted by the reader, its snapshots and its asynchronous operations. The last reference must not
 * be dropped on a thread of the store or an opener; a reader's free sees to it by waiting for its
 * operations, which hold the snapshots that such threads may touch.
 */
#ifndef SFI_READER_ACCESS_H
#define SFI_READER_ACCESS_H

#include "base/limits.h"
#include "reader/download.h"
#include "reader/fetch.h"

#include <shardyfusion/reader.h>

/* Something that blocks, to be done by an opener thread. */
struct sfi_job {
    void (*run)(struct sfi_job *job);
    struct sfi_job *next;
};

/* At most SFI_OPENER_THREADS threads, started with the first job; see opener.c. */
struct sfi_opener {
    struct sfi_mutex lock; /* threads and jobs of a parent are forgotten in a forked child */
    pthread_cond_t wake;
    struct sfi_job *first;
    struct sfi_job *last;
    pthread_t threads[SFI_OPENER_THREADS];
    unsigned thread_count;
    unsigned idle;
    bool stop;
};

void sfi_opener_init(struct sfi_opener *opener);
/* Hand a job over. NO_MEMORY: no thread can be started. */
shardy_status sfi_opener_submit(struct sfi_opener *opener, struct sfi_job *job, shardy_error *err);
/* Take a job back that has not begun; false: it runs or ran. */
bool sfi_opener_remove(struct sfi_opener *opener, struct sfi_job *job);
void sfi_opener_stop(struct sfi_opener *opener); /* no job is left; joins. Twice is fine */
void sfi_opener_destroy(struct sfi_opener *opener);

struct sfi_access {
    atomic_uint users;
    struct sfi_store *store;
    struct sfi_fetcher fetcher;
    struct sfi_opener opener;
    struct sfi_download_cache *downloads;
    shardy_access mode;
    uint64_t auto_shard_bytes;
    uint64_t auto_total_bytes;
    bool verify_checksums;

    struct sfi_mutex lock; /* guards `operations` */
    pthread_cond_t idle;
    size_t operations; /* asynchronous ones in flight */
};

/* One user. CONFIG: access mode; cache directory. */
shardy_status sfi_access_new(struct sfi_store *store, const shardy_reader_options *options,
                             const struct sfi_observer *observer, struct sfi_access **access,
                             shardy_error *err);
struct sfi_access *sfi_access_acquire(struct sfi_access *access);
void sfi_access_release(struct sfi_access *access); /* NULL is accepted */
void sfi_access_begin(struct sfi_access *access);   /* an operation */
void sfi_access_end(struct sfi_access *access);
/* Wait for all operations and flights, and end the threads. By the reader's free. */
void sfi_access_quiesce(struct sfi_access *access);

/* What a manifest entry says about reading a shard from afar. */
struct sfi_shard_notes {
    uint32_t page_size;
    uint32_t tail_pages;
    char checksum[SFI_CHECKSUM_SIZE];
};

shardy_status sfi_shard_notes(const shardy_shard_info *info, struct sfi_shard_notes *notes,
                              shardy_error *err);

#endif
