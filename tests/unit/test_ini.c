/*
 * test_ini.c - the shared files' syntax: sections, settings, remarks, indented lines, and what is
 * refused, with line numbers and without a word of the content.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/ini.h"
#include "aws/secret.h"
#include "base/limits.h"
#include "store_sample.h"

static shardy_status parse(struct sfi_ini *ini, const char *text, size_t size, shardy_error *error)
{
    char *copy = sfi_secret_strndup(text, size);
    assert_non_null(copy);
    return sfi_ini_parse(ini, copy, size, "the file", error);
}

static void finds_settings(void **state)
{
    static const struct {
        const char *text;
        const char *kind;
        const char *name;
        const char *key;
        const char *value; /* NULL: none */
    } rows[] = {
        {"[default]\nregion = eu-west-1\n", "", "default", "region", "eu-west-1"},
        {"[default]\r\nregion=eu-west-1\r\n", "", "default", "region", "eu-west-1"},
        {"\xEF\xBB\xBF[default]\nREGION :x", "", "default", "region", "x"},
        {"[default]\nregion = a\n[default]\nregion = b\n", "", "default", "region", "b"},
        {"[default]\nregion = a\n[other]\nregion = b\n", "", "default", "region", "a"},
        {"[ profile   dev ]\na = 1", "profile ", "dev", "a", "1"},
        {"[profile\tdev]\na = 1", "profile ", "dev", "a", "1"},
        {"[profile \"two words\"]\na = 1", "profile ", "two words", "a", "1"},
        {"[profile 'dev']\na = 1", "profile ", "dev", "a", "1"},
        {"[profile dev] # a [remark]\na = 1", "profile ", "dev", "a", "1"},
        {"[profile dev]\na = 1", "", "dev", "a", NULL},
        {"[profile dev]\na = 1", "profile ", "de", "a", NULL},
        {"[sso-session corp]\nsso_region = r", "sso-session ", "corp", "sso_region", "r"},
        {"# c\n; c\n\n[d]\n# c\na = 1", "", "d", "a", "1"},
        {"[d]\na = 1 # remark\n", "", "d", "a", "1"},
        {"[d]\na = 1\t; remark\n", "", "d", "a", "1"},
        {"[d]\na = 1#2;3\n", "", "d", "a", "1#2;3"},
        {"[d]\na = # remark\n", "", "d", "a", ""},
        {"[d]\ncredential_process = x \"a #b\" ; c\n", "", "d", "credential_process",
         "x \"a #b\" ; c"},
        {"[d]\na = x=y:z\n", "", "d", "a", "x=y:z"},
        {"[d]\ns3 =\n  a = nested\n  b = 2\na = 1\n", "", "d", "a", "1"},
        {"[d]\ns3 =\n  a = nested\n", "", "d", "a", NULL},
        {"[d]\n  a = first line, indented\n", "", "d", "a", "first line, indented"},
        {"[d]", "", "d", "a", NULL},
        {"", "", "d", "a", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sfi_ini ini;
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_status st = parse(&ini, rows[i].text, strlen(rows[i].text), &error);
        if (st != SHARDY_OK) {
            print_message("%s: %s\n", rows[i].text, error.message);
        }
        assert_int_equal(st, SHARDY_OK);
        const char *value = sfi_ini_get(&ini, rows[i].kind, rows[i].name, rows[i].key);
        if (rows[i].value) {
            assert_non_null(value);
            assert_string_equal(value, rows[i].value);
            assert_true(sfi_ini_has(&ini, rows[i].kind, rows[i].name));
        } else {
            assert_null(value);
        }
        sfi_ini_clear(&ini);
    }
}

static void refuses(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"[d]\nCANARY\n", "the file line 2: expected \"name = value\""},
        {"a = CANARY\n", "the file line 1: a setting before the first [section]"},
        {"\n\n[CANARY\n", "the file line 3: expected ']'"},
        {"[]\n", "the file line 1: the section has no name"},
        {"[  ]\n", "the file line 1: the section has no name"},
        {"[d] CANARY\n", "the file line 1: text behind the section"},
        {"[d]\n = CANARY\n", "the file line 2: the setting has no name"},
    };
    struct sfi_ini ini;
    shardy_error error = SHARDY_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(parse(&ini, rows[i].text, strlen(rows[i].text), &error), SHARDY_INPUT);
        assert_non_null(strstr(error.message, rows[i].message));
        assert_null(strstr(error.message, "CANARY"));
        assert_null(ini.text);
    }
    assert_int_equal(parse(&ini, "[d]\na=\0b\n", 9, &error), SHARDY_INPUT);
    assert_string_equal(error.message, "the file contains a NUL byte");
    assert_null(ini.entries);
}

static void bounds_lines(void **state)
{
    struct sfi_ini ini;
    shardy_error error = SHARDY_ERROR_INIT;
    size_t size = SFI_AWS_LINE_MAX + 5;
    char *text = calloc(1, size + 1);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', size);
    memcpy(text, "[d]\na=", 6);
    assert_int_equal(parse(&ini, text, size - 1, &error), SHARDY_OK);
    assert_int_equal(strlen(sfi_ini_get(&ini, "", "d", "a")), SFI_AWS_LINE_MAX - 2);
    sfi_ini_clear(&ini);
    assert_int_equal(parse(&ini, text, size, &error), SHARDY_LIMIT);
    assert_string_equal(error.message, "the file line 2: longer than 65536 bytes");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_settings),
        cmocka_unit_test(refuses),
        cmocka_unit_test(bounds_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
