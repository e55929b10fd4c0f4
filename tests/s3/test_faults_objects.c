/*
 * test_faults_objects.c - a reader whose objects are replaced or removed by somebody else, also in
 * the middle of a download; one that gets stale answers; and one that may only read: the server
 * refuses its writes, and it never tries one.
 */
#include "../unit/snapshot_sample.h"

#include "base/limits.h"

#include "proxy_client.h"
#include "s3_client.h"
#include "s3_server.h"

#define ROWS   3000
#define PREFIX "objects"
#define URL    "s3://" S3_SERVER_BUCKET "/" PREFIX

static struct s3_server *server;
static struct proxy *proxy;
static struct s3_client *client;
static struct snap_table table;
static char cache_path[256];
static char cache_url[256];

static const shardy_access modes[] = {SHARDY_ACCESS_RANGE, SHARDY_ACCESS_DOWNLOAD,
                                      SHARDY_ACCESS_AUTO};

static void publish(unsigned generation)
{
    uint8_t value[1000];
    snap_clear(&table);
    table.encoding = SHARDY_KEY_U64BE;
    for (uint64_t i = 0; i < ROWS; i++) {
        snap_fill(value, sizeof value, generation * UINT64_C(100000) + i);
        snap_add_int(&table, i, value, 300 + i % 700);
    }
    shardy_writer_options options = snap_options(URL, &table, 2);
    snap_ok(snap_build(&options, &table, SNAP_BATCHES, NULL, err));
}

static int start(void **state)
{
    const struct proxy_options options = {.secret = S3_SERVER_SECRET_KEY};
    (void)state;
    server = s3_server_start(S3_SERVER_VERSITYGW);
    proxy = proxy_start(s3_server_address(server), &options);
    client = s3_client_new(s3_server_url(server));
    s3_server_set_environment(proxy_url(proxy));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    snap_clear(&table);
    s3_client_free(client);
    proxy_stop(proxy);
    s3_server_stop(server);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    make_folder(cache_path, cache_url);
    publish(1);
    return 0;
}

static int clean(void **state)
{
    char path[400];
    (void)state;
    snprintf(path, sizeof path, "%s/" PREFIX, s3_server_folder(server));
    remove_folder(path);
    remove_folder(cache_path);
    return 0;
}

static shardy_reader_options reader_options(shardy_access access)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    options.url = URL;
    options.access = access;
    options.local_root = cache_path;
    options.auto_shard_bytes = 1u << 20; /* AUTO: by ranges */
    return options;
}

static shardy_status get(shardy_reader *reader, size_t row, bool *right, shardy_error *err)
{
    shardy_key key = snap_key(&table, &table.rows[row]);
    shardy_value value = SHARDY_VALUE_INIT;
    shardy_status st = shardy_reader_get(reader, &key, &value, err);
    *right = st == SHARDY_OK && value.data && value.size == table.rows[row].value_size &&
             memcmp(value.data, table.rows[row].value, value.size) == 0;
    shardy_value_clear(&value);
    return st;
}

/* ---- objects that change --------------------------------------------------------------------- */

typedef void (*change_fn)(const char *path);

static change_fn s_change;
static size_t s_changed;
static size_t s_shards = 2;

/* Other bytes, of the same length and with an ETag of their own. */
static void replace_object(const char *path)
{
    char target[600];
    size_t size = 0;
    uint8_t *data = snap_read_file(path, &size);
    size_t used = (size_t)snprintf(target, sizeof target, "/" S3_SERVER_BUCKET "/" PREFIX);
    for (const char *c = strstr(path, "/shards/"); *c; c++) {
        used +=
            (size_t)snprintf(target + used, sizeof target - used, *c == '=' ? "%%3D" : "%c", *c);
    }
    for (size_t i = 200; i < size; i++) {
        data[i] ^= 0x55;
    }
    assert_int_equal(s3_client_request(client, "PUT", target, NULL, data, size)->status, 200);
    free(data);
}

static void remove_object(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static int change_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    if (kind == FTW_F && strcmp(path + walk->base, "shard.db") == 0) {
        s_change(path);
        s_changed++;
    }
    return 0;
}

static void change_shards(change_fn change)
{
    char path[400];
    snprintf(path, sizeof path, "%s/" PREFIX "/shards", s3_server_folder(server));
    s_change = change;
    s_changed = 0;
    nftw(path, change_entry, 16, FTW_PHYS);
    assert_int_equal(s_changed, s_shards);
}

/*
 * A reader that has some pages of both shards. After the change every get is right or an error that
 * names the object; a new snapshot and a refresh bring it back.
 */
