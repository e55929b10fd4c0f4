/*
 * lexer.c - tokens of the Common Expression Language as cel-spec, doc/langdef.md, "Syntax" lists
 * them, with quoted field names. Finds where tokens end; what literals mean is literal.c's.
 */
#include "cel/lexer.h"

#include <stdio.h>
#include <string.h>

static bool is_word_start(char c)
{
    char lower = (char)(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || c == '_';
}

static bool is_word_part(char c)
{
    return is_word_start(c) || sfi_cel_is_digit(c);
}

bool sfi_cel_is_word(const char *text, size_t size)
{
    if (size == 0 || !is_word_start(text[0])) {
        return false;
    }
    for (size_t i = 1; i < size; i++) {
        if (!is_word_part(text[i])) {
            return false;
        }
    }
    return true;
}

enum sfi_cel_token_kind sfi_cel_word_kind(const char *text, size_t size)
{
    static const struct {
        char text[10];
        uint8_t size;
        uint8_t kind;
    } words[] = {
        {"in", 2, SFI_CEL_TOKEN_IN},
        {"true", 4, SFI_CEL_TOKEN_TRUE},
        {"false", 5, SFI_CEL_TOKEN_FALSE},
        {"null", 4, SFI_CEL_TOKEN_NULL},
        {"as", 2, SFI_CEL_TOKEN_RESERVED},
        {"break", 5, SFI_CEL_TOKEN_RESERVED},
        {"const", 5, SFI_CEL_TOKEN_RESERVED},
        {"continue", 8, SFI_CEL_TOKEN_RESERVED},
        {"else", 4, SFI_CEL_TOKEN_RESERVED},
        {"for", 3, SFI_CEL_TOKEN_RESERVED},
        {"function", 8, SFI_CEL_TOKEN_RESERVED},
        {"if", 2, SFI_CEL_TOKEN_RESERVED},
        {"import", 6, SFI_CEL_TOKEN_RESERVED},
        {"let", 3, SFI_CEL_TOKEN_RESERVED},
        {"loop", 4, SFI_CEL_TOKEN_RESERVED},
        {"package", 7, SFI_CEL_TOKEN_RESERVED},
        {"namespace", 9, SFI_CEL_TOKEN_RESERVED},
        {"return", 6, SFI_CEL_TOKEN_RESERVED},
        {"var", 3, SFI_CEL_TOKEN_RESERVED},
        {"void", 4, SFI_CEL_TOKEN_RESERVED},
        {"while", 5, SFI_CEL_TOKEN_RESERVED},
    };
    if (size < 2 || size > 9) {
        return SFI_CEL_TOKEN_IDENT;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].size == size && words[i].text[0] == text[0] &&
            memcmp(words[i].text, text, size) == 0) {
            return (enum sfi_cel_token_kind)words[i].kind;
        }
    }
    return SFI_CEL_TOKEN_IDENT;
}

bool sfi_cel_decode(const char *text, size_t size, uint32_t *code, uint32_t *bytes)
{
    unsigned char lead = (unsigned char)text[0];
    uint32_t length = lead < 0x80u ? 1 : lead < 0xE0u ? 2 : lead < 0xF0u ? 3 : 4;
    static const uint32_t least[5] = {0, 0, 0x80u, 0x800u, 0x10000u};

    *code = lead;
    *bytes = 1;
    if (length == 1) {
        return true;
    }
    if (lead < 0xC2u || lead > 0xF4u || length > size) {
        return false;
    }
    uint32_t value = lead & (0xFFu >> (length + 1));
    for (uint32_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xC0u) != 0x80u) {
            return false;
        }
        value = value << 6 | (next & 0x3Fu);
    }
    if (value < least[length] || value > 0x10FFFFu || (value >= 0xD800u && value <= 0xDFFFu)) {
        return false;
    }
    *code = value;
    *bytes = length;
    return true;
}

bool sfi_cel_is_hidden(uint32_t code)
{
    return code < 0x20u || (code >= 0x7Fu && code < 0xA0u) || code == 0xFEFFu ||
           (code >= 0x200Bu && code <= 0x200Fu) || (code >= 0x2028u && code <= 0x202Eu) ||
           (code >= 0x2066u && code <= 0x2069u);
}

