/*
 * test_store.c - one suite of object store behaviour over the memory store, the directory store,
 * and both behind a fault store that does nothing; and opening by URL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/parallel.h"
#include "store/store_fault.h"
#include "store_sample.h"

enum kind { KIND_MEMORY, KIND_DIR, KIND_FAULT_MEMORY, KIND_FAULT_DIR };

struct fixture {
    struct sfi_store *store;
    char path[256];
    char url[256];
};

static enum sfi_fault no_fault(void *arg, const char *operation, const char *key)
{
    (void)arg;
    assert_non_null(operation);
    assert_non_null(key);
    return SFI_FAULT_NONE;
}

static void open_kind(struct fixture *fixture, enum kind kind)
{
    static atomic_uint names;
    bool dir = kind == KIND_DIR || kind == KIND_FAULT_DIR;
    fixture->path[0] = '\0';
    if (dir) {
        make_folder(fixture->path, fixture->url);
        strncat(fixture->url, "/top/deep", sizeof fixture->url - strlen(fixture->url) - 1);
    } else {
        snprintf(fixture->url, sizeof fixture->url, "memory://store-%u/some/prefix",
                 atomic_fetch_add(&names, 1));
    }
    assert_int_equal(sfi_store_open(fixture->url, NULL, &fixture->store, NULL), SHARDY_OK);
    if (kind == KIND_FAULT_DIR || kind == KIND_FAULT_MEMORY) {
        struct sfi_store *inner = fixture->store;
        assert_int_equal(sfi_store_fault_open(inner, no_fault, NULL, &fixture->store, NULL),
                         SHARDY_OK);
        sfi_store_release(inner);
    }
}

static void delete_all(struct sfi_store *store)
{
    struct sfi_store_list list;
    assert_int_equal(sfi_store_list(store, "", true, &list, NULL), SHARDY_OK);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(sfi_store_delete(store, list.entries[i].name, NULL), SHARDY_OK);
    }
    sfi_store_list_clear(&list);
}

static void close_kind(struct fixture *fixture)
{
    delete_all(fixture->store);
    sfi_store_release(fixture->store);
    if (fixture->path[0]) {
        remove_folder(fixture->path);
    }
}

static shardy_status put(struct sfi_store *store, const char *key, const char *text,
                         enum sfi_store_condition condition, const char *etag, char *new_etag)
{
    return sfi_store_put(store, key, bytes_of(text), "text/plain", condition, etag, new_etag, NULL);
}

static void check_content(struct sfi_store *store, const char *key, const char *expected)
{
    struct sfi_buf data;
    sfi_buf_init(&data, 1 << 20);
    assert_int_equal(sfi_store_get(store, key, 0, &data, NULL, NULL), SHARDY_OK);
    assert_int_equal(data.size, strlen(expected));
    assert_memory_equal(data.data, expected, data.size);
    sfi_buf_clear(&data);
}

static void put_get_head_delete(struct sfi_store *store)
{
    struct sfi_buf data;
    char etag[SFI_ETAG_SIZE];
    char again[SFI_ETAG_SIZE];
    uint64_t size;
    sfi_buf_init(&data, 100);
    assert_int_equal(sfi_store_get(store, "a/b", 0, &data, NULL, NULL), SHARDY_NOT_FOUND);
    assert_int_equal(sfi_store_head(store, "a/b", &size, NULL, NULL), SHARDY_NOT_FOUND);
    assert_int_equal(sfi_store_delete(store, "a/b", NULL), SHARDY_OK);
    assert_int_equal(put(store, "a/b", "hello", SFI_STORE_ALWAYS, NULL, etag), SHARDY_OK);
    check_content(store, "a/b", "hello");
    assert_int_equal(sfi_store_head(store, "a/b", &size, again, NULL), SHARDY_OK);
    assert_true(size == 5);
    assert_string_equal(etag, again);
    assert_true(etag[0] == '"');
    assert_int_equal(put(store, "a/b", "", SFI_STORE_ALWAYS, NULL, again), SHARDY_OK);
    assert_string_not_equal(etag, again);
    check_content(store, "a/b", "");
    assert_int_equal(sfi_store_get(store, "a", 0, &data, NULL, NULL), SHARDY_NOT_FOUND);
    assert_int_equal(sfi_store_delete(store, "a/b", NULL), SHARDY_OK);
    assert_int_equal(sfi_store_head(store, "a/b", &size, NULL, NULL), SHARDY_NOT_FOUND);
}

static void ranges(struct sfi_store *store)
{
    static const struct {
        uint64_t offset;
        uint64_t length;
        const char *expected;
    } rows[] = {{0, 0, "0123456789"}, {3, 0, "3456789"}, {3, 4, "3456"}, {8, 10, "89"},
                {10, 0, ""},          {10, 5, ""},       {99, 1, ""},    {0, 1, "0"}};
    assert_int_equal(put(store, "r", "0123456789", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sfi_buf data;
        sfi_buf_init(&data, 100);
        assert_int_equal(
            sfi_store_get_range(store, "r", rows[i].offset, rows[i].length, &data, NULL),
            SHARDY_OK);
        assert_int_equal(data.size, strlen(rows[i].expected));
        assert_memory_equal(data.data, rows[i].expected, data.size);
        sfi_buf_clear(&data);
    }
}

static void limits(struct sfi_store *store)
{
    struct sfi_buf data;
    char etag[SFI_ETAG_SIZE] = "";
    shardy_error err = SHARDY_ERROR_INIT;
    sfi_buf_init(&data, 100);
    assert_int_equal(put(store, "l", "0123456789", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_get(store, "l", 9, &data, etag, &err), SHARDY_LIMIT);
    assert_non_null(strstr(err.message, "10 bytes"));
    assert_true(etag[0] == '"'); /* a pointer that is too large can still be replaced */
    assert_int_equal(sfi_store_get(store, "l", 10, &data, NULL, NULL), SHARDY_OK);
    sfi_buf_clear(&data);
    sfi_buf_init(&data, 4);
    assert_int_equal(sfi_store_get(store, "l", 0, &data, NULL, NULL), SHARDY_LIMIT);
    sfi_buf_clear(&data);
}

