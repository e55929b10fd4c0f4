/*
 * sqlite_remote.h - inside of a remote SQLite shard: a b-tree over a sparse image, the lock around
 * them, and the walk that lookups and cursors share.
 *
 * Walking needs the lock shared; filling, emptying and opening need it exclusively. Nothing is
 * waited for and nobody is called back under it.
 */
#ifndef SFI_SHARD_SQLITE_REMOTE_H
#define SFI_SHARD_SQLITE_REMOTE_H

#include "base/fork.h"
#include "shard/remote.h"
#include "shard/sparse_image.h"
#include "shard/sqlite_btree.h"

#include <pthread.h>

enum sfi_remote_phase {
    SFI_REMOTE_OPENING,
    SFI_REMOTE_DESCEND, /* root known: lookups go down from it page by page */
    SFI_REMOTE_READY    /* leaf directory loaded */
};

enum sfi_remote_sidecar { SFI_SIDECAR_NONE, SFI_SIDECAR_WANTED, SFI_SIDECAR_USED };

/* Overflow chains of the sidecar that are not consecutive pages. */
struct sfi_chain_map {
    uint32_t count;
    uint32_t *heads;   /* ascending */
    uint32_t *offsets; /* count + 1 */
    uint32_t *pages;
};

struct sfi_remote {
    struct sfi_btree tree; /* its data is the image's */
    struct sfi_sparse_image image;
    pthread_rwlock_t lock; /* taken by the functions below */
    atomic_uint made;      /* process of the lock, see base/fork.h */

    enum sfi_remote_phase phase;
    bool header_known;
    bool tail_guessed;
    bool need_directory;     /* a scan wants it, whatever it costs */
    uint32_t hint_page_size; /* 0: no hints, or found wrong */
    uint32_t hint_tail;      /* pages */
    unsigned min_leaf_depth;
    unsigned directory_depth; /* of its leaves */
    atomic_uint leaf_depth;   /* where a descent met a leaf; 0 = none did */
    uint32_t generation;      /* of the directory */
    uint32_t trust;           /* grows when pages are forgotten that walks have gone by */
    _Atomic uint64_t filled;  /* bytes of the database that arrived so far */
    uint64_t try_at;          /* `filled` at which loading the directory is tried again */
    uint64_t opened_at;       /* `filled` at the last step of opening */
    unsigned open_waves;      /* spent on the directory */
    unsigned grace;           /* sweeps that pass by while the shard is being opened */

    enum sfi_remote_sidecar sidecar_state;
    struct sfi_sparse_image sidecar; /* data NULL until its first bytes arrive */
    char sidecar_etag[SFI_ETAG_SIZE];
    struct sfi_chain_map chains;

    bool etag_known;
    char etag[SFI_ETAG_SIZE];
};

static inline struct sfi_remote *sfi_remote_of(const struct sfi_shard_reader *shard)
{
    return (struct sfi_remote *)(uintptr_t)shard;
}

void sfi_remote_lock(struct sfi_remote *remote); /* exclusively; forks wait */
void sfi_remote_unlock(struct sfi_remote *remote);
void sfi_remote_lock_shared(struct sfi_remote *remote);
void sfi_remote_unlock_shared(struct sfi_remote *remote);

/* Is the whole page there? It is used then: `use` is a use counter of sparse_image.h. */
static inline bool sfi_remote_has(const struct sfi_remote *remote, uint32_t page, unsigned use)
{
    uint64_t at = (uint64_t)(page - 1) * remote->tree.page_size;
    return sfi_sparse_image_has(&remote->image, at, remote->tree.page_size, use);
}

/* Append what is missing of a range, or of a page, to `wants`. NO_MEMORY. */
shardy_status sfi_remote_want(struct sfi_remote *remote, uint64_t offset, uint64_t size,
                              struct sfi_wants *wants, shardy_error *err);
shardy_status sfi_remote_want_page(struct sfi_remote *remote, uint32_t page,
                                   struct sfi_wants *wants, shardy_error *err);
shardy_status sfi_wants_add(struct sfi_wants *wants, const struct sfi_want *want,
                            shardy_error *err);

