/*
 * test_http_client.c - a client under many requests: concurrency, cancellation at every moment, the
 * end of the client, timers, fork, out of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http_internal.h"
#include "http_server.h"
#include "store_sample.h"

#include <semaphore.h>
#include <sys/wait.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN
#endif

#define MANY 200

struct fixture {
    struct server *server;
    struct sfi_http_client *client;
    sem_t done;
    atomic_uint calls;
    bool on_thread; /* every callback came on the client's thread */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sfi_http_options options = {.max_connections = 4, .no_proxy = true};
    fixture->server = server_start();
    fixture->on_thread = true;
    sem_init(&fixture->done, 0, 0);
    assert_int_equal(sfi_http_client_new(&options, &fixture->client, NULL), SHARDY_OK);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    sfi_http_client_free(fixture->client);
    server_stop(fixture->server);
    sem_destroy(&fixture->done);
    free(fixture);
    return 0;
}

static void count_done(struct sfi_http_request *request)
{
    struct fixture *fixture = request->arg;
    fixture->on_thread = fixture->on_thread && sfi_http_on_thread(fixture->client);
    atomic_fetch_add(&fixture->calls, 1);
    sem_post(&fixture->done);
}

static void wait_for(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        while (sem_wait(&fixture->done) != 0) {
        }
    }
}

struct batch {
    struct sfi_http_request requests[MANY];
    struct sfi_http_request *pointers[MANY];
    char url[256];
};

static struct batch *batch_new(struct fixture *fixture, const char *path, size_t count)
{
    struct batch *batch = calloc(1, sizeof *batch);
    snprintf(batch->url, sizeof batch->url, "%s", server_url(fixture->server, path));
    for (size_t i = 0; i < count; i++) {
        batch->pointers[i] = &batch->requests[i];
        batch->requests[i].method = "GET";
        batch->requests[i].url = batch->url;
        batch->requests[i].done = count_done;
        batch->requests[i].arg = fixture;
    }
    return batch;
}

static size_t batch_free(struct batch *batch, enum sfi_http_outcome outcome)
{
    size_t count = 0;
    for (size_t i = 0; i < MANY; i++) {
        if (batch->pointers[i]) {
            count += batch->requests[i].outcome == outcome;
            sfi_http_request_clear(&batch->requests[i]);
        }
    }
    free(batch);
    return count;
}

static void many_requests_share_few_connections(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/size/5000", MANY);
    for (size_t i = 0; i < MANY; i += 50) {
        sfi_http_submit(fixture->client, batch->pointers + i, 50);
    }
    wait_for(fixture, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(batch->requests[i].data.size, 5000);
    }
    assert_int_equal(batch_free(batch, SFI_HTTP_ANSWERED), MANY);
    assert_true(fixture->on_thread);
    assert_false(sfi_http_on_thread(fixture->client));
    assert_true(server_count(fixture->server, &fixture->server->open_max) <= 4);
    assert_int_equal(server_count(fixture->server, &fixture->server->peers), 4);
}

/* Several threads submit at once. */
static void *submit_some(void *arg)
{
    struct fixture *fixture = arg;
    for (int i = 0; i < 25; i++) {
        struct sfi_http_request request = {.method = "GET"};
        request.url = server_url(fixture->server, "/ok");
        sfi_http_perform(fixture->client, &request);
        if (request.outcome == SFI_HTTP_ANSWERED) {
            atomic_fetch_add(&fixture->calls, 1);
        }
        sfi_http_request_clear(&request);
    }
    return NULL;
}

static void many_threads_submit(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_create(&threads[i], NULL, submit_some, fixture);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(fixture->calls, 8 * 25);
}

static void submit_again(struct sfi_http_request *request)
{
    struct fixture *fixture = request->arg;
    if (request->outcome == SFI_HTTP_ANSWERED && atomic_fetch_add(&fixture->calls, 1) < 99) {
        sfi_http_request_clear(request);
        sfi_http_submit(fixture->client, &request, 1);
    } else {
        sem_post(&fixture->done);
    }
}

static void callbacks_submit(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/ok", 1);
    batch->requests[0].done = submit_again;
    sfi_http_submit(fixture->client, batch->pointers, 1);
    wait_for(fixture, 1);
    assert_int_equal(fixture->calls, 100);
    batch_free(batch, SFI_HTTP_ANSWERED);
}

