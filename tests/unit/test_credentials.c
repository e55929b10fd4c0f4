/*
 * test_credentials.c - the provider: what is at hand at once, renewal ahead of time, single flight,
 * rejected credentials, failures, fork, memory. The clock is the test's; services are faked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"
#include "base/limits.h"
#include "base/timestamp.h"

#include <pthread.h>
#include <sched.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_FORK 1 /* it does not follow threads that a child starts */
#endif
#endif

static atomic_llong shift;    /* of the clock, in seconds */
static atomic_int failures;   /* "credentials_failed" records */
static atomic_int found_logs; /* "credentials_found" records */
static atomic_int leaks;      /* records with a secret */

static int64_t shifted_now(void *arg)
{
    (void)arg;
    return sfi_now_us() / 1000000 + atomic_load(&shift);
}

static void record(void *arg, shardy_log_level level, const char *logger, const char *event,
                   const shardy_field *fields, size_t count)
{
    (void)arg;
    (void)level;
    (void)logger;
    for (size_t i = 0; i < count; i++) {
        if (fields[i].string && strstr(fields[i].string, CANARY)) {
            atomic_fetch_add(&leaks, 1);
        }
    }
    atomic_fetch_add(strcmp(event, "credentials_failed") == 0 ? &failures : &found_logs, 1);
}

static const struct sfi_observer observer = {.logs = {.record = record, .level = SHARDY_LOG_DEBUG}};

/* Credentials of the fake container, one hour each unless told otherwise. */
static struct sfi_credential_provider *container_provider(void)
{
    const struct sfi_credentials_options options = {.observer = &observer};
    clean_environment();
    set_env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:$PORT/c");
    atomic_store(&shift, 0);
    atomic_store(&failures, 0);
    atomic_store(&found_logs, 0);
    struct sfi_credential_provider *provider = new_provider(&options);
    sfi_credential_provider_override(provider,
                                     &(struct sfi_credential_overrides){.now = shifted_now});
    return provider;
}

/* Result of one request whose callback came before the call returned. */
struct answer {
    atomic_int calls;
    pthread_t thread;
    uint64_t generation;
    shardy_status status;
    shardy_error error;
};

static void keep(void *arg, struct sfi_credentials *credentials, shardy_status status,
                 const shardy_error *error)
{
    struct answer *answer = arg;
    answer->thread = pthread_self();
    answer->status = status;
    answer->generation = credentials ? credentials->generation : 0;
    if (error) {
        answer->error = *error;
    }
    sfi_credentials_release(credentials);
    atomic_fetch_add(&answer->calls, 1);
}

static uint64_t at_once(struct sfi_credential_provider *provider, uint64_t rejected)
{
    struct answer answer = {.calls = 0};
    sfi_credentials_request(provider, rejected, keep, &answer);
    assert_int_equal(atomic_load(&answer.calls), 1);
    assert_true(pthread_equal(answer.thread, pthread_self()));
    assert_int_equal(answer.status, SHARDY_OK);
    return answer.generation;
}

static uint64_t wait_for(struct sfi_credential_provider *provider, uint64_t rejected)
{
    struct sfi_credentials *credentials = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    if (sfi_credentials_wait(provider, rejected, &credentials, &error) != SHARDY_OK) {
        print_message("%s\n", error.message);
        return 0;
    }
    uint64_t generation = credentials->generation;
    sfi_credentials_release(credentials);
    return generation;
}

static shardy_status wait_error(struct sfi_credential_provider *provider, uint64_t rejected,
                                const char *message)
{
    struct sfi_credentials *credentials = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = sfi_credentials_wait(provider, rejected, &credentials, &error);
    assert_null(credentials);
    assert_null(strstr(error.message, CANARY));
    if (!strstr(error.message, message)) {
        print_message("%s\n", error.message);
        fail();
    }
    return st;
}

