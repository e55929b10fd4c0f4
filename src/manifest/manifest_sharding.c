/*
 * manifest_sharding.c - the sharding object of a manifest: fields, and the rules between them
 * (docs/format/manifest.md). Compiling a CEL expression is left to the router.
 */
#include "manifest/manifest_internal.h"

#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

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

static shardy_status check_columns(const struct sfi_json *columns, shardy_error *err)
{
    if (columns->kind != SFI_JSON_OBJECT) {
        return invalid("cel_columns must be an object of strings", err);
    }
    for (const struct sfi_json *m = columns->child; m; m = m->next) {
        if (m->kind != SFI_JSON_STRING) {
            return invalid("cel_columns must be an object of strings", err);
        }
    }
    return SHARDY_OK;
}

/* A routing value in comparable form. */
struct value {
    bool text;
    bool negative;
    uint64_t number;
    struct sfi_bytes string;
};

static bool read_value(const struct sfi_json *json, struct value *value)
{
    memset(value, 0, sizeof *value);
    value->text = json->kind == SFI_JSON_STRING;
    value->string = json->text;
    return value->text || sfi_json_integer(json, &value->negative, &value->number);
}

static int compare_values(const void *left, const void *right)
{
    const struct value *a = left;
    const struct value *b = right;
    if (a->text) {
        return sfi_bytes_compare(a->string, b->string);
    }
    if (a->negative != b->negative) {
        return a->negative ? -1 : 1;
    }
    return (a->number > b->number) - (a->number < b->number);
}

static shardy_status check_unique(struct value *values, size_t count, shardy_error *err)
{
    qsort(values, count, sizeof *values, compare_values);
    for (size_t i = 1; i < count; i++) {
        if (compare_values(&values[i - 1], &values[i]) == 0) {
            return values[i].text
                       ? sfi_fail(err, SHARDY_MANIFEST,
                                  "Manifest validation failed: sharding: Routing values must be "
                                  "unique; routing_values repeats \"%.60s\"",
                                  (const char *)values[i].string.data)
                       : sfi_fail(err, SHARDY_MANIFEST,
                                  "Manifest validation failed: sharding: Routing values must be "
                                  "unique; routing_values repeats %" PRId64,
                                  (int64_t)values[i].number);
        }
    }
    return SHARDY_OK;
}

static shardy_status check_routing_values(const struct sfi_json *list, shardy_error *err)
{
    size_t n = 0;
    if (list->kind != SFI_JSON_ARRAY) {
        return invalid("routing_values must be a list", err);
    }
    struct value *values = sfi_array_alloc(list->count, sizeof *values);
    shardy_status st = values ? SHARDY_OK : sfi_fail_memory(err, list->count * sizeof *values);
    for (const struct sfi_json *m = list->child; st == SHARDY_OK && m; m = m->next) {
        if (!read_value(m, &values[n])) {
            st = invalid("routing_values must be integers or strings", err);
        } else if (n && values[n].text != values[0].text) {
            st = invalid("routing_values: Routing values must all share the same type", err);
        }
        n++;
    }
    if (st == SHARDY_OK) {
        st = check_unique(values, n, err);
    }
    sfi_free(values);
    return st;
}

static shardy_status check_cel(const struct sfi_json *object, shardy_error *err)
{
    const struct sfi_json *expr = sfi_json_member(object, "cel_expr");
    const struct sfi_json *columns = sfi_json_member(object, "cel_columns");
    const struct sfi_json *values = sfi_json_member(object, "routing_values");
    if (present(expr) && expr->kind != SFI_JSON_STRING) {
        return invalid("cel_expr must be a string", err);
    }
    if (!present(expr) || !expr->text.size) {
        return invalid("CEL strategy requires cel_expr", err);
    }
    if (present(columns)) {
        SFI_RETURN_IF_ERR(check_columns(columns, err));
    }
    if (!present(columns) || !columns->count) {
        return invalid("CEL strategy requires cel_columns", err);
    }
    return present(values) ? check_routing_values(values, err) : SHARDY_OK;
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

static shardy_status check_object(const struct sfi_json *object, uint32_t num_dbs,
                                  shardy_sharding *sharding, shardy_error *err)
{
    const struct sfi_json *values = sfi_json_member(object, "routing_values");
    if (object->kind != SFI_JSON_OBJECT) {
        return invalid("must be a JSON object", err);
    }
    SFI_RETURN_IF_ERR(check_names(object, err));
    SFI_RETURN_IF_ERR(check_strategy(object, sharding, err));
    SFI_RETURN_IF_ERR(*sharding == SHARDY_SHARDING_CEL ? check_cel(object, err)
                                                       : check_hash(object, err));
    SFI_RETURN_IF_ERR(check_algorithm(object, err));
    size_t expected = present(values) && values->count ? values->count : 1;
    if (present(values) && num_dbs != expected) {
        return sfi_fail(err, SHARDY_MANIFEST,
                        "Categorical CEL manifest num_dbs must match routing_values cardinality "
                        "(expected %zu, got %u)",
                        expected, num_dbs);
    }
    return SHARDY_OK;
}

shardy_status sfi_sharding_check(struct sfi_bytes text, uint32_t num_dbs, shardy_sharding *sharding,
                                 shardy_error *err)
{
    struct sfi_json_doc doc;
    shardy_error why = SHARDY_ERROR_INIT;
    shardy_status st = sfi_json_parse(text, SFI_JSON_UNIQUE_KEYS, &doc, &why);
    if (st != SHARDY_OK) {
        return sfi_manifest_invalid(st, &why, "sharding", err);
    }
    st = check_object(doc.root, num_dbs, sharding, err);
    sfi_json_clear(&doc);
    return st;
}
