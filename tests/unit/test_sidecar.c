/*
 * test_sidecar.c - sidecars there and back: worked values of docs/format/sidecar.md, SQLite's
 * dbstat and integrity check as judges, sidecars of the original implementation, what the encoder
 * refuses, allocation failures. The rules of the parser are in test_sidecar_parse.c.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/sidecar.h"

#include <ftw.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include <cmocka.h>

#define SCHEMA "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"

/* A whole database in memory and what dbstat says about it: the input of a sidecar. */
struct world {
    uint8_t *db;
    size_t size;
    struct sfi_sidecar_page *pages;
    struct sfi_chain *chains;
    struct sfi_sidecar_input input;
};

static void must(int rc, sqlite3 *db)
{
    if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE) {
        fail_msg("sqlite: %s", sqlite3_errmsg(db));
    }
}

static sqlite3 *open_image(const uint8_t *image, size_t size)
{
    sqlite3 *db = NULL;
    uint8_t *copy = sqlite3_malloc64(size);

    assert_non_null(copy);
    memcpy(copy, image, size);
    must(sqlite3_open(":memory:", &db), db);
    must(sqlite3_deserialize(db, "main", copy, (sqlite3_int64)size, (sqlite3_int64)size,
                             SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY),
         db);
    return db;
}

/* Text of the first column of the first row. */
static void ask(sqlite3 *db, const char *sql, char *answer, size_t size)
{
    sqlite3_stmt *query = NULL;

    must(sqlite3_prepare_v2(db, sql, -1, &query, NULL), db);
    assert_int_equal(sqlite3_step(query), SQLITE_ROW);
    snprintf(answer, size, "%s", (const char *)sqlite3_column_text(query, 0));
    sqlite3_finalize(query);
}

/* Pages of one dbstat query, ascending; the caller frees. */
static uint32_t *numbers_of(sqlite3 *db, const char *sql, size_t *count)
{
    sqlite3_stmt *query = NULL;
    uint32_t *numbers = NULL;
    size_t used = 0;

    must(sqlite3_prepare_v2(db, sql, -1, &query, NULL), db);
    while (sqlite3_step(query) == SQLITE_ROW) {
        numbers = realloc(numbers, (used + 1) * sizeof *numbers);
        assert_non_null(numbers);
        numbers[used++] = (uint32_t)sqlite3_column_int64(query, 0);
    }
    must(sqlite3_finalize(query), db);
    *count = used;
    return numbers;
}

/* Follow the real links: every overflow page that no other one names starts a chain. */
static void find_chains(struct world *w, const uint32_t *overflow, size_t count)
{
    uint32_t page_size = w->input.page_size;
    size_t page_count = w->size / page_size;
    uint8_t *named = calloc(page_count + 1, 1);
    size_t used = 0;

    w->chains = calloc(count + 1, sizeof *w->chains);
    for (size_t i = 0; i < count; i++) {
        named[sfi_get_u32be(w->db + (overflow[i] - 1) * (size_t)page_size)] = 1;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t page = overflow[i];
        if (named[page]) {
            continue;
        }
        struct sfi_chain *chain = &w->chains[used++];
        for (chain->head = page; page; chain->count++) {
            assert_int_equal(page, chain->head + chain->count); /* no lock-byte page this small */
            page = sfi_get_u32be(w->db + (page - 1) * (size_t)page_size);
        }
    }
    free(named);
    w->input.chains = w->chains;
    w->input.chain_count = used;
}

static void survey(struct world *w, sqlite3 *db, const char *tag)
{
    uint32_t page_size = sfi_get_u16be(w->db + 16);
    size_t count = 0;

    w->input.page_size = page_size == 1 ? 65536 : page_size;
    w->input.tag = tag;
    uint32_t *numbers = numbers_of(db,
                                   "SELECT pageno FROM dbstat WHERE pagetype = 'internal' OR name "
                                   "IN ('sqlite_schema', 'sqlite_master') ORDER BY pageno",
                                   &count);
    w->pages = calloc(count, sizeof *w->pages);
    for (size_t i = 0; i < count; i++) {
        w->pages[i].number = numbers[i];
        w->pages[i].image = w->db + (numbers[i] - 1) * (size_t)w->input.page_size;
    }
    w->input.pages = w->pages;
    w->input.page_count = count;
    free(numbers);
    numbers = numbers_of(
        db, "SELECT pageno FROM dbstat WHERE pagetype = 'overflow' ORDER BY pageno", &count);
    find_chains(w, numbers, count);
    free(numbers);
}

