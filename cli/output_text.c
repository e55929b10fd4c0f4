/*
 * output_text.c - how keys, values, messages and times look as text.
 *
 * Text is printed raw, newlines included, when a program reads it. On a terminal control
 * characters (C0, DEL, C1) and bytes that are not UTF-8 are shown as \xNN: stored data must not be
 * able to move the cursor or retitle the window of the person who looks at it.
 */
#include "output.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "encoding.h"

void out_visible(struct out *out, const void *data, size_t size)
{
    const uint8_t *at = data;
    size_t i = 0;

    if (!out->terminal) {
        out_bytes(out, data, size);
        return;
    }
    while (i < size) {
        uint32_t code;
        bool valid;
        size_t step = utf8_next(at + i, size - i, &code, &valid);

        if (!valid) {
            for (size_t k = 0; k < step; k++) {
                out_format(out, "\\x%02x", at[i + k]);
            }
        } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            out_format(out, "\\x%02" PRIx32, code);
        } else {
            out_bytes(out, at + i, step);
        }
        i += step;
    }
}

void out_format_time(int64_t time_us, char buffer[48])
{
    int64_t fraction = time_us % 1000000;
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm parts;
    size_t used;

    if (fraction < 0) {
        fraction += 1000000;
        seconds--;
    }
    if (gmtime_r(&seconds, &parts) == NULL) {
        (void)snprintf(buffer, 48, "%" PRId64 "us", time_us);
        return;
    }
    used = strftime(buffer, 48, "%Y-%m-%dT%H:%M:%S", &parts);
    if (fraction != 0) {
        (void)snprintf(buffer + used, 48 - used, ".%06d+00:00", (int)fraction);
    } else {
        (void)snprintf(buffer + used, 48 - used, "+00:00");
    }
}

void out_key(struct buffer *buffer, const shardy_key *key)
{
    char number[32];

    switch (key->kind) {
    case SHARDY_KIND_INT:
        (void)snprintf(number, sizeof number, "%" PRId64, (int64_t)key->number);
        buffer_add_text(buffer, number);
        break;
    case SHARDY_KIND_UINT:
        (void)snprintf(number, sizeof number, "%" PRIu64, key->number);
        buffer_add_text(buffer, number);
        break;
    case SHARDY_KIND_STR:
    case SHARDY_KIND_BYTES:
        buffer_add(buffer, key->data, key->size);
        break;
    }
}
