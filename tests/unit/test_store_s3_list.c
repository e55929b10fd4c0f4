/*
 * test_store_s3_list.c - listings page by page and batch deletes against scripted servers, honest
 * and other ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "s3_script.h"

#include "base/limits.h"

#define PAGE(inner) \
    "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://x/\">" inner "</ListBucketResult>"
#define KEY(key)     "<Contents><Key>" key "</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>"
#define PREFIX(name) "<CommonPrefixes><Prefix>" name "</Prefix></CommonPrefixes>"
#define MORE(token) \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" token "</NextContinuationToken>"
#define URL_CODED "<EncodingType>url</EncodingType>"

struct scenario {
    const char *name;
    struct step steps[4];
    size_t requests;
    shardy_status status;
    const char *names; /* each followed by ';', prefixes with '/'; failures: part of the message */
};

static const struct scenario s_scenarios[] = {
    {"one page",
     {{NULL, 200, NULL, PAGE(KEY("prefix/p/b") KEY("prefix/p/a") PREFIX("prefix/p/c/")), 0, 0}},
     1,
     SHARDY_OK,
     "a;b;c/;"},
    {"nothing",
     {{NULL, 200, NULL, PAGE("<IsTruncated>false</IsTruncated>"), 0, 0}},
     1,
     SHARDY_OK,
     ""},
    {"three pages",
     {{NULL, 200, NULL, PAGE(KEY("prefix/p/a") MORE("t/+1=")), 0, 0},
      {"continuation-token=t%2F%2B1%3D&", 200, NULL, PAGE(KEY("prefix/p/b") MORE("t2")), 0, 0},
      {"continuation-token=t2&", 200, NULL, PAGE(KEY("prefix/p/c")), 0, 0}},
     3,
     SHARDY_OK,
     "a;b;c;"},
    {"a page that fails first",
     {{NULL, 500, NULL, "", 0, 0}, {NULL, 200, NULL, PAGE(KEY("prefix/p/a")), 0, 0}},
     2,
     SHARDY_OK,
     "a;"},
    {"an error under 200",
     {{NULL, 200, NULL, ERROR_XML("InternalError"), 0, 0},
      {NULL, 200, NULL, PAGE(KEY("prefix/p/a")), 0, 0}},
     2,
     SHARDY_OK,
     "a;"},
    {"no token",
     {{NULL, 200, NULL, PAGE("<IsTruncated>true</IsTruncated>" KEY("prefix/p/a") KEY("prefix/p/b")),
       0, 0},
      {"start-after=prefix%2Fp%2Fb", 200, NULL, PAGE(KEY("prefix/p/c")), 0, 0}},
     2,
     SHARDY_OK,
     "a;b;c;"},
    {"names that are encoded",
     {{NULL, 200, NULL, PAGE(KEY("prefix%2Fp%2Fa+b%2Bc%C3%A4") URL_CODED), 0, 0}},
     1,
     SHARDY_OK,
     "a b+c\xC3\xA4;"},
    {"names that are not",
     {{NULL, 200, NULL, PAGE(KEY("prefix/p/a+b%2F")), 0, 0}},
     1,
     SHARDY_OK,
     "a+b%2F;"},
    {"pages that overlap",
     {{NULL, 200, NULL, PAGE(PREFIX("prefix/p/a/") MORE("t")), 0, 0},
      {NULL, 200, NULL, PAGE(PREFIX("prefix/p/a/") KEY("prefix/p/a")), 0, 0}},
     2,
     SHARDY_OK,
     "a;a/;"},
    {"names nobody can use",
     {{NULL, 200, NULL,
       PAGE(KEY("prefix/p/") KEY("prefix/p/x//y") KEY("prefix/p/../z") KEY("prefix/p/ok")), 0, 0}},
     1,
     SHARDY_OK,
     "ok;"},
    {"the same token for ever",
     {{NULL, 200, NULL, PAGE(KEY("prefix/p/a") MORE("t")), 0, 0},
      {NULL, 200, NULL, PAGE(KEY("prefix/p/b") MORE("t")), 0, 0}},
     2,
     SHARDY_STORE,
     "repeats"},
    {"no way to go on",
     {{NULL, 200, NULL, PAGE("<IsTruncated>true</IsTruncated>"), 0, 0}},
     1,
     SHARDY_STORE,
     "cut off"},
    {"a key of somebody else",
     {{NULL, 200, NULL, PAGE(KEY("other/p/a")), 0, 0}},
     1,
     SHARDY_STORE,
     "not below prefix/p/"},
    {"not a listing",
     {{NULL, 200, NULL, "<Other/>", 0, 0}},
     1,
     SHARDY_STORE,
     "not a ListBucketResult"},
    {"not XML", {{NULL, 200, NULL, "{}", 0, 0}}, 1, SHARDY_STORE, "XML"},
    {"a bomb",
     {{NULL, 200, NULL,
       "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>" PAGE(KEY("&b;")), 0, 0}},
     1,
     SHARDY_STORE,
     "document type"},
    {"a size that is none",
     {{NULL, 200, NULL, PAGE("<Contents><Key>prefix/p/a</Key><Size>x</Size></Contents>"), 0, 0}},
     1,
     SHARDY_STORE,
     "not a number"},
    {"denied",
     {{NULL, 403, NULL, ERROR_XML("AccessDenied"), 0, 0}},
     1,
     SHARDY_CONFIG,
     "AccessDenied"},
};

