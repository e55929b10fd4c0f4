/*
 * store_s3_object.c - GET, HEAD, PUT and DELETE of one object: their headers, and what their
 * answers mean.
 *
 * GET: an answer must be exactly the range that was asked for; when it breaks off, what came is
 * kept and the rest is fetched with If-Match, so bytes of two objects never mix. PUT with a
 * condition: a 412 after a try whose answer was lost may be the echo of our own success; the object
 * is read back and its bytes decide.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

struct object {
    struct sfi_store_request *request;
    bool ranged;    /* this try asked for a range */
    bool read_back; /* `done` must look at what is stored */
    char range[64];
    struct sfi_store_request probe;
};

static struct object *object_of(struct sfi_s3_call *call)
{
    return sfi_s3_call_state(call);
}

static enum sfi_s3_verdict end(struct sfi_s3_call *call, shardy_status status, const char *why)
{
    call->status = status;
    if (status != SHARDY_OK) {
        sfi_s3_fail_call(call, status, why);
    }
    return SFI_S3_DONE;
}

static enum sfi_s3_verdict broken(struct sfi_s3_call *call, const char *why)
{
    sfi_s3_fail_call(call, SHARDY_STORE, why);
    return SFI_S3_BROKEN;
}

static bool parse_number(const char **at, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = strspn(*at, "0123456789");
    for (size_t i = 0; i < digits && digits < 19; i++) {
        value = value * 10 + (uint64_t)((*at)[i] - '0');
    }
    *at += digits;
    *out = value;
    return digits && digits < 19;
}

bool sfi_s3_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total)
{
    if (strncasecmp(value, "bytes ", 6) != 0) {
        return false;
    }
    value += 6;
    return parse_number(&value, first) && *value++ == '-' && parse_number(&value, last) &&
           *value++ == '/' && parse_number(&value, total) && !*value && *first <= *last &&
           *last < *total;
}

/* Size of the object behind a 416: from "bytes * /20", or from the body. */
static bool unsatisfied_range(const struct sfi_s3_call *call, uint64_t *total)
{
    const char *value = sfi_s3_answer_header(call, "content-range");
    value = strncasecmp(value, "bytes */", 8) ? call->answer.object_size : value + 8;
    return parse_number(&value, total) && !*value;
}

/* What makes any answer with an object useless, or NULL. */
static const char *unusable(const struct sfi_s3_call *call)
{
    const char *encoding = sfi_s3_answer_header(call, "content-encoding");
    if (*encoding && strcasecmp(encoding, "identity") != 0 &&
        strcasecmp(encoding, "aws-chunked") != 0) {
        return "the answer has a Content-Encoding; objects of snapshots are stored as they are";
    }
    if (!strncasecmp(sfi_s3_answer_header(call, "content-type"), "multipart/byteranges", 20)) {
        return "the answer is multipart/byteranges; one range was asked for";
    }
    if (strlen(sfi_s3_answer_header(call, "etag")) >= SFI_ETAG_SIZE) {
        return "the ETag of the answer is longer than 255 bytes";
    }
    return NULL;
}

static void copy_etag(struct sfi_s3_call *call, char to[SFI_ETAG_SIZE])
{
    const char *etag = sfi_s3_answer_header(call, "etag");
    size_t size = strlen(etag);
    memcpy(to, size < SFI_ETAG_SIZE ? etag : "", size < SFI_ETAG_SIZE ? size + 1 : 1);
}

static void add_condition(struct sfi_s3_call *call, const struct sfi_store_request *request)
{
    switch (request->condition) {
    case SFI_STORE_ALWAYS:
        break;
    case SFI_STORE_IF_MATCH:
        sfi_s3_call_header(call, "If-Match", request->etag ? request->etag : "");
        break;
    case SFI_STORE_IF_ABSENT:
        sfi_s3_call_header(call, "If-None-Match", "*");
        break;
    case SFI_STORE_IF_CHANGED:
        sfi_s3_call_header(call, "If-None-Match", request->etag ? request->etag : "");
        break;
    }
}

