/*
 * actors.c - publishers, rollbacks and readers of the simulation (actors.h). They run as
 * coroutines: every request they make is a step of the history.
 */
#include "actors.h"

#include "base/memory.h"
#include "manifest/manifest_store.h"

#include <shardyfusion/shardyfusion.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 6u

static void copy(char *to, const char *text)
{
    snprintf(to, MODEL_REF_MAX, "%s", text ? text : "");
}

static struct sfi_manifest_store *open_manifests(struct sfi_store *store)
{
    struct sfi_manifest_store *manifests;
    if (sfi_manifest_store_object(store, NULL, false, &manifests, NULL) != SHARDY_OK) {
        abort();
    }
    return manifests;
}

static struct model_claim *claim_of(struct sim_actor *actor)
{
    struct role *role = actor->arg;
    return &role->model->claims[actor->index];
}

/* The claim is made; a crashed actor has told nobody. */
static void settle(struct sim_actor *actor, shardy_status st, const char *message)
{
    struct model_claim *claim = claim_of(actor);
    claim->made = true;
    claim->crashed = actor->dead;
    claim->status = st;
    sim_trace(actor->sim, "    %s%s ends: %s%s%s replaced \"%s\" %s", actor->name,
              actor->dead ? " (crashed)" : "", shardy_status_name(st), st == SHARDY_OK ? "" : ": ",
              st == SHARDY_OK ? "" : message, claim->replaced,
              claim->guarded ? "guarded" : "unguarded");
}

/* What an EXPECT caller saw before it started. */
static shardy_status see(struct sim_actor *actor, struct sfi_manifest_store *manifests,
                         struct sfi_publish_options *options, shardy_error *err)
{
    struct role *role = actor->arg;
    struct model_claim *claim = claim_of(actor);
    struct sfi_ref ref;
    bool found;
    if (!role->expect) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(manifests->ops->load_current(manifests, &ref, &found, err));
    options->expect = claim->expect = true;
    if (found) {
        copy(claim->expected, ref.ref);
        options->expected_ref = claim->expected;
        sfi_ref_clear(&ref);
    }
    return SHARDY_OK;
}

static void take_result(struct model_claim *claim, const struct sfi_publish_result *result)
{
    copy(claim->ref, result->manifest_ref);
    copy(claim->replaced, result->replaced_ref);
    claim->guarded = result->guarded;
}

static shardy_status publish(struct sfi_manifest_store *manifests, unsigned run,
                             const struct sfi_publish_options *options,
                             struct sfi_publish_result *result, shardy_error *err)
{
    char run_id[32];
    struct sfi_build_meta meta = {.run_id = run_id, .s3_prefix = "memory://model/p"};
    snprintf(run_id, sizeof run_id, "run-%u", run);
    return manifests->ops->publish(manifests, &meta, NULL, 0, options, result, err);
}

static shardy_status put_shard(struct sfi_store *store, unsigned run, shardy_error *err)
{
    char key[128];
    struct sfi_bytes body = {(const uint8_t *)"shard", 5};
    model_shard_key(run, key, sizeof key);
    return sfi_store_put(store, key, body, NULL, SFI_STORE_IF_ABSENT, NULL, NULL, err);
}

void publish_before(struct model *model, unsigned run)
{
    struct sim *sim = model->sim;
    struct sfi_manifest_store *truth = open_manifests(sim->inner);
    struct sfi_publish_options options = {.no_pointer = false};
    struct sfi_publish_result result;
    if (put_shard(sim->inner, run, NULL) != SHARDY_OK ||
        publish(truth, run, &options, &result, NULL) != SHARDY_OK) {
        abort();
    }
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(truth);
    model_pointer_written(sim, SIM_ACTORS_MAX - 1);
}

