/*
 * writer_sort.c - references of one shard in key order: most-significant-digit radix sort over the
 * bits that differ, insertion sort for small groups. Keys longer than their 8-byte prefix are
 * sorted 8 bytes at a time: only groups that tie load their next bytes.
 */
#include "writer/writer_internal.h"

#define SMALL 24u
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
    const struct sfi_batch *batch = &sorter->rows->batches[ref->at >> 32];
    return sfi_column_bytes(&batch->key, (size_t)(ref->at & UINT32_MAX));
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

static void sort(struct sorter *sorter, struct sfi_row_ref *refs, struct sfi_row_ref *scratch,
                 size_t count, enum sort_mode mode, size_t depth)
{
    size_t start[257] = {0};
    size_t next[256];
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
    unsigned top = 63u - (unsigned)__builtin_clzll(bits);
    unsigned shift = top > 7 ? top - 7 : 0;
    for (size_t i = 0; i < count; i++) {
        start[((refs[i].prefix >> shift) & 0xFFu) + 1]++;
    }
    for (unsigned b = 0; b < 256; b++) {
        start[b + 1] += start[b];
        next[b] = start[b];
    }
    for (size_t i = 0; i < count; i++) {
        scratch[next[(refs[i].prefix >> shift) & 0xFFu]++] = refs[i];
    }
    memcpy(refs, scratch, count * sizeof *refs);
    for (unsigned b = 0; b < 256; b++) {
        if (start[b + 1] - start[b] > 1) {
            sort(sorter, refs + start[b], scratch + start[b], start[b + 1] - start[b], mode, depth);
        }
    }
    sorter->level--;
}

void sfi_sort_refs(const struct sfi_rows *rows, struct sfi_row_ref *refs,
                   struct sfi_row_ref *scratch, size_t count)
{
    struct sorter sorter = {rows, 0};
    sort(&sorter, refs, scratch, count,
         sfi_encoding_is_int(rows->encoding) ? SORT_NUMBER : SORT_BYTES, 0);
}
