/*
 * snapshot.c - one published snapshot, immutable but for its slots (slots.c). The description calls
 * of the public API are here too.
 */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"
#include "reader/reader_internal.h"

#include <sched.h>

unsigned sfi_stripe(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (unsigned)cpu % SFI_STRIPES;
}

struct sfi_stripes *sfi_stripes_new(void)
{
    struct sfi_stripes *stripes = sfi_calloc(1, sizeof *stripes);
    for (unsigned i = 0; stripes && i < SFI_STRIPES; i++) {
        sfi_mutex_init(&stripes->at[i].lock);
    }
    if (stripes) {
        atomic_init(&stripes->users, 1);
    }
    return stripes;
}

void sfi_stripes_release(struct sfi_stripes *stripes)
{
    if (stripes && atomic_fetch_sub_explicit(&stripes->users, 1, memory_order_acq_rel) == 1) {
        for (unsigned i = 0; i < SFI_STRIPES; i++) {
            sfi_mutex_destroy(&stripes->at[i].lock);
        }
        sfi_free(stripes);
    }
}

void sfi_stripes_lock_all(struct sfi_stripes *stripes)
{
    for (unsigned i = 0; i < SFI_STRIPES; i++) {
        sfi_mutex_lock_plain(&stripes->at[i].lock);
    }
}

void sfi_stripes_unlock_all(struct sfi_stripes *stripes)
{
    for (unsigned i = SFI_STRIPES; i-- > 0;) {
        sfi_mutex_unlock_plain(&stripes->at[i].lock);
    }
}

/* --- life --------------------------------------------------------------------------------------
 */

static void destroy(shardy_snapshot *snapshot)
{
    sfi_slots_lock(snapshot);
    sfi_mutex_unlock(&snapshot->slots_lock);
    for (uint32_t id = 0; snapshot->slots && id < snapshot->num_dbs; id++) {
        sfi_open_shard_release(atomic_load_explicit(&snapshot->slots[id], memory_order_relaxed));
    }
    sfi_free((void *)snapshot->slots);
    sfi_free(snapshot->opening);
    shardy_router_free(snapshot->router);
    sfi_route_clear(&snapshot->route);
    sfi_manifest_close(snapshot->manifest);
    sfi_store_release(snapshot->store);
    sfi_access_release(snapshot->access);
    sfi_free(snapshot->ref);
    sfi_mutex_destroy(&snapshot->slots_lock);
    pthread_cond_destroy(&snapshot->slots_changed);
    sfi_stripes_release(snapshot->stripes);
    sfi_free(snapshot);
}

void sfi_snapshot_ref(shardy_snapshot *snapshot, unsigned stripe)
{
    sfi_mutex_lock_plain(&snapshot->stripes->at[stripe].lock);
    snapshot->counts[stripe].refs++;
    sfi_mutex_unlock_plain(&snapshot->stripes->at[stripe].lock);
}

/*
 * Until a snapshot is retired its reader holds a reference, so a count that falls here is never the
 * last. Afterwards the decrement happens under all locks, so that exactly one thread sees the sum
 * reach zero, and nobody touches the snapshot after it.
 */
void sfi_snapshot_unref(shardy_snapshot *snapshot, unsigned stripe)
{
    struct sfi_stripes *stripes = snapshot->stripes;
    size_t refs = 0;
    sfi_mutex_lock_plain(&stripes->at[stripe].lock);
    bool retired = snapshot->retired;
    if (!retired) {
        snapshot->counts[stripe].refs--;
    }
    sfi_mutex_unlock_plain(&stripes->at[stripe].lock);
    if (!retired) {
        return;
    }
    sfi_stripes_lock_all(stripes);
    snapshot->counts[stripe].refs--;
    for (unsigned i = 0; i < SFI_STRIPES; i++) {
        refs += snapshot->counts[i].refs;
    }
    sfi_stripes_unlock_all(stripes);
    if (refs == 0) {
        destroy(snapshot);
    }
}

void sfi_snapshot_retire(shardy_snapshot *snapshot)
{
    sfi_stripes_lock_all(snapshot->stripes);
    snapshot->retired = true;
    sfi_stripes_unlock_all(snapshot->stripes);
    sfi_snapshot_unref(snapshot, 0);
}

static shardy_status lookup_shard(void *arg, uint32_t db_id, shardy_shard_info *info,
                                  shardy_error *err)
{
    return sfi_manifest_shard(arg, db_id, info, err);
}

static shardy_status make_router(shardy_snapshot *snapshot, const struct sfi_build_meta *meta,
                                 shardy_error *err)
{
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    struct sfi_bytes text = {(const uint8_t *)meta->sharding_json, strlen(meta->sharding_json)};
    struct sfi_sharding sharding;
    shardy_status st;
    SFI_RETURN_IF_ERR(sfi_sharding_parse(text, meta->num_dbs, &sharding, err));
    options.sharding = meta->sharding;
    options.num_dbs = meta->num_dbs;
    options.key_encoding = meta->key_encoding;
    options.cel = meta->sharding == SHARDY_SHARDING_CEL ? &sharding.cel : NULL;
    SFI_TRY(shardy_router_from_build_meta(&options, lookup_shard, snapshot->manifest,
                                          &snapshot->router, err));
    snapshot->route = sfi_route_share(sfi_router_route(snapshot->router));
out:
    sfi_sharding_clear(&sharding);
    return st;
}

