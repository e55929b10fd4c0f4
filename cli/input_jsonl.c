/*
 * input_jsonl.c - JSON Lines: one object a line, checked strictly by simdjson (json_shim.cc).
 *
 * The key is a string or an integer, the value a string (decoded by --value-encoding) or any other
 * JSON, which is stored as its compact text. --value-json stores the compact text of the whole
 * line; numbers and escapes keep their spelling.
 */
#include "input.h"

#include <string.h>

#include "json_shim.h"

size_t jsonl_cut(const char *data, size_t size)
{
    const char *last = memrchr(data, '\n', size);

    return last == NULL ? 0 : (size_t)(last - data) + 1;
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* End of the string that starts at `at`, in valid compact JSON. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\') {
            at++;
        }
    }
    return at + 1;
}

/* End of the value that starts at `at`, in valid compact JSON. */
static const char *skip_value(const char *at)
{
    unsigned depth = 0;

    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) {
                return at;
            }
            depth--;
        } else if (*at == ',' && depth == 0) {
            return at;
        }
        at++;
    } while (depth > 0 || (*at != ',' && *at != '}' && *at != ']'));
    return at;
}

/* Text of member `position` of the compact object `text`. */
static void find_raw_member(const char *text, size_t position, const char **value, size_t *size)
{
    const char *at = text + 1;
    const char *end;

    for (;;) {
        at = skip_string(at) + 1; /* name and colon */
        end = skip_value(at);
        if (position-- == 0) {
            break;
        }
        at = end + 1;
    }
    *value = at;
    *size = (size_t)(end - at);
}

static const char *minify(struct row_batch *batch, const char *line, size_t size,
                          size_t *compact_size)
{
    batch->scratch.size = 0;
    buffer_reserve(&batch->scratch, size + JSON_SHIM_PADDING);
    *compact_size = json_shim_minify(line, size, batch->scratch.data);
    return batch->scratch.data;
}

static bool add_key(struct row_batch *batch, const struct json_member *key, const char *line,
                    size_t size, uint64_t position, struct row_error *error)
{
    const char *name = batch->rules->key_name;
    const char *text;
    char shown[200];

    switch (key->kind) {
    case JSON_STRING:
        return row_batch_key_text(batch, key->text, key->size, position, error);
    case JSON_UNSIGNED:
        return row_batch_key_number(batch, key->number, position, error);
    case JSON_MISSING:
        row_fail(error, position, "the object has no key column '%s'", name);
        return false;
    case JSON_NULL:
        row_fail(error, position, "key column '%s' is null", name);
        return false;
    default:
        break;
    }
    find_raw_member(minify(batch, line, size, &size), key->member, &text, &size);
    row_show_key(text, size, shown);
    row_fail(error, position, "key %s is neither a string nor an integer of 0 or more", shown);
    return false;
}

static bool add_value(struct row_batch *batch, const struct json_member *value, const char *line,
                      size_t size, uint64_t position, struct row_error *error)
{
    const struct row_rules *rules = batch->rules;
    const char *text;

    if (rules->value_json) {
        text = minify(batch, line, size, &size);
        buffer_add(&batch->values, text, size);
        return true;
    }
    if (value->kind == JSON_STRING) {
        return row_batch_value_text(batch, value->text, value->size, position, error);
    }
    if (value->kind == JSON_MISSING) {
        row_fail(error, position, "the object has no value column '%s'", rules->value_name);
        return false;
    }
    if (value->kind == JSON_NULL) {
        row_fail(error, position, "value column '%s' is null", rules->value_name);
        return false;
    }
    if (rules->value_format != TEXT_FORMAT_TEXT) {
        row_fail(error, position, "value column '%s' is not a string", rules->value_name);
        return false;
    }
    find_raw_member(minify(batch, line, size, &size), value->member, &text, &size);
    buffer_add(&batch->values, text, size);
    return true;
}

/* What is looked for in every line: key, value, columns. */
static struct json_wanted *wanted_of(const struct row_rules *rules)
{
    struct json_wanted *wanted = cli_zeroed(2 + rules->column_count, sizeof *wanted);

    wanted[0].name = rules->columns_only ? NULL : rules->key_name;
    wanted[1].name = rules->columns_only || rules->value_json ? NULL : rules->value_name;
    for (size_t i = 0; i < rules->column_count; i++) {
        wanted[2 + i].name = rules->columns[i].name;
    }
    for (size_t i = 0; i < 2 + rules->column_count; i++) {
        wanted[i].name_size = wanted[i].name != NULL ? strlen(wanted[i].name) : 0;
    }
    return wanted;
}

static bool parse_line(struct json_shim *shim, struct row_batch *batch, struct json_wanted *wanted,
                       const char *line, size_t size, uint64_t position, struct row_error *error)
{
    const struct row_rules *rules = batch->rules;
    const char *problem;

    if (is_blank(line, size)) {
        return true;
    }
    problem = json_shim_find(shim, line, size, wanted, 2 + rules->column_count);
    if (problem != NULL) {
        row_fail(error, position, "not a JSON object: %s", problem);
        return false;
    }
    if (!rules->columns_only &&
        (!add_key(batch, &wanted[0].found, line, size, position, error) ||
         !add_value(batch, &wanted[1].found, line, size, position, error))) {
        return false;
    }
    for (size_t i = 0; i < rules->column_count; i++) {
        if (!column_add_json(&batch->columns[i], &rules->columns[i], &wanted[2 + i].found, position,
                             error)) {
            return false;
        }
    }
    row_batch_end(batch, position);
    return true;
}

void jsonl_parse_piece(struct json_shim *shim, const struct input_piece *piece,
                       struct row_batch *batch, struct row_error *error)
{
    const char *at = piece->data;
    const char *end = piece->data + piece->size;
    uint64_t position = 0;
    struct json_wanted *wanted = wanted_of(batch->rules);

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline != NULL ? newline : end) - at);

        if (!parse_line(shim, batch, wanted, at, size, position, error)) {
            break;
        }
        at += size + 1;
        position++;
    }
    batch->line_count = position;
    cli_free(wanted);
}
