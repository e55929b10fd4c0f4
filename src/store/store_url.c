/*
 * store_url.c - which URLs and keys are acceptable, and how they are joined. Keys that come from
 * manifests and pointers are hostile: nothing may lead outside the opened prefix.
 */
#include "store/store.h"

#include "base/limits.h"
#include "base/memory.h"

char *sfi_url_join(const char *base, const char *key)
{
    size_t base_size = strlen(base);
    size_t key_size = strlen(key);
    while (base_size && base[base_size - 1] == '/') {
        base_size--;
    }
    char *url = sfi_malloc(base_size + key_size + 2);
    if (url) {
        memcpy(url, base, base_size);
        url[base_size] = '/';
        memcpy(url + base_size + 1, key, key_size + 1);
        if (!key_size) {
            url[base_size] = '\0';
        }
    }
    return url;
}

static bool is_dots(const char *segment, size_t size)
{
    return (size == 1 && segment[0] == '.') ||
           (size == 2 && segment[0] == '.' && segment[1] == '.');
}

/* What is wrong with a key, or NULL. */
static const char *key_problem(const char *key)
{
    size_t size = strnlen(key, SFI_URL_MAX_BYTES + 1);
    if (!size) {
        return "it is empty";
    }
    if (size > SFI_URL_MAX_BYTES) {
        return "it is longer than 4096 bytes";
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7F) {
            return "it contains a control character";
        }
    }
    if (!sfi_utf8_valid(key, size)) {
        return "it is not UTF-8";
    }
    for (const char *at = key;; at++) {
        size_t n = strcspn(at, "/");
        if (!n) {
            return "it has an empty segment";
        }
        if (is_dots(at, n)) {
            return "it has a \".\" or \"..\" segment";
        }
        at += n;
        if (!*at) {
            return NULL;
        }
    }
}

shardy_status sfi_key_check(const char *key, shardy_error *err)
{
    const char *problem = key_problem(key);
    if (!problem) {
        return SHARDY_OK;
    }
    return sfi_fail(err, SHARDY_CONFIG, "object key \"%.200s\" is not acceptable: %s", key,
                    problem);
}

/* The part of `url` below `prefix`, or NULL. Trailing slashes of the prefix do not count. */
static const char *below(const char *prefix, const char *url)
{
    size_t size = strlen(prefix);
    while (size && prefix[size - 1] == '/') {
        size--;
    }
    return size && strncmp(url, prefix, size) == 0 && url[size] == '/' ? url + size + 1 : NULL;
}

shardy_status sfi_store_key_of(const struct sfi_store *store, const char *recorded_prefix,
                               const char *url, char **key, shardy_error *err)
{
    const char *tail = below(store->url, url);
    *key = NULL;
    if (!tail && recorded_prefix) {
        tail = below(recorded_prefix, url);
    }
    if (!tail) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "%.300s is not below the snapshot's prefix %.300s; if the snapshot was "
                        "copied from elsewhere, open it with relocation on",
                        url, store->url);
    }
    SFI_RETURN_IF_ERR(sfi_key_check(tail, err));
    *key = sfi_strdup(tail);
    return *key ? SHARDY_OK : sfi_fail_memory(err, strlen(tail) + 1);
}
