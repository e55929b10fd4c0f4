/*
 * store_s3_list.c - listings (ListObjectsV2, page by page) and batch deletes (DeleteObjects, 1,000
 * keys a request). Both block their caller.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static enum sfi_s3_verdict judge_xml(struct sfi_s3_call *call)
{
    if (call->http.http_status != 200) {
        return SFI_S3_OTHERWISE;
    }
    if (sfi_s3_error_parse(sfi_buf_view(&call->http.data), &call->answer)) {
        return SFI_S3_OTHERWISE; /* an error under the status of a success */
    }
    call->status = SHARDY_OK;
    return SFI_S3_DONE;
}

struct listing {
    struct sfi_s3_store *store;
    struct sfi_buf prefix; /* with the store's: what is asked; ends in '/' or is empty */
    bool deep;
    char *token;
    char *after; /* last name of a truncated page without a token */
    struct sfi_store_list *list;
    size_t capacity;
    unsigned pages;
    unsigned empty; /* the last so many had no name */
};

static shardy_status make_query(const struct listing *listing, struct sfi_buf *query,
                                shardy_error *err)
{
    sfi_buf_init(query, 8 * SFI_S3_XML_TEXT_MAX);
    if (listing->token) {
        sfi_buf_append_text(query, "continuation-token=");
        sfi_uri_encode(query, listing->token, false);
        sfi_buf_append_byte(query, '&');
    }
    sfi_buf_append_text(query, listing->deep ? "" : "delimiter=%2F&");
    sfi_buf_append_text(query, "encoding-type=url&list-type=2&prefix=");
    sfi_uri_encode(query, listing->prefix.data ? (const char *)listing->prefix.data : "", false);
    if (listing->after) {
        sfi_buf_append_text(query, "&start-after=");
        sfi_uri_encode(query, listing->after, false);
    }
    return sfi_buf_status(query, "query of a listing", err);
}

/* Names outside the prefix are refused; folder markers and keys that nobody here can name are left
 * out. */
static shardy_status add_entry(struct listing *listing, const struct sfi_store_entry *entry,
                               shardy_error *err)
{
    size_t skip = listing->prefix.size;
    size_t size = strlen(entry->name);
    if (size < skip || (skip && memcmp(entry->name, listing->prefix.data, skip) != 0)) {
        return sfi_fail(err, SHARDY_STORE,
                        "the server listed \"%.200s\", which is not below %.200s", entry->name,
                        (const char *)listing->prefix.data);
    }
    const char *name = entry->name + skip;
    size -= skip;
    if (entry->is_prefix && size && name[size - 1] == '/') {
        size--;
    }
    char *copy = sfi_strndup(name, size);
    if (!copy) {
        return sfi_fail_memory(err, size);
    }
    shardy_status st = SHARDY_OK;
    if (sfi_key_check(copy, NULL) == SHARDY_OK) {
        st = sfi_store_list_add(listing->list, &listing->capacity, copy, size, entry->is_prefix,
                                entry->size, err);
    }
    sfi_free(copy);
    return st;
}

/* How to go on behind `page`; `name` is its last name. */
static shardy_status next_page(struct listing *listing, struct sfi_s3_page *page, bool *more,
                               shardy_error *err)
{
    *more = page->truncated;
    if (!*more) {
        return SHARDY_OK;
    }
    if (listing->list->count >= SFI_S3_LIST_MAX) {
        return sfi_fail(err, SHARDY_LIMIT, "more than %u objects below %.200s", SFI_S3_LIST_MAX,
                        (const char *)listing->prefix.data);
    }
    listing->empty = page->entries.count ? 0 : listing->empty + 1;
    if (listing->empty >= SFI_S3_LIST_EMPTY_MAX || ++listing->pages >= SFI_S3_LIST_PAGES_MAX) {
        return sfi_fail(err, SHARDY_STORE,
                        "the listing does not end: %u pages, the last %u of them without a name; "
                        "is this an S3 server?",
                        listing->pages, listing->empty);
    }
    if (page->token && *page->token) {
        if (listing->token && !strcmp(listing->token, page->token)) {
            return sfi_fail(err, SHARDY_STORE,
                            "the listing does not go on: the server repeats "
                            "its continuation token");
        }
        sfi_free(listing->token);
        listing->token = page->token;
        page->token = NULL;
        return SHARDY_OK;
    }
    /* No token: go on behind the largest name, if that is progress. */
    const char *last = NULL;
    for (size_t i = 0; i < page->entries.count; i++) {
        const char *name = page->entries.entries[i].name;
        last = !last || strcmp(name, last) > 0 ? name : last;
    }
    if (!last || (listing->after && strcmp(last, listing->after) <= 0)) {
        return sfi_fail(err, SHARDY_STORE, "the listing is cut off without a way to go on");
    }
    sfi_free(listing->after);
    listing->after = sfi_strdup(last);
    return listing->after ? SHARDY_OK : sfi_fail_memory(err, strlen(last));
}

