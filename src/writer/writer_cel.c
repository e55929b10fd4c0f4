/*
 * writer_cel.c - builds that route by a CEL expression. Shard ids are computed when rows come in, a
 * whole batch at once and before any of it is kept, so that a row that cannot be routed leaves the
 * batch out. Ids travel with the batch.
 *
 * When the number of shards is told by the rows (inferred routing values, or ids without num_dbs),
 * lists of shards are made as ids appear; values get their final order at the end, by putting the
 * lists and the spilled runs into that order: the rows are never looked at again.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "writer/writer_internal.h"

#include <inttypes.h>

/* Below this many rows a batch is routed by the calling thread alone. */
#define PARALLEL_ROWS 65536u
#define PIECE_ROWS    32768u

struct sfi_cel_writer {
    struct sfi_cel_route *route;
    const char *key_column; /* borrowed */
    unsigned threads;
    uint32_t shards; /* ids that were given are below */
    size_t key_at;   /* column that is the key when a row has no other; SIZE_MAX: none */
    uint32_t *ids;   /* of rows that were added one by one and wait */
    size_t capacity;
    size_t count;
    shardy_context_entry *entries; /* a context and the key */
    size_t entry_capacity;
};

/* The column "key", or of the key column's name, when the expression reads it. */
static size_t key_column_of(const struct sfi_cel_writer *cel)
{
    const shardy_cel *expression = cel->route->cel;
    for (size_t i = 0; i < expression->read_count; i++) {
        const char *name = expression->columns[expression->read[i]].name;
        if (strcmp(name, "key") == 0 || strcmp(name, cel->key_column) == 0) {
            return expression->read[i];
        }
    }
    return SIZE_MAX;
}

shardy_status sfi_cel_writer_new(const shardy_cel_sharding *sharding, uint32_t num_dbs,
                                 const char *key_column, unsigned threads,
                                 struct sfi_cel_writer **out, shardy_error *err)
{
    *out = NULL;
    struct sfi_cel_writer *cel = sfi_calloc(1, sizeof *cel);
    if (!cel) {
        return sfi_fail_memory(err, sizeof *cel);
    }
    shardy_status st = sfi_cel_route_new(sharding, num_dbs, &cel->route, err);
    for (size_t i = 0; st == SHARDY_OK && i < cel->route->tokens.count; i++) {
        const shardy_cel_value *value = &cel->route->tokens.values[i];
        if (value->kind == SHARDY_CEL_STRING && !sfi_utf8_valid(value->text, value->size)) {
            st = sfi_fail(
                err, SHARDY_CONFIG,
                "Routing value %zu is not UTF-8: a manifest cannot hold it; make it bytes", i);
        }
    }
    if (st != SHARDY_OK) {
        sfi_cel_writer_free(cel);
        return st;
    }
    cel->key_column = key_column;
    cel->threads = threads;
    cel->key_at = key_column_of(cel);
    *out = cel;
    return SHARDY_OK;
}

void sfi_cel_writer_free(struct sfi_cel_writer *cel)
{
    if (cel) {
        sfi_cel_route_release(cel->route);
        sfi_free(cel->ids);
        sfi_free(cel->entries);
        sfi_free(cel);
    }
}

uint32_t sfi_cel_writer_num_dbs(const struct sfi_cel_writer *cel)
{
    return cel->route->num_dbs;
}

uint32_t sfi_cel_writer_shards(const struct sfi_cel_writer *cel)
{
    return cel->shards;
}

/* --- batches ---------------------------------------------------------------------------------- */

struct routing {
    struct sfi_cel_writer *cel;
    struct sfi_cel_rows rows;
    size_t length;
    size_t piece;
    uint32_t *ids;
    bool *missing; /* by piece */
};

static size_t piece_rows(const struct routing *routing, size_t index)
{
    size_t left = routing->length - index * routing->piece;
    return left < routing->piece ? left : routing->piece;
}

static shardy_status route_piece(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct routing *routing = arg;
    size_t first = index * routing->piece;
    (void)worker;
    return sfi_cel_route_rows(routing->cel->route, &routing->rows, first,
                              piece_rows(routing, index), routing->ids + first,
                              &routing->missing[index], err);
}

