/*
 * test_cel_print.c - trees as text: parentheses and spelling by example, and for random trees the
 * property that parsing what was printed gives the tree back, which then prints the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_tree.h"
#include "store_sample.h"

static const struct {
    const char *source;
    const char *text; /* NULL: the source */
} printed[] = {
    {"((a))+(b*c)", "a + b * c"},
    {"(a + b) * c", NULL},
    {"a - (b - c)", NULL},
    {"(a - b) - c", "a - b - c"},
    {"a / (b * c)", NULL},
    {"(a < b) == c", "a < b == c"},
    {"a < (b == c)", NULL},
    {"a in b", NULL},
    {"a + (b in c)", NULL},
    {"a || b && c", NULL},
    {"(a || b) && c", NULL},
    {"a || b || c || d || e || f || g", NULL},
    {"(a || b) || c", "a || b || c"},
    {"a || (b || c)", NULL},
    {"a || (b || (c || d))", NULL},
    {"((a || b) || c) || d", "(a || b) || c || d"},
    {"(a || b) || (c || d)", "a || b || c || d"},
    {"a || b || (c || d || e) || f", NULL},
    {"a && b && c && d && (e && f)", NULL},
    {"a ? b : c ? d : e", NULL},
    {"a ? b : (c ? d : e)", "a ? b : c ? d : e"},
    {"(a ? b : c) ? d : e", NULL},
    {"a ? (b ? c : d) : e", NULL},
    {"(a ? b : c) + 1", NULL},
    {"!a", NULL},
    {"! ! a", "!!a"},
    {"!(a && b)", NULL},
    {"!(-a)", NULL},
    {"-(!a)", NULL},
    {"!-1", NULL},
    {"--a", NULL},
    {"-(1)", NULL},
    {"-(-1)", "--1"},
    {"-(1.5)", NULL},
    {"-(1u)", "-1u"},
    {"-(1.f())", NULL},
    {"(-1).f()", "-1.f()"},
    {"-(1[0].b.all(x, p))", NULL},
    {"-(a + 1)", NULL},
    {"(a + b).c", NULL},
    {"(a + b)[0]", NULL},
    {"(-a).f()", NULL},
    {"a[b?c:d]", "a[b ? c : d]"},
    {"a [ ? 0 ] . ? b . `c-d`", "a[?0].?b.`c-d`"},
    {".a.b(.c)", NULL},
    {".f( a ,b )", ".f(a, b)"},
    {"[?a,b,]", "[?a, b]"},
    {"{?'a':b,1:2,}", "{?\"a\": b, 1: 2}"},
    {"{a ? b : c: d}", NULL},
    {". a . T{f:1,?for:2,`in`:3,`a-b`:4,`g`:5}", ".a.T{f: 1, ?for: 2, `in`: 3, `a-b`: 4, g: 5}"},
    {"has( a . b )", "has(a.b)"},
    {"has(a.b).c", NULL},
    {"a.exists_one(x, p)", NULL},
    {"a.existsOne(i, v, p)", NULL},
    {"a.map(x,p,t)", "a.map(x, p, t)"},
    {"a.transformMapEntry(k, v, p, {k: v})", NULL},
    {"(a + b).filter(x, p ? q : r)", NULL},
    {"cel.bind(x, a ? b : c, x)", NULL},
    {"cel.block([a, cel.index(0)], cel.index(1) + 1)", NULL},
    {"cel.block([], a)", NULL},
    {"[1].map(cel.iterVar(0, 1), cel.iterVar(0, 1) + cel.accuVar(2, 3))", NULL},
    {"a.optMap(x, x + 1).optFlatMap(y, y.?b)", NULL},
    {"math.greatest(a)", NULL},
    {"math.greatest(a, b)", NULL},
    {"math.greatest(a, b, c)", NULL},
    {"math.least([a, b])", NULL},
    {"math.least([a, b, c])", "math.least(a, b, c)"},
    {"math.least([a, ?b, c])", NULL},
    {"0x1F", "31"},
    {"-0x8000000000000000", "-9223372036854775808"},
    {"1U", "1u"},
    {"1e0", "1.0"},
    {"-0.0", NULL},
    {"0.1", NULL},
    {"1e300", "1e+300"},
    {"5e-324", NULL},
    {"null == true", NULL},
    {"'a\"b\\\\c\\n\\t\\x00\\x7f\\u00e9\\u202e\\u0085'",
     "\"a\\\"b\\\\c\\n\\t\\x00\\x7f\xC3\xA9\\u202e\\u0085\""},
    {"b'a\\xff\\x00\\n\"'", "b\"a\\xff\\x00\\n\\\"\""},
    {"r'\\d'", "\"\\\\d\""},
};

