/*
 * http.h - HTTP requests in batches: one I/O thread and one libcurl multi handle a client, with
 * keep-alive connections. No retries, no signing, no redirects: those belong to callers.
 *
 * The thread starts with the first request and ends with the client. After fork() the child has a
 * client without requests, thread or connections, which starts anew on its first use.
 */
#ifndef SFI_HTTP_HTTP_H
#define SFI_HTTP_HTTP_H

#include "base/bytes.h"

struct sfi_http_client;

/* Zero means the default of limits.h; strings are copied. */
struct sfi_http_options {
    unsigned max_connections;
    uint64_t connect_timeout_ms; /* DNS, TCP, TLS */
    uint64_t stall_timeout_ms;   /* less than SFI_HTTP_STALL_BYTES came or went in so long */
    const char *ca_file;         /* PEM bundle instead of the system's; NULL = system */
    bool insecure_tls;           /* accept any certificate */
    bool no_proxy; /* ignore the proxy environment, as it is now (metadata services) */
    bool http2;    /* multiplex over TLS where the server offers it */
};

/* How an exchange ended. Everything but ANSWERED has a message in `error`. */
enum sfi_http_outcome {
    SFI_HTTP_ANSWERED,  /* a complete answer; look at http_status */
    SFI_HTTP_NOT_SENT,  /* the server cannot have acted: DNS, connect, TLS */
    SFI_HTTP_LOST,      /* sent, perhaps in part; no or no complete answer */
    SFI_HTTP_TIMEOUT,   /* as LOST, by a time-out */
    SFI_HTTP_TOO_LARGE, /* the answer is larger than max_body */
    SFI_HTTP_REFUSED,   /* TLS: the certificate does not verify; nothing was sent */
    SFI_HTTP_CANCELLED, /* by sfi_http_cancel or the end of the client */
    SFI_HTTP_NO_MEMORY
};

struct sfi_http_header {
    const char *name;
    const char *value;
};

/* One exchange. The caller owns it and keeps everything it points to alive until `done`. */
struct sfi_http_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *url;    /* http:// or https://, already percent-encoded; sent as it is */
    const struct sfi_http_header *headers; /* Host, Content-Length are ours, unless given */
    size_t header_count;
    struct sfi_bytes body;
    uint64_t max_body;   /* of the answer; 0 = no limit; answers but 2xx may have 64 KiB anyway */
    uint64_t timeout_ms; /* of the whole exchange; 0 = none */
    size_t expect_body;  /* bytes to reserve for the answer; 0 = unknown */
    /* Exactly once, on the client's thread; must not block. May submit, cancel and schedule. */
    void (*done)(struct sfi_http_request *request);
    void *arg;

    /* Results, valid in `done`. */
    enum sfi_http_outcome outcome;
    int http_status;
    /* Body of the answer; what came before a loss. The caller clears it, or leaves its memory to
     * the next submission; empty (all zero) at first, as is answer_head. */
    struct sfi_buf data;
    struct sfi_buf answer_head; /* private to sfi_http_answer_header; the caller clears it */
    /* As the answer says; UINT64_MAX = it does not. A body without length or chunks ends with the
     * connection: nobody can tell whether it is whole. */
    uint64_t content_length;
    uint64_t started_us; /* monotonic: handed to a connection, answer complete */
    uint64_t ended_us;
    uint64_t connect_us; /* of DNS, TCP, TLS in this exchange; 0 on a kept connection */
    shardy_error error;
    struct sfi_http_exchange *exchange; /* private, as is what follows */
    struct sfi_http_request *next;
    struct sfi_http_request *prev;
    struct sfi_http_request *next_cancel;
    bool pending;
    bool cancel;
};

/* CONFIG: unreadable CA file. Nothing is started yet. */
shardy_status sfi_http_client_new(const struct sfi_http_options *options,
                                  struct sfi_http_client **client, shardy_error *err);
/* Cancels what is in progress and waits for the callbacks. Not from a callback. NULL: accepted. */
void sfi_http_client_free(struct sfi_http_client *client);

/* Start requests. Any thread. Failures to start complete the request with NO_MEMORY, on the calling
 * thread when there is no other. */
void sfi_http_submit(struct sfi_http_client *client, struct sfi_http_request **requests,
                     size_t count);
/* Any thread; no effect on a request that is done. `done` still comes, perhaps with an answer. */
void sfi_http_cancel(struct sfi_http_client *client, struct sfi_http_request *request);

/* Something to call on the client's thread later: back-off of retries. */
struct sfi_http_timer {
    void (*fire)(struct sfi_http_timer *timer); /* exactly once; early when the client ends */
    void *arg;
    bool cancelled;              /* out: the client ended, or sfi_http_timer_cancel */
    uint64_t due_us;             /* private */
    struct sfi_http_timer *next; /* private */
};
void sfi_http_schedule(struct sfi_http_client *client, struct sfi_http_timer *timer,
                       uint64_t delay_ms);
/* Fires at once, with `cancelled` set, unless it has fired. */
void sfi_http_timer_cancel(struct sfi_http_client *client, struct sfi_http_timer *timer);

/* Submit and wait. Not from the client's thread. */
void sfi_http_perform(struct sfi_http_client *client, struct sfi_http_request *request);
bool sfi_http_on_thread(const struct sfi_http_client *client);

/* Value of an answer header (any case), NUL-terminated, or NULL. */
const char *sfi_http_answer_header(const struct sfi_http_request *request, const char *name);
void sfi_http_request_clear(struct sfi_http_request *request); /* results only */

#endif
