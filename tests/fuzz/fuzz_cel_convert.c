/*
 * fuzz_cel_convert.c - any bytes as the text of a timestamp, duration, number or bool.
 *
 * Invariant: the conversion fails with an error of its own, or gives a value whose text converts
 * back to the same value; the value as a CEL literal is UTF-8 however it is cut; code points are
 * no more than bytes.
 */
#include "base/limits.h"
#include "cel/function.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* The conversion from STRING, or the one to STRING from `kind`. */
static struct sfi_cel_value convert(struct sfi_cel_frame *frame, const char *function,
                                    struct sfi_cel_value value)
{
    for (size_t i = 0; i < sfi_cel_lib_convert.count; i++) {
        const struct sfi_cel_overload *overload = &sfi_cel_lib_convert.overloads[i];
        if (strcmp(overload->function, function) == 0 &&
            sfi_cel_value_fits(value, overload->args[0])) {
            return overload->call(frame, &value);
        }
    }
    abort();
}

static void check_text(struct sfi_cel_value value)
{
    char text[48];
    for (size_t size = 1; size <= sizeof text; size += 7) {
        sfi_cel_value_text(value, text, size);
        require(strlen(text) < size && sfi_cel_utf8_valid(text, strlen(text)));
    }
}

static void check(struct sfi_cel_frame *frame, const char *function, struct sfi_cel_value text)
{
    struct sfi_cel_value value = convert(frame, function, text);
    if (sfi_cel_is_error(value)) {
        require(value.error->code == SFI_CEL_INVALID_ARGUMENT ||
                value.error->code == SFI_CEL_OUT_OF_RANGE);
        require(sfi_cel_utf8_valid(value.error->text, strlen(value.error->text)));
        return;
    }
    check_text(value);
    struct sfi_cel_value again = convert(frame, function, convert(frame, "string", value));
    bool is_nan = value.kind == SFI_CEL_DOUBLE && value.f64 != value.f64;
    require(is_nan ? again.f64 != again.f64 : sfi_cel_equal(again, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const functions[] = {"timestamp", "duration", "double",
                                            "int",       "uint",     "bool"};
    struct sfi_cel_frame frame = {.steps_left = SFI_CEL_MAX_STEPS};
    if (size > 65536) {
        return 0;
    }
    sfi_cel_arena_init(&frame.arena, SFI_CEL_EVAL_BYTES);
    /* Exactly as long as it is: the sanitizer sees a byte too much. */
    char *exact = malloc(size + (size == 0));
    require(exact != NULL);
    memcpy(exact, size > 0 ? (const void *)data : "", size);
    struct sfi_cel_value text = sfi_cel_string(exact, (uint32_t)size);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        check(&frame, functions[i], text);
    }
    check_text(text);
    check_text(sfi_cel_bytes(exact, (uint32_t)size));
    size_t count = sfi_cel_utf8_count(exact, size);
    require(count <= size && (size == 0 || count > 0));
    free(exact);
    sfi_cel_arena_clear(&frame.arena);
    return 0;
}
