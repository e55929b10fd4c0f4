/*
 * shardyfusion/async.h - lookups without waiting: submit, and be told later, by a callback or
 * through a queue whose file descriptor an event loop watches.
 *
 * Thousands of operations may be in flight; none of them needs a thread of its own. On a store
 * that maps its files (file://, memory://) there is nothing to wait for: such operations complete
 * before the submitting call returns.
 *
 *   shardy_completion to = {.queue = queue, .arg = request};
 *   shardy_reader_get_async(reader, &key, &to, NULL, &err);
 *   ...                                            // the loop says: shardy_queue_fd() is readable
 *   while (shardy_queue_next(queue, &result)) {
 *       ...                                        // result.arg, result.status, result.value
 *       shardy_result_clear(&result);
 *   }
 */
#ifndef SHARDYFUSION_ASYNC_H
#define SHARDYFUSION_ASYNC_H

#include <shardyfusion/reader.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque: finished operations that nobody fetched yet. Share freely. */
typedef struct shardy_queue shardy_queue;

/** Opaque: an operation in flight, held in order to cancel it. Share freely. */
typedef struct shardy_operation shardy_operation;

/** How an operation ended. Release with shardy_result_clear(). */
typedef struct shardy_result {
    void *arg;            /**< as submitted */
    shardy_status status; /**< as the synchronous call returns; SHARDY_CANCELLED */
    shardy_error error;   /**< details when `status` is not SHARDY_OK */
    shardy_value value;   /**< of shardy_reader_get_async */
    shardy_items items;   /**< of shardy_reader_multi_get_async */
} shardy_result;

/** Release a result and zero it. NULL is accepted. */
SHARDY_API void shardy_result_clear(shardy_result *result);

/**
 * Where the result goes: to `done` when it is set, else into `queue`.
 *
 * `done` is called exactly once for every operation that was submitted: on the thread that
 * submits or cancels, or on one of the library's own. It must not block and must not call blocking
 * functions of the same reader: everything else in flight waits meanwhile. Submitting and
 * cancelling are fine. It owns what it takes out of the result and clears the rest; the struct
 * itself is gone when it returns.
 */
typedef struct shardy_completion {
    void (*done)(void *arg, shardy_result *result);
    shardy_queue *queue;
    void *arg;
} shardy_completion;

/**
 * Look one key up without waiting. The key is copied.
 *
 * @param[out] operation NULL, or a handle to be released with shardy_operation_release()
 * @return SHARDY_OK: submitted, the result comes. Anything else: no result comes; SHARDY_CONFIG
 *         (`completion` names neither callback nor queue), SHARDY_INPUT (the key),
 *         SHARDY_READER_STATE (closed), SHARDY_NO_MEMORY
 */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_get_async(shardy_reader *reader,
                                                                const shardy_key *key,
                                                                const shardy_completion *completion,
                                                                shardy_operation **operation,
                                                                shardy_error *err);

/** As shardy_reader_get_async() for many keys of one snapshot; order is kept. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_multi_get_async(
    shardy_reader *reader, const shardy_key *keys, size_t count,
    const shardy_completion *completion, shardy_operation **operation, shardy_error *err);

/** As shardy_reader_get_async(), with a routing context as in shardy_reader_get_with_context(). */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_get_async_with_context(
    shardy_reader *reader, const shardy_key *key, const shardy_context *context,
    const shardy_completion *completion, shardy_operation **operation, shardy_error *err);

/** As shardy_reader_multi_get_async(), with a routing context. */
SHARDY_API SHARDY_CHECKED shardy_status shardy_reader_multi_get_async_with_context(
    shardy_reader *reader, const shardy_key *keys, size_t count, const shardy_context *context,
    const shardy_completion *completion, shardy_operation **operation, shardy_error *err);

/**
 * Ask for the end of an operation. Its result still comes, once: SHARDY_CANCELLED, or the answer
 * when that was faster. Requests that nobody else waits for are taken back. NULL is accepted.
 */
SHARDY_API void shardy_operation_cancel(shardy_operation *operation);

/** Release a handle; the operation goes on. NULL is accepted. */
SHARDY_API void shardy_operation_release(shardy_operation *operation);

/** Make a queue. @param[out] queue release with shardy_queue_free() */
SHARDY_API SHARDY_CHECKED shardy_status shardy_queue_new(shardy_queue **queue, shardy_error *err);

/** Descriptor that is readable while the queue holds results. Owned by the queue: only watch it. */
SHARDY_API int shardy_queue_fd(const shardy_queue *queue);

/** Take the oldest result. @return false when there is none at the moment. Never blocks. */
SHARDY_API bool shardy_queue_next(shardy_queue *queue, shardy_result *result);

/**
 * Release a queue and the results in it. Operations that would still complete into it go on, their
 * results are dropped. NULL is accepted.
 */
SHARDY_API void shardy_queue_free(shardy_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
