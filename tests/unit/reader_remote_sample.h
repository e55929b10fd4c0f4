/*
 * reader_remote_sample.h - shared by the tests of readers on remote stores: a snapshot that our
 * writer published into a memory store, read through a remote view of it, and the model to compare.
 */
#ifndef TESTS_READER_REMOTE_SAMPLE_H
#define TESTS_READER_REMOTE_SAMPLE_H

#include "store_remote_sample.h"

#include "reader/reader_internal.h"

#define RR_URL "memory://remote/snap"

struct rr_place {
    struct snap_table table;
    struct rs_store *store;
    shardy_reader *reader;
    uint32_t num_dbs;
};

static inline int rr_set_up(void **state)
{
    *state = snap_alloc(sizeof(struct rr_place));
    return 0;
}

/* Everything that is in the memory store. */
static inline void rr_wipe(void)
{
    struct sfi_store *store = NULL;
    struct sfi_store_list list;
    snap_ok(sfi_store_open(RR_URL, NULL, &store, err));
    snap_ok(sfi_store_list(store, "", true, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        snap_ok(sfi_store_delete(store, list.entries[i].name, err));
    }
    sfi_store_list_clear(&list);
    sfi_store_release(store);
}

static inline void rr_close_place(struct rr_place *place)
{
    shardy_reader_free(place->reader);
    if (place->store) {
        sfi_store_release(&place->store->base);
    }
    place->reader = NULL;
    place->store = NULL;
}

static inline int rr_tear_down(void **state)
{
    struct rr_place *place = *state;
    rr_close_place(place);
    snap_clear(&place->table);
    rr_wipe();
    free(place);
    return 0;
}

static inline void rr_publish(struct rr_place *place, size_t rows, size_t value_size,
                              uint32_t num_dbs)
{
    place->table.encoding = SHARDY_KEY_U64BE;
    place->num_dbs = num_dbs;
    uint8_t *value = snap_alloc(value_size + 8);
    for (size_t i = 0; i < rows; i++) {
        snap_fill(value, value_size, i);
        snap_add_int(&place->table, i, value, value_size);
    }
    free(value);
    shardy_writer_options options = snap_options(RR_URL, &place->table, num_dbs);
    snap_ok(snap_build(&options, &place->table, SNAP_BATCHES, NULL, err));
}

static inline shardy_reader_options rr_range_options(void)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    options.url = RR_URL;
    options.access = SHARDY_ACCESS_RANGE;
    return options;
}

static inline void rr_open_with(struct rr_place *place, const shardy_reader_options *options)
{
    rr_close_place(place);
    place->store = rs_open(RR_URL);
    snap_ok(sfi_reader_open_on(options, &place->store->base, &place->reader, err));
}

static inline void rr_open_place(struct rr_place *place)
{
    shardy_reader_options options = rr_range_options();
    rr_open_with(place, &options);
}

static inline void rr_value_is(struct rr_place *place, size_t row)
{
    const struct snap_row *want = &place->table.rows[row];
    shardy_key key = snap_key(&place->table, want);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(place->reader, &key, &value, err));
    assert_non_null(value.data);
    assert_int_equal(value.size, want->value_size);
    assert_memory_equal(value.data, want->value, value.size);
    shardy_value_clear(&value);
}

/* Row of the model that lies in a shard. */
static inline size_t rr_row_of(const struct rr_place *place, uint32_t db_id, size_t nth)
{
    for (size_t i = 0; i < place->table.count; i++) {
        if (snap_route(&place->table, &place->table.rows[i], place->num_dbs) == db_id &&
            nth-- == 0) {
            return i;
        }
    }
    fail_msg("shard %u has too few rows", db_id);
    return 0;
}

static inline void rr_check_many(struct rr_place *place, const size_t *rows, size_t count)
{
    shardy_key *keys = snap_alloc(count * sizeof *keys);
    shardy_items items = SHARDY_ITEMS_INIT;
    for (size_t i = 0; i < count; i++) {
        keys[i] = rows[i] < place->table.count
                      ? snap_key(&place->table, &place->table.rows[rows[i]])
                      : shardy_key_int((int64_t)rows[i]);
    }
    snap_ok(shardy_reader_multi_get(place->reader, keys, count, &items, err));
    assert_int_equal(items.count, count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i] >= place->table.count) {
            assert_null(items.items[i].data);
            continue;
        }
        const struct snap_row *want = &place->table.rows[rows[i]];
        assert_non_null(items.items[i].data);
        assert_int_equal(items.items[i].size, want->value_size);
        assert_memory_equal(items.items[i].data, want->value, want->value_size);
    }
    shardy_items_clear(&items);
    free(keys);
}

static inline void rr_counts_are(struct rr_place *place, size_t rounds, size_t most_requests)
{
    assert_int_equal(place->store->rounds, rounds);
    assert_in_range(place->store->requests, 1, most_requests);
    assert_int_equal(place->store->heads + place->store->lists + place->store->writes, 0);
    rs_reset(place->store);
}

#endif
