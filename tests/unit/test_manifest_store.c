/*
 * test_manifest_store.c - object and memory manifest stores: listing, loading, rollback, history,
 * and opening a snapshot at another place than it was written to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "manifest/manifest_store.h"
#include "store_sample.h"

#include <inttypes.h>

static const struct sfi_publish_options plain = {.no_pointer = false};

static shardy_status publish(struct sfi_manifest_store *store, const char *run_id,
                             struct sfi_publish_result *result)
{
    shardy_shard_info shards[SAMPLE_SHARDS];
    struct sfi_build_meta meta = sample_meta(run_id, SAMPLE_NUM_DBS);
    sample_shards(shards);
    return store->ops->publish(store, &meta, shards, SAMPLE_SHARDS, &plain, result, NULL);
}

static void check_current(struct sfi_manifest_store *store, const char *run_id)
{
    struct sfi_ref ref;
    struct sfi_manifest *manifest;
    bool found;
    assert_int_equal(store->ops->load_current(store, &ref, &found, NULL), SHARDY_OK);
    assert_int_equal(found, run_id != NULL);
    if (found) {
        assert_string_equal(ref.run_id, run_id);
        assert_int_equal(store->ops->load_manifest(store, ref.ref, &manifest, NULL), SHARDY_OK);
        assert_string_equal(sfi_manifest_meta(manifest)->run_id, run_id);
        sfi_manifest_close(manifest);
        sfi_ref_clear(&ref);
    }
}

/* The same life of a snapshot in either store. */
static void life(struct sfi_manifest_store *store)
{
    struct sfi_publish_result first;
    struct sfi_publish_result result;
    struct sfi_ref *refs;
    struct sfi_manifest *manifest;
    size_t count;
    check_current(store, NULL);
    assert_int_equal(store->ops->list(store, 10, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, 0);
    sfi_refs_clear(refs, count);
    assert_int_equal(publish(store, "one", &first), SHARDY_OK);
    assert_true(first.published && first.guarded);
    assert_null(first.replaced_ref);
    assert_int_equal(publish(store, "two", &result), SHARDY_OK);
    assert_string_equal(result.replaced_ref, first.manifest_ref);
    assert_string_equal(result.replaced_run_id, "one");
    sfi_publish_result_clear(&result);
    check_current(store, "two");
    assert_int_equal(store->ops->set_current(store, first.manifest_ref, &plain, &result, NULL),
                     SHARDY_OK);
    assert_string_equal(result.replaced_run_id, "two");
    sfi_publish_result_clear(&result);
    check_current(store, "one");
    assert_int_equal(store->ops->list(store, SIZE_MAX, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, 2);
    assert_string_equal(refs[0].run_id, "two");
    assert_string_equal(refs[1].run_id, "one");
    assert_string_equal(refs[1].ref, first.manifest_ref);
    sfi_refs_clear(refs, count);
    assert_int_equal(store->ops->list(store, 1, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, 1);
    sfi_refs_clear(refs, count);
    assert_int_equal(store->ops->list(store, 0, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, 0);
    sfi_refs_clear(refs, count);
    struct sfi_publish_options expect = {.expect = true, .expected_ref = "elsewhere"};
    assert_int_equal(store->ops->set_current(store, first.manifest_ref, &expect, &result, NULL),
                     SHARDY_CONFLICT);
    sfi_publish_result_clear(&result);
    expect.expected_ref = first.manifest_ref;
    assert_int_equal(store->ops->set_current(store, first.manifest_ref, &expect, &result, NULL),
                     SHARDY_OK);
    sfi_publish_result_clear(&result);
    assert_true(store->ops->load_manifest(store, "nowhere", &manifest, NULL) != SHARDY_OK);
    assert_null(manifest);
    sfi_publish_result_clear(&first);
}

static void memory_manifests(void **state)
{
    struct sfi_manifest_store *store;
    struct sfi_publish_result result;
    struct sfi_ref *refs;
    size_t count;
    (void)state;
    assert_int_equal(sfi_manifest_store_memory(&store, NULL), SHARDY_OK);
    life(store);
    assert_int_equal(publish(store, "two", &result), SHARDY_OK);
    assert_string_equal(result.manifest_ref, "mem://manifests/run_id=two/manifest");
    sfi_publish_result_clear(&result);
    assert_int_equal(store->ops->list(store, 10, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, 3);
    assert_string_equal(refs[0].ref, refs[1].ref);
    sfi_refs_clear(refs, count);
    sfi_manifest_store_close(store);
    sfi_manifest_store_close(NULL);
}

static void object_manifests(void **state)
{
    char path[256];
    char url[256];
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    (void)state;
    make_folder(path, url);
    assert_int_equal(sfi_store_open(url, NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, "sub/pointer.json", false, &manifests, NULL),
                     SHARDY_OK);
    life(manifests);
    assert_int_equal(sfi_store_head(store, "sub/pointer.json", NULL, NULL, NULL), SHARDY_OK);
    sfi_manifest_store_close(manifests);
    assert_int_equal(sfi_manifest_store_object(store, "../x", false, &manifests, NULL),
                     SHARDY_CONFIG);
    sfi_store_release(store);
    remove_folder(path);
}

static void only_proper_names_are_listed(void **state)
{
    static const char *const names[] = {
        "2026-03-14T10:30:00.000000Z_run_id=b", "2026-03-14T10:30:00.000000Z_run_id=a",
        "2026-03-14T10:30:00.000001Z_run_id=newest", "2025-01-01T00:00:00.999999Z_run_id=x=y z",
        /* Not listed: */
        "2026-13-14T10:30:00.000000Z_run_id=month", "2026-02-30T10:30:00.000000Z_run_id=day",
        "2026-03-14T25:30:00.000000Z_run_id=hour", "2026-03-14T10:30:00Z_run_id=nofraction",
        "2026-03-14T10:30:00.000000Z_run_id=", "2026-03-14T10:30:00.000000_run_id=z",
        "2026-03-14 10:30:00.000000Z_run_id=z", "run_id=x", "x"};
    static const char *const expected[] = {"newest", "a", "b", "x=y z"};
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    struct sfi_ref *refs;
    size_t count;
    (void)state;
    assert_int_equal(sfi_store_open("memory://listed/p", NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, NULL, false, &manifests, NULL), SHARDY_OK);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char key[128];
        snprintf(key, sizeof key, "manifests/%s/manifest", names[i]);
        assert_int_equal(
            sfi_store_put(store, key, bytes_of("x"), NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
            SHARDY_OK);
    }
    assert_int_equal(manifests->ops->list(manifests, SIZE_MAX, &refs, &count, NULL), SHARDY_OK);
    assert_int_equal(count, COUNT_OF(expected));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(refs[i].run_id, expected[i]);
    }
    assert_string_equal(refs[0].ref, "memory://listed/p/manifests/"
                                     "2026-03-14T10:30:00.000001Z_run_id=newest/manifest");
    assert_true(refs[0].published_at_us == INT64_C(1773484200000001));
    sfi_refs_clear(refs, count);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char key[128];
        snprintf(key, sizeof key, "manifests/%s/manifest", names[i]);
        assert_int_equal(sfi_store_delete(store, key, NULL), SHARDY_OK);
    }
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
}

static void pointers_that_do_not_load(void **state)
{
    static char large[SFI_POINTER_MAX_BYTES + 1];
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    struct sfi_ref ref;
    bool found;
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_bytes body = {(const uint8_t *)large, sizeof large};
    (void)state;
    assert_int_equal(sfi_store_open("memory://pointers", NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, NULL, true, &manifests, NULL), SHARDY_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            sfi_store_put(store, "_CURRENT", body, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
            SHARDY_OK);
        assert_int_equal(manifests->ops->load_current(manifests, &ref, &found, &err),
                         SHARDY_MANIFEST);
        assert_non_null(strstr(err.message, "CURRENT pointer validation failed"));
        assert_non_null(strstr(err.message, "/_CURRENT"));
        assert_false(found);
        body.size = 10;
    }
    assert_int_equal(sfi_store_delete(store, "_CURRENT", NULL), SHARDY_OK);
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
}

/* The original's folders, opened where they lie now. */
static void fixtures_are_relocated(void **state)
{
    char root[4096];
    char url[4400];
    char real[4096];
    shardy_history history;
    (void)state;
    if (!fixtures_root(root, sizeof root) || !realpath(root, real)) {
        skip();
    }
    shardy_history_options options = SHARDY_HISTORY_OPTIONS_INIT;
    snprintf(url, sizeof url, "file://%s/hash-u64be/objects", real);
    options.url = url;
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_OK);
    assert_int_equal(history.count, 3);
    assert_true(history.items[0].is_current);
    assert_false(history.items[1].is_current);
    assert_string_equal(history.items[0].run_id, "94042c60ff194a86be335d084ad3971c");
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    struct sfi_manifest *manifest;
    struct sfi_ref ref;
    bool found;
    assert_int_equal(sfi_store_open(url, NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, NULL, true, &manifests, NULL), SHARDY_OK);
    assert_int_equal(manifests->ops->load_current(manifests, &ref, &found, NULL), SHARDY_OK);
    assert_string_equal(ref.ref, history.items[0].ref);
    assert_int_equal(manifests->ops->load_manifest(manifests, ref.ref, &manifest, NULL), SHARDY_OK);
    const struct sfi_build_meta *meta = sfi_manifest_meta(manifest);
    for (uint32_t id = 0; id < meta->num_dbs; id++) {
        shardy_shard_info info;
        char *key;
        assert_int_equal(sfi_manifest_shard(manifest, id, &info, NULL), SHARDY_OK);
        assert_int_equal(sfi_store_key_of(store, meta->s3_prefix, info.db_url, &key, NULL),
                         SHARDY_OK);
        char *file = sfi_url_join(key, "shard.db");
        uint64_t size;
        assert_int_equal(sfi_store_head(store, file, &size, NULL, NULL), SHARDY_OK);
        assert_true(size == info.db_bytes);
        sfi_free(file);
        sfi_free(key);
        shardy_shard_info_clear(&info);
    }
    sfi_manifest_close(manifest);
    sfi_ref_clear(&ref);
    sfi_manifest_store_close(manifests);
    /* Without relocation the recorded place is refused. */
    assert_int_equal(sfi_manifest_store_object(store, NULL, false, &manifests, NULL), SHARDY_OK);
    assert_int_equal(manifests->ops->load_current(manifests, &ref, &found, NULL), SHARDY_OK);
    assert_int_equal(manifests->ops->load_manifest(manifests, ref.ref, &manifest, NULL),
                     SHARDY_CONFIG);
    sfi_ref_clear(&ref);
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
    shardy_history_clear(&history);
}

static void public_history(void **state)
{
    char path[256];
    char url[256];
    struct sfi_store *store;
    struct sfi_manifest_store *manifests;
    shardy_history history;
    shardy_history_options options = SHARDY_HISTORY_OPTIONS_INIT;
    (void)state;
    make_folder(path, url);
    options.url = url;
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_OK);
    assert_int_equal(history.count, 0);
    shardy_history_clear(&history);
    assert_int_equal(sfi_store_open(url, NULL, &store, NULL), SHARDY_OK);
    assert_int_equal(sfi_manifest_store_object(store, NULL, true, &manifests, NULL), SHARDY_OK);
    for (int i = 0; i < 13; i++) {
        struct sfi_publish_result result;
        char run_id[16];
        snprintf(run_id, sizeof run_id, "r%d", i % 3);
        assert_int_equal(publish(manifests, run_id, &result), SHARDY_OK);
        sfi_publish_result_clear(&result);
    }
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_OK);
    assert_int_equal(history.count, 10);
    assert_true(history.items[0].is_current);
    assert_true(history.items[0].published_at_us >= history.items[9].published_at_us);
    shardy_history_clear(&history);
    options.run_id = "r1";
    options.limit = 3;
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_OK);
    assert_int_equal(history.count, 3);
    assert_string_equal(history.items[2].run_id, "r1");
    assert_false(history.items[0].is_current);
    shardy_history_clear(&history);
    /* A broken pointer only costs the mark. */
    assert_int_equal(
        sfi_store_put(store, "_CURRENT", bytes_of("x"), NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
        SHARDY_OK);
    options.run_id = NULL;
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_OK);
    assert_int_equal(history.count, 3);
    assert_false(history.items[0].is_current);
    shardy_history_clear(&history);
    options.url = "ftp://x";
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_UNSUPPORTED);
    options.url = NULL;
    assert_int_equal(shardy_history_load(&options, &history, NULL), SHARDY_CONFIG);
    assert_int_equal(shardy_history_load(NULL, &history, NULL), SHARDY_CONFIG);
    shardy_history_clear(&history);
    shardy_history_clear(NULL);
    shardy_snapshot_info_clear(NULL);
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
    remove_folder(path);
}

static void every_allocation_may_fail(void **state)
{
    bool done = false;
    (void)state;
    install_failing_allocator();
    for (unsigned long n = 1; !done; n++) {
        struct sfi_manifest_store *store = NULL;
        struct sfi_publish_result result;
        struct sfi_ref *refs = NULL;
        size_t count = 0;
        memset(&result, 0, sizeof result);
        fail_allocation(n);
        shardy_status st = sfi_manifest_store_memory(&store, NULL);
        st = st ? st : publish(store, "one", &result);
        st = st ? st : store->ops->list(store, 5, &refs, &count, NULL);
        done = st == SHARDY_OK;
        assert_true(done || st == SHARDY_NO_MEMORY);
        fail_allocation(0);
        sfi_refs_clear(refs, count);
        sfi_publish_result_clear(&result);
        sfi_manifest_store_close(store);
        assert_true(n < 200);
    }
    shardy_set_allocator(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_manifests),
        cmocka_unit_test(object_manifests),
        cmocka_unit_test(only_proper_names_are_listed),
        cmocka_unit_test(pointers_that_do_not_load),
        cmocka_unit_test(fixtures_are_relocated),
        cmocka_unit_test(public_history),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
