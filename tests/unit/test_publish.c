/*
 * test_publish.c - the publish protocol against a model: random histories of publish, rollback and
 * list by several publishers, with requests that fail and answers that get lost at every point.
 *
 * The model is what the protocol promises: a call that says "published" has made its run current at
 * some moment; a call that says "not published" never becomes current; what is current, and all of
 * the history, can be loaded; EXPECT never replaces another run than the expected one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/parallel.h"
#include "manifest/manifest_store.h"
#include "store/store_fault.h"
#include "store_sample.h"

#define MAX_RUNS 64

enum outcome { OUTCOME_NONE, OUTCOME_PUBLISHED, OUTCOME_NOT, OUTCOME_UNKNOWN };

/* One world: a memory store seen directly and through faults. */
struct world {
    struct sfi_store *inner;
    struct sfi_store *faulty;
    struct sfi_manifest_store *manifests; /* through faults */
    struct sfi_manifest_store *truth;     /* without */
    uint64_t random;
    unsigned fault_percent;
    unsigned long request;                   /* requests so far */
    unsigned long fault_at;                  /* fail exactly this one; 0 = by percentage */
    enum sfi_fault fault;                    /* how, for fault_at */
    void (*before_put)(struct world *world); /* interference by another publisher */
    unsigned runs;
    enum outcome outcomes[MAX_RUNS];
    char *refs[MAX_RUNS]; /* of manifests that are stored */
    unsigned logs;
    char last_log[64];
};

static enum sfi_fault decide(void *arg, const char *operation, const char *key)
{
    static const enum sfi_fault kinds[] = {SFI_FAULT_FAIL, SFI_FAULT_FULL,
                                           SFI_FAULT_APPLY_THEN_LOSE, SFI_FAULT_LOSE};
    struct world *world = arg;
    world->request++;
    if (world->before_put && !strcmp(operation, "put") && strstr(key, "_CURRENT")) {
        world->before_put(world);
    }
    if (world->fault_at) {
        return world->request == world->fault_at ? world->fault : SFI_FAULT_NONE;
    }
    uint64_t r = next_random(&world->random);
    return r % 100 < world->fault_percent ? kinds[(r >> 32) % 4] : SFI_FAULT_NONE;
}

static void open_world(struct world *world, uint64_t seed, unsigned fault_percent)
{
    static atomic_uint names;
    char url[64];
    memset(world, 0, sizeof *world);
    snprintf(url, sizeof url, "memory://publish-%u/p", atomic_fetch_add(&names, 1));
    world->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    world->fault_percent = fault_percent;
    assert_int_equal(sfi_store_open(url, NULL, &world->inner, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_fault_open(world->inner, decide, world, &world->faulty, NULL),
                     SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(world->faulty, NULL, false, &world->manifests, NULL),
                     SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(world->inner, NULL, false, &world->truth, NULL),
                     SHARDY_OK);
}

static void close_world(struct world *world)
{
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(world->inner, "", true, &list, NULL), SHARDY_OK);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(sfi_store_delete(world->inner, list.entries[i].name, NULL), SHARDY_OK);
    }
    sfi_store_list_clear(&list);
    for (unsigned i = 0; i < MAX_RUNS; i++) {
        sfi_free(world->refs[i]);
    }
    sfi_manifest_store_close(world->manifests);
    sfi_manifest_store_close(world->truth);
    sfi_store_release(world->faulty);
    sfi_store_release(world->inner);
}

static shardy_status publish_run(struct sfi_manifest_store *store, unsigned run,
                                 const struct sfi_publish_options *options,
                                 struct sfi_publish_result *result, shardy_error *err)
{
    char run_id[32];
    snprintf(run_id, sizeof run_id, "run-%u", run);
    struct sfi_build_meta meta = sample_meta(run_id, 4);
    return store->ops->publish(store, &meta, NULL, 0, options, result, err);
}

/* Run number that the pointer names in truth; -1 without pointer. */
static int current_run(struct world *world)
{
    struct sfi_ref ref;
    bool found;
    assert_int_equal(world->truth->ops->load_current(world->truth, &ref, &found, NULL), SHARDY_OK);
    int run = found ? atoi(ref.run_id + 4) : -1;
    if (found) {
        /* I2: what the pointer names exists. */
        struct sfi_manifest *manifest;
        assert_int_equal(world->truth->ops->load_manifest(world->truth, ref.ref, &manifest, NULL),
                         SHARDY_OK);
        assert_string_equal(sfi_manifest_meta(manifest)->run_id, ref.run_id);
        sfi_manifest_close(manifest);
        sfi_ref_clear(&ref);
    }
    return run;
}

