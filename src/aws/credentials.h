/*
 * credentials.h - where AWS credentials come from, and their renewal.
 *
 * Sources in order: explicit, environment, shared credentials and config files (static keys, role
 * assumption, credential_process, web identity, SSO token cache), web identity of the environment,
 * container (ECS, EKS), instance metadata (IMDSv2). Credentials that expire are renewed ahead of
 * time by one thread for all users; nobody waits while the old ones are still valid. Secrets never
 * appear in messages, logs or argument lists.
 */
#ifndef SFI_AWS_CREDENTIALS_H
#define SFI_AWS_CREDENTIALS_H

#include "base/observe.h"
#include "base/status.h"

/* Immutable. Strings live as long as the struct is acquired. */
struct sfi_credentials {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token;        /* NULL = none */
    const char *source;               /* for people: "environment", "profile \"dev\": role ..." */
    int64_t expires_at;               /* Unix seconds; 0 = never */
    uint64_t generation;              /* grows with every renewal, from 1 */
    bool anonymous;                   /* requests are not signed */
    struct sfi_signing_keys *signing; /* private to sigv4: keys derived already; NULL = none kept */
};

/* Zero or NULL means: look for it. Strings are copied. */
struct sfi_credentials_options {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token;
    const char *profile; /* instead of AWS_PROFILE, "default" */
    const char *region;  /* for STS and SSO endpoints */
    const char *ca_file;
    const char *sts_endpoint; /* instead of https://sts.<region>.amazonaws.com */
    bool anonymous;
    const struct sfi_observer *observer; /* borrowed until the provider is freed */
};

struct sfi_credential_provider;

/* Nothing is looked up yet. CONFIG: one of key id and secret without the other. */
shardy_status sfi_credential_provider_new(const struct sfi_credentials_options *options,
                                          struct sfi_credential_provider **provider,
                                          shardy_error *err);
/* Waits for a renewal in progress. Not from a callback. NULL is accepted. */
void sfi_credential_provider_free(struct sfi_credential_provider *provider);
/* Whether this is the provider's renewal thread. */
bool sfi_credentials_on_thread(struct sfi_credential_provider *provider);

/*
 * Called with credentials, or with a failure that says what was tried, in order. `credentials` is
 * acquired for the callback, which releases it when it is done with them.
 */
typedef void (*sfi_credentials_fn)(void *arg, struct sfi_credentials *credentials,
                                   shardy_status status, const shardy_error *error);

/*
 * Ask for valid credentials. The callback comes on the calling thread, before the call returns,
 * when they are at hand, else on the provider's renewal thread; it must not block. `rejected` is
 * the generation that a server refused (ExpiredToken and the like), or 0: a generation is renewed
 * once, whoever complains. Any thread.
 */
void sfi_credentials_request(struct sfi_credential_provider *provider, uint64_t rejected,
                             sfi_credentials_fn callback, void *arg);
/* The same, waiting. */
shardy_status sfi_credentials_wait(struct sfi_credential_provider *provider, uint64_t rejected,
                                   struct sfi_credentials **credentials, shardy_error *err);
void sfi_credentials_release(struct sfi_credentials *credentials); /* NULL is accepted */

/*
 * Region from the explicit option, S3_REGION, AWS_REGION, AWS_DEFAULT_REGION, or the profile;
 * "" when none says. `region` has SFI_AWS_REGION_SIZE bytes.
 */
#define SFI_AWS_REGION_SIZE 64
shardy_status sfi_aws_region(const char *option, const char *profile, char *region,
                             shardy_error *err);

#endif
