/*
 * test_shard_damage.c - damaged and hostile shard files. Every one gives an error or an answer,
 * never a crash or a hang, and rows that need no damaged page keep their answer (sample_try).
 */
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard_sample.h"

/* The last one: a common prefix so long that the local part of some cells ends inside of it. */
enum { SMALL, LONG, OURS, OURS_WIDE, PADDED, SAMPLES };

static struct sample samples[SAMPLES] = {
    [SMALL] = {.page_size = 512, .rows = 220, .long_every = 9, .long_size = 1500},
    [LONG] = {.page_size = 4096, .rows = 300, .long_every = 30, .long_size = 9000},
    [OURS] = {.page_size = 4096, .rows = 500, .long_every = 11, .long_size = 5000},
    [PADDED] = {.page_size = 4096, .rows = 300, .long_every = 60, .long_size = 3000, .pad = 700},
    [OURS_WIDE] = {.page_size = 65536, .rows = 3000, .long_every = 400, .long_size = 17000},
};

static int make_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        sample_make(&samples[i], i >= OURS);
    }
    return 0;
}

static int clear_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        sample_clear(&samples[i]);
    }
    return 0;
}

/* Without damage everything is found: what the other tests compare with. */
static void test_whole(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        struct sample *s = &samples[i];
        struct sample_outcome outcome = sample_try(s, s->image, s->size);
        assert_int_equal(outcome.open, SHARDY_OK);
        assert_int_equal(outcome.check, SHARDY_OK);
        assert_int_equal(outcome.scan, SHARDY_OK);
        assert_int_equal(outcome.right, s->rows);
        assert_int_equal(outcome.scanned, s->rows);
    }
}

/* Every length of the small sample, every page of the others. */
static void test_truncation(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        struct sample *s = &samples[i];
        for (size_t size = 0; size < s->size; size += i == SMALL ? 1 : s->page_size) {
            struct sample_outcome outcome = sample_try(s, s->image, size);
            if (outcome.open == SHARDY_OK) {
                fail_msg("sample %d cut to %zu of %zu bytes was opened", i, size, s->size);
            }
        }
    }
}

/* One to four changed bits, half of them in the first bytes of a page. */
static void test_bit_flips(void **state)
{
    unsigned seed = 20260314;
    size_t noticed = 0;

    (void)state;
    for (int round = 0; round < 4000; round++) {
        struct sample *s = &samples[round % 8 == 0 ? OURS : round % 8 == 1 ? LONG : SMALL];
        uint8_t *image = malloc(s->size);
        memcpy(image, s->image, s->size);
        for (int bit = rand_r(&seed) % 4; bit >= 0; bit--) {
            size_t at = (size_t)rand_r(&seed) % s->size;
            if (rand_r(&seed) % 2) {
                at = at / s->page_size * s->page_size + at % 40;
            }
            image[at] ^= (uint8_t)(1u << rand_r(&seed) % 8);
        }
        struct sample_outcome outcome = sample_try(s, image, s->size);
        noticed += outcome.open != SHARDY_OK || outcome.check != SHARDY_OK;
        free(image);
    }
    assert_true(noticed > 1000);
}

/* Where a hostile change goes: offsets into the image of SMALL. */
struct place {
    struct sample *s;
    uint8_t *image;
    uint8_t *root;   /* interior */
    uint8_t *middle; /* first child of the root, interior */
    uint8_t *leaf;   /* first child of `middle` */
    uint32_t root_number;
    uint32_t middle_number;
    uint32_t leaf_number;
    uint32_t long_row;  /* in some leaf, with an overflow chain of several pages */
    uint32_t other_row; /* another one */
    uint8_t *chain;     /* first overflow page of `long_row` */
    uint8_t *link;      /* page number in its cell */
};

static uint8_t *page_of(const struct place *p, uint32_t number)
{
    return p->image + (size_t)(number - 1) * p->s->page_size;
}

static uint8_t *cell_of(const uint8_t *page, uint32_t index)
{
    uint32_t at = sfi_get_u16be(page + (page[0] == 2 ? 12 : 8) + 2 * index);
    return (uint8_t *)(uintptr_t)page + at;
}

/* Behind two varints, the record header of 7 bytes and "tablekvkv"; one byte, for it is page 2. */
static uint8_t *schema_root(const struct place *p)
{
    return p->image + sfi_get_u16be(p->image + 108) + 18;
}

