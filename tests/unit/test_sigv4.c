/*
 * test_sigv4.c - signatures published by AWS (the S3 examples of the SigV4 pages and the general
 * test suite), signatures computed by botocore for odd keys, kept signing keys, encoding, dates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/sigv4.h"
#include "store_sample.h"

#include <pthread.h>

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Examples of the S3 documentation. */
static const struct sfi_credentials s3_keys = {.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                                               .secret_access_key =
                                                   "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
/* AWS's general test suite. */
static const struct sfi_credentials suite_keys = {.access_key_id = "AKIDEXAMPLE",
                                                  .secret_access_key =
                                                      "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
/* Computed with botocore. */
static const struct sfi_credentials odd_keys = {.access_key_id = "AKIDEXAMPLE",
                                                .secret_access_key = "secret/+key",
                                                .session_token = "tok/en=="};

#define S3_HOST                                  \
    {                                            \
        "host", "examplebucket.s3.amazonaws.com" \
    }
#define S3_DATE                          \
    {                                    \
        "x-amz-date", "20130524T000000Z" \
    }
#define S3_EMPTY                           \
    {                                      \
        "x-amz-content-sha256", EMPTY_HASH \
    }
#define ODD(host)                                       \
    {"Host", host}, {"X-Amz-Date", "20260131T235959Z"}, \
    {                                                   \
        "X-Amz-Security-Token", "tok/en=="              \
    }
#define SUITE                            \
    {"Host", "example.amazonaws.com"},   \
    {                                    \
        "X-Amz-Date", "20150830T123600Z" \
    }

static const struct {
    const char *name;
    const struct sfi_credentials *keys;
    const char *method;
    const char *path;
    const char *query;
    struct sfi_sigv4_header headers[8];
    const char *payload_hash;
    const char *region;
    const char *service;
    const char *date;
    bool twice;
    const char *signed_headers;
    const char *signature;
} rows[] = {
    {"get with range",
     &s3_keys,
     "GET",
     "/test.txt",
     "",
     {S3_HOST, {"Range", "bytes=0-9"}, S3_EMPTY, S3_DATE},
     EMPTY_HASH,
     "us-east-1",
     "s3",
     "20130524T000000Z",
     false,
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"put",
     &s3_keys,
     "PUT",
     "/test%24file.text",
     "",
     {S3_DATE,
      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
      S3_HOST,
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "us-east-1",
     "s3",
     "20130524T000000Z",
     false,
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"get lifecycle",
     &s3_keys,
     "GET",
     "/",
     "lifecycle",
     {S3_HOST, S3_EMPTY, S3_DATE},
     EMPTY_HASH,
     "us-east-1",
     "s3",
     "20130524T000000Z",
     false,
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"list objects",
     &s3_keys,
     "GET",
     "/",
     "prefix=J&max-keys=2",
     {S3_HOST, S3_EMPTY, S3_DATE},
     EMPTY_HASH,
     "us-east-1",
     "s3",
     "20130524T000000Z",
     false,
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"suite: vanilla",
     &suite_keys,
     "GET",
     "",
     "",
     {SUITE},
     EMPTY_HASH,
     "us-east-1",
     "service",
     "20150830T123600Z",
     true,
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"suite: query order",
     &suite_keys,
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {SUITE},
     EMPTY_HASH,
     "us-east-1",
     "service",
     "20150830T123600Z",
     true,
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"suite: value trim",
     &suite_keys,
     "GET",
     "/",
     "",
     {SUITE, {"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     EMPTY_HASH,
     "us-east-1",
     "service",
     "20150830T123600Z",
     true,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"suite: duplicate header",
     &suite_keys,
     "GET",
     "/",
     "",
     {SUITE, {"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     EMPTY_HASH,
     "us-east-1",
     "service",
     "20150830T123600Z",
     true,
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"blanks, plus, percent, UTF-8",
     &odd_keys,
     "GET",
     "/bucket/a%20b%2Bc%252F/%E2%82%AC~%3D%26",
     "",
     {ODD("h.example"), {"X-Amz-Content-SHA256", EMPTY_HASH}},
     EMPTY_HASH,
     "eu-central-1",
     "s3",
     "20260131T235959Z",
     false,
     "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
     "602756e7768e80c0cc335cf8353dc65caa976e9c319473685420f414db80db36"},
    {"long query, names that begin alike",
     &odd_keys,
     "GET",
     "/bucket",
     "list-type=2&prefix=a%2Fb%20c&delimiter=%2F&continuation-token=1%2B%2F%3D%3D&a-b=1&a=2&"
     "uploads",
     {ODD("h.example:8443"), {"X-Amz-Content-SHA256", EMPTY_HASH}},
     EMPTY_HASH,
     "eu-central-1",
     "s3",
     "20260131T235959Z",
     false,
     "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
     "63996291a901d477bd2096e4afefb0bd2026d708ff0ee6bc1b571416f07125c1"},
    {"metadata",
     &odd_keys,
     "PUT",
     "/bucket/k",
     "",
     {{"x-amz-meta-b", "  two   words  "},
      {"X-Amz-Meta-A", "1"},
      {"content-type", "text/plain"},
      ODD("h.example"),
      {"X-Amz-Content-SHA256", "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"}},
     "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5",
     "eu-central-1",
     "s3",
     "20260131T235959Z",
     false,
     "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-b;"
     "x-amz-security-token",
     "bc7a4aa3996dc95f2d89aaf1cf085987073642df05a5265fb8b931c19905eaea"},
    {"STS, path encoded twice",
     &odd_keys,
     "POST",
     "/p%20q/",
     "",
     {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}, ODD("sts.example")},
     "80f6421ec9448a0b058e65fbcf0dfe6691d336e735056c375108a5444e43ed41",
     "eu-central-1",
     "sts",
     "20260131T235959Z",
     true,
     "content-type;host;x-amz-date;x-amz-security-token",
     "beee50378259faba4cf47f4e7862b9760c3fc5f3e89f7746f90c339c08bf2482"},
};

static struct sfi_sigv4_input input_of(size_t i)
{
    struct sfi_sigv4_input input = {.method = rows[i].method,
                                    .path = rows[i].path,
                                    .query = rows[i].query,
                                    .headers = rows[i].headers,
                                    .payload_hash = rows[i].payload_hash,
                                    .region = rows[i].region,
                                    .service = rows[i].service,
                                    .amz_date = rows[i].date,
                                    .encode_path_twice = rows[i].twice};
    while (input.header_count < COUNT_OF(rows[i].headers) &&
           rows[i].headers[input.header_count].name) {
        input.header_count++;
    }
    return input;
}

static void expect_row(size_t i, const struct sfi_credentials *credentials)
{
    struct sfi_sigv4_input input = input_of(i);
    struct sfi_buf out;
    char expected[1024];
    snprintf(expected, sizeof expected,
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request,SignedHeaders=%s,Signature=%s",
             credentials->access_key_id, rows[i].date, rows[i].region, rows[i].service,
             rows[i].signed_headers, rows[i].signature);
    sfi_buf_init(&out, 4096);
    assert_int_equal(sfi_sigv4_authorization(&input, credentials, &out, NULL), SHARDY_OK);
    if (strcmp((const char *)out.data, expected) != 0) {
        print_message("%s\n", rows[i].name);
    }
    assert_string_equal((const char *)out.data, expected);
    sfi_buf_clear(&out);
}

static void signs_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_row(i, rows[i].keys);
    }
}

/* More regions and services than are kept: found, replaced and found again. */
static void kept_keys_change_nothing(void **state)
{
    struct sfi_credentials kept = odd_keys;
    struct sfi_buf out;
    (void)state;
    kept.signing = sfi_signing_keys_new();
    assert_non_null(kept.signing);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            if (rows[i].keys == &odd_keys) {
                expect_row(i, &kept);
            }
        }
        for (int other = 0; other < 5; other++) {
            char region[16];
            struct sfi_sigv4_input input = input_of(0);
            snprintf(region, sizeof region, "region-%d", other);
            input.region = region;
            sfi_buf_init(&out, 4096);
            assert_int_equal(sfi_sigv4_authorization(&input, &kept, &out, NULL), SHARDY_OK);
            sfi_buf_clear(&out);
        }
    }
    sfi_signing_keys_free(kept.signing);
    sfi_signing_keys_free(NULL);
}

static void *sign_many(void *arg)
{
    struct sfi_credentials *kept = arg;
    for (int n = 0; n < 200; n++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            if (rows[i].keys == &odd_keys) {
                expect_row(i, kept);
            }
        }
    }
    return NULL;
}

static void threads_share_kept_keys(void **state)
{
    struct sfi_credentials kept = odd_keys;
    pthread_t threads[4];
    (void)state;
    kept.signing = sfi_signing_keys_new();
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sign_many, &kept), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    sfi_signing_keys_free(kept.signing);
}

