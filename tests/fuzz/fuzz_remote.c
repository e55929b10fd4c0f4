/*
 * fuzz_remote.c - a valid shard and its sidecar, damaged bytes, read over a played network.
 *
 * The first byte chooses the shard, the second how it is read (remote_damage.h). Then follow
 * changes of 6 bytes each: what to do, a 24-bit offset, a 16-bit value; the highest bit of the
 * first byte says that the sidecar is changed.
 *
 * Invariant: every lookup and scan ends with an error or an answer after a bounded number of waves,
 * and a row none of whose pages was changed is never missing or wrong (damage_get aborts).
 */
#include "../unit/remote_damage.h"

enum { SET_BYTE, SET_U16, SET_U32, COPY_U32, FLIP, CHANGES };

static struct sample samples[] = {
    {.page_size = 512, .rows = 120, .long_every = 9, .long_size = 1200},
    {.page_size = 1024, .rows = 90, .long_every = 40, .long_size = 3000, .pad = 150},
    {.page_size = 4096, .rows = 150, .long_every = 11, .long_size = 5000},
    {.page_size = 4096, .rows = 400, .long_every = 20, .long_size = 9000},
    {.page_size = 4096, .rows = 0},
};

#define SAMPLES (sizeof samples / sizeof *samples)

static struct remote_file sidecars[SAMPLES]; /* only their sidecars matter */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The plain driver has no LLVMFuzzerInitialize, so samples are made when first needed. */
static void make_samples(void)
{
    for (size_t i = 0; !samples[SAMPLES - 1].image && i < SAMPLES; i++) {
        sample_make(&samples[i], i == 2 || i == 4);
        sidecars[i].image = samples[i].image;
        sidecars[i].size = samples[i].size;
        sidecars[i].shape.page_size = samples[i].page_size;
        remote_add_sidecar(&sidecars[i], REMOTE_ETAG);
    }
}

static void change(uint8_t *image, size_t size, const uint8_t *p)
{
    size_t at = ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) % (size - 4);
    uint32_t value = (uint32_t)p[4] << 8 | p[5];

    switch ((p[0] & 0x7F) % CHANGES) {
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
    default:
        image[at] ^= (uint8_t)(1u << p[5] % 8);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_samples();
    if (size < 2) {
        return 0;
    }
    size_t which = data[0] % SAMPLES;
    struct sample *s = &samples[which];
    size_t sidecar_size = sidecars[which].sidecar_size;
    uint8_t *image = malloc(s->size);
    uint8_t *sidecar = malloc(sidecar_size);
    sample_require(image && sidecar, "memory");
    memcpy(image, s->image, s->size);
    memcpy(sidecar, sidecars[which].sidecar, sidecar_size);
    for (size_t at = 2; at + 6 <= size; at += 6) {
        bool other = (data[at] & 0x80) != 0;
        change(other ? sidecar : image, other ? sidecar_size : s->size, data + at);
    }
    (void)damage_try(s, image, sidecar, sidecar_size, data[1] % DAMAGE_MODES);
    free(image);
    free(sidecar);
    return 0;
}
