/*
 * test_cel_check.c - deduced types, what names stand for, and the checker's messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cel/check.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name;
    const char *type;
} columns[] = {
    {"key", "int"},
    {"n", "uint"},
    {"score", "double"},
    {"region", "string"},
    {"flag", "bool"},
    {"raw", "bytes"},
    {"ts", "timestamp"},
    {"span", "duration"},
    {"any", "dyn"},
    {"tags", "list(string)"},
    {"attrs", "map(string, int)"},
    {"opt", "optional_type(int)"},
    {"a.b", "int"},
    {"a", "map(string, string)"},
    {"type", "string"},
    {"boxed", "wrapper(int)"},
};

struct checked {
    struct sfi_cel_arena arena;
    struct sfi_cel_variable variables[COUNT(columns)];
    struct sfi_cel_env env;
    struct sfi_cel_ast ast;
    shardy_error err;
};

static void checked_init(struct checked *c)
{
    *c = (struct checked){.err = SHARDY_ERROR_INIT};
    sfi_cel_arena_init(&c->arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COUNT(columns); i++) {
        c->variables[i].name = columns[i].name;
        assert_int_equal(
            sfi_cel_type_parse(&c->arena, columns[i].type, &c->variables[i].type, NULL), SHARDY_OK);
    }
    c->env.variables = c->variables;
    c->env.variable_count = COUNT(columns);
}

static shardy_status check(struct checked *c, const char *source)
{
    shardy_status st = sfi_cel_parse(&c->arena, source, strlen(source), 0, &c->ast, &c->err);
    if (st != SHARDY_OK) {
        fail_msg("%s", c->err.message);
    }
    return sfi_cel_check(&c->ast, &c->env, &c->err);
}

static const struct {
    const char *source;
    const char *type;
} typed[] = {
    /* constants, names */
    {"1", "int"},
    {"1u", "uint"},
    {"1.5", "double"},
    {"'a'", "string"},
    {"b'a'", "bytes"},
    {"null", "null"},
    {"key", "int"},
    {"type", "string"}, /* a column before the type's name */
    {"int", "type(int)"},
    {"google.protobuf.Timestamp", "type(google.protobuf.Timestamp)"},
    {"net.IP", "type(net.IP)"},
    {"a.b", "int"},
    {"a.c", "string"},
    {"attrs.x", "int"},
    {"any.x.y", "dyn"},
    {"has(attrs.x)", "bool"},
    {"attrs.?x", "optional_type(int)"},
    {"attrs[?'x'].orValue(0)", "int"},
    {"{'a': {'b': 1}}.?a.b", "optional_type(int)"},
    /* operators */
    {"key + 1", "int"},
    {"key % 10", "int"},
    {"shard_hash(key) % 64u", "uint"},
    {"region + ':' + string(key)", "string"},
    {"ts + span", "google.protobuf.Timestamp"},
    {"ts - ts", "google.protobuf.Duration"},
    {"-score", "double"},
    {"any + 1", "int"},
    {"any + any", "dyn"},
    {"any < 1", "bool"},
    {"boxed + 1", "int"},
    {"boxed == null", "bool"},
    {"ts == null", "bool"},
    {"any == 1 && any == 'a'", "bool"},
    {"flag ? 1 : 2", "int"},
    {"flag ? 1 : any", "dyn"},
    {"flag ? boxed : null", "wrapper(int)"},
    {"flag ? null : ts", "google.protobuf.Timestamp"},
    {"flag ? [1] : [any]", "list(dyn)"},
    {"flag ? [] : [1]", "list(int)"},
    {"flag ? {any: 1} : {'a': any}", "map(dyn, dyn)"},
    {"'a' in tags", "bool"},
    {"'a' in attrs", "bool"},
    {"any in [1, 'a']", "bool"},
    {"tags[0]", "string"},
    {"any[0]", "dyn"},
    /* What dyn holds is not settled by how it is used first. */
    {"any['x']", "dyn"},
    {"cel.bind(x, any['x'], [x + 1 == 2 ? x : x])", "list(dyn)"},
    {"type(1) == int", "bool"},
    /* lists, maps */
    {"[]", "list(dyn)"},
    {"[1, 2]", "list(int)"},
    {"[1, 'a']", "list(dyn)"},
    {"[1, any]", "list(dyn)"},
    {"[[], [1]]", "list(list(int))"},
    {"[[any], [1]]", "list(list(dyn))"},
    {"[[1], [any]]", "list(list(dyn))"},
    {"[null, ts]", "list(google.protobuf.Timestamp)"},
    {"[1, null]", "list(dyn)"},
    {"[?opt, 1]", "list(int)"},
    {"[?optional.none()]", "list(dyn)"},
    {"{}", "map(dyn, dyn)"},
    {"{'a': 1}", "map(string, int)"},
    {"{'a': 1, 2: 'b'}", "map(dyn, dyn)"},
    {"{?'a': opt}", "map(string, int)"},
    {"{'a': 1}.a", "int"},
    {"[] + [1]", "list(int)"},
    {"[[]] + [['a']]", "list(list(string))"},
    /* macros */
    {"tags.all(t, t == 'a')", "bool"},
    {"tags.exists_one(t, t == 'a')", "bool"},
    {"tags.map(t, size(t))", "list(int)"},
    {"tags.map(t, t != '', t)", "list(string)"},
    {"tags.filter(t, t != '')", "list(string)"},
    {"attrs.map(k, k)", "list(string)"},
    {"attrs.all(k, v, k != '' && v > 0)", "bool"},
    {"tags.transformList(i, v, i)", "list(int)"},
    {"tags.transformMap(i, v, v)", "map(int, string)"},
    {"attrs.transformMap(k, v, string(v))", "map(string, string)"},
    {"tags.transformMapEntry(i, v, {v: i})", "map(string, int)"},
    {"tags.transformMapEntry(i, v, any)", "map(dyn, dyn)"},
    {"any.map(x, x)", "list(dyn)"},
    {"[].map(x, x)", "list(dyn)"},
    {"tags.map(key, key)", "list(string)"},
    {"tags.exists(a, a.size() > 1)", "bool"},
    {"[{'b': 'x'}].exists(a, a.b == 'x')", "bool"},
    {"[{'b': 'x'}].exists(a, .a.b == 1)", "bool"},
    {"cel.bind(x, key + 1, [x, x])", "list(int)"},
    {"cel.bind(x, [], x + ['a'])", "list(string)"},
    {"cel.block([key, cel.index(0) + 1], cel.index(1))", "int"},
    {"opt.optMap(v, string(v))", "optional_type(string)"},
    {"opt.optFlatMap(v, optional.of(v > 1))", "optional_type(bool)"},
    {"any.optMap(v, v)", "optional_type(dyn)"},
    {"opt.hasValue()", "bool"},
    /* functions */
    {"region.startsWith('e')", "bool"},
    {"size(tags) + tags.size()", "int"},
    {"ts.getHours('Europe/Berlin')", "int"},
    {"math.greatest(1, 2, 3)", "int"},
    {"base64.encode(raw)", "string"},
    {"ip('::1').family()", "int"},
    {"'a,b'.split(',')", "list(string)"},
    {"dyn(1)", "dyn"},
    {"type(key)", "type(int)"},
    {"google.protobuf.Timestamp{seconds: 1}", "google.protobuf.Timestamp"},
    {"google.protobuf.Int32Value{value: 1} + 1", "int"},
};

