/*
 * async_queue.c - results of asynchronous lookups that wait to be fetched, and the descriptor that
 * tells so. The descriptor is written when the list becomes non-empty and read when it becomes
 * empty, both under the lock, so that it is readable exactly while there are results.
 */
#include "reader/async_queue.h"

#include "base/fork.h"
#include "base/memory.h"
#include "base/status.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct shardy_queue {
    atomic_uint refs; /* the owner, and operations in flight */
    int fd;
    struct sfi_mutex lock; /* guards the fields below */
    struct sfi_queued *first;
    struct sfi_queued *last;
    bool closed;
};

shardy_status shardy_queue_new(shardy_queue **out, shardy_error *err)
{
    shardy_queue *queue = sfi_calloc(1, sizeof *queue);
    *out = NULL;
    if (!queue) {
        return sfi_fail_memory(err, sizeof *queue);
    }
    queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->fd < 0) {
        int error_number = errno;
        sfi_free(queue);
        return sfi_fail_errno(err, SHARDY_IO, error_number, "cannot make a completion queue");
    }
    atomic_init(&queue->refs, 1);
    sfi_mutex_init(&queue->lock);
    *out = queue;
    return SHARDY_OK;
}

shardy_queue *sfi_queue_acquire(shardy_queue *queue)
{
    atomic_fetch_add_explicit(&queue->refs, 1, memory_order_relaxed);
    return queue;
}

void sfi_queue_release(shardy_queue *queue)
{
    if (atomic_fetch_sub_explicit(&queue->refs, 1, memory_order_acq_rel) == 1) {
        (void)close(queue->fd);
        sfi_mutex_destroy(&queue->lock);
        sfi_free(queue);
    }
}

static void drop(struct sfi_queued *entry)
{
    shardy_result_clear(&entry->result);
    sfi_free(entry);
}

void sfi_queue_push(shardy_queue *queue, struct sfi_queued *entry)
{
    const uint64_t one = 1;
    entry->next = NULL;
    (void)sfi_mutex_lock(&queue->lock);
    bool closed = queue->closed;
    if (!closed && queue->last) {
        queue->last->next = entry;
        queue->last = entry;
    } else if (!closed) {
        queue->first = entry;
        queue->last = entry;
        ssize_t written = write(queue->fd, &one, sizeof one); /* the count is 0: cannot block */
        (void)written;
    }
    sfi_mutex_unlock(&queue->lock);
    if (closed) {
        drop(entry);
    }
}

int shardy_queue_fd(const shardy_queue *queue)
{
    return queue->fd;
}

bool shardy_queue_next(shardy_queue *queue, shardy_result *result)
{
    uint64_t count;
    (void)sfi_mutex_lock(&queue->lock);
    struct sfi_queued *entry = queue->first;
    if (entry) {
        queue->first = entry->next;
        if (!queue->first) {
            queue->last = NULL;
            ssize_t got = read(queue->fd, &count, sizeof count);
            (void)got;
        }
    }
    sfi_mutex_unlock(&queue->lock);
    if (!entry) {
        memset(result, 0, sizeof *result);
        return false;
    }
    *result = entry->result;
    sfi_free(entry);
    return true;
}

void shardy_queue_free(shardy_queue *queue)
{
    if (!queue) {
        return;
    }
    (void)sfi_mutex_lock(&queue->lock);
    struct sfi_queued *entry = queue->first;
    queue->first = NULL;
    queue->last = NULL;
    queue->closed = true;
    sfi_mutex_unlock(&queue->lock);
    while (entry) {
        struct sfi_queued *next = entry->next;
        drop(entry);
        entry = next;
    }
    sfi_queue_release(queue);
}