static void refuses_what_does_not_fit(void **state)
{
    struct sfi_sigv4_input input = input_of(0);
    shardy_error error = SHARDY_ERROR_INIT;
    struct sfi_buf out;
    char region[400];
    (void)state;
    memset(region, 'r', sizeof region - 1);
    region[sizeof region - 1] = '\0';
    input.region = region;
    sfi_buf_init(&out, 4096);
    assert_int_equal(sfi_sigv4_authorization(&input, &odd_keys, &out, &error), SHARDY_CONFIG);
    assert_non_null(strstr(error.message, "region"));
    input.region = "r";
    sfi_buf_init(&out, 20);
    assert_int_equal(sfi_sigv4_authorization(&input, &odd_keys, &out, &error), SHARDY_LIMIT);
    sfi_buf_clear(&out);
}

/* Every allocation fails once: an error, never a wrong signature. */
static void survives_failing_allocations(void **state)
{
    bool failed = true;
    (void)state;
    install_failing_allocator();
    for (unsigned long n = 1; failed; n++) {
        struct sfi_sigv4_input input = input_of(9);
        struct sfi_buf out;
        sfi_buf_init(&out, 4096);
        fail_allocation(n);
        shardy_status st = sfi_sigv4_authorization(&input, &odd_keys, &out, NULL);
        failed = atomic_load(&alloc_count) >= n;
        fail_allocation(0);
        if (st == SHARDY_OK) {
            assert_non_null(strstr((const char *)out.data, rows[9].signature));
        } else {
            assert_true(failed);
            assert_int_equal(st, SHARDY_NO_MEMORY);
        }
        assert_true(n > 3 || failed);
        sfi_buf_clear(&out);
    }
    shardy_set_allocator(NULL);
}

