/*
 * json.c - parse JSON texts into a small tree, or validate them without building one.
 *
 * One recursive descent serves both: without an output value nothing is allocated. Depth and size
 * are bounded by limits.h. Writing is json_write.c.
 */
#include "base/json.h"

#include "base/limits.h"
#include "base/memory.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

#define BLOCK_BYTES 4000u

struct sfi_json_block {
    struct sfi_json_block *next;
    size_t used;
    size_t size;
    _Alignas(16) uint8_t bytes[];
};

struct parser {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    unsigned flags;
    unsigned depth;
    struct sfi_json_doc *doc; /* NULL: validate only */
    shardy_error *err;
};

static shardy_status parse_value(struct parser *p, struct sfi_json *out);

static shardy_status bad(const struct parser *p, const char *what)
{
    return sfi_fail(p->err, SHARDY_INPUT, "invalid JSON at byte %zu: %s",
                    (size_t)(p->at - p->start), what);
}

/* Memory that lives as long as the document. */
static void *doc_alloc(struct sfi_json_doc *doc, size_t size)
{
    struct sfi_json_block *block = doc->blocks;
    size = (size + 15) & ~(size_t)15;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = sfi_malloc(sizeof *block + room);
        if (!block) {
            return NULL;
        }
        block->next = doc->blocks;
        block->used = 0;
        block->size = room;
        doc->blocks = block;
    }
    void *result = block->bytes + block->used;
    block->used += size;
    return result;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) {
        p->at++;
    }
}

static bool take(struct parser *p, char c)
{
    bool ok = p->at < p->end && *p->at == (uint8_t)c;
    p->at += ok;
    return ok;
}

static bool take_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    bool ok = (size_t)(p->end - p->at) >= n && memcmp(p->at, word, n) == 0;
    p->at += ok ? n : 0;
    return ok;
}

static bool take_hex4(struct parser *p, uint32_t *out)
{
    uint32_t value = 0;
    if (p->end - p->at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        uint8_t c = p->at[i];
        uint8_t lower = c | 0x20u;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
    }
    p->at += 4;
    *out = value;
    return true;
}

static size_t put_code_point(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* After "\u": the code point, joining a surrogate pair when both halves are there. */
static bool take_unicode(struct parser *p, uint32_t *c)
{
    uint32_t low;
    if (!take_hex4(p, c)) {
        return false;
    }
    if (*c >= 0xD800 && *c <= 0xDBFF && p->end - p->at >= 6 && p->at[0] == '\\' &&
        p->at[1] == 'u') {
        const uint8_t *back = p->at;
        p->at += 2;
        if (!take_hex4(p, &low)) {
            return false;
        }
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
        } else {
            p->at = back;
        }
    }
    return true;
}

static shardy_status take_escape(struct parser *p, uint32_t *c)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *found = p->at < p->end && *p->at ? strchr(names, *p->at) : NULL;
    if (found) {
        p->at++;
        *c = (uint8_t)values[found - names];
        return SHARDY_OK;
    }
    if (take(p, 'u') && take_unicode(p, c)) {
        return SHARDY_OK;
    }
    return bad(p, "unknown escape in a string");
}

/* End of the string that starts at `at` (after its quote), or NULL when it is not closed. */
static const uint8_t *string_end(const struct parser *p)
{
    const uint8_t *at = p->at;
    while (at < p->end && *at != '"') {
        at += *at == '\\' && p->end - at > 1 ? 2 : 1;
    }
    return at < p->end ? at : NULL;
}

/* `out` may be NULL. Decoded text is never longer than the source, so one allocation is enough. */
static shardy_status parse_string(struct parser *p, struct sfi_bytes *out)
{
    uint8_t *decoded = NULL;
    size_t n = 0;
    if (!take(p, '"')) {
        return bad(p, "expected a string");
    }
    const uint8_t *stop = string_end(p);
    if (!stop) {
        return bad(p, "string without end");
    }
    if (!sfi_utf8_valid(p->at, (size_t)(stop - p->at))) {
        return bad(p, "string is not UTF-8");
    }
    if (out) {
        decoded = doc_alloc(p->doc, (size_t)(stop - p->at) + 1);
        if (!decoded) {
            return sfi_fail_memory(p->err, (size_t)(stop - p->at) + 1);
        }
    }
    while (p->at < stop) {
        uint8_t scratch[4];
        uint32_t c = *p->at;
        if (c < 0x20) {
            return bad(p, "control character in a string");
        }
        p->at++;
        if (c == '\\') {
            SFI_RETURN_IF_ERR(take_escape(p, &c));
            n += put_code_point(decoded ? decoded + n : scratch, c);
        } else if (decoded) {
            decoded[n++] = (uint8_t)c;
        }
    }
    p->at = stop + 1;
    if (out) {
        decoded[n] = 0;
        out->data = decoded;
        out->size = n;
    }
    return SHARDY_OK;
}