static void prints(void **state)
{
    struct sfi_cel_arena arena;
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        struct sfi_cel_ast ast;
        shardy_error error = SHARDY_ERROR_INIT;
        if (sfi_cel_parse(&arena, printed[i].source, strlen(printed[i].source), 0, &ast, &error)) {
            fail_msg("%s: %s", printed[i].source, error.message);
        }
        const char *text = sfi_cel_print(&arena, ast.root);
        assert_non_null(text);
        assert_string_equal(text, printed[i].text ? printed[i].text : printed[i].source);
        sfi_cel_arena_reset(&arena);
    }
    sfi_cel_arena_clear(&arena);
}

/* ---- Random trees, only of shapes that the parser makes ---------------------------------------
 */

struct maker {
    struct sfi_cel_arena *arena;
    uint64_t random;
    uint32_t nodes; /* of the tree under construction */
};

static uint32_t below(struct maker *m, uint32_t count)
{
    return (uint32_t)(next_random(&m->random) >> 33) % count;
}

static struct sfi_cel_node *make(struct maker *m, uint32_t depth);

static struct sfi_cel_node *blank(struct maker *m, enum sfi_cel_node_kind kind)
{
    struct sfi_cel_node *node = sfi_cel_alloc(m->arena, sizeof *node);
    assert_non_null(node);
    memset(node, 0, sizeof *node);
    node->kind = kind;
    m->nodes++;
    return node;
}

static struct sfi_cel_name name(const char *text)
{
    struct sfi_cel_name made = {text, (uint32_t)strlen(text)};
    return made;
}

static struct sfi_cel_name any_name(struct maker *m)
{
    static const char *const names[] = {"a", "b", "x", "size", "has", "map", "cel_", "r", "in_"};
    return name(names[below(m, COUNT_OF(names))]);
}

static struct sfi_cel_node **make_nodes(struct maker *m, uint32_t count, uint32_t depth)
{
    struct sfi_cel_node **nodes = sfi_cel_alloc_array(m->arena, count, sizeof *nodes);
    assert_non_null(nodes);
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = make(m, depth);
    }
    return nodes;
}

static struct sfi_cel_value any_text(struct maker *m, bool is_bytes)
{
    static const char *const parts[] = {
        "a", "\"",   "'",  "\\", "\n",   "\r",       "\xC3\xA9", "\xE2\x80\xAE",
        "`", "\x7F", "\t", "?",  "\x01", "\xC2\x85", "{}//",     "\xF0\x9F\x98\x80"};
    uint32_t count = below(m, 5);
    char *text = sfi_cel_alloc(m->arena, 32);
    assert_non_null(text);
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *part = parts[below(m, COUNT_OF(parts))];
        memcpy(text + size, part, strlen(part));
        size += (uint32_t)strlen(part);
        if (is_bytes && below(m, 2)) {
            text[size - 1] = (char)next_random(&m->random);
        }
    }
    return is_bytes ? sfi_cel_bytes(text, size) : sfi_cel_string(text, size);
}

