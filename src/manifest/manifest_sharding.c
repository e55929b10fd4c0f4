/*
 * manifest_sharding.c - the sharding object of a manifest: fields, and the rules between them
 * (docs/format/manifest.md). Compiling a CEL expression is left to the router.
 */
#include "manifest/manifest_internal.h"

#include "base/json.h"
#include "base/memory.h"
#include "routing/tokens.h"

#include <stdlib.h>

/* How a value of bytes is written: an object with this one member, in lower-case hexadecimal. */
#define BYTES_MEMBER "__bytes_hex__"

/* What a parsed object lives in. */
struct sfi_sharding_owner {
    struct sfi_json_doc doc; /* texts */
    shardy_cel_column *columns;
    shardy_cel_value *values;
};

shardy_status sfi_manifest_invalid(shardy_status cause, const shardy_error *why, const char *field,
                                   shardy_error *err)
{
    shardy_status st = cause == SHARDY_NO_MEMORY || cause == SHARDY_LIMIT ? cause : SHARDY_MANIFEST;
    return sfi_fail(err, st, "Manifest validation failed: %s: %s", field, why->message);
}

static shardy_status invalid(const char *what, shardy_error *err)
{
    return sfi_fail(err, SHARDY_MANIFEST, "Manifest validation failed: sharding: %s", what);
}

static bool present(const struct sfi_json *value)
{
    return value && value->kind != SFI_JSON_NULL;
}

static shardy_status check_names(const struct sfi_json *object, shardy_error *err)
{
    static const char *const names[] = {"cel_columns", "cel_expr", "hash_algorithm",
                                        "routing_values", "strategy"};
    for (const struct sfi_json *m = object->child; m; m = m->next) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            known = known || sfi_json_text_is(m->name, names[i]);
        }
        if (!known) {
            return sfi_fail(err, SHARDY_MANIFEST,
                            "Manifest validation failed: sharding.%.80s: unknown field",
                            (const char *)m->name.data);
        }
    }
    return SHARDY_OK;
}

static shardy_status check_strategy(const struct sfi_json *object, shardy_sharding *sharding,
                                    shardy_error *err)
{
    const struct sfi_json *strategy = sfi_json_member(object, "strategy");
    *sharding = SHARDY_SHARDING_HASH;
    if (!strategy) {
        return SHARDY_OK;
    }
    if (strategy->kind == SFI_JSON_STRING && sfi_json_text_is(strategy->text, "cel")) {
        *sharding = SHARDY_SHARDING_CEL;
        return SHARDY_OK;
    }
    return strategy->kind == SFI_JSON_STRING && sfi_json_text_is(strategy->text, "hash")
               ? SHARDY_OK
               : invalid("strategy: Unsupported sharding strategy. Allowed: hash, cel", err);
}

static shardy_status check_algorithm(const struct sfi_json *object, shardy_error *err)
{
    const struct sfi_json *algorithm = sfi_json_member(object, "hash_algorithm");
    if (!present(algorithm)) {
        return invalid("hash_algorithm is required", err);
    }
    if (algorithm->kind != SFI_JSON_STRING || !sfi_json_text_is(algorithm->text, "xxh3_64")) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Manifest validation failed: sharding: hash_algorithm: Unsupported shard "
                        "hash algorithm: %.60s. Allowed: xxh3_64",
                        algorithm->kind == SFI_JSON_STRING ? (const char *)algorithm->text.data
                                                           : "not a string");
    }
    return SHARDY_OK;
}

/* Texts are C strings from here on. */
static bool is_c_string(const struct sfi_json *json)
{
    return json->kind == SFI_JSON_STRING &&
           strlen((const char *)json->text.data) == json->text.size;
}

