/*
 * test_credentials_process.c - commands become words without a shell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"
#include "base/limits.h"

static void splits_commands(void **state)
{
    static const struct {
        const char *command;
        const char *words[5]; /* none: refused */
    } cases[] = {
        {"a", {"a"}},
        {"  a\tb  c ", {"a", "b", "c"}},
        {"'a b' \"c d\"", {"a b", "c d"}},
        {"a\\ b \"c\\\"d\\\\e\\f\" 'g\\h'", {"a b", "c\"d\\e\\f", "g\\h"}},
        {"a'b'\"c\"d '' x=\"y z\"", {"abcd", "", "x=y z"}},
        {"$HOME `x` ; | >y", {"$HOME", "`x`", ";", "|", ">y"}},
        {"a\\", {"a\\"}},
        {"", {NULL}},
        {"  ", {NULL}},
        {"a 'b", {NULL}},
        {"a \"b\\\"", {NULL}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char **words;
        size_t count;
        shardy_status st = sfi_process_split(cases[i].command, &words, &count, NULL);
        assert_int_equal(st, cases[i].words[0] ? SHARDY_OK : SHARDY_CONFIG);
        for (size_t w = 0; st == SHARDY_OK && w < count; w++) {
            assert_string_equal(words[w], cases[i].words[w]);
        }
        if (st == SHARDY_OK) {
            assert_null(words[count]);
            assert_true(count == COUNT_OF(cases[i].words) || !cases[i].words[count]);
            sfi_secret_free(words);
        }
    }
}

static void splits_long_commands(void **state)
{
    char many[2 * SFI_AWS_PROCESS_ARGS + 3];
    char **words;
    size_t count;
    (void)state;
    for (size_t i = 0; i < SFI_AWS_PROCESS_ARGS + 1; i++) {
        memcpy(many + 2 * i, "a ", 3);
    }
    assert_int_equal(sfi_process_split(many, &words, &count, NULL), SHARDY_CONFIG);
    many[2 * SFI_AWS_PROCESS_ARGS] = '\0';
    assert_int_equal(sfi_process_split(many, &words, &count, NULL), SHARDY_OK);
    assert_int_equal(count, SFI_AWS_PROCESS_ARGS);
    sfi_secret_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_commands),
        cmocka_unit_test(splits_long_commands),
    };
    return cmocka_run_group_tests(tests, set_up_home, tear_down);
}