static void check_change(change_fn change, shardy_status want)
{
    shardy_reader_options options = reader_options(SHARDY_ACCESS_RANGE);
    shardy_reader *reader = NULL;
    size_t failed = 0;
    bool right;
    bool changed;
    snap_ok(shardy_reader_open(&options, &reader, err));
    for (size_t i = 0; i < 4; i++) {
        snap_ok(get(reader, i, &right, err));
        assert_true(right);
    }
    change_shards(change);
    for (size_t i = 0; i < ROWS; i += 7) {
        shardy_error error = SHARDY_ERROR_INIT;
        shardy_status st = get(reader, i, &right, &error);
        assert_true(st != SHARDY_OK || right);
        failed += st != SHARDY_OK;
        if (st != SHARDY_OK && (st != want || !strstr(error.message, "shard.db"))) {
            fail_msg("row %zu: %s: %s", i, shardy_status_name(st), error.message);
        }
    }
    assert_true(failed > ROWS / 20);
    publish(2);
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    for (size_t i = 0; i < ROWS; i += 7) {
        snap_ok(get(reader, i, &right, err));
        assert_true(right);
    }
    shardy_reader_free(reader);
}

static void test_replaced(void **state)
{
    (void)state;
    check_change(replace_object, SHARDY_CONFLICT);
}

static void test_removed(void **state)
{
    (void)state;
    check_change(remove_object, SHARDY_NOT_FOUND);
}

/* Replaced before anybody looked: the checksum of a download tells. */
static void test_replaced_before_download(void **state)
{
    shardy_reader_options options = reader_options(SHARDY_ACCESS_DOWNLOAD);
    shardy_reader *reader = NULL;
    bool right;
    (void)state;
    snap_ok(shardy_reader_open(&options, &reader, err));
    change_shards(replace_object);
    for (size_t i = 0; i < ROWS; i += 500) {
        snap_fails(SHARDY_CORRUPT, "checksum", get(reader, i, &right, err));
    }
    shardy_reader_free(reader);
}

/* Ranges of the shard that were answered so far; before the n-th is looked at, it is replaced. */
static atomic_uint s_answers;
static unsigned s_replace_at;

static void on_answer(void *arg, const char *event, const shardy_field *fields, size_t count)
{
    bool shard = false;
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        shard = shard || (fields[i].kind == SHARDY_FIELD_STRING &&
                          strstr(fields[i].string, "shard.db") != NULL);
    }
    if (shard && strcmp(event, "store.request") == 0 &&
        atomic_fetch_add(&s_answers, 1) + 1 == s_replace_at) {
        change_shards(replace_object);
    }
}

/* More ranges than are in flight at once. */
static void publish_large(void)
{
    size_t size = (size_t)SFI_TRANSFER_RANGE * (SFI_TRANSFER_LANES + 4) / 64;
    uint8_t *value = snap_alloc(size);
    snap_clear(&table);
    table.encoding = SHARDY_KEY_U64BE;
    for (uint64_t i = 0; i < 64; i++) {
        snap_fill(value, size, i);
        snap_add_int(&table, i, value, size);
    }
    free(value);
    shardy_writer_options options = snap_options(URL, &table, 1);
    snap_ok(snap_build(&options, &table, SNAP_BATCHES, NULL, err));
}

/*
 * Replaced while its ranges come in: the old object or an error, never some of both. Then the same
 * reader, refreshed, reads what was published anew.
 */
static void test_replaced_during_download(void **state)
{
    static const unsigned moments[] = {1, 2, 5, SFI_TRANSFER_LANES, SFI_TRANSFER_LANES + 3};
    static const shardy_event_sink sink = {on_answer, NULL};
    size_t failed = 0;
    (void)state;
    s_shards = 1;
    for (size_t m = 0; m < COUNT_OF(moments); m++) {
        shardy_reader_options options = reader_options(SHARDY_ACCESS_DOWNLOAD);
        shardy_reader *reader = NULL;
        shardy_error error = SHARDY_ERROR_INIT;
        bool right = false;
        bool changed = false;
        make_folder(cache_path, cache_url);
        publish_large();
        options.events = &sink;
        atomic_store(&s_answers, 0);
        s_replace_at = moments[m];
        snap_ok(shardy_reader_open(&options, &reader, err));
        shardy_status st = get(reader, 7, &right, &error);
        assert_true(atomic_load(&s_answers) >= s_replace_at);
        if (st == SHARDY_OK ? !right
                            : st != SHARDY_CONFLICT || !strstr(error.message, "replaced")) {
            fail_msg("replaced at %u: %s: %s", s_replace_at, shardy_status_name(st), error.message);
        }
        failed += st != SHARDY_OK;
        s_replace_at = 0;
        publish_large(); /* its shard is another object: the first one is not touched again */
        snap_ok(shardy_reader_refresh(reader, &changed, err));
        assert_true(changed);
        snap_ok(get(reader, 7, &right, err));
        assert_true(right);
        shardy_reader_free(reader);
        clean(NULL);
    }
    assert_true(failed >= 2);
    s_shards = 2;
}

/* ---- stale answers --------------------------------------------------------------------------- */

static void check_all_of(shardy_reader *reader)
{
    for (size_t i = 0; i < ROWS; i += 31) {
        bool right;
        snap_ok(get(reader, i, &right, err));
        assert_true(right);
    }
}

