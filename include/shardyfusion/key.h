/*
 * shardyfusion/key.h - keys as programs see them, and how a snapshot stores them.
 */
#ifndef SHARDYFUSION_KEY_H
#define SHARDYFUSION_KEY_H

#include <shardyfusion/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How keys are stored in the shards of a snapshot; recorded in the manifest. */
typedef enum shardy_key_encoding {
    SHARDY_KEY_U64BE = 0, /**< integers 0..2^64-1, 8 bytes big-endian; hash routing needs < 2^63 */
    SHARDY_KEY_U32BE = 1, /**< integers 0..2^32-1, 4 bytes big-endian */
    SHARDY_KEY_UTF8 = 2,  /**< text, its UTF-8 bytes */
    SHARDY_KEY_RAW = 3    /**< bytes unchanged */
} shardy_key_encoding;

/** Name of an encoding as manifests write it ("u64be", "u32be", "utf8", "raw"). Static. */
SHARDY_API const char *shardy_key_encoding_name(shardy_key_encoding encoding);

/** Parse an encoding name. @return SHARDY_OK; SHARDY_CONFIG naming the value and the choices. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_key_encoding_parse(const char *name,
                                                                  shardy_key_encoding *encoding,
                                                                  shardy_error *err);

/** Type of a key value. The type, not the encoding, decides the bytes that are hashed. */
typedef enum shardy_key_kind {
    SHARDY_KIND_INT = 0,  /**< signed 64-bit integer in `number` (two's complement) */
    SHARDY_KIND_UINT = 1, /**< unsigned 64-bit integer in `number` */
    SHARDY_KIND_STR = 2,  /**< UTF-8 text in `data`, `size` */
    SHARDY_KIND_BYTES = 3 /**< bytes in `data`, `size` */
} shardy_key_kind;

/** One key. Text and bytes are borrowed for the call and need no NUL; they may contain NULs. */
typedef struct shardy_key {
    shardy_key_kind kind;
    uint64_t number;
    const void *data;
    size_t size;
} shardy_key;

/** Key from a signed integer. */
static inline shardy_key shardy_key_int(int64_t value)
{
    shardy_key key = {SHARDY_KIND_INT, (uint64_t)value, NULL, 0};
    return key;
}

/** Key from an unsigned integer. */
static inline shardy_key shardy_key_uint(uint64_t value)
{
    shardy_key key = {SHARDY_KIND_UINT, value, NULL, 0};
    return key;
}

/** Key from UTF-8 text of `size` bytes; borrowed. */
static inline shardy_key shardy_key_str(const char *text, size_t size)
{
    shardy_key key = {SHARDY_KIND_STR, 0, text, size};
    return key;
}

/** Key from `size` bytes; borrowed. */
static inline shardy_key shardy_key_bytes(const void *data, size_t size)
{
    shardy_key key = {SHARDY_KIND_BYTES, 0, data, size};
    return key;
}

/**
 * XXH3-64 (seed 0) of the key's canonical bytes: 8 bytes little-endian two's complement for
 * integers, UTF-8 for text, the bytes themselves for bytes.
 *
 * @param[out] digest  the hash; 0 on failure
 * @return SHARDY_OK; SHARDY_INPUT when an unsigned integer is above 2^63-1
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_key_digest(const shardy_key *key, uint64_t *digest,
                                                          shardy_error *err);

/**
 * Bytes under which a snapshot with `encoding` stores `key`.
 *
 * @param buffer    receives the bytes when they are not those of the key itself; 8 bytes suffice
 * @param[out] data points to `buffer` or into the key; borrowed, `size` bytes
 * @return SHARDY_OK; SHARDY_INPUT when the key's kind or range does not fit the encoding.
 *         Bytes of length 8 (u64be) or 4 (u32be) are taken as already encoded.
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_key_encode(const shardy_key *key,
                                                          shardy_key_encoding encoding,
                                                          uint8_t buffer[8], const void **data,
                                                          size_t *size, shardy_error *err);

#ifdef __cplusplus
}
#endif

#endif
