/*
 * test_store_dir.c - what only the directory store has: files, links, locks, temporary files,
 * killed writers, full disks, and messages that name the path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct folder {
    char path[256];
    char url[256];
    struct sfi_store *store;
};

static void open_folder(struct folder *folder)
{
    make_folder(folder->path, folder->url);
    assert_int_equal(sfi_store_open(folder->url, NULL, &folder->store, NULL), SHARDY_OK);
}

static void close_folder(struct folder *folder)
{
    sfi_store_release(folder->store);
    remove_folder(folder->path);
}

static const char *below(const struct folder *folder, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", folder->path, name);
    return out;
}

static shardy_status put(struct folder *folder, const char *key, const char *text,
                         shardy_error *err)
{
    return sfi_store_put(folder->store, key, bytes_of(text), NULL, SFI_STORE_ALWAYS, NULL, NULL,
                         err);
}

static size_t count_objects(struct folder *folder, const char *prefix, bool deep)
{
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(folder->store, prefix, deep, &list, NULL), SHARDY_OK);
    size_t count = list.count;
    sfi_store_list_clear(&list);
    return count;
}

static void objects_are_files(void **state)
{
    struct folder folder;
    char path[512];
    char text[16] = "";
    (void)state;
    open_folder(&folder);
    assert_int_equal(put(&folder, "a/b/c", "text", NULL), SHARDY_OK);
    FILE *file = fopen(below(&folder, "a/b/c", path), "rb");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text, file), 4);
    fclose(file);
    assert_string_equal(text, "text");
    /* Emptied folders go, up to the root. */
    assert_int_equal(put(&folder, "a/x", "text", NULL), SHARDY_OK);
    assert_int_equal(sfi_store_delete(folder.store, "a/b/c", NULL), SHARDY_OK);
    assert_int_equal(access(below(&folder, "a/b", path), F_OK), -1);
    assert_int_equal(access(below(&folder, "a/x", path), F_OK), 0);
    assert_int_equal(sfi_store_delete(folder.store, "a/x", NULL), SHARDY_OK);
    assert_int_equal(access(below(&folder, "a", path), F_OK), -1);
    assert_int_equal(access(folder.path, F_OK), 0);
    close_folder(&folder);
}

static void leftovers_are_not_objects(void **state)
{
    static const char *const reserved[] = {".tmp-1-2", "a/.tmp-x", "a/.tmp-x/b", ".lock"};
    struct folder folder;
    char path[512];
    (void)state;
    open_folder(&folder);
    assert_int_equal(put(&folder, "a/b", "text", NULL), SHARDY_OK);
    assert_int_equal(mkdir(below(&folder, "empty", path), 0777), 0);
    assert_int_equal(mkdir(below(&folder, "half", path), 0777), 0);
    close(open(below(&folder, "half/.tmp-12-ab", path), O_CREAT | O_WRONLY, 0666));
    close(open(below(&folder, ".tmp-12-ab", path), O_CREAT | O_WRONLY, 0666));
    assert_int_equal(count_objects(&folder, "", false), 1);
    assert_int_equal(count_objects(&folder, "", true), 1);
    assert_int_equal(count_objects(&folder, "half", false), 0);
    for (size_t i = 0; i < COUNT_OF(reserved); i++) {
        assert_int_equal(put(&folder, reserved[i], "x", NULL), SHARDY_CONFIG);
    }
    close_folder(&folder);
}

