/*
 * snapshot.c - one published snapshot, immutable but for its slots: shards are opened on first
 * use, once, whoever asks. The description calls of the public API are here too.
 */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/timestamp.h"
#include "reader/reader_internal.h"

#include <sched.h>

struct sfi_open_shard sfi_empty_shard = {.reader = NULL};

unsigned sfi_stripe(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (unsigned)cpu % SFI_STRIPES;
}

struct sfi_stripes *sfi_stripes_new(void)
{
    struct sfi_stripes *stripes = sfi_calloc(1, sizeof *stripes);
    for (unsigned i = 0; stripes && i < SFI_STRIPES; i++) {
        pthread_mutex_init(&stripes->at[i].lock, NULL);
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
            pthread_mutex_destroy(&stripes->at[i].lock);
        }
        sfi_free(stripes);
    }
}

void sfi_stripes_lock_all(struct sfi_stripes *stripes)
{
    for (unsigned i = 0; i < SFI_STRIPES; i++) {
        pthread_mutex_lock(&stripes->at[i].lock);
    }
}

void sfi_stripes_unlock_all(struct sfi_stripes *stripes)
{
    for (unsigned i = SFI_STRIPES; i-- > 0;) {
        pthread_mutex_unlock(&stripes->at[i].lock);
    }
}

/* --- life --------------------------------------------------------------------------------------
 */

static void open_shard_release(struct sfi_open_shard *shard)
{
    if (shard && shard != &sfi_empty_shard &&
        atomic_fetch_sub_explicit(&shard->refs, 1, memory_order_acq_rel) == 1) {
        sfi_shard_reader_release(shard->reader);
        sfi_free(shard->db_url);
        sfi_free(shard->checkpoint_id);
        sfi_free(shard);
    }
}

static void destroy(shardy_snapshot *snapshot)
{
    for (uint32_t id = 0; snapshot->slots && id < snapshot->num_dbs; id++) {
        open_shard_release(atomic_load_explicit(&snapshot->slots[id], memory_order_relaxed));
    }
    sfi_free((void *)snapshot->slots);
    sfi_free(snapshot->opening);
    shardy_router_free(snapshot->router);
    sfi_manifest_close(snapshot->manifest);
    sfi_store_release(snapshot->store);
    sfi_free(snapshot->ref);
    pthread_mutex_destroy(&snapshot->slots_lock);
    pthread_cond_destroy(&snapshot->slots_changed);
    sfi_stripes_release(snapshot->stripes);
    sfi_free(snapshot);
}

void sfi_snapshot_ref(shardy_snapshot *snapshot, unsigned stripe)
{
    pthread_mutex_lock(&snapshot->stripes->at[stripe].lock);
    snapshot->counts[stripe].refs++;
    pthread_mutex_unlock(&snapshot->stripes->at[stripe].lock);
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
    pthread_mutex_lock(&stripes->at[stripe].lock);
    bool retired = snapshot->retired;
    if (!retired) {
        snapshot->counts[stripe].refs--;
    }
    pthread_mutex_unlock(&stripes->at[stripe].lock);
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

/* CEL snapshots have no router yet; they can be described and scanned. */
static shardy_status make_router(shardy_snapshot *snapshot, const struct sfi_build_meta *meta,
                                 shardy_error *err)
{
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    snapshot->route.sharding = meta->sharding;
    if (meta->sharding != SHARDY_SHARDING_HASH) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_route_init(&snapshot->route, meta->sharding, meta->num_dbs, err));
    options.sharding = meta->sharding;
    options.num_dbs = meta->num_dbs;
    options.key_encoding = meta->key_encoding;
    return shardy_router_from_build_meta(&options, lookup_shard, snapshot->manifest,
                                         &snapshot->router, err);
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
    pthread_mutex_init(&snapshot->slots_lock, NULL);
    pthread_cond_init(&snapshot->slots_changed, NULL);
    snapshot->counts[0].refs = 1;
    snapshot->stripes = options->stripes;
    atomic_fetch_add_explicit(&snapshot->stripes->users, 1, memory_order_relaxed);
    snapshot->observer = *options->observer;
    snapshot->store = sfi_store_acquire(options->store);
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
    SFI_TRY(make_router(snapshot, meta, err));
    *out = snapshot;
out:
    if (st != SHARDY_OK) {
        destroy(snapshot);
    }
    return st;
}

