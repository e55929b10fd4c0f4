/*
 * json_write.c - canonical JSON text, flavours J1 and J2 of docs/format/manifest.md: sorted
 * members, ASCII only, numbers as Python writes them. Parsing is json.c.
 */
#include "base/json.h"

#include "base/limits.h"
#include "base/memory.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * One code point of UTF-8 (or an encoded surrogate); U+FFFD for bytes that are not. Advances *at.
 */
static uint32_t next_code_point(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *s = *at;
    uint32_t lead = *s;
    unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    *at = s + 1;
    if (lead < 0x80) {
        return lead;
    }
    if (lead < 0xC2 || lead > 0xF4 || (size_t)(end - s) <= more) {
        return 0xFFFD;
    }
    uint32_t c = lead & (0x3Fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((s[i] & 0xC0u) != 0x80u) {
            return 0xFFFD;
        }
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (c < least[more] || c > 0x10FFFF) {
        return 0xFFFD;
    }
    *at = s + more + 1;
    return c;
}

static bool write_escape(uint32_t c, struct sfi_buf *out)
{
    static const char codes[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *found = c && c < 0x80 ? strchr(codes, (int)c) : NULL;
    if (found) {
        const char pair[2] = {'\\', letters[found - codes]};
        return sfi_buf_append(out, pair, 2);
    }
    if (c < 0x10000) {
        return sfi_buf_printf(out, "\\u%04x", (unsigned)c);
    }
    c -= 0x10000;
    return sfi_buf_printf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + (c >> 10)),
                          (unsigned)(0xDC00 + (c & 0x3FF)));
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

bool sfi_json_write_string(struct sfi_bytes text, struct sfi_buf *out)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.size ? text.data + text.size : at;
    bool ok = sfi_buf_append_byte(out, '"');
    while (ok && at < end) {
        const uint8_t *run = at;
        while (at < end && is_plain(*at)) {
            at++;
        }
        ok = sfi_buf_append(out, run, (size_t)(at - run));
        if (ok && at < end) {
            ok = write_escape(next_code_point(&at, end), out);
        }
    }
    return ok && sfi_buf_append_byte(out, '"');
}

/* Fewest significant digits that read back as the same double, as d.ddde+xx. */
static void shortest_digits(double value, char *text, size_t size)
{
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, size, "%.*e", precision, value);
        if (strtod(text, NULL) == value) {
            return;
        }
    }
}

/* Python's repr: positional for exponents -4 .. 15, otherwise d.ddde+xx. */
static bool write_finite(double value, struct sfi_buf *out)
{
    char text[40];
    char digits[24];
    size_t n = 0;
    shortest_digits(value, text, sizeof text);
    const char *mantissa = text[0] == '-' ? text + 1 : text;
    const char *mark = strchr(text, 'e');
    int exponent = (int)strtol(mark + 1, NULL, 10);
    for (const char *c = mantissa; c < mark; c++) {
        if (*c != '.') {
            digits[n++] = *c;
        }
    }
    if (text[0] == '-') {
        sfi_buf_append_byte(out, '-');
    }
    if (exponent < -4 || exponent >= 16) {
        sfi_buf_append(out, mantissa, (size_t)(mark - mantissa));
        return sfi_buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    }
    if (exponent < 0) {
        sfi_buf_append(out, "0.0000", (size_t)(1 - exponent));
        return sfi_buf_append(out, digits, n);
    }
    for (size_t i = 0; i < n || i <= (size_t)exponent + 1; i++) {
        if (i == (size_t)exponent + 1) {
            sfi_buf_append_byte(out, '.');
        }
        sfi_buf_append_byte(out, (uint8_t)(i < n ? digits[i] : '0'));
    }
    return !out->failed;
}

bool sfi_json_write_double(double value, struct sfi_buf *out)
{
    if (isnan(value)) {
        return sfi_buf_append_text(out, "NaN");
    }
    if (isinf(value)) {
        return sfi_buf_append_text(out, value < 0 ? "-Infinity" : "Infinity");
    }
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = uselocale(c_locale);
    bool ok = write_finite(value, out);
    uselocale(old);
    freelocale(c_locale);
    return ok;
}

