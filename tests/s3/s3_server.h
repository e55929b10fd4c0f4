/*
 * s3_server.h - a real S3 server for the length of a test: versitygw (conditional writes, checks
 * signatures) or moto (checks none; has what versitygw lacks). Each server has a fresh folder, a
 * port that the kernel chooses, and dies with the process that started it.
 *
 * The programs are $SHARDY_VERSITYGW and $SHARDY_MOTO, or else what scripts/bootstrap keeps in its
 * cache, or else versitygw and moto_server of the PATH.
 */
#ifndef TESTS_S3_S3_SERVER_H
#define TESTS_S3_S3_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#define S3_SERVER_ACCESS_KEY "shardy-test-access"
#define S3_SERVER_SECRET_KEY "shardy-test-secret"
#define S3_SERVER_REGION     "us-east-1"
#define S3_SERVER_BUCKET     "test-bucket"

enum s3_server_kind { S3_SERVER_VERSITYGW, S3_SERVER_MOTO };

struct s3_server;

/* NULL when the program is there; otherwise the reason to skip. Never skip without saying it. */
const char *s3_server_missing(enum s3_server_kind kind);
/* Start, wait until it answers, make S3_SERVER_BUCKET. A server that is there and does not start
 * ends the program. */
struct s3_server *s3_server_start(enum s3_server_kind kind);
void s3_server_stop(struct s3_server *server); /* removes its folder; NULL: accepted */

const char *s3_server_address(const struct s3_server *server); /* "127.0.0.1:39087" */
const char *s3_server_url(const struct s3_server *server);     /* "http://127.0.0.1:39087" */
/* Folder of the bucket's objects (versitygw), to look at or to damage; NULL with moto. */
const char *s3_server_folder(const struct s3_server *server);
/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3 of this process; what
 * else of AWS_* could get in the way is removed. */
void s3_server_set_environment(const char *endpoint);

/* First thing in main(): says in TAP that all tests are skipped, and why, when the server is not
 * there. Return 0 from main() then. */
bool s3_server_skip_all(enum s3_server_kind kind);

#endif
