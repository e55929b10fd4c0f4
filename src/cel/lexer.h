/*
 * lexer.h - an expression as tokens, one at a time. Literals stay text here (literal.c).
 */
#ifndef SFI_CEL_LEXER_H
#define SFI_CEL_LEXER_H

#include "cel/ast.h"

enum sfi_cel_token_kind {
    SFI_CEL_TOKEN_END,
    SFI_CEL_TOKEN_IDENT,
    SFI_CEL_TOKEN_RESERVED, /* an identifier only after a dot */
    SFI_CEL_TOKEN_QUOTED,   /* `field name` with its quotes */
    SFI_CEL_TOKEN_INT,
    SFI_CEL_TOKEN_UINT,
    SFI_CEL_TOKEN_DOUBLE,
    SFI_CEL_TOKEN_STRING, /* with prefix and quotes */
    SFI_CEL_TOKEN_BYTES,
    SFI_CEL_TOKEN_NULL,
    SFI_CEL_TOKEN_TRUE,
    SFI_CEL_TOKEN_FALSE,
    SFI_CEL_TOKEN_IN,
    SFI_CEL_TOKEN_LPAREN,
    SFI_CEL_TOKEN_RPAREN,
    SFI_CEL_TOKEN_LBRACKET,
    SFI_CEL_TOKEN_RBRACKET,
    SFI_CEL_TOKEN_LBRACE,
    SFI_CEL_TOKEN_RBRACE,
    SFI_CEL_TOKEN_DOT,
    SFI_CEL_TOKEN_COMMA,
    SFI_CEL_TOKEN_COLON,
    SFI_CEL_TOKEN_QUESTION,
    SFI_CEL_TOKEN_NOT,
    SFI_CEL_TOKEN_PLUS,
    SFI_CEL_TOKEN_MINUS,
    SFI_CEL_TOKEN_TIMES,
    SFI_CEL_TOKEN_DIVIDE,
    SFI_CEL_TOKEN_MODULO,
    SFI_CEL_TOKEN_EQUAL,
    SFI_CEL_TOKEN_NOT_EQUAL,
    SFI_CEL_TOKEN_LESS,
    SFI_CEL_TOKEN_LESS_EQUAL,
    SFI_CEL_TOKEN_GREATER,
    SFI_CEL_TOKEN_GREATER_EQUAL,
    SFI_CEL_TOKEN_AND,
    SFI_CEL_TOKEN_OR
};

struct sfi_cel_token {
    enum sfi_cel_token_kind kind;
    uint32_t start; /* byte offsets in the source */
    uint32_t end;
};

struct sfi_cel_lexer {
    const struct sfi_cel_ast *ast; /* source: valid UTF-8, a NUL after its last byte */
    uint32_t at;
    struct sfi_cel_token token;    /* the current one */
    struct sfi_cel_token previous; /* END before the second one */
};

/* Go to the next token. CONFIG: not a token of the language. */
shardy_status sfi_cel_lexer_next(struct sfi_cel_lexer *lexer, shardy_error *err);

/* A token for messages: "'+'", "number 12", "the end of the expression"; long ones are cut. */
#define SFI_CEL_TOKEN_TEXT 160
const char *sfi_cel_token_text(const struct sfi_cel_lexer *lexer, struct sfi_cel_token token,
                               char out[SFI_CEL_TOKEN_TEXT]);

/* Keyword (NULL, TRUE, FALSE, IN), RESERVED or IDENT: what a word is. */
enum sfi_cel_token_kind sfi_cel_word_kind(const char *text, size_t size);
bool sfi_cel_is_word(const char *text, size_t size); /* [A-Za-z_][A-Za-z0-9_]* */

static inline bool sfi_cel_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* -1: not a hexadecimal digit. */
static inline int sfi_cel_hex_digit(char c)
{
    if (sfi_cel_is_digit(c)) {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/*
 * The code point at `text` and its bytes; false: not UTF-8 (then one byte). Never looks at
 * text[size]; size is at least 1.
 */
bool sfi_cel_decode(const char *text, size_t size, uint32_t *code, uint32_t *bytes);
/* Characters that would spoil a terminal: controls, and marks that reorder text. */
bool sfi_cel_is_hidden(uint32_t code);

#endif
