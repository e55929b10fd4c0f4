/*
 * observe.h - metric events and log records: the two callback tables, and how we fill them.
 * Never call these with a lock held.
 */
#ifndef SFI_BASE_OBSERVE_H
#define SFI_BASE_OBSERVE_H

#include <shardyfusion/metrics.h>

/* Copies of the caller's tables; all-zero means nobody listens. */
struct sfi_observer {
    shardy_event_sink events;
    shardy_log_sink logs;
};

void sfi_observer_init(struct sfi_observer *observer, const shardy_event_sink *events,
                       const shardy_log_sink *logs);
void sfi_emit(const struct sfi_observer *observer, const char *event, const shardy_field *fields,
              size_t count);
void sfi_log(const struct sfi_observer *observer, shardy_log_level level, const char *logger,
             const char *event, const shardy_field *fields, size_t count);

static inline shardy_field sfi_field_int(const char *name, uint64_t value)
{
    shardy_field field = {name, SHARDY_FIELD_INT, (int64_t)value, 0.0, NULL};
    return field;
}

static inline shardy_field sfi_field_bool(const char *name, bool value)
{
    shardy_field field = {name, SHARDY_FIELD_BOOL, value, 0.0, NULL};
    return field;
}

static inline shardy_field sfi_field_str(const char *name, const char *value)
{
    shardy_field field = {name, SHARDY_FIELD_STRING, 0, 0.0, value ? value : ""};
    return field;
}

/* Array literal of fields with its length, for the two functions above. */
#define SFI_FIELDS(...)                  \
    (const shardy_field[]){__VA_ARGS__}, \
        sizeof((const shardy_field[]){__VA_ARGS__}) / sizeof(shardy_field)

#endif