static enum outcome outcome_of(shardy_status st)
{
    return st == SHARDY_OK        ? OUTCOME_PUBLISHED
           : st == SHARDY_UNKNOWN ? OUTCOME_UNKNOWN
                                  : OUTCOME_NOT;
}

/* The statuses of the header and no others; published exactly when OK. */
static void check_status(shardy_status st, const struct sfi_publish_result *result)
{
    assert_true(st == SHARDY_OK || st == SHARDY_UNKNOWN || st == SHARDY_PUBLISH ||
                st == SHARDY_CONFLICT || st == SHARDY_STORE || st == SHARDY_IO);
    assert_int_equal(result->published, st == SHARDY_OK);
    if (st == SHARDY_PUBLISH || st == SHARDY_OK) {
        assert_non_null(result->manifest_ref);
    }
}

static void step_publish(struct world *world)
{
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    struct sfi_ref seen = {NULL, NULL, 0};
    bool found = false;
    unsigned run = world->runs++;
    int before = current_run(world);
    options.expect = next_random(&world->random) % 3 == 0;
    if (options.expect) {
        assert_int_equal(world->truth->ops->load_current(world->truth, &seen, &found, NULL),
                         SHARDY_OK);
        options.expected_ref = found ? seen.ref : NULL;
    }
    shardy_status st = publish_run(world->manifests, run, &options, &result, NULL);
    check_status(st, &result);
    world->outcomes[run] = outcome_of(st);
    int after = current_run(world);
    assert_true(after == before || after == (int)run);
    if (st == SHARDY_OK) {
        assert_int_equal(after, run);
        if (before >= 0) {
            char expected[32];
            snprintf(expected, sizeof expected, "run-%d", before);
            assert_string_equal(result.replaced_run_id, expected);
        } else {
            assert_null(result.replaced_run_id);
        }
    }
    if (world->outcomes[run] == OUTCOME_NOT) {
        assert_int_equal(after, before);
    }
    if (result.manifest_ref) {
        world->refs[run] = sfi_strdup(result.manifest_ref);
    }
    sfi_ref_clear(&seen);
    sfi_publish_result_clear(&result);
}

static void step_rollback(struct world *world)
{
    unsigned run = (unsigned)(next_random(&world->random) % (world->runs ? world->runs : 1));
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    int before = current_run(world);
    if (!world->refs[run]) {
        return;
    }
    shardy_status st = world->manifests->ops->set_current(world->manifests, world->refs[run],
                                                          &options, &result, NULL);
    check_status(st, &result);
    int after = current_run(world);
    assert_true(after == before || after == (int)run);
    if (st == SHARDY_OK) {
        assert_int_equal(after, run);
    } else if (st != SHARDY_UNKNOWN) {
        assert_int_equal(after, before);
    }
    sfi_publish_result_clear(&result);
}

/* I3: every stored manifest stays in the history and loads; newest first. */
static void check_history(struct world *world)
{
    struct sfi_ref *refs;
    size_t count;
    size_t known = 0;
    assert_int_equal(world->truth->ops->list(world->truth, SIZE_MAX, &refs, &count, NULL),
                     SHARDY_OK);
    for (unsigned run = 0; run < world->runs; run++) {
        size_t hits = 0;
        for (size_t i = 0; i < count; i++) {
            hits += world->refs[run] && strcmp(refs[i].ref, world->refs[run]) == 0;
        }
        assert_int_equal(hits, world->refs[run] != NULL);
        known += hits;
        assert_true(world->outcomes[run] != OUTCOME_PUBLISHED || hits);
    }
    assert_true(count >= known);
    for (size_t i = 0; i < count; i++) {
        struct sfi_manifest *manifest;
        assert_true(i == 0 || refs[i - 1].published_at_us >= refs[i].published_at_us);
        assert_int_equal(
            world->truth->ops->load_manifest(world->truth, refs[i].ref, &manifest, NULL),
            SHARDY_OK);
        sfi_manifest_close(manifest);
    }
    sfi_refs_clear(refs, count);
}

static void random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct world world;
        open_world(&world, seed, seed % 3 == 0 ? 60 : 20);
        for (int step = 0; step < 20; step++) {
            if (next_random(&world.random) % 4) {
                step_publish(&world);
            } else {
                step_rollback(&world);
            }
        }
        check_history(&world);
        close_world(&world);
    }
    print_message("# seeds 1..150\n");
}

