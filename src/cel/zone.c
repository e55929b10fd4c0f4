/*
 * zone.c - time zones by name: names are checked, read from $TZDIR or /usr/share/zoneinfo by
 * zone_file.c, and kept in the frame. A name that depends on the machine ("localtime") is none.
 */
#include "cel/zone.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cel/caches.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
/* Steps of reading a file, found or not, as bytes (sfi_cel_charge): some 30 us. */
#define LOAD_COST (3000u * 16u)

struct entry {
    uint32_t hash;
    uint8_t name_size;
    char name[SFI_CEL_ZONE_NAME_MAX];
    struct sfi_cel_zone zone;
};

/* Entries never move or go away before the frame does: kernels keep pointers to their zones. */
struct sfi_cel_zone_cache {
    struct entry *last; /* the one found most recently */
    struct entry **slots;
    uint32_t mask;
    uint32_t count;
};

void sfi_cel_zone_cache_free(struct sfi_cel_zone_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (uint32_t i = 0; cache->slots != NULL && i <= cache->mask; i++) {
        if (cache->slots[i] != NULL) {
            sfi_cel_zone_clear(&cache->slots[i]->zone);
            sfi_free(cache->slots[i]);
        }
    }
    sfi_free(cache->slots);
    sfi_free(cache);
}

static uint32_t hash_name(const char *name, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    }
    return hash;
}

static bool is_entry(const struct entry *entry, const char *name, size_t size)
{
    return entry->name_size == size && memcmp(entry->name, name, size) == 0;
}

/* The slot of a name, or the free one where it belongs. */
static struct entry **slot_of(struct sfi_cel_zone_cache *cache, const char *name, size_t size,
                              uint32_t hash)
{
    uint32_t at = hash & cache->mask;
    while (cache->slots[at] != NULL &&
           (cache->slots[at]->hash != hash || !is_entry(cache->slots[at], name, size))) {
        at = (at + 1) & cache->mask;
    }
    return &cache->slots[at];
}

/* Room for one more entry, at most half full. */
static bool reserve(struct sfi_cel_zone_cache *cache)
{
    if (cache->slots != NULL && cache->count < (cache->mask + 1) / 2) {
        return true;
    }
    struct sfi_cel_zone_cache wide = *cache;
    wide.mask = cache->slots == NULL ? 15 : cache->mask * 2 + 1;
    wide.slots = sfi_calloc((size_t)wide.mask + 1, sizeof(struct entry *));
    if (wide.slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; cache->slots != NULL && i <= cache->mask; i++) {
        struct entry *entry = cache->slots[i];
        if (entry != NULL) {
            *slot_of(&wide, entry->name, entry->name_size, entry->hash) = entry;
        }
    }
    sfi_free(cache->slots);
    *cache = wide;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [+-]HH:MM, the sign may be missing. */
static bool parse_fixed(const char *name, size_t size, struct sfi_cel_zone *zone)
{
    bool is_west = size > 0 && name[0] == '-';
    if (size == 6 && (is_west || name[0] == '+')) {
        name++;
        size--;
    }
    if (size != 5 || !is_digit(name[0]) || !is_digit(name[1]) || name[2] != ':' ||
        !is_digit(name[3]) || !is_digit(name[4])) {
        return false;
    }
    int32_t hours = (name[0] - '0') * 10 + (name[1] - '0');
    int32_t minutes = (name[3] - '0') * 10 + (name[4] - '0');
    if (hours > 23 || minutes > 59) {
        return false;
    }
    int32_t offset = hours * 3600 + minutes * 60;
    zone->has_rule = true;
    zone->rule.standard = is_west ? -offset : offset;
    return true;
}

static bool starts_with(const char *name, size_t size, const char *text)
{
    size_t length = strlen(text);
    return size >= length && memcmp(name, text, length) == 0;
}

/*
 * Letters, digits, "_+-" between single slashes: no dots, so no way out of the folder. Names of
 * what is not a zone but of this machine or in another time scale are none.
 */
static bool is_zone_name(const char *name, size_t size)
{
    char before = '/';
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !is_digit(c) && c != '_' && c != '+' && c != '-' &&
            (c != '/' || before == '/')) {
            return false;
        }
        before = c;
    }
    return before != '/' && !starts_with(name, size, "localtime") &&
           !starts_with(name, size, "posix") && !starts_with(name, size, "right/");
}

