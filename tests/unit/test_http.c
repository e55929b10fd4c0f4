/*
 * test_http.c - single exchanges with a real socket: answers good and bad, their outcomes, headers
 * in both directions, limits, time-outs, resending.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"
#include "http_server.h"
#include "store_sample.h"

struct fixture {
    struct server *server;
    struct sfi_http_client *client;
};

static struct sfi_http_client *new_client(const struct sfi_http_options *options)
{
    struct sfi_http_client *client = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    if (sfi_http_client_new(options, &client, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    return client;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct sfi_http_options options = {.max_connections = 8, .no_proxy = true};
    fixture.server = server_start();
    fixture.client = new_client(&options);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    sfi_http_client_free(fixture->client);
    server_stop(fixture->server);
    return 0;
}

/* Perform into a request whose results the caller clears. */
static struct sfi_http_request exchange(struct fixture *fixture, const char *method,
                                        const char *path)
{
    struct sfi_http_request request = {.method = method};
    request.url = server_url(fixture->server, path);
    sfi_http_perform(fixture->client, &request);
    return request;
}

static void expect_text(const struct sfi_http_request *request, const char *text)
{
    assert_int_equal(request->data.size, strlen(text));
    if (text[0]) {
        assert_memory_equal(request->data.data, text, strlen(text));
    }
}

/* Every odd answer of the server, on a fresh and on a kept connection. */
static void answers(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        enum sfi_http_outcome outcome;
        int status;
        uint64_t length; /* announced */
        const char *body;
    } cases[] = {
        {"GET", "/ok", SFI_HTTP_ANSWERED, 200, 5, "hello"},
        {"GET", "/missing", SFI_HTTP_ANSWERED, 404, 5, "hello"},
        {"HEAD", "/ok", SFI_HTTP_ANSWERED, 200, 5, ""},
        {"HEAD", "/size/123456789", SFI_HTTP_ANSWERED, 200, 123456789, ""},
        {"DELETE", "/method", SFI_HTTP_ANSWERED, 200, 6, "DELETE"},
        {"POST", "/method", SFI_HTTP_ANSWERED, 200, 4, "POST"},
        {"PUT", "/method", SFI_HTTP_ANSWERED, 200, 3, "PUT"},
        {"GET", "/size/0", SFI_HTTP_ANSWERED, 200, 0, ""},
        {"GET", "/chunked", SFI_HTTP_ANSWERED, 200, UINT64_MAX, "hello world"},
        {"GET", "/interim", SFI_HTTP_ANSWERED, 200, 2, "ok"},
        {"GET", "/until-close", SFI_HTTP_ANSWERED, 200, UINT64_MAX, "to the end"},
        {"GET", "/redirect", SFI_HTTP_ANSWERED, 307, 4, "move"},
        {"GET", "/nothing", SFI_HTTP_ANSWERED, 204, UINT64_MAX, ""},
        {"GET", "/unchanged", SFI_HTTP_ANSWERED, 304, UINT64_MAX, ""},
        {"GET", "/long", SFI_HTTP_ANSWERED, 200, 2, "ok"},
        {"GET", "/short", SFI_HTTP_LOST, 200, 100, "0123456789"},
        {"GET", "/short-chunk", SFI_HTTP_LOST, 200, UINT64_MAX, "0123456789"},
        {"GET", "/reset", SFI_HTTP_LOST, 200, 100, "0123456789"},
        {"GET", "/lie", SFI_HTTP_LOST, 200, 9000000000000000000u, "short"},
        {"GET", "/two-lengths", SFI_HTTP_LOST, 200, UINT64_MAX, ""},
        {"GET", "/interim-only", SFI_HTTP_LOST, 0, UINT64_MAX, ""},
        {"GET", "/close", SFI_HTTP_LOST, 0, UINT64_MAX, ""},
        {"PUT", "/close", SFI_HTTP_LOST, 0, UINT64_MAX, ""},
        {"GET", "/garbage", SFI_HTTP_LOST, 0, UINT64_MAX, ""},
        {"GET", "/half-head", SFI_HTTP_LOST, 200, UINT64_MAX, ""},
        {"GET", "/huge-head", SFI_HTTP_LOST, 200, UINT64_MAX, ""},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        size_t c = i / 2;
        struct sfi_http_request request = exchange(*state, cases[c].method, cases[c].path);
        print_message("# %s %s: %d %d %s\n", cases[c].method, cases[c].path, (int)request.outcome,
                      request.http_status, request.error.message);
        assert_int_equal(request.outcome, cases[c].outcome);
        assert_int_equal(request.http_status, cases[c].status);
        expect_text(&request, cases[c].body);
        assert_true(request.content_length == cases[c].length);
        assert_true(request.started_us > 0 && request.ended_us >= request.started_us);
        assert_int_equal(request.error.message[0] != 0, cases[c].outcome != SFI_HTTP_ANSWERED);
        sfi_http_request_clear(&request);
    }
}

