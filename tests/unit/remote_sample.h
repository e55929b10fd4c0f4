/*
 * remote_sample.h - databases made by SQLite or by our builder, sidecars made of them by a walk of
 * its own, and a network played from memory: it answers the wants of remote shards exactly, counts
 * waves and bytes, and can be nasty about order, size and repetition.
 */
#ifndef TESTS_REMOTE_SAMPLE_H
#define TESTS_REMOTE_SAMPLE_H

#include "base/memory.h"
#include "shard/remote.h"
#include "shard/sidecar.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#define REMOTE_ETAG "\"etag-1\""

/* What a file looks like; rows are told from their number. */
struct remote_shape {
    const char *name;
    bool ours;
    bool shuffled; /* order of insertion; SQLite only */
    bool other_tables;
    uint32_t page_size;
    uint32_t rows;
    uint32_t key_pad; /* bytes 'k' in front of every key */
    uint32_t group;   /* and before them the number of the group of so many: long ties; 0 = none */
    uint32_t value_size;
    uint32_t long_every; /* each n-th row has a value of long_size bytes; 0 = none */
    uint32_t long_size;
};

struct remote_file {
    struct remote_shape shape;
    uint8_t *image;
    size_t size;
    uint32_t tail_pages;
    uint8_t *sidecar;
    size_t sidecar_size;
    const uint8_t *lies; /* the sidecar's pages are taken from here; NULL: from the image */
};

static inline void remote_require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "remote sample: %s\n", what);
        abort();
    }
}

/* Even numbers are rows, odd ones are absent. Keys ascend with the number. */
static inline uint32_t remote_key(const struct remote_shape *shape, uint32_t number, uint8_t *key)
{
    uint32_t at = 0;
    if (shape->group) {
        sfi_put_u32be(key, number / shape->group);
        at = 4;
    }
    memset(key + at, 'k', shape->key_pad);
    at += shape->key_pad;
    sfi_put_u32be(key + at, number);
    uint32_t tail = number / 2 % 3;
    memset(key + at + 4, 'z', tail);
    return at + 4 + tail;
}

static inline uint32_t remote_value_size(const struct remote_shape *shape, uint32_t row)
{
    if (shape->long_every && row % shape->long_every == 1 % shape->long_every) {
        return shape->long_size + row % 7;
    }
    return shape->value_size ? shape->value_size - row % (shape->value_size / 4 + 1) : 0;
}

static inline uint8_t *remote_value(const struct remote_shape *shape, uint32_t row, uint32_t *size)
{
    *size = remote_value_size(shape, row);
    uint8_t *value = malloc(*size + 1);
    remote_require(value != NULL, "memory");
    for (uint32_t i = 0; i < *size; i++) {
        value[i] = (uint8_t)(row * 37 + i * 11 + i / 251);
    }
    return value;
}

static inline void remote_from_sqlite(struct remote_file *file)
{
    const struct remote_shape *shape = &file->shape;
    uint8_t *key = malloc(shape->key_pad + 16);
    char sql[64];
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    sqlite3_int64 size = 0;
    uint32_t step = shape->shuffled ? 7919 : 1;

    snprintf(sql, sizeof sql, "PRAGMA page_size = %u", shape->page_size);
    remote_require(key && sqlite3_open(":memory:", &db) == SQLITE_OK, "open");
    remote_require(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "page size");
    for (unsigned i = 0; shape->other_tables && i < 200; i++) {
        snprintf(sql, sizeof sql, "CREATE TABLE other_%u (a INTEGER, b TEXT)", i);
        remote_require(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "other table");
    }
    remote_require(sqlite3_exec(db,
                                "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT "
                                "ROWID; BEGIN",
                                NULL, NULL, NULL) == SQLITE_OK,
                   "table");
    sqlite3_prepare_v2(db, "INSERT INTO kv VALUES (?, ?)", -1, &insert, NULL);
    for (uint32_t i = 0; i < shape->rows; i++) {
        uint32_t row = (uint32_t)((uint64_t)i * step % shape->rows);
        uint32_t value_size;
        uint8_t *value = remote_value(shape, row, &value_size);
        sqlite3_bind_blob(insert, 1, key, (int)remote_key(shape, 2 * row, key), SQLITE_TRANSIENT);
        sqlite3_bind_blob(insert, 2, value, (int)value_size, SQLITE_TRANSIENT);
        remote_require(sqlite3_step(insert) == SQLITE_DONE, "insert");
        sqlite3_reset(insert);
        free(value);
    }
    sqlite3_finalize(insert);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    uint8_t *image = sqlite3_serialize(db, "main", &size, 0);
    file->size = (size_t)size;
    file->image = malloc(file->size);
    remote_require(image && file->image, "serialize");
    memcpy(file->image, image, file->size);
    sqlite3_free(image);
    sqlite3_close(db);
    free(key);
}

