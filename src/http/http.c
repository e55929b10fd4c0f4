/*
 * http.c - the client as other threads see it: requests, cancellations and timers go into lists
 * under one lock, and the I/O thread (http_loop.c) is woken when it sleeps.
 *
 * fork(): a client belongs to the process that made it or took it over. The first call in a child
 * starts afresh: whatever the parent's thread was doing, in its lock, its curl handles and its
 * requests, is left alone (and its memory lost to the child); sockets are closed in the child only,
 * without TLS closure alerts, so the parent's connections go on.
 */
#include "http/http.h"

#include "base/completion.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"
#include "http/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_once_t s_curl_once = PTHREAD_ONCE_INIT;
static CURLcode s_curl_ready;

static void start_curl(void)
{
    s_curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static shardy_status check_ca_file(const char *path, shardy_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char byte;
    if (fd < 0 || read(fd, &byte, 1) < 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return sfi_fail_errno(err, SHARDY_CONFIG, error,
                              "CA bundle %s cannot be read; give a readable PEM file", path);
    }
    close(fd);
    return SHARDY_OK;
}

/* curl asks the environment for every request, which costs time; mostly there is nothing in it. */
static bool has_proxy_environment(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) {
            return true;
        }
    }
    return false;
}

static void init_synced(struct sfi_http_client *client)
{
    memset(&client->synced, 0, sizeof client->synced);
    pthread_mutex_init(&client->synced.lock, NULL);
    sfi_http_wheel_init(&client->synced.wheel);
}

shardy_status sfi_http_client_new(const struct sfi_http_options *options,
                                  struct sfi_http_client **out, shardy_error *err)
{
    static const struct sfi_http_options defaults;
    shardy_status st = SHARDY_OK;
    struct sfi_http_client *client = NULL;
    *out = NULL;
    options = options ? options : &defaults;
    if (options->ca_file) {
        SFI_RETURN_IF_ERR(check_ca_file(options->ca_file, err));
    }
    client = sfi_calloc(1, sizeof *client);
    if (!client) {
        return sfi_fail_memory(err, sizeof *client);
    }
    unsigned connections = options->max_connections;
    connections = connections ? connections : SFI_HTTP_CONNECTIONS_DEFAULT;
    client->max_connections =
        connections < SFI_HTTP_CONNECTIONS_MAX ? connections : SFI_HTTP_CONNECTIONS_MAX;
    uint64_t connect_ms = options->connect_timeout_ms;
    uint64_t stall_ms = options->stall_timeout_ms;
    connect_ms = connect_ms ? connect_ms : SFI_HTTP_CONNECT_MS;
    stall_ms = stall_ms ? stall_ms : SFI_HTTP_STALL_MS;
    client->connect_timeout_ms = connect_ms < INT32_MAX ? connect_ms : INT32_MAX;
    client->stall_us = (stall_ms < INT32_MAX ? stall_ms : INT32_MAX) * 1000;
    client->insecure_tls = options->insecure_tls;
    client->no_proxy = options->no_proxy || !has_proxy_environment();
    client->http2 = options->http2;
    atomic_init(&client->owner, getpid());
    init_synced(client);
    client->ca_file = sfi_strdup(options->ca_file);
    if (options->ca_file && !client->ca_file) {
        st = sfi_fail_memory(err, strlen(options->ca_file));
        goto out;
    }
    *out = client;
    client = NULL;
out:
    sfi_http_client_free(client);
    return st;
}

/* Make the client this process's own. Several threads of a child may come at once. */
static void adopt(struct sfi_http_client *client)
{
    pid_t self = getpid();
    pid_t owner = atomic_load_explicit(&client->owner, memory_order_acquire);
    while (owner != self) {
        if (owner != 0 && atomic_compare_exchange_strong(&client->owner, &owner, 0)) {
            if (client->synced.loop) {
                sfi_http_loop_abandon(client->synced.loop);
            }
            init_synced(client);
            atomic_store_explicit(&client->owner, self, memory_order_release);
            return;
        }
        sched_yield();
        owner = atomic_load_explicit(&client->owner, memory_order_acquire);
    }
}

