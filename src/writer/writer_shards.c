/*
 * writer_shards.c - the lists of shards while their number is not known: more of them as ids
 * appear, and their final numbers at the end. Rows stay where they are; only lists and runs move.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "writer/writer_internal.h"

/* `count` shards, the i-th is number order[i] of the present ones (NULL: i); others are empty. */
static bool move_lists(struct sfi_rows *rows, const uint32_t *order, uint32_t count)
{
    struct sfi_ref_list *lists = sfi_calloc((size_t)rows->threads * count, sizeof *lists);
    if (!lists) {
        return false;
    }
    for (unsigned t = 0; t < rows->threads; t++) {
        struct sfi_ref_list *from = rows->lists + (size_t)t * rows->num_dbs;
        struct sfi_ref_list *to = lists + (size_t)t * count;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = order ? order[i] : i;
            if (at < rows->num_dbs) {
                to[i] = from[at];
                from[at].items = NULL;
            }
        }
    }
    for (size_t i = 0; i < (size_t)rows->threads * rows->num_dbs; i++) {
        sfi_free(rows->lists[i].items);
    }
    sfi_free(rows->lists);
    rows->lists = lists;
    return true;
}

static bool move_runs(struct sfi_rows *rows, struct sfi_generation *generation,
                      const uint32_t *order, uint32_t count)
{
    struct sfi_run *runs = sfi_calloc(count, sizeof *runs);
    if (!runs) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = order ? order[i] : i;
        if (at < rows->num_dbs) {
            runs[i] = generation->runs[at];
        }
    }
    sfi_free(generation->runs);
    generation->runs = runs;
    return true;
}

/* After a failure the rows can only be cleared. */
shardy_status sfi_rows_renumber(struct sfi_rows *rows, const uint32_t *order, uint32_t count,
                                shardy_error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < rows->generation_count; i++) {
        ok = move_runs(rows, &rows->generations[i], order, count);
    }
    if (!ok || !move_lists(rows, order, count)) {
        return sfi_fail_memory(err, (size_t)rows->threads * count * sizeof *rows->lists);
    }
    rows->num_dbs = count;
    return SHARDY_OK;
}

shardy_status sfi_rows_grow(struct sfi_rows *rows, uint32_t count, shardy_error *err)
{
    if (count <= rows->num_dbs) {
        return SHARDY_OK;
    }
    uint32_t doubled = rows->num_dbs < SFI_SHARDS_MAX / 2 ? 2 * rows->num_dbs : SFI_SHARDS_MAX;
    return sfi_rows_renumber(rows, NULL, count > doubled ? count : doubled, err);
}

uint64_t sfi_rows_of(const struct sfi_rows *rows, uint32_t db_id)
{
    uint64_t count = 0;
    if (db_id >= rows->num_dbs) {
        return 0;
    }
    for (unsigned t = 0; t < rows->threads; t++) {
        count += rows->lists[(size_t)t * rows->num_dbs + db_id].count;
    }
    for (size_t i = 0; i < rows->generation_count; i++) {
        count += rows->generations[i].runs[db_id].rows;
    }
    return count;
}
