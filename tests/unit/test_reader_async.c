/*
 * test_reader_async.c - submitted lookups: by callback and by queue, many in flight, cancelled,
 * while the reader is refreshed, closed and freed. Runs under ThreadSanitizer.
 */
#include "reader_remote_sample.h"

#include <shardyfusion/async.h>

#include <poll.h>

/* Results of callbacks, in any order. */
struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t came;
    size_t ok;
    size_t cancelled;
    size_t failed;
    size_t wrong;
};

struct ticket {
    struct inbox *inbox;
    const struct snap_row *want; /* NULL: nothing to compare */
    unsigned times;
};

static void inbox_init(struct inbox *inbox)
{
    memset(inbox, 0, sizeof *inbox);
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_cond_init(&inbox->wake, NULL);
}

static bool is_right(const shardy_result *result, const struct snap_row *want)
{
    return result->value.size == want->value_size && result->value.data &&
           memcmp(result->value.data, want->value, want->value_size) == 0;
}

static void take(void *arg, shardy_result *result)
{
    struct ticket *ticket = arg;
    struct inbox *inbox = ticket->inbox;
    bool right = result->arg == ticket &&
                 (result->status != SHARDY_OK || !ticket->want || is_right(result, ticket->want));
    pthread_mutex_lock(&inbox->lock);
    inbox->ok += result->status == SHARDY_OK;
    inbox->cancelled += result->status == SHARDY_CANCELLED;
    inbox->failed += result->status != SHARDY_OK && result->status != SHARDY_CANCELLED;
    inbox->wrong += !right || ticket->times++ > 0;
    inbox->came++;
    pthread_cond_signal(&inbox->wake);
    pthread_mutex_unlock(&inbox->lock);
    shardy_result_clear(result);
}

static void wait_for(struct inbox *inbox, size_t count)
{
    pthread_mutex_lock(&inbox->lock);
    while (inbox->came < count) {
        pthread_cond_wait(&inbox->wake, &inbox->lock);
    }
    pthread_mutex_unlock(&inbox->lock);
    assert_int_equal(inbox->came, count);
    assert_int_equal(inbox->wrong, 0);
}

static void submit_get(struct rr_place *place, size_t row, struct ticket *ticket,
                       shardy_operation **operation)
{
    const struct snap_row *want = &place->table.rows[row];
    shardy_completion to = {take, NULL, ticket};
    shardy_key key = snap_key(&place->table, want);
    ticket->want = want;
    snap_ok(shardy_reader_get_async(place->reader, &key, &to, operation, err));
}

static void thousands_in_flight(void **state)
{
    enum { COUNT = 3000 };
    struct rr_place *place = *state;
    struct inbox inbox;
    struct ticket *tickets = snap_alloc(COUNT * sizeof *tickets);
    inbox_init(&inbox);
    rr_publish(place, 60000, 100, 5);
    rr_open_place(place);
    for (size_t i = 0; i < COUNT; i++) {
        tickets[i].inbox = &inbox;
        submit_get(place, (i * 7919) % 60000, &tickets[i], NULL);
    }
    wait_for(&inbox, COUNT);
    assert_int_equal(inbox.ok, COUNT);
    free(tickets);
}

static void results_through_a_queue(void **state)
{
    struct rr_place *place = *state;
    shardy_queue *queue = NULL;
    shardy_result result;
    size_t got = 0;
    char seen[200] = {0};
    rr_publish(place, 5000, 300, 3);
    rr_open_place(place);
    snap_ok(shardy_queue_new(&queue, err));
    assert_false(shardy_queue_next(queue, &result));
    for (size_t i = 0; i < 200; i++) {
        shardy_completion to = {NULL, queue, &seen[i]};
        shardy_key keys[] = {snap_key(&place->table, &place->table.rows[i]),
                             shardy_key_int(1000000)};
        if (i % 2) {
            snap_ok(shardy_reader_get_async(place->reader, keys, &to, NULL, err));
        } else {
            snap_ok(shardy_reader_multi_get_async(place->reader, keys, 2, &to, NULL, err));
        }
    }
    while (got < 200) {
        struct pollfd ready = {shardy_queue_fd(queue), POLLIN, 0};
        assert_int_equal(poll(&ready, 1, 60000), 1);
        while (shardy_queue_next(queue, &result)) {
            size_t i = (size_t)((char *)result.arg - seen);
            const struct snap_row *want = &place->table.rows[i];
            assert_int_equal(result.status, SHARDY_OK);
            if (i % 2) {
                assert_true(is_right(&result, want));
            } else {
                assert_int_equal(result.items.count, 2);
                assert_int_equal(result.items.items[0].size, want->value_size);
                assert_memory_equal(result.items.items[0].data, want->value, want->value_size);
                assert_null(result.items.items[1].data);
            }
            assert_int_equal(seen[i]++, 0);
            shardy_result_clear(&result);
            got++;
        }
    }
    struct pollfd idle = {shardy_queue_fd(queue), POLLIN, 0};
    assert_int_equal(poll(&idle, 1, 0), 0);
    shardy_queue_free(queue);
}

