/*
 * test_cel_mistakes.c - what is said, and pointed at, when an expression is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_tree.h"
#include "store_sample.h"

struct row {
    const char *source;
    const char *message;
};

/* Messages up to the excerpt: "line:column: text". */
static const struct row mistakes[] = {
    {"", "1:1: expected an expression, found the end of the expression"},
    {"// nothing\n", "2:1: expected an expression, found the end of the expression"},
    {"1 +", "1:4: expected an expression after '+', found the end of the expression"},
    {"f(1,)", "1:5: expected an expression after ',', found ')'"},
    {"[,]", "1:2: expected an expression after '[', found ','"},
    {")", "1:1: expected an expression, found ')'"},
    {"in", "1:1: expected an expression, found 'in'"},
    {"1 2", "1:3: expected an operator or the end of the expression, found number 2"},
    {"a 'b'", "1:3: expected an operator or the end of the expression, found string 'b'"},
    {"a)", "1:2: expected an operator or the end of the expression, found ')'"},
    {"(a)(b)", "1:4: expected an operator or the end of the expression, found '('"},
    {"(a){}", "1:4: expected an operator or the end of the expression, found '{'"},
    {"a and b", "1:3: expected an operator or the end of the expression, found 'and': write && for "
                "'and'"},
    {"a OR b", "1:3: expected an operator or the end of the expression, found 'OR': write || for "
               "'or'"},
    {"(a or b)", "1:4: expected ')' to close '(' opened at 1:1, found 'or': write || for 'or'"},
    {"a not in b", "1:3: expected an operator or the end of the expression, found 'not': write "
                   "!(x in list) for 'x not in list'"},
    {"1 + (2 * [3])]", "1:14: expected an operator or the end of the expression, found ']'"},
    {"f(((1 + 2), 3]", "1:11: expected ')' to close '(' opened at 1:3, found ','"},
    {"foo(a + b]", "1:10: expected ',' or ')' to close '(' opened at 1:4, found ']'"},
    {"\n [1,\n 2", "3:3: expected ',' or ']' to close '[' opened at 2:2, found the end of the "
                   "expression"},
    {"{1: 2", "1:6: expected ',' or '}' to close '{' opened at 1:1, found the end of the "
              "expression"},
    {"{1, 2}", "1:3: expected ':' after the key of a map entry, found ','"},
    {"T{1: 2}", "1:3: expected the name of a message field, found number 1"},
    {"T{a 2}", "1:5: expected ':' after the name of a message field, found number 2"},
    {"T{true: 2}", "1:3: expected the name of a message field, found 'true'"},
    {"a[1", "1:4: expected ']' to close '[' opened at 1:2, found the end of the expression"},
    {"a[1, 2]", "1:4: expected ']' to close '[' opened at 1:2, found ','"},
    {"a.1", "1:2: expected an operator or the end of the expression, found number .1"},
    {"a.", "1:3: expected a field or method name after '.', found the end of the expression"},
    {"a.in", "1:3: expected a field or method name after '.', found 'in'"},
    {"a.?1", "1:4: expected a field name after '.?', found number 1"},
    {"a.?b(1)", "1:5: '.?' selects a field, it cannot call a method"},
    {"a.`b`(1)", "1:6: a quoted name is a field, it cannot be called"},
    {"`a`", "1:1: expected an expression, found '`a`'"},
    {".1a", "1:1: '.1a' is neither a number nor a name: put a blank or an operator between them"},
    {". 'a'", "1:3: expected a name after '.', found string 'a'"},
    {"while", "1:1: 'while' is a reserved word and cannot be a name: it can only follow a dot"},
    {"1 + if(a)", "1:5: 'if' is a reserved word and cannot be a name: it can only follow a dot"},
    {"!-a", "1:2: '-' cannot follow '!': write !(-x)"},
    {"-!a", "1:2: '!' cannot follow '-': write -(!x)"},
    {"a ? b", "1:6: expected ':' of the conditional '?' at 1:3, found the end of the expression"},
    {"a ? b ? c : d : e", "1:7: expected ':' of the conditional '?' at 1:3, found '?': put a "
                          "conditional inside a conditional in parentheses"},
    {"a ? : b", "1:5: expected an expression after '?', found ':'"},
    {"a = b", "1:3: unexpected character '=': write == to compare"},
    {"a & b", "1:3: unexpected character '&': write && for 'and'"},
    {"a | b", "1:3: unexpected character '|': write || for 'or'"},
    {"a;", "1:2: unexpected character ';': an expression is no statement"},
    {"a # b", "1:3: unexpected character '#': a comment starts with //"},
    {"a @ b", "1:3: unexpected character '@'"},
    {"\xE2\x80\x9C"
     "a",
     "1:1: unexpected character '\xE2\x80\x9C' (U+201C): quote strings with \" "
     "or '"},
    {"a\xC2\xA0+ 1", "1:2: unexpected character '\xC2\xA0' (U+00A0): a no-break space, write an "
                     "ordinary one"},
    {"a\x01", "1:2: unexpected character U+0001"},
    {"a\xE2\x80\x8B", "1:2: unexpected character U+200B"},
    {"'\xC3\xA9\xC3\xA9' $", "1:6: unexpected character '$'"},
    {"'\xC3\xA9\xFF'", "1:3: byte 0xFF is not UTF-8"},
    {"'\xED\xA0\x80'", "1:2: byte 0xED is not UTF-8"},
    {"12abc", "1:1: '12abc' is neither a number nor a name: put a blank or an operator between "
              "them"},
    {"0x", "1:1: '0x' is neither a number nor a name: put a blank or an operator between them"},
    {"1.5u", "1:1: '1.5u' is neither a number nor a name: put a blank or an operator between them"},
    {"9223372036854775808", "1:1: number 9223372036854775808 is out of the range of int "
                            "(-9223372036854775808 to 9223372036854775807): larger ones are uint, "
                            "written with a u"},
    {"-9223372036854775809", "1:2: the negative of number 9223372036854775809 is out of the range "
                             "of int (-9223372036854775808 to 9223372036854775807)"},
    {"99999999999999999999", "1:1: number 99999999999999999999 is out of the range of int "
                             "(-9223372036854775808 to 9223372036854775807)"},
    {"18446744073709551616u", "1:1: number 18446744073709551616u is out of the range of uint (0 to "
                              "18446744073709551615)"},
    {"1e999", "1:1: number 1e999 is out of the range of double (1.8e308)"},
    {"'abc", "1:1: string is not closed: no ' before the end of the expression"},
    {"'abc\\'", "1:1: string is not closed: no ' before the end of the expression"},
    {"x + \"abc\ndef\"", "1:5: string is not closed: no \" before the end of the line (write \\n "
                         "for a line end, or use three quotes)"},
    {"'''abc''", "1:1: string is not closed: no ''' before the end of the expression"},
    {"rb'x'", "1:1: 'rb' is not a prefix of string literals: those are r (raw), b (bytes) and br"},
    {"'a\\q'", "1:3: invalid escape \\q: write \\\\ for a backslash, or put r before the string"},
    {"'\\x4'", "1:2: invalid escape \\x: two hexadecimal digits must follow"},
    {"'\\u12g4'", "1:2: invalid escape \\u: four hexadecimal digits must follow"},
    {"'\\U0001'", "1:2: invalid escape \\U: eight hexadecimal digits must follow"},
    {"'\\ud800'", "1:2: invalid escape \\u: not a code point (0 to 10FFFF, without the surrogates "
                  "D800 to DFFF)"},
    {"'\\U00110000'", "1:2: invalid escape \\U: not a code point (0 to 10FFFF, without the "
                      "surrogates D800 to DFFF)"},
    {"'\\400'", "1:2: invalid escape \\4: write three octal digits, 000 to 377"},
    {"'\\08'", "1:2: invalid escape \\0: write three octal digits, 000 to 377"},
    {"b'\\u0041'", "1:3: invalid escape \\u: bytes have no code points, write \\xHH"},
    {"'''\\\n'''", "1:4: invalid escape: write \\\\ for a backslash, or put r before the string"},
    {"a.`b", "1:5: quoted field name is not closed: no ` before the end of the expression"},
    {"a.`b*`", "1:5: a quoted field name holds letters, digits and _ . - / and blanks: use "
               "[\"...\"] for others"},
    {"a.``", "1:3: quoted field name is empty"},
    {"has(a)", "1:5: has() asks for a field: its argument must end in a selection, as in has(a.b)"},
    {"has(a.?b)", "1:5: has() asks for a field: its argument must end in a selection, as in "
                  "has(a.b)"},
    {"has(a[b])", "1:5: has() asks for a field: its argument must end in a selection, as in "
                  "has(a.b); write key in map for an index"},
    {"has(has(a.b))", "1:11: has() asks for a field: its argument must end in a selection, as in "
                      "has(a.b)"},
    {"a.all(b.c, p)", "1:7: this argument of all() names the variable: it must be a simple "
                      "identifier"},
    {"a.all(.b, p)", "1:8: this argument of all() names the variable: it must be a simple "
                     "identifier"},
    {"a.map(1, p)", "1:7: this argument of map() names the variable: it must be a simple "
                    "identifier"},
    {"a.map(cel.index(0), p)", "1:7: this argument of map() names the variable: it must be a "
                               "simple identifier"},
    {"a.exists(i, 'v', p)", "1:13: this argument of exists() names the variable: it must be a "
                            "simple identifier"},
    {"a.exists(i, i, p)", "1:13: the two variables of exists() need different names"},
    {"a.optMap(f(), p)", "1:10: this argument of optMap() names the variable: it must be a simple "
                         "identifier"},
    {"cel.bind(a.b, 1, 2)", "1:10: this argument of bind() names the variable: it must be a simple "
                            "identifier"},
    {"cel.block(1, 2)", "1:11: the first argument of cel.block() must be a list of expressions in "
                        "brackets"},
    {"cel.block([?a], 2)", "1:13: an entry of cel.block() cannot be optional"},
    {"cel.index(-1)", "1:11: this argument of cel.index() must be a number literal, 0 or more"},
    {"cel.iterVar(0, a)", "1:16: this argument of cel.iterVar() must be a number literal, 0 or "
                          "more"},
    {"math.least()", "1:6: math.least() needs at least one argument"},
};