static void deduces_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(typed); i++) {
        struct checked c;
        char text[SFI_CEL_TYPE_TEXT];
        checked_init(&c);
        if (check(&c, typed[i].source) != SHARDY_OK) {
            fail_msg("%s: %s", typed[i].source, c.err.message);
        }
        sfi_cel_type_text(c.ast.root->type, text);
        if (strcmp(text, typed[i].type) != 0) {
            fail_msg("%s has type %s, not %s", typed[i].source, text, typed[i].type);
        }
        sfi_cel_arena_clear(&c.arena);
    }
}

/* The first line of the message. */
static const struct {
    const char *source;
    const char *message;
} refused[] = {
    {"regio", "1:1: undeclared name 'regio' (did you mean 'region'?)"},
    {"Region", "1:1: undeclared name 'Region' (did you mean 'region'?)"},
    {"reigon + 'a'", "1:1: undeclared name 'reigon' (did you mean 'region'?)"},
    {"tags.all(tag, tga == 'a')", "1:15: undeclared name 'tga' (did you mean 'tag'?)"},
    {"whatever", "1:1: undeclared name 'whatever'; declared: key, n, score, region, flag and 11 "
                 "more"},
    {".key.x", "1:6: a value of type int has no field 'x'; only maps have fields"},
    {"lenght(region)", "1:1: undeclared function 'lenght'"},
    {"sise(region)", "1:1: undeclared function 'sise' (did you mean 'size'?)"},
    {"shardhash(key)", "1:1: undeclared function 'shardhash' (did you mean 'shard_hash'?)"},
    {"math.flor(1.5)", "1:6: undeclared function 'math.flor' (did you mean 'math.floor'?)"},
    {"region.startWith('a')", "1:8: undeclared function 'startWith' (did you mean 'startsWith'?)"},
    {"key % 10u", "1:5: found no overload of '%' for (int, uint); there are (int, int), (uint, "
                  "uint); write 10 without u, or convert the int with uint()"},
    {"shard_hash(key) % 10", "1:17: found no overload of '%' for (uint, int); there are (int, "
                             "int), (uint, uint); write 10u"},
    {"key == n", "1:5: found no overload of '==' for (int, uint); there are (A, A); convert one "
                 "with int() or uint()"},
    {"score * 2", "; write 2.0"},
    {"key * score", "; convert the int with double()"},
    {"region + key", "; convert with string()"},
    {"region == raw", "; convert the string with bytes()"},
    {"ts > '2024-01-01T00:00:00Z'", "; convert the string with timestamp()"},
    {"1 == 1.0", "; write 1.0"},
    {"shard_hash(score)", "1:1: found no overload of 'shard_hash' for (double); there are (int), "
                          "(uint), (string), (bytes); convert with string()"},
    {"region.startsWith(1)", "1:8: found no overload of 'startsWith' for string.(int); there are "
                             "string.(string)"},
    {"startsWith(region, 'a')", "1:1: found no overload of 'startsWith' for (string, string); "
                                "there are string.(string)"},
    {"size()", "1:1: found no overload of 'size' for (); there are (string), (bytes), "},
    {"size(1, 2, 3, 4, 5, 6)", "for (int, int, int, int, int) and more; there are"},
    {"key && flag", "1:5: found no overload of '&&' for (int, bool); there are (bool, bool)"},
    {"flag || region", "1:6: found no overload of '||' for (bool, string); there are (bool, bool)"},
    {"!key", "1:1: found no overload of '!' for (int); there are (bool)"},
    {"-n", "1:1: found no overload of '-' for (uint); there are (int), (double)"},
    {"key ? 1 : 2", "1:1: the condition before '?' must be bool, not int"},
    {"flag ? 1 : 'a'",
     "1:6: the branches of '? :' must have one type, not int and string; convert with string()"},
    {"flag ? 1 : 2u", "must have one type, not int and uint; write 1u"},
    {"flag ? null : 1", "must have one type, not null and int"},
    {"1 in tags", "1:3: found no overload of 'in' for (int, list(string))"},
    {"[1, 2][1u]", "found no overload of '[]' for (list(int), uint)"},
    {"attrs[1]", "found no overload of '[]' for (map(string, int), int)"},
    {"{1.5: 1}", "1:2: a map key must be bool, int, uint or string, not double"},
    {"{null: 1}", "1:2: a map key must be bool, int, uint or string, not null"},
    {"{[]: 1}", "1:2: a map key must be bool, int, uint or string, not list(dyn)"},
    {"[?key]", "1:3: an element written with '?' must be optional, not int; write "
               "optional.of(...) or leave '?' out"},
    {"key.all(x, true)",
     "1:1: cannot loop over a value of type int; only lists and maps have elements"},
    {"tags.all(t, t)", "1:13: the condition of a macro must be bool, not string"},
    {"tags.map(t, t, 1)", "1:13: the condition of a macro must be bool, not string"},
    {"tags.transformMapEntry(i, v, v)", "must be map(dyn, dyn), not string"},
    {"key.optMap(v, v)", "1:1: optMap needs an optional value, not int"},
    {"opt.optFlatMap(v, v)", "the result of optFlatMap must be optional, not int; use optMap"},
    {"[].exists(x, x == 1 || x == 'a')", "found no overload of '==' for (int, string)"},
    {"cel.block([], regoin)", "1:15: undeclared name 'regoin' (did you mean 'region'?)"},
    {"cel.block([1], cel.index(1))", "undeclared name '@index1'"},
    {"cel.block([cel.index(0)], 1)", "undeclared name '@index0'"},
    {"com.example.Thing{a: 1}", "1:1: message type 'com.example.Thing' is not supported; use lists "
                                "and maps (only google.protobuf.Timestamp, Duration and wrappers "
                                "such as Int64Value can be made)"},
    {"google.protobuf.Duration{hours: 1}",
     "message 'google.protobuf.Duration' has no field 'hours'"},
    {"google.protobuf.Duration{nanos: 1, nanos: 2}", "field 'nanos' is given twice"},
    {"google.protobuf.Int32Value{value: 'a'}", "a value of type string does not fit"},
    {"isIP(cidr('10.0.0.0/8'))", "found no overload of 'isIP' for (net.CIDR)"},
};

