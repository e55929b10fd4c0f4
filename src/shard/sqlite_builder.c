/*
 * sqlite_builder.c - rows in key order become a SQLite file (docs/format/shard.md): record and
 * cell encoding, overflow chains, page 1. Pages are assembled by sqlite_tree.c and written by
 * sqlite_output.c.
 *
 * An overflow chain is written before the leaf that owns its cell, so that no value has to be kept
 * until its leaf is full.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "shard/page_size.h"
#include "shard/shard.h"
#include "shard/sidecar.h"
#include "shard/sqlite_tree.h"

struct sqlite_builder {
    struct sfi_shard_builder base;
    struct sfi_output out;
    struct sfi_tree tree;
    uint32_t page_size;
    uint32_t inline_max; /* payloads up to this stay whole in their cell */
    bool want_sidecar;
    uint64_t rows;
    struct sfi_chain *chains; /* for the sidecar */
    size_t chain_count;
    size_t chain_capacity;
    uint8_t *cell; /* scratch for cells that do not go straight into the leaf */
};

/* Record header of a row: its own size, then the serial types of two blobs. At most 11 bytes. */
static uint32_t put_record_header(uint8_t *p, const struct sfi_row *row)
{
    uint32_t n = 1;
    n += sfi_put_varint(p + n, 12 + 2 * (uint64_t)row->key_size);
    n += sfi_put_varint(p + n, 12 + 2 * (uint64_t)row->value_size);
    p[0] = (uint8_t)n;
    return n;
}

/* The three pieces of a payload, consumed in order. */
struct payload {
    struct sfi_bytes piece[3];
    unsigned at;
};

static void payload_copy(struct payload *payload, uint8_t *to, size_t size)
{
    while (size) {
        struct sfi_bytes *piece = &payload->piece[payload->at];
        size_t n = piece->size < size ? piece->size : size;
        if (n) {
            memcpy(to, piece->data, n);
        }
        piece->data += n;
        piece->size -= n;
        to += n;
        size -= n;
        if (!piece->size && payload->at < 2) {
            payload->at++;
        }
    }
}

static shardy_status remember_chain(struct sqlite_builder *b, uint32_t head, uint32_t count,
                                    shardy_error *err)
{
    void *chains = b->chains;
    if (!b->want_sidecar) {
        return SHARDY_OK;
    }
    if (!sfi_array_grow(&chains, &b->chain_capacity, b->chain_count + 1, sizeof *b->chains)) {
        return sfi_fail_memory(err, sizeof *b->chains * (b->chain_count + 1));
    }
    b->chains = chains;
    b->chains[b->chain_count].head = head;
    b->chains[b->chain_count++].count = count;
    return SHARDY_OK;
}

/* Write the rest of a payload as consecutive overflow pages. */
static shardy_status write_chain(struct sqlite_builder *b, struct payload *payload, uint64_t left,
                                 uint32_t *head, shardy_error *err)
{
    uint32_t room = b->page_size - 4;
    uint32_t count = 0;
    *head = 0;
    while (left) {
        uint8_t *page;
        uint32_t number;
        uint32_t n = left < room ? (uint32_t)left : room;
        SFI_RETURN_IF_ERR(sfi_output_page(&b->out, &page, &number, err));
        left -= n;
        sfi_put_u32be(page, left ? sfi_output_after(&b->out, number) : 0);
        payload_copy(payload, page + 4, n);
        memset(page + 4 + n, 0, room - n);
        *head = *head ? *head : number;
        count++;
    }
    return remember_chain(b, *head, count, err);
}

/* A row whose cell does not fit the open leaf as it is: large payloads and full pages. */
static shardy_status add_slow(struct sqlite_builder *b, const struct sfi_row *row,
                              const uint8_t *header, uint32_t header_size, uint64_t size,
                              shardy_error *err)
{
    struct payload payload = {
        {{header, header_size}, {row->key, row->key_size}, {row->value, row->value_size}}, 0};
    uint32_t local = sfi_local_payload(b->page_size, size);
    uint32_t n = sfi_put_varint(b->cell, size);
    payload_copy(&payload, b->cell + n, local);
    n += local;
    if (local < size) {
        uint32_t head;
        SFI_RETURN_IF_ERR(write_chain(b, &payload, size - local, &head, err));
        sfi_put_u32be(b->cell + n, head);
        n += 4;
    }
    return sfi_tree_add_leaf_cell(&b->tree, b->cell, n, err);
}

