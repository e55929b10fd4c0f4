/*
 * fault_run.h - the product of faults and requests: a clean run of each scenario says what its
 * requests are, every case is one fault at one of them, and workers take the cases one by one.
 */
#ifndef TESTS_S3_FAULT_RUN_H
#define TESTS_S3_FAULT_RUN_H

#include "fault_sample.h"

static struct fault_case cases[CASES_MAX];
static size_t case_count;

/* ---- cases -------------------------------------------------------------------------------------
 */

static inline const char *piece_of(const char *target)
{
    static const char *const pieces[] = {
        "_probe-",   "partNumber=1&", "partNumber=2&", "list-type", "uploads=",
        "uploadId=", "_CURRENT",      "shard.sidecar", "shard.db",  "/manifest"};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        if (strstr(target, pieces[i])) {
            return pieces[i];
        }
    }
    return "";
}

static inline bool applies(const struct scenario *scenario, const struct fault *fault,
                           const struct proxy_record *record)
{
    bool get = strcmp(record->method, "GET") == 0;
    unsigned f = fault->flags;
    return !(f & scenario->skip) && (!(f & GETS) || get) && (!(f & RANGES) || record->range[0]) &&
           (!(f & BODIES) || strcmp(record->method, "HEAD") != 0) &&
           (!(f & POSTS) || strcmp(record->method, "POST") == 0) &&
           (!(f & SHARDS) || (get && strstr(record->target, "shard.db")));
}

static inline void add_case(const struct scenario *scenario, const struct fault *fault,
                            size_t request, const struct proxy_record *record)
{
    if (case_count == CASES_MAX) {
        fprintf(stderr, "more than %d cases\n", CASES_MAX);
        abort();
    }
    struct fault_case *one = &cases[case_count++];
    one->scenario = scenario;
    one->fault = fault;
    one->request = request;
    snprintf(one->method, sizeof one->method, "%.7s", record->method);
    snprintf(one->piece, sizeof one->piece, "%s", piece_of(record->target));
}

static inline bool has_case(const struct scenario *scenario, const struct fault *fault,
                            const struct proxy_record *record)
{
    for (size_t i = 0; i < case_count; i++) {
        if (cases[i].scenario == scenario && cases[i].fault == fault && !cases[i].request &&
            strcmp(cases[i].method, record->method) == 0 &&
            strcmp(cases[i].piece, piece_of(record->target)) == 0) {
            return true;
        }
    }
    return false;
}

/* Each fault at each request of a clean run, and at each kind of request for good. */
static inline void add_cases(const struct scenario *scenario, const struct proxy_record *records,
                             size_t count)
{
    for (size_t f = 0; f < COUNT_OF(faults); f++) {
        for (size_t r = 0; r < count; r++) {
            if (!applies(scenario, &faults[f], &records[r])) {
                continue;
            }
            add_case(scenario, &faults[f], r + 1, &records[r]);
            if (!(faults[f].flags & ONCE) && !has_case(scenario, &faults[f], &records[r])) {
                add_case(scenario, &faults[f], 0, &records[r]);
            }
        }
    }
}

static inline void name_case(const struct fault_case *one, char *out, size_t size)
{
    char when[32];
    snprintf(when, sizeof when, one->request ? "at request %zu" : "each time", one->request);
    snprintf(out, size, "%s: %s %s (%s ...%s)", one->scenario->name, one->fault->name, when,
             one->method, one->piece);
}

/* ---- running -----------------------------------------------------------------------------------
 */

static inline void open_place(struct place *place, unsigned worker)
{
    const struct proxy_options options = {.secret = S3_SERVER_SECRET_KEY};
    memset(place, 0, sizeof *place);
    place->worker = worker;
    place->proxy = proxy_start(s3_server_address(server), &options);
    place->direct = s3_client_new(s3_server_url(server));
    make_folder(place->folder, place->folder_url);
}

static inline void close_place(struct place *place)
{
    proxy_stop(place->proxy);
    s3_client_free(place->direct);
    remove_folder(place->folder);
}

static inline void begin_prefix(struct place *place, const struct scenario *scenario)
{
    snprintf(place->prefix, sizeof place->prefix, "%s-%u-%u", scenario->name, place->worker,
             place->turn);
    snprintf(place->url, sizeof place->url, "s3://" S3_SERVER_BUCKET "/%s", place->prefix);
    scenario->set_up(place);
}

static inline void end_prefix(struct place *place, const struct scenario *scenario)
{
    char path[600];
    if (scenario) {
        scenario->tear_down(place);
        path_of(place, "", path);
        remove_folder(path);
    }
}

