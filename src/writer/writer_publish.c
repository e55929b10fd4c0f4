/*
 * writer_publish.c - the end of a build: its manifest, what the caller is told, and the last
 * events. Publishing itself is the manifest module's.
 */
#include "base/memory.h"
#include "base/timestamp.h"
#include "writer/writer_internal.h"

shardy_status sfi_writer_publish(shardy_writer *writer, struct sfi_publish_result *published,
                                 shardy_error *err)
{
    const struct sfi_writer_config *config = &writer->config;
    struct sfi_manifest_store *manifests = NULL;
    shardy_shard_info *shards = sfi_array_alloc(config->num_dbs, sizeof *shards);
    size_t count = 0;
    shardy_status st = SHARDY_OK;
    struct sfi_build_meta meta = {
        .run_id = config->run_id,
        .s3_prefix = config->url,
        .key_col = config->key_col,
        .sharding_json = writer->cel ? writer->sharding_json : SFI_HASH_SHARDING_JSON,
        .db_path_template = config->db_template,
        .shard_prefix = config->shard_prefix,
        .custom_json = config->custom_json,
        .created_at_us = sfi_now_us(),
        .num_dbs = config->num_dbs,
        .sharding = writer->cel ? SHARDY_SHARDING_CEL : SHARDY_SHARDING_HASH,
        .key_encoding = config->encoding,
    };
    struct sfi_publish_options options = {config->no_publish, config->expect, config->expected_ref,
                                          &writer->observer, &writer->cancelled};
    if (!shards) {
        return sfi_fail_memory(err, config->num_dbs * sizeof *shards);
    }
    for (uint32_t id = 0; id < config->num_dbs; id++) {
        if (writer->results[id].committed) {
            shards[count++] = writer->results[id].info; /* borrowed */
        }
    }
    SFI_TRY(sfi_manifest_store_object(writer->store, config->current_name, false, &manifests, err));
    st = manifests->ops->publish(manifests, &meta, shards, count, &options, published, err);
out:
    sfi_manifest_store_close(manifests);
    sfi_free(shards);
    return st;
}

/* Results live in one block: the three strings that may be missing behind one another. */
shardy_status sfi_writer_fill_result(shardy_writer *writer,
                                     const struct sfi_publish_result *published,
                                     shardy_build_result *result, shardy_error *err)
{
    const char *texts[] = {writer->config.run_id, published->manifest_ref,
                           published->replaced_run_id, published->replaced_ref};
    const char **fields[] = {&result->run_id, &result->manifest_ref, &result->replaced_run_id,
                             &result->replaced_ref};
    size_t size = 0;
    for (size_t i = 0; i < 4; i++) {
        size += texts[i] ? strlen(texts[i]) + 1 : 0;
    }
    char *at = sfi_malloc(size);
    if (!at) {
        return sfi_fail_memory(err, size);
    }
    result->owner = at;
    for (size_t i = 0; i < 4; i++) {
        if (texts[i]) {
            *fields[i] = at;
            memcpy(at, texts[i], strlen(texts[i]) + 1);
            at += strlen(texts[i]) + 1;
        }
    }
    result->published = published->published;
    result->guarded = published->guarded;
    result->num_dbs = writer->config.num_dbs;
    result->rows_read = writer->rows_read;
    result->spilled_bytes = writer->spill.size;
    for (uint32_t id = 0; id < writer->config.num_dbs; id++) {
        result->num_shards += writer->results[id].committed;
        result->rows_written += writer->results[id].rows;
        result->bytes_written += writer->results[id].bytes;
    }
    return SHARDY_OK;
}

void sfi_writer_report(shardy_writer *writer, const struct sfi_publish_result *published)
{
    uint64_t rows = atomic_load(&writer->built_rows);
    sfi_emit(&writer->observer, "write.manifest_published",
             SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer))));
    if (published->published) {
        sfi_emit(&writer->observer, "write.current_published",
                 SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer))));
    }
    sfi_log(&writer->observer, SHARDY_LOG_INFO, "writer", "write_completed",
            SFI_FIELDS(sfi_field_str("run_id", writer->config.run_id),
                       sfi_field_int("total_ms", sfi_writer_elapsed_ms(writer)),
                       sfi_field_int("rows_written", rows)));
    atomic_store(&writer->phase, SHARDY_PHASE_DONE);
    sfi_writer_progress(writer, true);
    sfi_emit(&writer->observer, "write.completed",
             SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer)),
                        sfi_field_int("rows_written", rows)));
}
