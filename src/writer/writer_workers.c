/*
 * writer_workers.c - a few threads that build complete shards while the adding thread goes on. At
 * most one piece of work for each thread is taken: the one that gives work waits, which bounds what
 * is in memory and in upload. The threads end with the build.
 */
#include "base/memory.h"
#include "writer/writer_internal.h"

struct sfi_workers {
    pthread_mutex_t lock;     /* guards everything but `threads` */
    pthread_cond_t given;     /* work, or the end */
    pthread_cond_t completed; /* some work is done */
    pthread_t *threads;
    unsigned started;
    unsigned limit;
    struct sfi_work *waiting; /* given, not yet begun: not more than there are idle threads */
    unsigned busy;            /* pieces of work given and not completed */
    uint64_t memory;          /* what they hold */
    bool ending;
    shardy_status failed; /* of the first piece that failed */
    shardy_error error;
};

shardy_status sfi_workers_new(unsigned threads, struct sfi_workers **out, shardy_error *err)
{
    struct sfi_workers *workers = sfi_calloc(1, sizeof *workers);
    *out = NULL;
    if (!workers) {
        return sfi_fail_memory(err, sizeof *workers);
    }
    workers->threads = sfi_calloc(threads, sizeof *workers->threads);
    if (!workers->threads) {
        sfi_free(workers);
        return sfi_fail_memory(err, threads * sizeof *workers->threads);
    }
    workers->limit = threads;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->given, NULL);
    pthread_cond_init(&workers->completed, NULL);
    *out = workers;
    return SHARDY_OK;
}

/* Locked on entry and exit, but not while the work runs. */
static void run_one(struct sfi_workers *workers, struct sfi_work *work)
{
    uint64_t memory = work->memory;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = workers->failed; /* after a failure nothing new is begun */
    pthread_mutex_unlock(&workers->lock);
    if (st == SHARDY_OK) {
        st = work->run(work, &error);
    }
    work->free(work);
    pthread_mutex_lock(&workers->lock);
    if (workers->failed == SHARDY_OK && st != SHARDY_OK) {
        workers->failed = st;
        workers->error = error;
        workers->error.status = st;
    }
    workers->busy--;
    workers->memory -= memory;
    pthread_cond_signal(&workers->completed);
}

static void *work_until_end(void *arg)
{
    struct sfi_workers *workers = arg;
    pthread_mutex_lock(&workers->lock);
    while (!workers->ending) {
        struct sfi_work *work = workers->waiting;
        if (work) {
            workers->waiting = work->next;
            run_one(workers, work);
        } else {
            pthread_cond_wait(&workers->given, &workers->lock);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* Have a thread for one more piece of work; false when there is none at all. Locked. */
static bool find_thread(struct sfi_workers *workers)
{
    while (workers->busy == workers->started) {
        if (workers->started < workers->limit &&
            pthread_create(&workers->threads[workers->started], NULL, work_until_end, workers) ==
                0) {
            workers->started++;
            break;
        }
        workers->limit = workers->started; /* no more threads to be had */
        if (workers->limit == 0) {
            return false;
        }
        pthread_cond_wait(&workers->completed, &workers->lock);
    }
    return true;
}

static shardy_status outcome(const struct sfi_workers *workers, shardy_error *err)
{
    if (workers->failed != SHARDY_OK && err) {
        *err = workers->error;
    }
    return workers->failed;
}

shardy_status sfi_workers_give(struct sfi_workers *workers, struct sfi_work *work,
                               shardy_error *err)
{
    pthread_mutex_lock(&workers->lock);
    bool found = find_thread(workers);
    workers->busy++;
    workers->memory += work->memory;
    if (found) {
        work->next = workers->waiting;
        workers->waiting = work;
        pthread_cond_signal(&workers->given);
    } else {
        run_one(workers, work);
    }
    shardy_status st = outcome(workers, err);
    pthread_mutex_unlock(&workers->lock);
    return st;
}

shardy_status sfi_workers_wait(struct sfi_workers *workers, uint64_t memory, shardy_error *err)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->memory > memory && workers->failed == SHARDY_OK) {
        pthread_cond_wait(&workers->completed, &workers->lock);
    }
    shardy_status st = outcome(workers, err);
    pthread_mutex_unlock(&workers->lock);
    return st;
}

shardy_status sfi_workers_finish(struct sfi_workers *workers, shardy_error *err)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->busy) {
        pthread_cond_wait(&workers->completed, &workers->lock);
    }
    shardy_status st = outcome(workers, err);
    pthread_mutex_unlock(&workers->lock);
    return st;
}

void sfi_workers_free(struct sfi_workers *workers)
{
    if (!workers) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->given);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    while (workers->waiting) {
        struct sfi_work *work = workers->waiting;
        workers->waiting = work->next;
        work->free(work);
    }
    pthread_cond_destroy(&workers->completed);
    pthread_cond_destroy(&workers->given);
    pthread_mutex_destroy(&workers->lock);
    sfi_free(workers->threads);
    sfi_free(workers);
}
