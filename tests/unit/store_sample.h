/*
 * store_sample.h - shared by the tests of base, store and manifest: temporary folders, failing
 * allocations, seeded random numbers, and a sample manifest.
 */
#ifndef TESTS_STORE_SAMPLE_H
#define TESTS_STORE_SAMPLE_H

#include "base/memory.h"
#include "manifest/manifest.h"
#include "store/store.h"

#include <dirent.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* xorshift64*: the same numbers everywhere for one seed. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline struct sfi_bytes bytes_of(const char *text)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

/* Folders of tests that make thousands of files go to memory, when there is plenty: nearly all of
 * their time is fsync of files that are removed again. */
static inline void use_fast_folders(void)
{
    struct statvfs shm;
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &shm) == 0 &&
        (uint64_t)shm.f_bavail * shm.f_frsize >= UINT64_C(512) << 20) {
        setenv("TMPDIR", "/dev/shm", 1);
    }
}

/* A new folder; its path goes to `path`, its file:// URL to `url` (both at least 256 bytes). */
static inline void make_folder(char *path, char *url)
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/shardy-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        abort();
    }
    snprintf(url, 256, "file://%.240s", path);
}

static inline int remove_entry(const char *path, const struct stat *info, int kind,
                               struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void remove_folder(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Fixtures of the original implementation, or NULL with a reason on stdout. */
static inline const char *fixtures_root(char *buffer, size_t size)
{
    const char *named = getenv("SHARDY_FIXTURES");
    snprintf(buffer, size, "%s/original", named ? named : "../shared/fixtures");
    if (access(buffer, R_OK) != 0) {
        printf("# skipped: no fixtures at %s (set SHARDY_FIXTURES)\n", buffer);
        return NULL;
    }
    return buffer;
}

/* Allocations fail from the `fail_at`-th on (1 = the first) until reset with 0. */
static atomic_ulong alloc_count;
static atomic_ulong alloc_fail_at;

static inline bool alloc_fails(void)
{
    unsigned long at = atomic_load(&alloc_fail_at);
    return at && atomic_fetch_add(&alloc_count, 1) + 1 == at;
}

static inline void *failing_alloc(size_t size)
{
    return alloc_fails() ? NULL : malloc(size);
}

static inline void *failing_zeroed(size_t count, size_t size)
{
    return alloc_fails() ? NULL : calloc(count, size);
}

static inline void *failing_resize(void *block, size_t size)
{
    return alloc_fails() ? NULL : realloc(block, size);
}

static inline void install_failing_allocator(void)
{
    static const shardy_allocator allocator = {failing_alloc, failing_zeroed, failing_resize, free};
    shardy_set_allocator(&allocator);
}

static inline void fail_allocation(unsigned long at)
{
    atomic_store(&alloc_count, 0);
    atomic_store(&alloc_fail_at, at);
}

/* build_meta of a small snapshot. */
static inline struct sfi_build_meta sample_meta(const char *run_id, uint32_t num_dbs)
{
    struct sfi_build_meta meta = {
        .run_id = run_id,
        .s3_prefix = "memory://sample/prefix",
        .key_col = "_key",
        .sharding_json = SFI_HASH_SHARDING_JSON,
        .db_path_template = "db={db_id:05d}",
        .shard_prefix = "shards",
        .custom_json = "{\"team\": \"search\"}",
        .created_at_us = INT64_C(1773484200000000),
        .num_dbs = num_dbs,
        .sharding = SHARDY_SHARDING_HASH,
        .key_encoding = SHARDY_KEY_UTF8,
    };
    return meta;
}

/* Shards with every kind of key; ids 0, 2, 3, 4, 5. Strings are static. */
#define SAMPLE_SHARDS  5
#define SAMPLE_NUM_DBS 7
static inline void sample_shards(shardy_shard_info shards[SAMPLE_SHARDS])
{
    static const char note[] =
        "{\"attempt\": 0, \"duration_ms\": 0, \"stage_id\": null, \"task_attempt_id\": null}";
    static const uint32_t ids[SAMPLE_SHARDS] = {0, 2, 3, 4, 5};
    memset(shards, 0, SAMPLE_SHARDS * sizeof *shards);
    for (size_t i = 0; i < SAMPLE_SHARDS; i++) {
        shards[i].db_id = ids[i];
        shards[i].attempt = (uint32_t)i;
        shards[i].db_url = "memory://sample/prefix/shards/run_id=r/db=00000/attempt=00";
        shards[i].checkpoint_id = i == 1 ? NULL : "92bfdf80036a4d709549ecd32e876ee3";
        shards[i].row_count = 10 * i + 1;
        shards[i].db_bytes = 4096 * (i + 1);
        shards[i].writer_info = note;
        shards[i].has_min_key = i != 1;
        shards[i].has_max_key = i != 1;
    }
    shards[0].min_key = shardy_key_int(-5);
    shards[0].max_key = shardy_key_uint(UINT64_MAX);
    shards[2].min_key = shardy_key_str("a\"\n\xc3\xa9", 5);
    shards[2].max_key = shardy_key_str("\xf0\x9f\x98\x80\0z", 6);
    shards[3].min_key = shardy_key_bytes("abc", 3);
    shards[3].max_key = shardy_key_bytes("\xff\xfe", 2); /* not UTF-8: stored as NULL */
    shards[4].min_key = shardy_key_str("", 0);
    shards[4].max_key = shardy_key_str("1", 1);
}

#endif
