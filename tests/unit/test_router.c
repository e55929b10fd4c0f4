/*
 * test_router.c - eager and lazy routers, whole columns, and groups (router.c, router_group.c,
 * shard_info.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/limits.h"
#include "key_sample.h"
#include "routing/routing.h"
#include "routing/shard_info.h"

static shardy_router_options options_for(uint32_t num_dbs)
{
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    options.num_dbs = num_dbs;
    return options;
}

static shardy_router *make_router(uint32_t num_dbs, const shardy_shard_info *shards, size_t count)
{
    shardy_router_options options = options_for(num_dbs);
    shardy_router *router;
    assert_int_equal(shardy_router_new(&options, shards, count, &router, NULL), SHARDY_OK);
    return router;
}

static const shardy_shard_info sample_shards[] = {
    {.db_id = 3, .db_url = "file:///old", .row_count = 1, .writer_info = "{}"},
    {.db_id = 9, .db_url = "file:///outside", .row_count = 1, .writer_info = "{}"},
    {.db_id = 1,
     .attempt = 2,
     .db_url = "file:///one",
     .checkpoint_id = "c1",
     .row_count = 7,
     .db_bytes = 4096,
     .has_min_key = true,
     .has_max_key = true,
     .min_key = {SHARDY_KIND_STR, 0, "", 0},
     .max_key = {SHARDY_KIND_BYTES, 0, "z\0z", 3},
     .writer_info = "{\"a\": 1}"},
    {.db_id = 3,
     .db_url = "file:///new",
     .row_count = 2,
     .has_max_key = true,
     .max_key = {SHARDY_KIND_INT, 42, "ignored", 7}},
};

static void eager_router_knows_its_shards(void **state)
{
    shardy_router *router = make_router(5, sample_shards, COUNT_OF(sample_shards));
    shardy_shard_info info;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_false(shardy_router_is_lazy(router));
    assert_int_equal(shardy_router_num_dbs(router), 5);
    assert_int_equal(shardy_router_get_shard(router, 1, &info, NULL), SHARDY_OK);
    assert_string_equal(info.db_url, "file:///one");
    assert_ptr_not_equal(info.db_url, sample_shards[2].db_url);
    assert_string_equal(info.checkpoint_id, "c1");
    assert_string_equal(info.writer_info, "{\"a\": 1}");
    assert_true(info.attempt == 2 && info.row_count == 7 && info.db_bytes == 4096);
    assert_true(info.has_min_key && info.min_key.size == 0 && info.min_key.data != NULL);
    assert_int_equal(info.max_key.size, 3);
    assert_memory_equal(info.max_key.data, "z\0z", 3);
    shardy_shard_info_clear(&info);
    assert_null(info.owner);
    assert_int_equal(shardy_router_get_shard(router, 3, &info, NULL), SHARDY_OK);
    assert_string_equal(info.db_url, "file:///new"); /* the last of equal ids */
    assert_string_equal(info.writer_info, "{}");
    assert_true(!info.has_min_key && info.max_key.number == 42);
    shardy_shard_info_clear(&info);
    assert_int_equal(shardy_router_get_shard(router, 5, &info, &err), SHARDY_CONFIG);
    assert_string_equal(err.message, "shard 5 is out of range: the snapshot has 5 shards");
    assert_null(info.owner);
    shardy_router_free(router);
    shardy_router_free(NULL);
}

static void missing_shards_are_empty(void **state)
{
    shardy_router *router = make_router(SFI_SHARDS_MAX, sample_shards, COUNT_OF(sample_shards));
    static const uint32_t ids[] = {0, 2, 4, SFI_SHARDS_MAX - 1};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        shardy_shard_info info;
        assert_int_equal(shardy_router_get_shard(router, ids[i], &info, NULL), SHARDY_OK);
        assert_int_equal(info.db_id, ids[i]);
        assert_null(info.db_url);
        assert_true(info.row_count == 0 && info.attempt == 0 && info.db_bytes == 0);
        assert_string_equal(info.writer_info, "{}");
        shardy_shard_info_clear(&info);
    }
    shardy_router_free(router);
}

