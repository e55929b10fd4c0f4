/*
 * test_cel_regex.c - matches(): the syntax of RE2, patterns that are invalid, too large or made to
 * take for ever, bytes that are no text, and the cache of patterns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cel_value_sample.h"

static struct sfi_cel_value matches(struct sfi_cel_value text, struct sfi_cel_value pattern)
{
    struct sfi_cel_value result = CALL2(text, "matches", text, pattern);
    if (sfi_cel_is_error(result)) {
        assert_true(sfi_cel_utf8_valid(result.error->text, strlen(result.error->text)));
    }
    return result;
}

static void syntax_is_that_of_re2(void **state)
{
    static const struct {
        const char *text;
        const char *pattern;
        bool matches;
    } cases[] = {
        {"hubba", "ubb", true},     {"", "foo|bar", false},     {"banana", "ba(na)*", true},
        {"mañana", "a+ñ+a+", true}, {"🐱😀😀", "(a|😀){2}", true},  {"abc", "^b", false},
        {"abc", "^a.c$", true},     {"a\nb", "a.b", false},     {"a\nb", "(?s)a.b", true},
        {"a\nb", "^b", false},      {"a\nb", "(?m)^b", true},   {"HELLO", "(?i)hello", true},
        {"x42", "\\d+", true},      {"naïve", "\\pL{5}", true}, {"Ωmega", "^\\p{Greek}", true},
        {"a b", "a\\sb", true},     {"cat", "\\bcat\\b", true}, {"cats", "\\bcat\\b", false},
        {"ab", "\\Aab\\z", true},   {"a.b", "a\\.b", true},     {"axb", "a\\.b", false},
        {"a+b", "\\Qa+b\\E", true}, {"aaa", "a{3}", true},      {"aa", "^a{3}$", false},
        {"é", "^.$", true},
    };
    (void)state;
    for (int round = 0; round < 2; round++) { /* compiled, and from the cache */
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            struct sfi_cel_value result = matches(str(cases[i].text), str(cases[i].pattern));
            if (result.kind != SFI_CEL_BOOL || result.boolean != cases[i].matches) {
                fail_msg("%s on %s: %s", cases[i].pattern, cases[i].text, text_of(result));
            }
        }
    }
}

static void invalid_patterns_are_errors(void **state)
{
    static const char *const patterns[] = {"(",
                                           "a)",
                                           "[a",
                                           "*",
                                           "a**",
                                           "a{2,1}",
                                           "a{1001}",
                                           "\\1",
                                           "(?=a)",
                                           "(?<!a)b",
                                           "\\",
                                           "(?P<n",
                                           "[z-a]",
                                           "\\pX",
                                           "\\8",
                                           "(?z)",
                                           "\\xFF(",
                                           "[[:x:]]",
                                           "(a{100}){100}{100}",
                                           "((a{100}){100}){100}",
                                           "\\x{110000}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        struct sfi_cel_value result = matches(str("text"), str(patterns[i]));
        frame.steps_left = SFI_CEL_MAX_STEPS;
        if (!sfi_cel_is_error(result) || result.error->code != SFI_CEL_INVALID_ARGUMENT) {
            fail_msg("%s: %s", patterns[i], text_of(result));
        }
        assert_true(strncmp(result.error->text, "invalid regular expression: ", 28) == 0);
    }
    assert_value(matches(str("text"), str("a(b")),
                 "INVALID_ARGUMENT: invalid regular expression: missing ): a(b");
}

/* Programs that would be too large are refused, whatever few bytes ask for them. */
static void large_programs_are_refused(void **state)
{
    static const char *const patterns[] = {"\\pL{1000}", "(?:\\pL{50}){20}", "[^\\pL]{1000}",
                                           ".{1000}[^a]{1000}\\pL{90}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        assert_value(matches(str("x"), str(patterns[i])),
                     "INVALID_ARGUMENT: invalid regular expression: pattern too large - compile "
                     "failed");
    }
    static char pattern[SFI_CEL_REGEX_PATTERN_MAX + 2];
    memset(pattern, '.', sizeof pattern);
    assert_value(matches(str("x"), sfi_cel_string(pattern, SFI_CEL_REGEX_PATTERN_MAX + 1)),
                 "INVALID_ARGUMENT: regular expression of 8193 bytes; at most 8192 are allowed");
}

/* Exponential for those who backtrack; here the steps bound what is left. */
static void no_pattern_takes_for_ever(void **state)
{
    static const char *const patterns[] = {"(x+x+)+y",         "(a*)*b",      "(a|a)*b",
                                           "(a|b|ab)*c{100}",  "^(a+)+$",     "(.*)*x",
                                           "(a?){100}a{100}b", "(.{50}|x)*y", "(?s).*a.{90}b"};
    char *data = malloc(100000);
    (void)state;
    assert_non_null(data);
    memset(data, 'a', 100000);
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        frame.steps_left = INT64_MAX;
        struct sfi_cel_value small = matches(sfi_cel_string(data, 100), str(patterns[i]));
        assert_int_equal(small.kind, SFI_CEL_BOOL);
        int64_t before = frame.steps_left;
        matches(sfi_cel_string(data, 100000), str(patterns[i]));
        assert_true(before - frame.steps_left > 100000 / 16);
        frame.steps_left = 100;
        assert_value(matches(sfi_cel_string(data, 100000), str(patterns[i])),
                     "OVER_LIMIT: evaluation takes more steps than an expression may use");
    }
    free(data);
}