static inline shardy_status add_row(struct sqlite_builder *b, const struct sfi_row *row,
                                    shardy_error *err)
{
    uint8_t header[16];
    uint32_t header_size = put_record_header(header, row);
    uint64_t size = (uint64_t)header_size + row->key_size + row->value_size;
    if (size <= b->inline_max) {
        uint32_t prefix = sfi_varint_size(size);
        uint8_t *at = sfi_tree_leaf_room(&b->tree, prefix + (uint32_t)size);
        if (at) {
            at += sfi_put_varint(at, size);
            memcpy(at, header, header_size);
            at += header_size;
            if (row->key_size == 8) {
                memcpy(at, row->key, 8); /* integer keys: one store instead of a call */
            } else {
                memcpy(at, row->key, row->key_size);
            }
            if (row->value_size) {
                memcpy(at + row->key_size, row->value, row->value_size);
            }
            return SHARDY_OK;
        }
    }
    return add_slow(b, row, header, header_size, size, err);
}

static shardy_status builder_add(struct sfi_shard_builder *base, const struct sfi_row *rows,
                                 size_t count, shardy_error *err)
{
    struct sqlite_builder *b = (struct sqlite_builder *)base;
    for (size_t i = 0; i < count; i++) {
        SFI_RETURN_IF_ERR(add_row(b, &rows[i], err));
    }
    b->rows += count;
    return SHARDY_OK;
}

/* The only row of the schema table: ('table', 'kv', 'kv', root, sql), rowid 1. */
static uint32_t put_schema_cell(uint8_t *p, uint32_t root)
{
    static const char sql[] = SFI_SQLITE_SCHEMA;
    uint32_t root_size = root < 0x80 ? 1 : root < 0x8000 ? 2 : root < 0x800000 ? 3 : 4;
    uint32_t root_type = root_size;
    uint8_t record[32 + sizeof sql];
    if (root >= 0x80000000u) {
        root_size = 6;
        root_type = 5;
    }
    uint32_t n = 1;
    n += sfi_put_varint(record + n, 13 + 2 * 5);
    n += sfi_put_varint(record + n, 13 + 2 * 2);
    n += sfi_put_varint(record + n, 13 + 2 * 2);
    n += sfi_put_varint(record + n, root_type);
    n += sfi_put_varint(record + n, 13 + 2 * (sizeof sql - 1));
    record[0] = (uint8_t)n;
    memcpy(record + n, "tablekvkv", 9);
    n += 9;
    for (uint32_t i = root_size; i-- > 0;) {
        record[n++] = i < 4 ? (uint8_t)(root >> (8 * i)) : 0;
    }
    memcpy(record + n, sql, sizeof sql - 1);
    n += (uint32_t)sizeof sql - 1;
    uint32_t at = sfi_put_varint(p, n);
    at += sfi_put_varint(p + at, 1);
    memcpy(p + at, record, n);
    return at + n;
}

/* Database header (1.3) and schema page. */
static void put_first_page(uint8_t *p, uint32_t page_size, uint32_t pages, uint32_t root)
{
    uint8_t cell[256];
    uint32_t size = put_schema_cell(cell, root);
    uint32_t at = page_size - size;
    memset(p, 0, page_size);
    memcpy(p, SFI_SQLITE_MAGIC, 16);
    sfi_put_u16be(p + 16, page_size == 65536 ? 1 : page_size);
    p[18] = 1; /* rollback journal, for writing and for reading */
    p[19] = 1;
    p[21] = 64; /* payload fractions, fixed by the format */
    p[22] = 32;
    p[23] = 32;
    sfi_put_u32be(p + 24, 1); /* change counter */
    sfi_put_u32be(p + 28, pages);
    sfi_put_u32be(p + 40, 1); /* schema cookie */
    sfi_put_u32be(p + 44, 4); /* schema format */
    sfi_put_u32be(p + 56, 1); /* UTF-8 */
    sfi_put_u32be(p + 68, SFI_SQLITE_LAYOUT_MARK);
    sfi_put_u32be(p + 92, 1); /* version-valid-for = change counter: page count is valid */
    sfi_put_u32be(p + 96, 3040000);
    p[100] = SFI_PAGE_TABLE_LEAF;
    sfi_put_u16be(p + 103, 1);
    sfi_put_u16be(p + 105, at & 0xFFFFu);
    sfi_put_u16be(p + 108, at & 0xFFFFu);
    memcpy(p + at, cell, size);
}

