/*
 * test_fault_proxy_answers.c - each fault of the proxy as a plain libcurl client sees it, with
 * versitygw behind: what is answered, what the server has done, what is counted.
 */
#include "proxy_sample.h"

static void test_passes_through(void **state)
{
    (void)state;
    const struct s3_answer *answer = get_range(NULL);
    assert_int_equal(answer->curl_code, CURLE_OK);
    assert_int_equal(answer->status, 200);
    assert_int_equal(answer->body_size, OBJECT_SIZE);
    assert_memory_equal(answer->body, object, OBJECT_SIZE);
    assert_int_equal(get_range("Range: bytes=10-19")->status, 206);
    assert_memory_equal(client ? get_range("Range: bytes=10-19")->body : "", object + 10, 10);
    assert_int_equal(ask("HEAD", OBJECT, NULL, NULL, 0)->status, 200);
    assert_string_equal(s3_client_header(client, "content-length"), "300000");
    assert_int_equal(ask("DELETE", "/" S3_SERVER_BUCKET "/absent", NULL, NULL, 0)->status, 204);
    assert_int_equal(statistics().connections, 1);
    assert_int_equal(statistics().faults, 0);
}

/* Errors that the proxy answers itself. */
static void test_errors(void **state)
{
    static const struct {
        const char *rule;
        int status;
        const char *code;
    } rows[] = {
        {"fault=status status=500", 500, "<Code>InternalError</Code>"},
        {"fault=status status=502", 502, "<Code>BadGateway</Code>"},
        {"fault=status status=503", 503, "<Code>ServiceUnavailable</Code>"},
        {"fault=status status=504", 504, "<Code>GatewayTimeout</Code>"},
        {"fault=status status=429", 429, "<Code>TooManyRequests</Code>"},
        {"fault=status status=401", 401, "<Code>Unauthorized</Code>"},
        {"fault=status status=404", 404, "<Code>NoSuchKey</Code>"},
        {"fault=status status=412", 412, "<Code>PreconditionFailed</Code>"},
        {"fault=status status=403 code=InvalidAccessKeyId", 403, "<Code>InvalidAccessKeyId</Code>"},
        {"fault=slow-down", 503, "<Code>SlowDown</Code>"},
        {"fault=conflict", 409, "<Code>ConditionalRequestConflict</Code>"},
        {"fault=expired-token", 400, "<Code>ExpiredToken</Code>"},
        {"fault=request-timeout", 400, "<Code>RequestTimeout</Code>"},
        {"fault=time-skewed", 403, "<Code>RequestTimeTooSkewed</Code>"},
        {"fault=complete-error", 200, "<Code>InternalError</Code>"},
    };
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        proxy_clear(proxy);
        proxy_rule(proxy, "%s count=1", rows[i].rule);
        const struct s3_answer *answer = put_text("/" S3_SERVER_BUCKET "/error", NULL, "text");
        assert_int_equal(answer->status, rows[i].status);
        assert_non_null(strstr(answer->body, rows[i].code));
        assert_int_equal(stored("/" S3_SERVER_BUCKET "/error", text, sizeof text), 404);
        assert_int_equal(get_range("Range: bytes=0-0")->status, 206);
    }
    assert_int_equal(statistics().connections, 1);
    assert_int_equal(statistics().faults, sizeof rows / sizeof *rows);
}

static void test_error_headers(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=slow-down retry-after=7 count=1");
    get_range(NULL);
    assert_string_equal(s3_client_header(client, "retry-after"), "7");
    proxy_rule(proxy,
               "fault=redirect status=307 region=eu-west-1 location=http://b.example/x count=1");
    assert_int_equal(get_range(NULL)->status, 307);
    assert_string_equal(s3_client_header(client, "x-amz-bucket-region"), "eu-west-1");
    assert_string_equal(s3_client_header(client, "location"), "http://b.example/x");
    proxy_rule(proxy, "fault=redirect region=eu-west-1 method=HEAD count=1");
    const struct s3_answer *answer = ask("HEAD", OBJECT, NULL, NULL, 0);
    assert_int_equal(answer->status, 301);
    assert_int_equal(answer->body_size, 0);
}

