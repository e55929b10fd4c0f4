/*
 * row_batch.c - rows on their way to the writer.
 *
 * Keys are converted here, on the parsing threads, where file and line are still known. Integer
 * keys become a uint64 column, others a utf8 or binary column; values are one run of bytes with
 * offsets. Offsets have 32 bits: a piece of input is at most INPUT_RECORD_MAX bytes (input.h) and
 * decoding only shrinks; --value-json of CSV can grow and is checked.
 */
#include "row_batch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json_shim.h"
#include "keytext.h"

static bool has_integer_keys(const struct row_rules *rules)
{
    return rules->key_encoding == SHARDY_KEY_U64BE || rules->key_encoding == SHARDY_KEY_U32BE;
}

static void grow(struct row_batch *batch)
{
    size_t capacity = batch->capacity * 2;

    if (has_integer_keys(batch->rules)) {
        batch->numbers = cli_resize_array(batch->numbers, capacity, sizeof *batch->numbers);
    } else {
        batch->key_ends = cli_resize_array(batch->key_ends, capacity + 1, sizeof *batch->key_ends);
    }
    batch->value_ends =
        cli_resize_array(batch->value_ends, capacity + 1, sizeof *batch->value_ends);
    batch->positions = cli_resize_array(batch->positions, capacity, sizeof *batch->positions);
    batch->capacity = capacity;
}

struct row_batch *row_batch_new(const struct row_rules *rules, size_t input_size)
{
    struct row_batch *batch = cli_zeroed(1, sizeof *batch);

    batch->rules = rules;
    batch->references = 1;
    batch->capacity = 512;
    grow(batch);
    if (batch->key_ends != NULL) {
        batch->key_ends[0] = 0;
    }
    batch->value_ends[0] = 0;
    batch->columns = cli_zeroed(rules->column_count, sizeof *batch->columns);
    if (!rules->columns_only) {
        buffer_reserve(&batch->values, input_size);
    }
    return batch;
}