/* Blanks and comments. */
static uint32_t skip_blanks(const struct sfi_cel_lexer *lexer)
{
    const char *source = lexer->ast->source;
    uint32_t at = lexer->at;
    for (;;) {
        char c = source[at];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            at++;
        } else if (c == '/' && source[at + 1] == '/') {
            while (at < lexer->ast->source_size && source[at] != '\n') {
                at++;
            }
        } else {
            return at;
        }
    }
}

static shardy_status take(struct sfi_cel_lexer *lexer, enum sfi_cel_token_kind kind, uint32_t end)
{
    lexer->token.kind = kind;
    lexer->token.end = end;
    lexer->at = end;
    return SHARDY_OK;
}

static uint32_t skip_digits(const char *source, uint32_t at)
{
    while (sfi_cel_is_digit(source[at])) {
        at++;
    }
    return at;
}

/* Where the digits of a number end, without the suffix of natural numbers. */
static uint32_t number_end(const char *source, uint32_t at, enum sfi_cel_token_kind *kind)
{
    *kind = SFI_CEL_TOKEN_INT;
    if (source[at] == '0' && (source[at + 1] | 0x20) == 'x' &&
        sfi_cel_hex_digit(source[at + 2]) >= 0) {
        at += 2;
        while (sfi_cel_hex_digit(source[at]) >= 0) {
            at++;
        }
        return at;
    }
    at = skip_digits(source, at);
    if (source[at] == '.' && sfi_cel_is_digit(source[at + 1])) {
        *kind = SFI_CEL_TOKEN_DOUBLE;
        at = skip_digits(source, at + 1);
    }
    if ((source[at] | 0x20) == 'e') {
        uint32_t digits = at + 1;
        if (source[digits] == '+' || source[digits] == '-') {
            digits++;
        }
        if (sfi_cel_is_digit(source[digits])) {
            *kind = SFI_CEL_TOKEN_DOUBLE;
            at = skip_digits(source, digits);
        }
    }
    return at;
}

static shardy_status lex_number(struct sfi_cel_lexer *lexer, shardy_error *err)
{
    const char *source = lexer->ast->source;
    uint32_t start = lexer->at;
    enum sfi_cel_token_kind kind;
    uint32_t end = number_end(source, start, &kind);

    if (kind == SFI_CEL_TOKEN_INT && (source[end] | 0x20) == 'u') {
        kind = SFI_CEL_TOKEN_UINT;
        end++;
    }
    uint32_t stop = end;
    while (is_word_part(source[stop])) {
        stop++;
    }
    /* "1in list" is two tokens; any other word that touches a number is a slip. */
    if (stop > end && sfi_cel_word_kind(source + end, stop - end) != SFI_CEL_TOKEN_IN) {
        char text[SFI_CEL_TOKEN_TEXT];
        struct sfi_cel_token word = {SFI_CEL_TOKEN_IDENT, start, stop};
        return sfi_cel_fail_at(lexer->ast, start, err,
                               "%s is neither a number nor a name: put a blank or an operator "
                               "between them",
                               sfi_cel_token_text(lexer, word, text));
    }
    return take(lexer, kind, end);
}

static shardy_status lex_word(struct sfi_cel_lexer *lexer, shardy_error *err)
{
    const char *source = lexer->ast->source;
    uint32_t start = lexer->at;
    uint32_t end = start + 1;
    while (is_word_part(source[end])) {
        end++;
    }
    enum sfi_cel_token_kind kind = sfi_cel_word_kind(source + start, end - start);
    if ((source[end] == '"' || source[end] == '\'') && kind == SFI_CEL_TOKEN_IDENT) {
        char text[SFI_CEL_TOKEN_TEXT];
        struct sfi_cel_token word = {SFI_CEL_TOKEN_IDENT, start, end};
        return sfi_cel_fail_at(lexer->ast, start, err,
                               "%s is not a prefix of string literals: those are r (raw), b "
                               "(bytes) and br",
                               sfi_cel_token_text(lexer, word, text));
    }
    return take(lexer, kind, end);
}

static uint32_t prefix_size(const char *text)
{
    uint32_t size = (text[0] | 0x20) == 'b';
    size += (text[size] | 0x20) == 'r';
    return text[size] == '"' || text[size] == '\'' ? size : UINT32_MAX;
}

