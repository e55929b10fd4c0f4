/*
 * route_cel_rows.c - blocks of rows to shard ids, straight from the vectors of the evaluator. Rows
 * that no shard serves are marked; what becomes of them is the caller's affair.
 */
#include "routing/route_cel.h"

#include "base/limits.h"

#include <inttypes.h>

shardy_status sfi_cel_route_keys(const struct sfi_cel_route *route, const struct sfi_column *keys,
                                 struct sfi_cel_column *column, shardy_error *err)
{
    static const enum sfi_cel_layout layouts[] = {
        [SFI_COLUMN_I32] = SFI_CEL_LAYOUT_I32,     [SFI_COLUMN_I64] = SFI_CEL_LAYOUT_I64,
        [SFI_COLUMN_U32] = SFI_CEL_LAYOUT_U32,     [SFI_COLUMN_U64] = SFI_CEL_LAYOUT_U64,
        [SFI_COLUMN_VAR32] = SFI_CEL_LAYOUT_VAR32, [SFI_COLUMN_VAR64] = SFI_CEL_LAYOUT_VAR64};
    enum sfi_cel_type_kind type = route->cel->types[0]->kind;
    bool takes_int =
        type == SFI_CEL_TYPE_INT || type == SFI_CEL_TYPE_UINT || type == SFI_CEL_TYPE_DYN;
    bool takes_text =
        type == SFI_CEL_TYPE_STRING || type == SFI_CEL_TYPE_BYTES || type == SFI_CEL_TYPE_DYN;
    bool is_int = sfi_column_is_int(keys);
    *column = (struct sfi_cel_column){
        .layout = layouts[keys->kind],
        .values = keys->values,
        .offsets = keys->offsets,
        .is_text = keys->is_text,
    };
    return (is_int ? takes_int : takes_text)
               ? SHARDY_OK
               : sfi_fail(err, SHARDY_CONFIG,
                          "CEL column \"key\": declared type %s, but the keys are %s",
                          route->cel->columns[0].type, is_int ? "integers" : "text or bytes");
}

static bool route_numbers(const struct sfi_cel_route *route, const uint64_t *values, bool is_uint,
                          size_t count, uint32_t *db_ids)
{
    bool missing = false;
    if (!route->is_categorical) {
        uint64_t limit = sfi_cel_route_limit(route);
        for (size_t i = 0; i < count; i++) {
            bool outside = values[i] >= limit;
            db_ids[i] = (uint32_t)values[i] | (outside ? SFI_NO_SHARD : 0);
            missing |= outside;
        }
        return missing;
    }
    for (size_t i = 0; i < count; i++) {
        db_ids[i] =
            sfi_tokens_find_int(&route->tokens, values[i], is_uint && values[i] > INT64_MAX);
        missing |= db_ids[i] == SFI_NO_SHARD;
    }
    return missing;
}

static bool route_tokens(const struct sfi_cel_route *route, shardy_cel_kind kind,
                         const struct sfi_bytes *values, size_t count, uint32_t *db_ids)
{
    bool missing = false;
    for (size_t i = 0; i < count; i++) {
        db_ids[i] = sfi_tokens_find_text(&route->tokens, kind,
                                         sfi_digest_bytes(values[i].data, values[i].size),
                                         values[i].data, values[i].size);
        missing |= db_ids[i] == SFI_NO_SHARD;
    }
    return missing;
}

static shardy_status route_values(const struct sfi_cel_route *route,
                                  const struct sfi_cel_block *block, size_t count, uint64_t row,
                                  uint32_t *db_ids, bool *missing, shardy_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct sfi_cel_value value = sfi_cel_block_value(block, i);
        shardy_status st = sfi_cel_route_resolve(route, &value, &db_ids[i], err);
        if (st != SHARDY_OK) {
            sfi_error_prefix(err, "row %" PRIu64 ": ", row + i);
            return st;
        }
        *missing |= db_ids[i] == SFI_NO_SHARD;
    }
    return SHARDY_OK;
}

