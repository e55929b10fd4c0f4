/*
 * sqlite_remote_scan.c - rows of a remote shard in key order, along its leaf directory. Rows are
 * copied, so that pages may be emptied under them. A cursor that misses something asks for what
 * follows too, more with every wave: leaves, and the overflow chains that lie between them or that
 * resident leaves name.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sqlite_remote.h"

/* Cell position of the separator behind a leaf. */
#define AT_SEPARATOR UINT32_MAX
/* Pages between two leaves that are read with them, over the average: chains, interior pages. */
#define GAP_SHARE 4u
#define GAP_SLACK 8u

struct sfi_shard_cursor {
    struct sfi_remote *remote;
    struct sfi_buf start; /* rows from this key on, or behind it: the key delivered last */
    bool behind;
    bool positioned;
    bool walking;
    uint32_t generation; /* of the directory that `leaf` is an index of */
    struct sfi_walk walk;
    uint32_t leaf;
    uint32_t cell;
    uint64_t window;    /* bytes of the next read-ahead */
    uint32_t asked_end; /* leaf behind the last one asked for */
    uint8_t *arena;     /* rows delivered last */
    size_t used;
    uint8_t *large; /* or the one row that came over several waves */
    struct {
        bool active;
        uint8_t *copy; /* key and value */
        uint64_t done;
        struct sfi_cell cell;
        struct sfi_remote_chain chain;
    } pending;
};

/* What became of one step. */
enum scan_step { STEP_ROW, STEP_FULL, STEP_END, STEP_MISSING, STEP_DEEPER };

static void drop_pending(struct sfi_shard_cursor *cursor)
{
    sfi_free(cursor->pending.copy);
    cursor->pending.copy = NULL;
    cursor->pending.active = false;
}

void sfi_remote_cursor_free(struct sfi_shard_cursor *cursor)
{
    if (cursor) {
        drop_pending(cursor);
        sfi_buf_clear(&cursor->start);
        sfi_free(cursor->arena);
        sfi_free(cursor->large);
        sfi_free(cursor);
    }
}

/* Directory loaded, or `wants` for it. */
static shardy_status ensure_directory(struct sfi_remote *remote, struct sfi_wants *wants,
                                      bool *missing, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    sfi_remote_lock(remote);
    if (remote->phase != SFI_REMOTE_READY) {
        remote->need_directory = true;
        st = sfi_remote_open_step(remote, wants, err);
    }
    *missing = remote->phase != SFI_REMOTE_READY;
    sfi_remote_unlock(remote);
    return st;
}

shardy_status sfi_remote_seek(struct sfi_shard_reader *shard, struct sfi_bytes start,
                              struct sfi_shard_cursor **out, struct sfi_wants *wants, bool *missing,
                              shardy_error *err)
{
    *out = NULL;
    SFI_RETURN_IF_ERR(ensure_directory(sfi_remote_of(shard), wants, missing, err));
    if (*missing) {
        return SHARDY_OK;
    }
    struct sfi_shard_cursor *cursor = sfi_calloc(1, sizeof *cursor);
    if (!cursor) {
        return sfi_fail_memory(err, sizeof *cursor);
    }
    cursor->remote = sfi_remote_of(shard);
    cursor->window = SFI_REMOTE_AHEAD_MIN;
    cursor->arena = sfi_malloc(SFI_REMOTE_ROWS_BYTES);
    sfi_buf_init(&cursor->start, SIZE_MAX);
    if (!cursor->arena || (start.size && !sfi_buf_append(&cursor->start, start.data, start.size))) {
        sfi_remote_cursor_free(cursor);
        return sfi_fail_memory(err, SFI_REMOTE_ROWS_BYTES);
    }
    *out = cursor;
    return SHARDY_OK;
}

/* ---- read-ahead ---------------------------------------------------------------------------- */

/* Chains of the rows from `cell` on of a resident leaf, and of the separator behind it. Damage is
 * left to the reading itself. */