static void find_places(struct place *p, struct sample *s)
{
    memset(p, 0, sizeof *p);
    p->s = s;
    p->image = malloc(s->size);
    memcpy(p->image, s->image, s->size);
    p->root_number = s->root;
    p->root = page_of(p, p->root_number);
    p->middle_number = sfi_get_u32be(cell_of(p->root, 0));
    p->middle = page_of(p, p->middle_number);
    p->leaf_number = sfi_get_u32be(cell_of(p->middle, 0));
    p->leaf = page_of(p, p->leaf_number);
    assert_int_equal(*schema_root(p), s->root);
    assert_true(s->page_count < 0x7f);
    assert_int_equal(p->root[0], 2);
    assert_int_equal(p->middle[0], 2);
    assert_int_equal(p->leaf[0], 10);
    for (uint32_t row = 20; row < s->rows; row++) {
        bool in_leaf = page_of(p, s->cell_page[row])[0] == 10;
        if (s->chain_head[row] && in_leaf && !p->long_row) {
            p->long_row = row;
        } else if (s->chain_head[row] && in_leaf) {
            p->other_row = row;
        }
    }
    assert_true(p->long_row && p->other_row);
    p->chain = page_of(p, s->chain_head[p->long_row]);
    p->link = p->image + s->cell_at[p->long_row];
    while (sfi_get_u32be(p->link) != s->chain_head[p->long_row]) {
        p->link++;
    }
}

static uint8_t *last_link(const struct place *p)
{
    uint8_t *page = p->chain;
    while (sfi_get_u32be(page)) {
        page = page_of(p, sfi_get_u32be(page));
    }
    return page;
}

static uint8_t *row_cell(const struct place *p)
{
    return p->image + p->s->cell_at[p->long_row];
}

#define CHANGE(name, statement)       \
    static void name(struct place *p) \
    {                                 \
        statement;                    \
    }

CHANGE(root_cycle, sfi_put_u32be(cell_of(p->root, 0), p->root_number))
CHANGE(root_cycle_right, sfi_put_u32be(p->root + 8, p->root_number))
CHANGE(middle_cycle, sfi_put_u32be(cell_of(p->middle, 0), p->middle_number))
CHANGE(middle_to_root, sfi_put_u32be(p->middle + 8, p->root_number))
CHANGE(too_shallow, sfi_put_u32be(cell_of(p->root, 0), p->leaf_number))
CHANGE(too_shallow_right, sfi_put_u32be(p->root + 8, p->leaf_number))
CHANGE(too_deep, sfi_put_u32be(p->middle + 8, sfi_get_u32be(p->root + 8)))
CHANGE(leaf_twice, sfi_put_u32be(cell_of(p->middle, 1), p->leaf_number))
CHANGE(middle_twice, sfi_put_u32be(p->root + 8, p->middle_number))
CHANGE(child_0, sfi_put_u32be(cell_of(p->root, 0), 0))
CHANGE(child_1, sfi_put_u32be(cell_of(p->middle, 1), 1))
CHANGE(child_past_end, sfi_put_u32be(cell_of(p->middle, 1), p->s->page_count + 1))
CHANGE(child_huge, sfi_put_u32be(p->root + 8, UINT32_MAX))
CHANGE(child_overflow, sfi_put_u32be(cell_of(p->middle, 1), p->s->chain_head[p->long_row]))
CHANGE(same_cell, memcpy(p->leaf + 10, p->leaf + 8, 2))
CHANGE(overlap, sfi_put_u16be(p->leaf + 10, sfi_get_u16be(p->leaf + 8) + 1u))
CHANGE(swapped, sfi_put_u16be(p->leaf + 8, sfi_get_u16be(p->leaf + 10)))
CHANGE(pointer_0, sfi_put_u16be(p->leaf + 8, 0))
CHANGE(pointer_header, sfi_put_u16be(p->leaf + 8, 3))
CHANGE(pointer_last, sfi_put_u16be(p->leaf + 8, p->s->page_size - 1))
CHANGE(pointer_end, sfi_put_u16be(p->leaf + 8, p->s->page_size))
CHANGE(pointer_huge, sfi_put_u16be(p->leaf + 8, 0xffff))
CHANGE(inner_pointer_0, sfi_put_u16be(p->root + 12, 0))
CHANGE(inner_pointer_last, sfi_put_u16be(p->middle + 12, p->s->page_size - 1))
CHANGE(inner_same_cell, memcpy(p->middle + 14, p->middle + 12, 2))
CHANGE(payload_2_63, memcpy(row_cell(p), "\x81\x80\x80\x80\x80\x80\x80\x80\x00", 9))
CHANGE(payload_2_64, memset(row_cell(p), 0xff, 9))
CHANGE(inner_payload, memset(cell_of(p->root, 0) + 4, 0xff, 9))
CHANGE(payload_0, *cell_of(p->leaf, 0) = 0)
CHANGE(record_header, cell_of(p->leaf, 0)[1] = 0x7f)
CHANGE(record_header_0, cell_of(p->leaf, 0)[1] = 0)
CHANGE(key_null, cell_of(p->leaf, 0)[2] = 0)
CHANGE(value_number, cell_of(p->leaf, 0)[3] = 6)
CHANGE(key_too_long, cell_of(p->leaf, 0)[2] = 0x7e)
CHANGE(chain_to_itself, memcpy(p->chain, p->link, 4))
CHANGE(chain_0, memset(p->link, 0, 4))
CHANGE(chain_1, sfi_put_u32be(p->link, 1))
CHANGE(chain_past_end, sfi_put_u32be(p->chain, p->s->page_count + 1))
CHANGE(chain_huge, memset(p->chain, 0xff, 4))
CHANGE(chain_short, memset(p->chain, 0, 4))
CHANGE(chain_long, memcpy(last_link(p), p->link, 4))
CHANGE(chain_shared, sfi_put_u32be(p->link, p->s->chain_head[p->other_row]))
CHANGE(no_cells, sfi_put_u16be(p->leaf + 3, 0))
CHANGE(too_many_cells, sfi_put_u16be(p->leaf + 3, 0xffff))
CHANGE(one_more_cell, sfi_put_u16be(p->leaf + 3, sfi_get_u16be(p->leaf + 3) + 1u))
CHANGE(one_cell_less, sfi_put_u16be(p->leaf + 3, sfi_get_u16be(p->leaf + 3) - 1u))
CHANGE(inner_no_cells, sfi_put_u16be(p->middle + 3, 0))
CHANGE(root_no_cells, sfi_put_u16be(p->root + 3, 0))
CHANGE(inner_too_many_cells, sfi_put_u16be(p->middle + 3, 0xfff0))
CHANGE(leaf_of_table, p->leaf[0] = 13)
CHANGE(leaf_as_interior, p->leaf[0] = 2)
CHANGE(leaf_of_nothing, p->leaf[0] = 0)
CHANGE(interior_as_leaf, p->middle[0] = 10)
CHANGE(interior_of_table, p->root[0] = 5)
CHANGE(schema_root_0, *schema_root(p) = 0)
CHANGE(schema_root_1, *schema_root(p) = 1)
CHANGE(schema_root_far, *schema_root(p) = 0x7f)
CHANGE(schema_other_table, schema_root(p)[-1] = 'x'; schema_root(p)[-3] = 'x')
CHANGE(schema_cycle, p->image[100] = 5; sfi_put_u16be(p->image + 103, 0);
       sfi_put_u32be(p->image + 108, 1))
