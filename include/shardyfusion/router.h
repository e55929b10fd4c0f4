/*
 * shardyfusion/router.h - from keys to shard ids, exactly as writers and readers do it.
 *
 * A router is immutable once made: share freely between threads.
 */
#ifndef SHARDYFUSION_ROUTER_H
#define SHARDYFUSION_ROUTER_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/cel.h>
#include <shardyfusion/manifest.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shardy_router shardy_router;

/** What a router needs to know of a snapshot. Initialise with SHARDY_ROUTER_OPTIONS_INIT. */
typedef struct shardy_router_options {
    size_t struct_size;               /**< set by the initialiser */
    shardy_sharding sharding;         /**< CEL needs `cel` */
    uint32_t num_dbs;                 /**< 1 .. 2^20; with routing values their number, or 0 */
    shardy_key_encoding key_encoding; /**< of the snapshot; routing itself does not depend on it */
    const shardy_cel_sharding *cel;   /**< for SHARDY_SHARDING_CEL; copied */
} shardy_router_options;

#define SHARDY_ROUTER_OPTIONS_INIT                                                     \
    {                                                                                  \
        sizeof(shardy_router_options), SHARDY_SHARDING_HASH, 0, SHARDY_KEY_U64BE, NULL \
    }

/**
 * Looks one shard up for a lazy router. Must give an entry with `db_url` = NULL for a shard
 * without data. The router hands the result to its caller, who clears it. Called from any thread.
 */
typedef shardy_status (*shardy_shard_lookup_fn)(void *arg, uint32_t db_id, shardy_shard_info *info,
                                                shardy_error *err);

/**
 * Make an eager router over known shards.
 *
 * @param shards      descriptions, copied; ids outside 0..num_dbs-1 are ignored, the last of equal
 *                    ids wins, missing ids are empty shards. May be NULL when `shard_count` is 0
 * @param[out] router NULL on failure; release with shardy_router_free()
 * @return SHARDY_OK; SHARDY_CONFIG (options; expression, with line, column and a caret);
 *         SHARDY_LIMIT (expression)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_new(const shardy_router_options *options,
                                                          const shardy_shard_info *shards,
                                                          size_t shard_count,
                                                          shardy_router **router,
                                                          shardy_error *err);

/**
 * Make a lazy router, which asks `lookup` for shards one by one (`from_build_meta` of the Python
 * API). @param arg passed to `lookup`; must outlive the router.
 */
SHARDY_API SHARDY_CHECKED shardy_status
shardy_router_from_build_meta(const shardy_router_options *options, shardy_shard_lookup_fn lookup,
                              void *arg, shardy_router **router, shardy_error *err);

/** Release a router. NULL is accepted. */
SHARDY_API void shardy_router_free(shardy_router *router);

/** Whether the router was made by shardy_router_from_build_meta(). */
SHARDY_API bool shardy_router_is_lazy(const shardy_router *router);

/** Number of shards, empty ones included. */
SHARDY_API uint32_t shardy_router_num_dbs(const shardy_router *router);

/**
 * The compiled expression of CEL sharding: its columns are what a routing context holds. Borrowed,
 * lives as long as the router; NULL for HASH.
 */
SHARDY_API const shardy_cel *shardy_router_cel(const shardy_router *router);

/** Whether the key alone does not tell the shard: calls need a routing context. */
SHARDY_API bool shardy_router_needs_context(const shardy_router *router);

/**
 * Routing values: value `i` belongs to shard `i`. Borrowed, live as long as the router.
 * @param[out] values NULL for HASH and for CEL that gives shard ids itself
 * @return how many
 */
SHARDY_API size_t shardy_router_routing_values(const shardy_router *router,
                                               const shardy_cel_value **values);

/**
 * Description of one shard. @param[out] info cleared by the caller; empty on failure.
 * @return SHARDY_OK; SHARDY_CONFIG when `db_id` is out of range; what the lookup returns
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_get_shard(const shardy_router *router,
                                                                uint32_t db_id,
                                                                shardy_shard_info *info,
                                                                shardy_error *err);

/**
 * Shard of one key. @param context NULL = route by the key; otherwise the key is not looked at.
 * @return SHARDY_OK; SHARDY_INPUT (key cannot be hashed; CEL: the expression fails, naming the
 *         column or sub-expression, or needs a context); SHARDY_CONFIG (a context with HASH);
 *         SHARDY_ASSIGNMENT (no shard of the snapshot: unknown token, id out of range)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_route(const shardy_router *router,
                                                            const shardy_key *key,
                                                            const shardy_context *context,
                                                            uint32_t *db_id, shardy_error *err);

/**
 * Shard of a routing context. @return as shardy_router_route(); SHARDY_CONFIG for HASH, which has
 * none.
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_route_with_context(
    const shardy_router *router, const shardy_context *context, uint32_t *db_id, shardy_error *err);

/**
 * Shards of a whole Arrow column (int32, int64, uint32, uint64, utf8, large_utf8, binary or
 * large_binary), without copying it.
 *
 * @param schema       type of the column; borrowed, not released
 * @param array        the column; borrowed, not released
 * @param[out] db_ids  `array->length` ids
 * @return SHARDY_OK; SHARDY_INPUT naming row and value (null, unsigned above 2^63-1; CEL that
 *         reads other columns than the key); SHARDY_ASSIGNMENT (CEL); SHARDY_CONFIG (type,
 *         malformed array)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_route_column(const shardy_router *router,
                                                                   const struct ArrowSchema *schema,
                                                                   const struct ArrowArray *array,
                                                                   uint32_t *db_ids,
                                                                   shardy_error *err);

/**
 * Shards of the rows of a record batch by a CEL router: its columns are found by name, see
 * shardy_cel_evaluate_batch().
 *
 * @param schema         of a struct array; borrowed
 * @param array          the rows; borrowed
 * @param row_base       number of row 0 in messages
 * @param[out] db_ids    `array->length` ids
 * @return SHARDY_OK; SHARDY_INPUT naming row and column or sub-expression; SHARDY_ASSIGNMENT naming
 *         row and token or id; SHARDY_CONFIG (HASH; column missing, type, malformed array)
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_route_batch(
    const shardy_router *router, const struct ArrowSchema *schema, const struct ArrowArray *array,
    uint64_t row_base, uint32_t *db_ids, shardy_error *err);

/** Keys of one shard: positions in the caller's key array, in input order, duplicates kept. */
typedef struct shardy_key_group {
    uint32_t db_id;
    const size_t *positions;
    size_t count;
} shardy_key_group;

/** Keys grouped by shard, in order of first appearance. */
typedef struct shardy_key_groups {
    const shardy_key_group *groups;
    size_t count;
    const size_t *missing; /**< keys no shard serves (unknown CEL token), in input order */
    size_t missing_count;
    void *owner; /**< private */
} shardy_key_groups;

/**
 * Group keys by shard. A key that no shard serves is an error naming it.
 * @param[out] groups release with shardy_key_groups_clear(); empty on failure
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_group_keys(
    const shardy_router *router, const shardy_key *keys, size_t count,
    const shardy_context *context, shardy_key_groups *groups, shardy_error *err);

/** As shardy_router_group_keys(), but keys that no shard serves are listed in `missing`. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_router_group_keys_allow_missing(
    const shardy_router *router, const shardy_key *keys, size_t count,
    const shardy_context *context, shardy_key_groups *groups, shardy_error *err);

/** Release groups. NULL is accepted. */
SHARDY_API void shardy_key_groups_clear(shardy_key_groups *groups);

#ifdef __cplusplus
}
#endif

#endif
