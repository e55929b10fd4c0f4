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
    JSON_OTHER     /* any other value: member `member` of the object */
};

struct json_member {
    enum json_kind kind;
    const char *text;
    size_t size;
    uint64_t number;
    size_t member; /* position in the object */
};

struct json_shim *json_shim_new(void);
void json_shim_free(struct json_shim *shim);

/*
 * Check a whole text and find two members of its object. Of equal names the last counts.
 *
 * @param text         `size` bytes, followed by JSON_SHIM_PADDING readable ones
 * @param second_name  NULL = only the first is looked for
 * @return NULL, or why the text is not one valid JSON object; static
 */
const char *json_shim_find(struct json_shim *shim, const char *text, size_t size,
                           const char *first_name, const char *second_name,
                           struct json_member *first, struct json_member *second);

/* Write valid JSON without white space outside strings; `to` has room for `size` bytes. */
size_t json_shim_minify(const char *text, size_t size, char *to);

bool json_shim_is_utf8(const void *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
