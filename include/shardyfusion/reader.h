/*
 * shardyfusion/reader.h - read a published snapshot.
 *
 * A reader follows the `_CURRENT` pointer of one prefix; it advances only through
 * shardy_reader_refresh(). Readers and snapshots are shared freely between threads. Every single
 * call sees exactly one published snapshot.
 *
 * A process that forks may go on with a reader in the child when no call on it was in progress at
 * that moment; threads and connections of the library are made anew there.
 */
#ifndef SHARDYFUSION_READER_H
#define SHARDYFUSION_READER_H

#include <shardyfusion/manifest.h>
#include <shardyfusion/metrics.h>
#include <shardyfusion/router.h>
#include <shardyfusion/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque. Share freely. */
typedef struct shardy_reader shardy_reader;

/** Opaque: one published snapshot, kept open. Share freely; outlives refresh and close. */
typedef struct shardy_snapshot shardy_snapshot;

/** When shards are opened. */
typedef enum shardy_open_mode {
    SHARDY_OPEN_LAZY = 0, /**< each shard on its first use */
    SHARDY_OPEN_EAGER = 1 /**< all of them, in parallel, by shardy_reader_open and _refresh */
} shardy_open_mode;

/** Whether recorded URLs below the recorded prefix are looked up below the opened prefix. */
typedef enum shardy_relocate {
    SHARDY_RELOCATE_DEFAULT = 0, /**< on for file:// and memory://, off otherwise */
    SHARDY_RELOCATE_ON = 1,
    SHARDY_RELOCATE_OFF = 2
} shardy_relocate;

/** How shards on a remote store are read. Local stores map their files, whatever this says. */
typedef enum shardy_access {
    SHARDY_ACCESS_AUTO = 0, /**< shard by shard: download small ones, read ranges of large ones */
    SHARDY_ACCESS_DOWNLOAD = 1, /**< the whole shard, into a cache directory shared by processes */
    SHARDY_ACCESS_RANGE = 2     /**< the pages that are needed, kept in memory */
} shardy_access;

/** Options of a reader; zero or NULL means the default. Initialise with _INIT. */
typedef struct shardy_reader_options {
    size_t struct_size;       /**< set by the initialiser; lets the struct grow */
    const char *url;          /**< required: prefix of the snapshot; copied */
    const char *current_name; /**< name of the pointer object; NULL = "_CURRENT"; copied */
    const char *pin_ref;      /**< read this manifest instead of the current one; copied */
    const char *pin_run_id;   /**< read the newest manifest of this run; copied */
    bool pin_by_offset;       /**< read the `pin_offset`-th newest manifest, 0 = newest */
    uint64_t pin_offset;
    shardy_open_mode open_mode;
    shardy_relocate relocate;
    bool no_fallback;      /**< fail when the current manifest is malformed; otherwise up to
                                three older ones are tried. Pinned readers never fall back */
    bool verify_checksums; /**< check the recorded checksum when a shard is opened; downloads are
                                always checked, ranges cannot be */
    uint32_t threads;      /**< threads of an eager open; 0 = all processors */
    const shardy_event_sink *events;          /**< borrowed until reader and snapshots are freed;
                                                   NULL = none */
    const shardy_log_sink *logs;              /**< the same */
    const shardy_store_option *store_options; /**< see shardyfusion/store.h; copied */
    size_t store_option_count;
    shardy_access access;
    uint64_t auto_shard_bytes; /**< AUTO: shards of this size and larger are not downloaded;
                                    0 = 16 MiB */
    uint64_t auto_total_bytes; /**< AUTO: download no more than this of a snapshot; 0 = 2 GiB */
    const char *local_root;    /**< cache directory of downloads; NULL = shardyfusion in
                                    $XDG_CACHE_HOME or ~/.cache; copied */
    uint64_t cache_bytes;      /**< bound of the cache directory, least recently used go first;
                                    0 = none */
    uint64_t page_cache_bytes; /**< bound of pages kept in memory, over all shards; 0 = 256 MiB */
} shardy_reader_options;

#define SHARDY_READER_OPTIONS_INIT                   \
    {                                                \
        .struct_size = sizeof(shardy_reader_options) \
    }

/**
 * A value that was read. `data` points into the mapped shard (no copy) or, for values on overflow
 * pages, into a copy. Valid until shardy_value_clear(), also across refresh and close.
 */
typedef struct shardy_value {
    const void *data; /**< NULL = the key is absent; never NULL for an empty value */
    size_t size;
    void *owner;   /**< private */
    void *copy;    /**< private */
    uint64_t slot; /**< private */
} shardy_value;

#define SHARDY_VALUE_INIT \
    {                     \
        0, 0, 0, 0, 0     \
    }

/** Release a value and zero it. NULL is accepted. */
SHARDY_API void shardy_value_clear(shardy_value *value);

/** One result of a multi-get; `data` as in shardy_value. */
typedef struct shardy_item {
    const void *data; /**< NULL = absent */
    size_t size;
} shardy_item;

/** Results of a multi-get, in the order of the keys. Valid until shardy_items_clear(). */
typedef struct shardy_items {
    const shardy_item *items;
    size_t count;
    void *owner; /**< private */
} shardy_items;

