/*
 * fork.h - locks that survive fork(). A child has one thread: a lock that another thread of the
 * parent held stays locked for ever, and what it guarded may be half changed.
 *
 * The second is prevented: who changes something under such a lock holds forks off meanwhile
 * (sfi_mutex_lock does). The first is mended: a lock remembers the process it was made in, and is
 * made anew at its first use in a child; who locks it then resets what no thread will end, such as
 * requests under way.
 */
#ifndef SFI_BASE_FORK_H
#define SFI_BASE_FORK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Changes in every forked child; 0 at first. */
extern atomic_uint sfi_forks;

static inline unsigned sfi_fork_count(void)
{
    return atomic_load_explicit(&sfi_forks, memory_order_relaxed);
}

/* No fork() until sfi_fork_allow: what lies between is short and calls nobody back. They nest. */
void sfi_fork_forbid(void);
void sfi_fork_allow(void);
/* The same without waiting; false: a fork is under way. */
bool sfi_fork_try_forbid(void);
/* Until no fork is under way. */
void sfi_fork_await(void);
/* *made is not this process's: run `renew` once, whoever comes first, and set it. */
void sfi_fork_renew(atomic_uint *made, void (*renew)(void *arg), void *arg);

struct sfi_mutex {
    pthread_mutex_t lock;
    atomic_uint made; /* sfi_fork_count() of the process it was made in */
    bool inherited;   /* it was made anew since anybody looked */
};

void sfi_mutex_init(struct sfi_mutex *mutex);
void sfi_mutex_destroy(struct sfi_mutex *mutex);
/* true: for the first time in a child. Forks wait until it is unlocked. */
bool sfi_mutex_lock(struct sfi_mutex *mutex);
void sfi_mutex_unlock(struct sfi_mutex *mutex);
/* May return without a signal: look again at what is waited for. */
void sfi_mutex_wait(struct sfi_mutex *mutex, pthread_cond_t *wake);

/* The lock alone, for few words that are never half changed, or across I/O. */
void sfi_mutex_lock_plain(struct sfi_mutex *mutex);
static inline void sfi_mutex_unlock_plain(struct sfi_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->lock);
}

#endif
