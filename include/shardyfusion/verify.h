/*
 * shardyfusion/verify.h - check a published snapshot against everything its manifest promises.
 */
#ifndef SHARDYFUSION_VERIFY_H
#define SHARDYFUSION_VERIFY_H

#include <shardyfusion/manifest.h>
#include <shardyfusion/metrics.h>
#include <shardyfusion/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Options of a verification. Initialise with SHARDY_VERIFY_OPTIONS_INIT. */
typedef struct shardy_verify_options {
    size_t struct_size;       /**< set by the initialiser */
    const char *url;          /**< required: prefix of the snapshot */
    const char *current_name; /**< NULL = "_CURRENT" */
    const char *pin_ref;      /**< check this manifest instead of the current one */
    bool deep;                /**< also route every key and check that its shard holds it */
    uint32_t threads;         /**< shards checked at once; 0 = all processors */
    const shardy_store_option *store_options; /**< see shardyfusion/store.h */
    size_t store_option_count;
    const shardy_event_sink *events; /**< "store.request" events; NULL = none */
} shardy_verify_options;

#define SHARDY_VERIFY_OPTIONS_INIT                   \
    {                                                \
        .struct_size = sizeof(shardy_verify_options) \
    }

/** One damage. Strings belong to the report. */
typedef struct shardy_damage {
    const char *what;    /**< "pointer", "manifest", "size", "checksum", "btree", "row_count",
                              "min_key", "max_key", "routing", "sidecar", "missing" */
    const char *object;  /**< URL of the damaged object */
    const char *message; /**< names page, offset, values */
    int64_t db_id;       /**< shard, or -1 */
} shardy_damage;

/** Result of a verification. Release with shardy_verify_report_clear(). */
typedef struct shardy_verify_report {
    const shardy_damage *damages; /**< in shard order */
    size_t damage_count;
    const char *run_id;       /**< NULL when the manifest could not be read */
    const char *manifest_ref; /**< NULL when the pointer could not be read */
    uint32_t shards_checked;
    uint32_t checksums_checked; /**< shards whose manifest entry records a checksum */
    uint32_t sidecars_checked;
    uint64_t rows_checked;
    uint64_t keys_routed; /**< 0 without `deep`, and when CEL sharding reads other columns than the
                             key: routing was not checked */
    uint64_t bytes_checked;
    void *owner; /**< private */
} shardy_verify_report;

/**
 * Check pointer, manifest and every shard: presence, size, checksum (when recorded), b-tree walk,
 * row count, smallest and largest key, sidecar pages against the file; with `deep` the routing of
 * every key. All shards are checked even when one is damaged.
 *
 * @param[out] report always to be cleared; damages are findings, not failures
 * @return SHARDY_OK when the check ran, whatever it found; SHARDY_CONFIG; SHARDY_STORE, SHARDY_IO
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_verify(const shardy_verify_options *options,
                                                      shardy_verify_report *report,
                                                      shardy_error *err);

/** Release a report and zero it. NULL is accepted. */
SHARDY_API void shardy_verify_report_clear(shardy_verify_report *report);

#ifdef __cplusplus
}
#endif

#endif