/* One step of opening, unless READY, under the exclusive lock: `wants` says what is missing. From
 * DESCEND it goes on to the directory. */
shardy_status sfi_remote_open_step(struct sfi_remote *remote, struct sfi_wants *wants,
                                   shardy_error *err);
/* Load the directory if everything happens to be there. Exclusive lock. */
void sfi_remote_try_directory(struct sfi_remote *remote);
/* Forget the sidecar and everything that came from it; false when nothing did. Exclusive lock. */
bool sfi_remote_distrust(struct sfi_remote *remote);
/* Leaves lie deeper than the directory says: forget it. Exclusive lock. */
void sfi_remote_deepen(struct sfi_remote *remote);
/* Rebuild the image's pages from the whole sidecar, or decide against it. Exclusive lock. */
shardy_status sfi_remote_use_sidecar(struct sfi_remote *remote, shardy_error *err);
void sfi_chain_map_clear(struct sfi_chain_map *chains);

/* A position in an overflow chain. */
struct sfi_remote_chain {
    uint64_t size;        /* whole payload */
    uint64_t at;          /* payload position of the first byte on page `next` */
    uint64_t pages;       /* of the whole chain */
    uint64_t index;       /* links followed */
    uint64_t asked_index; /* the last guess: pages from `asked` on, ... */
    uint64_t asked_count; /* ... so many */
    uint64_t spent;       /* pages guessed so far */
    uint32_t asked;
    uint32_t head;
    uint32_t next;
    uint32_t owner; /* page of the cell */
    bool no_map;    /* the sidecar's list was wrong */
};

void sfi_remote_chain_start(const struct sfi_remote *remote, const struct sfi_cell *cell,
                            uint32_t owner, struct sfi_remote_chain *chain);
/* The payload bytes of the next page, or *missing with `wants` for everything up to payload
 * position `upto`. */
shardy_status sfi_remote_chain_take(struct sfi_remote *remote, struct sfi_remote_chain *chain,
                                    uint64_t upto, struct sfi_bytes *part, bool *missing,
                                    struct sfi_wants *wants, shardy_error *err);
/* Ask for the pages that come next, up to payload position `upto`. */
shardy_status sfi_remote_chain_want(struct sfi_remote *remote, struct sfi_remote_chain *chain,
                                    uint64_t upto, struct sfi_wants *wants, shardy_error *err);

/* A search on its way to a key. */
enum sfi_walk_mode { SFI_WALK_TIES, SFI_WALK_PAGE };
enum sfi_walk_step { SFI_STEP_SEARCH, SFI_STEP_KEY, SFI_STEP_VALUE };

struct sfi_walk {
    enum sfi_walk_mode mode;
    enum sfi_walk_step step;
    bool kept;      /* got further than its beginning: keep it over a wave */
    bool from_root; /* no directory */
    uint32_t generation;
    uint32_t trust;
    uint32_t depth;
    uint32_t page;
    uint32_t leaf; /* index in the directory */
    uint32_t lo;   /* of separators or of cells of `page` */
    uint32_t hi;   /* UINT32_MAX: page not looked at yet */
    uint32_t pos;
    struct sfi_cell cell; /* of `pos`; its payload is not to be used after a wave */
    struct sfi_remote_chain chain;
    uint64_t matched; /* key bytes found equal */
    uint64_t copied;  /* value bytes */
};

enum sfi_walk_result { SFI_WALK_MISSING, SFI_WALK_FOUND, SFI_WALK_ABSENT };

void sfi_walk_start(const struct sfi_remote *remote, struct sfi_bytes key, uint64_t prefix,
                    struct sfi_walk *walk);
/* Search as far as possible. FOUND: `cell` is the row's; `*in_page` says that its payload is still
 * pointed at. ABSENT: `page`, `lo` are where the key would be. */
shardy_status sfi_walk_search(struct sfi_remote *remote, struct sfi_walk *walk,
                              struct sfi_bytes key, struct sfi_wants *wants,
                              enum sfi_walk_result *result, bool *in_page, shardy_error *err);

#endif
