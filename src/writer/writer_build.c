/*
 * writer_build.c - one shard from its rows: builder, database object, sidecar, manifest entry; and
 * all shards from their streams. Shards are independent and built in parallel.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/timestamp.h"
#include "shard/page_size.h"
#include "shard/sidecar.h"
#include "writer/writer_internal.h"

#include <stdio.h>

void sfi_task_init(struct sfi_shard_task *task, shardy_writer *writer, uint32_t db_id)
{
    memset(task, 0, sizeof *task);
    task->writer = writer;
    task->db_id = db_id;
    task->started_us = sfi_monotonic_us();
    sfi_buf_init(&task->min_key, SFI_KEY_MAX_BYTES);
    sfi_buf_init(&task->max_key, SFI_KEY_MAX_BYTES);
    sfi_buf_init(&task->built.sidecar, SIZE_MAX);
}

void sfi_task_clear(struct sfi_shard_task *task)
{
    if (task->builder) {
        task->builder->ops->free(task->builder);
    }
    sfi_buf_clear(&task->built.sidecar);
    sfi_buf_clear(&task->min_key);
    sfi_buf_clear(&task->max_key);
    sfi_free(task->dir_key);
    sfi_free(task->db_key);
    sfi_free(task->url);
}

static shardy_status make_names(struct sfi_shard_task *task, shardy_error *err)
{
    const struct sfi_writer_config *config = &task->writer->config;
    SFI_RETURN_IF_ERR(sfi_shard_key(config->shard_prefix, config->run_id, config->db_template,
                                    task->db_id, 0, &task->dir_key, err));
    task->db_key = sfi_url_join(task->dir_key, SFI_SHARD_DB_NAME);
    task->url = sfi_url_join(config->url, task->dir_key);
    return task->db_key && task->url ? SHARDY_OK : sfi_fail_memory(err, SFI_URL_MAX_BYTES);
}

shardy_status sfi_task_begin(struct sfi_shard_task *task, shardy_error *err)
{
    shardy_writer *writer = task->writer;
    SFI_RETURN_IF_ERR(make_names(task, err));
    sfi_log(&writer->observer, SHARDY_LOG_INFO, "writer", "shard_write_started",
            SFI_FIELDS(sfi_field_str("run_id", writer->config.run_id),
                       sfi_field_int("db_id", task->db_id), sfi_field_int("attempt", 0),
                       sfi_field_str("db_url", task->url)));
    sfi_emit(&writer->observer, "write.shard.started",
             SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer))));
    return SHARDY_OK;
}

shardy_status sfi_task_create(struct sfi_shard_task *task, uint32_t page_size, shardy_error *err)
{
    return sfi_sqlite_builder_new(task->writer->store, task->db_key, page_size,
                                  task->writer->config.sidecar, &task->builder, err);
}

static shardy_status keep_key(struct sfi_buf *to, const struct sfi_row *row, shardy_error *err)
{
    to->size = 0;
    sfi_buf_append(to, row->key, row->key_size);
    return sfi_buf_status(to, "key", err);
}

shardy_status sfi_task_add(struct sfi_shard_task *task, const struct sfi_row *rows, size_t count,
                           shardy_error *err)
{
    shardy_writer *writer = task->writer;
    if (!task->min_key.data) {
        SFI_RETURN_IF_ERR(keep_key(&task->min_key, &rows[0], err));
    }
    SFI_RETURN_IF_ERR(task->builder->ops->add(task->builder, rows, count, err));
    task->unreported += count;
    if (task->unreported >= 8192) {
        atomic_fetch_add(&writer->built_rows, task->unreported);
        task->unreported = 0;
        SFI_RETURN_IF_ERR(sfi_writer_check_cancelled(writer, err));
        sfi_writer_progress(writer, false);
    }
    /* The last row of the shard is not known in advance; keep the last of each block. */
    return keep_key(&task->max_key, &rows[count - 1], err);
}

/* Failure to write a sidecar never fails a build: readers do without it. */
static void put_sidecar(struct sfi_shard_task *task)
{
    shardy_writer *writer = task->writer;
    shardy_error error = SHARDY_ERROR_INIT;
    if (task->built.sidecar_skip_reason) {
        sfi_log(&writer->observer, SHARDY_LOG_DEBUG, "shard", "sqlite_sidecar_unsupported",
                SFI_FIELDS(sfi_field_str("db_url", task->url),
                           sfi_field_str("reason", task->built.sidecar_skip_reason)));
        return;
    }
    char *key = sfi_url_join(task->dir_key, SFI_SIDECAR_NAME);
    shardy_status st =
        key ? sfi_store_put(writer->store, key, sfi_buf_view(&task->built.sidecar),
                            SFI_SIDECAR_CONTENT_TYPE, SFI_STORE_IF_ABSENT, NULL, NULL, &error)
            : sfi_fail_memory(&error, SFI_URL_MAX_BYTES);
    if (st != SHARDY_OK) {
        sfi_log(&writer->observer, SHARDY_LOG_WARNING, "shard", "sqlite_sidecar_failed",
                SFI_FIELDS(sfi_field_str("db_url", task->url), sfi_field_str("stage", "upload"),
                           sfi_field_str("error", error.message)));
    }
    sfi_free(key);
}

