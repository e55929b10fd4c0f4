/*
 * credentials_profile.c - what a profile of the shared files says about credentials.
 * Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files" and the pages
 * of its credential providers.
 *
 * In one profile, in this order: web identity, assumed role, SSO, static keys, credential_process.
 * A role's source profile is looked at the same way, but its static keys come first, as the
 * command line tools do it; that is also how a profile may name itself.
 */
#include "aws/credentials_internal.h"

#include "aws/profiles.h"
#include "base/limits.h"

#include <errno.h>
#include <stdio.h>

#define WHAT_SIZE 128

struct walk {
    struct sfi_lookup *lookup;
    struct sfi_profiles profiles;
    const char *visited[SFI_AWS_PROFILE_CHAIN_MAX];
    unsigned depth;
};

static shardy_status from_profile(struct walk *walk, const char *name,
                                  struct sfi_credential_values *values, bool *found,
                                  shardy_error *err);

static const char *get(const struct walk *walk, const char *name, const char *key)
{
    return sfi_profiles_get(&walk->profiles, name, key);
}

static shardy_status need(const struct walk *walk, const char *name, const char *what,
                          const char *key, const char **value, shardy_error *err)
{
    *value = get(walk, name, key);
    return *value ? SHARDY_OK : sfi_fail(err, SHARDY_CONFIG, "%s: %s is missing", what, key);
}

static shardy_status from_keys(struct walk *walk, const char *name, const char *what,
                               struct sfi_credential_values *values, bool *found, shardy_error *err)
{
    const char *key_id;
    const char *secret;
    const char *token;
    if (!sfi_profiles_keys(&walk->profiles, name, &key_id, &secret, &token)) {
        return SHARDY_OK;
    }
    if (!key_id || !secret) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: %s is missing", what,
                        key_id ? "aws_secret_access_key" : "aws_access_key_id");
    }
    *found = true;
    snprintf(walk->lookup->source, SFI_SOURCE_SIZE, "%s", what);
    return sfi_values_set(values, key_id, secret, token, what, err);
}

static shardy_status from_source_profile(struct walk *walk, const char *name, const char *what,
                                         const char *source, struct sfi_credential_values *values,
                                         shardy_error *err)
{
    bool found = false;
    if (strcmp(source, name) == 0) {
        SFI_RETURN_IF_ERR(from_keys(walk, name, what, values, &found, err));
    } else if (sfi_profiles_have(&walk->profiles, source)) {
        SFI_RETURN_IF_ERR(from_profile(walk, source, values, &found, err));
    } else {
        return sfi_fail(err, SHARDY_CONFIG, "%s: source_profile \"%.80s\" does not exist", what,
                        source);
    }
    return found ? SHARDY_OK
                 : sfi_fail(err, SHARDY_CONFIG, "%s: source_profile \"%.80s\" has no credentials",
                            what, source);
}

static shardy_status from_credential_source(struct walk *walk, const char *what, const char *source,
                                            struct sfi_credential_values *values, shardy_error *err)
{
    struct sfi_lookup *lookup = walk->lookup;
    bool found = false;
    if (strcmp(source, "Environment") == 0) {
        SFI_RETURN_IF_ERR(sfi_environment_find(lookup, values, &found, err));
    } else if (strcmp(source, "EcsContainer") == 0) {
        SFI_RETURN_IF_ERR(sfi_container_find(lookup, values, &found, err));
    } else if (strcmp(source, "Ec2InstanceMetadata") == 0) {
        lookup->probing = false; /* somebody says that it is there */
        SFI_RETURN_IF_ERR(sfi_imds_find(lookup, values, &found, err));
    } else {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%s: credential_source \"%.40s\" is none of Environment, "
                        "Ec2InstanceMetadata, EcsContainer",
                        what, source);
    }
    return found ? SHARDY_OK
                 : sfi_fail(err, SHARDY_CONFIG, "%s: credential_source %s has no credentials", what,
                            source);
}

static shardy_status from_role(struct walk *walk, const char *name, const char *what,
                               struct sfi_credential_values *values, shardy_error *err)
{
    struct sfi_credential_values with = {0};
    const struct sfi_role role = {.what = what,
                                  .arn = get(walk, name, "role_arn"),
                                  .session_name = get(walk, name, "role_session_name"),
                                  .external_id = get(walk, name, "external_id"),
                                  .duration = get(walk, name, "duration_seconds"),
                                  .token_file = get(walk, name, "web_identity_token_file")};
    const char *profile = get(walk, name, "source_profile");
    const char *source = get(walk, name, "credential_source");
    if (role.token_file) {
        return sfi_sts_web_identity(walk->lookup, &role, values, err);
    }
    if (get(walk, name, "mfa_serial")) {
        return sfi_fail(err, SHARDY_UNSUPPORTED,
                        "%s: mfa_serial is not supported without a terminal: assume the role with "
                        "another tool and pass its session through the environment or "
                        "credential_process",
                        what);
    }
    if (!profile == !source) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%s: role_arn needs %s of source_profile and credential_source", what,
                        profile ? "one, not both," : "one");
    }
    shardy_status st = profile ? from_source_profile(walk, name, what, profile, &with, err)
                               : from_credential_source(walk, what, source, &with, err);
    if (st == SHARDY_OK) {
        st = sfi_sts_assume_role(walk->lookup, &role, &with, values, err);
    }
    sfi_values_clear(&with);
    return st;
}

