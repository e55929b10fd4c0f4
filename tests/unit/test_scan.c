/*
 * test_scan.c - scans against the sorted model: all rows, one shard, ranges, prefixes, rows on
 * overflow pages, scans that are given up, and scans that outlive their reader.
 */
#include "snapshot_sample.h"

struct place {
    char path[256];
    char url[256];
    struct snap_table table;
    uint32_t num_dbs;
    struct snap_row **rows; /* expected, in key order */
    size_t count;
    shardy_reader *reader;
    shardy_snapshot *snapshot;
};

static void open_place(struct place *place, shardy_key_encoding encoding, size_t rows,
                       size_t value_max, uint32_t num_dbs)
{
    memset(place, 0, sizeof *place);
    make_folder(place->path, place->url);
    place->table.encoding = encoding;
    place->num_dbs = num_dbs;
    snap_fill_table(&place->table, rows, value_max, 31);
    if (!snap_int_keys(&place->table)) {
        snap_add_bytes(&place->table, "", 0, "empty", 5);
        snap_add_bytes(&place->table, "common\0", 7, "nul", 3);
        snap_add_bytes(&place->table, "\xff\xff", 2, "", 0);
        snap_add_bytes(&place->table, "\xff\xff\xff", 3, "last", 4);
    }
    shardy_writer_options options = snap_options(place->url, &place->table, num_dbs);
    snap_ok(snap_build(&options, &place->table, SNAP_BATCHES, NULL, err));
    place->reader = snap_reader(place->url);
    snap_ok(shardy_reader_snapshot(place->reader, &place->snapshot, err));
    place->rows = snap_expected(&place->table, num_dbs, true, &place->count);
}

static void close_place(struct place *place)
{
    shardy_snapshot_release(place->snapshot);
    shardy_reader_free(place->reader);
    free(place->rows);
    snap_clear(&place->table);
    remove_folder(place->path);
}

/* Stored bytes of a bound. */
static struct sfi_bytes bound(const struct place *place, const shardy_key *key, uint8_t buffer[8])
{
    struct sfi_bytes bytes = {NULL, 0};
    const void *data;
    if (key) {
        snap_ok(shardy_key_encode(key, place->table.encoding, buffer, &data, &bytes.size, err));
        bytes.data = data;
    }
    return bytes;
}

static bool wanted(const struct snap_row *row, const shardy_scan_options *options,
                   struct sfi_bytes start, struct sfi_bytes end)
{
    if (options->one_shard && row->db_id != options->db_id) {
        return false;
    }
    if (options->start &&
        snap_compare_bytes(row->stored, row->stored_size, start.data, start.size) < 0) {
        return false;
    }
    if (options->end &&
        snap_compare_bytes(row->stored, row->stored_size, end.data, end.size) >= 0) {
        return false;
    }
    return row->stored_size >= options->prefix_size &&
           (options->prefix_size == 0 ||
            memcmp(row->stored, options->prefix, options->prefix_size) == 0);
}

/* Rows of a scan, one by one: asked for singly (batch 0) or `batch` at a time. */
struct feed {
    shardy_scan *scan;
    size_t batch;
    size_t at;
    size_t count;
    shardy_row rows[64];
};

static bool next_row(struct feed *feed, shardy_row *row)
{
    bool found = false;
    if (!feed->batch) {
        snap_ok(shardy_scan_next(feed->scan, row, &found, err));
        return found;
    }
    if (feed->at == feed->count) {
        feed->at = 0;
        snap_ok(shardy_scan_rows(feed->scan, feed->rows, feed->batch, &feed->count, err));
        assert_true(feed->count <= feed->batch);
    }
    if (feed->at < feed->count) {
        *row = feed->rows[feed->at++];
        found = true;
    }
    return found;
}

