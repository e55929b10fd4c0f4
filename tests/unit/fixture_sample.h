/*
 * fixture_sample.h - shared by the tests that read the snapshots of the original implementation
 * (shared/fixtures/original): what their expected.json says, compared with what a reader says.
 */
#ifndef TESTS_FIXTURE_SAMPLE_H
#define TESTS_FIXTURE_SAMPLE_H

#include "snapshot_sample.h"

#include <jansson.h>

static char root[4000]; /* of the fixtures; "" = they are not there */

static const char *const fixture_names[] = {
    "hash-u64be",        "hash-u32be",  "hash-utf8",  "hash-raw",
    "hash-empty-shards", "overflow-4k", "page-auto",  "deep",
    "overflow-64k",      "no-sidecar",  "cel-direct", "cel-inferred",
    "cel-categorical",
};

struct fixture {
    const char *name;
    json_t *expected;
    json_t *rows;
    char url[4300];
    shardy_key_encoding encoding;
    bool cel;
    uint32_t num_dbs;
};

/* ---- SHA-256 (FIPS 180-4), for values that the fixtures only name by digest -------------------
 */

static inline uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* Round constants: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline void sha_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64];
    uint32_t s[8];
    for (unsigned i = 0; i < 64; i++) {
        if (i < 16) {
            w[i] = sfi_get_u32be(p + (size_t)4 * i);
            continue;
        }
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, h, sizeof s);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
        uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t u = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (unsigned i = 0; i < 8; i++) {
        h[i] += s[i];
    }
}

static inline void sha256_hex(const uint8_t *data, size_t size, char hex[65])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[128] = {0};
    size_t tail = size % 64;
    size_t padded = tail < 56 ? 64 : 128;
    for (size_t at = 0; at + 64 <= size; at += 64) {
        sha_block(h, data + at);
    }
    if (tail) {
        memcpy(last, data + size - tail, tail);
    }
    last[tail] = 0x80;
    for (unsigned i = 0; i < 8; i++) {
        last[padded - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
    }
    sha_block(h, last);
    if (padded == 128) {
        sha_block(h, last + 64);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(hex + (size_t)8 * i, 9, "%08x", h[i]);
    }
}

/* ---- expected.json --------------------------------------------------------------------------- */

static inline size_t base64_decode(const char *text, uint8_t *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t size = 0;
    for (; *text && *text != '='; text++) {
        bits = bits << 6 | (uint32_t)(strchr(letters, *text) - letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[size++] = (uint8_t)(bits >> have);
        }
    }
    return size;
}

/* `buffer` holds decoded bytes. */
static inline shardy_key key_of_json(const json_t *json, uint8_t buffer[4096])
{
    const json_t *number = json_object_get(json, "int");
    const json_t *text = json_object_get(json, "str");
    if (number) {
        return shardy_key_int((int64_t)json_integer_value(number));
    }
    if (text) {
        return shardy_key_str(json_string_value(text), json_string_length(text));
    }
    return shardy_key_bytes(buffer,
                            base64_decode(json_string_value(json_object_get(json, "b64")), buffer));
}

static inline void value_is_row(const json_t *row, const void *data, size_t size)
{
    const char *digest = json_string_value(json_object_get(row, "sha256"));
    const char *bytes = json_string_value(json_object_get(row, "b64"));
    assert_non_null(data);
    assert_int_equal(size, json_integer_value(json_object_get(row, "len")));
    if (digest) {
        char hex[65];
        sha256_hex(data, size, hex);
        assert_string_equal(hex, digest);
    } else {
        uint8_t buffer[65536];
        assert_int_equal(base64_decode(bytes, buffer), size);
        assert_memory_equal(buffer, data, size);
    }
}

