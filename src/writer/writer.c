/*
 * writer.c - the public calls of a build: open, add, finish, free. What happens to rows is told in
 * writer_internal.h; publishing is the manifest module's.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/timestamp.h"
#include "writer/writer_internal.h"

#include <stdio.h>

#define PROGRESS_INTERVAL_US 100000u
/* Shards to begin with when rows tell their number. */
#define FIRST_SHARDS 64u

/* --- small services for the other parts ------------------------------------------------------- */

uint64_t sfi_writer_elapsed_ms(const shardy_writer *writer)
{
    return (sfi_monotonic_us() - writer->started_us) / 1000;
}

shardy_status sfi_writer_check_cancelled(shardy_writer *writer, shardy_error *err)
{
    return atomic_load_explicit(&writer->cancelled, memory_order_relaxed)
               ? sfi_fail(err, SHARDY_CANCELLED, "build %s was cancelled", writer->config.run_id)
               : SHARDY_OK;
}

void sfi_writer_progress(shardy_writer *writer, bool force)
{
    uint64_t now = sfi_monotonic_us();
    if (!writer->progress || (!force && now < atomic_load(&writer->progress_next_us)) ||
        atomic_flag_test_and_set(&writer->progress_busy)) {
        return;
    }
    shardy_progress report = {
        .phase = (shardy_phase)atomic_load(&writer->phase),
        .rows = atomic_load(&writer->seen_rows),
        .input_bytes = atomic_load(&writer->seen_bytes),
        .built_rows = atomic_load(&writer->built_rows),
        .built_bytes = atomic_load(&writer->built_bytes),
        .shards_done = atomic_load(&writer->shards_done),
        .num_dbs = writer->config.num_dbs,
    };
    writer->progress(writer->progress_arg, &report);
    atomic_store(&writer->progress_next_us, sfi_monotonic_us() + PROGRESS_INTERVAL_US);
    atomic_flag_clear(&writer->progress_busy);
}

/* A failure after which rows may be missing: the build cannot go on. */
static shardy_status break_writer(shardy_writer *writer, shardy_status st, shardy_error *err)
{
    writer->broken = st;
    sfi_fail(&writer->broken_error, st, "%s",
             err && err->message[0] ? err->message : shardy_status_text(st));
    return st;
}

static shardy_status check_usable(shardy_writer *writer, shardy_error *err)
{
    if (writer->finished) {
        return sfi_fail(err, SHARDY_CONFIG, "the build is already finished; open a new writer");
    }
    if (writer->broken != SHARDY_OK) {
        return sfi_fail(err, writer->broken, "the build failed earlier: %s",
                        writer->broken_error.message);
    }
    return sfi_writer_check_cancelled(writer, err);
}

/* --- open --------------------------------------------------------------------------------------
 */

/* A run id names a folder of shards; one that exists belongs to another build. */
static shardy_status check_run_unused(shardy_writer *writer, shardy_error *err)
{
    struct sfi_buf prefix;
    struct sfi_store_list list = {0};
    shardy_status st = SHARDY_OK;
    sfi_buf_init(&prefix, SFI_URL_MAX_BYTES);
    sfi_buf_printf(&prefix, "%s/run_id=%s", writer->config.shard_prefix, writer->config.run_id);
    SFI_TRY(sfi_buf_status(&prefix, "run folder", err));
    SFI_TRY(sfi_store_list(writer->store, (const char *)prefix.data, false, &list, err));
    if (list.count) {
        st = sfi_fail(err, SHARDY_CONFLICT,
                      "run_id %s was used before: %s/%s is not empty; choose another run_id or "
                      "remove that folder",
                      writer->config.run_id, writer->config.url, (const char *)prefix.data);
    }
out:
    sfi_store_list_clear(&list);
    sfi_buf_clear(&prefix);
    return st;
}

/* Rows can be routed from now on: the number of shards is known. */
static shardy_status start_rows(shardy_writer *writer, shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    writer->results = sfi_calloc(config->num_dbs, sizeof *writer->results);
    if (!writer->results) {
        return sfi_fail_memory(err, config->num_dbs * sizeof *writer->results);
    }
    if (config->input_order != SHARDY_INPUT_ANY) {
        return sfi_ordered_new(writer, &writer->ordered, err);
    }
    SFI_RETURN_IF_ERR(sfi_rows_init(&writer->rows, config->encoding, config->num_dbs,
                                    config->threads, config->memory_limit, &writer->spill, err));
    writer->rows_ready = true;
    return SHARDY_OK;
}

