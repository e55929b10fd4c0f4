/*
 * model.c - the model of the publish protocol (model.h): the list of everything the pointer ever
 * said, and what every claim means in terms of that list.
 */
#include "model.h"

#include "base/memory.h"
#include "manifest/manifest_store.h"

#include <stdlib.h>
#include <string.h>

static struct sfi_buf s_images[MODEL_RUNS_MAX];

shardy_status __wrap_sfi_manifest_encode(const struct sfi_build_meta *meta,
                                         const shardy_shard_info *shards, size_t count,
                                         struct sfi_buf *out, shardy_error *err);
shardy_status __real_sfi_manifest_encode(const struct sfi_build_meta *meta,
                                         const shardy_shard_info *shards, size_t count,
                                         struct sfi_buf *out, shardy_error *err);

/* --- manifests made once -----------------------------------------------------------------------
 */

void model_shard_key(unsigned run, char *key, size_t size)
{
    snprintf(key, size, "shards/run_id=run-%u/db=00000/attempt=00", run);
}

struct sfi_bytes model_image(unsigned run)
{
    struct sfi_buf *image = &s_images[run];
    if (!image->data) {
        char run_id[32];
        char key[128];
        char url[192];
        shardy_shard_info shard = {.db_url = url, .row_count = 1, .writer_info = "{}"};
        struct sfi_build_meta meta = {
            .run_id = run_id,
            .s3_prefix = "memory://model/p",
            .key_col = "_key",
            .sharding_json = SFI_HASH_SHARDING_JSON,
            .db_path_template = "db={db_id:05d}",
            .shard_prefix = "shards",
            .custom_json = "{}",
            .created_at_us = 1000000,
            .num_dbs = 1,
            .sharding = SHARDY_SHARDING_HASH,
            .key_encoding = SHARDY_KEY_UTF8,
        };
        snprintf(run_id, sizeof run_id, "run-%u", run);
        model_shard_key(run, key, sizeof key);
        snprintf(url, sizeof url, "memory://model/p/%s", key);
        sfi_buf_init(image, SIZE_MAX - 1);
        if (__real_sfi_manifest_encode(&meta, &shard, 1, image, NULL) != SHARDY_OK) {
            abort();
        }
    }
    return sfi_buf_view(image);
}

void model_images_free(void)
{
    for (unsigned i = 0; i < MODEL_RUNS_MAX; i++) {
        sfi_buf_clear(&s_images[i]);
    }
}

/* Light runs have a known number and no shards in the call. */
shardy_status __wrap_sfi_manifest_encode(const struct sfi_build_meta *meta,
                                         const shardy_shard_info *shards, size_t count,
                                         struct sfi_buf *out, shardy_error *err)
{
    if (count || strncmp(meta->run_id, "run-", 4) != 0) {
        return __real_sfi_manifest_encode(meta, shards, count, out, err);
    }
    struct sfi_bytes image = model_image((unsigned)atoi(meta->run_id + 4));
    return sfi_buf_append(out, image.data, image.size) ? SHARDY_OK
                                                       : sfi_fail_memory(err, image.size);
}

/* --- closure (I2) ------------------------------------------------------------------------------
 */

static bool exists(const struct sim *sim, const char *key)
{
    return sfi_store_head(sim->inner, key, NULL, NULL, NULL) == SHARDY_OK;
}

struct closure {
    const struct sim *sim;
    bool whole;
};

static shardy_status check_shard(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    struct closure *closure = arg;
    char *key;
    char database[512];
    uint64_t size;
    (void)err;
    if (sfi_store_key_of(closure->sim->inner, NULL, info->db_url, &key, NULL) != SHARDY_OK) {
        return SHARDY_NO_MEMORY;
    }
    snprintf(database, sizeof database, "%s/shard.db", key);
    sfi_free(key);
    closure->whole =
        closure->whole &&
        sfi_store_head(closure->sim->inner, database, &size, NULL, NULL) == SHARDY_OK &&
        size == info->db_bytes;
    return SHARDY_OK;
}

static bool real_manifest_whole(const struct sim *sim, const char *ref)
{
    struct sfi_manifest_store *truth;
    struct sfi_manifest *manifest = NULL;
    struct closure closure = {sim, true};
    if (sfi_manifest_store_object(sim->inner, NULL, false, &truth, NULL) != SHARDY_OK) {
        return false;
    }
    bool ok = truth->ops->load_manifest(truth, ref, &manifest, NULL) == SHARDY_OK &&
              sfi_manifest_each(manifest, check_shard, &closure, NULL) == SHARDY_OK;
    if (manifest) {
        sfi_manifest_close(manifest);
    }
    sfi_manifest_store_close(truth);
    return ok && closure.whole;
}

