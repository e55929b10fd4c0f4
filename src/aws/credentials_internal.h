/*
 * credentials_internal.h - what the sources of credentials share: the state of one look-up, notes
 * of what was tried, requests to services, and the sources themselves.
 *
 * A source gives values and *found, or says with a note why it has none (*found is false), or fails
 * because it is configured and does not work; then no later source is asked. Sources block: they
 * run on the provider's renewal thread, never on the thread of an HTTP client.
 */
#ifndef SFI_AWS_CREDENTIALS_INTERNAL_H
#define SFI_AWS_CREDENTIALS_INTERNAL_H

#include "aws/credentials.h"
#include "aws/secret.h"
#include "base/json.h"
#include "http/http.h"

#include <stdatomic.h>

/* Strings of wiped memory (secret.h). */
struct sfi_credential_values {
    char *access_key_id;
    char *secret_access_key;
    char *session_token;
    int64_t expires_at; /* Unix seconds; 0 = never */
};

/* Options, copied, and what tests replace. */
struct sfi_credential_config {
    char *access_key_id;
    char *secret_access_key;
    char *session_token;
    char *profile;
    char *region;
    char *ca_file;
    char *sts_endpoint;
    bool anonymous;
    const struct sfi_observer *observer;
    int64_t (*now)(void *arg); /* Unix seconds */
    void *now_arg;
    const char *container_base; /* in front of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI */
};

#define SFI_SOURCE_SIZE 256

/* One look-up. The clients are the provider's, made on first use. */
struct sfi_lookup {
    const struct sfi_credential_config *config;
    struct sfi_http_client **client;          /* STS, SSO, container over https */
    struct sfi_http_client **metadata_client; /* no proxy, short time-outs */
    const atomic_bool *stopping;              /* the provider is being freed */
    bool probing;                             /* whether there is a metadata service is unknown */
    char region[SFI_AWS_REGION_SIZE];
    char source[SFI_SOURCE_SIZE]; /* of the values found */
    char notes[800];              /* "environment: ...; profile ..." */
};

/* credentials_values.c */

/* Copy the strings; CONFIG when one of them cannot stand in a request. `what` names the source. */
shardy_status sfi_values_set(struct sfi_credential_values *values, const char *key_id,
                             const char *secret, const char *token, const char *what,
                             shardy_error *err);
void sfi_values_clear(struct sfi_credential_values *values);
/* Printable ASCII without blanks: what may stand in a header. */
bool sfi_is_token(const char *text);

/* Credentials and their references. `public` comes first: sfi_credentials_release() casts. */
struct sfi_held {
    struct sfi_credentials public;
    atomic_uint refs;
    int64_t renew_at; /* Unix seconds; 0 = never */
    struct sfi_credential_values values;
    char source[SFI_SOURCE_SIZE];
};

/* Takes `values`, on failure too. NULL: no memory. */
struct sfi_held *sfi_held_new(const struct sfi_lookup *lookup,
                              struct sfi_credential_values *values);
void sfi_held_acquire(struct sfi_held *held);
bool sfi_held_same(const struct sfi_held *a, const struct sfi_held *b);
/* CONFIG: one of key id and secret without the other. Clear it on failure too. */
shardy_status sfi_config_copy(struct sfi_credential_config *config,
                              const struct sfi_credentials_options *options, shardy_error *err);
int64_t sfi_config_now(const struct sfi_credential_config *config);
void sfi_config_clear(struct sfi_credential_config *config);

/* credentials_chain.c */

shardy_status sfi_lookup_run(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                             shardy_error *err);
/* Explicit options and environment only: no I/O. */
shardy_status sfi_lookup_at_hand(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                 bool *found, shardy_error *err);
void sfi_lookup_note(struct sfi_lookup *lookup, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *sfi_env(const char *name); /* NULL when unset or empty */
int64_t sfi_lookup_now(const struct sfi_lookup *lookup);
shardy_status sfi_environment_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                   bool *found, shardy_error *err);

/* credentials_profile.c, credentials_process.c, credentials_sso.c */

shardy_status sfi_profile_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                               bool *found, shardy_error *err);
/* `command` split as a POSIX shell does, without expansions. `what` names the profile. */
shardy_status sfi_process_run(struct sfi_lookup *lookup, const char *what, const char *command,
                              struct sfi_credential_values *values, shardy_error *err);
/* Words of a command; the array and the text live in *words (one sfi_secret_free). */
shardy_status sfi_process_split(const char *command, char ***words, size_t *count,
                                shardy_error *err);

