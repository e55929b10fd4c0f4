/*
 * test_names.c - names below a prefix: templates (expected texts made with Python's str.format),
 * segments, run ids, keys, and which URLs of manifests and pointers are followed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "manifest/manifest_internal.h"
#include "store_sample.h"

static const struct {
    const char *text;
    const char *seven;
    const char *large; /* 123456 */
} templates[] = {
    {"db={db_id:05d}", "db=00007", "db=123456"},
    {"{db_id}", "7", "123456"},
    {"x{{{db_id:x}}}", "x{7}", "x{1e240}"},
    {"{db_id:#06X}", "0X0007", "0X1E240"},
    {"{db_id:*^9}", "****7****", "*123456**"},
    {"{db_id:<4}|", "7   |", "123456|"},
    {"{db_id:+d}", "+7", "+123456"},
    {"{db_id: 4d}", "   7", " 123456"},
    {"{db_id:b}", "111", "11110001001000000"},
    {"{db_id:#o}", "0o7", "0o361100"},
    {"{db_id:08}", "00000007", "00123456"},
    {"{db_id:>08}", "00000007", "00123456"},
    {"{db_id:<04}", "7000", "123456"},
    {"{db_id:*>08}", "*******7", "**123456"},
    {"{db_id:=+6}", "+    7", "+123456"},
    {"{db_id:0}", "7", "123456"},
    {"{db_id:n}", "7", "123456"},
    {"a/{db_id}/b", "a/7/b", "a/123456/b"},
    {"{{}}{db_id}", "{}7", "{}123456"},
    {"{db_id}{db_id:X}", "77", "1234561E240"},
    {"{db_id:#b}", "0b111", "0b11110001001000000"},
};

static void templates_format_like_python(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(templates); i++) {
        assert_int_equal(sfi_db_template_check(templates[i].text, NULL), SHARDY_OK);
        for (int large = 0; large < 2; large++) {
            char *key;
            char expected[256];
            snprintf(expected, sizeof expected, "shards/run_id=r/%s/attempt=%s",
                     large ? templates[i].large : templates[i].seven, large ? "123" : "07");
            assert_int_equal(sfi_shard_key("shards", "r", templates[i].text, large ? 123456 : 7,
                                           large ? 123 : 7, &key, NULL),
                             SHARDY_OK);
            assert_string_equal(key, expected);
            sfi_free(key);
        }
    }
}

static void bad_templates_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "db",
        "{",
        "}",
        "{db_id",
        "{db_id:",
        "{db_id:d",
        "{}",
        "{0}",
        "{other}",
        "{db_idx}",
        "{db_id!r}",
        "{db_id.x}",
        "{db_id[0]}",
        "{db_id:c}",
        "{db_id:,}",
        "{db_id:.2f}",
        "{db_id:s}",
        "{db_id:65}",
        "{db_id:{x}}",
        "../{db_id}",
        "/{db_id}",
        "{db_id}/",
        "a//{db_id}",
        "{db_id}\n",
        "{db_id}}",
        "{{db_id}}",
        "{db_id:999999999999}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        if (sfi_db_template_check(bad[i], &err) != SHARDY_CONFIG) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_non_null(strstr(err.message, "db_path_template"));
    }
}

