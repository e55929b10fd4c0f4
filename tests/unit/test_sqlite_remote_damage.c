/*
 * test_sqlite_remote_damage.c - damaged and hostile files read remotely: an error that names the
 * shard, or an answer, after few waves; and errors of memory at every allocation.
 */
#include "remote_damage.h"

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
    [PADDED] = {.page_size = 4096, .rows = 300, .long_every = 60, .long_size = 3000, .pad = 700},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_sidecar_damage),
    };
    return cmocka_run_group_tests(tests, make_samples, clear_samples);
}
