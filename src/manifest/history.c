/*
 * history.c - the public list of published manifests, and release of snapshot descriptions.
 */
#include "manifest/manifest_internal.h"

#include "base/memory.h"
#include "base/options.h"

#include <stddef.h>

#define DEFAULT_LIMIT 10

/* What shardy_history.owner points to; the items follow. */
struct owner {
    struct sfi_ref *refs;
    size_t ref_count;
    shardy_manifest_ref items[];
};

static void fill(struct owner *owner, const struct sfi_ref *current, bool found, const char *run_id,
                 size_t limit, shardy_history *history)
{
    size_t n = 0;
    for (size_t i = 0; i < owner->ref_count && n < limit; i++) {
        const struct sfi_ref *ref = &owner->refs[i];
        if (!run_id || strcmp(run_id, ref->run_id) == 0) {
            owner->items[n].ref = ref->ref;
            owner->items[n].run_id = ref->run_id;
            owner->items[n].published_at_us = ref->published_at_us;
            owner->items[n].is_current = found && strcmp(current->ref, ref->ref) == 0;
            n++;
        }
    }
    history->items = owner->items;
    history->count = n;
    history->owner = owner;
}

static shardy_status load(struct sfi_manifest_store *store, const shardy_history_options *options,
                          shardy_history *history, shardy_error *err)
{
    struct sfi_ref current;
    struct sfi_ref *refs;
    size_t count;
    bool found;
    size_t limit = options->limit ? options->limit : DEFAULT_LIMIT;
    SFI_RETURN_IF_ERR(
        store->ops->list(store, options->run_id ? SIZE_MAX : limit, &refs, &count, err));
    struct owner *owner = sfi_calloc(1, sizeof *owner + count * sizeof owner->items[0]);
    if (!owner) {
        sfi_refs_clear(refs, count);
        return sfi_fail_memory(err, count * sizeof owner->items[0]);
    }
    owner->refs = refs;
    owner->ref_count = count;
    if (store->ops->load_current(store, &current, &found, NULL) != SHARDY_OK) {
        found = false;
    }
    fill(owner, &current, found, options->run_id, limit, history);
    if (found) {
        sfi_ref_clear(&current);
    }
    return SHARDY_OK;
}

/* Only the bytes that the caller's version of the struct has are read. */
static shardy_status take_options(const shardy_history_options *from, shardy_history_options *to,
                                  shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_options_take(from, offsetof(shardy_history_options, current_name), to,
                                       sizeof *to, "SHARDY_HISTORY_OPTIONS_INIT", err));
    return to->url ? SHARDY_OK : sfi_fail(err, SHARDY_CONFIG, "history options: url is missing");
}

shardy_status shardy_history_load(const shardy_history_options *options, shardy_history *history,
                                  shardy_error *err)
{
    shardy_history_options own;
    struct sfi_store *store = NULL;
    struct sfi_manifest_store *manifests = NULL;
    struct sfi_observer observer;
    struct sfi_store_options how = {.observer = &observer};
    shardy_status st;
    memset(history, 0, sizeof *history);
    SFI_RETURN_IF_ERR(take_options(options, &own, err));
    sfi_observer_init(&observer, own.events, NULL);
    how.options = own.store_options;
    how.count = own.store_option_count;
    SFI_TRY(sfi_store_open(own.url, &how, &store, err));
    SFI_TRY(sfi_manifest_store_object(store, own.current_name, true, &manifests, err));
    SFI_TRY(load(manifests, &own, history, err));
out:
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
    return st;
}

void shardy_history_clear(shardy_history *history)
{
    if (history) {
        struct owner *owner = history->owner;
        if (owner) {
            sfi_refs_clear(owner->refs, owner->ref_count);
            sfi_free(owner);
        }
        memset(history, 0, sizeof *history);
    }
}

void shardy_snapshot_info_clear(shardy_snapshot_info *info)
{
    if (info) {
        sfi_free(info->owner);
        memset(info, 0, sizeof *info);
    }
}
