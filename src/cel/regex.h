/*
 * regex.h - regular expressions of RE2 behind C functions. Nothing throws, nothing logs.
 */
#ifndef SFI_CEL_REGEX_H
#define SFI_CEL_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sfi_cel_regex;

enum sfi_cel_regex_status {
    SFI_CEL_REGEX_OK,
    SFI_CEL_REGEX_INVALID,   /* syntax */
    SFI_CEL_REGEX_TOO_LARGE, /* more than SFI_CEL_REGEX_BYTES when compiled */
    SFI_CEL_REGEX_NO_MEMORY
};

/* Compile. INVALID and TOO_LARGE: `message` says why, quoting the pattern (no UTF-8 then, perhaps);
 * cut, NUL-terminated. */
#define SFI_CEL_REGEX_TEXT 160
enum sfi_cel_regex_status sfi_cel_regex_new(const char *pattern, size_t size,
                                            struct sfi_cel_regex **regex,
                                            char message[SFI_CEL_REGEX_TEXT]);
void sfi_cel_regex_free(struct sfi_cel_regex *regex); /* NULL is accepted */
/* Whether some part of the text matches. */
bool sfi_cel_regex_search(const struct sfi_cel_regex *regex, const char *text, size_t size);
/* Instructions of the compiled program: a bound for the work per byte of text. */
size_t sfi_cel_regex_length(const struct sfi_cel_regex *regex);

#ifdef __cplusplus
}
#endif

#endif