/* Range and limits of the next try: what is still missing. */
static void prepare_get(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *request = object->request;
    uint64_t have = request->data.size;
    uint64_t first = request->offset + have;
    uint64_t want = request->length ? request->length - have : 0;
    call->extra_count = 0;
    object->ranged = first || want;
    if (want) {
        uint64_t last = want - 1 > UINT64_MAX - first ? UINT64_MAX : first + want - 1;
        snprintf(object->range, sizeof object->range, "bytes=%" PRIu64 "-%" PRIu64, first, last);
    } else if (first) {
        snprintf(object->range, sizeof object->range, "bytes=%" PRIu64 "-", first);
    }
    if (object->ranged) {
        sfi_s3_call_header(call, "Range", object->range);
    }
    if (have) {
        sfi_s3_call_header(call, "If-Match", request->object_etag);
    } else {
        add_condition(call, request);
    }
    call->expect_body = want < SFI_S3_WHOLE_MAX ? (size_t)want : SFI_S3_WHOLE_MAX;
    call->max_body = request->max_bytes;
    if (object->ranged && call->max_body < SFI_S3_WHOLE_MAX && (call->max_body || want)) {
        call->max_body = SFI_S3_WHOLE_MAX; /* a server without ranges sends everything */
    }
    if (want > call->max_body && call->max_body) {
        call->max_body = want;
    }
}

/* What is wrong with the head of a 206 of `size` bytes, or NULL. */
static const char *check_range(const struct sfi_s3_call *call, const struct object *object,
                               uint64_t *first, uint64_t *last, uint64_t *total)
{
    const struct sfi_store_request *request = object->request;
    uint64_t have = request->data.size;
    if (!object->ranged) {
        return "the answer is a part, but no range was asked for";
    }
    if (!sfi_s3_content_range(sfi_s3_answer_header(call, "content-range"), first, last, total)) {
        return "the answer has no Content-Range of the form \"bytes first-last/total\"";
    }
    if (*first != request->offset + have) {
        return "the answer's Content-Range does not start where it was asked to";
    }
    if (request->length ? *last - *first >= request->length - have : *last != *total - 1) {
        return "the answer's Content-Range is not the one asked for";
    }
    if (request->length && *last - *first != request->length - have - 1 && *last != *total - 1) {
        return "the answer's Content-Range is shorter than asked for";
    }
    if (have && request->object_size && request->object_size != *total) {
        return "the size of the object has changed";
    }
    return NULL;
}

static enum sfi_s3_verdict start_over(struct sfi_s3_call *call, struct sfi_store_request *request)
{
    (void)call;
    sfi_buf_clear(&request->data);
    request->object_etag[0] = '\0';
    request->object_size = 0;
    return SFI_S3_AT_ONCE;
}

static bool take_body(struct sfi_s3_call *call, struct sfi_store_request *request)
{
    struct sfi_buf *body = &call->http.data;
    if (request->data.size) {
        return sfi_buf_append(&request->data, body->data, body->size);
    }
    sfi_buf_clear(&request->data);
    request->data = *body;
    request->data.max = SIZE_MAX - 1;
    sfi_buf_init(body, 0);
    return true;
}

static enum sfi_s3_verdict finish_get(struct sfi_s3_call *call, struct sfi_store_request *request)
{
    if (request->max_bytes && request->data.size > request->max_bytes) {
        char why[120];
        snprintf(why, sizeof why, "the answer has %zu bytes, the limit is %" PRIu64,
                 request->data.size, request->max_bytes);
        return end(call, SHARDY_LIMIT, why);
    }
    return end(call, SHARDY_OK, NULL);
}

