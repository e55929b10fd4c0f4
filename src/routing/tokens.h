/*
 * tokens.h - routing values and their positions: a hash table of integers or of texts with exact,
 * typed matches (1 and 1u are one token; "1", 1 and b"1" are three).
 */
#ifndef SFI_ROUTING_TOKENS_H
#define SFI_ROUTING_TOKENS_H

#include "base/bytes.h"

#include <shardyfusion/cel.h>

#define SFI_TOKEN_NONE UINT32_MAX

struct sfi_token_slot {
    uint64_t hash; /* of text; of an integer its bits */
    uint32_t id;   /* position + 1; 0 = free */
    bool is_huge;  /* integer above 2^63-1: the bits alone would be a negative one */
};

struct sfi_tokens {
    shardy_cel_kind kind; /* INT (also for uint), STRING or BYTES; NULL while empty */
    shardy_cel_value *values;
    uint32_t count;
    size_t capacity;
    struct sfi_token_slot *slots;
    uint64_t mask;
    uint64_t text_bytes;
};

/* All zero is an empty table. */
void sfi_tokens_clear(struct sfi_tokens *tokens);
/* The rules of a list of routing values (spec 04 A7.1), in its order. CONFIG. */
shardy_status sfi_tokens_check(const shardy_cel_value *values, size_t count, shardy_error *err);
/* Add a value, whose text is copied. CONFIG: of another type than the others; NO_MEMORY. */
shardy_status sfi_tokens_add(struct sfi_tokens *tokens, const shardy_cel_value *value, uint32_t *id,
                             shardy_error *err);
/* Forget the values from `count` on. */
void sfi_tokens_truncate(struct sfi_tokens *tokens, uint32_t count);
/* Positions of the values in ascending order; sfi_free. NULL: memory. */
uint32_t *sfi_tokens_order(const struct sfi_tokens *tokens);
/* Put the values into another order: order[i] is the present position of the i-th. */
shardy_status sfi_tokens_reorder(struct sfi_tokens *tokens, const uint32_t *order,
                                 shardy_error *err);

/* Text of a value for messages: as Python writes it, cut. */
#define SFI_TOKEN_TEXT_SIZE 160
void sfi_token_text(const shardy_cel_value *value, char out[SFI_TOKEN_TEXT_SIZE]);

static inline uint64_t sfi_token_mix(uint64_t bits)
{
    return (bits ^ bits >> 32) * UINT64_C(0x9E3779B97F4A7C15);
}

/* Position of an integer; SFI_TOKEN_NONE. `is_huge`: unsigned and above 2^63-1. */
static inline uint32_t sfi_tokens_find_int(const struct sfi_tokens *tokens, uint64_t bits,
                                           bool is_huge)
{
    if (tokens->kind != SHARDY_CEL_INT) {
        return SFI_TOKEN_NONE;
    }
    for (uint64_t at = sfi_token_mix(bits) >> 32;; at++) {
        const struct sfi_token_slot *slot = &tokens->slots[at & tokens->mask];
        if (slot->id == 0 || (slot->hash == bits && slot->is_huge == is_huge)) {
            return slot->id - 1; /* 0 - 1 = SFI_TOKEN_NONE */
        }
    }
}

/* Position of a text whose digest is `hash`. */
static inline uint32_t sfi_tokens_find_text(const struct sfi_tokens *tokens, shardy_cel_kind kind,
                                            uint64_t hash, const void *text, size_t size)
{
    if (tokens->kind != kind) {
        return SFI_TOKEN_NONE;
    }
    for (uint64_t at = hash;; at++) {
        const struct sfi_token_slot *slot = &tokens->slots[at & tokens->mask];
        if (slot->id == 0) {
            return SFI_TOKEN_NONE;
        }
        if (slot->hash == hash) {
            const shardy_cel_value *value = &tokens->values[slot->id - 1];
            if (value->size == size && (size == 0 || memcmp(value->text, text, size) == 0)) {
                return slot->id - 1;
            }
        }
    }
}

#endif
