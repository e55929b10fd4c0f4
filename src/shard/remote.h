/*
 * remote.h - SQLite shards that are read over the network, page by page, without doing any I/O
 * here: lookups say which bytes they miss, the caller fetches and fills them in, and asks again.
 *
 * A remote shard has an image like a mapped one: address space of the size of the file, whose 4 KiB
 * granules are filled on demand and emptied again when the page budget is short. Whatever reads an
 * image reads this one too, after making sure that what it touches is resident.
 *
 * Every function may be called from any thread. Nothing here blocks but on short locks.
 */
#ifndef SFI_SHARD_REMOTE_H
#define SFI_SHARD_REMOTE_H

#include "shard/shard.h"

/* Granule of residency; every page size from 4096 is a multiple of it. */
#define SFI_GRANULE 4096u

enum sfi_remote_object { SFI_REMOTE_DATABASE, SFI_REMOTE_SIDECAR };

/* Bytes somebody misses. `offset` is granule-aligned, length too but at the end of the file. */
struct sfi_want {
    struct sfi_shard_reader *shard; /* borrowed */
    enum sfi_remote_object object;
    uint64_t offset;
    uint64_t length; /* 0: to the end (sidecar only) */
};

struct sfi_wants {
    struct sfi_want *items;
    size_t count;
    size_t capacity;
};
void sfi_wants_clear(struct sfi_wants *wants); /* frees */

struct sfi_remote_options {
    const char *name;    /* URL for messages; copied */
    uint64_t size;       /* of the database object, from the manifest; > 0 */
    uint32_t page_size;  /* from the manifest's writer record; 0 = unknown */
    uint32_t tail_pages; /* navigation pages at the end of the file; 0 = unknown */
    bool try_sidecar;    /* the manifest says that sidecars were written */
};

/* No I/O. NO_MEMORY (also when no address space of that size can be reserved: the message says so),
 * CORRUPT: impossible size. The reader's table is the remote one: `advance` below, not `get`. */
shardy_status sfi_sqlite_remote_new(const struct sfi_remote_options *options,
                                    struct sfi_shard_reader **shard, shardy_error *err);

/*
 * Take every unfinished lookup as far as resident bytes allow. Finished ones get `finished`, and
 * their value as a copy (sfi_malloc'd, `copy` == `value`); what the others miss is appended to
 * `wants` (unsorted, possibly overlapping). Lookups start zeroed but for shard and key; between
 * calls `copy` and `value_size` of unfinished ones are private, and who gives them up frees `copy`.
 * All lookups name remote shards. A shard that is not open yet wants its first page and its tail,
 * or its sidecar, or page by page. On failure `*failed` is the index of the lookup concerned; the
 * others may be advanced further.
 */
shardy_status sfi_remote_advance(struct sfi_lookup *lookups, size_t count, struct sfi_wants *wants,
                                 size_t *failed, shardy_error *err);

/* The same for opening alone: *ready when lookups and scans can start. */
shardy_status sfi_remote_prepare(struct sfi_shard_reader *shard, struct sfi_wants *wants,
                                 bool *ready, shardy_error *err);

/*
 * Bytes of one object that arrived: `offset` as wanted (or a multiple of the granule), `size` the
 * whole object's size, `etag` its ETag ("" = none). CONFLICT: another ETag or size than before, the
 * object was replaced. CORRUPT: size differs from the manifest. New granules are counted into
 * *added (bytes).
 */
shardy_status sfi_remote_fill(struct sfi_shard_reader *shard, enum sfi_remote_object object,
                              uint64_t offset, struct sfi_bytes bytes, uint64_t size,
                              const char *etag, uint64_t *added, shardy_error *err);
/* The sidecar does not exist or could not be read: open without it. */
void sfi_remote_no_sidecar(struct sfi_shard_reader *shard);
/* ETag that the database had when it was first read, "" before; `etag` has SFI_ETAG_SIZE bytes. */
void sfi_remote_etag(struct sfi_shard_reader *shard, char *etag);

/*
 * One sweep of the clock over the shard's granules: empties those that were not used since the last
 * sweeps, at most `bytes`; returns what was freed. Granules just filled survive some sweeps, so
 * that who fetched them can use them.
 */
uint64_t sfi_remote_evict(struct sfi_shard_reader *shard, uint64_t bytes);
uint64_t sfi_remote_resident(struct sfi_shard_reader *shard); /* bytes */

/*
 * Scanning. Like seek and next of a mapped shard; `*missing` tells that the cursor stands before
 * bytes that are not resident: they are in `wants` (with some read-ahead), fill them in and call
 * again. Seek gives no cursor then, and next no rows; *count = 0 without `*missing` is the end.
 * Rows are valid until the next call on the cursor, also when their pages are emptied.
 */
shardy_status sfi_remote_seek(struct sfi_shard_reader *shard, struct sfi_bytes start,
                              struct sfi_shard_cursor **cursor, struct sfi_wants *wants,
                              bool *missing, shardy_error *err);
shardy_status sfi_remote_next(struct sfi_shard_cursor *cursor, struct sfi_row *rows, size_t max,
                              size_t *count, struct sfi_wants *wants, bool *missing,
                              shardy_error *err);
void sfi_remote_cursor_free(struct sfi_shard_cursor *cursor);

#endif
