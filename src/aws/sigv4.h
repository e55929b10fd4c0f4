/*
 * sigv4.h - AWS Signature Version 4 by request headers.
 * Source: AWS General Reference, "Signing AWS API requests".
 */
#ifndef SFI_AWS_SIGV4_H
#define SFI_AWS_SIGV4_H

#include "aws/credentials.h"
#include "base/bytes.h"

#define SFI_SHA256_HEX_SIZE  65
#define SFI_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SFI_AMZ_DATE_SIZE    17

struct sfi_sigv4_header {
    const char *name; /* any case */
    const char *value;
};

/* What is signed. `path` and `query` are exactly as they stand in the URL, percent-encoded. */
struct sfi_sigv4_input {
    const char *method;
    const char *path;                       /* "/bucket/key"; encoded once, as S3 wants it */
    const char *query;                      /* "list-type=2&prefix=a%2F", any order; "" = none */
    const struct sfi_sigv4_header *headers; /* to sign; host and every x-amz-* among them */
    size_t header_count;
    const char *payload_hash; /* hex SHA-256 of the body, or UNSIGNED-PAYLOAD */
    const char *region;
    const char *service;    /* "s3", "sts" */
    const char *amz_date;   /* "20260131T235959Z", the value of the x-amz-date header */
    bool encode_path_twice; /* every service but s3 */
};

/*
 * Derived signing keys of one secret, the last few days, regions and services. Any thread; NULL is
 * accepted everywhere and means that every signature derives its key.
 */
struct sfi_signing_keys *sfi_signing_keys_new(void);
void sfi_signing_keys_free(struct sfi_signing_keys *keys);

/* Append the value of the Authorization header. NO_MEMORY. */
shardy_status sfi_sigv4_authorization(const struct sfi_sigv4_input *input,
                                      const struct sfi_credentials *credentials,
                                      struct sfi_buf *out, shardy_error *err);
void sfi_sha256_hex(struct sfi_bytes bytes, char out[SFI_SHA256_HEX_SIZE]);
/* Unix seconds to "YYYYMMDDTHHMMSSZ". */
void sfi_amz_date(int64_t unix_seconds, char out[SFI_AMZ_DATE_SIZE]);
/* Append `text` percent-encoded as SigV4 wants it: A-Z a-z 0-9 - _ . ~ stay, '/' when told. */
bool sfi_uri_encode(struct sfi_buf *out, const char *text, bool keep_slash);

#endif
