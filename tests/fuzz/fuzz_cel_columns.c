/*
 * fuzz_cel_columns.c - a column of a record batch, plain or dictionary-encoded, whose description
 * and content come from the input. Buffers are exactly as large as the description says: what is
 * accepted must be evaluated inside them, row by row as in blocks.
 */
#include "base/memory.h"
#include "cel/cel.h"

#include <stdlib.h>

#define ROWS_LIMIT 600
#define DATA_LIMIT 4096

struct header {
    int16_t length;
    int16_t offset;
    int16_t null_count;
    int16_t first; /* slice of the batch */
    int16_t count;
    uint8_t format;
    uint8_t type;
    uint8_t dictionary; /* 0 = none, else the format of its values */
    uint8_t missing;    /* bits: buffers that are NULL */
};

static const char *const formats[] = {"c",   "s",   "i",    "l",    "C",    "S",       "I", "L",
                                      "f",   "g",   "b",    "u",    "z",    "U",       "Z", "n",
                                      "tdD", "tdm", "tss:", "tsm:", "tsu:", "tsn:UTC", "e", ""};
static const unsigned widths[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 0, 4,
                                  4, 8, 8, 0, 4, 8, 8, 8, 8, 8, 2, 1};
static const char *const types[] = {"int",    "uint",  "double",    "bool",
                                    "string", "bytes", "timestamp", "dyn"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

struct part {
    struct ArrowSchema schema;
    struct ArrowArray array;
    const void *buffers[3];
    bool reads_data; /* its offsets point into data that is there */
};

static void *fill(size_t size, const uint8_t *data, size_t left)
{
    uint8_t *block = sfi_malloc(size);
    require(block != NULL);
    for (size_t i = 0; i < size; i++) {
        block[i] = left > 0 ? data[i % left] : 0;
    }
    return block;
}

static void part_make(struct part *part, size_t format, int64_t length, int64_t offset,
                      int64_t null_count, unsigned missing, const uint8_t *data, size_t left)
{
    bool is_var = format >= 11 && format <= 14;
    size_t rows = length > 0 && offset >= 0 ? (size_t)(length + offset) : 0;
    size_t bytes = format == 10 ? rows / 8 + 1 : rows * widths[format];
    memset(part, 0, sizeof *part);
    part->schema.format = formats[format];
    part->schema.name = "a";
    part->schema.release = release_schema;
    part->array.length = length;
    part->array.offset = offset;
    part->array.null_count = null_count;
    part->array.n_buffers = format == 15 ? 0 : is_var ? 3 : 2;
    part->array.buffers = part->buffers;
    part->array.release = release_array;
    part->buffers[0] = missing & 1 ? NULL : fill(rows / 8 + 1, data, left);
    part->buffers[1] =
        missing & 2 ? NULL : fill(is_var ? bytes + widths[format] : bytes, data, left);
    part->buffers[2] = missing & 4 ? NULL : fill(DATA_LIMIT, data, left);
    part->reads_data = true;
    for (size_t i = 0; is_var && part->buffers[1] != NULL && i <= rows; i++) {
        int64_t at = widths[format] == 4 ? ((const int32_t *)part->buffers[1])[i]
                                         : ((const int64_t *)part->buffers[1])[i];
        part->reads_data = part->reads_data && at <= DATA_LIMIT;
    }
}

static void part_free(struct part *part)
{
    for (size_t i = 0; i < 3; i++) {
        sfi_free((void *)(uintptr_t)part->buffers[i]);
    }
}

/* Blocks of all rows, and each row alone, say the same. */
static void evaluate(const shardy_cel *cel, const struct sfi_cel_batch *batch)
{
    shardy_cel *shared = (shardy_cel *)(uintptr_t)cel;
    struct sfi_cel_worker *all;
    struct sfi_cel_worker *one;
    require(sfi_cel_take(shared, true, &all, NULL) == SHARDY_OK);
    require(sfi_cel_take(shared, true, &one, NULL) == SHARDY_OK);
    size_t count;
    for (size_t first = 0; first < batch->length; first += count) {
        struct sfi_cel_block block;
        count = batch->length - first;
        count = count < SFI_CEL_BLOCK_ROWS ? count : SFI_CEL_BLOCK_ROWS;
        require(sfi_cel_run_block(all->run, batch->columns, first, &count, &block, NULL) ==
                SHARDY_OK);
        for (size_t i = 0; i < count; i++) {
            struct sfi_cel_block single;
            size_t row = 1;
            require(sfi_cel_run_block(one->run, batch->columns, first + i, &row, &single, NULL) ==
                    SHARDY_OK);
            struct sfi_cel_value a = sfi_cel_block_value(&block, i);
            struct sfi_cel_value b = sfi_cel_block_value(&single, 0);
            bool is_nan = a.kind == SFI_CEL_DOUBLE && b.kind == SFI_CEL_DOUBLE && a.f64 != a.f64;
            require(a.kind == b.kind && (sfi_cel_is_error(a) || is_nan || sfi_cel_equal(a, b)));
        }
    }
    sfi_cel_give(one);
    sfi_cel_give(all);
}

static void check(const shardy_cel *cel, struct part *column, struct part *dictionary,
                  const struct header *head)
{
    struct ArrowSchema *schemas[] = {&column->schema};
    struct ArrowArray *arrays[] = {&column->array};
    const void *none[] = {NULL};
    struct ArrowSchema schema = {
        .format = "+s", .n_children = 1, .children = schemas, .release = release_schema};
    struct ArrowArray array = {.length = head->count,
                               .offset = head->first,
                               .n_buffers = 1,
                               .buffers = none,
                               .n_children = 1,
                               .children = arrays,
                               .release = release_array};
    struct sfi_cel_batch batch;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_status st = sfi_cel_batch_open(cel, &schema, &array, NULL, 0, &batch, &err);
    require(st == SHARDY_OK || (err.status == st && err.message[0] != '\0'));
    if (st == SHARDY_OK && column->reads_data &&
        (column->array.dictionary == NULL || dictionary->reads_data)) {
        evaluate(cel, &batch);
    }
    sfi_cel_batch_clear(&batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const expressions[] = {"a", "a == a ? 1 : 0"};
    struct header head;
    struct part column;
    struct part dictionary;
    if (size < sizeof head) {
        return 0;
    }
    memcpy(&head, data, sizeof head);
    data += sizeof head;
    size -= sizeof head;
    size_t format = head.format % (sizeof formats / sizeof formats[0]);
    size_t values = head.dictionary % (sizeof formats / sizeof formats[0]);
    shardy_cel_column declared = {"a", types[head.type % 8]};
    part_make(&column, format, head.length % ROWS_LIMIT, head.offset % ROWS_LIMIT, head.null_count,
              head.missing, data, size);
    part_make(&dictionary, values, (int64_t)(size % 40), 0, head.null_count % 2, head.missing >> 3,
              data, size);
    if (head.dictionary != 0) {
        column.schema.dictionary = &dictionary.schema;
        column.array.dictionary = &dictionary.array;
    }
    for (size_t i = 0; i < 2; i++) {
        shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
        shardy_cel *cel = NULL;
        options.expression = expressions[i];
        options.columns = &declared;
        options.column_count = 1;
        require(sfi_cel_compile_cached(&options, &cel, NULL) == SHARDY_OK);
        check(cel, &column, &dictionary, &head);
        shardy_cel_free(cel);
    }
    part_free(&column);
    part_free(&dictionary);
    return 0;
}
