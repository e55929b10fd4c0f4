/*
 * http_internal.h - what the files of src/http share: the client, its I/O thread's loop, exchanges,
 * the wheel of timers and the captured header block.
 */
#ifndef SFI_HTTP_INTERNAL_H
#define SFI_HTTP_INTERNAL_H

#include "http/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* Doubly linked list through `next` and `prev` of requests. */
struct sfi_http_queue {
    struct sfi_http_request *first;
    struct sfi_http_request *last;
};

void sfi_http_queue_push(struct sfi_http_queue *queue, struct sfi_http_request *request);
void sfi_http_queue_remove(struct sfi_http_queue *queue, struct sfi_http_request *request);
/* Append all of `from`, which becomes empty. */
void sfi_http_queue_splice(struct sfi_http_queue *queue, struct sfi_http_queue *from);

/* Timers: buckets by due time modulo one turn of the wheel, each sorted; no allocation. */
#define SFI_HTTP_WHEEL_BUCKETS 256u

struct sfi_http_wheel {
    struct sfi_http_timer *buckets[SFI_HTTP_WHEEL_BUCKETS];
    struct sfi_http_timer *cancelled; /* fire first, in order */
    struct sfi_http_timer **cancelled_end;
    size_t count;        /* in the buckets */
    uint64_t due_us;     /* of the earliest one */
    bool due_is_current; /* else sfi_http_wheel_due searches again */
};

void sfi_http_wheel_init(struct sfi_http_wheel *wheel);
void sfi_http_wheel_add(struct sfi_http_wheel *wheel, struct sfi_http_timer *timer);
void sfi_http_wheel_cancel(struct sfi_http_wheel *wheel, struct sfi_http_timer *timer);
/* Earliest due time, 0 when a cancelled timer waits, UINT64_MAX without timers. */
uint64_t sfi_http_wheel_due(struct sfi_http_wheel *wheel);
/* Take the next timer that is due, or any when `all`; NULL when there is none. */
struct sfi_http_timer *sfi_http_wheel_take(struct sfi_http_wheel *wheel, uint64_t now_us, bool all);

/* Header block of an answer: "name\0value\0" for each field, continuation lines joined. */
bool sfi_http_head_line(struct sfi_buf *head, const char *line, size_t size);

struct sfi_http_loop;

struct sfi_http_client {
    /* Constant after sfi_http_client_new. */
    unsigned max_connections;
    uint64_t connect_timeout_ms;
    uint64_t stall_us;
    char *ca_file;
    bool insecure_tls;
    bool no_proxy;
    bool http2;

    /* Process whose client this is; 0 while a forked child takes it over. */
    _Atomic(pid_t) owner;

    struct {
        pthread_mutex_t lock;
        bool stopping;
        bool sleeping; /* the thread waits, or is about to: wake it */
        struct sfi_http_queue inbox;
        struct sfi_http_request *cancels;
        struct sfi_http_wheel wheel;
        struct sfi_http_loop *loop; /* NULL: the thread has not been started */
        pthread_t thread;
    } synced;
};

/* One easy handle and the request that it works on; kept for the next request. */
struct sfi_http_exchange {
    struct sfi_http_loop *loop;
    CURL *easy;
    struct sfi_http_request *request;
    struct sfi_http_exchange *next; /* active: least recently moved first; idle: a stack */
    struct sfi_http_exchange *prev;
    uint64_t moved_us; /* when the exchange got on last */
    uint64_t moved;    /* bytes since */
    curl_off_t uploaded;
    size_t head_bytes; /* of all header blocks of the exchange */
    uint64_t body_max;
    bool sent;       /* a connection was ready and the request may have left */
    bool repeatable; /* curl may send it again on another connection */
    bool patient;    /* any byte of the answer is progress */
    bool has_body;   /* even if empty: Content-Length is sent */
    bool head_done;  /* later header lines are trailers */
    bool body_seen;
    enum sfi_http_outcome stop; /* why a callback ended it; ANSWERED = none did */
    const char *stop_reason;
    long buffer_size; /* as set, to leave curl's buffer alone when it fits */
    struct curl_slist *nodes;
    size_t node_capacity;
    struct sfi_buf text; /* what the nodes point to */
    char detail[CURL_ERROR_SIZE];
};

/* Everything that belongs to the I/O thread. */
struct sfi_http_loop {
    struct sfi_http_client *client;
    CURLM *multi;
    CURLSH *share; /* TLS sessions */
    int epoll;
    int wake; /* eventfd, edge-triggered: never read */
    atomic_bool running;
    pthread_t self; /* valid once running */

    /* By descriptor: what curl wants, what epoll has, whose it is. A forked child reads it. */
    _Atomic(uint8_t *) sockets;
    atomic_size_t socket_count;

    uint64_t now_us;
    uint64_t curl_due_us;
    size_t max_active;
    size_t active_count;
    struct sfi_http_exchange *active_first;
    struct sfi_http_exchange *active_last;
    struct sfi_http_exchange *idle;
    struct sfi_http_queue queue;    /* waiting for a connection */
    struct sfi_http_queue finished; /* waiting for `done` */
};

/* http_loop.c */
shardy_status sfi_http_loop_new(struct sfi_http_client *client, struct sfi_http_loop **loop,
                                shardy_error *err);
void sfi_http_loop_free(struct sfi_http_loop *loop);
void *sfi_http_loop_run(void *loop);
/* In a forked child: close the descriptors without a word to the servers, leave the rest. */
void sfi_http_loop_abandon(struct sfi_http_loop *loop);
/* Put a request with its outcome among the finished ones. */
void sfi_http_loop_finish(struct sfi_http_loop *loop, struct sfi_http_request *request,
                          enum sfi_http_outcome outcome);

/* http_socket.c */
shardy_status sfi_http_socket_init(struct sfi_http_loop *loop, shardy_error *err);
void sfi_http_socket_setup(struct sfi_http_loop *loop, CURL *easy);
/* Wait up to `timeout_ms` (-1 = for ever) and let curl work on what is ready. */
void sfi_http_socket_wait(struct sfi_http_loop *loop, int timeout_ms);

/* http_exchange.c */
/* Give a request to curl, or finish it with a failure. */
void sfi_http_exchange_start(struct sfi_http_loop *loop, struct sfi_http_request *request);
void sfi_http_exchange_end(struct sfi_http_exchange *exchange, CURLcode code);
/* CANCELLED, or TIMEOUT by a stall. */
void sfi_http_exchange_abort(struct sfi_http_exchange *exchange, enum sfi_http_outcome outcome);
void sfi_http_exchange_moved(struct sfi_http_exchange *exchange);
void sfi_http_exchange_free(struct sfi_http_exchange *exchange);

/* http_outcome.c */
/* Outcome of an ended exchange; fills `error` of the request unless it is ANSWERED. */
enum sfi_http_outcome sfi_http_outcome_of(const struct sfi_http_exchange *exchange, CURLcode code);
void sfi_http_describe(struct sfi_http_request *request, enum sfi_http_outcome outcome,
                       const char *reason);

/* http_setup.c */
/* Options that no request changes. false: out of memory. */
bool sfi_http_setup_easy(struct sfi_http_exchange *exchange);
/* Options of the request. CONFIG: a header that would break the request; NO_MEMORY. */
shardy_status sfi_http_setup_request(struct sfi_http_exchange *exchange, shardy_error *err);

#endif
