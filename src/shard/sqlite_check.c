/*
 * sqlite_check.c - the walk over every page of an open shard: what SQLite's integrity_check says
 * of it, plus our own rules. Every leaf, cell and overflow chain is visited once, keys ascend, no
 * page belongs to two owners. Format: docs/format/shard.md. What the keys mean is left to verify.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sidecar.h"
#include "shard/sqlite_btree.h"

#include <stdio.h>
#include <stdlib.h>

#define FREEBLOCK_MIN 4u

struct check {
    const struct sfi_btree *tree;
    shardy_status (*row)(void *arg, struct sfi_bytes key, struct sfi_bytes value,
                         shardy_error *err);
    void *arg;
    uint8_t *used; /* bitmap of pages */
    uint32_t lock_page;
    uint32_t schema_rows;
    unsigned leaf_depth; /* of the first leaf met */
    bool leaf_met;
    struct sfi_bytes last; /* key before; in the file or in last_copy */
    uint8_t *last_copy;
    bool has_last;
    uint64_t *extents; /* occupied byte ranges of the page at hand: start << 32 | end */
    size_t extent_count;
    size_t extents_capacity;
};

static bool is_used(const struct check *check, uint32_t number)
{
    return check->used[number >> 3] & 1u << (number & 7);
}

/* Page `number`, named by the bytes `at` of page `from`, gets its one owner. */
static shardy_status use_page(struct check *check, uint32_t number, uint32_t from,
                              const uint8_t *at, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    char what[96];
    if (number < 2 || number > tree->page_count || number == check->lock_page) {
        snprintf(what, sizeof what, "names page %u, which is not a usable page of the file",
                 number);
        return sfi_btree_damage(tree, from, at, what, err);
    }
    if (is_used(check, number)) {
        snprintf(what, sizeof what, "names page %u, which is used elsewhere too", number);
        return sfi_btree_damage(tree, from, at, what, err);
    }
    check->used[number >> 3] |= (uint8_t)(1u << (number & 7));
    return SHARDY_OK;
}

/* An overflow chain of `size` bytes; `link` is where its first page is named, in page `from`. */
static shardy_status use_chain(struct check *check, const uint8_t *link, uint64_t size,
                               uint32_t from, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    uint64_t pages = (size - 1) / (tree->usable - 4) + 1;
    for (; pages; pages--) {
        uint32_t number = sfi_get_u32be(link);
        SFI_RETURN_IF_ERR(use_page(check, number, from, link, err));
        link = sfi_btree_page(tree, number);
        from = number;
    }
    if (sfi_get_u32be(link)) {
        return sfi_btree_damage(tree, from, link, "overflow chain goes on behind its payload", err);
    }
    return SHARDY_OK;
}

static shardy_status add_extent(struct check *check, uint32_t start, uint32_t end,
                                shardy_error *err)
{
    void *extents = check->extents;
    if (!sfi_array_grow(&extents, &check->extents_capacity, check->extent_count + 1,
                        sizeof *check->extents)) {
        return sfi_fail_memory(err, (check->extent_count + 1) * sizeof *check->extents);
    }
    check->extents = extents;
    check->extents[check->extent_count++] = (uint64_t)start << 32 | end;
    return SHARDY_OK;
}

static shardy_status add_freeblocks(struct check *check, uint32_t number, const uint8_t *head,
                                    shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *page = sfi_btree_page(tree, number);
    const uint8_t *link = head + 1;
    uint32_t last = 0;
    for (uint32_t at; (at = sfi_get_u16be(link)) != 0; link = page + at) {
        uint32_t size = at + FREEBLOCK_MIN <= tree->usable ? sfi_get_u16be(page + at + 2) : 0;
        if (at <= last || size < FREEBLOCK_MIN || at + size > tree->usable) {
            return sfi_btree_damage(tree, number, link, "list of free blocks is malformed", err);
        }
        SFI_RETURN_IF_ERR(add_extent(check, at, at + size, err));
        last = at;
    }
    return SHARDY_OK;
}

