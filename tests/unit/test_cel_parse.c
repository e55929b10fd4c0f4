/*
 * test_cel_parse.c - source text to trees: literals, precedence, macros, optional syntax,
 * limits, and the specification's own expressions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_tree.h"

#include <jansson.h>

#include "store_sample.h"

struct row {
    const char *source;
    const char *tree;
};

static void check_rows(const struct row *rows, size_t count, unsigned flags)
{
    struct sfi_cel_arena arena;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < count; i++) {
        struct sfi_cel_ast ast;
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_status st =
            sfi_cel_parse(&arena, rows[i].source, strlen(rows[i].source), flags, &ast, &error);
        if (st != SHARDY_OK) {
            print_message("%s: %s\n", rows[i].source, error.message);
        }
        assert_int_equal(st, SHARDY_OK);
        char *tree = tree_text(ast.root);
        assert_string_equal(tree, rows[i].tree);
        free(tree);
        sfi_cel_arena_reset(&arena);
    }
    sfi_cel_arena_clear(&arena);
}

static void literals(void **state)
{
    static const struct row rows[] = {
        {"null", "null"},
        {"true", "true"},
        {"false", "false"},
        {"0", "0"},
        {"007", "7"},
        {"-1", "-1"},
        {"- 1", "-1"},
        {"0x1F", "31"},
        {"-0x1f", "-31"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-0x8000000000000000", "-9223372036854775808"},
        {"0u", "0u"},
        {"0xFFu", "255u"},
        {"18446744073709551615U", "18446744073709551615u"},
        {"1.5", "1.5d"},
        {".5", "0.5d"},
        {"-.5", "-0.5d"},
        {"1e3", "1000d"},
        {"1E+3", "1000d"},
        {"1.5e-3", "0.0015d"},
        {"-0.0", "-0d"},
        {"0.1", "0.10000000000000001d"},
        {"123456789.123456789", "123456789.12345679d"},
        {"1.7976931348623157e308", "1.7976931348623157e+308d"},
        {"5e-324", "4.9406564584124654e-324d"},
        {"1e-999", "0d"},
        {"9007199254740993.0", "9007199254740992d"},
        {"''", "<>"},
        {"\"\"", "<>"},
        {"''''''", "<>"},
        {"b\"\"", "b<>"},
        {"'a\"b'", "<a\"b>"},
        {"\"a'b\"", "<a'b>"},
        {"'''a'b''c'''", "<a'b''c>"},
        {"\"\"\"\"a\"\"\"", "<\"a>"},
        {"'''a\nb'''", "<a%0Ab>"},
        {"'''a\r\nb\rc'''", "<a%0Ab%0Ac>"},
        {"r'''a\r\nb'''", "<a%0D%0Ab>"},
        {"'\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\\"\\'\\`'", "<%07%08%0C%0A%0D%09%0B\\?\"'`>"},
        {"'\\x41\\X42\\103'", "<ABC>"},
        {"'\\xff\\377'", "<%C3%BF%C3%BF>"},
        {"b'\\xff\\377'", "b<%FF%FF>"},
        {"'\\u00e9\\U0001F600'", "<%C3%A9%F0%9F%98%80>"},
        {"'\xC3\xA9'", "<%C3%A9>"},
        {"b'\xC3\xA9'", "b<%C3%A9>"},
        {"r'a\\n'", "<a\\n>"},
        {"R\"\\\"", "<\\>"},
        {"br'\\x41'", "b<\\x41>"},
        {"bR'\\'", "b<\\>"},
        {"B'x'", "b<x>"},
        {"'\\000'", "<%00>"},
    };
    (void)state;
    check_rows(rows, COUNT_OF(rows), 0);
}

static void operators(void **state)
{
    static const struct row rows[] = {
        {"a + b * c", "(_+_ a (_*_ b c))"},
        {"(a + b) * c", "(_*_ (_+_ a b) c)"},
        {"a - b - c", "(_-_ (_-_ a b) c)"},
        {"a - (b - c)", "(_-_ a (_-_ b c))"},
        {"a / b % c", "(_%_ (_/_ a b) c)"},
        {"a + b < c - d", "(_<_ (_+_ a b) (_-_ c d))"},
        {"a < b == c", "(_==_ (_<_ a b) c)"},
        {"a <= b", "(_<=_ a b)"},
        {"a > b", "(_>_ a b)"},
        {"a >= b != c", "(_!=_ (_>=_ a b) c)"},
        {"a in b in c", "(@in (@in a b) c)"},
        {"1in[1]", "(@in 1 (list 1))"},
        {"a == b && c", "(_&&_ (_==_ a b) c)"},
        {"a || b && c", "(_||_ a (_&&_ b c))"},
        {"a && b || c", "(_||_ (_&&_ a b) c)"},
        {"a && b && c", "(_&&_ (_&&_ a b) c)"},
        {"a || b || c || d", "(_||_ (_||_ a b) (_||_ c d))"},
        {"a || b || c || d || e", "(_||_ (_||_ (_||_ a b) c) (_||_ d e))"},
        {"a || (b || c)", "(_||_ a (_||_ b c))"},
        {"a ? b : c", "(_?_:_ a b c)"},
        {"a ? b : c ? d : e", "(_?_:_ a b (_?_:_ c d e))"},
        {"(a ? b : c) ? d : e", "(_?_:_ (_?_:_ a b c) d e)"},
        {"a ? (b ? c : d) : e", "(_?_:_ a (_?_:_ b c d) e)"},
        {"a || b ? c || d : e || f", "(_?_:_ (_||_ a b) (_||_ c d) (_||_ e f))"},
        {"a ? .b : .5", "(_?_:_ a .b 0.5d)"},
        {"a?.5:.c", "(_?_:_ a 0.5d .c)"},
        {"!a", "(!_ a)"},
        {"!!a", "(!_ (!_ a))"},
        {"-a", "(-_ a)"},
        {"--a", "(-_ (-_ a))"},
        {"--1", "(-_ -1)"},
        {"-(1)", "(-_ 1)"},
        {"-1u", "(-_ 1u)"},
        {"!-1", "(!_ -1)"},
        {"-(!a)", "(-_ (!_ a))"},
        {"a - -1", "(_-_ a -1)"},
        {"a -1", "(_-_ a 1)"},
        {"a--1", "(_-_ a -1)"},
        {"-a.b", "(-_ (a .b))"},
        {"-1.b()", "(b @-1)"},
        {"-(1.b())", "(-_ (b @1))"},
        {"!a.b()", "(!_ (b @a))"},
        {"-a * b", "(_*_ (-_ a) b)"},
    };
    (void)state;
    check_rows(rows, COUNT_OF(rows), 0);
}

static void members(void **state)
{
    static const struct row rows[] = {
        {"a", "a"},
        {"_a1", "_a1"},
        {".a", ".a"},
        {"a.b.c", "((a .b) .c)"},
        {".a.b", "(.a .b)"},
        {"(a.b).c", "((a .b) .c)"},
        {"a.for.in_", "((a .for) .in_)"},
        {"a.`b-c/d e.f`", "(a .`b-c/d e.f)"},
        {"a.`in`", "(a .`in)"},
        {"a.?b.c", "((a .?b) .c)"},
        {"a.?`b-c`", "(a .?`b-c)"},
        {"a[0]", "(_[_] a 0)"},
        {"a[?0]", "(_[?_] a 0)"},
        {"a[?.b]", "(_[?_] a .b)"},
        {"a[b ? c : d][e]", "(_[_] (_[_] a (_?_:_ b c d)) e)"},
        {"f()", "(f)"},
        {".f(a)", "(.f a)"},
        {"f(a, b ? c : d)", "(f a (_?_:_ b c d))"},
        {"a.f()", "(f @a)"},
        {"a.b.f(c).g(d, e)", "(g @(f @(a .b) c) d e)"},
        {"a.while()", "(while @a)"},
        {"'x'.size()", "(size @<x>)"},
        {"1.f()", "(f @1)"},
        {"1.5.f()", "(f @1.5d)"},
        {"[]", "(list)"},
        {"[1, 2,]", "(list 1 2)"},
        {"[?a, b, ?c]", "(list ?a b ?c)"},
        {"[a][0].b", "((_[_] (list a) 0) .b)"},
        {"{}", "(dict)"},
        {"{1: a, 'b': 2,}", "(dict 1:a <b>:2)"},
        {"{?a: b}", "(dict ?a:b)"},
        {"{a ? b : c: d ? e : f}", "(dict (_?_:_ a b c):(_?_:_ d e f))"},
        {"{'in': 1}.a", "((dict <in>:1) .a)"},
        {"T{}", "(new T)"},
        {".a.T{}", "(new .a.T)"},
        {". a .\n b. T { f : 1 , }.f", "((new .a.b.T f:1) .f)"},
        {"T{f: 1, ?g: 2, `in`: 3, for: 4}", "(new T f:1 ?g:2 in:3 for:4)"},
        {"a // b\n + c // d", "(_+_ a c)"},
        {"\t\f\r\n a", "a"},
    };
    (void)state;
    check_rows(rows, COUNT_OF(rows), 0);
}

static void macros(void **state)
{
    static const struct row rows[] = {
        {"has(a.b)", "(has a .b)"},
        {"has(a.b.c)", "(has (a .b) .c)"},
        {"has(a.?b.c)", "(has (a .?b) .c)"},
        {"has(a.`b-c`)", "(has a .`b-c)"},
        {"has(a.b).c", "((has a .b) .c)"},
        {"has(a, b)", "(has a b)"},
        {".has(a.b)", "(.has (a .b))"},
        {"a.has(b.c)", "(has @a (b .c))"},
        {"a.all(x, p)", "{all x a p}"},
        {"a.all(x)", "(all @a x)"},
        {"all(a, b)", "(all a b)"},
        {"a.exists(x, x > 0)", "{exists x a (_>_ x 0)}"},
        {"a.exists_one(x, p)", "{exists_one x a p}"},
        {"a.existsOne(x, p)", "{exists_one! x a p}"},
        {"a.map(x, t)", "{map x a t}"},
        {"a.map(x, p, t)", "{map x a if p t}"},
        {"a.filter(x, p)", "{filter x a p}"},
        {"a.all(i, v, p)", "{all i,v a p}"},
        {"a.exists(i, v, p)", "{exists i,v a p}"},
        {"a.exists_one(i, v, p)", "{exists_one i,v a p}"},
        {"a.existsOne(i, v, p)", "{exists_one! i,v a p}"},
        {"a.transformList(i, v, t)", "{transform_list i,v a t}"},
        {"a.transformList(i, v, p, t)", "{transform_list i,v a if p t}"},
        {"a.transformMap(k, v, t)", "{transform_map k,v a t}"},
        {"a.transformMap(k, v, p, t)", "{transform_map k,v a if p t}"},
        {"a.transformMapEntry(k, v, {v: k})", "{transform_entry k,v a (dict v:k)}"},
        {"a.transformMapEntry(k, v, p, {v: k})", "{transform_entry k,v a if p (dict v:k)}"},
        {"a.filter(x, x.all(y, y in b)).map(z, z)", "{map z {filter x a {all y x (@in y b)}} z}"},
        {"a.optMap(x, x + 1)", "{optMap x a (_+_ x 1)}"},
        {"a.optFlatMap(x, x.?b)", "{optFlatMap x a (x .?b)}"},
        {"cel.bind(x, 1, x + x)", "{bind x 1 (_+_ x x)}"},
        {"cel.bind(x, 1)", "(bind @cel x 1)"},
        {".cel.bind(x, 1, x)", "(bind @.cel x 1 x)"},
        {"a.bind(x, 1, x)", "(bind @a x 1 x)"},
        {"cel.block([1, cel.index(0)], cel.index(1))", "{block [ 1 @index0] @index1}"},
        {"a.map(cel.iterVar(0, 1), cel.iterVar(0, 1))", "{map @it:0:1 a @it:0:1}"},
        {"cel.accuVar(2, 0x10)", "@ac:2:16"},
        {"math.greatest(a)", "(math.@max a)"},
        {"math.greatest(a, b)", "(math.@max a b)"},
        {"math.greatest(a, b, c)", "(math.@max (list a b c))"},
        {"math.least([a, b])", "(math.@min (list a b))"},
        {"math.least(a, b, c, d)", "(math.@min (list a b c d))"},
        {"x.greatest(a)", "(greatest @x a)"},
    };
    static const struct row plain[] = {
        {"has(a.b)", "(has (a .b))"},
        {"a.all(x, p)", "(all @a x p)"},
        {"a.map(1, 2)", "(map @a 1 2)"},
        {"cel.bind(x, 1, x)", "(bind @cel x 1 x)"},
        {"math.greatest()", "(greatest @math)"},
    };
    (void)state;
    check_rows(rows, COUNT_OF(rows), 0);
    check_rows(plain, COUNT_OF(plain), SFI_CEL_PARSE_NO_MACROS);
}

static void check_limit(const char *source, const char *message)
{
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    shardy_error error = SHARDY_ERROR_INIT;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    shardy_status st = sfi_cel_parse(&arena, source, strlen(source), 0, &ast, &error);
    if (message == NULL) {
        assert_string_equal(error.message, "");
        assert_int_equal(st, SHARDY_OK);
        assert_true(ast.root->height <= SFI_CEL_MAX_DEPTH);
    } else {
        assert_int_equal(st, SHARDY_LIMIT);
        error.message[strlen(message)] = '\0';
        assert_string_equal(error.message, message);
    }
    sfi_cel_arena_clear(&arena);
}

static void bounds_everything(void **state)
{
    static const struct {
        const char *before;
        const char *unit;
        const char *after;
        size_t count;
        const char *message; /* NULL: accepted */
    } rows[] = {
        {"a", " + a", "", 249, NULL},
        {"a", " + a", "", 250, "1:999: the expression is nested more than 250 deep"},
        {"", "-", "a", 249, NULL},
        {"", "!", "a", 30000, "1:29751: the expression is nested more than 250 deep"},
        {"a", ".b", "", 249, NULL},
        {"a", ".b", "", 250, "1:501: the expression is nested more than 250 deep"},
        {"a", "[0]", "", 250, "1:749: the expression is nested more than 250 deep"},
        {"a", ".f()", "", 250, "1:999: the expression is nested more than 250 deep"},
        {"", "(", "", 250, "1:251: the expression is nested more than 250 deep"},
        {"", "[", "", 399999, "the expression is 399999 characters long, at most 100000 are taken"},
        {"", "[", "", 400001, "the expression is 400001 bytes long, at most 400000 are taken"},
        {"", "{1:", "", 30000, "1:749: the expression is nested more than 250 deep"},
        {"", "a?b:", "c", 249, NULL},
        {"", "a?b:", "c", 250, "1:1001: the expression is nested more than 250 deep"},
        {"a", "||a", "", 30000, NULL},
        {"a", "&&a", "", 30000, NULL},
        {"[1", ",1", "]", 40000, NULL},
        {"f(1", ",1", ")", 40000, NULL},
        {"a", "||a", "", 33332, NULL},
        {"[!a", ",!a", "]", 33000, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *source = repeat(rows[i].before, rows[i].unit, rows[i].after, rows[i].count);
        check_limit(source, rows[i].message);
        free(source);
    }
}

