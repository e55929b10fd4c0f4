/*
 * format.c - integers as decimal text, two digits at a time. Doubles are in number.cc.
 */
#include "cel/function.h"

#include <string.h>

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

size_t sfi_cel_format_uint(uint64_t number, char out[24])
{
    char text[20];
    size_t at = sizeof text;
    while (number >= 100) {
        at -= 2;
        memcpy(text + at, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (number >= 10) {
        at -= 2;
        memcpy(text + at, pairs + 2 * number, 2);
    } else {
        text[--at] = (char)('0' + number);
    }
    memcpy(out, text + at, sizeof text - at);
    return sizeof text - at;
}

size_t sfi_cel_format_int(int64_t number, char out[24])
{
    if (number >= 0) {
        return sfi_cel_format_uint((uint64_t)number, out);
    }
    char text[24];
    size_t size = sfi_cel_format_uint(0 - (uint64_t)number, text);
    out[0] = '-';
    memcpy(out + 1, text, size);
    return size + 1;
}