/* A row that makes ever new patterns pays for each of them. */
static void compiling_is_charged(void **state)
{
    static const char *const forms[] = {"%d\\pL", "%d[a-z]", "%da{9}", "%d.", "%d\\pL{9}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct sfi_cel_value result = sfi_cel_null();
        int compiled = 0;
        frame.steps_left = SFI_CEL_MAX_STEPS / 10;
        while (!sfi_cel_is_error(result)) {
            char pattern[40];
            snprintf(pattern, sizeof pattern, forms[i], compiled++);
            result = matches(str("x"), str(pattern));
        }
        assert_int_equal(result.error->code, SFI_CEL_OVER_LIMIT);
        assert_in_range(compiled, 5, 2000);
    }
    frame.steps_left = SFI_CEL_MAX_STEPS;
    matches(str("x"), str("kept."));
    int64_t first = SFI_CEL_MAX_STEPS - frame.steps_left;
    frame.steps_left = SFI_CEL_MAX_STEPS;
    matches(str("x"), str("kept."));
    assert_true(SFI_CEL_MAX_STEPS - frame.steps_left < first / 10); /* cached */
}

/* The size of what is made decides, not that of the pattern; refused ones took the longest. */
static void large_programs_are_charged(void **state)
{
    static const char *const patterns[] = {"\\pL{9}", "\\pL{900}", "[^a]{1000}",
                                           "[\xE4\xB8\x80-\xE4\xBA\x80]{1000}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        frame.steps_left = SFI_CEL_MAX_STEPS;
        matches(str("x"), str(patterns[i]));
        assert_true(SFI_CEL_MAX_STEPS - frame.steps_left > 50000);
        frame.steps_left = 40000;
        char other[64];
        snprintf(other, sizeof other, "z%s", patterns[i]);
        assert_value(matches(str("x"), str(other)),
                     "OVER_LIMIT: evaluation takes more steps than an expression may use");
    }
}

static void any_bytes_are_safe(void **state)
{
    uint64_t seed = 1;
    (void)state;
    assert_value(matches(sfi_cel_string("a\0b", 3), sfi_cel_string("a\0b", 3)), "true");
    assert_value(matches(sfi_cel_string("a\0b", 3), sfi_cel_string("a\0c", 3)), "false");
    assert_value(matches(sfi_cel_string("a\0b", 3), str("^a.b$")), "true");
    assert_value(matches(str("\xFF"), str("^.$")), "false");
    assert_value(matches(str("a\xFFz"), str("z$")), "true");
    assert_value(matches(str("x"), str("\xFF")),
                 "INVALID_ARGUMENT: invalid regular expression: invalid UTF-8");
    for (int i = 0; i < 20000; i++) {
        static const char alphabet[] = "ab(|)*+?{2}[^-]\\pLd.$\xC3\xA9\xFF";
        char pattern[24];
        size_t size = next_random(&seed) % sizeof pattern;
        for (size_t j = 0; j < size; j++) {
            pattern[j] = alphabet[next_random(&seed) % (sizeof alphabet)];
        }
        frame.steps_left = SFI_CEL_MAX_STEPS;
        struct sfi_cel_value result =
            matches(str("abba\xC3\xA9 22"), sfi_cel_string(pattern, (uint32_t)size));
        assert_true(result.kind == SFI_CEL_BOOL || result.error->code == SFI_CEL_INVALID_ARGUMENT);
        sfi_cel_arena_reset(&frame.arena);
    }
}

/* More patterns than are kept, in an order in which some are found again. */
static void many_patterns_take_turns(void **state)
{
    uint64_t seed = 2;
    (void)state;
    for (int i = 0; i < 5000; i++) {
        unsigned number =
            (unsigned)(next_random(&seed) % (i % 2 == 0 ? 8 : 3 * SFI_CEL_REGEX_CACHED));
        char pattern[40];
        char text[40];
        snprintf(pattern, sizeof pattern, "^%u.$", number);
        snprintf(text, sizeof text, "%ux", number);
        frame.steps_left = SFI_CEL_MAX_STEPS;
        assert_value(matches(str(text), str(pattern)), "true");
        snprintf(text, sizeof text, "%ux", number + 1);
        assert_value(matches(str(text), str(pattern)), "false");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        frame_test(syntax_is_that_of_re2),      frame_test(invalid_patterns_are_errors),
        frame_test(large_programs_are_refused), frame_test(no_pattern_takes_for_ever),
        frame_test(compiling_is_charged),       frame_test(large_programs_are_charged),
        frame_test(any_bytes_are_safe),         frame_test(many_patterns_take_turns),
    };
    return cmocka_run_group_tests_name("cel_regex", tests, NULL, NULL);
}
