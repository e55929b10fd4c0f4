/*
 * test_store_s3_object.c - HEAD, PUT and DELETE against scripted servers, what requests say, and
 * cancelling. GET is test_store_s3_get.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "s3_scenario.h"

/* More than any answer to PUT or DELETE needs; filled by main. */
static char s_endless[SFI_S3_ERROR_BODY_MAX + 100];

static const struct scenario s_scenarios[] = {
    {"head",
     SFI_STORE_HEAD,
     0,
     0,
     0,
     0,
     {{NULL, 200, ETAG_A "Content-Length: 77\r\n", NULL, 0, 0}},
     SHARDY_OK,
     1,
     "",
     "\"aaaa\"",
     77},
    {"head of nothing",
     SFI_STORE_HEAD,
     0,
     0,
     0,
     0,
     {{NULL, 404, NULL, NULL, 0, 0}},
     SHARDY_NOT_FOUND,
     1,
     "HTTP 404",
     NULL,
     0},
    {"head retried",
     SFI_STORE_HEAD,
     0,
     0,
     0,
     0,
     {{NULL, 500, NULL, NULL, 0, 0}, {NULL, 200, ETAG_A "Content-Length: 77\r\n", NULL, 0, 0}},
     SHARDY_OK,
     2,
     "",
     "\"aaaa\"",
     77},

    {"put",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {{NULL, 200, ETAG_A, NULL, 0, 0}},
     SHARDY_OK,
     1,
     "",
     "\"aaaa\"",
     10},
    {"put whose answer is lost",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {{.kind = STEP_DROP}, {NULL, 200, ETAG_A, NULL, 0, 0}},
     SHARDY_OK,
     2,
     "",
     "\"aaaa\"",
     10},
    {"put whose answers are all lost",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {X6({.kind = STEP_DROP})},
     SHARDY_UNKNOWN,
     6,
     "may have taken effect",
     NULL,
     0},
    {"put that fails inside the server",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {X6({NULL, 500, NULL, ERROR_XML("InternalError"), 0, 0})},
     SHARDY_UNKNOWN,
     6,
     "may have taken effect",
     NULL,
     0},
    {"put that is turned away",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {X6({NULL, 503, NULL, ERROR_XML("SlowDown"), 0, 0})},
     SHARDY_STORE,
     6,
     "SlowDown",
     NULL,
     0},
    {"put denied after a lost answer",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {{.kind = STEP_DROP}, {NULL, 403, NULL, ERROR_XML("AccessDenied"), 0, 0}},
     SHARDY_UNKNOWN,
     2,
     "AccessDenied",
     NULL,
     0},
    {"create that exists",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0}},
     SHARDY_CONFLICT,
     1,
     "exists already",
     NULL,
     0},
    {"409 is no answer",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{NULL, 409, NULL, ERROR_XML("ConditionalRequestConflict"), 0, 0},
      {NULL, 409, NULL, ERROR_XML("OperationAborted"), 0, 0},
      {NULL, 200, ETAG_A, NULL, 0, 0}},
     SHARDY_OK,
     3,
     "",
     "\"aaaa\"",
     10},
    {"409 for ever",
     SFI_STORE_PUT,
     SFI_STORE_IF_MATCH,
     0,
     0,
     0,
     {X6({NULL, 409, NULL, ERROR_XML("ConditionalRequestConflict"), 0, 0})},
     SHARDY_STORE,
     6,
     "ConditionalRequestConflict",
     NULL,
     0},
    {"409 and then a conflict",
     SFI_STORE_PUT,
     SFI_STORE_IF_MATCH,
     0,
     0,
     0,
     {{NULL, 409, NULL, ERROR_XML("ConditionalRequestConflict"), 0, 0},
      {NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0}},
     SHARDY_CONFLICT,
     2,
     "somebody else",
     NULL,
     0},
    {"if match of nothing",
     SFI_STORE_PUT,
     SFI_STORE_IF_MATCH,
     0,
     0,
     0,
     {{NULL, 404, NULL, ERROR_XML("NoSuchKey"), 0, 0}},
     SHARDY_CONFLICT,
     1,
     "",
     NULL,
     0},
    {"own echo",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{.kind = STEP_DROP},
      {NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"GET", 200, "ETag: \"mine\"\r\n", BODY, 0, 0}},
     SHARDY_OK,
     3,
     "",
     "\"mine\"",
     10},
    {"echo of a 500",
     SFI_STORE_PUT,
     SFI_STORE_IF_MATCH,
     0,
     0,
     0,
     {{NULL, 500, NULL, "", 0, 0},
      {NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"GET", 200, "ETag: \"mine\"\r\n", BODY, 0, 0}},
     SHARDY_OK,
     3,
     "",
     "\"mine\"",
     10},
    {"not the own echo",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{.kind = STEP_DROP},
      {NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"GET", 200, ETAG_A, "somebody else's, which is longer", 0, 0}},
     SHARDY_UNKNOWN,
     3,
     "other bytes",
     NULL,
     0},
    {"echo that cannot be read",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{.kind = STEP_DROP},
      {NULL, 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"GET", 403, NULL, ERROR_XML("AccessDenied"), 0, 0}},
     SHARDY_UNKNOWN,
     3,
     "could not be read back",
     NULL,
     0},

    {"delete",
     SFI_STORE_DELETE,
     0,
     0,
     0,
     0,
     {{NULL, 204, NULL, NULL, 0, 0}},
     SHARDY_OK,
     1,
     "",
     "",
     0},
    {"delete of nothing",
     SFI_STORE_DELETE,
     0,
     0,
     0,
     0,
     {{NULL, 404, NULL, ERROR_XML("NoSuchKey"), 0, 0}},
     SHARDY_OK,
     1,
     "",
     "",
     0},
    {"put whose answer does not end",
     SFI_STORE_PUT,
     0,
     0,
     0,
     0,
     {{NULL, 200, ETAG_A, s_endless, 0, 0}},
     SHARDY_UNKNOWN,
     1,
     "too large",
     NULL,
     0},
    {"delete whose answer does not end",
     SFI_STORE_DELETE,
     0,
     0,
     0,
     0,
     {{NULL, 200, NULL, s_endless, 0, 0}},
     SHARDY_UNKNOWN,
     1,
     "too large",
     NULL,
     0},
    {"an error that repeats a secret",
     SFI_STORE_DELETE,
     0,
     0,
     0,
     0,
     {{NULL, 403, "x-amz-request-id: canary-secret\r\n",
       "<Error><Code>SignatureDoesNotMatch</Code><Message>not signed by canary-secret</Message>"
       "</Error>",
       0, 0}},
     SHARDY_CONFIG,
     1,
     "SignatureDoesNotMatch",
     NULL,
     0},
    {"409 without a code is no answer",
     SFI_STORE_PUT,
     SFI_STORE_IF_ABSENT,
     0,
     0,
     0,
     {{NULL, 409, NULL, "", 0, 0}, {NULL, 200, ETAG_A, NULL, 0, 0}},
     SHARDY_OK,
     2,
     "",
     "\"aaaa\"",
     10},
    {"delete whose answers are lost",
     SFI_STORE_DELETE,
     0,
     0,
     0,
     0,
     {X6({.kind = STEP_DROP})},
     SHARDY_UNKNOWN,
     6,
     "",
     NULL,
     0},
};

