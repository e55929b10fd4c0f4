/*
 * fetch.h - bytes of remote shards: from what lookups miss to requests, and back into the images.
 *
 *   fetch.c         remote shards, the page budget, the life of a fetcher
 *   fetch_flight.c  requests in flight and who waits for them
 *   fetch_plan.c    wants -> ranges: merge neighbours, split what is large
 *   fetch_thrash.c  when to give up
 *
 * One fetcher a reader. A range that is in flight is not requested again: whoever needs it later
 * waits for the same request. The lock of a fetcher guards flights, waits and its list of shards;
 * no request, callback or eviction happens with it held. Requests complete on a thread of the
 * store, which copies the bytes into the image; a thread that waits does the rest itself.
 */
#ifndef SFI_READER_FETCH_H
#define SFI_READER_FETCH_H

#include "base/fork.h"
#include "shard/remote.h"
#include "shard/shard.h"
#include "store/store.h"

#include <pthread.h>

struct sfi_flight;
struct sfi_wait;

/* Ranges that arrived lately: whoever looked before they did must look again, not fetch again. */
#define SFI_ARRIVALS 32u

struct sfi_arrival {
    uint64_t stamp;
    uint64_t offset;
    uint64_t end;
    enum sfi_remote_object object;
};

/* A remote shard and where its bytes come from. Counted by snapshots (through their open shards)
 * and flights. */
struct sfi_remote_shard {
    struct sfi_fetcher *fetcher;
    struct sfi_shard_reader *reader; /* its `owner` is this struct */
    atomic_uint refs;
    atomic_bool replaced; /* another object was found in its place: refresh opens it anew */
    uint32_t db_id;
    char *db_key;
    char *sidecar_key;

    /* Guarded by the fetcher's lock. */
    struct sfi_remote_shard *next; /* ring of all shards */
    struct sfi_remote_shard *previous;
    struct sfi_flight *flights;
    struct sfi_arrival arrivals[SFI_ARRIVALS];
    uint64_t arrival_count;
};

struct sfi_fetcher {
    struct sfi_store *store;  /* borrowed from whoever owns the fetcher */
    int64_t budget;           /* bytes of pages in memory */
    _Atomic int64_t resident; /* below zero while a fill is not yet counted */
    _Atomic uint64_t stamp;   /* counts arrivals */
    atomic_flag trimming;
    struct sfi_mutex lock; /* taken by sfi_fetcher_lock */
    pthread_cond_t idle;   /* no flight is left */
    size_t flights;
    uint64_t waves;
    struct sfi_remote_shard *shards; /* any one of the ring */
};

/* In a forked child, requests of the parent are forgotten first. */
void sfi_fetcher_lock(struct sfi_fetcher *fetcher);
void sfi_fetcher_unlock(struct sfi_fetcher *fetcher);
void sfi_fetcher_init(struct sfi_fetcher *fetcher, struct sfi_store *store, int64_t budget);
/* Wait for the last flight. Not from a thread of the store. */
void sfi_fetcher_drain(struct sfi_fetcher *fetcher);
void sfi_fetcher_destroy(struct sfi_fetcher *fetcher); /* after drain; no shard is left */

/* Keys are taken over, on failure too. NULL sidecar key: none is looked for. */
shardy_status sfi_remote_shard_new(struct sfi_fetcher *fetcher, uint32_t db_id, char *db_key,
                                   char *sidecar_key, const struct sfi_remote_options *options,
                                   struct sfi_remote_shard **shard, shardy_error *err);
void sfi_remote_shard_release(struct sfi_remote_shard *shard); /* NULL is accepted */

/*
 * When more than `bound` is resident: empty pages that were not used lately, until the budget holds
 * or `sweeps` have passed over all shards. Between the waves of a lookup, so that it can use what
 * it fetched: an answer that arrives only looks for twice the budget.
 */
void sfi_fetcher_trim(struct sfi_fetcher *fetcher, int64_t bound, unsigned sweeps);

/* --- waiting -----------------------------------------------------------------------------------
 */

/* Wants that lookups repeat without getting anywhere: their pages are emptied all the time. */
struct sfi_thrash {
    uint64_t *seen; /* open addressing over fingerprints; 0 = free */
    size_t capacity;
    size_t count;
    unsigned waves;
    unsigned stale;
};

/*
 * One party that waits for flights: wave after wave. All zero to begin with. `ready` NULL: a thread
 * waits in sfi_fetch_wait. Otherwise `ready` is called on the thread that ended the last flight, or
 * that cancelled.
 */
struct sfi_fetch {
    struct sfi_fetcher *fetcher;
    void (*ready)(struct sfi_fetch *fetch);
    void *arg;
    shardy_status status; /* first failure; read it only when nothing is pending */
    shardy_error error;
    struct sfi_thrash thrash;

    /* Guarded by the fetcher's lock. */
    bool cancelled;
    size_t pending;
    struct sfi_wait *waits;
    pthread_cond_t *wake;
    struct sfi_fetch *next_ready;
};

/* What `since` of the calls below is: taken before the lookups were advanced. */
static inline uint64_t sfi_fetch_stamp(struct sfi_fetcher *fetcher)
{
    return atomic_load_explicit(&fetcher->stamp, memory_order_acquire);
}

/*
 * Request what is wanted and not yet in flight; sorts `wants`. true: pending, `ready` will be
 * called. false: nothing to wait for, look at `status` and advance again. `progress`: some lookup
 * finished since the last wave.
 */
bool sfi_fetch_start(struct sfi_fetch *fetch, struct sfi_wants *wants, uint64_t since,
                     bool progress);
/* The same, and wait. The failure of the wave, if any. */
shardy_status sfi_fetch_wait(struct sfi_fetch *fetch, struct sfi_wants *wants, uint64_t since,
                             bool progress, shardy_error *err);
/* No more waves: pending and later ones fail with CANCELLED. Any thread. */
void sfi_fetch_cancel(struct sfi_fetch *fetch);
/* The end of a party; nothing is pending. */
void sfi_fetch_clear(struct sfi_fetch *fetch);

/* LIMIT when waves only repeat what was fetched before. Called with each wave. */
shardy_status sfi_thrash_check(struct sfi_thrash *thrash, const struct sfi_wants *wants,
                               bool progress, int64_t budget, shardy_error *err);
void sfi_thrash_clear(struct sfi_thrash *thrash);

/* --- planning ----------------------------------------------------------------------------------
 */

/* Order by shard, object, offset; overlapping and touching wants become one. */
void sfi_wants_normalise(struct sfi_wants *wants);
/*
 * Ranges of normalised wants as requests: neighbours with a gap of at most SFI_REQUEST_GAP become
 * one of at most SFI_REQUEST_MAX, larger ones are cut into equal parts. Appends to `ranges`.
 */
bool sfi_wants_plan(const struct sfi_wants *wants, struct sfi_wants *ranges);
/* Keep the first `bytes` of wants as they were asked for: what is urgent stands before what is read
 * ahead, and must not be left out for it. */
void sfi_wants_limit(struct sfi_wants *wants, uint64_t bytes);
/* Append; false: out of memory. */
bool sfi_ranges_add(struct sfi_wants *ranges, const struct sfi_want *range);
static inline uint64_t sfi_want_end(const struct sfi_want *want)
{
    return want->length ? want->offset + want->length : UINT64_MAX;
}

#endif
