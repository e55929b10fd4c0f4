/*
 * test_cel_type.c - notation and equality of static types, and the index of all functions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "cel/function.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *text;
    const char *printed; /* NULL: as it was written */
} valid[] = {
    {"dyn", NULL},
    {"null", NULL},
    {"null_type", "null"},
    {"bool", NULL},
    {"int", NULL},
    {"uint", NULL},
    {"double", NULL},
    {"string", NULL},
    {"bytes", NULL},
    {"timestamp", "google.protobuf.Timestamp"},
    {"google.protobuf.Timestamp", NULL},
    {"duration", "google.protobuf.Duration"},
    {"google.protobuf.Duration", NULL},
    {"net.IP", NULL},
    {"net.CIDR", NULL},
    {"list", "list(dyn)"},
    {"map", "map(dyn, dyn)"},
    {"type", NULL},
    {"type(int)", NULL},
    {"type(type)", NULL},
    {"optional_type", "optional_type(dyn)"},
    {"optional_type(int)", NULL},
    {"wrapper(int)", NULL},
    {"list(map(string, list(dyn)))", NULL},
    {" map ( string,int ) ", "map(string, int)"},
    {"tuple(int, uint, double)", NULL},
};

static void parses_and_prints(void **state)
{
    struct sfi_cel_arena arena;
    (void)state;
    sfi_cel_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT(valid); i++) {
        const struct sfi_cel_type *type;
        const struct sfi_cel_type *again;
        char text[SFI_CEL_TYPE_TEXT];
        assert_int_equal(sfi_cel_type_parse(&arena, valid[i].text, &type, NULL), SHARDY_OK);
        sfi_cel_type_text(type, text);
        assert_string_equal(text, valid[i].printed == NULL ? valid[i].text : valid[i].printed);
        assert_int_equal(sfi_cel_type_parse(&arena, text, &again, NULL), SHARDY_OK);
        assert_true(sfi_cel_type_equal(type, again));
    }
    sfi_cel_arena_clear(&arena);
}

static void different_types_differ(void **state)
{
    static const char *const texts[] = {
        "dyn",
        "null",
        "bool",
        "int",
        "uint",
        "string",
        "timestamp",
        "list(int)",
        "list",
        "map(int,int)",
        "map(int,uint)",
        "map(uint,int)",
        "type",
        "type(int)",
        "net.IP",
        "net.CIDR",
        "wrapper(int)",
        "wrapper(uint)",
        "duration",
        "bytes",
        "optional_type(int)",
        "optional_type(list(int))",
    };
    struct sfi_cel_arena arena;
    const struct sfi_cel_type *types[COUNT(texts)];
    (void)state;
    sfi_cel_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(sfi_cel_type_parse(&arena, texts[i], &types[i], NULL), SHARDY_OK);
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(sfi_cel_type_equal(types[i], types[j]), i == j);
            assert_int_equal(sfi_cel_type_equal(types[j], types[i]), i == j);
        }
    }
    sfi_cel_arena_clear(&arena);
    struct sfi_cel_type missing = {SFI_CEL_TYPE_LIST, 0, {NULL}};
    assert_true(sfi_cel_type_equal(&missing, &sfi_cel_type_list));
    assert_false(sfi_cel_type_equal(&sfi_cel_sig_a, &sfi_cel_sig_b));
}

static void refuses_what_is_no_type(void **state)
{
    static const char *const texts[] = {
        "",
        "strin",
        "Int",
        "list()",
        "list(int",
        "list(int,int)",
        "map(int)",
        "map(int int)",
        "int)",
        "int int",
        "wrapper",
        "wrapper(list)",
        "wrapper(null)",
        "wrapper(dyn)",
        "list(function)",
        "tuple",
        "(int)",
        "list(int))",
    };
    struct sfi_cel_arena arena;
    (void)state;
    sfi_cel_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT(texts); i++) {
        const struct sfi_cel_type *type = &sfi_cel_type_int;
        shardy_error err = SHARDY_ERROR_INIT;
        char expected[64];
        assert_int_equal(sfi_cel_type_parse(&arena, texts[i], &type, &err), SHARDY_CONFIG);
        assert_null(type);
        (void)snprintf(expected, sizeof expected, "\"%s\" is no type; types are bool,", texts[i]);
        assert_memory_equal(err.message, expected, strlen(expected));
    }
    sfi_cel_arena_clear(&arena);
}

/* list(list(... int ...)) */
static const char *nested(char *out, size_t size, unsigned depth)
{
    size_t at = 0;
    for (unsigned i = 0; i < depth; i++) {
        at += (size_t)snprintf(out + at, size - at, "list(");
    }
    at += (size_t)snprintf(out + at, size - at, "int");
    for (unsigned i = 0; i < depth; i++) {
        at += (size_t)snprintf(out + at, size - at, ")");
    }
    return out;
}

