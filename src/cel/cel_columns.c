/*
 * cel_columns.c - a record batch (Arrow C data interface) as columns of a program, by name.
 *
 * Everything that evaluation relies on is checked here, once: types, buffers, slices, offsets,
 * indices of dictionaries. Sizes of data buffers are not part of the interface, so their ends are
 * the producer's word. Nulls are allowed and become errors of rows, or CEL's null. UTF-8 is not
 * checked.
 */
#include "cel/cel.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>

/* Rows that can be addressed at 16 bytes each. */
#define ROWS_MAX (PTRDIFF_MAX / 16)

struct layout {
    const char *format; /* of a timestamp: without the zone */
    enum sfi_cel_layout layout;
    uint8_t width; /* of a value or an offset in bytes; 0 = bits, or no buffer */
    enum sfi_cel_type_kind suits;
    int64_t per_second;
    bool is_text;
};

static const struct layout s_layouts[] = {
    {"c", SFI_CEL_LAYOUT_I8, 1, SFI_CEL_TYPE_INT, 0, false},
    {"s", SFI_CEL_LAYOUT_I16, 2, SFI_CEL_TYPE_INT, 0, false},
    {"i", SFI_CEL_LAYOUT_I32, 4, SFI_CEL_TYPE_INT, 0, false},
    {"l", SFI_CEL_LAYOUT_I64, 8, SFI_CEL_TYPE_INT, 0, false},
    {"C", SFI_CEL_LAYOUT_U8, 1, SFI_CEL_TYPE_INT, 0, false},
    {"S", SFI_CEL_LAYOUT_U16, 2, SFI_CEL_TYPE_INT, 0, false},
    {"I", SFI_CEL_LAYOUT_U32, 4, SFI_CEL_TYPE_INT, 0, false},
    {"L", SFI_CEL_LAYOUT_U64, 8, SFI_CEL_TYPE_INT, 0, false},
    {"f", SFI_CEL_LAYOUT_F32, 4, SFI_CEL_TYPE_DOUBLE, 0, false},
    {"g", SFI_CEL_LAYOUT_F64, 8, SFI_CEL_TYPE_DOUBLE, 0, false},
    {"b", SFI_CEL_LAYOUT_BITS, 0, SFI_CEL_TYPE_BOOL, 0, false},
    {"u", SFI_CEL_LAYOUT_VAR32, 4, SFI_CEL_TYPE_STRING, 0, true},
    {"z", SFI_CEL_LAYOUT_VAR32, 4, SFI_CEL_TYPE_BYTES, 0, false},
    {"U", SFI_CEL_LAYOUT_VAR64, 8, SFI_CEL_TYPE_STRING, 0, true},
    {"Z", SFI_CEL_LAYOUT_VAR64, 8, SFI_CEL_TYPE_BYTES, 0, false},
    {"tdD", SFI_CEL_LAYOUT_TICKS32, 4, SFI_CEL_TYPE_TIMESTAMP, -86400, false},
    {"tdm", SFI_CEL_LAYOUT_TICKS64, 8, SFI_CEL_TYPE_TIMESTAMP, 1000, false},
    {"tss:", SFI_CEL_LAYOUT_TICKS64, 8, SFI_CEL_TYPE_TIMESTAMP, 1, false},
    {"tsm:", SFI_CEL_LAYOUT_TICKS64, 8, SFI_CEL_TYPE_TIMESTAMP, 1000, false},
    {"tsu:", SFI_CEL_LAYOUT_TICKS64, 8, SFI_CEL_TYPE_TIMESTAMP, 1000000, false},
    {"tsn:", SFI_CEL_LAYOUT_TICKS64, 8, SFI_CEL_TYPE_TIMESTAMP, 1000000000, false},
    {"n", SFI_CEL_LAYOUT_NULLS, 0, SFI_CEL_TYPE_NULL, 0, false},
};

static const struct layout *find_layout(const char *format)
{
    for (size_t i = 0; format != NULL && i < sizeof s_layouts / sizeof s_layouts[0]; i++) {
        const char *name = s_layouts[i].format;
        bool is_prefix = name[0] == 't' && name[1] == 's';
        if (is_prefix ? strncmp(format, name, 4) == 0 : strcmp(format, name) == 0) {
            return &s_layouts[i];
        }
    }
    return NULL;
}

const char *sfi_cel_arrow_choices(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_INT:
    case SFI_CEL_TYPE_UINT:
        return "int8 to int64, uint8 to uint64";
    case SFI_CEL_TYPE_DOUBLE:
        return "float, double";
    case SFI_CEL_TYPE_BOOL:
        return "bool";
    case SFI_CEL_TYPE_STRING:
        return "utf8, large_utf8";
    case SFI_CEL_TYPE_BYTES:
        return "binary, large_binary";
    case SFI_CEL_TYPE_TIMESTAMP:
        return "date32, date64, timestamp";
    case SFI_CEL_TYPE_DURATION:
        return "none; pass numbers or text, and make durations of them in the expression";
    default:
        return "integers, float, double, bool, utf8, binary, date, timestamp";
    }
}

