/*
 * bench_data.c - seeded data sets and their Arrow views.
 *
 * Keys come from bijections of the row number, so they are unique and shuffled without a shuffle.
 * An Arrow view borrows the table's columns; its release callback frees the view only, so one
 * table serves every repetition.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_KEY_MAX 40u

uint64_t bench_mix63(uint64_t number)
{
    const uint64_t mask = (UINT64_C(1) << 63) - 1;
    uint64_t x = number & mask;

    x = (x * UINT64_C(0x9E3779B97F4A7C15)) & mask;
    x ^= x >> 32;
    x = (x * UINT64_C(0xD6E8FEB86659FD93)) & mask;
    x ^= x >> 32;
    return x;
}

uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint64_t bench_hash_bytes(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

uint64_t bench_hash_u64(uint64_t key)
{
    return XXH3_64bits(&key, sizeof key); /* canonical bytes are little-endian, as this machine */
}

uint64_t bench_row_digest(const void *key, size_t key_size, const void *value, size_t value_size)
{
    return XXH3_64bits_withSeed(value, value_size, XXH3_64bits(key, key_size));
}

static void fill_values(struct bench_table *table, size_t value_size, uint64_t seed)
{
    size_t total = (size_t)table->rows * value_size;
    uint64_t state = seed;

    if (total > INT32_MAX) {
        bench_die("%zu value bytes do not fit 32-bit offsets", total);
    }
    table->offsets = bench_alloc((size_t)table->rows + 1, sizeof *table->offsets);
    table->values = bench_alloc(total + 8, 1);
    for (int64_t row = 0; row <= table->rows; row++) {
        table->offsets[row] = (int32_t)((size_t)row * value_size);
    }
    for (size_t at = 0; at < total; at += 8) {
        uint64_t word = bench_random(&state);
        memcpy(table->values + at, &word, sizeof word);
    }
}

static void sum_up(struct bench_table *table)
{
    uint8_t buffer[8];

    for (int64_t row = 0; row < table->rows; row++) {
        size_t key_size = 0;
        size_t value_size = 0;
        const void *key = bench_table_key(table, row, buffer, &key_size);
        const void *value = bench_table_value(table, row, &value_size);

        table->digest += bench_row_digest(key, key_size, value, value_size);
        table->bytes += key_size + value_size;
    }
}

void bench_table_ints(struct bench_table *table, int64_t rows, size_t value_size, uint64_t seed)
{
    memset(table, 0, sizeof *table);
    table->rows = rows;
    table->keys = bench_alloc((size_t)rows, sizeof *table->keys);
    for (int64_t row = 0; row < rows; row++) {
        table->keys[row] = bench_mix63((uint64_t)row);
    }
    fill_values(table, value_size, seed);
    sum_up(table);
}

/* `count` characters of 6 bits each, from a URL-safe alphabet without ':'. */
static size_t put_base64(char *out, uint64_t number, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < count; i++) {
        out[i] = digits[number & 63];
        number >>= 6;
    }
    return count;
}

static size_t put_prefix(char *out, const char *prefix)
{
    size_t size = strlen(prefix);

    memcpy(out, prefix, size);
    return size;
}

/*
 * Four kinds of keys, by turns; each is unique by an odd multiple of the row number, and no two
 * kinds can be equal (':' or length).
 */
static size_t make_text_key(char out[TEXT_KEY_MAX], uint64_t row, uint64_t *state)
{
    uint64_t number = (row * UINT64_C(0x5851F42D4C957F2D)) & ((UINT64_C(1) << 36) - 1);
    uint64_t noise = bench_random(state);
    size_t size = 0;

    switch (row % 4) {
    case 0: /* user:%011d */
        size = put_prefix(out, "user:");
        for (size_t digit = 11; digit-- > 0; number /= 10) {
            out[size + digit] = (char)('0' + (char)(number % 10));
        }
        return size + 11;
    case 1:
        return put_base64(out, number, 8);
    case 2:
        size = put_prefix(out, "https://example.org/items/");
        size += put_base64(out + size, number, 6);
        return size + put_base64(out + size, noise, (noise >> 48) % 9);
    default:
        size = put_base64(out, number, 6);
        size += put_base64(out + size, noise, 6);
        return size + put_base64(out + size, bench_random(state), (noise >> 40) % 29);
    }
}

void bench_table_texts(struct bench_table *table, int64_t rows, size_t value_size, uint64_t seed)
{
    uint64_t state = seed;
    size_t used = 0;

    memset(table, 0, sizeof *table);
    table->rows = rows;
    table->key_offsets = bench_alloc((size_t)rows + 1, sizeof *table->key_offsets);
    table->key_data = bench_alloc((size_t)rows, TEXT_KEY_MAX);
    for (int64_t row = 0; row < rows; row++) {
        used += make_text_key(table->key_data + used, (uint64_t)row, &state);
        table->key_offsets[row + 1] = (int32_t)used;
    }
    fill_values(table, value_size, seed + 1);
    sum_up(table);
}

void bench_table_clear(struct bench_table *table)
{
    free(table->keys);
    free(table->key_offsets);
    free(table->key_data);
    free(table->offsets);
    free(table->values);
    memset(table, 0, sizeof *table);
}

const void *bench_table_key(const struct bench_table *table, int64_t row, uint8_t buffer[8],
                            size_t *size)
{
    if (table->keys != NULL) {
        uint64_t big = __builtin_bswap64(table->keys[row]);

        memcpy(buffer, &big, sizeof big);
        *size = sizeof big;
        return buffer;
    }
    *size = (size_t)(table->key_offsets[row + 1] - table->key_offsets[row]);
    return table->key_data + table->key_offsets[row];
}