#define SHARDY_ITEMS_INIT \
    {                     \
        0, 0, 0           \
    }

/** Release results and zero them. NULL is accepted. */
SHARDY_API void shardy_items_clear(shardy_items *items);

/**
 * Open a reader on the current (or pinned) snapshot.
 *
 * @param[out] reader NULL on failure; release with shardy_reader_free()
 * @return SHARDY_OK; SHARDY_CONFIG naming the option; SHARDY_READER_STATE ("CURRENT pointer not
 *         found", no valid manifest); SHARDY_NOT_FOUND (pinned manifest); SHARDY_MANIFEST;
 *         SHARDY_CORRUPT (eager); SHARDY_STORE, SHARDY_IO
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_open(const shardy_reader_options *options,
                                                           shardy_reader **reader,
                                                           shardy_error *err);

/**
 * Close a reader: later calls return SHARDY_READER_STATE, calls in progress end normally, values
 * and snapshots that are still held stay valid. Any thread, more than once.
 */
SHARDY_API void shardy_reader_close(shardy_reader *reader);

/**
 * Close, wait for operations of shardyfusion/async.h that are in flight, then release. No other
 * call on the reader may be in progress, and not from a completion callback. NULL is accepted.
 */
SHARDY_API void shardy_reader_free(shardy_reader *reader);

/**
 * Look one key up.
 *
 * @param[out] value `data` is NULL when the key is absent; release with shardy_value_clear()
 * @return SHARDY_OK, found or not; SHARDY_INPUT (key does not fit the snapshot's encoding or cannot
 *         be routed; a key that CEL routing sends to no shard is absent); SHARDY_CORRUPT naming
 * shard, page and offset; SHARDY_READER_STATE; SHARDY_STORE, SHARDY_IO (shard cannot be opened)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_get(shardy_reader *reader,
                                                          const shardy_key *key,
                                                          shardy_value *value, shardy_error *err);

/**
 * Look one key up and copy the value into the caller's buffer.
 *
 * @param buffer     receives up to `capacity` bytes; may be NULL when `capacity` is 0
 * @param[out] size  size of the value, also when it is larger than `capacity` (then nothing is
 *                   copied and the status is SHARDY_LIMIT); 0 when absent
 * @param[out] found whether the key is present
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_get_copy(shardy_reader *reader,
                                                               const shardy_key *key, void *buffer,
                                                               size_t capacity, size_t *size,
                                                               bool *found, shardy_error *err);

/**
 * Look many keys up in one snapshot; the fastest way to read. Order is kept, duplicates are fine.
 *
 * @param[out] items one result a key; release with shardy_items_clear(); empty on failure
 * @return as shardy_reader_get(); one bad key fails the call and is named
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_multi_get(shardy_reader *reader,
                                                                const shardy_key *keys,
                                                                size_t count, shardy_items *items,
                                                                shardy_error *err);

/**
 * As shardy_reader_get() for CEL sharding by other columns than the key.
 * @param context columns that tell the shard; NULL = by the key
 * @return also SHARDY_INPUT (a column is missing, of another type, the expression fails);
 *         SHARDY_CONFIG (hash sharding takes no context)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_get_with_context(
    shardy_reader *reader, const shardy_key *key, const shardy_context *context,
    shardy_value *value, shardy_error *err);

/** As shardy_reader_multi_get(); with a context all keys are looked up in the shard it tells. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_multi_get_with_context(
    shardy_reader *reader, const shardy_key *keys, size_t count, const shardy_context *context,
    shardy_items *items, shardy_error *err);

/**
 * Shard id of a key, without reading. @param context NULL, or CEL columns.
 * @return as shardy_router_route()
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_route(shardy_reader *reader,
                                                            const shardy_key *key,
                                                            const shardy_context *context,
                                                            uint32_t *db_id, shardy_error *err);

/**
 * Follow the pointer. Shards whose URL, checkpoint and size are unchanged stay open; lookups go on
 * meanwhile. On failure the old snapshot keeps serving.
 *
 * @param[out] changed whether a new snapshot was opened. A malformed new manifest is logged and
 *             gives SHARDY_OK with `changed` = false. So does a pointer that is older than the one
 *             followed, a stale read, unless it stays for a minute.
 * @return SHARDY_OK; SHARDY_READER_STATE (closed, "CURRENT pointer not found"); SHARDY_STORE, ...
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_refresh(shardy_reader *reader, bool *changed,
                                                              shardy_error *err);

/** Description of the current snapshot. @param[out] info cleared by the caller. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_info(shardy_reader *reader,
                                                           shardy_snapshot_info *info,
                                                           shardy_error *err);

/** State of a reader. Strings belong to `owner`. */
typedef struct shardy_health {
    const char *status;       /**< "healthy", "degraded" or "unhealthy"; static */
    const char *manifest_ref; /**< "" when closed */
    double manifest_age_s;    /**< seconds since the pointer (pinned: the manifest) was published */
    double reader_age_s;      /**< seconds since the snapshot was opened */
    uint32_t num_shards;      /**< empty ones included */
    bool is_closed;
    void *owner; /**< private */
} shardy_health;

