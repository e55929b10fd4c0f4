/*
 * build_job.h - from input files to a writer, on several threads.
 */
#ifndef SHARDY_CLI_BUILD_JOB_H
#define SHARDY_CLI_BUILD_JOB_H

#include "input.h"

/*
 * Read all of `input` and add its rows to `writer` in input order.
 *
 * @param threads  threads that parse, the calling one included
 * @return false with `message` set; an empty message when the build was interrupted
 */
bool build_job_run(struct input *input, const struct row_rules *rules, shardy_writer *writer,
                   unsigned threads, char *message, size_t message_size);

#endif
