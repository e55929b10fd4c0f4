/*
 * sqlite_remote_walk.c - searching a remote shard for a key, page by page, and following overflow
 * chains by guesses that are verified link by link.
 *
 * A walk stops where a page is missing and goes on from there when it is called again; what it
 * learned does not depend on pages staying in memory, so eviction cannot throw it back.
 * The number of waves is bounded by the depth of the tree, the comparisons of a binary search that
 * need overflow pages, and the links of one chain.
 */
#include "base/limits.h"
#include "shard/sidecar.h"
#include "shard/sqlite_remote.h"

/* Overflow pages that wrong guesses may waste, over as many as the chain has. */
#define GUESS_SLACK 16u
/* A comparison asks for the row's whole chain when it is at most this long: keys that reach into
 * overflow pages are mostly compared because they are the ones. */
#define EAGER_PAYLOAD (UINT64_C(1) << 20)

static bool chain_page_valid(const struct sfi_remote *remote, uint32_t page)
{
    return page >= 2 && page <= remote->tree.page_count;
}

void sfi_remote_chain_start(const struct sfi_remote *remote, const struct sfi_cell *cell,
                            uint32_t owner, struct sfi_remote_chain *chain)
{
    uint32_t room = remote->tree.usable - 4;
    memset(chain, 0, sizeof *chain);
    chain->size = cell->size;
    chain->at = cell->local;
    chain->pages = (cell->size - cell->local + room - 1) / room;
    chain->head = cell->overflow;
    chain->next = cell->overflow;
    chain->owner = owner;
}

/* The sidecar's list of this chain, or NULL. */
static const uint32_t *listed(const struct sfi_remote *remote, const struct sfi_remote_chain *chain,
                              uint64_t *count)
{
    const struct sfi_chain_map *map = &remote->chains;
    uint32_t lo = 0;
    uint32_t hi = chain->no_map ? 0 : map->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (map->heads[mid] == chain->head) {
            *count = map->offsets[mid + 1] - map->offsets[mid];
            return map->pages + map->offsets[mid];
        }
        if (map->heads[mid] < chain->head) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

/* Page `k` of a run of consecutive pages from `first` on. */
static uint64_t consecutive(const struct sfi_remote *remote, uint64_t first, uint64_t k)
{
    uint32_t lock_page = sfi_lock_page(remote->tree.page_size);
    uint64_t page = first + k;
    return first < lock_page && page >= lock_page ? page + 1 : page;
}

static shardy_status want_if_valid(struct sfi_remote *remote, uint64_t page,
                                   struct sfi_wants *wants, shardy_error *err)
{
    if (page < 2 || page > remote->tree.page_count) {
        return SHARDY_OK;
    }
    return sfi_remote_want_page(remote, (uint32_t)page, wants, err);
}

/* How far the present guess goes on from here; a new one is paid for out of the chain's budget. */
static uint64_t guess_length(struct sfi_remote *remote, struct sfi_remote_chain *chain,
                             uint64_t need)
{
    uint64_t k = chain->index - chain->asked_index;
    if (chain->asked && k < chain->asked_count &&
        consecutive(remote, chain->asked, k) == chain->next && chain->asked_count - k >= need) {
        return need;
    }
    uint64_t budget = 2 * chain->pages + GUESS_SLACK;
    uint64_t left = budget > chain->spent ? budget - chain->spent : 0;
    uint64_t n = need < left ? need : left;
    n = n ? n : 1;
    chain->asked = chain->next;
    chain->asked_index = chain->index;
    chain->asked_count = n;
    chain->spent += n;
    return n;
}

shardy_status sfi_remote_chain_want(struct sfi_remote *remote, struct sfi_remote_chain *chain,
                                    uint64_t upto, struct sfi_wants *wants, shardy_error *err)
{
    uint32_t room = remote->tree.usable - 4;
    uint64_t need = upto > chain->at ? (upto - chain->at + room - 1) / room : 1;
    uint64_t count = 0;
    if (!chain_page_valid(remote, chain->next)) {
        return SHARDY_OK; /* taking it will say what is wrong */
    }
    const uint32_t *list = listed(remote, chain, &count);
    if (list && (chain->index >= count || list[chain->index] != chain->next)) {
        chain->no_map = true;
        list = NULL;
    }
    if (list) {
        uint64_t end = chain->index + need < count ? chain->index + need : count;
        for (uint64_t i = chain->index; i < end; i++) {
            SFI_RETURN_IF_ERR(want_if_valid(remote, list[i], wants, err));
        }
        return SHARDY_OK;
    }
    uint64_t n = guess_length(remote, chain, need);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t page = consecutive(remote, chain->next, i);
        SFI_RETURN_IF_ERR(want_if_valid(remote, page, wants, err));
    }
    return SHARDY_OK;
}