static struct sfi_cel_node *make_constant(struct maker *m)
{
    static const double doubles[] = {0.0, -0.0, 1.0, -1.5, 1e300, 5e-324, 0.1, 123456.0, 1e6};
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_CONST);
    uint64_t bits = next_random(&m->random) >> below(m, 64);
    switch (below(m, 8)) {
    case 0:
        node->constant = sfi_cel_null();
        break;
    case 1:
        node->constant = sfi_cel_bool(below(m, 2));
        break;
    case 2:
        node->constant = sfi_cel_uint(bits);
        break;
    case 3:
        node->constant = sfi_cel_double(doubles[below(m, COUNT_OF(doubles))]);
        break;
    case 4:
        node->constant = any_text(m, false);
        break;
    case 5:
        node->constant = any_text(m, true);
        break;
    default:
        node->constant = sfi_cel_int((int64_t)bits);
        break;
    }
    return node;
}

static struct sfi_cel_node *make_ident(struct maker *m)
{
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_IDENT);
    node->ident.name = below(m, 12) ? any_name(m) : name("@index12");
    node->ident.is_rooted = node->ident.name.text[0] != '@' && below(m, 6) == 0;
    return node;
}

static struct sfi_cel_node *make_operator(struct maker *m, uint32_t depth)
{
    static const struct {
        const char *function;
        uint32_t count;
    } rows[] = {{"_+_", 2},  {"_-_", 2},  {"_*_", 2},   {"_/_", 2},  {"_%_", 2},   {"_==_", 2},
                {"_!=_", 2}, {"_<_", 2},  {"_<=_", 2},  {"_>_", 2},  {"_>=_", 2},  {"@in", 2},
                {"_&&_", 2}, {"_||_", 2}, {"_?_:_", 3}, {"_[_]", 2}, {"_[?_]", 2}, {"!_", 1},
                {"-_", 1},   {"_&&_", 2}, {"_||_", 2}};
    uint32_t row = below(m, COUNT_OF(rows));
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_CALL);
    node->call.function = name(rows[row].function);
    node->call.count = rows[row].count;
    node->call.args = make_nodes(m, rows[row].count, depth);
    return node;
}

static struct sfi_cel_node *make_call(struct maker *m, uint32_t depth)
{
    static const char *const functions[] = {"f", "while", "startsWith", "size"};
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_CALL);
    bool is_method = below(m, 2);
    node->call.function = name(is_method ? functions[below(m, 4)] : "f");
    node->call.target = is_method ? make(m, depth) : NULL;
    node->call.is_rooted = !is_method && below(m, 4) == 0;
    node->call.count = below(m, 4);
    if (below(m, 5) == 0 && !is_method) {
        node->call.function = name(below(m, 2) ? "math.@max" : "math.@min");
        node->call.is_rooted = false;
        node->call.count = 1 + below(m, 2);
    }
    node->call.args = make_nodes(m, node->call.count, depth);
    return node;
}

static struct sfi_cel_element *make_elements(struct maker *m, enum sfi_cel_node_kind kind,
                                             uint32_t count, uint32_t depth)
{
    static const char *const fields[] = {"f", "in", "for", "a-b c/d.e", "true", "nulls"};
    struct sfi_cel_element *elements = sfi_cel_alloc_array(m->arena, count, sizeof *elements);
    assert_non_null(elements);
    for (uint32_t i = 0; i < count; i++) {
        elements[i] = (struct sfi_cel_element){.optional = below(m, 4) == 0};
        if (kind == SFI_CEL_NODE_MAP) {
            elements[i].key = make(m, depth);
        } else if (kind == SFI_CEL_NODE_MESSAGE) {
            elements[i].field = name(fields[below(m, COUNT_OF(fields))]);
        }
        elements[i].value = make(m, depth);
    }
    return elements;
}

static struct sfi_cel_node *make_container(struct maker *m, uint32_t depth)
{
    static const enum sfi_cel_node_kind kinds[] = {SFI_CEL_NODE_LIST, SFI_CEL_NODE_MAP,
                                                   SFI_CEL_NODE_MESSAGE};
    enum sfi_cel_node_kind kind = kinds[below(m, 3)];
    struct sfi_cel_node *node = blank(m, kind);
    uint32_t count = below(m, 5);
    struct sfi_cel_element *elements = make_elements(m, kind, count, depth);
    if (kind == SFI_CEL_NODE_MESSAGE) {
        node->message.name = name(below(m, 2) ? "T" : "google.protobuf.T");
        node->message.is_rooted = below(m, 3) == 0;
        node->message.elements = elements;
        node->message.count = count;
    } else {
        node->list.elements = elements;
        node->list.count = count;
    }
    return node;
}