static bool take_digits(struct parser *p)
{
    const uint8_t *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        p->at++;
    }
    return p->at > start;
}

static shardy_status parse_number(struct parser *p, struct sfi_json *out)
{
    const uint8_t *start = p->at;
    bool python = false;
    take(p, '-');
    if ((p->flags & SFI_JSON_PYTHON_TOKENS) &&
        (take_word(p, "Infinity") || (p->at == start && take_word(p, "NaN")))) {
        python = true;
    } else if (!take(p, '0') && !take_digits(p)) {
        return bad(p, "expected a value");
    }
    if (!python && take(p, '.') && !take_digits(p)) {
        return bad(p, "digits missing after the decimal point");
    }
    if (!python && (take(p, 'e') || take(p, 'E'))) {
        if (!take(p, '+')) {
            take(p, '-');
        }
        if (!take_digits(p)) {
            return bad(p, "digits missing in the exponent");
        }
    }
    size_t size = (size_t)(p->at - start);
    if (size > SFI_JSON_NUMBER_MAX) {
        return bad(p, "number is longer than 512 characters");
    }
    if (!out) {
        return SHARDY_OK;
    }
    uint8_t *copy = doc_alloc(p->doc, size + 1);
    if (!copy) {
        return sfi_fail_memory(p->err, size + 1);
    }
    memcpy(copy, start, size);
    copy[size] = 0;
    out->kind = SFI_JSON_NUMBER;
    out->text.data = copy;
    out->text.size = size;
    return SHARDY_OK;
}

/* Add an empty child; *child stays NULL when only validating. */
static shardy_status add_child(struct parser *p, struct sfi_json *parent, struct sfi_json **tail,
                               struct sfi_json **child)
{
    *child = NULL;
    if (!parent) {
        return SHARDY_OK;
    }
    *child = doc_alloc(p->doc, sizeof **child);
    if (!*child) {
        return sfi_fail_memory(p->err, sizeof **child);
    }
    memset(*child, 0, sizeof **child);
    if (*tail) {
        (*tail)->next = *child;
    } else {
        parent->child = *child;
    }
    *tail = *child;
    parent->count++;
    return SHARDY_OK;
}

/* Quadratic, and only used for objects with few members: larger ones are refused. */
static shardy_status check_unique(struct parser *p, const struct sfi_json *object)
{
    if (!(p->flags & SFI_JSON_UNIQUE_KEYS) || !object) {
        return SHARDY_OK;
    }
    if (object->count > 1000) {
        return bad(p, "object has more than 1000 members");
    }
    for (const struct sfi_json *a = object->child; a; a = a->next) {
        for (const struct sfi_json *b = a->next; b; b = b->next) {
            if (sfi_bytes_compare(a->name, b->name) == 0) {
                return sfi_fail(p->err, SHARDY_INPUT, "invalid JSON: duplicate key \"%.60s\"",
                                (const char *)a->name.data);
            }
        }
    }
    return SHARDY_OK;
}

