/*
 * test_faults_read.c - reading under faults: each fault of the proxy at each request of a cold read
 * by ranges, of one by downloads, and of a refresh. A get gives the right bytes or an error, never
 * another key's value and never "absent" because of an error (I6); once the fault is gone the same
 * reader works. Further: objects replaced or removed under a reader, and readers who may not write.
 *
 * Flipped bits. Checked downloads of our own shards notice every one of them. By ranges, and in
 * manifests and pointers, nothing sums the bytes up (the formats have no place for it): structure
 * is checked, so most are noticed, but a bit of a value comes through as it is, and one of a key
 * makes that key absent. `shardy verify` notices the former only when the object itself is damaged.
 */
#include "fault_run.h"

#define ROWS      240
#define SHARDS_OF 3
#define PROBES    (ROWS + 10)
#define STATUSES  (STATUS(STORE))
#define OTHERS                                                                                 \
    (STATUS(STORE) | STATUS(CONFIG) | STATUS(NOT_FOUND) | STATUS(CONFLICT) | STATUS(CORRUPT) | \
     STATUS(MANIFEST) | STATUS(READER_STATE) | STATUS(LIMIT) | STATUS(UNSUPPORTED))

struct reading {
    struct snap_table tables[2]; /* [0]: what was current before, [1]: what is */
    unsigned generation;
    shardy_access access;
    shardy_reader *reader;
    bool changed; /* the refresh said so */
    shardy_status status;
    unsigned seen[2]; /* values of the old and of the new generation */
};

/* ---- rows ------------------------------------------------------------------------------------ */

/* Small values, some on overflow pages, each of them told from all others. */
static void make_table(unsigned generation, struct snap_table *table)
{
    uint8_t *value = snap_alloc(20008);
    memset(table, 0, sizeof *table);
    table->encoding = SHARDY_KEY_U64BE;
    for (uint64_t i = 0; i < ROWS; i++) {
        size_t size = i % 40 == 7 ? 20000 - i : 60 + i % 90;
        snap_fill(value, size, generation * UINT64_C(1000) + i);
        snap_add_int(table, i * 104729, value, size);
    }
    free(value);
}

static shardy_status write_generation(struct place *place, struct snap_table *table)
{
    struct reading *reading = place->state;
    shardy_store_option store[STORE_OPTIONS];
    shardy_error err = SHARDY_ERROR_INIT;
    make_table(++reading->generation, table);
    shardy_writer_options options = snap_options(place->url, table, SHARDS_OF);
    store_options(place, false, store);
    options.store_options = store;
    options.store_option_count = STORE_OPTIONS;
    shardy_status st = snap_build(&options, table, SNAP_BATCHES, NULL, &err);
    CHECK(st == SHARDY_OK, "set up: %s", err.message);
    return st;
}

static shardy_status open_reader(struct place *place, bool proxied, shardy_error *err)
{
    struct reading *reading = place->state;
    shardy_store_option store[STORE_OPTIONS];
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    store_options(place, proxied, store);
    options.url = place->url;
    options.access = reading->access;
    options.local_root = place->folder;
    options.store_options = store;
    options.store_option_count = STORE_OPTIONS;
    options.events = &event_sink;
    options.logs = &log_sink;
    return shardy_reader_open(&options, &reading->reader, err);
}

static bool is_value(const struct snap_row *row, const void *data, size_t size)
{
    return size == row->value_size && memcmp(data, row->value, size) == 0;
}

/* A value that is not the one of the row: another key's, or none's. */
static void check_wrong(struct place *place, const struct snap_table *table, size_t row,
                        const void *data, size_t size)
{
    struct reading *reading = place->state;
    for (size_t i = 0; i < table->count; i++) {
        CHECK(!is_value(&table->rows[i], data, size), "key of row %zu has the value of row %zu",
              row, i);
    }
    CHECK(place->fault && place->fault->flags & FLIPS && reading->access == SHARDY_ACCESS_RANGE,
          "row %zu: %zu bytes that nobody wrote", row, size);
    atomic_fetch_add(&shared->unnoticed, 1);
}

