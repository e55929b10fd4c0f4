/*
 * fetch_flight.c - requests in flight. Each belongs to one range of one object of one shard and
 * has a list of parties that wait for it; the last answer of a wave wakes its party. A request that
 * nobody waits for any more is taken back.
 *
 * Lock order: the fetcher's lock is taken alone. A flight is kept by its answer, by the thread that
 * submits it until that is done, and by threads that cancel it.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "reader/fetch.h"
#include "shard/sidecar.h"

#include <inttypes.h>

struct sfi_flight {
    struct sfi_store_request request;
    struct sfi_remote_shard *shard;
    enum sfi_remote_object object;
    uint64_t offset;
    uint64_t end; /* UINT64_MAX: to the end of the object */
    atomic_uint refs;
    char etag[SFI_ETAG_SIZE];

    /* Guarded by the fetcher's lock. */
    struct sfi_flight *next; /* of its shard */
    struct sfi_flight *kill_next;
    struct sfi_wait *waits;
    uint64_t joined; /* the wave that joined it last */
    bool submitted;  /* the store has it: it can be cancelled */
    bool listed;     /* in its shard's list: others may join */
    bool landed;
};

/* One party waiting for one flight. Guarded by the fetcher's lock. */
struct sfi_wait {
    struct sfi_fetch *fetch;
    struct sfi_flight *flight; /* NULL: landed, or detached */
    struct sfi_wait *next_of_flight;
    struct sfi_wait *next_of_fetch;
};

static void flight_unref(struct sfi_flight *flight)
{
    if (atomic_fetch_sub_explicit(&flight->refs, 1, memory_order_acq_rel) == 1) {
        sfi_remote_shard_release(flight->shard);
        sfi_free(flight);
    }
}

void sfi_fetcher_lock(struct sfi_fetcher *fetcher)
{
    if (!sfi_mutex_lock(&fetcher->lock)) {
        return;
    }
    /* A forked child: the answers go to the parent. What waits for them here is left alone. */
    struct sfi_remote_shard *shard = fetcher->shards;
    do {
        for (; shard && shard->flights; shard->flights = shard->flights->next) {
            shard->flights->listed = false;
        }
        shard = shard ? shard->next : NULL;
    } while (shard != fetcher->shards);
    fetcher->flights = 0;
    atomic_flag_clear(&fetcher->trimming);
    pthread_cond_init(&fetcher->idle, NULL);
}

void sfi_fetcher_unlock(struct sfi_fetcher *fetcher)
{
    sfi_mutex_unlock(&fetcher->lock);
}

static void unlink_flight(struct sfi_flight *flight)
{
    struct sfi_flight **link = &flight->shard->flights;
    if (!flight->listed) {
        return;
    }
    flight->listed = false;
    while (*link != flight) {
        link = &(*link)->next;
    }
    *link = flight->next;
}

/* Put a flight that is to be taken back before a list of such. */
static struct sfi_flight *add_kill(struct sfi_flight *kill, struct sfi_flight *flight)
{
    atomic_fetch_add_explicit(&flight->refs, 1, memory_order_relaxed);
    flight->kill_next = kill;
    return flight;
}

static void free_waits(struct sfi_fetch *fetch)
{
    while (fetch->waits) {
        struct sfi_wait *wait = fetch->waits;
        fetch->waits = wait->next_of_fetch;
        sfi_free(wait);
    }
}

static void fail_fetch(struct sfi_fetch *fetch, shardy_status st, const shardy_error *error)
{
    if (fetch->status == SHARDY_OK) {
        fetch->status = st;
        fetch->error = *error;
    }
}

/* --- an answer ---------------------------------------------------------------------------------
 */

/* A sidecar is only a help: whatever is wrong with it, the shard opens without. */
static shardy_status land_sidecar(struct sfi_flight *flight, uint64_t *added, shardy_error *err)
{
    const struct sfi_store_request *request = &flight->request;
    struct sfi_shard_reader *reader = flight->shard->reader;
    shardy_status st = request->status;
    if (st == SHARDY_OK) {
        st = sfi_remote_fill(reader, SFI_REMOTE_SIDECAR, flight->offset,
                             sfi_buf_view(&request->data), request->object_size,
                             request->object_etag, added, err);
    } else if (st == SHARDY_CANCELLED) {
        *err = request->error;
        return st;
    }
    if (st == SHARDY_NO_MEMORY) {
        return st;
    }
    if (st != SHARDY_OK) {
        sfi_remote_no_sidecar(reader);
    }
    return SHARDY_OK;
}

