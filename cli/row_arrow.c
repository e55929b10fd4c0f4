/*
 * row_arrow.c - a row batch as an Arrow struct array (C data interface), without copying.
 *
 * The array keeps the batch alive; the writer releases it when the rows are in shards or spilled.
 */
#include "row_batch.h"

#include <string.h>

/* What an exported array needs besides the batch. */
struct exported {
    struct row_batch *batch;
    struct ArrowArray columns[2];
    struct ArrowArray *children[2];
    const void *root_buffers[1];
    const void *buffers[2][3];
};

static void release_column(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_root(struct ArrowArray *array)
{
    struct exported *exported = array->private_data;

    for (int i = 0; i < 2; i++) {
        if (exported->columns[i].release != NULL) {
            exported->columns[i].release(&exported->columns[i]);
        }
    }
    row_batch_release(exported->batch);
    cli_free(exported);
    array->release = NULL;
}

static void fill_column(struct exported *exported, int i, const void *first, const void *second)
{
    struct ArrowArray *column = &exported->columns[i];

    exported->buffers[i][1] = first;
    exported->buffers[i][2] = second;
    column->length = (int64_t)exported->batch->rows;
    column->n_buffers = second != NULL ? 3 : 2;
    column->buffers = exported->buffers[i];
    column->release = release_column;
    exported->children[i] = column;
}

void row_batch_export(struct row_batch *batch, struct ArrowArray *array)
{
    struct exported *exported = cli_zeroed(1, sizeof *exported);

    __atomic_add_fetch(&batch->references, 1, __ATOMIC_RELAXED);
    /* Data buffers of empty columns must not be NULL. */
    buffer_reserve(&batch->keys, 1);
    buffer_reserve(&batch->values, 1);
    exported->batch = batch;
    if (batch->numbers != NULL) {
        fill_column(exported, 0, batch->numbers, NULL);
    } else {
        fill_column(exported, 0, batch->key_ends, batch->keys.data);
    }
    fill_column(exported, 1, batch->value_ends, batch->values.data);
    *array = (struct ArrowArray){
        .length = (int64_t)batch->rows,
        .n_buffers = 1,
        .n_children = 2,
        .buffers = exported->root_buffers,
        .children = exported->children,
        .release = release_root,
        .private_data = exported,
    };
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

const char *row_value_column(const struct row_rules *rules)
{
    return strcmp(rules->key_name, "value") == 0 ? "_value" : "value";
}

void row_schema_init(struct row_schema *schema, const struct row_rules *rules)
{
    const char *key_format = rules->key_encoding == SHARDY_KEY_UTF8  ? "u"
                             : rules->key_encoding == SHARDY_KEY_RAW ? "z"
                                                                     : "L";

    *schema = (struct row_schema){0};
    schema->columns[0] = (struct ArrowSchema){
        .format = key_format, .name = rules->key_name, .release = release_schema};
    schema->columns[1] = (struct ArrowSchema){
        .format = "z", .name = row_value_column(rules), .release = release_schema};
    schema->children[0] = &schema->columns[0];
    schema->children[1] = &schema->columns[1];
    schema->root = (struct ArrowSchema){.format = "+s",
                                        .name = "",
                                        .n_children = 2,
                                        .children = schema->children,
                                        .release = release_schema};
}
