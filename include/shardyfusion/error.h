/*
 * shardyfusion/error.h - status codes, error details and library-wide set-up.
 *
 * Every function that can fail returns a shardy_status and takes an optional last parameter
 * `shardy_error *err`. The status is small, stable and says what to do; the message is rich, meant
 * for people, and may change between releases.
 */
#ifndef SHARDYFUSION_ERROR_H
#define SHARDYFUSION_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && __GNUC__ >= 4
#define SHARDY_API     __attribute__((visibility("default")))
#define SHARDY_CHECKED __attribute__((warn_unused_result))
#else
#define SHARDY_API
#define SHARDY_CHECKED
#endif

/* One row per status: name, value, retryable, default text. Append only; values are ABI. */
#define SHARDY_STATUS_MAP(XX)                                                              \
    XX(OK, 0, false, "ok")                                                                 \
    XX(CONFIG, 1, false, "invalid configuration or argument")                              \
    XX(INPUT, 2, false, "a row, key or file of the input is not acceptable")               \
    XX(LIMIT, 3, false, "a documented limit was exceeded")                                 \
    XX(NO_MEMORY, 4, true, "out of memory")                                                \
    XX(CANCELLED, 5, false, "cancelled by the caller")                                     \
    XX(IO, 6, false, "local input or output failed")                                       \
    XX(STORE, 7, true, "object store temporarily failed")                                  \
    XX(NOT_FOUND, 8, false, "object or snapshot not found")                                \
    XX(CONFLICT, 9, false, "somebody else changed the object first")                       \
    XX(UNKNOWN, 10, true, "outcome unknown: the request may or may not have taken effect") \
    XX(CORRUPT, 11, false, "shard data is damaged")                                        \
    XX(MANIFEST, 12, false, "manifest or current pointer is malformed")                    \
    XX(PUBLISH, 13, true, "publishing failed")                                             \
    XX(ASSIGNMENT, 14, false, "a key cannot be assigned to a shard")                       \
    XX(COVERAGE, 15, false, "shard results do not cover the snapshot")                     \
    XX(READER_STATE, 16, false, "reader is closed or has no snapshot")                     \
    XX(UNSUPPORTED, 17, false, "not supported")

/** Result of every call that can fail. Values never change meaning between releases. */
typedef enum shardy_status {
#define SHARDY_STATUS_ENUM(name, value, retryable, text) SHARDY_##name = (value),
    SHARDY_STATUS_MAP(SHARDY_STATUS_ENUM)
#undef SHARDY_STATUS_ENUM
} shardy_status;

/** Details of one failure. Owned by the caller, usually on the stack; set only when a call fails.
 */
typedef struct shardy_error {
    shardy_status status; /**< SHARDY_OK until a call fails */
    int detail;           /**< errno, HTTP status or SQLite extended code; 0 = none */
    char message[1024];   /**< UTF-8, NUL-terminated, truncated at a character border */
} shardy_error;

/** Initial value of a shardy_error. */
#define SHARDY_ERROR_INIT \
    {                     \
        SHARDY_OK, 0,     \
        {                 \
            0             \
        }                 \
    }

/** Name of a status without prefix, for example "CONFLICT"; "?" for an unknown value. Static. */
SHARDY_API const char *shardy_status_name(shardy_status status);

/** One-line default text of a status; "unknown status" for an unknown value. Static. */
SHARDY_API const char *shardy_status_text(shardy_status status);

/** Whether the same call may succeed when repeated without any change. */
SHARDY_API bool shardy_status_retryable(shardy_status status);

/** Version of the library at run time, for example "0.1.0". Static. */
SHARDY_API const char *shardy_version(void);

/**
 * Memory functions used by the library. All four are required; `resize` and `zeroed` have the
 * contracts of realloc and calloc. They are called from several threads at once.
 */
typedef struct shardy_allocator {
    void *(*alloc)(size_t size);
    void *(*zeroed)(size_t count, size_t size);
    void *(*resize)(void *block, size_t size);
    void (*release)(void *block);
} shardy_allocator;

/**
 * Replace malloc and friends for the whole process. Call it before any other function of the
 * library; the table is copied. NULL restores the defaults. Not thread-safe.
 */
SHARDY_API void shardy_set_allocator(const shardy_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
