/*
 * store.h - object stores: named byte strings below one prefix URL.
 *
 * Implementations: directory (file://), memory (memory://), S3 (s3://), a fault-injecting wrapper
 * for tests. Keys are relative to the opened prefix, segments joined by '/',
 * no empty, "." or ".." segments, no control characters: sfi_store_open and the helpers check.
 *
 * Requests come in batches: submit(requests, count) starts them all, and every request completes
 * exactly once through its `done` callback, on any thread, perhaps before submit returns. The
 * blocking helpers below are submit and wait. A store may be used from several threads at once.
 */
#ifndef SFI_STORE_STORE_H
#define SFI_STORE_STORE_H

#include "base/bytes.h"
#include "base/observe.h"

#include <shardyfusion/store.h>
#include <stdatomic.h>

struct sfi_store;

#define SFI_ETAG_SIZE 256

enum sfi_store_verb {
    SFI_STORE_GET,
    SFI_STORE_HEAD,
    SFI_STORE_PUT,
    SFI_STORE_DELETE /* deleting what does not exist succeeds */
};

enum sfi_store_condition {
    SFI_STORE_ALWAYS,
    SFI_STORE_IF_MATCH,  /* only when the object's ETag equals `etag` */
    SFI_STORE_IF_ABSENT, /* create only (If-None-Match: *) */
    SFI_STORE_IF_CHANGED /* GET: only when the ETag differs from `etag` (If-None-Match) */
};

/* One request. The caller owns it and keeps it, key and body alive until `done`. */
struct sfi_store_request {
    enum sfi_store_verb verb;
    enum sfi_store_condition condition; /* GET: IF_MATCH, IF_CHANGED; DELETE: ALWAYS */
    const char *key;
    const char *etag; /* IF_MATCH, IF_CHANGED: exactly as the store gave it, quotes included */
    const char *content_type; /* PUT; may be NULL */
    struct sfi_bytes body;    /* PUT */
    uint64_t offset;          /* GET: first byte */
    uint64_t length;          /* GET: number of bytes; 0 = to the end */
    uint64_t max_bytes;       /* GET: larger answers fail with SHARDY_LIMIT; 0 = no limit */
    void (*done)(struct sfi_store_request *request);
    void *arg;

    /* Results, valid in `done`. Status: OK; NOT_FOUND; CONFLICT (condition not met); UNKNOWN (PUT
     * or DELETE whose answer was lost); LIMIT; STORE, IO. */
    shardy_status status;
    shardy_error error;
    bool unchanged;                  /* GET IF_CHANGED: OK, and no data */
    struct sfi_buf data;             /* GET; the caller clears it */
    uint64_t object_size;            /* GET, HEAD, PUT: size of the whole object */
    char object_etag[SFI_ETAG_SIZE]; /* GET, HEAD, PUT; "" when the store has none */
    void *pending;                   /* private to the store while the request is in progress */
};

/* A whole object in memory without copying it; from stores that can (directory, memory). */
struct sfi_mapping {
    const uint8_t *data;
    size_t size;
    char etag[SFI_ETAG_SIZE];
    void (*release)(struct sfi_mapping *mapping); /* NULL = nothing mapped */
    void *private_data;
};

/*
 * A new object being written in order. The first `head_size` bytes are given at the end, by commit,
 * because they are known last; it may be shorter when nothing was appended. Nothing is visible
 * before commit succeeded; create only.
 */
struct sfi_upload {
    const struct sfi_upload_ops *ops;
};

struct sfi_upload_ops {
    /* May block. */
    shardy_status (*append)(struct sfi_upload *upload, struct sfi_bytes bytes, shardy_error *err);
    /* May block; frees the upload, on failure too. CONFLICT: the object exists. etag: ETAG_SIZE. */
    shardy_status (*commit)(struct sfi_upload *upload, struct sfi_bytes head, char *etag,
                            shardy_error *err);
    void (*abort)(struct sfi_upload *upload); /* never fails; frees the upload */
};

/* One name found by a listing. */
struct sfi_store_entry {
    char *name; /* relative to the listed prefix; "directories" without trailing slash */
    bool is_prefix;
    uint64_t size; /* objects */
};

struct sfi_store_list {
    struct sfi_store_entry *entries; /* ascending by name (bytes) */
    size_t count;
};

