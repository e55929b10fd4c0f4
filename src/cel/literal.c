/*
 * literal.c - values of number, string and bytes literals: cel-spec, doc/langdef.md, "Numeric
 * Values" and "String and Bytes Values".
 */
#include "cel/parser_internal.h"

#include "cel/number.h"

#include <math.h>

static bool literal_double(struct sfi_cel_parser *parser, struct sfi_cel_token token,
                           bool is_negative, struct sfi_cel_value *value)
{
    double number;
    if (!sfi_cel_parse_double(parser->ast->source + token.start, token.end - token.start,
                              &number) ||
        isinf(number)) {
        char shown[SFI_CEL_TOKEN_TEXT];
        sfi_cel_parser_fail(parser, token.start, "%s is out of the range of double (1.8e308)",
                            sfi_cel_token_text(&parser->lexer, token, shown));
        return false;
    }
    *value = sfi_cel_double(is_negative ? -number : number);
    return true;
}

/* Digits of either base; false: more than 64 bits. */
static bool parse_digits(const char *text, uint32_t size, uint64_t *number)
{
    bool is_hex = size > 2 && (text[1] | 0x20) == 'x';
    *number = 0;
    for (uint32_t i = is_hex ? 2 : 0; i < size; i++) {
        uint64_t digit = (uint64_t)sfi_cel_hex_digit(text[i]);
        if (__builtin_mul_overflow(*number, is_hex ? 16u : 10u, number) ||
            __builtin_add_overflow(*number, digit, number)) {
            return false;
        }
    }
    return true;
}

bool sfi_cel_literal_number(struct sfi_cel_parser *parser, struct sfi_cel_token token,
                            bool is_negative, struct sfi_cel_value *value)
{
    const char *text = parser->ast->source + token.start;
    uint32_t size = token.end - token.start;
    uint64_t number;
    char shown[SFI_CEL_TOKEN_TEXT];

    if (token.kind == SFI_CEL_TOKEN_DOUBLE) {
        return literal_double(parser, token, is_negative, value);
    }
    if (token.kind == SFI_CEL_TOKEN_UINT) {
        if (!parse_digits(text, size - 1, &number)) {
            sfi_cel_parser_fail(parser, token.start,
                                "%s is out of the range of uint (0 to 18446744073709551615)",
                                sfi_cel_token_text(&parser->lexer, token, shown));
            return false;
        }
        *value = sfi_cel_uint(number);
        return true;
    }
    bool fits = parse_digits(text, size, &number);
    if (!fits || number > (uint64_t)INT64_MAX + is_negative) {
        sfi_cel_parser_fail(parser, token.start,
                            "%s%s is out of the range of int (-9223372036854775808 to "
                            "9223372036854775807)%s",
                            is_negative ? "the negative of " : "",
                            sfi_cel_token_text(&parser->lexer, token, shown),
                            fits && !is_negative ? ": larger ones are uint, written with a u" : "");
        return false;
    }
    *value = sfi_cel_int((int64_t)(is_negative ? 0 - number : number));
    return true;
}

/* One literal being decoded. The result is never longer than the source. */
struct decoder {
    struct sfi_cel_parser *parser;
    const char *source;
    uint32_t at;
    uint32_t end;
    char *out;
    uint32_t size;
    bool is_bytes;
};

static void put_code(struct decoder *d, uint32_t code)
{
    if (code < 0x80u) {
        d->out[d->size++] = (char)code;
    } else if (code < 0x800u) {
        d->out[d->size++] = (char)(0xC0u | code >> 6);
        d->out[d->size++] = (char)(0x80u | (code & 0x3Fu));
    } else if (code < 0x10000u) {
        d->out[d->size++] = (char)(0xE0u | code >> 12);
        d->out[d->size++] = (char)(0x80u | (code >> 6 & 0x3Fu));
        d->out[d->size++] = (char)(0x80u | (code & 0x3Fu));
    } else {
        d->out[d->size++] = (char)(0xF0u | code >> 18);
        d->out[d->size++] = (char)(0x80u | (code >> 12 & 0x3Fu));
        d->out[d->size++] = (char)(0x80u | (code >> 6 & 0x3Fu));
        d->out[d->size++] = (char)(0x80u | (code & 0x3Fu));
    }
}

/* `count` digits of base 8 or 16 from `at` on; false: too few or others. */
static bool take_digits(struct decoder *d, uint32_t count, uint32_t base, uint32_t *code)
{
    *code = 0;
    if (d->end - d->at < count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        int digit = sfi_cel_hex_digit(d->source[d->at + i]);
        if (digit < 0 || (uint32_t)digit >= base) {
            return false;
        }
        *code = *code * base + (uint32_t)digit;
    }
    d->at += count;
    return true;
}

