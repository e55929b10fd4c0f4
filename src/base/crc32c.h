/*
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720), the checksum of uploads.
 */
#ifndef SFI_BASE_CRC32C_H
#define SFI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue a checksum over more bytes; the first call takes 0. Chosen at run time: SSE 4.2 on three
 * streams where the processor has it, tables otherwise. */
uint32_t sfi_crc32c(uint32_t crc, const void *data, size_t size);
/* The table version, everywhere: what the other one is tested against. */
uint32_t sfi_crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
