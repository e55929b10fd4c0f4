/*
 * json_shim.h - the part of simdjson that the tool needs, for C.
 */
#ifndef SHARDY_CLI_JSON_SHIM_H
#define SHARDY_CLI_JSON_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes after the end of every parsed text that may be read (and are ignored). */
#define JSON_SHIM_PADDING 64

/* One thread at a time. */
struct json_shim;

enum json_kind {
    JSON_MISSING,
    JSON_NULL,
    JSON_STRING,   /* `text`, `size`: unescaped, valid until the next parse */
    JSON_UNSIGNED, /* `number` */
    JSON_NEGATIVE, /* `number`: two's complement */
    JSON_REAL,     /* `real` */
    JSON_TRUE,
    JSON_FALSE,
    JSON_OTHER /* a list or an object */
};

struct json_member {
    enum json_kind kind;
    const char *text;
    size_t size;
    uint64_t number;
    double real;
    size_t member; /* position in the object */
};

struct json_shim *json_shim_new(void);
void json_shim_free(struct json_shim *shim);

/* A member to look for: its name (NULL = none), and what was found. */
struct json_wanted {
    const char *name;
    size_t name_size;
    struct json_member found;
};

/*
 * Check a whole text and find members of its object. Of equal names the last counts.
 *
 * @param text  `size` bytes, followed by JSON_SHIM_PADDING readable ones
 * @return NULL, or why the text is not one valid JSON object; static
 */
const char *json_shim_find(struct json_shim *shim, const char *text, size_t size,
                           struct json_wanted *wanted, size_t count);

/* Write valid JSON without white space outside strings; `to` has room for `size` bytes. */
size_t json_shim_minify(const char *text, size_t size, char *to);

bool json_shim_is_utf8(const void *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
