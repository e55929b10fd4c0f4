/*
 * lib_text.c - contains() startsWith() endsWith() matches() (cel-spec, langdef.md). Searches take
 * linear time: memmem() and RE2 (regex.cc), whose compiled patterns are kept in the frame.
 */
#include "base/limits.h"
#include "base/memory.h"
#include "cel/caches.h"
#include "cel/function.h"
#include "cel/regex.h"

struct cached_regex {
    char *pattern; /* a copy; NULL: free slot */
    size_t size;
    struct sfi_cel_regex *regex;
    uint64_t used; /* clock of the cache when it was used last */
};

struct sfi_cel_regex_cache {
    uint64_t clock;
    struct cached_regex items[SFI_CEL_REGEX_CACHED];
};

void sfi_cel_regex_cache_free(struct sfi_cel_regex_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < SFI_CEL_REGEX_CACHED; i++) {
        sfi_cel_regex_free(cache->items[i].regex);
        sfi_free(cache->items[i].pattern);
    }
    sfi_free(cache);
}

/* The item of a pattern, or the one to be replaced. */
static struct cached_regex *find_item(struct sfi_cel_regex_cache *cache,
                                      struct sfi_cel_value pattern)
{
    struct cached_regex *oldest = &cache->items[0];
    for (size_t i = 0; i < SFI_CEL_REGEX_CACHED; i++) {
        struct cached_regex *item = &cache->items[i];
        if (item->pattern != NULL && item->size == pattern.size &&
            memcmp(item->pattern, pattern.text, pattern.size) == 0) {
            return item;
        }
        if (item->used < oldest->used) {
            oldest = item;
        }
    }
    sfi_cel_regex_free(oldest->regex);
    sfi_free(oldest->pattern);
    *oldest = (struct cached_regex){0};
    return oldest;
}

static struct sfi_cel_regex_cache *cache_of(struct sfi_cel_frame *frame)
{
    struct sfi_cel_caches *caches = sfi_cel_caches_of(frame);
    if (caches != NULL && caches->regexes == NULL) {
        caches->regexes = sfi_calloc(1, sizeof *caches->regexes);
    }
    return caches == NULL ? NULL : caches->regexes;
}

/*
 * Steps that parsing a pattern may take, by what was measured at worst: a chain of a? is quadratic,
 * \pL has 600 ranges (0.4 ms, negated or in a class as well), a class 15 us, a repetition 30 us.
 */
static size_t parse_steps(struct sfi_cel_value pattern)
{
    size_t size = pattern.size;
    size_t steps = 500 + 16 * size + size * size / 100;
    for (size_t i = 0; i < size; i++) {
        char c = pattern.text[i];
        steps += c == '[' ? 200 : c == '{' ? 1000 : 0;
        steps += c == '\\' && i + 1 < size && (pattern.text[i + 1] | 0x20) == 'p' ? 8000 : 0;
    }
    return steps;
}

/*
 * Steps of what was made: up to 1 us for an instruction. How many there are is known only then, but
 * never more than fill SFI_CEL_REGEX_BYTES; to find that they do not fit takes 70 ms.
 */
static size_t made_steps(enum sfi_cel_regex_status status, const struct sfi_cel_regex *regex)
{
    return status == SFI_CEL_REGEX_OK          ? 20 * sfi_cel_regex_length(regex)
           : status == SFI_CEL_REGEX_TOO_LARGE ? 1500000
                                               : 0;
}

/* Compile into an empty item. `*error` is set when NULL is returned. */
static const struct sfi_cel_regex *compile(struct sfi_cel_frame *frame, struct cached_regex *item,
                                           struct sfi_cel_value pattern,
                                           struct sfi_cel_value *error)
{
    char message[SFI_CEL_REGEX_TEXT];
    enum sfi_cel_regex_status status =
        sfi_cel_regex_new(pattern.text, pattern.size, &item->regex, message);
    if (!sfi_cel_charge(frame, made_steps(status, item->regex) * 16)) {
        sfi_cel_regex_free(item->regex);
        item->regex = NULL;
        *error = sfi_cel_fail_steps();
        return NULL;
    }
    if (status == SFI_CEL_REGEX_INVALID || status == SFI_CEL_REGEX_TOO_LARGE) {
        *error = sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "invalid regular expression: %s",
                              message);
        return NULL;
    }
    item->pattern = status == SFI_CEL_REGEX_OK ? sfi_malloc(pattern.size) : NULL;
    if (item->pattern == NULL) {
        sfi_cel_regex_free(item->regex);
        item->regex = NULL;
        *error = sfi_cel_fail_memory();
        return NULL;
    }
    if (pattern.size > 0) {
        memcpy(item->pattern, pattern.text, pattern.size);
    }
    item->size = pattern.size;
    return item->regex;
}

