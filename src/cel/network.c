/*
 * network.c - text of IPv4 and IPv6 addresses and networks: read strictly (RFC 4291 2.2), written
 * canonically (RFC 5952). Functions on them: lib_network.c.
 */
#include "cel/network.h"

#include "cel/library.h"

#include <string.h>

#define GROUPS 8

struct text {
    const char *at;
    const char *end;
};

static bool accept(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c) {
        return false;
    }
    text->at++;
    return true;
}

/* 1 to 3 digits without leading zeros, at most `max`. */
static bool take_number(struct text *text, unsigned max, uint8_t *number)
{
    const char *start = text->at;
    unsigned value = 0;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9' && text->at - start < 3) {
        value = value * 10 + (unsigned)(*text->at++ - '0');
    }
    if (text->at == start || value > max || (*start == '0' && text->at - start > 1)) {
        return false;
    }
    *number = (uint8_t)value;
    return true;
}

static bool take_v4(struct text *text, uint8_t *address)
{
    for (int i = 0; i < 4; i++) {
        if ((i > 0 && !accept(text, '.')) || !take_number(text, 255, &address[i])) {
            return false;
        }
    }
    return text->at == text->end;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 1 to 4 hexadecimal digits. */
static bool take_group(struct text *text, uint8_t *out)
{
    const char *start = text->at;
    unsigned value = 0;
    while (text->at < text->end && hex_of(*text->at) >= 0 && text->at - start < 4) {
        value = value * 16 + (unsigned)hex_of(*text->at++);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return text->at > start;
}

/* Whether an IPv4 address comes next: a dot before the next colon. */
static bool is_dotted(const struct text *text)
{
    const char *at = text->at;
    while (at < text->end && *at != ':' && *at != '.') {
        at++;
    }
    return at < text->end && *at == '.';
}

struct v6 {
    uint8_t bytes[16];
    size_t used;
    size_t gap; /* where "::" stands; SIZE_MAX: nowhere */
    bool has_dots;
};

/* "::", or the colon between two groups. */
static bool take_colon(struct text *text, struct v6 *v6)
{
    if (!accept(text, ':')) {
        return false;
    }
    if (accept(text, ':')) {
        if (v6->gap != SIZE_MAX) {
            return false;
        }
        v6->gap = v6->used;
    } else if (v6->used == 0 || text->at == text->end) {
        return false; /* a single colon at either end */
    }
    return true;
}

static bool take_groups(struct text *text, struct v6 *v6)
{
    while (text->at < text->end) {
        if (v6->used == sizeof v6->bytes) {
            return false;
        }
        if (is_dotted(text)) {
            if (v6->used > sizeof v6->bytes - 4 || !take_v4(text, v6->bytes + v6->used)) {
                return false;
            }
            v6->used += 4;
            v6->has_dots = true;
            return true;
        }
        if (!take_group(text, v6->bytes + v6->used)) {
            return false;
        }
        v6->used += 2;
        if (text->at < text->end && !take_colon(text, v6)) {
            return false;
        }
    }
    return true;
}

static bool take_v6(struct text *text, struct v6 *v6)
{
    *v6 = (struct v6){.gap = SIZE_MAX};
    if (text->at < text->end && *text->at == ':' && !take_colon(text, v6)) {
        return false;
    }
    if (!take_groups(text, v6)) {
        return false;
    }
    if (v6->gap == SIZE_MAX) {
        return v6->used == sizeof v6->bytes;
    }
    if (v6->used == sizeof v6->bytes) {
        return false;
    }
    size_t behind = v6->used - v6->gap;
    memmove(v6->bytes + sizeof v6->bytes - behind, v6->bytes + v6->gap, behind);
    memset(v6->bytes + v6->gap, 0, sizeof v6->bytes - v6->used);
    return true;
}

static bool is_mapped(const uint8_t *bytes)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    return memcmp(bytes, prefix, sizeof prefix) == 0;
}

/* An address; a mapped one stays as it is, and `has_dots` tells how it was written. */
static enum sfi_cel_network_fault parse(const char *start, size_t size,
                                        struct sfi_cel_network *address, bool *has_dots)
{
    struct text text = {start, start + size};
    struct v6 v6;
    *address = (struct sfi_cel_network){.size = 4};
    *has_dots = false;
    if (memchr(start, '%', size) != NULL) {
        return SFI_CEL_NETWORK_ZONE;
    }
    if (memchr(start, ':', size) == NULL) {
        return take_v4(&text, address->address) ? SFI_CEL_NETWORK_OK : SFI_CEL_NETWORK_SYNTAX;
    }
    if (!take_v6(&text, &v6)) {
        return SFI_CEL_NETWORK_SYNTAX;
    }
    address->size = 16;
    memcpy(address->address, v6.bytes, sizeof v6.bytes);
    *has_dots = v6.has_dots;
    return SFI_CEL_NETWORK_OK;
}

enum sfi_cel_network_fault sfi_cel_address_parse(const char *text, size_t size,
                                                 struct sfi_cel_network *address)
{
    bool has_dots;
    enum sfi_cel_network_fault fault = parse(text, size, address, &has_dots);
    if (fault != SFI_CEL_NETWORK_OK || address->size == 4 || !is_mapped(address->address)) {
        return fault;
    }
    if (has_dots) {
        return SFI_CEL_NETWORK_MAPPED;
    }
    memmove(address->address, address->address + 12, 4);
    memset(address->address + 4, 0, 12);
    address->size = 4;
    return SFI_CEL_NETWORK_OK;
}

enum sfi_cel_network_fault sfi_cel_cidr_parse(const char *text, size_t size,
                                              struct sfi_cel_network *network)
{
    bool has_dots;
    const char *slash = memrchr(text, '/', size);
    if (slash == NULL) {
        return SFI_CEL_NETWORK_SYNTAX;
    }
    enum sfi_cel_network_fault fault = parse(text, (size_t)(slash - text), network, &has_dots);
    if (fault != SFI_CEL_NETWORK_OK) {
        return fault;
    }
    struct text length = {slash + 1, text + size};
    if (!take_number(&length, network->size * 8u, &network->prefix) || length.at != length.end) {
        return SFI_CEL_NETWORK_SYNTAX;
    }
    return network->size == 16 && is_mapped(network->address) ? SFI_CEL_NETWORK_MAPPED
                                                              : SFI_CEL_NETWORK_OK;
}

static char *put_number(char *out, unsigned number)
{
    if (number >= 100) {
        *out++ = (char)('0' + number / 100);
    }
    if (number >= 10) {
        *out++ = (char)('0' + number / 10 % 10);
    }
    *out++ = (char)('0' + number % 10);
    return out;
}

static char *put_v4(char *out, const uint8_t *address)
{
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            *out++ = '.';
        }
        out = put_number(out, address[i]);
    }
    return out;
}

