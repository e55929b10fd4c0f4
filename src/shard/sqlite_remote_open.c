/*
 * sqlite_remote_open.c - opening a remote shard: the first page and, by what the manifest hints,
 * the tail or the sidecar in the same wave; then the leaf directory, as soon as all interior pages
 * are there. Hints only say what to fetch first. What they leave out is fetched level by level, or
 * lookups go down from the root when that would be too many requests.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sqlite_remote.h"

#include <stdlib.h>

/* First request of a shard about which nothing is known: one page of the largest size. */
#define HEAD_BYTES SFI_PAGE_MAX
/* Guess at the interior pages of our own files: 1/32 of the file, within these bounds. */
#define TAIL_SHARE 32u
#define TAIL_MIN   (UINT64_C(64) << 10)
#define TAIL_MAX   (UINT64_C(1) << 20)

/* A gate that remembers the pages it did not let through. */
struct gate {
    struct sfi_page_gate base;
    struct sfi_remote *remote;
    uint32_t *pages;
    size_t count;
    size_t capacity;
    bool no_memory;
};

static bool gate_peek(struct sfi_page_gate *base, uint32_t page)
{
    const struct gate *gate = (const struct gate *)base;
    return sfi_remote_has(gate->remote, page, 0);
}

static bool gate_has(struct sfi_page_gate *base, uint32_t page)
{
    struct gate *gate = (struct gate *)base;
    if (sfi_remote_has(gate->remote, page, SFI_USE_INTERIOR)) {
        return true;
    }
    base->missing++;
    void *pages = gate->pages;
    if (!sfi_array_grow(&pages, &gate->capacity, gate->count + 1, sizeof *gate->pages)) {
        gate->no_memory = true;
        return false;
    }
    gate->pages = pages;
    gate->pages[gate->count++] = page;
    return false;
}

