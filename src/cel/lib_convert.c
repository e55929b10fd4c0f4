/*
 * lib_convert.c - conversions between types: int() uint() double() bool() string() bytes()
 * timestamp() duration() dyn() type() (cel-spec, langdef.md; what texts they take is as in the
 * original's engine, see docs/cel.md). Texts of times and addresses belong to lib_time.c and
 * lib_network.c.
 */
#include "cel/function.h"
#include "cel/library.h"
#include "cel/time.h"

#include <inttypes.h>

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static struct sfi_cel_value same(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return args[0];
}

/* What the checker accepts but no value converts: int(duration), duration(int). */
static struct sfi_cel_value no_overload_int(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    return sfi_cel_fail_overload(frame, "int", args, 1);
}

static struct sfi_cel_value no_overload_duration(struct sfi_cel_frame *frame,
                                                 const struct sfi_cel_value *args)
{
    return sfi_cel_fail_overload(frame, "duration", args, 1);
}

static struct sfi_cel_value out_of_range(struct sfi_cel_frame *frame, struct sfi_cel_value value,
                                         const char *type)
{
    char text[64];
    sfi_cel_value_text(value, text, sizeof text);
    return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "%s is out of the range of %s", text, type);
}

static struct sfi_cel_value cannot_convert(struct sfi_cel_frame *frame, struct sfi_cel_value value,
                                           const char *type)
{
    char text[64];
    sfi_cel_value_text(value, text, sizeof text);
    return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "cannot convert string to %s: %s", type,
                        text);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* [space] [+-] digits [space]; `*negative` is the sign. false: not that, or above 2^64 - 1. */
static bool parse_integer(struct sfi_cel_value value, bool *negative, uint64_t *magnitude)
{
    const char *at = value.text;
    const char *end = at + value.size;
    while (at < end && is_space(*at)) {
        at++;
    }
    while (at < end && is_space(end[-1])) {
        end--;
    }
    *negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    uint64_t sum = 0;
    if (at == end) {
        return false;
    }
    for (; at < end; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
            __builtin_add_overflow(sum, digit, &sum)) {
            return false;
        }
    }
    *magnitude = sum;
    return true;
}

static struct sfi_cel_value int_of_uint(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return args[0].u64 > INT64_MAX ? out_of_range(frame, args[0], "int") : sfi_cel_int(args[0].i64);
}

static struct sfi_cel_value int_of_double(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    double d = args[0].f64;
    return d > -TWO_63 && d < TWO_63 ? sfi_cel_int((int64_t)d)
                                     : out_of_range(frame, args[0], "int");
}

static struct sfi_cel_value int_of_string(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    bool negative;
    uint64_t magnitude;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    if (!parse_integer(args[0], &negative, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + negative) {
        return cannot_convert(frame, args[0], "int");
    }
    return sfi_cel_int((int64_t)(negative ? 0 - magnitude : magnitude));
}

/* Nanos are never negative: this rounds down. */
static struct sfi_cel_value int_of_timestamp(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].i64);
}

static struct sfi_cel_value uint_of_int(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    return args[0].i64 < 0 ? out_of_range(frame, args[0], "uint") : sfi_cel_uint(args[0].u64);
}

static struct sfi_cel_value uint_of_double(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    double d = args[0].f64;
    return d >= 0 && d < TWO_64 ? sfi_cel_uint((uint64_t)d) : out_of_range(frame, args[0], "uint");
}

static struct sfi_cel_value uint_of_string(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    bool negative;
    uint64_t magnitude;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    if (!parse_integer(args[0], &negative, &magnitude) || negative) {
        return cannot_convert(frame, args[0], "uint");
    }
    return sfi_cel_uint(magnitude);
}

static struct sfi_cel_value double_of_int(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double((double)args[0].i64);
}

static struct sfi_cel_value double_of_uint(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_double((double)args[0].u64);
}

static struct sfi_cel_value double_of_string(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    double number;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_parse_double(args[0].text, args[0].size, &number)
               ? sfi_cel_double(number)
               : cannot_convert(frame, args[0], "double");
}

static struct sfi_cel_value bool_of_string(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    static const char *const texts[2][5] = {{"false", "False", "FALSE", "f", "0"},
                                            {"true", "True", "TRUE", "t", "1"}};
    for (unsigned i = 0; i < 10; i++) {
        if (sfi_cel_is_text(args[0], texts[i % 2][i / 2])) {
            return sfi_cel_bool(i % 2 == 1);
        }
    }
    return cannot_convert(frame, args[0], "bool");
}

static struct sfi_cel_value string_of_bool(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    (void)frame;
    return args[0].boolean ? sfi_cel_string("true", 4) : sfi_cel_string("false", 5);
}

