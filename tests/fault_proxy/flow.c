/*
 * flow.c - moves a body from one socket to the other: through user memory when it is small or has
 * to be looked at, by splice(2) through a pipe when it is large. The bandwidth cap is a pause after
 * each piece, as long as the piece takes at that rate.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPLICE_MIN  (64u << 10)
#define PIPE_SIZE   (1 << 20)
#define MOVE_BUDGET (4u << 20) /* of one connection before the others have their turn */
#define PIPES_KEPT  64

static int spare_pipes[PIPES_KEPT][2];
static size_t spare_count;

ssize_t side_read(struct side *side, void *bytes, size_t size)
{
    if (!side->readable) {
        return -1;
    }
    ssize_t count = recv(side->handler.fd, bytes, size, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        side->readable = errno == EINTR;
        return -1;
    }
    if (count < 0) {
        return 0;
    }
    if (count > 0 && (size_t)count < size && !side->hung_up) {
        side->readable = false; /* drained: the next byte brings an edge */
    }
    return count;
}

ssize_t side_write(struct side *side, const void *bytes, size_t size)
{
    if (!side->writable) {
        return -1;
    }
    ssize_t count = send(side->handler.fd, bytes, size, MSG_NOSIGNAL);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        side->writable = errno == EINTR;
        return -1;
    }
    return count < 0 ? -2 : count;
}

void pace(uint64_t *next_ns, uint64_t now, size_t bytes)
{
    if (settings.bandwidth == 0) {
        *next_ns = 0;
        return;
    }
    /* A late wake-up is made good, but at most 2 ms of it. */
    uint64_t from = now > 2000000u ? now - 2000000u : 0;
    from = *next_ns > from ? *next_ns : from;
    *next_ns = from + (uint64_t)bytes * 1000000000u / settings.bandwidth;
}

size_t pace_limit(size_t wanted)
{
    size_t limit = settings.bandwidth / 1000; /* a millisecond */
    limit = limit < 1024 ? 1024 : limit;
    return settings.bandwidth && wanted > limit ? limit : wanted;
}

void flow_start(struct flow *flow)
{
    flow->collect = NULL;
    flow->copy = NULL;
    flow->discard = false;
    flow->body_read = 0;
    flow->written = 0;
}

static void give_back_pipe(struct flow *flow)
{
    if (flow->pipe[0] < 0) {
        return;
    }
    if (flow->in_pipe == 0 && spare_count < PIPES_KEPT) {
        memcpy(spare_pipes[spare_count++], flow->pipe, sizeof flow->pipe);
    } else {
        close(flow->pipe[0]);
        close(flow->pipe[1]);
    }
    flow->pipe[0] = -1;
    flow->pipe[1] = -1;
    flow->in_pipe = 0;
}

