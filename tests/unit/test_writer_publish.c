/*
 * test_writer_publish.c - the end of a build: cancellation and abandoned builds, publish policies,
 * builds that race for the pointer or for a run id, events and progress.
 */
#include "snapshot_sample.h"

#include <pthread.h>

struct place {
    char path[256];
    char url[256];
    struct snap_table table;
};

static int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    place->table.encoding = SHARDY_KEY_U64BE;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    remove_folder(place->path);
    snap_clear(&place->table);
    free(place);
    return 0;
}

/* ---- cancellation ---------------------------------------------------------------------------- */

static shardy_writer *running; /* for the callbacks */
static shardy_phase cancel_in;

static void cancel_at_phase(void *arg, const shardy_progress *progress)
{
    (void)arg;
    if (progress->phase == cancel_in) {
        shardy_writer_cancel(running);
    }
}

static void test_cancel_from_progress(void **state)
{
    struct place *place = *state;
    for (int phase = SHARDY_PHASE_READ; phase <= SHARDY_PHASE_BUILD; phase++) {
        struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
        shardy_error error = SHARDY_ERROR_INIT;
        snap_fill_table(&table, 60000, 50, 1);
        cancel_in = (shardy_phase)phase;
        shardy_writer_options options = snap_options(place->url, &table, 6);
        options.progress = cancel_at_phase;
        snap_ok(shardy_writer_open(&options, &running, err));
        shardy_status st = snap_feed_all(running, &table, SNAP_BATCHES, &error);
        if (st == SHARDY_OK) {
            st = shardy_writer_finish(running, NULL, &error);
        }
        assert_int_equal(st, SHARDY_CANCELLED);
        assert_int_equal(error.status, SHARDY_CANCELLED);
        shardy_writer_free(running);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        assert_int_equal(snap_count_files(place->path), 0);
        snap_clear(&table);
    }
}

static void *cancel_later(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg);
    shardy_writer_cancel(running);
    return NULL;
}

static void test_cancel_from_thread(void **state)
{
    struct place *place = *state;
    snap_fill_table(&place->table, 50000, 200, 1);
    for (uintptr_t delay = 0; delay < 40000; delay += 4000) {
        pthread_t thread;
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_writer_options options = snap_options(place->url, &place->table, 4);
        snap_ok(shardy_writer_open(&options, &running, err));
        assert_int_equal(pthread_create(&thread, NULL, cancel_later, (void *)delay), 0);
        shardy_status st = snap_feed_all(running, &place->table, SNAP_BATCHES, &error);
        if (st == SHARDY_OK) {
            st = shardy_writer_finish(running, NULL, &error);
        }
        pthread_join(thread, NULL);
        shardy_writer_free(running);
        if (st == SHARDY_OK) {
            snap_check(place->url, &place->table, 4);
            break;
        }
        assert_int_equal(st, SHARDY_CANCELLED);
        if (snap_count_files(place->path) > 0) {
            /* Between manifest and pointer: a whole snapshot that nobody was told of. */
            char pointer[300];
            snprintf(pointer, sizeof pointer, "%s/_CURRENT", place->path);
            assert_int_not_equal(access(pointer, F_OK), 0);
            break;
        }
    }
}

static void test_abandoned(void **state)
{
    struct place *place = *state;
    shardy_writer *writer = NULL;
    snap_fill_table(&place->table, 5000, 200, 1);
    shardy_writer_options options = snap_options(place->url, &place->table, 4);
    snap_ok(shardy_writer_open(&options, &writer, err));
    snap_ok(snap_feed_all(writer, &place->table, SNAP_MIXED, err));
    shardy_writer_free(writer);
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
    assert_int_equal(snap_count_files(place->path), 0);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void test_policies(void **state)
{
    struct place *place = *state;
    struct snap_table other = {.encoding = SHARDY_KEY_U64BE};
    shardy_build_result first;
    shardy_build_result result;
    char wrong[1024];
    snap_add_int(&place->table, 1, "first", 5);
    snap_add_int(&other, 1, "second", 6);

    shardy_writer_options options = snap_options(place->url, &place->table, 1);
    options.policy = SHARDY_PUBLISH_EXPECT; /* nothing there yet */
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &first, err));
    assert_null(first.replaced_run_id);
    assert_true(first.guarded);

    snap_fails(SHARDY_CONFLICT, first.run_id,
               snap_build(&options, &other, SNAP_ROWS, &result, err));
    assert_false(result.published);
    assert_non_null(result.manifest_ref); /* written, not current */
    snprintf(wrong, sizeof wrong, "%s", result.manifest_ref);
    shardy_build_result_clear(&result);
    snap_check(place->url, &place->table, 1);

    options.expected_ref = wrong;
    snap_fails(SHARDY_CONFLICT, first.run_id, snap_build(&options, &other, SNAP_ROWS, NULL, err));
    snap_check(place->url, &place->table, 1);

    options.expected_ref = first.manifest_ref;
    snap_ok(snap_build(&options, &other, SNAP_ROWS, &result, err));
    assert_string_equal(result.replaced_run_id, first.run_id);
    assert_string_equal(result.replaced_ref, first.manifest_ref);
    snap_check(place->url, &other, 1);

    options = snap_options(place->url, &place->table, 1);
    shardy_build_result latest;
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &latest, err));
    assert_string_equal(latest.replaced_run_id, result.run_id);
    snap_check(place->url, &place->table, 1);
    shardy_build_result_clear(&latest);
    shardy_build_result_clear(&result);
    shardy_build_result_clear(&first);
    snap_clear(&other);
}