/* Results that nobody fetches, and a queue that is freed before its operations end. */
static void abandoned_queues(void **state)
{
    struct rr_place *place = *state;
    rr_publish(place, 5000, 300, 3);
    rr_open_place(place);
    for (size_t turn = 0; turn < 2; turn++) {
        shardy_queue *queue = NULL;
        snap_ok(shardy_queue_new(&queue, err));
        rs_hold(place->store, turn == 1);
        for (size_t i = 0; i < 20; i++) {
            shardy_completion to = {NULL, queue, NULL};
            shardy_key key = snap_key(&place->table, &place->table.rows[200 * i + turn]);
            snap_ok(shardy_reader_get_async(place->reader, &key, &to, NULL, err));
        }
        shardy_queue_free(queue);
        rs_hold(place->store, false);
    }
}

static void cancelled_ones(void **state)
{
    enum { COUNT = 40 };
    struct rr_place *place = *state;
    struct inbox inbox;
    struct ticket tickets[COUNT];
    shardy_operation *operations[COUNT];
    inbox_init(&inbox);
    memset(tickets, 0, sizeof tickets);
    rr_publish(place, 60000, 100, 1);
    rr_open_place(place);
    rr_value_is(place, 0);
    rs_reset(place->store);
    rs_hold(place->store, true);
    /* Pairs wait for the same page; the first of each is cancelled. */
    for (size_t i = 0; i < COUNT; i++) {
        tickets[i].inbox = &inbox;
        submit_get(place, 1000 + i / 2 * 2500, &tickets[i], &operations[i]);
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        shardy_operation_cancel(operations[i]);
        shardy_operation_cancel(operations[i]);
    }
    wait_for(&inbox, COUNT / 2);
    assert_int_equal(inbox.cancelled, COUNT / 2);
    assert_int_equal(place->store->cancels, 0); /* the other ones wait still */
    for (size_t i = 1; i < COUNT; i += 4) {
        shardy_operation_cancel(operations[i]); /* every second of the rest */
    }
    wait_for(&inbox, COUNT / 2 + COUNT / 4);
    assert_int_equal(place->store->cancels, COUNT / 4);
    rs_hold(place->store, false);
    wait_for(&inbox, COUNT);
    assert_int_equal(inbox.cancelled, COUNT / 2 + COUNT / 4);
    assert_int_equal(inbox.ok, COUNT / 4);
    for (size_t i = 0; i < COUNT; i++) {
        shardy_operation_cancel(operations[i]); /* too late: no effect */
        shardy_operation_release(operations[i]);
    }
    assert_int_equal(inbox.came, COUNT);
    for (size_t i = 0; i < COUNT; i += 2) {
        rr_value_is(place, 1000 + i / 2 * 2500);
    }
}

static void *cancel_many(void *arg)
{
    shardy_operation **operations = arg;
    for (size_t i = 0; operations[i]; i++) {
        shardy_operation_cancel(operations[i]);
    }
    return NULL;
}

static void cancelling_races_with_answers(void **state)
{
    enum { COUNT = 300 };
    struct rr_place *place = *state;
    rr_publish(place, 60000, 100, 2);
    rr_open_place(place);
    for (size_t turn = 0; turn < 10; turn++) {
        struct inbox inbox;
        struct ticket *tickets = snap_alloc(COUNT * sizeof *tickets);
        shardy_operation *operations[COUNT + 1] = {NULL};
        pthread_t thread;
        inbox_init(&inbox);
        for (size_t i = 0; i < COUNT; i++) {
            tickets[i].inbox = &inbox;
            submit_get(place, (turn * 5000 + i * 19) % 60000, &tickets[i], &operations[i]);
        }
        assert_int_equal(pthread_create(&thread, NULL, cancel_many, operations), 0);
        wait_for(&inbox, COUNT);
        pthread_join(thread, NULL);
        assert_int_equal(inbox.failed, 0);
        assert_int_equal(inbox.ok + inbox.cancelled, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            shardy_operation_release(operations[i]);
        }
        free(tickets);
    }
}

