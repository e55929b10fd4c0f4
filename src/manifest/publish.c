/*
 * publish.c - the two writes that make a snapshot visible: the manifest (create only), then the
 * pointer (compare and swap). docs/format/pointer.md tells the rules, tests/model checks them.
 *
 * An answer that did not arrive is unknown, not failed: the object is read back and its content
 * decides. Nothing is ever deleted here. The pointer's content is fixed for one state of the old
 * one, and later than it, so a pointer never holds the same bytes twice: finding ours in place
 * proves that an attempt took effect, finding the old one that none did yet. That holds after a
 * refusal too: a middlebox may have sent the request twice, and only the second answer reached us.
 * Once the pointer has moved on after a lost answer, ours may have been there and been replaced,
 * and repeating would undo a newer run.
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
    struct sfi_pointer pointer;
    struct sfi_buf wanted; /* the new pointer's bytes; empty before the first attempt */
    struct seen base;      /* what the last attempt was to replace */
    bool unknown;          /* the answer to an attempt was lost */
    bool refused;          /* the attempt with `wanted` found its condition broken */
    bool conditional;      /* conditions are sent */
    struct sfi_guard guard;
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

/*
 * Whether the pointer holds what an attempt of ours wrote. Nobody else names a fresh manifest. The
 * same rollback may be written by somebody else in the same microsecond: then the pointer is what
 * was asked for all the same.
 */
static bool is_ours(const struct swap *swap, const struct seen *now)
{
    return now->found && swap->wanted.size &&
           (swap->unknown || swap->refused || swap->slot->fresh) &&
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
    if (swap->unknown || swap->refused) { /* refused, and nobody could look why */
        return sfi_fail(err, SHARDY_UNKNOWN,
                        "%s/%s: run %.200s may or may not be current: %.400s; look at the pointer "
                        "before publishing again",
                        slot->store->url, slot->key, swap->run_id, swap->cause.message);
    }
    if (swap->cause.status == SHARDY_NO_MEMORY || swap->cause.status == SHARDY_CANCELLED) {
        return sfi_fail(err, swap->cause.status, "%s", swap->cause.message);
    }
    return sfi_fail(err, SHARDY_PUBLISH, "Failed to set CURRENT pointer after retries: %.600s",
                    swap->cause.message);
}

/* What the next attempt is to replace: takes `now` over, and fixes the bytes. */
static shardy_status set_base(struct swap *swap, struct seen *now, shardy_error *err)
{
    seen_clear(&swap->base);
    swap->base = *now;
    seen_init(now);
    if (swap->base.parsed && swap->base.pointer.updated_at_us >= swap->pointer.updated_at_us &&
        swap->base.pointer.updated_at_us < SFI_TIMESTAMP_MAX) {
        swap->pointer.updated_at_us = swap->base.pointer.updated_at_us + 1;
    }
    swap->wanted.size = 0;
    swap->refused = false;
    return sfi_pointer_encode(&swap->pointer, &swap->wanted, err);
}

static enum sfi_store_condition condition_of(const struct swap *swap)
{
    return !swap->conditional ? SFI_STORE_ALWAYS
           : swap->base.found ? SFI_STORE_IF_MATCH
                              : SFI_STORE_IF_ABSENT;
}

static shardy_status put_pointer(struct swap *swap)
{
    enum sfi_store_condition condition = condition_of(swap);
    shardy_status st =
        sfi_store_put(swap->slot->store, swap->slot->key, sfi_buf_view(&swap->wanted),
                      SFI_POINTER_CONTENT_TYPE, condition, swap->base.etag, NULL, &swap->cause);
    swap->unknown = swap->unknown || st == SHARDY_UNKNOWN;
    if (st == SHARDY_CONFLICT || (st == SHARDY_NOT_FOUND && condition == SFI_STORE_IF_MATCH)) {
        swap->conflicts++;
        swap->refused = true;
    } else if (st == SHARDY_UNSUPPORTED && swap->conditional) {
        swap->conditional = false; /* an old server that refuses such requests */
    } else if (st != SHARDY_OK) {
        swap->failures++;
    }
    return st;
}

