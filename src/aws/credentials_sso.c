/*
 * credentials_sso.c - credentials of a role of IAM Identity Center, with the access token that
 * `aws sso login` left in its cache. Source: AWS SDKs and Tools Reference Guide, "IAM Identity
 * Center credential provider"; SSO Portal API, GetRoleCredentials.
 *
 * The cache is read only: signing in needs a browser, so an expired token names the command.
 */
#include "aws/credentials_internal.h"

#include "aws/profiles.h"
#include "aws/sigv4.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <openssl/evp.h>
#include <stdio.h>

#define SHA1_SIZE 20

static shardy_status cache_path(const char *cache_key, char **path, shardy_error *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    char name[sizeof "~/.aws/sso/cache/.json" + 2 * SHA1_SIZE];
    size_t used = (size_t)snprintf(name, sizeof name, "~/.aws/sso/cache/");
    /* SHA-1 names the file; it protects nothing. */
    if (!EVP_Digest(cache_key, strlen(cache_key), hash, NULL, EVP_sha1(), NULL)) {
        return sfi_fail_memory(err, sizeof hash);
    }
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        used += (size_t)snprintf(name + used, sizeof name - used, "%02x", hash[i]);
    }
    snprintf(name + used, sizeof name - used, ".json");
    return sfi_home_path(name, path, err);
}

static shardy_status login(const struct sfi_sso *sso, const char *why, shardy_error *err)
{
    return sfi_fail(err, SHARDY_CONFIG, "%s: %s: run `aws sso login --profile %.100s`", sso->what,
                    why, sso->profile);
}

static shardy_status token_of(const struct sfi_lookup *lookup, const struct sfi_sso *sso,
                              const struct sfi_json *object, char **token, shardy_error *err)
{
    int64_t us = 0;
    char *expires;
    SFI_RETURN_IF_ERR(sfi_json_dup_member(object, "expiresAt", &expires, err));
    size_t size = expires ? strlen(expires) : 0;
    if (size > 3 && strcmp(expires + size - 3, "UTC") == 0) {
        size -= 3;
    }
    bool timed = expires && sfi_timestamp_parse(expires, size, &us);
    sfi_secret_free(expires);
    if (!timed || us / 1000000 <= sfi_lookup_now(lookup)) {
        return login(sso, timed ? "the SSO session has expired" : "the SSO token cannot be read",
                     err);
    }
    SFI_RETURN_IF_ERR(sfi_json_dup_member(object, "accessToken", token, err));
    if (!*token || !sfi_is_token(*token)) {
        return login(sso, "the SSO token cannot be read", err);
    }
    return SHARDY_OK;
}

static shardy_status read_token(const struct sfi_lookup *lookup, const struct sfi_sso *sso,
                                char **token, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    char *path = NULL;
    char *text = NULL;
    size_t size = 0;
    int error_number;
    struct sfi_json_doc doc = {0};
    SFI_TRY(cache_path(sso->cache_key, &path, err));
    SFI_TRY(sfi_secret_read_file(path, SFI_AWS_FILE_MAX_BYTES, &text, &size, &error_number, err));
    if (!text) {
        st = login(sso, "nobody has signed in to SSO here (no token in ~/.aws/sso/cache)", err);
        goto out;
    }
    SFI_TRY(
        sfi_secret_json_parse((struct sfi_bytes){(const uint8_t *)text, size}, path, &doc, err));
    SFI_TRY(token_of(lookup, sso, doc.root, token, err));
out:
    sfi_secret_json_clear(&doc);
    sfi_secret_free(text);
    sfi_free(path);
    return st;
}

static shardy_status make_url(const struct sfi_sso *sso, struct sfi_buf *url, shardy_error *err)
{
    const char *endpoint = sfi_env("AWS_ENDPOINT_URL_SSO");
    if (endpoint) {
        size_t size = strlen(endpoint);
        while (size > 0 && endpoint[size - 1] == '/') {
            size--;
        }
        sfi_buf_append(url, endpoint, size);
    } else if (sfi_region_is_valid(sso->region)) {
        sfi_buf_printf(url, "https://portal.sso.%s.amazonaws.com%s", sso->region,
                       strncmp(sso->region, "cn-", 3) == 0 ? ".cn" : "");
    } else {
        return sfi_fail(err, SHARDY_CONFIG, "%s: sso_region is not the name of a region",
                        sso->what);
    }
    sfi_buf_append_text(url, "/federation/credentials?role_name=");
    sfi_uri_encode(url, sso->role_name, false);
    sfi_buf_append_text(url, "&account_id=");
    sfi_uri_encode(url, sso->account_id, false);
    return sfi_buf_status(url, "SSO URL", err);
}

static shardy_status parse_answer(const struct sfi_sso *sso, struct sfi_bytes text,
                                  struct sfi_credential_values *values, shardy_error *err)
{
    static const struct sfi_credential_names names = {"accessKeyId", "secretAccessKey",
                                                      "sessionToken", "expiration"};
    struct sfi_json_doc doc;
    shardy_status st = sfi_secret_json_parse(text, sso->what, &doc, err);
    if (st == SHARDY_OK) {
        const struct sfi_json *object = sfi_json_member(doc.root, "roleCredentials");
        st = sfi_values_from_json(object, &names, sso->what, values, err);
    }
    sfi_secret_json_clear(&doc);
    return st;
}

shardy_status sfi_sso_fetch(struct sfi_lookup *lookup, const struct sfi_sso *sso,
                            struct sfi_credential_values *values, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    char *token = NULL;
    struct sfi_buf url;
    struct sfi_buf body;
    int http_status = 0;
    bool unreachable;
    char what[SFI_SOURCE_SIZE];
    memset(values, 0, sizeof *values);
    sfi_buf_init(&url, SFI_URL_MAX_BYTES);
    sfi_buf_init(&body, 0);
    snprintf(what, sizeof what, "%.150s: the SSO portal", sso->what);
    SFI_TRY(read_token(lookup, sso, &token, err));
    SFI_TRY(make_url(sso, &url, err));
    struct sfi_http_header header = {"x-amz-sso_bearer_token", token};
    struct sfi_ask ask = {.what = what,
                          .method = "GET",
                          .url = (const char *)url.data,
                          .headers = &header,
                          .header_count = 1,
                          .tries = SFI_AWS_TRIES};
    SFI_TRY(sfi_ask(lookup, &ask, &http_status, &body, &unreachable, err));
    if (http_status == 401) {
        st = login(sso, "the SSO portal refused the token", err);
    } else if (http_status != 200) {
        st = sfi_fail(err, sfi_answer_status(http_status),
                      "%s answered HTTP %d: check sso_account_id and sso_role_name", what,
                      http_status);
    } else {
        st = parse_answer(sso, sfi_buf_view(&body), values, err);
    }
    snprintf(lookup->source, sizeof lookup->source, "%.150s, SSO role %.80s", sso->what,
             sso->role_name);
out:
    sfi_secret_free(token);
    sfi_buf_clear(&url);
    sfi_secret_buf_clear(&body);
    return st;
}
