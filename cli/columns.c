/*
 * columns.c - typed columns for CEL: declarations, values from text and JSON, Arrow buffers.
 */
#include "columns.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "json_shim.h"
#include "keytext.h"
#include "row_batch.h"

static const char *const type_names[] = {
    [COLUMN_INT] = "int",   [COLUMN_UINT] = "uint",     [COLUMN_DOUBLE] = "double",
    [COLUMN_BOOL] = "bool", [COLUMN_STRING] = "string", [COLUMN_BYTES] = "bytes",
};

bool column_type_parse(const char *name, enum column_type *type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *type = (enum column_type)i;
            return true;
        }
    }
    return false;
}

const char *column_type_name(enum column_type type)
{
    return type_names[type];
}

const struct column_spec *column_specs_find(const struct column_specs *specs, const char *name)
{
    for (size_t i = 0; i < specs->count; i++) {
        if (strcmp(specs->items[i].name, name) == 0) {
            return &specs->items[i];
        }
    }
    return NULL;
}

int column_specs_parse(struct cli *cli, const char *option, const struct option_value *values,
                       struct column_specs *specs)
{
    specs->items = cli_zeroed(values->text_count, sizeof *specs->items);
    specs->declared = cli_zeroed(values->text_count, sizeof *specs->declared);
    specs->count = 0;
    for (size_t i = 0; i < values->text_count; i++) {
        const char *text = values->texts[i];
        const char *colon = strrchr(text, ':');
        struct column_spec *spec = &specs->items[specs->count];
        char *name;

        if (colon == NULL || colon == text || !column_type_parse(colon + 1, &spec->type)) {
            return cli_usage_error(cli,
                                   "Invalid value for '%s': '%s' is not NAME:TYPE with a type of "
                                   "int, uint, double, bool, string, bytes.",
                                   option, text);
        }
        name = cli_copy_text(text, (size_t)(colon - text));
        if (column_specs_find(specs, name) != NULL) {
            int code =
                cli_usage_error(cli, "Invalid value for '%s': '%s' is given twice.", option, name);
            cli_free(name);
            return code;
        }
        spec->name = name;
        specs->declared[specs->count] = (shardy_cel_column){name, type_names[spec->type]};
        specs->count++;
    }
    return 0;
}

void column_specs_clear(struct column_specs *specs)
{
    for (size_t i = 0; i < specs->count; i++) {
        cli_free((char *)specs->declared[i].name);
    }
    cli_free(specs->items);
    cli_free(specs->declared);
    *specs = (struct column_specs){0};
}

static const char *parse_int(const char *text, size_t size, shardy_cel_value *value)
{
    bool negative;
    bool fits;
    uint64_t magnitude;

    if (!keytext_integer(text, size, &negative, &magnitude, &fits) || !fits ||
        magnitude > (uint64_t)INT64_MAX + negative) {
        return "an integer of -2^63 .. 2^63-1";
    }
    *value = shardy_cel_int((int64_t)(negative ? UINT64_C(0) - magnitude : magnitude));
    return NULL;
}

static const char *parse_uint(const char *text, size_t size, shardy_cel_value *value)
{
    bool negative;
    bool fits;
    uint64_t magnitude;

    if (!keytext_integer(text, size, &negative, &magnitude, &fits) || !fits ||
        (negative && magnitude != 0)) {
        return "an integer of 0 .. 2^64-1";
    }
    *value = shardy_cel_uint(magnitude);
    return NULL;
}

/* The tool never calls setlocale(): strtod() reads a point. */
static const char *parse_double(const char *text, size_t size, shardy_cel_value *value)
{
    char copy[400];
    char *end;
    double number;

    if (size == 0 || size >= sizeof copy || memchr(text, '\0', size) != NULL ||
        strchr("+-.0123456789infINF", text[0]) == NULL) {
        return "a number";
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    number = strtod(copy, &end);
    if (*end != '\0' || end == copy) {
        return "a number";
    }
    *value = shardy_cel_double(number);
    return NULL;
}

static const char *parse_bool(const char *text, size_t size, shardy_cel_value *value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"True", true},   {"TRUE", true},   {"1", true},
                 {"false", false}, {"False", false}, {"FALSE", false}, {"0", false}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].text) == size && memcmp(words[i].text, text, size) == 0) {
            *value = shardy_cel_bool(words[i].value);
            return NULL;
        }
    }
    return "true or false";
}

const char *column_value_parse(enum column_type type, const char *text, size_t size,
                               struct buffer *bytes, shardy_cel_value *value)
{
    switch (type) {
    case COLUMN_INT:
        return parse_int(text, size, value);
    case COLUMN_UINT:
        return parse_uint(text, size, value);
    case COLUMN_DOUBLE:
        return parse_double(text, size, value);
    case COLUMN_BOOL:
        return parse_bool(text, size, value);
    case COLUMN_STRING:
        if (!json_shim_is_utf8(text, size)) {
            return "valid UTF-8";
        }
        *value = shardy_cel_string(text, size);
        return NULL;
    case COLUMN_BYTES:
        bytes->size = 0;
        if (!encoding_decode(bytes, TEXT_FORMAT_BASE64, text, size)) {
            return "valid base64";
        }
        *value = shardy_cel_bytes(bytes->data, bytes->size);
        return NULL;
    }
    return "of a known type";
}

void column_clear(struct column *column)
{
    buffer_clear(&column->values);
    buffer_clear(&column->ends);
    buffer_clear(&column->validity);
}

static bool is_text(enum column_type type)
{
    return type == COLUMN_STRING || type == COLUMN_BYTES;
}

