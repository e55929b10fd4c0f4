/*
 * s3_client.h - a plain S3 client of libcurl's own signing, for tests of the harness and to look at
 * a server from outside the library under test. One request at a time, no retries.
 */
#ifndef TESTS_S3_S3_CLIENT_H
#define TESTS_S3_S3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct s3_answer {
    int status;    /* 0 = none */
    int curl_code; /* CURLcode; 0 = a whole answer */
    char *body;    /* NUL-terminated; what came */
    size_t body_size;
    char *head; /* of the last answer; interim ones left out */
    double seconds;
};

struct s3_client;

struct s3_client *s3_client_new(const char *url); /* of a server or of a proxy before it */
void s3_client_free(struct s3_client *client);
/*
 * `target` is "/bucket/key?query", percent-encoded. `headers` are lines such as "Range: bytes=0-9",
 * NULL at the end; NULL = none. The answer is valid until the next request. A kept connection is
 * used when there is one.
 */
const struct s3_answer *s3_client_request(struct s3_client *client, const char *method,
                                          const char *target, const char *const *headers,
                                          const void *body, size_t body_size);
/* Value of a header of the answer, or NULL; valid until the next call. */
const char *s3_client_header(struct s3_client *client, const char *name);

#endif
