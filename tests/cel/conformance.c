/*
 * conformance.c - run the tests of the CEL specification (shared/fixtures/cel/conformance.jsonl).
 *
 * Usage: cel_conformance [--tap] FILE...
 *
 * Each line of a file is one test; ../shared/fixtures/README.md has the format. Prints every
 * failing test with what was expected and what came out, a table by file of the suite, and "N
 * passed, N failed, N skipped"; exit status 1 when a test failed. Tests that need protobuf are
 * counted apart: those that use nothing of it but timestamps, durations and wrappers are tried.
 * With --tap: one TAP point for each file of the suite, the rest as comments.
 */
#include "conformance_value.h"

#include "base/memory.h"
#include "cel/program.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_VARIABLES 16u
#define MAX_GROUPS    64u
#define VALUE_BYTES   (64u << 20)

enum outcome { PASSED, FAILED, SKIPPED };

struct tally {
    unsigned count[3]; /* by outcome */
};

/* The tests of one file of the suite. */
struct group {
    char name[48];
    struct tally plain;
    struct tally protobuf;
};

struct suite {
    struct group groups[MAX_GROUPS];
    size_t count;
    bool is_tap;
};

/* One test on its way: what it declares and binds, and why it did not pass. */
struct test {
    const json_t *json;
    const char *source; /* may contain NULs */
    size_t source_size;
    struct sfi_cel_frame frame; /* memory of expected values and bindings */
    struct sfi_cel_variable variables[MAX_VARIABLES];
    struct sfi_cel_value bindings[MAX_VARIABLES];
    struct sfi_cel_env env;
    char why[2600];
};

static const struct sfi_cel_type param_c = {SFI_CEL_TYPE_PARAM, 2, {NULL}};
static const struct sfi_cel_type tuple_abc = {
    SFI_CEL_TYPE_TUPLE, 0, {&sfi_cel_sig_a, &sfi_cel_sig_b, &param_c}};

/* The functions that the suite's tests declare; the fixtures do not carry their signatures. */
static const struct sfi_cel_overload declared_functions[] = {
    {"fn", 0, &sfi_cel_type_string, {&sfi_cel_type_string, &sfi_cel_type_int}, NULL},
    {"tuple", 0, &tuple_abc, {&sfi_cel_sig_a, &sfi_cel_sig_b, &param_c}, NULL},
};

/*
 * Tests whose expectation the fixtures carry wrongly. They must give what the specification's own
 * file expects, and count as skipped.
 */
static const struct exception {
    const char *file;
    const char *section;
    const char *name;
    const char *value;
    size_t size;
    const char *reason;
} exceptions[] = {
#define UNESCAPED(name)                                                                           \
    {                                                                                             \
        "parse", "bytes_literals", name, " ? \" ' ` ", 9,                                         \
            "parse.textproto expects \" \\? ...\", where \\? is its escape for a plain question " \
            "mark; the fixture has kept the backslash, which the expression does not contain"     \
    }
    UNESCAPED("triple_single_quoted_unescaped_punctuation"),
    UNESCAPED("triple_double_quoted_unescaped_punctuation"),
#undef UNESCAPED
};

