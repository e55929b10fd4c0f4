/*
 * shard_sample.h - small good shards for tests that damage them: rows that can be told from their
 * number, the image of a database made by our builder or by SQLite, and, from a walk of its own
 * that trusts the image, the pages that each row depends on.
 */
#ifndef TESTS_SHARD_SAMPLE_H
#define TESTS_SHARD_SAMPLE_H

#include "base/memory.h"
#include "shard/shard.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_KEY_MAX   4096
#define SAMPLE_VALUE_MAX 20000
#define SAMPLE_DEPTH     12

struct sample {
    uint8_t *image;
    size_t size;
    uint32_t page_size;
    uint32_t page_count;
    uint32_t root;
    size_t rows;
    size_t long_every; /* each n-th row has a value of `long_size` bytes */
    uint32_t long_size;
    uint32_t pad;         /* bytes that all keys start with */
    uint8_t *paths;       /* [row][page_count + 1]: row depends on page */
    uint32_t *cell_at;    /* [row]: file offset of its cell, behind a child number */
    uint32_t *cell_page;  /* [row] */
    uint32_t *chain_head; /* [row]: first overflow page, 0 = none */
    uint32_t *local;      /* [row]: payload bytes in the cell */
    size_t walked;        /* rows seen by the walk */
};

static inline void sample_require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "sample: %s\n", what);
        abort();
    }
}

/* Keys ascend with the row number and have different lengths. */
static inline uint32_t sample_key(const struct sample *s, size_t row, uint8_t *key)
{
    uint32_t size = 4 + (uint32_t)(row % 5) * 7;
    memset(key, 'k', s->pad);
    sfi_put_u32be(key + s->pad, (uint32_t)row * 3 + 5);
    memset(key + s->pad + 4, (int)('a' + row % 20), size - 4);
    return s->pad + size;
}

static inline uint32_t sample_value(const struct sample *s, size_t row, uint8_t *value)
{
    uint32_t size = (uint32_t)(row * 13 % 60);
    if (s->long_every && row % s->long_every == 3 % s->long_every) {
        size = s->long_size + (uint32_t)row;
    }
    for (uint32_t i = 0; i < size; i++) {
        value[i] = (uint8_t)(row * 31 + i * 7 + i / 256);
    }
    return size;
}

