/*
 * test_cel_math.c - lib_math.c: kinds of results, borders of the number types, shifts, lists.
 */
#include "cel_calls.h"

static const struct cel_call calls[] = {
    {"math.@max", I(-5), 1, {I(-5)}},
    {"math.@max", I(7), 2, {I(7), I(-7)}},
    {"math.@max", I(1), 2, {I(1), D(1.0)}}, /* equal: the first */
    {"math.@max", D(1.0), 2, {D(1.0), I(1)}},
    {"math.@max", U(UINT64_MAX), 2, {I(INT64_MAX), U(UINT64_MAX)}},
    {"math.@max", D(1e19), 2, {I(INT64_MAX), D(1e19)}},
    {"math.@max", I(3), 2, {I(3), D(NAN)}},
    {"math.@max", ERROR(SFI_CEL_NO_OVERLOAD), 2, {I(3), S("4")}},
    {"math.@min", I(-7), 2, {I(7), I(-7)}},
    {"math.@min", I(-1), 2, {U(0), I(-1)}},
    {"math.@min", D(-0.5), 2, {D(-0.5), U(0)}},
    {"math.ceil", D(-1.0), 1, {D(-1.2)}},
    {"math.floor", D(-2.0), 1, {D(-1.2)}},
    {"math.round", D(-2.0), 1, {D(-1.5)}},
    {"math.round", D(3.0), 1, {D(2.5)}},
    {"math.round", D(0.0), 1, {D(0.49999999999999994)}},
    {"math.round", D(NAN), 1, {D(NAN)}},
    {"math.trunc", D(-1.0), 1, {D(-1.9)}},
    {"math.ceil", ERROR(SFI_CEL_NO_OVERLOAD), 1, {I(1)}},
    {"math.abs", I(INT64_MAX), 1, {I(-INT64_MAX)}},
    {"math.abs", ERROR(SFI_CEL_OUT_OF_RANGE), 1, {I(INT64_MIN)}},
    {"math.abs", U(3), 1, {U(3)}},
    {"math.abs", D(0.0), 1, {D(-0.0)}},
    {"math.sign", I(-1), 1, {I(INT64_MIN)}},
    {"math.sign", I(0), 1, {I(0)}},
    {"math.sign", U(1), 1, {U(UINT64_MAX)}},
    {"math.sign", U(0), 1, {U(0)}},
    {"math.sign", D(-1.0), 1, {D(-INFINITY)}},
    {"math.sign", D(1.0), 1, {D(5e-324)}},
    {"math.sign", D(NAN), 1, {D(NAN)}},
    {"math.sqrt", D(3.0), 1, {I(9)}},
    {"math.sqrt", D(4294967296.0), 1, {U(UINT64_MAX)}},
    {"math.sqrt", D(1.5), 1, {D(2.25)}},
    {"math.sqrt", D(NAN), 1, {D(-1.0)}},
    {"math.isNaN", YES, 1, {D(NAN)}},
    {"math.isNaN", NO, 1, {D(INFINITY)}},
    {"math.isInf", YES, 1, {D(-INFINITY)}},
    {"math.isInf", NO, 1, {D(NAN)}},
    {"math.isFinite", YES, 1, {D(1e308)}},
    {"math.isFinite", NO, 1, {D(NAN)}},
    {"math.bitAnd", I(1), 2, {I(1), I(-1)}},
    {"math.bitAnd", U(1), 2, {U(3), U(1)}},
    {"math.bitAnd", ERROR(SFI_CEL_NO_OVERLOAD), 2, {U(3), I(1)}},
    {"math.bitOr", I(-2), 2, {I(4), I(-2)}},
    {"math.bitXor", U(2), 2, {U(1), U(3)}},
    {"math.bitNot", I(-2), 1, {I(1)}},
    {"math.bitNot", U(UINT64_MAX - 1), 1, {U(1)}},
    {"math.bitShiftLeft", I(INT64_MIN), 2, {I(1), I(63)}},
    {"math.bitShiftLeft", I(0), 2, {I(-1), I(64)}},
    {"math.bitShiftLeft", U(0), 2, {U(1), I(INT64_MAX)}},
    {"math.bitShiftLeft", ERROR(SFI_CEL_INVALID_ARGUMENT), 2, {U(1), I(-1)}},
    {"math.bitShiftRight", I(1), 2, {I(-1), I(63)}}, /* zeros come in */
    {"math.bitShiftRight", I(INT64_C(2305843009213693824)), 2, {I(-1024), I(3)}},
    {"math.bitShiftRight", U(0), 2, {U(UINT64_MAX), I(64)}},
    {"math.bitShiftRight", ERROR(SFI_CEL_INVALID_ARGUMENT), 2, {I(1), I(INT64_MIN)}},
};

static void test_numbers(void **state)
{
    (void)state;
    cel_check_all(calls, sizeof calls / sizeof calls[0]);
}

static void check_list(const struct sfi_cel_value *items, size_t count, struct sfi_cel_value max,
                       struct sfi_cel_value min)
{
    struct sfi_cel_frame frame = cel_frame();
    struct sfi_cel_value list = cel_list(&frame, items, count);
    assert_true(cel_is_same(cel_call(&frame, "math.@max", &list, 1), max));
    assert_true(cel_is_same(cel_call(&frame, "math.@min", &list, 1), min));
    frame.steps_left = 0;
    assert_true(cel_is_code(cel_call(&frame, "math.@max", &list, 1), SFI_CEL_OVER_LIMIT));
    cel_frame_clear(&frame);
}

static void test_lists(void **state)
{
    (void)state;
    const struct sfi_cel_value mixed[] = {D(5.4), I(10), U(3), D(-5.0), D(3.5)};
    const struct sfi_cel_value texts[] = {I(1), S("2")};
    const struct sfi_cel_value ten = I(10);
    const struct sfi_cel_value five = D(-5.0);
    const struct sfi_cel_value empty = ERROR(SFI_CEL_INVALID_ARGUMENT);
    const struct sfi_cel_value wrong = ERROR(SFI_CEL_NO_OVERLOAD);
    check_list(mixed, 5, ten, five);
    check_list(mixed + 1, 1, ten, ten);
    check_list(mixed, 0, empty, empty);
    check_list(texts, 2, wrong, wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
