/*
 * routing.h - from keys to shard ids. HASH: XXH3-64 of the canonical bytes modulo the number of
 * shards. CEL: route_cel.h.
 */
#ifndef SFI_ROUTING_ROUTING_H
#define SFI_ROUTING_ROUTING_H

#include "key/key.h"
#include "routing/route_cel.h"

#include <shardyfusion/router.h>

/*
 * x mod n for a fixed n of 1 .. 2^32-1 without a division: the quotient by `reciprocal`, which is
 * floor((2^64-1) / n), is exact or one too small, so one conditional subtraction corrects it. (The
 * 128-bit form of Lemire, Kaser and Kurz needs no correction but four multiplications, not two.)
 */
struct sfi_modulus {
    uint32_t n;
    bool is_power_of_two;
    uint64_t reciprocal;
};

void sfi_modulus_init(struct sfi_modulus *modulus, uint32_t n);
static inline uint32_t sfi_modulo(const struct sfi_modulus *modulus, uint64_t x);

/* The part of a router that routes. */
struct sfi_route {
    shardy_sharding sharding;
    struct sfi_modulus modulus; /* n is the number of shards, of CEL as well */
    struct sfi_cel_route *cel;  /* CEL; counted */
};

/* HASH. CONFIG: num_dbs is not 1 .. SFI_SHARDS_MAX, or another strategy. */
shardy_status sfi_route_init(struct sfi_route *route, shardy_sharding sharding, uint32_t num_dbs,
                             shardy_error *err);
/* CEL; with routing values num_dbs may be 0. CONFIG, LIMIT, NO_MEMORY. */
shardy_status sfi_route_init_cel(struct sfi_route *route, const shardy_cel_sharding *sharding,
                                 uint32_t num_dbs, shardy_error *err);
void sfi_route_clear(struct sfi_route *route);
/* Another reference to the same route, to be cleared as well. */
static inline struct sfi_route sfi_route_share(const struct sfi_route *route)
{
    if (route->cel != NULL) {
        (void)sfi_cel_route_acquire(route->cel);
    }
    return *route;
}

/* Shard of a key that must have one. INPUT; ASSIGNMENT: CEL sends it to no shard. */
shardy_status sfi_route_key(const struct sfi_route *route, const shardy_key *key, uint32_t *db_id,
                            shardy_error *err);
/*
 * The same, by a context unless that is NULL, and SFI_NO_SHARD instead of ASSIGNMENT unless `must`.
 * CONFIG: a context with HASH.
 */
shardy_status sfi_route_find(const struct sfi_route *route, const shardy_key *key,
                             const shardy_context *context, bool must, uint32_t *db_id,
                             shardy_error *err);
/*
 * Route rows first .. first+count of a column. `row_base` is the number of the column's row 0 in
 * messages (INPUT names row and value). `db_ids` holds no promise after a failure.
 */
shardy_status sfi_route_rows(const struct sfi_route *route, const struct sfi_column *column,
                             size_t first, size_t count, uint64_t row_base, uint32_t *db_ids,
                             shardy_error *err);

const struct sfi_route *sfi_router_route(const shardy_router *router);

#include "routing/routing_inline.h"

#endif
