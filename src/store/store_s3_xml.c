/*
 * store_s3_xml.c - the XML of S3's answers, by expat: errors, listings, batch deletes, uploads.
 * Shapes: Amazon S3 API reference. Answers are hostile: a document type declaration (and with it
 * every entity of its own) is refused, depth and text are bounded, unknown elements are ignored.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"

#include <expat.h>

struct reader {
    XML_Parser parser;
    sfi_s3_xml_fn element;
    void *arg;
    const char *problem;
    bool no_memory;
    bool stopped; /* expat may still call: an empty element ends after it began */
    unsigned depth;
    size_t ends[SFI_S3_XML_DEPTH_MAX]; /* of path, before each element */
    struct sfi_buf path;
    struct sfi_buf text; /* since the last tag */
};

static void stop(struct reader *reader, const char *problem)
{
    reader->stopped = true;
    reader->problem = problem;
    reader->no_memory = !problem;
    XML_StopParser(reader->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = arg;
    const char *colon = strchr(name, ':');
    (void)attributes;
    if (reader->stopped) {
        return;
    }
    if (reader->depth == SFI_S3_XML_DEPTH_MAX) {
        stop(reader, "it is nested too deeply");
        return;
    }
    reader->ends[reader->depth++] = reader->path.size;
    if (reader->path.size) {
        sfi_buf_append_byte(&reader->path, '/');
    }
    sfi_buf_append_text(&reader->path, colon ? colon + 1 : name);
    reader->text.size = 0;
    if (reader->path.failed) {
        stop(reader, reader->path.no_memory ? NULL : "its element names are too long");
    }
}

static void on_end(void *arg, const XML_Char *name)
{
    struct reader *reader = arg;
    (void)name;
    if (reader->stopped) {
        return;
    }
    if (reader->text.data) {
        reader->text.data[reader->text.size] = 0;
    }
    if (!reader->element(reader->arg, (const char *)reader->path.data,
                         reader->text.size ? (const char *)reader->text.data : "")) {
        stop(reader, NULL);
        return;
    }
    reader->path.size = reader->ends[--reader->depth];
    reader->path.data[reader->path.size] = 0;
    reader->text.size = 0;
}

static void on_text(void *arg, const XML_Char *text, int size)
{
    struct reader *reader = arg;
    if (!reader->stopped && !sfi_buf_append(&reader->text, text, (size_t)size)) {
        stop(reader, reader->text.no_memory ? NULL : "the text of an element is too long");
    }
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system;
    (void)public_id;
    (void)internal;
    stop(arg, "it has a document type declaration");
}

shardy_status sfi_s3_xml_parse(struct sfi_bytes xml, sfi_s3_xml_fn element, void *arg,
                               shardy_error *err)
{
    static const XML_Memory_Handling_Suite memory = {sfi_malloc, sfi_realloc, sfi_free};
    struct reader reader = {.element = element, .arg = arg};
    if (xml.size > SFI_S3_LIST_BODY_MAX) {
        return sfi_fail(err, SHARDY_STORE, "XML answer of %zu bytes is larger than %u", xml.size,
                        SFI_S3_LIST_BODY_MAX);
    }
    reader.parser = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    if (!reader.parser) {
        return sfi_fail_memory(err, xml.size);
    }
    sfi_buf_init(&reader.path, 512);
    sfi_buf_init(&reader.text, SFI_S3_XML_TEXT_MAX);
    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader.parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader.parser, on_doctype);
    const char *data = xml.size ? (const char *)xml.data : "";
    bool ok = XML_Parse(reader.parser, data, (int)xml.size, 1) == XML_STATUS_OK;
    enum XML_Error code = XML_GetErrorCode(reader.parser);
    unsigned long line = (unsigned long)XML_GetCurrentLineNumber(reader.parser);
    shardy_status st = SHARDY_OK;
    if (reader.no_memory || code == XML_ERROR_NO_MEMORY) {
        st = sfi_fail_memory(err, xml.size);
    } else if (!ok || reader.problem) {
        st = sfi_fail(err, SHARDY_STORE, "the XML answer is not usable: line %lu: %s", line,
                      reader.problem ? reader.problem : XML_ErrorString(code));
    }
    XML_ParserFree(reader.parser);
    sfi_buf_clear(&reader.path);
    sfi_buf_clear(&reader.text);
    return st;
}

/* Copy what people can read, cut at a character. */
static void copy_printable(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    n = n < size - 1 ? n : size - 1;
    while (n && from[n] && ((unsigned char)from[n] & 0xC0) == 0x80) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7F ? ' ' : from[i];
    }
    to[n] = '\0';
}

