/*
 * sim.c - coroutines, scheduler, faults and clock of the protocol simulation (sim.h).
 *
 * A crash is an actor none of whose further requests reaches the store: its code runs to its end
 * without effect, so nothing leaks and no stack has to be unwound by force.
 */
#include "sim.h"

#include "base/memory.h"
#include "base/timestamp.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((size_t)4 << 20)
#else
#define STACK_SIZE ((size_t)512 << 10)
#endif

#define START_US INT64_C(1773484200000000)

static struct sim *s_sim; /* the one that runs: coroutines and the clock have no argument for it */
static uint8_t *s_stacks;

int64_t __wrap_sfi_now_us(void);
int64_t __real_sfi_now_us(void);
shardy_status __wrap_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err);
shardy_status __real_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err);

/* --- choices -----------------------------------------------------------------------------------
 */

static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

unsigned sim_choose(struct sim_plan *plan, unsigned n)
{
    if (!plan->exhaustive) {
        return (unsigned)((draw(&plan->random) >> 33) % n);
    }
    unsigned at = plan->path_used;
    if (n < 2 || at == SIM_PATH_MAX) {
        return 0;
    }
    if (at >= plan->path_given) {
        plan->path[at] = 0;
        plan->path_given = at + 1;
    }
    plan->sizes[at] = n;
    plan->path_used++;
    return plan->path[at] < n ? plan->path[at] : 0;
}

void sim_violation(struct sim *sim, const char *format, ...)
{
    if (!sim->violation[0]) {
        va_list args;
        va_start(args, format);
        vsnprintf(sim->violation, sizeof sim->violation, format, args);
        va_end(args);
    }
    sim_trace(sim, "VIOLATION");
}

void sim_trace(const struct sim *sim, const char *format, ...)
{
    if (sim->plan->trace) {
        va_list args;
        va_start(args, format);
        fprintf(sim->plan->trace, "%4u  ", sim->steps);
        vfprintf(sim->plan->trace, format, args);
        fputc('\n', sim->plan->trace);
        va_end(args);
    }
}

/* --- wrapped calls of the library --------------------------------------------------------------
 */

int64_t __wrap_sfi_now_us(void)
{
    if (!s_sim) {
        return __real_sfi_now_us();
    }
    uint64_t r = draw(&s_sim->clock_random) >> 20;
    switch (s_sim->plan->clock) {
    case SIM_CLOCK_TIES:
        s_sim->now_us += r % 8 == 0;
        break;
    case SIM_CLOCK_JUMPS:
        s_sim->now_us += r % 4 == 0 ? -(int64_t)(r / 4 % 4) : (int64_t)(r / 4 % 4);
        break;
    default:
        s_sim->now_us += 1 + (int64_t)(r % 1000);
    }
    return s_sim->now_us;
}

/* Writers and readers that open a URL get the simulated store. */
shardy_status __wrap_sfi_store_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err)
{
    if (s_sim && s_sim->running) {
        *store = sfi_store_acquire(s_sim->faulty);
        return SHARDY_OK;
    }
    return __real_sfi_store_open(url, options, store, err);
}

/* --- coroutines --------------------------------------------------------------------------------
 */

static uint8_t *stack_of(const struct sim_actor *actor)
{
    return s_stacks + actor->index * STACK_SIZE;
}

static void resume(struct sim *sim, struct sim_actor *actor)
{
    sim->running = actor;
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(&sim->scheduler_fake, stack_of(actor), STACK_SIZE);
#endif
    swapcontext(&sim->scheduler, &actor->context);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(sim->scheduler_fake, NULL, NULL);
#endif
    sim->running = NULL;
}

static void hand_over(struct sim *sim, struct sim_actor *actor, bool last)
{
#ifdef SIM_ASAN
    void *fake = NULL;
    __sanitizer_start_switch_fiber(last ? NULL : &fake, sim->scheduler_stack,
                                   sim->scheduler_stack_size);
#else
    (void)last;
#endif
    swapcontext(&actor->context, &sim->scheduler);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(fake, &sim->scheduler_stack, &sim->scheduler_stack_size);
#endif
}

static void actor_main(void)
{
    struct sim *sim = s_sim;
    struct sim_actor *actor = sim->running;
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(NULL, &sim->scheduler_stack, &sim->scheduler_stack_size);
#endif
    actor->body(actor);
    actor->done = true;
    actor->operation = NULL;
    hand_over(sim, actor, true);
}

