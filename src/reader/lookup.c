/*
 * lookup.c - from keys to values on one snapshot: encode, route, open the shards concerned, look
 * up. One key is a batch of one.
 */
#include "base/memory.h"
#include "base/timestamp.h"
#include "reader/reader_internal.h"
#include "reader/wave.h"

/* Keys prepared at a time: their lookups stay on the stack and in the cache. */
#define CHUNK 128u

shardy_status sfi_lookup_where(shardy_snapshot *snapshot, const shardy_context *context,
                               uint32_t *where, shardy_error *err)
{
    *where = SFI_BY_KEY;
    return context ? sfi_route_find(&snapshot->route, NULL, context, false, where, err) : SHARDY_OK;
}

/* See sfi_lookup_prepare; inlined into the loop over a batch. With hash sharding `where` is always
 * SFI_BY_KEY. */
static inline shardy_status encode(shardy_snapshot *snapshot, const shardy_key *key, uint32_t where,
                                   uint8_t buffer[8], struct sfi_lookup *lookup, uint32_t *db_id,
                                   shardy_error *err)
{
    const void *data;
    size_t size;
    if (snapshot->encoding == SHARDY_KEY_U64BE && key->kind <= SHARDY_KIND_UINT &&
        key->number <= INT64_MAX && !snapshot->route.cel) {
        *db_id = sfi_modulo(&snapshot->route.modulus, sfi_digest_u64(key->number));
        sfi_put_u64be(buffer, key->number);
        lookup->key = buffer;
        lookup->key_size = 8;
        lookup->prefix = key->number;
    } else {
        *db_id = where;
        if (where == SFI_BY_KEY) {
            SFI_RETURN_IF_ERR(sfi_route_find(&snapshot->route, key, NULL, false, db_id, err));
        }
        SFI_RETURN_IF_ERR(shardy_key_encode(key, snapshot->encoding, buffer, &data, &size, err));
        lookup->key = data;
        lookup->key_size = (uint32_t)size;
        lookup->prefix = sfi_key_prefix(data, size);
    }
    return SHARDY_OK;
}

shardy_status sfi_lookup_prepare(shardy_snapshot *snapshot, const shardy_key *key, uint32_t where,
                                 uint8_t buffer[8], struct sfi_lookup *lookup, uint32_t *db_id,
                                 shardy_error *err)
{
    return encode(snapshot, key, where, buffer, lookup, db_id, err);
}

static shardy_status prepare(shardy_snapshot *snapshot, const shardy_key *key, uint32_t where,
                             uint8_t buffer[8], struct sfi_lookup *lookup, shardy_error *err)
{
    uint32_t db_id;
    SFI_RETURN_IF_ERR(encode(snapshot, key, where, buffer, lookup, &db_id, err));
    if (__builtin_expect(db_id == SFI_NO_SHARD, 0)) {
        lookup->shard = NULL;
        return SHARDY_OK;
    }
    return sfi_snapshot_shard(snapshot, db_id, &lookup->shard, err);
}

/* Every shard reader shares one table today; a snapshot of several formats groups by table. */
static shardy_status answer(struct sfi_lookup *lookups, size_t count, size_t *failed,
                            shardy_error *err)
{
    const struct sfi_shard_reader_ops *ops = NULL;
    for (size_t i = 0; i < count && !ops; i++) {
        ops = lookups[i].shard ? lookups[i].shard->ops : NULL;
        lookups[i].value = NULL;
        lookups[i].copy = NULL;
    }
    return ops ? ops->get(lookups, count, failed, err) : SHARDY_OK;
}

shardy_status sfi_lookup_answer(struct sfi_lookup *lookups, size_t count, size_t *failed,
                                shardy_error *err)
{
    for (size_t i = 0; i < count; i++) {
        lookups[i].value = NULL;
        lookups[i].value_size = 0;
        lookups[i].copy = NULL;
    }
    return answer(lookups, count, failed, err);
}

void sfi_lookup_name_key(const shardy_key *key, size_t index, shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    if (index != SIZE_MAX) {
        sfi_key_text(key, text);
        sfi_error_prefix(err, "key %zu (%s): ", index, text);
    }
}

