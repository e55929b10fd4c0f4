/*
 * reader_internal.h - what the parts of the reader share.
 *
 *   reader.c     open, close, refresh, health; the pointer to the current snapshot
 *   snapshot.c   one published snapshot: manifest, route, one slot per shard, reference counts
 *   slots.c      shards of a snapshot: opened once, mapped, downloaded or read by ranges
 *   lookup.c     get and multi_get on a snapshot
 *   wave.c       the same when shards are remote: lookups that miss bytes, wave after wave
 *   async.c      submitted lookups; async_queue.c: where their results wait
 *   access.h, fetch.h, download.h: what a remote store needs
 *   scan.c       rows in key order, one shard or all merged
 *
 * References. A lookup takes a reference to the current snapshot, works without any lock, and drops
 * it. Locks and counts are striped by processor, so that threads do not share cache lines: stripe
 * lock i guards the reader's `current` (read under any one stripe lock, written under all of them)
 * and count i of every snapshot of that reader. A reference must be dropped through the stripe it
 * was taken through. The last reference to a retired snapshot closes it. The locks belong to the
 * reader and its snapshots together, because snapshots may outlive the reader.
 *
 * Lock order: refresh_lock, then stripes in ascending order. slots_lock is taken alone. No lock is
 * held across I/O or callbacks, except refresh_lock, which only serialises refreshes.
 */
#ifndef SFI_READER_READER_INTERNAL_H
#define SFI_READER_READER_INTERNAL_H

#include "base/fork.h"
#include "base/observe.h"
#include "key/key.h"
#include "manifest/manifest_store.h"
#include "reader/access.h"
#include "routing/routing.h"
#include "shard/shard.h"

#include <shardyfusion/reader.h>

#include <pthread.h>

/* Fewer than the 64 locks that ThreadSanitizer can follow in one thread. */
#define SFI_STRIPES 32u

/* An open shard together with what identifies its content. */
struct sfi_open_shard {
    struct sfi_shard_reader *reader;
    char *db_url;
    char *checkpoint_id; /* NULL = none */
    uint64_t db_bytes;
    struct sfi_remote_shard *remote; /* read by ranges; owns `reader` then */
    bool downloaded;
    atomic_uint refs; /* snapshots that use it */
};

/* One cache line each, wherever the allocator puts them. */
struct sfi_stripe_lock {
    struct sfi_mutex lock;
    char pad[128 - sizeof(struct sfi_mutex)];
};

struct sfi_stripe_count {
    size_t refs;
    char pad[128 - sizeof(size_t)];
};

struct sfi_stripes {
    struct sfi_stripe_lock at[SFI_STRIPES];
    atomic_uint users; /* the reader and its snapshots */
};

struct sfi_stripes *sfi_stripes_new(void);             /* one user; NULL: out of memory */
void sfi_stripes_release(struct sfi_stripes *stripes); /* NULL is accepted */
void sfi_stripes_lock_all(struct sfi_stripes *stripes);
void sfi_stripes_unlock_all(struct sfi_stripes *stripes);

struct shardy_snapshot {
    struct sfi_stripe_count counts[SFI_STRIPES]; /* each guarded by its stripe lock */
    struct sfi_stripes *stripes;
    bool retired; /* no new references from a reader; read under one lock, set under all */

    /* Constant once open. */
    struct sfi_observer observer;
    struct sfi_store *store;
    struct sfi_access *access; /* NULL: objects are mapped */
    struct sfi_manifest *manifest;
    struct sfi_route route;
    shardy_router *router;
    shardy_key_encoding encoding;
    uint32_t num_dbs;
    bool relocate;
    bool verify_checksums;
    bool sidecars; /* the manifest says that there may be some */
    char *ref;
    int64_t published_at_us;
    uint64_t opened_us; /* monotonic */