static void scenarios_come_out(void **state)
{
    (void)state;
    run_scenarios(s_scenarios, sizeof s_scenarios / sizeof s_scenarios[0]);
}

/* What the second request of a script looked like. */
static void require_header(const struct seen *seen, const char *name, const char *value)
{
    const char *found = seen_header(seen, name);
    if (!found || strncmp(found, value, strlen(value)) != 0) {
        fail_msg("%s: expected %s, got %.60s", name, value, found ? found : "nothing");
    }
}

static void requests_say_what_they_want(void **state)
{
    static const struct step steps[] = {
        {NULL, 206, ETAG_A "Content-Range: bytes 2-7/10\r\n", "234567", STEP_CUT, 4},
        {NULL, 206, ETAG_A "Content-Range: bytes 6-7/10\r\n", "67", 0, 0},
        {NULL, 200, ETAG_A, NULL, 0, 0},
    };
    struct script *script = script_start(steps, 3);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    sfi_buf_init(&data, 100);
    assert_int_equal(sfi_store_get_range(store, "a b/c", 2, 6, &data, &err), SHARDY_OK);
    const char *start = "GET /bucket/prefix/a%20b/c HTTP/1.1\r\n";
    assert_memory_equal(script->seen[0].head, start, strlen(start));
    require_header(&script->seen[0], "Range", "bytes=2-7\r\n");
    assert_null(seen_header(&script->seen[0], "If-Match"));
    require_header(&script->seen[1], "Range", "bytes=6-7\r\n");
    require_header(&script->seen[1], "If-Match", "\"aaaa\"\r\n");
    require_header(&script->seen[1], "Accept-Encoding", "identity");
    require_header(&script->seen[1], "Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/");
    assert_int_equal(sfi_store_put(store, "k", text_bytes("123456789"), "text/x",
                                   SFI_STORE_IF_ABSENT, NULL, NULL, &err),
                     SHARDY_OK);
    require_header(&script->seen[2], "If-None-Match", "*\r\n");
    require_header(&script->seen[2], "Content-Type", "text/x\r\n");
    require_header(&script->seen[2], "x-amz-checksum-crc32c", "4waSgw==\r\n");
    require_header(&script->seen[2], "x-amz-content-sha256", "UNSIGNED-PAYLOAD\r\n");
    assert_string_equal(script->seen[2].body, "123456789");
    sfi_buf_clear(&data);
    sfi_store_release(store);
    script_stop(script);
}

