/*
 * shardyfusion/metrics.h - metric events and log records, through two callback tables.
 *
 * Both callbacks are called synchronously, possibly from several threads at once and never while a
 * lock of the library is held. Pointers in the fields are valid during the call only.
 */
#ifndef SHARDYFUSION_METRICS_H
#define SHARDYFUSION_METRICS_H

#include <shardyfusion/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Kind of the value of a field. */
typedef enum shardy_field_kind {
    SHARDY_FIELD_INT = 0,
    SHARDY_FIELD_DOUBLE = 1,
    SHARDY_FIELD_BOOL = 2,
    SHARDY_FIELD_STRING = 3
} shardy_field_kind;

/** One named value of an event or log record. Only the member that `kind` names is set. */
typedef struct shardy_field {
    const char *name;
    shardy_field_kind kind;
    int64_t integer;    /**< SHARDY_FIELD_INT, SHARDY_FIELD_BOOL (0 or 1) */
    double number;      /**< SHARDY_FIELD_DOUBLE */
    const char *string; /**< SHARDY_FIELD_STRING, UTF-8, never NULL for that kind */
} shardy_field;

/**
 * Receiver of metric events. Event names are those of the original implementation:
 * "write.started" (elapsed_ms = 0),
 * "write.shard.started" (elapsed_ms), "write.shard.completed" (elapsed_ms, duration_ms, row_count),
 * "write.shards_completed" (elapsed_ms, duration_ms, rows_written), "write.manifest_published"
 * (elapsed_ms), "write.current_published" (elapsed_ms), "write.completed" (elapsed_ms,
 * rows_written), "reader.initialized", "reader.get" (duration_ms, found), "reader.multi_get"
 * (duration_ms, num_keys), "reader.refreshed" (changed), "reader.closed" (num_handles).
 * Of our own: "store.request", once for every HTTP exchange with an object store, tries included
 * (verb, key, range = "first-last" or "" for all of it, status = HTTP status or 0, error = "" or
 * what went wrong, sent_bytes, received_bytes, started_us, ended_us of a monotonic clock,
 * connect_us, attempt from 1, request_id). Ignore names you do not know: new ones may come.
 */
typedef struct shardy_event_sink {
    void (*emit)(void *arg, const char *event, const shardy_field *fields, size_t count);
    void *arg;
} shardy_event_sink;

/** Severity of a log record; the numbers are those of Python's logging module. */
typedef enum shardy_log_level {
    SHARDY_LOG_DEBUG = 10,
    SHARDY_LOG_INFO = 20,
    SHARDY_LOG_WARNING = 30,
    SHARDY_LOG_ERROR = 40,
    SHARDY_LOG_CRITICAL = 50
} shardy_log_level;

/**
 * Receiver of log records. `logger` is the component ("writer", "reader", "manifest", "shard"),
 * `event` a stable name such as "manifest_published", `fields` the structured values. Records below
 * `level` are not produced.
 */
typedef struct shardy_log_sink {
    void (*record)(void *arg, shardy_log_level level, const char *logger, const char *event,
                   const shardy_field *fields, size_t count);
    void *arg;
    shardy_log_level level;
} shardy_log_sink;

#ifdef __cplusplus
}
#endif

#endif
