/*
 * store_fault.h - a store that wraps another one and fails requests on purpose (tests only; never
 * linked into the installed library).
 */
#ifndef SFI_STORE_STORE_FAULT_H
#define SFI_STORE_STORE_FAULT_H

#include "store/store.h"

enum sfi_fault {
    SFI_FAULT_NONE,
    SFI_FAULT_FAIL,            /* SHARDY_STORE, nothing done */
    SFI_FAULT_FULL,            /* SHARDY_IO, ENOSPC, nothing done */
    SFI_FAULT_APPLY_THEN_LOSE, /* done, but the answer is lost: SHARDY_UNKNOWN */
    SFI_FAULT_LOSE,            /* not done, and the answer is lost: SHARDY_UNKNOWN */
    SFI_FAULT_LATE,   /* PUT, DELETE: answer lost; done when sfi_store_fault_apply_late() says so */
    SFI_FAULT_REFUSE, /* PUT: SHARDY_CONFLICT, nothing done: S3's 409 */
    SFI_FAULT_IGNORE, /* PUT: done without looking at its condition */
    SFI_FAULT_TWICE,  /* PUT: done, then done again; the second answer is the one that arrives */
    SFI_FAULT_STALE   /* GET, HEAD: answered by the store of sfi_store_fault_set_older() */
};

/* Decide the fault of one operation; `operation` is "get", "put", "head", "delete", "list",
 * "map", "upload.open", "upload.append", "upload.commit". Called from any thread. */
typedef enum sfi_fault (*sfi_fault_fn)(void *arg, const char *operation, const char *key);

/* Takes a reference to `inner`. */
shardy_status sfi_store_fault_open(struct sfi_store *inner, sfi_fault_fn decide, void *arg,
                                   struct sfi_store **store, shardy_error *err);
/* Where stale reads come from; not owned. */
void sfi_store_fault_set_older(struct sfi_store *store, struct sfi_store *older);
/* Pretend to be remote (`remote`), or to have no conditions at all (`conditional`). */
void sfi_store_fault_set_kind(struct sfi_store *store, bool remote, bool conditional);
/* Requests of SFI_FAULT_LATE that still wait, oldest first; one thread only. */
size_t sfi_store_fault_late_count(const struct sfi_store *store);
/* Do one of them now, under its own condition. The key is the caller's to free with sfi_free();
 * NULL = no memory, nothing done. */
char *sfi_store_fault_apply_late(struct sfi_store *store, size_t index);

#endif
