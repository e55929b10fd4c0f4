/*
 * shard.h - the shard format seam: a builder turns rows in key order into one database object, a
 * reader looks keys up in it. One implementation so far: SQLite (docs/format/shard.md).
 */
#ifndef SFI_SHARD_SHARD_H
#define SFI_SHARD_SHARD_H

#include "base/bytes.h"
#include "store/store.h"

#define SFI_SHARD_DB_NAME         "shard.db"
#define SFI_SHARD_DB_CONTENT_TYPE "application/x-sqlite3"

/* One row on its way into or out of a shard. Borrowed. */
struct sfi_row {
    const uint8_t *key;
    const uint8_t *value;
    uint32_t key_size;
    uint32_t value_size;
};

#define SFI_CHECKSUM_SIZE 48

/* What a builder knows about the database it made. */
struct sfi_shard_built {
    uint64_t rows;
    uint64_t bytes;
    uint32_t page_size;
    uint32_t tail_pages;              /* navigation pages at the end of the file */
    char checksum[SFI_CHECKSUM_SIZE]; /* "xxh3-128-1m:<hex>" */
    char etag[SFI_ETAG_SIZE];         /* of the database object */
    struct sfi_buf sidecar;           /* empty when none was made; the caller clears it */
    const char *sidecar_skip_reason;  /* why none was made although asked for; NULL = made */
};

struct sfi_shard_builder {
    const struct sfi_shard_builder_ops *ops;
};

struct sfi_shard_builder_ops {
    /* Rows with strictly ascending keys, over all calls. May block. IO, STORE, NO_MEMORY. */
    shardy_status (*add)(struct sfi_shard_builder *builder, const struct sfi_row *rows,
                         size_t count, shardy_error *err);
    /* Complete and commit the database object. Once. May block. */
    shardy_status (*finish)(struct sfi_shard_builder *builder, struct sfi_shard_built *built,
                            shardy_error *err);
    /* Always required; aborts the object unless finish succeeded. NULL is not passed. */
    void (*free)(struct sfi_shard_builder *builder);
};

/* SQLite builder writing to `store` at `key` (".../shard.db"). page_size 4096 .. 65536. */
shardy_status sfi_sqlite_builder_new(struct sfi_store *store, const char *key, uint32_t page_size,
                                     bool want_sidecar, struct sfi_shard_builder **builder,
                                     shardy_error *err);

struct sfi_shard_reader;

/* One key on its way through a shard. */
struct sfi_lookup {
    struct sfi_shard_reader *shard; /* in; NULL = empty shard: absent */
    const uint8_t *key;             /* in: stored key bytes, borrowed */
    uint32_t key_size;
    uint64_t prefix;      /* in: sfi_key_prefix(key) */
    const uint8_t *value; /* out: NULL = absent; into the mapping, or `copy` */
    uint64_t value_size;  /* out */
    uint8_t *copy;        /* out: sfi_malloc'd when the value lies on overflow pages */
    bool finished;        /* remote shards: in and out, see remote.h */
};

/* A position in the rows of one shard. */
struct sfi_shard_cursor;

struct sfi_shard_reader_ops {
    /*
     * Answer every lookup. All lookups name readers of this table, not necessarily the same one.
     * Does not block but for page faults. CORRUPT names shard, page and offset; `*failed` is the
     * index of the lookup that failed; copies made before it stay in the lookups.
     */
    shardy_status (*get)(struct sfi_lookup *lookups, size_t count, size_t *failed,
                         shardy_error *err);
    /* Cursor before the first row whose key is >= `start`. One thread at a time. */
    shardy_status (*seek)(struct sfi_shard_reader *shard, struct sfi_bytes start,
                          struct sfi_shard_cursor **cursor, shardy_error *err);
    /* Up to `max` next rows, valid until the next call on the cursor; *count = 0 at the end. Rows
     * before a damage are delivered first. */
    shardy_status (*next)(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                          size_t *count, shardy_error *err);
    void (*cursor_free)(struct sfi_shard_cursor *cursor);
    void (*close)(struct sfi_shard_reader *shard); /* last reference gone */
};

/* An open shard: immutable, shared freely. */
struct sfi_shard_reader {
    const struct sfi_shard_reader_ops *ops;
    atomic_uint refs;
    void *owner; /* remote shards: who fetches their bytes; theirs alone, NULL otherwise */
};

/*
 * Open a SQLite shard over a mapped database; takes the mapping over, on failure too. `name` is
 * the shard's URL for messages. Reads the schema and the interior pages. CORRUPT, UNSUPPORTED.
 */
shardy_status sfi_sqlite_reader_open(struct sfi_mapping *image, const char *name,
                                     struct sfi_shard_reader **shard, shardy_error *err);
struct sfi_shard_reader *sfi_shard_reader_acquire(struct sfi_shard_reader *shard);
void sfi_shard_reader_release(struct sfi_shard_reader *shard); /* NULL is accepted */

/*
 * Checksum of a whole database: XXH3-128 over the canonical XXH3-128 digests of its 1 MiB blocks,
 * as text "xxh3-128-1m:<32 hex digits>".
 */
void sfi_shard_checksum(struct sfi_bytes image, char out[SFI_CHECKSUM_SIZE]);

/* Facts about an open SQLite shard, and the check of every page (shardy verify). */
struct sfi_sqlite_facts {
    uint32_t page_size;
    uint32_t page_count;
    uint32_t root_page;
    uint32_t leaf_count;
    uint32_t interior_count;
    bool ours; /* carries our layout mark */
};

void sfi_sqlite_facts(const struct sfi_shard_reader *shard, struct sfi_sqlite_facts *facts);
/* Image of page `number` (1-based), or NULL when it is outside the file. */
const uint8_t *sfi_sqlite_page(const struct sfi_shard_reader *shard, uint32_t number);
/*
 * Walk the whole tree: every leaf, cell, overflow chain; keys ascending; no page used twice; free
 * and schema pages aside, none unused. Calls `row` (may be NULL) for each row in key order.
 */
shardy_status sfi_sqlite_check(struct sfi_shard_reader *shard,
                               shardy_status (*row)(void *arg, struct sfi_bytes key,
                                                    struct sfi_bytes value, shardy_error *err),
                               void *arg, shardy_error *err);

#endif
