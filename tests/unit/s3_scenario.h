/*
 * s3_scenario.h - one operation of an S3 store against a script, and what must come out of it.
 */
#ifndef TESTS_UNIT_S3_SCENARIO_H
#define TESTS_UNIT_S3_SCENARIO_H

#include "s3_script.h"

#define STEPS_MAX 8

/* One operation against a script. */
struct scenario {
    const char *name;
    enum sfi_store_verb verb;
    enum sfi_store_condition condition;
    uint64_t offset;
    uint64_t length;
    uint64_t max_bytes;
    struct step steps[STEPS_MAX];
    shardy_status status;
    size_t requests;
    const char *text; /* GET: data; failures: part of the message */
    const char *etag;
    uint64_t size;
};

#define BODY    "0123456789"
#define X6(...) __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__

struct done {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool yes;
};

static inline void on_done(struct sfi_store_request *request)
{
    struct done *done = request->arg;
    pthread_mutex_lock(&done->lock);
    done->yes = true;
    pthread_cond_signal(&done->wake);
    pthread_mutex_unlock(&done->lock);
}

static inline void wait_done(struct done *done)
{
    pthread_mutex_lock(&done->lock);
    while (!done->yes) {
        pthread_cond_wait(&done->wake, &done->lock);
    }
    pthread_mutex_unlock(&done->lock);
}

static inline size_t count_steps(const struct step *steps)
{
    size_t n = 0;
    while (n < STEPS_MAX && (steps[n].status || steps[n].kind)) {
        n++;
    }
    return n;
}

static inline void check(const struct scenario *s, const struct sfi_store_request *request,
                         size_t requests)
{
    bool ok = request->status == SHARDY_OK;
    const char *message = ok ? "" : request->error.message;
    if (request->status != s->status || requests != s->requests) {
        fail_msg("%s: %s after %zu requests: %s", s->name, shardy_status_name(request->status),
                 requests, message);
    }
    if (strstr(message, "canary-secret")) {
        fail_msg("%s: a secret in \"%s\"", s->name, message);
    }
    if (!ok) {
        if (!strstr(message, s->text)) {
            fail_msg("%s: no \"%s\" in \"%s\"", s->name, s->text, message);
        }
        return;
    }
    size_t size = s->verb == SFI_STORE_GET ? strlen(s->text) : 0;
    if (request->data.size != size || (size && memcmp(request->data.data, s->text, size)) ||
        strcmp(request->object_etag, s->etag) || request->object_size != s->size) {
        fail_msg("%s: %zu bytes of %llu, ETag %s", s->name, request->data.size,
                 (unsigned long long)request->object_size, request->object_etag);
    }
}

static inline void run_scenarios(const struct scenario *scenarios, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct scenario *s = &scenarios[i];
        struct script *script = script_start(s->steps, count_steps(s->steps));
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        struct done done = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
        struct sfi_store_request request = {.verb = s->verb,
                                            .condition = s->condition,
                                            .key = "a/key",
                                            .etag = "\"old\"",
                                            .body = text_bytes(BODY),
                                            .offset = s->offset,
                                            .length = s->length,
                                            .max_bytes = s->max_bytes,
                                            .done = on_done,
                                            .arg = &done};
        struct sfi_store_request *requests = &request;
        sfi_s3_of(store)->synced.throttle.paused_until_us = 0;
        sfi_store_submit(store, &requests, 1);
        wait_done(&done);
        check(s, &request, atomic_load(&script->seen_count));
        sfi_buf_clear(&request.data);
        sfi_store_release(store);
        script_stop(script);
    }
}

#endif
