/*
 * column.c - Arrow columns as borrowed views (Arrow C data interface; docs/format/keys.md).
 *
 * Everything later code relies on is checked once here: type, buffers, slice, offsets in order, no
 * nulls. The data buffer's size is not part of the interface, so its end is the producer's word.
 * UTF-8 is not checked: routing needs bytes, and text keys are checked where they become keys.
 */
#include "key/key.h"

#include <inttypes.h>

/* Rows that can be addressed at 8 bytes each. */
#define ROWS_MAX (PTRDIFF_MAX / 16)

struct column_format {
    char format[2];
    enum sfi_column_kind kind;
    bool is_text;
    uint8_t width; /* of a number or an offset */
};

static const struct column_format s_formats[] = {
    {"i", SFI_COLUMN_I32, false, 4},  {"l", SFI_COLUMN_I64, false, 8},
    {"I", SFI_COLUMN_U32, false, 4},  {"L", SFI_COLUMN_U64, false, 8},
    {"u", SFI_COLUMN_VAR32, true, 4}, {"z", SFI_COLUMN_VAR32, false, 4},
    {"U", SFI_COLUMN_VAR64, true, 8}, {"Z", SFI_COLUMN_VAR64, false, 8},
};

static const struct column_format *find_format(const char *format)
{
    for (size_t i = 0; i < sizeof s_formats / sizeof s_formats[0]; i++) {
        if (strcmp(format, s_formats[i].format) == 0) {
            return &s_formats[i];
        }
    }
    return NULL;
}

static shardy_status check_type(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                const char *name, const struct column_format **format,
                                shardy_error *err)
{
    *format = NULL;
    if (!schema || !array || !schema->release || !array->release) {
        return sfi_fail(err, SHARDY_CONFIG, "column \"%s\": Arrow %s is NULL or already released",
                        name, !schema || !schema->release ? "schema" : "array");
    }
    if (!schema->format) {
        return sfi_fail(err, SHARDY_CONFIG, "column \"%s\": Arrow schema has no format", name);
    }
    if (schema->dictionary || array->dictionary) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\" is dictionary-encoded; cast it to its value type first",
                        name);
    }
    *format = find_format(schema->format);
    if (!*format) {
        shardy_key value = shardy_key_str(schema->format, strnlen(schema->format, 64));
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(&value, text);
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": Arrow format %s is not supported; cast it to int32, int64, "
                        "uint32, uint64, utf8, large_utf8, binary or large_binary",
                        name, text);
    }
    return SHARDY_OK;
}

/* Lengths, offset and slice; *start is the first physical row of the slice. */
static shardy_status check_slice(const struct ArrowArray *array, const char *name, int64_t first,
                                 int64_t length, int64_t *start, shardy_error *err)
{
    int64_t end;
    *start = 0;
    if (array->length < 0 || array->offset < 0 || array->null_count < -1 ||
        array->null_count > array->length) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": malformed Arrow array: length %" PRId64 ", offset %" PRId64
                        ", null_count %" PRId64,
                        name, array->length, array->offset, array->null_count);
    }
    if (__builtin_add_overflow(array->offset, array->length, &end) || end > ROWS_MAX) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": offset %" PRId64 " + length %" PRId64 " is too large", name,
                        array->offset, array->length);
    }
    if (first < 0 || length < 0 || first > array->length || length > array->length - first) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": rows %" PRId64 "..+%" PRId64 " are outside its %" PRId64
                        " rows",
                        name, first, length, array->length);
    }
    *start = array->offset + first;
    return SHARDY_OK;
}

/* First 0 bit of bits start..start+length, relative to start; `length` when all are 1. */
static int64_t first_clear_bit(const uint8_t *bits, int64_t start, int64_t length)
{
    int64_t i = 0;
    while (i < length) {
        int64_t at = start + i;
        uint64_t word;
        if ((at & 7) == 0 && length - i >= 64) {
            memcpy(&word, bits + (at >> 3), sizeof word);
            if (word == UINT64_MAX) {
                i += 64;
                continue;
            }
            return i + __builtin_ctzll(~word);
        }
        if (!(bits[at >> 3] >> (at & 7) & 1)) {
            return i;
        }
        i++;
    }
    return length;
}

/* *row is the first null of the slice, or `length`. */
static shardy_status find_null(const struct ArrowArray *array, const char *name, int64_t start,
                               int64_t length, int64_t *row, shardy_error *err)
{
    *row = length;
    if (array->null_count == 0 || length == 0) {
        return SHARDY_OK;
    }
    const uint8_t *bits = array->n_buffers > 0 && array->buffers ? array->buffers[0] : NULL;
    if (bits) {
        *row = first_clear_bit(bits, start, length);
    } else if (array->null_count > 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": null_count is %" PRId64 " but there is no validity buffer",
                        name, array->null_count);
    }
    return SHARDY_OK;
}

