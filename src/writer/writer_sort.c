/*
 * writer_sort.c - references of one shard in key order: most-significant-digit radix sort over the
 * bits that differ, insertion sort for small groups. Keys longer than their 8-byte prefix are
 * sorted 8 bytes at a time: only groups that tie load their next bytes.
 */
#include "writer/writer_internal.h"

#define SMALL 24u
/* Digits of 8 bits. */
#define DIGIT_BITS 8u
#define GROUPS     (1u << DIGIT_BITS)
/* Levels of recursion before heap sort takes over: ordinary keys need fewer than ten. */
#define LEVELS_MAX 48u

/* What the `prefix` field holds at the moment. */
enum sort_mode {
    SORT_NUMBER, /* the whole key */
    SORT_BYTES,  /* key bytes [depth, depth + 8) */
    SORT_LENGTH, /* length of the key: all bytes were equal */
    SORT_ARRIVAL /* `at`: all else was equal */
};

struct sorter {
    const struct sfi_rows *rows;
    unsigned level; /* of recursion */
};

static void sort(struct sorter *sorter, struct sfi_row_ref *refs, struct sfi_row_ref *scratch,
                 size_t count, enum sort_mode mode, size_t depth);

static struct sfi_bytes key_of(const struct sorter *sorter, const struct sfi_row_ref *ref)
{
    return sfi_column_bytes(&sfi_ref_batch(sorter->rows, ref)->key, sfi_ref_row(ref));
}

/* Whole order of two references, whatever their prefix field covers. */
static bool less(const struct sorter *sorter, const struct sfi_row_ref *a,
                 const struct sfi_row_ref *b, enum sort_mode mode)
{
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix;
    }
    if (mode == SORT_BYTES) {
        int c = sfi_bytes_compare(key_of(sorter, a), key_of(sorter, b));
        if (c) {
            return c < 0;
        }
    }
    return a->at < b->at;
}

static void insertion_sort(const struct sorter *sorter, struct sfi_row_ref *refs, size_t count,
                           enum sort_mode mode)
{
    for (size_t i = 1; i < count; i++) {
        struct sfi_row_ref ref = refs[i];
        size_t j = i;
        while (j > 0 && less(sorter, &ref, &refs[j - 1], mode)) {
            refs[j] = refs[j - 1];
            j--;
        }
        refs[j] = ref;
    }
}

/* For keys made to recurse deeply: no stack, no extra memory. */
static void heap_sort(const struct sorter *sorter, struct sfi_row_ref *refs, size_t count,
                      enum sort_mode mode)
{
    for (size_t end = count, start = count / 2; end > 1;) {
        struct sfi_row_ref ref;
        if (start) {
            ref = refs[--start];
        } else {
            ref = refs[--end];
            refs[end] = refs[0];
        }
        size_t at = start;
        for (size_t child = 2 * at + 1; child < end; child = 2 * at + 1) {
            if (child + 1 < end && less(sorter, &refs[child], &refs[child + 1], mode)) {
                child++;
            }
            if (!less(sorter, &ref, &refs[child], mode)) {
                break;
            }
            refs[at] = refs[child];
            at = child;
        }
        refs[at] = ref;
    }
}

static void sort_by_arrival(struct sorter *sorter, struct sfi_row_ref *refs,
                            struct sfi_row_ref *scratch, size_t count)
{
    uint64_t prefix = refs[0].prefix;
    for (size_t i = 0; i < count; i++) {
        refs[i].prefix = refs[i].at;
    }
    sort(sorter, refs, scratch, count, SORT_ARRIVAL, 0);
    for (size_t i = 0; i < count; i++) {
        refs[i].prefix = prefix;
    }
}

/* Keys equal in [0, depth): ended ones first, by length; the others by their next bytes. */
static void sort_deeper(struct sorter *sorter, struct sfi_row_ref *refs,
                        struct sfi_row_ref *scratch, size_t count, size_t depth)
{
    size_t ended = 0;
    size_t longer = 0;
    for (size_t i = 0; i < count; i++) {
        struct sfi_bytes key = key_of(sorter, &refs[i]);
        struct sfi_row_ref ref = refs[i];
        if (key.size <= depth) {
            ref.prefix = key.size;
            refs[ended++] = ref;
        } else {
            ref.prefix = sfi_key_prefix(key.data + depth, key.size - depth);
            scratch[longer++] = ref;
        }
    }
    memcpy(refs + ended, scratch, longer * sizeof *refs);
    if (ended) {
        sort(sorter, refs, scratch, ended, SORT_LENGTH, 0);
    }
    if (longer) {
        sort(sorter, refs + ended, scratch + ended, longer, SORT_BYTES, depth);
    }
}

