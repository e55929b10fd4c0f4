/*
 * sqlite_remote.c - a remote SQLite shard from the outside: created, filled, emptied, closed. What
 * is read of it, and in which order, is in sqlite_remote_open.c (opening), sqlite_remote_get.c
 * (lookups) and sqlite_remote_scan.c; the contract is remote.h.
 */
#include "shard/sqlite_remote.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>

/* Bytes copied under one hold of the lock. */
#define FILL_STEP (UINT64_C(256) << 10)
/* Sweeps after each fill that leave a shard alone while it is being opened: opening needs all of
 * its pages at once. A finite number, because nobody may come back for them. */
#define OPEN_GRACE 32u

void sfi_wants_clear(struct sfi_wants *wants)
{
    sfi_free(wants->items);
    memset(wants, 0, sizeof *wants);
}

/* Neighbours grow together; that is all the merging done here. */
shardy_status sfi_wants_add(struct sfi_wants *wants, const struct sfi_want *want, shardy_error *err)
{
    if (wants->count) {
        struct sfi_want *last = &wants->items[wants->count - 1];
        if (last->shard == want->shard && last->object == want->object && last->length &&
            last->offset + last->length == want->offset && want->length) {
            last->length += want->length;
            return SHARDY_OK;
        }
    }
    void *items = wants->items;
    if (!sfi_array_grow(&items, &wants->capacity, wants->count + 1, sizeof *wants->items)) {
        return sfi_fail_memory(err, (wants->count + 1) * sizeof *wants->items);
    }
    wants->items = items;
    wants->items[wants->count++] = *want;
    return SHARDY_OK;
}

shardy_status sfi_remote_want(struct sfi_remote *remote, uint64_t offset, uint64_t size,
                              struct sfi_wants *wants, shardy_error *err)
{
    struct sfi_want want = {.shard = &remote->tree.base, .object = SFI_REMOTE_DATABASE};
    if (!sfi_sparse_image_missing(&remote->image, offset, size, &want.offset, &want.length)) {
        return SHARDY_OK;
    }
    return sfi_wants_add(wants, &want, err);
}

shardy_status sfi_remote_want_page(struct sfi_remote *remote, uint32_t page,
                                   struct sfi_wants *wants, shardy_error *err)
{
    uint64_t at = (uint64_t)(page - 1) * remote->tree.page_size;
    return sfi_remote_want(remote, at, remote->tree.page_size, wants, err);
}

static void remote_close(struct sfi_shard_reader *shard)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    sfi_btree_free_directory(&remote->tree);
    sfi_chain_map_clear(&remote->chains);
    sfi_sparse_image_clear(&remote->image);
    sfi_sparse_image_clear(&remote->sidecar);
    pthread_rwlock_destroy(&remote->lock);
    sfi_free(remote->tree.name);
    sfi_free(remote);
}

/* Lookups and scans have functions of their own, which say what they miss. */
static const struct sfi_shard_reader_ops s_remote_ops = {.close = remote_close};

