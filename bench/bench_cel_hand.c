/*
 * bench_cel_hand.c - the rules of the CEL cases written by hand, as a C programmer would who knows
 * the rule when compiling: the limit that an engine is measured against.
 *
 * Constant moduli; membership and routing values by a hash table and memcmp; text put together in a
 * buffer on the stack, numbers without printf; the offset of the time zone kept with the range of
 * time for which it holds.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench_cel.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMBER_SLOTS 256u
#define VALUE_SLOTS  4096u
#define CHANGES_MAX  64

static struct {
    const char *text;
    uint32_t size;
} members[MEMBER_SLOTS];

static struct {
    const char *text;
    uint32_t size;
    uint32_t id;
} values[VALUE_SLOTS];

static struct {
    int64_t from;
    int64_t offset;
} changes[CHANGES_MAX];
static int change_count;

/* ---- in
 * ------------------------------------------------------------------------------------------ */

static inline uint32_t member_slot(const char *text, uint32_t size)
{
    return size == 0 ? 0
                     : ((uint32_t)(uint8_t)text[0] * 31 + (uint32_t)(uint8_t)text[size - 1] * 7 +
                        (uint32_t)(uint8_t)text[size / 2] * 3 + size) %
                           MEMBER_SLOTS;
}

static void prepare_members(void)
{
    for (uint32_t i = 0; i < CEL_REGIONS; i++) {
        uint32_t size = (uint32_t)strlen(cel_regions[i]);
        uint32_t slot = member_slot(cel_regions[i], size);

        while (members[slot].text != NULL) {
            slot = (slot + 1) % MEMBER_SLOTS;
        }
        members[slot].text = cel_regions[i];
        members[slot].size = size;
    }
}

static void hand_in20(const struct cel_data *data, uint32_t *ids)
{
    const int32_t *offsets = data->region.offsets;
    const char *base = data->region.data;

    for (int64_t row = 0; row < data->rows; row++) {
        const char *text = base + offsets[row];
        uint32_t size = (uint32_t)(offsets[row + 1] - offsets[row]);
        uint32_t slot = member_slot(text, size);
        uint32_t id = 1;

        for (; members[slot].text != NULL; slot = (slot + 1) % MEMBER_SLOTS) {
            if (members[slot].size == size && memcmp(members[slot].text, text, size) == 0) {
                id = 0;
                break;
            }
        }
        ids[row] = id;
    }
}

/* ---- texts
 * --------------------------------------------------------------------------------------- */

static inline size_t put_number(char *out, int64_t number)
{
    char digits[20];
    size_t count = 0;
    size_t size = 0;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do {
        digits[count++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        out[size++] = '-';
    }
    while (count > 0) {
        out[size++] = digits[--count];
    }
    return size;
}

static void prepare_values(void)
{
    for (uint32_t i = 0; i < CEL_VALUES; i++) {
        uint32_t size = (uint32_t)strlen(cel_values[i]);
        uint64_t slot = XXH3_64bits(cel_values[i], size) % VALUE_SLOTS;

        while (values[slot].text != NULL) {
            slot = (slot + 1) % VALUE_SLOTS;
        }
        values[slot].text = cel_values[i];
        values[slot].size = size;
        values[slot].id = i;
    }
}

static inline uint32_t value_id(const char *text, size_t size)
{
    uint64_t slot = XXH3_64bits(text, size) % VALUE_SLOTS;

    while (values[slot].text != NULL) {
        if (values[slot].size == size && memcmp(values[slot].text, text, size) == 0) {
            return values[slot].id;
        }
        slot = (slot + 1) % VALUE_SLOTS;
    }
    return UINT32_MAX;
}

static void hand_categorical(const struct cel_data *data, uint32_t *ids)
{
    const int32_t *offsets = data->tenant.offsets;
    char text[1024];

    for (int64_t row = 0; row < data->rows; row++) {
        size_t size = (size_t)(offsets[row + 1] - offsets[row]);

        memcpy(text, data->tenant.data + offsets[row], size);
        text[size++] = ':';
        size += put_number(text + size, data->tier[row]);
        ids[row] = value_id(text, size);
    }
}

static void hand_concat_hash(const struct cel_data *data, uint32_t *ids)
{
    const int32_t *tenants = data->tenant.offsets;
    const int32_t *users = data->user.offsets;
    char text[1024];

    for (int64_t row = 0; row < data->rows; row++) {
        size_t tenant = (size_t)(tenants[row + 1] - tenants[row]);
        size_t user = (size_t)(users[row + 1] - users[row]);

        memcpy(text, data->tenant.data + tenants[row], tenant);
        text[tenant] = '/';
        memcpy(text + tenant + 1, data->user.data + users[row], user);
        ids[row] = (uint32_t)(XXH3_64bits(text, tenant + 1 + user) % 256);
    }
}

/* ---- numbers and times
 * --------------------------------------------------------------------------- */

static void hand_int_hash(const struct cel_data *data, uint32_t *ids)
{
    for (int64_t row = 0; row < data->rows; row++) {
        ids[row] = (uint32_t)(XXH3_64bits(&data->key[row], 8) % 64);
    }
}

/* The changes of the zone's offset in 2024 to 2027, found hour by hour with the C library. */
static void prepare_zone(void)
{
    char *before = getenv("TZ") != NULL ? strdup(getenv("TZ")) : NULL;
    int64_t last = INT64_MIN;

    (void)setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (int64_t at = 1704067200; at < 1830297600; at += 3600) {
        struct tm local;
        time_t seconds = (time_t)at;

        (void)localtime_r(&seconds, &local);
        if (local.tm_gmtoff != last && change_count < CHANGES_MAX) {
            last = local.tm_gmtoff;
            changes[change_count].from = at;
            changes[change_count++].offset = last;
        }
    }
    (void)(before != NULL ? setenv("TZ", before, 1) : unsetenv("TZ"));
    tzset();
    free(before);
}

static void hand_timestamp(const struct cel_data *data, uint32_t *ids)
{
    int64_t from = 0;
    int64_t until = 0;
    int64_t offset = 0;

    for (int64_t row = 0; row < data->rows; row++) {
        int64_t ts = data->ts[row];
        int64_t seconds = ts / 1000000 - (ts % 1000000 < 0);

        if (seconds < from || seconds >= until) {
            int i = 0;

            while (i + 1 < change_count && changes[i + 1].from <= seconds) {
                i++;
            }
            from = changes[i].from;
            until = i + 1 < change_count ? changes[i + 1].from : INT64_MAX;
            offset = changes[i].offset;
        }
        int64_t local = seconds + offset;
        int64_t clock = local % 86400;

        clock += clock < 0 ? 86400 : 0;
        ids[row] = (uint32_t)(clock / 3600 * 10 + (data->score[row] > 0.5 ? 1 : 0));
    }
}

void cel_hand_prepare(void)
{
    prepare_members();
    prepare_values();
    prepare_zone();
}

void cel_hand(enum cel_case_id number, const struct cel_data *data, uint32_t *ids)
{
    switch (number) {
    case CEL_INT_HASH:
        hand_int_hash(data, ids);
        break;
    case CEL_IN20:
        hand_in20(data, ids);
        break;
    case CEL_CATEGORICAL:
        hand_categorical(data, ids);
        break;
    case CEL_CONCAT_HASH:
        hand_concat_hash(data, ids);
        break;
    case CEL_TIMESTAMP:
        hand_timestamp(data, ids);
        break;
    }
}
