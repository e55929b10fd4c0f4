/*
 * writer_config.c - the options of a build: defaults, and every rule checked in one place before
 * anything is written (spec 01 1.1, spec 07 4).
 */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/parallel.h"
#include "shard/page_size.h"
#include "shard/sidecar.h"
#include "writer/writer_internal.h"

#include <stdlib.h>

/* The caller's struct as this library knows it: fields its headers did not have are zero. */
static shardy_status known_options(const shardy_writer_options *from, shardy_writer_options *to,
                                   shardy_error *err)
{
    return sfi_options_take(from, offsetof(shardy_writer_options, run_id), to, sizeof *to,
                            "SHARDY_WRITER_OPTIONS_INIT", err);
}

static shardy_status check_numbers(const shardy_writer_options *o, shardy_error *err)
{
    if (o->num_dbs && o->max_keys_per_shard) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "num_dbs must be 0 when max_keys_per_shard is set, got %u", o->num_dbs);
    }
    if (o->cel && o->max_keys_per_shard) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "max_keys_per_shard cannot be combined with CEL sharding");
    }
    if (!o->max_keys_per_shard && ((o->num_dbs == 0 && !o->cel) || o->num_dbs > SFI_SHARDS_MAX)) {
        return sfi_fail(err, SHARDY_CONFIG, "num_dbs must be 1 .. %u, got %u", SFI_SHARDS_MAX,
                        o->num_dbs);
    }
    if ((unsigned)o->key_encoding > SHARDY_KEY_RAW) {
        return sfi_fail(err, SHARDY_CONFIG, "unknown key_encoding %d", (int)o->key_encoding);
    }
    if (o->page_size && o->page_size != SHARDY_PAGE_SIZE_AUTO &&
        !sfi_page_size_supported(o->page_size)) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "page_size must be 4096, 8192, 16384, 32768, 65536 or auto, got %u",
                        o->page_size);
    }
    if (o->memory_limit_bytes && o->memory_limit_bytes < SFI_WRITER_MEMORY_MIN) {
        return sfi_fail(err, SHARDY_CONFIG, "memory_limit_bytes must be at least %llu, got %llu",
                        (unsigned long long)SFI_WRITER_MEMORY_MIN,
                        (unsigned long long)o->memory_limit_bytes);
    }
    if (o->threads > SFI_THREADS_MAX) {
        return sfi_fail(err, SHARDY_CONFIG, "threads must be at most %u, got %u", SFI_THREADS_MAX,
                        o->threads);
    }
    if ((unsigned)o->input_order > SHARDY_INPUT_SORTED) {
        return sfi_fail(err, SHARDY_CONFIG, "unknown input_order %d", (int)o->input_order);
    }
    if (o->input_order != SHARDY_INPUT_ANY && o->max_keys_per_shard) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "input_order grouped or sorted needs num_dbs: with max_keys_per_shard the "
                        "shard of a row is known only after the last row");
    }
    if ((unsigned)o->policy > SHARDY_PUBLISH_EXPECT) {
        return sfi_fail(err, SHARDY_CONFIG, "unknown publish policy %d", (int)o->policy);
    }
    return SHARDY_OK;
}

static shardy_status copy_text(char **to, const char *from, const char *fallback, shardy_error *err)
{
    const char *text = from && *from ? from : fallback;
    *to = sfi_strdup(text);
    return *to || !text ? SHARDY_OK : sfi_fail_memory(err, strlen(text) + 1);
}

static shardy_status check_names(const struct sfi_writer_config *config, shardy_error *err)
{
    SFI_RETURN_IF_ERR(sfi_segment_check("shard_prefix", config->shard_prefix, err));
    SFI_RETURN_IF_ERR(sfi_db_template_check(config->db_template, err));
    SFI_RETURN_IF_ERR(sfi_run_id_check(config->run_id, err));
    return sfi_key_check(config->current_name, err);
}

