/*
 * test_sqlite_remote.c - remote shards: how many waves opening and lookups take, and that every
 * answer is right for files of many shapes, however the bytes arrive and whenever they are evicted.
 */
#include "remote_sample.h"

#include "shard/sparse_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct remote_shape shapes[] = {
    {.name = "ours", .ours = true, .page_size = 4096, .rows = 30000, .value_size = 100},
    {.name = "ours long",
     .ours = true,
     .page_size = 4096,
     .rows = 300,
     .value_size = 60,
     .long_every = 3,
     .long_size = 20000},
    {.name = "ours 64k",
     .ours = true,
     .page_size = 65536,
     .rows = 20000,
     .value_size = 100,
     .long_every = 500,
     .long_size = 200000},
    {.name = "ours, one leaf", .ours = true, .page_size = 4096, .rows = 5, .value_size = 10},
    {.name = "ours, empty", .ours = true, .page_size = 4096},
    {.name = "ours, long keys",
     .ours = true,
     .page_size = 4096,
     .rows = 300,
     .key_pad = 9000,
     .value_size = 100},
    {.name = "sorted", .page_size = 4096, .rows = 30000, .value_size = 100},
    {.name = "shuffled", .shuffled = true, .page_size = 8192, .rows = 30000, .value_size = 100},
    {.name = "deep", .shuffled = true, .page_size = 4096, .rows = 5000, .value_size = 900},
    {.name = "long",
     .page_size = 4096,
     .rows = 200,
     .value_size = 60,
     .long_every = 1,
     .long_size = 20000},
    {.name = "shuffled long",
     .shuffled = true,
     .page_size = 16384,
     .rows = 300,
     .value_size = 300,
     .long_every = 2,
     .long_size = 70000},
    {.name = "64k",
     .page_size = 65536,
     .rows = 20000,
     .value_size = 100,
     .long_every = 1000,
     .long_size = 150000},
    {.name = "long keys",
     .shuffled = true,
     .page_size = 4096,
     .rows = 400,
     .key_pad = 3000,
     .value_size = 50},
    {.name = "long keys, no values", .ours = true, .page_size = 4096, .rows = 100, .key_pad = 3000},
    {.name = "many tables",
     .other_tables = true,
     .page_size = 4096,
     .rows = 20000,
     .value_size = 80},
    {.name = "empty", .page_size = 4096},
    {.name = "one row", .page_size = 32768, .rows = 1, .value_size = 10},
};

#define SHAPES (sizeof shapes / sizeof *shapes)

static struct remote_file files[SHAPES];

static const struct remote_file *file_named(const char *name)
{
    for (size_t i = 0; i < SHAPES; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            return &files[i];
        }
    }
    fail_msg("no file %s", name);
    return NULL;
}

static int make_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        remote_make(&files[i], &shapes[i]);
        if (!shapes[i].ours) {
            remote_add_sidecar(&files[i], REMOTE_ETAG);
        }
    }
    return 0;
}

static int clear_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        remote_clear(&files[i]);
    }
    return 0;
}

/* Rows spread over the file and as many absent keys; first, last and beyond. */
static size_t choose(const struct remote_shape *shape, uint32_t *numbers, size_t max)
{
    uint32_t keys = 2 * shape->rows + 3;
    size_t count = keys < max ? keys : max;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)((uint64_t)i * (keys - 1) / (count > 1 ? count - 1 : 1));
    }
    return count;
}

static void check_answers(struct remote_net *net, const uint32_t *numbers, size_t count)
{
    shardy_error err = SHARDY_ERROR_INIT;
    size_t wrong = 0;
    if (remote_get(net, numbers, count, &wrong, &err) != SHARDY_OK || wrong) {
        fail_msg("%s: %zu wrong, %s", net->file->shape.name, wrong, err.message);
    }
}

/* Every shape, every way of opening, every way of arriving. */
static void test_answers(void **state)
{
    (void)state;
    static uint32_t numbers[400];
    for (size_t i = 0; i < SHAPES; i++) {
        for (unsigned mode = 0; mode < 12; mode++) {
            struct remote_net net;
            remote_open(&net, &files[i], (enum remote_hint)(mode % 3));
            net.tiny = mode / 3 % 2;
            net.evict = mode / 6;
            size_t count = choose(&shapes[i], numbers, net.evict ? 60 : 400);
            check_answers(&net, numbers, count);
            for (size_t k = 0; k < count; k += 5) {
                check_answers(&net, numbers + k, 1);
            }
            remote_close_net(&net);
        }
    }
}