static void connections_are_kept(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++) {
        struct sfi_http_request request = exchange(fixture,
                                                   i % 3   ? "GET"
                                                   : i % 2 ? "HEAD"
                                                           : "PUT",
                                                   "/ok");
        assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
        assert_int_equal(request.connect_us > 0, i == 0);
        sfi_http_request_clear(&request);
    }
    assert_int_equal(server_count(fixture->server, &fixture->server->peers), 1);
    assert_int_equal(server_count(fixture->server, &fixture->server->requests), 20);
}

static void bodies_arrive_unchanged(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, 65535, 65536, 1048577, 9000001};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        size_t size = sizes[i / 2];
        uint8_t *body = malloc(size + 1);
        for (size_t k = 0; k < size; k++) {
            body[k] = (uint8_t)(k * 7 + k / 251);
        }
        struct sfi_http_request request = {.method = i % 2 ? "PUT" : "POST"};
        request.url = server_url(fixture->server, "/echo");
        request.body = (struct sfi_bytes){body, size};
        request.expect_body = i % 2 ? size : 0;
        sfi_http_perform(fixture->client, &request);
        assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
        assert_int_equal(request.data.size, size);
        assert_true(size == 0 || memcmp(request.data.data, body, size) == 0);
        assert_null(strcasestr(fixture->server->last_head, "expect:"));
        sfi_http_request_clear(&request);
        free(body);
    }
    assert_int_equal(server_count(fixture->server, &fixture->server->peers), 1);
}

/* An error that comes while the body is still on its way is an answer, and ends the sending. */
static void answered_before_the_body_is_sent(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 64u << 20;
    uint8_t *body = calloc(1, size);
    struct sfi_http_request request = {.method = "PUT", .body = {body, size}};
    request.url = server_url(fixture->server, "/refuse-body");
    sfi_http_perform(fixture->client, &request);
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    assert_int_equal(request.http_status, 403);
    expect_text(&request, "no");
    sfi_http_request_clear(&request);
    free(body);
}

