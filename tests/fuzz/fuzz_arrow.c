/*
 * fuzz_arrow.c - hostile Arrow columns: lengths, offsets, slices and null bitmaps.
 *
 * Input: 48 bytes of header (see struct header), then the buffer of numbers or offsets, then the
 * null bitmap. Buffers are exactly as large as the interface demands for the claimed rows, so any
 * read outside them is one that no honest producer could allow for. What is accepted is compared
 * with a plain re-check, and every row is routed as a column and alone.
 */
#include "base/memory.h"
#include "routing/routing.h"

#include <stdlib.h>

#define ROWS_LIMIT 4096
#define DATA_LIMIT 65536

struct header {
    int64_t length;
    int64_t offset;
    int64_t null_count;
    int64_t first;
    int64_t count;
    uint8_t format;
    uint8_t n_buffers; /* 0 = as the format wants */
    uint8_t missing;   /* bits: buffers that are NULL; 8 = no bitmap */
    uint8_t shards[3];
    uint8_t unused[2];
};

static const char *const formats[] = {"i", "I", "l", "L", "u", "U", "z", "Z", "f", "+s", "", "uu"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

/* Physical rows that buffers must hold; huge and negative claims must be refused unread. */
static size_t physical_rows(struct header *head)
{
    bool refused = head->length < 0 || head->offset < 0 || head->length > INT64_MAX / 8 ||
                   head->offset > INT64_MAX / 8;
    if (refused) {
        return 0;
    }
    head->length %= ROWS_LIMIT;
    head->offset %= ROWS_LIMIT;
    return (size_t)(head->length + head->offset);
}

/* A block of `size` bytes filled from the input, repeated. */
static uint8_t *fill(size_t size, const uint8_t *data, size_t left)
{
    uint8_t *block = sfi_malloc(size);
    require(block != NULL);
    for (size_t i = 0; i < size; i++) {
        block[i] = left > 0 ? data[i % left] : 0;
    }
    return block;
}

/* Whether rows start..start+count of the offsets are in order; *end is the last one. */
static bool offsets_good(const void *offsets, size_t width, size_t start, size_t count,
                         int64_t *end)
{
    int64_t last = 0;
    for (size_t i = start; i <= start + count; i++) {
        int64_t at = width == 4 ? ((const int32_t *)offsets)[i] : ((const int64_t *)offsets)[i];
        if (at < last) {
            return false;
        }
        last = at;
    }
    *end = last;
    return true;
}

static void route_all(const struct sfi_column *column, uint32_t num_dbs)
{
    uint32_t *ids = sfi_array_alloc(column->length, sizeof *ids);
    struct sfi_route route;
    require(ids && sfi_route_init(&route, SHARDY_SHARDING_HASH, num_dbs, NULL) == SHARDY_OK);
    shardy_status st = sfi_route_rows(&route, column, 0, column->length, 0, ids, NULL);
    bool all = true;
    for (size_t i = 0; i < column->length; i++) {
        shardy_key key = sfi_column_key(column, i);
        uint32_t alone;
        bool ok = sfi_route_key(&route, &key, &alone, NULL) == SHARDY_OK;
        require(!ok || st != SHARDY_OK || alone == ids[i]);
        all = all && ok;
    }
    require(all == (st == SHARDY_OK));
    sfi_free(ids);
}

static void check_column(struct ArrowSchema *schema, struct ArrowArray *array,
                         const struct header *head, uint32_t num_dbs)
{
    const char *format = schema->format;
    bool text = strchr("uUzZ", format[0]) && format[0] && !format[1];
    size_t width = strchr("iIuz", format[0]) ? 4 : 8;
    struct sfi_column column;
    int64_t end = 0;

    if (sfi_column_open(schema, array, "key", head->first, head->count, 0, &column, NULL) !=
        SHARDY_OK) {
        require(column.length == 0);
        return;
    }
    require(column.length == (size_t)head->count);
    if (text && column.length > 0) {
        size_t start = (size_t)(head->offset + head->first);
        require(offsets_good(array->buffers[1], width, start, column.length, &end));
        if (end > DATA_LIMIT) {
            return; /* no such data to read */
        }
    }
    route_all(&column, num_dbs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header head;
    if (size < sizeof head) {
        return 0;
    }
    memcpy(&head, data, sizeof head);
    data += sizeof head;
    size -= sizeof head;

    const char *format = formats[head.format % (sizeof formats / sizeof formats[0])];
    bool number = format[0] && strchr("iIlL", format[0]) != NULL;
    size_t width = format[0] && strchr("iIuz", format[0]) ? 4 : 8;
    size_t rows = physical_rows(&head);
    size_t bytes = (rows + !number) * width;
    uint8_t *first = fill(bytes, data, size);
    uint8_t *bitmap = fill((rows + 7) / 8, data + size / 2, size - size / 2);
    int64_t end = 0;
    bool readable = !number && offsets_good(first, width, 0, rows, &end) && end <= DATA_LIMIT;
    uint8_t *second = fill(readable ? (size_t)end : DATA_LIMIT, data, size);
    const void *buffers[3] = {head.missing & 8 ? NULL : bitmap, head.missing & 1 ? NULL : first,
                              head.missing & 2 ? NULL : second};
    struct ArrowSchema schema = {.format = format, .release = release_schema};
    struct ArrowArray array = {.length = head.length,
                               .offset = head.offset,
                               .null_count = head.null_count,
                               .n_buffers = number ? 2 : 3,
                               .buffers = buffers,
                               .release = release_array};
    if (head.n_buffers % 8 != 0) {
        array.n_buffers = (int8_t)head.n_buffers;
    }
    uint32_t num_dbs = (head.shards[0] | (uint32_t)head.shards[1] << 8) + 1u;
    check_column(&schema, &array, &head, num_dbs);
    sfi_free(first);
    sfi_free(second);
    sfi_free(bitmap);
    return 0;
}
