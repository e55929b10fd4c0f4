/*
 * lib_network.c - the network extension of CEL: types net.IP and net.CIDR, what they contain and
 * what kind they are (RFC 4291, RFC 6890). Text: network.c.
 */
#include "cel/network.h"

#include "cel/function.h"
#include "cel/library.h"

static const char *fault_text(enum sfi_cel_network_fault fault)
{
    switch (fault) {
    case SFI_CEL_NETWORK_ZONE:
        return "with a zone is not allowed";
    case SFI_CEL_NETWORK_MAPPED:
        return "is IPv4-mapped, which is not allowed: use the IPv4 form";
    default:
        return "cannot be parsed";
    }
}

typedef enum sfi_cel_network_fault (*parser)(const char *text, size_t size,
                                             struct sfi_cel_network *network);

/* Text to address or network; false: `error`. */
static bool parse(struct sfi_cel_frame *frame, struct sfi_cel_value text, parser parse_text,
                  struct sfi_cel_network *network, struct sfi_cel_value *error)
{
    if (!sfi_cel_charge(frame, text.size)) {
        *error = sfi_cel_fail_steps();
        return false;
    }
    enum sfi_cel_network_fault fault = parse_text(text.text, text.size, network);
    if (fault != SFI_CEL_NETWORK_OK) {
        *error = sfi_cel_fail(frame, SFI_CEL_INVALID_ARGUMENT, "%s '%.*s' %s",
                              parse_text == sfi_cel_cidr_parse ? "CIDR" : "IP address",
                              text.size > 64 ? 64 : (int)text.size, text.text, fault_text(fault));
    }
    return fault == SFI_CEL_NETWORK_OK;
}

static struct sfi_cel_value make(struct sfi_cel_frame *frame, enum sfi_cel_kind kind,
                                 const struct sfi_cel_network *network)
{
    struct sfi_cel_network *copy = sfi_cel_alloc(&frame->arena, sizeof *copy);
    if (copy == NULL) {
        return sfi_cel_fail_memory();
    }
    *copy = *network;
    struct sfi_cel_value v = {(uint8_t)kind, 0, {.network = copy}};
    return v;
}

static struct sfi_cel_value ip(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_network address;
    struct sfi_cel_value error;
    return parse(frame, args[0], sfi_cel_address_parse, &address, &error)
               ? make(frame, SFI_CEL_IP, &address)
               : error;
}

static struct sfi_cel_value cidr(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_network network;
    struct sfi_cel_value error;
    return parse(frame, args[0], sfi_cel_cidr_parse, &network, &error)
               ? make(frame, SFI_CEL_CIDR, &network)
               : error;
}

static struct sfi_cel_value is_ip(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_network address;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(sfi_cel_address_parse(args[0].text, args[0].size, &address) ==
                        SFI_CEL_NETWORK_OK);
}

static struct sfi_cel_value is_cidr(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_network network;
    if (!sfi_cel_charge(frame, args[0].size)) {
        return sfi_cel_fail_steps();
    }
    return sfi_cel_bool(sfi_cel_cidr_parse(args[0].text, args[0].size, &network) ==
                        SFI_CEL_NETWORK_OK);
}

/* Whether the text is what string(ip(text)) gives. */
static struct sfi_cel_value is_canonical(struct sfi_cel_frame *frame,
                                         const struct sfi_cel_value *args)
{
    struct sfi_cel_network address;
    struct sfi_cel_value error;
    char text[SFI_CEL_NETWORK_TEXT];
    if (!parse(frame, args[0], sfi_cel_address_parse, &address, &error)) {
        return error;
    }
    struct sfi_cel_value value = {SFI_CEL_IP, 0, {.network = &address}};
    size_t size = sfi_cel_network_format(value, text);
    return sfi_cel_bool(size == args[0].size && memcmp(text, args[0].text, size) == 0);
}

static struct sfi_cel_value family(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].network->size == 4 ? 4 : 6);
}

static bool unspecified(const struct sfi_cel_network *a)
{
    static const uint8_t zeros[16];
    return memcmp(a->address, zeros, a->size) == 0;
}

static bool loopback(const struct sfi_cel_network *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->size == 4 ? a->address[0] == 127 : memcmp(a->address, one, sizeof one) == 0;
}

static bool multicast(const struct sfi_cel_network *a)
{
    return a->size == 4 ? (a->address[0] & 0xF0u) == 0xE0u : a->address[0] == 0xFF;
}

static bool link_local_multicast(const struct sfi_cel_network *a)
{
    if (a->size == 4) {
        return a->address[0] == 224 && a->address[1] == 0 && a->address[2] == 0;
    }
    return a->address[0] == 0xFF && (a->address[1] & 0x0Fu) == 2;
}

static bool link_local_unicast(const struct sfi_cel_network *a)
{
    return a->size == 4 ? a->address[0] == 169 && a->address[1] == 254
                        : a->address[0] == 0xFE && (a->address[1] & 0xC0u) == 0x80u;
}

static bool broadcast(const struct sfi_cel_network *a)
{
    static const uint8_t ones[4] = {255, 255, 255, 255};
    return a->size == 4 && memcmp(a->address, ones, sizeof ones) == 0;
}

