/*
 * test_store_s3_upload.c - multipart uploads against scripted servers: which requests they make,
 * what failures leave behind, and what becomes of answers that are lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "s3_script.h"
#include "store/store_s3_upload_internal.h"

#define CREATED \
    "<InitiateMultipartUploadResult><UploadId>id/1+</UploadId></InitiateMultipartUploadResult>"
#define COMPLETE                                                        \
    "<CompleteMultipartUploadResult><ETag>&quot;whole-3&quot;</ETag></" \
    "CompleteMultipartUploadResult>"
#define CREATE                                                     \
    {                                                              \
        "POST /bucket/prefix/k?uploads=", 200, NULL, CREATED, 0, 0 \
    }
#define PART(n)                                                                                    \
    {                                                                                              \
        "PUT /bucket/prefix/k?partNumber=" #n "&uploadId=id%2F1%2B", 200, "ETag: \"p" #n "\"\r\n", \
            NULL, 0, 0                                                                             \
    }
#define PARTS CREATE, PART(1), PART(2), PART(3)
#define DONE                                                         \
    {                                                                \
        "POST /bucket/prefix/k?uploadId=", 200, NULL, COMPLETE, 0, 0 \
    }
#define SIZE(n)                                                                    \
    {                                                                              \
        "HEAD", 200, "ETag: \"whole-3\"\r\nContent-Length: " #n "\r\n", NULL, 0, 0 \
    }
#define OTHER(n)                                                                   \
    {                                                                              \
        "HEAD", 200, "ETag: \"other-3\"\r\nContent-Length: " #n "\r\n", NULL, 0, 0 \
    }
#define ABORTED                                                             \
    {                                                                       \
        "DELETE /bucket/prefix/k?uploadId=id%2F1%2B", 204, NULL, NULL, 0, 0 \
    }
#define COMPLETE_DROPPED                                               \
    {                                                                  \
        "POST /bucket/prefix/k?uploadId=", 0, NULL, NULL, STEP_DROP, 0 \
    }

/* 26 bytes in parts of 10. */
struct scenario {
    const char *name;
    struct step steps[12];
    size_t requests;
    shardy_status status;
    const char *message;
};

