/*
 * type.c - static types: the parameterless ones, equality, and their notation.
 *
 * Names are those that identifiers of the language have (cel-spec, doc/langdef.md, "Abstract
 * Types" and "Well-Known Types"), with parameters as the conformance suite writes them.
 */
#include "cel/type.h"

#include "base/status.h"

#include <string.h>

#define PARSE_MAX_DEPTH 16u

#define SIMPLE(name, kind) const struct sfi_cel_type sfi_cel_type_##name = {kind, 0, {NULL}}

SIMPLE(dyn, SFI_CEL_TYPE_DYN);
SIMPLE(null, SFI_CEL_TYPE_NULL);
SIMPLE(bool, SFI_CEL_TYPE_BOOL);
SIMPLE(int, SFI_CEL_TYPE_INT);
SIMPLE(uint, SFI_CEL_TYPE_UINT);
SIMPLE(double, SFI_CEL_TYPE_DOUBLE);
SIMPLE(string, SFI_CEL_TYPE_STRING);
SIMPLE(bytes, SFI_CEL_TYPE_BYTES);
SIMPLE(timestamp, SFI_CEL_TYPE_TIMESTAMP);
SIMPLE(duration, SFI_CEL_TYPE_DURATION);
SIMPLE(ip, SFI_CEL_TYPE_IP);
SIMPLE(cidr, SFI_CEL_TYPE_CIDR);
SIMPLE(type, SFI_CEL_TYPE_TYPE);
const struct sfi_cel_type sfi_cel_type_list = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_type_dyn}};
const struct sfi_cel_type sfi_cel_type_map = {
    SFI_CEL_TYPE_MAP, 0, {&sfi_cel_type_dyn, &sfi_cel_type_dyn}};
const struct sfi_cel_type sfi_cel_type_optional = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_type_dyn}};

/* The first name of a kind is the one that is printed. */
static const struct type_name {
    const char *text;
    uint8_t size;
    uint8_t params;
    const struct sfi_cel_type *simple; /* what the bare name stands for; NULL: needs parameters */
    enum sfi_cel_type_kind kind;
} names[] = {
#define NAME(text, params, simple, kind)             \
    {                                                \
        text, sizeof(text) - 1, params, simple, kind \
    }
    NAME("bool", 0, &sfi_cel_type_bool, SFI_CEL_TYPE_BOOL),
    NAME("bytes", 0, &sfi_cel_type_bytes, SFI_CEL_TYPE_BYTES),
    NAME("double", 0, &sfi_cel_type_double, SFI_CEL_TYPE_DOUBLE),
    NAME("dyn", 0, &sfi_cel_type_dyn, SFI_CEL_TYPE_DYN),
    NAME("google.protobuf.Duration", 0, &sfi_cel_type_duration, SFI_CEL_TYPE_DURATION),
    NAME("duration", 0, &sfi_cel_type_duration, SFI_CEL_TYPE_DURATION),
    NAME("google.protobuf.Timestamp", 0, &sfi_cel_type_timestamp, SFI_CEL_TYPE_TIMESTAMP),
    NAME("timestamp", 0, &sfi_cel_type_timestamp, SFI_CEL_TYPE_TIMESTAMP),
    NAME("int", 0, &sfi_cel_type_int, SFI_CEL_TYPE_INT),
    NAME("list", 1, &sfi_cel_type_list, SFI_CEL_TYPE_LIST),
    NAME("map", 2, &sfi_cel_type_map, SFI_CEL_TYPE_MAP),
    NAME("net.CIDR", 0, &sfi_cel_type_cidr, SFI_CEL_TYPE_CIDR),
    NAME("net.IP", 0, &sfi_cel_type_ip, SFI_CEL_TYPE_IP),
    NAME("null", 0, &sfi_cel_type_null, SFI_CEL_TYPE_NULL),
    NAME("null_type", 0, &sfi_cel_type_null, SFI_CEL_TYPE_NULL),
    NAME("optional_type", 1, &sfi_cel_type_optional, SFI_CEL_TYPE_OPTIONAL),
    NAME("string", 0, &sfi_cel_type_string, SFI_CEL_TYPE_STRING),
    NAME("tuple", 3, NULL, SFI_CEL_TYPE_TUPLE),
    NAME("type", 1, &sfi_cel_type_type, SFI_CEL_TYPE_TYPE),
    NAME("uint", 0, &sfi_cel_type_uint, SFI_CEL_TYPE_UINT),
    NAME("wrapper", 1, NULL, SFI_CEL_TYPE_WRAPPER),
#undef NAME
};

#define NAME_COUNT (sizeof names / sizeof names[0])

static const struct sfi_cel_type *param_of(const struct sfi_cel_type *type, unsigned i)
{
    return type->param[i] == NULL ? &sfi_cel_type_dyn : type->param[i];
}

static unsigned param_count(enum sfi_cel_type_kind kind)
{
    switch (kind) {
    case SFI_CEL_TYPE_LIST:
    case SFI_CEL_TYPE_TYPE:
    case SFI_CEL_TYPE_OPTIONAL:
    case SFI_CEL_TYPE_WRAPPER:
        return 1;
    case SFI_CEL_TYPE_MAP:
        return 2;
    case SFI_CEL_TYPE_TUPLE:
        return 3;
    default:
        return 0;
    }
}

