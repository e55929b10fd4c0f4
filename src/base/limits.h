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
/* Refreshes that find an older pointer than the one they follow keep it so long: stale reads end in
 * seconds, while one that a slow clock or a hand wrote stays. */
#define SFI_STALE_POINTER_MS 60000u
/* Tries of the pointer swap under policy `latest`: each loss means another run was published. */
#define SFI_PUBLISH_ATTEMPTS 16u
/* Damages reported of one shard: more of them say nothing new, and a report lies in memory. */
#define SFI_VERIFY_DAMAGES_MAX 1000u

/* CEL: source as in the original (code points there, bytes of the longest ones here). */
#define SFI_CEL_MAX_SOURCE 400000u
/* Nesting of an expression: parser, checker and evaluator recurse; 250 fit a 256 KiB stack. */
#define SFI_CEL_MAX_DEPTH 250u
/* Nodes of one expression (the original's checker stops there). */
#define SFI_CEL_MAX_NODES 100000u
/* Memory of one compilation, and of one evaluated block. */
#define SFI_CEL_COMPILE_BYTES (48u << 20)
#define SFI_CEL_EVAL_BYTES    (32u << 20)
/* Types: how deep they nest, and how many are compared or made for one expression (0.1 s): types
 * that refer to the same one twice grow exponentially. */
#define SFI_CEL_TYPE_DEPTH  300u
#define SFI_CEL_CHECK_STEPS 20000000
/* Work of one row: steps of about 10 ns, so that the worst expression ends within a second. */
#define SFI_CEL_MAX_STEPS 10000000
/* Seconds of a duration, as the specification has it: about 10,000 years. */
#define SFI_CEL_DURATION_MAX INT64_C(315576000000)
/* Declared columns of one expression: finding them costs a comparison with each. */
#define SFI_CEL_COLUMNS_MAX 1024u
/* Compilations kept by a process, as in the original; see cel_cache.c. */
#define SFI_CEL_CACHE_ENTRIES 64u
/* Distinct values that a build with inferred routing values takes: each is a shard, and a rule over
 * the key itself would make one for every row. More can be given as routing values. */
#define SFI_INFERRED_VALUES_MAX 65536u
/* Lists in lists and so on: what walks values recurses, with frames of about 200 bytes. */
#define SFI_CEL_MAX_VALUE_DEPTH 1000u
/* Memory of one compiled regular expression with its automaton; how many a thread keeps: 16 MiB. */
#define SFI_CEL_REGEX_BYTES  (1 << 20)
#define SFI_CEL_REGEX_CACHED 16u
/* Longer patterns: compiling a chain of a? takes quadratic time, 60 ms for this many bytes. */
#define SFI_CEL_REGEX_PATTERN_MAX 8192u
/* Names of time zones: IANA's longest has 32 characters. */
#define SFI_CEL_ZONE_NAME_MAX 64u
/* A zone file: the largest ones have 4 KiB. */
#define SFI_CEL_ZONE_FILE_MAX (64u * 1024u)
/* Zones of one run: IANA has 600 names, and there are 4,320 spellings of fixed offsets. */
#define SFI_CEL_ZONES_MAX 8192u
/* Digits after the point in format(): a double has at most 1,074. */
#define SFI_CEL_PRECISION_MAX 1000u