CHANGE(reserved, p->image[20] = 100)

/*
 * Each change is noticed by open or check. LOST: some get fails, too. WHOLE: no row is absent, not
 * even one that depends on the damaged page.
 */
static void test_hostile(void **state)
{
    static const struct {
        const char *name;
        void (*change)(struct place *p);
        enum { NOTICED, LOST, WHOLE } demand;
    } rows[] = {
#define ROW(change, demand) {#change, change, demand}
        ROW(root_cycle, WHOLE),
        ROW(root_cycle_right, NOTICED),
        ROW(middle_cycle, WHOLE),
        ROW(middle_to_root, NOTICED),
        ROW(too_shallow, NOTICED),
        ROW(too_shallow_right, NOTICED),
        ROW(too_deep, NOTICED),
        ROW(leaf_twice, WHOLE),
        ROW(middle_twice, WHOLE),
        ROW(child_0, WHOLE),
        ROW(child_1, NOTICED),
        ROW(child_past_end, NOTICED),
        ROW(child_huge, NOTICED),
        ROW(child_overflow, NOTICED),
        ROW(same_cell, NOTICED),
        ROW(overlap, NOTICED),
        ROW(swapped, NOTICED),
        ROW(pointer_0, WHOLE),
        ROW(pointer_header, NOTICED),
        ROW(pointer_last, NOTICED),
        ROW(pointer_end, NOTICED),
        ROW(pointer_huge, WHOLE),
        ROW(inner_pointer_0, NOTICED),
        ROW(inner_pointer_last, NOTICED),
        ROW(inner_same_cell, NOTICED),
        ROW(payload_2_63, LOST),
        ROW(payload_2_64, LOST),
        ROW(inner_payload, NOTICED),
        ROW(payload_0, WHOLE),
        ROW(record_header, WHOLE),
        ROW(record_header_0, NOTICED),
        ROW(key_null, NOTICED),
        ROW(value_number, NOTICED),
        ROW(key_too_long, NOTICED),
        ROW(chain_to_itself, LOST),
        ROW(chain_0, LOST),
        ROW(chain_1, LOST),
        ROW(chain_past_end, LOST),
        ROW(chain_huge, LOST),
        ROW(chain_short, LOST),
        ROW(chain_long, LOST),
        ROW(chain_shared, NOTICED),
        ROW(no_cells, WHOLE),
        ROW(too_many_cells, NOTICED),
        ROW(one_more_cell, NOTICED),
        ROW(one_cell_less, NOTICED),
        ROW(inner_no_cells, WHOLE),
        ROW(root_no_cells, WHOLE),
        ROW(inner_too_many_cells, NOTICED),
        ROW(leaf_of_table, NOTICED),
        ROW(leaf_as_interior, NOTICED),
        ROW(leaf_of_nothing, NOTICED),
        ROW(interior_as_leaf, NOTICED),
        ROW(interior_of_table, NOTICED),
        ROW(schema_root_0, NOTICED),
        ROW(schema_root_1, NOTICED),
        ROW(schema_root_far, NOTICED),
        ROW(schema_other_table, NOTICED),
        ROW(schema_cycle, NOTICED),
        ROW(reserved, NOTICED),
#undef ROW
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sample *s = &samples[SMALL];
        struct place p;
        find_places(&p, s);
        rows[i].change(&p);
        assert_memory_not_equal(p.image, s->image, s->size);
        struct sample_outcome outcome = sample_try(s, p.image, s->size);
        if (outcome.open == SHARDY_OK && outcome.check == SHARDY_OK) {
            fail_msg("%s: not noticed", rows[i].name);
        }
        if (rows[i].demand == LOST && outcome.open == SHARDY_OK && outcome.failed == 0) {
            fail_msg("%s: every row was answered", rows[i].name);
        }
        if (rows[i].demand == WHOLE && outcome.other > 0) {
            fail_msg("%s: %zu rows absent or wrong", rows[i].name, outcome.other);
        }
        free(p.image);
    }
}

