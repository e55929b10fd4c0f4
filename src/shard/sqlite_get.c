/*
 * sqlite_get.c - point lookups in mapped shards. Lookups run in groups, in lockstep: every step
 * prefetches what the next one reads, so that the cache misses of a group overlap. In a leaf the
 * position of a key is guessed from its value between its neighbours (interpolation), which takes
 * two or three probes for evenly spread keys; after a few misses plain bisection takes over.
 */
#include "base/memory.h"
#include "shard/sqlite_btree.h"

/* Lookups in flight: enough to fill the line buffers of a core. */
#define GROUP_SIZE 16u
/* Probes by interpolation before bisection: keys that are not evenly spread. */
#define INTERPOLATIONS 4u
/* Neighbours on either side that a single lookup fetches with the likely cell. */
#define WIDE_CELLS 3u

/* One lookup inside a leaf. Cells [lo, hi) may be the key; their prefixes lie in (low, high). */
struct walk {
    struct sfi_lookup *lookup;
    const struct sfi_btree *tree;
    const uint8_t *page;
    uint32_t number;
    uint32_t index; /* of the leaf in the directory */
    uint32_t lo;
    uint32_t hi;
    uint32_t pos; /* next probe */
    uint32_t probes;
    uint64_t target; /* key bytes [skip, skip + 8) */
    uint64_t low;
    uint64_t high;
    size_t skip; /* bytes that every key of this leaf shares with the target */
    bool even;   /* low and high are known */
};

static uint32_t guess(const struct walk *walk)
{
    uint32_t n = walk->hi - walk->lo;
    if (!walk->even || walk->probes > INTERPOLATIONS || walk->high <= walk->low) {
        return walk->lo + n / 2;
    }
    double part = (double)(walk->target - walk->low) / (double)(walk->high - walk->low);
    uint32_t at = (uint32_t)(part * (double)n);
    return walk->lo + (at < n ? at : n - 1);
}

/*
 * Ask for the cell pointer and the cell where the key is expected if this leaf is like another one.
 * A single lookup has nothing else to wait for: it asks for the neighbours too.
 */
static void prefetch_cells(const struct walk *walk, bool wide)
{
    const struct sfi_btree *tree = walk->tree;
    uint32_t size = atomic_load_explicit(&tree->leaf_cell_size, memory_order_relaxed);
    uint32_t at = guess(walk);
    uint32_t offset = (at + 1) * size;
    const uint8_t *cell = walk->page + (offset < tree->usable ? tree->usable - offset : 0);
    __builtin_prefetch(walk->page + SFI_LEAF_HEADER + 2 * at);
    __builtin_prefetch(cell);
    __builtin_prefetch(cell + 64);
    if (wide) {
        for (uint32_t k = 1; k <= WIDE_CELLS; k++) {
            __builtin_prefetch(cell - k * size);
            __builtin_prefetch(cell + k * size);
        }
    }
}

/* Find the leaf and ask for its header, its pointers and the likely cell. */
static inline shardy_status enter(struct walk *walk, bool wide, bool *done, shardy_error *err)
{
    const struct sfi_btree *tree = walk->tree;
    struct sfi_lookup *lookup = walk->lookup;
    struct sfi_bytes key = {lookup->key, lookup->key_size};
    bool equal;
    SFI_RETURN_IF_ERR(sfi_btree_find(tree, key, lookup->prefix, &walk->index, &equal, err));
    if (equal) {
        struct sfi_cell cell;
        struct sfi_bytes value;
        uint32_t page = (uint32_t)(tree->cells[walk->index] / tree->page_size) + 1;
        SFI_RETURN_IF_ERR(sfi_btree_separator(tree, walk->index, &cell, err));
        SFI_RETURN_IF_ERR(sfi_btree_value(tree, page, &cell, &value, &lookup->copy, err));
        lookup->value = value.data;
        lookup->value_size = value.size;
        *done = true;
        return SHARDY_OK;
    }
    /* sfi_btree_load_directory checked that leaf numbers lie in the file. */
    walk->number = tree->leaves[walk->index];
    walk->page = sfi_btree_page(tree, walk->number);
    __builtin_prefetch(walk->page);
    walk->even = walk->index > 0 && walk->index + 1 < tree->leaf_count;
    walk->skip = walk->even ? tree->common : 0;
    walk->target = lookup->prefix;
    if (walk->skip) {
        walk->target = sfi_key_prefix(key.data + walk->skip, key.size - walk->skip);
    }
    walk->low = walk->even ? tree->separators[walk->index - 1] : 0;
    walk->high = walk->even ? tree->separators[walk->index] : 0;
    walk->lo = 0;
    walk->hi = atomic_load_explicit(&tree->leaf_cells, memory_order_relaxed);
    walk->probes = 0;
    if (walk->hi) {
        prefetch_cells(walk, wide);
    }
    return SHARDY_OK;
}

