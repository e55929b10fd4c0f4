/*
 * store_s3_call.c - one S3 operation from credentials to its result: the state machine of tries.
 *
 * A try asks for credentials, signs, and hands an exchange to the HTTP client; its end decides:
 * done, once more at once (clock, region, credentials or checksum learnt), once more after a wait,
 * or failed. Nothing here blocks; after the first try everything runs on the client's thread or on
 * the credential provider's. What an answer means is the maker's `judge`, which answers are worth
 * another try is store_s3_retry.c, what a failure says is store_s3_error.c.
 *
 * Cancelling works by a timer on the client's thread, which looks at the call again and again until
 * it is finished: the phases of a call need no lock.
 */
#include "store/store_s3_internal.h"

#include "base/completion.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 20u

static void try_again(struct sfi_s3_call *call);

struct sfi_s3_call *sfi_s3_call_new(struct sfi_s3_store *store, size_t extra)
{
    struct sfi_s3_call *call = sfi_calloc(1, sizeof *call + extra);
    if (!call) {
        return NULL;
    }
    sfi_s3_enter(store);
    call->store = store;
    atomic_init(&call->refs, 1);
    sfi_s3_address_init(&call->address);
    sfi_buf_init(&call->authorization, SFI_S3_XML_TEXT_MAX);
    pthread_mutex_lock(&store->synced.lock);
    call->next = store->synced.calls;
    if (call->next) {
        call->next->previous = call;
    }
    store->synced.calls = call;
    pthread_mutex_unlock(&store->synced.lock);
    return call;
}

