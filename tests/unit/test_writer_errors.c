/*
 * test_writer_errors.c - what a build does with bad rows and options, cancellation, a used run id,
 * competing publishers, and too little memory; and what it tells: events, progress, results,
 * manifest fields.
 */
#include "snapshot_sample.h"

#include <pthread.h>

struct place {
    char path[256];
    char url[256];
    struct snap_table table;
};

static int set_up(void **state)
{
    struct place *place = snap_alloc(sizeof *place);
    make_folder(place->path, place->url);
    place->table.encoding = SHARDY_KEY_U64BE;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    remove_folder(place->path);
    snap_clear(&place->table);
    free(place);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct bad_row {
    shardy_key_encoding encoding;
    shardy_key key;
    const char *shown;
    shardy_status status;
};

static void test_bad_rows(void **state)
{
    static char long_key[65537];
    const struct bad_row cases[] = {
        {SHARDY_KEY_U64BE, shardy_key_int(-5), "-5", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_uint(UINT64_C(1) << 63), "9223372036854775808", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_str("apple", 5), "apple", SHARDY_INPUT},
        {SHARDY_KEY_U64BE, shardy_key_bytes("\1\2\3\4\5\6\7\10", 8), "0102", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_uint(UINT64_C(4294967296)), "4294967296", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_int(-1), "-1", SHARDY_INPUT},
        {SHARDY_KEY_U32BE, shardy_key_str("12", 2), "12", SHARDY_INPUT},
        {SHARDY_KEY_UTF8, shardy_key_int(17), "17", SHARDY_INPUT},
        {SHARDY_KEY_RAW, shardy_key_uint(18), "18", SHARDY_INPUT},
        {SHARDY_KEY_UTF8, shardy_key_str(long_key, sizeof long_key), "65537", SHARDY_LIMIT},
        {SHARDY_KEY_RAW, shardy_key_bytes(long_key, sizeof long_key), "65537", SHARDY_LIMIT},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        shardy_writer *writer = NULL;
        snap_fill_table(&table, 20, 10, i);
        shardy_writer_options options = snap_options(place->url, &table, 2);
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(snap_feed_rows(writer, &table, 0, 13, err));
        snap_fails(cases[i].status, cases[i].shown,
                   shardy_writer_add(writer, &cases[i].key, "v", 1, err));
        snap_fails(cases[i].status, "row 13",
                   shardy_writer_add(writer, &cases[i].key, "v", 1, err));
        snap_ok(snap_feed_rows(writer, &table, 13, 20, err)); /* the build goes on */
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        snap_check(place->url, &table, 2);
        snap_clear(&table);
    }
}

struct bad_batch {
    shardy_key_encoding encoding;
    const char *format;
    uint64_t number; /* key of row 4 */
    const char *shown;
};

static void test_bad_batches(void **state)
{
    static const struct bad_batch cases[] = {
        {SHARDY_KEY_U64BE, "l", UINT64_MAX - 6, "-7"},
        {SHARDY_KEY_U64BE, "i", UINT64_MAX - 6, "-7"},
        {SHARDY_KEY_U64BE, "L", UINT64_C(1) << 63, "9223372036854775808"},
        {SHARDY_KEY_U32BE, "l", UINT64_C(5000000000), "5000000000"},
        {SHARDY_KEY_U32BE, "L", UINT64_C(5000000000), "5000000000"},
        {SHARDY_KEY_U32BE, "i", UINT64_MAX, "-1"},
    };
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct snap_table table = {.encoding = cases[i].encoding};
        struct snap_table bad = {.encoding = cases[i].encoding};
        shardy_writer *writer = NULL;
        snap_fill_table(&table, 30, 10, i);
        for (uint64_t row = 0; row < 9; row++) {
            snap_add_int(&bad, row == 4 ? cases[i].number : row, "bad", 3);
        }
        shardy_writer_options options = snap_options(place->url, &table, 3);
        snap_ok(shardy_writer_open(&options, &writer, err));
        snap_ok(snap_feed_rows(writer, &table, 0, 5, err));
        snap_ok(snap_add_batch(writer, &table, 5, 10, "l", "z", 0, err));
        snap_fails(SHARDY_INPUT, "row 14",
                   snap_add_batch(writer, &bad, 0, 9, cases[i].format, "z", 0, err));
        snap_fails(SHARDY_INPUT, cases[i].shown,
                   snap_add_batch(writer, &bad, 0, 9, cases[i].format, "z", 3, err));
        snap_ok(snap_feed_rows(writer, &table, 10, 30, err));
        snap_ok(shardy_writer_finish(writer, NULL, err));
        shardy_writer_free(writer);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        snap_check(place->url, &table, 3);
        snap_clear(&table);
        snap_clear(&bad);
    }
}

