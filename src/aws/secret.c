/*
 * secret.c - wiped memory: every block carries its size in front, so that freeing can wipe it and
 * growing never leaves a copy behind. Also reading files of secrets, without stdio's buffers.
 */
#include "aws/secret.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SHOWN_PIECE 12u

struct block {
    size_t size;
    _Alignas(16) uint8_t bytes[];
};

/* `text` has one byte more than `room`. */
struct file {
    char *text;
    size_t size;
    size_t room;
};

static struct block *block_of(void *bytes)
{
    return (struct block *)(void *)((uint8_t *)bytes - offsetof(struct block, bytes));
}

void *sfi_secret_alloc(size_t size)
{
    struct block *block = NULL;
    if (size < SIZE_MAX - sizeof *block) {
        block = sfi_malloc(sizeof *block + size);
    }
    if (!block) {
        return NULL;
    }
    block->size = size;
    return block->bytes;
}

void *sfi_secret_realloc(void *block, size_t size)
{
    void *grown = sfi_secret_alloc(size);
    if (grown && block) {
        size_t old = block_of(block)->size;
        memcpy(grown, block, old < size ? old : size);
        sfi_secret_free(block);
    }
    return grown;
}

void sfi_secret_free(void *block)
{
    if (block) {
        explicit_bzero(block, block_of(block)->size);
        sfi_free(block_of(block));
    }
}

char *sfi_secret_strdup(const char *text)
{
    return text ? sfi_secret_strndup(text, strlen(text)) : NULL;
}

char *sfi_secret_strndup(const void *data, size_t n)
{
    char *copy = sfi_secret_alloc(n + 1);
    if (copy) {
        if (n) {
            memcpy(copy, data, n);
        }
        copy[n] = '\0';
    }
    return copy;
}

/* Read to the end, growing; a file may be longer than its size said. */
static shardy_status read_all(int fd, const char *path, size_t max, struct file *file,
                              shardy_error *err)
{
    for (;;) {
        if (file->size == file->room) {
            size_t room = file->room * 2 < max ? file->room * 2 : max;
            char *grown = file->size <= max ? sfi_secret_realloc(file->text, room + 2) : NULL;
            if (!grown) {
                return sfi_fail_memory(err, room);
            }
            file->text = grown;
            file->room = room + 1;
        }
        ssize_t got = read(fd, file->text + file->size, file->room - file->size);
        if (got < 0 && errno != EINTR) {
            return sfi_fail_errno(err, SHARDY_IO, errno, "cannot read %s", path);
        }
        file->size += got > 0 ? (size_t)got : 0;
        if (file->size > max) {
            return sfi_fail(err, SHARDY_LIMIT, "%s: larger than the limit of %zu bytes", path, max);
        }
        if (got == 0) {
            file->text[file->size] = '\0';
            return SHARDY_OK;
        }
    }
}

shardy_status sfi_secret_read_file(const char *path, size_t max, char **text, size_t *size,
                                   int *error_number, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct file file = {NULL, 0, 0};
    struct stat info;
    *text = NULL;
    *size = 0;
    *error_number = 0;
    /* Not blocking: a pipe in the place of the file must not stop us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *error_number = errno;
        return SHARDY_OK;
    }
    /* People write /dev/null for "no such file". */
    if (fstat(fd, &info) != 0 ||
        !(S_ISREG(info.st_mode) || (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)))) {
        st = sfi_fail(err, SHARDY_IO, "%s is not a regular file", path);
        goto out;
    }
    file.room = info.st_size < (off_t)max ? (size_t)info.st_size + 1 : max + 1;
    file.text = sfi_secret_alloc(file.room + 1);
    if (!file.text) {
        st = sfi_fail_memory(err, file.room);
        goto out;
    }
    SFI_TRY(read_all(fd, path, max, &file, err));
    *text = file.text;
    *size = file.size;
    file.text = NULL;
out:
    close(fd);
    sfi_secret_free(file.text);
    return st;
}

bool sfi_secret_shows(const char *text, const char *secret)
{
    size_t text_size = strlen(text);
    size_t size = secret ? strlen(secret) : 0;
    size_t piece = size < SHOWN_PIECE ? size : SHOWN_PIECE;
    for (size_t i = 0; size && i + piece <= size; i++) {
        if (memmem(text, text_size, secret + i, piece)) {
            return true;
        }
    }
    return false;
}

void sfi_secret_buf_clear(struct sfi_buf *buf)
{
    if (buf->data) {
        explicit_bzero(buf->data, buf->capacity);
    }
    sfi_buf_clear(buf);
}
