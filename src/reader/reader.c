/*
 * reader.c - the life of a reader: which snapshot it serves. Opening falls back to older manifests
 * when the current one is malformed (spec 02 7.2); refresh builds the next snapshot beside the old
 * one and swaps a pointer.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/parallel.h"
#include "base/timestamp.h"
#include "reader/reader_internal.h"

/* --- current snapshot --------------------------------------------------------------------------
 */

static shardy_status closed_error(shardy_error *err)
{
    return sfi_fail(err, SHARDY_READER_STATE, "Reader is closed");
}

shardy_status sfi_reader_acquire(shardy_reader *reader, shardy_snapshot **snapshot,
                                 unsigned *stripe, shardy_error *err)
{
    unsigned at = sfi_stripe();
    struct sfi_mutex *lock = &reader->stripes->at[at].lock;
    sfi_mutex_lock_plain(lock);
    *snapshot = reader->current;
    if (*snapshot) {
        (*snapshot)->counts[at].refs++;
    }
    sfi_mutex_unlock_plain(lock);
    *stripe = at;
    return *snapshot ? SHARDY_OK : closed_error(err);
}

/* Make `next` (or NULL) current and return what was; with `expected` only while that is current. */
static bool swap_current(shardy_reader *reader, shardy_snapshot *next,
                         const shardy_snapshot *expected, shardy_snapshot **old)
{
    sfi_stripes_lock_all(reader->stripes);
    *old = reader->current;
    bool swap = !expected || *old == expected;
    if (swap) {
        reader->current = next;
    }
    sfi_stripes_unlock_all(reader->stripes);
    return swap;
}

/* --- opening -----------------------------------------------------------------------------------
 */

/* Load the manifest of `ref` and make a snapshot of it. */
static shardy_status load_snapshot(shardy_reader *reader, const struct sfi_ref *ref,
                                   shardy_snapshot *previous, shardy_snapshot **out,
                                   shardy_error *err)
{
    struct sfi_manifest *manifest = NULL;
    shardy_snapshot *snapshot = NULL;
    struct sfi_snapshot_options options = {
        .observer = &reader->observer,
        .stripes = reader->stripes,
        .store = reader->store,
        .access = reader->access,
        .relocate = reader->relocate,
        .verify_checksums = reader->verify_checksums,
    };
    shardy_status st = SHARDY_OK;
    *out = NULL;
    SFI_TRY(reader->manifests->ops->load_manifest(reader->manifests, ref->ref, &manifest, err));
    SFI_TRY(sfi_snapshot_new(&options, manifest, ref, &snapshot, err));
    if (previous) {
        SFI_TRY(sfi_snapshot_inherit(snapshot, previous, err));
    }
    if (reader->open_mode == SHARDY_OPEN_EAGER) {
        SFI_TRY(sfi_snapshot_open_all(snapshot, reader->threads, err));
    }
    *out = snapshot;
out:
    if (st != SHARDY_OK && snapshot) {
        sfi_snapshot_retire(snapshot);
    }
    return st;
}