/* Column types, names and nulls. Each batch has 9 rows; row 2 is null where `null_in` says. */
static void test_malformed_batches(void **state)
{
    static const struct {
        const char *key_format;
        const char *value_format;
        const char *key_name;
        int null_in;
        shardy_status status;
        const char *text;
    } cases[] = {
        {"u", "z", "key", -1, SHARDY_INPUT, "row 10"},
        {"f", "z", "key", -1, SHARDY_CONFIG, "key"},
        {"l", "l", "key", -1, SHARDY_CONFIG, "value"},
        {"l", "z", "id", -1, SHARDY_CONFIG, "key"},
        {"l", "z", "key", 0, SHARDY_INPUT, "row 12"},
        {"l", "z", "key", 1, SHARDY_INPUT, "row 12"},
        {"l", "tdD", "key", -1, SHARDY_CONFIG, "value"},
    };
    struct place *place = *state;
    struct snap_table *table = &place->table;
    shardy_writer *writer = NULL;
    snap_fill_table(table, 40, 8, 4);
    shardy_writer_options options = snap_options(place->url, table, 2);
    snap_ok(shardy_writer_open(&options, &writer, err));
    snap_ok(snap_feed_rows(writer, table, 0, 10, err));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        const char *real_key = strchr("lu", cases[i].key_format[0]) ? cases[i].key_format : "l";
        const char *real_value = strchr("z", cases[i].value_format[0]) ? "z" : "z";
        uint8_t *validity = snap_alloc(8);
        memset(validity, 0xFF, 8);
        validity[0] = 0xFB;
        snap_batch_make(table, 0, 9, real_key, real_value, 0, &schema, &array);
        schema.children[0]->format = cases[i].key_format;
        schema.children[1]->format = cases[i].value_format;
        schema.children[0]->name = cases[i].key_name;
        if (cases[i].null_in >= 0) {
            array.children[cases[i].null_in]->buffers[0] = validity;
            array.children[cases[i].null_in]->null_count = -1;
        } else {
            free(validity);
        }
        snap_fails(cases[i].status, cases[i].text,
                   shardy_writer_add_batch(writer, &schema, &array, err));
        assert_null(array.release);
    }
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
    snap_ok(snap_feed_rows(writer, table, 10, 40, err));
    snap_ok(shardy_writer_finish(writer, NULL, err));
    snap_fails(SHARDY_CONFIG, "finished", shardy_writer_finish(writer, NULL, err));
    shardy_writer_free(writer);
    snap_check(place->url, table, 2);
}

/* ---- options --------------------------------------------------------------------------------- */

static void test_bad_options(void **state)
{
    struct place *place = *state;
    const shardy_writer_options good = snap_options(place->url, &place->table, 2);
    shardy_writer_options bad[16];
    static const char *const named[] = {
        "url",           "num_dbs", "num_dbs",      "num_dbs",      "page_size", "memory_limit",
        "threads",       "run_id",  "run_id",       "shard_prefix", "template",  "custom_fields",
        "custom_fields", "policy",  "key_encoding", "struct_size",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].url = NULL;
    bad[1].num_dbs = 0;
    bad[2].num_dbs = (1u << 20) + 1;
    bad[3].max_keys_per_shard = 5; /* and num_dbs */
    bad[4].page_size = 5000;
    bad[5].memory_limit_bytes = (16u << 20) - 1;
    bad[6].threads = 257;
    bad[7].run_id = "a/b";
    bad[8].run_id = "a\nb";
    bad[9].shard_prefix = "../shards";
    bad[10].db_path_template = "all-in-one";
    bad[11].custom_fields = "[1]";
    bad[12].custom_fields = "{\"a\":";
    bad[13].policy = (shardy_publish_policy)7;
    bad[14].key_encoding = (shardy_key_encoding)9;
    bad[15].struct_size = 3;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        shardy_writer *writer = NULL;
        snap_fails(SHARDY_CONFIG, named[i], shardy_writer_open(&bad[i], &writer, err));
        assert_null(writer);
        assert_int_equal(shardy_writer_open(&bad[i], &writer, NULL), SHARDY_CONFIG);
    }
    assert_int_equal(snap_count_files(place->path), 0);
    shardy_writer_free(NULL);
    shardy_build_result_clear(NULL);
}