static shardy_status ahead_chains(struct sfi_remote *remote, uint32_t leaf, uint32_t cell,
                                  uint64_t *budget, struct sfi_wants *wants, shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    uint32_t cells = 0;
    if (sfi_btree_leaf(tree, tree->leaves[leaf], &cells, NULL) != SHARDY_OK) {
        return SHARDY_OK;
    }
    for (uint32_t i = cell < cells ? cell : cells; i <= cells && *budget; i++) {
        struct sfi_cell row;
        struct sfi_remote_chain chain;
        uint32_t owner = tree->leaves[leaf];
        if (i < cells) {
            if (sfi_btree_cell(tree, owner, SFI_LEAF_HEADER, i, &row, NULL) != SHARDY_OK) {
                return SHARDY_OK;
            }
        } else {
            if (leaf + 1 >= tree->leaf_count) {
                return SHARDY_OK;
            }
            owner = (uint32_t)(tree->cells[leaf] / tree->page_size) + 1;
            if (!sfi_remote_has(remote, owner, 0) ||
                sfi_btree_separator(tree, leaf, &row, NULL) != SHARDY_OK) {
                return SHARDY_OK;
            }
        }
        if (row.overflow < 2 || row.overflow > tree->page_count || row.size > remote->image.size ||
            sfi_remote_has(remote, row.overflow, 0)) {
            continue;
        }
        sfi_remote_chain_start(remote, &row, owner, &chain);
        SFI_RETURN_IF_ERR(sfi_remote_chain_want(remote, &chain, row.size, wants, err));
        *budget -= row.size < *budget ? row.size : *budget;
    }
    return SHARDY_OK;
}

/* A leaf that is not there, with the pages before it when leaves follow each other in the file. */
static shardy_status ahead_leaf(struct sfi_remote *remote, uint32_t leaf, uint64_t *budget,
                                struct sfi_wants *wants, shardy_error *err)
{
    const struct sfi_btree *tree = &remote->tree;
    uint32_t page = tree->leaves[leaf];
    uint32_t before = leaf ? tree->leaves[leaf - 1] : 1;
    uint64_t most = (uint64_t)GAP_SHARE * tree->page_count / tree->leaf_count + GAP_SLACK;
    uint32_t pages = page > before && page - before <= most ? page - before : 1;
    uint64_t bytes = (uint64_t)pages * tree->page_size;
    if (bytes > *budget) {
        pages = 1;
        bytes = tree->page_size;
    }
    *budget -= bytes < *budget ? bytes : *budget;
    return sfi_remote_want(remote, (uint64_t)(page - pages) * tree->page_size, bytes, wants, err);
}