static void points_at_mistakes(void **state)
{
    struct sfi_cel_arena arena;
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        struct sfi_cel_ast ast;
        shardy_error error = SHARDY_ERROR_INIT;
        const char *source = mistakes[i].source;
        assert_int_equal(sfi_cel_parse(&arena, source, strlen(source), 0, &ast, NULL),
                         SHARDY_CONFIG);
        assert_int_equal(sfi_cel_parse(&arena, source, strlen(source), 0, &ast, &error),
                         SHARDY_CONFIG);
        assert_null(ast.root);
        char *end = strstr(error.message, "\n | ");
        assert_non_null(end);
        *end = '\0';
        assert_string_equal(error.message, mistakes[i].message);
        sfi_cel_arena_reset(&arena);
    }
    sfi_cel_arena_clear(&arena);
}

/* The line and a caret under the place; tabs stay, what a terminal obeys does not. */
static void shows_the_line(void **state)
{
    char *wide = repeat("", "\xC3\xA9", "'", 100);
    static const struct row rows[] = {
        {"a +\n  b c\nd", "\n |   b c\n | ....^"},
        {"a b\r\n", "\n | a b\n | ..^"},
        {"\ta\t b", "\n | \ta\t b\n | \t.\t.^"},
        {"'\xC3\xA9' b", "\n | '\xC3\xA9' b\n | ....^"},
        {"'\x1B[31m' b", "\n | '?[31m' b\n | ........^"},
        {"'\xE2\x80\xAE' b", "\n | '?' b\n | ....^"},
        {"a +", "\n | a +\n | ...^"},
        {"a +\n", "\n | \n | ^"},
        {"'\xFF'", "\n | '?'\n | .^"},
    };
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    shardy_error error = SHARDY_ERROR_INIT;
    (void)state;
    sfi_cel_arena_init(&arena, SFI_CEL_COMPILE_BYTES);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(
            sfi_cel_parse(&arena, rows[i].source, strlen(rows[i].source), 0, &ast, &error),
            SHARDY_CONFIG);
        assert_string_equal(strchr(error.message, '\n'), rows[i].message);
    }
    /* 101 characters, the place in the middle: cut at both ends. */
    char *source = repeat("'", "\xC3\xA9", "' $ 1234567890123456789012345678901234567890", 100);
    assert_int_equal(sfi_cel_parse(&arena, source, strlen(source), 0, &ast, &error), SHARDY_CONFIG);
    assert_memory_equal(error.message, "1:104: ", 7);
    char *shown = repeat("\n | ...", "\xC3\xA9",
                         "' $ 1234567890123456789012...\n | "
                         ".................................................."
                         ".........^",
                         54);
    assert_string_equal(strchr(error.message, '\n'), shown);
    free(shown);
    free(source);
    free(wide);
    sfi_cel_arena_clear(&arena);
}

static void locates(void **state)
{
    static const char source[] = "a\n\xC3\xA9x\n\nb";
    static const struct {
        uint32_t position;
        uint32_t line;
        uint32_t column;
    } rows[] = {{0, 1, 1}, {1, 1, 2}, {2, 2, 1}, {3, 2, 1}, {4, 2, 2},
                {5, 2, 3}, {6, 3, 1}, {7, 4, 1}, {8, 4, 2}, {999, 4, 2}};
    struct sfi_cel_ast ast = {.source = source, .source_size = sizeof source - 1};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint32_t line;
        uint32_t column;
        sfi_cel_locate(&ast, rows[i].position, &line, &column);
        assert_int_equal(line, rows[i].line);
        assert_int_equal(column, rows[i].column);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_at_mistakes),
        cmocka_unit_test(shows_the_line),
        cmocka_unit_test(locates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