static shardy_status replaced_error(struct sfi_flight *flight, shardy_error *err)
{
    const struct sfi_remote_shard *shard = flight->shard;
    atomic_store(&flight->shard->replaced, true);
    return sfi_fail(err, SHARDY_CONFLICT,
                    "shard %u: %s/%s was replaced while it was read; refresh the reader",
                    shard->db_id, shard->fetcher->store->url, shard->db_key);
}

static shardy_status land_database(struct sfi_flight *flight, uint64_t *added, shardy_error *err)
{
    const struct sfi_store_request *request = &flight->request;
    shardy_status st = request->status;
    *err = request->error;
    if (st == SHARDY_OK && request->data.size != flight->end - flight->offset &&
        flight->offset + request->data.size != request->object_size) {
        return sfi_fail(err, SHARDY_STORE,
                        "%s/%s: answer has %zu bytes instead of %" PRIu64 " at %" PRIu64,
                        flight->shard->fetcher->store->url, flight->shard->db_key,
                        request->data.size, flight->end - flight->offset, flight->offset);
    }
    if (st == SHARDY_OK) {
        st = sfi_remote_fill(flight->shard->reader, SFI_REMOTE_DATABASE, flight->offset,
                             sfi_buf_view(&request->data), request->object_size,
                             request->object_etag, added, err);
    }
    if (st == SHARDY_CONFLICT) {
        return replaced_error(flight, err);
    }
    if (st == SHARDY_NOT_FOUND) {
        sfi_error_prefix(err,
                         "shard %u is gone, perhaps cleaned up (snapshot expired); "
                         "refresh the reader: ",
                         flight->shard->db_id);
    }
    return st;
}

/* What arrived, for those who looked before it did. */
static void record_arrival(struct sfi_flight *flight)
{
    struct sfi_remote_shard *shard = flight->shard;
    struct sfi_arrival *arrival = &shard->arrivals[shard->arrival_count++ % SFI_ARRIVALS];
    arrival->stamp = atomic_fetch_add(&shard->fetcher->stamp, 1) + 1;
    arrival->offset = flight->offset;
    arrival->end = flight->end;
    arrival->object = flight->object;
}

/* Tell everybody who waits; the parties that were complete are returned as a list. */
static struct sfi_fetch *wake_waiting(struct sfi_flight *flight, shardy_status st,
                                      const shardy_error *error)
{
    struct sfi_fetch *ready = NULL;
    for (struct sfi_wait *wait = flight->waits; wait; wait = wait->next_of_flight) {
        struct sfi_fetch *fetch = wait->fetch;
        wait->flight = NULL;
        if (st != SHARDY_OK) {
            fail_fetch(fetch, st, error);
        }
        if (--fetch->pending > 0) {
            continue;
        }
        if (fetch->ready) {
            fetch->next_ready = ready;
            ready = fetch;
        } else {
            pthread_cond_signal(fetch->wake);
        }
    }
    flight->waits = NULL;
    return ready;
}

static void run_ready(struct sfi_fetch *ready)
{
    while (ready) {
        struct sfi_fetch *fetch = ready;
        ready = fetch->next_ready;
        fetch->ready(fetch);
    }
}

static void flight_done(struct sfi_store_request *request)
{
    struct sfi_flight *flight = request->arg;
    struct sfi_fetcher *fetcher = flight->shard->fetcher;
    shardy_error error = SHARDY_ERROR_INIT;
    uint64_t added = 0;
    shardy_status st = flight->object == SFI_REMOTE_SIDECAR ? land_sidecar(flight, &added, &error)
                                                            : land_database(flight, &added, &error);
    sfi_buf_clear(&request->data);
    atomic_fetch_add(&fetcher->resident, (int64_t)added);

    sfi_fetcher_lock(fetcher);
    unlink_flight(flight);
    flight->landed = true;
    if (st == SHARDY_OK) {
        record_arrival(flight);
    }
    struct sfi_fetch *ready = wake_waiting(flight, st, &error);
    sfi_fetcher_unlock(fetcher);

    run_ready(ready);
    if (fetcher->budget < INT64_MAX / 2) {
        sfi_fetcher_trim(fetcher, 2 * fetcher->budget, 1);
    }
    flight_unref(flight);
    sfi_fetcher_lock(fetcher);
    if (--fetcher->flights == 0) {
        pthread_cond_broadcast(&fetcher->idle);
    }
    sfi_fetcher_unlock(fetcher); /* the fetcher may be gone from here on */
}

