/*
 * cel_routing.c - try an expression, build a snapshot that it shards, read it with a context.
 *
 * Usage: cel_routing file:///absolute/folder
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <shardyfusion/shardyfusion.h>

/* One shard for the European Union, one for the rest. */
static const char expression[] = "region in ['de', 'fr', 'it'] ? 0 : 1";
static const shardy_cel_column columns[] = {{"region", "string"}};

static const struct {
    int64_t key;
    const char *region;
    const char *value;
} rows[] = {{1, "de", "Hamburg"}, {2, "us", "Boston"}, {3, "fr", "Lyon"}};

static int fail(const shardy_error *err)
{
    fprintf(stderr, "%s: %s\n", shardy_status_name(err->status), err->message);
    return 1;
}

/* Compile once, evaluate as often as there are rows, from any thread. */
static shardy_status try_expression(shardy_error *err)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    shardy_cel *cel = NULL;
    shardy_status status;

    options.expression = expression;
    options.columns = columns;
    options.column_count = 1;
    status = shardy_cel_compile(&options, &cel, err);
    if (status == SHARDY_OK)
        printf("%s gives %s\n", expression, shardy_cel_result_type(cel));
    for (size_t i = 0; status == SHARDY_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        shardy_context_entry entry = {"region",
                                      shardy_cel_string(rows[i].region, strlen(rows[i].region))};
        shardy_context context = {&entry, 1};

        status = shardy_cel_evaluate(cel, &context, &result, err);
        if (status == SHARDY_OK)
            printf("%s -> %" PRId64 "\n", rows[i].region, result.value.integer);
    }
    shardy_cel_result_clear(&result);
    shardy_cel_free(cel);
    return status;
}

static shardy_status build(const char *url, shardy_error *err)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_cel_sharding sharding = {0};
    shardy_writer *writer = NULL;
    shardy_status status;

    sharding.expression = expression;
    sharding.columns = columns;
    sharding.column_count = 1;
    options.url = url;
    options.cel = &sharding;
    status = shardy_writer_open(&options, &writer, err);
    for (size_t i = 0; status == SHARDY_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        shardy_key key = shardy_key_int(rows[i].key);
        shardy_context_entry entry = {"region",
                                      shardy_cel_string(rows[i].region, strlen(rows[i].region))};
        shardy_context context = {&entry, 1};

        status = shardy_writer_add_with_context(writer, &key, rows[i].value, strlen(rows[i].value),
                                                &context, err);
    }
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, NULL, err);
    shardy_writer_free(writer);
    return status;
}

/* The key does not tell the shard here: the context does. */
static shardy_status read_back(const char *url, shardy_error *err)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_context_entry entry = {"region", shardy_cel_string("fr", 2)};
    shardy_context context = {&entry, 1};
    shardy_reader *reader = NULL;
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_key key = shardy_key_int(3);
    shardy_status status;

    options.url = url;
    status = shardy_reader_open(&options, &reader, err);
    if (status == SHARDY_OK)
        status = shardy_reader_get_with_context(reader, &key, &context, &value, err);
    if (status == SHARDY_OK && value.data)
        printf("3 = %.*s\n", (int)value.size, (const char *)value.data);
    shardy_value_clear(&value);
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
    if (try_expression(&err) != SHARDY_OK || build(argv[1], &err) != SHARDY_OK ||
        read_back(argv[1], &err) != SHARDY_OK)
        return fail(&err);
    return 0;
}