static void checks_options(void **state)
{
    static const struct {
        struct sfi_credentials_options options;
        const char *message; /* NULL: accepted */
    } cases[] = {
        {{.access_key_id = "A"}, "the access key id is given without the secret access key"},
        {{.secret_access_key = CANARY}, "the secret access key is given without the access key"},
        {{.access_key_id = "A b", .secret_access_key = CANARY}, "the access key id is empty or"},
        {{.access_key_id = "A", .secret_access_key = CANARY "\n"}, "the secret access key is"},
        {{.access_key_id = "A", .secret_access_key = "S", .session_token = CANARY "\x7f"},
         "the session token is"},
        {{.access_key_id = "A", .secret_access_key = CANARY, .session_token = ""}, NULL},
        {{.access_key_id = "", .secret_access_key = ""}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_credential_provider *provider;
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_status st = sfi_credential_provider_new(&cases[i].options, &provider, &error);
        assert_int_equal(st, cases[i].message ? SHARDY_CONFIG : SHARDY_OK);
        assert_int_equal(provider != NULL, st == SHARDY_OK);
        if (cases[i].message) {
            assert_non_null(strstr(error.message, cases[i].message));
            assert_null(strstr(error.message, CANARY));
        }
        sfi_credential_provider_free(provider);
    }
    sfi_credentials_release(NULL);
}

static void explicit_ones_are_at_hand(void **state)
{
    const struct sfi_credentials_options options = {
        .access_key_id = "AKIAX", .secret_access_key = CANARY, .session_token = "t"};
    struct sfi_credential_provider *provider = new_provider(&options);
    struct sfi_credentials *credentials = NULL;
    (void)state;
    clean_environment();
    setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT", 1); /* alone: would be an error */
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(sfi_credentials_wait(provider, 0, &credentials, NULL), SHARDY_OK);
    assert_string_equal(credentials->access_key_id, "AKIAX");
    assert_string_equal(credentials->secret_access_key, CANARY);
    assert_string_equal(credentials->session_token, "t");
    assert_string_equal(credentials->source, "explicit options");
    assert_int_equal(credentials->expires_at, 0);
    assert_false(credentials->anonymous);
    assert_int_equal(wait_error(provider, 1, "refused the credentials from explicit options"),
                     SHARDY_CONFIG);
    /* They live as long as somebody holds them. */
    sfi_credential_provider_free(provider);
    assert_string_equal(credentials->access_key_id, "AKIAX");
    sfi_credentials_release(credentials);
}

static void anonymous_is_at_hand(void **state)
{
    const struct sfi_credentials_options options = {.anonymous = true};
    struct sfi_credential_provider *provider = new_provider(&options);
    struct sfi_credentials *credentials = NULL;
    (void)state;
    clean_environment();
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(sfi_credentials_wait(provider, 0, &credentials, NULL), SHARDY_OK);
    assert_true(credentials->anonymous);
    assert_null(credentials->access_key_id);
    sfi_credentials_release(credentials);
    assert_int_equal(wait_error(provider, 1, "the server refuses anonymous requests"),
                     SHARDY_CONFIG);
    sfi_credential_provider_free(provider);
}

static void environment_is_read_again_when_rejected(void **state)
{
    struct sfi_credential_provider *provider = new_provider(NULL);
    (void)state;
    clean_environment();
    setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT", 1);
    setenv("AWS_SECRET_ACCESS_KEY", CANARY "-secret", 1);
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(wait_error(provider, 1, "refused the credentials from environment (AWS_ACC"),
                     SHARDY_CONFIG);
    /* A bucket's policy may be at fault: others may still use them. */
    assert_int_equal(at_once(provider, 0), 1);
    sfi_credential_provider_free(provider);

    provider = new_provider(NULL);
    assert_int_equal(at_once(provider, 0), 1);
    setenv("AWS_SECRET_ACCESS_KEY", CANARY "-other", 1);
    assert_int_equal(wait_for(provider, 1), 2);
    assert_int_equal(at_once(provider, 1), 2);
    sfi_credential_provider_free(provider);
}

static void wait_until(atomic_int *count, int least)
{
    while (atomic_load(count) < least) {
        sched_yield();
    }
}

static void renews_ahead_and_nobody_waits(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    (void)state;
    assert_int_equal(wait_for(provider, 0), 1);
    atomic_store(&shift, 3600 - SFI_AWS_RENEW_AHEAD_S - 60);
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(asked("container"), 1);
    /* Behind the latest moment that jitter allows. */
    atomic_store(&shift, 3600 - SFI_AWS_RENEW_AHEAD_S + SFI_AWS_RENEW_AHEAD_S / 10 + 2);
    tell("set hold 1");
    tell("set expires_in 9000");
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(at_once(provider, 0), 1);
    tell("set hold 0");
    wait_until(&found_logs, 2);
    assert_int_equal(at_once(provider, 0), 2);
    assert_int_equal(asked("container"), 2);
    sfi_credential_provider_free(provider);
}

static void short_lives_are_renewed_in_their_last_quarter(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    (void)state;
    tell("set expires_in 100");
    assert_int_equal(wait_for(provider, 0), 1);
    atomic_store(&shift, 70);
    assert_int_equal(at_once(provider, 0), 1);
    assert_int_equal(asked("container"), 1);
    atomic_store(&shift, 80);
    tell("set expires_in 9000");
    assert_int_equal(at_once(provider, 0), 1);
    wait_until(&found_logs, 2);
    assert_int_equal(at_once(provider, 0), 2);
    sfi_credential_provider_free(provider);
}

static void expired_ones_are_waited_for(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    (void)state;
    assert_int_equal(wait_for(provider, 0), 1);
    atomic_store(&shift, 3601);
    tell("set expires_in 9000");
    assert_int_equal(wait_for(provider, 0), 2);
    assert_int_equal(asked("container"), 2);
    sfi_credential_provider_free(provider);
}

/* Commands that print fixed keys and when to ask again. */
static void the_same_keys_may_live_longer(void **state)
{
    static const char *const command =
        "[default]\ncredential_process = sh -c 'date -u -d @$(cat $HOME/until) "
        "+\"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"AKIAX\\\",\\\"SecretAccessKey\\\":"
        "\\\"" CANARY "\\\",\\\"Expiration\\\":\\\"%Y-%m-%dT%H:%M:%SZ\\\"}\"'\n";
    const struct sfi_credentials_options options = {.observer = &observer};
    const int64_t now = sfi_now_us() / 1000000;
    char until[32];
    (void)state;
    clean_environment();
    atomic_store(&shift, 0);
    home_file(".aws/config", command);
    snprintf(until, sizeof until, "%lld", (long long)now + 3600);
    home_file("until", until);
    struct sfi_credential_provider *provider = new_provider(&options);
    sfi_credential_provider_override(provider,
                                     &(struct sfi_credential_overrides){.now = shifted_now});
    assert_int_equal(wait_for(provider, 0), 1);
    atomic_store(&shift, 3700);
    snprintf(until, sizeof until, "%lld", (long long)now + 9000);
    home_file("until", until);
    assert_int_equal(wait_for(provider, 0), 2);
    assert_int_equal(at_once(provider, 0), 2);
    /* A refusal is one all the same. */
    snprintf(until, sizeof until, "%lld", (long long)now + 9900);
    home_file("until", until);
    assert_int_equal(wait_error(provider, 2, "gave the same"), SHARDY_CONFIG);
    home_file(".aws/config", NULL);
    home_file("until", NULL);
    sfi_credential_provider_free(provider);
}

static void a_failed_renewal_keeps_the_old_ones(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    (void)state;
    assert_int_equal(wait_for(provider, 0), 1);
    atomic_store(&shift, 3590);
    tell("set container 500");
    assert_int_equal(at_once(provider, 0), 1);
    wait_until(&failures, 1);
    assert_int_equal(asked("container"), 1 + SFI_AWS_TRIES);
    /* Not again before some seconds have passed. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(at_once(provider, 0), 1);
    }
    assert_int_equal(asked("container"), 1 + SFI_AWS_TRIES);
    atomic_store(&shift, 3590 + SFI_AWS_RENEW_RETRY_S + 1);
    while (atomic_load(&failures) < 2) {
        assert_int_equal(at_once(provider, 0), 1);
        sched_yield();
    }
    atomic_store(&shift, 3605);
    assert_int_equal(wait_error(provider, 0, "container: the service answered with HTTP 500"),
                     SHARDY_STORE);
    tell("set container ok");
    tell("set expires_in 9000");
    assert_int_equal(wait_for(provider, 0), 2);
    sfi_credential_provider_free(provider);
}

struct crowd {
    struct sfi_credential_provider *provider;
    uint64_t rejected;
    atomic_ulong generations; /* sum */
    atomic_int errors;
};

#define CROWD 8

static void *one_of_many(void *arg)
{
    struct crowd *crowd = arg;
    struct sfi_credentials *credentials = NULL;
    if (sfi_credentials_wait(crowd->provider, crowd->rejected, &credentials, NULL) == SHARDY_OK) {
        atomic_fetch_add(&crowd->generations, credentials->generation);
    } else {
        atomic_fetch_add(&crowd->errors, 1);
    }
    sfi_credentials_release(credentials);
    return NULL;
}

static void run_crowd(struct crowd *crowd)
{
    pthread_t threads[CROWD];
    atomic_store(&crowd->generations, 0);
    atomic_store(&crowd->errors, 0);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, crowd), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void a_crowd_asks_once(void **state)
{
    struct crowd crowd = {.provider = container_provider()};
    (void)state;
    tell("set delay 0.2");
    run_crowd(&crowd);
    assert_int_equal(crowd.generations, CROWD);
    assert_int_equal(asked("container"), 1);
    /* All complain about the same ones: renewed once; late complaints are about old ones. */
    crowd.rejected = 1;
    run_crowd(&crowd);
    assert_int_equal(crowd.generations, 2 * CROWD);
    run_crowd(&crowd);
    assert_int_equal(crowd.generations, 2 * CROWD);
    assert_int_equal(asked("container"), 2);
    /* The same again: everybody is told, and nobody asks a third time. */
    tell("set fixed 1");
    crowd.rejected = 2;
    run_crowd(&crowd);
    assert_int_equal(crowd.errors, CROWD);
    assert_int_equal(asked("container"), 3);
    assert_int_equal(wait_error(crowd.provider, 2, "refused the credentials from container"),
                     SHARDY_CONFIG);
    assert_int_equal(asked("container"), 3);
    assert_int_equal(at_once(crowd.provider, 0), 2);
    sfi_credential_provider_free(crowd.provider);
}

static void each_crowd_is_told_of_a_failure(void **state)
{
    struct crowd crowd = {.provider = container_provider()};
    (void)state;
    tell("set container 403");
    run_crowd(&crowd);
    assert_int_equal(crowd.errors, CROWD);
    tell("set container ok");
    run_crowd(&crowd);
    assert_int_equal(crowd.generations, CROWD);
    sfi_credential_provider_free(crowd.provider);
}

/* Requests against a moving clock, for ThreadSanitizer. */
static void *ask_and_move(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < 50; i++) {
        atomic_fetch_add(&shift, 5);
        (void)one_of_many(crowd);
    }
    return NULL;
}

