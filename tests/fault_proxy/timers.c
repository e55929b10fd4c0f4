/*
 * timers.c - a binary heap of due times, so that thousands of delayed answers cost no thread.
 */
#include "proxy.h"

#include <stdlib.h>

static struct timer **heap; /* from 1 */
static size_t heap_count, heap_size;

static void put(size_t place, struct timer *timer)
{
    heap[place] = timer;
    timer->place = place;
}

static void sift(size_t place)
{
    struct timer *timer = heap[place];
    while (place > 1 && heap[place / 2]->due_ns > timer->due_ns) {
        put(place, heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        size_t child = place * 2;
        if (child > heap_count) {
            break;
        }
        if (child < heap_count && heap[child + 1]->due_ns < heap[child]->due_ns) {
            child++;
        }
        if (heap[child]->due_ns >= timer->due_ns) {
            break;
        }
        put(place, heap[child]);
        place = child;
    }
    put(place, timer);
}

void timer_set(struct timer *timer, uint64_t due_ns)
{
    if (timer->place && due_ns == timer->due_ns) {
        return;
    }
    timer->due_ns = due_ns;
    if (due_ns == UINT64_MAX) {
        if (timer->place) {
            size_t place = timer->place;
            struct timer *last = heap[heap_count--];
            timer->place = 0;
            if (last != timer) {
                put(place, last);
                sift(place);
            }
        }
        return;
    }
    if (!timer->place) {
        if (heap_count + 2 > heap_size) {
            heap_size = heap_size ? heap_size * 2 : 256;
            heap = must(realloc(heap, heap_size * sizeof(struct timer *)));
        }
        put(++heap_count, timer);
    }
    sift(timer->place);
}

uint64_t timers_next(void)
{
    return heap_count ? heap[1]->due_ns : UINT64_MAX;
}

struct timer *timers_due(uint64_t now)
{
    if (heap_count == 0 || heap[1]->due_ns > now) {
        return NULL;
    }
    struct timer *timer = heap[1];
    timer_set(timer, UINT64_MAX);
    return timer;
}
