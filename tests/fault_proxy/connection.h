/*
 * connection.h - one client connection, its server connection and the exchange that runs on them:
 * shared by connection.c (life, phases, answers from memory) and exchange.c (request and relay).
 *
 * An exchange goes through phases: the head of the request is read; the request goes to the server
 * and, not before it is due, the answer to the client (RELAY); where a rule wants it the answer is
 * collected first, then sent from memory (ANSWER) after perhaps waiting for another one (HOLD). All
 * waiting is by epoll edges and one timer: the functions just do what can be done now.
 *
 * When an answer is due: `latency` after the last byte of the request, which for a request without
 * a body is the arrival of its head. The server's own time is part of that.
 */
#ifndef FAULT_PROXY_CONNECTION_H
#define FAULT_PROXY_CONNECTION_H

#include "proxy.h"

#define MS 1000000u

enum phase { READ_HEAD, RELAY, HOLD, ANSWER, DRAIN, CLOSED };

struct connection {
    struct side client, server;
    struct timer timer;
    uint64_t wake; /* while running: when to look again */
    uint64_t number;
    bool used;
    enum phase phase;
    struct flow up, down;
    struct connection *next_dead;
    struct connection *next_held;

    /* of the exchange */
    struct rule *rule; /* NULL = none */
    char method[16];
    char *target;
    uint64_t start, latency, request_end; /* request_end 0 = not read yet */
    uint64_t held_at, held_until;
    size_t record;
    uint64_t epoch;
    uint64_t request_head, answer_head; /* bytes */
    int status;
    bool client_close, server_close, got_head, expects, collecting, up_done;
    bool sent_twice, keep_first; /* of a request that is sent twice */
    struct buf copy;             /* of the request, to send it twice */
    struct answer answer;
    uint64_t answer_next_ns;
};

/* connection.c */
void watch_side(struct side *side);
void close_side(struct side *side);
void close_connection(struct connection *c, bool with_reset);
void end_exchange(struct connection *c, bool aborted); /* count it and forget it */
void abort_connection(struct connection *c); /* the exchange ends without all of its answer */
void hold_answer(struct connection *c, uint64_t now);

/* exchange.c: true when the phase has changed, false when there is nothing to do now */
bool read_head(struct connection *c, uint64_t now);
bool relay(struct connection *c, uint64_t now);
uint64_t due(const struct connection *c);

#endif
