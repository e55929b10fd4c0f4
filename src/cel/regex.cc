/*
 * regex.cc - RE2 behind extern "C" (github.com/google/re2, wiki/Syntax). RE2 never backtracks; what
 * a pattern may cost is bounded by its memory. The cache of patterns is in lib_text.c.
 */
#include "cel/regex.h"

#include "base/limits.h"

#include <re2/re2.h>

#include <cstring>
#include <new>
#include <string>

struct sfi_cel_regex {
    explicit sfi_cel_regex(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : re(pattern, options)
    {
    }
    re2::RE2 re;
};

namespace
{

void explain(const re2::RE2 &re, char *message)
{
    const std::string &error = re.error();
    const size_t size =
        error.size() < SFI_CEL_REGEX_TEXT ? error.size() : size_t{SFI_CEL_REGEX_TEXT} - 1;
    std::memcpy(message, error.data(), size);
    message[size] = '\0';
}

} // namespace

enum sfi_cel_regex_status sfi_cel_regex_new(const char *pattern, size_t size,
                                            struct sfi_cel_regex **regex, char *message)
{
    *regex = nullptr;
    try {
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_never_capture(true);
        options.set_max_mem(SFI_CEL_REGEX_BYTES);
        auto *compiled = new sfi_cel_regex(re2::StringPiece(pattern, size), options);
        if (compiled->re.ok()) {
            *regex = compiled;
            return SFI_CEL_REGEX_OK;
        }
        explain(compiled->re, message);
        const bool is_large = compiled->re.error_code() == re2::RE2::ErrorPatternTooLarge;
        delete compiled;
        return is_large ? SFI_CEL_REGEX_TOO_LARGE : SFI_CEL_REGEX_INVALID;
    } catch (...) {
        return SFI_CEL_REGEX_NO_MEMORY;
    }
}

void sfi_cel_regex_free(struct sfi_cel_regex *regex)
{
    delete regex;
}

bool sfi_cel_regex_search(const struct sfi_cel_regex *regex, const char *text, size_t size)
{
    return regex->re.Match(re2::StringPiece(text, size), 0, size, re2::RE2::UNANCHORED, nullptr, 0);
}

size_t sfi_cel_regex_length(const struct sfi_cel_regex *regex)
{
    return static_cast<size_t>(regex->re.ProgramSize());
}