static int compare_extents(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* Cells and free blocks share no byte, and the header counts the bytes between them. */
static shardy_status check_extents(struct check *check, uint32_t number, const uint8_t *head,
                                   uint32_t pointers_end, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *page = sfi_btree_page(tree, number);
    uint32_t content = sfi_get_u16be(head + 5) ? sfi_get_u16be(head + 5) : 65536;
    uint32_t at = content;
    uint32_t fragments = 0;
    if (content < pointers_end || content > tree->usable) {
        return sfi_btree_damage(tree, number, head + 5, "cell area starts at a wrong place", err);
    }
    SFI_RETURN_IF_ERR(add_freeblocks(check, number, head, err));
    if (check->extent_count > 1) {
        qsort(check->extents, check->extent_count, sizeof *check->extents, compare_extents);
    }
    for (size_t i = 0; i < check->extent_count; i++) {
        uint32_t start = (uint32_t)(check->extents[i] >> 32);
        if (start < at) {
            return sfi_btree_damage(
                tree, number, page + start,
                i ? "cells or free blocks overlap" : "cell lies in front of the cell area", err);
        }
        fragments += start - at;
        at = (uint32_t)check->extents[i];
    }
    fragments += tree->usable - at;
    if (fragments != head[7]) {
        return sfi_btree_damage(tree, number, head + 7, "count of unused bytes is wrong", err);
    }
    return SHARDY_OK;
}

static shardy_status check_order(struct check *check, uint32_t number, const struct sfi_cell *cell,
                                 shardy_error *err)
{
    struct sfi_bytes key;
    uint8_t *copy;
    SFI_RETURN_IF_ERR(sfi_btree_key(check->tree, number, cell, &key, &copy, err));
    bool ascends = !check->has_last || sfi_bytes_compare(check->last, key) < 0;
    sfi_free(check->last_copy);
    check->last = key;
    check->last_copy = copy;
    check->has_last = true;
    return ascends ? SHARDY_OK
                   : sfi_btree_damage(check->tree, number, cell->payload,
                                      "key is not greater than the one before", err);
}

static shardy_status give_row(struct check *check, uint32_t number, const struct sfi_cell *cell,
                              shardy_error *err)
{
    struct sfi_bytes value;
    uint8_t *copy;
    if (!check->row) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_btree_value(check->tree, number, cell, &value, &copy, err));
    shardy_status st = check->row(check->arg, check->last, value, err);
    sfi_free(copy);
    return st;
}

/* A cell whose bounds are checked already: its chain, its key, its row. */
static shardy_status check_row(struct check *check, uint32_t number, const struct sfi_cell *cell,
                               shardy_error *err)
{
    const uint8_t *local_end = cell->payload + cell->local;
    if (cell->local < cell->size) {
        /* Before anything is copied: the pages then hold the whole payload. */
        SFI_RETURN_IF_ERR(use_chain(check, local_end, cell->size - cell->local, number, err));
    }
    SFI_RETURN_IF_ERR(check_order(check, number, cell, err));
    return give_row(check, number, cell, err);
}

/* All of a page that does not depend on other pages. */
static shardy_status check_page(struct check *check, uint32_t number, uint32_t header,
                                uint32_t cells, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *page = sfi_btree_page(tree, number);
    check->extent_count = 0;
    if (header + 2 * cells > tree->usable) {
        return sfi_btree_damage(tree, number, page + 3, "more cells than fit a page", err);
    }
    if (cells == 0 && (number != tree->root || header == SFI_INTERIOR_HEADER)) {
        return sfi_btree_damage(tree, number, page + 3, "page without cells", err);
    }
    for (uint32_t i = 0; i < cells; i++) {
        struct sfi_cell cell;
        SFI_RETURN_IF_ERR(sfi_btree_cell(tree, number, header, i, &cell, err));
        uint32_t end = (uint32_t)(cell.payload - page) + cell.local;
        end += cell.local < cell.size ? 4 : 0;
        SFI_RETURN_IF_ERR(add_extent(check, sfi_get_u16be(page + header + 2 * i), end, err));
    }
    return check_extents(check, number, page, header + 2 * cells, err);
}

