/*
 * sqlite_tree.c - bottom-up assembly of the kv b-tree (docs/format/shard.md). Knows pages and
 * cells, not rows: cells come ready-made from sqlite_builder.c.
 */
#include "shard/sqlite_tree.h"

#include "base/memory.h"

/* Rows looked at for a smaller divider, and what a byte of divider costs against a byte of leaf:
 * a divider is read by every descent and held in memory by readers. */
#define DIVIDER_CANDIDATES 3u
#define DIVIDER_WEIGHT     2u

static uint32_t header_size(const struct sfi_tree *tree, const struct sfi_level *level)
{
    return level == &tree->levels[0] ? SFI_LEAF_HEADER : SFI_INTERIOR_HEADER;
}

static void reset_page(const struct sfi_tree *tree, struct sfi_tree_page *page)
{
    page->cells = 0;
    page->content = tree->page_size;
    page->right = 0;
}

static shardy_status open_level(struct sfi_tree *tree, unsigned index, shardy_error *err)
{
    struct sfi_level *level = &tree->levels[index];
    size_t bytes = 2 * (size_t)tree->page_size + SFI_CELL_MAX(tree->page_size);
    uint8_t *block = sfi_malloc(bytes);
    if (!block) {
        return sfi_fail_memory(err, bytes);
    }
    memset(level, 0, sizeof *level);
    level->open.image = block;
    level->held.image = block + tree->page_size;
    level->divider = block + 2 * (size_t)tree->page_size;
    reset_page(tree, &level->open);
    tree->depth = index + 1;
    return SHARDY_OK;
}

shardy_status sfi_tree_init(struct sfi_tree *tree, struct sfi_output *out, uint32_t page_size,
                            shardy_error *err)
{
    memset(tree, 0, sizeof *tree);
    tree->out = out;
    tree->page_size = page_size;
    return open_level(tree, 0, err);
}

void sfi_tree_clear(struct sfi_tree *tree)
{
    for (unsigned i = 0; i < tree->depth; i++) {
        struct sfi_level *level = &tree->levels[i];
        for (size_t p = level->written; level->images && p < level->count; p++) {
            sfi_free(level->images[p]);
        }
        sfi_free(level->images);
        sfi_free(level->numbers);
        /* open and held swap places; the lower address is the allocation */
        sfi_free(level->open.image < level->held.image ? level->open.image : level->held.image);
    }
    memset(tree, 0, sizeof *tree);
}

/* Offset of the end of cell `index`: cells lie one below the other in key order. */
static uint32_t cell_end(const struct sfi_tree *tree, const struct sfi_tree_page *page,
                         uint32_t header, uint32_t index)
{
    return index ? sfi_get_u16be(page->image + header + 2 * (index - 1)) : tree->page_size;
}

static uint32_t cell_offset(const struct sfi_tree_page *page, uint32_t header, uint32_t index)
{
    return sfi_get_u16be(page->image + header + 2 * index);
}

/* Append a cell of child (interior only) and body; false when the page is full. */
static bool page_add(struct sfi_tree_page *page, uint32_t header, uint32_t child,
                     const uint8_t *body, uint32_t size)
{
    uint32_t extra = header == SFI_INTERIOR_HEADER ? 4 : 0;
    if (header + 2 * (page->cells + 1) + extra + size > page->content) {
        return false;
    }
    page->content -= extra + size;
    uint8_t *at = page->image + page->content;
    if (extra) {
        sfi_put_u32be(at, child);
    }
    memcpy(at + extra, body, size);
    sfi_put_u16be(page->image + header + 2 * page->cells, page->content);
    page->cells++;
    return true;
}

