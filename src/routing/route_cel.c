/*
 * route_cel.c - CEL sharding: rules of its options, and what becomes of the value of a row (spec 04
 * A12, A13.6; docs/format/keys.md). Blocks of rows: route_cel_rows.c.
 */
#include "routing/route_cel.h"

#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>

/* --- making one ------------------------------------------------------------------------------- */

/* As Python names the values; NULL: an expression may have this type. */
static const char *bad_type(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_INT:
    case SFI_CEL_TYPE_UINT:
    case SFI_CEL_TYPE_STRING:
    case SFI_CEL_TYPE_BYTES:
    case SFI_CEL_TYPE_DYN:
    case SFI_CEL_TYPE_PARAM:
        return NULL;
    case SFI_CEL_TYPE_WRAPPER:
        return type->param[0] != NULL ? bad_type(type->param[0]) : NULL;
    case SFI_CEL_TYPE_BOOL:
        return "bool";
    case SFI_CEL_TYPE_DOUBLE:
        return "float";
    case SFI_CEL_TYPE_NULL:
        return "NoneType";
    case SFI_CEL_TYPE_LIST:
        return "list";
    case SFI_CEL_TYPE_MAP:
        return "dict";
    case SFI_CEL_TYPE_TIMESTAMP:
        return "datetime";
    case SFI_CEL_TYPE_DURATION:
        return "timedelta";
    case SFI_CEL_TYPE_TYPE:
        return "type";
    case SFI_CEL_TYPE_OPTIONAL:
        return "optional";
    case SFI_CEL_TYPE_IP:
        return "net.IP";
    case SFI_CEL_TYPE_CIDR:
        return "net.CIDR";
    default:
        return "object";
    }
}

static shardy_status check_options(const shardy_cel_sharding *sharding, uint32_t num_dbs,
                                   shardy_error *err)
{
    size_t count = sharding->routing_value_count;
    if (sharding->expression == NULL || sharding->expression[0] == '\0') {
        return sfi_fail(err, SHARDY_CONFIG, "CEL strategy requires cel_expr, a non-empty text");
    }
    if (sharding->columns == NULL || sharding->column_count == 0) {
        return sfi_fail(err, SHARDY_CONFIG, "CEL strategy requires cel_columns, at least one");
    }
    if (num_dbs > SFI_SHARDS_MAX) {
        return sfi_fail(err, SHARDY_CONFIG, "num_dbs must be 1 to %u, got %" PRIu32, SFI_SHARDS_MAX,
                        num_dbs);
    }
    if (!sharding->has_routing_values) {
        return sharding->infer_routing_values && num_dbs != 0
                   ? sfi_fail(
                         err, SHARDY_CONFIG,
                         "infer_routing_values tells the number of shards itself: num_dbs must "
                         "be 0, got %" PRIu32,
                         num_dbs)
                   : SHARDY_OK;
    }
    if (sharding->infer_routing_values) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "infer_routing_values cannot be combined with routing_values");
    }
    SFI_RETURN_IF_ERR(sfi_tokens_check(sharding->routing_values, count, err));
    size_t expected = count > 0 ? count : 1;
    if (num_dbs != 0 && num_dbs != expected) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "num_dbs must match the routing_values cardinality (expected %zu, got "
                        "%" PRIu32 "); leave it 0",
                        expected, num_dbs);
    }
    return SHARDY_OK;
}

static shardy_status compile(const shardy_cel_sharding *sharding, shardy_cel **cel,
                             shardy_error *err)
{
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    options.expression = sharding->expression;
    options.columns = sharding->columns;
    options.column_count = sharding->column_count;
    shardy_status st = sfi_cel_compile_cached(&options, cel, err);
    if (st != SHARDY_OK) {
        sfi_error_prefix(err, "Failed to compile CEL expression '%.200s': ", sharding->expression);
        return st;
    }
    const char *bad = bad_type(sfi_cel_program_type((*cel)->program));
    return bad == NULL ? SHARDY_OK
                       : sfi_fail(err, SHARDY_CONFIG,
                                  "CEL expression must return int, str, or bytes; got %s: '%.200s'",
                                  bad, sharding->expression);
}

