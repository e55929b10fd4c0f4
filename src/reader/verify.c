/*
 * verify.c - a whole snapshot against everything it promises: pointer, manifest, then every shard
 * (verify_shard.c), several at once. Findings are a report, not a failure; failures are what keeps
 * the check from running. Formats: docs/format/pointer.md, docs/format/manifest.md.
 */
#include "reader/verify_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/parallel.h"
#include "manifest/manifest_store.h"

#include <shardyfusion/verify.h>

#include <stddef.h>

/* A verification at work. */
struct run {
    struct sfi_verify verify;
    const shardy_verify_options *options;
    struct sfi_manifest_store *manifests;
    struct sfi_manifest *manifest;
    struct sfi_ref ref;           /* from the pointer, or the pinned one without run id */
    struct sfi_findings findings; /* of pointer and manifest */
    struct sfi_verify_shard *shards;
    size_t shard_count;
    size_t shards_capacity;
};

/* Only the bytes that the caller's version of the struct has are read. */
static shardy_status take_options(const shardy_verify_options *from, shardy_verify_options *to,
                                  shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_options_take(from, offsetof(shardy_verify_options, current_name), to,
                                       sizeof *to, "SHARDY_VERIFY_OPTIONS_INIT", err));
    return to->url ? SHARDY_OK : sfi_fail(err, SHARDY_CONFIG, "verify options: url is missing");
}

/* Keep a failed call as a finding about `object`; other failures are passed on. */
static shardy_status judge(struct run *run, shardy_status st, const char *what, const char *object,
                           const shardy_error *why, shardy_error *err)
{
    if (sfi_is_finding(st, why)) {
        return sfi_findings_add(&run->findings, -1, what, object, why->message, err);
    }
    if (err && st != SHARDY_OK) {
        *err = *why;
    }
    return st;
}

/* run->ref stays empty when there is no usable pointer: that is a finding. */
static shardy_status find_manifest(struct run *run, shardy_error *err)
{
    const char *name = run->options->current_name ? run->options->current_name : SFI_CURRENT_NAME;
    shardy_error why = SHARDY_ERROR_INIT;
    bool found = false;
    if (run->options->pin_ref) {
        run->ref.ref = sfi_strdup(run->options->pin_ref);
        return run->ref.ref ? SHARDY_OK : sfi_fail_memory(err, strlen(run->options->pin_ref));
    }
    char *object = sfi_url_join(run->verify.store->url, name);
    if (!object) {
        return sfi_fail_memory(err, strlen(name));
    }
    shardy_status st = run->manifests->ops->load_current(run->manifests, &run->ref, &found, &why);
    if (st != SHARDY_OK) {
        memset(&run->ref, 0, sizeof run->ref);
        st = judge(run, st, "pointer", object, &why, err);
    } else if (!found) {
        st = sfi_findings_add(&run->findings, -1, "pointer", object,
                              "there is no pointer: nothing was published here", err);
    }
    sfi_free(object);
    return st;
}

static shardy_status open_manifest(struct run *run, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st =
        run->manifests->ops->load_manifest(run->manifests, run->ref.ref, &run->manifest, &why);
    if (st != SHARDY_OK) {
        return judge(run, st, "manifest", run->ref.ref, &why, err);
    }
    const char *run_id = sfi_manifest_meta(run->manifest)->run_id;
    if (run->ref.run_id && strcmp(run->ref.run_id, run_id) != 0) {
        st = sfi_fail(&why, SHARDY_MANIFEST,
                      "pointer names run %.200s, its manifest is of run %.200s", run->ref.run_id,
                      run_id);
        return judge(run, st, "pointer", run->ref.ref, &why, err);
    }
    return SHARDY_OK;
}