struct error_sink {
    struct sfi_s3_error found;
    bool is_error;
};

static bool error_element(void *arg, const char *path, const char *text)
{
    struct error_sink *sink = arg;
    struct sfi_s3_error *found = &sink->found;
    const struct {
        const char *path;
        char *to;
        size_t size;
    } wanted[] = {
        {"Error/Code", found->code, sizeof found->code},
        {"Error/Message", found->message, sizeof found->message},
        {"Error/Region", found->region, sizeof found->region},
        {"Error/Endpoint", found->endpoint, sizeof found->endpoint},
        {"Error/RequestId", found->request_id, sizeof found->request_id},
        {"Error/ActualObjectSize", found->object_size, sizeof found->object_size},
        {"ErrorResponse/Error/Code", found->code, sizeof found->code},
        {"ErrorResponse/Error/Message", found->message, sizeof found->message},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strcmp(path, wanted[i].path) == 0) {
            copy_printable(wanted[i].to, wanted[i].size, text);
        }
    }
    sink->is_error = sink->is_error || !strcmp(path, "Error") || !strcmp(path, "ErrorResponse");
    return true;
}

bool sfi_s3_error_parse(struct sfi_bytes xml, struct sfi_s3_error *error)
{
    struct error_sink sink = {.found = *error};
    size_t blank = 0;
    while (blank < xml.size && strchr(" \t\r\n", xml.data[blank]) && xml.data[blank]) {
        blank++; /* S3 sends blanks while a long operation goes on, then the declaration */
    }
    xml.data += blank;
    xml.size -= blank;
    /* Errors name themselves at once; a listing need not be read twice to know that it is none. */
    static const char mark[] = "<Error";
    bool marked = false;
    for (size_t i = 0; !marked && i < 1024 && i + sizeof mark - 1 <= xml.size; i++) {
        marked = memcmp(xml.data + i, mark, sizeof mark - 1) == 0;
    }
    if (!marked || sfi_s3_xml_parse(xml, error_element, &sink, NULL) != SHARDY_OK ||
        !sink.is_error) {
        return false;
    }
    *error = sink.found;
    return true;
}

