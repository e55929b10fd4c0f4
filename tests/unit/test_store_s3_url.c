/*
 * test_store_s3_url.c - addresses of buckets and objects, endpoints, regions in host names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_s3_internal.h"

static void addresses(void **state)
{
    static const struct {
        const char *endpoint;
        enum sfi_s3_addressing addressing;
        const char *bucket;
        const char *prefix;
        const char *region;
        const char *key;
        const char *query;
        const char *url;
        const char *host;
        const char *path;
    } cases[] = {
        {NULL, SFI_S3_AUTO, "bucket", "p/", "eu-west-1", "k", "",
         "https://bucket.s3.eu-west-1.amazonaws.com/p/k", "bucket.s3.eu-west-1.amazonaws.com",
         "/p/k"},
        {NULL, SFI_S3_AUTO, "my.bucket", "", "us-east-1", "k", "",
         "https://s3.us-east-1.amazonaws.com/my.bucket/k", "s3.us-east-1.amazonaws.com",
         "/my.bucket/k"},
        {NULL, SFI_S3_AUTO, "Bucket", "", "us-east-1", "k", "",
         "https://s3.us-east-1.amazonaws.com/Bucket/k", "s3.us-east-1.amazonaws.com", "/Bucket/k"},
        {NULL, SFI_S3_PATH, "bucket", "", "cn-north-1", NULL, "list-type=2",
         "https://s3.cn-north-1.amazonaws.com.cn/bucket?list-type=2",
         "s3.cn-north-1.amazonaws.com.cn", "/bucket"},
        {NULL, SFI_S3_AUTO, "bucket", "p/", "us-east-1", NULL, "list-type=2",
         "https://bucket.s3.us-east-1.amazonaws.com/?list-type=2",
         "bucket.s3.us-east-1.amazonaws.com", "/"},
        {"https://s3.dualstack.us-west-2.amazonaws.com", SFI_S3_AUTO, "bucket", "", "us-west-2",
         "k", "", "https://bucket.s3.dualstack.us-west-2.amazonaws.com/k",
         "bucket.s3.dualstack.us-west-2.amazonaws.com", "/k"},
        {"http://localhost:9000", SFI_S3_AUTO, "bucket", "p/", "r", "a b/\xC3\xA4+%=:~", "",
         "http://localhost:9000/bucket/p/a%20b/%C3%A4%2B%25%3D%3A~", "localhost:9000",
         "/bucket/p/a%20b/%C3%A4%2B%25%3D%3A~"},
        {"http://localhost:9000", SFI_S3_VIRTUAL, "bucket", "", "r", "k", "",
         "http://bucket.localhost:9000/k", "bucket.localhost:9000", "/k"},
        {"http://127.0.0.1:9000", SFI_S3_VIRTUAL, "bucket", "", "r", "k", "",
         "http://127.0.0.1:9000/bucket/k", "127.0.0.1:9000", "/bucket/k"},
        {"http://[::1]:9000", SFI_S3_VIRTUAL, "bucket", "", "r", "k", "",
         "http://[::1]:9000/bucket/k", "[::1]:9000", "/bucket/k"},
        {"https://host:443/base/", SFI_S3_AUTO, "bucket", "", "r", "k", "",
         "https://host/base/bucket/k", "host", "/base/bucket/k"},
        {"http://host:80", SFI_S3_AUTO, "bucket", "", "r", "k", "", "http://host/bucket/k", "host",
         "/bucket/k"},
        {"https://host:80", SFI_S3_AUTO, "bucket", "", "r", "k", "", "https://host:80/bucket/k",
         "host:80", "/bucket/k"},
    };
    struct sfi_s3_address address;
    (void)state;
    sfi_s3_address_init(&address);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sfi_s3_config config = {.endpoint = (char *)(uintptr_t)cases[i].endpoint,
                                       .bucket = (char *)(uintptr_t)cases[i].bucket,
                                       .prefix = (char *)(uintptr_t)cases[i].prefix,
                                       .addressing = cases[i].addressing};
        assert_int_equal(sfi_s3_address_of(&config, cases[i].region, cases[i].key, cases[i].query,
                                           &address, NULL),
                         SHARDY_OK);
        assert_string_equal(address.url.data, cases[i].url);
        assert_string_equal(address.host.data, cases[i].host);
        assert_string_equal(address.path.data, cases[i].path);
    }
    sfi_s3_address_clear(&address);
}

static void endpoints(void **state)
{
    static const struct {
        const char *endpoint;
        bool good;
    } cases[] = {
        {"https://host", true},
        {"HTTP://host:1/", true},
        {"http://[::1]:80/x", true},
        {"https://host/base", true},
        {"host", false},
        {"ftp://host", false},
        {"https://", false},
        {"https:///x", false},
        {"https://:80", false},
        {"https://u@host", false},
        {"https://host?x", false},
        {"https://host#x", false},
        {"https://ho st", false},
        {"https://host:x", false},
        {"https://host:", false},
        {"https://host:123456", false},
        {"https://h\xC3\xA4", false},
        {"https://h\nX: y", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_s3_endpoint_check("the option", cases[i].endpoint, &err);
        if (st != (cases[i].good ? SHARDY_OK : SHARDY_CONFIG) ||
            (!cases[i].good && !strstr(err.message, "the option"))) {
            fail_msg("%s: %s", cases[i].endpoint, err.message);
        }
    }
}

static void regions_of_hosts(void **state)
{
    static const char *const cases[][2] = {
        {"s3.eu-west-1.amazonaws.com", "eu-west-1"},
        {"b.s3.eu-west-1.amazonaws.com", "eu-west-1"},
        {"b.s3-eu-west-1.amazonaws.com:443", "eu-west-1"},
        {"b.s3.dualstack.us-west-2.amazonaws.com", "us-west-2"},
        {"s3.x.s3.eu-west-1.amazonaws.com", "eu-west-1"},
        {"b.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
        {"s3.amazonaws.com", ""},
        {"b.s3.amazonaws.com", ""},
        {"s3.eu-west-1.amazonaws.com.evil.example", ""},
        {"s3.eu-west-1.evilamazonaws.com", ""},
        {"localhost", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char region[SFI_AWS_REGION_SIZE] = "";
        bool found = sfi_s3_region_of_host(cases[i][0], region);
        if (found != (cases[i][1][0] != 0) || (found && strcmp(region, cases[i][1]) != 0)) {
            fail_msg("%s: %s", cases[i][0], region);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(regions_of_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
