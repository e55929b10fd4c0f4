/*
 * test_verify.c - snapshots made by the builder and the manifest store, damaged or described
 * wrongly in one way each, and what a verification finds; snapshots of the original are clean.
 */
#include "base/limits.h"
#include "manifest/manifest_store.h"
#include "routing/routing.h"
#include "shard/shard.h"
#include "shard/sidecar.h"

#include <shardyfusion/verify.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_sample.h"

enum { SHARDS = 3, NUM_DBS = 4, KEYS = 900, LONG_EVERY = 40, LONG_SIZE = 9000 };

/* A snapshot on its way into a store: shard 3 stays empty. */
struct world {
    char url[64];
    struct sfi_store *store;
    struct sfi_build_meta meta;
    shardy_shard_info shards[SHARDS];
    char folders[SHARDS][64]; /* keys of the attempt folders */
    char urls[SHARDS][128];
    char notes[SHARDS][128];
    uint64_t strays; /* rows of shard 1 that go to shard 0 instead */
    bool no_pointer;
    char *manifest_ref;
};

static void ok(shardy_status st, const shardy_error *err)
{
    if (st != SHARDY_OK) {
        fail_msg("%s: %s", shardy_status_name(st), err->message);
    }
}

static uint32_t shard_of(const struct world *w, uint64_t number)
{
    struct sfi_route route;
    shardy_key key = shardy_key_int((int64_t)number);
    shardy_error err = SHARDY_ERROR_INIT;
    uint32_t db_id = 0;
    ok(sfi_route_init(&route, w->meta.sharding, NUM_DBS, &err), &err);
    ok(sfi_route_key(&route, &key, &db_id, &err), &err);
    return db_id;
}

/* Whether key `number` is stored in shard `index`; strays are in the middle of the keys. */
static bool holds(const struct world *w, uint32_t index, uint64_t number)
{
    uint32_t home = shard_of(w, number);
    bool stray = home == 1 && number >= 200 && number < 200 + w->strays;
    return stray ? index == 0 : home == index;
}

static void add_row(struct sfi_shard_builder *builder, uint64_t number)
{
    static uint8_t value[LONG_SIZE];
    uint8_t key[8];
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_row row = {key, value, sizeof key, number % LONG_EVERY ? 20 : LONG_SIZE};
    sfi_put_u64be(key, number);
    memset(value, (int)(number % 251), row.value_size);
    ok(builder->ops->add(builder, &row, 1, &err), &err);
}

static void build_shard(struct world *w, uint32_t index)
{
    shardy_shard_info *info = &w->shards[index];
    struct sfi_shard_builder *builder = NULL;
    struct sfi_shard_built built;
    shardy_error err = SHARDY_ERROR_INIT;
    char key[128];
    uint64_t keys = KEYS + 4 * w->strays;

    snprintf(w->folders[index], sizeof w->folders[index], "shards/run_id=r/db=%05u/attempt=00",
             index);
    char *url = sfi_url_join(w->url, w->folders[index]);
    assert_true(strlen(url) < sizeof w->urls[index]);
    memcpy(w->urls[index], url, strlen(url) + 1);
    sfi_free(url);
    snprintf(key, sizeof key, "%s/" SFI_SHARD_DB_NAME, w->folders[index]);
    ok(sfi_sqlite_builder_new(w->store, key, 4096, true, &builder, &err), &err);
    info->db_id = index;
    info->db_url = w->urls[index];
    info->writer_info = w->notes[index];
    for (uint64_t number = 0; number < keys; number++) {
        if (holds(w, index, number)) {
            add_row(builder, number);
            if (!info->has_min_key) {
                info->min_key = shardy_key_int((int64_t)number);
            }
            info->max_key = shardy_key_int((int64_t)number);
            info->has_min_key = true;
            info->has_max_key = true;
        }
    }
    ok(builder->ops->finish(builder, &built, &err), &err);
    builder->ops->free(builder);
    info->row_count = built.rows;
    info->db_bytes = built.bytes;
    snprintf(w->notes[index], sizeof w->notes[index], "{\"checksum\": \"%s\"}", built.checksum);
    snprintf(key, sizeof key, "%s/" SFI_SIDECAR_NAME, w->folders[index]);
    ok(sfi_store_put(w->store, key, sfi_buf_view(&built.sidecar), NULL, SFI_STORE_ALWAYS, NULL,
                     NULL, &err),
       &err);
    sfi_buf_clear(&built.sidecar);
}

