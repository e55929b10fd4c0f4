/*
 * store_s3_options.c - options of include/shardyfusion/store.h and the environment, read once into
 * struct sfi_s3_config. Options win over the environment; what is empty counts as absent.
 * Credentials and profile files are left to src/aws; here are only the values somebody passed
 * explicitly.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

enum kind {
    TEXT,
    SECRET,
    BOOLEAN,
    SECONDS,
    COUNT,
    ENDPOINT,
    ADDRESSING,
    VERIFY,
    PAYER,
    SSE,
    CHECKSUM
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct sfi_s3_config */
    uint64_t min;
    uint64_t max;
};

#define AT(member) offsetof(struct sfi_s3_config, member)
#define DAY_MS     UINT64_C(86400000)

static const struct option s_options[] = {
    {"endpoint_url", ENDPOINT, AT(endpoint), 0, 0},
    {"region_name", TEXT, AT(region), 0, 0}, /* stored by set_region */
    {"addressing_style", ADDRESSING, AT(addressing), 0, 0},
    {"verify_ssl", VERIFY, AT(insecure), 0, 0},
    {"ca_file", TEXT, AT(ca_file), 0, 0},
    {"connect_timeout", SECONDS, AT(connect_timeout_ms), 1, DAY_MS},
    {"read_timeout", SECONDS, AT(read_timeout_ms), 1, DAY_MS},
    {"max_attempts", COUNT, AT(max_attempts), 1, SFI_S3_ATTEMPTS_MAX},
    {"retry_timeout", SECONDS, AT(retry_timeout_ms), 0, DAY_MS},
    {"max_connections", COUNT, AT(max_connections), 1, 1024},
    {"http2", BOOLEAN, AT(http2), 0, 0},
    {"access_key_id", SECRET, AT(access_key_id), 0, 0},
    {"secret_access_key", SECRET, AT(secret_access_key), 0, 0},
    {"session_token", SECRET, AT(session_token), 0, 0},
    {"profile", TEXT, AT(profile), 0, 0},
    {"anonymous", BOOLEAN, AT(anonymous), 0, 0},
    {"request_payer", PAYER, AT(request_payer), 0, 0},
    {"sse", SSE, AT(sse), 0, 0},
    {"sse_kms_key_id", TEXT, AT(sse_kms_key_id), 0, 0},
    {"checksum", CHECKSUM, AT(checksum), 0, 0},
};

static shardy_status bad_value(const char *name, const char *value, const char *expected,
                               shardy_error *err)
{
    return sfi_fail(err, SHARDY_CONFIG, "S3 option %s = \"%.100s\": expected %s", name, value,
                    expected);
}

static bool parse_bool(const char *value, bool *out)
{
    if (!strcasecmp(value, "true") || !strcmp(value, "1")) {
        *out = true;
        return true;
    }
    if (!strcasecmp(value, "false") || !strcmp(value, "0")) {
        *out = false;
        return true;
    }
    return false;
}

/* Digits, and up to three behind a point: thousandths. */
static bool parse_milli(const char *value, uint64_t *out)
{
    uint64_t milli = 0;
    size_t digits = strspn(value, "0123456789");
    if (!digits || digits > 9) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        milli = milli * 10 + (uint64_t)(value[i] - '0');
    }
    milli *= 1000;
    value += digits;
    if (*value == '.') {
        uint64_t unit = 100;
        for (value++; *value >= '0' && *value <= '9'; value++, unit /= 10) {
            milli += unit * (uint64_t)(*value - '0');
        }
    }
    *out = milli;
    return !*value;
}

static shardy_status set_number(const struct option *option, const char *name, const char *value,
                                uint64_t *to, shardy_error *err)
{
    uint64_t milli = 0;
    uint64_t unit = option->kind == COUNT ? 1000 : 1;
    bool ok = parse_milli(value, &milli) && milli % unit == 0;
    if (!ok || milli / unit < option->min || milli / unit > option->max) {
        shardy_error range;
        sfi_fail(&range, SHARDY_CONFIG,
                 option->kind == COUNT ? "a whole number from %llu to %llu"
                                       : "seconds, from %llu to %llu thousandths",
                 (unsigned long long)option->min, (unsigned long long)option->max);
        return bad_value(name, value, range.message, err);
    }
    *to = milli / unit;
    return SHARDY_OK;
}