/* The current manifest is malformed: take the newest of the older ones that is not. */
static shardy_status fall_back(shardy_reader *reader, const char *failed_ref,
                               shardy_snapshot **snapshot, shardy_error *err)
{
    struct sfi_ref *refs = NULL;
    size_t count = 0;
    shardy_status st = SHARDY_OK;
    sfi_log(&reader->observer, SHARDY_LOG_ERROR, "reader", "reader_cold_start_fallback",
            SFI_FIELDS(sfi_field_str("failed_ref", failed_ref),
                       sfi_field_int("max_attempts", SFI_FALLBACK_ATTEMPTS)));
    SFI_TRY(reader->manifests->ops->list(reader->manifests, SFI_FALLBACK_ATTEMPTS + 1, &refs,
                                         &count, err));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(refs[i].ref, failed_ref) == 0) {
            continue;
        }
        st = load_snapshot(reader, &refs[i], NULL, snapshot, err);
        if (st != SHARDY_MANIFEST) {
            if (st == SHARDY_OK) {
                sfi_log(&reader->observer, SHARDY_LOG_INFO, "reader", "reader_fallback_succeeded",
                        SFI_FIELDS(sfi_field_str("fallback_ref", refs[i].ref),
                                   sfi_field_str("skipped_ref", failed_ref)));
            }
            goto out;
        }
        sfi_log(&reader->observer, SHARDY_LOG_ERROR, "reader", "reader_fallback_skip_malformed",
                SFI_FIELDS(sfi_field_str("manifest_ref", refs[i].ref)));
    }
    st =
        sfi_fail(err, SHARDY_READER_STATE,
                 "No valid manifest found after fallback: %s and up to %u older ones are malformed",
                 failed_ref, SFI_FALLBACK_ATTEMPTS);
out:
    sfi_refs_clear(refs, count);
    return st;
}

static shardy_status copy_ref(const struct sfi_ref *from, struct sfi_ref *to, shardy_error *err)
{
    to->ref = sfi_strdup(from->ref);
    to->run_id = sfi_strdup(from->run_id);
    to->published_at_us = from->published_at_us;
    return to->ref && to->run_id ? SHARDY_OK : sfi_fail_memory(err, SFI_URL_MAX_BYTES);
}

/* A ref that is not in the history is taken as it is, with what its name tells. */
static shardy_status unlisted_ref(const char *text, struct sfi_ref *ref, shardy_error *err)
{
    char *run_id = sfi_ref_run_id(text);
    ref->ref = sfi_strdup(text);
    ref->run_id = run_id ? run_id : sfi_strdup("unknown");
    ref->published_at_us = sfi_now_us();
    return ref->ref && ref->run_id ? SHARDY_OK : sfi_fail_memory(err, SFI_URL_MAX_BYTES);
}

/* Find the manifest that the options pin. */
static shardy_status find_pinned(shardy_reader *reader, const shardy_reader_options *o,
                                 struct sfi_ref *ref, shardy_error *err)
{
    struct sfi_ref *refs = NULL;
    size_t count = 0;
    size_t at = SIZE_MAX;
    size_t limit = SIZE_MAX;
    shardy_status st = SHARDY_OK;
    if (o->pin_by_offset && o->pin_offset < SIZE_MAX - 1) {
        limit = (size_t)o->pin_offset + 1;
    }
    SFI_TRY(reader->manifests->ops->list(reader->manifests, limit, &refs, &count, err));
    for (size_t i = 0; i < count && at == SIZE_MAX; i++) {
        if ((o->pin_by_offset && i == o->pin_offset) ||
            (o->pin_ref && strcmp(refs[i].ref, o->pin_ref) == 0) ||
            (o->pin_run_id && strcmp(refs[i].run_id, o->pin_run_id) == 0)) {
            at = i;
        }
    }
    if (at != SIZE_MAX) {
        st = copy_ref(&refs[at], ref, err);
    } else if (o->pin_ref) {
        st = unlisted_ref(o->pin_ref, ref, err);
    } else if (o->pin_run_id) {
        st = sfi_fail(err, SHARDY_NOT_FOUND, "No manifest found with run_id=%s", o->pin_run_id);
    } else {
        st = sfi_fail(err, SHARDY_NOT_FOUND,
                      "Offset %llu out of range (only %zu manifests available)",
                      (unsigned long long)o->pin_offset, count);
    }
out:
    sfi_refs_clear(refs, count);
    return st;
}

/* The pointer, unless it still has `etag`; every manifest store has one of the two calls. */
static shardy_status load_pointer(shardy_reader *reader, char *etag, bool *unchanged,
                                  struct sfi_ref *ref, bool *found, shardy_error *err)
{
    const struct sfi_manifest_store_ops *ops = reader->manifests->ops;
    *unchanged = false;
    return ops->load_changed
               ? ops->load_changed(reader->manifests, etag, unchanged, ref, found, err)
               : ops->load_current(reader->manifests, ref, found, err);
}

