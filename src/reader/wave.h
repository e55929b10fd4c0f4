/*
 * wave.h - lookups on a snapshot of a remote store: open the shards concerned, take every lookup
 * as far as the pages in memory allow, fetch what all of them miss in one wave, and again. The
 * number of waves is the depth of the trees, whatever the number of keys and shards. Who waits
 * between two waves is the caller's affair: a thread (sfi_wave_run) or nobody (async.c).
 */
#ifndef SFI_READER_WAVE_H
#define SFI_READER_WAVE_H

#include "reader/reader_internal.h"

/* Where a lookup belongs. */
struct sfi_wave_key {
    uint32_t db_id;    /* or SFI_NO_SHARD */
    uint8_t buffer[8]; /* integer keys as stored */
    size_t at;         /* index of the key in the call */
};

struct sfi_wave {
    shardy_snapshot *snapshot; /* borrowed */
    struct sfi_lookup *lookups;
    struct sfi_wave_key *keys;
    size_t count;
    bool many;          /* messages name the key */
    uint8_t *key_bytes; /* copies of keys; NULL: borrowed from the caller */

    /* The first `remote` lookups are of remote shards, the others of mapped and empty ones. */
    size_t remote;
    size_t first; /* remote lookups before it are finished */
    size_t left;  /* unfinished ones in the current window */
    bool answered;
    struct sfi_lookup one; /* of a single key, with its buffer */
    struct sfi_wave_key one_key;
};

/*
 * Encode and route the keys. `copy`: keep nothing of the caller's. INPUT, NO_MEMORY;
 * with `many`, messages name the key. Cleared by the caller, on failure too.
 */
shardy_status sfi_wave_init(struct sfi_wave *wave, shardy_snapshot *snapshot,
                            const shardy_key *keys, size_t count, uint32_t where, bool many,
                            bool copy, shardy_error *err);
/* Frees copies of values that nobody took. */
void sfi_wave_clear(struct sfi_wave *wave);

/* Open the shards. Without `block`: *closed when some of them take requests to be opened. */
shardy_status sfi_wave_open(struct sfi_wave *wave, bool block, bool *closed, shardy_error *err);
/*
 * Go on with the bytes that are there. *finished: every lookup has its answer. Otherwise `wants` is
 * what is missing; *progress: some lookup was finished by this step.
 */
shardy_status sfi_wave_step(struct sfi_wave *wave, struct sfi_wants *wants, bool *finished,
                            bool *progress, shardy_error *err);
/* Open, and step until all is finished; the calling thread waits. */
shardy_status sfi_wave_run(struct sfi_wave *wave, shardy_error *err);

/* Results: values move out of the wave. */
void sfi_wave_take_value(struct sfi_wave *wave, unsigned stripe, shardy_value *value);
shardy_status sfi_wave_take_items(struct sfi_wave *wave, struct sfi_items_owner *owner,
                                  shardy_error *err);

#endif