/* Private addresses are global unicast in this sense, too. */
static bool global_unicast(const struct sfi_cel_network *a)
{
    return !unspecified(a) && !broadcast(a) && !loopback(a) && !multicast(a) &&
           !link_local_unicast(a);
}

#define TEST(name)                                                          \
    static struct sfi_cel_value is_##name(struct sfi_cel_frame *frame,      \
                                          const struct sfi_cel_value *args) \
    {                                                                       \
        (void)frame;                                                        \
        return sfi_cel_bool(name(args[0].network));                         \
    }

TEST(unspecified)
TEST(loopback)
TEST(link_local_multicast)
TEST(link_local_unicast)
TEST(global_unicast)

/* Whether an address of the same family has the network's prefix. */
static bool contains(const struct sfi_cel_network *network, const struct sfi_cel_network *address)
{
    size_t whole = network->prefix / 8;
    unsigned rest = network->prefix % 8u;
    if (network->size != address->size || memcmp(network->address, address->address, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           ((unsigned)(network->address[whole] ^ address->address[whole]) >> (8 - rest)) == 0;
}

static struct sfi_cel_value contains_ip(struct sfi_cel_frame *frame,
                                        const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(contains(args[0].network, args[1].network));
}

static struct sfi_cel_value contains_ip_text(struct sfi_cel_frame *frame,
                                             const struct sfi_cel_value *args)
{
    struct sfi_cel_network address;
    struct sfi_cel_value error;
    return parse(frame, args[1], sfi_cel_address_parse, &address, &error)
               ? sfi_cel_bool(contains(args[0].network, &address))
               : error;
}

static bool contains_network(const struct sfi_cel_network *outer,
                             const struct sfi_cel_network *inner)
{
    return inner->prefix >= outer->prefix && contains(outer, inner);
}

static struct sfi_cel_value contains_cidr(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_bool(contains_network(args[0].network, args[1].network));
}

static struct sfi_cel_value contains_cidr_text(struct sfi_cel_frame *frame,
                                               const struct sfi_cel_value *args)
{
    struct sfi_cel_network network;
    struct sfi_cel_value error;
    return parse(frame, args[1], sfi_cel_cidr_parse, &network, &error)
               ? sfi_cel_bool(contains_network(args[0].network, &network))
               : error;
}

static struct sfi_cel_value ip_of_cidr(struct sfi_cel_frame *frame,
                                       const struct sfi_cel_value *args)
{
    struct sfi_cel_network address = *args[0].network;
    address.prefix = 0;
    return make(frame, SFI_CEL_IP, &address);
}

static struct sfi_cel_value masked(struct sfi_cel_frame *frame, const struct sfi_cel_value *args)
{
    struct sfi_cel_network network = *args[0].network;
    for (unsigned i = 0; i < network.size; i++) {
        unsigned kept = network.prefix > 8 * i ? network.prefix - 8 * i : 0;
        if (kept < 8) {
            network.address[i] &= (uint8_t)(0xFF00u >> kept);
        }
    }
    return make(frame, SFI_CEL_CIDR, &network);
}

static struct sfi_cel_value prefix_length(struct sfi_cel_frame *frame,
                                          const struct sfi_cel_value *args)
{
    (void)frame;
    return sfi_cel_int(args[0].network->prefix);
}

#define BOOL   &sfi_cel_type_bool
#define INT    &sfi_cel_type_int
#define STRING &sfi_cel_type_string
#define IP     &sfi_cel_type_ip
#define CIDR   &sfi_cel_type_cidr

static const struct sfi_cel_overload overloads[] = {
    {"ip", 0, IP, {STRING}, ip},
    {"ip", SFI_CEL_METHOD, IP, {CIDR}, ip_of_cidr},
    {"cidr", 0, CIDR, {STRING}, cidr},
    {"isIP", 0, BOOL, {STRING}, is_ip},
    {"isCIDR", 0, BOOL, {STRING}, is_cidr},
    {"ip.isCanonical", 0, BOOL, {STRING}, is_canonical},
    {"family", SFI_CEL_METHOD, INT, {IP}, family},
    {"isUnspecified", SFI_CEL_METHOD, BOOL, {IP}, is_unspecified},
    {"isLoopback", SFI_CEL_METHOD, BOOL, {IP}, is_loopback},
    {"isGlobalUnicast", SFI_CEL_METHOD, BOOL, {IP}, is_global_unicast},
    {"isLinkLocalMulticast", SFI_CEL_METHOD, BOOL, {IP}, is_link_local_multicast},
    {"isLinkLocalUnicast", SFI_CEL_METHOD, BOOL, {IP}, is_link_local_unicast},
    {"containsIP", SFI_CEL_METHOD, BOOL, {CIDR, IP}, contains_ip},
    {"containsIP", SFI_CEL_METHOD, BOOL, {CIDR, STRING}, contains_ip_text},
    {"containsCIDR", SFI_CEL_METHOD, BOOL, {CIDR, CIDR}, contains_cidr},
    {"containsCIDR", SFI_CEL_METHOD, BOOL, {CIDR, STRING}, contains_cidr_text},
    {"masked", SFI_CEL_METHOD, CIDR, {CIDR}, masked},
    {"prefixLength", SFI_CEL_METHOD, INT, {CIDR}, prefix_length},
};

const struct sfi_cel_library sfi_cel_lib_network = {overloads,
                                                    sizeof overloads / sizeof overloads[0], true};