static inline void run_case(struct place *place, const struct fault_case *one)
{
    struct proxy_stats stats;
    place->fault = one->fault;
    place->once = one->request != 0;
    if (one->scenario->prepare) {
        one->scenario->prepare(place);
    }
    proxy_reset(place->proxy);
    if (one->request) {
        proxy_rule(place->proxy, "%s nth=%zu count=1", one->fault->words, one->request);
    } else {
        proxy_rule(place->proxy, "%s method=%s match=%s", one->fault->words, one->method,
                   one->piece);
    }
    one->scenario->act(place);
    proxy_read_stats(place->proxy, &stats);
    proxy_clear(place->proxy);
    atomic_fetch_add(&shared->reached, stats.faults > 0);
    one->scenario->judge(place);
    if (place->fault->flags & TWICE) {
        abort_uploads(place); /* nobody knows of a second upload that nobody answered for */
    }
    check_uploads(place);
    place->fault = NULL;
}

/* Case `i` in an order that spreads the scenarios over time. */
static inline void work(unsigned worker)
{
    struct place place;
    const struct scenario *scenario = NULL;
    unsigned since = 0;
    char label[200];
    open_place(&place, worker);
    for (size_t i; (i = atomic_fetch_add(&shared->next, 1)) < case_count;) {
        const struct fault_case *one = &cases[i];
        name_case(one, label, sizeof label);
        case_label = label;
        atomic_store(&shared->running[worker], i + 1);
        alarm(CASE_SECONDS);
        if (one->scenario != scenario || (scenario->renew && since >= scenario->renew)) {
            end_prefix(&place, scenario);
            scenario = one->scenario;
            begin_prefix(&place, scenario);
            since = 0;
        }
        run_case(&place, one);
        since++;
        place.turn++;
        atomic_fetch_add(&shared->done, 1);
    }
    alarm(CASE_SECONDS);
    end_prefix(&place, scenario);
    close_place(&place);
}

static inline void end_worker(unsigned worker, int status)
{
    static char label[200];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return;
    }
    size_t i = atomic_load(&shared->running[worker]);
    snprintf(label, sizeof label, "start of a worker");
    if (i) {
        name_case(&cases[i - 1], label, sizeof label);
    }
    case_label = label;
    CHECK(false, WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "hung, %d" : "ended by %d",
          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static inline void run_workers(void)
{
    pid_t pids[WORKERS];
    fflush(NULL);
    for (unsigned w = 0; w < WORKERS; w++) {
        pids[w] = fork();
        if (pids[w] == 0) {
            work(w);
            exit(0); /* runs the leak checker where there is one */
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        int status = 0;
        while (waitpid(pids[w], &status, 0) < 0 && errno == EINTR) {
        }
        end_worker(w, status);
    }
}

/* Requests of the scenario without a fault, which must go well. */
static inline void record_clean_run(const struct scenario *scenario)
{
    struct place place;
    struct proxy_record *records = NULL;
    open_place(&place, WORKERS);
    begin_prefix(&place, scenario);
    if (scenario->prepare) {
        scenario->prepare(&place);
    }
    proxy_reset(place.proxy);
    scenario->act(&place);
    size_t count = proxy_read_log(place.proxy, &records);
    scenario->judge(&place);
    check_uploads(&place);
    end_prefix(&place, scenario);
    add_cases(scenario, records, count);
    print_message("# %s: %zu requests\n", scenario->name, count);
    free(records);
    close_place(&place);
}

/* Under sanitizers every seventh case only; SHARDY_FAULT_STRIDE decides otherwise. */
static inline void thin_out(void)
{
    const char *given = getenv("SHARDY_FAULT_STRIDE");
    size_t stride = given ? strtoul(given, NULL, 10) : FAULT_SANITIZED ? 7 : 1;
    size_t kept = 0;
    for (size_t i = 0; stride && i < case_count; i += stride) {
        cases[kept++] = cases[i];
    }
    case_count = stride ? kept : case_count;
}

static inline void run_product(const struct scenario *scenarios, size_t count)
{
    case_count = 0;
    for (size_t i = 0; i < count; i++) {
        record_clean_run(&scenarios[i]);
    }
    thin_out();
    if (atomic_load(&shared->failed) == 0) {
        run_workers();
    }
    size_t failed = atomic_load(&shared->failed);
    for (size_t i = 0; i < failed && i < REPORTS_MAX; i++) {
        print_message("# %s\n", shared->reports[i]);
    }
    print_message("# %zu cases, %zu faults came to pass, %zu went unnoticed by the caller\n",
                  atomic_load(&shared->done), atomic_load(&shared->reached),
                  atomic_load(&shared->absorbed));
    assert_int_equal(failed, 0);
    assert_int_equal(atomic_load(&shared->done), case_count);
    assert_true(atomic_load(&shared->reached) * 10 > case_count * 9);
}

static inline int start_faults(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    server = s3_server_start(S3_SERVER_VERSITYGW);
    s3_server_set_environment(s3_server_url(server));
    return shared == MAP_FAILED;
}

static inline int stop_faults(void **state)
{
    (void)state;
    s3_server_stop(server);
    munmap(shared, sizeof *shared);
    return 0;
}

#endif