static shardy_status lookup(void *arg, uint32_t db_id, shardy_shard_info *info, shardy_error *err)
{
    *(uint32_t *)arg = db_id;
    info->db_id = db_id == 2 ? 1 : db_id;
    info->row_count = 77;
    if (db_id == 3) {
        return sfi_fail(err, SHARDY_STORE, "no answer");
    }
    return db_id == 4 ? SHARDY_CORRUPT : SHARDY_OK;
}

static void lazy_router_asks_its_lookup(void **state)
{
    static const struct {
        uint32_t db_id;
        shardy_status status;
        const char *message;
    } cases[] = {{2, SHARDY_CONFIG, "shard lookup gave shard 1 when asked for 2"},
                 {3, SHARDY_STORE, "no answer"},
                 {4, SHARDY_CORRUPT, "shard lookup failed for shard 4"}};
    shardy_router_options options = options_for(5);
    shardy_router *router;
    shardy_shard_info info;
    uint32_t asked = 99;
    (void)state;
    assert_int_equal(shardy_router_from_build_meta(&options, lookup, &asked, &router, NULL),
                     SHARDY_OK);
    assert_true(shardy_router_is_lazy(router));
    assert_int_equal(asked, 99);
    assert_int_equal(shardy_router_get_shard(router, 1, &info, NULL), SHARDY_OK);
    assert_int_equal(asked, 1);
    assert_int_equal(info.row_count, 77);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(shardy_router_get_shard(router, cases[i].db_id, &info, &err),
                         cases[i].status);
        assert_int_equal(err.status, cases[i].status);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(info.row_count, 0);
    }
    assert_int_equal(shardy_router_get_shard(router, 5, &info, NULL), SHARDY_CONFIG);
    assert_int_equal(asked, 4);
    shardy_router_free(router);
    assert_int_equal(shardy_router_from_build_meta(&options, NULL, NULL, &router, NULL),
                     SHARDY_CONFIG);
    assert_null(router);
}

static void refuses_bad_options(void **state)
{
    shardy_router_options bad[5];
    static const shardy_status expected[] = {SHARDY_CONFIG, SHARDY_CONFIG, SHARDY_CONFIG,
                                             SHARDY_CONFIG, SHARDY_CONFIG};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = options_for(4);
    }
    bad[0].struct_size = 0;
    bad[1].num_dbs = 0;
    bad[2].sharding = SHARDY_SHARDING_CEL;
    bad[3].key_encoding = (shardy_key_encoding)4;
    bad[4].num_dbs = SFI_SHARDS_MAX + 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        shardy_router *router = (shardy_router *)(void *)&bad;
        shardy_error err = SHARDY_ERROR_INIT;
        assert_int_equal(shardy_router_new(&bad[i], NULL, 0, &router, &err), expected[i]);
        assert_int_equal(err.status, expected[i]);
        assert_null(router);
    }
    shardy_router *router;
    assert_int_equal(shardy_router_new(NULL, NULL, 0, &router, NULL), SHARDY_CONFIG);
    bad[0] = options_for(4);
    assert_int_equal(shardy_router_new(&bad[0], NULL, 1, &router, NULL), SHARDY_CONFIG);
    assert_null(router);
}

static void routes_keys_and_refuses_contexts(void **state)
{
    shardy_router *router = make_router(1000, NULL, 0);
    shardy_context context = {NULL, 0};
    shardy_key key = shardy_key_int(42);
    shardy_key large = shardy_key_uint(UINT64_MAX);
    shardy_key_groups groups;
    shardy_error err = SHARDY_ERROR_INIT;
    uint32_t db_id;
    (void)state;
    assert_int_equal(shardy_router_route(router, &key, NULL, &db_id, NULL), SHARDY_OK);
    assert_int_equal(db_id, 720);
    assert_int_equal(shardy_router_route(router, &large, NULL, &db_id, NULL), SHARDY_INPUT);
    assert_int_equal(shardy_router_route(router, &key, &context, &db_id, NULL), SHARDY_CONFIG);
    assert_int_equal(shardy_router_group_keys(router, &key, 1, &context, &groups, NULL),
                     SHARDY_CONFIG);
    assert_int_equal(shardy_router_route_with_context(router, &context, &db_id, &err),
                     SHARDY_CONFIG);
    assert_non_null(strstr(err.message, "route_with_context requires CEL sharding strategy"));
    shardy_router_free(router);
}