static size_t count_steps(const struct step *steps, size_t most)
{
    size_t n = 0;
    while (n < most && steps[n].status) {
        n++;
    }
    return n;
}

static void listings_come_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_scenarios / sizeof s_scenarios[0]; i++) {
        const struct scenario *s = &s_scenarios[i];
        struct script *script = script_start(s->steps, count_steps(s->steps, 4));
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        struct sfi_store_list list;
        char names[512] = "";
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_store_list(store, "p", false, &list, &err);
        for (size_t k = 0; k < list.count; k++) {
            size_t n = strlen(names);
            snprintf(names + n, sizeof names - n, "%s%s;", list.entries[k].name,
                     list.entries[k].is_prefix ? "/" : "");
        }
        if (st != s->status || atomic_load(&script->seen_count) != s->requests ||
            (st == SHARDY_OK ? strcmp(names, s->names) != 0 : !strstr(err.message, s->names))) {
            fail_msg("%s: %s, %zu requests, \"%s\", %s", s->name, shardy_status_name(st),
                     atomic_load(&script->seen_count), names, err.message);
        }
        sfi_store_list_clear(&list);
        sfi_store_release(store);
        script_stop(script);
    }
}

static void listings_ask_below_the_prefix(void **state)
{
    static const struct step steps[] = {
        {"GET /bucket?delimiter=%2F&encoding-type=url&list-type=2&prefix=prefix%2F ", 200, NULL,
         PAGE(KEY("prefix/a")), 0, 0},
        {"GET /bucket?encoding-type=url&list-type=2&prefix=prefix%2Fa%20b%2F ", 200, NULL,
         PAGE(KEY("prefix/a b/x/y")), 0, 0}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    struct sfi_store_list list;
    (void)state;
    assert_int_equal(sfi_store_list(store, "", false, &list, NULL), SHARDY_OK);
    assert_int_equal(list.count, 1);
    sfi_store_list_clear(&list);
    assert_int_equal(sfi_store_list(store, "a b", true, &list, NULL), SHARDY_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.entries[0].name, "x/y");
    sfi_store_list_clear(&list);
    sfi_store_release(store);
    script_stop(script);
}

/* Truncated and empty for ever, with a new token each time: the pages are counted. */
static void listings_end(void **state)
{
    static const struct step steps[] = {
        {"continuation-token=a&", 200, NULL, PAGE(MORE("b")), STEP_ALWAYS, 0},
        {"continuation-token=b&", 200, NULL, PAGE(MORE("a")), STEP_ALWAYS, 0},
        {NULL, 200, NULL, PAGE(MORE("a")), 0, 0}};
    struct script *script = script_start(steps, 3);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    struct sfi_store_list list;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(sfi_store_list(store, "p", true, &list, &err), SHARDY_STORE);
    assert_non_null(strstr(err.message, "does not end"));
    assert_non_null(strstr(err.message, "s3://bucket/prefix/p"));
    assert_int_equal(atomic_load(&script->seen_count), SFI_S3_LIST_EMPTY_MAX);
    sfi_store_release(store);
    script_stop(script);
}

#define RESULT(inner) "<DeleteResult>" inner "</DeleteResult>"
#define FAILED(key, code) \
    "<Error><Key>prefix/" key "</Key><Code>" code "</Code><Message>m</Message></Error>"

static void batches_delete(void **state)
{
    static const struct {
        const char *name;
        struct step steps[5];
        shardy_status status;
        size_t deleted;
        size_t requests;
        const char *message;
    } cases[] = {
        {"all", {{"POST /bucket?delete", 200, NULL, RESULT(""), 0, 0}}, SHARDY_OK, 3, 1, ""},
        {"one fails inside, and is tried alone",
         {{"POST", 200, NULL, RESULT(FAILED("b&amp;c", "InternalError")), 0, 0},
          {"DELETE /bucket/prefix/b%26c", 204, NULL, NULL, 0, 0}},
         SHARDY_OK,
         3,
         2,
         ""},
        {"one is denied",
         {{"POST", 200, NULL, RESULT(FAILED("a", "AccessDenied")), 0, 0}},
         SHARDY_CONFIG,
         2,
         1,
         "AccessDenied"},
        {"one is denied again and again",
         {{"POST", 200, NULL,
           RESULT(FAILED("a", "AccessDenied") FAILED("a", "AccessDenied")
                      FAILED("a", "AccessDenied") FAILED("a", "AccessDenied")),
           0, 0}},
         SHARDY_CONFIG,
         2,
         1,
         "AccessDenied"},
        {"one nobody asked for",
         {{"POST", 200, NULL, RESULT(FAILED("zz", "InternalError")), 0, 0}},
         SHARDY_STORE,
         3,
         1,
         "prefix/zz"},
        {"no batches here",
         {{"POST", 501, NULL, ERROR_XML("NotImplemented"), 0, 0},
          {"DELETE", 204, NULL, NULL, 0, 0},
          {"DELETE", 204, NULL, NULL, 0, 0},
          {"DELETE", 404, NULL, ERROR_XML("NoSuchKey"), 0, 0}},
         SHARDY_OK,
         3,
         4,
         ""},
        {"retried",
         {{"POST", 503, NULL, ERROR_XML("SlowDown"), 0, 0},
          {"POST", 200, NULL, ERROR_XML("InternalError"), 0, 0},
          {"POST", 200, NULL, RESULT(""), 0, 0}},
         SHARDY_OK,
         3,
         3,
         ""},
        {"not a result",
         {{"POST", 200, NULL, "<Other/>", 0, 0}},
         SHARDY_STORE,
         0,
         1,
         "not a DeleteResult"},
        {"denied",
         {{"POST", 403, NULL, ERROR_XML("AccessDenied"), 0, 0}},
         SHARDY_CONFIG,
         0,
         1,
         "AccessDenied"},
    };
    static const char *const keys[] = {"a", "b&c", "d"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script *script = script_start(cases[i].steps, count_steps(cases[i].steps, 5));
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        size_t deleted = 99;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_store_delete_many(store, keys, 3, &deleted, &err);
        if (st != cases[i].status || deleted != cases[i].deleted ||
            atomic_load(&script->seen_count) != cases[i].requests ||
            !strstr(err.message, cases[i].message)) {
            fail_msg("%s: %s, %zu deleted, %zu requests: %s", cases[i].name, shardy_status_name(st),
                     deleted, atomic_load(&script->seen_count), err.message);
        }
        assert_non_null(strstr(script->seen[0].body, "<Key>prefix/b&#38;c</Key>"));
        assert_non_null(seen_header(&script->seen[0], "Content-MD5"));
        sfi_store_release(store);
        script_stop(script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings_come_out),
        cmocka_unit_test(listings_end),
        cmocka_unit_test(listings_ask_below_the_prefix),
        cmocka_unit_test(batches_delete),
    };
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
