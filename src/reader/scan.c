/*
 * scan.c - rows in the order of their stored keys: of one shard, or of all shards merged by a tree
 * of losers.
 */
#include "base/limits.h"
#include "base/loser_tree.h"
#include "base/memory.h"
#include "reader/reader_internal.h"
#include "reader/scan_remote.h"

/* Rows fetched from a shard at a time. */
#define BRANCH_ROWS 64u

struct branch {
    struct sfi_shard_reader *shard; /* kept alive by the snapshot */
    struct sfi_shard_cursor *cursor;
    uint32_t db_id;
    bool ended; /* the range ends within `rows` */
    size_t at;  /* current row */
    size_t count;
    struct sfi_row rows[BRANCH_ROWS];
};

struct shardy_scan {
    shardy_snapshot *snapshot;
    struct branch *branches;
    size_t branch_count;
    struct sfi_losers losers; /* sources are indexes of `branches` */
    size_t live;              /* branches that have rows left */
    bool behind;              /* the winner's row was handed out; it moves on at the next call */
    struct sfi_buf start;
    struct sfi_buf end; /* rows before this key */
    bool has_end;
};

static struct sfi_bytes key_of(const struct sfi_row *row)
{
    struct sfi_bytes key = {row->key, row->key_size};
    return key;
}

/* Equal prefixes: by the whole key, then by shard; ended branches last. */
static bool less(const void *arg, uint64_t a, uint64_t b)
{
    const struct shardy_scan *scan = arg;
    const struct branch *x = &scan->branches[a];
    const struct branch *y = &scan->branches[b];
    if (x->at == x->count || y->at == y->count) {
        return x->at < x->count;
    }
    int c = sfi_bytes_compare(key_of(&x->rows[x->at]), key_of(&y->rows[y->at]));
    return c ? c < 0 : a < b;
}

/* Mapped shards are read in place; of others, bytes are fetched first. */
static bool is_remote(const struct branch *branch)
{
    return branch->shard->owner != NULL;
}

static struct sfi_pull pull_of(struct branch *branch)
{
    struct sfi_pull pull = {
        .shard = branch->shard, .cursor = branch->cursor, .rows = branch->rows, .max = BRANCH_ROWS};
    return pull;
}

static void take_pull(struct branch *branch, const struct sfi_pull *pull)
{
    branch->cursor = pull->cursor;
    branch->count = pull->done ? pull->count : 0;
}

/* Cut rows that were fetched at the end of the range. */
static void cut(const struct shardy_scan *scan, struct branch *branch)
{
    while (scan->has_end && branch->count &&
           sfi_bytes_compare(key_of(&branch->rows[branch->count - 1]), sfi_buf_view(&scan->end)) >=
               0) {
        branch->ended = true;
        branch->count--;
    }
}

/* Fetch the next rows of a branch. */
static shardy_status fetch(const struct shardy_scan *scan, struct branch *branch, shardy_error *err)
{
    branch->at = 0;
    branch->count = 0;
    if (branch->ended) {
        return SHARDY_OK;
    }
    if (is_remote(branch)) {
        struct sfi_pull pull = pull_of(branch);
        shardy_status st = sfi_pull_rows(&pull, 1, sfi_buf_view(&scan->start), err);
        take_pull(branch, &pull);
        SFI_RETURN_IF_ERR(st);
    } else {
        SFI_RETURN_IF_ERR(branch->shard->ops->next(branch->cursor, branch->rows, BRANCH_ROWS,
                                                   &branch->count, err));
    }
    cut(scan, branch);
    return SHARDY_OK;
}

static uint64_t prefix_of(const struct branch *branch)
{
    const struct sfi_row *row = &branch->rows[branch->at];
    return branch->at < branch->count ? sfi_key_prefix(row->key, row->key_size) : UINT64_MAX;
}

/* --- bounds ------------------------------------------------------------------------------------
 */

static shardy_status encode_bound(const shardy_snapshot *snapshot, const shardy_key *key,
                                  struct sfi_buf *to, shardy_error *err)
{
    uint8_t buffer[8];
    const void *data;
    size_t size;
    SFI_RETURN_IF_ERR(shardy_key_encode(key, snapshot->encoding, buffer, &data, &size, err));
    sfi_buf_append(to, data, size);
    return sfi_buf_status(to, "scan bound", err);
}

/* Smallest byte string above every string with this prefix; none when it is all 0xFF. */
static bool prefix_end(const uint8_t *prefix, size_t size, struct sfi_buf *to)
{
    while (size > 0 && prefix[size - 1] == 0xFF) {
        size--;
    }
    if (size) {
        sfi_buf_append(to, prefix, size - 1);
        sfi_buf_append_byte(to, (uint8_t)(prefix[size - 1] + 1));
    }
    return size > 0;
}

