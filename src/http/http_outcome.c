/*
 * http_outcome.c - how an exchange ended, in the words of http.h. What decides is whether the
 * request may have left this machine: before that, everything is NOT_SENT (time-outs included) or
 * REFUSED; after it, a server may have acted, whatever curl calls the failure.
 */
#include "http/http_internal.h"

#include <openssl/err.h>
#include <stdlib.h>

struct outcome_text {
    shardy_status status;
    const char *text;
};

static const struct outcome_text s_texts[] = {
    [SFI_HTTP_ANSWERED] = {SHARDY_OK, ""},
    [SFI_HTTP_NOT_SENT] = {SHARDY_STORE, "not sent"},
    [SFI_HTTP_LOST] = {SHARDY_STORE, "no complete answer"},
    [SFI_HTTP_TIMEOUT] = {SHARDY_STORE, "timed out"},
    [SFI_HTTP_TOO_LARGE] = {SHARDY_LIMIT, "the answer is too large"},
    [SFI_HTTP_REFUSED] = {SHARDY_CONFIG,
                          "the server's certificate is not accepted (give its CA bundle, or "
                          "correct the endpoint)"},
    [SFI_HTTP_CANCELLED] = {SHARDY_CANCELLED, "cancelled"},
    [SFI_HTTP_NO_MEMORY] = {SHARDY_NO_MEMORY, "out of memory"},
};

/* Scheme, host and path: a query may hold a signature, userinfo a password. */
static void visible_url(const char *url, char *out, size_t size)
{
    size_t scheme = 0;
    const char *separator = strstr(url, "://");
    if (separator) {
        scheme = (size_t)(separator - url) + 3;
    }
    const char *host = url + scheme;
    size_t authority = strcspn(host, "/?#");
    for (size_t i = 0; i < authority; i++) {
        if (host[i] == '@') {
            host += i + 1;
            authority -= i + 1;
            i = (size_t)-1;
        }
    }
    size_t rest = authority + strcspn(host + authority, "?#");
    if (scheme + rest > size - 1) {
        rest = scheme > size - 1 ? 0 : size - 1 - scheme;
    }
    scheme = scheme > size - 1 ? size - 1 : scheme;
    memcpy(out, url, scheme);
    memcpy(out + scheme, host, rest);
    out[scheme + rest] = '\0';
}

void sfi_http_describe(struct sfi_http_request *request, enum sfi_http_outcome outcome,
                       const char *reason)
{
    const struct outcome_text *row = &s_texts[outcome];
    char url[256];
    if (outcome == SFI_HTTP_ANSWERED) {
        return;
    }
    visible_url(request->url, url, sizeof url);
    sfi_fail(&request->error, row->status, "%s %s: %s%s%s", request->method, url, row->text,
             reason && reason[0] ? ": " : "", reason ? reason : "");
    request->error.detail = request->http_status;
}

/*
 * Whether a failed handshake is about a certificate after all: curl looks at OpenSSL's first error
 * only, which is one of the arithmetic when a signature does not fit the key of an authority of
 * that name. Failures of the protocol itself come from the SSL part.
 */
static bool is_certificate_failure(const char *detail)
{
    const char *error = strstr(detail, "error:");
    unsigned long code = error ? strtoul(error + 6, NULL, 16) : 0;
    int library = ERR_GET_LIB(code);
    return library != 0 && library != ERR_LIB_SSL && library != ERR_LIB_SYS;
}

static enum sfi_http_outcome classify(const struct sfi_http_exchange *exchange, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        /* curl is content with a header block that the end of the connection cut. */
        return exchange->head_done && exchange->request->http_status ? SFI_HTTP_ANSWERED
                                                                     : SFI_HTTP_LOST;
    case CURLE_OUT_OF_MEMORY:
        /* Also after sending, unless the request may have changed something by now. */
        return exchange->sent && !exchange->repeatable ? SFI_HTTP_LOST : SFI_HTTP_NO_MEMORY;
    case CURLE_OPERATION_TIMEDOUT:
        return exchange->sent ? SFI_HTTP_TIMEOUT : SFI_HTTP_NOT_SENT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return exchange->sent ? SFI_HTTP_LOST : SFI_HTTP_REFUSED;
    case CURLE_SSL_CONNECT_ERROR:
        if (!exchange->sent && is_certificate_failure(exchange->detail)) {
            return SFI_HTTP_REFUSED;
        }
        return exchange->sent ? SFI_HTTP_LOST : SFI_HTTP_NOT_SENT;
    default:
        return exchange->sent ? SFI_HTTP_LOST : SFI_HTTP_NOT_SENT;
    }
}

enum sfi_http_outcome sfi_http_outcome_of(const struct sfi_http_exchange *exchange, CURLcode code)
{
    struct sfi_http_request *request = exchange->request;
    enum sfi_http_outcome outcome = exchange->stop;
    const char *reason = exchange->stop_reason;
    if (outcome == SFI_HTTP_ANSWERED) {
        outcome = classify(exchange, code);
        reason = exchange->detail[0] ? exchange->detail
                 : code == CURLE_OK  ? "the header block is cut"
                                     : curl_easy_strerror(code);
    }
    sfi_http_describe(request, outcome, reason);
    if (outcome == SFI_HTTP_NOT_SENT &&
        (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
         code == CURLE_LOGIN_DENIED)) {
        request->error.status = SHARDY_CONFIG;
    }
    return outcome;
}
