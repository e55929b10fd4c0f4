/*
 * names.c - names of objects below a prefix, and which parts of them callers may choose
 * (docs/format/manifest.md). Shard folders are db_template.c.
 */
#include "manifest/manifest_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#define FOLDER "manifests/"

shardy_status sfi_segment_check(const char *name, const char *value, shardy_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *problem = NULL;
    if (!*value) {
        problem = "must be non-empty";
    } else if (strstr(value, "..")) {
        problem = "must not contain '..'";
    } else if (strpbrk(value, "/\\")) {
        problem = "must be a single path segment";
    } else if (value[strspn(value, allowed)]) {
        problem = "contains unsupported characters; allowed: [A-Za-z0-9._-]";
    } else if (!strcmp(value, ".")) {
        problem = "must not be '.'";
    } else if (strlen(value) > SFI_RUN_ID_MAX) {
        problem = "is longer than 512 bytes";
    }
    return problem ? sfi_fail(err, SHARDY_CONFIG, "%s %s, got \"%.200s\"", name, problem, value)
                   : SHARDY_OK;
}

shardy_status sfi_run_id_check(const char *run_id, shardy_error *err)
{
    const char *problem = NULL;
    size_t size = strlen(run_id);
    if (!size) {
        problem = "must be non-empty";
    } else if (size > SFI_RUN_ID_MAX) {
        problem = "is longer than 512 bytes";
    } else if (strstr(run_id, "..") || strchr(run_id, '/')) {
        problem = "must not contain '/' or '..'";
    } else if (sfi_key_check(run_id, NULL) != SHARDY_OK) {
        problem = "must be UTF-8 text without control characters";
    }
    return problem ? sfi_fail(err, SHARDY_CONFIG, "run_id %s, got \"%.200s\"", problem, run_id)
                   : SHARDY_OK;
}

shardy_status sfi_manifest_key(int64_t now_us, const char *run_id, char **key, shardy_error *err)
{
    char stamp[SFI_TIMESTAMP_SIZE];
    struct sfi_buf text;
    *key = NULL;
    SFI_RETURN_IF_ERR(sfi_run_id_check(run_id, err));
    sfi_timestamp_format_key(now_us, stamp);
    sfi_buf_init(&text, SFI_URL_MAX_BYTES);
    sfi_buf_printf(&text, FOLDER "%s_run_id=%s/" SFI_MANIFEST_NAME, stamp, run_id);
    shardy_status st = sfi_buf_status(&text, "manifest key", err);
    if (st == SHARDY_OK) {
        *key = sfi_buf_take(&text);
    }
    sfi_buf_clear(&text);
    return st;
}

char *sfi_ref_run_id(const char *ref)
{
    static const char mark[] = "run_id=";
    const char *found = strstr(ref, mark);
    size_t size = found ? strcspn(found + sizeof mark - 1, "/") : 0;
    return size ? sfi_strndup(found + sizeof mark - 1, size) : NULL;
}

/* "manifests/<folder>/<name>" at the end of a reference, or NULL. */
static const char *manifest_tail(const char *ref)
{
    const char *tail = NULL;
    for (const char *at = strstr(ref, "/" FOLDER); at; at = strstr(at + 1, "/" FOLDER)) {
        tail = at + 1;
    }
    return tail;
}

shardy_status sfi_ref_key(const struct sfi_store *store, bool relocate, const char *ref, char **key,
                          shardy_error *err)
{
    const char *tail = manifest_tail(ref);
    shardy_status st = sfi_store_key_of(store, NULL, ref, key, err);
    if (st == SHARDY_OK || st == SHARDY_NO_MEMORY || !relocate || !tail) {
        return st;
    }
    SFI_RETURN_IF_ERR(sfi_key_check(tail, err));
    *key = sfi_strdup(tail);
    return *key ? SHARDY_OK : sfi_fail_memory(err, strlen(tail) + 1);
}

char *sfi_ref_resolve(const struct sfi_store *store, bool relocate, const char *ref)
{
    char *key;
    shardy_status st = sfi_ref_key(store, relocate, ref, &key, NULL);
    if (st != SHARDY_OK) {
        return st == SHARDY_NO_MEMORY ? NULL : sfi_strdup(ref);
    }
    char *url = sfi_url_join(store->url, key);
    sfi_free(key);
    return url;
}
