/*
 * slots.c - shards of a snapshot are opened on first use, once, whoever asks. Objects of local
 * stores are mapped. Those of remote stores are downloaded and mapped, or read by ranges: then
 * opening asks nobody, and lookups say what they miss (wave.c).
 */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "reader/reader_internal.h"
#include "shard/sidecar.h"

struct sfi_open_shard sfi_empty_shard = {.reader = NULL};

void sfi_open_shard_release(struct sfi_open_shard *shard)
{
    if (shard && shard != &sfi_empty_shard &&
        atomic_fetch_sub_explicit(&shard->refs, 1, memory_order_acq_rel) == 1) {
        if (shard->remote) {
            sfi_remote_shard_release(shard->remote);
        } else {
            sfi_shard_reader_release(shard->reader);
        }
        sfi_free(shard->db_url);
        sfi_free(shard->checkpoint_id);
        sfi_free(shard);
    }
}

/* A shard on its way to being open. */
struct opening {
    shardy_snapshot *snapshot;
    const shardy_shard_info *info;
    char *db_key;
    uint64_t size;
    char etag[SFI_ETAG_SIZE]; /* known when the size had to be asked for */
    struct sfi_shard_notes notes;
    struct sfi_open_shard *shard;
};

static shardy_status gone(const struct opening *opening, shardy_status st, shardy_error *err)
{
    if (st == SHARDY_NOT_FOUND) {
        sfi_error_prefix(err, "shard %u is gone, perhaps cleaned up; refresh the reader: ",
                         opening->info->db_id);
    }
    return st;
}

/* Key of an object of the shard, sfi_free'd by the caller. */
static shardy_status object_key(const struct opening *opening, const char *name, char **key,
                                shardy_error *err)
{
    const shardy_snapshot *snapshot = opening->snapshot;
    const char *recorded =
        snapshot->relocate ? sfi_manifest_meta(snapshot->manifest)->s3_prefix : NULL;
    char *dir = NULL;
    *key = NULL;
    SFI_RETURN_IF_ERR(
        sfi_store_key_of(snapshot->store, recorded, opening->info->db_url, &dir, err));
    *key = sfi_url_join(dir, name);
    sfi_free(dir);
    return *key ? SHARDY_OK : sfi_fail_memory(err, SFI_URL_MAX_BYTES);
}

/* --- mapped ------------------------------------------------------------------------------------
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
static shardy_status check_checksum(const struct opening *opening, const struct sfi_mapping *image,
                                    shardy_error *err)
{
    const char *recorded = opening->notes.checksum;
    char actual[SFI_CHECKSUM_SIZE];
    struct sfi_bytes bytes = {image->data, image->size};
    if (!recorded[0]) {
        return SHARDY_OK;
    }
    sfi_shard_checksum(bytes, actual);
    if (strcmp(recorded, actual) != 0) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: checksum is %s, the manifest says %s",
                        opening->info->db_url, actual, recorded);
    }
    return SHARDY_OK;
}

static shardy_status open_mapped(struct opening *opening, shardy_error *err)
{
    const shardy_shard_info *info = opening->info;
    struct sfi_mapping image;
    memset(&image, 0, sizeof image);
    shardy_status st = SHARDY_OK;
    SFI_TRY(
        gone(opening, sfi_store_map(opening->snapshot->store, opening->db_key, &image, err), err));
    SFI_TRY(check_size(info, &image, err));
    if (opening->snapshot->verify_checksums) {
        SFI_TRY(sfi_shard_notes(info, &opening->notes, err));
        SFI_TRY(check_checksum(opening, &image, err));
    }
    SFI_TRY(sfi_sqlite_reader_open(&image, info->db_url, &opening->shard->reader, err));
out:
    sfi_mapping_release(&image);
    return st;
}

/* --- remote ------------------------------------------------------------------------------------
 */

static shardy_status open_download(struct opening *opening, shardy_error *err)
{
    const struct sfi_download_identity identity = {
        .db_url = opening->info->db_url,
        .checkpoint_id = opening->info->checkpoint_id,
        .size = opening->size,
        .checksum = opening->notes.checksum,
        .etag = opening->etag,
    };
    shardy_snapshot *snapshot = opening->snapshot;
    struct sfi_mapping image;
    memset(&image, 0, sizeof image);
    SFI_RETURN_IF_ERR(gone(opening,
                           sfi_download_open(snapshot->access->downloads, snapshot->store,
                                             opening->db_key, &identity, &image, err),
                           err));
    opening->shard->downloaded = true;
    return sfi_sqlite_reader_open(&image, opening->info->db_url, &opening->shard->reader, err);
}