static void links_are_not_followed(void **state)
{
    struct folder folder;
    char path[512];
    struct sfi_mapping mapping;
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    open_folder(&folder);
    sfi_buf_init(&data, 1 << 20);
    assert_int_equal(symlink("/etc/passwd", below(&folder, "link", path)), 0);
    assert_int_equal(mkfifo(below(&folder, "pipe", path), 0666), 0);
    assert_int_equal(sfi_store_get(folder.store, "link", 0, &data, NULL, &err), SHARDY_IO);
    assert_non_null(strstr(err.message, "link"));
    assert_int_equal(err.detail, ELOOP);
    assert_int_equal(sfi_store_map(folder.store, "link", &mapping, &err), SHARDY_IO);
    assert_int_equal(sfi_store_map(folder.store, "pipe", &mapping, &err), SHARDY_IO);
    assert_int_equal(sfi_store_get(folder.store, "pipe", 0, &data, NULL, &err), SHARDY_IO);
    assert_int_equal(count_objects(&folder, "", true), 0);
    /* Writing replaces the link itself. */
    assert_int_equal(put(&folder, "link", "mine", NULL), SHARDY_OK);
    assert_int_equal(sfi_store_get(folder.store, "link", 0, &data, NULL, NULL), SHARDY_OK);
    assert_int_equal(data.size, 4);
    sfi_buf_clear(&data);
    close_folder(&folder);
}

static void a_file_in_the_way(void **state)
{
    struct folder folder;
    struct sfi_buf data;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    open_folder(&folder);
    sfi_buf_init(&data, 100);
    assert_int_equal(put(&folder, "a", "text", NULL), SHARDY_OK);
    assert_int_equal(put(&folder, "a/b", "text", &err), SHARDY_IO);
    assert_non_null(strstr(err.message, "a/b"));
    assert_int_equal(sfi_store_get(folder.store, "a/b", 0, &data, NULL, NULL), SHARDY_NOT_FOUND);
    assert_int_equal(sfi_store_delete(folder.store, "a/b", NULL), SHARDY_OK);
    assert_int_equal(put(&folder, "d/e", "text", NULL), SHARDY_OK);
    assert_int_equal(put(&folder, "d", "text", &err), SHARDY_IO);
    close_folder(&folder);
}

static void no_permission(void **state)
{
    struct folder folder;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    open_folder(&folder);
    assert_int_equal(chmod(folder.path, 0555), 0);
    /* Root may write everywhere: be nobody for a moment. */
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    shardy_status st = put(&folder, "a/b", "text", &err);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(st, SHARDY_IO);
    assert_int_equal(err.detail, EACCES);
    assert_non_null(strstr(err.message, "permission"));
    assert_int_equal(chmod(folder.path, 0777), 0);
    close_folder(&folder);
}

/* A file size limit stands for the full disk: the write fails midway, and nothing stays. */
static void a_write_that_fails_leaves_nothing(void **state)
{
    struct folder folder;
    struct sfi_upload *upload;
    static uint8_t block[1 << 20];
    const struct sfi_bytes bytes = {block, sizeof block};
    shardy_error err = SHARDY_ERROR_INIT;
    struct rlimit old;
    (void)state;
    open_folder(&folder);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {1500000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(sfi_store_upload(folder.store, "u/f", NULL, 10, &upload, NULL), SHARDY_OK);
    shardy_status st = SHARDY_OK;
    for (int i = 0; i < 3 && st == SHARDY_OK; i++) {
        st = upload->ops->append(upload, bytes, &err);
    }
    upload->ops->abort(upload);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, SHARDY_IO);
    assert_int_equal(err.detail, EFBIG);
    assert_non_null(strstr(err.message, "u/f"));
    assert_non_null(strstr(err.message, "bytes"));
    assert_int_equal(count_objects(&folder, "", true), 0);
    char path[512];
    assert_int_equal(access(below(&folder, "u", path), F_OK), -1);
    close_folder(&folder);
}