static enum sfi_s3_verdict judge_part(struct sfi_s3_call *call, struct object *object)
{
    struct sfi_store_request *request = object->request;
    uint64_t first;
    uint64_t last;
    uint64_t total;
    const char *problem = check_range(call, object, &first, &last, &total);
    if (!problem && call->http.data.size != last - first + 1) {
        problem = "the answer is not as long as its Content-Range";
    }
    if (problem) {
        return broken(call, problem);
    }
    if (request->data.size &&
        strcmp(request->object_etag, sfi_s3_answer_header(call, "etag")) != 0) {
        return start_over(call, request);
    }
    request->object_size = total;
    copy_etag(call, request->object_etag);
    return take_body(call, request) ? finish_get(call, request)
                                    : end(call, SHARDY_NO_MEMORY, "out of memory");
}

/* A whole object; the caller may have asked for a part of it. */
static enum sfi_s3_verdict judge_whole(struct sfi_s3_call *call, struct object *object)
{
    struct sfi_store_request *request = object->request;
    struct sfi_buf *body = &call->http.data;
    if (call->http.content_length != UINT64_MAX && call->http.content_length != body->size) {
        return broken(call, "the answer is not as long as its Content-Length");
    }
    if (call->http.content_length == UINT64_MAX && !call->store->config.http2 &&
        !*sfi_s3_answer_header(call, "transfer-encoding")) {
        return broken(call, "the answer has neither length nor chunks: it may have been cut off");
    }
    sfi_buf_clear(&request->data);
    request->object_size = body->size;
    copy_etag(call, request->object_etag);
    if (!object->ranged) {
        take_body(call, request);
        return finish_get(call, request);
    }
    call->status = sfi_store_answer_get(request, sfi_buf_view(body));
    call->error = request->error;
    return SFI_S3_DONE;
}

/* 412: of the condition asked for, or of the If-Match that keeps parts of one object together. */
static enum sfi_s3_verdict judge_mismatch(struct sfi_s3_call *call, struct object *object)
{
    struct sfi_store_request *request = object->request;
    if (request->data.size && request->condition != SFI_STORE_IF_MATCH) {
        return start_over(call, request);
    }
    return end(call, SHARDY_CONFLICT, sfi_s3_conflict_text(SFI_STORE_IF_MATCH));
}

/* 416: nothing at this offset. */
static enum sfi_s3_verdict judge_beyond(struct sfi_s3_call *call, struct object *object)
{
    struct sfi_store_request *request = object->request;
    uint64_t total;
    if (!unsatisfied_range(call, &total)) {
        return SFI_S3_OTHERWISE;
    }
    if (request->data.size && request->offset + request->data.size != total) {
        return start_over(call, request);
    }
    if (request->offset < total && !request->data.size) {
        return broken(call, "HTTP 416 for a range inside the object");
    }
    request->object_size = total;
    if (!request->data.size) {
        copy_etag(call, request->object_etag);
        sfi_buf_append_text(&request->data, "");
    }
    return end(call, SHARDY_OK, NULL);
}

static enum sfi_s3_verdict judge_get(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *request = object->request;
    int status = call->http.http_status;
    const char *problem = status < 300 ? unusable(call) : NULL;
    if (problem) {
        return end(call, SHARDY_UNSUPPORTED, problem);
    }
    switch (status) {
    case 200:
        return judge_whole(call, object);
    case 206:
        return judge_part(call, object);
    case 304:
        if (request->condition != SFI_STORE_IF_CHANGED) {
            return broken(call, "HTTP 304 for a request without condition");
        }
        request->unchanged = true;
        snprintf(request->object_etag, SFI_ETAG_SIZE, "%s", request->etag);
        return end(call, SHARDY_OK, NULL);
    case 412:
        return judge_mismatch(call, object);
    case 416:
        return judge_beyond(call, object);
    default:
        return status < 300 ? broken(call, "HTTP status that is none of a GET") : SFI_S3_OTHERWISE;
    }
}

