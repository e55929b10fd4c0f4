/*
 * equal.c - equality, order and hashes of values, and maps.
 *
 * Equality is cel-spec's (langdef.md, "Equality" and "Ordering"): numbers of all kinds lie on one
 * line, where an integer meets a double as the nearest double. Keys of maps match exactly.
 * Hashes are seeded by where the loader put us, so that nobody can prepare keys that collide.
 */
#include "base/limits.h"
#include "cel/library.h"
#include "key/key.h"

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static const char seed_anchor = 0;

/* What is left of a comparison of containers. */
struct walk {
    int64_t *steps;
    unsigned depth;
};

static bool equal_at(struct walk *walk, struct sfi_cel_value a, struct sfi_cel_value b);

static bool is_number(struct sfi_cel_value v)
{
    return v.kind == SFI_CEL_INT || v.kind == SFI_CEL_UINT || v.kind == SFI_CEL_DOUBLE;
}

static double to_double(struct sfi_cel_value v)
{
    return v.kind == SFI_CEL_INT ? (double)v.i64 : v.kind == SFI_CEL_UINT ? (double)v.u64 : v.f64;
}

static int compare_numbers(struct sfi_cel_value a, struct sfi_cel_value b)
{
    if (a.kind == SFI_CEL_DOUBLE || b.kind == SFI_CEL_DOUBLE) {
        double x = to_double(a);
        double y = to_double(b);
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    }
    bool a_negative = a.kind == SFI_CEL_INT && a.i64 < 0;
    bool b_negative = b.kind == SFI_CEL_INT && b.i64 < 0;
    if (a_negative != b_negative) {
        return a_negative ? -1 : 1;
    }
    return (a.u64 > b.u64) - (a.u64 < b.u64); /* two's complement: negative ones too */
}

static int compare_text(struct sfi_cel_value a, struct sfi_cel_value b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.text, b.text, common) : 0;
    return order != 0 ? (order > 0) - (order < 0) : (a.size > b.size) - (a.size < b.size);
}

int sfi_cel_compare(struct sfi_cel_value a, struct sfi_cel_value b)
{
    if (is_number(a) && is_number(b)) {
        return compare_numbers(a, b);
    }
    if (a.kind != b.kind) {
        return 3;
    }
    switch ((enum sfi_cel_kind)a.kind) {
    case SFI_CEL_BOOL:
        return (int)a.boolean - (int)b.boolean;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return compare_text(a, b);
    case SFI_CEL_TIMESTAMP:
    case SFI_CEL_DURATION:
        if (a.i64 != b.i64) {
            return a.i64 < b.i64 ? -1 : 1;
        }
        return (sfi_cel_nanos(a) > sfi_cel_nanos(b)) - (sfi_cel_nanos(a) < sfi_cel_nanos(b));
    default:
        return 3;
    }
}

static bool equal_lists(struct walk *walk, const struct sfi_cel_list *a,
                        const struct sfi_cel_list *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (!equal_at(walk, a->items[i], b->items[i])) {
            return false;
        }
    }
    return true;
}

/* Steps of entering or finding a key: hashing and comparing pass over its text. */
static inline int64_t key_steps(struct sfi_cel_value key)
{
    return key.kind == SFI_CEL_STRING ? 1 + (int64_t)(key.size >> 3) : 1;
}

static bool equal_maps(struct walk *walk, const struct sfi_cel_map *a, const struct sfi_cel_map *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        *walk->steps -= key_steps(a->entries[i].key);
        if (*walk->steps < 0) {
            return false;
        }
        const struct sfi_cel_value *other = sfi_cel_map_find(b, a->entries[i].key);
        if (other == NULL || !equal_at(walk, a->entries[i].value, *other)) {
            return false;
        }
    }
    return true;
}

static bool equal_networks(const struct sfi_cel_network *a, const struct sfi_cel_network *b)
{
    return a->size == b->size && a->prefix == b->prefix &&
           memcmp(a->address, b->address, a->size) == 0;
}

