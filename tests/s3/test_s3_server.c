/*
 * test_s3_server.c - the harness itself: a server starts, has its bucket, answers signed requests,
 * does what the tests of the library count on, and leaves nothing behind.
 */
#include "proxy_sample.h"

#include <unistd.h>

#define KEY "/" S3_SERVER_BUCKET "/folder/a%20key"

static void start_or_skip(enum s3_server_kind kind)
{
    const char *reason = s3_server_missing(kind);
    if (reason) {
        printf("# %s\n", reason);
        skip();
    }
    server = s3_server_start(kind);
    client = s3_client_new(s3_server_url(server));
}

static void stop(void)
{
    s3_client_free(client);
    s3_server_stop(server);
    client = NULL;
    server = NULL;
}

static void round_trip(void)
{
    assert_int_equal(put_text(KEY, NULL, "value")->status, 200);
    assert_string_equal(ask("GET", KEY, "Range: bytes=1-3", NULL, 0)->body, "alu");
    assert_non_null(strstr(
        ask("GET", "/" S3_SERVER_BUCKET "?list-type=2&prefix=folder%2F", NULL, NULL, 0)->body,
        "<Key>folder/a key</Key>"));
    assert_int_equal(ask("DELETE", KEY, NULL, NULL, 0)->status, 204);
    assert_int_equal(ask("GET", KEY, NULL, NULL, 0)->status, 404);
}

static void test_versitygw(void **state)
{
    char path[512], etag[128], header[160];
    (void)state;
    start_or_skip(S3_SERVER_VERSITYGW);
    round_trip();
    assert_int_equal(put_text(KEY, "If-None-Match: *", "one")->status, 200);
    snprintf(etag, sizeof etag, "%s", s3_client_header(client, "etag"));
    assert_int_equal(put_text(KEY, "If-None-Match: *", "two")->status, 412);
    snprintf(header, sizeof header, "If-Match: %s", etag);
    assert_int_equal(put_text(KEY, header, "three")->status, 200);
    assert_int_equal(put_text(KEY, header, "four")->status, 412);
    assert_string_equal(ask("GET", KEY, NULL, NULL, 0)->body, "three");
    snprintf(path, sizeof path, "%s/folder/a key", s3_server_folder(server));
    assert_int_equal(access(path, R_OK), 0);
    stop();
    assert_int_not_equal(access(path, R_OK), 0);
}

static void test_moto(void **state)
{
    (void)state;
    start_or_skip(S3_SERVER_MOTO);
    round_trip();
    assert_null(s3_server_folder(server));
    stop();
}

/* Two at once do not disturb each other. */
static void test_two(void **state)
{
    (void)state;
    start_or_skip(S3_SERVER_VERSITYGW);
    struct s3_server *other = s3_server_start(S3_SERVER_VERSITYGW);
    assert_string_not_equal(s3_server_url(server), s3_server_url(other));
    assert_int_equal(put_text(KEY, NULL, "value")->status, 200);
    struct s3_client *there = s3_client_new(s3_server_url(other));
    assert_int_equal(s3_client_request(there, "GET", KEY, NULL, NULL, 0)->status, 404);
    s3_client_free(there);
    s3_server_stop(other);
    assert_int_equal(ask("GET", KEY, NULL, NULL, 0)->status, 200);
    stop();
}

static void test_missing(void **state)
{
    (void)state;
    setenv("SHARDY_VERSITYGW", "/nonexistent/versitygw", 1);
    assert_non_null(strstr(s3_server_missing(S3_SERVER_VERSITYGW), "SHARDY_VERSITYGW"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versitygw),
        cmocka_unit_test(test_moto),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_missing),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
