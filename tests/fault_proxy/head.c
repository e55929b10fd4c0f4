/*
 * head.c - heads and bodies of HTTP/1.1 messages: find, parse and edit a head, tell where a body
 * ends (RFC 9112, sections 6 and 7). Lenient: what it does not know it passes on.
 */
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t head_find_end(const char *text, size_t size)
{
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - text) + 4 : 0;
}

/* A header line: its name, then its value without the blanks around it. */
struct line {
    const char *start, *name, *value;
    size_t name_size, value_size;
    size_t size; /* with CR LF */
};

/* The line at `at`; false at the empty line. */
static bool next_line(const char *text, size_t size, size_t at, struct line *line)
{
    const char *p = text + at;
    const char *end = memmem(p, size - at, "\r\n", 2);
    if (!end || end == p) {
        return false;
    }
    const char *colon = memchr(p, ':', (size_t)(end - p));
    line->start = p;
    line->size = (size_t)(end - p) + 2;
    line->name = p;
    line->name_size = (size_t)((colon ? colon : end) - p);
    line->value = colon ? colon + 1 : end;
    while (line->value < end && *line->value == ' ') {
        line->value++;
    }
    while (end > line->value && end[-1] == ' ') {
        end--;
    }
    line->value_size = (size_t)(end - line->value);
    return true;
}

static bool named(const struct line *line, const char *name)
{
    return strlen(name) == line->name_size && strncasecmp(line->name, name, line->name_size) == 0;
}

static bool says(const struct line *line, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= line->value_size; i++) {
        if (strncasecmp(line->value + i, word, size) == 0) {
            return true;
        }
    }
    return false;
}

static void copy_value(const struct line *line, char *out, size_t out_size)
{
    snprintf(out, out_size, "%.*s", (int)line->value_size, line->value);
}

static bool parse_lines(const char *text, size_t size, struct head *head)
{
    struct line line;
    const char *first = memmem(text, size, "\r\n", 2);
    if (!first) {
        return false;
    }
    for (size_t at = (size_t)(first - text) + 2; next_line(text, size, at, &line);
         at += line.size) {
        if (named(&line, "content-length")) {
            head->has_length = true;
            head->length = strtoull(line.value, NULL, 10);
        } else if (named(&line, "transfer-encoding")) {
            head->chunked = says(&line, "chunked");
        } else if (named(&line, "connection")) {
            head->close = says(&line, "close");
        } else if (named(&line, "expect")) {
            head->expect_continue = says(&line, "100-continue");
        } else if (named(&line, "range")) {
            copy_value(&line, head->range, sizeof head->range);
        }
    }
    return true;
}

bool head_parse_request(const char *text, size_t size, struct head *head)
{
    *head = (struct head){.size = size};
    const char *end = memchr(text, '\r', size);
    const char *space = memchr(text, ' ', size);
    if (!end || !space || space > end || (size_t)(space - text) >= sizeof head->method) {
        return false;
    }
    memcpy(head->method, text, (size_t)(space - text));
    const char *target = space + 1;
    const char *after = memchr(target, ' ', (size_t)(end - target));
    if (!after) {
        return false;
    }
    head->target = target;
    head->target_size = (size_t)(after - target);
    head->http10 = end - after >= 9 && memcmp(after + 1, "HTTP/1.0", 8) == 0;
    return parse_lines(text, size, head);
}

bool head_parse_answer(const char *text, size_t size, struct head *head)
{
    *head = (struct head){.size = size};
    if (size < 13 || memcmp(text, "HTTP/1.", 7) != 0) {
        return false;
    }
    head->http10 = text[7] == '0';
    head->status = (int)strtol(text + 9, NULL, 10);
    return head->status >= 100 && head->status < 600 && parse_lines(text, size, head);
}

/* The first line with that name; false = none. */
static bool find_line(const struct buf *text, const char *name, struct line *line)
{
    const char *first = memmem(buf_at(text), buf_size(text), "\r\n", 2);
    if (!first) {
        return false;
    }
    for (size_t at = (size_t)(first - buf_at(text)) + 2;
         next_line(buf_at(text), buf_size(text), at, line); at += line->size) {
        if (named(line, name)) {
            return true;
        }
    }
    return false;
}

