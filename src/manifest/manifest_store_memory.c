/*
 * manifest_store_memory.c - manifests in this process's memory, as encoded images, so that readers
 * and writers take the same path as with objects. Publishing a run id again adds to the history and
 * replaces what its reference names.
 */
#include "manifest/manifest_internal.h"

#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>

#define REF_FORMAT "mem://manifests/run_id=%s/manifest"

struct entry {
    struct sfi_ref ref;
    struct sfi_buf image;
};

struct memory_store {
    struct sfi_manifest_store base;
    struct {
        pthread_mutex_t lock;
        struct entry *entries; /* oldest first */
        size_t count;
        size_t capacity;
        size_t current; /* index + 1; 0 = no pointer */
    } synced;
};

static bool ref_copy(struct sfi_ref *to, const struct sfi_ref *from)
{
    to->ref = sfi_strdup(from->ref);
    to->run_id = sfi_strdup(from->run_id);
    to->published_at_us = from->published_at_us;
    if (!to->ref || !to->run_id) {
        sfi_ref_clear(to);
        return false;
    }
    return true;
}

static void entry_clear(struct entry *entry)
{
    sfi_ref_clear(&entry->ref);
    sfi_buf_clear(&entry->image);
}

/* Newest entry of a reference, as index + 1; 0 = none. */
static size_t find_locked(const struct memory_store *self, const char *ref)
{
    size_t i = self->synced.count;
    while (i && strcmp(self->synced.entries[i - 1].ref.ref, ref) != 0) {
        i--;
    }
    return i;
}

static const struct sfi_ref *current_locked(const struct memory_store *self)
{
    return self->synced.current ? &self->synced.entries[self->synced.current - 1].ref : NULL;
}

/* The rules of the pointer swap: what is replaced, and whether that is allowed. */
static shardy_status prepare_swap_locked(const struct memory_store *self,
                                         const struct sfi_publish_options *options,
                                         struct sfi_publish_result *result, shardy_error *err)
{
    const struct sfi_ref *current = current_locked(self);
    const char *now = current ? current->ref : NULL;
    const char *expected = options->expected_ref;
    bool match = expected ? now && strcmp(expected, now) == 0 : !now;
    if (options->expect && !match) {
        return sfi_fail(err, SHARDY_CONFLICT, "expected %.300s to be current, found run %.200s",
                        expected ? expected : "(no pointer)",
                        current ? current->run_id : "(no pointer)");
    }
    if (current) {
        result->replaced_ref = sfi_strdup(current->ref);
        result->replaced_run_id = sfi_strdup(current->run_id);
        if (!result->replaced_ref || !result->replaced_run_id) {
            return sfi_fail_memory(err, strlen(current->ref));
        }
    }
    return SHARDY_OK;
}

static shardy_status new_entry(const struct sfi_build_meta *meta, const shardy_shard_info *shards,
                               size_t count, struct entry *entry, shardy_error *err)
{
    struct sfi_buf ref;
    memset(entry, 0, sizeof *entry);
    sfi_buf_init(&entry->image, SIZE_MAX - 1);
    sfi_buf_init(&ref, SIZE_MAX - 1);
    SFI_RETURN_IF_ERR(sfi_run_id_check(meta->run_id, err));
    SFI_RETURN_IF_ERR(sfi_manifest_encode(meta, shards, count, &entry->image, err));
    sfi_buf_printf(&ref, REF_FORMAT, meta->run_id);
    entry->ref.ref = sfi_buf_take(&ref);
    entry->ref.run_id = sfi_strdup(meta->run_id);
    entry->ref.published_at_us = sfi_now_us();
    if (!entry->ref.ref || !entry->ref.run_id) {
        entry_clear(entry);
        return sfi_fail_memory(err, strlen(meta->run_id));
    }
    return SHARDY_OK;
}

/* Append the entry and make it current; takes it over only on success. */
static shardy_status publish_locked(struct memory_store *self, struct entry *entry,
                                    const struct sfi_publish_options *options,
                                    struct sfi_publish_result *result, shardy_error *err)
{
    void *entries = self->synced.entries;
    result->manifest_ref = sfi_strdup(entry->ref.ref);
    if (!result->manifest_ref ||
        !sfi_array_grow(&entries, &self->synced.capacity, self->synced.count + 1, sizeof *entry)) {
        return sfi_fail_memory(err, sizeof *entry);
    }
    self->synced.entries = entries;
    if (!options->no_pointer) {
        SFI_RETURN_IF_ERR(prepare_swap_locked(self, options, result, err));
        self->synced.current = self->synced.count + 1;
        result->published = true;
    }
    self->synced.entries[self->synced.count++] = *entry;
    return SHARDY_OK;
}

static shardy_status memory_publish(struct sfi_manifest_store *base,
                                    const struct sfi_build_meta *meta,
                                    const shardy_shard_info *shards, size_t count,
                                    const struct sfi_publish_options *options,
                                    struct sfi_publish_result *result, shardy_error *err)
{
    struct memory_store *self = (struct memory_store *)base;
    struct entry entry;
    memset(result, 0, sizeof *result);
    result->guarded = true;
    SFI_RETURN_IF_ERR(new_entry(meta, shards, count, &entry, err));
    pthread_mutex_lock(&self->synced.lock);
    shardy_status st = publish_locked(self, &entry, options, result, err);
    pthread_mutex_unlock(&self->synced.lock);
    if (st != SHARDY_OK) {
        entry_clear(&entry);
        sfi_free(result->manifest_ref); /* nothing was stored */
        result->manifest_ref = NULL;
    } else if (options->observer) {
        sfi_log(options->observer, SHARDY_LOG_INFO, "manifest", "manifest_published",
                SFI_FIELDS(sfi_field_str("run_id", meta->run_id),
                           sfi_field_str("manifest_ref", result->manifest_ref)));
    }
    return st;
}