/* Write the page header and zero the gap, so that no stale memory reaches the file. */
static void seal_page(struct sfi_tree_page *page, uint32_t header)
{
    uint8_t *p = page->image;
    uint32_t end = header + 2 * page->cells;
    memset(p, 0, header);
    p[0] = header == SFI_LEAF_HEADER ? SFI_PAGE_INDEX_LEAF : SFI_PAGE_INDEX_INTERIOR;
    sfi_put_u16be(p + 3, page->cells);
    sfi_put_u16be(p + 5, page->content & 0xFFFFu); /* 65536 is written as 0 */
    if (header == SFI_INTERIOR_HEADER) {
        sfi_put_u32be(p + 8, page->right);
    }
    memset(p + end, 0, page->content - end);
}

static shardy_status write_leaf(struct sfi_tree *tree, struct sfi_tree_page *page, uint32_t *number,
                                shardy_error *err)
{
    uint8_t *to;
    seal_page(page, SFI_LEAF_HEADER);
    SFI_RETURN_IF_ERR(sfi_output_page(tree->out, &to, number, err));
    memcpy(to, page->image, tree->page_size);
    return SHARDY_OK;
}

/* Keep a completed interior page; @param[out] index under which its parent knows it. */
static shardy_status keep_interior(struct sfi_tree *tree, struct sfi_level *level,
                                   struct sfi_tree_page *page, uint32_t *index, shardy_error *err)
{
    void *images = level->images;
    void *numbers = level->numbers;
    bool grown =
        sfi_array_grow(&images, &level->images_capacity, level->count + 1, sizeof *level->images);
    level->images = images;
    if (grown) {
        grown = sfi_array_grow(&numbers, &level->numbers_capacity, level->count + 1,
                               sizeof *level->numbers);
        level->numbers = numbers;
    }
    uint8_t *copy = grown ? sfi_malloc(tree->page_size) : NULL;
    if (!copy) {
        return sfi_fail_memory(err, tree->page_size);
    }
    seal_page(page, SFI_INTERIOR_HEADER);
    memcpy(copy, page->image, tree->page_size);
    level->images[level->count] = copy;
    level->numbers[level->count] = 0;
    *index = (uint32_t)level->count++;
    tree->held_bytes += tree->page_size;
    return SHARDY_OK;
}

/* Replace child indexes by page numbers: parents are written after their children. */
static void patch_children(const struct sfi_level *below, uint8_t *image)
{
    uint32_t cells = sfi_get_u16be(image + 3);
    for (uint32_t i = 0; i <= cells; i++) {
        uint8_t *at =
            i < cells ? image + sfi_get_u16be(image + SFI_INTERIOR_HEADER + 2 * i) : image + 8;
        sfi_put_u32be(at, below->numbers[sfi_get_u32be(at)]);
    }
}

static shardy_status write_interior(struct sfi_tree *tree, unsigned index, shardy_error *err)
{
    struct sfi_level *level = &tree->levels[index];
    for (size_t p = level->written; p < level->count; p++) {
        uint8_t *to;
        if (index > 1) {
            patch_children(&tree->levels[index - 1], level->images[p]);
        }
        SFI_RETURN_IF_ERR(sfi_output_page(tree->out, &to, &level->numbers[p], err));
        memcpy(to, level->images[p], tree->page_size);
    }
    return SHARDY_OK;
}

/* Past the bound, the lowest interior level (whose children are leaves, already numbered) goes to
 * the file now. */
static shardy_status write_early(struct sfi_tree *tree, shardy_error *err)
{
    struct sfi_level *level = &tree->levels[1];
    SFI_RETURN_IF_ERR(write_interior(tree, 1, err));
    for (size_t p = level->written; p < level->count; p++) {
        sfi_free(level->images[p]);
        level->images[p] = NULL;
        tree->held_bytes -= tree->page_size;
    }
    level->written = level->count;
    tree->wrote_early = true;
    return SHARDY_OK;
}

static shardy_status push(struct sfi_tree *tree, unsigned index, uint32_t child,
                          const uint8_t *body, uint32_t size, shardy_error *err);