static shardy_status set_bounds(struct shardy_scan *scan, const shardy_scan_options *o,
                                shardy_error *err)
{
    struct sfi_buf other;
    shardy_status st = SHARDY_OK;
    sfi_buf_init(&other, SFI_KEY_MAX_BYTES);
    if (o->start) {
        SFI_TRY(encode_bound(scan->snapshot, o->start, &scan->start, err));
    }
    if (o->end) {
        SFI_TRY(encode_bound(scan->snapshot, o->end, &scan->end, err));
        scan->has_end = true;
    }
    if (o->prefix_size > SFI_KEY_MAX_BYTES) {
        SFI_TRY(sfi_fail(err, SHARDY_INPUT, "scan prefix of %zu bytes exceeds the key limit of %u",
                         o->prefix_size, SFI_KEY_MAX_BYTES));
    }
    if (o->prefix_size) {
        struct sfi_bytes prefix = {o->prefix, o->prefix_size};
        if (sfi_bytes_compare(prefix, sfi_buf_view(&scan->start)) > 0) {
            scan->start.size = 0;
            sfi_buf_append(&scan->start, prefix.data, prefix.size);
        }
        bool bounded = prefix_end(prefix.data, prefix.size, &other);
        if (bounded && (!scan->has_end ||
                        sfi_bytes_compare(sfi_buf_view(&other), sfi_buf_view(&scan->end)) < 0)) {
            scan->end.size = 0;
            sfi_buf_append(&scan->end, other.data, other.size);
            scan->has_end = true;
        }
    }
    SFI_TRY(sfi_buf_status(&scan->start, "scan bound", err));
    SFI_TRY(sfi_buf_status(&scan->end, "scan bound", err));
    st = sfi_buf_status(&other, "scan bound", err);
out:
    sfi_buf_clear(&other);
    return st;
}

/* --- open --------------------------------------------------------------------------------------
 */

static shardy_status open_branch(struct shardy_scan *scan, uint32_t db_id, shardy_error *err)
{
    struct branch *branch = &scan->branches[scan->branch_count];
    SFI_RETURN_IF_ERR(sfi_snapshot_shard(scan->snapshot, db_id, &branch->shard, err));
    if (!branch->shard) {
        return SHARDY_OK;
    }
    branch->db_id = db_id;
    scan->branch_count++;
    return is_remote(branch) ? SHARDY_OK
                             : branch->shard->ops->seek(branch->shard, sfi_buf_view(&scan->start),
                                                        &branch->cursor, err);
}

/* First rows of all remote shards, in common waves. */
static shardy_status pull_first(struct shardy_scan *scan, shardy_error *err)
{
    struct sfi_pull *pulls = sfi_array_alloc(scan->branch_count, sizeof *pulls);
    size_t count = 0;
    size_t next = 0;
    if (!pulls) {
        return sfi_fail_memory(err, scan->branch_count * sizeof *pulls);
    }
    for (size_t i = 0; i < scan->branch_count; i++) {
        if (is_remote(&scan->branches[i])) {
            pulls[count++] = pull_of(&scan->branches[i]);
        }
    }
    shardy_status st = sfi_pull_rows(pulls, count, sfi_buf_view(&scan->start), err);
    for (size_t i = 0; i < scan->branch_count; i++) {
        if (is_remote(&scan->branches[i])) {
            take_pull(&scan->branches[i], &pulls[next++]);
            cut(scan, &scan->branches[i]);
        }
    }
    sfi_free(pulls);
    return st;
}

/* First rows of every branch. */
static shardy_status fetch_first(struct shardy_scan *scan, shardy_error *err)
{
    if (scan->snapshot->access) {
        SFI_RETURN_IF_ERR(pull_first(scan, err));
    }
    for (size_t i = 0; i < scan->branch_count; i++) {
        struct branch *branch = &scan->branches[i];
        if (!is_remote(branch)) {
            SFI_RETURN_IF_ERR(fetch(scan, branch, err));
        }
        scan->live += branch->count > 0;
    }
    return SHARDY_OK;
}

static shardy_status build_losers(struct shardy_scan *scan, shardy_error *err)
{
    size_t n = scan->branch_count;
    struct sfi_loser *first = sfi_array_alloc(3 * n, sizeof *first);
    scan->losers.nodes = sfi_array_alloc(n, sizeof *scan->losers.nodes);
    if (!first || !scan->losers.nodes) {
        sfi_free(first);
        return sfi_fail_memory(err, 3 * n * sizeof *first);
    }
    for (size_t i = 0; i < n; i++) {
        first[i].prefix = prefix_of(&scan->branches[i]);
        first[i].source = i;
    }
    scan->losers.count = n;
    scan->losers.less = less;
    scan->losers.arg = scan;
    sfi_losers_build(&scan->losers, first, first + n);
    sfi_free(first);
    return SHARDY_OK;
}