static bool suits(const struct layout *layout, const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_DYN:
        return true;
    case SFI_CEL_TYPE_UINT:
        return layout->suits == SFI_CEL_TYPE_INT || layout->suits == SFI_CEL_TYPE_NULL;
    default:
        return layout->suits == type->kind || layout->suits == SFI_CEL_TYPE_NULL;
    }
}

/* What is being opened, for messages. */
struct place {
    const char *name;
    const char *part;                /* "" or " (dictionary)" */
    const struct sfi_cel_type *type; /* declared */
    const char *type_name;
};

static shardy_status fail(const struct place *at, shardy_error *err, const char *what)
{
    return sfi_fail(err, SHARDY_CONFIG, "column \"%.200s\"%s: malformed Arrow array: %s", at->name,
                    at->part, what);
}

/* --- one array -------------------------------------------------------------------------------- */

static shardy_status check_array(const struct place *at, const struct ArrowArray *array,
                                 int64_t n_buffers, shardy_error *err)
{
    int64_t end;
    if (array == NULL || array->release == NULL) {
        return fail(at, err, "it is NULL or already released");
    }
    if (array->length < 0 || array->offset < 0 || array->null_count < -1 ||
        __builtin_add_overflow(array->offset, array->length, &end) || end > ROWS_MAX) {
        return fail(at, err, "length, offset or null_count is out of range");
    }
    if (array->n_buffers != n_buffers || (n_buffers > 0 && array->buffers == NULL)) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%.200s\"%s: malformed Arrow array: %" PRId64
                        " buffers instead of %" PRId64,
                        at->name, at->part, array->n_buffers, n_buffers);
    }
    return SHARDY_OK;
}

static shardy_status take_validity(const struct place *at, const struct ArrowArray *array,
                                   struct sfi_cel_column *column, shardy_error *err)
{
    const uint8_t *bits = array->buffers[0];
    if (bits == NULL && array->null_count > 0) {
        return fail(at, err, "it has nulls but no validity buffer");
    }
    column->validity = array->null_count == 0 ? NULL : bits;
    return SHARDY_OK;
}

/* Buffer 1. The interface lets consumers refuse unaligned memory. */
static shardy_status take_values(const struct place *at, const struct ArrowArray *array,
                                 size_t width, const void **buffer, shardy_error *err)
{
    *buffer = array->buffers[1];
    if (*buffer == NULL) {
        return fail(at, err, "buffer 1 is NULL");
    }
    if (width > 1 && (uintptr_t)*buffer % width != 0) {
        return fail(at, err, "buffer 1 is not aligned; copy the column");
    }
    return SHARDY_OK;
}

/* Offsets must not be negative and must not fall: signs are collected without branches. */
static bool good_offsets(const void *offsets, size_t width, size_t first, size_t count,
                         int64_t *last)
{
    uint64_t sign = 0;
    if (width == 4) {
        const uint32_t *at = (const uint32_t *)offsets + first;
        uint32_t bits = at[0];
        for (size_t i = 0; i < count; i++) {
            bits |= (at[i + 1] - at[i]) | at[i + 1];
        }
        sign = (uint64_t)bits << 32;
        *last = (int32_t)at[count];
    } else {
        const uint64_t *at = (const uint64_t *)offsets + first;
        sign = at[0];
        for (size_t i = 0; i < count; i++) {
            sign |= (at[i + 1] - at[i]) | at[i + 1];
        }
        *last = (int64_t)at[count];
    }
    return sign >> 63 == 0;
}

static shardy_status take_text(const struct place *at, const struct ArrowArray *array, size_t width,
                               size_t first, size_t count, struct sfi_cel_column *column,
                               shardy_error *err)
{
    static const uint64_t nothing = 0;
    int64_t last;
    SFI_RETURN_IF_ERR(take_values(at, array, width, &column->offsets, err));
    if (!good_offsets(column->offsets, width, first, count, &last)) {
        return fail(at, err, "offsets are negative or fall");
    }
    column->values = array->buffers[2];
    if (column->values == NULL) {
        if (last > 0) {
            return fail(at, err, "buffer 2 is NULL although there are bytes");
        }
        column->values = &nothing;
    }
    return SHARDY_OK;
}