static struct sfi_cel_node *make_select(struct maker *m, uint32_t depth)
{
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_SELECT);
    node->select.operand = make(m, depth);
    node->select.is_test = below(m, 4) == 0;
    node->select.is_optional = !node->select.is_test && below(m, 4) == 0;
    node->select.is_quoted = below(m, 4) == 0;
    node->select.field = node->select.is_quoted ? name("in a/b-c.d") : any_name(m);
    return node;
}

static struct sfi_cel_node *make_loop(struct maker *m, uint32_t depth)
{
    struct sfi_cel_node *node = blank(m, SFI_CEL_NODE_LOOP);
    enum sfi_cel_loop loop = (enum sfi_cel_loop)below(m, SFI_CEL_LOOP_TRANSFORM_ENTRY + 1);
    bool is_test = loop <= SFI_CEL_LOOP_EXISTS_ONE;
    bool is_double = loop >= SFI_CEL_LOOP_TRANSFORM_LIST || (is_test && below(m, 2));
    bool may_filter = loop >= SFI_CEL_LOOP_TRANSFORM_LIST || loop == SFI_CEL_LOOP_MAP;
    node->loop.loop = loop;
    node->loop.is_camel = loop == SFI_CEL_LOOP_EXISTS_ONE && below(m, 2);
    node->loop.var[0] = below(m, 6) ? name("v") : name("@it:0:17");
    if (is_double) {
        node->loop.var[1] = name("w");
    }
    node->loop.range = make(m, depth);
    node->loop.filter = may_filter && below(m, 2) ? make(m, depth) : NULL;
    node->loop.body = make(m, depth);
    return node;
}

static struct sfi_cel_node *make_scope(struct maker *m, uint32_t depth)
{
    struct sfi_cel_node *node;
    switch (below(m, 3)) {
    case 0:
        node = blank(m, SFI_CEL_NODE_BIND);
        node->bind.var = any_name(m);
        node->bind.init = make(m, depth);
        node->bind.body = make(m, depth);
        break;
    case 1:
        node = blank(m, SFI_CEL_NODE_BLOCK);
        node->block.count = below(m, 3);
        node->block.entries = make_nodes(m, node->block.count, depth);
        node->block.body = make(m, depth);
        break;
    default:
        node = blank(m, SFI_CEL_NODE_OPT_MAP);
        node->opt_map.var = any_name(m);
        node->opt_map.target = make(m, depth);
        node->opt_map.body = make(m, depth);
        node->opt_map.is_flat = below(m, 2);
        break;
    }
    return node;
}

static struct sfi_cel_node *make(struct maker *m, uint32_t depth)
{
    if (depth == 0 || m->nodes > 300) {
        return below(m, 2) ? make_constant(m) : make_ident(m);
    }
    switch (below(m, 12)) {
    case 0:
        return make_constant(m);
    case 1:
        return make_ident(m);
    case 2:
        return make_select(m, depth - 1);
    case 3:
        return make_call(m, depth - 1);
    case 4:
        return make_container(m, depth - 1);
    case 5:
        return make_loop(m, depth - 1);
    case 6:
        return make_scope(m, depth - 1);
    default:
        return make_operator(m, depth - 1);
    }
}

static void parses_back(void **state)
{
    struct sfi_cel_arena arena;
    uint32_t large = 0;
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        struct maker m = {.arena = &arena, .random = seed * UINT64_C(0x9E3779B97F4A7C15)};
        struct sfi_cel_node *root = make(&m, 1 + below(&m, 8));
        struct sfi_cel_ast ast;
        shardy_error error = SHARDY_ERROR_INIT;
        const char *text = sfi_cel_print(&arena, root);
        assert_non_null(text);
        if (sfi_cel_parse(&arena, text, strlen(text), 0, &ast, &error) != SHARDY_OK) {
            fail_msg("seed %ju: %s: %s", (uintmax_t)seed, text, error.message);
        }
        if (!sfi_cel_ast_equal(root, ast.root)) {
            char *wanted = tree_text(root);
            char *got = tree_text(ast.root);
            fail_msg("seed %ju: %s\n%s\n%s", (uintmax_t)seed, text, wanted, got);
        }
        const char *again = sfi_cel_print(&arena, ast.root);
        assert_non_null(again);
        assert_string_equal(again, text);
        large += m.nodes > 20;
        sfi_cel_arena_reset(&arena);
    }
    assert_true(large > 10000);
    sfi_cel_arena_clear(&arena);
}