/* The character that a one-letter escape stands for; 0: none. */
static char simple_escape(char letter)
{
    static const char letters[] = "abfnrtv\\?\"'`";
    static const char meanings[] = "\a\b\f\n\r\t\v\\?\"'`";
    const char *found = letter == '\0' ? NULL : strchr(letters, letter);
    return found == NULL ? '\0' : meanings[found - letters];
}

static bool fail_escape(struct decoder *d, uint32_t position, const char *what)
{
    uint32_t code;
    uint32_t bytes;
    sfi_cel_decode(d->source + position + 1, d->end - position - 1, &code, &bytes);
    if (sfi_cel_is_hidden(code)) {
        sfi_cel_parser_fail(d->parser, position, "invalid escape: %s", what);
    } else {
        sfi_cel_parser_fail(d->parser, position, "invalid escape \\%.*s: %s", (int)bytes,
                            d->source + position + 1, what);
    }
    return false;
}

static bool decode_unicode(struct decoder *d, uint32_t position, uint32_t digits)
{
    uint32_t code;
    if (d->is_bytes) {
        return fail_escape(d, position, "bytes have no code points, write \\xHH");
    }
    if (!take_digits(d, digits, 16, &code)) {
        return fail_escape(d, position,
                           digits == 4 ? "four hexadecimal digits must follow"
                                       : "eight hexadecimal digits must follow");
    }
    if (code > 0x10FFFFu || (code >= 0xD800u && code <= 0xDFFFu)) {
        return fail_escape(d, position,
                           "not a code point (0 to 10FFFF, without the surrogates D800 to DFFF)");
    }
    put_code(d, code);
    return true;
}

static void put_small(struct decoder *d, uint32_t code)
{
    if (d->is_bytes) {
        d->out[d->size++] = (char)code;
    } else {
        put_code(d, code);
    }
}

/* `at` is at the backslash; the lexer saw to it that a character follows. */
static bool decode_escape(struct decoder *d)
{
    uint32_t position = d->at;
    char letter = d->source[position + 1];
    uint32_t code;

    d->at += 2;
    switch (letter) {
    case 'x':
    case 'X':
        if (!take_digits(d, 2, 16, &code)) {
            return fail_escape(d, position, "two hexadecimal digits must follow");
        }
        put_small(d, code);
        return true;
    case 'u':
        return decode_unicode(d, position, 4);
    case 'U':
        return decode_unicode(d, position, 8);
    default:
        break;
    }
    if (sfi_cel_is_digit(letter)) {
        d->at--;
        if (letter > '3' || !take_digits(d, 3, 8, &code)) {
            return fail_escape(d, position, "write three octal digits, 000 to 377");
        }
        put_small(d, code);
        return true;
    }
    char meaning = simple_escape(letter);
    if (meaning == '\0') {
        return fail_escape(d, position, "write \\\\ for a backslash, or put r before the string");
    }
    d->out[d->size++] = meaning;
    return true;
}

static bool decode(struct decoder *d)
{
    while (d->at < d->end) {
        char c = d->source[d->at];
        if (c == '\\') {
            if (!decode_escape(d)) {
                return false;
            }
            continue;
        }
        d->at++;
        if (c == '\r') {
            c = '\n';
            d->at += d->source[d->at] == '\n';
        }
        d->out[d->size++] = c;
    }
    return true;
}

bool sfi_cel_literal_text(struct sfi_cel_parser *parser, struct sfi_cel_token token,
                          struct sfi_cel_value *value)
{
    const char *source = parser->ast->source;
    uint32_t start = token.start;
    bool is_raw = false;
    bool is_bytes = token.kind == SFI_CEL_TOKEN_BYTES;

    while (source[start] != '"' && source[start] != '\'') {
        is_raw |= (source[start++] | 0x20) == 'r';
    }
    uint32_t quotes = token.end - start >= 6 && source[start + 1] == source[start] &&
                              source[start + 2] == source[start]
                          ? 3
                          : 1;
    const char *text = source + start + quotes;
    uint32_t size = token.end - quotes - (start + quotes);
    if (!is_raw && (memchr(text, '\\', size) != NULL || memchr(text, '\r', size) != NULL)) {
        struct decoder d = {.parser = parser,
                            .source = source,
                            .at = start + quotes,
                            .end = token.end - quotes,
                            .out = sfi_cel_alloc(parser->ast->arena, size),
                            .is_bytes = is_bytes};
        if (d.out == NULL) {
            sfi_cel_parser_fail_memory(parser);
            return false;
        }
        if (!decode(&d)) {
            return false;
        }
        text = d.out;
        size = d.size;
    }
    *value = is_bytes ? sfi_cel_bytes(text, size) : sfi_cel_string(text, size);
    return true;
}
