/*
 * sqlite_scan.c - rows of a shard in key order, along the leaf directory: a leaf's cells, the
 * separator behind it, the next leaf. Most tables hold rows of few sizes: a cell that begins like
 * the one before it is not taken apart again.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sqlite_btree.h"

/* How a cell of a row that lies whole in its page begins: payload size and record header. */
struct shape {
    uint64_t bits;   /* those bytes, as loaded */
    uint64_t mask;   /* 0: no shape known */
    uint32_t prefix; /* how many they are */
    uint32_t size;   /* of the whole cell */
    uint32_t key_size;
    uint32_t value_size;
};

struct sfi_shard_cursor {
    const struct sfi_btree *tree;
    uint32_t leaf;  /* index in the directory; leaf_count = end */
    uint32_t cell;  /* next cell of that leaf; `cells` = the separator behind it */
    uint32_t cells; /* of that leaf */
    struct shape shape;
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

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t bits;
    memcpy(&bits, p, sizeof bits);
    return bits;
}

/* Remember how this cell, at p, begins. */
static void learn(struct shape *shape, const uint8_t *p, const uint8_t *end,
                  const struct sfi_cell *cell)
{
    size_t prefix = (size_t)(cell->payload - p) + cell->header;
    shape->mask = 0;
    if (cell->local == cell->size && prefix <= 8 && end - p >= 8) {
        uint8_t ones[8] = {0};
        memset(ones, 0xFF, prefix);
        shape->mask = load64(ones);
        shape->bits = load64(p) & shape->mask;
        shape->prefix = (uint32_t)prefix;
        shape->size = (uint32_t)(cell->payload - p) + cell->local;
        shape->key_size = (uint32_t)cell->key_size;
        shape->value_size = (uint32_t)cell->value_size;
    }
}

static shardy_status take_cell(struct sfi_shard_cursor *cursor, uint32_t page, struct sfi_row *row,
                               shardy_error *err)
{
    const struct sfi_btree *tree = cursor->tree;
    const uint8_t *image = sfi_btree_page(tree, page);
    uint32_t at = sfi_get_u16be(image + SFI_LEAF_HEADER + 2 * cursor->cell);
    struct sfi_cell cell;
    SFI_RETURN_IF_ERR(sfi_btree_cell(tree, page, SFI_LEAF_HEADER, cursor->cell, &cell, err));
    learn(&cursor->shape, image + at, image + tree->usable, &cell);
    cursor->cell++;
    return deliver(cursor, &cell, page, row, err);
}

/* Cells of the current leaf, until one had to be copied. */
static inline shardy_status take_cells(struct sfi_shard_cursor *cursor, struct sfi_row *rows,
                                       size_t max, size_t *count, shardy_error *err)
{
    const struct sfi_btree *tree = cursor->tree;
    uint32_t page = tree->leaves[cursor->leaf];
    const uint8_t *image = sfi_btree_page(tree, page);
    while (*count < max && cursor->cell < cursor->cells) {
        const struct shape *shape = &cursor->shape;
        uint32_t at = sfi_get_u16be(image + SFI_LEAF_HEADER + 2 * cursor->cell);
        struct sfi_row *row = &rows[*count];
        prefetch_next_leaf(cursor);
        if (shape->mask && at >= SFI_LEAF_HEADER && at + 8 <= tree->usable &&
            at + shape->size <= tree->usable && (load64(image + at) & shape->mask) == shape->bits) {
            row->key = image + at + shape->prefix;
            row->key_size = shape->key_size;
            row->value = row->key + shape->key_size;
            row->value_size = shape->value_size;
            cursor->cell++;
        } else {
            SFI_RETURN_IF_ERR(take_cell(cursor, page, row, err));
        }
        ++*count;
        if (cursor->key_copy || cursor->value_copy) {
            break;
        }
    }
    return SHARDY_OK;
}

/* The separator behind the leaf that was read to its end; then the next leaf. */
static shardy_status take_separator(struct sfi_shard_cursor *cursor, struct sfi_row *row,
                                    size_t *count, shardy_error *err)
{
    const struct sfi_btree *tree = cursor->tree;
    uint32_t separator = cursor->leaf;
    uint32_t page = (uint32_t)(tree->cells[separator] / tree->page_size) + 1;
    struct sfi_cell cell;
    SFI_RETURN_IF_ERR(sfi_btree_separator(tree, separator, &cell, err));
    cursor->leaf++;
    SFI_RETURN_IF_ERR(load_leaf(cursor, err));
    SFI_RETURN_IF_ERR(deliver(cursor, &cell, page, row, err));
    ++*count;
    return SHARDY_OK;
}

/* Rows until `max`, the end, or one that had to be copied: there is room for one copy at a time. */
static shardy_status take_rows(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                               size_t *count, shardy_error *err)
{
    while (*count < max && !cursor->key_copy && !cursor->value_copy) {
        if (cursor->cell < cursor->cells) {
            SFI_RETURN_IF_ERR(take_cells(cursor, rows, max, count, err));
        } else if (cursor->leaf + 1 < cursor->tree->leaf_count) {
            SFI_RETURN_IF_ERR(take_separator(cursor, &rows[*count], count, err));
        } else {
            break;
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_next(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                             size_t *count, shardy_error *err)
{
    *count = 0;
    if (cursor->key_copy || cursor->value_copy) {
        free_copies(cursor);
    }
    if (cursor->failed == SHARDY_OK) {
        cursor->failed = take_rows(cursor, rows, max, count, &cursor->failure);
    }
    if (cursor->failed != SHARDY_OK && *count == 0) {
        if (err) {
            *err = cursor->failure;
        }
        return cursor->failed;
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
