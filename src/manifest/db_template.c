/*
 * db_template.c - shard folder names from a db_path_template: the part of Python's str.format that
 * makes sense for one integer (docs/format/manifest.md). Grouping, "c", conversions, attributes and
 * other fields are refused.
 */
#include "manifest/manifest.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>

/* Wider numbers only make unusable paths. */
#define WIDTH_MAX 64u

/* Parsed format specification of an integer. */
struct spec {
    char fill;
    char align; /* '<', '>', '^', '=' */
    char sign;  /* '-', '+', ' ' */
    bool prefix;
    unsigned width;
    char type; /* 'd', 'b', 'o', 'x', 'X' */
};

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static bool parse_width(const char **at, unsigned *width)
{
    *width = 0;
    while (**at >= '0' && **at <= '9') {
        *width = *width * 10 + (unsigned)(**at - '0');
        if (*width > WIDTH_MAX) {
            return false;
        }
        (*at)++;
    }
    return true;
}

/* [[fill]align][sign][#][0][width][type], ending at the closing brace. */
static bool parse_spec(const char **at, struct spec *spec)
{
    const char *s = *at;
    struct spec parsed = {0, 0, '-', false, 0, 'd'};
    if (*s && *s != '{' && *s != '}' && is_align(s[1])) {
        parsed.fill = s[0];
        parsed.align = s[1];
        s += 2;
    } else if (is_align(*s)) {
        parsed.align = *s++;
    }
    if (*s == '+' || *s == '-' || *s == ' ') {
        parsed.sign = *s++;
    }
    if (*s == '#') {
        parsed.prefix = true;
        s++;
    }
    if (*s == '0') {
        parsed.fill = parsed.fill ? parsed.fill : '0';
        parsed.align = parsed.align ? parsed.align : '=';
        s++;
    }
    if (!parse_width(&s, &parsed.width)) {
        return false;
    }
    if (*s && strchr("bdoxXn", *s)) {
        parsed.type = *s == 'n' ? 'd' : *s;
        s++;
    }
    parsed.fill = parsed.fill ? parsed.fill : ' ';
    parsed.align = parsed.align ? parsed.align : '>';
    *at = s;
    *spec = parsed;
    return *s == '}' && (unsigned char)parsed.fill < 0x80;
}

static size_t write_digits(uint32_t value, char type, char out[40])
{
    const char *letters = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    uint32_t base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'd' ? 10 : 16;
    char reversed[40];
    size_t n = 0;
    do {
        reversed[n++] = letters[value % base];
        value /= base;
    } while (value);
    for (size_t i = 0; i < n; i++) {
        out[i] = reversed[n - 1 - i];
    }
    return n;
}

static void fill(struct sfi_buf *out, char c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sfi_buf_append_byte(out, (uint8_t)c);
    }
}

static void format_number(const struct spec *spec, uint32_t value, struct sfi_buf *out)
{
    char digits[40];
    char lead[4];
    size_t leads = 0;
    size_t n = write_digits(value, spec->type, digits);
    if (spec->sign != '-') {
        lead[leads++] = spec->sign;
    }
    if (spec->prefix && spec->type != 'd') {
        lead[leads++] = '0';
        lead[leads++] = spec->type;
    }
    size_t pad = spec->width > n + leads ? spec->width - n - leads : 0;
    size_t before = spec->align == '>' ? pad : spec->align == '^' ? pad / 2 : 0;
    size_t inside = spec->align == '=' ? pad : 0;
    fill(out, spec->fill, before);
    sfi_buf_append(out, lead, leads);
    fill(out, spec->fill, inside);
    sfi_buf_append(out, digits, n);
    fill(out, spec->fill, pad - before - inside);
}

/* After "{": "db_id}" or "db_id:SPEC}". */
static bool format_field(const char **at, uint32_t db_id, struct sfi_buf *out)
{
    static const char name[] = "db_id";
    struct spec spec = {' ', '>', '-', false, 0, 'd'};
    if (strncmp(*at, name, sizeof name - 1) != 0) {
        return false;
    }
    *at += sizeof name - 1;
    if (**at == ':') {
        (*at)++;
        if (!parse_spec(at, &spec)) {
            return false;
        }
    }
    if (**at != '}') {
        return false;
    }
    (*at)++;
    format_number(&spec, db_id, out);
    return true;
}

static shardy_status format_template(const char *text, uint32_t db_id, struct sfi_buf *out,
                                     shardy_error *err)
{
    const char *at = text;
    while (*at && !out->failed) {
        char c = *at++;
        if (c == '{' && *at != '{') {
            if (!format_field(&at, db_id, out)) {
                c = '\0';
            }
        } else if ((c == '{' || c == '}') && *at != c) {
            c = '\0';
        } else {
            at += c == '{' || c == '}';
            sfi_buf_append_byte(out, (uint8_t)c);
        }
        if (!c) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "db_path_template must support format(db_id=...), for example "
                            "\"db={db_id:05d}\", got \"%.200s\"",
                            text);
        }
    }
    return sfi_buf_status(out, "db_path_template", err);
}

static shardy_status check_pair(const char *db_template, struct sfi_buf *first,
                                struct sfi_buf *second, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    SFI_RETURN_IF_ERR(format_template(db_template, 0, first, err));
    SFI_RETURN_IF_ERR(format_template(db_template, 1, second, err));
    if (sfi_bytes_compare(sfi_buf_view(first), sfi_buf_view(second)) == 0) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "db_path_template must contain {db_id}, or all shards get one path, got "
                        "\"%.200s\"",
                        db_template);
    }
    if (sfi_key_check((const char *)first->data, &why) != SHARDY_OK) {
        return sfi_fail(err, SHARDY_CONFIG, "db_path_template: %s", why.message);
    }
    return SHARDY_OK;
}

shardy_status sfi_db_template_check(const char *db_template, shardy_error *err)
{
    struct sfi_buf first;
    struct sfi_buf second;
    sfi_buf_init(&first, SFI_URL_MAX_BYTES);
    sfi_buf_init(&second, SFI_URL_MAX_BYTES);
    shardy_status st = check_pair(db_template, &first, &second, err);
    sfi_buf_clear(&first);
    sfi_buf_clear(&second);
    return st;
}

shardy_status sfi_shard_key(const char *shard_prefix, const char *run_id, const char *db_template,
                            uint32_t db_id, uint32_t attempt, char **key, shardy_error *err)
{
    struct sfi_buf text;
    shardy_status st;
    *key = NULL;
    sfi_buf_init(&text, SFI_URL_MAX_BYTES);
    sfi_buf_printf(&text, "%s/run_id=%s/", shard_prefix, run_id);
    SFI_TRY(format_template(db_template, db_id, &text, err));
    sfi_buf_printf(&text, "/attempt=%02" PRIu32, attempt);
    SFI_TRY(sfi_buf_status(&text, "shard path", err));
    SFI_TRY(sfi_key_check((const char *)text.data, err));
    *key = sfi_buf_take(&text);
out:
    sfi_buf_clear(&text);
    return st;
}
