/*
 * pointer.c - the _CURRENT pointer: one compact JSON object (docs/format/pointer.md). Reading it
 * from a store and swapping it is publish.c.
 */
#include "manifest/manifest.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

static struct sfi_bytes text_of(const char *text)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

shardy_status sfi_pointer_encode(const struct sfi_pointer *pointer, struct sfi_buf *out,
                                 shardy_error *err)
{
    char updated[SFI_TIMESTAMP_SIZE];
    sfi_timestamp_format_iso(pointer->updated_at_us, updated);
    sfi_buf_printf(out, "{\"format_version\":%d,\"manifest_content_type\":\"%s\",\"manifest_ref\":",
                   SFI_POINTER_FORMAT_VERSION, SFI_MANIFEST_CONTENT_TYPE);
    sfi_json_write_string(text_of(pointer->manifest_ref), out);
    sfi_buf_append_text(out, ",\"run_id\":");
    sfi_json_write_string(text_of(pointer->run_id), out);
    sfi_buf_printf(out, ",\"updated_at\":\"%s\"}", updated);
    return sfi_buf_status(out, "CURRENT pointer", err);
}

static shardy_status invalid(const char *field, const char *what, shardy_error *err)
{
    return sfi_fail(err, SHARDY_MANIFEST, "CURRENT pointer validation failed: %s: %s", field, what);
}

/* A required string without NUL; copied unless `out` is NULL. */
static shardy_status read_string(const struct sfi_json *object, const char *name, char **out,
                                 shardy_error *err)
{
    const struct sfi_json *value = sfi_json_member(object, name);
    if (!value) {
        return invalid(name, "Field required", err);
    }
    if (value->kind != SFI_JSON_STRING) {
        return invalid(name, "Input should be a valid string", err);
    }
    if (memchr(value->text.data, 0, value->text.size) ||
        !sfi_utf8_valid(value->text.data, value->text.size)) {
        return invalid(name, "text is not UTF-8 or contains a NUL", err);
    }
    if (out) {
        *out = sfi_strndup((const char *)value->text.data, value->text.size);
        if (!*out) {
            return sfi_fail_memory(err, value->text.size + 1);
        }
    }
    return SHARDY_OK;
}

static shardy_status read_version(const struct sfi_json *object, shardy_error *err)
{
    const struct sfi_json *value = sfi_json_member(object, "format_version");
    bool negative;
    uint64_t number;
    return !value || sfi_json_integer(value, &negative, &number)
               ? SHARDY_OK
               : invalid("format_version", "Input should be a valid integer", err);
}

static shardy_status read_time(const struct sfi_json *object, int64_t *us, shardy_error *err)
{
    const struct sfi_json *value = sfi_json_member(object, "updated_at");
    if (!value) {
        return invalid("updated_at", "Field required", err);
    }
    bool text = value->kind == SFI_JSON_STRING || value->kind == SFI_JSON_NUMBER;
    return text && sfi_timestamp_parse((const char *)value->text.data, value->text.size, us)
               ? SHARDY_OK
               : invalid("updated_at", "Input should be a valid datetime", err);
}

static shardy_status read_fields(const struct sfi_json *object, struct sfi_pointer *pointer,
                                 shardy_error *err)
{
    if (object->kind != SFI_JSON_OBJECT) {
        return invalid("document", "Input should be an object", err);
    }
    SFI_RETURN_IF_ERR(read_version(object, err));
    SFI_RETURN_IF_ERR(read_string(object, "manifest_content_type", NULL, err));
    SFI_RETURN_IF_ERR(read_string(object, "manifest_ref", &pointer->manifest_ref, err));
    SFI_RETURN_IF_ERR(read_string(object, "run_id", &pointer->run_id, err));
    return read_time(object, &pointer->updated_at_us, err);
}

shardy_status sfi_pointer_parse(struct sfi_bytes text, struct sfi_pointer *pointer,
                                shardy_error *err)
{
    struct sfi_json_doc doc;
    shardy_error why = SHARDY_ERROR_INIT;
    memset(pointer, 0, sizeof *pointer);
    if (text.size > SFI_POINTER_MAX_BYTES) {
        return invalid("document", "larger than 65536 bytes", err);
    }
    shardy_status st = sfi_json_parse(text, SFI_JSON_UNIQUE_KEYS, &doc, &why);
    if (st == SHARDY_NO_MEMORY) {
        return sfi_fail(err, st, "%s", why.message);
    }
    if (st != SHARDY_OK) {
        return invalid("document", why.message, err);
    }
    st = read_fields(doc.root, pointer, err);
    sfi_json_clear(&doc);
    if (st != SHARDY_OK) {
        sfi_pointer_clear(pointer);
    }
    return st;
}

void sfi_pointer_clear(struct sfi_pointer *pointer)
{
    sfi_free(pointer->manifest_ref);
    sfi_free(pointer->run_id);
    memset(pointer, 0, sizeof *pointer);
}
