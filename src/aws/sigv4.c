/*
 * sigv4.c - AWS Signature Version 4: canonical request, string to sign, signing key, header.
 *
 * Source: AWS General Reference, "Signing AWS API requests". The signing key depends on secret,
 * day, region and service only, and is kept beside the credentials (four HMACs saved a request).
 * What is signed - dates, payload hashes, tokens as headers - is the caller's.
 */
#include "aws/sigv4.h"

#include "aws/secret.h"
#include "base/limits.h"
#include "base/memory.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HASH_SIZE     32
#define DAY_SIZE      8
#define ALGORITHM     "AWS4-HMAC-SHA256"
#define SCOPE_SIZE    (DAY_SIZE + SFI_AWS_REGION_SIZE + 40)
#define KEPT_KEYS     4
#define REQUEST_BYTES 512

/* Fetched once: a look-up by name costs as much as hashing a request. Never freed. */
static struct {
    pthread_once_t once;
    EVP_MD *sha256;
    EVP_MAC_CTX *hmac; /* with its digest, without a key: copied for every use */
} s_crypto = {PTHREAD_ONCE_INIT, NULL, NULL};

static void fetch_crypto(void)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    s_crypto.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s_crypto.hmac = mac ? EVP_MAC_CTX_new(mac) : NULL;
    if (s_crypto.hmac && !EVP_MAC_CTX_set_params(s_crypto.hmac, params)) {
        EVP_MAC_CTX_free(s_crypto.hmac);
        s_crypto.hmac = NULL;
    }
    EVP_MAC_free(mac);
}

static bool sha256(const void *data, size_t size, uint8_t out[HASH_SIZE])
{
    pthread_once(&s_crypto.once, fetch_crypto);
    return s_crypto.sha256 && EVP_Digest(data, size, out, NULL, s_crypto.sha256, NULL);
}

static bool hmac(const void *key, size_t key_size, const void *data, size_t size,
                 uint8_t out[HASH_SIZE])
{
    size_t written = 0;
    pthread_once(&s_crypto.once, fetch_crypto);
    EVP_MAC_CTX *ctx = s_crypto.hmac ? EVP_MAC_CTX_dup(s_crypto.hmac) : NULL;
    bool ok = ctx && EVP_MAC_init(ctx, key, key_size, NULL) && EVP_MAC_update(ctx, data, size) &&
              EVP_MAC_final(ctx, out, &written, HASH_SIZE);
    EVP_MAC_CTX_free(ctx);
    return ok;
}

static void to_hex(const uint8_t hash[HASH_SIZE], char out[SFI_SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HASH_SIZE; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[2 * HASH_SIZE] = '\0';
}

void sfi_sha256_hex(struct sfi_bytes bytes, char out[SFI_SHA256_HEX_SIZE])
{
    uint8_t hash[HASH_SIZE];
    if (!sha256(bytes.size ? bytes.data : (const uint8_t *)"", bytes.size, hash)) {
        memset(hash, 0, sizeof hash); /* out of memory: a hash that every server refuses */
    }
    to_hex(hash, out);
}

void sfi_amz_date(int64_t unix_seconds, char out[SFI_AMZ_DATE_SIZE])
{
    time_t seconds = (time_t)unix_seconds;
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) ||
        strftime(out, SFI_AMZ_DATE_SIZE, "%Y%m%dT%H%M%SZ", &utc) != SFI_AMZ_DATE_SIZE - 1) {
        snprintf(out, SFI_AMZ_DATE_SIZE, "19700101T000000Z");
    }
}

static bool unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

bool sfi_uri_encode(struct sfi_buf *out, const char *text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const uint8_t *p = (const uint8_t *)text; *p; p++) {
        if (unreserved(*p) || (*p == '/' && keep_slash)) {
            sfi_buf_append_byte(out, *p);
        } else {
            const uint8_t escape[3] = {'%', (uint8_t)digits[*p >> 4], (uint8_t)digits[*p & 15]};
            sfi_buf_append(out, escape, sizeof escape);
        }
    }
    return sfi_buf_append(out, "", 0);
}