static inline void fixture_open(struct fixture *fixture, const char *name)
{
    char path[4300];
    json_error_t error;
    memset(fixture, 0, sizeof *fixture);
    fixture->name = name;
    snprintf(path, sizeof path, "%s/%s/expected.json", root, name);
    fixture->expected = json_load_file(path, 0, &error);
    if (!fixture->expected) {
        fail_msg("%s: %s", path, error.text);
    }
    fixture->rows = json_object_get(fixture->expected, "rows");
    char *real = realpath(root, NULL);
    assert_non_null(real);
    snprintf(fixture->url, sizeof fixture->url, "file://%s/%s/objects", real, name);
    free(real);
    snap_ok(shardy_key_encoding_parse(
        json_string_value(json_object_get(fixture->expected, "key_encoding")), &fixture->encoding,
        err));
    const json_t *info = json_object_get(fixture->expected, "info");
    fixture->cel = strcmp(json_string_value(json_object_get(info, "sharding")), "cel") == 0;
    fixture->num_dbs = (uint32_t)json_integer_value(json_object_get(info, "num_dbs"));
}

/* ---- reading --------------------------------------------------------------------------------- */

static inline void check_info(const struct fixture *fixture, shardy_reader *reader)
{
    const json_t *want = json_object_get(fixture->expected, "info");
    const char *ref = json_string_value(json_object_get(want, "manifest_ref"));
    shardy_snapshot_info about;
    snap_ok(shardy_reader_info(reader, &about, err));
    assert_string_equal(about.run_id, json_string_value(json_object_get(want, "run_id")));
    assert_string_equal(strstr(about.manifest_ref, "/manifests/"), strstr(ref, "/manifests/"));
    assert_string_equal(about.s3_prefix,
                        json_string_value(json_object_get(fixture->expected, "s3_prefix")));
    assert_int_equal(about.num_dbs, fixture->num_dbs);
    assert_int_equal(about.row_count, json_integer_value(json_object_get(want, "row_count")));
    assert_int_equal(about.key_encoding, fixture->encoding);
    assert_int_equal(about.sharding, fixture->cel ? SHARDY_SHARDING_CEL : SHARDY_SHARDING_HASH);
    shardy_snapshot_info_clear(&about);
}

/* Routing context of a row; count 0: the row is routed by its key. */
static inline shardy_context context_of_row(const json_t *row, shardy_context_entry entries[8])
{
    shardy_context context = {entries, 0};
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(row, "context"), name, value)
    {
        shardy_context_entry *entry = &entries[context.count++];
        assert_true(context.count <= 8);
        entry->name = name;
        entry->value = json_is_string(value)
                           ? shardy_cel_string(json_string_value(value), json_string_length(value))
                           : shardy_cel_int((int64_t)json_integer_value(value));
    }
    return context;
}

/* Rows that need a routing context: get, multi-get with another shard's key, and route. */
static inline void check_gets_with_context(const struct fixture *fixture, shardy_reader *reader)
{
    size_t count = json_array_size(fixture->rows);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(fixture->rows, i);
        const json_t *other = json_array_get(fixture->rows, (i * 7 + 1) % count);
        int64_t shard = json_integer_value(json_object_get(row, "shard"));
        bool same = json_integer_value(json_object_get(other, "shard")) == shard;
        uint8_t buffers[2][4096];
        shardy_key keys[2] = {key_of_json(json_object_get(row, "key"), buffers[0]),
                              key_of_json(json_object_get(other, "key"), buffers[1])};
        shardy_context_entry entries[8];
        shardy_context context = context_of_row(row, entries);
        shardy_value value = SHARDY_VALUE_INIT;
        shardy_items items = SHARDY_ITEMS_INIT;
        uint32_t db_id = 0;
        assert_true(context.count > 0);
        snap_ok(shardy_reader_route(reader, &keys[0], &context, &db_id, err));
        assert_int_equal(db_id, shard);
        snap_ok(shardy_reader_get_with_context(reader, &keys[0], &context, &value, err));
        value_is_row(row, value.data, value.size);
        shardy_value_clear(&value);
        snap_ok(shardy_reader_multi_get_with_context(reader, keys, 2, &context, &items, err));
        value_is_row(row, items.items[0].data, items.items[0].size);
        assert_int_equal(items.items[1].data != NULL, same);
        shardy_items_clear(&items);
        snap_fails(SHARDY_INPUT, "Multi-column CEL sharding requires routing_context",
                   shardy_reader_get(reader, &keys[0], &value, err));
    }
}