shardy_status sfi_cel_route_new(const shardy_cel_sharding *sharding, uint32_t num_dbs,
                                struct sfi_cel_route **out, shardy_error *err)
{
    shardy_status st;
    *out = NULL;
    SFI_RETURN_IF_ERR(check_options(sharding, num_dbs, err));
    struct sfi_cel_route *route = sfi_calloc(1, sizeof *route);
    if (route == NULL) {
        return sfi_fail_memory(err, sizeof *route);
    }
    atomic_init(&route->refs, 1);
    route->is_categorical = sharding->has_routing_values || sharding->infer_routing_values;
    route->infers = sharding->infer_routing_values;
    route->num_dbs = num_dbs;
    route->is_key_only = sharding->column_count == 1 && sharding->columns[0].name != NULL &&
                         strcmp(sharding->columns[0].name, "key") == 0;
    SFI_TRY(compile(sharding, &route->cel, err));
    if (sharding->has_routing_values) {
        for (size_t i = 0; i < sharding->routing_value_count; i++) {
            uint32_t id;
            SFI_TRY(sfi_tokens_add(&route->tokens, &sharding->routing_values[i], &id, err));
        }
        route->num_dbs = route->tokens.count > 0 ? route->tokens.count : 1;
    }
    *out = route;
out:
    if (st != SHARDY_OK) {
        sfi_cel_route_release(route);
    }
    return st;
}

struct sfi_cel_route *sfi_cel_route_acquire(struct sfi_cel_route *route)
{
    atomic_fetch_add_explicit(&route->refs, 1, memory_order_relaxed);
    return route;
}

void sfi_cel_route_release(struct sfi_cel_route *route)
{
    if (route != NULL && atomic_fetch_sub_explicit(&route->refs, 1, memory_order_acq_rel) == 1) {
        shardy_cel_free(route->cel);
        sfi_tokens_clear(&route->tokens);
        sfi_free(route);
    }
}

/* --- one value -------------------------------------------------------------------------------- */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Base 10 as Python's int(): white space around, a sign, single underscores between digits. */
static bool parse_number(const uint8_t *text, size_t size, bool *negative, uint64_t *number)
{
    const uint8_t *end = text + size;
    while (text < end && is_space(*text)) {
        text++;
    }
    while (end > text && is_space(end[-1])) {
        end--;
    }
    *negative = text < end && *text == '-';
    text += text < end && (*text == '-' || *text == '+');
    *number = 0;
    bool digit_before = false;
    for (; text < end; text++) {
        if (*text == '_' && digit_before) {
            digit_before = false;
            continue;
        }
        if (*text < '0' || *text > '9') {
            return false;
        }
        digit_before = true;
        /* Saturates: any such number is out of range. */
        *number = *number > UINT64_MAX / 100 ? *number : *number * 10 + (uint64_t)(*text - '0');
    }
    return digit_before;
}

static shardy_cel_value public_text(const struct sfi_cel_value *value)
{
    return value->kind == SFI_CEL_STRING ? shardy_cel_string(value->text, value->size)
                                         : shardy_cel_bytes(value->text, value->size);
}

/* The token that a value is; false: it can be none. */
static bool token_of(const struct sfi_cel_value *value, shardy_cel_value *token)
{
    switch ((enum sfi_cel_kind)value->kind) {
    case SFI_CEL_INT:
        *token = shardy_cel_int(value->i64);
        return true;
    case SFI_CEL_UINT:
        *token = shardy_cel_uint(value->u64);
        return true;
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        *token = public_text(value);
        return true;
    default:
        return false;
    }
}

static shardy_status fail_kind(const struct sfi_cel_value *value, shardy_error *err)
{
    char text[SFI_CEL_TYPE_TEXT];
    const struct sfi_cel_type *type = sfi_cel_type_of(*value);
    const char *name = bad_type(type);
    if (name == NULL) {
        sfi_cel_type_text(type, text);
        name = text;
    }
    return sfi_fail(err, SHARDY_INPUT, "CEL expression must return int, str, or bytes; got %s",
                    name);
}

