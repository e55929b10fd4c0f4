/*
 * zone_file.c - TZif files (RFC 8536): the table of changes of the newest data block, and the rule
 * in the footer. Hostile bytes end in a refusal. Files whose times count leap seconds ("right/")
 * are refused: they do not fit timestamps. Names and cache: zone.c; rules: zone_rule.c.
 */
#include "cel/zone.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <string.h>

#define HEADER_BYTES 44u
#define TYPE_BYTES   6u
#define TYPES_MAX    256u
/* What RFC 8536 3.2 lets an offset be: from -25 to +26 hours, exclusive. */
#define OFFSET_MIN (-89999)
#define OFFSET_MAX 93599

struct counts {
    uint32_t ut;
    uint32_t std;
    uint32_t leap;
    uint32_t time;
    uint32_t type;
    uint32_t chars;
};

static bool take_u32(struct sfi_cursor *cursor, uint32_t *number)
{
    const uint8_t *bytes;
    if (!sfi_cursor_take(cursor, 4, &bytes)) {
        return false;
    }
    *number = sfi_get_u32be(bytes);
    return true;
}

static bool take_header(struct sfi_cursor *cursor, uint8_t *version, struct counts *counts)
{
    const uint8_t *magic;
    if (!sfi_cursor_take(cursor, 20, &magic) || memcmp(magic, "TZif", 4) != 0) {
        return false;
    }
    *version = magic[4];
    return take_u32(cursor, &counts->ut) && take_u32(cursor, &counts->std) &&
           take_u32(cursor, &counts->leap) && take_u32(cursor, &counts->time) &&
           take_u32(cursor, &counts->type) && take_u32(cursor, &counts->chars);
}

static bool skip(struct sfi_cursor *cursor, uint64_t size)
{
    const uint8_t *bytes;
    return size <= sfi_cursor_left(cursor) && sfi_cursor_take(cursor, (size_t)size, &bytes);
}

/* What follows times, indices and types in a block. */
static uint64_t tail_bytes(const struct counts *counts, uint64_t time_bytes)
{
    return (uint64_t)counts->chars + counts->leap * (time_bytes + 4) + counts->std + counts->ut;
}

static int64_t get_time(const uint8_t *bytes, size_t time_bytes)
{
    return time_bytes == 8 ? (int64_t)sfi_get_u64be(bytes) : (int32_t)sfi_get_u32be(bytes);
}

/* Local time types as offsets. */
static bool read_offsets(const uint8_t *types, uint32_t count, int32_t *offsets)
{
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = (int32_t)sfi_get_u32be(types + (size_t)i * TYPE_BYTES);
        if (offsets[i] < OFFSET_MIN || offsets[i] > OFFSET_MAX) {
            return false;
        }
    }
    return true;
}

/* Fill times and offsets; a change that leaves the offset as it was is no change. */
static bool fill(struct sfi_cel_zone *zone, const struct counts *counts, const uint8_t *times,
                 size_t time_bytes, const uint8_t *indices, const int32_t *offsets)
{
    int64_t last = INT64_MIN;
    zone->offsets[0] = offsets[0];
    for (uint32_t i = 0; i < counts->time; i++) {
        int64_t time = get_time(times + i * time_bytes, time_bytes);
        if ((i > 0 && time <= last) || indices[i] >= counts->type) {
            return false;
        }
        last = time;
        if (offsets[indices[i]] != zone->offsets[zone->count]) {
            zone->times[zone->count++] = time;
            zone->offsets[zone->count] = offsets[indices[i]];
        }
    }
    return true;
}

static bool take_block(struct sfi_cursor *cursor, const struct counts *counts, size_t time_bytes,
                       struct sfi_cel_zone *zone)
{
    int32_t offsets[TYPES_MAX];
    const uint8_t *times;
    const uint8_t *indices;
    const uint8_t *types;
    if (counts->leap != 0 || counts->type == 0 || counts->type > TYPES_MAX ||
        counts->time > sfi_cursor_left(cursor) / (time_bytes + 1)) {
        return false;
    }
    if (!sfi_cursor_take(cursor, counts->time * time_bytes, &times) ||
        !sfi_cursor_take(cursor, counts->time, &indices) ||
        !sfi_cursor_take(cursor, (size_t)counts->type * TYPE_BYTES, &types) ||
        !skip(cursor, tail_bytes(counts, time_bytes)) ||
        !read_offsets(types, counts->type, offsets)) {
        return false;
    }
    zone->times = sfi_array_alloc((size_t)counts->time + 1, sizeof *zone->times);
    zone->offsets = sfi_array_alloc((size_t)counts->time + 1, sizeof *zone->offsets);
    return zone->times != NULL && zone->offsets != NULL &&
           fill(zone, counts, times, time_bytes, indices, offsets);
}

/* "\n" TZ string "\n"; an empty string: nothing is known about the time after the table. */
static bool take_footer(struct sfi_cursor *cursor, struct sfi_cel_zone *zone)
{
    const uint8_t *start;
    if (!sfi_cursor_take(cursor, 1, &start) || *start != '\n') {
        return false;
    }
    const uint8_t *end = memchr(cursor->at, '\n', sfi_cursor_left(cursor));
    if (end == NULL) {
        return false;
    }
    zone->has_rule = end > cursor->at;
    return !zone->has_rule || sfi_cel_zone_rule_parse((const char *)cursor->at,
                                                      (size_t)(end - cursor->at), &zone->rule);
}

bool sfi_cel_zone_parse(const void *data, size_t size, struct sfi_cel_zone *zone)
{
    struct sfi_cursor cursor = sfi_cursor_of(data, size);
    struct counts counts;
    uint8_t version;
    *zone = (struct sfi_cel_zone){0};
    if (!take_header(&cursor, &version, &counts)) {
        return false;
    }
    if (version == 0) {
        return take_block(&cursor, &counts, 4, zone);
    }
    uint64_t old_block = (uint64_t)counts.time * 5 + (uint64_t)counts.type * TYPE_BYTES;
    return version >= '2' && skip(&cursor, old_block + tail_bytes(&counts, 4)) &&
           take_header(&cursor, &version, &counts) && version >= '2' &&
           take_block(&cursor, &counts, 8, zone) && take_footer(&cursor, zone);
}

void sfi_cel_zone_clear(struct sfi_cel_zone *zone)
{
    sfi_free(zone->times);
    sfi_free(zone->offsets);
    *zone = (struct sfi_cel_zone){0};
}
