/*
 * store_s3_retry.c - which answers are worth another try, how long to wait, and what one store may
 * spend on retries. Pure functions; the state machine that uses them is store_s3_call.c.
 *
 * Back-off: decorrelated jitter (the next wait is random between half the base and twice the last
 * one). Budget: a bucket of tokens that retries take and successes give back, as in AWS's SDKs, so
 * that a service that is down is not asked six times as often. Slowing down: after SlowDown and 429
 * all requests of the store pause for a time that doubles while such answers go on coming.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"

#include <stdlib.h>

#define PAUSE_MS        50u
#define PAUSE_LEVEL_MAX 6u /* 3.2 s */

static bool is_one_of(const char *code, const char *const *names)
{
    while (*names && strcmp(*names, code) != 0) {
        names++;
    }
    return *names != NULL;
}

static const char *const s_throttled[] = {"SlowDown",
                                          "Throttling",
                                          "ThrottlingException",
                                          "RequestLimitExceeded",
                                          "TooManyRequests",
                                          "BandwidthLimitExceeded",
                                          "RequestThrottled",
                                          NULL};
static const char *const s_transient[] = {"InternalError",
                                          "RequestTimeout",
                                          "RequestTimeoutException",
                                          "ServiceUnavailable",
                                          "OperationAborted",
                                          "ConditionalRequestConflict",
                                          "BadDigest",
                                          "InvalidDigest",
                                          "XAmzContentChecksumMismatch",
                                          "IncompleteBody",
                                          NULL};
static const char *const s_expired[] = {"ExpiredToken", "ExpiredTokenException",
                                        "TokenRefreshRequired", "InvalidToken", NULL};
static const char *const s_elsewhere[] = {"PermanentRedirect", "TemporaryRedirect",
                                          "AuthorizationHeaderMalformed",
                                          "IllegalLocationConstraintException", NULL};
static const char *const s_no_checksum[] = {"NotImplemented", "InvalidRequest", "InvalidArgument",
                                            "UnsupportedHeader", NULL};

enum sfi_s3_class sfi_s3_classify(int http_status, const char *code)
{
    if (is_one_of(code, s_throttled) || http_status == 429) {
        return SFI_S3_THROTTLED;
    }
    if (is_one_of(code, s_transient)) {
        return SFI_S3_TRANSIENT;
    }
    if (is_one_of(code, s_expired) || http_status == 401) {
        return SFI_S3_EXPIRED;
    }
    if (!strcmp(code, "RequestTimeTooSkewed")) {
        return SFI_S3_SKEWED;
    }
    if (is_one_of(code, s_elsewhere) || http_status == 301 || http_status == 302 ||
        http_status == 307 || http_status == 308) {
        return SFI_S3_ELSEWHERE;
    }
    if ((http_status == 400 || http_status == 501) && is_one_of(code, s_no_checksum)) {
        return SFI_S3_NO_CHECKSUM;
    }
    switch (http_status) {
    case 409: /* "not now" when nothing is said, never "it exists" */
        return *code ? SFI_S3_FATAL : SFI_S3_TRANSIENT;
    case 408:
    case 500:
    case 502:
    case 503:
    case 504:
        return SFI_S3_TRANSIENT;
    default:
        return http_status > 504 ? SFI_S3_TRANSIENT : SFI_S3_FATAL;
    }
}

bool sfi_s3_may_have_acted(int http_status, const char *code)
{
    if (is_one_of(code, s_throttled) || !strcmp(code, "ServiceUnavailable") ||
        !strncmp(code, "RequestTimeout", 14)) {
        return false; /* refused before anything was done; the body never came */
    }
    /* 503 with another code, or none, is from something between: it may have passed it on. */
    return http_status >= 500 && http_status != 501;
}

void sfi_s3_throttle_init(struct sfi_s3_throttle *throttle)
{
    memset(throttle, 0, sizeof *throttle);
    throttle->tokens = SFI_S3_RETRY_TOKENS;
}

bool sfi_s3_throttle_pay(struct sfi_s3_throttle *throttle, unsigned cost)
{
    bool enough = throttle->tokens >= cost;
    throttle->tokens -= enough ? cost : 0;
    return enough;
}

void sfi_s3_throttle_success(struct sfi_s3_throttle *throttle, unsigned cost)
{
    throttle->tokens += cost ? cost : 1;
    if (throttle->tokens > SFI_S3_RETRY_TOKENS) {
        throttle->tokens = SFI_S3_RETRY_TOKENS;
    }
    throttle->level = 0;
}

void sfi_s3_throttle_slow_down(struct sfi_s3_throttle *throttle, uint64_t now_us)
{
    if (now_us < throttle->paused_until_us) {
        return; /* requests that were under way already: one step a pause */
    }
    throttle->paused_until_us = now_us + ((uint64_t)PAUSE_MS << throttle->level) * 1000;
    if (throttle->level < PAUSE_LEVEL_MAX) {
        throttle->level++;
    }
}

uint64_t sfi_s3_backoff(uint64_t base_ms, uint64_t previous_ms, uint64_t random)
{
    uint64_t least = base_ms / 2;
    uint64_t most = previous_ms ? 2 * previous_ms : base_ms;
    most = most < base_ms ? base_ms : most;
    uint64_t wait = least + random % (most - least + 1);
    return wait < SFI_S3_BACKOFF_MAX_MS ? wait : SFI_S3_BACKOFF_MAX_MS;
}

static bool two_digits(const char *text, int *out)
{
    *out = text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9'
               ? (text[0] - '0') * 10 + text[1] - '0'
               : -1;
    return *out >= 0;
}

bool sfi_s3_http_date(const char *text, int64_t *seconds)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char shape[] = "aaa, dd aaa dddd dd:dd:dd GMT";
    static const int days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int day;
    int century;
    int year;
    int hour;
    int minute;
    int second;
    if (strlen(text) != sizeof shape - 1) {
        return false;
    }
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] != 'a' && shape[i] != 'd' && shape[i] != text[i]) {
            return false;
        }
    }
    int month = 0;
    while (month < 12 && strncmp(months + 3 * month, text + 8, 3) != 0) {
        month++;
    }
    if (month == 12 || !two_digits(text + 5, &day) || !two_digits(text + 12, &century) ||
        !two_digits(text + 14, &year) || !two_digits(text + 17, &hour) ||
        !two_digits(text + 20, &minute) || !two_digits(text + 23, &second)) {
        return false;
    }
    year += 100 * century;
    if (year < 1970 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    /* Leap days up to the end of the year before, and this year's. */
    int before = year - 1;
    int64_t days = (int64_t)(year - 1970) * 365 + (before / 4 - before / 100 + before / 400) -
                   (1969 / 4 - 1969 / 100 + 1969 / 400);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    days += days_before[month] + (leap && month > 1) + day - 1;
    *seconds = days * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

uint64_t sfi_s3_retry_after(const char *value, int64_t now)
{
    size_t digits = strspn(value, "0123456789");
    int64_t wait = 0;
    int64_t then;
    if (digits && !value[digits]) {
        wait = digits > 6 ? 1000000 : (int64_t)strtol(value, NULL, 10);
    } else if (sfi_s3_http_date(value, &then) && then > now) {
        wait = then - now;
    }
    return wait > SFI_S3_RETRY_AFTER_MAX_MS / 1000 ? SFI_S3_RETRY_AFTER_MAX_MS
                                                   : (uint64_t)wait * 1000;
}
