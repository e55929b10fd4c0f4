/*
 * test_reader_threads.c - a reader shared by threads: lookups while it is refreshed and others
 * publish, close during lookups, one cold shard asked for by all at once, values and snapshots
 * given back by other threads than those that took them. Runs under ThreadSanitizer.
 */
#include "snapshot_sample.h"

#include <pthread.h>

#define GETTERS 4
#define KEYS    40

struct shared {
    char path[256];
    char url[256];
    shardy_reader *reader;
    atomic_bool stop;
    atomic_uint gets;
    atomic_uint failures;
    atomic_uint closed;
    atomic_uint published; /* newest generation that is current */
};

/* Every value of generation g is the number g; a multi-get must see one g only. */
static void publish_generation(struct shared *shared, uint32_t generation)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
    for (uint64_t key = 0; key < KEYS; key++) {
        snap_add_int(&table, key, &generation, sizeof generation);
    }
    shardy_writer_options options = snap_options(shared->url, &table, 1 + generation % 5);
    options.threads = 1;
    shardy_error error = SHARDY_ERROR_INIT;
    if (snap_build(&options, &table, SNAP_ROWS, NULL, &error) != SHARDY_OK) {
        fprintf(stderr, "# generation %u: %s\n", generation, error.message);
        atomic_fetch_add(&shared->failures, 1);
    }
    atomic_store(&shared->published, generation);
    snap_clear(&table);
}

static void check_items(struct shared *shared, const shardy_items *items, uint32_t *newest)
{
    uint32_t first = 0;
    for (size_t i = 0; i < items->count; i++) {
        uint32_t value = UINT32_MAX;
        if (items->items[i].data && items->items[i].size == sizeof value) {
            memcpy(&value, items->items[i].data, sizeof value);
        }
        first = i ? first : value;
        if (value != first || value == UINT32_MAX) {
            atomic_fetch_add(&shared->failures, 1);
        }
    }
    if (first < *newest) { /* never back to an older one */
        atomic_fetch_add(&shared->failures, 1);
    }
    *newest = first;
}

static void *get_all_the_time(void *arg)
{
    struct shared *shared = arg;
    shardy_key keys[KEYS];
    uint32_t newest = 0;
    for (int64_t i = 0; i < KEYS; i++) {
        keys[i] = shardy_key_int(i);
    }
    while (!atomic_load(&shared->stop)) {
        shardy_items items = SHARDY_ITEMS_INIT;
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_health health;
        shardy_status st = shardy_reader_multi_get(shared->reader, keys, KEYS, &items, NULL);
        if (st == SHARDY_OK) {
            check_items(shared, &items, &newest);
        }
        shardy_items_clear(&items);
        if (st == SHARDY_OK) {
            st = shardy_reader_get(shared->reader, &keys[newest % KEYS], &value, NULL);
            shardy_value_clear(&value);
        }
        if (shardy_reader_health(shared->reader, 0, &health, NULL) == SHARDY_OK) {
            shardy_health_clear(&health);
        }
        if (st == SHARDY_READER_STATE) {
            atomic_fetch_add(&shared->closed, 1);
            break;
        }
        atomic_fetch_add(st == SHARDY_OK ? &shared->gets : &shared->failures, 1);
    }
    return NULL;
}

static void *hold_snapshots(void *arg)
{
    struct shared *shared = arg;
    shardy_key key = shardy_key_int(3);
    while (!atomic_load(&shared->stop)) {
        shardy_snapshot *snapshot = NULL;
        shardy_scan *scan = NULL;
        shardy_row row;
        bool found = true;
        unsigned rows = 0;
        if (shardy_reader_snapshot(shared->reader, &snapshot, NULL) != SHARDY_OK) {
            break;
        }
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_status st = shardy_snapshot_get(snapshot, &key, &value, NULL);
        if (st == SHARDY_OK) {
            st = shardy_snapshot_scan(snapshot, NULL, &scan, NULL);
        }
        shardy_snapshot_release(snapshot);
        while (st == SHARDY_OK && found) {
            st = shardy_scan_next(scan, &row, &found, NULL);
            rows += found;
            if (found && memcmp(row.value, value.data, sizeof(uint32_t)) != 0) {
                atomic_fetch_add(&shared->failures, 1);
            }
        }
        shardy_scan_free(scan);
        shardy_value_clear(&value);
        if (st != SHARDY_OK || rows != KEYS) {
            atomic_fetch_add(&shared->failures, 1);
        }
    }
    return NULL;
}