/* Every allocation fails once: NO_MEMORY, and nothing leaks. */
static void survives_memory(void **state)
{
    char *source = repeat("[1", ", 'a\\n' + f(b, c.d) + string({1: T{f: 2}})", "]", 60);
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    shardy_status st = SHARDY_NO_MEMORY;
    (void)state;
    install_failing_allocator();
    unsigned long at = 0;
    while (st == SHARDY_NO_MEMORY) {
        fail_allocation(++at);
        sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
        st = sfi_cel_parse(&arena, source, strlen(source), 0, &ast, NULL);
        sfi_cel_arena_clear(&arena);
        assert_true(at < 1000);
    }
    fail_allocation(0);
    shardy_set_allocator(NULL);
    assert_int_equal(st, SHARDY_OK);
    assert_true(at > 5);
    size_t limit;
    for (limit = 64; st != SHARDY_OK || limit == 64; limit *= 2) {
        sfi_cel_arena_init(&arena, limit);
        st = sfi_cel_parse(&arena, source, strlen(source), 0, &ast, NULL);
        assert_true(st == SHARDY_OK || st == SHARDY_LIMIT);
        sfi_cel_arena_clear(&arena);
    }
    assert_true(limit > 65536);
    free(source);
}

/* Every expression of the specification's suite parses, and prints and parses back. */
static void takes_the_conformance_suite(void **state)
{
    const char *fixtures = getenv("SHARDY_FIXTURES");
    char path[4200];
    char *line = NULL;
    size_t capacity = 0;
    size_t count = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/cel/conformance.jsonl",
             fixtures ? fixtures : "../shared/fixtures");
    FILE *file = fopen(path, "r");
    if (!file) {
        print_message("no fixtures at %s\n", path);
        skip();
    }
    struct sfi_cel_arena arena;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    while (getline(&line, &capacity, file) > 0) {
        json_t *test = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *expr = json_object_get(test, "expr");
        struct sfi_cel_ast ast;
        struct sfi_cel_ast again;
        shardy_error error = SHARDY_ERROR_INIT;
        assert_non_null(expr);
        if (sfi_cel_parse(&arena, json_string_value(expr), json_string_length(expr), 0, &ast,
                          &error) != SHARDY_OK) {
            fail_msg("%s: %s", json_string_value(expr), error.message);
        }
        const char *text = sfi_cel_print(&arena, ast.root);
        assert_non_null(text);
        assert_int_equal(sfi_cel_parse(&arena, text, strlen(text), 0, &again, &error), SHARDY_OK);
        assert_true(sfi_cel_ast_equal(ast.root, again.root));
        sfi_cel_arena_reset(&arena);
        json_decref(test);
        count++;
    }
    assert_true(count > 1000);
    sfi_cel_arena_clear(&arena);
    free(line);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals),
        cmocka_unit_test(operators),
        cmocka_unit_test(members),
        cmocka_unit_test(macros),
        cmocka_unit_test(bounds_everything),
        cmocka_unit_test(survives_memory),
        cmocka_unit_test(takes_the_conformance_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
