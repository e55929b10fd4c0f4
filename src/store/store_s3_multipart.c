/*
 * store_s3_multipart.c - the requests of a multipart upload: create, part, complete, abort.
 * Source: Amazon S3 API reference, CreateMultipartUpload and its neighbours.
 *
 * Completing is create only (If-None-Match: *). When its answer is lost, or the upload is gone at
 * the next try, the object decides: one of our size, made of as many parts, is ours. After a plain
 * refusal only an object with the very ETag of our parts is, and after a plain success one with the
 * ETag that the server named.
 */
#include "store/store_s3_upload_internal.h"

#include "base/timestamp.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPLETED_ETAG "CompleteMultipartUploadResult/ETag"

/* A call with its query behind it. */
static struct sfi_s3_call *new_call(struct sfi_s3_upload *upload, const char *verb,
                                    const char *method, unsigned number, const char *id)
{
    /* An encoded id is at most three times as long. */
    size_t room = 3 * SFI_S3_UPLOAD_ID_SIZE + 64;
    struct sfi_s3_call *call = sfi_s3_call_new(upload->store, room);
    struct sfi_buf query;
    sfi_buf_init(&query, room - 1);
    if (!call) {
        return NULL;
    }
    if (number) {
        sfi_buf_printf(&query, "partNumber=%u&", number);
    }
    sfi_buf_append_text(&query, id ? "uploadId=" : "uploads=");
    if (!sfi_uri_encode(&query, id ? id : "", false)) {
        sfi_s3_call_release(call);
        call = NULL;
    } else {
        memcpy(sfi_s3_call_state(call), query.data, query.size + 1);
        call->query = sfi_s3_call_state(call);
        call->verb = verb;
        call->method = method;
        call->key = upload->key;
        call->max_body = SFI_S3_ERROR_BODY_MAX;
    }
    sfi_buf_clear(&query);
    return call;
}

