/*
 * sidecar_encode.c - write the page-cache sidecar of a shard: prefix, then one zstd frame that
 * holds the page table, the chain table and the gap-stripped pages.
 *
 * Format: docs/format/sidecar.md. The body is fed to the compressor piece by piece and never lies
 * in memory as a whole. Which pages and chains go in is the caller's choice.
 */
#include "shard/sidecar.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <zstd.h>

/* The level's own tables of 512 and 256 KiB cost a third of the speed, for 2% of the size at most:
 * frames are small, and what they hold seldom repeats. */
#define ZSTD_LEVEL     3
#define ZSTD_HASH_LOG  15
#define ZSTD_CHAIN_LOG 14

#define TAG_MAX     255
#define CHAIN_STAGE 1024

/* The stored form of one page: image[0, head) followed by image[tail, page_size). */
struct strip {
    uint32_t head;
    uint32_t tail;
};

/* A compressor and where its output goes. */
struct frame {
    ZSTD_CCtx *zstd;
    struct sfi_buf *out;
    shardy_error *err;
};

/* The input checked and measured. */
struct plan {
    const struct sfi_sidecar_input *input;
    struct sfi_chain *chains; /* by head */
    uint32_t *offsets;        /* page_count + 1 */
    uint64_t body_size;
};

static shardy_status strip_page(uint32_t page_size, const struct sfi_sidecar_page *page,
                                struct strip *strip, shardy_error *err)
{
    uint32_t base = page->number == 1 ? 100 : 0;
    const uint8_t *header = page->image + base;
    uint8_t type = header[0];

    strip->head = page_size;
    strip->tail = page_size;
    if (type != 2 && type != 5 && type != 10 && type != 13) {
        return SHARDY_OK;
    }
    uint32_t cells = sfi_get_u16be(header + 3);
    uint32_t content = sfi_get_u16be(header + 5);
    strip->tail = content ? content : 65536;
    strip->head = base + (type < 10 ? 12 : 8) + 2 * cells;
    if (strip->head > strip->tail || strip->tail > page_size) {
        return sfi_fail(err, SHARDY_CORRUPT,
                        "sidecar: page %u: cell pointers end at %u, cells start at %u of %u",
                        page->number, strip->head, strip->tail, page_size);
    }
    return SHARDY_OK;
}

static shardy_status measure_pages(struct plan *plan, shardy_error *err)
{
    const struct sfi_sidecar_input *input = plan->input;
    uint64_t total = 0;

    for (size_t i = 0; i < input->page_count; i++) {
        const struct sfi_sidecar_page *page = &input->pages[i];
        struct strip strip;
        if (page->number == 0 || (i > 0 && page->number <= page[-1].number)) {
            return sfi_fail(err, SHARDY_CORRUPT, "sidecar: page %u out of order", page->number);
        }
        SFI_RETURN_IF_ERR(strip_page(input->page_size, page, &strip, err));
        plan->offsets[i] = (uint32_t)total;
        total += strip.head + (input->page_size - strip.tail);
        if (total > SFI_SIDECAR_MAX_BODY) {
            return sfi_fail(err, SHARDY_LIMIT, "sidecar: pages exceed %u bytes",
                            SFI_SIDECAR_MAX_BODY);
        }
    }
    plan->offsets[input->page_count] = (uint32_t)total;
    plan->body_size += total;
    return SHARDY_OK;
}

static int compare_heads(const void *a, const void *b)
{
    uint32_t x = ((const struct sfi_chain *)a)->head;
    uint32_t y = ((const struct sfi_chain *)b)->head;
    return (x > y) - (x < y);
}

/* The page after `number` in a chain; the lock-byte page is never used. */
static uint32_t next_page(uint32_t number, uint32_t lock_page)
{
    return number + 1 == lock_page ? number + 2 : number + 1;
}

static shardy_status measure_chains(struct plan *plan, shardy_error *err)
{
    size_t count = plan->input->chain_count;
    uint32_t lock_page = sfi_lock_page(plan->input->page_size);
    uint64_t total = 0;

    if (count > 1) {
        qsort(plan->chains, count, sizeof *plan->chains, compare_heads);
    }
    for (size_t i = 0; i < count; i++) {
        const struct sfi_chain *chain = &plan->chains[i];
        if (chain->head == 0 || chain->head == lock_page || chain->count == 0 ||
            chain->count > UINT32_MAX - 1 - chain->head ||
            (i > 0 && chain->head == chain[-1].head)) {
            return sfi_fail(err, SHARDY_CORRUPT, "sidecar: impossible chain of %u pages at page %u",
                            chain->count, chain->head);
        }
        total += chain->count;
    }
    plan->body_size += 4 * total;
    return SHARDY_OK;
}

