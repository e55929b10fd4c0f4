/*
 * store_s3_internal.h - shared by the files of the S3 store; tests of them include it too.
 *
 * A call (struct sfi_s3_call) is one S3 operation with all its tries. Its maker fills the first
 * part, `judge` says what an answer means, `done` gets the result. Everything between -
 * credentials, signing, exchange, retries - is store_s3_call.c, on the HTTP client's thread and
 * without blocking.
 */
#ifndef SFI_STORE_STORE_S3_INTERNAL_H
#define SFI_STORE_STORE_S3_INTERNAL_H

#include "aws/credentials.h"
#include "aws/profiles.h"
#include "aws/sigv4.h"
#include "http/http.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <sys/types.h>

/* Options and environment: store_s3_options.c. Constant once the store is open. */

enum sfi_s3_addressing { SFI_S3_AUTO, SFI_S3_PATH, SFI_S3_VIRTUAL };

struct sfi_s3_config {
    char *bucket;
    char *prefix;   /* "" or "some/prefix/" */
    char *endpoint; /* NULL = Amazon's, by region; else scheme://host[:port][/path], no slash */
    char region[SFI_AWS_REGION_SIZE];
    enum sfi_s3_addressing addressing;
    bool insecure;
    char *ca_file; /* NULL = the system's */
    uint64_t connect_timeout_ms;
    uint64_t read_timeout_ms;
    uint64_t retry_timeout_ms;
    uint64_t max_attempts;
    uint64_t max_connections;
    uint64_t backoff_ms; /* tests make it short */
    uint64_t part_bytes; /* tests make it small */
    bool http2;
    char *access_key_id;
    char *secret_access_key;
    char *session_token;
    char *profile;
    bool anonymous;
    bool request_payer;
    char *sse;
    char *sse_kms_key_id;
    bool checksum;
};

/* `url` is s3://bucket/prefix. CONFIG names the option or variable. Clear it on failure too. */
shardy_status sfi_s3_config_read(const char *url, const struct sfi_store_options *options,
                                 struct sfi_s3_config *config, shardy_error *err);
void sfi_s3_config_clear(struct sfi_s3_config *config);

/* URLs: store_s3_url.c. */

/* One address, in pieces that signing needs. */
struct sfi_s3_address {
    struct sfi_buf url;  /* all of it */
    struct sfi_buf host; /* with the port when it is not the default one */
    struct sfi_buf path; /* percent-encoded */
};

void sfi_s3_address_init(struct sfi_s3_address *address);
void sfi_s3_address_clear(struct sfi_s3_address *address);
/* Address of a key (below the store's prefix; NULL = the bucket), query "" = none. */
shardy_status sfi_s3_address_of(const struct sfi_s3_config *config, const char *region,
                                const char *key, const char *query, struct sfi_s3_address *address,
                                shardy_error *err);
/* CONFIG: not http(s)://host[:port][/path], or with user, query, fragment. `name`: its source. */
shardy_status sfi_s3_endpoint_check(const char *name, const char *endpoint, shardy_error *err);
/* Region named by a host of Amazon's, such as bucket.s3.eu-west-1.amazonaws.com; false: none. */
bool sfi_s3_region_of_host(const char *host, char region[SFI_AWS_REGION_SIZE]);

/* XML: store_s3_xml.c. */

/*
 * Called for every element at its end. `path` is the names from the root, without namespace
 * prefixes ("ListBucketResult/Contents/Key"); `text` is its own text, trimmed only when it has
 * children. false stops with NO_MEMORY.
 */
typedef bool (*sfi_s3_xml_fn)(void *arg, const char *path, const char *text);
/* STORE: malformed, a DTD, or beyond the limits. */
shardy_status sfi_s3_xml_parse(struct sfi_bytes xml, sfi_s3_xml_fn element, void *arg,
                               shardy_error *err);

/* What an error answer says; empty strings where it says nothing. Printable, UTF-8. */
struct sfi_s3_error {
    char code[64];
    char message[256];
    char region[SFI_AWS_REGION_SIZE];
    char endpoint[256];
    char request_id[128];
    char object_size[24]; /* of InvalidRange */
};
/* Fill what the body says; a body that is not such XML changes nothing. true: an <Error> root. */
bool sfi_s3_error_parse(struct sfi_bytes xml, struct sfi_s3_error *error);

/* One page of a listing. */
struct sfi_s3_page {
    struct sfi_store_list entries; /* names as the server means them: decoded, with their prefix */
    size_t capacity;
    bool truncated;
    char *token; /* NextContinuationToken */
};
shardy_status sfi_s3_page_parse(struct sfi_bytes xml, struct sfi_s3_page *page, shardy_error *err);
void sfi_s3_page_clear(struct sfi_s3_page *page);

/* Keys a batch delete did not delete. `failed` may stop with false (NO_MEMORY). */
typedef bool (*sfi_s3_failed_fn)(void *arg, const char *key, const char *code, const char *message);
shardy_status sfi_s3_delete_parse(struct sfi_bytes xml, sfi_s3_failed_fn failed, void *arg,
                                  shardy_error *err);
