/*
 * test_fault_proxy.c - what the proxy does to bytes, order and time, and what it counts. The server
 * behind it is this program, which sees every byte and decides when to answer what, so that nothing
 * here depends on an S3 server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy_client.h"

#define TEXT_MAX 8192
#define OK_HI    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define GET_X    "GET /x HTTP/1.1\r\nHost: s3\r\n\r\n"

static int listener = -1;
static struct proxy *proxy;

static int open_listener(char *address, size_t size)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t own_size = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &own_size), 0);
    snprintf(address, size, "127.0.0.1:%u", ntohs(own.sin_port));
    return fd;
}

static int start(void **state)
{
    char address[32];
    const struct proxy_options options = {0};
    (void)state;
    listener = open_listener(address, sizeof address);
    proxy = proxy_start(address, &options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proxy_stop(proxy);
    close(listener);
    return 0;
}

/* A connection of a client to the proxy. */
static int dial(void)
{
    struct timeval patience = {.tv_sec = 60};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(proxy_address(proxy), ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* The connection that the proxy made to the server. */
static int answerer(void)
{
    struct timeval patience = {.tv_sec = 60};
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read exactly this text. */
static void hear(int fd, const char *text)
{
    char got[TEXT_MAX];
    size_t used = 0;
    while (used < strlen(text)) {
        ssize_t count = recv(fd, got + used, strlen(text) - used, 0);
        assert_true(count > 0);
        used += (size_t)count;
    }
    got[used] = '\0';
    assert_string_equal(got, text);
}

static void hear_end(int fd)
{
    char byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static bool is_quiet(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 100) == 0;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static struct proxy_stats statistics(void)
{
    struct proxy_stats stats;
    proxy_read_stats(proxy, &stats);
    return stats;
}

/* Bodies of every framing, several exchanges on one connection, bytes as they are. */
static void test_framings(void **state)
{
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {GET_X, OK_HI},
        {"HEAD /x HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
        {"PUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No\r\n\r\n"},
        {"PUT /x HTTP/1.1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n"
         "Trailer: 1\r\n\r\n",
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
        {GET_X, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
        {GET_X, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
    };
    (void)state;
    int to = dial();
    int from = -1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        say(to, rows[i].request);
        from = from < 0 ? answerer() : from;
        hear(from, rows[i].request);
        say(from, rows[i].answer);
        hear(to, rows[i].answer);
    }
    struct proxy_stats stats = statistics();
    assert_int_equal(stats.requests, sizeof rows / sizeof *rows);
    assert_int_equal(stats.rounds, stats.requests);
    assert_int_equal(stats.connections, 1);
    close(to);
    hear_end(from);
}

/* A server that closes does not close the client's connection; one that just stops does. */
static void test_server_closes(void **state)
{
    (void)state;
    int to = dial();
    say(to, GET_X);
    int from = answerer();
    hear(from, GET_X);
    say(from, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    close(from);
    hear(to, OK_HI);
    say(to, GET_X);
    from = answerer();
    hear(from, GET_X);
    say(from, OK_HI);
    hear(to, OK_HI);
    close(from); /* idle: the next request gets a new connection */
    say(to, GET_X);
    from = answerer();
    hear(from, GET_X);
    say(from, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
    close(from);
    hear(to, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
    hear_end(to);
    to = dial();
    say(to, GET_X);
    from = answerer();
    hear(from, GET_X);
    close(from);
    hear_end(to);
    assert_int_equal(statistics().aborted, 1);
}

/* A client that gives up ends the request at the server. */
static void test_client_gives_up(void **state)
{
    (void)state;
    int to = dial();
    say(to, GET_X);
    int from = answerer();
    hear(from, GET_X);
    close(to);
    hear_end(from);
    assert_int_equal(statistics().aborted, 1);
    assert_int_equal(statistics().in_flight, 0);
}

static void test_ignore_conditionals(void **state)
{
    static const char request[] =
        "PUT /x HTTP/1.1\r\nif-none-match: *\r\nHost: s3\r\nIf-Match: \"a\"\r\n\r\n";
    (void)state;
    int to = dial();
    proxy_set(proxy, "ignore-conditionals=1");
    say(to, request);
    int from = answerer();
    hear(from, "PUT /x HTTP/1.1\r\nHost: s3\r\n\r\n");
    say(from, OK_HI);
    hear(to, OK_HI);
    proxy_set(proxy, "ignore-conditionals=0");
    say(to, request);
    hear(from, request);
    say(from, OK_HI);
    hear(to, OK_HI);
    proxy_rule(proxy, "fault=ignore-conditionals count=1");
    say(to, request);
    hear(from, "PUT /x HTTP/1.1\r\nHost: s3\r\n\r\n");
    close(to);
    close(from);
}

/* The answer is not early; many wait at once, so one round of them takes one latency. */
static void test_latency(void **state)
{
    enum { COUNT = 50, LATENCY_MS = 300 };
    int to[COUNT], from[COUNT];
    (void)state;
    proxy_set(proxy, "latency-ms=%d", LATENCY_MS);
    uint64_t began = now_us();
    for (int i = 0; i < COUNT; i++) {
        to[i] = dial();
        say(to[i], GET_X);
    }
    for (int i = 0; i < COUNT; i++) {
        from[i] = answerer();
        hear(from[i], GET_X);
        say(from[i], OK_HI);
    }
    for (int i = 0; i < COUNT; i++) {
        hear(to[i], OK_HI);
        close(to[i]);
        close(from[i]);
    }
    assert_true(now_us() - began >= LATENCY_MS * 1000);
    struct proxy_stats stats = statistics();
    assert_int_equal(stats.requests, COUNT);
    assert_int_equal(stats.connections, COUNT);
    assert_int_equal(stats.max_in_flight, COUNT);
    assert_int_equal(stats.rounds, 1);
    struct proxy_record *records = NULL;
    assert_int_equal(proxy_read_log(proxy, &records), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_true(records[i].end_us - records[i].start_us >= LATENCY_MS * 1000);
        assert_string_equal(records[i].target, "/x");
        assert_int_equal(records[i].status, 200);
        assert_int_equal(records[i].response_bytes, strlen(OK_HI));
        assert_int_equal(records[i].response_body_bytes, 2);
        assert_int_equal(records[i].request_bytes, strlen(GET_X));
    }
    free(records);
}

/* The canned and the collected answers wait as long; set-up costs a connection's first request. */
static void test_latency_of_faults(void **state)
{
    char text[TEXT_MAX];
    (void)state;
    proxy_set(proxy, "latency-ms=50 setup-ms=100");
    proxy_rule(proxy, "fault=status status=503 nth=1");
    proxy_rule(proxy, "fault=strip-etag nth=2");
    proxy_rule(proxy, "fault=delay delay-ms=150 nth=3");
    int to = dial();
    say(to, GET_X);
    assert_true(recv(to, text, sizeof text, 0) > 0);
    say(to, GET_X);
    int from = answerer();
    hear(from, GET_X);
    say(from, OK_HI);
    hear(to, OK_HI);
    say(to, GET_X);
    hear(from, GET_X);
    say(from, OK_HI);
    hear(to, OK_HI);
    static const struct {
        const char *fault;
        uint64_t least_us;
    } rows[] = {{"status", 150000}, {"strip-etag", 50000}, {"delay", 200000}};
    struct proxy_record *records = NULL;
    assert_int_equal(proxy_read_log(proxy, &records), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(records[i].fault, rows[i].fault);
        assert_true(records[i].end_us - records[i].start_us >= rows[i].least_us);
    }
    free(records);
    close(to);
    close(from);
}

/* Chains: 1 alone, then 2 and 3 together, then 4 after both. */
static void test_rounds(void **state)
{
    int to[2], from[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        to[i] = dial();
        say(to[i], GET_X);
        from[i] = answerer();
        hear(from[i], GET_X);
        say(from[i], OK_HI);
        hear(to[i], OK_HI);
    }
    assert_int_equal(statistics().rounds, 2);
    proxy_reset(proxy);
    assert_int_equal(statistics().rounds, 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < (round == 1 ? 2 : 1); i++) {
            say(to[i], GET_X);
            hear(from[i], GET_X);
        }
        for (int i = 0; i < (round == 1 ? 2 : 1); i++) {
            say(from[i], OK_HI);
            hear(to[i], OK_HI);
        }
    }
    assert_int_equal(statistics().requests, 4);
    assert_int_equal(statistics().rounds, 3);
    for (int i = 0; i < 2; i++) {
        close(to[i]);
        close(from[i]);
    }
}

static void test_reorder(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=reorder nth=1");
    int first = dial();
    say(first, GET_X);
    int from_first = answerer();
    hear(from_first, GET_X);
    say(from_first, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    assert_true(is_quiet(first));
    int second = dial();
    say(second, GET_X);
    int from_second = answerer();
    hear(from_second, GET_X);
    say(from_second, OK_HI);
    hear(second, OK_HI);
    hear(first, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    struct proxy_record *records = NULL;
    assert_int_equal(proxy_read_log(proxy, &records), 2);
    assert_true(records[1].end_us <= records[0].end_us);
    free(records);
    close(first);
    close(second);
    close(from_first);
    close(from_second);
}

static void test_stall(void **state)
{
    (void)state;
    proxy_rule(proxy, "fault=stall after=1 rate=0 nth=1");
    proxy_rule(proxy, "fault=stall after=1 rate=20 nth=2");
    int to = dial();
    say(to, GET_X);
    int from = answerer();
    hear(from, GET_X);
    say(from, OK_HI);
    hear(to, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    assert_true(is_quiet(to));
    close(to);
    to = dial();
    say(to, GET_X);
    close(from);
    from = answerer();
    hear(from, GET_X);
    say(from, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    uint64_t began = now_us();
    hear(to, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_true(now_us() - began >= 200000);
    close(to);
    close(from);
}

/* In a child: answer one request with, or take one of, `size` bytes. */
static void exchange_in_child(size_t size, bool upload)
{
    static char piece[65536];
    char head[128];
    int from = answerer();
    if (!upload) {
        hear(from, GET_X);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    } else {
        snprintf(head, sizeof head, "PUT /x HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", size);
        hear(from, head);
    }
    if (!upload) {
        say(from, head);
    }
    for (size_t at = 0; at < size;) {
        size_t count = size - at < sizeof piece ? size - at : sizeof piece;
        if (upload) {
            ssize_t got = recv(from, piece, count, 0);
            assert_true(got > 0);
            for (ssize_t i = 0; i < got; i++) {
                assert_int_equal(piece[i], (char)((at + (size_t)i) * 7 >> 5));
            }
            at += (size_t)got;
        } else {
            for (size_t i = 0; i < count; i++) {
                piece[i] = (char)((at + i) * 7 >> 5);
            }
            assert_int_equal(send(from, piece, count, MSG_NOSIGNAL), count);
            at += count;
        }
    }
    if (upload) {
        say(from, OK_HI);
    }
    recv(from, piece, 1, 0);
    _exit(0);
}

static void exchange(size_t size, bool upload)
{
    static char piece[65536];
    char head[128];
    int status = 0;
    int to = dial();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(to); /* or else the proxy would never see the end of it */
        exchange_in_child(size, upload);
    }
    if (upload) {
        snprintf(head, sizeof head, "PUT /x HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", size);
        say(to, head);
    } else {
        say(to, GET_X);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
        hear(to, head);
    }
    for (size_t at = 0; at < size;) {
        size_t count = size - at < sizeof piece ? size - at : sizeof piece;
        if (upload) {
            for (size_t i = 0; i < count; i++) {
                piece[i] = (char)((at + i) * 7 >> 5);
            }
            assert_int_equal(send(to, piece, count, MSG_NOSIGNAL), count);
        } else {
            ssize_t got = recv(to, piece, count, 0);
            assert_true(got > 0);
            count = (size_t)got;
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(piece[i], (char)((at + i) * 7 >> 5));
            }
        }
        at += count;
    }
    if (upload) {
        hear(to, OK_HI);
    }
    close(to);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Large bodies go through pipes of the kernel; every byte arrives, and is counted. */
static void test_large_bodies(void **state)
{
    const size_t size = (9u << 20) + 12345;
    (void)state;
    exchange(size, false);
    assert_int_equal(statistics().response_body_bytes, size);
    exchange(size, true);
    assert_int_equal(statistics().request_body_bytes, size);
    assert_int_equal(statistics().aborted, 0);
}

/* 400 kB at 1 MB/s take no less than 0.39 s, in either direction. */
static void test_bandwidth(void **state)
{
    (void)state;
    proxy_set(proxy, "bandwidth=1000000");
    for (int upload = 0; upload < 2; upload++) {
        uint64_t began = now_us();
        exchange(400000, upload != 0);
        assert_true(now_us() - began >= 390000);
    }
    assert_int_equal(statistics().request_body_bytes, 400000);
    assert_int_equal(statistics().response_body_bytes, 400000 + strlen("hi"));
}

/* What the control socket does not understand it says. */
static void test_control(void **state)
{
    static const char *const commands[] = {
        "rule fault=nothing", "rule nth=1", "rule fault=drop nth=x",
        "set latency=1",      "nonsense",   "rule fault=status status=1"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_non_null(strstr(proxy_try(proxy, commands[i]), "\"error\""));
    }
    proxy_rule(proxy, "fault=drop count=3");
    assert_non_null(strstr(proxy_command(proxy, "rules"), "\"fault\":\"drop\",\"left\":3"));
    assert_non_null(strstr(proxy_command(proxy, "log"), "\"log\":[]"));
    proxy_clear(proxy);
    assert_non_null(strstr(proxy_command(proxy, "rules"), "\"rules\":[]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_framings, start, stop),
        cmocka_unit_test_setup_teardown(test_server_closes, start, stop),
        cmocka_unit_test_setup_teardown(test_client_gives_up, start, stop),
        cmocka_unit_test_setup_teardown(test_ignore_conditionals, start, stop),
        cmocka_unit_test_setup_teardown(test_latency, start, stop),
        cmocka_unit_test_setup_teardown(test_latency_of_faults, start, stop),
        cmocka_unit_test_setup_teardown(test_rounds, start, stop),
        cmocka_unit_test_setup_teardown(test_reorder, start, stop),
        cmocka_unit_test_setup_teardown(test_stall, start, stop),
        cmocka_unit_test_setup_teardown(test_large_bodies, start, stop),
        cmocka_unit_test_setup_teardown(test_bandwidth, start, stop),
        cmocka_unit_test_setup_teardown(test_control, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
