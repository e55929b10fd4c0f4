/*
 * test_fetch_plan.c - wants become requests: sorted, merged over small gaps, cut when large,
 * limited to what one wave may take; and when a lookup that only repeats itself gives up.
 */
#include "row_sample.h"

#include "base/limits.h"
#include "reader/fetch.h"

#define KB (UINT64_C(1) << 10)
#define MB (UINT64_C(1) << 20)

/* Shards are told apart by address only. */
static struct sfi_shard_reader s_shards[2];

struct range {
    unsigned shard;
    enum sfi_remote_object object;
    uint64_t offset;
    uint64_t length;
};

struct plan_case {
    const char *name;
    struct range wants[5]; /* length UINT64_MAX ends the list */
    struct range ranges[5];
};

#define END                 \
    {                       \
        0, 0, 0, UINT64_MAX \
    }
#define DB      SFI_REMOTE_DATABASE
#define SIDECAR SFI_REMOTE_SIDECAR

static const struct plan_case s_cases[] = {
    {"nothing", {END}, {END}},
    {"same page twice",
     {{0, DB, 8192, 4096}, {0, DB, 8192, 4096}, END},
     {{0, DB, 8192, 4096}, END}},
    {"neighbours, in any order",
     {{0, DB, 8192, 4096}, {0, DB, 4096, 4096}, END},
     {{0, DB, 4096, 8192}, END}},
    {"overlapping", {{0, DB, 0, 16384}, {0, DB, 4096, 4096}, END}, {{0, DB, 0, 16384}, END}},
    {"small gap",
     {{0, DB, 0, 4096}, {0, DB, 4096 + 64 * KB, 4096}, END},
     {{0, DB, 0, 8192 + 64 * KB}, END}},
    {"large gap",
     {{0, DB, 0, 4096}, {0, DB, 8192 + 64 * KB, 4096}, END},
     {{0, DB, 0, 4096}, {0, DB, 8192 + 64 * KB, 4096}, END}},
    {"gap that would make it too large",
     {{0, DB, 0, 8 * MB}, {0, DB, 8 * MB + 4096, 4096}, END},
     {{0, DB, 0, 8 * MB}, {0, DB, 8 * MB + 4096, 4096}, END}},
    {"cut into equal parts",
     {{0, DB, 0, 9 * MB}, END},
     {{0, DB, 0, 4608 * KB}, {0, DB, 4608 * KB, 4608 * KB}, END}},
    {"cut with an odd end",
     {{0, DB, 4096, 20 * MB + 100}, END},
     {{0, DB, 4096, 6828 * KB},
      {0, DB, 6832 * KB, 6828 * KB},
      {0, DB, 13660 * KB, 20 * MB + 100 - 13656 * KB},
      END}},
    {"shards and objects apart",
     {{1, DB, 0, 4096}, {0, DB, 4096, 4096}, {0, SIDECAR, 8192, 4096}, END},
     {{0, DB, 4096, 4096}, {0, SIDECAR, 8192, 4096}, {1, DB, 0, 4096}, END}},
    {"to the end", {{0, SIDECAR, 0, 0}, {0, SIDECAR, 0, 4096}, END}, {{0, SIDECAR, 0, 0}, END}},
};

static void fill(struct sfi_wants *wants, const struct range *ranges)
{
    for (; ranges->length != UINT64_MAX; ranges++) {
        struct sfi_want want = {&s_shards[ranges->shard], ranges->object, ranges->offset,
                                ranges->length};
        assert_true(sfi_ranges_add(wants, &want));
    }
}

static void plans(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT_OF(s_cases); c++) {
        struct sfi_wants wants = {0};
        struct sfi_wants expected = {0};
        struct sfi_wants ranges = {0};
        fill(&wants, s_cases[c].wants);
        fill(&expected, s_cases[c].ranges);
        sfi_wants_normalise(&wants);
        assert_true(sfi_wants_plan(&wants, &ranges));
        if (ranges.count != expected.count) {
            fail_msg("%s: %zu requests, expected %zu", s_cases[c].name, ranges.count,
                     expected.count);
        }
        for (size_t i = 0; i < ranges.count; i++) {
            const struct sfi_want *a = &ranges.items[i];
            const struct sfi_want *b = &expected.items[i];
            if (a->shard != b->shard || a->object != b->object || a->offset != b->offset ||
                a->length != b->length) {
                fail_msg("%s: request %zu is %llu+%llu", s_cases[c].name, i,
                         (unsigned long long)a->offset, (unsigned long long)a->length);
            }
        }
        sfi_wants_clear(&wants);
        sfi_wants_clear(&expected);
        sfi_wants_clear(&ranges);
    }
}

static void waves_are_limited(void **state)
{
    struct sfi_wants wants = {0};
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        struct sfi_want want = {&s_shards[0], DB, i * MB, 4096};
        assert_true(sfi_ranges_add(&wants, &want));
    }
    sfi_wants_limit(&wants, UINT64_MAX);
    assert_int_equal(wants.count, 100);
    sfi_wants_limit(&wants, 10 * 4096 + 100);
    assert_int_equal(wants.count, 10);
    wants.items[0].length = 30 * 4096;
    sfi_wants_limit(&wants, 10 * 4096 + 100);
    assert_int_equal(wants.count, 1);
    assert_int_equal(wants.items[0].length, 10 * 4096);
    sfi_wants_clear(&wants);
}

static void repeating_gives_up(void **state)
{
    struct sfi_thrash thrash = {0};
    struct sfi_want want = {&s_shards[0], DB, 0, 4096};
    struct sfi_wants wants = {.items = &want, .count = 1};
    shardy_error error = SHARDY_ERROR_INIT;
    (void)state;
    /* New pages, or finished lookups: never. */
    for (unsigned i = 0; i < 5000; i++) {
        want.offset += 4096;
        snap_ok(sfi_thrash_check(&thrash, &wants, false, 100, err));
    }
    for (unsigned i = 0; i < 100; i++) {
        snap_ok(sfi_thrash_check(&thrash, &wants, true, 100, err));
    }
    unsigned more = 0;
    while (sfi_thrash_check(&thrash, &wants, false, 1234567, &error) == SHARDY_OK) {
        assert_in_range(++more, 1, SFI_WAVES_STALE);
    }
    assert_int_equal(error.status, SHARDY_LIMIT);
    assert_non_null(strstr(error.message, "page_cache_bytes is 1234567"));
    sfi_thrash_clear(&thrash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(waves_are_limited),
        cmocka_unit_test(repeating_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