static void test_no_publish(void **state)
{
    struct place *place = *state;
    char current[300];
    shardy_build_result result;
    shardy_reader *reader = NULL;
    snap_add_int(&place->table, 1, "v", 1);
    shardy_writer_options options = snap_options(place->url, &place->table, 1);
    options.no_publish = true;
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &result, err));
    assert_false(result.published);
    assert_null(result.replaced_run_id);
    snprintf(current, sizeof current, "%s/_CURRENT", place->path);
    assert_int_not_equal(access(current, F_OK), 0);
    shardy_reader_options pinned = SHARDY_READER_OPTIONS_INIT;
    pinned.url = place->url;
    pinned.pin_ref = result.manifest_ref;
    snap_ok(shardy_reader_open(&pinned, &reader, err));
    shardy_key key = shardy_key_int(1);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(reader, &key, &value, err));
    assert_int_equal(value.size, 1);
    shardy_value_clear(&value);
    shardy_reader_free(reader);
    shardy_build_result_clear(&result);
}

struct racer {
    struct place *place;
    struct snap_table table;
    shardy_build_result result;
    shardy_publish_policy policy;
    const char *run_id;
    shardy_status status;
    shardy_error error;
};

#define RACERS 4

static void *race(void *arg)
{
    struct racer *racer = arg;
    shardy_writer_options options = snap_options(racer->place->url, &racer->table, 2);
    options.policy = racer->policy;
    options.run_id = racer->run_id;
    racer->status = snap_build(&options, &racer->table, SNAP_ROWS, &racer->result, &racer->error);
    return NULL;
}

/* Builds at once, each with rows of its own. @return how many succeeded, *last = one of them */
static size_t run_race(struct place *place, struct racer racers[RACERS],
                       shardy_publish_policy policy, const char *run_id, size_t *last)
{
    pthread_t threads[RACERS];
    size_t winners = 0;
    memset(racers, 0, RACERS * sizeof *racers);
    for (uint64_t i = 0; i < RACERS; i++) {
        racers[i].place = place;
        racers[i].policy = policy;
        racers[i].run_id = run_id;
        for (uint64_t row = 0; row < 2000; row++) {
            uint64_t value = 10 * row + i;
            snap_add_int(&racers[i].table, row, &value, sizeof value);
        }
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        if (racers[i].status == SHARDY_OK) {
            winners++;
            *last = i;
        } else if (racers[i].status != SHARDY_CONFLICT) {
            fail_msg("%s: %s", shardy_status_name(racers[i].status), racers[i].error.message);
        }
    }
    return winners;
}

static void clear_race(struct racer racers[RACERS])
{
    for (size_t i = 0; i < RACERS; i++) {
        shardy_build_result_clear(&racers[i].result);
        snap_clear(&racers[i].table);
    }
}

/* P12: of publishers with the same base exactly one wins. */
static void test_race_expect(void **state)
{
    struct racer racers[RACERS];
    size_t winner = 0;
    assert_int_equal(run_race(*state, racers, SHARDY_PUBLISH_EXPECT, NULL, &winner), 1);
    snap_check(racers[winner].place->url, &racers[winner].table, 2);
    clear_race(racers);
}

/* The last swap wins; each but one replaced another's run, no run was replaced twice. */
static void test_race_latest(void **state)
{
    struct racer racers[RACERS];
    struct place *place = *state;
    size_t last = 0;
    size_t first = 0;
    size_t current = 0;
    assert_int_equal(run_race(place, racers, SHARDY_PUBLISH_LATEST, NULL, &last), RACERS);
    for (size_t i = 0; i < RACERS; i++) {
        size_t replaced_by = 0;
        first += racers[i].result.replaced_run_id == NULL;
        for (size_t j = 0; j < RACERS; j++) {
            const char *replaced = racers[j].result.replaced_run_id;
            replaced_by += replaced && strcmp(replaced, racers[i].result.run_id) == 0;
        }
        assert_true(replaced_by <= 1);
        current = replaced_by ? current : i;
    }
    assert_int_equal(first, 1);
    snap_check(place->url, &racers[current].table, 2);
    clear_race(racers);
}

