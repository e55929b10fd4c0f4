/*
 * output_json.c - the `json` and `jsonl` formats, written as they come without a tree in memory.
 *
 * jsonl is one line with ", " and ": "; json is indented by two. Text that is not UTF-8 (from the
 * command line) appears as lone surrogates \udcXX, one a byte. On a terminal DEL and the C1 control
 * characters are escaped too, which means the same to any JSON reader.
 */
#include "output.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "encoding.h"

void json_init(struct json *json, struct out *out, enum output_format format)
{
    *json = (struct json){.out = out, .pretty = format == FORMAT_JSON || format == FORMAT_TABLE};
}

static void indent(struct json *json)
{
    out_text(json->out, "\n");
    for (unsigned i = 0; i < json->depth; i++) {
        out_bytes(json->out, "  ", 2);
    }
}

/* Separator before an element or key. */
static void next_element(struct json *json)
{
    uint64_t bit = UINT64_C(1) << json->depth;

    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->depth == 0) {
        return;
    }
    if ((json->filled & bit) != 0) {
        out_text(json->out, json->pretty ? "," : ", ");
    }
    json->filled |= bit;
    if (json->pretty) {
        indent(json);
    }
}

static void begin(struct json *json, const char *bracket)
{
    next_element(json);
    out_text(json->out, bracket);
    json->depth++;
    json->filled &= ~(UINT64_C(1) << json->depth);
}

static void end(struct json *json, const char *bracket)
{
    bool filled = (json->filled >> json->depth & 1) != 0;

    json->depth--;
    if (filled && json->pretty) {
        indent(json);
    }
    out_text(json->out, bracket);
}

void json_begin_object(struct json *json)
{
    begin(json, "{");
}

void json_end_object(struct json *json)
{
    end(json, "}");
}

void json_begin_list(struct json *json)
{
    begin(json, "[");
}

void json_end_list(struct json *json)
{
    end(json, "]");
}

static void write_escape(struct out *out, uint32_t code)
{
    switch (code) {
    case '"':
        out_text(out, "\\\"");
        break;
    case '\\':
        out_text(out, "\\\\");
        break;
    case '\n':
        out_text(out, "\\n");
        break;
    case '\r':
        out_text(out, "\\r");
        break;
    case '\t':
        out_text(out, "\\t");
        break;
    case '\b':
        out_text(out, "\\b");
        break;
    case '\f':
        out_text(out, "\\f");
        break;
    default:
        out_format(out, "\\u%04" PRIx32, code);
        break;
    }
}

static void write_string(struct out *out, const uint8_t *text, size_t size)
{
    size_t plain = 0; /* start of what was not written yet */
    size_t i = 0;

    out_text(out, "\"");
    while (i < size) {
        uint32_t code;
        bool valid;
        size_t step = utf8_next(text + i, size - i, &code, &valid);
        bool control = code < 0x20 || (out->terminal && code >= 0x7f && code < 0xa0);

        if (!valid || control || code == '"' || code == '\\') {
            out_bytes(out, text + plain, i - plain);
            for (size_t k = 0; !valid && k < step; k++) {
                out_format(out, "\\udc%02x", text[i + k]);
            }
            if (valid) {
                write_escape(out, code);
            }
            plain = i + step;
        }
        i += step;
    }
    out_bytes(out, text + plain, size - plain);
    out_text(out, "\"");
}

void json_key(struct json *json, const char *key)
{
    next_element(json);
    write_string(json->out, (const uint8_t *)key, strlen(key));
    out_text(json->out, ": ");
    json->after_key = true;
}

void json_string(struct json *json, const void *text, size_t size)
{
    next_element(json);
    write_string(json->out, text, size);
}

void json_text(struct json *json, const char *text)
{
    if (text == NULL) {
        json_null(json);
    } else {
        json_string(json, text, strlen(text));
    }
}

void json_int(struct json *json, int64_t number)
{
    next_element(json);
    out_format(json->out, "%" PRId64, number);
}

void json_uint(struct json *json, uint64_t number)
{
    next_element(json);
    out_format(json->out, "%" PRIu64, number);
}

void json_raw(struct json *json, const char *text, size_t size)
{
    next_element(json);
    out_bytes(json->out, text, size);
}

void json_bool(struct json *json, bool value)
{
    next_element(json);
    out_text(json->out, value ? "true" : "false");
}

void json_null(struct json *json)
{
    next_element(json);
    out_text(json->out, "null");
}

void json_decimal(struct json *json, double number, int decimals)
{
    char text[400];
    size_t size;

    next_element(json);
    if (!isfinite(number)) {
        out_text(json->out, isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
        return;
    }
    (void)snprintf(text, sizeof text, "%.*f", decimals, number);
    size = strlen(text);
    while (size > 2 && text[size - 1] == '0' && text[size - 2] != '.') {
        text[--size] = '\0';
    }
    out_bytes(json->out, text, size);
}

void json_logical_key(struct json *json, const shardy_key *key)
{
    if (key == NULL) {
        json_null(json);
    } else if (key->kind == SHARDY_KIND_INT) {
        json_int(json, (int64_t)key->number);
    } else if (key->kind == SHARDY_KIND_UINT) {
        json_uint(json, key->number);
    } else {
        json_string(json, key->data, key->size);
    }
}

void json_begin_result(struct json *json, struct out *out, enum output_format format,
                       const char *op)
{
    json_init(json, out, format);
    json_begin_object(json);
    json_key(json, "op");
    json_text(json, op);
}

void json_end_result(struct json *json)
{
    json_end_object(json);
    out_text(json->out, "\n");
}
