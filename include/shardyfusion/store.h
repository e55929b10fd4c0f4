/*
 * shardyfusion/store.h - options of the object store behind a URL.
 *
 * Options are names and values; they matter to s3:// URLs and are ignored by others:
 *
 *   endpoint_url         https://... or http://...; instead of AWS_ENDPOINT_URL_S3,
 *                        AWS_ENDPOINT_URL, SLATEDB_S3_ENDPOINT_URL,
 *                        https://s3.<region>.amazonaws.com
 *   region_name          instead of S3_REGION, AWS_REGION, AWS_DEFAULT_REGION, the profile;
 *                        us-east-1
 *   addressing_style     path, virtual, auto
 *   verify_ssl           true, false, or the path of a CA bundle
 *   ca_file              path of a CA bundle (AWS_CA_BUNDLE)
 *   connect_timeout      seconds, default 5
 *   read_timeout         seconds without progress, default 30; a request that stalls so long is
 *                        tried again
 *   max_attempts         tries of one request, default 6
 *   retry_timeout        seconds after the first failed try in which others may begin, default 30
 *   max_connections      default 64
 *   http2                true, false (default)
 *   access_key_id, secret_access_key, session_token
 *                        instead of S3_*, AWS_* and all further sources
 *   profile              instead of AWS_PROFILE
 *   anonymous            true: requests are not signed
 *   request_payer        requester
 *   sse                  AES256, aws:kms; sse_kms_key_id
 *   checksum             crc32c (default where the server takes it), none
 *
 * An unknown name, or a value that does not fit, is SHARDY_CONFIG naming it.
 */
#ifndef SHARDYFUSION_STORE_H
#define SHARDYFUSION_STORE_H

#include <shardyfusion/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One option of a store. Both strings are copied by the call that takes them. */
typedef struct shardy_store_option {
    const char *name;
    const char *value;
} shardy_store_option;

#ifdef __cplusplus
}
#endif

#endif
