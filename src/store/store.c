/*
 * store.c - open a store by URL, count references, and the blocking helpers (submit and wait).
 *
 * The schemes themselves are store_dir.c, store_memory.c and store_s3.c; URL and key rules are
 * store_url.c.
 */
#include "store/store.h"

#include "base/completion.h"
#include "base/limits.h"
#include "base/memory.h"
#include "store/store_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

struct scheme {
    const char *prefix;
    shardy_status (*open)(const char *url, const struct sfi_store_options *options,
                          struct sfi_store **store, shardy_error *err);
    const char *example;
};

static const struct scheme s_schemes[] = {
    {"file:///", sfi_store_dir_open, "file:///absolute/folder"},
    {"memory://", sfi_store_memory_open, "memory://name"},
    {"s3://", sfi_store_s3_open, "s3://bucket/prefix"},
};

shardy_status sfi_store_init(struct sfi_store *store, const struct sfi_store_ops *ops,
                             const char *url, shardy_error *err)
{
    store->ops = ops;
    atomic_init(&store->refs, 1);
    store->url = sfi_strdup(url);
    return store->url ? SHARDY_OK : sfi_fail_memory(err, strlen(url) + 1);
}

/* Copy of `url` without double and trailing slashes in its path, which must be a valid key. */
static shardy_status normalise(const struct scheme *scheme, const char *url, char **out,
                               shardy_error *err)
{
    size_t head = strlen(scheme->prefix);
    size_t n = head;
    char *copy = sfi_strdup(url);
    *out = NULL;
    if (!copy) {
        return sfi_fail_memory(err, strlen(url) + 1);
    }
    memcpy(copy, scheme->prefix, head);
    for (const char *c = url + head; *c; c++) {
        if (*c != '/' || copy[n - 1] != '/') {
            copy[n++] = *c;
        }
    }
    while (n > head && copy[n - 1] == '/') {
        n--;
    }
    copy[n] = '\0';
    shardy_error why = SHARDY_ERROR_INIT;
    if (sfi_key_check(copy + head, &why) != SHARDY_OK) {
        sfi_free(copy);
        return sfi_fail(err, SHARDY_CONFIG,
                        "cannot open %.300s as a place for snapshots: %s; "
                        "expected a URL like %s",
                        url, why.message, scheme->example);
    }
    *out = copy;
    return SHARDY_OK;
}

shardy_status sfi_store_open(const char *url, const struct sfi_store_options *options,
                             struct sfi_store **store, shardy_error *err)
{
    *store = NULL;
    if (strnlen(url, SFI_URL_MAX_BYTES + 1) > SFI_URL_MAX_BYTES) {
        return sfi_fail(err, SHARDY_CONFIG, "URL %.80s... is longer than %u bytes", url,
                        SFI_URL_MAX_BYTES);
    }
    for (size_t i = 0; i < sizeof s_schemes / sizeof s_schemes[0]; i++) {
        const struct scheme *scheme = &s_schemes[i];
        if (strncasecmp(url, scheme->prefix, strlen(scheme->prefix)) == 0) {
            char *normal;
            SFI_RETURN_IF_ERR(normalise(scheme, url, &normal, err));
            shardy_status st = scheme->open(normal, options, store, err);
            sfi_free(normal);
            return st;
        }
    }
    if (strncasecmp(url, "file:", 5) == 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "URL \"%.300s\" does not name an absolute folder on this machine; expected "
                        "file:///absolute/folder",
                        url);
    }
    if (strncasecmp(url, "s3a://", 6) == 0 || strncasecmp(url, "s3n://", 6) == 0) {
        return sfi_fail(err, SHARDY_CONFIG, "URL \"%.300s\": write s3://%.200s", url, url + 6);
    }
    if (!strstr(url, "://")) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "\"%.300s\" is not a URL; expected file:///absolute/folder, "
                        "s3://bucket/prefix or memory://name",
                        url);
    }
    return sfi_fail(err, SHARDY_UNSUPPORTED,
                    "URL \"%.300s\": this release has file://, s3:// and memory:// stores only",
                    url);
}

struct sfi_store *sfi_store_acquire(struct sfi_store *store)
{
    atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
    return store;
}

void sfi_store_release(struct sfi_store *store)
{
    if (store && atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) == 1) {
        char *url = store->url;
        store->ops->close(store);
        sfi_free(url);
    }
}

static void wake_waiter(struct sfi_store_request *request)
{
    sfi_completion_signal(request->arg);
}

static shardy_status run(struct sfi_store *store, struct sfi_store_request *request,
                         shardy_error *err)
{
    struct sfi_completion completion = SFI_COMPLETION_INIT;
    SFI_RETURN_IF_ERR(sfi_key_check(request->key, err));
    request->done = wake_waiter;
    request->arg = &completion;
    store->ops->submit(store, &request, 1);
    sfi_completion_wait(&completion);
    if (request->status != SHARDY_OK && err) {
        *err = request->error;
    }
    return request->status;
}

