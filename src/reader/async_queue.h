/*
 * async_queue.h - where results of asynchronous lookups wait. The place of a result is allocated
 * when its operation is submitted, so that completing cannot fail.
 */
#ifndef SFI_READER_ASYNC_QUEUE_H
#define SFI_READER_ASYNC_QUEUE_H

#include <shardyfusion/async.h>

/* A result that waits, or will. */
struct sfi_queued {
    struct sfi_queued *next;
    shardy_result result;
};

shardy_queue *sfi_queue_acquire(shardy_queue *queue);
void sfi_queue_release(shardy_queue *queue);
/* Takes the entry over. */
void sfi_queue_push(shardy_queue *queue, struct sfi_queued *entry);

#endif
