/*
 * sqlite_remote_get.c - point lookups in remote shards: each is walked as far as what is resident
 * allows, and says what it misses. Between two waves a lookup that got further than its beginning
 * keeps its walk at the end of the block that becomes its value.
 */
#include "base/memory.h"
#include "shard/sqlite_remote.h"

/* Shards found unready in one call: their wants are appended once. */
#define UNREADY_SLOTS 64u

/* One call of advance: the shard whose lock is held, and what was learned of others. */
struct session {
    struct sfi_remote *held;
    struct sfi_remote *unready[UNREADY_SLOTS];
    struct sfi_wants *wants;
};

static void load_walk(const struct sfi_lookup *lookup, struct sfi_walk *walk)
{
    memcpy(walk, lookup->copy + lookup->value_size, sizeof *walk);
}

static void forget_walk(struct sfi_lookup *lookup)
{
    sfi_free(lookup->copy);
    lookup->copy = NULL;
    lookup->value_size = 0;
}

static shardy_status keep_walk(struct sfi_lookup *lookup, const struct sfi_walk *walk,
                               shardy_error *err)
{
    if (!walk->kept) {
        forget_walk(lookup);
        return SHARDY_OK;
    }
    if (!lookup->copy) {
        lookup->copy = sfi_malloc(sizeof *walk);
        lookup->value_size = 0;
        if (!lookup->copy) {
            return sfi_fail_memory(err, sizeof *walk);
        }
    }
    memcpy(lookup->copy + lookup->value_size, walk, sizeof *walk);
    return SHARDY_OK;
}

static void finish(struct sfi_lookup *lookup, bool present)
{
    if (!present) {
        forget_walk(lookup);
    }
    lookup->value = lookup->copy;
    lookup->finished = true;
}

/* The row is found: room for its value, and the part that lies in the page. */
static shardy_status begin_value(struct sfi_remote *remote, struct sfi_lookup *lookup,
                                 struct sfi_walk *walk, bool in_page, shardy_error *err)
{
    const struct sfi_cell *cell = &walk->cell;
    uint64_t from = cell->header + cell->key_size;
    uint32_t owner = walk->page;
    bool chained = cell->local < cell->size;
    forget_walk(lookup);
    lookup->copy = sfi_malloc((size_t)cell->value_size + (chained ? sizeof *walk : 0));
    if (!lookup->copy) {
        return sfi_fail_memory(err, (size_t)cell->value_size);
    }
    lookup->value_size = cell->value_size;
    walk->copied = 0;
    if (in_page && from < cell->local) {
        walk->copied = cell->local - from;
        memcpy(lookup->copy, cell->payload + from, (size_t)walk->copied);
    }
    if (chained) {
        if (walk->mode == SFI_WALK_TIES) {
            const struct sfi_btree *tree = &remote->tree;
            owner = (uint32_t)(tree->cells[walk->pos] / tree->page_size) + 1;
        }
        sfi_remote_chain_start(remote, cell, owner, &walk->chain);
    }
    walk->step = SFI_STEP_VALUE;
    walk->kept = true;
    return SHARDY_OK;
}

/* Copy what there is of the value; *missing when that is not all of it. */
static shardy_status copy_value(struct sfi_remote *remote, struct sfi_lookup *lookup,
                                struct sfi_walk *walk, bool *missing, struct sfi_wants *wants,
                                shardy_error *err)
{
    const struct sfi_cell *cell = &walk->cell;
    struct sfi_remote_chain *chain = &walk->chain;
    uint64_t from = cell->header + cell->key_size;
    *missing = false;
    while (walk->copied < cell->value_size) {
        struct sfi_bytes part;
        SFI_RETURN_IF_ERR(
            sfi_remote_chain_take(remote, chain, cell->size, &part, missing, wants, err));
        if (*missing) {
            return SHARDY_OK;
        }
        uint64_t start = chain->at - part.size; /* payload position of the part */
        uint64_t want = from + walk->copied;
        if (want < chain->at) {
            size_t skip = (size_t)(want - start);
            memcpy(lookup->copy + walk->copied, part.data + skip, part.size - skip);
            walk->copied += part.size - skip;
        }
    }
    return SHARDY_OK;
}

/* Whether a walk begun before must begin again: its leaf may have been chosen by a sidecar that was
 * found wrong since, or it lies in a directory that is gone. */
static bool is_stale(const struct sfi_remote *remote, const struct sfi_walk *walk)
{
    return walk->trust != remote->trust ||
           (walk->mode == SFI_WALK_TIES && walk->step != SFI_STEP_VALUE &&
            walk->generation != remote->generation);
}