/* Remember a copy for the release; takes it over, on failure too. */
static shardy_status keep_copy(struct sfi_items_owner *owner, uint8_t *copy, shardy_error *err)
{
    void *copies = owner->copies;
    if (!sfi_array_grow(&copies, &owner->copy_capacity, owner->copy_count + 1,
                        sizeof *owner->copies)) {
        sfi_free(copy);
        return sfi_fail_memory(err, sizeof *owner->copies * (owner->copy_count + 1));
    }
    owner->copies = copies;
    owner->copies[owner->copy_count++] = copy;
    return SHARDY_OK;
}

shardy_status sfi_items_put(struct sfi_items_owner *owner, size_t at, struct sfi_lookup *lookup,
                            shardy_error *err)
{
    uint8_t *copy = lookup->copy;
    owner->items[at].data = lookup->value;
    owner->items[at].size = (size_t)lookup->value_size;
    lookup->copy = NULL;
    return copy ? keep_copy(owner, copy, err) : SHARDY_OK;
}

/* Move results of a chunk to the caller's items. After a failure copies are only released. */
static shardy_status collect(struct sfi_items_owner *owner, struct sfi_lookup *lookups,
                             size_t first, size_t count, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    for (size_t i = 0; i < count; i++) {
        struct sfi_lookup *lookup = &lookups[i];
        owner->items[first + i].data = lookup->value;
        owner->items[first + i].size = (size_t)lookup->value_size;
        if (!lookup->copy) {
            continue;
        }
        if (st == SHARDY_OK) {
            st = keep_copy(owner, lookup->copy, err);
        } else {
            sfi_free(lookup->copy);
        }
    }
    return st;
}

static shardy_status look_up_chunk(struct sfi_items_owner *owner, const shardy_key *keys,
                                   uint32_t where, size_t first, size_t count, shardy_error *err)
{
    struct sfi_lookup lookups[CHUNK];
    uint8_t buffers[CHUNK][8];
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        shardy_status st =
            prepare(owner->snapshot, &keys[first + i], where, buffers[i], &lookups[i], err);
        if (st != SHARDY_OK) {
            sfi_lookup_name_key(&keys[first + i], first + i, err);
            return st;
        }
    }
    for (size_t i = 0; i < count; i++) {
        lookups[i].value = NULL;
        lookups[i].value_size = 0;
        lookups[i].copy = NULL;
    }
    shardy_status st = answer(lookups, count, &failed, err);
    if (st != SHARDY_OK) {
        sfi_lookup_name_key(&keys[first + failed], first + failed, err);
    }
    shardy_status collected = collect(owner, lookups, first, count, st == SHARDY_OK ? err : NULL);
    return st == SHARDY_OK ? collected : st;
}

void sfi_items_free(struct sfi_items_owner *owner)
{
    for (size_t i = 0; i < owner->copy_count; i++) {
        sfi_free(owner->copies[i]);
    }
    sfi_free(owner->copies);
    sfi_snapshot_unref(owner->snapshot, owner->stripe);
    sfi_free(owner);
}

struct sfi_items_owner *sfi_items_new(shardy_snapshot *snapshot, unsigned stripe, size_t count)
{
    size_t bytes;
    struct sfi_items_owner *owner = NULL;
    if (!__builtin_mul_overflow(count, sizeof(shardy_item), &bytes) &&
        !__builtin_add_overflow(bytes, sizeof *owner, &bytes)) {
        owner = sfi_malloc(bytes);
    }
    if (owner) {
        memset(owner, 0, sizeof *owner);
        owner->snapshot = snapshot;
        owner->stripe = stripe;
    }
    return owner;
}

static shardy_status fetch_items(struct sfi_items_owner *owner, const shardy_key *keys,
                                 size_t count, uint32_t where, shardy_error *err)
{
    struct sfi_wave wave;
    shardy_status st;
    SFI_TRY(sfi_wave_init(&wave, owner->snapshot, keys, count, where, true, false, err));
    SFI_TRY(sfi_wave_run(&wave, err));
    st = sfi_wave_take_items(&wave, owner, err);
out:
    sfi_wave_clear(&wave);
    return st;
}

