/*
 * sidecar_parse.c - check and index the page-cache sidecar of a shard.
 *
 * Format: docs/format/sidecar.md. Every rule is checked once, here, so that the getters only look
 * up; limits are applied to the declared sizes before anything is allocated. Whether the sidecar
 * belongs to the database at hand (tag, page size, links of chains) is the caller's question.
 */
#include "shard/sidecar.h"

#include "base/limits.h"
#include "base/memory.h"

#include <zstd.h>

#define FIXED_PREFIX 18
/* Byte 4 of a zstd frame (RFC 8878 3.1.1.1.1): a checksum of the content stands at the end. */
#define ZSTD_DESCRIPTOR     4
#define ZSTD_CHECKSUM_FLAG  0x04u
#define ZSTD_MIN_FRAME_SIZE 9

struct sfi_sidecar {
    struct sfi_sidecar_prefix prefix;
    uint32_t *body; /* decompressed; everything below points into it */
    uint32_t page_count;
    uint32_t chain_count;
    const uint32_t *numbers;       /* page_count, ascending */
    const uint32_t *offsets;       /* page_count + 1 */
    const uint32_t *heads;         /* chain_count, ascending */
    const uint32_t *chain_offsets; /* chain_count + 1 */
    const uint32_t *chain_pages;
    const uint8_t *pages;
};

/* Where the two stored pieces of a page belong: [0, head) and [tail, page_size). */
struct gap {
    uint32_t head;
    uint32_t tail;
};

static shardy_status corrupt(shardy_error *err, const char *what, size_t value)
{
    return sfi_fail(err, SHARDY_CORRUPT, "sidecar: %s (%zu)", what, value);
}

shardy_status sfi_sidecar_parse_prefix(struct sfi_bytes bytes, struct sfi_sidecar_prefix *prefix,
                                       shardy_error *err)
{
    memset(prefix, 0, sizeof *prefix);
    if (bytes.size < FIXED_PREFIX || memcmp(bytes.data, "SQPC", 4) != 0) {
        return corrupt(err, "too short or not a sidecar", bytes.size);
    }
    if (bytes.data[4] != SFI_SIDECAR_FORMAT_VERSION) {
        return sfi_fail(err, SHARDY_UNSUPPORTED, "sidecar: format version %u, expected %u",
                        bytes.data[4], SFI_SIDECAR_FORMAT_VERSION);
    }
    uint64_t body_size = sfi_get_u64le(bytes.data + 5);
    uint32_t page_size = sfi_get_u32le(bytes.data + 13);
    size_t tag_size = bytes.data[17];
    const uint8_t *tag = bytes.data + FIXED_PREFIX;
    if (page_size < 512 || page_size > SFI_PAGE_MAX || (page_size & (page_size - 1)) != 0) {
        return corrupt(err, "impossible page size", page_size);
    }
    if (bytes.size - FIXED_PREFIX < tag_size) {
        return corrupt(err, "cut off inside the tag, at byte", bytes.size);
    }
    if (memchr(tag, 0, tag_size) || !sfi_utf8_valid(tag, tag_size)) {
        return corrupt(err, "tag is not text, bytes", tag_size);
    }
    prefix->body_size = body_size;
    prefix->page_size = page_size;
    prefix->size = (uint32_t)(FIXED_PREFIX + tag_size);
    memcpy(prefix->tag, tag, tag_size);
    return SHARDY_OK;
}

/* Frame and declared sizes agree and are affordable. Nothing is allocated before this. */
static shardy_status check_frame(const struct sfi_sidecar_prefix *prefix, struct sfi_bytes frame,
                                 shardy_error *err)
{
    if (prefix->body_size > SFI_SIDECAR_MAX_BODY ||
        prefix->body_size / SFI_SIDECAR_MAX_RATIO > frame.size) {
        return sfi_fail(err, SHARDY_LIMIT, "sidecar: body of %llu bytes in a frame of %zu",
                        (unsigned long long)prefix->body_size, frame.size);
    }
    if (frame.size < ZSTD_MIN_FRAME_SIZE ||
        ZSTD_findFrameCompressedSize(frame.data, frame.size) != frame.size) {
        return corrupt(err, "not exactly one zstd frame, bytes", frame.size);
    }
    if (!(frame.data[ZSTD_DESCRIPTOR] & ZSTD_CHECKSUM_FLAG)) {
        return corrupt(err, "zstd frame without checksum, bytes", frame.size);
    }
    unsigned long long content = ZSTD_getFrameContentSize(frame.data, frame.size);
    if (content != ZSTD_CONTENTSIZE_UNKNOWN && content != prefix->body_size) {
        return corrupt(err, "zstd frame disagrees on the body size", (size_t)content);
    }
    return SHARDY_OK;
}