/* Pages below `number` and its rows, in key order. */
static shardy_status walk(struct check *check, uint32_t number, unsigned depth, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *page = sfi_btree_page(tree, number);
    bool leaf = page[0] == SFI_PAGE_INDEX_LEAF;
    uint32_t header = leaf ? SFI_LEAF_HEADER : SFI_INTERIOR_HEADER;
    uint32_t cells = sfi_get_u16be(page + 3);
    if ((!leaf && page[0] != SFI_PAGE_INDEX_INTERIOR) || depth > SFI_BTREE_MAX_DEPTH) {
        return sfi_btree_damage(tree, number, page, "not a page of this index b-tree", err);
    }
    if (leaf && check->leaf_met && depth != check->leaf_depth) {
        return sfi_btree_damage(tree, number, page, "leaf is not as deep as the others", err);
    }
    if (leaf) {
        check->leaf_met = true;
        check->leaf_depth = depth;
    }
    SFI_RETURN_IF_ERR(check_page(check, number, header, cells, err));
    for (uint32_t i = 0; i < cells; i++) {
        struct sfi_cell cell;
        if (!leaf) {
            const uint8_t *at = page + sfi_get_u16be(page + header + 2 * i);
            uint32_t child = sfi_get_u32be(at);
            SFI_RETURN_IF_ERR(use_page(check, child, number, at, err));
            SFI_RETURN_IF_ERR(walk(check, child, depth + 1, err));
        }
        SFI_RETURN_IF_ERR(sfi_btree_cell(tree, number, header, i, &cell, err));
        SFI_RETURN_IF_ERR(check_row(check, number, &cell, err));
    }
    if (leaf) {
        return SHARDY_OK;
    }
    uint32_t last = sfi_get_u32be(page + 8);
    SFI_RETURN_IF_ERR(use_page(check, last, number, page + 8, err));
    return walk(check, last, depth + 1, err);
}

/* Bytes of a table leaf's payload that stay in its cell (1.6). */
static uint64_t schema_local(uint32_t usable, uint64_t size)
{
    uint32_t x = usable - 35;
    uint32_t m = (usable - 12) * 32 / 255 - 23;
    if (size <= x) {
        return size;
    }
    uint64_t k = m + (size - m) % (usable - 4);
    return k <= x ? k : m;
}

static shardy_status schema_row(struct check *check, uint32_t number, const uint8_t *at,
                                shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *end = sfi_btree_page(tree, number) + tree->usable;
    uint64_t size;
    uint64_t rowid;
    unsigned n = sfi_get_varint(at, end, &size);
    unsigned m = n ? sfi_get_varint(at + n, end, &rowid) : 0;
    uint64_t local = m ? schema_local(tree->usable, size) : 0;
    uint64_t need = local + (local < size ? 4 : 0);
    check->schema_rows++;
    if (!m || need > (uint64_t)(end - at - n - m)) {
        return sfi_btree_damage(tree, number, at, "schema row reaches over its page", err);
    }
    return local < size ? use_chain(check, at + n + m + local, size - local, number, err)
                        : SHARDY_OK;
}

