/*
 * test_cel_program.c - compiled expressions: results over blocks and rows, what is read and what is
 * not, messages of errors, and the limits that end hostile expressions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "cel/program.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sfi_cel_variable variables[] = {
    {"i", &sfi_cel_type_int},
    {"s", &sfi_cel_type_string},
    {"d", &sfi_cel_type_double},
};
static const struct sfi_cel_env env = {.variables = variables, .variable_count = 3};

/* Three rows; the second has no i. */
static const int64_t i_values[] = {7, 0, -3};
static const uint8_t i_validity[] = {0x05};
static const int32_t s_offsets[] = {0, 2, 2, 6};
static const double d_values[] = {0.5, 1.5, -0.0};
static const struct sfi_cel_column columns[] = {
    {.layout = SFI_CEL_LAYOUT_I64, .values = i_values, .validity = i_validity},
    {.layout = SFI_CEL_LAYOUT_VAR32, .values = "euapac", .offsets = s_offsets, .is_text = true},
    {.layout = SFI_CEL_LAYOUT_F64, .values = d_values},
};

static struct sfi_cel_program *compile(const char *source)
{
    struct sfi_cel_program *program = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    if (sfi_cel_program_new(&env, source, strlen(source), 0, &program, &err) != SHARDY_OK) {
        fail_msg("%s: %s", source, err.message);
    }
    return program;
}

/* The results of the three rows as text, errors as their reports, separated by " | ". */
static void evaluate(const char *source, char *out, size_t size)
{
    struct sfi_cel_program *program = compile(source);
    struct sfi_cel_run *run = NULL;
    struct sfi_cel_block block;
    shardy_error err = SHARDY_ERROR_INIT;
    size_t used = 0;
    size_t count = 3;
    assert_int_equal(sfi_cel_run_new(program, SFI_CEL_BLOCK_ROWS, &run, &err), SHARDY_OK);
    assert_int_equal(sfi_cel_run_block(run, columns, 0, &count, &block, &err), SHARDY_OK);
    assert_int_equal(count, 3);
    for (size_t row = 0; row < 3; row++) {
        struct sfi_cel_value value = sfi_cel_block_value(&block, row);
        char text[1100];
        if (sfi_cel_is_error(value)) {
            assert_int_not_equal(sfi_cel_report(program, value.error, &err), SHARDY_OK);
            (void)snprintf(text, sizeof text, "%s", err.message);
        } else {
            sfi_cel_value_text(value, text, sizeof text);
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", row > 0 ? " | " : "", text);
        assert_true(used < size);
    }
    sfi_cel_run_free(run);
    sfi_cel_program_free(program);
}

static void rows_have_results_and_errors(void **state)
{
#define NULL_I "INVALID_ARGUMENT: the column is null in `i` "
    static const struct {
        const char *source;
        const char *expected;
    } cases[] = {
        {"1 + 2", "3 | 3 | 3"},
        {"s + '-' + string(d)", "\"eu-0.5\" | \"-1.5\" | \"apac--0\""},
        {"i % 4", "3 | " NULL_I "(1:1) | -3"},
        {"s == 'eu' ? i : 1", "7 | 1 | 1"},
        {"s == '' ? 0 : i", "7 | 0 | -3"},
        {"i > 0 || s == ''", "true | true | false"},
        {"s == '' || i > 0", "true | true | false"},
        {"i > 0 && s != ''", "true | false | false"},
        {"10 / (i - 7)",
         "INVALID_ARGUMENT: divide by zero in `10 / (i - 7)` (1:4) | " NULL_I "(1:7) | -1"},
        {"[i, 1].exists(x, x == 1)", "true | " NULL_I "(1:2) | true"},
        {"has({'a': 1}.a) ? size(s) : 0", "2 | 0 | 4"},
        {"int(d) + int('12')", "12 | 13 | 12"},
        {"s in ['eu', 'apac', 'us'] ? 0 : 1", "0 | 1 | 0"},
        {"uint(i) % 4u", "3u | " NULL_I "(1:6) | OUT_OF_RANGE: "},
    };
    char got[4000];
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        evaluate(cases[c].source, got, sizeof got);
        /* The last case's message is of the conversion's own. */
        if (strncmp(got, cases[c].expected, strlen(cases[c].expected)) != 0) {
            fail_msg("%s\n  expected %s\n  got      %s", cases[c].source, cases[c].expected, got);
        }
    }
}

static void only_what_is_read_counts(void **state)
{
    struct sfi_cel_program *program = compile("i + (true ? 1 : size(s))");
    (void)state;
    assert_true(sfi_cel_program_reads(program, 0));
    assert_false(sfi_cel_program_reads(program, 2));
    assert_true(sfi_cel_program_is_portable(program));
    sfi_cel_program_free(program);
    static const char *const extensions[] = {
        "s.split(',').size()",  "math.abs(i)",        "cel.bind(x, i, x + x)", "{'a': i}[?'a']",
        "[1].all(k, v, v > k)", "base64.encode(b'')", "ip('::1').family()",    "[?optional.of(i)]"};
    for (size_t c = 0; c < sizeof extensions / sizeof extensions[0]; c++) {
        program = compile(extensions[c]);
        if (sfi_cel_program_is_portable(program)) {
            fail_msg("the original has no %s", extensions[c]);
        }
        sfi_cel_program_free(program);
    }
}