static void add_bit(struct buffer *bits, size_t row, bool bit)
{
    if (row % 8 == 0) {
        buffer_add_byte(bits, 0);
    }
    bits->data[row / 8] = (char)((unsigned char)bits->data[row / 8] | (unsigned)bit << row % 8);
}

static void add_end(struct column *column)
{
    int32_t end = (int32_t)column->values.size;

    buffer_add(&column->ends, &end, sizeof end);
}

static void add_value(struct column *column, enum column_type type, const shardy_cel_value *value)
{
    bool valid = value->kind != SHARDY_CEL_NULL;

    if (is_text(type)) {
        if (column->rows == 0) {
            add_end(column);
        }
        if (valid) {
            buffer_add(&column->values, value->text, value->size);
        }
        add_end(column);
    } else if (type == COLUMN_BOOL) {
        add_bit(&column->values, column->rows, valid && value->boolean);
    } else {
        uint64_t number = valid ? value->natural : 0;

        buffer_add(&column->values, &number, sizeof number);
    }
    add_bit(&column->validity, column->rows, valid);
    column->nulls += !valid;
    column->rows++;
}

/* Report a value that is not of its column's type. */
static bool fail_value(const struct column_spec *spec, const char *text, size_t size,
                       const char *expected, uint64_t position, struct row_error *error)
{
    char shown[200];

    row_show_key(text, size, shown);
    row_fail(error, position, "column '%s': %s is not %s", spec->name, shown, expected);
    return false;
}

static bool add_parsed(struct column *column, const struct column_spec *spec, const char *text,
                       size_t size, uint64_t position, struct row_error *error)
{
    struct buffer bytes = {0};
    shardy_cel_value value;
    const char *expected = column_value_parse(spec->type, text, size, &bytes, &value);

    if (expected == NULL) {
        add_value(column, spec->type, &value);
    }
    buffer_clear(&bytes);
    return expected == NULL || fail_value(spec, text, size, expected, position, error);
}

bool column_add_text(struct column *column, const struct column_spec *spec, const char *text,
                     size_t size, uint64_t position, struct row_error *error)
{
    if (size == 0 && !is_text(spec->type)) {
        shardy_cel_value null = {.kind = SHARDY_CEL_NULL};

        add_value(column, spec->type, &null);
        return true;
    }
    return add_parsed(column, spec, text, size, position, error);
}

/* A JSON number into a number column. @return false when it does not fit the type */
static bool from_number(enum column_type type, const struct json_member *member,
                        shardy_cel_value *value)
{
    switch (type) {
    case COLUMN_INT:
        *value = shardy_cel_int((int64_t)member->number);
        return member->kind == JSON_NEGATIVE ||
               (member->kind == JSON_UNSIGNED && member->number <= INT64_MAX);
    case COLUMN_UINT:
        *value = shardy_cel_uint(member->number);
        return member->kind == JSON_UNSIGNED;
    case COLUMN_DOUBLE:
        *value = shardy_cel_double(member->kind == JSON_REAL       ? member->real
                                   : member->kind == JSON_NEGATIVE ? (double)(int64_t)member->number
                                                                   : (double)member->number);
        return true;
    default:
        return false;
    }
}

bool column_add_json(struct column *column, const struct column_spec *spec,
                     const struct json_member *member, uint64_t position, struct row_error *error)
{
    shardy_cel_value value = {.kind = SHARDY_CEL_NULL};
    bool fits;

    switch (member->kind) {
    case JSON_MISSING:
    case JSON_NULL:
        fits = true;
        break;
    case JSON_STRING:
        if (is_text(spec->type)) {
            return add_parsed(column, spec, member->text, member->size, position, error);
        }
        return fail_value(spec, member->text, member->size,
                          "a JSON value of the declared type (it is a string)", position, error);
    case JSON_UNSIGNED:
    case JSON_NEGATIVE:
    case JSON_REAL:
        fits = from_number(spec->type, member, &value);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        value = shardy_cel_bool(member->kind == JSON_TRUE);
        fits = spec->type == COLUMN_BOOL;
        break;
    default:
        fits = false;
        break;
    }
    if (!fits) {
        row_fail(error, position, "column '%s' is not %s %s", spec->name,
                 spec->type == COLUMN_INT ? "an" : "a", type_names[spec->type]);
        return false;
    }
    add_value(column, spec->type, &value);
    return true;
}

const char *column_arrow_format(enum column_type type)
{
    static const char *const formats[] = {
        [COLUMN_INT] = "l",  [COLUMN_UINT] = "L",   [COLUMN_DOUBLE] = "g",
        [COLUMN_BOOL] = "b", [COLUMN_STRING] = "u", [COLUMN_BYTES] = "z",
    };

    return formats[type];
}

static void release_column(struct ArrowArray *array)
{
    array->release = NULL;
}

void column_export(struct column *column, const struct column_spec *spec, struct ArrowArray *array)
{
    bool text = is_text(spec->type);

    if (text && column->rows == 0 && column->ends.size == 0) {
        add_end(column);
    }
    buffer_reserve(&column->values, 8); /* data buffers must not be NULL */
    column->buffers[0] = column->nulls > 0 ? column->validity.data : NULL;
    column->buffers[1] = text ? column->ends.data : column->values.data;
    column->buffers[2] = column->values.data;
    *array = (struct ArrowArray){
        .length = (int64_t)column->rows,
        .null_count = (int64_t)column->nulls,
        .n_buffers = text ? 3 : 2,
        .buffers = column->buffers,
        .release = release_column,
    };
}