static void encodes(void **state)
{
    static const struct {
        const char *text;
        bool keep;
        const char *out;
    } cases[] = {
        {"", true, ""},
        {"AZaz09-_.~", false, "AZaz09-_.~"},
        {"a/b c+d%", true, "a/b%20c%2Bd%25"},
        {"a/b", false, "a%2Fb"},
        {"\x01\x7f\xe2\x82\xac=&?#'()*!", false, "%01%7F%E2%82%AC%3D%26%3F%23%27%28%29%2A%21"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sfi_buf out;
        sfi_buf_init(&out, 256);
        assert_true(sfi_uri_encode(&out, cases[i].text, cases[i].keep));
        assert_string_equal((const char *)out.data, cases[i].out);
        sfi_buf_clear(&out);
        sfi_buf_init(&out, 1);
        assert_int_equal(sfi_uri_encode(&out, cases[i].text, cases[i].keep),
                         strlen(cases[i].out) <= 1);
        sfi_buf_clear(&out);
    }
}

static void hashes_and_dates(void **state)
{
    char hex[SFI_SHA256_HEX_SIZE];
    char date[SFI_AMZ_DATE_SIZE];
    (void)state;
    sfi_sha256_hex((struct sfi_bytes){NULL, 0}, hex);
    assert_string_equal(hex, EMPTY_HASH);
    sfi_sha256_hex(bytes_of("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sfi_amz_date(1369353600, date);
    assert_string_equal(date, "20130524T000000Z");
    sfi_amz_date(1769903999, date);
    assert_string_equal(date, "20260131T235959Z");
    sfi_amz_date(INT64_MAX, date);
    assert_string_equal(date, "19700101T000000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_published),
        cmocka_unit_test(kept_keys_change_nothing),
        cmocka_unit_test(threads_share_kept_keys),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(encodes),
        cmocka_unit_test(hashes_and_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