static void check_scan_by(struct place *place, const shardy_scan_options *options, size_t batch)
{
    static const shardy_scan_options all = SHARDY_SCAN_OPTIONS_INIT;
    const shardy_scan_options *o = options ? options : &all;
    uint8_t start_buffer[8];
    uint8_t end_buffer[8];
    struct sfi_bytes start = bound(place, o->start, start_buffer);
    struct sfi_bytes end = bound(place, o->end, end_buffer);
    struct feed feed = {.batch = batch};
    shardy_row row;

    snap_ok(shardy_snapshot_scan(place->snapshot, options, &feed.scan, err));
    for (size_t i = 0; i < place->count; i++) {
        const struct snap_row *want = place->rows[i];
        if (!wanted(want, o, start, end)) {
            continue;
        }
        if (!next_row(&feed, &row)) {
            fail_msg("scan ends before row %zu of %zu", i, place->count);
        }
        assert_int_equal(row.db_id, want->db_id);
        assert_int_equal(snap_compare_bytes(row.key, row.key_size, want->stored, want->stored_size),
                         0);
        assert_non_null(row.value);
        assert_int_equal(row.value_size, want->value_size);
        assert_memory_equal(row.value, want->value, want->value_size);
    }
    for (unsigned again = 0; again < 3; again++) { /* and it stays at the end */
        assert_false(next_row(&feed, &row));
    }
    shardy_scan_free(feed.scan);
}

static void check_scan(struct place *place, const shardy_scan_options *options)
{
    check_scan_by(place, options, 0);
    check_scan_by(place, options, 1);
    check_scan_by(place, options, 7);
    check_scan_by(place, options, 64);
}

static void check_all_scans(struct place *place)
{
    shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
    uint64_t random = 8;
    check_scan(place, NULL);
    check_scan(place, &options);
    for (uint32_t db_id = 0; db_id < place->num_dbs; db_id++) {
        options.one_shard = true;
        options.db_id = db_id;
        check_scan(place, &options);
    }
    options.one_shard = false;
    for (unsigned i = 0; i < 40; i++) { /* ranges, some of them empty or backwards */
        shardy_key start =
            snap_key(&place->table, place->rows[next_random(&random) % place->count]);
        shardy_key end = snap_key(&place->table, place->rows[next_random(&random) % place->count]);
        options.start = i % 4 == 1 ? NULL : &start;
        options.end = i % 4 == 2 ? NULL : i % 4 == 3 ? &start : &end;
        options.one_shard = i % 5 == 0;
        options.db_id = i % place->num_dbs;
        check_scan(place, &options);
    }
}

static void test_scans(void **state)
{
    static const uint32_t shards[] = {1, 2, 9, 64};
    (void)state;
    for (int encoding = SHARDY_KEY_U64BE; encoding <= SHARDY_KEY_RAW; encoding++) {
        for (size_t i = 0; i < COUNT_OF(shards); i++) {
            struct place place;
            open_place(&place, (shardy_key_encoding)encoding, 1500, i == 1 ? 6000 : 60, shards[i]);
            check_all_scans(&place);
            close_place(&place);
        }
    }
}

static void test_prefixes(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } prefixes[] = {{"", 0},         {"c", 1},
                    {"common", 6},   {"common\0", 7},
                    {"common/p", 8}, {"common/prefix/1", 15},
                    {"d", 1},        {"\xff", 1},
                    {"\xff\xff", 2}, {"\xff\xff\xff\xff", 4},
                    {"\0", 1},       {"zz", 2}};
    struct place place;
    (void)state;
    open_place(&place, SHARDY_KEY_RAW, 2000, 40, 5);
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        for (unsigned how = 0; how < 4; how++) {
            shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
            shardy_key start = shardy_key_bytes("common/prefix/5", 15);
            shardy_key end = shardy_key_bytes("common/prefix/9", 15);
            options.prefix = prefixes[i].bytes;
            options.prefix_size = prefixes[i].size;
            options.start = how & 1 ? &start : NULL;
            options.end = how & 2 ? &end : NULL;
            check_scan(&place, &options);
            options.one_shard = true;
            options.db_id = 3;
            check_scan(&place, &options);
        }
    }
    close_place(&place);
    open_place(&place, SHARDY_KEY_U64BE, 2000, 40, 3); /* of the stored bytes */
    for (unsigned byte = 0; byte < 256; byte += 15) {
        shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
        uint8_t prefix = (uint8_t)byte;
        options.prefix = &prefix;
        options.prefix_size = 1;
        check_scan(&place, &options);
    }
    close_place(&place);
}