/* The signing keys of one secret. */

struct sfi_signing_keys {
    pthread_mutex_t lock; /* only ever tried: a fork may have left it locked for good */
    unsigned next;
    struct {
        char scope[SCOPE_SIZE]; /* "20260131/us-east-1/s3/aws4_request"; "" = empty */
        uint8_t key[HASH_SIZE];
    } kept[KEPT_KEYS];
};

struct sfi_signing_keys *sfi_signing_keys_new(void)
{
    struct sfi_signing_keys *keys = sfi_secret_alloc(sizeof *keys);
    if (keys) {
        memset(keys, 0, sizeof *keys);
        pthread_mutex_init(&keys->lock, NULL);
    }
    return keys;
}

void sfi_signing_keys_free(struct sfi_signing_keys *keys)
{
    if (keys) {
        pthread_mutex_destroy(&keys->lock);
        sfi_secret_free(keys);
    }
}

static bool find_key(struct sfi_signing_keys *keys, const char *scope, uint8_t key[HASH_SIZE])
{
    bool found = false;
    if (!keys || pthread_mutex_trylock(&keys->lock) != 0) {
        return false;
    }
    for (size_t i = 0; i < KEPT_KEYS && !found; i++) {
        if (strcmp(keys->kept[i].scope, scope) == 0) {
            memcpy(key, keys->kept[i].key, HASH_SIZE);
            found = true;
        }
    }
    pthread_mutex_unlock(&keys->lock);
    return found;
}

static void keep_key(struct sfi_signing_keys *keys, const char *scope, const uint8_t key[HASH_SIZE])
{
    if (keys && pthread_mutex_trylock(&keys->lock) == 0) {
        unsigned i = keys->next++ % KEPT_KEYS;
        snprintf(keys->kept[i].scope, SCOPE_SIZE, "%s", scope);
        memcpy(keys->kept[i].key, key, HASH_SIZE);
        pthread_mutex_unlock(&keys->lock);
    }
}

static bool signing_key(const struct sfi_sigv4_input *in, const struct sfi_credentials *credentials,
                        const char *scope, uint8_t key[HASH_SIZE])
{
    size_t size = strlen(credentials->secret_access_key) + 4;
    bool ok = find_key(credentials->signing, scope, key);
    char *secret = ok ? NULL : sfi_secret_alloc(size + 1);
    if (secret) {
        snprintf(secret, size + 1, "AWS4%s", credentials->secret_access_key);
        ok = hmac(secret, size, in->amz_date, DAY_SIZE, key) &&
             hmac(key, HASH_SIZE, in->region, strlen(in->region), key) &&
             hmac(key, HASH_SIZE, in->service, strlen(in->service), key) &&
             hmac(key, HASH_SIZE, "aws4_request", strlen("aws4_request"), key);
        if (ok) {
            keep_key(credentials->signing, scope, key);
        }
    }
    sfi_secret_free(secret);
    return ok;
}

/* Canonical request. */

struct parameter {
    const char *name;
    size_t name_size;
    const char *value;
    size_t value_size;
};

static int compare_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return sfi_bytes_compare((struct sfi_bytes){(const uint8_t *)a, a_size},
                             (struct sfi_bytes){(const uint8_t *)b, b_size});
}

static int compare_parameters(const void *left, const void *right)
{
    const struct parameter *a = left;
    const struct parameter *b = right;
    int c = compare_text(a->name, a->name_size, b->name, b->name_size);
    return c ? c : compare_text(a->value, a->value_size, b->value, b->value_size);
}