static void build(struct world *w, uint64_t strays)
{
    static unsigned serial;
    shardy_error err = SHARDY_ERROR_INIT;

    memset(w, 0, sizeof *w);
    snprintf(w->url, sizeof w->url, "memory://verify-%u", serial++);
    ok(sfi_store_open(w->url, NULL, &w->store, &err), &err);
    w->strays = strays;
    w->meta.run_id = "r";
    w->meta.s3_prefix = w->url;
    w->meta.key_col = "_key";
    w->meta.sharding_json = SFI_HASH_SHARDING_JSON;
    w->meta.db_path_template = "db={db_id:05d}";
    w->meta.shard_prefix = "shards";
    w->meta.custom_json = "{}";
    w->meta.num_dbs = NUM_DBS;
    for (uint32_t i = 0; i < SHARDS; i++) {
        build_shard(w, i);
    }
}

static void publish(struct world *w)
{
    struct sfi_manifest_store *manifests = NULL;
    struct sfi_publish_options options = {.no_pointer = w->no_pointer};
    struct sfi_publish_result result;
    shardy_error err = SHARDY_ERROR_INIT;

    ok(sfi_manifest_store_object(w->store, NULL, true, &manifests, &err), &err);
    ok(manifests->ops->publish(manifests, &w->meta, w->shards, SHARDS, &options, &result, &err),
       &err);
    w->manifest_ref = strdup(result.manifest_ref);
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(manifests);
}

static void clear(struct world *w)
{
    free(w->manifest_ref);
    sfi_store_release(w->store);
}

/* Objects of a published snapshot. */

static void put(struct world *w, const char *key, const void *data, size_t size)
{
    struct sfi_bytes body = {data, size};
    shardy_error err = SHARDY_ERROR_INIT;
    ok(sfi_store_put(w->store, key, body, NULL, SFI_STORE_ALWAYS, NULL, NULL, &err), &err);
}

static const char *key_of(const struct world *w, uint32_t index, const char *name)
{
    static char key[128];
    snprintf(key, sizeof key, "%s/%s", w->folders[index], name);
    return key;
}

/* Set a byte of an object, and cut the object to `size` unless that is 0. */
static void change(struct world *w, const char *key, size_t at, uint8_t bits, size_t size)
{
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;
    sfi_buf_init(&data, SIZE_MAX - 1);
    ok(sfi_store_get(w->store, key, 0, &data, NULL, &err), &err);
    assert_true(at < data.size && size < data.size);
    data.data[at] ^= bits;
    put(w, key, data.data, size ? size : data.size);
    sfi_buf_clear(&data);
}

static void erase(struct world *w, const char *key)
{
    shardy_error err = SHARDY_ERROR_INIT;
    ok(sfi_store_delete(w->store, key, &err), &err);
}

static const char *manifest_key(const struct world *w)
{
    return w->manifest_ref + strlen(w->url) + 1;
}

#define CHANGE(name, statement)       \
    static void name(struct world *w) \
    {                                 \
        statement;                    \
    }

