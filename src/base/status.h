/*
 * status.h - raising and passing on errors. Exactly two macros change control flow.
 */
#ifndef SFI_BASE_STATUS_H
#define SFI_BASE_STATUS_H

#include <shardyfusion/error.h>

#include <stdarg.h>

/* Fill `err` (may be NULL) and return `status`. */
shardy_status sfi_fail(shardy_error *err, shardy_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with errno (or another detail code) appended as text: ": No space left on device". */
shardy_status sfi_fail_errno(shardy_error *err, shardy_status status, int error_number,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));
shardy_status sfi_fail_memory(shardy_error *err, size_t bytes);
/* Put context in front of a message that is already there. */
void sfi_error_prefix(shardy_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define SFI_TRY(call)          \
    do {                       \
        st = (call);           \
        if (st != SHARDY_OK) { \
            goto out;          \
        }                      \
    } while (0)

#define SFI_RETURN_IF_ERR(call)         \
    do {                                \
        shardy_status sfi_st_ = (call); \
        if (sfi_st_ != SHARDY_OK) {     \
            return sfi_st_;             \
        }                               \
    } while (0)

#endif