/* An error after the server has done what was asked. */
static void test_applied_errors(void **state)
{
    static const char *const rules[] = {"fault=status status=500 apply=1",
                                        "fault=complete-error apply=1", "fault=apply-drop"};
    char target[64], text[64];
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        fresh(NULL); /* curl asks again by itself when a kept connection ends without an answer */
        proxy_rule(proxy, "%s count=1", rules[i]);
        snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "/applied%zu", i);
        const struct s3_answer *answer = put_text(target, NULL, "applied");
        assert_true(i == 2 ? answer->curl_code == CURLE_GOT_NOTHING
                           : strstr(answer->body, "InternalError") != NULL);
        assert_int_equal(stored(target, text, sizeof text), 200);
        assert_string_equal(text, "applied");
    }
}

static void test_drop(void **state)
{
    char text[64];
    (void)state;
    proxy_rule(proxy, "fault=drop nth=1");
    assert_int_equal(put_text("/" S3_SERVER_BUCKET "/dropped", NULL, "text")->curl_code,
                     CURLE_GOT_NOTHING);
    assert_int_equal(stored("/" S3_SERVER_BUCKET "/dropped", text, sizeof text), 404);
    assert_int_equal(put_text("/" S3_SERVER_BUCKET "/dropped", NULL, "text")->status, 200);
}