/* The first of a batch cancels all of it. */
static void cancel_others(struct sfi_http_request *request)
{
    struct fixture *fixture = request->arg;
    for (size_t i = 0; i < MANY; i++) {
        sfi_http_cancel(fixture->client, &request[i]);
    }
    sem_post(&fixture->done);
}

static void callbacks_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/hold", MANY);
    batch->requests[0].done = cancel_others;
    sfi_http_submit(fixture->client, batch->pointers, MANY);
    server_wait_holding(fixture->server, 4);
    sfi_http_cancel(fixture->client, &batch->requests[0]);
    wait_for(fixture, MANY);
    assert_int_equal(batch_free(batch, SFI_HTTP_CANCELLED), MANY);
}

/* Four are with the server, the others wait for a connection; then the client goes on working. */
static void cancel_active_and_queued(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/hold", MANY);
    sfi_http_submit(fixture->client, batch->pointers, MANY);
    server_wait_holding(fixture->server, 4);
    for (size_t i = MANY; i-- > 0;) {
        sfi_http_cancel(fixture->client, &batch->requests[i]);
        sfi_http_cancel(fixture->client, &batch->requests[i]);
    }
    wait_for(fixture, MANY);
    assert_int_equal(batch->requests[0].error.status, SHARDY_CANCELLED);
    assert_int_equal(batch->requests[MANY - 1].error.status, SHARDY_CANCELLED);
    assert_int_equal(fixture->calls, MANY);
    assert_int_equal(batch_free(batch, SFI_HTTP_CANCELLED), MANY);
    batch = batch_new(fixture, "/ok", MANY);
    sfi_http_submit(fixture->client, batch->pointers, MANY);
    wait_for(fixture, MANY);
    assert_int_equal(batch_free(batch, SFI_HTTP_ANSWERED), MANY);
}

static void cancel_in_mid_body(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/stall", 1);
    sfi_http_submit(fixture->client, batch->pointers, 1);
    server_wait_holding(fixture->server, 1);
    sfi_http_cancel(fixture->client, &batch->requests[0]);
    wait_for(fixture, 1);
    assert_int_equal(batch_free(batch, SFI_HTTP_CANCELLED), 1);
}

/* Races of cancellation and completion: each request ends once, in either way. */
static void cancel_at_any_moment(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned round = 0; round < 20; round++) {
        struct batch *batch = batch_new(fixture, "/ok", MANY);
        sfi_http_submit(fixture->client, batch->pointers, MANY);
        for (size_t i = round; i < MANY; i += 1 + round % 3) {
            sfi_http_cancel(fixture->client, &batch->requests[i]);
        }
        wait_for(fixture, MANY);
        for (size_t i = 0; i < MANY; i++) {
            sfi_http_cancel(fixture->client, &batch->requests[i]); /* all done: no effect */
            assert_true(batch->requests[i].outcome == SFI_HTTP_ANSWERED ||
                        batch->requests[i].outcome == SFI_HTTP_CANCELLED);
        }
        batch_free(batch, SFI_HTTP_CANCELLED);
        assert_int_equal(fixture->calls, (round + 1) * MANY);
    }
}

static void the_client_ends_with_requests_in_flight(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/hold", MANY);
    sfi_http_submit(fixture->client, batch->pointers, MANY);
    server_wait_holding(fixture->server, 4);
    sfi_http_client_free(fixture->client);
    fixture->client = NULL;
    assert_int_equal(fixture->calls, MANY);
    assert_int_equal(batch_free(batch, SFI_HTTP_CANCELLED), MANY);
}

static void ends_without_use(void **state)
{
    struct sfi_http_client *client = NULL;
    struct sfi_http_request request = {.method = "GET"};
    struct sfi_http_timer timer = {0};
    (void)state;
    assert_int_equal(sfi_http_client_new(NULL, &client, NULL), SHARDY_OK);
    sfi_http_cancel(client, &request);
    sfi_http_timer_cancel(client, &timer);
    sfi_http_submit(client, NULL, 0);
    assert_false(sfi_http_on_thread(client));
    sfi_http_client_free(client);
    sfi_http_client_free(NULL);
}

/* Timers write down the order in which they fire. */
struct alarm {
    struct sfi_http_timer timer;
    struct diary *diary;
    unsigned number;
    unsigned fired;
};

struct diary {
    struct sfi_http_client *client;
    pthread_mutex_t lock;
    unsigned entries[1000];
    unsigned count;
    sem_t done;
    struct alarm *victim; /* cancelled by whoever fires first */
};

