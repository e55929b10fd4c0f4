/*
 * test_cel_network.c - network.c and lib_network.c: texts that are addresses and texts that are
 * none, canonical forms, kinds of addresses, containment.
 */
#include "cel_calls.h"

#include "cel/library.h"
#include "cel/network.h"

#define INVALID ERROR(SFI_CEL_INVALID_ARGUMENT)

/* Text of ip(text) and cidr(text); NULL: none. */
static void check_form(const char *function, const char *text, const char *canonical)
{
    struct sfi_cel_frame frame = cel_frame();
    char out[SFI_CEL_NETWORK_TEXT];
    struct sfi_cel_value arg = cel_text(text);
    struct sfi_cel_value got = cel_call(&frame, function, &arg, 1);
    if (canonical == NULL) {
        if (!cel_is_code(got, SFI_CEL_INVALID_ARGUMENT)) {
            fail_msg("%s('%s') is no error", function, text);
        }
    } else {
        if (sfi_cel_is_error(got)) {
            fail_msg("%s('%s'): %s", function, text, got.error->text);
        }
        size_t size = sfi_cel_network_format(got, out);
        if (size != strlen(canonical) || memcmp(out, canonical, size) != 0) {
            fail_msg("%s('%s') is %.*s", function, text, (int)size, out);
        }
    }
    cel_frame_clear(&frame);
}

