/*
 * output.h - where results go and how they look: bytes, JSON, text and tables.
 *
 * output_json.c is the look of `json` and `jsonl`, output_text.c that of values and times in all
 * formats, output_table.c that of columns. What a command prints is in its own cmd_<name>.c.
 */
#ifndef SHARDY_CLI_OUTPUT_H
#define SHARDY_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <shardyfusion/key.h>

#include "buffer.h"

/* In the order of OUTPUT_FORMAT_CHOICES. */
enum output_format { FORMAT_JSON, FORMAT_JSONL, FORMAT_TABLE, FORMAT_TEXT };
#define OUTPUT_FORMAT_CHOICES "json jsonl table text"

/* One of the two output streams. The first failure is kept and stops further output. */
struct out {
    FILE *file;
    bool terminal; /* a person looks at it: control characters are shown, not sent */
    int failure;   /* errno of the first failed write; 0 = none */
};

void out_init(struct out *out, FILE *file);
void out_bytes(struct out *out, const void *data, size_t size);
void out_text(struct out *out, const char *text);
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_flush(struct out *out);

/* Text of a key, value or message: raw, but with control characters as \xNN on a terminal. */
void out_visible(struct out *out, const void *data, size_t size);

/* A time as ISO 8601 with offset +00:00; the fraction has six digits, or is left out when zero. */
void out_format_time(int64_t time_us, char buffer[48]);

/* A key: integers in decimal, text and bytes as they are. */
void out_key(struct buffer *buffer, const shardy_key *key);

/* JSON, written as it comes. `pretty` is the json format, otherwise jsonl. */
struct json {
    struct out *out;
    bool pretty;
    unsigned depth;
    uint64_t filled; /* bit per depth: something was written there */
    bool after_key;
};

void json_init(struct json *json, struct out *out, enum output_format format);
void json_begin_object(struct json *json);
void json_end_object(struct json *json);
void json_begin_list(struct json *json);
void json_end_list(struct json *json);
void json_key(struct json *json, const char *key);
void json_string(struct json *json, const void *text, size_t size);
void json_text(struct json *json, const char *text); /* NULL = null */
void json_int(struct json *json, int64_t number);
void json_uint(struct json *json, uint64_t number);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);
void json_raw(struct json *json, const char *text, size_t size); /* a value as it is written */
void json_decimal(struct json *json, double number, int decimals);
void json_logical_key(struct json *json, const shardy_key *key); /* NULL = null */

/* Start and end a whole result: `{"op": "<op>"` ... `}` and the newline. */
void json_begin_result(struct json *json, struct out *out, enum output_format format,
                       const char *op);
void json_end_result(struct json *json);

/* One cell of a table row, padded to `width` code points; wider text overflows. */
enum cell_align { CELL_LEFT, CELL_RIGHT };
void table_cell(struct out *out, enum cell_align align, size_t width, const void *text,
                size_t size);
void table_gap(struct out *out);
void table_rule(struct out *out, size_t width);

#endif