/* Whole files of nonsense: no pages, only headers, random pages behind a good first one. */
static void test_nonsense(void **state)
{
    struct sample *s = &samples[SMALL];
    uint8_t *image = malloc(s->size);
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 300; round++) {
        memcpy(image, s->image, s->size);
        for (size_t i = round % 3 ? s->page_size : 0; i < s->size; i++) {
            image[i] = (uint8_t)(round % 2 ? rand_r(&seed) >> 8 : 0);
            if (i % s->page_size == 0 && round % 3 == 2) {
                image[i] = rand_r(&seed) % 2 ? 2 : 10;
            }
        }
        struct sample_outcome outcome = sample_try(s, image, s->size);
        assert_int_not_equal(outcome.open == SHARDY_OK && outcome.check == SHARDY_OK, true);
        assert_int_equal(outcome.right, 0);
    }
    free(image);
}

static size_t allowed;

static bool spend(void)
{
    return allowed > 0 && allowed-- > 0;
}

static void *failing_malloc(size_t size)
{
    return spend() ? malloc(size) : NULL;
}

static void *failing_calloc(size_t count, size_t size)
{
    return spend() ? calloc(count, size) : NULL;
}

static void *failing_realloc(void *block, size_t size)
{
    return spend() ? realloc(block, size) : NULL;
}

/* The n-th allocation fails, for every n: no row is missing or wrong, and nothing leaks. */
static void test_out_of_memory(void **state)
{
    static const shardy_allocator failing = {failing_malloc, failing_calloc, failing_realloc, free};
    struct sample *s = &samples[SMALL];
    size_t failures = 0;
    bool whole = false;

    (void)state;
    for (size_t n = 0; !whole; n++) {
        shardy_set_allocator(&failing);
        allowed = n;
        struct sample_outcome outcome = sample_try(s, s->image, s->size);
        shardy_set_allocator(NULL);
        whole = outcome.open == SHARDY_OK && outcome.scan == SHARDY_OK &&
                outcome.check == SHARDY_OK && outcome.right == s->rows;
        assert_true(outcome.open == SHARDY_OK || outcome.open == SHARDY_NO_MEMORY);
        assert_true(outcome.check == SHARDY_OK || outcome.check == SHARDY_NO_MEMORY);
        assert_int_equal(outcome.other, 0);
        failures += !whole;
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),    cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_hostile),  cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_nonsense), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_samples, clear_samples);
}
