/*
 * async.c - lookups that are submitted. On mapped shards they are done at once. On a remote store
 * an operation is the same state machine as a synchronous call (wave.c), gone on with by whoever
 * ends its last request; shards that must be downloaded first are opened by an opener thread.
 *
 * An operation is counted by its handle and by whoever will go on with it: always exactly one of
 * the submitting thread, a fetch, an opener's job, or a thread that cancelled.
 */
#include "base/memory.h"
#include "reader/async_queue.h"
#include "reader/wave.h"

struct shardy_operation {
    atomic_uint refs;
    struct sfi_access *access; /* NULL: was done when it was submitted */
    shardy_reader *reader;     /* valid until the operation ends */
    struct sfi_wave wave;
    struct sfi_fetch fetch;
    struct sfi_wants wants;
    struct sfi_job job;
    shardy_snapshot *snapshot; /* reference through `stripe` */
    unsigned stripe;
    bool many;
    size_t count;
    uint64_t start;
    shardy_completion to;      /* holds a reference to its queue */
    struct sfi_queued *queued; /* place of the result */
};

void shardy_result_clear(shardy_result *result)
{
    if (result) {
        shardy_value_clear(&result->value);
        shardy_items_clear(&result->items);
        memset(result, 0, sizeof *result);
    }
}

void shardy_operation_release(shardy_operation *operation)
{
    if (operation && atomic_fetch_sub_explicit(&operation->refs, 1, memory_order_acq_rel) == 1) {
        sfi_access_release(operation->access);
        sfi_free(operation);
    }
}

/* Give a result to whom it belongs; `queued` is taken over. */
static void deliver(const shardy_completion *to, struct sfi_queued *queued)
{
    queued->result.arg = to->arg;
    if (to->done) {
        to->done(to->arg, &queued->result);
        sfi_free(queued);
    } else {
        sfi_queue_push(to->queue, queued);
    }
}

/* --- on a remote store -------------------------------------------------------------------------
 */

/* Move the results out of the wave. The operation's reference to its snapshot moves along. */
static shardy_status take_results(shardy_operation *operation, shardy_result *result,
                                  shardy_error *err)
{
    if (!operation->many) {
        sfi_wave_take_value(&operation->wave, operation->stripe, &result->value);
        if (result->value.data) {
            operation->snapshot = NULL;
        }
        return SHARDY_OK;
    }
    struct sfi_items_owner *owner =
        sfi_items_new(operation->snapshot, operation->stripe, operation->count);
    if (!owner) {
        return sfi_fail_memory(err, operation->count * sizeof(shardy_item));
    }
    operation->snapshot = NULL;
    shardy_status st = sfi_wave_take_items(&operation->wave, owner, err);
    if (st != SHARDY_OK) {
        sfi_items_free(owner);
        return st;
    }
    result->items.items = owner->items;
    result->items.count = operation->count;
    result->items.owner = owner;
    return SHARDY_OK;
}

/* The end: tell, and let go of everything. The caller must not touch the operation any more. */
static void finish(shardy_operation *operation, shardy_status st, const shardy_error *error)
{
    struct sfi_access *access = operation->access;
    struct sfi_queued *queued = operation->queued;
    shardy_result *result = &queued->result;
    shardy_completion to = operation->to;
    result->error = *error;
    if (st == SHARDY_OK) {
        st = take_results(operation, result, &result->error);
    }
    result->status = st;
    if (operation->snapshot) {
        sfi_snapshot_unref(operation->snapshot, operation->stripe);
    }
    sfi_wave_clear(&operation->wave);
    sfi_wants_clear(&operation->wants);
    sfi_fetch_clear(&operation->fetch);
    if (st == SHARDY_OK && operation->many) {
        sfi_emit_multi_get(operation->reader, operation->start, operation->count);
    } else if (st == SHARDY_OK) {
        sfi_emit_get(operation->reader, operation->start, result->value.data != NULL);
    }
    deliver(&to, queued);
    if (to.queue) {
        sfi_queue_release(to.queue);
    }
    shardy_operation_release(operation); /* the reader still holds `access` */
    sfi_access_end(access);
}