/* Read the leaf's header and choose the first probe. */
static shardy_status start(struct walk *walk, bool *done, shardy_error *err)
{
    uint32_t cells = 0;
    SFI_RETURN_IF_ERR(sfi_btree_leaf(walk->tree, walk->number, &cells, err));
    if (!walk->hi && cells) {
        /* The only write to an open shard: hints for prefetching, set once. */
        struct sfi_btree *tree = (struct sfi_btree *)walk->lookup->shard;
        uint32_t content = sfi_get_u16be(walk->page + 5);
        uint32_t size = content < tree->usable ? (tree->usable - content) / cells : 0;
        atomic_store_explicit(&tree->leaf_cell_size, size, memory_order_relaxed);
        atomic_store_explicit(&tree->leaf_cells, cells, memory_order_relaxed);
    }
    walk->hi = cells;
    *done = cells == 0;
    if (cells) {
        walk->pos = guess(walk);
    }
    return SHARDY_OK;
}

/*
 * Key bytes [skip, skip + 8) of the cell at p without taking it apart completely; false when that
 * needs the careful way (short key, key on overflow pages, end of page).
 */
static inline bool quick_prefix(const uint8_t *p, const uint8_t *end, size_t skip, uint64_t *prefix)
{
    unsigned n = 1;
    uint64_t key_size;
    if (end - p < 16) {
        return false;
    }
    while (n < 5 && p[n - 1] & 0x80u) {
        n++;
    }
    if (p[n - 1] & 0x80u || p[n] & 0x80u) {
        return false;
    }
    const uint8_t *serial = p + n + 1;
    uint64_t type = serial[0];
    if (type & 0x80u) {
        if (serial[1] & 0x80u) {
            return false;
        }
        type = (type & 0x7Fu) << 7 | serial[1];
    }
    const uint8_t *key = p + n + p[n] + skip;
    if (!sfi_serial_size(type, &key_size) || key_size < skip + 8 || end - key < 8) {
        return false;
    }
    *prefix = sfi_get_u64be(key);
    return true;
}

static shardy_status found(struct walk *walk, const struct sfi_cell *cell, bool *done,
                           shardy_error *err)
{
    struct sfi_lookup *lookup = walk->lookup;
    struct sfi_bytes value;
    SFI_RETURN_IF_ERR(sfi_btree_value(walk->tree, walk->number, cell, &value, &lookup->copy, err));
    lookup->value = value.data;
    lookup->value_size = value.size;
    *done = true;
    return SHARDY_OK;
}

/* Compare with the cell at `pos` in full; narrows [lo, hi). */
static shardy_status probe_careful(struct walk *walk, bool *done, shardy_error *err)
{
    struct sfi_bytes key = {walk->lookup->key, walk->lookup->key_size};
    struct sfi_cell cell;
    int order;
    SFI_RETURN_IF_ERR(
        sfi_btree_cell(walk->tree, walk->number, SFI_LEAF_HEADER, walk->pos, &cell, err));
    SFI_RETURN_IF_ERR(sfi_btree_compare(walk->tree, walk->number, key, &cell, &order, err));
    if (order == 0) {
        return found(walk, &cell, done, err);
    }
    if (order < 0) {
        walk->hi = walk->pos;
    } else {
        walk->lo = walk->pos + 1;
    }
    return SHARDY_OK;
}

/* One comparison; then either done, or the next cell is on its way into the cache. */
static shardy_status probe(struct walk *walk, bool *done, shardy_error *err)
{
    const uint8_t *end = walk->page + walk->tree->usable;
    uint32_t at = sfi_get_u16be(walk->page + SFI_LEAF_HEADER + 2 * walk->pos);
    uint64_t prefix;
    walk->probes++;
    if (at < walk->tree->usable && quick_prefix(walk->page + at, end, walk->skip, &prefix) &&
        prefix != walk->target) {
        if (walk->target < prefix) {
            walk->hi = walk->pos;
            walk->high = prefix;
        } else {
            walk->lo = walk->pos + 1;
            walk->low = prefix;
        }
    } else {
        SFI_RETURN_IF_ERR(probe_careful(walk, done, err));
    }
    if (*done) {
        return SHARDY_OK;
    }
    if (walk->lo >= walk->hi) {
        *done = true;
        return SHARDY_OK;
    }
    walk->pos = guess(walk);
    __builtin_prefetch(walk->page + sfi_get_u16be(walk->page + SFI_LEAF_HEADER + 2 * walk->pos));
    return SHARDY_OK;
}