const void *bench_table_value(const struct bench_table *table, int64_t row, size_t *size)
{
    *size = (size_t)(table->offsets[row + 1] - table->offsets[row]);
    return table->values + table->offsets[row];
}

/* ---- Arrow views -------------------------------------------------------------------------- */

struct schema_view {
    struct ArrowSchema columns[2];
    struct ArrowSchema *children[2];
};

struct array_view {
    struct ArrowArray columns[2];
    struct ArrowArray *children[2];
    const void *root_buffers[1];
    const void *key_buffers[3];
    const void *value_buffers[3];
};

static void release_child_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    free(schema->private_data);
    schema->release = NULL;
}

static void release_child_array(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

static void describe_key(const struct bench_table *table, struct ArrowSchema *schema)
{
    *schema = (struct ArrowSchema){
        .format = table->keys != NULL ? "L" : "u", .name = "key", .release = release_child_schema};
}

static void fill_key(const struct bench_table *table, const void **buffers,
                     struct ArrowArray *array)
{
    bool ints = table->keys != NULL;

    buffers[1] = ints ? (const void *)table->keys : (const void *)table->key_offsets;
    buffers[2] = table->key_data;
    *array = (struct ArrowArray){.length = table->rows,
                                 .n_buffers = ints ? 2 : 3,
                                 .buffers = buffers,
                                 .release = release_child_array};
}

void bench_table_batch(const struct bench_table *table, struct ArrowSchema *schema,
                       struct ArrowArray *array)
{
    struct schema_view *names = bench_alloc(1, sizeof *names);
    struct array_view *view = bench_alloc(1, sizeof *view);

    describe_key(table, &names->columns[0]);
    names->columns[1] =
        (struct ArrowSchema){.format = "z", .name = "value", .release = release_child_schema};
    fill_key(table, view->key_buffers, &view->columns[0]);
    view->value_buffers[1] = table->offsets;
    view->value_buffers[2] = table->values;
    view->columns[1] = (struct ArrowArray){.length = table->rows,
                                           .n_buffers = 3,
                                           .buffers = view->value_buffers,
                                           .release = release_child_array};
    for (int i = 0; i < 2; i++) {
        names->children[i] = &names->columns[i];
        view->children[i] = &view->columns[i];
    }
    *schema = (struct ArrowSchema){.format = "+s",
                                   .name = "",
                                   .n_children = 2,
                                   .children = names->children,
                                   .release = release_schema,
                                   .private_data = names};
    *array = (struct ArrowArray){.length = table->rows,
                                 .n_buffers = 1,
                                 .n_children = 2,
                                 .buffers = view->root_buffers,
                                 .children = view->children,
                                 .release = release_array,
                                 .private_data = view};
}

void bench_table_key_column(const struct bench_table *table, struct ArrowSchema *schema,
                            struct ArrowArray *array)
{
    const void **buffers = bench_alloc(3, sizeof *buffers);

    describe_key(table, schema);
    fill_key(table, buffers, array);
    array->private_data = (void *)buffers;
    array->release = release_array;
}

/* ---- order -------------------------------------------------------------------------------- */

static uint32_t shard_of(const struct bench_table *table, int64_t row)
{
    uint8_t buffer[8];
    size_t size = 0;

    if (table->keys != NULL) {
        return (uint32_t)(bench_hash_u64(table->keys[row]) % BENCH_SHARDS);
    }
    const void *key = bench_table_key(table, row, buffer, &size);
    return (uint32_t)(bench_hash_bytes(key, size) % BENCH_SHARDS);
}

struct keyed_row {
    uint64_t key;
    int64_t row;
};

static int compare_keyed(const void *a, const void *b)
{
    uint64_t x = ((const struct keyed_row *)a)->key;
    uint64_t y = ((const struct keyed_row *)b)->key;

    return (x > y) - (x < y);
}

static void sort_rows(const struct bench_table *table, int64_t *rows, int64_t count)
{
    struct keyed_row *pairs = bench_alloc((size_t)count, sizeof *pairs);

    for (int64_t i = 0; i < count; i++) {
        pairs[i] = (struct keyed_row){table->keys[rows[i]], rows[i]};
    }
    qsort(pairs, (size_t)count, sizeof *pairs, compare_keyed);
    for (int64_t i = 0; i < count; i++) {
        rows[i] = pairs[i].row;
    }
    free(pairs);
}

void bench_order_fill(struct bench_order *order, const struct bench_table *table, bool sorted)
{
    int64_t next[BENCH_SHARDS] = {0};

    memset(order, 0, sizeof *order);
    order->shards = bench_alloc((size_t)table->rows, 1);
    order->rows = bench_alloc((size_t)table->rows, sizeof *order->rows);
    for (int64_t row = 0; row < table->rows; row++) {
        order->shards[row] = (uint8_t)shard_of(table, row);
        order->first[order->shards[row] + 1]++;
    }
    for (uint32_t s = 0; s < BENCH_SHARDS; s++) {
        order->first[s + 1] += order->first[s];
        next[s] = order->first[s];
    }
    for (int64_t row = 0; row < table->rows; row++) {
        order->rows[next[order->shards[row]]++] = row;
    }
    for (uint32_t s = 0; sorted && s < BENCH_SHARDS; s++) {
        sort_rows(table, order->rows + order->first[s], order->first[s + 1] - order->first[s]);
    }
}

void bench_order_clear(struct bench_order *order)
{
    free(order->shards);
    free(order->rows);
    memset(order, 0, sizeof *order);
}
