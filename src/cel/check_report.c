/*
 * check_report.c - the checker's messages: what was found, what there is, and what to write
 * instead.
 */
#include "cel/check_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

/* Names that are compared for "did you mean": longer ones are no typing errors. */
#define SUGGEST_MAX 40u
/* Of thousands of columns, only so many are compared or listed. */
#define SUGGEST_CANDIDATES 1000u
#define LISTED_NAMES       5u
#define LISTED_OVERLOADS   8u

struct text {
    char s[600];
    size_t size;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t left = sizeof text->s - text->size;
    int n = vsnprintf(text->s + text->size, left, format, args);
    va_end(args);
    text->size += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
}

struct suggestion {
    const char *wanted;
    size_t wanted_size;
    size_t distance; /* of the best one; only better ones replace it */
    char best[SUGGEST_MAX + 1];
};

static size_t smallest(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    uint8_t rows[3][SUGGEST_MAX + 1];
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = (uint8_t)j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        uint8_t *row = rows[i % 3];
        const uint8_t *above = rows[(i + 2) % 3];
        const uint8_t *two_above = rows[(i + 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            size_t best = smallest(above[j] + 1u, row[j - 1] + 1u);
            best = smallest(best, above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = smallest(best, two_above[j - 2] + 1u);
            }
            row[j] = (uint8_t)best;
        }
    }
    return rows[a_size % 3][b_size];
}

static void suggestion_init(struct suggestion *s, const char *wanted, size_t size)
{
    *s = (struct suggestion){.wanted = wanted, .wanted_size = size};
    s->distance = smallest(size / 3, 3) + 1;
}

static void consider(struct suggestion *s, const char *name, size_t size)
{
    if (s->wanted_size > SUGGEST_MAX || size > SUGGEST_MAX || size == 0) {
        return;
    }
    size_t found = size == s->wanted_size && strncasecmp(name, s->wanted, size) == 0
                       ? 0
                       : distance(s->wanted, s->wanted_size, name, size);
    if (found < s->distance) {
        s->distance = found;
        memcpy(s->best, name, size);
        s->best[size] = '\0';
    }
}

static void list_variables(const struct sfi_cel_checker *c, struct text *text)
{
    size_t count = c->env->variable_count;
    for (size_t i = 0; i < count && i < LISTED_NAMES; i++) {
        add(text, "%s%.*s", i == 0 ? "; declared: " : ", ", (int)SUGGEST_MAX,
            c->env->variables[i].name);
    }
    if (count > LISTED_NAMES) {
        add(text, " and %zu more", count - LISTED_NAMES);
    }
}

shardy_status sfi_cel_fail_name(struct sfi_cel_checker *c, const struct sfi_cel_node *node)
{
    struct text more = {.size = 0};
    struct suggestion s;
    char name[128];
    more.s[0] = '\0';
    sfi_cel_name_text(node, name, sizeof name);
    suggestion_init(&s, name, strlen(name));
    for (const struct sfi_cel_scope *scope = c->scope; scope != NULL; scope = scope->outer) {
        if (scope->name.size > 0 && scope->name.text[0] != '@') {
            consider(&s, scope->name.text, scope->name.size);
        }
    }
    for (size_t i = 0; i < c->env->variable_count && i < SUGGEST_CANDIDATES; i++) {
        consider(&s, c->env->variables[i].name, strlen(c->env->variables[i].name));
    }
    if (s.best[0] != '\0') {
        add(&more, " (did you mean '%s'?)", s.best);
    } else {
        list_variables(c, &more);
    }
    return sfi_cel_fail_at(c->ast, node->position, c->err, "undeclared name '%s'%s", name, more.s);
}

/* Operators and what macros expand to are no names that anybody writes. */
static bool is_written(const char *function)
{
    return (*function >= 'a' && *function <= 'z') || (*function >= 'A' && *function <= 'Z');
}

shardy_status sfi_cel_fail_function(struct sfi_cel_checker *c, const struct sfi_cel_node *call,
                                    const char *name)
{
    struct suggestion s;
    const struct sfi_cel_overload *overload;
    suggestion_init(&s, name, strlen(name));
    for (size_t i = 0; (overload = sfi_cel_function_at(i)) != NULL; i++) {
        if (is_written(overload->function)) {
            consider(&s, overload->function, strlen(overload->function));
        }
    }
    return sfi_cel_fail_at(c->ast, call->position, c->err, "undeclared function '%s'%s%s%s", name,
                           s.best[0] == '\0' ? "" : " (did you mean '", s.best,
                           s.best[0] == '\0' ? "" : "'?)");
}

static void add_type(struct text *text, const struct sfi_cel_type *type)
{
    char name[SFI_CEL_TYPE_TEXT];
    sfi_cel_type_text(type, name);
    add(text, strlen(name) > 80 ? "%.77s..." : "%s", name);
}

/* "(int, int)", for methods "string.(string)". */
static void add_signature(struct text *text, const struct sfi_cel_type *const *types, size_t count,
                          bool is_method)
{
    size_t first = 0;
    if (is_method && count > 0) {
        add_type(text, types[0]);
        add(text, ".");
        first = 1;
    }
    add(text, "(");
    for (size_t i = first; i < count; i++) {
        add(text, "%s", i > first ? ", " : "");
        add_type(text, types[i]);
    }
    add(text, ")");
}