shardy_status sfi_get_items(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *keys,
                            size_t count, uint32_t where, shardy_items *items, shardy_error *err)
{
    struct sfi_items_owner *owner = sfi_items_new(snapshot, stripe, count);
    shardy_status st = SHARDY_OK;
    memset(items, 0, sizeof *items);
    if (!owner) {
        sfi_snapshot_unref(snapshot, stripe);
        return sfi_fail_memory(
            err, count < SIZE_MAX / sizeof(shardy_item) ? count * sizeof(shardy_item) : SIZE_MAX);
    }
    if (snapshot->access) {
        SFI_TRY(fetch_items(owner, keys, count, where, err));
    } else {
        for (size_t first = 0; first < count; first += CHUNK) {
            size_t n = count - first < CHUNK ? count - first : CHUNK;
            SFI_TRY(look_up_chunk(owner, keys, where, first, n, err));
        }
    }
    items->items = owner->items;
    items->count = count;
    items->owner = owner;
out:
    if (st != SHARDY_OK) {
        sfi_items_free(owner);
    }
    return st;
}

void shardy_items_clear(shardy_items *items)
{
    if (items) {
        if (items->owner) {
            sfi_items_free(items->owner);
        }
        memset(items, 0, sizeof *items);
    }
}

/* Not inlined: a wave is large, and most lookups are on mapped shards. */
static __attribute__((noinline)) shardy_status fetch_value(shardy_snapshot *snapshot,
                                                           unsigned stripe, const shardy_key *key,
                                                           uint32_t where, shardy_value *value,
                                                           shardy_error *err)
{
    struct sfi_wave wave;
    shardy_status st = sfi_wave_init(&wave, snapshot, key, 1, where, false, false, err);
    if (st == SHARDY_OK) {
        st = sfi_wave_run(&wave, err);
    }
    if (st == SHARDY_OK) {
        sfi_wave_take_value(&wave, stripe, value);
    }
    sfi_wave_clear(&wave);
    if (!value->data) {
        sfi_snapshot_unref(snapshot, stripe);
    }
    return st;
}

shardy_status sfi_get_value(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *key,
                            uint32_t where, shardy_value *value, shardy_error *err)
{
    struct sfi_lookup lookup = {0};
    uint8_t buffer[8];
    size_t failed;
    memset(value, 0, sizeof *value);
    if (__builtin_expect(snapshot->access != NULL, 0)) {
        return fetch_value(snapshot, stripe, key, where, value, err);
    }
    shardy_status st = prepare(snapshot, key, where, buffer, &lookup, err);
    if (st == SHARDY_OK) {
        st = answer(&lookup, 1, &failed, err);
    }
    if (st != SHARDY_OK || !lookup.value) {
        sfi_snapshot_unref(snapshot, stripe);
        return st;
    }
    value->data = lookup.value;
    value->size = (size_t)lookup.value_size;
    value->owner = snapshot;
    value->copy = lookup.copy;
    value->slot = stripe;
    return SHARDY_OK;
}

void shardy_value_clear(shardy_value *value)
{
    if (value) {
        if (value->owner) {
            sfi_snapshot_unref(value->owner, (unsigned)value->slot);
        }
        if (value->copy) {
            sfi_free(value->copy);
        }
        memset(value, 0, sizeof *value);
    }
}

shardy_status sfi_get_value_at(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *key,
                               const shardy_context *context, shardy_value *value,
                               shardy_error *err)
{
    uint32_t where;
    memset(value, 0, sizeof *value);
    shardy_status st = sfi_lookup_where(snapshot, context, &where, err);
    if (st != SHARDY_OK) {
        sfi_snapshot_unref(snapshot, stripe);
        return st;
    }
    return sfi_get_value(snapshot, stripe, key, where, value, err);
}

shardy_status sfi_get_items_at(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *keys,
                               size_t count, const shardy_context *context, shardy_items *items,
                               shardy_error *err)
{
    uint32_t where;
    memset(items, 0, sizeof *items);
    shardy_status st = sfi_lookup_where(snapshot, context, &where, err);
    if (st != SHARDY_OK) {
        sfi_snapshot_unref(snapshot, stripe);
        return st;
    }
    return sfi_get_items(snapshot, stripe, keys, count, where, items, err);
}

shardy_status shardy_snapshot_get(shardy_snapshot *snapshot, const shardy_key *key,
                                  shardy_value *value, shardy_error *err)
{
    unsigned stripe = sfi_stripe();
    sfi_snapshot_ref(snapshot, stripe);
    return sfi_get_value(snapshot, stripe, key, SFI_BY_KEY, value, err);
}