static void test_names(void **state)
{
    struct place *place = *state;
    char file[512];
    snap_fill_table(&place->table, 300, 8, 4);
    shardy_writer_options options = snap_options(place->url, &place->table, 12);
    options.run_id = "my run";
    options.shard_prefix = "parts";
    options.db_path_template = "part-{db_id:03d}";
    options.key_col = "key";
    snap_ok(snap_build(&options, &place->table, SNAP_MIXED, NULL, err));
    snap_check(place->url, &place->table, 12);
    snprintf(file, sizeof file, "%s/parts/run_id=my run/part-011/attempt=00/shard.sidecar",
             place->path);
    assert_int_equal(access(file, R_OK), 0);
    shardy_reader *reader = snap_reader(place->url);
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_string_equal(about.run_id, "my run");
    assert_string_equal(about.key_col, "key");
    assert_string_equal(about.s3_prefix, place->url);
    shardy_snapshot_info_clear(&about);
    shardy_reader_free(reader);
    snap_fails(SHARDY_CONFLICT, "my run",
               snap_build(&options, &place->table, SNAP_ROWS, NULL, err));
    snap_check(place->url, &place->table, 12);
}

static void test_custom_fields(void **state)
{
    static const struct {
        const char *given;
        bool no_sidecar;
        uint32_t page_size;
        const char *want;
    } cases[] = {
        {NULL, true, 0, "{}"},
        {NULL, false, 0,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": 4096}}"},
        {"{\"team\":\"x\", \"a\" : [1,2.5]}", true, 0, "{\"a\": [1, 2.5], \"team\": \"x\"}"},
        {" {\"team\":\"x\"} ", false, SHARDY_PAGE_SIZE_AUTO,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": \"auto\"}, \"team\": \"x\"}"},
        {"{ }", false, 65536,
         "{\"sqlite_sidecar\": {\"codec\": \"zstd\", \"filename\": \"shard.sidecar\", "
         "\"format_version\": 8, \"page_size\": 65536}}"},
    };
    struct place *place = *state;
    snap_add_int(&place->table, 1, "v", 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_writer_options options = snap_options(place->url, &place->table, 1);
        shardy_snapshot_info about;
        options.custom_fields = cases[i].given;
        options.no_sidecar = cases[i].no_sidecar;
        options.page_size = cases[i].page_size;
        snap_ok(snap_build(&options, &place->table, SNAP_ROWS, NULL, err));
        shardy_reader *reader = snap_reader(place->url);
        snap_ok(shardy_reader_info(reader, &about, err));
        assert_string_equal(about.custom_json, cases[i].want);
        shardy_snapshot_info_clear(&about);
        shardy_reader_free(reader);
    }
}

/* ---- cancellation ---------------------------------------------------------------------------- */

static shardy_writer *running; /* for the callbacks */
static shardy_phase cancel_in;

static void cancel_at_phase(void *arg, const shardy_progress *progress)
{
    (void)arg;
    if (progress->phase == cancel_in) {
        shardy_writer_cancel(running);
    }
}