/* Rows first .. first + count of an array whose type is known; row 0 of the column is `first`. */
static shardy_status open_array(const struct place *at, const struct layout *layout,
                                const struct ArrowArray *array, int64_t first, int64_t count,
                                struct sfi_cel_column *column, shardy_error *err)
{
    bool is_var = layout->layout == SFI_CEL_LAYOUT_VAR32 || layout->layout == SFI_CEL_LAYOUT_VAR64;
    bool is_null = layout->layout == SFI_CEL_LAYOUT_NULLS;
    *column = (struct sfi_cel_column){
        .layout = layout->layout, .per_second = layout->per_second, .is_text = layout->is_text};
    SFI_RETURN_IF_ERR(check_array(at, array, is_null ? 0 : is_var ? 3 : 2, err));
    if (first > array->length || count > array->length - first) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%.200s\"%s has %" PRId64 " rows, fewer than the batch", at->name,
                        at->part, array->length);
    }
    column->offset = array->offset + first;
    if (is_null || count == 0) {
        column->layout = count == 0 ? SFI_CEL_LAYOUT_NULLS : column->layout;
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(take_validity(at, array, column, err));
    return is_var ? take_text(at, array, layout->width, (size_t)column->offset, (size_t)count,
                              column, err)
                  : take_values(at, array, layout->width, &column->values, err);
}

/* --- dictionaries ----------------------------------------------------------------------------- */

static uint64_t index_at(const struct sfi_cel_column *column, size_t row)
{
    switch (column->layout) {
    case SFI_CEL_LAYOUT_I8:
        return (uint64_t)((const int8_t *)column->values)[row];
    case SFI_CEL_LAYOUT_I16:
        return (uint64_t)((const int16_t *)column->values)[row];
    case SFI_CEL_LAYOUT_I32:
        return (uint64_t)((const int32_t *)column->values)[row];
    case SFI_CEL_LAYOUT_U8:
        return ((const uint8_t *)column->values)[row];
    case SFI_CEL_LAYOUT_U16:
        return ((const uint16_t *)column->values)[row];
    case SFI_CEL_LAYOUT_U32:
        return ((const uint32_t *)column->values)[row];
    default:
        return ((const uint64_t *)column->values)[row];
    }
}

/* A negative index is a huge one here. Indices of null rows mean nothing. */
static shardy_status check_indices(const struct place *at, const struct sfi_cel_column *column,
                                   int64_t count, int64_t dictionary_length, shardy_error *err)
{
    for (int64_t i = 0; i < count; i++) {
        size_t row = (size_t)(column->offset + i);
        if (index_at(column, row) >= (uint64_t)dictionary_length &&
            (column->validity == NULL || (column->validity[row >> 3] >> (row & 7) & 1) != 0)) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "column \"%.200s\": malformed Arrow array: row %" PRId64
                            " has index %" PRId64 " into a dictionary of %" PRId64 " values",
                            at->name, i, (int64_t)index_at(column, row), dictionary_length);
        }
    }
    return SHARDY_OK;
}

static shardy_status fail_type(const struct place *at, const char *format, shardy_error *err)
{
    return sfi_fail(err, SHARDY_CONFIG,
                    "column \"%.200s\"%s: declared type %s, but Arrow format \"%.40s\"; compatible "
                    "types: %s",
                    at->name, at->part, at->type_name, format == NULL ? "" : format,
                    sfi_cel_arrow_choices(at->type));
}

static shardy_status open_column(const struct place *at, const struct ArrowSchema *schema,
                                 const struct ArrowArray *array, int64_t first, int64_t count,
                                 struct sfi_cel_column *column, struct sfi_cel_column *dictionary,
                                 shardy_error *err)
{
    if (schema == NULL || schema->release == NULL) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%.200s\": Arrow schema is NULL or already released", at->name);
    }
    const struct layout *layout = find_layout(schema->format);
    if (schema->dictionary == NULL) {
        if (layout == NULL || !suits(layout, at->type)) {
            return fail_type(at, schema->format, err);
        }
        if (array != NULL && array->dictionary != NULL) {
            return fail(at, err, "it has a dictionary, its schema none");
        }
        return open_array(at, layout, array, first, count, column, err);
    }
    struct place inner = *at;
    inner.part = " (dictionary)";
    const struct layout *values = find_layout(schema->dictionary->format);
    if (values == NULL || !suits(values, at->type) || schema->dictionary->dictionary != NULL) {
        return fail_type(&inner, schema->dictionary->format, err);
    }
    if (layout == NULL || layout->suits != SFI_CEL_TYPE_INT) {
        return fail(at, err, "indices of a dictionary must be integers");
    }
    SFI_RETURN_IF_ERR(open_array(at, layout, array, first, count, column, err));
    const struct ArrowArray *from = array->dictionary;
    if (from == NULL || from->release == NULL || from->dictionary != NULL) {
        return fail(&inner, err, "it is NULL, already released, or has a dictionary itself");
    }
    SFI_RETURN_IF_ERR(open_array(&inner, values, from, 0, from->length, dictionary, err));
    if (count > 0) {
        SFI_RETURN_IF_ERR(check_indices(at, column, count, from->length, err));
        column->dictionary = dictionary;
    }
    return SHARDY_OK;
}

