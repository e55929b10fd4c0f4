/*
 * test_fork.c - locks that are inherited by forked children, forks while many threads change
 * something, and handlers of the program around ours. What should not wait for ever ends by an
 * alarm if it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fork.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define FORKS   20

/* ThreadSanitizer ends children of processes with threads, by default. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

static struct sfi_mutex s_mutex;
static struct sfi_mutex s_other;
static pthread_mutex_t s_program = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool s_handlers;
static atomic_bool s_stop;
static atomic_bool s_held;
static unsigned s_low; /* with s_mutex: always the same */
static unsigned s_high;

static void program_before(void)
{
    if (atomic_load(&s_handlers)) {
        pthread_mutex_lock(&s_program);
    }
}

static void program_after(void)
{
    if (atomic_load(&s_handlers)) {
        pthread_mutex_unlock(&s_program);
    }
}

static int fork_and_wait(int (*child)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        _exit(child());
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static void *change(void *arg)
{
    while (!atomic_load(&s_stop)) {
        (void)sfi_mutex_lock(&s_mutex);
        s_low++;
        for (volatile unsigned i = 0; i < 200; i++) {
        }
        s_high++;
        sfi_mutex_unlock(&s_mutex);
    }
    return arg;
}

/* Under the program's own lock, as a caller of the library does who guards it so. */
static void *change_guarded(void *arg)
{
    while (!atomic_load(&s_stop)) {
        pthread_mutex_lock(&s_program);
        for (unsigned i = 0; i < 20; i++) {
            (void)sfi_mutex_lock(&s_mutex);
            s_low++;
            s_high++;
            sfi_mutex_unlock(&s_mutex);
        }
        pthread_mutex_unlock(&s_program);
    }
    return arg;
}

static int check_whole(void)
{
    (void)sfi_mutex_lock(&s_mutex);
    int wrong = s_low != s_high;
    sfi_mutex_unlock(&s_mutex);
    return wrong;
}

static void fork_among(unsigned count, void *(*run)(void *arg))
{
    pthread_t threads[THREADS];
    alarm(120);
    atomic_store(&s_stop, false);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
    }
    for (unsigned i = 0; i < FORKS; i++) {
        usleep(i * 100); /* somewhere else each time; nothing depends on where */
        assert_int_equal(fork_and_wait(check_whole), 0);
    }
    atomic_store(&s_stop, true);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    alarm(0);
}

/* The lock is never free, and nothing is seen half changed. */
static void test_contended(void **state)
{
    (void)state;
    fork_among(THREADS, change);
}

static void test_handlers_of_the_program(void **state)
{
    (void)state;
    atomic_store(&s_handlers, true);
    fork_among(2, change_guarded);
    atomic_store(&s_handlers, false);
}

static void *hold_both(void *arg)
{
    sfi_mutex_lock_plain(&s_mutex);
    (void)sfi_mutex_lock(&s_other);
    sfi_mutex_unlock(&s_other);
    atomic_store(&s_held, true);
    while (!atomic_load(&s_stop)) {
        usleep(1000);
    }
    sfi_mutex_unlock_plain(&s_mutex);
    return arg;
}

static int use_again(void)
{
    int wrong = !sfi_mutex_lock(&s_mutex);
    sfi_mutex_unlock(&s_mutex);
    wrong += sfi_mutex_lock(&s_mutex);
    sfi_mutex_unlock(&s_mutex);
    sfi_mutex_lock_plain(&s_other); /* does not take the news away */
    sfi_mutex_unlock_plain(&s_other);
    wrong += !sfi_mutex_lock(&s_other);
    sfi_mutex_unlock(&s_other);
    return wrong;
}

static int use_twice(void)
{
    return use_again() + (fork_and_wait(use_again) != 0);
}

/* A lock that another thread held is free in the child, which is told once; so is its child. */
static void test_inherited(void **state)
{
    pthread_t thread;
    (void)state;
    atomic_store(&s_stop, false);
    atomic_store(&s_held, false);
    assert_int_equal(pthread_create(&thread, NULL, hold_both, NULL), 0);
    while (!atomic_load(&s_held)) {
        usleep(1000);
    }
    assert_int_equal(fork_and_wait(use_twice), 0);
    atomic_store(&s_stop, true);
    pthread_join(thread, NULL);
    assert_false(sfi_mutex_lock(&s_mutex));
    sfi_mutex_unlock(&s_mutex);
}

static pthread_cond_t s_wake = PTHREAD_COND_INITIALIZER;

static void *wake_up(void *arg)
{
    assert_int_equal(fork_and_wait(check_whole), 0); /* not held up by who waits */
    (void)sfi_mutex_lock(&s_mutex);
    atomic_store(&s_stop, true);
    pthread_cond_signal(&s_wake);
    sfi_mutex_unlock(&s_mutex);
    return arg;
}

static void test_waiting(void **state)
{
    pthread_t thread;
    (void)state;
    alarm(120);
    atomic_store(&s_stop, false);
    (void)sfi_mutex_lock(&s_mutex);
    assert_int_equal(pthread_create(&thread, NULL, wake_up, NULL), 0);
    while (!atomic_load(&s_stop)) {
        sfi_mutex_wait(&s_mutex, &s_wake);
    }
    sfi_mutex_unlock(&s_mutex);
    pthread_join(thread, NULL);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contended),
        cmocka_unit_test(test_handlers_of_the_program),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_waiting),
    };
    if (pthread_atfork(program_before, program_after, program_after) != 0) {
        return 1;
    }
    sfi_mutex_init(&s_mutex);
    sfi_mutex_init(&s_other);
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