static void threads_and_a_moving_clock(void **state)
{
    struct crowd crowd = {.provider = container_provider()};
    pthread_t threads[4];
    (void)state;
    tell("set expires_in 4000");
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_and_move, &crowd), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.errors, 0);
    assert_true(crowd.generations >= 200);
    sfi_credential_provider_free(crowd.provider);
}

static void freeing_answers_who_waits(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    struct answer answers[3] = {{.calls = 0}};
    (void)state;
    tell("set delay 0.2");
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        sfi_credentials_request(provider, 0, keep, &answers[i]);
    }
    sfi_credential_provider_free(provider);
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        assert_int_equal(atomic_load(&answers[i].calls), 1);
        assert_true(answers[i].status == SHARDY_OK || answers[i].status == SHARDY_CANCELLED);
    }
    sfi_credential_provider_free(NULL);
}

/* A command that goes on is ended with the provider, not after a minute. */
static void freeing_ends_a_command(void **state)
{
    struct sfi_credential_provider *provider;
    struct answer answer = {.calls = 0};
    (void)state;
    clean_environment();
    home_file(".aws/config", "[default]\ncredential_process = sh -c 'sleep 1000; sleep 1000'\n");
    provider = new_provider(NULL);
    sfi_credentials_request(provider, 0, keep, &answer);
    sfi_credential_provider_free(provider);
    assert_int_equal(atomic_load(&answer.calls), 1);
    assert_int_equal(answer.status, SHARDY_CANCELLED);
}

