/*
 * test_cel_value.c - equality, order, hashes and maps as laws over random values; errors, copies,
 * texts, UTF-8; and values that are exponentially large when walked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "cel/library.h"
#include "cel_value_sample.h"

/* Numbers near which kinds meet, or precision ends. */
static struct sfi_cel_value random_number(uint64_t *seed)
{
    static const double edges[] = {0,
                                   -0.0,
                                   1,
                                   -1,
                                   0.5,
                                   9007199254740992.0,
                                   9007199254740994.0,
                                   9223372036854775808.0,
                                   -9223372036854775808.0,
                                   18446744073709551616.0,
                                   1e300,
                                   INFINITY,
                                   -INFINITY,
                                   NAN};
    static const uint64_t wholes[] = {0,
                                      1,
                                      2,
                                      UINT64_MAX,
                                      INT64_MAX,
                                      (uint64_t)INT64_MAX + 1,
                                      UINT64_C(9007199254740993),
                                      UINT64_C(9007199254740992)};
    uint64_t random = next_random(seed);
    uint64_t whole = wholes[(random >> 8) % COUNT_OF(wholes)];
    switch (random % 4) {
    case 0:
        return sfi_cel_int((int64_t)whole);
    case 1:
        return sfi_cel_uint(whole);
    case 2:
        return sfi_cel_double(edges[(random >> 8) % COUNT_OF(edges)]);
    default:
        return sfi_cel_int((int64_t)(random >> 60) - 4);
    }
}

static struct sfi_cel_value random_scalar(uint64_t *seed)
{
    static const char text[] = "abcab\0c\xC3\xA9";
    uint64_t random = next_random(seed);
    uint32_t start = (uint32_t)(random >> 8) % 6;
    uint32_t size = (uint32_t)(random >> 16) % 3;
    switch (random % 8) {
    case 0:
        return sfi_cel_null();
    case 1:
        return sfi_cel_bool((random >> 8) & 1);
    case 2:
        return sfi_cel_string(text + start, size);
    case 3:
        return sfi_cel_bytes(text + start, size);
    case 4:
        return sfi_cel_time(random & 256 ? SFI_CEL_TIMESTAMP : SFI_CEL_DURATION,
                            (int64_t)(random >> 16) % 3, (int32_t)(random >> 24) % 2);
    case 5:
        return sfi_cel_type_value(random & 256 ? &sfi_cel_type_int : &sfi_cel_type_list);
    default:
        return random_number(seed);
    }
}

static struct sfi_cel_value random_key(uint64_t *seed)
{
    for (;;) {
        struct sfi_cel_value v = random_scalar(seed);
        if (v.kind == SFI_CEL_BOOL || v.kind == SFI_CEL_INT || v.kind == SFI_CEL_UINT ||
            v.kind == SFI_CEL_STRING) {
            return v;
        }
    }
}

/* A map of up to `count` entries whose keys differ. */
static struct sfi_cel_value random_map(uint64_t *seed, size_t count, unsigned depth);

static struct sfi_cel_value random_value(uint64_t *seed, unsigned depth)
{
    uint64_t random = next_random(seed);
    struct sfi_cel_value items[4];
    if (depth == 0 || random % 4 != 0) {
        return random_scalar(seed);
    }
    if ((random >> 8) % 4 == 0) {
        return (random >> 16) % 4 == 0 ? sfi_cel_optional_none()
                                       : sfi_cel_optional_of(&frame, random_value(seed, depth - 1));
    }
    if ((random >> 8) % 4 == 1) {
        return random_map(seed, (random >> 16) % 12, depth - 1);
    }
    size_t count = (random >> 16) % 4;
    for (size_t i = 0; i < count; i++) {
        items[i] = random_value(seed, depth - 1);
    }
    return list_of(items, count);
}

/* Whether an entry's key is that key: exactly, for integers and doubles that are some. */
static bool same_key(struct sfi_cel_value a, struct sfi_cel_value b)
{
    a = sfi_cel_integral(a);
    b = sfi_cel_integral(b);
    return a.kind != SFI_CEL_DOUBLE && b.kind != SFI_CEL_DOUBLE && sfi_cel_equal(a, b);
}

