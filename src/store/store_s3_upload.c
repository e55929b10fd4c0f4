/*
 * store_s3_upload.c - new objects written in order: one PUT, or a multipart upload whose first part
 * is sent last, because it holds the head that only commit knows.
 *
 * Memory: the first part and at most SFI_UPLOAD_PARTS_IN_FLIGHT others, whose buffers are used
 * again and again. The server is asked for an upload when the second part begins, and parts are
 * sent as they fill; append waits only when all buffers are on their way. An upload that is not
 * known to be complete is aborted on the server, which frees its parts and leaves objects alone.
 * Requests and their answers are store_s3_multipart.c.
 */
#include "store/store_s3_upload_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Sizes double every 1,000 parts: 8 TiB within 10,000 parts, and small objects have small parts. */
uint64_t sfi_s3_part_size(uint64_t base, unsigned number)
{
    return base << (number / 1000 < 10 ? number / 1000 : 9);
}

static void note_failure_locked(struct sfi_s3_upload *upload, const struct sfi_s3_call *call)
{
    if (upload->synced.status == SHARDY_OK) {
        upload->synced.status = call->status == SHARDY_UNKNOWN ? SHARDY_STORE : call->status;
        upload->synced.error = call->error;
        upload->synced.error.status = upload->synced.status;
    }
}

/* On the client's thread. */
static void on_part_sent(struct sfi_s3_call *call)
{
    struct sfi_s3_slot *slot = call->arg;
    struct sfi_s3_upload *upload = slot->upload;
    pthread_mutex_lock(&upload->synced.lock);
    if (call->status != SHARDY_OK) {
        note_failure_locked(upload, call);
    } else {
        struct sfi_s3_part *part = &upload->synced.parts[slot->number - 1];
        snprintf(part->etag, sizeof part->etag, "%s", sfi_s3_answer_header(call, "etag"));
        memcpy(part->crc, call->checksum_sent ? call->crc : "", call->checksum_sent ? 9 : 1);
    }
    slot->call = NULL;
    upload->synced.in_flight--;
    pthread_cond_signal(&upload->synced.wake);
    pthread_mutex_unlock(&upload->synced.lock);
    sfi_s3_call_release(call);
}

static shardy_status failure(struct sfi_s3_upload *upload, shardy_error *err)
{
    pthread_mutex_lock(&upload->synced.lock);
    shardy_status st = upload->synced.status;
    if (st != SHARDY_OK && err) {
        *err = upload->synced.error;
    }
    pthread_mutex_unlock(&upload->synced.lock);
    return st;
}

/* Start sending a slot's bytes as the part of its number. */
static shardy_status send_part(struct sfi_s3_upload *upload, struct sfi_s3_slot *slot,
                               shardy_error *err)
{
    struct sfi_s3_call *call = sfi_s3_part_call(upload, slot);
    if (!call) {
        return sfi_fail_memory(err, sizeof *call);
    }
    call->done = on_part_sent;
    call->arg = slot;
    pthread_mutex_lock(&upload->synced.lock);
    void *parts = upload->synced.parts;
    bool room = sfi_array_grow(&parts, &upload->synced.capacity, slot->number,
                               sizeof *upload->synced.parts);
    upload->synced.parts = parts;
    if (room) {
        memset(&upload->synced.parts[slot->number - 1], 0, sizeof *upload->synced.parts);
        upload->synced.in_flight++;
        slot->call = call;
    }
    pthread_mutex_unlock(&upload->synced.lock);
    if (!room) {
        sfi_s3_call_release(call);
        return sfi_fail_memory(err, slot->number * sizeof *upload->synced.parts);
    }
    sfi_s3_call_start(&call, 1);
    return SHARDY_OK;
}

/* The slot that is being filled goes out; the first part stays. */
static shardy_status send_current(struct sfi_s3_upload *upload, shardy_error *err)
{
    struct sfi_s3_slot *slot = upload->current;
    SFI_RETURN_IF_ERR(sfi_s3_multipart_created(upload, err));
    upload->current = NULL;
    return send_part(upload, slot, err);
}

/* A free slot for the next part; waits for one. */
static shardy_status take_slot(struct sfi_s3_upload *upload, shardy_error *err)
{
    struct sfi_s3_slot *slot = NULL;
    unsigned number = upload->part_count + 1;
    if (number > SFI_UPLOAD_PARTS_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "%s: an object of more than %u parts", upload->key,
                        SFI_UPLOAD_PARTS_MAX);
    }
    if (number == 1) {
        slot = &upload->slots[0];
    } else {
        pthread_mutex_lock(&upload->synced.lock);
        while (upload->synced.in_flight >= SFI_UPLOAD_PARTS_IN_FLIGHT) {
            pthread_cond_wait(&upload->synced.wake, &upload->synced.lock);
        }
        for (size_t i = 1; !slot; i++) {
            slot = upload->slots[i].call ? NULL : &upload->slots[i];
        }
        pthread_mutex_unlock(&upload->synced.lock);
        SFI_RETURN_IF_ERR(failure(upload, err));
    }
    if (number == 2) { /* the answer comes while the part is filled */
        SFI_RETURN_IF_ERR(sfi_s3_multipart_begin(upload, err));
    }
    upload->part_count = number;
    slot->number = number;
    slot->data.size = 0;
    slot->want = (size_t)sfi_s3_part_size(upload->store->config.part_bytes, number);
    upload->current = slot;
    return SHARDY_OK;
}