void actor_publish(struct sim_actor *actor)
{
    struct role *role = actor->arg;
    struct sfi_store *store = actor->sim->faulty;
    struct sfi_manifest_store *manifests = open_manifests(store);
    struct sfi_publish_options options = {.cancelled = &actor->cancelled};
    struct sfi_publish_result result = {NULL, NULL, NULL, false, false};
    shardy_error err = SHARDY_ERROR_INIT;
    char key[128];
    shardy_status st = SHARDY_OK;
    SFI_TRY(see(actor, manifests, &options, &err));
    SFI_TRY(put_shard(role->manifest_only ? actor->sim->inner : store, role->run, &err));
    st = publish(manifests, role->run, &options, &result, &err);
    take_result(claim_of(actor), &result);
    if (result.published != (st == SHARDY_OK)) {
        sim_violation(actor->sim, "%s: published is %d with %s", actor->name, result.published,
                      shardy_status_name(st));
    }
    if (st != SHARDY_OK && st != SHARDY_UNKNOWN && !result.manifest_ref) {
        model_shard_key(role->run, key, sizeof key); /* as the writer does */
        (void)sfi_store_delete(store, key, NULL);
    }
out:
    settle(actor, st, err.message);
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(manifests);
}

void actor_rollback(struct sim_actor *actor)
{
    struct sfi_manifest_store *manifests = open_manifests(actor->sim->faulty);
    struct sfi_publish_options options = {.cancelled = &actor->cancelled};
    struct sfi_publish_result result = {NULL, NULL, NULL, false, false};
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_ref *refs = NULL;
    size_t count = 0;
    shardy_status st = SHARDY_OK;
    claim_of(actor)->rollback = true;
    SFI_TRY(manifests->ops->list(manifests, SIZE_MAX, &refs, &count, &err));
    if (count == 0) {
        claim_of(actor)->read_only = true;
        goto out;
    }
    SFI_TRY(see(actor, manifests, &options, &err));
    size_t pick = sim_choose(actor->sim->plan, (unsigned)count);
    sim_trace(actor->sim, "    %s goes for %s", actor->name, refs[pick].ref);
    st = manifests->ops->set_current(manifests, refs[pick].ref, &options, &result, &err);
    take_result(claim_of(actor), &result);
out:
    settle(actor, st, err.message);
    sfi_refs_clear(refs, count);
    sfi_publish_result_clear(&result);
    sfi_manifest_store_close(manifests);
}

/* --- readers -----------------------------------------------------------------------------------
 */

static void check_seen(struct sim_actor *actor, const char *ref, unsigned since)
{
    struct role *role = actor->arg;
    if (!actor->sim->plan->stale && !model_was_current(role->model, ref, since)) {
        sim_violation(actor->sim, "I1: %s sees \"%s\", which was not current", actor->name, ref);
    }
}

void actor_read(struct sim_actor *actor)
{
    struct role *role = actor->arg;
    struct sfi_manifest_store *manifests = open_manifests(actor->sim->faulty);
    claim_of(actor)->read_only = true;
    for (unsigned i = 0; i < role->rounds; i++) {
        struct sfi_ref ref;
        struct sfi_manifest *manifest;
        bool found;
        unsigned since = role->model->count;
        if (manifests->ops->load_current(manifests, &ref, &found, NULL) != SHARDY_OK) {
            continue;
        }
        check_seen(actor, found ? ref.ref : "", since);
        if (!found) {
            continue;
        }
        shardy_status st = manifests->ops->load_manifest(manifests, ref.ref, &manifest, NULL);
        if (st == SHARDY_OK) {
            if (strcmp(sfi_manifest_meta(manifest)->run_id, ref.run_id) != 0) {
                sim_violation(actor->sim, "I1: %s: pointer and manifest disagree", actor->name);
            }
            sfi_manifest_close(manifest);
        } else if (st == SHARDY_MANIFEST || (st == SHARDY_NOT_FOUND && !actor->sim->plan->stale)) {
            sim_violation(actor->sim, "I2: %s cannot load %s: %s", actor->name, ref.ref,
                          shardy_status_name(st));
        }
        sfi_ref_clear(&ref);
    }
    settle(actor, SHARDY_OK, "");
    sfi_manifest_store_close(manifests);
}

/* --- the real writer and reader ----------------------------------------------------------------
 */

static shardy_status add_rows(shardy_writer *writer, const char *run_id, shardy_error *err)
{
    for (unsigned i = 0; i < KEYS; i++) {
        shardy_key key = shardy_key_uint(i);
        SFI_RETURN_IF_ERR(shardy_writer_add(writer, &key, run_id, strlen(run_id), err));
    }
    return SHARDY_OK;
}