/* Decision of the fault-injecting store: wait for the scheduler's. */
static enum sfi_fault decide(void *arg, const char *operation, const char *key)
{
    struct sim *sim = arg;
    struct sim_actor *actor = sim->running;
    if (!actor || !strcmp(operation, "upload.open") || !strcmp(operation, "upload.append")) {
        return SFI_FAULT_NONE;
    }
    if (actor->dead) {
        return SFI_FAULT_FAIL;
    }
    if (sim->plan->pointer_only && strcmp(key, SIM_POINTER_KEY) != 0) {
        return SFI_FAULT_NONE;
    }
    actor->deletes += !strcmp(operation, "delete") && !strncmp(key, "shards/", 7);
    actor->operation = operation;
    actor->key = key;
    hand_over(sim, actor, false);
    return actor->fault;
}

/* --- scheduler ---------------------------------------------------------------------------------
 */

struct outcome {
    const char *name;
    enum sfi_fault fault;
    bool crash;
};

/* What may happen to a change, and to a question. */
static const struct outcome s_changes[] = {
    {"ok", SFI_FAULT_NONE, false},
    {"fails", SFI_FAULT_FAIL, false},
    {"answer lost, not applied", SFI_FAULT_LOSE, false},
    {"applied, answer lost", SFI_FAULT_APPLY_THEN_LOSE, false},
    {"answer lost, applied later", SFI_FAULT_LATE, false},
    {"crash before it", SFI_FAULT_FAIL, true},
    {"crash after it", SFI_FAULT_APPLY_THEN_LOSE, true},
    {"crash, applied later", SFI_FAULT_LATE, true},
    {"sent twice", SFI_FAULT_TWICE, false},
    {"refused (409)", SFI_FAULT_REFUSE, false},
};
static const struct outcome s_questions[] = {
    {"ok", SFI_FAULT_NONE, false},
    {"fails", SFI_FAULT_FAIL, false},
    {"crash before it", SFI_FAULT_FAIL, true},
    {"stale answer", SFI_FAULT_STALE, false},
};

static bool is_change(const char *operation)
{
    return !strcmp(operation, "put") || !strcmp(operation, "delete") ||
           !strcmp(operation, "upload.commit");
}

static const struct outcome *pick_outcome(struct sim *sim, const struct sim_actor *actor)
{
    struct sim_plan *plan = sim->plan;
    bool change = is_change(actor->operation);
    const struct outcome *all = change ? s_changes : s_questions;
    bool compares = plan->kind == SIM_LOCAL || plan->kind == SIM_REMOTE; /* else there is no 409 */
    unsigned count = change ? 8 : 3;
    if (!strcmp(actor->operation, "put")) {
        count += compares ? 2 : 1;
    } else if (!change) {
        count += plan->stale;
    }
    if (sim->faults >= plan->fault_budget) {
        return &all[0];
    }
    if (plan->exhaustive) {
        return &all[sim_choose(plan, count)];
    }
    return sim_choose(plan, 100) < plan->fault_percent ? &all[1 + sim_choose(plan, count - 1)]
                                                       : &all[0];
}

static bool puts_pointer(const char *operation, const char *key)
{
    return !strcmp(operation, "put") && !strcmp(key, SIM_POINTER_KEY);
}

static void step_actor(struct sim *sim, struct sim_actor *actor)
{
    const struct outcome *outcome = pick_outcome(sim, actor);
    bool change = is_change(actor->operation);
    bool pointer = puts_pointer(actor->operation, actor->key);
    bool lost = outcome->fault == SFI_FAULT_LOSE || outcome->fault == SFI_FAULT_APPLY_THEN_LOSE ||
                outcome->fault == SFI_FAULT_LATE;
    sim_trace(sim, "%s: %s %s: %s", actor->name, actor->operation, actor->key, outcome->name);
    if (outcome != &s_changes[0] && outcome != &s_questions[0]) {
        sim->faults++;
        actor->faults++;
    }
    if (outcome->fault == SFI_FAULT_LATE && strcmp(actor->operation, "upload.commit") != 0) {
        sim->late_owner[sfi_store_fault_late_count(sim->faulty)] = actor->index;
    }
    if (++actor->requests == actor->cancel_at) {
        sim_trace(sim, "    %s is cancelled", actor->name);
        atomic_store(&actor->cancelled, true);
        sim->faults++;
    }
    actor->lost += change && lost;
    actor->refused += outcome->fault == SFI_FAULT_REFUSE;
    actor->unseen += !strcmp(actor->operation, "get") && outcome->fault != SFI_FAULT_NONE;
    actor->doubled += pointer && outcome->fault == SFI_FAULT_TWICE;
    actor->dead = outcome->crash;
    actor->fault = outcome->fault;
    if ((actor->fault == SFI_FAULT_NONE || actor->fault == SFI_FAULT_TWICE) &&
        sim->plan->kind == SIM_IGNORING) {
        actor->fault = SFI_FAULT_IGNORE;
    }
    resume(sim, actor);
    if (pointer) {
        sim->pointer_written(sim, actor->index);
    }
}

