/*
 * fetch.c - remote shards of a reader and the bytes of pages they may hold together. Which pages
 * were used lately is known below (sfi_remote_evict); here is only whose turn it is. Requests are
 * fetch_flight.c.
 */
#include "reader/fetch.h"

#include "base/memory.h"

void sfi_fetcher_init(struct sfi_fetcher *fetcher, struct sfi_store *store, int64_t budget)
{
    memset(fetcher, 0, sizeof *fetcher);
    fetcher->store = store;
    fetcher->budget = budget;
    atomic_init(&fetcher->resident, 0);
    atomic_init(&fetcher->stamp, 0);
    atomic_flag_clear(&fetcher->trimming);
    sfi_mutex_init(&fetcher->lock);
    pthread_cond_init(&fetcher->idle, NULL);
}

void sfi_fetcher_drain(struct sfi_fetcher *fetcher)
{
    sfi_fetcher_lock(fetcher);
    while (fetcher->flights) {
        sfi_mutex_wait(&fetcher->lock, &fetcher->idle);
    }
    sfi_fetcher_unlock(fetcher);
}

void sfi_fetcher_destroy(struct sfi_fetcher *fetcher)
{
    sfi_mutex_destroy(&fetcher->lock);
    pthread_cond_destroy(&fetcher->idle);
}

/* --- shards ------------------------------------------------------------------------------------
 */

static void link_shard(struct sfi_fetcher *fetcher, struct sfi_remote_shard *shard)
{
    sfi_fetcher_lock(fetcher);
    struct sfi_remote_shard *at = fetcher->shards;
    shard->next = at ? at : shard;
    shard->previous = at ? at->previous : shard;
    shard->previous->next = shard;
    shard->next->previous = shard;
    fetcher->shards = shard;
    sfi_fetcher_unlock(fetcher);
}

static void unlink_shard(struct sfi_fetcher *fetcher, struct sfi_remote_shard *shard)
{
    sfi_fetcher_lock(fetcher);
    shard->previous->next = shard->next;
    shard->next->previous = shard->previous;
    if (fetcher->shards == shard) {
        fetcher->shards = shard->next == shard ? NULL : shard->next;
    }
    sfi_fetcher_unlock(fetcher);
}

shardy_status sfi_remote_shard_new(struct sfi_fetcher *fetcher, uint32_t db_id, char *db_key,
                                   char *sidecar_key, const struct sfi_remote_options *options,
                                   struct sfi_remote_shard **out, shardy_error *err)
{
    struct sfi_remote_shard *shard = sfi_calloc(1, sizeof *shard);
    shardy_status st = shard ? sfi_sqlite_remote_new(options, &shard->reader, err)
                             : sfi_fail_memory(err, sizeof *shard);
    *out = NULL;
    if (st != SHARDY_OK) {
        sfi_free(shard);
        sfi_free(db_key);
        sfi_free(sidecar_key);
        return st;
    }
    shard->fetcher = fetcher;
    shard->reader->owner = shard;
    atomic_init(&shard->refs, 1);
    atomic_init(&shard->replaced, false);
    shard->db_id = db_id;
    shard->db_key = db_key;
    shard->sidecar_key = sidecar_key;
    link_shard(fetcher, shard);
    *out = shard;
    return SHARDY_OK;
}

void sfi_remote_shard_release(struct sfi_remote_shard *shard)
{
    if (!shard || atomic_fetch_sub_explicit(&shard->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    unlink_shard(shard->fetcher, shard);
    atomic_fetch_sub(&shard->fetcher->resident, (int64_t)sfi_remote_resident(shard->reader));
    sfi_shard_reader_release(shard->reader);
    sfi_free(shard->db_key);
    sfi_free(shard->sidecar_key);
    sfi_free(shard);
}

/* --- budget ------------------------------------------------------------------------------------
 */

/* A reference, unless the shard is being closed. */
static bool try_acquire(struct sfi_remote_shard *shard)
{
    unsigned refs = atomic_load(&shard->refs);
    while (refs && !atomic_compare_exchange_weak(&shard->refs, &refs, refs + 1)) {
    }
    return refs > 0;
}

/* The shard whose turn it is; NULL when there is none to be had. */
static struct sfi_remote_shard *next_turn(struct sfi_fetcher *fetcher)
{
    struct sfi_remote_shard *shard = NULL;
    sfi_fetcher_lock(fetcher);
    if (fetcher->shards) {
        fetcher->shards = fetcher->shards->next;
        shard = try_acquire(fetcher->shards) ? fetcher->shards : NULL;
    }
    sfi_fetcher_unlock(fetcher);
    return shard;
}

static size_t count_shards(struct sfi_fetcher *fetcher)
{
    size_t count = 0;
    sfi_fetcher_lock(fetcher);
    const struct sfi_remote_shard *at = fetcher->shards;
    do {
        count += at != NULL;
        at = at ? at->next : NULL;
    } while (at != fetcher->shards);
    sfi_fetcher_unlock(fetcher);
    return count;
}

/* Down to 7/8 of the budget, so that not every wave starts another sweep. */
void sfi_fetcher_trim(struct sfi_fetcher *fetcher, int64_t bound, unsigned sweeps)
{
    if (atomic_load(&fetcher->resident) <= bound || atomic_flag_test_and_set(&fetcher->trimming)) {
        return;
    }
    int64_t goal = fetcher->budget - fetcher->budget / 8;
    for (size_t turns = sweeps * count_shards(fetcher); turns > 0; turns--) {
        int64_t resident = atomic_load(&fetcher->resident);
        if (resident <= goal) {
            break;
        }
        struct sfi_remote_shard *shard = next_turn(fetcher);
        if (shard) {
            uint64_t freed = sfi_remote_evict(shard->reader, (uint64_t)(resident - goal));
            atomic_fetch_sub(&fetcher->resident, (int64_t)freed);
            sfi_remote_shard_release(shard);
        }
    }
    atomic_flag_clear(&fetcher->trimming);
}
