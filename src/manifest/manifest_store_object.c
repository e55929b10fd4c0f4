/*
 * manifest_store_object.c - manifests as objects: manifests/<TS>_run_id=<id>/manifest and the
 * pointer, below the prefix of a store. The writes that publish are publish.c.
 */
#include "manifest/manifest_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <stdlib.h>

struct object_store {
    struct sfi_manifest_store base;
    struct sfi_store *store;
    char *current_key;
    bool relocate;
};

static struct sfi_pointer_slot slot_of(const struct object_store *self)
{
    struct sfi_pointer_slot slot = {self->store, self->current_key, self->relocate, false};
    return slot;
}

static void log_outcome(const struct sfi_publish_options *options, const char *run_id,
                        const char *prefix, const char *ref, shardy_status st,
                        const shardy_error *why)
{
    if (!options->observer) {
        return;
    }
    if (st == SHARDY_OK) {
        sfi_log(options->observer, SHARDY_LOG_INFO, "manifest", "manifest_published",
                SFI_FIELDS(sfi_field_str("run_id", run_id), sfi_field_str("manifest_ref", ref)));
    } else {
        sfi_log(options->observer, SHARDY_LOG_ERROR, "manifest", "manifest_publish_failed",
                SFI_FIELDS(sfi_field_str("run_id", run_id), sfi_field_str("s3_prefix", prefix),
                           sfi_field_str("manifest_ref", ref), sfi_field_str("severity", "error"),
                           sfi_field_str("error", why->message)));
    }
}

/* Encode and store the manifest; result->manifest_ref is set once it is there. */
static shardy_status store_manifest(struct object_store *self, const struct sfi_build_meta *meta,
                                    const shardy_shard_info *shards, size_t count,
                                    const struct sfi_publish_options *options,
                                    struct sfi_publish_result *result, shardy_error *err)
{
    struct sfi_buf image;
    char *key = NULL;
    char *ref = NULL;
    shardy_status st;
    sfi_buf_init(&image, SIZE_MAX - 1);
    SFI_TRY(sfi_manifest_encode(meta, shards, count, &image, err));
    SFI_TRY(sfi_manifest_key(sfi_now_us(), meta->run_id, &key, err));
    ref = sfi_url_join(self->store->url, key);
    if (!ref) {
        st = sfi_fail_memory(err, strlen(key));
        goto out;
    }
    SFI_TRY(sfi_manifest_put(self->store, key, sfi_buf_view(&image), options, err));
    result->manifest_ref = ref;
    ref = NULL;
out:
    sfi_buf_clear(&image);
    sfi_free(key);
    sfi_free(ref);
    return st;
}

static shardy_status object_publish(struct sfi_manifest_store *base,
                                    const struct sfi_build_meta *meta,
                                    const shardy_shard_info *shards, size_t count,
                                    const struct sfi_publish_options *options,
                                    struct sfi_publish_result *result, shardy_error *err)
{
    struct object_store *self = (struct object_store *)base;
    struct sfi_pointer_slot slot = slot_of(self);
    shardy_error why = SHARDY_ERROR_INIT;
    memset(result, 0, sizeof *result);
    slot.fresh = true;
    shardy_status st = store_manifest(self, meta, shards, count, options, result, &why);
    if (st == SHARDY_OK && !options->no_pointer) {
        st = sfi_pointer_swap(&slot, result->manifest_ref, meta->run_id, options, result, &why);
    }
    log_outcome(options, meta->run_id, meta->s3_prefix, result->manifest_ref, st, &why);
    if (st != SHARDY_OK && err) {
        *err = why;
    }
    return st;
}

