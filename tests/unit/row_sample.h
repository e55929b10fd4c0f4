/*
 * row_sample.h - a model table of rows for the tests of the writer and the reader, rows that can be
 * told from their number, and Arrow record batches made of them that own their buffers and count
 * their releases.
 */
#ifndef TESTS_ROW_SAMPLE_H
#define TESTS_ROW_SAMPLE_H

#include "store_sample.h"

#include <shardyfusion/shardyfusion.h>

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cmocka.h>

/* One row of the model; `stored` is what a shard has as key. */
struct snap_row {
    uint64_t number; /* integer keys */
    uint8_t *stored;
    size_t stored_size;
    uint8_t *value;
    size_t value_size;
    size_t order; /* of arrival */
    uint32_t db_id;
};

struct snap_table {
    shardy_key_encoding encoding;
    struct snap_row *rows;
    size_t count;
    size_t capacity;
};

static inline void *snap_alloc(size_t size)
{
    void *block = calloc(1, size ? size : 1);
    if (!block) {
        abort();
    }
    return block;
}

#define snap_ok(call)                                                                     \
    do {                                                                                  \
        shardy_error snap_err = SHARDY_ERROR_INIT;                                        \
        shardy_error *err = &snap_err;                                                    \
        shardy_status snap_st = (call);                                                   \
        if (snap_st != SHARDY_OK) {                                                       \
            fail_msg("%s: %s: %s", #call, shardy_status_name(snap_st), snap_err.message); \
        }                                                                                 \
    } while (0)

/* The call fails with `want`, and its message has `text`. */
#define snap_fails(want, text, call)                                                            \
    do {                                                                                        \
        shardy_error snap_err = SHARDY_ERROR_INIT;                                              \
        shardy_error *err = &snap_err;                                                          \
        shardy_status snap_st = (call);                                                         \
        if (snap_st != (want) || !strstr(snap_err.message, text)) {                             \
            fail_msg("%s: %s: '%s'; expected %s with '%s'", #call, shardy_status_name(snap_st), \
                     snap_err.message, shardy_status_name(want), text);                         \
        }                                                                                       \
        assert_int_equal(snap_err.status, want);                                                \
    } while (0)

static inline bool snap_int_keys(const struct snap_table *table)
{
    return table->encoding == SHARDY_KEY_U64BE || table->encoding == SHARDY_KEY_U32BE;
}

static inline struct snap_row *snap_new_row(struct snap_table *table, const void *value,
                                            size_t value_size)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->rows = realloc(table->rows, table->capacity * sizeof *table->rows);
        if (!table->rows) {
            abort();
        }
    }
    struct snap_row *row = &table->rows[table->count];
    memset(row, 0, sizeof *row);
    row->order = table->count++;
    row->value = snap_alloc(value_size);
    row->value_size = value_size;
    if (value_size) {
        memcpy(row->value, value, value_size);
    }
    return row;
}

static inline void snap_add_int(struct snap_table *table, uint64_t number, const void *value,
                                size_t value_size)
{
    struct snap_row *row = snap_new_row(table, value, value_size);
    row->number = number;
    row->stored_size = table->encoding == SHARDY_KEY_U64BE ? 8 : 4;
    row->stored = snap_alloc(row->stored_size);
    for (size_t i = 0; i < row->stored_size; i++) {
        row->stored[i] = (uint8_t)(number >> 8 * (row->stored_size - 1 - i));
    }
}

static inline void snap_add_bytes(struct snap_table *table, const void *key, size_t key_size,
                                  const void *value, size_t value_size)
{
    struct snap_row *row = snap_new_row(table, value, value_size);
    row->stored_size = key_size;
    row->stored = snap_alloc(key_size);
    if (key_size) {
        memcpy(row->stored, key, key_size);
    }
}

static inline void snap_clear(struct snap_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->rows[i].stored);
        free(table->rows[i].value);
    }
    free(table->rows);
    memset(table, 0, sizeof *table);
}

static inline shardy_key snap_key(const struct snap_table *table, const struct snap_row *row)
{
    switch (table->encoding) {
    case SHARDY_KEY_U64BE:
        return shardy_key_int((int64_t)row->number);
    case SHARDY_KEY_U32BE:
        return shardy_key_uint(row->number);
    case SHARDY_KEY_UTF8:
        return shardy_key_str((const char *)row->stored, row->stored_size);
    case SHARDY_KEY_RAW:
        break;
    }
    return shardy_key_bytes(row->stored, row->stored_size);
}

