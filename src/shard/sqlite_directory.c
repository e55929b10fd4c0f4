/*
 * sqlite_directory.c - the leaf directory of an open shard: built once from the interior pages,
 * then searched instead of them. Checks while building: page types, uniform depth, no page twice,
 * separators strictly ascending.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sqlite_btree.h"

/* State of the one traversal that fills the directory. */
struct loader {
    struct sfi_btree *tree;
    struct sfi_page_gate *gate; /* NULL: every page is there */
    uint8_t *seen;              /* bitmap of pages */
    unsigned leaf_depth;
    size_t leaves_capacity;
    size_t cells_capacity;
    size_t cell_count;
};

static bool mark_seen(struct loader *loader, uint32_t number)
{
    uint8_t bit = (uint8_t)(1u << (number & 7));
    bool seen = loader->seen[number >> 3] & bit;
    loader->seen[number >> 3] |= bit;
    return seen;
}

static shardy_status add_leaf(struct loader *loader, uint32_t number, shardy_error *err)
{
    struct sfi_btree *tree = loader->tree;
    struct sfi_page_gate *gate = loader->gate;
    void *leaves = tree->leaves;
    if (gate && gate->peek(gate, number) &&
        *sfi_btree_page(tree, number) == SFI_PAGE_INDEX_INTERIOR) {
        gate->too_shallow = true;
    }
    if (!sfi_array_grow(&leaves, &loader->leaves_capacity, (size_t)tree->leaf_count + 1,
                        sizeof *tree->leaves)) {
        return sfi_fail_memory(err, ((size_t)tree->leaf_count + 1) * sizeof *tree->leaves);
    }
    tree->leaves = leaves;
    tree->leaves[tree->leaf_count++] = number;
    return SHARDY_OK;
}

static shardy_status add_separator(struct loader *loader, const uint8_t *at, shardy_error *err)
{
    struct sfi_btree *tree = loader->tree;
    void *cells = tree->cells;
    if (!sfi_array_grow(&cells, &loader->cells_capacity, loader->cell_count + 1,
                        sizeof *tree->cells)) {
        return sfi_fail_memory(err, (loader->cell_count + 1) * sizeof *tree->cells);
    }
    tree->cells = cells;
    tree->cells[loader->cell_count++] = (uint64_t)(at - tree->data);
    return SHARDY_OK;
}

static shardy_status visit(struct loader *loader, uint32_t number, unsigned depth,
                           shardy_error *err);

static shardy_status visit_child(struct loader *loader, uint32_t parent, const uint8_t *at,
                                 unsigned depth, shardy_error *err)
{
    struct sfi_btree *tree = loader->tree;
    uint32_t child = sfi_get_u32be(at);
    if (child < 2 || child > tree->page_count) {
        return sfi_btree_damage(tree, parent, at, "child page is outside the file", err);
    }
    if (mark_seen(loader, child)) {
        return sfi_btree_damage(tree, parent, at, "child page is used twice", err);
    }
    return depth == loader->leaf_depth ? add_leaf(loader, child, err)
                                       : visit(loader, child, depth, err);
}

/* An interior page at `depth` (root = 0): its children and the separators between them. */
static shardy_status visit(struct loader *loader, uint32_t number, unsigned depth,
                           shardy_error *err)
{
    struct sfi_btree *tree = loader->tree;
    if (loader->gate && !loader->gate->has(loader->gate, number)) {
        return SHARDY_OK;
    }
    const uint8_t *page = sfi_btree_page(tree, number);
    uint32_t cells = sfi_get_u16be(page + 3);
    if (page[0] != SFI_PAGE_INDEX_INTERIOR) {
        return sfi_btree_damage(tree, number, page, "not an interior page of an index b-tree", err);
    }
    if (cells == 0 || SFI_INTERIOR_HEADER + 2 * cells > tree->usable) {
        return sfi_btree_damage(tree, number, page + 3, "impossible number of cells", err);
    }
    tree->interior_count++;
    for (uint32_t i = 0; i < cells; i++) {
        struct sfi_cell cell;
        SFI_RETURN_IF_ERR(sfi_btree_cell(tree, number, SFI_INTERIOR_HEADER, i, &cell, err));
        const uint8_t *at = page + sfi_get_u16be(page + SFI_INTERIOR_HEADER + 2 * i);
        SFI_RETURN_IF_ERR(visit_child(loader, number, at, depth + 1, err));
        SFI_RETURN_IF_ERR(add_separator(loader, at + 4, err));
    }
    return visit_child(loader, number, page + 8, depth + 1, err);
}