#ifndef NO_FORK
static int child_checks(struct sfi_credential_provider *provider, int64_t later, uint64_t expected)
{
    struct sfi_credentials *credentials = NULL;
    atomic_store(&shift, later);
    if (sfi_credentials_wait(provider, 0, &credentials, NULL) != SHARDY_OK) {
        return 2;
    }
    int rc = credentials->generation == expected ? 0 : 3;
    sfi_credentials_release(credentials);
    sfi_credential_provider_free(provider);
    return rc;
}

static void expect_child(struct sfi_credential_provider *provider, int64_t later, uint64_t expected)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child_checks(provider, later, expected));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void children_start_afresh(void **state)
{
    struct sfi_credential_provider *provider = container_provider();
    struct answer answer = {.calls = 0};
    (void)state;
    assert_int_equal(wait_for(provider, 0), 1);
    tell("set expires_in 9000");
    expect_child(provider, 0, 1);    /* what the parent has */
    expect_child(provider, 3700, 2); /* renewed by the child, for the child */
    assert_int_equal(at_once(provider, 0), 1);
    /* In the middle of a renewal of the parent. */
    tell("set hold 1");
    sfi_credentials_request(provider, 1, keep, &answer);
    expect_child(provider, 0, 1);
    tell("set hold 0");
    expect_child(provider, 3700, 2);
    wait_until(&answer.calls, 1);
    assert_int_equal(answer.status, SHARDY_OK);
    assert_int_equal(answer.generation, 2);
    sfi_credential_provider_free(provider);
}
#endif

