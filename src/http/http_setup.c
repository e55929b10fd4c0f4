/*
 * http_setup.c - libcurl options of an exchange: those of the client once for each easy handle,
 * those of the request each time. Handles are not reset in between: every option that requests set
 * is set, or implied, by each of them.
 *
 * A body is given by CURLOPT_POSTFIELDS, whatever the method, because curl then reads the caller's
 * memory without a callback and sends small bodies in one packet with the header block.
 */
#include "http/http_internal.h"

#include "base/limits.h"
#include "base/memory.h"

/* Bytes that curl moves at once. Larger ones save calls, and cost memory for each exchange. */
#define BUFFER_SMALL  (16L * 1024)
#define BUFFER_MEDIUM (128L * 1024)
#define BUFFER_LARGE  (256L * 1024)
#define UPLOAD_MIN    (64L * 1024)
#define UPLOAD_MAX    (1024L * 1024)
#define KEEPALIVE_S   60L
#define OWN_LINES     2 /* lines of our own */

static void setup_tls(const struct sfi_http_client *client, CURL *easy)
{
    if (client->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* instead of the system's, not besides */
    }
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, client->insecure_tls ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, client->insecure_tls ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void setup_connection(const struct sfi_http_client *client, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)SFI_HTTP_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (client->no_proxy) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    }
    if (client->http2) {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
}

bool sfi_http_setup_easy(struct sfi_http_exchange *exchange)
{
    struct sfi_http_loop *loop = exchange->loop;
    CURL *easy = exchange->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "shardyfusion/" SHARDY_VERSION) != CURLE_OK) {
        return false;
    }
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->detail);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(easy, CURLOPT_SHARE, loop->share);
    setup_connection(loop->client, easy);
    setup_tls(loop->client, easy);
    sfi_http_socket_setup(loop, easy);
    return true;
}

/* Nothing in a header may start another one. */
static bool is_header(const struct sfi_http_header *header)
{
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!header->name[0] || header->name[strspn(header->name, tokens)]) {
        return false;
    }
    for (const char *p = header->value; *p; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_named(const struct sfi_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (curl_strequal(request->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* One line of curl's list; the offset in `text` takes the place of the pointer until the end. */
static void add_line(struct sfi_http_exchange *exchange, size_t *count, const char *name,
                     const char *value)
{
    exchange->nodes[*count].data = (char *)exchange->text.size;
    ++*count;
    sfi_buf_append_text(&exchange->text, name);
    if (!value) {
        sfi_buf_append_text(&exchange->text, ":"); /* curl: leave this header out */
    } else if (!value[0]) {
        sfi_buf_append_text(&exchange->text, ";"); /* curl: send it without a value */
    } else {
        sfi_buf_append_text(&exchange->text, ": ");
        sfi_buf_append_text(&exchange->text, value);
    }
    sfi_buf_append_byte(&exchange->text, 0);
}

/* The list is made in memory that the exchange keeps, instead of two allocations a header. */
static shardy_status setup_headers(struct sfi_http_exchange *exchange, shardy_error *err)
{
    const struct sfi_http_request *request = exchange->request;
    void *nodes = exchange->nodes;
    size_t count = 0;
    exchange->text.size = 0;
    if (!sfi_array_grow(&nodes, &exchange->node_capacity, request->header_count + OWN_LINES,
                        sizeof *exchange->nodes)) {
        return sfi_fail_memory(err, request->header_count * sizeof *exchange->nodes);
    }
    exchange->nodes = nodes;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct sfi_http_header *header = &request->headers[i];
        if (!is_header(header)) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "header %zu has a control character or no valid name", i);
        }
        add_line(exchange, &count, header->name, header->value);
    }
    /* Never wait for "100 Continue": the round trip costs more than a refused body. Without a body
     * none of these is sent, and curl compares every name it might send with every line here. */
    static const char *const unwanted[OWN_LINES] = {"Expect", "Content-Type"};
    for (size_t i = 0; exchange->has_body && i < OWN_LINES; i++) {
        if (!is_named(request, unwanted[i])) {
            add_line(exchange, &count, unwanted[i], NULL);
        }
    }
    if (exchange->text.failed) {
        sfi_buf_clear(&exchange->text);
        return sfi_fail_memory(err, 0);
    }
    for (size_t i = 0; i < count; i++) {
        exchange->nodes[i].data = (char *)exchange->text.data + (size_t)exchange->nodes[i].data;
        exchange->nodes[i].next = i + 1 < count ? &exchange->nodes[i + 1] : NULL;
    }
    curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, count ? exchange->nodes : NULL);
    return SHARDY_OK;
}

static CURLcode setup_method(struct sfi_http_exchange *exchange)
{
    const struct sfi_http_request *request = exchange->request;
    CURL *easy = exchange->easy;
    const char *method = request->method;
    bool get = strcmp(method, "GET") == 0;
    bool head = strcmp(method, "HEAD") == 0;
    exchange->repeatable = get || head;
    exchange->patient = strcmp(method, "POST") == 0; /* S3 completes uploads behind blanks */
    exchange->has_body =
        request->body.size > 0 || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    if (head) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    }
    if (exchange->has_body) {
        const char *data = request->body.size ? (const char *)request->body.data : "";
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, data);
        if (request->body.size >= (size_t)UPLOAD_MIN) {
            long size =
                request->body.size < (size_t)UPLOAD_MAX ? (long)request->body.size : UPLOAD_MAX;
            curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, size);
        }
    }
    /* Bytes that curl has sent count as progress; only large bodies take long enough. */
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, request->body.size ? 0L : 1L);
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, get ? NULL : method);
}

static void setup_buffer(struct sfi_http_exchange *exchange)
{
    const struct sfi_http_request *request = exchange->request;
    size_t expect = request->expect_body;
    bool get = strcmp(request->method, "GET") == 0;
    long size = expect > (size_t)BUFFER_MEDIUM         ? BUFFER_LARGE
                : expect > (size_t)BUFFER_SMALL        ? BUFFER_MEDIUM
                : get && !expect && !request->max_body ? BUFFER_LARGE
                : get && !expect                       ? BUFFER_MEDIUM
                                                       : BUFFER_SMALL;
    if (size != exchange->buffer_size) {
        curl_easy_setopt(exchange->easy, CURLOPT_BUFFERSIZE, size);
        exchange->buffer_size = size;
    }
}

shardy_status sfi_http_setup_request(struct sfi_http_exchange *exchange, shardy_error *err)
{
    const struct sfi_http_request *request = exchange->request;
    uint64_t timeout_ms = request->timeout_ms < LONG_MAX ? request->timeout_ms : LONG_MAX;
    if (setup_method(exchange) != CURLE_OK ||
        curl_easy_setopt(exchange->easy, CURLOPT_URL, request->url) != CURLE_OK) {
        return sfi_fail_memory(err, strlen(request->url));
    }
    setup_buffer(exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    return setup_headers(exchange, err);
}
