/*
 * shardyfusion/writer.h - build a snapshot from rows and publish it.
 *
 * One writer makes one snapshot: open, add rows in any order, finish, free. Nothing is visible to
 * readers before shardy_writer_finish() has published; a writer freed earlier leaves no objects.
 * When two rows have equal keys the last one added wins.
 */
#ifndef SHARDYFUSION_WRITER_H
#define SHARDYFUSION_WRITER_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/cel.h>
#include <shardyfusion/key.h>
#include <shardyfusion/metrics.h>
#include <shardyfusion/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque. One thread at a time, except shardy_writer_cancel(). */
typedef struct shardy_writer shardy_writer;

/** Page size that each shard chooses for its own rows (95th percentile of the value sizes). */
#define SHARDY_PAGE_SIZE_AUTO 1u

/** What a build is doing. */
typedef enum shardy_phase {
    SHARDY_PHASE_READ = 0,    /**< rows are taken in, routed and spilled */
    SHARDY_PHASE_BUILD = 1,   /**< shards are sorted, merged and written */
    SHARDY_PHASE_PUBLISH = 2, /**< manifest and pointer are written */
    SHARDY_PHASE_DONE = 3
} shardy_phase;

/** Progress of a build, counted from its start. */
typedef struct shardy_progress {
    shardy_phase phase;
    uint64_t rows;        /**< rows taken in */
    uint64_t input_bytes; /**< keys and values taken in */
    uint64_t built_rows;  /**< rows written to shards */
    uint64_t built_bytes; /**< bytes of finished shards */
    uint32_t shards_done;
    uint32_t num_dbs; /**< 0 while unknown (max_keys_per_shard) */
} shardy_progress;

/**
 * What is known about the order of rows. Rows that arrive together by shard need neither the whole
 * table in memory nor a local disk: a shard is complete, built, stored and forgotten when the first
 * row of another shard arrives. A broken promise is SHARDY_INPUT naming row, key and shard, ends
 * the build, and nothing is published. The shards are the same in all orders.
 */
typedef enum shardy_input_order {
    SHARDY_INPUT_ANY = 0,     /**< any order */
    SHARDY_INPUT_GROUPED = 1, /**< all rows of a shard together, as after a shuffle by shard */
    SHARDY_INPUT_SORTED = 2   /**< grouped, and the stored bytes of keys ascend within a shard: no
                                   more than one batch is held, except with SHARDY_PAGE_SIZE_AUTO,
                                   which looks at all rows of a shard first */
} shardy_input_order;

/** What to do when another run became current while this one was being built. */
typedef enum shardy_publish_policy {
    SHARDY_PUBLISH_LATEST = 0, /**< replace it, and report which run was replaced */
    SHARDY_PUBLISH_EXPECT = 1  /**< fail with SHARDY_CONFLICT unless `expected_ref` is current */
} shardy_publish_policy;

/**
 * Options of a build; zero or NULL means the default. Strings are copied, sinks are borrowed until
 * the writer is freed. Initialise with SHARDY_WRITER_OPTIONS_INIT.
 */
