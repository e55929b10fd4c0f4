/*
 * download.c - whole shards on this machine. A cached copy is the database followed by a record
 * that says what it is a copy of and which bytes it has; it is checked whenever it is opened.
 *
 *   database | identity (text) | footer of 96 bytes:
 *     0  checksum of the database, text, NUL-padded (48)
 *    48  size of the database, u64le
 *    56  size of the identity, u32le
 *    60  version 1, u32le
 *    64  "shardyfusion shard copy\n", NUL-padded (32)
 *
 * The file is named by a hash of the identity. Places, locks and eviction are cache_dir.c.
 */
#include "reader/download.h"

#include "base/limits.h"
#include "base/memory.h"
#include "reader/cache_dir.h"
#include "reader/transfer.h"
#include "shard/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FOOTER_SIZE 96u
#define MAGIC_AT    64u
#define MAGIC       "shardyfusion shard copy\n"
#define VERSION     1u

struct sfi_download_cache {
    struct sfi_cache_dir dir;
    struct sfi_observer observer;
};

/* One opening. */
struct job {
    struct sfi_download_cache *cache;
    const struct sfi_download_identity *identity;
    struct sfi_buf text; /* identity as it stands in the copy */
    char name[SFI_CACHE_NAME_SIZE];
    int dir_fd;
    uint64_t file_size;

    /* While downloading. */
    int fd;
    char temp[SFI_CACHE_TEMP_SIZE]; /* "" = not made yet */
    uint8_t *digests;
    size_t digest_count;
    char checksum[SFI_CHECKSUM_SIZE];
};

/* A mapped copy. */
struct copy {
    void *memory;
    size_t size;
    int fd; /* its lock keeps the copy from eviction; -1 = given up */
};

shardy_status sfi_download_cache_new(const struct sfi_download_options *options,
                                     struct sfi_download_cache **out, shardy_error *err)
{
    struct sfi_download_cache *cache = sfi_calloc(1, sizeof *cache);
    *out = NULL;
    if (!cache) {
        return sfi_fail_memory(err, sizeof *cache);
    }
    shardy_status st = sfi_cache_dir_init(&cache->dir, options->root, options->cache_bytes, err);
    if (st != SHARDY_OK) {
        sfi_free(cache);
        return st;
    }
    if (options->observer) {
        cache->observer = *options->observer;
    }
    *out = cache;
    return SHARDY_OK;
}

void sfi_download_cache_free(struct sfi_download_cache *cache)
{
    if (cache) {
        sfi_cache_dir_clear(&cache->dir);
        sfi_free(cache);
    }
}

/* --- mapping -----------------------------------------------------------------------------------
 */

/* Descriptors of copies that this process keeps open, and how many it may: a quarter of them. */
static atomic_size_t s_held;

static bool may_hold(void)
{
    struct rlimit limit;
    size_t most = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur / 4 : 64;
    if (atomic_fetch_add_explicit(&s_held, 1, memory_order_relaxed) < most) {
        return true;
    }
    atomic_fetch_sub_explicit(&s_held, 1, memory_order_relaxed);
    return false;
}

static void release_copy(struct sfi_mapping *mapping)
{
    struct copy *copy = mapping->private_data;
    (void)munmap(copy->memory, copy->size);
    if (copy->fd >= 0) {
        close(copy->fd);
        atomic_fetch_sub_explicit(&s_held, 1, memory_order_relaxed);
    }
    sfi_free(copy);
}

static shardy_status map_file(const struct job *job, int fd, struct sfi_mapping *image,
                              shardy_error *err)
{
    struct copy *copy = sfi_malloc(sizeof *copy);
    size_t size = (size_t)job->identity->size;
    if (!copy) {
        return sfi_fail_memory(err, sizeof *copy);
    }
    copy->memory = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (copy->memory == MAP_FAILED) {
        sfi_free(copy);
        return sfi_fail_errno(err, SHARDY_IO, errno, "cannot map %s/%s", job->cache->dir.path,
                              job->name);
    }
    copy->size = size;
    copy->fd = -1;
    image->data = copy->memory;
    image->size = size;
    image->private_data = copy;
    image->release = release_copy;
    return SHARDY_OK;
}

/* The mapping is good: keep the descriptor with its lock while there are enough of them. */
static void keep(struct sfi_mapping *image, int fd)
{
    struct copy *copy = image->private_data;
    (void)madvise(copy->memory, copy->size, MADV_RANDOM);
    if (may_hold()) {
        copy->fd = fd;
    } else {
        close(fd);
    }
}

/* --- what a copy says it is --------------------------------------------------------------------
 */