shardy_status shardy_snapshot_get_with_context(shardy_snapshot *snapshot, const shardy_key *key,
                                               const shardy_context *context, shardy_value *value,
                                               shardy_error *err)
{
    unsigned stripe = sfi_stripe();
    sfi_snapshot_ref(snapshot, stripe);
    return sfi_get_value_at(snapshot, stripe, key, context, value, err);
}

shardy_status shardy_snapshot_multi_get(shardy_snapshot *snapshot, const shardy_key *keys,
                                        size_t count, shardy_items *items, shardy_error *err)
{
    return shardy_snapshot_multi_get_with_context(snapshot, keys, count, NULL, items, err);
}

shardy_status shardy_snapshot_multi_get_with_context(shardy_snapshot *snapshot,
                                                     const shardy_key *keys, size_t count,
                                                     const shardy_context *context,
                                                     shardy_items *items, shardy_error *err)
{
    unsigned stripe = sfi_stripe();
    sfi_snapshot_ref(snapshot, stripe);
    return sfi_get_items_at(snapshot, stripe, keys, count, context, items, err);
}

/* --- on a reader: the same, with events --------------------------------------------------------
 */

uint64_t sfi_event_start(const shardy_reader *reader)
{
    return reader->observer.events.emit ? sfi_monotonic_us() : 0;
}

void sfi_emit_get(const shardy_reader *reader, uint64_t start, bool found)
{
    if (reader->observer.events.emit) {
        sfi_emit(&reader->observer, "reader.get",
                 SFI_FIELDS(sfi_field_int("duration_ms", (sfi_monotonic_us() - start) / 1000),
                            sfi_field_bool("found", found)));
    }
}

void sfi_emit_multi_get(const shardy_reader *reader, uint64_t start, size_t count)
{
    if (reader->observer.events.emit) {
        sfi_emit(&reader->observer, "reader.multi_get",
                 SFI_FIELDS(sfi_field_int("duration_ms", (sfi_monotonic_us() - start) / 1000),
                            sfi_field_int("num_keys", count)));
    }
}

shardy_status shardy_reader_get(shardy_reader *reader, const shardy_key *key, shardy_value *value,
                                shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    uint64_t start = sfi_event_start(reader);
    memset(value, 0, sizeof *value);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    SFI_RETURN_IF_ERR(sfi_get_value(snapshot, stripe, key, SFI_BY_KEY, value, err));
    sfi_emit_get(reader, start, value->data != NULL);
    return SHARDY_OK;
}

shardy_status shardy_reader_get_with_context(shardy_reader *reader, const shardy_key *key,
                                             const shardy_context *context, shardy_value *value,
                                             shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    uint64_t start = sfi_event_start(reader);
    memset(value, 0, sizeof *value);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    SFI_RETURN_IF_ERR(sfi_get_value_at(snapshot, stripe, key, context, value, err));
    sfi_emit_get(reader, start, value->data != NULL);
    return SHARDY_OK;
}

shardy_status shardy_reader_get_copy(shardy_reader *reader, const shardy_key *key, void *buffer,
                                     size_t capacity, size_t *size, bool *found, shardy_error *err)
{
    shardy_value value;
    *size = 0;
    *found = false;
    SFI_RETURN_IF_ERR(shardy_reader_get(reader, key, &value, err));
    shardy_status st = SHARDY_OK;
    *size = value.size;
    *found = value.data != NULL;
    if (value.size > capacity) {
        st = sfi_fail(err, SHARDY_LIMIT, "value of %zu bytes does not fit the buffer of %zu",
                      value.size, capacity);
    } else if (value.size) {
        memcpy(buffer, value.data, value.size);
    }
    shardy_value_clear(&value);
    return st;
}

shardy_status shardy_reader_multi_get(shardy_reader *reader, const shardy_key *keys, size_t count,
                                      shardy_items *items, shardy_error *err)
{
    return shardy_reader_multi_get_with_context(reader, keys, count, NULL, items, err);
}

shardy_status shardy_reader_multi_get_with_context(shardy_reader *reader, const shardy_key *keys,
                                                   size_t count, const shardy_context *context,
                                                   shardy_items *items, shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    uint64_t start = sfi_event_start(reader);
    memset(items, 0, sizeof *items);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    SFI_RETURN_IF_ERR(sfi_get_items_at(snapshot, stripe, keys, count, context, items, err));
    sfi_emit_multi_get(reader, start, count);
    return SHARDY_OK;
}
