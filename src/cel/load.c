/*
 * load.c - from columns to vectors: in place where the layout is the vector's own, widened in a
 * loop where it is narrower, value by value otherwise. A column is loaded once for all rows of a
 * block; rows that are null or out of range get errors, which only matter where they are read.
 */
#include "cel/program_internal.h"

#include "cel/civil.h"
#include "cel/time.h"

#include <string.h>

static bool is_valid(const uint8_t *validity, int64_t row)
{
    return validity == NULL || (validity[row >> 3] >> (row & 7) & 1) != 0;
}

/* Whether any of the rows is null. */
static bool has_null(const struct sfi_cel_column *column, int64_t row, uint32_t count)
{
    int64_t end = row + count;
    if (column->validity == NULL) {
        return false;
    }
    while (row < end) {
        if ((row & 7) == 0 && end - row >= 8) {
            if (column->validity[row >> 3] != 0xFF) {
                return true;
            }
            row += 8;
        } else if (!is_valid(column->validity, row++)) {
            return true;
        }
    }
    return false;
}

/* ---- value by value -------------------------------------------------------------------------- */

static struct sfi_cel_value tick_value(int64_t ticks, int64_t per_second)
{
    int64_t seconds;
    int64_t nanos = 0;
    if (per_second < 0) {
        if (__builtin_mul_overflow(ticks, -per_second, &seconds)) {
            seconds = ticks < 0 ? INT64_MIN : INT64_MAX;
        }
    } else {
        seconds = sfi_cel_floor_div(ticks, per_second);
        /* The product may lie below INT64_MIN; the difference is 0 .. per_second - 1. */
        nanos = (int64_t)((uint64_t)ticks - (uint64_t)seconds * (uint64_t)per_second) *
                (1000000000 / per_second);
    }
    return sfi_cel_time(SFI_CEL_TIMESTAMP, seconds, (int32_t)nanos);
}

static struct sfi_cel_value text_value(struct sfi_cel_run *run, const struct sfi_cel_column *column,
                                       int64_t row, enum sfi_cel_kind kind)
{
    const char *data = column->values;
    int64_t from;
    int64_t until;
    if (column->layout == SFI_CEL_LAYOUT_VAR32) {
        from = ((const int32_t *)column->offsets)[row];
        until = ((const int32_t *)column->offsets)[row + 1];
    } else {
        from = ((const int64_t *)column->offsets)[row];
        until = ((const int64_t *)column->offsets)[row + 1];
    }
    if (until - from > UINT32_MAX) {
        return sfi_cel_fail(&run->frame, SFI_CEL_OUT_OF_RANGE, "text of 4 GiB or more");
    }
    struct sfi_cel_value value =
        sfi_cel_string(data == NULL ? "" : data + from, (uint32_t)(until - from));
    value.kind = (uint8_t)kind;
    return value;
}