static shardy_status describe(struct job *job, shardy_error *err)
{
    const struct sfi_download_identity *id = job->identity;
    sfi_buf_init(&job->text, SFI_MANIFEST_TEXT_MAX * 4);
    sfi_buf_printf(&job->text, "url %s\ncheckpoint %s%s\nsize %" PRIu64 "\nchecksum %s\n",
                   id->db_url, id->checkpoint_id ? "=" : "",
                   id->checkpoint_id ? id->checkpoint_id : "", id->size, id->checksum);
    SFI_RETURN_IF_ERR(sfi_buf_status(&job->text, "identity of a shard", err));
    XXH128_hash_t hash = XXH3_128bits(job->text.data, job->text.size);
    snprintf(job->name, sizeof job->name, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
    if (__builtin_add_overflow(id->size, job->text.size + FOOTER_SIZE, &job->file_size) ||
        job->file_size > INT64_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "%s: a shard of %" PRIu64 " bytes cannot be kept",
                        id->db_url, id->size);
    }
    return SHARDY_OK;
}

static void make_footer(const struct job *job, uint8_t footer[FOOTER_SIZE])
{
    memset(footer, 0, FOOTER_SIZE);
    memcpy(footer, job->checksum, SFI_CHECKSUM_SIZE);
    sfi_put_u64le(footer + 48, job->identity->size);
    sfi_put_u32le(footer + 56, (uint32_t)job->text.size);
    sfi_put_u32le(footer + 60, VERSION);
    memcpy(footer + MAGIC_AT, MAGIC, sizeof MAGIC - 1);
}

static bool read_at(int fd, uint8_t *to, size_t size, uint64_t offset)
{
    while (size) {
        ssize_t n = pread(fd, to, size, (off_t)offset);
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            return false;
        }
        if (n > 0) {
            to += n;
            size -= (size_t)n;
            offset += (uint64_t)n;
        }
    }
    return true;
}

/* Does the record behind the database say what it must? Leaves the checksum in the job. */
static bool record_fits(struct job *job, int fd)
{
    uint8_t footer[FOOTER_SIZE];
    uint8_t expected[FOOTER_SIZE];
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size != job->file_size ||
        !read_at(fd, footer, FOOTER_SIZE, job->file_size - FOOTER_SIZE)) {
        return false;
    }
    memcpy(job->checksum, footer, SFI_CHECKSUM_SIZE);
    job->checksum[SFI_CHECKSUM_SIZE - 1] = '\0';
    make_footer(job, expected);
    if (memcmp(footer, expected, FOOTER_SIZE) != 0 ||
        (*job->identity->checksum && strcmp(job->checksum, job->identity->checksum) != 0)) {
        return false;
    }
    uint8_t *text = sfi_malloc(job->text.size);
    bool same = text && read_at(fd, text, job->text.size, job->identity->size) &&
                memcmp(text, job->text.data, job->text.size) == 0;
    sfi_free(text);
    return same;
}

/* Map the copy if there is one and it is intact; image->data stays NULL otherwise. */
static shardy_status try_copy(struct job *job, struct sfi_mapping *image, shardy_error *err)
{
    char actual[SFI_CHECKSUM_SIZE] = "";
    int fd;
    SFI_RETURN_IF_ERR(sfi_cache_entry_open(&job->cache->dir, job->dir_fd, job->name, &fd, err));
    if (fd < 0) {
        return SHARDY_OK;
    }
    bool good = record_fits(job, fd);
    shardy_status st = good ? map_file(job, fd, image, err) : SHARDY_OK;
    if (st == SHARDY_OK && good) {
        struct sfi_bytes bytes = {image->data, image->size};
        sfi_shard_checksum(bytes, actual);
        good = strcmp(actual, job->checksum) == 0;
    }
    if (st == SHARDY_OK && good) {
        (void)futimens(fd, NULL); /* used now; eviction goes by it */
        keep(image, fd);
        return SHARDY_OK;
    }
    sfi_mapping_release(image);
    if (st == SHARDY_OK) {
        sfi_cache_entry_drop(job->dir_fd, job->name, fd);
        sfi_log(&job->cache->observer, SHARDY_LOG_WARNING, "reader", "cached_shard_damaged",
                SFI_FIELDS(sfi_field_str("db_url", job->identity->db_url),
                           sfi_field_str("file", job->name)));
    }
    close(fd);
    return st;
}

/* --- download ----------------------------------------------------------------------------------
 */

