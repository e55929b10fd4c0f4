/*
 * fuzz_sidecar.c - any bytes as a sidecar.
 *
 * Invariant: the parser refuses the bytes, or every getter works, and encoding what they return
 * gives a sidecar that reads back the same. So that inputs get past zstd and its checksum, the
 * first byte says how to take the rest: 0 = the object as it is, else = a body to be compressed.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sidecar.h"

#include <stdlib.h>
#include <zstd.h>

#define BODY_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Chains of any form; the encoder takes only consecutive ones, so those are kept. */
static struct sfi_chain *chains_of(const struct sfi_sidecar *s, size_t *kept)
{
    uint32_t lock_page = sfi_lock_page(sfi_sidecar_page_size(s));
    size_t count = sfi_sidecar_chain_count(s);
    struct sfi_chain *chains = calloc(count + 1, sizeof *chains);

    require(chains != NULL);
    *kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const uint32_t *pages = sfi_sidecar_chain(s, i, &length);
        bool plain = pages[0] != lock_page && pages[0] < UINT32_MAX - length - 1;
        require(length > 0 && sfi_sidecar_find_chain(s, pages[0]) == i);
        for (size_t j = 1; j < length; j++) {
            plain = plain && pages[j] == pages[j - 1] + (pages[j - 1] + 1 == lock_page ? 2 : 1);
        }
        if (plain) {
            chains[*kept] = (struct sfi_chain){pages[0], (uint32_t)length};
            (*kept)++;
        }
    }
    return chains;
}

static void compare(const struct sfi_sidecar_input *input, const struct sfi_sidecar *again)
{
    uint8_t *image = malloc(input->page_size);

    require(image && sfi_sidecar_page_size(again) == input->page_size);
    require(sfi_sidecar_page_count(again) == input->page_count);
    require(sfi_sidecar_chain_count(again) == input->chain_count);
    for (size_t i = 0; i < input->page_count; i++) {
        require(sfi_sidecar_page_number(again, i) == input->pages[i].number);
        sfi_sidecar_page(again, i, image);
        require(memcmp(image, input->pages[i].image, input->page_size) == 0);
    }
    for (size_t i = 0; i < input->chain_count; i++) {
        size_t length = 0;
        const uint32_t *pages = sfi_sidecar_chain(again, i, &length);
        require(pages[0] == input->chains[i].head && length == input->chains[i].count);
    }
    free(image);
}

static void check_parsed(const struct sfi_sidecar *s)
{
    size_t page_size = sfi_sidecar_page_size(s);
    size_t count = sfi_sidecar_page_count(s);
    struct sfi_sidecar_page *pages = calloc(count + 1, sizeof *pages);
    uint8_t *images = malloc((count + 1) * page_size);
    struct sfi_sidecar_input input = {(uint32_t)page_size, pages, count, NULL, 0,
                                      sfi_sidecar_tag(s)};
    struct sfi_chain *chains = chains_of(s, &input.chain_count);
    struct sfi_sidecar *again = NULL;
    struct sfi_buf out;

    require(pages && images);
    input.chains = chains;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = sfi_sidecar_page_number(s, i);
        require(sfi_sidecar_find(s, number) == i);
        sfi_sidecar_page(s, i, images + i * page_size);
        pages[i] = (struct sfi_sidecar_page){number, images + i * page_size};
    }
    sfi_buf_init(&out, SIZE_MAX);
    shardy_status st = sfi_sidecar_encode(&input, &out, NULL);
    /* LIMIT: the fuzzer's own zstd packed the same pages better than the ratio allows. */
    require(st == SHARDY_OK || st == SHARDY_LIMIT);
    if (st == SHARDY_OK) {
        require(sfi_sidecar_parse(sfi_buf_view(&out), &again, NULL) == SHARDY_OK);
        compare(&input, again);
    }
    sfi_sidecar_free(again);
    sfi_buf_clear(&out);
    free(chains);
    free(images);
    free(pages);
}

/* Prefix, with a page size out of the first byte, and a good frame around `body`. */
static uint8_t *wrap(const uint8_t *body, size_t *size, uint8_t choice)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(*size);
    uint8_t *bytes = malloc(18 + bound);
    uint64_t body_size = *size;

    require(zstd && bytes);
    memcpy(bytes, "SQPC\x08", 5);
    memcpy(bytes + 5, &body_size, 8);
    sfi_put_u32le(bytes + 13, 512u << choice % 8);
    bytes[17] = 0;
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    *size = 18 + ZSTD_compress2(zstd, bytes + 18, bound, body, *size);
    ZSTD_freeCCtx(zstd);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_sidecar *s = NULL;
    uint8_t *wrapped = NULL;

    if (size == 0 || size > BODY_MAX) {
        return 0;
    }
    struct sfi_bytes bytes = {data + 1, size - 1};
    if (data[0] != 0) {
        wrapped = wrap(data + 1, &bytes.size, data[0]);
        bytes.data = wrapped;
    }
    if (sfi_sidecar_parse(bytes, &s, NULL) == SHARDY_OK) {
        check_parsed(s);
    }
    sfi_sidecar_free(s);
    free(wrapped);
    return 0;
}