static void headers_are_sent_as_given(void **state)
{
    static const struct sfi_http_header headers[] = {{"Host", "example.org"},
                                                     {"X-Amz-Date", "20260101T000000Z"},
                                                     {"X-Empty", ""},
                                                     {"Content-Type", "text/plain"}};
    struct fixture *fixture = *state;
    struct sfi_http_request request = {.method = "PUT", .headers = headers, .header_count = 4};
    request.url = server_url(fixture->server, "/a/../b//c?x=%2F&y");
    request.body = bytes_of("abc");
    sfi_http_perform(fixture->client, &request);
    const char *head = fixture->server->last_head;
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    assert_int_equal(strncmp(head, "PUT /a/../b//c?x=%2F&y HTTP/1.1\r\n", 33), 0);
    assert_non_null(strstr(head, "\r\nHost: example.org\r\n"));
    assert_non_null(strstr(head, "\r\nX-Amz-Date: 20260101T000000Z\r\n"));
    assert_non_null(strstr(head, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Length: 3\r\n"));
    sfi_http_request_clear(&request);

    /* The next request on the same handle has none of it. */
    request = exchange(fixture, "DELETE", "/ok");
    assert_null(strstr(head, "example.org"));
    assert_null(strstr(head, "Content-"));
    sfi_http_request_clear(&request);
}

static void bad_headers_are_not_sent(void **state)
{
    static const struct sfi_http_header headers[] = {
        {"X-A", "b\r\nX-C: d"}, {"X-A", "b\nc"}, {"X A", "b"}, {"", "b"},
        {"X-A: b\r\nX-C", "d"}, {"X:", "y"},     {"X", "\x7f"}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct sfi_http_request request = {
            .method = "GET", .headers = &headers[i], .header_count = 1};
        request.url = server_url(fixture->server, "/ok");
        sfi_http_perform(fixture->client, &request);
        assert_int_equal(request.outcome, SFI_HTTP_NOT_SENT);
        assert_int_equal(request.error.status, SHARDY_CONFIG);
        sfi_http_request_clear(&request);
    }
    assert_int_equal(server_count(fixture->server, &fixture->server->requests), 0);
}

static void answer_headers(void **state)
{
    static const struct {
        const char *name;
        const char *value;
    } cases[] = {
        {"X-One", "1"},
        {"x-one", "1"},
        {"X-TWO", "spaces"},
        {"X-Empty", ""},
        {"X-Folded", "first second third"},
        {"x-colons", "a:b: c"},
        {"Content-length", "0"},
        {"X-Missing", NULL},
        {"X-On", NULL},
        {"1", NULL},
        {"", NULL},
    };
    struct sfi_http_request request = exchange(*state, "GET", "/headers");
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *value = sfi_http_answer_header(&request, cases[i].name);
        if (cases[i].value) {
            assert_non_null(value);
            assert_string_equal(value, cases[i].value);
        } else {
            assert_null(value);
        }
    }
    sfi_http_request_clear(&request);
    assert_null(sfi_http_answer_header(&request, "X-One"));

    request = exchange(*state, "GET", "/interim");
    assert_null(sfi_http_answer_header(&request, "X-Interim"));
    assert_null(sfi_http_answer_header(&request, "Link"));
    assert_string_equal(sfi_http_answer_header(&request, "X-Final"), "2");
    sfi_http_request_clear(&request);

    request = exchange(*state, "GET", "/chunked");
    assert_null(sfi_http_answer_header(&request, "X-Late"));
    sfi_http_request_clear(&request);
}

static void larger_than_allowed(void **state)
{
    static const struct {
        const char *path;
        uint64_t max;
        size_t expect;
        enum sfi_http_outcome outcome;
        size_t size;
    } cases[] = {
        {"/size/1000", 1000, 0, SFI_HTTP_ANSWERED, 1000},
        {"/size/1001", 1000, 0, SFI_HTTP_TOO_LARGE, 1000},
        {"/size/5000000", 1000, 0, SFI_HTTP_TOO_LARGE, 1000},
        {"/size/5000000", 0, 0, SFI_HTTP_ANSWERED, 5000000},
        {"/size/5000000", 0, 10, SFI_HTTP_ANSWERED, 5000000},
        {"/size/10", 0, 5000000, SFI_HTTP_ANSWERED, 10},
        {"/size/10", 0, SIZE_MAX, SFI_HTTP_ANSWERED, 10},
        {"/chunked", 11, 0, SFI_HTTP_ANSWERED, 11},
        {"/chunked", 10, 0, SFI_HTTP_TOO_LARGE, 10},
        {"/lie", 4, 0, SFI_HTTP_TOO_LARGE, 4},
        /* What explains an error is worth more than the limit of an expected range. */
        {"/error/5000", 4, 4, SFI_HTTP_ANSWERED, 5000},
        {"/error/70000", 4, 4, SFI_HTTP_TOO_LARGE, 65536},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_http_request request = {.method = "GET", .max_body = cases[i].max};
        request.expect_body = cases[i].expect;
        request.url = server_url(fixture->server, cases[i].path);
        sfi_http_perform(fixture->client, &request);
        assert_int_equal(request.outcome, cases[i].outcome);
        assert_int_equal(request.data.size, cases[i].size);
        assert_int_equal(request.error.status,
                         cases[i].outcome == SFI_HTTP_ANSWERED ? SHARDY_OK : SHARDY_LIMIT);
        assert_int_equal(request.http_status, strncmp(cases[i].path, "/error", 6) ? 200 : 503);
        sfi_http_request_clear(&request);
    }
}

/* Nobody listens, no such name, not a URL: the server cannot have acted. */
static void not_sent(void **state)
{
    static const struct {
        const char *url;
        shardy_status status;
    } cases[] = {
        {"http://nobody.invalid/x", SHARDY_STORE},
        {"http://[::1]:1/x", SHARDY_STORE},
        {"ftp://127.0.0.1/x", SHARDY_CONFIG},
        {"file:///etc/hostname", SHARDY_CONFIG},
        {"http://", SHARDY_CONFIG},
        {"", SHARDY_CONFIG},
        {"http://127.0.0.1:99999/", SHARDY_CONFIG},
        {"http://user:password@127.0.0.1:1/x?secret=1", SHARDY_CONFIG},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i <= COUNT_OF(cases); i++) {
        struct sfi_http_request request = {.method = "PUT", .body = bytes_of("x")};
        unsigned port = 0;
        char url[64];
        int fd = listen_somewhere(AF_INET, &port);
        close(fd);
        snprintf(url, sizeof url, "http://127.0.0.1:%u/x?secret=1", port);
        request.url = i < COUNT_OF(cases) ? cases[i].url : url;
        sfi_http_perform(fixture->client, &request);
        print_message("# %s\n", request.error.message);
        assert_int_equal(request.outcome, SFI_HTTP_NOT_SENT);
        assert_int_equal(request.http_status, 0);
        assert_int_equal(request.error.status,
                         i < COUNT_OF(cases) ? cases[i].status : SHARDY_STORE);
        assert_null(strstr(request.error.message, "secret"));
        assert_null(strstr(request.error.message, "password"));
        sfi_http_request_clear(&request);
    }
}

/* A kept connection dies before the answer: only GET and HEAD go out again by themselves. */
static void resending(void **state)
{
    static const struct {
        const char *method;
        size_t body;
        enum sfi_http_outcome outcome;
    } cases[] = {
        {"GET", 0, SFI_HTTP_ANSWERED}, {"HEAD", 0, SFI_HTTP_ANSWERED},
        {"PUT", 5, SFI_HTTP_LOST},     {"PUT", 3000000, SFI_HTTP_LOST},
        {"POST", 5, SFI_HTTP_LOST},    {"DELETE", 0, SFI_HTTP_LOST},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t *body = calloc(1, cases[i].body + 1);
        struct sfi_http_request request = exchange(fixture, "GET", "/ok");
        sfi_http_request_clear(&request);
        size_t before = server_count(fixture->server, &fixture->server->requests);
        request = (struct sfi_http_request){.method = cases[i].method};
        request.url = server_url(fixture->server, "/once");
        request.body = (struct sfi_bytes){body, cases[i].body};
        sfi_http_perform(fixture->client, &request);
        size_t seen = server_count(fixture->server, &fixture->server->requests) - before;
        assert_int_equal(request.outcome, cases[i].outcome);
        assert_int_equal(seen, cases[i].outcome == SFI_HTTP_ANSWERED ? 2 : 1);
        sfi_http_request_clear(&request);
        free(body);
    }
}

static void time_outs(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        uint64_t stall_ms;
        uint64_t total_ms;
        const char *body; /* what came before */
        int status;
    } cases[] = {
        {"GET", "/hold", 50, 0, "", 0},
        {"GET", "/stall", 50, 0, "0123456789", 200},
        {"PUT", "/hold", 50, 0, "", 0},
        {"GET", "/hold", 0, 50, "", 0},
        {"GET", "/stall", 0, 50, "0123456789", 200},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_http_options options = {.stall_timeout_ms = cases[i].stall_ms};
        struct sfi_http_client *client = new_client(&options);
        struct sfi_http_request request = {.method = cases[i].method};
        request.url = server_url(fixture->server, cases[i].path);
        request.timeout_ms = cases[i].total_ms;
        sfi_http_perform(client, &request);
        assert_int_equal(request.outcome, SFI_HTTP_TIMEOUT);
        assert_int_equal(request.error.status, SHARDY_STORE);
        assert_int_equal(request.http_status, cases[i].status);
        expect_text(&request, cases[i].body);
        sfi_http_request_clear(&request);
        sfi_http_client_free(client);
    }
}

