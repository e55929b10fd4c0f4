/*
 * credentials_http.c - requests to services that hand out credentials, and credentials in JSON.
 *
 * Few and small requests: each blocks, is bounded in time and size, and is tried again after a
 * short pause when its failure may pass. Texts of answers never reach messages from here. Signing,
 * and what an answer means, are the sources' business.
 */
#include "aws/credentials_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <errno.h>
#include <time.h>

#define PAUSE_MS 100u
#define SLICE_MS 20u

static struct sfi_http_client **client_of(struct sfi_lookup *lookup, bool metadata)
{
    return metadata ? lookup->metadata_client : lookup->client;
}

static shardy_status make_client(struct sfi_lookup *lookup, bool metadata, shardy_error *err)
{
    struct sfi_http_options options = {.max_connections = 2,
                                       .connect_timeout_ms = SFI_AWS_CONNECT_MS,
                                       .stall_timeout_ms = SFI_AWS_REQUEST_MS,
                                       .ca_file = lookup->config->ca_file};
    if (*client_of(lookup, metadata)) {
        return SHARDY_OK;
    }
    if (!options.ca_file) {
        options.ca_file = sfi_env("AWS_CA_BUNDLE");
    }
    if (metadata) {
        options.connect_timeout_ms = SFI_AWS_METADATA_MS;
        options.no_proxy = true;
    }
    return sfi_http_client_new(&options, client_of(lookup, metadata), err);
}

static bool passing(int http_status)
{
    return http_status >= 500 || http_status == 429 || http_status == 408;
}

shardy_status sfi_answer_status(int http_status)
{
    return passing(http_status) ? SHARDY_STORE : SHARDY_CONFIG;
}

/* false: the provider is being freed. */
static bool pause_before(const struct sfi_lookup *lookup, unsigned attempt)
{
    unsigned left = attempt > 0 ? PAUSE_MS << (attempt - 1) : 0;
    while (left > 0 && !atomic_load(lookup->stopping)) {
        struct timespec slice = {0, SLICE_MS * 1000000L};
        nanosleep(&slice, NULL);
        left -= left < SLICE_MS ? left : SLICE_MS;
    }
    return !atomic_load(lookup->stopping);
}

static void no_done(struct sfi_http_request *request)
{
    (void)request;
}

/* In our words: a transport's message may quote a URL, and URLs of containers may hold a token. */
static const char *outcome_text(enum sfi_http_outcome outcome)
{
    switch (outcome) {
    case SFI_HTTP_NOT_SENT:
        return "cannot be reached";
    case SFI_HTTP_TIMEOUT:
        return "timed out";
    case SFI_HTTP_TOO_LARGE:
        return "the answer is too large for credentials";
    case SFI_HTTP_REFUSED:
        return "the server's certificate does not verify (ca_file or AWS_CA_BUNDLE names others)";
    case SFI_HTTP_CANCELLED:
        return "cancelled";
    case SFI_HTTP_NO_MEMORY:
        return "out of memory";
    case SFI_HTTP_LOST:
    case SFI_HTTP_ANSWERED:
        break;
    }
    return "the connection was lost";
}

static shardy_status outcome_status(enum sfi_http_outcome outcome)
{
    switch (outcome) {
    case SFI_HTTP_CANCELLED:
        return SHARDY_CANCELLED;
    case SFI_HTTP_NO_MEMORY:
        return SHARDY_NO_MEMORY;
    case SFI_HTTP_REFUSED:
    case SFI_HTTP_TOO_LARGE:
        return SHARDY_CONFIG;
    default:
        return SHARDY_STORE;
    }
}

static void clear_request(struct sfi_http_request *request)
{
    sfi_secret_buf_clear(&request->data);
    sfi_http_request_clear(request);
}

shardy_status sfi_ask(struct sfi_lookup *lookup, const struct sfi_ask *ask, int *http_status,
                      struct sfi_buf *body, bool *unreachable, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct sfi_http_request request = {0};
    sfi_buf_init(body, SFI_AWS_ANSWER_MAX);
    *unreachable = false;
    SFI_TRY(make_client(lookup, ask->metadata, err));
    for (unsigned attempt = 0; attempt < ask->tries; attempt++) {
        clear_request(&request);
        if (!pause_before(lookup, attempt)) {
            st = sfi_fail(err, SHARDY_CANCELLED, "%s: cancelled", ask->what);
            goto out;
        }
        request = (struct sfi_http_request){
            .method = ask->method,
            .url = ask->url,
            .headers = ask->headers,
            .header_count = ask->header_count,
            .body = ask->body,
            .max_body = SFI_AWS_ANSWER_MAX,
            .expect_body = SFI_AWS_ANSWER_MAX, /* never grows, so no copy stays behind */
            .timeout_ms = ask->timeout_ms ? ask->timeout_ms : SFI_AWS_REQUEST_MS,
            .done = no_done};
        sfi_http_perform(*client_of(lookup, ask->metadata), &request);
        bool again = request.outcome == SFI_HTTP_NOT_SENT || request.outcome == SFI_HTTP_LOST ||
                     request.outcome == SFI_HTTP_TIMEOUT ||
                     (request.outcome == SFI_HTTP_ANSWERED && passing(request.http_status));
        if (!again) {
            break;
        }
    }
    if (request.outcome != SFI_HTTP_ANSWERED) {
        *unreachable = request.outcome == SFI_HTTP_NOT_SENT || request.outcome == SFI_HTTP_TIMEOUT;
        st = sfi_fail(err, outcome_status(request.outcome), "%s: %s", ask->what,
                      outcome_text(request.outcome));
        goto out;
    }
    *http_status = request.http_status;
    *body = request.data;
    memset(&request.data, 0, sizeof request.data);
out:
    clear_request(&request);
    return st;
}

