/*
 * parallel.c - a parallel loop over an atomic counter, and UUIDs from the kernel's generator.
 */
#include "base/parallel.h"

#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

struct loop {
    sfi_work_fn work;
    void *arg;
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
    atomic_uint workers;
    pthread_mutex_t lock; /* guards the fields below */
    size_t failed_index;
    shardy_error error;
};

static void record_failure(struct loop *loop, size_t index, const shardy_error *error)
{
    pthread_mutex_lock(&loop->lock);
    if (index < loop->failed_index) {
        loop->failed_index = index;
        loop->error = *error;
    }
    pthread_mutex_unlock(&loop->lock);
    atomic_store(&loop->failed, true);
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    unsigned worker = atomic_fetch_add(&loop->workers, 1);
    while (!atomic_load(&loop->failed)) {
        size_t index = atomic_fetch_add(&loop->next, 1);
        shardy_error error = SHARDY_ERROR_INIT;
        if (index >= loop->count) {
            break;
        }
        shardy_status st = loop->work(loop->arg, index, worker, &error);
        if (st != SHARDY_OK) {
            error.status = st;
            record_failure(loop, index, &error);
        }
    }
    return NULL;
}

shardy_status sfi_parallel(unsigned threads, size_t count, sfi_work_fn work, void *arg,
                           shardy_error *err)
{
    struct loop loop = {.work = work, .arg = arg, .count = count, .failed_index = SIZE_MAX};
    pthread_t *others = NULL;
    unsigned started = 0;
    if (threads > count) {
        threads = (unsigned)count;
    }
    pthread_mutex_init(&loop.lock, NULL);
    if (threads > 1) {
        others = sfi_array_alloc(threads - 1, sizeof *others);
    }
    while (others && started < threads - 1 &&
           pthread_create(&others[started], NULL, run, &loop) == 0) {
        started++;
    }
    run(&loop);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(others[i], NULL);
    }
    sfi_free(others);
    pthread_mutex_destroy(&loop.lock);
    if (loop.failed_index != SIZE_MAX && err) {
        *err = loop.error;
    }
    return loop.failed_index == SIZE_MAX ? SHARDY_OK : loop.error.status;
}

unsigned sfi_thread_count(unsigned requested)
{
    long processors = requested ? (long)requested : sysconf(_SC_NPROCESSORS_ONLN);
    if (processors < 1) {
        processors = 1;
    }
    return processors > (long)SFI_THREADS_MAX ? SFI_THREADS_MAX : (unsigned)processors;
}

shardy_status sfi_uuid_hex(char out[SFI_UUID_HEX_SIZE], shardy_error *err)
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return sfi_fail_errno(err, SHARDY_IO, errno, "cannot read random bytes for an identifier");
    }
    bytes[6] = (unsigned char)((bytes[6] & 0x0Fu) | 0x40u);
    bytes[8] = (unsigned char)((bytes[8] & 0x3Fu) | 0x80u);
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return SHARDY_OK;
}