static shardy_status direct_text(const struct sfi_cel_route *route,
                                 const struct sfi_cel_value *value, uint32_t *db_id,
                                 shardy_error *err)
{
    bool negative;
    uint64_t number;
    if (!parse_number((const uint8_t *)value->text, value->size, &negative, &number)) {
        char text[SFI_TOKEN_TEXT_SIZE];
        shardy_cel_value token = public_text(value);
        sfi_token_text(&token, text);
        return sfi_fail(err, SHARDY_INPUT, "invalid literal for int() with base 10: %s", text);
    }
    bool is_id = number < sfi_cel_route_limit(route) && (!negative || number == 0);
    *db_id = is_id ? (uint32_t)number : SFI_NO_SHARD;
    return SHARDY_OK;
}

/* Shard of a value; SFI_NO_SHARD. INPUT: it is an error, or no token. */
shardy_status sfi_cel_route_resolve(const struct sfi_cel_route *route,
                                    const struct sfi_cel_value *value, uint32_t *db_id,
                                    shardy_error *err)
{
    bool is_text = value->kind == SFI_CEL_STRING || value->kind == SFI_CEL_BYTES;
    *db_id = SFI_NO_SHARD;
    if (value->kind == SFI_CEL_ERROR) {
        return sfi_cel_report(route->cel->program, value->error, err);
    }
    if (!is_text && value->kind != SFI_CEL_INT && value->kind != SFI_CEL_UINT) {
        return fail_kind(value, err);
    }
    if (route->is_categorical) {
        *db_id = is_text
                     ? sfi_tokens_find_text(
                           &route->tokens,
                           value->kind == SFI_CEL_STRING ? SHARDY_CEL_STRING : SHARDY_CEL_BYTES,
                           sfi_digest_bytes(value->text, value->size), value->text, value->size)
                     : sfi_tokens_find_int(&route->tokens, value->u64,
                                           value->kind == SFI_CEL_UINT && value->u64 > INT64_MAX);
        return SHARDY_OK;
    }
    if (is_text) {
        return direct_text(route, value, db_id, err);
    }
    *db_id = value->u64 < sfi_cel_route_limit(route) ? (uint32_t)value->u64 : SFI_NO_SHARD;
    return SHARDY_OK;
}

shardy_status sfi_cel_route_nowhere(const struct sfi_cel_route *route,
                                    const struct sfi_cel_value *value, shardy_error *err)
{
    char text[SFI_TOKEN_TEXT_SIZE];
    shardy_cel_value token = shardy_cel_int(0);
    (void)token_of(value, &token);
    sfi_token_text(&token, text);
    if (route->is_categorical) {
        return sfi_fail(
            err, SHARDY_ASSIGNMENT,
            "Routing token %s is not present in this snapshot (CEL expression '%.200s')", text,
            route->cel->expression);
    }
    return sfi_fail(err, SHARDY_ASSIGNMENT,
                    "shard id %s is outside [0, %" PRIu32 ")%s (CEL expression '%.200s')", text,
                    sfi_cel_route_limit(route),
                    route->num_dbs != 0 ? ", the number of shards"
                                        : ", the most shards there can be",
                    route->cel->expression);
}

/* --- one row ---------------------------------------------------------------------------------- */

/* Text and bytes are the same keys when stored: a declared type takes both. */
shardy_cel_value sfi_cel_route_key_value(const struct sfi_cel_type *type, const shardy_key *key)
{
    switch (key->kind) {
    case SHARDY_KIND_INT:
        return shardy_cel_int((int64_t)key->number);
    case SHARDY_KIND_UINT:
        return shardy_cel_uint(key->number);
    case SHARDY_KIND_STR:
    case SHARDY_KIND_BYTES:
        break;
    }
    bool is_string = type->kind == SFI_CEL_TYPE_STRING ||
                     (type->kind != SFI_CEL_TYPE_BYTES && key->kind == SHARDY_KIND_STR);
    return is_string ? shardy_cel_string(key->data, key->size)
                     : shardy_cel_bytes(key->data, key->size);
}