static shardy_status enter_one(struct walk *walk, bool *done, shardy_error *err)
{
    return enter(walk, true, done, err);
}

static shardy_status enter_many(struct walk *walk, bool *done, shardy_error *err)
{
    return enter(walk, false, done, err);
}

typedef shardy_status (*step_fn)(struct walk *walk, bool *done, shardy_error *err);

/* Take one step with every walk; finished ones are dropped from the list. */
static shardy_status step_all(struct walk **active, unsigned *count, step_fn step,
                              const struct sfi_lookup **culprit, shardy_error *err)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < *count; i++) {
        bool done = false;
        shardy_status st = step(active[i], &done, err);
        if (st != SHARDY_OK) {
            *culprit = active[i]->lookup;
            return st;
        }
        if (!done) {
            active[kept++] = active[i];
        }
    }
    *count = kept;
    return SHARDY_OK;
}

/* Bring the directory entries of a lookup into the cache. */
static void prefetch_guide(const struct sfi_btree *tree, uint64_t prefix)
{
    if (tree->guide && !tree->common && prefix >= tree->guide_base) {
        uint64_t bucket = (prefix - tree->guide_base) >> tree->guide_shift;
        if (bucket < tree->guide_count) {
            __builtin_prefetch(&tree->guide[bucket]);
        }
    }
}

static void prefetch_separators(const struct sfi_btree *tree, uint64_t prefix)
{
    if (tree->guide && !tree->common && prefix >= tree->guide_base) {
        uint64_t bucket = (prefix - tree->guide_base) >> tree->guide_shift;
        if (bucket < tree->guide_count) {
            uint32_t at = tree->guide[bucket];
            __builtin_prefetch(&tree->separators[at]);
            __builtin_prefetch(&tree->leaves[at]);
        }
    }
}

static shardy_status get_group(struct sfi_lookup *lookups, unsigned count,
                               const struct sfi_lookup **culprit, shardy_error *err)
{
    struct walk walks[GROUP_SIZE];
    struct walk *active[GROUP_SIZE];
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        struct sfi_lookup *lookup = &lookups[i];
        lookup->value = NULL;
        lookup->value_size = 0;
        lookup->copy = NULL;
        if (lookup->shard) {
            walks[n].lookup = lookup;
            walks[n].tree = (const struct sfi_btree *)lookup->shard;
            active[n] = &walks[n];
            n++;
        }
    }
    if (n > 1) {
        for (unsigned i = 0; i < n; i++) {
            prefetch_guide(active[i]->tree, active[i]->lookup->prefix);
        }
        for (unsigned i = 0; i < n; i++) {
            prefetch_separators(active[i]->tree, active[i]->lookup->prefix);
        }
    }
    SFI_RETURN_IF_ERR(step_all(active, &n, n > 1 ? enter_many : enter_one, culprit, err));
    SFI_RETURN_IF_ERR(step_all(active, &n, start, culprit, err));
    while (n) {
        SFI_RETURN_IF_ERR(step_all(active, &n, probe, culprit, err));
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_get(struct sfi_lookup *lookups, size_t count, size_t *failed,
                            shardy_error *err)
{
    *failed = 0;
    for (size_t i = 0; i < count; i += GROUP_SIZE) {
        unsigned n = count - i < GROUP_SIZE ? (unsigned)(count - i) : GROUP_SIZE;
        const struct sfi_lookup *culprit = &lookups[i];
        shardy_status st = get_group(lookups + i, n, &culprit, err);
        if (st != SHARDY_OK) {
            *failed = (size_t)(culprit - lookups);
            /* Later groups were not touched: their results must not look like copies. */
            for (size_t k = i + n; k < count; k++) {
                lookups[k].copy = NULL;
                lookups[k].value = NULL;
            }
            return st;
        }
    }
    return SHARDY_OK;
}
