/*
 * credentials_imds.c - the role of an EC2 instance, from its metadata service, version 2 only.
 * Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata".
 *
 * A token first (PUT), then the role's name, then its credentials. Without a token nothing is
 * asked: version 1 answers any request that a confused program forwards. While nobody knows whether
 * there is such a service, one try of a second is all it costs to find out.
 */
#include "aws/credentials_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>
#include <strings.h>

#define ENDPOINT_V4 "http://169.254.169.254"
#define ENDPOINT_V6 "http://[fd00:ec2::254]"
#define ROLES       "/latest/meta-data/iam/security-credentials/"
#define ROLE_MAX    256

struct imds {
    struct sfi_lookup *lookup;
    const char *base;
    size_t base_size; /* without trailing slashes */
    char what[SFI_SOURCE_SIZE];
    char *token;
    bool unreachable;
};

static void choose_endpoint(struct imds *imds)
{
    const char *mode = sfi_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    imds->base = sfi_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (!imds->base) {
        imds->base = sfi_env("AWS_METADATA_ENDPOINT");
    }
    if (!imds->base) {
        imds->base = mode && strcasecmp(mode, "ipv6") == 0 ? ENDPOINT_V6 : ENDPOINT_V4;
    }
    imds->base_size = strlen(imds->base);
    while (imds->base_size > 0 && imds->base[imds->base_size - 1] == '/') {
        imds->base_size--;
    }
}

static shardy_status ask(struct imds *imds, const char *method, const char *path,
                         const struct sfi_http_header *header, int *http_status,
                         struct sfi_buf *body, shardy_error *err)
{
    char url[SFI_URL_MAX_BYTES];
    int n = snprintf(url, sizeof url, "%.*s%s", (int)imds->base_size, imds->base, path);
    sfi_buf_init(body, 0);
    if (n < 0 || (size_t)n >= sizeof url) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: its endpoint is too long", imds->what);
    }
    struct sfi_ask ask = {.what = imds->what,
                          .method = method,
                          .url = url,
                          .headers = header,
                          .header_count = 1,
                          .metadata = true,
                          .timeout_ms = SFI_AWS_METADATA_MS,
                          .tries = imds->lookup->probing && !imds->token ? 1 : SFI_AWS_TRIES};
    return sfi_ask(imds->lookup, &ask, http_status, body, &imds->unreachable, err);
}

static shardy_status refused(const struct imds *imds, const char *step, int http_status,
                             shardy_error *err)
{
    return sfi_fail(err, sfi_answer_status(http_status), "%s: %s was answered with HTTP %d",
                    imds->what, step, http_status);
}

static shardy_status fetch_token(struct imds *imds, shardy_error *err)
{
    static const struct sfi_http_header life = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    struct sfi_buf body;
    int http_status = 0;
    shardy_status st = ask(imds, "PUT", "/latest/api/token", &life, &http_status, &body, err);
    if (st == SHARDY_OK && http_status != 200) {
        st = refused(imds, "the request for a token (IMDSv2)", http_status, err);
    }
    if (st == SHARDY_OK) {
        imds->token = sfi_secret_strndup(body.data, body.size);
        if (!imds->token) {
            st = sfi_fail_memory(err, body.size);
        } else if (!sfi_is_token(imds->token)) {
            st = sfi_fail(err, SHARDY_CONFIG, "%s: its token cannot be used", imds->what);
        }
    }
    sfi_secret_buf_clear(&body);
    return st;
}

/* The first line; "" when the instance has no role. */
static shardy_status fetch_role(struct imds *imds, char role[ROLE_MAX], shardy_error *err)
{
    struct sfi_http_header header = {"X-aws-ec2-metadata-token", imds->token};
    struct sfi_buf body;
    int http_status = 0;
    role[0] = '\0';
    shardy_status st = ask(imds, "GET", ROLES, &header, &http_status, &body, err);
    if (st == SHARDY_OK && http_status != 200 && http_status != 404) {
        st = refused(imds, "the request for the role's name", http_status, err);
    }
    if (st == SHARDY_OK && http_status == 200 && body.size > 0) {
        size_t size = strcspn((const char *)body.data, "\r\n");
        /* Role names are [A-Za-z0-9+=,.@_-]; anything else would change the next URL. */
        if (size >= ROLE_MAX ||
            strspn((const char *)body.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789+=,.@_-") < size) {
            st = sfi_fail(err, SHARDY_CONFIG, "%s: the role's name is not one", imds->what);
        } else {
            memcpy(role, body.data, size);
            role[size] = '\0';
        }
    }
    sfi_secret_buf_clear(&body);
    return st;
}

static shardy_status fetch_values(struct imds *imds, const char *role,
                                  struct sfi_credential_values *values, shardy_error *err)
{
    static const struct sfi_credential_names names = {"AccessKeyId", "SecretAccessKey", "Token",
                                                      "Expiration"};
    struct sfi_http_header header = {"X-aws-ec2-metadata-token", imds->token};
    char path[sizeof ROLES + ROLE_MAX];
    struct sfi_buf body;
    int http_status = 0;
    snprintf(path, sizeof path, ROLES "%s", role);
    shardy_status st = ask(imds, "GET", path, &header, &http_status, &body, err);
    if (st == SHARDY_OK && http_status != 200) {
        st = refused(imds, "the request for the role's credentials", http_status, err);
    }
    if (st == SHARDY_OK) {
        st = sfi_values_parse(sfi_buf_view(&body), &names, imds->what, values, err);
    }
    sfi_secret_buf_clear(&body);
    return st;
}

shardy_status sfi_imds_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                            bool *found, shardy_error *err)
{
    const char *disabled = sfi_env("AWS_EC2_METADATA_DISABLED");
    struct imds imds = {.lookup = lookup};
    char role[ROLE_MAX];
    shardy_error detail = SHARDY_ERROR_INIT;
    if (disabled && strcasecmp(disabled, "true") == 0) {
        sfi_lookup_note(lookup, "instance metadata: AWS_EC2_METADATA_DISABLED is set");
        return SHARDY_OK;
    }
    choose_endpoint(&imds);
    snprintf(imds.what, sizeof imds.what, "instance metadata at %.*s", (int)imds.base_size,
             imds.base);
    shardy_status st = fetch_token(&imds, &detail);
    if (st == SHARDY_CONFIG || (st == SHARDY_STORE && imds.unreachable)) {
        /* Not an EC2 instance, as far as anybody can tell, or not for us: networks filter it. */
        sfi_lookup_note(lookup, "%s", detail.message);
        st = SHARDY_OK;
        goto out;
    }
    SFI_TRY(st);
    SFI_TRY(fetch_role(&imds, role, &detail));
    if (!role[0]) {
        sfi_lookup_note(lookup, "%s: no role is attached to the instance", imds.what);
        goto out;
    }
    SFI_TRY(fetch_values(&imds, role, values, &detail));
    snprintf(lookup->source, sizeof lookup->source, "instance metadata, role %.200s", role);
    *found = true;
out:
    if (st != SHARDY_OK && err) {
        *err = detail;
    }
    sfi_secret_free(imds.token);
    return st;
}
