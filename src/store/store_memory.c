/*
 * store_memory.c - memory://name/prefix: objects in this process's memory, shared by every store
 * opened under the same name.
 *
 * The registry of names is the one mutable global of the library besides the allocator hooks: a
 * name must mean the same objects wherever it is opened. A name is forgotten when its last object
 * is deleted and no store has it open. Objects are reference-counted, so mappings outlive deletes.
 */
#include "store/store.h"

#include "base/memory.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <stdio.h>

#define SCHEME "memory://"

struct blob {
    atomic_uint refs;
    size_t size;
    uint8_t *data;
    char etag[SFI_ETAG_SIZE];
};

struct object {
    char *key; /* below the name, prefixes included */
    struct blob *blob;
};

/* One name. Guarded by s_lock, as is everything below it; blobs are immutable. */
struct root {
    struct root *next;
    char *name;
    unsigned stores;
    struct object *objects; /* ascending by key */
    size_t count;
    size_t capacity;
};

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static struct root *s_roots;

struct memory_store {
    struct sfi_store base;
    struct root *root;
    char *prefix; /* "" or "some/prefix/" */
};

struct memory_upload {
    struct sfi_upload base;
    struct memory_store *store;
    char *key;
    size_t head_size;
    struct sfi_buf data;
};

/* Key below the name; sfi_free. */
static char *full_key(const struct memory_store *store, const char *key)
{
    size_t prefix = strlen(store->prefix);
    size_t size = strlen(key) + 1;
    char *full = sfi_malloc(prefix + size);
    if (full) {
        memcpy(full, store->prefix, prefix);
        memcpy(full + prefix, key, size);
    }
    return full;
}

static void blob_release(struct blob *blob)
{
    if (blob && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        sfi_free(blob->data);
        sfi_free(blob);
    }
}

/* Takes `data` over, on failure too. */
static struct blob *blob_new(uint8_t *data, size_t size)
{
    struct blob *blob = data ? sfi_calloc(1, sizeof *blob) : NULL;
    if (!blob) {
        sfi_free(data);
        return NULL;
    }
    struct sfi_bytes content = {data, size};
    atomic_init(&blob->refs, 1);
    blob->data = data;
    blob->size = size;
    sfi_store_content_etag(content, blob->etag);
    return blob;
}

static struct blob *blob_copy(struct sfi_bytes content)
{
    uint8_t *data = sfi_malloc(content.size);
    if (data && content.size) {
        memcpy(data, content.data, content.size);
    }
    return blob_new(data, content.size);
}