static shardy_status read_columns(const struct sfi_json *columns, struct sfi_sharding *sharding,
                                  shardy_error *err)
{
    size_t n = 0;
    if (columns->kind != SFI_JSON_OBJECT) {
        return invalid("cel_columns must be an object of strings", err);
    }
    shardy_cel_column *list = sfi_array_alloc(columns->count, sizeof *list);
    if (!list) {
        return sfi_fail_memory(err, columns->count * sizeof *list);
    }
    sharding->owner->columns = list;
    for (const struct sfi_json *m = columns->child; m; m = m->next) {
        if (!is_c_string(m) || strlen((const char *)m->name.data) != m->name.size) {
            return invalid("cel_columns must be an object of strings without NUL characters", err);
        }
        list[n].name = (const char *)m->name.data;
        list[n++].type = (const char *)m->text.data;
    }
    sharding->cel.columns = list;
    sharding->cel.column_count = n;
    return SHARDY_OK;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Decodes over the text, which is the document's and read once. */
static bool read_bytes(const struct sfi_json *json, shardy_cel_value *value)
{
    const struct sfi_json *text = json->child;
    if (json->kind != SFI_JSON_OBJECT || json->count != 1 ||
        !sfi_json_text_is(text->name, BYTES_MEMBER) || text->kind != SFI_JSON_STRING ||
        text->text.size % 2 != 0) {
        return false;
    }
    uint8_t *to = (uint8_t *)(uintptr_t)text->text.data;
    for (size_t i = 0; i < text->text.size; i += 2) {
        int high = hex_digit(text->text.data[i]);
        int low = hex_digit(text->text.data[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i / 2] = (uint8_t)(high << 4 | low);
    }
    *value = shardy_cel_bytes(to, text->text.size / 2);
    return true;
}

static bool read_value(const struct sfi_json *json, shardy_cel_value *value)
{
    bool negative;
    uint64_t number;
    if (json->kind == SFI_JSON_STRING) {
        *value = shardy_cel_string((const char *)json->text.data, json->text.size);
        return true;
    }
    if (!sfi_json_integer(json, &negative, &number)) {
        return read_bytes(json, value);
    }
    *value =
        negative || number <= INT64_MAX ? shardy_cel_int((int64_t)number) : shardy_cel_uint(number);
    return true;
}

static shardy_status read_values(const struct sfi_json *list, struct sfi_sharding *sharding,
                                 shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    size_t n = 0;
    if (list->kind != SFI_JSON_ARRAY) {
        return invalid("routing_values must be a list", err);
    }
    shardy_cel_value *values = sfi_array_alloc(list->count, sizeof *values);
    if (!values) {
        return sfi_fail_memory(err, list->count * sizeof *values);
    }
    sharding->owner->values = values;
    for (const struct sfi_json *m = list->child; m; m = m->next) {
        if (!read_value(m, &values[n++])) {
            return invalid("routing_values must be integers, strings or " BYTES_MEMBER " objects",
                           err);
        }
    }
    shardy_status st = sfi_tokens_check(values, n, &why);
    if (st != SHARDY_OK) {
        return sfi_manifest_invalid(st, &why, "sharding: routing_values", err);
    }
    sharding->cel.routing_values = values;
    sharding->cel.routing_value_count = n;
    sharding->cel.has_routing_values = true;
    return SHARDY_OK;
}

static shardy_status read_cel(const struct sfi_json *object, struct sfi_sharding *sharding,
                              shardy_error *err)
{
    const struct sfi_json *expr = sfi_json_member(object, "cel_expr");
    const struct sfi_json *columns = sfi_json_member(object, "cel_columns");
    const struct sfi_json *values = sfi_json_member(object, "routing_values");
    if (present(expr) && !is_c_string(expr)) {
        return invalid("cel_expr must be a string without NUL characters", err);
    }
    if (!present(expr) || !expr->text.size) {
        return invalid("CEL strategy requires cel_expr", err);
    }
    sharding->cel.expression = (const char *)expr->text.data;
    if (present(columns)) {
        SFI_RETURN_IF_ERR(read_columns(columns, sharding, err));
    }
    if (!sharding->cel.column_count) {
        return invalid("CEL strategy requires cel_columns", err);
    }
    return present(values) ? read_values(values, sharding, err) : SHARDY_OK;
}

static shardy_status check_hash(const struct sfi_json *object, shardy_error *err)
{
    if (present(sfi_json_member(object, "routing_values"))) {
        return invalid("routing_values are only valid with CEL strategy", err);
    }
    if (present(sfi_json_member(object, "cel_expr"))) {
        return invalid("cel_expr is only valid with CEL strategy", err);
    }
    if (present(sfi_json_member(object, "cel_columns"))) {
        return invalid("cel_columns are only valid with CEL strategy", err);
    }
    return SHARDY_OK;
}

static shardy_status read_object(const struct sfi_json *object, uint32_t num_dbs,
                                 struct sfi_sharding *sharding, shardy_error *err)
{
    if (object->kind != SFI_JSON_OBJECT) {
        return invalid("must be a JSON object", err);
    }
    SFI_RETURN_IF_ERR(check_names(object, err));
    SFI_RETURN_IF_ERR(check_strategy(object, &sharding->strategy, err));
    SFI_RETURN_IF_ERR(sharding->strategy == SHARDY_SHARDING_CEL ? read_cel(object, sharding, err)
                                                                : check_hash(object, err));
    SFI_RETURN_IF_ERR(check_algorithm(object, err));
    size_t count = sharding->cel.routing_value_count;
    size_t expected = count ? count : 1;
    if (sharding->cel.has_routing_values && num_dbs != expected) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Categorical CEL manifest num_dbs must match routing_values cardinality "
                        "(expected %zu, got %u)",
                        expected, num_dbs);
    }
    return SHARDY_OK;
}