/* Lies: before publishing. */
CHANGE(no_pointer, w->no_pointer = true)
CHANGE(other_size, w->shards[1].db_bytes++)
CHANGE(unknown_size, w->shards[1].db_bytes = 0)
CHANGE(other_checksum, w->notes[2][30] = w->notes[2][30] == 'a' ? 'b' : 'a')
CHANGE(unknown_checksum, w->shards[2].writer_info = "{\"checksum\": \"crc32:00000000\"}")
CHANGE(one_row_more, w->shards[0].row_count++)
CHANGE(foreign_row_more, w->shards[0].row_count++; w->shards[0].writer_info = "{}")
CHANGE(foreign_row_less, w->shards[0].row_count--; w->shards[0].writer_info = "{}")
CHANGE(other_min, w->shards[1].min_key.number++)
CHANGE(text_min, w->shards[1].min_key = shardy_key_str("7", 1))
CHANGE(other_max, w->shards[1].max_key.number++)
CHANGE(no_keys, w->shards[1].has_min_key = false; w->shards[1].has_max_key = false)
CHANGE(outside, w->shards[1].db_url = "memory://elsewhere/shards/db=1")
CHANGE(two_lies, w->shards[2].row_count++; w->shards[0].max_key.number++)

/* Damages: after publishing. */
CHANGE(pointer_cut, put(w, "_CURRENT", "{", 1))
CHANGE(manifest_gone, erase(w, manifest_key(w)))
CHANGE(manifest_garbage, put(w, manifest_key(w), "garbage", 7))
CHANGE(db_gone, erase(w, key_of(w, 1, SFI_SHARD_DB_NAME)))
CHANGE(db_garbage, put(w, key_of(w, 1, SFI_SHARD_DB_NAME), "garbage", 7))
CHANGE(db_empty, put(w, key_of(w, 1, SFI_SHARD_DB_NAME), "", 0))
CHANGE(db_cut, change(w, key_of(w, 1, SFI_SHARD_DB_NAME), 0, 0, 8192))
CHANGE(db_value, change(w, key_of(w, 0, SFI_SHARD_DB_NAME), 8191, 1, 0))
CHANGE(db_page_type, change(w, key_of(w, 0, SFI_SHARD_DB_NAME), w->shards[0].db_bytes - 4096, 1, 0))
CHANGE(sidecar_gone, erase(w, key_of(w, 1, SFI_SIDECAR_NAME)))
CHANGE(sidecar_empty, put(w, key_of(w, 1, SFI_SIDECAR_NAME), "", 0))
CHANGE(sidecar_frame, change(w, key_of(w, 1, SFI_SIDECAR_NAME), 120, 1, 0))
CHANGE(sidecar_version, change(w, key_of(w, 1, SFI_SIDECAR_NAME), 4, 1, 0))
CHANGE(sidecar_tag, change(w, key_of(w, 1, SFI_SIDECAR_NAME), 20, 1, 0))

static void pointer_other_run(struct world *w)
{
    struct sfi_pointer pointer = {w->manifest_ref, (char *)(uintptr_t) "another", 0};
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_buf text;
    sfi_buf_init(&text, SFI_POINTER_MAX_BYTES);
    ok(sfi_pointer_encode(&pointer, &text, &err), &err);
    put(w, "_CURRENT", text.data, text.size);
    sfi_buf_clear(&text);
}

static void sidecar_of_other(struct world *w)
{
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;
    sfi_buf_init(&data, SIZE_MAX - 1);
    ok(sfi_store_get(w->store, key_of(w, 0, SFI_SIDECAR_NAME), 0, &data, NULL, &err), &err);
    put(w, key_of(w, 1, SFI_SIDECAR_NAME), data.data, data.size);
    sfi_buf_clear(&data);
}

static void put_sidecar(struct world *w, uint32_t page_size, struct sfi_chain chain)
{
    struct sfi_sidecar_input input = {page_size, NULL, 0, &chain, 1, NULL};
    struct sfi_buf out;
    shardy_error err = SHARDY_ERROR_INIT;
    sfi_buf_init(&out, SIZE_MAX - 1);
    ok(sfi_sidecar_encode(&input, &out, &err), &err);
    put(w, key_of(w, 1, SFI_SIDECAR_NAME), out.data, out.size);
    sfi_buf_clear(&out);
}

