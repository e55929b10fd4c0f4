/*
 * sqlite_cell.h - a cell of an index page, taken apart with every bound checked. Cells come from
 * files that anybody may have written.
 */
#ifndef SFI_SHARD_SQLITE_CELL_H
#define SFI_SHARD_SQLITE_CELL_H

#include "base/limits.h"
#include "shard/sqlite_format.h"

/* A row as its cell shows it. `local` bytes of the payload are in the page. */
struct sfi_cell {
    const uint8_t *payload; /* local part: record header, key, value */
    uint64_t size;          /* whole payload */
    uint32_t local;
    uint32_t header; /* bytes of the record header */
    uint64_t key_size;
    uint64_t value_size;
    uint32_t overflow; /* first overflow page; 0 = none */
};

/* Bytes of the key that lie in the page. */
static inline size_t sfi_cell_local_key(const struct sfi_cell *cell)
{
    size_t room = cell->local - cell->header;
    return cell->key_size < room ? (size_t)cell->key_size : room;
}

/* Size of a blob or text of a serial type; false for numbers and NULL. */
static inline bool sfi_serial_size(uint64_t serial, uint64_t *size)
{
    *size = (serial - 12) >> 1;
    return serial >= 12;
}

/*
 * Take the cell at p apart (child number already skipped); `end` is the end of the usable page.
 * NULL, or what is wrong with it.
 */
static inline const char *sfi_cell_parse(const uint8_t *p, const uint8_t *end, uint32_t usable,
                                         struct sfi_cell *cell)
{
    uint64_t header;
    uint64_t key_serial;
    uint64_t value_serial;
    unsigned n = sfi_get_varint(p, end, &cell->size);
    if (!n) {
        return "cell is cut off";
    }
    p += n;
    cell->local = sfi_local_payload(usable, cell->size);
    size_t need = cell->local + (cell->local < cell->size ? 4u : 0u);
    if ((size_t)(end - p) < need) {
        return "cell reaches over the end of its page";
    }
    const uint8_t *local_end = p + cell->local;
    cell->payload = p;
    cell->overflow = cell->local < cell->size ? sfi_get_u32be(local_end) : 0;
    unsigned a = sfi_get_varint(p, local_end, &header);
    unsigned b = a ? sfi_get_varint(p + a, local_end, &key_serial) : 0;
    unsigned c = b ? sfi_get_varint(p + a + b, local_end, &value_serial) : 0;
    if (!c || header != a + b + c || header > cell->local) {
        return "record is not a row of two columns";
    }
    if (!sfi_serial_size(key_serial, &cell->key_size) ||
        !sfi_serial_size(value_serial, &cell->value_size)) {
        return "record holds a number or NULL where bytes belong";
    }
    if (cell->key_size > SFI_KEY_MAX_BYTES) {
        return "key is longer than any writer stores";
    }
    cell->header = (uint32_t)header;
    if (cell->key_size > cell->size || cell->value_size > cell->size ||
        header + cell->key_size + cell->value_size != cell->size) {
        return "record sizes contradict each other";
    }
    return NULL;
}

#endif
