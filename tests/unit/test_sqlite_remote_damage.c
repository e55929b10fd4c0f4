/*
 * test_sqlite_remote_damage.c - damaged and hostile files read remotely: an error that names the
 * shard, or an answer, after few waves; and errors of memory at every allocation.
 */
#include "remote_damage.h"
#include "store_sample.h"

#include "base/limits.h"

#include <shardyfusion/shardyfusion.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SMALL, LONG, OURS, OURS_WIDE, PADDED, SAMPLES };

static struct sample samples[SAMPLES] = {
    [SMALL] = {.page_size = 512, .rows = 220, .long_every = 9, .long_size = 1500},
    [LONG] = {.page_size = 4096, .rows = 300, .long_every = 30, .long_size = 9000},
    [OURS] = {.page_size = 4096, .rows = 500, .long_every = 11, .long_size = 5000},
    [PADDED] = {.page_size = 4096, .rows = 1500, .long_every = 60, .long_size = 3000, .pad = 700},
    [OURS_WIDE] = {.page_size = 65536, .rows = 3000, .long_every = 400, .long_size = 17000},
};

static struct remote_file sidecars[SAMPLES]; /* only their sidecars matter */

static int make_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        sample_make(&samples[i], i == OURS || i == OURS_WIDE);
        sidecars[i].image = samples[i].image;
        sidecars[i].size = samples[i].size;
        sidecars[i].shape.page_size = samples[i].page_size;
        remote_add_sidecar(&sidecars[i], REMOTE_ETAG);
    }
    return 0;
}

static int clear_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        free(sidecars[i].sidecar);
        sample_clear(&samples[i]);
    }
    return 0;
}

