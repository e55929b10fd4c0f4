/*
 * publish_model.c - runs histories of the publish protocol in the simulation (sim.h) and has the
 * model (model.h) judge them.
 *
 *   publish_model [--seeds N] [--builds N] [--search]   what `make test` runs; TAP
 *   publish_model --seconds S                           random histories for so long (make soak)
 *   publish_model --seed N [--trace]                    one history again
 *   publish_model --build-seed N [--trace]              one history of real writers and readers
 *   publish_model --case C --path A.B.C [--trace]       one history of the exhaustive search
 */
#include "actors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct sim s_sim;
static struct model s_model;
static struct role s_roles[SIM_ACTORS_MAX];
static unsigned s_case; /* number of the TAP line */
static unsigned s_failed;
static uint64_t s_steps;
static uint64_t s_faults;

static struct role *role(unsigned run, bool expect)
{
    struct role *one = &s_roles[s_sim.actor_count];
    memset(one, 0, sizeof *one);
    one->model = &s_model;
    one->run = run;
    one->expect = expect;
    one->rounds = 3;
    return one;
}

static void finish(void)
{
    sim_run(&s_sim);
    if (!s_sim.violation[0]) {
        model_judge(&s_model);
    }
    s_steps += s_sim.steps;
    s_faults += s_sim.faults;
    sim_end(&s_sim);
}

/* --- random histories --------------------------------------------------------------------------
 */

static void seed_plan(struct sim_plan *plan, uint64_t seed, bool trace)
{
    static const unsigned percents[] = {0, 5, 20, 50};
    static const unsigned budgets[] = {1, 2, 8, 1000};
    memset(plan, 0, sizeof *plan);
    plan->trace = trace ? stdout : NULL;
    plan->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    (void)sim_choose(plan, 2); /* neighbouring seeds start alike */
    (void)sim_choose(plan, 2);
    plan->fault_percent = percents[sim_choose(plan, 4)];
    plan->fault_budget = budgets[sim_choose(plan, 4)];
    plan->clock = (enum sim_clock)sim_choose(plan, SIM_CLOCKS);
    plan->stale = sim_choose(plan, 8) == 0;
    unsigned kind = sim_choose(plan, 10);
    plan->kind = kind < 6   ? SIM_LOCAL
                 : kind < 8 ? SIM_REMOTE
                            : (enum sim_store_kind)(SIM_IGNORING + kind - 8);
}

static void random_history(uint64_t seed, bool trace)
{
    struct sim_plan plan;
    unsigned run = 0;
    seed_plan(&plan, seed, trace);
    sim_begin(&s_sim, &plan);
    model_begin(&s_model, &s_sim);
    for (unsigned before = sim_choose(&plan, 3); before > 0; before--) {
        publish_before(&s_model, run++);
    }
    unsigned publishers = 1 + sim_choose(&plan, 4);
    unsigned rollbacks = sim_choose(&plan, 3) % 2 + (publishers < 3 ? sim_choose(&plan, 2) : 0);
    for (unsigned i = 0; i < publishers; i++) {
        sim_add(&s_sim, "publisher", actor_publish, role(run++, sim_choose(&plan, 3) == 0));
    }
    for (unsigned i = 0; i < rollbacks; i++) {
        sim_add(&s_sim, "rollback", actor_rollback, role(0, sim_choose(&plan, 2) == 0));
    }
    if (sim_choose(&plan, 8) == 0) {
        s_sim.actors[sim_choose(&plan, s_sim.actor_count)].cancel_at = 1 + sim_choose(&plan, 6);
    }
    if (sim_choose(&plan, 2)) {
        sim_add(&s_sim, "reader", actor_read, role(0, false));
    }
    finish();
}

