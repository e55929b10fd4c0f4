/*
 * lookup.c - from keys to values on one snapshot: encode, route, open the shards concerned, look
 * up. One key is a batch of one.
 */
#include "base/memory.h"
#include "base/timestamp.h"
#include "reader/reader_internal.h"

/* Keys prepared at a time: their lookups stay on the stack and in the cache. */
#define CHUNK 128u

/* What shardy_items.owner points to. */
struct items_owner {
    shardy_snapshot *snapshot;
    unsigned stripe;
    void **copies; /* values that lie on overflow pages */
    size_t copy_count;
    size_t copy_capacity;
    shardy_item items[];
};

/* Stored bytes, prefix and shard of a key. `buffer` holds integer keys. */
static shardy_status prepare(shardy_snapshot *snapshot, const shardy_key *key, uint8_t buffer[8],
                             struct sfi_lookup *lookup, shardy_error *err)
{
    uint32_t db_id;
    const void *data;
    size_t size;
    if (snapshot->route.sharding != SHARDY_SHARDING_HASH) {
        return sfi_fail(err, SHARDY_UNSUPPORTED,
                        "snapshot is CEL-sharded: keys cannot be routed by this release; scan it");
    }
    if (snapshot->encoding == SHARDY_KEY_U64BE && key->kind <= SHARDY_KIND_UINT &&
        key->number <= INT64_MAX) {
        db_id = sfi_modulo(&snapshot->route.modulus, sfi_digest_u64(key->number));
        sfi_put_u64be(buffer, key->number);
        lookup->key = buffer;
        lookup->key_size = 8;
        lookup->prefix = key->number;
    } else {
        SFI_RETURN_IF_ERR(sfi_route_key(&snapshot->route, key, &db_id, err));
        SFI_RETURN_IF_ERR(shardy_key_encode(key, snapshot->encoding, buffer, &data, &size, err));
        lookup->key = data;
        lookup->key_size = (uint32_t)size;
        lookup->prefix = sfi_key_prefix(data, size);
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

shardy_status sfi_lookup_one(shardy_snapshot *snapshot, const shardy_key *key,
                             struct sfi_lookup *lookup, shardy_error *err)
{
    uint8_t buffer[8];
    size_t failed;
    SFI_RETURN_IF_ERR(prepare(snapshot, key, buffer, lookup, err));
    return answer(lookup, 1, &failed, err);
}

static void name_key(const shardy_key *key, size_t index, shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    sfi_key_text(key, text);
    sfi_error_prefix(err, "key %zu (%s): ", index, text);
}

/* Move results of a chunk to the caller's items; copies are remembered for the release. */
static shardy_status collect(struct items_owner *owner, struct sfi_lookup *lookups, size_t first,
                             size_t count, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    for (size_t i = 0; i < count; i++) {
        struct sfi_lookup *lookup = &lookups[i];
        owner->items[first + i].data = lookup->value;
        owner->items[first + i].size = (size_t)lookup->value_size;
        if (!lookup->copy) {
            continue;
        }
        void *copies = owner->copies;
        if (st == SHARDY_OK && sfi_array_grow(&copies, &owner->copy_capacity, owner->copy_count + 1,
                                              sizeof *owner->copies)) {
            owner->copies = copies;
            owner->copies[owner->copy_count++] = lookup->copy;
        } else {
            sfi_free(lookup->copy);
            st = sfi_fail_memory(err, sizeof *owner->copies * (owner->copy_count + 1));
        }
    }
    return st;
}

static shardy_status look_up_chunk(struct items_owner *owner, const shardy_key *keys, size_t first,
                                   size_t count, shardy_error *err)
{
    struct sfi_lookup lookups[CHUNK];
    uint8_t buffers[CHUNK][8];
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        shardy_status st = prepare(owner->snapshot, &keys[first + i], buffers[i], &lookups[i], err);
        if (st != SHARDY_OK) {
            name_key(&keys[first + i], first + i, err);
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
        name_key(&keys[first + failed], first + failed, err);
    }
    shardy_status collected = collect(owner, lookups, first, count, st == SHARDY_OK ? err : NULL);
    return st == SHARDY_OK ? collected : st;
}

static void owner_free(struct items_owner *owner)
{
    for (size_t i = 0; i < owner->copy_count; i++) {
        sfi_free(owner->copies[i]);
    }
    sfi_free(owner->copies);
    sfi_snapshot_unref(owner->snapshot, owner->stripe);
    sfi_free(owner);
}

shardy_status sfi_lookup_many(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *keys,
                              size_t count, shardy_items *items, shardy_error *err)
{
    size_t bytes;
    struct items_owner *owner = NULL;
    shardy_status st = SHARDY_OK;
    memset(items, 0, sizeof *items);
    if (!__builtin_mul_overflow(count, sizeof(shardy_item), &bytes) &&
        !__builtin_add_overflow(bytes, sizeof *owner, &bytes)) {
        owner = sfi_malloc(bytes);
    }
    if (!owner) {
        sfi_snapshot_unref(snapshot, stripe);
        return sfi_fail_memory(err, bytes);
    }
    memset(owner, 0, sizeof *owner);
    owner->snapshot = snapshot;
    owner->stripe = stripe;
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t n = count - first < CHUNK ? count - first : CHUNK;
        SFI_TRY(look_up_chunk(owner, keys, first, n, err));
    }
    items->items = owner->items;
    items->count = count;
    items->owner = owner;
out:
    if (st != SHARDY_OK) {
        owner_free(owner);
    }
    return st;
}

void shardy_items_clear(shardy_items *items)
{
    if (items) {
        if (items->owner) {
            owner_free(items->owner);
        }
        memset(items, 0, sizeof *items);
    }
}

/* The reference that the caller took through `stripe` moves into the value, or is dropped. */
static shardy_status get_value(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *key,
                               shardy_value *value, shardy_error *err)
{
    struct sfi_lookup lookup = {0};
    shardy_status st = sfi_lookup_one(snapshot, key, &lookup, err);
    memset(value, 0, sizeof *value);
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

shardy_status shardy_snapshot_get(shardy_snapshot *snapshot, const shardy_key *key,
                                  shardy_value *value, shardy_error *err)
{
    unsigned stripe = sfi_stripe();
    sfi_snapshot_ref(snapshot, stripe);
    return get_value(snapshot, stripe, key, value, err);
}

shardy_status shardy_snapshot_multi_get(shardy_snapshot *snapshot, const shardy_key *keys,
                                        size_t count, shardy_items *items, shardy_error *err)
{
    unsigned stripe = sfi_stripe();
    sfi_snapshot_ref(snapshot, stripe);
    return sfi_lookup_many(snapshot, stripe, keys, count, items, err);
}

/* --- on a reader: the same, with events --------------------------------------------------------
 */

static uint64_t event_start(const shardy_reader *reader)
{
    return reader->observer.events.emit ? sfi_monotonic_us() : 0;
}

static void emit_get(const shardy_reader *reader, uint64_t start, bool found)
{
    if (reader->observer.events.emit) {
        sfi_emit(&reader->observer, "reader.get",
                 SFI_FIELDS(sfi_field_int("duration_ms", (sfi_monotonic_us() - start) / 1000),
                            sfi_field_bool("found", found)));
    }
}

shardy_status shardy_reader_get(shardy_reader *reader, const shardy_key *key, shardy_value *value,
                                shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    uint64_t start = event_start(reader);
    memset(value, 0, sizeof *value);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    SFI_RETURN_IF_ERR(get_value(snapshot, stripe, key, value, err));
    emit_get(reader, start, value->data != NULL);
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
    shardy_snapshot *snapshot;
    unsigned stripe;
    uint64_t start = event_start(reader);
    memset(items, 0, sizeof *items);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    SFI_RETURN_IF_ERR(sfi_lookup_many(snapshot, stripe, keys, count, items, err));
    if (reader->observer.events.emit) {
        sfi_emit(&reader->observer, "reader.multi_get",
                 SFI_FIELDS(sfi_field_int("duration_ms", (sfi_monotonic_us() - start) / 1000),
                            sfi_field_int("num_keys", count)));
    }
    return SHARDY_OK;
}
