/*
 * completion.h - one thread waits for one event of another thread: the blocking form of calls that
 * end with a callback.
 */
#ifndef SFI_BASE_COMPLETION_H
#define SFI_BASE_COMPLETION_H

#include <pthread.h>
#include <stdbool.h>

struct sfi_completion {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

#define SFI_COMPLETION_INIT                                        \
    {                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false \
    }

/* It happened. The completion may be gone on return: nothing of it is touched any more. */
static inline void sfi_completion_signal(struct sfi_completion *completion)
{
    pthread_mutex_lock(&completion->lock);
    completion->done = true;
    pthread_cond_signal(&completion->changed);
    pthread_mutex_unlock(&completion->lock);
}

/* Wait for it; ends the completion. What the other thread wrote before is seen after. */
static inline void sfi_completion_wait(struct sfi_completion *completion)
{
    pthread_mutex_lock(&completion->lock);
    while (!completion->done) {
        pthread_cond_wait(&completion->changed, &completion->lock);
    }
    pthread_mutex_unlock(&completion->lock);
    pthread_cond_destroy(&completion->changed);
    pthread_mutex_destroy(&completion->lock);
}

#endif