static struct sfi_cel_value random_map(uint64_t *seed, size_t count, unsigned depth)
{
    struct sfi_cel_value pairs[64];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct sfi_cel_value key = random_key(seed);
        bool known = false;
        for (size_t j = 0; j < used; j++) {
            known = known || same_key(pairs[2 * j], key);
        }
        if (!known) {
            pairs[2 * used] = key;
            pairs[2 * used + 1] = random_value(seed, depth);
            used++;
        }
    }
    struct sfi_cel_value map = map_of(pairs, used);
    assert_int_equal(map.kind, SFI_CEL_MAP);
    assert_int_equal(map.map->count, used);
    return map;
}

static bool has_nan(struct sfi_cel_value v)
{
    bool nan = v.kind == SFI_CEL_DOUBLE && isnan(v.f64);
    for (uint32_t i = 0; v.kind == SFI_CEL_LIST && i < v.list->count; i++) {
        nan = nan || has_nan(v.list->items[i]);
    }
    for (uint32_t i = 0; v.kind == SFI_CEL_MAP && i < v.map->count; i++) {
        nan = nan || has_nan(v.map->entries[i].value);
    }
    return nan || (v.kind == SFI_CEL_OPTIONAL && v.optional != NULL && has_nan(*v.optional));
}

static void equality_and_order_agree(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct sfi_cel_value a = random_value(&seed, 3);
        struct sfi_cel_value b = i % 8 == 0 ? a : random_value(&seed, 3);
        bool equal = sfi_cel_equal(a, b);
        frame.steps_left = SFI_CEL_MAX_STEPS;
        assert_int_equal(equal, sfi_cel_equal(b, a));
        assert_int_equal(equal, sfi_cel_equal_charged(&frame, a, b));
        assert_int_equal(sfi_cel_equal(a, a), !has_nan(a));
        int order = sfi_cel_compare(a, b);
        int back = sfi_cel_compare(b, a);
        assert_true(order >= -1 && order <= 3);
        assert_int_equal(back, order > 1 ? order : -order);
        if (order < 3) {
            assert_int_equal(order == 0, equal);
        }
        if (i % 512 == 0) {
            sfi_cel_arena_reset(&frame.arena);
        }
    }
}

static void equal_keys_have_equal_hashes(void **state)
{
    uint64_t seed = 2;
    size_t equal = 0;
    (void)state;
    for (int i = 0; i < 300000; i++) {
        struct sfi_cel_value a = random_key(&seed);
        struct sfi_cel_value b = random_scalar(&seed);
        if (same_key(a, b)) {
            equal++;
            assert_true(sfi_cel_hash(a) == sfi_cel_hash(b));
        } else {
            assert_true(sfi_cel_hash(a) != sfi_cel_hash(b) || a.kind != b.kind);
        }
    }
    assert_true(equal > 1000);
    assert_true(sfi_cel_hash(sfi_cel_int(-1)) != sfi_cel_hash(sfi_cel_uint(UINT64_MAX)));
}

static const struct sfi_cel_value *find_linearly(const struct sfi_cel_map *map,
                                                 struct sfi_cel_value key)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if (same_key(map->entries[i].key, key)) {
            return &map->entries[i].value;
        }
    }
    return NULL;
}

static void maps_find_what_a_search_finds(void **state)
{
    uint64_t seed = 3;
    size_t found = 0;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct sfi_cel_value map = random_map(&seed, next_random(&seed) % 30, 1);
        assert_int_equal(map.map->buckets != NULL, map.map->count >= SFI_CEL_MAP_HASHED);
        for (int j = 0; j < 20; j++) {
            struct sfi_cel_value key = random_scalar(&seed);
            const struct sfi_cel_value *value = find_linearly(map.map, key);
            found += value != NULL;
            assert_ptr_equal(sfi_cel_map_find(map.map, key), value);
        }
        struct sfi_cel_value copy = sfi_cel_copy(&frame, map);
        assert_int_equal(sfi_cel_equal(copy, map), !has_nan(map));
        sfi_cel_arena_reset(&frame.arena);
        frame.steps_left = SFI_CEL_MAX_STEPS;
    }
    assert_true(found > 10000);
}

