/*
 * router.c - the public router: which shards a snapshot has, and which of them serves a key.
 *
 * An eager router keeps descriptions of the shards that have data, ascending by id, so that a
 * snapshot of 2^20 mostly empty shards stays small. A lazy one asks its lookup every time.
 */
#include "routing/routing.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/options.h"
#include "routing/shard_info.h"

#include <inttypes.h>

struct shardy_router {
    struct sfi_route route;
    shardy_key_encoding key_encoding;
    shardy_shard_lookup_fn lookup; /* NULL = eager */
    void *lookup_arg;
    shardy_shard_info *shards; /* ascending by db_id */
    size_t shard_count;
};

static shardy_status init_route(const shardy_router_options *options, struct sfi_route *route,
                                shardy_error *err)
{
    bool is_cel = options->sharding == SHARDY_SHARDING_CEL;
    if (!is_cel && options->cel != NULL) {
        return sfi_fail(err, SHARDY_CONFIG, "cel options are only valid with CEL strategy");
    }
    return is_cel && options->cel != NULL
               ? sfi_route_init_cel(route, options->cel, options->num_dbs, err)
               : sfi_route_init(route, options->sharding, options->num_dbs, err);
}

static shardy_status new_router(const shardy_router_options *given, shardy_router **router,
                                shardy_error *err)
{
    shardy_router_options options;
    shardy_router *made;

    *router = NULL;
    SFI_RETURN_IF_ERR(sfi_options_take(given, offsetof(shardy_router_options, cel), &options,
                                       sizeof options, "SHARDY_ROUTER_OPTIONS_INIT", err));
    if ((unsigned)options.key_encoding > SHARDY_KEY_RAW) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "Unsupported key encoding: %d. Allowed: u64be, u32be, utf8, raw",
                        (int)options.key_encoding);
    }
    made = sfi_calloc(1, sizeof *made);
    if (!made) {
        return sfi_fail_memory(err, sizeof *made);
    }
    made->key_encoding = options.key_encoding;
    shardy_status st = init_route(&options, &made->route, err);
    if (st != SHARDY_OK) {
        shardy_router_free(made);
        return st;
    }
    *router = made;
    return SHARDY_OK;
}

/* Positions in `shards` of the last description of every id; SIZE_MAX = none. */
static size_t index_shards(const shardy_shard_info *shards, size_t count, uint32_t num_dbs,
                           size_t *last)
{
    size_t known = 0;
    for (uint32_t id = 0; id < num_dbs; id++) {
        last[id] = SIZE_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        if (shards[i].db_id < num_dbs) {
            known += last[shards[i].db_id] == SIZE_MAX;
            last[shards[i].db_id] = i;
        }
    }
    return known;
}

static shardy_status copy_shards(shardy_router *router, const shardy_shard_info *shards,
                                 size_t count, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    uint32_t num_dbs = router->route.modulus.n;
    size_t *last = sfi_array_alloc(num_dbs, sizeof *last);
    size_t known;

    if (!last) {
        return sfi_fail_memory(err, num_dbs * sizeof *last);
    }
    known = index_shards(shards, count, num_dbs, last);
    router->shards = sfi_array_alloc(known, sizeof *router->shards);
    if (!router->shards) {
        st = sfi_fail_memory(err, known * sizeof *router->shards);
        goto out;
    }
    for (uint32_t id = 0; id < num_dbs; id++) {
        if (last[id] != SIZE_MAX) {
            SFI_TRY(
                sfi_shard_info_copy(&shards[last[id]], &router->shards[router->shard_count], err));
            router->shard_count++;
        }
    }
out:
    sfi_free(last);
    return st;
}

shardy_status shardy_router_new(const shardy_router_options *options,
                                const shardy_shard_info *shards, size_t shard_count,
                                shardy_router **router, shardy_error *err)
{
    shardy_status st;
    shardy_router *made = NULL;

    *router = NULL;
    SFI_TRY(new_router(options, &made, err));
    if (!shards && shard_count > 0) {
        st = sfi_fail(err, SHARDY_CONFIG, "shards is NULL but shard_count is %zu", shard_count);
        goto out;
    }
    if (shard_count > 0) {
        SFI_TRY(copy_shards(made, shards, shard_count, err));
    }
    *router = made;
    made = NULL;
out:
    shardy_router_free(made);
    return st;
}

shardy_status shardy_router_from_build_meta(const shardy_router_options *options,
                                            shardy_shard_lookup_fn lookup, void *arg,
                                            shardy_router **router, shardy_error *err)
{
    *router = NULL;
    if (!lookup) {
        return sfi_fail(err, SHARDY_CONFIG, "shard lookup is NULL; a lazy router needs one");
    }
    SFI_RETURN_IF_ERR(new_router(options, router, err));
    (*router)->lookup = lookup;
    (*router)->lookup_arg = arg;
    return SHARDY_OK;
}

void shardy_router_free(shardy_router *router)
{
    if (!router) {
        return;
    }
    for (size_t i = 0; i < router->shard_count; i++) {
        shardy_shard_info_clear(&router->shards[i]);
    }
    sfi_free(router->shards);
    sfi_route_clear(&router->route);
    sfi_free(router);
}

bool shardy_router_is_lazy(const shardy_router *router)
{
    return router->lookup != NULL;
}