struct page_sink {
    struct sfi_s3_page *page;
    bool encoded;
    bool is_list;
    bool has_size;
    uint64_t size;
    struct sfi_buf key;
    const char *problem;
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place; false: a broken escape or a NUL. '+' is a space, as in forms: servers send both. */
static bool url_decode(struct sfi_buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->size; i++) {
        char c = (char)text->data[i];
        if (c == '%') {
            int high = i + 2 < text->size ? hex_digit((char)text->data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit((char)text->data[i + 2]) : -1;
            if (low < 0 || (high | low) == 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        text->data[n++] = (uint8_t)c;
    }
    text->size = n;
    if (text->data) {
        text->data[n] = 0;
    }
    return true;
}

static bool parse_size(const char *text, uint64_t *size)
{
    size_t digits = strspn(text, "0123456789");
    *size = 0;
    for (size_t i = 0; i < digits && digits < 19; i++) {
        *size = *size * 10 + (uint64_t)(text[i] - '0');
    }
    return digits && digits < 19 && !text[digits];
}

/* <EncodingType> may come behind the names, so they are decoded by the caller of the parser. */
static bool add_entry(struct page_sink *sink, bool is_prefix)
{
    bool ok = sfi_store_list_add(&sink->page->entries, &sink->page->capacity,
                                 sink->key.data ? (const char *)sink->key.data : "", sink->key.size,
                                 is_prefix, is_prefix ? 0 : sink->size, NULL) == SHARDY_OK;
    sink->key.size = 0;
    sink->size = 0;
    return ok;
}

static bool page_element(void *arg, const char *path, const char *text)
{
    static const char root[] = "ListBucketResult";
    struct page_sink *sink = arg;
    if (strncmp(path, root, sizeof root - 1) != 0) {
        return true;
    }
    const char *name = path + sizeof root - 1;
    if (!*name) {
        sink->is_list = true;
    } else if (!strcmp(name, "/IsTruncated")) {
        sink->page->truncated = !strcmp(text, "true");
    } else if (!strcmp(name, "/EncodingType")) {
        sink->encoded = !strcmp(text, "url");
    } else if (!strcmp(name, "/NextContinuationToken")) {
        sfi_free(sink->page->token);
        sink->page->token = sfi_strdup(text);
        return sink->page->token != NULL;
    } else if (!strcmp(name, "/Contents/Key") || !strcmp(name, "/CommonPrefixes/Prefix")) {
        sink->key.size = 0;
        return sfi_buf_append_text(&sink->key, text);
    } else if (!strcmp(name, "/Contents/Size")) {
        if (!parse_size(text, &sink->size)) {
            sink->problem = "a size is not a number";
        }
    } else if (!strcmp(name, "/Contents") || !strcmp(name, "/CommonPrefixes")) {
        return add_entry(sink, name[2] == 'o' && name[3] == 'm');
    }
    return true;
}

static shardy_status decode_names(struct sfi_s3_page *page, shardy_error *err)
{
    for (size_t i = 0; i < page->entries.count; i++) {
        char *name = page->entries.entries[i].name;
        struct sfi_buf text = {.data = (uint8_t *)name, .size = strlen(name)};
        if (!url_decode(&text)) {
            return sfi_fail(err, SHARDY_STORE,
                            "the listing has the name \"%.100s\", which is not "
                            "percent-encoded as it says",
                            name);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_s3_page_parse(struct sfi_bytes xml, struct sfi_s3_page *page, shardy_error *err)
{
    struct page_sink sink = {.page = page};
    memset(page, 0, sizeof *page);
    sfi_buf_init(&sink.key, SFI_S3_XML_TEXT_MAX);
    shardy_status st = sfi_s3_xml_parse(xml, page_element, &sink, err);
    sfi_buf_clear(&sink.key);
    if (st == SHARDY_OK && !sink.is_list) {
        sink.problem = "it is not a ListBucketResult";
    }
    if (st == SHARDY_OK && sink.problem) {
        st = sfi_fail(err, SHARDY_STORE, "the listing is not usable: %s", sink.problem);
    }
    if (st == SHARDY_OK && sink.encoded) {
        st = decode_names(page, err);
    }
    if (st != SHARDY_OK) {
        sfi_s3_page_clear(page);
    }
    return st;
}

void sfi_s3_page_clear(struct sfi_s3_page *page)
{
    sfi_store_list_clear(&page->entries);
    sfi_free(page->token);
    memset(page, 0, sizeof *page);
}

struct delete_sink {
    sfi_s3_failed_fn failed;
    void *arg;
    bool is_result;
    struct sfi_buf key;
    char code[64];
    char message[256];
};

static bool delete_element(void *arg, const char *path, const char *text)
{
    struct delete_sink *sink = arg;
    if (!strcmp(path, "DeleteResult")) {
        sink->is_result = true;
    } else if (!strcmp(path, "DeleteResult/Error/Key")) {
        sink->key.size = 0;
        return sfi_buf_append_text(&sink->key, text);
    } else if (!strcmp(path, "DeleteResult/Error/Code")) {
        copy_printable(sink->code, sizeof sink->code, text);
    } else if (!strcmp(path, "DeleteResult/Error/Message")) {
        copy_printable(sink->message, sizeof sink->message, text);
    } else if (!strcmp(path, "DeleteResult/Error")) {
        bool ok = sink->failed(sink->arg, sink->key.data ? (const char *)sink->key.data : "",
                               sink->code, sink->message);
        sink->key.size = 0;
        sink->code[0] = sink->message[0] = '\0';
        if (sink->key.data) {
            sink->key.data[0] = 0;
        }
        return ok;
    }
    return true;
}

shardy_status sfi_s3_delete_parse(struct sfi_bytes xml, sfi_s3_failed_fn failed, void *arg,
                                  shardy_error *err)
{
    struct delete_sink sink = {.failed = failed, .arg = arg};
    sfi_buf_init(&sink.key, SFI_S3_XML_TEXT_MAX);
    shardy_status st = sfi_s3_xml_parse(xml, delete_element, &sink, err);
    sfi_buf_clear(&sink.key);
    if (st == SHARDY_OK && !sink.is_result) {
        st = sfi_fail(err, SHARDY_STORE, "the answer to a batch delete is not a DeleteResult");
    }
    return st;
}

struct text_sink {
    const char *path;
    char *out;
    size_t size;
};

static bool text_element(void *arg, const char *path, const char *text)
{
    struct text_sink *sink = arg;
    size_t size = strlen(text);
    if (!strcmp(path, sink->path) && size < sink->size) {
        memcpy(sink->out, text, size + 1);
    }
    return true;
}

shardy_status sfi_s3_text_parse(struct sfi_bytes xml, const char *path, char *out, size_t size,
                                shardy_error *err)
{
    struct text_sink sink = {path, out, size};
    out[0] = '\0';
    return sfi_s3_xml_parse(xml, text_element, &sink, err);
}

bool sfi_s3_xml_escape(struct sfi_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || strchr("<>&\"'", c)) {
            sfi_buf_printf(out, "&#%u;", c);
        } else {
            sfi_buf_append_byte(out, c);
        }
    }
    return !out->failed;
}