shardy_status sfi_sharding_parse(struct sfi_bytes text, uint32_t num_dbs,
                                 struct sfi_sharding *sharding, shardy_error *err)
{
    shardy_error why = SHARDY_ERROR_INIT;
    memset(sharding, 0, sizeof *sharding);
    sharding->owner = sfi_calloc(1, sizeof *sharding->owner);
    if (!sharding->owner) {
        return sfi_fail_memory(err, sizeof *sharding->owner);
    }
    shardy_status st = sfi_json_parse(text, SFI_JSON_UNIQUE_KEYS, &sharding->owner->doc, &why);
    if (st != SHARDY_OK) {
        st = sfi_manifest_invalid(st, &why, "sharding", err);
    } else {
        st = read_object(sharding->owner->doc.root, num_dbs, sharding, err);
    }
    if (st != SHARDY_OK) {
        sfi_sharding_clear(sharding);
    }
    return st;
}

void sfi_sharding_clear(struct sfi_sharding *sharding)
{
    if (sharding->owner) {
        sfi_json_clear(&sharding->owner->doc);
        sfi_free(sharding->owner->columns);
        sfi_free(sharding->owner->values);
        sfi_free(sharding->owner);
    }
    memset(sharding, 0, sizeof *sharding);
}

shardy_status sfi_sharding_check(struct sfi_bytes text, uint32_t num_dbs, shardy_sharding *strategy,
                                 shardy_error *err)
{
    struct sfi_sharding sharding;
    SFI_RETURN_IF_ERR(sfi_sharding_parse(text, num_dbs, &sharding, err));
    *strategy = sharding.strategy;
    sfi_sharding_clear(&sharding);
    return SHARDY_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    return strcmp((*(const shardy_cel_column *const *)left)->name,
                  (*(const shardy_cel_column *const *)right)->name);
}

static void put_text(struct sfi_buf *out, const char *text)
{
    struct sfi_bytes bytes = {(const uint8_t *)text, strlen(text)};
    (void)sfi_json_write_string(bytes, out);
}

static shardy_status put_columns(const shardy_cel_sharding *cel, struct sfi_buf *out,
                                 shardy_error *err)
{
    const shardy_cel_column **sorted = sfi_array_alloc(cel->column_count, sizeof(void *));
    if (!sorted) {
        return sfi_fail_memory(err, cel->column_count * sizeof(void *));
    }
    for (size_t i = 0; i < cel->column_count; i++) {
        sorted[i] = &cel->columns[i];
    }
    qsort((void *)sorted, cel->column_count, sizeof(void *), compare_names);
    for (size_t i = 0; i < cel->column_count; i++) {
        (void)sfi_buf_append_text(out, i ? ", " : "");
        put_text(out, sorted[i]->name);
        (void)sfi_buf_append_text(out, ": ");
        put_text(out, sorted[i]->type);
    }
    sfi_free((void *)sorted);
    return SHARDY_OK;
}

static void put_value(const shardy_cel_value *value, struct sfi_buf *out)
{
    struct sfi_bytes text = {value->text, value->size};
    switch (value->kind) {
    case SHARDY_CEL_INT:
        (void)sfi_buf_printf(out, "%lld", (long long)value->integer);
        break;
    case SHARDY_CEL_UINT:
        (void)sfi_buf_printf(out, "%llu", (unsigned long long)value->natural);
        break;
    case SHARDY_CEL_STRING:
        (void)sfi_json_write_string(text, out);
        break;
    default:
        (void)sfi_buf_append_text(out, "{\"" BYTES_MEMBER "\": \"");
        for (size_t i = 0; i < text.size; i++) {
            (void)sfi_buf_append_byte(out, (uint8_t) "0123456789abcdef"[text.data[i] >> 4]);
            (void)sfi_buf_append_byte(out, (uint8_t) "0123456789abcdef"[text.data[i] & 15]);
        }
        (void)sfi_buf_append_text(out, "\"}");
    }
}

shardy_status sfi_sharding_write(const shardy_cel_sharding *cel, struct sfi_buf *out,
                                 shardy_error *err)
{
    (void)sfi_buf_append_text(out, "{\"cel_columns\": {");
    SFI_RETURN_IF_ERR(put_columns(cel, out, err));
    (void)sfi_buf_append_text(out, "}, \"cel_expr\": ");
    put_text(out, cel->expression);
    (void)sfi_buf_append_text(out, ", \"hash_algorithm\": \"xxh3_64\", \"routing_values\": ");
    (void)sfi_buf_append_text(out, cel->has_routing_values ? "[" : "null");
    for (size_t i = 0; cel->has_routing_values && i < cel->routing_value_count; i++) {
        (void)sfi_buf_append_text(out, i ? ", " : "");
        put_value(&cel->routing_values[i], out);
    }
    (void)sfi_buf_append_text(out, cel->has_routing_values ? "]" : "");
    (void)sfi_buf_append_text(out, ", \"strategy\": \"cel\"}");
    return sfi_buf_status(out, "sharding object", err);
}