static shardy_status list_page(struct listing *listing, const char *prefix, bool *more,
                               shardy_error *err)
{
    struct sfi_s3_page page;
    struct sfi_buf query;
    shardy_status st;
    struct sfi_s3_call *call = NULL;
    memset(&page, 0, sizeof page);
    SFI_TRY(make_query(listing, &query, err));
    call = sfi_s3_call_new(listing->store, 0);
    if (!call) {
        st = sfi_fail_memory(err, sizeof *call);
        goto out;
    }
    call->verb = "LIST";
    call->method = "GET";
    call->label = prefix;
    call->query = (const char *)query.data;
    call->max_body = SFI_S3_LIST_BODY_MAX;
    call->judge = judge_xml;
    SFI_TRY(sfi_s3_call_run(call, err));
    st = sfi_s3_page_parse(sfi_buf_view(&call->http.data), &page, err);
    for (size_t i = 0; st == SHARDY_OK && i < page.entries.count; i++) {
        st = add_entry(listing, &page.entries.entries[i], err);
    }
    st = st == SHARDY_OK ? next_page(listing, &page, more, err) : st;
    if (st != SHARDY_OK) {
        sfi_error_prefix(err, "LIST %s/%s (%u attempt%s): ", listing->store->base.url, prefix,
                         call->attempts, call->attempts == 1 ? "" : "s");
    }
out:
    sfi_s3_call_release(call);
    sfi_s3_page_clear(&page);
    sfi_buf_clear(&query);
    return st;
}

/* Pages that overlap, or repeat a sub-prefix. */
static void remove_doubles(struct sfi_store_list *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct sfi_store_entry *entry = &list->entries[i];
        if (n && list->entries[n - 1].is_prefix == entry->is_prefix &&
            !strcmp(list->entries[n - 1].name, entry->name)) {
            sfi_free(entry->name);
        } else {
            list->entries[n++] = *entry;
        }
    }
    list->count = n;
}

shardy_status sfi_s3_list(struct sfi_store *base, const char *prefix, bool deep,
                          struct sfi_store_list *list, shardy_error *err)
{
    struct listing listing = {.store = sfi_s3_of(base), .deep = deep, .list = list};
    bool more = true;
    shardy_status st;
    sfi_buf_init(&listing.prefix, 2 * SFI_URL_MAX_BYTES);
    sfi_buf_append_text(&listing.prefix, listing.store->config.prefix);
    sfi_buf_append_text(&listing.prefix, prefix);
    sfi_buf_append_text(&listing.prefix, *prefix ? "/" : "");
    SFI_TRY(sfi_buf_status(&listing.prefix, "prefix of a listing", err));
    while (more) {
        SFI_TRY(list_page(&listing, prefix, &more, err));
    }
    sfi_store_list_sort(list);
    remove_doubles(list);
out:
    sfi_buf_clear(&listing.prefix);
    sfi_free(listing.token);
    sfi_free(listing.after);
    return st;
}

/* One batch: keys[0 .. count), and what became of them. */
struct batch {
    struct sfi_s3_store *store;
    const char *const *keys;
    size_t count;
    size_t failed;
    bool *refused;      /* the server said so; it may say it again */
    bool *alone;        /* of those: tried again by its own request */
    shardy_error error; /* of the first key that cannot be deleted */
};

static bool on_failed_key(void *arg, const char *key, const char *code, const char *message)
{
    struct batch *batch = arg;
    size_t skip = strlen(batch->store->config.prefix);
    bool known = strncmp(key, batch->store->config.prefix, skip) == 0;
    for (size_t i = 0; known && i < batch->count; i++) {
        if (strcmp(batch->keys[i], key + skip) != 0 || batch->refused[i]) {
            continue;
        }
        batch->refused[i] = true;
        batch->failed++;
        if (strcmp(code, "AccessDenied") != 0) {
            batch->alone[i] = true; /* its own request has its own tries, and says what is wrong */
            return true;
        }
        break;
    }
    if (batch->error.status == SHARDY_OK) {
        sfi_fail(&batch->error, strcmp(code, "AccessDenied") ? SHARDY_STORE : SHARDY_CONFIG,
                 "cannot delete %.300s: %s: %s", key, code, message);
    }
    return true;
}

