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
    SFI_FAULT_LOSE             /* not done, and the answer is lost: SHARDY_UNKNOWN */
};

/* Decide the fault of one operation; `operation` is "get", "put", "head", "delete", "list",
 * "map", "upload.open", "upload.append", "upload.commit". Called from any thread. */
typedef enum sfi_fault (*sfi_fault_fn)(void *arg, const char *operation, const char *key);

/* Takes a reference to `inner`. */
shardy_status sfi_store_fault_open(struct sfi_store *inner, sfi_fault_fn decide, void *arg,
                                   struct sfi_store **store, shardy_error *err);

#endif
