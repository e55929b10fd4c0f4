/*
 * cel_sample.h - record batches of borrowed buffers for the tests of CEL, contexts, and shards of
 * one line of code.
 */
#ifndef TESTS_CEL_SAMPLE_H
#define TESTS_CEL_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <shardyfusion/cel.h>

#include <stdio.h>
#include <string.h>

#ifndef COUNT_OF
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#endif

#define CEL_SAMPLE_COLUMNS 8

/* A column; `dictionary` may point to another one. */
struct cel_array {
    struct ArrowSchema schema;
    struct ArrowArray array;
    const void *buffers[3];
};

/* A batch of columns, all borrowed. */
struct cel_table {
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowSchema *schemas[CEL_SAMPLE_COLUMNS];
    struct ArrowArray *arrays[CEL_SAMPLE_COLUMNS];
    const void *buffers[1];
};

static inline void cel_release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static inline void cel_release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

/* Buffer 0 is validity; numbers have two buffers, texts three, nulls none. */
static inline struct cel_array *cel_array_init(struct cel_array *column, const char *name,
                                               const char *format, int64_t length,
                                               const void *validity, const void *first,
                                               const void *second)
{
    memset(column, 0, sizeof *column);
    column->buffers[0] = validity;
    column->buffers[1] = first;
    column->buffers[2] = second;
    column->schema.name = name;
    column->schema.format = format;
    column->schema.release = cel_release_schema;
    column->array.length = length;
    column->array.null_count = validity ? -1 : 0;
    column->array.n_buffers = strcmp(format, "n") == 0 ? 0 : strchr("uzUZ", format[0]) ? 3 : 2;
    column->array.buffers = column->buffers;
    column->array.release = cel_release_array;
    return column;
}

static inline void cel_table_init(struct cel_table *table, int64_t length,
                                  struct cel_array *const *columns, size_t count)
{
    memset(table, 0, sizeof *table);
    for (size_t i = 0; i < count; i++) {
        table->schemas[i] = &columns[i]->schema;
        table->arrays[i] = &columns[i]->array;
    }
    table->schema.format = "+s";
    table->schema.n_children = (int64_t)count;
    table->schema.children = table->schemas;
    table->schema.release = cel_release_schema;
    table->array.length = length;
    table->array.n_buffers = 1;
    table->array.buffers = table->buffers;
    table->array.n_children = (int64_t)count;
    table->array.children = table->arrays;
    table->array.release = cel_release_array;
}

/* Fails the test with the message of a failed call. */
#define cel_ok(call)                                   \
    do {                                               \
        shardy_error error_ = SHARDY_ERROR_INIT;       \
        shardy_error *err = &error_;                   \
        if ((call) != SHARDY_OK) {                     \
            fail_msg("%s: %s", #call, error_.message); \
        }                                              \
    } while (0)

#define cel_fails(want, text, call)                                                      \
    do {                                                                                 \
        shardy_error error_ = SHARDY_ERROR_INIT;                                         \
        shardy_error *err = &error_;                                                     \
        shardy_status st_ = (call);                                                      \
        if (st_ != (want) || error_.status != (want) || !strstr(error_.message, text)) { \
            fail_msg("%s: %s '%s', expected %s '%s'", #call, shardy_status_name(st_),    \
                     error_.message, shardy_status_name(want), text);                    \
        }                                                                                \
    } while (0)

static inline shardy_cel *cel_new(const char *expression, const shardy_cel_column *columns,
                                  size_t count)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *cel = NULL;
    options.expression = expression;
    options.columns = columns;
    options.column_count = count;
    cel_ok(shardy_cel_compile(&options, &cel, err));
    return cel;
}

static inline shardy_cel_value cel_text(const char *text)
{
    return shardy_cel_string(text, strlen(text));
}

static inline shardy_cel_value cel_null(void)
{
    shardy_cel_value value = {SHARDY_CEL_NULL, 0, {false}, 0};
    return value;
}

#endif
