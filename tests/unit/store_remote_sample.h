/*
 * store_remote_sample.h - a store as a remote one: objects are not mapped, requests complete on a
 * thread of its own, all of one batch after a tick. It counts requests, bytes and dependent rounds
 * and can fail, delay, cut or replace answers.
 */
#ifndef TESTS_STORE_REMOTE_SAMPLE_H
#define TESTS_STORE_REMOTE_SAMPLE_H

#include "snapshot_sample.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <time.h>

/* What becomes of one answer. */
enum rs_fault { RS_NONE, RS_FAIL, RS_MISSING, RS_REPLACED, RS_CUT, RS_OTHER_SIZE };

struct rs_store {
    struct sfi_store base;
    struct sfi_store_ops ops;
    struct sfi_store *inner;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct rs_item *first;
    struct rs_item *last;
    bool stop;
    bool held; /* nothing completes */
    unsigned tick_us;

    /* Counters; a round is a batch of answers that no later request could depend on. */
    size_t requests;
    size_t heads;
    size_t lists;
    size_t writes;
    size_t rounds;
    size_t cancels;
    uint64_t bytes;

    /* From the `fault_at`-th request on (1 = the next), `fault_count` times, for keys that end
     * with `fault_key` (NULL: all). */
    enum rs_fault fault;
    size_t fault_at;
    size_t fault_count;
    const char *fault_key;
};

struct rs_item {
    struct rs_item *next;
    struct rs_store *store;
    struct sfi_store_request *outer;
    struct sfi_store_request inner;
    enum rs_fault fault;
    bool cancelled;
};

static inline bool rs_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static inline enum rs_fault rs_take_fault(struct rs_store *store, const char *key)
{
    if (store->fault == RS_NONE || !store->fault_count ||
        (store->fault_key && !rs_ends_with(key, store->fault_key)) || --store->fault_at > 0) {
        return RS_NONE;
    }
    store->fault_at = 1;
    store->fault_count--;
    return store->fault;
}

static inline void rs_inner_done(struct sfi_store_request *request)
{
    (void)request;
}

static inline void rs_refuse(struct rs_item *item, shardy_status st, const char *what)
{
    struct sfi_store_request *outer = item->outer;
    sfi_buf_init(&outer->data, SIZE_MAX - 1);
    outer->object_size = 0;
    outer->object_etag[0] = '\0';
    outer->status = sfi_fail(&outer->error, st, "sample: %s: %s", outer->key, what);
}

static inline void rs_answer(struct rs_item *item)
{
    struct sfi_store_request *outer = item->outer;
    struct sfi_store_request *inner = &item->inner;
    *inner = *outer;
    inner->done = rs_inner_done;
    inner->arg = item;
    item->store->inner->ops->submit(item->store->inner, &inner, 1);
    outer->status = inner->status;
    outer->error = inner->error;
    outer->data = inner->data;
    outer->unchanged = inner->unchanged;
    outer->object_size = inner->object_size;
    memcpy(outer->object_etag, inner->object_etag, SFI_ETAG_SIZE);
    if (item->fault == RS_CUT && outer->data.size) {
        outer->data.size /= 2;
    } else if (item->fault == RS_OTHER_SIZE) {
        outer->object_size += 4096;
    }
}

static inline void rs_complete(struct rs_item *item)
{
    if (item->cancelled) {
        rs_refuse(item, SHARDY_CANCELLED, "cancelled");
    } else if (item->fault == RS_FAIL) {
        rs_refuse(item, SHARDY_STORE, "injected failure");
    } else if (item->fault == RS_MISSING) {
        rs_refuse(item, SHARDY_NOT_FOUND, "does not exist");
    } else if (item->fault == RS_REPLACED) {
        rs_refuse(item, SHARDY_CONFLICT, "another ETag");
    } else {
        rs_answer(item);
    }
    pthread_mutex_lock(&item->store->lock);
    item->store->bytes += item->outer->data.size;
    pthread_mutex_unlock(&item->store->lock);
    struct sfi_store_request *outer = item->outer;
    free(item);
    outer->done(outer);
}