/* A byte now and then is no progress, but for POST: S3 keeps long completions alive by blanks. */
static void drips(void **state)
{
    static const struct {
        const char *method;
        enum sfi_http_outcome outcome;
    } cases[] = {{"GET", SFI_HTTP_TIMEOUT}, {"PUT", SFI_HTTP_TIMEOUT}, {"POST", SFI_HTTP_ANSWERED}};
    struct fixture *fixture = *state;
    struct sfi_http_options options = {.stall_timeout_ms = 200};
    struct sfi_http_client *client = new_client(&options);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_http_request request = {.method = cases[i].method};
        request.url = server_url(fixture->server, "/drip");
        sfi_http_perform(client, &request);
        assert_int_equal(request.outcome, cases[i].outcome);
        sfi_http_request_clear(&request);
    }
    sfi_http_client_free(client);
}

/* A peer that accepts (by the backlog) and neither reads nor answers. */
static void a_body_that_nobody_takes(void **state)
{
    struct sfi_http_options options = {.stall_timeout_ms = 50};
    struct sfi_http_client *client = new_client(&options);
    size_t size = 64u << 20;
    uint8_t *body = calloc(1, size);
    unsigned port = 0;
    char url[64];
    int fd = listen_somewhere(AF_INET, &port);
    (void)state;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/x", port);
    struct sfi_http_request request = {.method = "PUT", .url = url, .body = {body, size}};
    sfi_http_perform(client, &request);
    assert_int_equal(request.outcome, SFI_HTTP_TIMEOUT);
    sfi_http_request_clear(&request);
    sfi_http_client_free(client);
    close(fd);
    free(body);
}

