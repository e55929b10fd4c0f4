/*
 * routing_inline.h - the hot parts of routing.h, which includes this file.
 */
#ifndef SFI_ROUTING_ROUTING_INLINE_H
#define SFI_ROUTING_ROUTING_INLINE_H

/*
 * The unsigned minimum picks `rest` when the subtraction wrapped. The empty statement hides where
 * `less` comes from: gcc would make a jump of the carry, mispredicted for every other key.
 */
static inline uint32_t sfi_modulo(const struct sfi_modulus *modulus, uint64_t x)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t quotient = (uint64_t)((wide)x * modulus->reciprocal >> 64);
    uint64_t rest = x - quotient * modulus->n;
    uint64_t less = rest - modulus->n;
    __asm__("" : "+r"(less));
    return (uint32_t)(rest < less ? rest : less);
}

#endif