/* Rows without a shard: new routing values, or an error. */
static shardy_status settle_piece(struct routing *routing, size_t index, shardy_error *err)
{
    struct sfi_cel_route *route = routing->cel->route;
    size_t first = index * routing->piece;
    size_t count = piece_rows(routing, index);
    return route->infers
               ? sfi_cel_route_learn(route, &routing->rows, first, count, routing->ids + first, err)
               : sfi_cel_route_fail(route, &routing->rows, first, count, routing->ids + first, err);
}

static shardy_status route_pieces(struct routing *routing, shardy_error *err)
{
    struct sfi_cel_writer *cel = routing->cel;
    bool alone = routing->length < PARALLEL_ROWS || cel->threads == 1;
    routing->piece = alone ? routing->length : PIECE_ROWS;
    size_t pieces = (routing->length + routing->piece - 1) / routing->piece;
    uint32_t known = cel->route->tokens.count;
    shardy_status st = SHARDY_OK;
    routing->missing = sfi_calloc(pieces, sizeof *routing->missing);
    if (!routing->missing) {
        return sfi_fail_memory(err, pieces);
    }
    SFI_TRY(sfi_parallel(alone ? 1 : cel->threads, pieces, route_piece, routing, err));
    for (size_t i = 0; i < pieces; i++) {
        if (routing->missing[i]) {
            SFI_TRY(settle_piece(routing, i, err));
        }
    }
out:
    if (st != SHARDY_OK && cel->route->infers) {
        sfi_tokens_truncate(&cel->route->tokens, known); /* nothing of the batch is taken */
    }
    sfi_free(routing->missing);
    return st;
}

static void note_ids(struct sfi_cel_writer *cel, const uint32_t *ids, size_t count)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        largest = ids[i] > largest ? ids[i] : largest;
    }
    cel->shards = count && largest >= cel->shards ? largest + 1 : cel->shards;
}

shardy_status sfi_cel_writer_batch(struct sfi_cel_writer *cel, const struct ArrowSchema *schema,
                                   const struct ArrowArray *array, struct sfi_batch *batch,
                                   shardy_error *err)
{
    struct sfi_cel_batch columns = {0};
    struct sfi_cel_column keys;
    struct routing routing = {.cel = cel, .length = batch->key.length};
    shardy_status st;
    if (!batch->key.length) {
        return SHARDY_OK;
    }
    routing.rows.row_base = batch->first_row;
    if (cel->route->is_key_only) {
        SFI_TRY(sfi_cel_route_keys(cel->route, &batch->key, &keys, err));
        routing.rows.columns = &keys;
    } else {
        SFI_TRY(sfi_cel_batch_open(cel->route->cel, schema, array, cel->key_column,
                                   batch->first_row, &columns, err));
        routing.rows.columns = columns.columns;
    }
    routing.ids = sfi_array_alloc(routing.length, sizeof *routing.ids);
    if (!routing.ids) {
        SFI_TRY(sfi_fail_memory(err, routing.length * sizeof *routing.ids));
    }
    SFI_TRY(route_pieces(&routing, err));
    note_ids(cel, routing.ids, routing.length);
    batch->ids = routing.ids;
    routing.ids = NULL;
out:
    sfi_free(routing.ids);
    sfi_cel_batch_clear(&columns);
    return st;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* The context as the expression sees it: with the key, unless it has such a column itself. */
static shardy_status with_key(struct sfi_cel_writer *cel, const shardy_key *key,
                              const shardy_context *context, shardy_context *full,
                              shardy_error *err)
{
    void *entries = cel->entries;
    *full = *context;
    if (cel->key_at == SIZE_MAX) {
        return SHARDY_OK;
    }
    const char *name = cel->route->cel->columns[cel->key_at].name;
    for (size_t i = 0; i < context->count; i++) {
        if (context->entries[i].name && strcmp(context->entries[i].name, name) == 0) {
            return SHARDY_OK;
        }
    }
    if (!sfi_array_grow(&entries, &cel->entry_capacity, context->count + 1, sizeof *cel->entries)) {
        return sfi_fail_memory(err, (context->count + 1) * sizeof *cel->entries);
    }
    cel->entries = entries;
    if (context->count) {
        memcpy(cel->entries, context->entries, context->count * sizeof *cel->entries);
    }
    cel->entries[context->count].name = name;
    cel->entries[context->count].value =
        sfi_cel_route_key_value(cel->route->cel->types[cel->key_at], key);
    full->entries = cel->entries;
    full->count = context->count + 1;
    return SHARDY_OK;
}

shardy_status sfi_cel_writer_row(struct sfi_cel_writer *cel, const shardy_key *key,
                                 const shardy_context *context, uint64_t row, shardy_error *err)
{
    shardy_context full;
    uint32_t id;
    void *ids = cel->ids;
    if (!sfi_array_grow(&ids, &cel->capacity, cel->count + 1, sizeof *cel->ids)) {
        return sfi_fail_memory(err, (cel->count + 1) * sizeof *cel->ids);
    }
    cel->ids = ids;
    if (context) {
        SFI_RETURN_IF_ERR(with_key(cel, key, context, &full, err));
        context = &full;
    }
    shardy_status st = cel->route->infers
                           ? sfi_cel_route_learn_one(cel->route, key, context, &id, err)
                           : sfi_cel_route_one(cel->route, key, context, true, &id, err);
    if (st != SHARDY_OK) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(key, text);
        sfi_error_prefix(err, "row %" PRIu64 ", key %s: ", row, text);
        return st;
    }
    note_ids(cel, &id, 1);
    cel->ids[cel->count++] = id;
    return SHARDY_OK;
}