/* The manifest at `key` is there, is the one of its run, and its shards exist. */
static bool manifest_whole(const struct model *model, const char *key)
{
    struct sfi_buf stored;
    char shard[128];
    char ref[MODEL_REF_MAX];
    if (model->real_images) {
        snprintf(ref, sizeof ref, "%s/%s", model->sim->inner->url, key);
        return real_manifest_whole(model->sim, ref);
    }
    const char *mark = strstr(key, "_run_id=run-");
    unsigned run = mark ? (unsigned)atoi(mark + 12) : MODEL_RUNS_MAX;
    if (run >= MODEL_RUNS_MAX) {
        return false;
    }
    sfi_buf_init(&stored, SIZE_MAX - 1);
    bool whole = sfi_store_get(model->sim->inner, key, 0, &stored, NULL, NULL) == SHARDY_OK &&
                 sfi_bytes_compare(sfi_buf_view(&stored), model_image(run)) == 0;
    sfi_buf_clear(&stored);
    model_shard_key(run, shard, sizeof shard);
    return whole && exists(model->sim, shard);
}

static bool ref_whole(const struct model *model, const char *ref)
{
    size_t n = strlen(model->sim->inner->url);
    return !strncmp(ref, model->sim->inner->url, n) && ref[n] == '/' &&
           manifest_whole(model, ref + n + 1);
}

/* --- watching ----------------------------------------------------------------------------------
 */

/* What stale reads see is one state behind. */
static void keep_older(struct model *model)
{
    if (model->count > 1) {
        const char *text = model->entries[model->count - 2].bytes;
        struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
        (void)sfi_store_put(model->sim->older, SIM_POINTER_KEY, bytes, NULL, SFI_STORE_ALWAYS, NULL,
                            NULL, NULL);
    }
}

void model_pointer_written(struct sim *sim, unsigned actor)
{
    struct model *model = sim->arg;
    struct sfi_buf bytes;
    struct sfi_pointer pointer;
    sfi_buf_init(&bytes, sizeof model->entries[0].bytes - 1);
    if (sfi_store_get(sim->inner, SIM_POINTER_KEY, 0, &bytes, NULL, NULL) != SHARDY_OK) {
        sfi_buf_clear(&bytes);
        return;
    }
    struct sfi_bytes view = sfi_buf_view(&bytes);
    struct model_entry *entry = &model->entries[model->count];
    bool same = model->count && strlen(entry[-1].bytes) == view.size &&
                memcmp(entry[-1].bytes, view.data, view.size) == 0;
    if (!same && model->count + 1 < MODEL_ENTRIES_MAX) {
        memcpy(entry->bytes, view.data, view.size);
        entry->bytes[view.size] = '\0';
        entry->writer = actor;
        entry->ref[0] = '\0';
        if (sfi_pointer_parse(view, &pointer, NULL) == SHARDY_OK) {
            snprintf(entry->ref, sizeof entry->ref, "%s", pointer.manifest_ref);
            sfi_pointer_clear(&pointer);
        }
        model->count++;
        sim_trace(sim, "    the pointer is now %s", entry->bytes);
        keep_older(model);
        if (!ref_whole(model, entry->ref)) {
            sim_violation(sim, "I2: %s made %s current, which is not complete",
                          sim->actors[actor].name, entry->ref);
        }
    }
    sfi_buf_clear(&bytes);
}

void model_begin(struct model *model, struct sim *sim)
{
    memset(model->claims, 0, sizeof model->claims);
    model->sim = sim;
    model->count = 0;
    model->real_images = false;
    sim->arg = model;
    sim->pointer_written = model_pointer_written;
}

/* --- judging -----------------------------------------------------------------------------------
 */

bool model_was_current(const struct model *model, const char *ref, unsigned since)
{
    if (!*ref) {
        return since == 0;
    }
    for (unsigned i = since ? since - 1 : 0; i < model->count; i++) {
        if (!strcmp(model->entries[i].ref, ref)) {
            return true;
        }
    }
    return false;
}

/*
 * "Published": its manifest was made current on top of what it says it replaced, by one of its own
 * writes. Two actors that make one manifest current on top of one state may write the same bytes;
 * then one write serves both. The same bytes on top of different states need the same microsecond
 * too, and a rollback.
 */
