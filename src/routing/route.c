/*
 * route.c - shard ids of single keys and of whole columns (docs/format/keys.md).
 *
 * The column loops are the hot path of writers: one specialised loop for each kind of column and
 * for each kind of modulus, without branches on the data. CEL is route_cel.c.
 */
#include "routing/routing.h"

#include "base/limits.h"

#include <inttypes.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

void sfi_modulus_init(struct sfi_modulus *modulus, uint32_t n)
{
    modulus->n = n;
    modulus->is_power_of_two = (n & (n - 1)) == 0;
    modulus->reciprocal = UINT64_MAX / n;
}

shardy_status sfi_route_init(struct sfi_route *route, shardy_sharding sharding, uint32_t num_dbs,
                             shardy_error *err)
{
    memset(route, 0, sizeof *route);
    if (sharding == SHARDY_SHARDING_CEL) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "CEL strategy requires cel_expr; give the `cel` options as well");
    }
    if (sharding != SHARDY_SHARDING_HASH) {
        return sfi_fail(err, SHARDY_CONFIG, "Unsupported sharding strategy: %d", (int)sharding);
    }
    if (num_dbs == 0 || num_dbs > SFI_SHARDS_MAX) {
        return sfi_fail(err, SHARDY_CONFIG, "num_dbs must be 1 to %u, got %" PRIu32, SFI_SHARDS_MAX,
                        num_dbs);
    }
    route->sharding = sharding;
    sfi_modulus_init(&route->modulus, num_dbs);
    return SHARDY_OK;
}

shardy_status sfi_route_init_cel(struct sfi_route *route, const shardy_cel_sharding *sharding,
                                 uint32_t num_dbs, shardy_error *err)
{
    memset(route, 0, sizeof *route);
    if (sharding->infer_routing_values && !sharding->has_routing_values) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "infer_routing_values is for writers; give the routing values");
    }
    if (num_dbs == 0 && !sharding->has_routing_values) {
        return sfi_fail(err, SHARDY_CONFIG, "num_dbs must be 1 to %u, got 0", SFI_SHARDS_MAX);
    }
    SFI_RETURN_IF_ERR(sfi_cel_route_new(sharding, num_dbs, &route->cel, err));
    route->sharding = SHARDY_SHARDING_CEL;
    sfi_modulus_init(&route->modulus, route->cel->num_dbs);
    return SHARDY_OK;
}

void sfi_route_clear(struct sfi_route *route)
{
    sfi_cel_route_release(route->cel);
    memset(route, 0, sizeof *route);
}

shardy_status sfi_route_find(const struct sfi_route *route, const shardy_key *key,
                             const shardy_context *context, bool must, uint32_t *db_id,
                             shardy_error *err)
{
    uint64_t digest;
    *db_id = 0;
    if (route->cel != NULL) {
        return sfi_cel_route_one(route->cel, key, context, must, db_id, err);
    }
    if (context != NULL) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "route_with_context requires CEL sharding strategy; this snapshot uses "
                        "hash sharding, so leave the routing context out");
    }
    SFI_RETURN_IF_ERR(shardy_key_digest(key, &digest, err));
    *db_id = sfi_modulo(&route->modulus, digest);
    return SHARDY_OK;
}

shardy_status sfi_route_key(const struct sfi_route *route, const shardy_key *key, uint32_t *db_id,
                            shardy_error *err)
{
    return sfi_route_find(route, key, NULL, true, db_id, err);
}

ALWAYS_INLINE uint32_t shard_of(const struct sfi_modulus *modulus, bool power_of_two,
                                uint64_t digest)
{
    if (power_of_two) {
        return (uint32_t)digest & (modulus->n - 1);
    }
#ifndef __clang__
    /* Keeps gcc -O3 from vectorising the loop around this in pieces, which is a little slower. */
    __asm__("" : "+r"(digest));
#endif
    return sfi_modulo(modulus, digest);
}

ALWAYS_INLINE uint64_t number_at(enum sfi_column_kind kind, const void *values, size_t row)
{
    switch (kind) {
    case SFI_COLUMN_I32:
        return (uint64_t)((const int32_t *)values)[row];
    case SFI_COLUMN_U32:
        return ((const uint32_t *)values)[row];
    default:
        return ((const uint64_t *)values)[row];
    }
}

