/*
 * answers.c - what a faulty exchange answers: errors as S3 writes them (XML with Code, Message,
 * RequestId), and answers of the server with lengths, ranges, headers or bytes changed.
 */
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {301, "Moved Permanently"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {409, "Conflict"},
    {412, "Precondition Failed"},
    {416, "Range Not Satisfiable"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

void answer_reset(struct answer *answer)
{
    buf_empty(&answer->head);
    buf_empty(&answer->body);
    buf_empty(&answer->out);
    answer->limit = 0;
    answer->slow_from = SIZE_MAX;
    answer->rate = 0;
    answer->slow_since = 0;
    answer->sent = 0;
    answer->ending = END_KEEP;
    answer->status = 0;
}

void answer_clear(struct answer *answer)
{
    buf_clear(&answer->head);
    buf_clear(&answer->body);
    buf_clear(&answer->out);
}

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static void error_body(struct buf *body, const struct rule *rule, const char *target)
{
    static unsigned long long number;
    buf_text(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    buf_text(body, rule->code);
    buf_text(body, "</Code><Message>injected by fault_proxy</Message>");
    if (rule->fault == FAULT_REDIRECT) {
        buf_format(body, "<Endpoint>%s</Endpoint>", rule->location);
    }
    buf_text(body, "<Resource>");
    for (const char *p = target; *p && *p != '?'; p++) {
        buf_add(body, *p == '&' || *p == '<' ? "_" : p, 1);
    }
    buf_format(body, "</Resource><RequestId>FAULT%011llX</RequestId><HostId>fault-proxy</HostId>",
               ++number);
    buf_text(body, "</Error>");
}

static void finish(struct answer *answer)
{
    buf_add(&answer->out, buf_at(&answer->head), buf_size(&answer->head));
    buf_add(&answer->out, buf_at(&answer->body), buf_size(&answer->body));
    answer->limit = buf_size(&answer->out);
}

static void set_length(struct answer *answer, uint64_t length)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)length);
    head_set(&answer->head, "Content-Length", text);
}

void answer_canned(struct answer *answer, const struct rule *rule, const char *method,
                   const char *target)
{
    answer_reset(answer);
    if (rule->fault == FAULT_DROP) {
        answer->ending = END_CLOSE;
        return;
    }
    answer->status = rule->status;
    error_body(&answer->body, rule, target);
    buf_format(&answer->head, "HTTP/1.1 %d %s\r\n", rule->status, reason_of(rule->status));
    buf_text(&answer->head,
             "Server: fault_proxy\r\nContent-Type: application/xml\r\n"
             "x-amz-request-id: FAULT00000000000\r\nx-amz-id-2: fault-proxy\r\n\r\n");
    if (rule->retry_after[0]) {
        head_set(&answer->head, "Retry-After", rule->retry_after);
    }
    if (rule->region[0]) {
        head_set(&answer->head, "x-amz-bucket-region", rule->region);
    }
    if (rule->location[0]) {
        head_set(&answer->head, "Location", rule->location);
    }
    if (rule->hang_up) {
        head_set(&answer->head, "Connection", "close");
        answer->ending = END_CLOSE;
    }
    set_length(answer, buf_size(&answer->body));
    if (strcmp(method, "HEAD") == 0) {
        buf_empty(&answer->body);
    }
    finish(answer);
}

static void shift_range(struct answer *answer, uint64_t by)
{
    char text[96], changed[160];
    unsigned long long first = 0, last = 0;
    char total[32];
    if (head_get(&answer->head, "Content-Range", text, sizeof text) &&
        sscanf(text, "bytes %llu-%llu/%31s", &first, &last, total) == 3) {
        snprintf(changed, sizeof changed, "bytes %llu-%llu/%s", first + by, last + by, total);
        head_set(&answer->head, "Content-Range", changed);
    }
}

/* One range as a multipart/byteranges body, as RFC 9110 14.6 has it. */
static void wrap_in_parts(struct answer *answer)
{
    char range[96] = "bytes 0-0/1";
    struct buf parts = {0};
    head_get(&answer->head, "Content-Range", range, sizeof range);
    buf_format(&parts,
               "\r\n--fault\r\nContent-Type: binary/octet-stream\r\nContent-Range: %s\r\n\r\n",
               range);
    buf_add(&parts, buf_at(&answer->body), buf_size(&answer->body));
    buf_text(&parts, "\r\n--fault--\r\n");
    buf_clear(&answer->body);
    answer->body = parts;
    head_remove(&answer->head, "Content-Range");
    head_set(&answer->head, "Content-Type", "multipart/byteranges; boundary=fault");
    set_length(answer, buf_size(&answer->body));
}

