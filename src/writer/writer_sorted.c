/*
 * writer_sorted.c - rows of one shard that arrive in key order: checked against the row before, and
 * handed to the builder in blocks that point into the batch. One row is held back, because an equal
 * key may follow and the last one wins; only when its batch ends it is copied.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "writer/writer_internal.h"

struct sfi_sorted {
    bool int_keys;
    unsigned shift; /* from a number to its first 8 stored bytes */
    uint32_t key_size;

    bool any;            /* `last` is a row */
    uint64_t prefix;     /* of its key */
    struct sfi_row last; /* held back; an integer key is in `prefix` only */
    struct sfi_buf key;  /* copies for the time between two batches */
    struct sfi_buf value;

    struct sfi_row block[SFI_STREAM_BLOCK]; /* on the way to the builder */
    uint8_t numbers[SFI_STREAM_BLOCK][8];   /* stored bytes of integer keys */
    size_t count;
};

shardy_status sfi_sorted_new(shardy_key_encoding encoding, struct sfi_sorted **sorted,
                             shardy_error *err)
{
    *sorted = sfi_calloc(1, sizeof **sorted);
    if (!*sorted) {
        return sfi_fail_memory(err, sizeof **sorted);
    }
    (*sorted)->int_keys = sfi_encoding_is_int(encoding);
    (*sorted)->shift = encoding == SHARDY_KEY_U32BE ? 32 : 0;
    (*sorted)->key_size = encoding == SHARDY_KEY_U32BE ? 4 : 8;
    sfi_buf_init(&(*sorted)->key, SFI_KEY_MAX_BYTES);
    sfi_buf_init(&(*sorted)->value, SFI_VALUE_MAX_BYTES);
    return SHARDY_OK;
}

void sfi_sorted_free(struct sfi_sorted *sorted)
{
    if (sorted) {
        sfi_buf_clear(&sorted->key);
        sfi_buf_clear(&sorted->value);
        sfi_free(sorted);
    }
}

static shardy_status flush(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                           shardy_error *err)
{
    size_t count = sorted->count;
    sorted->count = 0;
    shardy_status st = count ? sfi_task_add(task, sorted->block, count, err) : SHARDY_OK;
    if (st != SHARDY_OK) {
        sfi_task_failed(task, err);
    }
    return st;
}

/* No equal key follows the row held back. */
static shardy_status pass_last(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                               shardy_error *err)
{
    struct sfi_row *row = &sorted->block[sorted->count];
    *row = sorted->last;
    if (sorted->int_keys) {
        sfi_put_u64be(sorted->numbers[sorted->count], sorted->prefix);
        row->key = sorted->numbers[sorted->count];
    }
    return ++sorted->count == SFI_STREAM_BLOCK ? flush(sorted, task, err) : SHARDY_OK;
}

/* Order of a key against the row held back. */
static int compare(const struct sfi_sorted *sorted, uint64_t prefix, struct sfi_bytes key)
{
    struct sfi_bytes last = {sorted->last.key, sorted->last.key_size};
    if (prefix != sorted->prefix) {
        return prefix > sorted->prefix ? 1 : -1;
    }
    return sorted->int_keys ? 0 : sfi_bytes_compare(key, last);
}

static shardy_status out_of_order(const struct sfi_shard_task *task, const struct sfi_batch *batch,
                                  size_t row, shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    sfi_batch_key_text(batch, row, task->writer->config.encoding, text);
    return sfi_fail(err, SHARDY_INPUT,
                    "row %llu, key %s: smaller than the key before it in shard %u; input_order "
                    "sorted needs ascending keys in each shard, grouped takes them in any order",
                    (unsigned long long)(batch->first_row + row), text, task->db_id);
}

/* The batch goes: keep the last row alive. */
static shardy_status hold(struct sfi_sorted *sorted, bool key_only, shardy_error *err)
{
    sorted->key.size = 0;
    sorted->value.size = 0;
    if (!sorted->int_keys) {
        sfi_buf_append(&sorted->key, sorted->last.key, sorted->last.key_size);
        SFI_RETURN_IF_ERR(sfi_buf_status(&sorted->key, "key", err));
        sorted->last.key = sorted->key.data;
    }
    if (!key_only) {
        sfi_buf_append(&sorted->value, sorted->last.value, sorted->last.value_size);
        SFI_RETURN_IF_ERR(sfi_buf_status(&sorted->value, "value", err));
        sorted->last.value = sorted->value.data;
    }
    return SHARDY_OK;
}

shardy_status sfi_sorted_add(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                             bool check_only, const struct sfi_batch *batch, size_t first,
                             size_t count, shardy_error *err)
{
    for (size_t i = first; i < first + count; i++) {
        struct sfi_bytes key = {NULL, sorted->key_size};
        uint64_t prefix;
        if (sorted->int_keys) {
            prefix = sfi_column_number(&batch->key, i) << sorted->shift;
        } else {
            key = sfi_column_bytes(&batch->key, i);
            prefix = sfi_key_prefix(key.data, key.size);
        }
        int order = sorted->any ? compare(sorted, prefix, key) : 0;
        if (order < 0) {
            return out_of_order(task, batch, i, err);
        }
        if (order > 0 && !check_only) {
            SFI_RETURN_IF_ERR(pass_last(sorted, task, err));
        }
        struct sfi_bytes value = sfi_column_bytes(&batch->value, i);
        sorted->any = true;
        sorted->prefix = prefix;
        sorted->last.key = key.data;
        sorted->last.key_size = (uint32_t)key.size;
        sorted->last.value = value.data;
        sorted->last.value_size = (uint32_t)value.size;
    }
    SFI_RETURN_IF_ERR(flush(sorted, task, err));
    return hold(sorted, check_only, err);
}

shardy_status sfi_sorted_end(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                             bool check_only, shardy_error *err)
{
    bool pass = sorted->any && !check_only;
    sorted->any = false;
    if (!pass) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(pass_last(sorted, task, err));
    return flush(sorted, task, err);
}
