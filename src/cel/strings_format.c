/*
 * strings_format.c - "text".format(list) of the strings extension: clauses %s %d %f %e %b %o %x %X
 * with a precision for %f and %e, as cel-go documents them. The text of %s is strings_value.c.
 */
#include "base/limits.h"
#include "cel/text.h"

#include <math.h>
#include <stdio.h>

/* Sign, 309 digits, point, precision, exponent. */
#define NUMBER_TEXT       (SFI_CEL_PRECISION_MAX + 400u)
#define PRECISION_DEFAULT 6
/* Work of printing a double at worst (10 us), as bytes. */
#define DOUBLE_COST (300u * 16u)

struct clause {
    char verb;
    int precision;
};

static bool fail_kind(struct sfi_cel_builder *out, const char *clause, const char *wanted,
                      struct sfi_cel_value given)
{
    char name[SFI_CEL_TYPE_TEXT];
    sfi_cel_type_text(sfi_cel_type_of(given), name);
    return sfi_cel_builder_fail(out, sfi_cel_fail(out->frame, SFI_CEL_INVALID_ARGUMENT,
                                                  "format: %s can only be used on %s, was given "
                                                  "%.80s",
                                                  clause, wanted, name));
}

/* Digits of a number in a base that is a power of two. */
static bool add_bits(struct sfi_cel_builder *out, bool is_negative, uint64_t number, unsigned shift,
                     const char *digits)
{
    char text[72];
    char *at = text + sizeof text;
    do {
        *--at = digits[number & ((1u << shift) - 1)];
        number >>= shift;
    } while (number != 0);
    if (is_negative) {
        *--at = '-';
    }
    return sfi_cel_builder_add(out, at, (size_t)(text + sizeof text - at));
}

static bool add_integer(struct sfi_cel_builder *out, struct sfi_cel_value value, unsigned shift,
                        const char *digits)
{
    bool is_negative = value.kind == SFI_CEL_INT && value.i64 < 0;
    return add_bits(out, is_negative, is_negative ? 0 - value.u64 : value.u64, shift, digits);
}

static bool is_integer(struct sfi_cel_value value)
{
    return value.kind == SFI_CEL_INT || value.kind == SFI_CEL_UINT;
}

static bool add_hex(struct sfi_cel_builder *out, struct sfi_cel_value value, bool is_upper)
{
    const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
    if (is_integer(value)) {
        return add_integer(out, value, 4, digits);
    }
    if (value.kind != SFI_CEL_STRING && value.kind != SFI_CEL_BYTES) {
        return fail_kind(out, "%x", "integers, strings and bytes", value);
    }
    for (uint32_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.text[i];
        char pair[2] = {digits[byte >> 4], digits[byte & 15u]};
        if (!sfi_cel_builder_add(out, pair, 2)) {
            return false;
        }
    }
    return true;
}

static bool add_special(struct sfi_cel_builder *out, double number)
{
    if (isnan(number)) {
        return sfi_cel_builder_add(out, "NaN", 3);
    }
    return number > 0 ? sfi_cel_builder_add(out, "Infinity", 8)
                      : sfi_cel_builder_add(out, "-Infinity", 9);
}

/* printf with a decimal point whatever the locale's is. */
static bool add_double(struct sfi_cel_builder *out, double number, struct clause clause)
{
    char text[NUMBER_TEXT];
    size_t size = 0;
    if (!isfinite(number)) {
        return add_special(out, number);
    }
    if (!sfi_cel_charge(out->frame, DOUBLE_COST)) {
        return sfi_cel_builder_fail(out, sfi_cel_fail_steps());
    }
    int length = clause.verb == 'f' ? snprintf(text, sizeof text, "%.*f", clause.precision, number)
                                    : snprintf(text, sizeof text, "%.*e", clause.precision, number);
    bool has_point = false;
    for (int i = 0; i < length; i++) {
        char c = text[i];
        if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e') {
            text[size++] = c;
        } else if (!has_point) {
            has_point = true;
            text[size++] = '.';
        }
    }
    return sfi_cel_builder_add(out, text, size);
}