/* What the other tests compare with. Pages below a granule included. */
static void test_whole(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        for (unsigned mode = 0; mode < DAMAGE_MODES; mode++) {
            if (i == OURS_WIDE && mode >= DAMAGE_TINY) {
                break;
            }
            struct damage_outcome outcome = damage_try(
                &samples[i], samples[i].image, sidecars[i].sidecar, sidecars[i].sidecar_size, mode);
            assert_int_equal(outcome.right, samples[i].rows);
            assert_int_equal(outcome.scanned, samples[i].rows);
        }
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Plausible changes: page numbers, counts and offsets where they are read. */
static void damage(const struct sample *s, uint8_t *image, uint64_t *seed)
{
    for (uint64_t n = 1 + random_next(seed) % 3; n; n--) {
        uint32_t page = 1 + (uint32_t)(random_next(seed) % s->page_count);
        uint8_t *at = image + (size_t)(page - 1) * s->page_size;
        uint32_t number = (uint32_t)(random_next(seed) % (s->page_count + 2));
        switch (random_next(seed) % 6) {
        case 0:
            sfi_put_u32be(at, number); /* link of an overflow page */
            break;
        case 1:
            sfi_put_u32be(at + 8, number); /* rightmost child */
            break;
        case 2:
            sfi_put_u16be(at + 3, (uint32_t)random_next(seed) & 0x1FFu);
            break;
        case 3:
            at += random_next(seed) % (s->page_size - 4);
            sfi_put_u32be(at, number);
            break;
        case 4:
            at[random_next(seed) % s->page_size] ^= (uint8_t)(1u << random_next(seed) % 8);
            break;
        default:
            memset(at, (int)(random_next(seed) % 4 ? 0 : 0xFF), s->page_size);
            break;
        }
    }
}

static void test_random_damage(void **state)
{
    (void)state;
    uint64_t seed = 0x9E3779B97F4A7C15u;
    size_t failed = 0;
    size_t right = 0;
    for (unsigned round = 0; round < 600; round++) {
        unsigned i = round % OURS_WIDE;
        struct sample *s = &samples[i];
        uint8_t *image = malloc(s->size);
        assert_non_null(image);
        memcpy(image, s->image, s->size);
        damage(s, image, &seed);
        struct damage_outcome outcome =
            damage_try(s, image, sidecars[i].sidecar, sidecars[i].sidecar_size,
                       (unsigned)(random_next(&seed) % DAMAGE_MODES));
        failed += outcome.failed;
        right += outcome.right;
        free(image);
    }
    /* Damage is met, and most rows do not need it. */
    assert_true(failed > 1000 && right > 1000);
}

/* The message names shard, page and offset. */
static void test_message(void **state)
{
    (void)state;
    struct sample *s = &samples[LONG];
    struct remote_file file = {.image = malloc(s->size), .size = s->size};
    struct remote_net net;
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_lookup lookup = {0};
    uint8_t key[SAMPLE_KEY_MAX];
    assert_non_null(file.image);
    memcpy(file.image, s->image, s->size);
    sfi_put_u32be(file.image + (size_t)(s->chain_head[33] - 1) * s->page_size, s->page_count + 9);
    remote_open(&net, &file, REMOTE_NO_HINT);
    lookup.shard = net.shard;
    lookup.key = key;
    lookup.key_size = sample_key(s, 33, key);
    lookup.prefix = sfi_key_prefix(key, lookup.key_size);
    assert_int_equal(remote_lookup(&net, &lookup, 1, &err), SHARDY_CORRUPT);
    assert_non_null(strstr(err.message, "s3://bucket/shard.db: page "));
    assert_non_null(strstr(err.message, "offset "));
    assert_null(lookup.copy);
    remote_close_net(&net);
    free(file.image);
}

/* Every byte of the sidecar's prefix and some of its frame. */
static void test_sidecar_damage(void **state)
{
    (void)state;
    struct sample *s = &samples[PADDED];
    size_t size = sidecars[PADDED].sidecar_size;
    assert_true(s->size > SFI_REMOTE_WHOLE_MAX); /* smaller files are read without their sidecar */
    uint8_t *bad = malloc(size);
    assert_non_null(bad);
    for (size_t at = 0; at < size; at += at < 40 ? 1 : 1 + size / 40) {
        memcpy(bad, sidecars[PADDED].sidecar, size);
        bad[at] ^= 0x10;
        struct damage_outcome outcome = damage_try(s, s->image, bad, size, DAMAGE_SIDECAR);
        assert_int_equal(outcome.right, s->rows);
        assert_int_equal(outcome.scanned, s->rows);
        outcome = damage_try(s, s->image, bad, at, DAMAGE_SIDECAR);
        assert_int_equal(outcome.right, s->rows);
    }
    free(bad);
}

/* The n-th child of an interior page. */
static uint8_t *child_of(uint8_t *page, unsigned n)
{
    return page + sfi_get_u16be(page + 12 + 2 * n);
}

/*
 * A sidecar of the right database that lies: it exchanges two leaves, and says elsewhere that an
 * overflow page is one. The second lie is seen at once. By then other lookups wait for the leaves
 * that it exchanged: they must not say that their keys are absent.
 */
static void test_sidecar_lies(void **state)
{
    static const struct remote_shape shape = {.name = "lies",
                                              .page_size = 4096,
                                              .rows = 6000,
                                              .key_pad = 20,
                                              .group = 512, /* so that walks are kept */
                                              .value_size = 250,
                                              .long_every = 500,
                                              .long_size = 6000};
    (void)state;
    for (unsigned evict = 0; evict < 2; evict++) {
        struct remote_file file;
        struct remote_net net;
        shardy_error err = SHARDY_ERROR_INIT;
        size_t wrong;
        remote_make(&file, &shape);
        uint8_t *lies = malloc(file.size);
        uint32_t *numbers = malloc(shape.rows * sizeof *numbers);
        uint8_t *interior = NULL;
        uint32_t overflow = 0;
        assert_non_null(lies);
        assert_non_null(numbers);
        memcpy(lies, file.image, file.size);
        for (uint32_t page = 2; page <= file.size / 4096; page++) {
            uint8_t *at = lies + (size_t)(page - 1) * 4096;
            overflow = at[0] == 0 ? page : overflow;
            if (at[0] == 2 && lies[(size_t)(sfi_get_u32be(at + 8) - 1) * 4096] == 10) {
                interior = at;
            }
        }
        assert_non_null(interior);
        uint32_t first = sfi_get_u32be(child_of(interior, 1));
        sfi_put_u32be(child_of(interior, 1), sfi_get_u32be(child_of(interior, 2)));
        sfi_put_u32be(child_of(interior, 2), first);
        sfi_put_u32be(child_of(interior, 5), overflow);
        file.lies = lies;
        remote_add_sidecar(&file, REMOTE_ETAG);
        for (uint32_t i = 0; i < shape.rows; i++) {
            numbers[i] = 2 * (shape.rows - 1 - i); /* the second lie is met first */
        }
        remote_open(&net, &file, REMOTE_SIDECAR);
        net.evict = evict;
        assert_int_equal(remote_get(&net, numbers, shape.rows, &wrong, &err), SHARDY_OK);
        assert_int_equal(wrong, 0);
        remote_close_net(&net);
        remote_clear(&file);
        free(lies);
        free(numbers);
    }
}

/* Open, look up, scan: what the shard and its lookups made of it. */
static shardy_status read_all(const struct remote_file *file, enum remote_hint hint, uint32_t rows,
                              shardy_error *err)
{
    struct sfi_remote_options options = {
        .name = "s3://bucket/shard.db", .size = file->size, .try_sidecar = hint == REMOTE_SIDECAR};
    struct remote_net net = {.file = file, .etag = REMOTE_ETAG, .most_waves = 1000};
    struct sfi_shard_cursor *cursor = NULL;
    struct sfi_row taken[64];
    uint32_t numbers[] = {0, 2, 4, 5, 800, 1202, 2 * (rows - 1)};
    size_t count = 1;
    size_t wrong = 0;
    size_t scanned = 0;
    shardy_status st = SHARDY_OK;
    SFI_TRY(sfi_sqlite_remote_new(&options, &net.shard, err));
    SFI_TRY(remote_get(&net, numbers, sizeof numbers / sizeof numbers[0], &wrong, err));
    for (bool missing = true; missing;) {
        struct sfi_bytes start = {NULL, 0};
        SFI_TRY(sfi_remote_seek(net.shard, start, &cursor, &net.wants, &missing, err));
        if (missing) {
            SFI_TRY(remote_wave(&net, err));
        }
    }
    while (count) {
        bool missing;
        SFI_TRY(sfi_remote_next(cursor, taken, 64, &count, &net.wants, &missing, err));
        scanned += count;
        if (missing) {
            SFI_TRY(remote_wave(&net, err));
            count = 1;
        }
    }
    assert_int_equal(scanned, rows);
out:
    assert_int_equal(wrong, 0);
    sfi_remote_cursor_free(cursor);
    sfi_wants_clear(&net.wants);
    if (net.shard) {
        sfi_shard_reader_release(net.shard);
    }
    return st;
}

/* Every allocation fails once: NO_MEMORY or, where it was not needed, the right rows. */
static void test_memory(void **state)
{
    static const struct remote_shape shape = {.name = "memory",
                                              .page_size = 4096,
                                              .rows = 6000,
                                              .key_pad = 24,
                                              .value_size = 250,
                                              .long_every = 60,
                                              .long_size = 6000};
    struct remote_file file;
    (void)state;
    install_failing_allocator();
    remote_make(&file, &shape);
    remote_add_sidecar(&file, REMOTE_ETAG);
    for (int hint = REMOTE_NO_HINT; hint <= REMOTE_SIDECAR; hint += REMOTE_SIDECAR) {
        unsigned long n = 0;
        size_t failures = 0;
        do {
            shardy_error err = SHARDY_ERROR_INIT;
            fail_allocation(++n);
            shardy_status st = read_all(&file, (enum remote_hint)hint, shape.rows, &err);
            if (st != SHARDY_OK) {
                assert_int_equal(st, SHARDY_NO_MEMORY);
                assert_int_equal(err.status, SHARDY_NO_MEMORY);
                failures++;
            }
        } while (atomic_load(&alloc_count) >= n);
        fail_allocation(0);
        assert_true(failures > 10);
    }
    remote_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_message),      cmocka_unit_test(test_sidecar_damage),
        cmocka_unit_test(test_sidecar_lies), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make_samples, clear_samples);
}