CHANGE(sidecar_page_size, put_sidecar(w, 8192, (struct sfi_chain){2, 1}))
CHANGE(sidecar_chain, put_sidecar(w, 4096, (struct sfi_chain){1, 2}))
CHANGE(sidecar_chain_outside, put_sidecar(w, 4096, (struct sfi_chain){1000000, 1}))

/* "what:db_id" of every damage, in order. */
static void describe(const shardy_verify_report *report, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < report->damage_count && n < size; i++) {
        n += (size_t)snprintf(text + n, size - n, "%s%s:%lld", i ? " " : "",
                              report->damages[i].what, (long long)report->damages[i].db_id);
        assert_true(report->damages[i].message[0] && report->damages[i].object[0]);
    }
}

static void test_damages(void **state)
{
    static const struct {
        const char *name;
        void (*lie)(struct world *w);
        void (*damage)(struct world *w);
        const char *expected;
        uint32_t shards;
        uint32_t checksums;
        uint32_t sidecars;
    } rows[] = {
        {"clean", NULL, NULL, "", 3, 3, 3},
        {"no_pointer", no_pointer, NULL, "pointer:-1", 0, 0, 0},
        {"pointer_cut", NULL, pointer_cut, "pointer:-1", 0, 0, 0},
        {"pointer_other_run", NULL, pointer_other_run, "pointer:-1", 3, 3, 3},
        {"manifest_gone", NULL, manifest_gone, "manifest:-1", 0, 0, 0},
        {"manifest_garbage", NULL, manifest_garbage, "manifest:-1", 0, 0, 0},
        {"outside", outside, NULL, "manifest:1", 3, 2, 2},
        {"other_size", other_size, NULL, "size:1", 3, 3, 3},
        {"unknown_size", unknown_size, NULL, "", 3, 3, 3},
        {"other_checksum", other_checksum, NULL, "checksum:2", 3, 3, 3},
        {"unknown_checksum", unknown_checksum, NULL, "", 3, 2, 3},
        {"one_row_more", one_row_more, NULL, "row_count:0", 3, 3, 3},
        {"foreign_row_more", foreign_row_more, NULL, "", 3, 2, 3},
        {"foreign_row_less", foreign_row_less, NULL, "row_count:0", 3, 2, 3},
        {"other_min", other_min, NULL, "min_key:1", 3, 3, 3},
        {"text_min", text_min, NULL, "min_key:1", 3, 3, 3},
        {"other_max", other_max, NULL, "max_key:1", 3, 3, 3},
        {"no_keys", no_keys, NULL, "", 3, 3, 3},
        {"two_lies", two_lies, NULL, "max_key:0 row_count:2", 3, 3, 3},
        {"db_gone", NULL, db_gone, "missing:1", 3, 2, 2},
        {"db_garbage", NULL, db_garbage, "size:1 checksum:1 btree:1", 3, 3, 3},
        {"db_empty", NULL, db_empty, "size:1 checksum:1 btree:1", 3, 3, 3},
        {"db_cut", NULL, db_cut, "size:1 checksum:1 btree:1", 3, 3, 3},
        {"db_value", NULL, db_value, "checksum:0", 3, 3, 3},
        {"db_page_type", NULL, db_page_type, "checksum:0 btree:0", 3, 3, 3},
        {"lie and damage", two_lies, db_gone, "max_key:0 missing:1 row_count:2", 3, 2, 2},
        {"sidecar_gone", NULL, sidecar_gone, "", 3, 3, 2},
        {"sidecar_empty", NULL, sidecar_empty, "sidecar:1", 3, 3, 3},
        {"sidecar_frame", NULL, sidecar_frame, "sidecar:1", 3, 3, 3},
        {"sidecar_version", NULL, sidecar_version, "sidecar:1", 3, 3, 3},
        {"sidecar_tag", NULL, sidecar_tag, "", 3, 3, 3},
        {"sidecar_of_other", NULL, sidecar_of_other, "sidecar:1", 3, 3, 3},
        {"sidecar_page_size", NULL, sidecar_page_size, "sidecar:1", 3, 3, 3},
        {"sidecar_chain", NULL, sidecar_chain, "sidecar:1", 3, 3, 3},
        {"sidecar_chain_outside", NULL, sidecar_chain_outside, "sidecar:1", 3, 3, 3},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
        shardy_verify_report report;
        shardy_error err = SHARDY_ERROR_INIT;
        char text[512];

        build(&w, 0);
        if (rows[i].lie) {
            rows[i].lie(&w);
        }
        publish(&w);
        if (rows[i].damage) {
            rows[i].damage(&w);
        }
        options.url = w.url;
        options.deep = true;
        options.threads = 1 + (uint32_t)i % 3;
        ok(shardy_verify(&options, &report, &err), &err);
        describe(&report, text, sizeof text);
        if (strcmp(text, rows[i].expected) != 0 || report.shards_checked != rows[i].shards ||
            report.checksums_checked != rows[i].checksums ||
            report.sidecars_checked != rows[i].sidecars) {
            fail_msg("%s: \"%s\", %u shards, %u checksums, %u sidecars: %s", rows[i].name, text,
                     report.shards_checked, report.checksums_checked, report.sidecars_checked,
                     report.damage_count ? report.damages[0].message : "");
        }
        assert_int_equal(report.run_id != NULL, rows[i].shards > 0);
        assert_int_equal(report.manifest_ref != NULL,
                         rows[i].lie != no_pointer && rows[i].damage != pointer_cut);
        shardy_verify_report_clear(&report);
        assert_null(report.damages);
        clear(&w);
    }
}

