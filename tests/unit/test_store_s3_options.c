/*
 * test_store_s3_options.c - options and environment of s3:// stores, and the messages for wrong
 * ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "s3_script.h"

static const struct sfi_store_options *one(const char *name, const char *value)
{
    static shardy_store_option option;
    static struct sfi_store_options options = {&option, 1, NULL};
    option.name = name;
    option.value = value;
    return &options;
}

static void defaults(void **state)
{
    struct sfi_s3_config config;
    (void)state;
    assert_int_equal(sfi_s3_config_read("s3://my-bucket/a/b", NULL, &config, NULL), SHARDY_OK);
    assert_string_equal(config.bucket, "my-bucket");
    assert_string_equal(config.prefix, "a/b/");
    assert_null(config.endpoint);
    assert_string_equal(config.region, "us-east-1");
    assert_int_equal(config.max_attempts, SFI_S3_ATTEMPTS);
    assert_int_equal(config.retry_timeout_ms, 30000);
    assert_int_equal(config.connect_timeout_ms, 5000);
    assert_int_equal(config.read_timeout_ms, 30000);
    assert_true(config.checksum);
    assert_false(config.insecure || config.anonymous || config.http2 || config.request_payer);
    sfi_s3_config_clear(&config);
    assert_int_equal(sfi_s3_config_read("s3://bucket", NULL, &config, NULL), SHARDY_OK);
    assert_string_equal(config.prefix, "");
    sfi_s3_config_clear(&config);
}

static void options_are_read(void **state)
{
    static const shardy_store_option options[] = {
        {"endpoint_url", "http://localhost:9000"},
        {"region_name", "eu-west-1"},
        {"addressing_style", "virtual"},
        {"verify_ssl", "false"},
        {"ca_file", "/some/ca.pem"},
        {"connect_timeout", "2.5"},
        {"read_timeout", "7"},
        {"max_attempts", "3"},
        {"retry_timeout", "0"},
        {"max_connections", "8"},
        {"http2", "true"},
        {"access_key_id", "AK"},
        {"secret_access_key", "SK"},
        {"session_token", "ST"},
        {"profile", ""},
        {"request_payer", "requester"},
        {"sse", "aws:kms"},
        {"sse_kms_key_id", "key"},
        {"checksum", "none"},
    };
    const struct sfi_store_options all = {options, sizeof options / sizeof options[0], NULL};
    struct sfi_s3_config config;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    if (sfi_s3_config_read("s3://bucket/p", &all, &config, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(config.endpoint, "http://localhost:9000");
    assert_string_equal(config.region, "eu-west-1");
    assert_int_equal(config.addressing, SFI_S3_VIRTUAL);
    assert_true(config.insecure);
    assert_string_equal(config.ca_file, "/some/ca.pem");
    assert_int_equal(config.connect_timeout_ms, 2500);
    assert_int_equal(config.read_timeout_ms, 7000);
    assert_int_equal(config.max_attempts, 3);
    assert_int_equal(config.retry_timeout_ms, 0);
    assert_int_equal(config.max_connections, 8);
    assert_true(config.http2);
    assert_string_equal(config.access_key_id, "AK");
    assert_string_equal(config.secret_access_key, "SK");
    assert_string_equal(config.session_token, "ST");
    assert_null(config.profile);
    assert_true(config.request_payer);
    assert_string_equal(config.sse, "aws:kms");
    assert_string_equal(config.sse_kms_key_id, "key");
    assert_false(config.checksum);
    sfi_s3_config_clear(&config);
    assert_int_equal(
        sfi_s3_config_read("s3://bucket/p", one("verify_ssl", "/ca.pem"), &config, NULL),
        SHARDY_OK);
    assert_false(config.insecure);
    assert_string_equal(config.ca_file, "/ca.pem");
    sfi_s3_config_clear(&config);
}

static void wrong_options_are_named(void **state)
{
    static const char *const cases[][2] = {
        {"unknown", "x"},
        {"endpoint_url", "ftp://x"},
        {"endpoint_url", "https://user:canary-secret@host"},
        {"region_name", "eu west"},
        {"region_name", "a/b"},
        {"addressing_style", "host"},
        {"connect_timeout", "0"},
        {"connect_timeout", "-1"},
        {"connect_timeout", "1e3"},
        {"connect_timeout", "soon"},
        {"read_timeout", "99999999999"},
        {"max_attempts", "0"},
        {"max_attempts", "1.5"},
        {"max_attempts", "101"},
        {"max_connections", "many"},
        {"http2", "perhaps"},
        {"anonymous", "2"},
        {"request_payer", "me"},
        {"sse", "rot13"},
        {"sse_kms_key_id", "key-without-sse"},
        {"checksum", "md5"},
        {"secret_access_key", "canary-secret"}, /* without its key id */
        {"access_key_id", "only"},
        {"session_token", "canary-secret\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sfi_s3_config config;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st =
            sfi_s3_config_read("s3://bucket/p", one(cases[i][0], cases[i][1]), &config, &err);
        if (st != SHARDY_CONFIG || !strstr(err.message, cases[i][0]) ||
            strstr(err.message, "canary-secret")) {
            fail_msg("%s = %s: %s", cases[i][0], cases[i][1], err.message);
        }
        sfi_s3_config_clear(&config);
    }
}