/* Go on until something is pending or everything is done. */
static void resume(shardy_operation *operation)
{
    struct sfi_fetch *fetch = &operation->fetch;
    shardy_error error = SHARDY_ERROR_INIT;
    bool finished = false;
    bool progress = false;
    for (;;) {
        if (fetch->status != SHARDY_OK) {
            finish(operation, fetch->status, &fetch->error);
            return;
        }
        uint64_t since = sfi_fetch_stamp(fetch->fetcher);
        shardy_status st =
            sfi_wave_step(&operation->wave, &operation->wants, &finished, &progress, &error);
        if (st != SHARDY_OK || finished) {
            finish(operation, st, &error);
            return;
        }
        if (sfi_fetch_start(fetch, &operation->wants, since, progress)) {
            return; /* `landed` goes on, perhaps already on another thread */
        }
    }
}

static void landed(struct sfi_fetch *fetch)
{
    resume(fetch->arg);
}

/* On an opener thread: shards that take requests to be opened. */
static void open_blocking(struct sfi_job *job)
{
    shardy_operation *operation =
        (shardy_operation *)((char *)job - offsetof(shardy_operation, job));
    shardy_error error = SHARDY_ERROR_INIT;
    bool closed;
    shardy_status st = sfi_wave_open(&operation->wave, true, &closed, &error);
    if (st != SHARDY_OK) {
        finish(operation, st, &error);
    } else {
        resume(operation);
    }
}

static void start(shardy_operation *operation)
{
    shardy_error error = SHARDY_ERROR_INIT;
    bool closed = false;
    shardy_status st = sfi_wave_open(&operation->wave, false, &closed, &error);
    if (st == SHARDY_OK && closed) {
        st = sfi_opener_submit(&operation->access->opener, &operation->job, &error);
    } else if (st == SHARDY_OK) {
        resume(operation);
    }
    if (st != SHARDY_OK) {
        finish(operation, st, &error);
    }
}

void shardy_operation_cancel(shardy_operation *operation)
{
    shardy_error error = SHARDY_ERROR_INIT;
    if (!operation || !operation->access) {
        return;
    }
    if (sfi_opener_remove(&operation->access->opener, &operation->job)) {
        (void)sfi_fail(&error, SHARDY_CANCELLED, "cancelled by the caller");
        finish(operation, SHARDY_CANCELLED, &error);
    } else {
        sfi_fetch_cancel(&operation->fetch);
    }
}

/* --- submitting --------------------------------------------------------------------------------
 */

/* What a call submits. */
struct call {
    shardy_reader *reader;
    const shardy_key *keys;
    size_t count;
    const shardy_context *context; /* NULL: by the keys */
    bool many;
    const shardy_completion *to;
    uint64_t start;
};

/* An operation that was never shared. */
static void discard(shardy_operation *operation)
{
    sfi_wave_clear(&operation->wave);
    sfi_access_release(operation->access);
    sfi_free(operation);
}

/* The reference to the snapshot moves into the operation when that succeeds. */
static shardy_status submit_remote(const struct call *call, shardy_snapshot *snapshot,
                                   unsigned stripe, struct sfi_queued *queued,
                                   shardy_operation **handle, shardy_error *err)
{
    uint32_t where;
    SFI_RETURN_IF_ERR(sfi_lookup_where(snapshot, call->context, &where, err));
    shardy_operation *operation = sfi_calloc(1, sizeof *operation);
    if (!operation) {
        return sfi_fail_memory(err, sizeof *operation);
    }
    atomic_init(&operation->refs, handle ? 2 : 1);
    operation->access = sfi_access_acquire(snapshot->access);
    operation->reader = call->reader;
    operation->snapshot = snapshot;
    operation->stripe = stripe;
    operation->many = call->many;
    operation->count = call->count;
    operation->start = call->start;
    operation->to = *call->to;
    operation->queued = queued;
    operation->job.run = open_blocking;
    operation->fetch.fetcher = &operation->access->fetcher;
    operation->fetch.ready = landed;
    operation->fetch.arg = operation;
    shardy_status st = sfi_wave_init(&operation->wave, snapshot, call->keys, call->count, where,
                                     call->many, true, err);
    if (st != SHARDY_OK) {
        discard(operation);
        return st;
    }
    if (operation->to.done) {
        operation->to.queue = NULL;
    } else {
        sfi_queue_acquire(operation->to.queue);
    }
    if (handle) {
        *handle = operation;
    }
    sfi_access_begin(operation->access);
    start(operation);
    return SHARDY_OK;
}