static void segments(void **state)
{
    static const struct {
        const char *value;
        const char *problem; /* NULL: fine */
    } rows[] = {
        {"shards", NULL},
        {"a.b_c-9", NULL},
        {"", "must be non-empty"},
        {"a..b", "must not contain '..'"},
        {"a/b", "must be a single path segment"},
        {"a\\b", "must be a single path segment"},
        {"a b", "contains unsupported characters; allowed: [A-Za-z0-9._-]"},
        {"\xc3\xa9", "contains unsupported characters"},
        {".", "must not be '.'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_segment_check("output.shard_prefix", rows[i].value, &err);
        assert_int_equal(st, rows[i].problem ? SHARDY_CONFIG : SHARDY_OK);
        assert_true(!rows[i].problem || (strstr(err.message, rows[i].problem) &&
                                         strstr(err.message, "output.shard_prefix")));
    }
}

static void run_ids(void **state)
{
    static const char *const good[] = {
        "a", "84d17353ae004f1a9d73a8457dd42723", "day 1", "\xc3\xa9", "a=b", "1.2"};
    static const char *const bad[] = {"", "a/b", "a..b", "..", ".", "a\nb", "\xff", "a\x7f"};
    char longest[600];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(sfi_run_id_check(good[i], NULL), SHARDY_OK);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(sfi_run_id_check(bad[i], NULL), SHARDY_CONFIG);
    }
    memset(longest, 'a', sizeof longest);
    longest[513] = '\0';
    assert_int_equal(sfi_run_id_check(longest, NULL), SHARDY_CONFIG);
    longest[512] = '\0';
    assert_int_equal(sfi_run_id_check(longest, NULL), SHARDY_OK);
}

static void manifest_keys_and_run_ids_of_refs(void **state)
{
    static const char *const refs[][2] = {
        {"s3://b/p/manifests/2026_run_id=abc/manifest", "abc"},
        {"mem://manifests/run_id=x y/manifest", "x y"},
        {"run_id=a/run_id=b", "a"},
        {"run_id=", NULL},
        {"run_id=/x", NULL},
        {"s3://b/p/manifest", NULL},
    };
    char *key;
    (void)state;
    assert_int_equal(sfi_manifest_key(INT64_C(1773484200000000), "abc", &key, NULL), SHARDY_OK);
    assert_string_equal(key, "manifests/2026-03-14T10:30:00.000000Z_run_id=abc/manifest");
    sfi_free(key);
    assert_int_equal(sfi_manifest_key(0, "a/b", &key, NULL), SHARDY_CONFIG);
    assert_null(key);
    for (size_t i = 0; i < COUNT_OF(refs); i++) {
        char *run_id = sfi_ref_run_id(refs[i][0]);
        assert_int_equal(run_id != NULL, refs[i][1] != NULL);
        if (run_id) {
            assert_string_equal(run_id, refs[i][1]);
        }
        sfi_free(run_id);
    }
}

