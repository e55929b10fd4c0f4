/*
 * writer_stage.c - rows held back while the number of shards is unknown (max_keys_per_shard): the
 * batches themselves, and past the memory limit a copy in the spill file, in order of arrival.
 */
#include "base/memory.h"
#include "writer/writer_internal.h"

struct sfi_stage {
    struct sfi_spill_file *spill;
    uint64_t memory_limit;
    struct sfi_batch *batches;
    size_t count;
    size_t capacity;
    uint64_t bytes;
    uint64_t spilled_rows;
    uint64_t spilled_size; /* bytes from the start of the spill file */
};

shardy_status sfi_stage_new(struct sfi_spill_file *spill, uint64_t memory_limit,
                            struct sfi_stage **stage, shardy_error *err)
{
    *stage = sfi_calloc(1, sizeof **stage);
    if (!*stage) {
        return sfi_fail_memory(err, sizeof **stage);
    }
    (*stage)->spill = spill;
    (*stage)->memory_limit = memory_limit;
    return SHARDY_OK;
}

static void release_batches(struct sfi_stage *stage)
{
    for (size_t i = 0; i < stage->count; i++) {
        sfi_batch_release(&stage->batches[i]);
    }
    stage->count = 0;
    stage->bytes = 0;
}

void sfi_stage_free(struct sfi_stage *stage)
{
    if (stage) {
        release_batches(stage);
        sfi_free(stage->batches);
        sfi_free(stage);
    }
}

/* A row of a batch as it is stored: integer keys as 8 bytes. */
static void staged_row(const struct sfi_batch *batch, size_t i, uint8_t number[8],
                       struct sfi_row *row)
{
    struct sfi_bytes value = sfi_column_bytes(&batch->value, i);
    row->value = value.data;
    row->value_size = (uint32_t)value.size;
    if (sfi_column_is_int(&batch->key)) {
        sfi_put_u64be(number, sfi_column_key(&batch->key, i).number);
        row->key = number;
        row->key_size = 8;
    } else {
        struct sfi_bytes key = sfi_column_bytes(&batch->key, i);
        row->key = key.data;
        row->key_size = (uint32_t)key.size;
    }
}

static shardy_status spill_batches(struct sfi_stage *stage, shardy_error *err)
{
    struct sfi_spill_writer writer = {.file = stage->spill};
    shardy_status st = SHARDY_OK;
    uint8_t number[8];
    sfi_buf_init(&writer.buf, SIZE_MAX);
    SFI_TRY(sfi_spill_open(stage->spill, stage->spill->dir, err));
    writer.offset = stage->spilled_size;
    for (size_t b = 0; b < stage->count; b++) {
        for (size_t i = 0; i < stage->batches[b].key.length; i++) {
            struct sfi_row row;
            staged_row(&stage->batches[b], i, number, &row);
            SFI_TRY(sfi_spill_put(&writer, &row, err));
        }
        stage->spilled_rows += stage->batches[b].key.length;
    }
    SFI_TRY(sfi_spill_flush(&writer, err));
    sfi_spill_reserve(stage->spill, writer.offset - stage->spilled_size);
    stage->spilled_size = writer.offset;
    release_batches(stage);
out:
    sfi_buf_clear(&writer.buf);
    return st;
}

shardy_status sfi_stage_add(struct sfi_stage *stage, struct sfi_batch *batch, shardy_error *err)
{
    void *batches = stage->batches;
    if (!sfi_array_grow(&batches, &stage->capacity, stage->count + 1, sizeof *stage->batches)) {
        sfi_batch_release(batch);
        return sfi_fail_memory(err, (stage->count + 1) * sizeof *stage->batches);
    }
    stage->batches = batches;
    stage->batches[stage->count++] = *batch;
    stage->bytes += batch->bytes;
    memset(batch, 0, sizeof *batch);
    return stage->bytes > stage->memory_limit ? spill_batches(stage, err) : SHARDY_OK;
}

static shardy_status replay_arena(struct sfi_arena *arena, struct sfi_rows *rows, uint64_t *first,
                                  shardy_error *err)
{
    struct sfi_batch batch;
    uint64_t count = sfi_arena_rows(arena);
    if (!count) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_arena_take(arena, *first, &batch, err));
    *first += count;
    return sfi_rows_add(rows, &batch, err);
}

static shardy_status replay_spilled(struct sfi_stage *stage, struct sfi_rows *rows,
                                    shardy_error *err)
{
    struct sfi_run run = {0, stage->spilled_size, stage->spilled_rows};
    struct sfi_run_reader reader = {0};
    struct sfi_arena *arena = NULL;
    shardy_status st = SHARDY_OK;
    bool int_keys = sfi_encoding_is_int(rows->encoding);
    uint64_t first = 0;
    SFI_TRY(sfi_run_open(&reader, stage->spill, &run, 1u << 20, 0, err));
    SFI_TRY(sfi_arena_new(int_keys, &arena, err));
    for (;;) {
        struct sfi_row row;
        bool found;
        SFI_TRY(sfi_run_next(&reader, &row, &found, err));
        if (!found) {
            break;
        }
        struct sfi_bytes key = {row.key, int_keys ? 0 : row.key_size};
        struct sfi_bytes value = {row.value, row.value_size};
        SFI_TRY(sfi_arena_add(arena, int_keys ? sfi_get_u64be(row.key) : 0, key, value, err));
        if (sfi_arena_full(arena)) {
            SFI_TRY(replay_arena(arena, rows, &first, err));
        }
    }
    SFI_TRY(replay_arena(arena, rows, &first, err));
out:
    sfi_arena_free(arena);
    sfi_run_close(&reader);
    return st;
}

shardy_status sfi_stage_replay(struct sfi_stage *stage, struct sfi_rows *rows, shardy_error *err)
{
    if (stage->spilled_rows) {
        SFI_RETURN_IF_ERR(replay_spilled(stage, rows, err));
    }
    for (size_t i = 0; i < stage->count; i++) {
        SFI_RETURN_IF_ERR(sfi_rows_add(rows, &stage->batches[i], err));
    }
    stage->count = 0;
    return SHARDY_OK;
}
