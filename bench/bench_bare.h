/*
 * bench_bare.h - the peer of transfers: a bare libcurl-multi loop on epoll. It moves bytes and
 * looks at status codes; no retries, no checksums, no conditions.
 *
 * Reads carry an Authorization header that was made before the clock started. Writes are signed by
 * libcurl (CURLOPT_AWS_SIGV4, UNSIGNED-PAYLOAD), because their URLs are not known beforehand.
 */
#ifndef SHARDYFUSION_BENCH_BARE_H
#define SHARDYFUSION_BENCH_BARE_H

#include "bench.h"

struct bare_request {
    char target[BENCH_PATH_MAX]; /* "/bucket/key?query", percent-encoded */
    const char *method;
    uint64_t offset; /* of a GET: bytes wanted; size 0 = all */
    uint64_t size;
    const void *body;
    size_t body_size;
    const char *authorization; /* of bare_sign(); NULL = libcurl signs */
    int fd;                    /* where an answer goes, from `offset` on; -1 = nowhere */
    void *arg;

    /* Results. */
    uint64_t received;
    char etag[80];
    char text[1024]; /* head of the answer when it has no descriptor */
};

/** What the loop asks its user; both on the thread that called bare_run(). */
struct bare_work {
    /** Fill `request` with the next one. @return false: none now, perhaps after others ended */
    bool (*next)(void *arg, struct bare_request *request);
    void (*ended)(void *arg, struct bare_request *request);
    void *arg;
};

struct bare;

/** @param url of the server @param connections requests at a time */
struct bare *bare_new(const char *url, unsigned connections);
void bare_free(struct bare *bare);

/** Go on until there is nothing to do. Any failure ends the program. Connections are kept. */
void bare_run(struct bare *bare, const struct bare_work *work);

/** Authorization for GETs of a target, for some minutes. Release with free(). */
char *bare_sign(struct bare *bare, const char *target);

#endif
