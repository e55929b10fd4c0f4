/*
 * value_text.c - values as CEL literals, as far as there is room. Used in messages and for output;
 * what has no literal is written as the call that makes it.
 */
#include "cel/function.h"
#include "cel/library.h"
#include "cel/time.h"

#define NESTING_MAX 64u /* deeper parts are "..." */

struct writer {
    char *out;
    size_t size; /* of `out`, without room for the NUL */
    size_t used;
    bool full;
};

static void put(struct writer *writer, const char *text, size_t size)
{
    if (size > writer->size - writer->used) {
        writer->full = true;
    }
    if (!writer->full) {
        memcpy(writer->out + writer->used, text, size);
        writer->used += size;
    }
}

static void put_text(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static void put_hex(struct writer *writer, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    char text[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    put(writer, text, 4);
}

/* Bytes of the character at `text`: a whole sequence, or 0 for a byte that is part of none. */
static size_t character_size(const char *text, size_t left)
{
    unsigned char first = (unsigned char)text[0];
    size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    return size <= left && sfi_cel_utf8_valid(text, size) ? size : 0;
}

/* The escape of a character that has one; NULL. */
static const char *escape_of(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

static void put_quoted(struct writer *writer, const char *text, size_t size, bool is_bytes)
{
    put_text(writer, is_bytes ? "b\"" : "\"");
    for (size_t i = 0; i < size && !writer->full;) {
        unsigned char c = (unsigned char)text[i];
        const char *escape = escape_of(c);
        size_t length = is_bytes ? c < 0x80 : character_size(text + i, size - i);
        if (escape != NULL) {
            put_text(writer, escape);
        } else if (c < 0x20 || c == 0x7F || (length == 0 && is_bytes)) {
            put_hex(writer, c);
        } else if (length == 0) {
            put_text(writer, "\\ufffd"); /* not UTF-8: no literal gives this byte */
        } else {
            put(writer, text + i, length);
        }
        i += length > 0 ? length : 1;
    }
    put_text(writer, "\"");
}

static void put_double(struct writer *writer, double number)
{
    char text[32];
    size_t size = sfi_cel_format_double(number, text);
    const char *digits = text + (text[0] == '-');
    if (digits[0] < '0' || digits[0] > '9') { /* nan, inf, -inf */
        put_text(writer, "double(\"");
        put(writer, text, size);
        put_text(writer, "\")");
        return;
    }
    put(writer, text, size);
    if (memchr(text, '.', size) == NULL && memchr(text, 'e', size) == NULL) {
        put_text(writer, ".0");
    }
}

/* timestamp("..."), ip("...") */
static void put_call(struct writer *writer, const char *function, const char *text, size_t size)
{
    put_text(writer, function);
    put_text(writer, "(\"");
    put(writer, text, size);
    put_text(writer, "\")");
}

static void put_value(struct writer *writer, struct sfi_cel_value value, unsigned depth);

static void put_list(struct writer *writer, const struct sfi_cel_list *list, unsigned depth)
{
    put_text(writer, "[");
    for (uint32_t i = 0; i < list->count && !writer->full; i++) {
        put_text(writer, i > 0 ? ", " : "");
        put_value(writer, list->items[i], depth + 1);
    }
    put_text(writer, "]");
}

static void put_map(struct writer *writer, const struct sfi_cel_map *map, unsigned depth)
{
    put_text(writer, "{");
    for (uint32_t i = 0; i < map->count && !writer->full; i++) {
        put_text(writer, i > 0 ? ", " : "");
        put_value(writer, map->entries[i].key, depth + 1);
        put_text(writer, ": ");
        put_value(writer, map->entries[i].value, depth + 1);
    }
    put_text(writer, "}");
}

static void put_optional(struct writer *writer, const struct sfi_cel_value *held, unsigned depth)
{
    if (held == NULL) {
        put_text(writer, "optional.none()");
        return;
    }
    put_text(writer, "optional.of(");
    put_value(writer, *held, depth + 1);
    put_text(writer, ")");
}

/* Values made of others, and what is written as a call. */
static void put_other(struct writer *writer, struct sfi_cel_value value, unsigned depth)
{
    char text[SFI_CEL_TYPE_TEXT];
    switch ((enum sfi_cel_kind)value.kind) {
    case SFI_CEL_TIMESTAMP:
        put_call(writer, "timestamp", text, sfi_cel_timestamp_format(value, text));
        break;
    case SFI_CEL_DURATION:
        put_call(writer, "duration", text, sfi_cel_duration_format(value, text));
        break;
    case SFI_CEL_IP:
        put_call(writer, "ip", text, sfi_cel_network_format(value, text));
        break;
    case SFI_CEL_CIDR:
        put_call(writer, "cidr", text, sfi_cel_network_format(value, text));
        break;
    case SFI_CEL_TYPE:
        sfi_cel_type_text(value.type, text);
        put_text(writer, text);
        break;
    case SFI_CEL_LIST:
        put_list(writer, value.list, depth);
        break;
    case SFI_CEL_MAP:
        put_map(writer, value.map, depth);
        break;
    case SFI_CEL_OPTIONAL:
        put_optional(writer, value.optional, depth);
        break;
    default:
        put_text(writer, "error: ");
        put_text(writer, value.error->text);
        break;
    }
}

static void put_value(struct writer *writer, struct sfi_cel_value value, unsigned depth)
{
    char text[24];
    if (depth > NESTING_MAX) {
        put_text(writer, "...");
        return;
    }
    switch ((enum sfi_cel_kind)value.kind) {
    case SFI_CEL_NULL:
        put_text(writer, "null");
        break;
    case SFI_CEL_BOOL:
        put_text(writer, value.boolean ? "true" : "false");
        break;
    case SFI_CEL_INT:
        put(writer, text, sfi_cel_format_int(value.i64, text));
        break;
    case SFI_CEL_UINT:
        put(writer, text, sfi_cel_format_uint(value.u64, text));
        put_text(writer, "u");
        break;
    case SFI_CEL_DOUBLE:
        put_double(writer, value.f64);
        break;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        put_quoted(writer, value.text, value.size, value.kind == SFI_CEL_BYTES);
        break;
    default:
        put_other(writer, value, depth);
        break;
    }
}

void sfi_cel_value_text(struct sfi_cel_value value, char *out, size_t size)
{
    if (size == 0) {
        return;
    }
    struct writer writer = {out, size - 1, 0, false};
    put_value(&writer, value, 0);
    if (writer.full) {
        size_t keep = size - 1 < 3 ? size - 1 : 3;
        size_t end = writer.used < size - 1 - keep ? writer.used : size - 1 - keep;
        while (end > 0 && end < writer.used && ((unsigned char)out[end] & 0xC0u) == 0x80u) {
            end--; /* not in the middle of a character */
        }
        memcpy(out + end, "...", keep);
        writer.used = end + keep;
    }
    out[writer.used] = '\0';
}
