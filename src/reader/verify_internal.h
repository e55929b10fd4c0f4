/*
 * verify_internal.h - one shard of a verification: what is known of it, and what was found.
 */
#ifndef SFI_READER_VERIFY_INTERNAL_H
#define SFI_READER_VERIFY_INTERNAL_H

#include "manifest/manifest.h"
#include "routing/routing.h"
#include "shard/shard.h"
#include "store/store.h"

#include <shardyfusion/verify.h>

/* One damage; the texts are owned. */
struct sfi_finding {
    const char *what; /* static */
    char *object;
    char *message;
    int64_t db_id;
};

struct sfi_findings {
    struct sfi_finding *items;
    size_t count;
    size_t capacity;
};

/* Keep a damage. At most SFI_VERIFY_DAMAGES_MAX, further ones are dropped. NO_MEMORY. */
shardy_status sfi_findings_add(struct sfi_findings *findings, int64_t db_id, const char *what,
                               const char *object, const char *message, shardy_error *err);
void sfi_findings_clear(struct sfi_findings *findings);

/* What all shards share; not changed while they are checked. */
struct sfi_verify {
    struct sfi_store *store;
    const struct sfi_build_meta *meta;
    bool relocate; /* recorded URLs may lie below another prefix, as readers have it */
    bool routes;   /* `route` tells the shard of every key */
    struct sfi_route route;
};

/* One shard that has a database, and what its check gave. */
struct sfi_verify_shard {
    shardy_shard_info info;
    struct sfi_findings findings;
    uint64_t rows;
    uint64_t bytes;
    bool checksum; /* the manifest records one, and it was compared */
    bool sidecar;  /* there is one */
};

/* As shardy_verify(), on a store that is open already; takes a reference to it. */
shardy_status sfi_verify_on(const shardy_verify_options *options, struct sfi_store *store,
                            shardy_verify_report *report, shardy_error *err);

/* Status of a failure that is a finding about an object, not about this machine. */
bool sfi_is_finding(shardy_status status, const shardy_error *why);

/* Check one shard. Damages become findings; CONFLICT: replaced meanwhile; IO, STORE. */
shardy_status sfi_verify_shard(const struct sfi_verify *verify, struct sfi_verify_shard *shard,
                               shardy_error *err);
/*
 * Compare a sidecar with the open database (NULL: it is parsed only). Anything wrong is a failure
 * that names it: CORRUPT, UNSUPPORTED, LIMIT.
 */
shardy_status sfi_verify_sidecar(struct sfi_bytes bytes, const struct sfi_shard_reader *reader,
                                 shardy_error *err);

#endif
