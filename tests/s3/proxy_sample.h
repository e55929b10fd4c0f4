/*
 * proxy_sample.h - a versitygw, a fault proxy before it and a plain client of the proxy, for the
 * tests of the proxy.
 */
#ifndef TESTS_S3_PROXY_SAMPLE_H
#define TESTS_S3_PROXY_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "proxy_client.h"
#include "s3_client.h"
#include "s3_server.h"

#define OBJECT      "/" S3_SERVER_BUCKET "/object"
#define OBJECT_SIZE 300000u

static struct s3_server *server;
static struct proxy *proxy;
static struct s3_client *client;
static char object[OBJECT_SIZE];

static inline const struct s3_answer *ask(const char *method, const char *target,
                                          const char *header, const void *body, size_t size)
{
    const char *headers[] = {header, NULL};
    return s3_client_request(client, method, target, headers, body, size);
}

static inline const struct s3_answer *get_range(const char *range)
{
    return ask("GET", OBJECT, range, NULL, 0);
}

static inline const struct s3_answer *put_text(const char *target, const char *header,
                                               const char *text)
{
    return ask("PUT", target, header, text, strlen(text));
}

/* What the server itself has, past the proxy. */
static inline int stored(const char *target, char *out, size_t size)
{
    struct s3_client *direct = s3_client_new(s3_server_url(server));
    const struct s3_answer *answer = s3_client_request(direct, "GET", target, NULL, NULL, 0);
    int status = answer->status;
    snprintf(out, size, "%s", answer->body);
    s3_client_free(direct);
    return status;
}

static inline struct proxy_stats statistics(void)
{
    struct proxy_stats stats;
    proxy_read_stats(proxy, &stats);
    return stats;
}

static inline int start_all(void **state)
{
    const struct proxy_options options = {.secret = S3_SERVER_SECRET_KEY};
    (void)state;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server = s3_server_start(S3_SERVER_VERSITYGW);
    proxy = proxy_start(s3_server_address(server), &options);
    client = s3_client_new(proxy_url(proxy));
    for (size_t i = 0; i < sizeof object; i++) {
        object[i] = (char)('a' + i * i % 23);
    }
    return ask("PUT", OBJECT, NULL, object, sizeof object)->status != 200;
}

static inline int stop_all(void **state)
{
    (void)state;
    s3_client_free(client);
    proxy_stop(proxy);
    s3_server_stop(server);
    curl_global_cleanup();
    return 0;
}

/* Before each test: no rule, no count, no latency, a new connection. */
static inline int fresh(void **state)
{
    (void)state;
    proxy_clear(proxy);
    proxy_set(proxy, "latency-ms=0 setup-ms=0 bandwidth=0 ignore-conditionals=0");
    proxy_reset(proxy);
    s3_client_free(client);
    client = s3_client_new(proxy_url(proxy));
    return 0;
}

#endif