/* S3: tries of one request, and how long they may go on (the original's five retries, 30 s). */
#define SFI_S3_ATTEMPTS         6u
#define SFI_S3_ATTEMPTS_MAX     100u
#define SFI_S3_RETRY_TIMEOUT_MS 30000u
/* DNS, TCP and TLS; and no byte moved (the original's connect and read time-outs). */
#define SFI_S3_CONNECT_MS 5000u
#define SFI_S3_STALL_MS   30000u
/* Waits before retries: the first is half of this to all of it, the others at most the second. */
#define SFI_S3_BACKOFF_MS     200u
#define SFI_S3_BACKOFF_MAX_MS 4000u
/* Retry-After: a server that asks for more would keep people waiting for an error. */
#define SFI_S3_RETRY_AFTER_MAX_MS 10000u
/* Tokens of one store for retries, as in AWS's SDKs: a failing service is not asked six times. */
#define SFI_S3_RETRY_TOKENS       500u
#define SFI_S3_RETRY_COST         5u
#define SFI_S3_RETRY_TIMEOUT_COST 10u
/* Parts under way when an upload is given up: those that end soon leave nothing behind. */
#define SFI_S3_ABORT_WAIT_MS 1000u
/* Error answers: S3's are below 1 KiB; a proxy's page is not worth more. */
#define SFI_S3_ERROR_BODY_MAX (64u * 1024u)
/* One page of a listing: 1,000 keys of 1,024 bytes, each percent-encoded, and their frame. */
#define SFI_S3_LIST_BODY_MAX (16u << 20)
/* Keys of one listing, held in memory; a snapshot has far fewer objects. */
#define SFI_S3_LIST_MAX (1u << 24)
/* Pages of one listing without a name, one after the other: deleted keys of a bucket with versions
 * make such pages, 1,000 keys each. And all pages: servers may make smaller ones than S3. */
