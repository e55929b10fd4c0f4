/*
 * test_publish_faults.c - publish.c and guard.c under one fault at a time: lost, late and refused
 * answers, stores that ignore conditions, clocks that disagree, cancellation. The names are the
 * rows of the project's list of faults; histories of several faults are in tests/model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "manifest/manifest_internal.h"
#include "store/store_fault.h"
#include "store_sample.h"

#include <limits.h>

/* A script: what happens to the n-th request of an operation on keys that contain `key`. */
struct script {
    struct sfi_store *inner;
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    const char *operation;
    const char *key;
    unsigned from;  /* 1 = the first */
    unsigned until; /* the last */
    enum sfi_fault fault;
    unsigned hits;
    unsigned requests;
    atomic_bool cancelled;
    unsigned cancel_at;   /* set `cancelled` with the n-th hit */
    unsigned intruder_at; /* run-50 is published before the n-th hit */
};

static shardy_status publish_run(struct sfi_manifest_store *store, unsigned run,
                                 const struct sfi_publish_options *options,
                                 struct sfi_publish_result *result, shardy_error *err)
{
    char run_id[32];
    snprintf(run_id, sizeof run_id, "run-%u", run);
    struct sfi_build_meta meta = sample_meta(run_id, 4);
    return store->ops->publish(store, &meta, NULL, 0, options, result, err);
}

static void intrude(struct script *script)
{
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    struct sfi_manifest_store *truth;
    assert_int_equal(sfi_manifest_store_object(script->inner, NULL, false, &truth, NULL),
                     SHARDY_OK);
    assert_int_equal(publish_run(truth, 50, &options, &result, NULL), SHARDY_OK);
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(truth);
}

static enum sfi_fault follow(void *arg, const char *operation, const char *key)
{
    struct script *script = arg;
    script->requests++;
    if (strcmp(operation, script->operation) != 0 || !strstr(key, script->key)) {
        return SFI_FAULT_NONE;
    }
    script->hits++;
    if (script->hits == script->cancel_at) {
        atomic_store(&script->cancelled, true);
    }
    if (script->hits == script->intruder_at) {
        intrude(script);
    }
    return script->hits >= script->from && script->hits <= script->until ? script->fault
                                                                         : SFI_FAULT_NONE;
}

static void open_script(struct script *script)
{
    static atomic_uint names;
    char url[64];
    snprintf(url, sizeof url, "memory://script-%u/p", atomic_fetch_add(&names, 1));
    assert_int_equal(sfi_store_open(url, NULL, &script->inner, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_fault_open(script->inner, follow, script, &script->store, NULL),
                     SHARDY_OK);
    assert_int_equal(
        sfi_manifest_store_object(script->store, NULL, false, &script->manifests, NULL), SHARDY_OK);
}

static size_t count_objects(struct sfi_store *store)
{
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(store, "", true, &list, NULL), SHARDY_OK);
    size_t count = list.count;
    sfi_store_list_clear(&list);
    return count;
}

static void close_script(struct script *script)
{
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(script->inner, "", true, &list, NULL), SHARDY_OK);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(sfi_store_delete(script->inner, list.entries[i].name, NULL), SHARDY_OK);
    }
    sfi_store_list_clear(&list);
    sfi_manifest_store_close(script->manifests);
    sfi_store_release(script->store);
    sfi_store_release(script->inner);
}

/* Publish run-1 over nothing under a script; the pointer is looked at afterwards. */
static shardy_status play(struct script *script, struct sfi_publish_result *result,
                          shardy_error *err)
{
    struct sfi_publish_options options = {.cancelled = &script->cancelled};
    open_script(script);
    shardy_status st = publish_run(script->manifests, 1, &options, result, err);
    uint64_t size;
    shardy_status pointer = sfi_store_head(script->inner, "_CURRENT", &size, NULL, NULL);
    assert_int_equal(pointer == SHARDY_OK, result->published);
    return st;
}

