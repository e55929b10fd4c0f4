/*
 * bench_remote.h - a real S3 server behind the fault proxy, and snapshots on it, for benchmarks.
 */
#ifndef SHARDYFUSION_BENCH_REMOTE_H
#define SHARDYFUSION_BENCH_REMOTE_H

#include "bench.h"

#include "proxy_client.h"
#include "s3_client.h"
#include "s3_server.h"

struct remote {
    struct s3_server *server;
    struct proxy *proxy;
    struct s3_client *client; /* past the proxy */
    char folder[BENCH_PATH_MAX];
};

/** Start both. @return false, with a note, when the server is not installed */
bool remote_start(struct remote *remote);
void remote_stop(struct remote *remote);

/** Send the library through the proxy from now on, with that much latency. */
void remote_latency(struct remote *remote, unsigned ms);

/** Send the library straight to the server from now on. */
void remote_direct(struct remote *remote);

/** Build and publish a table with our writer, without latency. */
void remote_build(struct remote *remote, const char *url, const struct bench_table *table,
                  uint32_t shards);

/**
 * The same rows as another maker lays them out: shards rewritten by SQLite, sidecars made from its
 * dbstat table, a manifest without our hints.
 */
void remote_build_foreign(struct remote *remote, const char *url, const struct bench_table *table,
                          uint32_t shards);

/** Publish the snapshot again with a new checkpoint for shards REMOTE_CHANGED modulo 100. */
#define REMOTE_CHANGED 7
void remote_change_shards(struct remote *remote, const char *url);

#endif