static void test_cancel_from_progress(void **state)
{
    struct place *place = *state;
    for (int phase = SHARDY_PHASE_READ; phase <= SHARDY_PHASE_BUILD; phase++) {
        struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
        shardy_error error = SHARDY_ERROR_INIT;
        snap_fill_table(&table, 60000, 50, 1);
        cancel_in = (shardy_phase)phase;
        shardy_writer_options options = snap_options(place->url, &table, 6);
        options.progress = cancel_at_phase;
        snap_ok(shardy_writer_open(&options, &running, err));
        shardy_status st = snap_feed_all(running, &table, SNAP_BATCHES, &error);
        if (st == SHARDY_OK) {
            st = shardy_writer_finish(running, NULL, &error);
        }
        assert_int_equal(st, SHARDY_CANCELLED);
        assert_int_equal(error.status, SHARDY_CANCELLED);
        shardy_writer_free(running);
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        assert_int_equal(snap_count_files(place->path), 0);
        snap_clear(&table);
    }
}

static void *cancel_later(void *arg)
{
    usleep((useconds_t)(uintptr_t)arg);
    shardy_writer_cancel(running);
    return NULL;
}

static void test_cancel_from_thread(void **state)
{
    struct place *place = *state;
    snap_fill_table(&place->table, 50000, 200, 1);
    for (uintptr_t delay = 0; delay < 40000; delay += 4000) {
        pthread_t thread;
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_writer_options options = snap_options(place->url, &place->table, 4);
        snap_ok(shardy_writer_open(&options, &running, err));
        assert_int_equal(pthread_create(&thread, NULL, cancel_later, (void *)delay), 0);
        shardy_status st = snap_feed_all(running, &place->table, SNAP_BATCHES, &error);
        if (st == SHARDY_OK) {
            st = shardy_writer_finish(running, NULL, &error);
        }
        pthread_join(thread, NULL);
        shardy_writer_free(running);
        if (st == SHARDY_OK) {
            snap_check(place->url, &place->table, 4);
            break;
        }
        assert_int_equal(st, SHARDY_CANCELLED);
        assert_int_equal(snap_count_files(place->path), 0);
    }
}

static void test_abandoned(void **state)
{
    struct place *place = *state;
    shardy_writer *writer = NULL;
    snap_fill_table(&place->table, 5000, 200, 1);
    shardy_writer_options options = snap_options(place->url, &place->table, 4);
    snap_ok(shardy_writer_open(&options, &writer, err));
    snap_ok(snap_feed_all(writer, &place->table, SNAP_MIXED, err));
    shardy_writer_free(writer);
    assert_int_equal(atomic_load(&snap_batches_alive), 0);
    assert_int_equal(snap_count_files(place->path), 0);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void test_policies(void **state)
{
    struct place *place = *state;
    struct snap_table other = {.encoding = SHARDY_KEY_U64BE};
    shardy_build_result first;
    shardy_build_result result;
    char wrong[1024];
    snap_add_int(&place->table, 1, "first", 5);
    snap_add_int(&other, 1, "second", 6);

    shardy_writer_options options = snap_options(place->url, &place->table, 1);
    options.policy = SHARDY_PUBLISH_EXPECT; /* nothing there yet */
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &first, err));
    assert_null(first.replaced_run_id);
    assert_true(first.guarded);

    snap_fails(SHARDY_CONFLICT, first.run_id,
               snap_build(&options, &other, SNAP_ROWS, &result, err));
    assert_false(result.published);
    assert_non_null(result.manifest_ref); /* written, not current */
    snprintf(wrong, sizeof wrong, "%s", result.manifest_ref);
    shardy_build_result_clear(&result);
    snap_check(place->url, &place->table, 1);

    options.expected_ref = wrong;
    snap_fails(SHARDY_CONFLICT, first.run_id, snap_build(&options, &other, SNAP_ROWS, NULL, err));
    snap_check(place->url, &place->table, 1);

    options.expected_ref = first.manifest_ref;
    snap_ok(snap_build(&options, &other, SNAP_ROWS, &result, err));
    assert_string_equal(result.replaced_run_id, first.run_id);
    assert_string_equal(result.replaced_ref, first.manifest_ref);
    snap_check(place->url, &other, 1);

    options = snap_options(place->url, &place->table, 1);
    shardy_build_result latest;
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &latest, err));
    assert_string_equal(latest.replaced_run_id, result.run_id);
    snap_check(place->url, &place->table, 1);
    shardy_build_result_clear(&latest);
    shardy_build_result_clear(&result);
    shardy_build_result_clear(&first);
    snap_clear(&other);
}