/* Every allocation of a whole look-up fails once: an error or the right answer, never a crash. */
static void survives_failing_allocations(void **state)
{
    bool failed = true;
    (void)state;
    clean_environment();
    home_file(".aws/config", "[default]\ncredential_process = echo '{\"Version\": 1, "
                             "\"AccessKeyId\": \"AKIAX\", \"SecretAccessKey\": \"" CANARY "\"}'\n");
    install_failing_allocator();
    for (unsigned long n = 1; failed; n++) {
        struct sfi_credential_provider *provider = NULL;
        struct sfi_credentials *credentials = NULL;
        struct sfi_credentials_options none = {0};
        shardy_error error = SHARDY_ERROR_INIT;
        fail_allocation(n);
        shardy_status st = sfi_credential_provider_new(&none, &provider, &error);
        if (st == SHARDY_OK) {
            st = sfi_credentials_wait(provider, 0, &credentials, &error);
        }
        failed = atomic_load(&alloc_count) >= n;
        fail_allocation(0);
        if (st == SHARDY_OK) {
            assert_string_equal(credentials->access_key_id, "AKIAX");
        } else {
            assert_true(failed);
            assert_int_equal(st, SHARDY_NO_MEMORY);
            assert_null(credentials);
        }
        sfi_credentials_release(credentials);
        sfi_credential_provider_free(provider);
        assert_true(n > 8 || failed);
    }
    shardy_set_allocator(NULL);
}

static void logs_held_no_secret(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&leaks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_options),
        cmocka_unit_test(explicit_ones_are_at_hand),
        cmocka_unit_test(anonymous_is_at_hand),
        cmocka_unit_test(environment_is_read_again_when_rejected),
        cmocka_unit_test(renews_ahead_and_nobody_waits),
        cmocka_unit_test(short_lives_are_renewed_in_their_last_quarter),
        cmocka_unit_test(expired_ones_are_waited_for),
        cmocka_unit_test(the_same_keys_may_live_longer),
        cmocka_unit_test(a_failed_renewal_keeps_the_old_ones),
        cmocka_unit_test(a_crowd_asks_once),
        cmocka_unit_test(each_crowd_is_told_of_a_failure),
        cmocka_unit_test(threads_and_a_moving_clock),
        cmocka_unit_test(freeing_answers_who_waits),
        cmocka_unit_test(freeing_ends_a_command),
#ifndef NO_FORK
        cmocka_unit_test(children_start_afresh),
#endif
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(logs_held_no_secret),
    };
    return cmocka_run_group_tests(tests, set_up_fake, tear_down);
}
