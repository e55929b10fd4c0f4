/*
 * test_download.c - the cache of downloaded shards (download.c, cache_dir.c, transfer.c): hits,
 * damages, bounds, single flight over threads and processes, kill -9, full disks, replaced objects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "reader/cache_dir.h"
#include "reader/download.h"
#include "reader/transfer.h"
#include "store/store_fault.h"
#include "s3_script.h"
#include "store_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OBJECT_SIZE ((size_t)9 * 1024 * 1024 + 12345)
#define PARTS       3u /* ranges of SFI_TRANSFER_RANGE */

struct world {
    char root[256];
    char folder[300];
    struct sfi_store *inner;
    struct sfi_store *store;
    uint8_t *content;
    char checksum[SFI_CHECKSUM_SIZE];
    struct sfi_download_cache *cache;
    struct sfi_download_identity identity;
    atomic_uint gets;
    unsigned fail_at;    /* the n-th GET fails; 0 = none */
    unsigned replace_at; /* before the n-th GET the object is replaced */
    unsigned delay_us;
};

static void replace_object(struct world *w)
{
    struct sfi_bytes body = {w->content, OBJECT_SIZE};
    w->content[77] ^= 1;
    assert_int_equal(
        sfi_store_put(w->inner, "a/shard.db", body, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL), 0);
    w->content[77] ^= 1;
}

static enum sfi_fault decide(void *arg, const char *operation, const char *key)
{
    struct world *w = arg;
    (void)key;
    if (strcmp(operation, "get") != 0) {
        return SFI_FAULT_NONE;
    }
    unsigned n = atomic_fetch_add(&w->gets, 1) + 1;
    if (w->delay_us) {
        usleep(w->delay_us);
    }
    if (n == w->replace_at) {
        replace_object(w);
    }
    return n == w->fail_at ? SFI_FAULT_FAIL : SFI_FAULT_NONE;
}

static void open_cache(struct world *w, uint64_t bytes)
{
    const struct sfi_download_options options = {.root = w->root, .cache_bytes = bytes};
    sfi_download_cache_free(w->cache);
    assert_int_equal(sfi_download_cache_new(&options, &w->cache, NULL), SHARDY_OK);
}

