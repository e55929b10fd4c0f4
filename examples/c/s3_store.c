/*
 * s3_store.c - build a snapshot in an object store and read it, with options of the store.
 *
 * Credentials come from the environment, a profile, or what AWS gives the machine. Options say
 * where the store is and how it is talked to; nothing is written to the local disk here.
 *
 * Usage: s3_store s3://bucket/prefix [ENDPOINT]      for example http://127.0.0.1:7070
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <shardyfusion/shardyfusion.h>

/* Counts what goes over the network. Events come from several threads, but not at once here. */
struct traffic {
    int requests;
    int64_t bytes;
};

static void count(void *arg, const char *event, const shardy_field *fields, size_t field_count)
{
    struct traffic *traffic = arg;

    if (strcmp(event, "store.request") != 0)
        return;
    traffic->requests++;
    for (size_t i = 0; i < field_count; i++) {
        if (strcmp(fields[i].name, "received_bytes") == 0)
            traffic->bytes += fields[i].integer;
    }
}

static shardy_status build(const char *url, const shardy_store_option *store, size_t store_count,
                           shardy_error *err)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_build_result result = {0};
    shardy_status status;

    options.url = url;
    options.num_dbs = 4;
    options.store_options = store;
    options.store_option_count = store_count;
    status = shardy_writer_open(&options, &writer, err);
    for (int64_t i = 0; status == SHARDY_OK && i < 10000; i++) {
        shardy_key key = shardy_key_int(i);
        char value[64];
        int size = snprintf(value, sizeof(value), "row %" PRId64, i);

        status = shardy_writer_add(writer, &key, value, (size_t)size, err);
    }
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, &result, err);
    if (status == SHARDY_OK)
        printf("published %" PRIu64 " rows\n", result.rows_written);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    return status;
}

static shardy_status print_values(const char *url, const shardy_store_option *store,
                                  size_t store_count, shardy_error *err)
{
    shardy_key keys[] = {shardy_key_int(7), shardy_key_int(4711), shardy_key_int(99999)};
    struct traffic traffic = {0, 0};
    shardy_event_sink events = {count, &traffic};
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_status status;

    options.url = url;
    options.store_options = store;
    options.store_option_count = store_count;
    options.access = SHARDY_ACCESS_RANGE; /* only the pages that are needed, kept in memory */
    options.page_cache_bytes = 64 << 20;
    options.events = &events;
    status = shardy_reader_open(&options, &reader, err);
    if (status == SHARDY_OK) /* all shards are asked at the same time */
        status = shardy_reader_multi_get(reader, keys, sizeof(keys) / sizeof(keys[0]), &items, err);
    for (size_t i = 0; status == SHARDY_OK && i < items.count; i++) {
        const shardy_item *item = &items.items[i];

        printf("%.*s\n", item->data ? (int)item->size : 8,
               item->data ? (const char *)item->data : "(absent)");
    }
    shardy_items_clear(&items);
    shardy_reader_free(reader);
    if (status == SHARDY_OK)
        fprintf(stderr, "%d requests, %" PRId64 " bytes\n", traffic.requests, traffic.bytes);
    return status;
}

int main(int argc, char **argv)
{
    const shardy_store_option store[] = {
        {"max_attempts", "3"},
        {"connect_timeout", "2"},
        {"endpoint_url", argc > 2 ? argv[2] : ""},
    };
    size_t store_count = argc > 2 ? 3 : 2;
    shardy_error err = SHARDY_ERROR_INIT;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s s3://bucket/prefix [ENDPOINT]\n", argv[0]);
        return 2;
    }
    if (build(argv[1], store, store_count, &err) != SHARDY_OK ||
        print_values(argv[1], store, store_count, &err) != SHARDY_OK) {
        fprintf(stderr, "%s: %s\n", shardy_status_name(err.status), err.message);
        return 1;
    }
    return 0;
}
