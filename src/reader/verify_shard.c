/*
 * verify_shard.c - one shard against its manifest entry: presence, size, checksum, every page and
 * row, smallest and largest key, routing. A damage does not end the check. Format:
 * docs/format/shard.md. The sidecar is verify_sidecar.c, the snapshot around it verify.c.
 */
#include "reader/download.h"
#include "reader/verify_internal.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "shard/shard.h"
#include "shard/sidecar.h"

#include <stdarg.h>
#include <stdio.h>

#define CHECKSUM_NAME "xxh3-128-1m:"

/* State of one shard's check. */
struct state {
    const struct sfi_verify *verify;
    struct sfi_verify_shard *shard;
    char *object;  /* URL of the database as it is read */
    char *sidecar; /* URL of the sidecar */
    struct sfi_buf first;
    struct sfi_buf last;
};

bool sfi_is_finding(shardy_status status, const shardy_error *why)
{
    if (why->detail == 401 || why->detail == 403) {
        return false; /* HTTP: who may not look has found nothing */
    }
    return status == SHARDY_CORRUPT || status == SHARDY_MANIFEST || status == SHARDY_UNSUPPORTED ||
           status == SHARDY_LIMIT || status == SHARDY_INPUT || status == SHARDY_NOT_FOUND ||
           status == SHARDY_CONFIG;
}

shardy_status sfi_findings_add(struct sfi_findings *findings, int64_t db_id, const char *what,
                               const char *object, const char *message, shardy_error *err)
{
    void *items = findings->items;
    if (findings->count >= SFI_VERIFY_DAMAGES_MAX) {
        return SHARDY_OK;
    }
    if (!sfi_array_grow(&items, &findings->capacity, findings->count + 1,
                        sizeof *findings->items)) {
        return sfi_fail_memory(err, (findings->count + 1) * sizeof *findings->items);
    }
    findings->items = items;
    struct sfi_finding *item = &findings->items[findings->count++];
    item->what = what;
    item->object = sfi_strdup(object);
    item->message = sfi_strdup(message);
    item->db_id = db_id;
    return item->object && item->message ? SHARDY_OK : sfi_fail_memory(err, strlen(message));
}

void sfi_findings_clear(struct sfi_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        sfi_free(findings->items[i].object);
        sfi_free(findings->items[i].message);
    }
    sfi_free(findings->items);
    memset(findings, 0, sizeof *findings);
}