static inline void remote_from_builder(struct remote_file *file)
{
    const struct remote_shape *shape = &file->shape;
    static unsigned serial;
    uint8_t *key = malloc(shape->key_pad + 16);
    char url[64];
    struct sfi_store *store = NULL;
    struct sfi_shard_builder *builder = NULL;
    struct sfi_shard_built built;
    struct sfi_buf data;

    snprintf(url, sizeof url, "memory://remote-%u", serial++);
    sfi_buf_init(&data, SIZE_MAX);
    remote_require(key && sfi_store_open(url, NULL, &store, NULL) == SHARDY_OK, "store");
    remote_require(sfi_sqlite_builder_new(store, SFI_SHARD_DB_NAME, shape->page_size, false,
                                          &builder, NULL) == SHARDY_OK,
                   "builder");
    for (uint32_t row = 0; row < shape->rows; row++) {
        struct sfi_row r = {.key = key};
        uint8_t *value = remote_value(shape, row, &r.value_size);
        r.value = value;
        r.key_size = remote_key(shape, 2 * row, key);
        remote_require(builder->ops->add(builder, &r, 1, NULL) == SHARDY_OK, "add");
        free(value);
    }
    remote_require(builder->ops->finish(builder, &built, NULL) == SHARDY_OK, "finish");
    builder->ops->free(builder);
    remote_require(sfi_store_get(store, SFI_SHARD_DB_NAME, 0, &data, NULL, NULL) == SHARDY_OK,
                   "get");
    sfi_store_release(store);
    file->size = data.size;
    file->tail_pages = built.tail_pages;
    file->image = malloc(file->size);
    remote_require(file->image != NULL, "memory");
    memcpy(file->image, data.data, data.size);
    sfi_buf_clear(&data);
    sfi_buf_clear(&built.sidecar);
    free(key);
}

/* ---- sidecar: every interior page, and every overflow chain -------------------------------- */

struct remote_words {
    uint32_t *at;
    size_t count;
    size_t capacity;
};

static inline void remote_push(struct remote_words *words, uint32_t word)
{
    if (words->count == words->capacity) {
        words->capacity = words->capacity ? 2 * words->capacity : 1024;
        words->at = realloc(words->at, words->capacity * sizeof *words->at);
        remote_require(words->at != NULL, "memory");
    }
    words->at[words->count++] = word;
}