static void routes_columns(void **state)
{
    static const uint64_t numbers[4] = {0, 42, UINT64_MAX, 7};
    static const int32_t offsets[3] = {0, 2, 4};
    shardy_router *router = make_router(1000, NULL, 0);
    struct sample_column column;
    shardy_error err = SHARDY_ERROR_INIT;
    uint32_t ids[4] = {0};
    (void)state;
    sample_column_init(&column, "L", 2, numbers, NULL);
    assert_int_equal(shardy_router_route_column(router, &column.schema, &column.array, ids, NULL),
                     SHARDY_OK);
    assert_true(ids[0] == 897 && ids[1] == 720);
    column.array.offset = 1;
    assert_int_equal(shardy_router_route_column(router, &column.schema, &column.array, ids, &err),
                     SHARDY_INPUT);
    assert_string_equal(err.message, "row 1: integer key 18446744073709551615 out of range "
                                     "[-9223372036854775808, 9223372036854775807]");
    sample_column_init(&column, "u", 2, offsets, "euus");
    assert_int_equal(shardy_router_route_column(router, &column.schema, &column.array, ids, NULL),
                     SHARDY_OK);
    assert_true(ids[0] == 735 && ids[1] == 397);
    column.schema.format = "+l";
    assert_int_equal(shardy_router_route_column(router, &column.schema, &column.array, ids, NULL),
                     SHARDY_CONFIG);
    assert_int_equal(shardy_router_route_column(router, NULL, NULL, ids, NULL), SHARDY_CONFIG);
    shardy_router_free(router);
}

static void groups_keep_order_and_duplicates(void **state)
{
    /* Shards of 3: 42 -> 1, 0 -> 2, 256 -> 0 (see the vectors). */
    static const int64_t numbers[] = {42, 0, 42, 256, 7, 2, 0};
    static const size_t first[] = {0, 2, 5}, second[] = {1, 4, 6}, third[] = {3};
    shardy_router *router = make_router(3, NULL, 0);
    shardy_key keys[COUNT_OF(numbers)];
    shardy_key_groups groups;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        keys[i] = shardy_key_int(numbers[i]);
    }
    assert_int_equal(
        shardy_router_group_keys_allow_missing(router, keys, COUNT_OF(keys), NULL, &groups, NULL),
        SHARDY_OK);
    assert_int_equal(groups.count, 3);
    assert_int_equal(groups.missing_count, 0);
    assert_int_equal(groups.groups[0].db_id, 1);
    assert_int_equal(groups.groups[1].db_id, 2);
    assert_int_equal(groups.groups[2].db_id, 0);
    assert_int_equal(groups.groups[0].count, 3);
    assert_memory_equal(groups.groups[0].positions, first, sizeof first);
    assert_int_equal(groups.groups[1].count, 3);
    assert_memory_equal(groups.groups[1].positions, second, sizeof second);
    assert_int_equal(groups.groups[2].count, 1);
    assert_memory_equal(groups.groups[2].positions, third, sizeof third);
    shardy_key_groups_clear(&groups);
    assert_null(groups.owner);
    assert_int_equal(shardy_router_group_keys(router, NULL, 0, NULL, &groups, NULL), SHARDY_OK);
    assert_int_equal(groups.count, 0);
    shardy_key_groups_clear(&groups);
    shardy_key_groups_clear(NULL);
    assert_int_equal(shardy_router_group_keys(router, NULL, 1, NULL, &groups, NULL), SHARDY_CONFIG);
    shardy_router_free(router);
}

static void groups_name_the_key_that_fails(void **state)
{
    shardy_router *router = make_router(3, NULL, 0);
    shardy_key keys[] = {shardy_key_int(1), shardy_key_uint(UINT64_MAX)};
    shardy_key_groups groups;
    shardy_error err = SHARDY_ERROR_INIT;
    (void)state;
    assert_int_equal(shardy_router_group_keys(router, keys, 2, NULL, &groups, &err), SHARDY_INPUT);
    assert_string_equal(err.message, "keys[1]: Integer key 18446744073709551615 out of range "
                                     "[-9223372036854775808, 9223372036854775807]");
    assert_int_equal(groups.count, 0);
    assert_null(groups.owner);
    shardy_router_free(router);
}