static void environment_is_read(void **state)
{
    struct sfi_s3_config config;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    setenv("SLATEDB_S3_ENDPOINT_URL", "http://slate", 1);
    setenv("AWS_MAX_ATTEMPTS", "9", 1);
    setenv("AWS_CA_BUNDLE", "/ca", 1);
    setenv("AWS_SKIP_SIGNATURE", "true", 1);
    setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true", 1);
    setenv("AWS_REGION", "eu-north-1", 1);
    assert_int_equal(sfi_s3_config_read("s3://bucket/p", NULL, &config, NULL), SHARDY_OK);
    assert_string_equal(config.endpoint, "http://slate");
    assert_int_equal(config.max_attempts, 9);
    assert_string_equal(config.ca_file, "/ca");
    assert_true(config.anonymous);
    assert_int_equal(config.addressing, SFI_S3_VIRTUAL);
    assert_string_equal(config.region, "eu-north-1");
    sfi_s3_config_clear(&config);
    setenv("AWS_ENDPOINT_URL", "http://general", 1);
    assert_int_equal(sfi_s3_config_read("s3://bucket/p", NULL, &config, NULL), SHARDY_OK);
    assert_string_equal(config.endpoint, "http://general");
    sfi_s3_config_clear(&config);
    setenv("AWS_ENDPOINT_URL_S3", "http://special", 1);
    assert_int_equal(sfi_s3_config_read("s3://bucket/p", one("max_attempts", "2"), &config, NULL),
                     SHARDY_OK);
    assert_string_equal(config.endpoint, "http://special");
    assert_int_equal(config.max_attempts, 2);
    sfi_s3_config_clear(&config);
    static const char *const wrong[][2] = {{"AWS_MAX_ATTEMPTS", "some"},
                                           {"AWS_ENDPOINT_URL_S3", "special"},
                                           {"AWS_SKIP_SIGNATURE", "maybe"}};
    for (size_t i = 0; i < 3; i++) {
        setenv(wrong[i][0], wrong[i][1], 1);
        assert_int_equal(sfi_s3_config_read("s3://bucket/p", NULL, &config, &err), SHARDY_CONFIG);
        assert_non_null(strstr(err.message, wrong[i][0]));
        sfi_s3_config_clear(&config);
        unsetenv(wrong[i][0]);
    }
    script_environment();
}

static void urls_name_buckets(void **state)
{
    static const struct {
        const char *url;
        shardy_status status;
        const char *message;
    } cases[] = {
        {"s3://bucket", SHARDY_OK, NULL},
        {"S3://bucket//a///b/", SHARDY_OK, NULL},
        {"s3://bucket/a=b/c d+e", SHARDY_OK, NULL},
        {"s3://", SHARDY_CONFIG, "s3://bucket/prefix"},
        {"s3://ab/x", SHARDY_CONFIG, "not a bucket name"},
        {"s3://user:pw@bucket/x", SHARDY_CONFIG, "not a bucket name"},
        {"s3://bu%63ket/x", SHARDY_CONFIG, "not a bucket name"},
        {"s3://bucket/a/../b", SHARDY_CONFIG, "segment"},
        {"s3://bucket/a\nb", SHARDY_CONFIG, "control character"},
        {"s3a://bucket/x", SHARDY_CONFIG, "write s3://bucket/x"},
        {"s3n://bucket/x", SHARDY_CONFIG, "write s3://bucket/x"},
        {"gs://bucket/x", SHARDY_UNSUPPORTED, "s3://"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sfi_store *store;
        shardy_error err = SHARDY_ERROR_INIT;
        shardy_status st = sfi_store_open(cases[i].url, NULL, &store, &err);
        if (st != cases[i].status || (cases[i].message && !strstr(err.message, cases[i].message))) {
            fail_msg("%s: %s: %s", cases[i].url, shardy_status_name(st), err.message);
        }
        sfi_store_release(store);
    }
    struct sfi_store *store;
    assert_int_equal(sfi_store_open("S3://bucket//a///b/", NULL, &store, NULL), SHARDY_OK);
    assert_string_equal(store->url, "s3://bucket/a/b");
    sfi_store_release(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(environment_is_read),
        cmocka_unit_test(urls_name_buckets),
    };
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
