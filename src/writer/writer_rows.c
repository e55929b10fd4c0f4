/*
 * writer_rows.c - rows in memory. Batches stay where they are; a row costs a 16-byte reference in
 * the list of its shard. At the memory limit every list is sorted and written to the spill file,
 * and all batches are released.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "writer/writer_internal.h"

#include <shardyfusion/manifest.h>

/* Rows routed at a time: ids stay in the first-level cache. */
#define ROUTE_BLOCK 1024u
/* Below this many rows a batch is routed by the calling thread alone. */
#define PARALLEL_ROWS 65536u

shardy_status sfi_rows_init(struct sfi_rows *rows, shardy_key_encoding encoding, uint32_t num_dbs,
                            unsigned threads, uint64_t memory_limit, struct sfi_spill_file *spill,
                            shardy_error *err)
{
    memset(rows, 0, sizeof *rows);
    rows->encoding = encoding;
    rows->num_dbs = num_dbs;
    rows->threads = threads;
    rows->memory_limit = memory_limit;
    rows->spill = spill;
    SFI_RETURN_IF_ERR(sfi_route_init(&rows->route, SHARDY_SHARDING_HASH, num_dbs, err));
    rows->lists = sfi_calloc((size_t)threads * num_dbs, sizeof *rows->lists);
    rows->sorted = sfi_calloc(threads, sizeof *rows->sorted);
    rows->scratch = sfi_calloc(threads, sizeof *rows->scratch);
    if (!rows->lists || !rows->sorted || !rows->scratch) {
        sfi_rows_clear(rows);
        return sfi_fail_memory(err, (size_t)threads * num_dbs * sizeof *rows->lists);
    }
    return SHARDY_OK;
}

static void release_batches(struct sfi_rows *rows)
{
    for (size_t i = 0; i < rows->batch_count; i++) {
        sfi_batch_release(&rows->batches[i]);
    }
    rows->batch_count = 0;
    rows->batch_bytes = 0;
}

void sfi_rows_clear(struct sfi_rows *rows)
{
    release_batches(rows);
    sfi_free(rows->batches);
    for (size_t i = 0; rows->lists && i < (size_t)rows->threads * rows->num_dbs; i++) {
        sfi_free(rows->lists[i].items);
    }
    sfi_free(rows->lists);
    for (unsigned t = 0; rows->sorted && rows->scratch && t < rows->threads; t++) {
        sfi_free(rows->sorted[t].items);
        sfi_free(rows->scratch[t].items);
    }
    sfi_free(rows->sorted);
    sfi_free(rows->scratch);
    for (size_t i = 0; i < rows->generation_count; i++) {
        sfi_free(rows->generations[i].runs);
    }
    sfi_free(rows->generations);
    memset(rows, 0, sizeof *rows);
}

/* --- checking ------------------------------------------------------------------------------- */

static shardy_status bad_key(const struct sfi_batch *batch, size_t row,
                             shardy_key_encoding encoding, bool hashed, shardy_error *err)
{
    const void *data;
    size_t size;
    uint8_t buffer[8];
    uint64_t digest;
    shardy_key key = sfi_column_key(&batch->key, row);
    shardy_status st = hashed ? shardy_key_digest(&key, &digest, err) : SHARDY_OK;
    if (st == SHARDY_OK) {
        st = sfi_key_encode_row(&key, encoding, buffer, &data, &size, err);
    }
    if (st != SHARDY_OK) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(&key, text);
        sfi_error_prefix(err, "row %llu, key %s: ", (unsigned long long)(batch->first_row + row),
                         text);
    }
    return st;
}

/* Smallest and largest number of an integer column, as signed 64-bit; *huge: above 2^63-1. */
static void int_range(const struct sfi_column *column, int64_t *lowest, int64_t *highest,
                      bool *huge)
{
    int64_t lo = INT64_MAX;
    int64_t hi = INT64_MIN;
    *huge = false;
#define RANGE(type)                                   \
    do {                                              \
        const type *p = column->values;               \
        for (size_t i = 0; i < column->length; i++) { \
            int64_t v = (int64_t)p[i];                \
            lo = v < lo ? v : lo;                     \
            hi = v > hi ? v : hi;                     \
        }                                             \
    } while (0)
    switch (column->kind) {
    case SFI_COLUMN_I32:
        RANGE(int32_t);
        break;
    case SFI_COLUMN_U32:
        RANGE(uint32_t);
        break;
    case SFI_COLUMN_I64:
        RANGE(int64_t);
        break;
    default:
        RANGE(uint64_t);
        *huge = column->length && lo < 0;
        break;
    }
#undef RANGE
    *lowest = lo;
    *highest = hi;
}