/* Shards appear as rows come: results are made at the end. */
static shardy_status start_open_rows(shardy_writer *writer, shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    if (config->input_order != SHARDY_INPUT_ANY) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "input_order grouped or sorted needs the number of shards: give num_dbs or "
                        "routing_values");
    }
    SFI_RETURN_IF_ERR(sfi_rows_init(&writer->rows, config->encoding, FIRST_SHARDS, config->threads,
                                    config->memory_limit, &writer->spill, err));
    writer->rows_ready = true;
    return SHARDY_OK;
}

static shardy_status start_cel(shardy_writer *writer, const shardy_cel_sharding *sharding,
                               shardy_error *err)
{
    struct sfi_writer_config *config = &writer->config;
    SFI_RETURN_IF_ERR(sfi_cel_writer_new(sharding, config->num_dbs, config->key_column,
                                         config->threads, &writer->cel, err));
    config->num_dbs = sfi_cel_writer_num_dbs(writer->cel);
    return config->num_dbs ? start_rows(writer, err) : start_open_rows(writer, err);
}

static shardy_status open_writer(shardy_writer *writer, const shardy_writer_options *options,
                                 shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    sfi_observer_init(&writer->observer, options->events, options->logs);
    writer->progress = options->progress;
    writer->progress_arg = options->progress_arg;
    writer->spill.dir = config->spill_dir;
    const struct sfi_store_options store = {
        .options = options->store_options,
        .count = options->store_option_count,
        .observer = &writer->observer,
    };
    SFI_RETURN_IF_ERR(sfi_store_open(config->url, &store, &writer->store, err));
    SFI_RETURN_IF_ERR(check_run_unused(writer, err));
    SFI_RETURN_IF_ERR(sfi_arena_new(sfi_encoding_is_int(config->encoding), &writer->arena, err));
    if (options->cel) {
        SFI_RETURN_IF_ERR(start_cel(writer, options->cel, err));
    } else if (config->num_dbs) {
        SFI_RETURN_IF_ERR(start_rows(writer, err));
    } else {
        SFI_RETURN_IF_ERR(sfi_stage_new(&writer->spill, config->memory_limit, &writer->stage, err));
    }
    sfi_log(&writer->observer, SHARDY_LOG_INFO, "writer", "write_started",
            SFI_FIELDS(sfi_field_str("run_id", config->run_id),
                       sfi_field_int("num_dbs", config->num_dbs),
                       sfi_field_str("s3_prefix", config->url),
                       sfi_field_str("strategy", writer->cel ? "cel" : "hash"),
                       sfi_field_str("key_encoding", shardy_key_encoding_name(config->encoding)),
                       sfi_field_str("writer_type", "c")));
    sfi_emit(&writer->observer, "write.started", SFI_FIELDS(sfi_field_int("elapsed_ms", 0)));
    return SHARDY_OK;
}

shardy_status shardy_writer_open(const shardy_writer_options *options, shardy_writer **out,
                                 shardy_error *err)
{
    shardy_writer_options known;
    shardy_writer *writer;
    *out = NULL;
    writer = sfi_calloc(1, sizeof *writer);
    if (!writer) {
        return sfi_fail_memory(err, sizeof *writer);
    }
    writer->spill.fd = -1;
    pthread_mutex_init(&writer->spill.lock, NULL);
    atomic_flag_clear(&writer->progress_busy);
    writer->started_us = sfi_monotonic_us();
    shardy_status st = sfi_writer_config_init(&writer->config, &known, options, err);
    if (st == SHARDY_OK) {
        st = open_writer(writer, &known, err);
    }
    if (st != SHARDY_OK) {
        shardy_writer_free(writer);
        return st;
    }
    *out = writer;
    return SHARDY_OK;
}

/* --- add ---------------------------------------------------------------------------------------
 */

