/*
 * test_cel_optional.c - lib_optional.c: what is a zero value, reading optionals, e[?i] of lists,
 * maps and optionals, lists of optionals.
 */
#include "cel_calls.h"

static struct sfi_cel_value of(struct sfi_cel_frame *frame, struct sfi_cel_value value)
{
    return cel_call(frame, "optional.of", &value, 1);
}

static void test_zero_values(void **state)
{
    static const struct sfi_cel_value zeros[] = {NOTHING,
                                                 NO,
                                                 I(0),
                                                 U(0),
                                                 D(0.0),
                                                 D(-0.0),
                                                 S(""),
                                                 B(""),
                                                 {SFI_CEL_TIMESTAMP, 0, {.i64 = 0}},
                                                 {SFI_CEL_DURATION, 0, {.i64 = 0}}};
    static const struct sfi_cel_value others[] = {YES,
                                                  I(-1),
                                                  U(1),
                                                  D(NAN),
                                                  D(5e-324),
                                                  S("\0"),
                                                  B("\0"),
                                                  {SFI_CEL_TIMESTAMP, 1, {.i64 = 0}},
                                                  {SFI_CEL_DURATION, 0, {.i64 = -1}}};
    struct sfi_cel_frame frame = cel_frame();
    (void)state;
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
        assert_null(cel_call(&frame, "optional.ofNonZeroValue", &zeros[i], 1).optional);
        assert_non_null(of(&frame, zeros[i]).optional);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_non_null(cel_call(&frame, "optional.ofNonZeroValue", &others[i], 1).optional);
    }
    struct sfi_cel_value list = cel_list(&frame, others, 0);
    assert_null(cel_call(&frame, "optional.ofNonZeroValue", &list, 1).optional);
    list = cel_list(&frame, zeros, 1);
    assert_non_null(cel_call(&frame, "optional.ofNonZeroValue", &list, 1).optional);
    struct sfi_cel_value map = sfi_cel_map_make(&frame, NULL, 0);
    assert_null(cel_call(&frame, "optional.ofNonZeroValue", &map, 1).optional);
    cel_frame_clear(&frame);
}

static void test_reading(void **state)
{
    struct sfi_cel_frame frame = cel_frame();
    (void)state;
    struct sfi_cel_value none = cel_call(&frame, "optional.none", NULL, 0);
    struct sfi_cel_value full = of(&frame, sfi_cel_int(42));
    assert_int_equal(none.kind, SFI_CEL_OPTIONAL);
    assert_false(cel_call(&frame, "hasValue", &none, 1).boolean);
    assert_true(cel_call(&frame, "hasValue", &full, 1).boolean);
    assert_int_equal(cel_call(&frame, "value", &full, 1).i64, 42);
    assert_true(cel_is_code(cel_call(&frame, "value", &none, 1), SFI_CEL_NOT_FOUND));
    const struct sfi_cel_value pairs[][2] = {{none, full}, {full, none}, {none, none}};
    assert_true(sfi_cel_equal(cel_call(&frame, "or", pairs[0], 2), full));
    assert_true(sfi_cel_equal(cel_call(&frame, "or", pairs[1], 2), full));
    assert_true(sfi_cel_equal(cel_call(&frame, "or", pairs[2], 2), none));
    const struct sfi_cel_value values[][2] = {{none, I(1)}, {full, I(1)}};
    assert_int_equal(cel_call(&frame, "orValue", values[0], 2).i64, 1);
    assert_int_equal(cel_call(&frame, "orValue", values[1], 2).i64, 42);
    cel_frame_clear(&frame);
}

/* The element found, an error, or none (kind NULL). */
static struct sfi_cel_value look_up(struct sfi_cel_frame *frame, struct sfi_cel_value container,
                                    struct sfi_cel_value key)
{
    const struct sfi_cel_value args[] = {container, key};
    struct sfi_cel_value got = cel_call(frame, "_[?_]", args, 2);
    if (sfi_cel_is_error(got)) {
        return got;
    }
    assert_int_equal(got.kind, SFI_CEL_OPTIONAL);
    return got.optional == NULL ? sfi_cel_null() : *got.optional;
}

static void test_elements(void **state)
{
    static const struct sfi_cel_value items[] = {S("foo"), S("bar")};
    static const struct sfi_cel_entry entries[] = {{YES, I(1)}, {I(2), I(2)}, {U(5), I(3)}};
    struct sfi_cel_frame frame = cel_frame();
    (void)state;
    struct sfi_cel_value list = cel_list(&frame, items, 2);
    struct sfi_cel_value map = sfi_cel_map_make(&frame, entries, 3);
    const struct {
        struct sfi_cel_value container;
        struct sfi_cel_value key;
        struct sfi_cel_value expected; /* kind NULL: none */
    } rows[] = {
        {list, I(0), S("foo")},
        {list, I(1), S("bar")},
        {list, I(2), NOTHING},
        {list, I(-1), NOTHING},
        {list, I(INT64_MIN), NOTHING},
        {list, U(1), S("bar")},
        {list, D(1.0), S("bar")},
        {map, YES, I(1)},
        {map, NO, NOTHING},
        {map, U(2), I(2)},
        {map, I(5), I(3)},
        {map, D(5.0), I(3)},
        {map, S("x"), NOTHING},
        {of(&frame, list), I(0), S("foo")},
        {of(&frame, list), I(9), NOTHING},
        {of(&frame, map), I(2), I(2)},
        {sfi_cel_optional_none(), I(0), NOTHING},
        {of(&frame, sfi_cel_int(3)), I(0), ERROR(SFI_CEL_NO_OVERLOAD)},
        {sfi_cel_int(3), I(0), ERROR(SFI_CEL_NO_OVERLOAD)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!cel_is_same(look_up(&frame, rows[i].container, rows[i].key), rows[i].expected)) {
            fail_msg("row %zu", i);
        }
    }
    cel_frame_clear(&frame);
}

static void test_lists(void **state)
{
    struct sfi_cel_frame frame = cel_frame();
    (void)state;
    const struct sfi_cel_value items[] = {of(&frame, sfi_cel_int(1)), sfi_cel_optional_none(),
                                          of(&frame, sfi_cel_int(3)), I(4)};
    struct sfi_cel_value list = cel_list(&frame, items, 3);
    struct sfi_cel_value got = cel_call(&frame, "optional.unwrap", &list, 1);
    assert_int_equal(got.list->count, 2);
    assert_int_equal(got.list->items[1].i64, 3);
    assert_true(sfi_cel_equal(got, cel_call(&frame, "unwrapOpt", &list, 1)));
    assert_true(sfi_cel_equal(*cel_call(&frame, "first", &list, 1).optional, items[0]));
    assert_true(sfi_cel_equal(*cel_call(&frame, "last", &list, 1).optional, items[2]));
    struct sfi_cel_value wrong = cel_list(&frame, items, 4);
    assert_true(cel_is_code(cel_call(&frame, "unwrapOpt", &wrong, 1), SFI_CEL_NO_OVERLOAD));
    struct sfi_cel_value empty = cel_list(&frame, items, 0);
    assert_null(cel_call(&frame, "first", &empty, 1).optional);
    assert_null(cel_call(&frame, "last", &empty, 1).optional);
    assert_int_equal(cel_call(&frame, "optional.unwrap", &empty, 1).list->count, 0);
    frame.steps_left = 0;
    assert_true(cel_is_code(cel_call(&frame, "optional.unwrap", &list, 1), SFI_CEL_OVER_LIMIT));
    cel_frame_clear(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_values),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