/**
 * Health of a reader.
 * @param staleness_threshold_s degraded when the manifest is older; 0 or less = no threshold
 * @param[out] health           cleared by the caller
 * @return SHARDY_OK, also for a closed reader; SHARDY_NO_MEMORY
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_health(shardy_reader *reader,
                                                             double staleness_threshold_s,
                                                             shardy_health *health,
                                                             shardy_error *err);

/** Release a health report and zero it. NULL is accepted. */
SHARDY_API void shardy_health_clear(shardy_health *health);

/**
 * Keep the current snapshot open, independent of later refresh or close of the reader.
 * @param[out] snapshot release with shardy_snapshot_release(); NULL on failure
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_snapshot(shardy_reader *reader,
                                                               shardy_snapshot **snapshot,
                                                               shardy_error *err);

/** Release a snapshot. NULL is accepted. */
SHARDY_API void shardy_snapshot_release(shardy_snapshot *snapshot);

/** As shardy_reader_get(), on this snapshot. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_get(shardy_snapshot *snapshot,
                                                            const shardy_key *key,
                                                            shardy_value *value, shardy_error *err);

/** As shardy_reader_multi_get(), on this snapshot. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_multi_get(shardy_snapshot *snapshot,
                                                                  const shardy_key *keys,
                                                                  size_t count, shardy_items *items,
                                                                  shardy_error *err);

/** As shardy_reader_get_with_context(), on this snapshot. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_get_with_context(
    shardy_snapshot *snapshot, const shardy_key *key, const shardy_context *context,
    shardy_value *value, shardy_error *err);

/** As shardy_reader_multi_get_with_context(), on this snapshot. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_multi_get_with_context(
    shardy_snapshot *snapshot, const shardy_key *keys, size_t count, const shardy_context *context,
    shardy_items *items, shardy_error *err);

/** As shardy_reader_info(), on this snapshot. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_describe(shardy_snapshot *snapshot,
                                                                 shardy_snapshot_info *info,
                                                                 shardy_error *err);

/**
 * Description of one shard; `db_url` is NULL for an empty one.
 * @param[out] info cleared by the caller @return SHARDY_OK; SHARDY_CONFIG (`db_id`);
 * SHARDY_MANIFEST
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_shard(shardy_snapshot *snapshot,
                                                              uint32_t db_id,
                                                              shardy_shard_info *info,
                                                              shardy_error *err);

/** Router of this snapshot; borrowed, lives as long as the snapshot. */
SHARDY_API const shardy_router *shardy_snapshot_router(shardy_snapshot *snapshot);

/** Opaque: an ordered walk over rows. One thread at a time; keeps its snapshot alive. */
typedef struct shardy_scan shardy_scan;

/** Which rows a scan visits, in the order of their stored key bytes. */
typedef struct shardy_scan_options {
    size_t struct_size;      /**< set by the initialiser */
    bool one_shard;          /**< only shard `db_id`; otherwise all shards merged in key order */
    uint32_t db_id;          /**< used when `one_shard` */
    const shardy_key *start; /**< first key, inclusive; NULL = from the beginning */
    const shardy_key *end;   /**< last key, exclusive; NULL = to the end */
    const void *prefix;      /**< only stored keys that start with these bytes; NULL = all */
    size_t prefix_size;
} shardy_scan_options;

#define SHARDY_SCAN_OPTIONS_INIT                   \
    {                                              \
        .struct_size = sizeof(shardy_scan_options) \
    }

/** One row of a scan. Pointers are valid until the next call on the scan. */
typedef struct shardy_row {
    const void *key; /**< stored key bytes (see shardy_key_encoding) */
    size_t key_size;
    const void *value; /**< never NULL */
    size_t value_size;
    uint32_t db_id;
} shardy_row;

/**
 * Start a scan. @param options NULL = every row. @param[out] scan release with shardy_scan_free()
 * @return SHARDY_OK; SHARDY_CONFIG (`db_id`); SHARDY_INPUT (bounds); what opening shards returns
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_snapshot_scan(shardy_snapshot *snapshot,
                                                             const shardy_scan_options *options,
                                                             shardy_scan **scan, shardy_error *err);

/**
 * Next row. @param[out] row meaningful when `*found` @param[out] found false at the end
 * @return SHARDY_OK; SHARDY_CORRUPT: the scan is over
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_scan_next(shardy_scan *scan, shardy_row *row,
                                                         bool *found, shardy_error *err);

/**
 * Next rows: the same as shardy_scan_next for many at once, and faster.
 *
 * @param[out] rows  array of `max` rows, valid until the next call on the scan
 * @param[out] count rows delivered, often fewer than `max`; 0 at the end
 * @return SHARDY_OK; SHARDY_CORRUPT: the scan is over
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_scan_rows(shardy_scan *scan, shardy_row *rows,
                                                         size_t max, size_t *count,
                                                         shardy_error *err);

/** Release a scan. NULL is accepted. */
SHARDY_API void shardy_scan_free(shardy_scan *scan);

#ifdef __cplusplus
}
#endif

#endif
