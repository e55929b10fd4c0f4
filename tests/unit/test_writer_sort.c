/*
 * test_writer_sort.c - the order of row references against qsort: integers, texts with long common
 * prefixes, keys of 64 KiB that differ in the last byte or not at all, nested prefixes, NULs, many
 * duplicates. Equal keys keep the order of arrival.
 */
#include "snapshot_sample.h"

#include "writer/writer_internal.h"

static const struct snap_table *model; /* for qsort */

static int by_model(const void *left, const void *right)
{
    const struct sfi_row_ref *a = left;
    const struct sfi_row_ref *b = right;
    return snap_compare_keys(&model->rows[a->at], &model->rows[b->at]);
}

/* Which row a reference means: every value begins with the number of its row. */
static uint64_t row_number(const struct sfi_rows *rows, const struct sfi_row_ref *ref)
{
    struct sfi_bytes value = sfi_ref_value(sfi_ref_batch(rows, ref), ref);
    uint64_t number;
    assert_true(value.size >= sizeof number);
    memcpy(&number, value.data, sizeof number);
    return number;
}

static void add_int(struct snap_table *table, uint64_t key)
{
    uint64_t number = table->count;
    snap_add_int(table, key, &number, sizeof number);
}

static void add_bytes(struct snap_table *table, const void *key, size_t size)
{
    uint64_t number = table->count;
    snap_add_bytes(table, key, size, &number, sizeof number);
}

/* Give the table to the real row store in one batch, sort, and compare. */
static void check_sort(const struct snap_table *table, const char *format, bool located)
{
    struct sfi_rows rows;
    struct sfi_spill_file spill = {.fd = -1};
    struct ArrowSchema schema;
    struct sfi_batch batch;
    const struct sfi_row_ref *refs = NULL;
    size_t count = 0;

    memset(&batch, 0, sizeof batch);
    snap_batch_make(table, 0, table->count, format, "z", 0, &schema, &batch.array);
    snap_ok(sfi_batch_column(&schema, &batch.array, "key", 0, &batch.key, err));
    snap_ok(sfi_batch_column(&schema, &batch.array, "value", 0, &batch.value, err));
    snap_ok(sfi_rows_init(&rows, table->encoding, 1, 1, UINT64_MAX, &spill, err));
    snap_ok(sfi_rows_add(&rows, &batch, err));
    assert_int_equal(rows.batches[0].located, located);
    snap_ok(sfi_rows_sorted(&rows, 0, 0, &refs, &count, err));
    assert_int_equal(count, table->count);

    struct sfi_row_ref *want = snap_alloc((count + 1) * sizeof *want);
    for (size_t i = 0; i < count; i++) {
        want[i].at = i;
    }
    model = table;
    qsort(want, count, sizeof *want, by_model);
    for (size_t i = 0; i < count; i++) {
        uint64_t number = row_number(&rows, &refs[i]);
        if (number != want[i].at) {
            fail_msg("place %zu of %zu: row %llu, expected row %llu", i, count,
                     (unsigned long long)number, (unsigned long long)want[i].at);
        }
    }
    free(want);
    sfi_rows_clear(&rows);
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
}

static void test_ints(void **state)
{
    static const size_t counts[] = {1, 2, 23, 24, 25, 100, 1000, 20000};
    static const unsigned shifts[] = {1, 20, 33, 48, 56, 60};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        for (size_t s = 0; s < COUNT_OF(shifts); s++) {
            struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
            uint64_t random = 17 + c;
            for (size_t i = 0; i < counts[c]; i++) {
                add_int(&table, next_random(&random) >> shifts[s]);
            }
            check_sort(&table, "l", true);
            snap_clear(&table);
        }
    }
}

/* References say where values are, or name rows: all values of a batch are small, or one is not. */
static void test_large_values(void **state)
{
    static const struct {
        size_t longest;
        bool located;
    } cases[] = {{100, true},
                 {SFI_REF_LOCATED_SIZE - 1, true},
                 {SFI_REF_LOCATED_SIZE, false},
                 {100000, false}};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
        uint8_t *value = snap_alloc(cases[c].longest);
        uint64_t random = 3;
        memset(value, 'v', cases[c].longest);
        for (uint64_t i = 0; i < 3000; i++) {
            memcpy(value, &i, sizeof i);
            snap_add_int(&table, next_random(&random) % 2000, value,
                         i % 300 ? sizeof i + i % 50 : cases[c].longest);
        }
        check_sort(&table, "l", cases[c].located);
        free(value);
        snap_clear(&table);
    }
}