/* What a report says beside damages; a pinned manifest needs no pointer. */
static void test_report(void **state)
{
    struct world w;
    shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report;
    shardy_error err = SHARDY_ERROR_INIT;
    uint64_t rows = 0;
    uint64_t bytes = 0;

    (void)state;
    build(&w, 0);
    no_pointer(&w);
    publish(&w);
    for (int i = 0; i < SHARDS; i++) {
        rows += w.shards[i].row_count;
        bytes += w.shards[i].db_bytes;
    }
    options.url = w.url;
    options.pin_ref = w.manifest_ref;
    ok(shardy_verify(&options, &report, &err), &err);
    assert_int_equal(report.damage_count, 0);
    assert_string_equal(report.run_id, "r");
    assert_string_equal(report.manifest_ref, w.manifest_ref);
    assert_int_equal(report.rows_checked, rows);
    assert_int_equal(report.bytes_checked, bytes);
    shardy_verify_report_clear(&report);
    options.pin_ref = "memory://nowhere/manifests/x_run_id=y/manifest";
    ok(shardy_verify(&options, &report, &err), &err);
    assert_int_equal(report.damage_count, 1);
    assert_string_equal(report.damages[0].what, "manifest");
    assert_null(report.run_id);
    shardy_verify_report_clear(&report);
    shardy_verify_report_clear(NULL);
    clear(&w);
}

