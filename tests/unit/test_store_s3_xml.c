/*
 * test_store_s3_xml.c - the XML parsers on the answers of servers, on damaged and on hostile ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/memory.h"
#include "store/store_s3_internal.h"

#include <stdlib.h>

static struct sfi_bytes bytes_of(const char *text)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static void errors(void **state)
{
    struct sfi_s3_error error = {.code = "kept"};
    (void)state;
    assert_true(sfi_s3_error_parse(
        bytes_of("\r\n  <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>"
                 "<Message>Please &lt;reduce&gt;\n</Message><Region>eu-west-1</Region>"
                 "<RequestId>R</RequestId><Endpoint>host</Endpoint><Other>x</Other></Error>"),
        &error));
    assert_string_equal(error.code, "SlowDown");
    assert_string_equal(error.message, "Please <reduce> ");
    assert_string_equal(error.region, "eu-west-1");
    assert_string_equal(error.request_id, "R");
    assert_string_equal(error.endpoint, "host");
    static const char *const others[] = {"",
                                         "<html>Error</html>",
                                         "<Error><Code>X</Code>",
                                         "<ErrorX></ErrorX>",
                                         "{\"Error\":1}",
                                         "<Error",
                                         "   ",
                                         "<!DOCTYPE Error><Error><Code>X</Code></Error>",
                                         "<List><Error><Code>X</Code></Error></List>"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(sfi_s3_error_parse(bytes_of(others[i]), &error));
        assert_string_equal(error.code, "SlowDown");
    }
    /* Too long for its place: cut at a character. */
    char text[1000] = "<Error><Message>";
    for (size_t n = strlen(text); n < 800; n += 2) {
        memcpy(text + n, "\xC3\xA4", 3);
    }
    strncat(text, "</Message></Error>", sizeof text - strlen(text) - 1);
    assert_true(sfi_s3_error_parse(bytes_of(text), &error));
    assert_true(strlen(error.message) >= 250 &&
                sfi_utf8_valid(error.message, strlen(error.message)));
}

static bool count_element(void *arg, const char *path, const char *text)
{
    (void)path;
    (void)text;
    ++*(size_t *)arg;
    return true;
}

static void limits_hold(void **state)
{
    struct sfi_buf xml;
    size_t count = 0;
    (void)state;
    sfi_buf_init(&xml, 1u << 20);
    for (unsigned depth = SFI_S3_XML_DEPTH_MAX; depth <= SFI_S3_XML_DEPTH_MAX + 1; depth++) {
        xml.size = 0;
        for (unsigned i = 0; i < depth; i++) {
            sfi_buf_append_text(&xml, "<a>");
        }
        for (unsigned i = 0; i < depth; i++) {
            sfi_buf_append_text(&xml, "</a>");
        }
        assert_int_equal(sfi_s3_xml_parse(sfi_buf_view(&xml), count_element, &count, NULL),
                         depth > SFI_S3_XML_DEPTH_MAX ? SHARDY_STORE : SHARDY_OK);
    }
    xml.size = 0;
    sfi_buf_append_text(&xml, "<a>");
    for (unsigned i = 0; i <= SFI_S3_XML_TEXT_MAX; i++) {
        sfi_buf_append_byte(&xml, 'x');
    }
    sfi_buf_append_text(&xml, "</a>");
    shardy_error err = SHARDY_ERROR_INIT;
    assert_int_equal(sfi_s3_xml_parse(sfi_buf_view(&xml), count_element, &count, &err),
                     SHARDY_STORE);
    assert_non_null(strstr(err.message, "too long"));
    xml.size = 0;
    sfi_buf_append_byte(&xml, '<');
    for (unsigned i = 0; i < 600; i++) {
        sfi_buf_append_byte(&xml, 'n');
    }
    sfi_buf_append_text(&xml, "/>");
    assert_int_equal(sfi_s3_xml_parse(sfi_buf_view(&xml), count_element, &count, &err),
                     SHARDY_STORE);
    sfi_buf_clear(&xml);
    struct sfi_bytes large = {(const uint8_t *)"x", (size_t)SFI_S3_LIST_BODY_MAX + 1};
    assert_int_equal(sfi_s3_xml_parse(large, count_element, &count, &err), SHARDY_STORE);
}

