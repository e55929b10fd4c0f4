/*
 * writer_cel_sample.h - shared by the tests of builds that route by CEL: rows whose region and tier
 * follow from their key, as batches of borrowed buffers or with contexts.
 */
#ifndef TESTS_WRITER_CEL_SAMPLE_H
#define TESTS_WRITER_CEL_SAMPLE_H

#include "snapshot_sample.h"

#include "cel_sample.h"

static const shardy_cel_column int_key[] = {{"key", "int"}};
static const shardy_cel_column region_tier[] = {{"region", "string"}, {"tier", "int"}};
static const char *const regions[] = {"us", "eu", "apac", "", "\xc3\xa9"};

struct place {
    char path[256];
    char url[256];
};

static inline int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    *state = place;
    return 0;
}

static inline int tear_down(void **state)
{
    struct place *place = *state;
    remove_folder(place->path);
    free(place);
    return 0;
}

static inline shardy_writer *open_writer(const struct place *place, const shardy_cel_sharding *cel,
                                         uint32_t num_dbs, const shardy_writer_options *more)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    if (more) {
        options = *more;
    }
    options.url = place->url;
    options.num_dbs = num_dbs;
    options.cel = cel;
    snap_ok(shardy_writer_open(&options, &writer, err));
    return writer;
}

static inline shardy_cel_sharding direct(const char *expression)
{
    shardy_cel_sharding sharding = {
        .expression = expression, .columns = int_key, .column_count = 1};
    return sharding;
}

static inline shardy_cel_sharding by_region(const char *expression)
{
    shardy_cel_sharding sharding = {
        .expression = expression, .columns = region_tier, .column_count = 2};
    return sharding;
}

static inline shardy_status add(shardy_writer *writer, int64_t number,
                                const shardy_context *context, shardy_error *err)
{
    shardy_key key = shardy_key_int(number);
    return shardy_writer_add_with_context(writer, &key, &number, sizeof number, context, err);
}

/* Values are the keys. */
static inline void value_is(shardy_reader *reader, int64_t number, const shardy_context *context,
                            uint32_t want)
{
    shardy_key key = shardy_key_int(number);
    shardy_value value = SHARDY_VALUE_INIT;
    uint32_t db_id;
    snap_ok(shardy_reader_route(reader, &key, context, &db_id, err));
    assert_int_equal(db_id, want);
    snap_ok(shardy_reader_get_with_context(reader, &key, context, &value, err));
    assert_int_equal(value.size, sizeof number);
    assert_memory_equal(value.data, &number, sizeof number);
    shardy_value_clear(&value);
}

static inline char *sharding_of(shardy_reader *reader)
{
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    char *text = strdup(about.sharding_json);
    shardy_snapshot_info_clear(&about);
    return text;
}

/* A batch of keys, values and two columns; everything is borrowed. */
struct rows {
    struct cel_array columns[4];
    struct cel_table table;
    int64_t *keys;
    int64_t *tiers;
    int32_t *offsets;
    char *text;
    int32_t *value_ends;
};

static inline void rows_make(struct rows *rows, int64_t first, size_t count, size_t kinds)
{
    struct cel_array *list[4] = {&rows->columns[0], &rows->columns[1], &rows->columns[2],
                                 &rows->columns[3]};
    rows->keys = snap_alloc(count * sizeof *rows->keys);
    rows->tiers = snap_alloc(count * sizeof *rows->tiers);
    rows->offsets = snap_alloc((count + 1) * sizeof *rows->offsets);
    rows->text = snap_alloc(count * 8);
    rows->value_ends = snap_alloc((count + 1) * sizeof *rows->value_ends);
    for (size_t i = 0; i < count; i++) {
        const char *region = regions[(size_t)(first + (int64_t)i) * 7 % kinds];
        rows->keys[i] = first + (int64_t)i;
        rows->tiers[i] = (first + (int64_t)i) % 3;
        memcpy(rows->text + rows->offsets[i], region, strlen(region));
        rows->offsets[i + 1] = rows->offsets[i] + (int32_t)strlen(region);
        rows->value_ends[i + 1] = (int32_t)(i + 1) * 8;
    }
    cel_array_init(list[0], "key", "l", (int64_t)count, NULL, rows->keys, NULL);
    cel_array_init(list[1], "value", "z", (int64_t)count, NULL, rows->value_ends, rows->keys);
    cel_array_init(list[2], "region", "u", (int64_t)count, NULL, rows->offsets, rows->text);
    cel_array_init(list[3], "tier", "l", (int64_t)count, NULL, rows->tiers, NULL);
    cel_table_init(&rows->table, (int64_t)count, list, 4);
}

static inline void rows_free(struct rows *rows)
{
    free(rows->keys);
    free(rows->tiers);
    free(rows->offsets);
    free(rows->text);
    free(rows->value_ends);
}

static inline shardy_context row_context(int64_t number, size_t kinds,
                                         shardy_context_entry entries[2])
{
    const char *region = regions[(size_t)number * 7 % kinds];
    shardy_context context = {entries, 2};
    entries[0].name = "region";
    entries[0].value = cel_text(region);
    entries[1].name = "tier";
    entries[1].value = shardy_cel_int(number % 3);
    return context;
}

#endif