static shardy_status add_shard(void *arg, const shardy_shard_info *info, shardy_error *err)
{
    struct run *run = arg;
    void *shards = run->shards;
    if (!info->db_url) {
        return SHARDY_OK;
    }
    if (!sfi_array_grow(&shards, &run->shards_capacity, run->shard_count + 1,
                        sizeof *run->shards)) {
        return sfi_fail_memory(err, (run->shard_count + 1) * sizeof *run->shards);
    }
    run->shards = shards;
    struct sfi_verify_shard *shard = &run->shards[run->shard_count];
    memset(shard, 0, sizeof *shard);
    SFI_RETURN_IF_ERR(sfi_shard_info_copy(info, &shard->info, err));
    run->shard_count++;
    return SHARDY_OK;
}

/* The manifest's own check, and its shards as far as they can be read. */
static shardy_status list_shards(struct run *run, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = sfi_manifest_check(run->manifest, &why);
    bool clean = st == SHARDY_OK;
    SFI_RETURN_IF_ERR(judge(run, st, "manifest", run->ref.ref, &why, err));
    st = sfi_manifest_each(run->manifest, add_shard, run, &why);
    if (sfi_is_finding(st, &why) && !clean) {
        return SHARDY_OK; /* said already */
    }
    return judge(run, st, "manifest", run->ref.ref, &why, err);
}

static shardy_status check_one(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    struct run *run = arg;
    (void)worker;
    return sfi_verify_shard(&run->verify, &run->shards[index], err);
}

/* An expression that does not compile is damage: no reader opens such a snapshot. */
static shardy_status open_route(struct run *run, shardy_error *err)
{
    struct sfi_verify *verify = &run->verify;
    const struct sfi_build_meta *meta = verify->meta;
    struct sfi_bytes text = {(const uint8_t *)meta->sharding_json, strlen(meta->sharding_json)};
    struct sfi_sharding sharding;
    shardy_error why = SHARDY_ERROR_INIT;
    if (meta->sharding == SHARDY_SHARDING_HASH) {
        verify->routes = run->options->deep;
        return sfi_route_init(&verify->route, meta->sharding, meta->num_dbs, err);
    }
    SFI_RETURN_IF_ERR(sfi_sharding_parse(text, meta->num_dbs, &sharding, err));
    shardy_status st = sfi_route_init_cel(&verify->route, &sharding.cel, meta->num_dbs, &why);
    sfi_sharding_clear(&sharding);
    if (st == SHARDY_CONFIG || st == SHARDY_LIMIT) {
        return sfi_findings_add(&run->findings, -1, "manifest", run->ref.ref, why.message, err);
    }
    if (st != SHARDY_OK && err) {
        *err = why;
    }
    verify->routes = st == SHARDY_OK && run->options->deep && verify->route.cel->is_key_only;
    return st;
}

static shardy_status check_shards(struct run *run, shardy_error *err)
{
    struct sfi_verify *verify = &run->verify;
    SFI_RETURN_IF_ERR(list_shards(run, err));
    verify->meta = sfi_manifest_meta(run->manifest);
    SFI_RETURN_IF_ERR(open_route(run, err));
    unsigned threads = sfi_thread_count(run->options->threads);
    if (!verify->store->ops->map && threads > SFI_VERIFY_REMOTE_SHARDS) {
        threads = SFI_VERIFY_REMOTE_SHARDS;
    }
    return sfi_parallel(threads, run->shard_count, check_one, run, err);
}

/* The report's memory: damages, then all texts. */
struct writer {
    shardy_damage *damages;
    size_t count;
    char *at;
};

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t findings_size(const struct sfi_findings *findings)
{
    size_t size = findings->count * sizeof(shardy_damage);
    for (size_t i = 0; i < findings->count; i++) {
        size += text_size(findings->items[i].object) + text_size(findings->items[i].message);
    }
    return size;
}

static const char *put_text(struct writer *to, const char *text)
{
    size_t size = text_size(text);
    char *at = to->at;
    if (!text) {
        return NULL;
    }
    memcpy(at, text, size);
    to->at += size;
    return at;
}

