/*
 * writer_stream.c - the rows of one shard in key order, the last of equal keys only: sorted
 * references in memory, merged with the shard's spilled runs. Rows are handed out in blocks whose
 * bytes are on their way into the cache when the block is used.
 */
#include "base/memory.h"
#include "writer/writer_internal.h"

/* Read buffers of a merge: together at most this part of the memory limit, each in this range. */
#define MERGE_SHARE    16u
#define RUN_BUFFER_MIN (16u << 10)
#define RUN_BUFFER_MAX (1u << 20)
#define PREFETCH_BYTES 256u

/* Rows ready to be used; two alternate, so that one is fetched while the other is consumed. */
struct block {
    struct sfi_row rows[SFI_STREAM_BLOCK];
    uint8_t numbers[SFI_STREAM_BLOCK][8]; /* stored bytes of integer keys */
    size_t count;
};

/* One sorted source of a merge: the row at its head. */
struct source {
    struct sfi_run_reader run; /* unused for the source in memory */
    struct sfi_row head;
    uint64_t prefix;
    size_t age; /* the larger wins among equal keys */
};

struct sfi_stream {
    const struct sfi_rows *rows;
    uint32_t db_id;
    bool fixed_keys;
    uint32_t key_size; /* of fixed keys */
    uint64_t input_rows;

    const struct sfi_row_ref *refs; /* borrowed */
    size_t ref_count;
    size_t next_ref;
    struct block blocks[2];
    unsigned current; /* block being filled next */

    /* Merging: a heap of sources; memory feeds its head from `memory`. */
    struct source *sources;
    struct source **heap;
    size_t heap_size;
    struct source *memory;
    const struct sfi_row *memory_rows;
    size_t memory_left;
    struct source *behind; /* source whose head was handed out and must move on */
    struct sfi_row merged[SFI_STREAM_BLOCK];
};

static const struct sfi_batch *batch_of(const struct sfi_stream *stream,
                                        const struct sfi_row_ref *ref)
{
    return &stream->rows->batches[ref->at >> 32];
}

static size_t row_of(const struct sfi_row_ref *ref)
{
    return (size_t)(ref->at & UINT32_MAX);
}

static void prefetch_offsets(const struct sfi_column *column, size_t row)
{
    size_t width = column->kind == SFI_COLUMN_VAR32 ? 4 : 8;
    __builtin_prefetch((const uint8_t *)column->offsets + width * row);
}

/* Ask for the offsets of the references behind the block being filled. */
static void prefetch_ahead(const struct sfi_stream *stream, size_t from)
{
    size_t end = from + SFI_STREAM_BLOCK;
    end = end < stream->ref_count ? end : stream->ref_count;
    for (size_t i = from; i < end; i++) {
        const struct sfi_batch *batch = batch_of(stream, &stream->refs[i]);
        prefetch_offsets(&batch->value, row_of(&stream->refs[i]));
        if (!stream->fixed_keys) {
            prefetch_offsets(&batch->key, row_of(&stream->refs[i]));
        }
    }
}

static void prefetch_bytes(const uint8_t *data, size_t size)
{
    size = size < PREFETCH_BYTES ? size : PREFETCH_BYTES;
    for (size_t at = 0; at < size; at += 64) {
        __builtin_prefetch(data + at);
    }
    if (size) {
        __builtin_prefetch(data + size - 1);
    }
}