static void step_late(struct sim *sim, unsigned at)
{
    unsigned owner = sim->late_owner[at];
    char *key = sfi_store_fault_apply_late(sim->faulty, at);
    memmove(&sim->late_owner[at], &sim->late_owner[at + 1],
            (SIM_LATE_MAX - 1 - at) * sizeof sim->late_owner[0]);
    sim_trace(sim, "late request of %s arrives: %s", sim->actors[owner].name, key);
    if (key && !strcmp(key, SIM_POINTER_KEY)) {
        sim->pointer_written(sim, owner);
    }
    sfi_free(key);
}

static bool step(struct sim *sim)
{
    unsigned ready[SIM_ACTORS_MAX];
    unsigned count = 0;
    unsigned late = (unsigned)sfi_store_fault_late_count(sim->faulty);
    for (unsigned i = 0; i < sim->actor_count; i++) {
        if (!sim->actors[i].done) {
            ready[count++] = i;
        }
    }
    if (count + late == 0) {
        return false;
    }
    unsigned pick = sim_choose(sim->plan, count + late);
    sim->steps++;
    if (pick < count) {
        step_actor(sim, &sim->actors[ready[pick]]);
    } else {
        step_late(sim, pick - count);
    }
    return true;
}

void sim_run(struct sim *sim)
{
    for (unsigned i = 0; i < sim->actor_count; i++) {
        resume(sim, &sim->actors[i]);
    }
    while (!sim->violation[0] && step(sim)) {
        if (sim->steps > 5000) {
            sim_violation(sim, "no end in sight after %u requests", sim->steps);
        }
    }
    /* After a violation the actors still have to end, to free what they hold. */
    for (unsigned i = 0; i < sim->actor_count; i++) {
        struct sim_actor *actor = &sim->actors[i];
        actor->dead = true;
        actor->fault = SFI_FAULT_FAIL;
        while (!actor->done) {
            resume(sim, actor);
        }
    }
}

/* --- begin and end -----------------------------------------------------------------------------
 */

static void must(shardy_status st)
{
    if (st != SHARDY_OK) {
        fprintf(stderr, "publish_model: cannot set up: %s\n", shardy_status_name(st));
        abort();
    }
}

static void empty(struct sfi_store *store)
{
    struct sfi_store_list list;
    must(sfi_store_list(store, "", true, &list, NULL));
    for (size_t i = 0; i < list.count; i++) {
        must(sfi_store_delete(store, list.entries[i].name, NULL));
    }
    sfi_store_list_clear(&list);
}

void sim_begin(struct sim *sim, struct sim_plan *plan)
{
    if (!s_stacks) {
        s_stacks = mmap(NULL, STACK_SIZE * SIM_ACTORS_MAX, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        must(s_stacks == MAP_FAILED ? SHARDY_NO_MEMORY : SHARDY_OK);
    }
    memset(sim, 0, sizeof *sim);
    sim->plan = plan;
    sim->now_us = START_US;
    sim->clock_random = plan->random | 1;
    plan->path_used = 0;
    must(sfi_store_open("memory://model/p", NULL, &sim->inner, NULL));
    must(sfi_store_open("memory://model-older/p", NULL, &sim->older, NULL));
    must(sfi_store_fault_open(sim->inner, decide, sim, &sim->faulty, NULL));
    sfi_store_fault_set_older(sim->faulty, sim->older);
    sfi_store_fault_set_kind(sim->faulty, plan->kind == SIM_REMOTE || plan->kind == SIM_IGNORING,
                             plan->kind != SIM_UNCONDITIONAL);
    s_sim = sim;
}

struct sim_actor *sim_add(struct sim *sim, const char *role, void (*body)(struct sim_actor *),
                          void *arg)
{
    struct sim_actor *actor = &sim->actors[sim->actor_count];
    actor->sim = sim;
    actor->index = sim->actor_count++;
    actor->body = body;
    actor->arg = arg;
    snprintf(actor->name, sizeof actor->name, "%s %u", role, actor->index);
    getcontext(&actor->context);
    actor->context.uc_stack.ss_sp = stack_of(actor);
    actor->context.uc_stack.ss_size = STACK_SIZE;
    actor->context.uc_link = &sim->scheduler;
    makecontext(&actor->context, actor_main, 0);
    return actor;
}

void sim_end(struct sim *sim)
{
    s_sim = NULL;
    empty(sim->inner);
    empty(sim->older);
    sfi_store_release(sim->faulty);
    sfi_store_release(sim->inner);
    sfi_store_release(sim->older);
}