/* Real builds and real readers. Stale reads are left to the light histories. */
static void build_history(uint64_t seed, bool trace)
{
    struct sim_plan plan;
    seed_plan(&plan, seed, trace);
    plan.kind = SIM_LOCAL;
    plan.stale = false;
    sim_begin(&s_sim, &plan);
    model_begin(&s_model, &s_sim);
    s_model.real_images = true;
    unsigned builds = 1 + sim_choose(&plan, 3);
    for (unsigned i = 0; i < builds; i++) {
        sim_add(&s_sim, "build", actor_build, role(i, sim_choose(&plan, 3) == 0));
    }
    if (sim_choose(&plan, 2)) {
        sim_add(&s_sim, "rollback", actor_rollback, role(0, sim_choose(&plan, 2) == 0));
    }
    sim_add(&s_sim, "reader", actor_look_up, role(0, false));
    finish();
}

static void run_seeds(const char *what, void (*history)(uint64_t, bool), const char *option,
                      uint64_t first, uint64_t count, double seconds)
{
    struct timespec start;
    struct timespec now;
    uint64_t seed = first;
    s_steps = s_faults = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; count == 0 || seed < first + count; seed++) {
        history(seed, false);
        if (s_sim.violation[0]) {
            break;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (seconds > 0 && difftime(now.tv_sec, start.tv_sec) >= seconds) {
            break;
        }
    }
    bool failed = s_sim.violation[0] != '\0';
    s_failed += failed;
    printf("%sok %u - %s: seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " requests, %" PRIu64
           " faults\n",
           failed ? "not " : "", ++s_case, what, first, seed - (count && !failed), s_steps,
           s_faults);
    if (failed) {
        printf("# seed %" PRIu64 ": %s\n# again: tests/model/publish_model %s %" PRIu64
               " --trace\n",
               seed, s_sim.violation, option, seed);
    }
    fflush(stdout);
}

/* --- exhaustive search -------------------------------------------------------------------------
 */

/* What takes part in one search. */
struct search {
    const char *name;
    unsigned before;     /* runs published before */
    unsigned publishers; /* of these, the first `expect` with policy EXPECT */
    unsigned rollbacks;
    unsigned expect;
    unsigned faults;
    bool pointer_only;
    enum sim_clock clock;
};

static const struct search s_searches[] = {
    {"2 publishers, first pointer", 0, 2, 0, 0, 1, false, SIM_CLOCK_STEADY},
    {"2 publishers, 1 expects", 1, 2, 0, 1, 1, false, SIM_CLOCK_STEADY},
    {"publisher and rollback, clock stands still", 2, 1, 1, 0, 1, false, SIM_CLOCK_TIES},
    {"3 publishers, pointer only", 1, 3, 0, 0, 1, true, SIM_CLOCK_STEADY},
    {"3 publishers, 2 expect, no fault, pointer only", 1, 3, 0, 2, 0, true, SIM_CLOCK_STEADY},
    {"2 publishers, both expect, pointer only", 1, 2, 0, 2, 1, true, SIM_CLOCK_STEADY},
    {"2 rollbacks, 1 expects, pointer only", 2, 0, 2, 1, 1, true, SIM_CLOCK_TIES},
    {"2 publishers, 2 faults, pointer only", 1, 2, 0, 0, 2, true, SIM_CLOCK_STEADY},
};
#define SEARCHES (sizeof s_searches / sizeof s_searches[0])

static void search_history(const struct search *search, struct sim_plan *plan)
{
    plan->exhaustive = true;
    plan->fault_budget = search->faults;
    plan->pointer_only = search->pointer_only;
    plan->clock = search->clock;
    plan->random = 1;
    sim_begin(&s_sim, plan);
    model_begin(&s_model, &s_sim);
    for (unsigned i = 0; i < search->before; i++) {
        publish_before(&s_model, i);
    }
    for (unsigned i = 0; i < search->publishers; i++) {
        struct role *one = role(search->before + i, i < search->expect);
        one->manifest_only = true;
        sim_add(&s_sim, "publisher", actor_publish, one);
    }
    for (unsigned i = 0; i < search->rollbacks; i++) {
        sim_add(&s_sim, "rollback", actor_rollback,
                role(0, search->publishers + i < search->expect));
    }
    finish();
}

