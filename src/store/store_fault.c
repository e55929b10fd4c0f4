/*
 * store_fault.c - the fault-injecting store of the tests: passes operations to another store, or
 * fails them, or loses their answer. Not part of the installed library.
 */
#include "store/store_fault.h"

#include "base/memory.h"
#include "store/store_internal.h"

#include <errno.h>

struct fault_store {
    struct sfi_store base;
    struct sfi_store *inner;
    struct sfi_store_ops ops; /* like the inner store's */
    struct sfi_store *older;  /* for stale reads; may be NULL */
    sfi_fault_fn decide;
    void *arg;
    struct late *late; /* requests that wait, oldest first */
};

/* A request that is still on its way after its sender stopped waiting. */
struct late {
    struct late *next;
    struct sfi_store_request request;
    char *key;
    char *etag;
    uint8_t *body;
};

struct fault_upload {
    struct sfi_upload base;
    struct fault_store *store;
    struct sfi_upload *inner;
    char *key;
};

static bool is_lost(enum sfi_fault fault)
{
    return fault == SFI_FAULT_LOSE || fault == SFI_FAULT_APPLY_THEN_LOSE || fault == SFI_FAULT_LATE;
}

static bool is_applied(enum sfi_fault fault)
{
    return fault == SFI_FAULT_NONE || fault == SFI_FAULT_APPLY_THEN_LOSE ||
           fault == SFI_FAULT_IGNORE || fault == SFI_FAULT_STALE || fault == SFI_FAULT_TWICE;
}

/* A lost answer leaves a change unknown; a lost answer to a question is only a failure. */
static shardy_status failure(enum sfi_fault fault, bool changes, const char *key, shardy_error *err)
{
    if (fault == SFI_FAULT_FULL) {
        return sfi_fail_errno(err, SHARDY_IO, ENOSPC, "injected: cannot write %s", key);
    }
    if (is_lost(fault) && changes) {
        return sfi_fail(err, SHARDY_UNKNOWN, "injected: the answer for %s was lost", key);
    }
    if (fault == SFI_FAULT_REFUSE && changes) {
        return sfi_fail(err, SHARDY_CONFLICT, "injected: another request for %s is running", key);
    }
    return sfi_fail(err, SHARDY_STORE, "injected: request for %s failed", key);
}

struct forwarded {
    struct fault_store *store;
    struct sfi_store_request *outer;
    struct sfi_store_request inner;
    enum sfi_fault fault;
};

static void copy_results(struct sfi_store_request *to, const struct sfi_store_request *from)
{
    to->status = from->status;
    to->error = from->error;
    to->data = from->data;
    to->unchanged = from->unchanged;
    to->object_size = from->object_size;
    memcpy(to->object_etag, from->object_etag, sizeof to->object_etag);
}

static bool changes(const struct sfi_store_request *request)
{
    return request->verb == SFI_STORE_PUT || request->verb == SFI_STORE_DELETE;
}

static void forwarded_done(struct sfi_store_request *inner)
{
    struct forwarded *forwarded = inner->arg;
    struct sfi_store_request *outer = forwarded->outer;
    if (forwarded->fault == SFI_FAULT_TWICE && inner->verb == SFI_STORE_PUT) {
        struct sfi_store *target = forwarded->store->inner;
        forwarded->fault = SFI_FAULT_NONE;
        target->ops->submit(target, &inner, 1);
        return;
    }
    copy_results(outer, inner);
    if (forwarded->fault == SFI_FAULT_APPLY_THEN_LOSE) {
        sfi_buf_clear(&outer->data);
        outer->object_etag[0] = '\0';
        outer->status = failure(forwarded->fault, changes(outer), outer->key, &outer->error);
    }
    sfi_free(forwarded);
    outer->done(outer);
}

static void refuse(struct sfi_store_request *request, enum sfi_fault fault)
{
    sfi_buf_init(&request->data, SIZE_MAX - 1);
    request->object_size = 0;
    request->object_etag[0] = '\0';
    request->status = failure(fault, changes(request), request->key, &request->error);
    request->done(request);
}

static void free_late(struct late *late)
{
    sfi_free(late->key);
    sfi_free(late->etag);
    sfi_free(late->body);
    sfi_free(late);
}

