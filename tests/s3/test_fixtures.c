/*
 * test_fixtures.c - the snapshots of the original implementation on a real S3 server, under the
 * very URLs that they record: every row, absent keys, routes, histories and older runs, in each way
 * of reading shards. Snapshots routed by CEL are scanned. Skipped when the fixtures are not there.
 */
#include "../unit/fixture_sample.h"

#include "s3_client.h"
#include "s3_server.h"

#define BUCKET "fixtures"

static struct s3_server *server;
static char cache_path[256];
static char cache_url[256];

static const struct {
    shardy_access access;
    const char *name;
} modes[] = {{SHARDY_ACCESS_RANGE, "range"},
             {SHARDY_ACCESS_DOWNLOAD, "download"},
             {SHARDY_ACCESS_AUTO, "auto"}};

/* ---- uploading ------------------------------------------------------------------------------- */

static struct sfi_store *target; /* for the walk */
static size_t skip_size;         /* of the local path before the key */
static size_t uploaded;

static int upload_file(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    size_t size = 0;
    (void)walk;
    if (kind == FTW_F) {
        uint8_t *data = snap_read_file(path, &size);
        struct sfi_bytes bytes = {data, size};
        assert_int_equal(size, info->st_size);
        snap_ok(sfi_store_put(target, path + skip_size, bytes, NULL, SFI_STORE_IF_ABSENT, NULL,
                              NULL, err));
        free(data);
        uploaded++;
    }
    return 0;
}

static void upload(const char *name)
{
    char path[4300];
    char url[300];
    snprintf(path, sizeof path, "%s/%s/objects", root, name);
    snprintf(url, sizeof url, "s3://" BUCKET "/%s", name);
    skip_size = strlen(path) + 1;
    uploaded = 0;
    snap_ok(sfi_store_open(url, NULL, &target, err));
    assert_int_equal(nftw(path, upload_file, 16, FTW_PHYS), 0);
    assert_true(uploaded >= 2);
    sfi_store_release(target);
}

static int start(void **state)
{
    (void)state;
    server = s3_server_start(S3_SERVER_VERSITYGW);
    s3_server_set_environment(s3_server_url(server));
    struct s3_client *client = s3_client_new(s3_server_url(server));
    int status = s3_client_request(client, "PUT", "/" BUCKET, NULL, NULL, 0)->status;
    s3_client_free(client);
    make_folder(cache_path, cache_url);
    for (size_t i = 0; status == 200 && i < COUNT_OF(fixture_names); i++) {
        upload(fixture_names[i]);
    }
    return status != 200;
}

static int stop(void **state)
{
    (void)state;
    remove_folder(cache_path);
    s3_server_stop(server);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void open_remote(struct fixture *fixture, const char *name)
{
    fixture_open(fixture, name);
    snprintf(fixture->url, sizeof fixture->url, "s3://" BUCKET "/%s", name);
}

static shardy_reader_options options_of(const struct fixture *fixture, shardy_access access)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    options.url = fixture->url;
    options.access = access;
    options.local_root = cache_path;
    /* Small enough that AUTO does both: 4 KiB pages against 64 KiB ones, two shards at most. */
    options.auto_shard_bytes = 40000;
    options.auto_total_bytes = 60000;
    return options;
}

static void test_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixture_names); i++) {
        struct fixture fixture;
        open_remote(&fixture, fixture_names[i]);
        for (size_t m = 0; m < COUNT_OF(modes); m++) {
            shardy_reader_options options = options_of(&fixture, modes[m].access);
            shardy_reader *reader = NULL;
            print_message("# %s, %s\n", fixture.name, modes[m].name);
            snap_ok(shardy_reader_open(&options, &reader, err));
            check_info(&fixture, reader);
            /* Before the scan has fetched everything. */
            if (json_object_get(json_array_get(fixture.rows, 0), "context")) {
                check_gets_with_context(&fixture, reader);
            } else {
                check_gets(&fixture, reader);
            }
            check_scans(&fixture, reader);
            shardy_reader_free(reader);
        }
        check_history(&fixture);
        json_decref(fixture.expected);
    }
}

static void test_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixture_names); i++) {
        struct fixture fixture;
        shardy_verify_options options = SHARDY_VERIFY_OPTIONS_INIT;
        shardy_verify_report report;
        open_remote(&fixture, fixture_names[i]);
        options.url = fixture.url;
        options.deep = true;
        snap_ok(shardy_verify(&options, &report, err));
        if (report.damage_count) {
            fail_msg("%s: %s", report.damages[0].object, report.damages[0].message);
        }
        assert_int_equal(report.rows_checked, json_array_size(fixture.rows));
        shardy_verify_report_clear(&report);
        json_decref(fixture.expected);
    }
}

/* Older runs of hash-u64be hold half of the keys, with other values. */
static void test_older_runs(void **state)
{
    struct fixture fixture;
    (void)state;
    open_remote(&fixture, "hash-u64be");
    const json_t *oldest_first = json_object_get(fixture.expected, "manifests_oldest_first");
    size_t manifests = json_array_size(oldest_first);
    assert_true(manifests > 1);
    for (size_t i = 0; i + 1 < manifests; i++) {
        for (size_t m = 0; m < COUNT_OF(modes); m++) {
            shardy_reader_options options = options_of(&fixture, modes[m].access);
            shardy_reader *reader = NULL;
            size_t found = 0;
            options.pin_ref = json_string_value(json_array_get(oldest_first, i));
            snap_ok(shardy_reader_open(&options, &reader, err));
            for (size_t r = 0; r < json_array_size(fixture.rows); r++) {
                uint8_t buffer[4096];
                shardy_value value = SHARDY_VALUE_INIT;
                shardy_key key =
                    key_of_json(json_object_get(json_array_get(fixture.rows, r), "key"), buffer);
                snap_ok(shardy_reader_get(reader, &key, &value, err));
                found += value.data != NULL;
                shardy_value_clear(&value);
            }
            assert_int_equal(found, json_array_size(fixture.rows) / 2);
            shardy_reader_free(reader);
        }
    }
    json_decref(fixture.expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_older_runs),
    };
    if (s3_server_skip_all(S3_SERVER_VERSITYGW)) {
        return 0;
    }
    if (!fixtures_root(root, sizeof root)) {
        printf("1..0 # SKIP no fixtures of the original at %s; set SHARDY_FIXTURES\n", root);
        return 0;
    }
    return cmocka_run_group_tests_name("fixtures", tests, start, stop);
}
