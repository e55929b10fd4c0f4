/*
 * test_cel_memory.c - expressions, routers and builds by CEL when memory runs out at every single
 * allocation: a clean NO_MEMORY each time, and afterwards everything works.
 */
#include "store_sample.h"

#include "cel_sample.h"

#include "cel/cel.h"

#include <shardyfusion/shardyfusion.h>

static const shardy_cel_column columns[] = {{"key", "int"}, {"region", "string"}};
static const int64_t keys[] = {1, 2, 3, 4};
static const int32_t ends[] = {0, 2, 4, 6, 8};
static const char regions[] = "euuseuap";

static struct cel_array arrays[3];
static struct cel_table table;

static void make_table(void)
{
    struct cel_array *list[] = {&arrays[0], &arrays[1], &arrays[2]};
    cel_array_init(&arrays[0], "key", "l", 4, NULL, keys, NULL);
    cel_array_init(&arrays[1], "region", "u", 4, NULL, ends, regions);
    cel_array_init(&arrays[2], "value", "u", 4, NULL, ends, regions);
    cel_table_init(&table, 4, list, 3);
}

/* One attempt each: everything is released again, whatever happens. */

static shardy_status evaluate(shardy_error *err)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *cel = NULL;
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    const shardy_context_entry entries[] = {{"key", shardy_cel_int(7)}, {"region", cel_text("eu")}};
    const shardy_context context = {entries, 2};
    struct ArrowSchema schema;
    struct ArrowArray array;
    options.expression = "[region + string(key), \"b\"]";
    options.columns = columns;
    options.column_count = 2;
    shardy_status st = shardy_cel_compile(&options, &cel, err);
    if (st == SHARDY_OK) {
        st = shardy_cel_evaluate(cel, &context, &result, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_cel_evaluate_batch(cel, &table.schema, &table.array, 0, &schema, &array, err);
    }
    if (st == SHARDY_OK) {
        schema.release(&schema);
        array.release(&array);
    }
    shardy_cel_result_clear(&result);
    shardy_cel_free(cel);
    return st;
}

static shardy_status route(shardy_error *err)
{
    const shardy_cel_value values[] = {cel_text("ap"), cel_text("eu"), cel_text("us")};
    const shardy_cel_sharding sharding = {.expression = "region",
                                          .columns = columns,
                                          .column_count = 2,
                                          .routing_values = values,
                                          .routing_value_count = 3,
                                          .has_routing_values = true};
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    shardy_router *router = NULL;
    const shardy_context_entry entry = {"region", cel_text("us")};
    const shardy_context context = {&entry, 1};
    const shardy_key key = shardy_key_int(1);
    uint32_t ids[4];
    options.sharding = SHARDY_SHARDING_CEL;
    options.cel = &sharding;
    sfi_cel_cache_clear();
    shardy_status st = shardy_router_new(&options, NULL, 0, &router, err);
    if (st == SHARDY_OK) {
        st = shardy_router_route(router, &key, &context, ids, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_router_route_batch(router, &table.schema, &table.array, 0, ids, err);
        assert_true(st != SHARDY_OK || (ids[0] == 1 && ids[1] == 2 && ids[3] == 0));
    }
    shardy_router_free(router);
    sfi_cel_cache_clear();
    return st;
}

static shardy_status build(shardy_error *err)
{
    const shardy_cel_sharding sharding = {.expression = "region",
                                          .columns = columns,
                                          .column_count = 2,
                                          .infer_routing_values = true};
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_writer *writer = NULL;
    shardy_build_result result;
    const shardy_context_entry entry = {"region", cel_text("sa")};
    const shardy_context context = {&entry, 1};
    const shardy_key key = shardy_key_int(9);
    uint32_t num_dbs = 0;
    options.url = "memory://test-cel-memory";
    options.cel = &sharding;
    options.threads = 1;
    options.no_publish = true;
    make_table();
    sfi_cel_cache_clear();
    shardy_status st = shardy_writer_open(&options, &writer, err);
    if (st == SHARDY_OK) {
        st = shardy_writer_add_batch(writer, &table.schema, &table.array, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_writer_add_with_context(writer, &key, "v", 1, &context, err);
    }
    if (st == SHARDY_OK) {
        st = shardy_writer_finish(writer, &result, err);
        num_dbs = result.num_dbs;
        shardy_build_result_clear(&result);
    }
    assert_true(st != SHARDY_OK || num_dbs == 4);
    shardy_writer_free(writer);
    sfi_cel_cache_clear();
    return st;
}

static void runs_out_everywhere(shardy_status (*attempt)(shardy_error *err))
{
    shardy_status st = SHARDY_NO_MEMORY;
    unsigned long at = 0;
    make_table();
    install_failing_allocator();
    while (st != SHARDY_OK) {
        shardy_error error = SHARDY_ERROR_INIT;
        fail_allocation(++at);
        st = attempt(&error);
        fail_allocation(0);
        /* An expression does not tell what it may not have from what there is not. */
        bool is_memory = st == SHARDY_NO_MEMORY ||
                         (st == SHARDY_LIMIT && strstr(error.message, "memory") != NULL);
        if (st != SHARDY_OK && !is_memory) {
            fail_msg("allocation %lu: %s '%s'", at, shardy_status_name(st), error.message);
        }
        assert_true(at < 20000);
    }
    shardy_set_allocator(NULL);
    assert_true(at > 10);
    cel_ok(attempt(err));
}

static void evaluation(void **state)
{
    (void)state;
    runs_out_everywhere(evaluate);
}

static void routing(void **state)
{
    (void)state;
    runs_out_everywhere(route);
}

static void building(void **state)
{
    (void)state;
    runs_out_everywhere(build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation),
        cmocka_unit_test(routing),
        cmocka_unit_test(building),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