/* Writers first: a fill is what everybody else waits for. */
static shardy_status make_lock(pthread_rwlock_t *lock, shardy_error *err)
{
    pthread_rwlockattr_t attributes;
    int rc = pthread_rwlockattr_init(&attributes);
    if (!rc) {
#ifdef __GLIBC__
        (void)pthread_rwlockattr_setkind_np(&attributes,
                                            PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
        rc = pthread_rwlock_init(lock, &attributes);
        pthread_rwlockattr_destroy(&attributes);
    }
    return rc ? sfi_fail_errno(err, SHARDY_NO_MEMORY, rc, "cannot make a lock") : SHARDY_OK;
}

static void renew_lock(void *arg)
{
    struct sfi_remote *remote = arg;
    (void)!make_lock(&remote->lock, NULL);
}

static void check_process(struct sfi_remote *remote)
{
    if (atomic_load_explicit(&remote->made, memory_order_acquire) != sfi_fork_count()) {
        sfi_fork_renew(&remote->made, renew_lock, remote);
    }
}

void sfi_remote_lock(struct sfi_remote *remote)
{
    check_process(remote);
    pthread_rwlock_wrlock(&remote->lock); /* first, as in base/fork.c */
    while (!sfi_fork_try_forbid()) {
        pthread_rwlock_unlock(&remote->lock);
        sfi_fork_await();
        pthread_rwlock_wrlock(&remote->lock);
    }
}

void sfi_remote_unlock(struct sfi_remote *remote)
{
    sfi_fork_allow();
    pthread_rwlock_unlock(&remote->lock);
}

void sfi_remote_lock_shared(struct sfi_remote *remote)
{
    check_process(remote);
    pthread_rwlock_rdlock(&remote->lock);
}

void sfi_remote_unlock_shared(struct sfi_remote *remote)
{
    pthread_rwlock_unlock(&remote->lock);
}

shardy_status sfi_sqlite_remote_new(const struct sfi_remote_options *options,
                                    struct sfi_shard_reader **shard, shardy_error *err)
{
    *shard = NULL;
    if (options->size < SFI_PAGE_MIN / 8 || options->size > SIZE_MAX) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: %llu bytes cannot be a SQLite database",
                        options->name, (unsigned long long)options->size);
    }
    struct sfi_remote *remote = sfi_calloc(1, sizeof *remote);
    if (!remote) {
        return sfi_fail_memory(err, sizeof *remote);
    }
    atomic_init(&remote->made, sfi_fork_count());
    shardy_status st = make_lock(&remote->lock, err);
    if (st != SHARDY_OK) {
        sfi_free(remote);
        return st;
    }
    struct sfi_btree *tree = &remote->tree;
    tree->base.ops = &s_remote_ops;
    atomic_init(&tree->base.refs, 1);
    tree->name = sfi_strdup(options->name);
    if (!tree->name) {
        SFI_TRY(sfi_fail_memory(err, strlen(options->name)));
    }
    SFI_TRY(sfi_sparse_image_init(&remote->image, options->size, tree->name, err));
    tree->data = remote->image.data;
    tree->image.data = tree->data;
    tree->image.size = (size_t)options->size;
    uint32_t hint = options->page_size;
    if (hint >= SFI_PAGE_MIN && hint <= SFI_PAGE_MAX && !(hint & (hint - 1)) &&
        options->size % hint == 0 && options->tail_pages <= options->size / hint) {
        remote->hint_page_size = hint;
        remote->hint_tail = options->tail_pages ? options->tail_pages : 1;
    }
    remote->sidecar_state =
        options->try_sidecar && !remote->hint_page_size ? SFI_SIDECAR_WANTED : SFI_SIDECAR_NONE;
    *shard = &tree->base;
out:
    if (st != SHARDY_OK) {
        remote_close(&tree->base);
    }
    return st;
}

/* Does what arrived belong to the object that the rest came from? */
static shardy_status check_version(struct sfi_remote *remote, uint64_t size, const char *etag,
                                   shardy_error *err)
{
    const char *name = remote->tree.name;
    bool differs = remote->etag_known && *remote->etag && *etag && strcmp(remote->etag, etag) != 0;
    if (differs || (remote->etag_known && size != remote->image.size)) {
        return sfi_fail(err, SHARDY_CONFLICT,
                        "%s: the object was replaced while it was read (ETag %s, %llu bytes, now "
                        "%s, %llu bytes); refresh the reader",
                        name, remote->etag, (unsigned long long)remote->image.size, etag,
                        (unsigned long long)size);
    }
    if (size != remote->image.size) {
        return sfi_fail(err, SHARDY_CORRUPT,
                        "%s: object has %llu bytes, its manifest says %llu; it was replaced or cut "
                        "off: refresh the reader or publish a new snapshot",
                        name, (unsigned long long)size, (unsigned long long)remote->image.size);
    }
    if (!remote->etag_known || !*remote->etag) {
        snprintf(remote->etag, sizeof remote->etag, "%s", etag);
        remote->etag_known = true;
    }
    return SHARDY_OK;
}