/* One answer of a lookup. `row` beyond the table: the key is absent. */
static void check_answer(struct place *place, size_t row, const void *data, size_t size)
{
    struct reading *reading = place->state;
    bool flips = place->fault && place->fault->flags & FLIPS;
    if (row >= ROWS) {
        CHECK(!data, "key %zu is absent, and has %zu bytes", row, size);
        return;
    }
    if (!data) {
        CHECK(flips, "row %zu is absent, but no error", row);
        atomic_fetch_add(&shared->vanished, flips);
        return;
    }
    for (unsigned t = 0; t < 2; t++) {
        if (reading->tables[t].count && is_value(&reading->tables[t].rows[row], data, size)) {
            reading->seen[t]++;
            return;
        }
    }
    check_wrong(place, &reading->tables[1], row, data, size);
}

static shardy_key key_of(size_t row)
{
    return shardy_key_int((int64_t)row * 104729);
}

/* A few single gets and one of many keys. */
static shardy_status read_rows(struct place *place, shardy_error *err)
{
    static const size_t singles[] = {3, 47, ROWS + 5};
    struct reading *reading = place->state;
    shardy_key keys[PROBES];
    shardy_items items = SHARDY_ITEMS_INIT;
    memset(reading->seen, 0, sizeof reading->seen);
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_key key = key_of(singles[i]);
        SFI_RETURN_IF_ERR(shardy_reader_get(reading->reader, &key, &value, err));
        check_answer(place, singles[i], value.data, value.size);
        shardy_value_clear(&value);
    }
    for (size_t i = 0; i < PROBES; i++) {
        keys[i] = key_of(i);
    }
    SFI_RETURN_IF_ERR(shardy_reader_multi_get(reading->reader, keys, PROBES, &items, err));
    for (size_t i = 0; i < PROBES; i++) {
        check_answer(place, i, items.items[i].data, items.items[i].size);
    }
    shardy_items_clear(&items);
    return SHARDY_OK;
}

static void check_read_error(struct place *place, shardy_status st, const shardy_error *err)
{
    bool absorbed = !place->fault || place->fault->flags & ABSORBED;
    atomic_fetch_add(&shared->absorbed, st == SHARDY_OK);
    CHECK(st == SHARDY_OK || !absorbed || !place->once, "one fault was enough: %s", err->message);
    if (st != SHARDY_OK) {
        check_error(place, err, absorbed ? STATUSES : OTHERS);
    }
}

/* ---- cold reads ------------------------------------------------------------------------------ */

static void set_up(struct place *place, shardy_access access)
{
    struct reading *reading = snap_alloc(sizeof *reading);
    place->state = reading;
    reading->access = access;
    (void)write_generation(place, &reading->tables[1]);
}

static void set_up_range(struct place *place)
{
    set_up(place, SHARDY_ACCESS_RANGE);
}

static void set_up_download(struct place *place)
{
    set_up(place, SHARDY_ACCESS_DOWNLOAD);
}

static void tear_down(struct place *place)
{
    struct reading *reading = place->state;
    shardy_reader_free(reading->reader);
    snap_clear(&reading->tables[0]);
    snap_clear(&reading->tables[1]);
    free(reading);
    place->state = NULL;
}

/* Nothing is in the cache directory. */
static void prepare_cold(struct place *place)
{
    remove_folder(place->folder);
    CHECK(mkdir(place->folder, 0700) == 0, "%s cannot be made", place->folder);
}

static void act_cold(struct place *place)
{
    struct reading *reading = place->state;
    shardy_error err = SHARDY_ERROR_INIT;
    reading->status = open_reader(place, true, &err);
    if (reading->status == SHARDY_OK) {
        reading->status = read_rows(place, &err);
    }
    check_read_error(place, reading->status, &err);
}

/*
 * Without the fault the same reader works. Only what it holds already can be wrong for good, and
 * only flipped bits that nothing noticed.
 */