/* Returns the bits that are set in any number: the sign bit tells of unsigned ones above 2^63-1. */
ALWAYS_INLINE uint64_t route_numbers(struct sfi_modulus modulus, bool power_of_two,
                                     enum sfi_column_kind kind, const void *values, size_t count,
                                     uint32_t *db_ids)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = number_at(kind, values, i);
        seen |= number;
        db_ids[i] = shard_of(&modulus, power_of_two, sfi_digest_u64(number));
    }
    return seen;
}

ALWAYS_INLINE void route_bytes(struct sfi_modulus modulus, bool power_of_two,
                               const struct sfi_column *column, enum sfi_column_kind kind,
                               size_t first, size_t count, uint32_t *db_ids)
{
    struct sfi_column view = *column;
    view.kind = kind;
    for (size_t i = 0; i < count; i++) {
        struct sfi_bytes bytes = sfi_column_bytes(&view, first + i);
        db_ids[i] = shard_of(&modulus, power_of_two, sfi_digest_bytes(bytes.data, bytes.size));
    }
}

ALWAYS_INLINE uint64_t route_any(struct sfi_modulus modulus, bool power_of_two,
                                 const struct sfi_column *column, size_t first, size_t count,
                                 uint32_t *db_ids)
{
    const uint8_t *values = column->values;
    switch (column->kind) {
    case SFI_COLUMN_I32:
        return route_numbers(modulus, power_of_two, SFI_COLUMN_I32, values + first * 4, count,
                             db_ids);
    case SFI_COLUMN_U32:
        return route_numbers(modulus, power_of_two, SFI_COLUMN_U32, values + first * 4, count,
                             db_ids);
    case SFI_COLUMN_I64:
    case SFI_COLUMN_U64:
        return route_numbers(modulus, power_of_two, SFI_COLUMN_U64, values + first * 8, count,
                             db_ids);
    case SFI_COLUMN_VAR32:
        route_bytes(modulus, power_of_two, column, SFI_COLUMN_VAR32, first, count, db_ids);
        return 0;
    case SFI_COLUMN_VAR64:
        route_bytes(modulus, power_of_two, column, SFI_COLUMN_VAR64, first, count, db_ids);
        return 0;
    }
    return 0;
}

static shardy_status fail_range(const uint64_t *numbers, uint64_t row, shardy_error *err)
{
    size_t i = 0;
    while (numbers[i] <= INT64_MAX) {
        i++;
    }
    return sfi_fail(err, SHARDY_INPUT,
                    "row %" PRIu64 ": integer key %" PRIu64 " out of range " SFI_INT_KEY_RANGE,
                    row + i, numbers[i]);
}

static shardy_status route_cel_keys(const struct sfi_cel_route *route,
                                    const struct sfi_column *column, size_t first, size_t count,
                                    uint64_t row_base, uint32_t *db_ids, shardy_error *err)
{
    struct sfi_cel_column keys;
    const struct sfi_cel_rows rows = {&keys, row_base};
    bool missing = false;
    if (!route->is_key_only) {
        return sfi_fail(err, SHARDY_INPUT, "Multi-column CEL sharding requires routing_context");
    }
    SFI_RETURN_IF_ERR(sfi_cel_route_keys(route, column, &keys, err));
    SFI_RETURN_IF_ERR(sfi_cel_route_rows(route, &rows, first, count, db_ids, &missing, err));
    return missing ? sfi_cel_route_fail(route, &rows, first, count, db_ids, err) : SHARDY_OK;
}

shardy_status sfi_route_rows(const struct sfi_route *route, const struct sfi_column *column,
                             size_t first, size_t count, uint64_t row_base, uint32_t *db_ids,
                             shardy_error *err)
{
    if (route->cel != NULL) {
        return route_cel_keys(route->cel, column, first, count, row_base, db_ids, err);
    }
    uint64_t seen = route->modulus.is_power_of_two
                        ? route_any(route->modulus, true, column, first, count, db_ids)
                        : route_any(route->modulus, false, column, first, count, db_ids);
    if (column->kind == SFI_COLUMN_U64 && seen > INT64_MAX) {
        return fail_range((const uint64_t *)column->values + first, row_base + first, err);
    }
    return SHARDY_OK;
}
