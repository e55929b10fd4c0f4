/*
 * network.h - addresses and networks from text (network.c), for lib_network.c.
 */
#ifndef SFI_CEL_NETWORK_H
#define SFI_CEL_NETWORK_H

#include "cel/value.h"

enum sfi_cel_network_fault {
    SFI_CEL_NETWORK_OK,
    SFI_CEL_NETWORK_SYNTAX,
    SFI_CEL_NETWORK_ZONE,  /* fe80::1%en0 */
    SFI_CEL_NETWORK_MAPPED /* ::ffff:192.0.2.1 */
};

/*
 * Strict: decimal numbers without leading zeros, "::" for at least one group. An IPv4-mapped IPv6
 * address in hexadecimal becomes the IPv4 address; written with dots it is a fault.
 */
enum sfi_cel_network_fault sfi_cel_address_parse(const char *text, size_t size,
                                                 struct sfi_cel_network *address);
/* "address/length"; bits behind the prefix stay. Mapped addresses are a fault in any form. */
enum sfi_cel_network_fault sfi_cel_cidr_parse(const char *text, size_t size,
                                              struct sfi_cel_network *network);

#endif
