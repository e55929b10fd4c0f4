/*
 * manifest_store.h - where manifests and the pointer live. Implementations: object store, memory.
 * A store may be used from several threads at once.
 */
#ifndef SFI_MANIFEST_MANIFEST_STORE_H
#define SFI_MANIFEST_MANIFEST_STORE_H

#include "base/observe.h"
#include "manifest/manifest.h"

/* A reference to a published manifest. Strings are owned; release with sfi_ref_clear(). */
struct sfi_ref {
    char *ref;
    char *run_id;
    int64_t published_at_us;
};

void sfi_ref_clear(struct sfi_ref *ref);
void sfi_refs_clear(struct sfi_ref *refs, size_t count); /* frees the array too */

/* How the pointer may be swapped (design 5). */
struct sfi_publish_options {
    bool no_pointer; /* write the manifest only */
    bool expect;     /* policy EXPECT: `expected_ref` must be current (NULL: no pointer) */
    const char *expected_ref;
    const struct sfi_observer *observer; /* may be NULL */
    /* May be NULL. Once true, nothing more is written; a write that was sent is waited for. */
    const atomic_bool *cancelled;
};

/* What happened. Strings are owned; release with sfi_publish_result_clear(). */
struct sfi_publish_result {
    char *manifest_ref; /* set as soon as the manifest is stored, also when the call fails later */
    char *replaced_ref; /* pointer before; NULL = none */
    char *replaced_run_id;
    bool published;
    bool guarded; /* published, and the store is known to have compared */
};

void sfi_publish_result_clear(struct sfi_publish_result *result);

struct sfi_manifest_store;

struct sfi_manifest_store_ops {
    const char *name; /* "object", "memory" */
    /*
     * Store the manifest (create only), then swap the pointer. Status: OK; CONFLICT (EXPECT:
     * another run is current, named); UNKNOWN (answer lost and not readable); PUBLISH (manifest
     * stored, pointer not); CANCELLED (pointer not written; the manifest is stored when the result
     * has its ref); what storing the manifest returned.
     */
    shardy_status (*publish)(struct sfi_manifest_store *store, const struct sfi_build_meta *meta,
                             const shardy_shard_info *shards, size_t count,
                             const struct sfi_publish_options *options,
                             struct sfi_publish_result *result, shardy_error *err);
    /* *found = false when there is no pointer. MANIFEST when it is malformed. */
    shardy_status (*load_current)(struct sfi_manifest_store *store, struct sfi_ref *ref,
                                  bool *found, shardy_error *err);
    /*
     * May be NULL. load_current unless the pointer still has `etag` (SFI_ETAG_SIZE bytes, "" = not
     * known): then *unchanged, and nothing else is set. `etag` becomes that of what was read.
     */
    shardy_status (*load_changed)(struct sfi_manifest_store *store, char *etag, bool *unchanged,
                                  struct sfi_ref *ref, bool *found, shardy_error *err);
    shardy_status (*load_manifest)(struct sfi_manifest_store *store, const char *ref,
                                   struct sfi_manifest **manifest, shardy_error *err);
    /* Newest first, at most `limit` (SIZE_MAX: all). */
    shardy_status (*list)(struct sfi_manifest_store *store, size_t limit, struct sfi_ref **refs,
                          size_t *count, shardy_error *err);
    /* Point at a manifest that is already stored; same swap rules as publish. */
    shardy_status (*set_current)(struct sfi_manifest_store *store, const char *ref,
                                 const struct sfi_publish_options *options,
                                 struct sfi_publish_result *result, shardy_error *err);
    void (*close)(struct sfi_manifest_store *store);
};

struct sfi_manifest_store {
    const struct sfi_manifest_store_ops *ops;
};

/*
 * Manifests as objects below `store`'s prefix. Takes a reference to `store`. `relocate`: refs
 * recorded elsewhere are looked up by their "manifests/..." tail below the opened prefix.
 */
shardy_status sfi_manifest_store_object(struct sfi_store *store, const char *current_name,
                                        bool relocate, struct sfi_manifest_store **out,
                                        shardy_error *err);
/* Manifests in this process's memory; refs are mem://manifests/run_id=<run_id>/manifest. */
shardy_status sfi_manifest_store_memory(struct sfi_manifest_store **out, shardy_error *err);
void sfi_manifest_store_close(struct sfi_manifest_store *store); /* NULL is accepted */

#endif