static shardy_status batch_body(const struct batch *batch, struct sfi_buf *body, shardy_error *err)
{
    /* An escaped key is at most six times as long. */
    sfi_buf_init(body, (size_t)SFI_S3_DELETE_BATCH * (6 * SFI_URL_MAX_BYTES + 64));
    sfi_buf_append_text(body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < batch->count; i++) {
        sfi_buf_append_text(body, "<Object><Key>");
        sfi_s3_xml_escape(body, batch->store->config.prefix);
        sfi_s3_xml_escape(body, batch->keys[i]);
        sfi_buf_append_text(body, "</Key></Object>");
    }
    sfi_buf_append_text(body, "<Quiet>true</Quiet></Delete>");
    return sfi_buf_status(body, "batch delete", err);
}

/* Base64 of the MD5 that S3 wants with a batch delete; false where MD5 is forbidden (FIPS). */
static bool content_md5(struct sfi_bytes body, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return EVP_Digest(body.data, body.size, digest, &size, EVP_md5(), NULL) == 1 && size == 16 &&
           EVP_EncodeBlock((unsigned char *)out, digest, 16) == 24;
}

static shardy_status run_batch(struct batch *batch, bool *unsupported, shardy_error *err)
{
    struct sfi_buf body;
    char md5[32];
    struct sfi_s3_call *call = NULL;
    shardy_status st;
    SFI_TRY(batch_body(batch, &body, err));
    call = sfi_s3_call_new(batch->store, 0);
    if (!call) {
        st = sfi_fail_memory(err, sizeof *call);
        goto out;
    }
    call->verb = "DELETE_MANY";
    call->method = "POST";
    call->label = batch->keys[0];
    call->query = "delete=";
    call->body = sfi_buf_view(&body);
    call->mutates = true;
    call->max_body = SFI_S3_LIST_BODY_MAX;
    call->judge = judge_xml;
    sfi_s3_call_header(call, "Content-Type", "application/xml");
    if (content_md5(call->body, md5)) {
        sfi_s3_call_header(call, "Content-MD5", md5);
    } else {
        call->checksum = true;
    }
    st = sfi_s3_call_run(call, err);
    int http_status = call->http.http_status;
    *unsupported = st != SHARDY_OK && call->http.outcome == SFI_HTTP_ANSWERED &&
                   (http_status == 405 || http_status == 501 || st == SHARDY_UNSUPPORTED);
    if (st == SHARDY_OK) {
        st = sfi_s3_delete_parse(sfi_buf_view(&call->http.data), on_failed_key, batch, err);
    }
out:
    sfi_s3_call_release(call);
    sfi_buf_clear(&body);
    return st;
}

static shardy_status delete_batch(struct sfi_s3_store *store, const char *const *keys, size_t count,
                                  size_t *deleted, shardy_error *err)
{
    struct batch batch = {.store = store, .keys = keys, .count = count};
    bool unsupported = false;
    bool *marks = sfi_calloc(2 * count, sizeof *marks);
    if (!marks) {
        return sfi_fail_memory(err, 2 * count);
    }
    batch.refused = marks;
    batch.alone = marks + count;
    shardy_status st = run_batch(&batch, &unsupported, err);
    if (st == SHARDY_OK) {
        *deleted += count - batch.failed;
    } else if (unsupported) {
        st = SHARDY_OK;
    }
    for (size_t i = 0; st == SHARDY_OK && i < count; i++) {
        if (unsupported || batch.alone[i]) {
            st = sfi_store_delete(&store->base, keys[i], err);
            *deleted += st == SHARDY_OK;
        }
    }
    if (st == SHARDY_OK && batch.error.status != SHARDY_OK) {
        st = batch.error.status;
        if (err) {
            *err = batch.error;
        }
    }
    sfi_free(marks);
    return st;
}

shardy_status sfi_s3_delete_many(struct sfi_store *base, const char *const *keys, size_t count,
                                 size_t *deleted, shardy_error *err)
{
    for (size_t at = 0; at < count; at += SFI_S3_DELETE_BATCH) {
        size_t n = count - at < SFI_S3_DELETE_BATCH ? count - at : SFI_S3_DELETE_BATCH;
        SFI_RETURN_IF_ERR(delete_batch(sfi_s3_of(base), keys + at, n, deleted, err));
    }
    return SHARDY_OK;
}
