/*
 * proxy_client.h - start the fault proxy from a test or a benchmark, give it rules, read what it
 * counted. A harness that does not work ends the program with a message: these calls cannot fail.
 *
 *     struct proxy *proxy = proxy_start(s3_server_address(server), &(struct proxy_options){0});
 *     proxy_rule(proxy, "fault=status status=503 method=PUT nth=2 count=1");
 *     ... requests to proxy_url(proxy) ...
 *     proxy_read_stats(proxy, &stats);
 *     proxy_stop(proxy);
 */
#ifndef FAULT_PROXY_PROXY_CLIENT_H
#define FAULT_PROXY_PROXY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy;

struct proxy_options {
    uint64_t latency_ms; /* of each request, the server's time included */
    uint64_t setup_ms;   /* more for the first request of a connection */
    uint64_t bandwidth;  /* bytes a second of a connection, each direction; 0 = no cap */
    bool ignore_conditionals;
    /* Secret key: signs requests again of which headers were taken away, for the faults `whole` and
     * `ignore-conditionals` and a server that checks signatures. NULL = leave them as they are. */
    const char *secret;
};

struct proxy_stats {
    uint64_t requests, connections, in_flight, max_in_flight;
    uint64_t rounds; /* dependent: longest chain of one starting after another's end */
    uint64_t request_bytes, response_bytes; /* heads and bodies, as sent */
    uint64_t request_body_bytes, response_body_bytes;
    uint64_t faults, aborted, logged;
};

struct proxy_record {
    uint64_t number; /* from 1 since the reset, in the order the heads came */
    uint64_t connection;
    uint64_t start_us, end_us; /* since the reset; end 0 = not ended */
    uint64_t request_bytes, response_bytes, request_body_bytes, response_body_bytes;
    int status; /* 0 = no answer sent */
    bool aborted;
    char method[16], fault[32], range[64];
    char target[1536]; /* path and query, as sent; cut when longer */
};

/* `to` is HOST:PORT with a numeric host. The program is $SHARDY_FAULT_PROXY. */
struct proxy *proxy_start(const char *to, const struct proxy_options *options);
void proxy_stop(struct proxy *proxy);                 /* NULL: accepted */
const char *proxy_address(const struct proxy *proxy); /* "127.0.0.1:45103" */
const char *proxy_url(const struct proxy *proxy);     /* "http://127.0.0.1:45103" */
const char *proxy_control(const struct proxy *proxy); /* path of the control socket */
bool proxy_available(void); /* whether $SHARDY_FAULT_PROXY names a program */

/* Words as in README.md, "Rules". Later rules come after earlier ones; the first that fits wins. */
void proxy_rule(struct proxy *proxy, const char *format, ...) __attribute__((format(printf, 2, 3)));
void proxy_clear(struct proxy *proxy); /* no rule any more */
void proxy_reset(struct proxy *proxy); /* counters, log and request numbers; rules stay */
void proxy_set(struct proxy *proxy, const char *format, ...) /* "latency-ms=20 bandwidth=0" */
    __attribute__((format(printf, 2, 3)));

void proxy_read_stats(struct proxy *proxy, struct proxy_stats *stats);
/* Release with free(). */
size_t proxy_read_log(struct proxy *proxy, struct proxy_record **records);
/* Whatever the control socket takes; the answer is valid until the next call. */
const char *proxy_command(struct proxy *proxy, const char *command);
const char *proxy_try(struct proxy *proxy, const char *command); /* {"error":...} is fine, too */

#endif
