/*
 * secret.h - memory that is wiped before it is freed or moved, for secrets and what holds them.
 */
#ifndef SFI_AWS_SECRET_H
#define SFI_AWS_SECRET_H

#include "base/bytes.h"

/* As sfi_malloc, sfi_realloc and sfi_free; blocks of the two kinds must not be mixed. */
void *sfi_secret_alloc(size_t size);
void *sfi_secret_realloc(void *block, size_t size);
void sfi_secret_free(void *block);                    /* NULL is accepted */
char *sfi_secret_strdup(const char *text);            /* NULL stays NULL */
char *sfi_secret_strndup(const void *data, size_t n); /* NUL-terminated */

/*
 * A whole regular file, NUL-terminated; `*size` without the NUL. *text is NULL when the file does
 * not exist or may not be read: then *error_number says why. IO, LIMIT (larger than `max`),
 * NO_MEMORY. The path is named in messages, the content never.
 */
shardy_status sfi_secret_read_file(const char *path, size_t max, char **text, size_t *size,
                                   int *error_number, shardy_error *err);

/* Whether a piece of a secret (12 bytes of it, or all) stands in a text. NULL secret: no. */
bool sfi_secret_shows(const char *text, const char *secret);

/* Wipe and clear. Of a buffer that never grew: reserve its maximum first. */
void sfi_secret_buf_clear(struct sfi_buf *buf);

#endif
