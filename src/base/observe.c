/*
 * observe.c - deliver metric events and log records to the caller's callbacks.
 */
#include "base/observe.h"

#include <string.h>

void sfi_observer_init(struct sfi_observer *observer, const shardy_event_sink *events,
                       const shardy_log_sink *logs)
{
    memset(observer, 0, sizeof *observer);
    if (events) {
        observer->events = *events;
    }
    if (logs) {
        observer->logs = *logs;
    }
}

void sfi_emit(const struct sfi_observer *observer, const char *event, const shardy_field *fields,
              size_t count)
{
    if (observer->events.emit) {
        observer->events.emit(observer->events.arg, event, fields, count);
    }
}

void sfi_log(const struct sfi_observer *observer, shardy_log_level level, const char *logger,
             const char *event, const shardy_field *fields, size_t count)
{
    if (observer->logs.record && level >= observer->logs.level) {
        observer->logs.record(observer->logs.arg, level, logger, event, fields, count);
    }
}
