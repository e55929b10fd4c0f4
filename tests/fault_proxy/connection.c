/*
 * connection.c - the life of connections, the phases of their exchanges, and answers that are sent
 * from memory. connection.h tells how an exchange goes.
 */
#include "connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOLD_NS (2000u * (uint64_t)MS) /* a held answer goes when no other one came for so long */

static struct connection *dead, *held;
static uint64_t connection_count, finished_count;

void watch_side(struct side *side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = &side->handler};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, side->handler.fd, &event);
}

void close_side(struct side *side)
{
    if (side->handler.fd >= 0) {
        close(side->handler.fd);
        side->handler.fd = -1;
    }
    side->readable = false;
    side->writable = false;
    side->hung_up = false;
}

void connection_accept(int fd, uint64_t now)
{
    int one = 1;
    (void)now;
    struct connection *c = must(calloc(1, sizeof *c));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->client.handler = (struct handler){.source = SOURCE_SIDE, .fd = fd};
    c->client.connection = c;
    c->client.writable = true;
    c->server.handler = (struct handler){.source = SOURCE_SIDE, .fd = -1};
    c->server.connection = c;
    c->up = (struct flow){.from = &c->client, .to = &c->server, .pipe = {-1, -1}};
    c->down = (struct flow){.from = &c->server, .to = &c->client, .pipe = {-1, -1}};
    c->number = ++connection_count;
    stats_connection();
    watch_side(&c->client);
}

static void leave_held(struct connection *c)
{
    for (struct connection **p = &held; *p; p = &(*p)->next_held) {
        if (*p == c) {
            *p = c->next_held;
            return;
        }
    }
}

void end_exchange(struct connection *c, bool aborted)
{
    uint64_t sent = c->down.written + c->answer.sent;
    uint64_t bytes[4] = {c->request_head + c->up.body_read, sent, c->up.body_read,
                         sent > c->answer_head ? sent - c->answer_head : 0};
    stats_finish(c->record, c->epoch, clock_ns(), c->status, aborted, bytes);
    finished_count++;
    if (c->phase == HOLD) {
        leave_held(c);
    }
    for (struct connection *other = held; other; other = other->next_held) {
        timer_set(&other->timer, 1);
    }
    free(c->rule);
    free(c->target);
    c->rule = NULL;
    c->target = NULL;
    buf_clear(&c->copy);
    answer_clear(&c->answer);
    c->used = true;
}

void close_connection(struct connection *c, bool with_reset)
{
    if (c->phase == CLOSED) {
        return;
    }
    if (with_reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->client.handler.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    close_side(&c->client);
    close_side(&c->server);
    timer_set(&c->timer, UINT64_MAX);
    c->phase = CLOSED;
    c->next_dead = dead;
    dead = c;
}

void abort_connection(struct connection *c)
{
    end_exchange(c, true);
    close_connection(c, false);
}

void connections_sweep(void)
{
    while (dead) {
        struct connection *next = dead->next_dead;
        flow_clear(&dead->up);
        flow_clear(&dead->down);
        free(dead);
        dead = next;
    }
}

void hold_answer(struct connection *c, uint64_t now)
{
    c->phase = HOLD;
    c->held_at = finished_count;
    c->held_until = now + HOLD_NS;
    c->next_held = held;
    held = c;
}

/* Wait for another exchange to end, but not for ever. */
static bool hold(struct connection *c, uint64_t now)
{
    if (c->client.hung_up) {
        abort_connection(c);
        return true;
    }
    if (finished_count == c->held_at && now < c->held_until) {
        c->wake = c->held_until;
        return false;
    }
    leave_held(c);
    c->phase = ANSWER;
    return true;
}

/* How many bytes of the answer may have been sent by now. */
static size_t allowed(struct connection *c, uint64_t now)
{
    struct answer *answer = &c->answer;
    if (answer->slow_from >= answer->limit) {
        return answer->limit;
    }
    if (answer->sent < answer->slow_from) {
        return answer->slow_from;
    }
    answer->slow_since = answer->slow_since ? answer->slow_since : now;
    if (answer->rate == 0) {
        return answer->slow_from;
    }
    uint64_t slow = (now - answer->slow_since) * answer->rate / 1000000000u;
    c->wake = answer->slow_since + (slow + 1) * 1000000000u / answer->rate + 1;
    slow += answer->slow_from;
    return slow < answer->limit ? (size_t)slow : answer->limit;
}

static bool end_answer(struct connection *c)
{
    enum ending ending = c->answer.ending;
    end_exchange(c, false);
    c->phase = READ_HEAD;
    if (ending != END_KEEP || c->client_close) {
        close_connection(c, ending == END_RESET);
    }
    return true;
}

static bool send_answer(struct connection *c, uint64_t now)
{
    struct answer *answer = &c->answer;
    if (c->client.hung_up) {
        abort_connection(c);
        return true;
    }
    if (now < due(c)) {
        c->wake = due(c);
        return false;
    }
    while (answer->sent < answer->limit) {
        size_t until = allowed(c, now);
        if (until <= answer->sent) {
            return false;
        }
        if (settings.bandwidth && c->answer_next_ns > now) {
            c->wake = c->answer_next_ns;
            return false;
        }
        ssize_t count = side_write(&c->client, buf_at(&answer->out) + answer->sent,
                                   pace_limit(until - answer->sent));
        if (count == -2) {
            abort_connection(c);
            return true;
        }
        if (count < 0) {
            return false;
        }
        answer->sent += (size_t)count;
        pace(&c->answer_next_ns, now, (size_t)count);
    }
    return end_answer(c);
}

/* The answer went before the request was whole: take the rest of the request and forget it. */
static bool drain(struct connection *c, uint64_t now)
{
    switch (flow_move(&c->up, now, &c->wake)) {
    case FLOW_BLOCKED:
        return false;
    case FLOW_DONE:
        end_exchange(c, false);
        c->phase = READ_HEAD;
        if (c->client_close) {
            close_connection(c, false);
        }
        return true;
    default:
        end_exchange(c, false);
        close_connection(c, false);
        return true;
    }
}

static void connection_run(struct connection *c)
{
    bool again = true;
    while (again) {
        uint64_t now = clock_ns();
        c->wake = UINT64_MAX;
        switch (c->phase) {
        case READ_HEAD:
            again = read_head(c, now);
            break;
        case RELAY:
            again = relay(c, now);
            break;
        case HOLD:
            again = hold(c, now);
            break;
        case ANSWER:
            again = send_answer(c, now);
            break;
        case DRAIN:
            again = drain(c, now);
            break;
        case CLOSED:
            return;
        }
    }
    timer_set(&c->timer, c->wake);
}

void connection_event(struct handler *handler, uint32_t events)
{
    struct side *side = (struct side *)handler;
    if (handler->fd < 0) {
        return; /* closed earlier in this round */
    }
    side->readable = side->readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    side->writable = side->writable || (events & EPOLLOUT);
    side->hung_up = side->hung_up || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    connection_run(side->connection);
}

void connection_timer(struct timer *timer)
{
    char *start = (char *)timer - offsetof(struct connection, timer);
    connection_run((struct connection *)(void *)start);
}