static void finish(struct sfi_store_request *request, shardy_status status)
{
    request->status = status;
    request->done(request);
}

void sfi_store_submit(struct sfi_store *store, struct sfi_store_request **requests, size_t count)
{
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        shardy_status st = sfi_key_check(requests[i]->key, &requests[i]->error);
        if (st != SHARDY_OK) {
            if (i > first) {
                store->ops->submit(store, requests + first, i - first);
            }
            first = i + 1;
            finish(requests[i], st);
        }
    }
    if (count > first) {
        store->ops->submit(store, requests + first, count - first);
    }
}

void sfi_store_cancel(struct sfi_store *store, struct sfi_store_request *request)
{
    if (store->ops->cancel) {
        store->ops->cancel(store, request);
    }
}

static void copy_etag(char *to, const struct sfi_store_request *request)
{
    if (to) {
        memcpy(to, request->object_etag, SFI_ETAG_SIZE);
    }
}

/* Move the answer into `out`, which keeps its own maximum. */
static shardy_status run_get(struct sfi_store *store, struct sfi_store_request *request,
                             struct sfi_buf *out, shardy_error *err)
{
    shardy_status st = run(store, request, err);
    if (st == SHARDY_OK && request->data.size > out->max - out->size) {
        st = sfi_fail(err, SHARDY_LIMIT,
                      "%s/%s: answer of %zu bytes is larger than the limit of %zu", store->url,
                      request->key, request->data.size, out->max);
    } else if (st == SHARDY_OK && !out->data && !out->failed) {
        size_t max = out->max;
        *out = request->data;
        out->max = max;
        sfi_buf_init(&request->data, 0);
    } else if (st == SHARDY_OK && !sfi_buf_append(out, request->data.data, request->data.size)) {
        st = sfi_buf_status(out, request->key, err);
    }
    sfi_buf_clear(&request->data);
    return st;
}

shardy_status sfi_store_get(struct sfi_store *store, const char *key, uint64_t max_bytes,
                            struct sfi_buf *out, char *etag, shardy_error *err)
{
    struct sfi_store_request request = {.verb = SFI_STORE_GET, .key = key, .max_bytes = max_bytes};
    shardy_status st = run_get(store, &request, out, err);
    copy_etag(etag, &request);
    return st;
}

shardy_status sfi_store_get_range(struct sfi_store *store, const char *key, uint64_t offset,
                                  uint64_t length, struct sfi_buf *out, shardy_error *err)
{
    struct sfi_store_request request = {
        .verb = SFI_STORE_GET, .key = key, .offset = offset, .length = length};
    return run_get(store, &request, out, err);
}

shardy_status sfi_store_head(struct sfi_store *store, const char *key, uint64_t *size, char *etag,
                             shardy_error *err)
{
    struct sfi_store_request request = {.verb = SFI_STORE_HEAD, .key = key};
    shardy_status st = run(store, &request, err);
    copy_etag(etag, &request);
    if (size) {
        *size = request.object_size;
    }
    return st;
}

shardy_status sfi_store_put(struct sfi_store *store, const char *key, struct sfi_bytes body,
                            const char *content_type, enum sfi_store_condition condition,
                            const char *etag, char *new_etag, shardy_error *err)
{
    struct sfi_store_request request = {.verb = SFI_STORE_PUT,
                                        .condition = condition,
                                        .key = key,
                                        .etag = etag,
                                        .content_type = content_type,
                                        .body = body};
    shardy_status st = run(store, &request, err);
    copy_etag(new_etag, &request);
    return st;
}

shardy_status sfi_store_get_changed(struct sfi_store *store, const char *key, uint64_t max_bytes,
                                    char *etag, bool *unchanged, struct sfi_buf *out,
                                    shardy_error *err)
{
    struct sfi_store_request request = {.verb = SFI_STORE_GET,
                                        .condition =
                                            *etag ? SFI_STORE_IF_CHANGED : SFI_STORE_ALWAYS,
                                        .key = key,
                                        .etag = etag,
                                        .max_bytes = max_bytes};
    shardy_status st = run_get(store, &request, out, err);
    *unchanged = st == SHARDY_OK && request.unchanged;
    if (st == SHARDY_OK && !request.unchanged) {
        copy_etag(etag, &request);
    }
    return st;
}

shardy_status sfi_store_delete_many(struct sfi_store *store, const char *const *keys, size_t count,
                                    size_t *deleted, shardy_error *err)
{
    *deleted = 0;
    for (size_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(sfi_key_check(keys[i], err));
    }
    if (store->ops->delete_many) {
        return store->ops->delete_many(store, keys, count, deleted, err);
    }
    for (; *deleted < count; ++*deleted) {
        SFI_RETURN_IF_ERR(sfi_store_delete(store, keys[*deleted], err));
    }
    return SHARDY_OK;
}

