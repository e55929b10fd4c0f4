/*
 * check_names.c - what identifiers, chains of selections and function names stand for.
 *
 * cel-spec, doc/langdef.md, "Name Resolution": the longest prefix of a.b.c that is somebody's name
 * wins, each tried in the container first (x.y.a, x.a, a for container x.y); variables of macros
 * come before everything that is not written with a leading dot. Beyond the original, declared
 * variables come before type names, so that a column may be called "type".
 */
#include "cel/check_internal.h"

#include <stdio.h>

/* Names of functions and messages are shorter; longer ones need not be looked up. */
#define BUILTIN_NAME_MAX 64u

#define TYPE_NAME(text, type)            \
    {                                    \
        text, sizeof(text) - 1, &(type), \
        {                                \
            SFI_CEL_TYPE_TYPE, 0,        \
            {                            \
                &(type)                  \
            }                            \
        }                                \
    }

static const struct named_type {
    const char *text;
    size_t size;
    const struct sfi_cel_type *named;
    struct sfi_cel_type type; /* of the identifier: type(named) */
} named_types[] = {
    TYPE_NAME("bool", sfi_cel_type_bool),
    TYPE_NAME("bytes", sfi_cel_type_bytes),
    TYPE_NAME("double", sfi_cel_type_double),
    TYPE_NAME("google.protobuf.Duration", sfi_cel_type_duration),
    TYPE_NAME("google.protobuf.Timestamp", sfi_cel_type_timestamp),
    TYPE_NAME("int", sfi_cel_type_int),
    TYPE_NAME("list", sfi_cel_type_list),
    TYPE_NAME("map", sfi_cel_type_map),
    TYPE_NAME("net.CIDR", sfi_cel_type_cidr),
    TYPE_NAME("net.IP", sfi_cel_type_ip),
    TYPE_NAME("null_type", sfi_cel_type_null),
    TYPE_NAME("optional_type", sfi_cel_type_optional),
    TYPE_NAME("string", sfi_cel_type_string),
    TYPE_NAME("type", sfi_cel_type_type),
    TYPE_NAME("uint", sfi_cel_type_uint),
    /* Last: not a name of unchecked expressions. */
    TYPE_NAME("dyn", sfi_cel_type_dyn),
};

#define NAMED_TYPE_COUNT   (sizeof named_types / sizeof named_types[0])
#define NAMED_TYPE_LONGEST (sizeof "google.protobuf.Timestamp" - 1)

static const struct {
    const char *text;
    struct sfi_cel_type type;
} messages[] = {
    {"Timestamp", {SFI_CEL_TYPE_TIMESTAMP, 0, {NULL}}},
    {"Duration", {SFI_CEL_TYPE_DURATION, 0, {NULL}}},
    {"BoolValue", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_bool}}},
    {"BytesValue", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_bytes}}},
    {"DoubleValue", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_double}}},
    {"FloatValue", {SFI_CEL_TYPE_WRAPPER, 32, {&sfi_cel_type_double}}},
    {"Int32Value", {SFI_CEL_TYPE_WRAPPER, 32, {&sfi_cel_type_int}}},
    {"Int64Value", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_int}}},
    {"StringValue", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_string}}},
    {"UInt32Value", {SFI_CEL_TYPE_WRAPPER, 32, {&sfi_cel_type_uint}}},
    {"UInt64Value", {SFI_CEL_TYPE_WRAPPER, 0, {&sfi_cel_type_uint}}},
};

#define MESSAGE_PACKAGE "google.protobuf."

static uint32_t hash_name(const char *text, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    }
    return hash ^ hash >> 15;
}

/* Number of a declared variable, SIZE_MAX: none. */
static size_t find_variable(const struct sfi_cel_checker *c, const char *text, size_t size)
{
    uint32_t at = hash_name(text, size) & c->slot_mask;
    for (; c->slots[at] != 0; at = (at + 1) & c->slot_mask) {
        const char *name = c->env->variables[c->slots[at] - 1].name;
        if (strncmp(name, text, size) == 0 && name[size] == '\0') {
            return c->slots[at] - 1;
        }
    }
    return SIZE_MAX;
}

