/*
 * http_exchange.c - one request on one easy handle: start, curl's callbacks, end.
 *
 * curl sends a request again by itself, on a new connection, when a kept connection dies before the
 * first byte of the answer. That is welcome for GET and HEAD. For other methods on_ready() refuses
 * the second attempt: the server may have acted on the first one, and a conditional PUT repeated
 * in silence would meet its own object. Those end as LOST, for the caller to resolve.
 */
#include "http/http_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <sys/mman.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)

static void active_push(struct sfi_http_exchange *exchange)
{
    struct sfi_http_loop *loop = exchange->loop;
    exchange->next = NULL;
    exchange->prev = loop->active_last;
    if (loop->active_last) {
        loop->active_last->next = exchange;
    } else {
        loop->active_first = exchange;
    }
    loop->active_last = exchange;
    loop->active_count++;
}

static void active_remove(struct sfi_http_exchange *exchange)
{
    struct sfi_http_loop *loop = exchange->loop;
    if (exchange->prev) {
        exchange->prev->next = exchange->next;
    } else {
        loop->active_first = exchange->next;
    }
    if (exchange->next) {
        exchange->next->prev = exchange->prev;
    } else {
        loop->active_last = exchange->prev;
    }
    exchange->next = NULL;
    exchange->prev = NULL;
    loop->active_count--;
}

void sfi_http_exchange_moved(struct sfi_http_exchange *exchange)
{
    struct sfi_http_loop *loop = exchange->loop;
    exchange->moved = 0;
    if (exchange->moved_us != loop->now_us) {
        exchange->moved_us = loop->now_us;
        if (loop->active_last != exchange) {
            active_remove(exchange);
            active_push(exchange);
        }
    }
}

/* Bytes went or came. A few of them do not count: a server that sends one now and then would keep
 * the exchange for ever. */
static void move(struct sfi_http_exchange *exchange, uint64_t bytes)
{
    exchange->moved += bytes;
    if (exchange->patient || exchange->moved >= SFI_HTTP_STALL_BYTES) {
        sfi_http_exchange_moved(exchange);
    }
}

/* A connection is ready and the request is about to leave. */
static int on_ready(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct sfi_http_exchange *exchange = arg;
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    if (exchange->sent && !exchange->repeatable) {
        exchange->stop = SFI_HTTP_LOST;
        exchange->stop_reason = "the connection ended before an answer";
        return CURL_PREREQFUNC_ABORT;
    }
    exchange->sent = true;
    sfi_http_exchange_moved(exchange);
    return CURL_PREREQFUNC_OK;
}

static bool is_status_line(const char *line, size_t size)
{
    return size >= 5 && memcmp(line, "HTTP/", 5) == 0;
}

static void stop_without_memory(struct sfi_http_exchange *exchange)
{
    exchange->stop = exchange->repeatable ? SFI_HTTP_NO_MEMORY : SFI_HTTP_LOST;
    exchange->stop_reason = "out of memory for the answer";
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct sfi_http_exchange *exchange = arg;
    struct sfi_buf *head = &exchange->request->answer_head;
    size_t bytes = size * count;
    move(exchange, exchange->head_bytes ? bytes : SFI_HTTP_STALL_BYTES);
    exchange->head_bytes += bytes;
    if (exchange->head_bytes > SFI_HTTP_HEAD_MAX) {
        exchange->stop = SFI_HTTP_LOST;
        exchange->stop_reason = "the header block is larger than 64 KiB";
        return 0;
    }
    if (!exchange->body_seen && is_status_line(line, bytes)) {
        head->size = 0; /* the block before was an interim answer (1xx) */
        exchange->head_done = false;
    }
    if (exchange->head_done) {
        return bytes; /* trailers of a chunked body say nothing that we ask for */
    }
    exchange->head_done = bytes > 0 && (line[0] == '\r' || line[0] == '\n');
    if (!sfi_http_head_line(head, line, bytes)) {
        stop_without_memory(exchange);
        return 0;
    }
    return bytes;
}

static int status_of(const struct sfi_http_exchange *exchange)
{
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status <= 999 ? (int)status : 0;
}