static void make_world(struct world *w, uint32_t page_size, int rows, int value_size,
                       const char *tag)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    sqlite3_int64 size = 0;
    char sql[64];

    memset(w, 0, sizeof *w);
    must(sqlite3_open(":memory:", &db), db);
    snprintf(sql, sizeof sql, "PRAGMA page_size = %u", page_size);
    must(sqlite3_exec(db, sql, NULL, NULL, NULL), db);
    must(sqlite3_exec(db, SCHEMA, NULL, NULL, NULL), db);
    must(sqlite3_prepare_v2(db, "INSERT INTO kv VALUES (?, randomblob(?))", -1, &insert, NULL), db);
    for (int i = 0; i < rows; i++) {
        uint8_t key[8];
        sfi_put_u64be(key, (uint64_t)i);
        sqlite3_bind_blob(insert, 1, key, sizeof key, SQLITE_TRANSIENT);
        sqlite3_bind_int(insert, 2, value_size);
        must(sqlite3_step(insert), db);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    uint8_t *image = sqlite3_serialize(db, "main", &size, 0);
    w->size = (size_t)size;
    w->db = malloc(w->size);
    memcpy(w->db, image, w->size);
    sqlite3_free(image);
    survey(w, db, tag);
    sqlite3_close(db);
}

static void free_world(struct world *w)
{
    free(w->db);
    free(w->pages);
    free(w->chains);
}

