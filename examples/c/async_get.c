/*
 * async_get.c - a thousand lookups in flight at once, on one thread with a poll loop.
 *
 * Lookups are submitted without waiting. Finished ones are taken from a queue whose descriptor sits
 * in the loop like any socket, so the same loop can serve a network.
 *
 * Usage: async_get URL      file:///absolute/folder or s3://bucket/prefix
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <shardyfusion/shardyfusion.h>

#define ROWS 1000

struct tally {
    int pending;
    int right;
    int wrong;
};

static shardy_status build(const char *url, shardy_error *err)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_status status;

    options.url = url;
    options.num_dbs = 4;
    status = shardy_writer_open(&options, &writer, err);
    for (int64_t i = 0; status == SHARDY_OK && i < ROWS; i++) {
        shardy_key key = shardy_key_int(i);
        int64_t square = i * i;

        status = shardy_writer_add(writer, &key, &square, sizeof(square), err);
    }
    if (status == SHARDY_OK)
        status = shardy_writer_finish(writer, NULL, err);
    shardy_writer_free(writer);
    return status;
}

/* `arg` is what was submitted with the lookup: here the number that was looked up. */
static void take(struct tally *tally, const shardy_result *result)
{
    int64_t number = (int64_t)(intptr_t)result->arg;
    int64_t square = -1;

    if (result->status == SHARDY_OK && result->value.size == sizeof(square))
        memcpy(&square, result->value.data, sizeof(square));
    if (result->status != SHARDY_OK)
        fprintf(stderr, "%" PRId64 ": %s\n", number, result->error.message);
    tally->pending--;
    *(square == number * number ? &tally->right : &tally->wrong) += 1;
}

static shardy_status submit_all(shardy_reader *reader, shardy_queue *queue, struct tally *tally,
                                shardy_error *err)
{
    shardy_status status = SHARDY_OK;

    for (int64_t i = 0; status == SHARDY_OK && i < ROWS; i++) {
        shardy_key key = shardy_key_int(i);
        shardy_completion to = {.queue = queue, .arg = (void *)(intptr_t)i};

        status = shardy_reader_get_async(reader, &key, &to, NULL, err);
        tally->pending += status == SHARDY_OK;
    }
    return status;
}

static void loop(shardy_queue *queue, struct tally *tally)
{
    struct pollfd watched = {.fd = shardy_queue_fd(queue), .events = POLLIN};
    shardy_result result;

    while (tally->pending > 0) {
        if (poll(&watched, 1, -1) < 0)
            continue; /* a signal */
        while (shardy_queue_next(queue, &result)) {
            take(tally, &result);
            shardy_result_clear(&result);
        }
    }
}

int main(int argc, char **argv)
{
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_queue *queue = NULL;
    struct tally tally = {0, 0, 0};
    shardy_status status;

    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    options.url = argv[1];
    options.access = SHARDY_ACCESS_RANGE;
    status = build(argv[1], &err);
    if (status == SHARDY_OK)
        status = shardy_reader_open(&options, &reader, &err);
    if (status == SHARDY_OK)
        status = shardy_queue_new(&queue, &err);
    if (status == SHARDY_OK)
        status = submit_all(reader, queue, &tally, &err);
    if (status == SHARDY_OK)
        loop(queue, &tally);
    printf("%d right, %d wrong\n", tally.right, tally.wrong);
    shardy_reader_free(reader);
    shardy_queue_free(queue);
    if (status != SHARDY_OK)
        fprintf(stderr, "%s: %s\n", shardy_status_name(err.status), err.message);
    return status != SHARDY_OK || tally.wrong > 0;
}
