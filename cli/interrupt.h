/*
 * interrupt.h - what SIGINT does, and SIGTERM during a build.
 */
#ifndef SHARDY_CLI_INTERRUPT_H
#define SHARDY_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT prints `Aborted!` and ends the process with exit code 1. */
void interrupt_init(void);

/*
 * From here on the first SIGINT or SIGTERM calls `cancel(arg)` from a thread of its own and makes
 * interrupt_fd() readable; a second one ends the process. Call it before other threads start.
 */
bool interrupt_watch(void (*cancel)(void *arg), void *arg);

/* Stop calling `cancel`; the signals end the process again. */
void interrupt_unwatch(void);

/* A descriptor that becomes readable on such a signal; -1 when nothing watches. */
int interrupt_fd(void);

/* The signal that came while it was watched; 0 = none. */
int interrupt_seen(void);

#endif