/* One fault of every kind at every request of a publish: the outcome the rules give. */
static void every_fault_at_every_request(void **state)
{
    static const enum sfi_fault kinds[] = {SFI_FAULT_FAIL, SFI_FAULT_FULL,
                                           SFI_FAULT_APPLY_THEN_LOSE, SFI_FAULT_LOSE};
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        for (unsigned long at = 1; at <= 4; at++) {
            struct world world;
            struct sfi_publish_options options = {.no_pointer = false};
            struct sfi_publish_result result;
            open_world(&world, at, 0);
            assert_int_equal(publish_run(world.truth, 0, &options, &result, NULL), SHARDY_OK);
            sfi_publish_result_clear(&result);
            world.fault_at = at;
            world.fault = kinds[k];
            shardy_status st = publish_run(world.manifests, 1, &options, &result, NULL);
            /* Requests: 1 put manifest, 2 get pointer, 3 put pointer. One fault is survived, except
             * where the manifest was surely not stored. */
            bool refused = at == 1 && (kinds[k] == SFI_FAULT_FAIL || kinds[k] == SFI_FAULT_FULL);
            assert_int_equal(st == SHARDY_OK, !refused);
            assert_int_equal(current_run(&world), refused ? 0 : 1);
            if (!refused) {
                assert_string_equal(result.replaced_run_id, "run-0");
                assert_true(result.guarded);
            } else {
                assert_int_equal(st, kinds[k] == SFI_FAULT_FAIL ? SHARDY_STORE : SHARDY_IO);
                assert_null(result.manifest_ref);
            }
            sfi_publish_result_clear(&result);
            close_world(&world);
        }
    }
}

/* All requests for the pointer fail from the start: the manifest is stored, the status says so. */
static void everything_fails(void **state)
{
    (void)state;
    for (unsigned percent = 0; percent < 2; percent++) {
        struct world world;
        struct sfi_publish_options options = {.no_pointer = percent == 0};
        struct sfi_publish_result result;
        open_world(&world, 1, 0);
        assert_int_equal(publish_run(world.manifests, 0, &options, &result, NULL), SHARDY_OK);
        assert_int_equal(result.published, percent == 1);
        assert_int_equal(current_run(&world), percent == 1 ? 0 : -1);
        sfi_publish_result_clear(&result);
        world.fault_percent = 100;
        shardy_status st = publish_run(world.manifests, 1, &options, &result, NULL);
        assert_true(st == SHARDY_STORE || st == SHARDY_IO || st == SHARDY_UNKNOWN);
        sfi_publish_result_clear(&result);
        close_world(&world);
    }
}

static void another_publishes_first(struct world *world)
{
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    world->before_put = NULL;
    assert_int_equal(publish_run(world->truth, 50, &options, &result, NULL), SHARDY_OK);
    sfi_publish_result_clear(&result);
}

/* Somebody publishes between our read and our put. */
static void losing_the_race(void **state)
{
    (void)state;
    for (int expect = 0; expect < 2; expect++) {
        struct world world;
        struct sfi_publish_options options = {.expect = expect};
        struct sfi_publish_result result;
        shardy_error err = SHARDY_ERROR_INIT;
        open_world(&world, 1, 0);
        world.before_put = another_publishes_first;
        shardy_status st = publish_run(world.manifests, 1, &options, &result, &err);
        if (expect) {
            assert_int_equal(st, SHARDY_CONFLICT);
            assert_non_null(strstr(err.message, "run-50"));
            assert_int_equal(current_run(&world), 50);
        } else {
            assert_int_equal(st, SHARDY_OK);
            assert_string_equal(result.replaced_run_id, "run-50");
            assert_int_equal(current_run(&world), 1);
        }
        sfi_publish_result_clear(&result);
        close_world(&world);
    }
}

/* Our put took effect, its answer was lost, and a newer run was published before we read back:
 * repeating would undo that run, so the outcome is unknown and nothing is touched. */
static void superseded_after_a_lost_answer(void **state)
{
    struct world world;
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    open_world(&world, 1, 0);
    world.fault_at = 3;
    world.fault = SFI_FAULT_LOSE; /* not applied, and another one is there at the next look */
    world.before_put = another_publishes_first;
    assert_int_equal(publish_run(world.manifests, 1, &options, &result, &err), SHARDY_UNKNOWN);
    assert_non_null(strstr(err.message, "run-50"));
    assert_int_equal(current_run(&world), 50);
    assert_non_null(result.manifest_ref);
    sfi_publish_result_clear(&result);
    close_world(&world);
}