static shardy_status open_scan(struct shardy_scan *scan, const shardy_scan_options *o,
                               shardy_error *err)
{
    uint32_t count = o->one_shard ? 1 : scan->snapshot->num_dbs;
    if (o->one_shard && o->db_id >= scan->snapshot->num_dbs) {
        return sfi_fail(err, SHARDY_CONFIG, "shard %u is out of range, the snapshot has %u",
                        o->db_id, scan->snapshot->num_dbs);
    }
    SFI_RETURN_IF_ERR(set_bounds(scan, o, err));
    scan->branches = sfi_calloc(count, sizeof *scan->branches);
    if (!scan->branches) {
        return sfi_fail_memory(err, count * sizeof *scan->branches);
    }
    if (scan->snapshot->access && !o->one_shard) {
        SFI_RETURN_IF_ERR(sfi_snapshot_open_slots(scan->snapshot, SFI_OPEN_PARALLEL, err));
    }
    for (uint32_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(open_branch(scan, o->one_shard ? o->db_id : i, err));
    }
    if (!scan->branch_count) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(fetch_first(scan, err));
    return build_losers(scan, err);
}

shardy_status shardy_snapshot_scan(shardy_snapshot *snapshot, const shardy_scan_options *options,
                                   shardy_scan **out, shardy_error *err)
{
    shardy_scan_options known = SHARDY_SCAN_OPTIONS_INIT;
    shardy_scan *scan = sfi_calloc(1, sizeof *scan);
    *out = NULL;
    if (!scan) {
        return sfi_fail_memory(err, sizeof *scan);
    }
    if (options) {
        size_t size = options->struct_size;
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    }
    sfi_buf_init(&scan->start, SFI_KEY_MAX_BYTES);
    sfi_buf_init(&scan->end, SFI_KEY_MAX_BYTES);
    sfi_snapshot_ref(snapshot, 0);
    scan->snapshot = snapshot;
    shardy_status st = open_scan(scan, &known, err);
    if (st != SHARDY_OK) {
        shardy_scan_free(scan);
        return st;
    }
    *out = scan;
    return SHARDY_OK;
}

/* The branch whose row was handed out has used up its rows: fetch more. */
static shardy_status refill(struct shardy_scan *scan, struct branch *branch, shardy_error *err)
{
    shardy_status st = fetch(scan, branch, err);
    scan->live -= branch->count == 0;
    if (st != SHARDY_OK) {
        scan->live = 0;
    }
    return st;
}

/* Move the branch whose row was handed out on, and find the new winner. */
static inline shardy_status step(struct shardy_scan *scan, shardy_error *err)
{
    uint64_t winner = scan->losers.nodes[0].source;
    struct branch *branch = &scan->branches[winner];
    scan->behind = false;
    if (__builtin_expect(++branch->at == branch->count, 0)) {
        SFI_RETURN_IF_ERR(refill(scan, branch, err));
    }
    sfi_losers_replay(&scan->losers, winner, prefix_of(branch));
    return SHARDY_OK;
}

/* Hand the winner's row out. */
static inline void take(struct shardy_scan *scan, shardy_row *row)
{
    const struct branch *branch = &scan->branches[scan->losers.nodes[0].source];
    const struct sfi_row *at = &branch->rows[branch->at];
    row->key = at->key;
    row->key_size = at->key_size;
    row->value = at->value;
    row->value_size = at->value_size;
    row->db_id = branch->db_id;
    scan->behind = true;
}

shardy_status shardy_scan_next(shardy_scan *scan, shardy_row *row, bool *found, shardy_error *err)
{
    *found = false;
    if (scan->behind) {
        SFI_RETURN_IF_ERR(step(scan, err));
    }
    if (scan->live) {
        take(scan, row);
        *found = true;
    }
    return SHARDY_OK;
}

shardy_status shardy_scan_rows(shardy_scan *scan, shardy_row *rows, size_t max, size_t *count,
                               shardy_error *err)
{
    *count = 0;
    if (scan->behind) {
        SFI_RETURN_IF_ERR(step(scan, err));
    }
    while (scan->live && *count < max) {
        const struct branch *branch = &scan->branches[scan->losers.nodes[0].source];
        take(scan, &rows[*count]);
        if (++*count == max || branch->at + 1 == branch->count) {
            break; /* fetching more would overwrite rows that are handed out now */
        }
        SFI_RETURN_IF_ERR(step(scan, err));
    }
    return SHARDY_OK;
}

void shardy_scan_free(shardy_scan *scan)
{
    if (!scan) {
        return;
    }
    for (size_t i = 0; i < scan->branch_count; i++) {
        struct branch *branch = &scan->branches[i];
        if (branch->cursor && is_remote(branch)) {
            sfi_remote_cursor_free(branch->cursor);
        } else if (branch->cursor) {
            branch->shard->ops->cursor_free(branch->cursor);
        }
    }
    sfi_free(scan->branches);
    sfi_free(scan->losers.nodes);
    sfi_buf_clear(&scan->start);
    sfi_buf_clear(&scan->end);
    sfi_snapshot_unref(scan->snapshot, 0);
    sfi_free(scan);
}
