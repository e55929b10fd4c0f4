/*
 * cel_export.c - results of blocks as one Arrow array (C data interface). The static type of the
 * expression decides the Arrow type; what has none becomes text, CEL literals.
 */
#include "cel/cel.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <inttypes.h>

/* Literals in a column are cut here: a column of long ones is of no use. */
#define LITERAL_MAX 4096u

enum shape { SHAPE_WIDE, SHAPE_BITS, SHAPE_TEXT };

struct format {
    enum sfi_cel_type_kind kind;
    const char *format;
    enum shape shape;
};

/* Everything else is the last one. */
static const struct format s_formats[] = {
    {SFI_CEL_TYPE_INT, "l", SHAPE_WIDE},
    {SFI_CEL_TYPE_UINT, "L", SHAPE_WIDE},
    {SFI_CEL_TYPE_DOUBLE, "g", SHAPE_WIDE},
    {SFI_CEL_TYPE_BOOL, "b", SHAPE_BITS},
    {SFI_CEL_TYPE_STRING, "u", SHAPE_TEXT},
    {SFI_CEL_TYPE_BYTES, "z", SHAPE_TEXT},
    {SFI_CEL_TYPE_TIMESTAMP, "tsn:UTC", SHAPE_WIDE},
    {SFI_CEL_TYPE_DURATION, "tDn", SHAPE_WIDE},
    {SFI_CEL_TYPE_DYN, "u", SHAPE_TEXT},
};

struct sfi_cel_export {
    const struct format *format;
    size_t length; /* rows that will come */
    size_t count;  /* rows that are there */
    size_t nulls;
    uint8_t *validity;
    void *values; /* wide ones, bits, or offsets of text */
    struct sfi_buf text;
    const void *buffers[3];
};

shardy_status sfi_cel_export_new(const struct sfi_cel_type *type, size_t length,
                                 struct sfi_cel_export **out, shardy_error *err)
{
    struct sfi_cel_export *made = sfi_calloc(1, sizeof *made);
    size_t last = sizeof s_formats / sizeof s_formats[0] - 1;
    size_t i = 0;
    *out = NULL;
    if (made == NULL) {
        return sfi_fail_memory(err, sizeof *made);
    }
    if (type->kind == SFI_CEL_TYPE_WRAPPER && type->param[0] != NULL) {
        type = type->param[0];
    }
    while (i < last && s_formats[i].kind != type->kind) {
        i++;
    }
    made->format = &s_formats[i];
    made->length = length;
    sfi_buf_init(&made->text, INT32_MAX);
    made->validity = sfi_calloc(length / 8 + 1, 1);
    made->values = made->format->shape == SHAPE_BITS   ? sfi_calloc(length / 8 + 1, 1)
                   : made->format->shape == SHAPE_WIDE ? sfi_calloc(length + 1, 8)
                                                       : sfi_calloc(length + 1, 4);
    if (made->validity == NULL || made->values == NULL) {
        sfi_cel_export_free(made);
        return sfi_fail_memory(err, length * 8);
    }
    *out = made;
    return SHARDY_OK;
}

void sfi_cel_export_free(struct sfi_cel_export *out)
{
    if (out != NULL) {
        sfi_free(out->validity);
        sfi_free(out->values);
        sfi_buf_clear(&out->text);
        sfi_free(out);
    }
}

static shardy_status nanoseconds(struct sfi_cel_value value, uint64_t row, uint64_t *out,
                                 shardy_error *err)
{
    int64_t total;
    if (__builtin_mul_overflow(value.i64, INT64_C(1000000000), &total) ||
        __builtin_add_overflow(total, (int64_t)sfi_cel_nanos(value), &total)) {
        return sfi_fail(err, SHARDY_INPUT,
                        "row %" PRIu64 ": a time of %" PRId64
                        " seconds does not fit 64 bits of nanoseconds",
                        row, value.i64);
    }
    *out = (uint64_t)total;
    return SHARDY_OK;
}

static shardy_status put_text(struct sfi_cel_export *out, struct sfi_cel_value value,
                              shardy_error *err)
{
    if (value.kind == SFI_CEL_STRING || value.kind == SFI_CEL_BYTES) {
        bool is_own = out->format->kind != SFI_CEL_TYPE_DYN;
        if (is_own) {
            (void)sfi_buf_append(&out->text, value.text, value.size);
            return sfi_buf_status(&out->text, "CEL results", err);
        }
    }
    char literal[LITERAL_MAX];
    sfi_cel_value_text(value, literal, sizeof literal);
    (void)sfi_buf_append_text(&out->text, literal);
    return sfi_buf_status(&out->text, "CEL results", err);
}

static shardy_status put_value(struct sfi_cel_export *out, struct sfi_cel_value value, uint64_t row,
                               shardy_error *err)
{
    size_t at = out->count;
    uint8_t bit = (uint8_t)(1u << (at & 7));
    bool is_null = value.kind == SFI_CEL_NULL;
    if (is_null) {
        out->nulls++;
    } else {
        out->validity[at >> 3] |= bit;
    }
    if (out->format->shape == SHAPE_TEXT) {
        if (!is_null) {
            SFI_RETURN_IF_ERR(put_text(out, value, err));
        }
        ((int32_t *)out->values)[at + 1] = (int32_t)out->text.size;
    } else if (out->format->shape == SHAPE_BITS) {
        if (!is_null && value.boolean) {
            ((uint8_t *)out->values)[at >> 3] |= bit;
        }
    } else if (value.kind == SFI_CEL_TIMESTAMP || value.kind == SFI_CEL_DURATION) {
        SFI_RETURN_IF_ERR(nanoseconds(value, row, (uint64_t *)out->values + at, err));
    } else if (!is_null) {
        ((uint64_t *)out->values)[at] = value.u64;
    }
    out->count++;
    return SHARDY_OK;
}

shardy_status sfi_cel_export_block(struct sfi_cel_export *out, const struct sfi_cel_block *block,
                                   size_t count, uint64_t row, shardy_error *err)
{
    for (size_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(put_value(out, sfi_cel_block_value(block, i), row + i, err));
    }
    return SHARDY_OK;
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
    sfi_cel_export_free(array->private_data);
    array->release = NULL;
}

shardy_status sfi_cel_export_finish(struct sfi_cel_export *out, struct ArrowSchema *schema,
                                    struct ArrowArray *array, shardy_error *err)
{
    bool is_text = out->format->shape == SHAPE_TEXT;
    if (is_text && sfi_buf_reserve(&out->text, 1) == NULL) { /* a buffer also for no bytes */
        sfi_cel_export_free(out);
        return sfi_fail_memory(err, 1);
    }
    out->buffers[0] = out->nulls > 0 ? out->validity : NULL;
    out->buffers[1] = out->values;
    out->buffers[2] = out->text.data;
    *schema = (struct ArrowSchema){
        .format = out->format->format,
        .name = "",
        .flags = ARROW_FLAG_NULLABLE,
        .release = release_schema,
    };
    *array = (struct ArrowArray){
        .length = (int64_t)out->length,
        .null_count = (int64_t)out->nulls,
        .n_buffers = is_text ? 3 : 2,
        .buffers = out->buffers,
        .release = release_array,
        .private_data = out,
    };
    return SHARDY_OK;
}
