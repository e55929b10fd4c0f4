/*
 * http_loop.c - the I/O thread of a client: takes requests, cancellations and timers from the
 * client, gives as many requests to curl as there are connections, waits, and calls back.
 *
 * Requests beyond the connections wait here rather than in curl, which looks at every transfer that
 * it knows. Callbacks run outside of curl, with no lock held.
 */
#include "http/http_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <limits.h>
#include <unistd.h>

void sfi_http_queue_push(struct sfi_http_queue *queue, struct sfi_http_request *request)
{
    request->next = NULL;
    request->prev = queue->last;
    if (queue->last) {
        queue->last->next = request;
    } else {
        queue->first = request;
    }
    queue->last = request;
}

void sfi_http_queue_remove(struct sfi_http_queue *queue, struct sfi_http_request *request)
{
    if (request->prev) {
        request->prev->next = request->next;
    } else {
        queue->first = request->next;
    }
    if (request->next) {
        request->next->prev = request->prev;
    } else {
        queue->last = request->prev;
    }
    request->next = NULL;
    request->prev = NULL;
}

void sfi_http_queue_splice(struct sfi_http_queue *queue, struct sfi_http_queue *from)
{
    if (!from->first) {
        return;
    }
    from->first->prev = queue->last;
    if (queue->last) {
        queue->last->next = from->first;
    } else {
        queue->first = from->first;
    }
    queue->last = from->last;
    from->first = NULL;
    from->last = NULL;
}

shardy_status sfi_http_loop_new(struct sfi_http_client *client, struct sfi_http_loop **out,
                                shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct sfi_http_loop *loop = sfi_calloc(1, sizeof *loop);
    *out = NULL;
    if (!loop) {
        return sfi_fail_memory(err, sizeof *loop);
    }
    loop->client = client;
    loop->epoll = -1;
    loop->wake = -1;
    loop->curl_due_us = UINT64_MAX;
    loop->max_active = client->max_connections;
    loop->multi = curl_multi_init();
    loop->share = curl_share_init();
    if (!loop->multi || !loop->share) {
        st = sfi_fail(err, SHARDY_NO_MEMORY, "cannot start libcurl: out of memory");
        goto out;
    }
    /* One thread uses the share, so it needs no locks. */
    curl_share_setopt(loop->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    long connections = (long)client->max_connections;
    curl_multi_setopt(loop->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING,
                      client->http2 ? (long)CURLPIPE_MULTIPLEX : (long)CURLPIPE_NOTHING);
    if (client->http2) {
        loop->max_active *= SFI_HTTP_STREAMS;
    }
    SFI_TRY(sfi_http_socket_init(loop, err));
    *out = loop;
    loop = NULL;
out:
    sfi_http_loop_free(loop);
    return st;
}

void sfi_http_loop_free(struct sfi_http_loop *loop)
{
    if (!loop) {
        return;
    }
    while (loop->idle) {
        struct sfi_http_exchange *exchange = loop->idle;
        loop->idle = exchange->next;
        sfi_http_exchange_free(exchange);
    }
    curl_multi_cleanup(loop->multi);
    curl_share_cleanup(loop->share);
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    if (loop->wake >= 0) {
        close(loop->wake);
    }
    sfi_free(atomic_load(&loop->sockets));
    sfi_free(loop);
}

void sfi_http_loop_finish(struct sfi_http_loop *loop, struct sfi_http_request *request,
                          enum sfi_http_outcome outcome)
{
    request->outcome = outcome;
    request->ended_us = sfi_monotonic_us();
    sfi_http_queue_push(&loop->finished, request);
}

static void finish_cancelled(struct sfi_http_loop *loop, struct sfi_http_request *request)
{
    if (request->exchange) {
        sfi_http_exchange_abort(request->exchange, SFI_HTTP_CANCELLED);
        return;
    }
    sfi_http_queue_remove(&loop->queue, request);
    sfi_http_describe(request, SFI_HTTP_CANCELLED, NULL);
    sfi_http_loop_finish(loop, request, SFI_HTTP_CANCELLED);
}

/* Take a finished request off the list of cancellations that nobody has looked at yet. */
static void forget_cancel_locked(struct sfi_http_client *client, struct sfi_http_request *request)
{
    struct sfi_http_request **at = &client->synced.cancels;
    while (*at && *at != request) {
        at = &(*at)->next_cancel;
    }
    if (*at) {
        *at = request->next_cancel;
    }
}

/* Call back. From the moment that `pending` is false the request may be cancelled in vain. */
static void deliver(struct sfi_http_loop *loop)
{
    struct sfi_http_client *client = loop->client;
    struct sfi_http_request *request = loop->finished.first;
    if (!request) {
        return;
    }
    loop->finished.first = NULL;
    loop->finished.last = NULL;
    pthread_mutex_lock(&client->synced.lock);
    for (struct sfi_http_request *each = request; each; each = each->next) {
        each->pending = false;
        if (each->cancel) {
            forget_cancel_locked(client, each);
        }
    }
    pthread_mutex_unlock(&client->synced.lock);
    while (request) {
        struct sfi_http_request *next = request->next;
        request->next = NULL;
        request->prev = NULL;
        request->done(request); /* may free it */
        request = next;
    }
}

/* New requests and cancellations. Returns whether the client ends. */
static bool take_inbox(struct sfi_http_loop *loop)
{
    struct sfi_http_client *client = loop->client;
    pthread_mutex_lock(&client->synced.lock);
    client->synced.sleeping = false;
    bool stopping = client->synced.stopping;
    struct sfi_http_request *cancels = client->synced.cancels;
    client->synced.cancels = NULL;
    sfi_http_queue_splice(&loop->queue, &client->synced.inbox);
    pthread_mutex_unlock(&client->synced.lock);
    while (cancels) {
        struct sfi_http_request *next = cancels->next_cancel;
        cancels->next_cancel = NULL;
        finish_cancelled(loop, cancels);
        cancels = next;
    }
    return stopping;
}

static void cancel_all(struct sfi_http_loop *loop)
{
    while (loop->active_first) {
        finish_cancelled(loop, loop->active_first->request);
    }
    while (loop->queue.first) {
        finish_cancelled(loop, loop->queue.first);
    }
}

/* One at a time, so that a timer may cancel the next one. */
static void fire_timers(struct sfi_http_loop *loop, bool all)
{
    struct sfi_http_client *client = loop->client;
    for (;;) {
        pthread_mutex_lock(&client->synced.lock);
        struct sfi_http_timer *timer =
            sfi_http_wheel_take(&client->synced.wheel, loop->now_us, all);
        pthread_mutex_unlock(&client->synced.lock);
        if (!timer) {
            return;
        }
        timer->fire(timer); /* may free it */
    }
}

static void start_queued(struct sfi_http_loop *loop)
{
    while (loop->queue.first && loop->active_count < loop->max_active) {
        struct sfi_http_request *request = loop->queue.first;
        sfi_http_queue_remove(&loop->queue, request);
        sfi_http_exchange_start(loop, request);
    }
}

static void run_curl_timer(struct sfi_http_loop *loop)
{
    int running;
    if (loop->curl_due_us <= loop->now_us) {
        loop->curl_due_us = UINT64_MAX;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static void collect(struct sfi_http_loop *loop)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(loop->multi, &left)) != NULL;) {
        char *private_data = NULL;
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result; /* the message dies with the handle */
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private_data);
            sfi_http_exchange_end((struct sfi_http_exchange *)(void *)private_data, code);
        }
    }
}

