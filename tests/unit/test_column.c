/*
 * test_column.c - views of Arrow columns: every type and slice, and every way to be malformed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "key/key.h"
#include "key_sample.h"

static const int32_t numbers32[6] = {10, -1, 12, 13, 14, 15};
static const int64_t numbers64[6] = {10, -1, 12, 13, 14, 15};
static const int32_t offsets32[7] = {2, 2, 3, 5, 5, 9, 10};
static const int64_t offsets64[7] = {2, 2, 3, 5, 5, 9, 10};
static const char letters[11] = "..abbccccd";

static const struct {
    const char *format;
    const void *first;
    const char *texts[6];
} types[] = {
    {"i", numbers32, {"10", "-1", "12", "13", "14", "15"}},
    {"I", numbers32, {"10", "4294967295", "12", "13", "14", "15"}},
    {"l", numbers64, {"10", "-1", "12", "13", "14", "15"}},
    {"L", numbers64, {"10", "18446744073709551615", "12", "13", "14", "15"}},
    {"u", offsets32, {"\"\"", "\"a\"", "\"bb\"", "\"\"", "\"cccc\"", "\"d\""}},
    {"U", offsets64, {"\"\"", "\"a\"", "\"bb\"", "\"\"", "\"cccc\"", "\"d\""}},
    {"z", offsets32, {"x''", "x'61'", "x'6262'", "x''", "x'63636363'", "x'64'"}},
    {"Z", offsets64, {"x''", "x'61'", "x'6262'", "x''", "x'63636363'", "x'64'"}},
};

static void opens_every_type_and_slice(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        for (int64_t offset = 0; offset <= 6; offset++) {
            for (int64_t first = 0; first <= 6 - offset; first++) {
                int64_t length = 6 - offset - first;
                struct sample_column sample;
                struct sfi_column column;
                sample_column_init(&sample, types[t].format, 6 - offset, types[t].first, letters);
                sample.array.offset = offset;
                assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", first,
                                                 length, 0, &column, NULL),
                                 SHARDY_OK);
                assert_int_equal(column.length, length);
                for (int64_t i = 0; i < length; i++) {
                    shardy_key key = sfi_column_key(&column, (size_t)i);
                    char text[SFI_KEY_TEXT_SIZE];
                    sfi_key_text(&key, text);
                    assert_string_equal(text, types[t].texts[offset + first + i]);
                }
            }
        }
    }
}

static void measures_columns(void **state)
{
    static const struct {
        size_t type;
        uint64_t bytes;
        size_t max;
    } cases[] = {{0, 24, 4}, {3, 48, 8}, {4, 8, 4}, {5, 8, 4}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sample_column sample;
        struct sfi_column column;
        sample_column_init(&sample, types[cases[i].type].format, 6, types[cases[i].type].first,
                           letters);
        assert_int_equal(
            sfi_column_open(&sample.schema, &sample.array, "key", 0, 6, 0, &column, NULL),
            SHARDY_OK);
        assert_int_equal(sfi_column_byte_size(&column), cases[i].bytes);
        assert_int_equal(column.max_bytes, cases[i].max);
    }
}

static void empty_columns_need_no_buffers(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        struct sample_column sample;
        struct sfi_column column;
        sample_column_init(&sample, types[t].format, 0, NULL, NULL);
        assert_int_equal(
            sfi_column_open(&sample.schema, &sample.array, "key", 0, 0, 0, &column, NULL),
            SHARDY_OK);
        assert_int_equal(column.length, 0);
        assert_int_equal(sfi_column_byte_size(&column), 0);
    }
    /* Rows that are all empty need no data. */
    static const int32_t zeros[3] = {0, 0, 0};
    struct sample_column sample;
    struct sfi_column column;
    sample_column_init(&sample, "u", 2, zeros, NULL);
    assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", 0, 2, 0, &column, NULL),
                     SHARDY_OK);
    assert_int_equal(sfi_column_bytes(&column, 1).size, 0);
}