static shardy_status open_ranges(struct opening *opening, shardy_error *err)
{
    const struct sfi_remote_options options = {
        .name = opening->info->db_url,
        .size = opening->size,
        .page_size = opening->notes.page_size,
        .tail_pages = opening->notes.tail_pages,
        .try_sidecar = opening->snapshot->sidecars,
    };
    char *sidecar_key;
    SFI_RETURN_IF_ERR(object_key(opening, SFI_SIDECAR_NAME, &sidecar_key, err));
    char *db_key = opening->db_key;
    opening->db_key = NULL;
    SFI_RETURN_IF_ERR(sfi_remote_shard_new(&opening->snapshot->access->fetcher,
                                           opening->info->db_id, db_key, sidecar_key, &options,
                                           &opening->shard->remote, err));
    opening->shard->reader = opening->shard->remote->reader;
    return SHARDY_OK;
}

/* Whether to download; when so, the bytes are counted for AUTO's total. */
static bool choose_download(shardy_snapshot *snapshot, uint64_t size)
{
    const struct sfi_access *access = snapshot->access;
    if (access->mode == SHARDY_ACCESS_RANGE ||
        (access->mode == SHARDY_ACCESS_AUTO && size >= access->auto_shard_bytes)) {
        return false;
    }
    uint64_t before = atomic_fetch_add(&snapshot->downloaded, size);
    if (access->mode == SHARDY_ACCESS_AUTO && before + size > access->auto_total_bytes) {
        atomic_fetch_sub(&snapshot->downloaded, size);
        return false;
    }
    return true;
}

/* Nothing is opened when that takes a request and the caller must not block: *closed. */
static shardy_status open_remote(struct opening *opening, bool block, bool *closed,
                                 shardy_error *err)
{
    shardy_snapshot *snapshot = opening->snapshot;
    if (!opening->size && !block) {
        *closed = true;
        return SHARDY_OK;
    }
    if (!opening->size) {
        SFI_RETURN_IF_ERR(gone(
            opening,
            sfi_store_head(snapshot->store, opening->db_key, &opening->size, opening->etag, err),
            err));
    }
    SFI_RETURN_IF_ERR(sfi_shard_notes(opening->info, &opening->notes, err));
    if (!choose_download(snapshot, opening->size)) {
        return open_ranges(opening, err);
    }
    if (!block) {
        atomic_fetch_sub(&snapshot->downloaded, opening->size);
        *closed = true;
        return SHARDY_OK;
    }
    shardy_status st = open_download(opening, err);
    if (st == SHARDY_OK) {
        return st;
    }
    atomic_fetch_sub(&snapshot->downloaded, opening->size);
    opening->shard->downloaded = false;
    if (st != SHARDY_IO || snapshot->access->mode != SHARDY_ACCESS_AUTO) {
        return st;
    }
    sfi_log(&snapshot->observer, SHARDY_LOG_WARNING, "reader", "reader_download_failed",
            SFI_FIELDS(sfi_field_int("db_id", opening->info->db_id),
                       sfi_field_str("error", err ? err->message : "")));
    return open_ranges(opening, err);
}

/* --- slots -------------------------------------------------------------------------------------
 */

/* Open the shard an entry describes. NULL, without failure: see open_remote. */
static shardy_status open_described(shardy_snapshot *snapshot, const shardy_shard_info *info,
                                    bool block, struct sfi_open_shard **out, shardy_error *err)
{
    struct opening opening = {.snapshot = snapshot, .info = info, .size = info->db_bytes};
    struct sfi_open_shard *shard = sfi_calloc(1, sizeof *shard);
    shardy_error error = SHARDY_ERROR_INIT; /* open_remote looks at what it is told */
    bool closed = false;
    shardy_status st = SHARDY_OK;
    *out = NULL;
    if (!shard) {
        return sfi_fail_memory(err, sizeof *shard);
    }
    opening.shard = shard;
    atomic_init(&shard->refs, 1);
    shard->db_bytes = info->db_bytes;
    shard->db_url = sfi_strdup(info->db_url);
    shard->checkpoint_id = sfi_strdup(info->checkpoint_id);
    if (!shard->db_url || (info->checkpoint_id && !shard->checkpoint_id)) {
        SFI_TRY(sfi_fail_memory(&error, SFI_URL_MAX_BYTES));
    }
    SFI_TRY(object_key(&opening, SFI_SHARD_DB_NAME, &opening.db_key, &error));
    SFI_TRY(snapshot->access ? open_remote(&opening, block, &closed, &error)
                             : open_mapped(&opening, &error));
out:
    sfi_free(opening.db_key);
    if (st != SHARDY_OK || closed) {
        sfi_open_shard_release(shard);
        shard = NULL;
    }
    if (st != SHARDY_OK && err) {
        *err = error;
    }
    *out = shard;
    return st;
}

