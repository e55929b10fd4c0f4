/*
 * credentials_values.c - credentials as values: checked copies, reference-counted ones with the
 * time of their renewal, and the copied options of a provider. All secrets are in wiped memory.
 */
#include "aws/credentials_internal.h"

#include "aws/sigv4.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>
#include <sys/random.h>

bool sfi_is_token(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p <= ' ' || *p > '~') {
            return false;
        }
    }
    return *text != '\0';
}

shardy_status sfi_values_set(struct sfi_credential_values *values, const char *key_id,
                             const char *secret, const char *token, const char *what,
                             shardy_error *err)
{
    const char *bad = !sfi_is_token(key_id)           ? "access key id"
                      : !sfi_is_token(secret)         ? "secret access key"
                      : token && !sfi_is_token(token) ? "session token"
                                                      : NULL;
    memset(values, 0, sizeof *values);
    if (bad) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%s: the %s is empty or holds white space or other characters that cannot "
                        "be part of it",
                        what, bad);
    }
    values->access_key_id = sfi_secret_strdup(key_id);
    values->secret_access_key = sfi_secret_strdup(secret);
    values->session_token = sfi_secret_strdup(token);
    if (!values->access_key_id || !values->secret_access_key || (token && !values->session_token)) {
        sfi_values_clear(values);
        return sfi_fail_memory(err, strlen(key_id) + strlen(secret));
    }
    return SHARDY_OK;
}

void sfi_values_clear(struct sfi_credential_values *values)
{
    sfi_secret_free(values->access_key_id);
    sfi_secret_free(values->secret_access_key);
    sfi_secret_free(values->session_token);
    memset(values, 0, sizeof *values);
}

void sfi_held_acquire(struct sfi_held *held)
{
    atomic_fetch_add_explicit(&held->refs, 1, memory_order_relaxed);
}

void sfi_credentials_release(struct sfi_credentials *credentials)
{
    struct sfi_held *held = (struct sfi_held *)(void *)credentials;
    if (held && atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) == 1) {
        sfi_signing_keys_free(held->public.signing);
        sfi_values_clear(&held->values);
        sfi_free(held);
    }
}

/* Ahead of the end, and not at the same moment in every process of a fleet. */
static int64_t renewal_time(int64_t now, int64_t expires_at)
{
    int64_t ahead = (expires_at - now) / 4;
    uint8_t random = 0;
    if (expires_at == 0) {
        return 0;
    }
    if (ahead > SFI_AWS_RENEW_AHEAD_S) {
        ahead = SFI_AWS_RENEW_AHEAD_S;
    }
    if (getrandom(&random, 1, GRND_NONBLOCK) != 1) {
        random = 0;
    }
    return expires_at - ahead + ahead / 10 * random / 255;
}

struct sfi_held *sfi_held_new(const struct sfi_lookup *lookup, struct sfi_credential_values *values)
{
    struct sfi_held *held = sfi_calloc(1, sizeof *held);
    if (!held) {
        sfi_values_clear(values);
        return NULL;
    }
    atomic_init(&held->refs, 1);
    held->values = *values;
    memset(values, 0, sizeof *values);
    snprintf(held->source, sizeof held->source, "%s", lookup->source);
    held->renew_at = renewal_time(sfi_lookup_now(lookup), held->values.expires_at);
    held->public = (struct sfi_credentials){
        .access_key_id = held->values.access_key_id,
        .secret_access_key = held->values.secret_access_key,
        .session_token = held->values.session_token,
        .source = held->source,
        .expires_at = held->values.expires_at,
        .anonymous = lookup->config->anonymous,
        .signing = lookup->config->anonymous ? NULL : sfi_signing_keys_new()};
    return held;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool sfi_held_same(const struct sfi_held *a, const struct sfi_held *b)
{
    return same_text(a->values.access_key_id, b->values.access_key_id) &&
           same_text(a->values.secret_access_key, b->values.secret_access_key) &&
           same_text(a->values.session_token, b->values.session_token);
}

static bool copy_text(char **to, const char *from)
{
    *to = sfi_secret_strdup(from && *from ? from : NULL);
    return *to || !from || !*from;
}

shardy_status sfi_config_copy(struct sfi_credential_config *config,
                              const struct sfi_credentials_options *options, shardy_error *err)
{
    struct sfi_credential_values check = {0};
    config->anonymous = options->anonymous;
    config->observer = options->observer;
    if (!copy_text(&config->access_key_id, options->access_key_id) ||
        !copy_text(&config->secret_access_key, options->secret_access_key) ||
        !copy_text(&config->session_token, options->session_token) ||
        !copy_text(&config->profile, options->profile) ||
        !copy_text(&config->region, options->region) ||
        !copy_text(&config->ca_file, options->ca_file) ||
        !copy_text(&config->sts_endpoint, options->sts_endpoint)) {
        return sfi_fail_memory(err, sizeof *config);
    }
    if (!config->access_key_id != !config->secret_access_key) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "explicit credentials: the %s is given without the %s: give both or "
                        "neither",
                        config->access_key_id ? "access key id" : "secret access key",
                        config->access_key_id ? "secret access key" : "access key id");
    }
    if (!config->access_key_id) {
        return SHARDY_OK;
    }
    shardy_status st = sfi_values_set(&check, config->access_key_id, config->secret_access_key,
                                      config->session_token, "explicit credentials", err);
    sfi_values_clear(&check);
    return st;
}

int64_t sfi_config_now(const struct sfi_credential_config *config)
{
    return config->now ? config->now(config->now_arg) : sfi_now_us() / 1000000;
}

void sfi_config_clear(struct sfi_credential_config *config)
{
    sfi_secret_free(config->access_key_id);
    sfi_secret_free(config->secret_access_key);
    sfi_secret_free(config->session_token);
    sfi_secret_free(config->profile);
    sfi_secret_free(config->region);
    sfi_secret_free(config->ca_file);
    sfi_secret_free(config->sts_endpoint);
}