static bool add_float(struct sfi_cel_builder *out, struct sfi_cel_value value, struct clause clause)
{
    switch (value.kind) {
    case SFI_CEL_DOUBLE:
        return add_double(out, value.f64, clause);
    case SFI_CEL_INT:
        return add_double(out, (double)value.i64, clause);
    case SFI_CEL_UINT:
        return add_double(out, (double)value.u64, clause);
    default:
        return fail_kind(out, clause.verb == 'f' ? "%f" : "%e", "numbers", value);
    }
}

static bool add_decimal(struct sfi_cel_builder *out, struct sfi_cel_value value)
{
    if (value.kind == SFI_CEL_DOUBLE && !isfinite(value.f64)) {
        return add_special(out, value.f64);
    }
    return is_integer(value) ? sfi_cel_builder_add_value(out, value)
                             : fail_kind(out, "%d", "integers", value);
}

static bool add_clause(struct sfi_cel_builder *out, struct sfi_cel_value value,
                       struct clause clause)
{
    switch (clause.verb) {
    case 's':
        return sfi_cel_builder_add_value(out, value);
    case 'd':
        return add_decimal(out, value);
    case 'f':
    case 'e':
        return add_float(out, value, clause);
    case 'b':
        if (value.kind == SFI_CEL_BOOL) {
            return sfi_cel_builder_add(out, value.boolean ? "1" : "0", 1);
        }
        return is_integer(value) ? add_integer(out, value, 1, "01")
                                 : fail_kind(out, "%b", "integers and bools", value);
    case 'o':
        return is_integer(value) ? add_integer(out, value, 3, "01234567")
                                 : fail_kind(out, "%o", "integers", value);
    default:
        return add_hex(out, value, clause.verb == 'X');
    }
}

static bool fail_clause(struct sfi_cel_builder *out, const char *what, const char *at,
                        const char *end)
{
    size_t size = end - at > 16 ? 16 : (size_t)(end - at);
    return sfi_cel_builder_fail(out, sfi_cel_fail(out->frame, SFI_CEL_INVALID_ARGUMENT,
                                                  "format: %s at '%.*s' (clauses: %%s %%d %%f %%e "
                                                  "%%b %%o %%x %%X %%%%)",
                                                  what, (int)size, at));
}

/* "[.precision]verb" behind a percent sign at *at. */
static bool take_clause(struct sfi_cel_builder *out, const char **at, const char *end,
                        struct clause *clause)
{
    const char *start = *at;
    *clause = (struct clause){'\0', PRECISION_DEFAULT};
    if (*at < end && **at == '.') {
        const char *digits = ++*at;
        clause->precision = 0;
        for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
            clause->precision = clause->precision * 10 + (**at - '0');
            if (clause->precision > (int)SFI_CEL_PRECISION_MAX) {
                return fail_clause(out, "precision above 1000", start, end);
            }
        }
        if (*at == digits) {
            return fail_clause(out, "precision without digits", start, end);
        }
    }
    if (*at == end || **at == '\0' || strchr("sdfeboxX", **at) == NULL) {
        return fail_clause(out, "unrecognized formatting clause", start, end);
    }
    clause->verb = *(*at)++;
    return true;
}

struct sfi_cel_value sfi_cel_strings_format(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    struct sfi_cel_builder out = sfi_cel_builder_of(frame);
    const struct sfi_cel_list *list = args[1].list;
    const char *at = args[0].text;
    const char *end = at + args[0].size;
    uint32_t used = 0;
    while (at < end && !out.failed) {
        const char *percent = memchr(at, '%', (size_t)(end - at));
        const char *literal_end = percent == NULL ? end : percent;
        sfi_cel_builder_add(&out, at, (size_t)(literal_end - at));
        if (percent == NULL) {
            break;
        }
        at = percent + 1;
        struct clause clause;
        if (at < end && *at == '%') {
            sfi_cel_builder_add(&out, at++, 1);
        } else if (out.failed || !take_clause(&out, &at, end, &clause)) {
            break;
        } else if (used == list->count) {
            return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE,
                                "format: index %u out of range: the list has no such argument",
                                used);
        } else {
            add_clause(&out, list->items[used++], clause);
        }
    }
    return sfi_cel_builder_value(&out);
}