static void test_addresses(void **state)
{
    static const char *const rows[][2] = {
        {"192.168.0.1", "192.168.0.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::68", "2001:db8::68"},
        {"2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
        {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"::ffff:c0a8:1", "192.168.0.1"},
        {"::ffff:192.168.0.1", NULL},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.", NULL},
        {"1.2.3.256", NULL},
        {"1.2.3.04", NULL},
        {"1.2.3.1000", NULL},
        {"1.2.3.-4", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {":", NULL},
        {":::", NULL},
        {"1:2", NULL},
        {"1::2::3", NULL},
        {"2001:db8:::68", NULL},
        {":1:2:3:4:5:6:7", NULL},
        {"1:2:3:4:5:6:7:", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4:5:6:7:8::", NULL},
        {"::1:2:3:4:5:6:7:8", NULL},
        {"12345::", NULL},
        {"g::", NULL},
        {"1:2:3:4:5:6:7:1.2.3.4", NULL},
        {"::1.2.3.4:5", NULL},
        {"::1.2.3", NULL},
        {"1.2.3.4::", NULL},
        {"fe80::1%en0", NULL},
        {"fe80::1%", NULL},
        {"1.2.3.4/8", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_form("ip", rows[i][0], rows[i][1]);
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value arg = cel_text(rows[i][0]);
        assert_int_equal(cel_call(&frame, "isIP", &arg, 1).boolean, rows[i][1] != NULL);
        cel_frame_clear(&frame);
    }
}

static void test_networks(void **state)
{
    static const char *const rows[][2] = {
        {"192.168.0.0/24", "192.168.0.0/24"},
        {"192.168.0.1/0", "192.168.0.1/0"},
        {"10.0.0.1/32", "10.0.0.1/32"},
        {"2001:DB8::/128", "2001:db8::/128"},
        {"::/0", "::/0"},
        {"10.0.0.1/33", NULL},
        {"::/129", NULL},
        {"10.0.0.1", NULL},
        {"10.0.0.1/", NULL},
        {"10.0.0.1/08", NULL},
        {"10.0.0.1/+8", NULL},
        {"10.0.0.1/8/8", NULL},
        {"10.0.0.1/1000", NULL},
        {"/8", NULL},
        {"", NULL},
        {"fe80::1%en0/24", NULL},
        {"::ffff:c0a8:1/120", NULL},
        {"::ffff:192.168.0.1/120", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_form("cidr", rows[i][0], rows[i][1]);
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value arg = cel_text(rows[i][0]);
        assert_int_equal(cel_call(&frame, "isCIDR", &arg, 1).boolean, rows[i][1] != NULL);
        cel_frame_clear(&frame);
    }
}

/* parse(format(address)) is the address, for addresses with many zeros. */
static void test_round_trip(void **state)
{
    (void)state;
    srand(7);
    for (int i = 0; i < 20000; i++) {
        struct sfi_cel_network address = {.size = 16};
        struct sfi_cel_network again;
        char text[SFI_CEL_NETWORK_TEXT];
        for (int j = 0; j < 16; j++) {
            address.address[j] = (uint8_t)(rand() % 3 == 0 ? rand() : 0);
        }
        address.address[0] |= 0x20; /* not IPv4-mapped */
        struct sfi_cel_value value = {SFI_CEL_IP, 0, {.network = &address}};
        size_t size = sfi_cel_network_format(value, text);
        assert_true(size <= 39);
        assert_int_equal(sfi_cel_address_parse(text, size, &again), SFI_CEL_NETWORK_OK);
        assert_memory_equal(&again, &address, sizeof again);
    }
}

static void test_kinds(void **state)
{
    static const struct {
        const char *address;
        const char *kinds; /* u(nspecified) l(oopback) g(lobal) m(ulticast, local) k (link-local) */
    } rows[] = {
        {"0.0.0.0", "u"},     {"::", "u"},
        {"127.0.0.1", "l"},   {"127.255.0.1", "l"},
        {"::1", "l"},         {"192.168.0.1", "g"},
        {"8.8.8.8", "g"},     {"2001:db8::abcd", "g"},
        {"fd00::1", "g"},     {"255.255.255.255", ""},
        {"224.0.0.1", "m"},   {"224.0.1.1", ""},
        {"239.0.0.1", ""},    {"ff02::1", "m"},
        {"ff32::1", "m"},     {"ff00::1", ""},
        {"169.254.1.1", "k"}, {"fe80::1", "k"},
        {"febf::1", "k"},     {"fec0::1", "g"},
    };
    static const char *const tests[][2] = {{"isUnspecified", "u"},
                                           {"isLoopback", "l"},
                                           {"isGlobalUnicast", "g"},
                                           {"isLinkLocalMulticast", "m"},
                                           {"isLinkLocalUnicast", "k"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value text = cel_text(rows[i].address);
        struct sfi_cel_value ip = cel_call(&frame, "ip", &text, 1);
        for (size_t j = 0; j < sizeof tests / sizeof tests[0]; j++) {
            bool expected = strstr(rows[i].kinds, tests[j][1]) != NULL;
            if (cel_call(&frame, tests[j][0], &ip, 1).boolean != expected) {
                fail_msg("%s of %s is not %d", tests[j][0], rows[i].address, expected);
            }
        }
        bool is_v4 = strchr(rows[i].address, '.') != NULL;
        assert_int_equal(cel_call(&frame, "family", &ip, 1).i64, is_v4 ? 4 : 6);
        cel_frame_clear(&frame);
    }
}

static void test_containment(void **state)
{
    static const struct {
        const char *outer;
        const char *inner; /* address or network */
        bool expected;
    } rows[] = {
        {"192.168.0.0/24", "192.168.0.255", true},
        {"192.168.0.0/24", "192.168.1.0", false},
        {"192.168.0.77/24", "192.168.0.1", true},
        {"192.168.0.0/25", "192.168.0.127", true},
        {"192.168.0.0/25", "192.168.0.128", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "8.8.8.8", false},
        {"10.1.2.3/32", "10.1.2.3", true},
        {"10.1.2.3/32", "10.1.2.2", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::1/128", "2001:db8::1", true},
        {"192.168.0.0/24", "192.168.0.0/25", true},
        {"192.168.0.0/24", "192.168.0.0/24", true},
        {"192.168.0.0/24", "192.168.0.0/23", false},
        {"192.168.0.0/24", "192.168.1.0/25", false},
        {"2001:db8::/32", "10.0.0.0/32", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        bool is_network = strchr(rows[i].inner, '/') != NULL;
        const char *function = is_network ? "containsCIDR" : "containsIP";
        struct sfi_cel_value outer = cel_text(rows[i].outer);
        struct sfi_cel_value args[2] = {cel_call(&frame, "cidr", &outer, 1),
                                        cel_text(rows[i].inner)};
        assert_int_equal(cel_call(&frame, function, args, 2).boolean, rows[i].expected);
        args[1] = cel_call(&frame, is_network ? "cidr" : "ip", &args[1], 1);
        assert_int_equal(cel_call(&frame, function, args, 2).boolean, rows[i].expected);
        args[1] = cel_text("nonsense");
        assert_true(cel_is_code(cel_call(&frame, function, args, 2), SFI_CEL_INVALID_ARGUMENT));
        cel_frame_clear(&frame);
    }
}

static void test_parts(void **state)
{
    static const struct {
        const char *cidr;
        const char *masked;
        const char *ip;
        int64_t prefix;
    } rows[] = {
        {"192.168.0.129/24", "192.168.0.0/24", "192.168.0.129", 24},
        {"192.168.0.129/25", "192.168.0.128/25", "192.168.0.129", 25},
        {"255.255.255.255/0", "0.0.0.0/0", "255.255.255.255", 0},
        {"255.255.255.255/32", "255.255.255.255/32", "255.255.255.255", 32},
        {"2001:db8:ffff::1/33", "2001:db8:8000::/33", "2001:db8:ffff::1", 33},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sfi_cel_frame frame = cel_frame();
        struct sfi_cel_value texts[] = {cel_text(rows[i].cidr), cel_text(rows[i].masked),
                                        cel_text(rows[i].ip)};
        struct sfi_cel_value cidr = cel_call(&frame, "cidr", &texts[0], 1);
        assert_true(sfi_cel_equal(cel_call(&frame, "masked", &cidr, 1),
                                  cel_call(&frame, "cidr", &texts[1], 1)));
        assert_true(
            sfi_cel_equal(cel_call(&frame, "ip", &cidr, 1), cel_call(&frame, "ip", &texts[2], 1)));
        assert_int_equal(cel_call(&frame, "prefixLength", &cidr, 1).i64, rows[i].prefix);
        cel_frame_clear(&frame);
    }
}

static const struct cel_call calls[] = {
    {"ip.isCanonical", YES, 1, {S("127.0.0.1")}},
    {"ip.isCanonical", NO, 1, {S("2001:DB8::68")}},
    {"ip.isCanonical", NO, 1, {S("::ffff:c0a8:1")}},
    {"ip.isCanonical", INVALID, 1, {S("127.0.0.1.0")}},
    {"isIP", NO, 1, {S("\0")}},
    {"isIP", ERROR(SFI_CEL_NO_OVERLOAD), 1, {I(1)}},
    {"containsIP", ERROR(SFI_CEL_NO_OVERLOAD), 2, {S("10.0.0.0/8"), S("10.0.0.1")}},
};

static void test_calls(void **state)
{
    (void)state;
    cel_check_all(calls, sizeof calls / sizeof calls[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_networks),
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_containment), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