static void test_no_publish(void **state)
{
    struct place *place = *state;
    char current[300];
    shardy_build_result result;
    shardy_reader *reader = NULL;
    snap_add_int(&place->table, 1, "v", 1);
    shardy_writer_options options = snap_options(place->url, &place->table, 1);
    options.no_publish = true;
    snap_ok(snap_build(&options, &place->table, SNAP_ROWS, &result, err));
    assert_false(result.published);
    assert_null(result.replaced_run_id);
    snprintf(current, sizeof current, "%s/_CURRENT", place->path);
    assert_int_not_equal(access(current, F_OK), 0);
    shardy_reader_options pinned = SHARDY_READER_OPTIONS_INIT;
    pinned.url = place->url;
    pinned.pin_ref = result.manifest_ref;
    snap_ok(shardy_reader_open(&pinned, &reader, err));
    shardy_key key = shardy_key_int(1);
    shardy_value value = SHARDY_VALUE_INIT;
    snap_ok(shardy_reader_get(reader, &key, &value, err));
    assert_int_equal(value.size, 1);
    shardy_value_clear(&value);
    shardy_reader_free(reader);
    shardy_build_result_clear(&result);
}

struct racer {
    struct place *place;
    struct snap_table table;
    shardy_build_result result;
    shardy_status status;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    shardy_writer_options options = snap_options(racer->place->url, &racer->table, 2);
    options.policy = SHARDY_PUBLISH_EXPECT;
    racer->status = snap_build(&options, &racer->table, SNAP_ROWS, &racer->result, NULL);
    return NULL;
}

/* P12: of publishers with the same base exactly one wins. */
static void test_race(void **state)
{
    struct racer racers[4];
    pthread_t threads[4];
    size_t winner = 4;
    memset(racers, 0, sizeof racers);
    for (uint64_t i = 0; i < 4; i++) {
        racers[i].place = *state;
        snap_add_int(&racers[i].table, i, &i, sizeof i);
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        if (racers[i].status == SHARDY_OK) {
            assert_int_equal(winner, 4);
            winner = i;
        } else {
            assert_int_equal(racers[i].status, SHARDY_CONFLICT);
        }
    }
    assert_int_not_equal(winner, 4);
    snap_check(racers[winner].place->url, &racers[winner].table, 2);
    for (size_t i = 0; i < 4; i++) {
        shardy_build_result_clear(&racers[i].result);
        snap_clear(&racers[i].table);
    }
}

/* ---- events and progress ----------------------------------------------------------------------
 */

struct trace {
    char names[32][40];
    size_t count;
    int64_t rows_written;
    unsigned shards;
    bool payload_ok;
    shardy_progress last;
    pthread_mutex_t lock;
};