static shardy_status write_at(const struct job *job, const uint8_t *from, size_t size,
                              uint64_t offset, shardy_error *err)
{
    while (size) {
        ssize_t n = pwrite(job->fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sfi_fail_errno(err, SHARDY_IO, n < 0 ? errno : ENOSPC,
                                  "cannot keep a shard of %" PRIu64 " bytes in %s",
                                  job->identity->size, job->cache->dir.path);
        }
        from += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return SHARDY_OK;
}

static shardy_status take_part(void *arg, uint64_t offset, struct sfi_bytes bytes,
                               shardy_error *err)
{
    struct job *job = arg;
    for (size_t at = 0; at < bytes.size; at += SFI_BLOCK_BYTES) {
        size_t left = bytes.size - at;
        sfi_checksum_block(bytes.data + at, left < SFI_BLOCK_BYTES ? left : SFI_BLOCK_BYTES,
                           job->digests +
                               SFI_DIGEST_SIZE * (size_t)((offset + at) / SFI_BLOCK_BYTES));
    }
    return write_at(job, bytes.data, bytes.size, offset, err);
}

static shardy_status check_content(struct job *job, shardy_error *err)
{
    const char *recorded = job->identity->checksum;
    sfi_checksum_text(job->digests, job->digest_count, job->checksum);
    if (*recorded && strcmp(recorded, job->checksum) != 0) {
        return sfi_fail(err, SHARDY_CORRUPT, "%s: checksum is %s, the manifest says %s",
                        job->identity->db_url, job->checksum, recorded);
    }
    return SHARDY_OK;
}

/* The first answer says that the object has the size of the manifest. Not before that other copies
 * are evicted for it: a manifest that claims too much would empty the directory. */
static shardy_status begin_copy(void *arg, uint64_t size, shardy_error *err)
{
    struct job *job = arg;
    job->digest_count = (size_t)((size + SFI_BLOCK_BYTES - 1) / SFI_BLOCK_BYTES);
    job->digests = sfi_calloc(job->digest_count, SFI_DIGEST_SIZE);
    if (!job->digests) {
        return sfi_fail_memory(err, job->digest_count * SFI_DIGEST_SIZE);
    }
    return sfi_cache_temp(&job->cache->dir, job->dir_fd, job->file_size, job->temp, &job->fd, err);
}

static shardy_status fill(struct job *job, struct sfi_store *store, const char *key,
                          shardy_error *err)
{
    const struct sfi_download_identity *id = job->identity;
    uint8_t footer[FOOTER_SIZE];
    struct sfi_transfer transfer = {.store = store,
                                    .key = key,
                                    .size = id->size,
                                    .begin = begin_copy,
                                    .write = take_part,
                                    .arg = job};
    snprintf(transfer.etag, sizeof transfer.etag, "%s", id->etag ? id->etag : "");
    SFI_RETURN_IF_ERR(sfi_transfer_run(&transfer, err));
    SFI_RETURN_IF_ERR(check_content(job, err));
    make_footer(job, footer);
    SFI_RETURN_IF_ERR(write_at(job, job->text.data, job->text.size, id->size, err));
    return write_at(job, footer, FOOTER_SIZE, id->size + job->text.size, err);
}

static shardy_status download(struct job *job, struct sfi_store *store, const char *key,
                              struct sfi_mapping *image, shardy_error *err)
{
    struct sfi_cache_dir *dir = &job->cache->dir;
    shardy_status st = SHARDY_OK;
    bool named = false;
    SFI_TRY(fill(job, store, key, err));
    SFI_TRY(map_file(job, job->fd, image, err));
    SFI_TRY(
        sfi_cache_publish(dir, job->dir_fd, job->fd, job->temp, job->name, job->file_size, err));
    named = true;
    keep(image, job->fd);
    job->fd = -1;
out:
    if (!named) {
        sfi_mapping_release(image);
        if (job->fd >= 0) {
            (void)unlinkat(job->dir_fd, job->temp, 0);
        }
    }
    if (job->fd >= 0) {
        close(job->fd);
    }
    return st;
}

/* The only one to make this copy; perhaps somebody made it while we waited. */
static shardy_status claim_and_download(struct job *job, struct sfi_store *store, const char *key,
                                        struct sfi_mapping *image, shardy_error *err)
{
    int claim;
    SFI_RETURN_IF_ERR(sfi_cache_claim(&job->cache->dir, job->dir_fd, job->name, &claim, err));
    shardy_status st = try_copy(job, image, err);
    if (st == SHARDY_OK && !image->data) {
        st = download(job, store, key, image, err);
    }
    sfi_cache_claim_release(job->dir_fd, job->name, claim);
    return st;
}

shardy_status sfi_download_open(struct sfi_download_cache *cache, struct sfi_store *store,
                                const char *key, const struct sfi_download_identity *identity,
                                struct sfi_mapping *image, shardy_error *err)
{
    struct job job = {.cache = cache, .identity = identity, .dir_fd = -1, .fd = -1};
    shardy_status st = SHARDY_OK;
    memset(image, 0, sizeof *image);
    SFI_TRY(describe(&job, err));
    SFI_TRY(sfi_cache_dir_open(&cache->dir, &job.dir_fd, err));
    SFI_TRY(try_copy(&job, image, err));
    if (!image->data) {
        SFI_TRY(claim_and_download(&job, store, key, image, err));
    }
out:
    if (job.dir_fd >= 0) {
        close(job.dir_fd);
    }
    sfi_free(job.digests);
    sfi_buf_clear(&job.text);
    return st;
}