static void put_findings(struct writer *to, const struct sfi_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct sfi_finding *item = &findings->items[i];
        shardy_damage *damage = &to->damages[to->count++];
        damage->what = item->what;
        damage->object = put_text(to, item->object);
        damage->message = put_text(to, item->message);
        damage->db_id = item->db_id;
    }
}

static shardy_status make_report(const struct run *run, shardy_verify_report *report,
                                 shardy_error *err)
{
    const char *run_id = run->manifest ? sfi_manifest_meta(run->manifest)->run_id : NULL;
    size_t size = text_size(run_id) + text_size(run->ref.ref) + findings_size(&run->findings);
    size_t count = run->findings.count;
    for (size_t i = 0; i < run->shard_count; i++) {
        size += findings_size(&run->shards[i].findings);
        count += run->shards[i].findings.count;
    }
    report->owner = sfi_malloc(size);
    if (!report->owner) {
        return sfi_fail_memory(err, size);
    }
    struct writer to = {.damages = report->owner};
    to.at = (char *)(to.damages + count);
    report->run_id = put_text(&to, run_id);
    report->manifest_ref = put_text(&to, run->ref.ref);
    put_findings(&to, &run->findings);
    for (size_t i = 0; i < run->shard_count; i++) {
        const struct sfi_verify_shard *shard = &run->shards[i];
        put_findings(&to, &shard->findings);
        report->checksums_checked += shard->checksum;
        report->sidecars_checked += shard->sidecar;
        report->rows_checked += shard->rows;
        report->keys_routed += run->verify.routes ? shard->rows : 0;
        report->bytes_checked += shard->bytes;
    }
    report->shards_checked = (uint32_t)run->shard_count;
    report->damages = to.damages;
    report->damage_count = to.count;
    return SHARDY_OK;
}

static void clear_run(struct run *run)
{
    for (size_t i = 0; i < run->shard_count; i++) {
        shardy_shard_info_clear(&run->shards[i].info);
        sfi_findings_clear(&run->shards[i].findings);
    }
    sfi_free(run->shards);
    sfi_findings_clear(&run->findings);
    sfi_ref_clear(&run->ref);
    sfi_manifest_close(run->manifest);
    sfi_manifest_store_close(run->manifests);
    sfi_route_clear(&run->verify.route);
    sfi_store_release(run->verify.store);
}

shardy_status sfi_verify_on(const shardy_verify_options *options, struct sfi_store *opened,
                            shardy_verify_report *report, shardy_error *err)
{
    shardy_verify_options own;
    struct run run = {.options = &own};
    struct sfi_observer observer;
    struct sfi_store_options store = {.observer = &observer};
    shardy_status st;
    memset(report, 0, sizeof *report);
    SFI_TRY(take_options(options, &own, err));
    sfi_observer_init(&observer, own.events, NULL);
    store.options = own.store_options;
    store.count = own.store_option_count;
    if (opened) {
        run.verify.store = sfi_store_acquire(opened);
    } else {
        SFI_TRY(sfi_store_open(own.url, &store, &run.verify.store, err));
    }
    /* Local places are where copies of snapshots are kept; elsewhere readers do not relocate. */
    run.verify.relocate = run.verify.store->ops->map != NULL;
    SFI_TRY(sfi_manifest_store_object(run.verify.store, own.current_name, run.verify.relocate,
                                      &run.manifests, err));
    SFI_TRY(find_manifest(&run, err));
    if (run.ref.ref) {
        SFI_TRY(open_manifest(&run, err));
    }
    if (run.manifest) {
        SFI_TRY(check_shards(&run, err));
    }
    SFI_TRY(make_report(&run, report, err));
out:
    clear_run(&run);
    return st;
}

shardy_status shardy_verify(const shardy_verify_options *options, shardy_verify_report *report,
                            shardy_error *err)
{
    return sfi_verify_on(options, NULL, report, err);
}

void shardy_verify_report_clear(shardy_verify_report *report)
{
    if (report) {
        sfi_free(report->owner);
        memset(report, 0, sizeof *report);
    }
}