/* Hand a checked batch on; it is taken over. */
static shardy_status take_batch(shardy_writer *writer, struct sfi_batch *batch, shardy_error *err)
{
    atomic_store(&writer->seen_rows, writer->rows_read);
    atomic_store(&writer->seen_bytes, writer->input_bytes);
    if (writer->cel && writer->rows_ready) {
        shardy_status grown = sfi_rows_grow(&writer->rows, sfi_cel_writer_shards(writer->cel), err);
        if (grown != SHARDY_OK) {
            sfi_batch_release(batch);
            return break_writer(writer, grown, err);
        }
    }
    shardy_status st = writer->ordered      ? sfi_ordered_add(writer->ordered, batch, err)
                       : writer->rows_ready ? sfi_rows_add(&writer->rows, batch, err)
                                            : sfi_stage_add(writer->stage, batch, err);
    return st == SHARDY_OK ? st : break_writer(writer, st, err);
}

static shardy_status flush_arena(shardy_writer *writer, shardy_error *err)
{
    struct sfi_batch batch;
    uint64_t count = sfi_arena_rows(writer->arena);
    if (!count) {
        return SHARDY_OK;
    }
    shardy_status st = sfi_arena_take(writer->arena, writer->rows_read - count, &batch, err);
    if (st != SHARDY_OK) {
        return break_writer(writer, st, err);
    }
    if (writer->cel) {
        sfi_cel_writer_take(writer->cel, &batch);
    }
    return take_batch(writer, &batch, err);
}

static shardy_status check_row(shardy_writer *writer, const shardy_key *key, size_t value_size,
                               uint8_t buffer[8], struct sfi_bytes *stored, shardy_error *err)
{
    uint64_t digest;
    const void *data;
    shardy_status st = writer->cel ? SHARDY_OK : shardy_key_digest(key, &digest, err);
    if (st == SHARDY_OK) {
        st = sfi_key_encode_row(key, writer->config.encoding, buffer, &data, &stored->size, err);
    }
    if (st != SHARDY_OK) {
        char text[SFI_KEY_TEXT_SIZE];
        sfi_key_text(key, text);
        sfi_error_prefix(err, "row %llu, key %s: ", (unsigned long long)writer->rows_read, text);
        return st;
    }
    stored->data = data;
    if (value_size > SFI_VALUE_MAX_BYTES) {
        return sfi_fail(err, SHARDY_LIMIT, "row %llu: value of %zu bytes exceeds the limit of %u",
                        (unsigned long long)writer->rows_read, value_size, SFI_VALUE_MAX_BYTES);
    }
    return SHARDY_OK;
}

shardy_status shardy_writer_add(shardy_writer *writer, const shardy_key *key, const void *value,
                                size_t value_size, shardy_error *err)
{
    return shardy_writer_add_with_context(writer, key, value, value_size, NULL, err);
}

shardy_status shardy_writer_add_with_context(shardy_writer *writer, const shardy_key *key,
                                             const void *value, size_t value_size,
                                             const shardy_context *context, shardy_error *err)
{
    uint8_t buffer[8];
    struct sfi_bytes stored = {0};
    struct sfi_bytes bytes = {value, value_size};
    SFI_RETURN_IF_ERR(check_usable(writer, err));
    SFI_RETURN_IF_ERR(check_row(writer, key, value_size, buffer, &stored, err));
    if (writer->cel) {
        SFI_RETURN_IF_ERR(sfi_cel_writer_row(writer->cel, key, context, writer->rows_read, err));
    } else if (context) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "a routing context requires CEL sharding strategy; this build uses hash "
                        "sharding, so leave it out");
    }
    if (sfi_encoding_is_int(writer->config.encoding)) {
        stored.size = 0; /* the number is kept instead */
    }
    shardy_status st = sfi_arena_add(writer->arena, key->number, stored, bytes, err);
    if (st != SHARDY_OK) {
        return break_writer(writer, st, err);
    }
    writer->rows_read++;
    writer->input_bytes += stored.size + value_size;
    if (sfi_arena_full(writer->arena)) {
        SFI_RETURN_IF_ERR(flush_arena(writer, err));
        sfi_writer_progress(writer, false);
    }
    return SHARDY_OK;
}

static shardy_status open_batch(shardy_writer *writer, const struct ArrowSchema *schema,
                                const struct ArrowArray *array, struct sfi_batch *batch,
                                shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    batch->first_row = writer->rows_read;
    SFI_RETURN_IF_ERR(
        sfi_batch_column(schema, array, config->key_column, batch->first_row, &batch->key, err));
    SFI_RETURN_IF_ERR(sfi_batch_column(schema, array, config->value_column, batch->first_row,
                                       &batch->value, err));
    if (sfi_column_is_int(&batch->value)) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "column \"%s\": values must be binary or text, not integers",
                        config->value_column);
    }
    batch->bytes = sfi_column_byte_size(&batch->key) + sfi_column_byte_size(&batch->value) +
                   8 * (uint64_t)batch->value.length;
    SFI_RETURN_IF_ERR(sfi_rows_check(config->encoding, !writer->cel, batch, err));
    return writer->cel ? sfi_cel_writer_batch(writer->cel, schema, array, batch, err) : SHARDY_OK;
}