static void maps_refuse_bad_keys(void **state)
{
    struct sfi_cel_value pairs[48];
    (void)state;
    for (size_t count = 2; count <= 24; count += 11) { /* with and without buckets */
        for (size_t i = 0; i < count; i++) {
            pairs[2 * i] = sfi_cel_int((int64_t)i);
            pairs[2 * i + 1] = sfi_cel_null();
        }
        pairs[2 * count - 2] = sfi_cel_uint(0);
        assert_value(map_of(pairs, count), "INVALID_ARGUMENT: map has the key 0u more than once");
        pairs[2 * count - 2] = sfi_cel_double(0);
        assert_value(map_of(pairs, count), "INVALID_ARGUMENT: 0.0 cannot be the key of a map; use "
                                           "bool, int, uint or string");
        pairs[2 * count - 2] = raw("0", 1);
        assert_int_equal(map_of(pairs, count).kind, SFI_CEL_ERROR);
        pairs[2 * count - 2] = str("0");
        assert_int_equal(map_of(pairs, count).kind, SFI_CEL_MAP);
    }
    frame.steps_left = 2;
    assert_value(map_of(pairs, 24), "OVER_LIMIT: evaluation takes more steps than an expression "
                                    "may use");
}

/* Hashing and comparing keys is work, too: with and without buckets. */
static void long_keys_are_charged(void **state)
{
    enum { SIZE = 1 << 20 };
    char *data = malloc(SIZE);
    struct sfi_cel_value pairs[24];
    (void)state;
    assert_non_null(data);
    memset(data, 'k', SIZE);
    for (size_t count = 1; count <= 12; count += 11) {
        for (size_t i = 0; i < 2 * count; i++) {
            pairs[i] = sfi_cel_int((int64_t)i);
        }
        pairs[0] = sfi_cel_string(data, SIZE);
        frame.steps_left = 1000;
        assert_value(map_of(pairs, count), "OVER_LIMIT: evaluation takes more steps than an "
                                           "expression may use");
        frame.steps_left = SFI_CEL_MAX_STEPS;
        struct sfi_cel_value map = map_of(pairs, count);
        assert_int_equal(map.kind, SFI_CEL_MAP);
        assert_true(sfi_cel_equal_charged(&frame, map, map));
        frame.steps_left = 1000;
        assert_false(sfi_cel_equal_charged(&frame, map, map));
        assert_true(sfi_cel_is_spent(&frame));
    }
    free(data);
}

static void copies_live_on_their_own(void **state)
{
    uint64_t seed = 4;
    char before[1024];
    struct sfi_cel_frame other = {.steps_left = SFI_CEL_MAX_STEPS};
    (void)state;
    sfi_cel_arena_init(&other.arena, SFI_CEL_EVAL_BYTES);
    for (int i = 0; i < 5000; i++) {
        frame.steps_left = SFI_CEL_MAX_STEPS;
        struct sfi_cel_value value = random_value(&seed, 4);
        sfi_cel_value_text(value, before, sizeof before);
        struct sfi_cel_value copy = sfi_cel_copy(&other, value);
        sfi_cel_arena_clear(&frame.arena); /* the sanitizer sees what still points there */
        assert_value(copy, before);
        sfi_cel_arena_reset(&other.arena);
    }
    struct sfi_cel_value error = sfi_cel_fail(&frame, SFI_CEL_NOT_FOUND, "%s", "gone");
    struct sfi_cel_value copy = sfi_cel_copy(&other, error);
    sfi_cel_arena_clear(&frame.arena);
    assert_value(copy, "NOT_FOUND: gone");
    sfi_cel_arena_clear(&other.arena);
}

/* Each level holds the one below twice: 2^60 leaves, or 3,000 levels. */
static struct sfi_cel_value tower(unsigned levels, bool doubled)
{
    struct sfi_cel_value v = sfi_cel_int(1);
    for (unsigned i = 0; i < levels; i++) {
        struct sfi_cel_value items[2] = {v, v};
        v = list_of(items, doubled ? 2 : 1);
    }
    return v;
}