static shardy_status set_text(const char *name, const char *value, char **to, bool secret,
                              shardy_error *err)
{
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            return bad_value(name, secret ? "(hidden)" : "(with control characters)",
                             "text without control characters", err);
        }
    }
    char *copy = sfi_strdup(value);
    sfi_free(*to);
    *to = copy;
    return copy ? SHARDY_OK : sfi_fail_memory(err, strlen(value) + 1);
}

static shardy_status set_choice(const struct option *option, const char *value,
                                struct sfi_s3_config *config, shardy_error *err)
{
    const char *name = option->name;
    bool flag;
    switch (option->kind) {
    case ADDRESSING:
        if (!strcmp(value, "path") || !strcmp(value, "virtual") || !strcmp(value, "auto")) {
            config->addressing = *value == 'p'   ? SFI_S3_PATH
                                 : *value == 'v' ? SFI_S3_VIRTUAL
                                                 : SFI_S3_AUTO;
            return SHARDY_OK;
        }
        return bad_value(name, value, "path, virtual or auto", err);
    case VERIFY:
        if (parse_bool(value, &flag)) {
            config->insecure = !flag;
            return SHARDY_OK;
        }
        config->insecure = false;
        return set_text(name, value, &config->ca_file, false, err);
    case PAYER:
        config->request_payer = !strcmp(value, "requester");
        return config->request_payer ? SHARDY_OK : bad_value(name, value, "requester", err);
    case SSE:
        if (!strcmp(value, "AES256") || !strcmp(value, "aws:kms")) {
            return set_text(name, value, &config->sse, false, err);
        }
        return bad_value(name, value, "AES256 or aws:kms", err);
    default:
        config->checksum = !strcmp(value, "crc32c");
        return config->checksum || !strcmp(value, "none")
                   ? SHARDY_OK
                   : bad_value(name, value, "crc32c or none", err);
    }
}

static shardy_status set_region(const char *name, const char *value, struct sfi_s3_config *config,
                                shardy_error *err)
{
    if (!sfi_region_is_valid(value)) {
        return bad_value(name, value, "a region such as eu-west-1", err);
    }
    memcpy(config->region, value, strlen(value) + 1);
    return SHARDY_OK;
}

static shardy_status set_option(const struct option *option, const char *value,
                                struct sfi_s3_config *config, shardy_error *err)
{
    void *to = (char *)config + option->offset;
    if (!*value) {
        return SHARDY_OK;
    }
    if (to == config->region) {
        return set_region(option->name, value, config, err);
    }
    switch (option->kind) {
    case TEXT:
    case SECRET:
        return set_text(option->name, value, to, option->kind == SECRET, err);
    case BOOLEAN:
        return parse_bool(value, to) ? SHARDY_OK
                                     : bad_value(option->name, value, "true or false", err);
    case SECONDS:
    case COUNT:
        return set_number(option, option->name, value, to, err);
    case ENDPOINT:
        SFI_RETURN_IF_ERR(sfi_s3_endpoint_check("S3 option endpoint_url", value, err));
        return set_text(option->name, value, to, false, err);
    default:
        return set_choice(option, value, config, err);
    }
}

static shardy_status read_options(const struct sfi_store_options *options,
                                  struct sfi_s3_config *config, shardy_error *err)
{
    size_t count = sizeof s_options / sizeof s_options[0];
    for (size_t i = 0; options && i < options->count; i++) {
        const char *name = options->options[i].name;
        const char *value = options->options[i].value;
        size_t k = 0;
        while (k < count && name && strcmp(s_options[k].name, name) != 0) {
            k++;
        }
        if (!name || k == count) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "unknown S3 option \"%.100s\"; known ones are endpoint_url, "
                            "region_name, addressing_style and others, see shardyfusion/store.h",
                            name ? name : "");
        }
        SFI_RETURN_IF_ERR(set_option(&s_options[k], value ? value : "", config, err));
    }
    return SHARDY_OK;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static shardy_status environment_bool(const char *name, bool *to, shardy_error *err)
{
    const char *value = environment(name);
    return !value || parse_bool(value, to) ? SHARDY_OK
                                           : sfi_fail(err, SHARDY_CONFIG,
                                                      "environment variable %s = \"%.100s\": "
                                                      "expected true or false",
                                                      name, value);
}

