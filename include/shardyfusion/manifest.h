/*
 * shardyfusion/manifest.h - what a snapshot is made of, and its publishing history.
 *
 * Times are microseconds since 1970-01-01T00:00:00Z. Places are URLs: `file:///absolute/path`,
 * `memory://name` (this process only). A snapshot's URL is its prefix: the folder that holds
 * `_CURRENT`, `manifests/` and `shards/`.
 */
#ifndef SHARDYFUSION_MANIFEST_H
#define SHARDYFUSION_MANIFEST_H

#include <shardyfusion/key.h>
#include <shardyfusion/metrics.h>
#include <shardyfusion/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How keys find their shard. */
typedef enum shardy_sharding {
    SHARDY_SHARDING_HASH = 0, /**< XXH3-64 modulo the number of shards */
    SHARDY_SHARDING_CEL = 1   /**< a CEL expression over the key and other columns */
} shardy_sharding;

/** One shard as its manifest describes it. Strings belong to `owner`. */
typedef struct shardy_shard_info {
    uint32_t db_id;
    uint32_t attempt;
    const char *db_url;        /**< attempt directory URL; NULL = empty shard, no database */
    const char *checkpoint_id; /**< opaque identity of this build of the shard; NULL = none */
    uint64_t row_count;        /**< rows written; the original counts replaced ones too */
    uint64_t db_bytes;         /**< size of the database in bytes; 0 = unknown */
    bool has_min_key;          /**< min_key is known (SHARDY_KIND_INT, _UINT or _STR) */
    bool has_max_key;
    shardy_key min_key;      /**< smallest logical key */
    shardy_key max_key;      /**< largest logical key */
    const char *writer_info; /**< JSON object with the writer's own notes; never NULL */
    void *owner;             /**< private: what the strings live in */
} shardy_shard_info;

/** Release the strings of a shard description and zero it. NULL is accepted. */
SHARDY_API void shardy_shard_info_clear(shardy_shard_info *info);

/** A snapshot as its manifest describes it. Strings belong to `owner`. */
typedef struct shardy_snapshot_info {
    const char *run_id;
    const char *manifest_ref; /**< URL of the manifest this was read from */
    const char *s3_prefix;    /**< prefix the snapshot was written to */
    const char *key_col;
    const char *sharding_json; /**< the manifest's sharding object */
    const char *custom_json;   /**< the manifest's custom fields, a JSON object */
    uint32_t num_dbs;          /**< shards, empty ones included */
    shardy_sharding sharding;
    shardy_key_encoding key_encoding;
    int64_t created_at_us;   /**< when the build published */
    int64_t published_at_us; /**< when the pointer was set, or the manifest's own time if pinned */
    uint64_t row_count;      /**< sum over all shards */
    void *owner;             /**< private */
} shardy_snapshot_info;

/** Release the strings of a snapshot description and zero it. NULL is accepted. */
SHARDY_API void shardy_snapshot_info_clear(shardy_snapshot_info *info);

/** One published manifest. */
typedef struct shardy_manifest_ref {
    const char *ref; /**< full URL of the manifest object */
    const char *run_id;
    int64_t published_at_us; /**< the manifest's own time; the pointer's for load_current */
    bool is_current;         /**< `_CURRENT` names this manifest */
} shardy_manifest_ref;

/** Published manifests, newest first. */
typedef struct shardy_history {
    const shardy_manifest_ref *items;
    size_t count;
    void *owner; /**< private */
} shardy_history;

/** Where to look for manifests. Initialise with SHARDY_HISTORY_OPTIONS_INIT. */
typedef struct shardy_history_options {
    size_t struct_size;                       /**< set by the initialiser; lets the struct grow */
    const char *url;                          /**< required: prefix of the snapshot */
    const char *current_name;                 /**< name of the pointer object; NULL = "_CURRENT" */
    size_t limit;                             /**< at most this many, newest first; 0 = 10 */
    const char *run_id;                       /**< only manifests of this run; NULL = all */
    const shardy_store_option *store_options; /**< see shardyfusion/store.h */
    size_t store_option_count;
    const shardy_event_sink *events; /**< "store.request" events; NULL = none */
} shardy_history_options;

#define SHARDY_HISTORY_OPTIONS_INIT                   \
    {                                                 \
        .struct_size = sizeof(shardy_history_options) \
    }

/**
 * List published manifests, newest first; equal times keep ascending URL order. Works when the
 * pointer is missing or broken: then no entry is marked current.
 *
 * @param[out] history  empty on failure; release with shardy_history_clear()
 * @return SHARDY_OK; SHARDY_CONFIG (URL); SHARDY_STORE, SHARDY_IO
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_history_load(const shardy_history_options *options,
                                                            shardy_history *history,
                                                            shardy_error *err);

/** Release a history. NULL is accepted. */
SHARDY_API void shardy_history_clear(shardy_history *history);

#ifdef __cplusplus
}
#endif

#endif