/*
 * A store that answers with the pointer of before (N11): all rows are of one snapshot, the one that
 * the reader says it has; with the next honest answer it is the new one.
 */
static void test_stale_pointer(void **state)
{
    shardy_reader_options options = reader_options(SHARDY_ACCESS_RANGE);
    shardy_reader *reader = NULL;
    bool changed;
    (void)state;
    proxy_rule(proxy, "fault=remember method=GET match=_CURRENT count=1");
    snap_ok(shardy_reader_open(&options, &reader, err));
    check_all_of(reader);
    struct snap_table old = table;
    memset(&table, 0, sizeof table);
    publish(2);
    struct snap_table new = table;
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    assert_true(changed);
    check_all_of(reader);
    proxy_rule(proxy, "fault=replay method=GET match=_CURRENT count=1");
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    table = changed ? old : new;
    check_all_of(reader);
    table = new;
    snap_ok(shardy_reader_refresh(reader, &changed, err));
    check_all_of(reader);
    snap_clear(&old);
    shardy_reader_free(reader);
    proxy_clear(proxy);
}

/* ---- permissions ----------------------------------------------------------------------------- */

/* Anybody may read and list; nobody but the owner may do more. */
static void allow_reading(void)
{
    static const char policy[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\","
        "\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":["
        "\"arn:aws:s3:::" S3_SERVER_BUCKET "\",\"arn:aws:s3:::" S3_SERVER_BUCKET "/*\"]}]}";
    const struct s3_answer *answer = s3_client_request(
        client, "PUT", "/" S3_SERVER_BUCKET "?policy=", NULL, policy, sizeof policy - 1);
    if (answer->status / 100 != 2) {
        fail_msg("the server does not take a policy: %d %s", answer->status, answer->body);
    }
}

static const shardy_store_option reader_rights[] = {{"anonymous", "true"}};

/* What the rights are worth. */
static void check_refusal(void)
{
    const struct sfi_store_options how = {reader_rights, COUNT_OF(reader_rights), NULL};
    struct sfi_store *store = NULL;
    snap_ok(sfi_store_open(URL, &how, &store, err));
    snap_fails(SHARDY_CONFIG, "403",
               sfi_store_put(store, "new", bytes_of("x"), NULL, SFI_STORE_ALWAYS, NULL, NULL, err));
    snap_fails(SHARDY_CONFIG, "403", sfi_store_delete(store, "_CURRENT", err));
    sfi_store_release(store);
}

static void check_log_reads_only(void)
{
    struct proxy_record *records = NULL;
    size_t count = proxy_read_log(proxy, &records);
    assert_true(count > 3);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(records[i].method, "GET") != 0 && strcmp(records[i].method, "HEAD") != 0) {
            fail_msg("a reader sent %s %s", records[i].method, records[i].target);
        }
        assert_in_range(records[i].status, 200, 304);
    }
    free(records);
}

static void test_read_only(void **state)
{
    (void)state;
    allow_reading();
    check_refusal();
    for (size_t m = 0; m < COUNT_OF(modes); m++) {
        shardy_reader_options options = reader_options(modes[m]);
        shardy_history_options listing = SHARDY_HISTORY_OPTIONS_INIT;
        shardy_history history;
        shardy_reader *reader = NULL;
        bool right;
        bool changed;
        publish(10 + (unsigned)m);
        proxy_reset(proxy);
        options.store_options = listing.store_options = reader_rights;
        options.store_option_count = listing.store_option_count = COUNT_OF(reader_rights);
        listing.url = URL;
        snap_ok(shardy_reader_open(&options, &reader, err));
        for (size_t i = 0; i < ROWS; i += 31) {
            snap_ok(get(reader, i, &right, err));
            assert_true(right);
        }
        snap_ok(shardy_reader_refresh(reader, &changed, err));
        assert_false(changed);
        snap_ok(shardy_history_load(&listing, &history, err));
        assert_true(history.count > 1 && history.items[0].is_current);
        shardy_history_clear(&history);
        check_log_reads_only();
        publish(20 + (unsigned)m); /* by somebody who may */
        proxy_reset(proxy);
        snap_ok(shardy_reader_refresh(reader, &changed, err));
        assert_true(changed);
        for (size_t i = 0; i < ROWS; i += 31) {
            snap_ok(get(reader, i, &right, err));
            assert_true(right);
        }
        shardy_reader_free(reader);
        check_log_reads_only();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replaced, fresh, clean),
        cmocka_unit_test_setup_teardown(test_removed, fresh, clean),
        cmocka_unit_test_setup_teardown(test_replaced_before_download, fresh, clean),
        cmocka_unit_test(test_replaced_during_download),
        cmocka_unit_test_setup_teardown(test_stale_pointer, fresh, clean),
        cmocka_unit_test_setup_teardown(test_read_only, fresh, clean),
    };
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    return cmocka_run_group_tests_name("faults_objects", tests, start, stop);
}
