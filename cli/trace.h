/*
 * trace.h - the requests that a command makes to object stores.
 */
#ifndef SHARDY_CLI_TRACE_H
#define SHARDY_CLI_TRACE_H

#include <shardyfusion/metrics.h>

#include "output.h"

struct trace;

struct trace *trace_new(void);

/* Receiver of the library's events; safe from several threads. Lives as long as `trace`. */
shardy_event_sink trace_sink(struct trace *trace);

/* One line a request and one of totals. Call it when no event can come any more. */
void trace_print(struct trace *trace, struct out *out);

void trace_free(struct trace *trace); /* NULL: accepted */

#endif