bool sfi_cel_type_equal(const struct sfi_cel_type *a, const struct sfi_cel_type *b)
{
    if (a == b) {
        return true;
    }
    if (a->kind != b->kind || (a->kind == SFI_CEL_TYPE_PARAM && a->number != b->number)) {
        return false;
    }
    for (unsigned i = 0; i < param_count(a->kind); i++) {
        if (!sfi_cel_type_equal(param_of(a, i), param_of(b, i))) {
            return false;
        }
    }
    return true;
}

struct text_out {
    char *at;
    size_t left; /* with the final NUL */
    bool is_cut;
};

static void put(struct text_out *out, const char *text, size_t size)
{
    if (size >= out->left) {
        size = out->left - 1;
        out->is_cut = true;
    }
    memcpy(out->at, text, size);
    out->at += size;
    out->left -= size;
}

static void put_type(struct text_out *out, const struct sfi_cel_type *type)
{
    if (type->kind == SFI_CEL_TYPE_PARAM) {
        char letter = (char)('A' + type->number % 26);
        put(out, &letter, 1);
        return;
    }
    const struct type_name *name = names;
    while (name < names + NAME_COUNT - 1 && name->kind != type->kind) {
        name++;
    }
    put(out, name->text, name->size);
    if (name->params == 0 || (type->kind == SFI_CEL_TYPE_TYPE && type->param[0] == NULL)) {
        return;
    }
    put(out, "(", 1);
    for (unsigned i = 0; i < name->params && !out->is_cut; i++) {
        if (i > 0) {
            put(out, ", ", 2);
        }
        put_type(out, param_of(type, i));
    }
    put(out, ")", 1);
}

void sfi_cel_type_text(const struct sfi_cel_type *type, char out[SFI_CEL_TYPE_TEXT])
{
    struct text_out text = {out, SFI_CEL_TYPE_TEXT, false};
    put_type(&text, type);
    *text.at = '\0';
    if (text.is_cut) {
        memcpy(out + SFI_CEL_TYPE_TEXT - 4, "...", 4);
    }
}

struct type_parser {
    struct sfi_cel_arena *arena;
    const char *text;
    const char *at;
    shardy_error *err;
};

static void skip_blanks(struct type_parser *parser)
{
    parser->at += strspn(parser->at, " ");
}

static bool take(struct type_parser *parser, char c)
{
    skip_blanks(parser);
    if (*parser->at != c) {
        return false;
    }
    parser->at++;
    return true;
}

static shardy_status fail_unknown(struct type_parser *parser)
{
    return sfi_fail(parser->err, SHARDY_CONFIG,
                    "\"%.200s\" is no type; types are bool, bytes, double, dyn, duration, int, "
                    "list(T), map(K, V), net.CIDR, net.IP, null, optional_type(T), string, "
                    "timestamp, type(T), uint, wrapper(T)",
                    parser->text);
}

static const struct type_name *parse_name(struct type_parser *parser)
{
    skip_blanks(parser);
    size_t size = strcspn(parser->at, " (,)");
    for (const struct type_name *name = names; name < names + NAME_COUNT; name++) {
        if (name->size == size && memcmp(name->text, parser->at, size) == 0) {
            parser->at += size;
            return name;
        }
    }
    return NULL;
}

/* Wrappers hold the scalar types that google/protobuf/wrappers.proto has messages for. */
static bool may_be_wrapped(const struct sfi_cel_type *type)
{
    return type->kind >= SFI_CEL_TYPE_BOOL && type->kind <= SFI_CEL_TYPE_BYTES;
}

static shardy_status parse_type(struct type_parser *parser, unsigned depth,
                                const struct sfi_cel_type **type)
{
    if (depth > PARSE_MAX_DEPTH) {
        return sfi_fail(parser->err, SHARDY_CONFIG, "type \"%.200s\" is nested deeper than %u",
                        parser->text, PARSE_MAX_DEPTH);
    }
    const struct type_name *name = parse_name(parser);
    if (name == NULL) {
        return fail_unknown(parser);
    }
    if (name->params == 0 || !take(parser, '(')) {
        *type = name->simple;
        return *type == NULL ? fail_unknown(parser) : SHARDY_OK;
    }
    struct sfi_cel_type *made = sfi_cel_alloc(parser->arena, sizeof *made);
    if (made == NULL) {
        return sfi_cel_arena_status(parser->arena, "a type", parser->err);
    }
    *made = (struct sfi_cel_type){.kind = name->kind};
    for (unsigned i = 0; i < name->params; i++) {
        if (i > 0 && !take(parser, ',')) {
            return fail_unknown(parser);
        }
        SFI_RETURN_IF_ERR(parse_type(parser, depth + 1, &made->param[i]));
    }
    if (!take(parser, ')') ||
        (name->kind == SFI_CEL_TYPE_WRAPPER && !may_be_wrapped(made->param[0]))) {
        return fail_unknown(parser);
    }
    *type = made;
    return SHARDY_OK;
}

shardy_status sfi_cel_type_parse(struct sfi_cel_arena *arena, const char *text,
                                 const struct sfi_cel_type **type, shardy_error *err)
{
    struct type_parser parser = {arena, text, text, err};
    *type = NULL;
    shardy_status st = parse_type(&parser, 1, type);
    skip_blanks(&parser);
    if (st == SHARDY_OK && *parser.at != '\0') {
        st = fail_unknown(&parser);
    }
    if (st != SHARDY_OK) {
        *type = NULL;
    }
    return st;
}
