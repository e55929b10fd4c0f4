/*
 * store_s3_exchange.c - one HTTP exchange of an S3 call: its headers, its signature, its event, and
 * what an error answer says. Bodies are not hashed into the signature (UNSIGNED-PAYLOAD, which
 * servers take over plain HTTP as well); CRC-32C guards them instead.
 */
#include "store/store_s3_internal.h"

#include "aws/secret.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <strings.h>

static void crc_text(struct sfi_bytes body, char out[16])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t crc = sfi_crc32c(0, body.data, body.size);
    /* Four bytes, highest first, are eight base64 characters. */
    uint64_t bits = (uint64_t)crc << 16;
    for (unsigned i = 0; i < 6; i++) {
        out[i] = digits[bits >> (42 - 6 * i) & 63];
    }
    out[6] = out[7] = '=';
    out[8] = '\0';
}

static void add(struct sfi_s3_call *call, size_t *count, const char *name, const char *value)
{
    call->headers[*count].name = name;
    call->headers[(*count)++].value = value;
}

/* Headers that belong to objects being written. */
static void add_upload_headers(struct sfi_s3_call *call, size_t *count)
{
    const struct sfi_s3_config *config = &call->store->config;
    bool creates = !strcmp(call->verb, "PUT") || !strcmp(call->verb, "CREATE_UPLOAD");
    if (creates && config->sse) {
        add(call, count, "x-amz-server-side-encryption", config->sse);
    }
    if (creates && config->sse_kms_key_id) {
        add(call, count, "x-amz-server-side-encryption-aws-kms-key-id", config->sse_kms_key_id);
    }
    if (call->checksum_sent && !strcmp(call->verb, "CREATE_UPLOAD")) {
        add(call, count, "x-amz-checksum-algorithm", "CRC32C");
    } else if (call->checksum_sent) {
        if (!call->crc_known) {
            crc_text(call->body, call->crc);
            call->crc_known = true;
        }
        add(call, count, "x-amz-checksum-crc32c", call->crc);
    }
}

static shardy_status sign(struct sfi_s3_call *call, size_t *count)
{
    struct sfi_sigv4_header headers[SFI_S3_HEADERS];
    const struct sfi_credentials *credentials = call->credentials;
    if (credentials->session_token) {
        add(call, count, "x-amz-security-token", credentials->session_token);
    }
    add(call, count, "x-amz-date", call->date);
    add(call, count, "x-amz-content-sha256", SFI_UNSIGNED_PAYLOAD);
    for (size_t i = 0; i < *count; i++) {
        headers[i].name = call->headers[i].name;
        headers[i].value = call->headers[i].value;
    }
    const struct sfi_sigv4_input input = {
        .method = call->method,
        .path = (const char *)call->address.path.data,
        .query = call->query ? call->query : "",
        .headers = headers,
        .header_count = *count,
        .payload_hash = SFI_UNSIGNED_PAYLOAD,
        .region = call->region,
        .service = "s3",
        .amz_date = call->date,
    };
    sfi_buf_clear(&call->authorization);
    SFI_RETURN_IF_ERR(
        sfi_sigv4_authorization(&input, credentials, &call->authorization, &call->error));
    add(call, count, "Authorization", (const char *)call->authorization.data);
    return SHARDY_OK;
}

shardy_status sfi_s3_exchange_prepare(struct sfi_s3_call *call)
{
    struct sfi_s3_store *store = call->store;
    size_t count = 0;
    pthread_mutex_lock(&store->synced.lock);
    int64_t skew = store->synced.skew_s;
    call->checksum_sent = call->checksum && store->synced.checksum;
    memcpy(call->region, store->synced.region, sizeof call->region);
    pthread_mutex_unlock(&store->synced.lock);
    if (call->prepare) {
        call->prepare(call);
    }
    SFI_RETURN_IF_ERR(sfi_s3_address_of(&store->config, call->region, call->key, call->query,
                                        &call->address, &call->error));
    sfi_amz_date(sfi_now_us() / 1000000 + skew, call->date);
    add(call, &count, "Host", (const char *)call->address.host.data);
    for (size_t i = 0; i < call->extra_count; i++) {
        add(call, &count, call->extra[i].name, call->extra[i].value);
    }
    if (store->config.request_payer) {
        add(call, &count, "x-amz-request-payer", "requester");
    }
    add_upload_headers(call, &count);
    if (!call->credentials->anonymous) {
        SFI_RETURN_IF_ERR(sign(call, &count));
    }
    /* Not signed: proxies may change them. A compressed answer would have the wrong length. */
    add(call, &count, "Accept-Encoding", "identity");
    add(call, &count, "User-Agent", "shardyfusion/" SHARDY_VERSION);
    memset(&call->http, 0, sizeof call->http);
    call->http.method = call->method;
    call->http.url = (const char *)call->address.url.data;
    call->http.headers = call->headers;
    call->http.header_count = count;
    call->http.body = call->body;
    call->http.max_body = call->max_body;
    call->http.expect_body = call->expect_body;
    return SHARDY_OK;
}