/* Index of the first object whose key is not below `key`. */
static size_t lower_bound_locked(const struct root *root, const char *key)
{
    size_t low = 0;
    size_t high = root->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(root->objects[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct object *find_locked(struct root *root, const char *key)
{
    size_t i = lower_bound_locked(root, key);
    return i < root->count && strcmp(root->objects[i].key, key) == 0 ? &root->objects[i] : NULL;
}

static void root_drop_if_unused_locked(struct root *root)
{
    struct root **link = &s_roots;
    if (root->stores || root->count) {
        return;
    }
    while (*link != root) {
        link = &(*link)->next;
    }
    *link = root->next;
    sfi_free(root->objects);
    sfi_free(root->name);
    sfi_free(root);
}

/* Whether the condition of a PUT holds for what is there now. */
static bool condition_holds(enum sfi_store_condition condition, const char *etag,
                            const struct object *object)
{
    if (condition == SFI_STORE_IF_ABSENT) {
        return !object;
    }
    return condition == SFI_STORE_ALWAYS || (object && etag && !strcmp(object->blob->etag, etag));
}

static shardy_status conflict(const struct sfi_store *store, const char *key,
                              enum sfi_store_condition condition, shardy_error *err)
{
    return sfi_fail(err, SHARDY_CONFLICT, "%s/%s: %s", store->url, key,
                    condition == SFI_STORE_IF_ABSENT ? "the object exists already"
                                                     : "somebody else changed the object first");
}

static shardy_status insert_locked(struct root *root, const char *key, struct blob *blob,
                                   shardy_error *err)
{
    void *objects = root->objects;
    size_t i = lower_bound_locked(root, key);
    char *copy = sfi_strdup(key);
    if (!copy ||
        !sfi_array_grow(&objects, &root->capacity, root->count + 1, sizeof(struct object))) {
        sfi_free(copy);
        return sfi_fail_memory(err, strlen(key) + sizeof(struct object));
    }
    root->objects = objects;
    memmove(&root->objects[i + 1], &root->objects[i], (root->count - i) * sizeof(struct object));
    root->objects[i].key = copy;
    root->objects[i].blob = blob;
    root->count++;
    return SHARDY_OK;
}

/* Takes `blob` over, on failure too. `etag_out` may be NULL. */
static shardy_status store_blob(struct memory_store *store, const char *key, struct blob *blob,
                                enum sfi_store_condition condition, const char *etag,
                                char *etag_out, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct blob *old = NULL;
    char *full = blob ? full_key(store, key) : NULL;
    if (!full) {
        blob_release(blob);
        return sfi_fail_memory(err, strlen(key) + sizeof *blob);
    }
    if (etag_out) {
        memcpy(etag_out, blob->etag, SFI_ETAG_SIZE);
    }
    pthread_mutex_lock(&s_lock);
    struct object *object = find_locked(store->root, full);
    if (!condition_holds(condition, etag, object)) {
        st = conflict(&store->base, key, condition, err);
    } else if (object) {
        old = object->blob;
        object->blob = blob;
    } else {
        st = insert_locked(store->root, full, blob, err);
    }
    pthread_mutex_unlock(&s_lock);
    blob_release(st == SHARDY_OK ? old : blob);
    sfi_free(full);
    return st;
}

/* A new reference, or NULL with NOT_FOUND or NO_MEMORY. */
static shardy_status lookup(struct memory_store *store, const char *key, struct blob **blob,
                            shardy_error *err)
{
    char *full = full_key(store, key);
    *blob = NULL;
    if (!full) {
        return sfi_fail_memory(err, strlen(key) + 1);
    }
    pthread_mutex_lock(&s_lock);
    struct object *object = find_locked(store->root, full);
    if (object) {
        *blob = object->blob;
        atomic_fetch_add_explicit(&(*blob)->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s_lock);
    sfi_free(full);
    return *blob ? SHARDY_OK
                 : sfi_fail(err, SHARDY_NOT_FOUND, "%s/%s does not exist", store->base.url, key);
}

static shardy_status run_read(struct memory_store *store, struct sfi_store_request *request)
{
    struct blob *blob;
    shardy_status st = lookup(store, request->key, &blob, &request->error);
    if (st != SHARDY_OK) {
        return st;
    }
    struct sfi_bytes whole = {blob->data, blob->size};
    request->object_size = blob->size;
    memcpy(request->object_etag, blob->etag, SFI_ETAG_SIZE);
    if (request->condition == SFI_STORE_IF_MATCH && strcmp(blob->etag, request->etag) != 0) {
        st = conflict(&store->base, request->key, request->condition, &request->error);
    } else if (request->condition == SFI_STORE_IF_CHANGED &&
               strcmp(blob->etag, request->etag) == 0) {
        request->unchanged = true;
    } else if (request->verb == SFI_STORE_GET) {
        st = sfi_store_answer_get(request, whole);
    }
    blob_release(blob);
    return st;
}

static shardy_status run_delete(struct memory_store *store, struct sfi_store_request *request)
{
    struct root *root = store->root;
    char *full = full_key(store, request->key);
    if (!full) {
        return sfi_fail_memory(&request->error, strlen(request->key) + 1);
    }
    struct object gone = {NULL, NULL};
    pthread_mutex_lock(&s_lock);
    struct object *object = find_locked(root, full);
    if (object) {
        gone = *object;
        root->count--;
        memmove(object, object + 1,
                (root->count - (size_t)(object - root->objects)) * sizeof *object);
    }
    pthread_mutex_unlock(&s_lock);
    blob_release(gone.blob);
    sfi_free(gone.key);
    sfi_free(full);
    return SHARDY_OK;
}

static shardy_status run_request(struct memory_store *store, struct sfi_store_request *request)
{
    switch (request->verb) {
    case SFI_STORE_GET:
    case SFI_STORE_HEAD:
        return run_read(store, request);
    case SFI_STORE_PUT:
        request->object_size = request->body.size;
        return store_blob(store, request->key, blob_copy(request->body), request->condition,
                          request->etag, request->object_etag, &request->error);
    case SFI_STORE_DELETE:
        return run_delete(store, request);
    }
    return sfi_fail(&request->error, SHARDY_UNSUPPORTED, "unknown request");
}

static void memory_submit(struct sfi_store *base, struct sfi_store_request **requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sfi_store_request *request = requests[i];
        sfi_buf_init(&request->data, SIZE_MAX - 1);
        request->object_size = 0;
        request->object_etag[0] = '\0';
        request->status = run_request((struct memory_store *)base, request);
        request->done(request);
    }
}

/* Add the object, or the sub-prefix it lies in when that is not the last entry already. */
static shardy_status list_one(const char *name, size_t size, bool deep, struct sfi_store_list *list,
                              size_t *capacity, shardy_error *err)
{
    const char *slash = deep ? NULL : strchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : strlen(name);
    if (slash && list->count) {
        const struct sfi_store_entry *last = &list->entries[list->count - 1];
        if (last->is_prefix && strlen(last->name) == n && memcmp(last->name, name, n) == 0) {
            return SHARDY_OK;
        }
    }
    return sfi_store_list_add(list, capacity, name, n, slash != NULL, slash ? 0 : size, err);
}

static shardy_status memory_list(struct sfi_store *base, const char *prefix, bool deep,
                                 struct sfi_store_list *list, shardy_error *err)
{
    struct memory_store *store = (struct memory_store *)base;
    struct root *root = store->root;
    shardy_status st = SHARDY_OK;
    size_t capacity = 0;
    struct sfi_buf start;
    sfi_buf_init(&start, SIZE_MAX - 1);
    sfi_buf_append_text(&start, store->prefix);
    sfi_buf_append_text(&start, prefix);
    if (!sfi_buf_append_text(&start, *prefix ? "/" : "")) {
        return sfi_buf_status(&start, "prefix", err);
    }
    pthread_mutex_lock(&s_lock);
    for (size_t i = lower_bound_locked(root, (char *)start.data);
         st == SHARDY_OK && i < root->count; i++) {
        const char *key = root->objects[i].key;
        if (strncmp(key, (char *)start.data, start.size) != 0) {
            break;
        }
        st = list_one(key + start.size, root->objects[i].blob->size, deep, list, &capacity, err);
    }
    pthread_mutex_unlock(&s_lock);
    sfi_buf_clear(&start);
    sfi_store_list_sort(list);
    return st;
}

static void mapping_release(struct sfi_mapping *mapping)
{
    blob_release(mapping->private_data);
}

static shardy_status memory_map(struct sfi_store *base, const char *key,
                                struct sfi_mapping *mapping, shardy_error *err)
{
    struct blob *blob;
    SFI_RETURN_IF_ERR(lookup((struct memory_store *)base, key, &blob, err));
    mapping->data = blob->data;
    mapping->size = blob->size;
    memcpy(mapping->etag, blob->etag, SFI_ETAG_SIZE);
    mapping->release = mapping_release;
    mapping->private_data = blob;
    return SHARDY_OK;
}

static shardy_status upload_append(struct sfi_upload *base, struct sfi_bytes bytes,
                                   shardy_error *err)
{
    struct memory_upload *upload = (struct memory_upload *)base;
    return sfi_buf_append(&upload->data, bytes.data, bytes.size) ? SHARDY_OK
                                                                 : sfi_fail_memory(err, bytes.size);
}

static void upload_abort(struct sfi_upload *base)
{
    struct memory_upload *upload = (struct memory_upload *)base;
    sfi_store_release(&upload->store->base);
    sfi_buf_clear(&upload->data);
    sfi_free(upload->key);
    sfi_free(upload);
}

static shardy_status upload_commit(struct sfi_upload *base, struct sfi_bytes head, char *etag,
                                   shardy_error *err)
{
    struct memory_upload *upload = (struct memory_upload *)base;
    shardy_status st;
    size_t size = upload->data.size;
    if (head.size < upload->head_size && size == upload->head_size) {
        upload->data.size = size = head.size; /* nothing was appended: the head is all there is */
        upload->head_size = head.size;
    }
    if (head.size != upload->head_size) {
        st = sfi_fail(err, SHARDY_CONFIG, "%s: head of %zu bytes, expected %zu", upload->key,
                      head.size, upload->head_size);
    } else if (upload->data.failed) {
        st = sfi_fail_memory(err, 0);
    } else {
        if (head.size) {
            memcpy(upload->data.data, head.data, head.size);
        }
        uint8_t *data = (uint8_t *)sfi_buf_take(&upload->data);
        st = store_blob(upload->store, upload->key, blob_new(data, size), SFI_STORE_IF_ABSENT, NULL,
                        etag, err);
    }
    upload_abort(base);
    return st;
}

static const struct sfi_upload_ops s_upload_ops = {
    .append = upload_append,
    .commit = upload_commit,
    .abort = upload_abort,
};

static shardy_status memory_upload(struct sfi_store *base, const char *key,
                                   const char *content_type, size_t head_size,
                                   struct sfi_upload **out, shardy_error *err)
{
    struct memory_upload *upload = sfi_calloc(1, sizeof *upload);
    (void)content_type;
    if (!upload) {
        return sfi_fail_memory(err, sizeof *upload);
    }
    upload->base.ops = &s_upload_ops;
    upload->store = (struct memory_store *)sfi_store_acquire(base);
    upload->head_size = head_size;
    upload->key = sfi_strdup(key);
    sfi_buf_init(&upload->data, SIZE_MAX - 1);
    uint8_t *head = sfi_buf_reserve(&upload->data, head_size);
    if (!upload->key || !head) {
        upload_abort(&upload->base);
        return sfi_fail_memory(err, head_size);
    }
    memset(head, 0, head_size);
    upload->data.size = head_size;
    *out = &upload->base;
    return SHARDY_OK;
}

static void memory_close(struct sfi_store *base)
{
    struct memory_store *store = (struct memory_store *)base;
    if (store->root) {
        pthread_mutex_lock(&s_lock);
        store->root->stores--;
        root_drop_if_unused_locked(store->root);
        pthread_mutex_unlock(&s_lock);
    }
    sfi_free(store->prefix);
    sfi_free(store);
}

static const struct sfi_store_ops s_ops = {
    .scheme = "memory",
    .conditional = true,
    .submit = memory_submit,
    .list = memory_list,
    .upload = memory_upload,
    .map = memory_map,
    .close = memory_close,
};

static struct root *root_acquire(const char *name, size_t size)
{
    pthread_mutex_lock(&s_lock);
    struct root *root = s_roots;
    while (root && (strncmp(root->name, name, size) != 0 || root->name[size])) {
        root = root->next;
    }
    if (!root) {
        root = sfi_calloc(1, sizeof *root);
        char *copy = root ? sfi_strndup(name, size) : NULL;
        if (!copy) {
            sfi_free(root);
            pthread_mutex_unlock(&s_lock);
            return NULL;
        }
        root->name = copy;
        root->next = s_roots;
        s_roots = root;
    }
    root->stores++;
    pthread_mutex_unlock(&s_lock);
    return root;
}

shardy_status sfi_store_memory_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **out, shardy_error *err)
{
    (void)options;
    const char *name = url + strlen(SCHEME);
    size_t name_size = strcspn(name, "/");
    const char *prefix = name[name_size] ? name + name_size + 1 : "";
    struct memory_store *store = sfi_calloc(1, sizeof *store);
    if (!store) {
        return sfi_fail_memory(err, sizeof *store);
    }
    shardy_status st = sfi_store_init(&store->base, &s_ops, url, err);
    store->root = st == SHARDY_OK ? root_acquire(name, name_size) : NULL;
    store->prefix = *prefix ? sfi_malloc(strlen(prefix) + 2) : sfi_strdup("");
    if (st == SHARDY_OK && (!store->root || !store->prefix)) {
        st = sfi_fail_memory(err, strlen(url));
    }
    if (st != SHARDY_OK) {
        char *kept = store->base.url;
        memory_close(&store->base);
        sfi_free(kept);
        return st;
    }
    if (*prefix) {
        snprintf(store->prefix, strlen(prefix) + 2, "%s/", prefix);
    }
    *out = &store->base;
    return SHARDY_OK;
}
