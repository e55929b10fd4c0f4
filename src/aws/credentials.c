/*
 * credentials.c - the provider: current credentials, who waits for new ones, and the thread that
 * renews them.
 *
 * The thread is started by the first request that needs it and ends when nobody does; all blocking
 * happens there. A request that finds credentials close to their end starts a renewal and takes the
 * old ones. What a server rejected is renewed once: if the same comes back, everybody who complains
 * about it is told so at once. Where credentials come from is credentials_chain.c.
 *
 * fork(): the first use in a child starts afresh with the credentials that the parent had; requests
 * of the parent that wait are the parent's.
 */
#include "aws/credentials_internal.h"

#include "base/completion.h"
#include "base/limits.h"
#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LOGGER "credentials"

struct waiter {
    struct waiter *next;
    sfi_credentials_fn callback;
    void *arg;
    uint64_t rejected;
};

struct sfi_credential_provider {
    struct sfi_credential_config config;
    atomic_int owner; /* process id; -1 while a child takes over */
    atomic_bool stopping;
    struct sfi_http_client *client; /* of the renewal thread */
    struct sfi_http_client *metadata_client;

    struct {
        pthread_mutex_t lock;
        struct sfi_held *current; /* NULL = none yet */
        struct waiter *waiters;   /* newest first */
        bool renewing; /* the thread runs, and will look at `waiters` and `wanted` again */
        bool wanted;   /* an early renewal */
        bool joinable; /* `thread` is to be joined */
        pthread_t thread;
        int64_t retry_at;    /* Unix seconds: no early renewal before */
        uint64_t refused;    /* generation that was rejected and came back the same */
        uint64_t generation; /* last one given */
    } synced;
};

shardy_status sfi_credential_provider_new(const struct sfi_credentials_options *options,
                                          struct sfi_credential_provider **provider,
                                          shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct sfi_credential_provider *p = sfi_calloc(1, sizeof *p);
    *provider = NULL;
    if (!p) {
        return sfi_fail_memory(err, sizeof *p);
    }
    pthread_mutex_init(&p->synced.lock, NULL);
    atomic_init(&p->owner, (int)getpid());
    atomic_init(&p->stopping, false);
    SFI_TRY(sfi_config_copy(&p->config, options, err));
    *provider = p;
    return SHARDY_OK;
out:
    sfi_credential_provider_free(p);
    return st;
}

void sfi_credential_provider_override(struct sfi_credential_provider *provider,
                                      const struct sfi_credential_overrides *overrides)
{
    provider->config.now = overrides->now;
    provider->config.now_arg = overrides->now_arg;
    provider->config.container_base = overrides->container_base;
}

/* In a child: locks and threads of the parent mean nothing here. */
static void enter_process(struct sfi_credential_provider *p)
{
    int self = (int)getpid();
    int owner = atomic_load_explicit(&p->owner, memory_order_acquire);
    while (owner != self) {
        if (owner != -1 && atomic_compare_exchange_strong(&p->owner, &owner, -1)) {
            pthread_mutex_init(&p->synced.lock, NULL);
            p->synced.waiters = NULL;
            p->synced.renewing = false;
            p->synced.wanted = false;
            p->synced.joinable = false;
            atomic_store(&p->owner, self);
            return;
        }
        sched_yield();
        owner = atomic_load_explicit(&p->owner, memory_order_acquire);
    }
}

void sfi_credential_provider_free(struct sfi_credential_provider *provider)
{
    if (!provider) {
        return;
    }
    enter_process(provider);
    atomic_store(&provider->stopping, true);
    if (provider->synced.joinable) {
        pthread_join(provider->synced.thread, NULL);
    }
    sfi_http_client_free(provider->client);
    sfi_http_client_free(provider->metadata_client);
    if (provider->synced.current) {
        sfi_credentials_release(&provider->synced.current->public);
    }
    pthread_mutex_destroy(&provider->synced.lock);
    sfi_config_clear(&provider->config);
    sfi_free(provider);
}

bool sfi_credentials_on_thread(struct sfi_credential_provider *provider)
{
    enter_process(provider);
    pthread_mutex_lock(&provider->synced.lock);
    bool here = provider->synced.joinable && pthread_equal(provider->synced.thread, pthread_self());
    pthread_mutex_unlock(&provider->synced.lock);
    return here;
}

static struct sfi_lookup lookup_of(struct sfi_credential_provider *p)
{
    return (struct sfi_lookup){.config = &p->config,
                               .client = &p->client,
                               .metadata_client = &p->metadata_client,
                               .stopping = &p->stopping};
}

static bool usable(const struct sfi_held *held, uint64_t rejected, int64_t now)
{
    return held && held->public.generation > rejected &&
           (held->public.expires_at == 0 || now < held->public.expires_at);
}

static shardy_status refused_again(const struct sfi_held *held, shardy_error *err)
{
    if (held->public.anonymous) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "the server refuses anonymous requests: give credentials");
    }
    return sfi_fail(err, SHARDY_CONFIG,
                    "the server refused the credentials from %s, and looking them up again gave "
                    "the same: correct them there",
                    held->source);
}