bool sfi_cel_names_init(struct sfi_cel_checker *c)
{
    size_t count = c->env->variable_count;
    uint32_t size = 8;
    while (size / 2 <= count && size < UINT32_C(1) << 31) {
        size *= 2;
    }
    c->slots = sfi_cel_check_alloc(c, sizeof *c->slots * size);
    c->slot_mask = size - 1;
    c->longest = NAMED_TYPE_LONGEST;
    if (c->slots == NULL) {
        return false;
    }
    memset(c->slots, 0, sizeof *c->slots * size);
    for (size_t i = 0; i < count; i++) {
        const char *name = c->env->variables[i].name;
        size_t length = strlen(name);
        if (find_variable(c, name, length) != SIZE_MAX) {
            continue; /* the first of one name */
        }
        uint32_t at = hash_name(name, length) & c->slot_mask;
        while (c->slots[at] != 0) {
            at = (at + 1) & c->slot_mask;
        }
        c->slots[at] = (uint32_t)i + 1;
        c->longest = length > c->longest ? length : c->longest;
    }
    c->name =
        sfi_cel_check_alloc(c, (c->longest > BUILTIN_NAME_MAX ? c->longest : BUILTIN_NAME_MAX) + 1);
    return c->name != NULL;
}

const struct sfi_cel_node *sfi_cel_name_root(const struct sfi_cel_node *node)
{
    while (node->kind == SFI_CEL_NODE_SELECT) {
        if (node->select.is_test || node->select.is_optional || node->select.is_quoted) {
            return NULL;
        }
        node = node->select.operand;
    }
    return node->kind == SFI_CEL_NODE_IDENT ? node : NULL;
}