static void explains_what_it_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct checked c;
        checked_init(&c);
        assert_int_equal(check(&c, refused[i].source), SHARDY_CONFIG);
        c.err.message[strcspn(c.err.message, "\n")] = '\0';
        if (strstr(c.err.message, refused[i].message) == NULL) {
            fail_msg("%s:\n%s\nnot\n%s", refused[i].source, c.err.message, refused[i].message);
        }
        sfi_cel_arena_clear(&c.arena);
    }
}

static void resolves_in_containers(void **state)
{
    static const struct {
        const char *container;
        const char *source;
        int variable; /* that the root stands for, -1: none */
    } cases[] = {
        {NULL, "y", 3},    {"x", "y", 0},     {"x", ".y", 3},    {"x.z", "y", 1},
        {"x.q", "y", 0},   {"x.q.r", "y", 0}, {"x.z.q", "y", 1}, {"x", "z.y", 1},
        {"q", "x.z.y", 1}, {"x", ".x.y", 0},  {"x.z", "x.y", 2}, {"", "y", 3},
    };
    static const struct sfi_cel_variable variables[] = {
        {"x.y", &sfi_cel_type_int},
        {"x.z.y", &sfi_cel_type_int},
        {"x.x.y", &sfi_cel_type_int},
        {"y", &sfi_cel_type_int},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct checked c;
        checked_init(&c);
        c.env.variables = variables;
        c.env.variable_count = COUNT(variables);
        c.env.container = cases[i].container;
        if (check(&c, cases[i].source) != SHARDY_OK) {
            fail_msg("%s: %s", cases[i].source, c.err.message);
        }
        assert_int_equal(c.ast.root->reference, SFI_CEL_REF_VARIABLE);
        assert_int_equal(c.ast.root->index, cases[i].variable);
        sfi_cel_arena_clear(&c.arena);
    }
}