/* Memory of one block: many rows of 100 kB each, evaluated at once. */
static void every_row_of_a_large_block_is_right(void **state)
{
    enum { ROWS = 1000, SIZE = 100000 };
    struct sfi_cel_program *program = compile("(s + s).reverse() + string(i)");
    struct sfi_cel_run *run = NULL;
    struct sfi_cel_block block;
    shardy_error err = SHARDY_ERROR_INIT;
    char *text = sfi_malloc(SIZE);
    int8_t *indices = sfi_calloc(ROWS, 1);
    int64_t *numbers = sfi_calloc(ROWS, sizeof *numbers);
    const int32_t offsets[] = {0, SIZE};
    (void)state;
    assert_true(text != NULL && indices != NULL && numbers != NULL);
    memset(text, 'y', SIZE);
    for (int r = 0; r < ROWS; r++) {
        numbers[r] = r;
    }
    const struct sfi_cel_column word = {
        .layout = SFI_CEL_LAYOUT_VAR32, .values = text, .offsets = offsets, .is_text = true};
    const struct sfi_cel_column large[] = {
        {.layout = SFI_CEL_LAYOUT_I64, .values = numbers},
        {.layout = SFI_CEL_LAYOUT_I8, .values = indices, .dictionary = &word},
        columns[2],
    };
    assert_int_equal(sfi_cel_run_new(program, SFI_CEL_BLOCK_ROWS, &run, &err), SHARDY_OK);
    size_t begun = 0;
    size_t end = 0;
    for (size_t r = 0; r < ROWS; r++) {
        if (r == end) {
            size_t count = ROWS - r;
            assert_int_equal(sfi_cel_run_block(run, large, r, &count, &block, &err), SHARDY_OK);
            begun = r;
            end = r + count;
        }
        struct sfi_cel_value value = sfi_cel_block_value(&block, r - begun);
        char number[24];
        int digits = snprintf(number, sizeof number, "%zu", r);
        assert_int_equal(value.kind, SFI_CEL_STRING);
        assert_int_equal(value.size, 2 * SIZE + digits);
        assert_memory_equal(value.text + 2 * SIZE, number, (size_t)digits);
    }
    assert_true(end - begun < ROWS);
    sfi_cel_run_free(run);
    sfi_free(text);
    sfi_free(indices);
    sfi_free(numbers);
    sfi_cel_program_free(program);
}

/* Expressions made to take for ever, or all memory: each ends in an error of its row. */
static void hostile_expressions_end(void **state)
{
    static const char *const sources[] = {
        /* 10^9 steps */
        "[0,1,2,3,4,5,6,7,8,9].map(a, [0,1,2,3,4,5,6,7,8,9].map(b, [0,1,2,3,4,5,6,7,8,9].map(c, "
        "[0,1,2,3,4,5,6,7,8,9].map(d1, [0,1,2,3,4,5,6,7,8,9].map(e, [0,1,2,3,4,5,6,7,8,9].map(f, "
        "[0,1,2,3,4,5,6,7,8,9].map(g, [0,1,2,3,4,5,6,7,8,9].map(h, [0,1,2,3,4,5,6,7,8,9].map(k, "
        "a+b+c+d1+e+f+g+h+k+i)))))))))",
        /* 2^40 bytes */
        "cel.bind(a, s+s+s+s+'0123456789abcdef', cel.bind(b, a+a+a+a+a+a+a+a, "
        "cel.bind(c, b+b+b+b+b+b+b+b, cel.bind(d1, c+c+c+c+c+c+c+c, cel.bind(e, "
        "d1+d1+d1+d1+d1+d1+d1+d1, "
        "cel.bind(f, e+e+e+e+e+e+e+e, cel.bind(g, f+f+f+f+f+f+f+f, cel.bind(h, g+g+g+g+g+g+g+g, "
        "h+h+h+h+h+h+h+h))))))))",
        /* each character becomes many, again and again */
        "('aaaaaaaaaaaaaaaaaaaa'+s).replace('a','bbbbbbbbbbbbbbbbbbbb').replace('b','"
        "cccccccccccccccccccc')"
        ".replace('c','dddddddddddddddddddd').replace('d','eeeeeeeeeeeeeeeeeeee').replace('e','"
        "ffffffffff')",
        /* a list that doubles */
        "cel.bind(a, [i,i,i,i], cel.bind(b, a+a+a+a, cel.bind(c, b+b+b+b, cel.bind(d1, c+c+c+c, "
        "cel.bind(e, d1+d1+d1+d1, cel.bind(f, e+e+e+e, cel.bind(g, f+f+f+f, cel.bind(h, g+g+g+g, "
        "cel.bind(k, h+h+h+h, cel.bind(l, k+k+k+k, cel.bind(m, l+l+l+l, m.exists(x, x == "
        "m.size()))))))))))))",
    };
    (void)state;
    for (size_t c = 0; c < sizeof sources / sizeof sources[0]; c++) {
        struct sfi_cel_program *program = compile(sources[c]);
        struct sfi_cel_run *run = NULL;
        shardy_error err = SHARDY_ERROR_INIT;
        const struct sfi_cel_value row[] = {sfi_cel_int(5), sfi_cel_string("eu", 2),
                                            sfi_cel_double(1)};
        assert_int_equal(sfi_cel_run_new(program, 1, &run, &err), SHARDY_OK);
        struct sfi_cel_value value = sfi_cel_run_row(run, row);
        if (!sfi_cel_is_error(value) || value.error->code != SFI_CEL_OVER_LIMIT) {
            fail_msg("no limit stopped %s", sources[c]);
        }
        assert_int_equal(sfi_cel_report(program, value.error, &err), SHARDY_LIMIT);
        /* The run is as good as new. */
        value = sfi_cel_run_row(run, row);
        assert_true(sfi_cel_is_error(value));
        sfi_cel_run_free(run);
        sfi_cel_program_free(program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_results_and_errors),
        cmocka_unit_test(only_what_is_read_counts),
        cmocka_unit_test(every_row_of_a_large_block_is_right),
        cmocka_unit_test(hostile_expressions_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
