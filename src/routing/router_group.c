/*
 * router_group.c - group the keys of a batch by shard.
 *
 * Groups are found with a hash table sized by the batch, never by num_dbs: a batch of ten keys over
 * a million shards costs ten steps. Positions of all groups share one block, in two passes.
 */
#include "routing/routing.h"

#include "base/memory.h"

#include <string.h>

/* Key that no shard serves. */
#define NO_GROUP UINT32_MAX

/* Working memory of one call. The second pass counts `groups` up again to place positions. */
struct grouping {
    uint32_t *group_of;       /* group of every key */
    uint32_t *slots;          /* hash table: group + 1, 0 = free */
    shardy_key_group *groups; /* as many as there can be */
    size_t slot_mask;
    size_t group_count;
};

static size_t slot_count(size_t groups)
{
    size_t slots = 16;
    while (slots < groups * 2) {
        slots *= 2;
    }
    return slots;
}

static shardy_status grouping_init(struct grouping *work, size_t count, uint32_t num_dbs,
                                   shardy_error *err)
{
    size_t groups = count < num_dbs ? count : num_dbs;
    size_t slots = slot_count(groups);
    work->group_of = sfi_array_alloc(count, sizeof *work->group_of);
    work->slots = sfi_calloc(slots, sizeof *work->slots);
    work->groups = sfi_array_alloc(groups, sizeof *work->groups);
    work->slot_mask = slots - 1;
    if (!work->group_of || !work->slots || !work->groups) {
        return sfi_fail_memory(err, count * sizeof *work->group_of);
    }
    return SHARDY_OK;
}

static void grouping_clear(struct grouping *work)
{
    sfi_free(work->group_of);
    sfi_free(work->slots);
    sfi_free(work->groups);
}