static const struct sfi_cel_error no_value = {SFI_CEL_MISSING, UINT32_MAX, "no value was bound"};

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool flag_of(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static bool add_variable(struct test *test, const char *name, const struct sfi_cel_type *type)
{
    if (test->env.variable_count == MAX_VARIABLES) {
        return false;
    }
    test->variables[test->env.variable_count] = (struct sfi_cel_variable){name, type};
    test->bindings[test->env.variable_count] = (struct sfi_cel_value){.kind = SFI_CEL_ERROR};
    test->bindings[test->env.variable_count++].error = &no_value;
    return true;
}

static enum outcome skip(struct test *test, const char *what, const char *detail)
{
    (void)snprintf(test->why, sizeof test->why, "%s %s", what, detail);
    return SKIPPED;
}

static enum outcome declare(struct test *test)
{
    const char *name;
    json_t *item;
    json_object_foreach(json_object_get(test->json, "types"), name, item)
    {
        const char *text = json_string_value(item);
        const struct sfi_cel_type *type;
        if (text != NULL && strcmp(text, "function") == 0) {
            test->env.functions = declared_functions;
            test->env.function_count = sizeof declared_functions / sizeof declared_functions[0];
            continue;
        }
        if (text == NULL ||
            sfi_cel_type_parse(&test->frame.arena, text, &type, NULL) != SHARDY_OK) {
            return skip(test, "declares a variable of type", text == NULL ? "?" : text);
        }
        if (!add_variable(test, name, type)) {
            return skip(test, "declares too many variables:", name);
        }
    }
    return PASSED;
}

static enum outcome bind_values(struct test *test)
{
    const char *name;
    json_t *item;
    json_object_foreach(json_object_get(test->json, "bindings"), name, item)
    {
        size_t i = 0;
        while (i < test->env.variable_count && strcmp(test->variables[i].name, name) != 0) {
            i++;
        }
        if (i == test->env.variable_count && !add_variable(test, name, &sfi_cel_type_dyn)) {
            return skip(test, "binds too many variables:", name);
        }
        if (!conformance_value(&test->frame, item, &test->bindings[i])) {
            return skip(test, "binds a value that is not CEL's own to", name);
        }
    }
    return PASSED;
}

static enum outcome differ(struct test *test, const char *expected, const char *got)
{
    (void)snprintf(test->why, sizeof test->why, "    expected: %.1000s\n    got:      %.1400s",
                   expected, got);
    return FAILED;
}

static bool is_text(const json_t *json, const char *name, const char *expected)
{
    const char *text = text_of(json, name);
    return text != NULL && strcmp(text, expected) == 0;
}

/* The reason why a result counts although it is not what the fixtures say; NULL: there is none. */
static const char *excepted(const json_t *json, struct sfi_cel_value got)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        const struct exception *e = &exceptions[i];
        if (is_text(json, "file", e->file) && is_text(json, "section", e->section) &&
            is_text(json, "name", e->name)) {
            bool is_right = got.kind == SFI_CEL_BYTES && got.size == e->size &&
                            memcmp(got.text, e->value, e->size) == 0;
            return is_right ? e->reason : NULL;
        }
    }
    return NULL;
}

static enum outcome compare(struct test *test, struct sfi_cel_value got,
                            const struct sfi_cel_program *program)
{
    const json_t *json = json_object_get(test->json, "value");
    struct sfi_cel_value expected;
    char got_text[1100];
    char expected_text[1000];
    if (sfi_cel_is_error(got)) {
        shardy_error err = SHARDY_ERROR_INIT;
        (void)sfi_cel_report(program, got.error, &err);
        (void)snprintf(got_text, sizeof got_text, "%s", err.message);
    } else {
        sfi_cel_value_text(got, got_text, sizeof got_text);
    }
    if (json == NULL) {
        return sfi_cel_is_error(got) ? PASSED : differ(test, "an error", got_text);
    }
    if (!conformance_value(&test->frame, json, &expected)) {
        return skip(test, "expects a value that is not CEL's own", "");
    }
    if (!sfi_cel_is_error(got) && conformance_equal(expected, got)) {
        return PASSED;
    }
    const char *reason = excepted(test->json, got);
    if (reason != NULL) {
        return skip(test, "    ", reason);
    }
    sfi_cel_value_text(expected, expected_text, sizeof expected_text);
    return differ(test, expected_text, got_text);
}

static enum outcome evaluate(struct test *test)
{
    struct sfi_cel_program *program = NULL;
    struct sfi_cel_run *run = NULL;
    shardy_error err = SHARDY_ERROR_INIT;
    enum outcome outcome = FAILED;
    unsigned flags =
        flag_of(test->json, "disable_macros") ? (unsigned)SFI_CEL_PROGRAM_NO_MACROS : 0u;
    shardy_status st =
        sfi_cel_program_new(&test->env, test->source, test->source_size, flags, &program, &err);
    if (st == SHARDY_OK) {
        st = sfi_cel_run_new(program, 1, &run, &err);
    }
    if (st == SHARDY_OK) {
        outcome = compare(test, sfi_cel_run_row(run, test->bindings), program);
    } else {
        outcome = differ(test, "a program", err.message);
    }
    sfi_cel_run_free(run);
    sfi_cel_program_free(program);
    return outcome;
}

