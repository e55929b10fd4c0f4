/*
 * test_credentials_http.c - whatever a service answers instead of credentials: a failure that names
 * it, no secret, no crash; which failures are tried again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"

/* Whatever a service answers: a failure that names it, no secret, no crash. */
static void each_fault_of_each_service(void **state)
{
    static const char *const faults[] = {"garbage",    "empty",   "array",   "huge", "close",
                                         "incomplete", "badtime", "doctype", "400",  "401",
                                         "403",        "404",     "429",     "500",  "503"};
    static const struct {
        const char *service;
        const char *named;
        const char *env[3];
        const char *config;
    } services[] = {
        {"sts", "STS", {"AWS_PROFILE=p", STS}, "[profile p]\n" ROLE "source_profile = base\n"},
        {"sts", "STS", {WEB, STS}, NULL},
        {"sso", "profile \"p\"", {SSO_ENV}, SSO_PROFILE},
        {"container", "container", {FULL}, NULL},
        {"imds", "instance metadata", {IMDS}, NULL},
    };
    (void)state;
    for (size_t s = 0; s < COUNT_OF(services); s++) {
        for (size_t f = 0; f < COUNT_OF(faults); f++) {
            struct sfi_credentials *credentials = NULL;
            shardy_error error = SHARDY_ERROR_INIT;
            char command[64];
            clean_environment();
            write_tokens();
            home_file(".aws/credentials", STATIC_PROFILE);
            home_file(".aws/config", services[s].config);
            set_variables(services[s].env, COUNT_OF(services[s].env));
            snprintf(command, sizeof command, "set %s %s", services[s].service, faults[f]);
            tell(command);
            struct sfi_credential_provider *provider = new_provider(NULL);
            assert_int_not_equal(sfi_credentials_wait(provider, 0, &credentials, &error),
                                 SHARDY_OK);
            assert_null(credentials);
            if (strstr(error.message, CANARY) || !strstr(error.message, services[s].named)) {
                print_message("%s %s: %s\n", services[s].service, faults[f], error.message);
                fail();
            }
            bool passing = strcmp(faults[f], "500") == 0 || strcmp(faults[f], "429") == 0 ||
                           strcmp(faults[f], "503") == 0;
            if (passing) {
                assert_int_equal(error.status, SHARDY_STORE);
                assert_int_equal(asked(services[s].service),
                                 strcmp(services[s].service, "imds") == 0 ? 1 : 3);
            }
            sfi_credential_provider_free(provider);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_of_each_service),
    };
    return cmocka_run_group_tests(tests, set_up_fake, tear_down);
}