/* The next path: the last choice that has another alternative takes it. false: all seen. */
static bool next_path(struct sim_plan *plan)
{
    unsigned n = plan->path_used;
    while (n > 0 && plan->path[n - 1] + 1 >= plan->sizes[n - 1]) {
        n--;
    }
    if (n == 0) {
        return false;
    }
    plan->path[n - 1]++;
    plan->path_given = n;
    return true;
}

static void search_all(unsigned number)
{
    struct sim_plan plan;
    uint64_t histories = 0;
    memset(&plan, 0, sizeof plan);
    do {
        search_history(&s_searches[number], &plan);
        histories++;
    } while (!s_sim.violation[0] && next_path(&plan));
    bool failed = s_sim.violation[0] != '\0';
    s_failed += failed;
    printf("%sok %u - all histories of %s: %" PRIu64 "\n", failed ? "not " : "", ++s_case,
           s_searches[number].name, histories);
    if (failed) {
        printf("# %s\n# again: tests/model/publish_model --case %u --path ", s_sim.violation,
               number);
        for (unsigned i = 0; i < plan.path_used; i++) {
            printf("%s%u", i ? "." : "", plan.path[i]);
        }
        printf(" --trace\n");
    }
    fflush(stdout);
}

/* --- command line ------------------------------------------------------------------------------
 */

struct args {
    uint64_t seeds;
    uint64_t builds;
    uint64_t first;
    uint64_t seed;
    uint64_t build_seed;
    double seconds;
    bool search;
    bool trace;
    unsigned number;
    const char *path;
};

static bool parse(struct args *args, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool flag = false;
        if (!strcmp(name, "--seeds")) {
            args->seeds = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--builds")) {
            args->builds = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--first")) {
            args->first = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--seed")) {
            args->seed = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--build-seed")) {
            args->build_seed = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--seconds")) {
            args->seconds = strtod(value, NULL);
        } else if (!strcmp(name, "--case")) {
            args->number = (unsigned)strtoul(value, NULL, 10) % (unsigned)SEARCHES;
        } else if (!strcmp(name, "--path")) {
            args->path = value;
        } else if (!strcmp(name, "--search")) {
            args->search = flag = true;
        } else if (!strcmp(name, "--trace")) {
            args->trace = flag = true;
        } else {
            fprintf(stderr, "publish_model: unknown option %s\n", name);
            return false;
        }
        i += !flag;
    }
    return true;
}

/* One history, told in full. */
static int again(const struct args *args)
{
    if (args->path) {
        struct sim_plan plan;
        memset(&plan, 0, sizeof plan);
        plan.trace = args->trace ? stdout : NULL;
        for (const char *at = args->path; *at && plan.path_given < SIM_PATH_MAX;) {
            char *end;
            plan.path[plan.path_given++] = (unsigned)strtoul(at, &end, 10);
            at = *end == '.' ? end + 1 : end + strlen(end);
        }
        search_history(&s_searches[args->number], &plan);
    } else if (args->seed) {
        random_history(args->seed, args->trace);
    } else {
        build_history(args->build_seed, args->trace);
    }
    printf("%s\n", s_sim.violation[0] ? s_sim.violation : "no violation");
    return s_sim.violation[0] != '\0';
}

int main(int argc, char **argv)
{
    struct args args = {.first = 1};
    int status = 2;
    if (!parse(&args, argc, argv)) {
        return status;
    }
    if (args.path || args.seed || args.build_seed) {
        status = again(&args);
    } else {
        if (args.seeds || args.seconds > 0) {
            run_seeds("random histories", random_history, "--seed", args.first, args.seeds,
                      args.seconds * 0.8);
        }
        if (args.builds || args.seconds > 0) {
            run_seeds("histories of builds", build_history, "--build-seed", args.first, args.builds,
                      args.seconds * 0.2);
        }
        for (unsigned i = 0; args.search && i < SEARCHES; i++) {
            search_all(i);
        }
        printf("1..%u\n", s_case);
        status = s_failed > 0;
    }
    model_images_free();
    return status;
}
