/*
 * shard_info.c - copy and release shard descriptions. A copy lives in one block, its `owner`;
 * reading them from a manifest is left to the manifest module.
 */
#include "routing/shard_info.h"

#include "base/memory.h"

#include <string.h>

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t key_size(bool has_key, const shardy_key *key)
{
    bool owns = has_key && (key->kind == SHARDY_KIND_STR || key->kind == SHARDY_KIND_BYTES);
    return owns && key->data ? key->size : 0;
}

/* Copies `size` bytes to *at and moves *at; size 0 is a piece that is not there. */
static void *put(char **at, const void *data, size_t size)
{
    char *to = *at;
    if (size == 0) {
        return NULL;
    }
    memcpy(to, data, size);
    *at += size;
    return to;
}

static void put_key(char **at, bool has_key, shardy_key *key)
{
    static const shardy_key none = {SHARDY_KIND_INT, 0, NULL, 0};
    size_t size = key_size(has_key, key);
    if (!has_key) {
        *key = none;
        return;
    }
    key->data = size > 0 ? put(at, key->data, size) : "";
    key->size = size;
}

shardy_status sfi_shard_info_copy(const shardy_shard_info *from, shardy_shard_info *to,
                                  shardy_error *err)
{
    const char *notes = from->writer_info ? from->writer_info : "{}";
    size_t size = text_size(from->db_url) + text_size(from->checkpoint_id) + text_size(notes) +
                  key_size(from->has_min_key, &from->min_key) +
                  key_size(from->has_max_key, &from->max_key);
    char *at = sfi_malloc(size);

    memset(to, 0, sizeof *to);
    if (!at) {
        return sfi_fail_memory(err, size);
    }
    *to = *from;
    to->owner = at;
    to->db_url = put(&at, from->db_url, text_size(from->db_url));
    to->checkpoint_id = put(&at, from->checkpoint_id, text_size(from->checkpoint_id));
    to->writer_info = put(&at, notes, text_size(notes));
    put_key(&at, from->has_min_key, &to->min_key);
    put_key(&at, from->has_max_key, &to->max_key);
    return SHARDY_OK;
}

void shardy_shard_info_clear(shardy_shard_info *info)
{
    if (info) {
        sfi_free(info->owner);
        memset(info, 0, sizeof *info);
    }
}