static void conditions(struct sfi_store *store)
{
    char first[SFI_ETAG_SIZE];
    char second[SFI_ETAG_SIZE];
    assert_int_equal(put(store, "c", "x", SFI_STORE_IF_MATCH, "\"0\"", NULL), SHARDY_CONFLICT);
    assert_int_equal(put(store, "c", "one", SFI_STORE_IF_ABSENT, NULL, first), SHARDY_OK);
    assert_int_equal(put(store, "c", "two", SFI_STORE_IF_ABSENT, NULL, NULL), SHARDY_CONFLICT);
    check_content(store, "c", "one");
    assert_int_equal(put(store, "c", "two", SFI_STORE_IF_MATCH, "\"0\"", NULL), SHARDY_CONFLICT);
    assert_int_equal(put(store, "c", "two", SFI_STORE_IF_MATCH, first, second), SHARDY_OK);
    assert_int_equal(put(store, "c", "three", SFI_STORE_IF_MATCH, first, NULL), SHARDY_CONFLICT);
    check_content(store, "c", "two");
    assert_int_equal(put(store, "c", "three", SFI_STORE_IF_MATCH, second, NULL), SHARDY_OK);
    check_content(store, "c", "three");
}

static void note_done(struct sfi_store_request *request)
{
    request->arg = request;
}