#define SFI_S3_LIST_EMPTY_MAX 1000u
#define SFI_S3_LIST_PAGES_MAX (1u << 17)
/* Keys of one batch delete: S3's own limit. */
#define SFI_S3_DELETE_BATCH 1000u
/* A server that ignores Range may send a whole object up to this size. */
#define SFI_S3_WHOLE_MAX (8u << 20)
/* Text of one XML element: a percent-encoded key of 1,024 bytes and a margin; and nesting. */
#define SFI_S3_XML_TEXT_MAX  8192u
#define SFI_S3_XML_DEPTH_MAX 16u
/* Parts of an upload: S3 takes 5 MiB to 5 GiB and 10,000 of them; in flight for each upload. */
#define SFI_UPLOAD_PART_BYTES      (UINT64_C(8) << 20)
#define SFI_UPLOAD_PARTS_MAX       10000u
#define SFI_UPLOAD_PARTS_IN_FLIGHT 4u
/* One request as it is signed: URL, headers, session token; servers stop at some 16 KiB. */
#define SFI_SIGNED_MAX_BYTES (1u << 20)
/* ~/.aws/config and credentials, SSO token caches: thousands of profiles fit. */
#define SFI_AWS_FILE_MAX_BYTES (1u << 20)
#define SFI_AWS_LINE_MAX       (64u * 1024u)
/* Profiles a role assumption leads through; AWS sessions end at far fewer. */
#define SFI_AWS_PROFILE_CHAIN_MAX 8u
/* Web identity and container tokens: STS takes 20,000 characters. */
#define SFI_AWS_TOKEN_FILE_MAX (64u * 1024u)
/* Answers with credentials: STS, SSO, metadata services, credential_process. */
#define SFI_AWS_ANSWER_MAX (64u * 1024u)
/* Requests for credentials: one is answered in milliseconds, by STS within a second. */
#define SFI_AWS_CONNECT_MS 3000u
#define SFI_AWS_REQUEST_MS 10000u
/* Metadata services are one hop away; elsewhere this is what looking for them costs. */
#define SFI_AWS_METADATA_MS 1000u
/* Tries of a request for credentials that fails for a passing reason. */
#define SFI_AWS_TRIES 3u
/* credential_process: may ask a remote service, but nobody at a terminal. */
#define SFI_AWS_PROCESS_MS   60000u
#define SFI_AWS_PROCESS_ARGS 256u
/* Credentials are renewed so long before they expire, or a quarter of their life if shorter. */
#define SFI_AWS_RENEW_AHEAD_S 300
/* Between tries of an early renewal that failed. */
#define SFI_AWS_RENEW_RETRY_S 5
/* Pages of remote shards that a reader keeps in memory, over all shards (spec 03 6). */
#define SFI_PAGE_CACHE_DEFAULT (UINT64_C(256) << 20)
/* Gap between wanted ranges that is fetched along: as long as a round trip at 3 MB/s. */
#define SFI_REQUEST_GAP (UINT64_C(64) << 10)
/* One ranged request: larger ones are faster in parts, over several connections. */
#define SFI_REQUEST_MAX (UINT64_C(8) << 20)
/* Ranges of one wave, and bytes when half of the page budget is less: others wait for the next. */
#define SFI_WAVE_REQUESTS  4096u
#define SFI_WAVE_BYTES_MIN (UINT64_C(128) << 10)
/* Lookups of one call that are under way at a time: each has a state of about 100 bytes. */
#define SFI_WAVE_LOOKUPS 65536u
/* Waves without a look at what is fetched again and again: no healthy lookup needs more. */
#define SFI_WAVES_FREE 16u
/* Further waves that only repeat requests before a lookup gives up: its pages do not fit. */
#define SFI_WAVES_STALE 8u
/* Access mode AUTO (spec 03 7): the original's thresholds. */
#define SFI_AUTO_SHARD_DEFAULT (UINT64_C(16) << 20)
#define SFI_AUTO_TOTAL_DEFAULT (UINT64_C(2) << 30)
/* Threads of a reader that open shards for asynchronous lookups, and parallel blocking opens. */
#define SFI_OPENER_THREADS 2u
#define SFI_OPEN_PARALLEL  8u
/* Shards of a remote store that a verification holds in memory at once. */
#define SFI_VERIFY_REMOTE_SHARDS 4u
/* Shards prepared in one go by an eager open: bounds the requests in flight. */
#define SFI_OPEN_BATCH 256u
/* HTTP connections of one client: enough to fill 10 Gbit/s at S3's 50 to 90 MB/s each. */
#define SFI_HTTP_CONNECTIONS_DEFAULT 64u
#define SFI_HTTP_CONNECTIONS_MAX     4096u
/* Exchanges at once for each allowed connection when they share connections (HTTP/2). */
#define SFI_HTTP_STREAMS 16u
/* DNS, TCP and TLS together take three round trips and a few retransmissions. */
#define SFI_HTTP_CONNECT_MS 10000u
/* No byte moved: S3 answers within a second, or has lost us. */
#define SFI_HTTP_STALL_MS 30000u
/* Less than so many bytes in that time is a stall too: 34 bytes a second are nobody's network. */
#define SFI_HTTP_STALL_BYTES 1024u
/* Unused connections are closed before middle boxes forget them (usually 350 s) or servers do. */
#define SFI_HTTP_IDLE_S 60u
/* Header block of an answer: S3 allows 2 KiB of user metadata; anything larger is not S3. */
#define SFI_HTTP_HEAD_MAX (64u * 1024u)
/* Body of an answer that is an error, whatever max_body says: it explains the error. */
#define SFI_HTTP_ERROR_BODY_MAX (64u * 1024u)
/* Reserved on the word of a Content-Length when neither max_body nor expect_body is given. */
#define SFI_HTTP_RESERVE_MAX (1u << 20)
/* Remote shards up to this size are fetched whole when no hint tells where their pages are. */
#define SFI_REMOTE_WHOLE_MAX (UINT64_C(1) << 20)
/* Sidecars: the first request, and the largest one that is worth more than going page by page. */
#define SFI_REMOTE_SIDECAR_FIRST    (UINT64_C(1) << 20)
#define SFI_REMOTE_SIDECAR_MAX      (UINT64_C(8) << 20)
#define SFI_REMOTE_SIDECAR_BODY_MAX (UINT64_C(64) << 20)
/* Overflow pages remembered of a sidecar: 16 MiB of memory a shard. */
#define SFI_REMOTE_CHAIN_PAGES_MAX (4u << 20)
/* Requests spent at once on interior pages that no hint covers; more: go down page by page. */
#define SFI_REMOTE_OPEN_RUNS_MAX 64u
/* Read-ahead of remote scans: first wave, and the largest one. */
#define SFI_REMOTE_AHEAD_MIN (UINT64_C(256) << 10)
#define SFI_REMOTE_AHEAD_MAX (UINT64_C(4) << 20)
/* Rows copied by one step of a remote scan, unless a single one is larger. */
#define SFI_REMOTE_ROWS_BYTES (256u << 10)

/* One range of a whole object being downloaded, and how many are in flight: 32 MiB a shard. The
 * range is a multiple of the unit of checksums. */
#define SFI_TRANSFER_RANGE (UINT64_C(4) << 20)
#define SFI_TRANSFER_LANES 8u

#endif