static uint64_t length_of(const struct sfi_http_exchange *exchange)
{
    curl_off_t length = -1;
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length < 0 ? UINT64_MAX : (uint64_t)length;
}

/*
 * Fresh memory costs a page fault for every 4 KiB, half of the time that 8 MiB take over a fast
 * network. Huge pages, where the system offers them, leave a few.
 */
static void want_huge_pages(uint8_t *data, size_t size)
{
    uintptr_t start = ((uintptr_t)data + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uintptr_t end = ((uintptr_t)data + size) / HUGE_PAGE * HUGE_PAGE;
    if (start < end) {
        (void)madvise((void *)start, end - start, MADV_HUGEPAGE);
    }
}

/*
 * Room for what is announced, exactly; but on a server's word alone only so much, and not more than
 * the caller allows. What comes on top grows the buffer as it arrives.
 */
static bool begin_body(struct sfi_http_exchange *exchange)
{
    struct sfi_http_request *request = exchange->request;
    int status = status_of(exchange);
    uint64_t announced = length_of(exchange);
    uint64_t trusted = request->max_body ? request->max_body : SFI_HTTP_RESERVE_MAX;
    exchange->body_seen = true;
    exchange->body_max = request->max_body ? request->max_body : UINT64_MAX;
    if ((status < 200 || status > 299) && exchange->body_max < SFI_HTTP_ERROR_BODY_MAX) {
        exchange->body_max = SFI_HTTP_ERROR_BODY_MAX;
    }
    if (trusted < request->expect_body) {
        trusted = request->expect_body;
    }
    if (trusted > exchange->body_max) {
        trusted = exchange->body_max;
    }
    uint64_t room = announced == UINT64_MAX ? request->expect_body : announced;
    room = room < trusted ? room : trusted;
    if (room < request->data.capacity || room >= SIZE_MAX) {
        return true;
    }
    sfi_free(request->data.data);
    request->data.capacity = 0;
    request->data.data = sfi_malloc((size_t)room + 1);
    if (!request->data.data) {
        return false;
    }
    request->data.capacity = (size_t)room + 1;
    request->data.data[0] = 0;
    want_huge_pages(request->data.data, (size_t)room + 1);
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct sfi_http_exchange *exchange = arg;
    struct sfi_buf *out = &exchange->request->data;
    size_t bytes = size * count;
    move(exchange, exchange->body_seen ? bytes : SFI_HTTP_STALL_BYTES);
    if (!exchange->body_seen && !begin_body(exchange)) {
        stop_without_memory(exchange);
        return 0;
    }
    uint64_t left = exchange->body_max - out->size;
    size_t taken = bytes <= left ? bytes : (size_t)left;
    if (!sfi_buf_append(out, data, taken)) {
        stop_without_memory(exchange);
        return 0;
    }
    if (taken < bytes) {
        exchange->stop = SFI_HTTP_TOO_LARGE;
        exchange->stop_reason = "more than the request allows";
        return 0;
    }
    return bytes;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct sfi_http_exchange *exchange = arg;
    (void)down_total;
    (void)down;
    (void)up_total;
    if (up != exchange->uploaded) {
        uint64_t bytes = up > exchange->uploaded ? (uint64_t)(up - exchange->uploaded) : 0;
        exchange->uploaded = up;
        move(exchange, bytes);
    }
    return 0;
}

static struct sfi_http_exchange *exchange_new(struct sfi_http_loop *loop)
{
    struct sfi_http_exchange *exchange = sfi_calloc(1, sizeof *exchange);
    if (!exchange) {
        return NULL;
    }
    exchange->loop = loop;
    sfi_buf_init(&exchange->text, SIZE_MAX / 2);
    exchange->easy = curl_easy_init();
    if (!exchange->easy || !sfi_http_setup_easy(exchange)) {
        sfi_http_exchange_free(exchange);
        return NULL;
    }
    CURL *easy = exchange->easy;
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, exchange);
    return exchange;
}

void sfi_http_exchange_free(struct sfi_http_exchange *exchange)
{
    if (exchange) {
        curl_easy_cleanup(exchange->easy);
        sfi_free(exchange->nodes);
        sfi_buf_clear(&exchange->text);
        sfi_free(exchange);
    }
}

