/*
 * test_faults.c - writing under faults: each fault of the proxy at each request of a build, of a
 * build whose shard goes up in parts, of the first build below a prefix, and of a pointer swap
 * (rollback). A build ends as published, not published or unknown, and that is true on the server
 * (I4); what was current before stays readable (I3); the next build works; no upload and no object
 * of a failed build is left.
 */
#include "fault_run.h"

#define RUN_SIZE 64

struct writing {
    struct snap_table table; /* of the running build */
    uint32_t num_dbs;
    size_t rows;
    size_t value_size;
    unsigned generation;
    char current[RUN_SIZE]; /* run that is current; "" = none yet */
    char current_ref[400];
    char other[RUN_SIZE]; /* rollback: the one that is not */
    char other_ref[400];
    char attempted[RUN_SIZE]; /* by the case */
    char attempted_ref[400];
    bool named; /* the result names a manifest */
    shardy_status status;
    shardy_error error;
    struct snap_table current_table;
};

static void make_table(const struct writing *writing, unsigned generation, struct snap_table *table)
{
    uint8_t *value = snap_alloc(writing->value_size + 8);
    memset(table, 0, sizeof *table);
    table->encoding = SHARDY_KEY_U64BE;
    snap_fill(value, writing->value_size, generation);
    for (uint64_t i = 0; i < writing->rows; i++) {
        memcpy(value, &generation, sizeof generation);
        memcpy(value + 4, &i, sizeof i);
        snap_add_int(table, i * 7919, value, writing->value_size - i % 5);
    }
    free(value);
}

/* Build the next generation; its name and outcome go to `writing`. */
static void build(struct place *place, bool proxied)
{
    struct writing *writing = place->state;
    shardy_store_option store[STORE_OPTIONS];
    shardy_build_result result = {0};
    snap_clear(&writing->table);
    make_table(writing, ++writing->generation, &writing->table);
    snprintf(writing->attempted, RUN_SIZE, "run-%u-%06u", place->worker, writing->generation);
    shardy_writer_options options = snap_options(place->url, &writing->table, writing->num_dbs);
    store_options(place, proxied, store);
    options.run_id = writing->attempted;
    options.store_options = store;
    options.store_option_count = STORE_OPTIONS;
    options.events = &event_sink;
    options.logs = &log_sink;
    writing->error = (shardy_error)SHARDY_ERROR_INIT;
    writing->status = snap_build(&options, &writing->table, SNAP_BATCHES, &result, &writing->error);
    writing->named = result.manifest_ref != NULL;
    snprintf(writing->attempted_ref, sizeof writing->attempted_ref, "%s",
             result.manifest_ref ? result.manifest_ref : "");
    CHECK(writing->status != SHARDY_OK || result.published, "OK, but not published");
    CHECK(writing->status == SHARDY_OK || !result.published, "failed, but published");
    shardy_build_result_clear(&result);
}

/* Every row of a snapshot, from checked downloads. `ref` NULL = the current one. */
static void check_rows(struct place *place, const char *ref, const struct snap_table *table)
{
    shardy_store_option store[STORE_OPTIONS];
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    shardy_items items = SHARDY_ITEMS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_key *keys = snap_alloc(table->count * sizeof *keys);
    store_options(place, false, store);
    options.url = place->url;
    options.pin_ref = ref;
    options.no_fallback = true;
    options.access = SHARDY_ACCESS_DOWNLOAD;
    options.verify_checksums = true;
    options.local_root = place->folder;
    options.cache_bytes = 32u << 20;
    options.store_options = store;
    options.store_option_count = STORE_OPTIONS;
    for (size_t i = 0; i < table->count; i++) {
        keys[i] = snap_key(table, &table->rows[i]);
    }
    shardy_status st = shardy_reader_open(&options, &reader, &err);
    st = st == SHARDY_OK ? shardy_reader_multi_get(reader, keys, table->count, &items, &err) : st;
    CHECK(st == SHARDY_OK, "%s does not load: %s", ref ? ref : "the current snapshot", err.message);
    for (size_t i = 0; st == SHARDY_OK && i < table->count; i++) {
        const struct snap_row *row = &table->rows[i];
        CHECK(items.items[i].data && items.items[i].size == row->value_size &&
                  memcmp(items.items[i].data, row->value, row->value_size) == 0,
              "row %zu of %s is not what was written", i, ref ? ref : "the current snapshot");
    }
    shardy_items_clear(&items);
    shardy_reader_free(reader);
    free(keys);
}