/* Group of a shard, made on its first appearance. Fibonacci hashing spreads consecutive ids. */
static uint32_t find_group(struct grouping *work, uint32_t db_id)
{
    size_t slot = (size_t)((db_id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & work->slot_mask;
    while (work->slots[slot] != 0 && work->groups[work->slots[slot] - 1].db_id != db_id) {
        slot = (slot + 1) & work->slot_mask;
    }
    if (work->slots[slot] == 0) {
        shardy_key_group fresh = {db_id, NULL, 0};
        work->groups[work->group_count++] = fresh;
        work->slots[slot] = (uint32_t)work->group_count;
    }
    return work->slots[slot] - 1;
}

/* Lay the result out as one block: groups, then positions, each group's filled in input order, then
 * those of keys without a group. */
static shardy_status grouping_finish(struct grouping *work, size_t count, shardy_key_groups *groups,
                                     shardy_error *err)
{
    size_t head = work->group_count * sizeof(shardy_key_group);
    size_t size;
    if (__builtin_mul_overflow(count, sizeof(size_t), &size) ||
        __builtin_add_overflow(size, head, &size)) {
        return sfi_fail_memory(err, SIZE_MAX);
    }
    char *block = sfi_malloc(size);
    if (!block) {
        return sfi_fail_memory(err, size);
    }
    shardy_key_group *made = (shardy_key_group *)(void *)block;
    size_t *positions = (size_t *)(void *)(block + head);
    size_t start = 0;
    for (size_t i = 0; i < work->group_count; i++) {
        made[i] = work->groups[i];
        made[i].positions = positions + start;
        start += made[i].count;
        work->groups[i].count = 0;
    }
    groups->missing = positions + start;
    for (size_t i = 0; i < count; i++) {
        uint32_t group = work->group_of[i];
        if (group == NO_GROUP) {
            positions[start + groups->missing_count++] = i;
            continue;
        }
        size_t to = (size_t)(made[group].positions - positions) + work->groups[group].count++;
        positions[to] = i;
    }
    groups->groups = made;
    groups->count = work->group_count;
    groups->owner = block;
    return SHARDY_OK;
}

static shardy_status group_by_key(const shardy_router *router, const shardy_key *keys, size_t count,
                                  shardy_key_groups *groups, shardy_error *err)
{
    const struct sfi_route *route = sfi_router_route(router);
    struct grouping work = {0};
    shardy_status st;

    SFI_TRY(grouping_init(&work, count, route->modulus.n, err));
    for (size_t i = 0; i < count; i++) {
        uint32_t db_id;
        st = sfi_route_find(route, &keys[i], NULL, false, &db_id, err);
        if (st != SHARDY_OK) {
            sfi_error_prefix(err, "keys[%zu]: ", i);
            goto out;
        }
        if (db_id == SFI_NO_SHARD) {
            work.group_of[i] = NO_GROUP;
            continue;
        }
        work.group_of[i] = find_group(&work, db_id);
        work.groups[work.group_of[i]].count++;
    }
    st = grouping_finish(&work, count, groups, err);
out:
    grouping_clear(&work);
    return st;
}

/* All keys go where the context says. */
static shardy_status group_by_context(const shardy_router *router, size_t count,
                                      const shardy_context *context, shardy_key_groups *groups,
                                      shardy_error *err)
{
    struct grouping work = {0};
    uint32_t db_id;
    shardy_status st = sfi_route_find(sfi_router_route(router), NULL, context, false, &db_id, err);
    if (st != SHARDY_OK || count == 0) {
        return st;
    }
    SFI_TRY(grouping_init(&work, count, 1, err));
    uint32_t group = db_id == SFI_NO_SHARD ? NO_GROUP : find_group(&work, db_id);
    for (size_t i = 0; i < count; i++) {
        work.group_of[i] = group;
    }
    if (group != NO_GROUP) {
        work.groups[group].count = count;
    }
    st = grouping_finish(&work, count, groups, err);
out:
    grouping_clear(&work);
    return st;
}

shardy_status shardy_router_group_keys_allow_missing(const shardy_router *router,
                                                     const shardy_key *keys, size_t count,
                                                     const shardy_context *context,
                                                     shardy_key_groups *groups, shardy_error *err)
{
    memset(groups, 0, sizeof *groups);
    if (!keys && count > 0) {
        return sfi_fail(err, SHARDY_CONFIG, "keys is NULL but count is %zu", count);
    }
    if (context) {
        return group_by_context(router, count, context, groups, err);
    }
    return count > 0 ? group_by_key(router, keys, count, groups, err) : SHARDY_OK;
}

/* Names as many of the keys as a message holds. */
static shardy_status fail_missing(const shardy_key *keys, const shardy_key_groups *groups,
                                  shardy_error *err)
{
    struct sfi_buf text;
    sfi_buf_init(&text, 4096);
    for (size_t i = 0; i < groups->missing_count && i < 16; i++) {
        char key[SFI_KEY_TEXT_SIZE];
        sfi_key_text(&keys[groups->missing[i]], key);
        (void)sfi_buf_printf(&text, "%s%s", i > 0 ? ", " : "", key);
    }
    shardy_status st = sfi_fail(
        err, SHARDY_ASSIGNMENT, "One or more keys could not be routed for this snapshot: [%s%s]",
        text.data ? (const char *)text.data : "", groups->missing_count > 16 ? ", ..." : "");
    sfi_buf_clear(&text);
    return st;
}

shardy_status shardy_router_group_keys(const shardy_router *router, const shardy_key *keys,
                                       size_t count, const shardy_context *context,
                                       shardy_key_groups *groups, shardy_error *err)
{
    SFI_RETURN_IF_ERR(
        shardy_router_group_keys_allow_missing(router, keys, count, context, groups, err));
    if (groups->missing_count == 0) {
        return SHARDY_OK;
    }
    shardy_status st = fail_missing(keys, groups, err);
    shardy_key_groups_clear(groups);
    return st;
}

void shardy_key_groups_clear(shardy_key_groups *groups)
{
    if (groups) {
        sfi_free(groups->owner);
        memset(groups, 0, sizeof *groups);
    }
}
