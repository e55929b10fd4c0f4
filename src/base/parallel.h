/*
 * parallel.h - run independent pieces of work on a few threads that live for one call, and random
 * identifiers. There are no hidden or lasting threads.
 */
#ifndef SFI_BASE_PARALLEL_H
#define SFI_BASE_PARALLEL_H

#include "base/status.h"

/* One piece of work; `worker` is 0 .. threads-1 and never in use twice at once. */
typedef shardy_status (*sfi_work_fn)(void *arg, size_t index, unsigned worker, shardy_error *err);

/*
 * Call `work` for every index below `count`, on at most `threads` threads (the calling one is among
 * them). Starts no new piece after a failure; returns the failure of the lowest index that failed.
 * When threads cannot be started the calling thread does the work alone.
 */
shardy_status sfi_parallel(unsigned threads, size_t count, sfi_work_fn work, void *arg,
                           shardy_error *err);

/* `requested`, or the number of processors when 0; at most SFI_THREADS_MAX. */
unsigned sfi_thread_count(unsigned requested);

/* 32 lower-case hex digits of a random version-4 UUID, and a NUL. */
#define SFI_UUID_HEX_SIZE 33
shardy_status sfi_uuid_hex(char out[SFI_UUID_HEX_SIZE], shardy_error *err);

#endif