    /*
     * Slots: NULL = not opened. Read without a lock; written once, under slots_lock, with
     * `opening` telling other threads to wait for the one that opens a shard.
     */
    _Atomic(struct sfi_open_shard *) *slots;
    struct sfi_mutex slots_lock; /* taken by sfi_slots_lock */
    pthread_cond_t slots_changed;
    uint8_t *opening;            /* bitmap */
    _Atomic uint64_t downloaded; /* bytes of shards that were, or are being, downloaded */
};

/* Marks a slot whose shard has no database. */
extern struct sfi_open_shard sfi_empty_shard;
void sfi_open_shard_release(struct sfi_open_shard *shard); /* NULL and empty are accepted */

struct sfi_snapshot_options {
    const struct sfi_observer *observer;
    struct sfi_stripes *stripes;
    struct sfi_store *store;
    struct sfi_access *access; /* NULL: objects are mapped */
    bool relocate;
    bool verify_checksums;
};

/* Make a snapshot with one reference, held through stripe 0; takes the manifest over. */
shardy_status sfi_snapshot_new(const struct sfi_snapshot_options *options,
                               struct sfi_manifest *manifest, const struct sfi_ref *ref,
                               shardy_snapshot **snapshot, shardy_error *err);
void sfi_snapshot_ref(shardy_snapshot *snapshot, unsigned stripe);
void sfi_snapshot_unref(shardy_snapshot *snapshot, unsigned stripe);
/* No further references; the caller, which holds one, drops it: the last one closes. */
void sfi_snapshot_retire(shardy_snapshot *snapshot);
/* Take over the open shards of `from` that are the same in `snapshot`. */
shardy_status sfi_snapshot_inherit(shardy_snapshot *snapshot, shardy_snapshot *from,
                                   shardy_error *err);
/* Open every slot, in parallel; shards that are read by ranges need no request for that. */
shardy_status sfi_snapshot_open_slots(shardy_snapshot *snapshot, unsigned threads,
                                      shardy_error *err);
/* The same, and read the navigation pages of those. */
shardy_status sfi_snapshot_open_all(shardy_snapshot *snapshot, unsigned threads, shardy_error *err);
/* The open shard of an id, opened when needed; sfi_empty_shard for an empty one. May block. */
shardy_status sfi_snapshot_open_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                      struct sfi_open_shard **shard, shardy_error *err);
/* The same without blocking: NULL when opening takes a request, or somebody else is at it. */
shardy_status sfi_snapshot_try_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                     struct sfi_open_shard **shard, shardy_error *err);
/* Open several shards of a remote store at once. May block. */
shardy_status sfi_snapshot_open_some(shardy_snapshot *snapshot, const uint32_t *db_ids,
                                     size_t count, shardy_error *err);
/* In a forked child, nobody is opening a shard any more. */
void sfi_slots_lock(shardy_snapshot *snapshot);
/* Whether objects of open shards were found replaced. */
bool sfi_snapshot_replaced(shardy_snapshot *snapshot);

static inline shardy_status sfi_snapshot_shard(shardy_snapshot *snapshot, uint32_t db_id,
                                               struct sfi_shard_reader **reader, shardy_error *err)
{
    struct sfi_open_shard *shard =
        atomic_load_explicit(&snapshot->slots[db_id], memory_order_acquire);
    if (__builtin_expect(shard == NULL, 0)) {
        SFI_RETURN_IF_ERR(sfi_snapshot_open_shard(snapshot, db_id, &shard, err));
    }
    *reader = shard->reader;
    return SHARDY_OK;
}

/* Stripe of the calling thread's processor. */
unsigned sfi_stripe(void);

/* Parts of lookups on a snapshot that the caller holds. */

/*
 * Where the keys of a call are: every key where it is routed to, all of them in one shard, which a
 * routing context tells, or nowhere (SFI_NO_SHARD).
 */
#define SFI_BY_KEY (SFI_NO_SHARD - 1)
shardy_status sfi_lookup_where(shardy_snapshot *snapshot, const shardy_context *context,
                               uint32_t *where, shardy_error *err);
