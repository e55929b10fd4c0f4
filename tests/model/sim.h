/*
 * sim.h - several actors on one simulated store, one request at a time.
 *
 * An actor is a coroutine that runs real library code. Before every request it hands control to the
 * scheduler, which chooses who goes on and what happens to that request: nothing, failure, a lost
 * answer, application at a later step or twice, a conflict, a stale answer, or the end of the
 * actor. All choices come from one seed (or from one path of an exhaustive search), so a history
 * can be run again. The clock is simulated too. Nothing runs in parallel.
 */
#ifndef TESTS_MODEL_SIM_H
#define TESTS_MODEL_SIM_H

#include "store/store_fault.h"

#include <stdio.h>
#include <ucontext.h>

#define SIM_ACTORS_MAX  8u
#define SIM_LATE_MAX    64u
#define SIM_PATH_MAX    256u
#define SIM_POINTER_KEY "_CURRENT"

enum sim_store_kind {
    SIM_LOCAL,         /* conditions are known to be atomic: memory, folders */
    SIM_REMOTE,        /* conditions have to be probed, and are honoured */
    SIM_IGNORING,      /* remote, and conditions are silently ignored (P14) */
    SIM_UNCONDITIONAL, /* says that it has no conditions */
    SIM_STORE_KINDS
};

enum sim_clock { SIM_CLOCK_STEADY, SIM_CLOCK_TIES, SIM_CLOCK_JUMPS, SIM_CLOCKS };

struct sim;

struct sim_actor {
    struct sim *sim;
    unsigned index;
    char name[24];
    void (*body)(struct sim_actor *actor);
    void *arg;
    bool done;
    bool dead;             /* crashed: no request of it reaches the store any more */
    const char *operation; /* the request it is about to make */
    const char *key;
    enum sfi_fault fault; /* what the scheduler decided about it */
    unsigned cancel_at;   /* cancelled before this request of it, counted from 1; 0 = never */
    unsigned requests;
    atomic_bool cancelled;
    unsigned faults;  /* that hit it */
    unsigned lost;    /* answers to changes that it did not get */
    unsigned refused; /* changes answered with 409 */
    unsigned unseen;  /* reads that failed, or saw what was there before */
    unsigned doubled; /* swaps of the pointer that a middlebox sent twice */
    unsigned deletes; /* of shards, that it asked for */
    ucontext_t context;
    const void *fake_stack[2]; /* for AddressSanitizer */
};

/* Where choices come from and what may happen. */
struct sim_plan {
    uint64_t random; /* random mode */
    bool exhaustive; /* choices are read from `path`, then 0; `sizes` are recorded */
    unsigned path[SIM_PATH_MAX];
    unsigned sizes[SIM_PATH_MAX];
    unsigned path_used;
    unsigned path_given;
    unsigned fault_percent;
    unsigned fault_budget;
    bool stale;
    bool pointer_only; /* only requests for the pointer are steps */
    enum sim_store_kind kind;
    enum sim_clock clock;
    FILE *trace; /* NULL = silent */
};

struct sim {
    struct sim_plan *plan;
    struct sfi_store *inner;  /* the truth */
    struct sfi_store *older;  /* what stale reads see */
    struct sfi_store *faulty; /* what actors use */
    struct sim_actor actors[SIM_ACTORS_MAX];
    unsigned actor_count;
    struct sim_actor *running;
    unsigned late_owner[SIM_LATE_MAX];
    ucontext_t scheduler;
    const void *scheduler_stack;
    size_t scheduler_stack_size;
    void *scheduler_fake;
    unsigned steps;
    unsigned faults;
    int64_t now_us;
    uint64_t clock_random;
    /* Called after a step that may have changed the pointer. */
    void (*pointer_written)(struct sim *sim, unsigned actor);
    void *arg;
    char violation[512]; /* the first one; "" = none */
};

/* One store for all histories of this process; its objects are dropped by sim_end(). */
void sim_begin(struct sim *sim, struct sim_plan *plan);
struct sim_actor *sim_add(struct sim *sim, const char *role, void (*body)(struct sim_actor *),
                          void *arg);
void sim_run(struct sim *sim); /* until all actors are done and no request waits */
void sim_end(struct sim *sim);

/* A number below `n`: the next choice of the plan. */
unsigned sim_choose(struct sim_plan *plan, unsigned n);
/* Record a violation, unless there is one. */
void sim_violation(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