/* The handle outlives the reader, and the reader waits for what is in flight. */
static void freed_in_flight(void **state)
{
    enum { COUNT = 100 };
    struct rr_place *place = *state;
    struct inbox inbox;
    struct ticket tickets[COUNT];
    shardy_operation *operations[COUNT];
    shardy_error error = SHARDY_ERROR_INIT;
    inbox_init(&inbox);
    memset(tickets, 0, sizeof tickets);
    rr_publish(place, 60000, 100, 2);
    rr_open_place(place);
    rs_hold(place->store, true);
    for (size_t i = 0; i < COUNT; i++) {
        tickets[i].inbox = &inbox;
        submit_get(place, i * 500, &tickets[i], &operations[i]);
    }
    shardy_reader_close(place->reader);
    shardy_completion to = {take, NULL, &tickets[0]};
    shardy_key key = shardy_key_int(1);
    assert_int_equal(shardy_reader_get_async(place->reader, &key, &to, NULL, &error),
                     SHARDY_READER_STATE);
    shardy_operation_cancel(operations[0]);
    rs_hold(place->store, false);
    rr_close_place(place);
    assert_int_equal(inbox.came, COUNT);
    assert_int_equal(inbox.ok, COUNT - 1);
    assert_int_equal(inbox.wrong, 0);
    for (size_t i = 0; i < COUNT; i++) {
        shardy_operation_cancel(operations[i]);
        shardy_operation_release(operations[i]);
    }
}

struct refresher {
    struct rr_place *place;
    atomic_bool stop;
};

static void *refresh_all_the_time(void *arg)
{
    struct refresher *refresher = arg;
    struct rr_place *place = refresher->place;
    for (int i = 0; i < 10 && !atomic_load(&refresher->stop); i++) {
        shardy_writer_options options = snap_options(RR_URL, &place->table, 1 + (uint32_t)i % 4);
        bool changed;
        options.threads = 1;
        if (snap_build(&options, &place->table, SNAP_BATCHES, NULL, NULL) != SHARDY_OK ||
            shardy_reader_refresh(place->reader, &changed, NULL) != SHARDY_OK || !changed) {
            fprintf(stderr, "# refresh failed\n");
            abort();
        }
    }
    atomic_store(&refresher->stop, true);
    return NULL;
}

static void refreshed_in_flight(void **state)
{
    enum { COUNT = 200 };
    struct rr_place *place = *state;
    pthread_t thread;
    rr_publish(place, 3000, 400, 2);
    rr_open_place(place);
    struct refresher refresher = {.place = place};
    assert_int_equal(pthread_create(&thread, NULL, refresh_all_the_time, &refresher), 0);
    do {
        struct inbox inbox;
        struct ticket *tickets = snap_alloc(COUNT * sizeof *tickets);
        inbox_init(&inbox);
        for (size_t i = 0; i < COUNT; i++) {
            tickets[i].inbox = &inbox;
            submit_get(place, i * 13, &tickets[i], NULL);
        }
        wait_for(&inbox, COUNT);
        assert_int_equal(inbox.ok, COUNT);
        free(tickets);
    } while (!atomic_load(&refresher.stop));
    pthread_join(thread, NULL);
}

/* Values keep what they need, also after the reader is gone. */
static void keep_result(void *arg, shardy_result *result)
{
    shardy_value *value = arg;
    *value = result->value;
}

static void mapped_ones_are_done_at_once(void **state)
{
    struct rr_place *place = *state;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_operation *operation = NULL;
    rr_publish(place, 100, 50, 2);
    options.url = RR_URL;
    snap_ok(shardy_reader_open(&options, &place->reader, err));
    shardy_key key = snap_key(&place->table, &place->table.rows[7]);
    shardy_completion to = {keep_result, NULL, &value};
    snap_ok(shardy_reader_get_async(place->reader, &key, &to, &operation, err));
    shardy_operation_cancel(operation);
    shardy_operation_release(operation);
    shardy_reader_free(place->reader);
    place->reader = NULL;
    assert_int_equal(value.size, 50);
    assert_memory_equal(value.data, place->table.rows[7].value, 50);
    shardy_value_clear(&value);
}

static void refused_ones(void **state)
{
    struct rr_place *place = *state;
    shardy_completion nowhere = {NULL, NULL, NULL};
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_completion to = {keep_result, NULL, &value};
    shardy_operation *operation = (shardy_operation *)place;
    shardy_key good = shardy_key_int(1);
    shardy_key bad = shardy_key_str("x", 1);
    rr_publish(place, 100, 50, 2);
    rr_open_place(place);
    snap_fails(SHARDY_CONFIG, "neither a callback nor a queue",
               shardy_reader_get_async(place->reader, &good, &nowhere, NULL, err));
    snap_fails(SHARDY_INPUT, "",
               shardy_reader_get_async(place->reader, &bad, &to, &operation, err));
    assert_null(operation);
    rs_fail(place->store, RS_FAIL, 1, 1, NULL);
    struct inbox inbox;
    struct ticket ticket = {.inbox = &inbox};
    inbox_init(&inbox);
    submit_get(place, 3, &ticket, NULL);
    wait_for(&inbox, 1);
    assert_int_equal(inbox.failed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thousands_in_flight, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(results_through_a_queue, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(abandoned_queues, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(cancelled_ones, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(cancelling_races_with_answers, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(freed_in_flight, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(refreshed_in_flight, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(mapped_ones_are_done_at_once, rr_set_up, rr_tear_down),
        cmocka_unit_test_setup_teardown(refused_ones, rr_set_up, rr_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