static shardy_status object_load_changed(struct sfi_manifest_store *base, char *etag,
                                         bool *unchanged, struct sfi_ref *ref, bool *found,
                                         shardy_error *err)
{
    struct object_store *self = (struct object_store *)base;
    struct sfi_pointer pointer = {NULL, NULL, 0};
    shardy_error why = SHARDY_ERROR_INIT;
    struct sfi_buf text;
    memset(ref, 0, sizeof *ref);
    *found = false;
    sfi_buf_init(&text, SFI_POINTER_MAX_BYTES);
    shardy_status st = sfi_store_get_changed(self->store, self->current_key, SFI_POINTER_MAX_BYTES,
                                             etag, unchanged, &text, err);
    if (st == SHARDY_LIMIT) {
        st = sfi_fail(err, SHARDY_MANIFEST,
                      "CURRENT pointer validation failed: %s/%s is larger than %u bytes",
                      self->store->url, self->current_key, SFI_POINTER_MAX_BYTES);
    }
    if (st != SHARDY_OK || *unchanged) {
        return st == SHARDY_NOT_FOUND ? SHARDY_OK : st;
    }
    st = sfi_pointer_parse(sfi_buf_view(&text), &pointer, &why);
    if (st != SHARDY_OK) {
        sfi_fail(err, st, "%.600s (%s/%s)", why.message, self->store->url, self->current_key);
        goto out;
    }
    ref->ref = sfi_ref_resolve(self->store, self->relocate, pointer.manifest_ref);
    if (!ref->ref) {
        st = sfi_fail_memory(err, strlen(pointer.manifest_ref));
        goto out;
    }
    ref->run_id = pointer.run_id;
    ref->published_at_us = pointer.updated_at_us;
    pointer.run_id = NULL;
    *found = true;
out:
    sfi_pointer_clear(&pointer);
    sfi_buf_clear(&text);
    return st;
}

static shardy_status object_load_current(struct sfi_manifest_store *base, struct sfi_ref *ref,
                                         bool *found, shardy_error *err)
{
    char etag[SFI_ETAG_SIZE] = "";
    bool unchanged;
    return object_load_changed(base, etag, &unchanged, ref, found, err);
}

static shardy_status fetch_image(struct sfi_store *store, const char *key,
                                 struct sfi_mapping *image, shardy_error *err)
{
    struct sfi_buf data;
    if (store->ops->map) {
        return sfi_store_map(store, key, image, err);
    }
    sfi_buf_init(&data, SIZE_MAX - 1);
    SFI_RETURN_IF_ERR(sfi_store_get(store, key, SFI_MANIFEST_MAX_BYTES, &data, NULL, err));
    size_t size = data.size;
    sfi_mapping_of_block(image, (uint8_t *)sfi_buf_take(&data), size);
    return SHARDY_OK;
}

static shardy_status object_load_manifest(struct sfi_manifest_store *base, const char *ref,
                                          struct sfi_manifest **manifest, shardy_error *err)
{
    struct object_store *self = (struct object_store *)base;
    struct sfi_mapping image;
    char *key;
    *manifest = NULL;
    SFI_RETURN_IF_ERR(sfi_ref_key(self->store, self->relocate, ref, &key, err));
    shardy_status st = fetch_image(self->store, key, &image, err);
    sfi_free(key);
    if (st == SHARDY_OK) {
        st = sfi_manifest_open(&image, manifest, err);
    }
    if (st == SHARDY_MANIFEST) {
        sfi_error_prefix(err, "%s: ", ref);
    }
    return st;
}

/* "<TS>_run_id=<RUN_ID>", with exactly the key form of timestamps, and a date that exists. */
static bool parse_folder(const char *name, int64_t *us, const char **run_id)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    static const char mark[] = "_run_id=";
    size_t n = sizeof shape - 1;
    if (strnlen(name, n + sizeof mark) < n + sizeof mark) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (shape[i] == 'd' ? !digit : name[i] != shape[i]) {
            return false;
        }
    }
    *run_id = name + n + sizeof mark - 1;
    return strncmp(name + n, mark, sizeof mark - 1) == 0 && sfi_timestamp_parse(name, n, us);
}

static shardy_status add_ref(const struct object_store *self, const char *folder,
                             struct sfi_ref *refs, size_t *count, shardy_error *err)
{
    const char *run_id;
    int64_t us;
    struct sfi_buf key;
    if (!parse_folder(folder, &us, &run_id)) {
        return SHARDY_OK;
    }
    struct sfi_ref *ref = &refs[*count];
    sfi_buf_init(&key, SFI_URL_MAX_BYTES);
    bool ok = sfi_buf_printf(&key, "manifests/%s/" SFI_MANIFEST_NAME, folder);
    ref->ref = ok ? sfi_url_join(self->store->url, (const char *)key.data) : NULL;
    ref->run_id = sfi_strdup(run_id);
    ref->published_at_us = us;
    sfi_buf_clear(&key);
    (*count)++;
    return ref->ref && ref->run_id ? SHARDY_OK : sfi_fail_memory(err, strlen(folder));
}

