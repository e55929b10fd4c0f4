/*
 * scan_remote.h - cursors of scans on remote shards: rows of several shards at once, so that the
 * requests of all of them go out in the same waves.
 */
#ifndef SFI_READER_SCAN_REMOTE_H
#define SFI_READER_SCAN_REMOTE_H

#include "reader/fetch.h"

/* Rows to be had from one shard. */
struct sfi_pull {
    struct sfi_shard_reader *shard;  /* in: read by ranges (its `owner` is set) */
    struct sfi_shard_cursor *cursor; /* in and out: NULL = before the first row >= `start` */
    struct sfi_row *rows;            /* out: up to `max`, valid until the cursor's next pull */
    size_t max;
    size_t count; /* out: 0 at the end */
    bool done;    /* out */
};

/*
 * The next rows of every pull that is not done. Blocks. CORRUPT; what requests return. Cursors are
 * released by the caller with sfi_remote_cursor_free(), on failure too.
 */
shardy_status sfi_pull_rows(struct sfi_pull *pulls, size_t count, struct sfi_bytes start,
                            shardy_error *err);

#endif