static size_t split_query(const char *query, struct parameter *parameters)
{
    size_t count = 0;
    while (*query) {
        size_t size = strcspn(query, "&");
        const char *equals = memchr(query, '=', size);
        if (size > 0) {
            struct parameter p = {query, size, query + size, 0};
            if (equals) {
                p.name_size = (size_t)(equals - query);
                p.value = equals + 1;
                p.value_size = size - p.name_size - 1;
            }
            parameters[count++] = p;
        }
        query += size + (query[size] == '&');
    }
    return count;
}

/* Parameters sorted by name, then value; one without '=' gets it. */
static bool append_query(struct sfi_buf *out, const char *query)
{
    struct parameter few[8];
    struct parameter *parameters = few;
    size_t most = 1;
    for (const char *p = query; *p; p++) {
        most += *p == '&';
    }
    if (most > sizeof few / sizeof few[0]) {
        parameters = sfi_array_alloc(most, sizeof *parameters);
        if (!parameters) {
            return false;
        }
    }
    size_t count = split_query(query, parameters);
    if (count > 1) {
        qsort(parameters, count, sizeof *parameters, compare_parameters);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            sfi_buf_append_byte(out, '&');
        }
        sfi_buf_append(out, parameters[i].name, parameters[i].name_size);
        sfi_buf_append_byte(out, '=');
        sfi_buf_append(out, parameters[i].value, parameters[i].value_size);
    }
    if (parameters != few) {
        sfi_free(parameters);
    }
    return sfi_buf_append(out, "", 0);
}

