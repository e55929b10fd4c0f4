/*
 * credentials_sts.c - roles from the Security Token Service: AssumeRole with the keys of another
 * source (a signed form), AssumeRoleWithWebIdentity with a token of an identity provider
 * (unsigned). Source: AWS Security Token Service API Reference, version 2011-06-15.
 *
 * What STS says about a refusal is passed on, unless a piece of a secret stands in it.
 */
#include "aws/credentials_internal.h"

#include "aws/sigv4.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define FORM_MAX     (SFI_AWS_TOKEN_FILE_MAX * 3 + 8192)
#define MESSAGE_MAX  200
#define DURATION_MIN 900
#define DURATION_MAX 43200
#define HEADER_MAX   6

struct call {
    struct sfi_lookup *lookup;
    const struct sfi_role *role;
    const struct sfi_credential_values *with; /* NULL = not signed */
    const char *token;                        /* web identity, NULL = none */
    char what[SFI_SOURCE_SIZE];
    char url[SFI_URL_MAX_BYTES];
    char host[SFI_URL_MAX_BYTES];
    const char *path;
    const char *region; /* to sign for */
    struct sfi_buf form;
    struct sfi_buf authorization;
    char date[SFI_AMZ_DATE_SIZE];
    struct sfi_http_header headers[HEADER_MAX];
    size_t header_count;
};

/* Option, variable, else the endpoint of the region. */
static shardy_status choose_endpoint(struct call *call, shardy_error *err)
{
    const char *endpoint = call->lookup->config->sts_endpoint;
    const char *region = call->lookup->region;
    int n;
    call->region = *region ? region : "us-east-1";
    if (!endpoint) {
        endpoint = sfi_env("AWS_ENDPOINT_URL_STS");
    }
    if (endpoint) {
        n = snprintf(call->url, sizeof call->url, "%s", endpoint);
    } else if (!*region || strcmp(region, "aws-global") == 0) {
        call->region = "us-east-1";
        n = snprintf(call->url, sizeof call->url, "https://sts.amazonaws.com/");
    } else {
        n = snprintf(call->url, sizeof call->url, "https://sts.%s.amazonaws.com%s/", region,
                     strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    }
    bool https = strncasecmp(call->url, "https://", 8) == 0;
    if (n < 0 || (size_t)n >= sizeof call->url ||
        (!https && strncasecmp(call->url, "http://", 7) != 0) || strpbrk(call->url, "@?# ")) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%s: the STS endpoint (sts_endpoint, AWS_ENDPOINT_URL_STS) is not of the "
                        "form https://host[:port][/path]",
                        call->what);
    }
    const char *start = call->url + (https ? 8 : 7);
    size_t size = strcspn(start, "/");
    memcpy(call->host, start, size);
    call->host[size] = '\0';
    call->path = start + size;
    return SHARDY_OK;
}

static void add_field(struct call *call, const char *name, const char *value)
{
    if (value) {
        sfi_buf_printf(&call->form, "&%s=", name);
        sfi_uri_encode(&call->form, value, false);
    }
}

static shardy_status check_duration(const struct call *call, shardy_error *err)
{
    const char *text = call->role->duration;
    char *end = NULL;
    long seconds = text ? strtol(text, &end, 10) : DURATION_MIN;
    if (text && (*end || end == text || seconds < DURATION_MIN || seconds > DURATION_MAX)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: duration_seconds is not a number from %d to %d",
                        call->what, DURATION_MIN, DURATION_MAX);
    }
    return SHARDY_OK;
}