/* The bitmap is exactly as long as it must be, so that ASan sees a read behind it. */
static void finds_the_first_null(void **state)
{
    enum { ROWS = 200 };
    static int32_t values[ROWS + 13];
    (void)state;
    for (int64_t offset = 0; offset < 13; offset++) {
        size_t size = (size_t)(ROWS + offset + 7) / 8;
        uint8_t *bits = sfi_malloc(size);
        assert_non_null(bits);
        for (int64_t null = 0; null <= ROWS; null++) {
            struct sample_column sample;
            struct sfi_column column;
            shardy_error err = SHARDY_ERROR_INIT;
            char expected[64];
            sample_column_init(&sample, "i", ROWS, values, NULL);
            sample.array.offset = offset;
            sample.array.null_count = -1;
            sample.buffers[0] = bits;
            memset(bits, 0xff, size);
            if (null < ROWS) {
                bits[(offset + null) / 8] &= (uint8_t) ~(1u << (offset + null) % 8);
                bits[size - 1] &= (uint8_t) ~(1u << (offset + ROWS - 1) % 8);
            }
            if (offset > 0) {
                bits[0] &= (uint8_t)~1u; /* before the slice: no concern of ours */
            }
            shardy_status st =
                sfi_column_open(&sample.schema, &sample.array, "key", 0, ROWS, 1000, &column, &err);
            (void)snprintf(expected, sizeof expected, "row %d: null in column \"key\"",
                           (int)(1000 + null));
            assert_int_equal(st, null < ROWS ? SHARDY_INPUT : SHARDY_OK);
            assert_string_equal(err.message, null < ROWS ? expected : "");
            sample.array.null_count = 0; /* the producer says there are none: bitmap not read */
            assert_int_equal(
                sfi_column_open(&sample.schema, &sample.array, "key", 0, ROWS, 0, &column, NULL),
                SHARDY_OK);
        }
        sfi_free(bits);
    }
}

static const int32_t falling[4] = {0, 4, 3, 5};
static const int32_t negative[4] = {-1, 0, 1, 2};
static const int32_t wrapping[4] = {0, INT32_MAX, INT32_MIN, 0};
static const int64_t falling64[4] = {0, 4, 3, 5};
static const int64_t wrapping64[4] = {0, INT64_MAX, INT64_MIN, 0};
static const int64_t rising64[4] = {1, 2, 3, 4};

struct hostile_case {
    const char *format;
    int64_t length, offset, null_count, n_buffers;
    const void *first, *second;
    const char *message;
};

#define OFFSETS_FALL ", which are negative or fall"

