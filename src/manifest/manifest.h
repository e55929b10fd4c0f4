/*
 * manifest.h - the manifest file (SQLite, format version 4), the _CURRENT pointer, and names of
 * objects below a prefix. Formats: docs/format/manifest.md, docs/format/pointer.md.
 */
#ifndef SFI_MANIFEST_MANIFEST_H
#define SFI_MANIFEST_MANIFEST_H

#include "base/bytes.h"
#include "routing/shard_info.h"
#include "store/store.h"

#include <shardyfusion/cel.h>
#include <shardyfusion/manifest.h>

#define SFI_MANIFEST_FORMAT_VERSION 4
#define SFI_POINTER_FORMAT_VERSION  1
#define SFI_MANIFEST_CONTENT_TYPE   "application/x-sqlite3"
#define SFI_POINTER_CONTENT_TYPE    "application/json"
#define SFI_MANIFEST_NAME           "manifest"
#define SFI_CURRENT_NAME            "_CURRENT"
#define SFI_HASH_SHARDING_JSON                                                      \
    "{\"cel_columns\": null, \"cel_expr\": null, \"hash_algorithm\": \"xxh3_64\", " \
    "\"routing_values\": null, \"strategy\": \"hash\"}"

/* A sharding object. `cel` borrows from `owner`. */
struct sfi_sharding_owner;
struct sfi_sharding {
    shardy_sharding strategy;
    shardy_cel_sharding cel; /* all zero for HASH */
    struct sfi_sharding_owner *owner;
};

/* Parse and check, with the number of routing values. MANIFEST, LIMIT, NO_MEMORY. */
shardy_status sfi_sharding_parse(struct sfi_bytes text, uint32_t num_dbs,
                                 struct sfi_sharding *sharding, shardy_error *err);
void sfi_sharding_clear(struct sfi_sharding *sharding);
/* J1 text of CEL sharding, without its inference flag. LIMIT, NO_MEMORY. */
shardy_status sfi_sharding_write(const shardy_cel_sharding *cel, struct sfi_buf *out,
                                 shardy_error *err);

/* The build_meta row. Strings are borrowed when encoding, owned by the manifest when decoding. */
struct sfi_build_meta {
    const char *run_id;
    const char *s3_prefix;
    const char *key_col;
    const char *sharding_json; /* J1 text */
    const char *db_path_template;
    const char *shard_prefix;
    const char *custom_json; /* J1 text of an object */
    int64_t created_at_us;
    uint32_t num_dbs;
    shardy_sharding sharding;
    shardy_key_encoding key_encoding;
};

/*
 * Encode a manifest. `shards` ascend by db_id and leave empty shards out; keys of kind BYTES that
 * are not UTF-8 are stored as NULL (the format has no place for them). Same input, same bytes.
 */
shardy_status sfi_manifest_encode(const struct sfi_build_meta *meta,
                                  const shardy_shard_info *shards, size_t count,
                                  struct sfi_buf *out, shardy_error *err);

/* An open manifest; shard rows are read when asked for. Share freely. */
struct sfi_manifest;

/*
 * Open a manifest image, checking build_meta and the structure (spec 01 5) without reading every
 * shard row. Takes the mapping over, on failure too. MANIFEST names what is wrong.
 */
shardy_status sfi_manifest_open(struct sfi_mapping *image, struct sfi_manifest **manifest,
                                shardy_error *err);
void sfi_manifest_close(struct sfi_manifest *manifest); /* NULL is accepted */
const struct sfi_build_meta *sfi_manifest_meta(const struct sfi_manifest *manifest);
/* Description of shard `db_id` (< num_dbs); db_url NULL when it has no row. Caller clears. */
shardy_status sfi_manifest_shard(struct sfi_manifest *manifest, uint32_t db_id,
                                 shardy_shard_info *info, shardy_error *err);
/* Call `each` for every shard row, ascending; stops at its first failure. `info` is borrowed. */
shardy_status sfi_manifest_each(struct sfi_manifest *manifest,
                                shardy_status (*each)(void *arg, const shardy_shard_info *info,
                                                      shardy_error *err),
                                void *arg, shardy_error *err);
/* Sum of row_count over all shards. */
shardy_status sfi_manifest_row_count(struct sfi_manifest *manifest, uint64_t *rows,
                                     shardy_error *err);
/* Every check of spec 01 section 5 on every row, and SQLite's own integrity check (for verify). */
shardy_status sfi_manifest_check(struct sfi_manifest *manifest, shardy_error *err);

/* The _CURRENT pointer. Strings are owned; release with sfi_pointer_clear(). */
struct sfi_pointer {
    char *manifest_ref;
    char *run_id;
    int64_t updated_at_us;
};

shardy_status sfi_pointer_encode(const struct sfi_pointer *pointer, struct sfi_buf *out,
                                 shardy_error *err);
shardy_status sfi_pointer_parse(struct sfi_bytes text, struct sfi_pointer *pointer,
                                shardy_error *err);
void sfi_pointer_clear(struct sfi_pointer *pointer);

/* Names below a prefix (spec 01 1). All results are sfi_free'd by the caller. */

/* manifests/<TS>_run_id=<run_id>/manifest */
shardy_status sfi_manifest_key(int64_t now_us, const char *run_id, char **key, shardy_error *err);
/* <shard_prefix>/run_id=<run_id>/<template with db_id>/attempt=<AA> */
shardy_status sfi_shard_key(const char *shard_prefix, const char *run_id, const char *db_template,
                            uint32_t db_id, uint32_t attempt, char **key, shardy_error *err);
/* Python str.format subset: text, {{ }}, {db_id}, {db_id:FORMAT} with integer formats. CONFIG. */
shardy_status sfi_db_template_check(const char *db_template, shardy_error *err);
/* Single safe path segment (spec 01 1.1); `name` is the option's name in messages. CONFIG. */
shardy_status sfi_segment_check(const char *name, const char *value, shardy_error *err);
/* Run ids become a path segment: non-empty, no '/', control characters or "..". CONFIG. */
shardy_status sfi_run_id_check(const char *run_id, shardy_error *err);
/* run id of a manifest ref (text after the first "run_id=" up to '/'); NULL when there is none. */
char *sfi_ref_run_id(const char *ref);

#endif
