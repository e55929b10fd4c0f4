/*
 * access.c - the life of what a reader needs on a remote store, and what manifest entries tell
 * about reading shards from afar. Which shard is read how is slots.c.
 */
#include "reader/access.h"

#include "base/json.h"
#include "base/memory.h"

static shardy_status set_policy(struct sfi_access *access, const shardy_reader_options *o,
                                shardy_error *err)
{
    if ((unsigned)o->access > SHARDY_ACCESS_RANGE) {
        return sfi_fail(err, SHARDY_CONFIG, "unknown access %d", (int)o->access);
    }
    access->mode = o->access;
    access->auto_shard_bytes = o->auto_shard_bytes ? o->auto_shard_bytes : SFI_AUTO_SHARD_DEFAULT;
    access->auto_total_bytes = o->auto_total_bytes ? o->auto_total_bytes : SFI_AUTO_TOTAL_DEFAULT;
    return SHARDY_OK;
}

shardy_status sfi_access_new(struct sfi_store *store, const shardy_reader_options *o,
                             const struct sfi_observer *observer, struct sfi_access **out,
                             shardy_error *err)
{
    struct sfi_access *access = sfi_calloc(1, sizeof *access);
    uint64_t budget = o->page_cache_bytes ? o->page_cache_bytes : SFI_PAGE_CACHE_DEFAULT;
    *out = NULL;
    if (!access) {
        return sfi_fail_memory(err, sizeof *access);
    }
    atomic_init(&access->users, 1);
    access->store = sfi_store_acquire(store);
    sfi_fetcher_init(&access->fetcher, store, budget < INT64_MAX ? (int64_t)budget : INT64_MAX);
    sfi_opener_init(&access->opener);
    sfi_mutex_init(&access->lock);
    pthread_cond_init(&access->idle, NULL);
    shardy_status st = set_policy(access, o, err);
    if (st == SHARDY_OK && access->mode != SHARDY_ACCESS_RANGE) {
        const struct sfi_download_options downloads = {
            .root = o->local_root, .cache_bytes = o->cache_bytes, .observer = observer};
        st = sfi_download_cache_new(&downloads, &access->downloads, err);
    }
    if (st != SHARDY_OK) {
        sfi_access_release(access);
        return st;
    }
    *out = access;
    return SHARDY_OK;
}

struct sfi_access *sfi_access_acquire(struct sfi_access *access)
{
    atomic_fetch_add_explicit(&access->users, 1, memory_order_relaxed);
    return access;
}

/* Operations that a parent began do not end in its child. */
static void lock_access(struct sfi_access *access)
{
    if (sfi_mutex_lock(&access->lock)) {
        access->operations = 0;
        pthread_cond_init(&access->idle, NULL);
    }
}

void sfi_access_release(struct sfi_access *access)
{
    if (!access || atomic_fetch_sub_explicit(&access->users, 1, memory_order_acq_rel) != 1) {
        return;
    }
    lock_access(access);
    sfi_mutex_unlock(&access->lock);
    sfi_fetcher_drain(&access->fetcher);
    sfi_opener_destroy(&access->opener);
    sfi_fetcher_destroy(&access->fetcher);
    sfi_download_cache_free(access->downloads);
    sfi_store_release(access->store);
    sfi_mutex_destroy(&access->lock);
    pthread_cond_destroy(&access->idle);
    sfi_free(access);
}

void sfi_access_begin(struct sfi_access *access)
{
    lock_access(access);
    access->operations++;
    sfi_mutex_unlock(&access->lock);
}

void sfi_access_end(struct sfi_access *access)
{
    lock_access(access);
    if (access->operations && --access->operations == 0) {
        pthread_cond_broadcast(&access->idle);
    }
    sfi_mutex_unlock(&access->lock);
}

void sfi_access_quiesce(struct sfi_access *access)
{
    lock_access(access);
    while (access->operations) {
        sfi_mutex_wait(&access->lock, &access->idle);
    }
    sfi_mutex_unlock(&access->lock);
    sfi_fetcher_drain(&access->fetcher);
    sfi_opener_stop(&access->opener);
}

/* A whole number from 1 to `max`, or 0: notes are hints. */
static uint32_t hint(const struct sfi_json *notes, const char *name, uint64_t max)
{
    bool negative = false;
    uint64_t number = 0;
    const struct sfi_json *value = sfi_json_member(notes, name);
    if (!value || value->kind != SFI_JSON_NUMBER || !sfi_json_integer(value, &negative, &number) ||
        negative || number > max) {
        return 0;
    }
    return (uint32_t)number;
}

shardy_status sfi_shard_notes(const shardy_shard_info *info, struct sfi_shard_notes *notes,
                              shardy_error *err)
{
    struct sfi_json_doc doc = {0};
    struct sfi_bytes text = {(const uint8_t *)info->writer_info, strlen(info->writer_info)};
    memset(notes, 0, sizeof *notes);
    shardy_status st = sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err);
    if (st != SHARDY_OK) { /* free text of another writer */
        return st == SHARDY_NO_MEMORY ? st : SHARDY_OK;
    }
    notes->page_size = hint(doc.root, "page_size", SFI_PAGE_MAX);
    notes->tail_pages = hint(doc.root, "tail_pages", UINT32_MAX);
    const struct sfi_json *recorded = sfi_json_member(doc.root, "checksum");
    if (recorded && recorded->kind == SFI_JSON_STRING &&
        recorded->text.size < sizeof notes->checksum) {
        memcpy(notes->checksum, recorded->text.data, recorded->text.size);
    }
    sfi_json_clear(&doc);
    return SHARDY_OK;
}