static void bounds_nesting_and_length(void **state)
{
    struct sfi_cel_arena arena;
    const struct sfi_cel_type *type;
    shardy_error err = SHARDY_ERROR_INIT;
    char text[2000];
    char out[SFI_CEL_TYPE_TEXT];
    (void)state;
    sfi_cel_arena_init(&arena, 1 << 20);
    assert_int_equal(sfi_cel_type_parse(&arena, nested(text, sizeof text, 15), &type, NULL),
                     SHARDY_OK);
    assert_int_equal(sfi_cel_type_parse(&arena, nested(text, sizeof text, 200), &type, &err),
                     SHARDY_CONFIG);
    assert_non_null(strstr(err.message, "is nested deeper than 16"));
    sfi_cel_arena_clear(&arena);

    struct sfi_cel_type levels[100];
    for (size_t i = 0; i < COUNT(levels); i++) {
        levels[i] = (struct sfi_cel_type){
            SFI_CEL_TYPE_LIST, 0, {i == 0 ? &sfi_cel_type_int : &levels[i - 1]}};
    }
    sfi_cel_type_text(&levels[39], out);
    assert_int_equal(strlen(out), 40 * 6 + 3);
    sfi_cel_type_text(&levels[99], out);
    assert_int_equal(strlen(out), SFI_CEL_TYPE_TEXT - 1);
    assert_string_equal(out + SFI_CEL_TYPE_TEXT - 6, "li...");
}

static void fails_without_memory(void **state)
{
    struct sfi_cel_arena arena;
    const struct sfi_cel_type *type;
    (void)state;
    sfi_cel_arena_init(&arena, 16);
    assert_int_equal(sfi_cel_type_parse(&arena, "list(int)", &type, NULL), SHARDY_LIMIT);
    assert_null(type);
    sfi_cel_arena_clear(&arena);
}

static const struct sfi_cel_library *const libraries[] = {
    &sfi_cel_lib_arithmetic, &sfi_cel_lib_compare,  &sfi_cel_lib_container, &sfi_cel_lib_convert,
    &sfi_cel_lib_text,       &sfi_cel_lib_time,     &sfi_cel_lib_hash,      &sfi_cel_lib_strings,
    &sfi_cel_lib_math,       &sfi_cel_lib_encoders, &sfi_cel_lib_optional,  &sfi_cel_lib_network,
};

/* Each overload can be found by its name, together with all others of that name. */
static void finds_every_overload(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(libraries); i++) {
        for (size_t j = 0; j < libraries[i]->count; j++) {
            const struct sfi_cel_overload *overload = &libraries[i]->overloads[j];
            const struct sfi_cel_library *library = NULL;
            struct sfi_cel_name name = {overload->function, (uint32_t)strlen(overload->function)};
            size_t count = 0;
            const struct sfi_cel_overload *first = sfi_cel_find_function(name, &count, &library);
            if (first == NULL || overload < first || overload >= first + count) {
                fail_msg("%s: an overload stands apart from the others", overload->function);
            }
            assert_ptr_equal(library, libraries[i]);
            assert_true(count <= 64); /* what check_calls.c looks at */
            assert_non_null(overload->result);
            assert_non_null(overload->call);
        }
    }
}

static void knows_no_other_functions(void **state)
{
    static const char *const names[] = {"", "siz", "sizes", "_&&_", "_?_:_", "math", "math."};
    size_t count = 1;
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct sfi_cel_name name = {names[i], (uint32_t)strlen(names[i])};
        assert_null(sfi_cel_find_function(name, &count, NULL));
        assert_int_equal(count, 0);
    }
    size_t functions = 0;
    while (sfi_cel_function_at(functions) != NULL) {
        functions++;
    }
    assert_in_range(functions, 80, 400);
}

/* Arguments of the wrong kind or number, and errors among them. */
static void dispatches_by_kind(void **state)
{
    struct sfi_cel_frame frame = {.steps_left = 1000};
    const struct sfi_cel_overload *overloads[64];
    size_t count = 0;
    (void)state;
    sfi_cel_arena_init(&frame.arena, 1 << 20);
    struct sfi_cel_name name = {"_+_", 3};
    const struct sfi_cel_overload *first = sfi_cel_find_function(name, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        overloads[i] = &first[i];
    }
    struct sfi_cel_value args[3] = {sfi_cel_int(40), sfi_cel_int(2), sfi_cel_int(0)};
    assert_int_equal(sfi_cel_dispatch(&frame, overloads, count, args, 2).i64, 42);
    args[1] = sfi_cel_string("x", 1);
    struct sfi_cel_value result = sfi_cel_dispatch(&frame, overloads, count, args, 2);
    assert_int_equal(result.kind, SFI_CEL_ERROR);
    assert_int_equal(result.error->code, SFI_CEL_NO_OVERLOAD);
    assert_int_equal(sfi_cel_dispatch(&frame, overloads, count, args, 1).error->code,
                     SFI_CEL_NO_OVERLOAD);
    assert_int_equal(sfi_cel_dispatch(&frame, overloads, count, args, 3).error->code,
                     SFI_CEL_NO_OVERLOAD);
    assert_int_equal(sfi_cel_dispatch(&frame, NULL, 0, args, 0).error->code, SFI_CEL_NO_OVERLOAD);
    args[1] = sfi_cel_fail(&frame, SFI_CEL_NOT_FOUND, "first");
    args[2] = sfi_cel_fail(&frame, SFI_CEL_OUT_OF_RANGE, "second");
    assert_ptr_equal(sfi_cel_dispatch(&frame, overloads, count, args, 3).error, args[1].error);
    sfi_cel_arena_clear(&frame.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_prints),        cmocka_unit_test(different_types_differ),
        cmocka_unit_test(refuses_what_is_no_type),  cmocka_unit_test(bounds_nesting_and_length),
        cmocka_unit_test(fails_without_memory),     cmocka_unit_test(finds_every_overload),
        cmocka_unit_test(knows_no_other_functions), cmocka_unit_test(dispatches_by_kind),
    };
    return cmocka_run_group_tests_name("cel_type", tests, NULL, NULL);
}