/* Depth of the leaves, along the leftmost path. */
static shardy_status find_leaf_depth(struct sfi_btree *tree, unsigned *depth, shardy_error *err)
{
    uint32_t number = tree->root;
    for (*depth = 0; *depth < SFI_BTREE_MAX_DEPTH; (*depth)++) {
        if (number < 2 || number > tree->page_count) {
            return sfi_fail(err, SHARDY_CORRUPT, "%s: page %u is outside the file of %u pages",
                            tree->name, number, tree->page_count);
        }
        const uint8_t *page = sfi_btree_page(tree, number);
        if (page[0] == SFI_PAGE_INDEX_LEAF) {
            return SHARDY_OK;
        }
        if (page[0] != SFI_PAGE_INDEX_INTERIOR) {
            return sfi_btree_damage(tree, number, page,
                                    "not a page of an index b-tree; kv must be WITHOUT ROWID", err);
        }
        uint32_t at = sfi_get_u16be(page + SFI_INTERIOR_HEADER);
        if (sfi_get_u16be(page + 3) == 0) {
            number = sfi_get_u32be(page + 8);
        } else if (at < SFI_INTERIOR_HEADER || at + 4 > tree->usable) {
            return sfi_btree_damage(tree, number, page + SFI_INTERIOR_HEADER,
                                    "cell pointer leads outside the cell area", err);
        } else {
            number = sfi_get_u32be(page + at);
        }
    }
    return sfi_btree_damage(tree, tree->root, NULL, "b-tree is too deep or has a cycle", err);
}

static size_t shared_bytes(struct sfi_bytes a, struct sfi_bytes b, size_t limit)
{
    size_t n = 0;
    limit = limit < a.size ? limit : a.size;
    limit = limit < b.size ? limit : b.size;
    while (n < limit && a.data[n] == b.data[n]) {
        n++;
    }
    return n;
}

static struct sfi_bytes local_key(const struct sfi_cell *cell)
{
    struct sfi_bytes key = {cell->payload + cell->header, sfi_cell_local_key(cell)};
    return key;
}

/*
 * Shared prefix of all separators. Eight bytes behind it lie in the page for every key that has
 * them, also where a payload overflows: the smallest local part is M of the file format, 1.6, and
 * its record header takes at most 11 bytes.
 */
static shardy_status find_common(struct sfi_btree *tree, uint32_t count, shardy_error *err)
{
    size_t least = (tree->usable - 12) * 32 / 255 - 23;
    struct sfi_cell first;
    struct sfi_cell cell;
    SFI_RETURN_IF_ERR(sfi_btree_separator(tree, 0, &first, err));
    tree->common = sfi_cell_local_key(&first);
    for (uint32_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(sfi_btree_separator(tree, i, &cell, err));
        tree->common = shared_bytes(local_key(&first), local_key(&cell), tree->common);
    }
    if (tree->common + 19 > least) {
        tree->common = least > 19 ? least - 19 : 0;
    }
    /* A copy: the directory outlives the interior pages of a remote shard. */
    tree->common_bytes = sfi_malloc(tree->common);
    if (!tree->common_bytes) {
        return sfi_fail_memory(err, tree->common);
    }
    memcpy(tree->common_bytes, first.payload + first.header, tree->common);
    return SHARDY_OK;
}

/* Order of two neighbours. Behind a gate overflow pages are not read: what lies in the pages
 * decides, and keys that are equal there are taken for ascending. */