/* The renewal thread. */

static void log_outcome(const struct sfi_credential_provider *p, const struct sfi_held *found,
                        const shardy_error *error)
{
    if (!p->config.observer) {
        return;
    }
    if (found) {
        sfi_log(p->config.observer, SHARDY_LOG_INFO, LOGGER, "credentials_found",
                SFI_FIELDS(sfi_field_str("source", found->source),
                           sfi_field_int("generation", found->public.generation),
                           sfi_field_int("expires_at", (uint64_t)found->public.expires_at)));
    } else {
        sfi_log(p->config.observer, SHARDY_LOG_WARNING, LOGGER, "credentials_failed",
                SFI_FIELDS(sfi_field_str("error", error->message)));
    }
}

static void publish_locked(struct sfi_credential_provider *p, struct sfi_held *found)
{
    struct sfi_held *old = p->synced.current;
    found->public.generation = ++p->synced.generation;
    p->synced.current = found;
    p->synced.retry_at = 0;
    if (old) {
        sfi_credentials_release(&old->public);
    }
}

/* Whether one of those who wait complained about the current credentials. */
static bool rejected_locked(const struct sfi_credential_provider *p)
{
    for (const struct waiter *w = p->synced.waiters; w; w = w->next) {
        if (p->synced.current && w->rejected >= p->synced.current->public.generation) {
            return true;
        }
    }
    return false;
}

/* After a look-up: new credentials, the same as before, or none (`found` NULL). Takes `found`;
 * gives what is to be logged. */
static bool finish_locked(struct sfi_credential_provider *p, struct sfi_held *found,
                          bool was_rejected)
{
    int64_t now = sfi_config_now(&p->config);
    struct sfi_held *current = p->synced.current;
    bool same = found && current && sfi_held_same(current, found);
    bool longer = same && !was_rejected && current->public.expires_at != found->public.expires_at;
    if (found && (!same || longer)) {
        publish_locked(p, found);
        return true;
    }
    p->synced.retry_at = now + SFI_AWS_RENEW_RETRY_S;
    if (found) {
        if (was_rejected) {
            p->synced.refused = current->public.generation;
        }
        sfi_credentials_release(&found->public);
    }
    return false;
}

/* Answer everybody in the order they came. */
static void answer(struct sfi_credential_provider *p, struct waiter *newest,
                   struct sfi_held *current, shardy_status st, const shardy_error *failure)
{
    int64_t now = sfi_config_now(&p->config);
    struct waiter *oldest = NULL;
    while (newest) {
        struct waiter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct waiter *next = oldest->next;
        shardy_error error = *failure;
        if (usable(current, oldest->rejected, now)) {
            sfi_held_acquire(current);
            oldest->callback(oldest->arg, &current->public, SHARDY_OK, NULL);
        } else {
            shardy_status why = st;
            if (st == SHARDY_OK) {
                why = refused_again(current, &error);
            }
            oldest->callback(oldest->arg, NULL, why, &error);
        }
        sfi_free(oldest);
        oldest = next;
    }
}

static struct sfi_held *look_up(struct sfi_credential_provider *p, bool probing, shardy_status *st,
                                shardy_error *error)
{
    struct sfi_lookup lookup = lookup_of(p);
    struct sfi_credential_values values = {0};
    struct sfi_held *found = NULL;
    lookup.probing = probing;
    *st = SHARDY_OK;
    if (!p->config.anonymous) {
        *st = sfi_lookup_run(&lookup, &values, error);
    }
    if (*st == SHARDY_OK) {
        found = sfi_held_new(&lookup, &values);
        if (!found) {
            *st = sfi_fail_memory(error, sizeof *found);
        }
    }
    return found;
}

static void renew_once(struct sfi_credential_provider *p)
{
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st;
    pthread_mutex_lock(&p->synced.lock);
    bool probing = !p->synced.current;
    p->synced.wanted = false;
    pthread_mutex_unlock(&p->synced.lock);

    struct sfi_held *found = look_up(p, probing, &st, &error);

    pthread_mutex_lock(&p->synced.lock);
    bool renewed = finish_locked(p, found, rejected_locked(p));
    struct waiter *waiters = p->synced.waiters;
    struct sfi_held *current = p->synced.current;
    p->synced.waiters = NULL;
    p->synced.wanted = false;
    if (current) {
        sfi_held_acquire(current);
    }
    pthread_mutex_unlock(&p->synced.lock);

    if (renewed || st != SHARDY_OK) {
        log_outcome(p, renewed ? current : NULL, &error);
    }
    answer(p, waiters, current, st, &error);
    if (current) {
        sfi_credentials_release(&current->public);
    }
}

static void *renew_main(void *arg)
{
    struct sfi_credential_provider *p = arg;
    bool more = true;
    while (more) {
        renew_once(p);
        pthread_mutex_lock(&p->synced.lock);
        more = p->synced.waiters || (p->synced.wanted && !atomic_load(&p->stopping));
        p->synced.renewing = more;
        pthread_mutex_unlock(&p->synced.lock);
    }
    return NULL;
}