/* Keep a copy for later; without memory the request is lost for good. */
static void keep_late(struct fault_store *store, const struct sfi_store_request *request)
{
    struct late **end = &store->late;
    struct late *late = sfi_calloc(1, sizeof *late);
    if (!late) {
        return;
    }
    late->key = sfi_strdup(request->key);
    late->etag = sfi_strdup(request->etag ? request->etag : "");
    late->body = sfi_malloc(request->body.size);
    if (!late->key || !late->etag || !late->body) {
        free_late(late);
        return;
    }
    if (request->body.size) {
        memcpy(late->body, request->body.data, request->body.size);
    }
    late->request.verb = request->verb;
    late->request.condition = request->condition;
    late->request.key = late->key;
    late->request.etag = late->etag;
    late->request.body.data = late->body;
    late->request.body.size = request->body.size;
    while (*end) {
        end = &(*end)->next;
    }
    *end = late;
}

static void submit_one(struct fault_store *store, struct sfi_store_request *request)
{
    static const char *const names[] = {"get", "head", "put", "delete"};
    enum sfi_fault fault = store->decide(store->arg, names[request->verb], request->key);
    struct forwarded *forwarded = is_applied(fault) ? sfi_malloc(sizeof *forwarded) : NULL;
    struct sfi_store *target = store->inner;
    if (fault == SFI_FAULT_LATE && changes(request)) {
        keep_late(store, request);
    }
    if (!forwarded) {
        refuse(request, is_applied(fault) ? SFI_FAULT_FAIL : fault);
        return;
    }
    forwarded->store = store;
    forwarded->outer = request;
    forwarded->fault = fault;
    forwarded->inner = *request;
    forwarded->inner.done = forwarded_done;
    forwarded->inner.arg = forwarded;
    if (fault == SFI_FAULT_IGNORE && request->verb == SFI_STORE_PUT) {
        forwarded->inner.condition = SFI_STORE_ALWAYS;
    }
    if (fault == SFI_FAULT_STALE && !changes(request) && store->older) {
        target = store->older;
    }
    struct sfi_store_request *inner = &forwarded->inner;
    target->ops->submit(target, &inner, 1);
}

static void fault_submit(struct sfi_store *base, struct sfi_store_request **requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        submit_one((struct fault_store *)base, requests[i]);
    }
}

static shardy_status fault_list(struct sfi_store *base, const char *prefix, bool deep,
                                struct sfi_store_list *list, shardy_error *err)
{
    struct fault_store *store = (struct fault_store *)base;
    enum sfi_fault fault = store->decide(store->arg, "list", prefix);
    return is_applied(fault) && !is_lost(fault)
               ? store->inner->ops->list(store->inner, prefix, deep, list, err)
               : failure(fault, false, prefix, err);
}

static shardy_status fault_map(struct sfi_store *base, const char *key, struct sfi_mapping *mapping,
                               shardy_error *err)
{
    struct fault_store *store = (struct fault_store *)base;
    enum sfi_fault fault = store->decide(store->arg, "map", key);
    return is_applied(fault) && !is_lost(fault)
               ? store->inner->ops->map(store->inner, key, mapping, err)
               : failure(fault, false, key, err);
}

static void free_upload(struct fault_upload *upload)
{
    sfi_store_release(&upload->store->base);
    sfi_free(upload->key);
    sfi_free(upload);
}

static shardy_status upload_append(struct sfi_upload *base, struct sfi_bytes bytes,
                                   shardy_error *err)
{
    struct fault_upload *upload = (struct fault_upload *)base;
    enum sfi_fault fault = upload->store->decide(upload->store->arg, "upload.append", upload->key);
    return is_applied(fault) && !is_lost(fault)
               ? upload->inner->ops->append(upload->inner, bytes, err)
               : failure(fault, false, upload->key, err);
}

static void upload_abort(struct sfi_upload *base)
{
    struct fault_upload *upload = (struct fault_upload *)base;
    upload->inner->ops->abort(upload->inner);
    free_upload(upload);
}