struct sfi_store_ops {
    const char *scheme; /* "file", "memory", "s3": shown in messages */
    bool remote;        /* every request is a round trip: objects are not mapped */
    bool conditional;   /* PUT honours conditions atomically */
    /* May block; completes every request exactly once. */
    void (*submit)(struct sfi_store *store, struct sfi_store_request **requests, size_t count);
    /* May be NULL. Complete a request soon, with CANCELLED (UNKNOWN for one that may have changed
     * something) or with its answer; no effect on one that is done. Any thread. */
    void (*cancel)(struct sfi_store *store, struct sfi_store_request *request);
    /* May be NULL: one DELETE a key. Delete many objects; those that do not exist count as deleted.
     * *deleted counts, on failure too. */
    shardy_status (*delete_many)(struct sfi_store *store, const char *const *keys, size_t count,
                                 size_t *deleted, shardy_error *err);
    /* Immediate children of prefix/ (objects and sub-prefixes); all objects below when `deep`. */
    shardy_status (*list)(struct sfi_store *store, const char *prefix, bool deep,
                          struct sfi_store_list *list, shardy_error *err);
    shardy_status (*upload)(struct sfi_store *store, const char *key, const char *content_type,
                            size_t head_size, struct sfi_upload **upload, shardy_error *err);
    /* NULL when objects cannot be mapped. NOT_FOUND, IO. */
    shardy_status (*map)(struct sfi_store *store, const char *key, struct sfi_mapping *mapping,
                         shardy_error *err);
    void (*close)(struct sfi_store *store); /* last reference gone; never fails */
};

struct sfi_store {
    const struct sfi_store_ops *ops;
    char *url; /* prefix as opened: scheme and path, no trailing slash */
    atomic_uint refs;
};

/* How to open a store; all of it is copied. */
struct sfi_store_options {
    const shardy_store_option *options;
    size_t count;
    const struct sfi_observer *observer; /* "store.request" events; NULL = nobody */
};

/*
 * Open the store at a prefix URL (file:///absolute/path, memory://name/..., s3://bucket/prefix).
 * `options` may be NULL. Nothing is created or asked; a missing folder reads as empty.
 * UNSUPPORTED: scheme; CONFIG: malformed URL or option, with the remedy.
 */
shardy_status sfi_store_open(const char *url, const struct sfi_store_options *options,
                             struct sfi_store **store, shardy_error *err);
struct sfi_store *sfi_store_acquire(struct sfi_store *store);
void sfi_store_release(struct sfi_store *store); /* NULL is accepted */

/* Blocking helpers. */
shardy_status sfi_store_get(struct sfi_store *store, const char *key, uint64_t max_bytes,
                            struct sfi_buf *out, char *etag, shardy_error *err);
shardy_status sfi_store_get_range(struct sfi_store *store, const char *key, uint64_t offset,
                                  uint64_t length, struct sfi_buf *out, shardy_error *err);
shardy_status sfi_store_head(struct sfi_store *store, const char *key, uint64_t *size, char *etag,
                             shardy_error *err);
shardy_status sfi_store_put(struct sfi_store *store, const char *key, struct sfi_bytes body,
                            const char *content_type, enum sfi_store_condition condition,
                            const char *etag, char *new_etag, shardy_error *err);
/* GET unless the object still has `etag`: then *unchanged, and nothing else is set. `etag` is
 * replaced by the ETag of what was read. */
shardy_status sfi_store_get_changed(struct sfi_store *store, const char *key, uint64_t max_bytes,
                                    char *etag, bool *unchanged, struct sfi_buf *out,
                                    shardy_error *err);
shardy_status sfi_store_delete(struct sfi_store *store, const char *key, shardy_error *err);
shardy_status sfi_store_delete_many(struct sfi_store *store, const char *const *keys, size_t count,
                                    size_t *deleted, shardy_error *err);
/* Start requests without waiting; keys are checked. See sfi_store_ops. */
void sfi_store_submit(struct sfi_store *store, struct sfi_store_request **requests, size_t count);
void sfi_store_cancel(struct sfi_store *store, struct sfi_store_request *request);
shardy_status sfi_store_list(struct sfi_store *store, const char *prefix, bool deep,
                             struct sfi_store_list *list, shardy_error *err);
void sfi_store_list_clear(struct sfi_store_list *list);
shardy_status sfi_store_upload(struct sfi_store *store, const char *key, const char *content_type,
                               size_t head_size, struct sfi_upload **upload, shardy_error *err);
/* UNSUPPORTED when the store cannot map. */
shardy_status sfi_store_map(struct sfi_store *store, const char *key, struct sfi_mapping *mapping,
                            shardy_error *err);
void sfi_mapping_release(struct sfi_mapping *mapping); /* NULL and empty are accepted */

/* URLs and keys. */

/* Join a prefix URL and a key: base without trailing slashes, one slash, key. NULL: no memory. */
char *sfi_url_join(const char *base, const char *key);
/* Key grammar of the file comment. CONFIG names the key and what is wrong. */
shardy_status sfi_key_check(const char *key, shardy_error *err);
/*
 * Key of `url` relative to `store`. When it is not below the store's own URL and `recorded_prefix`
 * is given (relocation), below that one. CONFIG otherwise: a manifest must not lead readers outside
 * its own prefix (another bucket, "..", userinfo, another scheme).
 */
shardy_status sfi_store_key_of(const struct sfi_store *store, const char *recorded_prefix,
                               const char *url, char **key, shardy_error *err);

#endif
