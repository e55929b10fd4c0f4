/*
 * progress.h - the progress bar of a build.
 */
#ifndef SHARDY_CLI_PROGRESS_H
#define SHARDY_CLI_PROGRESS_H

#include "input.h"
#include "output.h"

struct progress {
    struct out *out;
    const struct input *input;
    double started_s;
    bool shown;
};

/* Seconds of a clock that only goes forward. */
double progress_now(void);

void progress_init(struct progress *progress, struct out *out, const struct input *input);

/* For shardy_writer_options: `arg` is a struct progress. Draws nothing unless on a terminal. */
void progress_update(void *arg, const shardy_progress *state);

/* Remove the bar. */
void progress_clear(struct progress *progress);

#endif
