/*
 * library.h - what the libraries of functions share beyond value.h: equality that hostile values
 * cannot keep busy, elements of containers, addresses as text.
 */
#ifndef SFI_CEL_LIBRARY_H
#define SFI_CEL_LIBRARY_H

#include "cel/number.h"
#include "cel/value.h"

/*
 * sfi_cel_equal() that charges the frame. Shared parts make values exponentially large when walked,
 * so everything that compares lists or maps uses this one. Look at sfi_cel_is_spent() afterwards.
 */
bool sfi_cel_equal_charged(struct sfi_cel_frame *frame, struct sfi_cel_value a,
                           struct sfi_cel_value b);
static inline bool sfi_cel_is_spent(const struct sfi_cel_frame *frame)
{
    return frame->steps_left < 0;
}

/*
 * Element of a list or value of a key of a map; NULL: none. Where `key` can be no index or key of
 * it, NULL and an error in `*error`; otherwise `*error` is null. `container` is a list or a map.
 */
const struct sfi_cel_value *sfi_cel_find_element(struct sfi_cel_frame *frame,
                                                 struct sfi_cel_value container,
                                                 struct sfi_cel_value key,
                                                 struct sfi_cel_value *error);

/* A double that is an integer in the range of int or uint as such; other values as they are. */
struct sfi_cel_value sfi_cel_integral(struct sfi_cel_value number);

/* Text of an IP or CIDR value (lib_network.c); returns its length, writes no NUL. */
#define SFI_CEL_NETWORK_TEXT 64
size_t sfi_cel_network_format(struct sfi_cel_value value, char out[SFI_CEL_NETWORK_TEXT]);

#endif
