/*
 * sign.c - signs a request again of which headers were taken away, as a client of the same key
 * would have signed it without them: AWS Signature Version 4, by headers. The scope, the time, the
 * payload hash and the names of signed headers are those of the request.
 */
#include "proxy.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE  32
#define HEX_SIZE   65
#define FIELDS_MAX 64

static void to_hex(const unsigned char hash[HASH_SIZE], char out[HEX_SIZE])
{
    for (size_t i = 0; i < HASH_SIZE; i++) {
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
}

static void keyed(const unsigned char *key, size_t key_size, const char *text,
                  unsigned char out[HASH_SIZE])
{
    unsigned size = HASH_SIZE;
    HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, strlen(text), out, &size);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "b=2&a" to "a=&b=2" */
static void add_query(struct buf *out, char *query)
{
    char *fields[FIELDS_MAX];
    char *rest = NULL;
    size_t count = 0;
    for (char *field = strtok_r(query, "&", &rest); field && count < FIELDS_MAX;
         field = strtok_r(NULL, "&", &rest)) {
        fields[count++] = field;
    }
    qsort(fields, count, sizeof *fields, by_text);
    for (size_t i = 0; i < count; i++) {
        buf_text(out, i ? "&" : "");
        buf_text(out, fields[i]);
        buf_text(out, strchr(fields[i], '=') ? "" : "=");
    }
}

static void add_request_line(struct buf *out, const struct buf *head)
{
    struct head parsed;
    if (!head_parse_request(buf_at(head), buf_size(head), &parsed)) {
        return;
    }
    char *target = copy_text(parsed.target, parsed.target_size);
    char *query = strchr(target, '?');
    if (query) {
        *query++ = '\0';
    }
    buf_text(out, parsed.method);
    buf_text(out, "\n");
    buf_text(out, target);
    buf_text(out, "\n");
    if (query) {
        add_query(out, query);
    }
    buf_text(out, "\n");
    free(target);
}

/* The canonical request; `names` gets those of the signed headers that are there, with ";". */
static void add_canonical(struct buf *out, const struct buf *head, char *signed_names,
                          struct buf *names)
{
    char value[4096];
    char *rest = NULL;
    add_request_line(out, head);
    for (char *name = strtok_r(signed_names, ";", &rest); name; name = strtok_r(NULL, ";", &rest)) {
        if (head_get(head, name, value, sizeof value)) {
            buf_text(out, name);
            buf_text(out, ":");
            buf_text(out, value);
            buf_text(out, "\n");
            buf_text(names, buf_size(names) ? ";" : "");
            buf_text(names, name);
        }
    }
    buf_text(out, "\n");
    buf_add(out, buf_at(names), buf_size(names));
    buf_text(out, "\n");
    buf_text(out, head_get(head, "x-amz-content-sha256", value, sizeof value) ? value : "");
}

/* date/region/service/aws4_request to the key of that day and place */
static void signing_key(const char *scope, unsigned char key[HASH_SIZE])
{
    char text[256], secret[256];
    char *rest = NULL;
    snprintf(text, sizeof text, "%s", scope);
    int size = snprintf(secret, sizeof secret, "AWS4%s", settings.secret);
    size = size < (int)sizeof secret ? size : (int)sizeof secret - 1;
    const unsigned char *with = (const unsigned char *)secret;
    size_t with_size = (size_t)size;
    for (char *part = strtok_r(text, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        unsigned char next[HASH_SIZE];
        keyed(with, with_size, part, next);
        memcpy(key, next, HASH_SIZE);
        with = key;
        with_size = HASH_SIZE;
    }
}

void sign_again(struct buf *head)
{
    char authorization[2048], user[256], scope[256], signed_names[1024], date[64];
    char hex[HEX_SIZE];
    unsigned char hash[HASH_SIZE], key[HASH_SIZE] = {0};
    struct buf canonical = {0}, names = {0}, text = {0}, header = {0};
    if (!head_get(head, "Authorization", authorization, sizeof authorization) ||
        !head_get(head, "x-amz-date", date, sizeof date) ||
        sscanf(authorization,
               "AWS4-HMAC-SHA256 Credential=%255[^/]/%255[^,], SignedHeaders=%1023[^,]", user,
               scope, signed_names) != 3) {
        return;
    }
    add_canonical(&canonical, head, signed_names, &names);
    EVP_Digest(buf_at(&canonical), buf_size(&canonical), hash, NULL, EVP_sha256(), NULL);
    to_hex(hash, hex);
    buf_format(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hex);
    signing_key(scope, key);
    keyed(key, HASH_SIZE, buf_at(&text), hash);
    to_hex(hash, hex);
    buf_format(&header, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", user,
               scope, buf_at(&names), hex);
    head_set(head, "Authorization", buf_at(&header));
    buf_clear(&canonical);
    buf_clear(&names);
    buf_clear(&text);
    buf_clear(&header);
}