shardy_status shardy_writer_add_batch(shardy_writer *writer, const struct ArrowSchema *schema,
                                      struct ArrowArray *array, shardy_error *err)
{
    struct sfi_batch batch;
    memset(&batch, 0, sizeof batch);
    if (!array || !array->release) {
        return sfi_fail(err, SHARDY_CONFIG, "batch is NULL or was released before");
    }
    batch.array = *array; /* moved, as the Arrow C data interface says */
    array->release = NULL;
    shardy_status st = check_usable(writer, err);
    if (st == SHARDY_OK) {
        st = open_batch(writer, schema, &batch.array, &batch, err);
    }
    if (st == SHARDY_OK) {
        st = flush_arena(writer, err); /* rows keep their order */
    }
    if (st != SHARDY_OK || batch.key.length == 0) {
        sfi_batch_release(&batch);
        return st;
    }
    writer->rows_read += batch.key.length;
    writer->input_bytes += batch.bytes;
    SFI_RETURN_IF_ERR(take_batch(writer, &batch, err));
    sfi_writer_progress(writer, false);
    return SHARDY_OK;
}

void shardy_writer_cancel(shardy_writer *writer)
{
    atomic_store(&writer->cancelled, true);
}

/* --- finish ------------------------------------------------------------------------------------
 */

/* The number of shards is known now: ceil(rows / max_keys_per_shard). */
static shardy_status replay_stage(shardy_writer *writer, shardy_error *err)
{
    struct sfi_writer_config *config = &writer->config;
    uint64_t rows = writer->rows_read;
    uint64_t shards = rows / config->max_keys_per_shard + (rows % config->max_keys_per_shard != 0);
    if (shards > SFI_SHARDS_MAX) {
        return sfi_fail(err, SHARDY_LIMIT,
                        "%llu rows with max_keys_per_shard %llu need %llu shards; the limit is %u",
                        (unsigned long long)rows, (unsigned long long)config->max_keys_per_shard,
                        (unsigned long long)shards, SFI_SHARDS_MAX);
    }
    config->num_dbs = shards ? (uint32_t)shards : 1;
    SFI_RETURN_IF_ERR(start_rows(writer, err));
    SFI_RETURN_IF_ERR(sfi_stage_replay(writer->stage, &writer->rows, err));
    sfi_stage_free(writer->stage);
    writer->stage = NULL;
    return SHARDY_OK;
}

/* The number of shards is known now, and the manifest's sharding object. */
static shardy_status end_cel(shardy_writer *writer, shardy_error *err)
{
    struct sfi_writer_config *config = &writer->config;
    if (!config->num_dbs) {
        uint32_t num_dbs;
        SFI_RETURN_IF_ERR(sfi_cel_writer_end(writer->cel, &writer->rows, &num_dbs, err));
        writer->results = sfi_calloc(num_dbs, sizeof *writer->results);
        if (!writer->results) {
            return sfi_fail_memory(err, num_dbs * sizeof *writer->results);
        }
        config->num_dbs = num_dbs;
    }
    return sfi_cel_writer_sharding(writer->cel, &writer->sharding_json, err);
}

static shardy_status build_all(shardy_writer *writer, shardy_error *err)
{
    uint64_t start = sfi_monotonic_us();
    SFI_RETURN_IF_ERR(flush_arena(writer, err));
    if (writer->stage) {
        SFI_RETURN_IF_ERR(replay_stage(writer, err));
    }
    if (writer->cel) {
        SFI_RETURN_IF_ERR(end_cel(writer, err));
    }
    if (writer->rows_ready) {
        SFI_RETURN_IF_ERR(sfi_rows_end(&writer->rows, err));
    }
    atomic_store(&writer->phase, SHARDY_PHASE_BUILD);
    sfi_writer_progress(writer, true);
    SFI_RETURN_IF_ERR(writer->ordered ? sfi_ordered_finish(writer->ordered, err)
                                      : sfi_writer_build_shards(writer, err));
    uint64_t duration_ms = (sfi_monotonic_us() - start) / 1000;
    uint64_t rows = atomic_load(&writer->built_rows);
    sfi_log(&writer->observer, SHARDY_LOG_INFO, "writer", "shard_writes_completed",
            SFI_FIELDS(sfi_field_str("run_id", writer->config.run_id),
                       sfi_field_int("rows_written", rows),
                       sfi_field_int("duration_ms", duration_ms),
                       sfi_field_int("num_winners", atomic_load(&writer->shards_done))));
    sfi_emit(&writer->observer, "write.shards_completed",
             SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer)),
                        sfi_field_int("duration_ms", duration_ms),
                        sfi_field_int("rows_written", rows)));
    return SHARDY_OK;
}

