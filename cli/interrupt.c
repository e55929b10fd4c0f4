/*
 * interrupt.c - SIGINT, and during a build SIGTERM.
 *
 * Commands that only read are ended on the spot. A build is asked to stop, aborts its uploads and
 * removes what it wrote, and exits as shells report signals (128 + number); as the library's cancel
 * call need not be safe inside a signal handler, a thread waits for the signal and makes the call.
 * A pipe wakes the thread that waits for standard input.
 */
#include "interrupt.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static struct {
    pthread_t thread;
    void (*cancel)(void *arg);
    void *arg;
    int pipe[2];
    bool watching;
    atomic_int seen; /* the signal; 0 = none */
    atomic_bool stop;
} interrupt = {.pipe = {-1, -1}};

static void say_aborted(void)
{
    static const char message[] = "\nAborted!\n";

    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        _exit(1);
    }
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    say_aborted();
    _exit(1);
}

void interrupt_init(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
}

static void watched_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
}

static void *watch(void *unused)
{
    sigset_t set;
    int signal_number;

    (void)unused;
    watched_signals(&set);
    while (sigwait(&set, &signal_number) == 0 && !atomic_load(&interrupt.stop)) {
        if (atomic_exchange(&interrupt.seen, signal_number) != 0) {
            _exit(128 + signal_number);
        }
        say_aborted();
        if (write(interrupt.pipe[1], "", 1) < 0) {
            _exit(128 + signal_number);
        }
        interrupt.cancel(interrupt.arg);
    }
    return NULL;
}

bool interrupt_watch(void (*cancel)(void *arg), void *arg)
{
    sigset_t set;

    interrupt.cancel = cancel;
    interrupt.arg = arg;
    if (pipe2(interrupt.pipe, O_CLOEXEC) != 0) {
        return false;
    }
    watched_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    interrupt.watching = pthread_create(&interrupt.thread, NULL, watch, NULL) == 0;
    if (!interrupt.watching) {
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
    return interrupt.watching;
}

void interrupt_unwatch(void)
{
    sigset_t set;

    if (!interrupt.watching) {
        return;
    }
    interrupt.watching = false;
    atomic_store(&interrupt.stop, true);
    (void)pthread_kill(interrupt.thread, SIGINT);
    (void)pthread_join(interrupt.thread, NULL);
    watched_signals(&set);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int interrupt_fd(void)
{
    return interrupt.watching ? interrupt.pipe[0] : -1;
}

int interrupt_seen(void)
{
    return atomic_load(&interrupt.seen);
}
