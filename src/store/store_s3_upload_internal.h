/*
 * store_s3_upload_internal.h - what store_s3_upload.c (buffers) and store_s3_multipart.c (requests)
 * share.
 */
#ifndef SFI_STORE_STORE_S3_UPLOAD_INTERNAL_H
#define SFI_STORE_STORE_S3_UPLOAD_INTERNAL_H

#include "base/completion.h"
#include "base/limits.h"
#include "store/store_s3_internal.h"

#define SFI_S3_UPLOAD_ID_SIZE 1024
/* The first part, and those that are filled and sent. */
#define SFI_S3_SLOTS (1 + SFI_UPLOAD_PARTS_IN_FLIGHT)

struct sfi_s3_upload;

/* One buffer, and the call that sends it. */
struct sfi_s3_slot {
    struct sfi_s3_upload *upload;
    struct sfi_buf data;
    size_t want;              /* bytes of the part */
    unsigned number;          /* from 1 */
    struct sfi_s3_call *call; /* guarded by the upload's lock; NULL: free */
};

/* What completing needs to know of a part. */
struct sfi_s3_part {
    char etag[100];
    char crc[16];
};

/* One thread at a time, but for `synced`. */
struct sfi_s3_upload {
    struct sfi_upload base;
    struct sfi_s3_store *store;
    pid_t owner;
    char *key;
    char *content_type; /* may be NULL */
    size_t head_size;
    uint64_t size; /* bytes so far, head included */
    unsigned part_count;
    struct sfi_s3_slot slots[SFI_S3_SLOTS];
    struct sfi_s3_slot *current;           /* being filled; NULL: none */
    struct sfi_s3_call *creating;          /* the server is asked for an id; NULL: not now */
    struct sfi_completion created;         /* of `creating` */
    uint64_t create_us;                    /* when it was asked */
    char upload_id[SFI_S3_UPLOAD_ID_SIZE]; /* "" = none on the server */
    bool checksums;                        /* the server keeps CRC-32C of parts */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        unsigned in_flight;
        struct sfi_s3_part *parts;
        size_t capacity;
        shardy_status status; /* of the first part that failed */
        shardy_error error;
    } synced;
};

uint64_t sfi_s3_part_size(uint64_t base, unsigned number);
shardy_status sfi_s3_upload_append(struct sfi_s3_upload *upload, struct sfi_bytes bytes,
                                   shardy_error *err);

/* Ask for an upload; parts can be sent after sfi_s3_multipart_created. */
shardy_status sfi_s3_multipart_begin(struct sfi_s3_upload *upload, shardy_error *err);
/* These block. */
shardy_status sfi_s3_multipart_created(struct sfi_s3_upload *upload, shardy_error *err);
/* CONFLICT: the key exists; UNKNOWN: aborting frees the parts, and never touches an object. */
shardy_status sfi_s3_multipart_complete(struct sfi_s3_upload *upload, char *etag,
                                        shardy_error *err);
/*
 * Nothing to do without an upload on the server. Failures are not reported: nobody can help.
 * `parts_under_way`: the server may still be storing parts whose requests were cancelled.
 */
void sfi_s3_multipart_abort(struct sfi_s3_upload *upload, bool parts_under_way);
void sfi_s3_multipart_abort_id(struct sfi_s3_upload *upload, const char *id);
/* Abort what creating may have left behind since `first_us`: an answer was lost. */
void sfi_s3_orphans_abort(struct sfi_s3_upload *upload, uint64_t first_us);
/* A call that sends the slot; not started. NULL: no memory. */
struct sfi_s3_call *sfi_s3_part_call(struct sfi_s3_upload *upload, struct sfi_s3_slot *slot);

#endif