/* Whether to go on: the budget, and nobody has cancelled. Fills the cause when not. */
static bool may_try(struct swap *swap)
{
    if (swap->failures > SFI_PUBLISH_RETRIES || swap->conflicts >= SFI_PUBLISH_ATTEMPTS) {
        return false;
    }
    if (sfi_publish_cancelled(swap->options)) {
        sfi_fail(&swap->cause, SHARDY_CANCELLED, "cancelled before run %.200s became current",
                 swap->run_id);
        return false;
    }
    return true;
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
        *again = may_try(swap);
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
    if (!swap->unknown) {
        if (swap->options->expect) {
            SFI_TRY(check_expected(swap, &now, err));
        }
        SFI_TRY(set_base(swap, &now, err));
    }
    if (!may_try(swap)) {
        st = give_up(swap, err);
        goto out;
    }
    if (sfi_guard_probe(&swap->guard, swap->slot->store, condition_of(swap),
                        swap->options->observer)) {
        *again = true; /* the store does not compare: look once more, as late as possible */
        goto out;
    }
    *again = put_pointer(swap) != SHARDY_OK;
    if (*again) {
        log_retry(swap);
    }
out:
    seen_clear(&now);
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
    struct swap swap = {
        .slot = slot,
        .options = options,
        .run_id = run_id,
        .conditional = slot->store->ops->conditional,
        .pointer = {(char *)(uintptr_t)ref, (char *)(uintptr_t)run_id, sfi_now_us()},
    };
    bool again = true;
    shardy_status st = SHARDY_OK;
    seen_init(&swap.base);
    sfi_buf_init(&swap.wanted, SFI_POINTER_MAX_BYTES);
    while (st == SHARDY_OK && again) {
        st = attempt(&swap, &again, err);
    }
    if (st == SHARDY_OK) {
        result->published = true;
        take_replaced(&swap, result);
    }
    result->guarded =
        st == SHARDY_OK && sfi_guard_holds(&swap.guard, slot->store, condition_of(&swap));
    seen_clear(&swap.base);
    sfi_buf_clear(&swap.wanted);
    return st;
}

/* Compare what is stored under the key with what should be. */
static shardy_status read_back(struct sfi_store *store, const char *key, struct sfi_bytes image,
                               shardy_error *err)
{
    struct sfi_buf stored;
    sfi_buf_init(&stored, image.size + 1);
    /* One byte more tells that they differ; how much more there is does not matter. */
    shardy_status st = sfi_store_get(store, key, image.size + 1, &stored, NULL, err);
    if (st == SHARDY_LIMIT ||
        (st == SHARDY_OK && sfi_bytes_compare(sfi_buf_view(&stored), image) != 0)) {
        st = sfi_fail(err, SHARDY_CONFLICT,
                      "%s/%s: another manifest is stored there; publish under another run id",
                      store->url, key);
    }
    sfi_buf_clear(&stored);
    return st;
}

bool sfi_publish_cancelled(const struct sfi_publish_options *options)
{
    return options->cancelled && atomic_load_explicit(options->cancelled, memory_order_relaxed);
}

/*
 * One PUT, and a look when its outcome is not plain. OK: stored. NOT_FOUND: surely not stored, and
 * worth another try. *lost: ours may be stored, or may be stored later.
 */
static shardy_status try_manifest(struct sfi_store *store, const char *key, struct sfi_bytes image,
                                  enum sfi_store_condition condition, bool *lost,
                                  shardy_error *cause)
{
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st =
        sfi_store_put(store, key, image, SFI_MANIFEST_CONTENT_TYPE, condition, NULL, NULL, cause);
    *lost = *lost || st == SHARDY_UNKNOWN;
    if (st == SHARDY_OK || (st != SHARDY_CONFLICT && !*lost)) {
        return st;
    }
    shardy_status found = read_back(store, key, image, &why);
    if (found == SHARDY_CONFLICT) {
        *cause = why;
        *lost = *lost && condition == SFI_STORE_ALWAYS; /* else theirs will stay */
    } else if (found != SHARDY_OK) {
        *lost = true; /* something may be there, perhaps ours: a refusal says so, or the answer to
                         the question is missing too */
        found = SHARDY_NOT_FOUND;
    }
    return found;
}

/* Without conditions, at least look before writing. */
static shardy_status check_free(struct sfi_store *store, const char *key, struct sfi_bytes image,
                                shardy_error *err)
{
    shardy_status st = read_back(store, key, image, err);
    return st == SHARDY_NOT_FOUND ? SHARDY_OK : st;
}

shardy_status sfi_manifest_put(struct sfi_store *store, const char *key, struct sfi_bytes image,
                               const struct sfi_publish_options *options, shardy_error *err)
{
    enum sfi_store_condition condition =
        store->ops->conditional ? SFI_STORE_IF_ABSENT : SFI_STORE_ALWAYS;
    shardy_error cause = SHARDY_ERROR_INIT;
    shardy_status st = SHARDY_NOT_FOUND;
    bool lost = false;
    if (condition == SFI_STORE_ALWAYS) {
        SFI_RETURN_IF_ERR(check_free(store, key, image, err));
    }
    for (unsigned i = 0; i <= SFI_PUBLISH_RETRIES && st == SHARDY_NOT_FOUND; i++) {
        if (sfi_publish_cancelled(options)) {
            st = sfi_fail(&cause, SHARDY_CANCELLED, "cancelled before the manifest was stored");
            break;
        }
        st = try_manifest(store, key, image, condition, &lost, &cause);
        if (st == SHARDY_UNSUPPORTED && condition != SFI_STORE_ALWAYS) {
            SFI_RETURN_IF_ERR(check_free(store, key, image, err));
            condition = SFI_STORE_ALWAYS;
            st = SHARDY_NOT_FOUND;
        }
    }
    if (st == SHARDY_OK) {
        return SHARDY_OK;
    }
    if (lost) {
        return sfi_fail(err, SHARDY_UNKNOWN, "the manifest may or may not be stored: %.900s",
                        cause.message);
    }
    return sfi_fail(err, st == SHARDY_NOT_FOUND ? SHARDY_STORE : st, "%.900s", cause.message);
}