/* Whether the objects of a failed publish must stay: a manifest names them, or may do so. */
static bool keep_objects(shardy_status st, const struct sfi_publish_result *published)
{
    return published->manifest_ref || st == SHARDY_UNKNOWN;
}

/* Stop building, and remove what was built. */
static void abandon(shardy_writer *writer)
{
    atomic_store(&writer->cancelled, true);
    sfi_ordered_free(writer->ordered);
    writer->ordered = NULL;
    sfi_writer_remove_shards(writer);
}

shardy_status shardy_writer_finish(shardy_writer *writer, shardy_build_result *result,
                                   shardy_error *err)
{
    struct sfi_publish_result published;
    shardy_build_result local;
    shardy_error error = SHARDY_ERROR_INIT;
    shardy_status st = SHARDY_OK;
    memset(&published, 0, sizeof published);
    memset(&local, 0, sizeof local);
    if (result) {
        memset(result, 0, sizeof *result);
    }
    st = check_usable(writer, err);
    if (st != SHARDY_OK) {
        if (!writer->finished) {
            abandon(writer);
        }
        return st;
    }
    uint64_t read_end = sfi_monotonic_us();
    uint64_t build_end = read_end;
    SFI_TRY(build_all(writer, &error));
    build_end = sfi_monotonic_us();
    SFI_TRY(sfi_writer_check_cancelled(writer, &error));
    atomic_store(&writer->phase, SHARDY_PHASE_PUBLISH);
    sfi_writer_progress(writer, true);
    st = sfi_writer_publish(writer, &published, &error);
    if ((st == SHARDY_OK || keep_objects(st, &published)) && result) {
        shardy_status filled = sfi_writer_fill_result(writer, &published, &local, NULL);
        if (st == SHARDY_OK && filled != SHARDY_OK) { /* "out of memory" would deny the publish */
            st = sfi_fail(&error, SHARDY_UNKNOWN, "run %s is stored%s, but cannot be described: %s",
                          writer->config.run_id, published.published ? " and current" : "",
                          shardy_status_text(filled));
        }
    }
out:
    writer->finished = true;
    if (st != SHARDY_OK && !keep_objects(st, &published)) {
        abandon(writer);
    }
    if (local.owner) {
        local.read_us = read_end - writer->started_us;
        local.build_us = build_end - read_end;
        local.publish_us = sfi_monotonic_us() - build_end;
    }
    if (st == SHARDY_OK) {
        sfi_writer_report(writer, &published);
    } else if (err) {
        *err = error;
    }
    if (result) {
        *result = local;
    }
    sfi_publish_result_clear(&published);
    return st;
}

void shardy_build_result_clear(shardy_build_result *result)
{
    if (result) {
        sfi_free(result->owner);
        memset(result, 0, sizeof *result);
    }
}

void shardy_writer_free(shardy_writer *writer)
{
    if (!writer) {
        return;
    }
    if (!writer->finished) {
        abandon(writer);
    }
    sfi_ordered_free(writer->ordered);
    if (writer->rows_ready) {
        sfi_rows_clear(&writer->rows);
    }
    for (uint32_t id = 0; writer->results && id < writer->config.num_dbs; id++) {
        shardy_shard_info_clear(&writer->results[id].info);
    }
    sfi_free(writer->results);
    sfi_stage_free(writer->stage);
    sfi_cel_writer_free(writer->cel);
    sfi_free(writer->sharding_json);
    sfi_arena_free(writer->arena);
    sfi_spill_close(&writer->spill);
    pthread_mutex_destroy(&writer->spill.lock);
    sfi_store_release(writer->store);
    sfi_writer_config_clear(&writer->config);
    sfi_free(writer);
}
