/*
 * writer_stream.c - the rows of one shard in key order, the last of equal keys only: sorted
 * references in memory, merged with the shard's spilled runs. Rows are handed out in blocks whose
 * bytes are on their way into the cache when the block is used.
 */
#include "base/loser_tree.h"
#include "base/memory.h"
#include "writer/writer_internal.h"

/* Read buffers of a merge: together at most this part of the memory limit, each in this range. */
#define MERGE_SHARE    16u
#define RUN_BUFFER_MIN (16u << 10)
#define RUN_BUFFER_MAX (1u << 20)
#define PREFETCH_BYTES 256u
/* Offsets are asked for this many rows before they are used. */
#define OFFSETS_AHEAD 64u

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
    uint64_t prefix; /* UINT64_MAX when ended */
    bool ended;
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

    /* Merging: sources from the oldest generation to the rows in memory. */
    struct source *sources;
    struct sfi_losers losers;
    struct sfi_loser *first; /* space of the tree: first items, winners, nodes */
    struct source *memory;
    const struct sfi_row *memory_rows;
    size_t memory_left;
    bool behind; /* the head of the winner was handed out and must move on */
    bool any;    /* `last_*` are set: the key of the last row handed out */
    uint64_t last_prefix;
    struct sfi_buf last_key;
    struct sfi_row merged[SFI_STREAM_BLOCK];
};