static shardy_status check_nulls(const struct ArrowArray *array, const char *name, int64_t start,
                                 int64_t length, uint64_t row_base, shardy_error *err)
{
    int64_t row;
    SFI_RETURN_IF_ERR(find_null(array, name, start, length, &row, err));
    if (row < length) {
        return sfi_fail(err, SHARDY_INPUT, "row %" PRIu64 ": null in column \"%s\"",
                        row_base + (uint64_t)row, name);
    }
    return SHARDY_OK;
}

/* Buffer `index`, which must hold rows. The interface lets consumers refuse unaligned memory. */
static shardy_status take_buffer(const struct ArrowArray *array, const char *name, int64_t index,
                                 size_t width, const void **buffer, shardy_error *err)
{
    *buffer = array->buffers ? array->buffers[index] : NULL;
    if (!*buffer) {
        return sfi_fail(err, SHARDY_CONFIG, "column \"%s\": Arrow buffer %" PRId64 " is NULL", name,
                        index);
    }
    if ((uintptr_t)*buffer % width != 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": Arrow buffer %" PRId64
                        " is not aligned to %zu bytes; copy the column",
                        name, index, width);
    }
    return SHARDY_OK;
}

/*
 * Offsets must not be negative and must not fall. `sign` collects the sign bit of every offset and
 * of every difference; that has no branches, so compilers vectorise it. Each returns whether the
 * offsets are good, and the longest row.
 */
static bool scan_offsets32(const uint32_t *offsets, size_t length, size_t *max)
{
    uint32_t sign = offsets[0];
    int32_t longest = 0;
    for (size_t i = 0; i < length; i++) {
        uint32_t size = offsets[i + 1] - offsets[i];
        sign |= size | offsets[i + 1];
        longest = (int32_t)size > longest ? (int32_t)size : longest;
    }
    *max = (size_t)longest;
    return !(sign >> 31);
}

static bool scan_offsets64(const uint64_t *offsets, size_t length, size_t *max)
{
    uint64_t sign = offsets[0];
    uint64_t longest = 0;
    for (size_t i = 0; i < length; i++) {
        uint64_t size = offsets[i + 1] - offsets[i];
        sign |= size | offsets[i + 1];
        longest = size > longest ? size : longest;
    }
    *max = (size_t)longest;
    return !(sign >> 63);
}

static int64_t offset_at(const struct sfi_column *column, size_t index)
{
    return column->kind == SFI_COLUMN_VAR32 ? ((const int32_t *)column->offsets)[index]
                                            : ((const int64_t *)column->offsets)[index];
}

static shardy_status bad_offsets(const struct sfi_column *column, const char *name,
                                 uint64_t row_base, shardy_error *err)
{
    size_t row = 0;
    while (row + 1 < column->length && offset_at(column, row) >= 0 &&
           offset_at(column, row + 1) >= offset_at(column, row)) {
        row++;
    }
    return sfi_fail(err, SHARDY_CONFIG,
                    "column \"%s\": row %" PRIu64 " has offsets %" PRId64 " and %" PRId64
                    ", which are negative or fall",
                    name, row_base + row, offset_at(column, row), offset_at(column, row + 1));
}

static shardy_status open_numbers(const struct ArrowArray *array, const char *name, int64_t start,
                                  size_t width, struct sfi_column *column, shardy_error *err)
{
    const void *values;
    SFI_RETURN_IF_ERR(take_buffer(array, name, 1, width, &values, err));
    column->values = (const uint8_t *)values + (size_t)start * width;
    return SHARDY_OK;
}

static shardy_status open_bytes(const struct ArrowArray *array, const char *name, int64_t start,
                                size_t width, uint64_t row_base, struct sfi_column *column,
                                shardy_error *err)
{
    const void *offsets;
    bool ordered;
    SFI_RETURN_IF_ERR(take_buffer(array, name, 1, width, &offsets, err));
    column->offsets = (const uint8_t *)offsets + (size_t)start * width;
    ordered = width == 4 ? scan_offsets32(column->offsets, column->length, &column->max_bytes)
                         : scan_offsets64(column->offsets, column->length, &column->max_bytes);
    if (!ordered) {
        return bad_offsets(column, name, row_base, err);
    }
    if (array->buffers[2]) {
        column->values = array->buffers[2];
    } else if (offset_at(column, column->length) > 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": Arrow buffer 2 is NULL but offsets reach %" PRId64, name,
                        offset_at(column, column->length));
    }
    return SHARDY_OK;
}

shardy_status sfi_column_open(const struct ArrowSchema *schema, const struct ArrowArray *array,
                              const char *name, int64_t first, int64_t length, uint64_t row_base,
                              struct sfi_column *column, shardy_error *err)
{
    static const int64_t nothing[1] = {0};
    const struct column_format *format;
    struct sfi_column view = {0};
    int64_t start;