/* Newest first; equal times in ascending order of their URLs. */
static int compare_refs(const void *left, const void *right)
{
    const struct sfi_ref *a = left;
    const struct sfi_ref *b = right;
    if (a->published_at_us != b->published_at_us) {
        return a->published_at_us > b->published_at_us ? -1 : 1;
    }
    return strcmp(a->ref, b->ref);
}

static shardy_status object_list(struct sfi_manifest_store *base, size_t limit,
                                 struct sfi_ref **refs, size_t *count, shardy_error *err)
{
    struct object_store *self = (struct object_store *)base;
    struct sfi_store_list list;
    *refs = NULL;
    *count = 0;
    SFI_RETURN_IF_ERR(sfi_store_list(self->store, "manifests", false, &list, err));
    struct sfi_ref *found = sfi_calloc(list.count, sizeof *found);
    size_t n = 0;
    shardy_status st = found ? SHARDY_OK : sfi_fail_memory(err, list.count * sizeof *found);
    for (size_t i = 0; st == SHARDY_OK && i < list.count; i++) {
        if (list.entries[i].is_prefix) {
            st = add_ref(self, list.entries[i].name, found, &n, err);
        }
    }
    sfi_store_list_clear(&list);
    if (st != SHARDY_OK) {
        sfi_refs_clear(found, n);
        return st;
    }
    qsort(found, n, sizeof *found, compare_refs);
    for (; n > limit; n--) {
        sfi_ref_clear(&found[n - 1]);
    }
    *refs = found;
    *count = n;
    return SHARDY_OK;
}

static shardy_status object_set_current(struct sfi_manifest_store *base, const char *ref,
                                        const struct sfi_publish_options *options,
                                        struct sfi_publish_result *result, shardy_error *err)
{
    struct object_store *self = (struct object_store *)base;
    struct sfi_pointer_slot slot = slot_of(self);
    struct sfi_manifest *manifest;
    memset(result, 0, sizeof *result);
    SFI_RETURN_IF_ERR(object_load_manifest(base, ref, &manifest, err));
    const char *run_id = sfi_manifest_meta(manifest)->run_id;
    result->manifest_ref = sfi_ref_resolve(self->store, self->relocate, ref);
    shardy_status st = result->manifest_ref ? SHARDY_OK : sfi_fail_memory(err, strlen(ref));
    if (st == SHARDY_OK) {
        st = sfi_pointer_swap(&slot, result->manifest_ref, run_id, options, result, err);
    }
    sfi_manifest_close(manifest);
    return st;
}

static void object_close(struct sfi_manifest_store *base)
{
    struct object_store *self = (struct object_store *)base;
    sfi_store_release(self->store);
    sfi_free(self->current_key);
    sfi_free(self);
}

static const struct sfi_manifest_store_ops s_ops = {
    .name = "object",
    .publish = object_publish,
    .load_current = object_load_current,
    .load_changed = object_load_changed,
    .load_manifest = object_load_manifest,
    .list = object_list,
    .set_current = object_set_current,
    .close = object_close,
};

shardy_status sfi_manifest_store_object(struct sfi_store *store, const char *current_name,
                                        bool relocate, struct sfi_manifest_store **out,
                                        shardy_error *err)
{
    const char *name = current_name ? current_name : SFI_CURRENT_NAME;
    *out = NULL;
    SFI_RETURN_IF_ERR(sfi_key_check(name, err));
    struct object_store *self = sfi_calloc(1, sizeof *self);
    if (!self) {
        return sfi_fail_memory(err, sizeof *self);
    }
    self->base.ops = &s_ops;
    self->relocate = relocate;
    self->current_key = sfi_strdup(name);
    if (!self->current_key) {
        object_close(&self->base);
        return sfi_fail_memory(err, strlen(name) + 1);
    }
    self->store = sfi_store_acquire(store);
    *out = &self->base;
    return SHARDY_OK;
}