static shardy_status route_block(const struct sfi_cel_route *route,
                                 const struct sfi_cel_block *block, size_t count, uint64_t row,
                                 uint32_t *db_ids, bool *missing, shardy_error *err)
{
    size_t distinct = block->is_uniform && block->errors == NULL ? 1 : count;
    bool is_number = block->rep == SFI_CEL_REP_INT || block->rep == SFI_CEL_REP_UINT;
    if (is_number && block->errors == NULL) {
        *missing |=
            route_numbers(route, block->data, block->rep == SFI_CEL_REP_UINT, distinct, db_ids);
    } else if (block->rep == SFI_CEL_REP_TEXT && route->is_categorical && block->errors == NULL) {
        *missing |= route_tokens(
            route, block->kind == SFI_CEL_STRING ? SHARDY_CEL_STRING : SHARDY_CEL_BYTES,
            block->data, distinct, db_ids);
    } else {
        SFI_RETURN_IF_ERR(route_values(route, block, distinct, row, db_ids, missing, err));
    }
    for (size_t i = distinct; i < count; i++) {
        db_ids[i] = db_ids[0];
    }
    return SHARDY_OK;
}

shardy_status sfi_cel_route_rows(const struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                 size_t first, size_t count, uint32_t *db_ids, bool *missing,
                                 shardy_error *err)
{
    struct sfi_cel_worker *worker;
    struct sfi_cel_block block;
    shardy_status st = SHARDY_OK;
    SFI_RETURN_IF_ERR(sfi_cel_take(route->cel, true, &worker, err));
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < SFI_CEL_BLOCK_ROWS ? count - done : SFI_CEL_BLOCK_ROWS;
        SFI_TRY(sfi_cel_run_block(worker->run, rows->columns, first + done, &n, &block, err));
        SFI_TRY(route_block(route, &block, n, rows->row_base + first + done, db_ids + done, missing,
                            err));
    }
out:
    sfi_cel_give(worker);
    return st;
}

/* Value of one row of a block of one. */
static shardy_status row_value(struct sfi_cel_worker *worker, const struct sfi_cel_rows *rows,
                               size_t row, struct sfi_cel_value *value, shardy_error *err)
{
    struct sfi_cel_block block;
    size_t one = 1;
    SFI_RETURN_IF_ERR(sfi_cel_run_block(worker->run, rows->columns, row, &one, &block, err));
    *value = sfi_cel_block_value(&block, 0);
    return SHARDY_OK;
}

shardy_status sfi_cel_route_fail(const struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                 size_t first, size_t count, const uint32_t *db_ids,
                                 shardy_error *err)
{
    struct sfi_cel_worker *worker;
    struct sfi_cel_value value;
    size_t i = 0;
    while (i + 1 < count && db_ids[i] != SFI_NO_SHARD) {
        i++;
    }
    SFI_RETURN_IF_ERR(sfi_cel_take(route->cel, true, &worker, err));
    shardy_status st = row_value(worker, rows, first + i, &value, err);
    if (st == SHARDY_OK) {
        st = sfi_cel_route_nowhere(route, &value, err);
        sfi_error_prefix(err, "row %" PRIu64 ": ", rows->row_base + first + i);
    }
    sfi_cel_give(worker);
    return st;
}

shardy_status sfi_cel_route_learn(struct sfi_cel_route *route, const struct sfi_cel_rows *rows,
                                  size_t first, size_t count, uint32_t *db_ids, shardy_error *err)
{
    struct sfi_cel_worker *worker;
    struct sfi_cel_block block;
    shardy_status st = SHARDY_OK;
    SFI_RETURN_IF_ERR(sfi_cel_take(route->cel, true, &worker, err));
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < SFI_CEL_BLOCK_ROWS ? count - done : SFI_CEL_BLOCK_ROWS;
        SFI_TRY(sfi_cel_run_block(worker->run, rows->columns, first + done, &n, &block, err));
        for (size_t i = 0; i < n; i++) {
            struct sfi_cel_value value;
            if (db_ids[done + i] != SFI_NO_SHARD) {
                continue;
            }
            value = sfi_cel_block_value(&block, i);
            st = sfi_cel_route_learn_value(route, &value, &db_ids[done + i], err);
            if (st != SHARDY_OK) {
                sfi_error_prefix(err, "row %" PRIu64 ": ", rows->row_base + first + done + i);
                goto out;
            }
        }
    }
out:
    sfi_cel_give(worker);
    return st;
}
