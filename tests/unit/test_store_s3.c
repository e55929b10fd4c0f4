/*
 * test_store_s3.c - every allocation of an S3 store and its requests may fail: no leak, no crash,
 * no hang, and an error that says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "s3_script.h"
#include "store_sample.h"

#define FOREVER(match, status, head, body)        \
    {                                             \
        match, status, head, body, STEP_ALWAYS, 0 \
    }

static const struct step s_steps[] = {
    FOREVER("GET /bucket/prefix/k", 200, ETAG_A, "0123456789"),
    FOREVER("GET /bucket?", 200, NULL,
            "<ListBucketResult><Contents><Key>prefix/a</Key><Size>1</Size></Contents>"
            "<CommonPrefixes><Prefix>prefix/b/</Prefix></CommonPrefixes></ListBucketResult>"),
    FOREVER("POST /bucket?delete", 200, NULL, "<DeleteResult></DeleteResult>"),
    FOREVER(
        "POST /bucket/prefix/u?uploads", 200, NULL,
        "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"),
    FOREVER("PUT ", 200, ETAG_A, NULL),
    FOREVER("POST /bucket/prefix/u?uploadId", 200, NULL,
            "<CompleteMultipartUploadResult><ETag>&quot;aaaa&quot;</ETag></"
            "CompleteMultipartUploadResult>"),
    FOREVER("HEAD ", 200, ETAG_A "Content-Length: 26\r\n", NULL),
    FOREVER("DELETE ", 204, NULL, NULL),
};

static shardy_status upload(struct sfi_store *store)
{
    struct sfi_upload *upload = NULL;
    shardy_status st = sfi_store_upload(store, "u", NULL, 4, &upload, NULL);
    if (st != SHARDY_OK) {
        return st;
    }
    st = upload->ops->append(upload, text_bytes("efghijklmnopqrstuvwxyz"), NULL);
    if (st != SHARDY_OK) {
        upload->ops->abort(upload);
        return st;
    }
    return upload->ops->commit(upload, text_bytes("abcd"), NULL, NULL);
}

/* Open, and one operation of each kind. */
static shardy_status run_all(const char *url)
{
    static const char *const keys[] = {"k", "l"};
    const shardy_store_option options[] = {{"endpoint_url", url},
                                           {"access_key_id", "AKIDEXAMPLE"},
                                           {"secret_access_key", "canary-secret"}};
    const struct sfi_store_options all = {options, 3, NULL};
    struct sfi_store *store;
    struct sfi_store_list list = {NULL, 0};
    struct sfi_buf data;
    size_t deleted;
    shardy_status st = sfi_store_open("s3://bucket/prefix", &all, &store, NULL);
    if (st != SHARDY_OK) {
        return st;
    }
    sfi_s3_of(store)->config.backoff_ms = 2;
    sfi_s3_of(store)->config.part_bytes = 10;
    sfi_buf_init(&data, 100);
    st = sfi_store_put(store, "k", text_bytes("x"), NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL);
    st = st ? st : sfi_store_get(store, "k", 0, &data, NULL, NULL);
    st = st ? st : sfi_store_list(store, "", false, &list, NULL);
    st = st ? st : sfi_store_delete_many(store, keys, 2, &deleted, NULL);
    st = st ? st : upload(store);
    sfi_store_list_clear(&list);
    sfi_buf_clear(&data);
    sfi_store_release(store);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    struct script *script = script_start(s_steps, sizeof s_steps / sizeof s_steps[0]);
    shardy_status st = SHARDY_NO_MEMORY;
    (void)state;
    assert_int_equal(run_all(script->url), SHARDY_OK);
    install_failing_allocator();
    unsigned long n = 0;
    while (st != SHARDY_OK || !n) {
        fail_allocation(++n);
        st = run_all(script->url);
        /* Some failures only cost a retry; an unreadable answer to a change leaves it unknown. */
        if (st != SHARDY_OK && st != SHARDY_NO_MEMORY && st != SHARDY_STORE &&
            st != SHARDY_UNKNOWN) {
            fail_msg("allocation %lu: %s", n, shardy_status_name(st));
        }
        bool reached = atomic_load(&alloc_count) >= n;
        st = st == SHARDY_OK && reached ? SHARDY_NO_MEMORY : st;
        assert_true(n < 2000);
    }
    fail_allocation(0);
    shardy_set_allocator(NULL);
    script_stop(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