static void note(struct sfi_http_timer *timer)
{
    struct alarm *alarm = timer->arg;
    struct diary *diary = alarm->diary;
    pthread_mutex_lock(&diary->lock);
    diary->entries[diary->count++] = alarm->number;
    alarm->fired++;
    struct alarm *victim = diary->victim;
    diary->victim = NULL;
    pthread_mutex_unlock(&diary->lock);
    if (victim) {
        sfi_http_timer_cancel(diary->client, &victim->timer);
    }
    sem_post(&diary->done);
}

static void diary_init(struct diary *diary, struct sfi_http_client *client, struct alarm *alarms,
                       unsigned count)
{
    memset(diary, 0, sizeof *diary);
    diary->client = client;
    pthread_mutex_init(&diary->lock, NULL);
    sem_init(&diary->done, 0, 0);
    for (unsigned i = 0; i < count; i++) {
        alarms[i] = (struct alarm){.diary = diary, .number = i};
        alarms[i].timer.fire = note;
        alarms[i].timer.arg = &alarms[i];
    }
}

static void diary_wait(struct diary *diary, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        while (sem_wait(&diary->done) != 0) {
        }
    }
}

/* Many times round the wheel, many due at once: by due time, then as they were added. */
static void the_wheel_is_in_order(void **state)
{
    enum { COUNT = 3000 };
    struct sfi_http_wheel wheel;
    struct alarm *alarms = calloc(COUNT, sizeof *alarms);
    uint64_t seed = 42;
    uint64_t last_due = 0;
    unsigned fired = 0;
    (void)state;
    sfi_http_wheel_init(&wheel);
    assert_true(sfi_http_wheel_due(&wheel) == UINT64_MAX);
    for (unsigned i = 0; i < COUNT; i++) {
        alarms[i].number = i;
        alarms[i].timer.arg = &alarms[i];
        alarms[i].timer.due_us = 1 + next_random(&seed) % 30000000 / 1000 * 1000;
        sfi_http_wheel_add(&wheel, &alarms[i].timer);
    }
    for (unsigned i = 0; i < COUNT; i += 3) {
        sfi_http_wheel_cancel(&wheel, &alarms[i].timer);
    }
    for (unsigned i = 0; i < COUNT; i += 3) {
        struct sfi_http_timer *timer = sfi_http_wheel_take(&wheel, 0, false);
        assert_ptr_equal(timer, &alarms[i].timer);
        assert_true(timer->cancelled);
    }
    unsigned last_number = 0;
    for (uint64_t now = 0; now <= 30000000; now += 10000) {
        uint64_t due = sfi_http_wheel_due(&wheel);
        for (struct sfi_http_timer *t; (t = sfi_http_wheel_take(&wheel, now, false)) != NULL;) {
            struct alarm *alarm = t->arg;
            assert_true(due <= now && due >= last_due);
            assert_true(due > last_due || alarm->number > last_number);
            assert_true(!t->cancelled && alarm->number % 3 != 0);
            last_due = due;
            last_number = alarm->number;
            due = sfi_http_wheel_due(&wheel);
            fired++;
        }
        assert_true(due > now);
    }
    assert_int_equal(fired, COUNT - COUNT / 3);
    assert_true(sfi_http_wheel_due(&wheel) == UINT64_MAX);
    free(alarms);
}

static void timers_fire(void **state)
{
    struct fixture *fixture = *state;
    struct alarm alarms[100];
    struct diary diary;
    diary_init(&diary, fixture->client, alarms, 100);
    for (unsigned i = 0; i < 100; i++) {
        sfi_http_schedule(fixture->client, &alarms[i].timer, i % 10);
    }
    diary_wait(&diary, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(alarms[i].fired, 1);
        assert_false(alarms[i].timer.cancelled);
    }
}

/* Hours, and thousands of turns of the wheel, away: only cancellation and the end fire them. */
static void timers_are_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct alarm alarms[300];
    struct diary diary;
    diary_init(&diary, fixture->client, alarms, 300);
    for (unsigned i = 0; i < 300; i++) {
        sfi_http_schedule(fixture->client, &alarms[i].timer,
                          i % 7 ? 3600000 + i * 777 : UINT64_MAX);
    }
    for (unsigned i = 0; i < 100; i++) {
        sfi_http_timer_cancel(fixture->client, &alarms[i * 3].timer);
        sfi_http_timer_cancel(fixture->client, &alarms[i * 3].timer);
    }
    diary_wait(&diary, 100);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(alarms[i].fired, i % 3 == 0);
    }
    sfi_http_client_free(fixture->client);
    fixture->client = NULL;
    assert_int_equal(diary.count, 300);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(alarms[i].fired, 1);
        assert_true(alarms[i].timer.cancelled);
    }
}