static enum outcome compare_type(struct test *test, const struct sfi_cel_type *got)
{
    const char *text = text_of(test->json, "deduced_type");
    const struct sfi_cel_type *expected;
    char got_text[SFI_CEL_TYPE_TEXT];
    if (text == NULL) {
        return PASSED;
    }
    if (sfi_cel_type_parse(&test->frame.arena, text, &expected, NULL) != SHARDY_OK) {
        return skip(test, "expects the type", text);
    }
    if (sfi_cel_type_equal(expected, got)) {
        return PASSED;
    }
    sfi_cel_type_text(got, got_text);
    return differ(test, text, got_text);
}

/* Parse and check, then evaluate if that is asked for. */
static enum outcome run_source(struct test *test)
{
    struct sfi_cel_arena arena;
    struct sfi_cel_ast ast;
    shardy_error err = SHARDY_ERROR_INIT;
    enum outcome outcome;
    unsigned flags = flag_of(test->json, "disable_macros") ? (unsigned)SFI_CEL_PARSE_NO_MACROS : 0u;
    sfi_cel_arena_init(&arena, VALUE_BYTES);
    shardy_status st = sfi_cel_parse(&arena, test->source, test->source_size, flags, &ast, &err);
    if (st == SHARDY_OK) {
        st = sfi_cel_check(&ast, &test->env, &err);
    }
    if (st != SHARDY_OK) {
        outcome = json_object_get(test->json, "error") != NULL
                      ? PASSED
                      : differ(test, "an expression that compiles", err.message);
    } else {
        outcome = compare_type(test, ast.root->type);
        if (outcome == PASSED && !flag_of(test->json, "check_only")) {
            outcome = evaluate(test);
        }
    }
    sfi_cel_arena_clear(&arena);
    return outcome;
}

/* Messages and enums that we do not have; what is left uses times and wrappers only. */
static bool needs_messages(const json_t *json)
{
    static const char *const words[] = {
        "TestAllTypes", "TestRequired", "GlobalEnum",  "cel.expr.conformance", "protobuf.Value",
        "ListValue",    "Struct",       "NullValue",   "protobuf.Any",         "FieldMask",
        "Empty{",       "\"enum\"",     "\"message\"", "Value{null_value",     "protobuf.Empty",
    };
    char *text = json_dumps(json, JSON_COMPACT);
    bool found = false;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && text != NULL; i++) {
        found = found || strstr(text, words[i]) != NULL;
    }
    free(text);
    return found;
}

static enum outcome run_test(struct test *test, const json_t *json)
{
    *test = (struct test){.json = json, .source = text_of(json, "expr")};
    test->source_size = json_string_length(json_object_get(json, "expr"));
    test->frame.steps_left = INT64_MAX;
    sfi_cel_arena_init(&test->frame.arena, VALUE_BYTES);
    test->env.variables = test->variables;
    test->env.container = text_of(json, "container");
    test->env.unchecked = flag_of(json, "disable_check");
    if (test->source == NULL) {
        return skip(test, "has no", "expr");
    }
    if (flag_of(json, "protobuf") && needs_messages(json)) {
        return skip(test, "needs", "protobuf messages");
    }
    enum outcome outcome = declare(test);
    if (outcome == PASSED) {
        outcome = bind_values(test);
    }
    return outcome == PASSED ? run_source(test) : outcome;
}

static struct group *group_of(struct suite *suite, const json_t *json)
{
    const char *name = text_of(json, "file");
    name = name == NULL ? "?" : name;
    for (size_t i = 0; i < suite->count; i++) {
        if (strcmp(suite->groups[i].name, name) == 0) {
            return &suite->groups[i];
        }
    }
    struct group *group = &suite->groups[suite->count == MAX_GROUPS ? 0 : suite->count++];
    (void)snprintf(group->name, sizeof group->name, "%s", name);
    return group;
}

/* Lines of the report; comments in TAP. */
static void print_lines(const struct suite *suite, const char *text)
{
    for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
        printf("%s%.*s\n", suite->is_tap ? "# " : "", (int)strcspn(text, "\n"), text);
    }
}

static void print_failure(const struct suite *suite, const struct test *test, enum outcome outcome)
{
    char text[4096];
    const char *container = test->env.container;
    (void)snprintf(
        text, sizeof text, "%s %s%s/%s/%s\n    %.900s%s%s\n%s",
        outcome == FAILED ? "FAILED" : "SKIPPED",
        flag_of(test->json, "protobuf") ? "(protobuf) " : "", text_of(test->json, "file"),
        text_of(test->json, "section"), text_of(test->json, "name"), test->source,
        container == NULL ? "" : "   in container ", container == NULL ? "" : container, test->why);
    print_lines(suite, text);
}