/* Trees that differ in one thing are not equal. */
static void tells_trees_apart(void **state)
{
    static const char *const sources[] = {
        "a",
        "b",
        ".a",
        "1",
        "1u",
        "1.0",
        "-1",
        "0.0",
        "-0.0",
        "'1'",
        "b'1'",
        "null",
        "true",
        "false",
        "a.b",
        "a.?b",
        "a.`b`",
        "has(a.b)",
        "a.c",
        "f(a)",
        ".f(a)",
        "a.f()",
        "f(a, b)",
        "f(b)",
        "g(a)",
        "[a]",
        "[?a]",
        "[b]",
        "[a, b]",
        "[]",
        "{}",
        "{a: b}",
        "{?a: b}",
        "{a: a}",
        "{b: b}",
        "T{}",
        ".T{}",
        "U{}",
        "T{a: b}",
        "T{b: b}",
        "T{a: a}",
        "T{?a: b}",
        "a + b",
        "a - b",
        "b + a",
        "a.all(x, y)",
        "a.all(y, y)",
        "b.all(x, y)",
        "a.all(x, x)",
        "a.all(x, z, y)",
        "a.exists(x, y)",
        "a.map(x, y)",
        "a.map(x, y, z)",
        "a.existsOne(x, y)",
        "a.exists_one(x, y)",
        "cel.bind(x, a, b)",
        "cel.bind(y, a, b)",
        "cel.bind(x, b, b)",
        "cel.bind(x, a, a)",
        "cel.block([a], b)",
        "cel.block([b], b)",
        "cel.block([a], a)",
        "cel.block([a, a], b)",
        "a.optMap(x, y)",
        "a.optFlatMap(x, y)",
        "b.optMap(x, y)",
        "a.optMap(y, y)",
        "a.optMap(x, x)",
        "a && (b && c)",
        "(a && b) && c",
    };
    struct sfi_cel_arena arena;
    struct sfi_cel_ast asts[COUNT_OF(sources)];
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        assert_int_equal(sfi_cel_parse(&arena, sources[i], strlen(sources[i]), 0, &asts[i], NULL),
                         SHARDY_OK);
        for (size_t j = 0; j <= i; j++) {
            if (sfi_cel_ast_equal(asts[i].root, asts[j].root) != (i == j)) {
                fail_msg("%s and %s", sources[i], sources[j]);
            }
        }
    }
    sfi_cel_arena_clear(&arena);
}

static void reports_memory(void **state)
{
    struct sfi_cel_arena arena;
    struct sfi_cel_arena small;
    struct sfi_cel_ast ast;
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    assert_int_equal(sfi_cel_parse(&arena, "a + b", 5, 0, &ast, NULL), SHARDY_OK);
    sfi_cel_arena_init(&small, 4);
    assert_null(sfi_cel_print(&small, ast.root));
    assert_false(small.no_memory);
    sfi_cel_arena_clear(&small);
    install_failing_allocator();
    for (unsigned long at = 1; at <= 2; at++) {
        sfi_cel_arena_init(&small, 4096);
        fail_allocation(at);
        assert_null(sfi_cel_print(&small, ast.root));
        assert_true(small.no_memory);
        sfi_cel_arena_clear(&small);
    }
    fail_allocation(0);
    shardy_set_allocator(NULL);
    sfi_cel_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints),
        cmocka_unit_test(parses_back),
        cmocka_unit_test(tells_trees_apart),
        cmocka_unit_test(reports_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