static inline int remote_compare_words(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* Asked of SQLite: dbstat is not in every build, so pages are told by their type and the owners of
 * overflow pages by their links: an overflow head is nobody's successor. */
static inline void remote_walk(const struct remote_file *file, uint32_t number,
                               struct remote_words *interior, struct remote_words *heads)
{
    const uint8_t *page = file->image + (size_t)(number - 1) * file->shape.page_size;
    uint32_t x = (file->shape.page_size - 12) * 64 / 255 - 23;
    uint32_t m = (file->shape.page_size - 12) * 32 / 255 - 23;
    bool inner = page[0] == 2;
    if (inner) {
        remote_push(interior, number);
    }
    for (uint32_t i = 0; i < sfi_get_u16be(page + 3); i++) {
        const uint8_t *p = page + sfi_get_u16be(page + (inner ? 12 : 8) + 2 * i);
        uint64_t size = 0;
        if (inner) {
            remote_walk(file, sfi_get_u32be(p), interior, heads);
            p += 4;
        }
        do {
            size = size << 7 | (*p & 0x7Fu);
        } while (*p++ & 0x80u);
        if (size > x) {
            uint64_t k = m + (size - m) % (file->shape.page_size - 4);
            remote_push(heads, sfi_get_u32be(p + (k <= x ? k : m)));
        }
    }
    if (inner) {
        remote_walk(file, sfi_get_u32be(page + 8), interior, heads);
    }
}

/* Pages of the schema table, which here has one interior level at most. */
static inline void remote_walk_schema(const struct remote_file *file, struct remote_words *pages)
{
    const uint8_t *head = file->image + 100;
    remote_push(pages, 1);
    for (uint32_t i = 0; head[0] == 5 && i < sfi_get_u16be(head + 3); i++) {
        uint32_t child = sfi_get_u32be(file->image + sfi_get_u16be(head + 12 + 2 * i));
        remote_require(file->image[(size_t)(child - 1) * file->shape.page_size] == 13, "schema");
        remote_push(pages, child);
    }
    if (head[0] == 5) {
        remote_push(pages, sfi_get_u32be(head + 8));
    }
}

/* The root of kv, asked of SQLite. */
static inline uint32_t remote_root(const struct remote_file *file)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    remote_require(sqlite3_open(":memory:", &db) == SQLITE_OK, "open");
    remote_require(sqlite3_deserialize(db, "main", file->image, (sqlite3_int64)file->size,
                                       (sqlite3_int64)file->size,
                                       SQLITE_DESERIALIZE_READONLY) == SQLITE_OK,
                   "deserialize");
    sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'kv'", -1, &stmt, NULL);
    remote_require(sqlite3_step(stmt) == SQLITE_ROW, "no table kv");
    uint32_t root = (uint32_t)sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return root;
}

static inline void remote_add_sidecar(struct remote_file *file, const char *tag)
{
    struct remote_words body = {0};
    struct remote_words interior = {0};
    struct remote_words heads = {0};
    struct remote_words chain = {0};
    uint32_t page_size = file->shape.page_size;
    uint32_t at = 0;

    remote_walk_schema(file, &interior);
    remote_walk(file, remote_root(file), &interior, &heads);
    qsort(interior.at, interior.count, sizeof *interior.at, remote_compare_words);
    if (heads.count) {
        qsort(heads.at, heads.count, sizeof *heads.at, remote_compare_words);
    }
    size_t pages_size = 0;
    uint8_t *pages = malloc(interior.count * page_size);
    remote_require(pages != NULL, "memory");
    remote_push(&body, (uint32_t)interior.count);
    for (size_t i = 0; i < interior.count; i++) {
        remote_push(&body, interior.at[i]);
    }
    for (size_t i = 0; i < interior.count; i++) {
        const uint8_t *from = file->lies ? file->lies : file->image;
        const uint8_t *page = from + (size_t)(interior.at[i] - 1) * page_size;
        uint32_t base = interior.at[i] == 1 ? 100 : 0;
        uint8_t type = page[base];
        uint32_t end =
            base + (type == 2 || type == 5 ? 12u : 8u) + 2u * sfi_get_u16be(page + base + 3);
        uint32_t start = sfi_get_u16be(page + base + 5);
        start = start ? start : 65536;
        remote_push(&body, (uint32_t)pages_size);
        memcpy(pages + pages_size, page, end);
        memcpy(pages + pages_size + end, page + start, page_size - start);
        pages_size += end + page_size - start;
    }
    remote_push(&body, (uint32_t)pages_size);
    remote_push(&body, (uint32_t)heads.count);
    for (size_t i = 0; i < heads.count; i++) {
        remote_push(&body, heads.at[i]);
    }
    for (size_t i = 0; i < heads.count; i++) {
        remote_push(&body, at);
        for (uint32_t p = heads.at[i]; p;
             p = sfi_get_u32be(file->image + (size_t)(p - 1) * page_size)) {
            remote_push(&chain, p);
            at++;
        }
    }
    remote_push(&body, at);
    for (size_t i = 0; i < chain.count; i++) {
        remote_push(&body, chain.at[i]);
    }
    size_t body_size = body.count * 4 + pages_size;
    uint8_t *raw = malloc(body_size);
    size_t bound = ZSTD_compressBound(body_size);
    free(file->sidecar);
    file->sidecar = malloc(18 + strlen(tag) + bound);
    remote_require(raw && file->sidecar, "memory");
    memcpy(raw, body.at, body.count * 4);
    memcpy(raw + body.count * 4, pages, pages_size);
    memcpy(file->sidecar, "SQPC\x08", 5);
    memcpy(file->sidecar + 5, &(uint64_t){body_size}, 8);
    memcpy(file->sidecar + 13, &page_size, 4);
    file->sidecar[17] = (uint8_t)strlen(tag);
    memcpy(file->sidecar + 18, tag, strlen(tag));
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(ctx, file->sidecar + 18 + strlen(tag), bound, raw, body_size);
    remote_require(!ZSTD_isError(n), "compress");
    file->sidecar_size = 18 + strlen(tag) + n;
    ZSTD_freeCCtx(ctx);
    free(raw);
    free(pages);
    free(body.at);
    free(interior.at);
    free(heads.at);
    free(chain.at);
}

