/*
 * writer_arena.c - rows added one by one: copied into blocks that look like Arrow columns, so that
 * everything behind works on batches only.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "writer/writer_internal.h"

#include <stdlib.h>

/* A batch is worth its fixed cost at about this many rows or bytes. */
#define ARENA_ROWS  16384u
#define ARENA_BYTES (1u << 20)

struct sfi_arena {
    bool int_keys;
    uint64_t *numbers; /* integer keys */
    struct sfi_buf key_data;
    struct sfi_buf value_data;
    int64_t *key_ends; /* offsets, ARENA_ROWS + 1 */
    int64_t *value_ends;
    size_t value_max; /* longest value */
    size_t count;
};

/* The memory of a batch that came from an arena. */
struct arena_block {
    uint64_t *numbers;
    int64_t *key_ends;
    int64_t *value_ends;
    char *keys;
    char *values;
};

static void block_free(struct arena_block *block)
{
    sfi_free(block->numbers);
    sfi_free(block->key_ends);
    sfi_free(block->value_ends);
    sfi_free(block->keys);
    sfi_free(block->values);
    sfi_free(block);
}

void sfi_batch_release(struct sfi_batch *batch)
{
    if (batch->array.release) {
        batch->array.release(&batch->array);
    }
    if (batch->own) {
        block_free(batch->own);
    }
    sfi_free(batch->ids);
    memset(batch, 0, sizeof *batch);
}

shardy_status sfi_arena_new(bool int_keys, struct sfi_arena **arena, shardy_error *err)
{
    *arena = sfi_calloc(1, sizeof **arena);
    if (!*arena) {
        return sfi_fail_memory(err, sizeof **arena);
    }
    (*arena)->int_keys = int_keys;
    sfi_buf_init(&(*arena)->key_data, SIZE_MAX);
    sfi_buf_init(&(*arena)->value_data, SIZE_MAX);
    return SHARDY_OK;
}

void sfi_arena_free(struct sfi_arena *arena)
{
    if (arena) {
        sfi_free(arena->numbers);
        sfi_free(arena->key_ends);
        sfi_free(arena->value_ends);
        sfi_buf_clear(&arena->key_data);
        sfi_buf_clear(&arena->value_data);
        sfi_free(arena);
    }
}

static shardy_status arena_start(struct sfi_arena *arena, shardy_error *err)
{
    size_t bytes = (ARENA_ROWS + 1) * sizeof *arena->value_ends;
    if (arena->int_keys && !arena->numbers) {
        arena->numbers = sfi_malloc(bytes);
    }
    if (!arena->int_keys && !arena->key_ends) {
        arena->key_ends = sfi_malloc(bytes);
    }
    if (!arena->value_ends) {
        arena->value_ends = sfi_malloc(bytes);
    }
    if (!arena->value_ends || (arena->int_keys ? !arena->numbers : !arena->key_ends)) {
        return sfi_fail_memory(err, bytes);
    }
    arena->value_ends[0] = 0;
    if (arena->key_ends) {
        arena->key_ends[0] = 0;
    }
    return SHARDY_OK;
}

shardy_status sfi_arena_add(struct sfi_arena *arena, uint64_t number, struct sfi_bytes key,
                            struct sfi_bytes value, shardy_error *err)
{
    if (arena->count == 0) {
        SFI_RETURN_IF_ERR(arena_start(arena, err));
    }
    /* Reserve both before changing either, so that a failure leaves whole rows only. */
    uint8_t *key_at = sfi_buf_reserve(&arena->key_data, key.size);
    uint8_t *value_at = key_at ? sfi_buf_reserve(&arena->value_data, value.size) : NULL;
    if (!value_at) {
        arena->count = 0;
        return sfi_fail_memory(err, key.size + value.size);
    }
    if (arena->int_keys) {
        arena->numbers[arena->count] = number;
    } else {
        if (key.size) {
            memcpy(key_at, key.data, key.size);
        }
        arena->key_data.size += key.size;
        arena->key_ends[arena->count + 1] = (int64_t)arena->key_data.size;
    }
    if (value.size) {
        memcpy(value_at, value.data, value.size);
    }
    arena->value_data.size += value.size;
    arena->value_max = value.size > arena->value_max ? value.size : arena->value_max;
    arena->value_ends[arena->count + 1] = (int64_t)arena->value_data.size;
    arena->count++;
    return SHARDY_OK;
}

uint64_t sfi_arena_rows(const struct sfi_arena *arena)
{
    return arena ? arena->count : 0;
}

bool sfi_arena_full(const struct sfi_arena *arena)
{
    return arena->count == ARENA_ROWS ||
           arena->key_data.size + arena->value_data.size >= ARENA_BYTES;
}

shardy_status sfi_arena_take(struct sfi_arena *arena, uint64_t first_row, struct sfi_batch *batch,
                             shardy_error *err)
{
    struct arena_block *block = sfi_calloc(1, sizeof *block);
    memset(batch, 0, sizeof *batch);
    if (!block) {
        return sfi_fail_memory(err, sizeof *block);
    }
    batch->own = block;
    batch->first_row = first_row;
    batch->bytes = arena->key_data.capacity + arena->value_data.capacity +
                   2 * (ARENA_ROWS + 1) * sizeof *arena->value_ends;
    block->keys = (char *)arena->key_data.data;
    block->values = (char *)arena->value_data.data;
    block->numbers = arena->numbers;
    block->key_ends = arena->key_ends;
    block->value_ends = arena->value_ends;
    batch->key.kind = arena->int_keys ? SFI_COLUMN_U64 : SFI_COLUMN_VAR64;
    batch->key.length = arena->count;
    batch->key.values = arena->int_keys ? (void *)block->numbers : (void *)block->keys;
    batch->key.offsets = block->key_ends;
    batch->value.kind = SFI_COLUMN_VAR64;
    batch->value.length = arena->count;
    batch->value.values = block->values;
    batch->value.offsets = block->value_ends;
    batch->key.max_bytes = SFI_KEY_MAX_BYTES; /* checked row by row */
    batch->value.max_bytes = arena->value_max;
    arena->numbers = NULL;
    arena->key_ends = NULL;
    arena->value_ends = NULL;
    arena->value_max = 0;
    arena->count = 0;
    sfi_buf_init(&arena->key_data, SIZE_MAX);
    sfi_buf_init(&arena->value_data, SIZE_MAX);
    return SHARDY_OK;
}