/* The context to evaluate; `entry` holds that of a key. */
static shardy_status context_of(const struct sfi_cel_route *route, const shardy_key *key,
                                const shardy_context *given, shardy_context_entry *entry,
                                shardy_context *context, shardy_error *err)
{
    if (given != NULL) {
        *context = *given;
        return SHARDY_OK;
    }
    if (!route->is_key_only) {
        return sfi_fail(err, SHARDY_INPUT,
                        "Multi-column CEL sharding requires routing_context: values of the columns "
                        "that '%.200s' reads",
                        route->cel->expression);
    }
    entry->name = "key";
    entry->value = sfi_cel_route_key_value(route->cel->types[0], key);
    context->entries = entry;
    context->count = 1;
    return SHARDY_OK;
}

shardy_status sfi_cel_route_one(const struct sfi_cel_route *route, const shardy_key *key,
                                const shardy_context *context, bool must, uint32_t *db_id,
                                shardy_error *err)
{
    shardy_context_entry entry;
    shardy_context row;
    struct sfi_cel_worker *worker;
    *db_id = SFI_NO_SHARD;
    SFI_RETURN_IF_ERR(context_of(route, key, context, &entry, &row, err));
    SFI_RETURN_IF_ERR(sfi_cel_take(route->cel, false, &worker, err));
    struct sfi_cel_value value = sfi_cel_run_context(route->cel, worker, &row);
    shardy_status st = sfi_cel_route_resolve(route, &value, db_id, err);
    if (st == SHARDY_OK && must && *db_id == SFI_NO_SHARD) {
        st = sfi_cel_route_nowhere(route, &value, err);
    }
    sfi_cel_give(worker);
    return st;
}

shardy_status sfi_cel_route_learn_value(struct sfi_cel_route *route,
                                        const struct sfi_cel_value *value, uint32_t *db_id,
                                        shardy_error *err)
{
    shardy_cel_value token;
    SFI_RETURN_IF_ERR(sfi_cel_route_resolve(route, value, db_id, err));
    if (*db_id != SFI_NO_SHARD || !token_of(value, &token)) {
        return SHARDY_OK;
    }
    if (token.kind == SHARDY_CEL_STRING && !sfi_utf8_valid(token.text, token.size)) {
        return sfi_fail(err, SHARDY_INPUT,
                        "a routing value is not UTF-8 (CEL expression '%.200s'); make it bytes",
                        route->cel->expression);
    }
    if (route->tokens.count >= SFI_INFERRED_VALUES_MAX) {
        char text[SFI_TOKEN_TEXT_SIZE];
        sfi_token_text(&token, text);
        return sfi_fail(err, SHARDY_LIMIT,
                        "more than %u distinct routing values, the next is %s (CEL expression "
                        "'%.200s'); give routing_values, or hash: shard_hash(..) %% Nu",
                        SFI_INFERRED_VALUES_MAX, text, route->cel->expression);
    }
    return sfi_tokens_add(&route->tokens, &token, db_id, err);
}

shardy_status sfi_cel_route_learn_one(struct sfi_cel_route *route, const shardy_key *key,
                                      const shardy_context *context, uint32_t *db_id,
                                      shardy_error *err)
{
    shardy_context_entry entry;
    shardy_context row;
    struct sfi_cel_worker *worker;
    SFI_RETURN_IF_ERR(context_of(route, key, context, &entry, &row, err));
    SFI_RETURN_IF_ERR(sfi_cel_take(route->cel, false, &worker, err));
    struct sfi_cel_value value = sfi_cel_run_context(route->cel, worker, &row);
    shardy_status st = sfi_cel_route_learn_value(route, &value, db_id, err);
    sfi_cel_give(worker);
    return st;
}