/* Into a buffer of exactly the declared size: zstd stops there whatever the frame holds. */
static shardy_status decompress(struct sfi_sidecar *s, struct sfi_bytes frame, shardy_error *err)
{
    size_t size = (size_t)s->prefix.body_size;

    s->body = sfi_malloc(size);
    if (!s->body) {
        return sfi_fail_memory(err, size);
    }
    size_t got = ZSTD_decompress(s->body, size, frame.data, frame.size);
    if (ZSTD_isError(got)) {
        return sfi_fail(err, SHARDY_CORRUPT, "sidecar: %s", ZSTD_getErrorName(got));
    }
    if (got != size) {
        return corrupt(err, "body is too short", got);
    }
    return SHARDY_OK;
}

/* The next `count` numbers of the body, which starts aligned and holds only them up to the pages.
 */
static bool take_array(struct sfi_cursor *cursor, uint64_t count, const uint32_t **out)
{
    const uint8_t *at;
    bool ok = sfi_cursor_take(cursor, 4 * (size_t)count, &at); /* count <= 2^32 */

    *out = (const uint32_t *)(const void *)at;
    return ok;
}

/* Position of the first value that is not larger than the one before it, or 0. */
static size_t not_ascending(const uint32_t *values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (values[i] <= values[i - 1]) {
            return i;
        }
    }
    return 0;
}

static shardy_status index_body(struct sfi_sidecar *s, size_t *pages_size, shardy_error *err)
{
    struct sfi_cursor cursor = sfi_cursor_of(s->body, (size_t)s->prefix.body_size);

    if (!sfi_get_u32le_cursor(&cursor, &s->page_count) ||
        !take_array(&cursor, s->page_count, &s->numbers) ||
        !take_array(&cursor, (uint64_t)s->page_count + 1, &s->offsets)) {
        return corrupt(err, "page table does not fit, pages", s->page_count);
    }
    if (!sfi_get_u32le_cursor(&cursor, &s->chain_count) ||
        !take_array(&cursor, s->chain_count, &s->heads) ||
        !take_array(&cursor, (uint64_t)s->chain_count + 1, &s->chain_offsets) ||
        !take_array(&cursor, s->chain_offsets[s->chain_count], &s->chain_pages)) {
        return corrupt(err, "chain table does not fit, chains", s->chain_count);
    }
    *pages_size = sfi_cursor_left(&cursor);
    s->pages = cursor.at;
    return SHARDY_OK;
}

/* The last start is the length of chain_pages by construction. */
static shardy_status check_chains(const struct sfi_sidecar *s, shardy_error *err)
{
    const uint32_t *starts = s->chain_offsets;
    size_t count = s->chain_count;
    size_t at = not_ascending(s->heads, count);

    if (at) {
        return corrupt(err, "chain heads not ascending at chain", at);
    }
    at = not_ascending(starts, count + 1);
    if (starts[0] != 0 || at) {
        return corrupt(err, "empty or overlapping chain", at);
    }
    for (size_t i = 0; i < count; i++) {
        if (s->chain_pages[starts[i]] != s->heads[i]) {
            return corrupt(err, "chain does not start with its head", i);
        }
    }
    for (size_t i = 0; i < starts[count]; i++) {
        if (s->chain_pages[i] == 0) {
            return corrupt(err, "page number 0 in the chains at", i);
        }
    }
    return SHARDY_OK;
}

/* Where the gap of a stored page lies; false when the stored bytes cannot be such a page. */
static bool find_gap(const struct sfi_sidecar *s, size_t index, struct gap *gap)
{
    uint32_t page_size = s->prefix.page_size;
    const uint8_t *stored = s->pages + s->offsets[index];
    uint32_t size = s->offsets[index + 1] - s->offsets[index];
    uint32_t base = s->numbers[index] == 1 ? 100 : 0;

    gap->head = page_size;
    gap->tail = page_size;
    if (size <= base) {
        return false;
    }
    uint8_t type = stored[base];
    if (type != 2 && type != 5 && type != 10 && type != 13) {
        return size == page_size;
    }
    if (size < base + 8) {
        return false;
    }
    uint32_t cells = sfi_get_u16be(stored + base + 3);
    uint32_t content = sfi_get_u16be(stored + base + 5);
    gap->tail = content ? content : 65536;
    gap->head = base + (type < 10 ? 12 : 8) + 2 * cells;
    return gap->head <= gap->tail && gap->tail <= page_size &&
           size == gap->head + (page_size - gap->tail);
}

