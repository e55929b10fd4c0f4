/*
 * manifest_internal.h - shared by the manifest sources; nobody else includes it.
 */
#ifndef SFI_MANIFEST_MANIFEST_INTERNAL_H
#define SFI_MANIFEST_MANIFEST_INTERNAL_H

#include "base/fork.h"
#include "manifest/manifest.h"
#include "manifest/manifest_store.h"

#include <sqlite3.h>

/* Texts of build_meta that a manifest keeps. */
enum { SFI_META_TEXTS = 7 };

struct sfi_manifest {
    sqlite3 *db;
    struct sfi_mapping image; /* SQLite reads pages from here */
    struct sfi_build_meta meta;
    char *texts[SFI_META_TEXTS];
    /* Guards the connection and everything below. */
    struct sfi_mutex lock;
    sqlite3_stmt *by_id;
    uint64_t steps_left; /* of SQLite's virtual machine, in this call */
    bool rows_known;
    uint64_t rows;
};

#define SFI_SHARD_COLUMNS \
    "db_id, db_url, attempt, row_count, db_bytes, min_key, max_key, checkpoint_id, writer_info"

/* Start counting the work of one call. */
void sfi_manifest_budget(struct sfi_manifest *manifest, uint64_t steps);
/* Status and message of a failed SQLite call. */
shardy_status sfi_manifest_sql_error(struct sfi_manifest *manifest, int rc, shardy_error *err);
shardy_status sfi_manifest_prepare(struct sfi_manifest *manifest, const char *sql,
                                   sqlite3_stmt **stmt, shardy_error *err);

/* Columns by the lenient rules; `name` is the field in messages. */
shardy_status sfi_manifest_text(sqlite3_stmt *stmt, int column, const char *name, bool nullable,
                                struct sfi_bytes *text, shardy_error *err);
shardy_status sfi_manifest_integer(sqlite3_stmt *stmt, int column, const char *name, int64_t min,
                                   int64_t *value, shardy_error *err);

/* Structural checks 2-4 of docs/format/manifest.md, row by row, in the order of the messages. */
shardy_status sfi_manifest_check_ids(struct sfi_manifest *manifest, shardy_error *err);
/* Decode the row that `stmt` (SFI_SHARD_COLUMNS) is on. */
shardy_status sfi_manifest_row(sqlite3_stmt *stmt, shardy_shard_info *info, shardy_error *err);

/* Check the sharding object: strategy, and for CEL the number of routing values. */
shardy_status sfi_sharding_check(struct sfi_bytes text, uint32_t num_dbs, shardy_sharding *sharding,
                                 shardy_error *err);
/* "Manifest validation failed: <what>", keeping NO_MEMORY and LIMIT of `cause`. */
shardy_status sfi_manifest_invalid(shardy_status cause, const shardy_error *why, const char *field,
                                   shardy_error *err);

/* Swap the pointer of an object manifest store (publish.c). */
struct sfi_pointer_slot {
    struct sfi_store *store;
    const char *key;
    bool relocate;
    bool fresh; /* the new reference was never current before */
};
/*
 * Make `ref` current by the rules of `options`; fills the result's replaced run, published,
 * guarded. CONFLICT, UNKNOWN, PUBLISH, CANCELLED, NO_MEMORY.
 */
shardy_status sfi_pointer_swap(const struct sfi_pointer_slot *slot, const char *ref,
                               const char *run_id, const struct sfi_publish_options *options,
                               struct sfi_publish_result *result, shardy_error *err);
/* Store a manifest image under a key, create only; an unknown outcome is read back. */
shardy_status sfi_manifest_put(struct sfi_store *store, const char *key, struct sfi_bytes image,
                               const struct sfi_publish_options *options, shardy_error *err);
bool sfi_publish_cancelled(const struct sfi_publish_options *options);

/* Whether a store compares before it writes (guard.c). All zero = not asked yet. */
enum sfi_guard_answer { SFI_GUARD_UNASKED, SFI_GUARD_HOLDS, SFI_GUARD_OPEN };
struct sfi_guard {
    enum sfi_guard_answer if_match;
    enum sfi_guard_answer if_absent;
};
/*
 * Ask a remote store once whether it honours `condition`, on an object of our own. true: asked just
 * now, and it does not, or could not be asked. Observer may be NULL.
 */
bool sfi_guard_probe(struct sfi_guard *guard, struct sfi_store *store,
                     enum sfi_store_condition condition, const struct sfi_observer *observer);
/* Whether a PUT under `condition` was guarded: a local store's word, a remote one's deeds. */
bool sfi_guard_holds(const struct sfi_guard *guard, const struct sfi_store *store,
                     enum sfi_store_condition condition);
/* A mapping of a block of our allocator, which it takes over. */
void sfi_mapping_of_block(struct sfi_mapping *mapping, uint8_t *data, size_t size);
/* Key of a manifest reference below `store`; relocated by its "manifests/..." tail when asked. */
shardy_status sfi_ref_key(const struct sfi_store *store, bool relocate, const char *ref, char **key,
                          shardy_error *err);
/* The reference at the opened place when it can be found there, else as recorded. sfi_free. */
char *sfi_ref_resolve(const struct sfi_store *store, bool relocate, const char *ref);

#endif