static const struct scenario s_scenarios[] = {
    {"three parts", {PARTS, DONE, SIZE(26)}, 6, SHARDY_OK, ""},
    {"everything fails once",
     {{"uploads=", 503, NULL, ERROR_XML("SlowDown"), 0, 0},
      {"partNumber=2", 500, NULL, "", 0, 0},
      {"partNumber=1", 0, NULL, NULL, STEP_DROP, 0},
      {"POST /bucket/prefix/k?uploadId=", 200, NULL, ERROR_XML("InternalError"), 0, 0},
      PARTS,
      DONE,
      SIZE(26)},
     10,
     SHARDY_OK,
     ""},
    {"a part is refused",
     {CREATE,
      PART(1),
      PART(3),
      {"partNumber=2", 403, NULL, ERROR_XML("AccessDenied"), 0, 0},
      ABORTED},
     0,
     SHARDY_CONFIG,
     "AccessDenied"},
    {"the upload may not begin",
     {{"uploads=", 403, NULL, ERROR_XML("AccessDenied"), 0, 0}},
     1,
     SHARDY_CONFIG,
     "AccessDenied"},
    {"parts without ETag",
     {CREATE,
      PART(1),
      PART(3),
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      {"partNumber=2", 200, NULL, NULL, 0, 0},
      ABORTED},
     0,
     SHARDY_STORE,
     "ETag"},
    {"the key exists",
     {PARTS,
      SIZE(25),
      {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      ABORTED},
     7,
     SHARDY_CONFLICT,
     "exists already"},
    {"aborting is tried again",
     {PARTS,
      SIZE(25),
      {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"DELETE", 500, NULL, "", 0, 0},
      ABORTED},
     8,
     SHARDY_CONFLICT,
     "exists already"},
    {"the end is lost, but took effect",
     {PARTS,
      COMPLETE_DROPPED,
      {"POST /bucket/prefix/k?uploadId=", 404, NULL, ERROR_XML("NoSuchUpload"), 0, 0},
      SIZE(26)},
     7,
     SHARDY_OK,
     ""},
    {"the end is lost, and then the key exists",
     {PARTS,
      COMPLETE_DROPPED,
      {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      SIZE(26)},
     7,
     SHARDY_OK,
     ""},
    {"the end is lost, and the object is another one",
     {PARTS,
      COMPLETE_DROPPED,
      {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      SIZE(27),
      ABORTED},
     8,
     SHARDY_UNKNOWN,
     "another object"},
    {"the end is lost, and nothing is there",
     {PARTS,
      COMPLETE_DROPPED,
      {"POST /bucket/prefix/k?uploadId=", 404, NULL, ERROR_XML("NoSuchUpload"), 0, 0},
      {"HEAD", 404, NULL, NULL, 0, 0},
      ABORTED},
     8,
     SHARDY_UNKNOWN,
     "may or may not"},
    {"another number of parts",
     {PARTS,
      COMPLETE_DROPPED,
      {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
      {"HEAD", 200, "ETag: \"whole-4\"\r\nContent-Length: 26\r\n", NULL, 0, 0},
      ABORTED},
     8,
     SHARDY_UNKNOWN,
     "another object"},
    {"the size is wrong once", {PARTS, DONE, SIZE(25), SIZE(26)}, 7, SHARDY_OK, ""},
    {"the size is wrong in the end", {PARTS, DONE, SIZE(25), SIZE(25)}, 7, SHARDY_STORE, "has 25"},
    {"another object is seen once", {PARTS, DONE, OTHER(26), SIZE(26)}, 7, SHARDY_OK, ""},
    {"another object is there", {PARTS, DONE, OTHER(26), OTHER(26)}, 7, SHARDY_STORE, "replaced"},
    {"no ETag to compare",
     {PARTS, DONE, {"HEAD", 200, "Content-Length: 26\r\n", NULL, 0, 0}},
     6,
     SHARDY_OK,
     ""},
    {"a proxy made the ETag a weak one",
     {PARTS, DONE, {"HEAD", 200, "ETag: W/\"whole-3\"\r\nContent-Length: 26\r\n", NULL, 0, 0}},
     6,
     SHARDY_OK,
     ""},
    {"a weak ETag of another object",
     {PARTS,
      DONE,
      {"HEAD", 200, "ETag: W/\"other-3\"\r\nContent-Length: 26\r\n", NULL, 0, 0},
      OTHER(26)},
     7,
     SHARDY_STORE,
     "replaced"},
    {"ETags without quotes",
     {PARTS,
      {"POST /bucket/prefix/k?uploadId=", 200, NULL,
       "<CompleteMultipartUploadResult><ETag>whole-3</ETag></CompleteMultipartUploadResult>", 0, 0},
      SIZE(26)},
     6,
     SHARDY_OK,
     ""},
    {"ETags of another kind than S3's",
     {PARTS,
      {"POST /bucket/prefix/k?uploadId=", 200, NULL,
       "<CompleteMultipartUploadResult><ETag>id/1+</ETag></CompleteMultipartUploadResult>", 0, 0},
      SIZE(26)},
     6,
     SHARDY_OK,
     ""},
    {"somebody aborted it",
     {PARTS,
      {"HEAD", 404, NULL, NULL, 0, 0},
      {"POST /bucket/prefix/k?uploadId=", 404, NULL, ERROR_XML("NoSuchUpload"), 0, 0},
      ABORTED},
     7,
     SHARDY_STORE,
     "aborted"},
};

static size_t count_steps(const struct step *steps)
{
    size_t n = 0;
    while (n < 12 && steps[n].match) {
        n++;
    }
    return n;
}

static shardy_status upload_text(struct sfi_store *store, const char *text, char *etag,
                                 shardy_error *err)
{
    struct sfi_upload *upload = NULL;
    shardy_status st = sfi_store_upload(store, "k", "text/x", 4, &upload, err);
    assert_int_equal(st, SHARDY_OK);
    size_t size = strlen(text);
    for (size_t at = 4; st == SHARDY_OK && at < size; at += 3) {
        struct sfi_bytes piece = {(const uint8_t *)text + at, size - at < 3 ? size - at : 3};
        st = upload->ops->append(upload, piece, err);
    }
    if (st != SHARDY_OK) {
        upload->ops->abort(upload);
        return st;
    }
    struct sfi_bytes head = {(const uint8_t *)text, 4};
    return upload->ops->commit(upload, head, etag, err);
}

static void scenarios_come_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_scenarios / sizeof s_scenarios[0]; i++) {
        const struct scenario *s = &s_scenarios[i];
        struct script *script = script_start(s->steps, count_steps(s->steps));
        struct sfi_store *store = script_store(script, NULL, 0, NULL);
        char etag[SFI_ETAG_SIZE] = "";
        shardy_error err = SHARDY_ERROR_INIT;
        sfi_s3_of(store)->config.part_bytes = 10;
        shardy_status st = upload_text(store, "abcdefghijklmnopqrstuvwxyz", etag, &err);
        size_t seen = atomic_load(&script->seen_count);
        bool aborted = false;
        bool wanted = false;
        for (size_t k = 0; k < seen; k++) {
            aborted = aborted || !strncmp(script->seen[k].head, "DELETE", 6);
        }
        for (size_t k = 0; k < count_steps(s->steps); k++) {
            wanted = wanted || !strncmp(s->steps[k].match, "DELETE", 6);
        }
        if (st != s->status || (s->requests && seen != s->requests) || aborted != wanted ||
            !strstr(err.message, s->message)) {
            fail_msg("%s: %s, %zu requests, %s: %s", s->name, shardy_status_name(st), seen,
                     aborted ? "aborted" : "not aborted", err.message);
        }
        if (st == SHARDY_OK && strcmp(s->name, "no ETag to compare") != 0) {
            assert_string_equal(etag + (etag[0] == 'W' ? 2 : 0), "\"whole-3\"");
        }
        sfi_store_release(store);
        script_stop(script);
    }
}

/* A refusal is the echo of our own request when the object has the very ETag of our parts. */
static void own_echoes_are_known(void **state)
{
#define HEX_PART(n)                                                      \
    {                                                                    \
        "PUT /bucket/prefix/k?partNumber=" #n "&", 200,                  \
            "ETag: \"0cc175b9c0f1b6a831c399e269772661\"\r\n", NULL, 0, 0 \
    }
    static const struct step steps[] = {
        CREATE,
        HEX_PART(1),
        HEX_PART(2),
        HEX_PART(3),
        {"POST /bucket/prefix/k?uploadId=", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
        {"HEAD", 200, "ETag: \"1ebad6f0747a7f2d4f2c57065871b692-3\"\r\nContent-Length: 26\r\n",
         NULL, 0, 0}};
    static const struct step small[] = {{"PUT", 412, NULL, ERROR_XML("PreconditionFailed"), 0, 0},
                                        {"GET", 200, ETAG_A, "abcdefghij", 0, 0}};
    struct script *script = script_start(steps, 6);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    char etag[SFI_ETAG_SIZE];
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(upload_text(store, "abcdefghijklmnopqrstuvwxyz", etag, NULL), SHARDY_OK);
    assert_string_equal(etag, "\"1ebad6f0747a7f2d4f2c57065871b692-3\"");
    assert_int_equal(atomic_load(&script->seen_count), 6);
    sfi_store_release(store);
    script_stop(script);
    script = script_start(small, 2);
    store = script_store(script, NULL, 0, NULL);
    assert_int_equal(upload_text(store, "abcdefghij", etag, NULL), SHARDY_OK);
    assert_string_equal(etag, "\"aaaa\"");
    sfi_store_release(store);
    script_stop(script);
}

static const struct seen *find(const struct script *script, const char *text)
{
    for (size_t i = 0; i < atomic_load(&script->seen_count); i++) {
        if (strstr(script->seen[i].head, text)) {
            return &script->seen[i];
        }
    }
    fail_msg("no request with %s", text);
    return NULL;
}

static void parts_are_what_was_given(void **state)
{
    static const struct step steps[] = {PARTS, DONE, SIZE(26)};
    struct script *script = script_start(steps, 6);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(upload_text(store, "abcdefghijklmnopqrstuvwxyz", NULL, NULL), SHARDY_OK);
    const struct seen *create = find(script, "?uploads=");
    assert_non_null(strstr(create->head, "x-amz-checksum-algorithm: CRC32C\r\n"));
    assert_non_null(strstr(create->head, "Content-Type: text/x\r\n"));
    assert_string_equal(find(script, "partNumber=1&")->body, "abcdefghij");
    assert_string_equal(find(script, "partNumber=2&")->body, "klmnopqrst");
    assert_string_equal(find(script, "partNumber=3&")->body, "uvwxyz");
    assert_non_null(seen_header(find(script, "partNumber=3&"), "x-amz-checksum-crc32c"));
    const struct seen *complete = find(script, "POST /bucket/prefix/k?uploadId=");
    assert_non_null(strstr(complete->head, "If-None-Match: *\r\n"));
    assert_non_null(strstr(complete->body, "<Part><ETag>&#34;p1&#34;</ETag><ChecksumCRC32C>"));
    assert_non_null(strstr(complete->body, "<PartNumber>3</PartNumber></Part></Complete"));
    sfi_store_release(store);
    script_stop(script);
}

static void small_objects_are_one_request(void **state)
{
    static const struct step steps[] = {{"PUT /bucket/prefix/k ", 200, ETAG_A, NULL, 0, 0}};
    struct script *script = script_start(steps, 1);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    char etag[SFI_ETAG_SIZE];
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(upload_text(store, "abcdefghij", etag, NULL), SHARDY_OK);
    assert_string_equal(etag, "\"aaaa\"");
    assert_string_equal(script->seen[0].body, "abcdefghij");
    assert_non_null(strstr(script->seen[0].head, "If-None-Match: *\r\n"));
    assert_int_equal(atomic_load(&script->seen_count), 1);
    sfi_store_release(store);
    script_stop(script);
}

#define UPLOAD(key, id, began)                                                      \
    "<Upload><Key>prefix/" key "</Key><UploadId>" id "</UploadId><Initiated>" began \
    "</Initiated></Upload>"

/* The answer to the first creation is lost, so an upload may be there that nobody knows. */
static void unknown_uploads_are_aborted(void **state)
{
    static const struct step steps[] = {
        {.match = "POST /bucket/prefix/k?uploads=", .kind = STEP_DROP},
        PARTS,
        {"GET /bucket?prefix=prefix%2Fk&uploads=", 200, "Date: Tue, 01 Jan 2041 10:00:00 GMT\r\n",
         "<ListMultipartUploadsResult>" UPLOAD("k", "id/1+", "2041-01-01T10:00:00.000Z")
             UPLOAD("k", "unknown", "2041-01-01T09:59:59.000Z")
                 UPLOAD("k", "older", "2041-01-01T09:00:00.000Z")
                     UPLOAD("kk", "another", "2041-01-01T10:00:00.000Z")
                         UPLOAD("k", "undated", "") "</ListMultipartUploadsResult>",
         0, 0},
        {"DELETE /bucket/prefix/k?uploadId=unknown", 204, NULL, NULL, 0, 0},
        DONE,
        SIZE(26)};
    struct script *script = script_start(steps, 9);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(upload_text(store, "abcdefghijklmnopqrstuvwxyz", NULL, NULL), SHARDY_OK);
    assert_int_equal(atomic_load(&script->seen_count), 9);
    sfi_store_release(store);
    script_stop(script);
}

/* The server is asked for an upload when the second part begins; nobody waits for its answer before
 * the part is full, and an upload that is given up meanwhile does not wait either. */
static void creating_does_not_block(void **state)
{
    static const struct step steps[] = {
        {"uploads=", 0, NULL, NULL, STEP_HANG, 0},
        {"GET /bucket?", 200, NULL, "<ListMultipartUploadsResult/>", STEP_ALWAYS, 0}};
    struct script *script = script_start(steps, 2);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    struct sfi_upload *upload = NULL;
    struct sfi_bytes bytes = {(const uint8_t *)"0123456789", 10};
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(sfi_store_upload(store, "k", NULL, 4, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->append(upload, bytes, NULL), SHARDY_OK);
    for (unsigned i = 0; i < 5000 && !atomic_load(&script->seen_count); i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&script->seen_count), 1);
    upload->ops->abort(upload);
    sfi_store_release(store);
    script_stop(script);
}

static void checksums_follow_the_server(void **state)
{
    static const struct step steps[] = {
        {"uploads=", 501, NULL, ERROR_XML("NotImplemented"), 0, 0}, PARTS, DONE, SIZE(26)};
    struct script *script = script_start(steps, 7);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    (void)state;
    sfi_s3_of(store)->config.part_bytes = 10;
    assert_int_equal(upload_text(store, "abcdefghijklmnopqrstuvwxyz", NULL, NULL), SHARDY_OK);
    assert_null(seen_header(find(script, "partNumber=2&"), "x-amz-checksum-crc32c"));
    assert_null(strstr(find(script, "POST /bucket/prefix/k?uploadId=")->body, "Checksum"));
    sfi_store_release(store);
    script_stop(script);
}

static void appending_stops_after_a_failure(void **state)
{
    static const struct step steps[] = {
        CREATE,  {"partNumber=2", 403, NULL, ERROR_XML("AccessDenied"), 0, 0},
        PART(3), PART(4),
        PART(5), PART(6),
        PART(7), PART(8),
        ABORTED};
    struct script *script = script_start(steps, 9);
    struct sfi_store *store = script_store(script, NULL, 0, NULL);
    char text[400];
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    sfi_s3_of(store)->config.part_bytes = 10;
    /* 40 parts: the failure of the second is known long before the last. */
    assert_int_equal(upload_text(store, text, NULL, &err), SHARDY_CONFIG);
    assert_true(atomic_load(&script->seen_count) <= 9);
    assert_non_null(find(script, "DELETE"));
    sfi_store_release(store);
    script_stop(script);
}

static void parts_grow(void **state)
{
    uint64_t total = 0;
    (void)state;
    for (unsigned n = 1; n <= SFI_UPLOAD_PARTS_MAX; n++) {
        uint64_t size = sfi_s3_part_size(SFI_UPLOAD_PART_BYTES, n);
        assert_true(size >= UINT64_C(5) << 20 && size <= UINT64_C(5) << 30);
        total += size;
    }
    assert_true(total >= UINT64_C(5) << 40);
    assert_int_equal(sfi_s3_part_size(SFI_UPLOAD_PART_BYTES, 999), SFI_UPLOAD_PART_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenarios_come_out),
        cmocka_unit_test(own_echoes_are_known),
        cmocka_unit_test(parts_are_what_was_given),
        cmocka_unit_test(small_objects_are_one_request),
        cmocka_unit_test(unknown_uploads_are_aborted),
        cmocka_unit_test(creating_does_not_block),
        cmocka_unit_test(checksums_follow_the_server),
        cmocka_unit_test(appending_stops_after_a_failure),
        cmocka_unit_test(parts_grow),
    };
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
