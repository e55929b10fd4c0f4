/*
 * credentials_chain.c - one look-up: the sources in order, notes of what was tried, and the sources
 * that need nothing but memory (explicit options, environment).
 *
 * A source that is configured and fails ends the look-up: falling through to another identity would
 * hide the mistake and act as somebody else. Only sources that are absent are passed over.
 */
#include "aws/credentials_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>
#include <stdlib.h>

#define REMEDY                                                                                    \
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with AWS_PROFILE, or run " \
    "where a role is attached"

typedef shardy_status (*source_fn)(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                   bool *found, shardy_error *err);

void sfi_lookup_note(struct sfi_lookup *lookup, const char *format, ...)
{
    size_t used = strlen(lookup->notes);
    size_t room = sizeof lookup->notes - used;
    va_list args;
    if (used > 0 && room > 2) {
        memcpy(lookup->notes + used, "; ", 3);
        used += 2;
        room -= 2;
    }
    va_start(args, format);
    vsnprintf(lookup->notes + used, room, format, args);
    va_end(args);
}

const char *sfi_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int64_t sfi_lookup_now(const struct sfi_lookup *lookup)
{
    return sfi_config_now(lookup->config);
}

static shardy_status find_explicit(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                   bool *found, shardy_error *err)
{
    const struct sfi_credential_config *config = lookup->config;
    snprintf(lookup->source, sizeof lookup->source, "explicit options");
    if (!config->access_key_id) {
        return SHARDY_OK;
    }
    *found = true;
    return sfi_values_set(values, config->access_key_id, config->secret_access_key,
                          config->session_token, lookup->source, err);
}

/* Per field: the variable of the original, then AWS's. */
static const char *env_field(const char *field, char *name, size_t size)
{
    const char *value = NULL;
    static const char *const prefixes[] = {"S3", "AWS"};
    for (size_t i = 0; i < 2 && !value; i++) {
        snprintf(name, size, "%s_%s", prefixes[i], field);
        value = sfi_env(name);
    }
    return value;
}

shardy_status sfi_environment_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                   bool *found, shardy_error *err)
{
    char id_name[32];
    char secret_name[32];
    char token_name[32];
    const char *key_id = env_field("ACCESS_KEY_ID", id_name, sizeof id_name);
    const char *secret = env_field("SECRET_ACCESS_KEY", secret_name, sizeof secret_name);
    const char *token = env_field("SESSION_TOKEN", token_name, sizeof token_name);
    if (!key_id && !secret) {
        sfi_lookup_note(lookup, "environment: AWS_ACCESS_KEY_ID is not set");
        return SHARDY_OK;
    }
    if (!key_id || !secret) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "environment: %s is set but %s is not: set both or neither",
                        key_id ? id_name : secret_name, key_id ? secret_name : id_name);
    }
    *found = true;
    snprintf(lookup->source, sizeof lookup->source, "environment (%s)", id_name);
    return sfi_values_set(values, key_id, secret, token, lookup->source, err);
}

shardy_status sfi_lookup_at_hand(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                 bool *found, shardy_error *err)
{
    *found = false;
    SFI_RETURN_IF_ERR(find_explicit(lookup, values, found, err));
    /* A profile that the caller names is more specific than variables of the process. */
    if (*found || lookup->config->profile) {
        return SHARDY_OK;
    }
    return sfi_environment_find(lookup, values, found, err);
}

static shardy_status expired(const struct sfi_lookup *lookup,
                             const struct sfi_credential_values *values, shardy_error *err)
{
    char text[SFI_TIMESTAMP_SIZE];
    if (values->expires_at == 0 || values->expires_at > sfi_lookup_now(lookup)) {
        return SHARDY_OK;
    }
    sfi_timestamp_format_iso(values->expires_at * 1000000, text);
    return sfi_fail(err, SHARDY_CONFIG,
                    "%s: its credentials expired at %s: renew them there, or set the clock",
                    lookup->source, text);
}

shardy_status sfi_lookup_run(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                             shardy_error *err)
{
    static const source_fn sources[] = {sfi_lookup_at_hand, sfi_profile_find, sfi_web_identity_find,
                                        sfi_container_find, sfi_imds_find};
    shardy_status st = SHARDY_OK;
    bool found = false;
    memset(values, 0, sizeof *values);
    SFI_TRY(sfi_aws_region(lookup->config->region, lookup->config->profile, lookup->region, err));
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && !found; i++) {
        SFI_TRY(sources[i](lookup, values, &found, err));
    }
    if (!found) {
        return sfi_fail(err, SHARDY_CONFIG, "no AWS credentials found: " REMEDY "; tried: %s",
                        lookup->notes);
    }
    SFI_TRY(expired(lookup, values, err));
    return SHARDY_OK;
out:
    sfi_values_clear(values);
    if (err && lookup->notes[0]) {
        /* Behind the reason, which matters more and is never cut for it. */
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, "; tried before: %s",
                 lookup->notes);
    }
    return st;
}
