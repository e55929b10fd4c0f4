/*
 * s3_script.h - an S3 server on loopback that follows a script: each step answers one request, or
 * drops it, cuts its answer off, or leaves it without one. What it was asked is kept. One
 * connection at a time, closed behind every answer; a request that no step fits is answered with
 * 599.
 */
#ifndef TESTS_UNIT_S3_SCRIPT_H
#define TESTS_UNIT_S3_SCRIPT_H

#include "base/memory.h"
#include "store/store_s3_internal.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum step_kind {
    STEP_ANSWER,
    STEP_ALWAYS, /* answer every request that fits, not only one */
    STEP_DROP,   /* read the request, close */
    STEP_CUT,    /* only the first `cut` bytes of the body */
    STEP_HANG    /* no answer until the end of the script */
};

struct step {
    const char *match; /* part of "METHOD target"; NULL fits all */
    int status;
    const char *head; /* further header lines, each with \r\n; NULL = none */
    const char *body; /* NULL = none, and no Content-Length unless the head has one */
    enum step_kind kind;
    size_t cut;
};

#define SCRIPT_SEEN_MAX 64

struct seen {
    char head[6000]; /* request line and headers */
    char body[4000]; /* the beginning */
    size_t body_size;
};

struct script {
    const struct step *steps;
    size_t count;
    bool used[SCRIPT_SEEN_MAX];
    struct seen seen[SCRIPT_SEEN_MAX]; /* read them after script_stop or when nothing is sent */
    atomic_size_t seen_count;
    int listener;
    int hanging[SCRIPT_SEEN_MAX];
    size_t hanging_count;
    char url[64];
    pthread_t thread;
};

static inline bool read_head(int fd, struct seen *seen)
{
    size_t n = 0;
    while (n < sizeof seen->head - 1) {
        if (recv(fd, seen->head + n, 1, 0) != 1) {
            return false;
        }
        seen->head[++n] = '\0';
        if (n > 3 && !memcmp(seen->head + n - 4, "\r\n\r\n", 4)) {
            return true;
        }
    }
    return false;
}

/* Value of a header of a request, up to the end of its line; NULL: it has none. */
static inline const char *seen_header(const struct seen *seen, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = strstr(seen->head, "\r\n"); at; at = strstr(at + 2, "\r\n")) {
        if (!strncasecmp(at + 2, name, size) && at[2 + size] == ':') {
            return at + 2 + size + 1 + strspn(at + 2 + size + 1, " ");
        }
    }
    return NULL;
}

static inline void read_body(int fd, struct seen *seen)
{
    const char *length = seen_header(seen, "Content-Length");
    size_t left = length ? strtoul(length, NULL, 10) : 0;
    while (left) {
        char chunk[4096];
        ssize_t n = recv(fd, chunk, left < sizeof chunk ? left : sizeof chunk, 0);
        if (n <= 0) {
            return;
        }
        size_t room = sizeof seen->body - 1 - seen->body_size;
        if (seen->body_size < sizeof seen->body - 1) {
            memcpy(seen->body + seen->body_size, chunk, (size_t)n < room ? (size_t)n : room);
        }
        seen->body_size += (size_t)n;
        left -= (size_t)n;
    }
}

static inline void send_text(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        text += n;
        size -= (size_t)n;
    }
}

static inline void send_answer(int fd, const struct step *step)
{
    char head[4096];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nConnection: close\r\n%s", step->status,
                     step->head ? step->head : "");
    if (step->body || step->status == 200) {
        bool own = step->head && strcasestr(step->head, "content-length:");
        if (!own) {
            n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n",
                          step->body ? strlen(step->body) : 0);
        }
    }
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_text(fd, head, (size_t)n);
    if (step->body) {
        send_text(fd, step->body, step->kind == STEP_CUT ? step->cut : strlen(step->body));
    }
}

static inline const struct step *pick_step(struct script *script, const struct seen *seen)
{
    for (size_t i = 0; i < script->count; i++) {
        const struct step *step = &script->steps[i];
        const char *end = strstr(seen->head, " HTTP/");
        const char *found = step->match ? strstr(seen->head, step->match) : seen->head;
        if (!script->used[i] && found && found < end) {
            script->used[i] = step->kind != STEP_ALWAYS;
            return step;
        }
    }
    return NULL;
}

static inline void *run_script(void *arg)
{
    static const struct step unexpected = {.status = 499, .body = ""};
    struct script *script = arg;
    for (;;) {
        int fd = accept(script->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        size_t n = atomic_load(&script->seen_count);
        struct seen *seen = &script->seen[n < SCRIPT_SEEN_MAX ? n : SCRIPT_SEEN_MAX - 1];
        memset(seen, 0, sizeof *seen);
        if (!read_head(fd, seen)) {
            close(fd);
            continue;
        }
        read_body(fd, seen);
        atomic_store(&script->seen_count, n + 1);
        const struct step *step = pick_step(script, seen);
        if (step && step->kind == STEP_HANG) {
            script->hanging[script->hanging_count++] = fd;
            continue;
        }
        if (!step || step->kind != STEP_DROP) {
            send_answer(fd, step ? step : &unexpected);
        }
        shutdown(fd, SHUT_WR);
        char rest[256];
        while (step && step->kind <= STEP_ALWAYS && recv(fd, rest, sizeof rest, 0) > 0) {
        }
        close(fd);
    }
}

static inline struct script *script_start(const struct step *steps, size_t count)
{
    struct script *script = calloc(1, sizeof *script);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    assert_non_null(script);
    script->steps = steps;
    script->count = count;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(script->listener, 64), 0);
    assert_int_equal(getsockname(script->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(script->url, sizeof script->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&script->thread, NULL, run_script, script), 0);
    return script;
}

static inline void script_stop(struct script *script)
{
    shutdown(script->listener, SHUT_RDWR);
    pthread_join(script->thread, NULL);
    close(script->listener);
    for (size_t i = 0; i < script->hanging_count; i++) {
        close(script->hanging[i]);
    }
    free(script);
}

static inline void script_environment(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "S3_REGION",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT",
                                        "SLATEDB_S3_ENDPOINT_URL",
                                        "AWS_CA_BUNDLE",
                                        "AWS_MAX_ATTEMPTS",
                                        "AWS_SKIP_SIGNATURE",
                                        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
                                        "S3_ACCESS_KEY_ID",
                                        "S3_SECRET_ACCESS_KEY",
                                        "S3_SESSION_TOKEN",
                                        "http_proxy",
                                        "HTTP_PROXY",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

/* A store before the script, s3://bucket/prefix, with short waits. `more`: up to two options. */
static inline struct sfi_store *script_store(const struct script *script,
                                             const shardy_store_option *more, size_t more_count,
                                             const struct sfi_observer *observer)
{
    shardy_store_option options[6] = {{"endpoint_url", script->url},
                                      {"access_key_id", "AKIDEXAMPLE"},
                                      {"secret_access_key", "canary-secret"}};
    const struct sfi_store_options all = {options, 3 + more_count, observer};
    struct sfi_store *store = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    for (size_t i = 0; i < more_count; i++) {
        options[3 + i] = more[i];
    }
    if (sfi_store_open("s3://bucket/prefix", &all, &store, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    sfi_s3_of(store)->config.backoff_ms = 2;
    return store;
}

static inline struct sfi_bytes text_bytes(const char *text)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

#define ERROR_XML(code) \
    "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>why</Message></Error>"
#define ETAG_A "ETag: \"aaaa\"\r\n"

#endif
