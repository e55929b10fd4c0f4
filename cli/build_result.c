/*
 * build_result.c - what `shardy build` prints: one line as text, one object as JSON.
 */
#include "build_result.h"

#include <inttypes.h>
#include <string.h>

static void print_json(struct cli *cli, const shardy_build_result *result, double seconds)
{
    struct json json;

    json_begin_result(&json, &cli->out, cli->format, "build");
    json_key(&json, "run_id");
    json_text(&json, result->run_id);
    json_key(&json, "manifest_ref");
    json_text(&json, result->manifest_ref);
    json_key(&json, "num_dbs");
    json_uint(&json, result->num_dbs);
    json_key(&json, "num_shards");
    json_uint(&json, result->num_shards);
    json_key(&json, "rows");
    json_uint(&json, result->rows_read);
    json_key(&json, "rows_written");
    json_uint(&json, result->rows_written);
    json_key(&json, "bytes");
    json_uint(&json, result->bytes_written);
    json_key(&json, "spilled_bytes");
    json_uint(&json, result->spilled_bytes);
    json_key(&json, "seconds");
    json_decimal(&json, seconds, 3);
    json_key(&json, "read_seconds");
    json_decimal(&json, (double)result->read_us / 1e6, 3);
    json_key(&json, "build_seconds");
    json_decimal(&json, (double)result->build_us / 1e6, 3);
    json_key(&json, "publish_seconds");
    json_decimal(&json, (double)result->publish_us / 1e6, 3);
    json_key(&json, "published");
    json_bool(&json, result->published);
    json_key(&json, "guarded");
    json_bool(&json, result->guarded);
    json_key(&json, "replaced_run_id");
    json_text(&json, result->replaced_run_id);
    json_key(&json, "replaced_ref");
    json_text(&json, result->replaced_ref);
    json_end_result(&json);
}

static void print_text(struct cli *cli, const shardy_build_result *result, double seconds)
{
    struct out *out = &cli->out;

    out_format(out, "%s  run_id=%s  shards=%" PRIu32 "  rows=%" PRIu64 "  bytes=%" PRIu64,
               result->published ? "published" : "built", result->run_id, result->num_dbs,
               result->rows_written, result->bytes_written);
    out_format(out, "  seconds=%.2f  manifest=", seconds);
    out_visible(out, result->manifest_ref, strlen(result->manifest_ref));
    if (result->replaced_run_id != NULL) {
        out_format(out, "  replaced=%s", result->replaced_run_id);
    }
    out_text(out, "\n");
}

void build_result_print(struct cli *cli, const shardy_build_result *result, double seconds)
{
    if (cli->format == FORMAT_TEXT || cli->format == FORMAT_TABLE) {
        print_text(cli, result, seconds);
    } else {
        print_json(cli, result, seconds);
    }
}

int build_result_fail(struct cli *cli, const char *message, const shardy_build_result *result)
{
    struct json json;

    if (result->manifest_ref == NULL) {
        return cli_error_result(cli, NULL, message);
    }
    if (cli->format == FORMAT_TEXT || cli->format == FORMAT_TABLE) {
        (void)cli_error_result(cli, NULL, message);
        out_format(&cli->err, "not current  run_id=%s  manifest=%s\n", result->run_id,
                   result->manifest_ref);
    } else {
        json_begin_result(&json, &cli->err, cli->format, "build");
        json_key(&json, "error");
        json_text(&json, message);
        json_key(&json, "run_id");
        json_text(&json, result->run_id);
        json_key(&json, "manifest_ref");
        json_text(&json, result->manifest_ref);
        json_key(&json, "published");
        json_bool(&json, result->published);
        json_end_result(&json);
    }
    out_flush(&cli->err);
    return CLI_FAILED;
}