/* Keys in the wrong shard: found with `deep` only, and not more of them than the limit. */
static void test_routing(void **state)
{
    static const struct {
        uint64_t strays; /* width of the key range whose shard 1 keys are in shard 0 */
        bool deep;
    } rows[] = {{20, false}, {20, true}, {8000, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world w;
        shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
        shardy_verify_report report;
        shardy_error err = SHARDY_ERROR_INIT;
        size_t wrong = 0;

        build(&w, rows[i].strays);
        publish(&w);
        for (uint64_t number = 200; number < 200 + rows[i].strays; number++) {
            wrong += shard_of(&w, number) == 1;
        }
        assert_true(wrong > 0);
        wrong = wrong < SFI_VERIFY_DAMAGES_MAX ? wrong : SFI_VERIFY_DAMAGES_MAX;
        options.url = w.url;
        options.deep = rows[i].deep;
        ok(shardy_verify(&options, &report, &err), &err);
        assert_int_equal(report.damage_count, rows[i].deep ? wrong : 0);
        for (size_t k = 0; k < report.damage_count; k++) {
            assert_string_equal(report.damages[k].what, "routing");
            assert_int_equal(report.damages[k].db_id, 0);
            assert_non_null(strstr(report.damages[k].message, "belongs to db=00001"));
        }
        shardy_verify_report_clear(&report);
        clear(&w);
    }
    assert_int_equal(SFI_VERIFY_DAMAGES_MAX, 1000);
}

static void test_config(void **state)
{
    shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report;

    (void)state;
    assert_int_equal(shardy_verify(NULL, &report, NULL), SHARDY_CONFIG);
    assert_int_equal(shardy_verify(&options, &report, NULL), SHARDY_CONFIG);
    options.url = "memory://verify-config";
    options.current_name = "../up";
    assert_int_equal(shardy_verify(&options, &report, NULL), SHARDY_CONFIG);
    options.url = "gopher://host";
    assert_int_equal(shardy_verify(&options, &report, NULL), SHARDY_UNSUPPORTED);
    options.url = "memory://verify-config";
    options.current_name = NULL;
    options.struct_size = 0;
    assert_int_equal(shardy_verify(&options, &report, NULL), SHARDY_CONFIG);
    assert_int_equal(report.damage_count, 0);
    shardy_verify_report_clear(&report);
}

/* The n-th allocation fails, for every n: never a clean report of a damaged snapshot. */
static void test_out_of_memory(void **state)
{
    struct world w;
    shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_status st = SHARDY_NO_MEMORY;

    (void)state;
    build(&w, 0);
    two_lies(&w);
    publish(&w);
    sidecar_frame(&w);
    options.url = w.url;
    options.threads = 1;
    install_failing_allocator();
    size_t failures = 0;
    for (unsigned long n = 1; st != SHARDY_OK; n++) {
        shardy_verify_report report;
        shardy_error err = SHARDY_ERROR_INIT;
        fail_allocation(n);
        st = shardy_verify(&options, &report, &err);
        fail_allocation(0);
        failures += st != SHARDY_OK;
        assert_true(st != SHARDY_OK || report.damage_count == 3);
        shardy_verify_report_clear(&report);
    }
    shardy_set_allocator(NULL);
    assert_true(failures > 20);
    clear(&w);
}

static void verify_original(const char *root, const char *name)
{
    shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
    shardy_verify_report report;
    shardy_error err = SHARDY_ERROR_INIT;
    char path[4096];
    char resolved[4096];
    char url[4200];

    snprintf(path, sizeof path, "%.3000s/%.500s/objects", root, name);
    assert_non_null(realpath(path, resolved));
    snprintf(url, sizeof url, "file://%s", resolved);
    options.url = url;
    options.deep = true;
    ok(shardy_verify(&options, &report, &err), &err);
    if (report.damage_count) {
        fail_msg("%s: %s: %s", name, report.damages[0].what, report.damages[0].message);
    }
    assert_true(report.rows_checked > 0);
    assert_int_equal(report.sidecars_checked,
                     strcmp(name, "no-sidecar") == 0 ? 0 : report.shards_checked);
    assert_int_equal(report.checksums_checked, 0);
    shardy_verify_report_clear(&report);
}

static void test_originals(void **state)
{
    char buffer[4096];
    const char *root = fixtures_root(buffer, sizeof buffer);
    size_t count = 0;

    (void)state;
    if (!root) {
        skip();
    }
    DIR *folder = opendir(root);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            verify_original(root, entry->d_name);
            count++;
        }
    }
    closedir(folder);
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damages),   cmocka_unit_test(test_report),
        cmocka_unit_test(test_routing),   cmocka_unit_test(test_config),
        cmocka_unit_test(test_originals), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
