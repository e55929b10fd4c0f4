/*
 * sqlite_tree.h - a b-tree written bottom-up from cells in key order. Level 0 holds the leaves,
 * which go to the output as they close; the levels above are kept until the end.
 *
 * Every page but the last of a level is closed by a divider: a cell that moves up between two
 * pages. A closed page is held until its level receives another cell, so that the last page of a
 * level is never empty: if nothing follows, one cell is taken back out of the held page.
 */
#ifndef SFI_SHARD_SQLITE_TREE_H
#define SFI_SHARD_SQLITE_TREE_H

#include "base/limits.h"
#include "shard/sidecar.h"
#include "shard/sqlite_format.h"
#include "shard/sqlite_output.h"

/* A page under construction: cells grow down from the end, pointers up from the header. */
struct sfi_tree_page {
    uint8_t *image;
    uint32_t cells;
    uint32_t content; /* offset of the lowest cell */
    uint32_t right;   /* interior: rightmost child */
};

struct sfi_level {
    struct sfi_tree_page open;
    struct sfi_tree_page held; /* closed, waiting for a successor */
    bool has_held;
    uint8_t *divider; /* between `held` and `open`, without child number */
    uint32_t divider_size;

    /* Completed interior pages: images are NULL once written; numbers are 0 until then. A page is
     * known to its parent by its index here. */
    uint8_t **images;
    uint32_t *numbers;
    size_t count;
    size_t images_capacity;
    size_t numbers_capacity;
    size_t written; /* images below this index are in the file */
};

struct sfi_tree {
    struct sfi_output *out;
    uint32_t page_size;
    unsigned depth; /* levels in use */
    size_t held_bytes;
    bool wrote_early; /* lowest interior level was written in place */
    struct sfi_level levels[SFI_BTREE_MAX_DEPTH];
};

shardy_status sfi_tree_init(struct sfi_tree *tree, struct sfi_output *out, uint32_t page_size,
                            shardy_error *err);
void sfi_tree_clear(struct sfi_tree *tree);

/* Room for a leaf cell, or NULL when sfi_tree_add_leaf_cell() must be asked. */
static inline uint8_t *sfi_tree_leaf_room(struct sfi_tree *tree, uint32_t size)
{
    struct sfi_level *leaf = &tree->levels[0];
    struct sfi_tree_page *page = &leaf->open;
    if (page->cells == 0 || SFI_LEAF_HEADER + 2 * (page->cells + 1) + size > page->content) {
        return NULL;
    }
    page->content -= size;
    sfi_put_u16be(page->image + SFI_LEAF_HEADER + 2 * page->cells, page->content);
    page->cells++;
    return page->image + page->content;
}

/* Add a leaf cell, closing pages as needed. */
shardy_status sfi_tree_add_leaf_cell(struct sfi_tree *tree, const uint8_t *cell, uint32_t size,
                                     shardy_error *err);
/* Complete all levels and write the interior pages. @param[out] root page number. */
shardy_status sfi_tree_finish(struct sfi_tree *tree, uint32_t *root, uint32_t *tail_pages,
                              shardy_error *err);
/* Interior pages in file order for the sidecar; only when !wrote_early. Appends to `pages`. */
size_t sfi_tree_interior_count(const struct sfi_tree *tree);
void sfi_tree_interior_pages(const struct sfi_tree *tree, struct sfi_sidecar_page *pages);

#endif