/* Nothing to wait for. The reference to the snapshot moves into the result, or is dropped. */
static shardy_status submit_mapped(const struct call *call, shardy_snapshot *snapshot,
                                   unsigned stripe, struct sfi_queued *queued,
                                   shardy_operation **handle, shardy_error *err)
{
    shardy_operation *operation = handle ? sfi_calloc(1, sizeof *operation) : NULL;
    shardy_status st;
    if (handle && !operation) {
        sfi_snapshot_unref(snapshot, stripe);
        return sfi_fail_memory(err, sizeof *operation);
    }
    if (call->many) {
        st = sfi_get_items_at(snapshot, stripe, call->keys, call->count, call->context,
                              &queued->result.items, err);
    } else {
        st = sfi_get_value_at(snapshot, stripe, call->keys, call->context, &queued->result.value,
                              err);
    }
    if (st != SHARDY_OK) {
        sfi_free(operation);
        return st;
    }
    if (handle) {
        atomic_init(&operation->refs, 1);
        *handle = operation;
    }
    if (call->many) {
        sfi_emit_multi_get(call->reader, call->start, call->count);
    } else {
        sfi_emit_get(call->reader, call->start, queued->result.value.data != NULL);
    }
    deliver(call->to, queued);
    return SHARDY_OK;
}

static shardy_status submit(const struct call *call, shardy_operation **handle, shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    shardy_status st;
    if (handle) {
        *handle = NULL;
    }
    if (!call->to || (!call->to->done && !call->to->queue)) {
        return sfi_fail(err, SHARDY_CONFIG, "the completion has neither a callback nor a queue");
    }
    struct sfi_queued *queued = sfi_calloc(1, sizeof *queued);
    if (!queued) {
        return sfi_fail_memory(err, sizeof *queued);
    }
    st = sfi_reader_acquire(call->reader, &snapshot, &stripe, err);
    if (st == SHARDY_OK && !snapshot->access) {
        st = submit_mapped(call, snapshot, stripe, queued, handle, err);
    } else if (st == SHARDY_OK) {
        st = submit_remote(call, snapshot, stripe, queued, handle, err);
        if (st != SHARDY_OK) {
            sfi_snapshot_unref(snapshot, stripe);
        }
    }
    if (st != SHARDY_OK) {
        sfi_free(queued);
    }
    return st;
}

shardy_status shardy_reader_get_async(shardy_reader *reader, const shardy_key *key,
                                      const shardy_completion *completion,
                                      shardy_operation **operation, shardy_error *err)
{
    return shardy_reader_get_async_with_context(reader, key, NULL, completion, operation, err);
}

shardy_status shardy_reader_get_async_with_context(shardy_reader *reader, const shardy_key *key,
                                                   const shardy_context *context,
                                                   const shardy_completion *completion,
                                                   shardy_operation **operation, shardy_error *err)
{
    const struct call call = {reader, key, 1, context, false, completion, sfi_event_start(reader)};
    return submit(&call, operation, err);
}

shardy_status shardy_reader_multi_get_async(shardy_reader *reader, const shardy_key *keys,
                                            size_t count, const shardy_completion *completion,
                                            shardy_operation **operation, shardy_error *err)
{
    return shardy_reader_multi_get_async_with_context(reader, keys, count, NULL, completion,
                                                      operation, err);
}

shardy_status shardy_reader_multi_get_async_with_context(
    shardy_reader *reader, const shardy_key *keys, size_t count, const shardy_context *context,
    const shardy_completion *completion, shardy_operation **operation, shardy_error *err)
{
    const struct call call = {
        reader, keys, count, context, true, completion, sfi_event_start(reader)};
    return submit(&call, operation, err);
}