static void rollback_rules(void **state)
{
    struct world world;
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result results[3];
    (void)state;
    open_world(&world, 1, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(publish_run(world.manifests, i, &options, &results[i], NULL), SHARDY_OK);
    }
    options.expect = true;
    options.expected_ref = results[0].manifest_ref;
    assert_int_equal(world.manifests->ops->set_current(world.manifests, results[0].manifest_ref,
                                                       &options, &results[2], NULL),
                     SHARDY_CONFLICT);
    sfi_publish_result_clear(&results[2]);
    options.expected_ref = results[1].manifest_ref;
    assert_int_equal(world.manifests->ops->set_current(world.manifests, results[0].manifest_ref,
                                                       &options, &results[2], NULL),
                     SHARDY_OK);
    assert_int_equal(current_run(&world), 0);
    sfi_publish_result_clear(&results[2]);
    options.expect = false;
    static const char *const bad[] = {"memory://elsewhere/manifests/x/manifest", "s3://b/p/m", "",
                                      "file:///etc/passwd"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(
            world.manifests->ops->set_current(world.manifests, bad[i], &options, &results[2], NULL),
            SHARDY_CONFIG);
        sfi_publish_result_clear(&results[2]);
    }
    char missing[128];
    snprintf(missing, sizeof missing, "%s/manifests/x_run_id=q/manifest", world.inner->url);
    assert_int_equal(
        world.manifests->ops->set_current(world.manifests, missing, &options, &results[2], NULL),
        SHARDY_NOT_FOUND);
    sfi_publish_result_clear(&results[2]);
    for (unsigned i = 0; i < 2; i++) {
        sfi_publish_result_clear(&results[i]);
    }
    close_world(&world);
}