void sfi_s3_call_acquire(struct sfi_s3_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

/* Under the store's lock, so that every call in the store's list has a reference. */
void sfi_s3_call_release(struct sfi_s3_call *call)
{
    if (!call) {
        return;
    }
    struct sfi_s3_store *store = call->store;
    pthread_mutex_lock(&store->synced.lock);
    bool last = atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1;
    if (last) {
        sfi_http_request_clear(&call->http);
        sfi_credentials_release(call->credentials);
        sfi_s3_address_clear(&call->address);
        sfi_buf_clear(&call->authorization);
        if (call->previous) {
            call->previous->next = call->next;
        } else if (store->synced.calls == call) {
            store->synced.calls = call->next;
        }
        if (call->next) {
            call->next->previous = call->previous;
        }
        if (!store->synced.calls) {
            pthread_cond_broadcast(&store->synced.idle);
        }
    }
    pthread_mutex_unlock(&store->synced.lock);
    if (last) {
        sfi_free(call);
    }
}

void *sfi_s3_call_state(struct sfi_s3_call *call)
{
    return call + 1;
}

void sfi_s3_call_header(struct sfi_s3_call *call, const char *name, const char *value)
{
    call->extra[call->extra_count].name = name;
    call->extra[call->extra_count++].value = value;
}

/* Ends the call and the engine's reference. */
static void finish(struct sfi_s3_call *call, shardy_status status)
{
    call->status = status;
    atomic_store(&call->phase, SFI_S3_FINISHED);
    call->done(call);
    sfi_s3_call_release(call);
}

/* An end without an answer that decides; `error` is set. What may have happened must be said. */
static void give_up(struct sfi_s3_call *call)
{
    shardy_error *error = &call->error;
    if (call->mutates && call->maybe_acted && error->status != SHARDY_CONFLICT) {
        int detail = error->detail;
        shardy_error why = *error;
        sfi_fail(error, SHARDY_UNKNOWN, "%.900s; it may have taken effect all the same",
                 why.message);
        error->detail = detail;
    }
    finish(call, error->status);
}

static void finish_failed(struct sfi_s3_call *call, shardy_status status, const char *why)
{
    sfi_s3_fail_call(call, status, why);
    give_up(call);
}

static bool is_cancelled(struct sfi_s3_call *call)
{
    return atomic_load(&call->cancelled);
}

static void on_credentials(void *arg, struct sfi_credentials *credentials, shardy_status status,
                           const shardy_error *error);

/* true: they are here, and the caller goes on. */
static bool ask_credentials(struct sfi_s3_call *call)
{
    atomic_store(&call->handshake, 0);
    sfi_credentials_request(call->store->provider, call->rejected, on_credentials, call);
    return atomic_exchange(&call->handshake, 1) == 2;
}

static void on_pause_over(struct sfi_http_timer *timer)
{
    struct sfi_s3_call *call = timer->arg;
    atomic_store(&call->phase, SFI_S3_IDLE);
    try_again(call);
}

static void wait_for(struct sfi_s3_call *call, uint64_t ms)
{
    call->timer.fire = on_pause_over;
    call->timer.arg = call;
    call->timer.cancelled = false;
    atomic_store(&call->phase, SFI_S3_WAITING);
    sfi_http_schedule(call->store->client, &call->timer, ms);
}

/* Whether the store is slowing down: then the call waits for its turn once a try. */
static bool must_pause(struct sfi_s3_call *call)
{
    struct sfi_s3_store *store = call->store;
    uint64_t now = sfi_monotonic_us();
    pthread_mutex_lock(&store->synced.lock);
    uint64_t until = store->synced.throttle.paused_until_us;
    uint64_t random = store->synced.random = store->synced.random * 6364136223846793005u + 1;
    pthread_mutex_unlock(&store->synced.lock);
    if (call->paused || until <= now) {
        return false;
    }
    call->paused = true;
    uint64_t ms = (until - now) / 1000 + 1;
    wait_for(call, ms + (random >> 33) % (ms + 1));
    return true;
}

/* The refusal stands; why there are no newer credentials is said behind it. */
static void no_newer_credentials(struct sfi_s3_call *call)
{
    shardy_status st = sfi_s3_fail_answer(call);
    if (call->credential_status != SHARDY_OK) {
        shardy_error refusal = call->error;
        sfi_fail(&call->error, st, "%.600s; %.400s", refusal.message,
                 call->credential_error.message);
        call->error.detail = refusal.detail;
    }
    give_up(call);
}

/* Credentials are here. true: the exchange is ready to be submitted. */
static bool make_ready(struct sfi_s3_call *call)
{
    if (call->credential_status != SHARDY_OK && !call->rejected) {
        call->error = call->credential_error;
        give_up(call);
        return false;
    }
    if (call->rejected &&
        (call->credential_status != SHARDY_OK || call->credentials->generation == call->rejected)) {
        no_newer_credentials(call);
        return false;
    }
    call->rejected = 0;
    if (is_cancelled(call)) {
        finish_failed(call, SHARDY_CANCELLED, "cancelled");
        return false;
    }
    if (must_pause(call)) {
        return false;
    }
    sfi_http_request_clear(&call->http);
    if (sfi_s3_exchange_prepare(call) != SHARDY_OK) {
        give_up(call);
        return false;
    }
    return true;
}

static void on_exchange(struct sfi_http_request *http);

/* The exchange is handed over: from here on the call belongs to the client's thread. */
static struct sfi_http_request *hand_over(struct sfi_s3_call *call)
{
    call->attempts++;
    call->http.done = on_exchange;
    call->http.arg = call;
    atomic_store(&call->phase, SFI_S3_IN_EXCHANGE);
    return &call->http;
}

static void go_on(struct sfi_s3_call *call)
{
    if (make_ready(call)) {
        struct sfi_http_request *http = hand_over(call);
        sfi_http_submit(call->store->client, &http, 1);
    }
}

static void on_credentials(void *arg, struct sfi_credentials *credentials, shardy_status status,
                           const shardy_error *error)
{
    struct sfi_s3_call *call = arg;
    call->credential_status = status;
    if (status == SHARDY_OK) {
        sfi_credentials_release(call->credentials);
        call->credentials = credentials;
    } else {
        call->credential_error = *error; /* messages still name the source of the old ones */
    }
    if (atomic_exchange(&call->handshake, 2) == 1) {
        go_on(call);
    }
}

static void try_again(struct sfi_s3_call *call)
{
    if (is_cancelled(call) || call->timer.cancelled) {
        finish_failed(call, SHARDY_CANCELLED, "cancelled");
    } else if (ask_credentials(call)) {
        go_on(call);
    }
}

/*
 * Another try after a wait, unless attempts, time or the store's budget are used up: then `error`,
 * which is set, is the result. The time counts from the first failure: a first try that stalls, and
 * so lasts as long as a time-out allows, leaves all of it for others.
 */
static void retry(struct sfi_s3_call *call, bool throttled)
{
    struct sfi_s3_store *store = call->store;
    uint64_t now = sfi_monotonic_us();
    bool timeout = call->http.outcome == SFI_HTTP_TIMEOUT;
    unsigned cost = timeout ? SFI_S3_RETRY_TIMEOUT_COST : SFI_S3_RETRY_COST;
    uint64_t after =
        call->http.outcome == SFI_HTTP_ANSWERED
            ? sfi_s3_retry_after(sfi_s3_answer_header(call, "retry-after"), sfi_now_us() / 1000000)
            : 0;
    pthread_mutex_lock(&store->synced.lock);
    if (throttled) {
        sfi_s3_throttle_slow_down(&store->synced.throttle, now);
    }
    uint64_t random = store->synced.random = store->synced.random * 6364136223846793005u + 1;
    uint64_t wait = sfi_s3_backoff(store->config.backoff_ms, call->backoff_ms, random >> 20);
    wait = after > wait ? after : wait;
    call->failed_us = call->failed_us ? call->failed_us : now;
    bool again = ++call->tries < store->config.max_attempts &&
                 now - call->failed_us + wait * 1000 <= store->config.retry_timeout_ms * 1000 &&
                 sfi_s3_throttle_pay(&store->synced.throttle, cost);
    pthread_mutex_unlock(&store->synced.lock);
    if (!again) {
        give_up(call);
        return;
    }
    call->paid = cost;
    call->backoff_ms = wait;
    call->paused = false;
    wait_for(call, wait);
}

/* The server's clock from its Date header. */
static bool learn_skew(struct sfi_s3_call *call)
{
    int64_t theirs;
    if (call->skew_learnt || !sfi_s3_http_date(sfi_s3_answer_header(call, "date"), &theirs)) {
        return false;
    }
    call->skew_learnt = true;
    pthread_mutex_lock(&call->store->synced.lock);
    call->store->synced.skew_s = theirs - sfi_now_us() / 1000000;
    pthread_mutex_unlock(&call->store->synced.lock);
    return true;
}

/* Region in a redirect or a refusal. Only the region is believed, never a host. */
static bool learn_region(struct sfi_s3_call *call)
{
    char region[SFI_AWS_REGION_SIZE];
    const struct sfi_s3_error *answer = &call->answer;
    memcpy(region, answer->region, sizeof region);
    if (!region[0]) {
        sfi_s3_region_of_host(answer->endpoint, region);
    }
    if (call->region_learnt || !sfi_region_is_valid(region) || !strcmp(region, call->region)) {
        return false;
    }
    call->region_learnt = true;
    pthread_mutex_lock(&call->store->synced.lock);
    memcpy(call->store->synced.region, region, sizeof region);
    pthread_mutex_unlock(&call->store->synced.lock);
    return true;
}

static bool drop_checksum(struct sfi_s3_call *call)
{
    bool drop = false;
    if (call->checksum_sent && !call->checksum_dropped) {
        pthread_mutex_lock(&call->store->synced.lock);
        drop = !call->store->synced.checksum_taken;
        call->store->synced.checksum = call->store->synced.checksum && !drop;
        pthread_mutex_unlock(&call->store->synced.lock);
        call->checksum_dropped = drop;
    }
    return drop;
}

/* Ask for newer credentials than those that were refused. */
static bool renew(struct sfi_s3_call *call)
{
    if (call->renewed || call->credentials->anonymous) {
        return false;
    }
    call->renewed = true;
    call->rejected = call->credentials->generation;
    return true;
}

/* HEAD has no body, so a bare 400 or 403 may be the clock, the region or the credentials. */
static enum sfi_s3_class classify(const struct sfi_s3_call *call)
{
    const struct sfi_s3_error *answer = &call->answer;
    int status = call->http.http_status;
    enum sfi_s3_class class = sfi_s3_classify(status, answer->code);
    int64_t theirs;
    if (class != SFI_S3_FATAL || answer->code[0] || (status != 400 && status != 403)) {
        return class;
    }
    if (answer->region[0] && strcmp(answer->region, call->region) != 0) {
        return SFI_S3_ELSEWHERE;
    }
    if (sfi_s3_http_date(sfi_s3_answer_header(call, "date"), &theirs) &&
        llabs(theirs - sfi_now_us() / 1000000) > 300 && !call->skew_learnt) {
        return SFI_S3_SKEWED;
    }
    return call->credentials->expires_at ? SFI_S3_EXPIRED : class;
}

/* An error answer like any other. */
static void on_error_answer(struct sfi_s3_call *call)
{
    const struct sfi_s3_error *answer = &call->answer;
    int status = call->http.http_status;
    bool at_once = false;
    enum sfi_s3_class class = classify(call);
    switch (class) {
    case SFI_S3_EXPIRED:
        at_once = renew(call);
        break;
    case SFI_S3_SKEWED:
        at_once = learn_skew(call);
        break;
    case SFI_S3_ELSEWHERE:
        at_once = learn_region(call);
        break;
    case SFI_S3_NO_CHECKSUM:
        at_once = drop_checksum(call);
        break;
    case SFI_S3_TRANSIENT:
    case SFI_S3_THROTTLED:
        sfi_s3_fail_answer(call);
        call->maybe_acted = call->maybe_acted || sfi_s3_may_have_acted(status, answer->code);
        retry(call, class == SFI_S3_THROTTLED);
        return;
    case SFI_S3_FATAL:
        break;
    }
    if (at_once) {
        call->paused = false;
        try_again(call);
        return;
    }
    sfi_s3_fail_answer(call);
    give_up(call);
}

static void on_answer(struct sfi_s3_call *call)
{
    struct sfi_s3_store *store = call->store;
    enum sfi_s3_verdict verdict = call->judge(call);
    if (verdict == SFI_S3_DONE && call->status == SHARDY_OK) {
        pthread_mutex_lock(&store->synced.lock);
        sfi_s3_throttle_success(&store->synced.throttle, call->paid);
        store->synced.checksum_taken = store->synced.checksum_taken || call->checksum_sent;
        pthread_mutex_unlock(&store->synced.lock);
    }
    switch (verdict) {
    case SFI_S3_DONE:
        finish(call, call->status);
        break;
    case SFI_S3_OTHERWISE:
        on_error_answer(call);
        break;
    case SFI_S3_BROKEN:
        call->maybe_acted = true;
        retry(call, false);
        break;
    case SFI_S3_AT_ONCE:
        if (++call->tries < store->config.max_attempts) {
            try_again(call);
        } else {
            finish_failed(call, SHARDY_STORE, "the object changes all the time");
        }
        break;
    }
}

static void on_exchange(struct sfi_http_request *http)
{
    struct sfi_s3_call *call = http->arg;
    char text[400];
    const char *why = sfi_s3_exchange_reason(http);
    atomic_store(&call->phase, SFI_S3_IDLE);
    sfi_s3_exchange_read_error(call);
    sfi_s3_exchange_emit(call);
    switch (http->outcome) {
    case SFI_HTTP_ANSWERED:
        on_answer(call);
        break;
    case SFI_HTTP_TOO_LARGE:
        if (http->http_status >= 300) {
            on_answer(call); /* an error page, cut off */
        } else {
            call->maybe_acted = true;
            finish_failed(call, SHARDY_LIMIT, why);
        }
        break;
    case SFI_HTTP_LOST:
    case SFI_HTTP_TIMEOUT:
        call->maybe_acted = true;
        if (call->broke) {
            call->broke(call);
        }
        sfi_s3_fail_call(call, SHARDY_STORE, why);
        retry(call, false);
        break;
    case SFI_HTTP_NOT_SENT:
        snprintf(text, sizeof text, "%s; check endpoint_url and the network", why);
        sfi_s3_fail_call(call, SHARDY_STORE, text);
        retry(call, false);
        break;
    case SFI_HTTP_REFUSED:
        finish_failed(call, SHARDY_CONFIG, why);
        break;
    case SFI_HTTP_NO_MEMORY:
        finish_failed(call, SHARDY_NO_MEMORY, why);
        break;
    case SFI_HTTP_CANCELLED:
        call->maybe_acted = true;
        finish_failed(call, SHARDY_CANCELLED, "cancelled");
        break;
    }
}

/* Calls whose credentials are at hand go out together: one wake-up of the client's thread. */
void sfi_s3_call_start(struct sfi_s3_call *const *calls, size_t count)
{
    struct sfi_http_request *batch[64];
    size_t n = 0;
    struct sfi_http_client *client = count ? calls[0]->store->client : NULL;
    for (size_t i = 0; i < count; i++) {
        struct sfi_s3_call *call = calls[i];
        sfi_s3_call_acquire(call);
        if (ask_credentials(call) && make_ready(call)) {
            batch[n++] = hand_over(call);
        }
        if (n == sizeof batch / sizeof batch[0]) {
            sfi_http_submit(client, batch, n);
            n = 0;
        }
    }
    if (n) {
        sfi_http_submit(client, batch, n);
    }
}

static void wake_waiter(struct sfi_s3_call *call)
{
    sfi_completion_signal(call->arg);
}

shardy_status sfi_s3_call_run(struct sfi_s3_call *call, shardy_error *err)
{
    struct sfi_completion completion = SFI_COMPLETION_INIT;
    call->done = wake_waiter;
    call->arg = &completion;
    sfi_s3_call_start(&call, 1);
    sfi_completion_wait(&completion);
    if (call->status != SHARDY_OK && err) {
        *err = call->error;
    }
    return call->status;
}

/* On the client's thread, until the call is finished. */
static void on_tick(struct sfi_http_timer *timer)
{
    struct sfi_s3_call *call = timer->arg;
    struct sfi_http_client *client = call->store->client;
    int phase = atomic_load(&call->phase);
    if (phase == SFI_S3_FINISHED && call->stop) {
        call->stop(call);
    }
    if (phase == SFI_S3_FINISHED || timer->cancelled) {
        sfi_s3_call_release(call);
        return;
    }
    if (phase == SFI_S3_IN_EXCHANGE) {
        sfi_http_cancel(client, &call->http);
    } else if (phase == SFI_S3_WAITING) {
        sfi_http_timer_cancel(client, &call->timer);
    }
    sfi_http_schedule(client, timer, TICK_MS);
}

void sfi_s3_call_cancel(struct sfi_s3_call *call)
{
    if (atomic_exchange(&call->ticking, true)) {
        return;
    }
    sfi_s3_call_acquire(call);
    atomic_store(&call->cancelled, true);
    call->tick.fire = on_tick;
    call->tick.arg = call;
    sfi_http_schedule(call->store->client, &call->tick, 0);
}