uint32_t shardy_router_num_dbs(const shardy_router *router)
{
    return router->route.modulus.n;
}

const struct sfi_route *sfi_router_route(const shardy_router *router)
{
    return &router->route;
}

const shardy_cel *shardy_router_cel(const shardy_router *router)
{
    return router->route.cel != NULL ? router->route.cel->cel : NULL;
}

bool shardy_router_needs_context(const shardy_router *router)
{
    return router->route.cel != NULL && !router->route.cel->is_key_only;
}

size_t shardy_router_routing_values(const shardy_router *router, const shardy_cel_value **values)
{
    static const shardy_cel_value none = {SHARDY_CEL_NULL, 0, {false}, 0};
    const struct sfi_cel_route *cel = router->route.cel;
    *values = NULL;
    if (cel == NULL || !cel->is_categorical) {
        return 0;
    }
    *values = cel->tokens.count > 0 ? cel->tokens.values : &none;
    return cel->tokens.count;
}

static const shardy_shard_info *find_shard(const shardy_router *router, uint32_t db_id)
{
    size_t low = 0;
    size_t high = router->shard_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (router->shards[middle].db_id < db_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < router->shard_count && router->shards[low].db_id == db_id;
    return found ? &router->shards[low] : NULL;
}

static shardy_status get_eager(const shardy_router *router, uint32_t db_id, shardy_shard_info *info,
                               shardy_error *err)
{
    const shardy_shard_info *known = find_shard(router, db_id);
    shardy_shard_info empty = {.db_id = db_id, .writer_info = "{}"};
    return sfi_shard_info_copy(known ? known : &empty, info, err);
}

/* The lookup is foreign code: it may fail without a message, or answer for another shard. */
static shardy_status get_lazy(const shardy_router *router, uint32_t db_id, shardy_shard_info *info,
                              shardy_error *err)
{
    shardy_error cause = SHARDY_ERROR_INIT;
    shardy_status st = router->lookup(router->lookup_arg, db_id, info, &cause);
    if (st == SHARDY_OK && info->db_id == db_id) {
        return SHARDY_OK;
    }
    if (st == SHARDY_OK) {
        st = sfi_fail(err, SHARDY_CONFIG,
                      "shard lookup gave shard %" PRIu32 " when asked for %" PRIu32, info->db_id,
                      db_id);
    } else if (cause.status == st && err) {
        *err = cause;
    } else {
        (void)sfi_fail(err, st, "shard lookup failed for shard %" PRIu32, db_id);
    }
    shardy_shard_info_clear(info);
    return st;
}

shardy_status shardy_router_get_shard(const shardy_router *router, uint32_t db_id,
                                      shardy_shard_info *info, shardy_error *err)
{
    memset(info, 0, sizeof *info);
    if (db_id >= router->route.modulus.n) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "shard %" PRIu32 " is out of range: the snapshot has %" PRIu32 " shards",
                        db_id, router->route.modulus.n);
    }
    return router->lookup ? get_lazy(router, db_id, info, err)
                          : get_eager(router, db_id, info, err);
}

shardy_status shardy_router_route_with_context(const shardy_router *router,
                                               const shardy_context *context, uint32_t *db_id,
                                               shardy_error *err)
{
    static const shardy_context nothing = {NULL, 0};
    shardy_status st =
        sfi_route_find(&router->route, NULL, context ? context : &nothing, true, db_id, err);
    *db_id = st == SHARDY_OK ? *db_id : 0;
    return st;
}

shardy_status shardy_router_route(const shardy_router *router, const shardy_key *key,
                                  const shardy_context *context, uint32_t *db_id, shardy_error *err)
{
    shardy_status st = sfi_route_find(&router->route, key, context, true, db_id, err);
    *db_id = st == SHARDY_OK ? *db_id : 0;
    return st;
}

shardy_status shardy_router_route_batch(const shardy_router *router,
                                        const struct ArrowSchema *schema,
                                        const struct ArrowArray *array, uint64_t row_base,
                                        uint32_t *db_ids, shardy_error *err)
{
    const struct sfi_cel_route *cel = router->route.cel;
    struct sfi_cel_batch batch = {0};
    bool missing = false;
    shardy_status st;
    if (cel == NULL) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "routing a batch requires CEL sharding strategy; route its key column");
    }
    SFI_TRY(sfi_cel_batch_open(cel->cel, schema, array, NULL, row_base, &batch, err));
    const struct sfi_cel_rows rows = {batch.columns, row_base};
    SFI_TRY(sfi_cel_route_rows(cel, &rows, 0, batch.length, db_ids, &missing, err));
    if (missing) {
        st = sfi_cel_route_fail(cel, &rows, 0, batch.length, db_ids, err);
    }
out:
    sfi_cel_batch_clear(&batch);
    return st;
}

shardy_status shardy_router_route_column(const shardy_router *router,
                                         const struct ArrowSchema *schema,
                                         const struct ArrowArray *array, uint32_t *db_ids,
                                         shardy_error *err)
{
    struct sfi_column column;
    const char *name = schema && schema->release && schema->name ? schema->name : "";
    int64_t length = array && array->release ? array->length : 0;

    SFI_RETURN_IF_ERR(sfi_column_open(schema, array, name, 0, length, 0, &column, err));
    return sfi_route_rows(&router->route, &column, 0, column.length, 0, db_ids, err);
}