struct sfi_sso {
    const char *what;      /* profile, for messages */
    const char *profile;   /* its name alone, for the remedy */
    const char *cache_key; /* session name, or start URL */
    const char *region;
    const char *account_id;
    const char *role_name;
};
shardy_status sfi_sso_fetch(struct sfi_lookup *lookup, const struct sfi_sso *sso,
                            struct sfi_credential_values *values, shardy_error *err);

/* credentials_sts.c, sts_answer.c */

struct sfi_role {
    const char *what; /* profile or variables, for messages */
    const char *arn;
    const char *session_name; /* NULL = one is made */
    const char *external_id;  /* NULL = none */
    const char *duration;     /* seconds as text; NULL = STS's default */
    const char *token_file;   /* web identity */
};
shardy_status sfi_sts_assume_role(struct sfi_lookup *lookup, const struct sfi_role *role,
                                  const struct sfi_credential_values *with,
                                  struct sfi_credential_values *values, shardy_error *err);
shardy_status sfi_sts_web_identity(struct sfi_lookup *lookup, const struct sfi_role *role,
                                   struct sfi_credential_values *values, shardy_error *err);
shardy_status sfi_web_identity_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                    bool *found, shardy_error *err);

/* What an answer of STS says. Strings of wiped memory, NULL when absent. */
struct sfi_sts_answer {
    char *access_key_id;
    char *secret_access_key;
    char *session_token;
    char *expiration;
    char *code;
    char *message;
};
/* INPUT: not XML, with a DOCTYPE, too deep. */
shardy_status sfi_sts_answer_parse(struct sfi_bytes text, struct sfi_sts_answer *answer,
                                   shardy_error *err);
void sfi_sts_answer_clear(struct sfi_sts_answer *answer);

/* credentials_container.c, credentials_imds.c */

shardy_status sfi_container_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                 bool *found, shardy_error *err);
shardy_status sfi_imds_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                            bool *found, shardy_error *err);
/* Whether a container's token may be sent to this URL: https, or plain to this host. */
bool sfi_container_url_allowed(const char *url);

/* credentials_http.c */

struct sfi_ask {
    const char *what; /* service, for messages */
    const char *method;
    const char *url;
    const struct sfi_http_header *headers;
    size_t header_count;
    struct sfi_bytes body;
    bool metadata;       /* by the metadata client: no proxy, a second to connect */
    uint64_t timeout_ms; /* of one try; 0 = SFI_AWS_REQUEST_MS */
    unsigned tries;      /* at least 1 */
};
/*
 * One answer, whatever its status; 5xx, 429 and lost requests are tried again. STORE: no answer;
 * *unreachable when the server was not even reached. `body` is cleared by sfi_secret_buf_clear().
 */
shardy_status sfi_ask(struct sfi_lookup *lookup, const struct sfi_ask *ask, int *http_status,
                      struct sfi_buf *body, bool *unreachable, shardy_error *err);

/* Member names of credentials in a JSON object. */
struct sfi_credential_names {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token;
    const char *expiration;
};
shardy_status sfi_values_from_json(const struct sfi_json *object,
                                   const struct sfi_credential_names *names, const char *what,
                                   struct sfi_credential_values *values, shardy_error *err);
/* The same from text. INPUT. */
shardy_status sfi_values_parse(struct sfi_bytes text, const struct sfi_credential_names *names,
                               const char *what, struct sfi_credential_values *values,
                               shardy_error *err);
/* Parse; clear with sfi_secret_json_clear(), which wipes. INPUT with `what` in front. */
shardy_status sfi_secret_json_parse(struct sfi_bytes text, const char *what,
                                    struct sfi_json_doc *doc, shardy_error *err);
void sfi_secret_json_clear(struct sfi_json_doc *doc);
/* A string member as wiped memory; NULL when absent or no string. NO_MEMORY. */
shardy_status sfi_json_dup_member(const struct sfi_json *object, const char *name, char **text,
                                  shardy_error *err);
/* Token of a file for a header or form, without white space around it; "" is an error. */
shardy_status sfi_token_file_read(const char *path, const char *what, char **token,
                                  shardy_error *err);
/* STORE for passing states (5xx, 408, 429), else CONFIG. */
shardy_status sfi_answer_status(int http_status);

/* The provider with other clocks and places, for tests; `config` members not NULL replace. */
struct sfi_credential_overrides {
    int64_t (*now)(void *arg);
    void *now_arg;
    const char *container_base;
};
void sfi_credential_provider_override(struct sfi_credential_provider *provider,
                                      const struct sfi_credential_overrides *overrides);

#endif