shardy_status sfi_s3_upload_append(struct sfi_s3_upload *upload, struct sfi_bytes bytes,
                                   shardy_error *err)
{
    upload->size += bytes.size;
    while (bytes.size) {
        struct sfi_s3_slot *slot = upload->current;
        if (slot && slot->data.size == slot->want && slot->number > 1) {
            SFI_RETURN_IF_ERR(send_current(upload, err));
            slot = NULL;
        } else if (slot && slot->data.size == slot->want) {
            upload->current = slot = NULL;
        }
        if (!slot) {
            SFI_RETURN_IF_ERR(take_slot(upload, err));
            slot = upload->current;
        }
        size_t room = slot->want - slot->data.size;
        size_t n = bytes.size < room ? bytes.size : room;
        if (slot->number > 1 && slot->data.capacity < slot->want) {
            (void)sfi_buf_reserve(&slot->data, slot->want - slot->data.size);
        }
        if (!sfi_buf_append(&slot->data, bytes.data, n)) {
            return sfi_fail_memory(err, n);
        }
        bytes.data += n;
        bytes.size -= n;
    }
    return SHARDY_OK;
}

/* Wait until nothing is under way. */
static void drain(struct sfi_s3_upload *upload)
{
    pthread_mutex_lock(&upload->synced.lock);
    while (upload->synced.in_flight) {
        pthread_cond_wait(&upload->synced.wake, &upload->synced.lock);
    }
    pthread_mutex_unlock(&upload->synced.lock);
}

/*
 * The same for a moment, then cancel what is left. Whether anything was: the server may go on with
 * such a part, and store it after the upload was aborted.
 */
static bool stop(struct sfi_s3_upload *upload)
{
    uint64_t end = sfi_monotonic_us() + SFI_S3_ABORT_WAIT_MS * UINT64_C(1000);
    struct timespec deadline = {(time_t)(end / 1000000), (long)(end % 1000000 * 1000)};
    bool cancelled = false;
    pthread_mutex_lock(&upload->synced.lock);
    while (upload->synced.in_flight &&
           pthread_cond_clockwait(&upload->synced.wake, &upload->synced.lock, CLOCK_MONOTONIC,
                                  &deadline) != ETIMEDOUT) {
    }
    for (size_t i = 0; i < SFI_S3_SLOTS; i++) {
        if (upload->slots[i].call) {
            sfi_s3_call_cancel(upload->slots[i].call);
            cancelled = true;
        }
    }
    pthread_mutex_unlock(&upload->synced.lock);
    drain(upload);
    return cancelled;
}

static void free_upload(struct sfi_s3_upload *upload)
{
    for (size_t i = 0; i < SFI_S3_SLOTS; i++) {
        sfi_buf_clear(&upload->slots[i].data);
    }
    pthread_cond_destroy(&upload->synced.wake);
    pthread_mutex_destroy(&upload->synced.lock);
    sfi_free(upload->synced.parts);
    sfi_free(upload->key);
    sfi_free(upload->content_type);
    sfi_store_release(&upload->store->base);
    sfi_free(upload);
}

/* A child that inherited the upload must not touch it on the server. */
static bool is_ours(const struct sfi_s3_upload *upload)
{
    return upload->owner == getpid();
}

static shardy_status upload_append(struct sfi_upload *base, struct sfi_bytes bytes,
                                   shardy_error *err)
{
    struct sfi_s3_upload *upload = (struct sfi_s3_upload *)base;
    if (!is_ours(upload)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: an upload belongs to the process that began it",
                        upload->key);
    }
    return sfi_s3_upload_append(upload, bytes, err);
}

static void upload_abort(struct sfi_upload *base)
{
    struct sfi_s3_upload *upload = (struct sfi_s3_upload *)base;
    if (is_ours(upload)) {
        sfi_s3_multipart_abort(upload, stop(upload));
    }
    free_upload(upload);
}