/* --- a wave ------------------------------------------------------------------------------------
 */

/* Requests of one wave on their way to the store. */
struct launch {
    struct sfi_store_request **requests;
    size_t count;
};

static bool add_wait(struct sfi_fetch *fetch, struct sfi_flight *flight)
{
    struct sfi_wait *wait = sfi_malloc(sizeof *wait);
    if (!wait) {
        return false;
    }
    wait->fetch = fetch;
    wait->flight = flight;
    wait->next_of_flight = flight->waits;
    wait->next_of_fetch = fetch->waits;
    flight->waits = wait;
    fetch->waits = wait;
    fetch->pending++;
    return true;
}

/* Whether bytes of `want` came, or may have come, after `since`. */
static bool arrived_since(const struct sfi_remote_shard *shard, const struct sfi_want *want,
                          uint64_t since)
{
    uint64_t count = shard->arrival_count;
    for (uint64_t i = 0; i < SFI_ARRIVALS && i < count; i++) {
        const struct sfi_arrival *arrival = &shard->arrivals[(count - 1 - i) % SFI_ARRIVALS];
        if (arrival->stamp <= since) {
            return false;
        }
        if (arrival->object == want->object && arrival->offset < sfi_want_end(want) &&
            want->offset < arrival->end) {
            return true;
        }
    }
    return count >= SFI_ARRIVALS;
}

/* The flight of the shard that covers `at`; otherwise where the next one begins. */
static struct sfi_flight *covering(const struct sfi_remote_shard *shard,
                                   enum sfi_remote_object object, uint64_t at, uint64_t *next)
{
    *next = UINT64_MAX;
    for (struct sfi_flight *flight = shard->flights; flight; flight = flight->next) {
        if (flight->object != object || flight->end <= at) {
            continue;
        }
        if (flight->offset <= at) {
            return flight;
        }
        *next = flight->offset < *next ? flight->offset : *next;
    }
    return NULL;
}

/* Wait for what of a want is in flight; the rest of it is appended to `rest`. */
static bool join_flights(struct sfi_fetch *fetch, const struct sfi_want *want, uint64_t wave,
                         struct sfi_wants *rest)
{
    const struct sfi_remote_shard *shard = want->shard->owner;
    uint64_t end = sfi_want_end(want);
    for (uint64_t at = want->offset; at < end;) {
        uint64_t next;
        struct sfi_flight *flight = covering(shard, want->object, at, &next);
        if (flight) {
            if (flight->joined != wave && !add_wait(fetch, flight)) {
                return false;
            }
            flight->joined = wave;
            at = flight->end;
            continue;
        }
        struct sfi_want piece = *want;
        next = next < end ? next : end;
        piece.offset = at;
        piece.length = next == UINT64_MAX ? 0 : next - at;
        if (!sfi_ranges_add(rest, &piece)) {
            return false;
        }
        at = next;
    }
    return true;
}

static struct sfi_flight *new_flight(const struct sfi_want *range)
{
    struct sfi_remote_shard *shard = range->shard->owner;
    struct sfi_flight *flight = sfi_calloc(1, sizeof *flight);
    if (!flight) {
        return NULL;
    }
    atomic_init(&flight->refs, 2); /* the answer, and who submits */
    atomic_fetch_add_explicit(&shard->refs, 1, memory_order_relaxed);
    flight->shard = shard;
    flight->object = range->object;
    flight->offset = range->offset;
    flight->end = sfi_want_end(range);
    struct sfi_store_request *request = &flight->request;
    request->verb = SFI_STORE_GET;
    request->offset = range->offset;
    request->length = range->length;
    request->done = flight_done;
    request->arg = flight;
    if (range->object == SFI_REMOTE_SIDECAR) {
        request->key = shard->sidecar_key;
        request->max_bytes = SFI_SIDECAR_MAX_BODY;
    } else {
        request->key = shard->db_key;
        request->max_bytes = range->length;
        sfi_remote_etag(shard->reader, flight->etag);
        request->condition = flight->etag[0] ? SFI_STORE_IF_MATCH : SFI_STORE_ALWAYS;
        request->etag = flight->etag;
    }
    return flight;
}