static bool has_field(const shardy_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void trace_event(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    struct trace *trace = arg;
    pthread_mutex_lock(&trace->lock);
    if (trace->count < COUNT_OF(trace->names)) {
        snprintf(trace->names[trace->count++], sizeof trace->names[0], "%s", event);
    }
    trace->payload_ok = trace->payload_ok && has_field(fields, count, "elapsed_ms");
    if (strcmp(event, "write.shard.completed") == 0) {
        trace->shards++;
        trace->payload_ok = trace->payload_ok && has_field(fields, count, "duration_ms") &&
                            has_field(fields, count, "row_count");
    }
    if (strcmp(event, "write.completed") == 0) {
        assert_true(has_field(fields, count, "rows_written"));
        for (size_t i = 0; i < count; i++) {
            if (strcmp(fields[i].name, "rows_written") == 0) {
                trace->rows_written = fields[i].integer;
            }
        }
    }
    pthread_mutex_unlock(&trace->lock);
}

static void trace_progress(void *arg, const shardy_progress *progress)
{
    struct trace *trace = arg;
    assert_true(progress->phase >= trace->last.phase);
    assert_true(progress->rows >= trace->last.rows);
    assert_true(progress->built_rows >= trace->last.built_rows);
    trace->last = *progress;
}

static size_t event_at(const struct trace *trace, const char *name)
{
    for (size_t i = 0; i < trace->count; i++) {
        if (strcmp(trace->names[i], name) == 0) {
            return i;
        }
    }
    fail_msg("no event %s", name);
    return 0;
}

static void test_events(void **state)
{
    static const char *const order[] = {"write.started", "write.shards_completed",
                                        "write.manifest_published", "write.current_published",
                                        "write.completed"};
    struct place *place = *state;
    struct trace trace = {.payload_ok = true};
    const shardy_event_sink sink = {trace_event, &trace};
    pthread_mutex_init(&trace.lock, NULL);
    snap_fill_table(&place->table, 5000, 20, 9);
    shardy_writer_options options = snap_options(place->url, &place->table, 3);
    options.events = &sink;
    options.progress = trace_progress;
    options.progress_arg = &trace;
    snap_ok(snap_build(&options, &place->table, SNAP_MIXED, NULL, err));
    for (size_t i = 0, last = 0; i < COUNT_OF(order); i++) {
        size_t at = event_at(&trace, order[i]);
        assert_true(at >= last);
        last = at;
    }
    assert_string_equal(trace.names[0], "write.started");
    assert_string_equal(trace.names[trace.count - 1], "write.completed");
    assert_int_equal(trace.shards, 3);
    assert_true(trace.payload_ok);
    assert_int_equal(trace.rows_written, 5000);
    assert_int_equal(trace.last.phase, SHARDY_PHASE_DONE);
    assert_int_equal(trace.last.built_rows, 5000);
    assert_int_equal(trace.last.shards_done, 3);
    assert_int_equal(trace.last.num_dbs, 3);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static shardy_status build_and_read(const char *url, const struct snap_table *table)
{
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_writer_options options = snap_options(url, table, 2);
    shardy_build_result result = {0};
    options.threads = 1;
    options.page_size = SHARDY_PAGE_SIZE_AUTO;
    shardy_status st = snap_build(&options, table, SNAP_MIXED, &result, &error);
    shardy_build_result_clear(&result);
    if (st == SHARDY_OK) {
        shardy_reader_options reading = SHARDY_READER_OPTIONS_INIT;
        shardy_reader *reader = NULL;
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_items items = SHARDY_ITEMS_INIT;
        shardy_key keys[2] = {snap_key(table, &table->rows[0]), snap_key(table, &table->rows[1])};
        reading.url = url;
        st = shardy_reader_open(&reading, &reader, &error);
        st = st ? st : shardy_reader_get(reader, &keys[0], &value, &error);
        st = st ? st : shardy_reader_multi_get(reader, keys, 2, &items, &error);
        if (st == SHARDY_OK) {
            assert_int_equal(items.items[0].size, table->rows[0].value_size);
        }
        shardy_value_clear(&value);
        shardy_items_clear(&items);
        shardy_reader_free(reader);
    }
    return st;
}

static void test_no_memory(void **state)
{
    struct place *place = *state;
    unsigned failed = 0;
    struct snap_table table = {.encoding = SHARDY_KEY_UTF8};
    snap_fill_table(&table, 60, 2000, 9);
    for (unsigned long at = 1; at < 4000; at++) {
        fail_allocation(at);
        shardy_status st = build_and_read(place->url, &table);
        bool reached = atomic_load(&alloc_count) >= at;
        fail_allocation(0);
        if (st != SHARDY_OK && st != SHARDY_NO_MEMORY && st != SHARDY_PUBLISH) {
            fail_msg("allocation %lu: %s", at, shardy_status_name(st));
        }
        assert_int_equal(atomic_load(&snap_batches_alive), 0);
        failed += st != SHARDY_OK;
        if (!reached) {
            assert_int_equal(st, SHARDY_OK);
            break;
        }
    }
    assert_true(failed > 50);
    snap_clear(&table);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_bad_rows),
        CASE(test_bad_batches),
        CASE(test_malformed_batches),
        CASE(test_bad_options),
        CASE(test_names),
        CASE(test_custom_fields),
        CASE(test_cancel_from_progress),
        CASE(test_cancel_from_thread),
        CASE(test_abandoned),
        CASE(test_policies),
        CASE(test_no_publish),
        CASE(test_race),
        CASE(test_events),
        CASE(test_no_memory),
    };
    install_failing_allocator();
    return cmocka_run_group_tests_name("writer_errors", tests, NULL, NULL);
}
