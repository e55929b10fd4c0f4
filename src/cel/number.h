/*
 * number.h - doubles to text and back (number.cc), exact, without locale and heap.
 */
#ifndef SFI_CEL_NUMBER_H
#define SFI_CEL_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Shortest digits that round-trip, notation as %g; returns the length, writes no NUL. */
size_t sfi_cel_format_double(double number, char out[32]);

/*
 * The nearest double to a decimal number: [+-] digits [. digits] [e [+-] digits], "inf",
 * "infinity", "nan" in any case, white space around it. Too large is infinite. false: no number.
 */
bool sfi_cel_parse_double(const char *text, size_t size, double *number);

#ifdef __cplusplus
}
#endif

#endif