static shardy_status plan_init(struct plan *plan, const struct sfi_sidecar_input *input,
                               shardy_error *err)
{
    uint32_t size = input->page_size;

    memset(plan, 0, sizeof *plan);
    plan->input = input;
    if (size < 512 || size > SFI_PAGE_MAX || (size & (size - 1)) != 0) {
        return sfi_fail(err, SHARDY_CONFIG, "sidecar: page size %u", size);
    }
    if (input->page_count > SFI_SIDECAR_MAX_BODY / 8 ||
        input->chain_count > SFI_SIDECAR_MAX_BODY / 8) {
        return sfi_fail(err, SHARDY_LIMIT, "sidecar: %zu pages, %zu chains", input->page_count,
                        input->chain_count);
    }
    plan->chains = sfi_array_alloc(input->chain_count, sizeof *plan->chains);
    plan->offsets = sfi_array_alloc(input->page_count + 1, sizeof *plan->offsets);
    if (!plan->chains || !plan->offsets) {
        return sfi_fail_memory(err, 8 * input->chain_count + 4 * input->page_count);
    }
    if (input->chain_count > 0) {
        memcpy(plan->chains, input->chains, input->chain_count * sizeof *plan->chains);
    }
    plan->body_size = 16 + 8 * (uint64_t)input->page_count + 8 * (uint64_t)input->chain_count;
    SFI_RETURN_IF_ERR(measure_pages(plan, err));
    SFI_RETURN_IF_ERR(measure_chains(plan, err));
    if (plan->body_size > SFI_SIDECAR_MAX_BODY) {
        return sfi_fail(err, SHARDY_LIMIT, "sidecar: body of %llu bytes, at most %u allowed",
                        (unsigned long long)plan->body_size, SFI_SIDECAR_MAX_BODY);
    }
    return SHARDY_OK;
}

static void plan_clear(struct plan *plan)
{
    sfi_free(plan->chains);
    sfi_free(plan->offsets);
}

/* Run the compressor over one piece; with ZSTD_e_end until it has nothing left to write. */
static shardy_status frame_put(struct frame *frame, const void *data, size_t size,
                               ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {data, size, 0};
    size_t left = 1;

    while (directive == ZSTD_e_end ? left != 0 : in.pos < in.size) {
        ZSTD_outBuffer to = {NULL, ZSTD_CStreamOutSize(), 0};
        to.dst = sfi_buf_reserve(frame->out, to.size);
        if (!to.dst) {
            return sfi_buf_status(frame->out, "sidecar", frame->err);
        }
        left = ZSTD_compressStream2(frame->zstd, &to, &in, directive);
        if (ZSTD_isError(left)) {
            return sfi_fail(frame->err, SHARDY_NO_MEMORY, "sidecar: %s", ZSTD_getErrorName(left));
        }
        frame->out->size += to.pos;
    }
    return SHARDY_OK;
}

static shardy_status put_u32(struct frame *frame, uint32_t value)
{
    return frame_put(frame, &value, sizeof value, ZSTD_e_continue);
}

static shardy_status put_chain_pages(struct frame *frame, const struct plan *plan)
{
    uint32_t lock_page = sfi_lock_page(plan->input->page_size);
    uint32_t stage[CHAIN_STAGE];
    size_t staged = 0;

    for (size_t i = 0; i < plan->input->chain_count; i++) {
        uint32_t number = plan->chains[i].head;
        for (uint32_t left = plan->chains[i].count; left > 0; left--) {
            stage[staged++] = number;
            number = next_page(number, lock_page);
            if (staged == CHAIN_STAGE) {
                SFI_RETURN_IF_ERR(frame_put(frame, stage, sizeof stage, ZSTD_e_continue));
                staged = 0;
            }
        }
    }
    return frame_put(frame, stage, staged * sizeof *stage, ZSTD_e_continue);
}