/* P17: one run id, several builds at once: one wins and is whole, or none and nothing is visible.
 */
static void test_race_run_id(void **state)
{
    struct place *place = *state;
    for (unsigned round = 0; round < 10; round++) {
        struct racer racers[RACERS];
        char run_id[16];
        size_t winner = 0;
        snprintf(run_id, sizeof run_id, "run%u", round);
        size_t winners = run_race(place, racers, SHARDY_PUBLISH_LATEST, run_id, &winner);
        assert_true(winners <= 1);
        if (winners) {
            snap_check(place->url, &racers[winner].table, 2);
        }
        clear_race(racers);
    }
}

/* ---- events and progress ----------------------------------------------------------------------
 */

struct trace {
    char names[32][40];
    size_t count;
    int64_t rows_written;
    unsigned shards;
    bool payload_ok;
    shardy_progress last;
    pthread_mutex_t lock;
};

static bool has_field(const shardy_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void trace_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct trace *trace = arg;
    pthread_mutex_lock(&trace->lock);
    if (trace->count < COUNT_OF(trace->names)) {
        snprintf(trace->names[trace->count++], sizeof trace->names[0], "%s", event);
    }
    trace->payload_ok = trace->payload_ok && has_field(fields, count, "elapsed_ms");
    if (strcmp(event, "write.shard.completed") == 0) {
        trace->shards++;
        trace->payload_ok = trace->payload_ok && has_field(fields, count, "duration_ms") &&
                            has_field(fields, count, "row_count");
    }
    if (strcmp(event, "write.completed") == 0) {
        assert_true(has_field(fields, count, "rows_written"));
        for (size_t i = 0; i < count; i++) {
            if (strcmp(fields[i].name, "rows_written") == 0) {
                trace->rows_written = fields[i].integer;
            }
        }
    }
    pthread_mutex_unlock(&trace->lock);
}

static void trace_progress(void *arg, const shardy_progress *progress)
{
    struct trace *trace = arg;
    assert_true(progress->phase >= trace->last.phase);
    assert_true(progress->rows >= trace->last.rows);
    assert_true(progress->built_rows >= trace->last.built_rows);
    trace->last = *progress;
}

static size_t event_at(const struct trace *trace, const char *name)
{
    for (size_t i = 0; i < trace->count; i++) {
        if (strcmp(trace->names[i], name) == 0) {
            return i;
        }
    }
    fail_msg("no event %s", name);
    return 0;
}

static void test_events(void **state)
{
    static const char *const order[] = {"write.started", "write.shards_completed",
                                        "write.manifest_published", "write.current_published",
                                        "write.completed"};
    struct place *place = *state;
    struct trace trace = {.payload_ok = true};
    const shardy_event_sink sink = {trace_event, &trace};
    pthread_mutex_init(&trace.lock, NULL);
    snap_fill_table(&place->table, 5000, 20, 9);
    shardy_writer_options options = snap_options(place->url, &place->table, 3);
    options.events = &sink;
    options.progress = trace_progress;
    options.progress_arg = &trace;
    snap_ok(snap_build(&options, &place->table, SNAP_MIXED, NULL, err));
    for (size_t i = 0, last = 0; i < COUNT_OF(order); i++) {
        size_t at = event_at(&trace, order[i]);
        assert_true(at >= last);
        last = at;
    }
    assert_string_equal(trace.names[0], "write.started");
    assert_string_equal(trace.names[trace.count - 1], "write.completed");
    assert_int_equal(trace.shards, 3);
    assert_true(trace.payload_ok);
    assert_int_equal(trace.rows_written, 5000);
    assert_int_equal(trace.last.phase, SHARDY_PHASE_DONE);
    assert_int_equal(trace.last.built_rows, 5000);
    assert_int_equal(trace.last.shards_done, 3);
    assert_int_equal(trace.last.num_dbs, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cancel_from_progress),
        CASE(test_cancel_from_thread),
        CASE(test_abandoned),
        CASE(test_policies),
        CASE(test_no_publish),
        CASE(test_race_expect),
        CASE(test_race_latest),
        CASE(test_race_run_id),
        CASE(test_events),
    };
    return cmocka_run_group_tests_name("writer_publish", tests, NULL, NULL);
}