/* A row as the layout has it; `row` counts from the start of the buffers. */
static struct sfi_cel_value natural_value(struct sfi_cel_run *run,
                                          const struct sfi_cel_column *column, int64_t row,
                                          const struct sfi_cel_type *type)
{
    if (column->layout == SFI_CEL_LAYOUT_NULLS ||
        (column->layout != SFI_CEL_LAYOUT_VALUES && !is_valid(column->validity, row))) {
        return sfi_cel_null();
    }
    switch (column->layout) {
    case SFI_CEL_LAYOUT_VALUES:
        return ((const struct sfi_cel_value *)column->values)[row];
    case SFI_CEL_LAYOUT_I8:
        return sfi_cel_int(((const int8_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_I16:
        return sfi_cel_int(((const int16_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_I32:
        return sfi_cel_int(((const int32_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_I64:
        return sfi_cel_int(((const int64_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_U8:
        return sfi_cel_uint(((const uint8_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_U16:
        return sfi_cel_uint(((const uint16_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_U32:
        return sfi_cel_uint(((const uint32_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_U64:
        return sfi_cel_uint(((const uint64_t *)column->values)[row]);
    case SFI_CEL_LAYOUT_F32:
        return sfi_cel_double((double)((const float *)column->values)[row]);
    case SFI_CEL_LAYOUT_F64:
        return sfi_cel_double(((const double *)column->values)[row]);
    case SFI_CEL_LAYOUT_BITS:
        return sfi_cel_bool(is_valid(column->values, row));
    case SFI_CEL_LAYOUT_TICKS32:
        return tick_value(((const int32_t *)column->values)[row], column->per_second);
    case SFI_CEL_LAYOUT_TICKS64:
        return tick_value(((const int64_t *)column->values)[row], column->per_second);
    case SFI_CEL_LAYOUT_VAR32:
    case SFI_CEL_LAYOUT_VAR64:
        return text_value(run, column, row,
                          type->kind == SFI_CEL_TYPE_STRING                      ? SFI_CEL_STRING
                          : type->kind == SFI_CEL_TYPE_BYTES || !column->is_text ? SFI_CEL_BYTES
                                                                                 : SFI_CEL_STRING);
    default:
        return sfi_cel_fail(&run->frame, SFI_CEL_MISSING, "no value for the variable");
    }
}

_Static_assert(SFI_CEL_TYPE_BOOL == SFI_CEL_BOOL + 1 && SFI_CEL_TYPE_BYTES == SFI_CEL_BYTES + 1,
               "types and kinds of scalars in the same order");

/* Scalars of just the declared type: the usual case. */
static inline bool is_plain(struct sfi_cel_value value, const struct sfi_cel_type *type)
{
    return value.kind + 1u == (unsigned)type->kind && value.kind >= SFI_CEL_BOOL &&
           value.kind <= SFI_CEL_BYTES;
}

/* The value as one of the declared type, or an error. */
static struct sfi_cel_value adapt(struct sfi_cel_run *run, struct sfi_cel_value value,
                                  const struct sfi_cel_type *type)
{
    struct sfi_cel_frame *frame = &run->frame;
    if (is_plain(value, type)) {
        return value;
    }
    if (value.kind == SFI_CEL_TIMESTAMP &&
        (value.i64 < SFI_CEL_SECONDS_MIN || value.i64 > SFI_CEL_SECONDS_MAX)) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "timestamp not in years 1 to 9999");
    }
    if (value.kind == SFI_CEL_ERROR || type->kind == SFI_CEL_TYPE_DYN) {
        return value;
    }
    if (type->kind == SFI_CEL_TYPE_WRAPPER) {
        return value.kind == SFI_CEL_NULL ? value : adapt(run, value, type->param[0]);
    }
    if (value.kind == SFI_CEL_NULL && type->kind != SFI_CEL_TYPE_NULL) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "the column is null");
    }
    if (type->kind == SFI_CEL_TYPE_INT && value.kind == SFI_CEL_UINT) {
        return value.u64 <= INT64_MAX
                   ? sfi_cel_int(value.i64)
                   : sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "number too large for int");
    }
    if (type->kind == SFI_CEL_TYPE_UINT && value.kind == SFI_CEL_INT) {
        return value.i64 >= 0
                   ? sfi_cel_uint(value.u64)
                   : sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "negative number for uint");
    }
    if (type->kind == SFI_CEL_TYPE_DOUBLE && value.kind == SFI_CEL_INT) {
        return sfi_cel_double((double)value.i64);
    }
    if (type->kind == SFI_CEL_TYPE_DOUBLE && value.kind == SFI_CEL_UINT) {
        return sfi_cel_double((double)value.u64);
    }
    if (!sfi_cel_value_fits(value, type)) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "the value has another type");
    }
    return value;
}

/* Number of the row in the dictionary that a row of indices points to. */
static int64_t dictionary_row(const struct sfi_cel_column *column, int64_t row)
{
    const void *values = column->values;
    switch (column->layout) {
    case SFI_CEL_LAYOUT_I8:
        return ((const int8_t *)values)[row];
    case SFI_CEL_LAYOUT_I16:
        return ((const int16_t *)values)[row];
    case SFI_CEL_LAYOUT_I32:
        return ((const int32_t *)values)[row];
    case SFI_CEL_LAYOUT_U8:
        return ((const uint8_t *)values)[row];
    case SFI_CEL_LAYOUT_U16:
        return ((const uint16_t *)values)[row];
    case SFI_CEL_LAYOUT_U32:
        return ((const uint32_t *)values)[row];
    default:
        return ((const int64_t *)values)[row];
    }
}

static void load_values(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        const struct sfi_cel_column *column)
{
    struct sfi_cel_sel all = {NULL, run->count};
    int64_t row = column->offset + (int64_t)run->first;
    for (uint32_t i = 0; i < run->count; i++) {
        struct sfi_cel_value value;
        if (column->dictionary == NULL) {
            value = natural_value(run, column, row + i, op->type);
        } else if (!is_valid(column->validity, row + i)) {
            value = sfi_cel_null();
        } else {
            value = natural_value(run, column->dictionary,
                                  column->dictionary->offset + dictionary_row(column, row + i),
                                  op->type);
        }
        sfi_cel_store(run, op, all, i, adapt(run, value, op->type));
    }
}

/* ---- loops and places ---------------------------------------------------------------------------
 */

#define WIDEN(FROM, TO)                                                        \
    do {                                                                       \
        const __typeof__(FROM) *from = (const __typeof__(FROM) *)values + row; \
        __typeof__(TO) *to = vec->own;                                         \
        for (uint32_t i = 0; i < run->count; i++) {                            \
            to[i] = (TO)from[i];                                               \
        }                                                                      \
    } while (0)

/* Numbers that need no look at their values; false: not such a layout. */
static bool load_number(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        const struct sfi_cel_column *column, int64_t row)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const char *values = column->values;
    bool is_int = op->rep == SFI_CEL_REP_INT;
    switch (column->layout) {
    case SFI_CEL_LAYOUT_I8:
        WIDEN(int8_t, int64_t);
        return is_int;
    case SFI_CEL_LAYOUT_I16:
        WIDEN(int16_t, int64_t);
        return is_int;
    case SFI_CEL_LAYOUT_I32:
        WIDEN(int32_t, int64_t);
        return is_int;
    case SFI_CEL_LAYOUT_U8:
        WIDEN(uint8_t, uint64_t);
        return true;
    case SFI_CEL_LAYOUT_U16:
        WIDEN(uint16_t, uint64_t);
        return true;
    case SFI_CEL_LAYOUT_U32:
        WIDEN(uint32_t, uint64_t);
        return true;
    case SFI_CEL_LAYOUT_I64:
    case SFI_CEL_LAYOUT_U64: {
        bool same = is_int == (column->layout == SFI_CEL_LAYOUT_I64);
        const uint64_t *from = (const uint64_t *)(const void *)values + row;
        uint64_t high = 0;
        for (uint32_t i = 0; i < run->count && !same; i++) {
            high |= from[i];
        }
        vec->data = (void *)(uintptr_t)from;
        return high >> 63 == 0;
    }
    default:
        return false;
    }
}

static bool load_double(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        const struct sfi_cel_column *column, int64_t row)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const char *values = column->values;
    if (column->layout == SFI_CEL_LAYOUT_F64) {
        vec->data = (void *)(uintptr_t)((const double *)(const void *)values + row);
        return true;
    }
    if (column->layout == SFI_CEL_LAYOUT_F32) {
        WIDEN(float, double);
        return true;
    }
    return false;
}

static bool load_text(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                      const struct sfi_cel_column *column, int64_t row)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    if (column->layout == SFI_CEL_LAYOUT_VAR32) {
        vec->offsets = (const int32_t *)column->offsets + row;
        vec->form = SFI_CEL_FORM_VAR32;
    } else if (column->layout == SFI_CEL_LAYOUT_VAR64) {
        const int64_t *offsets = (const int64_t *)column->offsets + row;
        if (offsets[run->count] - offsets[0] > UINT32_MAX) {
            return false;
        }
        vec->offsets = offsets;
        vec->form = SFI_CEL_FORM_VAR64;
    } else {
        return false;
    }
    vec->data = (void *)(uintptr_t)(column->values == NULL ? "" : column->values);
    return true;
}

/* Timestamps stay ticks when all are in range; nanoseconds always are. */
static bool load_ticks(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       const struct sfi_cel_column *column, int64_t row)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    int64_t per_second = column->per_second;
    if (column->layout != SFI_CEL_LAYOUT_TICKS64 || per_second <= 0) {
        return false;
    }
    const int64_t *ticks = (const int64_t *)column->values + row;
    if (per_second < 1000000000) {
        int64_t low = SFI_CEL_SECONDS_MIN * per_second;
        uint64_t span =
            (uint64_t)(SFI_CEL_SECONDS_MAX - SFI_CEL_SECONDS_MIN + 1) * (uint64_t)per_second - 1;
        bool out = false;
        for (uint32_t i = 0; i < run->count; i++) {
            out |= (uint64_t)ticks[i] - (uint64_t)low > span;
        }
        if (out) {
            return false;
        }
    }
    vec->data = (void *)(uintptr_t)ticks;
    vec->per_second = per_second;
    vec->form = SFI_CEL_FORM_TICKS;
    return true;
}

static bool load_bits(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                      const struct sfi_cel_column *column, int64_t row)
{
    uint8_t *own = sfi_cel_vec_of(run, op)->own;
    if (column->layout != SFI_CEL_LAYOUT_BITS) {
        return false;
    }
    for (uint32_t i = 0; i < run->count; i++) {
        own[i] = is_valid(column->values, row + i);
    }
    return true;
}

/* The ways that do not look at every value; nulls become errors afterwards. */
static bool load_fast(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                      const struct sfi_cel_column *column, int64_t row)
{
    if (column->dictionary != NULL || column->layout <= SFI_CEL_LAYOUT_NULLS) {
        return false;
    }
    switch (op->rep) {
    case SFI_CEL_REP_BOOL:
        return load_bits(run, op, column, row);
    case SFI_CEL_REP_INT:
    case SFI_CEL_REP_UINT:
        return load_number(run, op, column, row);
    case SFI_CEL_REP_DOUBLE:
        return load_double(run, op, column, row);
    case SFI_CEL_REP_TEXT:
        return load_text(run, op, column, row);
    default:
        return op->type->kind == SFI_CEL_TYPE_TIMESTAMP && load_ticks(run, op, column, row);
    }
}

static void load_nulls(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                       const struct sfi_cel_column *column, int64_t row)
{
    struct sfi_cel_sel all = {NULL, run->count};
    struct sfi_cel_value error = adapt(run, sfi_cel_null(), op->type);
    for (uint32_t i = 0; i < run->count && error.kind == SFI_CEL_ERROR; i++) {
        if (!is_valid(column->validity, row + i)) {
            sfi_cel_store_error(run, op, all, i, error.error);
        }
    }
}

void sfi_cel_eval_column(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    (void)sel;
    if (vec->stamp == run->stamp) {
        return;
    }
    vec->stamp = run->stamp;
    vec->errors = NULL;
    vec->data = vec->own;
    vec->form = SFI_CEL_FORM_NATIVE;
    if (run->row != NULL) {
        struct sfi_cel_sel one = {NULL, 1};
        sfi_cel_store(run, op, one, 0, adapt(run, run->row[op->column], op->type));
        return;
    }
    const struct sfi_cel_column *column = &run->columns[op->column];
    int64_t row = column->offset + (int64_t)run->first;
    if (!load_fast(run, op, column, row)) {
        vec->data = vec->own;
        vec->form = SFI_CEL_FORM_NATIVE;
        load_values(run, op, column);
    } else if (has_null(column, row, run->count)) {
        load_nulls(run, op, column, row);
    }
}

void sfi_cel_make_native(struct sfi_cel_run *run, const struct sfi_cel_op *op)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    const uint8_t *data = vec->data;
    struct sfi_bytes *texts = vec->own;
    if (vec->form == SFI_CEL_FORM_NATIVE) {
        return;
    }
    if (vec->form == SFI_CEL_FORM_VAR32) {
        const int32_t *offsets = vec->offsets;
        for (uint32_t i = 0; i < run->count; i++) {
            texts[i].data = data + offsets[i];
            texts[i].size = (size_t)(offsets[i + 1] - offsets[i]);
        }
    } else if (vec->form == SFI_CEL_FORM_VAR64) {
        const int64_t *offsets = vec->offsets;
        for (uint32_t i = 0; i < run->count; i++) {
            texts[i].data = data + offsets[i];
            texts[i].size = (size_t)(offsets[i + 1] - offsets[i]);
        }
    } else {
        const int64_t *ticks = vec->data;
        struct sfi_cel_value *values = vec->own;
        for (uint32_t i = 0; i < run->count; i++) {
            values[i] = tick_value(ticks[i], vec->per_second);
        }
    }
    vec->data = vec->own;
    vec->form = SFI_CEL_FORM_NATIVE;
}