static shardy_status put_chains(struct frame *frame, const struct plan *plan)
{
    size_t count = plan->input->chain_count;
    uint32_t start = 0;

    SFI_RETURN_IF_ERR(put_u32(frame, (uint32_t)count));
    for (size_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(put_u32(frame, plan->chains[i].head));
    }
    for (size_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(put_u32(frame, start));
        start += plan->chains[i].count;
    }
    SFI_RETURN_IF_ERR(put_u32(frame, start));
    return put_chain_pages(frame, plan);
}

static shardy_status put_body(struct frame *frame, const struct plan *plan)
{
    const struct sfi_sidecar_input *input = plan->input;

    SFI_RETURN_IF_ERR(put_u32(frame, (uint32_t)input->page_count));
    for (size_t i = 0; i < input->page_count; i++) {
        SFI_RETURN_IF_ERR(put_u32(frame, input->pages[i].number));
    }
    SFI_RETURN_IF_ERR(
        frame_put(frame, plan->offsets, 4 * (input->page_count + 1), ZSTD_e_continue));
    SFI_RETURN_IF_ERR(put_chains(frame, plan));
    for (size_t i = 0; i < input->page_count; i++) {
        const uint8_t *image = input->pages[i].image;
        struct strip strip;
        SFI_RETURN_IF_ERR(strip_page(input->page_size, &input->pages[i], &strip, frame->err));
        SFI_RETURN_IF_ERR(frame_put(frame, image, strip.head, ZSTD_e_continue));
        SFI_RETURN_IF_ERR(
            frame_put(frame, image + strip.tail, input->page_size - strip.tail, ZSTD_e_continue));
    }
    return frame_put(frame, NULL, 0, ZSTD_e_end);
}

static shardy_status put_prefix(const struct plan *plan, struct sfi_buf *out, shardy_error *err)
{
    const char *tag = plan->input->tag ? plan->input->tag : "";
    size_t tag_size = strlen(tag);

    if (tag_size > TAG_MAX || !sfi_utf8_valid(tag, tag_size)) {
        tag_size = 0;
    }
    sfi_buf_append_text(out, "SQPC");
    sfi_buf_append_byte(out, SFI_SIDECAR_FORMAT_VERSION);
    sfi_buf_append_u64le(out, plan->body_size);
    sfi_buf_append_u32le(out, plan->input->page_size);
    sfi_buf_append_byte(out, (uint8_t)tag_size);
    sfi_buf_append(out, tag, tag_size);
    return sfi_buf_status(out, "sidecar", err);
}

static shardy_status put_frame(const struct plan *plan, struct sfi_buf *out, shardy_error *err)
{
    struct frame frame = {ZSTD_createCCtx(), out, err};
    size_t start = out->size;
    shardy_status st = SHARDY_OK;

    if (!frame.zstd ||
        ZSTD_isError(ZSTD_CCtx_setParameter(frame.zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(frame.zstd, ZSTD_c_hashLog, ZSTD_HASH_LOG)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(frame.zstd, ZSTD_c_chainLog, ZSTD_CHAIN_LOG)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(frame.zstd, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(frame.zstd, plan->body_size))) {
        st = sfi_fail(err, SHARDY_NO_MEMORY, "sidecar: no zstd compressor");
        goto out;
    }
    SFI_TRY(put_body(&frame, plan));
    if (plan->body_size / SFI_SIDECAR_MAX_RATIO > out->size - start) {
        st =
            sfi_fail(err, SHARDY_LIMIT, "sidecar: %llu bytes compress to %zu, a ratio above %u",
                     (unsigned long long)plan->body_size, out->size - start, SFI_SIDECAR_MAX_RATIO);
    }
out:
    ZSTD_freeCCtx(frame.zstd);
    return st;
}

shardy_status sfi_sidecar_encode(const struct sfi_sidecar_input *input, struct sfi_buf *out,
                                 shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct plan plan;

    sfi_buf_clear(out);
    SFI_TRY(plan_init(&plan, input, err));
    SFI_TRY(put_prefix(&plan, out, err));
    SFI_TRY(put_frame(&plan, out, err));
out:
    plan_clear(&plan);
    if (st != SHARDY_OK) {
        sfi_buf_clear(out);
    }
    return st;
}