/* A damage of the database, in words. */
static shardy_status found(struct state *state, shardy_error *err, const char *what,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

static shardy_status found(struct state *state, shardy_error *err, const char *what,
                           const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return sfi_findings_add(&state->shard->findings, state->shard->info.db_id, what, state->object,
                            message, err);
}

/* A failed call: a finding about `object`, or passed on when it says nothing about the object. */
static shardy_status judge(struct state *state, shardy_status st, const char *what,
                           const char *object, const shardy_error *why, shardy_error *err)
{
    if (!sfi_is_finding(st, why)) {
        if (err) {
            *err = *why;
        }
        return st;
    }
    return sfi_findings_add(&state->shard->findings, state->shard->info.db_id, what, object,
                            why->message, err);
}

static shardy_status check_size(struct state *state, size_t size, shardy_error *err)
{
    const shardy_shard_info *info = &state->shard->info;
    if (!info->db_bytes || info->db_bytes == size) {
        return SHARDY_OK;
    }
    return found(state, err, "size", "db=%05u: manifest says %llu bytes, file has %zu", info->db_id,
                 (unsigned long long)info->db_bytes, size);
}

/* The recorded checksum, when it is of a kind that we know; "" otherwise. */
static shardy_status recorded_checksum(const char *notes, char out[SFI_CHECKSUM_SIZE],
                                       shardy_error *err)
{
    struct sfi_bytes text = {(const uint8_t *)notes, strlen(notes)};
    struct sfi_json_doc doc;
    size_t name_size = sizeof CHECKSUM_NAME - 1;
    out[0] = '\0';
    shardy_status st = sfi_json_parse(text, SFI_JSON_PYTHON_TOKENS, &doc, err);
    if (st != SHARDY_OK) {
        /* Notes are free text to us: the manifest's own check judges them. */
        return st == SHARDY_NO_MEMORY ? st : SHARDY_OK;
    }
    const struct sfi_json *value = sfi_json_member(doc.root, "checksum");
    if (value && value->kind == SFI_JSON_STRING && value->text.size > name_size &&
        value->text.size < SFI_CHECKSUM_SIZE &&
        memcmp(value->text.data, CHECKSUM_NAME, name_size) == 0) {
        memcpy(out, value->text.data, value->text.size);
        out[value->text.size] = '\0';
    }
    sfi_json_clear(&doc);
    return SHARDY_OK;
}

static shardy_status check_checksum(struct state *state, struct sfi_bytes image, shardy_error *err)
{
    const shardy_shard_info *info = &state->shard->info;
    char want[SFI_CHECKSUM_SIZE];
    char have[SFI_CHECKSUM_SIZE];
    SFI_RETURN_IF_ERR(recorded_checksum(info->writer_info, want, err));
    if (!want[0]) {
        return SHARDY_OK;
    }
    state->shard->checksum = true;
    sfi_shard_checksum(image, have);
    if (strcmp(want, have) == 0) {
        return SHARDY_OK;
    }
    return found(state, err, "checksum", "db=%05u: manifest says %s, file has %s", info->db_id,
                 want, have);
}

static shardy_status check_routing(struct state *state, struct sfi_bytes stored, shardy_error *err)
{
    shardy_key key = sfi_key_decode(state->verify->meta->key_encoding, stored);
    shardy_error why = SHARDY_ERROR_INIT;
    char text[SFI_KEY_TEXT_SIZE];
    uint32_t db_id = 0;
    shardy_status st = sfi_route_key(&state->verify->route, &key, &db_id, &why);
    if (st == SHARDY_OK && db_id == state->shard->info.db_id) {
        return SHARDY_OK;
    }
    sfi_key_text(&key, text);
    if (st == SHARDY_INPUT || st == SHARDY_ASSIGNMENT) {
        return found(state, err, "routing", "db=%05u: key %s belongs to no shard: %s",
                     state->shard->info.db_id, text, why.message);
    }
    if (st != SHARDY_OK) {
        return judge(state, st, "routing", state->object, &why, err);
    }
    return found(state, err, "routing", "db=%05u: key %s belongs to db=%05u",
                 state->shard->info.db_id, text, db_id);
}

static shardy_status check_row(void *arg, struct sfi_bytes key, struct sfi_bytes value,
                               shardy_error *err)
{
    struct state *state = arg;
    (void)value;
    if (!state->shard->rows++) {
        (void)sfi_buf_append(&state->first, key.data, key.size);
    }
    state->last.size = 0;
    (void)sfi_buf_append(&state->last, key.data, key.size);
    SFI_RETURN_IF_ERR(sfi_buf_status(&state->first, "first key", err));
    SFI_RETURN_IF_ERR(sfi_buf_status(&state->last, "last key", err));
    return state->verify->routes ? check_routing(state, key, err) : SHARDY_OK;
}

/* Our writer counts the rows it stored, the original those it was given: with duplicates. */
static shardy_status check_count(struct state *state, shardy_error *err)
{
    const shardy_shard_info *info = &state->shard->info;
    uint64_t rows = state->shard->rows;
    bool fits = state->shard->checksum ? rows == info->row_count
                                       : rows <= info->row_count && (rows || !info->row_count);
    if (fits) {
        return SHARDY_OK;
    }
    return found(state, err, "row_count", "db=%05u: manifest says %llu rows, file has %llu",
                 info->db_id, (unsigned long long)info->row_count, (unsigned long long)rows);
}

static bool is_number(const shardy_key *key)
{
    return key->kind == SHARDY_KIND_INT || key->kind == SHARDY_KIND_UINT;
}

/* Texts and bytes with the same bytes are the same key; a number equals numbers only. */
static bool same_key(const shardy_key *a, const shardy_key *b)
{
    if (is_number(a) || is_number(b)) {
        bool same_sign = a->kind == b->kind || a->number <= INT64_MAX;
        return is_number(a) && is_number(b) && a->number == b->number && same_sign;
    }
    return a->size == b->size && (!a->size || memcmp(a->data, b->data, a->size) == 0);
}

static shardy_status check_key(struct state *state, const char *what, const shardy_key *want,
                               const struct sfi_buf *stored, shardy_error *err)
{
    char want_text[SFI_KEY_TEXT_SIZE];
    char have_text[SFI_KEY_TEXT_SIZE];
    shardy_key have = sfi_key_decode(state->verify->meta->key_encoding, sfi_buf_view(stored));
    if (same_key(want, &have)) {
        return SHARDY_OK;
    }
    sfi_key_text(want, want_text);
    sfi_key_text(&have, have_text);
    return found(state, err, what, "db=%05u: manifest says %s, file has %s",
                 state->shard->info.db_id, want_text, have_text);
}

/* Pages and rows. What the manifest says of the rows is compared only when all could be read. */
static shardy_status check_rows(struct state *state, struct sfi_shard_reader *reader,
                                shardy_error *err)
{
    const shardy_shard_info *info = &state->shard->info;
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = sfi_sqlite_check(reader, check_row, state, &why);
    if (st != SHARDY_OK) {
        return judge(state, st, "btree", state->object, &why, err);
    }
    SFI_RETURN_IF_ERR(check_count(state, err));
    if (!state->shard->rows) {
        return SHARDY_OK;
    }
    if (info->has_min_key) {
        SFI_RETURN_IF_ERR(check_key(state, "min_key", &info->min_key, &state->first, err));
    }
    if (info->has_max_key) {
        SFI_RETURN_IF_ERR(check_key(state, "max_key", &info->max_key, &state->last, err));
    }
    return SHARDY_OK;
}

/* The bytes of an object: mapped, or of a remote store whole in memory. */
static shardy_status get_image(struct sfi_store *store, const char *key, uint64_t max_bytes,
                               struct sfi_mapping *image, shardy_error *err)
{
    return store->ops->map ? sfi_store_map(store, key, image, err)
                           : sfi_fetch_whole(store, key, 0, max_bytes, image, err);
}

/* Sidecars are best effort: no sidecar is no damage, and neither is a tag of before a copy. */
static shardy_status check_sidecar(struct state *state, const char *key,
                                   const struct sfi_shard_reader *reader, shardy_error *err)
{
    struct sfi_mapping mapping;
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = get_image(state->verify->store, key, SFI_SIDECAR_MAX_BODY, &mapping, &why);
    if (st != SHARDY_OK) {
        return st == SHARDY_NOT_FOUND ? SHARDY_OK
                                      : judge(state, st, "sidecar", state->sidecar, &why, err);
    }
    struct sfi_bytes bytes = {mapping.data ? mapping.data : (const uint8_t *)"", mapping.size};
    state->shard->sidecar = true;
    st = sfi_verify_sidecar(bytes, reader, &why);
    sfi_mapping_release(&mapping);
    return st == SHARDY_OK ? SHARDY_OK : judge(state, st, "sidecar", state->sidecar, &why, err);
}

/* Everything that needs the database; *reader stays NULL when it cannot be opened. */
static shardy_status check_database(struct state *state, struct sfi_mapping *image,
                                    struct sfi_shard_reader **reader, shardy_error *err)
{
    struct sfi_bytes bytes = {image->data, image->size};
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = SHARDY_OK;
    state->shard->bytes = image->size;
    SFI_TRY(check_size(state, image->size, err));
    SFI_TRY(check_checksum(state, bytes, err));
    st = sfi_sqlite_reader_open(image, state->object, reader, &why);
    if (st != SHARDY_OK) {
        return judge(state, st, "btree", state->object, &why, err);
    }
    return check_rows(state, *reader, err);
out:
    sfi_mapping_release(image);
    return st;
}

static shardy_status check_objects(struct state *state, const char *folder, shardy_error *err)
{
    const struct sfi_verify *verify = state->verify;
    struct sfi_mapping image;
    struct sfi_shard_reader *reader = NULL;
    shardy_error why = SHARDY_ERROR_INIT;
    char *db_key = sfi_url_join(folder, SFI_SHARD_DB_NAME);
    char *sidecar_key = sfi_url_join(folder, SFI_SIDECAR_NAME);
    shardy_status st = SHARDY_OK;
    state->object = db_key ? sfi_url_join(verify->store->url, db_key) : NULL;
    state->sidecar = sidecar_key ? sfi_url_join(verify->store->url, sidecar_key) : NULL;
    if (!state->object || !state->sidecar) {
        SFI_TRY(sfi_fail_memory(err, strlen(folder)));
    }
    if (sfi_key_check(db_key, &why) != SHARDY_OK) {
        st = judge(state, SHARDY_CONFIG, "manifest", state->object, &why, err);
        goto out;
    }
    st = get_image(verify->store, db_key, 0, &image, err);
    if (st == SHARDY_NOT_FOUND) {
        st = found(state, err, "missing", "db=%05u: object does not exist; restore it",
                   state->shard->info.db_id);
        goto out;
    }
    if (st == SHARDY_OK) {
        st = check_database(state, &image, &reader, err);
    }
    if (st == SHARDY_OK) {
        st = check_sidecar(state, sidecar_key, reader, err);
    }
out:
    sfi_shard_reader_release(reader);
    sfi_free(state->object);
    sfi_free(state->sidecar);
    sfi_free(db_key);
    sfi_free(sidecar_key);
    return st;
}

shardy_status sfi_verify_shard(const struct sfi_verify *verify, struct sfi_verify_shard *shard,
                               shardy_error *err)
{
    struct state state = {.verify = verify, .shard = shard};
    shardy_error why = SHARDY_ERROR_INIT;
    const char *url = shard->info.db_url;
    char *folder = NULL;
    sfi_buf_init(&state.first, SIZE_MAX - 1);
    sfi_buf_init(&state.last, SIZE_MAX - 1);
    const char *recorded = verify->relocate ? verify->meta->s3_prefix : NULL;
    shardy_status st = sfi_store_key_of(verify->store, recorded, url, &folder, &why);
    if (st == SHARDY_OK) {
        st = check_objects(&state, folder, err);
    } else {
        /* Whose fault is an address outside of the prefix? The manifest's. */
        st = judge(&state, st, "manifest", url, &why, err);
    }
    sfi_free(folder);
    sfi_buf_clear(&state.first);
    sfi_buf_clear(&state.last);
    return st;
}