static void shared_parts_cannot_keep_us_busy(void **state)
{
    char text[100];
    (void)state;
    for (int deep = 0; deep < 2; deep++) {
        struct sfi_cel_value a = tower(deep ? 3000 : 60, !deep);
        struct sfi_cel_value b = tower(deep ? 3000 : 60, !deep);
        frame.steps_left = SFI_CEL_MAX_STEPS;
        assert_false(sfi_cel_equal_charged(&frame, a, b));
        assert_true(sfi_cel_is_spent(&frame));
        assert_false(sfi_cel_equal(a, b));
        struct sfi_cel_value copy = sfi_cel_copy(&frame, a);
        assert_int_equal(copy.kind, SFI_CEL_ERROR);
        assert_int_equal(copy.error->code, SFI_CEL_OVER_LIMIT);
        sfi_cel_value_text(a, text, sizeof text);
        assert_int_equal(strlen(text), sizeof text - 1);
        sfi_cel_arena_clear(&frame.arena);
    }
}

static void errors_fit_any_arena(void **state)
{
    char *longest = malloc(5000);
    (void)state;
    assert_non_null(longest);
    memset(longest, 'x', 5000);
    longest[4999] = '\0';
    struct sfi_cel_value error = sfi_cel_fail(&frame, SFI_CEL_INVALID_ARGUMENT, "%s", longest);
    assert_int_equal(strlen(error.error->text), 511);
    assert_int_equal(error.error->node, UINT32_MAX);
    free(longest);
    error =
        sfi_cel_fail(&frame, SFI_CEL_INVALID_ARGUMENT, "\xFFx\xC3\xA9\xE2\x82 %.1s", "\xC3\xA9");
    assert_string_equal(error.error->text, "?x\xC3\xA9?? ?");
    sfi_cel_arena_clear(&frame.arena);
    frame.arena.limit = 16;
    assert_value(sfi_cel_fail(&frame, SFI_CEL_NOT_FOUND, "x"),
                 "OVER_LIMIT: evaluation needs more memory than an expression may use");
    assert_int_equal(sfi_cel_copy_text(&frame, SFI_CEL_STRING, "x", 1).kind, SFI_CEL_ERROR);
    assert_null(sfi_cel_list_new(&frame, 1000));
    assert_null(sfi_cel_list_new(&frame, SIZE_MAX));
    struct sfi_cel_value args[2] = {sfi_cel_int(1), str("x")};
    sfi_cel_arena_clear(&frame.arena);
    frame.arena.limit = SFI_CEL_EVAL_BYTES;
    assert_value(sfi_cel_fail_overload(&frame, "_+_", args, 2),
                 "NO_OVERLOAD: no matching overload: + for (int, string)");
}