/* P8: the manifest's answer is lost every time; what is there in the end decides. */
static void p8_manifest_answer_lost(void **state)
{
    (void)state;
    struct script applied = {.operation = "put", .key = "manifests/", .from = 1, .until = 9};
    struct sfi_publish_result result;
    applied.fault = SFI_FAULT_APPLY_THEN_LOSE;
    assert_int_equal(play(&applied, &result, NULL), SHARDY_OK);
    assert_int_equal(applied.hits, 1); /* the look found our bytes */
    sfi_publish_result_clear(&result);
    close_script(&applied);

    struct script lost = {.operation = "put", .key = "manifests/", .from = 1, .until = 9};
    lost.fault = SFI_FAULT_LATE;
    assert_int_equal(play(&lost, &result, NULL), SHARDY_UNKNOWN);
    assert_null(result.manifest_ref);
    assert_int_equal(sfi_store_fault_late_count(lost.store), lost.hits);
    sfi_publish_result_clear(&result);
    close_script(&lost);
}

/* P8: other bytes under the key are never overwritten, with conditions or without. */
static void p8_foreign_manifest_stays(void **state)
{
    (void)state;
    for (int conditional = 0; conditional < 2; conditional++) {
        struct script script = {.operation = "none", .key = "manifests/"};
        struct sfi_publish_options options = {.no_pointer = false};
        struct sfi_buf stored;
        open_script(&script);
        sfi_store_fault_set_kind(script.store, false, conditional);
        assert_int_equal(sfi_store_put(script.inner, "manifests/m/manifest", bytes_of("theirs"),
                                       NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
                         SHARDY_OK);
        assert_int_equal(sfi_manifest_put(script.store, "manifests/m/manifest", bytes_of("ours"),
                                          &options, NULL),
                         SHARDY_CONFLICT);
        assert_int_equal(sfi_manifest_put(script.store, "manifests/m/manifest", bytes_of("theirs"),
                                          &options, NULL),
                         SHARDY_OK);
        sfi_buf_init(&stored, 100);
        assert_int_equal(
            sfi_store_get(script.inner, "manifests/m/manifest", 0, &stored, NULL, NULL), SHARDY_OK);
        assert_int_equal(sfi_bytes_compare(sfi_buf_view(&stored), bytes_of("theirs")), 0);
        sfi_buf_clear(&stored);
        close_script(&script);
    }
}

/* P9: the pointer's answer is lost, applied or not; one look, and at most one more put. */
static void p9_pointer_answer_lost(void **state)
{
    static const enum sfi_fault kinds[] = {SFI_FAULT_APPLY_THEN_LOSE, SFI_FAULT_LOSE,
                                           SFI_FAULT_LATE};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct script script = {.operation = "put", .key = "_CURRENT", .from = 1, .until = 1};
        struct sfi_publish_result result;
        script.fault = kinds[i];
        assert_int_equal(play(&script, &result, NULL), SHARDY_OK);
        assert_int_equal(script.hits, i == 0 ? 1 : 2);
        if (kinds[i] == SFI_FAULT_LATE) { /* the first one arrives after all: nothing changes */
            struct sfi_buf before;
            struct sfi_buf after;
            sfi_buf_init(&before, SFI_POINTER_MAX_BYTES);
            sfi_buf_init(&after, SFI_POINTER_MAX_BYTES);
            assert_int_equal(sfi_store_get(script.inner, "_CURRENT", 0, &before, NULL, NULL),
                             SHARDY_OK);
            sfi_free(sfi_store_fault_apply_late(script.store, 0));
            assert_int_equal(sfi_store_get(script.inner, "_CURRENT", 0, &after, NULL, NULL),
                             SHARDY_OK);
            assert_int_equal(sfi_bytes_compare(sfi_buf_view(&before), sfi_buf_view(&after)), 0);
            sfi_buf_clear(&before);
            sfi_buf_clear(&after);
        }
        sfi_publish_result_clear(&result);
        close_script(&script);
    }
}

/* P10: 409 is repeated under the same condition, for the manifest and for the pointer. */
static void p10_conflict_in_flight(void **state)
{
    static const char *const keys[] = {"manifests/", "_CURRENT"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct script script = {.operation = "put", .from = 1, .until = 2};
        struct sfi_publish_result result;
        script.key = keys[i];
        script.fault = SFI_FAULT_REFUSE;
        assert_int_equal(play(&script, &result, NULL), SHARDY_OK);
        assert_int_equal(script.hits, 3);
        assert_null(result.replaced_ref);
        sfi_publish_result_clear(&result);
        close_script(&script);
    }
}

/*
 * A middlebox sends every write twice, and the answer that arrives is a refusal: publish and
 * rollback find their own bytes and say so, whatever they expected, and with one repeat or many.
 */