    memset(column, 0, sizeof *column);
    SFI_RETURN_IF_ERR(check_type(schema, array, name, &format, err));
    SFI_RETURN_IF_ERR(check_slice(array, name, first, length, &start, err));
    bool is_number = format->kind <= SFI_COLUMN_U64;
    int64_t n_buffers = is_number ? 2 : 3;
    if (array->n_buffers != n_buffers) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": Arrow format \"%s\" has %" PRId64 " buffers, got %" PRId64,
                        name, format->format, n_buffers, array->n_buffers);
    }
    SFI_RETURN_IF_ERR(check_nulls(array, name, start, length, row_base, err));
    view.kind = format->kind;
    view.is_text = format->is_text;
    view.length = (size_t)length;
    view.max_bytes = is_number ? format->width : 0;
    /* Addresses that are valid for no bytes; buffers of empty arrays may be NULL or missing. */
    view.values = nothing;
    view.offsets = is_number ? NULL : nothing;
    if (length > 0) {
        SFI_RETURN_IF_ERR(
            is_number ? open_numbers(array, name, start, format->width, &view, err)
                      : open_bytes(array, name, start, format->width, row_base, &view, err));
    }
    *column = view;
    return SHARDY_OK;
}

static shardy_status check_batch(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                 const char *name, shardy_error *err)
{
    if (!schema || !array || !schema->release || !array->release) {
        return sfi_fail(err, SHARDY_CONFIG, "record batch: Arrow %s is NULL or already released",
                        !schema || !schema->release ? "schema" : "array");
    }
    if (!schema->format || strcmp(schema->format, "+s") != 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "record batch: Arrow schema is not a struct (\"+s\"); pass a batch that "
                        "has a column \"%s\"",
                        name);
    }
    if (schema->n_children < 0 || schema->n_children != array->n_children ||
        (schema->n_children > 0 && (!schema->children || !array->children))) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "record batch: schema has %" PRId64 " columns, array has %" PRId64,
                        schema->n_children, array->n_children);
    }
    return SHARDY_OK;
}

static shardy_status find_child(const struct ArrowSchema *schema, const char *name, int64_t *index,
                                shardy_error *err)
{
    struct sfi_buf names;
    *index = -1;
    sfi_buf_init(&names, 512);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        const char *child_name = child && child->name ? child->name : "";
        if (strcmp(child_name, name) == 0 && *index >= 0) {
            sfi_buf_clear(&names);
            return sfi_fail(err, SHARDY_CONFIG,
                            "record batch: columns %" PRId64 " and %" PRId64
                            " are both called \"%s\"; rename one",
                            *index, i, name);
        }
        *index = strcmp(child_name, name) == 0 ? i : *index;
        (void)sfi_buf_printf(&names, "%s%s", i > 0 ? ", " : "", child_name);
    }
    if (*index < 0) {
        (void)sfi_fail(err, SHARDY_CONFIG, "record batch has no column \"%s\"; it has: %s", name,
                       names.data ? (const char *)names.data : "(too many to list)");
    }
    sfi_buf_clear(&names);
    return *index < 0 ? SHARDY_CONFIG : SHARDY_OK;
}

shardy_status sfi_batch_column(const struct ArrowSchema *schema, const struct ArrowArray *array,
                               const char *name, uint64_t row_base, struct sfi_column *column,
                               shardy_error *err)
{
    int64_t index;
    int64_t start;
    int64_t null_row;

    memset(column, 0, sizeof *column);
    SFI_RETURN_IF_ERR(check_batch(schema, array, name, err));
    SFI_RETURN_IF_ERR(check_slice(array, "record batch", 0, array->length, &start, err));
    SFI_RETURN_IF_ERR(find_child(schema, name, &index, err));
    SFI_RETURN_IF_ERR(find_null(array, "record batch", start, array->length, &null_row, err));
    if (null_row < array->length) {
        return sfi_fail(err, SHARDY_INPUT, "row %" PRIu64 ": the whole row is null",
                        row_base + (uint64_t)null_row);
    }
    return sfi_column_open(schema->children[index], array->children[index], name, start,
                           array->length, row_base, column, err);
}

shardy_key sfi_column_key(const struct sfi_column *column, size_t row)
{
    struct sfi_bytes bytes;
    switch (column->kind) {
    case SFI_COLUMN_I32:
        return shardy_key_int(((const int32_t *)column->values)[row]);
    case SFI_COLUMN_I64:
        return shardy_key_int(((const int64_t *)column->values)[row]);
    case SFI_COLUMN_U32:
        return shardy_key_uint(((const uint32_t *)column->values)[row]);
    case SFI_COLUMN_U64:
        return shardy_key_uint(((const uint64_t *)column->values)[row]);
    case SFI_COLUMN_VAR32:
    case SFI_COLUMN_VAR64:
        break;
    }
    bytes = sfi_column_bytes(column, row);
    return column->is_text ? shardy_key_str((const char *)bytes.data, bytes.size)
                           : shardy_key_bytes(bytes.data, bytes.size);
}

uint64_t sfi_column_byte_size(const struct sfi_column *column)
{
    if (sfi_column_is_int(column)) {
        return (uint64_t)column->length * column->max_bytes;
    }
    return (uint64_t)(offset_at(column, column->length) - offset_at(column, 0));
}
