/*
 * credentials_container.c - credentials of a task or pod, from the container's metadata service.
 * Source: AWS SDKs and Tools Reference Guide, "Container credential provider".
 *
 * The service gets a bearer token, so only https and the few addresses that cannot lead away from
 * this host are asked.
 */
#include "aws/credentials_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#define RELATIVE  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL      "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN     "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define ECS_BASE  "http://169.254.170.2"
#define HOST_SIZE 64

static bool host_is_near(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    struct in6_addr eks;
    if (strcasecmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return (ntohl(v4.s_addr) >> 24) == 127 || strcmp(host, "169.254.170.2") == 0 ||
               strcmp(host, "169.254.170.23") == 0;
    }
    size_t size = strlen(host);
    char inner[HOST_SIZE];
    if (size < 3 || host[0] != '[' || host[size - 1] != ']') {
        return false;
    }
    memcpy(inner, host + 1, size - 2);
    inner[size - 2] = '\0';
    return inet_pton(AF_INET6, inner, &v6) == 1 && inet_pton(AF_INET6, "fd00:ec2::23", &eks) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&v6) || memcmp(&v6, &eks, sizeof v6) == 0);
}

bool sfi_container_url_allowed(const char *url)
{
    char host[HOST_SIZE];
    for (const char *p = url; *p; p++) {
        if (*p <= ' ' || *p > '~' || *p == '\\') {
            return false;
        }
    }
    bool https = strncasecmp(url, "https://", 8) == 0;
    if (!https && strncasecmp(url, "http://", 7) != 0) {
        return false;
    }
    const char *start = url + (https ? 8 : 7);
    size_t authority = strcspn(start, "/?#");
    if (authority == 0 || memchr(start, '@', authority)) {
        return false;
    }
    if (https) {
        return true;
    }
    size_t size = *start == '[' ? strcspn(start, "]/?#") + 1 : strcspn(start, ":/?#");
    if (size > authority || size >= sizeof host || (size < authority && start[size] != ':')) {
        return false;
    }
    memcpy(host, start, size);
    host[size] = '\0';
    return host_is_near(host);
}

static shardy_status read_token(char **token, shardy_error *err)
{
    const char *file = sfi_env(TOKEN "_FILE");
    const char *value = sfi_env(TOKEN);
    *token = NULL;
    if (file) {
        return sfi_token_file_read(file, TOKEN "_FILE", token, err);
    }
    /* "Basic ..." is a valid value, so blanks are, within. */
    for (const char *p = value ? value : ""; *p; p++) {
        if (*p < ' ' || *p > '~') {
            return sfi_fail(err, SHARDY_CONFIG, TOKEN " holds characters that no header may have");
        }
    }
    *token = sfi_secret_strdup(value);
    return value && !*token ? sfi_fail_memory(err, strlen(value)) : SHARDY_OK;
}

static shardy_status make_url(const struct sfi_lookup *lookup, char url[SFI_URL_MAX_BYTES],
                              shardy_error *err)
{
    const char *relative = sfi_env(RELATIVE);
    const char *full = sfi_env(FULL);
    const char *base = lookup->config->container_base;
    int n;
    if (relative) {
        if (relative[0] != '/') {
            return sfi_fail(err, SHARDY_CONFIG, "container: " RELATIVE " does not start with '/'");
        }
        n = snprintf(url, SFI_URL_MAX_BYTES, "%s%s", base ? base : ECS_BASE, relative);
    } else {
        n = snprintf(url, SFI_URL_MAX_BYTES, "%s", full);
    }
    if (n < 0 || (size_t)n >= SFI_URL_MAX_BYTES || !sfi_container_url_allowed(url)) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "container: %s is not an address that credentials may come from: https, "
                        "or http to 127.0.0.1, [::1], 169.254.170.2, 169.254.170.23 or "
                        "[fd00:ec2::23]",
                        relative ? RELATIVE : FULL);
    }
    return SHARDY_OK;
}

static shardy_status fetch(struct sfi_lookup *lookup, const char *url, const char *token,
                           struct sfi_credential_values *values, shardy_error *err)
{
    static const struct sfi_credential_names names = {"AccessKeyId", "SecretAccessKey", "Token",
                                                      "Expiration"};
    struct sfi_http_header headers[] = {{"Accept", "application/json"}, {"Authorization", token}};
    struct sfi_ask ask = {.what = "container",
                          .method = "GET",
                          .url = url,
                          .headers = headers,
                          .header_count = token ? 2 : 1,
                          .metadata = strncasecmp(url, "http://", 7) == 0,
                          .tries = SFI_AWS_TRIES};
    struct sfi_buf body;
    int http_status = 0;
    bool unreachable;
    shardy_status st = sfi_ask(lookup, &ask, &http_status, &body, &unreachable, err);
    if (st == SHARDY_OK && http_status != 200) {
        st = sfi_fail(err, sfi_answer_status(http_status),
                      "container: the service answered with HTTP %d%s", http_status,
                      http_status == 401 || http_status == 403
                          ? ": check the authorization token and the task's or pod's role"
                          : "");
    }
    if (st == SHARDY_OK) {
        st = sfi_values_parse(sfi_buf_view(&body), &names, "container", values, err);
    }
    sfi_secret_buf_clear(&body);
    return st;
}

shardy_status sfi_container_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                 bool *found, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    char *token = NULL;
    char url[SFI_URL_MAX_BYTES];
    if (!sfi_env(RELATIVE) && !sfi_env(FULL)) {
        sfi_lookup_note(lookup, "container: " RELATIVE " is not set");
        return SHARDY_OK;
    }
    SFI_TRY(make_url(lookup, url, err));
    SFI_TRY(read_token(&token, err));
    SFI_TRY(fetch(lookup, url, token, values, err));
    snprintf(lookup->source, sizeof lookup->source, "container");
    *found = true;
out:
    explicit_bzero(url, sizeof url);
    sfi_secret_free(token);
    return st;
}