static shardy_status start_locked(struct sfi_http_client *client, shardy_error *err)
{
    struct sfi_http_loop *loop = NULL;
    sigset_t all;
    sigset_t before;
    if (client->synced.loop) {
        return SHARDY_OK;
    }
    pthread_once(&s_curl_once, start_curl);
    if (s_curl_ready != CURLE_OK) {
        return sfi_fail(err, SHARDY_NO_MEMORY, "cannot start libcurl: %s",
                        curl_easy_strerror(s_curl_ready));
    }
    SFI_RETURN_IF_ERR(sfi_http_loop_new(client, &loop, err));
    /* Signals are for the program's own threads; SIGPIPE of a TLS socket stays blocked for ever. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&client->synced.thread, NULL, sfi_http_loop_run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        sfi_http_loop_free(loop);
        return sfi_fail_errno(err, SHARDY_NO_MEMORY, error, "cannot start the network thread");
    }
    client->synced.loop = loop;
    return SHARDY_OK;
}

/* Unlock; wake the thread when it sleeps. The client's end is the only one that waits for us. */
static void unlock_and_wake(struct sfi_http_client *client)
{
    bool wake = client->synced.sleeping;
    client->synced.sleeping = false;
    if (wake) {
        (void)eventfd_write(client->synced.loop->wake, 1);
    }
    pthread_mutex_unlock(&client->synced.lock);
}

void sfi_http_client_free(struct sfi_http_client *client)
{
    if (!client) {
        return;
    }
    adopt(client);
    pthread_mutex_lock(&client->synced.lock);
    client->synced.stopping = true;
    struct sfi_http_loop *loop = client->synced.loop;
    unlock_and_wake(client);
    if (loop) {
        pthread_join(client->synced.thread, NULL);
        sfi_http_loop_free(loop);
    }
    pthread_mutex_destroy(&client->synced.lock);
    sfi_free(client->ca_file);
    sfi_free(client);
}

/* Empty, with the memory that it has. */
static void empty(struct sfi_buf *buf, size_t max)
{
    buf->size = 0;
    buf->max = max;
    buf->failed = false;
    buf->no_memory = false;
}

static void prepare(struct sfi_http_request *request)
{
    uint64_t max = request->max_body ? request->max_body : SIZE_MAX / 2;
    if (max < SFI_HTTP_ERROR_BODY_MAX) {
        max = SFI_HTTP_ERROR_BODY_MAX;
    }
    request->outcome = SFI_HTTP_NO_MEMORY;
    request->http_status = 0;
    empty(&request->data, max < SIZE_MAX / 2 ? (size_t)max : SIZE_MAX / 2);
    empty(&request->answer_head, (size_t)SFI_HTTP_HEAD_MAX * 2);
    request->content_length = UINT64_MAX;
    request->started_us = 0;
    request->ended_us = 0;
    request->connect_us = 0;
    request->error.status = SHARDY_OK;
    request->error.detail = 0;
    request->error.message[0] = '\0';
    request->exchange = NULL;
    request->next = NULL;
    request->prev = NULL;
    request->next_cancel = NULL;
    request->cancel = false;
}

void sfi_http_submit(struct sfi_http_client *client, struct sfi_http_request **requests,
                     size_t count)
{
    shardy_error err = SHARDY_ERROR_INIT;
    if (count == 0) {
        return;
    }
    adopt(client);
    for (size_t i = 0; i < count; i++) {
        prepare(requests[i]);
    }
    pthread_mutex_lock(&client->synced.lock);
    shardy_status st = start_locked(client, &err);
    if (st == SHARDY_OK) {
        for (size_t i = 0; i < count; i++) {
            requests[i]->pending = true;
            sfi_http_queue_push(&client->synced.inbox, requests[i]);
        }
    }
    unlock_and_wake(client);
    for (size_t i = 0; st != SHARDY_OK && i < count; i++) {
        requests[i]->pending = false;
        requests[i]->started_us = requests[i]->ended_us = sfi_monotonic_us();
        sfi_http_describe(requests[i], SFI_HTTP_NO_MEMORY, err.message);
        requests[i]->done(requests[i]);
    }
}

void sfi_http_cancel(struct sfi_http_client *client, struct sfi_http_request *request)
{
    adopt(client);
    pthread_mutex_lock(&client->synced.lock);
    if (client->synced.loop && request->pending && !request->cancel) {
        request->cancel = true;
        request->next_cancel = client->synced.cancels;
        client->synced.cancels = request;
    }
    unlock_and_wake(client);
}

void sfi_http_schedule(struct sfi_http_client *client, struct sfi_http_timer *timer,
                       uint64_t delay_ms)
{
    uint64_t delay = delay_ms < UINT64_MAX / 4000 ? delay_ms : UINT64_MAX / 4000;
    adopt(client);
    pthread_mutex_lock(&client->synced.lock); /* somebody may be cancelling it already */
    timer->cancelled = false;
    timer->next = NULL;
    timer->due_us = sfi_monotonic_us() + delay * 1000;
    shardy_status st = start_locked(client, NULL);
    if (st == SHARDY_OK) {
        sfi_http_wheel_add(&client->synced.wheel, timer);
    }
    unlock_and_wake(client);
    if (st != SHARDY_OK) {
        /* Without a thread nothing can be waited for: the same as the end of the client. */
        timer->due_us = 0;
        timer->cancelled = true;
        timer->fire(timer);
    }
}

void sfi_http_timer_cancel(struct sfi_http_client *client, struct sfi_http_timer *timer)
{
    adopt(client);
    pthread_mutex_lock(&client->synced.lock);
    sfi_http_wheel_cancel(&client->synced.wheel, timer);
    unlock_and_wake(client);
}

static void wake_waiter(struct sfi_http_request *request)
{
    sfi_completion_signal(request->arg);
}

void sfi_http_perform(struct sfi_http_client *client, struct sfi_http_request *request)
{
    struct sfi_completion completion = SFI_COMPLETION_INIT;
    void (*done)(struct sfi_http_request *) = request->done;
    void *arg = request->arg;
    request->done = wake_waiter;
    request->arg = &completion;
    sfi_http_submit(client, &request, 1);
    sfi_completion_wait(&completion);
    request->done = done;
    request->arg = arg;
}

bool sfi_http_on_thread(const struct sfi_http_client *client)
{
    struct sfi_http_client *writable = (struct sfi_http_client *)client; /* for its lock */
    adopt(writable);
    pthread_mutex_lock(&writable->synced.lock);
    struct sfi_http_loop *loop = client->synced.loop;
    pthread_mutex_unlock(&writable->synced.lock);
    return loop && atomic_load_explicit(&loop->running, memory_order_acquire) &&
           pthread_equal(loop->self, pthread_self());
}

void sfi_http_request_clear(struct sfi_http_request *request)
{
    sfi_buf_clear(&request->data);
    sfi_buf_clear(&request->answer_head);
}