static bool stop_at_once(void *arg, const char *path, const char *text)
{
    (void)arg;
    (void)path;
    (void)text;
    return false;
}

static void callbacks_stop(void **state)
{
    (void)state;
    assert_int_equal(sfi_s3_xml_parse(bytes_of("<a><b/></a>"), stop_at_once, NULL, NULL),
                     SHARDY_NO_MEMORY);
}

static const char s_page[] =
    "<?xml version=\"1.0\"?><s3:ListBucketResult xmlns:s3=\"http://x/\"><s3:Name>b</s3:Name>"
    "<s3:Contents><s3:Key>a&#x26;b</s3:Key><s3:Size>18446744073</s3:Size></s3:Contents>"
    "<s3:CommonPrefixes><s3:Prefix>p/</s3:Prefix></s3:CommonPrefixes>"
    "<s3:IsTruncated>true</s3:IsTruncated><s3:NextContinuationToken>t</s3:NextContinuationToken>"
    "</s3:ListBucketResult>";

static void pages(void **state)
{
    struct sfi_s3_page page;
    (void)state;
    assert_int_equal(sfi_s3_page_parse(bytes_of(s_page), &page, NULL), SHARDY_OK);
    assert_int_equal(page.entries.count, 2);
    assert_string_equal(page.entries.entries[0].name, "a&b");
    assert_int_equal(page.entries.entries[0].size, UINT64_C(18446744073));
    assert_false(page.entries.entries[0].is_prefix);
    assert_string_equal(page.entries.entries[1].name, "p/");
    assert_true(page.entries.entries[1].is_prefix);
    assert_true(page.truncated);
    assert_string_equal(page.token, "t");
    sfi_s3_page_clear(&page);
    /* Every prefix of it is refused, and every damaged byte does no harm. */
    for (size_t n = 0; n < sizeof s_page - 1; n++) {
        struct sfi_bytes cut = {(const uint8_t *)s_page, n};
        assert_int_not_equal(sfi_s3_page_parse(cut, &page, NULL), SHARDY_OK);
        char copy[sizeof s_page];
        memcpy(copy, s_page, sizeof copy);
        copy[n] = (char)(copy[n] ^ 0x15);
        struct sfi_bytes damaged = {(const uint8_t *)copy, sizeof copy - 1};
        if (sfi_s3_page_parse(damaged, &page, NULL) == SHARDY_OK) {
            sfi_s3_page_clear(&page);
        }
    }
    static const char *const wrong[] = {
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%4</Key></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00</Key></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999</Size></Contents></"
        "ListBucketResult>",
        "<ListAllMyBucketsResult/>"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(sfi_s3_page_parse(bytes_of(wrong[i]), &page, NULL), SHARDY_STORE);
    }
}

static void escapes(void **state)
{
    struct sfi_buf out;
    (void)state;
    sfi_buf_init(&out, 200);
    assert_true(sfi_s3_xml_escape(&out, "a<b>&\"'\n\xC3\xA4"));
    assert_string_equal(out.data, "a&#60;b&#62;&#38;&#34;&#39;&#10;\xC3\xA4");
    sfi_buf_clear(&out);
}

static void texts(void **state)
{
    char id[8];
    (void)state;
    assert_int_equal(sfi_s3_text_parse(bytes_of("<A><B>x</B></A>"), "A/B", id, sizeof id, NULL),
                     SHARDY_OK);
    assert_string_equal(id, "x");
    /* Longer than its place: as if it were missing, never cut. */
    assert_int_equal(
        sfi_s3_text_parse(bytes_of("<A><B>12345678</B></A>"), "A/B", id, sizeof id, NULL),
        SHARDY_OK);
    assert_string_equal(id, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors), cmocka_unit_test(limits_hold), cmocka_unit_test(callbacks_stop),
        cmocka_unit_test(pages),  cmocka_unit_test(escapes),     cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