/* The environment, before the options: they overwrite it. */
static shardy_status read_environment(struct sfi_s3_config *config, shardy_error *err)
{
    static const char *const endpoints[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
                                            "AWS_ENDPOINT", "SLATEDB_S3_ENDPOINT_URL"};
    static const struct option attempts = {"AWS_MAX_ATTEMPTS", COUNT, 0, 1, SFI_S3_ATTEMPTS_MAX};
    const char *value = NULL;
    bool virtual_hosts = false;
    for (size_t i = 0; !value && i < sizeof endpoints / sizeof endpoints[0]; i++) {
        value = environment(endpoints[i]);
        if (value) {
            SFI_RETURN_IF_ERR(sfi_s3_endpoint_check(endpoints[i], value, err));
            SFI_RETURN_IF_ERR(set_text(endpoints[i], value, &config->endpoint, false, err));
        }
    }
    value = environment("AWS_CA_BUNDLE");
    if (value) {
        SFI_RETURN_IF_ERR(set_text("AWS_CA_BUNDLE", value, &config->ca_file, false, err));
    }
    value = environment("AWS_MAX_ATTEMPTS");
    if (value) {
        SFI_RETURN_IF_ERR(set_number(&attempts, attempts.name, value, &config->max_attempts, err));
    }
    SFI_RETURN_IF_ERR(environment_bool("AWS_SKIP_SIGNATURE", &config->anonymous, err));
    SFI_RETURN_IF_ERR(environment_bool("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", &virtual_hosts, err));
    if (environment("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")) {
        config->addressing = virtual_hosts ? SFI_S3_VIRTUAL : SFI_S3_PATH;
    }
    return SHARDY_OK;
}

static shardy_status read_url(const char *url, struct sfi_s3_config *config, shardy_error *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *bucket = url + strlen("s3://");
    size_t size = strcspn(bucket, "/");
    const char *prefix = bucket[size] ? bucket + size + 1 : "";
    if (size < 3 || size > 255 || strspn(bucket, letters) != size) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%.300s: \"%.*s\" is not a bucket name (3 to 63 of a-z, 0-9, - and .); "
                        "expected s3://bucket/prefix",
                        url, (int)(size > 100 ? 100 : size), bucket);
    }
    config->bucket = sfi_strndup(bucket, size);
    size_t length = strlen(prefix);
    config->prefix = sfi_malloc(length + 2);
    if (!config->bucket || !config->prefix) {
        return sfi_fail_memory(err, strlen(url));
    }
    memcpy(config->prefix, prefix, length + 1);
    if (length) {
        memcpy(config->prefix + length, "/", 2);
    }
    return SHARDY_OK;
}

shardy_status sfi_s3_config_read(const char *url, const struct sfi_store_options *options,
                                 struct sfi_s3_config *config, shardy_error *err)
{
    memset(config, 0, sizeof *config);
    config->max_attempts = SFI_S3_ATTEMPTS;
    config->retry_timeout_ms = SFI_S3_RETRY_TIMEOUT_MS;
    config->connect_timeout_ms = SFI_S3_CONNECT_MS;
    config->read_timeout_ms = SFI_S3_STALL_MS;
    config->backoff_ms = SFI_S3_BACKOFF_MS;
    config->part_bytes = SFI_UPLOAD_PART_BYTES;
    config->checksum = true;
    SFI_RETURN_IF_ERR(read_url(url, config, err));
    SFI_RETURN_IF_ERR(read_environment(config, err));
    SFI_RETURN_IF_ERR(read_options(options, config, err));
    if (!config->access_key_id != !config->secret_access_key) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "S3 options access_key_id and secret_access_key go together; %s is missing",
                        config->access_key_id ? "secret_access_key" : "access_key_id");
    }
    if (config->sse_kms_key_id && (!config->sse || strcmp(config->sse, "aws:kms") != 0)) {
        return sfi_fail(err, SHARDY_CONFIG, "S3 option sse_kms_key_id needs sse = aws:kms");
    }
    char region[SFI_AWS_REGION_SIZE] = "";
    SFI_RETURN_IF_ERR(
        sfi_aws_region(config->region[0] ? config->region : NULL, config->profile, region, err));
    return set_region("region_name", region[0] ? region : "us-east-1", config, err);
}

void sfi_s3_config_clear(struct sfi_s3_config *config)
{
    char **texts[] = {&config->bucket,        &config->prefix,        &config->endpoint,
                      &config->ca_file,       &config->access_key_id, &config->secret_access_key,
                      &config->session_token, &config->profile,       &config->sse,
                      &config->sse_kms_key_id};
    if (config->secret_access_key) {
        explicit_bzero(config->secret_access_key, strlen(config->secret_access_key));
    }
    if (config->session_token) {
        explicit_bzero(config->session_token, strlen(config->session_token));
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        sfi_free(*texts[i]);
        *texts[i] = NULL;
    }
}