static bool current_is(struct place *place, const char *run)
{
    const char *pointer = object_text(place, "_CURRENT");
    return *run ? pointer && strstr(pointer, run) : !pointer;
}

/* What was attempted is current now. */
static void take_over(struct writing *writing)
{
    memcpy(writing->other, writing->current, sizeof writing->other);
    memcpy(writing->other_ref, writing->current_ref, sizeof writing->other_ref);
    memcpy(writing->current, writing->attempted, sizeof writing->current);
    memcpy(writing->current_ref, writing->attempted_ref, sizeof writing->current_ref);
    struct snap_table old = writing->current_table;
    writing->current_table = writing->table;
    writing->table = old;
}

/* I4. @return whether the attempt is current now */
static bool check_outcome(struct place *place, unsigned mask)
{
    struct writing *writing = place->state;
    bool is_new = current_is(place, writing->attempted);
    bool is_old = current_is(place, writing->current);
    shardy_status st = writing->status;
    CHECK(is_new || is_old, "the pointer names neither %s nor \"%s\"", writing->attempted,
          writing->current);
    CHECK(st != SHARDY_OK || is_new, "published, but the old run is current");
    CHECK(st == SHARDY_OK || st == SHARDY_UNKNOWN || is_old, "%s, but the new run is current: %s",
          shardy_status_name(st), writing->error.message);
    if (st != SHARDY_OK) {
        check_error(place, &writing->error, mask);
    }
    atomic_fetch_add(&shared->absorbed, st == SHARDY_OK);
    CHECK(st == SHARDY_OK || !place->fault || !place->once || !(place->fault->flags & ABSORBED),
          "one fault was enough: %s", writing->error.message);
    return is_new;
}

static unsigned fitting(const struct place *place)
{
    unsigned plain = STATUS(STORE) | STATUS(PUBLISH) | STATUS(UNKNOWN);
    unsigned other = STATUS(CONFIG) | STATUS(CONFLICT) | STATUS(MANIFEST) | STATUS(LIMIT) |
                     STATUS(UNSUPPORTED) | STATUS(NOT_FOUND);
    return !place->fault || place->fault->flags & ABSORBED ? plain : plain | other;
}

/* ---- builds ---------------------------------------------------------------------------------- */

static void set_up_build(struct place *place, uint32_t num_dbs, size_t rows, size_t value_size)
{
    struct writing *writing = snap_alloc(sizeof *writing);
    place->state = writing;
    writing->num_dbs = num_dbs;
    writing->rows = rows;
    writing->value_size = value_size;
    writing->generation = 100000 * (place->turn % 9);
    build(place, false);
    CHECK(writing->status == SHARDY_OK, "set up: %s", writing->error.message);
    take_over(writing);
}

static void set_up_small(struct place *place)
{
    set_up_build(place, 2, 60, 120);
}

static void set_up_parts(struct place *place)
{
    set_up_build(place, 1, 50, 120000);
}

static void tear_down_build(struct place *place)
{
    struct writing *writing = place->state;
    snap_clear(&writing->table);
    snap_clear(&writing->current_table);
    free(writing);
    place->state = NULL;
}

static void act_build(struct place *place)
{
    build(place, true);
}

/* A build that surely failed, and whose manifest is not there, has taken its shards away. */
static void check_leftovers(struct place *place)
{
    struct writing *writing = place->state;
    char key[RUN_SIZE + 32];
    char path[600];
    snprintf(key, sizeof key, "shards/run_id=%s", writing->attempted);
    path_of(place, key, path);
    if (writing->status != SHARDY_OK && writing->status != SHARDY_UNKNOWN && !writing->named) {
        int files = snap_count_files(path);
        CHECK(files == 0, "%d objects of a failed build are left: %s", files,
              writing->error.message);
    }
}

