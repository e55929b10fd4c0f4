/*
 * fault_sample.h - the machinery of the fault product: faults of the proxy, scenarios, and workers
 * that run one case after the other, each with a proxy and a prefix of its own before one server.
 *
 * A case is one fault at one request of a scenario, once or each time. What must come of it is
 * computed from the invariants (anchors, B2), by the scenario's own judge: nothing is listed case
 * by case. Cases run in child processes, so that a crash or a hang is one failed case with a name.
 */
#ifndef TESTS_S3_FAULT_SAMPLE_H
#define TESTS_S3_FAULT_SAMPLE_H

#include "../unit/snapshot_sample.h"

#include "proxy_client.h"
#include "s3_client.h"
#include "s3_server.h"
#include "manifest/manifest_store.h"
#include "store/store_s3_internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define FAULT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAULT_SANITIZED 1
#endif
#endif
#ifndef FAULT_SANITIZED
#define FAULT_SANITIZED 0
#endif

#define WORKERS      8
#define CASES_MAX    6000
#define REPORTS_MAX  60
#define CASE_SECONDS (FAULT_SANITIZED ? 240 : 60) /* a case that takes longer hangs */
#define BACKOFF_MS   2
#define PART_BYTES   (5u << 20) /* the least that S3 takes */

enum {
    ABSORBED = 1, /* one occurrence must not be noticed by the caller */
    NAMED = 2,    /* the answer has a request id */
    ONCE = 4,     /* not tried as a lasting fault: it only takes time */
    GETS = 8,     /* only for answers with a body that matters */
    RANGES = 16,  /* only for GETs with a range */
    POSTS = 32,   /* only for POSTs */
    SHARDS = 64,  /* only for GETs of shards */
    FLIPS = 128,  /* bytes are wrong and nothing else */
    BODIES = 256, /* HEAD has no body to tell it from other errors */
    TWICE = 512,  /* the request comes twice */
};

struct fault {
    const char *name;
    const char *words;
    unsigned flags;
};

static const struct fault faults[] = {
    {"500", "fault=status status=500", ABSORBED | NAMED},
    {"502", "fault=status status=502", ABSORBED | NAMED},
    {"503", "fault=status status=503", ABSORBED | NAMED},
    {"504", "fault=status status=504", ABSORBED | NAMED},
    {"503 of a gateway, done", "fault=status status=503 code=GatewayError apply=1",
     ABSORBED | NAMED},
    {"500, done", "fault=status status=500 apply=1", ABSORBED | NAMED},
    {"429 with Retry-After", "fault=status status=429 retry-after=1", ABSORBED | NAMED | ONCE},
    {"SlowDown", "fault=slow-down", ABSORBED | NAMED},
    {"RequestTimeout", "fault=request-timeout", ABSORBED | NAMED | BODIES},
    {"409", "fault=conflict", ABSORBED | NAMED},
    {"InternalError in a 200", "fault=complete-error", ABSORBED | NAMED | POSTS},
    {"InternalError in a 200, done", "fault=complete-error apply=1", ABSORBED | NAMED | POSTS},
    {"drop", "fault=drop", ABSORBED},
    {"apply, then drop", "fault=apply-drop", ABSORBED},
    {"twice", "fault=duplicate", ABSORBED | TWICE | ONCE},
    {"reset", "fault=reset after=20", ABSORBED | GETS},
    {"truncate", "fault=truncate after=20", ABSORBED | GETS},
    {"promises more", "fault=length-more by=7", ABSORBED | GETS},
    {"stall", "fault=stall after=10 rate=0", ABSORBED | GETS},
    {"wrong Content-Range", "fault=wrong-range by=3", ABSORBED | RANGES},
    {"200 instead of 206", "fault=whole", ABSORBED | RANGES},
    {"multipart/byteranges", "fault=multipart", RANGES},
    {"comes with more", "fault=length-less by=5 close=1", GETS},
    {"longer", "fault=longer by=5", GETS},
    {"no ETag", "fault=strip-etag", 0},
    {"ExpiredToken", "fault=expired-token", NAMED},
    {"clock skew", "fault=time-skewed", NAMED},
    {"AccessDenied", "fault=status status=403", NAMED},
    {"redirect", "fault=redirect region=elsewhere-1", NAMED},
    {"404 of a shard", "fault=status status=404 code=NoSuchKey", NAMED | SHARDS},
    {"flipped bit", "fault=flip", GETS | FLIPS},
    {"flipped first bit", "fault=flip at=0", GETS | FLIPS},
    {"flipped bit at 97", "fault=flip at=97", GETS | FLIPS},
    {"flipped bit at 1500", "fault=flip at=1500", GETS | FLIPS},
};