static void release_nothing(struct sfi_mapping *mapping)
{
    (void)mapping;
}

/* What the mapped reader says of the same files: the empty values behind overflowing keys. */
static void test_mapped(void **state)
{
    (void)state;
    const struct remote_file *file = file_named("long keys, no values");
    struct sfi_mapping mapping = {
        .data = file->image, .size = file->size, .release = release_nothing};
    struct sfi_shard_reader *shard = NULL;
    uint8_t key[4096];
    struct sfi_lookup lookup = {.key = key};
    size_t failed;
    assert_int_equal(sfi_sqlite_reader_open(&mapping, "mapped", &shard, NULL), SHARDY_OK);
    lookup.shard = shard;
    for (uint32_t row = 0; row < file->shape.rows; row++) {
        lookup.key_size = remote_key(&file->shape, 2 * row, key);
        lookup.prefix = sfi_key_prefix(key, lookup.key_size);
        assert_int_equal(shard->ops->get(&lookup, 1, &failed, NULL), SHARDY_OK);
        assert_non_null(lookup.value);
        assert_int_equal(lookup.value_size, 0);
        sfi_free(lookup.copy);
    }
    sfi_shard_reader_release(shard);
}

/* Every single row and gap of one file of each maker, in batches. */
static void test_all_rows(void **state)
{
    (void)state;
    static const char *const names[] = {"ours", "shuffled", "deep"};
    for (size_t i = 0; i < 3; i++) {
        struct remote_net net;
        uint32_t numbers[1000];
        remote_open(&net, file_named(names[i]), REMOTE_NO_HINT);
        for (uint32_t from = 0; from < 2 * net.file->shape.rows + 2; from += 1000) {
            for (uint32_t k = 0; k < 1000; k++) {
                numbers[k] = from + k;
            }
            check_answers(&net, numbers, 1000);
        }
        remote_close_net(&net);
    }
}

/* Waves of opening, of a first key, of a key whose value overflows. */
static void test_waves(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum remote_hint hint;
        uint64_t open;
        uint64_t key;
        uint64_t overflow; /* 0: no such row */
    } rows[] = {
        {"ours", REMOTE_HINT, 1, 1, 0},
        {"ours long", REMOTE_HINT, 1, 1, 2},
        {"ours 64k", REMOTE_HINT, 1, 1, 2},
        {"ours, one leaf", REMOTE_HINT, 1, 0, 0},
        {"ours, empty", REMOTE_HINT, 1, 0, 0},
        {"ours", REMOTE_NO_HINT, 2, 1, 0},
        {"ours long", REMOTE_NO_HINT, 2, 1, 2},
        {"ours, one leaf", REMOTE_NO_HINT, 1, 0, 0},
        {"sorted", REMOTE_SIDECAR, 1, 1, 0},
        {"shuffled", REMOTE_SIDECAR, 1, 1, 0},
        {"deep", REMOTE_SIDECAR, 1, 1, 0},
        {"long", REMOTE_SIDECAR, 1, 1, 2},
        {"shuffled long", REMOTE_SIDECAR, 1, 1, 2},
        {"many tables", REMOTE_SIDECAR, 1, 1, 0},
        {"sorted", REMOTE_NO_HINT, 1, 2, 0}, /* the root came with the first page */
        {"64k", REMOTE_NO_HINT, 1, 2, 3},
        {"one row", REMOTE_NO_HINT, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct remote_shape *shape = &file_named(rows[i].file)->shape;
        struct remote_net net;
        uint32_t far = shape->rows / 3 * 2 + 2;
        remote_open(&net, file_named(rows[i].file), rows[i].hint);
        net.most_waves = 10;
        assert_int_equal(remote_prepare(&net, NULL), SHARDY_OK);
        if (net.waves != rows[i].open) {
            fail_msg("%s, hint %d: %llu waves to open", shape->name, rows[i].hint,
                     (unsigned long long)net.waves);
        }
        net.waves = 0;
        while (shape->long_every > 1 && far / 2 % shape->long_every == 1) {
            far += 2;
        }
        if (shape->long_every != 1) {
            check_answers(&net, &far, 1);
            if (net.waves != rows[i].key) {
                fail_msg("%s, hint %d: %llu waves for a key", shape->name, rows[i].hint,
                         (unsigned long long)net.waves);
            }
        }
        remote_close_net(&net);
        if (rows[i].overflow) {
            uint32_t number = 2 * (shape->rows / 2 / shape->long_every * shape->long_every +
                                   1 % shape->long_every);
            remote_open(&net, file_named(rows[i].file), rows[i].hint);
            assert_int_equal(remote_prepare(&net, NULL), SHARDY_OK);
            net.waves = 0;
            check_answers(&net, &number, 1);
            if (net.waves != rows[i].overflow) {
                fail_msg("%s, hint %d: %llu waves for an overflowing value", shape->name,
                         rows[i].hint, (unsigned long long)net.waves);
            }
            remote_close_net(&net);
        }
    }
}

