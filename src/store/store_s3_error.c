/*
 * store_s3_error.c - what a failed S3 call means to its caller, in one message: operation, URL
 * without its query, answer, request id, number of attempts, remedy. Text of servers is bounded and
 * printable by the time it gets here; secrets never do.
 */
#include "store/store_s3_internal.h"

#include <stdio.h>

/* Status and remedy of an answer, by S3's code ("" = none: HEAD) and HTTP status; the first fits.
 */
struct meaning {
    int http_status;  /* 0 = any */
    const char *code; /* NULL = any */
    shardy_status status;
    const char *remedy;
};

static const struct meaning s_meanings[] = {
    {0, "NoSuchBucket", SHARDY_CONFIG, "create the bucket or correct the URL"},
    {0, "InvalidBucketName", SHARDY_CONFIG, "correct the URL"},
    {0, "NoSuchKey", SHARDY_NOT_FOUND, NULL},
    {0, "NoSuchUpload", SHARDY_STORE, "somebody aborted the upload"},
    {0, "InvalidAccessKeyId", SHARDY_CONFIG, "the server does not know this access key"},
    {0, "SignatureDoesNotMatch", SHARDY_CONFIG, "the secret access key is wrong"},
    {0, "RequestTimeTooSkewed", SHARDY_STORE, "set the clock of this machine"},
    {0, "EntityTooLarge", SHARDY_LIMIT, NULL},
    {0, "KeyTooLongError", SHARDY_LIMIT, "use a shorter prefix"},
    {0, "NotImplemented", SHARDY_UNSUPPORTED, NULL},
    {404, "", SHARDY_NOT_FOUND, NULL},
    {404, "NotFound", SHARDY_NOT_FOUND, NULL},
    {404, NULL, SHARDY_CONFIG, NULL}, /* something else is missing: a user, an account */
    {412, NULL, SHARDY_CONFLICT, NULL},
    {301, NULL, SHARDY_CONFIG, "set region_name or endpoint_url; redirects are not followed"},
    {307, NULL, SHARDY_CONFIG, "set region_name or endpoint_url; redirects are not followed"},
    {401, NULL, SHARDY_CONFIG, "look at the credentials"},
    {405, NULL, SHARDY_UNSUPPORTED, NULL},
    {501, NULL, SHARDY_UNSUPPORTED, NULL},
};

static const struct meaning *meaning_of(int http_status, const char *code)
{
    for (size_t i = 0; i < sizeof s_meanings / sizeof s_meanings[0]; i++) {
        const struct meaning *m = &s_meanings[i];
        if ((!m->http_status || m->http_status == http_status) &&
            (!m->code || !strcmp(m->code, code))) {
            return m;
        }
    }
    return NULL;
}

static const char *url_of(const struct sfi_s3_call *call, size_t *size)
{
    const char *url = call->address.url.data ? (const char *)call->address.url.data : "";
    *size = strcspn(url, "?");
    *size = *size > 300 ? 300 : *size;
    return url;
}

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

shardy_status sfi_s3_fail_call(struct sfi_s3_call *call, shardy_status status, const char *why)
{
    char copy[512];
    size_t size;
    const char *url = url_of(call, &size);
    int detail = call->http.http_status;
    snprintf(copy, sizeof copy, "%s", why); /* may be call->error.message */
    sfi_fail(&call->error, status, "%s %.*s: %s (%u attempt%s)", call->verb, (int)size, url, copy,
             call->attempts, plural(call->attempts));
    call->error.detail = detail;
    return status;
}

static const char *source_of(const struct sfi_s3_call *call)
{
    return call->credentials && call->credentials->source ? call->credentials->source : "unknown";
}

shardy_status sfi_s3_fail_answer(struct sfi_s3_call *call)
{
    const struct sfi_s3_error *answer = &call->answer;
    int http_status = call->http.http_status;
    const struct meaning *meaning = meaning_of(http_status, answer->code);
    shardy_status status = meaning ? meaning->status : SHARDY_STORE;
    struct sfi_buf text;
    size_t size;
    const char *url = url_of(call, &size);
    sfi_s3_exchange_hide(call);
    sfi_buf_init(&text, 4096);
    sfi_buf_printf(&text, "%s %.*s: HTTP %d%s%s%s%s", call->verb, (int)size, url, http_status,
                   answer->code[0] ? " " : "", answer->code, answer->message[0] ? ": " : "",
                   answer->message);
    if (answer->request_id[0]) {
        sfi_buf_printf(&text, " (request id %s, %u attempt%s)", answer->request_id, call->attempts,
                       plural(call->attempts));
    } else {
        sfi_buf_printf(&text, " (%u attempt%s)", call->attempts, plural(call->attempts));
    }
    if (http_status == 403 || http_status == 401 || !strncmp(answer->code, "Expired", 7)) {
        /* Not retryable: the same request is refused again. */
        status = status == SHARDY_STORE && strcmp(answer->code, "RequestTimeTooSkewed") != 0
                     ? SHARDY_CONFIG
                     : status;
        sfi_buf_printf(&text, "; access denied with the credentials of %.150s", source_of(call));
        if (!answer->code[0] || !strcmp(answer->code, "AccessDenied")) {
            sfi_buf_append_text(&text, ", or the object is missing and they may not list");
        }
    }
    if (answer->endpoint[0] && http_status >= 300 && http_status < 309) {
        sfi_buf_printf(&text, "; the server says it is at %.100s", answer->endpoint);
    }
    if (meaning && meaning->remedy) {
        sfi_buf_printf(&text, "; %s", meaning->remedy);
    }
    if (sfi_buf_status(&text, "message", &call->error) == SHARDY_OK) {
        sfi_fail(&call->error, status, "%s", (const char *)text.data);
    }
    call->error.detail = http_status;
    sfi_buf_clear(&text);
    return status;
}

bool sfi_s3_is_missing(const struct sfi_s3_call *call)
{
    return call->http.http_status == 404 &&
           (!call->answer.code[0] || !strcmp(call->answer.code, "NotFound") ||
            !strncmp(call->answer.code, "NoSuchKey", 9) ||
            !strcmp(call->answer.code, "NoSuchUpload"));
}

const char *sfi_s3_conflict_text(enum sfi_store_condition condition)
{
    return condition == SFI_STORE_IF_ABSENT ? "the object exists already"
                                            : "somebody else changed the object first";
}
