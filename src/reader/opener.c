/*
 * opener.c - a few threads for what asynchronous lookups must not wait for: shards that have to be
 * downloaded before they can be opened. They start with the first job and end with the reader;
 * after fork() the child has none and starts its own.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "reader/access.h"

void sfi_opener_init(struct sfi_opener *opener)
{
    memset(opener, 0, sizeof *opener);
    sfi_mutex_init(&opener->lock);
    pthread_cond_init(&opener->wake, NULL);
}

static void lock_opener(struct sfi_opener *opener)
{
    if (sfi_mutex_lock(&opener->lock)) {
        pthread_cond_init(&opener->wake, NULL); /* threads of the parent waited on the old one */
        opener->first = NULL;
        opener->last = NULL;
        opener->thread_count = 0;
        opener->idle = 0;
    }
}

static struct sfi_job *take_job(struct sfi_opener *opener)
{
    struct sfi_job *job = opener->first;
    if (job) {
        opener->first = job->next;
        opener->last = job->next ? opener->last : NULL;
    }
    return job;
}

static void *work(void *arg)
{
    struct sfi_opener *opener = arg;
    lock_opener(opener);
    for (;;) {
        struct sfi_job *job = take_job(opener);
        if (job) {
            sfi_mutex_unlock(&opener->lock);
            job->run(job);
            lock_opener(opener);
        } else if (opener->stop) {
            break;
        } else {
            opener->idle++;
            sfi_mutex_wait(&opener->lock, &opener->wake);
            opener->idle--;
        }
    }
    sfi_mutex_unlock(&opener->lock);
    return NULL;
}

/* With the lock held. */
static void start_thread(struct sfi_opener *opener)
{
    if (!opener->idle && opener->thread_count < SFI_OPENER_THREADS &&
        pthread_create(&opener->threads[opener->thread_count], NULL, work, opener) == 0) {
        opener->thread_count++;
    }
}

shardy_status sfi_opener_submit(struct sfi_opener *opener, struct sfi_job *job, shardy_error *err)
{
    lock_opener(opener);
    start_thread(opener);
    bool ok = opener->thread_count > 0;
    if (ok) {
        job->next = NULL;
        if (opener->last) {
            opener->last->next = job;
        } else {
            opener->first = job;
        }
        opener->last = job;
        pthread_cond_signal(&opener->wake);
    }
    sfi_mutex_unlock(&opener->lock);
    return ok ? SHARDY_OK
              : sfi_fail(err, SHARDY_NO_MEMORY,
                         "no thread can be started to download shards: raise the limit of "
                         "processes");
}

bool sfi_opener_remove(struct sfi_opener *opener, struct sfi_job *job)
{
    struct sfi_job *previous = NULL;
    lock_opener(opener);
    struct sfi_job *at = opener->first;
    while (at && at != job) {
        previous = at;
        at = at->next;
    }
    if (at) {
        *(previous ? &previous->next : &opener->first) = at->next;
        opener->last = opener->last == at ? previous : opener->last;
    }
    sfi_mutex_unlock(&opener->lock);
    return at != NULL;
}

void sfi_opener_stop(struct sfi_opener *opener)
{
    lock_opener(opener);
    unsigned count = opener->thread_count;
    opener->stop = true;
    opener->thread_count = 0;
    pthread_cond_broadcast(&opener->wake);
    sfi_mutex_unlock(&opener->lock);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(opener->threads[i], NULL);
    }
}

void sfi_opener_destroy(struct sfi_opener *opener)
{
    sfi_opener_stop(opener);
    sfi_mutex_destroy(&opener->lock);
    pthread_cond_destroy(&opener->wake);
}
