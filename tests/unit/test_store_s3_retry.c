/*
 * test_store_s3_retry.c - classes of answers, waits, budgets, dates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "store/store_s3_internal.h"

static void classes(void **state)
{
    static const struct {
        int status;
        const char *code;
        enum sfi_s3_class class;
        bool acted;
    } cases[] = {
        {500, "InternalError", SFI_S3_TRANSIENT, true},
        {500, "", SFI_S3_TRANSIENT, true},
        {502, "", SFI_S3_TRANSIENT, true},
        {503, "", SFI_S3_TRANSIENT, true},
        {503, "ServiceUnavailable", SFI_S3_TRANSIENT, false},
        {503, "SlowDown", SFI_S3_THROTTLED, false},
        {504, "", SFI_S3_TRANSIENT, true},
        {520, "", SFI_S3_TRANSIENT, true},
        {429, "", SFI_S3_THROTTLED, false},
        {408, "", SFI_S3_TRANSIENT, false},
        {400, "RequestTimeout", SFI_S3_TRANSIENT, false},
        {200, "InternalError", SFI_S3_TRANSIENT, false},
        {200, "SlowDown", SFI_S3_THROTTLED, false},
        {409, "ConditionalRequestConflict", SFI_S3_TRANSIENT, false},
        {409, "OperationAborted", SFI_S3_TRANSIENT, false},
        {409, "BucketAlreadyExists", SFI_S3_FATAL, false},
        {409, "", SFI_S3_TRANSIENT, false},
        {400, "ExpiredToken", SFI_S3_EXPIRED, false},
        {400, "TokenRefreshRequired", SFI_S3_EXPIRED, false},
        {403, "InvalidToken", SFI_S3_EXPIRED, false},
        {401, "", SFI_S3_EXPIRED, false},
        {403, "RequestTimeTooSkewed", SFI_S3_SKEWED, false},
        {301, "", SFI_S3_ELSEWHERE, false},
        {307, "TemporaryRedirect", SFI_S3_ELSEWHERE, false},
        {400, "AuthorizationHeaderMalformed", SFI_S3_ELSEWHERE, false},
        {501, "NotImplemented", SFI_S3_NO_CHECKSUM, false},
        {400, "InvalidRequest", SFI_S3_NO_CHECKSUM, false},
        {403, "InvalidRequest", SFI_S3_FATAL, false},
        {400, "BadDigest", SFI_S3_TRANSIENT, false},
        {403, "AccessDenied", SFI_S3_FATAL, false},
        {404, "NoSuchKey", SFI_S3_FATAL, false},
        {412, "PreconditionFailed", SFI_S3_FATAL, false},
        {501, "", SFI_S3_FATAL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (sfi_s3_classify(cases[i].status, cases[i].code) != cases[i].class ||
            sfi_s3_may_have_acted(cases[i].status, cases[i].code) != cases[i].acted) {
            fail_msg("%d %s", cases[i].status, cases[i].code);
        }
    }
}

static void waits_grow_within_bounds(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 1000; random += 7) {
        uint64_t wait = sfi_s3_backoff(200, 0, random);
        assert_in_range(wait, 100, 200);
        for (int i = 0; i < 10; i++) {
            uint64_t next = sfi_s3_backoff(200, wait, random * 31 + (uint64_t)i);
            assert_in_range(next, 100, SFI_S3_BACKOFF_MAX_MS);
            assert_true(next <= 2 * wait || next <= 200);
            wait = next;
        }
    }
    assert_int_equal(sfi_s3_backoff(200, 100000, 123456789), SFI_S3_BACKOFF_MAX_MS);
}

static void tokens_run_out(void **state)
{
    struct sfi_s3_throttle throttle;
    unsigned paid = 0;
    (void)state;
    sfi_s3_throttle_init(&throttle);
    while (sfi_s3_throttle_pay(&throttle, SFI_S3_RETRY_COST)) {
        paid++;
    }
    assert_int_equal(paid, SFI_S3_RETRY_TOKENS / SFI_S3_RETRY_COST);
    for (int i = 0; i < 5; i++) {
        sfi_s3_throttle_success(&throttle, 0);
    }
    assert_true(sfi_s3_throttle_pay(&throttle, SFI_S3_RETRY_COST));
    assert_false(sfi_s3_throttle_pay(&throttle, SFI_S3_RETRY_COST));
    for (unsigned i = 0; i < 10000; i++) {
        sfi_s3_throttle_success(&throttle, SFI_S3_RETRY_COST);
    }
    assert_int_equal(throttle.tokens, SFI_S3_RETRY_TOKENS);
}

static void slowing_down_doubles(void **state)
{
    struct sfi_s3_throttle throttle;
    uint64_t now = 1000000;
    uint64_t last = 0;
    (void)state;
    sfi_s3_throttle_init(&throttle);
    for (int i = 0; i < 10; i++) {
        sfi_s3_throttle_slow_down(&throttle, now);
        uint64_t pause = throttle.paused_until_us - now;
        assert_true(pause >= last && pause <= 3200000);
        sfi_s3_throttle_slow_down(&throttle, now + 1); /* already under way: no further step */
        assert_int_equal(throttle.paused_until_us - now, pause);
        last = pause;
        now = throttle.paused_until_us;
    }
    assert_int_equal(last, 3200000);
    sfi_s3_throttle_success(&throttle, 0);
    sfi_s3_throttle_slow_down(&throttle, now);
    assert_int_equal(throttle.paused_until_us - now, 50000);
}