/* What a worker has. */
struct place {
    unsigned worker;
    unsigned turn; /* cases run by this worker, for names */
    struct proxy *proxy;
    struct s3_client *direct;
    char prefix[64];
    char url[128];
    char folder[256]; /* for cached shards */
    char folder_url[256];
    const struct fault *fault; /* of the running case; NULL = none */
    bool once;
    void *state; /* of the scenario */
};

struct scenario {
    const char *name;
    unsigned skip;                          /* faults with one of these flags are left out */
    unsigned renew;                         /* cases before a new prefix is begun; 0 = never */
    void (*set_up)(struct place *place);    /* in a new prefix, past the proxy */
    void (*prepare)(struct place *place);   /* before each case, past the proxy; may be NULL */
    void (*act)(struct place *place);       /* through the proxy, under the fault */
    void (*judge)(struct place *place);     /* the fault is gone: what is true, and a retry */
    void (*tear_down)(struct place *place); /* of set_up */
};

struct fault_case {
    const struct scenario *scenario;
    const struct fault *fault;
    size_t request; /* 0 = each time */
    char method[8];
    char piece[24]; /* of the target, that tells what is asked for */
};

/* Of all processes. */
struct shared {
    atomic_size_t next;
    atomic_size_t done;
    atomic_size_t reached; /* cases whose fault came to pass */
    atomic_size_t failed;
    atomic_size_t absorbed;  /* nobody noticed */
    atomic_size_t unnoticed; /* flipped bits that came through as values */
    atomic_size_t vanished;  /* flipped bits that made a key absent */
    atomic_size_t secrets;   /* seen in messages, events or logs */
    atomic_size_t running[WORKERS];
    char reports[REPORTS_MAX][700];
};

static struct shared *shared;
static struct s3_server *server;
static const char *case_label = "clean run";

/* ---- the library under test: short waits, small parts ------------------------------------------
 */

shardy_status __real_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err);
shardy_status __wrap_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err);

shardy_status __wrap_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err)
{
    shardy_status st = __real_sfi_store_open(url, options, store, err);
    if (st == SHARDY_OK && strcmp((*store)->ops->scheme, "s3") == 0) {
        sfi_s3_of(*store)->config.backoff_ms = BACKOFF_MS;
        sfi_s3_of(*store)->config.part_bytes = PART_BYTES;
    }
    return st;
}

#define STORE_OPTIONS 3

/* Through the proxy, or past it. `options` has STORE_OPTIONS places. */
static inline void store_options(const struct place *place, bool proxied,
                                 shardy_store_option *options)
{
    options[0].name = "endpoint_url";
    options[0].value = proxied ? proxy_url(place->proxy) : s3_server_url(server);
    options[1].name = "max_attempts";
    options[1].value = proxied ? "3" : "6";
    options[2].name = "read_timeout";
    options[2].value = !proxied ? "30" : FAULT_SANITIZED ? "4" : "0.8";
}

/* ---- reports ----------------------------------------------------------------------------------
 */

static inline void report(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void report(const char *file, int line, const char *format, ...)
{
    size_t number = atomic_fetch_add(&shared->failed, 1);
    if (number < REPORTS_MAX) {
        char text[500];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        const char *slash = strrchr(file, '/');
        snprintf(shared->reports[number], sizeof shared->reports[number], "%s: %s:%d: %s",
                 case_label, slash ? slash + 1 : file, line, text);
    }
}

/* As an assertion, in a process that cmocka knows nothing of. */
#define CHECK(condition, ...)                        \
    do {                                             \
        if (!(condition)) {                          \
            report(__FILE__, __LINE__, __VA_ARGS__); \
        }                                            \
    } while (0)

static inline void scan_text(const char *text)
{
    if (text && strstr(text, S3_SERVER_SECRET_KEY)) {
        atomic_fetch_add(&shared->secrets, 1);
        CHECK(false, "a secret is in \"%s\"", text);
    }
}

static inline void scan_fields(const shardy_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        scan_text(fields[i].kind == SHARDY_FIELD_STRING ? fields[i].string : NULL);
    }
}