static bool took_effect(const struct model *model, unsigned actor)
{
    const struct model_claim *claim = &model->claims[actor];
    const struct sim *sim = model->sim;
    bool guarded = sim->plan->kind == SIM_LOCAL || sim->plan->kind == SIM_REMOTE;
    for (unsigned i = 0; i < model->count; i++) {
        const struct model_entry *entry = &model->entries[i];
        const char *before = i ? entry[-1].ref : "";
        bool told = !strcmp(before, claim->replaced) &&
                    (!claim->expect || !strcmp(before, claim->expected));
        bool own = entry->writer == actor;
        bool twins = !own && (claim->rollback || model->claims[entry->writer].rollback);
        bool chance = twins && sim->plan->clock != SIM_CLOCK_STEADY;
        if (!strcmp(entry->ref, claim->ref) && (!guarded || chance || ((own || twins) && told))) {
            return true;
        }
    }
    return false;
}

/*
 * Whether an actor that says "not published" must have known better. When a middlebox sent its swap
 * twice, and somebody replaced it before it could look, the refusal looks like any other.
 */
static bool should_know(const struct model *model, unsigned actor)
{
    for (unsigned i = 0; i < model->count; i++) {
        bool hidden = model->sim->actors[actor].doubled > 0 && i + 1 < model->count &&
                      model->entries[i + 1].writer != actor;
        if (model->entries[i].writer == actor && !hidden) {
            return true;
        }
    }
    return false;
}

static void judge_claim(struct model *model, unsigned actor)
{
    struct sim *sim = model->sim;
    const struct model_claim *claim = &model->claims[actor];
    const struct sim_actor *who = &sim->actors[actor];
    bool honours = sim->plan->kind == SIM_LOCAL || sim->plan->kind == SIM_REMOTE;
    if (claim->status == SHARDY_OK && !took_effect(model, actor)) {
        sim_violation(sim, "I4: %s says published over \"%s\", which never happened", who->name,
                      claim->replaced);
    }
    if (claim->status == SHARDY_OK && !ref_whole(model, claim->ref)) {
        sim_violation(sim, "I3: %s was published, and %s is not complete", who->name, claim->ref);
    }
    if (claim->status != SHARDY_OK && claim->status != SHARDY_UNKNOWN &&
        should_know(model, actor)) {
        sim_violation(sim, "I4: %s says not published (%s), and was current", who->name,
                      shardy_status_name(claim->status));
    }
    /* A refusal leaves a doubt only when what is stored could not be read after it. */
    if (claim->status == SHARDY_UNKNOWN && who->lost + who->refused + who->unseen == 0) {
        sim_violation(sim, "I4: %s says unknown, but no answer was lost", who->name);
    }
    if (claim->status == SHARDY_UNKNOWN && who->deletes > 0) {
        sim_violation(sim, "I4: %s says unknown, and has deleted something", who->name);
    }
    if (claim->guarded && !honours) {
        sim_violation(sim, "%s says guarded, and the store compares nothing", who->name);
    }
    if (claim->status == SHARDY_OK && honours && !claim->guarded &&
        (sim->plan->kind == SIM_LOCAL || who->faults == 0)) {
        sim_violation(sim, "%s says unguarded, and the store compares", who->name);
    }
    if (sim->faults == 0 && claim->status != SHARDY_OK &&
        !(claim->expect && claim->status == SHARDY_CONFLICT)) {
        sim_violation(sim, "%s did not publish although nothing failed: %s", who->name,
                      shardy_status_name(claim->status));
    }
}

/* Every manifest in the history is complete, whoever stored it and however that ended. */
static void judge_history(struct model *model)
{
    struct sfi_store_list list;
    if (sfi_store_list(model->sim->inner, "manifests", true, &list, NULL) != SHARDY_OK) {
        sim_violation(model->sim, "the history cannot be listed");
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        char key[MODEL_REF_MAX];
        snprintf(key, sizeof key, "manifests/%s", list.entries[i].name);
        if (strstr(key, "_run_id=") && !manifest_whole(model, key)) {
            sim_violation(model->sim, "I2: %s is in the history and not complete", key);
        }
    }
    sfi_store_list_clear(&list);
}

void model_judge(struct model *model)
{
    struct sim *sim = model->sim;
    for (unsigned i = 0; i < sim->actor_count; i++) {
        if (model->claims[i].made && !model->claims[i].crashed && !model->claims[i].read_only) {
            judge_claim(model, i);
        }
    }
    for (unsigned i = 0; i < model->count; i++) {
        if (!ref_whole(model, model->entries[i].ref)) {
            sim_violation(sim, "I2: %s was current and is not complete any more",
                          model->entries[i].ref);
        }
    }
    judge_history(model);
}