/* A hundred keys take the waves of one, and not more requests than keys. */
static void test_batch_waves(void **state)
{
    (void)state;
    struct remote_net net;
    uint32_t numbers[100];
    for (uint32_t i = 0; i < 100; i++) {
        numbers[i] = i * 591;
    }
    remote_open(&net, file_named("ours"), REMOTE_HINT);
    check_answers(&net, numbers, 100);
    assert_int_equal(net.waves, 2);
    assert_true(net.requests <= 102);
    remote_close_net(&net);
}

static void test_replaced(void **state)
{
    (void)state;
    struct remote_net net;
    shardy_error err = SHARDY_ERROR_INIT;
    uint32_t number = 100;
    size_t wrong;
    char etag[SFI_ETAG_SIZE];
    remote_open(&net, file_named("ours"), REMOTE_HINT);
    sfi_remote_etag(net.shard, etag);
    assert_string_equal(etag, "");
    assert_int_equal(remote_prepare(&net, NULL), SHARDY_OK);
    sfi_remote_etag(net.shard, etag);
    assert_string_equal(etag, REMOTE_ETAG);
    net.replace = true;
    assert_int_equal(remote_get(&net, &number, 1, &wrong, &err), SHARDY_CONFLICT);
    assert_non_null(strstr(err.message, "refresh"));
    net.replace = false;
    check_answers(&net, &number, 1);
    remote_close_net(&net);
}

static void test_wrong_size(void **state)
{
    (void)state;
    struct remote_net net;
    struct sfi_bytes bytes = {file_named("ours")->image, 4096};
    uint64_t added = 1;
    remote_open(&net, file_named("ours"), REMOTE_HINT);
    assert_int_equal(sfi_remote_fill(net.shard, SFI_REMOTE_DATABASE, 0, bytes, net.file->size + 1,
                                     REMOTE_ETAG, &added, NULL),
                     SHARDY_CORRUPT);
    assert_int_equal(added, 0);
    assert_int_equal(sfi_remote_fill(net.shard, SFI_REMOTE_DATABASE, 0, bytes, net.file->size,
                                     REMOTE_ETAG, &added, NULL),
                     SHARDY_OK);
    assert_int_equal(added, 4096);
    assert_int_equal(sfi_remote_fill(net.shard, SFI_REMOTE_DATABASE, 0, bytes, net.file->size + 1,
                                     REMOTE_ETAG, &added, NULL),
                     SHARDY_CONFLICT);
    remote_close_net(&net);
}

/* Hints are not trusted: too short, too long, of another page size, for another maker's file. */
static void test_wrong_hints(void **state)
{
    (void)state;
    static uint32_t numbers[50];
    static const char *const names[] = {"ours", "ours 64k", "sorted", "deep", "long"};
    for (size_t i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 10; k++) {
            struct remote_file file = *file_named(names[i]);
            struct remote_shape shape = file.shape;
            struct remote_net net;
            file.tail_pages = k % 5 == 4 ? 100 : k % 5;
            file.shape.page_size = k < 5 ? shape.page_size : shape.page_size == 4096 ? 8192 : 4096;
            remote_open(&net, &file, REMOTE_HINT);
            check_answers(&net, numbers, choose(&shape, numbers, 50));
            remote_close_net(&net);
        }
    }
}