static shardy_status load_first(shardy_reader *reader, const shardy_reader_options *o,
                                shardy_snapshot **snapshot, shardy_error *err)
{
    struct sfi_ref ref;
    bool found = true;
    bool unchanged;
    shardy_status st = SHARDY_OK;
    memset(&ref, 0, sizeof ref);
    if (reader->pinned) {
        SFI_TRY(find_pinned(reader, o, &ref, err));
    } else {
        SFI_TRY(load_pointer(reader, reader->pointer_etag, &unchanged, &ref, &found, err));
    }
    if (!found) {
        sfi_log(&reader->observer, SHARDY_LOG_ERROR, "reader", "reader_current_not_found",
                SFI_FIELDS(sfi_field_str("s3_prefix", reader->url)));
        SFI_TRY(
            sfi_fail(err, SHARDY_READER_STATE, "CURRENT pointer not found below %s", reader->url));
    }
    reader->pointer_us = ref.published_at_us;
    st = load_snapshot(reader, &ref, NULL, snapshot, err);
    if (st == SHARDY_MANIFEST && !reader->pinned && !reader->no_fallback) {
        reader->pointer_etag[0] = '\0'; /* what it names is not what is served */
        st = fall_back(reader, ref.ref, snapshot, err);
    }
out:
    sfi_ref_clear(&ref);
    return st;
}

static shardy_status known_options(const shardy_reader_options *from, shardy_reader_options *to,
                                   shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_options_take(from, offsetof(shardy_reader_options, current_name), to,
                                       sizeof *to, "SHARDY_READER_OPTIONS_INIT", err));
    if (!to->url || !*to->url) {
        return sfi_fail(err, SHARDY_CONFIG, "url is required, for example file:///data/snapshot");
    }
    if ((to->pin_ref != NULL) + (to->pin_run_id != NULL) + to->pin_by_offset > 1) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "pin_ref, pin_run_id and pin_by_offset are mutually exclusive");
    }
    if ((unsigned)to->open_mode > SHARDY_OPEN_EAGER ||
        (unsigned)to->relocate > SHARDY_RELOCATE_OFF) {
        return sfi_fail(err, SHARDY_CONFIG, "unknown open_mode %d or relocate %d",
                        (int)to->open_mode, (int)to->relocate);
    }
    return SHARDY_OK;
}

static shardy_status open_store(shardy_reader *reader, const shardy_reader_options *o,
                                struct sfi_store *store, shardy_error *err)
{
    const struct sfi_store_options options = {
        .options = o->store_options,
        .count = o->store_option_count,
        .observer = &reader->observer,
    };
    if (store) {
        reader->store = sfi_store_acquire(store);
    } else {
        SFI_RETURN_IF_ERR(sfi_store_open(o->url, &options, &reader->store, err));
    }
    if (!reader->store->ops->map) {
        return sfi_access_new(reader->store, o, &reader->observer, &reader->access, err);
    }
    return SHARDY_OK;
}