static shardy_status make_sidecar(struct sqlite_builder *b, const uint8_t *first_page,
                                  struct sfi_shard_built *built, shardy_error *err)
{
    size_t count = 1 + sfi_tree_interior_count(&b->tree);
    if (b->tree.wrote_early) {
        built->sidecar_skip_reason = "too_large";
        return SHARDY_OK;
    }
    struct sfi_sidecar_page *pages = sfi_array_alloc(count, sizeof *pages);
    if (!pages) {
        return sfi_fail_memory(err, count * sizeof *pages);
    }
    pages[0].number = 1;
    pages[0].image = first_page;
    sfi_tree_interior_pages(&b->tree, pages + 1);
    struct sfi_sidecar_input input = {b->page_size, pages,          count,
                                      b->chains,    b->chain_count, built->etag};
    shardy_status st = sfi_sidecar_encode(&input, &built->sidecar, err);
    sfi_free(pages);
    if (st == SHARDY_LIMIT) {
        built->sidecar_skip_reason = "too_large";
        st = SHARDY_OK;
    }
    return st;
}

static shardy_status builder_finish(struct sfi_shard_builder *base, struct sfi_shard_built *built,
                                    shardy_error *err)
{
    struct sqlite_builder *b = (struct sqlite_builder *)base;
    uint32_t root;
    memset(built, 0, sizeof *built);
    sfi_buf_init(&built->sidecar, SIZE_MAX);
    SFI_RETURN_IF_ERR(sfi_tree_finish(&b->tree, &root, &built->tail_pages, err));
    uint8_t *first = sfi_output_first_page(&b->out);
    put_first_page(first, b->page_size, b->out.next - 1, root);
    built->rows = b->rows;
    built->page_size = b->page_size;
    SFI_RETURN_IF_ERR(sfi_output_commit(&b->out, built, err));
    return b->want_sidecar ? make_sidecar(b, first, built, err) : SHARDY_OK;
}

static void builder_free(struct sfi_shard_builder *base)
{
    struct sqlite_builder *b = (struct sqlite_builder *)base;
    sfi_tree_clear(&b->tree);
    sfi_output_clear(&b->out);
    sfi_free(b->chains);
    sfi_free(b->cell);
    sfi_free(b);
}

static const struct sfi_shard_builder_ops s_builder_ops = {
    .add = builder_add,
    .finish = builder_finish,
    .free = builder_free,
};

shardy_status sfi_sqlite_builder_new(struct sfi_store *store, const char *key, uint32_t page_size,
                                     bool want_sidecar, struct sfi_shard_builder **builder,
                                     shardy_error *err)
{
    struct sqlite_builder *b = sfi_calloc(1, sizeof *b);
    shardy_status st = SHARDY_OK;
    *builder = NULL;
    if (!b || !(b->cell = sfi_malloc(SFI_CELL_MAX(page_size)))) {
        sfi_free(b);
        return sfi_fail_memory(err, sizeof *b);
    }
    b->base.ops = &s_builder_ops;
    b->page_size = page_size;
    b->inline_max = sfi_inline_payload_max(page_size);
    b->want_sidecar = want_sidecar;
    SFI_TRY(sfi_output_open(&b->out, store, key, page_size, err));
    SFI_TRY(sfi_tree_init(&b->tree, &b->out, page_size, err));
    *builder = &b->base;
out:
    if (st != SHARDY_OK) {
        builder_free(&b->base);
    }
    return st;
}
