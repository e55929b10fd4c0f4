/*
 * sqlite_btree.h - an open SQLite shard: the mapped file and its leaf directory.
 *
 * The directory is a sorted array of separators (the rows in interior cells) between leaf pages.
 * Finding a leaf is one search in cache instead of a descent through pages. Separators are
 * compared by 8 bytes behind the prefix that all of them share; ties go to the interior cell.
 */
#ifndef SFI_SHARD_SQLITE_BTREE_H
#define SFI_SHARD_SQLITE_BTREE_H

#include "shard/shard.h"
#include "shard/sqlite_cell.h"

struct sfi_btree {
    struct sfi_shard_reader base;
    struct sfi_mapping image;
    char *name;
    const uint8_t *data;
    uint32_t page_size;
    uint32_t usable; /* page_size less the reserved bytes */
    uint32_t page_count;
    uint32_t root;
    uint32_t interior_count;
    bool ours;
    atomic_uint leaf_cells;     /* cells of some leaf, a hint for prefetching; 0 = unknown */
    atomic_uint leaf_cell_size; /* bytes of its cells on average */

    /* Directory: leaf i lies before separator i; there are leaf_count - 1 separators. */
    uint32_t leaf_count;
    uint32_t *leaves;     /* page numbers */
    uint64_t *separators; /* key bytes [common, common + 8), big-endian, zero padded */
    uint64_t *cells;      /* file offset of each separator's cell, behind its child number */
    size_t common;        /* bytes that all separator keys share */
    uint8_t *common_bytes;

    /* Guide into `separators`: guide[(s - guide_base) >> guide_shift] = first separator not below
     * that bucket; one entry more than buckets. */
    uint32_t *guide;
    uint32_t guide_count;
    unsigned guide_shift;
    uint64_t guide_base;
};

static inline const uint8_t *sfi_btree_page(const struct sfi_btree *tree, uint32_t number)
{
    return tree->data + (uint64_t)(number - 1) * tree->page_size;
}

/* CORRUPT naming the shard, the page and the byte offset in the file. */
shardy_status sfi_btree_damage(const struct sfi_btree *tree, uint32_t page, const uint8_t *at,
                               const char *what, shardy_error *err);

/* Check a leaf's header; @param[out] cells. Cell pointers are checked when they are followed. */
shardy_status sfi_btree_leaf(const struct sfi_btree *tree, uint32_t number, uint32_t *cells,
                             shardy_error *err);
/* Parse cell `index` of index page `number` (child number skipped for interior pages). */
shardy_status sfi_btree_cell(const struct sfi_btree *tree, uint32_t number, uint32_t header,
                             uint32_t index, struct sfi_cell *cell, shardy_error *err);
/* Parse separator `index`. */
shardy_status sfi_btree_separator(const struct sfi_btree *tree, uint32_t index,
                                  struct sfi_cell *cell, shardy_error *err);

/*
 * Copy payload bytes [offset, offset + size) of a cell to `to`, following its overflow chain link
 * by link.
 */
shardy_status sfi_btree_read(const struct sfi_btree *tree, uint32_t page,
                             const struct sfi_cell *cell, uint64_t offset, uint64_t size,
                             uint8_t *to, shardy_error *err);
/* The cell's key: in the page, or copied to *copy (sfi_malloc'd) when it overflows. */
shardy_status sfi_btree_key(const struct sfi_btree *tree, uint32_t page,
                            const struct sfi_cell *cell, struct sfi_bytes *key, uint8_t **copy,
                            shardy_error *err);
/* The same for the value. An empty value gets a non-NULL pointer. */
shardy_status sfi_btree_value(const struct sfi_btree *tree, uint32_t page,
                              const struct sfi_cell *cell, struct sfi_bytes *value, uint8_t **copy,
                              shardy_error *err);
/* Order of `key` against the cell's key: <0, 0, >0 in *order. */
shardy_status sfi_btree_compare(const struct sfi_btree *tree, uint32_t page, struct sfi_bytes key,
                                const struct sfi_cell *cell, int *order, shardy_error *err);

/*
 * First separator that is >= key; `leaf_count - 1` when there is none. *equal when it is the key
 * itself (then it is the row, otherwise the row is in the leaf of the same index).
 */
shardy_status sfi_btree_find(const struct sfi_btree *tree, struct sfi_bytes key, uint64_t prefix,
                             uint32_t *index, bool *equal, shardy_error *err);

/* Separators [lo, hi) whose 8 bytes are the key's; lo is the first one not below them. */
void sfi_btree_ties(const struct sfi_btree *tree, struct sfi_bytes key, uint64_t prefix,
                    uint32_t *lo, uint32_t *hi);

/* Asked before a page is read, when not every page of the file is in memory. */
struct sfi_page_gate {
    bool (*has)(struct sfi_page_gate *gate, uint32_t page);  /* false: counted as missing, noted */
    bool (*peek)(struct sfi_page_gate *gate, uint32_t page); /* the same without noting it */
    uint64_t missing;
    bool too_shallow; /* an interior page stands where leaves were expected */
};

/* Header of the file into the geometry of the tree; image size and data are set. */
shardy_status sfi_btree_open_header(struct sfi_btree *tree, shardy_error *err);
/* Root of kv out of the schema table. With a gate (may be NULL) it stays 0 while pages miss. */
shardy_status sfi_btree_find_root(struct sfi_btree *tree, struct sfi_page_gate *gate,
                                  shardy_error *err);
/* Fill the directory from the interior pages; root page and geometry are set. */
shardy_status sfi_btree_load_directory(struct sfi_btree *tree, shardy_error *err);
/* The same with leaves at `leaf_depth` (root = 0). With a gate: incomplete, and to be freed, when
 * pages miss or the gate says too shallow. */
shardy_status sfi_btree_load_levels(struct sfi_btree *tree, unsigned leaf_depth,
                                    struct sfi_page_gate *gate, shardy_error *err);
void sfi_btree_free_directory(struct sfi_btree *tree);

/* Lookups and cursors. */
shardy_status sfi_btree_get(struct sfi_lookup *lookups, size_t count, size_t *failed,
                            shardy_error *err);
shardy_status sfi_btree_seek(struct sfi_shard_reader *shard, struct sfi_bytes start,
                             struct sfi_shard_cursor **cursor, shardy_error *err);
shardy_status sfi_btree_next(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                             size_t *count, shardy_error *err);
void sfi_btree_cursor_free(struct sfi_shard_cursor *cursor);

#endif