static bool take_pipe(struct flow *flow)
{
    if (flow->pipe[0] >= 0) {
        return true;
    }
    if (spare_count > 0) {
        memcpy(flow->pipe, spare_pipes[--spare_count], sizeof flow->pipe);
        return true;
    }
    if (pipe2(flow->pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
        flow->pipe[0] = -1;
        return false;
    }
    if (fcntl(flow->pipe[1], F_SETPIPE_SZ, PIPE_SIZE) < 0) {
        errno = 0; /* the default size works as well */
    }
    return true;
}

void flow_clear(struct flow *flow)
{
    give_back_pipe(flow);
    buf_clear(&flow->in);
    buf_clear(&flow->out);
}

/* @return false when the target is broken */
static bool write_out(struct flow *flow)
{
    while (buf_size(&flow->out) > 0) {
        ssize_t count = side_write(flow->to, buf_at(&flow->out), buf_size(&flow->out));
        if (count < 0) {
            return count == -1;
        }
        flow->written += (size_t)count;
        buf_take(&flow->out, (size_t)count);
    }
    while (flow->in_pipe > 0 && flow->to->writable) {
        ssize_t count = splice(flow->pipe[0], NULL, flow->to->handler.fd, NULL, flow->in_pipe,
                               SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (count < 0 && errno == EAGAIN) {
            flow->to->writable = false;
        } else if (count <= 0) {
            return false;
        } else {
            flow->written += (size_t)count;
            flow->in_pipe -= (size_t)count;
        }
    }
    return true;
}

/* Bytes of the body on their way; what the target does not take at once is kept. */
static void pass_on(struct flow *flow, const char *bytes, size_t size)
{
    flow->body_read += size;
    if (flow->copy) {
        buf_add(flow->copy, bytes, size);
    }
    if (flow->discard || flow->collect) {
        return;
    }
    if (buf_size(&flow->out) == 0 && flow->in_pipe == 0) {
        ssize_t count = side_write(flow->to, bytes, size);
        if (count > 0) {
            flow->written += (size_t)count;
            bytes += count;
            size -= (size_t)count;
        }
    }
    buf_add(&flow->out, bytes, size);
}

static void take_in(struct flow *flow, uint64_t now)
{
    size_t used = body_take(&flow->body, buf_at(&flow->in), buf_size(&flow->in), flow->collect);
    pass_on(flow, buf_at(&flow->in), used);
    buf_take(&flow->in, used);
    pace(&flow->next_ns, now, used);
}

/* Read the next piece. 0 = the source has ended, -1 = nothing there. */
static ssize_t read_more(struct flow *flow, uint64_t now)
{
    struct body *body = &flow->body;
    ssize_t count;
    bool large = body->framing == BODY_LENGTH && body->left >= SPLICE_MIN;
    if (large && !flow->discard && !flow->collect && !flow->copy && take_pipe(flow)) {
        size_t wanted = body->left < PIPE_SIZE ? (size_t)body->left : PIPE_SIZE;
        if (!flow->from->readable) {
            return -1;
        }
        count = splice(flow->from->handler.fd, NULL, flow->pipe[1], NULL, pace_limit(wanted),
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (count < 0 && errno == EAGAIN) {
            flow->from->readable = false;
            return -1;
        }
        if (count > 0) {
            flow->in_pipe += (size_t)count;
            flow->body_read += (size_t)count;
            body->left -= (size_t)count;
            body->done = body->left == 0;
        }
    } else {
        count = side_read(flow->from, scratch, pace_limit(SCRATCH_SIZE));
        if (count > 0) {
            size_t used = body_take(body, scratch, (size_t)count, flow->collect);
            pass_on(flow, scratch, used);
            buf_add(&flow->in, scratch + used, (size_t)count - used);
        }
    }
    if (count > 0) {
        pace(&flow->next_ns, now, (size_t)count);
    }
    return count < 0 ? -1 : count;
}

static void lower(uint64_t *wake, uint64_t to)
{
    *wake = to < *wake ? to : *wake;
}

enum progress flow_move(struct flow *flow, uint64_t now, uint64_t *wake)
{
    size_t moved = 0;
    for (;;) {
        if (!flow->discard && !write_out(flow)) {
            return FLOW_TARGET_BROKEN;
        }
        bool waiting = !flow->discard && (buf_size(&flow->out) > 0 || flow->in_pipe > 0);
        if (flow->body.done && !waiting) {
            give_back_pipe(flow);
            return FLOW_DONE;
        }
        if (waiting) {
            return FLOW_BLOCKED;
        }
        if (buf_size(&flow->in) > 0) {
            take_in(flow, now);
            continue;
        }
        if (settings.bandwidth && flow->next_ns > now) {
            lower(wake, flow->next_ns);
            return FLOW_BLOCKED;
        }
        if (moved >= MOVE_BUDGET) {
            lower(wake, now);
            return FLOW_BLOCKED;
        }
        ssize_t count = read_more(flow, now);
        if (count < 0) {
            return FLOW_BLOCKED;
        }
        if (count == 0) {
            return FLOW_SOURCE_ENDED;
        }
        moved += (size_t)count;
    }
}