/* JSON. */

shardy_status sfi_secret_json_parse(struct sfi_bytes text, const char *what,
                                    struct sfi_json_doc *doc, shardy_error *err)
{
    shardy_error detail = SHARDY_ERROR_INIT;
    memset(doc, 0, sizeof *doc);
    /* Checked first without building: a failed parse would free its strings unwiped. */
    shardy_status st = sfi_json_check_object(text, &detail);
    if (st == SHARDY_OK) {
        st = sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, doc, &detail);
    }
    return st == SHARDY_OK ? st : sfi_fail(err, st, "%s: %s", what, detail.message);
}

static void wipe_json(const struct sfi_json *value)
{
    for (; value; value = value->next) {
        if (value->text.data && value->text.size) {
            explicit_bzero((void *)(uintptr_t)value->text.data, value->text.size);
        }
        wipe_json(value->child); /* depth is limited by the parser */
    }
}

void sfi_secret_json_clear(struct sfi_json_doc *doc)
{
    wipe_json(doc->root);
    sfi_json_clear(doc);
}

shardy_status sfi_json_dup_member(const struct sfi_json *object, const char *name, char **text,
                                  shardy_error *err)
{
    const struct sfi_json *member = sfi_json_member(object, name);
    *text = NULL;
    if (!member || member->kind != SFI_JSON_STRING ||
        memchr(member->text.data, 0, member->text.size)) {
        return SHARDY_OK;
    }
    *text = sfi_secret_strndup(member->text.data, member->text.size);
    return *text ? SHARDY_OK : sfi_fail_memory(err, member->text.size);
}

/* ISO 8601, "...UTC" as the command line tools wrote it, or Unix milliseconds. */
static bool parse_expiration(const struct sfi_json *value, int64_t *seconds)
{
    struct sfi_bytes text = value->text;
    int64_t us;
    if (text.size > 3 && memcmp(text.data + text.size - 3, "UTC", 3) == 0) {
        text.size -= 3;
    }
    if ((value->kind != SFI_JSON_STRING && value->kind != SFI_JSON_NUMBER) ||
        !sfi_timestamp_parse((const char *)text.data, text.size, &us)) {
        return false;
    }
    *seconds = us / 1000000;
    return true;
}

shardy_status sfi_values_from_json(const struct sfi_json *object,
                                   const struct sfi_credential_names *names, const char *what,
                                   struct sfi_credential_values *values, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    const struct sfi_json *expiration = sfi_json_member(object, names->expiration);
    const struct sfi_json *given = sfi_json_member(object, names->session_token);
    char *key_id = NULL;
    char *secret = NULL;
    char *token = NULL;
    int64_t expires_at = 0;
    memset(values, 0, sizeof *values);
    SFI_TRY(sfi_json_dup_member(object, names->access_key_id, &key_id, err));
    SFI_TRY(sfi_json_dup_member(object, names->secret_access_key, &secret, err));
    SFI_TRY(sfi_json_dup_member(object, names->session_token, &token, err));
    if (!key_id || !secret || (given && given->kind == SFI_JSON_STRING && !token)) {
        st = sfi_fail(err, SHARDY_CONFIG, "%s: the answer has no usable \"%s\"", what,
                      !key_id   ? names->access_key_id
                      : !secret ? names->secret_access_key
                                : names->session_token);
        goto out;
    }
    if (expiration && expiration->kind != SFI_JSON_NULL &&
        !parse_expiration(expiration, &expires_at)) {
        st = sfi_fail(err, SHARDY_CONFIG, "%s: \"%s\" of the answer is not a time", what,
                      names->expiration);
        goto out;
    }
    SFI_TRY(sfi_values_set(values, key_id, secret, token && *token ? token : NULL, what, err));
    values->expires_at = expires_at;
out:
    sfi_secret_free(key_id);
    sfi_secret_free(secret);
    sfi_secret_free(token);
    return st;
}

shardy_status sfi_values_parse(struct sfi_bytes text, const struct sfi_credential_names *names,
                               const char *what, struct sfi_credential_values *values,
                               shardy_error *err)
{
    struct sfi_json_doc doc;
    memset(values, 0, sizeof *values);
    shardy_status st = sfi_secret_json_parse(text, what, &doc, err);
    if (st == SHARDY_OK) {
        st = sfi_values_from_json(doc.root, names, what, values, err);
    }
    sfi_secret_json_clear(&doc);
    return st;
}

shardy_status sfi_token_file_read(const char *path, const char *what, char **token,
                                  shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    char *text = NULL;
    size_t size;
    int error_number;
    *token = NULL;
    SFI_TRY(sfi_secret_read_file(path, SFI_AWS_TOKEN_FILE_MAX, &text, &size, &error_number, err));
    if (!text) {
        st = sfi_fail_errno(err, SHARDY_CONFIG, error_number, "%s: cannot read the token file %s",
                            what, path);
        goto out;
    }
    size_t start = strspn(text, " \t\r\n");
    size_t end = size;
    while (end > start && strchr(" \t\r\n", text[end - 1])) {
        end--;
    }
    *token = sfi_secret_strndup(text + start, end - start);
    if (!*token) {
        st = sfi_fail_memory(err, size);
    } else if (!sfi_is_token(*token) || strlen(*token) != end - start) {
        sfi_secret_free(*token);
        *token = NULL;
        st = sfi_fail(err, SHARDY_CONFIG, "%s: the token file %s does not hold one token", what,
                      path);
    }
out:
    sfi_secret_free(text);
    return st;
}
