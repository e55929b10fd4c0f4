/*
 * with_s3.c - run a command with an S3 server of its own: for CLI tests, demonstrations and by
 * hand.
 *
 *     with_s3 [--moto] [--proxy] [--latency-ms N] [--bandwidth N] COMMAND [ARGUMENT...]
 *
 * The command finds AWS_* set, SHARDY_S3_URL (s3://test-bucket), SHARDY_S3_ENDPOINT (the proxy's
 * when there is one), SHARDY_S3_FOLDER (the bucket's files, versitygw only) and
 * SHARDY_PROXY_CONTROL (for `fault_proxy --send`). Exit status: the command's, or 77 when the
 * server is not to be had.
 */
#include "proxy_client.h"
#include "s3_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIP 77

static int run(char **command)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fprintf(stderr, "with_s3: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    struct proxy_options options = {.secret = S3_SERVER_SECRET_KEY};
    enum s3_server_kind kind = S3_SERVER_VERSITYGW;
    bool with_proxy = false;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        uint64_t *number = strcmp(argv[at], "--latency-ms") == 0  ? &options.latency_ms
                           : strcmp(argv[at], "--bandwidth") == 0 ? &options.bandwidth
                                                                  : NULL;
        if (number && at + 1 < argc) {
            *number = strtoull(argv[++at], NULL, 10);
            with_proxy = true;
        } else if (strcmp(argv[at], "--moto") == 0) {
            kind = S3_SERVER_MOTO;
        } else if (strcmp(argv[at], "--proxy") == 0) {
            with_proxy = true;
        } else {
            at = argc;
        }
    }
    if (at >= argc) {
        fputs("usage: with_s3 [--moto] [--proxy] [--latency-ms N] [--bandwidth N] COMMAND...\n",
              stderr);
        return 2;
    }
    const char *reason = s3_server_missing(kind);
    if (reason) {
        fprintf(stderr, "with_s3: %s\n", reason);
        return EXIT_SKIP;
    }
    struct s3_server *server = s3_server_start(kind);
    struct proxy *proxy = with_proxy ? proxy_start(s3_server_address(server), &options) : NULL;
    const char *endpoint = proxy ? proxy_url(proxy) : s3_server_url(server);
    s3_server_set_environment(endpoint);
    setenv("SHARDY_S3_URL", "s3://" S3_SERVER_BUCKET, 1);
    setenv("SHARDY_S3_ENDPOINT", endpoint, 1);
    if (s3_server_folder(server)) {
        setenv("SHARDY_S3_FOLDER", s3_server_folder(server), 1);
    }
    if (proxy) {
        setenv("SHARDY_PROXY_CONTROL", proxy_control(proxy), 1);
    }
    int status = run(argv + at);
    proxy_stop(proxy);
    s3_server_stop(server);
    return status;
}
