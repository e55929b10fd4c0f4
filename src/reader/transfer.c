/*
 * transfer.c - a whole object in parallel ranges. Some ranges are in flight at a time; the thread
 * that waits for them takes what has arrived, so that writing it away and checking it neither
 * blocks the network nor needs a thread of its own.
 */
#include "reader/transfer.h"

#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>
#include <pthread.h>

/* One of the ranges in flight; when it is done, the next range of the object takes its place. */
struct lane {
    struct sfi_store_request request;
    struct run *run;
    struct lane *next; /* of those that arrived */
};

struct run {
    struct sfi_transfer *transfer;
    uint64_t next; /* first byte that nobody requested */
    size_t active; /* lanes requested or arrived */
    bool begun;

    pthread_mutex_t lock; /* guards `arrived` */
    pthread_cond_t wake;
    struct lane *arrived;
};

static void lane_done(struct sfi_store_request *request)
{
    struct lane *lane = request->arg;
    struct run *run = lane->run;
    pthread_mutex_lock(&run->lock);
    lane->next = run->arrived;
    run->arrived = lane;
    pthread_cond_signal(&run->wake);
    pthread_mutex_unlock(&run->lock);
}

/* Request the next range through a lane; false: there is none. */
static bool start_lane(struct run *run, struct lane *lane)
{
    struct sfi_transfer *transfer = run->transfer;
    struct sfi_store_request *request = &lane->request;
    uint64_t left = transfer->size - run->next;
    if (run->begun ? left == 0 : run->active > 0 && (!transfer->size || left == 0)) {
        return false;
    }
    memset(request, 0, sizeof *request);
    request->verb = SFI_STORE_GET;
    request->key = transfer->key;
    request->condition = transfer->etag[0] ? SFI_STORE_IF_MATCH : SFI_STORE_ALWAYS;
    request->etag = transfer->etag;
    request->offset = run->next;
    request->length = transfer->size && left < SFI_TRANSFER_RANGE ? left : SFI_TRANSFER_RANGE;
    request->max_bytes = request->length;
    request->done = lane_done;
    request->arg = lane;
    lane->run = run;
    run->next += request->length;
    run->active++;
    sfi_store_submit(transfer->store, &request, 1);
    return true;
}

/* The first answer tells what the object is; all others must be of the same one. */
static shardy_status check_object(struct run *run, const struct sfi_store_request *request,
                                  shardy_error *err)
{
    struct sfi_transfer *transfer = run->transfer;
    if (!run->begun) {
        if (transfer->size && request->object_size != transfer->size) {
            return sfi_fail(err, SHARDY_CORRUPT,
                            "%s/%s: object has %" PRIu64 " bytes, the manifest says %" PRIu64,
                            transfer->store->url, transfer->key, request->object_size,
                            transfer->size);
        }
        if (transfer->max_bytes && request->object_size > transfer->max_bytes) {
            return sfi_fail(err, SHARDY_LIMIT, "%s/%s has %" PRIu64 " bytes, the limit is %" PRIu64,
                            transfer->store->url, transfer->key, request->object_size,
                            transfer->max_bytes);
        }
        transfer->size = request->object_size;
        run->next = run->next < transfer->size ? run->next : transfer->size;
        if (!transfer->etag[0]) {
            memcpy(transfer->etag, request->object_etag, SFI_ETAG_SIZE);
        }
        run->begun = true;
        if (transfer->begin) {
            SFI_RETURN_IF_ERR(transfer->begin(transfer->arg, transfer->size, err));
        }
    }
    if (request->object_size != transfer->size ||
        strcmp(request->object_etag, transfer->etag) != 0) {
        return sfi_fail(err, SHARDY_CONFLICT, "%s/%s was replaced while it was read",
                        transfer->store->url, transfer->key);
    }
    return SHARDY_OK;
}

static shardy_status take_answer(struct run *run, const struct sfi_store_request *request,
                                 shardy_error *err)
{
    struct sfi_transfer *transfer = run->transfer;
    struct sfi_bytes bytes = {request->data.data, request->data.size};
    if (request->status == SHARDY_CONFLICT) {
        return sfi_fail(err, SHARDY_CONFLICT, "%s/%s was replaced while it was read",
                        transfer->store->url, transfer->key);
    }
    if (request->status != SHARDY_OK) {
        if (err) {
            *err = request->error;
        }
        return request->status;
    }
    SFI_RETURN_IF_ERR(check_object(run, request, err));
    uint64_t left =
        transfer->size - (request->offset < transfer->size ? request->offset : transfer->size);
    uint64_t expected = left < request->length ? left : request->length;
    if (bytes.size != expected) {
        return sfi_fail(err, SHARDY_STORE,
                        "%s/%s: got %zu bytes at offset %" PRIu64 ", expected %" PRIu64,
                        transfer->store->url, transfer->key, bytes.size, request->offset, expected);
    }
    return bytes.size ? transfer->write(transfer->arg, request->offset, bytes, err) : SHARDY_OK;
}

static struct lane *wait_lane(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    while (!run->arrived) {
        pthread_cond_wait(&run->wake, &run->lock);
    }
    struct lane *lane = run->arrived;
    run->arrived = lane->next;
    pthread_mutex_unlock(&run->lock);
    return lane;
}

/* The others need not come any more; those that have are not touched. */
static void cancel_lanes(const struct run *run, struct lane *lanes)
{
    for (unsigned i = 0; i < SFI_TRANSFER_LANES; i++) {
        sfi_store_cancel(run->transfer->store, &lanes[i].request);
    }
}

/* Start as many lanes as there is work for; idle ones are on the list `spare`. */
static void start_lanes(struct run *run, struct lane **spare)
{
    while (*spare) {
        struct lane *lane = *spare;
        struct lane *rest = lane->next;
        if (!start_lane(run, lane)) {
            return;
        }
        *spare = rest;
    }
}

shardy_status sfi_transfer_run(struct sfi_transfer *transfer, shardy_error *err)
{
    struct run run = {
        .transfer = transfer, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct lane *lanes = sfi_calloc(SFI_TRANSFER_LANES, sizeof *lanes);
    struct lane *spare = NULL;
    shardy_status st = SHARDY_OK;
    if (!lanes) {
        return sfi_fail_memory(err, SFI_TRANSFER_LANES * sizeof *lanes);
    }
    for (unsigned i = 0; i < SFI_TRANSFER_LANES; i++) {
        lanes[i].next = spare;
        spare = &lanes[i];
    }
    start_lanes(&run, &spare);
    while (run.active) {
        struct lane *lane = wait_lane(&run);
        run.active--;
        if (st == SHARDY_OK) {
            st = take_answer(&run, &lane->request, err);
            if (st != SHARDY_OK) {
                cancel_lanes(&run, lanes);
            }
        }
        sfi_buf_clear(&lane->request.data);
        lane->next = spare;
        spare = lane;
        if (st == SHARDY_OK) {
            start_lanes(&run, &spare);
        }
    }
    sfi_free(lanes);
    pthread_cond_destroy(&run.wake);
    pthread_mutex_destroy(&run.lock);
    return st;
}
