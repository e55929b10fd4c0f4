/*
 * memory.h - allocation for the tool: running out ends the process with a message.
 */
#ifndef SHARDY_CLI_MEMORY_H
#define SHARDY_CLI_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *cli_alloc(size_t size);
void *cli_zeroed(size_t count, size_t size);
void *cli_resize(void *block, size_t size);
void *cli_resize_array(void *block, size_t count, size_t size);
void cli_free(void *block);
char *cli_copy_text(const char *text, size_t size);
char *cli_copy_trimmed(const char *text, size_t size); /* without white space around it */

/* printf into fresh memory. */
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Report that memory is exhausted and end the process. Nothing was published. */
void cli_no_memory(void) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