/* A value that can be told from its seed. */
static inline void snap_fill(uint8_t *value, size_t size, uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = next_random(&state);
        memcpy(value + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* Rows 0 .. count-1: scattered integers or texts of 0 to 40 bytes; values up to `value_max`. */
static inline void snap_fill_table(struct snap_table *table, size_t count, size_t value_max,
                                   uint64_t seed)
{
    uint8_t *value = snap_alloc(value_max + 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t state = seed + i + 1;
        uint64_t word = next_random(&state);
        size_t size = value_max ? (size_t)(word % (value_max + 1)) : 0;
        char text[64];
        snap_fill(value, size, seed + i);
        switch (table->encoding) {
        case SHARDY_KEY_U64BE:
            snap_add_int(table, word >> 1, value, size);
            break;
        case SHARDY_KEY_U32BE:
            snap_add_int(table, word >> 32, value, size);
            break;
        case SHARDY_KEY_UTF8:
        case SHARDY_KEY_RAW:
            snprintf(text, sizeof text, "%s%llx\xc3\xa9", i % 3 ? "common/prefix/" : "",
                     (unsigned long long)(word >> (i % 60)));
            snap_add_bytes(table, text, strlen(text), value, size);
            break;
        }
    }
    free(value);
}

/* ---- Arrow batches that own their buffers ------------------------------------------------- */

struct snap_batch {
    struct ArrowSchema schemas[2];
    struct ArrowArray arrays[2];
    struct ArrowSchema *schema_list[2];
    struct ArrowArray *array_list[2];
    const void *buffers[2][3];
    const void *top[1];
};

static atomic_int snap_batches_alive;

static inline void snap_release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static inline void snap_release_array(struct ArrowArray *array)
{
    struct snap_batch *batch = array->private_data;
    for (size_t c = 0; c < 2; c++) {
        for (size_t b = 0; b < 3; b++) {
            free((void *)(uintptr_t)batch->buffers[c][b]);
        }
    }
    free(batch);
    array->release = NULL;
    atomic_fetch_sub(&snap_batches_alive, 1);
}

static inline void snap_release_child(struct ArrowArray *array)
{
    array->release = NULL;
}

/* Bytes of column 0 (keys) or 1 (values). */
static inline struct sfi_bytes snap_cell(const struct snap_row *row, unsigned column)
{
    struct sfi_bytes bytes = {column ? row->value : row->stored,
                              column ? row->value_size : row->stored_size};
    return bytes;
}

/* Buffers of one column of rows [from, to) behind `skip` rows of junk. */
static inline void snap_fill_column(struct snap_batch *batch, unsigned column, const char *format,
                                    const struct snap_table *table, size_t from, size_t to,
                                    size_t skip)
{
    size_t rows = to - from + skip;
    size_t bytes = 3 * skip;
    for (size_t i = from; i < to; i++) {
        bytes += snap_cell(&table->rows[i], column).size;
    }
    if (strchr("iIlL", format[0])) {
        bool wide = strchr("lL", format[0]) != NULL;
        uint8_t *data = snap_alloc(rows * 8);
        memset(data, 0xEE, skip * 8);
        for (size_t i = 0; i < to - from; i++) {
            uint64_t number = table->rows[from + i].number;
            uint32_t narrow = (uint32_t)number;
            if (wide) {
                memcpy(data + 8 * (skip + i), &number, 8);
            } else {
                memcpy(data + 4 * (skip + i), &narrow, 4);
            }
        }
        batch->buffers[column][1] = data;
        return;
    }
    bool large = format[0] == 'U' || format[0] == 'Z';
    uint8_t *data = snap_alloc(bytes + 1);
    int64_t *wide = snap_alloc((rows + 1) * 8);
    int32_t *narrow = snap_alloc((rows + 1) * 4);
    size_t at = 0;
    for (size_t i = 0; i < rows; i++) {
        struct sfi_bytes cell = {(const uint8_t *)"\xff\xfe\xfd", 3};
        if (i >= skip) {
            cell = snap_cell(&table->rows[from + i - skip], column);
        }
        if (cell.size) {
            memcpy(data + at, cell.data, cell.size);
        }
        at += cell.size;
        wide[i + 1] = (int64_t)at;
        narrow[i + 1] = (int32_t)at;
    }
    batch->buffers[column][2] = data;
    batch->buffers[column][1] = large ? (void *)wide : (void *)narrow;
    free(large ? (void *)narrow : (void *)wide);
}

/* Rows [from, to) as a record batch. `skip`: offset of the struct array and once more of its
 * children. */
static inline void snap_batch_make(const struct snap_table *table, size_t from, size_t to,
                                   const char *key_format, const char *value_format, size_t skip,
                                   struct ArrowSchema *schema, struct ArrowArray *array)
{
    static const char *const names[2] = {"key", "value"};
    const char *formats[2] = {key_format, value_format};
    struct snap_batch *batch = snap_alloc(sizeof *batch);
    memset(schema, 0, sizeof *schema);
    memset(array, 0, sizeof *array);
    for (unsigned c = 0; c < 2; c++) {
        snap_fill_column(batch, c, formats[c], table, from, to, 2 * skip);
        batch->schemas[c].format = formats[c];
        batch->schemas[c].name = names[c];
        batch->schemas[c].release = snap_release_schema;
        batch->arrays[c].length = (int64_t)(to - from + skip);
        batch->arrays[c].offset = (int64_t)skip;
        batch->arrays[c].n_buffers = strchr("iIlL", formats[c][0]) ? 2 : 3;
        batch->arrays[c].buffers = batch->buffers[c];
        batch->arrays[c].release = snap_release_child;
        batch->schema_list[c] = &batch->schemas[c];
        batch->array_list[c] = &batch->arrays[c];
    }
    schema->format = "+s";
    schema->n_children = 2;
    schema->children = batch->schema_list;
    schema->release = snap_release_schema;
    array->length = (int64_t)(to - from);
    array->offset = (int64_t)skip;
    array->n_buffers = 1;
    array->buffers = batch->top;
    array->n_children = 2;
    array->children = batch->array_list;
    array->private_data = batch;
    array->release = snap_release_array;
    atomic_fetch_add(&snap_batches_alive, 1);
}

static inline shardy_status snap_add_batch(shardy_writer *writer, const struct snap_table *table,
                                           size_t from, size_t to, const char *key_format,
                                           const char *value_format, size_t skip, shardy_error *err)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    snap_batch_make(table, from, to, key_format, value_format, skip, &schema, &array);
    shardy_status st = shardy_writer_add_batch(writer, &schema, &array, err);
    assert_null(array.release);
    return st;
}

#endif
