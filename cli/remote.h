/*
 * remote.h - what global options say about object stores, and the trace of their requests.
 */
#ifndef SHARDY_CLI_REMOTE_H
#define SHARDY_CLI_REMOTE_H

#include <shardyfusion/reader.h>

#include "cli.h"

/* Options of stores and the event sink of one run. Made from global options, shared by all calls.
 */
struct remote {
    shardy_store_option *options; /* the library copies them */
    size_t option_count;
    char **texts; /* what the options point to */
    shardy_event_sink events;
    struct trace *trace; /* NULL without --trace */
};

/* @return 0, or the exit code of a usage error that was printed */
int remote_init(struct cli *cli, struct remote *remote);

/* NULL without --trace. */
const shardy_event_sink *remote_events(const struct remote *remote);

/* How shards are read: --sqlite-mode and its thresholds. */
void remote_access(const struct cli *cli, shardy_reader_options *options);

/* Print the trace, when there is one. */
void remote_report(struct cli *cli, struct remote *remote);

void remote_clear(struct remote *remote);

#endif
