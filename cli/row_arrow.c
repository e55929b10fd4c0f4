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
    const void *root_buffers[1];
    const void *key_buffers[3];
    const void *value_buffers[3];
    size_t count;
    struct ArrowArray **children;
    struct ArrowArray *columns; /* behind `children` */
};

static size_t child_count(const struct row_rules *rules)
{
    return (rules->columns_only ? 0u : 2u) + rules->column_count;
}

static void release_column(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_root(struct ArrowArray *array)
{
    struct exported *exported = array->private_data;

    for (size_t i = 0; i < exported->count; i++) {
        if (exported->columns[i].release != NULL) {
            exported->columns[i].release(&exported->columns[i]);
        }
    }
    row_batch_release(exported->batch);
    cli_free(exported->children);
    cli_free(exported->columns);
    cli_free(exported);
    array->release = NULL;
}

static void fill_column(struct exported *exported, size_t i, const void **buffers,
                        const void *first, const void *second)
{
    struct ArrowArray *column = &exported->columns[i];

    buffers[1] = first;
    buffers[2] = second;
    column->length = (int64_t)exported->batch->rows;
    column->n_buffers = second != NULL ? 3 : 2;
    column->buffers = buffers;
    column->release = release_column;
}

static void fill_key(struct exported *exported, size_t i)
{
    struct row_batch *batch = exported->batch;

    if (batch->numbers != NULL) {
        fill_column(exported, i, exported->key_buffers, batch->numbers, NULL);
    } else {
        fill_column(exported, i, exported->key_buffers, batch->key_ends, batch->keys.data);
    }
}

void row_batch_export(struct row_batch *batch, size_t first, size_t count, struct ArrowArray *array)
{
    const struct row_rules *rules = batch->rules;
    struct exported *exported = cli_zeroed(1, sizeof *exported);
    size_t next = 0;

    __atomic_add_fetch(&batch->references, 1, __ATOMIC_RELAXED);
    /* Data buffers of empty columns must not be NULL. */
    buffer_reserve(&batch->keys, 1);
    buffer_reserve(&batch->values, 1);
    exported->batch = batch;
    exported->count = child_count(rules);
    exported->children = cli_zeroed(exported->count, sizeof(struct ArrowArray *));
    exported->columns = cli_zeroed(exported->count, sizeof *exported->columns);
    if (!rules->columns_only) {
        fill_key(exported, next++);
        fill_column(exported, next++, exported->value_buffers, batch->value_ends,
                    batch->values.data);
    }
    for (size_t i = 0; i < rules->column_count; i++) {
        column_export(&batch->columns[i], &rules->columns[i], &exported->columns[next++]);
    }
    for (size_t i = 0; i < exported->count; i++) {
        exported->children[i] = &exported->columns[i];
    }
    *array = (struct ArrowArray){
        .length = (int64_t)count,
        .offset = (int64_t)first,
        .n_buffers = 1,
        .n_children = (int64_t)exported->count,
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

static bool is_taken(const struct row_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->column_count; i++) {
        if (strcmp(rules->columns[i].name, name) == 0) {
            return true;
        }
    }
    return strcmp(rules->key_name, name) == 0;
}

const char *row_value_column(const struct row_rules *rules)
{
    static const char *const names[] = {"value", "_value", "__value"};
    size_t i = 0;

    while (i < 2 && is_taken(rules, names[i])) {
        i++;
    }
    return names[i];
}

static void set_child(struct row_schema *schema, const char *name, const char *format,
                      int64_t flags)
{
    size_t i = (size_t)schema->root.n_children++;

    schema->columns[i] = (struct ArrowSchema){
        .format = format, .name = name, .flags = flags, .release = release_schema};
    schema->children[i] = &schema->columns[i];
}

void row_schema_init(struct row_schema *schema, const struct row_rules *rules)
{
    const char *key_format = rules->key_encoding == SHARDY_KEY_UTF8  ? "u"
                             : rules->key_encoding == SHARDY_KEY_RAW ? "z"
                                                                     : "L";
    size_t count = child_count(rules);

    *schema = (struct row_schema){.columns = cli_zeroed(count, sizeof *schema->columns),
                                  .children = cli_zeroed(count, sizeof(struct ArrowSchema *))};
    if (!rules->columns_only) {
        set_child(schema, rules->key_name, key_format, 0);
        set_child(schema, row_value_column(rules), "z", 0);
    }
    for (size_t i = 0; i < rules->column_count; i++) {
        set_child(schema, rules->columns[i].name, column_arrow_format(rules->columns[i].type),
                  ARROW_FLAG_NULLABLE);
    }
    schema->root.format = "+s";
    schema->root.name = "";
    schema->root.children = schema->children;
    schema->root.release = release_schema;
}

void row_schema_clear(struct row_schema *schema)
{
    cli_free(schema->columns);
    cli_free(schema->children);
    *schema = (struct row_schema){0};
}