static const struct hostile_case hostile[] = {
    {"i", -1, 0, 0, 2, numbers32, NULL,
     "column \"key\": malformed Arrow array: length -1, offset 0, null_count 0"},
    {"i", 1, -1, 0, 2, numbers32, NULL,
     "column \"key\": malformed Arrow array: length 1, offset -1, null_count 0"},
    {"i", 1, 0, -2, 2, numbers32, NULL,
     "column \"key\": malformed Arrow array: length 1, offset 0, null_count -2"},
    {"i", 1, 0, 2, 2, numbers32, NULL,
     "column \"key\": malformed Arrow array: length 1, offset 0, null_count 2"},
    {"l", INT64_MAX, 1, 0, 2, numbers64, NULL,
     "column \"key\": offset 1 + length 9223372036854775807 is too large"},
    {"l", INT64_MAX / 8, 0, 0, 2, numbers64, NULL,
     "column \"key\": offset 0 + length 1152921504606846975 is too large"},
    {"i", 1, 0, 1, 2, numbers32, NULL,
     "column \"key\": null_count is 1 but there is no validity buffer"},
    {"i", 1, 0, 0, 3, numbers32, NULL, "column \"key\": Arrow format \"i\" has 2 buffers, got 3"},
    {"u", 1, 0, 0, 2, falling, NULL, "column \"key\": Arrow format \"u\" has 3 buffers, got 2"},
    {"u", 1, 0, 0, -5, falling, NULL, "column \"key\": Arrow format \"u\" has 3 buffers, got -5"},
    {"i", 1, 0, 0, 2, NULL, NULL, "column \"key\": Arrow buffer 1 is NULL"},
    {"Z", 1, 0, 0, 3, NULL, letters, "column \"key\": Arrow buffer 1 is NULL"},
    {"l", 1, 0, 0, 2, (const char *)numbers64 + 4, NULL,
     "column \"key\": Arrow buffer 1 is not aligned to 8 bytes; copy the column"},
    {"U", 1, 0, 0, 3, (const char *)numbers64 + 4, letters,
     "column \"key\": Arrow buffer 1 is not aligned to 8 bytes; copy the column"},
    {"U", 3, 0, 0, 3, rising64, NULL, "column \"key\": Arrow buffer 2 is NULL but offsets reach 4"},
    {"u", 3, 0, 0, 3, falling, letters, "column \"key\": row 11 has offsets 4 and 3" OFFSETS_FALL},
    {"z", 3, 0, 0, 3, negative, letters,
     "column \"key\": row 10 has offsets -1 and 0" OFFSETS_FALL},
    {"u", 3, 0, 0, 3, wrapping, letters,
     "column \"key\": row 11 has offsets 2147483647 and -2147483648" OFFSETS_FALL},
    {"U", 3, 0, 0, 3, falling64, letters,
     "column \"key\": row 11 has offsets 4 and 3" OFFSETS_FALL},
    {"Z", 3, 0, 0, 3, wrapping64, letters,
     "column \"key\": row 11 has offsets 9223372036854775807 and "
     "-9223372036854775808" OFFSETS_FALL},
    {"f", 1, 0, 0, 2, numbers32, NULL,
     "column \"key\": Arrow format \"f\" is not supported; cast it to int32, int64, uint32, "
     "uint64, utf8, large_utf8, binary or large_binary"},
    {"", 1, 0, 0, 2, numbers32, NULL,
     "column \"key\": Arrow format \"\" is not supported; cast it to int32, int64, uint32, "
     "uint64, utf8, large_utf8, binary or large_binary"},
    {NULL, 1, 0, 0, 2, numbers32, NULL, "column \"key\": Arrow schema has no format"},
};

static void refuses_hostile_arrays(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        struct sample_column sample;
        struct sfi_column column;
        shardy_error err = SHARDY_ERROR_INIT;
        sample_column_init(&sample, "i", hostile[i].length, hostile[i].first, hostile[i].second);
        sample.schema.format = hostile[i].format;
        sample.array.offset = hostile[i].offset;
        sample.array.null_count = hostile[i].null_count;
        sample.array.n_buffers = hostile[i].n_buffers;
        assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", 0, hostile[i].length,
                                         10, &column, &err),
                         SHARDY_CONFIG);
        assert_string_equal(err.message, hostile[i].message);
        assert_int_equal(column.length, 0);
    }
}

static void refuses_slices_and_released_columns(void **state)
{
    static const int64_t slices[][2] = {{0, 7}, {7, 0}, {6, 1}, {-1, 1}, {1, -1}, {1, INT64_MAX}};
    struct sample_column sample;
    struct sfi_column column;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    sample_column_init(&sample, "i", 6, numbers32, NULL);
    for (size_t i = 0; i < COUNT_OF(slices); i++) {
        assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", slices[i][0],
                                         slices[i][1], 0, &column, &err),
                         SHARDY_CONFIG);
        assert_non_null(strstr(err.message, "are outside its 6 rows"));
    }
    sample.array.buffers = NULL;
    assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", 0, 6, 0, &column, &err),
                     SHARDY_CONFIG);
    assert_string_equal(err.message, "column \"key\": Arrow buffer 1 is NULL");
    sample.schema.dictionary = &sample.schema;
    assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", 0, 6, 0, &column, &err),
                     SHARDY_CONFIG);
    assert_string_equal(err.message,
                        "column \"key\" is dictionary-encoded; cast it to its value type first");
    sample.array.release = NULL;
    assert_int_equal(sfi_column_open(&sample.schema, &sample.array, "key", 0, 6, 0, &column, &err),
                     SHARDY_CONFIG);
    assert_string_equal(err.message, "column \"key\": Arrow array is NULL or already released");
    assert_int_equal(sfi_column_open(NULL, NULL, "key", 0, 6, 0, &column, &err), SHARDY_CONFIG);
    assert_string_equal(err.message, "column \"key\": Arrow schema is NULL or already released");
}