static void conditional_get(struct sfi_store *store)
{
    char etag[SFI_ETAG_SIZE];
    assert_int_equal(put(store, "g", "one", SFI_STORE_ALWAYS, NULL, etag), SHARDY_OK);
    for (int i = 0; i < 2; i++) {
        struct sfi_store_request request = {.verb = SFI_STORE_GET,
                                            .condition = SFI_STORE_IF_MATCH,
                                            .key = "g",
                                            .etag = i ? "\"other\"" : etag};
        struct sfi_store_request *list = &request;
        request.done = note_done;
        store->ops->submit(store, &list, 1);
        assert_ptr_equal(request.arg, &request);
        assert_int_equal(request.status, i ? SHARDY_CONFLICT : SHARDY_OK);
        sfi_buf_clear(&request.data);
    }
}

static void check_list(struct sfi_store *store, const char *prefix, bool deep, const char *expected)
{
    struct sfi_store_list list;
    char text[512] = "";
    assert_int_equal(sfi_store_list(store, prefix, deep, &list, NULL), SHARDY_OK);
    for (size_t i = 0; i < list.count; i++) {
        size_t used = strlen(text);
        if (list.entries[i].is_prefix) {
            snprintf(text + used, sizeof text - used, "%s/ ", list.entries[i].name);
        } else {
            snprintf(text + used, sizeof text - used, "%s:%d ", list.entries[i].name,
                     (int)list.entries[i].size);
        }
    }
    assert_string_equal(text, expected);
    sfi_store_list_clear(&list);
}

static void listings(struct sfi_store *store)
{
    static const char *const keys[] = {"m/b/x", "m/a", "m/b/y/z", "m/c", "ma", "m/aa/q", "top"};
    check_list(store, "", false, "");
    check_list(store, "m", false, "");
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        assert_int_equal(put(store, keys[i], keys[i], SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    }
    check_list(store, "m", false, "a:3 aa/ b/ c:3 ");
    check_list(store, "m", true, "a:3 aa/q:6 b/x:5 b/y/z:7 c:3 ");
    check_list(store, "m/b", false, "x:5 y/ ");
    check_list(store, "m/a", false, "");
    check_list(store, "missing", true, "");
    check_list(store, "", false, "m/ ma:2 top:3 ");
    assert_int_equal(sfi_store_delete(store, "m/b/y/z", NULL), SHARDY_OK);
    check_list(store, "m/b", false, "x:5 ");
}

static void uploads(struct sfi_store *store)
{
    struct sfi_upload *upload;
    char etag[SFI_ETAG_SIZE];
    char head_etag[SFI_ETAG_SIZE];
    uint64_t size;
    static char big[3 << 20];
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)next_random(&seed);
    }
    struct sfi_bytes block = {(const uint8_t *)big, sizeof big};
    assert_int_equal(sfi_store_upload(store, "u/f", NULL, 4, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->append(upload, bytes_of("tail"), NULL), SHARDY_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(upload->ops->append(upload, block, NULL), SHARDY_OK);
        assert_int_equal(upload->ops->append(upload, bytes_of(""), NULL), SHARDY_OK);
        assert_int_equal(upload->ops->append(upload, bytes_of("end"), NULL), SHARDY_OK);
    }
    check_list(store, "u", true, "");
    assert_int_equal(upload->ops->commit(upload, bytes_of("HEAD"), etag, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_head(store, "u/f", &size, head_etag, NULL), SHARDY_OK);
    assert_true(size == 8 + 4 * (sizeof big + 3));
    assert_string_equal(etag, head_etag);
    struct sfi_mapping mapping;
    assert_int_equal(sfi_store_map(store, "u/f", &mapping, NULL), SHARDY_OK);
    assert_int_equal(mapping.size, size);
    assert_string_equal(mapping.etag, etag);
    assert_memory_equal(mapping.data, "HEADtail", 8);
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(mapping.data + 8 + i * (sizeof big + 3), big, sizeof big);
        assert_memory_equal(mapping.data + 8 + (i + 1) * (sizeof big + 3) - 3, "end", 3);
    }
    /* The mapping outlives the object. */
    assert_int_equal(sfi_store_delete(store, "u/f", NULL), SHARDY_OK);
    assert_memory_equal(mapping.data, "HEADtail", 8);
    sfi_mapping_release(&mapping);
    assert_null(mapping.data);
}