static void run_line(struct suite *suite, const json_t *json)
{
    struct test *test = sfi_calloc(1, sizeof *test);
    if (test == NULL) {
        abort();
    }
    enum outcome outcome = run_test(test, json);
    struct group *group = group_of(suite, json);
    bool is_protobuf = flag_of(json, "protobuf");
    (is_protobuf ? &group->protobuf : &group->plain)->count[outcome]++;
    if (outcome == FAILED || (outcome == SKIPPED && !is_protobuf)) {
        print_failure(suite, test, outcome);
    }
    sfi_cel_arena_clear(&test->frame.arena);
    sfi_free(test);
}

static bool run_file(struct suite *suite, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    bool is_read = file != NULL;
    while (is_read && getline(&line, &capacity, file) > 0) {
        json_error_t error;
        json_t *json = json_loads(line, JSON_ALLOW_NUL, &error);
        if (json == NULL) {
            printf("# %s: %s\n", path, error.text);
            is_read = false;
        } else {
            run_line(suite, json);
        }
        json_decref(json);
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_read;
}

static void add_tally(struct tally *sum, const struct tally *tally)
{
    for (unsigned i = 0; i < 3; i++) {
        sum->count[i] += tally->count[i];
    }
}

static void print_row(const struct suite *suite, const char *name, const struct tally *plain,
                      const struct tally *protobuf)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%-16s %7u %7u %7u   %7u %7u %7u", name, plain->count[PASSED],
                   plain->count[FAILED], plain->count[SKIPPED], protobuf->count[PASSED],
                   protobuf->count[FAILED], protobuf->count[SKIPPED]);
    print_lines(suite, text);
}

static void print_points(const struct suite *suite, const struct tally *protobuf)
{
    for (size_t i = 0; i < suite->count; i++) {
        const struct group *group = &suite->groups[i];
        const unsigned *count = group->plain.count;
        if (count[PASSED] + count[FAILED] + count[SKIPPED] == 0) {
            printf("ok %zu - %s # SKIP all of its tests need protobuf\n", i + 1, group->name);
        } else {
            printf("%sok %zu - %s: %u passed, %u failed, %u skipped\n",
                   count[FAILED] > 0 ? "not " : "", i + 1, group->name, count[PASSED],
                   count[FAILED], count[SKIPPED]);
        }
    }
    printf("%sok %zu - protobuf's times and wrappers: %u passed, %u failed\n",
           protobuf->count[FAILED] > 0 ? "not " : "", suite->count + 1, protobuf->count[PASSED],
           protobuf->count[FAILED]);
    printf("1..%zu\n", suite->count + 1);
}

static int report(const struct suite *suite)
{
    struct tally plain = {{0}};
    struct tally protobuf = {{0}};
    char text[160];
    print_lines(suite, "file              passed  failed skipped   (protobuf: passed, failed, "
                       "skipped)");
    for (size_t i = 0; i < suite->count; i++) {
        print_row(suite, suite->groups[i].name, &suite->groups[i].plain,
                  &suite->groups[i].protobuf);
        add_tally(&plain, &suite->groups[i].plain);
        add_tally(&protobuf, &suite->groups[i].protobuf);
    }
    print_row(suite, "all", &plain, &protobuf);
    if (suite->is_tap) {
        print_points(suite, &protobuf);
    }
    (void)snprintf(text, sizeof text, "%u passed, %u failed, %u skipped", plain.count[PASSED],
                   plain.count[FAILED], plain.count[SKIPPED]);
    print_lines(suite, text);
    return plain.count[FAILED] > 0 || plain.count[PASSED] == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct suite suite;
    bool is_missing = argc < 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tap") == 0) {
            suite.is_tap = true;
        } else if (!run_file(&suite, argv[i])) {
            if (suite.is_tap && suite.count == 0) {
                printf("1..0 # SKIP cannot read %s\n", argv[i]);
                return 0;
            }
            (void)fprintf(stderr, "cel_conformance: cannot read %s\n", argv[i]);
            is_missing = true;
        }
    }
    int failed = report(&suite);
    return is_missing ? 2 : failed;
}