/* Whether sidecars may exist: builders say so in the manifest's custom fields (spec 03 4.10). */
static shardy_status find_sidecars(shardy_snapshot *snapshot, const struct sfi_build_meta *meta,
                                   shardy_error *err)
{
    struct sfi_json_doc doc = {0};
    struct sfi_bytes text = {(const uint8_t *)meta->custom_json, strlen(meta->custom_json)};
    SFI_RETURN_IF_ERR(sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err));
    snapshot->sidecars = sfi_json_member(doc.root, "sqlite_sidecar") != NULL;
    sfi_json_clear(&doc);
    return SHARDY_OK;
}

shardy_status sfi_snapshot_new(const struct sfi_snapshot_options *options,
                               struct sfi_manifest *manifest, const struct sfi_ref *ref,
                               shardy_snapshot **out, shardy_error *err)
{
    const struct sfi_build_meta *meta = sfi_manifest_meta(manifest);
    shardy_snapshot *snapshot = sfi_calloc(1, sizeof *snapshot);
    shardy_status st = SHARDY_OK;
    *out = NULL;
    if (!snapshot) {
        sfi_manifest_close(manifest);
        return sfi_fail_memory(err, sizeof *snapshot);
    }
    sfi_mutex_init(&snapshot->slots_lock);
    pthread_cond_init(&snapshot->slots_changed, NULL);
    snapshot->counts[0].refs = 1;
    snapshot->stripes = options->stripes;
    atomic_fetch_add_explicit(&snapshot->stripes->users, 1, memory_order_relaxed);
    snapshot->observer = *options->observer;
    snapshot->store = sfi_store_acquire(options->store);
    snapshot->access = options->access ? sfi_access_acquire(options->access) : NULL;
    snapshot->relocate = options->relocate;
    snapshot->verify_checksums = options->verify_checksums;
    snapshot->manifest = manifest;
    snapshot->num_dbs = meta->num_dbs;
    snapshot->encoding = meta->key_encoding;
    snapshot->published_at_us = ref->published_at_us;
    snapshot->opened_us = sfi_monotonic_us();
    snapshot->ref = sfi_strdup(ref->ref);
    snapshot->slots = sfi_calloc(meta->num_dbs, sizeof *snapshot->slots);
    snapshot->opening = sfi_calloc((size_t)meta->num_dbs / 8 + 1, 1);
    if (!snapshot->ref || !snapshot->slots || !snapshot->opening) {
        SFI_TRY(sfi_fail_memory(err, meta->num_dbs * sizeof *snapshot->slots));
    }
    if (snapshot->access) {
        SFI_TRY(find_sidecars(snapshot, meta, err));
    }
    SFI_TRY(make_router(snapshot, meta, err));
    *out = snapshot;
out:
    if (st != SHARDY_OK) {
        destroy(snapshot);
    }
    return st;
}

/* --- public ------------------------------------------------------------------------------------
 */

void shardy_snapshot_release(shardy_snapshot *snapshot)
{
    if (snapshot) {
        /* Public handles are always counted in stripe 0: they may be dropped by any thread. */
        sfi_snapshot_unref(snapshot, 0);
    }
}

const shardy_router *shardy_snapshot_router(shardy_snapshot *snapshot)
{
    return snapshot->router;
}

shardy_status shardy_snapshot_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                    shardy_shard_info *info, shardy_error *err)
{
    memset(info, 0, sizeof *info);
    if (db_id >= snapshot->num_dbs) {
        return sfi_fail(err, SHARDY_CONFIG, "shard %u is out of range, the snapshot has %u", db_id,
                        snapshot->num_dbs);
    }
    return sfi_manifest_shard(snapshot->manifest, db_id, info, err);
}

shardy_status shardy_snapshot_describe(shardy_snapshot *snapshot, shardy_snapshot_info *info,
                                       shardy_error *err)
{
    const struct sfi_build_meta *meta = sfi_manifest_meta(snapshot->manifest);
    const char *texts[] = {meta->run_id,  snapshot->ref,       meta->s3_prefix,
                           meta->key_col, meta->sharding_json, meta->custom_json};
    const char **fields[] = {&info->run_id,  &info->manifest_ref,  &info->s3_prefix,
                             &info->key_col, &info->sharding_json, &info->custom_json};
    size_t size = 0;
    memset(info, 0, sizeof *info);
    SFI_RETURN_IF_ERR(sfi_manifest_row_count(snapshot->manifest, &info->row_count, err));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size += strlen(texts[i]) + 1;
    }
    char *at = sfi_malloc(size);
    if (!at) {
        return sfi_fail_memory(err, size);
    }
    info->owner = at;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t n = strlen(texts[i]) + 1;
        *fields[i] = memcpy(at, texts[i], n);
        at += n;
    }
    info->num_dbs = meta->num_dbs;
    info->sharding = meta->sharding;
    info->key_encoding = meta->key_encoding;
    info->created_at_us = meta->created_at_us;
    info->published_at_us = snapshot->published_at_us;
    return SHARDY_OK;
}