/* Answers cut short, or of another length than they say. */
static void test_lengths(void **state)
{
    static const struct {
        const char *rule, *range;
        int curl_code;
        size_t size;
    } rows[] = {
        {"fault=reset after=1000", NULL, CURLE_RECV_ERROR, 1000},
        {"fault=reset after=0", NULL, CURLE_RECV_ERROR, 0},
        {"fault=truncate after=1000", NULL, CURLE_PARTIAL_FILE, 1000},
        {"fault=truncate after=9", "Range: bytes=0-9", CURLE_PARTIAL_FILE, 9},
        {"fault=length-more by=10", "Range: bytes=0-9", CURLE_PARTIAL_FILE, 10},
        {"fault=length-less by=3", "Range: bytes=0-9", CURLE_OK, 7},
        {"fault=longer by=3", "Range: bytes=0-9", CURLE_OK, 13},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        proxy_clear(proxy);
        proxy_rule(proxy, "%s count=1", rows[i].rule);
        const struct s3_answer *answer = get_range(rows[i].range);
        assert_int_equal(answer->curl_code, rows[i].curl_code);
        assert_int_equal(answer->body_size, rows[i].size);
        size_t good = rows[i].size < 10 || !rows[i].range ? rows[i].size : 10;
        assert_memory_equal(answer->body, object, good);
        assert_int_equal(get_range("Range: bytes=0-9")->curl_code, CURLE_OK);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=wrong-range by=5 count=1");
    assert_int_equal(get_range("Range: bytes=10-19")->status, 206);
    assert_string_equal(s3_client_header(client, "content-range"), "bytes 15-24/300000");
    proxy_rule(proxy, "fault=whole count=1");
    const struct s3_answer *answer = get_range("Range: bytes=10-19");
    assert_int_equal(answer->status, 200);
    assert_int_equal(answer->body_size, OBJECT_SIZE);
    proxy_rule(proxy, "fault=multipart count=1");
    answer = get_range("Range: bytes=10-19");
    assert_int_equal(answer->status, 206);
    assert_non_null(strstr(answer->body, "Content-Range: bytes 10-19/300000"));
    assert_null(s3_client_header(client, "content-range"));
    assert_string_equal(s3_client_header(client, "content-type"),
                        "multipart/byteranges; boundary=fault");
}

static void test_damage(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=flip at=4 count=1");
    const struct s3_answer *answer = get_range("Range: bytes=0-9");
    assert_int_equal(answer->body_size, 10);
    assert_memory_equal(answer->body, object, 4);
    assert_int_equal(answer->body[4], object[4] ^ 0x10);
    assert_memory_equal(answer->body + 5, object + 5, 5);
    proxy_rule(proxy, "fault=strip-etag count=1");
    get_range("Range: bytes=0-9");
    assert_null(s3_client_header(client, "etag"));
    get_range("Range: bytes=0-9");
    assert_non_null(s3_client_header(client, "etag"));
    proxy_rule(proxy, "fault=header set=Content-Length:%%205 method=HEAD count=1");
    ask("HEAD", OBJECT, NULL, NULL, 0);
    assert_string_equal(s3_client_header(client, "content-length"), "5");
    proxy_rule(proxy, "fault=header set=Content-Encoding:%%20gzip count=1");
    get_range("Range: bytes=0-9");
    assert_string_equal(s3_client_header(client, "content-encoding"), "gzip");
}

static void test_duplicate(void **state)
{
    char text[64];
    (void)state;
    /* The second one finds what the first one wrote. */
    proxy_rule(proxy, "fault=duplicate count=1");
    assert_int_equal(put_text("/" S3_SERVER_BUCKET "/twice", "If-None-Match: *", "one")->status,
                     412);
    assert_int_equal(stored("/" S3_SERVER_BUCKET "/twice", text, sizeof text), 200);
    assert_string_equal(text, "one");
    proxy_rule(proxy, "fault=duplicate first=1 count=1");
    const struct s3_answer *answer =
        put_text("/" S3_SERVER_BUCKET "/twice2", "If-None-Match: *", "two");
    assert_int_equal(answer->status, 200);
    assert_int_equal(answer->curl_code, CURLE_OK);
    assert_non_null(s3_client_header(client, "etag"));
    assert_int_equal(statistics().requests, 2);
}

/* A store without conditional writes: the request is signed again without the headers. */
static void test_ignore_conditionals(void **state)
{
    char text[64];
    (void)state;
    proxy_set(proxy, "ignore-conditionals=1");
    assert_int_equal(put_text(OBJECT "2?x=1&a", "If-None-Match: *", "one")->status, 200);
    assert_int_equal(put_text(OBJECT "2?x=1&a", "If-None-Match: *", "two")->status, 200);
    assert_int_equal(put_text(OBJECT "2?x=1&a", "If-Match: \"none\"", "three")->status, 200);
    assert_int_equal(stored(OBJECT "2", text, sizeof text), 200);
    assert_string_equal(text, "three");
    proxy_set(proxy, "ignore-conditionals=0");
    assert_int_equal(put_text(OBJECT "2", "If-None-Match: *", "four")->status, 412);
    proxy_rule(proxy, "fault=ignore-conditionals count=1");
    assert_int_equal(put_text(OBJECT "2", "If-None-Match: *", "four")->status, 200);
}

static void test_replay(void **state)
{
    (void)state;
    put_text("/" S3_SERVER_BUCKET "/stale", NULL, "old");
    proxy_rule(proxy, "fault=remember method=GET match=/stale count=1");
    assert_string_equal(ask("GET", "/" S3_SERVER_BUCKET "/stale", NULL, NULL, 0)->body, "old");
    put_text("/" S3_SERVER_BUCKET "/stale", NULL, "new");
    proxy_rule(proxy, "fault=replay method=GET match=/stale count=1");
    assert_string_equal(ask("GET", "/" S3_SERVER_BUCKET "/stale", NULL, NULL, 0)->body, "old");
    assert_string_equal(ask("GET", "/" S3_SERVER_BUCKET "/stale", NULL, NULL, 0)->body, "new");
}

/* Which requests a rule takes. */
static void test_matching(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=status status=500 nth=2");
    proxy_rule(proxy, "fault=status status=501 method=PUT");
    proxy_rule(proxy, "fault=status status=502 match=?list-type count=1");
    proxy_rule(proxy, "fault=status status=504 glob=*/obj[e]ct");
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "/x", NULL, NULL, 0)->status, 404);
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "/x", NULL, NULL, 0)->status, 500);
    assert_int_equal(put_text("/" S3_SERVER_BUCKET "/x", NULL, "x")->status, 501);
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "?list-type=2", NULL, NULL, 0)->status, 502);
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "?list-type=2", NULL, NULL, 0)->status, 200);
    assert_int_equal(get_range(NULL)->status, 504);
    proxy_reset(proxy);
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "/x", NULL, NULL, 0)->status, 404);
    assert_int_equal(ask("GET", "/" S3_SERVER_BUCKET "/x", NULL, NULL, 0)->status, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_passes_through, fresh),
        cmocka_unit_test_setup(test_errors, fresh),
        cmocka_unit_test_setup(test_error_headers, fresh),
        cmocka_unit_test_setup(test_applied_errors, fresh),
        cmocka_unit_test_setup(test_drop, fresh),
        cmocka_unit_test_setup(test_lengths, fresh),
        cmocka_unit_test_setup(test_ranges, fresh),
        cmocka_unit_test_setup(test_damage, fresh),
        cmocka_unit_test_setup(test_duplicate, fresh),
        cmocka_unit_test_setup(test_ignore_conditionals, fresh),
        cmocka_unit_test_setup(test_replay, fresh),
        cmocka_unit_test_setup(test_matching, fresh),
    };
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