/* The manifest's free-form record: the fields of the original, and ours (docs/format/shard.md). */
static bool writer_info(const struct sfi_shard_task *task, uint64_t duration_ms,
                        struct sfi_buf *out)
{
    return sfi_buf_printf(out,
                          "{\"attempt\": 0, \"checksum\": \"%s\", \"duration_ms\": %llu, "
                          "\"page_size\": %u, \"stage_id\": null, \"tail_pages\": %u, "
                          "\"task_attempt_id\": null}",
                          task->built.checksum, (unsigned long long)duration_ms,
                          task->built.page_size, task->built.tail_pages);
}

static shardy_status record_result(struct sfi_shard_task *task, uint64_t duration_ms,
                                   shardy_error *err)
{
    shardy_writer *writer = task->writer;
    struct sfi_shard_result *result = &writer->results[task->db_id];
    char checkpoint[SFI_UUID_HEX_SIZE];
    struct sfi_buf notes;
    shardy_shard_info info = {.db_id = task->db_id, .db_url = task->url};
    sfi_buf_init(&notes, 1024);
    SFI_RETURN_IF_ERR(sfi_uuid_hex(checkpoint, err));
    info.checkpoint_id = checkpoint;
    info.row_count = task->built.rows;
    info.db_bytes = task->built.bytes;
    info.min_key = sfi_key_decode(writer->config.encoding, sfi_buf_view(&task->min_key));
    info.max_key = sfi_key_decode(writer->config.encoding, sfi_buf_view(&task->max_key));
    info.has_min_key = true;
    info.has_max_key = true;
    writer_info(task, duration_ms, &notes);
    shardy_status st = sfi_buf_status(&notes, "writer_info", err);
    if (st == SHARDY_OK) {
        info.writer_info = (const char *)notes.data;
        st = sfi_shard_info_copy(&info, &result->info, err);
    }
    sfi_buf_clear(&notes);
    result->rows = task->built.rows;
    result->bytes = task->built.bytes;
    return st;
}

/*
 * The shard's object. Whether it is stored may be unknown, and is then a failure like any other:
 * no manifest names it, so nothing can have been published, and it is removed with the rest.
 */
static shardy_status finish_object(struct sfi_shard_task *task, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = task->builder->ops->finish(task->builder, &task->built, &why);
    bool lost = st == SHARDY_UNKNOWN;
    /* It may fail behind the commit, for want of memory for the sidecar: then there is an ETag. */
    task->writer->results[task->db_id].committed =
        st == SHARDY_OK || lost || (st == SHARDY_NO_MEMORY && task->built.etag[0]);
    if (lost) {
        return sfi_fail(err, SHARDY_STORE, "%.900s; nothing was published", why.message);
    }
    if (st != SHARDY_OK && err) {
        *err = why;
    }
    return st;
}

shardy_status sfi_task_finish(struct sfi_shard_task *task, shardy_error *err)
{
    shardy_writer *writer = task->writer;
    atomic_fetch_add(&writer->built_rows, task->unreported);
    SFI_RETURN_IF_ERR(sfi_writer_check_cancelled(writer, err));
    SFI_RETURN_IF_ERR(finish_object(task, err));
    if (writer->config.sidecar) {
        put_sidecar(task);
    }
    uint64_t duration_ms = (sfi_monotonic_us() - task->started_us) / 1000;
    SFI_RETURN_IF_ERR(record_result(task, duration_ms, err));
    atomic_fetch_add(&writer->built_bytes, task->built.bytes);
    atomic_fetch_add(&writer->shards_done, 1);
    sfi_log(&writer->observer, SHARDY_LOG_INFO, "writer", "shard_write_completed",
            SFI_FIELDS(sfi_field_str("run_id", writer->config.run_id),
                       sfi_field_int("db_id", task->db_id), sfi_field_int("attempt", 0),
                       sfi_field_int("row_count", task->built.rows),
                       sfi_field_int("duration_ms", duration_ms)));
    sfi_emit(&writer->observer, "write.shard.completed",
             SFI_FIELDS(sfi_field_int("elapsed_ms", sfi_writer_elapsed_ms(writer)),
                        sfi_field_int("duration_ms", duration_ms),
                        sfi_field_int("row_count", task->built.rows)));
    sfi_writer_progress(writer, false);
    return SHARDY_OK;
}

