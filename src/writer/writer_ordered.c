/*
 * writer_ordered.c - rows that arrive by shard (shardy_input_order). Only the shard whose rows are
 * arriving is kept: as ordinary rows of one list, sorted and built when the shard is complete, or,
 * in key order, as a builder that is being fed. Complete shards go to the workers when there are
 * any, at most `threads` shards, the arriving one among them.
 */
#include "base/memory.h"
#include "writer/writer_internal.h"

/* Rows routed at a time. */
#define ROUTE_BLOCK 1024u

/* A batch with rows of several shards: the last part that goes releases it. */
struct shared_batch {
    atomic_uint refs;
    struct sfi_batch batch;
};

/* A shard, arriving or being completed. */
struct group {
    struct sfi_work work; /* first: completing it is the work */
    shardy_writer *writer;
    struct sfi_shard_task task;
    bool feeding;         /* rows go into `task`, otherwise into `rows` */
    struct sfi_rows rows; /* one list */
};

struct sfi_ordered {
    shardy_writer *writer;
    struct sfi_route route;
    struct sfi_workers *workers; /* NULL: complete shards at once */
    struct sfi_sorted *sorted;   /* NULL: keys in any order */
    bool feeding;                /* in key order, and no rows have to be seen in advance */
    struct group *group;         /* NULL before the first row */
};

/* --- batches ---------------------------------------------------------------------------------- */

static void unref(struct shared_batch *shared)
{
    if (atomic_fetch_sub(&shared->refs, 1) == 1) {
        sfi_batch_release(&shared->batch);
        sfi_free(shared);
    }
}

static void release_part(struct ArrowArray *array)
{
    unref(array->private_data);
    array->release = NULL;
}

static void cut_column(struct sfi_column *column, size_t first, size_t count)
{
    bool narrow = column->kind == SFI_COLUMN_I32 || column->kind == SFI_COLUMN_U32 ||
                  column->kind == SFI_COLUMN_VAR32;
    const void **start = sfi_column_is_int(column) ? &column->values : &column->offsets;
    *start = (const uint8_t *)*start + first * (narrow ? 4 : 8);
    column->length = count;
}

static struct sfi_batch part_of(struct shared_batch *shared, size_t first, size_t count)
{
    struct sfi_batch part = {
        .key = shared->batch.key,
        .value = shared->batch.value,
        .first_row = shared->batch.first_row + first,
    };
    atomic_fetch_add(&shared->refs, 1);
    part.array.private_data = shared;
    part.array.release = release_part;
    cut_column(&part.key, first, count);
    cut_column(&part.value, first, count);
    part.bytes =
        sfi_column_byte_size(&part.key) + sfi_column_byte_size(&part.value) + 8 * (uint64_t)count;
    return part;
}

/* --- one shard -------------------------------------------------------------------------------- */

static shardy_status complete(struct sfi_work *work, shardy_error *err)
{
    struct group *group = (struct group *)work;
    struct sfi_rows *rows = &group->rows;
    if (group->feeding) {
        shardy_status st = sfi_task_finish(&group->task, err);
        if (st != SHARDY_OK) {
            sfi_task_failed(&group->task, err);
        }
        return st;
    }
    SFI_RETURN_IF_ERR(sfi_rows_end(rows, err));
    shardy_status st = sfi_writer_build_shard(group->writer, rows, 0, group->task.db_id, 0, err);
    for (size_t i = 0; i < rows->generation_count; i++) {
        sfi_spill_discard(rows->spill, &rows->generations[i].runs[0]);
    }
    return st;
}

static void free_group(struct sfi_work *work)
{
    struct group *group = (struct group *)work;
    sfi_task_clear(&group->task);
    sfi_rows_clear(&group->rows);
    sfi_free(group);
}

static shardy_status start_group(struct sfi_ordered *ordered, struct group *group, uint32_t db_id,
                                 shardy_error *err)
{
    const struct sfi_writer_config *config = &ordered->writer->config;
    group->work.run = complete;
    group->work.free = free_group;
    group->writer = ordered->writer;
    group->feeding = ordered->feeding;
    sfi_task_init(&group->task, ordered->writer, db_id);
    if (!group->feeding) {
        return sfi_rows_init(&group->rows, config->encoding, 1, 1, config->memory_limit,
                             &ordered->writer->spill, err);
    }
    shardy_status st = sfi_task_begin(&group->task, err);
    if (st == SHARDY_OK) {
        st = sfi_task_create(&group->task, config->page_size, err);
    }
    if (st != SHARDY_OK) {
        sfi_task_failed(&group->task, err);
    }
    return st;
}

static shardy_status check_not_begun(const struct sfi_ordered *ordered, uint32_t db_id,
                                     const struct sfi_batch *batch, size_t row, shardy_error *err)
{
    char text[SFI_KEY_TEXT_SIZE];
    if (!ordered->writer->results[db_id].begun) {
        return SHARDY_OK;
    }
    sfi_batch_key_text(batch, row, ordered->writer->config.encoding, text);
    return sfi_fail(err, SHARDY_INPUT,
                    "row %llu, key %s: belongs to shard %u, which was complete when rows of other "
                    "shards came; input_order needs all rows of a shard together",
                    (unsigned long long)(batch->first_row + row), text, db_id);
}

static shardy_status begin_group(struct sfi_ordered *ordered, uint32_t db_id, shardy_error *err)
{
    ordered->writer->results[db_id].begun = true;
    ordered->group = sfi_calloc(1, sizeof *ordered->group);
    if (!ordered->group) {
        return sfi_fail_memory(err, sizeof *ordered->group);
    }
    return start_group(ordered, ordered->group, db_id, err);
}