/* Refused because the key exists: with these very bytes, the request or the build came twice. */
static bool is_there(struct sfi_s3_upload *upload, char *etag)
{
    struct sfi_buf stored;
    struct sfi_bytes body = sfi_buf_view(&upload->slots[0].data);
    char found[SFI_ETAG_SIZE];
    sfi_buf_init(&stored, SIZE_MAX - 1);
    bool same = sfi_store_get(&upload->store->base, upload->key, body.size + 1, &stored, found,
                              NULL) == SHARDY_OK &&
                sfi_bytes_compare(sfi_buf_view(&stored), body) == 0;
    if (same && etag) {
        memcpy(etag, found, sizeof found);
    }
    sfi_buf_clear(&stored);
    return same;
}

/* Everything fits the first part: one request, create only. */
static shardy_status put_whole(struct sfi_s3_upload *upload, char *etag, shardy_error *err)
{
    shardy_status st =
        sfi_store_put(&upload->store->base, upload->key, sfi_buf_view(&upload->slots[0].data),
                      upload->content_type, SFI_STORE_IF_ABSENT, NULL, etag, err);
    return st == SHARDY_CONFLICT && is_there(upload, etag) ? SHARDY_OK : st;
}

static shardy_status set_head(struct sfi_s3_upload *upload, struct sfi_bytes head,
                              shardy_error *err)
{
    struct sfi_buf *first = &upload->slots[0].data;
    bool only_head = upload->size == upload->head_size;
    if (head.size > upload->head_size || (head.size < upload->head_size && !only_head)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: head of %zu bytes, expected %zu", upload->key,
                        head.size, upload->head_size);
    }
    if (only_head) {
        first->size = head.size;
        upload->size = head.size;
    }
    if (head.size) {
        memcpy(first->data, head.data, head.size);
    }
    return SHARDY_OK;
}

static shardy_status finish(struct sfi_s3_upload *upload, struct sfi_bytes head, char *etag,
                            shardy_error *err)
{
    if (!is_ours(upload)) {
        return upload_append(&upload->base, head, err);
    }
    SFI_RETURN_IF_ERR(set_head(upload, head, err));
    if (upload->part_count <= 1) {
        return put_whole(upload, etag, err);
    }
    if (upload->current && upload->current->number > 1) {
        SFI_RETURN_IF_ERR(send_current(upload, err));
    }
    SFI_RETURN_IF_ERR(send_part(upload, &upload->slots[0], err));
    drain(upload);
    SFI_RETURN_IF_ERR(failure(upload, err));
    return sfi_s3_multipart_complete(upload, etag, err);
}

static shardy_status upload_commit(struct sfi_upload *base, struct sfi_bytes head, char *etag,
                                   shardy_error *err)
{
    struct sfi_s3_upload *upload = (struct sfi_s3_upload *)base;
    shardy_status st = finish(upload, head, etag, err);
    upload_abort(base);
    return st;
}

static const struct sfi_upload_ops s_upload_ops = {
    .append = upload_append,
    .commit = upload_commit,
    .abort = upload_abort,
};

/* Zeros where the head will be. */
static shardy_status reserve_head(struct sfi_s3_upload *upload, shardy_error *err)
{
    struct sfi_buf *first = &upload->slots[0].data;
    if (upload->head_size > upload->store->config.part_bytes) {
        return sfi_fail(err, SHARDY_LIMIT, "%s: a head of %zu bytes does not fit the first part",
                        upload->key, upload->head_size);
    }
    SFI_RETURN_IF_ERR(take_slot(upload, err));
    uint8_t *head = sfi_buf_reserve(first, upload->head_size);
    if (!head) {
        return sfi_fail_memory(err, upload->head_size);
    }
    memset(head, 0, upload->head_size);
    first->size = upload->size = upload->head_size;
    return SHARDY_OK;
}

shardy_status sfi_s3_upload(struct sfi_store *base, const char *key, const char *content_type,
                            size_t head_size, struct sfi_upload **out, shardy_error *err)
{
    struct sfi_s3_upload *upload = sfi_calloc(1, sizeof *upload);
    if (!upload) {
        return sfi_fail_memory(err, sizeof *upload);
    }
    sfi_s3_enter(sfi_s3_of(base));
    upload->base.ops = &s_upload_ops;
    upload->store = sfi_s3_of(sfi_store_acquire(base));
    upload->owner = getpid();
    upload->head_size = head_size;
    pthread_mutex_init(&upload->synced.lock, NULL);
    pthread_cond_init(&upload->synced.wake, NULL);
    for (size_t i = 0; i < SFI_S3_SLOTS; i++) {
        sfi_buf_init(&upload->slots[i].data, SIZE_MAX - 1);
        upload->slots[i].upload = upload;
    }
    upload->key = sfi_strdup(key);
    upload->content_type = sfi_strdup(content_type);
    shardy_status st = upload->key && (upload->content_type || !content_type)
                           ? reserve_head(upload, err)
                           : sfi_fail_memory(err, strlen(key) + 1);
    if (st != SHARDY_OK) {
        free_upload(upload);
        return st;
    }
    *out = &upload->base;
    return SHARDY_OK;
}
