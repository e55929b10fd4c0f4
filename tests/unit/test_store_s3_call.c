/*
 * test_store_s3_call.c - what a call learns between its tries: newer credentials, the server's
 * clock, the region, checksums; what a store may spend on retries; events; forks; closing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "s3_script.h"

#include <sys/wait.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN
#endif

static shardy_status get(struct sfi_store *store, shardy_error *err)
{
    struct sfi_buf data;
    sfi_buf_init(&data, 1000);
    shardy_status st = sfi_store_get(store, "k", 0, &data, NULL, err);
    sfi_buf_clear(&data);
    return st;
}

static shardy_status put(struct sfi_store *store, shardy_error *err)
{
    return sfi_store_put(store, "k", text_bytes("text"), NULL, SFI_STORE_ALWAYS, NULL, NULL, err);
}

static bool line_has(const struct seen *seen, const char *header, const char *text)
{
    const char *value = seen_header(seen, header);
    const char *found = value ? strstr(value, text) : NULL;
    return found && found < strstr(value, "\r\n");
}

static void regions_are_learnt(void **state)
{
    static const struct {
        const char *name;
        bool head;
        struct step step;
        bool learnt;
    } cases[] = {
        {"in the body",
         false,
         {NULL, 400, NULL,
          "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", 0,
          0},
         true},
        {"in a header",
         false,
         {NULL, 301, "x-amz-bucket-region: eu-west-1\r\n", ERROR_XML("PermanentRedirect"), 0, 0},
         true},
        {"in a host of Amazon's",
         false,
         {NULL, 307, "Location: https://b.s3.eu-west-1.amazonaws.com/k\r\n",
          ERROR_XML("TemporaryRedirect"), 0, 0},
         true},
        {"HEAD", true, {NULL, 400, "x-amz-bucket-region: eu-west-1\r\n", NULL, 0, 0}, true},
        {"another host",
         false,
         {NULL, 307, "Location: http://127.0.0.1:1/eu-west-1\r\n", ERROR_XML("TemporaryRedirect"),
          0, 0},
         false},
        {"the same region",
         false,
         {NULL, 301, "x-amz-bucket-region: us-east-1\r\n", ERROR_XML("PermanentRedirect"), 0, 0},
         false},
        {"not a region",
         false,
         {NULL, 301, "x-amz-bucket-region: a/../b\r\n", ERROR_XML("PermanentRedirect"), 0, 0},
         false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct step steps[] = {cases[i].step,
                                     {NULL, 200, ETAG_A "Content-Length: 0\r\n", "", 0, 0},
                                     {NULL, 200, ETAG_A "Content-Length: 0\r\n", "", 0, 0}};
        struct script *script = script_start(steps, 3);
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st =
            cases[i].head ? sfi_store_head(store, "k", NULL, NULL, &err) : get(store, &err);
        if (st != (cases[i].learnt ? SHARDY_OK : SHARDY_CONFIG)) {
            fail_msg("%s: %s: %s", cases[i].name, shardy_status_name(st), err.message);
        }
        assert_int_equal(atomic_load(&script->seen_count), cases[i].learnt ? 2 : 1);
        if (cases[i].learnt) {
            assert_true(line_has(&script->seen[0], "Authorization", "/us-east-1/s3/"));
            assert_true(line_has(&script->seen[1], "Authorization", "/eu-west-1/s3/"));
            assert_int_equal(get(store, &err), SHARDY_OK);
            assert_true(line_has(&script->seen[2], "Authorization", "/eu-west-1/s3/"));
        } else {
            assert_non_null(strstr(err.message, "redirects are not followed"));
        }
        sfi_store_release(store);
        script_stop(script);
    }
}

static void regions_are_learnt_once_a_call(void **state)
{
    static const struct step steps[] = {
        {NULL, 301, "x-amz-bucket-region: eu-west-1\r\n", "", 0, 0},
        {NULL, 301, "x-amz-bucket-region: eu-west-2\r\n", "", 0, 0},
    };
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    (void)state;
    assert_int_equal(get(store, NULL), SHARDY_CONFIG);
    assert_int_equal(atomic_load(&script->seen_count), 2);
    sfi_store_release(store);
    script_stop(script);
}

static void clocks_are_learnt(void **state)
{
    static const struct step steps[] = {
        {NULL, 403, "Date: Tue, 01 Jan 2041 10:00:00 GMT\r\n", ERROR_XML("RequestTimeTooSkewed"), 0,
         0},
        {NULL, 200, ETAG_A, "", 0, 0},
        {"HEAD", 403, "Date: Thu, 01 Jan 2032 10:00:00 GMT\r\n", NULL, 0, 0},
        {"HEAD", 200, ETAG_A "Content-Length: 0\r\n", NULL, 0, 0},
        {NULL, 403, "Date: Tue, 01 Jan 2041 10:00:00 GMT\r\n", ERROR_XML("RequestTimeTooSkewed"), 0,
         0},
        {NULL, 403, "Date: Tue, 01 Jan 2041 10:00:00 GMT\r\n", ERROR_XML("RequestTimeTooSkewed"), 0,
         0},
        {NULL, 403, NULL, ERROR_XML("RequestTimeTooSkewed"), 0, 0},
    };
    struct script *script = script_start(steps, 7);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(get(store, NULL), SHARDY_OK);
    assert_false(line_has(&script->seen[0], "x-amz-date", "20410101T10"));
    assert_true(line_has(&script->seen[1], "x-amz-date", "20410101T10"));
    assert_int_equal(sfi_store_head(store, "k", NULL, NULL, NULL), SHARDY_OK);
    assert_true(line_has(&script->seen[3], "x-amz-date", "20320101T10"));
    assert_int_equal(get(store, &err), SHARDY_STORE);
    assert_non_null(strstr(err.message, "set the clock"));
    assert_int_equal(atomic_load(&script->seen_count), 6);
    assert_int_equal(get(store, &err), SHARDY_STORE); /* no Date: nothing to learn */
    assert_int_equal(atomic_load(&script->seen_count), 7);
    sfi_store_release(store);
    script_stop(script);
}