static shardy_status open_reader(shardy_reader *reader, const shardy_reader_options *o,
                                 struct sfi_store *store, shardy_error *err)
{
    sfi_observer_init(&reader->observer, o->events, o->logs);
    reader->url = sfi_strdup(o->url);
    if (!reader->url) {
        return sfi_fail_memory(err, SFI_URL_MAX_BYTES);
    }
    reader->pinned = o->pin_ref || o->pin_run_id || o->pin_by_offset;
    reader->verify_checksums = o->verify_checksums;
    reader->no_fallback = o->no_fallback;
    reader->open_mode = o->open_mode;
    reader->threads = sfi_thread_count(o->threads);
    SFI_RETURN_IF_ERR(open_store(reader, o, store, err));
    reader->relocate = o->relocate == SHARDY_RELOCATE_ON ||
                       (o->relocate == SHARDY_RELOCATE_DEFAULT && !reader->access);
    SFI_RETURN_IF_ERR(sfi_manifest_store_object(
        reader->store, o->current_name && *o->current_name ? o->current_name : SFI_CURRENT_NAME,
        reader->relocate, &reader->manifests, err));
    SFI_RETURN_IF_ERR(load_first(reader, o, &reader->current, err));
    sfi_log(&reader->observer, SHARDY_LOG_INFO, "reader", "reader_initialized",
            SFI_FIELDS(sfi_field_str("s3_prefix", reader->url),
                       sfi_field_int("num_shards", reader->current->num_dbs),
                       sfi_field_str("manifest_ref", reader->current->ref)));
    sfi_emit(&reader->observer, "reader.initialized", NULL, 0);
    return SHARDY_OK;
}

shardy_status sfi_reader_open_on(const shardy_reader_options *options, struct sfi_store *store,
                                 shardy_reader **out, shardy_error *err)
{
    shardy_reader_options known;
    *out = NULL;
    SFI_RETURN_IF_ERR(known_options(options, &known, err));
    shardy_reader *reader = sfi_calloc(1, sizeof *reader);
    if (!reader) {
        return sfi_fail_memory(err, sizeof *reader);
    }
    sfi_mutex_init(&reader->refresh_lock);
    reader->stripes = sfi_stripes_new();
    shardy_status st = reader->stripes ? open_reader(reader, &known, store, err)
                                       : sfi_fail_memory(err, sizeof *reader->stripes);
    if (st != SHARDY_OK) {
        shardy_reader_free(reader);
        return st;
    }
    *out = reader;
    return SHARDY_OK;
}

shardy_status shardy_reader_open(const shardy_reader_options *options, shardy_reader **out,
                                 shardy_error *err)
{
    return sfi_reader_open_on(options, NULL, out, err);
}

void shardy_reader_close(shardy_reader *reader)
{
    shardy_snapshot *old = NULL;
    swap_current(reader, NULL, NULL, &old);
    if (old) {
        uint32_t shards = old->num_dbs;
        sfi_snapshot_retire(old);
        sfi_log(&reader->observer, SHARDY_LOG_INFO, "reader", "reader_closed",
                SFI_FIELDS(sfi_field_str("s3_prefix", reader->url),
                           sfi_field_int("num_handles_closed", shards)));
        sfi_emit(&reader->observer, "reader.closed",
                 SFI_FIELDS(sfi_field_int("num_handles", shards)));
    }
}

void shardy_reader_free(shardy_reader *reader)
{
    if (!reader) {
        return;
    }
    if (reader->stripes) {
        shardy_reader_close(reader);
    }
    if (reader->access) {
        sfi_access_quiesce(reader->access);
    }
    sfi_manifest_store_close(reader->manifests);
    sfi_access_release(reader->access);
    sfi_store_release(reader->store);
    sfi_stripes_release(reader->stripes);
    sfi_mutex_destroy(&reader->refresh_lock);
    sfi_free(reader->url);
    sfi_free(reader);
}

/* --- refresh -----------------------------------------------------------------------------------
 */

static void report_refresh(shardy_reader *reader, const char *old_ref, const char *new_ref,
                           bool changed)
{
    if (changed) {
        sfi_log(&reader->observer, SHARDY_LOG_INFO, "reader", "reader_refreshed",
                SFI_FIELDS(sfi_field_str("old_manifest_ref", old_ref),
                           sfi_field_str("new_manifest_ref", new_ref)));
    } else {
        sfi_log(&reader->observer, SHARDY_LOG_INFO, "reader", "reader_refresh_unchanged",
                SFI_FIELDS(sfi_field_str("manifest_ref", new_ref)));
    }
    sfi_emit(&reader->observer, "reader.refreshed", SFI_FIELDS(sfi_field_bool("changed", changed)));
}