/* One get, one multi-get and the route of every row; nothing for absent keys. */
static inline void check_gets(const struct fixture *fixture, shardy_reader *reader)
{
    size_t count = json_array_size(fixture->rows);
    shardy_key *keys = snap_alloc(count * sizeof *keys);
    uint8_t(*buffers)[4096] = snap_alloc(count * sizeof *buffers);
    shardy_items items = SHARDY_ITEMS_INIT;
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(fixture->rows, i);
        shardy_value value = SHARDY_VALUE_INIT;
        uint32_t db_id = 0;
        keys[i] = key_of_json(json_object_get(row, "key"), buffers[i]);
        snap_ok(shardy_reader_route(reader, &keys[i], NULL, &db_id, err));
        assert_int_equal(db_id, json_integer_value(json_object_get(row, "shard")));
        snap_ok(shardy_reader_get(reader, &keys[i], &value, err));
        value_is_row(row, value.data, value.size);
        shardy_value_clear(&value);
    }
    snap_ok(shardy_reader_multi_get(reader, keys, count, &items, err));
    for (size_t i = 0; i < count; i++) {
        value_is_row(json_array_get(fixture->rows, i), items.items[i].data, items.items[i].size);
    }
    shardy_items_clear(&items);
    const json_t *absent = json_object_get(fixture->expected, "absent");
    for (size_t i = 0; i < json_array_size(absent); i++) {
        shardy_key key = key_of_json(json_array_get(absent, i), buffers[0]);
        shardy_value value = SHARDY_VALUE_INIT;
        snap_ok(shardy_reader_get(reader, &key, &value, err));
        assert_null(value.data);
    }
    free(buffers);
    free(keys);
}

/* Every row is found in the scan of its shard, and the scans have no other rows. */
static inline void check_scans(const struct fixture *fixture, shardy_reader *reader)
{
    shardy_snapshot *snapshot = NULL;
    json_t *by_key[64];
    size_t seen = 0;
    assert_true(fixture->num_dbs <= COUNT_OF(by_key));
    snap_ok(shardy_reader_snapshot(reader, &snapshot, err));
    for (uint32_t db_id = 0; db_id < fixture->num_dbs; db_id++) {
        shardy_scan_options options = SHARDY_SCAN_OPTIONS_INIT;
        shardy_scan *scan = NULL;
        shardy_row got;
        bool found = true;
        options.one_shard = true;
        options.db_id = db_id;
        snap_ok(shardy_snapshot_scan(snapshot, &options, &scan, err));
        while (found) {
            snap_ok(shardy_scan_next(scan, &got, &found, err));
            bool known = !found;
            for (size_t i = 0; !known && i < json_array_size(fixture->rows); i++) {
                const json_t *row = json_array_get(fixture->rows, i);
                uint8_t buffer[4096];
                uint8_t stored[8];
                const void *data;
                size_t size;
                shardy_key key = key_of_json(json_object_get(row, "key"), buffer);
                snap_ok(shardy_key_encode(&key, fixture->encoding, stored, &data, &size, err));
                if (json_integer_value(json_object_get(row, "shard")) == db_id &&
                    snap_compare_bytes(data, size, got.key, got.key_size) == 0) {
                    value_is_row(row, got.value, got.value_size);
                    known = true;
                }
            }
            assert_true(known);
            seen += found;
        }
        shardy_scan_free(scan);
    }
    assert_int_equal(seen, json_array_size(fixture->rows));
    shardy_snapshot_release(snapshot);
}

static inline void check_history(const struct fixture *fixture)
{
    const json_t *oldest_first = json_object_get(fixture->expected, "manifests_oldest_first");
    shardy_history_options options = SHARDY_HISTORY_OPTIONS_INIT;
    shardy_history history;
    size_t count = json_array_size(oldest_first);
    options.url = fixture->url;
    snap_ok(shardy_history_load(&options, &history, err));
    assert_int_equal(history.count, count);
    for (size_t i = 0; i < count; i++) {
        const char *want = json_string_value(json_array_get(oldest_first, count - 1 - i));
        assert_string_equal(strstr(history.items[i].ref, "/manifests/"),
                            strstr(want, "/manifests/"));
        assert_int_equal(history.items[i].is_current, i == 0);
    }
    shardy_history_clear(&history);
}

#endif