static shardy_status lex_string(struct sfi_cel_lexer *lexer, uint32_t prefix, shardy_error *err)
{
    const char *source = lexer->ast->source;
    uint32_t size = lexer->ast->source_size;
    uint32_t start = lexer->at;
    uint32_t at = start + prefix;
    char quote = source[at];
    bool is_raw = prefix > 0 && (source[at - 1] | 0x20) == 'r';
    bool is_triple = source[at + 1] == quote && source[at + 2] == quote;

    for (at += is_triple ? 3 : 1; at < size; at++) {
        if (source[at] == '\\' && !is_raw && at + 1 < size) {
            at++;
        } else if (source[at] == quote &&
                   (!is_triple || (source[at + 1] == quote && source[at + 2] == quote))) {
            return take(lexer,
                        (source[start] | 0x20) == 'b' ? SFI_CEL_TOKEN_BYTES : SFI_CEL_TOKEN_STRING,
                        at + (is_triple ? 3 : 1));
        } else if (!is_triple && (source[at] == '\n' || source[at] == '\r')) {
            break;
        }
    }
    if (is_triple) {
        return sfi_cel_fail_at(lexer->ast, start, err,
                               "string is not closed: no %c%c%c before the end of the expression",
                               quote, quote, quote);
    }
    return sfi_cel_fail_at(
        lexer->ast, start, err, "string is not closed: no %c before the end of the %s", quote,
        at < size ? "line (write \\n for a line end, or use three quotes)" : "expression");
}

static shardy_status lex_quoted(struct sfi_cel_lexer *lexer, shardy_error *err)
{
    const char *source = lexer->ast->source;
    uint32_t start = lexer->at;
    uint32_t at = start + 1;
    while (is_word_part(source[at]) || (source[at] != '\0' && strchr(".-/ ", source[at]))) {
        at++;
    }
    if (source[at] != '`') {
        return sfi_cel_fail_at(lexer->ast, at, err,
                               at < lexer->ast->source_size
                                   ? "a quoted field name holds letters, digits and _ . - / and "
                                     "blanks: use [\"...\"] for others"
                                   : "quoted field name is not closed: no ` before the end of the "
                                     "expression");
    }
    if (at == start + 1) {
        return sfi_cel_fail_at(lexer->ast, start, err, "quoted field name is empty");
    }
    return take(lexer, SFI_CEL_TOKEN_QUOTED, at + 1);
}

/* What somebody probably meant who wrote a character that starts no token. */
static const char *character_hint(uint32_t code)
{
    switch (code) {
    case '=':
        return ": write == to compare";
    case '&':
        return ": write && for 'and'";
    case '|':
        return ": write || for 'or'";
    case ';':
        return ": an expression is no statement";
    case '#':
        return ": a comment starts with //";
    case 0x2018u:
    case 0x2019u:
    case 0x201Cu:
    case 0x201Du:
        return ": quote strings with \" or '";
    case 0xA0u:
        return ": a no-break space, write an ordinary one";
    default:
        return "";
    }
}

static shardy_status fail_character(const struct sfi_cel_lexer *lexer, shardy_error *err)
{
    const char *text = lexer->ast->source + lexer->at;
    uint32_t code;
    uint32_t bytes;
    sfi_cel_decode(text, lexer->ast->source_size - lexer->at, &code, &bytes);
    const char *hint = character_hint(code);
    if (code < 0x80u && !sfi_cel_is_hidden(code)) {
        return sfi_cel_fail_at(lexer->ast, lexer->at, err, "unexpected character '%c'%s", (int)code,
                               hint);
    }
    if (sfi_cel_is_hidden(code)) {
        return sfi_cel_fail_at(lexer->ast, lexer->at, err, "unexpected character U+%04X%s", code,
                               hint);
    }
    return sfi_cel_fail_at(lexer->ast, lexer->at, err, "unexpected character '%.*s' (U+%04X)%s",
                           (int)bytes, text, code, hint);
}

