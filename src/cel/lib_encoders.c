/*
 * lib_encoders.c - base64.encode(bytes) and base64.decode(string) of CEL's encoders extension:
 * RFC 4648's standard alphabet; padding is written, and may be missing when read.
 */
#include "cel/function.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct sfi_cel_value encode(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    const unsigned char *in = (const unsigned char *)args[0].text;
    size_t size = args[0].size;
    size_t out_size = (size + 2) / 3 * 4;
    if (!sfi_cel_charge(frame, size + out_size)) {
        return sfi_cel_fail_steps();
    }
    char *out = out_size > UINT32_MAX ? NULL : sfi_cel_alloc(&frame->arena, out_size);
    if (out == NULL) {
        return sfi_cel_fail_memory();
    }
    char *at = out;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (left > 2 ? in[i + 2] : 0u);
        *at++ = alphabet[bits >> 18];
        *at++ = alphabet[bits >> 12 & 63u];
        *at++ = '=';
        *at++ = '=';
        at[-2] = left > 1 ? alphabet[bits >> 6 & 63u] : '=';
        at[-1] = left > 2 ? alphabet[bits & 63u] : '=';
    }
    return sfi_cel_string(out, (uint32_t)out_size);
}

/* 0 .. 63; 64: not of the alphabet. */
static uint32_t digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Size without padding; padding must fill up to a multiple of four. */
static size_t content_size(struct sfi_cel_value text)
{
    size_t size = text.size;
    if (size % 4 == 0) {
        for (int i = 0; i < 2 && size > 0 && text.text[size - 1] == '='; i++) {
            size--;
        }
    }
    return size;
}

/* Bytes of `size` digits; false: other characters, or digits that make no whole byte. */
static bool decode_into(const char *text, size_t size, char *out)
{
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t digit = digit_of(text[i]);
        if (digit == 64) {
            return false;
        }
        bits = bits << 6 | digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            *out++ = (char)(bits >> count & 0xFFu);
        }
    }
    return size % 4 != 1;
}

static struct sfi_cel_value decode(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    size_t size = content_size(args[0]);
    size_t out_size = size / 4 * 3 + size % 4 * 3 / 4;
    if (!sfi_cel_charge(frame, size + out_size)) {
        return sfi_cel_fail_steps();
    }
    char *out = sfi_cel_alloc(&frame->arena, out_size + 1);
    if (out == NULL) {
        return sfi_cel_fail_memory();
    }
    if (!decode_into(args[0].text, size, out)) {
        return sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT,
                            "'%.*s' is no base64 text (RFC 4648, section 4)",
                            args[0].size > 80 ? 80 : (int)args[0].size, args[0].text);
    }
    return sfi_cel_bytes(out, (uint32_t)out_size);
}

static const struct sfi_cel_overload overloads[] = {
    {"base64.encode", 0, &sfi_cel_type_string, {&sfi_cel_type_bytes}, encode},
    {"base64.decode", 0, &sfi_cel_type_bytes, {&sfi_cel_type_string}, decode},
};

const struct sfi_cel_library sfi_cel_lib_encoders = {overloads,
                                                     sizeof overloads / sizeof overloads[0], true};