typedef struct shardy_writer_options {
    size_t struct_size;               /**< set by the initialiser; lets the struct grow */
    const char *url;                  /**< required: prefix to publish under */
    const char *run_id;               /**< NULL = a random UUID, 32 hex digits */
    uint32_t num_dbs;                 /**< shards, 1 .. 2^20; 0 only with max_keys_per_shard or
                                           `cel` */
    uint64_t max_keys_per_shard;      /**< num_dbs = ceil(rows / this), an average; 0 = off */
    shardy_key_encoding key_encoding; /**< how keys are stored; default u64be */
    uint32_t page_size;               /**< 4096 .. 65536, a power of two, or _AUTO; 0 = 4096 */
    bool no_sidecar;                  /**< do not write shard.sidecar objects */
    bool no_publish;                  /**< write shards and manifest, leave the pointer alone */
    uint64_t memory_limit_bytes;      /**< rows and sort space; 0 = 512 MiB; at least 16 MiB */
    const char *spill_dir;            /**< folder for sorted runs; NULL = $TMPDIR or /tmp */
    uint32_t threads;                 /**< threads that build shards; 0 = all processors */
    const char *key_col;              /**< key column: its name in batches and in the manifest;
                                           NULL = "key" in batches, "_key" in the manifest */
    const char *value_col;            /**< value column of batches; NULL = "value" */
    const char *shard_prefix;         /**< folder of the shards; NULL = "shards" */
    const char *db_path_template;     /**< NULL = "db={db_id:05d}" */
    const char *current_name;         /**< name of the pointer object; NULL = "_CURRENT" */
    const char *custom_fields;        /**< JSON object for the manifest; NULL = {} */
    shardy_publish_policy policy;     /**< see shardy_publish_policy */
    const char *expected_ref;         /**< for _EXPECT: manifest ref that must be current; NULL =
                                           there must be no pointer yet */
    const shardy_event_sink *events;  /**< metric events; NULL = none */
    const shardy_log_sink *logs;      /**< log records; NULL = none */
    void (*progress)(void *arg, const shardy_progress *progress); /**< NULL = none; at most about
                                           ten calls a second, never two at once, any thread */
    void *progress_arg;
    const shardy_store_option *store_options; /**< see shardyfusion/store.h */
    size_t store_option_count;
    shardy_input_order input_order; /**< see shardy_input_order; not ANY: without
                                         max_keys_per_shard, as shards must be known by row */
    const shardy_cel_sharding *cel; /**< route by an expression; copied; NULL = by the hash of the
                                         key. Not with max_keys_per_shard. num_dbs: with routing
                                         values their number or 0; inferred 0; otherwise ids below
                                         it, and 0 = largest id + 1, every id must occur. With an
                                         input_order num_dbs or routing_values */
} shardy_writer_options;

#define SHARDY_WRITER_OPTIONS_INIT                   \
    {                                                \
        .struct_size = sizeof(shardy_writer_options) \
    }

/** Outcome of a build. Strings belong to `owner`; release with shardy_build_result_clear(). */
typedef struct shardy_build_result {
    const char *run_id;
    const char *manifest_ref;    /**< URL of the manifest */
    const char *replaced_run_id; /**< run that was current before; NULL = none or not published */
    const char *replaced_ref;    /**< its manifest */
    bool published;              /**< the pointer names this run */
    bool guarded;                /**< published, and the store is known to have compared the pointer
                                      before it swapped it */
    uint32_t num_dbs;
    uint32_t num_shards;    /**< shards that have a database */
    uint64_t rows_read;     /**< rows added */
    uint64_t rows_written;  /**< rows in the shards; smaller by the number of replaced rows */
    uint64_t bytes_written; /**< shard databases, without sidecars */
    uint64_t spilled_bytes; /**< bytes of sorted runs written to spill_dir */
    uint64_t read_us;       /**< time from open to finish */
    uint64_t build_us;      /**< time of sorting, merging and writing shards; with an input_order
                                 the part of it after the last row */
    uint64_t publish_us;    /**< time of manifest and pointer */
    void *owner;            /**< private */
} shardy_build_result;

/** Release a result and zero it. NULL is accepted. */
SHARDY_API void shardy_build_result_clear(shardy_build_result *result);