static void judge_build(struct place *place)
{
    struct writing *writing = place->state;
    bool is_new = check_outcome(place, fitting(place));
    check_leftovers(place);
    if (is_new) {
        check_rows(place, NULL, &writing->table); /* I2 */
        take_over(writing);
    }
    if (writing->status != SHARDY_OK) {
        check_rows(place, NULL, &writing->current_table);
        build(place, false); /* a retry works */
        CHECK(writing->status == SHARDY_OK, "retry: %s", writing->error.message);
        CHECK(current_is(place, writing->attempted), "retry: not current");
        check_rows(place, NULL, &writing->table);
        take_over(writing);
    }
    check_rows(place, writing->other_ref[0] ? writing->other_ref : NULL,
               writing->other_ref[0] ? &writing->table : &writing->current_table); /* I3 */
}

/* ---- the first build: no pointer, nothing -------------------------------------------------------
 */

static void set_up_first(struct place *place)
{
    struct writing *writing = snap_alloc(sizeof *writing);
    place->state = writing;
    writing->num_dbs = 2;
    writing->rows = 60;
    writing->value_size = 120;
    writing->generation = 100000 * (place->turn % 9);
}

static void judge_first(struct place *place)
{
    struct writing *writing = place->state;
    bool is_new = check_outcome(place, fitting(place));
    check_leftovers(place);
    if (is_new) {
        check_rows(place, NULL, &writing->table);
    }
    if (writing->status != SHARDY_OK) {
        build(place, false);
        CHECK(writing->status == SHARDY_OK, "retry: %s", writing->error.message);
        CHECK(current_is(place, writing->attempted), "retry: not current");
        check_rows(place, NULL, &writing->table);
    }
}

/* ---- the pointer alone ----------------------------------------------------------------------- */

static void set_up_swap(struct place *place)
{
    struct writing *writing;
    set_up_small(place);
    writing = place->state;
    build(place, false);
    CHECK(writing->status == SHARDY_OK, "set up: %s", writing->error.message);
    take_over(writing);
}

/* Make the other snapshot current. */
static void swap(struct place *place, bool proxied)
{
    struct writing *writing = place->state;
    shardy_store_option options[STORE_OPTIONS];
    struct sfi_store_options how = {options, STORE_OPTIONS, NULL};
    struct sfi_publish_options publish = {0};
    struct sfi_publish_result result = {0};
    struct sfi_manifest_store *manifests = NULL;
    struct sfi_store *store = NULL;
    shardy_error *err = &writing->error;
    store_options(place, proxied, options);
    *err = (shardy_error)SHARDY_ERROR_INIT;
    memcpy(writing->attempted, writing->other, sizeof writing->attempted);
    memcpy(writing->attempted_ref, writing->other_ref, sizeof writing->attempted_ref);
    shardy_status st = sfi_store_open(place->url, &how, &store, err);
    st = st == SHARDY_OK ? sfi_manifest_store_object(store, NULL, false, &manifests, err) : st;
    if (st == SHARDY_OK) {
        st = manifests->ops->set_current(manifests, writing->other_ref, &publish, &result, err);
    }
    writing->status = st;
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(manifests);
    sfi_store_release(store);
}

static void act_swap(struct place *place)
{
    swap(place, true);
}

static void judge_swap(struct place *place)
{
    struct writing *writing = place->state;
    if (check_outcome(place, fitting(place))) {
        take_over(writing);
    }
    check_rows(place, NULL, &writing->current_table);
    if (writing->status != SHARDY_OK) {
        swap(place, false);
        CHECK(writing->status == SHARDY_OK, "retry: %s", writing->error.message);
        CHECK(current_is(place, writing->attempted), "retry: not current");
        take_over(writing);
        check_rows(place, NULL, &writing->current_table);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const struct scenario scenarios[] = {
    {"build", 0, 25, set_up_small, NULL, act_build, judge_build, tear_down_build},
    {"parts", 0, 4, set_up_parts, NULL, act_build, judge_build, tear_down_build},
    {"first", 0, 1, set_up_first, NULL, act_build, judge_first, tear_down_build},
    {"swap", 0, 0, set_up_swap, NULL, act_swap, judge_swap, tear_down_build},
};

static void test_product(void **state)
{
    (void)state;
    run_product(scenarios, COUNT_OF(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_product)};
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    return cmocka_run_group_tests_name("faults", tests, start_faults, stop_faults);
}
