/*
 * cel_value_sample.h - values and frames for tests of src/cel, and calls of library functions by
 * name, without parser and evaluator. Include after cmocka.
 */
#ifndef CEL_VALUE_SAMPLE_H
#define CEL_VALUE_SAMPLE_H

#include "base/limits.h"
#include "cel/function.h"
#include "cel/library.h"
#include "cel/time.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct sfi_cel_frame frame;

static inline int frame_open(void **state)
{
    (void)state;
    frame = (struct sfi_cel_frame){.steps_left = SFI_CEL_MAX_STEPS};
    sfi_cel_arena_init(&frame.arena, SFI_CEL_EVAL_BYTES);
    return 0;
}

static inline int frame_close(void **state)
{
    (void)state;
    sfi_cel_caches_free(&frame);
    sfi_cel_arena_clear(&frame.arena);
    return 0;
}

#define frame_test(test) cmocka_unit_test_setup_teardown(test, frame_open, frame_close)

static inline struct sfi_cel_value str(const char *text)
{
    return sfi_cel_string(text, (uint32_t)strlen(text));
}

static inline struct sfi_cel_value raw(const char *text, size_t size)
{
    return sfi_cel_bytes(text, (uint32_t)size);
}

static inline struct sfi_cel_value list_of(const struct sfi_cel_value *items, size_t count)
{
    struct sfi_cel_list *list = sfi_cel_list_new(&frame, count);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) {
        list->items[i] = items[i];
    }
    return sfi_cel_list_value(list);
}

static inline struct sfi_cel_value map_of(const struct sfi_cel_value *keys_and_values, size_t count)
{
    struct sfi_cel_entry *entries = sfi_cel_alloc_array(&frame.arena, count, sizeof *entries);
    assert_non_null(entries);
    for (size_t i = 0; i < count; i++) {
        entries[i].key = keys_and_values[2 * i];
        entries[i].value = keys_and_values[2 * i + 1];
    }
    return sfi_cel_map_make(&frame, entries, count);
}

/* The first overload of `name` that takes the arguments, as sfi_cel_dispatch() has it. */
static inline struct sfi_cel_value call(const struct sfi_cel_library *library, const char *name,
                                        const struct sfi_cel_value *args, size_t count)
{
    for (size_t i = 0; i < library->count; i++) {
        const struct sfi_cel_overload *overload = &library->overloads[i];
        bool takes = strcmp(overload->function, name) == 0;
        for (size_t a = 0; a < count && takes; a++) {
            takes = overload->args[a] != NULL && sfi_cel_value_fits(args[a], overload->args[a]);
        }
        if (takes && (count == SFI_CEL_ARGS_MAX || overload->args[count] == NULL)) {
            return overload->call(&frame, args);
        }
    }
    return sfi_cel_fail_overload(&frame, name, args, count);
}

#define CALL1(library, name, a) call(&sfi_cel_lib_##library, name, (struct sfi_cel_value[]){a}, 1)
#define CALL2(library, name, a, b) \
    call(&sfi_cel_lib_##library, name, (struct sfi_cel_value[]){a, b}, 2)

/* A value as text, an error as "CODE: message". Overwritten by the fourth call after. */
static inline const char *text_of(struct sfi_cel_value value)
{
    static char texts[4][1024];
    static unsigned next;
    char *text = texts[next++ % 4];
    if (sfi_cel_is_error(value)) {
        snprintf(text, sizeof texts[0], "%s: %s", sfi_cel_code_name(value.error->code),
                 value.error->text);
    } else {
        sfi_cel_value_text(value, text, sizeof texts[0]);
    }
    return text;
}

#define assert_value(value, text) assert_string_equal(text_of(value), text)

/* splitmix64: the same numbers in every run. */
static inline uint64_t next_random(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

#endif
