/*
 * lib_hash.c - shard_hash(): the digest that HASH routing uses, XXH3 of 64 bits with seed 0
 * (docs/format/keys.md), of int, uint, string and bytes.
 */
#include "cel/function.h"
#include "key/key.h"

#include <inttypes.h>

static struct sfi_cel_value hash_int(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_uint(sfi_digest_u64(args[0].u64));
}

static struct sfi_cel_value hash_uint(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (args[0].u64 > INT64_MAX) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                            "Integer key %" PRIu64 " out of range " SFI_INT_KEY_RANGE, args[0].u64);
    }
    return sfi_cel_uint(sfi_digest_u64(args[0].u64));
}

static struct sfi_cel_value hash_text(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_uint(sfi_digest_bytes(args[0].text, args[0].size));
}

static const struct sfi_cel_overload overloads[] = {
    {"shard_hash", 0, &sfi_cel_type_uint, {&sfi_cel_type_int}, hash_int},
    {"shard_hash", 0, &sfi_cel_type_uint, {&sfi_cel_type_uint}, hash_uint},
    {"shard_hash", 0, &sfi_cel_type_uint, {&sfi_cel_type_string}, hash_text},
    {"shard_hash", 0, &sfi_cel_type_uint, {&sfi_cel_type_bytes}, hash_text},
};

const struct sfi_cel_library sfi_cel_lib_hash = {overloads, sizeof overloads / sizeof overloads[0],
                                                 false};