static void append_lower(struct sfi_buf *out, const char *name)
{
    size_t lower = strcspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    sfi_buf_append(out, name, lower);
    name += lower;
    for (; *name; name++) {
        char c = *name;
        sfi_buf_append_byte(out, (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Trimmed, runs of blanks made one. */
static void append_value(struct sfi_buf *out, const char *value)
{
    bool started = false;
    if (!strpbrk(value, " \t")) {
        sfi_buf_append_text(out, value);
        return;
    }
    for (; *value; value++) {
        if (!is_blank(*value)) {
            sfi_buf_append_byte(out, (uint8_t)*value);
            started = true;
        } else if (started && value[1] && !is_blank(value[1])) {
            sfi_buf_append_byte(out, ' ');
        }
    }
}

static int compare_names(const char *a, const char *b)
{
    while (*a && (*a | 32) == (*b | 32)) {
        a++;
        b++;
    }
    /* '-' and digits keep their value under | 32; '_' does not occur in headers that we sign. */
    return (*a ? *a | 32 : 0) - (*b ? *b | 32 : 0);
}

/* Stable, and short: requests have about eight headers. */
static void sort_headers(const struct sfi_sigv4_header **sorted, const struct sfi_sigv4_input *in)
{
    for (size_t i = 0; i < in->header_count; i++) {
        size_t at = i;
        while (at > 0 && compare_names(sorted[at - 1]->name, in->headers[i].name) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = &in->headers[i];
    }
}

static void append_headers(struct sfi_buf *out, const struct sfi_sigv4_header **sorted,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0) {
            out->size--; /* the same header again: values in one line */
            sfi_buf_append_byte(out, ',');
        } else {
            append_lower(out, sorted[i]->name);
            sfi_buf_append_byte(out, ':');
        }
        append_value(out, sorted[i]->value);
        if (!sfi_buf_append_byte(out, '\n')) {
            return;
        }
    }
}

static void append_names(struct sfi_buf *out, const struct sfi_sigv4_header **sorted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0) {
            continue;
        }
        if (i > 0) {
            sfi_buf_append_byte(out, ';');
        }
        append_lower(out, sorted[i]->name);
    }
}

/* At least the size of the canonical request. */
static size_t request_size(const struct sfi_sigv4_input *in)
{
    size_t size = REQUEST_BYTES + 3 * strlen(in->path) + 2 * strlen(in->query);
    for (size_t i = 0; i < in->header_count; i++) {
        size += 2 * strlen(in->headers[i].name) + strlen(in->headers[i].value) + 4;
    }
    return size;
}

static bool hash_request(const struct sfi_sigv4_input *in, const struct sfi_sigv4_header **sorted,
                         char hex[SFI_SHA256_HEX_SIZE])
{
    struct sfi_buf request;
    uint8_t hash[HASH_SIZE];
    sfi_buf_init(&request, SFI_SIGNED_MAX_BYTES);
    sfi_buf_reserve(&request, request_size(in)); /* growing would leave copies of the token */
    sfi_buf_append_text(&request, in->method);
    sfi_buf_append_byte(&request, '\n');
    const char *path = in->path[0] ? in->path : "/";
    if (in->encode_path_twice) {
        sfi_uri_encode(&request, path, true);
    } else {
        sfi_buf_append_text(&request, path);
    }
    sfi_buf_append_byte(&request, '\n');
    bool ok = append_query(&request, in->query);
    sfi_buf_append_byte(&request, '\n');
    append_headers(&request, sorted, in->header_count);
    sfi_buf_append_byte(&request, '\n');
    append_names(&request, sorted, in->header_count);
    sfi_buf_append_byte(&request, '\n');
    ok = sfi_buf_append_text(&request, in->payload_hash) && ok &&
         sha256(request.data, request.size, hash);
    if (ok) {
        to_hex(hash, hex);
    }
    sfi_secret_buf_clear(&request); /* the session token is among the headers */
    return ok;
}

shardy_status sfi_sigv4_authorization(const struct sfi_sigv4_input *input,
                                      const struct sfi_credentials *credentials,
                                      struct sfi_buf *out, shardy_error *err)
{
    const struct sfi_sigv4_header *few[16];
    const struct sfi_sigv4_header **sorted = few;
    char scope[SCOPE_SIZE];
    char hex[SFI_SHA256_HEX_SIZE];
    char to_sign[sizeof ALGORITHM + SFI_AMZ_DATE_SIZE + SCOPE_SIZE + SFI_SHA256_HEX_SIZE];
    uint8_t key[HASH_SIZE];
    uint8_t signature[HASH_SIZE];
    shardy_status st = SHARDY_OK;

    int n = snprintf(scope, sizeof scope, "%.*s/%s/%s/aws4_request", DAY_SIZE, input->amz_date,
                     input->region, input->service);
    if (n < 0 || (size_t)n >= sizeof scope) {
        return sfi_fail(err, SHARDY_CONFIG, "region %.40s... is too long to sign for",
                        input->region);
    }
    if (input->header_count > sizeof few / sizeof few[0]) {
        sorted = sfi_array_alloc(input->header_count, sizeof(void *));
    }
    if (!sorted) {
        return sfi_fail_memory(err, REQUEST_BYTES);
    }
    sort_headers(sorted, input);
    bool ok = hash_request(input, sorted, hex) && signing_key(input, credentials, scope, key);
    n = snprintf(to_sign, sizeof to_sign, ALGORITHM "\n%s\n%s\n%s", input->amz_date, scope,
                 ok ? hex : "");
    if (!ok || !hmac(key, sizeof key, to_sign, (size_t)n, signature)) {
        st = sfi_fail_memory(err, REQUEST_BYTES);
        goto out;
    }
    to_hex(signature, hex);
    sfi_buf_append_text(out, ALGORITHM " Credential=");
    sfi_buf_append_text(out, credentials->access_key_id);
    sfi_buf_append_byte(out, '/');
    sfi_buf_append_text(out, scope);
    sfi_buf_append_text(out, ",SignedHeaders=");
    append_names(out, sorted, input->header_count);
    sfi_buf_append_text(out, ",Signature=");
    sfi_buf_append_text(out, hex);
    st = sfi_buf_status(out, "Authorization header", err);
out:
    explicit_bzero(key, sizeof key);
    if (sorted != few) {
        sfi_free(sorted);
    }
    return st;
}