static void test_u32(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_U32BE};
    uint64_t random = 5;
    (void)state;
    for (size_t i = 0; i < 30000; i++) {
        add_int(&table, next_random(&random) >> (i % 2 ? 32 : 50));
    }
    check_sort(&table, "I", true);
    snap_clear(&table);
}

static void test_already_sorted(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct snap_table table = {.encoding = SHARDY_KEY_U64BE};
        for (uint64_t i = 0; i < 5000; i++) {
            uint64_t numbers[] = {i, 5000 - i, 42, i % 2 ? i : 5000};
            add_int(&table, numbers[kind]);
        }
        check_sort(&table, "l", true);
        snap_clear(&table);
    }
}

/* Texts of `alphabet` letters behind a common prefix. */
static void add_texts(struct snap_table *table, size_t count, size_t prefix, size_t longest,
                      unsigned alphabet, uint64_t random)
{
    uint8_t *key = snap_alloc(prefix + longest + 1);
    memset(key, 'p', prefix);
    for (size_t i = 0; i < count; i++) {
        size_t size = prefix + next_random(&random) % (longest + 1);
        for (size_t b = prefix; b < size; b++) {
            key[b] = (uint8_t)(next_random(&random) % alphabet);
        }
        add_bytes(table, key, size);
    }
    free(key);
}

static void test_texts(void **state)
{
    static const struct {
        size_t count;
        size_t prefix;
        size_t longest;
        unsigned alphabet;
    } cases[] = {
        {20000, 0, 3, 2},    {20000, 0, 12, 2}, {20000, 0, 40, 3},   {5000, 7, 9, 2},
        {5000, 8, 8, 2},     {5000, 9, 16, 1},  {3000, 1000, 20, 2}, {3000, 1001, 3, 256},
        {20000, 20, 6, 256}, {400, 0, 400, 1},  {2000, 0, 2, 256},   {25, 3, 30, 2},
        {300, 4096, 17, 1},  {1000, 0, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = SHARDY_KEY_RAW};
        add_texts(&table, cases[i].count, cases[i].prefix, cases[i].longest, cases[i].alphabet,
                  i + 1);
        check_sort(&table, i % 2 ? "z" : "Z", false);
        snap_clear(&table);
    }
}

/* Every prefix of one text, three times, long before short. */
static void test_nested(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_RAW};
    uint8_t key[300];
    (void)state;
    for (unsigned fill = 0; fill < 3; fill++) {
        memset(key, fill == 1 ? 'z' : 0, sizeof key);
        for (size_t size = sizeof key; size > 0; size--) {
            add_bytes(&table, key, size - 1);
        }
    }
    check_sort(&table, "z", false);
    snap_clear(&table);
}

/* 64 KiB keys: equal ones, and some that differ in the last byte. */
static void test_long_keys(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_RAW};
    uint8_t *key = snap_alloc(65536);
    (void)state;
    memset(key, 'x', 65536);
    for (size_t i = 0; i < 200; i++) {
        key[65535] = (uint8_t)(i % 4 == 0 ? 200 - i : 'x');
        add_bytes(&table, key, i % 7 == 3 ? 65535 : 65536);
    }
    check_sort(&table, "Z", false);
    free(key);
    snap_clear(&table);
}

/* Each key has a longer common prefix with the next: deep recursion for a radix sort. */
static void test_staircase(void **state)
{
    struct snap_table table = {.encoding = SHARDY_KEY_RAW};
    uint8_t key[3000];
    (void)state;
    memset(key, 'a', sizeof key);
    for (size_t i = 0; i < 1500; i++) {
        key[2 * i] = 'b';
        add_bytes(&table, key, sizeof key);
        key[2 * i] = 'a';
        add_bytes(&table, key, 2 * i);
    }
    check_sort(&table, "Z", false);
    snap_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ints),         cmocka_unit_test(test_u32),
        cmocka_unit_test(test_large_values), cmocka_unit_test(test_already_sorted),
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_long_keys),    cmocka_unit_test(test_staircase),
    };
    return cmocka_run_group_tests_name("writer_sort", tests, NULL, NULL);
}