void row_batch_release(struct row_batch *batch)
{
    /* The writer may let go on a thread of its own. */
    if (batch == NULL || __atomic_sub_fetch(&batch->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (size_t i = 0; i < batch->rules->column_count; i++) {
        column_clear(&batch->columns[i]);
    }
    cli_free(batch->columns);
    cli_free(batch->numbers);
    cli_free(batch->key_ends);
    cli_free(batch->value_ends);
    cli_free(batch->positions);
    buffer_clear(&batch->keys);
    buffer_clear(&batch->values);
    buffer_clear(&batch->scratch);
    cli_free(batch);
}

void row_fail(struct row_error *error, uint64_t position, const char *format, ...)
{
    va_list args;

    if (error->failed) {
        return;
    }
    error->failed = true;
    error->position = position;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
}

void row_show_key(const char *text, size_t size, char buffer[200])
{
    size_t used = 0;
    size_t i = 0;

    buffer[used++] = '\'';
    while (i < size && used < 160) {
        uint32_t code;
        bool valid;
        size_t step = utf8_next((const uint8_t *)text + i, size - i, &code, &valid);

        if (valid && code >= 0x20 && code != 0x7f) {
            memcpy(buffer + used, text + i, step);
            used += step;
        } else {
            used += (size_t)snprintf(buffer + used, 5, "\\x%02x", (unsigned char)text[i]);
            step = 1;
        }
        i += step;
    }
    (void)snprintf(buffer + used, 200 - used, "%s", i < size ? "'..." : "'");
}

bool row_batch_key_number(struct row_batch *batch, uint64_t number, uint64_t position,
                          struct row_error *error)
{
    uint64_t limit = batch->rules->key_encoding == SHARDY_KEY_U32BE ? UINT32_MAX : INT64_MAX;

    if (!has_integer_keys(batch->rules)) {
        row_fail(error, position,
                 "key %" PRIu64 " is a number, but %s keys are text; write it as a string", number,
                 shardy_key_encoding_name(batch->rules->key_encoding));
        return false;
    }
    if (number > limit) {
        row_fail(error, position, "key %" PRIu64 " is out of range: %s keys are 0 .. %" PRIu64,
                 number, shardy_key_encoding_name(batch->rules->key_encoding), limit);
        return false;
    }
    if (batch->rows == batch->capacity) {
        grow(batch);
    }
    batch->numbers[batch->rows] = number;
    return true;
}

/* Digits only, at most 19 of them: the usual integer key. */
static bool plain_number(const char *text, size_t size, uint64_t *number)
{
    uint64_t value = 0;

    if (size == 0 || size > 19) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';

        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static bool integer_key(struct row_batch *batch, const char *text, size_t size, uint64_t position,
                        struct row_error *error)
{
    uint64_t number;
    bool negative = false;
    bool fits = true;
    char shown[200];

    if (plain_number(text, size, &number)) {
        return row_batch_key_number(batch, number, position, error);
    }
    row_show_key(text, size, shown);
    if (!keytext_integer(text, size, &negative, &number, &fits)) {
        row_fail(error, position,
                 "key %s is not an integer (required by %s keys; text keys need "
                 "--key-encoding utf8)",
                 shown, shardy_key_encoding_name(batch->rules->key_encoding));
        return false;
    }
    if (!fits || (negative && number != 0)) {
        row_fail(error, position, "key %s is out of range: %s keys are 0 .. %s", shown,
                 shardy_key_encoding_name(batch->rules->key_encoding),
                 batch->rules->key_encoding == SHARDY_KEY_U32BE ? "4294967295"
                                                                : "9223372036854775807");
        return false;
    }
    return row_batch_key_number(batch, number, position, error);
}

bool row_batch_key_stored(struct row_batch *batch, const void *data, size_t size, uint64_t position,
                          struct row_error *error)
{
    const struct row_rules *rules = batch->rules;
    char shown[200];

    if (has_integer_keys(rules)) {
        shardy_key key = keytext_from_stored(data, size, rules->key_encoding);

        if (key.kind == SHARDY_KIND_UINT) {
            return row_batch_key_number(batch, key.number, position, error);
        }
        row_fail(error, position, "key has %zu bytes: %s keys are %d bytes, big-endian", size,
                 shardy_key_encoding_name(rules->key_encoding),
                 rules->key_encoding == SHARDY_KEY_U32BE ? 4 : 8);
        return false;
    }
    if (rules->key_encoding == SHARDY_KEY_UTF8 && !json_shim_is_utf8(data, size)) {
        row_show_key(data, size, shown);
        row_fail(error, position, "key %s is not valid UTF-8 (use --key-encoding raw)", shown);
        return false;
    }
    if (batch->rows == batch->capacity) {
        grow(batch);
    }
    buffer_add(&batch->keys, data, size);
    return true;
}

bool row_batch_key_text(struct row_batch *batch, const char *text, size_t size, uint64_t position,
                        struct row_error *error)
{
    const struct row_rules *rules = batch->rules;
    char shown[200];

    if (rules->key_format == TEXT_FORMAT_TEXT) {
        return has_integer_keys(rules) ? integer_key(batch, text, size, position, error)
                                       : row_batch_key_stored(batch, text, size, position, error);
    }
    batch->scratch.size = 0;
    if (!encoding_decode(&batch->scratch, rules->key_format, text, size)) {
        row_show_key(text, size, shown);
        row_fail(error, position, "key %s is not valid %s", shown,
                 rules->key_format == TEXT_FORMAT_HEX ? "hex" : "base64");
        return false;
    }
    return row_batch_key_stored(batch, batch->scratch.data, batch->scratch.size, position, error);
}

bool row_batch_value_text(struct row_batch *batch, const char *text, size_t size, uint64_t position,
                          struct row_error *error)
{
    char shown[200];

    if (!encoding_decode(&batch->values, batch->rules->value_format, text, size)) {
        row_show_key(text, size, shown);
        row_fail(error, position, "value %s is not valid %s", shown,
                 batch->rules->value_format == TEXT_FORMAT_HEX ? "hex" : "base64");
        return false;
    }
    return true;
}

void row_batch_end(struct row_batch *batch, uint64_t position)
{
    size_t next = batch->rows + 1;

    if (batch->rows == batch->capacity) {
        grow(batch); /* a row without a key */
    }
    if (batch->key_ends != NULL) {
        batch->key_ends[next] = (int32_t)batch->keys.size;
    }
    batch->value_ends[next] = (int32_t)batch->values.size;
    batch->positions[batch->rows] = (uint32_t)position;
    batch->rows = next;
}

void row_batch_get(const struct row_batch *batch, size_t i, shardy_key *key, const void **value,
                   size_t *value_size)
{
    if (batch->numbers != NULL) {
        *key = shardy_key_int((int64_t)batch->numbers[i]);
    } else {
        const char *data = batch->keys.data + batch->key_ends[i];
        size_t size = (size_t)(batch->key_ends[i + 1] - batch->key_ends[i]);

        *key = batch->rules->key_encoding == SHARDY_KEY_UTF8 ? shardy_key_str(data, size)
                                                             : shardy_key_bytes(data, size);
    }
    *value = batch->values.data + batch->value_ends[i];
    *value_size = (size_t)(batch->value_ends[i + 1] - batch->value_ends[i]);
}
