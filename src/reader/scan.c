/*
 * scan.c - rows in the order of their stored keys: of one shard, or of all shards merged. The merge
 * keeps the shards in a heap by their next key.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "reader/reader_internal.h"

/* Rows fetched from a shard at a time. */
#define BRANCH_ROWS 32u

struct branch {
    struct sfi_shard_reader *shard; /* kept alive by the snapshot */
    struct sfi_shard_cursor *cursor;
    uint32_t db_id;
    bool ended; /* the range ends within `rows` */
    size_t at;  /* current row */
    size_t count;
    struct sfi_row rows[BRANCH_ROWS];
};

/* Heap entry: the key's prefix beside the branch, so that most comparisons stay in the heap. */
struct entry {
    uint64_t prefix;
    struct branch *branch;
};

struct shardy_scan {
    shardy_snapshot *snapshot;
    struct branch *branches;
    struct entry *heap;
    size_t branch_count;
    size_t heap_size;
    bool behind; /* the row on top was handed out; it moves on at the next call */
    struct sfi_buf start;
    struct sfi_buf end; /* rows before this key */
    bool has_end;
};

static struct sfi_bytes key_of(const struct sfi_row *row)
{
    struct sfi_bytes key = {row->key, row->key_size};
    return key;
}

static bool less(const struct entry *a, const struct entry *b)
{
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix;
    }
    const struct branch *x = a->branch;
    const struct branch *y = b->branch;
    int c = sfi_bytes_compare(key_of(&x->rows[x->at]), key_of(&y->rows[y->at]));
    return c ? c < 0 : x->db_id < y->db_id;
}

static void sift_down(struct shardy_scan *scan, size_t at)
{
    struct entry *heap = scan->heap;
    struct entry moving = heap[at];
    for (size_t child = 2 * at + 1; child < scan->heap_size; child = 2 * at + 1) {
        if (child + 1 < scan->heap_size && less(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!less(&heap[child], &moving)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* Fetch the next rows of a branch, cut at the end of the range. */
static shardy_status fetch(const struct shardy_scan *scan, struct branch *branch, shardy_error *err)
{
    branch->at = 0;
    branch->count = 0;
    if (branch->ended) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(
        branch->shard->ops->next(branch->cursor, branch->rows, BRANCH_ROWS, &branch->count, err));
    while (scan->has_end && branch->count &&
           sfi_bytes_compare(key_of(&branch->rows[branch->count - 1]), sfi_buf_view(&scan->end)) >=
               0) {
        branch->ended = true;
        branch->count--;
    }
    return SHARDY_OK;
}

/* Put the branch's current row into a heap entry. */
static void load_entry(struct entry *entry, struct branch *branch)
{
    const struct sfi_row *row = &branch->rows[branch->at];
    entry->branch = branch;
    entry->prefix = sfi_key_prefix(row->key, row->key_size);
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
    SFI_RETURN_IF_ERR(
        branch->shard->ops->seek(branch->shard, sfi_buf_view(&scan->start), &branch->cursor, err));
    scan->branch_count++;
    SFI_RETURN_IF_ERR(fetch(scan, branch, err));
    if (branch->count) {
        load_entry(&scan->heap[scan->heap_size++], branch);
    }
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
    scan->heap = sfi_calloc(count, sizeof *scan->heap);
    if (!scan->branches || !scan->heap) {
        return sfi_fail_memory(err, count * sizeof *scan->branches);
    }
    for (uint32_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(open_branch(scan, o->one_shard ? o->db_id : i, err));
    }
    for (size_t i = scan->heap_size / 2; i-- > 0;) {
        sift_down(scan, i);
    }
    return SHARDY_OK;
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

/* Move the branch whose row was handed out on, and restore the heap. */
static shardy_status step(struct shardy_scan *scan, shardy_error *err)
{
    struct branch *branch = scan->heap[0].branch;
    if (++branch->at == branch->count) {
        SFI_RETURN_IF_ERR(fetch(scan, branch, err));
    }
    if (branch->at < branch->count) {
        load_entry(&scan->heap[0], branch);
    } else {
        scan->heap[0] = scan->heap[--scan->heap_size];
    }
    if (scan->heap_size > 1) {
        sift_down(scan, 0);
    }
    return SHARDY_OK;
}

shardy_status shardy_scan_next(shardy_scan *scan, shardy_row *row, bool *found, shardy_error *err)
{
    *found = false;
    if (scan->behind) {
        scan->behind = false;
        shardy_status st = step(scan, err);
        if (st != SHARDY_OK) {
            scan->heap_size = 0;
            return st;
        }
    }
    if (!scan->heap_size) {
        return SHARDY_OK;
    }
    const struct branch *branch = scan->heap[0].branch;
    const struct sfi_row *at = &branch->rows[branch->at];
    row->key = at->key;
    row->key_size = at->key_size;
    row->value = at->value;
    row->value_size = at->value_size;
    row->db_id = branch->db_id;
    scan->behind = true;
    *found = true;
    return SHARDY_OK;
}

void shardy_scan_free(shardy_scan *scan)
{
    if (!scan) {
        return;
    }
    for (size_t i = 0; i < scan->branch_count; i++) {
        scan->branches[i].shard->ops->cursor_free(scan->branches[i].cursor);
    }
    sfi_free(scan->branches);
    sfi_free(scan->heap);
    sfi_buf_clear(&scan->start);
    sfi_buf_clear(&scan->end);
    sfi_snapshot_unref(scan->snapshot, 0);
    sfi_free(scan);
}
