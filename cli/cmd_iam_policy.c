/*
 * cmd_iam_policy.c - `shardy iam-policy`: the least AWS policy that reading or building needs.
 *
 * Readers get objects, and list the prefix for the history and when the current manifest is
 * damaged. Builders also put objects and abort their own multipart uploads. Nobody needs to delete:
 * a failed build tries to remove its own shards, and leaves them to a cleanup when it may not.
 */
#include "cli.h"

#include <string.h>

#include "memory.h"
#include "session.h"

static const char s3_scheme[] = "s3://";

static void text_list(struct json *json, const char *key, const char *const *texts)
{
    json_key(json, key);
    json_begin_list(json);
    for (; *texts != NULL; texts++) {
        json_text(json, *texts);
    }
    json_end_list(json);
}

static void begin_statement(struct json *json, const char *id, const char *const *actions,
                            const char *resource)
{
    json_begin_object(json);
    json_key(json, "Sid");
    json_text(json, id);
    json_key(json, "Effect");
    json_text(json, "Allow");
    text_list(json, "Action", actions);
    json_key(json, "Resource");
    json_text(json, resource);
}

static void print_policy(struct cli *cli, bool write, const char *bucket, const char *prefix)
{
    static const char *const read_actions[] = {"s3:GetObject", NULL};
    static const char *const write_actions[] = {"s3:GetObject", "s3:PutObject",
                                                "s3:AbortMultipartUpload", NULL};
    static const char *const list_actions[] = {"s3:ListBucket", NULL};
    const char *slash = prefix[0] != '\0' ? "/" : "";
    char *objects = cli_format("arn:aws:s3:::%s/%s%s*", bucket, prefix, slash);
    char *whole = cli_format("arn:aws:s3:::%s", bucket);
    char *below = cli_format("%s%s*", prefix, slash);
    const char *const prefixes[] = {below, NULL};
    struct json json;

    json_init(&json, &cli->out, FORMAT_JSON);
    json_begin_object(&json);
    json_key(&json, "Version");
    json_text(&json, "2012-10-17");
    json_key(&json, "Statement");
    json_begin_list(&json);
    begin_statement(&json, write ? "ShardyBuildObjects" : "ShardyReadObjects",
                    write ? write_actions : read_actions, objects);
    json_end_object(&json);
    begin_statement(&json, "ShardyListPrefix", list_actions, whole);
    json_key(&json, "Condition");
    json_begin_object(&json);
    json_key(&json, "StringLike");
    json_begin_object(&json);
    text_list(&json, "s3:prefix", prefixes);
    json_end_object(&json);
    json_end_object(&json);
    json_end_object(&json);
    json_end_list(&json);
    json_end_object(&json);
    out_text(&cli->out, "\n");
    cli_free(objects);
    cli_free(whole);
    cli_free(below);
}

static int run(struct cli *cli)
{
    bool write = strcmp(cli->args[0], "write") == 0;
    struct session session;
    char *bucket;
    char *slash;
    int code;

    if (!write && strcmp(cli->args[0], "read") != 0) {
        return cli_usage_error(cli, "Invalid value for 'ROLE': '%s' is not one of 'read', 'write'.",
                               cli->args[0]);
    }
    code = session_locate(cli, &session);
    if (code == 0 && strncmp(session.location.url, s3_scheme, strlen(s3_scheme)) != 0) {
        code = cli_command_error(cli, "%s is not on S3: policies are for s3:// URLs",
                                 session.location.url);
    }
    if (code == 0) {
        bucket = cli_copy_text(session.location.url + strlen(s3_scheme),
                               strlen(session.location.url + strlen(s3_scheme)));
        slash = strchr(bucket, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
        print_policy(cli, write, bucket, slash != NULL ? slash + 1 : "");
        cli_free(bucket);
    }
    session_close(&session);
    return code;
}

const struct command cli_cmd_iam_policy = {
    .name = "iam-policy",
    .arguments = "ROLE",
    .min_args = 1,
    .max_args = 1,
    .summary = "Print the least AWS policy for reading or building a snapshot.",
    .description = "ROLE is `read` or `write`. The snapshot that --current-url names need not "
                   "exist; nothing is asked of the network.",
    .options = (const struct option_spec[]){{"--help", OPTION_HELP, NULL, NULL,
                                             "Print this text and exit."}},
    .option_count = 1,
    .run = run,
};