/* Take one lookup further, the shard's lock being held. */
static shardy_status walk_lookup(struct sfi_remote *remote, struct sfi_lookup *lookup,
                                 struct sfi_wants *wants, shardy_error *err)
{
    struct sfi_bytes key = {lookup->key, lookup->key_size};
    struct sfi_walk walk;
    enum sfi_walk_result result = SFI_WALK_FOUND;
    bool in_page = false;
    bool missing = false;
    if (lookup->copy) {
        load_walk(lookup, &walk);
    }
    if (!lookup->copy || is_stale(remote, &walk)) {
        forget_walk(lookup);
        sfi_walk_start(remote, key, lookup->prefix, &walk);
    }
    if (walk.step != SFI_STEP_VALUE) {
        SFI_RETURN_IF_ERR(sfi_walk_search(remote, &walk, key, wants, &result, &in_page, err));
        if (result == SFI_WALK_ABSENT) {
            finish(lookup, false);
            return SHARDY_OK;
        }
        if (result == SFI_WALK_MISSING) {
            return keep_walk(lookup, &walk, err);
        }
        SFI_RETURN_IF_ERR(begin_value(remote, lookup, &walk, in_page, err));
    }
    SFI_RETURN_IF_ERR(copy_value(remote, lookup, &walk, &missing, wants, err));
    if (missing) {
        return keep_walk(lookup, &walk, err);
    }
    finish(lookup, true);
    return SHARDY_OK;
}

/* Let go of the held shard; one that is read from its root may have become ready for better. */
static void let_go(struct session *session)
{
    struct sfi_remote *remote = session->held;
    if (!remote) {
        return;
    }
    bool again = remote->phase == SFI_REMOTE_DESCEND &&
                 atomic_load_explicit(&remote->leaf_depth, memory_order_relaxed) > 0 &&
                 atomic_load_explicit(&remote->filled, memory_order_relaxed) >= remote->try_at;
    sfi_remote_unlock_shared(remote);
    session->held = NULL;
    if (again) {
        sfi_remote_lock(remote);
        sfi_remote_try_directory(remote);
        sfi_remote_unlock(remote);
    }
}

/* Hold the shard's lock shared, if it can be read by now. */
static shardy_status hold(struct session *session, struct sfi_remote *remote, bool *ready,
                          shardy_error *err)
{
    struct sfi_remote **slot = &session->unready[(uintptr_t)remote / 64 % UNREADY_SLOTS];
    *ready = session->held == remote;
    if (*ready || *slot == remote) {
        return SHARDY_OK;
    }
    for (bool opened = true; opened;) {
        let_go(session);
        sfi_remote_lock_shared(remote);
        if (remote->phase != SFI_REMOTE_OPENING) {
            session->held = remote;
            *ready = true;
            return SHARDY_OK;
        }
        sfi_remote_unlock_shared(remote);
        /* Between opening and holding somebody may distrust the sidecar or add a level: again. */
        SFI_RETURN_IF_ERR(sfi_remote_prepare(&remote->tree.base, session->wants, &opened, err));
    }
    *slot = remote;
    return SHARDY_OK;
}

static shardy_status advance_one(struct session *session, struct sfi_lookup *lookup,
                                 shardy_error *err)
{
    struct sfi_remote *remote = sfi_remote_of(lookup->shard);
    bool ready;
    SFI_RETURN_IF_ERR(hold(session, remote, &ready, err));
    if (!ready) {
        return SHARDY_OK;
    }
    shardy_status st = walk_lookup(remote, lookup, session->wants, err);
    if (st != SHARDY_OK) {
        forget_walk(lookup);
    }
    if (st != SHARDY_CORRUPT || remote->sidecar_state != SFI_SIDECAR_USED) {
        return st;
    }
    /* The damage may be the sidecar's: once more, from the file itself. */
    let_go(session);
    sfi_remote_lock(remote);
    (void)sfi_remote_distrust(remote);
    sfi_remote_unlock(remote);
    SFI_RETURN_IF_ERR(hold(session, remote, &ready, err));
    return ready ? walk_lookup(remote, lookup, session->wants, err) : SHARDY_OK;
}

shardy_status sfi_remote_advance(struct sfi_lookup *lookups, size_t count, struct sfi_wants *wants,
                                 size_t *failed, shardy_error *err)
{
    struct session session = {.wants = wants};
    shardy_status st = SHARDY_OK;
    *failed = 0;
    for (size_t i = 0; i < count && st == SHARDY_OK; i++) {
        struct sfi_lookup *lookup = &lookups[i];
        if (lookup->finished) {
            continue;
        }
        if (!lookup->shard) {
            finish(lookup, false);
            continue;
        }
        st = advance_one(&session, lookup, err);
        if (st != SHARDY_OK) {
            forget_walk(lookup);
            *failed = i;
        }
    }
    let_go(&session);
    return st;
}