static void timers_cancel_each_other(void **state)
{
    struct fixture *fixture = *state;
    struct alarm alarms[2];
    struct diary diary;
    diary_init(&diary, fixture->client, alarms, 2);
    diary.victim = &alarms[1];
    sfi_http_schedule(fixture->client, &alarms[1].timer, 3600000);
    sfi_http_schedule(fixture->client, &alarms[0].timer, 1);
    diary_wait(&diary, 2);
    assert_false(alarms[0].timer.cancelled);
    assert_true(alarms[1].timer.cancelled);
    sfi_http_timer_cancel(fixture->client, &alarms[0].timer); /* has fired */
    assert_int_equal(alarms[0].fired + alarms[1].fired, 2);
}

#ifndef UNDER_TSAN
/* In the child: 0 when it can use the client, and end it. */
static int use_in_child(struct fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        struct sfi_http_request request = {.method = "GET"};
        request.url = server_url(fixture->server, "/ok");
        sfi_http_perform(fixture->client, &request);
        if (request.outcome != SFI_HTTP_ANSWERED || (request.connect_us > 0) != (i == 0)) {
            return 1;
        }
        sfi_http_request_clear(&request);
    }
    sfi_http_client_free(fixture->client);
    return 0;
}

static void fork_and_use(void **state)
{
    struct fixture *fixture = *state;
    struct batch *batch = batch_new(fixture, "/hold", 2);
    int status;
    submit_some(fixture); /* connections to be inherited */
    sfi_http_submit(fixture->client, batch->pointers, 2);
    server_wait_holding(fixture->server, 2);
    pid_t child = fork();
    if (child == 0) {
        _exit(use_in_child(fixture));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* The parent's connections have not noticed. */
    server_release(fixture->server);
    wait_for(fixture, 2);
    assert_int_equal(batch->requests[0].data.size, 5);
    assert_int_equal(batch_free(batch, SFI_HTTP_ANSWERED), 2);
    assert_int_equal(server_count(fixture->server, &fixture->server->peers), 3);
}
#endif

/* The n-th allocation fails, until all succeed: an answer, or NO_MEMORY, or what curl makes of it.
 */
static void out_of_memory(void **state)
{
    struct fixture *fixture = *state;
    size_t answered = 0;
    for (unsigned long n = 1; n <= 60; n++) {
        struct sfi_http_options options = {.max_connections = 2};
        struct sfi_http_client *client = NULL;
        shardy_error err = SHARDY_ERROR_INIT;
        fail_allocation(n);
        shardy_status st = sfi_http_client_new(&options, &client, &err);
        if (st == SHARDY_OK) {
            struct sfi_http_request request = {.method = n % 2 ? "GET" : "PUT"};
            request.url = server_url(fixture->server, "/size/100");
            sfi_http_perform(client, &request);
            fail_allocation(0);
            answered += request.outcome == SFI_HTTP_ANSWERED;
            if (request.outcome == SFI_HTTP_ANSWERED) {
                assert_int_equal(request.data.size, 100);
            } else if (request.outcome == SFI_HTTP_LOST) {
                assert_string_equal(request.method, "PUT"); /* it may have acted */
            } else {
                assert_true(request.outcome == SFI_HTTP_NO_MEMORY ||
                            request.outcome == SFI_HTTP_NOT_SENT);
            }
            sfi_http_request_clear(&request);
        }
        fail_allocation(0);
        assert_true(st == SHARDY_OK || st == SHARDY_NO_MEMORY);
        sfi_http_client_free(client);
    }
    assert_true(answered > 20 && answered < 60);
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVED(many_requests_share_few_connections),
        SERVED(many_threads_submit),
        SERVED(callbacks_submit),
        SERVED(callbacks_cancel),
        SERVED(cancel_active_and_queued),
        SERVED(cancel_in_mid_body),
        SERVED(cancel_at_any_moment),
        SERVED(the_client_ends_with_requests_in_flight),
        cmocka_unit_test(ends_without_use),
        cmocka_unit_test(the_wheel_is_in_order),
        SERVED(timers_fire),
        SERVED(timers_are_cancelled),
        SERVED(timers_cancel_each_other),
#ifndef UNDER_TSAN /* it does not know threads in the child of a process with threads */
        SERVED(fork_and_use),
#endif
        SERVED(out_of_memory),
    };
    install_failing_allocator();
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