static shardy_status read_ahead(struct sfi_shard_cursor *cursor, struct sfi_wants *wants,
                                shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    const struct sfi_btree *tree = &remote->tree;
    bool lost =
        cursor->leaf < cursor->asked_end && !sfi_remote_has(remote, tree->leaves[cursor->leaf], 0);
    if (lost) { /* emptied before it was read: there is no room for so much */
        cursor->window =
            cursor->window / 16 > tree->page_size ? cursor->window / 16 : tree->page_size;
    }
    uint64_t budget = cursor->window;
    cursor->window *= lost ? 1 : 4;
    cursor->window = cursor->window < SFI_REMOTE_AHEAD_MAX ? cursor->window : SFI_REMOTE_AHEAD_MAX;
    uint32_t i = cursor->leaf;
    for (; i < tree->leaf_count && budget; i++) {
        if (sfi_remote_has(remote, tree->leaves[i], 0)) {
            uint32_t cell = i == cursor->leaf ? cursor->cell : 0;
            SFI_RETURN_IF_ERR(ahead_chains(remote, i, cell, &budget, wants, err));
        } else {
            SFI_RETURN_IF_ERR(ahead_leaf(remote, i, &budget, wants, err));
        }
    }
    cursor->asked_end = i;
    return SHARDY_OK;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Where the first row is. */
static shardy_status position(struct sfi_shard_cursor *cursor, struct sfi_wants *wants,
                              enum scan_step *step, shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    struct sfi_bytes key = {(const uint8_t *)"", 0};
    struct sfi_walk *walk = &cursor->walk;
    enum sfi_walk_result result;
    bool in_page;
    if (cursor->start.size) {
        key = sfi_buf_view(&cursor->start);
    }
    if (!cursor->walking) {
        sfi_walk_start(remote, key, sfi_key_prefix(key.data, key.size), walk);
        cursor->walking = true;
    }
    SFI_RETURN_IF_ERR(sfi_walk_search(remote, walk, key, wants, &result, &in_page, err));
    *step = result == SFI_WALK_MISSING ? STEP_MISSING : walk->depth ? STEP_DEEPER : STEP_ROW;
    if (*step == STEP_MISSING && walk->mode == SFI_WALK_PAGE) {
        cursor->leaf = walk->leaf;
        cursor->cell = 0;
        return read_ahead(cursor, wants, err);
    }
    if (*step != STEP_ROW) {
        return SHARDY_OK;
    }
    bool step_over = result == SFI_WALK_FOUND && cursor->behind;
    if (walk->mode == SFI_WALK_TIES) {
        cursor->leaf = walk->pos + (step_over ? 1 : 0);
        cursor->cell = step_over ? 0 : AT_SEPARATOR;
    } else {
        cursor->leaf = walk->leaf;
        cursor->cell = result == SFI_WALK_FOUND ? walk->pos + (step_over ? 1 : 0) : walk->lo;
    }
    cursor->positioned = true;
    return SHARDY_OK;
}

/* The cell under the cursor. `separator`: it lies in an interior page. */
static shardy_status current_cell(struct sfi_shard_cursor *cursor, struct sfi_cell *cell,
                                  uint32_t *owner, bool *separator, struct sfi_wants *wants,
                                  enum scan_step *step, shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    const struct sfi_btree *tree = &remote->tree;
    uint32_t cells = 0;
    *step = STEP_MISSING;
    *owner = tree->leaves[cursor->leaf];
    *separator = cursor->cell == AT_SEPARATOR;
    if (!*separator) {
        if (!sfi_remote_has(remote, *owner, SFI_USE_ONCE)) {
            return SHARDY_OK; /* reading ahead begins with it */
        }
        if (*sfi_btree_page(tree, *owner) == SFI_PAGE_INDEX_INTERIOR) {
            *step = STEP_DEEPER;
            return SHARDY_OK;
        }
        SFI_RETURN_IF_ERR(sfi_btree_leaf(tree, *owner, &cells, err));
        *separator = cursor->cell >= cells;
    }
    *step = STEP_ROW;
    if (!*separator) {
        return sfi_btree_cell(tree, *owner, SFI_LEAF_HEADER, cursor->cell, cell, err);
    }
    if (cursor->leaf + 1 >= tree->leaf_count) {
        *step = STEP_END;
        return SHARDY_OK;
    }
    *owner = (uint32_t)(tree->cells[cursor->leaf] / tree->page_size) + 1;
    if (!sfi_remote_has(remote, *owner, SFI_USE_INTERIOR)) {
        *step = STEP_MISSING;
        return sfi_remote_want_page(remote, *owner, wants, err);
    }
    return sfi_btree_separator(tree, cursor->leaf, cell, err);
}

/* Copy key and value of `cell` to `to` from `*done` on, as far as they are there. */
static shardy_status copy_row(struct sfi_remote *remote, const struct sfi_cell *cell,
                              struct sfi_remote_chain *chain, uint8_t *to, uint64_t *done,
                              bool *missing, struct sfi_wants *wants, shardy_error *err)
{
    uint64_t total = cell->key_size + cell->value_size;
    *missing = false;
    while (*done < total) {
        struct sfi_bytes part = {NULL, 0};
        SFI_RETURN_IF_ERR(
            sfi_remote_chain_take(remote, chain, cell->size, &part, missing, wants, err));
        if (*missing) {
            return SHARDY_OK;
        }
        memcpy(to + *done, part.data, part.size);
        *done += part.size;
    }
    return SHARDY_OK;
}

/* What there is of a row is kept until the rest of its chain arrives. */
static shardy_status keep_row(struct sfi_shard_cursor *cursor, const struct sfi_cell *cell,
                              const struct sfi_remote_chain *chain, const uint8_t *copied,
                              uint64_t done, shardy_error *err)
{
    uint64_t total = cell->key_size + cell->value_size;
    if (!cursor->pending.copy) {
        cursor->pending.copy = sfi_malloc((size_t)total);
        if (!cursor->pending.copy) {
            return sfi_fail_memory(err, (size_t)total);
        }
        memcpy(cursor->pending.copy, copied, (size_t)done);
    }
    cursor->pending.active = true;
    cursor->pending.done = done;
    cursor->pending.cell = *cell;
    cursor->pending.chain = *chain;
    return SHARDY_OK;
}

/* Copy the row; into the arena when it fits, otherwise it is the only one of its call. */
static shardy_status copy_cell(struct sfi_shard_cursor *cursor, const struct sfi_cell *cell,
                               uint32_t owner, bool first, struct sfi_row *row,
                               struct sfi_wants *wants, enum scan_step *step, shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    uint64_t total = cell->key_size + cell->value_size;
    uint64_t done = cell->local - cell->header;
    struct sfi_wants unused = {0};
    bool missing = false;
    if (cell->size > remote->image.size || cell->value_size > SFI_VALUE_MAX_BYTES) {
        return sfi_btree_damage(&remote->tree, owner, cell->payload,
                                "payload is larger than the file or than any writer stores", err);
    }
    bool fits = total <= SFI_REMOTE_ROWS_BYTES - cursor->used;
    if (!first && !fits) {
        *step = STEP_FULL;
        return SHARDY_OK;
    }
    uint8_t *to = fits ? cursor->arena + cursor->used : sfi_malloc((size_t)total);
    if (!to) {
        return sfi_fail_memory(err, (size_t)total);
    }
    memcpy(to, cell->payload + cell->header, (size_t)done);
    struct sfi_remote_chain chain;
    sfi_remote_chain_start(remote, cell, owner, &chain);
    shardy_status st =
        copy_row(remote, cell, &chain, to, &done, &missing, first ? wants : &unused, err);
    sfi_wants_clear(&unused);
    if (!fits) {
        cursor->pending.copy = to;
    }
    if (st != SHARDY_OK) {
        drop_pending(cursor);
        return st;
    }
    if (missing) {
        *step = first ? STEP_MISSING : STEP_FULL;
        return first ? keep_row(cursor, cell, &chain, to, done, err) : SHARDY_OK;
    }
    if (fits) {
        cursor->used += (size_t)total;
    } else {
        cursor->large = to;
        cursor->pending.copy = NULL;
    }
    row->key = to;
    row->value = to + cell->key_size;
    row->key_size = (uint32_t)cell->key_size;
    row->value_size = (uint32_t)cell->value_size;
    *step = STEP_ROW;
    return SHARDY_OK;
}

/* Go on with the row whose chain was missing. */
static shardy_status resume_row(struct sfi_shard_cursor *cursor, struct sfi_row *row,
                                struct sfi_wants *wants, enum scan_step *step, shardy_error *err)
{
    const struct sfi_cell *cell = &cursor->pending.cell;
    bool missing;
    shardy_status st = copy_row(cursor->remote, cell, &cursor->pending.chain, cursor->pending.copy,
                                &cursor->pending.done, &missing, wants, err);
    if (st != SHARDY_OK) {
        drop_pending(cursor);
        return st;
    }
    *step = missing ? STEP_MISSING : STEP_ROW;
    if (!missing) {
        cursor->large = cursor->pending.copy;
        cursor->pending.copy = NULL;
        cursor->pending.active = false;
        row->key = cursor->large;
        row->value = cursor->large + cell->key_size;
        row->key_size = (uint32_t)cell->key_size;
        row->value_size = (uint32_t)cell->value_size;
    }
    return SHARDY_OK;
}

/* One row, and the cursor behind it. */
static shardy_status take_row(struct sfi_shard_cursor *cursor, bool first, struct sfi_row *row,
                              struct sfi_wants *wants, enum scan_step *step, shardy_error *err)
{
    struct sfi_cell cell;
    struct sfi_wants unused = {0};
    uint32_t owner = 0;
    bool separator = cursor->cell == AT_SEPARATOR;
    if (cursor->pending.active) {
        SFI_RETURN_IF_ERR(resume_row(cursor, row, wants, step, err));
    } else {
        shardy_status st =
            current_cell(cursor, &cell, &owner, &separator, first ? wants : &unused, step, err);
        sfi_wants_clear(&unused);
        SFI_RETURN_IF_ERR(st);
        if (separator) {
            cursor->cell = AT_SEPARATOR;
        }
        if (*step == STEP_ROW) {
            SFI_RETURN_IF_ERR(copy_cell(cursor, &cell, owner, first, row, wants, step, err));
        }
    }
    if (*step == STEP_ROW && separator) {
        cursor->leaf++;
        cursor->cell = 0;
    } else if (*step == STEP_ROW) {
        cursor->cell++;
    }
    return SHARDY_OK;
}

/* Rows as far as they are there, under the shared lock. */
static shardy_status take_rows(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                               size_t *count, struct sfi_wants *wants, enum scan_step *step,
                               shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    *step = STEP_ROW;
    if (cursor->generation != remote->generation) {
        drop_pending(cursor);
        cursor->positioned = false;
        cursor->walking = false;
        cursor->generation = remote->generation;
    }
    if (!cursor->positioned) {
        SFI_RETURN_IF_ERR(position(cursor, wants, step, err));
        if (*step != STEP_ROW) {
            return SHARDY_OK;
        }
    }
    while (*count < max && *step == STEP_ROW && !cursor->large) {
        shardy_status st = take_row(cursor, *count == 0, &rows[*count], wants, step, err);
        if (st != SHARDY_OK) {
            /* Rows before a damage are delivered first; it is met again by the next call. */
            *step = STEP_FULL;
            return *count ? SHARDY_OK : st;
        }
        *count += *step == STEP_ROW;
    }
    if (*count == 0 && *step == STEP_MISSING) {
        return read_ahead(cursor, wants, err);
    }
    return SHARDY_OK;
}

/* The directory, or the sidecar, turned out to be wrong: the cursor starts again behind the last
 * row, from what the file says. */
static bool mend(struct sfi_remote *remote, uint32_t generation, enum scan_step step,
                 shardy_status st)
{
    bool mended = false;
    sfi_remote_lock(remote);
    if (st == SHARDY_CORRUPT) {
        mended = sfi_remote_distrust(remote) || generation != remote->generation;
    } else if (step == STEP_DEEPER) {
        mended = true;
        if (generation == remote->generation) {
            sfi_remote_deepen(remote);
        }
    }
    sfi_remote_unlock(remote);
    return mended;
}

/* Remember the last key: where to start again. */
static shardy_status remember(struct sfi_shard_cursor *cursor, const struct sfi_row *row,
                              shardy_error *err)
{
    cursor->start.size = 0;
    cursor->behind = true;
    if (!sfi_buf_append(&cursor->start, row->key, row->key_size)) {
        return sfi_buf_status(&cursor->start, "key of a cursor", err);
    }
    return SHARDY_OK;
}

shardy_status sfi_remote_next(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                              size_t *count, struct sfi_wants *wants, bool *missing,
                              shardy_error *err)
{
    struct sfi_remote *remote = cursor->remote;
    enum scan_step step = STEP_ROW;
    *count = 0;
    *missing = false;
    sfi_free(cursor->large);
    cursor->large = NULL;
    cursor->used = 0;
    /* Each mending drops the sidecar or adds a level. */
    for (unsigned tries = 0; tries <= SFI_BTREE_MAX_DEPTH + 1; tries++) {
        sfi_remote_lock_shared(remote);
        bool ready = remote->phase == SFI_REMOTE_READY;
        shardy_status st = SHARDY_OK;
        if (ready) {
            st = take_rows(cursor, rows, max, count, wants, &step, err);
        }
        sfi_remote_unlock_shared(remote);
        if (!ready) {
            SFI_RETURN_IF_ERR(ensure_directory(remote, wants, missing, err));
            if (*missing) {
                return SHARDY_OK;
            }
        } else if (*count == 0 && (st == SHARDY_CORRUPT || step == STEP_DEEPER) &&
                   mend(remote, cursor->generation, step, st)) {
            continue;
        } else {
            *missing = *count == 0 && step == STEP_MISSING;
            return st != SHARDY_OK || *count == 0 ? st : remember(cursor, &rows[*count - 1], err);
        }
    }
    return sfi_btree_damage(&remote->tree, remote->tree.root, NULL,
                            "b-tree is too deep or has a cycle", err);
}
