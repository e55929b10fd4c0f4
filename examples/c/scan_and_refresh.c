/*
 * scan_and_refresh.c - follow a snapshot while new versions are published, and read ranges of it.
 *
 * A reader keeps serving the snapshot it has until it is told to refresh; a snapshot that is held
 * stays readable after that. Scans see the rows of all shards in key order.
 *
 * Usage: scan_and_refresh file:///absolute/folder
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <shardyfusion/shardyfusion.h>

/* Publish fruits with the given suffix as value, for example "apple" = "apple v1". */
static shardy_status publish(const char *url, const char *suffix, shardy_error *err)
{
    static const char *const fruits[] = {"cherry", "apple", "banana", "apricot", "avocado"};

    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_status status;

    options.url = url;
    options.num_dbs = 3;
    options.key_encoding = SHARDY_KEY_UTF8;
    status = shardy_writer_open(&options, &writer, err);
    for (size_t i = 0; status == SHARDY_OK && i < sizeof(fruits) / sizeof(fruits[0]); i++) {
        shardy_key key = shardy_key_str(fruits[i], strlen(fruits[i]));
        char value[64];

        snprintf(value, sizeof(value), "%s %s", fruits[i], suffix);
        status = shardy_writer_add(writer, &key, value, strlen(value), err);
    }
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, NULL, err);
    shardy_writer_free(writer);
    return status;
}

/* Rows of one snapshot whose keys start with `prefix`, in key order. */
static shardy_status print_prefix(shardy_snapshot *snapshot, const char *prefix, shardy_error *err)
{
    shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
    shardy_scan *scan = NULL;
    shardy_row row;
    bool found = true;
    shardy_status status;

    options.prefix = prefix;
    options.prefix_size = strlen(prefix);
    status = shardy_snapshot_scan(snapshot, &options, &scan, err);
    while (status == SHARDY_OK && found) {
        status = shardy_scan_next(scan, &row, &found, err);
        if (status == SHARDY_OK && found)
            printf("  %.*s = %.*s\n", (int)row.key_size, (const char *)row.key, (int)row.value_size,
                   (const char *)row.value);
    }
    shardy_scan_free(scan);
    return status;
}

static shardy_status follow(const char *url, shardy_reader *reader, shardy_error *err)
{
    shardy_snapshot *first = NULL;
    shardy_snapshot *second = NULL;
    bool changed = false;
    shardy_status status = shardy_reader_snapshot(reader, &first, err);

    if (status == SHARDY_OK)
        status = publish(url, "v2", err);
    if (status == SHARDY_OK)
        status = shardy_reader_refresh(reader, &changed, err);
    if (status == SHARDY_OK)
        status = shardy_reader_snapshot(reader, &second, err);
    if (status == SHARDY_OK) {
        printf("refreshed: %s\nbefore:\n", changed ? "yes" : "no");
        status = print_prefix(first, "ap", err);
    }
    if (status == SHARDY_OK) {
        printf("after:\n");
        status = print_prefix(second, "ap", err);
    }
    shardy_snapshot_release(first);
    shardy_snapshot_release(second);
    return status;
}

int main(int argc, char **argv)
{
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_status status;

    if (argc != 2) {
        fprintf(stderr, "usage: %s file:///absolute/folder\n", argv[0]);
        return 2;
    }
    options.url = argv[1];
    status = publish(argv[1], "v1", &err);
    if (status == SHARDY_OK)
        status = shardy_reader_open(&options, &reader, &err);
    if (status == SHARDY_OK)
        status = follow(argv[1], reader, &err);
    shardy_reader_free(reader);
    if (status != SHARDY_OK) {
        fprintf(stderr, "%s: %s\n", shardy_status_name(err.status), err.message);
        return 1;
    }
    return 0;
}