/* TLS to a peer that says nothing: the connect time-out, and nothing was sent. */
static void a_connection_that_does_not_come_about(void **state)
{
    struct sfi_http_options options = {.connect_timeout_ms = 50, .stall_timeout_ms = 10};
    struct sfi_http_client *client = new_client(&options);
    unsigned port = 0;
    char url[64];
    int fd = listen_somewhere(AF_INET, &port);
    (void)state;
    snprintf(url, sizeof url, "https://127.0.0.1:%u/x", port);
    struct sfi_http_request request = {.method = "GET", .url = url};
    sfi_http_perform(client, &request);
    assert_int_equal(request.outcome, SFI_HTTP_NOT_SENT);
    assert_int_equal(request.error.status, SHARDY_STORE);
    sfi_http_request_clear(&request);
    sfi_http_client_free(client);
    close(fd);
}

static void literal_ipv6_address(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = malloc(sizeof *server);
    char url[64];
    if (!server_start_at(server, AF_INET6)) {
        free(server); /* a machine without IPv6 */
        return;
    }
    snprintf(url, sizeof url, "http://[::1]:%u/ok", server->port);
    struct sfi_http_request request = {.method = "GET", .url = url};
    sfi_http_perform(fixture->client, &request);
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    expect_text(&request, "hello");
    sfi_http_request_clear(&request);
    server_stop(server);
}

static void proxy_environment(void **state)
{
    struct fixture *fixture = *state;
    setenv("http_proxy", server_url(fixture->server, ""), 1);
    struct sfi_http_client *client = new_client(NULL);
    struct sfi_http_request request = {.method = "GET", .url = "http://nobody.invalid/ok"};
    sfi_http_perform(client, &request);
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    assert_int_equal(strncmp(fixture->server->last_head, "GET http://nobody.invalid/ok ", 29), 0);
    sfi_http_request_clear(&request);
    sfi_http_perform(fixture->client, &request); /* no_proxy */
    assert_int_equal(request.outcome, SFI_HTTP_NOT_SENT);
    sfi_http_request_clear(&request);
    unsetenv("http_proxy");
    sfi_http_client_free(client);
}

static void unreadable_ca_file(void **state)
{
    static const char *const paths[] = {"/nonexistent/ca.pem", "/"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct sfi_http_options options = {.ca_file = paths[i]};
        struct sfi_http_client *client = NULL;
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(sfi_http_client_new(&options, &client, &err), SHARDY_CONFIG);
        assert_null(client);
        assert_non_null(strstr(err.message, paths[i]));
    }
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVED(answers),
        SERVED(connections_are_kept),
        SERVED(bodies_arrive_unchanged),
        SERVED(answered_before_the_body_is_sent),
        SERVED(headers_are_sent_as_given),
        SERVED(bad_headers_are_not_sent),
        SERVED(answer_headers),
        SERVED(larger_than_allowed),
        SERVED(not_sent),
        SERVED(resending),
        SERVED(time_outs),
        SERVED(drips),
        cmocka_unit_test(a_body_that_nobody_takes),
        cmocka_unit_test(a_connection_that_does_not_come_about),
        SERVED(literal_ipv6_address),
        SERVED(proxy_environment),
        cmocka_unit_test(unreadable_ca_file),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