/* --- shards ------------------------------------------------------------------------------------
 */

static shardy_status check_size(const shardy_shard_info *info, const struct sfi_mapping *image,
                                shardy_error *err)
{
    if (info->db_bytes && info->db_bytes != image->size) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: database has %zu bytes, the manifest says %llu",
                        info->db_url, image->size, (unsigned long long)info->db_bytes);
    }
    return SHARDY_OK;
}

/* Compare with the checksum that our writer records; other writers' shards have none. */
static shardy_status check_checksum(const shardy_shard_info *info, const struct sfi_mapping *image,
                                    shardy_error *err)
{
    char actual[SFI_CHECKSUM_SIZE];
    struct sfi_json_doc doc = {0};
    struct sfi_bytes text = {(const uint8_t *)info->writer_info, strlen(info->writer_info)};
    struct sfi_bytes bytes = {image->data, image->size};
    SFI_RETURN_IF_ERR(sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err));
    const struct sfi_json *recorded = sfi_json_member(doc.root, "checksum");
    shardy_status st = SHARDY_OK;
    if (recorded && recorded->kind == SFI_JSON_STRING) {
        sfi_shard_checksum(bytes, actual);
        if (!sfi_json_text_is(recorded->text, actual)) {
            st = sfi_fail(err, SHARDY_CORRUPT, "%s: checksum is %s, the manifest says %.*s",
                          info->db_url, actual, (int)recorded->text.size,
                          (const char *)recorded->text.data);
        }
    }
    sfi_json_clear(&doc);
    return st;
}

static shardy_status map_database(shardy_snapshot *snapshot, const shardy_shard_info *info,
                                  struct sfi_mapping *image, shardy_error *err)
{
    const char *recorded =
        snapshot->relocate ? sfi_manifest_meta(snapshot->manifest)->s3_prefix : NULL;
    char *dir = NULL;
    char *key = NULL;
    shardy_status st = SHARDY_OK;
    SFI_TRY(sfi_store_key_of(snapshot->store, recorded, info->db_url, &dir, err));
    key = sfi_url_join(dir, SFI_SHARD_DB_NAME);
    if (!key) {
        SFI_TRY(sfi_fail_memory(err, SFI_URL_MAX_BYTES));
    }
    st = sfi_store_map(snapshot->store, key, image, err);
    if (st == SHARDY_NOT_FOUND) {
        sfi_error_prefix(err,
                         "shard %u is gone, perhaps cleaned up; refresh the reader: ", info->db_id);
    }
out:
    sfi_free(dir);
    sfi_free(key);
    return st;
}

/* Open the shard an entry describes: map, check, read its interior pages. */
static shardy_status open_described(shardy_snapshot *snapshot, const shardy_shard_info *info,
                                    struct sfi_open_shard **out, shardy_error *err)
{
    struct sfi_mapping image;
    struct sfi_open_shard *shard = NULL;
    shardy_status st = SHARDY_OK;
    memset(&image, 0, sizeof image);
    SFI_TRY(map_database(snapshot, info, &image, err));
    SFI_TRY(check_size(info, &image, err));
    if (snapshot->verify_checksums) {
        SFI_TRY(check_checksum(info, &image, err));
    }
    shard = sfi_calloc(1, sizeof *shard);
    if (!shard) {
        SFI_TRY(sfi_fail_memory(err, sizeof *shard));
    }
    atomic_init(&shard->refs, 1);
    shard->db_bytes = info->db_bytes;
    shard->db_url = sfi_strdup(info->db_url);
    shard->checkpoint_id = sfi_strdup(info->checkpoint_id);
    if (!shard->db_url || (info->checkpoint_id && !shard->checkpoint_id)) {
        SFI_TRY(sfi_fail_memory(err, SFI_URL_MAX_BYTES));
    }
    SFI_TRY(sfi_sqlite_reader_open(&image, info->db_url, &shard->reader, err));
out:
    sfi_mapping_release(&image);
    if (st != SHARDY_OK) {
        open_shard_release(shard);
        shard = NULL;
    }
    *out = shard;
    return st;
}

