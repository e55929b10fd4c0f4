/*
 * sqlite_btree.c - opening a shard file (header, schema, root of kv) and access to its cells and
 * overflow chains. Nothing in the file is trusted: every page number, offset and size is checked
 * before it is used (docs/format/shard.md, spec of the format: sqlite.org/fileformat2.html).
 */
#include "shard/sqlite_btree.h"

#include "base/limits.h"
#include "base/memory.h"
#include "shard/page_size.h"
#include "shard/sidecar.h"

shardy_status sfi_btree_damage(const struct sfi_btree *tree, uint32_t page, const uint8_t *at,
                               const char *what, shardy_error *err)
{
    uint64_t offset = at ? (uint64_t)(at - tree->data) : (uint64_t)(page - 1) * tree->page_size;
    return sfi_fail(err, SHARDY_CORRUPT,
                    "%s: page %u, offset %llu: %s; restore the shard or publish a new snapshot",
                    tree->name, page, (unsigned long long)offset, what);
}

static bool page_in_file(const struct sfi_btree *tree, uint32_t number)
{
    return number >= 1 && number <= tree->page_count;
}

/* Header of page `number`, which may be page 1; checks type and room for the cell pointers. */
static shardy_status page_header(const struct sfi_btree *tree, uint32_t number, uint8_t *type,
                                 uint32_t *cells, uint32_t *header, shardy_error *err)
{
    if (!page_in_file(tree, number)) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: page %u is outside the file of %u pages",
                        tree->name, number, tree->page_count);
    }
    const uint8_t *page = sfi_btree_page(tree, number);
    uint32_t base = number == 1 ? SFI_SQLITE_HEADER_SIZE : 0;
    *type = page[base];
    *cells = sfi_get_u16be(page + base + 3);
    *header = base + (*type == SFI_PAGE_INDEX_INTERIOR || *type == SFI_PAGE_TABLE_INTERIOR
                          ? SFI_INTERIOR_HEADER
                          : SFI_LEAF_HEADER);
    if (*header + 2 * *cells > tree->usable) {
        return sfi_btree_damage(tree, number, page + base + 3, "more cells than fit a page", err);
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_leaf(const struct sfi_btree *tree, uint32_t number, uint32_t *cells,
                             shardy_error *err)
{
    uint8_t type = 0;
    uint32_t header = 0;
    SFI_RETURN_IF_ERR(page_header(tree, number, &type, cells, &header, err));
    if (type != SFI_PAGE_INDEX_LEAF || number == 1) {
        return sfi_btree_damage(tree, number, NULL, "not a leaf page of an index b-tree", err);
    }
    if (*cells == 0 && number != tree->root) {
        return sfi_btree_damage(tree, number, NULL, "leaf page without cells", err);
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_cell(const struct sfi_btree *tree, uint32_t number, uint32_t header,
                             uint32_t index, struct sfi_cell *cell, shardy_error *err)
{
    const uint8_t *page = sfi_btree_page(tree, number);
    const uint8_t *end = page + tree->usable;
    uint32_t at = sfi_get_u16be(page + header + 2 * index);
    uint32_t child = header == SFI_INTERIOR_HEADER ? 4 : 0;
    if (at < header || at + child >= tree->usable) {
        return sfi_btree_damage(tree, number, page + header + 2 * index,
                                "cell pointer leads outside the cell area", err);
    }
    const char *wrong = sfi_cell_parse(page + at + child, end, tree->usable, cell);
    return wrong ? sfi_btree_damage(tree, number, page + at, wrong, err) : SHARDY_OK;
}

static uint32_t page_of_offset(const struct sfi_btree *tree, uint64_t offset)
{
    return (uint32_t)(offset / tree->page_size) + 1;
}

shardy_status sfi_btree_separator(const struct sfi_btree *tree, uint32_t index,
                                  struct sfi_cell *cell, shardy_error *err)
{
    uint32_t number = page_of_offset(tree, tree->cells[index]);
    const uint8_t *at = tree->data + tree->cells[index];
    const uint8_t *end = sfi_btree_page(tree, number) + tree->usable;
    const char *wrong = sfi_cell_parse(at, end, tree->usable, cell);
    return wrong ? sfi_btree_damage(tree, number, at, wrong, err) : SHARDY_OK;
}

shardy_status sfi_btree_read(const struct sfi_btree *tree, uint32_t page,
                             const struct sfi_cell *cell, uint64_t offset, uint64_t size,
                             uint8_t *to, shardy_error *err)
{
    uint32_t room = tree->usable - 4;
    uint32_t number = cell->overflow;
    uint64_t at = cell->local; /* payload position of the next overflow page */
    if (!size) {
        return SHARDY_OK; /* an empty value behind a key that overflows */
    }
    if (offset < cell->local) {
        size_t n = cell->local - offset < size ? (size_t)(cell->local - offset) : (size_t)size;
        memcpy(to, cell->payload + offset, n);
        to += n;
        offset += n;
        size -= n;
    }
    while (size) {
        if (number < 2 || !page_in_file(tree, number)) {
            return sfi_btree_damage(tree, page, cell->payload,
                                    "overflow chain leads outside the file or ends early", err);
        }
        const uint8_t *from = sfi_btree_page(tree, number);
        if (offset < at + room) {
            uint64_t skip = offset - at;
            size_t n = room - skip < size ? (size_t)(room - skip) : (size_t)size;
            memcpy(to, from + 4 + skip, n);
            to += n;
            offset += n;
            size -= n;
        }
        at += room;
        number = sfi_get_u32be(from);
    }
    /* A chain is exactly as long as its payload. */
    if (offset == cell->size && cell->overflow && number != 0) {
        return sfi_btree_damage(tree, page, cell->payload,
                                "overflow chain goes on behind its payload", err);
    }
    return SHARDY_OK;
}

/* Payload [offset, offset + size): in the page when possible, otherwise an allocated copy. */
static shardy_status payload_part(const struct sfi_btree *tree, uint32_t page,
                                  const struct sfi_cell *cell, uint64_t offset, uint64_t size,
                                  struct sfi_bytes *part, uint8_t **copy, shardy_error *err)
{
    *copy = NULL;
    part->size = (size_t)size;
    if (offset + size <= cell->local) {
        part->data = cell->payload + offset;
        return SHARDY_OK;
    }
    /* A payload cannot be larger than the file that holds it. */
    if (cell->size > (uint64_t)tree->page_count * tree->page_size) {
        return sfi_btree_damage(tree, page, cell->payload, "payload is larger than the file", err);
    }
    *copy = sfi_malloc((size_t)size);
    if (!*copy) {
        return sfi_fail_memory(err, (size_t)size);
    }
    part->data = *copy;
    shardy_status st = sfi_btree_read(tree, page, cell, offset, size, *copy, err);
    if (st != SHARDY_OK) {
        sfi_free(*copy);
        *copy = NULL;
    }
    return st;
}

shardy_status sfi_btree_key(const struct sfi_btree *tree, uint32_t page,
                            const struct sfi_cell *cell, struct sfi_bytes *key, uint8_t **copy,
                            shardy_error *err)
{
    return payload_part(tree, page, cell, cell->header, cell->key_size, key, copy, err);
}

shardy_status sfi_btree_value(const struct sfi_btree *tree, uint32_t page,
                              const struct sfi_cell *cell, struct sfi_bytes *value, uint8_t **copy,
                              shardy_error *err)
{
    return payload_part(tree, page, cell, cell->header + cell->key_size, cell->value_size, value,
                        copy, err);
}

shardy_status sfi_btree_compare(const struct sfi_btree *tree, uint32_t page, struct sfi_bytes key,
                                const struct sfi_cell *cell, int *order, shardy_error *err)
{
    struct sfi_bytes local = {cell->payload + cell->header, sfi_cell_local_key(cell)};
    struct sfi_bytes whole = {0};
    uint8_t *copy = NULL;
    size_t n = key.size < local.size ? key.size : local.size;
    int c = n ? memcmp(key.data, local.data, n) : 0;
    if (c || local.size == cell->key_size) {
        *order = c ? c : (key.size > local.size) - (key.size < local.size);
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(sfi_btree_key(tree, page, cell, &whole, &copy, err));
    *order = sfi_bytes_compare(key, whole);
    sfi_free(copy);
    return SHARDY_OK;
}

/* Is this row of the schema table ('table', 'kv', _, root, sql)? */
static bool schema_row(const uint8_t *record, size_t size, uint32_t *root)
{
    uint64_t header;
    uint64_t serial[5];
    const uint8_t *end = record + size;
    unsigned n = sfi_get_varint(record, end, &header);
    if (!n || header > size) {
        return false;
    }
    const uint8_t *types = record + n;
    const uint8_t *body = record + header;
    for (unsigned i = 0; i < 4; i++) {
        n = sfi_get_varint(types, record + header, &serial[i]);
        if (!n) {
            return false;
        }
        types += n;
    }
    if (serial[0] != 13 + 2 * 5 || serial[1] != 13 + 2 * 2 || serial[2] < 13 || !(serial[2] & 1) ||
        (serial[2] - 13) / 2 > size || serial[3] < 1 || serial[3] > 6) {
        return false;
    }
    size_t root_size = serial[3] < 5 ? serial[3] : serial[3] == 5 ? 6 : 8;
    const uint8_t *at = body + 7 + (serial[2] - 13) / 2;
    if (end - body < 7 || memcmp(body, "tablekv", 7) != 0 || at > end ||
        (size_t)(end - at) < root_size) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < root_size; i++) {
        value = value << 8 | at[i];
    }
    *root = value <= UINT32_MAX ? (uint32_t)value : 0;
    return true;
}

/* A table b-tree leaf cell: payload size, rowid, payload. Only its local part is looked at: the
 * columns we need come first. */
static bool schema_cell(const struct sfi_btree *tree, const uint8_t *at, const uint8_t *end,
                        uint32_t *root)
{
    uint64_t size;
    uint64_t rowid;
    unsigned n = sfi_get_varint(at, end, &size);
    unsigned m = n ? sfi_get_varint(at + n, end, &rowid) : 0;
    if (!m) {
        return false;
    }
    at += n + m;
    size_t left = (size_t)(end - at);
    size_t local = size <= tree->usable - 35 ? (size_t)size : left;
    return schema_row(at, local < left ? local : left, root);
}

/* Depth-first search of the schema table for kv. */
static shardy_status find_root(struct sfi_btree *tree, uint32_t number, unsigned depth,
                               uint32_t *budget, struct sfi_page_gate *gate, shardy_error *err)
{
    uint8_t type = 0;
    uint32_t cells = 0;
    uint32_t header = 0;
    if (depth > SFI_BTREE_MAX_DEPTH || !(*budget)--) {
        return sfi_btree_damage(tree, number, NULL, "schema table has a cycle", err);
    }
    if (gate && page_in_file(tree, number) && !gate->has(gate, number)) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(page_header(tree, number, &type, &cells, &header, err));
    const uint8_t *page = sfi_btree_page(tree, number);
    const uint8_t *end = page + tree->usable;
    for (uint32_t i = 0; i < cells && !tree->root && !(gate && gate->missing); i++) {
        uint32_t at = sfi_get_u16be(page + header + 2 * i);
        if (at < header || at + 4 > tree->usable) {
            return sfi_btree_damage(tree, number, page + header + 2 * i,
                                    "cell pointer leads outside the cell area", err);
        }
        if (type == SFI_PAGE_TABLE_LEAF) {
            schema_cell(tree, page + at, end, &tree->root);
        } else if (type == SFI_PAGE_TABLE_INTERIOR) {
            SFI_RETURN_IF_ERR(
                find_root(tree, sfi_get_u32be(page + at), depth + 1, budget, gate, err));
        } else {
            return sfi_btree_damage(tree, number, NULL, "not a page of the schema table", err);
        }
    }
    if (type == SFI_PAGE_TABLE_INTERIOR && !tree->root && !(gate && gate->missing)) {
        return find_root(tree, sfi_get_u32be(page + header - 4), depth + 1, budget, gate, err);
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_find_root(struct sfi_btree *tree, struct sfi_page_gate *gate,
                                  shardy_error *err)
{
    uint32_t budget = tree->page_count;
    SFI_RETURN_IF_ERR(find_root(tree, 1, 0, &budget, gate, err));
    if (!tree->root && !(gate && gate->missing)) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: has no table kv; not a key-value shard",
                        tree->name);
    }
    return SHARDY_OK;
}

shardy_status sfi_btree_open_header(struct sfi_btree *tree, shardy_error *err)
{
    const uint8_t *p = tree->data;
    if (tree->image.size < SFI_PAGE_MIN / 8 || memcmp(p, SFI_SQLITE_MAGIC, 16) != 0) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: not a SQLite database (%zu bytes)", tree->name,
                        tree->image.size);
    }
    uint32_t page_size = sfi_get_u16be(p + 16);
    tree->page_size = page_size == 1 ? 65536 : page_size;
    if (tree->page_size < 512 || (tree->page_size & (tree->page_size - 1)) ||
        p[20] > tree->page_size - 480) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: impossible page size %u with %u reserved bytes",
                        tree->name, tree->page_size, p[20]);
    }
    if (p[18] > 1 || p[19] > 1) {
        return sfi_fail(err, SHARDY_UNSUPPORTED,
                        "%s: database is in WAL mode; convert it with PRAGMA journal_mode=DELETE",
                        tree->name);
    }
    tree->usable = tree->page_size - p[20];
    if (tree->image.size % tree->page_size != 0 ||
        tree->image.size / tree->page_size > UINT32_MAX - 1) {
        return sfi_fail(err, SHARDY_CORRUPT,
                        "%s: size %zu is not a whole number of %u-byte pages; the file is cut off",
                        tree->name, tree->image.size, tree->page_size);
    }
    tree->page_count = (uint32_t)(tree->image.size / tree->page_size);
    /* The header's own page count is valid when these two counters agree (1.3.7). */
    if (!memcmp(p + 24, p + 92, 4) && sfi_get_u32be(p + 28) > tree->page_count) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: file has %u of %u pages; it is cut off",
                        tree->name, tree->page_count, sfi_get_u32be(p + 28));
    }
    tree->ours = sfi_get_u32be(p + 68) == SFI_SQLITE_LAYOUT_MARK;
    return SHARDY_OK;
}