static enum sfi_s3_verdict judge_create(struct sfi_s3_call *call)
{
    char id[SFI_S3_UPLOAD_ID_SIZE];
    if (call->http.http_status >= 300) {
        return SFI_S3_OTHERWISE;
    }
    if (sfi_s3_error_parse(sfi_buf_view(&call->http.data), &call->answer)) {
        call->maybe_acted = true;
        return SFI_S3_OTHERWISE;
    }
    if (sfi_s3_text_parse(sfi_buf_view(&call->http.data), "InitiateMultipartUploadResult/UploadId",
                          id, sizeof id, NULL) != SHARDY_OK ||
        !id[0]) {
        sfi_s3_fail_call(call, SHARDY_STORE, "the answer names no UploadId");
        return SFI_S3_BROKEN;
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

static void on_created(struct sfi_s3_call *call)
{
    struct sfi_s3_upload *upload = call->arg;
    sfi_completion_signal(&upload->created);
}

shardy_status sfi_s3_multipart_begin(struct sfi_s3_upload *upload, shardy_error *err)
{
    struct sfi_s3_call *call = new_call(upload, "CREATE_UPLOAD", "POST", 0, NULL);
    if (!call) {
        return sfi_fail_memory(err, sizeof *call);
    }
    call->checksum = true;
    call->judge = judge_create;
    sfi_s3_call_header(call, "Content-Type",
                       upload->content_type ? upload->content_type : "application/octet-stream");
    call->done = on_created;
    call->arg = upload;
    upload->created = (struct sfi_completion)SFI_COMPLETION_INIT;
    upload->creating = call;
    upload->create_us = sfi_monotonic_us();
    sfi_s3_call_start(&call, 1);
    return SHARDY_OK;
}

shardy_status sfi_s3_multipart_created(struct sfi_s3_upload *upload, shardy_error *err)
{
    struct sfi_s3_call *call = upload->creating;
    if (!call) {
        return SHARDY_OK;
    }
    sfi_completion_wait(&upload->created);
    upload->creating = NULL;
    shardy_status st = call->status;
    if (st != SHARDY_OK && err) {
        *err = call->error;
    }
    if (st == SHARDY_OK) {
        upload->checksums = call->checksum_sent;
        st = sfi_s3_text_parse(sfi_buf_view(&call->http.data),
                               "InitiateMultipartUploadResult/UploadId", upload->upload_id,
                               sizeof upload->upload_id, err);
    }
    if (call->maybe_acted) {
        sfi_s3_orphans_abort(upload, upload->create_us);
    }
    sfi_s3_call_release(call);
    return st;
}

static enum sfi_s3_verdict judge_part(struct sfi_s3_call *call)
{
    const char *etag = sfi_s3_answer_header(call, "etag");
    if (call->http.http_status >= 300) {
        return SFI_S3_OTHERWISE;
    }
    if (!*etag || strlen(etag) >= sizeof((struct sfi_s3_part *)0)->etag) {
        sfi_s3_fail_call(call, SHARDY_STORE, "the answer to a part has no usable ETag");
        return SFI_S3_BROKEN;
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

struct sfi_s3_call *sfi_s3_part_call(struct sfi_s3_upload *upload, struct sfi_s3_slot *slot)
{
    struct sfi_s3_call *call =
        new_call(upload, "UPLOAD_PART", "PUT", slot->number, upload->upload_id);
    if (call) {
        call->body = sfi_buf_view(&slot->data);
        call->checksum = upload->checksums;
        call->judge = judge_part;
    }
    return call;
}

static enum sfi_s3_verdict judge_abort(struct sfi_s3_call *call)
{
    if (call->http.http_status >= 300 && !sfi_s3_is_missing(call)) {
        return SFI_S3_OTHERWISE;
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

void sfi_s3_multipart_abort_id(struct sfi_s3_upload *upload, const char *id)
{
    struct sfi_s3_call *call = new_call(upload, "ABORT_UPLOAD", "DELETE", 0, id);
    if (call) {
        call->judge = judge_abort;
        (void)sfi_s3_call_run(call, NULL);
        sfi_s3_call_release(call);
    }
}

void sfi_s3_multipart_abort(struct sfi_s3_upload *upload, bool parts_under_way)
{
    if (upload->creating) {
        sfi_s3_call_cancel(upload->creating);
        (void)sfi_s3_multipart_created(upload, NULL);
    }
    if (upload->upload_id[0]) {
        sfi_s3_multipart_abort_id(upload, upload->upload_id);
        if (parts_under_way) { /* S3: "it might be necessary to abort multiple times" */
            sfi_s3_multipart_abort_id(upload, upload->upload_id);
        }
        upload->upload_id[0] = '\0';
    }
}

static enum sfi_s3_verdict judge_complete(struct sfi_s3_call *call)
{
    char etag[SFI_ETAG_SIZE];
    int status = call->http.http_status;
    if (status == 412) {
        call->status = sfi_s3_fail_call(call, call->maybe_acted ? SHARDY_UNKNOWN : SHARDY_CONFLICT,
                                        sfi_s3_conflict_text(SFI_STORE_IF_ABSENT));
        return SFI_S3_DONE;
    }
    if (sfi_s3_is_missing(call)) {
        call->status = sfi_s3_fail_answer(call);
        call->status = call->attempts > 1 ? SHARDY_UNKNOWN : call->status;
        return SFI_S3_DONE;
    }
    if (status >= 300) {
        return SFI_S3_OTHERWISE;
    }
    if (sfi_s3_error_parse(sfi_buf_view(&call->http.data), &call->answer)) {
        call->maybe_acted = true;
        return SFI_S3_OTHERWISE;
    }
    if (sfi_s3_text_parse(sfi_buf_view(&call->http.data), COMPLETED_ETAG, etag, sizeof etag,
                          NULL) != SHARDY_OK ||
        !etag[0]) {
        sfi_s3_fail_call(call, SHARDY_STORE, "the answer to the completed upload names no ETag");
        return SFI_S3_BROKEN;
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

static shardy_status complete_body(const struct sfi_s3_upload *upload, struct sfi_buf *body,
                                   shardy_error *err)
{
    sfi_buf_init(body, (size_t)SFI_UPLOAD_PARTS_MAX * 1024);
    sfi_buf_append_text(body, "<CompleteMultipartUpload "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < upload->part_count; i++) {
        const struct sfi_s3_part *part = &upload->synced.parts[i];
        sfi_buf_append_text(body, "<Part><ETag>");
        sfi_s3_xml_escape(body, part->etag);
        sfi_buf_append_text(body, "</ETag>");
        if (part->crc[0]) {
            sfi_buf_printf(body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", part->crc);
        }
        sfi_buf_printf(body, "<PartNumber>%u</PartNumber></Part>", i + 1);
    }
    sfi_buf_append_text(body, "</CompleteMultipartUpload>");
    return sfi_buf_status(body, "list of parts", err);
}

/* "...-5" for an object of five parts; false when it is of another form, which says nothing. */
static bool names_parts(const char *etag, unsigned long *count)
{
    const char *dash = strrchr(etag, '-');
    size_t digits = dash ? strspn(dash + 1, "0123456789") : 0;
    if (!digits || (dash[1 + digits] && dash[1 + digits] != '"')) {
        return false;
    }
    *count = strtoul(dash + 1, NULL, 10);
    return true;
}

static bool fits_parts(const char *etag, unsigned count)
{
    unsigned long parts = 0;
    return !names_parts(etag, &parts) || parts == count;
}

/* The ETag that S3 makes of the parts' MD5s; false when theirs are something else. */
static bool expected_etag(const struct sfi_s3_upload *upload, char out[SFI_ETAG_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    bool ok = md5 && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1;
    for (unsigned i = 0; ok && i < upload->part_count; i++) {
        const char *etag = upload->synced.parts[i].etag;
        ok = strlen(etag) == 34 && strspn(etag + 1, "0123456789abcdef") == 32;
        for (size_t k = 0; ok && k < 16; k++) {
            const char hex[3] = {etag[1 + 2 * k], etag[2 + 2 * k], '\0'};
            digest[k] = (unsigned char)strtoul(hex, NULL, 16);
        }
        ok = ok && EVP_DigestUpdate(md5, digest, 16) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(md5, digest, &size) == 1 && size == 16;
    out[0] = '"';
    for (size_t k = 0; ok && k < 16; k++) {
        snprintf(out + 1 + 2 * k, 3, "%02x", digest[k]);
    }
    snprintf(out + 33, SFI_ETAG_SIZE - 33, "-%u\"", upload->part_count);
    EVP_MD_CTX_free(md5);
    return ok;
}

/* An ETag without quotes, which answers in XML may lack, and without the mark of proxies that
 * compress: "W/". */
static struct sfi_bytes bare_etag(const char *etag)
{
    etag += etag[0] == 'W' && etag[1] == '/' ? 2 : 0;
    etag += *etag == '"';
    return (struct sfi_bytes){(const uint8_t *)etag, strcspn(etag, "\"")};
}

/*
 * Whether HEAD tells of another object than the one that was completed. Only servers that name
 * ETags as S3 does are taken at their word: others have them in two forms, or not at all.
 */
static bool etags_differ(const char *named, const char *found, unsigned count)
{
    unsigned long parts = 0;
    struct sfi_bytes bare = bare_etag(found);
    return bare.size && names_parts(named, &parts) && parts == count &&
           sfi_bytes_compare(bare_etag(named), bare) != 0;
}

/* Whether the object may be what was sent; `named` is the ETag in the answer to completing. */
static bool is_sent(const struct sfi_s3_upload *upload, shardy_status completed, const char *named,
                    uint64_t size, const char *etag)
{
    char expected[SFI_ETAG_SIZE];
    if (size != upload->size) {
        return false;
    }
    switch (completed) {
    case SHARDY_OK:
        return !etags_differ(named, etag, upload->part_count);
    case SHARDY_UNKNOWN:
        return fits_parts(etag, upload->part_count);
    default: /* refused, but a proxy may have sent it twice */
        return expected_etag(upload, expected) && !strcmp(expected, etag);
    }
}

/*
 * Is what is stored under the key the object that was sent? `completed` is how completing ended,
 * and `err` says why.
 */
static shardy_status look(struct sfi_s3_upload *upload, shardy_status completed, const char *named,
                          char *etag, shardy_error *err)
{
    uint64_t size = 0;
    char found[SFI_ETAG_SIZE] = "";
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = sfi_store_head(&upload->store->base, upload->key, &size, found, &why);
    if (st == SHARDY_OK && completed == SHARDY_OK &&
        !is_sent(upload, completed, named, size, found)) {
        /* One answer to HEAD is weak evidence against a server that says it is done. */
        st = sfi_store_head(&upload->store->base, upload->key, &size, found, &why);
    }
    if (st == SHARDY_OK && is_sent(upload, completed, named, size, found)) {
        upload->upload_id[0] = '\0';
        if (etag) {
            memcpy(etag, found, sizeof found);
        }
        return SHARDY_OK;
    }
    if (completed != SHARDY_OK && completed != SHARDY_UNKNOWN) {
        return completed;
    }
    /* Done: there is nothing to abort. Perhaps done: aborting does not touch an object, and frees
     * the parts when there is none. */
    if (completed == SHARDY_OK) {
        upload->upload_id[0] = '\0';
    }
    if (st == SHARDY_OK && completed == SHARDY_OK) {
        return sfi_fail(err, SHARDY_STORE,
                        "%s/%s: %" PRIu64 " bytes were uploaded (ETag %s), but the object has "
                        "%" PRIu64 " (ETag %s); it was replaced or is damaged: build again",
                        upload->store->base.url, upload->key, upload->size, named, size, found);
    }
    if (st == SHARDY_OK) {
        sfi_fail(&why, SHARDY_UNKNOWN, "another object is there now, with %" PRIu64 " bytes", size);
    }
    return sfi_fail(err, SHARDY_UNKNOWN,
                    "%s/%s: the object of %" PRIu64 " bytes may or may not be stored: %.600s",
                    upload->store->base.url, upload->key, upload->size, why.message);
}

shardy_status sfi_s3_multipart_complete(struct sfi_s3_upload *upload, char *etag, shardy_error *err)
{
    struct sfi_buf body;
    struct sfi_s3_call *call = NULL;
    char named[SFI_ETAG_SIZE] = "";
    shardy_status st;
    SFI_TRY(complete_body(upload, &body, err));
    call = new_call(upload, "COMPLETE_UPLOAD", "POST", 0, upload->upload_id);
    if (!call) {
        st = sfi_fail_memory(err, sizeof *call);
        goto out;
    }
    call->body = sfi_buf_view(&body);
    call->mutates = true;
    call->judge = judge_complete;
    sfi_s3_call_header(call, "Content-Type", "application/xml");
    sfi_s3_call_header(call, "If-None-Match", "*");
    st = sfi_s3_call_run(call, err);
    if (st == SHARDY_OK) {
        (void)sfi_s3_text_parse(sfi_buf_view(&call->http.data), COMPLETED_ETAG, named, sizeof named,
                                NULL);
    }
    if (st == SHARDY_OK || st == SHARDY_UNKNOWN || st == SHARDY_CONFLICT ||
        sfi_s3_is_missing(call)) {
        st = look(upload, st, named, etag, err);
    }
out:
    sfi_s3_call_release(call);
    sfi_buf_clear(&body);
    return st;
}