static void batches_slice_their_columns(void **state)
{
    struct sample_column key, value;
    struct sample_batch batch;
    struct sfi_column column;
    (void)state;
    sample_column_init(&key, "l", 5, numbers64, NULL);
    key.array.offset = 1;
    sample_column_init(&value, "z", 6, offsets32, letters);
    value.schema.name = "value";
    sample_batch_init(&batch, 3, &key, &value);
    batch.array.offset = 2;
    assert_int_equal(sfi_batch_column(&batch.schema, &batch.array, "key", 0, &column, NULL),
                     SHARDY_OK);
    assert_int_equal(column.length, 3);
    assert_int_equal(sfi_column_key(&column, 0).number, 13); /* 1 of its own, 2 of the batch */
    assert_int_equal(sfi_batch_column(&batch.schema, &batch.array, "value", 0, &column, NULL),
                     SHARDY_OK);
    assert_int_equal(sfi_column_bytes(&column, 2).size, 4);
}

static void refuses_malformed_batches(void **state)
{
    struct sample_column key, value;
    struct sample_batch batch;
    struct sfi_column column;
    shardy_error err = SHARDY_ERROR_INIT;
    uint8_t bits = 0xfb;
    (void)state;
    sample_column_init(&key, "l", 6, numbers64, NULL);
    sample_column_init(&value, "z", 6, offsets32, letters);
    value.schema.name = "value";
    sample_batch_init(&batch, 6, &key, &value);

#define BATCH_FAILS(status, text)                                                                 \
    do {                                                                                          \
        assert_int_equal(sfi_batch_column(&batch.schema, &batch.array, "key", 50, &column, &err), \
                         status);                                                                 \
        assert_string_equal(err.message, text);                                                   \
        sample_batch_init(&batch, 6, &key, &value);                                               \
    } while (0)

    batch.array.null_count = 1;
    batch.buffers[0] = &bits;
    BATCH_FAILS(SHARDY_INPUT, "row 52: the whole row is null");
    batch.schema.format = "l";
    BATCH_FAILS(SHARDY_CONFIG, "record batch: Arrow schema is not a struct (\"+s\"); pass a batch "
                               "that has a column \"key\"");
    batch.array.n_children = 1;
    BATCH_FAILS(SHARDY_CONFIG, "record batch: schema has 2 columns, array has 1");
    batch.array.children = NULL;
    BATCH_FAILS(SHARDY_CONFIG, "record batch: schema has 2 columns, array has 2");
    batch.arrays[0] = NULL;
    BATCH_FAILS(SHARDY_CONFIG, "column \"key\": Arrow array is NULL or already released");
    batch.array.release = NULL;
    BATCH_FAILS(SHARDY_CONFIG, "record batch: Arrow array is NULL or already released");
    batch.array.length = 7;
    BATCH_FAILS(SHARDY_CONFIG, "column \"key\": rows 0..+7 are outside its 6 rows");
    batch.array.length = -1;
    BATCH_FAILS(SHARDY_CONFIG, "column \"record batch\": malformed Arrow array: length -1, offset "
                               "0, null_count 0");
    key.schema.name = "id";
    BATCH_FAILS(SHARDY_CONFIG, "record batch has no column \"key\"; it has: id, value");
    key.schema.name = value.schema.name = "key";
    BATCH_FAILS(SHARDY_CONFIG, "record batch: columns 0 and 1 are both called \"key\"; rename one");
#undef BATCH_FAILS
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_every_type_and_slice),
        cmocka_unit_test(measures_columns),
        cmocka_unit_test(empty_columns_need_no_buffers),
        cmocka_unit_test(finds_the_first_null),
        cmocka_unit_test(refuses_hostile_arrays),
        cmocka_unit_test(refuses_slices_and_released_columns),
        cmocka_unit_test(batches_slice_their_columns),
        cmocka_unit_test(refuses_malformed_batches),
    };
    return cmocka_run_group_tests_name("column", tests, NULL, NULL);
}