static bool name_equal(struct sfi_cel_name a, struct sfi_cel_name b)
{
    return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

/* The number of an entry of cel.block: "@index12". */
static bool parse_index(struct sfi_cel_name name, uint32_t *index)
{
    static const char prefix[] = "@index";
    const size_t length = sizeof prefix - 1;
    if (name.size <= length || name.size > length + 6 || memcmp(name.text, prefix, length) != 0) {
        return false;
    }
    *index = 0;
    for (uint32_t i = (uint32_t)length; i < name.size; i++) {
        if (name.text[i] < '0' || name.text[i] > '9') {
            return false;
        }
        *index = *index * 10 + (uint32_t)(name.text[i] - '0');
    }
    return true;
}

bool sfi_cel_find_local(const struct sfi_cel_checker *c, const struct sfi_cel_node *ident,
                        struct sfi_cel_local *local)
{
    uint32_t index = 0;
    if (ident->ident.is_rooted || c->scope == NULL) {
        return false;
    }
    bool is_entry = parse_index(ident->ident.name, &index);
    for (const struct sfi_cel_scope *scope = c->scope; scope != NULL; scope = scope->outer) {
        if (scope->entries != NULL) {
            if (is_entry && index < scope->entry_count) {
                *local = (struct sfi_cel_local){scope->entries[index]->type, scope->local + index};
                return true;
            }
        } else if (name_equal(scope->name, ident->ident.name)) {
            *local = (struct sfi_cel_local){scope->type, scope->local};
            return true;
        }
    }
    return false;
}

static struct sfi_cel_name last_part(const struct sfi_cel_node *node)
{
    return node->kind == SFI_CEL_NODE_SELECT ? node->select.field : node->ident.name;
}

/* Length of a chain written with dots, SIZE_MAX when above the limit. */
static size_t chain_size(const struct sfi_cel_node *node, size_t limit)
{
    size_t size = 0;
    for (;; node = node->select.operand) {
        size += last_part(node).size + 1;
        if (size - 1 > limit) {
            return SIZE_MAX;
        }
        if (node->kind == SFI_CEL_NODE_IDENT) {
            return size - 1;
        }
    }
}

/* Write a chain so that it ends at `end`. */
static void write_chain(const struct sfi_cel_node *node, char *end)
{
    for (;; node = node->select.operand) {
        struct sfi_cel_name part = last_part(node);
        end -= part.size;
        memcpy(end, part.text, part.size);
        if (node->kind == SFI_CEL_NODE_IDENT) {
            return;
        }
        *--end = '.';
    }
}

/*
 * The candidates for a name, from the innermost container outwards: next_candidate() puts them into
 * c->name, SIZE_MAX when there is none left. The tail is written once for each.
 */
struct candidates {
    const struct sfi_cel_node *chain; /* or NULL */
    struct sfi_cel_name last;         /* behind the chain; size 0: none */
    size_t size;                      /* of both */
    size_t limit;
    size_t container; /* bytes of it that are tried next, SIZE_MAX: done */
};

static struct candidates candidates_of(const struct sfi_cel_checker *c,
                                       const struct sfi_cel_node *chain, struct sfi_cel_name last,
                                       size_t limit, bool is_rooted)
{
    struct candidates all = {.chain = chain, .last = last, .limit = limit};
    if (chain != NULL) {
        all.size = chain_size(chain, limit);
    }
    if (all.size != SIZE_MAX) {
        all.size += last.size + (chain != NULL && last.size > 0 ? 1 : 0);
    }
    if (all.size > limit) {
        all.container = SIZE_MAX;
    } else if (!is_rooted && c->env->container != NULL) {
        all.container = strlen(c->env->container);
    }
    return all;
}

static size_t next_candidate(struct sfi_cel_checker *c, struct candidates *all)
{
    while (all->container != SIZE_MAX) {
        size_t container = all->container;
        size_t prefix = container == 0 ? 0 : container + 1;
        /* The container's own last part goes next time. */
        all->container = container == 0 ? SIZE_MAX : 0;
        for (size_t i = container; i-- > 1;) {
            if (c->env->container[i] == '.') {
                all->container = i;
                break;
            }
        }
        size_t size = prefix + all->size;
        if (size > all->limit) {
            continue;
        }
        char *end = c->name + size;
        memcpy(end - all->last.size, all->last.text, all->last.size);
        if (all->chain != NULL) {
            end -= all->last.size;
            if (all->last.size > 0) {
                *--end = '.';
            }
            write_chain(all->chain, end);
        }
        if (prefix > 0) {
            memcpy(c->name, c->env->container, container);
            c->name[container] = '.';
        }
        c->name[size] = '\0';
        return size;
    }
    return SIZE_MAX;
}

static const struct named_type *find_type(const struct sfi_cel_checker *c, size_t size)
{
    size_t count = c->env->unchecked ? NAMED_TYPE_COUNT - 1 : NAMED_TYPE_COUNT;
    for (size_t i = 0; i < count; i++) {
        if (named_types[i].size == size && memcmp(named_types[i].text, c->name, size) == 0) {
            return &named_types[i];
        }
    }
    return NULL;
}

static bool resolve_global(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                           const struct sfi_cel_node *root)
{
    struct candidates all =
        candidates_of(c, node, (struct sfi_cel_name){"", 0}, c->longest, root->ident.is_rooted);
    for (size_t size; (size = next_candidate(c, &all)) != SIZE_MAX;) {
        size_t variable = find_variable(c, c->name, size);
        if (variable != SIZE_MAX) {
            node->reference = SFI_CEL_REF_VARIABLE;
            node->index = (uint32_t)variable;
            sfi_cel_set_type(
                c, node, c->env->unchecked ? &sfi_cel_type_dyn : c->env->variables[variable].type);
            return true;
        }
        const struct named_type *named = find_type(c, size);
        if (named != NULL) {
            node->reference = SFI_CEL_REF_VALUE;
            node->resolved = sfi_cel_type_value(named->named);
            node->type = c->env->unchecked ? &sfi_cel_type_dyn : &named->type;
            return true;
        }
    }
    return false;
}

bool sfi_cel_resolve_name(struct sfi_cel_checker *c, struct sfi_cel_node *node)
{
    const struct sfi_cel_node *root = sfi_cel_name_root(node);
    if (root == NULL) {
        return false;
    }
    struct sfi_cel_local local;
    if (!sfi_cel_find_local(c, root, &local)) {
        return resolve_global(c, node, root);
    }
    if (node != root) {
        return false; /* a field of a local variable */
    }
    node->reference = SFI_CEL_REF_LOCAL;
    node->index = local.slot;
    sfi_cel_set_type(c, node, local.type);
    return true;
}

static const struct sfi_cel_overload *find_overloads(const struct sfi_cel_checker *c, size_t size,
                                                     size_t *count)
{
    const struct sfi_cel_overload *declared = c->env->functions;
    for (size_t i = 0; i < c->env->function_count; i++) {
        if (strcmp(declared[i].function, c->name) == 0) {
            *count = 1;
            while (i + *count < c->env->function_count &&
                   strcmp(declared[i + *count].function, c->name) == 0) {
                ++*count;
            }
            return &declared[i];
        }
    }
    return sfi_cel_find_function((struct sfi_cel_name){c->name, (uint32_t)size}, count, NULL);
}

static const struct sfi_cel_overload *find_function(struct sfi_cel_checker *c,
                                                    const struct sfi_cel_node *chain,
                                                    struct sfi_cel_name name, bool is_rooted,
                                                    size_t *count)
{
    struct candidates all = candidates_of(c, chain, name, BUILTIN_NAME_MAX, is_rooted);
    for (size_t size; (size = next_candidate(c, &all)) != SIZE_MAX;) {
        const struct sfi_cel_overload *found = find_overloads(c, size, count);
        if (found != NULL) {
            return found;
        }
    }
    *count = 0;
    return NULL;
}

const struct sfi_cel_overload *sfi_cel_resolve_function(struct sfi_cel_checker *c,
                                                        struct sfi_cel_node *call, size_t *count)
{
    struct sfi_cel_name name = call->call.function;
    if (call->call.target == NULL) {
        return find_function(c, NULL, name, call->call.is_rooted, count);
    }
    const struct sfi_cel_node *root = sfi_cel_name_root(call->call.target);
    struct sfi_cel_local local;
    if (root != NULL && !sfi_cel_find_local(c, root, &local)) {
        const struct sfi_cel_overload *found =
            find_function(c, call->call.target, name, root->ident.is_rooted, count);
        if (found != NULL) {
            call->is_namespaced = true;
            return found;
        }
    }
    return find_function(c, NULL, name, true, count); /* methods have no container */
}

const struct sfi_cel_type *sfi_cel_resolve_message(struct sfi_cel_checker *c,
                                                   const struct sfi_cel_node *message)
{
    struct candidates all =
        candidates_of(c, NULL, message->message.name, BUILTIN_NAME_MAX, message->message.is_rooted);
    while (next_candidate(c, &all) != SIZE_MAX) {
        if (strncmp(c->name, MESSAGE_PACKAGE, sizeof MESSAGE_PACKAGE - 1) != 0) {
            continue;
        }
        for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
            if (strcmp(c->name + sizeof MESSAGE_PACKAGE - 1, messages[i].text) == 0) {
                return &messages[i].type;
            }
        }
    }
    return NULL;
}

void sfi_cel_name_text(const struct sfi_cel_node *node, char *out, size_t size)
{
    const struct sfi_cel_node *root = sfi_cel_name_root(node);
    size_t length = chain_size(node, size - 5); /* room for a dot, the rest's mark and the NUL */
    if (length == SIZE_MAX) {
        (void)snprintf(out, size, "%.*s...", (int)(size / 2), root->ident.name.text);
        out[root->ident.name.size < size / 2 ? root->ident.name.size : size / 2] = '\0';
        return;
    }
    size_t dot = root->ident.is_rooted ? 1 : 0;
    out[0] = '.';
    write_chain(node, out + dot + length);
    out[dot + length] = '\0';
}