static bool test_opening(const shardy_snapshot *snapshot, uint32_t db_id)
{
    return snapshot->opening[db_id >> 3] & (1u << (db_id & 7));
}

/* Claim the opening of a shard, or wait for whoever opens it. true: the caller opens. */
static bool claim(shardy_snapshot *snapshot, uint32_t db_id, struct sfi_open_shard **shard)
{
    pthread_mutex_lock(&snapshot->slots_lock);
    for (;;) {
        *shard = atomic_load_explicit(&snapshot->slots[db_id], memory_order_acquire);
        if (*shard || !test_opening(snapshot, db_id)) {
            break;
        }
        pthread_cond_wait(&snapshot->slots_changed, &snapshot->slots_lock);
    }
    if (!*shard) {
        snapshot->opening[db_id >> 3] |= (uint8_t)(1u << (db_id & 7));
    }
    pthread_mutex_unlock(&snapshot->slots_lock);
    return *shard == NULL;
}

/* Store the result of an opening; a failure (NULL) may be tried again by the next caller. */
static void settle(shardy_snapshot *snapshot, uint32_t db_id, struct sfi_open_shard *shard)
{
    pthread_mutex_lock(&snapshot->slots_lock);
    atomic_store_explicit(&snapshot->slots[db_id], shard, memory_order_release);
    snapshot->opening[db_id >> 3] &= (uint8_t) ~(1u << (db_id & 7));
    pthread_cond_broadcast(&snapshot->slots_changed);
    pthread_mutex_unlock(&snapshot->slots_lock);
}

shardy_status sfi_snapshot_open_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                      struct sfi_open_shard **shard, shardy_error *err)
{
    shardy_shard_info info;
    if (!claim(snapshot, db_id, shard)) {
        return SHARDY_OK;
    }
    memset(&info, 0, sizeof info);
    shardy_status st = sfi_manifest_shard(snapshot->manifest, db_id, &info, err);
    if (st == SHARDY_OK) {
        *shard = &sfi_empty_shard;
        if (info.db_url) {
            st = open_described(snapshot, &info, shard, err);
        }
    }
    shardy_shard_info_clear(&info);
    settle(snapshot, db_id, st == SHARDY_OK ? *shard : NULL);
    return st;
}

static bool same_shard(const struct sfi_open_shard *shard, const shardy_shard_info *info)
{
    return info->db_url && strcmp(info->db_url, shard->db_url) == 0 &&
           info->db_bytes == shard->db_bytes && !info->checkpoint_id == !shard->checkpoint_id &&
           (!info->checkpoint_id || strcmp(info->checkpoint_id, shard->checkpoint_id) == 0);
}

shardy_status sfi_snapshot_inherit(shardy_snapshot *snapshot, shardy_snapshot *from,
                                   shardy_error *err)
{
    uint32_t count = snapshot->num_dbs < from->num_dbs ? snapshot->num_dbs : from->num_dbs;
    for (uint32_t id = 0; id < count; id++) {
        struct sfi_open_shard *shard = atomic_load_explicit(&from->slots[id], memory_order_acquire);
        shardy_shard_info info;
        if (!shard || shard == &sfi_empty_shard) {
            continue;
        }
        memset(&info, 0, sizeof info);
        SFI_RETURN_IF_ERR(sfi_manifest_shard(snapshot->manifest, id, &info, err));
        if (same_shard(shard, &info)) {
            atomic_fetch_add_explicit(&shard->refs, 1, memory_order_relaxed);
            atomic_store_explicit(&snapshot->slots[id], shard, memory_order_release);
        }
        shardy_shard_info_clear(&info);
    }
    return SHARDY_OK;
}

static shardy_status open_one(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct sfi_shard_reader *reader;
    (void)worker;
    return sfi_snapshot_shard(arg, (uint32_t)index, &reader, err);
}

shardy_status sfi_snapshot_open_all(shardy_snapshot *snapshot, unsigned threads, shardy_error *err)
{
    return sfi_parallel(threads, snapshot->num_dbs, open_one, snapshot, err);
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
