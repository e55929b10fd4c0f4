/*
 * arrow_batch.c - hand whole columns to a build through the Arrow C data interface, made by hand.
 *
 * Any program that has Arrow data (DuckDB, polars, pyarrow, Spark) can export it in this form; the
 * library reads the columns in place and calls `release` once, when it is done with them. Here the
 * buffers are static, so `release` only marks the structure as released.
 *
 * Usage: arrow_batch file:///absolute/folder
 */
#include <inttypes.h>
#include <stdio.h>

#include <shardyfusion/shardyfusion.h>

#define ROWS 4

/* The columns: int64 keys, and utf8 values as ROWS + 1 offsets into one block of text. */
static const int64_t key_data[ROWS] = {1, 1000, -1, 31};
static const int32_t value_offsets[ROWS + 1] = {0, 3, 11, 11, 21};
static const char value_data[] = "onethousandthirty-one";

/* Row 2 has the key -1, which u64be cannot store: a batch with it is refused as a whole. */
#define GOOD_ROWS 2

static int releases;

static void release_column(struct ArrowArray *array)
{
    array->release = NULL;
}

/* The parent's release answers for its children too. */
static void release_batch(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release)
            array->children[i]->release(array->children[i]);
    }
    releases++;
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

/* Everything one batch consists of. It must live until the batch is released. */
struct batch {
    struct ArrowSchema key_schema, value_schema, schema;
    struct ArrowSchema *schema_children[2];
    const void *key_buffers[2], *value_buffers[3], *buffers[1];
    struct ArrowArray keys, values, array;
    struct ArrowArray *children[2];
};

static void batch_init(struct batch *batch, int64_t rows)
{
    *batch = (struct batch){
        .key_schema = {.format = "l", .name = "id", .release = release_schema},
        .value_schema = {.format = "u", .name = "text", .release = release_schema},
        .key_buffers = {NULL, key_data}, /* no validity bitmap: no nulls */
        .value_buffers = {NULL, value_offsets, value_data},
        .keys = {.length = rows, .n_buffers = 2, .release = release_column},
        .values = {.length = rows, .n_buffers = 3, .release = release_column},
    };
    batch->keys.buffers = batch->key_buffers;
    batch->values.buffers = batch->value_buffers;
    batch->schema_children[0] = &batch->key_schema;
    batch->schema_children[1] = &batch->value_schema;
    batch->children[0] = &batch->keys;
    batch->children[1] = &batch->values;
    batch->schema = (struct ArrowSchema){.format = "+s",
                                         .n_children = 2,
                                         .children = batch->schema_children,
                                         .release = release_schema};
    batch->array = (struct ArrowArray){.length = rows,
                                       .n_buffers = 1,
                                       .n_children = 2,
                                       .buffers = batch->buffers,
                                       .children = batch->children,
                                       .release = release_batch};
}

static shardy_status publish(const char *url, shardy_error *err)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_build_result result = {0};
    shardy_error rejected = SHARDY_ERROR_INIT;
    struct batch good, bad;
    shardy_status status;

    options.url = url;
    options.num_dbs = 1;
    options.key_col = "id";
    options.value_col = "text";
    batch_init(&good, GOOD_ROWS);
    batch_init(&bad, ROWS);
    status = shardy_writer_open(&options, &writer, err);
    if (status == SHARDY_OK)
        status = shardy_writer_add_batch(writer, &good.schema, &good.array, err);
    /* A batch goes in whole or not at all; the writer can go on after a bad one. */
    if (status == SHARDY_OK &&
        shardy_writer_add_batch(writer, &bad.schema, &bad.array, &rejected) != SHARDY_OK)
        printf("rejected a batch: %s\n", shardy_status_name(rejected.status));
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, &result, err);
    if (status == SHARDY_OK)
        printf("published %" PRIu64 " rows\n", result.rows_written);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    printf("released %d batches\n", releases);
    return status;
}

static shardy_status print_one(const char *url, int64_t number, shardy_error *err)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_key key = shardy_key_int(number);
    shardy_status status;
    char buffer[64];
    size_t size = 0;
    bool found = false;

    options.url = url;
    status = shardy_reader_open(&options, &reader, err);
    if (status == SHARDY_OK)
        status = shardy_reader_get_copy(reader, &key, buffer, sizeof(buffer), &size, &found, err);
    if (status == SHARDY_OK)
        printf("%" PRId64 " = %.*s\n", number, found ? (int)size : 8, found ? buffer : "(absent)");
    shardy_reader_free(reader);
    return status;
}

int main(int argc, char **argv)
{
    shardy_error err = SHARDY_ERROR_INIT;

    if (argc != 2) {
        fprintf(stderr, "usage: %s file:///absolute/folder\n", argv[0]);
        return 2;
    }
    if (publish(argv[1], &err) != SHARDY_OK || print_one(argv[1], 1000, &err) != SHARDY_OK) {
        fprintf(stderr, "%s: %s\n", shardy_status_name(err.status), err.message);
        return 1;
    }
    return 0;
}