static struct sfi_http_exchange *exchange_take(struct sfi_http_loop *loop)
{
    struct sfi_http_exchange *exchange = loop->idle;
    if (!exchange) {
        return exchange_new(loop);
    }
    loop->idle = exchange->next;
    exchange->next = NULL;
    exchange->head_bytes = 0;
    exchange->uploaded = 0;
    exchange->sent = false;
    exchange->head_done = false;
    exchange->body_seen = false;
    exchange->stop = SFI_HTTP_ANSWERED;
    exchange->stop_reason = NULL;
    exchange->detail[0] = '\0';
    return exchange;
}

static void exchange_put_back(struct sfi_http_exchange *exchange)
{
    struct sfi_http_loop *loop = exchange->loop;
    exchange->request = NULL;
    exchange->next = loop->idle;
    loop->idle = exchange;
}

static void fail_to_start(struct sfi_http_loop *loop, struct sfi_http_request *request,
                          const shardy_error *err)
{
    enum sfi_http_outcome outcome =
        err->status == SHARDY_NO_MEMORY ? SFI_HTTP_NO_MEMORY : SFI_HTTP_NOT_SENT;
    sfi_http_describe(request, outcome, err->message);
    request->error.status = err->status;
    sfi_http_loop_finish(loop, request, outcome);
}

void sfi_http_exchange_start(struct sfi_http_loop *loop, struct sfi_http_request *request)
{
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_http_exchange *exchange = exchange_take(loop);
    request->started_us = sfi_monotonic_us();
    if (!exchange) {
        sfi_fail_memory(&err, sizeof *exchange);
        fail_to_start(loop, request, &err);
        return;
    }
    exchange->request = request;
    if (sfi_http_setup_request(exchange, &err) != SHARDY_OK) {
        exchange_put_back(exchange);
        fail_to_start(loop, request, &err);
        return;
    }
    if (curl_multi_add_handle(loop->multi, exchange->easy) != CURLM_OK) {
        exchange_put_back(exchange);
        sfi_fail(&err, SHARDY_NO_MEMORY, "cannot start a transfer");
        fail_to_start(loop, request, &err);
        return;
    }
    request->exchange = exchange;
    exchange->moved_us = loop->now_us;
    exchange->moved = 0;
    active_push(exchange);
}

static void take_results(struct sfi_http_exchange *exchange)
{
    struct sfi_http_request *request = exchange->request;
    long connections = 0;
    curl_off_t plain = 0;
    curl_off_t tls = 0;
    request->http_status = status_of(exchange);
    /* For answers that never have a body curl says 0 without being told. */
    if (request->http_status && request->http_status != 204 && request->http_status != 304) {
        request->content_length = length_of(exchange);
    }
    curl_easy_getinfo(exchange->easy, CURLINFO_NUM_CONNECTS, &connections);
    if (connections > 0) {
        curl_easy_getinfo(exchange->easy, CURLINFO_CONNECT_TIME_T, &plain);
        curl_easy_getinfo(exchange->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
        request->connect_us = (uint64_t)(tls > plain ? tls : plain);
    }
}

static void release(struct sfi_http_exchange *exchange)
{
    exchange->request->exchange = NULL;
    active_remove(exchange);
    curl_multi_remove_handle(exchange->loop->multi, exchange->easy);
    exchange_put_back(exchange);
}

void sfi_http_exchange_end(struct sfi_http_exchange *exchange, CURLcode code)
{
    struct sfi_http_request *request = exchange->request;
    take_results(exchange);
    enum sfi_http_outcome outcome = sfi_http_outcome_of(exchange, code);
    release(exchange);
    sfi_http_loop_finish(exchange->loop, request, outcome);
}

void sfi_http_exchange_abort(struct sfi_http_exchange *exchange, enum sfi_http_outcome outcome)
{
    struct sfi_http_request *request = exchange->request;
    take_results(exchange);
    sfi_http_describe(request, outcome,
                      outcome == SFI_HTTP_TIMEOUT ? "no byte moved within the time allowed" : NULL);
    release(exchange);
    sfi_http_loop_finish(exchange->loop, request, outcome);
}
