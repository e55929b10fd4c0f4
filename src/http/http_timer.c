/*
 * http_timer.c - the timers of a client: a hashed wheel (Varghese and Lauck, 1987) of sorted
 * buckets, linked through the timers themselves, so that scheduling cannot fail.
 *
 * The caller holds the client's lock and calls `fire` after releasing it.
 */
#include "http/http_internal.h"

/* 4 ms a bucket, about a second a turn: back-off times of retries spread over the buckets. */
#define BUCKET_SHIFT 12

static struct sfi_http_timer **bucket_of(struct sfi_http_wheel *wheel, uint64_t due_us)
{
    return &wheel->buckets[(due_us >> BUCKET_SHIFT) % SFI_HTTP_WHEEL_BUCKETS];
}

void sfi_http_wheel_init(struct sfi_http_wheel *wheel)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->cancelled_end = &wheel->cancelled;
}

void sfi_http_wheel_add(struct sfi_http_wheel *wheel, struct sfi_http_timer *timer)
{
    struct sfi_http_timer **at = bucket_of(wheel, timer->due_us);
    while (*at && (*at)->due_us <= timer->due_us) {
        at = &(*at)->next;
    }
    timer->next = *at;
    *at = timer;
    if (wheel->count == 0) {
        wheel->due_us = timer->due_us;
        wheel->due_is_current = true;
    } else if (timer->due_us < wheel->due_us) {
        wheel->due_us = timer->due_us;
    }
    wheel->count++;
}

static void bucket_remove(struct sfi_http_wheel *wheel, struct sfi_http_timer **at)
{
    struct sfi_http_timer *timer = *at;
    *at = timer->next;
    timer->next = NULL;
    wheel->count--;
    wheel->due_is_current = false;
}

void sfi_http_wheel_cancel(struct sfi_http_wheel *wheel, struct sfi_http_timer *timer)
{
    if (timer->due_us == 0 || timer->cancelled) {
        return; /* fired, or about to */
    }
    struct sfi_http_timer **at = bucket_of(wheel, timer->due_us);
    while (*at && *at != timer) {
        at = &(*at)->next;
    }
    if (!*at) {
        return; /* of a parent process */
    }
    bucket_remove(wheel, at);
    timer->cancelled = true;
    *wheel->cancelled_end = timer;
    wheel->cancelled_end = &timer->next;
}

uint64_t sfi_http_wheel_due(struct sfi_http_wheel *wheel)
{
    if (wheel->cancelled) {
        return 0;
    }
    if (wheel->count == 0) {
        return UINT64_MAX;
    }
    if (!wheel->due_is_current) {
        uint64_t due = UINT64_MAX;
        for (size_t i = 0; i < SFI_HTTP_WHEEL_BUCKETS; i++) {
            if (wheel->buckets[i] && wheel->buckets[i]->due_us < due) {
                due = wheel->buckets[i]->due_us;
            }
        }
        wheel->due_us = due;
        wheel->due_is_current = true;
    }
    return wheel->due_us;
}

struct sfi_http_timer *sfi_http_wheel_take(struct sfi_http_wheel *wheel, uint64_t now_us, bool all)
{
    struct sfi_http_timer *timer = wheel->cancelled;
    if (timer) {
        wheel->cancelled = timer->next;
        if (!wheel->cancelled) {
            wheel->cancelled_end = &wheel->cancelled;
        }
    } else {
        uint64_t due = sfi_http_wheel_due(wheel);
        if (wheel->count == 0 || (due > now_us && !all)) {
            return NULL;
        }
        struct sfi_http_timer **at = bucket_of(wheel, due);
        timer = *at;
        bucket_remove(wheel, at);
        timer->cancelled = all;
    }
    timer->next = NULL;
    timer->due_us = 0;
    return timer;
}
