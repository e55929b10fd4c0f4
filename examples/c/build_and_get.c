/*
 * build_and_get.c - the whole library in one page: build a snapshot, publish it, read a key.
 *
 * Usage: build_and_get file:///absolute/folder
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <shardyfusion/shardyfusion.h>

static int fail(const shardy_error *err)
{
    fprintf(stderr, "%s: %s\n", shardy_status_name(err->status), err->message);
    return 1;
}

/* Write three rows to two shards; the second row with the key 7 replaces the first. */
static shardy_status build(const char *url, shardy_error *err)
{
    static const struct {
        int64_t key;
        const char *value;
    } rows[] = {{7, "seven"}, {42, "forty-two"}, {7, "seven, again"}};

    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_build_result result = {0};
    shardy_status status;

    options.url = url;
    options.num_dbs = 2;
    status = shardy_writer_open(&options, &writer, err);
    for (size_t i = 0; status == SHARDY_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        shardy_key key = shardy_key_int(rows[i].key);

        status = shardy_writer_add(writer, &key, rows[i].value, strlen(rows[i].value), err);
    }
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, &result, err);
    if (status == SHARDY_OK)
        printf("published %" PRIu64 " rows in %" PRIu32 " shards\n", result.rows_written,
               result.num_dbs);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    return status;
}

/* Look keys up: one by one, the value stays valid until it is cleared. */
static shardy_status print_values(const char *url, shardy_error *err)
{
    static const int64_t keys[] = {7, 42, 99};

    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_status status;

    options.url = url;
    status = shardy_reader_open(&options, &reader, err);
    for (size_t i = 0; status == SHARDY_OK && i < sizeof(keys) / sizeof(keys[0]); i++) {
        shardy_key key = shardy_key_int(keys[i]);
        shardy_value value = SHARDY_VALUE_INIT;

        status = shardy_reader_get(reader, &key, &value, err);
        if (status == SHARDY_OK && value.data)
            printf("%" PRId64 " = %.*s\n", keys[i], (int)value.size, (const char *)value.data);
        else if (status == SHARDY_OK)
            printf("%" PRId64 " is absent\n", keys[i]);
        shardy_value_clear(&value);
    }
    shardy_reader_free(reader);
    return status;
}

int main(int argc, char **argv)
{
    shardy_error err = SHARDY_ERROR_INIT;

    if (argc != 2) {
        fprintf(stderr, "usage: %s file:///absolute/folder\n", argv[0]);
        return 2;
    }
    if (build(argv[1], &err) != SHARDY_OK || print_values(argv[1], &err) != SHARDY_OK)
        return fail(&err);
    return 0;
}