/* An answer broke off: keep what can be continued. */
static void broke_get(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *request = object->request;
    const char *etag = sfi_s3_answer_header(call, "etag");
    uint64_t first;
    uint64_t last;
    uint64_t total = 0;
    int status = call->http.http_status;
    if ((status != 200 && status != 206) || !call->http.data.size || *etag != '"' ||
        unusable(call) || (status == 200 && object->ranged) ||
        (status == 206 && check_range(call, object, &first, &last, &total)) ||
        (request->data.size && strcmp(request->object_etag, etag) != 0)) {
        return;
    }
    uint64_t most = request->length ? request->length - request->data.size : UINT64_MAX;
    if (call->http.data.size >= most) {
        return;
    }
    request->object_size = total;
    copy_etag(call, request->object_etag);
    if (!take_body(call, request)) {
        (void)start_over(call, request);
    }
}

static enum sfi_s3_verdict judge_head(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *request = object->request;
    int status = call->http.http_status;
    if (status == 304 && request->condition == SFI_STORE_IF_CHANGED) {
        request->unchanged = true;
        snprintf(request->object_etag, SFI_ETAG_SIZE, "%s", request->etag);
        return end(call, SHARDY_OK, NULL);
    }
    if (status == 412) {
        return end(call, SHARDY_CONFLICT, sfi_s3_conflict_text(request->condition));
    }
    if (status >= 300) {
        return SFI_S3_OTHERWISE;
    }
    const char *problem = unusable(call);
    if (!problem && call->http.content_length == UINT64_MAX) {
        problem = "the answer to HEAD has no Content-Length";
    }
    if (problem) {
        return end(call, SHARDY_UNSUPPORTED, problem);
    }
    request->object_size = call->http.content_length;
    copy_etag(call, request->object_etag);
    return end(call, SHARDY_OK, NULL);
}

static enum sfi_s3_verdict judge_put(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *request = object->request;
    int status = call->http.http_status;
    bool missing = request->condition == SFI_STORE_IF_MATCH && sfi_s3_is_missing(call);
    if (status >= 200 && status < 300) {
        request->object_size = request->body.size;
        copy_etag(call, request->object_etag);
        return end(call, SHARDY_OK, NULL);
    }
    if ((status != 412 && !missing) || request->condition == SFI_STORE_ALWAYS) {
        return SFI_S3_OTHERWISE;
    }
    object->read_back = call->maybe_acted;
    return end(call, object->read_back ? SHARDY_UNKNOWN : SHARDY_CONFLICT,
               sfi_s3_conflict_text(request->condition));
}

static enum sfi_s3_verdict judge_delete(struct sfi_s3_call *call)
{
    int status = call->http.http_status;
    return (status >= 200 && status < 300) || sfi_s3_is_missing(call) ? end(call, SHARDY_OK, NULL)
                                                                      : SFI_S3_OTHERWISE;
}

/* Give the result to the caller, who may free the request. */
static void complete(struct sfi_s3_call *call)
{
    struct sfi_store_request *request = object_of(call)->request;
    struct sfi_s3_store *store = call->store;
    pthread_mutex_lock(&store->synced.lock);
    request->pending = NULL;
    pthread_mutex_unlock(&store->synced.lock);
    request->status = call->status;
    if (call->status != SHARDY_OK) {
        request->error = call->error;
        sfi_buf_clear(&request->data);
    }
    if (call->status == SHARDY_LIMIT && request->verb == SFI_STORE_GET) {
        copy_etag(call, request->object_etag); /* for who replaces what nobody can read */
    }
    request->done(request);
    sfi_s3_call_release(call);
}

static void on_read_back(struct sfi_store_request *probe)
{
    struct sfi_s3_call *call = probe->arg;
    struct sfi_store_request *request = object_of(call)->request;
    if (probe->status == SHARDY_OK &&
        sfi_bytes_compare(sfi_buf_view(&probe->data), request->body) == 0) {
        call->status = SHARDY_OK;
        request->object_size = request->body.size;
        memcpy(request->object_etag, probe->object_etag, SFI_ETAG_SIZE);
    } else {
        call->status = sfi_s3_fail_call(
            call, SHARDY_UNKNOWN,
            probe->status == SHARDY_OK || probe->status == SHARDY_LIMIT
                ? "an answer was lost, and the object holds other bytes now; ours may have been "
                  "there before"
                : "an answer was lost, and what is stored could not be read back");
    }
    sfi_buf_clear(&probe->data);
    complete(call);
}

