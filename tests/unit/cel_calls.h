/*
 * cel_calls.h - tables of calls of library functions, and what they give: with room, without steps
 * and without memory.
 */
#ifndef TESTS_UNIT_CEL_CALLS_H
#define TESTS_UNIT_CEL_CALLS_H

#include "base/limits.h"
#include "cel/function.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Values of tables. */
/* clang-format off */
#define S(literal) {SFI_CEL_STRING, sizeof(literal) - 1, {.text = (literal)}}
#define B(literal) {SFI_CEL_BYTES, sizeof(literal) - 1, {.text = (literal)}}
#define I(number)  {SFI_CEL_INT, 0, {.i64 = (number)}}
#define U(number)  {SFI_CEL_UINT, 0, {.u64 = (number)}}
#define D(number)  {SFI_CEL_DOUBLE, 0, {.f64 = (number)}}
#define YES        {SFI_CEL_BOOL, 0, {.u64 = 1}}
#define NO         {SFI_CEL_BOOL, 0, {.u64 = 0}}
#define NOTHING    {SFI_CEL_NULL, 0, {.u64 = 0}}
#define ERROR(code) {SFI_CEL_ERROR, 0, {.u64 = (code)}} /* expected only */
/* clang-format on */

#define CEL_ARENA (1u << 20)

struct cel_call {
    const char *function;
    struct sfi_cel_value expected;
    size_t count;
    struct sfi_cel_value args[SFI_CEL_ARGS_MAX];
};

static inline struct sfi_cel_frame cel_frame(void)
{
    struct sfi_cel_frame frame = {.steps_left = SFI_CEL_MAX_STEPS};
    sfi_cel_arena_init(&frame.arena, CEL_ARENA);
    return frame;
}

static inline void cel_frame_clear(struct sfi_cel_frame *frame)
{
    sfi_cel_caches_free(frame);
    sfi_cel_arena_clear(&frame->arena);
}

static inline struct sfi_cel_value cel_call(struct sfi_cel_frame *frame, const char *function,
                                            const struct sfi_cel_value *args, size_t count)
{
    const struct sfi_cel_overload *overloads[64];
    struct sfi_cel_name name = {function, (uint32_t)strlen(function)};
    size_t found = 0;
    const struct sfi_cel_overload *first = sfi_cel_find_function(name, &found, NULL);
    assert_true(first != NULL && found <= 64);
    for (size_t i = 0; i < found; i++) {
        overloads[i] = first + i;
    }
    return sfi_cel_dispatch(frame, overloads, found, args, count);
}

static inline bool cel_is_code(struct sfi_cel_value value, enum sfi_cel_code code)
{
    return sfi_cel_is_error(value) && value.error->code == code;
}

static inline bool cel_is_same(struct sfi_cel_value got, struct sfi_cel_value expected)
{
    if (expected.kind == SFI_CEL_ERROR) {
        return cel_is_code(got, (enum sfi_cel_code)expected.u64);
    }
    if (got.kind != expected.kind) {
        return false;
    }
    if (got.kind == SFI_CEL_DOUBLE) { /* by bits: the sign of zero counts, too */
        return got.u64 == expected.u64 || (isnan(got.f64) && isnan(expected.f64));
    }
    return sfi_cel_equal(got, expected);
}

static inline void cel_describe(struct sfi_cel_value value, char *out, size_t size)
{
    if (sfi_cel_is_error(value)) {
        snprintf(out, size, "%s: %s", sfi_cel_code_name(value.error->code), value.error->text);
    } else {
        sfi_cel_value_text(value, out, size);
    }
}

/* With fewer steps or less memory a call gives the same, or says that they do not suffice. */
static inline void cel_starve(const struct cel_call *call)
{
    for (int64_t steps = 0; steps < 24; steps += 1 + steps / 4) {
        struct sfi_cel_frame frame = cel_frame();
        frame.steps_left = steps;
        struct sfi_cel_value got = cel_call(&frame, call->function, call->args, call->count);
        assert_true(cel_is_same(got, call->expected) || cel_is_code(got, SFI_CEL_OVER_LIMIT));
        cel_frame_clear(&frame);
    }
    for (size_t limit = 0; limit < 8192; limit = limit * 2 + 64) {
        struct sfi_cel_frame frame = cel_frame();
        frame.arena.limit = limit;
        struct sfi_cel_value got = cel_call(&frame, call->function, call->args, call->count);
        assert_true(cel_is_same(got, call->expected) || cel_is_code(got, SFI_CEL_OVER_LIMIT));
        cel_frame_clear(&frame);
    }
}

static inline void cel_check(const struct cel_call *call)
{
    struct sfi_cel_frame frame = cel_frame();
    struct sfi_cel_value args[SFI_CEL_ARGS_MAX];
    char *copies[SFI_CEL_ARGS_MAX] = {NULL};
    memcpy(args, call->args, sizeof args);
    for (size_t i = 0; i < call->count; i++) { /* blocks of their own: ASan sees the ends */
        if (args[i].kind == SFI_CEL_STRING || args[i].kind == SFI_CEL_BYTES) {
            copies[i] = malloc(args[i].size + 1);
            assert_non_null(copies[i]);
            memcpy(copies[i] + 1, args[i].text, args[i].size);
            args[i].text = copies[i] + 1;
        }
    }
    struct sfi_cel_value got = cel_call(&frame, call->function, args, call->count);
    if (!cel_is_same(got, call->expected)) {
        char text[512];
        char first[128];
        cel_describe(got, text, sizeof text);
        sfi_cel_value_text(call->args[0], first, sizeof first);
        fail_msg("%s(%s, ..) gives %s", call->function, first, text);
    }
    for (size_t i = 0; i < call->count; i++) {
        free(copies[i]);
    }
    cel_frame_clear(&frame);
    cel_starve(call);
}

static inline void cel_check_all(const struct cel_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cel_check(&calls[i]);
    }
}

static inline struct sfi_cel_value cel_list(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *items, size_t count)
{
    struct sfi_cel_list *list = sfi_cel_list_new(frame, count);
    assert_non_null(list);
    if (count > 0) {
        memcpy(list->items, items, count * sizeof *items);
    }
    return sfi_cel_list_value(list);
}

static inline struct sfi_cel_value cel_text(const char *text)
{
    return sfi_cel_string(text, (uint32_t)strlen(text));
}

#endif