/* Text of the one element <root>/<name>; "" when missing. Cut to `size`, never in the middle. */
shardy_status sfi_s3_text_parse(struct sfi_bytes xml, const char *path, char *out, size_t size,
                                shardy_error *err);
/* Append `text` with <, >, &, quotes and control characters escaped. */
bool sfi_s3_xml_escape(struct sfi_buf *out, const char *text);

/* Retries: store_s3_retry.c. */

enum sfi_s3_class {
    SFI_S3_FATAL,      /* no use repeating it */
    SFI_S3_TRANSIENT,  /* repeat after a while */
    SFI_S3_THROTTLED,  /* the same, and everybody else slows down too */
    SFI_S3_EXPIRED,    /* renew the credentials, sign again */
    SFI_S3_SKEWED,     /* learn the server's clock, sign again */
    SFI_S3_ELSEWHERE,  /* learn the region, sign again */
    SFI_S3_NO_CHECKSUM /* the server does not know the checksum header: leave it out */
};

/* Class of an error answer. `code` may be "" (HEAD has no body). */
enum sfi_s3_class sfi_s3_classify(int http_status, const char *code);
/* Whether a request that was answered like this may have taken effect all the same. */
bool sfi_s3_may_have_acted(int http_status, const char *code);

/* The account of one store; guarded by the store's lock. */
struct sfi_s3_throttle {
    unsigned tokens;
    unsigned level; /* of slowing down; 0 = none */
    uint64_t paused_until_us;
};
void sfi_s3_throttle_init(struct sfi_s3_throttle *throttle);
/* Pay for a retry; false: no tokens left. */
bool sfi_s3_throttle_pay(struct sfi_s3_throttle *throttle, unsigned cost);
void sfi_s3_throttle_success(struct sfi_s3_throttle *throttle, unsigned cost);
void sfi_s3_throttle_slow_down(struct sfi_s3_throttle *throttle, uint64_t now_us);
/* Next wait after `previous` (0 = none yet), with jitter; `random` is any number. */
uint64_t sfi_s3_backoff(uint64_t base_ms, uint64_t previous_ms, uint64_t random);
/* Retry-After in milliseconds, bounded; 0: absent or not understood. `now`: Unix seconds. */
uint64_t sfi_s3_retry_after(const char *value, int64_t now);
/* An HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT") in Unix seconds. */
bool sfi_s3_http_date(const char *text, int64_t *seconds);

/* The store: store_s3.c. */

struct sfi_s3_store {
    struct sfi_store base;
    struct sfi_s3_config config;
    struct sfi_observer observer;
    struct sfi_http_client *client;
    struct sfi_credential_provider *provider;
    _Atomic pid_t owner; /* process whose requests `synced` counts */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t idle;
        struct sfi_s3_call *calls; /* all that exist */
        bool closing;
        bool checksum;       /* the server takes checksum headers, as far as we know */
        bool checksum_taken; /* it did once */
        char region[SFI_AWS_REGION_SIZE];
        int64_t skew_s; /* server's clock minus ours */
        uint64_t random;
        struct sfi_s3_throttle throttle;
    } synced;
};

static inline struct sfi_s3_store *sfi_s3_of(struct sfi_store *base)
{
    return (struct sfi_s3_store *)base;
}

/* Forget what belonged to the parent process. Call it at each entry. */
void sfi_s3_enter(struct sfi_s3_store *store);

/* Calls: store_s3_call.c, store_s3_exchange.c, store_s3_error.c. */

#define SFI_S3_EXTRA_HEADERS 6
#define SFI_S3_HEADERS       (SFI_S3_EXTRA_HEADERS + 14)

enum sfi_s3_verdict {
    SFI_S3_DONE,      /* `status` and `error` are set */
    SFI_S3_OTHERWISE, /* an error answer like any other */
    SFI_S3_BROKEN,    /* the answer is no good: repeat. sfi_s3_fail_call has said why */
    SFI_S3_AT_ONCE    /* repeat without waiting: the call has changed what it asks */
};

enum sfi_s3_phase { SFI_S3_IDLE, SFI_S3_WAITING, SFI_S3_IN_EXCHANGE, SFI_S3_FINISHED };

struct sfi_s3_call {
    /* Set by the maker; strings and bytes live as long as the call. */
    const char *verb; /* for events and messages: "GET", "LIST", "UPLOAD_PART" */
    const char *method;
    const char *key;   /* below the store's prefix; NULL = the bucket */
    const char *label; /* key of events; NULL = the key */
    const char *query; /* percent-encoded; NULL = none */
    struct sfi_http_header extra[SFI_S3_EXTRA_HEADERS];
    size_t extra_count;
    struct sfi_bytes body;
    bool checksum; /* CRC-32C of the body as a header, where the server takes it */
    bool mutates;  /* a try without an answer may have acted */
    uint64_t max_body;
    size_t expect_body;
    enum sfi_s3_verdict (*judge)(struct sfi_s3_call *call); /* every complete answer */
    void (*broke)(struct sfi_s3_call *call); /* may be NULL: an answer broke off: keep what came */
    void (*prepare)(struct sfi_s3_call *call); /* may be NULL: before every try */
    void (*stop)(struct sfi_s3_call *call);    /* may be NULL: cancelled while `done` goes on */
    void (*done)(struct sfi_s3_call *call);
    void *arg;