static shardy_status ascending(const struct loader *loader, uint32_t page,
                               const struct sfi_cell *cell, const struct sfi_cell *next,
                               bool *holds, shardy_error *err)
{
    struct sfi_bytes whole;
    uint8_t *copy;
    int order;
    if (loader->gate) {
        struct sfi_bytes a = local_key(cell);
        struct sfi_bytes b = local_key(next);
        bool cut = a.size < cell->key_size || b.size < next->key_size;
        size_t n = a.size < b.size ? a.size : b.size;
        order = cut ? memcmp(a.data, b.data, n) : sfi_bytes_compare(a, b);
        *holds = order < 0 || (order == 0 && cut);
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_btree_key(loader->tree, page, cell, &whole, &copy, err));
    shardy_status st = sfi_btree_compare(loader->tree, page, whole, next, &order, err);
    *holds = order < 0;
    sfi_free(copy);
    return st;
}

/* Compressed separators, and their order. */
static shardy_status fill_separators(const struct loader *loader, uint32_t count, shardy_error *err)
{
    struct sfi_btree *tree = loader->tree;
    struct sfi_cell cell;
    SFI_RETURN_IF_ERR(find_common(tree, count, err));
    for (uint32_t i = 0; i < count; i++) {
        struct sfi_cell next;
        SFI_RETURN_IF_ERR(sfi_btree_separator(tree, i, &cell, err));
        struct sfi_bytes key = local_key(&cell);
        tree->separators[i] = sfi_key_prefix(key.data + tree->common, key.size - tree->common);
        if (i + 1 < count) {
            bool holds = false;
            uint32_t page = (uint32_t)(tree->cells[i] / tree->page_size) + 1;
            SFI_RETURN_IF_ERR(sfi_btree_separator(tree, i + 1, &next, err));
            SFI_RETURN_IF_ERR(ascending(loader, page, &cell, &next, &holds, err));
            if (!holds) {
                return sfi_btree_damage(tree, page, tree->data + tree->cells[i],
                                        "keys of interior cells are not ascending", err);
            }
        }
    }
    return SHARDY_OK;
}

/* About one bucket a separator; skewed keys only make single buckets long. */
static shardy_status build_guide(struct sfi_btree *tree, uint32_t count, shardy_error *err)
{
    uint64_t span = tree->separators[count - 1] - tree->separators[0];
    uint32_t next = 0;
    tree->guide_base = tree->separators[0];
    while (tree->guide_shift < 63 && (span >> tree->guide_shift) >= 2 * (uint64_t)count) {
        tree->guide_shift++;
    }
    tree->guide_count = (uint32_t)(span >> tree->guide_shift) + 1;
    tree->guide = sfi_array_alloc((size_t)tree->guide_count + 1, sizeof *tree->guide);
    if (!tree->guide) {
        return sfi_fail_memory(err, ((size_t)tree->guide_count + 1) * sizeof *tree->guide);
    }
    for (uint32_t b = 0; b < tree->guide_count; b++) {
        while (next < count &&
               (tree->separators[next] - tree->guide_base) >> tree->guide_shift < b) {
            next++;
        }
        tree->guide[b] = next;
    }
    tree->guide[tree->guide_count] = count;
    return SHARDY_OK;
}

shardy_status sfi_btree_load_levels(struct sfi_btree *tree, unsigned leaf_depth,
                                    struct sfi_page_gate *gate, shardy_error *err)
{
    struct loader loader = {.tree = tree, .gate = gate, .leaf_depth = leaf_depth};
    shardy_status st = SHARDY_OK;
    if (loader.leaf_depth == 0) {
        return add_leaf(&loader, tree->root, err);
    }
    loader.seen = sfi_calloc((size_t)tree->page_count / 8 + 1, 1);
    if (!loader.seen) {
        return sfi_fail_memory(err, (size_t)tree->page_count / 8 + 1);
    }
    mark_seen(&loader, tree->root);
    SFI_TRY(visit(&loader, tree->root, 0, err));
    if (gate && (gate->missing || gate->too_shallow)) {
        goto out;
    }
    uint32_t count = tree->leaf_count - 1;
    if (count) {
        tree->separators = sfi_array_alloc(count, sizeof *tree->separators);
        if (!tree->separators) {
            SFI_TRY(sfi_fail_memory(err, count * sizeof *tree->separators));
        }
        SFI_TRY(fill_separators(&loader, count, err));
        SFI_TRY(build_guide(tree, count, err));
    }
out:
    sfi_free(loader.seen);
    return st;
}

