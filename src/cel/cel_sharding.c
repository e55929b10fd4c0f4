/*
 * cel_sharding.c - the expression that shards by the values of columns: joined texts, hashed or as
 * they are. The same text as the original's builder gives, so that snapshots of both have it.
 */
#include "cel/cel.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <inttypes.h>

static bool is_one_of(const char *type, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(type, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *type_of(const shardy_cel_column *column)
{
    return column->type == NULL ? "string" : column->type;
}

static shardy_status check(const shardy_cel_column *columns, size_t count, int64_t num_shards,
                           const char *separator, shardy_error *err)
{
    static const char *const types[] = {"bool", "bytes", "double", "int", "string", "uint"};
    if (columns == NULL || count == 0) {
        return sfi_fail(err, SHARDY_CONFIG, "CEL sharding needs at least one column");
    }
    for (size_t i = 0; i < count; i++) {
        if (columns[i].name == NULL || columns[i].name[0] == '\0') {
            return sfi_fail(err, SHARDY_CONFIG, "CEL column %zu has no name", i);
        }
        if (!is_one_of(type_of(&columns[i]), types, sizeof types / sizeof types[0])) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "Unsupported CEL column type: '%.60s' for column '%.200s'. Allowed: "
                            "bool, bytes, double, int, string, uint",
                            type_of(&columns[i]), columns[i].name);
        }
    }
    if (num_shards < 0) {
        return sfi_fail(err, SHARDY_CONFIG, "num_shards must be >= 1; got %" PRId64, num_shards);
    }
    return sfi_utf8_valid(separator, strlen(separator))
               ? SHARDY_OK
               : sfi_fail(err, SHARDY_CONFIG, "separator is not UTF-8");
}

/* One code point of valid UTF-8; moves *at. */
static uint32_t decode(const uint8_t **at)
{
    const uint8_t *p = *at;
    unsigned extra = p[0] < 0x80 ? 0 : p[0] < 0xE0 ? 1 : p[0] < 0xF0 ? 2 : 3;
    uint32_t point = extra == 0 ? p[0] : p[0] & (0x3Fu >> extra);
    for (unsigned i = 1; i <= extra; i++) {
        point = point << 6 | (p[i] & 0x3Fu);
    }
    *at += extra + 1;
    return point;
}

static void put_literal(struct sfi_buf *out, const char *text)
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char escaped[] = "\"\\bfnrt";
    const uint8_t *at = (const uint8_t *)text;
    (void)sfi_buf_append_byte(out, '"');
    while (*at != '\0') {
        uint32_t point = decode(&at);
        const char *known = point < 0x80 ? strchr(plain, (int)point) : NULL;
        if (known != NULL) {
            (void)sfi_buf_printf(out, "\\%c", escaped[known - plain]);
        } else if (point >= 0x20 && point < 0x7F) {
            (void)sfi_buf_append_byte(out, (uint8_t)point);
        } else if (point < 0x10000) {
            (void)sfi_buf_printf(out, "\\u%04x", point);
        } else {
            (void)sfi_buf_printf(out, "\\u%04x\\u%04x", 0xD800 + ((point - 0x10000) >> 10),
                                 0xDC00 + ((point - 0x10000) & 0x3FF));
        }
    }
    (void)sfi_buf_append_byte(out, '"');
}

static void put_inner(struct sfi_buf *out, const shardy_cel_column *columns, size_t count,
                      const char *separator)
{
    static const char *const hashable[] = {"bytes", "int", "string", "uint"};
    for (size_t i = 0; i < count; i++) {
        bool is_plain = count == 1 ? is_one_of(type_of(&columns[i]), hashable, 4)
                                   : strcmp(type_of(&columns[i]), "string") == 0;
        if (i > 0) {
            (void)sfi_buf_append_text(out, " + ");
            put_literal(out, separator);
            (void)sfi_buf_append_text(out, " + ");
        }
        (void)sfi_buf_printf(out, is_plain ? "%s" : "string(%s)", columns[i].name);
    }
}

shardy_status shardy_cel_sharding_by_columns(const shardy_cel_column *columns, size_t column_count,
                                             int64_t num_shards, const char *separator,
                                             char *buffer, size_t capacity, size_t *size,
                                             shardy_error *err)
{
    struct sfi_buf text;
    *size = 0;
    separator = separator == NULL ? ":" : separator;
    SFI_RETURN_IF_ERR(check(columns, column_count, num_shards, separator, err));
    sfi_buf_init(&text, SFI_CEL_MAX_SOURCE);
    (void)sfi_buf_append_text(&text, num_shards > 0 ? "shard_hash(" : "");
    put_inner(&text, columns, column_count, separator);
    if (num_shards > 0) {
        (void)sfi_buf_printf(&text, ") %% %" PRId64 "u", num_shards);
    }
    shardy_status st = sfi_buf_status(&text, "CEL expression", err);
    *size = text.size;
    if (st == SHARDY_OK && text.size >= capacity) {
        st = sfi_fail(err, SHARDY_LIMIT, "the expression has %zu bytes, the buffer %zu", text.size,
                      capacity);
    } else if (st == SHARDY_OK) {
        memcpy(buffer, text.data, text.size + 1);
    }
    sfi_buf_clear(&text);
    return st;
}
