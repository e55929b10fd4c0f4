/*
 * bench_transfer.h - what the files of bench_transfer share: the server, its objects, the cases.
 */
#ifndef SHARDYFUSION_BENCH_TRANSFER_H
#define SHARDYFUSION_BENCH_TRANSFER_H

#include "bench_bare.h"
#include "bench_remote.h"

#define TRANSFER_FILES_MAX 256u

struct transfer_object {
    char path[BENCH_PATH_MAX];   /* in the server's folder */
    char target[BENCH_PATH_MAX]; /* of requests, percent-encoded */
    uint64_t size;
};

struct transfer_objects {
    struct transfer_object items[TRANSFER_FILES_MAX];
    size_t count;
};

extern struct remote transfer_world;
extern struct transfer_objects transfer_objects; /* of the last transfer_find() */

/** Find the objects below a prefix of the bucket whose names end with `name`. */
void transfer_find(const char *prefix, const char *name);

/** Remove a prefix, past the server. */
void transfer_remove(const char *prefix);

static inline double transfer_mb(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

/** upload/4g, and its side of ours in a fresh process. */
void transfer_upload(void);
void transfer_upload_child(const char *url);

/** async/1000. */
void transfer_lookups(void);

#endif