/* Operators and punctuation; `two` is one character more when it is `second`. */
static shardy_status lex_mark(struct sfi_cel_lexer *lexer, shardy_error *err)
{
    static const struct {
        char first;
        char second; /* 0: none */
        uint8_t kind;
    } marks[] = {
        {'(', 0, SFI_CEL_TOKEN_LPAREN},
        {')', 0, SFI_CEL_TOKEN_RPAREN},
        {'[', 0, SFI_CEL_TOKEN_LBRACKET},
        {']', 0, SFI_CEL_TOKEN_RBRACKET},
        {'{', 0, SFI_CEL_TOKEN_LBRACE},
        {'}', 0, SFI_CEL_TOKEN_RBRACE},
        {'.', 0, SFI_CEL_TOKEN_DOT},
        {',', 0, SFI_CEL_TOKEN_COMMA},
        {':', 0, SFI_CEL_TOKEN_COLON},
        {'?', 0, SFI_CEL_TOKEN_QUESTION},
        {'=', '=', SFI_CEL_TOKEN_EQUAL},
        {'!', '=', SFI_CEL_TOKEN_NOT_EQUAL},
        {'!', 0, SFI_CEL_TOKEN_NOT},
        {'+', 0, SFI_CEL_TOKEN_PLUS},
        {'-', 0, SFI_CEL_TOKEN_MINUS},
        {'*', 0, SFI_CEL_TOKEN_TIMES},
        {'/', 0, SFI_CEL_TOKEN_DIVIDE},
        {'%', 0, SFI_CEL_TOKEN_MODULO},
        {'<', '=', SFI_CEL_TOKEN_LESS_EQUAL},
        {'<', 0, SFI_CEL_TOKEN_LESS},
        {'>', '=', SFI_CEL_TOKEN_GREATER_EQUAL},
        {'>', 0, SFI_CEL_TOKEN_GREATER},
        {'&', '&', SFI_CEL_TOKEN_AND},
        {'|', '|', SFI_CEL_TOKEN_OR},
    };
    const char *text = lexer->ast->source + lexer->at;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (marks[i].first == text[0] && (marks[i].second == 0 || marks[i].second == text[1])) {
            return take(lexer, (enum sfi_cel_token_kind)marks[i].kind,
                        lexer->at + (marks[i].second ? 2 : 1));
        }
    }
    return fail_character(lexer, err);
}

shardy_status sfi_cel_lexer_next(struct sfi_cel_lexer *lexer, shardy_error *err)
{
    const char *source = lexer->ast->source;
    lexer->previous = lexer->token;
    lexer->at = skip_blanks(lexer);
    lexer->token.start = lexer->at;

    char c = source[lexer->at];
    if (is_word_start(c) || c == '"' || c == '\'') {
        uint32_t prefix = prefix_size(source + lexer->at);
        return prefix == UINT32_MAX ? lex_word(lexer, err) : lex_string(lexer, prefix, err);
    }
    if (sfi_cel_is_digit(c) || (c == '.' && sfi_cel_is_digit(source[lexer->at + 1]))) {
        return lex_number(lexer, err);
    }
    if (c == '`') {
        return lex_quoted(lexer, err);
    }
    if (c == '\0' && lexer->at >= lexer->ast->source_size) {
        return take(lexer, SFI_CEL_TOKEN_END, lexer->at);
    }
    return lex_mark(lexer, err);
}

/* Bytes of the first `count` code points, and whether hidden ones are among them. */
static uint32_t visible_prefix(const char *text, uint32_t size, uint32_t count, bool *is_hidden)
{
    uint32_t at = 0;
    *is_hidden = false;
    while (at < size && count-- > 0) {
        uint32_t code;
        uint32_t bytes;
        bool valid = sfi_cel_decode(text + at, size - at, &code, &bytes);
        *is_hidden |= !valid || sfi_cel_is_hidden(code);
        at += bytes;
    }
    return at;
}

const char *sfi_cel_token_text(const struct sfi_cel_lexer *lexer, struct sfi_cel_token token,
                               char out[SFI_CEL_TOKEN_TEXT])
{
    const char *text = lexer->ast->source + token.start;
    uint32_t size = token.end - token.start;
    bool is_hidden;
    uint32_t shown = visible_prefix(text, size, 30, &is_hidden);
    const char *cut = shown < size ? "..." : "";

    switch (token.kind) {
    case SFI_CEL_TOKEN_END:
        return "the end of the expression";
    case SFI_CEL_TOKEN_INT:
    case SFI_CEL_TOKEN_UINT:
    case SFI_CEL_TOKEN_DOUBLE:
        snprintf(out, SFI_CEL_TOKEN_TEXT, "number %.*s%s", (int)shown, text, cut);
        return out;
    case SFI_CEL_TOKEN_STRING:
    case SFI_CEL_TOKEN_BYTES:
        if (is_hidden) {
            return "a string";
        }
        snprintf(out, SFI_CEL_TOKEN_TEXT, "string %.*s%s", (int)shown, text, cut);
        return out;
    default:
        snprintf(out, SFI_CEL_TOKEN_TEXT, "'%.*s%s'", (int)shown, text, cut);
        return out;
    }
}