/* Signals are for the threads of the program. */
static int start_thread(struct sfi_credential_provider *p)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&p->synced.thread, NULL, renew_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static shardy_status start_locked(struct sfi_credential_provider *p, shardy_error *err)
{
    if (p->synced.renewing) {
        return SHARDY_OK;
    }
    if (p->synced.joinable) {
        /* It has released the lock for the last time: this does not wait for anything. */
        pthread_join(p->synced.thread, NULL);
        p->synced.joinable = false;
    }
    int rc = start_thread(p);
    if (rc != 0) {
        return sfi_fail_errno(err, SHARDY_NO_MEMORY, rc, "cannot start the credentials thread");
    }
    p->synced.joinable = true;
    p->synced.renewing = true;
    return SHARDY_OK;
}

/* Requests. */

/* Sources that need no I/O are asked on the spot, so that most programs need no thread. */
static shardy_status take_at_hand_locked(struct sfi_credential_provider *p, shardy_error *err)
{
    struct sfi_lookup lookup = lookup_of(p);
    struct sfi_credential_values values = {0};
    bool found = p->config.anonymous;
    if (found) {
        snprintf(lookup.source, sizeof lookup.source, "anonymous");
    } else {
        SFI_RETURN_IF_ERR(sfi_lookup_at_hand(&lookup, &values, &found, err));
    }
    if (found) {
        struct sfi_held *held = sfi_held_new(&lookup, &values);
        if (!held) {
            return sfi_fail_memory(err, sizeof *held);
        }
        publish_locked(p, held);
    }
    return SHARDY_OK;
}

/* *ready, or the waiter taken (*waiter becomes NULL), or a failure. */
static shardy_status decide_locked(struct sfi_credential_provider *p, uint64_t rejected,
                                   struct waiter **waiter, struct sfi_held **ready,
                                   shardy_error *err)
{
    int64_t now = sfi_config_now(&p->config);
    if (!p->synced.current && !p->synced.renewing) {
        SFI_RETURN_IF_ERR(take_at_hand_locked(p, err));
    }
    struct sfi_held *current = p->synced.current;
    if (usable(current, rejected, now)) {
        *ready = current;
        sfi_held_acquire(current);
        if (current->renew_at != 0 && now >= current->renew_at && now >= p->synced.retry_at) {
            p->synced.wanted = true;
            (void)start_locked(p, NULL); /* the next request tries again */
        }
        return SHARDY_OK;
    }
    if (current && rejected >= current->public.generation &&
        p->synced.refused == current->public.generation) {
        return refused_again(current, err);
    }
    SFI_RETURN_IF_ERR(start_locked(p, err));
    (*waiter)->next = p->synced.waiters;
    p->synced.waiters = *waiter;
    *waiter = NULL;
    return SHARDY_OK;
}

void sfi_credentials_request(struct sfi_credential_provider *provider, uint64_t rejected,
                             sfi_credentials_fn callback, void *arg)
{
    shardy_error error = SHARDY_ERROR_INIT;
    struct sfi_held *ready = NULL;
    struct waiter *waiter = sfi_calloc(1, sizeof *waiter);
    if (!waiter) {
        shardy_status st = sfi_fail_memory(&error, sizeof *waiter);
        callback(arg, NULL, st, &error);
        return;
    }
    waiter->callback = callback;
    waiter->arg = arg;
    waiter->rejected = rejected;
    enter_process(provider);
    pthread_mutex_lock(&provider->synced.lock);
    shardy_status st = decide_locked(provider, rejected, &waiter, &ready, &error);
    pthread_mutex_unlock(&provider->synced.lock);
    if (waiter) {
        sfi_free(waiter);
        callback(arg, ready ? &ready->public : NULL, st, st == SHARDY_OK ? NULL : &error);
    }
}

struct sync_wait {
    struct sfi_completion completion;
    struct sfi_credentials *credentials;
    shardy_status status;
    shardy_error error;
};

static void wake(void *arg, struct sfi_credentials *credentials, shardy_status status,
                 const shardy_error *error)
{
    struct sync_wait *wait = arg;
    wait->credentials = credentials;
    wait->status = status;
    if (error) {
        wait->error = *error;
    }
    sfi_completion_signal(&wait->completion);
}

shardy_status sfi_credentials_wait(struct sfi_credential_provider *provider, uint64_t rejected,
                                   struct sfi_credentials **credentials, shardy_error *err)
{
    struct sync_wait wait = {.completion = SFI_COMPLETION_INIT, .error = SHARDY_ERROR_INIT};
    sfi_credentials_request(provider, rejected, wake, &wait);
    sfi_completion_wait(&wait.completion);
    *credentials = wait.credentials;
    if (wait.status != SHARDY_OK && err) {
        *err = wait.error;
    }
    return wait.status;
}
