/*
 * test_parallel.c - every index once, the lowest failure wins, identifiers are random.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/parallel.h"
#include "store_sample.h"

#define COUNT 1000

struct job {
    atomic_uint calls[COUNT];
    atomic_uint busy[SFI_THREADS_MAX];
    size_t fail_from; /* indexes from here on fail */
};

static shardy_status work(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct job *job = arg;
    if (worker >= SFI_THREADS_MAX || atomic_fetch_add(&job->busy[worker], 1) != 0) {
        return sfi_fail(err, SHARDY_LIMIT, "worker %u is used twice at once", worker);
    }
    atomic_fetch_add(&job->calls[index], 1);
    atomic_fetch_sub(&job->busy[worker], 1);
    return index < job->fail_from ? SHARDY_OK : sfi_fail(err, SHARDY_INPUT, "item %zu", index);
}

static void every_index_once(void **state)
{
    static const unsigned threads[] = {0, 1, 2, 7, 300};
    (void)state;
    for (size_t t = 0; t < COUNT_OF(threads); t++) {
        struct job *job = calloc(1, sizeof *job);
        job->fail_from = COUNT;
        assert_int_equal(sfi_parallel(sfi_thread_count(threads[t]), COUNT, work, job, NULL),
                         SHARDY_OK);
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(job->calls[i], 1);
        }
        free(job);
    }
}

static void the_lowest_failure_wins(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct job *job = calloc(1, sizeof *job);
        shardy_error err = SHARDY_ERROR_INIT;
        job->fail_from = 3;
        assert_int_equal(sfi_parallel(4, COUNT, work, job, &err), SHARDY_INPUT);
        assert_string_equal(err.message, "item 3");
        assert_int_equal(err.status, SHARDY_INPUT);
        free(job);
    }
}

static void nothing_to_do(void **state)
{
    (void)state;
    assert_int_equal(sfi_parallel(4, 0, work, NULL, NULL), SHARDY_OK);
}

static void thread_counts(void **state)
{
    (void)state;
    assert_true(sfi_thread_count(0) >= 1);
    assert_int_equal(sfi_thread_count(3), 3);
    assert_int_equal(sfi_thread_count(100000), SFI_THREADS_MAX);
}

static void without_memory_the_caller_works_alone(void **state)
{
    struct job *job = calloc(1, sizeof *job);
    (void)state;
    job->fail_from = COUNT;
    install_failing_allocator();
    fail_allocation(1);
    assert_int_equal(sfi_parallel(4, COUNT, work, job, NULL), SHARDY_OK);
    fail_allocation(0);
    shardy_set_allocator(NULL);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(job->calls[i], 1);
    }
    free(job);
}

static void identifiers(void **state)
{
    char first[SFI_UUID_HEX_SIZE];
    char second[SFI_UUID_HEX_SIZE];
    (void)state;
    assert_int_equal(sfi_uuid_hex(first, NULL), SHARDY_OK);
    assert_int_equal(sfi_uuid_hex(second, NULL), SHARDY_OK);
    assert_int_equal(strlen(first), 32);
    assert_int_equal(strspn(first, "0123456789abcdef"), 32);
    assert_int_equal(first[12], '4');
    assert_non_null(strchr("89ab", first[16]));
    assert_string_not_equal(first, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(the_lowest_failure_wins),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(thread_counts),
        cmocka_unit_test(without_memory_the_caller_works_alone),
        cmocka_unit_test(identifiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
