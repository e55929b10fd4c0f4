/*
 * profiles.c - find and read ~/.aws/credentials and ~/.aws/config, and the region they name.
 *
 * The same profile may stand in both files: "[dev]" in credentials, "[profile dev]" in config. What
 * a profile means is credentials_profile.c.
 */
#include "aws/profiles.h"

#include "aws/credentials_internal.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define PASSWD_BYTES 4096

shardy_status sfi_home_path(const char *path, char **out, shardy_error *err)
{
    char text[PASSWD_BYTES];
    struct passwd entry;
    struct passwd *found = NULL;
    struct sfi_buf joined;
    *out = NULL;
    if (path[0] != '~' || (path[1] && path[1] != '/')) {
        *out = sfi_strdup(path);
        return *out ? SHARDY_OK : sfi_fail_memory(err, strlen(path));
    }
    const char *home = sfi_env("HOME");
    if (!home && getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found) {
        home = found->pw_dir;
    }
    if (!home) {
        return sfi_fail(err, SHARDY_CONFIG, "no home folder for %s: set HOME", path);
    }
    sfi_buf_init(&joined, SFI_URL_MAX_BYTES);
    sfi_buf_append_text(&joined, home);
    sfi_buf_append_text(&joined, path + 1);
    *out = sfi_buf_take(&joined);
    return *out ? SHARDY_OK : sfi_buf_status(&joined, path, err);
}

static shardy_status open_file(struct sfi_profile_file *file, const char *variable,
                               const char *usual, shardy_error *err)
{
    const char *named = sfi_env(variable);
    char *text;
    size_t size;
    shardy_status st = sfi_home_path(named ? named : usual, &file->path, err);
    if (st == SHARDY_CONFIG) {
        file->error_number = ENOENT; /* no home folder, no files */
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(st);
    SFI_RETURN_IF_ERR(sfi_secret_read_file(file->path, SFI_AWS_FILE_MAX_BYTES, &text, &size,
                                           &file->error_number, err));
    return text ? sfi_ini_parse(&file->ini, text, size, file->path, err) : SHARDY_OK;
}

shardy_status sfi_profiles_open(struct sfi_profiles *profiles, shardy_error *err)
{
    memset(profiles, 0, sizeof *profiles);
    shardy_status st =
        open_file(&profiles->credentials, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", err);
    if (st == SHARDY_OK) {
        st = open_file(&profiles->config, "AWS_CONFIG_FILE", "~/.aws/config", err);
    }
    if (st != SHARDY_OK) {
        sfi_profiles_clear(profiles);
    }
    return st;
}

void sfi_profiles_clear(struct sfi_profiles *profiles)
{
    sfi_ini_clear(&profiles->credentials.ini);
    sfi_ini_clear(&profiles->config.ini);
    sfi_free(profiles->credentials.path);
    sfi_free(profiles->config.path);
    memset(profiles, 0, sizeof *profiles);
}

const char *sfi_profiles_name(const char *option, bool *asked)
{
    const char *name = option ? option : sfi_env("AWS_PROFILE");
    if (!name) {
        name = sfi_env("AWS_DEFAULT_PROFILE");
    }
    *asked = name != NULL;
    return name ? name : "default";
}

static const char *not_empty(const char *value)
{
    return value && *value ? value : NULL;
}

static const char *config_get(const struct sfi_profiles *profiles, const char *profile,
                              const char *key)
{
    const char *value = sfi_ini_get(&profiles->config.ini, "profile ", profile, key);
    if (!value && strcmp(profile, "default") == 0) {
        value = sfi_ini_get(&profiles->config.ini, "", profile, key);
    }
    return not_empty(value);
}

bool sfi_profiles_have(const struct sfi_profiles *profiles, const char *profile)
{
    return sfi_ini_has(&profiles->credentials.ini, "", profile) ||
           sfi_ini_has(&profiles->config.ini, "profile ", profile) ||
           (strcmp(profile, "default") == 0 && sfi_ini_has(&profiles->config.ini, "", profile));
}

const char *sfi_profiles_get(const struct sfi_profiles *profiles, const char *profile,
                             const char *key)
{
    const char *value = not_empty(sfi_ini_get(&profiles->credentials.ini, "", profile, key));
    return value ? value : config_get(profiles, profile, key);
}

bool sfi_profiles_keys(const struct sfi_profiles *profiles, const char *profile,
                       const char **key_id, const char **secret, const char **token)
{
    const struct sfi_ini *ini = &profiles->credentials.ini;
    *key_id = not_empty(sfi_ini_get(ini, "", profile, "aws_access_key_id"));
    *secret = not_empty(sfi_ini_get(ini, "", profile, "aws_secret_access_key"));
    *token = not_empty(sfi_ini_get(ini, "", profile, "aws_session_token"));
    if (!*key_id && !*secret) {
        *key_id = config_get(profiles, profile, "aws_access_key_id");
        *secret = config_get(profiles, profile, "aws_secret_access_key");
        *token = config_get(profiles, profile, "aws_session_token");
    }
    return *key_id || *secret;
}

const char *sfi_profiles_session(const struct sfi_profiles *profiles, const char *session,
                                 const char *key)
{
    return not_empty(sfi_ini_get(&profiles->config.ini, "sso-session ", session, key));
}

bool sfi_region_is_valid(const char *region)
{
    for (const char *p = region; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!letter && !(*p >= '0' && *p <= '9') && *p != '-' && *p != '_') {
            return false;
        }
    }
    return *region && strlen(region) < SFI_AWS_REGION_SIZE;
}

static shardy_status take_region(const char *value, const char *from, char *region,
                                 shardy_error *err)
{
    if (!sfi_region_is_valid(value)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: \"%.80s\" is not the name of a region", from,
                        value);
    }
    snprintf(region, SFI_AWS_REGION_SIZE, "%s", value);
    return SHARDY_OK;
}

shardy_status sfi_aws_region(const char *option, const char *profile, char *region,
                             shardy_error *err)
{
    static const char *const variables[] = {"S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"};
    struct sfi_profiles profiles;
    bool asked;
    char from[SFI_SOURCE_SIZE];
    region[0] = '\0';
    if (option && *option) {
        return take_region(option, "region option", region, err);
    }
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = sfi_env(variables[i]);
        if (value) {
            return take_region(value, variables[i], region, err);
        }
    }
    SFI_RETURN_IF_ERR(sfi_profiles_open(&profiles, err));
    const char *name = sfi_profiles_name(profile, &asked);
    const char *value = sfi_profiles_get(&profiles, name, "region");
    snprintf(from, sizeof from, "region of profile \"%.100s\"", name);
    shardy_status st = value ? take_region(value, from, region, err) : SHARDY_OK;
    sfi_profiles_clear(&profiles);
    return st;
}
