/*
 * test_sqlite_remote_threads.c - lookups, scans, fills and evictions of one remote shard from
 * several threads at once: every answer is right. Meant for ThreadSanitizer, too.
 */
#include "remote_sample.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define READERS 3
#define ROUNDS  12

static const struct remote_shape shapes[] = {
    {.name = "ours",
     .ours = true,
     .page_size = 4096,
     .rows = 20000,
     .value_size = 100,
     .long_every = 50,
     .long_size = 9000},
    {.name = "foreign",
     .shuffled = true,
     .page_size = 4096,
     .rows = 8000,
     .value_size = 300,
     .long_every = 50,
     .long_size = 9000},
};

struct shared {
    const struct remote_file *file;
    struct sfi_shard_reader *shard;
    atomic_bool stop;
    atomic_size_t wrong;
};

struct reader {
    struct shared *shared;
    unsigned number;
};

static void look_up(struct remote_net *net, unsigned number)
{
    uint32_t numbers[20];
    for (uint32_t i = 0; i < 20; i++) {
        numbers[i] = (number * 7919 + i * 1543) % (2 * net->file->shape.rows + 3);
    }
    size_t wrong = 0;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_status st = remote_get(net, numbers, 20, &wrong, &err);
    remote_require(st == SHARDY_OK && wrong == 0, st ? err.message : "wrong answer");
}

/* A few hundred rows; their order and number are another test's. */
static void scan_some(struct remote_net *net)
{
    struct sfi_shard_cursor *cursor = NULL;
    struct sfi_bytes start = {NULL, 0};
    struct sfi_row rows[50];
    size_t seen = 0;
    size_t count = 1;
    while (seen < 300 && count) {
        bool missing = false;
        shardy_status st =
            cursor ? sfi_remote_next(cursor, rows, 50, &count, &net->wants, &missing, NULL)
                   : sfi_remote_seek(net->shard, start, &cursor, &net->wants, &missing, NULL);
        remote_require(st == SHARDY_OK, "scan fails");
        if (missing) {
            remote_require(remote_wave(net, NULL) == SHARDY_OK, "wave fails");
            count = 1;
        } else if (cursor) {
            seen += count;
        }
    }
    sfi_remote_cursor_free(cursor);
}

static void *read_rows(void *arg)
{
    struct reader *reader = arg;
    struct remote_net net = {.file = reader->shared->file, .shard = reader->shared->shard};
    net.etag = REMOTE_ETAG;
    net.crowded = true;
    net.most_waves = UINT64_MAX;
    net.tiny = reader->number == 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        look_up(&net, reader->number * 1000 + round);
        if (round % 6 == reader->number) {
            scan_some(&net);
        }
    }
    sfi_wants_clear(&net.wants);
    return NULL;
}

static void *evict(void *arg)
{
    struct shared *shared = arg;
    while (!atomic_load(&shared->stop)) {
        (void)sfi_remote_evict(shared->shard, 64u << 10);
        (void)sfi_remote_resident(shared->shard);
        sched_yield();
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 5; mode++) {
        struct remote_file file;
        struct remote_net net;
        struct shared shared = {0};
        struct reader readers[READERS];
        pthread_t threads[READERS];
        pthread_t evictor;
        remote_make(&file, &shapes[mode / 3]);
        remote_add_sidecar(&file, REMOTE_ETAG);
        remote_open(&net, &file, (enum remote_hint)(mode % 3));
        shared.file = &file;
        shared.shard = net.shard;
        for (unsigned i = 0; i < READERS; i++) {
            readers[i] = (struct reader){&shared, i};
            assert_int_equal(pthread_create(&threads[i], NULL, read_rows, &readers[i]), 0);
        }
        assert_int_equal(pthread_create(&evictor, NULL, evict, &shared), 0);
        for (unsigned i = 0; i < READERS; i++) {
            pthread_join(threads[i], NULL);
        }
        atomic_store(&shared.stop, true);
        pthread_join(evictor, NULL);
        assert_true(sfi_remote_resident(net.shard) <= file.size);
        remote_close_net(&net);
        remote_clear(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