static shardy_status from_sso(struct walk *walk, const char *name, const char *what,
                              struct sfi_credential_values *values, shardy_error *err)
{
    const char *session = get(walk, name, "sso_session");
    struct sfi_sso sso = {.what = what, .profile = name};
    SFI_RETURN_IF_ERR(need(walk, name, what, "sso_account_id", &sso.account_id, err));
    SFI_RETURN_IF_ERR(need(walk, name, what, "sso_role_name", &sso.role_name, err));
    if (session) {
        sso.cache_key = session;
        sso.region = sfi_profiles_session(&walk->profiles, session, "sso_region");
        if (!sso.region) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "%s: [sso-session %.80s] does not exist or has no sso_region", what,
                            session);
        }
    } else {
        SFI_RETURN_IF_ERR(need(walk, name, what, "sso_start_url", &sso.cache_key, err));
        SFI_RETURN_IF_ERR(need(walk, name, what, "sso_region", &sso.region, err));
    }
    return sfi_sso_fetch(walk->lookup, &sso, values, err);
}

static shardy_status enter(struct walk *walk, const char *name, const char *what, shardy_error *err)
{
    for (unsigned i = 0; i < walk->depth; i++) {
        if (strcmp(walk->visited[i], name) == 0) {
            return sfi_fail(err, SHARDY_CONFIG, "%s: its source_profile leads back to itself",
                            what);
        }
    }
    if (walk->depth == SFI_AWS_PROFILE_CHAIN_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "%s: more than %u profiles lead to each other", what,
                        SFI_AWS_PROFILE_CHAIN_MAX);
    }
    walk->visited[walk->depth++] = name;
    return SHARDY_OK;
}

static shardy_status from_profile(struct walk *walk, const char *name,
                                  struct sfi_credential_values *values, bool *found,
                                  shardy_error *err)
{
    char what[WHAT_SIZE];
    snprintf(what, sizeof what, "profile \"%.100s\"", name);
    SFI_RETURN_IF_ERR(enter(walk, name, what, err));
    if (walk->depth > 1) {
        SFI_RETURN_IF_ERR(from_keys(walk, name, what, values, found, err));
    }
    if (*found) {
        return SHARDY_OK;
    }
    *found = true;
    if (get(walk, name, "role_arn")) {
        return from_role(walk, name, what, values, err);
    }
    if (get(walk, name, "sso_session") || get(walk, name, "sso_start_url")) {
        return from_sso(walk, name, what, values, err);
    }
    *found = false;
    SFI_RETURN_IF_ERR(from_keys(walk, name, what, values, found, err));
    const char *command = *found ? NULL : get(walk, name, "credential_process");
    if (command) {
        *found = true;
        snprintf(walk->lookup->source, SFI_SOURCE_SIZE, "%s, credential_process", what);
        return sfi_process_run(walk->lookup, what, command, values, err);
    }
    return SHARDY_OK;
}

/* "profile "dev": not found (~/.aws/credentials does not exist, ...)" */
static void describe_absent(const struct sfi_profiles *profiles, const char *name, bool exists,
                            char *text, size_t size)
{
    const struct sfi_profile_file *files[] = {&profiles->credentials, &profiles->config};
    size_t used = (size_t)snprintf(text, size, "profile \"%.100s\": %s", name,
                                   exists ? "it has no credentials" : "not found");
    for (size_t i = 0; i < 2 && used < size; i++) {
        const char *path = files[i]->path ? files[i]->path : "(no home folder)";
        const char *state = files[i]->error_number == 0        ? "was read"
                            : files[i]->error_number == ENOENT ? "does not exist"
                                                               : "cannot be read";
        used +=
            (size_t)snprintf(text + used, size - used, "%s%.160s %s", i ? ", " : " (", path, state);
    }
    if (used < size) {
        snprintf(text + used, size - used, ")");
    }
}

shardy_status sfi_profile_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                               bool *found, shardy_error *err)
{
    struct walk walk = {.lookup = lookup};
    bool asked;
    char text[512];
    const char *name = sfi_profiles_name(lookup->config->profile, &asked);
    shardy_status st = sfi_profiles_open(&walk.profiles, err);
    if (st != SHARDY_OK) {
        return st;
    }
    bool exists = sfi_profiles_have(&walk.profiles, name);
    SFI_TRY(from_profile(&walk, name, values, found, err));
    if (!*found) {
        describe_absent(&walk.profiles, name, exists, text, sizeof text);
        if (asked && !exists) {
            st = sfi_fail(err, SHARDY_CONFIG, "%s: correct the name or add the profile", text);
        } else {
            sfi_lookup_note(lookup, "%s", text);
        }
    }
out:
    sfi_profiles_clear(&walk.profiles);
    return st;
}