static const struct sfi_cel_regex *
regex_of(struct sfi_cel_frame *frame, struct sfi_cel_value pattern, struct sfi_cel_value *error)
{
    struct sfi_cel_regex_cache *cache = cache_of(frame);
    if (cache == NULL) {
        *error = sfi_cel_fail_memory();
        return NULL;
    }
    struct cached_regex *item = find_item(cache, pattern);
    item->used = ++cache->clock;
    if (item->regex != NULL) {
        return item->regex;
    }
    if (pattern.size > SFI_CEL_REGEX_PATTERN_MAX) {
        *error = sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                              "regular expression of %u bytes; at most %u are allowed",
                              (unsigned)pattern.size, SFI_CEL_REGEX_PATTERN_MAX);
        return NULL;
    }
    if (!sfi_cel_charge(frame, parse_steps(pattern) * 16)) {
        *error = sfi_cel_fail_steps();
        return NULL;
    }
    return compile(frame, item, pattern, error);
}

static bool find_text(struct sfi_cel_value text, struct sfi_cel_value part)
{
    return part.size == 0 ||
           (part.size <= text.size && memmem(text.text, text.size, part.text, part.size) != NULL);
}

/* memmem() takes up to 4 ns for a byte. */
static bool charge_find(struct sfi_cel_frame *frame, struct sfi_cel_value text,
                        struct sfi_cel_value part)
{
    return sfi_cel_charge(frame, 4 * (size_t)text.size + part.size);
}

/* Whether a pattern is valid and stands for nothing but its own text. */
static bool is_plain(struct sfi_cel_value pattern)
{
    for (uint32_t i = 0; i < pattern.size; i++) {
        unsigned char c = (unsigned char)pattern.text[i];
        if (c >= 0x80 || c == '\0' || strchr("\\.+*?()|[]{}^$", c) != NULL) {
            return false;
        }
    }
    return true;
}

static struct sfi_cel_value contains(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (!charge_find(frame, args[0], args[1])) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(find_text(args[0], args[1]));
}

static struct sfi_cel_value starts_with(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    size_t size = args[1].size;
    if (!sfi_cel_charge(frame, size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(size == 0 ||
                        (size <= args[0].size && memcmp(args[0].text, args[1].text, size) == 0));
}

static struct sfi_cel_value ends_with(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    size_t size = args[1].size;
    if (!sfi_cel_charge(frame, size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(size == 0 ||
                        (size <= args[0].size &&
                         memcmp(args[0].text + args[0].size - size, args[1].text, size) == 0));
}

static struct sfi_cel_value matches(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    if (!sfi_cel_charge(frame, 2 * (size_t)args[1].size)) {
        return sfi_cel_fail_steps();
    }
    if (is_plain(args[1])) {
        return contains(frame, args);
    }
    struct sfi_cel_value error;
    const struct sfi_cel_regex *regex = regex_of(frame, args[1], &error);
    if (regex == NULL) {
        return error;
    }
    /* Usually a table look-up for each byte; at worst 3 ns for each instruction and byte. */
    size_t weight = 1 + sfi_cel_regex_length(regex) / 2;
    if (!sfi_cel_charge(frame, weight * ((size_t)args[0].size + 1))) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(sfi_cel_regex_search(regex, args[0].text, args[0].size));
}

#define BOOL   &sfi_cel_type_bool
#define STRING &sfi_cel_type_string

static const struct sfi_cel_overload overloads[] = {
    {"contains", SFI_CEL_METHOD, BOOL, {STRING, STRING}, contains},
    {"startsWith", SFI_CEL_METHOD, BOOL, {STRING, STRING}, starts_with},
    {"endsWith", SFI_CEL_METHOD, BOOL, {STRING, STRING}, ends_with},
    {"matches", 0, BOOL, {STRING, STRING}, matches},
    {"matches", SFI_CEL_METHOD, BOOL, {STRING, STRING}, matches},
};

const struct sfi_cel_library sfi_cel_lib_text = {overloads, sizeof overloads / sizeof overloads[0],
                                                 false};