static void drop_sidecar(struct sfi_remote *remote)
{
    sfi_sparse_image_clear(&remote->sidecar);
    if (remote->sidecar_state == SFI_SIDECAR_WANTED) {
        remote->sidecar_state = SFI_SIDECAR_NONE;
    }
}

/* Pieces of the sidecar gather in an image of their own. Whatever is wrong with them means: none.
 */
static void fill_sidecar(struct sfi_remote *remote, uint64_t offset, struct sfi_bytes bytes,
                         uint64_t size, const char *etag)
{
    if (remote->sidecar_state != SFI_SIDECAR_WANTED) {
        return;
    }
    if (!remote->sidecar.data) {
        if (size == 0 || size > SFI_REMOTE_SIDECAR_MAX ||
            sfi_sparse_image_init(&remote->sidecar, size, remote->tree.name, NULL) != SHARDY_OK) {
            drop_sidecar(remote);
            return;
        }
        snprintf(remote->sidecar_etag, sizeof remote->sidecar_etag, "%s", etag);
    }
    if (size != remote->sidecar.size || strcmp(remote->sidecar_etag, etag) != 0) {
        drop_sidecar(remote);
        return;
    }
    (void)sfi_sparse_image_fill(&remote->sidecar, offset, bytes, 0);
}

shardy_status sfi_remote_fill(struct sfi_shard_reader *shard, enum sfi_remote_object object,
                              uint64_t offset, struct sfi_bytes bytes, uint64_t size,
                              const char *etag, uint64_t *added, shardy_error *err)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    shardy_status st = SHARDY_OK;
    *added = 0;
    if (offset % SFI_GRANULE) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: bytes at %llu are not aligned", remote->tree.name,
                        (unsigned long long)offset);
    }
    if (object == SFI_REMOTE_SIDECAR) {
        sfi_remote_lock(remote);
        fill_sidecar(remote, offset, bytes, size, etag);
        sfi_remote_unlock(remote);
        return SHARDY_OK;
    }
    for (size_t at = 0; st == SHARDY_OK; at += FILL_STEP) {
        struct sfi_bytes part = {bytes.data + at, bytes.size - at};
        part.size = part.size < FILL_STEP ? part.size : FILL_STEP;
        sfi_remote_lock(remote);
        st = check_version(remote, size, etag, err);
        if (st == SHARDY_OK) {
            *added += sfi_sparse_image_fill(&remote->image, offset + at, part, 0);
            remote->grace = OPEN_GRACE;
        }
        sfi_remote_unlock(remote);
        if (bytes.size - at <= FILL_STEP) {
            break;
        }
    }
    atomic_fetch_add_explicit(&remote->filled, *added, memory_order_relaxed);
    return st;
}

void sfi_remote_no_sidecar(struct sfi_shard_reader *shard)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    sfi_remote_lock(remote);
    drop_sidecar(remote);
    sfi_remote_unlock(remote);
}

void sfi_remote_etag(struct sfi_shard_reader *shard, char *etag)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    sfi_remote_lock_shared(remote);
    memcpy(etag, remote->etag, sizeof remote->etag);
    sfi_remote_unlock_shared(remote);
}

uint64_t sfi_remote_evict(struct sfi_shard_reader *shard, uint64_t bytes)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    uint64_t freed = 0;
    sfi_remote_lock(remote);
    bool opening = remote->phase == SFI_REMOTE_OPENING ||
                   (remote->phase == SFI_REMOTE_DESCEND && remote->need_directory);
    if (opening && remote->grace) {
        remote->grace--;
    } else {
        freed = sfi_sparse_image_sweep(&remote->image, bytes);
    }
    sfi_remote_unlock(remote);
    return freed;
}

uint64_t sfi_remote_resident(struct sfi_shard_reader *shard)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    return atomic_load_explicit(&remote->image.resident, memory_order_relaxed);
}
