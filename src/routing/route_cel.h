/*
 * route_cel.h - from rows to shard ids by a CEL expression: direct (the value is the id) or
 * categorical (the value is a token, its position among the routing values is the id).
 *
 * Immutable once made, but for a build that infers its routing values: there, one thread at a time
 * may learn while nobody routes.
 */
#ifndef SFI_ROUTING_ROUTE_CEL_H
#define SFI_ROUTING_ROUTE_CEL_H

#include "base/limits.h"
#include "cel/cel.h"
#include "key/key.h"
#include "routing/tokens.h"

/* Where a key is that no shard serves: unknown token, or id outside of the snapshot. */
#define SFI_NO_SHARD UINT32_MAX

struct sfi_cel_route {
    atomic_uint refs;
    shardy_cel *cel;
    bool is_categorical;
    bool infers;      /* unknown tokens are learnt */
    bool is_key_only; /* its only column is the key */
    uint32_t num_dbs; /* ids are below; 0 = not known yet */
    struct sfi_tokens tokens;
};

/*
 * Check and compile. `num_dbs` 0: the number of routing values, or open. CONFIG, LIMIT, NO_MEMORY.
 */
shardy_status sfi_cel_route_new(const shardy_cel_sharding *sharding, uint32_t num_dbs,
                                struct sfi_cel_route **route, shardy_error *err);
struct sfi_cel_route *sfi_cel_route_acquire(struct sfi_cel_route *route);
void sfi_cel_route_release(struct sfi_cel_route *route); /* NULL is accepted */

/*
 * Shard of a context, or of a key when `context` is NULL. SFI_NO_SHARD unless `must`, then
 * ASSIGNMENT. INPUT: evaluation failed, or a context is needed.
 */
shardy_status sfi_cel_route_one(const struct sfi_cel_route *route, const shardy_key *key,
                                const shardy_context *context, bool must, uint32_t *db_id,
                                shardy_error *err);
/* The same for a build that infers: an unknown token becomes the next id. LIMIT: too many. */
shardy_status sfi_cel_route_learn_one(struct sfi_cel_route *route, const shardy_key *key,
                                      const shardy_context *context, uint32_t *db_id,
                                      shardy_error *err);

/* A key as the value of a column: text and bytes suit both types, as they are stored alike. */
shardy_cel_value sfi_cel_route_key_value(const struct sfi_cel_type *type, const shardy_key *key);

/* A column of keys as the column of a key-only expression. CONFIG: the types do not suit. */
shardy_status sfi_cel_route_keys(const struct sfi_cel_route *route, const struct sfi_column *keys,
                                 struct sfi_cel_column *column, shardy_error *err);

/* Rows to route; borrowed. `columns` in the order of the expression's. */
struct sfi_cel_rows {
    const struct sfi_cel_column *columns;
    uint64_t row_base; /* number of row 0 in messages */
};

/*
 * Shards of rows first .. first + count. Rows without a shard get SFI_NO_SHARD, and *missing is set
 * (never cleared). INPUT naming the row. Several threads at once.
 */
shardy_status sfi_cel_route_rows(const struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                 size_t first, size_t count, uint32_t *db_ids, bool *missing,
                                 shardy_error *err);
/* ASSIGNMENT naming the first row with SFI_NO_SHARD, its token or id, and the expression. */
shardy_status sfi_cel_route_fail(const struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                 size_t first, size_t count, const uint32_t *db_ids,
                                 shardy_error *err);
/* Give rows that have SFI_NO_SHARD ids for their tokens. CONFIG, LIMIT naming the row. */
shardy_status sfi_cel_route_learn(struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                  size_t first, size_t count, uint32_t *db_ids, shardy_error *err);

/* --- between route_cel.c and route_cel_rows.c ------------------------------------------------- */

/* Shard of a value; SFI_NO_SHARD. INPUT: it is an error, or cannot be a token. */
shardy_status sfi_cel_route_resolve(const struct sfi_cel_route *route,
                                    const struct sfi_cel_value *value, uint32_t *db_id,
                                    shardy_error *err);
/* ASSIGNMENT for a value that resolves to no shard. */
shardy_status sfi_cel_route_nowhere(const struct sfi_cel_route *route,
                                    const struct sfi_cel_value *value, shardy_error *err);
/* Resolve; an unknown token becomes a value. */
shardy_status sfi_cel_route_learn_value(struct sfi_cel_route *route,
                                        const struct sfi_cel_value *value, uint32_t *db_id,
                                        shardy_error *err);

/* Ids are below. */
static inline uint32_t sfi_cel_route_limit(const struct sfi_cel_route *route)
{
    return route->num_dbs != 0 ? route->num_dbs : SFI_SHARDS_MAX;
}

#endif