static void *publish_some(void *arg)
{
    struct shared *shared = arg;
    for (uint32_t generation = 2; generation <= 30; generation++) {
        publish_generation(shared, generation);
    }
    return NULL;
}

static void start(struct shared *shared, shardy_open_mode mode)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    memset(shared, 0, sizeof *shared);
    make_folder(shared->path, shared->url);
    publish_generation(shared, 1);
    options.url = shared->url;
    options.open_mode = mode;
    options.threads = 2;
    snap_ok(shardy_reader_open(&options, &shared->reader, err));
}

static void test_refresh_under_load(void **state)
{
    (void)state;
    for (int mode = SHARDY_OPEN_LAZY; mode <= SHARDY_OPEN_EAGER; mode++) {
        struct shared shared;
        pthread_t getters[GETTERS];
        pthread_t holder;
        pthread_t publisher;
        unsigned changes = 0;
        start(&shared, (shardy_open_mode)mode);
        for (unsigned i = 0; i < GETTERS; i++) {
            assert_int_equal(pthread_create(&getters[i], NULL, get_all_the_time, &shared), 0);
        }
        assert_int_equal(pthread_create(&holder, NULL, hold_snapshots, &shared), 0);
        assert_int_equal(pthread_create(&publisher, NULL, publish_some, &shared), 0);
        while (atomic_load(&shared.published) < 30) {
            bool changed = false;
            snap_ok(shardy_reader_refresh(shared.reader, &changed, err));
            changes += changed;
        }
        pthread_join(publisher, NULL);
        bool changed;
        snap_ok(shardy_reader_refresh(shared.reader, &changed, err));
        changes += changed;
        usleep(20000);
        atomic_store(&shared.stop, true);
        for (unsigned i = 0; i < GETTERS; i++) {
            pthread_join(getters[i], NULL);
        }
        pthread_join(holder, NULL);
        assert_int_equal(atomic_load(&shared.failures), 0);
        assert_true(atomic_load(&shared.gets) > 0);
        assert_true(changes > 0);
        shardy_reader_free(shared.reader);
        remove_folder(shared.path);
    }
}

/* R3: typed error or result, and the process lives. */
static void test_close_under_load(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct shared shared;
        pthread_t getters[GETTERS];
        pthread_t holder;
        start(&shared, round % 2 ? SHARDY_OPEN_EAGER : SHARDY_OPEN_LAZY);
        for (unsigned i = 0; i < GETTERS; i++) {
            assert_int_equal(pthread_create(&getters[i], NULL, get_all_the_time, &shared), 0);
        }
        assert_int_equal(pthread_create(&holder, NULL, hold_snapshots, &shared), 0);
        usleep(500 * (round % 7));
        shardy_reader_close(shared.reader);
        for (unsigned i = 0; i < GETTERS; i++) {
            pthread_join(getters[i], NULL);
        }
        pthread_join(holder, NULL);
        assert_int_equal(atomic_load(&shared.failures), 0);
        assert_int_equal(atomic_load(&shared.closed), GETTERS);
        shardy_reader_free(shared.reader);
        remove_folder(shared.path);
    }
}

static void *get_once(void *arg)
{
    struct shared *shared = arg;
    shardy_key key = shardy_key_int(7);
    shardy_value *value = snap_alloc(sizeof *value);
    if (shardy_reader_get(shared->reader, &key, value, NULL) != SHARDY_OK || !value->data) {
        atomic_fetch_add(&shared->failures, 1);
    }
    return value;
}

/* R9: many threads at cold shards; their values are released by the main thread. */
static void test_cold_shards(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct shared shared;
        pthread_t threads[16];
        start(&shared, SHARDY_OPEN_LAZY);
        for (unsigned i = 0; i < COUNT_OF(threads); i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, get_once, &shared), 0);
        }
        shardy_value *values[COUNT_OF(threads)];
        for (unsigned i = 0; i < COUNT_OF(threads); i++) {
            void *result = NULL;
            pthread_join(threads[i], &result);
            values[i] = result;
        }
        shardy_reader_free(shared.reader);
        for (unsigned i = 0; i < COUNT_OF(threads); i++) {
            uint32_t generation = 0;
            memcpy(&generation, values[i]->data, sizeof generation);
            assert_int_equal(generation, 1);
            shardy_value_clear(values[i]);
            free(values[i]);
        }
        assert_int_equal(atomic_load(&shared.failures), 0);
        remove_folder(shared.path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refresh_under_load),
        cmocka_unit_test(test_close_under_load),
        cmocka_unit_test(test_cold_shards),
    };
    return cmocka_run_group_tests_name("reader_threads", tests, NULL, NULL);
}