shardy_status sfi_btree_load_directory(struct sfi_btree *tree, shardy_error *err)
{
    unsigned depth;
    SFI_RETURN_IF_ERR(find_leaf_depth(tree, &depth, err));
    return sfi_btree_load_levels(tree, depth, NULL, err);
}

void sfi_btree_free_directory(struct sfi_btree *tree)
{
    sfi_free(tree->leaves);
    sfi_free(tree->separators);
    sfi_free(tree->cells);
    sfi_free(tree->guide);
    sfi_free(tree->common_bytes);
    tree->leaves = NULL;
    tree->separators = NULL;
    tree->cells = NULL;
    tree->guide = NULL;
    tree->common_bytes = NULL;
    tree->leaf_count = 0;
    tree->interior_count = 0;
    tree->common = 0;
    tree->guide_count = 0;
    tree->guide_shift = 0;
}

/* Narrow [lo, hi) of separators whose 8 bytes tie with the key's to the first one >= key. */
static shardy_status search_ties(const struct sfi_btree *tree, struct sfi_bytes key, uint32_t lo,
                                 uint32_t hi, uint32_t *index, bool *equal, shardy_error *err)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        uint32_t page = (uint32_t)(tree->cells[mid] / tree->page_size) + 1;
        struct sfi_cell cell;
        int order;
        SFI_RETURN_IF_ERR(sfi_btree_separator(tree, mid, &cell, err));
        SFI_RETURN_IF_ERR(sfi_btree_compare(tree, page, key, &cell, &order, err));
        if (order == 0) {
            *index = mid;
            *equal = true;
            return SHARDY_OK;
        }
        if (order < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    *index = lo;
    return SHARDY_OK;
}

/* Separators [*lo, *hi) whose 8 bytes tie with the key's. */
static inline void find_ties(const struct sfi_btree *tree, struct sfi_bytes key, uint64_t prefix,
                             uint32_t *first, uint32_t *end)
{
    uint32_t count = tree->leaf_count - 1;
    *first = 0;
    *end = 0;
    if (!count) {
        return;
    }
    if (tree->common) {
        size_t n = key.size < tree->common ? key.size : tree->common;
        int c = memcmp(key.data, tree->common_bytes, n);
        if (c || key.size < tree->common) {
            *first = *end = c > 0 ? count : 0;
            return;
        }
        prefix = sfi_key_prefix(key.data + tree->common, key.size - tree->common);
    }
    if (prefix < tree->guide_base) {
        return;
    }
    uint64_t bucket = (prefix - tree->guide_base) >> tree->guide_shift;
    if (bucket >= tree->guide_count) {
        *first = *end = count;
        return;
    }
    uint32_t lo = tree->guide[bucket];
    uint32_t hi = tree->guide[bucket + 1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (tree->separators[mid] < prefix) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *first = lo;
    for (hi = lo; hi < count && tree->separators[hi] == prefix; hi++) {
    }
    *end = hi;
}

void sfi_btree_ties(const struct sfi_btree *tree, struct sfi_bytes key, uint64_t prefix,
                    uint32_t *lo, uint32_t *hi)
{
    find_ties(tree, key, prefix, lo, hi);
}

shardy_status sfi_btree_find(const struct sfi_btree *tree, struct sfi_bytes key, uint64_t prefix,
                             uint32_t *index, bool *equal, shardy_error *err)
{
    uint32_t end;
    *equal = false;
    find_ties(tree, key, prefix, index, &end);
    return end > *index ? search_ties(tree, key, *index, end, index, equal, err) : SHARDY_OK;
}
