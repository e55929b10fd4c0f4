/*
 * memory.c - allocation for the tool.
 *
 * A command line tool has nothing better to do than stop when memory runs out: a build that stops
 * has published nothing, a reader has changed nothing. So these helpers never return NULL.
 */
#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_no_memory(void)
{
    static const char message[] = "Error: out of memory\n";

    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        _exit(1);
    }
    _exit(1);
}

void *cli_alloc(size_t size)
{
    void *block = malloc(size ? size : 1);

    if (block == NULL) {
        cli_no_memory();
    }
    return block;
}

void *cli_zeroed(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);

    if (block == NULL) {
        cli_no_memory();
    }
    return block;
}

void *cli_resize(void *block, size_t size)
{
    void *bigger = realloc(block, size ? size : 1);

    if (bigger == NULL) {
        cli_no_memory();
    }
    return bigger;
}

void *cli_resize_array(void *block, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        cli_no_memory();
    }
    return cli_resize(block, count * size);
}

void cli_free(void *block)
{
    free(block);
}

char *cli_copy_text(const char *text, size_t size)
{
    char *copy = cli_alloc(size + 1);

    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

char *cli_copy_trimmed(const char *text, size_t size)
{
    static const char space[] = " \t\r\n\v\f";

    while (size > 0 && strchr(space, text[size - 1]) != NULL && text[size - 1] != '\0') {
        size--;
    }
    while (size > 0 && strchr(space, text[0]) != NULL && text[0] != '\0') {
        text++;
        size--;
    }
    return cli_copy_text(text, size);
}

char *cli_format(const char *format, ...)
{
    va_list args;
    va_list again;
    int size;
    char *text;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        cli_no_memory();
    }
    text = cli_alloc((size_t)size + 1);
    (void)vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}
