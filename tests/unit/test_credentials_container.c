/*
 * test_credentials_container.c - which services a container's token may be sent to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"

static void containers_that_are_trusted(void **state)
{
    static const struct {
        const char *url;
        bool allowed;
    } cases[] = {
        {"https://any.example/x", true},
        {"HTTPS://any.example:8443", true},
        {"http://127.0.0.1/x", true},
        {"http://127.8.9.10:80/x", true},
        {"http://localhost:1234/x?y", true},
        {"http://[::1]:80/x", true},
        {"http://169.254.170.2/v2", true},
        {"http://169.254.170.23/v1", true},
        {"http://[fd00:ec2::23]/v1", true},
        {"http://[FD00:EC2:0::23]/v1", true},
        {"http://169.254.170.22/v1", false},
        {"http://169.254.169.254/v1", false},
        {"http://[fd00:ec2::254]/v1", false},
        {"http://any.example/x", false},
        {"http://127.0.0.1.any.example/x", false},
        {"http://127.0.0.1@any.example/x", false},
        {"https://user:pass@any.example/x", false},
        {"http://any.example#127.0.0.1", false},
        {"http://any.example\\@127.0.0.1/", false},
        {"http://127.1/x", false},
        {"http://2130706433/x", false},
        {"http://[::1", false},
        {"http://[::1]any.example/", false},
        {"http://[]/", false},
        {"http:///x", false},
        {"ftp://127.0.0.1/x", false},
        {"file:///etc/passwd", false},
        {"http://127.0.0.1/\r\nX: y", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (sfi_container_url_allowed(cases[i].url) != cases[i].allowed) {
            print_message("%s\n", cases[i].url);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_that_are_trusted),
    };
    return cmocka_run_group_tests(tests, set_up_home, tear_down);
}