void actor_build(struct sim_actor *actor)
{
    struct role *role = actor->arg;
    struct sim *sim = actor->sim;
    struct model_claim *claim = claim_of(actor);
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    struct sfi_publish_options expected = {.no_pointer = false};
    struct sfi_manifest_store *manifests = open_manifests(sim->faulty);
    shardy_build_result result;
    shardy_writer *writer = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    char run_id[32];
    shardy_status st = SHARDY_OK;
    memset(&result, 0, sizeof result);
    snprintf(run_id, sizeof run_id, "run-%u", role->run);
    SFI_TRY(see(actor, manifests, &expected, &err));
    options.url = "memory://model/p";
    options.run_id = run_id;
    options.num_dbs = 2;
    options.threads = 1;
    options.no_sidecar = role->run % 2 == 0;
    options.policy = expected.expect ? SHARDY_PUBLISH_EXPECT : SHARDY_PUBLISH_LATEST;
    options.expected_ref = expected.expected_ref;
    SFI_TRY(shardy_writer_open(&options, &writer, &err));
    SFI_TRY(add_rows(writer, run_id, &err));
    st = shardy_writer_finish(writer, &result, &err);
    copy(claim->ref, result.manifest_ref);
    copy(claim->replaced, result.replaced_ref);
    claim->guarded = result.guarded;
out:
    settle(actor, st, err.message);
    shardy_build_result_clear(&result);
    shardy_writer_free(writer);
    sfi_manifest_store_close(manifests);
}

/* All keys of one call come from one snapshot, the one that the description names. */
static void check_lookup(struct sim_actor *actor, shardy_reader *reader)
{
    shardy_key keys[KEYS];
    shardy_items items;
    shardy_snapshot_info info;
    for (unsigned i = 0; i < KEYS; i++) {
        keys[i] = shardy_key_uint(i);
    }
    if (shardy_reader_info(reader, &info, NULL) != SHARDY_OK) {
        return;
    }
    shardy_status st = shardy_reader_multi_get(reader, keys, KEYS, &items, NULL);
    if (st == SHARDY_OK) {
        for (unsigned i = 0; i < KEYS; i++) {
            if (!items.items[i].data || items.items[i].size != strlen(info.run_id) ||
                memcmp(items.items[i].data, info.run_id, items.items[i].size) != 0) {
                sim_violation(actor->sim, "I1: %s: key %u is not of run %s", actor->name, i,
                              info.run_id);
            }
        }
        shardy_items_clear(&items);
    } else if (st != SHARDY_STORE && st != SHARDY_IO) {
        sim_violation(actor->sim, "I6: %s: lookup in run %s: %s", actor->name, info.run_id,
                      shardy_status_name(st));
    }
    shardy_snapshot_info_clear(&info);
}

static void check_reader(struct sim_actor *actor, shardy_reader *reader, unsigned since)
{
    shardy_snapshot_info info;
    if (shardy_reader_info(reader, &info, NULL) == SHARDY_OK) {
        check_seen(actor, info.manifest_ref, since);
        shardy_snapshot_info_clear(&info);
    }
}

void actor_look_up(struct sim_actor *actor)
{
    struct role *role = actor->arg;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_reader *reader = NULL;
    unsigned since = role->model->count;
    bool changed;
    claim_of(actor)->read_only = true;
    options.url = "memory://model/p";
    options.threads = 1;
    for (unsigned i = 0; i < 4 && !reader; i++) {
        since = role->model->count;
        (void)!shardy_reader_open(&options, &reader, NULL);
    }
    if (reader) {
        check_reader(actor, reader, since);
    }
    for (unsigned i = 0; reader && i < role->rounds; i++) {
        check_lookup(actor, reader);
        since = role->model->count;
        if (shardy_reader_refresh(reader, &changed, NULL) == SHARDY_OK) {
            check_reader(actor, reader, since);
        }
    }
    settle(actor, SHARDY_OK, "");
    shardy_reader_free(reader);
}
