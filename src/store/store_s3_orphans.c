/*
 * store_s3_orphans.c - multipart uploads that nobody knows: the answer to their creation was lost.
 * They are found by their key and by their age, and aborted, since the server keeps (and bills)
 * them until somebody does.
 *
 * Keys of uploads are create only and belong to one attempt of one build, so what began under this
 * key since our first try is ours. Whoever may not list uploads leaves them to the bucket's rules.
 */
#include "store/store_s3_upload_internal.h"

#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>

/* What clocks and the rounding of dates may add. */
#define SLACK_S 2
/* A call has at most this many tries that may have created one. */
#define ORPHANS_MAX 128

struct orphans {
    const char *key; /* with the store's prefix */
    const char *own; /* the upload that is in use; "" = none */
    int64_t since_us;
    char at_key[SFI_S3_XML_TEXT_MAX];
    char id[SFI_S3_UPLOAD_ID_SIZE];
    char initiated[64];
    char *found[ORPHANS_MAX];
    size_t count;
};

static void copy(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    memcpy(to, n < size ? from : "", n < size ? n + 1 : 1);
}

static bool on_element(void *arg, const char *path, const char *text)
{
    static const char root[] = "ListMultipartUploadsResult/Upload";
    struct orphans *orphans = arg;
    if (strncmp(path, root, sizeof root - 1) != 0) {
        return true;
    }
    const char *name = path + sizeof root - 1;
    if (!strcmp(name, "/Key")) {
        copy(orphans->at_key, sizeof orphans->at_key, text);
    } else if (!strcmp(name, "/UploadId")) {
        copy(orphans->id, sizeof orphans->id, text);
    } else if (!strcmp(name, "/Initiated")) {
        copy(orphans->initiated, sizeof orphans->initiated, text);
    } else if (!*name) {
        int64_t began;
        bool ours = !strcmp(orphans->at_key, orphans->key) && orphans->id[0] &&
                    strcmp(orphans->id, orphans->own) != 0 &&
                    sfi_timestamp_parse(orphans->initiated, strlen(orphans->initiated), &began) &&
                    began >= orphans->since_us;
        if (ours && orphans->count < ORPHANS_MAX) {
            orphans->found[orphans->count] = sfi_strdup(orphans->id);
            orphans->count += orphans->found[orphans->count] != NULL;
        }
        orphans->at_key[0] = orphans->id[0] = orphans->initiated[0] = '\0';
    }
    return true;
}

static enum sfi_s3_verdict judge_uploads(struct sfi_s3_call *call)
{
    if (call->http.http_status != 200) {
        return SFI_S3_OTHERWISE;
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

/* Fill `orphans` from the server; nothing on failure. */
static void find_orphans(struct sfi_s3_upload *upload, uint64_t first_us, struct orphans *orphans)
{
    struct sfi_buf query;
    int64_t now;
    sfi_buf_init(&query, SFI_S3_XML_TEXT_MAX * 4);
    sfi_buf_append_text(&query, "prefix=");
    sfi_uri_encode(&query, orphans->key, false);
    sfi_buf_append_text(&query, "&uploads=");
    struct sfi_s3_call *call = query.failed ? NULL : sfi_s3_call_new(upload->store, 0);
    if (call) {
        call->verb = "LIST_UPLOADS";
        call->method = "GET";
        call->label = upload->key;
        call->query = (const char *)query.data;
        call->max_body = SFI_S3_LIST_BODY_MAX;
        call->judge = judge_uploads;
        if (sfi_s3_call_run(call, NULL) == SHARDY_OK &&
            sfi_s3_http_date(sfi_s3_answer_header(call, "date"), &now)) {
            int64_t age_us = (int64_t)(sfi_monotonic_us() - first_us);
            orphans->since_us = (now - SLACK_S) * 1000000 - age_us;
            (void)sfi_s3_xml_parse(sfi_buf_view(&call->http.data), on_element, orphans, NULL);
        }
        sfi_s3_call_release(call);
    }
    sfi_buf_clear(&query);
}

void sfi_s3_orphans_abort(struct sfi_s3_upload *upload, uint64_t first_us)
{
    struct orphans *orphans = sfi_calloc(1, sizeof *orphans);
    struct sfi_buf key;
    sfi_buf_init(&key, 2 * SFI_URL_MAX_BYTES);
    sfi_buf_append_text(&key, upload->store->config.prefix);
    if (orphans && sfi_buf_append_text(&key, upload->key)) {
        orphans->key = (const char *)key.data;
        orphans->own = upload->upload_id;
        find_orphans(upload, first_us, orphans);
        for (size_t i = 0; i < orphans->count; i++) {
            sfi_s3_multipart_abort_id(upload, orphans->found[i]);
            sfi_free(orphans->found[i]);
        }
    }
    sfi_buf_clear(&key);
    sfi_free(orphans);
}