static void dates(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t seconds;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", true, 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", true, 0},
        {"Thu, 29 Feb 2024 12:00:00 GMT", true, 1709208000},
        {"Fri, 01 Mar 2024 00:00:00 GMT", true, 1709251200},
        {"Tue, 01 Jan 2041 10:00:00 GMT", true, 2240647200},
        {"Sun, 06 Nov 1994 08:49:37 UTC", false, 0},
        {"Sun, 06 Nox 1994 08:49:37 GMT", false, 0},
        {"Sun, 99 Nov 1994 08:49:37 GMT", false, 0},
        {"Sun, 06 Nov 1994 28:49:37 GMT", false, 0},
        {"Sun, a6 Nov 1994 08:49:37 GMT", false, 0},
        {"", false, 0},
        {"1994-11-06", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t seconds = 0;
        if (sfi_s3_http_date(cases[i].text, &seconds) != cases[i].good ||
            (cases[i].good && seconds != cases[i].seconds)) {
            fail_msg("%s: %lld", cases[i].text, (long long)seconds);
        }
    }
    assert_int_equal(sfi_s3_retry_after("3", 0), 3000);
    assert_int_equal(sfi_s3_retry_after("0", 0), 0);
    assert_int_equal(sfi_s3_retry_after("99999999999999999999", 0), SFI_S3_RETRY_AFTER_MAX_MS);
    assert_int_equal(sfi_s3_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111775), 2000);
    assert_int_equal(sfi_s3_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111779), 0);
    assert_int_equal(sfi_s3_retry_after("soon", 0), 0);
    assert_int_equal(sfi_s3_retry_after("-5", 0), 0);
    assert_int_equal(sfi_s3_retry_after("", 0), 0);
}

static void content_ranges(void **state)
{
    static const char *const wrong[] = {"",
                                        "bytes",
                                        "bytes 1-2",
                                        "bytes 2-1/5",
                                        "bytes 1-5/5",
                                        "bytes 1-2/*",
                                        "bytes */5",
                                        "bytes 1-2/5 ",
                                        "items 1-2/5",
                                        "bytes -2/5",
                                        "bytes 1-2/99999999999999999999"};
    uint64_t first;
    uint64_t last;
    uint64_t total;
    (void)state;
    assert_true(sfi_s3_content_range("bytes 5-9/20", &first, &last, &total));
    assert_int_equal(first, 5);
    assert_int_equal(last, 9);
    assert_int_equal(total, 20);
    assert_true(sfi_s3_content_range("Bytes 0-0/1", &first, &last, &total));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (sfi_s3_content_range(wrong[i], &first, &last, &total)) {
            fail_msg("%s", wrong[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),        cmocka_unit_test(waits_grow_within_bounds),
        cmocka_unit_test(tokens_run_out), cmocka_unit_test(slowing_down_doubles),
        cmocka_unit_test(dates),          cmocka_unit_test(content_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