static const struct sfi_batch *batch_of(const struct sfi_stream *stream,
                                        const struct sfi_row_ref *ref)
{
    return sfi_ref_batch(stream->rows, ref);
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
        if (!batch->located) {
            prefetch_offsets(&batch->value, sfi_ref_row(&stream->refs[i]));
        }
        if (!stream->fixed_keys) {
            prefetch_offsets(&batch->key, sfi_ref_row(&stream->refs[i]));
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
    /* Whatever part of a key the sort left in the prefix, it is the same for equal keys. */
    if (stream->fixed_keys || ref->prefix != ref[1].prefix) {
        return ref->prefix == ref[1].prefix;
    }
    struct sfi_bytes a = sfi_column_bytes(&batch_of(stream, ref)->key, sfi_ref_row(ref));
    struct sfi_bytes b = sfi_column_bytes(&batch_of(stream, ref + 1)->key, sfi_ref_row(ref + 1));
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void fill_block(struct sfi_stream *stream, struct block *block)
{
    block->count = 0;
    prefetch_ahead(stream, stream->next_ref + OFFSETS_AHEAD);
    while (block->count < SFI_STREAM_BLOCK && stream->next_ref < stream->ref_count) {
        size_t at = stream->next_ref++;
        const struct sfi_row_ref *ref = &stream->refs[at];
        if (replaced(stream, at)) {
            continue;
        }
        const struct sfi_batch *batch = batch_of(stream, ref);
        struct sfi_row *row = &block->rows[block->count];
        struct sfi_bytes value = sfi_ref_value(batch, ref);
        if (stream->fixed_keys) {
            row->key = block->numbers[block->count];
            row->key_size = stream->key_size;
            sfi_put_u64be(block->numbers[block->count], ref->prefix);
        } else {
            struct sfi_bytes key = sfi_column_bytes(&batch->key, sfi_ref_row(ref));
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
    for (size_t at = 0; at < OFFSETS_AHEAD; at += SFI_STREAM_BLOCK) {
        prefetch_ahead(stream, at);
    }
    fill_block(stream, &stream->blocks[0]);
}

/* --- merging -------------------------------------------------------------------------------- */

/* Order of sources whose prefixes are equal: the newest of equal keys first, ended ones last. */
static bool source_less(const void *arg, uint64_t a, uint64_t b)
{
    const struct source *x = &((const struct source *)arg)[a];
    const struct source *y = &((const struct source *)arg)[b];
    if (x->ended || y->ended) {
        return !x->ended;
    }
    struct sfi_bytes key_x = {x->head.key, x->head.key_size};
    struct sfi_bytes key_y = {y->head.key, y->head.key_size};
    int c = sfi_bytes_compare(key_x, key_y);
    return c ? c < 0 : a > b; /* sources are in the order of their age */
}

/* Load the next row of a source into its head. */
static shardy_status advance(struct sfi_stream *stream, struct source *source, shardy_error *err)
{
    bool found;
    if (source == stream->memory) {
        if (!stream->memory_left) {
            next_from_memory(stream, &stream->memory_rows, &stream->memory_left);
        }
        found = stream->memory_left > 0;
        if (found) {
            source->head = *stream->memory_rows++;
            stream->memory_left--;
        }
    } else {
        SFI_RETURN_IF_ERR(sfi_run_next(&source->run, &source->head, &found, err));
    }
    source->ended = !found;
    source->prefix = found ? sfi_key_prefix(source->head.key, source->head.key_size) : UINT64_MAX;
    return SHARDY_OK;
}

static struct source *winner(const struct sfi_stream *stream)
{
    return &stream->sources[stream->losers.nodes[0].source];
}

/* Move the first source on. */
static shardy_status advance_winner(struct sfi_stream *stream, shardy_error *err)
{
    struct source *source = winner(stream);
    SFI_RETURN_IF_ERR(advance(stream, source, err));
    sfi_losers_replay(&stream->losers, (uint64_t)(source - stream->sources), source->prefix);
    return SHARDY_OK;
}

/* Whether moving this source on may overwrite rows that were handed out. */
static bool overwrites(const struct sfi_stream *stream, const struct source *source)
{
    return source == stream->memory ? stream->memory_left == 0 : sfi_run_needs_read(&source->run);
}

/* Whether a newer row of the same key went before: the last of this block, or of the one before. */
static bool superseded(const struct sfi_stream *stream, const struct source *source, size_t count)
{
    if (!stream->any || source->prefix != stream->last_prefix) {
        return false;
    }
    struct sfi_bytes key = {source->head.key, source->head.key_size};
    struct sfi_bytes last = sfi_buf_view(&stream->last_key);
    if (count) {
        last.data = stream->merged[count - 1].key;
        last.size = stream->merged[count - 1].key_size;
    }
    return sfi_bytes_compare(key, last) == 0;
}

static shardy_status next_merged(struct sfi_stream *stream, const struct sfi_row **rows,
                                 size_t *count, shardy_error *err)
{
    size_t n = 0;
    *rows = stream->merged;
    *count = 0;
    if (stream->behind) {
        stream->behind = false;
        SFI_RETURN_IF_ERR(advance_winner(stream, err));
    }
    while (n < SFI_STREAM_BLOCK && !winner(stream)->ended) {
        const struct source *source = winner(stream);
        if (!superseded(stream, source, n)) {
            stream->merged[n++] = source->head;
            stream->last_prefix = source->prefix;
            stream->any = true;
        }
        if (n && overwrites(stream, source)) {
            stream->behind = true; /* rows of this block must live on: move on later */
            break;
        }
        SFI_RETURN_IF_ERR(advance_winner(stream, err));
    }
    if (n) {
        stream->last_key.size = 0;
        sfi_buf_append(&stream->last_key, stream->merged[n - 1].key,
                       stream->merged[n - 1].key_size);
        SFI_RETURN_IF_ERR(sfi_buf_status(&stream->last_key, "key", err));
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
    stream->behind = false;
    stream->any = false;
    stream->memory_left = 0;
    for (size_t g = 0; g < count; g++) {
        struct source *source = &stream->sources[g];
        if (source != stream->memory) {
            const struct sfi_run *run = &rows->generations[g].runs[stream->db_id];
            SFI_RETURN_IF_ERR(sfi_run_open(&source->run, rows->spill, run, buffer,
                                           stream->fixed_keys ? stream->key_size : 0, err));
        }
        SFI_RETURN_IF_ERR(advance(stream, source, err));
        stream->first[g] = (struct sfi_loser){source->prefix, g};
    }
    sfi_losers_build(&stream->losers, stream->first, stream->first + count);
    return SHARDY_OK;
}

static shardy_status open_sources(struct sfi_stream *stream, shardy_error *err)
{
    size_t count = stream->rows->generation_count + 1;
    stream->sources = sfi_calloc(count, sizeof *stream->sources);
    stream->first = sfi_array_alloc(4 * count, sizeof *stream->first);
    if (!stream->sources || !stream->first) {
        return sfi_fail_memory(err, count * sizeof *stream->sources);
    }
    sfi_buf_init(&stream->last_key, SIZE_MAX);
    stream->losers =
        (struct sfi_losers){stream->first + 3 * count, count, source_less, stream->sources};
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
        sfi_free(stream->first);
        sfi_buf_clear(&stream->last_key);
        sfi_free(stream);
    }
}