static shardy_status memory_load_current(struct sfi_manifest_store *base, struct sfi_ref *ref,
                                         bool *found, shardy_error *err)
{
    struct memory_store *self = (struct memory_store *)base;
    memset(ref, 0, sizeof *ref);
    pthread_mutex_lock(&self->synced.lock);
    const struct sfi_ref *current = current_locked(self);
    *found = current && ref_copy(ref, current);
    shardy_status st = current && !*found ? SHARDY_NO_MEMORY : SHARDY_OK;
    pthread_mutex_unlock(&self->synced.lock);
    return st == SHARDY_OK ? st : sfi_fail_memory(err, sizeof *ref);
}

static shardy_status memory_load_manifest(struct sfi_manifest_store *base, const char *ref,
                                          struct sfi_manifest **manifest, shardy_error *err)
{
    struct memory_store *self = (struct memory_store *)base;
    struct sfi_mapping image;
    uint8_t *copy = NULL;
    size_t size = 0;
    *manifest = NULL;
    pthread_mutex_lock(&self->synced.lock);
    size_t found = find_locked(self, ref);
    if (found) {
        const struct sfi_buf *stored = &self->synced.entries[found - 1].image;
        size = stored->size;
        copy = sfi_malloc(size);
        if (copy) {
            memcpy(copy, stored->data, size);
        }
    }
    pthread_mutex_unlock(&self->synced.lock);
    if (!found) {
        return sfi_fail(err, SHARDY_NOT_FOUND, "Manifest not found: %.300s", ref);
    }
    if (!copy) {
        return sfi_fail_memory(err, size);
    }
    sfi_mapping_of_block(&image, copy, size);
    return sfi_manifest_open(&image, manifest, err);
}

static shardy_status memory_list(struct sfi_manifest_store *base, size_t limit,
                                 struct sfi_ref **refs, size_t *count, shardy_error *err)
{
    struct memory_store *self = (struct memory_store *)base;
    size_t n = 0;
    bool ok = true;
    pthread_mutex_lock(&self->synced.lock);
    size_t total = self->synced.count;
    size_t want = limit < total ? limit : total;
    struct sfi_ref *copy = sfi_calloc(want, sizeof *copy);
    while (copy && ok && n < want) {
        ok = ref_copy(&copy[n], &self->synced.entries[total - 1 - n].ref);
        n += ok;
    }
    pthread_mutex_unlock(&self->synced.lock);
    if (!copy || !ok) {
        sfi_refs_clear(copy, n);
        return sfi_fail_memory(err, want * sizeof *copy);
    }
    *refs = copy;
    *count = n;
    return SHARDY_OK;
}

static shardy_status memory_set_current(struct sfi_manifest_store *base, const char *ref,
                                        const struct sfi_publish_options *options,
                                        struct sfi_publish_result *result, shardy_error *err)
{
    struct memory_store *self = (struct memory_store *)base;
    shardy_status st;
    memset(result, 0, sizeof *result);
    result->guarded = true;
    result->manifest_ref = sfi_strdup(ref);
    if (!result->manifest_ref) {
        return sfi_fail_memory(err, strlen(ref) + 1);
    }
    pthread_mutex_lock(&self->synced.lock);
    size_t found = find_locked(self, ref);
    if (!found) {
        st = sfi_fail(err, SHARDY_NOT_FOUND, "Manifest not found: %.300s", ref);
    } else {
        st = prepare_swap_locked(self, options, result, err);
    }
    if (st == SHARDY_OK) {
        self->synced.current = found;
        result->published = true;
    }
    pthread_mutex_unlock(&self->synced.lock);
    return st;
}

static void memory_close(struct sfi_manifest_store *base)
{
    struct memory_store *self = (struct memory_store *)base;
    for (size_t i = 0; i < self->synced.count; i++) {
        entry_clear(&self->synced.entries[i]);
    }
    sfi_free(self->synced.entries);
    pthread_mutex_destroy(&self->synced.lock);
    sfi_free(self);
}

static const struct sfi_manifest_store_ops s_ops = {
    .name = "memory",
    .publish = memory_publish,
    .load_current = memory_load_current,
    .load_manifest = memory_load_manifest,
    .list = memory_list,
    .set_current = memory_set_current,
    .close = memory_close,
};

shardy_status sfi_manifest_store_memory(struct sfi_manifest_store **out, shardy_error *err)
{
    struct memory_store *self = sfi_calloc(1, sizeof *self);
    *out = NULL;
    if (!self) {
        return sfi_fail_memory(err, sizeof *self);
    }
    if (pthread_mutex_init(&self->synced.lock, NULL) != 0) {
        sfi_free(self);
        return sfi_fail_memory(err, sizeof self->synced.lock);
    }
    self->base.ops = &s_ops;
    *out = &self->base;
    return SHARDY_OK;
}
