/*
 * scan_remote.c - rows of remote shards for scans. Where a cursor is and how far it reads ahead is
 * known below (shard/remote.h); here its missing bytes are fetched, together with those of the
 * other shards of the scan. Merging is scan.c.
 */
#include "reader/scan_remote.h"

/* As far as the bytes that are there allow. */
static shardy_status pull_one(struct sfi_pull *pull, struct sfi_bytes start,
                              struct sfi_wants *wants, shardy_error *err)
{
    bool missing = false;
    if (!pull->cursor) {
        SFI_RETURN_IF_ERR(sfi_remote_seek(pull->shard, start, &pull->cursor, wants, &missing, err));
    }
    if (!missing) {
        SFI_RETURN_IF_ERR(sfi_remote_next(pull->cursor, pull->rows, pull->max, &pull->count, wants,
                                          &missing, err));
    }
    pull->done = !missing;
    return SHARDY_OK;
}

static shardy_status pull_all(struct sfi_pull *pulls, size_t count, struct sfi_bytes start,
                              struct sfi_wants *wants, size_t *left, shardy_error *err)
{
    *left = 0;
    wants->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!pulls[i].done) {
            SFI_RETURN_IF_ERR(pull_one(&pulls[i], start, wants, err));
            *left += !pulls[i].done;
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_pull_rows(struct sfi_pull *pulls, size_t count, struct sfi_bytes start,
                            shardy_error *err)
{
    struct sfi_wants wants = {0};
    struct sfi_fetch fetch = {0};
    size_t before = count;
    size_t left = 0;
    shardy_status st = SHARDY_OK;
    if (!count) {
        return SHARDY_OK;
    }
    fetch.fetcher = ((const struct sfi_remote_shard *)pulls[0].shard->owner)->fetcher;
    for (;;) {
        uint64_t since = sfi_fetch_stamp(fetch.fetcher);
        SFI_TRY(pull_all(pulls, count, start, &wants, &left, err));
        if (!left) {
            break;
        }
        SFI_TRY(sfi_fetch_wait(&fetch, &wants, since, left < before, err));
        before = left;
    }
out:
    sfi_wants_clear(&wants);
    sfi_fetch_clear(&fetch);
    return st;
}