shardy_status sfi_remote_chain_take(struct sfi_remote *remote, struct sfi_remote_chain *chain,
                                    uint64_t upto, struct sfi_bytes *part, bool *missing,
                                    struct sfi_wants *wants, shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    uint32_t room = tree->usable - 4;
    if (!chain_page_valid(remote, chain->next)) {
        return sfi_btree_damage(tree, chain->owner, NULL,
                                "overflow chain leads outside the file or ends early", err);
    }
    *missing = !sfi_remote_has(remote, chain->next, SFI_USE_ONCE);
    if (*missing) {
        return sfi_remote_chain_want(remote, chain, upto, wants, err);
    }
    const uint8_t *page = sfi_btree_page(tree, chain->next);
    uint32_t link = sfi_get_u32be(page);
    part->data = page + 4;
    part->size = chain->size - chain->at < room ? (size_t)(chain->size - chain->at) : room;
    chain->at += part->size;
    if (chain->at == chain->size && link != 0) {
        return sfi_btree_damage(tree, chain->next, page,
                                "overflow chain goes on behind its payload", err);
    }
    chain->next = link;
    chain->index++;
    return SHARDY_OK;
}

void sfi_walk_start(const struct sfi_remote *remote, struct sfi_bytes key, uint64_t prefix,
                    struct sfi_walk *walk)
{
    memset(walk, 0, sizeof *walk);
    walk->generation = remote->generation;
    walk->trust = remote->trust;
    if (remote->phase == SFI_REMOTE_READY) {
        walk->mode = SFI_WALK_TIES;
        sfi_btree_ties(&remote->tree, key, prefix, &walk->lo, &walk->hi);
    } else {
        walk->mode = SFI_WALK_PAGE;
        walk->from_root = true;
        walk->page = remote->tree.root;
        walk->hi = UINT32_MAX;
    }
}

static void enter_page(struct sfi_walk *walk, uint32_t page)
{
    walk->mode = SFI_WALK_PAGE;
    walk->page = page;
    walk->lo = 0;
    walk->hi = UINT32_MAX;
}

static void narrow(struct sfi_walk *walk, int order)
{
    if (order < 0) {
        walk->hi = walk->pos;
    } else {
        walk->lo = walk->pos + 1;
    }
    walk->kept |= walk->mode == SFI_WALK_TIES;
}

/* Go on comparing the key with a cell whose key reaches into overflow pages. */
static shardy_status compare_chain(struct sfi_remote *remote, struct sfi_walk *walk,
                                   struct sfi_bytes key, bool *decided, int *order,
                                   struct sfi_wants *wants, shardy_error *err)
{
    const struct sfi_cell *cell = &walk->cell;
    uint64_t upto = cell->size <= EAGER_PAYLOAD ? cell->size : cell->header + cell->key_size;
    *decided = false;
    while (walk->matched < cell->key_size && walk->matched < key.size) {
        struct sfi_bytes part = {NULL, 0};
        bool missing = false;
        SFI_RETURN_IF_ERR(
            sfi_remote_chain_take(remote, &walk->chain, upto, &part, &missing, wants, err));
        if (missing) {
            return SHARDY_OK;
        }
        uint64_t n = cell->key_size - walk->matched;
        n = n < part.size ? n : part.size;
        n = n < key.size - walk->matched ? n : key.size - walk->matched;
        *order = memcmp(key.data + walk->matched, part.data, (size_t)n);
        if (*order) {
            *decided = true;
            return SHARDY_OK;
        }
        walk->matched += n;
    }
    *decided = true;
    *order = (key.size > cell->key_size) - (key.size < cell->key_size);
    return SHARDY_OK;
}

/* Compare with the cell at `pos`: decided by what lies in its page, or a chain is begun. */
static shardy_status compare_cell(struct sfi_remote *remote, struct sfi_walk *walk, uint32_t owner,
                                  struct sfi_bytes key, int *order, shardy_error *err)
{
    const struct sfi_cell *cell = &walk->cell;
    struct sfi_bytes local = {cell->payload + cell->header, sfi_cell_local_key(cell)};
    size_t n = key.size < local.size ? key.size : local.size;
    if (cell->size > remote->image.size) {
        return sfi_btree_damage(&remote->tree, owner, cell->payload,
                                "payload is larger than the file", err);
    }
    *order = n ? memcmp(key.data, local.data, n) : 0;
    if (*order == 0 && local.size < cell->key_size && key.size > local.size) {
        walk->step = SFI_STEP_KEY;
        walk->kept = true;
        walk->matched = local.size;
        sfi_remote_chain_start(remote, cell, owner, &walk->chain);
    } else if (*order == 0) {
        *order = (key.size > cell->key_size) - (key.size < cell->key_size);
    }
    return SHARDY_OK;
}