static bool equal_deep(struct walk *walk, struct sfi_cel_value a, struct sfi_cel_value b)
{
    bool equal = false;
    walk->depth++;
    if (walk->depth > SFI_CEL_MAX_VALUE_DEPTH) {
        *walk->steps = -1;
    } else if (a.kind == SFI_CEL_LIST) {
        equal = equal_lists(walk, a.list, b.list);
    } else if (a.kind == SFI_CEL_MAP) {
        equal = equal_maps(walk, a.map, b.map);
    } else if (a.optional == NULL || b.optional == NULL) {
        equal = a.optional == b.optional;
    } else {
        equal = equal_at(walk, *a.optional, *b.optional);
    }
    walk->depth--;
    return equal;
}

static bool equal_at(struct walk *walk, struct sfi_cel_value a, struct sfi_cel_value b)
{
    *walk->steps -= 1;
    if (*walk->steps < 0) {
        return false;
    }
    if (is_number(a) && is_number(b)) {
        return compare_numbers(a, b) == 0;
    }
    if (a.kind != b.kind) {
        return false;
    }
    switch ((enum sfi_cel_kind)a.kind) {
    case SFI_CEL_NULL:
        return true;
    case SFI_CEL_BOOL:
        return a.boolean == b.boolean;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        *walk->steps -= a.size == b.size ? (int64_t)(a.size >> 4) : 0;
        return a.size == b.size && (a.size == 0 || memcmp(a.text, b.text, a.size) == 0);
    case SFI_CEL_TIMESTAMP:
    case SFI_CEL_DURATION:
        return a.i64 == b.i64 && a.size == b.size;
    case SFI_CEL_TYPE:
        return sfi_cel_type_equal(a.type, b.type);
    case SFI_CEL_IP:
    case SFI_CEL_CIDR:
        return equal_networks(a.network, b.network);
    case SFI_CEL_LIST:
    case SFI_CEL_MAP:
    case SFI_CEL_OPTIONAL:
        return equal_deep(walk, a, b);
    default:
        return false;
    }
}

bool sfi_cel_equal(struct sfi_cel_value a, struct sfi_cel_value b)
{
    int64_t steps = SFI_CEL_MAX_STEPS;
    struct walk walk = {&steps, 0};
    return equal_at(&walk, a, b);
}

bool sfi_cel_equal_charged(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                           struct sfi_cel_value b)
{
    struct walk walk = {&frame->steps_left, 0};
    return equal_at(&walk, a, b);
}

struct sfi_cel_value sfi_cel_integral(struct sfi_cel_value number)
{
    if (number.kind != SFI_CEL_DOUBLE) {
        return number;
    }
    double d = number.f64;
    if (d >= -TWO_63 && d < TWO_63 && (double)(int64_t)d == d) {
        return sfi_cel_int((int64_t)d);
    }
    if (d >= TWO_63 && d < TWO_64) { /* all of them are integers */
        return sfi_cel_uint((uint64_t)d);
    }
    return number;
}

/* Numbers that are the same key in one form: int where it fits. */
static inline struct sfi_cel_value canonical(struct sfi_cel_value key)
{
    if (key.kind == SFI_CEL_DOUBLE) {
        key = sfi_cel_integral(key);
    }
    if (key.kind == SFI_CEL_UINT && key.u64 <= INT64_MAX) {
        key.kind = SFI_CEL_INT;
    }
    return key;
}

