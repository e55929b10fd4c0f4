/*
 * exchange.c - a request on its way to the server and the answer on its way back: what the rule
 * changes in between, when the answer is due, what is left when either side goes away.
 */
#include "connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool open_server(struct connection *c)
{
    char byte;
    if (c->server.handler.fd >= 0) {
        /* A kept connection that the server has closed in the meantime is of no use. */
        if (recv(c->server.handler.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
            return true;
        }
        close_side(&c->server);
    }
    bool connected = false;
    c->server.handler.fd = connect_to_server(&connected);
    if (c->server.handler.fd < 0) {
        return false;
    }
    c->server.writable = connected;
    watch_side(&c->server);
    return true;
}

static void edit_request(const struct connection *c, struct buf *head)
{
    enum fault fault = c->rule ? c->rule->fault : FAULT_NONE;
    size_t size = buf_size(head);
    if (settings.ignore_conditionals || fault == FAULT_IGNORE_CONDITIONALS) {
        head_remove(head, "If-Match");
        head_remove(head, "If-None-Match");
    }
    if (fault == FAULT_WHOLE) {
        head_remove(head, "Range");
    }
    if (buf_size(head) != size && settings.secret) {
        sign_again(head);
    }
}

static void find_rule(struct connection *c, uint64_t number, const struct head *head)
{
    struct rule rule;
    if (!rules_match(number, head, &rule)) {
        return;
    }
    c->rule = must(malloc(sizeof rule));
    *c->rule = rule;
    c->latency += rule.delay_ms * MS;
    stats_fault(c->record, c->epoch, rule.name);
}

/* How the rule changes the way of the exchange. */
static void plan(struct connection *c)
{
    c->collecting = false;
    flow_start(&c->up);
    flow_start(&c->down);
    answer_reset(&c->answer);
    if (!c->rule) {
        return;
    }
    if (rule_is_canned(c->rule) &&
        (c->rule->fault != FAULT_REPLAY || answer_recall(&c->answer, c->target))) {
        c->up.discard = true;
        if (c->rule->fault != FAULT_REPLAY) {
            answer_canned(&c->answer, c->rule, c->method, c->target);
        }
        c->answer_head = buf_size(&c->answer.head);
        c->status = c->answer.status;
    } else if (rule_needs_answer(c->rule)) {
        c->collecting = true;
        c->down.collect = &c->answer.body;
        c->up.copy = c->rule->fault == FAULT_DUPLICATE ? &c->copy : NULL;
    }
}

static void start_exchange(struct connection *c, size_t size, uint64_t now)
{
    struct head head;
    struct buf text = {0};
    if (!head_parse_request(buf_at(&c->up.in), size, &head)) {
        close_connection(c, false);
        return;
    }
    c->start = now;
    c->latency = (settings.latency_ms + (c->used ? 0 : settings.setup_ms)) * MS;
    c->request_end = 0;
    c->status = 0;
    c->request_head = size;
    c->answer_head = 0;
    c->client_close = head.close || head.http10;
    c->server_close = false;
    c->got_head = false;
    c->sent_twice = false;
    c->keep_first = false;
    c->up_done = false;
    c->expects = head.expect_continue;
    memcpy(c->method, head.method, sizeof c->method);
    c->target = copy_text(head.target, head.target_size);
    uint64_t number = stats_start(&head, now, c->number, &c->record, &c->epoch);
    find_rule(c, number, &head);
    body_of_request(&c->up.body, &head);
    plan(c);
    c->phase = RELAY;
    if (!c->up.discard) {
        buf_add(&text, buf_at(&c->up.in), size);
        edit_request(c, &text);
        buf_add(&c->up.out, buf_at(&text), buf_size(&text));
        if (c->up.copy) {
            buf_add(c->up.copy, buf_at(&text), buf_size(&text));
        }
        buf_clear(&text);
        if (!open_server(c)) {
            abort_connection(c);
            return;
        }
    } else if (c->expects) {
        /* The client waits for leave to send the body, which it will not get. */
        c->up.body = (struct body){.done = true};
        c->answer.ending = END_CLOSE;
    }
    buf_take(&c->up.in, size);
}

bool read_head(struct connection *c, uint64_t now)
{
    for (;;) {
        size_t size =
            buf_size(&c->up.in) ? head_find_end(buf_at(&c->up.in), buf_size(&c->up.in)) : 0;
        if (size) {
            start_exchange(c, size, now);
            return true;
        }
        ssize_t count = side_read(&c->client, scratch, pace_limit(SCRATCH_SIZE));
        if (count < 0) {
            return false;
        }
        if (count == 0 || buf_size(&c->up.in) > HEAD_MAX) {
            close_connection(c, false);
            return true;
        }
        buf_add(&c->up.in, scratch, (size_t)count);
    }
}

uint64_t due(const struct connection *c)
{
    return (c->request_end ? c->request_end : c->start) + c->latency;
}

/* The request, up to the server. @return false when the connection is gone */
static bool move_request(struct connection *c, uint64_t now)
{
    if (!c->up_done) {
        switch (flow_move(&c->up, now, &c->wake)) {
        case FLOW_DONE:
            c->up_done = true;
            break;
        case FLOW_SOURCE_ENDED:
            abort_connection(c);
            return false;
        case FLOW_TARGET_BROKEN:
            /* The server may have answered before it closed: read that. */
            c->up.discard = true;
            buf_empty(&c->up.out);
            c->server_close = true;
            break;
        case FLOW_BLOCKED:
            break;
        }
        if (c->up.body.done && !c->request_end) {
            c->request_end = now;
        }
    }
    if (c->client.hung_up && c->up.body.done) {
        abort_connection(c);
        return false;
    }
    return true;
}

static void take_answer_head(struct connection *c, size_t size, const struct head *head)
{
    struct buf text = {0};
    struct buf *in = &c->down.in;
    body_of_answer(&c->down.body, head, strcmp(c->method, "HEAD") == 0);
    c->got_head = true;
    c->status = head->status;
    c->server_close = head->close || head->http10 || c->down.body.framing == BODY_UNTIL_CLOSE;
    c->client_close = c->client_close || c->down.body.framing == BODY_UNTIL_CLOSE;
    buf_add(&text, buf_at(in), size);
    buf_take(in, size);
    buf_at(&text)[7] = '1'; /* HTTP/1.0 of the server is not the client's business */
    if (head->close && c->down.body.framing != BODY_UNTIL_CLOSE) {
        head_remove(&text, "Connection");
    }
    if (c->keep_first) {
        /* This one is read and forgotten. */
    } else if (c->collecting) {
        if (c->down.body.framing == BODY_CHUNKED) {
            head_remove(&text, "Transfer-Encoding");
            head_remove(&text, "Trailer");
        }
        buf_empty(&c->answer.head);
        buf_add(&c->answer.head, buf_at(&text), buf_size(&text));
        c->answer.status = head->status;
    } else {
        c->answer_head += buf_size(&text);
        buf_add(&c->down.out, buf_at(&text), buf_size(&text));
    }
    buf_clear(&text);
}

/* @return false when there is no whole head yet, or the connection is gone */
static bool read_answer_head(struct connection *c)
{
    struct head head;
    struct buf *in = &c->down.in;
    for (;;) {
        size_t size = buf_size(in) ? head_find_end(buf_at(in), buf_size(in)) : 0;
        if (size) {
            if (!head_parse_answer(buf_at(in), size, &head)) {
                abort_connection(c);
                return false;
            }
            if (head.status >= 200) {
                take_answer_head(c, size, &head);
                return true;
            }
            if (!c->collecting || !c->request_end) {
                c->answer_head += size;
                buf_add(&c->down.out, buf_at(in), size);
                c->down.body = (struct body){.done = true};
                (void)flow_move(&c->down, 0, &c->wake);
            }
            buf_take(in, size);
            continue;
        }
        ssize_t count = side_read(&c->server, scratch, pace_limit(SCRATCH_SIZE));
        if (count < 0) {
            return false;
        }
        if (count == 0 || buf_size(in) > HEAD_MAX) {
            abort_connection(c); /* the server went away without an answer */
            return false;
        }
        buf_add(in, scratch, (size_t)count);
    }
}

/* The server's connection is kept when it can take another request. */
static void release_server(struct connection *c)
{
    buf_empty(&c->down.in);
    if (c->server_close || !c->up_done) {
        close_side(&c->server);
    }
}

/* The collected answer is whole: change it, or ask once more. */
static void have_answer(struct connection *c, uint64_t now)
{
    release_server(c);
    if (c->rule->fault == FAULT_DUPLICATE && !c->sent_twice) {
        c->sent_twice = true;
        buf_add(&c->up.out, buf_at(&c->copy), buf_size(&c->copy));
        c->up.copy = NULL;
        buf_empty(&c->copy);
        c->keep_first = c->rule->first;
        c->down.collect = c->keep_first ? &c->copy : &c->answer.body;
        if (!c->keep_first) {
            answer_reset(&c->answer);
        }
        c->up_done = false;
        c->got_head = false;
        if (!open_server(c)) {
            abort_connection(c);
        }
        return;
    }
    answer_transform(&c->answer, c->rule, c->method, c->target);
    c->status = c->answer.status;
    c->answer_head = buf_size(&c->answer.head);
    c->phase = ANSWER;
    if (c->rule->fault == FAULT_REORDER) {
        hold_answer(c, now);
    }
}

static bool end_of_relay(struct connection *c, uint64_t now)
{
    if (c->collecting) {
        have_answer(c, now);
        return true;
    }
    release_server(c);
    if (!c->up.body.done) {
        c->phase = DRAIN;
        c->up.discard = true;
        return true;
    }
    end_exchange(c, false);
    c->phase = READ_HEAD;
    if (c->client_close) {
        close_connection(c, false);
    }
    return true;
}

bool relay(struct connection *c, uint64_t now)
{
    if (!move_request(c, now)) {
        return true;
    }
    if (c->up.discard && c->rule && rule_is_canned(c->rule)) {
        c->phase = c->up.body.done ? ANSWER : RELAY;
        return c->up.body.done;
    }
    if (!c->collecting && now < due(c)) {
        c->wake = due(c) < c->wake ? due(c) : c->wake;
        return false;
    }
    if (!c->got_head && !read_answer_head(c)) {
        return c->phase == CLOSED;
    }
    enum progress progress = flow_move(&c->down, now, &c->wake);
    if (progress == FLOW_SOURCE_ENDED && c->down.body.framing == BODY_UNTIL_CLOSE) {
        c->down.body.done = true;
        progress = flow_move(&c->down, now, &c->wake);
    }
    switch (progress) {
    case FLOW_DONE:
        return end_of_relay(c, now);
    case FLOW_SOURCE_ENDED:
    case FLOW_TARGET_BROKEN:
        abort_connection(c);
        return true;
    case FLOW_BLOCKED:
        break;
    }
    return false;
}