static void btree_close(struct sfi_shard_reader *shard)
{
    struct sfi_btree *tree = (struct sfi_btree *)shard;
    sfi_btree_free_directory(tree);
    sfi_mapping_release(&tree->image);
    sfi_free(tree->name);
    sfi_free(tree);
}

static const struct sfi_shard_reader_ops s_reader_ops = {
    .get = sfi_btree_get,
    .seek = sfi_btree_seek,
    .next = sfi_btree_next,
    .cursor_free = sfi_btree_cursor_free,
    .close = btree_close,
};

static shardy_status open_tree(struct sfi_btree *tree, shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_btree_open_header(tree, err));
    SFI_RETURN_IF_ERR(sfi_btree_find_root(tree, NULL, err));
    return sfi_btree_load_directory(tree, err);
}

shardy_status sfi_sqlite_reader_open(struct sfi_mapping *image, const char *name,
                                     struct sfi_shard_reader **shard, shardy_error *err)
{
    struct sfi_btree *tree = sfi_calloc(1, sizeof *tree);
    *shard = NULL;
    if (!tree || !(tree->name = sfi_strdup(name))) {
        sfi_free(tree);
        sfi_mapping_release(image);
        return sfi_fail_memory(err, sizeof *tree);
    }
    tree->base.ops = &s_reader_ops;
    atomic_init(&tree->base.refs, 1);
    atomic_init(&tree->leaf_cells, 0);
    atomic_init(&tree->leaf_cell_size, 0);
    tree->image = *image;
    memset(image, 0, sizeof *image);
    tree->data = tree->image.data;
    shardy_status st = open_tree(tree, err);
    if (st != SHARDY_OK) {
        btree_close(&tree->base);
        return st;
    }
    *shard = &tree->base;
    return SHARDY_OK;
}

struct sfi_shard_reader *sfi_shard_reader_acquire(struct sfi_shard_reader *shard)
{
    atomic_fetch_add_explicit(&shard->refs, 1, memory_order_relaxed);
    return shard;
}

void sfi_shard_reader_release(struct sfi_shard_reader *shard)
{
    if (shard && atomic_fetch_sub_explicit(&shard->refs, 1, memory_order_acq_rel) == 1) {
        shard->ops->close(shard);
    }
}

void sfi_sqlite_facts(const struct sfi_shard_reader *shard, struct sfi_sqlite_facts *facts)
{
    const struct sfi_btree *tree = (const struct sfi_btree *)shard;
    facts->page_size = tree->page_size;
    facts->page_count = tree->page_count;
    facts->root_page = tree->root;
    facts->leaf_count = tree->leaf_count;
    facts->interior_count = tree->interior_count;
    facts->ours = tree->ours;
}

const uint8_t *sfi_sqlite_page(const struct sfi_shard_reader *shard, uint32_t number)
{
    const struct sfi_btree *tree = (const struct sfi_btree *)shard;
    return page_in_file(tree, number) ? sfi_btree_page(tree, number) : NULL;
}