/* Complete the held page of a level: it becomes the left child of its divider one level up. */
static shardy_status release_held(struct sfi_tree *tree, unsigned index, shardy_error *err)
{
    struct sfi_level *level = &tree->levels[index];
    uint32_t child;
    level->has_held = false;
    if (index == 0) {
        SFI_RETURN_IF_ERR(write_leaf(tree, &level->held, &child, err));
    } else {
        SFI_RETURN_IF_ERR(keep_interior(tree, level, &level->held, &child, err));
    }
    return push(tree, index + 1, child, level->divider, level->divider_size, err);
}

/* Close the open page with `body` as divider; the page is held until something follows. */
static void hold(struct sfi_tree *tree, struct sfi_level *level, const uint8_t *body, uint32_t size)
{
    struct sfi_tree_page page = level->held;
    level->held = level->open;
    level->open = page;
    reset_page(tree, &level->open);
    memcpy(level->divider, body, size);
    level->divider_size = size;
    level->has_held = true;
}

/* Give an interior level a divider with its left child. */
static shardy_status push(struct sfi_tree *tree, unsigned index, uint32_t child,
                          const uint8_t *body, uint32_t size, shardy_error *err)
{
    if (index == tree->depth) {
        if (index == SFI_BTREE_MAX_DEPTH) {
            return sfi_fail(err, SHARDY_LIMIT, "shard b-tree deeper than %u levels",
                            SFI_BTREE_MAX_DEPTH);
        }
        SFI_RETURN_IF_ERR(open_level(tree, index, err));
    }
    struct sfi_level *level = &tree->levels[index];
    if (level->has_held) {
        SFI_RETURN_IF_ERR(release_held(tree, index, err));
    }
    if (!page_add(&level->open, SFI_INTERIOR_HEADER, child, body, size)) {
        level->open.right = child;
        hold(tree, level, body, size);
    }
    if (tree->held_bytes > SFI_BUILDER_HELD_MAX &&
        tree->levels[1].count > tree->levels[1].written) {
        return write_early(tree, err);
    }
    return SHARDY_OK;
}

/*
 * How many of the last leaf cells to take out so that the divider gets small: 0 = the new cell
 * becomes the divider. Cost = divider, weighted, plus what the taken-out cells leave empty.
 */
static uint32_t choose_divider(const struct sfi_tree *tree, const struct sfi_tree_page *page,
                               uint32_t new_size)
{
    uint32_t best = 0;
    uint32_t best_cost = DIVIDER_WEIGHT * new_size;
    uint32_t moved = 0;
    for (uint32_t k = 1; k <= DIVIDER_CANDIDATES && k + 2 <= page->cells; k++) {
        uint32_t at = page->cells - k;
        uint32_t size =
            cell_end(tree, page, SFI_LEAF_HEADER, at) - cell_offset(page, SFI_LEAF_HEADER, at);
        moved += size;
        if (DIVIDER_WEIGHT * size + moved < best_cost) {
            best_cost = DIVIDER_WEIGHT * size + moved;
            best = k;
        }
    }
    return best;
}

/* Close the open leaf at its k-th last cell, which becomes the divider; the cells after it and the
 * new one start the next leaf. */
static shardy_status split_leaf(struct sfi_tree *tree, uint32_t k, const uint8_t *cell,
                                uint32_t size, shardy_error *err)
{
    struct sfi_level *leaf = &tree->levels[0];
    uint32_t cells = leaf->open.cells;
    uint32_t at = cell_offset(&leaf->open, SFI_LEAF_HEADER, cells - k);
    uint32_t end = cell_end(tree, &leaf->open, SFI_LEAF_HEADER, cells - k);
    uint8_t *image = leaf->open.image;
    hold(tree, leaf, image + at, end - at);
    for (uint32_t i = cells - k + 1; i < cells; i++) {
        uint32_t from = cell_offset(&leaf->held, SFI_LEAF_HEADER, i);
        uint32_t to = cell_end(tree, &leaf->held, SFI_LEAF_HEADER, i);
        page_add(&leaf->open, SFI_LEAF_HEADER, 0, image + from, to - from);
    }
    leaf->held.cells = cells - k;
    leaf->held.content = end;
    SFI_RETURN_IF_ERR(release_held(tree, 0, err));
    page_add(&leaf->open, SFI_LEAF_HEADER, 0, cell, size);
    return SHARDY_OK;
}