static void encode(const struct world *w, struct sfi_buf *out)
{
    shardy_error err = SHARDY_ERROR_INIT;

    sfi_buf_init(out, SIZE_MAX);
    if (sfi_sidecar_encode(&w->input, out, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
}

/* Body of a sidecar, decompressed with zstd alone; the caller frees. */
static uint8_t *body_of(struct sfi_bytes bytes, size_t *size)
{
    size_t skip = 18u + bytes.data[17];
    unsigned long long declared = sfi_get_u64le(bytes.data + 5);

    assert_true(ZSTD_getFrameContentSize(bytes.data + skip, bytes.size - skip) == declared);
    uint8_t *body = malloc(declared ? (size_t)declared : 1);
    *size = ZSTD_decompress(body, (size_t)declared, bytes.data + skip, bytes.size - skip);
    assert_true(*size == declared);
    return body;
}

static void zero_gap(uint8_t *page, uint32_t number, uint32_t page_size)
{
    uint32_t base = number == 1 ? 100 : 0;
    uint32_t end = base + (page[base] < 10 ? 12u : 8u) + 2u * sfi_get_u16be(page + base + 3);
    uint32_t content = sfi_get_u16be(page + base + 5);

    memset(page + end, 0, (content ? content : page_size) - end);
}

static bool is_tree_page(const uint8_t *page, uint32_t number)
{
    uint8_t type = page[number == 1 ? 100 : 0];
    return type == 2 || type == 5 || type == 10 || type == 13;
}

/* Pages and chains of a parsed sidecar are those of the database; SQLite accepts the rebuilt one.
 */
static void compare_with_world(struct sfi_sidecar *s, const struct world *w)
{
    uint32_t page_size = w->input.page_size;
    uint8_t *want = malloc(page_size);
    uint8_t *rebuilt = malloc(w->size);
    char answer[128];

    memcpy(rebuilt, w->db, w->size);
    assert_int_equal(sfi_sidecar_page_size(s), page_size);
    assert_int_equal(sfi_sidecar_page_count(s), w->input.page_count);
    for (size_t i = 0; i < w->input.page_count; i++) {
        uint32_t number = w->pages[i].number;
        uint8_t *got = rebuilt + (number - 1) * (size_t)page_size;
        assert_int_equal(sfi_sidecar_page_number(s, i), number);
        assert_int_equal(sfi_sidecar_find(s, number), i);
        sfi_sidecar_page(s, i, got);
        memcpy(want, w->pages[i].image, page_size);
        if (is_tree_page(want, number)) {
            zero_gap(want, number, page_size);
        }
        assert_memory_equal(got, want, page_size);
    }
    assert_int_equal(sfi_sidecar_chain_count(s), w->input.chain_count);
    for (size_t i = 0; i < w->input.chain_count; i++) {
        size_t count = 0;
        const uint32_t *chain = sfi_sidecar_chain(s, i, &count);
        assert_int_equal(count, w->chains[i].count);
        assert_int_equal(sfi_sidecar_find_chain(s, w->chains[i].head), i);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(chain[j], w->chains[i].head + j);
        }
    }
    sqlite3 *db = open_image(rebuilt, w->size);
    ask(db, "PRAGMA integrity_check", answer, sizeof answer);
    assert_string_equal(answer, "ok");
    sqlite3_close(db);
    free(rebuilt);
    free(want);
}

static struct sfi_sidecar *parse(struct sfi_bytes bytes)
{
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_sidecar *s = NULL;

    if (sfi_sidecar_parse(bytes, &s, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    return s;
}

/* docs/format/sidecar.md, "Worked values". */
static void test_worked_values(void **state)
{
    static const struct {
        uint32_t page_size;
        int rows;
        const char *tag;
        const char *prefix;
        uint32_t head[9]; /* n, page number, offsets, chain count, then what is given */
        size_t body_size;
    } rows[] = {
        {4096,
         0,
         "\"abc\"",
         "5351504308dc0000000000000000100000052261626322",
         {1, 1, 0, 196, 0, 0},
         220},
        {65536, 0, NULL, "5351504308dc000000000000000000010000", {1, 1, 0, 196, 0, 0}, 220},
        {4096, 3, "", "535150430830010000000000000010000000", {1, 1, 0, 196, 3, 3, 8, 13, 0}, 304},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        struct sfi_buf out;
        char hex[64] = "";
        size_t size = 0;

        make_world(&w, rows[i].page_size, rows[i].rows, 20000, rows[i].tag);
        encode(&w, &out);
        for (size_t j = 0; j < strlen(rows[i].prefix) / 2; j++) {
            snprintf(hex + 2 * j, 3, "%02x", out.data[j]);
        }
        assert_string_equal(hex, rows[i].prefix);
        uint8_t *body = body_of(sfi_buf_view(&out), &size);
        assert_int_equal(size, rows[i].body_size);
        assert_memory_equal(body, rows[i].head, rows[i].rows ? 36 : 24);
        struct sfi_sidecar *s = parse(sfi_buf_view(&out));
        assert_string_equal(sfi_sidecar_tag(s), rows[i].tag ? rows[i].tag : "");
        compare_with_world(s, &w);
        sfi_sidecar_free(s);
        free(body);
        sfi_buf_clear(&out);
        free_world(&w);
    }
}

static void test_round_trip(void **state)
{
    static const struct {
        uint32_t page_size;
        int rows;
        int value_size;
        bool deep;
    } rows[] = {
        {4096, 3000, 300, true},   {4096, 400, 9000, true}, {8192, 3000, 900, true},
        {16384, 60, 100000, true}, {32768, 40, 8000, true}, {65536, 30, 16000, true},
        {65536, 5, 200000, false}, {512, 4000, 100, true},  {4096, 1, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        struct sfi_buf out;

        make_world(&w, rows[i].page_size, rows[i].rows, rows[i].value_size, "\"0a-3\"");
        assert_int_equal(w.input.page_count > 1, rows[i].deep);
        encode(&w, &out);
        struct sfi_sidecar *s = parse(sfi_buf_view(&out));
        compare_with_world(s, &w);
        assert_int_equal(sfi_sidecar_find(s, 0), SIZE_MAX);
        assert_int_equal(sfi_sidecar_find(s, UINT32_MAX), SIZE_MAX);
        assert_int_equal(sfi_sidecar_find_chain(s, 1), SIZE_MAX);
        sfi_sidecar_free(s);
        sfi_buf_clear(&out);
        free_world(&w);
    }
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    if (!file) {
        fail_msg("%s: cannot be opened", path);
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static size_t originals;

/* One sidecar of the original: equal to its database, and our encoder makes the same body. */
static void check_original(const char *path)
{
    struct world w = {0};
    struct sfi_buf out;
    char db_path[4096];
    size_t size = 0;
    size_t ours_size = 0;
    size_t body_size = 0;
    uint8_t *bytes = load(path, &size);
    struct sfi_bytes view = {bytes, size};

    snprintf(db_path, sizeof db_path, "%.*sdb", (int)(strlen(path) - strlen("sidecar")), path);
    w.db = load(db_path, &w.size);
    struct sfi_sidecar *s = parse(view);
    sqlite3 *db = open_image(w.db, w.size);
    survey(&w, db, sfi_sidecar_tag(s));
    sqlite3_close(db);
    compare_with_world(s, &w);
    encode(&w, &out);
    assert_memory_equal(out.data, bytes, 18u + bytes[17]);
    uint8_t *body = body_of(view, &body_size);
    uint8_t *ours = body_of(sfi_buf_view(&out), &ours_size);
    assert_int_equal(ours_size, body_size);
    assert_memory_equal(ours, body, body_size);
    free(ours);
    free(body);
    sfi_buf_clear(&out);
    sfi_sidecar_free(s);
    free_world(&w);
    free(bytes);
    originals++;
}

static int visit(const char *path, const struct stat *info, int kind)
{
    const char *name = strrchr(path, '/');
    (void)info;
    if (kind == FTW_F && name && strcmp(name, "/" SFI_SIDECAR_NAME) == 0) {
        check_original(path);
    }
    return 0;
}

/* Snapshots of the original lie beside the source tree, or where SHARDY_FIXTURES says. */
static void test_originals(void **state)
{
    const char *fixtures = getenv("SHARDY_FIXTURES");
    char folder[4096];
    struct stat info;

    (void)state;
    snprintf(folder, sizeof folder, "%s/original", fixtures ? fixtures : "../shared/fixtures");
    if (stat(folder, &info) != 0) {
        skip();
    }
    assert_int_equal(ftw(folder, visit, 16), 0);
    assert_true(originals > 0);
}

/* The chain of pages 16384 to 16387 of a database with 64 KiB pages, without page 16385. */
static void test_lock_page(void **state)
{
    struct sfi_chain chains[] = {{20000, 1}, {16384, 3}};
    struct sfi_sidecar_input input = {65536, NULL, 0, chains, 2, NULL};
    struct world w = {.input = input};
    struct sfi_buf out;
    size_t count = 0;

    (void)state;
    assert_int_equal(sfi_lock_page(65536), 16385);
    assert_int_equal(sfi_lock_page(4096), 262145);
    encode(&w, &out);
    struct sfi_sidecar *s = parse(sfi_buf_view(&out));
    assert_int_equal(sfi_sidecar_page_count(s), 0);
    const uint32_t *chain = sfi_sidecar_chain(s, 0, &count);
    assert_int_equal(count, 3);
    assert_int_equal(chain[0], 16384);
    assert_int_equal(chain[1], 16386);
    assert_int_equal(chain[2], 16387);
    assert_int_equal(*sfi_sidecar_chain(s, 1, &count), 20000);
    assert_int_equal(count, 1);
    sfi_sidecar_free(s);
    sfi_buf_clear(&out);
}

/* A tag that is not text or does not fit leaves the sidecar unbound. */
static void test_tags(void **state)
{
    char longest[257];
    struct {
        const char *tag;
        size_t kept;
    } rows[] = {{"\"e\"", 3}, {longest, 0}, {longest + 1, 255}, {"\xff", 0}, {NULL, 0}};

    (void)state;
    memset(longest, 'x', 256);
    longest[256] = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = {.input = {.page_size = 4096, .tag = rows[i].tag}};
        struct sfi_sidecar_prefix prefix;
        struct sfi_buf out;

        encode(&w, &out);
        assert_int_equal(out.data[17], rows[i].kept);
        assert_int_equal(sfi_sidecar_parse_prefix(sfi_buf_view(&out), &prefix, NULL), SHARDY_OK);
        assert_int_equal(prefix.size, 18 + rows[i].kept);
        assert_int_equal(strlen(prefix.tag), rows[i].kept);
        sfi_buf_clear(&out);
    }
}

static void test_encoder_refuses(void **state)
{
    uint8_t *image = calloc(1, 65536);
    uint8_t *full = calloc(1, 65536);
    struct sfi_sidecar_page zeros[64];
    struct sfi_sidecar_page swapped[] = {{5, image}, {4, image}};
    struct sfi_sidecar_page nobody = {0, image};
    struct sfi_sidecar_page crowded = {2, full};
    struct sfi_chain twice[] = {{7, 1}, {7, 2}};
    struct sfi_chain empty = {7, 0};
    struct sfi_chain lock = {262145, 1};
    struct sfi_chain end = {UINT32_MAX - 1, 2};
    struct sfi_chain huge = {3, SFI_SIDECAR_MAX_BODY / 4};
    const struct {
        struct sfi_sidecar_input input;
        shardy_status status;
    } rows[] = {
        {{1000, NULL, 0, NULL, 0, NULL}, SHARDY_CONFIG},
        {{131072, NULL, 0, NULL, 0, NULL}, SHARDY_CONFIG},
        {{4096, swapped, 2, NULL, 0, NULL}, SHARDY_CORRUPT},
        {{4096, &nobody, 1, NULL, 0, NULL}, SHARDY_CORRUPT},
        {{4096, &crowded, 1, NULL, 0, NULL}, SHARDY_CORRUPT},
        {{65536, zeros, 64, NULL, 0, NULL}, SHARDY_LIMIT}, /* compresses too well */
        {{4096, NULL, 0, twice, 2, NULL}, SHARDY_CORRUPT},
        {{4096, NULL, 0, &empty, 1, NULL}, SHARDY_CORRUPT},
        {{4096, NULL, 0, &lock, 1, NULL}, SHARDY_CORRUPT},
        {{4096, NULL, 0, &end, 1, NULL}, SHARDY_CORRUPT},
        {{4096, NULL, 0, &huge, 1, NULL}, SHARDY_LIMIT},
        {{4096, NULL, SIZE_MAX / 8, NULL, 0, NULL}, SHARDY_LIMIT},
        {{4096, NULL, 0, NULL, SIZE_MAX / 8, NULL}, SHARDY_LIMIT},
    };
    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        zeros[i] = (struct sfi_sidecar_page){i + 2, image};
    }
    memcpy(full, "\x0a\0\0\x07\xf8\x0f\xf0", 7); /* 2,040 cells that start at byte 4,080 */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sfi_buf out;
        sfi_buf_init(&out, SIZE_MAX);
        assert_int_equal(sfi_sidecar_encode(&rows[i].input, &out, NULL), rows[i].status);
        assert_null(out.data);
    }
    free(full);
    free(image);
}

static size_t allowed;

static bool spend(void)
{
    return allowed > 0 && allowed-- > 0;
}

static void *failing_malloc(size_t size)
{
    return spend() ? malloc(size) : NULL;
}

static void *failing_calloc(size_t count, size_t size)
{
    return spend() ? calloc(count, size) : NULL;
}

static void *failing_realloc(void *block, size_t size)
{
    return spend() ? realloc(block, size) : NULL;
}

/* The n-th allocation fails, for every n until both directions pass. */
static void test_out_of_memory(void **state)
{
    static const shardy_allocator failing = {failing_malloc, failing_calloc, failing_realloc, free};
    struct sfi_buf good;
    struct world w;
    size_t failures = 0;

    (void)state;
    make_world(&w, 4096, 60, 2500, "\"etag\"");
    encode(&w, &good);
    for (size_t n = 0;; n++) {
        struct sfi_sidecar *s = NULL;
        struct sfi_buf out;
        sfi_buf_init(&out, SIZE_MAX);
        shardy_set_allocator(&failing);
        allowed = n;
        shardy_status encoded = sfi_sidecar_encode(&w.input, &out, NULL);
        allowed = n;
        shardy_status parsed = sfi_sidecar_parse(sfi_buf_view(&good), &s, NULL);
        shardy_set_allocator(NULL);
        failures += encoded != SHARDY_OK;
        failures += parsed != SHARDY_OK;
        assert_true(parsed == SHARDY_OK || parsed == SHARDY_NO_MEMORY);
        assert_true((encoded == SHARDY_OK) == (out.data != NULL));
        sfi_sidecar_free(s);
        sfi_buf_clear(&out);
        if (encoded == SHARDY_OK && parsed == SHARDY_OK) {
            break;
        }
    }
    assert_true(failures >= 4);
    sfi_buf_clear(&good);
    free_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_values), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_originals),     cmocka_unit_test(test_lock_page),
        cmocka_unit_test(test_tags),          cmocka_unit_test(test_encoder_refuses),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