/* The manifest's custom fields: the caller's, and what announces sidecars (spec 03 4.10). */
static shardy_status custom_fields(struct sfi_writer_config *config, const char *user,
                                   shardy_error *err)
{
    struct sfi_json_doc doc = {0};
    struct sfi_buf text;
    struct sfi_buf merged;
    shardy_status st = SHARDY_OK;
    struct sfi_bytes given = {(const uint8_t *)(user ? user : "{}"), user ? strlen(user) : 2};
    sfi_buf_init(&text, SFI_JSON_MAX_BYTES);
    sfi_buf_init(&merged, SFI_JSON_MAX_BYTES);
    SFI_TRY(sfi_json_parse(given, 0, &doc, err));
    if (doc.root->kind != SFI_JSON_OBJECT) {
        SFI_TRY(sfi_fail(err, SHARDY_CONFIG, "custom_fields must be a JSON object"));
    }
    if (config->sidecar) {
        /* Of equal names the canonical writer keeps the last: ours. */
        size_t end = given.size;
        while (end > 0 && given.data[end - 1] != '}') {
            end--;
        }
        sfi_buf_append(&text, given.data, end - 1);
        sfi_buf_append_text(&text, doc.root->count ? "," : "");
        sfi_buf_printf(&text,
                       "\"sqlite_sidecar\":{\"codec\":\"zstd\",\"filename\":\"%s\","
                       "\"format_version\":%d,\"page_size\":",
                       SFI_SIDECAR_NAME, SFI_SIDECAR_FORMAT_VERSION);
        if (config->page_size == SHARDY_PAGE_SIZE_AUTO) {
            sfi_buf_append_text(&text, "\"auto\"}}");
        } else {
            sfi_buf_printf(&text, "%u}}", config->page_size);
        }
    } else {
        sfi_buf_append(&text, given.data, given.size);
    }
    SFI_TRY(sfi_buf_status(&text, "custom_fields", err));
    SFI_TRY(sfi_json_canonical(sfi_buf_view(&text), SFI_JSON_SPACED, &merged, err));
    config->custom_json = sfi_buf_take(&merged);
    st = config->custom_json ? SHARDY_OK : sfi_fail_memory(err, text.size);
out:
    if (st == SHARDY_INPUT) {
        sfi_error_prefix(err, "custom_fields: ");
        if (err) {
            err->status = SHARDY_CONFIG;
        }
        st = SHARDY_CONFIG;
    }
    sfi_json_clear(&doc);
    sfi_buf_clear(&text);
    sfi_buf_clear(&merged);
    return st;
}

static shardy_status fill(struct sfi_writer_config *config, const shardy_writer_options *o,
                          shardy_error *err)
{
    char run_id[SFI_UUID_HEX_SIZE];
    const char *temp = getenv("TMPDIR");
    if (!o->url || !*o->url) {
        return sfi_fail(err, SHARDY_CONFIG, "url is required, for example file:///data/snapshot");
    }
    SFI_RETURN_IF_ERR(check_numbers(o, err));
    SFI_RETURN_IF_ERR(sfi_uuid_hex(run_id, err));
    SFI_RETURN_IF_ERR(copy_text(&config->url, o->url, NULL, err));
    SFI_RETURN_IF_ERR(copy_text(&config->run_id, o->run_id, run_id, err));
    SFI_RETURN_IF_ERR(copy_text(&config->key_column, o->key_col, "key", err));
    SFI_RETURN_IF_ERR(copy_text(&config->key_col, o->key_col, "_key", err));
    SFI_RETURN_IF_ERR(copy_text(&config->value_column, o->value_col, "value", err));
    SFI_RETURN_IF_ERR(copy_text(&config->shard_prefix, o->shard_prefix, "shards", err));
    SFI_RETURN_IF_ERR(copy_text(&config->db_template, o->db_path_template, "db={db_id:05d}", err));
    SFI_RETURN_IF_ERR(copy_text(&config->current_name, o->current_name, SFI_CURRENT_NAME, err));
    SFI_RETURN_IF_ERR(copy_text(&config->expected_ref, o->expected_ref, NULL, err));
    SFI_RETURN_IF_ERR(
        copy_text(&config->spill_dir, o->spill_dir, temp && *temp ? temp : "/tmp", err));
    SFI_RETURN_IF_ERR(check_names(config, err));
    config->num_dbs = o->num_dbs;
    config->max_keys_per_shard = o->max_keys_per_shard;
    config->encoding = o->key_encoding;
    config->page_size = o->page_size ? o->page_size : SFI_PAGE_MIN;
    config->sidecar = !o->no_sidecar;
    config->no_publish = o->no_publish;
    config->expect = o->policy == SHARDY_PUBLISH_EXPECT;
    config->memory_limit =
        o->memory_limit_bytes ? o->memory_limit_bytes : SFI_WRITER_MEMORY_DEFAULT;
    config->threads = sfi_thread_count(o->threads);
    config->input_order = o->input_order;
    return custom_fields(config, o->custom_fields, err);
}

shardy_status sfi_writer_config_init(struct sfi_writer_config *config, shardy_writer_options *known,
                                     const shardy_writer_options *options, shardy_error *err)
{
    memset(config, 0, sizeof *config);
    SFI_RETURN_IF_ERR(known_options(options, known, err));
    shardy_status st = fill(config, known, err);
    if (st != SHARDY_OK) {
        sfi_writer_config_clear(config);
    }
    return st;
}

void sfi_writer_config_clear(struct sfi_writer_config *config)
{
    sfi_free(config->url);
    sfi_free(config->run_id);
    sfi_free(config->key_column);
    sfi_free(config->key_col);
    sfi_free(config->value_column);
    sfi_free(config->shard_prefix);
    sfi_free(config->db_template);
    sfi_free(config->current_name);
    sfi_free(config->expected_ref);
    sfi_free(config->spill_dir);
    sfi_free(config->custom_json);
    memset(config, 0, sizeof *config);
}