static void cancelled_requests_end(void **state)
{
    static const struct {
        enum sfi_store_verb verb;
        struct step step;
        shardy_status status;
    } cases[] = {
        {SFI_STORE_GET, {.kind = STEP_HANG}, SHARDY_CANCELLED},
        {SFI_STORE_PUT, {.kind = STEP_HANG}, SHARDY_UNKNOWN},
        {SFI_STORE_GET,
         {NULL, 503, "Retry-After: 9\r\n", ERROR_XML("SlowDown"), 0, 0},
         SHARDY_CANCELLED},
        {SFI_STORE_PUT,
         {NULL, 503, "Retry-After: 9\r\n", ERROR_XML("SlowDown"), 0, 0},
         SHARDY_CANCELLED},
        {SFI_STORE_PUT, {NULL, 503, "Retry-After: 9\r\n", "", 0, 0}, SHARDY_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script *script = script_start(&cases[i].step, 1);
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        struct done done = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
        struct sfi_store_request request = {.verb = cases[i].verb,
                                            .key = "k",
                                            .body = text_bytes(BODY),
                                            .done = on_done,
                                            .arg = &done};
        struct sfi_store_request *requests = &request;
        sfi_store_submit(store, &requests, 1);
        struct sfi_s3_call *call = request.pending;
        while (!atomic_load(&script->seen_count) ||
               (cases[i].step.status && atomic_load(&call->phase) != SFI_S3_WAITING)) {
            usleep(1000);
        }
        sfi_store_cancel(store, &request);
        sfi_store_cancel(store, &request);
        wait_done(&done);
        assert_int_equal(request.status, cases[i].status);
        assert_int_equal(atomic_load(&script->seen_count), 1);
        sfi_store_cancel(store, &request); /* done: no effect */
        sfi_store_release(store);
        script_stop(script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenarios_come_out),
        cmocka_unit_test(requests_say_what_they_want),
        cmocka_unit_test(cancelled_requests_end),
    };
    memset(s_endless, ' ', sizeof s_endless - 1);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
