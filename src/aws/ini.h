/*
 * ini.h - the text of ~/.aws/credentials and ~/.aws/config. Format: AWS SDKs and Tools Reference
 * Guide, "Shared config and credentials files".
 */
#ifndef SFI_AWS_INI_H
#define SFI_AWS_INI_H

#include "base/status.h"

/* A key of a section; key NULL is the header itself. Strings live in `text`. */
struct sfi_ini_entry {
    const char *section; /* "default", "profile dev", "sso-session corp": one blank, no quotes */
    const char *key;     /* lower case */
    const char *value;
};

struct sfi_ini {
    char *text; /* wiped when cleared */
    struct sfi_ini_entry *entries;
    size_t count;
    size_t capacity;
};

/*
 * Takes `text` (sfi_secret_alloc, NUL-terminated), on failure too. INPUT names `path` and line,
 * never what stands there; LIMIT: line; NO_MEMORY. `ini` is empty on failure.
 */
shardy_status sfi_ini_parse(struct sfi_ini *ini, char *text, size_t size, const char *path,
                            shardy_error *err);
void sfi_ini_clear(struct sfi_ini *ini);
/* Last value of a key, NULL when there is none. `kind` is "" or "profile " and so on. */
const char *sfi_ini_get(const struct sfi_ini *ini, const char *kind, const char *name,
                        const char *key);
bool sfi_ini_has(const struct sfi_ini *ini, const char *kind, const char *name);

#endif