/* Load what the pointer names now, and swap it in. The caller holds a reference to `before`. */
static shardy_status follow(shardy_reader *reader, shardy_snapshot *before,
                            const struct sfi_ref *ref, bool *changed, shardy_error *err)
{
    shardy_snapshot *next = NULL;
    shardy_snapshot *old = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = load_snapshot(reader, ref, before, &next, &error);
    if (st == SHARDY_MANIFEST) {
        sfi_log(&reader->observer, SHARDY_LOG_ERROR, "reader", "reader_refresh_malformed_manifest",
                SFI_FIELDS(sfi_field_str("manifest_ref", ref->ref),
                           sfi_field_str("error", error.message)));
        report_refresh(reader, before->ref, before->ref, false);
        return SHARDY_OK;
    }
    if (st != SHARDY_OK) {
        if (err) {
            *err = error;
        }
        return st;
    }
    if (!swap_current(reader, next, before, &old)) {
        sfi_snapshot_retire(next); /* closed meanwhile */
        return closed_error(err);
    }
    sfi_snapshot_retire(old);
    *changed = true;
    report_refresh(reader, before->ref, ref->ref, true);
    return SHARDY_OK;
}

/*
 * Every publish and every rollback writes a later time than it replaces, so an earlier one is a
 * stale read: nothing follows it. One that stays was written with a slow clock, or put back by
 * hand, and is followed in the end.
 */
static bool is_stale_read(shardy_reader *reader, const shardy_snapshot *before,
                          const struct sfi_ref *ref)
{
    uint64_t now = sfi_monotonic_us();
    if (ref->published_at_us >= reader->pointer_us) {
        reader->older_since_us = 0;
        return false;
    }
    reader->older_since_us = reader->older_since_us ? reader->older_since_us : now;
    if (now - reader->older_since_us >= SFI_STALE_POINTER_MS * UINT64_C(1000)) {
        return false;
    }
    sfi_log(&reader->observer, SHARDY_LOG_WARNING, "reader", "reader_refresh_stale_pointer",
            SFI_FIELDS(sfi_field_str("manifest_ref", before->ref),
                       sfi_field_str("stale_manifest_ref", ref->ref)));
    report_refresh(reader, before->ref, before->ref, false);
    return true;
}

/* `current` follows this pointer from here on. */
static void keep_pointer(shardy_reader *reader, const struct sfi_ref *ref, const char *etag)
{
    memcpy(reader->pointer_etag, etag, sizeof reader->pointer_etag);
    reader->pointer_us = ref->published_at_us;
    reader->older_since_us = 0;
}

static shardy_status refresh(shardy_reader *reader, shardy_snapshot *before, bool *changed,
                             shardy_error *err)
{
    char etag[SFI_ETAG_SIZE];
    struct sfi_ref ref;
    bool found = false;
    bool unchanged = false;
    bool replaced = sfi_snapshot_replaced(before);
    shardy_status st = SHARDY_OK;
    memset(&ref, 0, sizeof ref);
    memcpy(etag, reader->pointer_etag, sizeof etag);
    etag[0] = replaced ? '\0' : etag[0]; /* open the same snapshot anew */
    SFI_TRY(load_pointer(reader, etag, &unchanged, &ref, &found, err));
    if (unchanged) {
        reader->older_since_us = 0;
        report_refresh(reader, before->ref, before->ref, false);
    } else if (!found) {
        sfi_log(&reader->observer, SHARDY_LOG_ERROR, "reader", "reader_refresh_current_not_found",
                SFI_FIELDS(sfi_field_str("s3_prefix", reader->url)));
        st = sfi_fail(err, SHARDY_READER_STATE, "CURRENT pointer not found below %s during refresh",
                      reader->url);
    } else if (is_stale_read(reader, before, &ref)) {
        goto out;
    } else if (strcmp(ref.ref, before->ref) == 0 && !replaced) {
        keep_pointer(reader, &ref, etag);
        report_refresh(reader, before->ref, ref.ref, false);
    } else {
        st = follow(reader, before, &ref, changed, err);
        if (*changed) {
            keep_pointer(reader, &ref, etag);
        }
    }
out:
    sfi_ref_clear(&ref);
    return st;
}