static void p10_sent_twice(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct script script = {.operation = "put", .key = "", .from = 1};
        struct sfi_publish_options options = {.expect = i % 2};
        struct sfi_publish_result results[3];
        shardy_error err = SHARDY_ERROR_INIT;
        script.key = i / 2 ? "_CURRENT" : "";
        script.until = UINT_MAX;
        script.fault = SFI_FAULT_TWICE;
        open_script(&script);
        for (unsigned run = 0; run < 2; run++) {
            options.expected_ref = run ? results[0].manifest_ref : NULL;
            assert_int_equal(publish_run(script.manifests, run, &options, &results[run], &err),
                             SHARDY_OK);
        }
        script.hits = 0;
        options.expected_ref = results[1].manifest_ref;
        assert_int_equal(script.manifests->ops->set_current(script.manifests,
                                                            results[0].manifest_ref, &options,
                                                            &results[2], &err),
                         SHARDY_OK);
        assert_int_equal(script.hits, 1);
        assert_string_equal(results[2].replaced_run_id, "run-1");
        for (size_t k = 0; k < COUNT_OF(results); k++) {
            sfi_publish_result_clear(&results[k]);
        }
        close_script(&script);
    }
}

/* P12, P13: of two that saw the same pointer one wins, and the slow one is told who did. */
static void p12_p13_same_base(void **state)
{
    struct script script = {.operation = "none", .key = ""};
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result results[4];
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    open_script(&script);
    assert_int_equal(publish_run(script.manifests, 0, &options, &results[0], NULL), SHARDY_OK);
    options.expect = true;
    options.expected_ref = results[0].manifest_ref;
    assert_int_equal(publish_run(script.manifests, 1, &options, &results[1], NULL), SHARDY_OK);
    assert_int_equal(publish_run(script.manifests, 2, &options, &results[2], &err),
                     SHARDY_CONFLICT);
    assert_non_null(strstr(err.message, "run-1"));
    options.expect = false; /* last writer wins, and says over whom */
    assert_int_equal(publish_run(script.manifests, 3, &options, &results[3], NULL), SHARDY_OK);
    assert_string_equal(results[3].replaced_run_id, "run-1");
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        sfi_publish_result_clear(&results[i]);
    }
    close_script(&script);
}

/* P14: a remote store is asked; one that ignores conditions is named, an honest one is left as it
 * was, and one that cannot be asked is not believed. */
