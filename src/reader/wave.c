/*
 * wave.c - the lookups of one call on a snapshot of a remote store. Which bytes a lookup misses is
 * known below (shard/remote.h); requests are fetch.h.
 */
#include "reader/wave.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>

/* --- keys --------------------------------------------------------------------------------------
 */

static void name_key(const struct sfi_wave *wave, size_t i, shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    struct sfi_bytes stored = {wave->lookups[i].key, wave->lookups[i].key_size};
    shardy_key key = sfi_key_decode(wave->snapshot->encoding, stored);
    if (wave->many) {
        sfi_key_text(&key, text);
        sfi_error_prefix(err, "key %zu (%s): ", wave->keys[i].at, text);
    }
}

/* Copies of all keys in one block. */
static shardy_status copy_keys(struct sfi_wave *wave, shardy_error *err)
{
    size_t size = 0;
    for (size_t i = 0; i < wave->count; i++) {
        size += wave->lookups[i].key_size;
    }
    wave->key_bytes = sfi_malloc(size);
    if (!wave->key_bytes) {
        return sfi_fail_memory(err, size);
    }
    uint8_t *to = wave->key_bytes;
    for (size_t i = 0; i < wave->count; i++) {
        struct sfi_lookup *lookup = &wave->lookups[i];
        if (lookup->key_size) {
            memcpy(to, lookup->key, lookup->key_size);
        }
        lookup->key = to;
        to += lookup->key_size;
    }
    return SHARDY_OK;
}

shardy_status sfi_wave_init(struct sfi_wave *wave, shardy_snapshot *snapshot,
                            const shardy_key *keys, size_t count, uint32_t where, bool many,
                            bool copy, shardy_error *err)
{
    memset(wave, 0, sizeof *wave);
    wave->snapshot = snapshot;
    wave->many = many;
    if (count == 1) {
        wave->lookups = &wave->one;
        wave->keys = &wave->one_key;
    } else {
        wave->lookups = sfi_calloc(count, sizeof *wave->lookups);
        wave->keys = sfi_calloc(count, sizeof *wave->keys);
    }
    if (!wave->lookups || !wave->keys) {
        return sfi_fail_memory(err, count * (sizeof *wave->lookups + sizeof *wave->keys));
    }
    wave->count = count;
    for (size_t i = 0; i < count; i++) {
        struct sfi_wave_key *key = &wave->keys[i];
        key->at = i;
        shardy_status st = sfi_lookup_prepare(snapshot, &keys[i], where, key->buffer,
                                              &wave->lookups[i], &key->db_id, err);
        if (st != SHARDY_OK) {
            sfi_lookup_name_key(&keys[i], many ? i : SIZE_MAX, err);
            return st;
        }
    }
    return copy ? copy_keys(wave, err) : SHARDY_OK;
}

void sfi_wave_clear(struct sfi_wave *wave)
{
    for (size_t i = 0; wave->lookups && i < wave->count; i++) {
        sfi_free(wave->lookups[i].copy);
    }
    if (wave->lookups != &wave->one) {
        sfi_free(wave->lookups);
        sfi_free(wave->keys);
    }
    sfi_free(wave->key_bytes);
    memset(wave, 0, sizeof *wave);
}

/* --- shards ------------------------------------------------------------------------------------
 */

static int compare_ids(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* The open shard of a lookup, or NULL. */
static struct sfi_open_shard *open_shard(const struct sfi_wave *wave, size_t i)
{
    uint32_t db_id = wave->keys[i].db_id;
    return db_id == SFI_NO_SHARD
               ? &sfi_empty_shard
               : atomic_load_explicit(&wave->snapshot->slots[db_id], memory_order_acquire);
}

/* Ids of the shards that are not open, each once; sfi_free. */
static shardy_status closed_shards(struct sfi_wave *wave, uint32_t **ids, size_t *count,
                                   shardy_error *err)
{
    *count = 0;
    *ids = sfi_array_alloc(wave->count, sizeof **ids);
    if (!*ids) {
        return sfi_fail_memory(err, wave->count * sizeof **ids);
    }
    for (size_t i = 0; i < wave->count; i++) {
        if (!open_shard(wave, i)) {
            (*ids)[(*count)++] = wave->keys[i].db_id;
        }
    }
    qsort(*ids, *count, sizeof **ids, compare_ids);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (!kept || (*ids)[i] != (*ids)[kept - 1]) {
            (*ids)[kept++] = (*ids)[i];
        }
    }
    *count = kept;
    return SHARDY_OK;
}

static void swap_lookups(struct sfi_wave *wave, size_t i, size_t j)
{
    struct sfi_lookup lookup = wave->lookups[i];
    struct sfi_wave_key key = wave->keys[i];
    wave->lookups[i] = wave->lookups[j];
    wave->keys[i] = wave->keys[j];
    wave->lookups[j] = lookup;
    wave->keys[j] = key;
    /* Integer keys lie beside their lookups, unless they were copied. */
    if (!wave->key_bytes) {
        if (wave->lookups[i].key == wave->keys[j].buffer) {
            wave->lookups[i].key = wave->keys[i].buffer;
        }
        if (wave->lookups[j].key == wave->keys[i].buffer) {
            wave->lookups[j].key = wave->keys[j].buffer;
        }
    }
}

