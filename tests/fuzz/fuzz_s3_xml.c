/*
 * fuzz_s3_xml.c - any bytes as an XML answer of an S3 server, as an HTTP date and a Content-Range.
 *
 * Invariant: the parsers refuse the bytes or accept them, within their limits: text is UTF-8 and
 * printable where people read it, names are never longer than the input, ranges are ordered.
 */
#include "base/memory.h"
#include "store/store_s3_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_error(struct sfi_bytes xml)
{
    struct sfi_s3_error error;
    memset(&error, 0, sizeof error);
    if (sfi_s3_error_parse(xml, &error)) {
        require(sfi_utf8_valid(error.message, strlen(error.message)));
        require(strlen(error.code) < sizeof error.code);
        for (const char *c = error.message; *c; c++) {
            require((unsigned char)*c >= 0x20 && *c != 0x7F);
        }
    }
}

static void check_page(struct sfi_bytes xml)
{
    struct sfi_s3_page page;
    if (sfi_s3_page_parse(xml, &page, NULL) == SHARDY_OK) {
        for (size_t i = 0; i < page.entries.count; i++) {
            require(strlen(page.entries.entries[i].name) <= xml.size);
        }
        sfi_s3_page_clear(&page);
    }
}

static bool on_failed(void *arg, const char *key, const char *code, const char *message)
{
    (void)arg;
    return key && code && message;
}

static void check_values(const char *text)
{
    uint64_t first;
    uint64_t last;
    uint64_t total;
    int64_t seconds;
    char region[SFI_AWS_REGION_SIZE];
    if (sfi_s3_content_range(text, &first, &last, &total)) {
        require(first <= last && last < total);
    }
    if (sfi_s3_http_date(text, &seconds)) {
        require(seconds >= 0);
    }
    (void)sfi_s3_retry_after(text, 0);
    if (sfi_s3_region_of_host(text, region)) {
        require(sfi_region_is_valid(region));
    }
    (void)sfi_s3_endpoint_check("endpoint", text, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_bytes xml = {data, size};
    char id[64];
    char *text = sfi_strndup((const char *)data, strnlen((const char *)data, size));
    check_error(xml);
    check_page(xml);
    (void)sfi_s3_delete_parse(xml, on_failed, NULL, NULL);
    (void)sfi_s3_text_parse(xml, "InitiateMultipartUploadResult/UploadId", id, sizeof id, NULL);
    if (text) {
        check_values(text);
    }
    sfi_free(text);
    return 0;
}