static void urls_are_joined(void **state)
{
    static const char *const rows[][3] = {
        {"s3://b/p", "k", "s3://b/p/k"},
        {"s3://b/p///", "k/l", "s3://b/p/k/l"},
        {"file:///a", "", "file:///a"},
        {"memory://n/", "x", "memory://n/x"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *url = sfi_url_join(rows[i][0], rows[i][1]);
        assert_string_equal(url, rows[i][2]);
        sfi_free(url);
    }
}

/* Shard URLs from manifests: below the opened prefix, or the recorded one when relocating. */
static const struct {
    const char *recorded; /* NULL: no relocation */
    const char *url;
    const char *key; /* NULL: refused */
} shard_urls[] = {
    {NULL, "memory://n/p/shards/x", "shards/x"},
    {NULL, "memory://n/p/a b?c#d", "a b?c#d"},
    {NULL, "memory://n/p", NULL},
    {NULL, "memory://n/p/", NULL},
    {NULL, "memory://n/pp/x", NULL},
    {NULL, "memory://n/x", NULL},
    {NULL, "memory://other/p/x", NULL},
    {NULL, "memory://n/p/../q/x", NULL},
    {NULL, "memory://n/p/a/../x", NULL},
    {NULL, "memory://n/p/./x", NULL},
    {NULL, "memory://n/p//x", NULL},
    {NULL, "memory://n/p/x/", NULL},
    {NULL, "memory://n/p/x\n", NULL},
    {NULL, "memory://n/p/\xff", NULL},
    {NULL, "memory://user@n/p/x", NULL},
    {NULL, "MEMORY://n/p/x", NULL},
    {NULL, "file:///etc/passwd", NULL},
    {NULL, "file:///n/p/x", NULL},
    {NULL, "http://169.254.169.254/latest/meta-data", NULL},
    {NULL, "s3://b/p/shards/x", NULL},
    {NULL, "/etc/passwd", NULL},
    {NULL, "shards/x", NULL},
    {NULL, "", NULL},
    {"s3://b/p", "s3://b/p/shards/x", "shards/x"},
    {"s3://b/p/", "s3://b/p/shards/x", "shards/x"},
    {"s3://b/p", "memory://n/p/shards/x", "shards/x"},
    {"s3://b/p", "s3://b/pp/shards/x", NULL},
    {"s3://b/p", "s3://other/p/shards/x", NULL},
    {"s3://b/p", "s3://b/p/../x", NULL},
    {"s3://b/p", "s3://b/p//x", NULL},
    {"s3://b/p", "s3://user:pw@b/p/x", NULL},
    {"s3://b/p", "http://b/p/x", NULL},
    {"", "/etc/passwd", NULL},
    {"/", "/etc/passwd", NULL},
    {"//", "//etc/passwd", NULL},
    {"file://", "file:///etc/passwd", NULL},
};

static void hostile_shard_urls(void **state)
{
    struct sfi_store *store;
    (void)state;
    assert_int_equal(sfi_store_open("memory://n/p", NULL, &store, NULL), SHARDY_OK);
    for (size_t i = 0; i < COUNT_OF(shard_urls); i++) {
        char *key;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st =
            sfi_store_key_of(store, shard_urls[i].recorded, shard_urls[i].url, &key, &err);
        /* "file://" as a prefix of everything still ends below the opened prefix: never outside. */
        if (shard_urls[i].recorded && !strcmp(shard_urls[i].recorded, "file://")) {
            assert_true(st == SHARDY_CONFIG || sfi_key_check(key, NULL) == SHARDY_OK);
        } else if ((st == SHARDY_OK) != (shard_urls[i].key != NULL)) {
            fail_msg("%s (%s)", shard_urls[i].url, err.message);
        } else if (st == SHARDY_OK) {
            assert_string_equal(key, shard_urls[i].key);
        } else {
            assert_int_equal(st, SHARDY_CONFIG);
        }
        sfi_free(key);
    }
    sfi_store_release(store);
}

/* References from pointers: the same, with relocation by the "manifests/..." tail. */
static const struct {
    bool relocate;
    const char *ref;
    const char *key;
} refs[] = {
    {false, "memory://n/p/manifests/t_run_id=a/manifest", "manifests/t_run_id=a/manifest"},
    {false, "memory://n/p/anything", "anything"},
    {false, "s3://b/p/manifests/t_run_id=a/manifest", NULL},
    {true, "s3://b/p/manifests/t_run_id=a/manifest", "manifests/t_run_id=a/manifest"},
    {true, "s3://b/manifests/p/manifests/t/manifest", "manifests/t/manifest"},
    {true, "s3://b/p/manifests/../../x", NULL},
    {true, "s3://b/p/manifests//x", NULL},
    {true, "s3://b/p/manifests/", NULL},
    {true, "file:///etc/passwd", NULL},
    {true, "manifests/x/manifest", NULL},
    {true, "", NULL},
};

static void hostile_refs(void **state)
{
    struct sfi_store *store;
    (void)state;
    assert_int_equal(sfi_store_open("memory://n/p", NULL, &store, NULL), SHARDY_OK);
    for (size_t i = 0; i < COUNT_OF(refs); i++) {
        char *key;
        shardy_status st = sfi_ref_key(store, refs[i].relocate, refs[i].ref, &key, NULL);
        if ((st == SHARDY_OK) != (refs[i].key != NULL)) {
            fail_msg("%s", refs[i].ref);
        }
        if (key) {
            assert_string_equal(key, refs[i].key);
        }
        sfi_free(key);
    }
    sfi_store_release(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_format_like_python),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(segments),
        cmocka_unit_test(run_ids),
        cmocka_unit_test(manifest_keys_and_run_ids_of_refs),
        cmocka_unit_test(urls_are_joined),
        cmocka_unit_test(hostile_shard_urls),
        cmocka_unit_test(hostile_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