static shardy_status make_form(struct call *call, shardy_error *err)
{
    char made[48];
    const char *session = call->role->session_name;
    SFI_RETURN_IF_ERR(check_duration(call, err));
    if (!session) {
        snprintf(made, sizeof made, "shardyfusion-%lld", (long long)sfi_lookup_now(call->lookup));
        session = made;
    }
    sfi_buf_reserve(&call->form, FORM_MAX); /* growing would leave copies of the token */
    sfi_buf_append_text(&call->form,
                        call->with ? "Action=AssumeRole" : "Action=AssumeRoleWithWebIdentity");
    add_field(call, "Version", "2011-06-15");
    add_field(call, "RoleArn", call->role->arn);
    add_field(call, "RoleSessionName", session);
    add_field(call, "DurationSeconds", call->role->duration);
    if (call->with) {
        add_field(call, "ExternalId", call->role->external_id);
    }
    add_field(call, "WebIdentityToken", call->token);
    return sfi_buf_status(&call->form, call->what, err);
}

static void add_header(struct call *call, const char *name, const char *value)
{
    call->headers[call->header_count++] = (struct sfi_http_header){name, value};
}

static shardy_status sign(struct call *call, shardy_error *err)
{
    char hash[SFI_SHA256_HEX_SIZE];
    struct sfi_sigv4_header headers[HEADER_MAX];
    sfi_sha256_hex(sfi_buf_view(&call->form), hash);
    sfi_amz_date(sfi_now_us() / 1000000, call->date);
    add_header(call, "X-Amz-Date", call->date);
    if (call->with->session_token) {
        add_header(call, "X-Amz-Security-Token", call->with->session_token);
    }
    for (size_t i = 0; i < call->header_count; i++) {
        headers[i] = (struct sfi_sigv4_header){call->headers[i].name, call->headers[i].value};
    }
    const struct sfi_sigv4_input input = {.method = "POST",
                                          .path = call->path,
                                          .query = "",
                                          .headers = headers,
                                          .header_count = call->header_count,
                                          .payload_hash = hash,
                                          .region = call->region,
                                          .service = "sts",
                                          .amz_date = call->date,
                                          .encode_path_twice = true};
    const struct sfi_credentials credentials = {.access_key_id = call->with->access_key_id,
                                                .secret_access_key = call->with->secret_access_key,
                                                .session_token = call->with->session_token};
    SFI_RETURN_IF_ERR(sfi_sigv4_authorization(&input, &credentials, &call->authorization, err));
    add_header(call, "Authorization", (const char *)call->authorization.data);
    return SHARDY_OK;
}

/* A message of the server fit to be shown, or "". */
static void shown_message(const struct call *call, const char *from, char out[MESSAGE_MAX])
{
    size_t size = 0;
    out[0] = '\0';
    if (!from || sfi_secret_shows(from, call->token)) {
        return;
    }
    if (call->with && (sfi_secret_shows(from, call->with->secret_access_key) ||
                       sfi_secret_shows(from, call->with->session_token))) {
        return;
    }
    for (; *from && *from != '\n' && size < MESSAGE_MAX - 1; from++) {
        out[size++] = *from >= ' ' && *from <= '~' ? *from : '?';
    }
    out[size] = '\0';
}

static shardy_status refused(const struct call *call, int http_status,
                             const struct sfi_sts_answer *answer, shardy_error *err)
{
    char message[MESSAGE_MAX];
    char code[MESSAGE_MAX];
    shown_message(call, answer->message, message);
    shown_message(call, answer->code, code);
    return sfi_fail(err, sfi_answer_status(http_status),
                    "%s: STS at %s answered HTTP %d%s%.64s%s%s", call->what, call->host,
                    http_status, *code ? " " : "", code, *message ? ": " : "", message);
}

static shardy_status take_values(const struct call *call, const struct sfi_sts_answer *answer,
                                 struct sfi_credential_values *values, shardy_error *err)
{
    int64_t us;
    if (!answer->access_key_id || !answer->secret_access_key || !answer->session_token ||
        !answer->expiration ||
        !sfi_timestamp_parse(answer->expiration, strlen(answer->expiration), &us)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: the answer of STS at %s holds no credentials",
                        call->what, call->host);
    }
    SFI_RETURN_IF_ERR(sfi_values_set(values, answer->access_key_id, answer->secret_access_key,
                                     answer->session_token, call->what, err));
    values->expires_at = us / 1000000;
    return SHARDY_OK;
}