static void p14_ignored_conditions(void **state)
{
    static const struct {
        const char *operation;
        const char *key;
        enum sfi_fault fault;
        bool guarded;
    } cases[] = {
        {"none", "", SFI_FAULT_NONE, true},
        {"put", "", SFI_FAULT_IGNORE, false},
        {"put", ".probe", SFI_FAULT_FAIL, false},
        {"put", ".probe", SFI_FAULT_LOSE, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct script script = {.operation = cases[i].operation, .key = cases[i].key, .from = 1};
        struct sfi_publish_options options = {.no_pointer = false};
        struct sfi_publish_result result;
        script.until = UINT_MAX;
        script.fault = cases[i].fault;
        open_script(&script);
        sfi_store_fault_set_kind(script.store, true, true);
        for (unsigned run = 0; run < 2; run++) { /* If-None-Match, then If-Match */
            script.requests = 0;
            assert_int_equal(publish_run(script.manifests, run, &options, &result, NULL),
                             SHARDY_OK);
            assert_int_equal(result.guarded, cases[i].guarded);
            sfi_publish_result_clear(&result);
        }
        if (i == 0) {
            assert_int_equal(script.requests, 4); /* the probe costs one request */
        }
        assert_int_equal(count_objects(script.inner), 3); /* two manifests, the pointer */
        close_script(&script);
    }
}

/* P15: rollback and publish on one base: the second to write loses, or says what it replaced. */
static void p15_rollback_races_with_publish(void **state)
{
    (void)state;
    for (int expect = 0; expect < 2; expect++) {
        struct script script = {.operation = "put", .key = "_CURRENT", .intruder_at = 3};
        struct sfi_publish_options options = {.no_pointer = false};
        struct sfi_publish_result results[3];
        struct sfi_ref ref;
        bool found;
        open_script(&script);
        for (unsigned run = 0; run < 2; run++) {
            assert_int_equal(publish_run(script.manifests, run, &options, &results[run], NULL),
                             SHARDY_OK);
        }
        options.expect = expect;
        options.expected_ref = results[1].manifest_ref;
        shardy_status st = script.manifests->ops->set_current(
            script.manifests, results[0].manifest_ref, &options, &results[2], NULL);
        assert_int_equal(st, expect ? SHARDY_CONFLICT : SHARDY_OK);
        assert_int_equal(script.manifests->ops->load_current(script.manifests, &ref, &found, NULL),
                         SHARDY_OK);
        assert_string_equal(ref.run_id, expect ? "run-50" : "run-0");
        if (!expect) {
            assert_string_equal(results[2].replaced_run_id, "run-50");
        }
        sfi_ref_clear(&ref);
        for (size_t i = 0; i < COUNT_OF(results); i++) {
            sfi_publish_result_clear(&results[i]);
        }
        close_script(&script);
    }
}

/* P20: a clock behind the one that wrote the pointer; its bytes still never repeat. */
static void p20_pointer_from_the_future(void **state)
{
    struct script script = {.operation = "none", .key = ""};
    const struct sfi_pointer future = {(char *)(uintptr_t) "memory://script/p/manifests/x/manifest",
                                       (char *)(uintptr_t) "x", INT64_C(4102444800000000)};
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    struct sfi_ref ref;
    struct sfi_buf text;
    bool found;
    (void)state;
    open_script(&script);
    sfi_buf_init(&text, SFI_POINTER_MAX_BYTES);
    assert_int_equal(sfi_pointer_encode(&future, &text, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_put(script.inner, "_CURRENT", sfi_buf_view(&text), NULL,
                                   SFI_STORE_ALWAYS, NULL, NULL, NULL),
                     SHARDY_OK);
    sfi_buf_clear(&text);
    assert_int_equal(publish_run(script.manifests, 0, &options, &result, NULL), SHARDY_OK);
    sfi_publish_result_clear(&result);
    assert_int_equal(script.manifests->ops->load_current(script.manifests, &ref, &found, NULL),
                     SHARDY_OK);
    assert_int_equal(ref.published_at_us, future.updated_at_us + 1);
    sfi_ref_clear(&ref);
    close_script(&script);
}

/* P22: cancelled at each request of a publish. The claim says what was written. */
static void p22_cancelled(void **state)
{
    (void)state;
    struct script before = {.operation = "none", .key = ""};
    struct sfi_publish_result result;
    atomic_store(&before.cancelled, true);
    assert_int_equal(play(&before, &result, NULL), SHARDY_CANCELLED);
    assert_null(result.manifest_ref);
    assert_int_equal(count_objects(before.inner), 0);
    sfi_publish_result_clear(&result);
    close_script(&before);

    struct script stored = {.operation = "put", .key = "manifests/", .cancel_at = 1};
    assert_int_equal(play(&stored, &result, NULL), SHARDY_CANCELLED);
    assert_non_null(result.manifest_ref);
    assert_int_equal(count_objects(stored.inner), 1);
    sfi_publish_result_clear(&result);
    close_script(&stored);

    struct script lost = {.operation = "put", .key = "_CURRENT", .from = 1, .cancel_at = 1};
    lost.until = 9;
    lost.fault = SFI_FAULT_LOSE;
    assert_int_equal(play(&lost, &result, NULL), SHARDY_UNKNOWN);
    assert_int_equal(lost.hits, 1); /* nothing more was written */
    sfi_publish_result_clear(&result);
    close_script(&lost);

    struct script done = {.operation = "put", .key = "_CURRENT", .cancel_at = 1};
    assert_int_equal(play(&done, &result, NULL), SHARDY_OK); /* too late */
    sfi_publish_result_clear(&result);
    close_script(&done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p8_manifest_answer_lost),
        cmocka_unit_test(p8_foreign_manifest_stays),
        cmocka_unit_test(p9_pointer_answer_lost),
        cmocka_unit_test(p10_conflict_in_flight),
        cmocka_unit_test(p10_sent_twice),
        cmocka_unit_test(p12_p13_same_base),
        cmocka_unit_test(p14_ignored_conditions),
        cmocka_unit_test(p15_rollback_races_with_publish),
        cmocka_unit_test(p20_pointer_from_the_future),
        cmocka_unit_test(p22_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
