/*
 * crash_s3.c - kill -9 at random moments of builds against a real S3 server, several at a time.
 * After each: the pointer names the old snapshot or the new one, and that one is whole; so is every
 * manifest of the history; the next build works; what is left over belongs to the killed run and
 * nobody names it. SHARDY_CRASH_ROUNDS says how many kills (200); scripts/soak asks for 10,000.
 */
#include "../unit/snapshot_sample.h"

#include "s3_client.h"
#include "s3_server.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define WORKERS     8
#define ROUNDS      200
#define PREFIX_LIFE 10 /* kills before a new prefix */
#define LARGE_EVERY 8  /* rounds; a build that goes up in parts */
#define REPORTS_MAX 20

struct shared {
    atomic_uint next;
    atomic_uint done;
    atomic_uint killed;
    atomic_uint published; /* of the killed: the pointer was written already */
    atomic_uint halfway;   /* of the killed: some objects were there */
    atomic_uint uploads;   /* left behind, in parts */
    atomic_uint failed;
    char reports[REPORTS_MAX][700];
};

struct place {
    unsigned worker;
    uint64_t random;
    char prefix[64];
    char url[128];
    char cache[256];
    char cache_url[256];
    struct s3_client *client;
    uint32_t generation;
    uint32_t current;
    uint64_t small_us;
    uint64_t large_us;
};

static struct shared *shared;
static struct s3_server *server;

static void report(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void report(int line, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    unsigned number = atomic_fetch_add(&shared->failed, 1);
    if (number < REPORTS_MAX) {
        snprintf(shared->reports[number], sizeof shared->reports[number], "crash_s3.c:%d: %s", line,
                 text);
    }
}

#define CHECK(condition, ...)              \
    do {                                   \
        if (!(condition)) {                \
            report(__LINE__, __VA_ARGS__); \
        }                                  \
    } while (0)

/* ---- builds ---------------------------------------------------------------------------------- */

/* Rows of a generation. A large build has two parts of 8 MiB in one shard. */
static void make_rows(struct snap_table *table, uint32_t generation, bool large)
{
    size_t size = large ? 90000 : 300;
    uint8_t *value = snap_alloc(size + 8);
    memset(table, 0, sizeof *table);
    table->encoding = SHARDY_KEY_U64BE;
    snap_fill(value, size, 1);
    for (uint64_t i = 0; i < 120; i++) {
        memcpy(value, &generation, sizeof generation);
        memcpy(value + 4, &i, sizeof i);
        snap_add_int(table, i * 7919, value, size - i);
    }
    free(value);
}

static shardy_status build(const struct place *place, uint32_t generation, bool large,
                           shardy_error *err)
{
    struct snap_table table;
    char run[32];
    make_rows(&table, generation, large);
    shardy_writer_options options = snap_options(place->url, &table, large ? 1 : 3);
    snprintf(run, sizeof run, "run%06u", generation);
    options.run_id = run;
    shardy_status st = snap_build(&options, &table, SNAP_BATCHES, NULL, err);
    snap_clear(&table);
    return st;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A build that is left alone. */
static void build_whole(struct place *place, bool large)
{
    shardy_error err = SHARDY_ERROR_INIT;
    uint64_t *time = large ? &place->large_us : &place->small_us;
    uint64_t began = now_us();
    shardy_status st = build(place, ++place->generation, large, &err);
    CHECK(st == SHARDY_OK, "a build fails: %s", err.message);
    *time = now_us() - began;
    place->current = place->generation;
}

/* @return whether it was killed before its end */
static bool build_and_kill(struct place *place, bool large)
{
    int status = 0;
    uint64_t span = (large ? place->large_us : place->small_us) * 5 / 4 + 1;
    useconds_t delay = (useconds_t)(next_random(&place->random) % span);
    place->generation++;
    pid_t child = fork();
    if (child == 0) {
        _exit(build(place, place->generation, large, NULL) == SHARDY_OK ? 0 : 1);
    }
    usleep(delay);
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "a build fails before it is killed");
    return WIFSIGNALED(status);
}

/* ---- what is there --------------------------------------------------------------------------- */

/* Generation of all rows of a snapshot (`ref` NULL = the current one); 0 = it does not load. */
static uint32_t generation_of(struct place *place, const char *ref)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key keys[120];
    uint32_t generation = 0;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        keys[i] = shardy_key_int((int64_t)i * 7919);
    }
    options.url = place->url;
    options.pin_ref = ref;
    options.no_fallback = true;
    options.access = SHARDY_ACCESS_DOWNLOAD;
    options.verify_checksums = true;
    options.local_root = place->cache;
    options.cache_bytes = 32u << 20;
    shardy_status st = shardy_reader_open(&options, &reader, &err);
    st = st == SHARDY_OK ? shardy_reader_multi_get(reader, keys, COUNT_OF(keys), &items, &err) : st;
    CHECK(st == SHARDY_OK, "%s does not load: %s", ref ? ref : "the current snapshot", err.message);
    for (size_t i = 0; st == SHARDY_OK && i < items.count; i++) {
        uint32_t got = 0;
        CHECK(items.items[i].data, "row %zu of %s is missing", i, ref ? ref : "the current one");
        memcpy(&got, items.items[i].data ? items.items[i].data : "\0\0\0", sizeof got);
        CHECK(i == 0 || got == generation, "rows of generations %u and %u", generation, got);
        generation = got;
    }
    shardy_items_clear(&items);
    shardy_reader_free(reader);
    return generation;
}