static inline void remote_make(struct remote_file *file, const struct remote_shape *shape)
{
    memset(file, 0, sizeof *file);
    file->shape = *shape;
    if (shape->ours) {
        remote_from_builder(file);
    } else {
        remote_from_sqlite(file);
    }
}

static inline void remote_clear(struct remote_file *file)
{
    free(file->image);
    free(file->sidecar);
    memset(file, 0, sizeof *file);
}

/* ---- network ------------------------------------------------------------------------------- */

struct remote_net {
    const struct remote_file *file;
    struct sfi_shard_reader *shard;
    bool tiny;    /* one granule at a time, last one first, each one twice */
    bool evict;   /* empty everything before every wave */
    bool replace; /* the next answer comes from another version */
    bool crowded; /* other threads fill and empty, too */
    const char *etag;
    uint64_t waves;
    uint64_t requests;
    uint64_t bytes;
    uint64_t most_waves; /* more mean that a loop does not end */
    struct sfi_wants wants;
};

enum remote_hint { REMOTE_NO_HINT, REMOTE_HINT, REMOTE_SIDECAR };

static inline void remote_open(struct remote_net *net, const struct remote_file *file,
                               enum remote_hint hint)
{
    struct sfi_remote_options options = {.name = "s3://bucket/shard.db", .size = file->size};
    memset(net, 0, sizeof *net);
    net->file = file;
    net->most_waves = 100000;
    net->etag = REMOTE_ETAG;
    if (hint == REMOTE_HINT) {
        options.page_size = file->shape.page_size;
        options.tail_pages = file->tail_pages;
    }
    options.try_sidecar = hint == REMOTE_SIDECAR;
    remote_require(sfi_sqlite_remote_new(&options, &net->shard, NULL) == SHARDY_OK, "new shard");
}

static inline void remote_close_net(struct remote_net *net)
{
    sfi_wants_clear(&net->wants);
    sfi_shard_reader_release(net->shard);
    net->shard = NULL;
}

static inline void remote_evict_all(struct remote_net *net)
{
    for (unsigned i = 0; i < 20 && sfi_remote_resident(net->shard); i++) {
        (void)sfi_remote_evict(net->shard, UINT64_MAX);
    }
}