static void on_done(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    struct sfi_store_request *probe = &object->probe;
    if (!object->read_back || call->status != SHARDY_UNKNOWN) {
        complete(call);
        return;
    }
    probe->verb = SFI_STORE_GET;
    probe->key = object->request->key;
    probe->max_bytes = object->request->body.size + 1;
    probe->done = on_read_back;
    probe->arg = call;
    sfi_s3_submit(&call->store->base, &probe, 1);
}

/* Cancelled while the object is read back. */
static void on_stop(struct sfi_s3_call *call)
{
    struct object *object = object_of(call);
    if (object->read_back && object->probe.done) {
        sfi_s3_cancel(&call->store->base, &object->probe);
    }
}

static void set_up(struct sfi_s3_call *call, struct sfi_store_request *request)
{
    static const struct {
        const char *method;
        bool mutates;
        enum sfi_s3_verdict (*judge)(struct sfi_s3_call *call);
    } verbs[] = {
        [SFI_STORE_GET] = {"GET", false, judge_get},
        [SFI_STORE_HEAD] = {"HEAD", false, judge_head},
        [SFI_STORE_PUT] = {"PUT", true, judge_put},
        [SFI_STORE_DELETE] = {"DELETE", true, judge_delete},
    };
    object_of(call)->request = request;
    call->verb = call->method = verbs[request->verb].method;
    call->mutates = verbs[request->verb].mutates;
    call->judge = verbs[request->verb].judge;
    call->key = request->key;
    call->done = on_done;
    call->stop = on_stop;
    if (request->verb == SFI_STORE_GET) {
        call->prepare = prepare_get;
        call->broke = broke_get;
        return;
    }
    call->max_body = SFI_S3_ERROR_BODY_MAX; /* only errors have one */
    add_condition(call, request);
    if (request->verb == SFI_STORE_PUT) {
        call->body = request->body;
        call->checksum = true;
        sfi_s3_call_header(call, "Content-Type",
                           request->content_type ? request->content_type
                                                 : "application/octet-stream");
    }
}

void sfi_s3_submit(struct sfi_store *base, struct sfi_store_request **requests, size_t count)
{
    struct sfi_s3_store *store = sfi_s3_of(base);
    struct sfi_s3_call *batch[64];
    size_t n = 0;
    sfi_s3_enter(store);
    for (size_t i = 0; i < count; i++) {
        struct sfi_store_request *request = requests[i];
        struct sfi_s3_call *call = sfi_s3_call_new(store, sizeof(struct object));
        sfi_buf_init(&request->data, SIZE_MAX - 1);
        request->object_size = 0;
        request->object_etag[0] = '\0';
        request->unchanged = false;
        request->pending = call;
        if (!call) {
            request->status = sfi_fail_memory(&request->error, sizeof *call);
            request->done(request);
            continue;
        }
        set_up(call, request);
        batch[n++] = call;
        if (n == sizeof batch / sizeof batch[0]) {
            sfi_s3_call_start(batch, n);
            n = 0;
        }
    }
    sfi_s3_call_start(batch, n);
}

void sfi_s3_cancel(struct sfi_store *base, struct sfi_store_request *request)
{
    struct sfi_s3_store *store = sfi_s3_of(base);
    sfi_s3_enter(store);
    pthread_mutex_lock(&store->synced.lock);
    struct sfi_s3_call *call = request->pending;
    if (call) {
        sfi_s3_call_acquire(call);
    }
    pthread_mutex_unlock(&store->synced.lock);
    if (call) {
        sfi_s3_call_cancel(call);
        sfi_s3_call_release(call);
    }
}
