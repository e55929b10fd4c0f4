/*
 * status.c - status names and error messages. Messages are cut at a UTF-8 character border.
 */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

struct status_row {
    const char *name;
    const char *text;
    bool retryable;
};

static const struct status_row s_rows[] = {
#define STATUS_ROW(name, value, retryable, text) [value] = {#name, text, retryable},
    SHARDY_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
};

static const struct status_row *row_of(shardy_status status)
{
    size_t index = (size_t)status;
    return index < sizeof s_rows / sizeof s_rows[0] ? &s_rows[index] : NULL;
}

const char *shardy_status_name(shardy_status status)
{
    const struct status_row *row = row_of(status);
    return row ? row->name : "?";
}

const char *shardy_status_text(shardy_status status)
{
    const struct status_row *row = row_of(status);
    return row ? row->text : "unknown status";
}

bool shardy_status_retryable(shardy_status status)
{
    const struct status_row *row = row_of(status);
    return row && row->retryable;
}

const char *shardy_version(void)
{
    return SHARDY_VERSION;
}

/* Drop an incomplete UTF-8 sequence at the end of a message that was cut. */
static void trim_partial_character(char *message, size_t size)
{
    size_t end = size;
    while (end > 0 && ((unsigned char)message[end - 1] & 0xC0u) == 0x80u) {
        end--;
    }
    if (end > 0 && ((unsigned char)message[end - 1] & 0x80u)) {
        unsigned char lead = (unsigned char)message[end - 1];
        size_t want = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3 : 2;
        if (size - (end - 1) < want) {
            message[end - 1] = '\0';
        }
    }
}

static void set_message(shardy_error *err, const char *format, va_list args)
{
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    if (n >= (int)sizeof err->message) {
        trim_partial_character(err->message, sizeof err->message - 1);
    }
}

static void append(shardy_error *err, const char *text)
{
    size_t used = strlen(err->message);
    int n = snprintf(err->message + used, sizeof err->message - used, "%s", text);
    if (n >= (int)(sizeof err->message - used)) {
        trim_partial_character(err->message, sizeof err->message - 1);
    }
}

shardy_status sfi_fail(shardy_error *err, shardy_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        err->detail = 0;
        set_message(err, format, args);
        va_end(args);
    }
    return status;
}

shardy_status sfi_fail_errno(shardy_error *err, shardy_status status, int error_number,
                             const char *format, ...)
{
    if (err) {
        char text[128];
        va_list args;
        va_start(args, format);
        err->status = status;
        err->detail = error_number;
        set_message(err, format, args);
        va_end(args);
        append(err, ": ");
        append(err, strerror_r(error_number, text, sizeof text));
    }
    return status;
}

shardy_status sfi_fail_memory(shardy_error *err, size_t bytes)
{
    return sfi_fail(err, SHARDY_NO_MEMORY, "out of memory: could not allocate %zu bytes", bytes);
}

void sfi_error_prefix(shardy_error *err, const char *format, ...)
{
    if (err) {
        char old[sizeof err->message];
        va_list args;
        memcpy(old, err->message, sizeof old);
        va_start(args, format);
        set_message(err, format, args);
        va_end(args);
        append(err, old);
    }
}