static struct sfi_cel_value string_of_int(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    char text[24];
    size_t size = sfi_cel_format_int(args[0].i64, text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value string_of_uint(struct sfi_cel_frame *frame,
                                           const struct sfi_cel_value *args)
{
    char text[24];
    size_t size = sfi_cel_format_uint(args[0].u64, text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value string_of_double(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    char text[32];
    size_t size = sfi_cel_format_double(args[0].f64, text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value string_of_bytes(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    if (!sfi_cel_utf8_valid(args[0].text, args[0].size)) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "malformed UTF-8 bytes");
    }
    return sfi_cel_string(args[0].text, args[0].size);
}

static struct sfi_cel_value string_of_timestamp(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_value *args)
{
    char text[SFI_CEL_TIME_TEXT];
    size_t size = sfi_cel_timestamp_format(args[0], text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value string_of_duration(struct sfi_cel_frame *frame,
                                               const struct sfi_cel_value *args)
{
    char text[SFI_CEL_TIME_TEXT];
    size_t size = sfi_cel_duration_format(args[0], text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value string_of_network(struct sfi_cel_frame *frame,
                                              const struct sfi_cel_value *args)
{
    char text[SFI_CEL_NETWORK_TEXT];
    size_t size = sfi_cel_network_format(args[0], text);
    return sfi_cel_copy_text(frame, SFI_CEL_STRING, text, size);
}

static struct sfi_cel_value bytes_of_string(struct sfi_cel_frame *frame,
                                            const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bytes(args[0].text, args[0].size);
}

static struct sfi_cel_value timestamp_of_string(struct sfi_cel_frame *frame,
                                                const struct sfi_cel_value *args)
{
    return sfi_cel_timestamp_parse(frame, args[0].text, args[0].size);
}

static struct sfi_cel_value timestamp_of_int(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    if (args[0].i64 < SFI_CEL_SECONDS_MIN || args[0].i64 > SFI_CEL_SECONDS_MAX) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "timestamp overflow: %" PRId64 " s",
                            args[0].i64);
    }
    return sfi_cel_time(SFI_CEL_TIMESTAMP, args[0].i64, 0);
}

static struct sfi_cel_value duration_of_string(struct sfi_cel_frame *frame,
                                               const struct sfi_cel_value *args)
{
    return sfi_cel_duration_parse(frame, args[0].text, args[0].size);
}

static struct sfi_cel_value type_of(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_type_value(sfi_cel_type_of(args[0]));
}

#define A         &sfi_cel_sig_a
#define BOOL      &sfi_cel_type_bool
#define INT       &sfi_cel_type_int
#define UINT      &sfi_cel_type_uint
#define DOUBLE    &sfi_cel_type_double
#define STRING    &sfi_cel_type_string
#define BYTES     &sfi_cel_type_bytes
#define TIMESTAMP &sfi_cel_type_timestamp
#define DURATION  &sfi_cel_type_duration

static const struct sfi_cel_overload overloads[] = {
    {"int", 0, INT, {INT}, same},
    {"int", 0, INT, {UINT}, int_of_uint},
    {"int", 0, INT, {DOUBLE}, int_of_double},
    {"int", 0, INT, {STRING}, int_of_string},
    {"int", 0, INT, {TIMESTAMP}, int_of_timestamp},
    {"int", 0, INT, {DURATION}, no_overload_int},
    {"uint", 0, UINT, {UINT}, same},
    {"uint", 0, UINT, {INT}, uint_of_int},
    {"uint", 0, UINT, {DOUBLE}, uint_of_double},
    {"uint", 0, UINT, {STRING}, uint_of_string},
    {"double", 0, DOUBLE, {DOUBLE}, same},
    {"double", 0, DOUBLE, {INT}, double_of_int},
    {"double", 0, DOUBLE, {UINT}, double_of_uint},
    {"double", 0, DOUBLE, {STRING}, double_of_string},
    {"bool", 0, BOOL, {BOOL}, same},
    {"bool", 0, BOOL, {STRING}, bool_of_string},
    {"string", 0, STRING, {STRING}, same},
    {"string", 0, STRING, {BOOL}, string_of_bool},
    {"string", 0, STRING, {INT}, string_of_int},
    {"string", 0, STRING, {UINT}, string_of_uint},
    {"string", 0, STRING, {DOUBLE}, string_of_double},
    {"string", 0, STRING, {BYTES}, string_of_bytes},
    {"string", 0, STRING, {TIMESTAMP}, string_of_timestamp},
    {"string", 0, STRING, {DURATION}, string_of_duration},
    {"string", 0, STRING, {&sfi_cel_type_ip}, string_of_network},
    {"string", 0, STRING, {&sfi_cel_type_cidr}, string_of_network},
    {"bytes", 0, BYTES, {BYTES}, same},
    {"bytes", 0, BYTES, {STRING}, bytes_of_string},
    {"timestamp", 0, TIMESTAMP, {TIMESTAMP}, same},
    {"timestamp", 0, TIMESTAMP, {STRING}, timestamp_of_string},
    {"timestamp", 0, TIMESTAMP, {INT}, timestamp_of_int},
    {"duration", 0, DURATION, {DURATION}, same},
    {"duration", 0, DURATION, {STRING}, duration_of_string},
    {"duration", 0, DURATION, {INT}, no_overload_duration},
    {"dyn", 0, &sfi_cel_type_dyn, {A}, same},
    {"type", 0, &sfi_cel_sig_type_a, {A}, type_of},
};

const struct sfi_cel_library sfi_cel_lib_convert = {overloads,
                                                    sizeof overloads / sizeof overloads[0], false};
