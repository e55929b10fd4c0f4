/*
 * input.h - input files of a build: cut into pieces at record borders, parsed piece by piece.
 */
#ifndef SHARDY_CLI_INPUT_H
#define SHARDY_CLI_INPUT_H

#include <stdatomic.h>

#include "row_batch.h"

/* In the order of INPUT_FORMAT_CHOICES. */
enum input_format_id { INPUT_CSV, INPUT_TSV, INPUT_JSONL, INPUT_KV };
#define INPUT_FORMAT_CHOICES "csv tsv jsonl kv"

/* Longest record of an input; also keeps offsets of one piece below 2^31. */
#define INPUT_RECORD_MAX ((size_t)512 << 20)

/* Usual size of a piece: large enough to amortise locks and calls, small enough for caches. */
#define INPUT_PIECE_SIZE ((size_t)2 << 20)

struct csv_layout;

/* One input file. */
struct input_source {
    const char *path; /* "-" = standard input */
    enum input_format_id format;
    struct csv_layout *layout; /* header of a CSV or TSV file, set by its first piece */
};

/* Part of an input file that holds whole records. */
struct input_piece {
    struct input_source *source;
    char *data; /* followed by JSON_SHIM_PADDING bytes */
    size_t size;
    uint64_t offset; /* in the file */
    bool first;      /* starts with the header, when there is one */
};

/* Reads sources one after the other. One thread at a time. */
struct input {
    struct input_source *sources;
    size_t source_count;
    size_t current; /* source that is read */
    int fd;         /* -1 = not open */
    bool is_stream; /* not a regular file: wait for data and for SIGINT */
    bool at_end;
    uint64_t offset;
    struct buffer rest; /* bytes read after the last border */
    uint64_t total;     /* bytes of all inputs, 0 = unknown */
    _Atomic uint64_t consumed;
};

/* Find sizes. @return false with `message` set when an input cannot be used */
bool input_init(struct input *input, struct input_source *sources, size_t count, char *message,
                size_t message_size);
void input_clear(struct input *input);

enum input_next { INPUT_PIECE, INPUT_END, INPUT_FAILED, INPUT_INTERRUPTED };

/* Next piece, in order. @param data  memory of the caller, used again by its next call */
enum input_next input_next(struct input *input, struct buffer *data, struct input_piece *piece,
                           char *message, size_t message_size);

/*
 * Per format: how much of `size` bytes from a record border on is whole records (0 = no border),
 * and the parser of a piece.
 */
size_t csv_cut(const char *data, size_t size);
size_t jsonl_cut(const char *data, size_t size);
size_t kv_cut(const char *data, size_t size);

/* Header of a CSV or TSV file. NULL with `error` set on failure. */
struct csv_layout *csv_layout_read(const char *data, size_t size, char delimiter,
                                   const struct row_rules *rules, struct row_error *error);
void csv_layout_free(struct csv_layout *layout);

/* What a parsing thread keeps between pieces. */
struct csv_state;
struct csv_state *csv_state_new(void);
void csv_state_free(struct csv_state *state);

struct json_shim;

void csv_parse_piece(struct csv_state *state, const struct input_piece *piece,
                     struct row_batch *batch, struct row_error *error);
void jsonl_parse_piece(struct json_shim *shim, const struct input_piece *piece,
                       struct row_batch *batch, struct row_error *error);
void kv_parse_piece(const struct input_piece *piece, struct row_batch *batch,
                    struct row_error *error);

/* Number of line feeds. */
uint64_t input_count_lines(const char *data, size_t size);

#endif
