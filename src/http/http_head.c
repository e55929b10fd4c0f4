/*
 * http_head.c - the header block of an answer (RFC 9110 section 5, RFC 9112 section 5): fields are
 * stored as they arrive, looked up without regard to case. Folded lines (obs-fold) are joined with
 * one space. The first field of a name counts.
 */
#include "http/http_internal.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Of most answers; saves growing the buffer step by step. */
#define USUAL_SIZE 500u

/* Text from the network that ends up NUL-terminated ends at a NUL of its own. */
static void put_text(struct sfi_buf *head, const char *text, size_t size)
{
    size = strnlen(text, size);
    memcpy(head->data + head->size, text, size);
    head->size += size;
    head->data[head->size++] = 0;
}

/* The buffer starts with a NUL, so that it is never empty and a fold finds something to extend. */
bool sfi_http_head_line(struct sfi_buf *head, const char *line, size_t size)
{
    bool folded = size > 0 && (line[0] == ' ' || line[0] == '\t');
    while (size > 0 && is_blank(line[size - 1])) {
        size--;
    }
    const char *colon = folded ? NULL : memchr(line, ':', size);
    /* A line and at most two NULs more; sfi_buf_reserve keeps one byte besides. */
    if (!sfi_buf_reserve(head, head->size ? size + 2 : USUAL_SIZE + size)) {
        return false;
    }
    if (head->size == 0) {
        head->data[head->size++] = 0;
    }
    const char *value = colon ? colon + 1 : line;
    const char *end = line + size;
    while (value < end && is_blank(*value)) {
        value++;
    }
    if (folded && head->size > 1) {
        head->data[head->size - 1] = ' '; /* over the NUL that ended the value */
        put_text(head, value, (size_t)(end - value));
    } else if (colon) {
        put_text(head, line, (size_t)(colon - line));
        put_text(head, value, (size_t)(end - value));
    } /* else the status line, the empty line, or nothing that has a name */
    return true;
}

const char *sfi_http_answer_header(const struct sfi_http_request *request, const char *name)
{
    const char *at = (const char *)request->answer_head.data;
    if (!at) {
        return NULL;
    }
    const char *end = at + request->answer_head.size;
    at++; /* the NUL of begin() */
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0) {
            return value;
        }
        at = value + strlen(value) + 1;
    }
    return NULL;
}