const char *sfi_s3_exchange_reason(const struct sfi_http_request *http)
{
    /* "METHOD URL: reason"; URLs have no spaces. */
    const char *reason = strstr(http->error.message, ": ");
    return reason ? reason + 2 : http->error.message;
}

static const char *outcome_text(const struct sfi_s3_call *call)
{
    const struct sfi_http_request *http = &call->http;
    if (http->outcome != SFI_HTTP_ANSWERED) {
        return http->error.message[0] ? sfi_s3_exchange_reason(http) : "no answer";
    }
    if (http->http_status < 400) {
        return "";
    }
    return call->answer.code[0] ? call->answer.code : "error";
}

/* "0-4095" of a request for a range. */
static const char *range_of(const struct sfi_s3_call *call)
{
    for (size_t i = 0; i < call->extra_count; i++) {
        if (strcmp(call->extra[i].name, "Range") == 0) {
            return call->extra[i].value + strlen("bytes=");
        }
    }
    return "";
}

void sfi_s3_exchange_emit(const struct sfi_s3_call *call)
{
    const struct sfi_http_request *http = &call->http;
    const char *label = call->label ? call->label : call->key;
    if (!call->store->observer.events.emit) {
        return;
    }
    sfi_emit(&call->store->observer, "store.request",
             SFI_FIELDS(sfi_field_str("verb", call->verb), sfi_field_str("key", label),
                        sfi_field_str("range", range_of(call)),
                        sfi_field_int("status", (uint64_t)http->http_status),
                        sfi_field_str("error", outcome_text(call)),
                        sfi_field_int("sent_bytes", call->body.size),
                        sfi_field_int("received_bytes", http->data.size),
                        sfi_field_int("started_us", http->started_us),
                        sfi_field_int("ended_us", http->ended_us),
                        sfi_field_int("connect_us", http->connect_us),
                        sfi_field_int("attempt", call->attempts),
                        sfi_field_str("request_id", call->answer.request_id)));
}

const char *sfi_s3_answer_header(const struct sfi_s3_call *call, const char *name)
{
    const char *value = sfi_http_answer_header(&call->http, name);
    return value ? value : "";
}

static void copy_short(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; n < size - 1 && from[n]; n++) {
        to[n] = (unsigned char)from[n] < 0x20 || (unsigned char)from[n] >= 0x7F ? '?' : from[n];
    }
    to[n] = '\0';
}

void sfi_s3_exchange_hide(struct sfi_s3_call *call)
{
    const struct sfi_credentials *credentials = call->credentials;
    struct sfi_s3_error *answer = &call->answer;
    char *const texts[] = {answer->code, answer->message, answer->endpoint, answer->request_id};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i][0] && (sfi_secret_shows(texts[i], credentials->secret_access_key) ||
                            sfi_secret_shows(texts[i], credentials->session_token))) {
            texts[i][0] = '\0';
        }
    }
}

void sfi_s3_exchange_read_error(struct sfi_s3_call *call)
{
    struct sfi_s3_error *answer = &call->answer;
    memset(answer, 0, sizeof *answer);
    if (call->http.outcome == SFI_HTTP_NOT_SENT || call->http.outcome == SFI_HTTP_REFUSED) {
        return;
    }
    copy_short(answer->request_id, sizeof answer->request_id,
               sfi_s3_answer_header(call, "x-amz-request-id"));
    if (call->http.http_status < 300 || call->http.http_status == 304) {
        return;
    }
    if (call->http.data.size && call->http.data.size <= SFI_S3_ERROR_BODY_MAX) {
        char id[sizeof answer->request_id];
        memcpy(id, answer->request_id, sizeof id);
        sfi_s3_error_parse(sfi_buf_view(&call->http.data), answer);
        if (id[0]) {
            memcpy(answer->request_id, id, sizeof id);
        }
    }
    const char *region = sfi_s3_answer_header(call, "x-amz-bucket-region");
    if (*region) {
        copy_short(answer->region, sizeof answer->region, region);
    }
    if (!answer->endpoint[0]) {
        const char *location = sfi_s3_answer_header(call, "location");
        const char *host = strstr(location, "://");
        copy_short(answer->endpoint, sizeof answer->endpoint, host ? host + 3 : location);
        answer->endpoint[strcspn(answer->endpoint, "/?")] = '\0';
    }
    sfi_s3_exchange_hide(call);
}