static void judge_cold(struct place *place)
{
    struct reading *reading = place->state;
    const struct fault *fault = place->fault;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_status st = SHARDY_OK;
    if (fault && fault->flags & FLIPS && reading->access == SHARDY_ACCESS_RANGE) {
        shardy_reader_free(reading->reader); /* what it has is not what the server has */
        reading->reader = NULL;
    }
    place->fault = NULL;
    if (!reading->reader) {
        st = open_reader(place, true, &err);
    }
    st = st == SHARDY_OK ? read_rows(place, &err) : st;
    if (st != SHARDY_OK && fault && fault->flags & FLIPS) {
        /* The manifest that it holds is a damaged one. */
        shardy_reader_free(reading->reader);
        reading->reader = NULL;
        st = open_reader(place, true, &err);
        st = st == SHARDY_OK ? read_rows(place, &err) : st;
    }
    CHECK(st == SHARDY_OK, "without the fault: %s", err.message);
    shardy_reader_free(reading->reader);
    reading->reader = NULL;
    place->fault = fault;
}

/* ---- refresh --------------------------------------------------------------------------------- */

/* A reader of what is current, which then is not any more. */
static void prepare_refresh(struct place *place)
{
    struct reading *reading = place->state;
    shardy_error err = SHARDY_ERROR_INIT;
    snap_clear(&reading->tables[0]);
    reading->tables[0] = reading->tables[1];
    shardy_status st = open_reader(place, true, &err);
    st = st == SHARDY_OK ? read_rows(place, &err) : st;
    CHECK(st == SHARDY_OK, "set up: %s", err.message);
    (void)write_generation(place, &reading->tables[1]);
}

/* I1: rows of one generation, the one that was promised. */
static void check_generation(struct place *place, bool is_new)
{
    struct reading *reading = place->state;
    CHECK(reading->seen[!is_new] == 0, "%u values of the %s generation, %u of the %s",
          reading->seen[!is_new], is_new ? "old" : "new", reading->seen[is_new],
          is_new ? "new" : "old");
}

static void act_refresh(struct place *place)
{
    struct reading *reading = place->state;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_error read_err = SHARDY_ERROR_INIT;
    reading->changed = false;
    reading->status = shardy_reader_refresh(reading->reader, &reading->changed, &err);
    check_read_error(place, reading->status, &err);
    CHECK(reading->status == SHARDY_OK || !reading->changed, "failed, and changed");
    CHECK(reading->status != SHARDY_OK || reading->changed || !place->fault || !place->once ||
              !(place->fault->flags & ABSORBED),
          "nothing changed");
    shardy_status st = read_rows(place, &read_err);
    check_read_error(place, st, &read_err);
    if (st == SHARDY_OK) {
        check_generation(place, reading->changed);
    }
}

static void judge_refresh(struct place *place)
{
    struct reading *reading = place->state;
    const struct fault *fault = place->fault;
    shardy_error err = SHARDY_ERROR_INIT;
    bool changed = false;
    bool flips = fault && fault->flags & FLIPS;
    place->fault = NULL;
    shardy_status st = shardy_reader_refresh(reading->reader, &changed, &err);
    CHECK(st == SHARDY_OK, "refresh without the fault: %s", err.message);
    CHECK(changed || reading->changed, "the new snapshot is never seen");
    if (!flips) { /* else pages with flipped bits may be held */
        st = read_rows(place, &err);
        CHECK(st == SHARDY_OK, "without the fault: %s", err.message);
        check_generation(place, true);
    }
    shardy_reader_free(reading->reader);
    reading->reader = NULL;
    place->fault = fault;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const struct scenario scenarios[] = {
    {"range", 0, 0, set_up_range, NULL, act_cold, judge_cold, tear_down},
    {"download", 0, 0, set_up_download, prepare_cold, act_cold, judge_cold, tear_down},
    {"refresh", 0, 10, set_up_range, prepare_refresh, act_refresh, judge_refresh, tear_down},
};

static void test_product(void **state)
{
    (void)state;
    run_product(scenarios, COUNT_OF(scenarios));
    print_message("# flipped bits: %zu came through as values, %zu made a key absent\n",
                  atomic_load(&shared->unnoticed), atomic_load(&shared->vanished));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product),
    };
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    return cmocka_run_group_tests_name("faults_read", tests, start_faults, stop_faults);
}