/* Every manifest is one of a whole snapshot, of the run that it names. */
static void check_history(struct place *place)
{
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    listing.url = place->url;
    listing.limit = 3; /* older ones were looked at before */
    shardy_status st = shardy_history_load(&listing, &history, &err);
    CHECK(st == SHARDY_OK && history.count > 0, "history: %s", err.message);
    for (size_t i = 0; st == SHARDY_OK && i < history.count; i++) {
        char run[32];
        snprintf(run, sizeof run, "run%06u", generation_of(place, history.items[i].ref));
        CHECK(strcmp(run, history.items[i].run_id) == 0, "%s has rows of %s", history.items[i].ref,
              run);
    }
    if (st == SHARDY_OK) {
        shardy_history_clear(&history);
    }
}

/* Names directly below the prefix. */
static void check_names(struct place *place)
{
    static const char *const known[] = {"_CURRENT", "manifests", "shards", ".", ".."};
    char path[600];
    snprintf(path, sizeof path, "%s/%s", s3_server_folder(server), place->prefix);
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        bool fits = strncmp(entry->d_name, "_probe-", 7) == 0;
        for (size_t i = 0; i < COUNT_OF(known); i++) {
            fits = fits || strcmp(entry->d_name, known[i]) == 0;
        }
        CHECK(fits, "%s was left behind", entry->d_name);
    }
    if (folder) {
        closedir(folder);
    }
}

/* Uploads that nobody ended: only those of the killed run; others clean up behind themselves. */
static void check_uploads(struct place *place, uint32_t killed)
{
    char target[200];
    char run[32];
    snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "?prefix=%s%%2F&uploads=", place->prefix);
    snprintf(run, sizeof run, "run%06u", killed);
    const struct s3_answer *answer = s3_client_request(place->client, "GET", target, NULL, NULL, 0);
    CHECK(answer->status == 200, "listing uploads: %d", answer->status);
    for (const char *at = strstr(answer->body, "<Upload>"); at; at = strstr(at + 1, "<Upload>")) {
        const char *key = strstr(at, "<Key>");
        CHECK(key && strstr(key, "run"), "an upload without a run");
        atomic_fetch_add(&shared->uploads, key && strstr(key, run) != NULL);
    }
}

static bool has_objects(const struct place *place, uint32_t generation)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s/shards/run_id=run%06u", s3_server_folder(server),
             place->prefix, generation);
    return snap_count_files(path) > 0;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void run_round(struct place *place, bool large)
{
    bool died = build_and_kill(place, large);
    uint32_t killed = place->generation;
    uint32_t now = generation_of(place, NULL);
    CHECK(now == place->current || now == killed, "generation %u is current; it was %u, then %u",
          now, place->current, killed);
    CHECK(died || now == killed, "a build that ended well is not current");
    atomic_fetch_add(&shared->killed, died);
    atomic_fetch_add(&shared->published, died && now == killed);
    atomic_fetch_add(&shared->halfway, died && now != killed && has_objects(place, killed));
    check_history(place);
    check_names(place);
    check_uploads(place, killed);
    place->current = now;
    build_whole(place, false);
    CHECK(generation_of(place, NULL) == place->generation, "the next build is not current");
}

static void begin_prefix(struct place *place, unsigned round)
{
    char path[600];
    if (place->prefix[0]) {
        snprintf(path, sizeof path, "%s/%s", s3_server_folder(server), place->prefix);
        remove_folder(path);
    }
    snprintf(place->prefix, sizeof place->prefix, "crash-%u-%u", place->worker, round);
    snprintf(place->url, sizeof place->url, "s3://" S3_SERVER_BUCKET "/%s", place->prefix);
    build_whole(place, true);
    build_whole(place, false);
}

static void work(unsigned worker, unsigned rounds)
{
    struct place place = {.worker = worker};
    place.random = ((uint64_t)getpid() << 20 | worker) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    place.client = s3_client_new(s3_server_url(server));
    make_folder(place.cache, place.cache_url);
    unsigned mine = 0;
    for (unsigned round; (round = atomic_fetch_add(&shared->next, 1)) < rounds; mine++) {
        if (mine % PREFIX_LIFE == 0) {
            begin_prefix(&place, round);
        }
        run_round(&place, round % LARGE_EVERY == 0);
        atomic_fetch_add(&shared->done, 1);
    }
    s3_client_free(place.client);
    remove_folder(place.cache);
}

static void test_kill(void **state)
{
    const char *wanted = getenv("SHARDY_CRASH_ROUNDS");
    unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : ROUNDS;
    pid_t workers[WORKERS];
    (void)state;
    fflush(NULL);
    for (unsigned w = 0; w < WORKERS; w++) {
        workers[w] = fork();
        if (workers[w] == 0) {
            work(w, rounds);
            exit(0);
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        int status = 0;
        while (waitpid(workers[w], &status, 0) < 0 && errno == EINTR) {
        }
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "worker %u ended by %d", w, status);
    }
    unsigned failed = atomic_load(&shared->failed);
    for (unsigned i = 0; i < failed && i < REPORTS_MAX; i++) {
        print_message("# %s\n", shared->reports[i]);
    }
    print_message("# %u of %u builds were killed: %u had published, %u left objects, %u uploads "
                  "were left\n",
                  atomic_load(&shared->killed), atomic_load(&shared->done),
                  atomic_load(&shared->published), atomic_load(&shared->halfway),
                  atomic_load(&shared->uploads));
    assert_int_equal(failed, 0);
    assert_int_equal(atomic_load(&shared->done), rounds);
    assert_true(atomic_load(&shared->killed) > rounds / 4);
}

static int start(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    server = s3_server_start(S3_SERVER_VERSITYGW);
    s3_server_set_environment(s3_server_url(server));
    return shared == MAP_FAILED;
}

static int stop(void **state)
{
    (void)state;
    s3_server_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    return cmocka_run_group_tests_name("crash_s3", tests, start, stop);
}