/* All rows of the arriving shard have come. */
static shardy_status end_group(struct sfi_ordered *ordered, shardy_error *err)
{
    struct group *group = ordered->group;
    if (!group) {
        return SHARDY_OK;
    }
    if (ordered->sorted) {
        SFI_RETURN_IF_ERR(sfi_sorted_end(ordered->sorted, &group->task, !group->feeding, err));
    }
    ordered->group = NULL;
    group->work.memory = group->feeding ? 0 : sfi_rows_memory(&group->rows);
    if (ordered->workers) {
        return sfi_workers_give(ordered->workers, &group->work, err);
    }
    shardy_status st = complete(&group->work, err);
    free_group(&group->work);
    return st;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Keep rows of the arriving shard. Rather than spill it, wait for shards that are being built. */
static shardy_status keep_rows(struct sfi_ordered *ordered, struct shared_batch *shared,
                               size_t first, size_t count, shardy_error *err)
{
    struct sfi_rows *rows = &ordered->group->rows;
    struct sfi_batch part = part_of(shared, first, count);
    if (ordered->workers) {
        uint64_t own = sfi_rows_memory(rows) + part.bytes;
        uint64_t room = own < rows->memory_limit ? rows->memory_limit - own : 0;
        shardy_status st = sfi_workers_wait(ordered->workers, room, err);
        if (st != SHARDY_OK) {
            sfi_batch_release(&part);
            return st;
        }
    }
    return sfi_rows_add(rows, &part, err);
}

/* Rows of one shard that follow each other in a batch. */
static shardy_status add_run(struct sfi_ordered *ordered, uint32_t db_id,
                             struct shared_batch *shared, size_t first, size_t count,
                             shardy_error *err)
{
    if (!ordered->group || ordered->group->task.db_id != db_id) {
        SFI_RETURN_IF_ERR(check_not_begun(ordered, db_id, &shared->batch, first, err));
        SFI_RETURN_IF_ERR(end_group(ordered, err));
        SFI_RETURN_IF_ERR(begin_group(ordered, db_id, err));
    }
    if (ordered->sorted) {
        SFI_RETURN_IF_ERR(sfi_sorted_add(ordered->sorted, &ordered->group->task, !ordered->feeding,
                                         &shared->batch, first, count, err));
    }
    return ordered->feeding ? SHARDY_OK : keep_rows(ordered, shared, first, count, err);
}

static shardy_status add_runs(struct sfi_ordered *ordered, struct shared_batch *shared,
                              shardy_error *err)
{
    const struct sfi_batch *batch = &shared->batch;
    size_t length = batch->key.length;
    uint32_t routed[ROUTE_BLOCK];
    uint32_t run_id = 0;
    size_t run = 0;
    for (size_t first = 0; first < length; first += ROUTE_BLOCK) {
        size_t count = length - first < ROUTE_BLOCK ? length - first : ROUTE_BLOCK;
        const uint32_t *ids = batch->ids ? batch->ids + first : routed;
        if (!batch->ids) {
            SFI_RETURN_IF_ERR(sfi_route_rows(&ordered->route, &batch->key, first, count,
                                             batch->first_row, routed, err));
        }
        run_id = first ? run_id : ids[0];
        for (size_t i = 0; i < count; i++) {
            if (ids[i] != run_id) {
                SFI_RETURN_IF_ERR(add_run(ordered, run_id, shared, run, first + i - run, err));
                run = first + i;
                run_id = ids[i];
            }
        }
    }
    return length ? add_run(ordered, run_id, shared, run, length - run, err) : SHARDY_OK;
}

shardy_status sfi_ordered_add(struct sfi_ordered *ordered, struct sfi_batch *batch,
                              shardy_error *err)
{
    struct shared_batch *shared = sfi_calloc(1, sizeof *shared);
    if (!shared) {
        sfi_batch_release(batch);
        return sfi_fail_memory(err, sizeof *shared);
    }
    shared->batch = *batch;
    memset(batch, 0, sizeof *batch);
    atomic_store(&shared->refs, 1);
    shardy_status st = add_runs(ordered, shared, err);
    unref(shared);
    return st;
}

/* --- life ------------------------------------------------------------------------------------- */

shardy_status sfi_ordered_new(shardy_writer *writer, struct sfi_ordered **out, shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    struct sfi_ordered *ordered = sfi_calloc(1, sizeof *ordered);
    shardy_status st = SHARDY_OK;
    *out = NULL;
    if (!ordered) {
        return sfi_fail_memory(err, sizeof *ordered);
    }
    ordered->writer = writer;
    SFI_TRY(sfi_route_init(&ordered->route, SHARDY_SHARDING_HASH, config->num_dbs, err));
    if (config->input_order == SHARDY_INPUT_SORTED) {
        SFI_TRY(sfi_sorted_new(config->encoding, &ordered->sorted, err));
        ordered->feeding = config->page_size != SHARDY_PAGE_SIZE_AUTO;
    }
    if (config->threads > 1) {
        SFI_TRY(sfi_workers_new(config->threads - 1, &ordered->workers, err));
    }
    *out = ordered;
out:
    if (st != SHARDY_OK) {
        sfi_ordered_free(ordered);
    }
    return st;
}

shardy_status sfi_ordered_finish(struct sfi_ordered *ordered, shardy_error *err)
{
    SFI_RETURN_IF_ERR(end_group(ordered, err));
    return ordered->workers ? sfi_workers_finish(ordered->workers, err) : SHARDY_OK;
}

void sfi_ordered_free(struct sfi_ordered *ordered)
{
    if (ordered) {
        sfi_workers_free(ordered->workers);
        if (ordered->group) {
            free_group(&ordered->group->work);
        }
        sfi_sorted_free(ordered->sorted);
        sfi_free(ordered);
    }
}