void sfi_slots_lock(shardy_snapshot *snapshot)
{
    if (sfi_mutex_lock(&snapshot->slots_lock)) {
        if (snapshot->opening) {
            memset(snapshot->opening, 0, (size_t)snapshot->num_dbs / 8 + 1);
        }
        pthread_cond_init(&snapshot->slots_changed, NULL);
    }
}

static bool test_opening(const shardy_snapshot *snapshot, uint32_t db_id)
{
    return snapshot->opening[db_id >> 3] & (1u << (db_id & 7));
}

/* Claim the opening of a shard, or wait for whoever opens it. true: the caller opens. */
static bool claim(shardy_snapshot *snapshot, uint32_t db_id, bool block,
                  struct sfi_open_shard **shard)
{
    sfi_slots_lock(snapshot);
    for (;;) {
        *shard = atomic_load_explicit(&snapshot->slots[db_id], memory_order_acquire);
        if (*shard || !test_opening(snapshot, db_id)) {
            break;
        }
        if (!block) {
            sfi_mutex_unlock(&snapshot->slots_lock);
            return false;
        }
        sfi_mutex_wait(&snapshot->slots_lock, &snapshot->slots_changed);
    }
    if (!*shard) {
        snapshot->opening[db_id >> 3] |= (uint8_t)(1u << (db_id & 7));
    }
    sfi_mutex_unlock(&snapshot->slots_lock);
    return *shard == NULL;
}

/* Store the result of an opening; a failure (NULL) may be tried again by the next caller. */
static void settle(shardy_snapshot *snapshot, uint32_t db_id, struct sfi_open_shard *shard)
{
    sfi_slots_lock(snapshot);
    atomic_store_explicit(&snapshot->slots[db_id], shard, memory_order_release);
    snapshot->opening[db_id >> 3] &= (uint8_t) ~(1u << (db_id & 7));
    pthread_cond_broadcast(&snapshot->slots_changed);
    sfi_mutex_unlock(&snapshot->slots_lock);
}

static shardy_status open_slot(shardy_snapshot *snapshot, uint32_t db_id, bool block,
                               struct sfi_open_shard **shard, shardy_error *err)
{
    shardy_shard_info info;
    if (!claim(snapshot, db_id, block, shard)) {
        return SHARDY_OK;
    }
    memset(&info, 0, sizeof info);
    shardy_status st = sfi_manifest_shard(snapshot->manifest, db_id, &info, err);
    if (st == SHARDY_OK) {
        *shard = &sfi_empty_shard;
        if (info.db_url) {
            st = open_described(snapshot, &info, block, shard, err);
        }
    }
    shardy_shard_info_clear(&info);
    settle(snapshot, db_id, st == SHARDY_OK ? *shard : NULL);
    return st;
}

shardy_status sfi_snapshot_open_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                      struct sfi_open_shard **shard, shardy_error *err)
{
    return open_slot(snapshot, db_id, true, shard, err);
}

shardy_status sfi_snapshot_try_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                     struct sfi_open_shard **shard, shardy_error *err)
{
    return open_slot(snapshot, db_id, snapshot->access == NULL, shard, err);
}

/* --- several -----------------------------------------------------------------------------------
 */

static bool same_shard(const struct sfi_open_shard *shard, const shardy_shard_info *info)
{
    return info->db_url && strcmp(info->db_url, shard->db_url) == 0 &&
           info->db_bytes == shard->db_bytes && !info->checkpoint_id == !shard->checkpoint_id &&
           (!info->checkpoint_id || strcmp(info->checkpoint_id, shard->checkpoint_id) == 0);
}

static bool is_replaced(const struct sfi_open_shard *shard)
{
    return shard && shard->remote && atomic_load(&shard->remote->replaced);
}

bool sfi_snapshot_replaced(shardy_snapshot *snapshot)
{
    for (uint32_t id = 0; snapshot->access && id < snapshot->num_dbs; id++) {
        if (is_replaced(atomic_load_explicit(&snapshot->slots[id], memory_order_acquire))) {
            return true;
        }
    }
    return false;
}

