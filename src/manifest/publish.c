/*
 * publish.c - the two writes that make a snapshot visible: the manifest (create only), then the
 * pointer (compare and swap).
 *
 * An answer that did not arrive is unknown, not failed: the object is read back and its content
 * decides. Nothing is ever deleted here. The pointer's content is fixed before the first attempt,
 * so finding it in place later proves that one of our attempts took effect. After a lost answer the
 * swap is only repeated while the pointer is what it was before; once it has moved on, ours may
 * have been there and been replaced, and repeating would undo a newer run.
 */
#include "manifest/manifest_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

/* What a read of the pointer found. */
struct seen {
    bool found;
    bool parsed;
    struct sfi_buf bytes; /* empty when the object is too large to be a pointer */
    char etag[SFI_ETAG_SIZE];
    struct sfi_pointer pointer;
    char *ref; /* resolved; NULL unless parsed */
};

struct swap {
    const struct sfi_pointer_slot *slot;
    const struct sfi_publish_options *options;
    const char *run_id;
    struct sfi_buf wanted; /* the new pointer's bytes */
    struct seen base;      /* what the last attempt was to replace */
    bool unknown;          /* an answer was lost since then or before */
    unsigned failures;
    unsigned conflicts;
    shardy_error cause; /* of the last failure */
};

static void seen_init(struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    sfi_buf_init(&seen->bytes, SFI_POINTER_MAX_BYTES);
}

static void seen_clear(struct seen *seen)
{
    sfi_buf_clear(&seen->bytes);
    sfi_pointer_clear(&seen->pointer);
    sfi_free(seen->ref);
    seen_init(seen);
}

/* A malformed pointer is "found" but not parsed: policy `latest` may replace it. */
static shardy_status look(const struct sfi_pointer_slot *slot, struct seen *seen, shardy_error *err)
{
    shardy_status st =
        sfi_store_get(slot->store, slot->key, SFI_POINTER_MAX_BYTES, &seen->bytes, seen->etag, err);
    seen->found = st == SHARDY_OK || st == SHARDY_LIMIT;
    if (st == SHARDY_NOT_FOUND || st == SHARDY_LIMIT) {
        return SHARDY_OK;
    }
    if (st == SHARDY_OK) {
        shardy_error why = SHARDY_ERROR_INIT;
        st = sfi_pointer_parse(sfi_buf_view(&seen->bytes), &seen->pointer, &why);
        seen->parsed = st == SHARDY_OK;
        st = st == SHARDY_MANIFEST ? SHARDY_OK : st;
        if (st != SHARDY_OK && err) {
            *err = why;
        }
    }
    if (seen->parsed) {
        seen->ref = sfi_ref_resolve(slot->store, slot->relocate, seen->pointer.manifest_ref);
        st = seen->ref ? SHARDY_OK : sfi_fail_memory(err, strlen(seen->pointer.manifest_ref));
    }
    return st;
}

static bool same_seen(const struct seen *a, const struct seen *b)
{
    if (a->found != b->found) {
        return false;
    }
    if (a->etag[0] && b->etag[0]) {
        return strcmp(a->etag, b->etag) == 0;
    }
    return sfi_bytes_compare(sfi_buf_view(&a->bytes), sfi_buf_view(&b->bytes)) == 0;
}

static bool is_ours(const struct swap *swap, const struct seen *now)
{
    return now->found &&
           sfi_bytes_compare(sfi_buf_view(&now->bytes), sfi_buf_view(&swap->wanted)) == 0;
}

static const char *run_of(const struct seen *seen)
{
    return seen->parsed  ? seen->pointer.run_id
           : seen->found ? "(malformed pointer)"
                         : "(no pointer)";
}

static shardy_status check_expected(const struct swap *swap, const struct seen *now,
                                    shardy_error *err)
{
    const char *expected = swap->options->expected_ref;
    bool match = false;
    if (!expected) {
        match = !now->found;
    } else if (now->parsed) {
        char *resolved = sfi_ref_resolve(swap->slot->store, swap->slot->relocate, expected);
        if (!resolved) {
            return sfi_fail_memory(err, strlen(expected));
        }
        match = strcmp(resolved, now->ref) == 0;
        sfi_free(resolved);
    }
    return match
               ? SHARDY_OK
               : sfi_fail(err, SHARDY_CONFLICT,
                          "%s/%s: expected %.300s to be current, found run %.200s; look at it and "
                          "publish again",
                          swap->slot->store->url, swap->slot->key,
                          expected ? expected : "(no pointer)", run_of(now));
}

static void log_retry(const struct swap *swap)
{
    if (swap->options->observer) {
        sfi_log(swap->options->observer, SHARDY_LOG_WARNING, "manifest", "publish_current_retry",
                SFI_FIELDS(sfi_field_int("retry", swap->failures + swap->conflicts),
                           sfi_field_str("run_id", swap->run_id),
                           sfi_field_str("error", swap->cause.message)));
    }
}

/* The end without success. */
static shardy_status give_up(const struct swap *swap, shardy_error *err)
{
    const struct sfi_pointer_slot *slot = swap->slot;
    if (swap->unknown) {
        return sfi_fail(err, SHARDY_UNKNOWN,
                        "%s/%s: run %.200s may or may not be current: %.400s; look at the pointer "
                        "before publishing again",
                        slot->store->url, slot->key, swap->run_id, swap->cause.message);
    }
    if (swap->cause.status == SHARDY_NO_MEMORY) {
        return sfi_fail(err, SHARDY_NO_MEMORY, "%s", swap->cause.message);
    }
    return sfi_fail(err, SHARDY_PUBLISH, "Failed to set CURRENT pointer after retries: %.600s",
                    swap->cause.message);
}