void sfi_cel_writer_take(struct sfi_cel_writer *cel, struct sfi_batch *batch)
{
    batch->ids = cel->ids;
    cel->ids = NULL;
    cel->capacity = 0;
    cel->count = 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Every id up to the largest one must have occurred (spec 04 A8). */
static shardy_status check_dense(const struct sfi_cel_writer *cel, const struct sfi_rows *rows,
                                 shardy_error *err)
{
    uint32_t distinct = 0;
    uint32_t first_gap = UINT32_MAX;
    for (uint32_t id = 0; id < cel->shards; id++) {
        bool seen = sfi_rows_of(rows, id) > 0;
        distinct += seen;
        first_gap = !seen && first_gap == UINT32_MAX ? id : first_gap;
    }
    return distinct == cel->shards
               ? SHARDY_OK
               : sfi_fail(err, SHARDY_ASSIGNMENT,
                          "CEL shard ids are non-consecutive: %" PRIu32 " distinct ids, expected "
                          "%" PRIu32 " (largest id + 1); no row has id %" PRIu32
                          ". Set num_dbs to allow empty shards",
                          distinct, cel->shards, first_gap);
}

shardy_status sfi_cel_writer_end(struct sfi_cel_writer *cel, struct sfi_rows *rows,
                                 uint32_t *num_dbs, shardy_error *err)
{
    uint32_t *order = NULL;
    shardy_status st;
    *num_dbs = cel->shards ? cel->shards : 1;
    if (!cel->route->infers) {
        SFI_RETURN_IF_ERR(check_dense(cel, rows, err));
        return sfi_rows_renumber(rows, NULL, *num_dbs, err);
    }
    if (!cel->route->tokens.count) {
        return sfi_rows_renumber(rows, NULL, 1, err);
    }
    *num_dbs = cel->route->tokens.count;
    order = sfi_tokens_order(&cel->route->tokens);
    if (!order) {
        return sfi_fail_memory(err, *num_dbs * sizeof *order);
    }
    SFI_TRY(sfi_rows_renumber(rows, order, *num_dbs, err));
    st = sfi_tokens_reorder(&cel->route->tokens, order, err);
out:
    sfi_free(order);
    return st;
}

shardy_status sfi_cel_writer_sharding(const struct sfi_cel_writer *cel, char **json,
                                      shardy_error *err)
{
    const struct sfi_cel_route *route = cel->route;
    const shardy_cel_sharding sharding = {
        .expression = route->cel->expression,
        .columns = route->cel->columns,
        .column_count = route->cel->column_count,
        .routing_values = route->tokens.values,
        .routing_value_count = route->tokens.count,
        .has_routing_values = route->is_categorical,
    };
    struct sfi_buf text;
    *json = NULL;
    sfi_buf_init(&text, SFI_JSON_MAX_BYTES);
    shardy_status st = sfi_sharding_write(&sharding, &text, err);
    if (st == SHARDY_OK) {
        *json = sfi_buf_take(&text);
        st = *json ? SHARDY_OK : sfi_fail_memory(err, text.size);
    }
    sfi_buf_clear(&text);
    return st;
}