    /* Results. */
    shardy_status status;
    shardy_error error;
    struct sfi_s3_error answer; /* of the last exchange */
    bool maybe_acted;           /* some try may have acted without telling us */
    bool checksum_sent;
    unsigned attempts; /* exchanges */
    struct sfi_http_request http;

    /* Private to store_s3_call.c and store_s3_exchange.c. */
    struct sfi_s3_store *store;
    struct sfi_s3_call *next;
    struct sfi_s3_call *previous;
    atomic_uint refs;
    atomic_int phase;
    atomic_int handshake;
    atomic_bool cancelled;
    atomic_bool ticking;
    struct sfi_credentials *credentials;
    shardy_status credential_status;
    shardy_error credential_error;
    uint64_t rejected; /* generation of credentials */
    bool renewed;
    bool skew_learnt;
    bool region_learnt;
    bool checksum_dropped;
    bool paused;    /* waited for the store's pause already */
    unsigned tries; /* that count against max_attempts */
    unsigned paid;
    uint64_t failed_us; /* when the first try failed; 0 = none did */
    uint64_t backoff_ms;
    char region[SFI_AWS_REGION_SIZE];
    char date[SFI_AMZ_DATE_SIZE];
    char crc[16];
    bool crc_known;
    struct sfi_s3_address address;
    struct sfi_buf authorization;
    struct sfi_http_header headers[SFI_S3_HEADERS];
    struct sfi_http_timer timer;
    struct sfi_http_timer tick;
};

/* A call with `extra` zeroed bytes behind it (sfi_s3_call_state). One reference. */
struct sfi_s3_call *sfi_s3_call_new(struct sfi_s3_store *store, size_t extra);
void sfi_s3_call_acquire(struct sfi_s3_call *call);
void sfi_s3_call_release(struct sfi_s3_call *call); /* NULL is accepted */
void *sfi_s3_call_state(struct sfi_s3_call *call);
void sfi_s3_call_header(struct sfi_s3_call *call, const char *name, const char *value);
/* Each ends with `done`, perhaps before the return; the maker's reference stays the maker's. */
void sfi_s3_call_start(struct sfi_s3_call *const *calls, size_t count);
/* Start and wait; `done` and `arg` are taken. Not on the HTTP client's thread. */
shardy_status sfi_s3_call_run(struct sfi_s3_call *call, shardy_error *err);
/* Any thread that holds a reference. */
void sfi_s3_call_cancel(struct sfi_s3_call *call);

/* One exchange. */
shardy_status sfi_s3_exchange_prepare(struct sfi_s3_call *call);
void sfi_s3_exchange_emit(const struct sfi_s3_call *call);
/* Why there is no answer, without the request that the caller names itself. */
const char *sfi_s3_exchange_reason(const struct sfi_http_request *http);
/* Fill call->answer from headers and body. */
void sfi_s3_exchange_read_error(struct sfi_s3_call *call);
/* A server may repeat what it was sent: leave out of call->answer what shows a secret. */
void sfi_s3_exchange_hide(struct sfi_s3_call *call);
/* Value of a header of the answer, "" when missing. */
const char *sfi_s3_answer_header(const struct sfi_s3_call *call, const char *name);

/* Status of an error answer, and a message that names operation, URL, answer, and remedy. */
shardy_status sfi_s3_fail_answer(struct sfi_s3_call *call);
/* The same for an exchange without a usable answer: `why`. Both set call->error, return status. */
shardy_status sfi_s3_fail_call(struct sfi_s3_call *call, shardy_status status, const char *why);
/* 404 of the object or upload, not of the bucket or the account. */
bool sfi_s3_is_missing(const struct sfi_s3_call *call);
const char *sfi_s3_conflict_text(enum sfi_store_condition condition);

/* Objects: store_s3_object.c. Lists and batches: store_s3_list.c. Uploads: store_s3_upload.c. */
void sfi_s3_submit(struct sfi_store *base, struct sfi_store_request **requests, size_t count);
void sfi_s3_cancel(struct sfi_store *base, struct sfi_store_request *request);
shardy_status sfi_s3_list(struct sfi_store *base, const char *prefix, bool deep,
                          struct sfi_store_list *list, shardy_error *err);
shardy_status sfi_s3_delete_many(struct sfi_store *base, const char *const *keys, size_t count,
                                 size_t *deleted, shardy_error *err);
shardy_status sfi_s3_upload(struct sfi_store *base, const char *key, const char *content_type,
                            size_t head_size, struct sfi_upload **upload, shardy_error *err);
/* "bytes 5-9/20": first, last, total. false: malformed, or total unknown. */
bool sfi_s3_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total);

#endif
