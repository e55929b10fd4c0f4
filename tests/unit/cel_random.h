/*
 * cel_random.h - seeded random expressions that the checker accepts, as source text, over the
 * columns of cel_rows.h. Each function writes an expression of its type; they err on purpose:
 * overflow, division by zero, bad indices and conversions are as likely as results.
 */
#ifndef CEL_RANDOM_H
#define CEL_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CEL_RANDOM_SIZE 6000

struct cel_random {
    uint64_t seed;
    char text[CEL_RANDOM_SIZE];
    size_t size;
    bool has_dyn; /* operands of no static type: overloads may be missing when run */
    int locals;   /* names a0, a1, ... in scope */
    char local_types[16];
    int next_local;
};

enum cel_random_type {
    CEL_RANDOM_BOOL,
    CEL_RANDOM_INT,
    CEL_RANDOM_UINT,
    CEL_RANDOM_DOUBLE,
    CEL_RANDOM_STRING,
    CEL_RANDOM_BYTES,
    CEL_RANDOM_TIME,
    CEL_RANDOM_LIST, /* of int */
    CEL_RANDOM_TYPES
};

static void cel_random_any(struct cel_random *r, enum cel_random_type type, int depth);

static inline uint64_t cel_random_next(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static unsigned cel_random_pick(struct cel_random *r, unsigned count)
{
    return (unsigned)(cel_random_next(&r->seed) % count);
}

static void cel_random_put(struct cel_random *r, const char *text)
{
    size_t size = strlen(text);
    if (r->size + size + 1 < sizeof r->text) {
        memcpy(r->text + r->size, text, size + 1);
        r->size += size;
    }
}

#define CEL_RANDOM_ONE_OF(r, list) \
    cel_random_put(r, (list)[cel_random_pick(r, sizeof(list) / sizeof(list)[0])])

/* A template: $B $I $U $D $S $Y $T $L stand for operands of a type. */
static void cel_random_fill(struct cel_random *r, const char *form, int depth)
{
    static const char letters[] = "BIUDSYTL";
    for (; *form != '\0'; form++) {
        char one[2] = {*form, '\0'};
        if (*form == '$') {
            const char *letter = strchr(letters, *++form);
            cel_random_any(r, (enum cel_random_type)(letter - letters), depth - 1);
        } else {
            cel_random_put(r, one);
        }
    }
}

static void cel_random_leaf(struct cel_random *r, enum cel_random_type type)
{
    static const char *const bools[] = {"true", "false", "b", "b", "b"};
    static const char *const ints[] = {"0",
                                       "1",
                                       "2",
                                       "7",
                                       "-1",
                                       "10",
                                       "64",
                                       "1000003",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "i",
                                       "j",
                                       "k",
                                       "i",
                                       "j",
                                       "i",
                                       "absent"};
    static const char *const uints[] = {
        "0u", "1u", "3u", "64u", "1000u", "18446744073709551615u", "9223372036854775808u",
        "u",  "v",  "u",  "u"};
    static const char *const doubles[] = {"0.0", "-0.5", "1e308", "2.5", "9.3e18", "d", "f", "d"};
    static const char *const strings[] = {
        "''", "'eu'", "'us'", "'a longer text than sixteen'", "'12'", "'h\\u00e9'", "s", "t",
        "n",  "s",    "t"};
    static const char *const bytes[] = {"b''", "b'eu'", "b'\\xff\\x00'", "y", "y"};
    static const char *const times[] = {"ts", "tn", "ts", "timestamp('2024-03-31T01:30:00Z')",
                                        "timestamp('0001-01-01$T00:00:00Z')"};
    static const char *const lists[] = {"[]", "[1, 2, 3]", "[i, j]", "[i, 0, 7, j]", "[5]"};
    for (int i = 0; i < r->locals; i++) {
        if (r->local_types[i] == (char)type && cel_random_pick(r, 2) == 0) {
            char name[8];
            (void)snprintf(name, sizeof name, "a%d", i);
            cel_random_put(r, name);
            return;
        }
    }
    switch (type) {
    case CEL_RANDOM_BOOL:
        CEL_RANDOM_ONE_OF(r, bools);
        break;
    case CEL_RANDOM_INT:
        CEL_RANDOM_ONE_OF(r, ints);
        break;
    case CEL_RANDOM_UINT:
        CEL_RANDOM_ONE_OF(r, uints);
        break;
    case CEL_RANDOM_DOUBLE:
        CEL_RANDOM_ONE_OF(r, doubles);
        break;
    case CEL_RANDOM_STRING:
        CEL_RANDOM_ONE_OF(r, strings);
        break;
    case CEL_RANDOM_BYTES:
        CEL_RANDOM_ONE_OF(r, bytes);
        break;
    case CEL_RANDOM_TIME:
        CEL_RANDOM_ONE_OF(r, times);
        break;
    default:
        CEL_RANDOM_ONE_OF(r, lists);
        break;
    }
}

/* A variable of a macro or binding: `before`, its name, `middle`, then the body. */
static void cel_random_scope(struct cel_random *r, const char *before, enum cel_random_type var,
                             const char *middle, enum cel_random_type body, int depth)
{
    char name[16];
    int slot = r->locals;
    if (slot >= (int)sizeof r->local_types) {
        cel_random_leaf(r, body);
        return;
    }
    cel_random_fill(r, before, depth);
    (void)snprintf(name, sizeof name, "a%d", slot);
    cel_random_put(r, name);
    cel_random_fill(r, middle, depth);
    r->local_types[r->locals++] = (char)var;
    cel_random_any(r, body, depth - 1);
    r->locals = slot;
    cel_random_put(r, ")");
}

/* cel.bind() with a variable of any type; the value is written before the name is in scope. */
static void cel_random_bind(struct cel_random *r, enum cel_random_type type, int depth)
{
    static const char *const values[] = {", $B, ", ", $I, ", ", $U, ", ", $D, ",
                                         ", $S, ", ", $Y, ", ", $T, ", ", $L, "};
    unsigned var = cel_random_pick(r, CEL_RANDOM_TYPES);
    cel_random_scope(r, "cel.bind(", (enum cel_random_type)var, values[var], type, depth);
}

static bool cel_random_special(struct cel_random *r, enum cel_random_type type, int depth)
{
    unsigned choice = cel_random_pick(r, 24);
    if (choice == 0) {
        cel_random_bind(r, type, depth);
    } else if (choice == 1 && type == CEL_RANDOM_BOOL) {
        static const char *const macros[] = {"$L.exists(", "$L.all(", "$L.exists_one("};
        cel_random_scope(r, macros[cel_random_pick(r, 3)], CEL_RANDOM_INT, ", ", CEL_RANDOM_BOOL,
                         depth);
    } else if (choice <= 8 && type == CEL_RANDOM_LIST) {
        bool is_map = cel_random_pick(r, 2) == 0;
        cel_random_scope(r, is_map ? "$L.map(" : "$L.filter(", CEL_RANDOM_INT, ", ",
                         is_map ? CEL_RANDOM_INT : CEL_RANDOM_BOOL, depth);
    } else {
        return false;
    }
    return true;
}

/* Operands of type dyn; they may lack an overload. */
static void cel_random_dyn(struct cel_random *r, enum cel_random_type type, int depth)
{
    static const char *const forms[CEL_RANDOM_TYPES] = {
        "(x == dyn($S))", "(dyn($I) + x == 3 ? 1 : 2)", "uint(x)", "double(x)",
        "string(x)",      "bytes(string(x))",           "ts",      "[size(x)]"};
    r->has_dyn = true;
    cel_random_fill(r, forms[type], depth);
}

/* Forms of an expression of each type. */
static const char *const cel_random_bools[] = {"($B && $B)",
                                               "($B || $B)",
                                               "($B && $B)",
                                               "($B || $B)",
                                               "!$B",
                                               "($B == $B)",
                                               "($I < $I)",
                                               "($I == $I)",
                                               "($I >= $I)",
                                               "($I != $I)",
                                               "($U < $U)",
                                               "($U > $U)",
                                               "($D < $D)",
                                               "($D <= $D)",
                                               "($D == $D)",
                                               "($S == $S)",
                                               "($S != $S)",
                                               "($S < $S)",
                                               "($S >= $S)",
                                               "($Y == $Y)",
                                               "($Y < $Y)",
                                               "($T < $T)",
                                               "($T == $T)",
                                               "$S.startsWith($S)",
                                               "$S.endsWith($S)",
                                               "$S.contains($S)",
                                               "($S in ['eu', 'us', 'apac', ''])",
                                               "($S in ['a longer text than sixteen', 'eu', s])",
                                               "($I in [1, 2, 3, 7, -1])",
                                               "($I in $L)",
                                               "($U in [1u, 64u])",
                                               "$S.matches('^[a-e]+')",
                                               "('eu' == $S)",
                                               "($S != 'us')",
                                               "($B ? $B : $B)",
                                               "($L == $L)",
                                               "($I in {1: 2, 7: 3})",
                                               "has({'a': 1}.a)",
                                               "bool($S)"};
static const char *const cel_random_ints[] = {
    "($I + $I)",
    "($I - $I)",
    "($I * $I)",
    "($I / $I)",
    "($I % $I)",
    "($I % 7)",
    "($I % 64)",
    "($I / -3)",
    "($I / 1000003)",
    "($I % -9223372036854775807)",
    "-($I)",
    "size($S)",
    "size($Y)",
    "size($L)",
    "int($U)",
    "int($D)",
    "int($S)",
    "int($T)",
    "($B ? $I : $I)",
    "($B ? 1 : 0)",
    "$L[$I]",
    "[10, 20, 30][$I]",
    "{'eu': 1, 'us': 2}[$S]",
    "$T.getHours('Europe/Berlin')",
    "$T.getHours()",
    "$T.getMinutes('+05:30')",
    "$T.getSeconds()",
    "$T.getDayOfWeek('America/New_York')",
    "$T.getFullYear()",
    "$T.getMonth('Asia/Kolkata')",
    "$T.getDate()",
    "$T.getDayOfMonth()",
    "$T.getDayOfYear('Europe/Berlin')",
    "$T.getMilliseconds()",
    "$T.getHours('no/where')",
    "$T.getHours($S)",
    "optional.of($I).orValue($I)",
    "[$I][?$I].orValue(3)",
    "cel.block([$I, cel.index(0) + 1], cel.index(1) * cel.index(0))",
    "{'a': $I}.?b.orValue($I)",
    "optional.of($I).optMap(z, z + 1).value()",
    "int($I)"};
static const char *const cel_random_uints[] = {"($U + $U)",
                                               "($U - $U)",
                                               "($U * $U)",
                                               "($U / $U)",
                                               "($U % $U)",
                                               "($U % 64u)",
                                               "($U / 7u)",
                                               "($U % 9223372036854775809u)",
                                               "uint($I)",
                                               "uint($D)",
                                               "uint($S)",
                                               "shard_hash($I)",
                                               "shard_hash($S)",
                                               "shard_hash($Y)",
                                               "shard_hash($U)",
                                               "shard_hash($S + ':' + $S)",
                                               "(shard_hash($S + string($I)) % 8u)",
                                               "($B ? $U : $U)"};
static const char *const cel_random_doubles[] = {"($D + $D)",  "($D - $D)",  "($D * $D)",
                                                 "($D / $D)",  "-($D)",      "double($I)",
                                                 "double($U)", "double($S)", "($B ? $D : $D)"};
static const char *const cel_random_strings[] = {
    "($S + $S)",       "($S + ':' + $S)", "($S + $S + string($I))",
    "string($I)",      "string($U)",      "string($D)",
    "string($B)",      "string($T)",      "(string($I) + '/' + string($U))",
    "($B ? $S : $S)",  "string($Y)",      "('a' + 'b' + $S + 'c' + 'd')",
    "$S.lowerAscii()", "$S.substring($I)"};
static const char *const cel_random_bytes[] = {"($Y + $Y)", "bytes($S)", "($B ? $Y : $Y)"};
static const char *const cel_random_times[] = {"($B ? $T : $T)", "($T + duration('36h'))",
                                               "timestamp($I)"};
static const char *const cel_random_lists[] = {"($L + $L)", "[$I, $I]", "($B ? $L : $L)",
                                               "[$I, ?optional.of($I)]"};
static const struct {
    const char *const *forms;
    unsigned count;
} cel_random_forms[CEL_RANDOM_TYPES] = {
    {cel_random_bools, sizeof cel_random_bools / sizeof cel_random_bools[0]},
    {cel_random_ints, sizeof cel_random_ints / sizeof cel_random_ints[0]},
    {cel_random_uints, sizeof cel_random_uints / sizeof cel_random_uints[0]},
    {cel_random_doubles, sizeof cel_random_doubles / sizeof cel_random_doubles[0]},
    {cel_random_strings, sizeof cel_random_strings / sizeof cel_random_strings[0]},
    {cel_random_bytes, sizeof cel_random_bytes / sizeof cel_random_bytes[0]},
    {cel_random_times, sizeof cel_random_times / sizeof cel_random_times[0]},
    {cel_random_lists, sizeof cel_random_lists / sizeof cel_random_lists[0]},
};
static void cel_random_any(struct cel_random *r, enum cel_random_type type, int depth)
{
    if (depth <= 0 || r->size > CEL_RANDOM_SIZE / 4 || cel_random_pick(r, 6) == 0) {
        cel_random_leaf(r, type);
    } else if (cel_random_pick(r, 40) == 0) {
        cel_random_dyn(r, type, depth);
    } else if (!cel_random_special(r, type, depth)) {
        cel_random_fill(
            r, cel_random_forms[type].forms[cel_random_pick(r, cel_random_forms[type].count)],
            depth);
    }
}

/* A whole expression from a seed. */
static inline void cel_random_make(struct cel_random *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->seed = seed;
    unsigned type = cel_random_pick(r, CEL_RANDOM_TYPES);
    cel_random_any(r, (enum cel_random_type)type, 2 + (int)cel_random_pick(r, 4));
}

#endif