/* The walk's page is there: check its header once, and whether it is a leaf. */
static shardy_status look_at_page(struct sfi_remote *remote, struct sfi_walk *walk, bool *leaf,
                                  shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    const uint8_t *page = sfi_btree_page(tree, walk->page);
    uint32_t cells = sfi_get_u16be(page + 3);
    *leaf = page[0] != SFI_PAGE_INDEX_INTERIOR;
    if (walk->hi != UINT32_MAX) {
        return SHARDY_OK;
    }
    if (*leaf) {
        SFI_RETURN_IF_ERR(sfi_btree_leaf(tree, walk->page, &cells, err));
        if (walk->from_root) {
            atomic_store_explicit(&remote->leaf_depth, walk->depth, memory_order_relaxed);
        }
    } else if (cells == 0 || SFI_INTERIOR_HEADER + 2 * cells > tree->usable) {
        return sfi_btree_damage(tree, walk->page, page + 3, "impossible number of cells", err);
    }
    walk->lo = 0;
    walk->hi = cells;
    return SHARDY_OK;
}

/* From an interior page to the child before cell `lo`. */
static shardy_status descend(struct sfi_remote *remote, struct sfi_walk *walk, shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    const uint8_t *page = sfi_btree_page(tree, walk->page);
    const uint8_t *at = page + 8;
    if (walk->lo < sfi_get_u16be(page + 3)) {
        uint32_t offset = sfi_get_u16be(page + SFI_INTERIOR_HEADER + 2 * walk->lo);
        if (offset < SFI_INTERIOR_HEADER || offset + 4 > tree->usable) {
            return sfi_btree_damage(tree, walk->page, page + SFI_INTERIOR_HEADER + 2 * walk->lo,
                                    "cell pointer leads outside the cell area", err);
        }
        at = page + offset;
    }
    uint32_t child = sfi_get_u32be(at);
    if (child < 2 || child > tree->page_count) {
        return sfi_btree_damage(tree, walk->page, at, "child page is outside the file", err);
    }
    if (++walk->depth > SFI_BTREE_MAX_DEPTH) {
        return sfi_btree_damage(tree, walk->page, at, "b-tree is too deep or has a cycle", err);
    }
    walk->kept = true;
    enter_page(walk, child);
    return SHARDY_OK;
}

/* The next cell to compare with into walk->cell; or *end: the search is over in this page. */
static shardy_status next_cell(struct sfi_remote *remote, struct sfi_walk *walk, uint32_t *owner,
                               bool *missing, bool *end, struct sfi_wants *wants, shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    bool leaf = false;
    *end = false;
    *owner = walk->page;
    if (walk->mode == SFI_WALK_TIES) {
        if (walk->lo >= walk->hi) {
            walk->leaf = walk->lo;
            enter_page(walk, tree->leaves[walk->leaf]);
            *owner = walk->page;
        } else {
            walk->pos = walk->lo + (walk->hi - walk->lo) / 2;
            *owner = (uint32_t)(tree->cells[walk->pos] / tree->page_size) + 1;
        }
    }
    unsigned use = walk->mode == SFI_WALK_TIES ? SFI_USE_INTERIOR : SFI_USE_LEAF;
    *missing = !sfi_remote_has(remote, *owner, use);
    if (*missing) {
        return sfi_remote_want_page(remote, *owner, wants, err);
    }
    if (walk->mode == SFI_WALK_TIES) {
        return sfi_btree_separator(tree, walk->pos, &walk->cell, err);
    }
    SFI_RETURN_IF_ERR(look_at_page(remote, walk, &leaf, err));
    if (walk->lo >= walk->hi) {
        *end = leaf;
        return leaf ? SHARDY_OK : descend(remote, walk, err);
    }
    walk->pos = walk->lo + (walk->hi - walk->lo) / 2;
    return sfi_btree_cell(tree, walk->page, leaf ? SFI_LEAF_HEADER : SFI_INTERIOR_HEADER, walk->pos,
                          &walk->cell, err);
}

shardy_status sfi_walk_search(struct sfi_remote *remote, struct sfi_walk *walk,
                              struct sfi_bytes key, struct sfi_wants *wants,
                              enum sfi_walk_result *result, bool *in_page, shardy_error *err)
{
    *result = SFI_WALK_MISSING;
    for (;;) {
        bool missing = false;
        bool decided = true;
        bool end = false;
        int order = 0;
        *in_page = walk->step == SFI_STEP_SEARCH;
        if (*in_page) {
            uint32_t owner;
            SFI_RETURN_IF_ERR(next_cell(remote, walk, &owner, &missing, &end, wants, err));
            if (missing || end) {
                *result = end ? SFI_WALK_ABSENT : SFI_WALK_MISSING;
                return SHARDY_OK;
            }
            if (walk->hi == UINT32_MAX) {
                continue; /* one level down */
            }
            SFI_RETURN_IF_ERR(compare_cell(remote, walk, owner, key, &order, err));
        }
        if (walk->step == SFI_STEP_KEY) {
            *in_page = false;
            SFI_RETURN_IF_ERR(compare_chain(remote, walk, key, &decided, &order, wants, err));
            if (!decided) {
                return SHARDY_OK;
            }
            walk->step = SFI_STEP_SEARCH;
        }
        if (order == 0) {
            *result = SFI_WALK_FOUND;
            return SHARDY_OK;
        }
        narrow(walk, order);
    }
}