static void test_bounds(void **state)
{
    struct place place;
    shardy_scan *scan = NULL;
    shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
    shardy_key text = shardy_key_str("abc", 3);
    (void)state;
    open_place(&place, SHARDY_KEY_U64BE, 50, 10, 3);
    options.one_shard = true;
    options.db_id = 3;
    snap_fails(SHARDY_CONFIG, "3", shardy_snapshot_scan(place.snapshot, &options, &scan, err));
    assert_null(scan);
    options.one_shard = false;
    options.start = &text;
    snap_fails(SHARDY_INPUT, "", shardy_snapshot_scan(place.snapshot, &options, &scan, err));
    assert_null(scan);
    options.start = NULL;
    options.end = &text;
    snap_fails(SHARDY_INPUT, "", shardy_snapshot_scan(place.snapshot, &options, &scan, err));
    shardy_scan_free(NULL);
    close_place(&place);
}

static void test_empty_snapshot(void **state)
{
    struct place place;
    (void)state;
    open_place(&place, SHARDY_KEY_U64BE, 0, 0, 4);
    assert_int_equal(place.count, 0);
    check_scan(&place, NULL);
    close_place(&place);
}

/* Given up in the middle, also on an overflow row; and a scan that outlives reader and handle. */
static void test_lifetimes(void **state)
{
    struct place place;
    shardy_scan *scan = NULL;
    shardy_row row;
    bool found;
    size_t left;
    (void)state;
    open_place(&place, SHARDY_KEY_RAW, 300, 9000, 4);
    for (size_t stop = 0; stop < 20; stop++) {
        snap_ok(shardy_snapshot_scan(place.snapshot, NULL, &scan, err));
        for (size_t i = 0; i < stop; i++) {
            snap_ok(shardy_scan_next(scan, &row, &found, err));
            assert_true(found);
        }
        shardy_scan_free(scan);
    }
    snap_ok(shardy_snapshot_scan(place.snapshot, NULL, &scan, err));
    shardy_snapshot_release(place.snapshot);
    shardy_reader_free(place.reader);
    place.snapshot = NULL;
    place.reader = NULL;
    for (left = 0; left < place.count; left++) {
        snap_ok(shardy_scan_next(scan, &row, &found, err));
        assert_true(found);
        assert_int_equal(row.value_size, place.rows[left]->value_size);
        assert_memory_equal(row.value, place.rows[left]->value, row.value_size);
    }
    snap_ok(shardy_scan_next(scan, &row, &found, err));
    assert_false(found);
    shardy_scan_free(scan);
    close_place(&place);
}

/* A damaged shard ends the scan with an error, never with silence. */
static void test_damage(void **state)
{
    struct place place;
    char file[600];
    size_t size;
    (void)state;
    open_place(&place, SHARDY_KEY_U64BE, 3000, 100, 1);
    shardy_shard_info shard;
    snap_ok(shardy_snapshot_shard(place.snapshot, 0, &shard, err));
    snprintf(file, sizeof file, "%s/shard.db", snap_path(shard.db_url));
    shardy_shard_info_clear(&shard);
    uint8_t *data = snap_read_file(file, &size);
    memset(data + 10 * 4096, 0, 4096); /* a leaf in the middle */
    snap_write_file(file, data, size);
    free(data);
    shardy_reader *reader = snap_reader(place.url);
    shardy_snapshot *snapshot = NULL;
    shardy_scan *scan = NULL;
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = shardy_snapshot_scan(snapshot, NULL, &scan, &error);
    size_t rows = 0;
    for (bool found = true; st == SHARDY_OK && found; rows++) {
        shardy_row row;
        st = shardy_scan_next(scan, &row, &found, &error);
    }
    assert_int_equal(st, SHARDY_CORRUPT);
    assert_non_null(strstr(error.message, "db=00000"));
    assert_true(rows < place.count);
    shardy_scan_free(scan);
    shardy_snapshot_release(snapshot);
    shardy_reader_free(reader);
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scans),     cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_empty_snapshot),
        cmocka_unit_test(test_lifetimes), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