/* Whether the next reference has the same key: then this one is replaced. */
static bool replaced(const struct sfi_stream *stream, size_t at)
{
    const struct sfi_row_ref *ref = &stream->refs[at];
    if (at + 1 == stream->ref_count) {
        return false;
    }
    if (stream->fixed_keys) {
        return ref->prefix == ref[1].prefix;
    }
    struct sfi_bytes a = sfi_column_bytes(&batch_of(stream, ref)->key, row_of(ref));
    struct sfi_bytes b = sfi_column_bytes(&batch_of(stream, ref + 1)->key, row_of(ref + 1));
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void fill_block(struct sfi_stream *stream, struct block *block)
{
    block->count = 0;
    prefetch_ahead(stream, stream->next_ref + SFI_STREAM_BLOCK);
    while (block->count < SFI_STREAM_BLOCK && stream->next_ref < stream->ref_count) {
        size_t at = stream->next_ref++;
        const struct sfi_row_ref *ref = &stream->refs[at];
        if (replaced(stream, at)) {
            continue;
        }
        const struct sfi_batch *batch = batch_of(stream, ref);
        struct sfi_row *row = &block->rows[block->count];
        struct sfi_bytes value = sfi_column_bytes(&batch->value, row_of(ref));
        if (stream->fixed_keys) {
            row->key = block->numbers[block->count];
            row->key_size = stream->key_size;
            sfi_put_u64be(block->numbers[block->count], ref->prefix);
        } else {
            struct sfi_bytes key = sfi_column_bytes(&batch->key, row_of(ref));
            row->key = key.data;
            row->key_size = (uint32_t)key.size;
            prefetch_bytes(key.data, key.size);
        }
        row->value = value.data;
        row->value_size = (uint32_t)value.size;
        prefetch_bytes(value.data, value.size);
        block->count++;
    }
}

/* Hand out the block fetched before, and fetch the next one. */
static void next_from_memory(struct sfi_stream *stream, const struct sfi_row **rows, size_t *count)
{
    struct block *ready = &stream->blocks[stream->current];
    stream->current ^= 1;
    *rows = ready->rows;
    *count = ready->count;
    fill_block(stream, &stream->blocks[stream->current]);
}

static void start_memory(struct sfi_stream *stream)
{
    stream->next_ref = 0;
    stream->current = 0;
    prefetch_ahead(stream, 0);
    fill_block(stream, &stream->blocks[0]);
}

/* --- merging -------------------------------------------------------------------------------- */

static int compare_heads(const struct source *a, const struct source *b)
{
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    struct sfi_bytes x = {a->head.key, a->head.key_size};
    struct sfi_bytes y = {b->head.key, b->head.key_size};
    return sfi_bytes_compare(x, y);
}

static bool source_less(const struct source *a, const struct source *b)
{
    int c = compare_heads(a, b);
    return c ? c < 0 : a->age < b->age;
}

static void sift_down(struct sfi_stream *stream, size_t at)
{
    struct source *moving = stream->heap[at];
    for (size_t child = 2 * at + 1; child < stream->heap_size; child = 2 * at + 1) {
        if (child + 1 < stream->heap_size &&
            source_less(stream->heap[child + 1], stream->heap[child])) {
            child++;
        }
        if (!source_less(stream->heap[child], moving)) {
            break;
        }
        stream->heap[at] = stream->heap[child];
        at = child;
    }
    stream->heap[at] = moving;
}

/* Load the next row of a source into its head. */
static shardy_status advance(struct sfi_stream *stream, struct source *source, bool *found,
                             shardy_error *err)
{
    if (source == stream->memory) {
        if (!stream->memory_left) {
            next_from_memory(stream, &stream->memory_rows, &stream->memory_left);
        }
        *found = stream->memory_left > 0;
        if (*found) {
            source->head = *stream->memory_rows++;
            stream->memory_left--;
        }
    } else {
        SFI_RETURN_IF_ERR(sfi_run_next(&source->run, &source->head, found, err));
    }
    if (*found) {
        source->prefix = sfi_key_prefix(source->head.key, source->head.key_size);
    }
    return SHARDY_OK;
}

/* Move the source on top of the heap on. */
static shardy_status advance_top(struct sfi_stream *stream, shardy_error *err)
{
    bool found = false;
    SFI_RETURN_IF_ERR(advance(stream, stream->heap[0], &found, err));
    if (!found) {
        stream->heap[0] = stream->heap[--stream->heap_size];
    }
    if (stream->heap_size) {
        sift_down(stream, 0);
    }
    return SHARDY_OK;
}

/* Whether moving this source on may overwrite rows that were handed out. */
static bool overwrites(const struct sfi_stream *stream, const struct source *source)
{
    return source == stream->memory ? stream->memory_left == 0 : sfi_run_needs_read(&source->run);
}

/* Another head with the same key as the top, and therefore a newer one? */
static bool top_replaced(const struct sfi_stream *stream)
{
    for (size_t child = 1; child <= 2 && child < stream->heap_size; child++) {
        if (compare_heads(stream->heap[0], stream->heap[child]) == 0) {
            return true;
        }
    }
    return false;
}

static shardy_status next_merged(struct sfi_stream *stream, const struct sfi_row **rows,
                                 size_t *count, shardy_error *err)
{
    size_t n = 0;
    *rows = stream->merged;
    *count = 0;
    if (stream->behind) {
        stream->behind = NULL;
        SFI_RETURN_IF_ERR(advance_top(stream, err));
    }
    while (n < SFI_STREAM_BLOCK && stream->heap_size) {
        if (!top_replaced(stream)) {
            stream->merged[n++] = stream->heap[0]->head;
        }
        if (n && overwrites(stream, stream->heap[0])) {
            stream->behind = stream->heap[0]; /* rows of this block must live on: move on later */
            break;
        }
        SFI_RETURN_IF_ERR(advance_top(stream, err));
    }
    *count = n;
    return SHARDY_OK;
}

static void close_sources(struct sfi_stream *stream)
{
    for (size_t g = 0; stream->sources && g < stream->rows->generation_count; g++) {
        sfi_run_close(&stream->sources[g].run);
    }
}

/* Put every source at its first row. */
static shardy_status start_sources(struct sfi_stream *stream, shardy_error *err)
{
    const struct sfi_rows *rows = stream->rows;
    size_t count = rows->generation_count + 1;
    uint64_t share = rows->memory_limit / MERGE_SHARE / rows->threads / count;
    size_t buffer = share < RUN_BUFFER_MIN   ? RUN_BUFFER_MIN
                    : share > RUN_BUFFER_MAX ? RUN_BUFFER_MAX
                                             : (size_t)share;
    stream->heap_size = 0;
    stream->behind = NULL;
    stream->memory_left = 0;
    for (size_t g = 0; g < count; g++) {
        struct source *source = &stream->sources[g];
        bool found;
        source->age = g;
        if (source != stream->memory) {
            const struct sfi_run *run = &rows->generations[g].runs[stream->db_id];
            SFI_RETURN_IF_ERR(sfi_run_open(&source->run, rows->spill, run, buffer,
                                           stream->fixed_keys ? stream->key_size : 0, err));
        }
        SFI_RETURN_IF_ERR(advance(stream, source, &found, err));
        if (found) {
            stream->heap[stream->heap_size++] = source;
        }
    }
    for (size_t i = stream->heap_size / 2; i-- > 0;) {
        sift_down(stream, i);
    }
    return SHARDY_OK;
}

static shardy_status open_sources(struct sfi_stream *stream, shardy_error *err)
{
    size_t count = stream->rows->generation_count + 1;
    stream->sources = sfi_calloc(count, sizeof *stream->sources);
    stream->heap = sfi_calloc(count, sizeof(struct source *));
    if (!stream->sources || !stream->heap) {
        return sfi_fail_memory(err, count * sizeof *stream->sources);
    }
    stream->memory = &stream->sources[count - 1];
    for (size_t g = 0; g + 1 < count; g++) {
        stream->input_rows += stream->rows->generations[g].runs[stream->db_id].rows;
    }
    return start_sources(stream, err);
}

shardy_status sfi_stream_rewind(struct sfi_stream *stream, shardy_error *err)
{
    start_memory(stream);
    if (!stream->sources) {
        return SHARDY_OK;
    }
    close_sources(stream);
    return start_sources(stream, err);
}

shardy_status sfi_stream_open(struct sfi_rows *rows, uint32_t db_id, unsigned worker,
                              bool memory_only, struct sfi_stream **out, shardy_error *err)
{
    struct sfi_stream *stream = sfi_calloc(1, sizeof *stream);
    shardy_status st = SHARDY_OK;
    *out = NULL;
    if (!stream) {
        return sfi_fail_memory(err, sizeof *stream);
    }
    stream->rows = rows;
    stream->db_id = db_id;
    stream->fixed_keys = sfi_encoding_is_int(rows->encoding);
    stream->key_size = rows->encoding == SHARDY_KEY_U32BE ? 4 : 8;
    SFI_TRY(sfi_rows_sorted(rows, db_id, worker, &stream->refs, &stream->ref_count, err));
    stream->input_rows = stream->ref_count;
    start_memory(stream);
    if (rows->generation_count && !memory_only) {
        SFI_TRY(open_sources(stream, err));
    }
    *out = stream;
out:
    if (st != SHARDY_OK) {
        sfi_stream_free(stream);
    }
    return st;
}

shardy_status sfi_stream_next(struct sfi_stream *stream, const struct sfi_row **rows, size_t *count,
                              shardy_error *err)
{
    if (stream->sources) {
        return next_merged(stream, rows, count, err);
    }
    next_from_memory(stream, rows, count);
    return SHARDY_OK;
}

uint64_t sfi_stream_input_rows(const struct sfi_stream *stream)
{
    return stream->input_rows;
}

void sfi_stream_free(struct sfi_stream *stream)
{
    if (stream) {
        close_sources(stream);
        sfi_free(stream->sources);
        sfi_free(stream->heap);
        sfi_free(stream);
    }
}