static inline shardy_status remote_answer(struct remote_net *net, const struct sfi_want *want,
                                          shardy_error *err)
{
    bool sidecar = want->object == SFI_REMOTE_SIDECAR;
    const uint8_t *object = sidecar ? net->file->sidecar : net->file->image;
    uint64_t size = sidecar ? net->file->sidecar_size : net->file->size;
    uint64_t end = want->length ? want->offset + want->length : size;
    const char *etag = net->replace ? "\"etag-2\"" : net->etag;
    uint64_t added = 0;
    shardy_status st = SHARDY_OK;

    remote_require(want->offset % SFI_GRANULE == 0, "unaligned want");
    remote_require(sidecar || (end <= size && (end % SFI_GRANULE == 0 || end == size)),
                   "want ends nowhere");
    net->requests++;
    if (sidecar && !object) {
        sfi_remote_no_sidecar(net->shard);
        return SHARDY_OK;
    }
    end = end < size ? end : size;
    if (want->offset >= end) {
        struct sfi_bytes none = {NULL, 0};
        return sidecar ? sfi_remote_fill(net->shard, want->object, want->offset, none, size, etag,
                                         &added, err)
                       : SHARDY_OK;
    }
    net->bytes += end - want->offset;
    if (!net->tiny) {
        struct sfi_bytes bytes = {object + want->offset, (size_t)(end - want->offset)};
        return sfi_remote_fill(net->shard, want->object, want->offset, bytes, size, etag, &added,
                               err);
    }
    for (uint64_t n = (end - want->offset + SFI_GRANULE - 1) / SFI_GRANULE; n-- && !st;) {
        uint64_t at = want->offset + n * SFI_GRANULE;
        uint64_t to = at + SFI_GRANULE < end ? at + SFI_GRANULE : end;
        struct sfi_bytes bytes = {object + at, (size_t)(to - at)};
        for (unsigned twice = 0; twice < 2 && !st; twice++) {
            st = sfi_remote_fill(net->shard, want->object, at, bytes, size, etag, &added, err);
            remote_require(!twice || !added || net->crowded, "a granule was added twice");
        }
    }
    return st;
}

/* Answer every want; a wave. */
static inline shardy_status remote_wave(struct remote_net *net, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    remote_require(net->wants.count > 0, "nothing finished and nothing wanted");
    remote_require(++net->waves < net->most_waves, "endless waves");
    if (net->evict) {
        remote_evict_all(net);
    }
    for (size_t i = 0; i < net->wants.count && st == SHARDY_OK; i++) {
        remote_require(net->wants.items[i].shard == net->shard, "want of another shard");
        st = remote_answer(net, &net->wants.items[i], err);
    }
    sfi_wants_clear(&net->wants);
    return st;
}

static inline shardy_status remote_prepare(struct remote_net *net, shardy_error *err)
{
    for (;;) {
        bool ready;
        shardy_status st = sfi_remote_prepare(net->shard, &net->wants, &ready, err);
        if (st != SHARDY_OK || ready) {
            return st;
        }
        st = remote_wave(net, err);
        if (st != SHARDY_OK) {
            return st;
        }
    }
}

static inline shardy_status remote_lookup(struct remote_net *net, struct sfi_lookup *lookups,
                                          size_t count, shardy_error *err)
{
    for (;;) {
        size_t failed;
        bool all = true;
        shardy_status st = sfi_remote_advance(lookups, count, &net->wants, &failed, err);
        for (size_t i = 0; i < count; i++) {
            all = all && lookups[i].finished;
        }
        if (st == SHARDY_OK && !all) {
            st = remote_wave(net, err);
        }
        if (st != SHARDY_OK || all) {
            sfi_wants_clear(&net->wants);
            return st;
        }
    }
}

/* Get the keys with `numbers` in one batch. Failing lookups: the status. Wrong answers: *wrong. */
static inline shardy_status remote_get(struct remote_net *net, const uint32_t *numbers,
                                       size_t count, size_t *wrong, shardy_error *err)
{
    const struct remote_shape *shape = &net->file->shape;
    size_t room = shape->key_pad + 16;
    struct sfi_lookup *lookups = calloc(count, sizeof *lookups);
    uint8_t *keys = malloc(count * room);
    remote_require(lookups && keys, "memory");
    for (size_t i = 0; i < count; i++) {
        lookups[i].shard = net->shard;
        lookups[i].key = keys + i * room;
        lookups[i].key_size = remote_key(shape, numbers[i], keys + i * room);
        lookups[i].prefix = sfi_key_prefix(lookups[i].key, lookups[i].key_size);
    }
    shardy_status st = remote_lookup(net, lookups, count, err);
    *wrong = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t size = 0;
        uint8_t *value = remote_value(shape, numbers[i] / 2, &size);
        bool present = numbers[i] % 2 == 0 && numbers[i] / 2 < shape->rows;
        if (lookups[i].finished) {
            bool right = present ? lookups[i].value && lookups[i].value_size == size &&
                                       memcmp(lookups[i].value, value, size) == 0
                                 : lookups[i].value == NULL;
            *wrong += !right;
        }
        free(value);
        sfi_free(lookups[i].copy);
    }
    free(lookups);
    free(keys);
    return st;
}

#endif