/* A pointer that is no pointer: `latest` repairs it, EXPECT refuses. */
static void malformed_pointers_can_be_replaced(void **state)
{
    static char large[SFI_POINTER_MAX_BYTES + 1];
    (void)state;
    memset(large, 'x', sizeof large);
    for (int i = 0; i < 2; i++) {
        struct world world;
        struct sfi_publish_options options = {.expect = true};
        struct sfi_publish_result result;
        struct sfi_bytes body = {(const uint8_t *)large, i ? sizeof large : 3};
        open_world(&world, 1, 0);
        assert_int_equal(
            sfi_store_put(world.inner, "_CURRENT", body, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
            SHARDY_OK);
        assert_int_equal(publish_run(world.manifests, 0, &options, &result, NULL), SHARDY_CONFLICT);
        sfi_publish_result_clear(&result);
        options.expect = false;
        assert_int_equal(publish_run(world.manifests, 1, &options, &result, NULL), SHARDY_OK);
        assert_null(result.replaced_run_id);
        assert_int_equal(current_run(&world), 1);
        sfi_publish_result_clear(&result);
        close_world(&world);
    }
}

/* A store without conditional writes is named, never taken for guarded. */
static void unguarded_stores_are_named(void **state)
{
    struct world world;
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    (void)state;
    open_world(&world, 1, 0);
    struct sfi_store_ops ops = *world.faulty->ops;
    const struct sfi_store_ops *old = world.faulty->ops;
    ops.conditional = false;
    world.faulty->ops = &ops;
    assert_int_equal(publish_run(world.manifests, 0, &options, &result, NULL), SHARDY_OK);
    assert_false(result.guarded);
    assert_int_equal(current_run(&world), 0);
    sfi_publish_result_clear(&result);
    world.faulty->ops = old;
    close_world(&world);
}

static void record(void *arg, shardy_log_level level, const char *logger, const char *event,
                   const shardy_field *fields, size_t count)
{
    struct world *world = arg;
    assert_string_equal(logger, "manifest");
    assert_true(level >= SHARDY_LOG_INFO && count >= 2 && fields[0].name);
    world->logs++;
    snprintf(world->last_log, sizeof world->last_log, "%s", event);
}

static void outcomes_are_logged(void **state)
{
    struct world world;
    struct sfi_observer observer;
    struct sfi_publish_options options = {.observer = &observer};
    struct sfi_publish_result result;
    shardy_log_sink sink = {record, &world, SHARDY_LOG_DEBUG};
    (void)state;
    open_world(&world, 1, 0);
    sfi_observer_init(&observer, NULL, &sink);
    assert_int_equal(publish_run(world.manifests, 0, &options, &result, NULL), SHARDY_OK);
    assert_string_equal(world.last_log, "manifest_published");
    assert_int_equal(world.logs, 1);
    sfi_publish_result_clear(&result);
    world.fault_at = world.request + 3;
    world.fault = SFI_FAULT_FAIL;
    assert_int_equal(publish_run(world.manifests, 1, &options, &result, NULL), SHARDY_OK);
    assert_int_equal(world.logs, 3); /* publish_current_retry, manifest_published */
    sfi_publish_result_clear(&result);
    world.fault_at = world.request + 1;
    assert_int_equal(publish_run(world.manifests, 2, &options, &result, NULL), SHARDY_STORE);
    assert_string_equal(world.last_log, "manifest_publish_failed");
    sfi_publish_result_clear(&result);
    close_world(&world);
}

#define PUBLISHERS 3
#define EACH       8
struct racers {
    struct sfi_manifest_store *manifests;
    atomic_uint replaced[PUBLISHERS * EACH + 1];
};

static shardy_status race(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct racers *racers = arg;
    (void)worker;
    for (unsigned i = 0; i < EACH; i++) {
        struct sfi_publish_options options = {.no_pointer = false};
        struct sfi_publish_result result;
        unsigned run = (unsigned)index * EACH + i;
        SFI_RETURN_IF_ERR(publish_run(racers->manifests, run, &options, &result, err));
        int replaced =
            result.replaced_run_id ? atoi(result.replaced_run_id + 4) : PUBLISHERS * EACH;
        atomic_fetch_add(&racers->replaced[replaced], 1);
        sfi_publish_result_clear(&result);
    }
    return SHARDY_OK;
}

/* Publishers at once: the runs form one chain, each replaced exactly once but the last. */
static void race_on(const char *url)
{
    struct racers racers;
    struct sfi_store *store;
    shardy_error err = SHARDY_ERROR_INIT;
    unsigned never = 0;
    memset(&racers, 0, sizeof racers);
    assert_int_equal(sfi_store_open(url, NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, NULL, false, &racers.manifests, NULL),
                     SHARDY_OK);
    if (sfi_parallel(PUBLISHERS, PUBLISHERS, race, &racers, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    for (unsigned i = 0; i < PUBLISHERS * EACH; i++) {
        assert_true(racers.replaced[i] <= 1);
        never += racers.replaced[i] == 0;
    }
    assert_int_equal(racers.replaced[PUBLISHERS * EACH], 1);
    assert_int_equal(never, 1);
    sfi_manifest_store_close(racers.manifests);
    sfi_store_release(store);
}

static void publishers_at_once(void **state)
{
    char path[256];
    char url[256];
    struct sfi_store *store;
    struct sfi_store_list list;
    (void)state;
    race_on("memory://race/p");
    assert_int_equal(sfi_store_open("memory://race/p", NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_list(store, "", true, &list, NULL), SHARDY_OK);
    assert_int_equal(list.count, PUBLISHERS * EACH + 1);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(sfi_store_delete(store, list.entries[i].name, NULL), SHARDY_OK);
    }
    sfi_store_list_clear(&list);
    sfi_store_release(store);
    make_folder(path, url);
    race_on(url);
    remove_folder(path);
}

static void every_allocation_may_fail(void **state)
{
    bool done = false;
    (void)state;
    for (unsigned long n = 1; !done; n++) {
        struct world world;
        struct sfi_publish_options options = {.no_pointer = false};
        struct sfi_publish_result result;
        open_world(&world, 1, 0);
        assert_int_equal(publish_run(world.truth, 0, &options, &result, NULL), SHARDY_OK);
        sfi_publish_result_clear(&result);
        install_failing_allocator();
        fail_allocation(n);
        shardy_status st = publish_run(world.manifests, 1, &options, &result, NULL);
        bool spent = atomic_load(&alloc_count) < n;
        fail_allocation(0);
        /* The fault store answers a failed allocation with STORE, which is survived. */
        assert_true(st == SHARDY_OK || st == SHARDY_NO_MEMORY || st == SHARDY_LIMIT ||
                    st == SHARDY_STORE || st == SHARDY_PUBLISH);
        assert_int_equal(current_run(&world), st == SHARDY_OK ? 1 : 0);
        done = spent;
        sfi_publish_result_clear(&result);
        close_world(&world);
        shardy_set_allocator(NULL);
        assert_true(n < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories),
        cmocka_unit_test(every_fault_at_every_request),
        cmocka_unit_test(everything_fails),
        cmocka_unit_test(losing_the_race),
        cmocka_unit_test(superseded_after_a_lost_answer),
        cmocka_unit_test(rollback_rules),
        cmocka_unit_test(malformed_pointers_can_be_replaced),
        cmocka_unit_test(unguarded_stores_are_named),
        cmocka_unit_test(outcomes_are_logged),
        cmocka_unit_test(publishers_at_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
