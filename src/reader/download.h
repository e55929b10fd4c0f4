/*
 * download.h - whole shards on this machine: a directory of verified copies, named by what they
 * are copies of, shared by processes, bounded in size. Blocking; several threads may open at once.
 */
#ifndef SFI_READER_DOWNLOAD_H
#define SFI_READER_DOWNLOAD_H

#include "base/observe.h"
#include "shard/shard.h"
#include "store/store.h"

struct sfi_download_cache;

struct sfi_download_options {
    const char *root;     /* directory; NULL = shardyfusion in $XDG_CACHE_HOME or ~/.cache */
    uint64_t cache_bytes; /* bound; 0 = none */
    const struct sfi_observer *observer; /* copied */
};

/* What a copy is a copy of. Texts are borrowed. */
struct sfi_download_identity {
    const char *db_url;
    const char *checkpoint_id; /* NULL = none */
    uint64_t size;             /* of the database object; > 0 */
    const char *checksum;      /* as recorded, SFI_CHECKSUM_SIZE; "" = none */
    const char *etag;          /* of the object, when it is known already; "" = not known */
};

/* Nothing is created before the first download. CONFIG: no directory can be derived. */
shardy_status sfi_download_cache_new(const struct sfi_download_options *options,
                                     struct sfi_download_cache **cache, shardy_error *err);
void sfi_download_cache_free(struct sfi_download_cache *cache); /* NULL is accepted */

/*
 * A private read-only mapping of the object `key` of `store`: from the directory when a copy of
 * this identity is there and intact, otherwise downloaded in parallel ranges, checked against size
 * and checksum, and kept. NOT_FOUND; CONFLICT: replaced while it was read; CORRUPT; IO: no space
 * (`err` names path and need); STORE.
 */
shardy_status sfi_download_open(struct sfi_download_cache *cache, struct sfi_store *store,
                                const char *key, const struct sfi_download_identity *identity,
                                struct sfi_mapping *image, shardy_error *err);

/*
 * A whole object in private memory, fetched in parallel ranges of one ETag. `size` 0: unknown, a
 * single request tells. For verify, and for downloads that find no space. NOT_FOUND, CONFLICT,
 * CORRUPT: other size; LIMIT: larger than `max_bytes` (0 = no limit); NO_MEMORY, STORE.
 */
shardy_status sfi_fetch_whole(struct sfi_store *store, const char *key, uint64_t size,
                              uint64_t max_bytes, struct sfi_mapping *image, shardy_error *err);

#endif