static shardy_status put_pointer(struct swap *swap, const struct seen *now)
{
    struct sfi_store *store = swap->slot->store;
    enum sfi_store_condition condition = now->found ? SFI_STORE_IF_MATCH : SFI_STORE_IF_ABSENT;
    if (!store->ops->conditional) {
        condition = SFI_STORE_ALWAYS;
    }
    shardy_status st =
        sfi_store_put(store, swap->slot->key, sfi_buf_view(&swap->wanted), SFI_POINTER_CONTENT_TYPE,
                      condition, now->etag, NULL, &swap->cause);
    swap->unknown = swap->unknown || st == SHARDY_UNKNOWN;
    if (st == SHARDY_CONFLICT) {
        swap->conflicts++;
    } else if (st != SHARDY_OK) {
        swap->failures++;
    }
    return st;
}

/* One look and one attempt. *again: neither done nor given up. */
static shardy_status attempt(struct swap *swap, bool *again, shardy_error *err)
{
    struct seen now;
    shardy_status st;
    *again = false;
    seen_init(&now);
    st = look(swap->slot, &now, &swap->cause);
    if (st != SHARDY_OK) {
        swap->failures++;
        *again = swap->failures <= SFI_PUBLISH_RETRIES;
        st = *again ? SHARDY_OK : give_up(swap, err);
        goto out;
    }
    if (is_ours(swap, &now)) {
        goto out;
    }
    if (swap->unknown && !same_seen(&now, &swap->base)) {
        sfi_fail(&swap->cause, SHARDY_UNKNOWN, "an answer was lost, and run %.200s is current now",
                 run_of(&now));
        st = give_up(swap, err);
        goto out;
    }
    if (swap->options->expect) {
        SFI_TRY(check_expected(swap, &now, err));
    }
    seen_clear(&swap->base);
    swap->base = now;
    seen_init(&now);
    if (swap->failures > SFI_PUBLISH_RETRIES || swap->conflicts >= SFI_PUBLISH_ATTEMPTS) {
        st = give_up(swap, err);
        goto out;
    }
    *again = put_pointer(swap, &swap->base) != SHARDY_OK;
out:
    seen_clear(&now);
    if (*again) {
        log_retry(swap);
    }
    return st;
}

/* Hand over what was replaced. */
static void take_replaced(struct swap *swap, struct sfi_publish_result *result)
{
    if (swap->base.parsed) {
        result->replaced_ref = swap->base.ref;
        result->replaced_run_id = swap->base.pointer.run_id;
        swap->base.ref = NULL;
        swap->base.pointer.run_id = NULL;
    }
}

shardy_status sfi_pointer_swap(const struct sfi_pointer_slot *slot, const char *ref,
                               const char *run_id, const struct sfi_publish_options *options,
                               struct sfi_publish_result *result, shardy_error *err)
{
    struct swap swap = {.slot = slot, .options = options, .run_id = run_id};
    bool again = true;
    seen_init(&swap.base);
    sfi_buf_init(&swap.wanted, SFI_POINTER_MAX_BYTES);
    const struct sfi_pointer pointer = {(char *)(uintptr_t)ref, (char *)(uintptr_t)run_id,
                                        sfi_now_us()};
    shardy_status st = sfi_pointer_encode(&pointer, &swap.wanted, err);
    result->guarded = slot->store->ops->conditional;
    while (st == SHARDY_OK && again) {
        st = attempt(&swap, &again, err);
    }
    if (st == SHARDY_OK) {
        result->published = true;
        take_replaced(&swap, result);
    }
    seen_clear(&swap.base);
    sfi_buf_clear(&swap.wanted);
    return st;
}

/* Compare what is stored under the key with what should be. */
static shardy_status read_back(struct sfi_store *store, const char *key, struct sfi_bytes image,
                               shardy_error *err)
{
    struct sfi_buf stored;
    sfi_buf_init(&stored, SIZE_MAX - 1);
    shardy_status st = sfi_store_get(store, key, 0, &stored, NULL, err);
    if (st == SHARDY_OK && sfi_bytes_compare(sfi_buf_view(&stored), image) != 0) {
        st = sfi_fail(err, SHARDY_CONFLICT,
                      "%s/%s: another manifest is stored there; publish under another run id",
                      store->url, key);
    }
    sfi_buf_clear(&stored);
    return st;
}

shardy_status sfi_manifest_put(struct sfi_store *store, const char *key, struct sfi_bytes image,
                               shardy_error *err)
{
    enum sfi_store_condition condition =
        store->ops->conditional ? SFI_STORE_IF_ABSENT : SFI_STORE_ALWAYS;
    shardy_error cause = SHARDY_ERROR_INIT;
    bool lost = false;
    for (unsigned i = 0; i <= SFI_PUBLISH_RETRIES; i++) {
        shardy_status st = sfi_store_put(store, key, image, SFI_MANIFEST_CONTENT_TYPE, condition,
                                         NULL, NULL, &cause);
        lost = lost || st == SHARDY_UNKNOWN;
        if (st == SHARDY_OK) {
            return SHARDY_OK;
        }
        if (st != SHARDY_UNKNOWN && st != SHARDY_CONFLICT) {
            break;
        }
        st = read_back(store, key, image, &cause);
        if (st == SHARDY_OK) {
            return SHARDY_OK;
        }
        if (st != SHARDY_NOT_FOUND) {
            lost = lost && st != SHARDY_CONFLICT;
            break;
        }
    }
    return sfi_fail(err, lost ? SHARDY_UNKNOWN : cause.status, "%s%.900s",
                    lost ? "the manifest may or may not be stored: " : "", cause.message);
}