static inline uint64_t mix(uint64_t x) /* the finalizer of splitmix64 */
{
    x += (uint64_t)(uintptr_t)&seed_anchor;
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static uint64_t hash_canonical(struct sfi_cel_value key)
{
    if (key.kind == SFI_CEL_STRING || key.kind == SFI_CEL_BYTES) {
        return XXH3_64bits_withSeed(key.text, key.size, (uint64_t)(uintptr_t)&seed_anchor);
    }
    /* Kinds as a salt: -1 and 18446744073709551615u have the same bits. */
    uint64_t salt = (uint64_t)key.kind << 56;
    if (key.kind == SFI_CEL_TIMESTAMP || key.kind == SFI_CEL_DURATION) {
        salt ^= (uint64_t)key.size << 32;
    }
    return mix((key.kind == SFI_CEL_BOOL ? (uint64_t)key.boolean : key.u64) ^ mix(salt));
}

uint64_t sfi_cel_hash(struct sfi_cel_value key)
{
    return hash_canonical(canonical(key));
}

static bool is_key(struct sfi_cel_value key)
{
    return key.kind == SFI_CEL_BOOL || key.kind == SFI_CEL_INT || key.kind == SFI_CEL_UINT ||
           key.kind == SFI_CEL_STRING;
}

/* Whether an entry's key is `key`, which is canonical. */
static inline bool key_matches(struct sfi_cel_value entry, struct sfi_cel_value key)
{
    entry = canonical(entry);
    if (entry.kind != key.kind) {
        return false;
    }
    if (key.kind == SFI_CEL_STRING) {
        return entry.size == key.size &&
               (key.size == 0 || memcmp(entry.text, key.text, key.size) == 0);
    }
    return key.kind == SFI_CEL_BOOL ? entry.boolean == key.boolean : entry.u64 == key.u64;
}

const struct sfi_cel_value *sfi_cel_map_find(const struct sfi_cel_map *map,
                                             struct sfi_cel_value key)
{
    key = canonical(key);
    if (!is_key(key)) {
        return NULL;
    }
    if (map->buckets == NULL) {
        for (uint32_t i = 0; i < map->count; i++) {
            if (key_matches(map->entries[i].key, key)) {
                return &map->entries[i].value;
            }
        }
        return NULL;
    }
    uint32_t at = (uint32_t)hash_canonical(key) & map->bucket_mask;
    for (; map->buckets[at] != 0; at = (at + 1) & map->bucket_mask) {
        const struct sfi_cel_entry *entry = &map->entries[map->buckets[at] - 1];
        if (key_matches(entry->key, key)) {
            return &entry->value;
        }
    }
    return NULL;
}

/* Enters the last entry of `map`; false: its key is there already. */
static bool enter_last(struct sfi_cel_map *map, uint32_t *buckets)
{
    struct sfi_cel_value key = map->entries[map->count - 1].key;
    struct sfi_cel_value same = canonical(key);
    if (buckets == NULL) {
        for (uint32_t i = 0; i + 1 < map->count; i++) {
            if (key_matches(map->entries[i].key, same)) {
                return false;
            }
        }
        return true;
    }
    uint32_t at = (uint32_t)hash_canonical(same) & map->bucket_mask;
    for (; buckets[at] != 0; at = (at + 1) & map->bucket_mask) {
        if (key_matches(map->entries[buckets[at] - 1].key, same)) {
            return false;
        }
    }
    buckets[at] = map->count;
    return true;
}

static struct sfi_cel_value fail_key(struct sfi_cel_frame *frame, struct sfi_cel_value key)
{
    char text[64];
    sfi_cel_value_text(key, text, sizeof text);
    return is_key(key)
               ? sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "map has the key %s more than once",
                              text)
               : sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                              "%s cannot be the key of a map; use bool, int, uint or string", text);
}

struct sfi_cel_value sfi_cel_map_make(struct sfi_cel_frame *frame,
                                      const struct sfi_cel_entry *entries, size_t count)
{
    if (count > INT32_MAX / 2) {
        return sfi_cel_fail_memory();
    }
    if (!sfi_cel_charge(frame, count * sizeof *entries)) {
        return sfi_cel_fail_steps();
    }
    size_t bucket_count = 0;
    if (count >= SFI_CEL_MAP_HASHED) {
        for (bucket_count = 16; bucket_count < 2 * count; bucket_count *= 2) {
        }
    }
    struct sfi_cel_map *map = sfi_cel_alloc(&frame->arena, sizeof *map + count * sizeof *entries +
                                                               bucket_count * sizeof(uint32_t));
    if (map == NULL) {
        return sfi_cel_fail_memory();
    }
    *map = (struct sfi_cel_map){.bucket_mask = (uint32_t)bucket_count - (bucket_count > 0)};
    uint32_t *buckets = NULL;
    if (bucket_count > 0) {
        buckets = (uint32_t *)(map->entries + count);
        memset(buckets, 0, bucket_count * sizeof(uint32_t));
    }
    map->buckets = buckets;
    for (size_t i = 0; i < count; i++) {
        map->entries[i] = entries[i];
        map->count = (uint32_t)i + 1;
        frame->steps_left -= key_steps(entries[i].key);
        if (sfi_cel_is_spent(frame)) {
            return sfi_cel_fail_steps();
        }
        if (!is_key(entries[i].key) || !enter_last(map, buckets)) {
            return fail_key(frame, entries[i].key);
        }
    }
    struct sfi_cel_value v = {SFI_CEL_MAP, 0, {.map = map}};
    return v;
}
