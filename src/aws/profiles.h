/*
 * profiles.h - the shared credentials and config files, read together: profiles, SSO sessions, and
 * the region.
 */
#ifndef SFI_AWS_PROFILES_H
#define SFI_AWS_PROFILES_H

#include "aws/ini.h"

struct sfi_profile_file {
    char *path;       /* NULL without a home folder */
    int error_number; /* why it was not read; 0 = it was */
    struct sfi_ini ini;
};

struct sfi_profiles {
    struct sfi_profile_file credentials;
    struct sfi_profile_file config;
};

/* Missing and forbidden files are empty. INPUT names file and line; LIMIT, IO, NO_MEMORY. */
shardy_status sfi_profiles_open(struct sfi_profiles *profiles, shardy_error *err);
void sfi_profiles_clear(struct sfi_profiles *profiles);
/* `option`, AWS_PROFILE, AWS_DEFAULT_PROFILE, "default"; *asked: not the last one. */
const char *sfi_profiles_name(const char *option, bool *asked);
bool sfi_profiles_have(const struct sfi_profiles *profiles, const char *profile);
/* Value of a profile, credentials file first; NULL when absent or empty. */
const char *sfi_profiles_get(const struct sfi_profiles *profiles, const char *profile,
                             const char *key);
/* Static keys, which stand together in one file. */
bool sfi_profiles_keys(const struct sfi_profiles *profiles, const char *profile,
                       const char **key_id, const char **secret, const char **token);
const char *sfi_profiles_session(const struct sfi_profiles *profiles, const char *session,
                                 const char *key);
/* "~/x" and "~" to the home folder; other paths copied. CONFIG: no home folder. */
shardy_status sfi_home_path(const char *path, char **out, shardy_error *err);
/* Letters, digits, '-' and '_': one label of a host name, and fit for a signature. */
bool sfi_region_is_valid(const char *region);

#endif
