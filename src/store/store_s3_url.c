/*
 * store_s3_url.c - where a bucket and its objects are: endpoint, path or virtual-host addressing,
 * percent-encoding. Amazon's endpoints follow from the region; a given endpoint stays what it is.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <strings.h>

void sfi_s3_address_init(struct sfi_s3_address *address)
{
    /* Every byte of a key may become three. */
    sfi_buf_init(&address->url, 16 * SFI_URL_MAX_BYTES + SFI_S3_XML_TEXT_MAX * 4);
    sfi_buf_init(&address->host, SFI_URL_MAX_BYTES);
    sfi_buf_init(&address->path, 8 * SFI_URL_MAX_BYTES);
}

void sfi_s3_address_clear(struct sfi_s3_address *address)
{
    sfi_buf_clear(&address->url);
    sfi_buf_clear(&address->host);
    sfi_buf_clear(&address->path);
}

/* What is wrong with host[:port][/path], or NULL. */
static const char *host_problem(const char *host)
{
    if (!*host || strchr("/:", *host)) {
        return "it has no host";
    }
    if (strchr(host, '@')) {
        return "it has a user; pass credentials as options";
    }
    for (const char *c = host; *c; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F || strchr("?#\\\"<>", *c)) {
            return "it has a query, a fragment or characters no URL has";
        }
    }
    const char *port = strpbrk(host, *host == '[' ? "]/" : ":/");
    if (port && *port == ']') {
        port++;
    }
    if (port && *port == ':') {
        size_t digits = strspn(port + 1, "0123456789");
        if (!digits || digits > 5 || (port[1 + digits] && port[1 + digits] != '/')) {
            return "its port is not a number";
        }
    }
    return NULL;
}

shardy_status sfi_s3_endpoint_check(const char *name, const char *endpoint, shardy_error *err)
{
    const char *problem = "it does not start with https:// or http://";
    if (strlen(endpoint) > 1024) {
        problem = "it is longer than 1024 bytes";
    } else if (!strncasecmp(endpoint, "https://", 8)) {
        problem = host_problem(endpoint + 8);
    } else if (!strncasecmp(endpoint, "http://", 7)) {
        problem = host_problem(endpoint + 7);
    }
    /* A user must not be echoed: it may hold a password. */
    return problem
               ? sfi_fail(err, SHARDY_CONFIG,
                          "%s = \"%.200s\" is not an endpoint: %s; expected https://host[:port]",
                          name, strchr(endpoint, '@') ? "(hidden)" : endpoint, problem)
               : SHARDY_OK;
}

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t n = strlen(end);
    return size >= n && strncasecmp(text + size - n, end, n) == 0;
}

static bool is_amazon(const char *host)
{
    size_t size = strcspn(host, ":/");
    return ends_with(host, size, ".amazonaws.com") || ends_with(host, size, ".amazonaws.com.cn");
}

bool sfi_s3_region_of_host(const char *host, char region[SFI_AWS_REGION_SIZE])
{
    region[0] = '\0';
    if (!is_amazon(host)) {
        return false;
    }
    /* The last label "s3" or "s3-region" before the domain: buckets may be called s3 too. */
    const char *found = NULL;
    for (const char *at = host; at && *at; at = strchr(at, '.'), at = at ? at + 1 : NULL) {
        if (!strncasecmp(at, "s3.", 3) || !strncasecmp(at, "s3-", 3)) {
            found = at + 3;
        }
    }
    if (found && !strncasecmp(found, "dualstack.", 10)) {
        found += 10;
    }
    size_t size = found ? strcspn(found, ".:/") : 0;
    if (!size || size >= SFI_AWS_REGION_SIZE || !strncasecmp(found, "amazonaws.", 10)) {
        return false;
    }
    memcpy(region, found, size);
    region[size] = '\0';
    return sfi_region_is_valid(region);
}

/* Certificates of virtual hosts cover one label, and host names are lower case. */
static bool fits_host_name(const char *bucket)
{
    size_t size = strlen(bucket);
    return size >= 3 && size <= 63 && bucket[0] != '-' && bucket[size - 1] != '-' &&
           strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

static bool is_address(const char *host)
{
    size_t size = strcspn(host, ":/");
    return *host == '[' || strspn(host, "0123456789.") == size;
}

static bool wants_virtual(const struct sfi_s3_config *config, const char *host)
{
    switch (config->addressing) {
    case SFI_S3_PATH:
        return false;
    case SFI_S3_VIRTUAL:
        return !is_address(host);
    case SFI_S3_AUTO:
        break;
    }
    return is_amazon(host) && fits_host_name(config->bucket);
}

/* Port that the scheme has anyway: clients leave it out of Host, and the signature must agree. */
static size_t host_size(const char *host, bool tls)
{
    size_t size = strcspn(host, "/");
    return ends_with(host, size, tls ? ":443" : ":80") ? size - (tls ? 4 : 3) : size;
}

shardy_status sfi_s3_address_of(const struct sfi_s3_config *config, const char *region,
                                const char *key, const char *query, struct sfi_s3_address *address,
                                shardy_error *err)
{
    char amazon[128];
    const char *endpoint = config->endpoint;
    sfi_s3_address_clear(address);
    if (!endpoint) {
        struct sfi_buf made;
        sfi_buf_init(&made, sizeof amazon - 1);
        bool ok = sfi_buf_printf(&made, "https://s3.%s.amazonaws.com%s", region,
                                 strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
        memcpy(amazon, ok ? (const char *)made.data : "", ok ? made.size + 1 : 1);
        sfi_buf_clear(&made);
        endpoint = amazon;
    }
    const char *colon = strstr(endpoint, "://");
    if (!colon) {
        return sfi_fail_memory(err, sizeof amazon);
    }
    bool tls = colon - endpoint == 5;
    const char *host = colon + 3;
    const char *base = host + strcspn(host, "/");
    size_t base_size = strlen(base);
    while (base_size && base[base_size - 1] == '/') {
        base_size--;
    }
    bool as_host = wants_virtual(config, host);
    if (as_host) {
        sfi_buf_append_text(&address->host, config->bucket);
        sfi_buf_append_byte(&address->host, '.');
    }
    sfi_buf_append(&address->host, host, host_size(host, tls));
    sfi_buf_append(&address->path, base, base_size);
    sfi_buf_append_byte(&address->path, '/');
    if (!as_host) {
        sfi_uri_encode(&address->path, config->bucket, false);
    }
    if (key) {
        sfi_buf_append_text(&address->path, as_host ? "" : "/");
        sfi_uri_encode(&address->path, config->prefix, true);
        sfi_uri_encode(&address->path, key, true);
    }
    SFI_RETURN_IF_ERR(sfi_buf_status(&address->host, "host of an S3 request", err));
    SFI_RETURN_IF_ERR(sfi_buf_status(&address->path, "path of an S3 request", err));
    sfi_buf_printf(&address->url, "%s://%s%s%s%s", tls ? "https" : "http",
                   (const char *)address->host.data, (const char *)address->path.data,
                   query && *query ? "?" : "", query ? query : "");
    return sfi_buf_status(&address->url, "URL of an S3 request", err);
}