static bool write_number(struct sfi_bytes text, struct sfi_buf *out)
{
    double value;
    bool integer = true;
    for (size_t i = 0; i < text.size; i++) {
        integer = integer && (text.data[i] == '-' || (text.data[i] >= '0' && text.data[i] <= '9'));
    }
    if (sfi_json_text_is(text, "-0")) {
        return sfi_buf_append_byte(out, '0');
    }
    if (integer || text.data[text.size - 1] == 'y' || text.data[0] == 'N') {
        return sfi_buf_append(out, text.data, text.size);
    }
    return sfi_json_double(text, &value) && sfi_json_write_double(value, out);
}

struct entry {
    const struct sfi_json *value;
    size_t order;
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int c = sfi_bytes_compare(a->value->name, b->value->name);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

static bool write_object(const struct sfi_json *value, enum sfi_json_style style,
                         struct sfi_buf *out)
{
    struct entry *entries = sfi_array_alloc(value->count, sizeof *entries);
    size_t n = 0;
    bool first = true;
    if (!entries) {
        sfi_buf_clear(out);
        out->failed = true;
        out->no_memory = true;
        return false;
    }
    for (const struct sfi_json *m = value->child; m; m = m->next) {
        entries[n].value = m;
        entries[n].order = n;
        n++;
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    sfi_buf_append_byte(out, '{');
    for (size_t i = 0; i < n && !out->failed; i++) {
        const struct sfi_json *m = entries[i].value;
        if (i + 1 < n && sfi_bytes_compare(m->name, entries[i + 1].value->name) == 0) {
            continue;
        }
        if (!first) {
            sfi_buf_append_text(out, style == SFI_JSON_SPACED ? ", " : ",");
        }
        first = false;
        sfi_json_write_string(m->name, out);
        sfi_buf_append_text(out, style == SFI_JSON_SPACED ? ": " : ":");
        sfi_json_write(m, style, out);
    }
    sfi_free(entries);
    return sfi_buf_append_byte(out, '}');
}

static bool write_array(const struct sfi_json *value, enum sfi_json_style style,
                        struct sfi_buf *out)
{
    sfi_buf_append_byte(out, '[');
    for (const struct sfi_json *m = value->child; m && !out->failed; m = m->next) {
        if (m != value->child) {
            sfi_buf_append_text(out, style == SFI_JSON_SPACED ? ", " : ",");
        }
        sfi_json_write(m, style, out);
    }
    return sfi_buf_append_byte(out, ']');
}

bool sfi_json_write(const struct sfi_json *value, enum sfi_json_style style, struct sfi_buf *out)
{
    switch (value->kind) {
    case SFI_JSON_NULL:
        return sfi_buf_append_text(out, "null");
    case SFI_JSON_BOOL:
        return sfi_buf_append_text(out, value->truth ? "true" : "false");
    case SFI_JSON_NUMBER:
        return write_number(value->text, out);
    case SFI_JSON_STRING:
        return sfi_json_write_string(value->text, out);
    case SFI_JSON_ARRAY:
        return write_array(value, style, out);
    case SFI_JSON_OBJECT:
        return write_object(value, style, out);
    }
    return false;
}

shardy_status sfi_json_canonical(struct sfi_bytes text, enum sfi_json_style style,
                                 struct sfi_buf *out, shardy_error *err)
{
    struct sfi_json_doc doc;
    SFI_RETURN_IF_ERR(sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err));
    shardy_status st = SHARDY_OK;
    if (doc.root->kind != SFI_JSON_OBJECT) {
        st = sfi_fail(err, SHARDY_INPUT, "JSON text is not an object");
    } else if (!sfi_json_write(doc.root, style, out)) {
        st = sfi_buf_status(out, "JSON text", err);
    }
    sfi_json_clear(&doc);
    return st;
}