static inline void sample_from_sqlite(struct sample *s)
{
    static uint8_t value[SAMPLE_VALUE_MAX];
    uint8_t key[SAMPLE_KEY_MAX];
    char sql[64];
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    sqlite3_int64 size = 0;

    snprintf(sql, sizeof sql, "PRAGMA page_size = %u", s->page_size);
    sample_require(sqlite3_open(":memory:", &db) == SQLITE_OK, "open");
    sample_require(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "page size");
    sample_require(sqlite3_exec(db,
                                "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT "
                                "ROWID",
                                NULL, NULL, NULL) == SQLITE_OK,
                   "table");
    sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    sqlite3_prepare_v2(db, "INSERT INTO kv VALUES (?, ?)", -1, &insert, NULL);
    for (size_t row = 0; row < s->rows; row++) {
        sqlite3_bind_blob(insert, 1, key, (int)sample_key(s, row, key), SQLITE_TRANSIENT);
        sqlite3_bind_blob(insert, 2, value, (int)sample_value(s, row, value), SQLITE_TRANSIENT);
        sample_require(sqlite3_step(insert) == SQLITE_DONE, "insert");
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    uint8_t *image = sqlite3_serialize(db, "main", &size, 0);
    s->size = (size_t)size;
    s->image = malloc(s->size);
    sample_require(image && s->image, "serialize");
    memcpy(s->image, image, s->size);
    sqlite3_free(image);
    sqlite3_close(db);
}

static inline void sample_from_builder(struct sample *s)
{
    static uint8_t value[SAMPLE_VALUE_MAX];
    uint8_t key[SAMPLE_KEY_MAX];
    char url[64];
    struct sfi_store *store = NULL;
    struct sfi_shard_builder *builder = NULL;
    struct sfi_shard_built built;
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;

    snprintf(url, sizeof url, "memory://sample-%u-%zu", s->page_size, s->rows);
    sfi_buf_init(&data, SIZE_MAX);
    sample_require(sfi_store_open(url, NULL, &store, NULL) == SHARDY_OK, "store");
    sample_require(sfi_sqlite_builder_new(store, SFI_SHARD_DB_NAME, s->page_size, false, &builder,
                                          NULL) == SHARDY_OK,
                   "builder");
    for (size_t row = 0; row < s->rows; row++) {
        struct sfi_row r = {key, value, sample_key(s, row, key), sample_value(s, row, value)};
        sample_require(builder->ops->add(builder, &r, 1, &err) == SHARDY_OK, err.message);
    }
    sample_require(builder->ops->finish(builder, &built, &err) == SHARDY_OK, err.message);
    builder->ops->free(builder);
    sample_require(sfi_store_get(store, SFI_SHARD_DB_NAME, 0, &data, NULL, NULL) == SHARDY_OK,
                   "get");
    sfi_store_release(store);
    s->size = data.size;
    s->image = malloc(s->size);
    sample_require(s->image != NULL, "memory");
    memcpy(s->image, data.data, s->size);
    sfi_buf_clear(&data);
    sfi_buf_clear(&built.sidecar);
}

static inline uint8_t *sample_page(const struct sample *s, uint32_t number)
{
    return s->image + (size_t)(number - 1) * s->page_size;
}

/* The varint of a good file: never more than 3 bytes here. */
static inline uint32_t sample_varint(const uint8_t **p)
{
    uint32_t value = 0;
    do {
        value = value << 7 | (**p & 0x7Fu);
    } while (*(*p)++ & 0x80u);
    return value;
}

/* The next row in key order lies at `cell`; its path is `pages` and its overflow chain. */
static inline void sample_note(struct sample *s, const uint8_t *cell, const uint32_t *pages,
                               unsigned depth)
{
    uint8_t *path = s->paths + s->walked * (s->page_count + 1);
    const uint8_t *p = cell;
    uint32_t size = sample_varint(&p);
    uint32_t x = (s->page_size - 12) * 64 / 255 - 23;
    uint32_t m = (s->page_size - 12) * 32 / 255 - 23;
    uint32_t k = size > x ? m + (size - m) % (s->page_size - 4) : size;
    uint32_t local = k <= x ? k : m;

    s->cell_at[s->walked] = (uint32_t)(cell - s->image);
    s->cell_page[s->walked] = pages[depth];
    s->local[s->walked] = local;
    path[1] = 1;
    for (unsigned i = 0; i <= depth; i++) {
        path[pages[i]] = 1;
    }
    uint32_t next = local < size ? sfi_get_u32be(p + local) : 0;
    s->chain_head[s->walked] = next;
    for (; next; next = sfi_get_u32be(sample_page(s, next))) {
        path[next] = 1;
    }
    s->walked++;
}

static inline void sample_walk(struct sample *s, uint32_t number, uint32_t *pages, unsigned depth)
{
    const uint8_t *page = sample_page(s, number);
    bool leaf = page[0] == 10;
    uint32_t cells = sfi_get_u16be(page + 3);

    sample_require(depth < SAMPLE_DEPTH && (leaf || page[0] == 2), "page type");
    pages[depth] = number;
    for (uint32_t i = 0; i < cells; i++) {
        const uint8_t *cell = page + sfi_get_u16be(page + (leaf ? 8 : 12) + 2 * i);
        if (!leaf) {
            sample_walk(s, sfi_get_u32be(cell), pages, depth + 1);
        }
        sample_note(s, leaf ? cell : cell + 4, pages, depth);
    }
    if (!leaf) {
        sample_walk(s, sfi_get_u32be(page + 8), pages, depth + 1);
    }
}

/*
 * A key that ends on an overflow page is compared with by searches for the other rows of its page
 * and below: they depend on its chain, too.
 */
static inline void sample_spread(struct sample *s)
{
    static uint8_t key[SAMPLE_KEY_MAX];
    size_t stride = s->page_count + 1;

    for (size_t row = 0; row < s->rows; row++) {
        if (s->local[row] >= sample_key(s, row, key) + 10 || !s->chain_head[row]) {
            continue;
        }
        for (size_t other = 0; other < s->rows; other++) {
            uint32_t next = s->chain_head[row];
            while (s->paths[other * stride + s->cell_page[row]] && next) {
                s->paths[other * stride + next] = 1;
                next = sfi_get_u32be(sample_page(s, next));
            }
        }
    }
}

/* Root of kv out of the only schema row: the column in front of the SQL text. */
static inline uint32_t sample_root(const struct sample *s)
{
    const uint8_t *p = s->image + sfi_get_u16be(s->image + 108);
    uint32_t serial[5];
    uint32_t root = 0;

    sample_varint(&p);
    sample_varint(&p);
    p++; /* header size */
    for (unsigned i = 0; i < 5; i++) {
        serial[i] = sample_varint(&p);
    }
    p += (serial[0] - 13) / 2 + (serial[1] - 13) / 2 + (serial[2] - 13) / 2;
    for (uint32_t i = 0; i < serial[3]; i++) {
        root = root << 8 | *p++;
    }
    return serial[3] == 9 ? 1 : root;
}

/* page_size, rows, long_every and long_size are set. Pages below 4096 bytes come from SQLite. */
static inline void sample_make(struct sample *s, bool ours)
{
    uint32_t pages[SAMPLE_DEPTH];

    if (ours) {
        sample_from_builder(s);
    } else {
        sample_from_sqlite(s);
    }
    s->page_count = (uint32_t)(s->size / s->page_size);
    s->paths = calloc(s->rows + 1, s->page_count + 1);
    s->cell_at = calloc(s->rows + 1, sizeof *s->cell_at);
    s->cell_page = calloc(s->rows + 1, sizeof *s->cell_page);
    s->chain_head = calloc(s->rows + 1, sizeof *s->chain_head);
    s->local = calloc(s->rows + 1, sizeof *s->local);
    sample_require(s->local && s->paths && s->cell_at && s->cell_page && s->chain_head, "memory");
    s->root = sample_root(s);
    sample_walk(s, s->root, pages, 0);
    sample_require(s->walked == s->rows, "rows walked");
    sample_spread(s);
}

static inline void sample_clear(struct sample *s)
{
    free(s->image);
    free(s->paths);
    free(s->cell_at);
    free(s->cell_page);
    free(s->chain_head);
    free(s->local);
    memset(s, 0, sizeof *s);
}

static inline void sample_release_mapping(struct sfi_mapping *mapping)
{
    free(mapping->private_data);
}

/* A mapping over a copy of its own, so that ASan sees every byte read past the end. */
static inline struct sfi_mapping sample_mapping(const uint8_t *image, size_t size)
{
    struct sfi_mapping mapping = {.size = size, .release = sample_release_mapping};
    uint8_t *copy = malloc(size ? size : 1);

    sample_require(copy != NULL, "memory");
    if (size > 0) {
        memcpy(copy, image, size);
    }
    mapping.data = copy;
    mapping.private_data = copy;
    return mapping;
}

/* What became of a damaged image. */
struct sample_outcome {
    shardy_status open;
    shardy_status scan;  /* OK: reached the end */
    shardy_status check; /* of sfi_sqlite_check() */
    size_t right;        /* rows answered with their value */
    size_t failed;       /* with an error */
    size_t other;        /* absent or with other bytes; only rows that depend on a damaged page */
    size_t scanned;
};

static inline shardy_status sample_get(const struct sample *s, struct sfi_shard_reader *shard,
                                       size_t row, bool *right)
{
    static uint8_t want[SAMPLE_VALUE_MAX];
    uint8_t key[SAMPLE_KEY_MAX];
    struct sfi_lookup lookup = {.shard = shard, .key = key};
    size_t failed = 0;
    uint32_t size = sample_value(s, row, want);

    lookup.key_size = sample_key(s, row, key);
    lookup.prefix = sfi_key_prefix(key, lookup.key_size);
    shardy_status st = shard->ops->get(&lookup, 1, &failed, NULL);
    *right = st == SHARDY_OK && lookup.value && lookup.value_size == size &&
             memcmp(lookup.value, want, size) == 0;
    sfi_free(lookup.copy);
    return st;
}

/* Pages of the image that differ from the sample's; the caller frees. */
static inline uint8_t *sample_damage(const struct sample *s, const uint8_t *image, size_t size)
{
    uint8_t *damaged = calloc(s->page_count + 1, 1);

    sample_require(damaged != NULL, "memory");
    for (uint32_t page = 1; page <= s->page_count; page++) {
        size_t end = (size_t)page * s->page_size;
        damaged[page] = end > size ||
                        memcmp(image + end - s->page_size, sample_page(s, page), s->page_size) != 0;
    }
    return damaged;
}

static inline bool sample_path_whole(const struct sample *s, size_t row, const uint8_t *damaged)
{
    const uint8_t *path = s->paths + row * (s->page_count + 1);

    for (uint32_t page = 1; page <= s->page_count; page++) {
        if (path[page] && damaged[page]) {
            return false;
        }
    }
    return true;
}

/* Rows from `start` to the end; a scan that outlives the file is a hang. */
static inline shardy_status sample_scan(struct sfi_shard_reader *shard, struct sfi_bytes start,
                                        size_t limit, size_t *rows)
{
    struct sfi_shard_cursor *cursor = NULL;
    struct sfi_row row[3];
    size_t count = 1;
    shardy_status st = shard->ops->seek(shard, start, &cursor, NULL);

    *rows = 0;
    while (st == SHARDY_OK && count) {
        st = shard->ops->next(cursor, row, 3, &count, NULL);
        for (size_t i = 0; st == SHARDY_OK && i < count; i++) {
            volatile uint8_t touch = row[i].key_size ? row[i].key[row[i].key_size - 1] : 0;
            touch = row[i].value_size ? row[i].value[row[i].value_size - 1] : touch;
            (void)touch;
            sample_require((*rows)++ < limit, "a scan returns more rows than fit the file");
        }
    }
    if (cursor) {
        shard->ops->cursor_free(cursor);
    }
    return st;
}

/*
 * Open a damaged image, get every row, scan and check it. Stops the program when a row none of
 * whose pages is damaged gets a wrong answer.
 */
static inline struct sample_outcome sample_try(const struct sample *s, const uint8_t *image,
                                               size_t size)
{
    struct sample_outcome outcome = {0};
    struct sfi_mapping mapping = sample_mapping(image, size);
    struct sfi_shard_reader *shard = NULL;
    struct sfi_bytes start = {NULL, 0};
    uint8_t *damaged = sample_damage(s, image, size);

    outcome.open = sfi_sqlite_reader_open(&mapping, "sample", &shard, NULL);
    sample_require((outcome.open == SHARDY_OK) == (shard != NULL), "open without shard");
    for (size_t row = 0; shard && row < s->rows; row++) {
        bool right = false;
        shardy_status st = sample_get(s, shard, row, &right);
        outcome.failed += st != SHARDY_OK;
        outcome.right += right;
        outcome.other += st == SHARDY_OK && !right;
        if (st == SHARDY_OK && !right) {
            sample_require(!sample_path_whole(s, row, damaged), "wrong answer from whole pages");
        }
    }
    if (shard) {
        outcome.scan = sample_scan(shard, start, size / 2, &outcome.scanned);
        outcome.check = sfi_sqlite_check(shard, NULL, NULL, NULL);
    }
    sfi_shard_reader_release(shard);
    free(damaged);
    return outcome;
}

#endif
