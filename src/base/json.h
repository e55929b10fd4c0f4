/*
 * json.h - JSON texts of the formats: a small parser, and the canonical writer (docs/format).
 *
 * Numbers keep their text, so integers of any size survive: manifests hold keys up to 2^64-1.
 * Strings are decoded to UTF-8; a lone surrogate escape, which other writers may emit, becomes its
 * three-byte form and is written back as the same escape.
 */
#ifndef SFI_BASE_JSON_H
#define SFI_BASE_JSON_H

#include "base/bytes.h"

enum sfi_json_kind {
    SFI_JSON_NULL,
    SFI_JSON_BOOL,
    SFI_JSON_NUMBER, /* `text` as written, for example "18446744073709551615" */
    SFI_JSON_STRING, /* `text` decoded */
    SFI_JSON_ARRAY,
    SFI_JSON_OBJECT
};

/* One value. Members and elements are a list in the order of the text. */
struct sfi_json {
    enum sfi_json_kind kind;
    bool truth;             /* BOOL */
    struct sfi_bytes text;  /* NUMBER, STRING */
    struct sfi_bytes name;  /* when it is a member of an object */
    struct sfi_json *child; /* ARRAY, OBJECT: first one */
    struct sfi_json *next;  /* next one of the same parent */
    size_t count;           /* ARRAY, OBJECT */
};

struct sfi_json_block;

/* A parsed text. Borrows nothing. */
struct sfi_json_doc {
    struct sfi_json *root;
    struct sfi_json_block *blocks; /* private: what the values live in */
};

enum sfi_json_flags {
    SFI_JSON_UNIQUE_KEYS = 1,  /* a repeated member name is an error, not "last one wins" */
    SFI_JSON_PYTHON_TOKENS = 2 /* accept the numbers NaN, Infinity and -Infinity */
};

/*
 * Parse one value with nothing but white space around it. INPUT names the byte offset; LIMIT:
 * longer than SFI_JSON_MAX_BYTES or deeper than SFI_JSON_MAX_DEPTH. `doc` is empty on failure.
 */
shardy_status sfi_json_parse(struct sfi_bytes text, unsigned flags, struct sfi_json_doc *doc,
                             shardy_error *err);
void sfi_json_clear(struct sfi_json_doc *doc);

/* Validate only, with SFI_JSON_PYTHON_TOKENS, without building: the text is one object. */
shardy_status sfi_json_check_object(struct sfi_bytes text, shardy_error *err);

/* Member of an object, the last one of that name; NULL when there is none or no object. */
const struct sfi_json *sfi_json_member(const struct sfi_json *object, const char *name);
bool sfi_json_text_is(struct sfi_bytes text, const char *expected);

/*
 * Integer by the lenient rules of the formats: an integer, an integral float, a decimal string or a
 * boolean. `negative` with the magnitude in two's complement. false: none of these, or too large.
 */
bool sfi_json_integer(const struct sfi_json *value, bool *negative, uint64_t *number);
/* The same from a number or decimal string that is already text. */
bool sfi_json_integer_text(struct sfi_bytes text, bool *negative, uint64_t *number);

enum sfi_json_style {
    SFI_JSON_SPACED, /* J1: ", " and ": " */
    SFI_JSON_COMPACT /* J2: "," and ":" */
};

/*
 * Canonical text: members sorted by code point (of equal names the last), everything outside ASCII
 * escaped, floats in shortest round-trip form. Failure is kept by the buffer; false: it failed.
 */
bool sfi_json_write(const struct sfi_json *value, enum sfi_json_style style, struct sfi_buf *out);
/* One quoted and escaped string. Bytes that are not UTF-8 become U+FFFD. */
bool sfi_json_write_string(struct sfi_bytes text, struct sfi_buf *out);
/* One finite or non-finite double as Python's repr() writes it. */
bool sfi_json_write_double(double value, struct sfi_buf *out);
/* Parse an object and write it in canonical form. INPUT, LIMIT, NO_MEMORY. */
shardy_status sfi_json_canonical(struct sfi_bytes text, enum sfi_json_style style,
                                 struct sfi_buf *out, shardy_error *err);

/* strtod without the process's locale; `text` has at most SFI_JSON_NUMBER_MAX bytes. */
bool sfi_json_double(struct sfi_bytes text, double *value);
#define SFI_JSON_NUMBER_MAX 512u

#endif