/* Take everything that is there: one round. */
static inline void *rs_work(void *arg)
{
    struct rs_store *store = arg;
    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (!store->stop && (!store->first || store->held)) {
            pthread_cond_wait(&store->wake, &store->lock);
        }
        if (!store->first) {
            break;
        }
        if (store->tick_us) {
            struct timespec tick = {0, (long)store->tick_us * 1000};
            pthread_mutex_unlock(&store->lock);
            nanosleep(&tick, NULL);
            pthread_mutex_lock(&store->lock);
        }
        struct rs_item *batch = store->first;
        store->first = NULL;
        store->last = NULL;
        store->rounds++;
        pthread_mutex_unlock(&store->lock);
        while (batch) {
            struct rs_item *next = batch->next;
            rs_complete(batch);
            batch = next;
        }
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

static inline void rs_submit(struct sfi_store *base, struct sfi_store_request **requests,
                             size_t count)
{
    struct rs_store *store = (struct rs_store *)base;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        struct rs_item *item = snap_alloc(sizeof *item);
        item->store = store;
        item->outer = requests[i];
        item->fault = rs_take_fault(store, requests[i]->key);
        requests[i]->pending = item;
        store->requests++;
        store->heads += requests[i]->verb == SFI_STORE_HEAD;
        store->writes += requests[i]->verb > SFI_STORE_HEAD;
        if (store->last) {
            store->last->next = item;
        } else {
            store->first = item;
        }
        store->last = item;
    }
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
}

/* Cancelled requests complete at once, also while the others are held. */
static inline void rs_cancel(struct sfi_store *base, struct sfi_store_request *request)
{
    struct rs_store *store = (struct rs_store *)base;
    struct rs_item *found = NULL;
    pthread_mutex_lock(&store->lock);
    struct rs_item *previous = NULL;
    for (struct rs_item *item = store->first; item && !found; item = item->next) {
        if (item->outer == request) {
            found = item;
            *(previous ? &previous->next : &store->first) = item->next;
            store->last = store->last == item ? previous : store->last;
        }
        previous = item;
    }
    store->cancels += found != NULL;
    pthread_mutex_unlock(&store->lock);
    if (found) {
        found->cancelled = true;
        rs_refuse(found, SHARDY_CANCELLED, "cancelled");
        struct sfi_store_request *outer = found->outer;
        free(found);
        outer->done(outer);
    }
}

static inline shardy_status rs_list(struct sfi_store *base, const char *prefix, bool deep,
                                    struct sfi_store_list *list, shardy_error *err)
{
    struct rs_store *store = (struct rs_store *)base;
    pthread_mutex_lock(&store->lock);
    store->lists++;
    pthread_mutex_unlock(&store->lock);
    return store->inner->ops->list(store->inner, prefix, deep, list, err);
}

static inline void rs_close(struct sfi_store *base)
{
    struct rs_store *store = (struct rs_store *)base;
    pthread_mutex_lock(&store->lock);
    store->stop = true;
    store->held = false;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->thread, NULL);
    sfi_store_release(store->inner);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->wake);
    free(store);
}

/* A remote view of the store at `url`; release base with sfi_store_release. */
static inline struct rs_store *rs_open(const char *url)
{
    struct rs_store *store = snap_alloc(sizeof *store);
    snap_ok(sfi_store_open(url, NULL, &store->inner, err));
    store->ops = *store->inner->ops;
    store->ops.scheme = "sample";
    store->ops.remote = true;
    store->ops.submit = rs_submit;
    store->ops.cancel = rs_cancel;
    store->ops.list = rs_list;
    store->ops.map = NULL;
    store->ops.delete_many = NULL;
    store->ops.close = rs_close;
    snap_ok(sfi_store_init(&store->base, &store->ops, store->inner->url, err));
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->wake, NULL);
    assert_int_equal(pthread_create(&store->thread, NULL, rs_work, store), 0);
    return store;
}

static inline void rs_reset(struct rs_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->requests = store->heads = store->lists = store->writes = 0;
    store->rounds = store->cancels = 0;
    store->bytes = 0;
    pthread_mutex_unlock(&store->lock);
}

static inline void rs_fail(struct rs_store *store, enum rs_fault fault, size_t at, size_t count,
                           const char *key)
{
    pthread_mutex_lock(&store->lock);
    store->fault = fault;
    store->fault_at = at;
    store->fault_count = count;
    store->fault_key = key;
    pthread_mutex_unlock(&store->lock);
}

/* Hold all answers back, or let them go. */
static inline void rs_hold(struct rs_store *store, bool held)
{
    pthread_mutex_lock(&store->lock);
    store->held = held;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
}

static inline size_t rs_requests(struct rs_store *store)
{
    pthread_mutex_lock(&store->lock);
    size_t requests = store->requests;
    pthread_mutex_unlock(&store->lock);
    return requests;
}

#endif
