/*
 * guard.c - whether a remote store compares before it writes. S3's own conditions are recent, and
 * servers that do not know them ignore the headers and overwrite: a publish would look guarded and
 * not be. So each condition is tried once on an object of our own where it must fail.
 *
 * If-Match: on an object that does not exist, so an honest store writes nothing. If-None-Match: on
 * an object just created, which is removed afterwards. The names lie below manifests/, where every
 * publisher may write and where listings look for folders only.
 */
#include "manifest/manifest_internal.h"

#include "base/limits.h"
#include "base/parallel.h"

#include <stdio.h>

#define PROBE_KEY_SIZE 80

static shardy_status put(struct sfi_store *store, const char *key,
                         enum sfi_store_condition condition, shardy_error *err)
{
    static const uint8_t text[] = "probe of conditional writes; may be deleted\n";
    const struct sfi_bytes body = {text, sizeof text - 1};
    return sfi_store_put(store, key, body, "text/plain", condition, "\"0\"", NULL, err);
}

/* One try. UNKNOWN and the like: the store could not be asked. */
static shardy_status ask(struct sfi_store *store, enum sfi_store_condition condition,
                         enum sfi_guard_answer *answer, shardy_error *err)
{
    char uuid[SFI_UUID_HEX_SIZE];
    char key[PROBE_KEY_SIZE];
    bool create = condition == SFI_STORE_IF_ABSENT;
    SFI_RETURN_IF_ERR(sfi_uuid_hex(uuid, err));
    snprintf(key, sizeof key, "manifests/.probe-%s", uuid);
    shardy_status st = create ? put(store, key, SFI_STORE_ALWAYS, err) : SHARDY_OK;
    bool written = create;
    if (st == SHARDY_OK) {
        st = put(store, key, condition, err);
        written = create || st == SHARDY_OK || st == SHARDY_UNKNOWN;
        if (st == SHARDY_CONFLICT || (st == SHARDY_NOT_FOUND && !create)) {
            *answer = SFI_GUARD_HOLDS;
            st = SHARDY_OK;
        } else if (st == SHARDY_OK || st == SHARDY_UNSUPPORTED) {
            sfi_fail(err, SHARDY_UNSUPPORTED, "%s does not honour conditional writes", store->url);
            *answer = SFI_GUARD_OPEN;
            st = SHARDY_OK;
        }
    }
    if (written) {
        (void)sfi_store_delete(store, key, NULL); /* what stays is small and never looked at */
    }
    return st;
}

bool sfi_guard_probe(struct sfi_guard *guard, struct sfi_store *store,
                     enum sfi_store_condition condition, const struct sfi_observer *observer)
{
    enum sfi_guard_answer *answer =
        condition == SFI_STORE_IF_ABSENT ? &guard->if_absent : &guard->if_match;
    shardy_error why = SHARDY_ERROR_INIT;
    if (condition == SFI_STORE_ALWAYS || !store->ops->remote || *answer != SFI_GUARD_UNASKED) {
        return false;
    }
    for (unsigned i = 0; i <= SFI_PUBLISH_RETRIES && *answer == SFI_GUARD_UNASKED; i++) {
        if (ask(store, condition, answer, &why) == SHARDY_NO_MEMORY) {
            break;
        }
    }
    if (*answer == SFI_GUARD_HOLDS) {
        return false;
    }
    *answer = SFI_GUARD_OPEN;
    if (observer) {
        sfi_log(observer, SHARDY_LOG_WARNING, "manifest", "publish_unguarded",
                SFI_FIELDS(sfi_field_str("s3_prefix", store->url),
                           sfi_field_str("error", why.message)));
    }
    return true;
}

bool sfi_guard_holds(const struct sfi_guard *guard, const struct sfi_store *store,
                     enum sfi_store_condition condition)
{
    if (condition == SFI_STORE_ALWAYS || !store->ops->conditional) {
        return false;
    }
    return !store->ops->remote ||
           (condition == SFI_STORE_IF_ABSENT ? guard->if_absent : guard->if_match) ==
               SFI_GUARD_HOLDS;
}