static void list_overloads(struct text *text, const struct sfi_cel_overload *overloads,
                           size_t count)
{
    size_t listed = 0;
    for (size_t i = 0; i < count; i++) {
        if ((overloads[i].flags & SFI_CEL_RUNTIME) != 0) {
            continue;
        }
        if (listed == LISTED_OVERLOADS || text->size > 400) {
            add(text, ", ...");
            return;
        }
        size_t args = 0;
        while (args < SFI_CEL_ARGS_MAX && overloads[i].args[args] != NULL) {
            args++;
        }
        add(text, listed++ == 0 ? "; there are " : ", ");
        add_signature(text, overloads[i].args, args, (overloads[i].flags & SFI_CEL_METHOD) != 0);
    }
}

static bool is_const(const struct sfi_cel_node *node)
{
    return node->kind == SFI_CEL_NODE_CONST;
}

static bool is_number(enum sfi_cel_type_kind kind)
{
    return kind == SFI_CEL_TYPE_INT || kind == SFI_CEL_TYPE_UINT || kind == SFI_CEL_TYPE_DOUBLE;
}

/* Numbers: `a` comes before `b` in int, uint, double. */
static void number_hint(const struct sfi_cel_node *a, enum sfi_cel_type_kind a_kind,
                        const struct sfi_cel_node *b, enum sfi_cel_type_kind b_kind,
                        char out[SFI_CEL_HINT_SIZE])
{
    if (b_kind == SFI_CEL_TYPE_DOUBLE) {
        if (is_const(a) && a_kind == SFI_CEL_TYPE_INT) {
            (void)snprintf(out, SFI_CEL_HINT_SIZE, "; write %" PRId64 ".0", a->constant.i64);
        } else {
            (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert the %s with double()",
                           a_kind == SFI_CEL_TYPE_INT ? "int" : "uint");
        }
    } else if (is_const(a) && a->constant.i64 >= 0) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; write %" PRId64 "u", a->constant.i64);
    } else if (is_const(b) && b->constant.u64 <= INT64_MAX) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE,
                       "; write %" PRIu64 " without u, or convert the int "
                       "with uint()",
                       b->constant.u64);
    } else {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert one with int() or uint()");
    }
}

void sfi_cel_operand_hint(struct sfi_cel_checker *c, const struct sfi_cel_node *const node[2],
                          char out[SFI_CEL_HINT_SIZE])
{
    enum sfi_cel_type_kind kind[2];
    kind[0] = sfi_cel_known(c, node[0]->type)->kind;
    kind[1] = sfi_cel_known(c, node[1]->type)->kind;
    unsigned low = kind[0] <= kind[1] ? 0 : 1;
    enum sfi_cel_type_kind a = kind[low];
    enum sfi_cel_type_kind b = kind[1 - low];
    out[0] = '\0';
    if (a == b) {
        return;
    }
    if (is_number(a) && is_number(b)) {
        number_hint(node[low], a, node[1 - low], b, out);
    } else if (b == SFI_CEL_TYPE_STRING && (is_number(a) || a == SFI_CEL_TYPE_BOOL)) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert with string()");
    } else if (a == SFI_CEL_TYPE_STRING && b == SFI_CEL_TYPE_BYTES) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert the string with bytes()");
    } else if (a == SFI_CEL_TYPE_STRING && b == SFI_CEL_TYPE_TIMESTAMP) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert the string with timestamp()");
    } else if (a == SFI_CEL_TYPE_STRING && b == SFI_CEL_TYPE_DURATION) {
        (void)snprintf(out, SFI_CEL_HINT_SIZE, "; convert the string with duration()");
    }
}

shardy_status sfi_cel_fail_operands(struct sfi_cel_checker *c, const struct sfi_cel_node *call,
                                    const struct sfi_cel_operands *operands,
                                    const struct sfi_cel_overload *overloads, size_t count)
{
    struct text found = {.size = 0};
    struct text choices = {.size = 0};
    char hint[SFI_CEL_HINT_SIZE] = "";
    const struct sfi_cel_type *types[SFI_CEL_ARGS_MAX];
    bool is_method = call->call.target != NULL && !call->is_namespaced;
    found.s[0] = choices.s[0] = '\0';
    for (size_t i = 0; i < operands->count; i++) {
        types[i] = sfi_cel_final(c, operands->type[i]);
    }
    add_signature(&found, types, operands->count, is_method);
    if (call->call.count + (is_method ? 1u : 0u) > operands->count) {
        add(&found, " and more");
    }
    list_overloads(&choices, overloads, count);
    const char *function = count > 0 ? overloads[0].function : "";
    if (operands->count == 2) {
        sfi_cel_operand_hint(c, operands->node, hint);
    } else if (strcmp(function, "shard_hash") == 0) {
        (void)snprintf(hint, sizeof hint, "; convert with string()");
    }
    return sfi_cel_fail_at(c->ast, call->position, c->err, "found no overload of '%s' for %s%s%s",
                           sfi_cel_function_text(function), found.s, choices.s, hint);
}