bool head_get(const struct buf *text, const char *name, char *out, size_t out_size)
{
    struct line line;
    if (!find_line(text, name, &line)) {
        return false;
    }
    copy_value(&line, out, out_size);
    return true;
}

void head_remove(struct buf *text, const char *name)
{
    struct line line;
    while (find_line(text, name, &line)) {
        char *start = buf_at(text) + (line.start - buf_at(text));
        size_t after = buf_size(text) - (size_t)(line.start - buf_at(text)) - line.size;
        memmove(start, start + line.size, after);
        text->end -= line.size;
    }
}

void head_set(struct buf *text, const char *name, const char *value)
{
    head_remove(text, name);
    text->end -= 2; /* the empty line */
    buf_format(text, "%s: %s\r\n\r\n", name, value);
}

void body_of_request(struct body *body, const struct head *head)
{
    *body = (struct body){.framing = BODY_NONE};
    if (head->chunked) {
        body->framing = BODY_CHUNKED;
    } else if (head->has_length && head->length > 0) {
        body->framing = BODY_LENGTH;
        body->left = head->length;
    }
    body->done = body->framing == BODY_NONE;
}

void body_of_answer(struct body *body, const struct head *head, bool to_head_request)
{
    *body = (struct body){.framing = BODY_NONE};
    if (to_head_request || head->status < 200 || head->status == 204 || head->status == 304) {
        body->framing = BODY_NONE;
    } else if (head->chunked) {
        body->framing = BODY_CHUNKED;
    } else if (!head->has_length) {
        body->framing = BODY_UNTIL_CLOSE;
    } else if (head->length > 0) {
        body->framing = BODY_LENGTH;
        body->left = head->length;
    }
    body->done = body->framing == BODY_NONE;
}

enum { CHUNK_SIZE, CHUNK_SIZE_LINE, CHUNK_DATA, CHUNK_DATA_END, TRAILER, TRAILER_LINE };

/* One byte outside chunk data. */
static void chunk_byte(struct body *body, char byte)
{
    int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                             : -1;
    switch (body->state) {
    case CHUNK_SIZE:
        if (digit >= 0) {
            body->left = body->left * 16 + (uint64_t)digit;
            break;
        }
        body->state = CHUNK_SIZE_LINE;
        /* fall through */
    case CHUNK_SIZE_LINE:
        if (byte == '\n') {
            body->state = body->left > 0 ? CHUNK_DATA : TRAILER;
        }
        break;
    case CHUNK_DATA_END:
        body->state = byte == '\n' ? CHUNK_SIZE : CHUNK_DATA_END;
        break;
    case TRAILER:
        body->done = byte == '\n';
        body->state = byte == '\r' ? TRAILER : TRAILER_LINE;
        break;
    default: /* TRAILER_LINE */
        body->state = byte == '\n' ? TRAILER : TRAILER_LINE;
    }
}

static size_t take_chunks(struct body *body, const char *data, size_t size, struct buf *decoded)
{
    size_t at = 0;
    while (at < size && !body->done) {
        if (body->state != CHUNK_DATA) {
            chunk_byte(body, data[at++]);
            continue;
        }
        size_t count = size - at < body->left ? size - at : (size_t)body->left;
        if (decoded) {
            buf_add(decoded, data + at, count);
        }
        at += count;
        body->left -= count;
        if (body->left == 0) {
            body->state = CHUNK_DATA_END;
        }
    }
    return at;
}

size_t body_take(struct body *body, const char *data, size_t size, struct buf *decoded)
{
    if (body->done) {
        return 0;
    }
    if (body->framing == BODY_CHUNKED) {
        return take_chunks(body, data, size, decoded);
    }
    if (body->framing == BODY_LENGTH && size > body->left) {
        size = (size_t)body->left;
    }
    if (decoded) {
        buf_add(decoded, data, size);
    }
    if (body->framing == BODY_LENGTH) {
        body->left -= size;
        body->done = body->left == 0;
    }
    return size;
}