static void finds_each_of_many_variables(void **state)
{
    enum { MANY = 3000 };
    static struct sfi_cel_variable variables[MANY];
    static char names[MANY][16];
    struct checked c;
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "v%zu", i);
        variables[i] = (struct sfi_cel_variable){names[i], &sfi_cel_type_int};
    }
    for (size_t i = 0; i < MANY; i += 97) {
        checked_init(&c);
        c.env.variables = variables;
        c.env.variable_count = MANY;
        assert_int_equal(check(&c, names[i]), SHARDY_OK);
        assert_int_equal(c.ast.root->index, i);
        sfi_cel_arena_clear(&c.arena);
    }
}

/* Which overloads are left to the evaluator. */
static void keeps_possible_overloads(void **state)
{
    static const struct {
        const char *source;
        unsigned least;
        unsigned most;
    } cases[] = {
        {"key + key", 1, 1},    {"key < 1", 1, 1},       {"any + any", 6, 20},
        {"any + 1", 1, 1},      {"any < 1", 2, 4},       {"key == 1", 1, 1},
        {"tags[0]", 1, 1},      {"tags[any]", 2, 3},     {"flag && flag", 0, 0},
        {"flag ? 1 : 2", 0, 0}, {"region.size()", 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct checked c;
        checked_init(&c);
        assert_int_equal(check(&c, cases[i].source), SHARDY_OK);
        if (c.ast.root->overload_count < cases[i].least ||
            c.ast.root->overload_count > cases[i].most) {
            fail_msg("%s: %u overloads", cases[i].source, c.ast.root->overload_count);
        }
        assert_int_equal(c.ast.root->overloads == NULL, cases[i].most == 0);
        sfi_cel_arena_clear(&c.arena);
    }
}

static void unchecked_expressions_have_no_types(void **state)
{
    static const char *const sources[] = {
        "unknown",
        "unknown(1) || true",
        "key.unknown(1)",
        "1 + 'a'",
        "key ? 'a' : 17",
        "1.all(x, x)",
        "a.b.c",
        "Thing{a: 1}",
        "math.floor('a')",
        "int",
        "dyn",
        "[1].map(x, x + y)",
    };
    struct checked c;
    (void)state;
    for (size_t i = 0; i < COUNT(sources); i++) {
        checked_init(&c);
        c.env.unchecked = true;
        if (check(&c, sources[i]) != SHARDY_OK) {
            fail_msg("%s: %s", sources[i], c.err.message);
        }
        assert_int_equal(c.ast.root->type->kind, SFI_CEL_TYPE_DYN);
        sfi_cel_arena_clear(&c.arena);
    }
    checked_init(&c);
    c.env.unchecked = true;
    assert_int_equal(check(&c, "unknown + key + int"), SHARDY_OK);
    const struct sfi_cel_node *inner = c.ast.root->call.args[0];
    assert_int_equal(inner->call.args[0]->reference, SFI_CEL_REF_NONE);
    assert_int_equal(inner->call.args[1]->reference, SFI_CEL_REF_VARIABLE);
    assert_int_equal(c.ast.root->call.args[1]->reference, SFI_CEL_REF_VALUE);
    assert_true(c.ast.root->overload_count > 5);
    sfi_cel_arena_clear(&c.arena);
}

static void gives_every_scope_its_slots(void **state)
{
    struct checked c;
    (void)state;
    checked_init(&c);
    assert_int_equal(check(&c, "cel.bind(x, 1, [2].map(y, x + y)) == [3].map(z, z)"), SHARDY_OK);
    const struct sfi_cel_node *bind = c.ast.root->call.args[0];
    const struct sfi_cel_node *first = bind->bind.body;
    const struct sfi_cel_node *second = c.ast.root->call.args[1];
    assert_int_equal(c.ast.local_count, 5);
    assert_int_equal(bind->bind.local, 0);
    assert_int_equal(first->loop.local, 1);
    assert_int_equal(second->loop.local, 3);
    assert_int_equal(first->loop.body->call.args[0]->reference, SFI_CEL_REF_LOCAL);
    assert_int_equal(first->loop.body->call.args[0]->index, 0);
    assert_int_equal(first->loop.body->call.args[1]->index, 1);
    sfi_cel_arena_clear(&c.arena);
}

/* Types that double with every level end in an error, soon. */
static void bounds_types(void **state)
{
    struct checked c;
    char *source = sfi_malloc(20000);
    size_t at = 0;
    (void)state;
    assert_non_null(source);
    for (int i = 0; i < 60; i++) {
        at += (size_t)snprintf(source + at, 20000 - at, "cel.bind(v%d, %s%d%s%d%s, ", i,
                               i == 0 ? "[{1: " : "{'a': [{'b': [v", i == 0 ? 1 : i - 1,
                               i == 0 ? "}] + [{2: " : "]}, {'c': [v", i == 0 ? 2 : i - 1,
                               i == 0 ? "}]" : "]}]}");
    }
    at += (size_t)snprintf(source + at, 20000 - at, "v59");
    for (int i = 0; i < 60; i++) {
        source[at++] = ')';
    }
    source[at] = '\0';
    checked_init(&c);
    shardy_status st = check(&c, source);
    assert_true(st == SHARDY_OK || st == SHARDY_LIMIT);
    sfi_cel_arena_clear(&c.arena);

    at = 0;
    for (int i = 0; i < 60; i++) {
        at += (size_t)snprintf(source + at, 20000 - at, "[optional.none()].map(v%d, ", i);
    }
    at += (size_t)snprintf(source + at, 20000 - at, "[");
    for (int i = 0; i < 60; i++) {
        at += (size_t)snprintf(source + at, 20000 - at, "optional.of({'a': [v%d]})%s", i,
                               i < 59 ? ", " : "]");
    }
    for (int i = 0; i < 60; i++) {
        source[at++] = ')';
    }
    source[at] = '\0';
    checked_init(&c);
    st = check(&c, source);
    assert_true(st == SHARDY_OK || st == SHARDY_LIMIT);
    sfi_cel_arena_clear(&c.arena);
    sfi_free(source);
}

/* Each entry looks up the one before it: no walk over all of them. */
static void large_blocks_are_quick(void **state)
{
    enum { ENTRIES = 5000, SIZE = ENTRIES * 20 + 100 };
    struct checked c;
    char *source = sfi_malloc(SIZE);
    (void)state;
    assert_non_null(source);
    size_t at = (size_t)snprintf(source, SIZE, "cel.block([1");
    for (int i = 0; i < ENTRIES; i++) {
        at += (size_t)snprintf(source + at, SIZE - at, ",cel.index(%d)", i);
    }
    (void)snprintf(source + at, SIZE - at, "], cel.index(%d))", ENTRIES);
    checked_init(&c);
    assert_int_equal(check(&c, source), SHARDY_OK);
    assert_int_equal(c.ast.root->type->kind, SFI_CEL_TYPE_INT);
    assert_int_equal(c.ast.root->block.body->index, ENTRIES);
    sfi_cel_arena_clear(&c.arena);
    sfi_free(source);
}

/* Unknown types of 30,000 empty lists: chains of them would use up the checker's steps. */
static void many_unknowns_are_quick(void **state)
{
    enum { LISTS = 30000, SIZE = LISTS * 3 + 3 };
    struct checked c;
    char text[SFI_CEL_TYPE_TEXT];
    char *source = sfi_malloc(SIZE);
    (void)state;
    assert_non_null(source);
    for (int i = 0; i < LISTS; i++) {
        memcpy(source + i * 3, i == 0 ? "[[]" : ",[]", 3);
    }
    memcpy(source + (size_t)LISTS * 3, "]", 2);
    checked_init(&c);
    if (check(&c, source) != SHARDY_OK) {
        fail_msg("%s", c.err.message);
    }
    sfi_cel_type_text(c.ast.root->type, text);
    assert_string_equal(text, "list(list(dyn))");
    sfi_cel_arena_clear(&c.arena);
    sfi_free(source);
}

static void fails_without_memory(void **state)
{
    static const char source[] =
        "attrs.map(k, [k, any][0]).exists(x, x == 'a' || optional.of(x).orValue(1) == any)";
    size_t limit = 3000;
    shardy_status st = SHARDY_LIMIT;
    (void)state;
    for (; st == SHARDY_LIMIT && limit < 1 << 20; limit += 200) {
        struct checked c;
        checked_init(&c);
        struct sfi_cel_arena arena;
        sfi_cel_arena_init(&arena, limit);
        st = sfi_cel_parse(&arena, source, sizeof source - 1, 0, &c.ast, &c.err);
        if (st == SHARDY_OK) {
            st = sfi_cel_check(&c.ast, &c.env, &c.err);
        }
        assert_true(st == SHARDY_OK || st == SHARDY_LIMIT);
        sfi_cel_arena_clear(&arena);
        sfi_cel_arena_clear(&c.arena);
    }
    assert_int_equal(st, SHARDY_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deduces_types),
        cmocka_unit_test(explains_what_it_refuses),
        cmocka_unit_test(resolves_in_containers),
        cmocka_unit_test(finds_each_of_many_variables),
        cmocka_unit_test(keeps_possible_overloads),
        cmocka_unit_test(unchecked_expressions_have_no_types),
        cmocka_unit_test(gives_every_scope_its_slots),
        cmocka_unit_test(bounds_types),
        cmocka_unit_test(large_blocks_are_quick),
        cmocka_unit_test(many_unknowns_are_quick),
        cmocka_unit_test(fails_without_memory),
    };
    return cmocka_run_group_tests_name("cel_check", tests, NULL, NULL);
}