/**
 * Start a build. Nothing is written yet.
 *
 * @param[out] writer NULL on failure; release with shardy_writer_free()
 * @return SHARDY_OK; SHARDY_CONFIG naming the option; SHARDY_CONFLICT when `run_id` was used before
 *         under this prefix; SHARDY_IO, SHARDY_STORE
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_writer_open(const shardy_writer_options *options,
                                                           shardy_writer **writer,
                                                           shardy_error *err);

/**
 * Add one row; key and value are copied.
 *
 * @param value  `value_size` bytes; may be NULL when `value_size` is 0
 * @return SHARDY_OK; SHARDY_INPUT naming row number and value (kind or range of the key);
 *         SHARDY_LIMIT (key or value too long); SHARDY_IO (spill); SHARDY_CANCELLED. After a
 *         failure the row is not part of the build; the writer may go on. With an input_order also
 *         SHARDY_STORE; rows are gathered, so that a later call may name this row as out of order.
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_writer_add(shardy_writer *writer,
                                                          const shardy_key *key, const void *value,
                                                          size_t value_size, shardy_error *err);

/**
 * As shardy_writer_add() for CEL sharding. A column that is called "key", or as key_col, and is not
 * in the context is the key.
 *
 * @param context columns that tell the shard; not kept. NULL = shardy_writer_add()
 * @return also SHARDY_INPUT (a column is missing or of another type; the expression fails, naming
 *         the sub-expression); SHARDY_ASSIGNMENT naming row and token or id that has no shard;
 *         SHARDY_CONFIG (hash sharding takes no context)
 */
SHARDY_API SHARDY_CHECKED shardy_status
shardy_writer_add_with_context(shardy_writer *writer, const shardy_key *key, const void *value,
                               size_t value_size, const shardy_context *context, shardy_error *err);

/**
 * Add a batch of rows: an Arrow struct array (record batch) with a key column and a value column,
 * found by name, and the columns that a CEL expression reads (types: shardyfusion/cel.h; a column
 * "key" that is not there is the key column); other columns are ignored. Key types: int32, int64,
 * uint32, uint64 (encodings u64be, u32be), utf8, large_utf8, binary, large_binary (utf8, raw).
 * Value types: utf8, large_utf8, binary, large_binary. The columns are used in place, not copied.
 *
 * @param schema  borrowed for the call
 * @param array   ownership moves to the writer, on failure too: `array->release` is NULL
 * afterwards. The writer calls the original release exactly once, from any thread.
 * @return SHARDY_OK; SHARDY_CONFIG (column missing, type, malformed array); SHARDY_INPUT naming row
 *         number (counted from 0 over the whole build) and value: null, kind or range of a key;
 *         SHARDY_ASSIGNMENT (CEL: naming row and token or id that has no shard); SHARDY_LIMIT;
 *         SHARDY_IO; SHARDY_CANCELLED. After a failure no row of the batch is part of the build.
 * With an input_order also SHARDY_STORE.
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_writer_add_batch(shardy_writer *writer,
                                                                const struct ArrowSchema *schema,
                                                                struct ArrowArray *array,
                                                                shardy_error *err);

/** Ask a build to stop soon: running and later calls return SHARDY_CANCELLED. Any thread. */
SHARDY_API void shardy_writer_cancel(shardy_writer *writer);

/**
 * Build the shards, write the manifest and publish it. May be called once.
 *
 * @param[out] result may be NULL; empty on failure, except for SHARDY_PUBLISH, SHARDY_CONFLICT,
 *             SHARDY_UNKNOWN and a late SHARDY_CANCELLED: then run_id and manifest_ref name what
 *             was written but not made current. Always release it with shardy_build_result_clear().
 * @return SHARDY_OK; SHARDY_IO (disk), SHARDY_STORE, SHARDY_CANCELLED: nothing published and the
 *         objects written so far removed, unless the result names a manifest; SHARDY_ASSIGNMENT
 *         (CEL shard ids with gaps); SHARDY_PUBLISH;
 *         SHARDY_CONFLICT (policy EXPECT); SHARDY_UNKNOWN: an answer was lost, or memory ran out
 *         after the pointer was written
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_writer_finish(shardy_writer *writer,
                                                             shardy_build_result *result,
                                                             shardy_error *err);

/** Release a writer; an unfinished build is abandoned and its objects removed. NULL is accepted. */
SHARDY_API void shardy_writer_free(shardy_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
