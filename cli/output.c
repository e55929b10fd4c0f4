/*
 * output.c - the two output streams.
 *
 * Failures (a closed pipe, a full disk) are remembered in the stream and reported once, at the end
 * of the command, so that printing code stays free of checks.
 */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void out_init(struct out *out, FILE *file)
{
    out->file = file;
    out->terminal = isatty(fileno(file)) == 1;
    out->failure = 0;
}

static void keep_failure(struct out *out)
{
    if (out->failure == 0) {
        out->failure = errno ? errno : EIO;
    }
}

void out_bytes(struct out *out, const void *data, size_t size)
{
    if (size > 0 && out->failure == 0 && fwrite(data, 1, size, out->file) != size) {
        keep_failure(out);
    }
}

void out_text(struct out *out, const char *text)
{
    out_bytes(out, text, strlen(text));
}

void out_format(struct out *out, const char *format, ...)
{
    va_list args;

    if (out->failure != 0) {
        return;
    }
    va_start(args, format);
    if (vfprintf(out->file, format, args) < 0) {
        keep_failure(out);
    }
    va_end(args);
}

void out_flush(struct out *out)
{
    if (out->failure == 0 && fflush(out->file) != 0) {
        keep_failure(out);
    }
}