/* Sidecars that are absent, foreign, or damaged in any byte: answers stay right. */
static void test_bad_sidecars(void **state)
{
    (void)state;
    static uint32_t numbers[40];
    struct remote_file file = *file_named("long");
    size_t count = choose(&file.shape, numbers, 40);
    uint8_t *good = file.sidecar;
    for (size_t k = 0; k < file.sidecar_size + 3; k += k < 64 ? 1 : 97) {
        struct remote_net net;
        uint8_t *bad = malloc(file.sidecar_size);
        assert_non_null(bad);
        memcpy(bad, good, file.sidecar_size);
        if (k < file.sidecar_size) {
            bad[k] ^= (uint8_t)(1u << k % 8);
        }
        file.sidecar = k < file.sidecar_size ? bad : NULL;
        remote_open(&net, &file, REMOTE_SIDECAR);
        check_answers(&net, numbers, count);
        remote_close_net(&net);
        free(bad);
    }
}

/* A sidecar of the right tag whose pages belong to another file is found out and dropped. */
static void test_lying_sidecar(void **state)
{
    (void)state;
    static uint32_t numbers[100];
    struct remote_file file = *file_named("sorted");
    struct remote_net net;
    file.sidecar = file_named("many tables")->sidecar;
    file.sidecar_size = file_named("many tables")->sidecar_size;
    size_t count = choose(&file.shape, numbers, 100);
    size_t wrong;
    remote_open(&net, &file, REMOTE_SIDECAR);
    /* Who can write a bound sidecar can write the shard: right or absent, but no crash and an end.
     */
    (void)remote_get(&net, numbers, count, &wrong, NULL);
    remote_close_net(&net);
}

/* The clock: what was just filled survives a sweep, used interior pages survive several. */
static void test_eviction(void **state)
{
    (void)state;
    struct remote_net net;
    uint32_t number = 100;
    remote_open(&net, file_named("ours"), REMOTE_HINT);
    check_answers(&net, &number, 1);
    uint64_t resident = sfi_remote_resident(net.shard);
    assert_int_equal(resident, net.bytes);
    assert_int_equal(sfi_remote_evict(net.shard, UINT64_MAX), 0);
    uint64_t before = net.bytes;
    check_answers(&net, &number, 1);
    assert_int_equal(net.bytes, before);
    remote_evict_all(&net);
    /* The directory stays: one wave, one page. */
    net.waves = 0;
    check_answers(&net, &number, 1);
    assert_int_equal(net.waves, 1);
    assert_int_equal(net.bytes, before + 4096);
    for (unsigned i = 0; i < 20 && sfi_remote_evict(net.shard, 1) == 0; i++) {
    }
    assert_int_equal(sfi_remote_resident(net.shard), 0);
    remote_close_net(&net);
}

/* Bytes wanted for one value: the chain and little more. */
static void test_value_bytes(void **state)
{
    (void)state;
    struct remote_net net;
    uint32_t number = 2 * 100;
    remote_open(&net, file_named("long"), REMOTE_SIDECAR);
    assert_int_equal(remote_prepare(&net, NULL), SHARDY_OK);
    net.bytes = 0;
    check_answers(&net, &number, 1);
    assert_true(net.bytes <= 20000 + 4 * 4096);
    remote_close_net(&net);
}

static void test_impossible_size(void **state)
{
    (void)state;
    struct sfi_remote_options options = {.name = "s3://bucket/shard.db", .size = 100};
    struct sfi_shard_reader *shard = NULL;
    assert_int_equal(sfi_sqlite_remote_new(&options, &shard, NULL), SHARDY_CORRUPT);
    assert_null(shard);
    options.size = UINT64_MAX;
    assert_int_equal(sfi_sqlite_remote_new(&options, &shard, NULL), SHARDY_NO_MEMORY);
    assert_null(shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),         cmocka_unit_test(test_all_rows),
        cmocka_unit_test(test_mapped),          cmocka_unit_test(test_waves),
        cmocka_unit_test(test_batch_waves),     cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_wrong_size),      cmocka_unit_test(test_wrong_hints),
        cmocka_unit_test(test_bad_sidecars),    cmocka_unit_test(test_lying_sidecar),
        cmocka_unit_test(test_eviction),        cmocka_unit_test(test_value_bytes),
        cmocka_unit_test(test_impossible_size),
    };
    return cmocka_run_group_tests(tests, make_files, clear_files);
}
