/*
 * progress.c - the progress bar of a build, on standard error when that is a terminal.
 *
 * While rows are read: share of the input, rows, rows a second, bytes and, when the size of the
 * input is known, the time left. Then: shards built. The writer calls at most ten times a second
 * and never twice at once.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { BAR_WIDTH = 24 };

double progress_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void progress_init(struct progress *progress, struct out *out, const struct input *input)
{
    *progress = (struct progress){.out = out, .input = input, .started_s = progress_now()};
}

static void draw_bar(struct out *out, double share)
{
    int filled = (int)(share * BAR_WIDTH);

    out_text(out, "[");
    for (int i = 0; i < BAR_WIDTH; i++) {
        out_text(out, i < filled ? "#" : ".");
    }
    out_format(out, "] %3.0f%%  ", share * 100);
}

/* A count with three digits or so: 950, 12.3k, 4.56M. */
static void draw_count(struct out *out, double count, double step, const char *const units[5])
{
    int unit = 0;

    while (count >= step * 0.9995 && unit < 4) {
        count /= step;
        unit++;
    }
    out_format(out, "%.*f%s",
               unit == 0 || count >= 100 ? 0
               : count >= 10             ? 1
                                         : 2,
               count, units[unit]);
}

static void draw_reading(struct progress *progress, const shardy_progress *state)
{
    static const char *const counts[5] = {"", "k", "M", "G", "T"};
    static const char *const sizes[5] = {" B", " KiB", " MiB", " GiB", " TiB"};
    double elapsed_s = progress_now() - progress->started_s;
    double read = (double)atomic_load(&progress->input->consumed);
    double total = (double)progress->input->total;
    struct out *out = progress->out;

    if (total > 0) {
        draw_bar(out, read < total ? read / total : 1);
    }
    draw_count(out, (double)state->rows, 1000, counts);
    out_text(out, " rows  ");
    draw_count(out, elapsed_s > 0 ? (double)state->rows / elapsed_s : 0, 1000, counts);
    out_text(out, " rows/s  ");
    draw_count(out, read, 1024, sizes);
    if (total > 0 && read > 0) {
        double left_s = elapsed_s * (total - read) / read;

        out_format(out, "  ETA %.0fs", left_s > 0 ? left_s : 0);
    }
}

void progress_update(void *arg, const shardy_progress *state)
{
    struct progress *progress = arg;
    struct out *out = progress->out;

    if (!out->terminal) {
        return;
    }
    progress->shown = true;
    out_text(out, "\r\x1b[K");
    if (state->phase == SHARDY_PHASE_READ) {
        draw_reading(progress, state);
    } else {
        draw_bar(out, state->num_dbs > 0 ? (double)state->shards_done / state->num_dbs : 0);
        out_format(out, "%" PRIu32 " of %" PRIu32 " shards%s", state->shards_done, state->num_dbs,
                   state->phase == SHARDY_PHASE_BUILD ? "" : ", publishing");
    }
    out_flush(out);
}

void progress_clear(struct progress *progress)
{
    if (progress->shown) {
        out_text(progress->out, "\r\x1b[K");
        out_flush(progress->out);
    }
    progress->shown = false;
}