static shardy_status first_bad_key(shardy_key_encoding encoding, bool hashed,
                                   const struct sfi_batch *batch, shardy_error *err)
{
    for (size_t i = 0; i < batch->key.length; i++) {
        SFI_RETURN_IF_ERR(bad_key(batch, i, encoding, hashed, err));
    }
    return SHARDY_OK;
}

static shardy_status check_lengths(const struct sfi_batch *batch, const struct sfi_column *column,
                                   const char *what, size_t limit, shardy_error *err)
{
    for (size_t i = 0; column->max_bytes > limit && i < column->length; i++) {
        struct sfi_bytes bytes = sfi_column_bytes(column, i);
        if (bytes.size > limit) {
            return sfi_fail(err, SHARDY_LIMIT, "row %llu: %s of %zu bytes exceeds the limit of %zu",
                            (unsigned long long)(batch->first_row + i), what, bytes.size, limit);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_rows_check(shardy_key_encoding encoding, bool hashed,
                             const struct sfi_batch *batch, shardy_error *err)
{
    if (batch->key.length > UINT32_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "batch of %zu rows exceeds %u rows; split it",
                        batch->key.length, UINT32_MAX);
    }
    SFI_RETURN_IF_ERR(check_lengths(batch, &batch->value, "value", SFI_VALUE_MAX_BYTES, err));
    bool is_int = sfi_column_is_int(&batch->key);
    if (is_int != sfi_encoding_is_int(encoding)) {
        return batch->key.length ? first_bad_key(encoding, hashed, batch, err) : SHARDY_OK;
    }
    if (!is_int) {
        return check_lengths(batch, &batch->key, "key", SFI_KEY_MAX_BYTES, err);
    }
    int64_t lowest;
    int64_t highest;
    bool huge;
    int_range(&batch->key, &lowest, &highest, &huge);
    int64_t limit = encoding == SHARDY_KEY_U32BE ? (int64_t)UINT32_MAX : INT64_MAX;
    if (huge && !hashed && encoding == SHARDY_KEY_U64BE) {
        return SHARDY_OK; /* what only hashing has no place for */
    }
    if (batch->key.length && (huge || lowest < 0 || highest > limit)) {
        return first_bad_key(encoding, hashed, batch, err);
    }
    return SHARDY_OK;
}

void sfi_batch_key_text(const struct sfi_batch *batch, size_t row, shardy_key_encoding encoding,
                        char out[SFI_KEY_TEXT_SIZE])
{
    shardy_key key = sfi_column_is_int(&batch->key)
                         ? sfi_column_key(&batch->key, row)
                         : sfi_key_decode(encoding, sfi_column_bytes(&batch->key, row));
    sfi_key_text(&key, out);
}

/* --- routing -------------------------------------------------------------------------------- */

struct scatter {
    struct sfi_rows *rows;
    const struct sfi_batch *batch;
    uint64_t at; /* batch number, shifted */
    size_t piece;
};

bool sfi_ref_list_reserve(struct sfi_ref_list *list, size_t count)
{
    void *items = list->items;
    bool ok = sfi_array_grow(&items, &list->capacity, count, sizeof *list->items);
    list->items = items;
    return ok;
}

static inline bool list_push(struct sfi_ref_list *list, uint64_t prefix, uint64_t at)
{
    if (list->count == list->capacity && !sfi_ref_list_reserve(list, list->count + 1)) {
        return false;
    }
    list->items[list->count].prefix = prefix;
    list->items[list->count].at = at;
    list->count++;
    return true;
}

/* Whether offset and size of every value fit a reference. */
static bool locatable(const struct sfi_batch *batch)
{
    const struct sfi_column *value = &batch->value;
    if (!sfi_column_is_int(&batch->key) || !value->length ||
        value->max_bytes >= SFI_REF_LOCATED_SIZE) {
        return false;
    }
    struct sfi_bytes last = sfi_column_bytes(value, value->length - 1);
    return (uint64_t)(last.data - (const uint8_t *)value->values) + last.size <=
           SFI_REF_LOCATED_END - 1;
}

/* The part of `at` that names a row within its batch. */
static inline uint64_t place_of(const struct sfi_batch *batch, size_t row)
{
    if (!batch->located) {
        return row;
    }
    struct sfi_bytes value = sfi_column_bytes(&batch->value, row);
    uint64_t offset = (uint64_t)(value.data - (const uint8_t *)batch->value.values);
    return offset << SFI_REF_SIZE_BITS | value.size;
}

/* Route one block of rows into the worker's lists. */
static bool scatter_block(const struct scatter *scatter, struct sfi_ref_list *lists, size_t first,
                          size_t count, const uint32_t *ids)
{
    const struct sfi_column *key = &scatter->batch->key;
    bool ok = true;
    if (sfi_column_is_int(key)) {
        unsigned shift = scatter->rows->encoding == SHARDY_KEY_U32BE ? 32 : 0;
        for (size_t i = 0; i < count && ok; i++) {
            ok = list_push(&lists[ids[i]], sfi_column_number(key, first + i) << shift,
                           scatter->at | place_of(scatter->batch, first + i));
        }
    } else {
        for (size_t i = 0; i < count && ok; i++) {
            struct sfi_bytes bytes = sfi_column_bytes(key, first + i);
            ok = list_push(&lists[ids[i]], sfi_key_prefix(bytes.data, bytes.size),
                           scatter->at | (first + i));
        }
    }
    return ok;
}

static shardy_status scatter_piece(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    const struct scatter *scatter = arg;
    struct sfi_rows *rows = scatter->rows;
    struct sfi_ref_list *lists = rows->lists + (size_t)worker * rows->num_dbs;
    size_t length = scatter->batch->key.length;
    size_t end = (index + 1) * scatter->piece < length ? (index + 1) * scatter->piece : length;
    uint32_t routed[ROUTE_BLOCK];
    for (size_t first = index * scatter->piece; first < end; first += ROUTE_BLOCK) {
        size_t count = end - first < ROUTE_BLOCK ? end - first : ROUTE_BLOCK;
        const uint32_t *ids = scatter->batch->ids ? scatter->batch->ids + first : routed;
        if (!scatter->batch->ids) {
            SFI_RETURN_IF_ERR(sfi_route_rows(&rows->route, &scatter->batch->key, first, count,
                                             scatter->batch->first_row, routed, err));
        }
        if (!scatter_block(scatter, lists, first, count, ids)) {
            return sfi_fail_memory(err, count * sizeof(struct sfi_row_ref));
        }
    }
    return SHARDY_OK;
}

/* Memory of references while they are being sorted: per thread, a shard's references in key order,
 * and once more for the group in work, which can be nearly all of them. */
static uint64_t sort_space(const struct sfi_rows *rows)
{
    uint64_t per_shard = rows->ref_count / rows->num_dbs + 1;
    uint64_t at_once = rows->threads < rows->num_dbs ? rows->threads : rows->num_dbs;
    return 2 * at_once * per_shard * sizeof(struct sfi_row_ref);
}

uint64_t sfi_rows_memory(const struct sfi_rows *rows)
{
    return rows->batch_bytes + rows->ref_count * sizeof(struct sfi_row_ref) + sort_space(rows);
}

static shardy_status spill(struct sfi_rows *rows, shardy_error *err);

shardy_status sfi_rows_add(struct sfi_rows *rows, struct sfi_batch *batch, shardy_error *err)
{
    size_t length = batch->key.length;
    void *batches = rows->batches;
    if (!sfi_array_grow(&batches, &rows->batch_capacity, rows->batch_count + 1,
                        sizeof *rows->batches)) {
        sfi_batch_release(batch);
        return sfi_fail_memory(err, (rows->batch_count + 1) * sizeof *rows->batches);
    }
    rows->batches = batches;
    rows->batches[rows->batch_count] = *batch;
    memset(batch, 0, sizeof *batch);
    rows->batches[rows->batch_count].located = locatable(&rows->batches[rows->batch_count]);
    struct scatter scatter = {rows, &rows->batches[rows->batch_count],
                              (uint64_t)rows->batch_count << SFI_REF_BATCH_SHIFT, length};
    rows->batch_bytes += scatter.batch->bytes;
    rows->batch_count++;
    rows->ref_count += length;
    if (length >= PARALLEL_ROWS && rows->threads > 1) {
        scatter.piece = length / rows->threads + 1;
    }
    if (length) {
        size_t pieces = (length + scatter.piece - 1) / scatter.piece;
        SFI_RETURN_IF_ERR(sfi_parallel(rows->threads, pieces, scatter_piece, &scatter, err));
    }
    sfi_free(rows->batches[rows->batch_count - 1].ids);
    rows->batches[rows->batch_count - 1].ids = NULL;
    bool full =
        sfi_rows_memory(rows) > rows->memory_limit || rows->batch_count == SFI_REF_BATCHES_MAX;
    return full ? spill(rows, err) : SHARDY_OK;
}

shardy_status sfi_rows_end(struct sfi_rows *rows, shardy_error *err)
{
    bool crowded = sfi_rows_memory(rows) > rows->memory_limit / 2;
    return rows->generation_count && crowded ? spill(rows, err) : SHARDY_OK;
}

shardy_status sfi_rows_sorted(struct sfi_rows *rows, uint32_t db_id, unsigned worker,
                              const struct sfi_row_ref **refs, size_t *count, shardy_error *err)
{
    struct sfi_sort_source source = {&rows->lists[db_id], rows->threads, rows->num_dbs, 0};
    for (unsigned t = 0; t < rows->threads; t++) {
        source.total += source.lists[t * source.stride].count;
    }
    SFI_RETURN_IF_ERR(
        sfi_sort_refs(rows, &source, &rows->sorted[worker], &rows->scratch[worker], err));
    *refs = rows->sorted[worker].items;
    *count = source.total;
    return SHARDY_OK;
}

/* --- spilling ------------------------------------------------------------------------------- */

static bool fixed_keys(const struct sfi_rows *rows)
{
    return sfi_encoding_is_int(rows->encoding);
}

/* Upper bound of a shard's run, so that its bytes are contiguous in the shared file. References lie
 * in the order of arrival: the offsets are read in sequence. */
static uint64_t run_bound(const struct sfi_rows *rows, size_t db_id)
{
    uint64_t bytes = 0;
    for (unsigned t = 0; t < rows->threads; t++) {
        const struct sfi_ref_list *list = &rows->lists[(size_t)t * rows->num_dbs + db_id];
        for (size_t i = 0; i < list->count; i++) {
            const struct sfi_row_ref *ref = &list->items[i];
            const struct sfi_batch *batch = sfi_ref_batch(rows, ref);
            size_t key_size =
                fixed_keys(rows) ? 8 : sfi_column_bytes(&batch->key, sfi_ref_row(ref)).size;
            bytes += SFI_SPILL_RECORD_OVERHEAD + key_size + sfi_ref_value(batch, ref).size;
        }
    }
    return bytes;
}

static shardy_status write_run(struct sfi_rows *rows, struct sfi_stream *stream,
                               struct sfi_run *run, shardy_error *err)
{
    struct sfi_spill_writer writer = {.file = rows->spill, .fixed_keys = fixed_keys(rows)};
    const struct sfi_row *block;
    size_t count;
    shardy_status st = SHARDY_OK;
    writer.offset = run->offset;
    sfi_buf_init(&writer.buf, SIZE_MAX);
    do {
        SFI_TRY(sfi_stream_next(stream, &block, &count, err));
        for (size_t i = 0; i < count; i++) {
            SFI_TRY(sfi_spill_put(&writer, &block[i], err));
        }
        run->rows += count;
    } while (count);
    SFI_TRY(sfi_spill_flush(&writer, err));
    run->size = writer.offset - run->offset;
out:
    sfi_buf_clear(&writer.buf);
    return st;
}

static shardy_status spill_shard(void *arg, size_t db_id, unsigned worker, shardy_error *err)
{
    struct sfi_rows *rows = arg;
    struct sfi_run *run = &rows->generations[rows->generation_count - 1].runs[db_id];
    struct sfi_stream *stream = NULL;
    shardy_status st = SHARDY_OK;
    uint64_t bound = run_bound(rows, db_id);
    SFI_TRY(sfi_stream_open(rows, (uint32_t)db_id, worker, true, &stream, err));
    if (sfi_stream_input_rows(stream) == 0) {
        goto out;
    }
    run->offset = sfi_spill_reserve(rows->spill, bound);
    SFI_TRY(write_run(rows, stream, run, err));
out:
    sfi_stream_free(stream);
    return st;
}

static shardy_status spill(struct sfi_rows *rows, shardy_error *err)
{
    void *generations = rows->generations;
    SFI_RETURN_IF_ERR(sfi_spill_open(rows->spill, rows->spill->dir, err));
    if (!sfi_array_grow(&generations, &rows->generation_capacity, rows->generation_count + 1,
                        sizeof *rows->generations)) {
        return sfi_fail_memory(err, (rows->generation_count + 1) * sizeof *rows->generations);
    }
    rows->generations = generations;
    struct sfi_run *runs = sfi_calloc(rows->num_dbs, sizeof *runs);
    if (!runs) {
        return sfi_fail_memory(err, rows->num_dbs * sizeof *runs);
    }
    rows->generations[rows->generation_count++].runs = runs;
    SFI_RETURN_IF_ERR(sfi_parallel(rows->threads, rows->num_dbs, spill_shard, rows, err));
    for (size_t i = 0; i < (size_t)rows->threads * rows->num_dbs; i++) {
        rows->lists[i].count = 0;
    }
    rows->ref_count = 0;
    release_batches(rows);
    return SHARDY_OK;
}