static shardy_status check_pages(const struct sfi_sidecar *s, size_t pages_size, shardy_error *err)
{
    size_t count = s->page_count;
    size_t at = not_ascending(s->numbers, count);

    if (at || (count > 0 && s->numbers[0] == 0)) {
        return corrupt(err, "page numbers not ascending at index", at);
    }
    at = not_ascending(s->offsets, count + 1);
    if (at || s->offsets[0] != 0 || s->offsets[count] != pages_size) {
        return corrupt(err, "page offsets do not span the pages, bytes", pages_size);
    }
    for (size_t i = 0; i < count; i++) {
        struct gap gap;
        if (!find_gap(s, i, &gap)) {
            return corrupt(err, "stored page has the wrong length, page", s->numbers[i]);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_sidecar_parse(struct sfi_bytes bytes, struct sfi_sidecar **sidecar,
                                shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    size_t pages_size = 0;
    struct sfi_sidecar *s = sfi_calloc(1, sizeof *s);

    *sidecar = NULL;
    if (!s) {
        return sfi_fail_memory(err, sizeof *s);
    }
    SFI_TRY(sfi_sidecar_parse_prefix(bytes, &s->prefix, err));
    struct sfi_bytes frame = {bytes.data + s->prefix.size, bytes.size - s->prefix.size};
    SFI_TRY(check_frame(&s->prefix, frame, err));
    SFI_TRY(decompress(s, frame, err));
    SFI_TRY(index_body(s, &pages_size, err));
    SFI_TRY(check_chains(s, err));
    SFI_TRY(check_pages(s, pages_size, err));
    *sidecar = s;
    s = NULL;
out:
    sfi_sidecar_free(s);
    return st;
}

void sfi_sidecar_free(struct sfi_sidecar *sidecar)
{
    if (sidecar) {
        sfi_free(sidecar->body);
        sfi_free(sidecar);
    }
}

uint32_t sfi_sidecar_page_size(const struct sfi_sidecar *sidecar)
{
    return sidecar->prefix.page_size;
}

const char *sfi_sidecar_tag(const struct sfi_sidecar *sidecar)
{
    return sidecar->prefix.tag;
}

size_t sfi_sidecar_page_count(const struct sfi_sidecar *sidecar)
{
    return sidecar->page_count;
}

uint32_t sfi_sidecar_page_number(const struct sfi_sidecar *sidecar, size_t index)
{
    return sidecar->numbers[index];
}

void sfi_sidecar_page(const struct sfi_sidecar *sidecar, size_t index, uint8_t *image)
{
    const uint8_t *stored = sidecar->pages + sidecar->offsets[index];
    uint32_t page_size = sidecar->prefix.page_size;
    struct gap gap;

    (void)find_gap(sidecar, index, &gap); /* true since check_pages */
    memcpy(image, stored, gap.head);
    memset(image + gap.head, 0, gap.tail - gap.head);
    memcpy(image + gap.tail, stored + gap.head, page_size - gap.tail);
}

static size_t find_number(const uint32_t *numbers, size_t count, uint32_t number)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && numbers[low] == number ? low : SIZE_MAX;
}

size_t sfi_sidecar_find(const struct sfi_sidecar *sidecar, uint32_t number)
{
    return find_number(sidecar->numbers, sidecar->page_count, number);
}

size_t sfi_sidecar_chain_count(const struct sfi_sidecar *sidecar)
{
    return sidecar->chain_count;
}

size_t sfi_sidecar_find_chain(const struct sfi_sidecar *sidecar, uint32_t head)
{
    return find_number(sidecar->heads, sidecar->chain_count, head);
}

const uint32_t *sfi_sidecar_chain(const struct sfi_sidecar *sidecar, size_t index, size_t *count)
{
    *count = sidecar->chain_offsets[index + 1] - sidecar->chain_offsets[index];
    return sidecar->chain_pages + sidecar->chain_offsets[index];
}
