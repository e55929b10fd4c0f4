/*
 * fuzz_shard.c - a valid shard, damaged bytes, a query.
 *
 * The first byte chooses a good shard, or (0) says that the rest is a file of its own. Then follow
 * changes of 6 bytes each: what to do, a 24-bit offset, a 16-bit value. Page numbers and sizes of
 * the format are what the changes write, so that damage is likely to be plausible.
 *
 * Invariant: every open, get, scan and check ends with an error or an answer, and a row none of
 * whose pages was changed is never missing or wrong (sample_try aborts).
 */
#include "../unit/shard_sample.h"

#define FILE_MAX (256u << 10)

enum { SET_BYTE, SET_U16, SET_U32, COPY_U32, SWAP_U16, CUT, FLIP, CHANGES };

static struct sample samples[] = {
    {.page_size = 512, .rows = 120, .long_every = 9, .long_size = 1200},
    {.page_size = 1024, .rows = 90, .long_every = 40, .long_size = 3000, .pad = 150},
    {.page_size = 4096, .rows = 150, .long_every = 11, .long_size = 5000},
    {.page_size = 4096, .rows = 40},
    {.page_size = 8192, .rows = 1, .long_every = 1, .long_size = 18000},
    {.page_size = 4096, .rows = 0},
};

#define SAMPLES (sizeof samples / sizeof *samples)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The plain driver has no LLVMFuzzerInitialize, so samples are made when first needed. */
static void make_samples(void)
{
    if (!samples[0].image) {
        for (size_t i = 0; i < SAMPLES; i++) {
            sample_make(&samples[i], samples[i].page_size >= 4096);
        }
    }
}

/* One change; @return the size of the image after it. */
static size_t change(uint8_t *image, size_t size, const uint8_t *p)
{
    size_t at = ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) % (size - 4);
    uint32_t value = (uint32_t)p[4] << 8 | p[5];

    switch (p[0] % CHANGES) {
    case SET_BYTE:
        image[at] = p[5];
        break;
    case SET_U16:
        sfi_put_u16be(image + at, value);
        break;
    case SET_U32:
        sfi_put_u32be(image + at, value);
        break;
    case COPY_U32:
        memmove(image + at, image + value * 4u % (size - 4), 4);
        break;
    case SWAP_U16:
        value = sfi_get_u16be(image + at);
        memmove(image + at, image + at + 2, 2);
        sfi_put_u16be(image + at + 2, value);
        break;
    case CUT:
        return at + 4;
    case FLIP:
        image[at] ^= (uint8_t)(1u << p[5] % 8);
        break;
    default:
        break;
    }
    return size;
}

static void try_damaged(const struct sample *s, const uint8_t *changes, size_t size)
{
    uint8_t *image = malloc(s->size);
    size_t left = s->size;

    sample_require(image != NULL, "memory");
    memcpy(image, s->image, s->size);
    for (size_t i = 0; i + 6 <= size && left > 4; i += 6) {
        left = change(image, left, changes + i);
    }
    sample_try(s, image, left);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FILE_MAX) {
        return 0;
    }
    make_samples();
    if (data[0] == 0) {
        /* Nothing is known about such a file: the rows of the first sample serve as queries. */
        sample_try(&samples[0], data + 1, size - 1);
    } else {
        try_damaged(&samples[(data[0] - 1u) % SAMPLES], data + 1, size - 1);
    }
    return 0;
}