static shardy_status send_call(struct call *call, struct sfi_credential_values *values,
                               shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct sfi_sts_answer answer = {0};
    struct sfi_buf body;
    int http_status = 0;
    bool unreachable;
    char who[SFI_SOURCE_SIZE + 128];
    snprintf(who, sizeof who, "%s: STS at %.100s", call->what, call->host);
    struct sfi_ask ask = {.what = who,
                          .method = "POST",
                          .url = call->url,
                          .headers = call->headers,
                          .header_count = call->header_count,
                          .body = sfi_buf_view(&call->form),
                          .tries = SFI_AWS_TRIES};
    SFI_TRY(sfi_ask(call->lookup, &ask, &http_status, &body, &unreachable, err));
    st = sfi_sts_answer_parse(sfi_buf_view(&body), &answer, err);
    if (http_status != 200) {
        st = refused(call, http_status, &answer, err); /* a proxy's page has neither code */
    } else if (st == SHARDY_OK) {
        st = take_values(call, &answer, values, err);
    } else {
        sfi_error_prefix(err, "%s: ", who);
    }
out:
    sfi_secret_buf_clear(&body);
    sfi_sts_answer_clear(&answer);
    return st;
}

static shardy_status run_call(struct sfi_lookup *lookup, const struct sfi_role *role,
                              const struct sfi_credential_values *with, const char *token,
                              struct sfi_credential_values *values, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct call *call = sfi_calloc(1, sizeof *call);
    memset(values, 0, sizeof *values);
    if (!call) {
        return sfi_fail_memory(err, sizeof *call);
    }
    call->lookup = lookup;
    call->role = role;
    call->with = with;
    call->token = token;
    snprintf(call->what, sizeof call->what, "%.100s, role %.120s", role->what, role->arn);
    sfi_buf_init(&call->form, FORM_MAX);
    sfi_buf_init(&call->authorization, SFI_URL_MAX_BYTES);
    SFI_TRY(choose_endpoint(call, err));
    SFI_TRY(make_form(call, err));
    add_header(call, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    add_header(call, "Host", call->host);
    if (with) {
        SFI_TRY(sign(call, err));
    }
    SFI_TRY(send_call(call, values, err));
    snprintf(lookup->source, sizeof lookup->source, "%s", call->what);
out:
    sfi_secret_buf_clear(&call->form);
    sfi_secret_buf_clear(&call->authorization);
    sfi_free(call);
    return st;
}

shardy_status sfi_sts_assume_role(struct sfi_lookup *lookup, const struct sfi_role *role,
                                  const struct sfi_credential_values *with,
                                  struct sfi_credential_values *values, shardy_error *err)
{
    return run_call(lookup, role, with, NULL, values, err);
}

shardy_status sfi_sts_web_identity(struct sfi_lookup *lookup, const struct sfi_role *role,
                                   struct sfi_credential_values *values, shardy_error *err)
{
    char *token = NULL;
    /* Read every time: the file is replaced before the token in it expires. */
    shardy_status st = sfi_token_file_read(role->token_file, role->what, &token, err);
    if (st == SHARDY_OK) {
        st = run_call(lookup, role, NULL, token, values, err);
    }
    sfi_secret_free(token);
    return st;
}

shardy_status sfi_web_identity_find(struct sfi_lookup *lookup, struct sfi_credential_values *values,
                                    bool *found, shardy_error *err)
{
    const struct sfi_role role = {.what = "web identity",
                                  .arn = sfi_env("AWS_ROLE_ARN"),
                                  .session_name = sfi_env("AWS_ROLE_SESSION_NAME"),
                                  .token_file = sfi_env("AWS_WEB_IDENTITY_TOKEN_FILE")};
    if (!role.token_file) {
        sfi_lookup_note(lookup, "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        return SHARDY_OK;
    }
    if (!role.arn) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not: "
                        "set both or neither");
    }
    *found = true;
    return sfi_sts_web_identity(lookup, &role, values, err);
}