/* Flights for all ranges, linked and waited for. What cannot be made is left out: false. */
static bool make_flights(struct sfi_fetch *fetch, const struct sfi_wants *ranges, uint64_t wave,
                         struct launch *launch)
{
    launch->requests = ranges->count ? sfi_array_alloc(ranges->count, sizeof(void *)) : NULL;
    if (ranges->count && !launch->requests) {
        return false;
    }
    for (size_t i = 0; i < ranges->count; i++) {
        struct sfi_flight *flight = new_flight(&ranges->items[i]);
        if (!flight || !add_wait(fetch, flight)) {
            if (flight) {
                atomic_store(&flight->refs, 1);
                atomic_fetch_sub_explicit(&flight->shard->refs, 1, memory_order_relaxed);
                sfi_free(flight);
            }
            return false;
        }
        flight->joined = wave;
        flight->listed = true;
        flight->next = flight->shard->flights;
        flight->shard->flights = flight;
        fetch->fetcher->flights++;
        launch->requests[launch->count++] = &flight->request;
    }
    return true;
}

/* The wave under the lock: what to wait for, and what to request. */
static bool plan_locked(struct sfi_fetch *fetch, const struct sfi_wants *wants, uint64_t since,
                        struct launch *launch)
{
    uint64_t wave = ++fetch->fetcher->waves;
    struct sfi_wants rest = {0};
    struct sfi_wants ranges = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < wants->count; i++) {
        const struct sfi_want *want = &wants->items[i];
        if (!arrived_since(want->shard->owner, want, since)) {
            ok = join_flights(fetch, want, wave, &rest);
        }
    }
    ok = ok && sfi_wants_plan(&rest, &ranges) && make_flights(fetch, &ranges, wave, launch);
    sfi_wants_clear(&rest);
    sfi_wants_clear(&ranges);
    return ok;
}

/* Submitting is over: flights can be taken back from here on, those without waits at once. */
static struct sfi_flight *mark_submitted(const struct launch *launch)
{
    struct sfi_flight *kill = NULL;
    for (size_t i = 0; i < launch->count; i++) {
        struct sfi_flight *flight = launch->requests[i]->arg;
        flight->submitted = true;
        if (!flight->listed && !flight->landed) {
            kill = add_kill(kill, flight);
        }
    }
    return kill;
}

static void kill_flights(struct sfi_fetcher *fetcher, struct sfi_flight *kill)
{
    while (kill) {
        struct sfi_flight *flight = kill;
        kill = flight->kill_next;
        sfi_store_cancel(fetcher->store, &flight->request);
        flight_unref(flight);
    }
}

static void submit(struct sfi_fetcher *fetcher, struct launch *launch)
{
    if (!launch->count) {
        return;
    }
    sfi_store_submit(fetcher->store, launch->requests, launch->count);
    sfi_fetcher_lock(fetcher);
    struct sfi_flight *kill = mark_submitted(launch);
    sfi_fetcher_unlock(fetcher);
    kill_flights(fetcher, kill);
    for (size_t i = 0; i < launch->count; i++) {
        flight_unref(launch->requests[i]->arg);
    }
}