/* Stored bytes, prefix and shard (or SFI_NO_SHARD) of a key. `buffer` holds integer keys. */
shardy_status sfi_lookup_prepare(shardy_snapshot *snapshot, const shardy_key *key, uint32_t where,
                                 uint8_t buffer[8], struct sfi_lookup *lookup, uint32_t *db_id,
                                 shardy_error *err);
/* Put the key before a message; index SIZE_MAX: the call has one key, nothing to be told. */
void sfi_lookup_name_key(const shardy_key *key, size_t index, shardy_error *err);
/* Answer lookups of mapped shards. */
shardy_status sfi_lookup_answer(struct sfi_lookup *lookups, size_t count, size_t *failed,
                                shardy_error *err);

/* What shardy_items.owner points to: it holds a reference to the snapshot. */
struct sfi_items_owner {
    shardy_snapshot *snapshot;
    unsigned stripe;
    void **copies; /* values that do not lie in a mapping */
    size_t copy_count;
    size_t copy_capacity;
    shardy_item items[];
};

/* NULL: out of memory; the reference is the caller's still. */
struct sfi_items_owner *sfi_items_new(shardy_snapshot *snapshot, unsigned stripe, size_t count);
/* Move a result to its place; a copy of the lookup is taken over. */
shardy_status sfi_items_put(struct sfi_items_owner *owner, size_t at, struct sfi_lookup *lookup,
                            shardy_error *err);
void sfi_items_free(struct sfi_items_owner *owner); /* drops the reference */

/*
 * Get on a snapshot. The reference that the caller took through `stripe` moves into the value or
 * the items, or is dropped.
 */
shardy_status sfi_get_value(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *key,
                            uint32_t where, shardy_value *value, shardy_error *err);
shardy_status sfi_get_items(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *keys,
                            size_t count, uint32_t where, shardy_items *items, shardy_error *err);
/* The same where a context says; NULL: by the keys. */
shardy_status sfi_get_value_at(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *key,
                               const shardy_context *context, shardy_value *value,
                               shardy_error *err);
shardy_status sfi_get_items_at(shardy_snapshot *snapshot, unsigned stripe, const shardy_key *keys,
                               size_t count, const shardy_context *context, shardy_items *items,
                               shardy_error *err);

/* Events of a lookup that began at `start` (sfi_event_start); nothing when nobody listens. */
uint64_t sfi_event_start(const shardy_reader *reader);
void sfi_emit_get(const shardy_reader *reader, uint64_t start, bool found);
void sfi_emit_multi_get(const shardy_reader *reader, uint64_t start, size_t count);

struct shardy_reader {
    struct sfi_stripes *stripes;
    shardy_snapshot *current; /* see the file comment; NULL once closed */

    /* Constant once open. */
    struct sfi_observer observer;
    struct sfi_store *store;
    struct sfi_access *access; /* NULL: objects are mapped */
    struct sfi_manifest_store *manifests;
    char *url;
    bool pinned;
    bool relocate;
    bool verify_checksums;
    bool no_fallback;
    shardy_open_mode open_mode;
    unsigned threads;
    struct sfi_mutex refresh_lock;
    /* Of the pointer that `current` follows; with refresh_lock. */
    char pointer_etag[SFI_ETAG_SIZE];
    int64_t pointer_us;      /* when it was written; 0 = not known */
    uint64_t older_since_us; /* since when an older one is found instead; 0 = it is not */
};

/* As shardy_reader_open(), on a store that is open already; takes a reference to it. */
shardy_status sfi_reader_open_on(const shardy_reader_options *options, struct sfi_store *store,
                                 shardy_reader **reader, shardy_error *err);

/* Reference to the current snapshot through *stripe; READER_STATE when closed. */
shardy_status sfi_reader_acquire(shardy_reader *reader, shardy_snapshot **snapshot,
                                 unsigned *stripe, shardy_error *err);

#endif