static void texts_are_literals(void **state)
{
    struct sfi_cel_value items[2] = {sfi_cel_int(-1), str("a")};
    const struct {
        struct sfi_cel_value value;
        const char *text;
    } cases[] = {
        {sfi_cel_null(), "null"},
        {sfi_cel_bool(true), "true"},
        {sfi_cel_int(INT64_MIN), "-9223372036854775808"},
        {sfi_cel_uint(7), "7u"},
        {sfi_cel_double(1), "1.0"},
        {sfi_cel_double(-0.0), "-0.0"},
        {sfi_cel_double(1e6), "1e+06"},
        {sfi_cel_double(NAN), "double(\"nan\")"},
        {sfi_cel_double(-INFINITY), "double(\"-inf\")"},
        {str("a\"\\\n\t\r\x01\x7F\xC3\xA9"), "\"a\\\"\\\\\\n\\t\\r\\x01\\x7f\xC3\xA9\""},
        {str("\xFFx\xC3"), "\"\\ufffdx\\ufffd\""},
        {raw("\0a\xC3\xA9", 4), "b\"\\x00a\\xc3\\xa9\""},
        {sfi_cel_time(SFI_CEL_TIMESTAMP, 0, 500000000), "timestamp(\"1970-01-01T00:00:00.500Z\")"},
        {sfi_cel_time(SFI_CEL_DURATION, -1, 0), "duration(\"-1s\")"},
        {sfi_cel_type_value(&sfi_cel_type_int), "int"},
        {sfi_cel_optional_none(), "optional.none()"},
        {sfi_cel_optional_of(&frame, items[0]), "optional.of(-1)"},
        {list_of(items, 2), "[-1, \"a\"]"},
        {list_of(items, 0), "[]"},
        {map_of(items, 1), "{-1: \"a\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128];
        assert_value(cases[i].value, cases[i].text);
        for (size_t size = 0; size <= strlen(cases[i].text); size++) { /* cut anywhere */
            memset(text, '#', sizeof text);
            sfi_cel_value_text(cases[i].value, text, size);
            assert_int_equal(text[size], '#');
            if (size > 0) {
                assert_true(strlen(text) < size);
                assert_true(sfi_cel_utf8_valid(text, strlen(text)));
                assert_true(size < 4 || strcmp(text + strlen(text) - 3, "...") == 0);
            }
        }
    }
}

static void types_are_those_of_values(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct sfi_cel_value v = random_value(&seed, 2);
        const struct sfi_cel_type *type = sfi_cel_type_of(v);
        struct sfi_cel_type wrapper = {SFI_CEL_TYPE_WRAPPER, 0, {type}};
        frame.steps_left = SFI_CEL_MAX_STEPS;
        assert_true(sfi_cel_value_fits(v, type));
        assert_true(sfi_cel_value_fits(v, &sfi_cel_type_dyn));
        assert_true(sfi_cel_value_fits(v, &sfi_cel_sig_a));
        assert_true(sfi_cel_value_fits(v, &wrapper));
        assert_true(sfi_cel_value_fits(sfi_cel_null(), &wrapper));
        assert_int_equal(sfi_cel_value_fits(v, &sfi_cel_type_bool), v.kind == SFI_CEL_BOOL);
    }
}

static size_t count_slowly(const unsigned char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; count++) {
        size_t length = 1;
        while (length < 4 && length < size - i && !sfi_utf8_valid(text + i, length)) {
            length++;
        }
        length = sfi_utf8_valid(text + i, length) ? length : 1;
        i += length;
    }
    return count;
}

static void counts_code_points(void **state)
{
    static const unsigned char pieces[][5] = {
        "a",    "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\xB1",
        "\x80", "\xFF",     "\xED\xA0\x80", "\xC3"};
    uint64_t seed = 6;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        unsigned char text[1024];
        size_t size = 0;
        size_t kinds = i % 3 == 0 ? 1 : i % 3 == 1 ? 4 : COUNT_OF(pieces);
        size_t want = 0;
        for (size_t n = next_random(&seed) % 250; n > 0; n--) {
            const char *piece = (const char *)pieces[next_random(&seed) % kinds];
            memcpy(text + size, piece, strlen(piece));
            size += strlen(piece);
            want++;
        }
        char *exact = malloc(size + 1); /* no byte beyond may be read */
        assert_non_null(exact);
        memcpy(exact, text, size);
        assert_int_equal(sfi_cel_utf8_valid(exact, size), sfi_utf8_valid(text, size));
        if (kinds <= 4) {
            assert_int_equal(sfi_cel_utf8_count(exact, size), want);
        } else {
            assert_int_equal(sfi_cel_utf8_count(exact, size), count_slowly(text, size));
        }
        free(exact);
    }
    char *large = malloc(100001);
    assert_non_null(large);
    for (size_t i = 0; i < 50000; i++) {
        memcpy(large + 2 * i, "\xC3\xA9", 2);
    }
    assert_int_equal(sfi_cel_utf8_count(large, 100000), 50000);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        frame_test(equality_and_order_agree),
        frame_test(equal_keys_have_equal_hashes),
        frame_test(maps_find_what_a_search_finds),
        frame_test(maps_refuse_bad_keys),
        frame_test(long_keys_are_charged),
        frame_test(copies_live_on_their_own),
        frame_test(shared_parts_cannot_keep_us_busy),
        frame_test(errors_fit_any_arena),
        frame_test(texts_are_literals),
        frame_test(types_are_those_of_values),
        frame_test(counts_code_points),
    };
    return cmocka_run_group_tests_name("cel_value", tests, NULL, NULL);
}