/* Bytes of a file, at most `max`; -1: not readable, or larger. */
static ssize_t read_file(const char *path, uint8_t *data, size_t max)
{
    size_t size = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }
    while (size <= max) {
        got = read(fd, data + size, max + 1 - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
    }
    close(fd);
    return got < 0 || size > max ? -1 : (ssize_t)size;
}

static bool load(const char *name, size_t size, struct sfi_cel_zone *zone)
{
    char path[PATH_MAX];
    const char *folder = secure_getenv("TZDIR");
    if (folder == NULL || *folder == '\0') {
        folder = ZONE_FOLDER;
    }
    int length = snprintf(path, sizeof path, "%s/%.*s", folder, (int)size, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return false;
    }
    uint8_t *data = sfi_malloc(SFI_CEL_ZONE_FILE_MAX + 1);
    ssize_t got = data == NULL ? -1 : read_file(path, data, SFI_CEL_ZONE_FILE_MAX);
    bool ok = got >= 0 && sfi_cel_zone_parse(data, (size_t)got, zone);
    sfi_free(data);
    return ok;
}

static bool make(const char *name, size_t size, struct sfi_cel_zone *zone)
{
    *zone = (struct sfi_cel_zone){0};
    if (size == 3 && memcmp(name, "UTC", 3) == 0) {
        zone->has_rule = true;
        return true;
    }
    return parse_fixed(name, size, zone) || (is_zone_name(name, size) && load(name, size, zone));
}

/* Read a zone and keep it. */
static struct entry *add(struct sfi_cel_zone_cache *cache, const char *name, size_t size,
                         uint32_t hash)
{
    struct entry *entry = sfi_calloc(1, sizeof *entry);
    if (entry == NULL || !reserve(cache) || !make(name, size, &entry->zone)) {
        if (entry != NULL) {
            sfi_cel_zone_clear(&entry->zone);
        }
        sfi_free(entry);
        return NULL;
    }
    entry->hash = hash;
    entry->name_size = (uint8_t)size;
    memcpy(entry->name, name, size);
    *slot_of(cache, name, size, hash) = entry;
    cache->count++;
    return entry;
}

static struct sfi_cel_zone_cache *cache_of(struct sfi_cel_frame *frame)
{
    struct sfi_cel_caches *caches = sfi_cel_caches_of(frame);
    if (caches != NULL && caches->zones == NULL) {
        caches->zones = sfi_calloc(1, sizeof *caches->zones);
    }
    return caches == NULL ? NULL : caches->zones;
}

const struct sfi_cel_zone *sfi_cel_zone_find(struct sfi_cel_frame *frame, const char *name,
                                             size_t size)
{
    struct sfi_cel_zone_cache *cache = cache_of(frame);
    if (cache == NULL || size == 0 || size > SFI_CEL_ZONE_NAME_MAX) {
        return NULL;
    }
    if (cache->last != NULL && is_entry(cache->last, name, size)) {
        return &cache->last->zone;
    }
    uint32_t hash = hash_name(name, size);
    struct entry *entry = cache->slots == NULL ? NULL : *slot_of(cache, name, size, hash);
    if (entry == NULL) {
        if (cache->count >= SFI_CEL_ZONES_MAX || !sfi_cel_charge(frame, LOAD_COST)) {
            return NULL;
        }
        entry = add(cache, name, size, hash);
    }
    if (entry == NULL) {
        return NULL;
    }
    cache->last = entry;
    return &entry->zone;
}

int32_t sfi_cel_zone_offset(const struct sfi_cel_zone *zone, int64_t seconds, int64_t *from,
                            int64_t *until)
{
    uint32_t low = 0;
    uint32_t high = zone->count;
    while (low < high) { /* the number of changes up to `seconds` */
        uint32_t middle = low + (high - low) / 2;
        if (zone->times[middle] <= seconds) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == zone->count && zone->has_rule) {
        int32_t offset = sfi_cel_zone_rule_offset(&zone->rule, seconds, from, until);
        if (low > 0 && *from < zone->times[low - 1]) {
            *from = zone->times[low - 1];
        }
        return offset;
    }
    *from = low == 0 ? INT64_MIN : zone->times[low - 1];
    *until = low == zone->count ? INT64_MAX : zone->times[low];
    return zone->offsets[low];
}