static void set_header(struct answer *answer, const char *header)
{
    char name[256];
    const char *colon = strchr(header, ':');
    if (!colon) {
        head_remove(&answer->head, header);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(colon - header), header);
    head_set(&answer->head, name, colon[1] == ' ' ? colon + 2 : colon + 1);
}

/* The last answer that was to be remembered, by target. */
static struct memory {
    char *target;
    struct buf bytes;
    int status;
    struct memory *next;
} * memories;

static void remember(const struct answer *answer, const char *target)
{
    struct memory *memory = memories;
    while (memory && strcmp(memory->target, target) != 0) {
        memory = memory->next;
    }
    if (!memory) {
        memory = must(calloc(1, sizeof *memory));
        memory->target = copy_text(target, strlen(target));
        memory->next = memories;
        memories = memory;
    }
    buf_empty(&memory->bytes);
    buf_add(&memory->bytes, buf_at(&answer->head), buf_size(&answer->head));
    buf_add(&memory->bytes, buf_at(&answer->body), buf_size(&answer->body));
    memory->status = answer->status;
}

bool answer_recall(struct answer *answer, const char *target)
{
    for (const struct memory *memory = memories; memory; memory = memory->next) {
        if (strcmp(memory->target, target) == 0) {
            answer_reset(answer);
            answer->status = memory->status;
            buf_add(&answer->out, buf_at(&memory->bytes), buf_size(&memory->bytes));
            answer->limit = buf_size(&answer->out);
            return true;
        }
    }
    return false;
}

void answers_forget(void)
{
    while (memories) {
        struct memory *next = memories->next;
        free(memories->target);
        buf_clear(&memories->bytes);
        free(memories);
        memories = next;
    }
}

/* Faults that cut or lie about the length: `out` is the whole answer, sent up to the limit. */
static void cut(struct answer *answer, const struct rule *rule)
{
    size_t body = buf_size(&answer->body);
    size_t kept = rule->after < body ? (size_t)rule->after : body;
    if (rule->fault == FAULT_LENGTH_MORE) {
        set_length(answer, body + rule->by);
    } else if (rule->fault == FAULT_LENGTH_LESS) {
        set_length(answer, body > rule->by ? body - rule->by : 0);
    }
    size_t head = buf_size(&answer->head);
    finish(answer);
    switch (rule->fault) {
    case FAULT_RESET:
        answer->limit = head + kept;
        answer->ending = END_RESET;
        break;
    case FAULT_TRUNCATE:
        answer->limit = head + kept;
        answer->ending = END_CLOSE;
        break;
    case FAULT_LENGTH_MORE:
        answer->ending = END_CLOSE;
        break;
    case FAULT_STALL:
        answer->slow_from = head + kept;
        answer->rate = rule->rate;
        break;
    default:
        answer->ending = rule->hang_up ? END_CLOSE : END_KEEP;
    }
}

void answer_transform(struct answer *answer, const struct rule *rule, const char *method,
                      const char *target)
{
    size_t body = buf_size(&answer->body);
    if (rule->apply) {
        answer_canned(answer, rule, method, target);
        return;
    }
    switch (rule->fault) {
    case FAULT_APPLY_DROP:
        answer->ending = END_CLOSE;
        answer->status = 0;
        return;
    case FAULT_LONGER:
        for (uint64_t i = 0; i < rule->by; i++) {
            buf_add(&answer->body, "x", 1);
        }
        set_length(answer, buf_size(&answer->body));
        break;
    case FAULT_WRONG_RANGE:
        shift_range(answer, rule->by);
        break;
    case FAULT_MULTIPART:
        wrap_in_parts(answer);
        break;
    case FAULT_STRIP_ETAG:
        head_remove(&answer->head, "ETag");
        break;
    case FAULT_FLIP:
        if (body > 0) {
            buf_at(&answer->body)[rule->at < body ? rule->at : body / 2] ^= 0x10;
        }
        break;
    case FAULT_HEADER:
        set_header(answer, rule->set);
        break;
    case FAULT_REMEMBER:
        remember(answer, target);
        break;
    default:
        break;
    }
    cut(answer, rule);
}