#define CREDENTIALS(id, token)                                                             \
    "{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"canary-secret\",\"Token\":\"" token \
    "\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"

static void credentials_are_renewed_once(void **state)
{
    static const struct step steps[] = {
        {"/role", 200, "Content-Type: application/json\r\n", CREDENTIALS("FIRST", "t1"), 0, 0},
        {"bucket", 400, NULL, ERROR_XML("ExpiredToken"), 0, 0},
        {"/role", 200, "Content-Type: application/json\r\n", CREDENTIALS("SECOND", "t2"), 0, 0},
        {"bucket", 200, ETAG_A, "", 0, 0},
        /* HEAD has no body: a bare 403 under credentials that expire is tried once more. */
        {"HEAD", 403, NULL, NULL, 0, 0},
        {"/role", 200, "Content-Type: application/json\r\n", CREDENTIALS("THIRD", "t3"), 0, 0},
        {"HEAD", 403, NULL, NULL, 0, 0},
    };
    struct script *script = script_start(steps, 7);
    char url[128];
    shardy_error err = SHARDY_ERROR_INIT;
    const shardy_store_option option = {"endpoint_url", script->url};
    const struct sfi_store_options options = {&option, 1, NULL};
    struct sfi_store *store;
    (void)state;
    snprintf(url, sizeof url, "%s/role", script->url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    assert_int_equal(sfi_store_open("s3://bucket/prefix", &options, &store, NULL), SHARDY_OK);
    if (get(store, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(line_has(&script->seen[1], "Authorization", "Credential=FIRST/"));
    assert_true(line_has(&script->seen[1], "x-amz-security-token", "t1"));
    assert_true(line_has(&script->seen[3], "Authorization", "Credential=SECOND/"));
    assert_int_equal(sfi_store_head(store, "k", NULL, NULL, &err), SHARDY_CONFIG);
    assert_non_null(strstr(err.message, "access denied with the credentials of"));
    assert_null(strstr(err.message, "canary-secret"));
    assert_int_equal(atomic_load(&script->seen_count), 7);
    sfi_store_release(store);
    script_stop(script);
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

static void fixed_credentials_expire(void **state)
{
    static const struct step steps[] = {{NULL, 400, NULL, ERROR_XML("ExpiredToken"), 0, 0}};
    struct script *script = script_start(steps, 1);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(get(store, &err), SHARDY_CONFIG);
    assert_non_null(strstr(err.message, "ExpiredToken"));
    assert_int_equal(atomic_load(&script->seen_count), 1);
    sfi_store_release(store);
    script_stop(script);
}

static void nobody_signs(void **state)
{
    static const struct step steps[] = {{NULL, 200, ETAG_A, "", 0, 0}};
    struct script *script = script_start(steps, 1);
    const shardy_store_option options[] = {
        {"endpoint_url", script->url}, {"anonymous", "true"}, {"request_payer", "requester"}};
    const struct sfi_store_options all = {options, 3, NULL};
    struct sfi_store *store;
    (void)state;
    assert_int_equal(sfi_store_open("s3://bucket/prefix", &all, &store, NULL), SHARDY_OK);
    assert_int_equal(get(store, NULL), SHARDY_OK);
    assert_null(seen_header(&script->seen[0], "Authorization"));
    assert_true(line_has(&script->seen[0], "x-amz-request-payer", "requester"));
    sfi_store_release(store);
    script_stop(script);
}

static void checksums_are_left_out_where_refused(void **state)
{
    static const struct {
        struct step steps[4];
        shardy_status first;
        size_t requests;
        bool kept; /* the header, in the last request */
    } cases[] = {
        {{{NULL, 501, NULL, ERROR_XML("NotImplemented"), 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0}},
         SHARDY_OK,
         2,
         false},
        {{{NULL, 400, NULL, ERROR_XML("InvalidRequest"), 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0}},
         SHARDY_OK,
         2,
         false},
        {{{NULL, 400, NULL, ERROR_XML("InvalidRequest"), 0, 0},
          {NULL, 400, NULL, ERROR_XML("InvalidRequest"), 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0}},
         SHARDY_STORE,
         2,
         false},
        {{{NULL, 400, NULL, ERROR_XML("BadDigest"), 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0},
          {NULL, 200, ETAG_A, NULL, 0, 0}},
         SHARDY_OK,
         2,
         true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script *script = script_start(cases[i].steps, 3);
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        assert_int_equal(put(store, NULL), cases[i].first);
        assert_int_equal(atomic_load(&script->seen_count), cases[i].requests);
        assert_non_null(seen_header(&script->seen[0], "x-amz-checksum-crc32c"));
        assert_int_equal(put(store, NULL), SHARDY_OK);
        assert_int_equal(seen_header(&script->seen[2], "x-amz-checksum-crc32c") != NULL,
                         cases[i].kept);
        sfi_store_release(store);
        script_stop(script);
    }
}

static void checksums_taken_once_stay(void **state)
{
    static const struct step steps[] = {{NULL, 200, ETAG_A, NULL, 0, 0},
                                        {NULL, 400, NULL, ERROR_XML("InvalidRequest"), 0, 0}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    (void)state;
    assert_int_equal(put(store, NULL), SHARDY_OK);
    assert_int_equal(put(store, NULL), SHARDY_STORE);
    assert_int_equal(atomic_load(&script->seen_count), 2);
    sfi_store_release(store);
    script_stop(script);
}

#define X6(...) __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__

static void retries_have_bounds(void **state)
{
    static const struct step failing[] = {X6({NULL, 500, NULL, "", 0, 0})};
    static const struct step slow[] = {{NULL, 503, "Retry-After: 9\r\n", "", 0, 0}};
    static const shardy_store_option none[] = {{"max_attempts", "1"}};
    static const shardy_store_option two[] = {{"max_attempts", "2"}};
    static const shardy_store_option no_time[] = {{"retry_timeout", "0"}};
    static const shardy_store_option short_time[] = {{"retry_timeout", "2"}};
    static const struct {
        const struct step *steps;
        size_t count;
        const shardy_store_option *option;
        unsigned tokens;
        size_t requests;
    } cases[] = {
        {failing, 6, none, SFI_S3_RETRY_TOKENS, 1},
        {failing, 6, two, SFI_S3_RETRY_TOKENS, 2},
        {failing, 6, no_time, SFI_S3_RETRY_TOKENS, 1},
        {slow, 1, short_time, SFI_S3_RETRY_TOKENS, 1},
        {failing, 6, NULL, 2 * SFI_S3_RETRY_COST + 1, 3},
        {failing, 6, NULL, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script *script = script_start(cases[i].steps, cases[i].count);
        struct sfi_store *store =
            script_store(script, cases[i].option, cases[i].option ? 1 : 0, NULL);
        sfi_s3_of(store)->synced.throttle.tokens = cases[i].tokens;
        assert_int_equal(get(store, NULL), SHARDY_STORE);
        assert_int_equal(atomic_load(&script->seen_count), cases[i].requests);
        sfi_store_release(store);
        script_stop(script);
    }
}

static void nobody_listens_there(void **state)
{
    static const shardy_store_option two[] = {{"max_attempts", "2"}};
    struct script *script = script_start(NULL, 0);
    struct sfi_store *store = script_store(script, two, 1, NULL);
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    script_stop(script);
    /* Nothing was sent, so nothing is unknown. */
    assert_int_equal(put(store, &err), SHARDY_STORE);
    assert_non_null(strstr(err.message, "2 attempts"));
    sfi_store_release(store);
}

struct events {
    pthread_mutex_t lock;
    size_t count;
    char text[4][400];
};

static void on_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct events *events = arg;
    pthread_mutex_lock(&events->lock);
    char *text = events->text[events->count % 4];
    size_t n = (size_t)snprintf(text, 400, "%s", event);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].kind == SHARDY_FIELD_STRING) {
            n += (size_t)snprintf(text + n, 400 - n, " %s=%s", fields[i].name, fields[i].string);
        } else if (!strstr(fields[i].name, "_us")) {
            n += (size_t)snprintf(text + n, 400 - n, " %s=%lld", fields[i].name,
                                  (long long)fields[i].integer);
        }
    }
    events->count++;
    pthread_mutex_unlock(&events->lock);
}

static void every_exchange_is_an_event(void **state)
{
    static const struct step steps[] = {
        {NULL, 503, "x-amz-request-id: R1\r\n", ERROR_XML("SlowDown"), 0, 0},
        {NULL, 200, ETAG_A "x-amz-request-id: R2\r\n", NULL, 0, 0}};
    struct events events = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sfi_observer observer = {.events = {on_event, &events}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, &observer);
    (void)state;
    memset(&observer, 0, sizeof observer); /* the store has its own copy */
    assert_int_equal(put(store, NULL), SHARDY_OK);
    sfi_store_release(store);
    script_stop(script);
    assert_int_equal(events.count, 2);
    assert_string_equal(
        events.text[0],
        "store.request verb=PUT key=k range= status=503 error=SlowDown sent_bytes=4 "
        "received_bytes=79 attempt=1 request_id=R1");
    assert_string_equal(events.text[1], "store.request verb=PUT key=k range= status=200 error= "
                                        "sent_bytes=4 received_bytes=0 attempt=2 request_id=R2");
}

/* The range that was asked for, also of the rest after an answer that broke off. */
static void events_name_the_range(void **state)
{
    static const struct step steps[] = {
        {NULL, 206, ETAG_A "Content-Range: bytes 10-17/100\r\n", "abcdefgh", STEP_CUT, 3},
        {NULL, 206, ETAG_A "Content-Range: bytes 13-17/100\r\n", "defgh", 0, 0}};
    struct events events = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sfi_observer observer = {.events = {on_event, &events}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, &observer);
    struct sfi_buf data;
    (void)state;
    sfi_buf_init(&data, 100);
    assert_int_equal(sfi_store_get_range(store, "k", 10, 8, &data, NULL), SHARDY_OK);
    assert_int_equal(data.size, 8);
    sfi_buf_clear(&data);
    sfi_store_release(store);
    script_stop(script);
    assert_int_equal(events.count, 2);
    assert_non_null(strstr(events.text[0], " range=10-17 "));
    assert_non_null(strstr(events.text[1], " range=13-17 "));
}

/* As long as the whole time for retries: it is tried again all the same. */
static void stalls_are_tried_again(void **state)
{
    static const struct step steps[] = {{.kind = STEP_HANG}, {NULL, 200, ETAG_A, "", 0, 0}};
    static const shardy_store_option options[] = {{"read_timeout", "1"}, {"retry_timeout", "1"}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, options, 2, NULL);
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    if (get(store, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(atomic_load(&script->seen_count), 2);
    sfi_store_release(store);
    script_stop(script);
}

#ifndef UNDER_TSAN /* it does not know threads in the child of a process with threads */
static void children_start_anew(void **state)
{
    static const struct step steps[] = {X6({NULL, 200, ETAG_A, "", 0, 0})};
    struct script *script = script_start(steps, 6);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    int status = 0;
    (void)state;
    assert_int_equal(get(store, NULL), SHARDY_OK);
    /* As if another thread of the parent were in the middle of something. */
    pthread_mutex_lock(&sfi_s3_of(store)->synced.lock);
    pid_t child = fork();
    if (child == 0) {
        bool ok = get(store, NULL) == SHARDY_OK;
        sfi_store_release(store);
        _exit(ok ? 0 : 1);
    }
    pthread_mutex_unlock(&sfi_s3_of(store)->synced.lock);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(get(store, NULL), SHARDY_OK);
    assert_int_equal(atomic_load(&script->seen_count), 3);
    sfi_store_release(store);
    script_stop(script);
}
#endif

static void on_late(struct sfi_store_request *request)
{
    atomic_int *status = request->arg;
    atomic_store(status, (int)request->status);
}

static void closing_ends_what_is_under_way(void **state)
{
    static const struct step steps[] = {{.kind = STEP_HANG}};
    struct script *script = script_start(steps, 1);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    atomic_int status = -1;
    struct sfi_store_request request = {
        .verb = SFI_STORE_GET, .key = "k", .done = on_late, .arg = &status};
    struct sfi_store_request *requests = &request;
    (void)state;
    sfi_store_submit(store, &requests, 1);
    while (!atomic_load(&script->seen_count)) {
        usleep(1000);
    }
    sfi_store_release(store);
    assert_int_equal(atomic_load(&status), SHARDY_CANCELLED);
    script_stop(script);
}

static void on_last(struct sfi_store_request *request)
{
    struct sfi_store *store = request->arg;
    request->arg = NULL;
    sfi_store_release(store);
}

static void the_last_reference_may_go_in_a_callback(void **state)
{
    static const struct step steps[] = {{NULL, 200, ETAG_A, "", 0, 0}};
    static struct sfi_store_request request = {.verb = SFI_STORE_HEAD, .key = "k", .done = on_last};
    struct script *script = script_start(steps, 1);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    struct sfi_store_request *requests = &request;
    (void)state;
    request.arg = store;
    sfi_store_submit(store, &requests, 1);
    while (!atomic_load(&script->seen_count)) {
        usleep(1000);
    }
    script_stop(script);
    usleep(100000); /* the thread that closes it may run a little longer: leak checkers wait */
}

struct last {
    struct sfi_store *store;
    atomic_bool submitted;
    atomic_bool released;
};

static void on_last_failure(struct sfi_store_request *request)
{
    struct last *last = request->arg;
    while (!atomic_load(&last->submitted)) {
        usleep(1000);
    }
    assert_int_equal(request->status, SHARDY_CONFIG);
    sfi_store_release(last->store);
    atomic_store(&last->released, true);
}

/* Without credentials the callback comes on the thread that looked for them. */
static void the_last_reference_may_go_where_credentials_fail(void **state)
{
    static struct last last;
    static struct sfi_store_request request = {
        .verb = SFI_STORE_HEAD, .key = "k", .done = on_last_failure, .arg = &last};
    static const shardy_store_option options[] = {{"endpoint_url", "http://127.0.0.1:1"}};
    const struct sfi_store_options all = {options, 1, NULL};
    struct sfi_store_request *requests = &request;
    (void)state;
    assert_int_equal(sfi_store_open("s3://bucket/prefix", &all, &last.store, NULL), SHARDY_OK);
    sfi_store_submit(last.store, &requests, 1);
    atomic_store(&last.submitted, true);
    while (!atomic_load(&last.released)) {
        usleep(1000);
    }
    usleep(100000); /* as above */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_learnt),
        cmocka_unit_test(regions_are_learnt_once_a_call),
        cmocka_unit_test(clocks_are_learnt),
        cmocka_unit_test(credentials_are_renewed_once),
        cmocka_unit_test(fixed_credentials_expire),
        cmocka_unit_test(nobody_signs),
        cmocka_unit_test(checksums_are_left_out_where_refused),
        cmocka_unit_test(checksums_taken_once_stay),
        cmocka_unit_test(retries_have_bounds),
        cmocka_unit_test(nobody_listens_there),
        cmocka_unit_test(every_exchange_is_an_event),
        cmocka_unit_test(events_name_the_range),
        cmocka_unit_test(stalls_are_tried_again),
#ifndef UNDER_TSAN
        cmocka_unit_test(children_start_anew),
#endif
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(the_last_reference_may_go_in_a_callback),
        cmocka_unit_test(the_last_reference_may_go_where_credentials_fail),
    };
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