static int compare_pages(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* Requests that the missing pages take; sorts them. */
static size_t count_runs(struct gate *gate)
{
    size_t runs = gate->count ? 1 : 0;
    if (gate->count) {
        qsort(gate->pages, gate->count, sizeof *gate->pages, compare_pages);
    }
    for (size_t i = 1; i < gate->count; i++) {
        runs += gate->pages[i] != gate->pages[i - 1] + 1;
    }
    return runs;
}

static shardy_status want_gate(struct gate *gate, struct sfi_wants *wants, shardy_error *err)
{
    if (gate->no_memory) {
        return sfi_fail_memory(err, gate->capacity * sizeof *gate->pages);
    }
    for (size_t i = 0; i < gate->count; i++) {
        SFI_RETURN_IF_ERR(sfi_remote_want_page(gate->remote, gate->pages[i], wants, err));
    }
    return SHARDY_OK;
}

/* Leftmost child of a resident interior page. */
static shardy_status first_child(const struct sfi_btree *tree, uint32_t number, uint32_t *child,
                                 shardy_error *err)
{
    const uint8_t *page = sfi_btree_page(tree, number);
    uint32_t at = sfi_get_u16be(page + SFI_INTERIOR_HEADER);
    if (page[0] != SFI_PAGE_INDEX_INTERIOR) {
        return sfi_btree_damage(tree, number, page,
                                "not a page of an index b-tree; kv must be WITHOUT ROWID", err);
    }
    if (sfi_get_u16be(page + 3) == 0 || at < SFI_INTERIOR_HEADER || at + 4 > tree->usable) {
        return sfi_btree_damage(tree, number, page + SFI_INTERIOR_HEADER,
                                "cell pointer leads outside the cell area", err);
    }
    *child = sfi_get_u32be(page + at);
    if (*child < 2 || *child > tree->page_count) {
        return sfi_btree_damage(tree, number, page + at, "child page is outside the file", err);
    }
    return SHARDY_OK;
}

/*
 * Depth of the leaves. Where the leftmost path leaves what is resident, leaves begin if a hint or
 * a sidecar brought the interior pages; otherwise that page is missing.
 */
static shardy_status guess_depth(struct gate *gate, bool trust, unsigned *depth, shardy_error *err)
{
    struct sfi_remote *remote = gate->remote;
    const struct sfi_btree *tree = &remote->tree;
    uint32_t number = tree->root;
    unsigned seen = atomic_load_explicit(&remote->leaf_depth, memory_order_relaxed);
    for (*depth = 0; *depth < SFI_BTREE_MAX_DEPTH; (*depth)++) {
        if (number < 2 || number > tree->page_count) {
            return sfi_fail(err, SHARDY_CORRUPT, "%s: page %u is outside the file of %u pages",
                            tree->name, number, tree->page_count);
        }
        if (!gate_peek(&gate->base, number)) {
            if (seen > *depth) {
                *depth = seen;
            } else if (!trust || *depth == 0 || *depth < remote->min_leaf_depth) {
                (void)gate_has(&gate->base, number);
            }
            return SHARDY_OK;
        }
        if (*sfi_btree_page(tree, number) == SFI_PAGE_INDEX_LEAF) {
            return SHARDY_OK;
        }
        SFI_RETURN_IF_ERR(first_child(tree, number, &number, err));
    }
    return sfi_btree_damage(tree, tree->root, NULL, "b-tree is too deep or has a cycle", err);
}

/* The directory, complete, or the pages it needs in the gate. */
static shardy_status load_directory(struct gate *gate, bool trust, shardy_error *err)
{
    struct sfi_remote *remote = gate->remote;
    shardy_status st = SHARDY_OK;
    for (unsigned tries = 0; tries <= SFI_BTREE_MAX_DEPTH; tries++) {
        unsigned depth;
        SFI_RETURN_IF_ERR(guess_depth(gate, trust, &depth, err));
        if (gate->base.missing) {
            return SHARDY_OK;
        }
        gate->base.too_shallow = false;
        st = sfi_btree_load_levels(&remote->tree, depth, &gate->base, err);
        if (st == SHARDY_OK && !gate->base.missing && !gate->base.too_shallow) {
            remote->phase = SFI_REMOTE_READY;
            remote->directory_depth = depth;
            remote->generation++;
            return SHARDY_OK;
        }
        sfi_btree_free_directory(&remote->tree);
        if (st != SHARDY_OK || !gate->base.too_shallow) {
            return st;
        }
        remote->min_leaf_depth = depth + 1;
    }
    return sfi_btree_damage(&remote->tree, remote->tree.root, NULL,
                            "b-tree is too deep or has a cycle", err);
}

static struct gate make_gate(struct sfi_remote *remote)
{
    struct gate gate = {.base = {.has = gate_has, .peek = gate_peek}, .remote = remote};
    return gate;
}

/* Header and first page; in the same wave whatever the manifest promises. */
static shardy_status open_head(struct sfi_remote *remote, struct sfi_wants *wants, bool *done,
                               shardy_error *err)
{
    uint64_t size = remote->image.size;
    uint64_t head = remote->hint_page_size ? remote->hint_page_size : HEAD_BYTES;
    bool small = size <= SFI_REMOTE_WHOLE_MAX && !remote->hint_page_size;
    uint64_t length = small ? size : head < size ? head : size;
    *done = remote->header_known || sfi_sparse_image_has(&remote->image, 0, length, SFI_USE_LEAF);
    if (*done) {
        return SHARDY_OK;
    }
    if (small && remote->sidecar_state == SFI_SIDECAR_WANTED) {
        remote->sidecar_state = SFI_SIDECAR_NONE;
    }
    SFI_RETURN_IF_ERR(sfi_remote_want(remote, 0, length, wants, err));
    if (remote->hint_page_size) {
        uint64_t tail = (uint64_t)remote->hint_tail * remote->hint_page_size;
        SFI_RETURN_IF_ERR(sfi_remote_want(remote, size - tail, tail, wants, err));
    }
    return SHARDY_OK;
}

/* What is missing of the sidecar; its first piece tells how large it is. */
static shardy_status want_sidecar(struct sfi_remote *remote, struct sfi_wants *wants, bool *done,
                                  shardy_error *err)
{
    struct sfi_want want = {.shard = &remote->tree.base,
                            .object = SFI_REMOTE_SIDECAR,
                            .length = SFI_REMOTE_SIDECAR_FIRST};
    *done = remote->sidecar_state != SFI_SIDECAR_WANTED;
    if (*done || (remote->sidecar.data &&
                  !sfi_sparse_image_missing(&remote->sidecar, 0, remote->sidecar.size, &want.offset,
                                            &want.length))) {
        *done = true;
        return SHARDY_OK;
    }
    return sfi_wants_add(wants, &want, err);
}

/* Geometry, page 1 being there. */
static shardy_status open_header(struct sfi_remote *remote, shardy_error *err)
{
    if (!remote->header_known) {
        SFI_RETURN_IF_ERR(sfi_btree_open_header(&remote->tree, err));
        remote->header_known = true;
        if (remote->tree.page_size != remote->hint_page_size) {
            remote->hint_page_size = 0;
        }
    }
    return SHARDY_OK;
}

/* Root of kv out of the schema table. */
static shardy_status open_root(struct sfi_remote *remote, struct sfi_wants *wants, bool *done,
                               shardy_error *err)
{
    struct sfi_btree *tree = &remote->tree;
    struct gate gate = make_gate(remote);
    shardy_status st = SHARDY_OK;
    *done = tree->root != 0;
    if (*done) {
        return SHARDY_OK;
    }
    SFI_TRY(sfi_btree_find_root(tree, &gate.base, err));
    SFI_TRY(want_gate(&gate, wants, err));
    *done = gate.base.missing == 0;
out:
    sfi_free(gate.pages);
    return st;
}

/* Our own layout without its hint: interior pages are the last ones of the file. */
static shardy_status guess_tail(struct sfi_remote *remote, struct sfi_wants *wants,
                                shardy_error *err)
{
    uint64_t size = remote->image.size;
    uint64_t tail = size / TAIL_SHARE;
    tail = tail < TAIL_MIN ? TAIL_MIN : tail > TAIL_MAX ? TAIL_MAX : tail;
    tail = tail < size ? tail : size;
    tail -= (size - tail) % SFI_GRANULE ? SFI_GRANULE - (size - tail) % SFI_GRANULE : 0;
    remote->tail_guessed = true;
    return sfi_remote_want(remote, size - tail, tail, wants, err);
}

/* Level by level takes as many waves as there are levels, unless eviction is faster. */
static bool too_many_waves(struct sfi_remote *remote)
{
    uint64_t filled = atomic_load_explicit(&remote->filled, memory_order_relaxed);
    if (filled != remote->opened_at) {
        remote->opened_at = filled;
        remote->open_waves++;
    }
    return remote->open_waves > SFI_BTREE_MAX_DEPTH;
}

static shardy_status open_directory(struct sfi_remote *remote, struct sfi_wants *wants,
                                    shardy_error *err)
{
    struct gate gate = make_gate(remote);
    struct sfi_btree *tree = &remote->tree;
    shardy_status st = SHARDY_OK;
    bool promised =
        remote->hint_page_size || remote->sidecar_state == SFI_SIDECAR_USED || tree->ours;
    if (tree->ours && !remote->hint_page_size && !remote->tail_guessed &&
        remote->sidecar_state == SFI_SIDECAR_NONE) {
        size_t before = wants->count;
        SFI_RETURN_IF_ERR(guess_tail(remote, wants, err));
        if (wants->count != before) {
            return SHARDY_OK;
        }
    }
    if (!promised && !remote->need_directory && remote->image.size > SFI_REMOTE_WHOLE_MAX) {
        remote->phase = SFI_REMOTE_DESCEND;
        return SHARDY_OK;
    }
    SFI_TRY(load_directory(&gate, promised, err));
    if (!gate.base.missing) {
        goto out;
    }
    size_t runs = count_runs(&gate);
    if (!remote->need_directory && (runs > SFI_REMOTE_OPEN_RUNS_MAX || too_many_waves(remote))) {
        remote->phase = SFI_REMOTE_DESCEND;
        goto out;
    }
    SFI_TRY(want_gate(&gate, wants, err));
out:
    sfi_free(gate.pages);
    return st;
}

static shardy_status open_once(struct sfi_remote *remote, struct sfi_wants *wants,
                               shardy_error *err)
{
    bool head;
    bool sidecar;
    bool done;
    if (remote->phase == SFI_REMOTE_DESCEND) {
        return open_directory(remote, wants, err);
    }
    SFI_RETURN_IF_ERR(open_head(remote, wants, &head, err));
    SFI_RETURN_IF_ERR(want_sidecar(remote, wants, &sidecar, err));
    if (!head || !sidecar) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(open_header(remote, err));
    if (remote->sidecar_state == SFI_SIDECAR_WANTED) {
        SFI_RETURN_IF_ERR(sfi_remote_use_sidecar(remote, err));
    }
    SFI_RETURN_IF_ERR(open_root(remote, wants, &done, err));
    return done ? open_directory(remote, wants, err) : SHARDY_OK;
}

shardy_status sfi_remote_open_step(struct sfi_remote *remote, struct sfi_wants *wants,
                                   shardy_error *err)
{
    size_t before = wants->count;
    shardy_status st = open_once(remote, wants, err);
    if (st == SHARDY_CORRUPT && sfi_remote_distrust(remote)) {
        wants->count = before;
        st = open_once(remote, wants, err);
    }
    return st;
}

void sfi_remote_deepen(struct sfi_remote *remote)
{
    if (remote->phase == SFI_REMOTE_READY) {
        remote->min_leaf_depth = remote->directory_depth + 1;
        sfi_btree_free_directory(&remote->tree);
        remote->phase = SFI_REMOTE_OPENING;
        remote->generation++;
    }
}

void sfi_remote_try_directory(struct sfi_remote *remote)
{
    struct gate gate = make_gate(remote);
    uint64_t filled = atomic_load_explicit(&remote->filled, memory_order_relaxed);
    if (remote->phase == SFI_REMOTE_DESCEND && filled >= remote->try_at) {
        remote->try_at = 2 * filled;
        (void)load_directory(&gate, false, NULL);
        sfi_free(gate.pages);
    }
}

shardy_status sfi_remote_prepare(struct sfi_shard_reader *shard, struct sfi_wants *wants,
                                 bool *ready, shardy_error *err)
{
    struct sfi_remote *remote = sfi_remote_of(shard);
    sfi_remote_lock(remote);
    shardy_status st = SHARDY_OK;
    if (remote->phase == SFI_REMOTE_OPENING) {
        st = sfi_remote_open_step(remote, wants, err);
    }
    *ready = st == SHARDY_OK && remote->phase != SFI_REMOTE_OPENING;
    sfi_remote_unlock(remote);
    return st;
}