static void uploads_that_end_otherwise(struct sfi_store *store)
{
    struct sfi_upload *upload;
    assert_int_equal(sfi_store_upload(store, "v/f", NULL, 0, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->append(upload, bytes_of("abc"), NULL), SHARDY_OK);
    upload->ops->abort(upload);
    check_list(store, "", true, "");
    assert_int_equal(sfi_store_upload(store, "v/f", NULL, 0, &upload, NULL), SHARDY_OK);
    assert_int_equal(put(store, "v/f", "first", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->append(upload, bytes_of("abc"), NULL), SHARDY_OK);
    assert_int_equal(upload->ops->commit(upload, bytes_of(""), NULL, NULL), SHARDY_CONFLICT);
    check_content(store, "v/f", "first");
    assert_int_equal(sfi_store_upload(store, "v/g", NULL, 2, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->append(upload, bytes_of("abc"), NULL), SHARDY_OK);
    assert_int_equal(upload->ops->commit(upload, bytes_of("x"), NULL, NULL), SHARDY_CONFIG);
    assert_int_equal(sfi_store_upload(store, "v/g", NULL, 2, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->commit(upload, bytes_of("xyz"), NULL, NULL), SHARDY_CONFIG);
    /* Nothing appended: a short head is the whole object. */
    assert_int_equal(sfi_store_upload(store, "v/h", NULL, 2, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->commit(upload, bytes_of("x"), NULL, NULL), SHARDY_OK);
    check_content(store, "v/h", "x");
    assert_int_equal(sfi_store_delete(store, "v/h", NULL), SHARDY_OK);
    assert_int_equal(sfi_store_upload(store, "v/g", NULL, 0, &upload, NULL), SHARDY_OK);
    assert_int_equal(upload->ops->commit(upload, bytes_of(""), NULL, NULL), SHARDY_OK);
    check_list(store, "", true, "v/f:5 v/g:0 ");
}

static void mappings(struct sfi_store *store)
{
    struct sfi_mapping mapping;
    char etag[SFI_ETAG_SIZE];
    assert_int_equal(sfi_store_map(store, "p", &mapping, NULL), SHARDY_NOT_FOUND);
    sfi_mapping_release(&mapping);
    assert_int_equal(put(store, "p", "", SFI_STORE_ALWAYS, NULL, etag), SHARDY_OK);
    assert_int_equal(sfi_store_map(store, "p", &mapping, NULL), SHARDY_OK);
    assert_int_equal(mapping.size, 0);
    assert_non_null(mapping.data);
    assert_string_equal(mapping.etag, etag);
    sfi_mapping_release(&mapping);
    sfi_mapping_release(NULL);
}

static void bad_keys(struct sfi_store *store)
{
    static const char *const keys[] = {"",      "/",   "a//b", "../a", "a/..",
                                       "a/./b", "a\n", "/abs", "a/"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct sfi_mapping mapping;
        struct sfi_upload *upload;
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(put(store, keys[i], "x", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_CONFIG);
        assert_int_equal(sfi_store_head(store, keys[i], NULL, NULL, &err), SHARDY_CONFIG);
        assert_int_equal(sfi_store_delete(store, keys[i], NULL), SHARDY_CONFIG);
        assert_int_equal(sfi_store_map(store, keys[i], &mapping, NULL), SHARDY_CONFIG);
        assert_int_equal(sfi_store_upload(store, keys[i], NULL, 0, &upload, NULL), SHARDY_CONFIG);
    }
}

/* Each thread adds one to a counter with compare and swap until it succeeded `ROUNDS` times. */
#define ROUNDS 40
static shardy_status count_up(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct sfi_store *store = arg;
    (void)index;
    (void)worker;
    for (int done = 0; done < ROUNDS;) {
        struct sfi_buf data;
        char etag[SFI_ETAG_SIZE];
        char text[32];
        sfi_buf_init(&data, 100);
        SFI_RETURN_IF_ERR(sfi_store_get(store, "counter", 0, &data, etag, err));
        snprintf(text, sizeof text, "%ld", strtol((const char *)data.data, NULL, 10) + 1);
        sfi_buf_clear(&data);
        shardy_status st = put(store, "counter", text, SFI_STORE_IF_MATCH, etag, NULL);
        if (st != SHARDY_OK && st != SHARDY_CONFLICT) {
            return st;
        }
        done += st == SHARDY_OK;
    }
    return SHARDY_OK;
}

static void no_update_is_lost(struct sfi_store *store)
{
    assert_int_equal(put(store, "counter", "0", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    assert_int_equal(sfi_parallel(4, 4, count_up, store, NULL), SHARDY_OK);
    check_content(store, "counter", "160");
}

/* Writers and deleters of neighbouring keys: folders come and go under the writers' feet. */
static shardy_status come_and_go(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct sfi_store *store = arg;
    char key[64];
    (void)worker;
    snprintf(key, sizeof key, "shared/folder/%zu", index);
    for (int i = 0; i < 50; i++) {
        SFI_RETURN_IF_ERR(
            sfi_store_put(store, key, bytes_of("x"), NULL, SFI_STORE_IF_ABSENT, NULL, NULL, err));
        SFI_RETURN_IF_ERR(sfi_store_head(store, key, NULL, NULL, err));
        SFI_RETURN_IF_ERR(sfi_store_delete(store, key, err));
    }
    return SHARDY_OK;
}

static void folders_come_and_go(struct sfi_store *store)
{
    shardy_error err = SHARDY_ERROR_INIT;
    if (sfi_parallel(4, 4, come_and_go, store, &err) != SHARDY_OK) {
        fail_msg("%s", err.message);
    }
    check_list(store, "", true, "");
}

static void (*const suite[])(struct sfi_store *store) = {
    put_get_head_delete,
    ranges,
    limits,
    conditions,
    conditional_get,
    listings,
    uploads,
    mappings,
    bad_keys,
    uploads_that_end_otherwise,
    no_update_is_lost,
    folders_come_and_go,
};

static void run_suite(enum kind kind)
{
    for (size_t i = 0; i < COUNT_OF(suite); i++) {
        struct fixture fixture;
        open_kind(&fixture, kind);
        suite[i](fixture.store);
        close_kind(&fixture);
    }
}

static void memory_store(void **state)
{
    (void)state;
    run_suite(KIND_MEMORY);
}

static void directory_store(void **state)
{
    (void)state;
    run_suite(KIND_DIR);
}

static void fault_store_without_faults(void **state)
{
    (void)state;
    run_suite(KIND_FAULT_MEMORY);
    run_suite(KIND_FAULT_DIR);
}

static void urls_that_open(void **state)
{
    static const struct {
        const char *url;
        const char *normal; /* NULL: refused */
        shardy_status status;
    } rows[] = {
        {"memory://a", "memory://a", SHARDY_OK},
        {"MEMORY://a//b/", "memory://a/b", SHARDY_OK},
        {"file:///nowhere/at/all", "file:///nowhere/at/all", SHARDY_OK},
        {"file:///nowhere//x///", "file:///nowhere/x", SHARDY_OK},
        {"file:////nowhere", "file:///nowhere", SHARDY_OK},
        {"File:///nowhere/a b%20c", "file:///nowhere/a b%20c", SHARDY_OK},
        {"memory://", NULL, SHARDY_CONFIG},
        {"memory:///", NULL, SHARDY_CONFIG},
        {"memory://a/../b", NULL, SHARDY_CONFIG},
        {"file:///", NULL, SHARDY_CONFIG},
        {"file://host/x", NULL, SHARDY_CONFIG},
        {"file:/x", NULL, SHARDY_CONFIG},
        {"file:///a/../b", NULL, SHARDY_CONFIG},
        {"file:///a/./b", NULL, SHARDY_CONFIG},
        {"file:///a\nb", NULL, SHARDY_CONFIG},
        {"/plain/path", NULL, SHARDY_CONFIG},
        {"", NULL, SHARDY_CONFIG},
        {"s3://bucket/prefix", "s3://bucket/prefix", SHARDY_OK},
        {"s3a://bucket/prefix", NULL, SHARDY_CONFIG},
        {"gs://bucket/prefix", NULL, SHARDY_UNSUPPORTED},
        {"http://169.254.169.254/x", NULL, SHARDY_UNSUPPORTED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sfi_store *store;
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(sfi_store_open(rows[i].url, NULL, &store, &err), rows[i].status);
        if (rows[i].normal) {
            assert_string_equal(store->url, rows[i].normal);
        } else {
            assert_null(store);
            assert_non_null(strstr(err.message, rows[i].url[0] ? rows[i].url : "URL"));
        }
        sfi_store_release(store);
    }
}

/* Two stores of one name share objects; a prefix is a view; unused names are forgotten. */
static void memory_names_are_shared(void **state)
{
    struct sfi_store *whole;
    struct sfi_store *part;
    (void)state;
    assert_int_equal(sfi_store_open("memory://shared", NULL, &whole, NULL), SHARDY_OK);
    assert_int_equal(sfi_store_open("memory://shared/p", NULL, &part, NULL), SHARDY_OK);
    assert_int_equal(put(part, "k", "v", SFI_STORE_ALWAYS, NULL, NULL), SHARDY_OK);
    check_content(whole, "p/k", "v");
    sfi_store_release(whole);
    sfi_store_release(part);
    assert_int_equal(sfi_store_open("memory://shared", NULL, &whole, NULL), SHARDY_OK);
    check_content(whole, "p/k", "v");
    assert_int_equal(sfi_store_delete(whole, "p/k", NULL), SHARDY_OK);
    sfi_store_release(sfi_store_acquire(whole));
    sfi_store_release(whole);
    sfi_store_release(NULL);
}

/* Fail the n-th allocation of a put, get, list and upload, for all n. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (enum kind kind = KIND_MEMORY; kind <= KIND_DIR; kind++) {
        struct fixture fixture;
        bool done = false;
        open_kind(&fixture, kind);
        install_failing_allocator();
        for (unsigned long n = 1; !done; n++) {
            struct sfi_buf data;
            struct sfi_store_list list = {NULL, 0};
            struct sfi_upload *upload = NULL;
            struct sfi_store *other = NULL;
            sfi_buf_init(&data, 100);
            fail_allocation(n);
            shardy_status st = sfi_store_open(fixture.url, NULL, &other, NULL);
            st = st ? st : put(fixture.store, "x/y", "text", SFI_STORE_ALWAYS, NULL, NULL);
            st = st ? st : sfi_store_get(fixture.store, "x/y", 0, &data, NULL, NULL);
            st = st ? st : sfi_store_list(fixture.store, "x", true, &list, NULL);
            st = st ? st : sfi_store_delete(fixture.store, "x/z", NULL);
            st = st ? st : sfi_store_upload(fixture.store, "x/z", NULL, 1, &upload, NULL);
            if (!st) {
                st = upload->ops->append(upload, bytes_of("more"), NULL);
                if (st) {
                    upload->ops->abort(upload);
                } else {
                    st = upload->ops->commit(upload, bytes_of("h"), NULL, NULL);
                }
            }
            done = st == SHARDY_OK;
            assert_true(done || st == SHARDY_NO_MEMORY);
            fail_allocation(0);
            sfi_buf_clear(&data);
            sfi_store_list_clear(&list);
            sfi_store_release(other);
            assert_true(n < 200);
        }
        close_kind(&fixture);
        shardy_set_allocator(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_store),
        cmocka_unit_test(directory_store),
        cmocka_unit_test(fault_store_without_faults),
        cmocka_unit_test(urls_that_open),
        cmocka_unit_test(memory_names_are_shared),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
