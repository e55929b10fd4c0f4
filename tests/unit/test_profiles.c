/*
 * test_profiles.c - the region, from options, variables and profiles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"

static void region_from(void **state)
{
    static const struct {
        const char *option;
        const char *profile;
        const char *env[4];
        const char *region; /* NULL: refused */
    } cases[] = {
        {"opt-1", NULL, {"S3_REGION=s3-1", "AWS_REGION=aws-1"}, "opt-1"},
        {NULL, NULL, {"S3_REGION=s3-1", "AWS_REGION=aws-1"}, "s3-1"},
        {NULL, NULL, {"AWS_DEFAULT_REGION=def-1", "AWS_REGION=aws-1"}, "aws-1"},
        {NULL, NULL, {"AWS_DEFAULT_REGION=def-1"}, "def-1"},
        {"", NULL, {"AWS_PROFILE=p"}, "profile-1"},
        {NULL, "q", {"AWS_PROFILE=p"}, "creds-1"},
        {NULL, NULL, {"AWS_PROFILE=none"}, ""},
        {NULL, NULL, {NULL}, "default-1"},
        {"a/b", NULL, {NULL}, NULL},
        {"0123456789012345678901234567890123456789012345678901234567890123", NULL, {NULL}, NULL},
        {NULL, NULL, {"AWS_REGION=a b"}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char region[SFI_AWS_REGION_SIZE];
        shardy_error error = SHARDY_ERROR_INIT;
        clean_environment();
        home_file(".aws/config",
                  "[default]\nregion = default-1\n[profile p]\nregion = profile-1\n");
        home_file(".aws/credentials", "[q]\nregion = creds-1\n");
        set_variables(cases[i].env, COUNT_OF(cases[i].env));
        shardy_status st = sfi_aws_region(cases[i].option, cases[i].profile, region, &error);
        assert_int_equal(st, cases[i].region ? SHARDY_OK : SHARDY_CONFIG);
        assert_string_equal(region, cases[i].region ? cases[i].region : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region_from),
    };
    return cmocka_run_group_tests(tests, set_up_home, tear_down);
}
