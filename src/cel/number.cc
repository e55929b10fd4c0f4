/*
 * number.cc - doubles to text and back by the C++ library: the only functions around that are
 * exact, shortest, fast, and know neither locale nor heap.
 */
#include "cel/number.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <system_error>

/*
 * Shortest digits that round-trip; std::chars_format::general is the notation of %g without a
 * precision: an exponent below -4 or above 5 is written, with two digits or more.
 */
size_t sfi_cel_format_double(double number, char *out)
{
    if (std::isnan(number)) {
        std::memcpy(out, "nan", 3);
        return 3;
    }
    const auto end = std::to_chars(out, out + 32, number, std::chars_format::general);
    return static_cast<size_t>(end.ptr - out); /* at most 24 */
}

namespace
{

bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether a number that no double can hold is too large, not too small. `text` is a number. */
bool is_huge(const char *text, const char *end)
{
    long long exponent = 0; /* of the first digit that is not 0 */
    bool seen = false;
    bool fraction = false;
    for (; text < end && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            fraction = true;
        } else if (*text != '-') {
            seen = seen || *text != '0';
            exponent += seen && !fraction ? 1 : !seen && fraction ? -1 : 0;
        }
    }
    if (text < end) {
        const char *digits = text + 1;
        const bool negative = *digits == '-';
        digits += *digits == '-' || *digits == '+';
        long long written = 0;
        for (; digits < end && written < 1000000000000; digits++) {
            written = written * 10 + (*digits - '0');
        }
        exponent += negative ? -written : written;
    }
    return exponent > 0;
}

} // namespace

bool sfi_cel_parse_double(const char *text, size_t size, double *number)
{
    const char *end = text + size;
    while (text < end && is_space(*text)) {
        text++;
    }
    while (text < end && is_space(end[-1])) {
        end--;
    }
    const bool plus = text < end && *text == '+';
    text += plus;
    if (text == end || (plus && *text == '-')) {
        return false;
    }
    double parsed = 0;
    const auto result = std::from_chars(text, end, parsed);
    if (result.ptr != end || result.ec == std::errc::invalid_argument) {
        return false;
    }
    if (end[-1] == ')') {
        return false; /* nan(text) */
    }
    if (result.ec == std::errc::result_out_of_range) {
        parsed = is_huge(text, end) ? std::numeric_limits<double>::infinity() : 0.0;
        parsed = *text == '-' ? -parsed : parsed;
    }
    *number = parsed;
    return true;
}