/* --- a batch ---------------------------------------------------------------------------------- */

static shardy_status check_batch(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                 uint64_t row_base, shardy_error *err)
{
    static const struct place at = {"record batch", "", &sfi_cel_type_dyn, "dyn"};
    if (schema == NULL || schema->release == NULL || schema->format == NULL ||
        strcmp(schema->format, "+s") != 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "record batch: Arrow schema is NULL, released or not a struct (\"+s\")");
    }
    SFI_RETURN_IF_ERR(check_array(&at, array, array == NULL ? 0 : array->n_buffers, err));
    if (schema->n_children < 0 || schema->n_children != array->n_children ||
        (schema->n_children > 0 && (schema->children == NULL || array->children == NULL))) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "record batch: schema has %" PRId64 " columns, array has %" PRId64,
                        schema->n_children, array->n_children);
    }
    const uint8_t *bits = array->null_count != 0 && array->n_buffers > 0 && array->buffers != NULL
                              ? array->buffers[0]
                              : NULL;
    for (int64_t i = 0; bits != NULL && i < array->length; i++) {
        int64_t row = array->offset + i;
        if ((bits[row >> 3] >> (row & 7) & 1) == 0) {
            return sfi_fail(err, SHARDY_INPUT, "row %" PRIu64 ": the whole row is null",
                            row_base + (uint64_t)i);
        }
    }
    return SHARDY_OK;
}

/* Position of the only child of a name; -1: none, -2: several. */
static int64_t find_child(const struct ArrowSchema *schema, const char *name)
{
    int64_t found = -1;
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        if (child != NULL && child->name != NULL && strcmp(child->name, name) == 0) {
            if (found >= 0) {
                return -2;
            }
            found = i;
        }
    }
    return found;
}

static shardy_status fail_missing(const struct ArrowSchema *schema, const char *name, bool several,
                                  shardy_error *err)
{
    struct sfi_buf names;
    if (several) {
        return sfi_fail(err, SHARDY_CONFIG, "record batch has several columns \"%.200s\"; rename",
                        name);
    }
    sfi_buf_init(&names, 512);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        (void)sfi_buf_printf(&names, "%s%s", i > 0 ? ", " : "",
                             child != NULL && child->name != NULL ? child->name : "");
    }
    shardy_status st =
        sfi_fail(err, SHARDY_CONFIG, "CEL column \"%.200s\" not found in Arrow schema; it has: %s",
                 name, names.data != NULL ? (const char *)names.data : "(too many to list)");
    sfi_buf_clear(&names);
    return st;
}

shardy_status sfi_cel_batch_open(const shardy_cel *cel, const struct ArrowSchema *schema,
                                 const struct ArrowArray *array, const char *alias,
                                 uint64_t row_base, struct sfi_cel_batch *batch, shardy_error *err)
{
    memset(batch, 0, sizeof *batch);
    SFI_RETURN_IF_ERR(check_batch(schema, array, row_base, err));
    batch->columns = sfi_calloc(cel->column_count, sizeof *batch->columns);
    batch->dictionaries = sfi_calloc(cel->column_count, sizeof *batch->dictionaries);
    if (batch->columns == NULL || batch->dictionaries == NULL) {
        return sfi_fail_memory(err, cel->column_count * sizeof *batch->columns);
    }
    batch->length = (size_t)array->length;
    for (size_t i = 0; i < cel->read_count; i++) {
        size_t to = cel->read[i];
        struct place at = {cel->columns[to].name, "", cel->types[to], cel->columns[to].type};
        int64_t child = find_child(schema, at.name);
        if (child == -1 && alias != NULL && strcmp(at.name, "key") == 0) {
            at.name = alias;
            child = find_child(schema, alias);
        }
        if (child < 0) {
            return fail_missing(schema, at.name, child == -2, err);
        }
        SFI_RETURN_IF_ERR(open_column(&at, schema->children[child], array->children[child],
                                      array->offset, array->length, &batch->columns[to],
                                      &batch->dictionaries[to], err));
    }
    return SHARDY_OK;
}

void sfi_cel_batch_clear(struct sfi_cel_batch *batch)
{
    sfi_free(batch->columns);
    sfi_free(batch->dictionaries);
    memset(batch, 0, sizeof *batch);
}