/* The list is in the order of the last movement, so only its head can be late. */
static void end_stalled(struct sfi_http_loop *loop)
{
    struct sfi_http_exchange *exchange;
    while ((exchange = loop->active_first) != NULL &&
           exchange->moved_us + loop->client->stall_us <= loop->now_us) {
        if (exchange->sent) {
            sfi_http_exchange_abort(exchange, SFI_HTTP_TIMEOUT);
        } else {
            sfi_http_exchange_moved(exchange); /* the connect time-out is in charge */
        }
    }
}

static int wait_ms(const struct sfi_http_loop *loop, uint64_t timer_due_us)
{
    uint64_t due = timer_due_us < loop->curl_due_us ? timer_due_us : loop->curl_due_us;
    if (loop->active_first) {
        uint64_t stall = loop->active_first->moved_us + loop->client->stall_us;
        due = due < stall ? due : stall;
    }
    if (due == UINT64_MAX) {
        return -1;
    }
    uint64_t now = sfi_monotonic_us();
    uint64_t ms = due <= now ? 0 : (due - now + 999) / 1000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Go to sleep unless there is something to do; submitters wake us once `sleeping` is set. */
static int prepare_to_wait(struct sfi_http_loop *loop)
{
    struct sfi_http_client *client = loop->client;
    int timeout = 0;
    pthread_mutex_lock(&client->synced.lock);
    if (!client->synced.inbox.first && !client->synced.cancels && !client->synced.stopping &&
        !loop->finished.first) {
        timeout = wait_ms(loop, sfi_http_wheel_due(&client->synced.wheel));
        client->synced.sleeping = timeout != 0;
    }
    pthread_mutex_unlock(&client->synced.lock);
    return timeout;
}

/* Nothing left to call back, and nothing came in meanwhile. */
static bool is_drained(struct sfi_http_loop *loop)
{
    struct sfi_http_client *client = loop->client;
    pthread_mutex_lock(&client->synced.lock);
    bool drained = !loop->finished.first && !client->synced.inbox.first &&
                   sfi_http_wheel_due(&client->synced.wheel) == UINT64_MAX;
    pthread_mutex_unlock(&client->synced.lock);
    return drained;
}

void *sfi_http_loop_run(void *arg)
{
    struct sfi_http_loop *loop = arg;
    loop->self = pthread_self();
    atomic_store_explicit(&loop->running, true, memory_order_release);
    loop->now_us = sfi_monotonic_us();
    for (;;) {
        collect(loop);
        end_stalled(loop);
        deliver(loop);
        bool stopping = take_inbox(loop);
        fire_timers(loop, stopping);
        if (stopping) {
            cancel_all(loop);
            deliver(loop);
            if (is_drained(loop)) {
                return NULL;
            }
            continue;
        }
        start_queued(loop);
        run_curl_timer(loop);
        collect(loop);
        sfi_http_socket_wait(loop, prepare_to_wait(loop));
    }
}