/* Large objects are identified by inode, size and time; replacing one changes the ETag. */
static void large_objects_have_etags(void **state)
{
    struct folder folder;
    static uint8_t block[100000];
    const struct sfi_bytes bytes = {block, sizeof block};
    char first[SFI_ETAG_SIZE];
    char second[SFI_ETAG_SIZE];
    struct sfi_mapping mapping;
    (void)state;
    open_folder(&folder);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sfi_store_put(folder.store, "big", bytes, NULL, SFI_STORE_ALWAYS, NULL,
                                       i ? second : first, NULL),
                         SHARDY_OK);
    }
    assert_string_not_equal(first, second);
    assert_int_equal(
        sfi_store_put(folder.store, "big", bytes, NULL, SFI_STORE_IF_MATCH, first, NULL, NULL),
        SHARDY_CONFLICT);
    assert_int_equal(sfi_store_map(folder.store, "big", &mapping, NULL), SHARDY_OK);
    assert_string_equal(mapping.etag, second);
    sfi_mapping_release(&mapping);
    close_folder(&folder);
}

/* Kill a process that uploads and puts in a loop: only complete objects are visible. */
static void killed_writers_leave_no_objects(void **state)
{
    struct folder folder;
    uint64_t seed = 99;
    (void)state;
    open_folder(&folder);
    for (int round = 0; round < 15; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            static uint8_t block[1 << 20];
            const struct sfi_bytes bytes = {block, sizeof block};
            for (unsigned i = 0;; i++) {
                char key[64];
                struct sfi_upload *upload;
                snprintf(key, sizeof key, "r%d/%u", round, i);
                if (sfi_store_upload(folder.store, key, NULL, 3, &upload, NULL) == SHARDY_OK) {
                    (void)upload->ops->append(upload, bytes, NULL);
                    (void)upload->ops->commit(upload, bytes_of("HED"), NULL, NULL);
                }
                (void)put(&folder, "pointer", i % 2 ? "even" : "odd.", NULL);
            }
        }
        usleep(500 + (useconds_t)(next_random(&seed) % 20000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(folder.store, "", true, &list, NULL), SHARDY_OK);
    for (size_t i = 0; i < list.count; i++) {
        assert_true(list.entries[i].size == 4 || list.entries[i].size == (1 << 20) + 3);
    }
    print_message("# %zu objects survived\n", list.count);
    sfi_store_list_clear(&list);
    /* A killed process does not keep the lock. */
    assert_int_equal(put(&folder, "pointer", "next", NULL), SHARDY_OK);
    close_folder(&folder);
}

/* Readers of an object that is replaced all the time see one whole version or another. */
static void readers_see_whole_objects(void **state)
{
    struct folder folder;
    static char bodies[2][50000];
    (void)state;
    open_folder(&folder);
    memset(bodies[0], 'a', sizeof bodies[0]);
    memset(bodies[1], 'b', sizeof bodies[1]);
    struct sfi_bytes first = {(const uint8_t *)bodies[0], sizeof bodies[0]};
    assert_int_equal(
        sfi_store_put(folder.store, "k", first, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL),
        SHARDY_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (unsigned i = 0;; i++) {
            struct sfi_bytes body = {(const uint8_t *)bodies[i % 2], sizeof bodies[0]};
            (void)sfi_store_put(folder.store, "k", body, NULL, SFI_STORE_ALWAYS, NULL, NULL, NULL);
        }
    }
    for (int i = 0; i < 500; i++) {
        struct sfi_buf data;
        sfi_buf_init(&data, 1 << 20);
        assert_int_equal(sfi_store_get(folder.store, "k", 0, &data, NULL, NULL), SHARDY_OK);
        assert_int_equal(data.size, sizeof bodies[0]);
        assert_memory_equal(data.data, bodies[data.data[0] == 'b'], sizeof bodies[0]);
        sfi_buf_clear(&data);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close_folder(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_files),
        cmocka_unit_test(leftovers_are_not_objects),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(a_file_in_the_way),
        cmocka_unit_test(no_permission),
        cmocka_unit_test(a_write_that_fails_leaves_nothing),
        cmocka_unit_test(large_objects_have_etags),
        cmocka_unit_test(killed_writers_leave_no_objects),
        cmocka_unit_test(readers_see_whole_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