shardy_status shardy_reader_refresh(shardy_reader *reader, bool *changed, shardy_error *err)
{
    shardy_snapshot *before;
    unsigned stripe;
    *changed = false;
    sfi_mutex_lock_plain(&reader->refresh_lock);
    shardy_status st = sfi_reader_acquire(reader, &before, &stripe, err);
    if (st == SHARDY_OK) {
        if (reader->pinned) {
            report_refresh(reader, before->ref, before->ref, false); /* pinned: never moves */
        } else {
            st = refresh(reader, before, changed, err);
        }
        sfi_snapshot_unref(before, stripe);
    }
    sfi_mutex_unlock_plain(&reader->refresh_lock);
    return st;
}

/* --- descriptions ------------------------------------------------------------------------------
 */

shardy_status shardy_reader_snapshot(shardy_reader *reader, shardy_snapshot **snapshot,
                                     shardy_error *err)
{
    unsigned stripe;
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, snapshot, &stripe, err));
    /* Any thread may release a handle: count it where shardy_snapshot_release() looks. */
    sfi_snapshot_ref(*snapshot, 0);
    sfi_snapshot_unref(*snapshot, stripe);
    return SHARDY_OK;
}

shardy_status shardy_reader_info(shardy_reader *reader, shardy_snapshot_info *info,
                                 shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    memset(info, 0, sizeof *info);
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    shardy_status st = shardy_snapshot_describe(snapshot, info, err);
    sfi_snapshot_unref(snapshot, stripe);
    return st;
}

shardy_status shardy_reader_route(shardy_reader *reader, const shardy_key *key,
                                  const shardy_context *context, uint32_t *db_id, shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    *db_id = 0;
    SFI_RETURN_IF_ERR(sfi_reader_acquire(reader, &snapshot, &stripe, err));
    shardy_status st = shardy_router_route(snapshot->router, key, context, db_id, err);
    sfi_snapshot_unref(snapshot, stripe);
    return st;
}

shardy_status shardy_reader_health(shardy_reader *reader, double staleness_threshold_s,
                                   shardy_health *health, shardy_error *err)
{
    shardy_snapshot *snapshot;
    unsigned stripe;
    memset(health, 0, sizeof *health);
    if (sfi_reader_acquire(reader, &snapshot, &stripe, NULL) != SHARDY_OK) {
        health->status = "unhealthy";
        health->manifest_ref = "";
        health->is_closed = true;
        return SHARDY_OK;
    }
    char *ref = sfi_strdup(snapshot->ref);
    int64_t age_us = sfi_now_us() - snapshot->published_at_us;
    health->manifest_age_s = age_us > 0 ? (double)age_us / 1e6 : 0; /* clocks may differ */
    health->reader_age_s = (double)(sfi_monotonic_us() - snapshot->opened_us) / 1e6;
    health->num_shards = snapshot->num_dbs;
    sfi_snapshot_unref(snapshot, stripe);
    if (!ref) {
        return sfi_fail_memory(err, SFI_URL_MAX_BYTES);
    }
    bool stale = staleness_threshold_s > 0 && health->manifest_age_s > staleness_threshold_s;
    health->status = stale ? "degraded" : "healthy";
    health->manifest_ref = ref;
    health->owner = ref;
    return SHARDY_OK;
}

void shardy_health_clear(shardy_health *health)
{
    if (health) {
        sfi_free(health->owner);
        memset(health, 0, sizeof *health);
    }
}
