/*
 * fork.c - fork() and locks: a gate that forks pass alone and changes pass together, and a count
 * of forks by which locks notice that they were inherited (fork.h).
 */
#include "base/fork.h"

atomic_uint sfi_forks;

static pthread_rwlock_t s_gate = PTHREAD_RWLOCK_INITIALIZER; /* readers first: it may nest */
static pthread_mutex_t s_renewing = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
    pthread_rwlock_wrlock(&s_gate);
}

static void in_parent(void)
{
    pthread_rwlock_unlock(&s_gate);
}

static void in_child(void)
{
    pthread_rwlock_unlock(&s_gate); /* for who watches locks; threads of the parent wait on it */
    s_gate = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
    s_renewing = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    atomic_fetch_add(&sfi_forks, 1);
}

/*
 * When the library is loaded, because the gate must close last: handlers run before a fork in the
 * reverse order of their installation, and one of the program's may wait for a lock whose holder is
 * about to pass the gate. Without memory a child is as it would be without handlers.
 */
__attribute__((constructor)) static void install(void)
{
    (void)!pthread_atfork(before_fork, in_parent, in_child);
}

void sfi_fork_forbid(void)
{
    pthread_rwlock_rdlock(&s_gate);
}

bool sfi_fork_try_forbid(void)
{
    return pthread_rwlock_tryrdlock(&s_gate) == 0;
}

void sfi_fork_allow(void)
{
    pthread_rwlock_unlock(&s_gate);
}

void sfi_fork_await(void)
{
    sfi_fork_forbid();
    sfi_fork_allow();
}

void sfi_fork_renew(atomic_uint *made, void (*renew)(void *arg), void *arg)
{
    pthread_mutex_lock(&s_renewing);
    if (atomic_load(made) != sfi_fork_count()) {
        renew(arg);
        atomic_store(made, sfi_fork_count());
    }
    pthread_mutex_unlock(&s_renewing);
}

void sfi_mutex_init(struct sfi_mutex *mutex)
{
    pthread_mutex_init(&mutex->lock, NULL);
    atomic_init(&mutex->made, sfi_fork_count());
    mutex->inherited = false;
}

static void renew_mutex(void *arg)
{
    struct sfi_mutex *mutex = arg;
    pthread_mutex_init(&mutex->lock, NULL);
    mutex->inherited = true;
}

static void check_process(struct sfi_mutex *mutex)
{
    if (__builtin_expect(
            atomic_load_explicit(&mutex->made, memory_order_acquire) != sfi_fork_count(), 0)) {
        sfi_fork_renew(&mutex->made, renew_mutex, mutex);
    }
}

void sfi_mutex_destroy(struct sfi_mutex *mutex)
{
    check_process(mutex);
    pthread_mutex_destroy(&mutex->lock);
}

/* The lock comes first: threads that wait for it hold no fork up. And nobody waits with it. */
static void pass_gate(struct sfi_mutex *mutex)
{
    while (!sfi_fork_try_forbid()) {
        pthread_mutex_unlock(&mutex->lock);
        sfi_fork_await();
        pthread_mutex_lock(&mutex->lock);
    }
}

bool sfi_mutex_lock(struct sfi_mutex *mutex)
{
    check_process(mutex);
    pthread_mutex_lock(&mutex->lock);
    pass_gate(mutex);
    bool inherited = mutex->inherited;
    mutex->inherited = false;
    return inherited;
}

void sfi_mutex_unlock(struct sfi_mutex *mutex)
{
    sfi_fork_allow();
    pthread_mutex_unlock(&mutex->lock);
}

/* Waiting changes nothing: forks may come. */
void sfi_mutex_wait(struct sfi_mutex *mutex, pthread_cond_t *wake)
{
    sfi_fork_allow();
    pthread_cond_wait(wake, &mutex->lock);
    pass_gate(mutex);
}

void sfi_mutex_lock_plain(struct sfi_mutex *mutex)
{
    check_process(mutex);
    pthread_mutex_lock(&mutex->lock);
}