shardy_status sfi_snapshot_inherit(shardy_snapshot *snapshot, shardy_snapshot *from,
                                   shardy_error *err)
{
    uint32_t count = snapshot->num_dbs < from->num_dbs ? snapshot->num_dbs : from->num_dbs;
    for (uint32_t id = 0; id < count; id++) {
        struct sfi_open_shard *shard = atomic_load_explicit(&from->slots[id], memory_order_acquire);
        shardy_shard_info info;
        if (!shard || shard == &sfi_empty_shard || is_replaced(shard)) {
            continue;
        }
        memset(&info, 0, sizeof info);
        SFI_RETURN_IF_ERR(sfi_manifest_shard(snapshot->manifest, id, &info, err));
        if (same_shard(shard, &info)) {
            atomic_fetch_add_explicit(&shard->refs, 1, memory_order_relaxed);
            atomic_store_explicit(&snapshot->slots[id], shard, memory_order_release);
            atomic_fetch_add(&snapshot->downloaded, shard->downloaded ? shard->db_bytes : 0);
        }
        shardy_shard_info_clear(&info);
    }
    return SHARDY_OK;
}

struct some {
    shardy_snapshot *snapshot;
    const uint32_t *db_ids; /* NULL: the index is the id */
};

static shardy_status open_one(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    const struct some *some = arg;
    struct sfi_shard_reader *reader;
    (void)worker;
    return sfi_snapshot_shard(some->snapshot, some->db_ids ? some->db_ids[index] : (uint32_t)index,
                              &reader, err);
}

shardy_status sfi_snapshot_open_some(shardy_snapshot *snapshot, const uint32_t *db_ids,
                                     size_t count, shardy_error *err)
{
    struct some some = {snapshot, db_ids};
    return sfi_parallel(SFI_OPEN_PARALLEL, count, open_one, &some, err);
}

/* What the shards from `first` on miss to be open; *left counts those that are not. */
static shardy_status prepare_some(shardy_snapshot *snapshot, uint32_t first, uint32_t count,
                                  struct sfi_wants *wants, uint32_t *left, shardy_error *err)
{
    *left = 0;
    for (uint32_t id = first; id < first + count; id++) {
        const struct sfi_open_shard *shard = atomic_load(&snapshot->slots[id]);
        bool ready = true;
        if (shard->remote) {
            SFI_RETURN_IF_ERR(sfi_remote_prepare(shard->reader, wants, &ready, err));
        }
        *left += !ready;
    }
    return SHARDY_OK;
}

/* Read the navigation pages of open shards: a few waves for all of them. */
static shardy_status prepare_batch(shardy_snapshot *snapshot, uint32_t first, uint32_t count,
                                   shardy_error *err)
{
    struct sfi_fetch fetch = {.fetcher = &snapshot->access->fetcher};
    struct sfi_wants wants = {0};
    uint32_t left = 0;
    uint32_t before = count;
    shardy_status st = SHARDY_OK;
    for (;;) {
        uint64_t since = sfi_fetch_stamp(fetch.fetcher);
        wants.count = 0;
        SFI_TRY(prepare_some(snapshot, first, count, &wants, &left, err));
        if (!left) {
            break;
        }
        SFI_TRY(sfi_fetch_wait(&fetch, &wants, since, left < before, err));
        before = left;
    }
out:
    sfi_wants_clear(&wants);
    sfi_fetch_clear(&fetch);
    return st;
}

shardy_status sfi_snapshot_open_slots(shardy_snapshot *snapshot, unsigned threads,
                                      shardy_error *err)
{
    struct some some = {snapshot, NULL};
    return sfi_parallel(snapshot->access ? SFI_OPEN_PARALLEL : threads, snapshot->num_dbs, open_one,
                        &some, err);
}

shardy_status sfi_snapshot_open_all(shardy_snapshot *snapshot, unsigned threads, shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_snapshot_open_slots(snapshot, threads, err));
    for (uint32_t first = 0; snapshot->access && first < snapshot->num_dbs;
         first += SFI_OPEN_BATCH) {
        uint32_t left = snapshot->num_dbs - first;
        SFI_RETURN_IF_ERR(
            prepare_batch(snapshot, first, left < SFI_OPEN_BATCH ? left : SFI_OPEN_BATCH, err));
    }
    return SHARDY_OK;
}