shardy_status sfi_store_delete(struct sfi_store *store, const char *key, shardy_error *err)
{
    struct sfi_store_request request = {.verb = SFI_STORE_DELETE, .key = key};
    return run(store, &request, err);
}

shardy_status sfi_store_list(struct sfi_store *store, const char *prefix, bool deep,
                             struct sfi_store_list *list, shardy_error *err)
{
    memset(list, 0, sizeof *list);
    if (*prefix) {
        SFI_RETURN_IF_ERR(sfi_key_check(prefix, err));
    }
    shardy_status st = store->ops->list(store, prefix, deep, list, err);
    if (st != SHARDY_OK) {
        sfi_store_list_clear(list);
    }
    return st;
}

shardy_status sfi_store_upload(struct sfi_store *store, const char *key, const char *content_type,
                               size_t head_size, struct sfi_upload **upload, shardy_error *err)
{
    *upload = NULL;
    SFI_RETURN_IF_ERR(sfi_key_check(key, err));
    return store->ops->upload(store, key, content_type, head_size, upload, err);
}

shardy_status sfi_store_map(struct sfi_store *store, const char *key, struct sfi_mapping *mapping,
                            shardy_error *err)
{
    memset(mapping, 0, sizeof *mapping);
    SFI_RETURN_IF_ERR(sfi_key_check(key, err));
    if (!store->ops->map) {
        return sfi_fail(err, SHARDY_UNSUPPORTED, "objects of %s cannot be mapped", store->url);
    }
    return store->ops->map(store, key, mapping, err);
}

void sfi_mapping_release(struct sfi_mapping *mapping)
{
    if (mapping && mapping->release) {
        mapping->release(mapping);
    }
    if (mapping) {
        memset(mapping, 0, sizeof *mapping);
    }
}

void sfi_store_list_clear(struct sfi_store_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        sfi_free(list->entries[i].name);
    }
    sfi_free(list->entries);
    memset(list, 0, sizeof *list);
}

shardy_status sfi_store_list_add(struct sfi_store_list *list, size_t *capacity, const char *name,
                                 size_t name_size, bool is_prefix, uint64_t size, shardy_error *err)
{
    void *entries = list->entries;
    char *copy = sfi_strndup(name, name_size);
    if (!copy || !sfi_array_grow(&entries, capacity, list->count + 1, sizeof *list->entries)) {
        sfi_free(copy);
        return sfi_fail_memory(err, name_size + sizeof *list->entries);
    }
    list->entries = entries;
    list->entries[list->count].name = copy;
    list->entries[list->count].is_prefix = is_prefix;
    list->entries[list->count].size = size;
    list->count++;
    return SHARDY_OK;
}

static int compare_entries(const void *left, const void *right)
{
    const struct sfi_store_entry *a = left;
    const struct sfi_store_entry *b = right;
    int c = strcmp(a->name, b->name);
    return c ? c : (int)a->is_prefix - (int)b->is_prefix;
}

void sfi_store_list_sort(struct sfi_store_list *list)
{
    if (list->count > 1) {
        qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
    }
}

void sfi_store_content_etag(struct sfi_bytes content, char etag[SFI_ETAG_SIZE])
{
    XXH128_hash_t hash = XXH3_128bits(content.data, content.size);
    snprintf(etag, SFI_ETAG_SIZE, "\"%016" PRIx64 "%016" PRIx64 "\"", (uint64_t)hash.high64,
             (uint64_t)hash.low64);
}

shardy_status sfi_store_range(const struct sfi_store_request *request, uint64_t size,
                              uint64_t *offset, uint64_t *length, shardy_error *err)
{
    *offset = request->offset < size ? request->offset : size;
    *length = size - *offset;
    if (request->length && request->length < *length) {
        *length = request->length;
    }
    if (request->max_bytes && *length > request->max_bytes) {
        return sfi_fail(err, SHARDY_LIMIT, "object %s has %" PRIu64 " bytes, the limit is %" PRIu64,
                        request->key, *length, request->max_bytes);
    }
    return SHARDY_OK;
}

shardy_status sfi_store_answer_get(struct sfi_store_request *request, struct sfi_bytes whole)
{
    uint64_t offset;
    uint64_t length;
    SFI_RETURN_IF_ERR(sfi_store_range(request, whole.size, &offset, &length, &request->error));
    if (!sfi_buf_append(&request->data, whole.data + offset, (size_t)length)) {
        return sfi_fail_memory(&request->error, (size_t)length);
    }
    return SHARDY_OK;
}