/* Pages of the schema table; `number` is marked already, so that there is no way round. */
static shardy_status walk_schema(struct check *check, uint32_t number, unsigned depth,
                                 shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *page = sfi_btree_page(tree, number);
    const uint8_t *head = page + (number == 1 ? SFI_SQLITE_HEADER_SIZE : 0);
    bool leaf = head[0] == SFI_PAGE_TABLE_LEAF;
    uint32_t cells = sfi_get_u16be(head + 3);
    const uint8_t *pointers = head + (leaf ? SFI_LEAF_HEADER : SFI_INTERIOR_HEADER);
    if ((!leaf && head[0] != SFI_PAGE_TABLE_INTERIOR) || depth > SFI_BTREE_MAX_DEPTH ||
        pointers + 2 * (size_t)cells > page + tree->usable) {
        return sfi_btree_damage(tree, number, head, "not a page of the schema table", err);
    }
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t at = sfi_get_u16be(pointers + 2 * i);
        if (page + at < pointers + 2 * (size_t)cells || at + 4 > tree->usable) {
            return sfi_btree_damage(tree, number, pointers + 2 * i,
                                    "cell pointer leads outside the cell area", err);
        }
        if (leaf) {
            SFI_RETURN_IF_ERR(schema_row(check, number, page + at, err));
        } else {
            uint32_t child = sfi_get_u32be(page + at);
            SFI_RETURN_IF_ERR(use_page(check, child, number, page + at, err));
            SFI_RETURN_IF_ERR(walk_schema(check, child, depth + 1, err));
        }
    }
    if (leaf) {
        return SHARDY_OK;
    }
    uint32_t last = sfi_get_u32be(head + 8);
    SFI_RETURN_IF_ERR(use_page(check, last, number, head + 8, err));
    return walk_schema(check, last, depth + 1, err);
}

/* Trunk and leaf pages of the free list (1.5). Their contents belong to nobody. */
static shardy_status use_free_pages(struct check *check, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    const uint8_t *link = tree->data + 32;
    uint32_t from = 1;
    uint64_t count = 0;
    uint32_t trunk;
    while ((trunk = sfi_get_u32be(link)) != 0) {
        SFI_RETURN_IF_ERR(use_page(check, trunk, from, link, err));
        const uint8_t *page = sfi_btree_page(tree, trunk);
        uint32_t leaves = sfi_get_u32be(page + 4);
        if (leaves > tree->usable / 4 - 2) {
            return sfi_btree_damage(tree, trunk, page + 4, "free list page names too many", err);
        }
        for (uint32_t i = 0; i < leaves; i++) {
            const uint8_t *at = page + 8 + 4 * (size_t)i;
            SFI_RETURN_IF_ERR(use_page(check, sfi_get_u32be(at), trunk, at, err));
        }
        count += 1 + (uint64_t)leaves;
        link = page;
        from = trunk;
    }
    if (count != sfi_get_u32be(tree->data + 36)) {
        return sfi_btree_damage(tree, 1, tree->data + 36, "count of free pages is wrong", err);
    }
    return SHARDY_OK;
}

/* Other tables own pages that nobody walks, and auto-vacuum has pages of its own. */
static shardy_status check_unused(const struct check *check, shardy_error *err)
{
    const struct sfi_btree *tree = check->tree;
    bool auto_vacuum = sfi_get_u32be(tree->data + 52) != 0;
    if (!tree->ours && (check->schema_rows > 1 || auto_vacuum)) {
        return SHARDY_OK;
    }
    for (uint32_t number = 2; number <= tree->page_count; number++) {
        if (!is_used(check, number) && number != check->lock_page) {
            return sfi_btree_damage(tree, number, NULL, "page belongs to nothing", err);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_sqlite_check(struct sfi_shard_reader *shard,
                               shardy_status (*row)(void *arg, struct sfi_bytes key,
                                                    struct sfi_bytes value, shardy_error *err),
                               void *arg, shardy_error *err)
{
    const struct sfi_btree *tree = (const struct sfi_btree *)shard;
    struct check check = {.tree = tree, .row = row, .arg = arg};
    shardy_status st;
    check.lock_page = sfi_lock_page(tree->page_size);
    check.used = sfi_calloc((size_t)tree->page_count / 8 + 1, 1);
    if (!check.used) {
        return sfi_fail_memory(err, (size_t)tree->page_count / 8 + 1);
    }
    SFI_TRY(walk_schema(&check, 1, 0, err));
    SFI_TRY(use_free_pages(&check, err));
    SFI_TRY(use_page(&check, tree->root, 1, NULL, err));
    SFI_TRY(walk(&check, tree->root, 0, err));
    SFI_TRY(check_unused(&check, err));
out:
    sfi_free(check.used);
    sfi_free(check.extents);
    sfi_free(check.last_copy);
    return st;
}