/* Every shard is open: give the lookups their readers, those of remote shards first. */
static void assign(struct sfi_wave *wave)
{
    for (size_t i = 0; i < wave->count; i++) {
        const struct sfi_open_shard *shard = open_shard(wave, i);
        wave->lookups[i].shard = shard->reader;
        if (shard->remote) {
            if (i != wave->remote) {
                swap_lookups(wave, i, wave->remote);
            }
            wave->remote++;
        }
    }
}

shardy_status sfi_wave_open(struct sfi_wave *wave, bool block, bool *closed, shardy_error *err)
{
    struct sfi_open_shard *shard;
    uint32_t *ids = NULL;
    size_t count = 0;
    shardy_status st = SHARDY_OK;
    *closed = false;
    for (size_t i = 0; i < wave->count; i++) {
        shard = open_shard(wave, i);
        if (!shard) {
            SFI_TRY(sfi_snapshot_try_shard(wave->snapshot, wave->keys[i].db_id, &shard, err));
            *closed |= !shard;
        }
    }
    if (*closed && !block) {
        return SHARDY_OK;
    }
    if (*closed) {
        SFI_TRY(closed_shards(wave, &ids, &count, err));
        SFI_TRY(sfi_snapshot_open_some(wave->snapshot, ids, count, err));
        *closed = false;
    }
    assign(wave);
out:
    sfi_free(ids);
    return st;
}

/* --- steps -------------------------------------------------------------------------------------
 */

/* Lookups of shards that were downloaded need no waves. */
static shardy_status answer_mapped(struct sfi_wave *wave, shardy_error *err)
{
    size_t failed = 0;
    size_t count = wave->count - wave->remote;
    struct sfi_lookup *lookups = wave->lookups + wave->remote;
    shardy_status st = sfi_lookup_answer(lookups, count, &failed, err);
    if (st != SHARDY_OK) {
        name_key(wave, wave->remote + failed, err);
    }
    return st;
}

static size_t window(const struct sfi_wave *wave)
{
    size_t left = wave->remote - wave->first;
    return left < SFI_WAVE_LOOKUPS ? left : SFI_WAVE_LOOKUPS;
}

static size_t unfinished(const struct sfi_wave *wave, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        left += !wave->lookups[wave->first + i].finished;
    }
    return left;
}

shardy_status sfi_wave_step(struct sfi_wave *wave, struct sfi_wants *wants, bool *finished,
                            bool *progress, shardy_error *err)
{
    size_t failed = 0;
    *progress = false;
    *finished = false;
    wants->count = 0;
    if (!wave->answered) {
        SFI_RETURN_IF_ERR(answer_mapped(wave, err));
        wave->answered = true;
    }
    while (wave->first < wave->remote) {
        size_t count = window(wave);
        size_t before = wave->left ? wave->left : count;
        shardy_status st =
            sfi_remote_advance(wave->lookups + wave->first, count, wants, &failed, err);
        if (st != SHARDY_OK) {
            name_key(wave, wave->first + failed, err);
            return st;
        }
        wave->left = unfinished(wave, count);
        *progress |= wave->left < before;
        if (wave->left) {
            return SHARDY_OK;
        }
        wave->first += count;
    }
    *finished = true;
    return SHARDY_OK;
}

shardy_status sfi_wave_run(struct sfi_wave *wave, shardy_error *err)
{
    struct sfi_fetch fetch = {.fetcher = &wave->snapshot->access->fetcher};
    struct sfi_wants wants = {0};
    bool finished = false;
    bool progress = false;
    shardy_status st = SHARDY_OK;
    SFI_TRY(sfi_wave_open(wave, true, &finished, err));
    for (;;) {
        uint64_t since = sfi_fetch_stamp(fetch.fetcher);
        SFI_TRY(sfi_wave_step(wave, &wants, &finished, &progress, err));
        if (finished) {
            break;
        }
        SFI_TRY(sfi_fetch_wait(&fetch, &wants, since, progress, err));
    }
out:
    sfi_wants_clear(&wants);
    sfi_fetch_clear(&fetch);
    return st;
}

/* --- results -----------------------------------------------------------------------------------
 */

void sfi_wave_take_value(struct sfi_wave *wave, unsigned stripe, shardy_value *value)
{
    struct sfi_lookup *lookup = &wave->lookups[0];
    memset(value, 0, sizeof *value);
    if (lookup->value) {
        value->data = lookup->value;
        value->size = (size_t)lookup->value_size;
        value->owner = wave->snapshot;
        value->copy = lookup->copy;
        value->slot = stripe;
        lookup->copy = NULL;
    }
}

shardy_status sfi_wave_take_items(struct sfi_wave *wave, struct sfi_items_owner *owner,
                                  shardy_error *err)
{
    for (size_t i = 0; i < wave->count; i++) {
        SFI_RETURN_IF_ERR(sfi_items_put(owner, wave->keys[i].at, &wave->lookups[i], err));
    }
    return SHARDY_OK;
}
