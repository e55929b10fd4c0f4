/*
 * crash.c - kill -9 at random moments of a build in another process. Afterwards the pointer names
 * the old snapshot or, when the build got that far, the new one, whole; every manifest of the
 * history can be read; a reader opened before goes on; spill files are gone; and the next build
 * works. Rounds can be given by SHARDY_CRASH_ROUNDS.
 */
#include "../unit/snapshot_sample.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define ROWS 30000

static void make_rows(struct snap_table *table, uint32_t generation)
{
    uint8_t value[600];
    table->encoding = SHARDY_KEY_U64BE;
    for (uint64_t i = 0; i < ROWS; i++) {
        snap_fill(value, sizeof value, i);
        memcpy(value, &generation, sizeof generation);
        snap_add_int(table, i * UINT64_C(0x9E3779B97F4A7C15) >> 1, value,
                     sizeof generation + i % 590);
    }
}

static shardy_status build(const char *url, const char *spill, const struct snap_table *table,
                           unsigned round, shardy_error *err)
{
    char run[32];
    shardy_writer_options options = snap_options(url, table, 6);
    snprintf(run, sizeof run, "run%u", round);
    options.run_id = run;
    options.memory_limit_bytes = 16u << 20; /* about two spills */
    options.spill_dir = spill;
    return snap_build(&options, table, SNAP_BATCHES, NULL, err);
}

/* Build in a child and kill it after `delay` microseconds; true when it was not done before. */
static bool build_and_kill(const char *url, const char *spill, const struct snap_table *table,
                           unsigned round, useconds_t delay)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(build(url, spill, table, round, NULL) == SHARDY_OK ? 0 : 1);
    }
    usleep(delay);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    return WIFSIGNALED(status);
}

/* Generation in the values of the reader's rows; all rows must have the same. */
static uint32_t generation_of(shardy_reader *reader, const struct snap_table *table)
{
    shardy_key *keys = snap_alloc(table->count * sizeof *keys);
    shardy_items items = SHARDY_ITEMS_INIT;
    uint32_t generation = 0;
    for (size_t i = 0; i < table->count; i++) {
        keys[i] = snap_key(table, &table->rows[i]);
    }
    snap_ok(shardy_reader_multi_get(reader, keys, table->count, &items, err));
    for (size_t i = 0; i < table->count; i++) {
        uint32_t got = 0;
        assert_non_null(items.items[i].data);
        assert_int_equal(items.items[i].size, table->rows[i].value_size);
        memcpy(&got, items.items[i].data, sizeof got);
        generation = i ? generation : got;
        assert_int_equal(got, generation);
    }
    shardy_items_clear(&items);
    free(keys);
    return generation;
}

/* Closure: what the history names exists and is whole. @return number of manifests */
static size_t check_history(const char *url, const struct snap_table *table)
{
    shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    listing.url = url;
    listing.limit = 1000;
    snap_ok(shardy_history_load(&listing, &history, err));
    for (size_t i = 0; i < history.count; i++) {
        shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
        shardy_reader *reader = NULL;
        options.url = url;
        options.pin_ref = history.items[i].ref;
        options.verify_checksums = true;
        snap_ok(shardy_reader_open(&options, &reader, err));
        generation_of(reader, table);
        shardy_reader_free(reader);
    }
    size_t count = history.count;
    shardy_history_clear(&history);
    return count;
}

static void test_kill(void **state)
{
    const char *wanted = getenv("SHARDY_CRASH_ROUNDS");
    unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 20;
    unsigned killed = 0;
    unsigned halfway = 0;
    uint32_t current = 1;
    size_t manifests = 1;
    uint64_t random = (uint64_t)getpid();
    char path[256];
    char url[256];
    char spill[300];
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    struct timespec before;
    struct timespec after;

    (void)state;
    make_folder(path, url);
    snprintf(spill, sizeof spill, "%s-spill", path);
    assert_int_equal(mkdir(spill, 0700), 0);
    make_rows(&table, 1);
    clock_gettime(CLOCK_MONOTONIC, &before);
    snap_ok(build(url, spill, &table, 1, err));
    clock_gettime(CLOCK_MONOTONIC, &after);
    useconds_t whole = (useconds_t)((after.tv_sec - before.tv_sec) * 1000000 +
                                    (after.tv_nsec - before.tv_nsec) / 1000);
    shardy_reader *reader = snap_reader(url);

    for (unsigned round = 2; round < rounds + 2; round++) {
        snap_clear(&table);
        make_rows(&table, round);
        useconds_t delay = (useconds_t)(next_random(&random) % (whole + whole / 4));
        int files = snap_count_files(path);
        bool died = build_and_kill(url, spill, &table, round, delay);
        killed += died;
        halfway += died && snap_count_files(path) > files;
        shardy_reader *fresh = snap_reader(url);
        uint32_t now = generation_of(fresh, &table);
        shardy_reader_free(fresh);
        assert_true(now == current || now == round);
        assert_true(died || now == round);
        size_t listed = check_history(url, &table);
        assert_true(listed == manifests || listed == manifests + 1);
        assert_true(listed == manifests + 1 || now == current);
        assert_int_equal(generation_of(reader, &table), 1); /* opened before all */
        assert_int_equal(snap_count_files(spill), 0);
        current = now;
        manifests = listed;
    }
    print_message("# %u of %u builds were killed, %u of them left files\n", killed, rounds,
                  halfway);
    assert_true(killed > 0);
    snap_clear(&table);
    make_rows(&table, 1000);
    snap_ok(build(url, spill, &table, 1000, err));
    snap_check(url, &table, 6);
    bool changed = false;
    snap_ok(shardy_reader_refresh(reader, &changed, err)); /* published by others */
    assert_true(changed);
    assert_int_equal(generation_of(reader, &table), 1000);
    shardy_reader_free(reader);
    snap_clear(&table);
    remove_folder(path);
    remove_folder(spill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