static void put(struct world *w, const char *key)
{
    struct sfi_bytes body = {w->content, OBJECT_SIZE};
    assert_int_equal(sfi_store_put(w->inner, key, body, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
                     SHARDY_OK);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    unsigned seed = 5;
    snprintf(w->root, sizeof w->root, "%s/download-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->folder, sizeof w->folder, "%s/shards", w->root);
    w->content = malloc(OBJECT_SIZE);
    for (size_t i = 0; i < OBJECT_SIZE; i++) {
        w->content[i] = (uint8_t)rand_r(&seed);
    }
    struct sfi_bytes bytes = {w->content, OBJECT_SIZE};
    sfi_shard_checksum(bytes, w->checksum);
    assert_int_equal(sfi_store_open("memory://downloads", NULL, &w->inner, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_fault_open(w->inner, decide, w, &w->store, NULL), SHARDY_OK);
    put(w, "a/shard.db");
    w->identity = (struct sfi_download_identity){.db_url = "memory://downloads/a",
                                                 .checkpoint_id = "c1",
                                                 .size = OBJECT_SIZE,
                                                 .checksum = w->checksum,
                                                 .etag = ""};
    open_cache(w, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[400];
    sfi_download_cache_free(w->cache);
    sfi_store_release(w->store);
    sfi_store_release(w->inner);
    snprintf(command, sizeof command, "rm -rf '%s'", w->root);
    assert_int_equal(system(command), 0);
    free(w->content);
    free(w);
    return 0;
}

static shardy_status open_key(struct world *w, const char *key, struct sfi_mapping *image,
                              shardy_error *err)
{
    return sfi_download_open(w->cache, w->store, key, &w->identity, image, err);
}

/* Open, compare every byte, release; `gets` requests were made. */
static void check_open(struct world *w, const char *key, unsigned gets)
{
    struct sfi_mapping image;
    shardy_error err = SHARDY_ERROR_INIT;
    atomic_store(&w->gets, 0);
    if (open_key(w, key, &image, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(image.size, OBJECT_SIZE);
    assert_memory_equal(image.data, w->content, OBJECT_SIZE);
    sfi_mapping_release(&image);
    assert_int_equal(atomic_load(&w->gets), gets);
}

/* Files of the cache directory; `name` receives the last entry's path. */
static unsigned count_files(const struct world *w, char *name, size_t size)
{
    char command[500];
    char line[256];
    unsigned count = 0;
    snprintf(command, sizeof command, "ls -A '%s' 2>/dev/null", w->folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof line, pipe)) {
        line[strcspn(line, "\n")] = '\0';
        if (name) {
            snprintf(name, size, "%s/%s", w->folder, line);
        }
        count++;
    }
    pclose(pipe);
    return count;
}

static void test_hit(void **state)
{
    struct world *w = *state;
    char path[600];
    struct stat info;
    check_open(w, "a/shard.db", PARTS);
    check_open(w, "a/shard.db", 0);
    assert_int_equal(count_files(w, path, sizeof path), 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(w->folder, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    open_cache(w, 0); /* another process of the same user */
    check_open(w, "a/shard.db", 0);
    w->identity.checkpoint_id = "c2";
    check_open(w, "a/shard.db", PARTS);
    w->identity.checkpoint_id = NULL;
    check_open(w, "a/shard.db", PARTS);
    w->identity.checksum = "";
    check_open(w, "a/shard.db", PARTS);
    check_open(w, "a/shard.db", 0);
    assert_int_equal(count_files(w, NULL, 0), 4);
}

static void damage(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_damaged_copies(void **state)
{
    struct world *w = *state;
    char path[600];
    struct stat info;
    check_open(w, "a/shard.db", PARTS);
    assert_int_equal(count_files(w, path, sizeof path), 1);
    assert_int_equal(stat(path, &info), 0);
    const off_t places[] = {0,
                            5 << 20,
                            (off_t)OBJECT_SIZE - 1,
                            (off_t)OBJECT_SIZE + 3,
                            info.st_size - 90,
                            info.st_size - 40,
                            info.st_size - 20,
                            info.st_size - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        damage(path, places[i]);
        check_open(w, "a/shard.db", PARTS);
        check_open(w, "a/shard.db", 0);
    }
    const off_t sizes[] = {0, 1, 4096, (off_t)OBJECT_SIZE, info.st_size - 1, info.st_size + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        check_open(w, "a/shard.db", PARTS);
        check_open(w, "a/shard.db", 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    check_open(w, "a/shard.db", PARTS);
    check_open(w, "a/shard.db", 0);
}

static void expect(struct world *w, const char *key, shardy_status status, const char *words)
{
    struct sfi_mapping image;
    shardy_error err = SHARDY_ERROR_INIT;
    assert_int_equal(open_key(w, key, &image, &err), status);
    assert_null(image.data);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    }
    assert_int_equal(count_files(w, NULL, 0), 0);
}

static void test_refused(void **state)
{
    struct world *w = *state;
    char other[SFI_CHECKSUM_SIZE];
    snprintf(other, sizeof other, "%s", w->checksum);
    other[20] = other[20] == '0' ? '1' : '0';
    w->identity.checksum = other;
    expect(w, "a/shard.db", SHARDY_CORRUPT, "checksum");
    w->identity.checksum = w->checksum;
    w->identity.size--;
    expect(w, "a/shard.db", SHARDY_CORRUPT, "the manifest says");
    w->identity.size += 2;
    expect(w, "a/shard.db", SHARDY_CORRUPT, "the manifest says");
    w->identity.size--;
    expect(w, "b/shard.db", SHARDY_NOT_FOUND, "b/shard.db");
    w->identity.etag = "\"other\"";
    expect(w, "a/shard.db", SHARDY_CONFLICT, "replaced");
    w->identity.etag = "";
    for (unsigned n = 1; n <= PARTS; n++) {
        atomic_store(&w->gets, 0);
        w->fail_at = n;
        expect(w, "a/shard.db", SHARDY_STORE, "");
    }
    w->fail_at = 0;
    for (unsigned n = 2; n <= PARTS; n++) {
        atomic_store(&w->gets, 0);
        w->replace_at = n;
        expect(w, "a/shard.db", SHARDY_CONFLICT, "replaced");
        put(w, "a/shard.db");
    }
    w->replace_at = 0;
    check_open(w, "a/shard.db", PARTS);
}

static void test_bound(void **state)
{
    struct world *w = *state;
    struct sfi_mapping held;
    shardy_error err = SHARDY_ERROR_INIT;
    put(w, "b/shard.db");
    put(w, "c/shard.db");
    open_cache(w, OBJECT_SIZE);
    assert_int_equal(open_key(w, "a/shard.db", &held, &err), SHARDY_IO);
    assert_non_null(strstr(err.message, "cache_bytes"));
    open_cache(w, OBJECT_SIZE * 5 / 2);
    check_open(w, "a/shard.db", PARTS);
    w->identity.db_url = "memory://downloads/b";
    check_open(w, "b/shard.db", PARTS);
    w->identity.db_url = "memory://downloads/a";
    check_open(w, "a/shard.db", 0); /* b is the least recently used one now */
    w->identity.db_url = "memory://downloads/c";
    check_open(w, "c/shard.db", PARTS);
    w->identity.db_url = "memory://downloads/a";
    check_open(w, "a/shard.db", 0);
    w->identity.db_url = "memory://downloads/b";
    check_open(w, "b/shard.db", PARTS);
    assert_int_equal(count_files(w, NULL, 0), 2);
    /* What is in use stays. */
    assert_int_equal(open_key(w, "b/shard.db", &held, NULL), SHARDY_OK);
    w->identity.db_url = "memory://downloads/c";
    check_open(w, "c/shard.db", PARTS);
    w->identity.db_url = "memory://downloads/a";
    check_open(w, "a/shard.db", PARTS);
    w->identity.db_url = "memory://downloads/b";
    check_open(w, "b/shard.db", 0);
    assert_memory_equal(held.data, w->content, OBJECT_SIZE);
    sfi_mapping_release(&held);
}

/* A manifest that claims too much does not empty the directory: the object is asked first. */
static void test_false_sizes(void **state)
{
    struct world *w = *state;
    struct sfi_mapping image;
    const uint64_t claims[] = {OBJECT_SIZE * 2, UINT64_C(1) << 40, UINT64_C(1) << 62};
    open_cache(w, 0);
    check_open(w, "a/shard.db", PARTS);
    open_cache(w, OBJECT_SIZE * 5 / 2);
    w->identity.checkpoint_id = "other";
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        w->identity.size = claims[i];
        assert_int_equal(open_key(w, "a/shard.db", &image, &err), SHARDY_CORRUPT);
        assert_non_null(strstr(err.message, "the manifest says"));
        assert_int_equal(count_files(w, NULL, 0), 1);
    }
    w->identity.size = OBJECT_SIZE;
    w->identity.checkpoint_id = "c1";
    check_open(w, "a/shard.db", 0);
}

static void *open_thread(void *arg)
{
    struct world *w = arg;
    struct sfi_mapping image;
    bool good = open_key(w, "a/shard.db", &image, NULL) == SHARDY_OK &&
                memcmp(image.data, w->content, OBJECT_SIZE) == 0;
    sfi_mapping_release(&image);
    return good ? w : NULL;
}

static void test_one_download_for_all_threads(void **state)
{
    struct world *w = *state;
    pthread_t threads[16];
    void *result;
    w->delay_us = 2000;
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_thread, w), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, w);
    }
    assert_int_equal(atomic_load(&w->gets), PARTS);
    assert_int_equal(count_files(w, NULL, 0), 1);
}

static void test_killed_maker(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 12; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            w->delay_us = 1000 * (i % 6);
            _exit(open_thread(w) ? 0 : 1);
        }
        usleep(500 + 1500 * i);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        w->identity.checkpoint_id = i % 2 ? "x" : "y";
        open_cache(w, 0);
        check_open(w, "a/shard.db", i >= 2 ? 0 : PARTS);
        check_open(w, "a/shard.db", 0);
    }
    open_cache(w, 0);
    w->identity.checkpoint_id = "fresh";
    check_open(w, "a/shard.db", PARTS); /* looks at the directory and tidies it */
    char path[600];
    assert_true(count_files(w, path, sizeof path) <= 4);
    assert_null(strstr(path, ".tmp-"));
}

/* No file may be larger than half the object: what a full disk does at that place. */
static void test_no_space(void **state)
{
    struct world *w = *state;
    struct sfi_mapping image;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit half = {OBJECT_SIZE / 2, OBJECT_SIZE / 2};
        shardy_error err = SHARDY_ERROR_INIT;
        signal(SIGXFSZ, SIG_IGN);
        bool good = setrlimit(RLIMIT_FSIZE, &half) == 0 &&
                    open_key(w, "a/shard.db", &image, &err) == SHARDY_IO && !image.data &&
                    strstr(err.message, w->folder) && count_files(w, NULL, 0) == 0;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_open(w, "a/shard.db", PARTS);
}

static void test_directory(void **state)
{
    struct world *w = *state;
    struct sfi_mapping image;
    shardy_error err = SHARDY_ERROR_INIT;
    assert_int_equal(mkdir(w->folder, 0777), 0);
    assert_int_equal(chmod(w->folder, 0777), 0);
    assert_int_equal(open_key(w, "a/shard.db", &image, &err), SHARDY_IO);
    assert_non_null(strstr(err.message, "local_root"));
    assert_int_equal(rmdir(w->folder), 0);
    assert_int_equal(symlink("/tmp", w->folder), 0);
    assert_int_equal(open_key(w, "a/shard.db", &image, &err), SHARDY_IO);
    assert_int_equal(unlink(w->folder), 0);
    int file = open(w->folder, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(open_key(w, "a/shard.db", &image, &err), SHARDY_IO);
    assert_int_equal(unlink(w->folder), 0);
    check_open(w, "a/shard.db", PARTS);
}

/* --- transfers ---------------------------------------------------------------------------------
 */

struct sink {
    uint8_t *to;
    uint64_t size;
    unsigned begins;
};

static shardy_status begin(void *arg, uint64_t size, shardy_error *err)
{
    struct sink *sink = arg;
    (void)err;
    sink->begins++;
    sink->size = size;
    return SHARDY_OK;
}

static shardy_status take(void *arg, uint64_t offset, struct sfi_bytes bytes, shardy_error *err)
{
    struct sink *sink = arg;
    (void)err;
    assert_int_equal(sink->begins, 1);
    assert_true(offset % SFI_TRANSFER_RANGE == 0 && offset + bytes.size <= sink->size);
    memcpy(sink->to + offset, bytes.data, bytes.size);
    return SHARDY_OK;
}

static shardy_status refuse(void *arg, uint64_t offset, struct sfi_bytes bytes, shardy_error *err)
{
    (void)arg;
    (void)bytes;
    return offset ? sfi_fail(err, SHARDY_CANCELLED, "enough") : SHARDY_OK;
}

static void test_transfer(void **state)
{
    struct world *w = *state;
    const uint64_t sizes[] = {0, OBJECT_SIZE};
    for (size_t i = 0; i < 2; i++) {
        struct sink sink = {.to = calloc(1, OBJECT_SIZE)};
        struct sfi_transfer transfer = {.store = w->store,
                                        .key = "a/shard.db",
                                        .size = sizes[i],
                                        .begin = begin,
                                        .write = take,
                                        .arg = &sink};
        assert_int_equal(sfi_transfer_run(&transfer, NULL), SHARDY_OK);
        assert_int_equal(transfer.size, OBJECT_SIZE);
        assert_memory_equal(sink.to, w->content, OBJECT_SIZE);
        assert_true(transfer.etag[0] == '"');
        free(sink.to);
        transfer.write = refuse;
        transfer.begin = NULL;
        assert_int_equal(sfi_transfer_run(&transfer, NULL), SHARDY_CANCELLED);
        transfer.size = 0;
        transfer.max_bytes = OBJECT_SIZE - 1;
        assert_int_equal(sfi_transfer_run(&transfer, NULL), SHARDY_LIMIT);
    }
}

/* When one range fails the others are not waited for: they would be tried again. */
static void test_transfer_gives_up_at_once(void **state)
{
    static const struct step steps[] = {{.kind = STEP_HANG}, {.kind = STEP_HANG}, {.status = 404}};
    static const shardy_store_option soon = {"read_timeout", "1"};
    (void)state;
    script_environment();
    struct script *script = script_start(steps, PARTS);
    struct sfi_store *store = script_store(script, &soon, 1, NULL);
    struct sfi_transfer transfer = {.store = store, .key = "shard.db", .size = OBJECT_SIZE};
    assert_int_equal(sfi_transfer_run(&transfer, NULL), SHARDY_NOT_FOUND);
    assert_int_equal(atomic_load(&script->seen_count), PARTS);
    sfi_store_release(store);
    script_stop(script);
}

static void *make_entries(void *arg)
{
    const struct world *w = arg;
    static const char name[] = "0123456789abcdef0123456789abcdef";
    size_t failures = 0;
    for (int i = 0; i < 500; i++) {
        struct sfi_cache_dir dir;
        char temp[SFI_CACHE_TEMP_SIZE];
        int dir_fd = -1;
        int fd = -1;
        /* A fresh view of the directory sweeps it, also of what others are just making. */
        failures += sfi_cache_dir_init(&dir, w->root, 0, NULL) != SHARDY_OK ||
                    sfi_cache_dir_open(&dir, &dir_fd, NULL) != SHARDY_OK ||
                    sfi_cache_temp(&dir, dir_fd, 4096, temp, &fd, NULL) != SHARDY_OK ||
                    sfi_cache_publish(&dir, dir_fd, fd, temp, name, 4096, NULL) != SHARDY_OK;
        if (fd >= 0) {
            close(fd);
        }
        close(dir_fd);
        sfi_cache_dir_clear(&dir);
    }
    return (void *)(uintptr_t)failures;
}

static void test_sweeps_leave_what_is_being_made(void **state)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_entries, *state), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *failures;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hit),
        TEST(test_damaged_copies),
        TEST(test_refused),
        TEST(test_bound),
        TEST(test_false_sizes),
        TEST(test_one_download_for_all_threads),
        TEST(test_killed_maker),
        TEST(test_no_space),
        TEST(test_directory),
        TEST(test_transfer),
        cmocka_unit_test(test_transfer_gives_up_at_once),
        TEST(test_sweeps_leave_what_is_being_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