/* Every key is in exactly one group, in order, and in the group of its shard. */
static void groups_partition_large_batches(void **state)
{
    enum { KEYS = 20000 };
    static shardy_key keys[KEYS];
    static uint8_t seen[KEYS];
    static const uint32_t sizes[] = {1, 7, 1000, SFI_SHARDS_MAX};
    (void)state;
    for (int64_t i = 0; i < KEYS; i++) {
        keys[i] = shardy_key_int(i * i % 4099);
    }
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        shardy_router *router = make_router(sizes[s], NULL, 0);
        shardy_key_groups groups;
        size_t first = 0;
        memset(seen, 0, sizeof seen);
        assert_int_equal(shardy_router_group_keys(router, keys, KEYS, NULL, &groups, NULL),
                         SHARDY_OK);
        for (size_t g = 0; g < groups.count; g++) {
            assert_true(g == 0 || groups.groups[g].positions[0] > first);
            first = groups.groups[g].positions[0];
            for (size_t i = 0; i < groups.groups[g].count; i++) {
                size_t at = groups.groups[g].positions[i];
                uint32_t db_id;
                assert_true(i == 0 || at > groups.groups[g].positions[i - 1]);
                assert_int_equal(shardy_router_route(router, &keys[at], NULL, &db_id, NULL),
                                 SHARDY_OK);
                assert_int_equal(db_id, groups.groups[g].db_id);
                assert_int_equal(seen[at]++, 0);
            }
        }
        assert_null(memchr(seen, 0, sizeof seen));
        shardy_key_groups_clear(&groups);
        shardy_router_free(router);
    }
}

static size_t allocations_left;

static bool may_allocate(void)
{
    if (allocations_left == 0) {
        return false;
    }
    allocations_left--;
    return true;
}

static void *limited_alloc(size_t size)
{
    return may_allocate() ? malloc(size) : NULL;
}

static void *limited_zeroed(size_t count, size_t size)
{
    return may_allocate() ? calloc(count, size) : NULL;
}

static void *limited_resize(void *block, size_t size)
{
    return may_allocate() ? realloc(block, size) : NULL;
}

/* One use of everything that allocates. */
static shardy_status use_everything(void)
{
    shardy_router_options options = options_for(5);
    shardy_key keys[] = {shardy_key_int(1), shardy_key_int(2)};
    shardy_router *router = NULL;
    shardy_key_groups groups = {0};
    shardy_shard_info info = {0};
    shardy_status st;
    SFI_TRY(shardy_router_new(&options, sample_shards, COUNT_OF(sample_shards), &router, NULL));
    SFI_TRY(shardy_router_get_shard(router, 1, &info, NULL));
    SFI_TRY(shardy_router_group_keys(router, keys, 2, NULL, &groups, NULL));
out:
    shardy_key_groups_clear(&groups);
    shardy_shard_info_clear(&info);
    shardy_router_free(router);
    return st;
}

static void survives_every_failed_allocation(void **state)
{
    static const shardy_allocator limited = {limited_alloc, limited_zeroed, limited_resize, free};
    size_t failures = 0;
    shardy_status st;
    (void)state;
    shardy_set_allocator(&limited);
    do {
        allocations_left = failures;
        st = use_everything();
        failures += st == SHARDY_NO_MEMORY;
    } while (st == SHARDY_NO_MEMORY && failures < 100);
    shardy_set_allocator(NULL);
    assert_int_equal(st, SHARDY_OK);
    assert_int_equal(failures, 10); /* router, index, shards, 2 copies; 1 copy; 4 of grouping */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eager_router_knows_its_shards),
        cmocka_unit_test(missing_shards_are_empty),
        cmocka_unit_test(lazy_router_asks_its_lookup),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(routes_keys_and_refuses_contexts),
        cmocka_unit_test(routes_columns),
        cmocka_unit_test(groups_keep_order_and_duplicates),
        cmocka_unit_test(groups_name_the_key_that_fails),
        cmocka_unit_test(groups_partition_large_batches),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