/* Set the wave up; false: there is none, see fetch->status. */
static bool begin(struct sfi_fetch *fetch, struct sfi_wants *wants, uint64_t since, bool progress,
                  struct launch *launch)
{
    struct sfi_fetcher *fetcher = fetch->fetcher;
    uint64_t half = (uint64_t)fetcher->budget / 2;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = SHARDY_OK;
    sfi_fetcher_trim(fetcher, fetcher->budget, 1);
    if (!wants->count) {
        st = sfi_fail(&error, SHARDY_CORRUPT, "a shard neither answers nor says what it misses");
    } else {
        sfi_wants_limit(wants, half > SFI_WAVE_BYTES_MIN ? half : SFI_WAVE_BYTES_MIN);
        sfi_wants_normalise(wants);
        wants->count = wants->count < SFI_WAVE_REQUESTS ? wants->count : SFI_WAVE_REQUESTS;
        st = sfi_thrash_check(&fetch->thrash, wants, progress, fetcher->budget, &error);
    }
    sfi_fetcher_lock(fetcher);
    free_waits(fetch);
    if (fetch->cancelled) {
        st = sfi_fail(&error, SHARDY_CANCELLED, "cancelled by the caller");
    }
    if (st == SHARDY_OK) {
        fetch->pending = 1; /* of the caller itself, so that no answer completes it */
        if (!plan_locked(fetch, wants, since, launch)) {
            fail_fetch(fetch, SHARDY_NO_MEMORY, (sfi_fail_memory(&error, sizeof *fetch), &error));
        }
    } else {
        fail_fetch(fetch, st, &error);
    }
    sfi_fetcher_unlock(fetcher);
    return st == SHARDY_OK;
}

bool sfi_fetch_start(struct sfi_fetch *fetch, struct sfi_wants *wants, uint64_t since,
                     bool progress)
{
    struct launch launch = {NULL, 0};
    if (!begin(fetch, wants, since, progress, &launch)) {
        return false;
    }
    submit(fetch->fetcher, &launch);
    sfi_free(launch.requests);
    sfi_fetcher_lock(fetch->fetcher);
    bool pending = --fetch->pending > 0;
    if (pending && !fetch->ready) {
        while (fetch->pending) {
            sfi_mutex_wait(&fetch->fetcher->lock, fetch->wake);
        }
        pending = false;
    }
    sfi_fetcher_unlock(fetch->fetcher);
    return pending;
}

shardy_status sfi_fetch_wait(struct sfi_fetch *fetch, struct sfi_wants *wants, uint64_t since,
                             bool progress, shardy_error *err)
{
    pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
    fetch->ready = NULL;
    fetch->wake = &wake;
    (void)sfi_fetch_start(fetch, wants, since, progress);
    pthread_cond_destroy(&wake);
    if (fetch->status != SHARDY_OK && err) {
        *err = fetch->error;
    }
    return fetch->status;
}

/* Leave a flight. true: nobody is left, and it can be taken back. */
static bool leave(struct sfi_wait *wait)
{
    struct sfi_flight *flight = wait->flight;
    struct sfi_wait **link = &flight->waits;
    while (*link != wait) {
        link = &(*link)->next_of_flight;
    }
    *link = wait->next_of_flight;
    wait->flight = NULL;
    if (flight->waits) {
        return false;
    }
    unlink_flight(flight);
    return flight->submitted;
}

static struct sfi_flight *leave_all(struct sfi_fetch *fetch)
{
    struct sfi_flight *kill = NULL;
    for (struct sfi_wait *wait = fetch->waits; wait; wait = wait->next_of_fetch) {
        struct sfi_flight *flight = wait->flight;
        if (flight) {
            fetch->pending--;
            kill = leave(wait) ? add_kill(kill, flight) : kill;
        }
    }
    return kill;
}

void sfi_fetch_cancel(struct sfi_fetch *fetch)
{
    struct sfi_fetcher *fetcher = fetch->fetcher;
    struct sfi_flight *kill = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    sfi_fetcher_lock(fetcher);
    bool waited = fetch->pending > 0;
    fetch->cancelled = true;
    if (waited) {
        kill = leave_all(fetch);
        (void)sfi_fail(&error, SHARDY_CANCELLED, "cancelled by the caller");
        fail_fetch(fetch, SHARDY_CANCELLED, &error);
    }
    bool ready = waited && fetch->pending == 0;
    sfi_fetcher_unlock(fetcher);
    kill_flights(fetcher, kill);
    if (ready) {
        fetch->ready(fetch);
    }
}

void sfi_fetch_clear(struct sfi_fetch *fetch)
{
    if (fetch->waits) {
        free_waits(fetch);
        sfi_fetcher_trim(fetch->fetcher, fetch->fetcher->budget, 2);
    }
    sfi_thrash_clear(&fetch->thrash);
}