static inline void on_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    (void)arg;
    (void)event;
    scan_fields(fields, count);
}

static inline void on_log(void *arg, shardy_log_level level, const char *logger, const char *event,
                          const shardy_field *fields, size_t count)
{
    (void)arg;
    (void)level;
    (void)logger;
    (void)event;
    scan_fields(fields, count);
}

static const shardy_event_sink event_sink = {on_event, NULL};
static const shardy_log_sink log_sink = {on_log, NULL, SHARDY_LOG_DEBUG};

/*
 * I8, I9: what a message says. `mask` has the statuses that fit (1 << status). Errors that the
 * client itself finds, such as a malformed manifest, have no attempts and no request id.
 */
static inline void check_error(const struct place *place, const shardy_error *error, unsigned mask)
{
    const struct fault *fault = place->fault;
    const char *text = error->message;
    scan_text(text);
    CHECK(mask >> error->status & 1, "status %s does not fit: %s",
          shardy_status_name(error->status), text);
    CHECK(error->status == SHARDY_MANIFEST || strstr(text, "s3://") || strstr(text, "http://"),
          "no URL in \"%s\"", text);
    CHECK(!fault || !(fault->flags & ABSORBED) || strstr(text, "attempt"), "no attempts in \"%s\"",
          text);
    CHECK(!fault || !(fault->flags & NAMED) || strstr(text, "request id "),
          "no request id in \"%s\"", text);
}

#define STATUS(name) (1u << SHARDY_##name)

/* ---- what the server has -----------------------------------------------------------------------
 */

/* Body of an object, past the library. NULL = not there. */
static inline const char *object_text(struct place *place, const char *key)
{
    char target[400];
    snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "/%s/%s", place->prefix, key);
    const struct s3_answer *answer = s3_client_request(place->direct, "GET", target, NULL, NULL, 0);
    CHECK(answer->status == 200 || answer->status == 404, "GET %s: %d", target, answer->status);
    return answer->status == 200 ? answer->body : NULL;
}

/* No part of an abandoned upload is kept (and billed). */
static inline void check_uploads(struct place *place)
{
    char target[200];
    snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "?prefix=%s%%2F&uploads=", place->prefix);
    const struct s3_answer *answer = s3_client_request(place->direct, "GET", target, NULL, NULL, 0);
    CHECK(answer->status == 200, "listing uploads: %d", answer->status);
    CHECK(!strstr(answer->body, "<Upload>"), "an upload was left behind: %.400s", answer->body);
}

/* End the uploads of the prefix, as a bucket's lifecycle rule would. */
static inline void abort_uploads(struct place *place)
{
    char target[1400];
    for (unsigned i = 0; i < 8; i++) {
        char key[600] = "";
        char id[200] = "";
        snprintf(target, sizeof target,
                 "/" S3_SERVER_BUCKET "?prefix=%s%%2F&uploads=", place->prefix);
        const char *body = s3_client_request(place->direct, "GET", target, NULL, NULL, 0)->body;
        const char *upload = strstr(body, "<Upload>");
        const char *at_key = upload ? strstr(upload, "<Key>") : NULL;
        const char *at_id = upload ? strstr(upload, "<UploadId>") : NULL;
        if (!at_key || !at_id || sscanf(at_key, "<Key>%599[^<]", key) != 1 ||
            sscanf(at_id, "<UploadId>%199[^<]", id) != 1) {
            return;
        }
        size_t used = (size_t)snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "/");
        for (const char *c = key; *c; c++) {
            used += (size_t)snprintf(target + used, sizeof target - used, *c == '=' ? "%%3D" : "%c",
                                     *c);
        }
        snprintf(target + used, sizeof target - used, "?uploadId=%s", id);
        s3_client_request(place->direct, "DELETE", target, NULL, NULL, 0);
    }
}

static inline void path_of(const struct place *place, const char *key, char path[600])
{
    snprintf(path, 600, "%s/%s/%s", s3_server_folder(server), place->prefix, key);
}

#endif
