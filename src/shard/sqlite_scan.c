/*
 * sqlite_scan.c - rows of a shard in key order, along the leaf directory: a leaf's cells, the
 * separator behind it, the next leaf.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sqlite_btree.h"

struct sfi_shard_cursor {
    const struct sfi_btree *tree;
    uint32_t leaf;     /* index in the directory; leaf_count = end */
    uint32_t cell;     /* next cell of that leaf; `cells` = the separator behind it */
    uint32_t cells;    /* of that leaf */
    uint8_t *key_copy; /* of the row delivered last */
    uint8_t *value_copy;
    shardy_status failed; /* damage met behind rows that were delivered */
    shardy_error failure;
};

static shardy_status load_leaf(struct sfi_shard_cursor *cursor, shardy_error *err)
{
    cursor->cell = 0;
    cursor->cells = 0;
    return sfi_btree_leaf(cursor->tree, cursor->tree->leaves[cursor->leaf], &cursor->cells, err);
}

/* First cell of the current leaf whose key is >= start. */
static shardy_status lower_bound(struct sfi_shard_cursor *cursor, struct sfi_bytes start,
                                 shardy_error *err)
{
    uint32_t number = cursor->tree->leaves[cursor->leaf];
    uint32_t lo = 0;
    uint32_t hi = cursor->cells;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        struct sfi_cell cell;
        int order;
        SFI_RETURN_IF_ERR(sfi_btree_cell(cursor->tree, number, SFI_LEAF_HEADER, mid, &cell, err));
        SFI_RETURN_IF_ERR(sfi_btree_compare(cursor->tree, number, start, &cell, &order, err));
        if (order > 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    cursor->cell = lo;
    return SHARDY_OK;
}

shardy_status sfi_btree_seek(struct sfi_shard_reader *shard, struct sfi_bytes start,
                             struct sfi_shard_cursor **out, shardy_error *err)
{
    struct sfi_shard_cursor *cursor = sfi_calloc(1, sizeof *cursor);
    shardy_status st = SHARDY_OK;
    bool equal = false;
    *out = NULL;
    if (!cursor) {
        return sfi_fail_memory(err, sizeof *cursor);
    }
    cursor->tree = (const struct sfi_btree *)shard;
    if (start.size) {
        uint64_t prefix = sfi_key_prefix(start.data, start.size);
        SFI_TRY(sfi_btree_find(cursor->tree, start, prefix, &cursor->leaf, &equal, err));
    }
    SFI_TRY(load_leaf(cursor, err));
    if (equal) {
        cursor->cell = cursor->cells;
    } else if (start.size) {
        SFI_TRY(lower_bound(cursor, start, err));
    }
    *out = cursor;
out:
    if (st != SHARDY_OK) {
        sfi_btree_cursor_free(cursor);
    }
    return st;
}

/* Ask for a part of the next leaf with every row of this one, so that it is there in time. */
static inline void prefetch_next_leaf(const struct sfi_shard_cursor *cursor)
{
    const struct sfi_btree *tree = cursor->tree;
    if (cursor->leaf + 1 < tree->leaf_count) {
        uint32_t part = tree->usable / cursor->cells;
        const uint8_t *page = sfi_btree_page(tree, tree->leaves[cursor->leaf + 1]);
        const uint8_t *from = page + (size_t)part * cursor->cell;
        for (uint32_t at = 0; at < part && at < 256; at += 64) {
            __builtin_prefetch(from + at);
        }
    }
}

static void free_copies(struct sfi_shard_cursor *cursor)
{
    sfi_free(cursor->key_copy);
    sfi_free(cursor->value_copy);
    cursor->key_copy = NULL;
    cursor->value_copy = NULL;
}

/* A row whose payload lies whole in its page costs nothing; others are copied. */
static shardy_status deliver(struct sfi_shard_cursor *cursor, const struct sfi_cell *cell,
                             uint32_t page, struct sfi_row *row, shardy_error *err)
{
    struct sfi_bytes key;
    struct sfi_bytes value;
    row->key_size = (uint32_t)cell->key_size;
    row->value_size = (uint32_t)cell->value_size;
    if (cell->local == cell->size) {
        row->key = cell->payload + cell->header;
        row->value = row->key + cell->key_size;
        return SHARDY_OK;
    }
    if (cell->value_size > SFI_VALUE_MAX_BYTES) {
        return sfi_btree_damage(cursor->tree, page, cell->payload,
                                "value is longer than any writer stores", err);
    }
    SFI_RETURN_IF_ERR(sfi_btree_key(cursor->tree, page, cell, &key, &cursor->key_copy, err));
    SFI_RETURN_IF_ERR(sfi_btree_value(cursor->tree, page, cell, &value, &cursor->value_copy, err));
    row->key = key.data;
    row->value = value.data;
    return SHARDY_OK;
}

/* Parse the row the cursor stands on and step over it. */
static shardy_status take_row(struct sfi_shard_cursor *cursor, struct sfi_row *row, bool *found,
                              shardy_error *err)
{
    const struct sfi_btree *tree = cursor->tree;
    struct sfi_cell cell;
    uint32_t page;
    *found = true;
    if (cursor->cell < cursor->cells) {
        page = tree->leaves[cursor->leaf];
        prefetch_next_leaf(cursor);
        SFI_RETURN_IF_ERR(sfi_btree_cell(tree, page, SFI_LEAF_HEADER, cursor->cell, &cell, err));
        cursor->cell++;
    } else if (cursor->leaf + 1 < tree->leaf_count) {
        uint32_t separator = cursor->leaf;
        page = (uint32_t)(tree->cells[separator] / tree->page_size) + 1;
        SFI_RETURN_IF_ERR(sfi_btree_separator(tree, separator, &cell, err));
        cursor->leaf++;
        SFI_RETURN_IF_ERR(load_leaf(cursor, err));
    } else {
        *found = false;
        return SHARDY_OK;
    }
    return deliver(cursor, &cell, page, row, err);
}

shardy_status sfi_btree_next(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                             size_t *count, shardy_error *err)
{
    *count = 0;
    if (cursor->key_copy || cursor->value_copy) {
        free_copies(cursor);
    }
    if (cursor->failed != SHARDY_OK) {
        if (err) {
            *err = cursor->failure;
        }
        return cursor->failed;
    }
    while (*count < max) {
        bool found;
        shardy_status st = take_row(cursor, &rows[*count], &found, &cursor->failure);
        if (st != SHARDY_OK) {
            cursor->failed = st;
            if (*count == 0 && err) {
                *err = cursor->failure;
            }
            return *count ? SHARDY_OK : st;
        }
        if (!found) {
            break;
        }
        (*count)++;
        if (cursor->key_copy || cursor->value_copy) {
            break; /* one copied row at a time */
        }
    }
    return SHARDY_OK;
}

void sfi_btree_cursor_free(struct sfi_shard_cursor *cursor)
{
    if (cursor) {
        free_copies(cursor);
        sfi_free(cursor);
    }
}