shardy_status sfi_tree_add_leaf_cell(struct sfi_tree *tree, const uint8_t *cell, uint32_t size,
                                     shardy_error *err)
{
    struct sfi_level *leaf = &tree->levels[0];
    if (leaf->has_held) {
        SFI_RETURN_IF_ERR(release_held(tree, 0, err));
    }
    if (page_add(&leaf->open, SFI_LEAF_HEADER, 0, cell, size)) {
        return SHARDY_OK;
    }
    uint32_t k = choose_divider(tree, &leaf->open, size);
    if (k) {
        return split_leaf(tree, k, cell, size, err);
    }
    hold(tree, leaf, cell, size);
    return SHARDY_OK;
}

/*
 * Nothing followed the held page: take its last cell out as divider, and let the old divider be
 * the only cell of the last page. Pages hold at least four cells, so the held one keeps some.
 */
static shardy_status refill_last(struct sfi_tree *tree, unsigned index, shardy_error *err)
{
    struct sfi_level *level = &tree->levels[index];
    uint32_t header = header_size(tree, level);
    uint32_t extra = header == SFI_INTERIOR_HEADER ? 4 : 0;
    struct sfi_tree_page *held = &level->held;
    uint32_t last = held->cells - 1;
    uint32_t at = cell_offset(held, header, last);
    uint32_t end = cell_end(tree, held, header, last);
    page_add(&level->open, header, held->right, level->divider, level->divider_size);
    if (extra) {
        held->right = sfi_get_u32be(held->image + at);
    }
    level->divider_size = end - at - extra;
    memcpy(level->divider, held->image + at + extra, level->divider_size);
    held->cells = last;
    held->content = end;
    return release_held(tree, index, err);
}

/* Complete level after level; the one that ends up with a single page is the root. */
static shardy_status finish_levels(struct sfi_tree *tree, uint32_t *root_leaf, shardy_error *err)
{
    uint32_t child = 0;
    for (unsigned i = 0; i < tree->depth; i++) {
        struct sfi_level *level = &tree->levels[i];
        level->open.right = child;
        if (level->has_held) {
            SFI_RETURN_IF_ERR(refill_last(tree, i, err));
            level->open.right = child;
        }
        if (i == 0) {
            SFI_RETURN_IF_ERR(write_leaf(tree, &level->open, &child, err));
            *root_leaf = child;
        } else {
            SFI_RETURN_IF_ERR(keep_interior(tree, level, &level->open, &child, err));
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_tree_finish(struct sfi_tree *tree, uint32_t *root, uint32_t *tail_pages,
                              shardy_error *err)
{
    *tail_pages = 0;
    SFI_RETURN_IF_ERR(finish_levels(tree, root, err));
    uint32_t first = tree->out->next;
    for (unsigned i = 1; i < tree->depth; i++) {
        SFI_RETURN_IF_ERR(write_interior(tree, i, err));
        *root = tree->levels[i].numbers[tree->levels[i].count - 1];
    }
    *tail_pages = tree->out->next - first;
    return SHARDY_OK;
}

size_t sfi_tree_interior_count(const struct sfi_tree *tree)
{
    size_t count = 0;
    for (unsigned i = 1; i < tree->depth; i++) {
        count += tree->levels[i].count;
    }
    return count;
}

void sfi_tree_interior_pages(const struct sfi_tree *tree, struct sfi_sidecar_page *pages)
{
    size_t n = 0;
    for (unsigned i = 1; i < tree->depth; i++) {
        const struct sfi_level *level = &tree->levels[i];
        for (size_t p = 0; p < level->count; p++) {
            pages[n].number = level->numbers[p];
            pages[n++].image = level->images[p];
        }
    }
}