static unsigned group_at(const uint8_t *address, int i)
{
    return (unsigned)address[2 * i] << 8 | address[2 * i + 1];
}

static char *put_group(char *out, unsigned group)
{
    bool started = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = group >> shift & 15u;
        if (digit != 0 || started || shift == 0) {
            *out++ = "0123456789abcdef"[digit];
            started = true;
        }
    }
    return out;
}

/* The longest run of at least two zero groups, the first of several. */
static int find_gap(const uint8_t *address, int *length)
{
    int best = -1;
    *length = 1;
    for (int i = 0; i < GROUPS; i++) {
        int run = 0;
        while (i + run < GROUPS && group_at(address, i + run) == 0) {
            run++;
        }
        if (run > *length) {
            best = i;
            *length = run;
        }
        i += run;
    }
    return best;
}

static char *put_v6(char *out, const uint8_t *address)
{
    int length;
    int gap = find_gap(address, &length);
    for (int i = 0; i < GROUPS; i++) {
        if (i == gap) {
            *out++ = ':';
            *out++ = ':';
            i += length - 1;
            continue;
        }
        if (i > 0 && (gap < 0 || i != gap + length)) {
            *out++ = ':';
        }
        out = put_group(out, group_at(address, i));
    }
    return out;
}

size_t sfi_cel_network_format(struct sfi_cel_value value, char out[SFI_CEL_NETWORK_TEXT])
{
    const struct sfi_cel_network *network = value.network;
    char *at = network->size == 4 ? put_v4(out, network->address) : put_v6(out, network->address);
    if (value.kind == SFI_CEL_CIDR) {
        *at++ = '/';
        at = put_number(at, network->prefix);
    }
    return (size_t)(at - out);
}