static shardy_status parse_container(struct parser *p, struct sfi_json *out, bool is_object)
{
    struct sfi_json *tail = NULL;
    struct sfi_json *child;
    char close = is_object ? '}' : ']';
    if (out) {
        out->kind = is_object ? SFI_JSON_OBJECT : SFI_JSON_ARRAY;
    }
    p->at++;
    skip_space(p);
    if (take(p, close)) {
        return SHARDY_OK;
    }
    do {
        SFI_RETURN_IF_ERR(add_child(p, out, &tail, &child));
        if (is_object) {
            skip_space(p);
            SFI_RETURN_IF_ERR(parse_string(p, child ? &child->name : NULL));
            skip_space(p);
            if (!take(p, ':')) {
                return bad(p, "expected ':'");
            }
        }
        SFI_RETURN_IF_ERR(parse_value(p, child));
    } while (take(p, ','));
    if (!take(p, close)) {
        return bad(p, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    return is_object ? check_unique(p, out) : SHARDY_OK;
}

/* A value with the white space around it. */
static shardy_status parse_value(struct parser *p, struct sfi_json *out)
{
    shardy_status st = SHARDY_OK;
    skip_space(p);
    uint8_t c = p->at < p->end ? *p->at : 0;
    if (c == '{' || c == '[') {
        if (++p->depth > SFI_JSON_MAX_DEPTH) {
            return sfi_fail(p->err, SHARDY_LIMIT, "JSON is nested deeper than %u levels",
                            SFI_JSON_MAX_DEPTH);
        }
        st = parse_container(p, out, c == '{');
        p->depth--;
    } else if (c == '"') {
        if (out) {
            out->kind = SFI_JSON_STRING;
        }
        st = parse_string(p, out ? &out->text : NULL);
    } else if (take_word(p, "true") || take_word(p, "false")) {
        if (out) {
            out->kind = SFI_JSON_BOOL;
            out->truth = c == 't';
        }
    } else if (!take_word(p, "null")) {
        st = parse_number(p, out);
    }
    skip_space(p);
    return st;
}

static shardy_status parse_text(struct parser *p, struct sfi_bytes text, struct sfi_json *root)
{
    static const uint8_t nothing[1];
    p->start = text.size ? text.data : nothing;
    p->at = p->start;
    p->end = p->start + text.size;
    if (text.size > SFI_JSON_MAX_BYTES) {
        return sfi_fail(p->err, SHARDY_LIMIT, "JSON text has %zu bytes, the limit is %u", text.size,
                        SFI_JSON_MAX_BYTES);
    }
    SFI_RETURN_IF_ERR(parse_value(p, root));
    return p->at == p->end ? SHARDY_OK : bad(p, "text after the value");
}

shardy_status sfi_json_parse(struct sfi_bytes text, unsigned flags, struct sfi_json_doc *doc,
                             shardy_error *err)
{
    struct parser p = {.flags = flags, .doc = doc, .err = err};
    memset(doc, 0, sizeof *doc);
    doc->root = doc_alloc(doc, sizeof *doc->root);
    if (!doc->root) {
        return sfi_fail_memory(err, sizeof *doc->root);
    }
    memset(doc->root, 0, sizeof *doc->root);
    shardy_status st = parse_text(&p, text, doc->root);
    if (st != SHARDY_OK) {
        sfi_json_clear(doc);
    }
    return st;
}

void sfi_json_clear(struct sfi_json_doc *doc)
{
    struct sfi_json_block *block = doc->blocks;
    while (block) {
        struct sfi_json_block *next = block->next;
        sfi_free(block);
        block = next;
    }
    memset(doc, 0, sizeof *doc);
}

shardy_status sfi_json_check_object(struct sfi_bytes text, shardy_error *err)
{
    struct parser p = {.flags = SFI_JSON_PYTHON_TOKENS, .err = err};
    SFI_RETURN_IF_ERR(parse_text(&p, text, NULL));
    const uint8_t *at = text.data;
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') {
        at++;
    }
    return *at == '{' ? SHARDY_OK : sfi_fail(err, SHARDY_INPUT, "JSON text is not an object");
}

bool sfi_json_text_is(struct sfi_bytes text, const char *expected)
{
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

const struct sfi_json *sfi_json_member(const struct sfi_json *object, const char *name)
{
    const struct sfi_json *found = NULL;
    if (object && object->kind == SFI_JSON_OBJECT) {
        for (const struct sfi_json *m = object->child; m; m = m->next) {
            found = sfi_json_text_is(m->name, name) ? m : found;
        }
    }
    return found;
}

bool sfi_json_double(struct sfi_bytes text, double *value)
{
    char copy[SFI_JSON_NUMBER_MAX + 1];
    char *stop;
    if (!text.size || text.size > SFI_JSON_NUMBER_MAX) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = uselocale(c_locale);
    *value = strtod(copy, &stop);
    uselocale(old);
    freelocale(c_locale);
    return stop == copy + text.size;
}

/* Digits only, with an optional sign. */
static bool plain_integer(struct sfi_bytes text, bool *negative, uint64_t *number)
{
    size_t i = text.size && (text.data[0] == '-' || text.data[0] == '+');
    uint64_t value = 0;
    *negative = i && text.data[0] == '-';
    if (i == text.size) {
        return false;
    }
    for (; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (*negative && value > UINT64_C(1) << 63) {
        return false;
    }
    *number = *negative ? 0 - value : value;
    *negative = *negative && value;
    return true;
}

bool sfi_json_integer_text(struct sfi_bytes text, bool *negative, uint64_t *number)
{
    double value;
    if (plain_integer(text, negative, number)) {
        return true;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!memchr("+-.0123456789eE", text.data[i], 15)) {
            return false;
        }
    }
    if (!sfi_json_double(text, &value) || value != trunc(value) || fabs(value) >= 9.2e18) {
        return false;
    }
    *negative = value < 0;
    *number = (uint64_t)(int64_t)value;
    return true;
}

bool sfi_json_integer(const struct sfi_json *value, bool *negative, uint64_t *number)
{
    if (value->kind == SFI_JSON_BOOL) {
        *negative = false;
        *number = value->truth;
        return true;
    }
    return (value->kind == SFI_JSON_NUMBER || value->kind == SFI_JSON_STRING) &&
           sfi_json_integer_text(value->text, negative, number);
}