static void sort_ties(struct sorter *sorter, struct sfi_row_ref *refs, struct sfi_row_ref *scratch,
                      size_t count, enum sort_mode mode, size_t depth)
{
    if (count < 2 || mode == SORT_ARRIVAL) {
        return;
    }
    if (mode == SORT_BYTES) {
        sort_deeper(sorter, refs, scratch, count, depth + 8);
    } else {
        sort_by_arrival(sorter, refs, scratch, count);
    }
}

static uint64_t differing_bits(const struct sfi_row_ref *refs, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 1; i < count; i++) {
        bits |= refs[i].prefix ^ refs[0].prefix;
    }
    return bits;
}

/* Lowest bit of a digit that covers the highest bits that differ. */
static unsigned digit_shift(uint64_t bits)
{
    unsigned width = bits ? 64u - (unsigned)__builtin_clzll(bits) : 0;
    return width > DIGIT_BITS ? width - DIGIT_BITS : 0;
}

static unsigned digit_of(const struct sfi_row_ref *ref, unsigned shift)
{
    return (unsigned)(ref->prefix >> shift) & (GROUPS - 1);
}

static void sort(struct sorter *sorter, struct sfi_row_ref *refs, struct sfi_row_ref *scratch,
                 size_t count, enum sort_mode mode, size_t depth)
{
    if (count <= SMALL) {
        insertion_sort(sorter, refs, count, mode);
        return;
    }
    if (sorter->level == LEVELS_MAX) {
        heap_sort(sorter, refs, count, mode);
        return;
    }
    sorter->level++;
    uint64_t bits = differing_bits(refs, count);
    if (!bits) {
        sort_ties(sorter, refs, scratch, count, mode, depth);
        sorter->level--;
        return;
    }
    size_t start[GROUPS + 1] = {0};
    size_t next[GROUPS];
    unsigned shift = digit_shift(bits);
    for (size_t i = 0; i < count; i++) {
        start[digit_of(&refs[i], shift) + 1]++;
    }
    for (unsigned b = 0; b < GROUPS; b++) {
        start[b + 1] += start[b];
        next[b] = start[b];
    }
    for (size_t i = 0; i < count; i++) {
        scratch[next[digit_of(&refs[i], shift)]++] = refs[i];
    }
    memcpy(refs, scratch, count * sizeof *refs);
    for (unsigned b = 0; b < GROUPS; b++) {
        if (start[b + 1] - start[b] > 1) {
            sort(sorter, refs + start[b], scratch + start[b], start[b + 1] - start[b], mode, depth);
        }
    }
    sorter->level--;
}

/* Bits in which the references of all lists differ. */
static uint64_t source_bits(const struct sfi_sort_source *source)
{
    uint64_t bits = 0;
    uint64_t any = 0;
    bool have = false;
    for (size_t t = 0; t < source->count; t++) {
        const struct sfi_ref_list *list = &source->lists[t * source->stride];
        if (list->count) {
            any = have ? any : list->items[0].prefix;
            have = true;
            bits |= (list->items[0].prefix ^ any) | differing_bits(list->items, list->count);
        }
    }
    return bits;
}

/* start[g] .. start[g + 1]: places of group g. @return size of the largest group */
static size_t first_groups(const struct sfi_sort_source *source, unsigned shift,
                           size_t start[GROUPS + 1])
{
    size_t largest = 0;
    memset(start, 0, (GROUPS + 1) * sizeof *start);
    for (size_t t = 0; t < source->count; t++) {
        const struct sfi_ref_list *list = &source->lists[t * source->stride];
        for (size_t i = 0; i < list->count; i++) {
            start[digit_of(&list->items[i], shift) + 1]++;
        }
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        largest = start[g + 1] > largest ? start[g + 1] : largest;
        start[g + 1] += start[g];
    }
    return largest;
}

shardy_status sfi_sort_refs(const struct sfi_rows *rows, const struct sfi_sort_source *source,
                            struct sfi_ref_list *out, struct sfi_ref_list *scratch,
                            shardy_error *err)
{
    struct sorter sorter = {rows, 0};
    enum sort_mode mode = sfi_encoding_is_int(rows->encoding) ? SORT_NUMBER : SORT_BYTES;
    size_t start[GROUPS + 1];
    size_t next[GROUPS];
    if (source->total == 0) {
        return SHARDY_OK;
    }
    unsigned shift = digit_shift(source_bits(source));
    size_t largest = first_groups(source, shift, start);
    if (!sfi_ref_list_reserve(out, source->total) || !sfi_ref_list_reserve(scratch, largest)) {
        return sfi_fail_memory(err, 2 * source->total * sizeof *out->items);
    }
    memcpy(next, start, sizeof next);
    for (size_t t = 0; t < source->count; t++) {
        const struct sfi_ref_list *list = &source->lists[t * source->stride];
        for (size_t i = 0; i < list->count; i++) {
            out->items[next[digit_of(&list->items[i], shift)]++] = list->items[i];
        }
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        sort(&sorter, out->items + start[g], scratch->items, start[g + 1] - start[g], mode, 0);
    }
    return SHARDY_OK;
}
