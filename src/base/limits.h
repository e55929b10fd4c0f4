/*
 * limits.h - every number that bounds something, with its reason. Where the original
 * implementation has a limit, ours is the same.
 */
#ifndef SFI_BASE_LIMITS_H
#define SFI_BASE_LIMITS_H

/* Keys: SQLite sorts them by memcmp in index pages; longer ones are a modelling error. */
#define SFI_KEY_MAX_BYTES (64u * 1024u)
/* Values: SQLite's own default SQLITE_MAX_LENGTH is 10^9; one row must fit. */
#define SFI_VALUE_MAX_BYTES (1000000000u - SFI_KEY_MAX_BYTES - 64u)
/* Shards of one snapshot: a slot each is kept in memory by readers. */
#define SFI_SHARDS_MAX (1u << 20)
/* Manifest: SQLite images are addressed with 32-bit offsets by other readers. */
#define SFI_MANIFEST_MAX_BYTES (UINT64_C(4) << 30)
/* _CURRENT: four short strings; anything larger is not a pointer. */
#define SFI_POINTER_MAX_BYTES (64u * 1024u)
/* JSON nesting accepted anywhere. */
#define SFI_JSON_MAX_DEPTH 128u
/* JSON text of one manifest field (sharding, custom, writer_info, keys). */
#define SFI_JSON_MAX_BYTES (16u << 20)
/* SQLite pages: the format's own range that the product supports. */
#define SFI_PAGE_MIN 4096u
#define SFI_PAGE_MAX 65536u
/* Depth of a b-tree: 2^32 pages with a fan-out of 4 are 16 levels; SQLite itself allows 20. */
#define SFI_BTREE_MAX_DEPTH 20u
/* Sidecar body: offsets are 32-bit; larger ones would cost readers more than they save. */
#define SFI_SIDECAR_MAX_BODY (256u << 20)
/* Sidecar bodies may be at most this much larger than their zstd frame (bomb guard). */
#define SFI_SIDECAR_MAX_RATIO 1024u
/* Interior pages a builder holds before it writes the lowest level in place (design 4). */
#define SFI_BUILDER_HELD_MAX (32u << 20)
/* Unit of recorded checksums and of writes to a shard sink. */
#define SFI_BLOCK_BYTES (1u << 20)
/* Rows and sort space of a writer: default and smallest. */
#define SFI_WRITER_MEMORY_DEFAULT (UINT64_C(512) << 20)
#define SFI_WRITER_MEMORY_MIN     (UINT64_C(16) << 20)
/* Threads of one pool: more only fight for memory bandwidth. */
#define SFI_THREADS_MAX 256u
/* URL, object key, run id: longer ones do not fit S3 (1,024-byte keys). */
#define SFI_URL_MAX_BYTES 4096u
#define SFI_RUN_ID_MAX    512u
/* Folders below a prefix that listings enter: each level costs an open file. */
#define SFI_STORE_MAX_DEPTH 64u
/* SQLite steps of one manifest call: reading 2^20 shards takes about 2^25. */
#define SFI_MANIFEST_MAX_STEPS (UINT64_C(1) << 29)
/* Text of one manifest field other than JSON: URLs and ids. */
#define SFI_MANIFEST_TEXT_MAX (64u * 1024u)
/* Requests repeated after a failure while publishing (the original's three tries). */
#define SFI_PUBLISH_RETRIES 3u
/* Manifests looked at when the current one is malformed (spec 02 7.2). */
#define SFI_FALLBACK_ATTEMPTS 3u
/* Tries of the pointer swap under policy `latest`: each loss means another run was published. */
#define SFI_PUBLISH_ATTEMPTS 16u
/* Damages reported of one shard: more of them say nothing new, and a report lies in memory. */
#define SFI_VERIFY_DAMAGES_MAX 1000u

#endif
