/*
 * input_source.c - read input files and cut them at record borders.
 *
 * Plain reads, also of regular files: a map would save one copy but dies with SIGBUS when somebody
 * truncates the file meanwhile, and parsers want padding after the end. What follows the last
 * border of a read is carried over to the next piece.
 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupt.h"
#include "json_shim.h"

static const char *shown_name(const struct input_source *source)
{
    return strcmp(source->path, "-") == 0 ? "<stdin>" : source->path;
}

bool input_init(struct input *input, struct input_source *sources, size_t count, char *message,
                size_t message_size)
{
    bool known = true;

    *input = (struct input){.sources = sources, .source_count = count, .fd = -1};
    for (size_t i = 0; i < count; i++) {
        struct stat info;

        if (strcmp(sources[i].path, "-") == 0) {
            known = false;
            continue;
        }
        if (stat(sources[i].path, &info) != 0) {
            (void)snprintf(message, message_size, "cannot read '%s': %s", sources[i].path,
                           strerror(errno));
            return false;
        }
        if (S_ISDIR(info.st_mode)) {
            (void)snprintf(message, message_size, "cannot read '%s': it is a folder",
                           sources[i].path);
            return false;
        }
        known = known && S_ISREG(info.st_mode);
        input->total += (uint64_t)info.st_size;
    }
    input->total = known ? input->total : 0;
    return true;
}

void input_clear(struct input *input)
{
    if (input->fd > STDIN_FILENO) {
        (void)close(input->fd);
    }
    input->fd = -1;
    buffer_clear(&input->rest);
}

static bool open_source(struct input *input, char *message, size_t message_size)
{
    const char *path = input->sources[input->current].path;
    struct stat info;

    input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0 || fstat(input->fd, &info) != 0) {
        (void)snprintf(message, message_size, "cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    input->is_stream = !S_ISREG(info.st_mode);
    input->at_end = false;
    input->offset = 0;
    if (!input->is_stream) {
        (void)posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return true;
}

static void close_source(struct input *input)
{
    if (input->fd > STDIN_FILENO) {
        (void)close(input->fd);
    }
    input->fd = -1;
    input->current++;
}

/* Wait for data of a pipe or terminal. @return false when SIGINT came first */
static bool wait_for_data(const struct input *input)
{
    struct pollfd wait[2] = {{.fd = input->fd, .events = POLLIN},
                             {.fd = interrupt_fd(), .events = POLLIN}};

    while (poll(wait, 2, -1) < 0 && errno == EINTR) {
    }
    return wait[1].revents == 0;
}

/* Fill `data` up to `target` bytes or the end of the file. */
static enum input_next fill(struct input *input, struct buffer *data, size_t target, char *message,
                            size_t message_size)
{
    buffer_reserve(data, target - data->size + JSON_SHIM_PADDING);
    while (!input->at_end && data->size < target) {
        ssize_t got;

        if (input->is_stream && !wait_for_data(input)) {
            return INPUT_INTERRUPTED;
        }
        got = read(input->fd, data->data + data->size, target - data->size);
        if (got < 0 && errno != EINTR && errno != EAGAIN) {
            (void)snprintf(message, message_size, "cannot read '%s': %s",
                           shown_name(&input->sources[input->current]), strerror(errno));
            return INPUT_FAILED;
        }
        input->at_end = got == 0;
        data->size += got > 0 ? (size_t)got : 0;
    }
    return INPUT_PIECE;
}

static size_t cut(enum input_format_id format, const char *data, size_t size)
{
    switch (format) {
    case INPUT_JSONL:
        return jsonl_cut(data, size);
    case INPUT_KV:
        return kv_cut(data, size);
    case INPUT_CSV:
    case INPUT_TSV:
        break;
    }
    return csv_cut(data, size);
}

/* Read until there is a border, the end of the file, or a record that is too long. */
static enum input_next read_records(struct input *input, struct buffer *data, size_t *whole,
                                    char *message, size_t message_size)
{
    const struct input_source *source = &input->sources[input->current];
    size_t target = INPUT_PIECE_SIZE;

    while (target < data->size + INPUT_PIECE_SIZE / 2) {
        target *= 2;
    }
    for (;;) {
        enum input_next next = fill(input, data, target, message, message_size);

        if (next != INPUT_PIECE) {
            return next;
        }
        *whole = input->at_end ? data->size : cut(source->format, data->data, data->size);
        if (*whole > 0 || input->at_end) {
            break;
        }
        target *= 2;
        if (target > INPUT_RECORD_MAX) {
            (void)snprintf(message, message_size,
                           "%s: the record at byte offset %" PRIu64
                           " is longer than %zu MiB (a quotation mark that is never closed?)",
                           shown_name(source), input->offset, INPUT_RECORD_MAX >> 20);
            return INPUT_FAILED;
        }
    }
    return INPUT_PIECE;
}

static bool starts_with_mark(const struct input_piece *piece)
{
    return piece->first && piece->source->format != INPUT_KV && piece->size >= 3 &&
           memcmp(piece->data, "\xef\xbb\xbf", 3) == 0;
}

enum input_next input_next(struct input *input, struct buffer *data, struct input_piece *piece,
                           char *message, size_t message_size)
{
    size_t whole = 0;
    enum input_next next;

    if (input->current == input->source_count) {
        return INPUT_END;
    }
    if (input->fd < 0 && !open_source(input, message, message_size)) {
        return INPUT_FAILED;
    }
    data->size = 0;
    buffer_reserve(data, INPUT_PIECE_SIZE + JSON_SHIM_PADDING);
    buffer_add(data, input->rest.data, input->rest.size);
    next = read_records(input, data, &whole, message, message_size);
    if (next != INPUT_PIECE) {
        return next;
    }
    input->rest.size = 0;
    buffer_add(&input->rest, data->data + whole, data->size - whole);
    buffer_reserve(data, JSON_SHIM_PADDING);
    memset(data->data + whole, 0, JSON_SHIM_PADDING);
    *piece = (struct input_piece){.source = &input->sources[input->current],
                                  .data = data->data,
                                  .size = whole,
                                  .offset = input->offset,
                                  .first = input->offset == 0};
    if (starts_with_mark(piece)) {
        memmove(piece->data, piece->data + 3, piece->size - 3 + JSON_SHIM_PADDING);
        piece->size -= 3;
    }
    input->offset += whole;
    atomic_fetch_add(&input->consumed, whole);
    if (input->at_end) {
        close_source(input);
    }
    return INPUT_PIECE;
}

uint64_t input_count_lines(const char *data, size_t size)
{
    const char *end = data + size;
    uint64_t count = 0;

    while (data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        count++;
        data++;
    }
    return count;
}