void sfi_task_failed(struct sfi_shard_task *task, shardy_error *err)
{
    shardy_writer *writer = task->writer;
    sfi_error_prefix(err, "shard %u: ", task->db_id);
    sfi_log(&writer->observer, SHARDY_LOG_ERROR, "writer", "shard_write_failed",
            SFI_FIELDS(sfi_field_str("run_id", writer->config.run_id),
                       sfi_field_int("db_id", task->db_id), sfi_field_int("attempt", 0),
                       sfi_field_str("db_url", task->url),
                       sfi_field_int("rows_written", task->built.rows),
                       sfi_field_str("error", err ? err->message : "")));
}

/* Page size of a shard; `auto` looks at all rows first. */
static shardy_status choose_page_size(const shardy_writer *writer, struct sfi_stream *stream,
                                      uint32_t *page_size, shardy_error *err)
{
    *page_size = writer->config.page_size;
    if (*page_size != SHARDY_PAGE_SIZE_AUTO) {
        return SHARDY_OK;
    }
    struct sfi_length_profile *profile = sfi_calloc(1, sizeof *profile);
    const struct sfi_row *rows;
    size_t count = 0;
    shardy_status st = SHARDY_OK;
    if (!profile) {
        return sfi_fail_memory(err, sizeof *profile);
    }
    do {
        SFI_TRY(sfi_stream_next(stream, &rows, &count, err));
        for (size_t i = 0; i < count; i++) {
            sfi_length_profile_add(profile, rows[i].key_size, rows[i].value_size);
        }
    } while (count);
    *page_size = sfi_length_profile_page_size(profile);
    SFI_TRY(sfi_stream_rewind(stream, err));
out:
    sfi_free(profile);
    return st;
}

static shardy_status build_stream(struct sfi_shard_task *task, struct sfi_stream *stream,
                                  shardy_error *err)
{
    const struct sfi_row *rows;
    size_t count = 0;
    uint32_t page_size;
    SFI_RETURN_IF_ERR(sfi_task_begin(task, err));
    SFI_RETURN_IF_ERR(choose_page_size(task->writer, stream, &page_size, err));
    SFI_RETURN_IF_ERR(sfi_task_create(task, page_size, err));
    do {
        SFI_RETURN_IF_ERR(sfi_stream_next(stream, &rows, &count, err));
        if (count) {
            SFI_RETURN_IF_ERR(sfi_task_add(task, rows, count, err));
        }
    } while (count);
    return sfi_task_finish(task, err);
}

shardy_status sfi_writer_build_shard(shardy_writer *writer, struct sfi_rows *rows, uint32_t list,
                                     uint32_t db_id, unsigned worker, shardy_error *err)
{
    struct sfi_shard_task task;
    struct sfi_stream *stream = NULL;
    shardy_status st = SHARDY_OK;
    sfi_task_init(&task, writer, db_id);
    SFI_TRY(sfi_writer_check_cancelled(writer, err));
    SFI_TRY(sfi_stream_open(rows, list, worker, false, &stream, err));
    if (sfi_stream_input_rows(stream) > 0) {
        SFI_TRY(build_stream(&task, stream, err));
    }
out:
    if (st != SHARDY_OK) {
        sfi_task_failed(&task, err);
    }
    sfi_stream_free(stream);
    sfi_task_clear(&task);
    return st;
}

static shardy_status build_nth(void *arg, size_t index, unsigned worker, shardy_error *err)
{
    shardy_writer *writer = arg;
    uint32_t db_id = (uint32_t)index;
    return sfi_writer_build_shard(writer, &writer->rows, db_id, db_id, worker, err);
}

shardy_status sfi_writer_build_shards(shardy_writer *writer, shardy_error *err)
{
    return sfi_parallel(writer->config.threads, writer->config.num_dbs, build_nth, writer, err);
}

static void remove_object(shardy_writer *writer, const char *dir_key, const char *name)
{
    char *key = sfi_url_join(dir_key, name);
    shardy_error error = SHARDY_ERROR_INIT;
    if (key && sfi_store_delete(writer->store, key, &error) != SHARDY_OK) {
        sfi_log(&writer->observer, SHARDY_LOG_WARNING, "writer", "loser_cleanup_failed",
                SFI_FIELDS(sfi_field_str("db_url", key), sfi_field_str("error", error.message)));
    }
    sfi_free(key);
}

void sfi_writer_remove_shards(shardy_writer *writer)
{
    const struct sfi_writer_config *config = &writer->config;
    for (uint32_t id = 0; writer->results && id < config->num_dbs; id++) {
        char *dir_key = NULL;
        if (!writer->results[id].committed ||
            sfi_shard_key(config->shard_prefix, config->run_id, config->db_template, id, 0,
                          &dir_key, NULL) != SHARDY_OK) {
            continue;
        }
        remove_object(writer, dir_key, SFI_SIDECAR_NAME);
        remove_object(writer, dir_key, SFI_SHARD_DB_NAME);
        writer->results[id].committed = false;
        sfi_free(dir_key);
    }
}