static shardy_status upload_commit(struct sfi_upload *base, struct sfi_bytes head, char *etag,
                                   shardy_error *err)
{
    struct fault_upload *upload = (struct fault_upload *)base;
    enum sfi_fault fault = upload->store->decide(upload->store->arg, "upload.commit", upload->key);
    shardy_status st = SHARDY_OK;
    if (is_applied(fault)) {
        st = upload->inner->ops->commit(upload->inner, head, etag, err);
    } else {
        upload->inner->ops->abort(upload->inner);
    }
    if (!is_applied(fault) || is_lost(fault)) {
        st = failure(fault, true, upload->key, err);
    }
    free_upload(upload);
    return st;
}

static const struct sfi_upload_ops s_upload_ops = {
    .append = upload_append,
    .commit = upload_commit,
    .abort = upload_abort,
};

static shardy_status fault_upload(struct sfi_store *base, const char *key, const char *content_type,
                                  size_t head_size, struct sfi_upload **out, shardy_error *err)
{
    struct fault_store *store = (struct fault_store *)base;
    enum sfi_fault fault = store->decide(store->arg, "upload.open", key);
    if (!is_applied(fault) || is_lost(fault)) {
        return failure(fault, false, key, err);
    }
    struct fault_upload *upload = sfi_calloc(1, sizeof *upload);
    char *copy = sfi_strdup(key);
    struct sfi_upload *inner = NULL;
    shardy_status st = upload && copy ? SHARDY_OK : sfi_fail_memory(err, sizeof *upload);
    if (st == SHARDY_OK) {
        st = store->inner->ops->upload(store->inner, key, content_type, head_size, &inner, err);
    }
    if (st != SHARDY_OK) {
        sfi_free(upload);
        sfi_free(copy);
        return st;
    }
    upload->base.ops = &s_upload_ops;
    upload->store = (struct fault_store *)sfi_store_acquire(base);
    upload->inner = inner;
    upload->key = copy;
    *out = &upload->base;
    return SHARDY_OK;
}

static void fault_close(struct sfi_store *base)
{
    struct fault_store *store = (struct fault_store *)base;
    while (store->late) {
        struct late *next = store->late->next;
        free_late(store->late);
        store->late = next;
    }
    sfi_store_release(store->inner);
    sfi_free(store);
}

void sfi_store_fault_set_older(struct sfi_store *base, struct sfi_store *older)
{
    ((struct fault_store *)base)->older = older;
}

void sfi_store_fault_set_kind(struct sfi_store *base, bool remote, bool conditional)
{
    struct fault_store *store = (struct fault_store *)base;
    store->ops.remote = remote;
    store->ops.conditional = conditional;
}

size_t sfi_store_fault_late_count(const struct sfi_store *base)
{
    size_t count = 0;
    for (const struct late *at = ((const struct fault_store *)base)->late; at; at = at->next) {
        count++;
    }
    return count;
}

static void late_done(struct sfi_store_request *request)
{
    sfi_buf_clear(&request->data);
}

char *sfi_store_fault_apply_late(struct sfi_store *base, size_t index)
{
    struct fault_store *store = (struct fault_store *)base;
    struct late **link = &store->late;
    while (index-- > 0) {
        link = &(*link)->next;
    }
    struct late *late = *link;
    char *key = sfi_strdup(late->key);
    if (key) {
        struct sfi_store_request *request = &late->request;
        *link = late->next;
        request->done = late_done;
        store->inner->ops->submit(store->inner, &request, 1); /* a memory store answers at once */
        free_late(late);
    }
    return key;
}

shardy_status sfi_store_fault_open(struct sfi_store *inner, sfi_fault_fn decide, void *arg,
                                   struct sfi_store **out, shardy_error *err)
{
    struct fault_store *store = sfi_calloc(1, sizeof *store);
    *out = NULL;
    if (!store) {
        return sfi_fail_memory(err, sizeof *store);
    }
    store->ops = *inner->ops;
    store->ops.submit = fault_submit;
    store->ops.list = fault_list;
    store->ops.upload = fault_upload;
    store->ops.map = inner->ops->map ? fault_map : NULL;
    store->ops.cancel = NULL;
    store->ops.delete_many = NULL;
    store->ops.close = fault_close;
    store->decide = decide;
    store->arg = arg;
    shardy_status st = sfi_store_init(&store->base, &store->ops, inner->url, err);
    if (st != SHARDY_OK) {
        sfi_free(store);
        return st;
    }
    store->inner = sfi_store_acquire(inner);
    *out = &store->base;
    return SHARDY_OK;
}
